package amo_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"addons/server/amo"
	"addons/server/catalog"
)

var rewrite = flag.Bool("update", false, "rewrite the golden files")

var links = amo.Links{Base: "https://addons.example.org", DefaultIcon: "/static/extension.svg"}

// clock is an add-on with everything.
func clock() *catalog.Addon {
	a := &catalog.Addon{
		ID: 7, GUID: "clock@example.org", Slug: "clock", Type: catalog.Extension, Status: catalog.Public, DefaultLocale: "en-US",
		Name:        catalog.Text{"de": "Uhr", "en-US": "Clock"},
		Summary:     catalog.Text{"en-US": "Tells the time & more."},
		Description: catalog.Text{"en-US": "<b>Tells</b> the time.", "pt-BR": "Diz as horas."}, DeveloperComments: catalog.Text{"de": "Danke!"},
		Homepage: catalog.Text{"de": "https://example.org/de", "en-US": "https://example.org/"}, SupportURL: catalog.Text{"en-US": "https://example.org/help?a=1&b=2"},
		SupportEmail: catalog.Text{"en-US": "help@example.org"}, ContributionsURL: "https://example.org/give",
		Icon:       "ab/icon.png",
		Authors:    []catalog.Author{{ID: 3, Name: "Ann Ünal", Username: "ann"}, {ID: 4, Name: "Bo", Username: "bo"}},
		Categories: map[string][]string{"firefox": {"appearance", "other"}, "android": {"performance"}},
		Tags:       []string{"time", "clock"},
		Previews:   []catalog.Preview{{ID: 9, Position: 1, Caption: catalog.Text{"en-US": "The clock"}, Image: "cd/preview.png", Width: 640, Height: 480}},
		Promoted:   []string{"recommended"}, AverageDailyUsers: 1234, WeeklyDownloads: 56,
		Ratings:      catalog.Ratings{Average: 4.5, Bayesian: 4.4321, Count: 10, TextCount: 3, Grouped: [5]int{0, 0, 1, 3, 6}},
		Experimental: true, RequiresPayment: true, HasEULA: true, HasPrivacyPolicy: true,
		Created: day(2024, 1, 2), LastUpdated: day(2026, 3, 4),
	}
	a.Current = &catalog.Version{
		ID: 71, AddonID: 7, Number: "1.10", Channel: catalog.Listed, Strict: true,
		ReleaseNotes:  catalog.Text{"en-US": "Faster."},
		License:       catalog.License{Slug: "MPL-2.0", Name: catalog.Text{"en-US": "Mozilla Public License 2.0"}, URL: "https://www.mozilla.org/MPL/2.0/", Text: "Permission is granted."},
		Compatibility: []catalog.Compat{{App: "firefox", Min: "115.0", Max: "*"}, {App: "android", Min: "120.0", Max: "150.*"}},
		Created:       day(2026, 3, 4), Reviewed: day(2026, 3, 5),
		File: catalog.File{
			ID: 710, VersionID: 71, Name: "clock-1.10.xpi", Key: "ef/clock", Hash: "sha256:" + strings.Repeat("0a", 32), Size: 12345, Status: catalog.Public, Created: day(2026, 3, 4),
			Permissions: []string{"storage", "tabs"}, OptionalPermissions: []string{"history"}, HostPermissions: []string{"https://*.example.org/*"}, Signed: true,
		},
	}
	return a
}

func day(year, month, date int) time.Time {
	return time.Date(year, time.Month(month), date, 12, 30, 15, 0, time.UTC)
}

// bare is the least that an add-on can be.
func bare() *catalog.Addon {
	return &catalog.Addon{ID: 8, GUID: "{6f1e0c55-1234-4abc-8def-0123456789ab}", Slug: "bare", Type: catalog.Theme, Status: catalog.Nominated, DefaultLocale: "fr",
		Name: catalog.Text{"fr": "Nu"}, Created: day(2025, 5, 6), LastUpdated: day(2025, 5, 6)}
}

func TestAnswersAreGolden(t *testing.T) {
	t.Parallel()
	a := clock()
	for name, answer := range map[string]any{
		"addon":         amo.FromAddon(a, links, ""),
		"addon-de":      amo.FromAddon(a, links, "de"),
		"addon-grouped": amo.FromAddon(a, links, "en-US").Grouped(a.Ratings),
		"addon-bare":    amo.FromAddon(bare(), links, ""),
		"addon-v4-de":   amo.FromAddon(a, links, "de").V4("de"),
		"addon-v4":      amo.FromAddon(a, links, "").V4(""),
		"addon-v4-bare": amo.FromAddon(bare(), links, "en-US").V4("en-US"),
		"search":        amo.Page[amo.Addon]{PageSize: 25, PageCount: 1, Count: 1, Results: []amo.Addon{amo.FromAddon(a, links, "").ForSearch(12.5)}},
		"search-v4":     amo.Page[amo.Addon]{PageSize: 25, PageCount: 1, Count: 1, Results: []amo.Addon{amo.FromAddon(a, links, "fr").ForSearch(12.5).V4("fr")}},
		"version":       amo.FromVersion(a, a.Current, links, ""),
		"version-v4":    amo.FromVersion(a, a.Current, links, "de").V4("de", "en-US"),
		"autocomplete":  amo.List[amo.Suggestion]{Results: []amo.Suggestion{amo.FromAddon(a, links, "de").Suggestion()}},
		"categories":    []amo.Category{amo.FromCategory(catalog.Categories()[0], "de")},
		"invalid":       amo.Invalid{"app": {`Invalid "app" parameter.`}},
		"refused":       amo.Refused{Detail: "Not public.", DisabledByMozilla: true},
	} {
		golden(t, name, answer)
	}
}

