package cache_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"addons/server/cache"
	"addons/server/catalog"
	"addons/server/enginetest"
	"addons/server/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	family = cache.Family{Name: "addon", TTL: time.Minute, Stale: time.Hour}
	// brief is stale at once, and may be served while its load is unavailable.
	brief = cache.Family{Name: "brief", TTL: time.Nanosecond, Stale: time.Hour}
)

type value struct {
	Name  catalog.Text
	Tags  []string
	Count int
	At    time.Time
}

func sample() value {
	return value{Name: catalog.Text{"de": "Uhr"}, Tags: []string{"a", "b"}, Count: 7, At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
}

// backends are the URLs that the suite runs over; "" skips what isn't there.
func backends(t *testing.T, run func(t *testing.T, url string)) {
	for name, url := range map[string]func(t testing.TB) string{
		"memory":                func(testing.TB) string { return "memory:?size=16MiB" },
		"memcache":              func(t testing.TB) string { return with(enginetest.URL(t, "MEMCACHE"), "near=0") },
		"memcache under memory": func(t testing.TB) string { return enginetest.URL(t, "MEMCACHE") },
		"redis":                 func(t testing.TB) string { return with(enginetest.URL(t, "REDIS"), "near=0") },
		"redis under memory":    func(t testing.TB) string { return enginetest.URL(t, "REDIS") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// The machine may be busy: what is tested is not how fast the engine is.
			u := with(url(t), fmt.Sprintf("namespace=t%x", rand.Uint64()))
			if name != "memory" {
				u = with(u, "timeout=5s")
			}
			run(t, u)
		})
	}
}

func with(url, parameter string) string {
	if strings.Contains(url, "?") {
		return url + "&" + parameter
	}
	return url + "?" + parameter
}

func open(t testing.TB, url string) (*cache.Cache, *metrics.Registry) {
	t.Helper()
	reg := metrics.New(nil)
	c, err := cache.Open(url, reg, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c, reg
}

// always returns a load that gives v, and how often it ran.
func always[T any](v T) (func(context.Context) (T, error), *atomic.Int32) {
	var n atomic.Int32
	return func(context.Context) (T, error) { n.Add(1); return v, nil }, &n
}

func fetch[T any](t *testing.T, c *cache.Cache, f cache.Family, key string, load func(context.Context) (T, error)) T {
	t.Helper()
	v, err := cache.Fetch(t.Context(), c, f, key, load)
	if err != nil {
		t.Fatalf("Fetch(%s, %q): %v", f.Name, key, err)
	}
	return v
}

// requests sums the results of a family over the backends.
func requests(t *testing.T, reg *metrics.Registry, family string) map[string]int {
	t.Helper()
	got := map[string]int{}
	all, err := reg.Prometheus().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() != "addons_cache_requests_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if n := int(m.GetCounter().GetValue()); labels["cache"] == family && n > 0 {
				got[labels["result"]] += n
			}
		}
	}
	return got
}

func TestTheSecondFetchIsAHit(t *testing.T) {
	backends(t, func(t *testing.T, url string) {
		c, reg := open(t, url)
		load, n := always(sample())
		for _, key := range []string{"clock", "näher/ü b\x00\r\n#", strings.Repeat("long", 100)} {
			for range 2 {
				if diff := cmp.Diff(sample(), fetch(t, c, family, key, load)); diff != "" {
					t.Error(diff)
				}
			}
		}
		if n.Load() != 3 {
			t.Errorf("three keys were loaded %d times, want 3", n.Load())
		}
		if diff := cmp.Diff(map[string]int{"hit": 3, "miss": 3}, requests(t, reg, "addon")); diff != "" {
			t.Error(diff)
		}
	})
}

func TestBytesAreKept(t *testing.T) {
	backends(t, func(t *testing.T, url string) {
		c, _ := open(t, url)
		raw, nRaw := always([]byte("\x00{}"))
		for range 2 {
			if got := fetch(t, c, family, "raw", raw); string(got) != "\x00{}" {
				t.Errorf("bytes came back as %q", got)
			}
		}
		if nRaw.Load() != 1 {
			t.Errorf("loads = %d, want 1", nRaw.Load())
		}
	})
}

