package relay

import (
	"bytes"
	"hash/maphash"

	"addons/statsd-relay/statsd"
)

// cell is one key of one class in a shard. It has an interval for each of the
// shard's two planes. An alias is a way to write a key, and stands for its cell. It is
// 64 bytes, a line of the processor's cache.
type cell struct {
	raw    string // the key, or an alias's name and tags as sent
	series *series
	alias  uint32 // the number + 1 of the cell whose alias it is; 0: nobody's
	class  class
	plain  bool // of timers: not milliseconds but the sender's own unit
	used   bool
	tagged bool // an alias with tags
	data   [2]interval
}

// interval is what came for a cell since its plane was last emptied.
type interval struct {
	value   float64 // counters: the sum; gauges: the last value, or the change; timers: the sum of weights
	samples uint32
	first   uint32 // timers: their values, in the pool; gauges: settled, if value is no change
}

const settled = 1

// aliasTags is between the name and the tags of an alias: it is in no line.
const aliasTags = '\n'

// is says whether c has been sent as this name with these tags.
func (c *cell) is(name, tags []byte) bool {
	if len(tags) == 0 {
		return c.raw == string(name)
	}
	n := len(name)
	return len(c.raw) == n+1+len(tags) && c.raw[:n] == string(name) && c.raw[n] == aliasTags && c.raw[n+1:] == string(tags)
}

// table finds the cells of a shard. It is a hash table of numbers: cells lie in
// blocks and never move, so that their planes' lists can point to them.
type table struct {
	limit  int // of cells that are no aliases, and again of aliases
	styles statsd.Styles
	seed   maphash.Seed

	slots   []uint64 // hash and number + 1 of a cell; 0 is empty
	blocks  []*[blockCells]cell
	free    []uint32
	cells   int // no aliases
	aliases int
	key     []byte
}

// blockCells fill 32 KiB: whatever has pointers and is less takes eight bytes more.
const blockCells = 512

func newTable(limit int, styles statsd.Styles) *table {
	return &table{limit: limit, styles: styles, seed: maphash.MakeSeed(), slots: make([]uint64, 64)}
}

func (t *table) hash(c class, name, tags []byte) uint32 {
	h := maphash.Bytes(t.seed, name)
	if len(tags) > 0 {
		h ^= maphash.Bytes(t.seed, tags) * 0x9e3779b97f4a7c15
	}
	return uint32(h>>32) ^ uint32(h) + uint32(c)*0x9e3779b9
}

func (t *table) at(n uint32) *cell { return &t.blocks[n/blockCells][n%blockCells] }

// find returns a cell and its number by how its key was sent, nil if there is none.
func (t *table) find(h uint32, of class, name, tags []byte) (*cell, uint32) {
	mask := uint32(len(t.slots) - 1)
	for i := h & mask; t.slots[i] != 0; i = (i + 1) & mask {
		if uint32(t.slots[i]>>32) != h {
			continue
		}
		n := uint32(t.slots[i]) - 1
		c := t.at(n)
		if c.class != of || !c.is(name, tags) {
			continue
		}
		if c.alias != 0 {
			n = c.alias - 1
			c = t.at(n)
		}
		return c, n
	}
	return nil, 0
}

// cell returns the cell of a sample. For one that is known in the way that it was
// sent it allocates nothing.
func (t *table) cell(s *statsd.Sample) (*cell, statsd.Reason) {
	class := classOf[s.Type]
	h := t.hash(class, s.Name, s.Tags)
	if c, _ := t.find(h, class, s.Name, s.Tags); c != nil {
		return c, statsd.OK
	}
	var why statsd.Reason
	if t.key, why = s.AppendKey(t.key[:0], t.styles); why != statsd.OK {
		return nil, why
	}
	own := t.hash(class, t.key, nil)
	c, n := t.find(own, class, t.key, nil)
	if c == nil {
		c, n = t.enter(own, class, s.Type == statsd.Histogram)
	}
	if c.raw != Overflow && t.aliases < t.limit && (len(s.Tags) > 0 || string(s.Name) != string(t.key)) {
		t.aliases++
		raw := string(s.Name)
		if len(s.Tags) > 0 {
			raw += string(aliasTags) + string(s.Tags)
		}
		t.insert(h, cell{raw: raw, alias: n + 1, class: class, tagged: len(s.Tags) > 0})
	}
	return c, statsd.OK
}

