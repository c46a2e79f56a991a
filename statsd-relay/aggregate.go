package relay

import (
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"addons/statsd-relay/statsd"
)

// series is one key of one class, from its first sample until it expires.
type series struct {
	key    string
	metric *metric // in Prometheus; nil if its name could not be had
	seen   uint32  // when its last sample was merged, in Unix seconds
	class  class
	plain  bool // of timers: not milliseconds but the sender's own unit
	dead   bool

	// Since the last flush:
	first   uint32 // of timers: their values, in the pool
	samples uint32
	value   float64 // as an interval's
	extra   *extra
}

// aggregator merges the shards into series. At a flush it hands out the
// interval's numbers; what Prometheus gets is brought up to date at each merge.
type aggregator struct {
	cfg         Config
	self        *self
	percentiles []percentile
	histograms  []bins
	pool        *pool
	seed        uint64        // of set members' hashes
	interval    time.Duration // of the next interval, when a reload has changed it

	mu       sync.Mutex
	shards   []*shard
	series   [classes]index
	nobody   series // has no key, is in no index, and never has a value
	count    int
	prefixes map[string]int // series by the first part of their names
	stray    bool           // shards have cells that their series does not want any more
	pages    []uint32       // of the interval
	stamped  map[stamped]float64
	prom     *exposition
	top      []keyRate // of the last flush
	values   []float64 // for a timer at a time
	made     flush     // the piece that is made; its memory serves each in turn

	// Counts of the interval that etsy's statsd sends as its own.
	badLines, packets, lines int64
	lastFlush                time.Time
}

func newAggregator(cfg Config, self *self) *aggregator {
	a := &aggregator{
		cfg: cfg, self: self, pool: newPool(cfg.TimerMemory), seed: rand.Uint64(), prom: newExposition(cfg.Prometheus.rules),
		prefixes: map[string]int{}, stamped: map[stamped]float64{}, nobody: series{class: gauges, dead: true},
	}
	a.summarise(cfg)
	return a
}

// summarise sets what is computed of timers.
func (a *aggregator) summarise(cfg Config) {
	a.percentiles, a.histograms = nil, nil
	for _, p := range cfg.Percentiles {
		a.percentiles = append(a.percentiles, newPercentile(p))
	}
	for _, rule := range cfg.Histogram {
		a.histograms = append(a.histograms, newBins(rule))
	}
}

// newShard adds a shard for one reader.
func (a *aggregator) newShard(transport string, bad *badLines) *shard {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := newShard(transport, bad, limits{a.cfg.MaxSeries, a.cfg.TimerSamples, a.cfg.SetMembers, a.seed, a.pool, statsd.AllStyles})
	a.shards = append(a.shards, s)
	return s
}

// reseed changes the seed, before any member of a set has come.
func (a *aggregator) reseed(seed uint64) {
	a.seed = seed
	for _, s := range a.shards {
		s.mu.Lock()
		s.limits.seed = seed
		s.mu.Unlock()
	}
}

// merge takes in what the shards hold. Within a shard, and so for each sender,
// the order of gauges is kept; between shards it is not known.
func (a *aggregator) merge() {
	now := time.Now()
	for _, s := range a.shards {
		a.empty(s, now)
	}
	for c := range a.series {
		a.self.series[c].Set(float64(a.series[c].len()))
	}
	a.self.conflicts.Set(float64(a.prom.refused))
	a.self.dropped.Set(float64(a.prom.dropped))
}

// empty takes all from the plane that a shard has filled.
func (a *aggregator) empty(s *shard, now time.Time) {
	p, n := s.swap()
	for d := p.dirty; d != nil; d = s.recycle(d) {
		for _, c := range d.cells[:d.n] {
			a.fold(c, &c.data[n], p, now)
			c.data[n] = interval{}
		}
	}
	p.dirty, p.last, p.extras = nil, nil, nil
	clear(p.negative)
	a.pages = append(a.pages, p.leave()...)
	for at, v := range p.stamped {
		a.stamp(at, v)
	}
	p.stamped = nil
	a.tally(s.transport, p)
}

// tally counts what a plane has counted.
func (a *aggregator) tally(transport string, p *plane) {
	a.self.packets[transport].Add(p.packets)
	a.self.bytes[transport].Add(p.bytes)
	for typ, n := range p.lines {
		a.self.lines[typ].Add(n)
	}
	for why := range a.self.bad {
		if n := p.bad[why]; n > 0 {
			a.self.bad[why].Add(n)
			a.badLines += n
		}
	}
	a.self.members.Add(p.members)
	a.self.unstamped.Add(p.unstamped)
	a.packets += p.packets
	a.lines += p.started
	p.packets, p.bytes, p.started, p.members, p.unstamped = 0, 0, 0, 0, 0
	clear(p.lines[:])
	clear(p.bad[:])
}