func TestFiveHundredMissesAreOneLoad(t *testing.T) {
	backends(t, func(t *testing.T, url string) {
		c, reg := open(t, url)
		var loads atomic.Int32
		gate := make(chan struct{})
		var all sync.WaitGroup
		for range 500 {
			all.Go(func() {
				v, err := cache.Fetch(t.Context(), c, family, "hot", func(context.Context) (value, error) {
					loads.Add(1)
					<-gate
					return sample(), nil
				})
				if err != nil || v.Count != 7 {
					t.Errorf("Fetch = %v, %v", v, err)
				}
				v.Tags[0] = "mine" // would be a race if callers shared the value
			})
		}
		wait(t, "499 callers wait for the one that loads", func() bool { return flightWaits(reg) == 499 })
		close(gate)
		all.Wait()
		if loads.Load() != 1 {
			t.Errorf("500 concurrent misses loaded %d times, want once", loads.Load())
		}
	})
}

func flightWaits(reg *metrics.Registry) float64 {
	n, _ := testutil.GatherAndCount(reg.Prometheus(), "addons_cache_flight_waits_total")
	if n == 0 {
		return 0
	}
	all, _ := reg.Prometheus().Gather()
	for _, f := range all {
		if f.GetName() == "addons_cache_flight_waits_total" {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	return 0
}

// wait polls for what has no event.
func wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func TestErrorsAreNotKept(t *testing.T) {
	backends(t, func(t *testing.T, url string) {
		c, _ := open(t, url)
		_, err := cache.Fetch(t.Context(), c, family, "gone", func(context.Context) (int, error) {
			return 0, fmt.Errorf("add-on: %w", catalog.ErrNotFound)
		})
		if !errors.Is(err, catalog.ErrNotFound) {
			t.Errorf("error = %v, want the load's", err)
		}
		load, _ := always(3)
		if got := fetch(t, c, family, "gone", load); got != 3 {
			t.Errorf("after an error Fetch = %d, want a new load's 3", got)
		}
	})
}

func TestAStaleCopyAnswersWhileTheLoadIsUnavailable(t *testing.T) {
	backends(t, func(t *testing.T, url string) {
		c, reg := open(t, url)
		load, _ := always(sample())
		fetch(t, c, brief, "clock", load)
		var tries atomic.Int32
		down := func(context.Context) (value, error) {
			tries.Add(1)
			return value{}, fmt.Errorf("database: %w", catalog.ErrUnavailable)
		}
		ctx, ledger := metrics.Begin(t.Context(), "")
		for range 3 {
			v, err := cache.Fetch(ctx, c, brief, "clock", down)
			if diff := cmp.Diff(sample(), v); err != nil || diff != "" {
				t.Fatalf("with the load down Fetch = %v, %s", err, diff)
			}
		}
		if got := requests(t, reg, "brief"); got["stale"] != 3 || ledger.Count("stale") != 3 {
			t.Errorf("requests = %v, ledger says %d stale, want 3 in both", got, ledger.Count("stale"))
		}
		if near := !strings.Contains(url, "near=0"); near && tries.Load() != 1 {
			t.Errorf("within a second the load was tried %d times, want once", tries.Load())
		}
		if _, err := cache.Fetch(ctx, c, brief, "never seen", down); !errors.Is(err, catalog.ErrUnavailable) {
			t.Errorf("without a copy the error = %v, want ErrUnavailable", err)
		}
		wrong := func(context.Context) (value, error) { return value{}, catalog.ErrNotFound }
		fetch(t, c, brief, "deleted", load)
		if _, err := cache.Fetch(ctx, c, brief, "deleted", wrong); !errors.Is(err, catalog.ErrNotFound) {
			t.Errorf("an add-on that is gone gave %v, want ErrNotFound and no stale copy", err)
		}
	})
}

func TestInvalidateForgetsTheKeysOnly(t *testing.T) {
	backends(t, func(t *testing.T, url string) {
		c, _ := open(t, url)
		load, n := always(1)
		for _, key := range []string{"a", "b", "c"} {
			fetch(t, c, family, key, load)
		}
		if err := c.Invalidate(t.Context(), family, "a", "b", "never there"); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"a", "b", "c"} {
			fetch(t, c, family, key, load)
		}
		if n.Load() != 5 {
			t.Errorf("loads = %d, want 3 and the 2 that were invalidated", n.Load())
		}
	})
}

func TestInvalidateAllForgetsTheFamilyOnly(t *testing.T) {
	backends(t, func(t *testing.T, url string) {
		c, _ := open(t, url)
		other := cache.Family{Name: "other", TTL: time.Minute}
		load, n := always(1)
		refetch := func() {
			for _, key := range []string{"a", "b"} {
				fetch(t, c, family, key, load)
				fetch(t, c, other, key, load)
			}
		}
		refetch()
		for range 2 {
			if err := c.InvalidateAll(t.Context(), family); err != nil {
				t.Fatal(err)
			}
		}
		refetch()
		if n.Load() != 6 {
			t.Errorf("loads = %d, want 4 and the family's 2", n.Load())
		}
	})
}

func TestAnotherProcessNoticesInvalidation(t *testing.T) {
	backends(t, func(t *testing.T, url string) {
		if strings.HasPrefix(url, "memory:") {
			return // it is one process's own
		}
		ours, _ := open(t, url)
		theirs, _ := open(t, with(url, "near_ttl=10ms"))
		var current atomic.Int32
		load := func(context.Context) (int32, error) { return current.Load(), nil }
		fetch(t, ours, family, "a", load)
		fetch(t, theirs, family, "a", load)
		current.Store(1)
		if err := ours.Invalidate(t.Context(), family, "a"); err != nil {
			t.Fatal(err)
		}
		wait(t, "Invalidate is noticed", func() bool { return fetch(t, theirs, family, "a", load) == 1 })
		current.Store(2)
		if err := ours.InvalidateAll(t.Context(), family); err != nil {
			t.Fatal(err)
		}
		wait(t, "InvalidateAll is noticed", func() bool { return fetch(t, theirs, family, "a", load) == 2 })
	})
}

func TestALoadThatWasInvalidatedOnItsWayIsNotKept(t *testing.T) {
	backends(t, func(t *testing.T, url string) {
		c, _ := open(t, url)
		begun, gate, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			cache.Fetch(t.Context(), c, family, "a", func(context.Context) (string, error) {
				close(begun)
				<-gate
				return "read before the write", nil
			})
		}()
		<-begun
		if err := c.Invalidate(t.Context(), family, "a"); err != nil {
			t.Fatal(err)
		}
		close(gate)
		<-ended
		load, _ := always("read after the write")
		if got := fetch(t, c, family, "a", load); got != "read after the write" {
			t.Errorf("Fetch = %q: a load from before Invalidate was kept", got)
		}
	})
}

