package metrics

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/smira/go-statsd"
)

// Tag is go-statsd's; none of ours is sent, because Graphite has no use for them.
type Tag = statsd.Tag

// CounterVec is a declared counter.
type CounterVec struct {
	family *family
	prom   *prometheus.CounterVec
}

// Counter declares a counter.
func (r *Registry) Counter(d Desc) *CounterVec {
	v := declare(r, d, func(f *family) *CounterVec {
		prom := prometheus.NewCounterVec(prometheus.CounterOpts{Name: d.Name, Help: d.Help}, d.labels())
		r.prom.MustRegister(prom)
		return &CounterVec{f, prom}
	})
	v.family.all(func(values ...string) { v.With(values...) })
	return v
}

// With returns the counter of the label values, in the order of the Desc.
func (v *CounterVec) With(values ...string) *Counter {
	return resolve(v.family, values, func(values, keys []string) *Counter {
		c := &Counter{prom: v.prom.WithLabelValues(values...), statsd: v.family.registry.statsd, keys: keys}
		if b, ok := c.statsd.(*Batch); ok {
			for _, key := range keys {
				c.batched = append(c.batched, b.counter(key))
			}
			c.statsd = nil
		}
		return c
	})
}

// Counter is one series.
type Counter struct {
	prom    prometheus.Counter
	statsd  Statsd // nil if batched
	keys    []string
	batched []*counts
}

// Inc counts one.
func (c *Counter) Inc() { c.Add(1) }

// Add counts n ≥ 0; of nothing, nothing is sent.
func (c *Counter) Add(n int64) {
	if !On || n <= 0 {
		return
	}
	c.prom.Add(float64(n))
	for _, b := range c.batched {
		b.n.Add(n)
	}
	if c.statsd != nil {
		for _, key := range c.keys {
			c.statsd.Incr(key, n)
		}
	}
}

// AddTime counts seconds, for Prometheus alone.
func (c *Counter) AddTime(d time.Duration) {
	if On && d > 0 {
		c.prom.Add(d.Seconds())
	}
}

// Value is what Prometheus gets, for pages that show it.
func (c *Counter) Value() float64 { return written(c.prom).GetCounter().GetValue() }

func written(m prometheus.Metric) *dto.Metric {
	var d dto.Metric
	if err := m.Write(&d); err != nil {
		panic(err) // of a counter or a gauge it can't
	}
	return &d
}

// HistogramVec is a declared histogram: classic and native in Prometheus, a
// timer in statsd.
type HistogramVec struct {
	family *family
	prom   *prometheus.HistogramVec
}

// Histogram declares a histogram.
func (r *Registry) Histogram(d Desc) *HistogramVec {
	buckets := d.Buckets
	if buckets == nil {
		buckets = DurationBuckets
	}
	v := declare(r, d, func(f *family) *HistogramVec {
		prom := prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: d.Name, Help: d.Help, Buckets: buckets,
			// The values that Prometheus's own instrumentation uses: 10 % wide
			// buckets, 160 of them at the most, started anew at most hourly.
			NativeHistogramBucketFactor:     1.1,
			NativeHistogramMaxBucketNumber:  160,
			NativeHistogramMinResetDuration: time.Hour,
		}, d.labels())
		r.prom.MustRegister(prom)
		return &HistogramVec{f, prom}
	})
	v.family.all(func(values ...string) { v.With(values...) })
	return v
}

// With returns the histogram of the label values, in the order of the Desc.
func (v *HistogramVec) With(values ...string) *Histogram {
	return resolve(v.family, values, func(values, keys []string) *Histogram {
		h := &Histogram{prom: v.prom.WithLabelValues(values...), statsd: v.family.registry.statsd, keys: keys, span: v.family.desc.Span}
		if b, ok := h.statsd.(*Batch); ok && len(keys) > 0 {
			h.batched, h.statsd = b.timer(keys), nil
		}
		return h
	})
}

// Histogram is one series.
type Histogram struct {
	prom    prometheus.Observer
	statsd  Statsd // nil if batched
	batched *timings
	keys    []string
	span    string

	nextExemplar atomic.Int64 // a Moment
}

const (
	// exemplarEvery is how often a series keeps the trace of an ordinary
	// observation: an exemplar costs more than the observation itself, and a
	// scrape sees one per bucket.
	exemplarEvery = time.Second
	// exemplarAlways (in the metric's unit, thus mostly seconds) is from where on
	// an observation is slow enough that somebody will look for its trace.
	exemplarAlways = 0.1
)

