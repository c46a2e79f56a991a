package rum

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Beacon is a page view, or a part of one, as a client told of it. In JSON it is what
// rum.js sends.
type Beacon struct {
	Page         string             `json:"page"`       // the server's name for the kind of page
	Connection   string             `json:"connection"` // Network Information API's effective type
	Automated    bool               `json:"automated"`  // navigator.webdriver: a program holds the browser
	Vitals       Vitals             `json:"vitals"`
	Attribution  Attribution        `json:"attribution"`
	Nav          *Navigation        `json:"nav"`
	ServerTiming list[ServerTiming] `json:"serverTiming"` // of the page's response; 16 at the most
	Timings      list[Timing]       `json:"timings"`      // of the page's own script; 16 at the most
	Errors       Errors             `json:"errors"`
	Confidence   *Confidence        `json:"confidence"`  // in the navigation's times; nil if the browser says nothing
	NotRestored  list[string]       `json:"notRestored"` // why the page that was gone back to was not kept

	unfit []Dropped // that Decode has dropped

	// What other clients send:
	Format    string        `json:"-"`
	URL       string        `json:"-"` // of the page, which has no name there: matched with the site's routes and forgotten
	ID        string        `json:"-"` // of the values: a later one with the same takes their place
	Of        Place         `json:"-"` // in the life of the page that ID is of
	Extra     bool          `json:"-"` // there is mostly another of the same page view
	TraceID   string        `json:"-"`
	Told      []Sample      `json:"-"` // phases that the client has computed itself
	Level1    Level1        `json:"-"`
	Doubtful  bool          `json:"-"` // the client itself finds its times since the start impossible
	Network   *NetworkError `json:"-"`
	Violation *Violation    `json:"-"`
}

// Place is where a beacon stands among those of a page that lives for several views.
type Place struct {
	Number int32 // from 1; 0 is not told
	Begins bool  // a view of its own: a soft navigation, a return from the back/forward cache
	Open   bool  // what grows as long as the page lives is told once more when it is left
	Parts  bool  // CLS is told since the beacon before
}

// The formats, the values of a label.
const (
	own          = "rum"
	boomerang    = "boomerang"
	webVitals    = "web_vitals"
	faro         = "faro"
	djangoStatsd = "django_statsd"
	reports      = "reports"
	unknown      = "unknown"
)

var formats = []string{own, boomerang, webVitals, faro, djangoStatsd, reports, unknown}

// Errors are how many a page view had.
type Errors struct {
	Error     uint `json:"error"`     // of scripts
	Rejection uint `json:"rejection"` // of promises, that nobody handled
	CSP       uint `json:"csp"`       // kept from happening by the content security policy

	// What could not be loaded, by the element that asked for it:
	Image  uint `json:"img"`
	Script uint `json:"script"`
	Link   uint `json:"link"` // a style sheet, mostly
	Other  uint `json:"other"`
}

// maxErrors of each kind that a beacon can tell: rum.js counts no further.
const maxErrors = 100

// Vitals in milliseconds, CLS without unit; nil is "not measured". https://web.dev/articles/vitals
type Vitals struct {
	LCP, INP, CLS, FCP, TTFB *float64
}

// Navigation is the PerformanceNavigationTiming entry: milliseconds from the
// start of the navigation, 0 for what did not happen.
// https://www.w3.org/TR/navigation-timing-2/
type Navigation struct {
	Type   string  `json:"type"`
	Now    float64 `json:"now"`    // when the entry was read
	Cached bool    `json:"cached"` // by the browser's HTTP cache: no request of this view came to the server
	Trace  string  `json:"trace"`

	ActivationStart            float64 `json:"activationStart"`
	RedirectStart              float64 `json:"redirectStart"`
	RedirectEnd                float64 `json:"redirectEnd"`
	WorkerStart                float64 `json:"workerStart"`
	FetchStart                 float64 `json:"fetchStart"`
	DomainLookupStart          float64 `json:"domainLookupStart"`
	DomainLookupEnd            float64 `json:"domainLookupEnd"`
	ConnectStart               float64 `json:"connectStart"`
	SecureConnectionStart      float64 `json:"secureConnectionStart"`
	ConnectEnd                 float64 `json:"connectEnd"`
	RequestStart               float64 `json:"requestStart"`
	ResponseStart              float64 `json:"responseStart"`
	ResponseEnd                float64 `json:"responseEnd"`
	DOMInteractive             float64 `json:"domInteractive"`
	DOMContentLoadedEventStart float64 `json:"domContentLoadedEventStart"`
	DOMContentLoadedEventEnd   float64 `json:"domContentLoadedEventEnd"`
	DOMComplete                float64 `json:"domComplete"`
	LoadEventStart             float64 `json:"loadEventStart"`
	LoadEventEnd               float64 `json:"loadEventEnd"`
}

