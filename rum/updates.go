package rum

import (
	"container/list"
	"hash/maphash"
	"sync"
	"time"
)

// updates hold values that may still be told anew: a layout shift is worse later, a
// longer interaction comes, and a page that was hidden is seen again. A histogram can't take a value
// back, so each waits until it was quiet about it for a while, and the last one
// counts (GoogleChrome/web-vitals#298).
type updates struct {
	emit  func(*update)
	quiet time.Duration // after which a value counts
	keep  time.Duration // for which a later one is known to be late
	most  int           // of both; then the oldest counts at once

	mu      sync.Mutex
	byID    map[uint64]*list.Element
	waiting list.List // *update, the one that has been quiet for longest first
	done    list.List // *update, the first to forget first
	timer   *time.Timer
	seed    maphash.Seed
	late    func()
}

// update is a vital that waits, or has been counted.
type update struct {
	key    uint64
	at     time.Time
	done   bool
	sample Sample
	worst  bool // of all that are told, the greatest counts, not the last
	from   *origin
}

// origin is where values come from: but for the trace, words from closed sets.
type origin struct {
	page, device, connection, browser, country string
	trace                                      string // of the page's response, "" if it is not known
}

// key is where a value goes in Graphite. Those of programs are apart.
func (o *origin) key(name string) string {
	if o.device == bot {
		return "rum.bot." + o.page + "." + name
	}
	return "rum." + o.page + "." + name
}

const (
	quietTime = 30 * time.Second
	keepTime  = 30 * time.Minute
	mostIDs   = 65_536 // some 240 bytes each: 15 MiB
)

func newUpdates(emit func(*update), late func()) *updates {
	return &updates{
		emit: emit, late: late, quiet: quietTime, keep: keepTime, most: mostIDs,
		byID: map[uint64]*list.Element{}, seed: maphash.MakeSeed(),
	}
}

// put takes a value that an earlier one with the same id may wait for.
func (u *updates) put(id string, one update) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	u.settle(now)
	one.key, one.at = maphash.String(u.seed, one.sample.Key()+" "+id), now
	if e := u.byID[one.key]; e != nil {
		if e.Value.(*update).done {
			u.late()
			return
		}
		before := u.waiting.Remove(e).(*update)
		if one.worst {
			one.sample.Value = max(one.sample.Value, before.sample.Value)
		}
	} else if len(u.byID) >= u.most {
		u.drop()
	}
	u.byID[one.key] = u.waiting.PushBack(&one)
	u.arm(now)
}

// settle counts what has been quiet, and forgets what was counted long ago.
func (u *updates) settle(now time.Time) {
	for e := u.waiting.Front(); e != nil && now.Sub(e.Value.(*update).at) >= u.quiet; e = u.waiting.Front() {
		u.count(e)
	}
	for e := u.done.Front(); e != nil && now.Sub(e.Value.(*update).at) >= u.keep; e = u.done.Front() {
		u.forget(e)
	}
}

func (u *updates) count(e *list.Element) {
	one := u.waiting.Remove(e).(*update)
	u.emit(one)
	u.byID[one.key] = u.done.PushBack(&update{key: one.key, at: one.at, done: true})
}

func (u *updates) forget(e *list.Element) {
	delete(u.byID, u.done.Remove(e).(*update).key)
}

// drop makes room for one more.
func (u *updates) drop() {
	if u.done.Len() == 0 {
		u.count(u.waiting.Front())
	}
	u.forget(u.done.Front())
}

// arm has what waits be counted though nothing comes any more.
func (u *updates) arm(now time.Time) {
	e := u.waiting.Front()
	if e == nil || u.timer != nil {
		return
	}
	u.timer = time.AfterFunc(e.Value.(*update).at.Add(u.quiet).Sub(now), func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.timer = nil
		now := time.Now()
		u.settle(now)
		u.arm(now)
	})
}

// flush counts all that waits, at the end.
func (u *updates) flush() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.timer != nil {
		u.timer.Stop()
		u.timer = nil
	}
	for e := u.waiting.Front(); e != nil; e = u.waiting.Front() {
		u.count(e)
	}
}
