package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"addons/server/catalog"
)

// Job is one unit of work that waits in the database.
type Job struct {
	ID        string // up to 64 characters; one is made if it is empty
	Kind      string
	Payload   []byte
	Attempt   int       // how often it was leased: 1 the first time
	NotBefore time.Time // zero: at once
	Created   time.Time // zero: now
	Trace     string    // traceparent of the request that sent it
	Reason    string    // why it failed last; read by DeadJobs only
}

// maxReason bounds what is kept of an error.
const maxReason = 4096

// Push writes jobs, all of them or none. One whose ID is there already is the same
// job, and is left as it is.
func (db *DB) Push(ctx context.Context, jobs ...Job) error {
	if len(jobs) == 0 {
		return nil
	}
	err := db.tx(ctx, func(h handle) error { return h.push(ctx, time.Now(), jobs) })
	if err != nil {
		return fmt.Errorf("push %d jobs: %w", len(jobs), err)
	}
	return nil
}

func (h handle) push(ctx context.Context, now time.Time, jobs []Job) error {
	rows := make([][]any, len(jobs))
	for i, j := range jobs {
		if j.ID == "" {
			j.ID = newID()
		}
		if j.Created.IsZero() {
			j.Created = now
		}
		if j.NotBefore.IsZero() {
			j.NotBefore = j.Created
		}
		if j.Payload == nil {
			j.Payload = []byte{}
		}
		rows[i] = []any{j.ID, j.Kind, j.Payload, j.Attempt, 0, 0, micros(j.NotBefore), micros(j.Created), j.Trace, ""}
	}
	return h.insertRows(ctx, qJobPush, jobsTable, rows, h.d.onConflict("id"))
}

// newID is a random UUID.
func newID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Lease hands out jobs that are due, the longest waiting first, to one caller each.
// A job that is neither Done nor put back when its kind's lease ends is handed out again:
// its worker has died.
func (db *DB) Lease(ctx context.Context, now time.Time, lease func(kind string) time.Duration, limit int) ([]Job, error) {
	// Look first: an empty queue, which is asked all the time, costs no transaction.
	var id string
	err := db.latest().one(ctx, qJobLease, "SELECT id FROM jobs WHERE dead = 0 AND due <= ? LIMIT 1", into{&id}, micros(now))
	if errors.Is(err, catalog.ErrNotFound) {
		return nil, nil
	}
	var jobs []Job
	if err == nil {
		err = db.tx(ctx, func(h handle) (err error) {
			jobs, err = h.lease(ctx, now, lease, limit)
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("lease jobs: %w", err)
	}
	return jobs, nil
}

func (h handle) lease(ctx context.Context, now time.Time, lease func(kind string) time.Duration, limit int) ([]Job, error) {
	jobs, err := list(ctx, h, qJobLease, `SELECT id, kind, payload, attempt, due, created, trace FROM jobs
		WHERE dead = 0 AND due <= ? ORDER BY due, created LIMIT ?`+h.d.skipLocked, []any{micros(now), limit}, func(r row, j *Job) error {
		return r.Scan(&j.ID, &j.Kind, &j.Payload, &j.Attempt, fromMicros(&j.NotBefore), fromMicros(&j.Created), &j.Trace)
	})
	if err != nil || len(jobs) == 0 {
		return nil, err
	}
	ends := map[time.Duration][]any{} // ids by how long they are leased: kinds are few
	for i := range jobs {
		jobs[i].Attempt++
		l := lease(jobs[i].Kind)
		ends[l] = append(ends[l], jobs[i].ID)
	}
	for l, ids := range ends {
		args := append([]any{micros(now.Add(l))}, ids...)
		if _, err := h.exec(ctx, qJobLease, "UPDATE jobs SET leased = 1, attempt = attempt + 1, due = ? WHERE id IN "+in(len(ids)), args...); err != nil {
			return nil, err
		}
	}
	return jobs, nil
}

// Done forgets a job. That it is forgotten already is fine.
func (db *DB) Done(ctx context.Context, id string) error {
	if _, err := db.alone(ctx, qJobDone, "DELETE FROM jobs WHERE id = ?", id); err != nil {
		return fmt.Errorf("job %s done: %w", id, err)
	}
	return nil
}

// Retry puts a leased job back until a time; reason says why.
func (db *DB) Retry(ctx context.Context, id string, at time.Time, reason string) error {
	return db.setJob(ctx, qJobRetry, "retry", id, "leased = 0, due = ?, reason = ? WHERE id = ? AND dead = 0", micros(at), cut(reason, maxReason), id)
}

// Dead puts a job aside until Replay; reason says why.
func (db *DB) Dead(ctx context.Context, id, reason string) error {
	return db.setJob(ctx, qJobDead, "dead", id, "dead = 1, leased = 0, reason = ? WHERE id = ?", cut(reason, maxReason), id)
}

// Replay gives a dead job all its attempts again.
func (db *DB) Replay(ctx context.Context, id string) error {
	return db.setJob(ctx, qJobReplay, "replay", id, "dead = 0, attempt = 0, due = ? WHERE id = ? AND dead = 1", micros(time.Now()), id)
}

// setJob updates one job; ErrNotFound if there is none in that state.
func (db *DB) setJob(ctx context.Context, q query, verb, id, text string, args ...any) error {
	changed, err := db.alone(ctx, q, "UPDATE jobs SET "+text, args...)
	if err == nil && changed == 0 {
		err = catalog.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("%s job %s: %w", verb, id, err)
	}
	return nil
}

// DeadJobs returns jobs that were put aside, the longest dead first, for Replay.
func (db *DB) DeadJobs(ctx context.Context, limit int) ([]Job, error) {
	return list(ctx, db.latest(), qJobsDead, `SELECT id, kind, payload, attempt, created, trace, reason FROM jobs
		WHERE dead = 1 ORDER BY due LIMIT ?`, []any{limit}, func(r row, j *Job) error {
		return r.Scan(&j.ID, &j.Kind, &j.Payload, &j.Attempt, fromMicros(&j.Created), &j.Trace, &j.Reason)
	})
}

// Depth returns how many jobs wait, are being worked on, and are dead, and when
// the oldest that could be worked on by now was created; zero if there is none.
func (db *DB) Depth(ctx context.Context) (waiting, leased, dead int, oldest time.Time, err error) {
	now := micros(time.Now())
	var first int64
	err = db.latest().one(ctx, qJobDepth, `SELECT
		COALESCE(SUM(CASE WHEN dead = 0 AND (leased = 0 OR due <= ?) THEN 1 ELSE 0 END), 0),
		COALESCE(SUM(CASE WHEN dead = 0 AND leased = 1 AND due > ? THEN 1 ELSE 0 END), 0),
		COALESCE(SUM(CASE WHEN dead = 1 THEN 1 ELSE 0 END), 0),
		COALESCE(MIN(CASE WHEN dead = 0 AND due <= ? THEN created END), 0) FROM jobs`,
		into{&waiting, &leased, &dead, &first}, now, now, now)
	if first != 0 {
		oldest = time.UnixMicro(first).UTC()
	}
	return waiting, leased, dead, oldest, err
}
