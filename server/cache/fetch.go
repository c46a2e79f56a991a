package cache

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"time"

	"addons/server/catalog"
	"addons/server/metrics"
)

const (
	// loadTimeout bounds a load that its callers may have left: a page's own deadline.
	loadTimeout = 30 * time.Second
	// retryAfter is how long a stale copy answers before the load is tried again.
	retryAfter = time.Second
)

// Fetch returns the copy that is kept under the key or, if there is none, what
// load returns, which is then kept. However many callers miss at once, load runs
// once; a caller whose ctx ends does not end it for the others.
//
// The error is load's, or ctx's. If it is ctx's deadline or wraps
// catalog.ErrUnavailable and a stale copy is there, that is returned instead: it
// is counted in the metrics and in the span "stale" of ctx's ledger.
//
// T is kept as JSON, so unexported fields are lost; a []byte is kept as it is and
// must not be changed by the caller. Any other value is the caller's own.
// A panic in load is one in the first caller, with a *Panic, and an error for the others.
func Fetch[T any](ctx context.Context, c *Cache, f Family, key string, load func(context.Context) (T, error)) (T, error) {
	r := c.request(ctx, f, key, reflect.TypeFor[T]())
	if e, ok := r.lookup(ctx); ok {
		if v, err := decode[T](e.payload); err == nil {
			r.hit(ctx, e)
			return v, nil
		}
	}
	answer, err := r.join(ctx, func(ctx context.Context) (any, []byte, error) {
		v, err := load(ctx)
		if err != nil {
			return nil, nil, err
		}
		payload, err := encode(v)
		if err != nil {
			r.h.unencoded.Inc()
			c.log.Error("cache: value cannot be kept", "family", f.Name, "error", err)
		}
		return v, payload, nil
	})
	if err != nil {
		return stale[T](ctx, r, err)
	}
	r.miss()
	if answer.mine || answer.payload == nil {
		v, _ := answer.value.(T) // not ok: T is an interface and the value nil
		return v, nil
	}
	return decode[T](answer.payload)
}

// stale returns the stale copy if there is one and err is of the kind that it is for.
func stale[T any](ctx context.Context, r *request, err error) (T, error) {
	if excusable(err) && r.old.usable(time.Now()) {
		if v, err := decode[T](r.old.payload); err == nil {
			r.stale(ctx, r.h.far)
			return v, nil
		}
	}
	r.miss()
	var none T
	return none, err
}

func excusable(err error) bool {
	return errors.Is(err, catalog.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded)
}

// request is one Fetch on its way.
type request struct {
	c      *Cache
	h      *Handle
	f      Family
	key    string
	schema uint64
	remote bool  // the backend can be asked: the generation is known, and nothing owed
	failed bool  // the backend was asked in vain
	old    entry // the stale copy, zero if there is none
	at     results
}

func (c *Cache) request(ctx context.Context, f Family, key string, t reflect.Type) *request {
	h := c.Family(f)
	gen := h.current(ctx, c)
	return &request{c: c, h: h, f: f, key: c.key(f, gen, key), schema: c.schema(t), remote: gen != 0 && !h.owed.Load()}
}

// lookup returns a copy that may be served without a load: a fresh one, or a
// stale one whose load failed within the last second. A stale one is kept in r.old.
func (r *request) lookup(ctx context.Context) (entry, bool) {
	now := time.Now()
	if r.c.near != nil {
		if e, ok := r.read(ctx, r.c.near, now); ok {
			r.at = r.h.near
			return e, true
		}
	}
	r.at = r.h.far
	if !r.remote {
		r.failed = true
		return entry{}, false
	}
	e, ok := r.read(ctx, r.c.far, now)
	if ok && r.c.near != nil {
		r.c.near.set(ctx, r.key, e.raw, min(r.c.nearTTL, e.dead.Sub(now)))
	}
	return e, ok
}

// read returns the layer's copy if it may be served without a load.
func (r *request) read(ctx context.Context, l *layer, now time.Time) (entry, bool) {
	raw, err := l.get(ctx, r.key)
	if err != nil {
		r.failed = !errors.Is(err, errMiss)
		return entry{}, false
	}
	e, ok := open(raw, r.schema)
	if !ok {
		return entry{}, false
	}
	if now.Before(e.fresh) {
		return e, true
	}
	r.old = e
	return entry{}, false
}

func (r *request) hit(ctx context.Context, e entry) {
	if e.excused {
		r.stale(ctx, r.at)
		return
	}
	r.at.hit.Inc()
}

