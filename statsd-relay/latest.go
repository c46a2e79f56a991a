package relay

import (
	"context"
	"sync"
)

// latest holds the flush that waits for a sink which keeps no times: it has no
// use for an older one, so a new one takes its place.
type latest struct {
	some chan struct{} // of one: a flush is there

	mu      sync.Mutex
	pieces  *flush // of one that is not whole yet
	flush   *flush
	working bool          // the one taken is not done
	idle    chan struct{} // closed when nothing is there or worked on; nil if nobody waits
}

func newLatest() *latest { return &latest{some: make(chan struct{}, 1)} }

// put takes a copy of a piece. With the last, the flush waits, and put returns the one whose
// place it takes.
func (l *latest) put(piece *flush) (dropped *flush) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pieces == nil {
		l.pieces = &flush{at: piece.at, interval: piece.interval}
	}
	if l.pieces.add(piece); !piece.last {
		return nil
	}
	dropped, l.flush, l.pieces = l.flush, l.pieces, nil
	select {
	case l.some <- struct{}{}:
	default:
	}
	return dropped
}

// take returns the one that waits, nil if there is none. Call done after it.
func (l *latest) take() *flush {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.flush
	l.flush, l.working = nil, f != nil
	return f
}

func (l *latest) done() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.working = false
	if l.flush == nil && l.idle != nil {
		close(l.idle)
		l.idle = nil
	}
}

// waiting is how many flushes are there or worked on.
func (l *latest) waiting() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.flush != nil {
		n++
	}
	if l.working {
		n++
	}
	return n
}

// wait returns when nothing is there or worked on, or with ctx.
func (l *latest) wait(ctx context.Context) error {
	l.mu.Lock()
	if l.flush == nil && !l.working {
		l.mu.Unlock()
		return nil
	}
	if l.idle == nil {
		l.idle = make(chan struct{})
	}
	idle := l.idle
	l.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// each calls work with every flush, until ctx is done and none is there, or
// drain is done.
func (l *latest) each(ctx, drain context.Context, work func(*flush)) {
	for drain.Err() == nil {
		if f := l.take(); f != nil {
			work(f)
			l.done()
			continue
		}
		select {
		case <-l.some:
		case <-ctx.Done():
			if l.waiting() == 0 {
				return
			}
		}
	}
}
