package relay

import (
	"debug/buildinfo"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"addons/server/enginetest"
)

// exporterVersion is that of our pkg/mapper.
const exporterVersion = "v0.31.0"

// TestMappingsGiveTheSeriesOfStatsdExporter gives the same mapping file and lines
// to the real one. What may differ, and nothing else: a timer that is not called
// a summary is a histogram, of a summary the quantiles' values, and of a set we
// have a gauge.
func TestMappingsGiveTheSeriesOfStatsdExporter(t *testing.T) {
	t.Parallel()
	binary := enginetest.URL(t, "STATSD_EXPORTER")
	if info, err := buildinfo.ReadFile(binary); err != nil || info.Main.Version != exporterVersion {
		t.Fatalf("%s is %v (%v), want %s: run .ci/install", binary, info.Main.Version, err, exporterVersion)
	}
	files, err := filepath.Glob("testdata/mapping/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			sent, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			mapping := strings.TrimSuffix(file, ".txt") + ".yml"
			if _, err := os.Stat(mapping); err != nil {
				mapping = ""
			}
			want := statsdExporter(t, binary, mapping, string(sent))
			r := lines(t, Config{Prometheus: Prometheus{Mapping: mapping}}, string(sent)+"the.end:1|c\n")
			body, resp := get(t, r, "/metrics", "text/plain")
			compareSeries(t, want, statsdSeries(prometheusReads(t, body, resp.Header.Get("Content-Type"))))
		})
	}
}

// statsdExporter returns the series that the real one makes of the lines.
func statsdExporter(t *testing.T, binary, mapping, lines string) map[string]float64 {
	t.Helper()
	web, statsd := freeAddress(t), freeAddress(t)
	cmd := exec.CommandContext(t.Context(), binary, "--web.listen-address="+web, "--statsd.listen-tcp="+statsd, "--statsd.listen-udp=", "--statsd.event-flush-interval=5ms", "--statsd.mapping-config="+mapping)
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	}()
	var conn net.Conn
	eventually(t, "statsd_exporter to listen", func() (ok bool) {
		var err error
		conn, err = net.Dial("tcp", statsd)
		return err == nil
	})
	defer conn.Close()
	send(t, conn, "%sthe.end:1|c\n", lines)
	var series map[string]float64
	eventually(t, "statsd_exporter to show the last line", func() bool {
		resp, err := http.Get("http://" + web + "/metrics")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return false
		}
		series = statsdSeries(prometheusReads(t, string(body), resp.Header.Get("Content-Type")))
		return series[`{__name__="the_end"}`] == 1
	})
	return series
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// statsdSeries leaves out what a program says of itself.
func statsdSeries(all map[string]float64) map[string]float64 {
	for series := range all {
		for _, own := range []string{"relay_", "addons_", "go_", "process_", "promhttp_", "statsd_exporter_", "statsd_metric_mapper_"} {
			if strings.HasPrefix(series, `{__name__="`+own) {
				delete(all, series)
			}
		}
	}
	return all
}

// compareSeries compares the series of two pages.
func compareSeries(t *testing.T, want, got map[string]float64) {
	t.Helper()
	for series, w := range want {
		g, ok := got[series]
		switch quantile := strings.Contains(series, `quantile="`); {
		case !ok && quantile && hasBuckets(got, series):
		case !ok:
			t.Errorf("%s is missing, want %v", series, w)
		case !quantile && math.Abs(g-w) > 1e-12*math.Abs(w):
			t.Errorf("%s = %v, want %v", series, g, w)
		}
	}
	for series, g := range got {
		if _, ok := want[series]; !ok && !(strings.Contains(series, `le="`) && !hasBuckets(want, strings.Replace(series, `_bucket"`, `"`, 1))) {
			t.Errorf("%s = %v, which it should not have", series, g)
		}
	}
}

// hasBuckets is whether the family of a sample that is named as it has buckets.
func hasBuckets(all map[string]float64, sample string) bool {
	name, _, _ := strings.Cut(strings.TrimPrefix(sample, `{__name__="`), `"`)
	for series := range all {
		if strings.HasPrefix(series, fmt.Sprintf(`{__name__="%s_bucket"`, name)) {
			return true
		}
	}
	return false
}

