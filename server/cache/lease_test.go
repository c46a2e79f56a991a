package cache_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"addons/server/cache"
	"addons/server/catalog"
	"addons/server/enginetest"
	"addons/server/metrics"
)

// leases is the count of one outcome, over all families.
func leases(t *testing.T, reg *metrics.Registry, outcome string) int {
	t.Helper()
	all, err := reg.Prometheus().Gather()
	if err != nil {
		t.Fatal(err)
	}
	n := 0.
	for _, f := range all {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == "addons_cache_leases_total" && l.GetName() == "outcome" && l.GetValue() == outcome {
					n += m.GetCounter().GetValue()
				}
			}
		}
	}
	return int(n)
}

// several opens the URL n times, as n processes would; once if it is in process.
func several(t *testing.T, url string, n int) (caches []*cache.Cache, regs []*metrics.Registry) {
	for range n {
		c, reg := open(t, url)
		caches, regs = append(caches, c), append(regs, reg)
		if c.Name() == "memory" {
			break
		}
	}
	return caches, regs
}

func TestFiveHundredMissesOfSeveralProcessesAreOneLoad(t *testing.T) {
	backends(t, func(t *testing.T, url string) {
		caches, regs := several(t, url, 5)
		var loads atomic.Int32
		gate := make(chan struct{})
		load := func(context.Context) (value, error) {
			loads.Add(1)
			<-gate
			return sample(), nil
		}
		var all sync.WaitGroup
		for i := range 500 {
			all.Go(func() {
				v, err := cache.Fetch(t.Context(), caches[i%len(caches)], family, "hot", load)
				if err != nil || v.Count != 7 {
					t.Errorf("Fetch = %v, %v", v, err)
				}
			})
		}
		wait(t, "all callers wait", func() bool {
			n := 0.
			for _, reg := range regs {
				n += flightWaits(reg)
			}
			return int(n) == 500-len(caches)
		})
		close(gate)
		all.Wait()
		if loads.Load() != 1 {
			t.Errorf("500 concurrent misses of %d processes loaded %d times, want once", len(caches), loads.Load())
		}
	})
}

// A load that read before a write must not be kept after it, whoever wrote,
// whether there was a stale copy before, and whether somebody fetched meanwhile.
func TestAFillNeverOverwritesALaterWrite(t *testing.T) {
	backends(t, func(t *testing.T, url string) {
		for name, f := range map[string]cache.Family{"no copy": family, "stale copy": brief} {
			for _, between := range []string{"", "fetch"} {
				t.Run(name+" "+between, func(t *testing.T) {
					caches, regs := several(t, url, 2)
					reader, writer := caches[0], caches[len(caches)-1]
					key := name + between
					var row atomic.Int32
					read := func(context.Context) (int32, error) { return row.Load(), nil }
					if f.Name == brief.Name {
						fetch(t, reader, f, key, read)
					}
					has, goOn := make(chan struct{}), make(chan struct{})
					var late sync.WaitGroup
					late.Go(func() {
						cache.Fetch(t.Context(), reader, f, key, func(context.Context) (int32, error) {
							v := row.Load()
							close(has)
							<-goOn
							return v, nil
						})
					})
					<-has
					row.Store(1)
					if err := writer.Invalidate(t.Context(), f, key); err != nil {
						t.Fatal(err)
					}
					if between == "fetch" {
						if got := fetch(t, writer, f, key, read); got != 1 {
							t.Errorf("the writer read %d after its write, want 1", got)
						}
					}
					close(goOn)
					late.Wait()
					for i, c := range caches {
						// What is kept is seen by a load that fails.
						got, err := cache.Fetch(t.Context(), c, f, key, func(context.Context) (int32, error) { return 1, errors.New("no copy") })
						if err == nil && got != 1 {
							t.Errorf("process %d read %d after the write, want 1 or no copy", i, got)
						}
					}
					if got := leases(t, regs[0], "lost"); got != 1 {
						t.Errorf("leases lost = %d, want 1", got)
					}
				})
			}
		}
	})
}

