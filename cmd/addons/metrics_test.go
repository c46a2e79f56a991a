package main

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"addons/alerts"
	"addons/dashboards"
	"addons/dashboards/lint"
	"addons/rum"
	"addons/server"
	"addons/server/views"
	"addons/statsd-relay/tsdb/expr"
)

//go:generate go test -run "TestMETRICSmdIsTrue|TestHelpIsGolden" -update .

var update = flag.Bool("update", false, "write METRICS.md anew")

func TestMETRICSmdIsTrue(t *testing.T) {
	var got bytes.Buffer
	if err := server.WriteMetrics(t.Context(), &got, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	const path = "../../METRICS.md"
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("METRICS.md is not what the code declares; run `go generate ./cmd/addons`:\n%s", diff)
	}
}

// suffix of a classic histogram's series.
var suffix = regexp.MustCompile(`_(bucket|count|sum)$`)

// used are the metrics that dashboards, rules and the explorer name, without a histogram's suffixes.
func used(t *testing.T) map[string]bool {
	t.Helper()
	report, err := lint.Check(dashboards.Files())
	if err != nil {
		t.Fatal(err)
	}
	names := append(report.Metrics, views.Metrics()...)
	for _, e := range expressions(t) {
		of, err := expr.Metrics(e)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, of...)
	}
	set := map[string]bool{}
	for _, n := range names {
		set[n] = true
		set[suffix.ReplaceAllString(n, "")] = true
	}
	return set
}

// expressions are those of all rules shipped.
func expressions(t *testing.T) (all []string) {
	t.Helper()
	names, err := fs.Glob(alerts.Rules(), "*.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(alerts.Rules(), name)
		if err != nil {
			t.Fatal(err)
		}
		var file struct {
			Groups []struct {
				Rules []struct{ Expr string }
			}
		}
		if err := yaml.Unmarshal(text, &file); err != nil {
			t.Fatal(err)
		}
		for _, g := range file.Groups {
			for _, r := range g.Rules {
				all = append(all, r.Expr)
			}
		}
	}
	return all
}

// foreign are metrics of libraries and of Prometheus itself, what rules record, and
// what a platform on embedded backends alone does not have: calls to other
// services, and statsd lines to a relay elsewhere.
var foreign = regexp.MustCompile(`^(http_client_request_duration_seconds|addons_statsd_lost_packets_total$|go_|process_|prometheus_|promhttp_|scrape_|up$|ALERTS$|slo:|job:|[a-z_]+:)`)

func TestDashboardsAndRulesNameOnlyWhatTheCodeEmits(t *testing.T) {
	known := map[string]bool{}
	site, sidecar, err := server.Declared(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range slices.Concat(site, sidecar) {
		known[d.Name] = true
	}
	for _, m := range rum.Metrics() {
		known[m.Name] = true
	}
	named := used(t)
	for name := range named {
		if !known[name] && !known[suffix.ReplaceAllString(name, "")] && !foreign.MatchString(name) {
			t.Errorf("a panel, a rule or the explorer asks for %s, which nothing emits", name)
		}
	}
	var idle []string
	for _, d := range slices.Concat(site, sidecar) {
		if !d.Debug && !named[d.Name] {
			idle = append(idle, d.Name)
		}
	}
	for _, m := range rum.Metrics() {
		if !named[m.Name] {
			idle = append(idle, m.Name)
		}
	}
	if len(idle) > 0 {
		t.Errorf("no panel and no rule uses these; use them or mark them as Debug:\n%s", strings.Join(idle, "\n"))
	}
}
