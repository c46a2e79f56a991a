package load_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"

	"addons/server/catalog"
	"addons/server/enginetest"
	"addons/server/file"
	"addons/server/load"
	"addons/server/metrics"
	"addons/server/store"
)

// generated is every table that a generated catalogue fills.
var generated = []string{
	"(SELECT recipe, done, finished FROM generated) AS g", "addons", "addon_texts", "addon_words", "authors", "addon_authors", "addon_categories", "tags", "addon_tags",
	"previews", "licenses", "versions", "files", "compat", "offers", "ratings",
}

// digestOf is the hash of a database's tables, read past the store.
func digestOf(t testing.TB, driver, name string) string {
	t.Helper()
	db, err := sql.Open(driver, name)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	hash := sha256.New()
	for _, table := range generated {
		lines := linesOf(t, db, "SELECT * FROM "+table)
		if len(lines) == 0 {
			t.Errorf("no rows in %s", table)
		}
		slices.Sort(lines)
		fmt.Fprintln(hash, table, len(lines), strings.Join(lines, "\n"))
	}
	return fmt.Sprintf("%x", hash.Sum(nil)[:8])
}

func linesOf(t testing.TB, db *sql.DB, query string) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, _ := rows.Columns()
	var lines []string
	for rows.Next() {
		values, to := make([]string, len(columns)), make([]any, len(columns))
		for i := range values {
			to[i] = &values[i]
		}
		if err := rows.Scan(to...); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, strings.Join(values, " | "))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

