package web_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"addons/rum"
	"addons/server/catalog"
	"addons/server/web"
)

// ask is an update check as Firefox 153 sends it.
func ask(guid string) string {
	return "/update/VersionCheck.php?reqVersion=2&id=" + guid + "&version=1.0&maxAppVersion=null&status=userEnabled" +
		"&appID={ec8030f7-c20a-464f-9b0e-13a3a9e97384}&appVersion=153.7.0&appOS=Linux&appABI=x86_64-gcc3" +
		"&locale=en-US-posix&currentAppVersion=153.7.0&updateType=97&compatMode=normal"
}

func TestVersionCheckAnswersAsFirefoxWants(t *testing.T) {
	t.Parallel()
	p := start(t, catalogue())
	night := p.addon("night-reader")
	r := p.get(ask("night@addons.example"))
	var manifest struct {
		Addons map[string]struct {
			Updates []struct {
				Version string `json:"version"`
				Link    string `json:"update_link"`
				Hash    string `json:"update_hash"`
				Info    string `json:"update_info_url"`
			} `json:"updates"`
		} `json:"addons"`
	}
	if err := json.NewDecoder(r.Body).Decode(&manifest); err != nil || r.StatusCode != 200 {
		t.Fatalf("%d, %v", r.StatusCode, err)
	}
	offered := manifest.Addons["night@addons.example"].Updates
	if len(offered) != 1 || offered[0].Version != "3.1.0" || offered[0].Hash != night.Current.File.Hash {
		t.Fatalf("offered %+v, want 3.1.0 with its hash %s", offered, night.Current.File.Hash)
	}
	if r.Header.Get("Content-Type") != "application/json" || !strings.HasPrefix(r.Header.Get("Cache-Control"), "public, max-age=3600, ") {
		t.Errorf("headers %v", r.Header)
	}

	// What it names is there: the package, and the release notes in any language.
	link, here := strings.CutPrefix(offered[0].Link, "https://addons.example")
	if pack := p.get(link); !here || pack.StatusCode != 200 || pack.Header.Get("Content-Type") != "application/x-xpinstall" {
		t.Errorf("%s = %d %s", offered[0].Link, pack.StatusCode, pack.Header.Get("Content-Type"))
	}
	info, here := strings.CutPrefix(offered[0].Info, "https://addons.example")
	for _, locale := range []string{"en-US", "de", "en-US-posix", "ja-JP-mac"} {
		notes := p.get(strings.ReplaceAll(info, "%APP_LOCALE%", locale))
		if body := text(t, notes); !here || notes.StatusCode != 200 || body != `<div lang="en-US" dir="ltr">Faster on long pages.</div>`+"\n" {
			t.Errorf("%s in %s = %d %s", offered[0].Info, locale, notes.StatusCode, body)
		}
	}
}

func TestVersionCheckStatuses(t *testing.T) {
	t.Parallel()
	p := start(t, catalogue())
	for _, c := range []struct {
		path   string
		status int
		body   string
	}{
		{ask("nobody@addons.example"), 200, "{}"},
		{ask("hidden@addons.example"), 200, "{}"},
		{ask("NIGHT@addons.example"), 200, "{}"},
		{ask("not%20an%20id"), 200, "{}"},
		{strings.ReplaceAll(ask("helper-1@addons.example"), "153.7.0", "100.0"), 200, `{"addons":{"helper-1@addons.example":{"updates":[]}}}`},
		{"/update/VersionCheck.php", 400, "{}"},
		{"/update/VersionCheck.php?id=night@addons.example", 400, "{}"},
		{strings.ReplaceAll(ask("night@addons.example"), catalog.Firefox.GUID, "{3550f703-e582-4d05-9a08-453d09bdfdc6}"), 400, "{}"},
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			r := p.do(method, c.path, nil)
			if body := text(t, r); r.StatusCode != c.status || method == http.MethodGet && body != c.body {
				t.Errorf("%s %s = %d %s, want %d %s", method, c.path, r.StatusCode, body, c.status, c.body)
			}
		}
	}
	for _, path := range []string{
		"/en-US/firefox/addon/night-reader/versions/3.0.0/updateinfo/", // has no notes
		"/en-US/firefox/addon/night-reader/versions/9.9/updateinfo/",
		"/en-US/firefox/addon/hidden/versions/1.0/updateinfo/",
		"/en-US/thunderbird/addon/night-reader/versions/3.1.0/updateinfo/",
	} {
		if r := p.get(path); r.StatusCode != 404 {
			t.Errorf("%s = %d, want 404", path, r.StatusCode)
		}
	}
}

