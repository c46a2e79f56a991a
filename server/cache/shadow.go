package cache

import (
	"bytes"
	"context"
	"time"
)

const (
	// comparisons is how many run at once: the database is not to notice them.
	comparisons = 2
	// settle is the time that a writer has between its commit and its Invalidate
	// before a copy that differs from the database is called stale.
	settle = 500 * time.Millisecond
)

// shadowOutcome is the label value of the comparisons' counter.
type shadowOutcome string

const (
	shadowMatch    shadowOutcome = "match"
	shadowMismatch shadowOutcome = "mismatch"
	shadowChanged  shadowOutcome = "changed"
	shadowError    shadowOutcome = "error"
)

func shadowOutcomes() []shadowOutcome {
	return []shadowOutcome{shadowMatch, shadowMismatch, shadowChanged, shadowError}
}

// compare loads what e is a copy of, on its own time, and counts how they agree.
// If too many run already it does nothing.
func (r *request) compare(e entry, load loader) {
	select {
	case r.c.comparing <- struct{}{}:
	default:
		return
	}
	r.c.running.Go(func() {
		defer func() { <-r.c.comparing }()
		ctx, cancel := context.WithTimeout(context.Background(), loadTimeout)
		defer cancel()
		r.h.shadows[r.verdict(ctx, e, load)].Inc()
	})
}

// verdict calls a copy stale only if it differs from the database and still
// answers after settle.
func (r *request) verdict(ctx context.Context, e entry, load loader) (out shadowOutcome) {
	defer func() {
		if recover() != nil { // the caller's load tells of its panics when it is waited for
			out = shadowError
		}
	}()
	_, payload, err := load(ctx)
	if err != nil || payload == nil {
		return shadowError
	}
	if bytes.Equal(payload, e.payload) {
		return shadowMatch
	}
	wait := settle
	if r.c.feed.following.Load() {
		wait += round // until then a change may not be known here
	}
	if !sleep(ctx, wait) {
		return shadowError
	}
	if v, _ := r.c.feed.judge(&e.made); v != current {
		return shadowChanged
	}
	gen, err := r.h.refresh(ctx, r.c)
	if err != nil {
		return shadowError
	}
	raw, err := r.c.far.get(ctx, r.c.key(r.f, gen, r.name))
	if err != nil || !bytes.Equal(head(raw), head(e.raw)) {
		return shadowChanged
	}
	return shadowMismatch
}
