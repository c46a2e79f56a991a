package store_test

import (
	"database/sql"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"addons/server/catalog"
	"addons/server/store"
)

// TestTotalsOfListsFollowEveryChange of what makes an add-on a part of a list.
func TestTotalsOfListsFollowEveryChange(t *testing.T) {
	bothEngines(t, func(t *testing.T, where func(testing.TB) string) {
		db := open(t, where(t))
		for n := range 5 {
			save(t, db, simple(n))
		}
		in := simple(0)
		for _, step := range []struct {
			name   string
			change func(a *catalog.Addon, v *catalog.Version)
		}{
			{"nothing", func(*catalog.Addon, *catalog.Version) {}},
			{"another category", func(a *catalog.Addon, _ *catalog.Version) {
				a.Categories = map[string][]string{"firefox": {"tabs", "other", "other"}, "android": {"other"}, "thunderbird": {"mail"}}
			}},
			{"a second application", func(_ *catalog.Addon, v *catalog.Version) {
				v.Compatibility = []catalog.Compat{{App: "firefox"}, {App: "android"}}
			}},
			{"another tag", func(a *catalog.Addon, _ *catalog.Version) { a.Tags = []string{"tag-1", "own", "own"} }},
			{"no longer the first", func(_ *catalog.Addon, v *catalog.Version) { v.Compatibility = []catalog.Compat{{App: "android"}} }},
			{"disabled", func(a *catalog.Addon, _ *catalog.Version) { a.Status = catalog.Disabled }},
			{"other categories while disabled", func(a *catalog.Addon, _ *catalog.Version) {
				a.Categories = map[string][]string{"firefox": {"tabs"}, "android": {"tabs"}}
			}},
			{"public again", func(a *catalog.Addon, _ *catalog.Version) { a.Status = catalog.Public }},
			{"another type", func(a *catalog.Addon, _ *catalog.Version) { a.Type = catalog.Theme }},
			{"without a version", func(_ *catalog.Addon, v *catalog.Version) { v.Deleted = true }},
			{"with it again", func(_ *catalog.Addon, v *catalog.Version) { v.Deleted = false }},
			{"no category", func(a *catalog.Addon, _ *catalog.Version) { a.Categories = nil }},
		} {
			step.change(in.Addon, in.Versions[0])
			save(t, db, in)
			if d := cmp.Diff(membersOf(t, db), totalsOf(t, db)); d != "" {
				t.Errorf("%s: add-ons in the lists (-), totals (+):\n%s", step.name, d)
			}
		}
		if counts := must[map[catalog.Type]int](t)(db.Counts(t.Context())); !cmp.Equal(counts, map[catalog.Type]int{catalog.Extension: 4, catalog.Theme: 1}) {
			t.Errorf("counts %v", counts)
		}
	})
}

// TestTotalsAreCountedAnew by a migration, where there were none, and by Aggregate,
// where they are wrong.
func TestTotalsAreCountedAnew(t *testing.T) {
	bothEngines(t, func(t *testing.T, where func(testing.TB) string) {
		address := where(t)
		db := open(t, address)
		for _, in := range varied() {
			save(t, db, in)
		}
		want := totalsOf(t, db)
		for _, text := range []string{"DROP TABLE list_totals", "DROP TABLE heartbeat", "DELETE FROM goose_db_version WHERE version_id >= 5"} {
			change(t, address, text)
		}
		db = open(t, address)
		if d := cmp.Diff(want, totalsOf(t, db)); d != "" || len(want) < 6 {
			t.Errorf("totals by Save (-), by the migration (+):\n%s", d)
		}
		must[int](t)(db.Aggregate(t.Context(), day(1)))
		change(t, address, "UPDATE list_totals SET addons = addons + 1 WHERE app = 'firefox' AND category = 'tabs'")
		if d := cmp.Diff(want, totalsOf(t, db)); d == "" {
			t.Fatal("a wrong total was not found")
		}
		for _, rows := range []int{1, 0} {
			if n := must[int](t)(db.Aggregate(t.Context(), day(1))); n != rows {
				t.Errorf("Aggregate changed %d rows, want %d", n, rows)
			}
		}
		if d := cmp.Diff(want, totalsOf(t, db)); d != "" {
			t.Errorf("totals by Save (-), by Aggregate (+):\n%s", d)
		}
	})
}

// everyList calls f with each list that has a total.
func everyList(f func(store.Browse)) {
	for _, app := range []string{"", "firefox", "android"} {
		for _, kind := range []string{"", "extension", "statictheme"} {
			for _, category := range []string{"", "tabs", "other", "mail"} {
				f(store.Browse{App: app, Type: kind, Category: category})
			}
			for _, tag := range []string{"simple", "tag-1", "own", "shared"} {
				f(store.Browse{App: app, Type: kind, Tag: tag})
			}
		}
	}
}

func listName(b store.Browse) string {
	return fmt.Sprintf("%s/%s/%s/%s", b.App, b.Category, b.Tag, b.Type)
}

// totalsOf are the lists' totals, without those that are empty.
func totalsOf(t *testing.T, db *store.DB) map[string]int {
	t.Helper()
	all := map[string]int{}
	everyList(func(b store.Browse) {
		total := must[store.Total](t)(db.BrowseTotal(t.Context(), b))
		if total.Addons > 0 {
			all[listName(b)] = total.Addons
		}
	})
	return all
}

// membersOf counts the add-ons that belong in the lists.
func membersOf(t *testing.T, db *store.DB) map[string]int {
	t.Helper()
	all := map[string]int{}
	for _, a := range must[[]*catalog.Addon](t)(db.Addons(t.Context(), must[[]int64](t)(db.IDs(t.Context(), 0, 100)))) {
		if a.Status != catalog.Public || a.Current == nil {
			continue
		}
		everyList(func(b store.Browse) {
			runs := func(c catalog.Compat) bool { return c.App == b.App }
			in := b.Category == "" || slices.Contains(a.Categories[b.App], b.Category)
			for _, slugs := range a.Categories {
				in = in || b.App == "" && slices.Contains(slugs, b.Category)
			}
			in = in && (b.Tag == "" || slices.Contains(a.Tags, b.Tag))
			if in && (b.App == "" || slices.ContainsFunc(a.Current.Compatibility, runs)) && (b.Type == "" || b.Type == string(a.Type)) {
				all[listName(b)]++
			}
		})
	}
	return all
}

// change runs a statement, past the package.
func change(t *testing.T, rawURL, text string) {
	t.Helper()
	kind, name := "sqlite", strings.TrimPrefix(rawURL, "sqlite:")+"?_pragma=busy_timeout(4000)"
	if u, err := url.Parse(rawURL); err == nil && u.Scheme == "mysql" {
		password, _ := u.User.Password()
		kind, name = "mysql", fmt.Sprintf("%s:%s@tcp(%s)%s", u.User.Username(), password, u.Host, u.Path)
	}
	db, err := sql.Open(kind, name)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}
