package carbon

import (
	"sync"
	"time"

	"addons/server/metrics"
)

const (
	// recent is how long a batch that a carbon's host has acknowledged may be sent
	// again, should the connection break: the carbon may not have read it. It is
	// also the widest slot in which the later of two values is made to win.
	recent = time.Minute
	// unreadMax bounds the same in bytes: more than Linux lets a socket that nobody reads take.
	unreadMax = 4 << 20
	// liveMax is of how many of the newest times batches go out before what waits.
	liveMax = 2
)

// state is what became of an entry so far.
type state uint8

const (
	waiting state = iota
	sent          // acknowledged by the host, not to be forgotten yet
	done          // sent for good, or dropped
)

// entry is a batch in the backlog.
type entry struct {
	seq    uint64 // in the order of push
	time   int    // that many different times came before
	at     time.Time
	more   bool   // it is not the last part of its time
	lines  []byte // nil if on disk only, or packed
	packed []byte // of what was sent and is not on disk: the lines, S2-compressed
	size   int    // bytes of the lines
	points int
	state  state
	resend bool // it was sent before; the connection broke
	read   bool // its lines are on their way to disk
	echo   bool // it was sent as new, and goes out again behind what is older
	sentAt time.Time
	large  bool // for the disk

	segment *segment // where it is on disk; nil: it is not
	offset  int64
}

// backlog holds what a carbon has yet to get, oldest first. All of it is in memory
// until keep has put it on disk; then only the newest is. When memory is full the
// oldest that is not on disk goes, when the disk is, the oldest segment: what is
// newest is what someone looks at during an outage.
type backlog struct {
	limit   int64 // bytes in memory
	metrics Metrics

	mu      sync.Mutex
	entries []*entry // none in front is done
	old     int      // entries before it do not wait
	seq     uint64
	times   int      // of the last entry
	flying  *entry   // being sent
	unread  []*entry // sent over this connection, not settled
	memory  int64    // bytes of lines, or packed
	reading []*entry // whose lines are on their way to disk
	spare   [][]byte // memory of lines that are needed no more
	packing []byte   // likewise, for pack
	changed chan struct{}
	counts  counts
}

// counts is what waits.
type counts struct {
	batches, points int
	whole           int   // of the batches, those that are the last part
	memory, disk    int64 // bytes of lines; one that is in both counts in memory
	unsafe          int   // batches that are not on disk
}

func newBacklog(limit int64, m Metrics) *backlog {
	return &backlog{limit: limit, metrics: m, changed: make(chan struct{})}
}

// restore takes what the spool held, in order. Numbers go on behind them, and not
// below first.
func (q *backlog) restore(entries []*entry, first uint64) {
	q.entries = entries
	q.seq = max(first, 1) - 1
	for i, e := range entries {
		if i > 0 && !e.at.Equal(entries[i-1].at) {
			q.times++
		}
		e.time = q.times
		q.seq = max(q.seq, e.seq)
		q.count(e, 1)
	}
}

// push adds a copy of b at the end, and drops what has to go for it. resend says whether it
// was sent before.
func (q *backlog) push(b Batch, resend bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.seq++
	if n := len(q.entries); n == 0 || !q.entries[n-1].at.Equal(b.At) {
		q.times++
	}
	e := &entry{seq: q.seq, time: q.times, at: b.At, more: b.More, lines: q.copy(b.Lines), size: len(b.Lines), points: b.Points, resend: resend}
	q.entries = append(q.entries, e)
	q.memory += int64(e.size)
	q.count(e, 1)
	q.shrink()
	q.wake()
}

// count adds a waiting entry to the counts, or with −1 takes it off.
func (q *backlog) count(e *entry, sign int) {
	q.counts.batches += sign
	if !e.more {
		q.counts.whole += sign
	}
	q.counts.points += sign * e.points
	if e.lines != nil {
		q.counts.memory += int64(sign * e.size)
	} else {
		q.counts.disk += int64(sign * e.size)
	}
	if e.segment == nil {
		q.counts.unsafe += sign
	}
}

