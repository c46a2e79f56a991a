package web_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"addons/server/amo"
	"addons/server/catalog"
	"addons/server/metrics"
	"addons/server/search"
	"addons/server/web"
)

// answers are the API's golden files.
var answers = []struct{ name, path string }{
	{"api-addon", "/api/v5/addons/addon/night-reader/"},
	{"api-addon-de", "/api/v5/addons/addon/night-reader/?lang=de&show_grouped_ratings=true"},
	{"api-addon-v4", "/api/v4/addons/addon/night@addons.example/?lang=de"},
	{"api-versions", "/api/v5/addons/addon/night-reader/versions/?page_size=2"},
	{"api-version", "/api/v5/addons/addon/night-reader/versions/3.1.0/"},
	{"api-search", "/api/v5/addons/search/?q=night&app=firefox&type=extension"},
	{"api-search-v4", "/api/v4/addons/search/?guid=night%40addons.example%2Chelper-0%40addons.example%2Cdefault-theme%40mozilla.org&lang=en-US"},
	{"api-autocomplete", "/api/v5/addons/autocomplete/?q=nig"},
	{"api-categories", "/api/v5/addons/categories/"},
	{"api-site", "/api/v5/site/"},
}

// notTheAPIs are what the store, the search engine and the assets choose.
var notTheAPIs = []struct {
	was *regexp.Regexp
	is  string
}{
	{regexp.MustCompile(`"_score": [0-9.e+-]+`), `"_score": 1`},
	{regexp.MustCompile(`"id": \d+`), `"id": 0`},
	{regexp.MustCompile(`(downloads/file|review|versions)/\d+`), `$1/ID`},
	{regexp.MustCompile(`(media/|static/[a-z]+-)[0-9a-f]+`), `${1}HASH`},
}

func TestTheAPIAnswersAsItDid(t *testing.T) {
	t.Parallel()
	p := start(t, catalogue())
	for _, a := range answers {
		t.Run(a.name, func(t *testing.T) {
			var got bytes.Buffer
			if err := json.Indent(&got, []byte(text(t, p.get(a.path))), "", "  "); err != nil {
				t.Fatal(err)
			}
			answer := got.String() + "\n"
			for _, n := range notTheAPIs {
				answer = n.was.ReplaceAllString(answer, n.is)
			}
			file := filepath.Join("testdata", a.name+".json")
			if *rewrite {
				if err := os.WriteFile(file, []byte(answer), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), answer); d != "" {
				t.Errorf("%s changed (run with -update and read the diff):\n%s", a.path, d)
			}
		})
	}
}

func TestAPIAnswersOrSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	p := start(t, catalogue())
	night := p.addon("night-reader")
	for _, c := range []struct {
		path   string
		status int
		want   string // in the body
	}{
		// One add-on has three names, in every spelling that a client gives them.
		{"/api/v5/addons/addon/night-reader/", 200, `"slug":"night-reader"`},
		{fmt.Sprintf("/api/v5/addons/addon/%d/", night.ID), 200, `"slug":"night-reader"`},
		{"/api/v5/addons/addon/night@addons.example/", 200, `"slug":"night-reader"`},
		{"/api/v5/addons/addon/night%40addons.example/", 200, `"slug":"night-reader"`},
		{"/api/v5/addons/addon/%7Bffffffff-0000-4000-8000-000000000000%7D/", 404, `{"detail":"Not found."}`},
		{"/api/v5/addons/addon/nothing/", 404, `{"detail":"Not found."}`},
		{"/api/v5/addons/addon/hidden/", 401, `{"detail":"Authentication credentials were not provided.","is_disabled_by_developer":false,"is_disabled_by_mozilla":true}`},
		{"/api/v5/addons/addon/hidden@addons.example/versions/", 401, `"is_disabled_by_mozilla":true`},
		{"/api/v5/addons/addon/hidden/versions/1.0/", 401, `"is_disabled_by_mozilla":true`},
		{"/api/v5/addons/addon/night-reader/?show_grouped_ratings=1", 200, `"grouped_counts":{"1":0`},
		{"/api/v5/addons/addon/night-reader/?show_grouped_ratings=x", 400, `{"detail":"show_grouped_ratings parameter should be a boolean"}`},
		{"/api/v5/addons/addon/night-reader/?lang=tlh", 200, `"name":{"en-US":"Night Reader"}`},
		{"/api/v5/addons/addon/night-reader/?lang=de-AT", 200, `"name":{"de":"Nachtleser"}`},
		{"/api/v4/addons/addon/night-reader/?lang=de", 200, `"name":"Nachtleser"`},
		{"/api/v5/addons/addon/night-reader/?lang=" + strings.Repeat("x", 100), 200, `"name":{"en-US":"Night Reader"}`},
		// A language pack for a version of Firefox.
		{"/api/v5/addons/addon/language-de/?app=firefox&appversion=140.0", 200, `"version":"1.0"`},
		{"/api/v5/addons/addon/language-de/?appversion=140.0", 400, `{"detail":"Invalid \"app\" parameter."}`},
		{"/api/v5/addons/addon/language-de/?app=firefox&appversion=x", 400, `{"detail":"Invalid \"appversion\" parameter."}`},
		{"/api/v5/addons/addon/night-reader/?appversion=x", 200, `"version":"3.1.0"`},
		// Versions, newest first, by number or id.
		{"/api/v5/addons/addon/night-reader/versions/", 200, `"count":3`},
		{"/api/v5/addons/addon/night-reader/versions/?page_size=2&page=2", 200, `"version":"2.9"`},
		{"/api/v5/addons/addon/night-reader/versions/?page=2", 404, `{"detail":"Invalid page."}`},
		{"/api/v5/addons/addon/night-reader/versions/?filter=all_with_unlisted", 401, `{"detail":"Authentication credentials were not provided."}`},
		{"/api/v5/addons/addon/night-reader/versions/?filter=junk", 400, `{"filter":["Invalid \"filter\" parameter specified."]}`},
		{"/api/v5/addons/addon/night-reader/versions/2.9/", 200, `"version":"2.9"`},
		{"/api/v5/addons/addon/night-reader/versions/v2.9/", 200, `"version":"2.9"`},
		{fmt.Sprintf("/api/v5/addons/addon/night-reader/versions/%d/", night.Current.ID), 200, `"version":"3.1.0"`},
		{"/api/v5/addons/addon/night-reader/versions/9.9/", 404, `{"detail":"Not found."}`},
		{"/api/v5/addons/addon/nothing/versions/1.0/", 404, `{"detail":"Not found."}`},
		// Search.
		{"/api/v5/addons/search/?q=nachtleser", 200, `"slug":"night-reader"`},
		{"/api/v5/addons/search/?q=" + strings.Repeat("x", 101), 400, `{"q":["Maximum query length exceeded."]}`},
		{"/api/v5/addons/search/?q=" + strings.Repeat("%C3%A4", 100), 200, `"count":0`},
		{"/api/v5/addons/search/?q=zzzzqqqq", 200, `{"page_size":25,"page_count":1,"count":0,"next":null,"previous":null,"results":[]}`},
		{"/api/v5/addons/search/?app=thunderbird", 400, `{"app":["Invalid \"app\" parameter."]}`},
		{"/api/v5/addons/search/?app=", 400, `{"app":["Invalid \"app\" parameter."]}`},
		{"/api/v5/addons/search/?appversion=140.0", 400, `{"app":["Invalid \"app\" parameter."]}`},
		{"/api/v5/addons/search/?app=firefox&appversion=9.0", 400, `{"appversion":["Invalid \"appversion\" parameter."]}`},
		{"/api/v5/addons/search/?app=firefox&appversion=junk", 400, `{"appversion":["Invalid \"appversion\" parameter."]}`},
		{"/api/v5/addons/search/?app=firefox&appversion=100.0", 200, `"count":0`},
		{"/api/v5/addons/search/?app=firefox&appversion=153.0&type=statictheme", 200, `"count":4`},
		{"/api/v5/addons/search/?type=statictheme,dictionary", 200, `"count":5`},
		{"/api/v5/addons/search/?type=persona", 400, `{"type":["Invalid \"type\" parameter."]}`},
		{"/api/v5/addons/search/?app=firefox&type=extension&category=tabs", 200, `"count":30`},
		{"/api/v5/addons/search/?app=firefox&type=extension&category=nature", 400, `{"category":["Invalid \"category\" parameter."]}`},
		{"/api/v5/addons/search/?category=nonsense&q=night", 200, `"slug":"night-reader"`}, // without app and type it is ignored
		{"/api/v5/addons/search/?author=karl", 200, `"count":31`},
		{"/api/v5/addons/search/?author=ada,nobody&type=extension", 200, `"count":1`},
		{"/api/v5/addons/search/?tag=reading,dark%20mode", 200, `"count":1`},
		{"/api/v5/addons/search/?tag=reading,helper", 200, `"count":0`},
		{"/api/v5/addons/search/?exclude_addons=night-reader&q=night", 200, `"count":0`},
		{"/api/v5/addons/search/?promoted=badged", 200, `"count":1`},
		{"/api/v5/addons/search/?promoted=best", 400, `{"promoted":["Invalid \"promoted\" parameter."]}`},
		{"/api/v4/addons/search/?recommended=true", 200, `"count":1`},
		{"/api/v5/addons/search/?users__gt=1000000", 200, `"count":1`},
		{"/api/v5/addons/search/?users__gt=many", 400, `{"users__gt":["Invalid \"users__gt\" parameter."]}`},
		{"/api/v5/addons/search/?ratings__gte=9", 400, `{"ratings__gte":["Invalid \"ratings__gte\" parameter."]}`},
		{"/api/v5/addons/search/?created__lt=2025-01-01", 200, `"count":1`},
		{"/api/v5/addons/search/?created__lt=1735689600000", 200, `"count":1`},
		{"/api/v5/addons/search/?created__lt=2025-01-01T00:00:00Z", 200, `"count":1`},
		{"/api/v5/addons/search/?created=yesterday", 400, `{"created":["Invalid \"created\" parameter."]}`},
		{"/api/v5/addons/search/?color=ff0000", 400, `"color"`},
		{"/api/v5/addons/search/?sort=junk", 400, `{"sort":["Invalid \"sort\" parameter."]}`},
		{"/api/v5/addons/search/?sort=rating,created&page_size=1", 200, `"page_size":1`},
		{"/api/v5/addons/search/?sort=random", 400, `"sort"`},
		{"/api/v5/addons/search/?sort=random&promoted=recommended", 200, `"count":1`},
		{"/api/v5/addons/search/?sort=random,users&promoted=recommended", 400, `"sort"`},
		{"/api/v5/addons/search/?sort=recommended", 200, `"slug":"night-reader"`},
		{"/api/v5/addons/search/?sort=users&page_size=1", 200, `"slug":"night-reader"`},
		{"/api/v5/addons/search/?guid=night%40addons.example,nobody%40x", 200, `"count":1`},
		{"/api/v5/addons/search/?guid=NIGHT%40addons.example", 200, `"count":0`},
		{"/api/v5/addons/search/?guid=", 200, `"count":0`},
		{"/api/v5/addons/search/?guid=junk", 200, `"count":0`},
		{"/api/v5/addons/search/?guid=rta:" + base64.RawURLEncoding.EncodeToString([]byte("night@addons.example")), 200, `"slug":"night-reader"`},
		{"/api/v5/addons/search/?guid=rta:%21%21", 400, `"guid"`},
		{"/api/v5/addons/search/?page=0", 404, `{"detail":"Invalid page."}`},
		{"/api/v5/addons/search/?page=x", 404, `{"detail":"Invalid page."}`},
		{"/api/v5/addons/search/?page=3", 404, `{"detail":"Invalid page."}`},
		{"/api/v5/addons/search/?page=999999", 404, `{"detail":"Invalid page."}`},
		{"/api/v5/addons/search/?page_size=1000", 200, `"page_size":50`},
		{"/api/v5/addons/search/?page_size=0", 200, `"page_size":25`},
		{"/api/v5/addons/search/?page_size=-1", 200, `"page_size":25`},
		{"/api/v5/addons/search/?page_size=x", 200, `"page_size":25`},
		{"/api/v5/addons/search/?app=thunderbird&sort=junk&users=-1", 400, `{"app":["Invalid \"app\" parameter."],"sort":["Invalid \"sort\" parameter."],"users":["Invalid \"users\" parameter."]}`},
		// Autocompletion.
		{"/api/v5/addons/autocomplete/?q=helper", 200, `"results":[{"id":`},
		{"/api/v5/addons/autocomplete/", 200, `"results":[{"id":`},
		{"/api/v5/addons/autocomplete/?type=junk", 400, `{"type":["Invalid \"type\" parameter."]}`},
		{"/api/v4/addons/autocomplete/?q=nig&lang=fr", 200, `"name":"Night Reader"`},
		// The rest.
		{"/api/v5/addons/categories/", 200, `"slug":"privacy-security"`},
		{"/api/v5/site/", 200, `{"read_only":false,"notice":null}`},
		{"/api/v5/", 404, `{"detail":"Not found."}`},
		{"/api/v3/site/", 404, `{"detail":"Not found."}`},
	} {
		r := p.get(c.path)
		body := text(t, r)
		if r.StatusCode != c.status || !strings.Contains(body, c.want) {
			t.Errorf("GET %s = %d %.300s\nwant %d %s", c.path, r.StatusCode, body, c.status, c.want)
		}
		if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") || r.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("GET %s has Content-Type %q and Access-Control-Allow-Origin %q", c.path, r.Header.Get("Content-Type"), r.Header.Get("Access-Control-Allow-Origin"))
		}
		head := p.do(http.MethodHead, c.path, nil)
		if head.StatusCode != c.status {
			t.Errorf("HEAD %s = %d, want %d", c.path, head.StatusCode, c.status)
		}
	}
}

