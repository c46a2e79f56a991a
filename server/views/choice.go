package views

import (
	"net/url"
	"slices"
	"time"
)

// bot is the device of programs, which are kept apart from what people hold.
const bot = "bot"

// devices that can be chosen; "" is all that people hold.
var devices = []string{"", "mobile", "tablet", "desktop", bot}

// phaseOrder is the order in which a navigation has its phases.
var phaseOrder = []string{"redirect", "worker", "dns", "tcp", "tls", "early_hints", "request", "response", "dom_interactive", "dom_content_loaded", "dom_processing", "load_event", "page_load"}

// span is a time that can be chosen, and the stretches in which its course is drawn: of a
// page that is seldom seen, shorter ones have too few views for a 75th percentile.
type span struct {
	Name         string
	Length, Step time.Duration
}

var spans = []span{
	{"1h", time.Hour, 2 * time.Minute},
	{"6h", 6 * time.Hour, 10 * time.Minute},
	{"24h", 24 * time.Hour, 30 * time.Minute},
	{"7d", 7 * 24 * time.Hour, 3 * time.Hour},
}

// window is the time that a page shows. Its course is drawn from Start to End, in stretches
// that stay the same from one look to the next; the last is not over yet.
type window struct {
	span
	Start, Now, End time.Time
}

func newWindow(s span, now time.Time) window {
	end := now.Truncate(s.Step).Add(s.Step)
	return window{s, end.Add(-s.Length), now, end}
}

// choice is what a page shows, from its address: each of a closed set, and the first of
// the set, or the one that is usual, for anything else.
type choice struct {
	among
	Vital vital
	Span  span
}

func choose(query url.Values, page string) choice {
	c := choice{among: among{Page: page}, Vital: vitals[0], Span: spans[2]}
	if d := query.Get("device"); slices.Contains(devices, d) {
		c.Device = d
	}
	if v, ok := vitalOf(query.Get("vital")); ok {
		c.Vital = v
	}
	if i := slices.IndexFunc(spans, func(s span) bool { return s.Name == query.Get("range") }); i >= 0 {
		c.Span = spans[i]
	}
	return c
}

// query is the choice as an address has it.
func (c choice) query() string {
	return url.Values{"device": {c.Device}, "vital": {c.Vital.Name}, "range": {c.Span.Name}}.Encode()
}

// link is a choice that a page offers.
type link struct {
	Text, URL string
	Current   bool
}

// deviceName is a device for people.
func deviceName(d string) string {
	switch d {
	case "":
		return "all devices"
	case bot:
		return "programs"
	}
	return d
}

// links offer the other choices of each kind.
func (c choice) links() (ofDevices, ofVitals, ofSpans []link) {
	for _, d := range devices {
		other := c
		other.Device = d
		ofDevices = append(ofDevices, link{deviceName(d), "?" + other.query(), d == c.Device})
	}
	for _, v := range vitals {
		other := c
		other.Vital = v
		ofVitals = append(ofVitals, link{v.Short(), "?" + other.query(), v == c.Vital})
	}
	for _, s := range spans {
		other := c
		other.Span = s
		ofSpans = append(ofSpans, link{s.Name, "?" + other.query(), s == c.Span})
	}
	return ofDevices, ofVitals, ofSpans
}
