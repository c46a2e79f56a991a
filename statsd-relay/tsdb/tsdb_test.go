package tsdb_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/model"
	"go.uber.org/goleak"

	"addons/server/metrics"
	"addons/statsd-relay/prom"
	"addons/statsd-relay/tsdb"
)

// The log's goroutine is Prometheus's own: tsdb.Open leaves it behind when a block
// cannot be opened, before there is anything that could be closed.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/prometheus/prometheus/tsdb/wlog.(*WL).run"))
}

var silent = slog.New(slog.DiscardHandler)

// site is a platform with one histogram and a switch that kills its /metrics.
type site struct {
	registry *metrics.Registry
	requests *metrics.Histogram
	dead     atomic.Bool
}

func newSite() *site {
	r := metrics.New(nil)
	return &site{registry: r, requests: r.Histogram(metrics.Desc{Name: "requests_seconds", Help: "h"}).With()}
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.dead.Load() {
		http.Error(w, "dead", http.StatusServiceUnavailable)
		return
	}
	promhttp.HandlerFor(s.registry.Prometheus(), promhttp.HandlerOpts{EnableOpenMetrics: true}).ServeHTTP(w, r)
}

func (s *site) target() tsdb.Target { return tsdb.Target{Job: "addons", Instance: "test", Handler: s} }

// start opens and runs a database; stop ends it and closes it.
func start(t *testing.T, c tsdb.Config) (db *tsdb.DB, ask *prom.Client, stop func()) {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	c.Interval = 200 * time.Millisecond
	db, err := tsdb.Open(c, silent)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- db.Run(ctx) }()
	var stopped bool
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := errors.Join(<-ran, db.Close()); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return db, prom.Local(db.Handler()), stop
}

func scraped(t *testing.T, db *tsdb.DB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := db.Scrape(ctx); err != nil {
		t.Fatal(err)
	}
}

