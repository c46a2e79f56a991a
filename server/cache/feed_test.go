package cache_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"addons/server/cache"
	"addons/server/catalog"
	"addons/server/enginetest"
)

// changes is a Source in memory.
type changes struct {
	mu    sync.Mutex
	all   []string
	first int   // of all that is still known
	down  error // what Clock answers
}

func (c *changes) commit(objects ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, objects...)
}

func (c *changes) Clock(context.Context) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int64(len(c.all)), c.down
}

func (c *changes) Changes(_ context.Context, after int64, limit int) ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if int(after) < c.first {
		return nil, fmt.Errorf("changes: %w", catalog.ErrBehind)
	}
	rest := c.all[after:]
	return rest[:min(limit, len(rest))], nil
}

// made loads a value that is made of objects; "*" is any. It counts loads.
func made(n *atomic.Int32, objects ...string) func(context.Context) (int32, error) {
	return func(ctx context.Context) (int32, error) {
		for _, o := range objects {
			if o == "*" {
				cache.UsesAny(ctx)
				continue
			}
			cache.Uses(ctx, o)
		}
		return n.Add(1), nil
	}
}

func catchUp(t *testing.T, c *cache.Cache, s cache.Source) {
	t.Helper()
	if err := c.CatchUp(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

func TestAChangeEndsWhatWasMadeOfItAndListsInEveryProcess(t *testing.T) {
	backends(t, func(t *testing.T, url string) {
		caches, _ := several(t, url, 3)
		log := &changes{}
		var one, two, list, still atomic.Int32
		look := func() (got [4]int32) {
			for _, c := range caches {
				catchUp(t, c, log)
				got = [4]int32{
					fetch(t, c, family, "one", made(&one, "a")), fetch(t, c, family, "two", made(&two, "b", "c")),
					fetch(t, c, family, "list", made(&list, "b", "*")), fetch(t, c, family, "still", made(&still)),
				}
			}
			return got
		}
		for i, step := range []struct {
			commit []string
			want   [4]int32
		}{
			{nil, [4]int32{1, 1, 1, 1}},
			{[]string{"a"}, [4]int32{2, 1, 2, 1}},
			{[]string{"new"}, [4]int32{2, 1, 3, 1}},
			{[]string{"c", "b"}, [4]int32{2, 2, 4, 1}},
			{nil, [4]int32{2, 2, 4, 1}},
		} {
			log.commit(step.commit...)
			if got := look(); got != step.want {
				t.Errorf("step %d: loads of one, two, list, still = %v, want %v: the rest from the cache", i, got, step.want)
			}
		}
	})
}

// What a load fetches from the cache is a part of its value, and so is what that is
// made of, and how old it is.
func TestAValueIsMadeOfWhatItsPartsAreMadeOf(t *testing.T) {
	backends(t, func(t *testing.T, url string) {
		c, _ := open(t, url)
		log := &changes{}
		catchUp(t, c, log)
		var part, whole atomic.Int32
		outer := func(ctx context.Context) (int32, error) {
			cache.Uses(ctx, "whole")
			v, err := cache.Fetch(ctx, c, family, "part", made(&part, "part"))
			return 100*whole.Add(1) + v, err
		}
		if got := fetch(t, c, family, "whole", outer); got != 101 {
			t.Fatalf("first: %d", got)
		}
		log.commit("part")
		catchUp(t, c, log)
		if got := fetch(t, c, family, "whole", outer); got != 202 {
			t.Errorf("after a change of the part: %d, want both loaded anew, 202", got)
		}
		log.commit("whole")
		catchUp(t, c, log)
		for range 3 {
			if got := fetch(t, c, family, "whole", outer); got != 302 {
				t.Errorf("after a change of the whole: %d, want the part from the cache and one load of the whole, 302", got)
			}
		}
	})
}

// A whole that was made of a part from before a change is from before it too.
func TestAValueIsAsOldAsItsOldestPart(t *testing.T) {
	synctest.Test(t, valueIsAsOldAsItsOldestPart)
}

func valueIsAsOldAsItsOldestPart(t *testing.T) {
	c, _ := open(t, "memory:")
	log := &changes{}
	catchUp(t, c, log)
	var part atomic.Int32
	down := false
	outer := func(ctx context.Context) (int32, error) {
		return cache.Fetch(ctx, c, family, "part", func(ctx context.Context) (int32, error) {
			if down {
				return 0, fmt.Errorf("database: %w", catalog.ErrUnavailable)
			}
			return made(&part, "*")(ctx)
		})
	}
	fetch(t, c, family, "whole", outer)
	log.commit("x")
	catchUp(t, c, log)
	down = true
	if got := fetch(t, c, family, "whole", outer); got != 1 {
		t.Errorf("with the database down: %d, want the old part", got)
	}
	down = false
	time.Sleep(1100 * time.Millisecond) // a part whose load failed answers for a second before the next try
	if got := fetch(t, c, family, "whole", outer); got != 2 {
		t.Errorf("with the database back: %d, want the part loaded anew", got)
	}
}

// A process that has not yet heard of a change fills the shared backend with what it
// read before: who has heard does not take it.
func TestAFillFromBeforeAChangeIsNotTakenByWhoHasHeardOfIt(t *testing.T) {
	backends(t, func(t *testing.T, url string) {
		caches, _ := several(t, url, 2)
		if len(caches) < 2 {
			return
		}
		slow, quick := caches[0], caches[1]
		log := &changes{}
		catchUp(t, slow, log)
		catchUp(t, quick, log)
		var row atomic.Int32
		read := func(ctx context.Context) (int32, error) { cache.Uses(ctx, "a"); return row.Load(), nil }
		got := fetch(t, slow, family, "k", func(ctx context.Context) (int32, error) {
			v, err := read(ctx)
			row.Store(1)
			log.commit("a")
			return v, err
		})
		if got != 0 {
			t.Fatalf("read %d before the write", got)
		}
		catchUp(t, quick, log)
		if got := fetch(t, quick, family, "k", read); got != 1 {
			t.Errorf("who has heard of the write reads %d", got)
		}
		catchUp(t, slow, log)
		if got := fetch(t, slow, family, "k", read); got != 1 {
			t.Errorf("who has heard of it now reads %d", got)
		}
	})
}

// Whoever comes when a change is known must not get the answer of a load that began
// before it.
func TestNobodyJoinsALoadThatBeganBeforeAKnownChange(t *testing.T) {
	c, reg := open(t, "memory:")
	log := &changes{}
	catchUp(t, c, log)
	var row atomic.Int32
	has, goOn := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		cache.Fetch(t.Context(), c, family, "k", func(ctx context.Context) (int32, error) {
			cache.Uses(ctx, "a")
			v := row.Load()
			close(has)
			<-goOn
			return v, nil
		})
	})
	<-has
	row.Store(1)
	log.commit("a")
	catchUp(t, c, log)
	all.Go(func() {
		got, err := cache.Fetch(t.Context(), c, family, "k", func(ctx context.Context) (int32, error) {
			cache.Uses(ctx, "a")
			return row.Load(), nil
		})
		if got != 1 || err != nil {
			t.Errorf("who came after the change got %d, %v", got, err)
		}
	})
	wait(t, "the second caller waits", func() bool { return flightWaits(reg) == 1 })
	close(goOn)
	all.Wait()
}

