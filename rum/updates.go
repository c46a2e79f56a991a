package rum

import (
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
	keep  time.Duration // for which a page is waited for
	known time.Duration // for which a value that was counted is, so that a later one is known to be late
	most  int           // of all; then the oldest is forgotten, and counts at once if it waits

	mu      sync.Mutex
	began   time.Time
	byID    map[uint64]int32 // places in all
	all     []update         // 0 is none
	free    int32            // the first place that is, which others follow
	open    queue            // of pages that are not left, the one that has been quiet for longest first
	waiting queue            // others, in the same order
	done    queue            // the first to forget first
	timer   *time.Timer
	due     time.Duration // when it fires; 0: it is not set
	seed    maphash.Seed
	late    func()
}

// update is a vital that waits, or has been counted. There are many, so it has no pointers that the
// collector would have to follow: its words are numbers.
type update struct {
	key        uint64
	at         time.Duration // since updates began: when it was told last, or counted
	value      float64
	next, prev int32 // places in the queue
	number     int32 // of the beacon in its page's life; 0 is not told
	view       int32 // the number of the one that began the view; 0 is the page's first view
	from       packed
	kind       uint8 // of sample
	begins     bool  // a view of its own
	adds       bool  // to what was told before, in whose place it does not stand
	open       bool  // it is told once more when the page is left
	done       bool
}

// queue is a list of updates by their places.
type queue struct{ first, last int32 }

// push puts an update at a queue's end.
func (u *updates) push(q *queue, i int32) {
	u.all[i].prev, u.all[i].next = q.last, 0
	if q.last == 0 {
		q.first = i
	} else {
		u.all[q.last].next = i
	}
	q.last = i
}

// remove takes an update out of a queue.
func (u *updates) remove(q *queue, i int32) {
	prev, next := u.all[i].prev, u.all[i].next
	if prev == 0 {
		q.first = next
	} else {
		u.all[prev].next = next
	}
	if next == 0 {
		q.last = prev
	} else {
		u.all[next].prev = prev
	}
}

// queueOf is the one that an update waits in, or is kept in.
func (u *updates) queueOf(one *update) *queue {
	switch {
	case one.done:
		return &u.done
	case one.open:
		return &u.open
	}
	return &u.waiting
}

const (
	quietTime = 30 * time.Second
	keepTime  = 30 * time.Minute
	knownTime = 24 * time.Hour // as long as most tabs are kept open
	mostIDs   = 65_536         // 72 bytes each, and some 20 of the map: 6 MiB
)

func newUpdates(emit func(*update), late func()) *updates {
	return &updates{
		emit: emit, late: late, quiet: quietTime, keep: keepTime, known: knownTime, most: mostIDs,
		began: time.Now(), byID: map[uint64]int32{}, all: make([]update, 1), seed: maphash.MakeSeed(),
	}
}

// put takes a value that an earlier one with the same id may wait for.
func (u *updates) put(id string, one update) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Since(u.began)
	u.settle(now)
	one.key, one.at = maphash.Comparable(u.seed, identity{id, one.kind}), now
	if one.begins {
		one.view = one.number
	}
	i := u.byID[one.key]
	switch {
	case i == 0:
		i = u.place(now)
	case one.begins:
		if !u.begin(i, &one) {
			return
		}
	case !u.merge(i, &one):
		return
	}
	u.all[i] = one
	u.byID[one.key] = i
	u.push(u.queueOf(&one), i)
	u.arm(now)
}

// identity is what a value that is told anew has in common with the one before.
type identity struct {
	id   string
	kind uint8
}

// place finds one for an update that is new.
func (u *updates) place(now time.Duration) int32 {
	if len(u.byID) >= u.most {
		u.drop(now)
	}
	if i := u.free; i != 0 {
		u.free = u.all[i].next
		return i
	}
	u.all = append(u.all, update{})
	return int32(len(u.all) - 1)
}

// begin ends the view before, which nothing more can come of; false if one's view is known already,
// or over.
func (u *updates) begin(i int32, one *update) bool {
	before := &u.all[i]
	if one.view <= before.view {
		if one.view < before.view { // on its way it was overtaken by the view after it
			u.emit(one)
		}
		return false
	}
	if u.remove(u.queueOf(before), i); !before.done {
		u.emit(before)
	}
	return true
}

// merge makes one what there is of its view with it; false if nothing new comes of it.
func (u *updates) merge(i int32, one *update) bool {
	before := &u.all[i]
	switch {
	case before.done, one.number > 0 && one.number < before.view:
		u.late()
		return false
	case one.number > 0 && one.number == before.number: // the same beacon again
		return false
	case one.adds:
		one.value += before.value
	case one.number < before.number: // which was told later, and came first
		one.value, one.from = before.value, before.from
	}
	one.number, one.view, one.open = max(one.number, before.number), before.view, one.open && before.open
	u.remove(u.queueOf(before), i)
	return true
}

// settle counts what has been quiet, and forgets what was counted long ago.
func (u *updates) settle(now time.Duration) {
	u.countOf(&u.open, now, u.keep)
	u.countOf(&u.waiting, now, u.quiet)
	for i := u.done.first; i != 0 && now-u.all[i].at >= u.known; i = u.done.first {
		u.forget(i)
	}
}

// countOf counts those of a queue that have been quiet for a while.
func (u *updates) countOf(q *queue, now, quiet time.Duration) {
	for i := q.first; i != 0 && now-u.all[i].at >= quiet; i = q.first {
		u.count(i, now)
	}
}

func (u *updates) count(i int32, now time.Duration) {
	one := &u.all[i]
	u.remove(u.queueOf(one), i)
	u.emit(one)
	one.at, one.done = now, true
	u.push(&u.done, i)
}

func (u *updates) forget(i int32) {
	u.remove(&u.done, i)
	delete(u.byID, u.all[i].key)
	u.all[i] = update{next: u.free}
	u.free = i
}

// drop makes room for one more.
func (u *updates) drop(now time.Duration) {
	if u.done.first == 0 {
		oldest := u.open.first
		if oldest == 0 {
			oldest = u.waiting.first
		}
		u.count(oldest, now)
	}
	u.forget(u.done.first)
}

// arm has what waits be counted though nothing comes any more.
func (u *updates) arm(now time.Duration) {
	due := u.dueOf(u.open, u.keep)
	if d := u.dueOf(u.waiting, u.quiet); due == 0 || d != 0 && d < due {
		due = d
	}
	switch {
	case due == 0 || u.due != 0 && u.due <= due:
		return
	case u.timer == nil:
		u.timer = time.AfterFunc(due-now, u.fire)
	default:
		u.timer.Reset(due - now)
	}
	u.due = due
}

// dueOf is when the first of a queue has been quiet for long enough, 0 if there is none.
func (u *updates) dueOf(q queue, quiet time.Duration) time.Duration {
	if q.first == 0 {
		return 0
	}
	return u.all[q.first].at + quiet
}

func (u *updates) fire() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.due = 0
	now := time.Since(u.began)
	u.settle(now)
	u.arm(now)
}

// flush counts all that waits, at the end.
func (u *updates) flush() {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Since(u.began)
	u.countOf(&u.open, now, 0)
	u.countOf(&u.waiting, now, 0)
	if u.timer != nil {
		u.timer.Stop()
	}
	u.due = 0
}
