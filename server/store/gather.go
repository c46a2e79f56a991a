package store

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"addons/server/catalog"
)

const (
	// abreast is how many statements of one gather may be under way. Fewer make longer
	// lists and less work; more keep going when one of them is slow.
	abreast = 3
	// together is how many keys a statement has at the most.
	together = 64
)

// gather collapses lookups of one row each, which many callers make at the same time,
// into statements for many rows. Who finds fewer than abreast statements under way asks
// alone and at once; the others wait until one of these ends, and are asked for together.
// So nobody waits for company, and the busier the database, the fewer statements it gets.
// Callers wait no longer than their ctx, and are as many as there are requests.
type gather[K comparable, V any] struct {
	// ask returns the rows that there are. It bounds its own time.
	ask func(ctx context.Context, keys []K) (map[K]V, error)

	mu       sync.Mutex
	underWay int
	waiting  []*lookup[K, V]
}

// lookup is one caller's. Its answer is set before done is closed.
type lookup[K comparable, V any] struct {
	ctx  context.Context
	key  K
	done chan struct{}

	value    V
	found    bool
	err      error
	measured bool // the statement was, in its ctx
}

// one returns the row of a key; none is catalog.ErrNotFound. shared is how long a statement
// took that was measured for another caller, 0 if it was measured for this one.
func (g *gather[K, V]) one(ctx context.Context, key K) (value V, shared time.Duration, err error) {
	l := &lookup[K, V]{ctx: ctx, key: key}
	g.mu.Lock()
	if g.underWay < abreast {
		g.underWay++
		g.mu.Unlock()
		defer g.next()
		rows, err := g.ask(ctx, []K{key})
		l.answer(rows, err)
		return l.result(0)
	}
	l.done = make(chan struct{})
	g.waiting = append(g.waiting, l)
	g.mu.Unlock()
	start := time.Now()
	select {
	case <-l.done:
		if l.measured {
			return l.result(0)
		}
		return l.result(time.Since(start))
	case <-ctx.Done():
		return value, 0, ctx.Err()
	}
}

func (l *lookup[K, V]) answer(rows map[K]V, err error) {
	l.value, l.found = rows[l.key]
	l.err = err
}

func (l *lookup[K, V]) result(shared time.Duration) (V, time.Duration, error) {
	if l.err == nil && !l.found {
		l.err = catalog.ErrNotFound
	}
	return l.value, shared, l.err
}

// next asks for those who wait, if there are any, in place of the statement that ended.
func (g *gather[K, V]) next() {
	g.mu.Lock()
	defer g.mu.Unlock()
	var some []*lookup[K, V]
	for len(g.waiting) > 0 && len(some) < together {
		if l := g.waiting[0]; l.ctx.Err() == nil {
			some = append(some, l)
		}
		g.waiting[0] = nil
		g.waiting = g.waiting[1:]
	}
	if len(some) == 0 {
		g.underWay--
		return
	}
	go func() {
		defer g.next()
		g.bring(some)
	}()
}

// bring asks for several rows in one statement, which is measured as the first caller's
// and goes on without any of them.
func (g *gather[K, V]) bring(some []*lookup[K, V]) {
	keys := make([]K, len(some))
	for i, l := range some {
		keys[i] = l.key
	}
	some[0].measured = true
	var rows map[K]V
	var err error
	defer func() {
		if v := recover(); v != nil { // here it would be the process's end, not one request's
			err = fmt.Errorf("query panicked: %v\n\n%s", v, debug.Stack())
		}
		for _, l := range some {
			l.answer(rows, err)
			close(l.done)
		}
	}()
	rows, err = g.ask(context.WithoutCancel(some[0].ctx), keys)
}
