package relay

import (
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"addons/statsd-relay/statsd"
)

// class is what a series is aggregated as: timers and histograms are the same.
type class uint8

const (
	counters class = iota
	gauges
	timers
	sets
	classes
)

func (c class) String() string { return [...]string{"counter", "gauge", "timer", "set"}[c] }

// classOf says how each statsd.Type is aggregated.
var classOf = [...]class{statsd.Counter: counters, statsd.Gauge: gauges, statsd.Timer: timers, statsd.Histogram: timers, statsd.Set: sets}

// shard is where one reader aggregates what it reads. It has two planes: the
// reader fills the live one while the aggregator empties the other.
type shard struct {
	transport string
	bad       *badLines
	limits    limits
	tap       tap  // nil: none
	only      bool // the tap gets it, and nothing is aggregated

	mu      sync.Mutex
	table   *table
	planes  [2]plane
	live    int
	spare   *dirt
	scanner statsd.Scanner
	digest  xxhash.Digest // of set members
}

// limits are the bounds of a shard.
type limits struct {
	series, samples, members int
	seed                     uint64 // the same for all shards, so that members' hashes are comparable; no client knows it
	pool                     *pool
	styles                   statsd.Styles
}

func newShard(transport string, bad *badLines, l limits) *shard {
	s := &shard{transport: transport, bad: bad, limits: l, table: newTable(l.series, l.styles)}
	for i := range s.planes {
		s.planes[i].pool = l.pool
	}
	return s
}

// plane is what came in since it was last emptied, but for the cells' own numbers.
type plane struct {
	arena
	dirty    *dirt // cells with samples, in order of the first
	last     *dirt // the end of that list
	extras   map[*cell]*extra
	negative map[*cell]float64 // of counters: what of the sum was below zero
	stamped  map[stamped]float64

	packets, bytes, started int64 // started are lines
	lines                   [5]int64
	bad                     [16]int64
	members, unstamped      int64 // left out
}

// dirt lists cells, in a page of memory. Those that are no more needed serve again,
// for both planes.
type dirt struct {
	next  *dirt
	n     int
	cells [509]*cell // with eight bytes of the memory manager's
}

// mark notes that a cell has samples.
func (s *shard) mark(p *plane, c *cell) {
	if p.last == nil || p.last.n == len(p.last.cells) {
		s.lengthen(p)
	}
	p.last.cells[p.last.n] = c
	p.last.n++
}

func (s *shard) lengthen(p *plane) {
	d := s.spare
	if d == nil {
		d = &dirt{}
	}
	s.spare, d.next, d.n = d.next, nil, 0
	if p.last == nil {
		p.dirty = d
	} else {
		p.last.next = d
	}
	p.last = d
}

// recycle takes the first of the list back, and returns those behind it.
func (s *shard) recycle(d *dirt) (next *dirt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next = d.next
	d.next, s.spare = s.spare, d
	return next
}

// extra is what few cells and series have.
type extra struct {
	members map[uint64]struct{} // of sets, as hashes
	rest    *excess             // of timers: what was too much to be kept one by one
	shown   *histogram          // the same, for Prometheus
}

// stamped is a point at a time of its own, which no flush aggregates with others.
type stamped struct {
	class class
	key   string
	at    int64 // Unix seconds
}

// read takes a datagram, or whole lines of a stream. The shard is locked.
func (s *shard) read(b []byte) {
	p := &s.planes[s.live]
	p.packets++
	p.bytes += int64(len(b))
	if s.tap != nil {
		if s.tap.take(b); s.only {
			return
		}
	}
	sc := &s.scanner
	for sc.Reset(b); sc.Scan(); {
		if sc.Bad != statsd.OK {
			s.refuse(sc.Bad, sc.Line)
		} else if why := s.sample(p, &sc.Sample); why != statsd.OK {
			s.refuse(why, sc.Line)
		}
	}
	p.started += int64(sc.Lines)
}

// sample adds one.
func (s *shard) sample(p *plane, one *statsd.Sample) statsd.Reason {
	if one.Time != 0 && (one.Type == statsd.Counter || one.Type == statsd.Gauge) {
		return s.stamp(p, one)
	}
	c, why := s.table.cell(one)
	if why == statsd.OK {
		s.add(p, c, one)
	}
	return why
}

// refuse counts what is bad, and keeps the line for the status page. The shard
// is locked.
func (s *shard) refuse(why statsd.Reason, line []byte) {
	s.planes[s.live].bad[why]++
	s.bad.keep(why, line)
}

