package store_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	"github.com/google/go-cmp/cmp"

	"addons/server/catalog"
	"addons/server/enginetest"
	"addons/server/metrics"
	"addons/server/store"
)

func TestSQLite(t *testing.T) {
	t.Parallel()
	testStore(t, func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "addons.db") })
}

func TestSQLiteInMemory(t *testing.T) {
	t.Parallel()
	testStore(t, func(testing.TB) string { return "sqlite::memory:" })
}

func TestMySQL(t *testing.T) {
	t.Parallel()
	enginetest.URL(t, "MYSQL")
	testStore(t, newMySQL)
}

// newMySQL makes a database that lives as long as the test.
func newMySQL(t testing.TB) string {
	t.Helper()
	u, err := url.Parse(enginetest.URL(t, "MYSQL"))
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	server, err := sql.Open("mysql", fmt.Sprintf("%s:%s@tcp(%s)/", u.User.Username(), password, u.Host))
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/addons_test_" + strings.ToLower(rand.Text()[:12])
	if _, err := server.Exec("CREATE DATABASE " + u.Path[1:]); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := server.Exec("DROP DATABASE " + u.Path[1:]); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	return u.String()
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// open opens an empty database, closed at the test's end.
func open(t testing.TB, rawURL string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), rawURL, metrics.New(nil), quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// testStore is what every engine has to do.
func testStore(t *testing.T, where func(testing.TB) string) {
	for name, test := range map[string]func(*testing.T, *store.DB){
		"what was saved is read back":                     savedIsRead,
		"an unchanged import writes nothing":              unchangedWritesNothing,
		"an import keeps what it doesn't know":            importKeeps,
		"ids are kept where they are free":                idsAreKept,
		"a bad import is refused":                         badImports,
		"slugs are unique and never an id":                slugs,
		"versions come newest first":                      versions,
		"files say whose they are":                        files,
		"candidates are those that the rule can choose":   candidates,
		"candidates follow the status":                    candidatesFollow,
		"a rollout holds a version back from a share":     rollouts,
		"candidates of many at once are everyone's own":   candidatesAtOnce,
		"browse filters, sorts and pages":                 browse,
		"lists cost the same queries for any length":      constantQueries,
		"ratings add to what an import said":              ratings,
		"aggregate counts and then rests":                 aggregate,
		"tags count the listed add-ons":                   tags,
		"jobs are leased once, and again when it ends":    jobs,
		"concurrent workers share the jobs":               jobsConcurrent,
		"a save that fails leaves nothing":                failedSave,
		"many writers at once lose nothing":               manyWriters,
		"one new add-on saved by many is one":             oneByMany,
		"a canceled query says so, and the next one runs": canceled,
		"what isn't there is not found":                   notFound,
		"a reader of changes misses none":                 changesMissNone,
		"an author's new name changes all their add-ons":  renamedAuthor,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t, where(t))) })
	}
}

func day(n int) time.Time { return time.Date(2026, 3, n, 12, 0, 0, 0, time.UTC) }

// clock is an add-on with everything.
func clock() store.Import {
	return store.Import{
		Addon: &catalog.Addon{
			ID: 4711, GUID: "clock@example.org", Slug: "clock", Type: catalog.Extension, Status: catalog.Public,
			DefaultLocale: "en-US", TargetLocale: "de",
			Name:              catalog.Text{"en-US": "Clock", "de": "Uhr", "ja": "時計 🕰"},
			Summary:           catalog.Text{"en-US": "Tells the time"},
			Description:       catalog.Text{"en-US": "<b>Tells</b> the time; 100% of it"},
			DeveloperComments: catalog.Text{"fr": "Bonjour"},
			Homepage:          catalog.Text{"en-US": "https://clock.example.org/"},
			SupportURL:        catalog.Text{"en-US": "https://clock.example.org/help"},
			SupportEmail:      catalog.Text{"en-US": "help@example.org"},
			ContributionsURL:  "https://give.example.org/", Icon: strings.Repeat("ab", 32),
			Authors:           []catalog.Author{{ID: 7, Name: "Zoë", Username: "zoe", URL: "https://zoe.example.org/"}, {ID: 3, Name: "Al", Username: "al"}},
			Categories:        map[string][]string{"firefox": {"tabs", "appearance"}, "android": {"other"}},
			Tags:              []string{"time", "clock"},
			Previews:          []catalog.Preview{{ID: 9, Position: 1, Caption: catalog.Text{"en-US": "Noon"}, Image: "p1", Width: 640, Height: 480}, {ID: 8, Caption: catalog.Text{"de": "Nacht"}, Image: "p2", Width: 1, Height: 2}},
			Promoted:          []string{"recommended", "line"},
			AverageDailyUsers: 1234, WeeklyDownloads: 56, Hotness: 0.25,
			Ratings:      catalog.Ratings{Average: 4.5678, Bayesian: 4.4321, Count: 100, TextCount: 40, Grouped: [5]int{1, 2, 3, 4, 90}},
			Experimental: true, RequiresPayment: true, HasEULA: true, HasPrivacyPolicy: true,
			Created: day(1), LastUpdated: day(5),
		},
		Versions: []*catalog.Version{clockVersion("1.9", 90), clockVersion("1.10", 91)},
		Ratings: []catalog.Rating{
			{ID: 501, VersionNumber: "1.9", UserName: "Ann", Score: 5, Body: "On time", Created: day(3)},
			{ID: 502, VersionNumber: "1.10", UserName: "Bob", Score: 4, Created: day(4)},
		},
	}
}

