package rum

import (
	"cmp"
	"container/list"
	"hash/maphash"
	"sync"
	"time"
)

// updates hold values that may still be told anew: a layout shift is worse later, a
// longer interaction comes, and a page that was hidden is seen again. A histogram can't take a value
// back, so each waits until it was quiet about it for a while, and the last one
// counts (GoogleChrome/web-vitals#298). A client that tells of a page when it is left is
// quiet in between, however long that is: what it tells then is waited for.
type updates struct {
	emit  func(*update)
	quiet time.Duration // after which a value counts
	keep  time.Duration // for which a page is waited for, and a later value is known to be late
	most  int           // of all; then the oldest counts at once

	mu      sync.Mutex
	byID    map[uint64]*list.Element
	open    list.List // *update of pages that are not left, the one that has been quiet for longest first
	waiting list.List // *update of others, in the same order
	done    list.List // *update, the first to forget first
	timer   *time.Timer
	due     time.Time // when it fires; zero: it is not set
	seed    maphash.Seed
	late    func()
}

// update is a vital that waits, or has been counted.
type update struct {
	key    uint64
	at     time.Time // when it was told last, or counted
	sample Sample
	from   *origin
	number int32 // of the beacon in its page's life; 0 is not told
	view   int32 // the number of the one that began the view; 0 is the page's first view
	begins bool  // a view of its own
	adds   bool  // to what was told before, in whose place it does not stand
	open   bool  // it is told once more when the page is left
	done   bool
}

// origin is where values come from: but for the trace, words from closed sets.
type origin struct {
	page, device, connection, browser, country string
	trace                                      string // of the page's response, "" if it is not known
}

// key is where a value of the page goes in Graphite. Those of programs are apart.
func (o *origin) key(page, name string) string {
	if o.device == bot {
		return "rum.bot." + page + "." + name
	}
	return "rum." + page + "." + name
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
	if one.begins {
		one.view = one.number
	}
	e := u.byID[one.key]
	switch {
	case e == nil:
		if len(u.byID) >= u.most {
			u.drop(now)
		}
	case one.begins:
		if !u.begin(e, &one) {
			return
		}
	case !u.merge(e, &one):
		return
	}
	u.byID[one.key] = u.listOf(&one).PushBack(&one)
	u.arm(now)
}

// listOf is the list that a value waits in, or is kept in.
func (u *updates) listOf(one *update) *list.List {
	switch {
	case one.done:
		return &u.done
	case one.open:
		return &u.open
	}
	return &u.waiting
}

// begin ends the view before, which nothing more can come of; false if one's view is known already,
// or over.
func (u *updates) begin(e *list.Element, one *update) bool {
	before := e.Value.(*update)
	if one.view <= before.view {
		if one.view < before.view { // on its way it was overtaken by the view after it
			u.emit(one)
		}
		return false
	}
	if u.listOf(before).Remove(e); !before.done {
		u.emit(before)
	}
	return true
}

// merge makes one what there is of its view with it; false if nothing new comes of it.
func (u *updates) merge(e *list.Element, one *update) bool {
	before := e.Value.(*update)
	switch {
	case before.done, one.number > 0 && one.number < before.view:
		u.late()
		return false
	case one.number > 0 && one.number == before.number: // the same beacon again
		return false
	case one.adds:
		one.sample.Value += before.sample.Value
	case one.number < before.number: // which was told later, and came first
		one.sample, one.from = before.sample, before.from
	}
	one.number, one.view, one.open = max(one.number, before.number), before.view, one.open && before.open
	u.listOf(before).Remove(e)
	return true
}

// settle counts what has been quiet, and forgets what was counted long ago.
func (u *updates) settle(now time.Time) {
	u.countOf(&u.open, now, u.keep)
	u.countOf(&u.waiting, now, u.quiet)
	for e := u.done.Front(); e != nil && now.Sub(e.Value.(*update).at) >= u.keep; e = u.done.Front() {
		u.forget(e)
	}
}

// countOf counts those of a list that have been quiet for a while.
func (u *updates) countOf(all *list.List, now time.Time, quiet time.Duration) {
	for e := all.Front(); e != nil && now.Sub(e.Value.(*update).at) >= quiet; e = all.Front() {
		u.count(e, now)
	}
}

func (u *updates) count(e *list.Element, now time.Time) {
	one := e.Value.(*update)
	u.listOf(one).Remove(e)
	u.emit(one)
	u.byID[one.key] = u.done.PushBack(&update{key: one.key, at: now, view: one.view, done: true})
}

func (u *updates) forget(e *list.Element) {
	delete(u.byID, u.done.Remove(e).(*update).key)
}

// drop makes room for one more.
func (u *updates) drop(now time.Time) {
	if u.done.Len() == 0 {
		u.count(cmp.Or(u.open.Front(), u.waiting.Front()), now)
	}
	u.forget(u.done.Front())
}

// arm has what waits be counted though nothing comes any more.
func (u *updates) arm(now time.Time) {
	due := earlier(dueOf(&u.open, u.keep), dueOf(&u.waiting, u.quiet))
	if due.IsZero() || earlier(due, u.due).Equal(u.due) {
		return
	}
	u.due = due
	if u.timer == nil {
		u.timer = time.AfterFunc(due.Sub(now), u.fire)
		return
	}
	u.timer.Reset(due.Sub(now))
}

func (u *updates) fire() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.due = time.Time{}
	now := time.Now()
	u.settle(now)
	u.arm(now)
}

// dueOf is when the first of a list has been quiet for long enough, zero if there is none.
func dueOf(all *list.List, quiet time.Duration) (due time.Time) {
	if e := all.Front(); e != nil {
		due = e.Value.(*update).at.Add(quiet)
	}
	return due
}

// earlier is the earlier of two moments, of which either may be zero for none.
func earlier(a, b time.Time) time.Time {
	if b.IsZero() || !a.IsZero() && a.Before(b) {
		return a
	}
	return b
}

// flush counts all that waits, at the end.
func (u *updates) flush() {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	u.countOf(&u.open, now, 0)
	u.countOf(&u.waiting, now, 0)
	if u.timer != nil {
		u.timer.Stop()
	}
	u.due = time.Time{}
}
