package server

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"addons/rum"
	"addons/server/health"
	"addons/server/metrics"
	"addons/server/store"
)

// Reindex builds the search index anew from the database.
func (s *Server) Reindex(ctx context.Context, progress Progress) error {
	if s.index == nil {
		return errNoSearch
	}
	return s.site.Reindex(ctx, func(done int) { progress(done, 0, "") })
}

// Check uses every backend once.
func (s *Server) Check(ctx context.Context) health.Report { return s.checks.Run(ctx) }

// Declared returns what a whole platform on embedded backends declares: the
// site's metrics and the sidecar's. dir is an empty folder for it to stand in.
func Declared(ctx context.Context, dir string) (site, sidecar []metrics.Declared, err error) {
	c := Embedded(dir)
	c.Public, c.Admin, c.Sample = "127.0.0.1:0", "127.0.0.1:0", 0
	c.AlertWebhook = "http://127.0.0.1:9/" // never told anything: nothing runs, but its metrics are declared
	*c.Relay = RelayConfig{UDP: "127.0.0.1:0", HTTP: "127.0.0.1:0", Flush: c.Relay.Flush, Scrape: c.Relay.Scrape}
	s, err := New(ctx, c, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, nil, err
	}
	defer s.Close(ctx)
	if _, err := s.pages(); err != nil { // the routes declare theirs
		return nil, nil, err
	}
	return s.registry.Catalogue(), s.relay.Catalogue(), nil
}

// WriteMetrics writes METRICS.md: what a whole platform on embedded backends
// declares. dir is an empty folder for it to stand in.
func WriteMetrics(ctx context.Context, w io.Writer, dir string) error {
	site, sidecar, err := Declared(ctx, dir)
	if err != nil {
		return err
	}
	fmt.Fprint(w, `# Metrics

Made by `+"`addons metrics`"+` from what the code declares; a test keeps it true. Durations
are in seconds in Prometheus and in milliseconds in statsd; every histogram is
there with classic and with native buckets. {label} in a statsd key stands for
the label's value.

## The site: job "addons"

`+tableHead)
	writeTable(w, site)
	fmt.Fprint(w, "\nAlso Go's runtime (`go_*`), the process (`process_*`) and the connection pools (`go_sql_*`).\n\n"+
		"## The sidecar: job \"statsd-relay\"\n\n"+tableHead)
	writeTable(w, sidecar)
	fmt.Fprint(w, "\n## What browsers measure: job \"statsd-relay\"\n\n| Prometheus | labels | what it tells |\n|---|---|---|\n")
	for _, m := range rum.Metrics() {
		fmt.Fprintf(w, "| `%s` | %s | %s |\n", m.Name, quoted(m.Labels), m.Help)
	}
	return nil
}

const tableHead = "| Prometheus | kind | labels | statsd keys | what it tells |\n|---|---|---|---|---|\n"

func writeTable(w io.Writer, all []metrics.Declared) {
	for _, d := range all {
		fmt.Fprintf(w, "| `%s` | %s | %s | %s | %s |\n", d.Name, d.Kind, labels(d.Labels), quoted(d.Keys), d.Help)
	}
}

// labels shows a closed label set with its values.
func labels(all []metrics.Label) string {
	var out []string
	for _, l := range all {
		text := "`" + l.Name + "`"
		if n := len(l.Values); n > 0 && n <= 8 {
			text += ": " + strings.Join(l.Values, ", ")
		}
		out = append(out, text)
	}
	return strings.Join(out, "; ")
}

func quoted(keys []string) string {
	out := slices.Clone(keys)
	for i := range out {
		out[i] = "`" + out[i] + "`"
	}
	return strings.Join(out, " ")
}

// RollOut has update checks offer a version of an add-on to percent of the clients: see
// site.RollOut.
func (s *Server) RollOut(ctx context.Context, addon, version string, percent int) error {
	return s.site.RollOut(ctx, addon, version, percent)
}

// Rollouts lists those under way, the newest version's first.
func (s *Server) Rollouts(ctx context.Context) ([]store.Rollout, error) { return s.site.Rollouts(ctx) }
