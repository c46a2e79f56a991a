package views

import (
	"time"

	"addons/server/metrics"
)

// stage is a line of a waterfall, in milliseconds from its start.
type stage struct {
	Name       string
	Start, End float64
	Kind       string // "browser", "network", "server"
	Bar        bar
}

// Length is how long it took.
func (s stage) Length() float64 { return s.End - s.Start }

// work is a kind of work of a request.
type work = metrics.Work

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// worked is how long the server did, in milliseconds: by its own count, or as the
// response said, if another process made that. False: nobody knows.
func (v *view) worked() (took float64, ok bool) {
	if v.Known() {
		return millis(v.Request.Took), true
	}
	for _, t := range v.ServerTiming {
		if t.Name == "app" && t.Duration > 0 {
			return t.Duration, true
		}
	}
	return 0, false
}

// waterfall are the phases of the navigation, with what the server did within them.
func (v *view) waterfall() (stages []stage) {
	n := v.Nav
	add := func(kind, name string, start, end float64) {
		if end > start && start >= 0 {
			stages = append(stages, stage{Name: name, Start: start, End: end, Kind: kind})
		}
	}
	add("network", "redirect", n.RedirectStart, n.RedirectEnd)
	add("network", "DNS", n.DomainLookupStart, n.DomainLookupEnd)
	add("network", "connect", n.ConnectStart, n.ConnectEnd)
	add("network", "request", n.RequestStart, n.ResponseStart)
	if took, ok := v.worked(); ok {
		// Half of what the request took beyond the server's work is its way there.
		start := max(n.RequestStart, n.ResponseStart-took-(n.ResponseStart-n.RequestStart-took)/2)
		add("server", "the server's work", start, start+took)
		for _, t := range v.timers() { // which say how long, but not when
			add("server", "of it "+t.Name, start, start+t.Duration)
		}
	}
	add("network", "response", n.ResponseStart, n.ResponseEnd)
	add("browser", "until interactive", n.ResponseEnd, n.DOMInteractive)
	add("browser", "DOMContentLoaded", n.DOMContentLoadedEventStart, n.DOMContentLoadedEventEnd)
	add("browser", "until complete", n.DOMInteractive, n.DOMComplete)
	add("browser", "load event", n.LoadEventStart, n.LoadEventEnd)
	for _, paint := range []struct{ vital, name string }{{"fcp", "first contentful paint"}, {"lcp", "largest contentful paint"}} {
		if at, ok := v.Vital(paint.vital); ok {
			add("browser", paint.name, 0, at)
		}
	}
	return drawn(stages)
}

// drawn are the stages with their bars, the longest time as wide as can be.
func drawn(stages []stage) []stage {
	end := 1.0
	for _, s := range stages {
		end = max(end, s.End)
	}
	for i, s := range stages {
		stages[i].Bar = bar{s.Kind, pct(100 * s.Start / end), pct(100 * s.Length() / end)}
	}
	return stages
}
