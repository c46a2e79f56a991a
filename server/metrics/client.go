package metrics

import (
	"net/http"
	"strconv"
	"time"
)

// Transport returns base (nil: http.DefaultTransport) with every request timed
// until its response's header or its failure. peer is a constant of the code
// that says who is called ("elasticsearch", "sentry"), never a host name, which
// a user or a configuration could choose.
// https://opentelemetry.io/docs/specs/semconv/http/http-metrics/#http-client
func (r *Registry) Transport(peer string, base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return &transport{peer: peer, base: base, durations: r.Histogram(Desc{
		Name:   "http_client_request_duration_seconds",
		Help:   "Time of an HTTP request to another service until the response's header; status \"error\" if there was none.",
		Labels: []Label{L("server"), L("http_request_method"), L("http_response_status_code")},
	})}
}

type transport struct {
	peer      string
	base      http.RoundTripper
	durations *HistogramVec
}

// RoundTrip does what base does, and times it.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	start := time.Now()
	resp, err := t.base.RoundTrip(req)
	status := "error"
	if err == nil {
		status = strconv.Itoa(resp.StatusCode)
	}
	t.durations.With(t.peer, method(req.Method), status).Observe(req.Context(), time.Since(start))
	return resp, err
}

// CloseIdleConnections lets http.Client.CloseIdleConnections through to base.
func (t *transport) CloseIdleConnections() {
	if c, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// method is the method if it is one of HTTP's, so that the label stays a closed set.
func method(m string) string {
	switch m {
	case "":
		return http.MethodGet
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return m
	}
	return "_OTHER"
}
