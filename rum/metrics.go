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
		beaconsMetric, botsMetric, droppedMetric, lateMetric, overflowMetric, phasesMetric, ratingsMetric, viewsMetric, errorsMetric, networkMetric, violationsMetric, timingsMetric,
		notRestoredMetric, confidenceMetric, randomMetric,
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
	viewsMetric      = Metric{"rum_views_total", "Page views that the site's own script has told of, by where the page came from: server, browser_cache (fresh in the browser's HTTP cache), back_forward_cache, page (a soft navigation). Those from the server are to be compared with the pages that it has sent.", []string{"page", "source"}}
	overflowMetric   = Metric{"rum_series_overflow_total", "Values counted under page or country \"overflow\", for there were as many label sets as there may be.", []string{"metric"}}
	lateMetric       = Metric{"rum_values_late_total", "Vitals told anew after the value before was counted.", nil}
	errorsMetric     = Metric{"rum_page_errors_total", "What went wrong in pages: errors of scripts, rejections that nobody handled, what the content security policy kept from happening, and load_*: images, scripts, links (style sheets, mostly) and other elements whose resource could not be loaded.", []string{"page", "kind", "device"}}
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
	errors, ratings, views *capped[prometheus.Counter]
	notRestored            *capped[prometheus.Counter]
	confidence, random     *capped[prometheus.Counter]
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

// newInstruments returns instruments that make no more than cfg's label sets of
// histograms, and as many of counters.
func newInstruments(reg prometheus.Registerer, cfg Config) *instruments {
	most := cmp.Or(cfg.MaxLabelSets, maxLabelSets)
	errors, ratings, views, overflows := counter(errorsMetric), counter(ratingsMetric), counter(viewsMetric), counter(overflowMetric)
	phases := histogram(phasesMetric, []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30})
	timings := histogram(timingsMetric, []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60})
	notRestored, confidence, random := counter(notRestoredMetric), counter(confidenceMetric), counter(randomMetric)
	histograms, counters := newBudget(most), newBudget(most)
	m := &instruments{
		beacons: counter(beaconsMetric), bots: counter(botsMetric), dropped: counter(droppedMetric),
		network: counter(networkMetric), violations: counter(violationsMetric),
		late:        counter(lateMetric).WithLabelValues(),
		errors:      newCapped(errorsMetric, errors, "page", counters, overflows),
		ratings:     newCapped(ratingsMetric, ratings, "country", counters, overflows),
		views:       newCapped(viewsMetric, views, "page", counters, overflows),
		notRestored: newCapped(notRestoredMetric, notRestored, "page", counters, overflows),
		confidence:  newCapped(confidenceMetric, confidence, "page", counters, overflows),
		random:      newCapped(randomMetric, random, "page", counters, overflows),
		phases:      newCapped(phasesMetric, phases, "page", histograms, overflows),
		timings:     newCapped(timingsMetric, timings, "page", histograms, overflows),
		vitals:      map[string]*capped[prometheus.Observer]{},
	}
	reg.MustRegister(m.beacons, m.bots, m.dropped, phases, timings, errors, ratings, views, notRestored, confidence, random, overflows, m.network, m.violations, m.late)
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
	m.begin(cfg, most)
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

// Kinds of what goes wrong in a page, the values of a label.
const (
	scriptError = "error"
	rejection   = "rejection"
	blocked     = "csp"
	noImage     = "load_image"
	noScript    = "load_script"
	noLink      = "load_link"
	noOther     = "load_other"
)

var kinds = []string{scriptError, rejection, blocked, noImage, noScript, noLink, noOther}

// count counts what a beacon has beside samples.
func (m *instruments) count(b *Beacon, from *origin) {
	for _, e := range [...]struct {
		kind string
		n    uint
	}{
		{scriptError, b.Errors.Error}, {rejection, b.Errors.Rejection}, {blocked, b.Errors.CSP},
		{noImage, b.Errors.Image}, {noScript, b.Errors.Script}, {noLink, b.Errors.Link}, {noOther, b.Errors.Other},
	} {
		if e.n > 0 {
			add(m.errors, float64(min(e.n, maxErrors)), from.page, e.kind, from.device)
		}
	}
	if b.Format == own {
		add(m.views, 1, from.page, b.source())
	}
	for _, reason := range b.NotRestored {
		add(m.notRestored, 1, from.page, reason)
	}
	if c := b.Confidence; c != nil && from.device != bot { // which start a browser for each of their visits
		add(m.confidence, 1, from.page, c.Value)
		add(m.random, c.Rate, from.page)
	}
	if n := b.Network; n != nil {
		m.network.WithLabelValues(n.Phase, n.Type).Add(n.Weight)
	}
	if v := b.Violation; v != nil {
		m.violations.WithLabelValues(v.Directive, v.Disposition).Inc()
	}
}

func add(to *capped[prometheus.Counter], n float64, labels ...string) {
	counter, _ := to.with(labels...)
	counter.Add(n)
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
