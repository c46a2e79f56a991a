package views

import (
	"fmt"
	"slices"

	"addons/rum"
	"addons/server/metrics"
)

// why says in a line what made the view slow, as far as the numbers tell.
func (v *view) why() string {
	bad := v.NotGood()
	is := func(names ...string) bool {
		return slices.ContainsFunc(bad, func(s rum.Sample) bool { return slices.Contains(names, s.Vital) })
	}
	switch {
	case is("lcp", "fcp", "ttfb"):
		return v.whyLate()
	case is("inp"):
		return v.whyMade("inp")
	case is("cls"):
		return v.whyMade("cls")
	}
	return "All vitals are good."
}

// whyMade says it of a vital that has little to do with loading.
func (v *view) whyMade(name string) string {
	shown := shownOf(v, name)
	of, _ := vitalOf(name)
	text := fmt.Sprintf("%s is %s", of.Short(), shown.Text)
	for _, b := range v.breakdowns() {
		if b.Vital != of {
			continue
		}
		if most, ok := b.longest(); ok {
			text += fmt.Sprintf(", of which %.0f ms passed %s", most.Length(), phrase(most.Name))
		}
		text += b.about()
	}
	return text + "."
}

// phrase puts a part's name behind "passed".
func phrase(name string) string {
	switch name {
	case "handlers", "request":
		return "in the " + name
	}
	return name
}

// whyLate says it of a page that came late: by what took most of its time.
func (v *view) whyLate() string {
	n := v.Nav
	total, _ := v.Vital("lcp")
	total = max(total, n.LoadEventEnd, n.ResponseEnd)
	wait, download, browser := n.ResponseStart-n.RequestStart, n.ResponseEnd-n.ResponseStart, total-n.ResponseEnd
	switch max(n.RequestStart, wait, download, browser) {
	case wait:
		return v.whyWait(wait)
	case browser:
		text := fmt.Sprintf("All of the %.0f ms passed in the browser: the page made this view itself.", total)
		if n.ResponseEnd > 0 {
			text = fmt.Sprintf("Most of the time passed in the browser: the response was there after %.0f ms of %.0f.", n.ResponseEnd, total)
		}
		if bs := v.breakdowns(); len(bs) > 0 && bs[0].Vital.Name == "lcp" {
			if most, ok := bs[0].longest(); ok {
				text += fmt.Sprintf(" Of LCP, %.0f ms passed %s%s.", most.Length(), phrase(most.Name), bs[0].about())
			}
		}
		return text
	case download:
		return fmt.Sprintf("The response took %.0f ms of %.0f to arrive: it is large, or the network is slow.", download, total)
	}
	return fmt.Sprintf("%.0f ms of %.0f passed before the request was sent: for redirects, DNS and connecting, or in a queue.", n.RequestStart, total)
}

// whyWait says it of a page whose first byte was waited for.
func (v *view) whyWait(wait float64) string {
	took, known := v.worked()
	switch {
	case v.Nav.Cached:
		return fmt.Sprintf("%.0f ms passed before the first byte, though the page came from the browser's cache: the machine was busy, or its disk slow.", v.Nav.ResponseStart)
	case !known:
		return fmt.Sprintf("%.0f ms passed before the first byte; the request is not among the last that this process served.", v.Nav.ResponseStart)
	case took < wait/2:
		return fmt.Sprintf("%.0f ms passed between request and first byte, of which the server worked %.0f: the network is slow, or a proxy.", wait, took)
	}
	if w := longest(v.Request.Works); w != nil && w.Total > v.Request.Took/3 {
		calls := "one call"
		if w.Count > 1 {
			calls = fmt.Sprint(w.Count, " calls")
		}
		return fmt.Sprintf("The server worked %.0f ms, of which %s took %.0f in %s.", took, w.Name, millis(w.Total), calls)
	}
	for _, t := range v.timers() {
		if !v.Known() && t.Duration > took/2 {
			return fmt.Sprintf("The server worked %.0f ms, of which %s took %.0f, as its response said.", took, t.Name, t.Duration)
		}
	}
	return fmt.Sprintf("The server worked %.0f ms, mostly without waiting for a query.", took)
}

func longest(works []metrics.Work) (most *metrics.Work) {
	for i := range works {
		if most == nil || works[i].Total > most.Total {
			most = &works[i]
		}
	}
	return most
}
