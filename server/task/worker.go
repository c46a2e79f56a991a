package task

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"addons/server/metrics"
	"addons/server/store"
)

const (
	// maxLost is how many workers may die over a job before it is dead: it may be
	// what kills them. Restarts of workers and brokers count too, so it is generous.
	maxLost = 10
	// settleTime is how long a worker tries to say how a job went before it leaves
	// that to whoever gets the job next.
	settleTime = 10 * time.Second
	// sampleEvery is how often the queue's depth is measured.
	sampleEvery = 5 * time.Second
)

// Run works on jobs, as many at a time as workers, until ctx ends; it returns
// when those begun have ended, each within its Timeout. Its error is ctx's, nil
// if that was only cancelled.
func (q *Queue) Run(ctx context.Context, workers int) error {
	ctx = store.Latest(ctx) // a task was told of a commit, and has to see it
	var others sync.WaitGroup
	others.Go(func() { q.sample(ctx) })
	others.Go(func() { q.plan(ctx) })
	q.driver.receive(ctx, newPool(max(workers, 1)), func(d delivery) { q.work(context.WithoutCancel(ctx), d) })
	others.Wait()
	if err := ctx.Err(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// work makes one attempt at a job and tells the driver how it went.
func (q *Queue) work(ctx context.Context, d delivery) {
	ctx, _ = metrics.Begin(metrics.Into(ctx, q.reg), d.job.Trace)
	k := q.kind(d.job.Kind)
	if err := lost(d, k); err != nil {
		q.bury(ctx, d, k, err)
		return
	}
	start := time.Now()
	k.meters.wait.Observe(ctx, max(0, start.Sub(d.job.NotBefore)))
	err := q.attempt(ctx, d, k)
	if err == nil {
		k.meters.runtime(done).Observe(ctx, time.Since(start))
		k.meters.done.Inc()
		q.settle(ctx, d, d.done)
		return
	}
	k.meters.runtime(failed).Observe(ctx, time.Since(start))
	k.meters.failed.Inc()
	if permanent(err) || d.job.Attempt >= k.attempts {
		q.bury(ctx, d, k, err)
		return
	}
	q.again(ctx, d, k, err)
}

// lost says that a job must not be begun once more: nobody who began it was heard of again.
func lost(d delivery, k *kind) error {
	if d.job.Attempt > k.attempts || d.lost > maxLost {
		return fmt.Errorf("begun %d times and never ended: its workers may have died of it", max(d.job.Attempt-1, d.lost))
	}
	return nil
}

// unknown stands for a kind that this build does not have: one that does may be next.
func (q *Queue) unknown() *kind {
	return &kind{
		name: "unknown", timeout: defaultTimeout, attempts: defaultAttempts, meters: q.meters.kind("unknown"),
		run: func(context.Context, []byte) error { return errors.New("this build has no such kind of task") },
	}
}

// attempt runs the handler. A panic is recorded and an error.
func (q *Queue) attempt(ctx context.Context, d delivery, k *kind) (err error) {
	ctx, cancel := context.WithTimeout(ctx, k.timeout)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			q.faults.Panic(ctx, where(k), v, debug.Stack())
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return k.run(ctx, d.job.Payload)
}

func where(k *kind) string { return "task " + k.name }

// again has the job tried later.
func (q *Queue) again(ctx context.Context, d delivery, k *kind, cause error) {
	wait := q.backoff.after(d.job.Attempt)
	q.log.WarnContext(ctx, "task: failed, will be tried again",
		"kind", d.job.Kind, "id", d.job.ID, "attempt", d.job.Attempt, "wait", wait, "error", cause, "trace", traceOf(ctx))
	k.meters.retried.Inc()
	q.settle(ctx, d, func(ctx context.Context) error { return d.retry(ctx, time.Now().UTC().Add(wait), reason(cause)) })
}

// bury puts the job aside, for a person to look at and to Replay.
func (q *Queue) bury(ctx context.Context, d delivery, k *kind, cause error) {
	k.meters.dead.Inc()
	q.faults.Error(ctx, where(k), cause)
	q.log.ErrorContext(ctx, "task: dead",
		"kind", d.job.Kind, "id", d.job.ID, "attempt", d.job.Attempt, "error", cause, "trace", traceOf(ctx))
	q.settle(ctx, d, func(ctx context.Context) error { return d.dead(ctx, reason(cause)) })
}

// settle tries for a while to tell the driver how the job went.
func (q *Queue) settle(ctx context.Context, d delivery, tell func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	wait := backoff{base: 100 * time.Millisecond, longest: 2 * time.Second}
	for attempt := 1; ; attempt++ {
		err := tell(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			q.log.ErrorContext(ctx, "task: ended, but could not say so: it will run again", "kind", d.job.Kind, "id", d.job.ID, "error", err)
			d.giveUp()
			return
		case <-time.After(wait.after(attempt)):
		}
	}
}

// reason is an error's text, cut to what a row or a header takes well.
func reason(err error) string {
	const longest = 500
	s := err.Error()
	if len(s) > longest {
		s = s[:longest]
	}
	return strings.ToValidUTF8(s, "�") // MySQL refuses a text with half a letter at its end
}

func traceOf(ctx context.Context) string {
	if l := metrics.From(ctx); l != nil {
		return l.TraceID
	}
	return ""
}

// sample keeps the gauges of the queue's depth.
func (q *Queue) sample(ctx context.Context) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		switch s, err := q.Stats(ctx); {
		case err == nil:
			q.meters.depth(s, time.Now())
		case errors.Is(err, errDown): // what waits for the broker is what people want to see then
			q.meters.backlog(s, time.Now())
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
