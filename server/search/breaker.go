package search

import (
	"sync"
	"time"
)

const (
	breakAfter = 5           // failures in a row
	breakFor   = time.Second // then nobody tries; afterwards one does
)

// breaker keeps callers from waiting for an engine that has been down for a
// while: without it every page would take readTimeout longer.
type breaker struct {
	mu       sync.Mutex
	failures int
	until    time.Time // nobody tries before
}

// allow says whether to try. While the engine is down one caller a second is let
// through to see; the others are spared.
func (b *breaker) allow() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures < breakAfter {
		return true
	}
	now := time.Now()
	if now.Before(b.until) {
		return false
	}
	b.until = now.Add(breakFor)
	return true
}

// done notes how a try ended.
func (b *breaker) done(down bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !down {
		b.failures = 0
		return
	}
	b.failures++
	if b.failures >= breakAfter {
		b.until = time.Now().Add(breakFor)
	}
}
