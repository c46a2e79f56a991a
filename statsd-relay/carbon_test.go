package relay

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"addons/statsd-relay/carbon/carbontest"
)

// fakeCarbon is a carbon that says which points it has.
type fakeCarbon struct{ *carbontest.Carbon }

func newFakeCarbon(t *testing.T) fakeCarbon { return fakeCarbon{carbontest.New(t)} }

// counts returns the points of a path, in the order of arrival, each time once.
func (f fakeCarbon) counts(path string) (values, times []string) {
	for _, line := range f.Lines() {
		fields := strings.Fields(line)
		if len(fields) == 3 && fields[0] == path && !slices.Contains(times, fields[2]) {
			values, times = append(values, fields[1]), append(times, fields[2])
		}
	}
	return values, times
}

// total adds the values of counts.
func (f fakeCarbon) total(path string) (sum int) {
	values, _ := f.counts(path)
	for _, v := range values {
		n := 0
		fmt.Sscan(v, &n)
		sum += n
	}
	return sum
}

// flushes has the relay count i and flush, for each i, at second 1000+i.
func flushes(r *Relay, from, to int) {
	for i := from; i < to; i++ {
		r.Count("a", float64(i+1))
		r.flushAt(time.Unix(int64(1000+i), 0))
	}
}

// toCarbon is a configuration with one carbon, flushed by the test.
func toCarbon(address string) Config {
	return Config{Graphite: Graphite{Addresses: []string{address}}, Flush: time.Hour}
}

func TestFlushesWaitForCarbonWithTheirOwnTimes(t *testing.T) {
	t.Parallel()
	carbon := newFakeCarbon(t)
	r, _ := start(t, toCarbon(carbon.Address))
	for i := range 5 {
		flushes(r, i, i+1)
		eventually(t, "it to be sent", func() bool { return r.sinks[0].status().waiting == 0 })
	}
	eventually(t, "five flushes", func() bool { v, _ := carbon.counts("stats_counts.a"); return len(v) == 5 })
	carbon.Down()
	eventually(t, "the relay to notice", func() bool { return value(t, r, "relay_sink_up", "sink=graphite") == 0 })
	flushes(r, 5, 30)
	if status := r.sinks[0].status(); status.waiting != 30 || status.err == nil {
		t.Errorf("the status is %+v, want 25 that wait, the five sent just now, and why", status)
	}
	carbon.Up()
	eventually(t, "all flushes", func() bool { return r.sinks[0].status().waiting == 0 })
	eventually(t, "all points", func() bool { v, _ := carbon.counts("stats_counts.a"); return len(v) == 30 })
	got := map[string]string{}
	values, times := carbon.counts("stats_counts.a")
	for i, at := range times {
		got[at] = values[i]
	}
	for i := range 30 {
		if at := fmt.Sprint(1000 + i); got[at] != fmt.Sprint(i+1) {
			t.Errorf("carbon got %q at %s, want %d", got[at], at, i+1)
		}
	}
	expect(t, r, map[string]float64{
		"relay_sink_flushes_total{outcome=sent,sink=graphite}":    30,
		"relay_sink_flushes_total{outcome=resent,sink=graphite}":  7, // the first five, and the newest two behind what they overtook
		"relay_sink_flushes_total{outcome=dropped,sink=graphite}": 0,
		"relay_sink_up{sink=graphite}":                            1,
		"relay_sink_queue_bytes{sink=graphite}":                   0,
		"relay_sink_oldest_timestamp_seconds{sink=graphite}":      0,
	})
}

func TestEachCarbonHasMetricsAndALineOfTheStatusPage(t *testing.T) {
	t.Parallel()
	one, two := newFakeCarbon(t), newFakeCarbon(t)
	two.Down()
	cfg := toCarbon(one.Address + ":a")
	cfg.Graphite.Addresses = append(cfg.Graphite.Addresses, two.Address+":b")
	cfg.Graphite.Spool.Dir = t.TempDir()
	r, stop := start(t, cfg)
	for i := range 100 {
		r.Count(fmt.Sprintf("key%d", i), 1)
	}
	r.flushAt(time.Unix(1000, 0))
	a, b := "graphite "+one.Address+":a", "graphite "+two.Address+":b"
	eventually(t, "the one that is up", func() bool { return value(t, r, "relay_sink_flushes_total", "outcome=sent,sink="+a) == 1 })
	eventually(t, "the other's spool", func() bool { return value(t, r, "relay_spool_bytes", "sink="+b) > 0 })
	expect(t, r, map[string]float64{"relay_sink_up{sink=" + a: 1, "relay_sink_queue_flushes{sink=" + a: 0, "relay_sink_queue_flushes{sink=" + b: 1, "relay_sink_oldest_timestamp_seconds{sink=" + b: 1000})
	page, _ := get(t, r, "/", "")
	for _, want := range []string{one.Address + ":a</code></th><td>connected", two.Address + ":b</code></th><td><strong>down", "on disk 4 KiB, oldest of 1970-01-01 00:16:40"} {
		if !strings.Contains(page, want) {
			t.Errorf("the status page lacks %q:\n%s", want, page)
		}
	}
	if err := stop(); err != nil {
		t.Errorf("what waits is on disk, yet it says %v", err)
	}
}

func TestTheLastFlushReachesCarbonBeforeTheEnd(t *testing.T) {
	t.Parallel()
	carbon := newFakeCarbon(t)
	r, stop := start(t, Config{UDP: local, Graphite: Graphite{Addresses: []string{carbon.Address}}})
	eventually(t, "carbon to be connected", func() bool { return r.sinks[0].status().err == nil })
	conn := dialUDP(t, r)
	for range 100 {
		send(t, conn, "last:1|c")
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the last flush", func() bool {
		_, times := carbon.counts("stats_counts.last")
		for _, at := range times {
			if !strings.HasSuffix(at, "0") {
				t.Fatalf("the last flush is stamped %s, want the interval's end", at)
			}
		}
		return carbon.total("stats_counts.last") == 100
	})
}

func TestFlushSaysWhatGraphiteStillLacks(t *testing.T) {
	t.Parallel()
	carbon := newFakeCarbon(t)
	r, stop := start(t, toCarbon(carbon.Address))
	r.Count("a", 1)
	if err := r.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	carbon.Down()
	eventually(t, "the relay to notice", func() bool { return r.sinks[0].status().err != nil })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := r.Flush(ctx)
	if err == nil || !strings.Contains(err.Error(), carbon.Address) || !strings.Contains(err.Error(), "flushes wait") {
		t.Errorf("Flush says %v", err)
	}
	carbon.Up()
	if err := stop(); err != nil {
		t.Error(err)
	}
}
