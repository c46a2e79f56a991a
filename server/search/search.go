// Package search finds public add-ons by text and filters. An Index holds what
// is common to all engines: limits, deadlines, the breaker, metrics, what a
// query means and how much a match is worth; a driver (bleve in this process,
// Elasticsearch 7 or OpenSearch beside it) only stores sets of terms and
// combines them. So both give the same hits in the same order.
//
// An engine that is down is an error that wraps catalog.ErrUnavailable, at once
// when it has been down for a while, never a hang and never fatal at start.
package search

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"addons/server/catalog"
	"addons/server/metrics"
)

// Window is how deep results go: hits from Offset+Limit beyond it are left out,
// while Total counts them. It is Elasticsearch's index.max_result_window.
const Window = 10_000

const (
	readTimeout  = 2 * time.Second  // searching: a page waits for it
	writeTimeout = 10 * time.Second // a chunk of documents: a task waits for it
	chunk        = 500              // documents sent to the engine at once: some MB, and few segments for bleve to merge
)

// Doc is what the index knows of an add-on.
type Doc struct {
	ID            int64
	GUID          string
	Slug          string
	Type          catalog.Type
	Status        catalog.Status // only catalog.Public is ever found
	DefaultLocale string         // whose name the sort by name uses; "" for en-US
	Name          catalog.Text
	Summary       catalog.Text
	Description   catalog.Text // tags in it are not searched
	Authors       []string     // names and user names
	AuthorIDs     []int64
	Tags          []string
	Categories    map[string][]string // App.Slug → category slugs
	Apps          []string            // App.Slug
	Compat        []catalog.Compat    // Max is "" unless it binds in every mode
	Promoted      []string
	Users         int // average daily
	Downloads     int // weekly
	Rating        float64
	Hotness       float64
	Created       time.Time
	Updated       time.Time
}

// NewDoc is the Doc of an add-on. An add-on without a current version runs nowhere: no Apps.
func NewDoc(a *catalog.Addon) Doc {
	d := Doc{
		ID: a.ID, GUID: a.GUID, Slug: a.Slug, Type: a.Type, Status: a.Status, DefaultLocale: a.DefaultLocale,
		Name: a.Name, Summary: a.Summary, Description: a.Description,
		Tags: a.Tags, Categories: a.Categories, Promoted: a.Promoted,
		Users: a.AverageDailyUsers, Downloads: a.WeeklyDownloads,
		Rating: a.Ratings.Bayesian, Hotness: a.Hotness,
		Created: a.Created, Updated: a.LastUpdated,
	}
	for _, author := range a.Authors {
		d.AuthorIDs = append(d.AuthorIDs, author.ID)
		d.Authors = append(d.Authors, author.Name)
		if author.Username != "" && author.Username != author.Name {
			d.Authors = append(d.Authors, author.Username)
		}
	}
	if a.Current == nil {
		return d
	}
	for _, c := range a.Current.Compatibility {
		if !a.Current.Strict {
			c.Max = ""
		}
		d.Apps = append(d.Apps, c.App)
		d.Compat = append(d.Compat, c)
	}
	return d
}

// Query is what to find: all that is given must hold. The zero Query finds
// every add-on, the recommended and the most used first.
type Query struct {
	Text       string   // words in any language; cut after 200 characters
	Types      []string // any of
	App        string
	AppVersion string   // needs App
	Category   string   // slug; of App if that is given
	Tags       []string // all of
	Authors    []string // any of: name, user name or id
	GUIDs      []string // any of, case-sensitive
	Promoted   []string // any of; "badged" is line and recommended
	Exclude    []string // none of: ids or slugs
	Ranges     []Range
	// Sort is in AMO's words, the first the strongest: created downloads hotness
	// ratings recommended relevance updated users random (each descending) and name.
	// Empty: relevance with Text, else recommended and users.
	Sort   []string
	Lang   string // names in this language count more
	Limit  int    // 0 is 25
	Offset int
}

// Range compares one property with a value.
type Range struct {
	Field string // created, updated, users, ratings
	Op    string // gt, gte, lt, lte, eq
	// Value is a number, or for times RFC 3339 or a day such as 2026-01-31, which
	// stands for the whole of it: gt is after its end, lte until its end.
	Value string
}

// Result of a search.
type Result struct {
	Hits  []Hit
	Total int // all that match, beyond Limit and Window too
	// Partial: a part of the index did not answer in time; Hits and Total lack what it has.
	Partial bool
	Took    time.Duration // as the engine says; without network and queueing
}

// Hit is one add-on found.
type Hit struct {
	ID    int64
	Score float64 // comparable within one Result; 0 where the sort is not by relevance
}

// Index is a search engine with limits and metrics. Safe for concurrent use.
type Index struct {
	driver  driver
	metrics *instruments
	breaker breaker
}

// driver is an engine. Its errors wrap catalog.ErrUnavailable when it is down.
type driver interface {
	name() string // in metrics: "bleve", "es"
	put(context.Context, []document) error
	delete(context.Context, []int64) error
	search(context.Context, plan) (Result, error)
	count(context.Context) (int, error)
	check(context.Context) error
	reset(context.Context) error
	close() error
}

// Open opens the index at a URL: bleve:PATH, bleve::memory: or
// elasticsearch://[user:password@]host:port/index, with the parameters tls=true
// and refresh=true (what was Put is found at once: for tests). A folder belongs
// to one process. Elasticsearch is not contacted before the first use. An index
// that another version of this package made is not used: Count is 0 then.
func Open(rawURL string, reg *metrics.Registry, log *slog.Logger) (*Index, error) {
	d, err := openDriver(rawURL, reg, log)
	if err != nil {
		return nil, err
	}
	return &Index{driver: d, metrics: newInstruments(reg, d.name())}, nil
}