func TestATextInTheLanguageComesBeforeTheAddonsOwn(t *testing.T) {
	t.Parallel()
	a := clock()
	a.Name = catalog.Text{"en-US": "Clock", "de": "Uhr", "pt-BR": "Relógio"}
	for lang, want := range map[string]string{"de": "Uhr", "de-AT": "Uhr", "DE": "Uhr", "pt": "Relógio", "pt-PT": "Relógio", "fr": "Clock", "en": "Clock", "tlh": "Clock"} {
		if got := amo.FromAddon(a, links, lang).Name.In(); got != want {
			t.Errorf("in %s: %s, want %s", lang, got, want)
		}
		if got := amo.FromAddon(a, links, "").V4(lang).Name.Plain; got != want {
			t.Errorf("v4 in %s: %s, want %s", lang, got, want)
		}
	}
}

func golden(t *testing.T, name string, answer any) {
	t.Helper()
	var got bytes.Buffer
	e := json.NewEncoder(&got)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(answer); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", name+".json")
	if *rewrite {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("%s (rewrite with -update):\n%s", path, diff)
	}
}

// notInJSON are the members that an answer does not carry.
var notInJSON = cmp.Options{
	cmpopts.IgnoreFields(catalog.Addon{}, "Icon", "Previews", "Hotness"),
	cmpopts.IgnoreFields(catalog.File{}, "Key", "URL"),
	cmpopts.EquateEmpty(),
}

// TestWhatAnAnswerShowsIsKept: writing and reading an add-on loses nothing of it.
func TestWhatAnAnswerShowsIsKept(t *testing.T) {
	t.Parallel()
	for name, a := range map[string]*catalog.Addon{"clock": clock(), "bare": bare()} {
		want := *a
		for i := range want.Authors { // their own page here is what links to them
			want.Authors[i].URL = links.Author(want.Authors[i])
		}
		if want.Current != nil { // its text is in the version's own answer
			v := *want.Current
			v.License.Text = ""
			want.Current = &v
		}
		got := throughJSON(t, amo.FromAddon(a, links, "").Grouped(a.Ratings))
		if diff := cmp.Diff(&want, got, notInJSON); diff != "" {
			t.Errorf("%s changed:\n%s", name, diff)
		}
	}
}

// TestTheOlderFormIsReadToo: what V4 writes in one language is read back in it.
func TestTheOlderFormIsReadToo(t *testing.T) {
	t.Parallel()
	a := clock()
	want := throughJSON(t, amo.FromAddon(a, links, "en-US"))
	got := throughJSON(t, amo.FromAddon(a, links, "en-US").V4("en-US"))
	// A plain string doesn't say its locale: it is taken for the add-on's own.
	want.DeveloperComments = catalog.Text{"en-US": "Danke!"}
	if diff := cmp.Diff(want, got, notInJSON); diff != "" {
		t.Errorf("v4 and v5 differ:\n%s", diff)
	}
}

func throughJSON(t *testing.T, answer amo.Addon) *catalog.Addon {
	t.Helper()
	written, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	var read amo.Addon
	if err := json.Unmarshal(written, &read); err != nil {
		t.Fatal(err)
	}
	a, versions, err := read.Catalog()
	if err != nil {
		t.Fatal(err)
	}
	if (a.Current != nil) != (len(versions) == 1) {
		t.Errorf("current version %v, but %d versions", a.Current, len(versions))
	}
	return a
}

// TestFirefoxFindsWhatItReadsInV4: what about:addons takes from an answer, and the
// nulls that would empty it.
func TestFirefoxFindsWhatItReadsInV4(t *testing.T) {
	t.Parallel()
	for _, a := range []*catalog.Addon{clock(), bare()} {
		written, err := json.Marshal(amo.FromAddon(a, links, "fr").ForSearch(1).V4("fr"))
		if err != nil {
			t.Fatal(err)
		}
		var members map[string]any
		if err := json.Unmarshal(written, &members); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"guid", "name", "type", "url"} {
			if s, ok := members[name].(string); !ok || s == "" {
				t.Errorf("%s: %s is %v, want a string", a.Slug, name, members[name])
			}
		}
		for _, name := range []string{"summary", "description", "homepage", "support_url", "contributions_url"} {
			if _, isText := members[name].(string); !isText && members[name] != nil {
				t.Errorf("%s: %s is %v, want a string or null", a.Slug, name, members[name])
			}
		}
		for _, name := range []string{"current_version", "ratings", "previews"} {
			if v, there := members[name]; there && v == nil {
				t.Errorf("%s: %s is null, which empties Firefox's whole page", a.Slug, name)
			}
		}
		if a.Current == nil {
			continue
		}
		file := members["current_version"].(map[string]any)["files"].([]any)[0].(map[string]any)
		if file["platform"] != "all" || !strings.HasPrefix(file["url"].(string), links.Base) {
			t.Errorf("file %v, want an absolute url for all platforms", file)
		}
	}
}
