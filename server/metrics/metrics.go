// Package metrics is the instrument: one declaration makes the Prometheus metric
// and the statsd key, and every observation reaches both, so that Graphite and
// Prometheus tell the same number. It also carries, in the context, what one
// request or task has spent so far (Ledger).
//
// Instruments are declared with a Desc on a Registry, resolved to handles once
// (With), and cost no label lookup afterwards. All of it is safe for concurrent use.
package metrics

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Desc declares an instrument.
type Desc struct {
	// Name in Prometheus: base units, counters end in _total.
	Name string
	// Help is one sentence that says what is counted or timed.
	Help string
	// Labels in order. A label with Values is a closed set; when all are, every
	// series exists at zero from the start.
	Labels []Label
	// Keys are the statsd keys that the same observation goes to, with {label} for
	// a label's value: "cache.{backend}.{operation}". None: Prometheus only.
	Keys []string
	// Buckets are the classic histogram's upper bounds in the metric's unit; nil is
	// DurationBuckets. The native histogram is there in any case.
	Buckets []float64
	// Span is the Server-Timing entry (see Ledger) that a histogram's observations
	// add to: "db", "cache", "search"… "" for none.
	Span string
	// Limit is how many label sets may exist; further ones are counted under
	// "other". 0 is 1,000.
	Limit int
	// Debug marks a metric that no panel and no rule needs to use.
	Debug bool
}

// Label is one label's name and, if the set is closed and known, its values.
type Label struct {
	Name   string
	Values []string
}

// L is a Label, short because every declaration has some.
func L(name string, values ...string) Label { return Label{Name: name, Values: values} }

// Other is the label value that stands for all beyond an instrument's Limit.
const Other = "other"

// DurationBuckets (seconds) are those OpenTelemetry advises for HTTP servers,
// with finer ones below for cache hits and update checks.
// https://opentelemetry.io/docs/specs/semconv/http/http-metrics/
var DurationBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}

// SizeBuckets (bytes) are for bodies.
var SizeBuckets = []float64{256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20}

// CountBuckets are for small whole numbers, as queries in a request.
var CountBuckets = []float64{0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144}

// Registry holds the instruments of one platform. There is no global one: two
// platforms can live in one process.
type Registry struct {
	prom   *prometheus.Registry
	statsd Statsd

	mu       sync.Mutex
	families map[string]*family
	timers   *HistogramVec
	overflow *CounterVec
}

// Statsd is where the statsd lines go; *statsd.Client of smira/go-statsd fits it.
type Statsd interface {
	Incr(key string, count int64, tags ...Tag)
	PrecisionTiming(key string, d time.Duration, tags ...Tag)
	FGauge(key string, value float64, tags ...Tag)
}

// New returns an empty Registry that sends statsd lines to client (nil: none).
// Go runtime and process metrics are in it from the start.
func New(client Statsd) *Registry {
	r := &Registry{
		prom:     prometheus.NewRegistry(),
		statsd:   client,
		families: map[string]*family{},
	}
	r.prom.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	r.overflow = r.Counter(Desc{
		Name:   "addons_metrics_overflow_total",
		Help:   "Label sets refused because their metric had reached its limit, each now counted under \"other\".",
		Labels: []Label{L("metric")},
	})
	r.timers = r.Histogram(Desc{
		Name: "addons_timer_seconds", Help: "Time in a section of code that was given a name with metrics.Time.",
		Labels: []Label{L("timer")}, Keys: []string{"{timer}"}, Span: "timer", Limit: 200, Debug: true,
	})
	return r
}

// Prometheus returns the registry behind r: to gather from it, or to register
// collectors that bring their own numbers (connection pools, a library's).
func (r *Registry) Prometheus() *prometheus.Registry { return r.prom }

// family is one declared instrument with its series.
type family struct {
	desc     Desc
	registry *Registry
	vec      any // *CounterVec, *HistogramVec or *GaugeVec, so that a second declaration gets the first's

	mu     sync.RWMutex
	series map[string]any
}

// Declared is a declaration and what it declares: "counter", "gauge" or "histogram".
type Declared struct {
	Desc
	Kind string
}

