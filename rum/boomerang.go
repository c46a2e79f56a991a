package rum

import (
	"cmp"
	"math"
	"net/url"
	"strconv"
	"strings"
)

// boomerang's parameters that are read: those of its plugins rt, navtiming,
// painttiming, eventtiming, continuity and mobile, in version 1.815.
// https://akamai.github.io/boomerang/
const (
	navStart = iota // Unix milliseconds, as all of the navigation's
	redirectStart
	redirectEnd
	workerStart
	fetchStart
	dnsStart
	dnsEnd
	connectStart
	tlsStart
	connectEnd
	requestStart
	responseStart
	responseEnd
	domInteractive
	contentLoadedStart
	contentLoadedEnd
	domComplete
	loadStart
	loadEnd
	activation
	domLoading
	unloadStart
	unloadEnd
	paintFCP // milliseconds from the start, as all below but for CLS
	paintLCP
	interaction
	layoutShift
	toResponse
	toPage
	toDone
	parameters
)

// boomerangNumber is the parameter of a name, −1 if it is none that is read. A switch is
// twice as fast as a map, and this is asked some forty times for each beacon.
func boomerangNumber(name string) int {
	switch name {
	case "nt_nav_st":
		return navStart
	case "nt_red_st":
		return redirectStart
	case "nt_red_end":
		return redirectEnd
	case "nt_worker_start":
		return workerStart
	case "nt_fet_st":
		return fetchStart
	case "nt_dns_st":
		return dnsStart
	case "nt_dns_end":
		return dnsEnd
	case "nt_con_st":
		return connectStart
	case "nt_ssl_st":
		return tlsStart
	case "nt_con_end":
		return connectEnd
	case "nt_req_st":
		return requestStart
	case "nt_res_st":
		return responseStart
	case "nt_res_end":
		return responseEnd
	case "nt_domloading":
		return domLoading
	case "nt_domint":
		return domInteractive
	case "nt_domcontloaded_st":
		return contentLoadedStart
	case "nt_domcontloaded_end":
		return contentLoadedEnd
	case "nt_domcomp":
		return domComplete
	case "nt_load_st":
		return loadStart
	case "nt_load_end":
		return loadEnd
	case "nt_unload_st":
		return unloadStart
	case "nt_unload_end":
		return unloadEnd
	case "nt_act_st":
		return activation
	case "pt.fcp":
		return paintFCP
	case "pt.lcp":
		return paintLCP
	case "et.inp":
		return interaction
	case "c.cls":
		return layoutShift
	case "t_resp":
		return toResponse
	case "t_page":
		return toPage
	case "t_done":
		return toDone
	}
	return -1
}

// times are the numbers of a beacon, and what is made of them, in one piece of memory.
type times struct {
	numbers    [parameters]float64
	known      [parameters]bool
	navigation Navigation
}

// take reads a parameter's value.
func (t *times) take(i int, value string) {
	if t.numbers[i], t.known[i] = number(value); !t.known[i] {
		t.numbers[i] = 0
	}
}

// at is a parameter's place, nil if its value is not known.
func (t *times) at(i int) *float64 {
	if !t.known[i] {
		return nil
	}
	return &t.numbers[i]
}

