// Package lint holds dashboards to what both Grafana and our viewer can draw and
// to the metrics that the program really has, so that no panel is empty after a
// rename.
package lint

import (
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"

	"addons/dashboards"
	"addons/statsd-relay/tsdb/expr"
)

const (
	maxSchema = 42 // the last of Grafana's classic JSON
	maxPanels = 25 // more is two dashboards
	columns   = 24
)

// Report is what Check found.
type Report struct {
	Problems []string
	// Metrics are the names of the metrics that queries ask for, sorted. Classic
	// histograms appear with their suffixes: _bucket, _count, _sum.
	Metrics []string
}

// Check reads every dashboard of fsys.
func Check(fsys fs.FS) (Report, error) {
	all, err := dashboards.Load(fsys)
	if err != nil {
		return Report{}, err
	}
	l := &linter{metrics: map[string]bool{}}
	for _, d := range all {
		l.dashboard(d)
	}
	return Report{l.problems, slices.Sorted(maps.Keys(l.metrics))}, nil
}

type linter struct {
	where    string
	problems []string
	metrics  map[string]bool
}

func (l *linter) add(format string, args ...any) {
	l.problems = append(l.problems, l.where+": "+fmt.Sprintf(format, args...))
}

func (l *linter) check(ok bool, format string, args ...any) {
	if !ok {
		l.add(format, args...)
	}
}

func (l *linter) dashboard(d *dashboards.Dashboard) {
	l.where = d.File
	l.check(d.UID+".json" == d.File, "uid %q is not the file's name", d.UID)
	l.check(d.Title != "" && d.Description != "", "no title or no description")
	l.check(len(d.Tags) > 0, "no tag")
	l.check(!d.Editable, "editable: changes made in Grafana would be lost")
	l.check(d.SchemaVersion > 0 && d.SchemaVersion <= maxSchema, "schema version %d is not Grafana's classic", d.SchemaVersion)
	names := map[string]string{}
	for _, v := range d.Templating.List {
		names[v.Name] = "x"
		l.variable(v)
	}
	l.check(names["datasource"] != "", "no variable datasource")
	l.panels(d, names)
}

func (l *linter) variable(v dashboards.Variable) {
	if v.Type != "query" {
		return
	}
	l.check(v.Refresh == 2, "variable %s does not refresh when the time range changes", v.Name)
	if m := labelValues.FindStringSubmatch(v.Definition); m != nil {
		l.metrics[m[1]] = true
		return
	}
	l.add("variable %s: %q is not label_values(metric, label)", v.Name, v.Definition)
}

var labelValues = regexp.MustCompile(`^label_values\((\w+),\s*\w+\)$`)

func (l *linter) panels(d *dashboards.Dashboard, variables map[string]string) {
	drawn := 0
	for i := range d.Panels {
		p := &d.Panels[i]
		l.where = fmt.Sprintf("%s: panel %d %q", d.File, p.ID, p.Title)
		l.check(p.Title != "", "no title")
		l.check(dashboards.Supports(p.Type), "type %q is not drawn by the viewer", p.Type)
		l.place(d, i)
		if p.Type != "row" {
			drawn++
			l.panel(p, variables)
		}
	}
	l.where = d.File
	l.check(drawn <= maxPanels, "%d panels, more than %d", drawn, maxPanels)
}

// place checks ids and that no two panels lie upon each other.
func (l *linter) place(d *dashboards.Dashboard, i int) {
	p := d.Panels[i]
	g := p.GridPos
	l.check(g.X >= 0 && g.Y >= 0 && g.W > 0 && g.H > 0 && g.X+g.W <= columns, "gridPos %+v is off the grid", g)
	for _, other := range d.Panels[:i] {
		o := other.GridPos
		l.check(p.ID != other.ID, "id %d is taken", p.ID)
		l.check(g.X >= o.X+o.W || o.X >= g.X+g.W || g.Y >= o.Y+o.H || o.Y >= g.Y+g.H, "lies upon %q", other.Title)
	}
}

func (l *linter) panel(p *dashboards.Panel, variables map[string]string) {
	f := p.FieldConfig.Defaults
	l.check(p.Description != "", "no description")
	l.check(dashboards.KnowsUnit(f.Unit), "unit %q is not known to the viewer", f.Unit)
	l.check(len(p.Targets) > 0, "no query")
	for _, err := range p.CheckOverrides() {
		l.add("override: %v", err)
	}
	l.check(p.Datasource.UID == "${datasource}", "data source %q, want ${datasource}", p.Datasource.UID)
	for _, t := range p.Targets {
		l.check(t.Datasource.UID == "${datasource}", "query %s: data source %q, want ${datasource}", t.RefID, t.Datasource.UID)
		l.check(p.Type != "timeseries" || t.LegendFormat != "", "query %s: no legend", t.RefID)
		l.query(t, variables)
	}
}

// fixedRange finds rates over a fixed time, which are wrong at other zooms and
// other scrape intervals.
var fixedRange = regexp.MustCompile(`\[\d`)

func (l *linter) query(t dashboards.Target, variables map[string]string) {
	l.check(!fixedRange.MatchString(t.Expr), "query %s: a fixed range, want [$__rate_interval] or [$__range]", t.RefID)
	text := dashboards.Expand(t.Expr, variables)
	l.check(!strings.Contains(text, "$"), "query %s: %s has a variable that is not declared", t.RefID, text)
	selectors, err := expr.Parse(text)
	if err != nil {
		l.add("query %s: %v", t.RefID, err)
		return
	}
	for _, s := range selectors {
		l.metrics[s.Metric] = true
		l.check(s.Rated || !strings.HasSuffix(s.Metric, "_total"), "query %s: counter %s without rate", t.RefID, s.Metric)
	}
}
