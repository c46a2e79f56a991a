// Package server puts the platform together: it opens every part from the lowest
// floor up, serves, and takes it down again in order, losing nothing that it
// acknowledged. The whole platform can be started in a test, more than once in
// one process.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"

	"github.com/smira/go-statsd"

	"addons/alerts"
	"addons/rum"
	"addons/server/cache"
	"addons/server/fault"
	"addons/server/file"
	"addons/server/health"
	"addons/server/metrics"
	"addons/server/search"
	"addons/server/site"
	"addons/server/store"
	"addons/server/task"
	"addons/server/update"
	"addons/server/views"
	"addons/statsd-relay"
	"addons/statsd-relay/tsdb"
)

// Progress is told how far a long start has come.
type Progress func(done, total int, what string)

// Server is an opened platform.
type Server struct {
	config Config
	log    *slog.Logger
	opened closers

	registry *metrics.Registry
	faults   *fault.Recorder
	statsd   *statsd.Client
	batch    *metrics.Batch // before statsd; nil without it
	checks   *health.Checks
	db       *store.DB
	files    *file.Store
	cache    *cache.Cache
	index    *search.Index
	queue    *task.Queue
	site     *site.Site
	updates  *update.Service // made with the pages; nil without the site

	relay    *relay.Relay
	tsdb     *tsdb.DB
	notifier *alerts.Notifier // nil: nobody is told
	beacons  *rum.Handler     // nil: not taken here
	recent   *metrics.Recent  // what pages have cost, for views; nil: nobody looks
	views    *views.Store     // single page views; nil: beacons are not taken here

	public, admin, relayHTTP net.Listener
	base                     string // URL of the site

	draining atomic.Bool
}

