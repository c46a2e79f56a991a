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
	kept         = 500 // page views of people
	keptPrograms = 50  // and of programs, of which there may be far more, apart
	every        = 10  // of those that are good, one in so many is kept
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

// ring has the last page views that were added.
type ring struct {
	views []*view // up to its capacity, and then the oldest is at next
	next  int
	good  int // seen so far
}

// wants says whether v is to be kept: all with a vital that is not good, and of others one in ten.
func (r *ring) wants(v rum.View) bool {
	if len(v.NotGood()) > 0 {
		return true
	}
	r.good++
	return r.good%every == 1
}

func (r *ring) add(v *view) {
	if len(r.views) < cap(r.views) {
		r.views = append(r.views, v)
		return
	}
	r.views[r.next] = v
	r.next = (r.next + 1) % len(r.views)
}

// newest are all, the newest first.
func (r *ring) newest() []*view {
	all := append(slices.Clone(r.views[r.next:]), r.views[:r.next]...)
	slices.Reverse(all)
	return all
}

// Store keeps page views, those of people and of programs apart. It is safe for concurrent use.
type Store struct {
	recent *metrics.Recent

	mu               sync.Mutex
	people, programs ring
	last             int // number of the newest; the first is 1
}

// NewStore returns a Store that finds the views' requests in recent.
func NewStore(recent *metrics.Recent) *Store {
	return &Store{recent: recent, people: ring{views: make([]*view, 0, kept)}, programs: ring{views: make([]*view, 0, keptPrograms)}}
}

// Add keeps v if a vital of it is not good, and of others one in ten.
func (s *Store) Add(v rum.View) {
	request, _ := s.recent.Find(v.Trace)
	s.mu.Lock()
	defer s.mu.Unlock()
	to := &s.people
	if v.Device == bot {
		to = &s.programs
	}
	if !to.wants(v) {
		return
	}
	s.last++
	to.add(&view{View: v, Number: s.last, Request: request})
}

// newest are the views that are kept, the newest first: of programs if they are the device,
// and else of people, on all devices or one; of one page if it is named. A nil Store has none.
func (s *Store) newest(a among) []*view {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	from := &s.people
	if a.Device == bot {
		from = &s.programs
	}
	return slices.DeleteFunc(from.newest(), func(v *view) bool {
		return a.Page != "" && v.Page != a.Page || a.Device != "" && v.Device != a.Device
	})
}

// programsBeside is how many views of programs are kept beside those of a device.
func (s *Store) programsBeside(device string) int {
	if device == bot {
		return 0
	}
	return len(s.newest(among{Device: bot}))
}

// find returns the view with the number, or the newest of the trace, nil if there is none.
func (s *Store) find(number int, trace string) *view {
	for _, v := range append(s.newest(among{}), s.newest(among{Device: bot})...) {
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
	all := slices.DeleteFunc(s.newest(a), func(one *view) bool {
		_, measured := one.Vital(v.Name)
		return !measured
	})
	slices.SortStableFunc(all, func(a, b *view) int {
		x, _ := a.Vital(v.Name)
		y, _ := b.Vital(v.Name)
		return cmp.Compare(y, x)
	})
	return all[:min(len(all), n)]
}
