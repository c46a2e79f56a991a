package views

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/common/model"

	"addons/statsd-relay/prom"
)

const (
	phasesMetric   = "rum_navigation_phase_seconds"
	servedMetric   = "addons_measured_pages_total" // pages with the script, by page
	viewsMetric    = "rum_views_total"             // views that were told of, by page and by where the page came from
	versionsMetric = "addons_build_info"

	notRestoredMetric = "rum_not_restored_total"
	confidenceMetric  = "rum_confidence_total"
	randomMetric      = "rum_confidence_random_total"
)

// Metrics are the names of those that the explorer asks for.
func Metrics() []string {
	all := []string{phasesMetric, servedMetric, viewsMetric, versionsMetric, notRestoredMetric, confidenceMetric, randomMetric}
	for _, v := range vitals {
		all = append(all, v.Metric)
	}
	return all
}

// patience is how long a page waits for all that it asks Prometheus.
const patience = 10 * time.Second

// errNoPrometheus: there is nobody to ask.
var errNoPrometheus = errors.New("no Prometheus is known to this process: name one with --prometheus")

// numbers asks Prometheus for what the pages show.
type numbers struct{ prometheus *prom.Client }

// among chooses views: of a page, "" of all, and of a class of device, "" of all that
// people hold. Both are of closed sets, so that nothing in them can end a string.
type among struct{ Page, Device string }

// matchers are those of a PromQL selector.
func (a among) matchers() string {
	m := `device!="` + bot + `"`
	if a.Device != "" {
		m = `device="` + a.Device + `"`
	}
	if a.Page != "" {
		m += `,page="` + a.Page + `"`
	}
	return m
}

// during is PromQL's range of a length.
func during(length time.Duration) string {
	return model.Duration(length.Truncate(time.Second)).String()
}

// quantile is the expression of the 75th percentile by some labels: from native buckets,
// which tell values a few percent apart, else from classic ones.
func quantile(metric string, a among, by string, length time.Duration) string {
	return fmt.Sprintf(`(histogram_quantile(0.75, sum by (%[3]s) (increase(%[1]s{%[2]s}[%[4]s]))) or histogram_quantile(0.75, sum by (le, %[3]s) (increase(%[1]s_bucket{%[2]s}[%[4]s]))))`,
		metric, a.matchers(), by, during(length))
}

// buckets is the expression of how many views are in buckets, cumulated; edges is a
// regular expression of le.
func buckets(metric string, a among, edges, by string, length time.Duration) string {
	return fmt.Sprintf(`sum by (le, %[4]s) (increase(%[1]s_bucket{%[2]s,le=~"%[3]s"}[%[5]s]))`, metric, a.matchers(), edges, by, during(length))
}

// edges is a regular expression of the vital's limits and of infinity, as Prometheus 2
// and 3 write them: 4, 4.0.
func (v vital) edges() string {
	limit := func(x float64) string {
		return strings.ReplaceAll(strconv.FormatFloat(x, 'f', -1, 64), ".", `\\.`) + `(\\.0)?`
	}
	return limit(v.Good) + "|" + limit(v.Poor) + `|\\+Inf`
}

// ofEach is an expression for all vitals at once, told apart by the label vital.
func ofEach(of func(vital) string) string {
	var all []string
	for _, v := range vitals {
		all = append(all, fmt.Sprintf(`label_replace(%s, "vital", "%s", "", "")`, of(v), v.Name))
	}
	return strings.Join(all, " or ")
}

// vector asks at one instant.
func (n numbers) vector(ctx context.Context, expr string, at time.Time) (model.Vector, error) {
	answer, err := n.prometheus.Query(ctx, expr, at)
	if err != nil {
		return nil, reason(err)
	}
	vector, ok := answer.(model.Vector)
	if !ok {
		return nil, fmt.Errorf("Prometheus answered with a %s, want a vector", answer.Type())
	}
	return vector, nil
}

// reason is an error without the query that it begins with, which readers of a page have
// not written.
func reason(err error) error { return cmp.Or(errors.Unwrap(err), err) }

