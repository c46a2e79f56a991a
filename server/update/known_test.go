package update

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"addons/server/catalog"
)

// TestTheSetNeverDeniesWhatItHas, while it grows under its readers.
func TestTheSetNeverDeniesWhatItHas(t *testing.T) {
	t.Parallel()
	const addons, watched = 300_000, 20_000 // the first of them under readers
	k := newKnown()
	guid := func(i int) string { return fmt.Sprintf("addon-%d@example.org", i) }
	var mu sync.RWMutex
	added := 0
	var wait sync.WaitGroup
	for range 2 {
		wait.Go(func() {
			for i, n := 0, 0; n < watched; i++ {
				mu.RLock()
				n = added
				mu.RUnlock()
				if n > 0 && !k.has(k.hash(guid(i%n))) {
					t.Errorf("%s was added and is denied", guid(i%n))
					return
				}
			}
		})
	}
	for i := range addons {
		k.add(k.hash(guid(i)))
		k.add(k.hash(guid(i)))
		if i < watched {
			mu.Lock()
			added = i + 1
			mu.Unlock()
		}
	}
	wait.Wait()
	ids, bytes := k.size()
	if ids != addons || bytes != 4<<20 {
		t.Errorf("%d ids in %d bytes, want %d in 4 MiB", ids, bytes, addons)
	}
	for i := range addons {
		if !k.has(k.hash(guid(i))) {
			t.Fatalf("%s is denied", guid(i))
		}
		if k.has(k.hash("un" + guid(i))) {
			t.Errorf("un%s is known", guid(i)) // once in 10¹³
		}
	}
}

// TestTheFrontKeepsWhatIsAskedForWithinItsBytes also says that a page from before a
// change is not kept.
func TestTheFrontKeepsWhatIsAskedForWithinItsBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, k := newFront(), newKnown()
		hot, n := "hot@example.org", 0
		put := func(guid string, seq int64) {
			f.put(k.hash(guid), &page{guid: guid, app: catalog.Firefox.Slug, seq: seq, bytes: 10_000})
			n++
		}
		put(hot, 0)
		for i := range 20_000 {
			put(fmt.Sprintf("cold-%d@example.org", i), 0)
			if f.get(k.hash(hot), hot, catalog.Firefox.Slug) == nil {
				t.Fatalf("%s was dropped after %d others, though it is asked for", hot, i)
			}
		}
		pages, bytes := f.size()
		if bytes > frontBytes || bytes < frontBytes*8/10 || pages*10_000 != bytes {
			t.Errorf("%d pages with %d bytes, want %d", pages, bytes, frontBytes)
		}
		f.changed(k.hash(hot), 7)
		put(hot, 6)
		if f.get(k.hash(hot), hot, catalog.Firefox.Slug).seq == 6 {
			t.Error("a page from before the change was kept")
		}
		put(hot, 7)
		if f.get(k.hash(hot), hot, catalog.Firefox.Slug).seq != 7 {
			t.Error("the page from after the change was not kept")
		}
		for i := range shards * needsMax * 2 {
			f.changed(k.hash(fmt.Sprint(i)), int64(8+i))
		}
		if need := f.need(k.hash(hot)); need < 8 {
			t.Errorf("need %d after more changes than are told apart", need)
		}
		if f.get(k.hash(hot), hot, catalog.Android.Slug) != nil || f.get(k.hash(hot), "other@example.org", catalog.Firefox.Slug) != nil {
			t.Error("a page for another question")
		}
		f.clear(1)
		if pages, bytes := f.size(); pages != 0 || bytes != 0 || f.need(k.hash(hot)) != 1 {
			t.Errorf("%d pages, %d bytes after clear", pages, bytes)
		}
	})
}

func BenchmarkKnown(b *testing.B) {
	k := newKnown()
	for i := range 300_000 {
		k.add(k.hash(fmt.Sprint(i)))
	}
	b.ReportAllocs()
	for b.Loop() {
		k.has(k.hash("nobody@example.org"))
	}
}
