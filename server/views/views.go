// Package views leads from a slow page in real browsers to the query that made it slow.
// What many browsers have told it asks of Prometheus: how each page does against the
// limits of the web vitals, over time, before and after a deploy. Single page views it
// keeps itself, with what their requests have cost: the last few hundred, in memory, and
// nothing of any visitor. Where Prometheus can't be asked, the pages show the rest and say why.
package views

import (
	"cmp"
	"slices"
	"sync"

	"addons/rum"
	"addons/server/metrics"
)

const (
	kept  = 500 // page views
	every = 10  // of those that are good, one in so many is kept
)

// view is a page view with its request.
type view struct {
	rum.View
	Number  int
	Request metrics.Done // zero if it is not known: another process served it, or it was long ago
}

// Vitals are the names of those that were measured.
func (v *view) Vitals() (names []string) {
	for _, s := range v.Samples {
		if s.Vital != "" {
			names = append(names, s.Vital)
		}
	}
	return names
}

// Known says whether the request is.
func (v *view) Known() bool { return v.Request.Route != "" }

// Store keeps page views. It is safe for concurrent use.
type Store struct {
	recent *metrics.Recent

	mu   sync.Mutex
	ring [kept]*view
	last int // number of the newest; the first is 1
	good int // seen so far
}

// NewStore returns a Store that finds the views' requests in recent.
func NewStore(recent *metrics.Recent) *Store { return &Store{recent: recent} }

// Add keeps v if a vital of it is not good, and of others one in ten.
func (s *Store) Add(v rum.View) {
	request, _ := s.recent.Find(v.Trace)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(v.NotGood()) == 0 {
		s.good++
		if s.good%every != 1 {
			return
		}
	}
	s.last++
	s.ring[s.last%kept] = &view{View: v, Number: s.last, Request: request}
}

// newest are the views that are kept, the newest first; of one page if it is named. A nil
// Store has none.
func (s *Store) newest(page string) (all []*view) {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := s.last; n > 0 && n > s.last-kept; n-- {
		if v := s.ring[n%kept]; page == "" || v.Page == page {
			all = append(all, v)
		}
	}
	return all
}

// find returns the view with the number, or the newest of the trace, nil if there is none.
func (s *Store) find(number int, trace string) *view {
	for _, v := range s.newest("") {
		if v.Number == number || trace != "" && v.Trace == trace {
			return v
		}
	}
	return nil
}

// Has says whether a view of the trace is kept: whether there is something to be seen at
// its address.
func (s *Store) Has(trace string) bool { return trace != "" && s.find(-1, trace) != nil }

// slowest are the views with the highest values of a vital, at most n.
func (s *Store) slowest(v vital, a among, n int) []*view {
	all := slices.DeleteFunc(s.newest(a.Page), func(one *view) bool {
		_, measured := one.Vital(v.Name)
		return !measured || a.Device != "" && one.Device != a.Device || a.Device == "" && one.Device == bot
	})
	slices.SortStableFunc(all, func(a, b *view) int {
		x, _ := a.Vital(v.Name)
		y, _ := b.Vital(v.Name)
		return cmp.Compare(y, x)
	})
	return all[:min(len(all), n)]
}
