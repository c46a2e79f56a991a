package relay

import (
	"hash/maphash"
	"sync"
	"time"

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

// shard is where one reader aggregates what it reads. It has two tables: the
// reader fills the live one while the aggregator empties the other.
type shard struct {
	transport string
	bad       *badLines
	tap       tap  // nil: none
	only      bool // the tap gets it, and nothing is aggregated

	mu      sync.Mutex
	live    *table
	scanner statsd.Scanner
	key     []byte

	spare *table // the aggregator's
}

func newShard(transport string, bad *badLines, limits limits) *shard {
	return &shard{transport: transport, bad: bad, live: newTable(limits), spare: newTable(limits)}
}

// read takes a datagram, or whole lines of a stream. The shard is locked.
func (s *shard) read(b []byte) {
	t := s.live
	t.packets++
	t.bytes += int64(len(b))
	if s.tap != nil {
		if s.tap.take(b); s.only {
			return
		}
	}
	sc := &s.scanner
	for sc.Reset(b); sc.Scan(); {
		if sc.Bad != statsd.OK {
			s.refuse(sc.Bad, sc.Line)
			continue
		}
		var why statsd.Reason
		if s.key, why = sc.AppendKey(s.key[:0], statsd.AllStyles); why != statsd.OK {
			s.refuse(why, sc.Line)
			continue
		}
		t.add(s.key, &sc.Sample)
	}
	t.started += int64(sc.Lines)
}

// refuse counts what is bad, and keeps the line for the status page. The shard
// is locked.
func (s *shard) refuse(why statsd.Reason, line []byte) {
	s.live.bad[why]++
	s.bad.keep(why, line)
}

// put takes a value from within the program.
func (s *shard) put(key string, typ statsd.Type, value float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.live
	t.packets++
	t.started++
	sample := statsd.Sample{Type: typ, Value: value, Rate: 1}
	var why statsd.Reason
	if s.key, why = statsd.AppendName(s.key[:0], key); why == statsd.OK {
		why = sample.Check()
	}
	if why != statsd.OK {
		s.refuse(why, []byte(key))
		return
	}
	t.add(s.key, &sample)
}

// swap gives the aggregator what has been filled.
func (s *shard) swap() *table {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live, s.spare = s.spare, s.live
	return s.spare
}

// limits are the bounds of a table.
type limits struct{ series, samples, members int }

// table holds what came in since it was last emptied. Its cells stay, so that a
// key that is known costs one look-up and no allocation.
type table struct {
	limits limits
	cells  [classes]map[string]*cell
	count  int     // of all cells
	dirty  []*cell // those with samples

	packets, bytes, started int64 // started are lines
	lines                   [5]int64
	bad                     [16]int64
	sketched, members       int64 // samples sketched, members dropped
}

func newTable(l limits) *table {
	t := &table{limits: l}
	for c := range t.cells {
		t.cells[c] = map[string]*cell{}
	}
	return t
}

// cell is one key of a table. It holds what its class needs.
type cell struct {
	key     string
	class   class
	plain   bool    // of timers: not milliseconds but the sender's own unit
	series  *series // where it goes; nil until the aggregator has seen it
	samples int64

	value    float64 // counters: the sum; gauges: the last value, or the change
	negative float64 // counters: what of the sum was below zero
	set      bool    // gauges: value is no change

	times   distribution
	spilled *histogram // timers: what distribution has no single values of any more

	members map[uint64]struct{}
}

// add takes one sample.
func (t *table) add(key []byte, s *statsd.Sample) {
	t.lines[s.Type]++
	class := classOf[s.Type]
	c, ok := t.cells[class][string(key)]
	if !ok {
		c = t.newCell(class, key, s.Type == statsd.Histogram)
	}
	if c.samples == 0 {
		t.dirty = append(t.dirty, c)
	}
	c.samples++
	switch class {
	case counters:
		v := s.Value * (1 / s.Rate) // as etsy's, down to the rounding
		c.value += v
		if v < 0 {
			c.negative += v
		}
	case gauges:
		if s.Change {
			c.value += s.Value
		} else {
			c.value, c.set = s.Value, true
		}
	case timers:
		t.time(c, s.Value, 1/s.Rate)
	case sets:
		t.member(c, s.Member)
	}
}

// newCell makes a cell; once the table is full, the class's overflow is all there is.
func (t *table) newCell(class class, key []byte, plain bool) *cell {
	if t.count >= t.limits.series {
		if c, ok := t.cells[class][Overflow]; ok {
			return c
		}
		key = []byte(Overflow)
	}
	c := &cell{key: string(key), class: class, plain: plain}
	t.cells[class][c.key] = c
	t.count++
	return c
}

// time adds a timer's value. At the limit, the values go to the sketch and, for
// Prometheus, to a histogram.
func (t *table) time(c *cell, value, weight float64) {
	if len(c.times.values) >= t.limits.samples {
		if c.spilled == nil {
			c.spilled = newHistogram(c.plain)
		}
		c.times.each(c.spilled.observe)
		t.sketched += int64(c.times.spill())
	}
	c.times.add(value, weight)
}

// seed makes the hashes of all shards' set members comparable.
var seed = maphash.MakeSeed()

// member adds to a set. Sets hold 64 bits of a hash instead of the members: at
// 100,000 members, two are taken for one once in four billion flushes.
func (t *table) member(c *cell, m []byte) {
	if c.members == nil {
		c.members = map[uint64]struct{}{}
	}
	h := maphash.Bytes(seed, m)
	if _, known := c.members[h]; known {
		return
	}
	if len(c.members) >= t.limits.members {
		t.members++
		return
	}
	c.members[h] = struct{}{}
}

// reset empties the cell and keeps its memory, unless that was far too much.
func (c *cell) reset() {
	c.samples, c.value, c.negative, c.set, c.spilled = 0, 0, 0, false, nil
	c.times.reset()
	if len(c.members) > 1000 {
		c.members = nil
	}
	clear(c.members)
}

// sweep forgets the cells of series that have ended or never came to be.
func (t *table) sweep() {
	for _, cells := range t.cells {
		for key, c := range cells {
			if c.series != nil && (c.series.dead || c.series.key != key) {
				delete(cells, key)
				t.count--
			}
		}
	}
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
