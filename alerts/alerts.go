// Package alerts holds the alert rules in Prometheus's own format, a runbook for
// each, and the page that shows their state. The same files serve the embedded
// engine, a Prometheus and an Alertmanager of one's own, and promtool's tests;
// the page asks whichever of them is there (package prom).
package alerts

import (
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

//go:embed *.rules.yml runbooks/*.md
var files embed.FS

// Rules holds the *.rules.yml files.
func Rules() fs.FS { return files }

// Runbook is what to do when an alert fires, in Markdown; fs.ErrNotExist if the
// alert has none.
func Runbook(alert string) ([]byte, error) {
	if !slices.Contains(Runbooks(), alert) {
		return nil, fmt.Errorf("runbook %q: %w", alert, fs.ErrNotExist)
	}
	return files.ReadFile("runbooks/" + alert + ".md")
}

// Runbooks are the names of the alerts that have one, sorted.
func Runbooks() []string {
	names, err := fs.Glob(files, "runbooks/*.md")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	for i, n := range names {
		names[i] = strings.TrimSuffix(strings.TrimPrefix(n, "runbooks/"), ".md")
	}
	return names
}