// A load that stood still may have read long ago, and nobody can know of changes since:
// who comes then does not take its answer.
func TestNobodyJoinsAnOldLoadWhileChangesCannotBeAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := open(t, "memory:")
		log := &changes{}
		ctx, stop := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { c.Follow(ctx, log) })
		synctest.Wait()
		var row atomic.Int32
		read := func(ctx context.Context) (int32, error) { cache.Uses(ctx, "a"); return row.Load(), nil }
		goOn := make(chan struct{})
		all.Go(func() {
			cache.Fetch(t.Context(), c, family, "k", func(ctx context.Context) (int32, error) {
				v, err := read(ctx)
				<-goOn
				return v, err
			})
		})
		synctest.Wait()
		log.mu.Lock()
		log.down = catalog.ErrUnavailable
		log.mu.Unlock()
		row.Store(1)
		log.commit("a")
		time.Sleep(cache.Behind + 2*time.Second)
		all.Go(func() {
			if got, err := cache.Fetch(t.Context(), c, family, "k", read); got != 1 || err != nil {
				t.Errorf("who came long after the write got %d, %v", got, err)
			}
		})
		synctest.Wait()
		close(goOn)
		synctest.Wait()
		stop()
		all.Wait()
	})
}

// With the database down a list that may have missed a change is better than none;
// what is made of something that has changed is not.
func TestOutdatedListsAnswerWhileTheLoadIsUnavailableAndChangedThingsDoNot(t *testing.T) {
	backends(t, func(t *testing.T, url string) {
		c, reg := open(t, url)
		log := &changes{}
		catchUp(t, c, log)
		var n atomic.Int32
		fetch(t, c, family, "list", made(&n, "b", "*"))
		fetch(t, c, family, "thing", made(&n, "a"))
		log.commit("a")
		catchUp(t, c, log)
		down := func(context.Context) (int32, error) { return 0, fmt.Errorf("database: %w", catalog.ErrUnavailable) }
		for range 3 {
			if got, err := cache.Fetch(t.Context(), c, family, "list", down); got != 1 || err != nil {
				t.Errorf("the list: %d, %v", got, err)
			}
		}
		if got := requests(t, reg, "addon")["stale"]; got != 3 {
			t.Errorf("stale = %d, want 3", got)
		}
		if _, err := cache.Fetch(t.Context(), c, family, "thing", down); !errors.Is(err, catalog.ErrUnavailable) {
			t.Errorf("what has changed: %v, want ErrUnavailable", err)
		}
		log.commit("b")
		catchUp(t, c, log)
		if _, err := cache.Fetch(t.Context(), c, family, "list", down); !errors.Is(err, catalog.ErrUnavailable) {
			t.Errorf("a list with what has changed: %v, want ErrUnavailable", err)
		}
	})
}

