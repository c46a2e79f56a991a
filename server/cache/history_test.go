package cache_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"addons/server/cache"
	"addons/server/enginetest"
	"addons/server/metrics"
)

// history is one row and when each of its values was committed.
type history struct {
	mu      sync.Mutex
	commits []time.Time // of the values 0, 1, 2…
}

func (h *history) commit() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.commits = append(h.commits, time.Now())
}

func (h *history) read(context.Context) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.commits) - 1, nil
}

// overtaken is since when v was no longer the row's value; zero if it still is.
func (h *history) overtaken(v int) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	if v+1 < len(h.commits) {
		return h.commits[v+1]
	}
	return time.Time{}
}

// longest is the longest time that was seen.
type longest struct {
	mu sync.Mutex
	d  time.Duration
}

func (l *longest) see(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.d = max(l.d, d)
}

// Several processes read and write one row. In calm weather nobody reads what was
// overtaken more than near_ttl before. Where the engine comes and goes, a writer
// that could not invalidate has its process's next read move the family on, which
// the others notice within a second.
func TestNoReaderSeesAValueOlderThanTheBound(t *testing.T) {
	const (
		nearTTL = 100 * time.Millisecond
		slack   = 500 * time.Millisecond // a busy machine, between a read and its check
		timeout = 200 * time.Millisecond
		pauses  = 2 * time.Second // a circuit's pause, and a generation's age
	)
	for name, c := range map[string]struct {
		storm bool
		write time.Duration // between two writes of one process
		run   time.Duration
		bound time.Duration
	}{
		"calm":  {false, 20 * time.Millisecond, 2 * time.Second, nearTTL + slack},
		"storm": {true, 200 * time.Millisecond, 8 * time.Second, pauses + nearTTL + 4*timeout + slack},
	} {
		t.Run(name, func(t *testing.T) {
			remote(t, func(t *testing.T, f *enginetest.Front, url string) {
				url = with(url, "timeout=200ms")
				var caches []*cache.Cache
				for range 3 {
					c, err := cache.Open(strings.Replace(url, "near=0", "near=1MiB&near_ttl=100ms", 1), metrics.New(nil), slog.New(slog.DiscardHandler))
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { c.Close() })
					caches = append(caches, c)
				}
				var (
					h     history
					reads atomic.Int64
					worst longest
					all   sync.WaitGroup
				)
				h.commit()
				ctx, cancel := context.WithTimeout(t.Context(), c.run)
				defer cancel()
				for _, each := range caches {
					all.Go(func() {
						for pace(ctx, c.write) {
							h.commit()
							each.Invalidate(context.WithoutCancel(ctx), family, "row")
						}
					})
					for range 2 {
						all.Go(func() {
							for pace(ctx, time.Millisecond) {
								start := time.Now()
								v, err := cache.Fetch(context.WithoutCancel(ctx), each, family, "row", h.read)
								if err != nil {
									t.Error(err)
									return
								}
								reads.Add(1)
								if since := h.overtaken(v); !since.IsZero() {
									worst.see(start.Sub(since))
								}
							}
						})
					}
				}
				if c.storm {
					all.Go(func() {
						for pace(ctx, 400*time.Millisecond) {
							f.Down()
							pace(ctx, 200*time.Millisecond)
							f.Up(t)
						}
					})
				}
				all.Wait()
				t.Logf("%d reads, the oldest overtaken %v before it began", reads.Load(), worst.d)
				if got := worst.d; got > c.bound {
					t.Errorf("a reader saw what was overtaken %v before, the bound is %v", got, c.bound)
				}
				if reads.Load() < 100 {
					t.Errorf("only %d reads: nothing was shown", reads.Load())
				}
			})
		})
	}
}

// pace waits for up to twice d, d in the middle; false once ctx has ended.
func pace(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(rand.N(2 * d)):
		return true
	case <-ctx.Done():
		return false
	}
}
