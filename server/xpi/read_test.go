package xpi_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"addons/server/catalog"
	"addons/server/xpi"
)

// zipped writes an archive, names in their order.
func zipped(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f, err := w.Create(name)
		if err == nil {
			_, err = f.Write([]byte(files[name]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func readFiles(t *testing.T, files map[string]string) (*xpi.Package, error) {
	t.Helper()
	return read(zipped(t, files))
}

// with returns a manifest of version 2 with further members.
func with(members string) string {
	return strings.TrimSuffix(plain, "}") + ", " + members + "}"
}

func TestAManifestMayHaveCommentsAndAByteOrderMark(t *testing.T) {
	t.Parallel()
	p, err := readFiles(t, map[string]string{"manifest.json": "\ufeff// first\n" + with(`
		"homepage_url": "https://example.org//a", // "not": "this"
		"description": "a \"quoted\" // text"`) + " // last"})
	if err != nil {
		t.Fatal(err)
	}
	if p.Homepage != "https://example.org//a" || p.Summary["en-US"] != `a "quoted" // text` {
		t.Errorf("read homepage %q and summary %q", p.Homepage, p.Summary)
	}
}

func TestMessagesAreFoundAsFirefoxFindsThem(t *testing.T) {
	t.Parallel()
	p, err := readFiles(t, map[string]string{
		"manifest.json": strings.Replace(with(`"default_locale": "en_GB", "description": "__MSG_about__ (__MSG_@@ui_locale__)",
			"author": "__MSG_who__", "homepage_url": "https://example.org/__MSG_who__"`), "Plain", "__MSG_NAME__", 1),
		"_locales/en_GB/messages.json": `{"Name": {"message": "Clock"}, "who": {"message": "Ann"},
			"about": {"message": "For $$5, says $Who$ $1!", "placeholders": {"who": {"content": "Ann"}}}} // end`,
		"_locales/de/messages.json":         `{"name": {"message": "Uhr"}, "about": "no object", "who": {"message": 7}}`,
		"_locales/zh_hans_cn/messages.json": `{"NAME": {"message": "Clock"}}`,
		"_locales/bad locale/messages.json": `{"name": {"message": "x"}}`,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := &xpi.Package{
		ManifestVersion: 2, GUID: "plain@example.org", Version: "1.0", Type: catalog.Extension, DefaultLocale: "en-GB",
		Name: catalog.Text{"en-GB": "Clock", "de": "Uhr"},
		Summary: catalog.Text{
			"en-GB": "For $5, says Ann ! (en-GB)", "de": "For $5, says Ann ! (de)", "zh-Hans-CN": "For $5, says Ann ! (zh-Hans-CN)",
		},
		Author: "Ann", Homepage: "https://example.org/Ann",
		Compatibility: []catalog.Compat{{App: "firefox", Min: "42.0", Max: "*"}},
	}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCompatibilityIsWhatFirefoxWouldCheck(t *testing.T) {
	t.Parallel()
	manifest := func(version int, settings, rest string) string {
		return fmt.Sprintf(`{"manifest_version": %d, "name": "N", "version": "1", "browser_specific_settings": %s%s}`, version, settings, rest)
	}
	for _, c := range []struct {
		name, manifest string
		want           []catalog.Compat
		strict         bool
	}{
		{"none in version 2", manifest(2, `{"gecko": {"id": "a@b"}}`, ""), []catalog.Compat{{App: "firefox", Min: "42.0", Max: "*"}}, false},
		{"none in version 3", manifest(3, `{"gecko": {"id": "a@b"}}`, ""), []catalog.Compat{{App: "firefox", Min: "109.0", Max: "*"}}, false},
		{"a maximum binds", manifest(3, `{"gecko": {"id": "a@b", "strict_min_version": "115.0", "strict_max_version": "140.*"}}`, ""), []catalog.Compat{{App: "firefox", Min: "115.0", Max: "140.*"}}, true},
		{"* is no maximum", manifest(3, `{"gecko": {"id": "a@b", "strict_max_version": "*"}}`, ""), []catalog.Compat{{App: "firefox", Min: "109.0", Max: "*"}}, false},
		{"Android by name alone", manifest(3, `{"gecko": {"id": "a@b"}, "gecko_android": {}}`, ""), []catalog.Compat{{App: "firefox", Min: "109.0", Max: "*"}, {App: "android", Min: "120.0", Max: "*"}}, false},
		{"Android inherits", manifest(3, `{"gecko": {"id": "a@b", "strict_min_version": "130.0"}, "gecko_android": {"strict_max_version": "140.0"}}`, ""), []catalog.Compat{{App: "firefox", Min: "130.0", Max: "*"}, {App: "android", Min: "130.0", Max: "140.0"}}, true},
		{"themes aren't for Android", manifest(2, `{"gecko": {"id": "a@b"}, "gecko_android": {}}`, `, "theme": {}`), []catalog.Compat{{App: "firefox", Min: "53.0", Max: "*"}}, false},
		{"dictionary", manifest(2, `{"gecko": {"id": "a@b"}}`, `, "dictionaries": {"de": "de.dic"}`), []catalog.Compat{{App: "firefox", Min: "61.0", Max: "*"}}, false},
		{"a language pack is strict", manifest(2, `{"gecko": {"id": "a@b"}}`, `, "langpack_id": "de"`), []catalog.Compat{{App: "firefox", Min: "42.0", Max: "*"}}, true},
	} {
		p, err := readFiles(t, map[string]string{"manifest.json": c.manifest})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if diff := cmp.Diff(c.want, p.Compatibility); diff != "" || p.Strict != c.strict {
			t.Errorf("%s: strict %t (want %t) (-want +got):\n%s", c.name, p.Strict, c.strict, diff)
		}
	}
}

func TestPermissionsAreSortedByWhatTheyAre(t *testing.T) {
	t.Parallel()
	p, err := readFiles(t, map[string]string{"manifest.json": with(`
		"permissions": ["tabs", "<all_urls>", "tabs", 7, {"fileSystem": ["write"]}, "https://a.example/*"],
		"optional_permissions": ["bookmarks"], "devtools_page": "d.html",
		"content_scripts": [{"matches": ["https://a.example/*", "https://b.example/*"]}, 7]`)})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]string{{"tabs", "devtools"}, {"bookmarks"}, {"<all_urls>", "https://a.example/*", "https://b.example/*"}},
		[][]string{p.Permissions, p.OptionalPermissions, p.HostPermissions}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheIconIsTheLargestUpTo128(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"16.png": string(drawnPNG(16)), "96.svg": svg, "256.png": string(drawnPNG(256)), "512.png": string(drawnPNG(512)),
		"broken.png": "\x89PNG\r\n\x1a\nno", "page.html": "<html><svg></svg></html>", "large.svg": svg + strings.Repeat(" ", xpi.MaxIcon),
	}
	for _, c := range []struct{ name, icons, want string }{
		{"the largest", `{"16": "16.png", "96": "96.svg", "256": "256.png"}`, "96.svg"},
		{"else the next above", `{"512": "512.png", "256": "256.png"}`, "256.png"},
		{"paths are of the package", `{"16": "/../x/.././16.png"}`, "16.png"},
		{"one that is there", `{"16": "16.png", "96": "gone.png"}`, "16.png"},
		{"one that is an image", `{"16": "16.png", "64": "broken.png", "96": "page.html"}`, "16.png"},
		{"one of a sane size", `{"16": "16.png", "96": "large.svg"}`, "16.png"},
		{"nonsense", `{"x": "16.png", "-1": "16.png", "96": 7}`, ""},
		{"none", `"16.png"`, ""},
	} {
		files["manifest.json"] = with(`"icons": ` + c.icons)
		p, err := readFiles(t, files)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if p.Icon.Name != c.want {
			t.Errorf("%s: %q, want %q", c.name, p.Icon.Name, c.want)
		}
	}
}

func TestARefusalSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	gecko := func(settings string) string {
		return `{"manifest_version": 3, "name": "N", "version": "1", "browser_specific_settings": {"gecko": ` + settings + `}}`
	}
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"no manifest", map[string]string{"a.js": ""}, "no manifest.json"},
		{"a legacy add-on", map[string]string{"install.rdf": "<RDF/>"}, "legacy"},
		{"a packed folder", map[string]string{"my-addon/manifest.json": plain}, `in the folder "my-addon"`},
		{"a web app", map[string]string{"manifest.json": `{"start_url": "/", "name": "App"}`}, "web app"},
		{"broken JSON", map[string]string{"manifest.json": `{"name": "x`}, "manifest.json: "},
		{"an open string", map[string]string{"manifest.json": `{"name": "x // y}`}, "no end"},
		{"block comments", map[string]string{"manifest.json": "/* c */" + plain}, "manifest.json: "},
		{"null", map[string]string{"manifest.json": "null"}, "null"},
		{"version 1", map[string]string{"manifest.json": `{"manifest_version": 1}`}, "manifest_version is 1"},
		{"no id", map[string]string{"manifest.json": gecko(`{}`)}, "no id"},
		{"the old key in version 3", map[string]string{"manifest.json": `{"manifest_version": 3, "name": "N", "version": "1", "applications": {"gecko": {"id": "a@b"}}}`}, "no id"},
		{"a bad id", map[string]string{"manifest.json": gecko(`{"id": "my addon"}`)}, `"my addon"`},
		{"a long id", map[string]string{"manifest.json": gecko(`{"id": "a@` + strings.Repeat("b", 254) + `"}`)}, "longer than"},
		{"no version", map[string]string{"manifest.json": strings.Replace(plain, `"1.0"`, `1.0`, 1)}, `the version ""`},
		{"a bad version", map[string]string{"manifest.json": strings.Replace(plain, `1.0`, `1.0 beta`, 1)}, `the version "1.0 beta"`},
		{"a star as minimum", map[string]string{"manifest.json": gecko(`{"id": "a@b", "strict_min_version": "115.*"}`)}, "strict_min_version"},
		{"a bad maximum", map[string]string{"manifest.json": gecko(`{"id": "a@b", "strict_max_version": "latest"}`)}, "strict_max_version"},
		{"no name", map[string]string{"manifest.json": strings.Replace(plain, "Plain", " \\n ", 1)}, "no name"},
		{"a name without message", map[string]string{"manifest.json": strings.Replace(plain, "Plain", "__MSG_x__", 1)}, "__MSG_x__"},
		{"a long name", map[string]string{"manifest.json": strings.Replace(plain, "Plain", strings.Repeat("é", 256), 1)}, "255"},
		{"_locales without default_locale", map[string]string{"manifest.json": plain, "_locales/de/messages.json": "{}"}, "default_locale"},
		{"default_locale without _locales", map[string]string{"manifest.json": with(`"default_locale": "de"`)}, "_locales/de/"},
		{"broken messages", map[string]string{"manifest.json": with(`"default_locale": "de"`), "_locales/de/messages.json": "[]"}, "_locales/de/messages.json"},
		{"Thunderbird's permissions", map[string]string{"manifest.json": with(`"permissions": ["messagesRead"]`)}, "Thunderbird"},
		{"Thunderbird's keys", map[string]string{"manifest.json": with(`"compose_action": {}`)}, "Thunderbird"},
		{"experiments", map[string]string{"manifest.json": with(`"experiment_apis": {}`)}, "experiment_apis"},
		{"a dictionary of nothing", map[string]string{"manifest.json": with(`"dictionaries": {}`)}, "which language"},
		{"a dictionary with icons", map[string]string{"manifest.json": with(`"dictionaries": {"de": "de.dic"}, "icons": {"48": "i.png"}`)}, `"icons"`},
		{"a long manifest", map[string]string{"manifest.json": plain + strings.Repeat(" ", xpi.MaxManifest)}, "more than"},
		{"a way out", map[string]string{"manifest.json": plain, "../../etc/cron.d/x": ""}, "plain relative path"},
		{"an absolute name", map[string]string{"manifest.json": plain, "/etc/passwd": ""}, "plain relative path"},
		{"a backslash", map[string]string{"manifest.json": plain, `..\x`: ""}, "plain relative path"},
		{"deep folders", map[string]string{"manifest.json": plain, strings.Repeat("a/", 40) + "x": ""}, "folders deep"},
	} {
		_, err := readFiles(t, c.files)
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, catalog.ErrInvalid) {
			t.Errorf("%s: %v, want a refusal with %q", c.name, err, c.want)
		}
	}
}

func TestHostileArchivesAreRefused(t *testing.T) {
	t.Parallel()
	twice := func() []byte {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		for range 2 {
			f, _ := w.Create("manifest.json")
			f.Write([]byte(plain))
		}
		w.Close()
		return b.Bytes()
	}()
	bomb := func() []byte { // a manifest of a gigabyte in a megabyte, that says it has 100 bytes
		var packed bytes.Buffer
		w := zip.NewWriter(&packed)
		f, _ := w.Create("manifest.json")
		zeros := make([]byte, 1<<20)
		for range 64 {
			f.Write(zeros)
		}
		w.Close()
		return packed.Bytes()
	}()
	sized := func(claim uint64) []byte {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		f, _ := w.Create("manifest.json")
		f.Write([]byte(plain))
		w.CreateRaw(&zip.FileHeader{Name: "big.bin", Method: zip.Deflate, UncompressedSize64: claim})
		w.Close()
		return b.Bytes()
	}
	crowd := func() []byte {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		for i := range xpi.MaxEntries + 1 {
			w.CreateRaw(&zip.FileHeader{Name: fmt.Sprint(i)})
		}
		w.Close()
		return b.Bytes()
	}()
	directory := func() []byte { // names so long that the table of contents alone is large
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		for i := range 400 {
			w.CreateRaw(&zip.FileHeader{Name: fmt.Sprint(i) + strings.Repeat("x", 60_000)})
		}
		w.Close()
		return b.Bytes()
	}()
	encrypted := zipped(t, map[string]string{"manifest.json": plain})
	encrypted[bytes.LastIndex(encrypted, []byte("PK\x01\x02"))+8] |= 1
	for _, c := range []struct {
		name string
		body []byte
		want string
	}{
		{"nothing", nil, "no zip archive"},
		{"text", []byte("hello"), "no zip archive"},
		{"a cut archive", twice[:len(twice)-30], "no zip archive"},
		{"two manifests", twice, "two entries"},
		{"a bomb", bomb, "more than"},
		{"a claim of more than allowed", sized(1 << 40), "unpacks to more"},
		{"a claim that overflows", sized(1<<64 - 1), "unpacks to more"},
		{"too many entries", crowd, "entries"},
		{"a huge table of contents", directory, "table of contents"},
		{"encryption", encrypted, "encrypted"},
	} {
		_, err := read(c.body)
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, catalog.ErrInvalid) {
			t.Errorf("%s: %v, want a refusal with %q", c.name, err, c.want)
		}
	}
	if _, err := xpi.Read(bytes.NewReader(nil), xpi.MaxArchive+1); !errors.Is(err, catalog.ErrInvalid) {
		t.Errorf("too large an archive: %v, want a refusal", err)
	}
}

func TestAFolderReadsAsItsArchiveDoes(t *testing.T) {
	t.Parallel()
	for _, c := range specs() {
		body := made(t, c.spec)
		archive, err := zip.NewReader(bytes.NewReader(body), int64(len(body)))
		if err != nil {
			t.Fatal(err)
		}
		packed, err := read(body)
		if err != nil {
			t.Fatal(err)
		}
		folder, err := xpi.ReadFolder(archive)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(packed, folder); diff != "" {
			t.Errorf("%s (-packed +folder):\n%s", c.name, diff)
		}
	}
	if _, err := xpi.ReadFolder(fstest.MapFS{}); !errors.Is(err, catalog.ErrInvalid) {
		t.Errorf("an empty folder: %v, want a refusal", err)
	}
}

func TestVersionNumbers(t *testing.T) {
	t.Parallel()
	for number, want := range map[string]bool{
		"1": true, "0": true, "1.2.3.4": true, "2026.11.23": true, "999999999.0": true,
		"1.2.3.4.5": true, "01": true, "1.0b2": true, "1.0-rc1": true, "1234567890": true,
		"": false, "beta": false, "1 2": false, "1/2": false, "1.0\n": false, strings.Repeat("1", 33): false,
	} {
		if got := xpi.ValidVersion(number); got != want {
			t.Errorf("%q is valid: %t, want %t", number, got, want)
		}
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(plain), []byte("{}"))
	f.Add([]byte(with(`"default_locale": "de", "icons": {"48": "i.png"}, "permissions": ["a", 1, {}]`)), []byte(`{"a": {"message": "$b$ $1 $$", "placeholders": {"b": {"content": "c"}}}}`))
	f.Add([]byte("// c\n{\"manifest_version\": 3, \"name\": \"__MSG_a__\", \"version\": \"1\", \"default_locale\": \"de\", \"browser_specific_settings\": {\"gecko\": {\"id\": \"a@b\"}, \"gecko_android\": null}}"), []byte(`{"A": {"message": "x"}}`))
	f.Add([]byte(`{"theme": null, "langpack_id": "x", "dictionaries": []}`), []byte("\""))
	f.Fuzz(func(t *testing.T, manifest, messages []byte) {
		p, err := xpi.ReadFolder(fstest.MapFS{
			"manifest.json":             {Data: manifest},
			"_locales/de/messages.json": {Data: messages},
		})
		if err != nil {
			if !errors.Is(err, catalog.ErrInvalid) {
				t.Fatalf("%v is no refusal", err)
			}
			return
		}
		if !catalog.ValidGUID(p.GUID) || !xpi.ValidVersion(p.Version) || p.Name[p.DefaultLocale] == "" || len(p.Compatibility) == 0 {
			t.Fatalf("accepted %+v", p)
		}
		for _, text := range []catalog.Text{p.Name, p.Summary} {
			for locale, s := range text {
				if strings.ContainsAny(s, "\n\r\x00") || s == "" {
					t.Fatalf("text %q in %s", s, locale)
				}
			}
		}
	})
}

func FuzzRead(f *testing.F) {
	for _, c := range specs() {
		f.Add(made(f, c.spec))
	}
	f.Add(zipped(f, map[string]string{"manifest.json": plain}))
	f.Add([]byte("PK\x05\x06"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if p, err := read(body); err == nil && p.GUID == "" {
			t.Fatal("accepted without an id")
		}
	})
}