func TestMoreChangesThanAreKnownOutdateEverything(t *testing.T) {
	for name, lose := range map[string]func(*changes){
		"the source forgets": func(l *changes) { l.commit("x", "y", "z"); l.first = 3 },
		"numbers begin anew": func(l *changes) { l.all = nil },
		"too many to keep": func(l *changes) {
			for i := range 10_001 {
				l.commit(fmt.Sprint(i))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := open(t, "memory:")
			log := &changes{all: []string{"a", "b"}}
			catchUp(t, c, log)
			var n atomic.Int32
			fetch(t, c, family, "k", made(&n, "a"))
			lose(log)
			catchUp(t, c, log)
			if got := fetch(t, c, family, "k", made(&n, "a")); got != 2 {
				t.Errorf("loads = %d, want a second one", got)
			}
			if got := fetch(t, c, family, "k", made(&n, "a")); got != 2 {
				t.Errorf("loads = %d: the new copy is not used", got)
			}
		})
	}
}

func TestAProcessThatStartsBelievesNoCopyThatAChangeHasEnded(t *testing.T) {
	backends(t, func(t *testing.T, url string) {
		first, _ := open(t, url)
		if first.Name() == "memory" {
			return // it begins empty
		}
		log := &changes{all: []string{"z"}}
		catchUp(t, first, log)
		var a, b atomic.Int32
		fetch(t, first, family, "a", made(&a, "a"))
		fetch(t, first, family, "b", made(&b, "b"))
		log.commit("a")
		second, _ := open(t, url)
		catchUp(t, second, log)
		if got := fetch(t, second, family, "a", made(&a, "a")); got != 2 {
			t.Errorf("loads of what has changed = %d, want 2", got)
		}
		if got := fetch(t, second, family, "b", made(&b, "b")); got != 1 {
			t.Errorf("loads of what has not = %d, want 1", got)
		}
	})
}

