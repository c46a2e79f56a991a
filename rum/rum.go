// Package rum takes what real browsers say of how pages loaded: it decodes
// beacons, drops every value that cannot be true, and turns the rest into
// Prometheus histograms and statsd timers whose labels come from closed sets.
// It keeps no address, no cookie and no URL.
package rum

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

const (
	// maxBytes of a beacon. Browsers let no more than 64 KiB of beacons wait at
	// once; ours have under 2 KiB. https://w3c.github.io/beacon/
	maxBytes = 64 << 10
	// maxInflated is what a compressed one may have.
	maxInflated = 256 << 10
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
	// Pages are the names that pages may have; others are counted as "other".
	Pages []string
	// PageOf is the name of the page at a path, "" if there is none: clients other than
	// rum.js know no names. nil knows none either.
	PageOf func(path string) string
	// Timings are the names that pages' scripts may time by rum.mark and rum.measure; others
	// are counted as "other".
	Timings []string
	// Origins are those of other sites whose pages may send, as "https://shop.example".
	Origins []string
	// PerSecond is how many beacons are decoded a second at the most, and at once;
	// 0 is 5,000.
	PerSecond int
	// Views gets each page view of the site's own script, but for returns from the
	// back/forward cache; nil: nobody looks at single ones. It must not block.
	Views func(View)
	// Networks bounds each sender's network, and knows our proxies; nil bounds none, and knows none.
	Networks *Networks
	// CountryHeader is where a proxy of ours says the sender's country, as CF-IPCountry;
	// "" is nowhere.
	CountryHeader string
	// Countries are told apart, by their ISO 3166-1 codes, as "de"; others are "other".
	Countries []string
	// MaxLabelSets is how many all histograms have together, and all counters; 0 is 2,000, which
	// must be enough for all that the lists can make. Another number is taken as it is meant.
	MaxLabelSets int
	// Keys are the sets of keys in Graphite that others have made of beacons: DjangoKeys,
	// BoomcatchKeys, or NoKeys alone; nil is DjangoKeys.
	Keys []string
	// BoomcatchPrefix goes before BoomcatchKeys, with a dot between them; "" is none.
	BoomcatchPrefix string
}

// maxCountries that can be told apart: with seven families of browsers each makes 105 series.
const maxCountries = 15

// Check returns all that is wrong with c.
func (c Config) Check() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	for _, p := range c.Pages {
		if err := CheckPage(p); err != nil {
			faults = append(faults, err)
		}
	}
	for _, country := range c.Countries {
		if !isCountry(country) || country != strings.ToLower(country) {
			fault("country %q: give ISO 3166-1's two letters, small, as de", country)
		}
	}
	if len(c.Countries) > maxCountries {
		fault("%d countries: %d are the most that can be told apart", len(c.Countries), maxCountries)
	}
	if len(c.Countries) > 0 && c.CountryHeader == "" {
		fault("countries without a header in which a proxy says them, as CF-IPCountry")
	}
	for _, o := range c.Origins {
		if u, err := url.Parse(o); err != nil || u.Host == "" || u.Scheme+"://"+u.Host != o {
			fault("origin %q: give scheme and host alone, as https://shop.example", o)
		}
	}
	if c.MaxLabelSets < 0 || c.PerSecond < 0 {
		fault("label sets and beacons a second can't be negative")
	}
	faults = append(faults, checkTimings(c.Timings), checkKeys(c.Keys, c.BoomcatchPrefix))
	histograms, counters := c.LabelSets()
	if need := max(histograms, counters); need > maxLabelSets && cmp.Or(c.MaxLabelSets, maxLabelSets) == maxLabelSets {
		fault("%d pages, %d timings and %d countries can make %d label sets, of which there may be %d: give some pages the same name, leave out timings or countries, or have %d (--beacon-label-sets); with any other number what is beyond counts as page %q",
			len(c.pages())-1, len(c.Timings), len(c.Countries), need, maxLabelSets, need, overflow)
	}
	return errors.Join(faults...)
}

// pages are the names that pages can have.
func (c Config) pages() map[string]bool {
	all := map[string]bool{other: true}
	for _, p := range c.Pages {
		all[p] = true
	}
	return all
}

// LabelSets is how many label sets beacons can make of histograms, and of counters, if there is no bound.
func (c Config) LabelSets() (histograms, counters int) {
	devices := len(deviceClasses)
	ofPage := devices * (len(vitalBuckets)*(len(connections)+1) + len((&Navigation{}).phases()) + len(c.Timings) + 1)
	countries := 1 // unknown
	if c.CountryHeader != "" {
		countries += len(c.Countries) + 1
	}
	const ratings, confidences = 3, 3 // good, needs_improvement, poor; low, high, and how many are chance
	counted := len(kinds)*devices + len(sources) + len(notRestored) + 1 + confidences
	return len(c.pages()) * ofPage, len(c.pages())*counted + len(vitalBuckets)*ratings*len(browsers)*countries
}

// Handler takes beacons in all formats that it knows, by POST or, where the client
// does, by GET, and answers at once. Safe for concurrent use.
type Handler struct {
	cfg     Config
	words   *vocabulary
	metrics *instruments
	updates *updates
	sink    Sink
	legacy  []legacyKeys
	limit   *rate.Limiter
	log     *slog.Logger
}

