package tsdb

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/grafana/regexp"
	"github.com/prometheus/common/model"
	"github.com/prometheus/common/route"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	promtsdb "github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/notifications"
	v1 "github.com/prometheus/prometheus/web/api/v1"
)

// version of Prometheus that is embedded; go.mod's v0.315.0 is release 3.15.
const version = "3.15.0"

// noOrigin matches none: no page of another origin may read the API.
const noOrigin = "^$"

// api builds Prometheus's HTTP API. Its constructor is the part of Prometheus
// that changes most: this function is where an upgrade is felt.
func (db *DB) api(external *url.URL) http.Handler {
	always := func(h http.HandlerFunc) http.HandlerFunc { return h }
	api := v1.NewAPI(
		db.engine, db.store, nil, nil, db.store,
		func(context.Context) v1.ScrapePoolsRetriever { return db.scraper },
		func(context.Context) v1.TargetRetriever { return db.scraper },
		func(context.Context) v1.AlertmanagerRetriever { return noAlertmanager{} },
		func() config.Config { return *db.scraping },
		map[string]string{"storage.tsdb.retention.time": model.Duration(db.config.Retention).String()},
		v1.GlobalURLOptions{Host: external.Host, Scheme: external.Scheme},
		always,
		adminStats{db.store}, db.config.Dir, false, // no admin calls
		false, 0, // no search calls
		quiet(db.log),
		func(context.Context) v1.RulesRetriever { return db.rules },
		50_000_000, 10, 1<<20, // remote read: Prometheus's own defaults
		false,
		regexp.MustCompile(noOrigin),
		db.runtimeInfo,
		&v1.PrometheusVersion{Version: version, Branch: "embedded", GoVersion: runtime.Version()},
		func() []notifications.Notification { return nil },
		func() (<-chan notifications.Notification, func(), bool) { return nil, nil, false },
		db.registry, db.registry, nil,
		false, nil, // no remote write
		false, false, false, // no OTLP
		false, 5*time.Minute, false, false, nil,
		db.features,
		v1.OpenAPIOptions{ExternalURL: external.String(), Version: version},
		db.parser,
	)
	router := route.New()
	api.Register(router)
	mux := http.NewServeMux()
	mux.Handle("/api/v1/", http.StripPrefix("/api/v1", router))
	return mux
}

func (db *DB) runtimeInfo() (v1.RuntimeInfo, error) {
	host, err := os.Hostname()
	return v1.RuntimeInfo{
		StartTime: db.opened, ServerTime: time.Now(), Hostname: host,
		ReloadConfigSuccess: true, LastConfigTime: db.opened,
		GoroutineCount: runtime.NumGoroutine(), GOMAXPROCS: runtime.GOMAXPROCS(0),
		GOMEMLIMIT:       debug.SetMemoryLimit(-1), // a negative limit only asks
		StorageRetention: model.Duration(db.config.Retention).String(),
	}, err
}

// noAlertmanager: alerts leave by Config.Notify.
type noAlertmanager struct{}

func (noAlertmanager) Alertmanagers() []*url.URL        { return nil }
func (noAlertmanager) DroppedAlertmanagers() []*url.URL { return nil }

var errNoAdmin = errors.New("the embedded database has no admin calls")

// adminStats shows what is stored and refuses to change it.
type adminStats struct{ store *promtsdb.DB }

func (adminStats) CleanTombstones() error { return errNoAdmin }
func (adminStats) Delete(context.Context, int64, int64, ...*labels.Matcher) error {
	return errNoAdmin
}
func (adminStats) Snapshot(string, bool) error { return errNoAdmin }

func (a adminStats) Stats(label string, limit int) (*promtsdb.Stats, error) {
	return a.store.Head().Stats(label, limit), nil
}

func (adminStats) WALReplayStatus() (promtsdb.WALReplayStatus, error) {
	return promtsdb.WALReplayStatus{}, nil
}

func (a adminStats) BlockMetas() ([]promtsdb.BlockMeta, error) { return a.store.BlockMetas(), nil }
