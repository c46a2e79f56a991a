package cache

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// A lease is the right to fill one key, kept in the backend under the key itself:
// an entry with the holder's token, and with the old payload if that may still
// serve. Whoever misses takes it by add, or by swap for what is there; the fill is
// a swap of the lease for the value. A delete takes the lease away, so a load that
// began before a write can never put what it read over it. After Facebook's
// "Scaling Memcache" (NSDI 2013), 3.2.1, with compare-and-swap for its tokens.

const (
	// leaseLife is how long others wait for the holder, which may have died. A load
	// that takes longer runs once in each such time.
	leaseLife = 2 * time.Second
	// firstPoll and lastPoll are how soon a waiter looks again: a load takes
	// milliseconds, and one waiter in each process is all that ever asks.
	firstPoll, lastPoll = 2 * time.Millisecond, 50 * time.Millisecond
)

// leaseOutcome is the label value of the leases' counter.
type leaseOutcome string

const (
	leaseTaken  leaseOutcome = "taken"  // this process loads
	leaseWaited leaseOutcome = "waited" // another one's fill was used
	leaseLost   leaseOutcome = "lost"   // invalidated, evicted or taken over during the load: not kept
	leaseNone   leaseOutcome = "none"   // the backend could not be asked: loaded, and not kept there
)

func leaseOutcomes() []leaseOutcome {
	return []leaseOutcome{leaseTaken, leaseWaited, leaseLost, leaseNone}
}

// lease takes the key's lease and returns it. If another process fills the key
// first, its copy is returned instead. Both are zero if the backend fails.
func (r *request) lease(ctx context.Context) (held, copied entry) {
	if !r.remote || r.failed {
		r.h.leases[leaseNone].Inc()
		return entry{}, entry{}
	}
	patience := time.Now().Add(leaseLife)
	raw := r.seen
	for poll := firstPoll; ; poll = min(2*poll, lastPoll) {
		now := time.Now()
		e, ok := open(raw, r.schema)
		if ok && r.refused != 0 && e.token == r.refused {
			e, ok = entry{}, false
		}
		v, _ := r.c.feed.judge(&e.made)
		switch {
		case ok && v == current && now.Before(e.fresh):
			r.h.leases[leaseWaited].Inc()
			return entry{}, e
		case ok && now.Before(e.until) && now.Before(patience):
			if !sleep(ctx, poll) {
				return entry{}, entry{}
			}
		default:
			if v == gone { // it may not come back as the old copy
				e = entry{}
			}
			mine, err := r.take(ctx, raw, e, now)
			if err == nil {
				r.h.leases[leaseTaken].Inc()
				return mine, entry{}
			}
			if !errors.Is(err, errExists) || ctx.Err() != nil {
				r.h.leases[leaseNone].Inc()
				return entry{}, entry{}
			}
		}
		var err error
		raw, err = r.c.far.get(ctx, r.key)
		if err != nil && !errors.Is(err, errMiss) {
			r.h.leases[leaseNone].Inc()
			return entry{}, entry{}
		}
	}
}

// take puts a lease in place of raw, which is nil if nothing was there; errExists
// if that is no longer so. What cannot be read is replaced as well.
func (r *request) take(ctx context.Context, raw []byte, e entry, now time.Time) (entry, error) {
	mine := entry{schema: r.schema, fresh: time.Unix(0, 0), dead: time.Unix(0, 0)}
	ttl := leaseLife
	if e.usable(now) {
		mine, ttl = e, e.dead.Sub(now)
	}
	mine.excused, mine.negative, mine.token, mine.until = false, false, rand.Uint64(), now.Add(leaseLife)
	mine.raw = seal(mine)
	if raw == nil {
		return mine, r.c.far.add(ctx, r.key, mine.raw, ttl)
	}
	return mine, r.c.far.swap(ctx, r.key, head(raw), mine.raw, ttl)
}

// fill swaps the lease for the value; false if the lease is gone.
func (r *request) fill(ctx context.Context, held entry, raw []byte, ttl time.Duration) bool {
	err := r.c.far.swap(ctx, r.key, head(held.raw), raw, ttl)
	switch {
	case errors.Is(err, errExists):
		r.h.leases[leaseLost].Inc()
	case err != nil: // too large, or the backend is gone meanwhile
		r.release(ctx, held)
	}
	return err == nil
}

// release lets others load at once, after a load that brought nothing.
func (r *request) release(ctx context.Context, held entry) {
	free := held
	free.until = time.Unix(0, 0)
	r.c.far.swap(ctx, r.key, head(held.raw), seal(free), max(time.Until(held.dead), time.Millisecond))
}

// sleep is false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
