package task

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"addons/server/catalog"
	"addons/server/store"
)

const (
	// moveTime is how long a job that is in the database anyway waits for the
	// broker's confirm.
	moveTime = 5 * time.Second
	// moveBatch and moveAtOnce bound the moving.
	moveBatch  = 200
	moveAtOnce = 50
	// moveLease is how long a process may take over a batch that it moves: so long
	// do its jobs wait if it dies meanwhile.
	moveLease = 2 * moveTime * moveBatch / moveAtOnce
	// moveAgain is when a job that the broker did not take is tried again.
	moveAgain = 5 * time.Second
)

// broker keeps jobs in RabbitMQ. The database is its outbox: what transactions
// wrote, what the broker would not take, and what is to be tried again later
// waits there, and is moved to the broker when it is due.
type broker struct {
	wire  *wire
	rows  Rows
	log   *slog.Logger
	sweep time.Duration
	// confirm is how long a page waits for the broker's confirm before its job goes
	// to the database instead.
	confirm time.Duration

	stop   context.CancelFunc
	moving sync.WaitGroup
	wake   chan struct{} // cap 1: rows may be due now
	move   sync.Mutex    // one batch at a time
}

func newBroker(ctx context.Context, o options, q *Queue) *broker {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	b := &broker{
		wire:    newWire(o.address, o.queue, q.meters.broker, q.log),
		rows:    q.rows,
		log:     q.log,
		sweep:   o.sweep,
		confirm: o.confirm,
		stop:    stop,
		wake:    make(chan struct{}, 1),
	}
	b.moving.Go(func() { b.wire.keepPublishing(ctx, b.poke) })
	b.moving.Go(func() { b.keepMoving(ctx) })
	return b
}

func (b *broker) name() string { return "amqp" }

// send gives the job to the broker or, if that does not confirm it in time, to
// the database: then it may run twice.
func (b *broker) send(ctx context.Context, job store.Job) error {
	limited, cancel := context.WithTimeout(ctx, b.confirm)
	defer cancel()
	err := b.wire.publish(limited, b.wire.queue, job, "")
	if err == nil || ctx.Err() != nil {
		return err
	}
	return b.rows.Push(ctx, job)
}

func (b *broker) poke() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// keepMoving moves rows every sweep and whenever it is woken, until ctx ends.
func (b *broker) keepMoving(ctx context.Context) {
	tick := time.NewTicker(b.sweep)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-b.wake:
		}
		if err := b.flush(ctx); err != nil && !errors.Is(err, errDown) && ctx.Err() == nil {
			b.log.WarnContext(ctx, "task: jobs stay in the database", "error", err)
		}
	}
}

// flush moves every row that is due.
func (b *broker) flush(ctx context.Context) error {
	b.move.Lock()
	defer b.move.Unlock()
	for {
		if !b.wire.open() {
			return errDown
		}
		// Not cut short by ctx, or what was leased would lie there for moveLease.
		jobs, err := b.rows.Lease(context.WithoutCancel(ctx), time.Now().UTC(), func(string) time.Duration { return moveLease }, moveBatch)
		if err != nil || len(jobs) == 0 {
			return err
		}
		if err := b.moveAll(ctx, jobs); err != nil {
			return err
		}
	}
}

// moveAll moves a batch and returns what went wrong with some job of it.
func (b *broker) moveAll(ctx context.Context, jobs []store.Job) error {
	errs := make([]error, len(jobs))
	var all sync.WaitGroup
	some := newPool(moveAtOnce)
	for i, job := range jobs {
		some.slots <- struct{}{}
		all.Go(func() {
			defer some.release()
			errs[i] = b.moveOne(ctx, job)
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// moveOne deletes the row after the broker's confirm. If the process dies between
// the two the job runs twice.
func (b *broker) moveOne(ctx context.Context, job store.Job) error {
	limited, cancel := context.WithTimeout(ctx, moveTime)
	defer cancel()
	lease := job.ID
	job.Attempt-- // the lease counted one that no worker made
	if err := b.wire.publish(limited, b.wire.queue, job, ""); err != nil {
		return errors.Join(err, b.rows.Retry(context.WithoutCancel(ctx), lease, time.Now().UTC().Add(moveAgain), reason(err)))
	}
	return b.rows.Done(context.WithoutCancel(ctx), lease)
}

func (b *broker) receive(ctx context.Context, p *pool, run func(delivery)) {
	b.wire.keepConsuming(ctx, p, func(m message) {
		m.job.Attempt++
		run(b.delivery(m))
	})
}

func (b *broker) delivery(m message) delivery {
	return delivery{
		job:  m.job,
		lost: m.lost,
		done: func(context.Context) error { m.settle(acknowledge); return nil },
		retry: func(ctx context.Context, at time.Time, _ string) error {
			again := m.job
			again.ID, again.NotBefore = retryID(m.job.ID, m.job.Attempt), at
			if err := b.rows.Push(ctx, again); err != nil {
				return err
			}
			m.settle(acknowledge)
			return nil
		},
		dead: func(ctx context.Context, reason string) error {
			limited, cancel := context.WithTimeout(ctx, moveTime)
			defer cancel()
			if err := b.wire.publish(limited, b.wire.deadQueue(), m.job, reason); err != nil {
				m.settle(refuse) // the broker itself moves it, without the reason
				return nil
			}
			m.settle(acknowledge)
			return nil
		},
		giveUp: func() { m.settle(giveBack) },
	}
}

// retryID is a new id for each attempt: the row that the job came from may not
// have been deleted yet, and deleting it must not delete the next attempt.
func retryID(id string, attempt int) string {
	id, _, _ = strings.Cut(id, "~")
	return id + "~" + strconv.Itoa(attempt)
}

// stats of a broker that is down are those of the database, with errDown.
func (b *broker) stats(ctx context.Context) (Stats, error) {
	s, err := b.wire.stats(ctx)
	waiting, leased, dead, oldest, rowsErr := b.rows.Depth(ctx)
	if rowsErr != nil {
		return s, rowsErr
	}
	s.Waiting += waiting + leased // leased rows are being moved
	s.Dead += dead
	if s.Oldest.IsZero() || !oldest.IsZero() && oldest.Before(s.Oldest) {
		s.Oldest = oldest
	}
	return s, err
}

// dead gives the dead letters first, and then the rows that died when the
// database was the queue.
func (b *broker) dead(ctx context.Context, limit int) ([]store.Job, error) {
	jobs, err := b.wire.letters(ctx, limit)
	if err != nil || len(jobs) >= limit {
		return jobs, err
	}
	rows, err := b.rows.DeadJobs(ctx, limit-len(jobs))
	return append(jobs, rows...), err
}

// replay looks among the dead letters, and then among the rows, where dead ones
// may be from when the database was the queue.
func (b *broker) replay(ctx context.Context, id string) error {
	found, err := b.wire.replay(ctx, id)
	if found || err != nil {
		return err
	}
	if err := b.rows.Replay(ctx, id); err != nil {
		return err
	}
	b.poke()
	return nil
}

// check waits for the first attempt to connect: who asks right after the start is to hear how
// the broker is, not that nobody has looked.
func (b *broker) check(ctx context.Context) error {
	select {
	case <-b.wire.tried:
	case <-ctx.Done():
	}
	if !b.wire.open() {
		return fmt.Errorf("%w: jobs wait in the database", catalog.ErrUnavailable)
	}
	_, err := b.wire.stats(ctx)
	return err
}

func (b *broker) close() error {
	b.stop()
	b.moving.Wait()
	return nil
}