// stamp adds a shard's point to what there is of that time.
func (a *aggregator) stamp(at stamped, v float64) {
	before, known := a.stamped[at]
	switch {
	case !known && len(a.stamped) >= a.cfg.MaxSeries:
		a.self.unstamped.Add(1)
	case at.class == counters:
		a.stamped[at] = before + v
	default:
		a.stamped[at] = v
	}
}

// fold adds a cell's interval, of plane p, to its series.
func (a *aggregator) fold(c *cell, d *interval, p *plane, now time.Time) {
	if c.series == nil || c.series.dead {
		c.series = a.find(c)
		a.stray = a.stray || c.series.key != c.raw
	}
	s := c.series
	if s.key != c.raw || s.key == Overflow {
		a.self.overflow[c.class].Add(int64(d.samples))
		if c.class == gauges {
			return // the last value of many gauges says nothing
		}
	}
	s.seen = uint32(now.Unix())
	s.samples += d.samples
	switch c.class {
	case counters:
		s.value += d.value
		s.metric.add(d.value - p.negative[c]) // in Prometheus a counter never falls
	case gauges:
		if d.first == settled {
			s.value = 0
		}
		s.value += d.value
		s.metric.set(s.value)
	case timers:
		a.time(s, d, p.extras[c], c.plain)
	case sets:
		a.self.members.Add(s.join(p.extras[c].members, a.cfg.SetMembers))
		s.metric.atLeast(float64(len(s.extra.members)))
	}
}

// time adds a timer's interval. The list of values changes hands; only beyond the
// limit it is put into the sketch.
func (a *aggregator) time(s *series, d *interval, x *extra, plain bool) {
	s.value += d.value
	last := a.pool.each(d.first, func(c *chunk) { s.metric.chunk(c, plain) })
	if last != nil {
		last.next, s.first = s.first, d.first
	}
	if x != nil {
		s.metric.merge(x.shown)
		s.spill(x.rest)
		a.self.sketched.Add(int64(x.rest.n))
	}
	if int(s.samples) > a.cfg.TimerSamples && s.first != 0 {
		s.spill(newExcess())
		n := s.extra.rest.n
		a.pool.each(s.first, func(c *chunk) { c.each(func(v, _ float64) { s.extra.rest.add(v) }) })
		a.self.sketched.Add(int64(s.extra.rest.n - n))
		s.first = 0
	}
}

// spill merges r into the series' rest.
func (s *series) spill(r *excess) {
	switch {
	case s.extra == nil:
		s.extra = &extra{rest: r}
	default:
		s.extra.rest.merge(r)
	}
}

// join adds members up to limit, and returns how many it left out.
func (s *series) join(members map[uint64]struct{}, limit int) (dropped int64) {
	if s.extra == nil {
		s.extra = &extra{members: map[uint64]struct{}{}}
	}
	for m := range members {
		if _, known := s.extra.members[m]; !known && len(s.extra.members) >= limit {
			dropped++
			continue
		}
		s.extra.members[m] = struct{}{}
	}
	return dropped
}

// find returns the series of a cell, a new one if there is none. Beyond a limit it
// is its prefix's or its class's Overflow; of gauges, which are left out, nobody's.
func (a *aggregator) find(c *cell) *series {
	key := c.raw
	if s := a.series[c.class].get(key); s != nil {
		return s
	}
	prefix := prefixOf(key)
	if a.cfg.MaxPerPrefix > 0 && a.prefixes[prefix] >= a.cfg.MaxPerPrefix && prefix != key {
		key = prefix + "." + Overflow
	}
	if s := a.series[c.class].get(key); s != nil {
		return s
	}
	if a.count >= a.cfg.MaxSeries {
		key = Overflow
		if s := a.series[c.class].get(key); s != nil {
			return s
		}
	}
	if c.class == gauges && (key != c.raw || key == Overflow) {
		return &a.nobody
	}
	s := &series{key: key, class: c.class, plain: c.plain}
	s.metric = a.prom.enter(key, c.class, c.plain)
	a.series[c.class].put(s)
	a.prefixes[prefixOf(key)]++
	a.count++
	return s
}

// prefixOf is the first part of a key's name.
func prefixOf(key string) string {
	if i := strings.IndexAny(key, ".;"); i >= 0 {
		return key[:i]
	}
	return key
}

// flush is a piece of what one interval came to, for the sinks: some of its series,
// and in the last piece what etsy's statsd says about itself. A sink has it until its
// send returns: the next piece takes its memory. See add.
type flush struct {
	at       time.Time
	interval time.Duration

	counters []point // values are counts
	gauges   []point
	sets     []point
	timers   []timerPoint
	stats    []stat // the timers'
	stamped  []stampedPoint

	last                     bool // of the interval; the rest is for it alone
	series                   int  // in all pieces
	badLines, packets, lines int64
	took                     time.Duration // to compute it
	late                     time.Duration // behind the interval
}