func TestACallerThatLeavesTakesNobodyAlong(t *testing.T) {
	backends(t, func(t *testing.T, url string) {
		c, reg := open(t, url)
		first, leave := context.WithCancel(t.Context())
		begun, gate := make(chan struct{}), make(chan struct{})
		load := func(ctx context.Context) (string, error) {
			close(begun)
			select {
			case <-gate:
				return "loaded", nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}
		left := make(chan error, 1)
		go func() {
			_, err := cache.Fetch(first, c, family, "a", load)
			left <- err
		}()
		<-begun
		got := make(chan string, 1)
		go func() { got <- fetch(t, c, family, "a", load) }()
		wait(t, "the second caller waits", func() bool { return flightWaits(reg) == 1 })
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("the caller that left got %v, want its own cancellation", err)
		}
		close(gate)
		if v := <-got; v != "loaded" {
			t.Errorf("the other caller got %q", v)
		}
	})
}

func TestAPanicInLoadIsOnePanicAndNoWedge(t *testing.T) {
	backends(t, func(t *testing.T, url string) {
		c, reg := open(t, url)
		begun, gate := make(chan struct{}), make(chan struct{})
		recovered := make(chan any, 1)
		go func() {
			defer func() { recovered <- recover() }()
			cache.Fetch(t.Context(), c, family, "a", func(context.Context) (int, error) {
				close(begun)
				<-gate
				panic("no such thing")
			})
		}()
		<-begun
		other := make(chan error, 1)
		go func() {
			_, err := cache.Fetch(t.Context(), c, family, "a", func(context.Context) (int, error) { return 0, nil })
			other <- err
		}()
		wait(t, "the second caller waits", func() bool { return flightWaits(reg) == 1 })
		close(gate)
		if p, ok := (<-recovered).(*cache.Panic); !ok || p.Value != "no such thing" || !strings.Contains(string(p.Stack), "cache_test.go") {
			t.Errorf("the first caller panicked with %v, want a *Panic with load's stack", p)
		}
		if err := <-other; err == nil || !strings.Contains(err.Error(), "no such thing") {
			t.Errorf("the other caller got %v, want an error that says so", err)
		}
		load, _ := always(5)
		if got := fetch(t, c, family, "a", load); got != 5 {
			t.Errorf("after the panic Fetch = %d, want 5", got)
		}
	})
}

