package relay

import (
	"math"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// summary is what a Prometheus summary has beside its sum: its quantiles are over
// the last windows, the running one included, as client_golang's are. A window
// is a histogram of nothing but narrow buckets, which is what DDSketch is: a
// quantile is within 0.6 % of the sample at its nearest rank, or twice that after
// each doubling if a window has values of more than 2,048 buckets, which takes
// nine decades. statsd_exporter's (CKMS) is of a sample whose rank is near, by the
// error that the mapping says, whatever its distance; we don't heed that.
type summary struct {
	count   uint64  // samples in windows that are over
	sum     float64 // of those
	windows []histogram
	now     int       // the running one
	end     time.Time // of it
}

const (
	// maxWindows bounds age_buckets.
	maxWindows = 100
	// maxNatives bounds native_histogram_max_buckets.
	maxNatives = 4096
)

// sketched is the rule of a summary's windows: 64 buckets in each power of two.
var sketched = rule{class: timers, native: true, shift: 2, max: 2048}

func newSummary(r *rule, now time.Time) *summary {
	s := &summary{windows: make([]histogram, r.windows), end: now.Add(r.age)}
	for i := range s.windows {
		s.open(i)
	}
	return s
}

func (s *summary) open(window int) {
	s.windows[window] = histogram{rule: &sketched, shift: sketched.shift}
}

// window returns the running window.
func (s *summary) window(r *rule, now time.Time) *histogram {
	for i := 0; !now.Before(s.end) && i < len(s.windows); i++ {
		s.now = (s.now + 1) % len(s.windows)
		s.count += s.windows[s.now].count()
		s.sum += s.windows[s.now].value
		s.open(s.now)
		s.end = s.end.Add(r.age)
	}
	if !now.Before(s.end) { // after a silence of more than all windows
		s.end = now.Add(r.age)
	}
	return &s.windows[s.now]
}

// draw renders s into d, whose memory it uses.
func (s *summary) draw(d *dto.Summary, r *rule, now time.Time) {
	s.window(r, now)
	all := histogram{rule: &sketched, shift: sketched.shift}
	for i := range s.windows {
		all.merge(&s.windows[i])
	}
	n := all.count()
	set(&d.SampleCount, s.count+n)
	set(&d.SampleSum, s.sum+all.value)
	d.Quantile = resize(d.Quantile, len(r.quantiles))
	for i := range r.quantiles {
		d.Quantile[i].Quantile = &r.quantiles[i]
		set(&d.Quantile[i].Value, all.quantile(r.quantiles[i], n))
	}
}

// quantile is the value at q's nearest rank of n, NaN if there is none.
func (h *histogram) quantile(q float64, n uint64) float64 {
	rank := uint64(math.Ceil(q * float64(n)))
	for _, b := range h.buckets {
		if uint64(b.count) >= rank {
			return h.middle(b)
		}
		rank -= uint64(b.count)
	}
	return math.NaN()
}