func clockVersion(number string, id int64) *catalog.Version {
	return &catalog.Version{
		ID: id, AddonID: 4711, Number: number, Channel: catalog.Listed, Strict: true,
		ReleaseNotes:  catalog.Text{"en-US": "What's new in " + number},
		License:       catalog.License{Slug: "MPL-2.0", Name: catalog.Text{"en-US": "Mozilla"}, URL: "https://mozilla.org/MPL/2.0/", Text: "…"},
		Compatibility: []catalog.Compat{{App: "firefox", Min: "115.0", Max: "*"}, {App: "android", Min: "120.0", Max: "140.*"}},
		Created:       day(2), Reviewed: day(3),
		File: catalog.File{
			ID: id + 1000, VersionID: id, Name: "clock-" + number + ".xpi", Key: strings.Repeat("cd", 32), URL: "https://cdn.example.org/clock.xpi",
			Hash: "sha256:" + strings.Repeat("cd", 32), Size: 12345, Status: catalog.Public, Created: day(2),
			Permissions: []string{"alarms"}, OptionalPermissions: []string{"tabs"}, HostPermissions: []string{"<all_urls>"}, Signed: true,
		},
	}
}

// simple is the nth small add-on.
func simple(n int) store.Import {
	return store.Import{
		Addon: &catalog.Addon{
			GUID: fmt.Sprintf("simple-%d@example.org", n), Slug: fmt.Sprintf("simple-%d", n), Type: catalog.Extension, Status: catalog.Public,
			Name: catalog.Text{"en-US": fmt.Sprintf("Simple %03d", n)}, Summary: catalog.Text{"en-US": "The simple one"},
			Authors: []catalog.Author{{Name: "Al", Username: "al"}}, Tags: []string{"simple", fmt.Sprintf("tag-%d", n%3)},
			Categories:        map[string][]string{"firefox": {"tabs"}},
			Previews:          []catalog.Preview{{Image: "p"}},
			AverageDailyUsers: n, WeeklyDownloads: 1000 - n, Hotness: float64(n%7) / 8,
			Created: day(1).Add(time.Duration(n) * time.Minute), LastUpdated: day(9).Add(-time.Duration(n) * time.Minute),
		},
		Versions: []*catalog.Version{{
			Number: "1.0", Compatibility: []catalog.Compat{{App: "firefox", Min: "100", Max: "*"}}, Created: day(1),
			File: catalog.File{Name: "simple.xpi", Hash: "sha256:" + strings.Repeat("00", 32), Status: catalog.Public},
		}},
	}
}

