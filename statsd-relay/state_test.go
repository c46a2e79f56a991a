package relay

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// lastValue is what whisper keeps of a path: what came last for the newest time.
func (f fakeCarbon) lastValue(path string) (value, at string) {
	for _, line := range f.Lines() {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == path && fields[2] >= at {
			value, at = fields[1], fields[2]
		}
	}
	return value, at
}

func TestARestartWithinAnIntervalLosesNothing(t *testing.T) {
	t.Parallel()
	carbon := newFakeCarbon(t)
	state := filepath.Join(t.TempDir(), "state")
	cfg := Config{UDP: local, Flush: time.Hour, State: state, Graphite: Graphite{Addresses: []string{carbon.Address}}}
	var pages []string
	var due []time.Time
	for range 3 {
		r, stop := start(t, cfg)
		if _, err := os.Stat(state); err == nil {
			t.Error("the file is still there while the process runs")
		}
		pages = append(pages, metricsPage(t, r))
		sendAll(t, r, dialUDP(t, r), 1, func(int) []byte { return []byte("c:2|c\nt:10|ms\nt:30|ms\ns:a|s\ns:b|s\ng:+1|g") })
		pages = append(pages, metricsPage(t, r))
		eventually(t, "it to run", r.ready.Load)
		due = append(due, r.ends())
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
	if !due[0].Equal(due[2]) {
		return // the hour has struck
	}
	if info, err := os.Stat(state); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v, want one of mode 0600", info, err)
	}
	if pages[2] != pages[1] || pages[4] != pages[3] {
		t.Errorf("/metrics was\n%s\nand is\n%s", pages[1], pages[2])
	}
	want := map[string]string{
		"stats_counts.c": "6", "stats.gauges.g": "3", "stats.sets.s.count": "2",
		"stats.timers.t.count": "6", "stats.timers.t.sum": "120", "stats.timers.t.upper": "30",
	}
	eventually(t, "the last flush", func() bool {
		for path, value := range want {
			if got, _ := carbon.lastValue(path); got != value {
				return false
			}
		}
		return true
	})
}

func TestAStateWhoseIntervalIsOverHasTheRest(t *testing.T) {
	t.Parallel()
	cfg := Config{UDP: local, Flush: time.Second, State: filepath.Join(t.TempDir(), "state")}
	r, stop := start(t, cfg)
	sendAll(t, r, dialUDP(t, r), 1, func(int) []byte { return []byte("c:2|c\nt:10|ms\ng:7|g") })
	page := metricsPage(t, r)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	over := r.ends()
	eventually(t, "the interval to be over", func() bool { return time.Now().After(over) })
	kept := &keepingSink{}
	cfg.Flush = time.Hour
	again, err := New(cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if got := metricsPage(t, again); got != page {
		t.Errorf("/metrics was\n%s\nand is\n%s", page, got)
	}
	again.sinks = append(again.sinks, kept)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := again.Run(ctx); err != nil {
		t.Fatal(err)
	}
	f := kept.flushes[0]
	if f.late != 0 {
		t.Errorf("the next flush says that it is late by %v, as long as there was no process", f.late)
	}
	if f.interval != time.Hour || len(f.counters) != 1 || f.counters[0].value != 0 || len(f.gauges) != 1 || f.gauges[0].value != 7 {
		t.Errorf("the next flush is %+v", f)
	}
}

func TestAFolderIsNoState(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var log strings.Builder
	r, err := New(Config{State: dir}, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	r.forget(dir)
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); err != nil || !strings.Contains(log.String(), "folder") {
		t.Errorf("the folder: %v, and the log says %q", err, log.String())
	}
}

func TestAnOldStateIsNotThereAnyMoreAfterAHandOver(t *testing.T) {
	t.Parallel()
	state := filepath.Join(t.TempDir(), "state")
	relays := succession(t)
	relays.succeed(Config{Flush: time.Hour})
	if err := os.WriteFile(state, []byte("of a relay of last week"), 0o600); err != nil {
		t.Fatal(err)
	}
	relays.succeed(Config{Flush: time.Hour, State: state})
	if _, err := os.Lstat(state); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the state is still there: %v", err)
	}
	if err := relays.end(); err != nil {
		t.Error(err)
	}
}

func TestAStateOfAClockThatWasSetBackHoldsUpNothing(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9+3, 0)
	for _, c := range []struct {
		what           string
		due            int64
		last, wantLast int64
		want           int64
	}{
		{"no step", 10, -10, -10, 10},
		{"the interval is over", -10, -20, -20, -10},
		{"a year back", 365 * 86400, 365*86400 - 10, 0, 10},
		{"a year back, and a flush since", 10, 365 * 86400, 0, 10},
	} {
		base := int64(1e9)
		e := estate{Due: time.Unix(base+c.due, 0), LastStamp: base + c.last, Interval: 10 * time.Second}
		if c.wantLast != 0 {
			c.wantLast += base
		}
		due, last := e.ends(now)
		if due.Unix() != base+c.want || last != c.wantLast {
			t.Errorf("%s: the interval ends at %v, and the last stamp was %v, want %v and %v", c.what, due.Unix(), last, base+c.want, c.wantLast)
		}
	}
	s := (&summaryEstate{End: now.Add(time.Hour)}).summary(now.Add(time.Minute))
	if want := now.Add(time.Minute); !s.end.Equal(want) {
		t.Errorf("a summary's window ends at %v, want %v at the latest", s.end, want)
	}
}

func TestADamagedStateIsNone(t *testing.T) {
	t.Parallel()
	state := filepath.Join(t.TempDir(), "state")
	cfg := Config{UDP: local, Flush: time.Hour, State: state}
	r, stop := start(t, cfg)
	sendAll(t, r, dialUDP(t, r), 1, func(int) []byte { return []byte("c:2|c\nd:3|c") })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	for what, b := range map[string][]byte{
		"empty": {}, "cut": good[:len(good)-1], "longer": append([]byte("x"), good...),
		"flipped": append(append([]byte(nil), good[:len(good)/2]...), append([]byte{good[len(good)/2] ^ 1}, good[len(good)/2+1:]...)...),
	} {
		if err := os.WriteFile(state, b, 0o600); err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		r, err := New(cfg, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(what, err)
		}
		if r.agg.count != 0 || !strings.Contains(log.String(), "begins anew") {
			t.Errorf("%s: %d series, and the log says %q", what, r.agg.count, log.String())
		}
		r.Close()
	}
}

func TestAStateThatCanNotBeKeptEndsNoFlush(t *testing.T) {
	t.Parallel()
	kept := &keepingSink{}
	r, stop := start(t, Config{UDP: local, Flush: time.Hour, State: filepath.Join(t.TempDir(), "none", "state")}, kept)
	sendAll(t, r, dialUDP(t, r), 1, func(int) []byte { return []byte("c:2|c") })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if kept.total("c") != 2 {
		t.Errorf("the last flush has %v, want 2", kept.total("c"))
	}
}