func TestAValueThatIsTooLargeIsCountedAndLoadedAgain(t *testing.T) {
	backends(t, func(t *testing.T, url string) {
		c, reg := open(t, url)
		load, n := always(make([]byte, 9<<20))
		for range 2 {
			if got := fetch(t, c, family, "large", load); len(got) != 9<<20 {
				t.Errorf("got %d bytes", len(got))
			}
		}
		if n.Load() != 2 {
			t.Errorf("loads = %d, want 2", n.Load())
		}
		if n, err := testutil.GatherAndCount(reg.Prometheus(), "addons_cache_not_stored_total"); err != nil || n == 0 {
			t.Errorf("addons_cache_not_stored_total has %d series, %v", n, err)
		}
	})
}

func TestACopyOfAnotherShapeIsAMiss(t *testing.T) {
	backends(t, func(t *testing.T, url string) {
		type older struct{ Name, Colour string }
		type newer struct{ Name, Shade string }
		c, _ := open(t, url)
		old, _ := always(older{"clock", "red"})
		fetch(t, c, family, "a", old)
		current, _ := always(newer{"clock", "dark"})
		if got := fetch(t, c, family, "a", current); got.Shade != "dark" {
			t.Errorf("Fetch = %+v, want what the load of the new type gives", got)
		}
	})
}

func TestNamespacesDoNotMeet(t *testing.T) {
	backends(t, func(t *testing.T, url string) {
		c, _ := open(t, url)
		next, _ := open(t, strings.Replace(url, "namespace=", "namespace=next", 1))
		one, _ := always(1)
		two, _ := always(2)
		fetch(t, c, family, "a", one)
		if got := fetch(t, next, family, "a", two); got != 2 {
			t.Errorf("another build's value was served: %d", got)
		}
	})
}

func TestAValueThatCannotBeEncodedIsStillReturned(t *testing.T) {
	c, reg := open(t, "memory:")
	load, n := always(map[string]any{"f": func() {}})
	for range 2 {
		if got := fetch(t, c, family, "a", load); got["f"] == nil {
			t.Error("the value is lost")
		}
	}
	if n.Load() != 2 {
		t.Errorf("loads = %d, want 2", n.Load())
	}
	want := "# HELP addons_cache_not_stored_total Values that were not kept because they were too large for the backend or could not be encoded.\n" +
		"# TYPE addons_cache_not_stored_total counter\naddons_cache_not_stored_total{backend=\"memory\",reason=\"too_large\"} 0\n" +
		"addons_cache_not_stored_total{backend=\"memory\",reason=\"unencodable\"} 2\n"
	if err := testutil.GatherAndCompare(reg.Prometheus(), strings.NewReader(want), "addons_cache_not_stored_total"); err != nil {
		t.Error(err)
	}
}