func save(t testing.TB, db *store.DB, in store.Import) store.Saved {
	t.Helper()
	saved, err := db.Save(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return saved
}

func equal[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func savedIsRead(t *testing.T, db *store.DB) {
	in := clock()
	equal(t, "saved", save(t, db, in), store.Saved{ID: 4711, New: true, Changed: true})
	want := *in.Addon
	want.Current = in.Versions[1]
	for _, ref := range []string{"4711", "clock", "clock@example.org"} {
		equal(t, ref, must[*catalog.Addon](t)(db.Addon(t.Context(), ref)), &want)
	}
	all, total, err := db.Ratings(t.Context(), 4711, 1, 1)
	if err != nil || total != 2 {
		t.Fatalf("ratings: %d, %v", total, err)
	}
	first := in.Ratings[0]
	first.AddonID = 4711
	equal(t, "second rating", all, []catalog.Rating{first})
	if err := db.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func unchangedWritesNothing(t *testing.T, db *store.DB) {
	pushed := 0
	in := clock()
	in.Jobs = func(id int64) []store.Job {
		pushed++
		return []store.Job{{Kind: "index", Payload: fmt.Append(nil, id)}}
	}
	first := save(t, db, in)
	ctx, ledger := metrics.Begin(t.Context(), "")
	second, err := db.Save(ctx, in)
	equal(t, "second save", second, store.Saved{ID: first.ID})
	if err != nil || pushed != 1 {
		t.Errorf("jobs were asked for %d times, want once; %v", pushed, err)
	}
	if got := ledger.Count("db"); got > 3 {
		t.Errorf("an unchanged import cost %d queries, want 3 at the most", got)
	}
	waiting, _, _, _, err := db.Depth(t.Context())
	if waiting != 1 || err != nil {
		t.Errorf("%d jobs wait, want 1; %v", waiting, err)
	}
	third := clock()
	third.Jobs = in.Jobs
	third.Versions[0].Strict = false
	if got := save(t, db, third); !got.Changed || got.New || pushed != 2 {
		t.Errorf("a changed version: %+v, %d jobs", got, pushed)
	}
}

func importKeeps(t *testing.T, db *store.DB) {
	in := clock()
	save(t, db, in)
	// A manifest knows neither users nor ratings, nor the other versions.
	manifest := store.Import{
		Addon:    &catalog.Addon{GUID: "clock@example.org", Type: catalog.Extension, Status: catalog.Public, DefaultLocale: "en-US", Name: catalog.Text{"en-US": "Clock 2"}},
		Versions: []*catalog.Version{clockVersion("2.0", 0)},
	}
	if got := save(t, db, manifest); got.ID != 4711 || !got.Changed || got.New {
		t.Fatalf("saved %+v", got)
	}
	a := must[*catalog.Addon](t)(db.Addon(t.Context(), "clock"))
	want := in.Addon.Ratings
	equal(t, "ratings", a.Ratings, want)
	equal(t, "numbers", []float64{float64(a.AverageDailyUsers), float64(a.WeeklyDownloads), a.Hotness}, []float64{1234, 56, .25})
	equal(t, "created", a.Created, day(1))
	equal(t, "current", a.Current.Number, "2.0")
	if _, total, err := db.Versions(t.Context(), 4711, 10, 0); total != 3 || err != nil {
		t.Errorf("%d versions, want 3; %v", total, err)
	}
	// What was read may be saved again.
	save(t, db, store.Import{Addon: a})
	b := must[*catalog.Addon](t)(db.Addon(t.Context(), "clock"))
	equal(t, "saved again", b, a)
}

func idsAreKept(t *testing.T, db *store.DB) {
	save(t, db, clock())
	other := clock()
	other.Addon.GUID, other.Addon.Slug = "other@example.org", "other"
	other.Versions[0].ID = 1 << 60 // would end the numbering
	saved := save(t, db, other)
	if saved.ID == 4711 || saved.ID > 1<<41 {
		t.Errorf("id %d", saved.ID)
	}
	a := must[*catalog.Addon](t)(db.Addon(t.Context(), "other"))
	if a.Current.ID == 91 || a.Current.File.ID == 1091 {
		t.Errorf("version %d and file %d belong to another add-on", a.Current.ID, a.Current.File.ID)
	}
	equal(t, "same author", a.Authors, clock().Addon.Authors)
	first := must[*catalog.Addon](t)(db.Addon(t.Context(), "4711"))
	equal(t, "the first one's GUID", first.GUID, "clock@example.org")
	equal(t, "the first one's version", first.Current, clock().Versions[1])
}

func badImports(t *testing.T, db *store.DB) {
	for name, spoil := range map[string]func(*store.Import){
		"no add-on":           func(in *store.Import) { in.Addon = nil },
		"GUID":                func(in *store.Import) { in.Addon.GUID = "../../etc" },
		"type":                func(in *store.Import) { in.Addon.Type = "persona" },
		"status":              func(in *store.Import) { in.Addon.Status = "" },
		"locale":              func(in *store.Import) { in.Addon.Name[strings.Repeat("x", 99)] = "x" },
		"no UTF-8":            func(in *store.Import) { in.Addon.Name["en-US"] = "\xff" },
		"NUL":                 func(in *store.Import) { in.Addon.Summary["en-US"] = "a\x00b" },
		"huge text":           func(in *store.Import) { in.Addon.Description["en-US"] = strings.Repeat("x", 2<<20) },
		"long tag":            func(in *store.Import) { in.Addon.Tags = []string{strings.Repeat("x", 300)} },
		"negative":            func(in *store.Import) { in.Addon.AverageDailyUsers = -1 },
		"version twice":       func(in *store.Import) { in.Versions[1].Number = "1.9" },
		"version unnumbered":  func(in *store.Import) { in.Versions[1].Number = "" },
		"file status":         func(in *store.Import) { in.Versions[1].File.Status = "good" },
		"channel":             func(in *store.Import) { in.Versions[1].Channel = "beta" },
		"application twice":   func(in *store.Import) { in.Versions[1].Compatibility[1].App = "firefox" },
		"six stars":           func(in *store.Import) { in.Ratings[0].Score = 6 },
		"too many of a thing": func(in *store.Import) { in.Ratings = make([]catalog.Rating, 20_000) },
	} {
		in := clock()
		spoil(&in)
		if saved, err := db.Save(t.Context(), in); !errors.Is(err, catalog.ErrInvalid) {
			t.Errorf("%s: saved %+v, %v, want ErrInvalid", name, saved, err)
		}
	}
	ids, err := db.IDs(t.Context(), 0, 10)
	if len(ids) != 0 || err != nil {
		t.Errorf("add-ons %v, %v after bad imports, want none", ids, err)
	}
}

func slugs(t *testing.T, db *store.DB) {
	for i, c := range []struct{ slug, name, want string }{
		{"tab", "", "tab"},
		{"tab", "", "tab-1"},
		{"tab", "", "tab-2"},
		{"", "Tab!", "tab-3"},
		{"2048", "", "addon-2048"},
		{"../a b?", "", "a-b"},
		{"", "時計", "時計"},
		{"{x@y}", "", "x-y"},
	} {
		in := simple(i)
		in.Addon.Slug, in.Addon.Name = c.slug, catalog.Text{"en-US": c.name}
		saved := save(t, db, in)
		a := must[*catalog.Addon](t)(db.Addon(t.Context(), fmt.Sprint(saved.ID)))
		if a.Slug != c.want {
			t.Errorf("slug %q of name %q became %q, want %q", c.slug, c.name, a.Slug, c.want)
		}
		in.Addon.Summary = catalog.Text{"en-US": "changed"}
		save(t, db, in)
		if a = must[*catalog.Addon](t)(db.Addon(t.Context(), fmt.Sprint(saved.ID))); a.Slug != c.want {
			t.Errorf("a second import changed slug %q to %q", c.want, a.Slug)
		}
	}
}

func numbers(versions []*catalog.Version) []string {
	var all []string
	for _, v := range versions {
		all = append(all, v.Number)
	}
	return all
}

func versions(t *testing.T, db *store.DB) {
	in := clock()
	in.Versions = nil
	for i, number := range []string{"1.9", "1.10", "1.10b2", "2", "v12", "12", "0.9.9.9", "13", "14"} {
		v := clockVersion(number, int64(100+i))
		in.Versions = append(in.Versions, v)
		switch number {
		case "13":
			v.Channel = catalog.Unlisted
		case "14":
			v.Deleted = true
		case "2":
			v.File.Status = catalog.Disabled
		}
	}
	save(t, db, in)
	page, total, err := db.Versions(t.Context(), 4711, 3, 0)
	if err != nil || total != 6 {
		t.Fatalf("%d versions, want 6; %v", total, err)
	}
	more, _, err := db.Versions(t.Context(), 4711, 10, 3)
	equal(t, "order", numbers(append(page, more...)), []string{"12", "1.10", "1.10b2", "1.9", "0.9.9.9", "v12"})
	equal(t, "whole version", page[1], in.Versions[1])
	if err != nil {
		t.Error(err)
	}
	for ref, want := range map[string]string{"1.9": "1.9", "v1.9": "1.9", "101": "1.10", "12": "12", "v12": "12"} {
		v, err := db.Version(t.Context(), 4711, ref)
		if err != nil || v.Number != want {
			t.Errorf("Version(%q) = %v, %v, want %s", ref, v, err, want)
		}
	}
	for _, ref := range []string{"13", "14", "2", "107", "v101", "x", ""} {
		if v, err := db.Version(t.Context(), 4711, ref); !errors.Is(err, catalog.ErrNotFound) {
			t.Errorf("Version(%q) = %v, %v, want not found", ref, v, err)
		}
	}
}

func files(t *testing.T, db *store.DB) {
	in := clock()
	in.Versions[0].File.Status = catalog.Disabled
	unlisted := clockVersion("3", 93)
	unlisted.Channel = catalog.Unlisted
	in.Versions = append(in.Versions, unlisted)
	save(t, db, in)
	f, a, err := db.File(t.Context(), 1090)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "file", f, &in.Versions[0].File)
	equal(t, "add-on", a, &catalog.Addon{ID: 4711, GUID: "clock@example.org", Slug: "clock", Type: catalog.Extension, Status: catalog.Public, DefaultLocale: "en-US"})
	for _, id := range []int64{1093, 5, -1} {
		if _, _, err := db.File(t.Context(), id); !errors.Is(err, catalog.ErrNotFound) {
			t.Errorf("file %d: %v, want not found", id, err)
		}
	}
}

func candidates(t *testing.T, db *store.DB) {
	in := clock()
	in.Versions = nil
	for i, c := range []struct{ number, min, max string }{
		{"1.0", "100", "*"}, {"1.1", "100", "*"}, {"1.2", "100", "110.*"}, {"1.3", "115", "*"}, {"1.10", "115", "*"}, {"2.0b", "130", "140"}, {"2.0", "130", "140"},
	} {
		v := clockVersion(c.number, int64(100+i))
		v.Compatibility = []catalog.Compat{{App: "firefox", Min: c.min, Max: c.max}}
		v.Strict = i%2 == 0
		in.Versions = append(in.Versions, v)
	}
	save(t, db, in)
	ctx, ledger := metrics.Begin(t.Context(), "")
	known, got, slug, err := db.Candidates(ctx, "clock@example.org", "firefox")
	if err != nil || !known || slug != "clock" || ledger.Count("db") != 1 {
		t.Fatalf("known %v, slug %q, %d queries, %v", known, slug, ledger.Count("db"), err)
	}
	if len(got) >= len(in.Versions) || got[0].Number != "2.0" {
		t.Errorf("candidates %v, want fewer than %d, newest first", numbers(got), len(in.Versions))
	}
	for _, mode := range catalog.Modes() {
		for _, app := range []string{"99", "100", "109.5", "110.9", "111", "115.0", "129", "130", "140", "140.1", "200"} {
			want, have := catalog.Choose(in.Versions, catalog.Firefox, app, mode), catalog.Choose(got, catalog.Firefox, app, mode)
			if (want == nil) != (have == nil) || want != nil && (want.ID != have.ID || want.File.Hash != have.File.Hash || want.File.ID != have.File.ID) {
				t.Errorf("Firefox %s, %s: chose %+v, want %+v", app, mode, have, want)
			}
		}
	}
	known, got, _, err = db.Candidates(t.Context(), "clock@example.org", "android")
	if !known || len(got) != 0 || err != nil {
		t.Errorf("for Android: known %v, %v, %v; want known and none", known, got, err)
	}
	known, _, _, err = db.Candidates(t.Context(), "who@example.org", "firefox")
	if known || err != nil {
		t.Errorf("unknown GUID: known %v, %v", known, err)
	}
}

func rollouts(t *testing.T, db *store.DB) {
	in := clock()
	save(t, db, in)
	ctx := t.Context()
	a := must[*catalog.Addon](t)(db.Addon(ctx, "clock"))
	held := func() map[string]int {
		_, versions, _, err := db.Candidates(ctx, "clock@example.org", "firefox")
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]int{}
		for _, v := range versions {
			all[v.Number] = v.HeldBack
		}
		return all
	}
	before := must[int64](t)(db.Clock(ctx))
	newest := must[*catalog.Version](t)(db.Version(ctx, a.ID, "v1.10"))
	if err := db.SetRollout(ctx, a.ID, newest.ID, 25); err != nil {
		t.Fatal(err)
	}
	equal(t, "held back", held()["1.10"], 75)
	if _, ok := held()["1.9"]; !ok {
		t.Errorf("candidates %v, want the version before too, for the others", held())
	}
	equal(t, "changes", must[[]string](t)(db.Changes(ctx, before, 9)), []string{"clock@example.org"})
	list := must[[]store.Rollout](t)(db.Rollouts(ctx))
	if len(list) != 1 || list[0].Slug != "clock" || list[0].Version != "1.10" || list[0].Percent != 25 || time.Since(list[0].Changed) > time.Minute {
		t.Errorf("rollouts %+v", list)
	}

	// An import keeps it, and may begin with one.
	in.Addon.WeeklyDownloads++
	in.Versions = append(in.Versions, clockVersion("1.11", 0))
	in.HeldBack = 100
	save(t, db, in)
	equal(t, "after an import", []int{held()["1.10"], held()["1.11"]}, []int{75, 100})

	eleven := must[*catalog.Version](t)(db.Version(ctx, a.ID, "v1.11"))
	for _, percent := range []int{0, 100} {
		if err := errors.Join(db.SetRollout(ctx, a.ID, newest.ID, percent), db.SetRollout(ctx, a.ID, eleven.ID, 0)); err != nil {
			t.Fatal(err)
		}
		equal(t, fmt.Sprintf("held back at %d %%", percent), held()["1.10"], 100-percent)
	}
	if err := db.SetRollout(ctx, a.ID, newest.ID, 101); !errors.Is(err, catalog.ErrInvalid) {
		t.Errorf("101 %%: %v, want invalid", err)
	}
	if err := db.SetRollout(ctx, a.ID+1, newest.ID, 5); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("another add-on's version: %v, want not found", err)
	}
	save(t, db, simple(1))
	equal(t, "held back of a new add-on", len(must[[]store.Rollout](t)(db.Rollouts(ctx))), 1)

	// One that was known before it was reviewed is new to the clients.
	twelve := clockVersion("1.12", 0)
	twelve.File.Status = catalog.Unreviewed
	in.Versions = append(in.Versions, twelve)
	save(t, db, in)
	if _, ok := held()["1.12"]; ok {
		t.Errorf("candidates %v, want 1.12 when it is public", held())
	}
	twelve.File.Status, in.HeldBack = catalog.Public, 90
	save(t, db, in)
	equal(t, "held back, public", []int{held()["1.12"], held()["1.11"], held()["1.10"]}, []int{90, 100, 0})
	twelve.Deleted, in.Versions[len(in.Versions)-2].Deleted = true, true
	save(t, db, in)
	equal(t, "rollouts of deleted versions", len(must[[]store.Rollout](t)(db.Rollouts(ctx))), 0)
}

