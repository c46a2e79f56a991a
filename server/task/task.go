// Package task runs work after the answer was given: each piece at least once,
// in no promised order, tried again when it fails, and put aside with its reason
// when it goes on failing. Handlers must therefore not mind being run twice.
//
// A job that Send took, or that store.Save wrote in its transaction, is not lost:
// it waits in the database, or in RabbitMQ after the broker confirmed it, and
// while the broker is down in the database.
package task

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"addons/server/catalog"
	"addons/server/metrics"
	"addons/server/store"
)

// Kind is one sort of work.
type Kind[T any] struct {
	Name     string        // "index_addon": of a closed set in the code, the metrics' label
	Timeout  time.Duration // of one attempt; 0 is a minute
	Attempts int           // how many before it is dead; 0 is 5
	// Run does it. An error is tried again after a while, one that wraps
	// catalog.ErrInvalid is not. ctx ends after Timeout, and does not end when the
	// worker is asked to stop: what was begun is finished.
	Run func(ctx context.Context, payload T) error
}

const (
	defaultTimeout  = time.Minute
	defaultAttempts = 5
	// longestWait between two attempts: what is down is up again by then, or takes a while anyway.
	longestWait = 10 * time.Minute
	// maxPayload: a job carries ids, not what they stand for. Brokers are slow and
	// short of memory with larger messages.
	maxPayload = 256 << 10
)

// Task is a Kind that a Queue knows.
type Task[T any] struct {
	queue *Queue
	kind  *kind
}

// kind is a Kind without its type.
type kind struct {
	name     string
	timeout  time.Duration
	attempts int
	run      func(ctx context.Context, payload []byte) error
	meters   kindMeters
}

// Register makes the kind known to the queue, before Run. A name that is taken
// is a programmer's mistake and panics.
func Register[T any](q *Queue, k Kind[T]) *Task[T] {
	if k.Timeout == 0 {
		k.Timeout = defaultTimeout
	}
	if k.Attempts == 0 {
		k.Attempts = defaultAttempts
	}
	known := &kind{name: k.Name, timeout: k.Timeout, attempts: k.Attempts, meters: q.meters.kind(k.Name)}
	known.run = func(ctx context.Context, raw []byte) error {
		var payload T
		if err := json.Unmarshal(raw, &payload); err != nil {
			return fmt.Errorf("%w: payload: %w", catalog.ErrInvalid, err)
		}
		return k.Run(ctx, payload)
	}
	q.register(known)
	return &Task[T]{q, known}
}

// Send hands over one job. When it returns nil the job is on disk. It takes at
// the most half a second longer than the database when the broker is down.
func (t *Task[T]) Send(ctx context.Context, payload T) error {
	job, err := t.job(ctx, payload)
	if err == nil {
		err = t.queue.driver.send(ctx, job)
	}
	if err != nil {
		return fmt.Errorf("task %s: send: %w", t.kind.name, err)
	}
	t.kind.meters.sent.Inc()
	return nil
}

// Job makes a job that store.Save writes in its transaction: if that is rolled
// back, nothing was sent. Workers find it within a second or so of the commit;
// at once with Queue.Flush. A payload that JSON cannot hold panics: it is the
// programmer's mistake.
func (t *Task[T]) Job(ctx context.Context, payload T) store.Job {
	job, err := t.job(ctx, payload)
	if err != nil {
		panic(fmt.Sprintf("task %s: %v", t.kind.name, err))
	}
	t.kind.meters.sent.Inc()
	return job
}

func (t *Task[T]) job(ctx context.Context, payload T) (store.Job, error) {
	raw, err := json.Marshal(payload)
	if err != nil {
		return store.Job{}, fmt.Errorf("%w: payload: %w", catalog.ErrInvalid, err)
	}
	if len(raw) > maxPayload {
		return store.Job{}, fmt.Errorf("%w: payload of %d bytes is over %d: send ids, in chunks", catalog.ErrInvalid, len(raw), maxPayload)
	}
	now := time.Now().UTC()
	return store.Job{ID: newID(), Kind: t.kind.name, Payload: raw, Created: now, NotBefore: now, Trace: traceparent(ctx)}, nil
}

// Chunk cuts ids into pieces of n, the last one shorter.
func Chunk[T any](ids []T, n int) [][]T { return slices.Collect(slices.Chunk(ids, n)) }

// Rows is the queue in the database; *store.DB is one.
type Rows interface {
	Push(ctx context.Context, jobs ...store.Job) error
	Lease(ctx context.Context, now time.Time, lease func(kind string) time.Duration, limit int) ([]store.Job, error)
	Done(ctx context.Context, id string) error
	Retry(ctx context.Context, id string, at time.Time, reason string) error
	Dead(ctx context.Context, id, reason string) error
	Replay(ctx context.Context, id string) error
	DeadJobs(ctx context.Context, limit int) ([]store.Job, error)
	Depth(ctx context.Context) (waiting, leased, dead int, oldest time.Time, err error)
}

// Faults takes what somebody should look at; *fault.Recorder is one.
type Faults interface {
	Error(ctx context.Context, where string, err error)
	Panic(ctx context.Context, where string, value any, stack []byte)
}

