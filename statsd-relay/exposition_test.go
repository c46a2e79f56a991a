package relay

import (
	"flag"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// get returns a page of the relay's handler.
func get(t *testing.T, r *Relay, path, accept string) (body string, resp *http.Response) {
	t.Helper()
	req := httptest.NewRequest("GET", path, nil)
	req.Header.Set("Accept", accept)
	rec := httptest.NewRecorder()
	r.Handler().ServeHTTP(rec, req)
	resp = rec.Result()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), resp
}

const openMetrics = "application/openmetrics-text; version=1.0.0"

const protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"

// lines feeds a relay without sockets.
func lines(t *testing.T, cfg Config, text string) *Relay {
	t.Helper()
	r, err := New(cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	r.feed.take([]byte(text))
	return r
}

func TestMetricsPage(t *testing.T) {
	t.Parallel()
	r := lines(t, Config{}, strings.Join([]string{
		"response.200:3|c", "response.200:-1|c", "response.200:1|c|@0.1",
		"view.addons.detail.GET:250|ms", "view.addons.detail.GET:1.2|ms|@0.5", "view.addons.detail.GET:12000|ms",
		"payload.size:512|h", "pool.in-use:5|g", "pool--idle:2|g", "users:ann|s", "users:bob|s",
		"4xx:1|c", "tagged:1|c|#route:detail,le:5,__x:y,dc:phx", "tagged:2|c",
	}, "\n"))
	body, _ := get(t, r, "/metrics", openMetrics)
	var got strings.Builder
	for line := range strings.Lines(body) {
		name := strings.TrimLeft(strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE "), "# UNIT "), " ")
		if !strings.HasPrefix(name, "relay_") && !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") &&
			!strings.HasPrefix(name, "addons_") && !strings.Contains(line, "_created") {
			got.WriteString(line)
		}
	}
	golden(t, "testdata/metrics.txt", got.String())
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: want -, got +\n%s", file, diff)
	}
}

func TestNoNameBreaksTheMetricsPage(t *testing.T) {
	t.Parallel()
	r := lines(t, Config{}, strings.Join([]string{
		"a:1|c", "a:1|g", "a:1|ms", "a:x|s", // one name, four types
		"h:1|ms", "h.count:1|c", "h.bucket:1|g", // the names of a histogram's samples
		"n.total:1|c", "n:1|g", // and OpenMetrics' of a counter
		"x.y:1|c", "x-y:2|c", // two keys, one name
		"relay.lines.total:5|c", "go.goroutines:7|g", "mine:1|c", "mine.sum:1|c", // those of others
		"t:1|c|#a.b:1,a-b:2", "_:1|c", ".:1|c", "a=b:1|c", "k;;=;v=:1|c",
	}, "\n"))
	mine := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "mine", Help: "Another's."})
	r.Registerer().MustRegister(mine)
	for _, accept := range []string{"text/plain", openMetrics, protobuf} {
		body, resp := get(t, r, "/metrics", accept)
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: status %d: %s", accept, resp.StatusCode, body)
		}
		values := prometheusReads(t, body, resp.Header.Get("Content-Type"))
		if v := values[`{__name__="x_y"}`]; v != 3 {
			t.Errorf("%s: x_y, of two keys, is %v, want 3", accept, v)
		}
	}
	// Which of one name's types is first depends on nothing: cells are folded in
	// the order in which they came.
	expect(t, r, map[string]float64{
		"a": 1, "h": 1, "n_total": 1, "mine": 0,
		"relay_prometheus_refused_series{reason=conflict}": 6,
		"relay_prometheus_refused_series{reason=reserved}": 4,
	})
	r.Count("after", 1)
	expect(t, r, map[string]float64{"after": 1})
}

// prometheusReads parses a page as Prometheus does, and fails the test if it
// can't or finds a series twice. It returns the series without buckets.
func prometheusReads(t *testing.T, body, contentType string) map[string]float64 {
	t.Helper()
	p, err := textparse.New([]byte(body), contentType, labels.NewSymbolTable(), textparse.ParserOptions{})
	if err != nil {
		t.Fatalf("%s: %v", contentType, err)
	}
	values := map[string]float64{}
	for {
		entry, err := p.Next()
		if err == io.EOF {
			return values
		}
		if err != nil {
			t.Fatalf("%s: %v", contentType, err)
		}
		if entry != textparse.EntrySeries {
			continue
		}
		_, _, v := p.Series()
		var l labels.Labels
		p.Labels(&l)
		if _, twice := values[l.String()]; twice {
			t.Errorf("%s: %s is there twice", contentType, l)
		}
		values[l.String()] = v
	}
}

func TestCountersOnlyRiseOverFlushesAndScrapes(t *testing.T) {
	t.Parallel()
	r := lines(t, Config{}, "")
	before := 0.0
	for i := range 50 {
		r.Count("a", 3)
		r.Count("a", -1)
		if i%5 == 0 {
			r.flushAt(time.Unix(int64(i), 0))
		}
		now := value(t, r, "a", "")
		if now != before+3 {
			t.Fatalf("after %d the counter went from %v to %v, want 3 more", i, before, now)
		}
		before = now
	}
}

func TestASetShowsTheLastFullIntervalOrMore(t *testing.T) {
	t.Parallel()
	r := lines(t, Config{}, "u:a|s\nu:b|s\nu:c|s")
	for _, step := range []struct {
		lines string
		flush bool
		want  float64
	}{{"", false, 3}, {"", true, 3}, {"u:a|s", false, 3}, {"", true, 1}, {"u:a|s\nu:b|s", false, 2}} {
		r.feed.take([]byte(step.lines))
		if step.flush {
			r.flushAt(time.Now())
		}
		if got := value(t, r, "u", ""); got != step.want {
			t.Errorf("after %+v the set is %v", step, got)
		}
	}
}