// Decode reads a beacon of rum.js. Its error is for the client's developer.
func Decode(body []byte) (Beacon, error) {
	var b Beacon
	if err := read(body, &b); err != nil {
		return Beacon{}, fmt.Errorf("not a beacon: %w", err)
	}
	if b.Page == "" {
		return Beacon{}, fmt.Errorf(`not a beacon: "page" is missing`)
	}
	if n := len(b.ServerTiming) + len(b.Timings); n > maxValues {
		return Beacon{}, fmt.Errorf("%d timings in one beacon: %d are the most", n, maxValues)
	}
	b.Format = own
	b.checkDetails()
	return b, nil
}

// Trace is the trace id of the page's own response, "" unless it is 32 hex digits,
// not all zero. https://www.w3.org/TR/trace-context/#trace-id
func (b Beacon) Trace() string {
	trace := b.TraceID
	if b.Nav != nil && trace == "" {
		trace = b.Nav.Trace
	}
	if len(trace) != 32 || strings.Trim(trace, "0123456789abcdef") != "" || strings.Trim(trace, "0") == "" {
		return ""
	}
	return trace
}

// Sample is one valid value.
type Sample struct {
	Vital string  // "lcp", "inp", "cls", "fcp", "ttfb", or ""
	Phase string  // of the navigation: "dns", "request"…, or ""
	Value float64 // milliseconds, CLS without unit
}

// Key is the sample's place below rum.<page> in Graphite.
func (s Sample) Key() string {
	if s.Vital != "" {
		return s.Vital
	}
	return "nav." + s.Phase
}

// metric is the sample's name among dropped values.
func (s Sample) metric() string {
	if s.Vital != "" {
		return s.Vital
	}
	return "nav_" + s.Phase
}

// Dropped is a value that cannot be true.
type Dropped struct{ Metric, Reason string }

// Why a value is dropped. It is never clamped: a value moved to the nearest
// possible one would move the percentiles with it.
const (
	outOfOrder = "out_of_order" // an end before its start
	tooHigh    = "too_high"     // above the cap: a laptop that slept, a broken clock
	negative   = "negative"
	future     = "future"   // later than the moment at which it was read
	doubtful   = "doubtful" // the client itself said that its times since the start are impossible
)

const (
	maxPhase    = 60_000.0  // ms
	maxAbsolute = 600_000.0 // ms; Datadog's cap for FCP and LCP too
	maxCLS      = 100.0
	rounding    = 1.0 // ms: browsers round to a tenth of a millisecond, or to one
)

// absolute says whether the value is counted from the start of the navigation.
func (s Sample) absolute() bool {
	switch {
	case s.Vital == "lcp", s.Vital == "fcp", s.Vital == "ttfb", s.Phase == "page_load":
		return true
	}
	return false
}

// untrue says why a time that is counted from the start of the navigation cannot
// be true, "" if it can. A machine that sleeps between the start and the fetch adds
// its sleep to every such time, and to nothing else (resource-timing#413, faro#2179).
func (n *Navigation) untrue(at float64) string {
	switch {
	case n == nil:
		return ""
	case n.FetchStart-n.RedirectEnd > maxPhase:
		return tooHigh
	case n.Now > 0 && at > n.Now+rounding:
		return future
	}
	return ""
}

// vital is a row of the table of web vitals.
type vital struct {
	name  string
	value *float64
	most  float64
}

// phase is a row of the table of navigation phases: end − start, if guard holds.
// Where it does not, the phase did not happen (or is kept from us): absent is not zero.
type phase struct {
	name       string
	guard      bool
	start, end float64
	most       float64
}

