package rum

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// maxLabelSets that all histograms have together, and all counters, unless the Config
// says another number: Config.LabelSets says how many its lists can make. Each is some
// twenty series for Prometheus.
const maxLabelSets = 2000

// overflow is the page, or the country, of values whose label set is one too many.
const overflow = "overflow"

// budget is how many label sets metrics may still make.
type budget struct{ left atomic.Int64 }

func newBudget(most int) *budget {
	b := &budget{}
	b.left.Store(int64(most))
	return b
}

// take takes one, false if there is none.
func (b *budget) take() bool { return b.left.Load() > 0 && b.left.Add(-1) >= 0 }

// capped is a metric that shares its budget of label sets with others. When it is spent,
// a new set's values count under "overflow" in the label that has most values; sums over that
// label stay right. The sets with it are not of the budget: they are as many as the other labels
// make, which are few.
type capped[M any] struct {
	vec      interface{ WithLabelValues(values ...string) M }
	gives    int // index of the label
	budget   *budget
	overflow prometheus.Counter

	mu    sync.RWMutex
	known map[labelSet]M
}

// labelSet has the values of all labels, "" of those that a metric does not have.
type labelSet [4]string

func newCapped[M any](of Metric, vec interface{ WithLabelValues(values ...string) M }, gives string, b *budget, overflows *prometheus.CounterVec) *capped[M] {
	return &capped[M]{vec: vec, gives: slices.Index(of.Labels, gives), budget: b, overflow: overflows.WithLabelValues(of.Name), known: map[labelSet]M{}}
}

// with returns the series of these values, in order of the metric's labels, and the value of
// the label that is given up: the one asked for, or "overflow".
func (c *capped[M]) with(values ...string) (m M, counted string) {
	var set labelSet
	copy(set[:], values)
	c.mu.RLock()
	m, ok := c.known[set]
	c.mu.RUnlock()
	if ok {
		return m, set[c.gives]
	}
	return c.add(set, len(values))
}

func (c *capped[M]) add(set labelSet, labels int) (m M, counted string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m, ok := c.known[set]; ok {
		return m, set[c.gives]
	}
	if !c.budget.take() {
		c.overflow.Inc()
		set[c.gives] = overflow
		return c.vec.WithLabelValues(set[:labels]...), overflow
	}
	m = c.vec.WithLabelValues(set[:labels]...)
	c.known[set] = m
	return m, set[c.gives]
}
