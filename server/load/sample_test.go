package load_test

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"addons/server/catalog"
	"addons/server/enginetest"
	"addons/server/file"
	"addons/server/load"
	"addons/server/metrics"
	"addons/server/store"
	"addons/server/xpi"
)

// all returns every add-on of the platform, by id.
func (p *platform) all(t testing.TB) []*catalog.Addon {
	t.Helper()
	ids, err := p.db.IDs(t.Context(), 0, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	var all []*catalog.Addon
	for some := range slices.Chunk(ids, 200) {
		addons, err := p.db.Addons(t.Context(), some)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, addons...)
	}
	return all
}

func (p *platform) sample(t testing.TB, seed uint64, n int) load.Report {
	t.Helper()
	report, err := p.Sample(t.Context(), seed, n, nil)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestTheSameSeedGivesTheSameCatalogue(t *testing.T) {
	t.Parallel()
	a, b, other := newPlatform(t), newPlatform(t), newPlatform(t)
	if r := a.sample(t, 7, 30); r.New != 30 || len(r.Refused) > 0 {
		t.Errorf("first load: %+v", r)
	}
	b.sample(t, 7, 30)
	first := a.all(t)
	if diff := cmp.Diff(first, b.all(t)); diff != "" {
		t.Errorf("the same seed gave another catalogue:\n%s", diff)
	}
	if r := a.sample(t, 7, 30); r.Unchanged != 30 || r.New+r.Updated != 0 {
		t.Errorf("second load: %+v, want all unchanged", r)
	}
	if diff := cmp.Diff(first, a.all(t)); diff != "" {
		t.Errorf("a second load changed the catalogue:\n%s", diff)
	}
	other.sample(t, 8, 30)
	if first[0].Name.In() == other.all(t)[0].Name.In() {
		t.Error("another seed gave the same first add-on")
	}
}

func TestTheSampleHasSomethingOfEverything(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.sample(t, 2012, 160) // about half of the default: the race detector is slow
	seen := map[string]int{}
	users := 0
	for _, a := range p.all(t) {
		seen["type "+string(a.Type)]++
		seen["status "+string(a.Status)]++
		seen["default "+a.DefaultLocale]++
		for l := range a.Name {
			seen["locale "+l]++
		}
		for app, categories := range a.Categories {
			for _, c := range categories {
				if _, ok := catalog.CategoryBy(app, a.Type, c); !ok {
					t.Errorf("%s is in the category %s %s, which there is not", a.Slug, app, c)
				}
			}
			seen["app "+app]++
		}
		for _, c := range a.Promoted {
			seen["promoted "+c]++
		}
		if a.Status != catalog.Public {
			if a.AverageDailyUsers != 0 || a.Ratings.Count != 0 {
				t.Errorf("%s is %s and has users", a.Slug, a.Status)
			}
			continue
		}
		if a.Current == nil {
			t.Errorf("%s is public without a version", a.Slug)
			continue
		}
		users = max(users, a.AverageDailyUsers)
		seen[fmt.Sprintf("previews %d", len(a.Previews))]++
		for what, is := range map[string]bool{
			"icon": a.Icon != "", "no icon": a.Icon == "", "rated": a.Ratings.Count > 0, "with texts": a.Ratings.TextCount > 0,
			"strict": a.Current.Strict, "target": a.TargetLocale != "", "tagged": len(a.Tags) > 0, "two authors": len(a.Authors) > 1,
			"compat *": a.Current.Compatibility[0].Max == "*", "compat bounded": a.Current.Compatibility[0].Max != "*",
		} {
			if is {
				seen[what]++
			}
		}
	}
	for _, what := range strings.Fields("type·extension type·statictheme type·dictionary type·language status·public status·disabled status·nominated status·incomplete " +
		"default·en-US default·de locale·en-US locale·de locale·fr locale·es locale·pt-BR locale·ja locale·ar app·firefox app·android " +
		"promoted·recommended promoted·line promoted·notable promoted·spotlight previews·0 previews·1 previews·2 " +
		"icon no·icon rated with·texts strict target tagged two·authors compat·* compat·bounded") {
		if what = strings.ReplaceAll(what, "·", " "); seen[what] == 0 {
			t.Errorf("nothing in the sample has %s: %v", what, seen)
		}
	}
	if users < 1e6 {
		t.Errorf("the most popular add-on has %d users, want millions", users)
	}
	_, total, err := p.db.Browse(t.Context(), store.Browse{Limit: 1})
	if err != nil || total > seen["status public"] {
		t.Errorf("%d add-ons are shown (%v), %d are public", total, err, seen["status public"])
	}
}

func TestEverySamplePackageIsWhatItsRowSays(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.sample(t, 3, 45)
	hashes := map[string]string{}
	for _, a := range p.all(t) {
		versions, _, err := p.db.Versions(t.Context(), a.ID, 100, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range versions {
			body := p.body(t, v.File)
			read, err := xpi.Read(bytes.NewReader(body), int64(len(body)))
			if err != nil {
				t.Errorf("%s: %v", v.File.Name, err)
				continue
			}
			if read.GUID != a.GUID || read.Version != v.Number || read.Type != a.Type || read.TargetLocale != a.TargetLocale || read.Strict != v.Strict ||
				read.DefaultLocale != a.DefaultLocale || !slices.Equal(read.Permissions, v.File.Permissions) || !slices.Equal(read.HostPermissions, v.File.HostPermissions) {
				t.Errorf("%s is %+v, its row says %+v of %s", v.File.Name, read, v, a.GUID)
			}
			if read.Name.In(a.DefaultLocale) != a.Name.In(a.DefaultLocale) {
				t.Errorf("%s is called %q, its add-on %q", v.File.Name, read.Name, a.Name)
			}
			if twin := hashes[v.File.Hash]; twin != "" {
				t.Errorf("%s and %s are the same bytes", v.File.Name, twin)
			}
			hashes[v.File.Hash] = v.File.Name
			if _, err := zip.NewReader(bytes.NewReader(body), int64(len(body))); err != nil {
				t.Errorf("%s: %v", v.File.Name, err)
			}
		}
	}
}

func TestASampleBeyondItsLimitIsRefused(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	for _, n := range []int{-1, load.MaxSample + 1} {
		if _, err := p.Sample(t.Context(), 1, n, nil); err == nil {
			t.Errorf("a sample of %d was loaded", n)
		}
	}
}

// TestMain runs the loads that tests kill, each in a process of its own.
func TestMain(m *testing.M) {
	if dir := os.Getenv("LOAD_TEST_GENERATE"); dir != "" {
		os.Exit(generateUntilKilled(dir))
	}
	if dir := os.Getenv("LOAD_TEST_SAMPLE"); dir != "" {
		os.Exit(loadUntilKilled(dir))
	}
	os.Exit(m.Run())
}

// TestAKillLosesNothing kills a load with -9 in the middle: what it had reported
// is there, whole, and a rerun completes the rest and the same catalogue.
func TestAKillLosesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LOAD_TEST_SAMPLE="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	reported := 0
	line := make([]byte, 1)
	for reported < 15 {
		if _, err := out.Read(line); err != nil {
			t.Fatalf("the load ended by itself after %d: %v", reported, err)
		}
		reported++
	}
	cmd.Process.Kill()
	cmd.Wait()

	p := openPlatform(t, dir)
	kept := p.all(t)
	if len(kept) < reported || len(kept) == killSize {
		t.Errorf("%d add-ons are there after %d were reported, of %d", len(kept), reported, killSize)
	}
	waiting, _, _, _, err := p.db.Depth(t.Context())
	if err != nil || waiting != len(kept) {
		t.Errorf("%d index jobs wait for %d add-ons (%v)", waiting, len(kept), err)
	}
	for _, a := range kept {
		if a.Current != nil {
			p.body(t, a.Current.File) // is there
		}
	}
	r := p.sample(t, killSeed, killSize)
	if r.Unchanged != len(kept) || r.New != killSize-len(kept) || r.Updated != 0 {
		t.Errorf("the rerun reports %+v after %d", r, len(kept))
	}
	whole := newPlatform(t)
	whole.sample(t, killSeed, killSize)
	if diff := cmp.Diff(whole.all(t), p.all(t)); diff != "" {
		t.Errorf("the catalogue differs from one that was loaded in one go:\n%s", diff)
	}
}

// loadUntilKilled writes a byte for every add-on that the load reports.
func loadUntilKilled(dir string) int {
	ctx := context.Background()
	reg, log := metrics.New(nil), slog.New(slog.DiscardHandler)
	db, err := store.Open(ctx, "sqlite:"+filepath.Join(dir, "addons.db"), reg, log)
	if err != nil {
		return 1
	}
	files, err := file.Open("file:"+filepath.Join(dir, "files"), reg)
	if err != nil {
		return 1
	}
	_, err = load.New(db, files, indexJob, log).Sample(ctx, killSeed, killSize, func(int, int, string) { os.Stdout.Write([]byte(".")) })
	if err != nil {
		return 1
	}
	return 0
}

const (
	killSeed = 5
	killSize = 60
)

func TestFirefoxInstallsTheSample(t *testing.T) {
	firefox := enginetest.Firefox(t, nil)
	p := newPlatform(t)
	p.sample(t, 2012, 60)
	tried := map[catalog.Type]int{}
	for _, a := range p.all(t) {
		v := a.Current
		if v == nil || a.Status != catalog.Public || tried[a.Type] == 3 || !v.RunsIn(catalog.Firefox, "153.7.0", catalog.ModeNormal) {
			continue
		}
		tried[a.Type]++
		id, err := firefox.Install(write(t, t.TempDir(), filepath.Base(v.File.Name), p.body(t, v.File)))
		if err != nil {
			t.Errorf("%s: %v", v.File.Name, err)
			continue
		}
		if got := firefox.Addon(id); got.ID != a.GUID || got.Version != v.Number || got.Name != a.Name.In("en-US", a.DefaultLocale) {
			t.Errorf("installed is %+v, want %s %s %q", got, a.GUID, v.Number, a.Name.In("en-US"))
		}
	}
	if len(tried) != len(catalog.Types()) {
		t.Errorf("tried %v, want some of each type", tried)
	}
}

// BenchmarkSample loads the default sample into an empty platform, disk included.
func BenchmarkSample(b *testing.B) {
	for b.Loop() {
		if r := newPlatform(b).sample(b, 2012, 0); r.New != load.SampleSize {
			b.Fatalf("%+v", r)
		}
	}
}
