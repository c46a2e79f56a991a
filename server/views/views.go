// Package views leads from a slow page in a real browser to the query that made it
// slow: it keeps single page views with what their requests have cost, and shows them to
// operators. It keeps the last few hundred, in memory, and nothing of any visitor.
package views

import (
	"fmt"
	"sync"
	"time"

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

// newest are the views that are kept, the newest first; of one page if it is named.
func (s *Store) newest(page string) (all []*view) {
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

// bar is a line of a waterfall, in milliseconds.
type bar struct {
	Name       string
	Start, End float64
	Kind       string // "browser", "network", "server"
}

// Length is how long it took.
func (b bar) Length() float64 { return b.End - b.Start }

// waterfall are the phases of the navigation, with what the server did within them.
func (v *view) waterfall() (bars []bar) {
	n := v.Nav
	add := func(kind, name string, start, end float64) {
		if end > start && start >= 0 {
			bars = append(bars, bar{name, start, end, kind})
		}
	}
	add("network", "redirect", n.RedirectStart, n.RedirectEnd)
	add("network", "DNS", n.DomainLookupStart, n.DomainLookupEnd)
	add("network", "connect", n.ConnectStart, n.ConnectEnd)
	add("network", "request", n.RequestStart, n.ResponseStart)
	if v.Known() {
		took := millis(v.Request.Took)
		// Half of what the request took beyond the server's work is its way there.
		start := max(n.RequestStart, n.ResponseStart-took-(n.ResponseStart-n.RequestStart-took)/2)
		add("server", "the server's work", start, start+took)
	}
	add("network", "response", n.ResponseStart, n.ResponseEnd)
	add("browser", "until interactive", n.ResponseEnd, n.DOMInteractive)
	add("browser", "DOMContentLoaded", n.DOMContentLoadedEventStart, n.DOMContentLoadedEventEnd)
	add("browser", "until complete", n.DOMInteractive, n.DOMComplete)
	add("browser", "load event", n.LoadEventStart, n.LoadEventEnd)
	for _, paint := range []string{"fcp", "lcp"} {
		if at, ok := v.Vital(paint); ok {
			bars = append(bars, bar{map[string]string{"fcp": "first contentful paint", "lcp": "largest contentful paint"}[paint], 0, at, "browser"})
		}
	}
	return bars
}

// work is a kind of work of a request.
type work = metrics.Work

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// why says in a line what made the view slow, as far as the numbers tell.
func (v *view) why() string {
	if len(v.NotGood()) == 0 {
		return "All vitals are good."
	}
	total, _ := v.Vital("lcp")
	total = max(total, v.Nav.LoadEventEnd, v.Nav.ResponseEnd)
	wait := v.Nav.ResponseStart - v.Nav.RequestStart
	switch {
	case wait < total/2 && v.Nav.ResponseEnd < total/2:
		return fmt.Sprintf("Most of the time passed in the browser: the response was there after %.0f ms of %.0f.", v.Nav.ResponseEnd, total)
	case !v.Known():
		return fmt.Sprintf("%.0f ms passed before the first byte; the request is not among the last that this process served.", v.Nav.ResponseStart)
	case v.Request.Took.Seconds()*1000 < wait/2:
		return fmt.Sprintf("%.0f ms passed between request and first byte, of which the server worked %.0f: the network is slow, or a proxy.", wait, millis(v.Request.Took))
	}
	if w := longest(v.Request.Works); w != nil && w.Total > v.Request.Took/3 {
		calls := "one call"
		if w.Count > 1 {
			calls = fmt.Sprint(w.Count, " calls")
		}
		return fmt.Sprintf("The server worked %.0f ms, of which %s took %.0f in %s.", millis(v.Request.Took), w.Name, millis(w.Total), calls)
	}
	return fmt.Sprintf("The server worked %.0f ms, mostly without waiting for a query.", millis(v.Request.Took))
}

func longest(works []metrics.Work) (most *metrics.Work) {
	for i := range works {
		if most == nil || works[i].Total > most.Total {
			most = &works[i]
		}
	}
	return most
}