// put takes a value from within the program.
func (s *shard) put(key string, typ statsd.Type, value float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &s.planes[s.live]
	p.packets++
	p.started++
	sample := statsd.Sample{Name: []byte(key), Type: typ, Value: value, Rate: 1}
	why := sample.Check()
	if why == statsd.OK {
		why = s.sample(p, &sample)
	}
	if why != statsd.OK {
		s.refuse(why, []byte(key))
	}
}

// swap gives the aggregator what has been filled, and the number of its plane.
func (s *shard) swap() (*plane, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	filled := s.live
	s.live = 1 - s.live
	return &s.planes[filled], filled
}

// add adds a sample to its cell.
func (s *shard) add(p *plane, c *cell, sample *statsd.Sample) {
	p.lines[sample.Type]++
	d := &c.data[s.live]
	if d.samples == 0 {
		s.mark(p, c)
	}
	d.samples++
	switch c.class {
	case counters:
		v := sample.Value
		if sample.Rate != 1 {
			v *= 1 / sample.Rate // as etsy's, down to the rounding
		}
		d.value += v
		if v < 0 {
			p.below(c, v)
		}
	case gauges:
		if sample.Change {
			d.value += sample.Value
		} else {
			d.value, d.first = sample.Value, settled
		}
	case timers:
		s.time(p, c, d, sample.Value, 1/sample.Rate)
	case sets:
		s.member(p, c, sample.Member)
	}
}

// time adds a timer's value: to its list, and to the sketch what is too much for that.
func (s *shard) time(p *plane, c *cell, d *interval, value, weight float64) {
	d.value += weight
	if d.samples <= uint32(s.limits.samples) {
		if head, ok := p.arena.add(d.first, value, weight); ok {
			d.first = head
			return
		}
	}
	x := p.extra(c)
	if x.rest == nil {
		x.rest, x.shown = newExcess(), newHistogram(c.plain)
	}
	x.rest.add(value)
	x.shown.observe(value, weight)
}

// below adds to what of a counter's sum was below zero.
func (p *plane) below(c *cell, v float64) {
	if p.negative == nil {
		p.negative = map[*cell]float64{}
	}
	p.negative[c] += v
}

func (p *plane) extra(c *cell) *extra {
	x := p.extras[c]
	if x == nil {
		if p.extras == nil {
			p.extras = map[*cell]*extra{}
		}
		x = &extra{}
		p.extras[c] = x
	}
	return x
}

// stamp adds a counter's or a gauge's value to what there is of that time.
func (s *shard) stamp(p *plane, sample *statsd.Sample) statsd.Reason {
	key, why := sample.AppendKey(s.table.key[:0], s.limits.styles)
	if s.table.key = key; why != statsd.OK {
		return why
	}
	p.lines[sample.Type]++
	class := classOf[sample.Type]
	before, known := p.stamped[stamped{class, string(key), sample.Time}]
	if !known && len(p.stamped) >= s.limits.series {
		p.unstamped++
		return statsd.OK
	}
	if p.stamped == nil {
		p.stamped = map[stamped]float64{}
	}
	v := sample.Value
	switch {
	case class == counters:
		v = before + v/sample.Rate
	case sample.Change:
		v += before
	}
	p.stamped[stamped{class, string(key), sample.Time}] = v
	return statsd.OK
}

// member adds to a set. Sets hold 64 bits of a hash instead of the members: at
// 100,000 members, two are taken for one once in four billion flushes.
func (s *shard) member(p *plane, c *cell, m []byte) {
	x := p.extra(c)
	if x.members == nil {
		x.members = map[uint64]struct{}{}
	}
	s.digest.ResetWithSeed(s.limits.seed)
	s.digest.Write(m) // it never fails
	h := s.digest.Sum64()
	if _, known := x.members[h]; known {
		return
	}
	if len(x.members) >= s.limits.members {
		p.members++
		return
	}
	x.members[h] = struct{}{}
}

// keptBad is how many bad lines the status page shows.
const keptBad = 20

// badLine is one of them, cut to a readable length.
type badLine struct {
	at   time.Time
	why  statsd.Reason
	text [160]byte
	n    int
}

// badLines are the last bad lines. The zero value is ready.
type badLines struct {
	mu   sync.Mutex
	next int
	ring [keptBad]badLine
}

func (b *badLines) keep(why statsd.Reason, line []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := &b.ring[b.next%keptBad]
	b.next++
	l.at, l.why = time.Now(), why
	l.n = copy(l.text[:], line)
}

// last returns the lines kept, newest first.
func (b *badLines) last() []badLine {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []badLine
	for i := b.next - 1; i >= 0 && i >= b.next-keptBad; i-- {
		all = append(all, b.ring[i%keptBad])
	}
	return all
}
