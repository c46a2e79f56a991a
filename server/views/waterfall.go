package views

import (
	"fmt"
	"time"

	"addons/server/metrics"
)

// stage is a line of a waterfall, in milliseconds from the start of the navigation.
type stage struct {
	Name       string
	Start, End float64
	Kind       string // "browser", "network", "server"
	Bar        bar
}

// Length is how long it took.
func (s stage) Length() float64 { return s.End - s.Start }

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
			stages = append(stages, stage{Name: map[string]string{"fcp": "first contentful paint", "lcp": "largest contentful paint"}[paint], End: at, Kind: "browser"})
		}
	}
	end := 1.0
	for _, s := range stages {
		end = max(end, s.End)
	}
	for i, s := range stages {
		stages[i].Bar = bar{s.Kind, 100 * s.Start / end, 100 * s.Length() / end}
	}
	return stages
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
