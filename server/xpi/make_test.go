package xpi_test

import (
	"archive/zip"
	"bytes"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"addons/server/catalog"
	"addons/server/xpi"
)

// named is a package to make, and what Firefox calls its type.
type named struct {
	name        string
	spec        xpi.Spec
	firefoxType string
}

// specs has one of each kind.
func specs() []named {
	range140 := []catalog.Compat{{App: "firefox", Min: "140.0", Max: "*"}}
	return []named{
		{"version 3", xpi.Spec{
			GUID: "three@example.org", Version: "1.2.3",
			Name:    catalog.Text{"en-US": "Three", "de": "Drei", "pt-BR": "Três"},
			Summary: catalog.Text{"en-US": "Costs $3 & more", "de": "Kostet 3 $"},
			Author:  "Ann", Homepage: "https://example.org/three",
			Compatibility: []catalog.Compat{{App: "firefox", Min: "140.0", Max: "999.*"}, {App: "android", Min: "140.0", Max: "*"}},
			Permissions:   []string{"storage", "tabs"}, OptionalPermissions: []string{"bookmarks", "https://optional.example/*"},
			HostPermissions: []string{"https://example.org/*"}, Icon: drawnPNG(48),
		}, "extension"},
		{"version 2", xpi.Spec{
			ManifestVersion: 2, GUID: "{01234567-89ab-cdef-0123-456789abcdef}", Version: "2.0",
			Name: catalog.Text{"en-US": "Two"}, Compatibility: range140, Icon: []byte(svg),
			Permissions: []string{"storage"}, HostPermissions: []string{"<all_urls>"},
		}, "extension"},
		{"theme", xpi.Spec{Type: catalog.Theme, GUID: "theme@example.org", Version: "1", Name: catalog.Text{"en-US": "Theme"}, Compatibility: range140}, "theme"},
		{"dictionary", xpi.Spec{
			Type: catalog.Dictionary, GUID: "dictionary@example.org", Version: "1", Name: catalog.Text{"en-US": "Dictionary"},
			TargetLocale: "de", Words: []string{"Wort", "Apfel"}, Compatibility: range140,
			Summary: catalog.Text{"en-US": "Words"}, Author: "Ann", Homepage: "https://example.org/",
		}, "dictionary"},
		{"language pack", xpi.Spec{
			Type: catalog.Language, GUID: "langpack@example.org", Version: "1", Name: catalog.Text{"en-US": "Language"}, TargetLocale: "eo",
			Compatibility: []catalog.Compat{{App: "firefox", Min: "140.0", Max: "999.*"}},
		}, "locale"},
		{"update URL", xpi.Spec{GUID: "updated@example.org", Version: "1", Name: catalog.Text{"en-US": "Updated"}, UpdateURL: "https://example.org/update.json", Compatibility: range140}, "extension"},
	}
}

const svg = `<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><circle cx="4" cy="4" r="3"/></svg>`

