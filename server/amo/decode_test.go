package amo_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"addons/server/amo"
	"addons/server/catalog"
)

// small is an add-on's JSON with the guid, and members that replace its own.
func small(guid string, members ...string) string {
	return `{"id":1,"guid":"` + guid + `","slug":"s","type":"extension","status":"public","name":"N","default_locale":"en-US"` + strings.Join(append([]string{""}, members...), ",") + `}`
}

func decode(text string) (guids []string, err error) {
	err = amo.Decode(strings.NewReader(text), func(a amo.Addon) error {
		guids = append(guids, a.GUID)
		return nil
	})
	return guids, err
}

func TestDecodeTakesWhatSitesGive(t *testing.T) {
	t.Parallel()
	a, b, c := small("a@x"), small("b@x"), small("c@x")
	all := []string{"a@x", "b@x", "c@x"}
	for name, text := range map[string]string{
		"JSON lines":               a + "\n" + b + "\n\n" + c + "\n",
		"values without any line":  a + b + c,
		"a list":                   "[" + a + "," + b + "," + c + "]",
		"a page of results":        `{"page_size":25,"next":null,"results":[` + a + "," + b + "," + c + `],"count":3}`,
		"pages, one after another": `{"results":[` + a + `]}` + `{"results":[]}` + `{"next":"x","results":[` + b + "," + c + `]}`,
		"a mixture":                "\ufeff" + a + "[" + b + "] \t\r\n" + `{"results":[` + c + `]}`,
	} {
		if got, err := decode(text); err != nil || !cmp.Equal(got, all) {
			t.Errorf("%s: %v, %v, want %v", name, got, err, all)
		}
	}
	for _, nothing := range []string{"", " \n", "[]", `{"results":[]}`} {
		if got, err := decode(nothing); err != nil || got != nil {
			t.Errorf("%q: %v, %v, want nothing", nothing, got, err)
		}
	}
}

func TestDecodeSaysWhereJSONIsBroken(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"{", "[", "nonsense", "null", "7", `"text"`, "[" + small("a@x"), small("a@x") + "}", small("a@x") + "]",
		`{"results":`, `{"results":{}}`, `{"results":[{]}`, "[1 2]", "<html>", "{\"a\":1,}", small("a@x") + ",",
	} {
		if _, err := decode(text); !errors.Is(err, catalog.ErrInvalid) || !strings.Contains(err.Error(), "at byte") {
			t.Errorf("%.60s: %v, want a refusal that says where", text, err)
		}
	}
}

func TestDecodeStopsWhenToldAndWhenReadingFails(t *testing.T) {
	t.Parallel()
	stop := errors.New("stop")
	n := 0
	err := amo.Decode(strings.NewReader(small("a@x")+small("b@x")), func(amo.Addon) error { n++; return stop })
	if err != stop || n != 1 {
		t.Errorf("%d add-ons, %v, want one and the callback's error", n, err)
	}
	if err := amo.Decode(io.MultiReader(strings.NewReader(small("a@x")), iotest.ErrReader(stop)), func(amo.Addon) error { return nil }); !errors.Is(err, stop) {
		t.Errorf("%v, want the reader's error", err)
	}
}

