package update

import "sync"

const (
	// frontBytes is what the front may take: some 60,000 pages. With 300,000 add-ons,
	// asked for as often as their rank says (Zipf), it has seven answers of eight.
	frontBytes = 64 << 20
	// shards of the front, a power of two: so many can change it at a time.
	shardBits = 6
	shards    = 1 << shardBits
	// needsMax is how many changed add-ons a shard tells apart; beyond, no page that is
	// older than the last of them will do.
	needsMax = 1024
)

// front is the pages that are asked for most, by the hash of their add-on. Who
// answers from it waits for nobody who reads, and microseconds for who writes.
type front [shards]shard

type shard struct {
	mu    sync.RWMutex
	pages map[uint64]*page
	ring  []uint64 // the pages in the order in which they are looked at, to be dropped
	hand  int
	bytes int
	// A page must not be older than the last known change of its add-on: needs by its
	// hash, floor of all the others.
	needs map[uint64]int64
	floor int64
}

func newFront() *front {
	f := &front{}
	for i := range f {
		f[i].pages, f[i].needs = map[uint64]*page{}, map[uint64]int64{}
	}
	return f
}

func (f *front) shard(hash uint64) *shard { return &f[hash>>(64-shardBits)] }

// place is where the page of an application stands: applications differ in their
// first letters. Two pages of one place would drive each other out, no more.
func place(hash uint64, app string) uint64 { return hash ^ uint64(app[0]) }

// get returns the page, nil if it isn't there.
func (f *front) get(hash uint64, guid, app string) *page {
	s := f.shard(hash)
	s.mu.RLock()
	p := s.pages[place(hash, app)]
	s.mu.RUnlock()
	if p == nil || p.guid != guid || p.app != app {
		return nil
	}
	if !p.used.Load() {
		p.used.Store(true)
	}
	return p
}

// need is the change that a page of the add-on must not be older than.
func (f *front) need(hash uint64) int64 {
	s := f.shard(hash)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.need(hash)
}

func (s *shard) need(hash uint64) int64 { return max(s.floor, s.needs[hash]) }

// put keeps a page, unless its add-on is known to have changed since it was read.
func (f *front) put(hash uint64, p *page) {
	s := f.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.seq < s.need(hash) {
		return
	}
	at := place(hash, p.app)
	if old, ok := s.pages[at]; ok {
		s.bytes -= old.bytes
	} else {
		s.ring = append(s.ring, at)
	}
	s.pages[at] = p // not yet used: what is asked for once goes before what is asked for often
	s.bytes += p.bytes
	for s.bytes > frontBytes/shards && len(s.ring) > 1 {
		s.drop()
	}
}

// drop drops the next page that was not used since the hand last passed it.
func (s *shard) drop() {
	for {
		s.hand %= len(s.ring)
		at := s.ring[s.hand]
		if p := s.pages[at]; p.used.Swap(false) {
			s.hand++
			continue
		} else {
			s.bytes -= p.bytes
		}
		delete(s.pages, at)
		last := len(s.ring) - 1
		s.ring[s.hand] = s.ring[last]
		s.ring = s.ring[:last]
		return
	}
}

// changed notes a change of an add-on: older pages are kept no more. Those that are
// there go on being served until the caller has brought new ones.
func (f *front) changed(hash uint64, seq int64) {
	s := f.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.needs[hash] = seq
	if len(s.needs) > needsMax {
		s.floor = seq
		clear(s.needs)
	}
}

// clear drops every page, and wants none that is older than seq.
func (f *front) clear(seq int64) {
	for i := range f {
		s := &f[i]
		s.mu.Lock()
		s.floor = seq
		clear(s.needs)
		clear(s.pages)
		s.ring, s.hand, s.bytes = nil, 0, 0
		s.mu.Unlock()
	}
}

// size returns how many pages there are, and their bytes, about.
func (f *front) size() (pages, bytes int) {
	for i := range f {
		s := &f[i]
		s.mu.RLock()
		pages += len(s.pages)
		bytes += s.bytes
		s.mu.RUnlock()
	}
	return pages, bytes
}
