package load_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"addons/server/catalog"
	"addons/server/file"
	"addons/server/load"
	"addons/server/metrics"
	"addons/server/store"
	"addons/server/xpi"
)

// platform is what a Loader writes to.
type platform struct {
	*load.Loader
	db    *store.DB
	files *file.Store
}

func newPlatform(t testing.TB) *platform {
	t.Helper()
	return openPlatform(t, t.TempDir())
}

// openPlatform opens the platform whose data are in dir.
func openPlatform(t testing.TB, dir string) *platform {
	t.Helper()
	reg := metrics.New(nil)
	log := slog.New(slog.DiscardHandler)
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(dir, "addons.db"), reg, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	files, err := file.Open("file:"+filepath.Join(dir, "files"), reg)
	if err != nil {
		t.Fatal(err)
	}
	return &platform{load.New(db, files, indexJob, log), db, files}
}

func indexJob(id int64) []store.Job {
	return []store.Job{{Kind: "index", Payload: fmt.Append(nil, id)}}
}

// paths loads and expects the numbers of add-ons that are new, updated, unchanged and refused.
func (p *platform) paths(t testing.TB, want [4]int, paths ...string) load.Report {
	t.Helper()
	report, err := p.Paths(t.Context(), paths, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := [4]int{report.New, report.Updated, report.Unchanged, len(report.Refused)}; got != want {
		t.Errorf("new, updated, unchanged, refused = %v, want %v: %v", got, want, report.Refused)
	}
	return report
}

func (p *platform) addon(t testing.TB, guid string) *catalog.Addon {
	t.Helper()
	a, err := p.db.Addon(t.Context(), guid)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// body reads what a file of the catalogue has in store.
func (p *platform) body(t testing.TB, f catalog.File) []byte {
	t.Helper()
	r, _, _, err := p.files.Open(t.Context(), f.Key)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	body, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func clock(version string) xpi.Spec {
	return xpi.Spec{
		GUID: "clock@example.org", Version: version, Author: "Ann Ant <ann@example.org>", Homepage: "https://example.org/clock",
		Name: catalog.Text{"en-US": "Clock", "de": "Uhr"}, Summary: catalog.Text{"en-US": "Tells the time in " + version},
		Icon:          []byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`),
		Compatibility: []catalog.Compat{{App: "firefox", Min: "115.0", Max: "*"}},
	}
}

func write(t testing.TB, dir, name string, body []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, body, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func pack(t testing.TB, spec xpi.Spec) []byte {
	t.Helper()
	body, err := xpi.Make(spec)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// unpack writes a package as a folder.
func unpack(t testing.TB, dir string, body []byte) {
	t.Helper()
	archive, err := zip.NewReader(bytes.NewReader(body), int64(len(body)))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, archive); err != nil {
		t.Fatal(err)
	}
}

func TestAPackageBecomesAnAddon(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	body := pack(t, clock("1.2"))
	p.paths(t, [4]int{1, 0, 0, 0}, write(t, t.TempDir(), "c.xpi", body))
	a := p.addon(t, "clock@example.org")
	type facts struct {
		Slug, Name, German, Summary, Homepage, Author, Username string
		Status                                                  catalog.Status
		Type                                                    catalog.Type
		Categories                                              map[string][]string
	}
	want := facts{"clock", "Clock", "Uhr", "Tells the time in 1.2", "https://example.org/clock", "Ann Ant", "ann-ant",
		catalog.Public, catalog.Extension, map[string][]string{"firefox": {"other"}}}
	got := facts{a.Slug, a.Name["en-US"], a.Name["de"], a.Summary["en-US"], a.Homepage["en-US"], a.Authors[0].Name, a.Authors[0].Username, a.Status, a.Type, a.Categories}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if a.Icon == "" {
		t.Error("it has no icon")
	}
	f := a.Current.File
	if f.Name != "clock-1.2.xpi" || f.Size != int64(len(body)) || !bytes.Equal(p.body(t, f), body) {
		t.Errorf("the file is %+v, want the package's own bytes", f)
	}
	if waiting, _, _, _, err := p.db.Depth(t.Context()); err != nil || waiting != 1 {
		t.Errorf("%d jobs wait for the index (%v), want 1", waiting, err)
	}
}

func TestAnAuthorsNameIsMadeFitForAPage(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	for i, c := range []struct{ author, name, username string }{
		{"Bea <bea@example.org>, Cy <cy@example.org>", "Bea, Cy", "bea-cy"},
		{"Mozilla Japan (contributors: " + strings.Repeat("蔵", 60) + ")", "Mozilla Japan", "mozilla-japan"},
		{strings.Repeat("蔵", 200), strings.Repeat("蔵", 85), "author-53052248"},
		{"<nobody@example.org>", "", ""},
	} {
		spec := clock("1")
		spec.GUID, spec.Author = fmt.Sprintf("%d@example.org", i), c.author
		p.paths(t, [4]int{1, 0, 0, 0}, write(t, t.TempDir(), "c.xpi", pack(t, spec)))
		got := catalog.Author{}
		if authors := p.addon(t, spec.GUID).Authors; len(authors) > 0 {
			got = authors[0]
		}
		if got.Name != c.name || got.Username != c.username {
			t.Errorf("%.60q is %q (%s), want %q (%s)", c.author, got.Name, got.Username, c.name, c.username)
		}
	}
}

func TestASecondLoadChangesNothing(t *testing.T) {
	t.Parallel()
	p, dir := newPlatform(t), t.TempDir()
	write(t, dir, "a/c.xpi", pack(t, clock("1.0")))
	write(t, dir, "b/c.xpi", pack(t, clock("1.1")))
	unpack(t, filepath.Join(dir, "folder"), pack(t, xpi.Spec{GUID: "folder@example.org", Version: "1", Name: catalog.Text{"en-US": "Folder"}}))
	p.paths(t, [4]int{2, 0, 0, 0}, dir)
	p.paths(t, [4]int{0, 0, 2, 0}, dir)
	p.paths(t, [4]int{0, 0, 1, 0}, filepath.Join(dir, "a", "c.xpi"))
	if waiting, _, _, _, err := p.db.Depth(t.Context()); err != nil || waiting != 2 {
		t.Errorf("%d jobs wait (%v), want 2: what did not change needs no indexing", waiting, err)
	}
}

func TestVersionsOfOneAddonMayComeFromAnywhereInAnyOrder(t *testing.T) {
	t.Parallel()
	p, dir := newPlatform(t), t.TempDir()
	write(t, dir, "1.xpi", pack(t, clock("1.10")))
	write(t, dir, "2.zip", pack(t, clock("1.9")))
	unpack(t, filepath.Join(dir, "3"), pack(t, clock("1.2")))
	p.paths(t, [4]int{1, 0, 0, 0}, dir)
	a := p.addon(t, "clock@example.org")
	if a.Current.Number != "1.10" || a.Summary["en-US"] != "Tells the time in 1.10" {
		t.Errorf("the current version is %s, %q, want the newest", a.Current.Number, a.Summary["en-US"])
	}
	p.paths(t, [4]int{0, 1, 0, 0}, write(t, dir, "new/5.xpi", pack(t, clock("2.0"))), write(t, dir, "new/4.xpi", pack(t, clock("1.1"))))
	versions, total, err := p.db.Versions(t.Context(), a.ID, 10, 0)
	if err != nil {
		t.Fatal(err)
	}
	var numbers []string
	for _, v := range versions {
		numbers = append(numbers, v.Number)
	}
	if got, want := strings.Join(numbers, " "), "2.0 1.10 1.9 1.2 1.1"; got != want || total != 5 {
		t.Errorf("versions %s, want %s", got, want)
	}
	// As on AMO, a package does not rewrite the listing.
	if a := p.addon(t, "clock@example.org"); a.Current.Number != "2.0" || a.Summary["en-US"] != "Tells the time in 1.10" {
		t.Errorf("after more versions: %s, %q", a.Current.Number, a.Summary["en-US"])
	}
}

func TestWhatWasPublishedNeverChanges(t *testing.T) {
	t.Parallel()
	p, dir := newPlatform(t), t.TempDir()
	write(t, dir, "a.xpi", pack(t, clock("1.0")))
	other := clock("1.0")
	other.Author = "Somebody else"
	write(t, dir, "b.xpi", pack(t, other))
	r := p.paths(t, [4]int{1, 0, 0, 1}, dir)
	if why := r.Refused[0].String(); !strings.Contains(why, "b.xpi") || !strings.Contains(why, "different contents") {
		t.Errorf("refused: %s", why)
	}
	r = p.paths(t, [4]int{0, 0, 0, 1}, filepath.Join(dir, "b.xpi"))
	if why := r.Refused[0].String(); !strings.Contains(why, "raise its number") {
		t.Errorf("refused: %s", why)
	}
	theme := xpi.Spec{GUID: "clock@example.org", Version: "9", Type: catalog.Theme, Name: catalog.Text{"en-US": "Clock"}}
	p.paths(t, [4]int{0, 0, 0, 1}, write(t, dir, "c/theme.xpi", pack(t, theme)))
}

func TestOneBadItemDoesNotStopTheRest(t *testing.T) {
	t.Parallel()
	p, dir := newPlatform(t), t.TempDir()
	write(t, dir, "a-bad.xpi", []byte("no zip"))
	write(t, dir, "b-chrome/manifest.json", []byte(`{"manifest_version": 3, "name": "N", "version": "1"}`))
	write(t, dir, "c.json", []byte(`{"guid": "x"}`))
	write(t, dir, "d.xpi", pack(t, clock("1.0")))
	write(t, dir, "package.json", []byte(`{"name": "left-pad", "scripts": {}}`))
	write(t, dir, "README.md", []byte("# Read me"))
	write(t, dir, "broken.json", []byte(`{`))
	r := p.paths(t, [4]int{1, 0, 0, 6}, dir, filepath.Join(dir, "README.md"), filepath.Join(dir, "gone.xpi"), t.TempDir())
	var lines []string
	for _, refusal := range r.Refused {
		lines = append(lines, strings.ReplaceAll(refusal.String(), dir+"/", ""))
	}
	all := strings.Join(lines, "\n")
	for _, want := range []string{"a-bad.xpi: this is no zip archive", "b-chrome: manifest.json has no id", "c.json, add-on 1: ", "README.md: neither a package", "gone.xpi: stat: no such file", "no add-ons in this folder"} {
		if !strings.Contains(all, want) {
			t.Errorf("no refusal says %q:\n%s", want, all)
		}
	}
}

func TestLinksOfDebiansFoldersAreFollowedOnce(t *testing.T) {
	t.Parallel()
	p, dir := newPlatform(t), t.TempDir()
	unpack(t, filepath.Join(dir, "webext", "clock"), pack(t, clock("1.0")))
	apps := filepath.Join(dir, "mozilla", "app")
	if err := os.MkdirAll(apps, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"clock@example.org": "../../webext/clock", "loop": "..", "nowhere": "gone"} {
		if err := os.Symlink(target, filepath.Join(apps, name)); err != nil {
			t.Fatal(err)
		}
	}
	p.paths(t, [4]int{1, 0, 0, 0}, dir)
}

// listing is an answer of the API.
func listing(guid, summary, version, hash string) map[string]any {
	return map[string]any{
		"guid": guid, "slug": "clock", "type": "extension", "status": "public", "default_locale": "en-US",
		"name": map[string]string{"en-US": "Clock"}, "summary": map[string]string{"en-US": summary}, "average_daily_users": 7,
		"categories": map[string]any{"firefox": []string{"tabs"}}, "icon_url": "https://elsewhere.example/i.png",
		"current_version": map[string]any{
			"version": version, "channel": "listed", "compatibility": map[string]any{"firefox": map[string]string{"min": "115.0", "max": "*"}},
			"file": map[string]any{"url": "https://elsewhere.example/clock.xpi", "hash": hash, "size": 5, "status": "public", "created": "2026-01-02T03:04:05Z"},
		},
	}
}

func asJSON(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAPIJSONComesAloneAsAPageAndInLines(t *testing.T) {
	t.Parallel()
	p, dir := newPlatform(t), t.TempDir()
	hash := "sha256:" + strings.Repeat("a", 64)
	one := asJSON(t, listing("one@example.org", "One", "1", hash))
	page := asJSON(t, map[string]any{"count": 2, "next": nil, "results": []any{
		listing("two@example.org", "Two", "1", hash), map[string]any{"guid": "no guid"},
	}})
	lines := append(append(asJSON(t, listing("three@example.org", "Three", "1", hash)), '\n'), asJSON(t, listing("four@example.org", "Four", "1", hash))...)
	write(t, dir, "one.json", one)
	write(t, dir, "page.json", page)
	write(t, dir, "lines.jsonl", lines)
	p.paths(t, [4]int{4, 0, 0, 1}, dir)
	p.paths(t, [4]int{0, 0, 4, 1}, dir)
	a := p.addon(t, "four@example.org")
	if a.AverageDailyUsers != 7 || a.Current == nil || a.Current.File.URL == "" || a.Current.File.Key != "" {
		t.Errorf("loaded %+v", a)
	}
}

func TestAListingAndItsPackageMeetInAnyOrder(t *testing.T) {
	t.Parallel()
	body := pack(t, clock("1.0"))
	for _, order := range [][]string{{"c.xpi", "c.json"}, {"c.json", "c.xpi"}} {
		p, dir := newPlatform(t), t.TempDir()
		write(t, dir, "c.xpi", body)
		hash := fmt.Sprintf("sha256:%x", sha256.Sum256(body))
		write(t, dir, "c.json", asJSON(t, listing("clock@example.org", "Listed", "1.0", hash)))
		p.paths(t, [4]int{1, 0, 0, 0}, filepath.Join(dir, order[0]))
		p.paths(t, [4]int{0, 1, 0, 0}, filepath.Join(dir, order[1]))
		a := p.addon(t, "clock@example.org")
		if a.Summary["en-US"] != "Listed" || a.Icon == "" || !bytes.Equal(p.body(t, a.Current.File), body) {
			t.Errorf("%v: summary %q, icon %q, file %+v", order, a.Summary, a.Icon, a.Current.File)
		}
		p.paths(t, [4]int{0, 0, 1, 0}, filepath.Join(dir, "c.xpi"))
	}
}

func TestAListingAndItsPackagesInOneFolderAreOneAddon(t *testing.T) {
	t.Parallel()
	p, dir := newPlatform(t), t.TempDir()
	body := pack(t, clock("1.0"))
	write(t, dir, "1.xpi", body)
	write(t, dir, "2.xpi", pack(t, clock("2.0")))
	write(t, dir, "c.json", asJSON(t, listing("clock@example.org", "Listed", "1.0", fmt.Sprintf("sha256:%x", sha256.Sum256(body)))))
	p.paths(t, [4]int{1, 0, 0, 0}, dir)
	a := p.addon(t, "clock@example.org")
	if a.Summary["en-US"] != "Listed" || a.Icon == "" || a.Current.Number != "2.0" {
		t.Errorf("summary %q, icon %q, version %s", a.Summary, a.Icon, a.Current.Number)
	}
	if v, err := p.db.Version(t.Context(), a.ID, "v1.0"); err != nil || !bytes.Equal(p.body(t, v.File), body) {
		t.Errorf("version 1.0: %v", err)
	}
	p.paths(t, [4]int{0, 0, 1, 0}, dir)
	other := clock("1.0")
	other.Author = "Somebody else"
	write(t, dir, "1.xpi", pack(t, other))
	p.paths(t, [4]int{0, 0, 1, 1}, dir)
}

func TestProgressCountsEveryItem(t *testing.T) {
	t.Parallel()
	p, dir := newPlatform(t), t.TempDir()
	write(t, dir, "1.xpi", pack(t, clock("1.0")))
	write(t, dir, "2.xpi", pack(t, clock("1.1")))
	write(t, dir, "3.xpi", []byte("bad"))
	var steps []string
	if _, err := p.Paths(t.Context(), []string{dir}, func(done, total int, name string) {
		steps = append(steps, fmt.Sprintf("%d/%d %s", done, total, filepath.Base(name)))
	}); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(steps, ", "), "1/3 3.xpi, 2/3 1.xpi, 3/3 2.xpi"; got != want {
		t.Errorf("progress %s, want %s", got, want)
	}
}

func TestALoadThatIsCalledOffGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	p, dir := newPlatform(t), t.TempDir()
	for i := range 4 {
		write(t, dir, fmt.Sprintf("%d.xpi", i), pack(t, xpi.Spec{GUID: fmt.Sprintf("%d@example.org", i), Version: "1", Name: catalog.Text{"en-US": "N"}}))
	}
	ctx, stop := context.WithCancel(t.Context())
	report, err := p.Paths(ctx, []string{dir}, func(done, _ int, _ string) {
		if done == 2 {
			stop()
		}
	})
	if !errors.Is(err, context.Canceled) || report.New != 2 || len(report.Refused) != 0 {
		t.Errorf("called off after 2: %+v, %v", report, err)
	}
	p.paths(t, [4]int{2, 0, 2, 0}, dir)
}