// Samples returns the valid values and what was dropped.
func (b Beacon) Samples() ([]Sample, []Dropped) {
	samples := make([]Sample, 0, 17) // all vitals and phases, as much as nearly all beacons have
	dropped := slices.Clone(b.unfit)
	keep := func(s Sample, reason string) {
		if reason == "" && s.absolute() {
			reason = b.Nav.untrue(s.Value)
			if reason == "" && b.Doubtful {
				reason = doubtful
			}
		}
		if reason != "" {
			dropped = append(dropped, Dropped{s.metric(), reason})
			return
		}
		samples = append(samples, s)
	}
	for _, v := range [...]vital{
		{"lcp", b.Vitals.LCP, maxAbsolute},
		{"fcp", b.Vitals.FCP, maxAbsolute},
		{"ttfb", b.Vitals.TTFB, maxAbsolute},
		{"inp", b.Vitals.INP, maxPhase},
		{"cls", b.Vitals.CLS, maxCLS},
	} {
		if v.value != nil {
			keep(Sample{Vital: v.name, Value: *v.value}, invalid(*v.value, v.most))
		}
	}
	for _, p := range b.Nav.phases() {
		if p.guard {
			value := p.end - p.start
			keep(Sample{Phase: p.name, Value: value}, p.invalid(value, b.Nav.Now))
		}
	}
	for _, s := range b.Told {
		most := maxPhase
		if s.absolute() {
			most = maxAbsolute
		}
		keep(s, invalid(s.Value, most))
	}
	return samples, dropped
}

// invalid says why a value cannot be true, "" if it can. JSON has no NaN and no
// infinities, but numbers may be computed from very large ones.
func invalid(value, most float64) string {
	switch {
	case value < 0:
		return negative
	case math.IsNaN(value) || value > most:
		return tooHigh
	}
	return ""
}

func (p phase) invalid(value, now float64) string {
	switch {
	case p.start < 0:
		return negative
	case value < 0:
		return outOfOrder
	case now > 0 && p.end > now+rounding:
		return future
	}
	return invalid(value, p.most)
}

// phases is the table: what each phase is, and when there is one. The guards are
// those of Datadog's browser SDK, whose order of attributes they follow.
func (n *Navigation) phases() (none [12]phase) {
	if n == nil || n.FetchStart == 0 && n.ResponseStart == 0 {
		return none
	}
	connected := n.ConnectEnd
	tls := n.SecureConnectionStart > n.FetchStart
	if tls {
		connected = min(n.SecureConnectionStart, n.ConnectEnd)
	}
	return [...]phase{
		{"redirect", n.RedirectEnd > 0, n.RedirectStart, n.RedirectEnd, maxPhase},
		{"worker", n.WorkerStart > 0 && n.FetchStart > 0, n.WorkerStart, n.FetchStart, maxPhase},
		// Equal to fetchStart: the connection was there already, nothing was looked up.
		{"dns", n.DomainLookupEnd > n.FetchStart && n.DomainLookupStart > 0, n.DomainLookupStart, n.DomainLookupEnd, maxPhase},
		{"tcp", n.ConnectEnd > n.FetchStart && n.ConnectStart > 0, n.ConnectStart, connected, maxPhase},
		{"tls", tls && n.ConnectEnd > 0, n.SecureConnectionStart, n.ConnectEnd, maxPhase},
		{"request", n.RequestStart > 0 && n.ResponseStart > 0, n.RequestStart, n.ResponseStart, maxPhase},
		{"response", n.ResponseStart > 0 && n.ResponseEnd > 0, n.ResponseStart, n.ResponseEnd, maxPhase},
		{"dom_interactive", n.ResponseEnd > 0 && n.DOMInteractive > 0, n.ResponseEnd, n.DOMInteractive, maxPhase},
		{"dom_content_loaded", n.DOMContentLoadedEventStart > 0 && n.DOMContentLoadedEventEnd > 0, n.DOMContentLoadedEventStart, n.DOMContentLoadedEventEnd, maxPhase},
		{"dom_processing", n.DOMInteractive > 0 && n.DOMComplete > 0, n.DOMInteractive, n.DOMComplete, maxPhase},
		{"load_event", n.LoadEventStart > 0 && n.LoadEventEnd > 0, n.LoadEventStart, n.LoadEventEnd, maxPhase},
		// Loaded while it was prerendered: there at once, when it was activated.
		{"page_load", n.LoadEventEnd > 0, min(n.ActivationStart, n.LoadEventEnd), n.LoadEventEnd, maxAbsolute},
	}
}
