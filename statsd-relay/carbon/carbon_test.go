package carbon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"addons/server/metrics"
	"addons/statsd-relay/carbon/carbontest"
)

func TestMain(m *testing.M) {
	if asRelay() {
		return
	}
	goleak.VerifyTestMain(m)
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// meters are a carbon's metrics and how to read them.
type meters struct {
	registry *metrics.Registry
}

func newMeters() meters { return meters{metrics.New(nil)} }

func (m meters) of(address string) Metrics {
	counter := func(name string) *metrics.Counter {
		return m.registry.Counter(metrics.Desc{Name: name, Help: ".", Labels: []metrics.Label{metrics.L("a")}}).With(address)
	}
	gauge := func(name string) *metrics.Gauge {
		return m.registry.Gauge(metrics.Desc{Name: name, Help: ".", Labels: []metrics.Label{metrics.L("a")}}).With(address)
	}
	return Metrics{
		SentBatches: counter("sent"), ResentBatches: counter("resent"), DroppedBatches: counter("dropped"),
		SentPoints: counter("sent_points"), ResentPoints: counter("resent_points"), DroppedPoints: counter("dropped_points"),
		ReplayedPoints: counter("replayed_points"), Bytes: counter("bytes"),
		ConnectErrors: counter("connect_errors"), WriteErrors: counter("write_errors"),
		SpoolErrors: counter("spool_errors"), SpoolCorrupt: counter("corrupt"),
		Up: gauge("up"), Waiting: gauge("waiting"), Memory: gauge("memory"), Disk: gauge("disk"),
		MemoryMax: gauge("memory_max"), DiskMax: gauge("disk_max"), Oldest: gauge("oldest"),
	}
}

// value sums a metric over the carbons.
func (m meters) value(t testing.TB, name string) (sum float64) {
	t.Helper()
	families, err := m.registry.Prometheus().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, s := range f.Metric {
			if f.GetType() == dto.MetricType_COUNTER {
				sum += s.Counter.GetValue()
			} else {
				sum += s.Gauge.GetValue()
			}
		}
	}
	return sum
}

// expect compares metrics.
func (m meters) expect(t testing.TB, want map[string]float64) {
	t.Helper()
	for name, w := range want {
		if got := m.value(t, name); got != w {
			t.Errorf("%s = %v, want %v", name, got, w)
		}
	}
}

// open makes a cluster that is not run yet.
func open(t testing.TB, cfg Config) (*Cluster, meters) {
	t.Helper()
	m := newMeters()
	c, err := New(cfg, m.of, quiet())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range c.dests {
		d.retry = 10 * time.Millisecond
	}
	t.Cleanup(func() { c.Close() })
	return c, m
}

// run runs it until the test ends or stop is called, which returns what Run did.
func run(t testing.TB, c *Cluster) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	drain, late := context.WithTimeout(context.Background(), time.Minute)
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx, drain) }()
	stop = sync.OnceValue(func() error {
		cancel()
		time.AfterFunc(200*time.Millisecond, late)
		return <-done
	})
	t.Cleanup(func() { stop() })
	return stop
}

// eventually waits until ok, which is how one waits for the kernel.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("waited 30 s for %s", what)
		case <-tick.C:
		}
	}
}

// batch is batch i: the value i of the series a, at second 1000+i.
func batch(i int) Batch { return batchAt(i, int64(1000+i)) }

func batchAt(i int, at int64) Batch {
	return Batch{At: time.Unix(at, 0), Lines: fmt.Appendf(nil, "a %d %d\n", i, at), Points: 1}
}

func sendBatches(c *Cluster, from, to int) {
	for i := from; i < to; i++ {
		c.Send(batch(i))
	}
}

// fakeCarbon is a carbon that says which batches it has.
type fakeCarbon struct{ *carbontest.Carbon }

func newFakeCarbon(t testing.TB) fakeCarbon { return fakeCarbon{carbontest.New(t)} }

// distinct is how many different lines came.
func (f fakeCarbon) distinct() int {
	lines := map[string]bool{}
	for _, line := range f.Lines() {
		lines[line] = true
	}
	return len(lines)
}

// holds are the values that a whisper file with slots of so many seconds would
// hold: the last that came for each slot.
func (f fakeCarbon) holds(t testing.TB, path string, slot int64) map[int64]int {
	t.Helper()
	values := map[int64]int{}
	for _, line := range f.Lines() {
		var p string
		var value int
		var at int64
		if _, err := fmt.Sscanf(line, "%s %d %d", &p, &value, &at); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if p == path {
			values[at/slot*slot] = value
		}
	}
	return values
}

// has says whether it holds batches from..to−1 each.
func (f fakeCarbon) has(t testing.TB, from, to int) bool {
	t.Helper()
	values := f.holds(t, "a", 1)
	for i := from; i < to; i++ {
		if v, ok := values[int64(1000+i)]; !ok || v != i {
			return false
		}
	}
	return true
}
