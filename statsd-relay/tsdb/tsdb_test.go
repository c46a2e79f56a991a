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
	c.Interval = 500 * time.Millisecond
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

// await asks at every scrape until the query's only sample is as wanted: on a
// loaded machine a scrape may run out of its short time, and the next one counts.
func await(t *testing.T, db *tsdb.DB, query, wanted string, ok func(float64) bool) {
	t.Helper()
	ask := prom.Local(db.Handler())
	var got model.Value
	for range 20 {
		scraped(t, db)
		var err error
		if got, err = ask.Query(t.Context(), query, time.Now()); err != nil {
			t.Fatal(err)
		}
		if v := got.(model.Vector); len(v) == 1 && ok(float64(v[0].Value)) {
			return
		}
	}
	t.Errorf("%s = %v, want %s", query, got, wanted)
}

// is awaits a value.
func is(t *testing.T, db *tsdb.DB, query string, want float64) {
	t.Helper()
	await(t, db, query, fmt.Sprint(want), func(v float64) bool { return v == want })
}

func TestATargetIsUpUntilItDies(t *testing.T) {
	t.Parallel()
	s := newSite()
	db, _, _ := start(t, tsdb.Config{Targets: []tsdb.Target{s.target()}})
	is(t, db, `up{job="addons",instance="test"}`, 1)
	is(t, db, `up{job="prometheus"}`, 1)
	s.dead.Store(true)
	is(t, db, `up{job="addons"}`, 0)
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
	db, _, _ = start(t, tsdb.Config{Dir: dir})
	// All seven were counted between the last interval and the stop.
	is(t, db, `max_over_time(requests_seconds_count{job="addons"}[5m])`, 7)
}

func TestGoingDownDoesNotWaitForAnInterval(t *testing.T) {
	t.Parallel()
	db, err := tsdb.Open(tsdb.Config{Dir: t.TempDir(), Interval: time.Hour, Targets: []tsdb.Target{newSite().target()}}, silent)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- db.Run(ctx) }()
	// The pools are there once the API knows their targets.
	for !strings.Contains(get(t, db, "/api/v1/targets"), `"job":"addons"`) {
		time.Sleep(time.Millisecond)
	}
	cancel()
	select {
	case err := <-ran:
		if err := errors.Join(err, db.Close()); err != nil {
			t.Error(err)
		}
	case <-time.After(8 * time.Second): // less than the 10 s that a scrape may take
		t.Error("Run goes on after its context has ended")
	}
}

func TestANativeHistogramTellsWhatClassicBucketsCannot(t *testing.T) {
	t.Parallel()
	s := newSite()
	db, _, _ := start(t, tsdb.Config{Targets: []tsdb.Target{s.target()}})
	scraped(t, db)
	for range 100 {
		s.requests.Observe(t.Context(), 100*time.Microsecond)
	}
	await(t, db, `histogram_quantile(0.99, requests_seconds)`, "about 0.0001 s", func(v float64) bool { return v > 80e-6 && v < 120e-6 })
	await(t, db, `histogram_quantile(0.99, requests_seconds_bucket)`, "a value within the first bucket's 0.0005 s", func(v float64) bool { return v > 400e-6 })
}

func TestExemplarsComeBack(t *testing.T) {
	t.Parallel()
	s := newSite()
	db, _, _ := start(t, tsdb.Config{Targets: []tsdb.Target{s.target()}})
	ctx, ledger := metrics.Begin(t.Context(), "")
	s.requests.Observe(ctx, time.Second)
	is(t, db, `requests_seconds_count`, 1)
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
	is(t, db, `job:up:sum{job="prometheus"}`, 1)
}

func TestTwoDatabasesLiveInOneProcessButNotInOneFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, _, _ := start(t, tsdb.Config{Dir: dir, Targets: []tsdb.Target{newSite().target()}})
	b, _, _ := start(t, tsdb.Config{})
	is(t, a, `count(up)`, 2)
	is(t, b, `count(up)`, 1)
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
	db, _, _ := start(t, tsdb.Config{Targets: []tsdb.Target{{Job: "plain", Instance: "a", Handler: plain}, {Job: "plain", Instance: "b", Handler: plain}}})
	is(t, db, `sum(answer)`, 84)
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
