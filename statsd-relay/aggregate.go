package relay

import (
	"strings"
	"sync"
	"time"
)

// series is one key of one class, from its first sample until it expires.
type series struct {
	key   string
	class class
	dead  bool
	seen  time.Time // of its last sample, to the precision of a merge

	samples int64 // since the last flush, as all that follows
	value   float64
	times   distribution
	members map[uint64]struct{}

	metric *metric // in Prometheus; nil if its name could not be had
}

// aggregator merges the shards into series. At a flush it hands out the
// interval's numbers; what Prometheus gets is brought up to date at each merge.
type aggregator struct {
	cfg         Config
	self        *self
	percentiles []percentile
	interval    time.Duration // of the next interval, when a reload has changed it

	mu     sync.Mutex
	shards []*shard
	series [classes]map[string]*series
	count  int
	prom   *exposition
	top    []keyRate // of the last flush

	// Counts of the interval that etsy's statsd sends as its own.
	badLines, packets, lines int64
	lastFlush                time.Time
}

func newAggregator(cfg Config, self *self) *aggregator {
	a := &aggregator{cfg: cfg, self: self, prom: newExposition()}
	for _, p := range cfg.Percentiles {
		a.percentiles = append(a.percentiles, newPercentile(p))
	}
	for c := range a.series {
		a.series[c] = map[string]*series{}
	}
	return a
}

// newShard adds a shard for one reader.
func (a *aggregator) newShard(transport string, bad *badLines) *shard {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := newShard(transport, bad, limits{a.cfg.MaxSeries, a.cfg.TimerSamples, a.cfg.SetMembers})
	a.shards = append(a.shards, s)
	return s
}

// merge takes in what the shards hold. Within a shard, and so for each sender,
// the order of gauges is kept; between shards it is not known.
func (a *aggregator) merge() {
	now := time.Now()
	for _, s := range a.shards {
		a.empty(s.transport, s.swap(), now)
	}
	for c := range a.series {
		a.self.series[c].Set(float64(len(a.series[c])))
	}
	a.self.conflicts.Set(float64(a.prom.refused))
}

// empty takes all from a table.
func (a *aggregator) empty(transport string, t *table, now time.Time) {
	for _, c := range t.dirty {
		a.fold(c, now)
		c.reset()
	}
	t.dirty = t.dirty[:0]
	a.self.packets[transport].Add(t.packets)
	a.self.bytes[transport].Add(t.bytes)
	for typ, n := range t.lines {
		a.self.lines[typ].Add(n)
	}
	for why := range a.self.bad {
		if n := t.bad[why]; n > 0 {
			a.self.bad[why].Add(n)
			a.badLines += n
		}
	}
	a.self.sketched.Add(t.sketched)
	a.self.members.Add(t.members)
	a.packets += t.packets
	a.lines += t.started
	t.packets, t.bytes, t.started, t.sketched, t.members = 0, 0, 0, 0, 0
	clear(t.lines[:])
	clear(t.bad[:])
}

// fold adds a cell to its series.
func (a *aggregator) fold(c *cell, now time.Time) {
	if c.series == nil || c.series.dead {
		c.series = a.find(c)
	}
	s := c.series
	if s.key == Overflow {
		a.self.overflow[c.class].Add(c.samples)
		if c.class == gauges {
			return // the last value of many gauges says nothing
		}
	}
	s.seen = now
	s.samples += c.samples
	switch c.class {
	case counters:
		s.value += c.value
		s.metric.add(c.value - c.negative) // in Prometheus a counter never falls
	case gauges:
		if c.set {
			s.value = 0
		}
		s.value += c.value
		s.metric.set(s.value)
	case timers:
		s.metric.observe(c)
		a.self.sketched.Add(int64(s.times.merge(&c.times, a.cfg.TimerSamples)))
	case sets:
		a.self.members.Add(s.join(c.members, a.cfg.SetMembers))
		s.metric.atLeast(float64(len(s.members)))
	}
}

// join adds members up to limit, and returns how many it left out.
func (s *series) join(members map[uint64]struct{}, limit int) (dropped int64) {
	if s.members == nil {
		s.members = map[uint64]struct{}{}
	}
	for m := range members {
		if _, known := s.members[m]; !known && len(s.members) >= limit {
			dropped++
			continue
		}
		s.members[m] = struct{}{}
	}
	return dropped
}

// find returns the series of a cell, a new one if there is none; beyond the
// limit it is its class's Overflow.
func (a *aggregator) find(c *cell) *series {
	key := c.key
	if s, ok := a.series[c.class][key]; ok {
		return s
	}
	if a.count >= a.cfg.MaxSeries {
		if s, ok := a.series[c.class][Overflow]; ok {
			return s
		}
		key = Overflow
	}
	s := &series{key: key, class: c.class}
	s.metric = a.prom.enter(key, c.class, c.plain)
	a.series[c.class][key] = s
	a.count++
	return s
}