// shrink frees the memory of what is on disk and sent, or not among the newest. If that is
// not enough it forgets what was sent, and then drops what waits, oldest first.
func (q *backlog) shrink() {
	for _, e := range q.entries {
		if e.segment != nil && (e.state != waiting || e.time <= q.times-liveMax) {
			q.free(e)
		}
	}
	for i := 0; q.memory > q.limit && i < len(q.entries); i++ {
		e := q.entries[i]
		switch {
		case e.lines == nil && e.packed == nil || e == q.flying:
		case e.segment != nil:
			q.free(e)
		case e.state == waiting:
			q.drop(e)
		case e.state == sent:
			q.finish(e)
		}
	}
	q.trim()
}

// free leaves e on disk alone.
func (q *backlog) free(e *entry) {
	if e.lines != nil && e.state == waiting {
		q.counts.memory -= int64(e.size)
		q.counts.disk += int64(e.size)
	}
	q.forget(e)
}

// forget leaves e without lines in memory. Those that someone may still read are not
// used again.
func (q *backlog) forget(e *entry) {
	if e.lines != nil {
		q.memory -= int64(e.size)
		if e != q.flying && !e.read {
			q.recycle(e.lines)
		}
	}
	if e.packed != nil {
		q.memory -= int64(len(e.packed))
		q.recycle(e.packed)
	}
	e.lines, e.packed = nil, nil
}

// drop gives up a waiting entry.
func (q *backlog) drop(e *entry) {
	if !e.echo && !e.resend {
		tally(e, q.metrics.DroppedBatches, q.metrics.DroppedPoints)
	}
	q.finish(e)
}

// tally counts e and its points; its time when the last part is.
func tally(e *entry, batches, points *metrics.Counter) {
	if !e.more {
		batches.Inc()
	}
	points.Add(int64(e.points))
}

// finish ends an entry, whatever its state.
func (q *backlog) finish(e *entry) {
	if e.state == waiting {
		q.count(e, -1)
	}
	q.forget(e)
	if e.segment != nil && e.state != done {
		e.segment.open--
	}
	e.state = done
}

// trim takes off what is done in front.
func (q *backlog) trim() {
	n := 0
	for n < len(q.entries) && q.entries[n].state == done {
		q.entries[n] = nil
		n++
	}
	q.entries = q.entries[n:]
	q.old = max(0, q.old-n)
}

// next takes what is to be sent: the oldest of the newest batches, or if those
// are sent and replay is true, the oldest of all. lines is nil if it must be read
// from disk. It is nil if there is nothing.
func (q *backlog) next(replay bool) (e *entry, lines []byte, live bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e = q.live()
	live = e != nil
	if !live && replay {
		e = q.oldest()
	}
	q.flying = e
	if e != nil {
		lines = e.lines
	}
	return e, lines, live
}

// live is the oldest of the newest batches that has not been sent.
func (q *backlog) live() (oldest *entry) {
	for i := len(q.entries) - 1; i >= 0 && q.entries[i].time > q.times-liveMax; i-- {
		if e := q.entries[i]; e.state == waiting && !e.echo && !e.resend && e.lines != nil {
			oldest = e
		}
	}
	return oldest
}

// oldest is the first entry that waits.
func (q *backlog) oldest() *entry {
	for ; q.old < len(q.entries); q.old++ {
		if e := q.entries[q.old]; e.state == waiting {
			return e
		}
	}
	return nil
}

// delivered notes that the host has acknowledged e. It counts as sent, or as
// resent if it was counted before.
func (q *backlog) delivered(e *entry, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	defer q.wake()
	q.flying = nil
	if e.state != waiting { // dropped meanwhile, and counted so
		return
	}
	if e.echo || e.resend {
		tally(e, q.metrics.ResentBatches, q.metrics.ResentPoints)
	} else {
		tally(e, q.metrics.SentBatches, q.metrics.SentPoints)
	}
	if q.overtakes(e) {
		e.echo = true
		return
	}
	q.count(e, -1)
	e.state, e.sentAt = sent, now
	if e.segment != nil {
		q.free(e)
	} else {
		q.pack(e)
	}
	q.unread = append(q.unread, e)
	q.settle(now)
}

// overtakes says whether an older entry waits whose slot may be e's too. After a
// step of the clock that may be any of them.
func (q *backlog) overtakes(e *entry) bool {
	if q.oldest() == e {
		return false
	}
	for _, o := range q.entries[q.old:] {
		if o.seq < e.seq && o.state == waiting && !o.echo && e.at.Sub(o.at).Abs() < recent {
			return true
		}
	}
	return false
}

