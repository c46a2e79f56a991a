package rum

import (
	"errors"
	"fmt"
	"slices"
)

// NetworkError is a report of Network Error Logging: a request that a browser made
// and that came to nothing, or a share of those that went well.
// https://www.w3.org/TR/network-error-logging/
type NetworkError struct {
	Phase, Type string
	Weight      float64 // how many requests it stands for: 1 / sampling fraction
}

// Violation is a report of what a content security policy has kept from happening, or
// would have. https://www.w3.org/TR/CSP3/#reporting
type Violation struct{ Directive, Disposition string }

// report is one of the Reporting API's (https://www.w3.org/TR/reporting-1/), or the
// older form of a violation's.
type report struct {
	Type string `json:"type"`
	URL  string `json:"url"`
	Body struct {
		SamplingFraction   *float64 `json:"sampling_fraction"`
		Phase              string   `json:"phase"`
		Type               string   `json:"type"`
		EffectiveDirective string   `json:"effectiveDirective"`
		Disposition        string   `json:"disposition"`
	} `json:"body"`
	CSP *struct {
		Document  string `json:"document-uri"`
		Effective string `json:"effective-directive"`
		Violated  string `json:"violated-directive"`
		Disposed  string `json:"disposition"`
	} `json:"csp-report"`
}

// decodeReports reads an array of reports, or one.
func decodeReports(body []byte) ([]Beacon, error) {
	var all list[report]
	if err := read(array(body), &all); err != nil {
		return nil, fmt.Errorf("not reports: %w", err)
	}
	var beacons []Beacon
	for _, r := range all {
		b, err := r.beacon()
		if err != nil {
			return nil, err
		}
		beacons = append(beacons, b)
	}
	return beacons, nil
}

func (r report) beacon() (Beacon, error) {
	b := Beacon{Format: reports, URL: r.URL}
	switch {
	case r.CSP != nil:
		b.URL = r.CSP.Document
		directive := r.CSP.Effective
		if directive == "" {
			directive = r.CSP.Violated
		}
		b.Violation = newViolation(directive, r.CSP.Disposed)
	case r.Type == "csp-violation":
		b.Violation = newViolation(r.Body.EffectiveDirective, r.Body.Disposition)
	case r.Type == "network-error":
		b.Network = newNetworkError(r.Body.Phase, r.Body.Type, r.Body.SamplingFraction)
	case r.Type == "":
		return b, errors.New(`not a report: "type" is missing`)
	}
	return b, nil // of another type it is taken, and says nothing to us
}

// directives are those of CSP Level 3 that a page can violate.
var directives = []string{
	"default-src", "script-src", "script-src-elem", "script-src-attr", "style-src", "style-src-elem", "style-src-attr",
	"img-src", "font-src", "connect-src", "media-src", "object-src", "frame-src", "child-src", "worker-src", "manifest-src",
	"base-uri", "form-action", "frame-ancestors", "sandbox", "require-trusted-types-for", "trusted-types",
}

func newViolation(directive, disposition string) *Violation {
	if !slices.Contains(directives, directive) {
		directive = "other"
	}
	if disposition != "report" {
		disposition = "enforce"
	}
	return &Violation{directive, disposition}
}

// networkErrors are the specification's types, by phase.
var networkErrors = map[string][]string{
	"dns":         {"dns.unreachable", "dns.name_not_resolved", "dns.failed", "dns.address_changed"},
	"connection":  {"tcp.timed_out", "tcp.closed", "tcp.reset", "tcp.refused", "tcp.aborted", "tcp.address_invalid", "tcp.address_unreachable", "tcp.failed", "tls.version_or_cipher_mismatch", "tls.bad_client_auth_cert", "tls.cert.name_invalid", "tls.cert.date_invalid", "tls.cert.authority_invalid", "tls.cert.invalid", "tls.cert.revoked", "tls.cert.pinned_key_not_in_cert_chain", "tls.protocol.error", "tls.failed"},
	"application": {"ok", "http.error", "http.protocol.error", "http.response.invalid", "http.response.redirect_loop", "http.failed", "abandoned"},
}

// leastFraction bounds how many requests a report can stand for.
const leastFraction = 1e-4

func newNetworkError(phase, typ string, fraction *float64) *NetworkError {
	n := &NetworkError{Phase: phase, Type: typ, Weight: 1}
	if networkErrors[phase] == nil {
		n.Phase = "other"
	}
	if !slices.Contains(networkErrors[phase], typ) {
		n.Type = "other"
	}
	if fraction != nil && *fraction > 0 && *fraction <= 1 {
		n.Weight = 1 / max(*fraction, leastFraction)
	}
	return n
}