func candidatesAtOnce(t *testing.T, db *store.DB) {
	const addons, callers = 20, 200
	for i := range addons {
		save(t, db, simple(i))
	}
	var wait sync.WaitGroup
	for i := range callers {
		wait.Go(func() {
			n := i % (addons + 5)
			app := []string{"firefox", "android"}[i%2]
			ctx, ledger := metrics.Begin(t.Context(), "")
			known, versions, slug, err := db.Candidates(ctx, fmt.Sprintf("simple-%d@example.org", n), app)
			if err != nil || known != (n < addons) || ledger.Count("db") == 0 {
				t.Errorf("%d: known %v, %d queries, %v", n, known, ledger.Count("db"), err)
			}
			if known && (slug != fmt.Sprintf("simple-%d", n) || len(versions) > 0 != (app == "firefox")) {
				t.Errorf("%d for %s: slug %q, %d versions", n, app, slug, len(versions))
			}
		})
	}
	wait.Wait()
}

func candidatesFollow(t *testing.T, db *store.DB) {
	in := clock()
	for _, c := range []struct {
		status catalog.Status
		known  bool
		offers bool
	}{
		{catalog.Public, true, true}, {catalog.Nominated, true, false}, {catalog.Disabled, false, false}, {catalog.Deleted, false, false}, {catalog.Public, true, true},
	} {
		in.Addon.Status = c.status
		save(t, db, in)
		known, got, _, err := db.Candidates(t.Context(), "clock@example.org", "firefox")
		if known != c.known || (len(got) > 0) != c.offers || err != nil {
			t.Errorf("%s: known %v, %v, %v", c.status, known, numbers(got), err)
		}
	}
	in.Versions[1].File.Status = catalog.Disabled
	save(t, db, in)
	if _, got, _, _ := db.Candidates(t.Context(), "clock@example.org", "firefox"); len(got) != 1 || got[0].Number != "1.9" {
		t.Errorf("after the newest was disabled: %v", numbers(got))
	}
	a := must[*catalog.Addon](t)(db.Addon(t.Context(), "clock"))
	equal(t, "current", a.Current.Number, "1.9")
}

