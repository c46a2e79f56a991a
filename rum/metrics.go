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
	all := []Metric{beaconsMetric, droppedMetric, lateMetric, phasesMetric, errorsMetric, networkMetric, violationsMetric, timingsMetric}
	for _, v := range vitalBuckets {
		all = append(all, Metric{v.name, v.help, vitalLabels})
	}
	slices.SortFunc(all, func(a, b Metric) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

var (
	beaconsMetric    = Metric{"rum_beacons_total", "Beacons received, by the format of the client and by what became of them. Of one that is refused the format is unknown.", []string{"format", "outcome"}}
	lateMetric       = Metric{"rum_values_late_total", "Vitals told anew after the value before was counted.", nil}
	errorsMetric     = Metric{"rum_page_errors_total", "What went wrong in pages: errors of scripts, rejections that nobody handled, what the content security policy kept from happening.", []string{"page", "kind"}}
	networkMetric    = Metric{"rum_network_errors_total", "Requests of browsers that came to nothing, as Network Error Logging tells: each report stands for as many as its sampling fraction says.", []string{"phase", "type"}}
	violationsMetric = Metric{"rum_csp_violations_total", "Reports of what a content security policy has kept from happening, or would have.", []string{"directive", "disposition"}}
	droppedMetric    = Metric{"rum_values_dropped_total", "Values in beacons that cannot be true, by metric and reason.", []string{"metric", "reason"}}
	phasesMetric     = Metric{"rum_navigation_phase_seconds", "Time in each phase of a navigation, as the browser saw it.", []string{"page", "phase", "device"}}
	vitalLabels      = []string{"page", "device", "connection"}
)

// instruments are the package's Prometheus metrics. Every label has a closed set
// of values, so that no client can make a series.
type instruments struct {
	beacons, dropped            *prometheus.CounterVec
	errors, network, violations *prometheus.CounterVec
	late                        prometheus.Counter
	phases, timings             *prometheus.HistogramVec
	vitals                      map[string]*prometheus.HistogramVec
}

// vitalHelp and the bucket edges: each vital's edges contain the limits of "good"
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

func newInstruments(reg prometheus.Registerer) *instruments {
	m := &instruments{
		beacons: counter(beaconsMetric),
		dropped: counter(droppedMetric),
		errors:  counter(errorsMetric), network: counter(networkMetric), violations: counter(violationsMetric),
		late:    counter(lateMetric).WithLabelValues(),
		phases:  histogram(phasesMetric, []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}),
		vitals:  map[string]*prometheus.HistogramVec{},
		timings: newTimings(),
	}
	reg.MustRegister(m.timings, m.beacons, m.dropped, m.phases, m.errors, m.network, m.violations, m.late)
	for _, format := range formats {
		m.beacons.WithLabelValues(format, accepted)
	}
	for _, outcome := range []string{malformed, tooLarge, limited, foreign} {
		m.beacons.WithLabelValues(unknown, outcome)
	}
	for _, v := range vitalBuckets {
		m.vitals[v.vital] = histogram(Metric{v.name, v.help, vitalLabels}, v.buckets)
		reg.MustRegister(m.vitals[v.vital])
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
func (m *instruments) count(b Beacon, page string) {
	for kind, n := range map[string]uint{"error": b.Errors.Error, "rejection": b.Errors.Rejection, "csp": b.Errors.CSP} {
		if n > 0 {
			m.errors.WithLabelValues(page, kind).Add(float64(min(n, maxErrors)))
		}
	}
	if n := b.Network; n != nil {
		m.network.WithLabelValues(n.Phase, n.Type).Add(n.Weight)
	}
	if v := b.Violation; v != nil {
		m.violations.WithLabelValues(v.Directive, v.Disposition).Inc()
	}
}

// observe records one sample, with the trace of the page's response as exemplar.
func (m *instruments) observe(s Sample, page, device, connection, trace string) {
	var o prometheus.Observer
	value := s.Value / 1000
	switch {
	case s.Vital == "cls":
		value = s.Value
		fallthrough
	case s.Vital != "":
		o = m.vitals[s.Vital].WithLabelValues(page, device, connection)
	default:
		o = m.phases.WithLabelValues(page, s.Phase, device)
	}
	if trace == "" {
		o.Observe(value)
		return
	}
	o.(prometheus.ExemplarObserver).ObserveWithExemplar(value, prometheus.Labels{"trace_id": trace})
}
