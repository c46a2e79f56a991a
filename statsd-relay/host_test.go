package relay

import (
	"strings"
	"testing"
	"time"

	"addons/statsd-relay/host"
)

func TestTheMachinesNumbersAreGaugesLikeOthers(t *testing.T) {
	t.Parallel()
	kept := &keepingSink{}
	r, stop := start(t, Config{Flush: time.Hour, Host: Host{Enabled: true, Interval: time.Second, Prefix: "host.test"}}, kept)
	eventually(t, "a second reading, which has rates", func() bool { return value(t, r, "host_test_context_switches", "") >= 0 })
	expect(t, r, map[string]float64{"relay_host_errors_total": 0})
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, p := range kept.flushes[len(kept.flushes)-1].gauges {
		got[p.key] = true
	}
	for _, m := range host.Metrics() {
		if !strings.Contains(m.Name, "{") && !strings.HasPrefix(m.Name, "tcp.listen") && !got["host.test."+m.Name] {
			t.Errorf("the flush has no host.test.%s", m.Name)
		}
	}
}

func TestReadingsComeShortlyBeforeAFlush(t *testing.T) {
	t.Parallel()
	for now, want := range map[float64]float64{0: 9.5, 9.4: 9.5, 9.5: 19.5, 9.9: 19.5, 10: 19.5} {
		at := time.Unix(1_700_000_000, 0).Add(time.Duration(now * float64(time.Second)))
		if got := nextReading(at, 10*time.Second).Sub(time.Unix(1_700_000_000, 0)).Seconds(); got != want {
			t.Errorf("at %v s the next reading is at %v s, want %v", now, got, want)
		}
	}
}

func TestHostMetricsThatCannotBeReadAreRefused(t *testing.T) {
	t.Parallel()
	for _, h := range []Host{{Interval: time.Millisecond}, {Most: -1}, {Disks: "("}, {Mounts: "["}} {
		if _, err := New(Config{Host: h}, quiet()); err == nil || !strings.HasPrefix(err.Error(), "statsd-relay: host: ") {
			t.Errorf("%+v: %v", h, err)
		}
	}
}