// DecodeBoomerang reads a beacon of boomerang's. Parameters that are zero it leaves
// out, so that those that are not there did not happen.
func DecodeBoomerang(form string) (Beacon, error) {
	t := &times{}
	b := Beacon{Format: boomerang}
	initiator, navigation, session, page := "", "", "", ""
	early, left := false, false
	err := eachParameter(form, func(name, value string) {
		switch name {
		case "u":
			b.URL = value
		case "pgu": // of the page, where u is a request's
			page = value
		case "mob.etype":
			b.Connection = value
		case "http.initiator":
			initiator = value
		case "nt_nav_type":
			navigation = value
		case "nt_bad":
			b.Doubtful = value == "1"
		case "pid": // of the page: all its beacons have the same
			b.ID = value
		case "n": // of the beacon among the page's
			n, _ := strconv.ParseUint(value, 10, 31)
			b.Of.Number = int32(n)
		case "rt.si":
			session = value
		case "early": // before the page's own beacon
			early = true
		case "rt.quit": // after it, or in its place
			left = true
		default:
			if i := boomerangNumber(name); i >= 0 {
				t.take(i, value)
			}
		}
	})
	if err != nil {
		return b, err
	}
	b.URL, _ = url.QueryUnescape(cmp.Or(page, b.URL))
	b.Extra = early || left
	b.Vitals = Vitals{FCP: t.at(paintFCP), LCP: t.at(paintLCP), INP: t.at(interaction), CLS: t.at(layoutShift)}
	if early || strings.HasPrefix(initiator, "api_custom_") {
		b.Vitals.CLS = nil // it is not reset by these, so that the next beacon has it too: Continuity.onBeacon
	}
	if b.ID != "" {
		b.ID = session + b.ID
	}
	// "CLS is included on the beacon as c.cls, and resets each beacon, so represents the CLS since the
	// last beacon" (plugins/continuity.js). A view's is their sum, however many beacons it sends. The
	// last has it, and INP, when the page is left ("rt.quit", plugins/rt.js; plugins/eventtiming.js).
	b.Of.Parts, b.Of.Open = true, !left
	switch initiator {
	case "", "spa_hard": // the page itself
		if t.known[navStart] {
			b.navigated(t, navigation)
		}
	case "spa":
		b.Of.Begins = true
	case "bfcache": // its listeners are gone when a page comes back, so that it is not told when that is left
		b.Of.Begins, b.Of.Open = true, false
		b.Nav = &Navigation{Type: "back-forward-cache"}
	}
	if b.Of.Begins && b.Of.Number == 0 { // which of the views this is nobody knows
		b.ID = ""
	}
	return b, nil
}

// navigationTypes are those of Navigation Timing Level 1. Without any it is 0.
var navigationTypes = map[string]string{"": "navigate", "0": "navigate", "1": "reload", "2": "back_forward"}

// navigated counts the times from the navigation's start. Those that are not known, or 0,
// which in Level 1 is what did not happen, are 0, and those before it are negative.
func (b *Beacon) navigated(t *times, typ string) {
	since := func(i int) float64 {
		if t.numbers[i] == 0 {
			return 0
		}
		return t.numbers[i] - t.numbers[navStart]
	}
	b.Nav = &t.navigation
	t.navigation = Navigation{
		Type: navigationTypes[typ], RedirectStart: since(redirectStart), RedirectEnd: since(redirectEnd), WorkerStart: since(workerStart), FetchStart: since(fetchStart),
		DomainLookupStart: since(dnsStart), DomainLookupEnd: since(dnsEnd), ConnectStart: since(connectStart),
		SecureConnectionStart: since(tlsStart), ConnectEnd: since(connectEnd), RequestStart: since(requestStart),
		ResponseStart: since(responseStart), ResponseEnd: since(responseEnd), DOMInteractive: since(domInteractive),
		DOMContentLoadedEventStart: since(contentLoadedStart), DOMContentLoadedEventEnd: since(contentLoadedEnd),
		DOMComplete: since(domComplete), LoadEventStart: since(loadStart), LoadEventEnd: since(loadEnd), ActivationStart: since(activation),
	}
	b.Level1 = Level1{
		DOMLoading: since(domLoading), UnloadStart: since(unloadStart), UnloadEnd: since(unloadEnd),
		Response: t.numbers[toResponse], Page: t.numbers[toPage], Done: t.numbers[toDone],
	}
}

// number reads a decimal number; false if it is none. django-statsd's and
// boomerang's clients send "undefined" and "NaN" at times.
func number(text string) (float64, bool) {
	n, digits := 0.0, 0
	for digits < len(text) && text[digits] >= '0' && text[digits] <= '9' {
		n = 10*n + float64(text[digits]-'0')
		digits++
	}
	if digits == len(text) && digits > 0 && digits < 16 { // as nearly all are
		return n, true
	}
	n, err := strconv.ParseFloat(text, 64)
	return n, err == nil && !math.IsNaN(n) && !math.IsInf(n, 0)
}