// settle is done with what the carbon has read by now, as far as one can tell.
func (q *backlog) settle(now time.Time) {
	bytes := 0
	for _, e := range q.unread {
		bytes += e.size
	}
	for len(q.unread) > 1 && (bytes > unreadMax || now.Sub(q.unread[0].sentAt) > recent) {
		bytes -= q.unread[0].size
		q.finish(q.unread[0])
		q.unread = q.unread[1:]
	}
	q.trim()
}

// rewind has what was sent over a connection that broke wait again.
func (q *backlog) rewind() {
	q.mu.Lock()
	defer q.mu.Unlock()
	defer q.wake()
	for _, e := range q.unread {
		if e.state == sent {
			q.unpack(e)
			e.state, e.resend = waiting, true
			q.count(e, 1)
		}
	}
	q.unread, q.flying, q.old = nil, nil, 0
}

// end is done with what was sent over a connection that ended well.
func (q *backlog) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range q.unread {
		q.finish(e)
	}
	q.unread = nil
	q.trim()
}

// leave takes out what waits in memory alone, in order.
func (q *backlog) leave() (all []Waiting) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range q.entries {
		if e.state == waiting && e.segment == nil {
			all = append(all, Waiting{Batch{e.at, e.more, e.lines, e.points}, e.resend || e.echo})
			e.read = true // by the other
			q.finish(e)
		}
	}
	q.trim()
	return all
}

// lost drops an entry that can't be read from disk.
func (q *backlog) lost(e *entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e.state == waiting {
		q.drop(e)
	}
	q.trim()
	q.wake()
}

func (q *backlog) wake() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// size returns what waits, whether any of it is new, and a channel that is closed
// when that changes.
func (q *backlog) size() (c counts, live bool, changed <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.counts, q.live() != nil, q.changed
}

// since is the time of the oldest that waits; zero if none does.
func (q *backlog) since() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e := q.oldest(); e != nil {
		return e.at
	}
	return time.Time{}
}

// keepMax is how many bytes of lines are synced to disk together.
const keepMax = 4 << 20

// unkept returns the oldest entries that wait and are not on disk, nor too large
// for it, with their lines, to be read until kept or unkept is called next.
func (q *backlog) unkept() (entries []*entry, lines [][]byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.written()
	if q.counts.unsafe == 0 {
		return nil, nil
	}
	size := 0
	for _, e := range q.entries {
		if e.state != waiting || e.segment != nil || e.large {
			continue
		}
		e.read = true
		entries, lines = append(entries, e), append(lines, e.lines)
		if size += e.size; size >= keepMax {
			break
		}
	}
	q.reading = entries
	return entries, lines
}

// written notes that nobody reads what unkept returned any more.
func (q *backlog) written() {
	for _, e := range q.reading {
		e.read = false
	}
	q.reading = nil
}

// kept notes where entries are on disk.
func (q *backlog) kept(places []place) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.written()
	for _, p := range places {
		e := p.entry
		if e.state == waiting {
			q.counts.unsafe--
		}
		if e.state != done {
			e.segment, e.offset = p.segment, p.offset
			p.segment.open++
		}
	}
	q.shrink()
	q.wake()
}

// place is where an entry is on disk.
type place struct {
	entry   *entry
	segment *segment
	offset  int64
}

// tooLarge notes that e can't be kept on disk.
func (q *backlog) tooLarge(e *entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e.large = true
}

// abandon drops what is in a segment that has to go.
func (q *backlog) abandon(s *segment) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range q.entries {
		switch {
		case e.segment != s:
		case e.state == waiting:
			q.drop(e)
		case e.state == sent:
			q.finish(e)
		}
	}
	q.trim()
	q.wake()
}

// first is the lowest number of an entry that is not done, or is yet to come.
func (q *backlog) first() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	first := q.seq + 1
	for _, e := range q.entries {
		if e.state == done {
			continue
		}
		return min(first, e.seq)
	}
	return first
}

// idle returns those of the segments in which nothing is left to send.
func (q *backlog) idle(segments []*segment) (idle []*segment) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, s := range segments {
		if s.open == 0 {
			idle = append(idle, s)
		}
	}
	return idle
}
