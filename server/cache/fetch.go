package cache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime/debug"
	"strings"
	"time"

	"addons/server/catalog"
	"addons/server/metrics"
)

const (
	// loadTimeout bounds a load that its callers may have left: a page's own deadline.
	loadTimeout = 30 * time.Second
	// retryAfter is how long a stale copy answers before the load is tried again.
	retryAfter = time.Second
	// databaseSpan is what the store's time is called in ledgers, and its works begin with.
	databaseSpan = "db"
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
			if c.shadow > 0 && !f.Dated && rand.Float64() < c.shadow {
				r.compare(e, encoded(r, load))
			}
			return v, nil
		}
		r.refused = e.token
	}
	if r.renewable(time.Now()) {
		if v, err := decode[T](r.old.payload); err == nil {
			r.start(ctx, encoded(r, load))
			r.served(ctx, r.old)
			if r.unsure {
				r.stale(ctx, r.h.far)
				return v, nil
			}
			r.h.far.revalidated.Inc()
			return v, nil
		}
	}
	answer, err := r.join(ctx, encoded(r, load))
	if err != nil {
		return stale[T](ctx, r, err)
	}
	if answer.unsure {
		r.stale(ctx, r.h.far)
	} else {
		r.miss()
	}
	answer.made.take(ctx)
	if answer.mine || answer.payload == nil {
		v, _ := answer.value.(T) // not ok: T is an interface and the value nil
		return v, nil
	}
	return decode[T](answer.payload)
}

// loader is a load whose type is forgotten: its value, and that encoded.
type loader func(context.Context) (any, []byte, error)

func encoded[T any](r *request, load func(context.Context) (T, error)) loader {
	return func(ctx context.Context) (any, []byte, error) {
		v, err := load(ctx)
		if err != nil {
			return nil, nil, err
		}
		payload, err := encode(v)
		if err != nil {
			r.h.unencoded.Inc()
			r.c.log.Error("cache: value cannot be kept", "family", r.f.Name, "error", err)
		}
		return v, payload, nil
	}
}

// renewable says whether the old copy may answer while a load renews it. One whose
// load was unavailable a moment ago may not: who asks shall know.
func (r *request) renewable(now time.Time) bool {
	return r.old.usable(now) && !r.old.excused && !r.outdated && now.Before(r.old.fresh.Add(r.f.Revalidate))
}

