package tsdb

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/storage"
)

type targetSets = map[string][]*targetgroup.Group

// self is the database as a target of its own.
func (db *DB) self() Target {
	return Target{"prometheus", "embedded", promhttp.HandlerFor(db.registry, promhttp.HandlerOpts{})}
}

// scrapeConfig is what a prometheus.yml would say: every job with native
// histograms, their classic twins kept, protobuf first because only it carries both.
func scrapeConfig(c Config) (*config.Config, error) {
	var y strings.Builder
	fmt.Fprintf(&y, "global:\n  scrape_interval: %[1]s\n  scrape_timeout: %[2]s\n  evaluation_interval: %[1]s\n  external_labels: {console: %[3]q}\nscrape_configs:\n",
		model.Duration(c.Interval), model.Duration(min(c.Interval, 10*time.Second)), c.ExternalURL)
	seen := map[string]bool{}
	for _, t := range c.Targets {
		if seen[t.Job] {
			continue
		}
		seen[t.Job] = true
		fmt.Fprintf(&y, "  - job_name: %q\n    scrape_native_histograms: true\n    always_scrape_classic_histograms: true\n    scrape_protocols: [PrometheusProto, OpenMetricsText1.0.0, PrometheusText0.0.4]\n    fallback_scrape_protocol: PrometheusText0.0.4\n", t.Job)
	}
	return config.Load(y.String(), slog.New(slog.DiscardHandler))
}

func (db *DB) prepareScraper() error {
	db.pipes = listen(db.config.Targets)
	// Not db.registry: gathering the scraper's own metrics takes a lock that Stop
	// holds, so the last scrape of ourselves would run into its timeout.
	own := prometheus.NewRegistry()
	var err error
	db.scraper, err = scrape.NewManager(&scrape.Options{
		HTTPClientOptions:        []promconfig.HTTPClientOption{promconfig.WithDialContextFunc(db.pipes.Dial)},
		DiscoveryReloadOnStartup: true,
		ScrapeOnShutdown:         true,
		ParseST:                  true, // see openStore
		FeatureRegistry:          db.features,
	}, quiet(db.log), nil, nil, db.commits, own)
	if err != nil {
		return fmt.Errorf("metrics storage: scraper: %w", err)
	}
	if err := db.scraper.ApplyConfig(db.scraping); err != nil {
		return fmt.Errorf("metrics storage: scraper: %w", err)
	}
	return nil
}

// targetSets are the targets as the scraper's discovery would find them.
func (db *DB) targetSets() targetSets {
	sets := targetSets{}
	for i, t := range db.config.Targets {
		sets[t.Job] = append(sets[t.Job], &targetgroup.Group{
			Source: address(i),
			Targets: []model.LabelSet{{
				model.AddressLabel: model.LabelValue(address(i)), model.InstanceLabel: model.LabelValue(t.Instance),
			}},
		})
	}
	return sets
}

// commits stands before the storage and knows when the scrape of each target was
// last committed.
type commits struct {
	storage.AppendableV2

	mu      sync.Mutex
	begun   map[[2]string]time.Time // job and instance: the time of the last scrape in the storage
	changed chan struct{}           // closed at the next commit
}

func watchCommits(store storage.AppendableV2) *commits {
	return &commits{AppendableV2: store, begun: map[[2]string]time.Time{}, changed: make(chan struct{})}
}

// AppenderV2 is called once a scrape.
func (c *commits) AppenderV2(ctx context.Context) storage.AppenderV2 {
	return &watchedAppender{AppenderV2: c.AppendableV2.AppenderV2(ctx), commits: c}
}

func (c *commits) wait(ctx context.Context, t Target, after time.Time) error {
	for {
		c.mu.Lock()
		begun, changed := c.begun[[2]string{t.Job, t.Instance}], c.changed
		c.mu.Unlock()
		if begun.After(after) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// watchedAppender remembers whose scrape it was by the up sample, which every
// scrape has.
type watchedAppender struct {
	storage.AppenderV2
	commits *commits
	target  [2]string
	begun   time.Time
}

func (a *watchedAppender) Append(ref storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, o storage.AppendV2Options) (storage.SeriesRef, error) {
	if ls.Get(model.MetricNameLabel) == "up" {
		a.target = [2]string{ls.Get(model.JobLabel), ls.Get(model.InstanceLabel)}
		a.begun = time.UnixMilli(t)
	}
	return a.AppenderV2.Append(ref, ls, st, t, v, h, fh, o)
}

func (a *watchedAppender) Commit() error {
	if err := a.AppenderV2.Commit(); err != nil || a.begun.IsZero() {
		return err
	}
	c := a.commits
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun[a.target] = a.begun
	close(c.changed)
	c.changed = make(chan struct{})
	return nil
}

// metricsOnly answers /metrics by the target's handler.
func metricsOnly(h http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", h)
	return mux
}
