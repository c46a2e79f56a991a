package rum

import (
	"cmp"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metric is what METRICS.md says of one of this package's metrics.
type Metric struct {
	Name, Help string
	Labels     []string
}

// Metrics lists the package's metrics, by name.
func Metrics() []Metric {
	all := []Metric{
		beaconsMetric, botsMetric, droppedMetric, lateMetric, overflowMetric, phasesMetric, ratingsMetric, errorsMetric, networkMetric, violationsMetric, timingsMetric,
	}
	for _, v := range vitalBuckets {
		all = append(all, Metric{v.name, v.help, vitalLabels})
	}
	slices.SortFunc(all, func(a, b Metric) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

var (
	beaconsMetric    = Metric{"rum_beacons_total", "Beacons received, by the format of the client and by what became of them. Of one that is refused the format is unknown.", []string{"format", "outcome"}}
	botsMetric       = Metric{"rum_bot_beacons_total", "Beacons of programs, by what gives them away: that they say so to scripts, their name, or what their requests lack.", []string{"reason"}}
	ratingsMetric    = Metric{"rum_web_vital_ratings_total", "Web vitals of people, good, needs_improvement or poor, by browser family and by the country that a proxy has told.", []string{"vital", "rating", "browser", "country"}}
	overflowMetric   = Metric{"rum_series_overflow_total", "Values counted under page or country \"overflow\", for there were as many label sets as there may be.", []string{"metric"}}
	lateMetric       = Metric{"rum_values_late_total", "Vitals told anew after the value before was counted.", nil}
	errorsMetric     = Metric{"rum_page_errors_total", "What went wrong in pages: errors of scripts, rejections that nobody handled, what the content security policy kept from happening.", []string{"page", "kind", "device"}}
	networkMetric    = Metric{"rum_network_errors_total", "Requests of browsers that came to nothing, as Network Error Logging tells: each report stands for as many as its sampling fraction says.", []string{"phase", "type"}}
	violationsMetric = Metric{"rum_csp_violations_total", "Reports of what a content security policy has kept from happening, or would have.", []string{"directive", "disposition"}}
	droppedMetric    = Metric{"rum_values_dropped_total", "Values in beacons that cannot be true, by metric and reason.", []string{"metric", "reason"}}
	phasesMetric     = Metric{"rum_navigation_phase_seconds", "Time in each phase of a navigation, as the browser saw it.", []string{"page", "phase", "device"}}
	vitalLabels      = []string{"page", "device", "connection"}
)

// instruments are the package's Prometheus metrics. Every label has a closed set
// of values, so that no client can make a series.
type instruments struct {
	beacons, bots, dropped *prometheus.CounterVec
	network, violations    *prometheus.CounterVec
	late                   prometheus.Counter
	errors, ratings        *capped[prometheus.Counter]
	phases, timings        *capped[prometheus.Observer]
	vitals                 map[string]*capped[prometheus.Observer]
}

// vitalBuckets are the bucket edges: each vital's edges contain the limits of "good"
// and "poor", so that the shares of the ratings are exact. https://web.dev/articles/vitals
var vitalBuckets = []struct {
	vital, name, help string
	buckets           []float64
}{
	{"lcp", "rum_web_vital_lcp_seconds", "Largest Contentful Paint: good up to 2.5 s, poor above 4 s.", []float64{.25, .5, 1, 1.5, 2, 2.5, 3, 4, 6, 10, 30}},
	{"inp", "rum_web_vital_inp_seconds", "Interaction to Next Paint: good up to 0.2 s, poor above 0.5 s.", []float64{.016, .04, .1, .15, .2, .3, .4, .5, 1, 2, 5}},
	{"cls", "rum_web_vital_cls", "Cumulative Layout Shift, without unit: good up to 0.1, poor above 0.25.", []float64{0, .01, .025, .05, .1, .15, .2, .25, .5, 1, 2}},
	{"fcp", "rum_web_vital_fcp_seconds", "First Contentful Paint: good up to 1.8 s, poor above 3 s.", []float64{.1, .25, .5, 1, 1.4, 1.8, 2.4, 3, 5, 10, 30}},
	{"ttfb", "rum_web_vital_ttfb_seconds", "Time to First Byte: good up to 0.8 s, poor above 1.8 s.", []float64{.025, .05, .1, .2, .4, .8, 1.2, 1.8, 3, 5, 10}},
}

// newInstruments returns instruments that make no more than most label sets of
// histograms, and as many of counters.
func newInstruments(reg prometheus.Registerer, most int) *instruments {
	errors, ratings, overflows := counter(errorsMetric), counter(ratingsMetric), counter(overflowMetric)
	phases := histogram(phasesMetric, []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30})
	timings := histogram(timingsMetric, []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60})
	histograms, counters := newBudget(most), newBudget(most)
	m := &instruments{
		beacons: counter(beaconsMetric), bots: counter(botsMetric), dropped: counter(droppedMetric),
		network: counter(networkMetric), violations: counter(violationsMetric),
		late:    counter(lateMetric).WithLabelValues(),
		errors:  newCapped(errorsMetric, errors, "page", counters, overflows),
		ratings: newCapped(ratingsMetric, ratings, "country", counters, overflows),
		phases:  newCapped(phasesMetric, phases, "page", histograms, overflows),
		timings: newCapped(timingsMetric, timings, "page", histograms, overflows),
		vitals:  map[string]*capped[prometheus.Observer]{},
	}
	reg.MustRegister(m.beacons, m.bots, m.dropped, phases, timings, errors, ratings, overflows, m.network, m.violations, m.late)
	for _, format := range formats {
		m.beacons.WithLabelValues(format, accepted)
	}
	for _, outcome := range []string{malformed, tooLarge, limited, foreign} {
		m.beacons.WithLabelValues(unknown, outcome)
	}
	for _, reason := range []string{webdriver, byName, byShape} {
		m.bots.WithLabelValues(reason)
	}
	for _, v := range vitalBuckets {
		metric := Metric{v.name, v.help, vitalLabels}
		vec := histogram(metric, v.buckets)
		reg.MustRegister(vec)
		m.vitals[v.vital] = newCapped(metric, vec, "page", histograms, overflows)
	}
	return m
}

func counter(m Metric) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: m.Name, Help: m.Help}, m.Labels)
}