// number asks for a single number, 0 if there is no such series.
func (n numbers) number(ctx context.Context, expr string, at time.Time) (float64, error) {
	vector, err := n.vector(ctx, expr, at)
	if err != nil || len(vector) == 0 {
		return 0, err
	}
	return float64(vector[0].Value), nil
}

// group is a page on a class of device.
type group struct{ Page, Device string }

// groupOf reads the labels.
func groupOf(m model.Metric) group { return group{string(m["page"]), string(m["device"])} }

// measures asks for all vitals of each group, in the order of vitals, in the time of some
// length that ends at an instant. by are "page, device", or "" for one group in all.
func (n numbers) measures(ctx context.Context, a among, by string, length time.Duration, at time.Time) (map[group][]measure, error) {
	all := map[group][]measure{}
	of := func(s *model.Sample) *measure {
		g := groupOf(s.Metric)
		if all[g] == nil {
			for _, v := range vitals {
				all[g] = append(all[g], measure{vital: v, p75: math.NaN()})
			}
		}
		i := slices.IndexFunc(vitals, func(v vital) bool { return v.Name == string(s.Metric["vital"]) })
		return &all[g][max(i, 0)] // it is one of ours: the query has made the label
	}
	counted, err := n.vector(ctx, ofEach(func(v vital) string { return buckets(v.Metric, a, v.edges(), by, length) }), at)
	if err != nil {
		return nil, err
	}
	for _, s := range counted {
		of(s).add(edge(s.Metric), float64(s.Value))
	}
	quantiles, err := n.vector(ctx, ofEach(func(v vital) string { return quantile(v.Metric, a, by, length) }), at)
	for _, s := range quantiles {
		of(s).p75 = float64(s.Value)
	}
	return all, err
}

// edge is a bucket's upper one, NaN if it has none.
func edge(m model.Metric) float64 {
	x, err := strconv.ParseFloat(string(m[model.BucketLabel]), 64)
	if err != nil {
		return math.NaN()
	}
	return x
}

// add takes one of the three cumulated counts.
func (m *measure) add(edge, n float64) {
	switch edge {
	case m.vital.Good:
		m.shares.Good += n
		m.Middle -= n
	case m.vital.Poor:
		m.Middle += n
		m.shares.Poor -= n
	default:
		m.shares.Poor += n
	}
}

// served asks how many pages were sent with the script, and how many of them a browser
// has told of: a view of a page that it had kept, or that a soft navigation made, is not
// of one that was sent.
func (n numbers) served(ctx context.Context, page string, length time.Duration, at time.Time) (served, told float64, err error) {
	of, from := "", `source="server"`
	if page != "" {
		of = `page="` + page + `"`
		from += "," + of
	}
	ask := func(metric, matchers string) (float64, error) {
		return n.number(ctx, fmt.Sprintf(`sum(increase(%s{%s}[%s]))`, metric, matchers, during(length)), at)
	}
	if served, err = ask(servedMetric, of); err != nil {
		return 0, 0, err
	}
	told, err = ask(viewsMetric, from)
	return served, told, err
}

// point is one of a course.
type point struct {
	From, To time.Time
	measure
}

// course asks for a vital in every stretch of a window.
func (n numbers) course(ctx context.Context, v vital, a among, w window) ([]point, error) {
	points := make([]point, 0, w.Length/w.Step)
	for at := w.Start; at.Before(w.End); at = at.Add(w.Step) {
		points = append(points, point{at, at.Add(w.Step), measure{vital: v, p75: math.NaN()}})
	}
	ask := func(expr string, take func(*point, model.Metric, float64)) error {
		matrix, err := n.prometheus.Range(ctx, expr, w.Start.Add(w.Step), w.End, w.Step)
		if err != nil {
			return reason(err)
		}
		for _, stream := range matrix {
			for _, pair := range stream.Values {
				if i := int(pair.Timestamp.Time().Sub(w.Start)/w.Step) - 1; i >= 0 && i < len(points) {
					take(&points[i], stream.Metric, float64(pair.Value))
				}
			}
		}
		return nil
	}
	err := ask(buckets(v.Metric, a, v.edges(), "", w.Step), func(p *point, m model.Metric, x float64) { p.add(edge(m), x) })
	if err != nil {
		return nil, err
	}
	return points, ask(quantile(v.Metric, a, "", w.Step), func(p *point, _ model.Metric, x float64) { p.p75 = x })
}

