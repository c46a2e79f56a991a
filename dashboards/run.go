package dashboards

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

// view is a panel with its answer, ready for the template. At most one of the
// pointers is set; none is set if there is no data.
type view struct {
	*Panel
	DOM     string // the box's id in the page
	Problem string // why it could not be drawn
	Chart   *chart
	Traces  []trace // beside a chart
	Stats   []stat
	Table   *table
}

// trace is a single measurement, and where more is known of it.
type trace struct{ Value, URL string }

// Kind is the template's choice and the box's class.
func (v view) Kind() string {
	if !Supports(v.Type) {
		return "unknown"
	}
	return v.Type
}

// Nothing is what an empty panel says.
func (v view) Nothing() string {
	return cmp.Or(v.FieldConfig.Defaults.NoValue, "No data yet: nothing was measured in this time.")
}

// stat is one large number and its recent course.
type stat struct {
	Name, Value, Class string
	Spark              *line
}

// table is rows of texts; a column of numbers is set to the right.
type table struct {
	Columns []column
	Rows    [][]cell
}

type column struct {
	Name   string
	Number bool
	field  Field
}

type cell struct {
	Text, Class string
	Number      bool
	value       float64
}

// run asks the panel's queries and shapes the answer.
func (v *viewer) run(ctx context.Context, p *Panel, w window, vars map[string]string) view {
	out := view{Panel: p, DOM: fmt.Sprintf("panel-%d", p.ID)}
	var err error
	switch p.Type {
	case "timeseries":
		var lines []series
		if lines, err = v.lines(ctx, p, w, vars); err == nil && len(lines) > 0 {
			out.Chart = newChart(p, lines, w, v.location)
			out.Traces = v.traces(ctx, p, w, vars)
		}
	case "stat":
		out.Stats, err = v.stats(ctx, p, w, vars)
	case "table":
		out.Table, err = v.table(ctx, p, w, vars)
	}
	if err != nil {
		out.Problem = err.Error()
	}
	return out
}

// lines are the answers of range queries, empty ones left out.
func (v *viewer) lines(ctx context.Context, p *Panel, w window, vars map[string]string) ([]series, error) {
	var all []series
	for _, t := range p.Targets {
		matrix, err := v.ask(ctx, t, w, vars)
		if err != nil {
			return nil, err
		}
		for _, stream := range matrix {
			if s := lay(p, t, stream, w); !s.empty() {
				all = append(all, s)
			}
		}
	}
	for i := range all {
		if all[i].Class == "" {
			all[i].Class = fmt.Sprintf("c%d", i%palette)
		}
	}
	return all, nil
}

// maxTraces of a panel: more would push its lines away.
const maxTraces = 5

// traces are the highest of the panel's exemplars whose trace can be looked at; none if
// they can't be asked for: the chart stands without.
func (v *viewer) traces(ctx context.Context, p *Panel, w window, vars map[string]string) (shown []trace) {
	for _, t := range p.Targets {
		if !t.Exemplar || v.traceURL == nil {
			continue
		}
		answer, err := v.prometheus.Exemplars(ctx, expand(t.Expr, vars), w.Start, w.End)
		if err != nil {
			continue
		}
		var all []v1.Exemplar
		for _, series := range answer {
			all = append(all, series.Exemplars...)
		}
		slices.SortFunc(all, func(a, b v1.Exemplar) int { return cmp.Compare(b.Value, a.Value) })
		for _, e := range all {
			url := v.traceURL(string(e.Labels["trace_id"]))
			known := slices.ContainsFunc(shown, func(s trace) bool { return s.URL == url })
			if url != "" && !known && len(shown) < maxTraces {
				shown = append(shown, trace{format(float64(e.Value), p.FieldConfig.Defaults.Unit, nil), url})
			}
		}
	}
	return shown
}

// ask runs a query over the window or, if it is instant, at its end.
func (v *viewer) ask(ctx context.Context, t Target, w window, vars map[string]string) (model.Matrix, error) {
	if !t.Instant {
		return v.prometheus.Range(ctx, expand(t.Expr, vars), w.Start, w.End, w.Step)
	}
	vector, err := v.vector(ctx, t, w, vars)
	var m model.Matrix
	for _, s := range vector {
		m = append(m, &model.SampleStream{Metric: s.Metric, Values: []model.SamplePair{{Timestamp: s.Timestamp, Value: s.Value}}})
	}
	return m, err
}

func (v *viewer) vector(ctx context.Context, t Target, w window, vars map[string]string) (model.Vector, error) {
	answer, err := v.prometheus.Query(ctx, expand(t.Expr, vars), w.End)
	if err != nil {
		return nil, err
	}
	vector, ok := answer.(model.Vector)
	if !ok {
		return nil, fmt.Errorf("query %s: got a %s, want an instant vector", t.Expr, answer.Type())
	}
	return vector, nil
}

// lay puts a stream on the window's steps.
func lay(p *Panel, t Target, stream *model.SampleStream, w window) series {
	s := series{Name: legend(t.LegendFormat, stream.Metric), Values: make([]float64, w.Length/w.Step+1)}
	for i := range s.Values {
		s.Values[i] = math.NaN()
	}
	for _, pair := range stream.Values {
		if i := int(pair.Timestamp.Time().Sub(w.Start) / w.Step); i >= 0 && i < len(s.Values) {
			s.Values[i] = float64(pair.Value)
		}
	}
	s.Field = p.field(s.Name)
	s.Unit = s.Field.Unit
	if s.Field.Color.Mode == "fixed" {
		s.Class = colorClass(s.Field.Color.FixedColor)
	}
	return s
}

var braces = regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)