func histogram(m Metric, buckets []float64) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: m.Name, Help: m.Help, Buckets: buckets,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour,
	}, m.Labels)
}

// count counts what a beacon has beside samples.
func (m *instruments) count(b *Beacon, from *origin) {
	for _, e := range [...]struct {
		kind string
		n    uint
	}{{"error", b.Errors.Error}, {"rejection", b.Errors.Rejection}, {"csp", b.Errors.CSP}} {
		if e.n > 0 {
			counter, _ := m.errors.with(from.page, e.kind, from.device)
			counter.Add(float64(min(e.n, maxErrors)))
		}
	}
	if n := b.Network; n != nil {
		m.network.WithLabelValues(n.Phase, n.Type).Add(n.Weight)
	}
	if v := b.Violation; v != nil {
		m.violations.WithLabelValues(v.Directive, v.Disposition).Inc()
	}
}

// observe records one sample, with the trace of the page's response as exemplar, and a
// person's rating. It returns the page that it counts under.
func (m *instruments) observe(s Sample, from *origin) (page string) {
	var o prometheus.Observer
	value := s.Value / 1000
	switch {
	case s.Vital == "cls":
		value = s.Value
		fallthrough
	case s.Vital != "":
		o, page = m.vitals[s.Vital].with(from.page, from.device, from.connection)
	default:
		o, page = m.phases.with(from.page, s.Phase, from.device)
	}
	observe(o, value, from.trace)
	if rating := s.Rating(); rating != "" && from.device != bot {
		counter, _ := m.ratings.with(s.Vital, rating, from.browser, from.country)
		counter.Inc()
	}
	return page
}

// observe records a value; trace, unless it is "", becomes its exemplar.
func observe(o prometheus.Observer, value float64, trace string) {
	if trace == "" {
		o.Observe(value)
		return
	}
	o.(prometheus.ExemplarObserver).ObserveWithExemplar(value, prometheus.Labels{"trace_id": trace})
}