// bucket is one of a distribution: views whose value is above Low, and at most High.
type bucket struct{ Low, High, N float64 }

// distribution asks how many views are in each bucket, from the lowest.
func (n numbers) distribution(ctx context.Context, v vital, a among, w window) ([]bucket, error) {
	vector, err := n.vector(ctx, buckets(v.Metric, a, ".+", "", w.Length), w.Now)
	if err != nil {
		return nil, err
	}
	var all []bucket
	for _, s := range vector {
		all = append(all, bucket{math.Inf(-1), edge(s.Metric), float64(s.Value)})
	}
	slices.SortFunc(all, func(a, b bucket) int { return cmp.Compare(a.High, b.High) })
	for i := len(all) - 1; i > 0; i-- {
		all[i].Low = all[i-1].High
		all[i].N = max(all[i].N-all[i-1].N, 0)
	}
	return all, nil
}

// phase is one of a navigation, and its 75th percentile in seconds.
type phase struct {
	Name string
	P75  float64
}

// Millis is its 75th percentile in milliseconds.
func (p phase) Millis() float64 { return p.P75 * 1000 }

// phases are asked for in the order in which a navigation has them.
func (n numbers) phases(ctx context.Context, a among, w window) ([]phase, error) {
	vector, err := n.vector(ctx, quantile(phasesMetric, a, "phase", w.Length), w.Now)
	var all []phase
	for _, s := range vector {
		if x := float64(s.Value); !math.IsNaN(x) {
			all = append(all, phase{string(s.Metric["phase"]), x})
		}
	}
	place := func(p phase) int { return slices.Index(phaseOrder, p.Name) }
	slices.SortFunc(all, func(a, b phase) int { return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a.Name, b.Name)) })
	return all, err
}

// traced is a value with the trace of the view that it is of.
type traced struct {
	At    time.Time
	Value float64
	Trace string
	Kept  bool // so that there is more to be seen of it
}

// maxTraced are shown.
const maxTraced = 10

// exemplars asks for those of a vital, the highest first.
func (n numbers) exemplars(ctx context.Context, v vital, a among, w window) ([]traced, error) {
	answer, err := n.prometheus.Exemplars(ctx, v.Metric+"_bucket{"+a.matchers()+"}", w.Now.Add(-w.Length), w.Now)
	if err != nil {
		return nil, reason(err)
	}
	var all []traced
	for _, series := range answer {
		for _, e := range series.Exemplars {
			all = append(all, traced{e.Timestamp.Time(), float64(e.Value), string(e.Labels["trace_id"]), false})
		}
	}
	slices.SortFunc(all, func(a, b traced) int { return cmp.Compare(b.Value, a.Value) })
	seen := map[string]bool{}
	all = slices.DeleteFunc(all, func(t traced) bool {
		known := seen[t.Trace] || t.Trace == ""
		seen[t.Trace] = true
		return known
	})
	return all[:min(len(all), maxTraced)], nil
}

// together runs all at once, and returns what went wrong, each reason once.
func together(ctx context.Context, all ...func(context.Context) error) error {
	failed := make([]error, len(all))
	var wait sync.WaitGroup
	for i, run := range all {
		wait.Go(func() { failed[i] = run(ctx) })
	}
	wait.Wait()
	said := map[string]bool{"": true}
	var reasons []error
	for _, err := range failed {
		if err != nil && !said[err.Error()] {
			said[err.Error()] = true
			reasons = append(reasons, err)
		}
	}
	return errors.Join(reasons...)
}
