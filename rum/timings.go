package rum

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// timingsMetric is what pages' own scripts have timed by rum.mark and rum.measure.
var timingsMetric = Metric{"rum_user_timing_seconds", "What the pages' own scripts have timed by rum.mark and rum.measure: until a mark since the view's start, or a measure. Names that are not configured are \"other\".", []string{"page", "name"}}

// otherTiming stands for names that are not configured.
const otherTiming = "other"

// maxTimings bounds how many names may be configured: each is a histogram of every page.
const maxTimings = 32

// timingName is a part of a key in Graphite.
var timingName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)

// CheckTimings says what is wrong with the names for Config.Timings.
func CheckTimings(names []string) error {
	if len(names) > maxTimings {
		return fmt.Errorf("%d names of timings: %d are the most", len(names), maxTimings)
	}
	for _, name := range names {
		if !timingName.MatchString(name) || name == otherTiming {
			return fmt.Errorf("timing %q: a name has at most 32 lower-case letters, digits, _ and -, and begins with a letter; %q is taken", name, otherTiming)
		}
	}
	return nil
}

func newTimings() *prometheus.HistogramVec {
	return histogram(timingsMetric, []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60})
}

// timings records what the page's own script has timed.
func (h *Handler) timings(b Beacon, page string) {
	for _, t := range b.Timings {
		name := otherTiming
		if i := slices.Index(h.cfg.Timings, t.Name); i >= 0 {
			name = h.cfg.Timings[i]
		}
		h.sink.Timing("rum."+page+".timing."+name, t.Value)
		o := h.metrics.timings.WithLabelValues(page, name)
		if trace := b.Trace(); trace != "" {
			o.(prometheus.ExemplarObserver).ObserveWithExemplar(t.Value/1000, prometheus.Labels{"trace_id": trace})
		} else {
			o.Observe(t.Value / 1000)
		}
	}
}