// flush is what one interval came to, for the sinks. It is not changed any more.
type flush struct {
	at       time.Time
	interval time.Duration

	counters []point // values are counts
	gauges   []point
	sets     []point
	timers   []timerPoint

	badLines, packets, lines int64
	took                     time.Duration // to compute it
	late                     time.Duration // behind the interval
}

// series returns of how many series f has points.
func (f *flush) series() int {
	return len(f.counters) + len(f.gauges) + len(f.sets) + len(f.timers)
}

// point is one value.
type point struct {
	key   string
	value float64
}

// timerPoint is what a timer came to.
type timerPoint struct {
	key   string
	stats []stat
}

// flush merges, ends the interval and returns its numbers, stamped with at.
func (a *aggregator) flush(at time.Time) *flush {
	start := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.merge()
	f := &flush{at: at, interval: a.cfg.Flush, badLines: a.badLines, packets: a.packets, lines: a.lines}
	if !a.lastFlush.IsZero() {
		f.late = at.Sub(a.lastFlush) - a.cfg.Flush
	}
	a.lastFlush = at
	a.badLines, a.packets, a.lines = 0, 0, 0
	a.top = a.topKeys()
	for _, all := range a.series {
		for _, s := range all {
			a.end(s, f, start)
		}
	}
	a.sweep()
	f.took = time.Since(start)
	return f
}

// end adds the series' numbers to f and begins its next interval.
func (a *aggregator) end(s *series, f *flush, now time.Time) {
	if a.cfg.Expire > 0 && now.Sub(s.seen) >= a.cfg.Expire {
		a.expire(s)
		return
	}
	idle := s.samples == 0 && a.cfg.deletes(s.class)
	switch s.class {
	case counters:
		if !idle {
			f.counters = append(f.counters, point{s.key, s.value})
		}
		s.value = 0
	case gauges:
		if !idle {
			f.gauges = append(f.gauges, point{s.key, s.value})
		}
	case sets:
		n := float64(len(s.members))
		if !idle {
			f.sets = append(f.sets, point{s.key, n})
		}
		s.metric.set(n)
		s.members = nil
	case timers:
		if !idle {
			f.timers = append(f.timers, timerPoint{s.key, s.times.stats(nil, a.percentiles, a.cfg.Flush.Seconds())})
		}
		s.times.reset()
	}
	s.samples = 0
}

func (a *aggregator) expire(s *series) {
	s.dead = true
	a.prom.leave(s.metric)
	delete(a.series[s.class], s.key)
	a.count--
	a.self.expired[s.class].Inc()
}

// sweep frees the cells of series that are no more, in both tables of each shard.
func (a *aggregator) sweep() {
	now := time.Now()
	for _, s := range a.shards {
		s.spare.sweep()
		t := s.swap()
		a.empty(s.transport, t, now)
		t.sweep()
	}
}

// keyRate is how often a key came in the last interval.
type keyRate struct {
	Key   string
	Type  string
	Rate  float64 // a second
	Value float64 // of the interval: a counter's count, a gauge's value…
}

// topShown is how many keys the status page lists.
const topShown = 25

// topKeys are the busiest keys of the interval, the busiest first.
func (a *aggregator) topKeys() []keyRate {
	var best []*series
	for _, all := range a.series {
		for _, s := range all {
			if s.samples == 0 {
				continue
			}
			i := len(best)
			for i > 0 && busier(s, best[i-1]) {
				i--
			}
			if i >= topShown {
				continue
			}
			if len(best) < topShown {
				best = append(best, nil)
			}
			copy(best[i+1:], best[i:])
			best[i] = s
		}
	}
	top := make([]keyRate, len(best))
	for i, s := range best {
		top[i] = keyRate{s.key, s.class.String(), float64(s.samples) / a.cfg.Flush.Seconds(), s.shown()}
	}
	return top
}

func busier(a, b *series) bool {
	if a.samples != b.samples {
		return a.samples > b.samples
	}
	return a.key < b.key
}

// shown is one number to show of a series.
func (s *series) shown() float64 {
	switch s.class {
	case timers:
		return s.times.weight
	case sets:
		return float64(len(s.members))
	}
	return s.value
}

// splitKey parts a series' key into name and tags, which keep their first ';'.
func splitKey(key string) (name, tags string) {
	if i := strings.IndexByte(key, ';'); i >= 0 {
		return key[:i], key[i:]
	}
	return key, ""
}
