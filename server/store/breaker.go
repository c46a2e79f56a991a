package store

import (
	"errors"
	"sync/atomic"
	"time"
)

// pause is how long a database that did not answer is left alone.
const pause = time.Second

// errLeftAlone: the query was not tried.
var errLeftAlone = errors.New("not asked: the database did not answer just now")

// breaker keeps callers from waiting for a database that is there and does not
// answer, as a stopped or a cut-off one: without it each of a page's queries would
// take the whole timeout. One that refuses connections needs no breaker.
//
// It opens when a query has waited its whole time in vain and none was answered
// since that one began, so that a slow query among quick ones does not open it.
// Its zero value is closed.
type breaker struct {
	answered atomic.Int64 // when a query was answered last, Unix nanoseconds
	until    atomic.Int64 // nobody tries before; 0: everybody may
}

// allow says whether to try. While the breaker is open one caller at a time is let
// through to see, who may take as long as limit.
func (b *breaker) allow(now time.Time, limit time.Duration) bool {
	until := b.until.Load()
	return until == 0 || now.UnixNano() >= until && b.until.CompareAndSwap(until, now.Add(limit+pause).UnixNano())
}

// worked notes an answer, be it an error.
func (b *breaker) worked(now time.Time) {
	b.answered.Store(now.UnixNano())
	if b.until.Load() != 0 {
		b.until.Store(0)
	}
}

// failed notes the end of a query that had no answer; silent: not within its time.
func (b *breaker) failed(began, now time.Time, silent bool) {
	if silent && b.answered.Load() < began.UnixNano() || b.until.Load() != 0 {
		b.until.Store(now.Add(pause).UnixNano())
	}
}
