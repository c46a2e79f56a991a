// Package update answers Firefox's question for newer versions of one add-on, at
// /update/VersionCheck.php. The answer is the same as catalog.Choose gives; this
// package makes it cheap.
//
// What is cached is not an answer but the sheet of all answers for one add-on and
// one application (see sheet): a hit, whatever the version and the mode asked
// for, needs no database, no JSON and no rule but a comparison of keys. So add-ons
// rather than requests fill the cache, made-up version numbers can't flood it, and
// a new version invalidates one key per application.
package update

import (
	"context"
	"fmt"
	"hash/fnv"
	"strconv"
	"sync/atomic"
	"time"

	"addons/server/amo"
	"addons/server/cache"
	"addons/server/catalog"
	"addons/server/metrics"
)

// What becomes of a check: the metric's label.
const (
	Hit      = "hit"      // answered from the cache, or by a query that another check was waiting for
	Miss     = "miss"     // answered after one SQL statement
	Stale    = "stale"    // the database is down; answered by what it said before
	Negative = "negative" // an unknown add-on, answered without a query
	Bad      = "bad"      // not a valid question
	Error    = "error"    // no answer
)

// Outcomes lists them.
func Outcomes() []string { return []string{Hit, Miss, Stale, Negative, Bad, Error} }

// Source is where the versions come from; *store.DB fits it.
type Source interface {
	// Candidates returns whether a public add-on with the id is known (letters'
	// case counts, as it does to Firefox), its slug, and those of its versions that
	// may be chosen for the application (App.Slug), each with what catalog.Choose
	// reads, ReleaseNotes (any locale will do), and its File's ID, Name and Hash.
	// It makes one SQL statement.
	Candidates(ctx context.Context, guid, app string) (known bool, versions []*catalog.Version, slug string, err error)
}

// Family is the cache family of the sheets: ten minutes, and a day more while the
// database is down. Who changes an add-on invalidates Keys of it.
func Family() cache.Family {
	return cache.Family{Name: "update", TTL: 10 * time.Minute, Stale: 24 * time.Hour}
}

// Keys are those under which Family has what is known of an add-on.
func Keys(guid string) []string {
	var keys []string
	for _, app := range catalog.Apps() {
		keys = append(keys, Request{GUID: guid, App: app}.Key())
	}
	return keys
}

// Response is what to send.
type Response struct {
	Body    []byte // JSON; shared: not to be changed
	ETag    string // of the body's content, quoted
	Outcome string // one of Outcomes
}

// Service answers checks. Safe for concurrent use.
type Service struct {
	db     Source
	cache  *cache.Cache
	family cache.Family
	links  amo.Links
	meters map[string]meter
}

type meter struct {
	checks *metrics.Counter
	time   *metrics.Histogram
}

// New returns a Service. baseURL is scheme and host of the site, without a slash
// at the end: Firefox refuses links that aren't absolute.
func New(db Source, c *cache.Cache, baseURL string, reg *metrics.Registry) *Service {
	checks := reg.Counter(metrics.Desc{
		Name: "addons_update_checks_total",
		Help: "Update checks by outcome: hit (no query), miss (one query), stale (database down, an older answer), " +
			"negative (unknown add-on, no query), bad (not a valid question), error (no answer).",
		Labels: []metrics.Label{metrics.L("outcome", Outcomes()...)},
		Keys:   []string{"services.update.{outcome}"},
	})
	times := reg.Histogram(metrics.Desc{
		Name:   "addons_update_check_seconds",
		Help:   "Time to find the answer to an update check, by outcome.",
		Labels: []metrics.Label{metrics.L("outcome", Outcomes()...)},
		Keys:   []string{"services.update"},
		// A hit takes microseconds.
		Buckets: []float64{.00001, .00005, .0001, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 5},
	})
	s := &Service{db: db, cache: c, family: Family(), links: amo.Links{Base: baseURL}, meters: map[string]meter{}}
	for _, outcome := range Outcomes() {
		s.meters[outcome] = meter{checks.With(outcome), times.With(outcome)}
	}
	return s
}

// Check parses, answers and counts one check. The error wraps catalog.ErrInvalid
// for a bad question and catalog.ErrUnavailable if the database is down.
func (s *Service) Check(ctx context.Context, rawQuery string) (Response, error) {
	start := time.Now()
	response, err := s.check(ctx, rawQuery)
	m := s.meters[response.Outcome]
	m.checks.Inc()
	m.time.Observe(ctx, time.Since(start))
	return response, err
}

func (s *Service) check(ctx context.Context, rawQuery string) (Response, error) {
	r, err := Parse(rawQuery)
	if err != nil {
		return Response{Outcome: Bad}, err
	}
	response, err := s.Answer(ctx, r)
	if err != nil {
		return Response{Outcome: Error}, err
	}
	return response, nil
}

// Answer answers a check without counting it. The error is the Source's.
func (s *Service) Answer(ctx context.Context, r Request) (Response, error) {
	if !catalog.ValidGUID(r.GUID) { // nothing that Firefox could have installed
		return unknown(Negative), nil
	}
	ledger := metrics.From(ctx)
	stale := ledger.Count("stale")
	var queried atomic.Bool // the load may go on after ctx has ended
	page, err := cache.Fetch(ctx, s.cache, s.family, r.Key(), func(ctx context.Context) ([]byte, error) {
		queried.Store(true)
		return s.load(ctx, r)
	})
	if err != nil {
		return Response{}, fmt.Errorf("update check of %q: %w", r.GUID, err)
	}
	outcome := Hit
	switch {
	case ledger.Count("stale") > stale:
		outcome = Stale
	case queried.Load():
		outcome = Miss
	}
	return sheet(page).answer(r, outcome)
}

// load makes the sheet by one statement.
func (s *Service) load(ctx context.Context, r Request) ([]byte, error) {
	known, versions, slug, err := s.db.Candidates(ctx, r.GUID, r.App.Slug)
	if err != nil {
		return nil, err
	}
	if !known {
		return unknownSheet(), nil
	}
	return s.newSheet(r.GUID, r.App, slug, versions)
}

// unknown is the answer for an add-on that nobody knows: Firefox takes it for "no
// update", where a 404 would be an error to it.
func unknown(outcome string) Response {
	return Response{Body: []byte("{}"), ETag: etag([]byte("{}")), Outcome: outcome}
}

// etag is a hash of the content, so that it is the same on every machine.
func etag(body []byte) string {
	h := fnv.New64a()
	h.Write(body)
	return `"` + strconv.FormatUint(h.Sum64(), 16) + `"`
}
