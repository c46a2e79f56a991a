package relay

import (
	"runtime"
	"slices"
	"sync"
)

// chunk holds some values of a timer; a list of chunks holds an interval's. It is a
// line of the processor's cache, and has no pointers for the garbage collector.
type chunk struct {
	next     uint32 // the chunk behind it; 0: none
	n        uint16 // numbers in it
	weighted bool   // they are pairs, a value and its weight: 1/rate; else all weights are 1
	numbers  [7]float64
}

// Chunks come in pages. A chunk's number is its page's and its place there.
const (
	placeBits = 10
	pageBytes = 64 << placeBits
)

type page [1 << placeBits]chunk

// pool has the pages of all shards. A page is given back at the flush, when nothing
// of its interval is needed any more. The memory is the kernel's and not the garbage
// collector's, which gives it back late, and takes a share of all that it has for garbage.
type pool struct {
	mu    sync.Mutex
	pages []*page // of fixed length, so that it can be read while a page is added
	free  []uint32
	next  uint32 // the first that was never used
}

// newPool makes one of bytes at the most, at least a page.
func newPool(bytes int64) *pool {
	p := &pool{pages: make([]*page, max(2, min(bytes/pageBytes+1, 1<<(32-placeBits)))), next: 1} // chunk 0 is none
	runtime.AddCleanup(p, unmapPages, p.pages)
	return p
}

// take returns a page, false if all are in use.
func (p *pool) take() (n uint32, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch last := len(p.free) - 1; {
	case last >= 0:
		n, p.free = p.free[last], p.free[:last]
	case int(p.next) < len(p.pages):
		n = p.next
		p.next++
	default:
		return 0, false
	}
	if p.pages[n] == nil {
		p.pages[n] = mapPage()
	}
	if p.pages[n] == nil { // nor will there be another
		p.free = append(p.free, n)
		return 0, false
	}
	return n, true
}

// release takes pages back, and frees their memory.
func (p *pool) release(pages []uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, pages...)
	for _, n := range pages {
		p.pages[n].drop()
	}
}

func (p *pool) chunk(n uint32) *chunk { return &p.pages[n>>placeBits][n&(1<<placeBits-1)] }

// each calls f with the numbers of each chunk of a list, and returns the last chunk.
func (p *pool) each(list uint32, f func(c *chunk)) (last *chunk) {
	for n := list; n != 0; n = last.next {
		last = p.chunk(n)
		f(last)
	}
	return last
}

// values appends a list's values without their weights.
func (p *pool) values(to []float64, list uint32) []float64 {
	p.each(list, func(c *chunk) {
		c.each(func(v, _ float64) { to = append(to, v) })
	})
	return to
}

// first returns the first values of a list, in the order in which they came.
func (p *pool) first(list uint32, most int) (values []float64) {
	var chunks []*chunk
	p.each(list, func(c *chunk) { chunks = append(chunks, c) })
	for _, c := range slices.Backward(chunks) {
		c.each(func(v, _ float64) {
			if len(values) < most {
				values = append(values, v)
			}
		})
	}
	return values
}

// each calls f with each value.
func (c *chunk) each(f func(value, weight float64)) {
	if !c.weighted {
		for _, v := range c.numbers[:c.n] {
			f(v, 1)
		}
		return
	}
	for i := 0; i < int(c.n); i += 2 {
		f(c.numbers[i], c.numbers[i+1])
	}
}

// arena is where one reader gets its chunks from.
type arena struct {
	pool  *pool
	pages []uint32 // in use
	next  uint32   // the next chunk, until end
	end   uint32
}

// add puts a value at the head of a list and returns its new head; false if there
// is no memory for it. Weights are pairs, so a list that had none goes on in a new chunk.
func (a *arena) add(list uint32, value, weight float64) (head uint32, ok bool) {
	weighted := weight != 1
	if list != 0 {
		c := a.pool.chunk(list)
		if c.weighted == weighted && int(c.n) < len(c.numbers)-1 || !weighted && !c.weighted && int(c.n) < len(c.numbers) {
			c.put(value, weight)
			return list, true
		}
	}
	if a.next == a.end {
		n, ok := a.pool.take()
		if !ok {
			return list, false
		}
		a.pages = append(a.pages, n)
		a.next, a.end = n<<placeBits, (n+1)<<placeBits
	}
	head = a.next
	a.next++
	c := a.pool.chunk(head)
	c.next, c.n, c.weighted = list, 0, weighted
	c.put(value, weight)
	return head, true
}

func (c *chunk) put(value, weight float64) {
	c.numbers[c.n] = value
	c.n++
	if c.weighted {
		c.numbers[c.n] = weight
		c.n++
	}
}

// leave gives the pages to whoever now has the lists.
func (a *arena) leave() []uint32 {
	pages := a.pages
	a.pages, a.next, a.end = nil, 0, 0
	return pages
}
