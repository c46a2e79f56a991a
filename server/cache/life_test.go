package cache_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"addons/server/cache"
	"addons/server/catalog"
	"addons/server/metrics"
)

type nothing struct{ Found bool }

func (n nothing) Empty() bool { return !n.Found }

func TestAnEmptyResultIsKeptOnlyWhereTheFamilySaysSo(t *testing.T) {
	backends(t, func(t *testing.T, url string) {
		c, reg := open(t, url)
		bytes, nBytes := always([]byte(nil))
		pointer, nPointer := always[*value](nil)
		list, nList := always([]value{})
		own, nOwn := always(nothing{})
		for _, f := range []cache.Family{{Name: "positive", TTL: time.Minute}, {Name: "negative", TTL: time.Minute, Negative: time.Minute}} {
			for range 2 {
				if got := fetch(t, c, f, "bytes", bytes); len(got) != 0 {
					t.Errorf("no bytes came back as %q", got)
				}
				if got := fetch(t, c, f, "pointer", pointer); got != nil {
					t.Errorf("a nil pointer came back as %v", got)
				}
				fetch(t, c, f, "list", list)
				fetch(t, c, f, "own", own)
			}
		}
		for name, n := range map[string]*atomic.Int32{"bytes": nBytes, "pointer": nPointer, "list": nList, "own": nOwn} {
			if n.Load() != 3 {
				t.Errorf("%s: loads = %d, want 2 where nothing is kept and 1 where it is", name, n.Load())
			}
		}
		if diff := cmp.Diff(map[string]int{"miss": 8}, requests(t, reg, "positive")); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(map[string]int{"miss": 4, "negative": 4}, requests(t, reg, "negative")); diff != "" {
			t.Error(diff)
		}
	})
}

// An empty result may not outlive its own short time, not even as a stale copy.
func TestAnEmptyResultIsNeverStale(t *testing.T) {
	backends(t, func(t *testing.T, url string) {
		c, _ := open(t, url)
		f := cache.Family{Name: "gone", TTL: time.Hour, Negative: time.Nanosecond, Stale: time.Hour}
		none, _ := always[*value](nil)
		fetch(t, c, f, "k", none)
		_, err := cache.Fetch(t.Context(), c, f, "k", func(context.Context) (*value, error) {
			return nil, fmt.Errorf("database: %w", catalog.ErrUnavailable)
		})
		if err == nil {
			t.Error("an empty result answered past its time")
		}
	})
}

func TestAnOldCopyAnswersWhileOneLoadRenewsIt(t *testing.T) {
	backends(t, func(t *testing.T, url string) {
		c, reg := open(t, url)
		f := cache.Family{Name: "soft", TTL: time.Nanosecond, Revalidate: time.Hour}
		old, _ := always("old")
		fetch(t, c, f, "k", old)
		var loads atomic.Int32
		var row atomic.Value
		row.Store("new")
		goOn := make(chan struct{})
		renew := func(context.Context) (string, error) { loads.Add(1); <-goOn; return row.Load().(string), nil }
		for range 50 {
			ctx, ledger := metrics.Begin(t.Context(), "")
			got, err := cache.Fetch(ctx, c, f, "k", renew)
			if got != "old" || err != nil {
				t.Fatalf("while the load runs: %q, %v", got, err)
			}
			if ledger.Count("stale") != 0 {
				t.Error("a copy that is being renewed marks the page as stale")
			}
		}
		if loads.Load() > 1 {
			t.Errorf("%d loads renew one copy", loads.Load())
		}
		close(goOn)
		wait(t, "the new value", func() bool { return fetch(t, c, f, "k", renew) == "new" })
		if got := requests(t, reg, "soft")["revalidated"]; got < 50 {
			t.Errorf("revalidated = %d, want each answer that was old", got)
		}
		// An invalidated copy is not old: it is gone. The renewal that the last answer
		// began may still come to load, and then reads what was written.
		row.Store("last")
		if err := c.Invalidate(t.Context(), f, "k"); err != nil {
			t.Fatal(err)
		}
		if got := fetch(t, c, f, "k", renew); got != "last" {
			t.Errorf("after Invalidate: %q", got)
		}
	})
}

// Renewals that are under way everywhere when somebody writes: hundreds of them.
func TestNoRenewalOutlivesAnInvalidation(t *testing.T) {
	backends(t, func(t *testing.T, url string) {
		c, _ := open(t, url)
		f := cache.Family{Name: "soft", TTL: time.Nanosecond, Revalidate: time.Hour}
		var row atomic.Int32
		read := func(context.Context) (int32, error) { return row.Load(), nil }
		for i := range int32(300) {
			for fetch(t, c, f, "k", read) != i { // the answer that has it begins a renewal
			}
			row.Store(i + 1)
			if err := c.Invalidate(t.Context(), f, "k"); err != nil {
				t.Fatal(err)
			}
			if got := fetch(t, c, f, "k", read); got != i+1 {
				t.Fatalf("after write %d was invalidated, %d answers", i+1, got)
			}
		}
	})
}

// shadows are the comparisons' outcomes that are not zero.
func shadows(t *testing.T, reg *metrics.Registry) map[string]int {
	t.Helper()
	got := map[string]int{}
	all, err := reg.Prometheus().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == "addons_cache_shadow_total" && l.GetName() == "outcome" && m.GetCounter().GetValue() > 0 {
					got[l.GetValue()] = int(m.GetCounter().GetValue())
				}
			}
		}
	}
	return got
}

func TestShadowsTellAStaleReadFromAWriteOnItsWay(t *testing.T) {
	backends(t, func(t *testing.T, url string) {
		var row atomic.Int32
		for want, write := range map[string]func(c *cache.Cache){
			"match":    func(*cache.Cache) {},
			"mismatch": func(*cache.Cache) { row.Add(1) },
		} {
			c, reg := open(t, with(url, "shadow=1"))
			read := func(context.Context) (int32, error) { return row.Load(), nil }
			fetch(t, c, family, want, read)
			write(c)
			fetch(t, c, family, want, read)
			wait(t, "the comparison", func() bool { return len(shadows(t, reg)) > 0 })
			if diff := cmp.Diff(map[string]int{want: 1}, shadows(t, reg)); diff != "" {
				t.Error(diff)
			}
		}
		// Values that tell when they were read are not compared.
		dated, datedReg := open(t, with(url, "shadow=1"))
		for range 3 {
			fetch(t, dated, cache.Family{Name: "dated", TTL: time.Minute, Dated: true}, "k", func(context.Context) (int32, error) { return row.Add(1), nil })
		}
		dated.Settle()
		if got := shadows(t, datedReg); len(got) > 0 {
			t.Errorf("dated values: %v", got)
		}
		// The write was committed, and its Invalidate comes.
		c, reg := open(t, with(url, "shadow=1"))
		written := make(chan struct{})
		var loads atomic.Int32
		read := func(context.Context) (int32, error) {
			if loads.Add(1) == 2 {
				defer close(written)
				return 1, nil
			}
			return 0, nil
		}
		fetch(t, c, family, "late", read)
		fetch(t, c, family, "late", read)
		<-written
		if err := c.Invalidate(t.Context(), family, "late"); err != nil {
			t.Fatal(err)
		}
		wait(t, "the comparison", func() bool { return len(shadows(t, reg)) > 0 })
		if diff := cmp.Diff(map[string]int{"changed": 1}, shadows(t, reg)); diff != "" {
			t.Error(diff)
		}
	})
}