func openDriver(rawURL string, reg *metrics.Registry, log *slog.Logger) (driver, error) {
	scheme, rest, _ := strings.Cut(rawURL, ":")
	switch scheme {
	case "bleve":
		path, parameters, _ := strings.Cut(rest, "?")
		if path == "" || parameters != "" {
			return nil, errors.New("search: want bleve:FOLDER or bleve::memory:, without parameters")
		}
		if path == ":memory:" {
			path = ""
		}
		return openBleve(path, log)
	case "elasticsearch":
		u, err := url.Parse(rawURL)
		if err != nil { // which would quote the URL with its password
			return nil, errors.New("search: the elasticsearch URL cannot be read: want elasticsearch://[user:password@]host:port/index")
		}
		return openElastic(u, reg, log)
	}
	return nil, fmt.Errorf("search: unknown engine %q: want bleve:FOLDER, bleve::memory: or elasticsearch://host:port/index", scheme)
}

// Put adds or replaces add-ons; those that are not public are removed. bleve
// shows them at once, Elasticsearch within a second.
func (ix *Index) Put(ctx context.Context, docs ...Doc) error {
	var shown []document
	var hidden []int64
	for _, d := range docs {
		if d.Status == catalog.Public {
			shown = append(shown, newDocument(d))
		} else {
			hidden = append(hidden, d.ID)
		}
	}
	for some := range slices.Chunk(shown, chunk) {
		if err := ix.run(ctx, opPut, func(ctx context.Context) error { return ix.driver.put(ctx, some) }); err != nil {
			return err
		}
	}
	return ix.Delete(ctx, hidden...)
}

// Delete removes add-ons; ids that are not there are no error.
func (ix *Index) Delete(ctx context.Context, ids ...int64) error {
	for some := range slices.Chunk(ids, chunk) {
		if err := ix.run(ctx, opDelete, func(ctx context.Context) error { return ix.driver.delete(ctx, some) }); err != nil {
			return err
		}
	}
	return nil
}

// Search finds add-ons. Errors wrap catalog.ErrInvalid for a query that makes no
// sense (never because of its Text) and catalog.ErrUnavailable.
func (ix *Index) Search(ctx context.Context, q Query) (Result, error) {
	p, ok, err := searchPlan(q)
	return ix.find(ctx, opSearch, p, ok, err)
}

// Complete finds add-ons whose name goes on from what was typed so far, within
// the filters of q. q.Text and q.Sort are not used; a Limit of 0 is 10.
func (ix *Index) Complete(ctx context.Context, prefix string, q Query) (Result, error) {
	p, ok, err := completionPlan(prefix, q)
	return ix.find(ctx, opComplete, p, ok, err)
}

// find runs a plan. Without ok nothing can match, and the engine is not asked.
func (ix *Index) find(ctx context.Context, op string, p plan, ok bool, bad error) (result Result, err error) {
	start := time.Now()
	if bad != nil || !ok {
		ix.metrics.operation(op, outcome(bad)).Observe(ctx, time.Since(start))
		return Result{}, bad
	}
	err = ix.run(ctx, op, func(ctx context.Context) error {
		result, err = ix.driver.search(ctx, p)
		if err == nil && result.Partial {
			return errPartial
		}
		return err
	})
	if errors.Is(err, errPartial) {
		ix.metrics.partial.Inc()
		err = nil
	}
	if err != nil {
		return Result{}, err
	}
	ix.metrics.timer.Observe(ctx, time.Since(start))
	ix.metrics.took.Observe(ctx, result.Took)
	return result, nil
}

// errPartial marks an answer that lacks something, for run's metrics; callers
// see Result.Partial.
var errPartial = errors.New("partial")

// Count says how many add-ons are in the index.
func (ix *Index) Count(ctx context.Context) (n int, err error) {
	err = ix.run(ctx, opCount, func(ctx context.Context) error {
		n, err = ix.driver.count(ctx)
		return err
	})
	return n, err
}

// Check says whether the engine answers.
func (ix *Index) Check(ctx context.Context) error {
	return ix.run(ctx, opCheck, ix.driver.check)
}

// Reset empties the index. Until all is Put again, little is found.
func (ix *Index) Reset(ctx context.Context) error {
	return ix.run(ctx, opReset, ix.driver.reset)
}

// Close ends the use of the index, when no call is under way.
func (ix *Index) Close() error { return ix.driver.close() }

// run makes one call to the engine: deadline, breaker, metrics.
func (ix *Index) run(ctx context.Context, op string, call func(context.Context) error) error {
	start := time.Now()
	err := ix.guarded(ctx, op, call)
	ix.metrics.operation(op, outcome(err)).Observe(ctx, time.Since(start))
	return err
}

func (ix *Index) guarded(parent context.Context, op string, call func(context.Context) error) error {
	// A check asks the engine itself: it is how people see that it is back.
	if op != opCheck && !ix.breaker.allow() {
		return fmt.Errorf("search: %w: %s has been down, and is tried again within a second", catalog.ErrUnavailable, ix.driver.name())
	}
	ctx, cancel := context.WithTimeout(parent, timeouts[op])
	defer cancel()
	err := call(ctx)
	if errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, catalog.ErrUnavailable) {
		err = fmt.Errorf("search: %s %s: %w: %w", ix.driver.name(), op, catalog.ErrUnavailable, err)
	}
	// Nobody waiting any longer says nothing about the engine.
	if parent.Err() == nil {
		ix.breaker.done(errors.Is(err, catalog.ErrUnavailable))
	}
	return err
}