// value is the single sample of an instant query.
func value(t *testing.T, ask *prom.Client, query string) float64 {
	t.Helper()
	v, err := ask.Query(t.Context(), query, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	vector := v.(model.Vector)
	if len(vector) != 1 {
		t.Fatalf("%s = %v, want one sample", query, vector)
	}
	return float64(vector[0].Value)
}

func TestATargetIsUpUntilItDies(t *testing.T) {
	t.Parallel()
	s := newSite()
	db, ask, _ := start(t, tsdb.Config{Targets: []tsdb.Target{s.target()}})
	scraped(t, db)
	if got := value(t, ask, `up{job="addons",instance="test"}`); got != 1 {
		t.Errorf("up = %v, want 1", got)
	}
	if got := value(t, ask, `up{job="prometheus"}`); got != 1 {
		t.Errorf("its own up = %v, want 1", got)
	}
	s.dead.Store(true)
	scraped(t, db)
	if got := value(t, ask, `up{job="addons"}`); got != 0 {
		t.Errorf("up of a dead target = %v, want 0", got)
	}
}

func TestSamplesSurviveARestartAndTheLastAreNotLost(t *testing.T) {
	t.Parallel()
	dir, s := t.TempDir(), newSite()
	db, _, stop := start(t, tsdb.Config{Dir: dir, Targets: []tsdb.Target{s.target()}})
	scraped(t, db)
	for range 7 {
		s.requests.Observe(t.Context(), time.Millisecond)
	}
	stop()
	if _, err := os.Stat(filepath.Join(dir, "lock")); !os.IsNotExist(err) {
		t.Errorf("the lock file is still there after Close: %v", err)
	}
	_, ask, _ := start(t, tsdb.Config{Dir: dir})
	if got := value(t, ask, `max_over_time(requests_seconds_count{job="addons"}[1m])`); got != 7 {
		t.Errorf("requests after the restart = %v, want the 7 counted between the last interval and the stop", got)
	}
}

func TestANativeHistogramTellsWhatClassicBucketsCannot(t *testing.T) {
	t.Parallel()
	s := newSite()
	db, ask, _ := start(t, tsdb.Config{Targets: []tsdb.Target{s.target()}})
	scraped(t, db)
	for range 100 {
		s.requests.Observe(t.Context(), 100*time.Microsecond)
	}
	scraped(t, db)
	if got := value(t, ask, `histogram_quantile(0.99, requests_seconds)`); got < 80e-6 || got > 120e-6 {
		t.Errorf("native p99 = %v s, want about 0.0001", got)
	}
	if got := value(t, ask, `histogram_quantile(0.99, requests_seconds_bucket)`); got < 400e-6 {
		t.Errorf("classic p99 = %v s, want an interpolation in the first bucket", got)
	}
}

func TestExemplarsComeBack(t *testing.T) {
	t.Parallel()
	s := newSite()
	db, _, _ := start(t, tsdb.Config{Targets: []tsdb.Target{s.target()}})
	ctx, ledger := metrics.Begin(t.Context(), "")
	s.requests.Observe(ctx, time.Second)
	scraped(t, db)
	body := get(t, db, fmt.Sprintf("/api/v1/query_exemplars?query=requests_seconds_bucket&start=%d&end=%d", time.Now().Unix()-60, time.Now().Unix()+60))
	if !strings.Contains(body, ledger.TraceID) {
		t.Errorf("exemplars = %s, want trace %s", body, ledger.TraceID)
	}
}

func TestAnAlertIsPendingThenFiresThenIsResolved(t *testing.T) {
	t.Parallel()
	rules := `
groups:
- name: test
  rules:
  - record: job:up:sum
    expr: sum by (job) (up)
  - alert: InstanceDown
    expr: up{job="addons"} == 0
    for: 1s
    labels: {severity: critical}
    annotations: {summary: "{{ $labels.instance }} is down", dashboard_url: "{{ $externalLabels.console }}/dashboards/overview"}
`
	told := make(chan *model.Alert, 100)
	s := newSite()
	s.dead.Store(true)
	db, ask, _ := start(t, tsdb.Config{
		Targets: []tsdb.Target{s.target()}, ExternalURL: "http://console.test",
		Rules: fstest.MapFS{"test.rules.yml": {Data: []byte(rules)}, "tests/ignored.yml": {Data: []byte("junk")}},
		Notify: func(alerts []*model.Alert) {
			for _, a := range alerts {
				told <- a
			}
		},
	})
	state := func() string {
		alerts, err := ask.Alerts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(alerts) == 0 {
			return ""
		}
		return string(alerts[0].State)
	}
	var seen []string
	for len(seen) == 0 || seen[len(seen)-1] != "firing" {
		scraped(t, db)
		if now := state(); now != "" && (len(seen) == 0 || seen[len(seen)-1] != now) {
			seen = append(seen, now)
		}
	}
	if got, want := strings.Join(seen, " "), "pending firing"; got != want {
		t.Errorf("states = %s, want %s", got, want)
	}
	firing := <-told
	if got, want := firing.Annotations["summary"], model.LabelValue("test is down"); got != want {
		t.Errorf("summary = %q, want %q", got, want)
	}
	if got, want := firing.Annotations["dashboard_url"], model.LabelValue("http://console.test/dashboards/overview"); got != want {
		t.Errorf("dashboard_url = %q, want %q", got, want)
	}
	s.dead.Store(false)
	if resolved := <-told; !resolved.Resolved() {
		t.Errorf("second notification = %v, want it resolved", resolved)
	}
	if got := value(t, ask, `job:up:sum{job="prometheus"}`); got != 1 {
		t.Errorf("recording rule = %v, want 1", got)
	}
}

func TestTwoDatabasesLiveInOneProcessButNotInOneFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, askA, _ := start(t, tsdb.Config{Dir: dir, Targets: []tsdb.Target{newSite().target()}})
	b, askB, _ := start(t, tsdb.Config{})
	scraped(t, a)
	scraped(t, b)
	if got := value(t, askA, `count(up)`); got != 2 {
		t.Errorf("targets of the first = %v, want 2", got)
	}
	if got := value(t, askB, `count(up)`); got != 1 {
		t.Errorf("targets of the second = %v, want 1", got)
	}
	_, err := tsdb.Open(tsdb.Config{Dir: dir}, silent)
	if err == nil || !strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "\n") {
		t.Errorf("opening a folder in use: error %v, want one line that names %s", err, dir)
	}
}

