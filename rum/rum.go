// Package rum takes what real browsers say of how pages loaded: it decodes
// beacons, drops every value that cannot be true, and turns the rest into
// Prometheus histograms and statsd timers whose labels come from closed sets.
// It keeps no address, no cookie and no URL.
package rum

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

const (
	// maxBytes of a beacon. Browsers let no more than 64 KiB of beacons wait at
	// once; ours have under 2 KiB. https://w3c.github.io/beacon/
	maxBytes = 64 << 10
	// beaconsPerSecond that are decoded at the most, so that whoever floods the
	// endpoint takes no more than a known share of the machine.
	beaconsPerSecond = 5000
	// bodyWait is how long a beacon may take to arrive: one that trickles in holds
	// a connection for no reason. Browsers send it in one packet or two.
	bodyWait = 5 * time.Second
)

// Sink is where the statsd copy of every value goes: the relay. Its methods must
// never block.
type Sink interface {
	Timing(key string, millis float64)
	Count(key string, n float64)
}

// Config of a Handler.
type Config struct {
	// Pages are the names that data-page may have; others are counted as "other".
	Pages []string
	// PerSecond is how many beacons are decoded a second at the most, and at once;
	// 0 is 5,000.
	PerSecond int
}

// Handler takes beacons by POST and answers 204 at once. Safe for concurrent use.
type Handler struct {
	pages   map[string]bool
	metrics *instruments
	sink    Sink
	limit   *rate.Limiter
	log     *slog.Logger
}

// NewHandler returns a Handler whose metrics are registered on reg.
func NewHandler(cfg Config, reg prometheus.Registerer, sink Sink, log *slog.Logger) *Handler {
	perSecond := cmp.Or(cfg.PerSecond, beaconsPerSecond)
	h := &Handler{
		pages:   map[string]bool{},
		metrics: newInstruments(reg),
		sink:    sink,
		limit:   rate.NewLimiter(rate.Limit(perSecond), perSecond),
		log:     log,
	}
	for _, p := range cfg.Pages {
		h.pages[p] = true
	}
	return h
}

// Outcomes of a beacon, the values of its counter's label.
const (
	accepted  = "accepted"
	malformed = "malformed"
	tooLarge  = "too_large"
	limited   = "limited"
	foreign   = "foreign"
)

// ServeHTTP implements http.Handler: 204 taken, 400 not a beacon, 403 from a page
// of another site, 405, 413 too large, 429 too many. The content type is not
// looked at: sendBeacon says text/plain of a string, whatever is in it.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		refuse(w, http.StatusMethodNotAllowed, "send a beacon by POST")
		return
	}
	if !ownPage(r) {
		h.metrics.beacons.WithLabelValues(foreign).Inc()
		refuse(w, http.StatusForbidden, "a beacon comes from a page of the same origin")
		return
	}
	if !h.limit.Allow() {
		h.metrics.beacons.WithLabelValues(limited).Inc()
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusTooManyRequests, "too many beacons")
		return
	}
	if r.ContentLength > maxBytes {
		h.metrics.beacons.WithLabelValues(tooLarge).Inc()
		refuse(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("a beacon has at most %d bytes", maxBytes))
		return
	}
	// Refused by what has no connection, as a test's recorder: then there is nothing to bound.
	http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyWait))
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBytes+1))
	switch {
	case err != nil:
		h.metrics.beacons.WithLabelValues(malformed).Inc()
		refuse(w, http.StatusBadRequest, "the body ended early or came too slowly")
	case len(body) > maxBytes:
		h.metrics.beacons.WithLabelValues(tooLarge).Inc()
		refuse(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("a beacon has at most %d bytes", maxBytes))
	default:
		h.take(w, r, body)
	}
}

// take decodes and records one beacon.
func (h *Handler) take(w http.ResponseWriter, r *http.Request, body []byte) {
	b, err := Decode(body)
	if err != nil {
		h.metrics.beacons.WithLabelValues(malformed).Inc()
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	h.metrics.beacons.WithLabelValues(accepted).Inc()
	w.WriteHeader(http.StatusNoContent)

	page := "other"
	if h.pages[b.Page] {
		page = b.Page
	}
	device := Device(r.UserAgent())
	if b.Automated {
		device = bot
	}
	h.record(b, page, device)
}

// ownPage says whether a beacon can come from one of our pages, whose scripts send
// to their own origin. A post of text/plain needs no CORS, so that any site could
// have its visitors send us made-up values; browsers say where a request comes
// from, and no script can say otherwise. They say nothing over plain HTTP, nor do
// programs, which could say what they like.
// https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header
func ownPage(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return site == "" || site == "same-origin"
}

// record sends the beacon's values to both stores; what is not valid is counted.
func (h *Handler) record(b Beacon, page, device string) {
	samples, dropped := b.Samples()
	for _, d := range dropped {
		h.metrics.dropped.WithLabelValues(d.Metric, d.Reason).Inc()
	}
	kind := Connection(b.Connection)
	for _, s := range samples {
		h.metrics.observe(s, page, device, kind, b.Trace())
		h.sink.Timing("rum."+page+"."+s.Key(), s.Value)
	}
	for key, value := range b.Legacy() {
		h.sink.Timing("window.performance."+key, value)
	}
	if b.Nav != nil {
		h.sink.Count("window.performance.navigation.type."+NavigationType(b.Nav.Type), 1)
	}
}

// refuse answers an error that says what is wanted.
func refuse(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"detail": detail})
}

// bot is the device of programs. They are told by what they say of themselves.
const bot = "bot"

// Device is the class of a user agent: "bot", "tablet", "mobile" or "desktop".
func Device(userAgent string) string {
	ua := strings.ToLower(userAgent)
	for _, class := range []struct {
		name  string
		words []string
	}{
		{bot, []string{"bot", "crawl", "spider", "headless", "lighthouse", "pingdom"}},
		{"tablet", []string{"ipad", "tablet"}},
		{"mobile", []string{"mobi", "iphone"}},
	} {
		for _, word := range class.words {
			if strings.Contains(ua, word) {
				return class.name
			}
		}
	}
	if strings.Contains(ua, "android") {
		return "tablet" // phones say Mobile
	}
	return "desktop"
}

// Connection is the Network Information API's effective type, "unknown" for any other word.
// https://wicg.github.io/netinfo/#effectiveconnectiontype-enum
func Connection(effectiveType string) string {
	switch effectiveType {
	case "slow-2g", "2g", "3g", "4g":
		return effectiveType
	}
	return "unknown"
}

// NavigationType is one of the platform's types, "other" for any other word.
func NavigationType(t string) string {
	switch t {
	case "navigate", "reload", "back_forward", "prerender", "back-forward-cache":
		return t
	}
	return "other"
}