func (p *platform) generate(t testing.TB, g load.Generation) load.Generated {
	t.Helper()
	done, err := p.Generate(t.Context(), g, nil)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// The digest stands for the rows that a seed gives, on every machine. Who changes
// it changes recipeVersion.
func TestASeedGivesTheSameRowsOnEveryEngine(t *testing.T) {
	t.Parallel()
	g := load.Generation{Seed: 7, Count: 400, Packages: 3}
	const want = "f25504df9e703f0a"
	t.Run("sqlite", func(t *testing.T) {
		dir := t.TempDir()
		openPlatform(t, dir).generate(t, g)
		if got := digestOf(t, "sqlite", filepath.Join(dir, "addons.db")); got != want {
			t.Errorf("the rows' digest is %s, want %s", got, want)
		}
		g.Seed++
		dir = t.TempDir()
		openPlatform(t, dir).generate(t, g)
		if got := digestOf(t, "sqlite", filepath.Join(dir, "addons.db")); got == want {
			t.Error("another seed gave the same rows")
		}
	})
	t.Run("mysql", func(t *testing.T) {
		where, name := newMySQL(t)
		p := openPlatform(t, t.TempDir())
		db, err := store.Open(t.Context(), where, metrics.New(nil), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		g.Seed = 7
		if _, err := load.New(db, p.files, nil, slog.New(slog.DiscardHandler)).Generate(t.Context(), g, nil); err != nil {
			t.Fatal(err)
		}
		if got := digestOf(t, "mysql", name); got != want {
			t.Errorf("the rows' digest is %s, want %s", got, want)
		}
	})
}

// newMySQL makes a database that lives as long as the test: its URL, and its name
// for the driver.
func newMySQL(t testing.TB) (where, name string) {
	t.Helper()
	u, err := url.Parse(enginetest.URL(t, "MYSQL"))
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	address := fmt.Sprintf("%s:%s@tcp(%s)/", u.User.Username(), password, u.Host)
	server, err := sql.Open("mysql", address)
	if err != nil {
		t.Fatal(err)
	}
	database := "addons_test_" + strings.ToLower(rand.Text()[:12])
	if _, err := server.Exec("CREATE DATABASE " + database); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := server.Exec("DROP DATABASE " + database); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	u.Path = "/" + database
	return u.String(), address + database
}

func TestAGeneratedCatalogueIsLikeARealOne(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	const n, packed = 1500, 4
	done := p.generate(t, load.Generation{Seed: 2012, Count: n, Packages: packed})
	if done.Addons != n || done.Before != 0 || done.Rows < 20*n {
		t.Errorf("done: %+v", done)
	}
	all := p.all(t)
	seen, users, versions, guids, authored := map[string]int{}, []int{}, 0, map[bool]int{}, map[int64]int{}
	for _, a := range all {
		seen["type "+string(a.Type)]++
		seen["status "+string(a.Status)]++
		for l := range a.Summary {
			seen["locale "+l]++
		}
		for _, c := range a.Promoted {
			seen["promoted "+c]++
		}
		for app, slugs := range a.Categories {
			seen["app "+app]++
			for _, slug := range slugs {
				if _, ok := catalog.CategoryBy(app, a.Type, slug); !ok {
					t.Errorf("%s is in the category %s %s, which there is not", a.Slug, app, slug)
				}
			}
		}
		guids[strings.HasPrefix(a.GUID, "{")]++
		for _, author := range a.Authors {
			authored[author.ID]++
		}
		if len(a.Authors) == 0 || !catalog.ValidGUID(a.GUID) {
			t.Errorf("%s (%s) is by %v", a.Slug, a.GUID, a.Authors)
		}
		if a.Status != catalog.Public {
			if a.AverageDailyUsers+a.Ratings.Count+len(a.Promoted) != 0 {
				t.Errorf("%s is %s and has users", a.Slug, a.Status)
			}
			continue
		}
		if a.Current == nil {
			t.Fatalf("%s is public without a version", a.Slug)
		}
		users = append(users, a.AverageDailyUsers)
		some, total, err := p.db.Versions(t.Context(), a.ID, 100, 0)
		if err != nil {
			t.Fatal(err)
		}
		versions += total
		for _, v := range some {
			seen[fmt.Sprint("strict ", v.Strict)]++
			seen[fmt.Sprint("apps ", len(v.Compatibility))]++
			seen[fmt.Sprint("open ", v.Compatibility[0].Open())]++
			if v.File.Size <= 0 || !strings.HasPrefix(v.File.Hash, "sha256:") || len(v.File.Hash) != len("sha256:")+64 {
				t.Errorf("%s: size %d, hash %q", v.File.Name, v.File.Size, v.File.Hash)
			}
		}
		if a.Current.File.Key != "" {
			seen["packed"]++
			p.body(t, a.Current.File)
		}
		sum := 0
		for _, k := range a.Ratings.Grouped {
			sum += k
		}
		_, rows, err := p.db.Ratings(t.Context(), a.ID, 1, 0)
		if err != nil || sum != a.Ratings.Count || rows > a.Ratings.Count || a.Ratings.TextCount > a.Ratings.Count {
			t.Errorf("%s has ratings %+v and %d rows (%v)", a.Slug, a.Ratings, rows, err)
		}
		seen[fmt.Sprint("rated ", rows > 0, a.Ratings.Count > rows)]++
	}
	for _, what := range []string{
		"type extension", "type statictheme", "type dictionary", "type language", "status public", "status disabled", "status nominated", "status incomplete",
		"locale en-US", "locale de", "locale ja", "locale ar", "app firefox", "app android", "promoted recommended", "promoted line", "promoted notable",
		"strict true", "strict false", "apps 1", "apps 2", "open true", "open false", "packed", "rated true true",
	} {
		if seen[what] == 0 {
			t.Errorf("nothing has %s: %v", what, seen)
		}
	}
	slices.SortFunc(users, func(a, b int) int { return b - a })
	if users[0] < 5e6 || users[9] > users[0]/5 || users[9] < users[0]/20 || users[len(users)/2] > users[0]/300 {
		t.Errorf("users %v … %d in the middle, want Zipf's law", users[:10], users[len(users)/2])
	}
	if mean := float64(versions) / float64(len(users)); mean < 2.5 || mean > 3.5 {
		t.Errorf("%.2f versions each, want about three", mean)
	}
	if seen["packed"] > packed || guids[true] < n/3 || guids[false] < n/3 {
		t.Errorf("%d packed, %v GUIDs", seen["packed"], guids)
	}
	most := 0
	for _, k := range authored {
		most = max(most, k)
	}
	if most < 3 || len(authored) < n/4 {
		t.Errorf("%d authors, of whom one made %d", len(authored), most)
	}
}

// What follows from the rows is right from the start: nothing is left to count.
func TestNothingIsToBeCountedAfterGenerate(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.generate(t, load.Generation{Seed: 3, Count: 1200})
	changed, err := p.db.Aggregate(t.Context(), time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC))
	if err != nil || changed != 0 {
		t.Errorf("Aggregate changed %d rows (%v), want none", changed, err)
	}
}

func TestGenerateRefusesWhatItCannotDo(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	for _, g := range []load.Generation{{Count: 0}, {Count: load.MaxGenerate + 1}, {Count: 5, Packages: 6}, {Count: 5, Packages: -1}} {
		if _, err := p.Generate(t.Context(), g, nil); !errors.Is(err, catalog.ErrInvalid) {
			t.Errorf("%+v: %v", g, err)
		}
	}
	first := load.Generation{Seed: 1, Count: 20}
	p.generate(t, first)
	if again := p.generate(t, first); again.Before != 20 || again.Rows != 0 {
		t.Errorf("a second run did %+v", again)
	}
	for _, other := range []load.Generation{{Seed: 2, Count: 20}, {Seed: 1, Count: 21}, {Seed: 1, Count: 20, Packages: 1}} {
		_, err := p.Generate(t.Context(), other, nil)
		if !errors.Is(err, catalog.ErrInvalid) || !strings.Contains(err.Error(), "--generate 20 --seed 1") {
			t.Errorf("%+v into another catalogue: %v", other, err)
		}
	}
}

// killGeneration is three transactions.
var killGeneration = load.Generation{Seed: 11, Count: 4500, Packages: 2}

// TestAKilledGenerationEndsWithTheSameRows kills it with -9 after some transactions,
// calls it off in the middle of another, and lets it end.
func TestAKilledGenerationEndsWithTheSameRows(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LOAD_TEST_GENERATE="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for line := []byte{0}; line[0] != '!'; { // a transaction is committed, the next has begun
		if _, err := out.Read(line); err != nil {
			t.Fatalf("the load ended by itself: %v", err)
		}
	}
	cmd.Process.Kill()
	cmd.Wait()

	p := openPlatform(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done, err := p.Generate(ctx, killGeneration, func(done, _ int, _ string) {
		if done > 2000 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "goes on") || done.Before == 0 || done.Addons <= done.Before || done.Addons == killGeneration.Count {
		t.Fatalf("called off: %+v, %v", done, err)
	}
	if ids, err := p.db.IDs(t.Context(), 0, 10_000); err != nil || len(ids) != done.Addons {
		t.Errorf("%d add-ons are there (%v), %d were told", len(ids), err, done.Addons)
	}
	if recipe, err := p.db.Unfinished(t.Context()); err != nil || !strings.HasPrefix(recipe, "--generate ") {
		t.Errorf("unfinished: %q, %v", recipe, err)
	}
	if last := p.generate(t, killGeneration); last.Addons != killGeneration.Count || last.Before != done.Addons {
		t.Errorf("the last run did %+v after %+v", last, done)
	}
	if recipe, err := p.db.Unfinished(t.Context()); err != nil || recipe != "" {
		t.Errorf("unfinished after its end: %q, %v", recipe, err)
	}
	whole := t.TempDir()
	openPlatform(t, whole).generate(t, killGeneration)
	if got, want := digestOf(t, "sqlite", filepath.Join(dir, "addons.db")), digestOf(t, "sqlite", filepath.Join(whole, "addons.db")); got != want {
		t.Errorf("the rows' digest is %s, of those loaded in one go it is %s", got, want)
	}
}

// generateUntilKilled writes a byte for every step, another one when something is committed.
func generateUntilKilled(dir string) int {
	reg, log := metrics.New(nil), slog.New(slog.DiscardHandler)
	db, err := store.Open(context.Background(), "sqlite:"+filepath.Join(dir, "addons.db"), reg, log)
	if err != nil {
		return 1
	}
	files, err := file.Open("file:"+filepath.Join(dir, "files"), reg)
	if err != nil {
		return 1
	}
	_, err = load.New(db, files, nil, log).Generate(context.Background(), killGeneration, func(done, _ int, _ string) {
		step := "."
		if done > 0 {
			step = "!"
		}
		os.Stdout.WriteString(step)
	})
	if err != nil {
		return 1
	}
	return 0
}

// BenchmarkGenerate says how many rows a second go into an empty database.
func BenchmarkGenerate(b *testing.B) {
	for b.Loop() {
		start := time.Now()
		done := newPlatform(b).generate(b, load.Generation{Seed: 1, Count: 10_000})
		b.ReportMetric(float64(done.Rows)/time.Since(start).Seconds(), "rows/s")
	}
}
