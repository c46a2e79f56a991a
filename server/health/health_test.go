package health_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"addons/server/health"
	"addons/server/metrics"
)

func TestOnlyAnEssentialCheckFailsTheReport(t *testing.T) {
	broken := func(context.Context) error { return errors.New("refused") }
	c := health.New(metrics.New(nil))
	c.Add("search", false, broken)
	if r := c.Run(t.Context()); !r.OK || r.Checks[0].Error != "refused" {
		t.Errorf("got %+v, want OK with the error named", r)
	}
	c = health.New(metrics.New(nil))
	c.Add("database", true, broken)
	if r := c.Run(t.Context()); r.OK {
		t.Errorf("got %+v, want not OK", r)
	}
}

func TestAWedgedCheckFailsWithinItsTimeoutAndIsNotAskedAgainAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		wedge := make(chan struct{})
		c := health.New(metrics.New(nil))
		c.Add("cache", true, func(context.Context) error { calls.Add(1); <-wedge; return nil })
		start := time.Now()
		if r := c.Run(t.Context()); r.OK || time.Since(start) != 2*time.Second {
			t.Errorf("got %+v after %v, want a failure after 2s", r, time.Since(start))
		}
		c.Run(t.Context())
		if calls.Load() != 1 {
			t.Errorf("asked %d times within a second, want once", calls.Load())
		}
		time.Sleep(time.Minute)
		if r := c.Run(t.Context()); r.OK || calls.Load() != 1 {
			t.Errorf("got %+v after %d calls, want a failure without another call that would hang as well", r, calls.Load())
		}
		close(wedge)
		time.Sleep(time.Minute)
		if r := c.Run(t.Context()); !r.OK || calls.Load() != 2 {
			t.Errorf("got %+v after %d calls, want the check to be made again once it has come back", r, calls.Load())
		}
	})
}