func browse(t *testing.T, db *store.DB) {
	for n := range 30 {
		in := simple(n)
		switch {
		case n == 7:
			in.Addon.Status = catalog.Disabled
		case n == 8:
			in.Versions = nil
		case n == 9:
			in.Addon.Type = catalog.Theme
		case n == 10:
			in.Addon.Promoted = []string{"recommended"}
		case n == 11:
			in.Addon.Promoted = []string{"line"}
			in.Versions[0].Compatibility = append(in.Versions[0].Compatibility, catalog.Compat{App: "android"})
			in.Addon.Categories["android"] = []string{"other"}
		case n == 12:
			in.Addon.Name["de"] = "Ärger 100%_"
			in.Addon.Authors = append(in.Addon.Authors, catalog.Author{Name: "Eve", Username: "eve"})
		}
		save(t, db, in)
	}
	eve := must[*catalog.Addon](t)(db.Addon(t.Context(), "simple-12")).Authors[1].ID
	for _, c := range []struct {
		browse store.Browse
		total  int
		first  string
	}{
		{store.Browse{}, 28, "simple-29"},
		{store.Browse{Type: "extension"}, 27, "simple-29"},
		{store.Browse{Type: "statictheme"}, 1, "simple-9"},
		{store.Browse{Type: "dictionary"}, 0, ""},
		{store.Browse{Sort: "users"}, 28, "simple-29"},
		{store.Browse{Sort: "downloads"}, 28, "simple-0"},
		{store.Browse{Sort: "created"}, 28, "simple-29"},
		{store.Browse{Sort: "updated"}, 28, "simple-0"},
		{store.Browse{Sort: "name"}, 28, "simple-0"},
		{store.Browse{Sort: "hotness"}, 28, "simple-27"},
		{store.Browse{Sort: "ratings"}, 28, "simple-29"},
		{store.Browse{Sort: "recommended"}, 28, "simple-10"},
		{store.Browse{Promoted: true}, 2, "simple-11"},
		{store.Browse{App: "android"}, 1, "simple-11"},
		{store.Browse{App: "firefox"}, 28, "simple-29"},
		{store.Browse{Category: "tabs"}, 28, "simple-29"},
		{store.Browse{Category: "other", App: "android"}, 1, "simple-11"},
		{store.Browse{Category: "other", App: "firefox"}, 0, ""},
		{store.Browse{Tag: "tag-1"}, 9, "simple-28"},
		{store.Browse{Tag: "no-tag"}, 0, ""},
		{store.Browse{Author: "al"}, 28, "simple-29"},
		{store.Browse{Author: "eve"}, 1, "simple-12"},
		{store.Browse{Author: fmt.Sprint(eve)}, 1, "simple-12"},
		{store.Browse{Text: "ärger"}, 1, "simple-12"},
		{store.Browse{Text: "100%_ SIMPLE"}, 1, "simple-12"},
		{store.Browse{Text: "0%0"}, 0, ""},
		{store.Browse{Text: "one simple", Type: "extension", Tag: "tag-0", App: "firefox", Category: "tabs"}, 9, "simple-27"},
	} {
		c.browse.Limit = 1
		ids, total, err := db.Browse(t.Context(), c.browse)
		if err != nil || total != c.total {
			t.Errorf("%+v: %d, %v; want %d", c.browse, total, err, c.total)
		}
		all := must[[]*catalog.Addon](t)(db.Addons(t.Context(), ids))
		if c.first == "" && len(all) != 0 || c.first != "" && (len(all) != 1 || all[0].Slug != c.first) {
			t.Errorf("%+v: first of %v, want %s", c.browse, ids, c.first)
		}
	}
	for _, sort := range store.Sorts() {
		var all []int64
		for offset := 0; offset < 30; offset += 7 {
			ids, _, err := db.Browse(t.Context(), store.Browse{Sort: sort, Limit: 7, Offset: offset})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, ids...)
		}
		slices.Sort(all)
		if len(slices.Compact(all)) != 28 {
			t.Errorf("pages by %s overlap or leave out", sort)
		}
	}
	for _, bad := range []store.Browse{{Sort: "id; DROP TABLE addons"}, {Limit: -1}, {Offset: -1}, {App: "thunderbird"}} {
		if _, _, err := db.Browse(t.Context(), bad); !errors.Is(err, catalog.ErrInvalid) {
			t.Errorf("%+v: %v, want ErrInvalid", bad, err)
		}
	}
	counts, err := db.Counts(t.Context())
	equal(t, "counts", counts, map[catalog.Type]int{catalog.Extension: 27, catalog.Theme: 1})
	categories, err2 := db.Categories(t.Context())
	if len(categories) < 40 || err != nil || err2 != nil {
		t.Errorf("%d categories, %v, %v", len(categories), err, err2)
	}
}

