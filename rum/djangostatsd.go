package rum

import (
	"errors"
	"net/http"
)

// errClient is what django-statsd answers to clients that it does not know.
var errClient = errors.New(`"client" is boomerang, by GET, or stick, by POST`)

// decodeDjango reads a beacon for django-statsd's timing view
// (django_statsd/views.py): boomerang's parameters by GET, or stick.js's by POST.
func decodeDjango(method, form string) (Beacon, error) {
	switch client := parameter(form, "client"); {
	case client == "boomerang" && method != http.MethodPost:
		b, err := DecodeBoomerang(form)
		if err == nil && b.Nav == nil {
			err = errors.New("nt_nav_st is missing")
		}
		b.Format = djangoStatsd
		return b, err
	case client == "stick" && method == http.MethodPost:
		return decodeStick(form)
	}
	return Beacon{}, errClient
}

// stickNumbers are stick.js's parameters below window.performance.timing.
var stickNumbers = map[string]int{
	"navigationStart": navStart, "redirectStart": redirectStart, "redirectEnd": redirectEnd, "fetchStart": fetchStart,
	"domainLookupStart": dnsStart, "domainLookupEnd": dnsEnd, "connectStart": connectStart, "secureConnectionStart": tlsStart,
	"connectEnd": connectEnd, "requestStart": requestStart, "responseStart": responseStart, "responseEnd": responseEnd,
	"domInteractive": domInteractive, "domContentLoadedEventStart": contentLoadedStart, "domContentLoadedEventEnd": contentLoadedEnd,
	"domLoading": domLoading, "unloadEventStart": unloadStart, "unloadEventEnd": unloadEnd, "domComplete": domComplete, "loadEventStart": loadStart, "loadEventEnd": loadEnd,
}

const (
	stickTiming = "window.performance.timing."
	stickType   = "window.performance.navigation.type"
)

func decodeStick(form string) (Beacon, error) {
	t := &times{}
	navigation := ""
	err := eachParameter(form, func(name, value string) {
		if name == stickType {
			navigation = value
		}
		if len(name) <= len(stickTiming) || name[:len(stickTiming)] != stickTiming {
			return
		}
		if i, ok := stickNumbers[name[len(stickTiming):]]; ok {
			t.take(i, value)
		}
	})
	if err == nil && !t.known[navStart] {
		err = errors.New(stickTiming + "navigationStart is missing")
	}
	if err != nil {
		return Beacon{}, err
	}
	b := Beacon{Format: djangoStatsd}
	b.navigated(t, navigation)
	return b, nil
}
