// Package health answers whether the platform works: named checks that really
// use each backend, run side by side under a deadline and remembered for a
// moment, so that a monitor that asks often does not become a load of its own.
package health

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"addons/server/metrics"
)

const (
	// timeout of one check: a wedged backend is a failed check, not a hanging page.
	timeout = 2 * time.Second
	// remembered is how long a report answers further callers.
	remembered = time.Second
)

// Version is Dockerflow's version object.
// https://github.com/mozilla-services/Dockerflow/blob/main/docs/version_object.md
type Version struct {
	Source  string `json:"source"`
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Build   string `json:"build"`
}

// Checks is a set of named checks. Safe for concurrent use.
type Checks struct {
	state *metrics.GaugeVec
	took  *metrics.HistogramVec

	checks []*check

	mu   sync.Mutex
	last Report
}

type check struct {
	name      string
	essential bool
	run       func(context.Context) error
	hangs     atomic.Bool // it has begun and not ended
}

// Report is what the checks found.
type Report struct {
	// OK: every essential check passed. Others degrade the site without stopping it.
	OK     bool
	Checks []Result
	At     time.Time
}

// Result of one check.
type Result struct {
	Name      string
	Essential bool
	Error     string // "" when it passed
	Took      time.Duration
}

// New returns an empty set; Add fills it before the first Run.
func New(reg *metrics.Registry) *Checks {
	return &Checks{
		state: reg.Gauge(metrics.Desc{
			Name: "addons_health_check_up", Help: "1 if the check passed when it was last run, 0 if it failed.",
			Labels: []metrics.Label{metrics.L("check")},
		}),
		took: reg.Histogram(metrics.Desc{
			Name: "addons_health_check_seconds", Help: "Time that a health check took.",
			Labels: []metrics.Label{metrics.L("check")}, Keys: []string{"monitor.{check}"}, Debug: true,
		}),
	}
}

// Add adds a check. An essential one makes the whole report fail.
func (c *Checks) Add(name string, essential bool, run func(context.Context) error) {
	c.checks = append(c.checks, &check{name: name, essential: essential, run: run})
	c.state.With(name)
	c.took.With(name)
}

// Run runs all checks at once, each within two seconds, or returns the report of
// less than a second ago.
func (c *Checks) Run(ctx context.Context) Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.last.At) < remembered {
		return c.last
	}
	report := Report{OK: true, Checks: make([]Result, len(c.checks))}
	var wait sync.WaitGroup
	for i, check := range c.checks {
		wait.Go(func() { report.Checks[i] = c.run(ctx, check) })
	}
	wait.Wait()
	for _, r := range report.Checks {
		report.OK = report.OK && (r.Error == "" || !r.Essential)
	}
	report.At = time.Now()
	c.last = report
	return report
}

func (c *Checks) run(ctx context.Context, check *check) Result {
	start := time.Now()
	err := check.bounded(ctx)
	result := Result{Name: check.name, Essential: check.essential, Took: time.Since(start)}
	up := 1.0
	if err != nil {
		result.Error, up = err.Error(), 0
	}
	c.state.With(check.name).Set(up)
	if !errors.Is(err, errHangs) {
		c.took.With(check.name).Observe(ctx, result.Took)
	}
	return result
}

// errHangs: a backend that does not even take notice of a deadline, such as a
// network file system that is gone, must not gather a goroutine at every monitor's call.
var errHangs = errors.New("has not come back since it was last tried")

func (check *check) bounded(ctx context.Context) error {
	if check.hangs.Swap(true) {
		return errHangs
	}
	// A caller that goes away must not fail the report that others are given.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		err := check.run(ctx)
		check.hangs.Store(false)
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("no answer within %v", timeout)
	}
}