// NewHandler returns a Handler whose metrics are registered on reg. It takes a cfg that
// Check finds right.
func NewHandler(cfg Config, reg prometheus.Registerer, sink Sink, log *slog.Logger) *Handler {
	perSecond := cmp.Or(cfg.PerSecond, beaconsPerSecond)
	h := &Handler{
		cfg:     cfg,
		words:   newVocabulary(cfg),
		metrics: newInstruments(reg, cfg),
		legacy:  legacyOf(cfg),
		sink:    sink,
		limit:   rate.NewLimiter(rate.Limit(perSecond), perSecond),
		log:     log,
	}
	h.updates = newUpdates(h.told, h.metrics.late.Inc)
	return h
}

// Flush counts the vitals that still wait to be told anew.
func (h *Handler) Flush() { h.updates.flush() }

// Outcomes of a beacon, the values of its counter's label.
const (
	accepted  = "accepted"
	malformed = "malformed"
	tooLarge  = "too_large"
	limited   = "limited"
	foreign   = "foreign"
)

// ServeHTTP implements http.Handler: 204 taken, 202 what Faro wants to hear, 400 not a
// beacon, 403 from a page of another site, 405, 413 too large, 429 too many. Of the
// content type only a form's is looked at: sendBeacon says text/plain of a string,
// whatever is in it.
//
// At DjangoPath it is django-statsd's timing view, and answers 200.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != DjangoPath {
		h.serve(w, r, decode)
		return
	}
	h.serve(w, r, func(r *http.Request, body []byte) ([]Beacon, error) {
		b, err := decodeDjango(r.Method, formOf(r, body))
		return []Beacon{b}, err
	})
}

// Where clients send by default: ours, Faro's and django-statsd's.
const (
	Path       = "/rum"
	FaroPath   = "/collect"
	DjangoPath = "/services/timing/record"
)

// Paths are all of these.
var Paths = []string{Path, FaroPath, DjangoPath}

// decoder makes beacons of a request.
type decoder func(r *http.Request, body []byte) ([]Beacon, error)

func (h *Handler) serve(w http.ResponseWriter, r *http.Request, decode decoder) {
	w.Header().Set("Cache-Control", "no-store")
	if h.allowed(r) {
		h.shareWith(w, r)
	}
	switch {
	case r.Method == http.MethodOptions:
		h.preflight(w, r)
	case r.Method != http.MethodPost && (r.Method != http.MethodGet || r.URL.RawQuery == ""):
		w.Header().Set("Allow", "POST, GET")
		refuse(w, http.StatusMethodNotAllowed, "send a beacon by POST, or boomerang's by GET")
	case !ownPage(r) && !h.allowed(r):
		h.refuse(w, foreign, http.StatusForbidden, "a beacon comes from a page of the same origin, or of one that is named here and that it says by Origin or, by GET, by Referer")
	case !h.cfg.Networks.Allow(r) || !h.limit.Allow():
		w.Header().Set("Retry-After", "1")
		h.refuse(w, limited, http.StatusTooManyRequests, tooManyText)
	case r.ContentLength > maxBytes || len(r.URL.RawQuery) > maxBytes:
		h.refuse(w, tooLarge, http.StatusRequestEntityTooLarge, tooLargeText)
	default:
		// Refused by what has no connection, as a test's recorder: then there is nothing to bound.
		http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyWait))
		h.read(w, r, decode)
	}
}

// read reads the body and takes what is in it.
func (h *Handler) read(w http.ResponseWriter, r *http.Request, decode decoder) {
	body, err := bodyOf(r)
	switch {
	case errors.Is(err, errTooLarge):
		h.refuse(w, tooLarge, http.StatusRequestEntityTooLarge, tooLargeText)
		return
	case err != nil:
		h.refuse(w, malformed, http.StatusBadRequest, "the body ended early or came too slowly")
		return
	}
	beacons, err := decode(r, body)
	if err != nil {
		h.refuse(w, malformed, http.StatusBadRequest, err.Error())
		return
	}
	h.answer(w, beacons)
	from := h.sender(r)
	if slices.ContainsFunc(beacons, func(b Beacon) bool { return b.Automated }) {
		from.bot = webdriver
	}
	if from.bot != "" {
		from.device = bot
		h.metrics.bots.WithLabelValues(from.bot).Inc()
	}
	for i := range beacons {
		h.record(&beacons[i], from)
	}
}

