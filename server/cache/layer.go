package cache

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"
)

// driver is an engine that keeps bytes. All of it is safe for concurrent use.
type driver interface {
	name() string
	// nodes is how many servers there are, and node which of them has the key: a
	// server that is down must not make the others look so.
	nodes() int
	node(key string) int
	// limit is the largest value in bytes.
	limit() int
	get(ctx context.Context, key string) ([]byte, error)                        // or errMiss
	set(ctx context.Context, key string, value []byte, ttl time.Duration) error // ttl > 0
	add(ctx context.Context, key string, value []byte, ttl time.Duration) error // or errExists
	// swap puts value in the place of one that begins with head, at once for all
	// who look; errExists if there is another, or none.
	swap(ctx context.Context, key string, head, value []byte, ttl time.Duration) error
	delete(ctx context.Context, key string) error // nil if it wasn't there
	check(ctx context.Context) error              // all servers
	close() error
}

var (
	errMiss     = errors.New("not in the cache")
	errExists   = errors.New("in the cache already")
	errTooLarge = errors.New("larger than the cache takes")
	errSkipped  = errors.New("left alone after failures")
)

const (
	// tolerance is how many failures in a row open a circuit.
	tolerance = 5
	// pause is how long an open circuit skips its server before one call tries again.
	pause = time.Second
)

// layer is a driver under watch: each operation has a deadline, is timed, and is
// skipped while its server's circuit is open.
type layer struct {
	driver   driver
	timeout  time.Duration // 0: the driver is in process and needs none
	circuits []circuit
	meters   *layerMeters
	log      *slog.Logger
}

func newLayer(d driver, timeout time.Duration, m *meters, log *slog.Logger) *layer {
	return &layer{driver: d, timeout: timeout, circuits: make([]circuit, d.nodes()), meters: m.layer(d.name()), log: log}
}

// local says that nobody else can change what the layer keeps.
func (l *layer) local() bool { return l.timeout == 0 }

func (l *layer) get(ctx context.Context, key string) (value []byte, err error) {
	err = l.guarded(ctx, opGet, key, func(ctx context.Context) error {
		value, err = l.driver.get(ctx, key)
		return err
	})
	return value, err
}

// set is for a value whose loss is no loss: without a time to live, too large or
// to a server that is down, it is not kept.
func (l *layer) set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if len(key)+len(value) > l.driver.limit() {
		l.meters.tooLarge.Inc()
		return errTooLarge
	}
	if ttl <= 0 {
		return nil
	}
	return l.guarded(ctx, opSet, key, func(ctx context.Context) error { return l.driver.set(ctx, key, value, ttl) })
}

func (l *layer) add(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return l.guarded(ctx, opAdd, key, func(ctx context.Context) error { return l.driver.add(ctx, key, value, ttl) })
}

// swap is set for who knows what is there.
func (l *layer) swap(ctx context.Context, key string, head, value []byte, ttl time.Duration) error {
	if len(key)+len(value) > l.driver.limit() {
		l.meters.tooLarge.Inc()
		return errTooLarge
	}
	return l.guarded(ctx, opSwap, key, func(ctx context.Context) error { return l.driver.swap(ctx, key, head, value, ttl) })
}

// delete tries even a server that is being left alone: a copy that should be gone
// is worse than a wait.
func (l *layer) delete(ctx context.Context, key string) error {
	return l.timed(ctx, opDelete, &l.circuits[l.driver.node(key)], func(ctx context.Context) error { return l.driver.delete(ctx, key) })
}

func (l *layer) check(ctx context.Context) error {
	var unwatched circuit
	return l.timed(ctx, opCheck, &unwatched, l.driver.check)
}

// guarded is timed unless the circuit of the key's server is open.
func (l *layer) guarded(ctx context.Context, op operation, key string, call func(context.Context) error) error {
	c := &l.circuits[l.driver.node(key)]
	if !c.try(time.Now(), l.timeout) {
		l.meters.skipped.Inc()
		return errSkipped
	}
	return l.timed(ctx, op, c, call)
}

func (l *layer) timed(ctx context.Context, op operation, c *circuit, call func(context.Context) error) error {
	start := time.Now()
	err := l.bounded(ctx, call)
	out := outcomeOf(ctx, op, err)
	l.meters.operations[op][out].Observe(ctx, time.Since(start))
	switch out {
	case timedOut, failed:
		if c.failed(time.Now()) {
			l.log.Warn("cache: left alone for a while after failures", "backend", l.driver.name(), "error", err)
		}
	case canceled: // by the caller: says nothing about the server
	default:
		c.worked()
	}
	return err
}

func (l *layer) bounded(ctx context.Context, call func(context.Context) error) error {
	if l.timeout == 0 {
		return call(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	return call(ctx)
}

// circuit counts a server's failures in a row. Its zero value is closed.
type circuit struct {
	failures atomic.Int32
	until    atomic.Int64 // Unix nanoseconds; 0 is closed
}

// try says whether the server may be asked: when it is time for another attempt,
// which takes timeout at the most, one caller may.
func (c *circuit) try(now time.Time, timeout time.Duration) bool {
	until := c.until.Load()
	if until == 0 {
		return true
	}
	return now.UnixNano() >= until && c.until.CompareAndSwap(until, now.Add(timeout+pause).UnixNano())
}

// failed says whether this failure opened the circuit.
func (c *circuit) failed(now time.Time) bool {
	if c.failures.Add(1) < tolerance {
		return false
	}
	return c.until.Swap(now.Add(pause).UnixNano()) == 0
}

func (c *circuit) worked() {
	if c.failures.Load() != 0 {
		c.failures.Store(0)
	}
	if c.until.Load() != 0 {
		c.until.Store(0)
	}
}