// TestHistogramsAreAsClientGolangs observes the same numbers with both.
func TestHistogramsAreAsClientGolangs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		values func(i int) float64
	}{
		{"usual", func(i int) float64 { return float64(i%997) / 7 }},
		{"wide", func(i int) float64 { return math.Pow(1.07, float64(i%600)) }}, // more than 160 buckets
		{"negative", func(i int) float64 { return float64(i%200) - 100 }},
		{"one", func(int) float64 { return 250 }},
		{"tiny and huge", func(i int) float64 { return math.Pow(10, float64(i%200)-100) }},
	} {
		for _, factor := range []float64{1.001, 1.01, 1.1, 1.5, 3, 300, 65536} {
			t.Run(fmt.Sprint(c.name, " by ", factor), func(t *testing.T) {
				t.Parallel()
				compareWithClientGolang(t, factor, c.values)
			})
		}
	}
}

func compareWithClientGolang(t *testing.T, factor float64, values func(i int) float64) {
	ours := histogramFor(t, Prometheus{NativeFactor: factor}, true)
	theirs := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h", Buckets: plainBuckets, NativeHistogramBucketFactor: factor, NativeHistogramMaxBucketNumber: 160})
	halves := [2]*histogram{histogramFor(t, Prometheus{NativeFactor: factor}, true), histogramFor(t, Prometheus{NativeFactor: factor}, true)}
	for i := range 3000 {
		ours.observe(values(i), 1)
		theirs.Observe(values(i))
		halves[i%2].observe(values(i), 1)
	}
	var m dto.Metric
	if err := theirs.Write(&m); err != nil {
		t.Fatal(err)
	}
	halves[0].merge(halves[1])
	want := m.Histogram
	for name, got := range map[string]*dto.Histogram{"whole": drawnOf(ours), "merged of halves": drawnOf(halves[0])} {
		if want.GetSampleCount() != got.GetSampleCount() || want.GetSchema() != got.GetSchema() || want.GetZeroCount() != got.GetZeroCount() || math.Abs(want.GetSampleSum()-got.GetSampleSum()) > 1e-9*math.Abs(want.GetSampleSum()) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
		if diff := cmp.Diff(expanded(want.PositiveSpan, want.PositiveDelta), expanded(got.PositiveSpan, got.PositiveDelta)); diff != "" {
			t.Errorf("%s: positive buckets: %s", name, diff)
		}
		if diff := cmp.Diff(expanded(want.NegativeSpan, want.NegativeDelta), expanded(got.NegativeSpan, got.NegativeDelta)); diff != "" {
			t.Errorf("%s: negative buckets: %s", name, diff)
		}
		for i, b := range want.Bucket {
			if got.Bucket[i].GetCumulativeCount() != b.GetCumulativeCount() {
				t.Errorf("%s: le %v: %d, want %d", name, b.GetUpperBound(), got.Bucket[i].GetCumulativeCount(), b.GetCumulativeCount())
			}
		}
	}
}

// histogramFor is a histogram as an unmapped timer has it.
func histogramFor(t testing.TB, p Prometheus, plain bool) *histogram {
	t.Helper()
	r := rulesFor(t, p).rule(ruleKey{class: timers, plain: plain})
	return &histogram{rule: r, shift: r.shift}
}

func rulesFor(t testing.TB, p Prometheus) *rules {
	t.Helper()
	p, err := p.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	return p.rules
}

func drawnOf(h *histogram) *dto.Histogram {
	d := &dto.Histogram{}
	h.draw(d)
	return d
}

// expanded is what spans and deltas stand for, without the empty buckets that
// client_golang fills short gaps with.
func expanded(spans []*dto.BucketSpan, deltas []int64) map[int32]int64 {
	all := map[int32]int64{}
	var index int32
	var count int64
	for _, s := range spans {
		index += s.GetOffset()
		for range s.GetLength() {
			count += deltas[0]
			deltas = deltas[1:]
			if count != 0 {
				all[index] = count
			}
			index++
		}
	}
	return all
}

func TestAValueIsInTheNativeBucketThatEndsAtOrAboveIt(t *testing.T) {
	t.Parallel()
	check := func(v float64) {
		t.Helper()
		fraction, exponent := math.Frexp(v)
		if want := int32(below(fractions[:], fraction) + (exponent-1)<<finest); nativeIndex(v) != want {
			t.Fatalf("%v is in bucket %d, want %d", v, nativeIndex(v), want)
		}
	}
	for _, exponent := range []int{-1073, -1022, -100, 0, 1, 1000} {
		for i := range 1 << 14 {
			check(math.Ldexp(.5+float64(i)/(2<<14), exponent))
		}
		for _, f := range fractions {
			for _, v := range []float64{math.Nextafter(f, 0), f, math.Nextafter(f, 1)} {
				check(math.Ldexp(v, exponent))
			}
		}
	}
}

func TestSampleRatesWeighInHistograms(t *testing.T) {
	t.Parallel()
	h := newHistogram(false)
	for range 300 {
		h.observe(100, 1/.3)
	}
	if h.count() != 1000 {
		t.Errorf("300 samples at a rate of 0.3 count %d, want 1000", h.count())
	}
}

func TestATimerSentInTwoUnitsIsOneHistogram(t *testing.T) {
	t.Parallel()
	r := lines(t, Config{TimerSamples: 10}, "a:1000|ms")
	expect(t, r, map[string]float64{"a": 1})
	r.flushAt(time.Now())
	other := r.agg.newShard("udp", &r.bad)
	other.take([]byte(strings.Repeat("a:1000|h\n", 100)))
	expect(t, r, map[string]float64{"a": 101})
}