// enter makes a cell for t.key; once the table is full, the class's overflow is
// all there is.
func (t *table) enter(h uint32, of class, plain bool) (*cell, uint32) {
	if t.cells >= t.limit {
		t.key = append(t.key[:0], Overflow...)
		h = t.hash(of, t.key, nil)
		if c, n := t.find(h, of, t.key, nil); c != nil {
			return c, n
		}
	}
	t.cells++
	return t.insert(h, cell{raw: string(t.key), class: of, plain: plain})
}

// insert puts c into a free place.
func (t *table) insert(h uint32, c cell) (*cell, uint32) {
	if len(t.free) == 0 {
		base := uint32(len(t.blocks) * blockCells)
		t.blocks = append(t.blocks, new([blockCells]cell))
		for n := range uint32(blockCells) {
			t.free = append(t.free, base+blockCells-1-n)
		}
	}
	n := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	c.used = true
	*t.at(n) = c
	if t.cells+t.aliases > most(len(t.slots)) {
		t.rebuild(2 * len(t.slots)) // c is in it
	} else {
		t.link(h, n)
	}
	return t.at(n), n
}

// most is how many of the slots may be in use: seven eighths, for slots tell by the
// hash whether it is worth to look at the cell, and eight are in a line of the
// processor's cache.
func most(slots int) int { return slots - slots/8 }

func (t *table) link(h, n uint32) {
	mask := uint32(len(t.slots) - 1)
	i := h & mask
	for t.slots[i] != 0 {
		i = (i + 1) & mask
	}
	t.slots[i] = uint64(h)<<32 | uint64(n+1)
}

// rebuild links all cells anew.
func (t *table) rebuild(slots int) {
	t.slots = make([]uint64, slots)
	var raw []byte
	t.each(func(n uint32, c *cell) {
		raw = append(raw[:0], c.raw...)
		name, tags := raw, []byte(nil)
		if c.tagged {
			name, tags, _ = bytes.Cut(raw, []byte{aliasTags})
		}
		t.link(t.hash(c.class, name, tags), n)
	})
}

func (t *table) each(f func(n uint32, c *cell)) {
	for b, block := range t.blocks {
		for i := range block {
			if block[i].used {
				f(uint32(b*blockCells+i), &block[i])
			}
		}
	}
}

// sweep forgets the cells of series that have ended or that never came to be, and
// their aliases; not those that have samples, of which the latter are to look for their
// series again, for there may be room now.
func (t *table) sweep() {
	before := t.cells + t.aliases
	gone := func(c *cell) bool {
		s := c.series
		return c.data[0].samples == 0 && c.data[1].samples == 0 && (s == nil || s.dead || s.key != c.raw)
	}
	t.each(func(n uint32, c *cell) {
		if c.alias != 0 && gone(t.at(c.alias-1)) {
			t.forget(n, c)
			t.aliases--
		}
	})
	t.each(func(n uint32, c *cell) {
		switch {
		case c.alias != 0:
		case gone(c):
			t.forget(n, c)
			t.cells--
		case c.series != nil && c.series.key != c.raw:
			c.series = nil
		}
	})
	if t.cells+t.aliases == before {
		return
	}
	slots := 64
	for t.cells+t.aliases > most(slots) {
		slots *= 2
	}
	t.rebuild(slots)
}

func (t *table) forget(n uint32, c *cell) {
	*c = cell{}
	t.free = append(t.free, n)
}
