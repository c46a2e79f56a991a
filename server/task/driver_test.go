package task

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"addons/server/metrics"
)

func FuzzParse(f *testing.F) {
	for _, url := range []string{"database:?poll=1s&lease=2m", "amqp://u:p@h:1/v?queue=q&sweep=1s&backoff=1ms", "amqp://%zz", "amqps:", "database:?poll=%"} {
		f.Add(url)
	}
	f.Fuzz(func(t *testing.T, url string) {
		o, err := parse(url)
		if err == nil && (o.queue == "" || o.poll <= 0 || o.sweep <= 0 || o.backoff <= 0 || o.lease < 0) {
			t.Errorf("parse(%q) = %+v", url, o)
		}
	})
}

func TestBackoffDoublesUpToItsLongest(t *testing.T) {
	b := backoff{base: time.Second, longest: time.Minute}
	for attempt, most := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 7: time.Minute, 1000: time.Minute} {
		for range 100 {
			if d := b.after(attempt); d < most/2 || d > most {
				t.Fatalf("after(%d) = %v, want between half of %v and that", attempt, d, most)
			}
		}
	}
}

func TestAReasonIsAlwaysText(t *testing.T) {
	for _, why := range []string{strings.Repeat("é", 300), "x" + strings.Repeat("é", 300), "at \xff"} {
		if r := reason(errors.New(why)); !utf8.ValidString(r) || len(r) > 510 {
			t.Errorf("reason(%.5q…) = %q", why, r)
		}
	}
}

func TestALeaseIsAsLongAsItsKindMayTake(t *testing.T) {
	q, err := Open(t.Context(), "database:", nil, metrics.New(nil), nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	run := func(context.Context, struct{}) error { return nil }
	Register(q, Kind[struct{}]{Name: "quick", Timeout: time.Second, Run: run})
	Register(q, Kind[struct{}]{Name: "nightly", Timeout: time.Hour, Run: run})
	for kind, want := range map[string]time.Duration{"quick": time.Second, "nightly": time.Hour, "of another build": defaultTimeout} {
		if got := q.driver.(*database).leaseTime(kind); got != want+leaseMargin {
			t.Errorf("%s: %v, want %v and %v", kind, got, want, leaseMargin)
		}
	}
}
