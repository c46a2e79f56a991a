package task

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"addons/server/store"
)

// database keeps jobs as rows. A worker leases them, so that those of a worker
// that died come back when the lease ends.
type database struct {
	rows  Rows
	queue *Queue
	poll  time.Duration
	lease time.Duration
	log   *slog.Logger
	wake  chan struct{} // cap 1: something may be due now
}

// leaseMargin is what a lease is longer than an attempt may take: enough to tell
// the database how it went while that is slow.
const leaseMargin = 30 * time.Second

func newDatabase(o options, q *Queue) *database {
	return &database{rows: q.rows, queue: q, poll: o.poll, lease: o.lease, log: q.log, wake: make(chan struct{}, 1)}
}

func (d *database) name() string { return "database" }

func (d *database) send(ctx context.Context, job store.Job) error {
	if err := d.rows.Push(ctx, job); err != nil {
		return err
	}
	return d.flush(ctx)
}

// flush wakes the workers of this process; others look every poll.
func (d *database) flush(context.Context) error {
	select {
	case d.wake <- struct{}{}:
	default:
	}
	return nil
}

func (d *database) receive(ctx context.Context, p *pool, run func(delivery)) {
	var begun sync.WaitGroup
	defer begun.Wait()
	for p.acquire(ctx) {
		slots := 1
		for p.tryAcquire() {
			slots++
		}
		// Not cut short by ctx: jobs leased by a call that was given up would lie
		// there until the lease ends. The store has its own time limit.
		jobs, err := d.rows.Lease(context.WithoutCancel(ctx), time.Now().UTC(), d.leaseTime, slots)
		if err != nil {
			d.log.Warn("task: no jobs from the database", "error", err)
		}
		for _, job := range jobs {
			begun.Go(func() {
				defer p.release()
				run(d.delivery(job))
			})
		}
		for range slots - len(jobs) {
			p.release()
		}
		if len(jobs) < slots {
			d.rest(ctx)
		}
	}
}

// rest waits until something may be due.
func (d *database) rest(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-d.wake:
	case <-time.After(d.poll):
	}
}

// leaseTime is each kind's own: a job of seconds does not wait for the lease of one of minutes.
func (d *database) leaseTime(kind string) time.Duration {
	if d.lease > 0 {
		return d.lease
	}
	return d.queue.kind(kind).timeout + leaseMargin
}

func (d *database) delivery(job store.Job) delivery {
	id := job.ID
	return delivery{
		job:  job,
		done: func(ctx context.Context) error { return d.rows.Done(ctx, id) },
		retry: func(ctx context.Context, at time.Time, reason string) error {
			return d.rows.Retry(ctx, id, at, reason)
		},
		dead:   func(ctx context.Context, reason string) error { return d.rows.Dead(ctx, id, reason) },
		giveUp: func() {}, // the lease ends by itself
	}
}

func (d *database) stats(ctx context.Context) (Stats, error) {
	var s Stats
	var err error
	s.Waiting, s.Leased, s.Dead, s.Oldest, err = d.rows.Depth(ctx)
	return s, err
}

func (d *database) dead(ctx context.Context, limit int) ([]store.Job, error) {
	return d.rows.DeadJobs(ctx, limit)
}

func (d *database) replay(ctx context.Context, id string) error {
	if err := d.rows.Replay(ctx, id); err != nil {
		return err
	}
	return d.flush(ctx)
}

func (d *database) check(ctx context.Context) error {
	if _, err := d.stats(ctx); err != nil {
		return fmt.Errorf("jobs: %w", err)
	}
	return nil
}

func (d *database) close() error { return nil }
