package store_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"addons/server/enginetest"
	"addons/server/store"
)

// engines runs a benchmark on each, with n add-ons in it.
func engines(b *testing.B, n int, run func(*testing.B, *store.DB)) {
	for name, where := range map[string]func(testing.TB) string{
		"sqlite": func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "addons.db") },
		"mysql": func(t testing.TB) string {
			enginetest.URL(t, "MYSQL")
			return newMySQL(t)
		},
	} {
		b.Run(name, func(b *testing.B) {
			db := open(b, where(b))
			for i := range n {
				save(b, db, simple(i))
			}
			b.ReportAllocs()
			run(b, db)
		})
	}
}

func BenchmarkCandidates(b *testing.B) {
	engines(b, 200, func(b *testing.B, db *store.DB) {
		for i := 0; b.Loop(); i++ {
			known, versions, _, err := db.Candidates(b.Context(), fmt.Sprintf("simple-%d@example.org", i%200), "firefox")
			if !known || len(versions) != 1 || err != nil {
				b.Fatal(known, versions, err)
			}
		}
	})
}

func BenchmarkAddons100(b *testing.B) {
	engines(b, 100, func(b *testing.B, db *store.DB) {
		ids, _, err := db.Browse(b.Context(), store.Browse{Limit: 100})
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if all, err := db.Addons(b.Context(), ids); len(all) != 100 || err != nil {
				b.Fatal(len(all), err)
			}
		}
	})
}

func BenchmarkSave(b *testing.B) {
	engines(b, 0, func(b *testing.B, db *store.DB) {
		for i := 0; b.Loop(); i++ {
			in := simple(i)
			in.Addon.WeeklyDownloads = 1
			save(b, db, in)
		}
	})
}

func BenchmarkSaveUnchanged(b *testing.B) {
	engines(b, 1, func(b *testing.B, db *store.DB) {
		for b.Loop() {
			save(b, db, simple(0))
		}
	})
}