func TestAnswersCountAsStaleWhileChangesCannotBeAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, reg := open(t, "memory:")
		log := &changes{}
		ctx, stop := context.WithCancel(t.Context())
		var followed sync.WaitGroup
		followed.Go(func() { c.Follow(ctx, log) })
		synctest.Wait()
		var n atomic.Int32
		look := func() { fetch(t, c, family, "k", made(&n, "a")) }
		look()
		log.mu.Lock()
		log.down = catalog.ErrUnavailable
		log.mu.Unlock()
		time.Sleep(cache.Behind - time.Millisecond)
		look()
		if got := requests(t, reg, "addon"); got["stale"] != 0 || got["hit"] != 1 {
			t.Errorf("a moment before: %v", got)
		}
		time.Sleep(2 * time.Second)
		look()
		log.mu.Lock()
		log.down = nil
		log.mu.Unlock()
		time.Sleep(2 * time.Second)
		look()
		if got := requests(t, reg, "addon"); got["stale"] != 1 || got["hit"] != 2 || n.Load() != 1 {
			t.Errorf("down for longer, and up again: %v, %d loads, want one stale and two hits", got, n.Load())
		}
		stop()
		followed.Wait()
	})
}

// A process that starts while the database is down has copies of others, and no idea
// what has become of them.
func TestAnswersCountAsStaleWhereChangesWereNeverKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, reg := open(t, "memory:")
		var n atomic.Int32
		fetch(t, c, family, "k", made(&n, "a"))
		soft := cache.Family{Name: "soft", TTL: time.Nanosecond, Revalidate: time.Hour}
		fetch(t, c, soft, "k", made(new(atomic.Int32), "a"))
		ctx, stop := context.WithCancel(t.Context())
		var followed sync.WaitGroup
		followed.Go(func() { c.Follow(ctx, &changes{down: catalog.ErrUnavailable}) })
		synctest.Wait()
		fetch(t, c, family, "k", made(&n, "a"))
		if got := requests(t, reg, "addon"); got["stale"] != 1 || n.Load() != 1 {
			t.Errorf("requests %v, %d loads, want the copy, as a stale one", got, n.Load())
		}
		fetch(t, c, soft, "k", made(&n, "a")) // past its time, and renewed in the background
		if got := requests(t, reg, "soft"); got["stale"] != 1 || got["revalidated"] != 0 {
			t.Errorf("requests %v, want the copy that is past its time as a stale one", got)
		}
		c.Settle()
		stop()
		followed.Wait()
	})
}

func TestExplainTellsWhatACopyIsMadeOfAndWhatEndedIt(t *testing.T) {
	backends(t, func(t *testing.T, url string) {
		c, _ := open(t, url)
		log := &changes{}
		catchUp(t, c, log)
		var n atomic.Int32
		fetch(t, c, family, "k:1", made(&n, "b", "a"))
		x, err := c.Explain(t.Context(), "addon:k:1")
		if err != nil {
			t.Fatal(err)
		}
		for _, copy := range x.Copies {
			if copy.State != "fresh" || strings.Join(copy.Objects, " ") != "a b" || copy.Any || copy.Filled.IsZero() || !strings.Contains(copy.By, "process") {
				t.Errorf("fresh: %+v", copy)
			}
		}
		log.commit("x", "b")
		catchUp(t, c, log)
		x, err = c.Explain(t.Context(), "addon:k:1")
		if err != nil {
			t.Fatal(err)
		}
		for _, copy := range x.Copies {
			if copy.State != "outdated" || copy.Ended != "change 2 of b" || copy.Last != "b in change 2" {
				t.Errorf("outdated: %+v", copy)
			}
		}
		fetch(t, c, family, "k:1", made(&n, "b", "a"))
		if x, err = c.Explain(t.Context(), "addon:k:1"); err != nil || len(x.History) < 3 || !strings.HasPrefix(x.History[0].What, "filled in") || x.History[1].What != "outdated by change 2 of b" {
			t.Errorf("history %v, %v", x.History, err)
		}
		if _, err := c.Explain(t.Context(), "adon:k"); err == nil || !strings.Contains(err.Error(), "with NAME one of addon") {
			t.Errorf("an unknown name: %v", err)
		}
	})
}

