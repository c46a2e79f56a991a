// Package update answers Firefox's question for newer versions of one add-on, at
// /update/VersionCheck.php. The answer is the same as catalog.Choose gives; this
// package makes it cheap.
//
// What is kept is not an answer but the sheet of all answers for one add-on and
// one application: a hit, whatever the version and the mode asked for, needs no
// database, no JSON and no rule but a comparison of keys. So add-ons rather than
// requests fill the cache, and made-up version numbers can't flood it.
//
// There are three places to look, the nearest first: the front, in this process,
// where sheets lie ready to be sent; the cache, which processes share; and one SQL
// statement. An add-on that nobody knows is known not to be by a set of all ids. Both
// the front and the set follow the store's changes (Run), by asking once a second
// what was committed since. So no process answers by what it was told more than
// Behind ago, without saying so: after that it asks the cache and the database; and if
// the database is down, it goes on answering, and counts the answers as stale.
package update

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"addons/server/amo"
	"addons/server/cache"
	"addons/server/catalog"
	"addons/server/metrics"
)

// What becomes of a check: the metric's label.
const (
	Hit      = "hit"      // answered from memory or the cache, or by a query that another check was waiting for
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
	// Clock returns the number of the last change of an add-on, and Changes the ids of
	// those after a number, in the order of their commits and without gaps;
	// catalog.ErrBehind says that they are not known any more.
	Clock(ctx context.Context) (int64, error)
	Changes(ctx context.Context, after int64, limit int) ([]string, error)
	// GUIDs lists the ids after one, in their order, of all add-ons that may be known.
	GUIDs(ctx context.Context, after string, limit int) ([]string, error)
}

// Family is the cache family of the sheets: ten minutes, and a day more while the
// database is down. Who changes an add-on invalidates Keys of it.
func Family() cache.Family {
	return cache.Family{Name: "update", TTL: 10 * time.Minute, Stale: 24 * time.Hour, Dated: true}
}

// Keys are those under which Family has what is known of an add-on.
func Keys(guid string) []string {
	var keys []string
	for _, r := range requests(guid) {
		keys = append(keys, r.Key())
	}
	return keys
}

// requests are the questions by which Family has what is known of an add-on.
func requests(guid string) []Request {
	var all []Request
	for _, app := range catalog.Apps() {
		all = append(all, Request{GUID: guid, App: app})
	}
	return all
}

// Response is what to send. Its slices are shared: not to be changed.
type Response struct {
	Body    []byte   // JSON
	ETag    []string // one value, quoted: of the body's content
	Outcome string   // one of Outcomes
	drawn   draw
}

// Private says whether the answer is for its asker alone: others may get another, for a
// version is being rolled out.
func (r Response) Private() bool { return r.drawn != notDrawn }

// draw is what a rollout meant to an answer.
type draw int8

const (
	notDrawn draw = iota // there was none for it
	offered              // the asker gets what others don't
	heldBack             // the asker does not get what others do
)

// Service answers checks. Safe for concurrent use.
type Service struct {
	db     Source
	cache  *cache.Cache
	family cache.Family
	links  amo.Links
	meters map[string]meter
	drawn  map[draw]*metrics.Counter
	feed   feed
	known  *known
	front  *front
	keys   versionKeys
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
	s := &Service{
		db: db, cache: c, family: Family(), links: amo.Links{Base: baseURL}, meters: map[string]meter{},
		feed: newFeed(reg), known: newKnown(), front: newFront(),
	}
	drawn := reg.Counter(metrics.Desc{
		Name:   "addons_update_rollout_checks_total",
		Help:   "Update checks of versions that are being rolled out, by whether the client was offered it or is held back so far.",
		Labels: []metrics.Label{metrics.L("draw", "offered", "held_back")},
		Keys:   []string{"services.update.rollout.{draw}"},
	})
	s.drawn = map[draw]*metrics.Counter{offered: drawn.With("offered"), heldBack: drawn.With("held_back")}
	for _, outcome := range Outcomes() {
		s.meters[outcome] = meter{checks.With(outcome), times.With(outcome)}
	}
	return s
}

// Check parses, answers and counts one check. The error wraps catalog.ErrInvalid
// for a bad question and catalog.ErrUnavailable if the database is down.
func (s *Service) Check(ctx context.Context, rawQuery string, client catalog.Client) (Response, error) {
	start := time.Now()
	response, err := s.check(ctx, rawQuery, client)
	m := s.meters[response.Outcome]
	m.checks.Inc()
	m.time.Observe(ctx, time.Since(start))
	if response.Private() {
		s.drawn[response.drawn].Inc()
	}
	return response, err
}

func (s *Service) check(ctx context.Context, rawQuery string, client catalog.Client) (Response, error) {
	r, err := Parse(rawQuery)
	if err != nil {
		return Response{Outcome: Bad}, err
	}
	r.Client = client
	response, err := s.Answer(ctx, r)
	if err != nil {
		return Response{Outcome: Error}, err
	}
	return response, nil
}

// Quick answers a check at once if it can, which is to say from memory, and the same for
// everybody; it doesn't count it: see Count. false: ask Check.
func (s *Service) Quick(rawQuery string, now metrics.Moment) (Response, bool) {
	r, err := Parse(rawQuery)
	if err != nil || !catalog.ValidGUID(r.GUID) {
		return Response{}, false
	}
	response, ok := s.remembered(r, s.known.hash(r.GUID), now)
	return response, ok && !response.Private()
}

// Count counts an answer of Quick that was found at a moment, after took.
func (s *Service) Count(outcome string, at metrics.Moment, took time.Duration, trace metrics.TraceID) {
	m := s.meters[outcome]
	m.checks.Inc()
	m.time.ObserveAt(at, took, trace)
}

