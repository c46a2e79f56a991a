package metrics_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"addons/server/metrics"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestTransportTimesAnswersAndFailures(t *testing.T) {
	reg := metrics.New(nil)
	bad := errors.New("no route")
	transport := reg.Transport("sentry", roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.URL.Path == "/down" {
			return nil, bad
		}
		return httptest.NewRecorder().Result(), nil
	}))
	for _, c := range []struct{ method, path string }{{"GET", "/"}, {"", "/"}, {"BREW", "/"}, {"POST", "/down"}} {
		req := httptest.NewRequest("GET", c.path, nil)
		req.Method = c.method
		if _, err := transport.RoundTrip(req); (err != nil) != (c.path == "/down") {
			t.Errorf("%s %s: %v", c.method, c.path, err)
		}
	}
	// GET 200 twice, _OTHER 200, POST error.
	if n := testutil.CollectAndCount(reg.Prometheus(), "http_client_request_duration_seconds"); n != 3 {
		t.Errorf("%d series, want 3", n)
	}
}
