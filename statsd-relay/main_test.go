package relay

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"addons/server/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quiet is a log that nobody reads.
func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// start runs a relay for the length of the test, or until stop is called; stop
// returns what Run returned.
func start(t testing.TB, cfg Config, sinks ...sink) (r *Relay, stop func() error) {
	t.Helper()
	r, err := New(cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	r.sinks = append(r.sinks, sinks...)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	var ended bool
	stop = func() error {
		if ended {
			return nil
		}
		ended = true
		cancel()
		return <-done
	}
	t.Cleanup(func() { stop() })
	return r, stop
}

// eventually waits until ok, which is how one waits for the kernel and for other
// processes.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	within(t, 20*time.Second, what, ok)
}

func within(t testing.TB, most time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(most)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("waited %v for %s", most, what)
		case <-tick.C:
		}
	}
}

// value returns one number of the relay's /metrics: a counter, a gauge, or a
// histogram's count. labels are "name=value", comma-separated. A series that is
// not there is −1.
func value(t testing.TB, r *Relay, name, labels string) float64 {
	t.Helper()
	m := find(t, r, name, labels)
	switch {
	case m == nil:
		return -1
	case m.Counter != nil:
		return m.Counter.GetValue()
	case m.Histogram != nil:
		return float64(m.Histogram.GetSampleCount())
	}
	return m.Gauge.GetValue()
}

func find(t testing.TB, r *Relay, name, labels string) *dto.Metric {
	t.Helper()
	families, err := r.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.Metric {
			var got []string
			for _, l := range m.Label {
				got = append(got, l.GetName()+"="+l.GetValue())
			}
			if strings.Join(got, ",") == labels {
				return m
			}
		}
	}
	return nil
}

// expect compares numbers of /metrics: name or name{labels} → value.
func expect(t testing.TB, r *Relay, want map[string]float64) {
	t.Helper()
	for series, w := range want {
		name, labels, _ := strings.Cut(strings.TrimSuffix(series, "}"), "{")
		if got := value(t, r, name, labels); got != w {
			t.Errorf("%s = %v, want %v", series, got, w)
		}
	}
}

// dialUDP returns a sender to the relay.
func dialUDP(t testing.TB, r *Relay) net.Conn {
	t.Helper()
	udp, _ := r.Addr()
	conn, err := net.Dial("udp", udp.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func send(t testing.TB, conn net.Conn, format string, args ...any) {
	t.Helper()
	if _, err := fmt.Fprintf(conn, format, args...); err != nil {
		t.Fatal(err)
	}
}

// aggregate is an aggregator with one shard, for tests without sockets.
func aggregate(t testing.TB, cfg Config) (*aggregator, *shard) {
	t.Helper()
	cfg, err := cfg.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	a := newAggregator(cfg, newSelf(metrics.New(nil), cfg))
	return a, a.newShard("udp", &badLines{})
}

// take has the shard read a datagram as its reader would.
func (s *shard) take(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read(b)
}

// flushed is the aggregator's flush in one piece.
func (a *aggregator) flushed(at time.Time) *flush {
	all := &flush{}
	a.flush(at, func(f *flush) {
		all.add(f)
		all.at, all.interval, all.last, all.series = f.at, f.interval, f.last, f.series
		all.badLines, all.packets, all.lines, all.took, all.late = f.badLines, f.packets, f.lines, f.took, f.late
	})
	return all
}

// rendered is f as carbon gets it.
func rendered(f *flush, n names) []byte {
	w := plaintext{names: n}
	lines, _ := w.render(f)
	return lines
}