// Answer answers a check without counting it. The error is the Source's.
func (s *Service) Answer(ctx context.Context, r Request) (Response, error) {
	if !catalog.ValidGUID(r.GUID) { // nothing that Firefox could have installed
		return unknown(Negative), nil
	}
	hash, now := s.known.hash(r.GUID), metrics.Now()
	if response, ok := s.remembered(r, hash, now); ok {
		return response, nil
	}
	p, outcome, err := s.fetch(ctx, r, hash)
	if err != nil {
		if response, ok := s.remains(r, hash, now); ok && (errors.Is(err, catalog.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded)) {
			return response, nil
		}
		return Response{}, fmt.Errorf("update check of %q: %w", r.GUID, err)
	}
	return s.respond(p, r, outcome), nil
}

// remembered answers from memory, as long as what is there is right as of Behind ago,
// or the feed says that the database is down.
func (s *Service) remembered(r Request, hash uint64, now metrics.Moment) (Response, bool) {
	current, stale := s.feed.state(now, s.family.Stale)
	if !current && !stale {
		return Response{}, false
	}
	if p := s.front.get(hash, r.GUID, r.App.Slug); p != nil {
		age := time.Duration(now - p.read)
		switch {
		case stale:
			return s.respond(p, r, Stale), true
		case p.outdated.Load() || age > 2*reread:
			return Response{}, false
		case age > reread:
			s.feed.ask(p, r)
		}
		return s.respond(p, r, Hit), true
	}
	if current && s.feed.complete.Load() && !s.known.has(hash) {
		return unknown(Negative), true
	}
	return Response{}, false
}

// remains answers when the database can't, by what there is.
func (s *Service) remains(r Request, hash uint64, now metrics.Moment) (Response, bool) {
	if current, stale := s.feed.state(now, s.family.Stale); !current && !stale {
		return Response{}, false
	}
	if p := s.front.get(hash, r.GUID, r.App.Slug); p != nil {
		return s.respond(p, r, Stale), true
	}
	if s.feed.complete.Load() && !s.known.has(hash) {
		return unknown(Stale), true
	}
	return Response{}, false
}

// respond chooses a page's answer.
func (s *Service) respond(p *page, r Request, outcome string) Response {
	if p.unknown {
		if outcome == Hit {
			outcome = Negative
		}
		return unknown(outcome)
	}
	a, drawn := p.choose(s.keys.of(r.AppVersion), r.Mode, r.Client)
	return Response{Body: a.body, ETag: a.etag, Outcome: outcome, drawn: drawn}
}

// fetch brings a page from the cache or the database, and keeps it.
func (s *Service) fetch(ctx context.Context, r Request, hash uint64) (p *page, outcome string, err error) {
	ledger := metrics.From(ctx)
	before := ledger.Count("stale")
	for attempt := range 2 {
		var queried atomic.Bool // the load may go on after ctx has ended
		raw, err := cache.Fetch(ctx, s.cache, s.family, r.Key(), func(ctx context.Context) ([]byte, error) {
			queried.Store(true)
			return s.load(ctx, r)
		})
		if err != nil {
			return nil, Error, err
		}
		var whole bool
		p, whole = newPage(raw, r.GUID, r.App)
		switch {
		case !whole && queried.Load():
			return nil, Error, errSheet
		case whole && ledger.Count("stale") > before:
			return p, Stale, nil
		case whole && (p.seq >= s.front.need(hash) || attempt > 0):
			if s.feed.runs() {
				s.front.put(hash, p)
			}
			if queried.Load() {
				return p, Miss, nil
			}
			return p, Hit, nil
		}
		// Another build's, or from before a change: some process read it before the
		// commit and kept it after. Not to be told is no reason not to ask again.
		_ = s.cache.Invalidate(ctx, s.family, r.Key())
	}
	return nil, Error, errSheet
}

// load makes the sheet by one statement.
func (s *Service) load(ctx context.Context, r Request) ([]byte, error) {
	seq := s.feed.seq.Load() // before the query: it can't have missed an earlier change
	known, versions, slug, err := s.db.Candidates(ctx, r.GUID, r.App.Slug)
	if err != nil {
		return nil, err
	}
	if !known {
		return unknownSheet(seq), nil
	}
	return s.newSheet(seq, r.GUID, r.App, slug, versions), nil
}

// unknown is the answer for an add-on that nobody knows: Firefox takes it for "no
// update", where a 404 would be an error to it.
func unknown(outcome string) Response {
	return Response{Body: nothing.body, ETag: nothing.etag, Outcome: outcome}
}

var nothing = answer{[]byte("{}"), []string{etag([]byte("{}"))}}

// versionKeys remembers the keys of version numbers: the clients of a day have some
// hundred different ones. Beyond keysMax none is remembered, so that made-up ones do no harm.
type versionKeys struct {
	known atomic.Pointer[map[string]string]
	mu    sync.Mutex // of who adds
}

const keysMax = 512

func (k *versionKeys) of(version string) string {
	if known := k.known.Load(); known != nil {
		if key, ok := (*known)[version]; ok {
			return key
		}
	}
	return k.add(version)
}

func (k *versionKeys) add(version string) string {
	key := catalog.VersionKey(version)
	k.mu.Lock()
	defer k.mu.Unlock()
	more := map[string]string{}
	if known := k.known.Load(); known != nil {
		if len(*known) >= keysMax {
			return key
		}
		maps.Copy(more, *known)
	}
	more[strings.Clone(version)] = key // not all of the request that it is a part of
	k.known.Store(&more)
	return key
}

// etag is a hash of the content, so that it is the same on every machine.
func etag(body []byte) string {
	h := fnv.New64a()
	h.Write(body)
	return `"` + strconv.FormatUint(h.Sum64(), 16) + `"`
}