func TestScriptsOfOtherSitesMayAsk(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	r := p.do(http.MethodOptions, "/api/v5/addons/search/", nil, "Origin", "https://other.example", "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "authorization")
	if r.StatusCode != http.StatusNoContent || r.Header.Get("Access-Control-Allow-Origin") != "*" ||
		!strings.Contains(r.Header.Get("Access-Control-Allow-Methods"), "GET") || !strings.Contains(r.Header.Get("Access-Control-Allow-Headers"), "authorization") {
		t.Errorf("preflight = %d %v", r.StatusCode, r.Header)
	}
	if r := p.do(http.MethodPost, "/api/v5/addons/search/", nil); r.StatusCode != http.StatusMethodNotAllowed || text(t, r) != `{"detail":"Method not allowed."}` {
		t.Errorf("POST = %d, want 405 with a detail", r.StatusCode)
	}
}

// TestPagesOfResultsLeadToEachOther: next is followed to the end, as Firefox does,
// and every add-on comes once.
func TestPagesOfResultsLeadToEachOther(t *testing.T) {
	t.Parallel()
	p := start(t, catalogue())
	var slugs []string
	var previous []*string
	for next := "https://addons.example/api/v4/addons/search/?page_size=10&app=firefox&sort=users&lang=en-US&q="; next != ""; {
		u, err := url.Parse(next)
		if err != nil || u.Host != "addons.example" {
			t.Fatalf("next = %q, want an absolute address of this site", next)
		}
		r := p.get(u.RequestURI())
		var page amo.Page[amo.Addon]
		if err := json.NewDecoder(r.Body).Decode(&page); err != nil {
			t.Fatal(err)
		}
		if page.Count != 37 || page.PageCount != 4 || page.PageSize != 10 {
			t.Fatalf("count %d, page_count %d, page_size %d", page.Count, page.PageCount, page.PageSize)
		}
		for _, a := range page.Results {
			slugs = append(slugs, a.Slug)
		}
		previous = append(previous, page.Previous)
		next = ""
		if page.Next != nil {
			next = *page.Next
		}
	}
	if distinct := slices.Compact(slices.Sorted(slices.Values(slugs))); len(slugs) != 37 || len(distinct) != 37 {
		t.Errorf("%d add-ons, %d of them different, want 37", len(slugs), len(distinct))
	}
	if previous[0] != nil || previous[1] == nil || strings.Contains(*previous[1], "page=") || !strings.Contains(*previous[2], "page=2") {
		t.Errorf("previous = %v", previous)
	}
}

func TestTheAPISaysNotModifiedToWhoHasTheAnswer(t *testing.T) {
	t.Parallel()
	p := start(t, catalogue())
	const path = "/api/v5/addons/addon/night-reader/"
	first := p.get(path)
	etag := first.Header.Get("ETag")
	if etag == "" || first.Header.Get("Cache-Control") == "" {
		t.Fatalf("headers %v, want ETag and Cache-Control", first.Header)
	}
	for header, want := range map[string]int{etag: 304, `"x", ` + etag: 304, strings.TrimPrefix(etag, "W/"): 304, "*": 304, `"x"`: 200, "": 200} {
		if r := p.get(path, "If-None-Match", header); r.StatusCode != want || want == 304 && text(t, r) != "" {
			t.Errorf("If-None-Match %s = %d, want %d", header, r.StatusCode, want)
		}
	}
}

func TestTheAPISanitisesWhatAuthorsWrite(t *testing.T) {
	t.Parallel()
	imports := catalogue()[:1]
	imports[0].Addon.Description = catalog.Text{"en-US": `<b>bold</b><script>alert(1)</script>`, "de": "schlicht & gut"}
	imports[0].Versions[0].ReleaseNotes = catalog.Text{"en-US": `<i onclick="x()">new</i>`}
	p := start(t, imports)
	for _, path := range []string{"/api/v5/addons/addon/night-reader/", "/api/v5/addons/search/?q=night", "/api/v4/addons/addon/night-reader/?lang=en-US", "/api/v5/addons/addon/night-reader/versions/3.1.0/"} {
		if body := text(t, p.get(path)); strings.Contains(body, "alert") || strings.Contains(body, "onclick") {
			t.Errorf("%s has a script in it: %s", path, body)
		}
	}
	if body := text(t, p.get("/api/v5/addons/addon/night-reader/")); !strings.Contains(body, `schlicht \u0026 gut`) {
		t.Errorf("a plain text was changed: %s", body)
	}
}

// TestAPISearchGoesOnWithoutItsEngine: the database answers, and nobody keeps that.
func TestAPISearchGoesOnWithoutItsEngine(t *testing.T) {
	t.Parallel()
	p := start(t, catalogue())
	down, err := search.Open("elasticsearch://127.0.0.1:1/addons", metrics.New(nil), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { down.Close() })
	without, config := *p.site, p.config
	without.Index = down
	config.Site = &without
	if p.handler, err = web.New(config); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/api/v5/addons/search/?q=night", "/api/v5/addons/autocomplete/?q=night"} {
		r := p.get(path)
		if body := text(t, r); r.StatusCode != 200 || !strings.Contains(body, "Night Reader") || r.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s = %d, Cache-Control %s, %.200s, want the database's answer, not to be kept", path, r.StatusCode, r.Header.Get("Cache-Control"), body)
		}
	}
}
