package web

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"addons/server/metrics"
)

func TestTheLogIsToldOfEachRouteOnceAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		reg := metrics.New(nil)
		w := &Web{Config: Config{Log: slog.New(slog.NewTextHandler(&log, nil))}, meter: newMeter(reg)}
		a, b := w.meter.endpoint(route{pattern: "/a", queries: 2}), w.meter.endpoint(route{pattern: "/b", queries: 2})
		_, ledger := metrics.Begin(t.Context(), "")
		for range 10 {
			a.budget.check(w, ledger, 2) // all that it may
			a.budget.check(w, ledger, 3)
			b.budget.check(w, ledger, 3)
			time.Sleep(tellEvery / 4)
		}
		if got := strings.Count(log.String(), "route=/a"); got != 3 {
			t.Errorf("told %d times in two and a half minutes, want 3", got)
		}
		if got := strings.Count(log.String(), "route=/b"); got != 3 {
			t.Errorf("told %d times of another route, want 3", got)
		}
		if got := a.budget.exceeded.Value(); got != 10 {
			t.Errorf("%v requests counted, want all 10", got)
		}
	})
}