// stale returns the stale copy if there is one and err is of the kind that it is for.
func stale[T any](ctx context.Context, r *request, err error) (T, error) {
	if excusable(err) && r.old.usable(time.Now()) {
		if v, err := decode[T](r.old.payload); err == nil {
			r.stale(ctx, r.h.far)
			r.served(ctx, r.old)
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
	c       *Cache
	h       *Handle
	f       Family
	name    string // the key as the caller knows it
	key     string // as the backend does
	schema  uint64
	remote  bool   // the backend can be asked: the generation is known, and nothing owed
	failed  bool   // the backend was asked in vain
	seen    []byte // what the backend has, nil if nothing
	refused uint64 // the token of a copy that can't be decoded, to be replaced
	epoch   int64  // the family's invalidations when the backend was asked
	old     entry  // the stale copy, zero if there is none
	// outdated: the stale copy may have missed a change, so that it can't answer while it is renewed.
	outdated bool
	unsure   bool // a change may have ended the copy that was read last, which is not known
	at       results
}

func (c *Cache) request(ctx context.Context, f Family, key string, t reflect.Type) *request {
	h := c.Family(f)
	epoch := h.invalidations.Load()
	gen := h.current(ctx, c)
	return &request{c: c, h: h, f: f, name: key, key: c.key(f, gen, key), schema: c.schema(t), remote: gen != 0 && !h.owed.Load(), epoch: epoch}
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
	if ok {
		r.keepNear(ctx, e.raw, e.dead, e.made)
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
	if l == r.c.far {
		r.seen = raw
	}
	e, ok := open(raw, r.schema)
	if !ok {
		return entry{}, false
	}
	r.unsure = r.late(e.made)
	v, by := r.c.feed.judge(&e.made)
	if now.Before(e.fresh) && (v == current || v == outdated && e.excused) {
		return e, true
	}
	if v != current {
		r.tell("outdated by " + by.String())
	}
	r.old, r.outdated = e, v == outdated
	if v == gone {
		r.old = entry{}
	}
	return entry{}, false
}

func (r *request) hit(ctx context.Context, e entry) {
	r.served(ctx, e)
	if e.excused || r.unsure {
		r.stale(ctx, r.at)
		return
	}
	if e.negative {
		r.at.negative.Inc()
		return
	}
	r.at.hit.Inc()
}

// late says that a change may have ended a copy, which is not known. It is asked before
// the copy is judged: what is taken in between is in the verdict, and not the other way round.
func (r *request) late(m made) bool { return m.follows() && r.c.feed.late() }

// served tells what a copy that answers saves, and what it is made of.
func (r *request) served(ctx context.Context, e entry) {
	r.h.saved.AddTime(e.fill.database)
	e.made.take(ctx)
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
	unsure  bool   // a change may have ended it, which is not known
	made    made
}

// flight is one load that any number of callers wait for. Its fields are set before done is closed.
type flight struct {
	done    chan struct{}
	value   any
	payload []byte
	err     error
	copied  bool // payload is what another process put there: value is not set
	made    made
	fill    fill
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
func (r *request) join(ctx context.Context, load loader) (answer, error) {
	for attempt := 0; ; attempt++ {
		f, joined := r.start(ctx, load)
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
		m := f.made // f is shared
		late := r.late(m)
		v, _ := r.c.feed.judge(&m)
		if attempt == 0 && (joined || f.copied) && (late || v != current) {
			continue // it may have read before a change that this caller must see; the next one reads after
		}
		return answer{f.value, f.payload, !joined && !f.copied, late && f.copied, m}, f.err
	}
}

// start returns the key's flight, and whether that was under way already.
func (r *request) start(ctx context.Context, load loader) (f *flight, joined bool) {
	c := r.c
	c.mu.Lock()
	defer c.mu.Unlock()
	f, joined = c.flights[r.key]
	if !joined {
		f = &flight{done: make(chan struct{})}
		c.flights[r.key] = f
		c.running.Go(func() { r.fly(context.WithoutCancel(ctx), f, load) })
	}
	return f, joined
}

// fly runs load once, unless another process does, keeps its result, and then
// lets the callers go.
func (r *request) fly(ctx context.Context, f *flight, load loader) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	held, copied := r.lease(ctx)
	if copied.raw != nil {
		f.payload, f.copied, f.made = copied.payload, true, copied.made
		r.keepNear(ctx, copied.raw, copied.dead, copied.made)
		r.c.land(r.key, f)
		close(f.done)
		return
	}
	f.err = errEnded
	began := time.Now()
	loading, uses := collect(ctx, r.c.feed.seq.Load())
	loading, ledger := metrics.Fork(loading)
	defer func() {
		if v := recover(); v != nil {
			f.err = &Panic{v, debug.Stack()}
		}
		f.made, f.fill = uses.made(), r.c.filled(began, ledger)
		r.keep(ctx, f, held)
		r.c.land(r.key, f)
		close(f.done)
	}()
	f.value, f.payload, f.err = load(loading)
}

// queriesMax is how many names of queries an entry tells of.
const queriesMax = 12

// filled tells of a load that ends now.
func (c *Cache) filled(began time.Time, ledger *metrics.Ledger) fill {
	f := fill{at: time.Now(), took: time.Since(began), by: []byte(c.process)}
	for _, s := range ledger.Spans() {
		if s.Name == databaseSpan {
			f.database = s.Total
		}
	}
	queries := 0
	for _, w := range ledger.Works() {
		if strings.HasPrefix(w.Name, databaseSpan+".") && queries < queriesMax {
			queries++
			f.by = fmt.Appendf(f.by, "\n%s × %d", w.Name, w.Count)
		}
	}
	return f
}

// result returns what is to be kept of the flight and until when: its value; or
// the stale copy, excused for a while from being loaded again; or nothing.
func (r *request) result(f *flight, held entry) ([]byte, time.Time) {
	now, old := time.Now(), r.old
	if held.raw != nil {
		old = held // has the copy that was there when the lease was taken: r.old may have been invalidated before
	}
	switch {
	case f.err == nil && f.payload != nil:
		negative := empty(f.value)
		if negative && r.f.Negative == 0 {
			return nil, now
		}
		fresh, dead := r.f.lifetimes(now, negative)
		return seal(entry{negative: negative, schema: r.schema, fresh: fresh, dead: dead, token: held.token, made: f.made, fill: f.fill, payload: f.payload}), dead
	case excusable(f.err) && old.usable(now):
		e := old
		e.fresh, e.excused, e.token, e.until = now.Add(retryAfter), true, held.token, time.Time{}
		return seal(e), e.dead
	}
	return nil, now
}

// keep stores a flight's result in every layer, or nowhere if the lease was lost:
// then a write came between.
func (r *request) keep(ctx context.Context, f *flight, held entry) {
	raw, dead := r.result(f, held)
	// An excuse is this process's own: another one's load may work.
	shared := raw != nil && (f.err == nil || r.c.far.local())
	switch {
	case held.raw == nil: // the backend could not be asked
	case shared:
		if !r.fill(ctx, held, raw, time.Until(dead)) {
			r.tell("loaded, but not kept: it was invalidated meanwhile, or is too large, or the backend is down")
			return
		}
	default:
		r.release(ctx, held)
	}
	switch {
	case f.err != nil:
		r.tell("load failed: " + clipped(f.err.Error()))
	case raw == nil:
		r.tell("loaded, but not kept: empty, or of a kind that can't be encoded")
	default:
		r.tell(fmt.Sprintf("filled in %v, %v of it queries", f.fill.took.Round(time.Microsecond), f.fill.database.Round(time.Microsecond)))
	}
	if raw != nil {
		r.keepNear(ctx, raw, dead, f.made)
	}
}

// tell keeps for Explain what has happened to the key.
func (r *request) tell(what string) { r.h.events.add(r.f.Name, r.name, what) }

// keepNear puts a copy into the layer above the backend, unless the family's keys
// were invalidated since the backend was asked.
func (r *request) keepNear(ctx context.Context, raw []byte, dead time.Time, m made) {
	if r.c.near == nil {
		return
	}
	ttl := time.Until(dead)
	if !m.follows() || !r.c.feed.following.Load() {
		ttl = min(ttl, r.c.nearTTL)
	}
	r.h.above.RLock()
	defer r.h.above.RUnlock()
	if r.h.invalidations.Load() == r.epoch {
		r.c.near.set(ctx, r.key, raw, ttl)
	}
}

// land ends the flight: the next miss starts another.
func (c *Cache) land(key string, f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flights[key] == f {
		delete(c.flights, key)
	}
}

// forget has the flight of the key, if there is one, take no more callers. That it
// keeps nothing is seen to by its lease, and by Handle.invalidations.
func (c *Cache) forget(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.flights, key)
}
