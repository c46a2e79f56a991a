package cache

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"addons/server/metrics"
)

const (
	// generationTTL is how soon another process notices InvalidateAll.
	generationTTL = time.Second
	// generationLife is how long the backend remembers a generation that nobody
	// asks for: memcached's limit. Losing one costs a cold start, no more.
	generationLife = 30 * 24 * time.Hour
)

// Handle is what one Cache keeps about one family: its instruments and its generation.
type Handle struct {
	name      string
	near, far results
	waits     *metrics.Counter
	unencoded *metrics.Counter
	saved     *metrics.Counter
	leases    map[leaseOutcome]*metrics.Counter
	shadows   map[shadowOutcome]*metrics.Counter
	events    events

	// invalidations counts keys that were invalidated: what was read from the backend
	// before one of them does not go into the layer above it after. above is locked to
	// count and take the copy out, both at once to those who put one in.
	invalidations atomic.Int64
	above         sync.RWMutex

	// The generation is a part of every key; 0 is "not known yet". It is a time
	// (Unix nanoseconds) and never a count, so that one that the backend evicted is
	// followed by one that was never used.
	generation atomic.Int64
	asked      atomic.Int64 // when the backend was last asked for it
	asking     sync.Mutex
	// owed: the backend has copies that it could not be told to forget. Until it has
	// a new generation none of its copies is used.
	owed atomic.Bool
}

// Family makes the family's series exist at zero. Fetch does it on first use.
func (c *Cache) Family(f Family) *Handle {
	if h, ok := c.handles.Load(f.Name); ok {
		return h.(*Handle)
	}
	h, _ := c.handles.LoadOrStore(f.Name, c.newHandle(f.Name))
	return h.(*Handle)
}

func (c *Cache) newHandle(family string) *Handle {
	h := &Handle{
		name:      family,
		far:       c.meters.results(family, c.Name()),
		waits:     c.meters.waits.With(family),
		unencoded: c.meters.notStored.With(c.Name(), "unencodable"),
		saved:     c.meters.saved.With(family),
	}
	h.leases = map[leaseOutcome]*metrics.Counter{}
	for _, out := range leaseOutcomes() {
		h.leases[out] = c.meters.leases.With(family, string(out))
	}
	h.shadows = map[shadowOutcome]*metrics.Counter{}
	for _, out := range shadowOutcomes() {
		h.shadows[out] = c.meters.shadow.With(family, string(out))
	}
	h.near = h.far
	if c.near != nil {
		h.near = c.meters.results(family, c.near.driver.name())
	}
	return h
}

// current returns the generation, asking the backend once a second; 0 if it was
// never known because the backend has been down since the start.
func (h *Handle) current(ctx context.Context, c *Cache) int64 {
	asked := h.asked.Load()
	gen := h.generation.Load()
	if time.Now().UnixNano()-asked < int64(generationTTL) {
		return gen
	}
	if gen == 0 {
		h.asking.Lock()
	} else if !h.asking.TryLock() {
		return gen // somebody is asking: the last one known will do
	}
	defer h.asking.Unlock()
	switch {
	case h.asked.Load() != asked:
	case h.owed.Load():
		h.move(context.WithoutCancel(ctx), c)
	default:
		h.ask(ctx, c)
	}
	return h.generation.Load()
}

// refresh returns the generation as the backend has it now.
func (h *Handle) refresh(ctx context.Context, c *Cache) (int64, error) {
	h.asking.Lock()
	defer h.asking.Unlock()
	err := h.ask(ctx, c)
	return h.generation.Load(), err
}

// ask reads the generation from the backend, or puts a new one there. The one
// known stays if that fails. The caller has locked h.asking.
func (h *Handle) ask(ctx context.Context, c *Cache) error {
	defer func() { h.asked.Store(time.Now().UnixNano()) }()
	if c.far.local() {
		h.generation.CompareAndSwap(0, time.Now().UnixNano())
		return nil
	}
	// Many wait for the answer: it must not depend on one caller's patience.
	ctx = context.WithoutCancel(ctx)
	key := h.key(c)
	raw, err := c.far.get(ctx, key)
	if errors.Is(err, errMiss) {
		raw = strconv.AppendInt(nil, time.Now().UnixNano(), 36)
		if err = c.far.add(ctx, key, raw, generationLife); errors.Is(err, errExists) {
			raw, err = c.far.get(ctx, key)
		}
	}
	if err != nil {
		return err
	}
	gen, err := strconv.ParseInt(string(raw), 36, 64)
	if err == nil {
		h.generation.Store(gen)
	}
	return err
}

// renew moves on to a new generation, later than every one before, whoever made that.
func (h *Handle) renew(ctx context.Context, c *Cache) error {
	h.asking.Lock()
	defer h.asking.Unlock()
	return h.move(ctx, c)
}

// move is renew for who has locked h.asking.
func (h *Handle) move(ctx context.Context, c *Cache) error {
	defer func() { h.asked.Store(time.Now().UnixNano()) }()
	gen := max(time.Now().UnixNano(), h.generation.Load()+1)
	if !c.far.local() {
		if err := c.far.set(ctx, h.key(c), strconv.AppendInt(nil, gen, 36), generationLife); err != nil {
			h.owed.Store(true)
			return err
		}
	}
	h.generation.Store(gen)
	h.owed.Store(false)
	return nil
}

func (h *Handle) key(c *Cache) string { return c.namespace + ":generation:" + h.name }