func TestOpenRefusesWhatItCannotUse(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	damaged := t.TempDir()
	block := filepath.Join(damaged, "01BX5ZZKBKACTAV9WEVGEMMVRZ")
	if err := errors.Join(os.Mkdir(block, 0o700), os.WriteFile(filepath.Join(block, "meta.json"), []byte(`{"version":1,"ulid":"01BX5ZZKBKACTAV9WEVGEMMVRZ"}`), 0o600)); err != nil {
		t.Fatal(err)
	}
	bad := fstest.MapFS{"bad.rules.yml": {Data: []byte("groups: [{name: a, rules: [{alert: A, expr: 'sum('}]}]")}}
	for name, c := range map[string]tsdb.Config{
		"a file for a folder": {Dir: file},
		"a damaged block":     {Dir: damaged},
		"a bad rule":          {Dir: t.TempDir(), Rules: bad},
	} {
		db, err := tsdb.Open(c, silent)
		if err == nil {
			db.Close()
			t.Errorf("%s: opened", name)
			continue
		}
		if strings.Contains(err.Error(), "\n") || !(strings.Contains(err.Error(), c.Dir) || strings.Contains(err.Error(), "bad.rules.yml")) {
			t.Errorf("%s: error %q, want one line that names what is wrong", name, err)
		}
	}
}

func TestTheAPIReadsAndDoesNotWrite(t *testing.T) {
	t.Parallel()
	db, _, _ := start(t, tsdb.Config{Targets: []tsdb.Target{newSite().target()}})
	scraped(t, db)
	for _, path := range []string{
		"query?query=up", "query_range?query=up&start=1&end=2&step=1", "labels", "label/job/values", "series?match[]=up",
		"metadata", "rules", "alerts", "targets", "alertmanagers", "status/buildinfo", "status/runtimeinfo", "status/config",
		"status/flags", "status/tsdb", "status/tsdb/blocks", "features", "openapi.yaml",
	} {
		get(t, db, "/api/v1/"+path)
	}
	for _, path := range []string{"write", "otlp/v1/metrics", "admin/tsdb/snapshot", "admin/tsdb/clean_tombstones", "admin/tsdb/delete_series?match[]=up"} {
		w := httptest.NewRecorder()
		db.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/v1/"+path, nil))
		if w.Code < 400 {
			t.Errorf("POST %s = %d, want a refusal", path, w.Code)
		}
	}
}

func TestATargetWithoutProtobufIsReadAsText(t *testing.T) {
	t.Parallel()
	plain := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "answer 42") })
	db, ask, _ := start(t, tsdb.Config{Targets: []tsdb.Target{{Job: "plain", Instance: "a", Handler: plain}, {Job: "plain", Instance: "b", Handler: plain}}})
	scraped(t, db)
	if got := value(t, ask, `sum(answer)`); got != 84 {
		t.Errorf("sum over two instances = %v, want 84", got)
	}
}

// get returns the body of a 200 answer.
func get(t *testing.T, db *tsdb.DB, path string) string {
	t.Helper()
	w := httptest.NewRecorder()
	db.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	body := w.Body.String()
	if w.Code != http.StatusOK || (strings.HasPrefix(body, "{") && !json.Valid(w.Body.Bytes())) {
		t.Errorf("GET %s = %d %s", path, w.Code, body)
	}
	return body
}