// Observe records a duration: seconds to Prometheus, with the request's trace id
// as exemplar if it is slow or the first for a second, milliseconds to statsd, and both to the ledger under the Desc's Span.
func (h *Histogram) Observe(ctx context.Context, d time.Duration) {
	if !On {
		return
	}
	h.record(ctx, d.Seconds())
	h.send(d)
	h.charge(ctx, d)
}

// Share adds to ctx's ledger what Observe does, and no more: for who waited for work that
// is observed once, as somebody else's.
func (h *Histogram) Share(ctx context.Context, d time.Duration) {
	if On {
		h.charge(ctx, d)
	}
}

func (h *Histogram) charge(ctx context.Context, d time.Duration) {
	if h.span == "" {
		return
	}
	l := From(ctx)
	l.Add(h.span, d)
	if len(h.keys) > 0 {
		l.work(h.span, h.keys[0], d)
	}
}

// ObserveAt is Observe for a path on which nanoseconds count: it reads no clock, no
// context and no ledger, and adds to no span. now is when d ended.
func (h *Histogram) ObserveAt(now Moment, d time.Duration, trace TraceID) {
	if !On {
		return
	}
	value := d.Seconds()
	if h.wantsExemplar(now, value) {
		h.prom.(prometheus.ExemplarObserver).ObserveWithExemplar(value, prometheus.Labels{"trace_id": trace.String()})
	} else {
		h.prom.Observe(value)
	}
	h.send(d)
}

// Add records a value that is no duration, without a trace and without statsd: for
// bytes and counts on a path on which nanoseconds count.
func (h *Histogram) Add(value float64) {
	if On {
		h.prom.Observe(value)
	}
}

func (h *Histogram) send(d time.Duration) {
	if h.batched != nil {
		h.batched.add(d)
		return
	}
	if h.statsd != nil {
		for _, key := range h.keys {
			h.statsd.PrecisionTiming(key, d)
		}
	}
}

// Record records a value that is no duration (bytes, a count). Statsd timers
// have no unit, so its keys get the value as it is.
func (h *Histogram) Record(ctx context.Context, value float64) {
	if !On {
		return
	}
	h.record(ctx, value)
	h.send(time.Duration(value * float64(time.Millisecond)))
}

func (h *Histogram) record(ctx context.Context, value float64) {
	if l := From(ctx); l != nil && h.wantsExemplar(Now(), value) {
		h.prom.(prometheus.ExemplarObserver).ObserveWithExemplar(value, l.exemplar)
		return
	}
	h.prom.Observe(value)
}

// wantsExemplar says whether the observation is slow, or the first for a while.
func (h *Histogram) wantsExemplar(now Moment, value float64) bool {
	if value >= exemplarAlways {
		return true
	}
	next := h.nextExemplar.Load()
	return int64(now) >= next && h.nextExemplar.CompareAndSwap(next, int64(now)+int64(exemplarEvery))
}

// GaugeVec is a declared gauge.
type GaugeVec struct {
	family *family
	prom   *prometheus.GaugeVec
}

// Gauge declares a gauge.
func (r *Registry) Gauge(d Desc) *GaugeVec {
	v := declare(r, d, func(f *family) *GaugeVec {
		prom := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: d.Name, Help: d.Help}, d.labels())
		r.prom.MustRegister(prom)
		return &GaugeVec{f, prom}
	})
	v.family.all(func(values ...string) { v.With(values...) })
	return v
}

// With returns the gauge of the label values, in the order of the Desc.
func (v *GaugeVec) With(values ...string) *Gauge {
	return resolve(v.family, values, func(values, keys []string) *Gauge {
		return &Gauge{v.prom.WithLabelValues(values...), v.family.registry.statsd, keys}
	})
}

// Forget drops the series of the label values: what it was about is no more. A
// Gauge that is still held for it is set in vain.
func (v *GaugeVec) Forget(values ...string) {
	v.family.mu.Lock()
	defer v.family.mu.Unlock()
	v.prom.DeleteLabelValues(values...)
	delete(v.family.series, strings.Join(values, "\xff"))
}

// Gauge is one series.
type Gauge struct {
	prom   prometheus.Gauge
	statsd Statsd
	keys   []string
}

// Set sets the value, in Prometheus and in statsd.
func (g *Gauge) Set(value float64) {
	if !On {
		return
	}
	g.prom.Set(value)
	if g.statsd != nil {
		for _, key := range g.keys {
			g.statsd.FGauge(key, value)
		}
	}
}

// Value is what Prometheus gets.
func (g *Gauge) Value() float64 { return written(g.prom).GetGauge().GetValue() }

// Add changes the value in Prometheus alone: for what goes up and down all the
// time, such as requests in flight.
func (g *Gauge) Add(delta float64) {
	if On {
		g.prom.Add(delta)
	}
}
