package metrics

import (
	"sync"
	"time"
)

// Work is one kind of work within a request by its name in statsd, such as
// db.sqlite.addon_by_slug.
type Work struct {
	Span           string // that it is a part of
	Name           string
	Count          int
	Total, Longest time.Duration
}

// maxWorks of a request are told apart; what is beyond is in its span alone.
const maxWorks = 64

// Done is what one request has cost.
type Done struct {
	At    time.Time // when it began
	Route string
	Took  time.Duration
	Spans []Span
	Works []Work
}

// Recent keeps what the last requests have cost, by their trace ids: a page's own
// measurements come seconds after it was served. A nil Recent keeps nothing. It is
// safe for concurrent use.
type Recent struct {
	mu   sync.Mutex
	ring []string // trace ids
	next int
	byID map[string]Done
}

// NewRecent keeps the last n requests, some 2 KB each.
func NewRecent(n int) *Recent { return &Recent{ring: make([]string, n), byID: map[string]Done{}} }

// Keep keeps a request that is over. Of two with one trace id the later counts.
func (r *Recent) Keep(l *Ledger, route string, began time.Time) {
	if r == nil || l == nil {
		return
	}
	done := Done{At: began, Route: route, Took: time.Since(began), Spans: l.Spans(), Works: l.Works()}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.byID[l.TraceID]; !known {
		delete(r.byID, r.ring[r.next])
		r.ring[r.next] = l.TraceID
		r.next = (r.next + 1) % len(r.ring)
	}
	r.byID[l.TraceID] = done
}

// Find returns the request of a trace, false if it is not among the last.
func (r *Recent) Find(traceID string) (Done, bool) {
	if r == nil {
		return Done{}, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	done, ok := r.byID[traceID]
	return done, ok
}