func TestDecodeIsBoundedByAddonNotByStream(t *testing.T) {
	t.Parallel()
	filler := `"description":"` + strings.Repeat("x", 200<<10) + `"`
	many := strings.Repeat(small("a@x", filler), 100) // 20 MB in all
	if got, err := decode(many); err != nil || len(got) != 100 {
		t.Errorf("%d add-ons, %v, want 100", len(got), err)
	}
	huge := io.MultiReader(strings.NewReader(`{"guid":"a@x","description":"`), endless{})
	if err := amo.Decode(huge, func(amo.Addon) error { return nil }); !errors.Is(err, catalog.ErrInvalid) || !strings.Contains(err.Error(), "for one add-on") {
		t.Errorf("an add-on without an end: %v, want it refused", err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// TestOneBadAddonHidesNoOthers: it is handed over, and refused when it is asked for.
func TestOneBadAddonHidesNoOthers(t *testing.T) {
	t.Parallel()
	var refusals []error
	err := amo.Decode(strings.NewReader("["+small("a@x", `"name":7`)+","+small("b@x", `"created":"yesterday"`)+`,"text",`+small("c@x")+"]"), func(a amo.Addon) error {
		_, _, err := a.Catalog()
		refusals = append(refusals, err)
		return nil
	})
	if err != nil || len(refusals) != 4 {
		t.Fatalf("%d add-ons, %v, want 4", len(refusals), err)
	}
	for i, err := range refusals[:3] {
		if !errors.Is(err, catalog.ErrInvalid) {
			t.Errorf("add-on %d: %v, want it refused", i, err)
		}
	}
	if refusals[3] != nil {
		t.Errorf("the good one: %v", refusals[3])
	}
}

func TestCatalogReadsOlderAndNewerForms(t *testing.T) {
	t.Parallel()
	file := `"url":"https://x.example/f/x-1.xpi","hash":"sha256:` + strings.Repeat("AB", 32) + `","size":5`
	for _, c := range []struct {
		member string
		check  func(*catalog.Addon) any
		want   any
	}{
		{`"summary":"plain"`, func(a *catalog.Addon) any { return a.Summary }, catalog.Text{"en-US": "plain"}},
		{`"default_locale":"de","summary":"schlicht"`, func(a *catalog.Addon) any { return a.Summary }, catalog.Text{"de": "schlicht"}},
		{`"summary":{"en-US":"S","fr":null,"_default":"en-US"}`, func(a *catalog.Addon) any { return a.Summary }, catalog.Text{"en-US": "S"}},
		{`"summary":null`, func(a *catalog.Addon) any { return len(a.Summary) }, 0},
		{`"summary":{"en-US":"a\u0000b\u0007c\nd"}`, func(a *catalog.Addon) any { return a.Summary }, catalog.Text{"en-US": "abc\nd"}},
		{`"homepage":"https://x.example/"`, func(a *catalog.Addon) any { return a.Homepage }, catalog.Text{"en-US": "https://x.example/"}},
		{`"homepage":{"de":"https://x.example/"}`, func(a *catalog.Addon) any { return a.Homepage }, catalog.Text{"de": "https://x.example/"}},
		{`"homepage":{"url":{"de":"https://x.example/"},"outgoing":{"de":"https://out.example/"}}`, func(a *catalog.Addon) any { return a.Homepage }, catalog.Text{"de": "https://x.example/"}},
		{`"homepage":{"url":"https://x.example/","outgoing":"https://out.example/"}`, func(a *catalog.Addon) any { return a.Homepage }, catalog.Text{"en-US": "https://x.example/"}},
		{`"homepage":{"en-US":"javascript:alert(1)","de":"/relative"}`, func(a *catalog.Addon) any { return len(a.Homepage) }, 0},
		{`"contributions_url":"https://x.example/give"`, func(a *catalog.Addon) any { return a.ContributionsURL }, "https://x.example/give"},
		{`"contributions_url":{"url":"https://x.example/give","outgoing":"https://out.example/"}`, func(a *catalog.Addon) any { return a.ContributionsURL }, "https://x.example/give"},
		{`"contributions_url":""`, func(a *catalog.Addon) any { return a.ContributionsURL }, ""},
		{`"contributions_url":"data:text/html,x"`, func(a *catalog.Addon) any { return a.ContributionsURL }, ""},
		{`"categories":["tabs"]`, func(a *catalog.Addon) any { return a.Categories }, map[string][]string{"firefox": {"tabs"}}},
		{`"categories":{"firefox":["tabs"],"thunderbird":["x"],"android":[]}`, func(a *catalog.Addon) any { return a.Categories }, map[string][]string{"firefox": {"tabs"}}},
		{`"promoted":null`, func(a *catalog.Addon) any { return len(a.Promoted) }, 0},
		{`"promoted":{"apps":["firefox"],"category":"line"}`, func(a *catalog.Addon) any { return a.Promoted }, []string{"line"}},
		{`"promoted":[{"apps":["firefox"],"category":"line"},{"apps":["android"],"category":"spotlight"},{"category":"line"}]`, func(a *catalog.Addon) any { return a.Promoted }, []string{"line", "spotlight"}},
		{`"is_recommended":true`, func(a *catalog.Addon) any { return a.Promoted }, []string{"recommended"}},
		{`"is_disabled":true`, func(a *catalog.Addon) any { return a.Status }, catalog.Disabled},
		{`"status":"rejected"`, func(a *catalog.Addon) any { return a.Status }, catalog.Disabled},
		{`"created":"2017-11-22T01:02:03"`, func(a *catalog.Addon) any { return a.Created.String() }, "2017-11-22 01:02:03 +0000 UTC"},
		{`"created":"2017-11-22T01:02:03.456789+02:00"`, func(a *catalog.Addon) any { return a.Created.String() }, "2017-11-21 23:02:03 +0000 UTC"},
		{`"created":null,"unknown":{"x":[1,{"y":null}]},"icons":{"32":null}`, func(a *catalog.Addon) any { return a.Created.IsZero() }, true},
		{`"ratings":null`, func(a *catalog.Addon) any { return a.Ratings }, catalog.Ratings{}},
		{`"slug":"größe-1"`, func(a *catalog.Addon) any { return a.Slug }, "größe-1"},
		{`"current_version":null`, func(a *catalog.Addon) any { return a.Current == nil }, true},
		{`"current_version":{"version":"1","file":{` + file + `}}`, func(a *catalog.Addon) any { return a.Current.File.Hash }, "sha256:" + strings.Repeat("ab", 32)},
		{`"current_version":{"version":"1","files":[{` + file + `}]}`, func(a *catalog.Addon) any { return a.Current.File.Name }, "x-1.xpi"},
		{`"current_version":{"version":"1","files":[{"platform":"linux","url":"x:"},{"platform":"all",` + file + `}]}`, func(a *catalog.Addon) any { return a.Current.File.Size }, int64(5)},
		{`"current_version":{"version":"1","file":{"url":"https://x.example/..%2f..%2fetc","hash":"sha512:00"}}`, func(a *catalog.Addon) any { return a.Current.File.Name + a.Current.File.Hash }, "etc"},
		{`"current_version":{"version":"1","compatibility":{"firefox":{"min":"57.0","max":"*"},"seamonkey":{"min":"junk!","max":""}},"file":{` + file + `}}`,
			func(a *catalog.Addon) any { return a.Current.Compatibility }, []catalog.Compat{{App: "firefox", Min: "57.0", Max: "*"}}},
		{`"current_version":{"version":"1","license":{"name":"MIT","text":"T","slug":null,"url":null},"release_notes":"new","file":{` + file + `}}`,
			func(a *catalog.Addon) any { return a.Current.License }, catalog.License{Name: catalog.Text{"en-US": "MIT"}, Text: "T"}},
	} {
		var a amo.Addon
		if err := json.Unmarshal([]byte(small("a@x", c.member)), &a); err != nil {
			t.Errorf("%s: %v", c.member, err)
			continue
		}
		got, _, err := a.Catalog()
		if err != nil {
			t.Errorf("%s: %v", c.member, err)
			continue
		}
		if diff := cmp.Diff(c.want, c.check(got)); diff != "" {
			t.Errorf("%s:\n%s", c.member, diff)
		}
	}
}

func TestCatalogRefusesWhatWouldDoHarm(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 2000)
	version := func(members string) string {
		return `"current_version":{"version":"1","file":{"url":"https://x.example/x.xpi"},` + members + `}`
	}
	for member, word := range map[string]string{
		`"guid":""`: "guid", `"guid":"../../x"`: "guid", `"guid":"` + long + `@x"`: "guid",
		`"slug":"a/b"`: "slug", `"slug":".."`: "slug", `"slug":"123"`: "slug", `"slug":"a b"`: "slug", `"slug":"a@b"`: "slug", `"slug":"<s>"`: "slug", `"slug":"` + long + `"`: "slug",
		`"type":"persona"`: "type", `"type":""`: "type", `"status":"whatever"`: "status",
		`"name":null`: "name", `"name":{}`: "name", `"name":"` + long + `"`: "name", `"name":{"<x>":"N"}`: "locale", `"default_locale":"a b"`: "default_locale",
		`"average_daily_users":-1`: "average_daily_users", `"average_daily_users":99999999999`: "average_daily_users", `"weekly_downloads":-5`: "weekly_downloads", `"id":-7`: "id",
		`"ratings":{"average":5.1}`: "average", `"ratings":{"bayesian_average":-1}`: "bayesian_average", `"ratings":{"count":-1}`: "count",
		`"authors":[{"id":1,"name":""}]`: "author", `"authors":[{"id":1,"name":"` + long + `"}]`: "author",
		`"tags":["` + long + `"]`: "tags", `"tags":[` + strings.Repeat(`"t",`, 600) + `"t"]`: "tags",
		`"current_version":{"version":"1"}`: "no file", `"current_version":{"version":"","file":{"url":"https://x.example/x"}}`: "version",
		`"current_version":{"version":"1/2","file":{"url":"https://x.example/x"}}`: "version", `"current_version":{"version":"1","file":{"url":"file:///etc/passwd"}}`: "url",
		version(`"file":{"url":"https://x.example/x","size":-1}`): "size", version(`"file":{"url":"https://x.example/x","size":99999999999}`): "size",
		version(`"file":{"url":"https://x.example/x","status":"odd"}`): "status", version(`"channel":"odd"`): "channel",
		version(`"compatibility":{"firefox":{"min":"1 or 2"}}`): "compatibility",
	} {
		var a amo.Addon
		if err := json.Unmarshal([]byte(small("a@x", member)), &a); err != nil {
			t.Errorf("%.80s: %v", member, err)
			continue
		}
		_, _, err := a.Catalog()
		if !errors.Is(err, catalog.ErrInvalid) || !strings.Contains(fmt.Sprint(err), word) {
			t.Errorf("%.80s: %v, want a refusal that names %s", member, err, word)
		}
	}
}

// FuzzDecode: whatever comes in, nothing panics, and what is accepted can be written
// and read again without a change.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, name := range files {
		seed, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	f.Add([]byte("[" + small("a@x") + `,{"results":[]}]` + small("b@x")))
	f.Fuzz(func(t *testing.T, text []byte) {
		amo.Decode(bytes.NewReader(text), func(a amo.Addon) error {
			first, _, err := a.Catalog()
			if err != nil {
				return nil
			}
			again := throughJSON(t, amo.FromAddon(first, links, "").Grouped(first.Ratings))
			for i := range first.Authors { // only this site's page of an author is written
				first.Authors[i].URL = again.Authors[i].URL
			}
			if first.Current != nil {
				first.Current.License.Text = ""
				for i := range first.Current.Compatibility { // none is written as "*"
					if first.Current.Compatibility[i].Max == "" {
						first.Current.Compatibility[i].Max = "*"
					}
				}
				first.Current.File.Name, again.Current.File.Name = "", ""
			}
			if diff := cmp.Diff(first, again, notInJSON); diff != "" {
				t.Fatalf("changed:\n%s", diff)
			}
			return nil
		})
	})
}