func TestOpenListsWhatItKnows(t *testing.T) {
	for url, want := range map[string]string{
		"memcached://a":              `unknown scheme "memcached": use memory:, memcache://host:port,host:port or redis://host:port/db`,
		"":                           `unknown scheme ""`,
		"memory:?sise=1":             `has no parameter "sise": use namespace, shadow, size`,
		"memory:?size=big":           `"big" is no size: write it as 64MiB`,
		"memory:/tmp":                "takes no address",
		"redis://h/0?ttl=1":          `has no parameter "ttl": use namespace, near, near_ttl, shadow, timeout`,
		"redis://u:secret@h/x":       "the address is not of the form",
		"memcache://a,,b":            "is no list of hosts",
		"memcache://a?timeout=-1s":   `"-1s" is not above zero`,
		"redis://u:secret@h/0?size=": `has no parameter "size"`,
	} {
		c, err := cache.Open(url, metrics.New(nil), slog.Default())
		if err == nil {
			c.Close()
			t.Errorf("Open(%q) gave no error", url)
			continue
		}
		if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("Open(%q): %v, want it to say: %s", url, err, want)
		}
	}
}

// remote runs the test over both remote engines behind a front.
func remote(t *testing.T, run func(t *testing.T, f *enginetest.Front, url string)) {
	for name, engine := range map[string]string{"memcache": "MEMCACHE", "redis": "REDIS"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := enginetest.URL(t, engine)
			scheme, rest, _ := strings.Cut(url, "://")
			host, _, _ := strings.Cut(rest, ",")
			host, _, _ = strings.Cut(host, "/")
			host, _, _ = strings.Cut(host, "?")
			f := enginetest.NewFront(t, host)
			run(t, f, fmt.Sprintf("%s://%s?near=0&namespace=t%x", scheme, f.Addr, rand.Uint64()))
		})
	}
}

func TestFetchSurvivesACacheThatIsKilled(t *testing.T) {
	remote(t, func(t *testing.T, f *enginetest.Front, url string) {
		c, reg := open(t, url)
		load, n := always(sample())
		fetch(t, c, family, "a", load)
		fetch(t, c, family, "a", load)
		if n.Load() != 1 {
			t.Fatalf("loads = %d before the kill, want 1", n.Load())
		}
		f.Down()
		for range 50 {
			if got := fetch(t, c, family, "a", load); got.Count != 7 {
				t.Fatalf("Fetch = %+v", got)
			}
		}
		if n.Load() != 51 {
			t.Errorf("loads = %d, want one for each of the 50 misses", n.Load())
		}
		if got := requests(t, reg, "addon"); got["error"] != 50 {
			t.Errorf("requests = %v, want 50 errors", got)
		}
		if err := c.Check(t.Context()); err == nil {
			t.Error("Check finds a dead cache in order")
		}
		if err := c.Invalidate(t.Context(), family, "a"); err == nil {
			t.Error("Invalidate of a dead cache says that it worked")
		}
	})
}

func TestACopyThatCouldNotBeInvalidatedIsNotUsedWhenTheCacheIsBack(t *testing.T) {
	remote(t, func(t *testing.T, f *enginetest.Front, url string) {
		for name, invalidate := range map[string]func(*cache.Cache) error{
			"one": func(c *cache.Cache) error { return c.Invalidate(t.Context(), family, "a") },
			"all": func(c *cache.Cache) error { return c.InvalidateAll(t.Context(), family) },
		} {
			c, _ := open(t, url)
			old, _ := always(1)
			c.InvalidateAll(t.Context(), family)
			fetch(t, c, family, "a", old)
			f.Down()
			if err := invalidate(c); err == nil {
				t.Errorf("%s: no error from a cache that is down", name)
			}
			f.Up(t)
			load, n := always(2)
			wait(t, "the cache is used again", func() bool {
				if got := fetch(t, c, family, "a", load); got != 2 {
					t.Fatalf("%s: the old copy is back", name)
				}
				return n.Load() > 0 && c.Check(t.Context()) == nil && fetchedFrom(t, c, "b")
			})
		}
	})
}