// Catalogue lists what was declared, by name.
func (r *Registry) Catalogue() []Declared {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Declared, 0, len(r.families))
	for _, f := range r.families {
		kind := "counter"
		switch f.vec.(type) {
		case *GaugeVec:
			kind = "gauge"
		case *HistogramVec:
			kind = "histogram"
		}
		all = append(all, Declared{f.desc, kind})
	}
	slices.SortFunc(all, func(a, b Declared) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// declare returns the family of d, the one there is if d was declared before.
// Two different declarations of one name are a programmer's mistake.
func declare[V any](r *Registry, d Desc, build func(*family) V) V {
	r.mu.Lock()
	if f, ok := r.families[d.Name]; ok {
		r.mu.Unlock()
		v, same := f.vec.(V)
		if !same || !reflect.DeepEqual(f.desc, d) {
			panic(fmt.Sprintf("metrics: %s is declared twice, differently", d.Name))
		}
		return v
	}
	f := &family{desc: d, registry: r, series: map[string]any{}}
	v := build(f)
	f.vec = v
	r.families[d.Name] = f
	r.mu.Unlock()
	return v
}

// all calls with for every combination of a closed label set's values; not at
// all if a label is open.
func (f *family) all(with func(...string)) {
	sets := [][]string{{}}
	for _, l := range f.desc.Labels {
		if len(l.Values) == 0 {
			return
		}
		var next [][]string
		for _, s := range sets {
			for _, v := range l.Values {
				next = append(next, append(slices.Clone(s), v))
			}
		}
		sets = next
	}
	for _, s := range sets {
		with(s...)
	}
}

// resolve returns the series of the label values, made by build the first time.
// Past the limit it is the series whose values are all Other.
func resolve[S any](f *family, values []string, build func(values, keys []string) S) S {
	if len(values) != len(f.desc.Labels) {
		panic(fmt.Sprintf("metrics: %s takes %d label values, got %q", f.desc.Name, len(f.desc.Labels), values))
	}
	id := strings.Join(values, "\xff")
	f.mu.RLock()
	s, ok := f.series[id]
	f.mu.RUnlock()
	if ok {
		return s.(S)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if s, ok := f.series[id]; ok {
		return s.(S)
	}
	limit := cmp.Or(f.desc.Limit, 1000)
	if len(f.series) >= limit {
		f.registry.overflow.With(f.desc.Name).Inc()
		values = slices.Repeat([]string{Other}, len(values))
		id = strings.Join(values, "\xff")
		if s, ok := f.series[id]; ok {
			return s.(S)
		}
	}
	made := build(slices.Clone(values), f.keys(values))
	f.series[id] = made
	return made
}

// keys fills the statsd key templates.
func (f *family) keys(values []string) []string {
	keys := make([]string, len(f.desc.Keys))
	for i, template := range f.desc.Keys {
		for j, l := range f.desc.Labels {
			template = strings.ReplaceAll(template, "{"+l.Name+"}", keySafe(values[j], len(f.desc.Labels) == 1 && template == "{"+l.Name+"}"))
		}
		keys[i] = template
	}
	return keys
}

// keySafe replaces what would end a statsd key or split it where no split is
// meant. A whole key (dotted) keeps its dots.
func keySafe(value string, dotted bool) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-':
			return c
		case c == '.' && dotted:
			return c
		}
		return '_'
	}, value)
}

// labels are the names of d's labels.
func (d Desc) labels() []string {
	names := make([]string, len(d.Labels))
	for i, l := range d.Labels {
		names[i] = l.Name
	}
	return names
}

// Time starts a named timer: `defer metrics.Time(ctx, "submit.validate")()`.
// The name is a constant of the code, dotted, and is the statsd key as it is.
// Without a Registry in ctx (see Into) it only adds to the ledger.
func Time(ctx context.Context, name string) func() {
	start := time.Now()
	return func() {
		if r, ok := ctx.Value(registryKey{}).(*Registry); ok {
			r.timers.With(name).Observe(ctx, time.Since(start))
			return
		}
		From(ctx).Add("timer", time.Since(start))
	}
}

type registryKey struct{}

// Into returns ctx with r as the registry of Time.
func Into(ctx context.Context, r *Registry) context.Context {
	return context.WithValue(ctx, registryKey{}, r)
}
