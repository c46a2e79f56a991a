package rum

import (
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What a beacon of rum.js tells beside its values, for who looks at single page views.
// None of it is ever a label or a key, and all of it is bounded: what is too much, too
// long or cannot be true is dropped and counted.
const (
	maxDetails     = 16  // server timings, and user timings
	maxName        = 64  // bytes of one's name
	maxDescription = 64  // bytes of a server timing's description
	maxTarget      = 100 // bytes of a selector
	maxEvent       = 32  // bytes of an event's type
)

// ServerTiming is an entry of the Server-Timing header of the page's own response.
// https://www.w3.org/TR/server-timing/
type ServerTiming struct {
	Name        string  `json:"name"`
	Duration    float64 `json:"duration"` // ms; 0 if it says none
	Description string  `json:"description"`
}

// Timing is what the page's own script has timed by rum.mark and rum.measure.
type Timing struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"` // ms
}

// Attribution says what a view's vitals are made of, as web-vitals' attribution build
// defines it: milliseconds, nil is "not known".
// https://github.com/GoogleChrome/web-vitals#attribution
type Attribution struct {
	LCP  *LCPAttribution
	INP  *INPAttribution
	CLS  *CLSAttribution
	TTFB *TTFBAttribution `json:"-"` // which is in the navigation entry
}

// LCPAttribution are the parts of LCP, one after the other, and what was painted.
type LCPAttribution struct {
	TTFB         float64 `json:"ttfb"`         // until the page's first byte
	LoadDelay    float64 `json:"loadDelay"`    // until the element's resource was asked for
	LoadDuration float64 `json:"loadDuration"` // until it was there
	RenderDelay  float64 `json:"renderDelay"`  // until it was painted
	Target       string  `json:"target"`       // a selector; "" if the element is not known
}

// INPAttribution are the parts of INP, one after the other, and what was touched.
type INPAttribution struct {
	InputDelay   float64 `json:"inputDelay"`   // until an event handler ran
	Processing   float64 `json:"processing"`   // until all of them had
	Presentation float64 `json:"presentation"` // until the next frame was shown
	Event        string  `json:"event"`        // its type, as "keydown"
	Target       string  `json:"target"`       // a selector; "" if it is not known
	// Script is the invoker type of the script that ran longest meanwhile; "" if none did
	// for long, or the browser has no long animation frames.
	// https://w3c.github.io/long-animation-frames/#enumdef-scriptinvokertype
	Script string `json:"script"`
}

// CLSAttribution is the largest shift of the window that is the CLS.
type CLSAttribution struct {
	Value  float64 `json:"value"`
	Time   float64 `json:"time"`   // ms since the view's start
	Target string  `json:"target"` // a selector of what was moved; "" if it is not known
}

// TTFBAttribution are the parts of TTFB, one after the other.
type TTFBAttribution struct {
	Waiting    float64 // for redirects and an unload, until the worker or the fetch began
	Cache      float64 // and the worker
	DNS        float64
	Connection float64
	Request    float64 // until the first byte
}

// invokers are the types of what can invoke a script.
var invokers = []string{"classic-script", "module-script", "event-listener", "user-callback", "resolve-promise", "reject-promise"}

const (
	malformedText = "text"     // too long, or with what can't be printed
	tooMany       = "too_many" // of what a beacon may have so many of
)

// checkDetails drops what is not valid, and remembers what it was for Samples.
func (b *Beacon) checkDetails() {
	drop := func(metric, reason string) bool {
		if reason != "" {
			b.unfit = append(b.unfit, Dropped{metric, reason})
		}
		return reason != ""
	}
	a := &b.Attribution
	if p := a.LCP; b.Vitals.LCP == nil || p != nil && drop("lcp_attribution", whyUnfit(p.Target, p.TTFB, p.LoadDelay, p.LoadDuration, p.RenderDelay)) {
		a.LCP = nil
	}
	if p := a.INP; b.Vitals.INP == nil || p != nil && drop("inp_attribution", p.unfit()) {
		a.INP = nil
	}
	if p := a.CLS; b.Vitals.CLS == nil || p != nil && drop("cls_attribution", whyUnfit(p.Target, p.Value, p.Time)) {
		a.CLS = nil
	}
	a.TTFB = b.Nav.ttfb(b.Vitals.TTFB)
	if c := b.Confidence; c != nil && drop("confidence", c.unfit()) {
		b.Confidence = nil
	}
	b.NotRestored = reasons(b.NotRestored)
	b.ServerTiming = fitting(b.ServerTiming, "server_timing", drop, func(t ServerTiming) string {
		if !printable(t.Description, maxDescription) {
			return malformedText
		}
		return whyMisnamed(t.Name, t.Duration, maxPhase)
	})
	b.Timings = fitting(b.Timings, "timing", drop, func(t Timing) string { return whyMisnamed(t.Name, t.Value, maxAbsolute) })
}

// fitting are the first maxDetails that unfit has nothing against. Nothing else of
// all is kept with them.
func fitting[T any](all []T, metric string, drop func(metric, reason string) bool, unfit func(T) string) (fit []T) {
	for _, one := range all {
		reason := unfit(one)
		if reason == "" && len(fit) == maxDetails {
			reason = tooMany
		}
		if !drop(metric, reason) {
			fit = append(fit, one)
		}
	}
	return fit
}

// unfit says what is wrong, "" if nothing is.
func (p *INPAttribution) unfit() string {
	if p.Event == "" || len(p.Event) > maxEvent || strings.Trim(p.Event, "abcdefghijklmnopqrstuvwxyz") != "" {
		return malformedText
	}
	if p.Script != "" && !slices.Contains(invokers, p.Script) {
		p.Script = "" // of a browser that knows more than we do
	}
	return whyUnfit(p.Target, p.InputDelay, p.Processing, p.Presentation)
}

func whyUnfit(target string, values ...float64) string {
	if !printable(target, maxTarget) {
		return malformedText
	}
	for _, v := range values {
		if reason := invalid(v, maxAbsolute); reason != "" {
			return reason
		}
	}
	return ""
}

func whyMisnamed(name string, value, most float64) string {
	if name == "" || !printable(name, maxName) {
		return malformedText
	}
	return invalid(value, most)
}

// printable says whether a text has so many bytes at the most, and nothing in it that
// could be taken for anything else: no control characters, and no marks of direction.
func printable(text string, most int) bool {
	return len(text) <= most && utf8.ValidString(text) && strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

// ttfb are the parts of a TTFB, by web-vitals' rules; nil if it was not measured.
func (n *Navigation) ttfb(value *float64) *TTFBAttribution {
	if n == nil || value == nil || n.ResponseStart == 0 || invalid(*value, maxAbsolute) != "" || n.untrue(*value) != "" {
		return nil
	}
	since := func(at float64) float64 { return max(0, at-n.ActivationStart) }
	began := n.WorkerStart
	if began == 0 {
		began = n.FetchStart
	}
	waited, looked, connect, connected := since(began), since(n.DomainLookupStart), since(n.ConnectStart), since(n.ConnectEnd)
	p := &TTFBAttribution{waited, looked - waited, connect - looked, connected - connect, *value - connected}
	for _, part := range []float64{p.Waiting, p.Cache, p.DNS, p.Connection, p.Request} {
		if part < 0 || math.IsNaN(part) { // attributes that are missing, or out of order
			return nil
		}
	}
	return p
}