// fetchedFrom says whether the cache keeps what it is given.
func fetchedFrom(t *testing.T, c *cache.Cache, key string) bool {
	load, n := always(1)
	fetch(t, c, family, key, load)
	fetch(t, c, family, key, load)
	return n.Load() < 2
}

func TestAFrozenCacheSoonCostsNothing(t *testing.T) {
	remote(t, func(t *testing.T, f *enginetest.Front, url string) {
		c, _ := open(t, url)
		load, _ := always(1)
		fetch(t, c, family, "a", load)
		f.Freeze()
		begun := time.Now()
		for range 1000 {
			fetch(t, c, family, "a", load)
		}
		// Five failures of 100 ms open the circuit, and each second costs one more.
		if took := time.Since(begun); took > 3*time.Second {
			t.Errorf("1000 fetches from a frozen cache took %v", took)
		}
		f.Thaw()
		wait(t, "the cache is used again", func() bool {
			load, n := always(2)
			fetch(t, c, family, "b", load)
			return n.Load() == 0
		})
	})
}

func TestACacheThatIsDownAtTheStartIsAMiss(t *testing.T) {
	for _, url := range []string{"memcache://127.0.0.1:1,127.0.0.1:2", "redis://127.0.0.1:1/0"} {
		c, _ := open(t, url)
		load, n := always(1)
		fetch(t, c, family, "a", load)
		fetch(t, c, family, "a", load)
		if n.Load() != 1 {
			t.Errorf("%s: loads = %d, want 1: the in-process layer is there", url, n.Load())
		}
	}
}

func TestOneServerThatIsDownLeavesTheOthersAtWork(t *testing.T) {
	host, _, _ := strings.Cut(strings.TrimPrefix(enginetest.URL(t, "MEMCACHE"), "memcache://"), ",")
	c, reg := open(t, fmt.Sprintf("memcache://127.0.0.1:1,%s?near=0&timeout=5s&namespace=t%x", host, rand.Uint64()))
	load, _ := always(1)
	// Some family has its generation on the live server.
	for i := range 16 {
		f := cache.Family{Name: fmt.Sprint("family", i), TTL: time.Minute}
		for range 2 {
			for key := range 20 {
				fetch(t, c, f, fmt.Sprint(key), load)
			}
		}
		if got := requests(t, reg, f.Name); got["hit"] > 0 {
			return
		}
	}
	t.Error("with one of two servers down nothing was ever a hit")
}

func BenchmarkFetchHit(b *testing.B) {
	for _, engine := range []string{"memory", "MEMCACHE", "REDIS"} {
		for _, near := range []string{"", "near=0"} {
			if engine == "memory" && near != "" {
				continue
			}
			b.Run(strings.ToLower(engine)+near, func(b *testing.B) {
				url := "memory:"
				if engine != "memory" {
					url = enginetest.URL(b, engine)
				}
				if near != "" {
					url = with(url, near)
				}
				c, _ := open(b, url)
				benchmarkHit(b, c, "struct", sample())
				benchmarkHit(b, c, "bytes", make([]byte, 2000))
			})
		}
	}
}

func benchmarkHit[T any](b *testing.B, c *cache.Cache, name string, v T) {
	load, _ := always(v)
	long := cache.Family{Name: "bench", TTL: time.Hour}
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := cache.Fetch(b.Context(), c, long, name, load); err != nil {
				b.Fatal(err)
			}
		}
	})
}
