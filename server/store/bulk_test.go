package store_test

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"addons/server/catalog"
	"addons/server/enginetest"
	"addons/server/metrics"
	"addons/server/store"
)

// bothEngines runs a test on each; where makes an empty database.
func bothEngines(t *testing.T, test func(t *testing.T, where func(testing.TB) string)) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		test(t, func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "addons.db") })
	})
	t.Run("mysql", func(t *testing.T) {
		enginetest.URL(t, "MYSQL")
		test(t, newMySQL)
	})
}

// past opens a database past the package.
func past(t testing.TB, rawURL string) *sql.DB {
	t.Helper()
	kind, name := "sqlite", strings.TrimPrefix(rawURL, "sqlite:")
	if u, err := url.Parse(rawURL); err == nil && u.Scheme == "mysql" {
		password, _ := u.User.Password()
		kind, name = "mysql", fmt.Sprintf("%s:%s@tcp(%s)%s", u.User.Username(), password, u.Host, u.Path)
	}
	db, err := sql.Open(kind, name)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// records reads the rows of a query as text.
func records(t testing.TB, rawURL, query string) []string {
	t.Helper()
	db := past(t, rawURL)
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	columns, _ := rows.Columns()
	var all []string
	for rows.Next() {
		values, to := make([]string, len(columns)), make([]any, len(columns))
		for i := range values {
			to[i] = &values[i]
		}
		if err := rows.Scan(to...); err != nil {
			t.Fatal(err)
		}
		all = append(all, strings.Join(values, " | "))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// everything is all that is known of add-ons, with names for the ids that are the
// engine's to give.
var everything = []string{
	"SELECT * FROM addons", "SELECT * FROM addon_texts", "SELECT * FROM addon_words", "SELECT * FROM authors", "SELECT * FROM addon_authors",
	"SELECT * FROM addon_categories", "SELECT name, addons FROM tags", "SELECT x.addon_id, t.name, x.place FROM addon_tags x JOIN tags t ON t.id = x.tag_id",
	"SELECT * FROM list_totals", "SELECT * FROM previews", "SELECT digest, slug, name, url, text FROM licenses",
	`SELECT v.id, v.addon_id, v.number, v.sort_key, v.channel, v.deleted, v.offered, v.strict, v.notes, v.created, v.reviewed, v.digest, l.digest
		FROM versions v JOIN licenses l ON l.id = v.license_id`,
	"SELECT * FROM files", "SELECT * FROM compat", "SELECT * FROM offers", "SELECT * FROM ratings",
}

// indexNames asks for the indexes that are there.
func indexNames(rawURL string) string {
	if strings.HasPrefix(rawURL, "sqlite:") {
		return "SELECT tbl_name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
	}
	return "SELECT table_name, index_name, non_unique, GROUP_CONCAT(column_name ORDER BY seq_in_index) FROM information_schema.statistics WHERE table_schema = DATABASE() GROUP BY table_name, index_name, non_unique"
}

// varied is add-ons of every kind that Save treats in a way of its own, with all ids given.
func varied() []store.Import {
	var all []store.Import
	for n, status := range []catalog.Status{catalog.Public, catalog.Public, catalog.Nominated, catalog.Disabled, catalog.Incomplete, catalog.Deleted, catalog.Public, catalog.Public} {
		in := clock()
		a := in.Addon
		a.ID, a.GUID, a.Slug, a.Status = int64(n+1), fmt.Sprintf("varied-%d@example.org", n), fmt.Sprintf("Varied tab\t%d\\", n), status
		a.Authors = []catalog.Author{{ID: int64(n%3 + 1), Name: fmt.Sprint("P", n%3), Username: fmt.Sprint("p-", n%3)}, {ID: 9, Name: "Q\n\\N", Username: "q"}}
		a.Tags = []string{"shared", fmt.Sprint("tag-", n%2), "shared"}
		a.Categories = map[string][]string{"firefox": {"tabs", "other"}, "android": {"other"}}
		for i := range a.Previews {
			a.Previews[i].ID = int64(n*10 + i + 1)
		}
		in.Ratings = nil
		in.Versions = nil
		for i := range n {
			v := clockVersion(fmt.Sprintf("%d.%d", i, n), int64(n*10+i+1))
			v.File.ID = v.ID
			v.License = catalog.License{Slug: fmt.Sprint("L", i%2)}
			v.Strict, v.Deleted = i == 1, i == 4
			if i == 2 {
				v.Channel = catalog.Unlisted
			}
			if i == 5 {
				v.File.Status = catalog.Unreviewed
			}
			in.Versions = append(in.Versions, v)
			in.Ratings = append(in.Ratings, catalog.Rating{ID: v.ID, Score: i%5 + 1, VersionNumber: v.Number, UserName: "U", Body: strings.Repeat("x", i%2), Created: v.Created})
		}
		if n == 6 { // no numbers but those of its rows
			a.Ratings, a.LastUpdated = catalog.Ratings{}, time.Time{}
		}
		all = append(all, in)
	}
	return all
}

func TestBulkWritesWhatSaveWrites(t *testing.T) {
	bothEngines(t, func(t *testing.T, where func(testing.TB) string) {
		oneByOne, atOnce := where(t), where(t)
		db := open(t, oneByOne)
		for _, in := range varied() {
			save(t, db, in)
		}
		bulk := must[*store.Bulk](t)(open(t, atOnce).Bulk(t.Context(), "varied"))
		for part := range slices.Chunk(varied(), 4) {
			if err := bulk.Write(t.Context(), must[*store.Prepared](t)(store.Prepare(part))); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(bulk.Finish(t.Context()), bulk.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
		rows := int64(0)
		if missing := records(t, atOnce, indexNames(atOnce)); !slices.Equal(missing, records(t, oneByOne, indexNames(oneByOne))) {
			t.Errorf("the indexes are %v", missing)
		}
		for _, query := range everything {
			want, got := records(t, oneByOne, query), records(t, atOnce, query)
			if diff := cmp.Diff(want, got); diff != "" || len(want) == 0 {
				t.Errorf("%s: %d rows by Save, not the same by Bulk:\n%s", query, len(want), diff)
			}
			rows += int64(len(got))
		}
		if bulk.Rows() < rows { // tags and authors come with each batch
			t.Errorf("Bulk says that it wrote %d rows, there are %d", bulk.Rows(), rows)
		}
		// What is there can be saved again, and nothing has to be counted anew.
		again := open(t, atOnce)
		for _, in := range varied() {
			if saved := save(t, again, in); saved.Changed {
				t.Errorf("%s changed when it was saved again", in.Addon.GUID)
			}
		}
	})
}

// TestWhoeverIsKilledAmongIndexesGoesOnWithTheOthers: where a transaction does not hold what
// changes tables, some may be dropped, or made, and others not.
func TestWhoeverIsKilledAmongIndexesGoesOnWithTheOthers(t *testing.T) {
	bothEngines(t, func(t *testing.T, where func(testing.TB) string) {
		at := where(t)
		db := open(t, at)
		all := records(t, at, indexNames(at))
		some := func() {
			raw := past(t, at)
			defer raw.Close()
			if _, err := raw.Exec("CREATE INDEX addons_users ON addons (listed, type, users, id)"); err != nil {
				t.Fatal(err)
			}
		}
		var bulk *store.Bulk
		for part := range slices.Chunk(varied(), 4) {
			bulk = must[*store.Bulk](t)(db.Bulk(t.Context(), "varied"))
			if left := records(t, at, indexNames(at)); len(left) != len(all)-9 {
				t.Errorf("while rows come, the indexes are %v", left)
			}
			err := errors.Join(bulk.Write(t.Context(), must[*store.Prepared](t)(store.Prepare(part))), bulk.Flush(t.Context()))
			if err != nil {
				t.Fatal(err)
			}
			some()
		}
		if err := errors.Join(bulk.Finish(t.Context()), bulk.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
		if now := records(t, at, indexNames(at)); !slices.Equal(now, all) {
			t.Errorf("the indexes are %v, were %v", now, all)
		}
		finished := must[*store.Bulk](t)(db.Bulk(t.Context(), "varied"))
		if now := records(t, at, indexNames(at)); !finished.Finished() || !slices.Equal(now, all) {
			t.Errorf("once it has ended: %v, and the indexes are %v", finished.Finished(), now)
		}
	})
}

func TestBulkMixesWithNothing(t *testing.T) {
	bothEngines(t, func(t *testing.T, where func(testing.TB) string) {
		db := open(t, where(t))
		first := must[*store.Bulk](t)(db.Bulk(t.Context(), "one"))
		second := must[*store.Bulk](t)(db.Bulk(t.Context(), "one"))
		parts := varied()
		err := errors.Join(first.Write(t.Context(), must[*store.Prepared](t)(store.Prepare(parts[:2]))), first.Flush(t.Context()))
		if err != nil || first.Done() != 2 {
			t.Fatal(first.Done(), err)
		}
		// Whoever follows changes finds that it is further behind than they are kept.
		if seq := must[int64](t)(db.Clock(t.Context())); seq <= 100_000 {
			t.Errorf("the clock says %d, want a number that no follower can catch up with", seq)
		}
		err = second.Write(t.Context(), must[*store.Prepared](t)(store.Prepare(parts[:2])))
		if !errors.Is(err, catalog.ErrInvalid) || !strings.Contains(err.Error(), "another process") {
			t.Errorf("a second load at the same time: %v", err)
		}
		third := must[*store.Bulk](t)(db.Bulk(t.Context(), "one"))
		if third.Done() != 2 {
			t.Errorf("%d add-ons are there, want 2", third.Done())
		}
		if _, err := db.Bulk(t.Context(), "other"); !errors.Is(err, catalog.ErrInvalid) || !strings.Contains(err.Error(), "catalogue of one") {
			t.Errorf("another catalogue: %v", err)
		}
		// A key that is taken fails, and leaves nothing.
		err = third.Write(t.Context(), must[*store.Prepared](t)(store.Prepare(parts[1:3])))
		if err == nil {
			t.Error("an add-on was written twice")
		}
		if ids := must[[]int64](t)(db.IDs(t.Context(), 0, 9)); !slices.Equal(ids, []int64{1, 2}) {
			t.Errorf("after a batch that failed the add-ons are %v, want 1 and 2", ids)
		}

		saved := open(t, where(t))
		save(t, saved, clock())
		if _, err := saved.Bulk(t.Context(), "one"); !errors.Is(err, catalog.ErrInvalid) || !strings.Contains(err.Error(), "--database") {
			t.Errorf("into a database with add-ons: %v", err)
		}
	})
}

func TestBulkWantsIDs(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*store.Import){
		"add-on": func(in *store.Import) { in.Addon.ID = 0 }, "author": func(in *store.Import) { in.Addon.Authors[0].ID = 0 },
		"version": func(in *store.Import) { in.Versions[0].ID = -1 }, "file": func(in *store.Import) { in.Versions[0].File.ID = 0 },
		"preview": func(in *store.Import) { in.Addon.Previews[0].ID = 0 }, "rating": func(in *store.Import) { in.Ratings[0].ID = 1 << 41 },
	} {
		in := varied()[3]
		spoil(&in)
		if _, err := store.Prepare([]store.Import{in}); !errors.Is(err, catalog.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The server may refuse LOAD DATA LOCAL: MySQL 8 does so unless told otherwise.
func TestBulkGoesWithoutLocalData(t *testing.T) {
	t.Parallel()
	where := newMySQL(t)
	db, err := store.Open(t.Context(), where, metrics.New(nil), quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	bulk := must[*store.Bulk](t)(db.Bulk(t.Context(), "plain"))
	bulk.WithoutLocalData()
	if err := errors.Join(bulk.Write(t.Context(), must[*store.Prepared](t)(store.Prepare(varied()))), bulk.Finish(t.Context())); err != nil {
		t.Fatal(err)
	}
	if n := len(records(t, where, "SELECT * FROM versions")); n != 28 {
		t.Errorf("%d versions, want 28", n)
	}
}
