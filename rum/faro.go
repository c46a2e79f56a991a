package rum

import (
	"fmt"
	"strings"
)

// faroPayload is as much of what Grafana's Faro web SDK sends to /collect as is
// read: web vitals, the navigation's phases, exceptions.
// https://github.com/grafana/faro-web-sdk (packages/core/src/transports)
type faroPayload struct {
	Meta *struct {
		Page struct {
			URL string `json:"url"`
		} `json:"page"`
		K6 struct {
			IsK6Browser bool `json:"isK6Browser"` // a load test holds it
		} `json:"k6"`
	} `json:"meta"`
	Measurements list[struct {
		Type   string `json:"type"`
		Values struct {
			LCP  *float64 `json:"lcp"`
			INP  *float64 `json:"inp"`
			CLS  *float64 `json:"cls"`
			FCP  *float64 `json:"fcp"`
			TTFB *float64 `json:"ttfb"`
		} `json:"values"`
		Context struct {
			ID string `json:"id"`
		} `json:"context"`
		Trace struct {
			TraceID string `json:"trace_id"`
		} `json:"trace"`
	}] `json:"measurements"`
	Events list[struct {
		Name       string         `json:"name"`
		Attributes faroAttributes `json:"attributes"`
	}] `json:"events"`
	Exceptions list[struct{}] `json:"exceptions"`
}

// faroAttributes are those of its navigation event, in milliseconds. It says 0 of what did not
// happen, and of a reused connection.
type faroAttributes struct {
	Type             string `json:"type"`
	Redirect         string `json:"redirectTime"`
	Worker           string `json:"serviceWorkerTime"`
	DNS              string `json:"dnsLookupTime"`
	Connect          string `json:"tcpHandshakeTime"`
	TLS              string `json:"tlsNegotiationTime"`
	Request          string `json:"requestTime"`
	Response         string `json:"responseTime"`
	DOMProcessing    string `json:"domProcessingTime"`
	DOMContentLoaded string `json:"domContentLoadHandlerTime"`
	LoadEvent        string `json:"onLoadTime"`
	PageLoad         string `json:"pageLoadTime"`
}

func decodeFaro(body []byte) ([]Beacon, error) {
	var p faroPayload
	if err := read(body, &p); err != nil {
		return nil, fmt.Errorf("not Faro's: %w", err)
	}
	if n := len(p.Measurements) + len(p.Events) + len(p.Exceptions); n > maxValues {
		return nil, fmt.Errorf("%d signals in one beacon: %d are the most", n, maxValues)
	}
	page := Beacon{Format: faro, Errors: Errors{Error: uint(len(p.Exceptions))}}
	if p.Meta != nil {
		page.URL, page.Automated = p.Meta.Page.URL, p.Meta.K6.IsK6Browser
	}
	all := []Beacon{page}
	for _, m := range p.Measurements {
		if m.Type != "web-vitals" {
			continue
		}
		b := Beacon{Format: faro, URL: page.URL, ID: m.Context.ID, TraceID: m.Trace.TraceID}
		b.Vitals = Vitals{LCP: m.Values.LCP, INP: m.Values.INP, CLS: m.Values.CLS, FCP: m.Values.FCP}
		b.Vitals.setTTFB(m.Values.TTFB)
		all = append(all, b)
	}
	for _, e := range p.Events {
		if e.Name == "faro.performance.navigation" {
			all = append(all, faroNavigation(page.URL, e.Attributes))
		}
	}
	return all, nil
}

// faroNavigation takes the phases as the SDK has computed them.
func faroNavigation(url string, a faroAttributes) Beacon {
	b := Beacon{Format: faro, URL: url, Nav: &Navigation{Type: strings.ReplaceAll(a.Type, "-", "_")}}
	told := func(phase string, ms float64) { b.Told = append(b.Told, Sample{Phase: phase, Value: ms}) }
	for _, p := range [...]struct{ phase, value string }{
		{"redirect", a.Redirect}, {"worker", a.Worker}, {"dns", a.DNS}, {"request", a.Request}, {"response", a.Response},
		{"dom_processing", a.DOMProcessing}, {"dom_content_loaded", a.DOMContentLoaded}, {"load_event", a.LoadEvent}, {"page_load", a.PageLoad},
	} {
		if v, ok := number(p.value); ok && v != 0 {
			told(p.phase, v)
		}
	}
	connect, _ := number(a.Connect)
	tls, _ := number(a.TLS)
	switch {
	case connect <= 0:
	case tls > 0 && tls <= connect:
		told("tcp", connect-tls)
		told("tls", tls)
	default: // without TLS it says all times up to the connection's end
		told("tcp", connect)
	}
	return b
}