// answer says what the client wants to hear, and counts the beacon.
func (h *Handler) answer(w http.ResponseWriter, beacons []Beacon) {
	format := unknown
	if len(beacons) > 0 {
		format = beacons[0].Format
	}
	h.metrics.beacons.WithLabelValues(format, accepted).Inc()
	switch format {
	case faro:
		w.WriteHeader(http.StatusAccepted)
	case djangoStatsd:
		io.WriteString(w, "recorded")
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

var tooLargeText = fmt.Sprintf("a beacon has at most %d bytes, and %d uncompressed", maxBytes, maxInflated)

func (h *Handler) refuse(w http.ResponseWriter, outcome string, status int, detail string) {
	h.metrics.beacons.WithLabelValues(unknown, outcome).Inc()
	refuse(w, status, detail)
}

// page is the name of a beacon's page, from the closed set.
func (h *Handler) page(b *Beacon) string {
	name := b.Page
	if name == "" && h.cfg.PageOf != nil {
		if u, err := url.Parse(b.URL); err == nil {
			name = h.cfg.PageOf(u.Path)
		}
	}
	if _, ok := h.words.page[name]; ok {
		return name
	}
	return other
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

// allowed says whether the request is from a page of one of the other sites.
func (h *Handler) allowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		origin = referrer(r)
	}
	return origin != "" && slices.Contains(h.cfg.Origins, origin)
}

// referrer is the origin of the page whose script asks for an image, as boomerang's does by GET: a
// browser gives no Origin with it, and no script can say another Referer than its page's. "" if
// there is none, or it is no such request.
// https://fetch.spec.whatwg.org/#append-a-request-origin-header
// https://w3c.github.io/webappsec-referrer-policy/#default-referrer-policy
func referrer(r *http.Request) string {
	site := r.Header.Get("Sec-Fetch-Site")
	if r.Method != http.MethodGet || site != "cross-site" && site != "same-site" {
		return ""
	}
	u, err := url.Parse(r.Referer())
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// shareWith has the browser let the sender's page see the answer, if it asks.
func (h *Handler) shareWith(w http.ResponseWriter, r *http.Request) {
	w.Header().Add("Vary", "Origin")
	if origin := r.Header.Get("Origin"); origin != "" {
		w.Header().Set("Access-Control-Allow-Origin", origin)
		w.Header().Set("Access-Control-Allow-Credentials", "true") // sendBeacon always asks for them
	}
}

// preflight answers what a browser asks before it sends a beacon of another type than a
// form's or a text's. The headers are those of Faro's SDK and of reports.
func (h *Handler) preflight(w http.ResponseWriter, r *http.Request) {
	if !h.allowed(r) {
		refuse(w, http.StatusForbidden, "beacons of other origins are not taken")
		return
	}
	w.Header().Set("Access-Control-Allow-Methods", "POST, GET")
	w.Header().Set("Access-Control-Allow-Headers", "content-type, content-encoding, traceparent, x-api-key, x-faro-session-id, x-scope-orgid, idempotency-key")
	w.Header().Set("Access-Control-Max-Age", "7200")
	w.WriteHeader(http.StatusNoContent)
}

// record sends the beacon's values to both stores; what is not valid is counted.
func (h *Handler) record(b *Beacon, by sender) {
	from := &origin{h.page(b), by.device, Connection(b.Connection), by.browser, by.country, b.Trace()}
	samples, dropped := b.Samples()
	for _, d := range dropped {
		h.metrics.dropped.WithLabelValues(d.Metric, d.Reason).Inc()
	}
	for _, s := range samples {
		if b.ID == "" {
			h.settled(s, from)
			continue
		}
		one := update{kind: s.kind(), value: s.Value, from: h.words.pack(from), number: b.Of.Number, begins: b.Of.Begins}
		one.adds = b.Of.Parts && s.Vital == "cls"
		one.open = b.Of.Open && (s.Vital == "cls" || s.Vital == "inp")
		h.updates.put(b.ID, one)
	}
	if h.cfg.Views != nil {
		if v, ok := b.view(from, samples); ok {
			h.cfg.Views(v)
		}
	}
	h.timings(b, from)
	h.metrics.count(b, from)
	if b.Extra || from.device == bot {
		return
	}
	for _, keys := range h.legacy {
		keys(b, h.sink)
	}
}

// told records a value that is told no more.
func (h *Handler) told(u *update) {
	sample := sampleKinds[u.kind]
	sample.Value = u.value
	if u.adds { // parts that can be true may have a sum that can't
		if reason := invalid(u.value, maxCLS); reason != "" {
			h.metrics.dropped.WithLabelValues(sample.metric(), reason).Inc()
			return
		}
	}
	h.settled(sample, h.words.unpack(u.from))
}

// settled records a value that counts.
func (h *Handler) settled(s Sample, from *origin) {
	page := h.metrics.observe(s, from)
	h.sink.Timing(from.key(page, s.Key()), s.Value)
}

// refuse answers an error that says what is wanted.
func refuse(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"detail": detail})
}

// connections are the Network Information API's effective types.
// https://wicg.github.io/netinfo/#effectiveconnectiontype-enum
var connections = []string{"slow-2g", "2g", "3g", "4g"}

// Connection is one of these, "unknown" for any other word. It is a string of our own: the
// client's is a piece of its beacon, which would be kept whole for it.
func Connection(effectiveType string) string {
	if i := slices.Index(connections, effectiveType); i >= 0 {
		return connections[i]
	}
	return unknown
}

// NavigationType is one of the platform's types, "other" for any other word.
func NavigationType(t string) string {
	switch t {
	case "navigate", "reload", "back_forward", "prerender", "back-forward-cache", softNavigation:
		return t
	}
	return other
}
