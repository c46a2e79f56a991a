// Package cache remembers values for a while. A cache that is down is a miss,
// never an error, and soon costs nothing at all: after some failures it is left
// alone for a second at a time.
//
// Fetch is the way in: a fresh copy is given back at once; else one load per key
// runs, however many ask and in however many processes, and its result is kept,
// unless it was invalidated during the load. Errors are never kept. A copy
// that is past its time is kept a while longer, for when the load answers
// catalog.ErrUnavailable, or to answer while it is renewed (Family.Revalidate).
//
// A load notes what its value is made of (Uses, UsesAny). A process that follows what is
// committed (Follow) gives back no copy that a change has ended, or counts it and marks
// it as stale if it can't know (Behind). What notes nothing lives until its time is over
// or its key is invalidated.
package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"addons/server/metrics"
)

// Family is a kind of value with one lifetime.
type Family struct {
	Name string        // of a closed set in the code: the metrics' label
	TTL  time.Duration // how long a copy counts as fresh
	// Revalidate is how much longer it answers at once, while one load in the
	// background renews it; 0: who asks waits for the load.
	Revalidate time.Duration
	// Negative is the TTL of an empty result: nil, of no length, or one whose Empty
	// says so. 0: it is not kept; any new row could be its end.
	Negative time.Duration
	Stale    time.Duration // how much longer it may answer while the load is unavailable; 0: not at all
	// Dated values tell when they were read, so that no two loads agree: they are not
	// compared with the database (shadow).
	Dated bool
}

// jitter is the share of a TTL that is taken off at random, so that what was
// filled together doesn't expire together.
const jitter = 0.1

// lifetimes returns when a copy made now stops being fresh, and when it stops
// being of any use. An empty one is never served past its time.
func (f Family) lifetimes(now time.Time, negative bool) (fresh, dead time.Time) {
	ttl, more := f.TTL, max(f.Stale, f.Revalidate)
	if negative {
		ttl, more = f.Negative, 0
	}
	fresh = now.Add(time.Duration(float64(ttl) * (1 - jitter*rand.Float64())))
	return fresh, fresh.Add(more)
}

// Cache is one backend, with a small in-process layer above if the backend is
// remote. Safe for concurrent use.
type Cache struct {
	near      *layer // nil if far is in process itself, or by the URL
	far       *layer
	nearTTL   time.Duration
	shadow    float64       // the share of hits that are compared with a load
	comparing chan struct{} // one place for each comparison that may run
	namespace string
	process   string // this one: where copies say who filled them
	log       *slog.Logger
	meters    *meters
	feed      feed

	handles sync.Map // Family.Name → *Handle; names are constants of the code
	schemas sync.Map // reflect.Type → uint64

	mu      sync.Mutex
	flights map[string]*flight
	running sync.WaitGroup
}

// Open returns the cache of the URL:
//
//	memory:?size=64MiB
//	memcache://a:11211,b:11211
//	redis://user:password@host:6379/0
//
// Parameters of all: namespace, a prefix of every key (addons); and shadow, the share of hits
// (0 to 1, 0) that are compared with a load of their own. Of the remote ones: timeout
// (of one operation, 100ms), near (the size of the layer above, 16MiB; 0 for
// none) and near_ttl (2s: how long this process may miss another's Invalidate; what
// notes its objects stays there until its time is over, while changes are followed).
//
// No connection is made: a cache that is down at the start is a miss as well.
func Open(rawURL string, reg *metrics.Registry, log *slog.Logger, more ...Option) (*Cache, error) {
	o, err := parse(rawURL)
	if err != nil {
		return nil, err
	}
	for _, option := range more {
		option(&o)
	}
	d, err := o.open()
	if err != nil {
		return nil, err
	}
	if o.build != "" {
		o.namespace += ":" + o.build
	}
	m := newMeters(reg)
	c := &Cache{
		far:       newLayer(d, o.timeout, m, log),
		nearTTL:   o.nearTTL,
		shadow:    o.shadow,
		comparing: make(chan struct{}, comparisons),
		namespace: o.namespace,
		process:   o.process(),
		log:       log,
		meters:    m,
		feed:      newFeed(reg),
		flights:   map[string]*flight{},
	}
	if o.near > 0 {
		near, err := newMemory(o.near)
		if err != nil {
			return nil, errors.Join(err, d.close())
		}
		c.near = newLayer(near, 0, m, log)
	}
	return c, nil
}

// Name is the backend's: "memory", "memcache" or "redis".
func (c *Cache) Name() string { return c.far.driver.name() }

// Check asks every server of the backend whether it is there.
func (c *Cache) Check(ctx context.Context) error {
	if err := c.far.check(ctx); err != nil {
		return fmt.Errorf("cache: %s: %w", c.Name(), err)
	}
	return nil
}

// Close waits for the loads that are running and releases what the backend holds.
// Nothing may be fetched any more.
func (c *Cache) Close() error {
	c.running.Wait()
	err := c.far.driver.close()
	if c.near != nil {
		err = errors.Join(err, c.near.driver.close())
	}
	return err
}

// Invalidate forgets the values of the keys; loads of them that are running in
// any process are not kept. Other processes notice after near_ttl. An error
// means that the backend could not be asked. This process then uses none of its
// copies of the family until it has been told; others use them until they expire.
func (c *Cache) Invalidate(ctx context.Context, f Family, keys ...string) error {
	h := c.Family(f)
	gen, genErr := h.refresh(ctx, c)
	var errs []error
	for _, key := range keys {
		full := c.key(f, gen, key)
		h.events.add(f.Name, key, "invalidated by its key")
		c.forget(full)
		if genErr == nil {
			errs = append(errs, c.far.delete(ctx, full))
		}
		c.forgetNear(ctx, h, full)
	}
	if err := errors.Join(append(errs, genErr)...); err != nil {
		h.owed.Store(true)
		return fmt.Errorf("cache: invalidate %d of %s: %w", len(keys), f.Name, err)
	}
	return nil
}

// forgetNear takes a key out of the layer above the backend, when it is out of that:
// who read it there until then does not put it back.
func (c *Cache) forgetNear(ctx context.Context, h *Handle, key string) {
	h.above.Lock()
	defer h.above.Unlock()
	h.invalidations.Add(1)
	if c.near != nil {
		c.near.delete(ctx, key)
	}
}

// InvalidateAll forgets every value of the family, by moving on to a new
// generation of keys. Other processes notice within a second.
func (c *Cache) InvalidateAll(ctx context.Context, f Family) error {
	if err := c.Family(f).renew(ctx, c); err != nil {
		return fmt.Errorf("cache: invalidate all of %s: %w", f.Name, err)
	}
	c.Family(f).events.add(f.Name, "", "all invalidated")
	return nil
}

// invalidateFamilies is InvalidateAll of every family; one that can't be told of it is
// not used until it is.
func (c *Cache) invalidateFamilies(ctx context.Context) {
	for _, name := range c.names() {
		if err := c.InvalidateAll(ctx, Family{Name: name}); err != nil {
			c.log.Warn("cache: the database's changes have begun anew", "error", err)
		}
	}
}

// key is what a value is kept under: no two families, generations or namespaces meet.
func (c *Cache) key(f Family, generation int64, key string) string {
	b := make([]byte, 0, len(c.namespace)+len(f.Name)+len(key)+16)
	b = append(append(b, c.namespace...), ':')
	b = append(append(b, f.Name...), ':')
	b = append(strconv.AppendInt(b, generation, 36), ':')
	return string(append(b, key...))
}