func constantQueries(t *testing.T, db *store.DB) {
	for n := range 100 {
		save(t, db, simple(n))
	}
	var last int
	for _, n := range []int{10, 100} {
		ctx, ledger := metrics.Begin(t.Context(), "")
		ids, _, err := db.Browse(ctx, store.Browse{Limit: n})
		if err != nil {
			t.Fatal(err)
		}
		slices.Reverse(ids)
		all := must[[]*catalog.Addon](t)(db.Addons(ctx, append(ids, -1)))
		if len(all) != n || all[0].ID != ids[0] || all[0].Current == nil || len(all[0].Tags) != 2 {
			t.Errorf("%d add-ons, wanted %d in the order asked for", len(all), n)
		}
		if last != 0 && ledger.Count("db") != last {
			t.Errorf("%d add-ons cost %d queries, 10 cost %d", n, ledger.Count("db"), last)
		}
		last = ledger.Count("db")
	}
	if last > 12 {
		t.Errorf("a list costs %d queries, want 12 at the most", last)
	}
	first := must[[]int64](t)(db.IDs(t.Context(), 0, 60))
	rest := must[[]int64](t)(db.IDs(t.Context(), first[59], 60))
	if len(first) != 60 || len(rest) != 40 {
		t.Errorf("IDs in pages of 60: %d, %d", len(first), len(rest))
	}
}

func ratings(t *testing.T, db *store.DB) {
	in := clock()
	save(t, db, in)
	// One changes its mind, one is new: 100 that AMO counted, and one more.
	more := store.Import{Addon: in.Addon, Ratings: []catalog.Rating{
		{ID: 502, VersionNumber: "1.10", UserName: "Bob", Score: 1, Body: "Late", Created: day(6)},
		{VersionNumber: "1.10", UserName: "Cid", Score: 5, Created: day(7)},
	}}
	if got := save(t, db, more); !got.Changed {
		t.Error("a new rating changed nothing")
	}
	a := must[*catalog.Addon](t)(db.Addon(t.Context(), "clock"))
	equal(t, "count", a.Ratings.Count, 101)
	equal(t, "texts", a.Ratings.TextCount, 41)
	equal(t, "grouped", a.Ratings.Grouped, [5]int{2, 2, 3, 3, 91})
	equal(t, "average", a.Ratings.Average, 4.5424) // (456.78 - 4 + 1 + 5) / 101
	if got := save(t, db, more); got.Changed {
		t.Error("the same ratings again changed something")
	}
	all, total, err := db.Ratings(t.Context(), 4711, 10, 0)
	if err != nil || total != 3 || all[0].UserName != "Cid" || all[1].Body != "Late" || all[1].ID != 502 {
		t.Errorf("ratings %+v, %v", all, err)
	}
}

