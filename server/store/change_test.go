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

// renamedAuthor: what shows an author has changed when the author has, up to a number
// of add-ons; beyond that anything may have.
func renamedAuthor(t *testing.T, db *store.DB) {
	ctx := t.Context()
	save := func(n int, authors ...catalog.Author) (jobs []int64) {
		t.Helper()
		in := changing(n)
		in.Addon.Authors = authors
		in.Jobs = func(id int64) []store.Job { jobs = append(jobs, id); return nil }
		if _, err := db.Save(ctx, in); err != nil {
			t.Fatal(err)
		}
		return jobs
	}
	ann, bob := catalog.Author{Username: "ann", Name: "Ann"}, catalog.Author{Username: "bob", Name: "Bob"}
	save(0, ann)
	save(1, ann, bob)
	save(2, bob)
	before, err := db.Clock(ctx)
	if err != nil {
		t.Fatal(err)
	}
	ann.Name, bob.Name = "Anne", "Rob"
	if jobs := save(1, ann, bob); len(jobs) != 3 {
		t.Errorf("jobs of %v, want all three add-ons'", jobs)
	}
	guids, err := db.Changes(ctx, before, 10)
	if want := []string{"c000@example.org", "c002@example.org", "c001@example.org"}; err != nil || !slices.Equal(guids, want) {
		t.Errorf("changes %v, %v, want %v", guids, err, want)
	}
	const many = 110
	for n := range many {
		save(10+n, ann)
	}
	if before, err = db.Clock(ctx); err != nil {
		t.Fatal(err)
	}
	ann.URL = "https://ann.example"
	save(0, ann)
	// Readers see that the clock went further than they are told of.
	guids, err = db.Changes(ctx, before, 10)
	if after, clockErr := db.Clock(ctx); err != nil || clockErr != nil || len(guids) != 0 || after < before+100_000 {
		t.Errorf("changes %v, %v, clock %d → %d, %v of an author of %d add-ons", guids, err, before, after, clockErr, many)
	}
}
