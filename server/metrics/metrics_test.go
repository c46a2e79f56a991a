package metrics_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"addons/server/metrics"
)

// lines is a statsd client that keeps what it was given.
type lines struct {
	mu   sync.Mutex
	got  map[string]int64
	last map[string]float64
}

func newLines() *lines { return &lines{got: map[string]int64{}, last: map[string]float64{}} }

func (l *lines) Incr(key string, n int64, _ ...metrics.Tag) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got[key] += n
}

func (l *lines) PrecisionTiming(key string, d time.Duration, _ ...metrics.Tag) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got[key]++
	l.last[key] = float64(d) / float64(time.Millisecond)
}

func (l *lines) FGauge(key string, v float64, _ ...metrics.Tag) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last[key] = v
}

func TestOneObservationReachesPrometheusStatsdAndTheLedger(t *testing.T) {
	statsd := newLines()
	r := metrics.New(statsd)
	queries := r.Histogram(metrics.Desc{Name: "db_seconds", Help: "h", Labels: []metrics.Label{metrics.L("query")}, Keys: []string{"db.{query}"}, Span: "db"})
	hits := r.Counter(metrics.Desc{Name: "hits_total", Help: "h", Labels: []metrics.Label{metrics.L("result", "hit", "miss")}, Keys: []string{"cache.{result}", "cache"}})

	ctx, ledger := metrics.Begin(t.Context(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	queries.With("addon.by/slug").Observe(ctx, 1500*time.Microsecond)
	hits.With("hit").Add(2)

	if got, want := statsd.last["db.addon_by_slug"], 1.5; got != want {
		t.Errorf("statsd timer = %v ms, want %v", got, want)
	}
	if diff := cmp.Diff(map[string]int64{"db.addon_by_slug": 1, "cache.hit": 2, "cache": 2}, statsd.got); diff != "" {
		t.Error(diff)
	}
	if got, want := ledger.ServerTiming(2*time.Millisecond), `app;dur=2.000, db;dur=1.500;desc="1", trace;desc="4bf92f3577b34da6a3ce929d0e0e4736"`; got != want {
		t.Errorf("ServerTiming = %s, want %s", got, want)
	}
	want := "# HELP hits_total h\n# TYPE hits_total counter\nhits_total{result=\"hit\"} 2\nhits_total{result=\"miss\"} 0\n"
	if err := testutil.GatherAndCompare(r.Prometheus(), strings.NewReader(want), "hits_total"); err != nil {
		t.Error(err)
	}
}

func TestPastItsLimitAMetricCountsUnderOther(t *testing.T) {
	r := metrics.New(nil)
	c := r.Counter(metrics.Desc{Name: "junk_total", Help: "h", Labels: []metrics.Label{metrics.L("name")}, Limit: 2})
	for _, name := range []string{"a", "b", "c", "d", "a"} {
		c.With(name).Inc()
	}
	want := "# HELP junk_total h\n# TYPE junk_total counter\njunk_total{name=\"a\"} 2\njunk_total{name=\"b\"} 1\njunk_total{name=\"other\"} 2\n" +
		"# HELP addons_metrics_overflow_total Label sets refused because their metric had reached its limit, each now counted under \"other\".\n" +
		"# TYPE addons_metrics_overflow_total counter\naddons_metrics_overflow_total{metric=\"junk_total\"} 2\n"
	if err := testutil.GatherAndCompare(r.Prometheus(), strings.NewReader(want), "junk_total", "addons_metrics_overflow_total"); err != nil {
		t.Error(err)
	}
}

func TestASecondDeclarationIsTheSameInstrumentOrAPanic(t *testing.T) {
	r := metrics.New(nil)
	d := metrics.Desc{Name: "x_total", Help: "h"}
	if first, second := r.Counter(d), r.Counter(d); first != second {
		t.Error("the same declaration gave two instruments")
	}
	defer func() {
		if recover() == nil {
			t.Error("a different declaration of the same name was accepted")
		}
	}()
	d.Help = "another"
	r.Counter(d)
}

func TestTimeUsesTheRegistryOfItsContext(t *testing.T) {
	statsd := newLines()
	ctx := metrics.Into(t.Context(), metrics.New(statsd))
	metrics.Time(ctx, "submit.validate")()
	metrics.Time(context.Background(), "nobody.listens")()
	if statsd.got["submit.validate"] != 1 || len(statsd.got) != 1 {
		t.Errorf("statsd got %v, want submit.validate once", statsd.got)
	}
}

func TestBeginRefusesABadTraceparent(t *testing.T) {
	for _, parent := range []string{"", "junk", "00-00000000000000000000000000000000-00f067aa0ba902b7-01", "00-XYZ92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"} {
		if _, l := metrics.Begin(t.Context(), parent); len(l.TraceID) != 32 || strings.Contains(parent, l.TraceID) {
			t.Errorf("Begin(%q) has trace id %q, want a new one", parent, l.TraceID)
		}
	}
}

func TestSlowObservationsAlwaysLeaveTheirTrace(t *testing.T) {
	r := metrics.New(nil)
	h := r.Histogram(metrics.Desc{Name: "h_seconds", Help: "h", Buckets: []float64{.1, 1}}).With()
	var slow string
	for i := range 10 {
		ctx, l := metrics.Begin(t.Context(), "")
		h.Observe(ctx, time.Millisecond)
		if i == 9 {
			slow = l.TraceID
			h.Observe(ctx, 500*time.Millisecond)
		}
	}
	families, err := r.Prometheus().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "h_seconds" {
			buckets := f.Metric[0].Histogram.Bucket
			if got := buckets[1].Exemplar.GetLabel()[0].GetValue(); got != slow {
				t.Errorf("the slow bucket's exemplar is of trace %s, want %s", got, slow)
			}
			if buckets[0].Exemplar == nil {
				t.Error("the first fast observation left no exemplar")
			}
		}
	}
}

func BenchmarkHistogramObserve(b *testing.B) {
	h := metrics.New(nil).Histogram(metrics.Desc{Name: "h_seconds", Help: "h"}).With()
	ctx, _ := metrics.Begin(b.Context(), "")
	b.ReportAllocs()
	for b.Loop() {
		h.Observe(ctx, time.Millisecond)
	}
}