// add adds a copy of what piece has of series.
func (f *flush) add(piece *flush) {
	f.counters, f.gauges = append(f.counters, piece.counters...), append(f.gauges, piece.gauges...)
	f.sets, f.stamped = append(f.sets, piece.sets...), append(f.stamped, piece.stamped...)
	for _, t := range piece.timers {
		f.timer(t.key, t.plain, append(f.stats, t.stats...))
	}
}

// timer adds a timer, whose stats are what stats has more than f.stats.
func (f *flush) timer(key string, plain bool, stats []stat) {
	f.timers = append(f.timers, timerPoint{key, stats[len(f.stats):len(stats):len(stats)], plain})
	f.stats = stats
}

// points returns of how many series f has points.
func (f *flush) points() int {
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
	plain bool // no milliseconds
}

// stampedPoint is a counter's or a gauge's value at a time of its own.
type stampedPoint struct {
	stamped
	value float64
}

// pieceSeries is how many series a piece has, so that a large flush is never in
// memory as a whole: 500 timers are some 7,000 points, half a megabyte for carbon.
const pieceSeries = 500

// flush merges, ends the interval and gives its numbers, stamped with at, to emit
// in pieces, of which there is at least one.
func (a *aggregator) flush(at time.Time, emit func(*flush)) {
	start := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.merge()
	a.top = a.topKeys()
	total := 0
	f := a.piece(at)
	for c := range a.series {
		for s := range a.series[c].all() {
			if a.end(s, f, start); f.points() >= pieceSeries {
				total += f.points()
				emit(f)
				f = a.piece(at)
			}
		}
	}
	for at, v := range a.stamped {
		f.stamped = append(f.stamped, stampedPoint{at, v})
	}
	clear(a.stamped)
	f.last, f.series = true, total+f.points()
	f.badLines, f.packets, f.lines = a.badLines, a.packets, a.lines
	if !a.lastFlush.IsZero() {
		f.late = at.Sub(a.lastFlush) - a.cfg.Flush
	}
	f.took = time.Since(start)
	emit(f)
	a.lastFlush = at
	a.badLines, a.packets, a.lines = 0, 0, 0
	a.pool.release(a.pages)
	a.pages = a.pages[:0]
	a.sweep()
}

// piece begins a piece, in the memory of the one before.
func (a *aggregator) piece(at time.Time) *flush {
	f := &a.made
	*f = flush{
		at: at, interval: a.cfg.Flush, counters: f.counters[:0], gauges: f.gauges[:0], sets: f.sets[:0],
		timers: f.timers[:0], stats: f.stats[:0], stamped: f.stamped[:0],
	}
	return f
}

// end adds the series' numbers to f and begins its next interval.
func (a *aggregator) end(s *series, f *flush, now time.Time) {
	if s.samples == 0 && a.cfg.Expire > 0 && now.Sub(time.Unix(int64(s.seen), 0)) >= a.cfg.Expire {
		a.expire(s)
		return
	}
	shown := s.samples > 0 || !a.cfg.deletes(s.class)
	switch s.class {
	case counters:
		if shown {
			f.counters = append(f.counters, point{s.key, s.value})
		}
		s.value = 0
	case gauges:
		if shown {
			f.gauges = append(f.gauges, point{s.key, s.value})
		}
	case sets:
		n := s.shown()
		if shown {
			f.sets = append(f.sets, point{s.key, n})
		}
		s.metric.settle(n)
	case timers:
		if shown {
			f.timer(s.key, s.plain, a.stats(f.stats, s))
		}
		s.value, s.first = 0, 0
	}
	s.samples, s.extra = 0, nil
}

// stats appends a timer's numbers.
func (a *aggregator) stats(to []stat, s *series) []stat {
	a.values = a.pool.values(a.values[:0], s.first)
	d := distribution{values: a.values, weight: s.value}
	if s.extra != nil {
		d.rest = s.extra.rest
	}
	to = d.stats(to, a.percentiles, a.cfg.Flush.Seconds())
	for _, h := range a.histograms {
		if strings.Contains(s.key, h.metric) {
			return d.count(to, h)
		}
	}
	return to
}

func (a *aggregator) expire(s *series) {
	a.series[s.class].kill(s)
	a.stray = true
	a.prom.leave(s.metric)
	a.count--
	prefix := prefixOf(s.key)
	if a.prefixes[prefix]--; a.prefixes[prefix] == 0 {
		delete(a.prefixes, prefix)
	}
	a.self.expired[s.class].Inc()
}

// sweep frees what is held of series that are no more, if there are any.
func (a *aggregator) sweep() {
	if !a.stray {
		return
	}
	a.stray = false
	for c := range a.series {
		a.series[c].sweep()
	}
	for _, s := range a.shards {
		s.mu.Lock()
		s.table.sweep()
		s.mu.Unlock()
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
	for c := range a.series {
		for s := range a.series[c].all() {
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
	case sets:
		if s.extra == nil {
			return 0
		}
		return float64(len(s.extra.members))
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