// New opens what cfg names, from the lowest floor up. Every error is one line
// that says what to do; what was opened before it is closed again.
func New(ctx context.Context, cfg Config, log *slog.Logger) (_ *Server, err error) {
	s := &Server{config: cfg, log: log}
	defer func() {
		if err != nil {
			s.Close(context.WithoutCancel(ctx))
		}
	}()
	for _, open := range []func(context.Context) error{
		s.openFolder, s.openListeners, s.openViews, s.openRelay, s.openInstruments, s.openBackends, s.openSite, s.openTSDB,
	} {
		if err := open(ctx); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// openFolder proves that the data folder can be written to.
func (s *Server) openFolder(context.Context) error { return s.config.folder() }

// openListeners binds the ports first, because a port in use is the commonest
// reason not to start and should be told before any work is done.
func (s *Server) openListeners(context.Context) error {
	for _, l := range []struct {
		to         *net.Listener
		address    string
		what, flag string
		wanted     bool
	}{
		{&s.public, s.config.Public, "site", "--public", s.config.Site},
		// The embedded Prometheus needs them: its alerts link to them.
		{&s.admin, s.config.Admin, "operators' pages", "--admin", s.config.Admin != "" || s.config.Relay != nil},
		{&s.relayHTTP, s.relayAddress(), "relay", "--relay-http", s.config.Relay != nil},
	} {
		if !l.wanted {
			continue
		}
		listener, err := listen(l.address, l.what, l.flag)
		if err != nil {
			return err
		}
		*l.to = listener
		// Closing a listener that its http.Server has closed already is no news.
		s.opened.pushPlain(l.what+" listener", func() error { listener.Close(); return nil })
	}
	if s.public == nil {
		return nil
	}
	base, err := s.config.baseURL(s.public.Addr())
	s.base = base
	return err
}

func (s *Server) relayAddress() string {
	if s.config.Relay == nil {
		return ""
	}
	return s.config.Relay.HTTP
}

// recentRequests are kept for the page views that tell of them: a view's beacon comes
// when its visitor leaves, at 20 pages a second three minutes later at the most.
const recentRequests = 4096

// percentiles of timers: statsd's own, and the one by which web vitals are judged.
// https://web.dev/articles/vitals#core-web-vitals
var percentiles = []float64{75, 90}

// openViews keeps single page views, wherever else their beacons go.
func (s *Server) openViews(context.Context) error {
	if s.config.Site && s.config.BeaconSample >= 0 && (s.config.Relay != nil || s.config.Beacons != "") {
		s.recent = metrics.NewRecent(recentRequests)
		s.views = views.NewStore(s.recent)
	}
	return nil
}

// openRelay binds the sidecar's sockets, so that no statsd line of this process is lost.
func (s *Server) openRelay(context.Context) error {
	c := s.config.Relay
	if c == nil {
		return nil
	}
	r, err := relay.New(relay.Config{
		UDP: c.UDP, TCP: c.TCP, Flush: c.Flush, Graphite: s.config.graphite(), Percentiles: percentiles,
		Naming: relay.Naming{Modern: c.Prefix != "", Prefix: c.Prefix},
	}, s.log)
	if err != nil {
		return err
	}
	s.relay = r
	s.opened.pushPlain("relay", r.Close)
	return nil
}

// openInstruments makes the registry, with statsd lines going to --statsd or to
// the relay of this process.
func (s *Server) openInstruments(ctx context.Context) error {
	address, err := s.statsdAddress()
	if err != nil {
		return err
	}
	var client metrics.Statsd
	if address != "" {
		s.statsd = newStatsd(address, s.log)
		s.opened.pushPlain("statsd", s.statsd.Close)
		s.batch = metrics.NewBatch(s.statsd)
		client = s.batch
		s.opened.pushPlain("statsd batch", s.batch.Close)
	}
	s.registry = metrics.New(client)
	exportLostPackets(s.registry, s.statsd)
	s.registry.Gauge(metrics.Desc{
		Name: "addons_build_info", Help: "1, with the version that runs: a change of it is a deploy.",
		Labels: []metrics.Label{metrics.L("version"), metrics.L("revision")},
	}).With(s.config.Version.Version, s.config.Version.Commit).Set(1)
	s.checks = health.New(s.registry)
	s.faults, err = fault.New(s.config.SentryDSN, s.config.Version.Version, s.registry, s.log)
	if err != nil {
		return err
	}
	s.opened.push("sentry", func(ctx context.Context) error {
		if err := s.faults.Close(ctx); err != nil { // Sentry being down is no reason to end with a failure
			s.log.Warn("sentry", "error", err)
		}
		return nil
	})
	return nil
}

// errNoSearch: a process that searches or indexes was given no index.
var errNoSearch = errors.New("--search: give bleve:PATH or elasticsearch://host:port/index")

// openBackends opens what each URL names, each with its health check. Only the
// database and the files are essential: without the others the site is slower or
// poorer, not down.
func (s *Server) openBackends(ctx context.Context) (err error) {
	if s.db, err = store.Open(ctx, s.config.below(s.config.Database), s.registry, s.log, s.config.Replicas...); err != nil {
		if len(s.config.Replicas) > 0 {
			return fmt.Errorf("--database, --replicas: %w", err)
		}
		return fmt.Errorf("--database: %w", err)
	}
	s.opened.pushPlain("database", s.db.Close)
	s.checks.Add("database", true, s.db.Ping)
	if len(s.config.Replicas) > 0 {
		s.checks.Add("replicas", false, s.db.CheckReplicas)
	}

	if s.files, err = file.Open(s.config.below(s.config.Files), s.registry); err != nil {
		return fmt.Errorf("--files: %w", err)
	}
	s.opened.pushPlain("files", s.files.Close)
	s.checks.Add("files", true, s.files.Check)

	if s.cache, err = cache.Open(s.config.Cache, s.registry, s.log, cache.Build(s.config.build())); err != nil {
		return fmt.Errorf("--cache: %w", err)
	}
	s.opened.pushPlain("cache", s.cache.Close)
	s.checks.Add("cache", false, s.cache.Check)

	if s.config.Search == "" && (s.config.Site || s.config.Worker) {
		return errNoSearch
	}
	if s.config.Search != "" {
		if s.index, err = search.Open(s.config.below(s.config.Search), s.registry, s.log); err != nil {
			return fmt.Errorf("--search: %w", err)
		}
		s.opened.pushPlain("search", s.index.Close)
		s.checks.Add("search", false, s.index.Check)
	}

	if s.queue, err = task.Open(ctx, s.config.Queue, s.db, s.registry, s.faults, s.log); err != nil {
		return fmt.Errorf("--queue: %w", err)
	}
	s.opened.pushPlain("queue", s.queue.Close)
	s.checks.Add("queue", false, s.queue.Check)
	return nil
}

// openSite puts what the platform does on the backends; the pages come in Run.
func (s *Server) openSite(context.Context) error {
	s.site = site.New(site.Deps{
		DB: s.db, Cache: s.cache, Index: s.index, Files: s.files, Queue: s.queue, Log: s.log, Registry: s.registry,
	})
	s.opened.pushPlain("site", s.site.Close)
	s.checks.Add("serving", true, func(context.Context) error {
		if s.draining.Load() {
			return errors.New("going down")
		}
		return nil
	})
	return nil
}
