package server

import (
	"bytes"
	"io"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"addons/rum"
)

// seen has views keep what beacons tell of page views on their way to a relay elsewhere,
// which counts them: that knows nothing of the requests behind them. The handler in
// between reads a beacon as the relay does; its own counts nobody asks for.
func (s *Server) seen(config rum.Config, next http.Handler) http.Handler {
	config.Views, config.Networks = s.views.Add, nil // which are bounded before
	reader := rum.NewHandler(config, prometheus.NewRegistry(), nowhere{}, s.log)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.URL.Path == rum.Path {
			// Refused by what has no connection, as a test's recorder: then there is nothing to bound.
			http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyWait))
			body, err := io.ReadAll(io.LimitReader(r.Body, maxBeacon+1))
			if err == nil && len(body) <= maxBeacon {
				copied := r.Clone(r.Context())
				copied.Body = io.NopCloser(bytes.NewReader(body))
				reader.ServeHTTP(unread{}, copied)
			}
			// Whatever is wrong with it, the relay is to refuse and count it.
			r.Body = struct {
				io.Reader
				io.Closer
			}{io.MultiReader(bytes.NewReader(body), r.Body), r.Body}
		}
		next.ServeHTTP(w, r)
	})
}

const (
	maxBeacon = 64 << 10        // bytes, the most that a relay takes
	bodyWait  = 5 * time.Second // for a beacon to arrive, as there
)

// nowhere is the sink of what is counted elsewhere.
type nowhere struct{}

func (nowhere) Timing(string, float64) {}
func (nowhere) Count(string, float64)  {}

// unread is an answer that nobody reads: the relay's is sent.
type unread struct{}

func (unread) Header() http.Header         { return http.Header{} }
func (unread) Write(p []byte) (int, error) { return len(p), nil }
func (unread) WriteHeader(int)             {}