// Queue is where jobs wait, whichever the driver. Safe for concurrent use.
type Queue struct {
	driver  driver
	rows    Rows
	backoff backoff
	faults  Faults
	reg     *metrics.Registry
	log     *slog.Logger
	meters  *meters

	mu        sync.Mutex
	kinds     map[string]*kind
	schedules []schedule
}

// Open returns the queue of the URL, whose jobs wait in the database or go
// through it while the broker is down:
//
//	database:?poll=1s&lease=2m
//	amqp://user:password@host:5672/vhost?queue=addons
//
// Parameters: backoff (before the second attempt, doubling from there, 1s); of
// database: poll (how often it looks for jobs that others wrote) and lease (after
// which a job of a worker that died is given to another; by default a little
// longer than the longest kind's Timeout); of amqp: queue (its name; dead letters
// are in the queue of that name + ".dead"), sweep (how often jobs that wait in the
// database are looked for, 1s) and confirm (how long Send waits for the broker to
// confirm a job before it leaves it to the database, 500ms).
//
// A broker that is down is no error: it is connected to when it is back. faults may be nil.
func Open(ctx context.Context, rawURL string, rows Rows, reg *metrics.Registry, faults Faults, log *slog.Logger) (*Queue, error) {
	o, err := parse(rawURL)
	if err != nil {
		return nil, err
	}
	q := &Queue{
		rows:    rows,
		backoff: backoff{base: o.backoff, longest: longestWait},
		faults:  faults,
		reg:     reg,
		log:     log,
		meters:  newMeters(reg),
		kinds:   map[string]*kind{},
	}
	if faults == nil {
		q.faults = noFaults{}
	}
	q.driver = o.open(ctx, q)
	return q, nil
}

type noFaults struct{}

func (noFaults) Error(context.Context, string, error)       {}
func (noFaults) Panic(context.Context, string, any, []byte) {}

func (q *Queue) register(k *kind) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.kinds[k.name] != nil {
		panic(fmt.Sprintf("task: kind %q is registered twice", k.name))
	}
	q.kinds[k.name] = k
}

// kind returns the kind of the name, nil if it is unknown here.
func (q *Queue) kind(name string) *kind {
	q.mu.Lock()
	defer q.mu.Unlock()
	if k := q.kinds[name]; k != nil {
		return k
	}
	return q.unknown()
}

// Name is the driver's: "database" or "amqp".
func (q *Queue) Name() string { return q.driver.name() }

// Flush has what transactions wrote go out now rather than at the next look. An
// error that wraps catalog.ErrUnavailable means that the broker is down, and that
// the jobs go out when it is back.
func (q *Queue) Flush(ctx context.Context) error {
	if err := q.driver.flush(ctx); err != nil {
		return fmt.Errorf("task: flush: %w", err)
	}
	return nil
}

// Stats is how many jobs there are.
type Stats struct {
	Waiting int // due now, or later (retries and schedules)
	Leased  int // with a worker; of a broker: with a worker of this process
	Dead    int
	// Oldest is when the job that has waited longest was due, zero if none waits.
	// Of a broker it is the earliest that it can be.
	Oldest time.Time
}

// Stats asks the driver. With an error that wraps catalog.ErrUnavailable because
// the broker is down it has what waits in the database.
func (q *Queue) Stats(ctx context.Context) (Stats, error) {
	s, err := q.driver.stats(ctx)
	if err != nil {
		return s, fmt.Errorf("task: stats: %w", err)
	}
	return s, nil
}

// Dead returns jobs that were put aside, each with its Reason, for Replay.
func (q *Queue) Dead(ctx context.Context, limit int) ([]store.Job, error) {
	jobs, err := q.driver.dead(ctx, limit)
	if err != nil {
		return jobs, fmt.Errorf("task: dead jobs: %w", err)
	}
	return jobs, nil
}

// Replay gives a dead job all its attempts again; catalog.ErrNotFound if there is none of that id.
func (q *Queue) Replay(ctx context.Context, id string) error {
	if err := q.driver.replay(ctx, id); err != nil {
		return fmt.Errorf("task: replay %q: %w", id, err)
	}
	return nil
}

// Check says whether jobs get through.
func (q *Queue) Check(ctx context.Context) error {
	if err := q.driver.check(ctx); err != nil {
		return fmt.Errorf("task: %s: %w", q.Name(), err)
	}
	return nil
}

// Close ends the connections. Run must have returned.
func (q *Queue) Close() error { return q.driver.close() }

// newID returns a UUID of version 4 (RFC 9562).
func newID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// traceparent is what the job's Ledger continues: the trace of whoever sends it.
func traceparent(ctx context.Context) string {
	l := metrics.From(ctx)
	if l == nil {
		return ""
	}
	var span [8]byte
	rand.Read(span[:])
	return "00-" + l.TraceID + "-" + hex.EncodeToString(span[:]) + "-01"
}

// errDown is what a broker that cannot be used is to callers.
var errDown = fmt.Errorf("broker: %w", catalog.ErrUnavailable)

// permanent says that trying again will not help.
func permanent(err error) bool { return errors.Is(err, catalog.ErrInvalid) }
