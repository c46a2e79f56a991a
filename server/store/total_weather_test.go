package store_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"addons/server/catalog"
	"addons/server/enginetest"
)

// TestTotalsAreMadeThoughAMigrationWasCutShort: MySQL commits a table at once, and each
// statement after it by itself.
func TestTotalsAreMadeThoughAMigrationWasCutShort(t *testing.T) {
	t.Parallel()
	enginetest.URL(t, "MYSQL")
	address := newMySQL(t)
	db := open(t, address)
	for _, in := range varied() {
		save(t, db, in)
	}
	want := totalsOf(t, db)
	for _, text := range []string{"DELETE FROM list_totals WHERE app = 'firefox'", "DROP TABLE heartbeat", "DELETE FROM goose_db_version WHERE version_id >= 5"} {
		change(t, address, text)
	}
	if d := cmp.Diff(want, totalsOf(t, open(t, address))); d != "" {
		t.Errorf("totals by Save (-), by the migration (+):\n%s", d)
	}
}

// TestTotalsThatAreMissingAreCountedAnew: a process of the build before writes add-ons
// beside one that has migrated, and no totals.
func TestTotalsThatAreMissingAreCountedAnew(t *testing.T) {
	bothEngines(t, func(t *testing.T, where func(testing.TB) string) {
		address := where(t)
		db := open(t, address)
		for _, in := range varied() {
			save(t, db, in)
		}
		want := totalsOf(t, db)
		change(t, address, "DELETE FROM list_totals WHERE tag <> '' OR category <> '' OR app = 'android'")
		must[int](t)(db.Aggregate(t.Context(), day(1)))
		if d := cmp.Diff(want, totalsOf(t, db)); d != "" {
			t.Errorf("totals by Save (-), by Aggregate (+):\n%s", d)
		}
		if n := must[int](t)(db.Aggregate(t.Context(), day(1))); n != 0 {
			t.Errorf("a second Aggregate changed %d rows", n)
		}
	})
}

// TestTotalsHoldWhileManyWriteAndAggregateCounts.
func TestTotalsHoldWhileManyWriteAndAggregateCounts(t *testing.T) {
	bothEngines(t, func(t *testing.T, where func(testing.TB) string) {
		address := where(t)
		db := open(t, address)
		const writers, rounds = 6, 25
		var wait sync.WaitGroup
		done := make(chan struct{})
		for w := range writers {
			wait.Go(func() {
				for n := range rounds {
					in := simple(w)
					tags := []string{"tag-1", "own", "shared", fmt.Sprintf("tag-%d-%d", w, n)}
					in.Addon.Tags = tags[n%4:]
					in.Addon.Categories = map[string][]string{"firefox": strings.Fields([]string{"tabs other", "other", "tabs"}[n%3])}
					if n%5 == 4 {
						in.Addon.Status = catalog.Disabled
					}
					if _, err := db.Save(t.Context(), in); err != nil {
						t.Errorf("writer %d, round %d: %v", w, n, err)
						return
					}
				}
			})
		}
		var counting sync.WaitGroup
		counting.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				change(t, address, "UPDATE list_totals SET addons = addons + 1 WHERE app = ''")
				if _, err := db.Aggregate(t.Context(), day(1)); err != nil {
					t.Errorf("aggregate: %v", err)
				}
			}
		})
		wait.Wait()
		close(done)
		counting.Wait()
		must[int](t)(db.Aggregate(t.Context(), day(1)))
		if d := cmp.Diff(membersOf(t, db), totalsOf(t, db)); d != "" {
			t.Errorf("add-ons in the lists (-), totals (+):\n%s", d)
		}
	})
}

// TestATagsSpacesAreNotItsOwn: MariaDB compares without those at the end.
func TestATagsSpacesAreNotItsOwn(t *testing.T) {
	bothEngines(t, func(t *testing.T, where func(testing.TB) string) {
		db := open(t, where(t))
		for n, tags := range [][]string{{"own ", "own"}, {"own"}, {"own  "}} {
			in := simple(n)
			in.Addon.Tags = tags
			in.Addon.Categories = map[string][]string{"firefox": {"tabs ", "tabs"}}
			save(t, db, in)
		}
		totals := totalsOf(t, db)
		if totals["//own/"] != 3 || totals["/tabs//"] != 3 {
			t.Errorf("totals %v", totals)
		}
	})
}
