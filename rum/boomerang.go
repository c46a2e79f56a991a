package rum

import (
	"math"
	"net/url"
	"strconv"
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
	paintFCP // milliseconds from the start, as all below but for CLS
	paintLCP
	interaction
	layoutShift
	parameters
)

var boomerangNumbers = map[string]int{
	"nt_nav_st": navStart, "nt_red_st": redirectStart, "nt_red_end": redirectEnd, "nt_worker_start": workerStart, "nt_fet_st": fetchStart,
	"nt_dns_st": dnsStart, "nt_dns_end": dnsEnd, "nt_con_st": connectStart, "nt_ssl_st": tlsStart, "nt_con_end": connectEnd,
	"nt_req_st": requestStart, "nt_res_st": responseStart, "nt_res_end": responseEnd, "nt_domint": domInteractive,
	"nt_domcontloaded_st": contentLoadedStart, "nt_domcontloaded_end": contentLoadedEnd, "nt_domcomp": domComplete,
	"nt_load_st": loadStart, "nt_load_end": loadEnd, "nt_act_st": activation,
	"pt.fcp": paintFCP, "pt.lcp": paintLCP, "et.inp": interaction, "c.cls": layoutShift,
}

// DecodeBoomerang reads a beacon of boomerang's. Parameters that are zero it leaves
// out, so that those that are not there did not happen.
func DecodeBoomerang(form string) (Beacon, error) {
	var numbers [parameters]float64
	var known [parameters]bool
	b := Beacon{Format: boomerang}
	initiator, navigation, session := "", "", ""
	err := eachParameter(form, func(name, value string) {
		switch name {
		case "u":
			b.URL = value
		case "mob.etype":
			b.Connection = value
		case "http.initiator":
			initiator = value
		case "nt_nav_type":
			navigation = value
		case "nt_bad":
			b.Doubtful = value == "1"
		case "pid": // of the page: its beacon at the end has the same
			b.ID = value
		case "rt.si":
			session = value
		case "early", "rt.quit": // before the page's own beacon, and after it or in its place
			b.Extra = true
		default:
			if i, ok := boomerangNumbers[name]; ok {
				numbers[i], known[i] = number(value)
			}
		}
	})
	if err != nil {
		return b, err
	}
	b.URL, _ = url.QueryUnescape(b.URL)
	for i, to := range map[int]**float64{paintFCP: &b.Vitals.FCP, paintLCP: &b.Vitals.LCP, interaction: &b.Vitals.INP, layoutShift: &b.Vitals.CLS} {
		if known[i] {
			v := numbers[i]
			*to = &v
		}
	}
	if b.ID != "" {
		b.ID = session + b.ID
	}
	switch {
	case initiator == "bfcache":
		b.Nav = &Navigation{Type: "back-forward-cache"}
	case initiator == "" && known[navStart]:
		b.Nav = navigationOf(&numbers, &known)
		b.Nav.Type = navigationTypes[navigation]
	}
	return b, nil
}

// navigationTypes are those of Navigation Timing Level 1. Without any it is 0.
var navigationTypes = map[string]string{"": "navigate", "0": "navigate", "1": "reload", "2": "back_forward"}

// navigationOf counts the times from the navigation's start. Those that are not known
// stay 0, and those before it are negative.
func navigationOf(at *[parameters]float64, known *[parameters]bool) *Navigation {
	since := func(i int) float64 {
		if !known[i] {
			return 0
		}
		return at[i] - at[navStart]
	}
	n := &Navigation{
		RedirectStart: since(redirectStart), RedirectEnd: since(redirectEnd), WorkerStart: since(workerStart), FetchStart: since(fetchStart),
		DomainLookupStart: since(dnsStart), DomainLookupEnd: since(dnsEnd), ConnectStart: since(connectStart),
		SecureConnectionStart: since(tlsStart), ConnectEnd: since(connectEnd), RequestStart: since(requestStart),
		ResponseStart: since(responseStart), ResponseEnd: since(responseEnd), DOMInteractive: since(domInteractive),
		DOMContentLoadedEventStart: since(contentLoadedStart), DOMContentLoadedEventEnd: since(contentLoadedEnd),
		DOMComplete: since(domComplete), LoadEventStart: since(loadStart), LoadEventEnd: since(loadEnd), ActivationStart: since(activation),
	}
	return n
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
