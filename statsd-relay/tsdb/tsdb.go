// Package tsdb is a Prometheus inside the process: it scrapes handlers in
// memory, keeps the samples on disk, evaluates alert and recording rules, and
// answers the Prometheus HTTP API, so that Grafana, promtool and our own
// dashboards cannot tell it from the real one. It is the only package that
// imports github.com/prometheus/prometheus, whose Go API changes between
// releases; nothing of it shows in the signatures here.
//
// Nothing is kept in package variables: several can live in one process, each
// in its own folder.
package tsdb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/scrape"
	promtsdb "github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/features"
)

// Limits that bound what one query or one folder may cost.
const (
	maxSamples   = 20_000_000       // of one query; 16 bytes each
	queryTimeout = 30 * time.Second // of one query, its wait for a free slot included
	maxQueries   = 20               // at the same time; Prometheus's own default
	maxBytes     = 1 << 30          // of blocks on disk; the oldest go first
	maxExemplars = 100_000          // Prometheus's own default, about 10 MB when full
)

// Config says what is scraped, evaluated and kept.
type Config struct {
	// Dir holds the samples. It is made if it does not exist and belongs to one
	// process at a time.
	Dir string
	// Retention is how long samples are kept; 0 is 15 days.
	Retention time.Duration
	// Interval is the time between scrapes and between evaluations of rules; 0 is
	// 15 seconds. A group of rules may have its own.
	Interval time.Duration
	// Targets are scraped. The database's own metrics are one more, job
	// "prometheus".
	Targets []Target
	// Rules holds *.rules.yml files in Prometheus's format; nil is none.
	Rules fs.FS
	// ExternalURL is where operators reach this process. Rules see it as
	// {{ externalURL }} and as the external label "console", so that they can link
	// to runbooks and dashboards; "" makes such links relative.
	ExternalURL string
	// Notify is told of alerts that fire, again every minute while they do, and
	// once resolved. It must not block. nil: nobody is told.
	Notify func([]*model.Alert)
}

// Target is a handler that is scraped at /metrics over a connection in memory.
type Target struct {
	Job, Instance string
	Handler       http.Handler
}

// DB is an open database.
type DB struct {
	config    Config
	log       *slog.Logger
	registry  *prometheus.Registry
	features  features.Collector
	parser    parser.Parser
	scraping  *config.Config
	store     *promtsdb.DB
	engine    *promql.Engine
	rules     *rules.Manager
	scraper   *scrape.Manager
	pipes     *pipes
	commits   *commits
	handler   http.Handler
	opened    time.Time
	closeOnce sync.Once
	closeErr  error
}