func aggregate(t *testing.T, db *store.DB) {
	in := clock()
	in.Addon.Hotness, in.Addon.WeeklyDownloads = 0, 10
	save(t, db, in)
	save(t, db, simple(1))
	downloads := []store.Download{{FileID: 1090, Day: day(30), Count: 50}, {FileID: 1091, Day: day(24), Count: 30}, {FileID: 1091, Day: day(24), Count: 20},
		{FileID: 1091, Day: day(23), Count: 90}, {FileID: 1091, Day: day(10), Count: 60}, {FileID: 1, Day: day(9), Count: 0}, {FileID: 1 << 50, Day: day(30), Count: 5}, {FileID: 1091, Day: day(1), Count: 9999}}
	for range 2 {
		if err := db.DownloadCounted(t.Context(), downloads...); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := db.Aggregate(t.Context(), day(30))
	if err != nil || rows == 0 {
		t.Fatalf("aggregate changed %d rows, %v", rows, err)
	}
	a := must[*catalog.Addon](t)(db.Addon(t.Context(), "clock"))
	equal(t, "downloads", a.WeeklyDownloads, 10+200)
	equal(t, "hotness", a.Hotness, 1.0) // 200 this week, 300 in the three before
	equal(t, "ratings", a.Ratings.Count, 100)
	equal(t, "average", a.Ratings.Average, 4.5678)
	rows, err = db.Aggregate(t.Context(), day(30))
	if err != nil || rows != 0 {
		t.Errorf("a second aggregate changed %d rows, %v", rows, err)
	}
}

func tags(t *testing.T, db *store.DB) {
	for n := range 9 {
		in := simple(n)
		if n == 8 {
			in.Addon.Status = catalog.Nominated
		}
		save(t, db, in)
	}
	want := []catalog.Tag{{Name: "simple", Count: 8}, {Name: "tag-1", Count: 3}, {Name: "tag-0", Count: 3}}
	equal(t, "tags", must[[]catalog.Tag](t)(db.Tags(t.Context(), 3)), want)
	if rows := must[int](t)(db.Aggregate(t.Context(), day(1))); rows != 0 {
		t.Errorf("counting the tags anew changed %d rows, want 0", rows)
	}
	in := simple(0)
	in.Addon.Tags = []string{"new"}
	save(t, db, in)
	gone := simple(1)
	gone.Addon.Status = catalog.Disabled
	save(t, db, gone)
	equal(t, "tags", must[[]catalog.Tag](t)(db.Tags(t.Context(), 9)), []catalog.Tag{
		{Name: "simple", Count: 6}, {Name: "tag-2", Count: 2}, {Name: "tag-1", Count: 2}, {Name: "tag-0", Count: 2}, {Name: "new", Count: 1}})
}

func kinds(jobs []store.Job) []string {
	var all []string
	for _, j := range jobs {
		all = append(all, j.Kind)
	}
	return all
}

// leaseOf is a minute, but for what takes longer.
func leaseOf(kind string) time.Duration {
	if kind == "long" {
		return time.Hour
	}
	return time.Minute
}

func jobs(t *testing.T, db *store.DB) {
	ctx, now := t.Context(), time.Now().UTC().Truncate(time.Microsecond)
	lease := func(at time.Time, limit int) []store.Job {
		return must[[]store.Job](t)(db.Lease(ctx, at, leaseOf, limit))
	}
	depth := func(want ...int) {
		t.Helper()
		waiting, leased, dead, _, err := db.Depth(ctx)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "waiting, leased, dead", []int{waiting, leased, dead}, want)
	}
	depth(0, 0, 0)
	b := store.Job{ID: "b", Kind: "b", Payload: []byte{0, 255, '\''}, Created: now.Add(-time.Minute), Trace: "00-trace"}
	err := db.Push(ctx, store.Job{Kind: "later", NotBefore: now.Add(time.Hour)}, store.Job{Kind: "a", Created: now.Add(-2 * time.Minute)}, b)
	if err := errors.Join(err, db.Push(ctx, b), db.Push(ctx)); err != nil {
		t.Fatal(err)
	}
	if _, _, _, oldest, _ := db.Depth(ctx); !oldest.Equal(now.Add(-2 * time.Minute)) {
		t.Errorf("oldest %v, want that of a", oldest)
	}
	depth(3, 0, 0)
	equal(t, "first", kinds(lease(now, 1)), []string{"a"})
	got := lease(now, 9)
	b.Attempt, b.NotBefore = 1, b.Created
	equal(t, "second", got, []store.Job{b})
	equal(t, "nothing left", len(lease(now, 9)), 0)
	depth(1, 2, 0)
	// The worker of both has died.
	again := lease(now.Add(61*time.Second), 9)
	equal(t, "again", kinds(again), []string{"a", "b"})
	equal(t, "attempt", again[0].Attempt, 2)
	if len(again[0].ID) != 36 {
		t.Errorf("id %q is no UUID", again[0].ID)
	}
	if err := errors.Join(db.Done(ctx, again[0].ID), db.Done(ctx, again[0].ID), db.Retry(ctx, "b", now.Add(2*time.Minute), "busy")); err != nil {
		t.Fatal(err)
	}
	equal(t, "not yet", len(lease(now.Add(119*time.Second), 9)), 0)
	equal(t, "retried", kinds(lease(now.Add(120*time.Second), 9)), []string{"b"})
	if err := db.Dead(ctx, "b", strings.Repeat("é", 9999)); err != nil {
		t.Fatal(err)
	}
	depth(1, 0, 1)
	dead := must[[]store.Job](t)(db.DeadJobs(ctx, 9))
	if len(dead) != 1 || dead[0].ID != "b" || len(dead[0].Reason) != 4096 {
		t.Errorf("dead jobs %+v", kinds(dead))
	}
	if err := db.Retry(ctx, "b", now, ""); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("a dead job was retried: %v", err)
	}
	if err := db.Replay(ctx, "b"); err != nil {
		t.Fatal(err)
	}
	got = lease(time.Now(), 9)
	equal(t, "replayed", kinds(got), []string{"b"})
	equal(t, "attempts begin anew", got[0].Attempt, 1)
	for _, err := range []error{db.Replay(ctx, "b"), db.Dead(ctx, "x", ""), db.Retry(ctx, "x", now, "")} {
		if !errors.Is(err, catalog.ErrNotFound) {
			t.Errorf("got %v, want not found", err)
		}
	}
	if err := errors.Join(db.Done(ctx, "b"), db.Push(ctx, store.Job{Kind: "long"}, store.Job{Kind: "short"})); err != nil {
		t.Fatal(err)
	}
	at := time.Now().UTC().Add(time.Second)
	equal(t, "both kinds", len(lease(at, 9)), 2)
	equal(t, "after the short one's lease", kinds(lease(at.Add(61*time.Second), 9)), []string{"short"})
	if got := kinds(lease(at.Add(61*time.Minute), 9)); !slices.Contains(got, "long") {
		t.Errorf("after an hour: %v, want the long one too", got)
	}
}

