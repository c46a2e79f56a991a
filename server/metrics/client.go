package metrics

import (
	"net/http"
	"strconv"
	"time"
)

// Transport returns base (nil: http.DefaultTransport) with every exchange timed
// as http_client_request_duration_seconds. peer is the fixed name of who is asked
// ("elasticsearch", "sentry"), not an address. The time ends with the response's
// headers; an exchange without a response has the status "error".
func (r *Registry) Transport(peer string, base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return &transport{base, peer, r.Histogram(Desc{
		Name:   "http_client_request_duration_seconds",
		Help:   "Time of outgoing HTTP requests until the response's headers.",
		Labels: []Label{L("peer"), L("http_request_method"), L("http_response_status_code")},
		Keys:   []string{"http.{peer}.{http_request_method}"},
		Span:   "http",
	})}
}

type transport struct {
	base http.RoundTripper
	peer string
	took *HistogramVec
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	start := time.Now()
	resp, err := t.base.RoundTrip(req)
	status := "error"
	if err == nil {
		status = strconv.Itoa(resp.StatusCode)
	}
	t.took.With(t.peer, req.Method, status).Observe(req.Context(), time.Since(start))
	return resp, err
}