func (r *request) miss() {
	if r.failed {
		r.h.far.err.Inc()
		return
	}
	r.h.far.miss.Inc()
}

// stale marks the whole request as answered from a stale copy: pages say so.
func (r *request) stale(ctx context.Context, at results) {
	at.stale.Inc()
	metrics.From(ctx).Add("stale", 0)
}

// answer is what a flight brought to one of its callers.
type answer struct {
	value   any
	payload []byte // nil if value could not be encoded: then it is shared
	mine    bool   // the caller started the flight: value is its own
}

// flight is one load that any number of callers wait for. Its fields are set before done is closed.
type flight struct {
	done    chan struct{}
	value   any
	payload []byte
	err     error
	dropped bool // by Invalidate, under Cache.mu: the result must not be kept
}

// Panic is what Fetch panics with when load did.
type Panic struct {
	Value any
	Stack []byte // of load
}

func (p *Panic) Error() string { return fmt.Sprintf("load panicked: %v\n\n%s", p.Value, p.Stack) }

// errEnded: load called runtime.Goexit, as a failing test does.
var errEnded = errors.New("load ended without a result")

// join waits for the key's flight, after starting it if there is none.
func (r *request) join(ctx context.Context, load func(context.Context) (any, []byte, error)) (answer, error) {
	c := r.c
	c.mu.Lock()
	f, joined := c.flights[r.key]
	if !joined {
		f = &flight{done: make(chan struct{})}
		c.flights[r.key] = f
		c.running.Go(func() { r.fly(context.WithoutCancel(ctx), f, load) })
	}
	c.mu.Unlock()
	if joined {
		r.h.waits.Inc()
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		return answer{}, fmt.Errorf("cache: waiting for %s: %w", r.f.Name, ctx.Err())
	}
	var p *Panic
	if errors.As(f.err, &p) && !joined {
		r.miss()
		panic(p)
	}
	return answer{f.value, f.payload, !joined}, f.err
}

// fly runs load once, keeps its result, and then lets the callers go.
func (r *request) fly(ctx context.Context, f *flight, load func(context.Context) (any, []byte, error)) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	f.err = errEnded
	defer func() {
		if v := recover(); v != nil {
			f.err = &Panic{v, debug.Stack()}
		}
		if raw, dead := r.result(f); raw != nil {
			r.keep(ctx, f, raw, dead)
		}
		r.c.land(r.key, f)
		close(f.done)
	}()
	f.value, f.payload, f.err = load(ctx)
}

// result returns what is to be kept of the flight and until when: its value; or
// the stale copy, excused for a while from being loaded again; or nothing.
func (r *request) result(f *flight) ([]byte, time.Time) {
	now := time.Now()
	switch {
	case f.err == nil && f.payload != nil:
		fresh, dead := r.f.lifetimes(now)
		return seal(entry{schema: r.schema, fresh: fresh, dead: dead, payload: f.payload}), dead
	case excusable(f.err) && r.old.usable(now):
		e := r.old
		e.fresh, e.excused = now.Add(retryAfter), true
		return seal(e), e.dead
	}
	return nil, now
}

// keep stores a flight's result in every layer, and takes it back if it was
// invalidated meanwhile. What spans processes (a lease taken by the miss and
// given back here) belongs in lookup and keep, and nowhere else.
func (r *request) keep(ctx context.Context, f *flight, raw []byte, dead time.Time) {
	if r.c.isDropped(f) {
		return
	}
	ttl := time.Until(dead)
	near, far := r.c.near, r.c.far
	if near != nil {
		near.set(ctx, r.key, raw, min(r.c.nearTTL, ttl))
	}
	// An excuse is this process's own: another one's load may work.
	if r.remote && (f.err == nil || far.local()) {
		far.set(ctx, r.key, raw, ttl)
	}
	if r.c.isDropped(f) {
		if near != nil {
			near.delete(ctx, r.key)
		}
		if r.remote {
			far.delete(ctx, r.key)
		}
	}
}

func (c *Cache) isDropped(f *flight) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return f.dropped
}

// land ends the flight: the next miss starts another.
func (c *Cache) land(key string, f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flights[key] == f {
		delete(c.flights, key)
	}
}

// forget has the flight of the key, if there is one, keep nothing and take no more callers.
func (c *Cache) forget(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f, ok := c.flights[key]; ok {
		f.dropped = true
		delete(c.flights, key)
	}
}