func drawnPNG(size int) []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, size, size))); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func made(t testing.TB, spec xpi.Spec) []byte {
	t.Helper()
	body, err := xpi.Make(spec)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func read(body []byte) (*xpi.Package, error) {
	return xpi.Read(bytes.NewReader(body), int64(len(body)))
}

func TestWhatIsMadeIsReadBack(t *testing.T) {
	t.Parallel()
	for _, c := range specs() {
		t.Run(c.name, func(t *testing.T) {
			got, err := read(made(t, c.spec))
			if err != nil {
				t.Fatal(err)
			}
			s := c.spec
			want := &xpi.Package{
				ManifestVersion: got.ManifestVersion, GUID: s.GUID, Version: s.Version, Type: s.Type, DefaultLocale: "en-US",
				TargetLocale: s.TargetLocale, Name: s.Name, Summary: s.Summary, Homepage: s.Homepage, Author: s.Author, UpdateURL: s.UpdateURL,
				Compatibility: s.Compatibility, Strict: s.Compatibility[0].Max != "*",
				Permissions: s.Permissions, OptionalPermissions: s.OptionalPermissions, HostPermissions: s.HostPermissions, Icon: got.Icon,
			}
			if want.Type == "" {
				want.Type = catalog.Extension
			}
			if want.Summary == nil {
				want.Summary = catalog.Text{}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("read back (-want +got):\n%s", diff)
			}
			if !bytes.Equal(got.Icon.Body, s.Icon) {
				t.Errorf("the icon has %d bytes, want %d", len(got.Icon.Body), len(s.Icon))
			}
		})
	}
}

func TestTheSameSpecGivesTheSameBytes(t *testing.T) {
	t.Parallel()
	for _, c := range specs() {
		if a, b := made(t, c.spec), made(t, c.spec); !bytes.Equal(a, b) {
			t.Errorf("%s: made twice, it differs", c.name)
		}
	}
	spec := specs()[0].spec
	other := spec
	other.Version = "1.2.4"
	if bytes.Equal(made(t, spec), made(t, other)) {
		t.Error("two versions have the same bytes")
	}
}

func TestADictionaryHasNeitherIconNorLocales(t *testing.T) {
	t.Parallel()
	spec := specs()[3].spec
	spec.Icon, spec.Name = []byte(svg), catalog.Text{"en-US": "Dictionary", "de": "Wörterbuch"}
	if got, want := names(t, made(t, spec)), "manifest.json dictionaries/de.aff dictionaries/de.dic"; got != want {
		t.Errorf("made with %q, want %q", got, want)
	}
}

func TestEntriesCarryTheTimeOfTheSpec(t *testing.T) {
	t.Parallel()
	spec := specs()[0].spec
	spec.Modified = time.Date(2026, 2, 28, 13, 14, 16, 0, time.UTC)
	body := made(t, spec)
	archive, err := zip.NewReader(bytes.NewReader(body), int64(len(body)))
	if err != nil {
		t.Fatal(err)
	}
	if first := archive.File[0].Name; first != "manifest.json" {
		t.Errorf("the first entry is %s, want manifest.json", first)
	}
	for _, f := range archive.File {
		if !f.Modified.Equal(spec.Modified) {
			t.Errorf("%s is of %v, want %v", f.Name, f.Modified, spec.Modified)
		}
	}
}

func TestMakeRefusesWhatFirefoxWould(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*xpi.Spec){
		"no id":                       func(s *xpi.Spec) { s.GUID = "" },
		"a bad id":                    func(s *xpi.Spec) { s.GUID = "name" },
		"a bad version":               func(s *xpi.Spec) { s.Version = "one" },
		"no name":                     func(s *xpi.Spec) { s.Name = nil },
		"no name in the own language": func(s *xpi.Spec) { s.DefaultLocale = "fr" },
		"a dictionary of no language": func(s *xpi.Spec) { s.Type = catalog.Dictionary },
		"an icon that is none":        func(s *xpi.Spec) { s.Icon = []byte("GIF89a") },
	} {
		spec := specs()[0].spec
		change(&spec)
		if _, err := xpi.Make(spec); err == nil {
			t.Errorf("%s: made", name)
		}
	}
}

// unpacked writes a package's files into a new folder.
func unpacked(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, body := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const plain = `{"manifest_version": 2, "name": "Plain", "version": "1.0", "browser_specific_settings": {"gecko": {"id": "plain@example.org"}}}`

func names(t *testing.T, body []byte) string {
	t.Helper()
	archive, err := zip.NewReader(bytes.NewReader(body), int64(len(body)))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range archive.File {
		all = append(all, f.Name)
	}
	return strings.Join(all, " ")
}

func TestAFolderIsPackedWithoutWhatIsNoPartOfIt(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"manifest.json": plain, "a/b.js": "b", "a.js": "a", ".git/config": "x", "node_modules/x/index.js": "x",
		"web-ext-artifacts/plain-1.0.zip": "x", "old.xpi": "x", ".DS_Store": "x",
	}
	a, err := xpi.FromFolder(unpacked(t, files))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := names(t, a), "manifest.json a.js a/b.js"; got != want {
		t.Errorf("packed %q, want %q", got, want)
	}
	b, err := xpi.FromFolder(unpacked(t, files))
	if err != nil || !bytes.Equal(a, b) {
		t.Errorf("the same folder elsewhere gave other bytes (%v)", err)
	}
}

func TestALinkIsFollowedWithinTheFolderAndItsRootsOnly(t *testing.T) {
	t.Parallel()
	link := func(t *testing.T, dir, name, target string) {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	shared := unpacked(t, map[string]string{"fonts/sans.ttf": "font", "lib.js": "lib"})
	dir := unpacked(t, map[string]string{"manifest.json": plain, "real.js": "real"})
	link(t, dir, "inside.js", "real.js")
	if body, err := xpi.FromFolder(dir); err != nil || names(t, body) != "manifest.json inside.js real.js" {
		t.Errorf("a link within the folder: %v", err)
	}
	link(t, dir, "lib.js", filepath.Join(shared, "lib.js"))
	if _, err := xpi.FromFolder(dir); err == nil || !strings.Contains(err.Error(), "outside the folder") {
		t.Errorf("a link out of the folder: %v, want a refusal", err)
	}
	link(t, dir, "fonts", filepath.Join(shared, "fonts"))
	if body, err := xpi.FromFolder(dir, shared); err != nil || names(t, body) != "manifest.json fonts/sans.ttf inside.js lib.js real.js" {
		t.Errorf("links into a root: %v", err)
	}
	for name, target := range map[string]string{"nowhere": "gone.js", "a loop": ".", "itself": "link"} {
		dir := unpacked(t, map[string]string{"manifest.json": plain})
		link(t, dir, "link", target)
		if _, err := xpi.FromFolder(dir); err == nil {
			t.Errorf("a link to %s was packed", name)
		}
	}
}
