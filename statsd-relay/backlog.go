package relay

import (
	"sync"
	"time"
)

// batch is one flush, rendered for its sink.
type batch struct {
	at     time.Time
	data   []byte
	points int
}

// backlog holds what a sink has yet to deliver, oldest first, in memory. When it
// is full the oldest go: what is newest is what someone looks at during an
// outage. A batch stays at the head until pop, so that none is lost on the way.
type backlog struct {
	limit int64

	mu      sync.Mutex
	batches []batch
	bytes   int64
	changed chan struct{} // closed and renewed at each change
}

func newBacklog(limit int64) *backlog {
	return &backlog{limit: limit, changed: make(chan struct{})}
}

// push adds b at the end and returns what had to go for it; b itself if it is
// larger than the limit.
func (q *backlog) push(b batch) (dropped []batch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	defer q.wake()
	if int64(len(b.data)) > q.limit {
		return []batch{b}
	}
	for q.bytes+int64(len(b.data)) > q.limit {
		dropped = append(dropped, q.batches[0])
		q.remove()
	}
	q.batches = append(q.batches, b)
	q.bytes += int64(len(b.data))
	return dropped
}

// head returns the oldest batch.
func (q *backlog) head() (batch, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.batches) == 0 {
		return batch{}, false
	}
	return q.batches[0], true
}

// pop takes off b, which head returned, unless push dropped it in the meantime.
func (q *backlog) pop(b batch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.batches) > 0 && q.batches[0].at.Equal(b.at) {
		q.remove()
		q.wake()
	}
}

func (q *backlog) remove() {
	q.bytes -= int64(len(q.batches[0].data))
	q.batches[0] = batch{}
	q.batches = q.batches[1:]
}

func (q *backlog) wake() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// size returns how much waits, and a channel that is closed when that changes.
func (q *backlog) size() (batches int, bytes int64, changed <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.batches), q.bytes, q.changed
}
