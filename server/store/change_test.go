package store_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"addons/server/catalog"
	"addons/server/store"
)

func changing(n int) store.Import {
	return store.Import{Addon: &catalog.Addon{
		GUID: fmt.Sprintf("c%03d@example.org", n), Slug: fmt.Sprintf("c%03d", n), Type: catalog.Extension, Status: catalog.Public,
		Name: catalog.Text{"en-US": "C"}, DefaultLocale: "en-US",
	}}
}

// changesMissNone: while many save, one reads on from where it was. What it has
// read up to a number is all that was committed under it.
func changesMissNone(t *testing.T, db *store.DB) {
	ctx := t.Context()
	const writers, each = 8, 10
	var wait sync.WaitGroup
	var left atomic.Int32
	left.Store(writers)
	for w := range writers {
		wait.Go(func() {
			defer left.Add(-1)
			for i := range each {
				if _, err := db.Save(ctx, changing(w*each+i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var read []string
	for done := false; !done; {
		done = left.Load() == 0 // before the last look
		for {
			guids, err := db.Changes(ctx, int64(len(read)), 7)
			if err != nil {
				t.Fatal(err)
			}
			read = append(read, guids...)
			if len(guids) < 7 {
				break
			}
		}
	}
	wait.Wait()
	slices.Sort(read)
	var all []string
	for after := ""; ; {
		guids, err := db.GUIDs(ctx, after, 30)
		if err != nil {
			t.Fatal(err)
		}
		if len(guids) == 0 {
			break
		}
		all, after = append(all, guids...), guids[len(guids)-1]
	}
	if len(all) != writers*each || !slices.Equal(read, all) {
		t.Errorf("read %d changes of %d add-ons: %v", len(read), len(all), read)
	}
	if seq, err := db.Clock(ctx); err != nil || seq != writers*each {
		t.Errorf("clock %d, %v, want %d", seq, err, writers*each)
	}

	// An import without news is no change.
	if _, err := db.Save(ctx, changing(0)); err != nil {
		t.Fatal(err)
	}
	if guids, err := db.Changes(ctx, writers*each, 7); err != nil || len(guids) != 0 {
		t.Errorf("changes %v, %v of an import without news", guids, err)
	}
	// What happened past Save leaves every reader behind.
	if err := db.ChangedAll(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Save(ctx, changing(writers*each)); err != nil {
		t.Fatal(err)
	}
	if guids, err := db.Changes(ctx, writers*each, 7); !errors.Is(err, catalog.ErrBehind) {
		t.Errorf("changes %v, %v, want ErrBehind", guids, err)
	}
}