// mappingFile writes a mapping file.
func mappingFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mapping.yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAMappingThatCannotBeIsAnError(t *testing.T) {
	t.Parallel()
	entry := func(more string) string { return "mappings:\n- match: a.*\n  name: a\n" + more }
	for text, want := range map[string]string{
		"mappings: 5": "cannot unmarshal",
		"maps: []":    "field maps not found",
		entry("  observer_type: histogram\n  histogram_options: {buckets: [2, 1]}"):          `mapping 1, match "a.*": buckets`,
		entry("  observer_type: histogram\n  histogram_options: {buckets: [.nan]}"):          "buckets",
		entry("  histogram_options: {native_histogram_bucket_factor: .5}"):                   "native bucket factor 0.5",
		entry("  histogram_options: {native_histogram_max_buckets: 5000}"):                   "4096 are the most",
		entry("  observer_type: summary\n  summary_options: {quantiles: [{quantile: 1.5}]}"): "quantile 1.5",
		entry("  observer_type: summary\n  summary_options: {age_buckets: 1000}"):            "100 are the most",
		entry("  observer_type: summary\n  summary_options: {max_age: -1s}"):                 "max_age",
		entry("  ttl: -1s"): "ttl -1s",
		"defaults: {histogram_options: {buckets: [1, 1]}}":         "defaults: buckets",
		"mappings:\n- match: '(('\n  match_type: regex\n  name: a": "invalid regex",
	} {
		_, err := New(Config{Prometheus: Prometheus{Mapping: mappingFile(t, text)}}, quiet())
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "prometheus.mapping") {
			t.Errorf("%q: the error is %v, want one with %q", text, err, want)
		}
	}
	for want, p := range map[string]Prometheus{
		"no such file":  {Mapping: "testdata/none.yml"},
		`"both"`:        {Histograms: "some"},
		"buckets [2 1]": {Buckets: []float64{2, 1}},
		"factor 0.5":    {NativeFactor: .5},
		"can't be":      {TTL: -1},
		"4096 are":      {NativeBuckets: 1 << 40},
	} {
		if _, err := New(Config{Prometheus: p}, quiet()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: the error is %v, want one with %q", p, err, want)
		}
	}
}

func TestHistogramsAreClassicOrNativeOrBoth(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string][2]bool{"": {true, true}, "both": {true, true}, "classic": {true, false}, "native": {false, true}} {
		r := lines(t, Config{Prometheus: Prometheus{Histograms: mode, Buckets: []float64{.1, 1}, NativeFactor: 1.5, NativeBuckets: 20}}, "a:50|ms\na:500|ms\na:0|ms")
		h := find(t, r, "a", "").Histogram
		if got := [2]bool{len(h.Bucket) == 2, h.Schema != nil && len(h.PositiveSpan) > 0}; got != want || h.GetSampleCount() != 3 {
			t.Errorf("%q: classic and native buckets are there: %v, want %v: %v", mode, got, want, h)
		}
		if want[1] && h.GetSchema() != 1 {
			t.Errorf("%q: the schema for a factor of 1.5 is %d, want 1", mode, h.GetSchema())
		}
	}
}

func TestStaleSeriesLeaveAndComeBackAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mapping := mappingFile(t, "mappings:\n- {match: long.*, name: long, labels: {of: $1}, ttl: 5m}\n")
		const sent = "c:5|c\ng:5|g\nt:5|ms\nu:a|s\nlong.x:7|c"
		r := lines(t, Config{Prometheus: Prometheus{TTL: time.Minute, Mapping: mapping}}, sent)
		began := time.Now()
		expect(t, r, map[string]float64{"c": 5, "g": 5, "t": 1, "u": 1, "long{of=x}": 7})
		for range 6 {
			time.Sleep(10 * time.Second)
			r.flushAt(time.Now())
		}
		expect(t, r, map[string]float64{"c": 5, "g": 5, "t": 1, "u": 0})
		time.Sleep(2 * time.Second)
		expect(t, r, map[string]float64{"c": -1, "g": -1, "t": -1, "u": -1, "long{of=x}": 7})

		time.Sleep(time.Minute)
		r.feed.take([]byte("c:1|c\nt:1|ms"))
		expect(t, r, map[string]float64{"c": 1, "t": 1, "g": -1})
		if created := find(t, r, "c", "").Counter.CreatedTimestamp.AsTime(); created.Sub(began) < 2*time.Minute {
			t.Errorf("the counter that came back was created %v after the first", created.Sub(began))
		}
		time.Sleep(5 * time.Minute)
		expect(t, r, map[string]float64{"long{of=x}": -1, "c": -1})
	})
}