func TestAValueOfVeryManyObjectsIsMadeOfAny(t *testing.T) {
	c, _ := open(t, "memory:")
	log := &changes{}
	catchUp(t, c, log)
	var many []string
	for i := range 301 {
		many = append(many, fmt.Sprint(i))
	}
	var few, all atomic.Int32
	look := func() (int32, int32) {
		return fetch(t, c, family, "few", made(&few, many[:300]...)), fetch(t, c, family, "all", made(&all, many...))
	}
	look()
	log.commit("another")
	catchUp(t, c, log)
	if few, all := look(); few != 1 || all != 2 {
		t.Errorf("loads of a value of 300 and of one of 301 objects: %d and %d, want 1 and 2", few, all)
	}
}

// What notes its objects need not leave the process after near_ttl: changes end it.
func TestTheLayerAboveKeepsWhatFollowsChanges(t *testing.T) {
	e := enginetest.Redis(t)
	c, reg := open(t, "redis://"+e.Addr+"/0?timeout=5s&near_ttl=1ns")
	log := &changes{}
	ctx, stop := context.WithCancel(t.Context())
	var followed sync.WaitGroup
	defer followed.Wait()
	defer stop()
	followed.Go(func() { c.Follow(ctx, log) })
	c.Family(family)
	wait(t, "changes are followed", func() bool {
		x, err := c.Explain(t.Context(), family.Name+":k")
		return err == nil && x.Feed.Behind > 0
	})
	var follows, not atomic.Int32
	for range 3 {
		fetch(t, c, cache.Family{Name: "follows", TTL: time.Minute}, "k", made(&follows, "a"))
		fetch(t, c, cache.Family{Name: "not", TTL: time.Minute}, "k", made(&not))
	}
	near := func(family string) (n int) {
		all, err := reg.Prometheus().Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range all {
			for _, m := range f.GetMetric() {
				if l := m.GetLabel(); f.GetName() == "addons_cache_requests_total" && l[0].GetValue() == "memory" && l[1].GetValue() == family && l[2].GetValue() == "hit" {
					n += int(m.GetCounter().GetValue())
				}
			}
		}
		return n
	}
	if follows, not := near("follows"), near("not"); follows != 2 || not != 0 {
		t.Errorf("hits in process: %d and %d, want 2 of what follows and none of what does not", follows, not)
	}
}

// A copy that a change has just ended is no stale read: the process hears of it in a moment.
func TestAComparisonWaitsForTheChangesThatAreOnTheirWay(t *testing.T) {
	for name, tell := range map[string]bool{"changed": true, "mismatch": false} {
		synctest.Test(t, func(t *testing.T) {
			c, reg := open(t, "memory:?shadow=1")
			log := &changes{}
			ctx, stop := context.WithCancel(t.Context())
			var followed sync.WaitGroup
			followed.Go(func() { c.Follow(ctx, log) })
			synctest.Wait()
			var row atomic.Int32
			read := func(ctx context.Context) (int32, error) { cache.Uses(ctx, "a"); return row.Load(), nil }
			fetch(t, c, family, "k", read)
			row.Store(1)
			if tell {
				log.commit("a")
			}
			fetch(t, c, family, "k", read)
			c.Settle()
			if got := shadows(t, reg); got[name] != 1 || len(got) != 1 {
				t.Errorf("the writer tells: %t: %v, want one %s", tell, got, name)
			}
			stop()
			followed.Wait()
		})
	}
}