func TestAHolderThatDiesHoldsNobodyUp(t *testing.T) {
	backends(t, func(t *testing.T, url string) {
		caches, regs := several(t, url, 2)
		if len(caches) < 2 {
			return // in process there is one flight, and no other that could wait
		}
		has, goOn := make(chan struct{}), make(chan struct{})
		var late sync.WaitGroup
		late.Go(func() {
			cache.Fetch(t.Context(), caches[0], family, "slow", func(context.Context) (string, error) {
				close(has)
				<-goOn
				return "late", nil
			})
		})
		<-has
		start := time.Now()
		load, _ := always("soon")
		if got := fetch(t, caches[1], family, "slow", load); got != "soon" {
			t.Errorf("Fetch = %q, want what the second process loads", got)
		}
		// A lease is 2s; the rest is for a busy machine.
		if d := time.Since(start); d > 8*time.Second {
			t.Errorf("a lease that nobody gives back was waited for %v", d)
		}
		close(goOn)
		late.Wait()
		none, _ := always("loaded again")
		if got := fetch(t, caches[1], family, "slow", none); got != "soon" {
			t.Errorf("the copy is %q, want the second process's", got)
		}
		if got := leases(t, regs[0], "lost"); got != 1 {
			t.Errorf("leases lost by the first = %d, want 1", got)
		}
	})
}

// A load that brings nothing, or what cannot be kept, gives its lease back.
func TestALeaseIsGivenBack(t *testing.T) {
	backends(t, func(t *testing.T, url string) {
		caches, _ := several(t, url, 2)
		for name, load := range map[string]func(context.Context) ([]byte, error){
			"error":     func(context.Context) ([]byte, error) { return nil, errors.New("no") },
			"too large": func(context.Context) ([]byte, error) { return make([]byte, 9<<20), nil },
		} {
			cache.Fetch(t.Context(), caches[0], family, name, load)
			// One poll at the most goes by before the lease is seen to be free.
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := cache.Fetch(ctx, caches[len(caches)-1], family, name, func(context.Context) ([]byte, error) { return nil, nil }); err != nil {
				t.Errorf("%s: the next load: %v", name, err)
			}
		}
	})
}

// Whatever a renewal or a fill is about to ask the backend, or to hear from it, when
// somebody else writes and invalidates: nothing that was read before answers after.
func TestAnInvalidationAtEachStepOfAFillLeavesNothingOld(t *testing.T) {
	unavailable := func(context.Context) (int32, error) { return 0, fmt.Errorf("database: %w", catalog.ErrUnavailable) }
	for name, c := range map[string]struct {
		family  cache.Family
		old     bool // a copy is there before
		load    func(context.Context) (int32, error)
		atLeast int // steps: requests and answers
	}{
		"fill":    {family: family, atLeast: 6},
		"renewal": {family: cache.Family{Name: "soft", TTL: time.Nanosecond, Revalidate: time.Hour}, old: true, atLeast: 6},
		"reload":  {family: brief, old: true, atLeast: 6},
		"excuse":  {family: brief, old: true, load: unavailable, atLeast: 4},
	} {
		t.Run(name, func(t *testing.T) {
			remote(t, func(t *testing.T, f *enginetest.Front, url string) {
				url = with(url, "timeout=5s")
				steps := 0
				for more := true; more; steps++ {
					writer, _ := open(t, url)
					reader, _ := open(t, strings.Replace(url, "near=0", "near=1MiB&near_ttl=1h", 1))
					for who, invalidating := range map[string]*cache.Cache{"another": writer, "itself": reader} {
						var row atomic.Int32
						key := fmt.Sprint(who, steps)
						read := func(context.Context) (int32, error) { return row.Load(), nil }
						load := c.load
						if load == nil {
							load = read
						}
						fetch(t, reader, c.family, "another key", read) // connects, and asks for the generation
						reader.Settle()
						if c.old {
							fetch(t, writer, c.family, key, read) // which leaves no copy in the reader
						}
						var passed atomic.Int32
						var written sync.WaitGroup
						written.Add(1)
						f.Watch(func() {
							if int(passed.Add(1)) != steps+1 {
								return
							}
							defer written.Done()
							row.Store(1)
							if err := invalidating.Invalidate(context.Background(), c.family, key); err != nil {
								t.Errorf("step %d: %v", steps, err)
							}
						})
						cache.Fetch(t.Context(), reader, c.family, key, load)
						reader.Settle()
						f.Watch(nil)
						if more = row.Load() == 1; !more {
							break
						}
						written.Wait()
						left := map[string]*cache.Cache{"the backend": writer}
						if who == "itself" { // another's invalidation is not seen by the layer above the backend until near_ttl
							left["the reader"] = reader
						}
						for where, c2 := range left {
							got, err := cache.Fetch(t.Context(), c2, c.family, key, func(context.Context) (int32, error) { return 1, errors.New("no copy") })
							if err == nil && got != 1 {
								t.Errorf("%s invalidated at step %d: %s still has what was read before", who, steps, where)
							}
						}
					}
				}
				if steps < c.atLeast {
					t.Errorf("only %d steps were looked at", steps)
				}
			})
		})
	}
}
