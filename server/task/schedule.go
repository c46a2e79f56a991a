package task

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/robfig/cron/v3"

	"addons/server/store"
)

// schedule is a kind that is due again and again.
type schedule struct {
	name  string
	times cron.Schedule
}

// replanAfter is how long a database that is down is left alone.
const replanAfter = 5 * time.Second

// Schedule has run called at the times of spec (the five fields of cron, in UTC,
// or @daily, @hourly, @every 10m), once for all processes that share the
// database. It is a Kind of the name, with the same retries; a time that passed
// while no worker ran is made up for, once. Before Run.
func (q *Queue) Schedule(spec, name string, run func(context.Context) error) error {
	times, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor).Parse(spec)
	if err != nil {
		return fmt.Errorf("task: schedule %s: %w", name, err)
	}
	Register(q, Kind[struct{}]{Name: name, Run: func(ctx context.Context, _ struct{}) error { return run(ctx) }})
	q.mu.Lock()
	defer q.mu.Unlock()
	q.schedules = append(q.schedules, schedule{name, times})
	return nil
}

// plan writes the next job of each schedule ahead of its time. The job's id is
// its time, so that it doesn't matter how many processes write it: the row is
// there from before the time until a worker has done it.
func (q *Queue) plan(ctx context.Context) {
	for {
		next, err := q.planNext(ctx, time.Now().UTC())
		if err != nil && ctx.Err() == nil {
			q.log.WarnContext(ctx, "task: cannot plan what is scheduled", "error", err)
			next = time.Now().Add(replanAfter)
		}
		if next.IsZero() {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(next)):
		}
	}
}

// planNext writes the jobs that come next after now, and returns when the first
// of them is due: zero if nothing is scheduled.
func (q *Queue) planNext(ctx context.Context, now time.Time) (time.Time, error) {
	q.mu.Lock()
	schedules := slices.Clone(q.schedules)
	q.mu.Unlock()
	var first time.Time
	var jobs []store.Job
	for _, s := range schedules {
		at := s.times.Next(now)
		if first.IsZero() || at.Before(first) {
			first = at
		}
		jobs = append(jobs, s.job(at))
	}
	if len(jobs) == 0 {
		return first, nil
	}
	return first, q.rows.Push(ctx, jobs...)
}

func (s schedule) job(at time.Time) store.Job {
	return store.Job{
		ID: s.name + "@" + at.UTC().Format("20060102T150405Z"), Kind: s.name, Payload: []byte("{}"),
		Created: at.UTC(), NotBefore: at.UTC(), // not yet old when it is due
	}
}