func TestSummariesAreOfTheirLastWindows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mapping := mappingFile(t, "mappings:\n- match: s\n  name: s\n  scale: 2\n  summary_options: {quantiles: [{quantile: 0.5}, {quantile: 0.99}], max_age: 1m, age_buckets: 3}\n")
		r := lines(t, Config{TimerSamples: 100, Prometheus: Prometheus{Mapping: mapping}}, "")
		for i := range 1000 {
			r.Timing("s", float64(i+1))
		}
		check := func(count uint64, sum, median, high float64) {
			t.Helper()
			s := find(t, r, "s", "").Summary
			if s.GetSampleCount() != count || math.Abs(s.GetSampleSum()-sum) > 1e-9*sum {
				t.Errorf("count and sum are %d and %v, want %d and %v", s.GetSampleCount(), s.GetSampleSum(), count, sum)
			}
			for i, want := range []float64{median, high} {
				if got := s.Quantile[i].GetValue(); !(math.Abs(got-want) <= .012*want || math.IsNaN(got) && math.IsNaN(want)) {
					t.Errorf("quantile %v is %v, want %v", s.Quantile[i].GetQuantile(), got, want)
				}
			}
		}
		check(1000, 1001, 1, 1.98)
		time.Sleep(30 * time.Second)
		for range 3000 {
			r.Timing("s", 5000)
		}
		check(4000, 31001, 10, 10)
		time.Sleep(35 * time.Second) // the first are gone
		check(4000, 31001, 10, 10)
		time.Sleep(10 * time.Minute)
		check(4000, 31001, math.NaN(), math.NaN())
	})
}

func TestAMappingIsReloadedForAllSeries(t *testing.T) {
	t.Parallel()
	mapping := mappingFile(t, "mappings:\n- {match: old.*, name: old, labels: {of: $1}}\n- {match: out, name: out, action: drop}\n")
	r := lines(t, Config{Prometheus: Prometheus{Mapping: mapping}}, "old.x:1|c\nold.y:1|c\nkept:5|c\nkept.time:3|ms\nout:1|g\nkept:1|g")
	refused := map[string]float64{"relay_prometheus_refused_series{reason=dropped}": 1, "relay_prometheus_refused_series{reason=conflict}": 1}
	expect(t, r, map[string]float64{"old{of=x}": 1, "kept": 5, "kept_time": 1, "out": -1})
	expect(t, r, refused)
	created := find(t, r, "kept", "").Counter.CreatedTimestamp.AsTime()

	if err := os.WriteFile(mapping, []byte("mappings:\n- {match: old.*, name: new}\n- {match: bad"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.apply(*r.cfg.Load()); err == nil {
		t.Error("a broken file is no error")
	}
	expect(t, r, map[string]float64{"old{of=x}": 1})
	if err := os.WriteFile(mapping, []byte("mappings:\n- {match: old.*, name: new}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.apply(*r.cfg.Load()); err != nil {
		t.Fatal(err)
	}
	expect(t, r, map[string]float64{"out": 1}) // a gauge has its value at once
	r.feed.take([]byte("old.x:1|c\nold.y:2|c\nkept:5|c\nout:4|g"))
	expect(t, r, map[string]float64{"old{of=x}": -1, "new": 3, "kept": 10, "kept_time": 1, "out": 4, "relay_prometheus_refused_series{reason=dropped}": 0, "relay_prometheus_refused_series{reason=conflict}": 1})
	if again := find(t, r, "kept", "").Counter.CreatedTimestamp.AsTime(); !again.Equal(created) {
		t.Errorf("a series that stays the same was created at %v, and now at %v", created, again)
	}
}

func TestPromtoolFindsNothingAmissOfNames(t *testing.T) {
	t.Parallel()
	promtool := enginetest.URL(t, "PROMTOOL")
	mapping := mappingFile(t, `
mappings:
- {match: orders.*, name: orders_total, labels: {state: $1}, help: Orders.}
- {match: depth, name: queue_depth, help: Waiting.}
- {match: took.*, name: took_seconds, labels: {of: $1}, help: Times., observer_type: histogram}
- {match: summed.*, name: summed_seconds, labels: {of: $1}, help: Times., observer_type: summary}
- {match: members, name: members, help: Members.}
`)
	r := lines(t, Config{Prometheus: Prometheus{Mapping: mapping}}, "orders.paid:1|c\norders.open:1|c\ndepth:5|g\ntook.a:5|ms\ntook.b:7|ms\nsummed.a:5|ms\nmembers:a|s\n")
	body, _ := get(t, r, "/metrics", "text/plain")
	cmd := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(body)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}