// Open opens the database in c.Dir and checks the rules. Nothing is scraped or
// evaluated before Run. The caller closes it.
func Open(c Config, log *slog.Logger) (*DB, error) {
	c.Retention = cmp.Or(c.Retention, 15*24*time.Hour)
	c.Interval = cmp.Or(c.Interval, 15*time.Second)
	db := &DB{
		config: c, log: log, opened: time.Now(),
		registry: prometheus.NewRegistry(), features: features.NewRegistry(),
		parser: parser.NewParser(parser.Options{}),
	}
	db.config.Targets = append(append([]Target(nil), c.Targets...), db.self())

	external, err := url.Parse(c.ExternalURL)
	if err != nil {
		return nil, fmt.Errorf("metrics storage: external URL: %w", err)
	}
	if db.scraping, err = scrapeConfig(db.config); err != nil {
		return nil, fmt.Errorf("metrics storage: scrape configuration: %w", err)
	}
	if db.store, err = openStore(c, log, db.registry); err != nil {
		return nil, err
	}
	db.commits = watchCommits(db.store)
	db.engine = newEngine(log, db.registry, db.features, db.parser)
	if err := db.prepareRules(external); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if err := db.prepareScraper(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	db.handler = db.api(external)
	return db, nil
}

func openStore(c Config, log *slog.Logger, reg prometheus.Registerer) (*promtsdb.DB, error) {
	o := promtsdb.DefaultOptions()
	o.RetentionDuration = c.Retention.Milliseconds()
	o.MaxBytes = maxBytes
	o.EnableExemplarStorage = true
	o.MaxExemplars = maxExemplars
	// A series is zero when it begins. Without a sample that says so, increase() leaves
	// out what was counted before its first scrape: of a page that is seldom seen, most.
	o.EnableSTAsZeroSample = true
	// The largest block is a tenth of what is kept, at least the smallest block:
	// Prometheus's own rule.
	o.MaxBlockDuration = max(o.MinBlockDuration, o.RetentionDuration/10)
	store, err := promtsdb.Open(c.Dir, quiet(log), reg, o, promtsdb.NewDBStats())
	if err != nil {
		return nil, fmt.Errorf("metrics storage %s: %w (is another process using it? if it is damaged, move the folder away to start with an empty one)", c.Dir, err)
	}
	return store, nil
}

func newEngine(log *slog.Logger, reg prometheus.Registerer, f features.Collector, p parser.Parser) *promql.Engine {
	return promql.NewEngine(promql.EngineOpts{
		Logger: quiet(log), Reg: reg, MaxSamples: maxSamples, Timeout: queryTimeout,
		ActiveQueryTracker: make(slots, maxQueries),
		EnableAtModifier:   true, EnableNegativeOffset: true,
		NoStepSubqueryIntervalFn: func(int64) int64 { return time.Minute.Milliseconds() },
		FeatureRegistry:          f, Parser: p,
	})
}

// Run scrapes and evaluates until ctx is done; then it scrapes every target once
// more, so that nothing counted before the stop is missing, and returns nil. It
// is called at most once.
func (db *DB) Run(ctx context.Context) error {
	if err := db.startRules(); err != nil {
		return err
	}
	groups := make(chan targetSets, 1)
	groups <- db.targetSets()
	done := make(chan error, 2)
	go func() { db.rules.Run(); done <- nil }()
	go func() { done <- db.scraper.Run(groups) }()

	<-ctx.Done()
	db.scraper.Stop()
	db.rules.Stop()
	return errors.Join(<-done, <-done)
}

// Handler answers the Prometheus HTTP API under /api/v1/, without the admin
// calls and without remote writing. It is for operators, not for the public: a
// query may be dear.
func (db *DB) Handler() http.Handler { return db.handler }

// Gatherer gathers the database's own metrics (prometheus_*).
func (db *DB) Gatherer() prometheus.Gatherer { return db.registry }

// Scrape returns when a scrape of every target that began after the call is in
// the database, about an interval later at the most. It needs a Run.
func (db *DB) Scrape(ctx context.Context) error {
	now := time.Now()
	for _, t := range db.config.Targets {
		if err := db.commits.wait(ctx, t, now); err != nil {
			return fmt.Errorf("scrape of %s %s: %w", t.Job, t.Instance, err)
		}
	}
	return nil
}

// Close writes what is in memory to disk and gives the folder free. Run must
// have returned. A second Close does nothing.
func (db *DB) Close() error {
	db.closeOnce.Do(func() {
		if db.pipes != nil {
			db.closeErr = db.pipes.Close()
		}
		if err := db.store.Close(); err != nil {
			db.closeErr = errors.Join(db.closeErr, fmt.Errorf("metrics storage %s: close: %w", db.config.Dir, err))
		}
	})
	return db.closeErr
}

// externalLabels are what rules may use in their texts.
func (db *DB) externalLabels() labels.Labels {
	return labels.FromStrings("console", db.config.ExternalURL)
}

// slots lets so many queries run at a time as it has room for; the others wait
// under their context.
type slots chan struct{}

func (s slots) GetMaxConcurrent() int { return cap(s) }

func (s slots) Insert(ctx context.Context, _ string) (int, error) {
	select {
	case s <- struct{}{}:
		return 0, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (s slots) Delete(int)   { <-s }
func (s slots) Close() error { return nil }