// legend fills {{label}}; without a format it is the series as Prometheus writes it.
func legend(format string, metric model.Metric) string {
	if format == "" || format == "__auto" {
		return metric.String()
	}
	return braces.ReplaceAllStringFunc(format, func(m string) string {
		return string(metric[model.LabelName(braces.FindStringSubmatch(m)[1])])
	})
}

// stats are the last values of the panel's lines.
func (v *viewer) stats(ctx context.Context, p *Panel, w window, vars map[string]string) ([]stat, error) {
	lines, err := v.lines(ctx, p, w, vars)
	if err != nil {
		return nil, err
	}
	var all []stat
	for _, s := range lines[:min(len(lines), maxSeries)] {
		last := s.last()
		one := stat{Name: s.Name, Value: format(last, s.Unit, s.Field.Decimals), Class: levelClass(s.Field, last)}
		if p.Options.GraphMode == "area" {
			one.Spark = spark(s)
		}
		all = append(all, one)
	}
	return all, nil
}

// spark is a line without axes, from zero or the panel's minimum.
func spark(s series) *line {
	lo, hi := extent([]series{s}, [][]float64{nil}, Field{Min: s.Field.Min})
	y := func(v float64) float64 { return canvas * (hi - v) / (hi - lo) }
	l := &line{}
	l.Path, l.Area = paths(s.Values, nil, y, true)
	return l
}

// table asks at the end of the window and joins the answers by their labels, as
// Grafana's merge transformation does.
func (v *viewer) table(ctx context.Context, p *Panel, w window, vars map[string]string) (*table, error) {
	rows := map[string]map[string]any{}
	names := map[string]bool{}
	var values []string
	for _, t := range p.Targets {
		vector, err := v.vector(ctx, t, w, vars)
		if err != nil {
			return nil, err
		}
		value := "Value"
		if len(p.Targets) > 1 {
			value += " #" + t.RefID
		}
		values = append(values, value)
		for _, sample := range vector {
			key := sample.Metric.String()
			if rows[key] == nil {
				rows[key] = map[string]any{}
			}
			for name, text := range sample.Metric {
				names[string(name)] = true
				rows[key][string(name)] = string(text)
			}
			rows[key][value] = float64(sample.Value)
		}
	}
	if len(rows) == 0 {
		return nil, nil
	}
	return p.layout(rows, append(slices.Sorted(maps.Keys(names)), values...)), nil
}

// layout applies the organize transformation, the fields' units and the order.
func (p *Panel) layout(rows map[string]map[string]any, names []string) *table {
	var o Transformation
	for _, t := range p.Transformations {
		if t.ID == "organize" {
			o = t
		}
	}
	names = slices.DeleteFunc(names, func(n string) bool { return o.Options.ExcludeByName[n] })
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(o.Options.IndexByName[a], o.Options.IndexByName[b]) })
	t := &table{}
	for _, n := range names {
		shown := cmp.Or(o.Options.RenameByName[n], n)
		t.Columns = append(t.Columns, column{Name: shown, Number: strings.HasPrefix(n, "Value"), field: p.field(shown)})
	}
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		var row []cell
		for i, n := range names {
			row = append(row, t.Columns[i].cell(rows[key][n]))
		}
		t.Rows = append(t.Rows, row)
	}
	t.sort(p)
	return t
}

func (c column) cell(v any) cell {
	switch v := v.(type) {
	case float64:
		out := cell{Text: format(v, c.field.Unit, c.field.Decimals), Number: true, value: v}
		if len(c.field.Thresholds.Steps) > 0 {
			out.Class = levelClass(c.field, v)
		}
		return out
	case string:
		return cell{Text: v}
	}
	return cell{Text: "–", Number: c.Number, value: math.Inf(-1)}
}

func (t *table) sort(p *Panel) {
	for _, by := range p.Options.SortBy {
		i := slices.IndexFunc(t.Columns, func(c column) bool { return c.Name == by.DisplayName })
		if i < 0 {
			continue
		}
		slices.SortStableFunc(t.Rows, func(a, b []cell) int {
			order := cmp.Or(cmp.Compare(a[i].value, b[i].value), cmp.Compare(a[i].Text, b[i].Text))
			if by.Desc {
				return -order
			}
			return order
		})
	}
}

// field is how the series or column of that name is shown.
func (p *Panel) field(name string) Field {
	f := p.FieldConfig.Defaults
	for _, o := range p.FieldConfig.Overrides {
		if o.Matcher.ID != "byName" || o.Matcher.Options != name {
			continue
		}
		for _, prop := range o.Properties {
			f.set(prop.ID, prop.Value)
		}
	}
	return f
}

// set takes one property; a value of another shape than Grafana writes changes
// nothing, and lint tells of it.
func (f *Field) set(id string, value json.RawMessage) error {
	switch id {
	case "unit":
		return json.Unmarshal(value, &f.Unit)
	case "decimals":
		return json.Unmarshal(value, &f.Decimals)
	case "color":
		return json.Unmarshal(value, &f.Color)
	case "thresholds":
		return json.Unmarshal(value, &f.Thresholds)
	}
	return fmt.Errorf("property %q is not known to the viewer", id)
}

// CheckOverrides says which overrides the viewer would not apply.
func (p *Panel) CheckOverrides() []error {
	var errs []error
	for _, o := range p.FieldConfig.Overrides {
		if o.Matcher.ID != "byName" {
			errs = append(errs, fmt.Errorf("matcher %q is not known to the viewer", o.Matcher.ID))
		}
		for _, prop := range o.Properties {
			if err := new(Field).set(prop.ID, prop.Value); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errs
}

// timeout of one panel's queries: a page should come even if Prometheus is slow.
const timeout = 15 * time.Second