func jobsConcurrent(t *testing.T, db *store.DB) {
	const total = 200
	for i := range total {
		if err := db.Push(t.Context(), store.Job{ID: fmt.Sprintf("job-%03d", i), Kind: "k"}); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	seen := map[string]int{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				mu.Lock()
				all := len(seen) == total
				mu.Unlock()
				if all {
					return
				}
				got, err := db.Lease(t.Context(), time.Now(), leaseOf, 7)
				if err != nil {
					t.Error(err)
					return
				}
				for _, j := range got {
					mu.Lock()
					seen[j.ID]++
					mu.Unlock()
					if err := db.Done(t.Context(), j.ID); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s was handed out %d times", id, n)
		}
	}
	if waiting, leased, _, _, err := db.Depth(t.Context()); waiting+leased != 0 || err != nil {
		t.Errorf("%d waiting, %d leased are left, %v", waiting, leased, err)
	}
}

func failedSave(t *testing.T, db *store.DB) {
	ctx, cancel := context.WithCancel(t.Context())
	in := clock()
	in.Jobs = func(int64) []store.Job {
		cancel() // the client goes away before the commit
		return []store.Job{{Kind: "index"}}
	}
	if saved, err := db.Save(ctx, in); !errors.Is(err, context.Canceled) {
		t.Errorf("Save = %+v, %v, want canceled", saved, err)
	}
	if _, err := db.Addon(t.Context(), "clock"); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("after a failed save: %v, want not found", err)
	}
	if waiting, _, _, _, err := db.Depth(t.Context()); waiting != 0 || err != nil {
		t.Errorf("after a failed save: %d jobs, %v", waiting, err)
	}
	in.Jobs = nil
	save(t, db, in)
}

func manyWriters(t *testing.T, db *store.DB) {
	const writers, each = 8, 12
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				in := simple(w*each + i)
				in.Addon.Authors = append(in.Addon.Authors, catalog.Author{Name: fmt.Sprintf("Author %d", i)})
				in.Addon.Tags = append(in.Addon.Tags, fmt.Sprintf("shared-%d", i))
				in.Jobs = func(id int64) []store.Job { return []store.Job{{Kind: "index", Payload: fmt.Append(nil, id)}} }
				if _, err := db.Save(t.Context(), in); err != nil {
					t.Error(err)
				}
				if _, _, err := db.Browse(t.Context(), store.Browse{Limit: 5}); err != nil {
					t.Error(err)
				}
				if got, err := db.Lease(t.Context(), time.Now(), leaseOf, 2); err != nil {
					t.Error(err)
				} else if len(got) > 0 {
					if err := db.Done(t.Context(), got[0].ID); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	if _, total, err := db.Browse(t.Context(), store.Browse{}); total != writers*each || err != nil {
		t.Errorf("%d add-ons, want %d; %v", total, writers*each, err)
	}
	if got := must[[]catalog.Tag](t)(db.Tags(t.Context(), 1)); len(got) != 1 || got[0].Count != writers*each {
		t.Errorf("tags %v, want %d of simple", got, writers*each)
	}
	if rows := must[int](t)(db.Aggregate(t.Context(), day(1))); rows != 0 {
		t.Errorf("%d sums were wrong", rows)
	}
}

func oneByMany(t *testing.T, db *store.DB) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	news := 0
	for range 8 {
		wg.Go(func() {
			saved, err := db.Save(t.Context(), clock())
			if err != nil || saved.ID != 4711 {
				t.Errorf("%+v, %v", saved, err)
			}
			if saved.New {
				mu.Lock()
				defer mu.Unlock()
				news++
			}
		})
	}
	wg.Wait()
	equal(t, "new", news, 1)
	a := must[*catalog.Addon](t)(db.Addon(t.Context(), "clock"))
	equal(t, "ratings", a.Ratings, clock().Addon.Ratings)
}

func canceled(t *testing.T, db *store.DB) {
	save(t, db, clock())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := db.Addon(ctx, "clock"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
	if _, err := db.Save(ctx, simple(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
	must[*catalog.Addon](t)(db.Addon(t.Context(), "clock"))
}

func notFound(t *testing.T, db *store.DB) {
	for _, ref := range []string{"", "1", "-1", "99999999999999999999", "nobody", "no@body", "' OR 1=1 --"} {
		if a, err := db.Addon(t.Context(), ref); !errors.Is(err, catalog.ErrNotFound) {
			t.Errorf("Addon(%q) = %v, %v, want not found", ref, a, err)
		}
	}
	if all := must[[]*catalog.Addon](t)(db.Addons(t.Context(), nil)); len(all) != 0 {
		t.Errorf("no ids gave %v", all)
	}
	if _, total, err := db.Versions(t.Context(), 1, 10, 0); total != 0 || err != nil {
		t.Errorf("versions of nothing: %d, %v", total, err)
	}
}
