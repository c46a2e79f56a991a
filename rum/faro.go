package rum

import (
	"encoding/json"
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
	Measurements []struct {
		Type    string             `json:"type"`
		Values  map[string]float64 `json:"values"`
		Context map[string]string  `json:"context"`
		Trace   struct {
			TraceID string `json:"trace_id"`
		} `json:"trace"`
	} `json:"measurements"`
	Events []struct {
		Name       string            `json:"name"`
		Attributes map[string]string `json:"attributes"`
	} `json:"events"`
	Exceptions []json.RawMessage `json:"exceptions"`
}

// faroPhases are the attributes of its navigation event that are phases. It says 0 of
// what did not happen, and of a reused connection.
var faroPhases = []struct{ attribute, phase string }{
	{"redirectTime", "redirect"}, {"serviceWorkerTime", "worker"}, {"dnsLookupTime", "dns"}, {"requestTime", "request"},
	{"responseTime", "response"}, {"domProcessingTime", "dom_processing"}, {"domContentLoadHandlerTime", "dom_content_loaded"},
	{"onLoadTime", "load_event"}, {"pageLoadTime", "page_load"},
}

func decodeFaro(body []byte) ([]Beacon, error) {
	var p faroPayload
	if err := json.Unmarshal(body, &p); err != nil {
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
		for name, value := range m.Values {
			b := Beacon{Format: faro, URL: page.URL, ID: m.Context["id"], TraceID: m.Trace.TraceID}
			if b.Vitals.set(strings.ToUpper(name), &value) {
				all = append(all, b)
				break // the others are its parts
			}
		}
	}
	for _, e := range p.Events {
		if e.Name == "faro.performance.navigation" {
			all = append(all, faroNavigation(page.URL, e.Attributes))
		}
	}
	return all, nil
}

// faroNavigation takes the phases as the SDK has computed them.
func faroNavigation(url string, attributes map[string]string) Beacon {
	b := Beacon{Format: faro, URL: url, Nav: &Navigation{Type: strings.ReplaceAll(attributes["type"], "-", "_")}}
	told := func(phase string, ms float64) { b.Told = append(b.Told, Sample{Phase: phase, Value: ms}) }
	for _, p := range faroPhases {
		if v, ok := number(attributes[p.attribute]); ok && v != 0 {
			told(p.phase, v)
		}
	}
	connect, _ := number(attributes["tcpHandshakeTime"])
	tls, _ := number(attributes["tlsNegotiationTime"])
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
