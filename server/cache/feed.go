package cache

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"addons/server/catalog"
	"addons/server/metrics"
)

// A copy tells which objects it was made of and as of which change (entry.made). It
// is right as long as none of them has changed since: that is looked up here, in this
// process, each time a copy is to answer. Nothing has to be deleted anywhere, so
// that it makes no difference which copies there are, in which process, build or
// backend, whether the backend was down meanwhile, and whether it came back with what
// it had an hour ago. An index from objects to keys in the backend would have to be
// kept in step with an engine that evicts what it likes.

const (
	// Behind bounds how old an answer can be: what was committed before that, by
	// whatever process, is in it, or it is counted and marked as stale. It is some
	// rounds of the feed, of which each asks for what was committed since the last.
	Behind = 5 * time.Second

	round    = time.Second
	patience = 2 * time.Second // of one round
	chunk    = 1000            // changes asked for at once
	// changesMax is how many changed objects are told apart, some 100 bytes each. Copies
	// from before the first of them may have missed an earlier change: they are past
	// their time, whatever they are made of.
	changesMax = 10_000
)

// Source tells of changes; *store.DB fits it.
type Source interface {
	// Clock returns the number of the last change.
	Clock(ctx context.Context) (int64, error)
	// Changes returns the ids of the objects that changed after a number, in the order
	// of the commits, one number each, without gaps, and at most limit.
	// catalog.ErrBehind: the first of them is not known any more.
	Changes(ctx context.Context, after int64, limit int) ([]string, error)
}

// feed is what this process knows of changes.
type feed struct {
	following atomic.Bool
	seq       atomic.Int64 // the last change taken in
	asOf      atomic.Int64 // a metrics.Moment: all that was committed before is taken in; 0: never
	behind    *metrics.Gauge

	turn sync.Mutex // of who takes changes in

	mu      sync.RWMutex
	last    map[string]int64 // object → its last change
	changes []change         // a ring of those in last, and of earlier ones of the same objects
	next    int
	floor   int64 // changes up to it are not told apart
}

type change struct {
	object string
	seq    int64
}

func newFeed(reg *metrics.Registry) feed {
	return feed{last: map[string]int64{}, behind: reg.Gauge(metrics.Desc{
		Name: "addons_cache_behind_seconds",
		Help: "Time since all changes of the database were last taken in, before they are asked for again: how old an answer of the cache can be. From 5 s on answers count as stale.",
	}).With()}
}

// Follow takes in what changes, once a second, until ctx is done.
func (c *Cache) Follow(ctx context.Context, s Source) error {
	c.feed.following.Store(true)
	defer c.feed.following.Store(false)
	tick := time.NewTicker(round)
	defer tick.Stop()
	for {
		if asOf := metrics.Moment(c.feed.asOf.Load()); asOf != 0 {
			c.feed.behind.Set(asOf.Since().Seconds())
		}
		c.CatchUp(ctx, s) // an error is the store's, which counts it; what it means here is that asOf stays
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// CatchUp takes in all that was committed before it was called. The error is the Source's.
func (c *Cache) CatchUp(ctx context.Context, s Source) error {
	c.feed.turn.Lock()
	defer c.feed.turn.Unlock()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	asOf := metrics.Now() // before the query: a later commit may not be in it
	clock, err := s.Clock(ctx)
	if err != nil {
		return err
	}
	switch seq := c.feed.seq.Load(); {
	case c.feed.asOf.Load() == 0:
		c.feed.forget(max(0, clock-changesMax))
		err = c.feed.take(ctx, s, clock)
	case clock < seq: // another database, or an old copy of it: its numbers come a second time
		c.feed.forget(clock)
		c.invalidateFamilies(ctx)
	default:
		err = c.feed.take(ctx, s, clock)
	}
	if err == nil {
		c.feed.asOf.Store(int64(asOf))
	}
	return err
}

// take takes in the changes up to clock.
func (f *feed) take(ctx context.Context, s Source, clock int64) error {
	for seq := f.seq.Load(); seq < clock; seq = f.seq.Load() {
		objects, err := s.Changes(ctx, seq, chunk)
		if errors.Is(err, catalog.ErrBehind) || err == nil && len(objects) == 0 {
			f.forget(clock)
			return nil
		}
		if err != nil {
			return err
		}
		f.add(objects, seq)
	}
	return nil
}

// forget has no copy from before the change count as current: what changed up to it is not known.
func (f *feed) forget(seq int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.last)
	f.changes, f.next, f.floor = nil, 0, seq
	f.seq.Store(seq)
}

// add notes the changes that follow on a number.
func (f *feed) add(objects []string, after int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, object := range objects {
		ch := change{object, after + int64(i) + 1}
		f.last[ch.object] = ch.seq
		if len(f.changes) < changesMax {
			f.changes = append(f.changes, ch)
			continue
		}
		oldest := f.changes[f.next]
		if f.last[oldest.object] == oldest.seq {
			delete(f.last, oldest.object)
		}
		f.floor = oldest.seq
		f.changes[f.next] = ch
		f.next = (f.next + 1) % changesMax
	}
	f.seq.Store(after + int64(len(objects)))
}

// late says that what was committed Behind ago may not be known: the database cannot
// be asked.
func (f *feed) late() bool {
	asOf := f.asOf.Load()
	return f.following.Load() && (asOf == 0 || metrics.Moment(asOf).Since() > Behind)
}

// verdict says what changes have made of a copy.
type verdict int

const (
	current  verdict = iota
	outdated         // it may have missed a change: good enough while the database is down
	gone             // an object that it is made of has changed
)

// judge returns what changes have made of a copy, by which object ("": any) and which
// change. One that is current has all changes that are known now: m says so.
func (f *feed) judge(m *made) (verdict, change) {
	if !m.follows() || m.seq >= f.seq.Load() {
		return current, change{}
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	for object := range m.each() {
		if seq := f.last[string(object)]; seq > m.seq {
			return gone, change{string(object), seq}
		}
	}
	seq := f.seq.Load()
	switch {
	case m.any && m.seq < seq:
		return outdated, change{"", seq}
	case m.seq < f.floor:
		return outdated, change{"", f.floor}
	}
	m.seq = max(m.seq, seq)
	return current, change{}
}

// lastChange is the last known change of what a copy is made of; zero if none is known.
func (f *feed) lastChange(m made) (last change) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for object := range m.each() {
		if seq := f.last[string(object)]; seq > last.seq {
			last = change{string(object), seq}
		}
	}
	return last
}

func (f *feed) info() FeedInfo {
	f.mu.RLock()
	defer f.mu.RUnlock()
	i := FeedInfo{Change: f.seq.Load(), Objects: len(f.last), Floor: f.floor}
	if asOf := f.asOf.Load(); asOf != 0 {
		i.Behind = metrics.Moment(asOf).Since()
	}
	return i
}