func TestVersionCheckSaysNotModified(t *testing.T) {
	t.Parallel()
	p := start(t, catalogue())
	etag := p.get(ask("night@addons.example")).Header.Get("ETag")
	for header, want := range map[string]int{etag: 304, "W/" + etag: 304, `"0"`: 200} {
		r := p.get(ask("night@addons.example"), "If-None-Match", header)
		if r.StatusCode != want || r.Header.Get("ETag") != etag || r.Header.Get("Cache-Control") == "" {
			t.Errorf("If-None-Match %s = %d %v, want %d", header, r.StatusCode, r.Header, want)
		}
	}
	if other := p.get(ask("helper-1@addons.example")).Header.Get("ETag"); etag == "" || other == etag {
		t.Errorf("ETags %s and %s of different answers", etag, other)
	}
}

// TestARolloutIsNobodyElsesAnswer: not that of a cache on the way, nor of the memory that
// answers everybody; who asks is the last address that no proxy of ours has.
func TestARolloutIsNobodyElsesAnswer(t *testing.T) {
	t.Parallel()
	const guid = "night@addons.example"
	proxies := rum.NewNetworks([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}) // httptest's clients are 192.0.2.1
	p := start(t, catalogue(), func(c *web.Config) { c.Networks = proxies })
	p.follow(guid)
	everybodys := p.get(ask(guid))
	a, err := p.site.Addon(t.Context(), guid)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.site.RollOut(t.Context(), guid, a.Current.Number, 50); err != nil {
		t.Fatal(err)
	}
	p.tells(guid, "private, no-cache")
	bodies := map[string]bool{}
	for i := range 40 {
		from := fmt.Sprintf("198.51.100.%d", i)
		r := p.get(ask(guid), "X-Forwarded-For", from)
		if got := r.Header.Get("Cache-Control"); got != "private, no-cache" {
			t.Fatalf("during the rollout an answer may be kept %q", got)
		}
		body := text(t, r)
		bodies[body] = true
		if again := text(t, p.get(ask(guid), "X-Forwarded-For", from)); again != body {
			t.Errorf("%s is told %s, then %s", from, body, again)
		}
	}
	if len(bodies) != 2 {
		t.Errorf("%d different answers, want the version and the one before", len(bodies))
	}
	if err := p.site.RollOut(t.Context(), guid, a.Current.Number, 100); err != nil {
		t.Fatal(err)
	}
	p.tells(guid, everybodys.Header.Get("Cache-Control"))
	if r := p.get(ask(guid)); r.Header.Get("ETag") != everybodys.Header.Get("ETag") {
		t.Errorf("after the rollout: %v, want the answer before it", r.Header)
	}
}

// TestVersionCheckOutlivesItsDatabase: what was asked before is answered on, what
// wasn't is told to come again.
func TestVersionCheckOutlivesItsDatabase(t *testing.T) {
	t.Parallel()
	p := start(t, catalogue())
	before := text(t, p.get(ask("night@addons.example")))
	if err := p.db.Close(); err != nil {
		t.Fatal(err)
	}
	if after := text(t, p.get(ask("night@addons.example"))); after != before {
		t.Errorf("after: %s, before: %s", after, before)
	}
	r := p.get(ask("helper-1@addons.example"))
	if r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" || r.Header.Get("Cache-Control") != "no-store" ||
		!strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		t.Errorf("a check that needs the database = %d %v", r.StatusCode, r.Header)
	}
}

func BenchmarkVersionCheck(b *testing.B) {
	p := start(b, catalogue()[:1])
	b.ReportAllocs()
	for b.Loop() {
		if r := p.get(ask("night@addons.example")); r.StatusCode != 200 {
			b.Fatal(r.StatusCode)
		}
	}
}
