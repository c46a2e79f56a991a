package web_test

import (
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"image/color"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"addons/rum"
	"addons/server/metrics"
	"addons/server/store"
	"addons/server/web"
)

// pages are the addresses whose pages the tests read.
var pages = []struct{ name, path string }{
	{"home", "/en-US/firefox/"},
	{"home-android", "/de/android/"},
	{"extensions", "/en-US/firefox/extensions/"},
	{"extensions-page-2", "/en-US/firefox/extensions/?sort=users&page=2"},
	{"category", "/en-US/firefox/extensions/tabs/"},
	{"empty-category", "/en-US/firefox/extensions/shopping/"},
	{"themes", "/en-US/firefox/themes/"},
	{"language-tools", "/en-US/firefox/language-tools/"},
	{"categories", "/en-US/firefox/categories/"},
	{"tag", "/en-US/firefox/tag/dark%20mode/"},
	{"user", "/en-US/firefox/user/ada/"},
	{"search", "/en-US/firefox/search/?q=night"},
	{"search-nothing", "/en-US/firefox/search/?q=xyzzy"},
	{"addon", "/en-US/firefox/addon/night-reader/"},
	{"addon-de", "/de/firefox/addon/night-reader/"},
	{"addon-ar", "/ar/firefox/addon/night-reader/"},
	{"theme", "/en-US/firefox/addon/theme-0/"},
	{"dictionary", "/en-US/firefox/addon/dictionary-de/"},
	{"versions", "/en-US/firefox/addon/night-reader/versions/"},
	{"reviews", "/en-US/firefox/addon/night-reader/reviews/"},
	{"privacy", "/en-US/firefox/privacy/"},
	{"not-found", "/en-US/firefox/addon/nothing/"},
}

// passing is what changes from run to run or build to build.
var passing = []struct {
	was *regexp.Regexp
	is  string
}{
	{regexp.MustCompile(`-[0-9a-f]{12}\.(css|js|svg)`), "-HASH.$1"},
	{regexp.MustCompile(`sha384-[^"]*`), "sha384-HASH"},
	{regexp.MustCompile(`/media/[^"]*`), "/media/KEY"},
	{regexp.MustCompile(`\n\s*\n+`), "\n"},
	{regexp.MustCompile(`downloads/file/\d+/`), "downloads/file/ID/"},
}

func TestEveryPage(t *testing.T) {
	t.Parallel()
	p := start(t, catalogue())
	for _, page := range pages {
		r := p.get(page.path)
		body := text(t, r)
		doc := document(t, body)
		t.Run(page.name+" looks as it did", func(t *testing.T) { checkGolden(t, page.name, body) })
		t.Run(page.name+" is accessible", func(t *testing.T) {
			checkFrame(t, doc)
			checkHeadings(t, doc)
			checkNames(t, doc)
		})
		t.Run(page.name+" has nothing inline", func(t *testing.T) {
			csp := r.Header.Get("Content-Security-Policy")
			if strings.Contains(csp, "unsafe") || !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") {
				t.Errorf("Content-Security-Policy %q", csp)
			}
			checkInert(t, doc)
		})
	}
}

// checkGolden compares a page with the one that was read and found good.
func checkGolden(t *testing.T, name, body string) {
	for _, c := range passing {
		body = c.was.ReplaceAllString(body, c.is)
	}
	file := filepath.Join("testdata", name+".html")
	if *rewrite {
		if err := os.WriteFile(file, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), body); d != "" {
		t.Errorf("the page changed (run with -update and read the diff):\n%s", d)
	}
}

func TestEveryRouteAnswers(t *testing.T) {
	t.Parallel()
	p := start(t, catalogue())
	night := p.addon("night-reader")
	download := fmt.Sprintf("/firefox/downloads/file/%d/", night.Current.File.ID)
	for _, c := range []struct {
		path     string
		status   int
		location string
	}{
		{"/en-US/firefox/", 200, ""},
		{"/de/firefox/search/?q=Nachtleser", 200, ""},
		{"/en-US/android/extensions/", 200, ""},
		{"/en-US/firefox/addon/night-reader/versions/", 200, ""},
		{download + "night.xpi", 200, ""},
		{download + "type:attachment/night.xpi", 200, ""},
		{"/en-US" + download + "night.xpi", 200, ""},
		{"/firefox/downloads/latest/night-reader/latest.xpi", 302, download + "package-3.1.0.xpi"},
		{"/firefox/downloads/latest/night@addons.example/type:attachment/x.xpi", 302, download + "type:attachment/package-3.1.0.xpi"},
		{"/__version__", 200, ""},
		{"/__heartbeat__", 200, ""},
		{"/__lbheartbeat__", 200, ""},
		{"/robots.txt", 200, ""},
		{"/media/" + night.Icon, 200, ""},
		// addresses without all that they need are sent on, as AMO does
		{"/", 302, "/en-US/firefox/"},
		{"/de", 302, "/de/firefox/"},
		{"/firefox/", 302, "/en-US/firefox/"},
		{"/firefox", 302, "/en-US/firefox/"},
		{"/firefox/addon/night-reader/", 302, "/en-US/firefox/addon/night-reader/"},
		{"/firefox/addon/night-reader", 302, "/en-US/firefox/addon/night-reader/"},
		{"/firefox/addon/night-reader/versions/?page=1", 302, "/en-US/firefox/addon/night-reader/versions/?page=1"},
		{"/android/search/?q=a+b", 302, "/en-US/android/search/?q=a+b"},
		{"/en-us/firefox/addon/night-reader/", 302, "/en-US/firefox/addon/night-reader/"},
		{"/en/firefox/", 302, "/en-US/firefox/"},
		{"/en", 302, "/en-US/firefox/"},
		{"/pt/firefox/themes/", 302, "/pt-BR/firefox/themes/"},
		{"/en-US/firefox/addon/night-reader", 302, "/en-US/firefox/addon/night-reader/"},
		{"/en-US/firefox/addon/night@addons.example/", 301, "/en-US/firefox/addon/night-reader/"},
		{"/en-US/firefox/addon/1/", 301, "/en-US/firefox/addon/night-reader/"},
		// and these are nothing
		{"/en-US/firefox/addon/hidden/", 404, ""},
		{"/en-US/firefox/addon/nothing/", 404, ""},
		{"/en-US/firefox/extensions/nothing/", 404, ""},
		{"/en-US/firefox/extensions/?page=99", 404, ""},
		{"/en-US/firefox/extensions/?page=x", 404, ""},
		{"/en-US/firefox/user/nobody/", 404, ""},
		{"/en-US/thunderbird/", 404, ""},
		{"/xx-YY/firefox/", 404, ""},
		{"/wp-login.php", 404, ""},
		{"//evil.example/firefox/", 404, ""},
		{"/firefox/downloads/file/999999/x.xpi", 404, ""},
		{"/firefox/downloads/file/x/x.xpi", 404, ""},
		{"/media/../../etc/passwd", 404, ""},
		{"/media/" + night.Current.File.Key, 404, ""},
		{"/static/site.css", 404, ""},
	} {
		r := p.get(c.path)
		if r.StatusCode != c.status || r.Header.Get("Location") != c.location {
			t.Errorf("GET %s = %d to %q, want %d to %q", c.path, r.StatusCode, r.Header.Get("Location"), c.status, c.location)
		}
		if head := p.do(http.MethodHead, c.path, nil); head.StatusCode != c.status {
			t.Errorf("HEAD %s = %d, want %d as GET", c.path, head.StatusCode, c.status)
		}
	}
}

func TestVisitorsAreSentToTheirLanguage(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	for accept, want := range map[string]string{
		"":                              "en-US",
		"de":                            "de",
		"de-AT,de;q=0.8,en;q=0.5":       "de",
		"pt":                            "pt-BR",
		"zh-Hant-HK":                    "zh-TW",
		"sv":                            "sv-SE",
		"tlh, fr;q=0.3":                 "fr",
		"tlh":                           "en-US",
		"en-GB":                         "en-GB",
		strings.Repeat("de-DE,", 10000): "en-US",
		"\x00;;;q=q":                    "en-US",
	} {
		r := p.get("/", "Accept-Language", accept)
		if got := r.Header.Get("Location"); got != "/"+want+"/firefox/" {
			t.Errorf("Accept-Language %.40q leads to %q, want %s", accept, got, want)
		}
		if r.Header.Get("Vary") == "" {
			t.Errorf("the redirect for %.40q has no Vary", accept)
		}
	}
}

func TestErrorsHaveJSONTwinsBelowAPI(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	r := p.get("/api/v5/no/such/thing/")
	var body map[string]string
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || r.StatusCode != 404 || body["detail"] != "Not found." {
		t.Errorf("an unknown API path = %d %v %v, want 404 with a detail", r.StatusCode, body, err)
	}
	r = p.do(http.MethodDelete, "/en-US/firefox/", nil)
	if r.StatusCode != http.StatusMethodNotAllowed || !strings.Contains(r.Header.Get("Allow"), "GET") {
		t.Errorf("DELETE of a page = %d, Allow %q, want 405 that names GET", r.StatusCode, r.Header.Get("Allow"))
	}
	r = p.do("BREW", "/en-US/firefox/", nil)
	if r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("BREW = %d, want 405", r.StatusCode)
	}
}

func TestAHeartbeatSaysWhatFailsButNotWhy(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	p.health.Add("database", true, func(context.Context) error { return fmt.Errorf("10.1.2.3:3306 refused") })
	p.health.Add("search", false, func(context.Context) error { return fmt.Errorf("10.1.2.4:9200 refused") })
	r := p.get("/__heartbeat__")
	body := text(t, r)
	if r.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, `"database":"error"`) || !strings.Contains(body, `"search":"warning"`) {
		t.Errorf("heartbeat = %d %s", r.StatusCode, body)
	}
	if strings.Contains(body, "10.1.2") {
		t.Errorf("the heartbeat tells everybody of the inside: %s", body)
	}
	if r := p.get("/__lbheartbeat__"); r.StatusCode != 200 {
		t.Errorf("lbheartbeat = %d while a backend is down, want 200", r.StatusCode)
	}
}

// lines is a statsd client that counts what it is sent.
type lines struct {
	mu     sync.Mutex
	counts map[string]int
}

func (l *lines) add(key string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts == nil {
		l.counts = map[string]int{}
	}
	l.counts[key] += n
}

func (l *lines) Incr(key string, n int64, _ ...metrics.Tag)                    { l.add(key, int(n)) }
func (l *lines) PrecisionTiming(key string, _ time.Duration, _ ...metrics.Tag) { l.add(key, 1) }
func (l *lines) FGauge(string, float64, ...metrics.Tag)                        {}

// samples returns a metric's counts by its labels.
func samples(t *testing.T, reg *metrics.Registry, name string) map[string]float64 {
	t.Helper()
	families, err := reg.Prometheus().Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			value := m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			if value != 0 {
				all[strings.Join(labels, " ")] = value
			}
		}
	}
	return all
}

func TestEveryRequestIsCountedOnceInBothStores(t *testing.T) {
	t.Parallel()
	statsd := &lines{}
	p := start(t, nightReader(), func(c *web.Config) {
		c.Registry = metrics.New(statsd)
		c.Beacon = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a beacon that explodes") })
	})
	reg := p.config.Registry
	const n = 20
	var wait sync.WaitGroup
	for range n {
		wait.Go(func() {
			p.get("/en-US/firefox/addon/night-reader/")
			p.get("/en-US/firefox/addon/nothing/")
			p.get("/no/such/" + strings.Repeat("x", 10))
			p.do(http.MethodPost, "/rum", strings.NewReader("{}"))
			p.do("BREW", "/en-US/firefox/", nil)
			p.do(http.MethodHead, "/en-US/firefox/privacy/", nil)
		})
	}
	wait.Wait()
	// labels in the order of their names: method, status, route, module, view
	want := map[string]float64{
		"GET /:locale/:app/addon/:addon/": 2 * n,
		"GET unmatched":                   n,
		"POST /rum":                       n,
		"_OTHER unmatched":                n,
		"HEAD /:locale/:app/privacy/":     n,
	}
	got := map[string]float64{}
	for labels, count := range samples(t, reg, "http_server_request_duration_seconds") {
		f := strings.Fields(labels)
		got[f[0]+" "+f[2]] += count
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("requests by method and route:\n%s", d)
	}
	status := map[string]float64{"200": 2 * n, "404": 2 * n, "405": n, "500": n}
	if d := cmp.Diff(status, samples(t, reg, "addons_http_responses_total")); d != "" {
		t.Errorf("answers by status:\n%s", d)
	}
	for code, count := range status {
		if got := statsd.counts["response."+code]; got != int(count) {
			t.Errorf("statsd response.%s = %d, want %v", code, got, count)
		}
	}
	for key, count := range map[string]int{
		"view.pages.addon.GET": 2 * n, "view.pages.GET": 2 * n, "view.GET": 3 * n, "view.rum.beacon.POST": n,
		"view.pages.privacy.HEAD": n, "view.web.unmatched.GET": n, "view.web.unmatched._OTHER": n,
	} {
		if got := statsd.counts[key]; got != count {
			t.Errorf("statsd %s = %d, want %d", key, got, count)
		}
	}
	if got := samples(t, reg, "http_server_active_requests")[""]; got != 0 {
		t.Errorf("%v requests are still active after all were answered", got)
	}
	if got := len(p.faults.Recent()); got != 1 {
		t.Errorf("%d kinds of fault recorded, want the one panic", got)
	}
}

func TestAPanicIsOneHonest500(t *testing.T) {
	t.Parallel()
	p := start(t, nil, func(c *web.Config) { c.Drills = true })
	r := p.get("/__drill__/panic")
	body := text(t, r)
	if r.StatusCode != 500 || !strings.Contains(body, "Something broke on our side") {
		t.Errorf("a panic answered %d:\n%s", r.StatusCode, body)
	}
	if strings.Contains(body, "a drill") {
		t.Error("the page tells what panicked")
	}
	if r.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control of a 500 = %q", r.Header.Get("Cache-Control"))
	}
	if e := p.faults.Recent(); len(e) != 1 {
		t.Errorf("recorded %d faults, want 1", len(e))
	}
}

func TestHalfAnAnswerIsCutOffAndCountedAsA500(t *testing.T) {
	t.Parallel()
	p := start(t, nil, func(c *web.Config) {
		c.Beacon = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "half")
			panic("then this")
		})
	})
	func() {
		defer func() {
			if v := recover(); v != http.ErrAbortHandler {
				t.Errorf("panicked with %v, want the connection cut", v)
			}
		}()
		p.do(http.MethodPost, "/rum", strings.NewReader("{}"))
	}()
	if d := cmp.Diff(map[string]float64{"500": 1}, samples(t, p.reg, "addons_http_responses_total")); d != "" {
		t.Error(d)
	}
}

func TestAnswersTellWhatTheyCost(t *testing.T) {
	t.Parallel()
	p := start(t, nightReader())
	const trace = "0af7651916cd43dd8448eb211c80319c"
	r := p.get("/en-US/firefox/addon/night-reader/", "traceparent", "00-"+trace+"-b7ad6b7169203331-01")
	timing := r.Header.Get("Server-Timing")
	for _, want := range []string{"app;dur=", "db;dur=", `trace;desc="` + trace + `"`} {
		if !strings.Contains(timing, want) {
			t.Errorf("Server-Timing %q lacks %s", timing, want)
		}
	}
	if got := samples(t, p.reg, "addons_db_queries_per_request"); got["/:locale/:app/addon/:addon/"] != 1 {
		t.Errorf("queries per request were recorded as %v", got)
	}
	if r := p.get("/no/such/thing"); r.Header.Get("Server-Timing") == "" {
		t.Error("a 404 has no Server-Timing")
	}
}

func TestDebugShowsTheLedgerOnThePage(t *testing.T) {
	t.Parallel()
	p := start(t, nightReader(), func(c *web.Config) { c.Debug = true })
	r := p.get("/en-US/firefox/addon/night-reader/")
	if body := text(t, r); !strings.Contains(body, "/:locale/:app/addon/:addon/") || !strings.Contains(body, `<th scope="row">db</th>`) {
		t.Error("the page does not show what it cost")
	}
	if r.Header.Get("Cache-Control") != "no-store" {
		t.Error("a page with one request's costs may be cached")
	}
}

func TestPagesAreRememberedByTheirETag(t *testing.T) {
	t.Parallel()
	p := start(t, nightReader())
	r := p.get("/en-US/firefox/")
	tag := r.Header.Get("ETag")
	if tag == "" || !strings.HasPrefix(r.Header.Get("Cache-Control"), "public, max-age=") {
		t.Fatalf("ETag %q, Cache-Control %q", tag, r.Header.Get("Cache-Control"))
	}
	if r := p.get("/en-US/firefox/", "If-None-Match", `"x", `+tag); r.StatusCode != http.StatusNotModified || text(t, r) != "" {
		t.Errorf("the same page again = %d, want 304 and no body", r.StatusCode)
	}
}

func TestPagesAndAssetsAreCompressed(t *testing.T) {
	t.Parallel()
	p := start(t, nightReader())
	plain := text(t, p.get("/en-US/firefox/"))
	r := p.get("/en-US/firefox/", "Accept-Encoding", "gzip")
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		t.Fatalf("Content-Encoding %q: %v", r.Header.Get("Content-Encoding"), err)
	}
	if b, err := io.ReadAll(z); err != nil || string(b) != plain {
		t.Errorf("the compressed page is another one: %v", err)
	}
	css := regexp.MustCompile(`/static/site-[0-9a-f]+\.css`).FindString(plain)
	for accept, want := range map[string]string{"br, gzip": "br", "gzip": "gzip", "": "", "br;q=0, gzip": "gzip"} {
		r := p.get(css, "Accept-Encoding", accept)
		if got := r.Header.Get("Content-Encoding"); got != want || r.StatusCode != 200 {
			t.Errorf("%s for %q is %d, coded %q, want %q", css, accept, r.StatusCode, got, want)
		}
		if !strings.Contains(r.Header.Get("Cache-Control"), "immutable") || r.Header.Get("Vary") == "" {
			t.Errorf("%s: Cache-Control %q, Vary %q", css, r.Header.Get("Cache-Control"), r.Header.Get("Vary"))
		}
	}
	if n := len(text(t, p.get(css))); n > 12<<10 {
		t.Errorf("the style sheet has %d bytes, more than 12 KB", n)
	}
}

func TestABodyBeyondItsBoundIsRefused(t *testing.T) {
	t.Parallel()
	p := start(t, nil, func(c *web.Config) {
		c.Beacon = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if _, err := io.ReadAll(r.Body); err == nil {
				panic("read it all")
			}
		})
	})
	if r := p.do(http.MethodPost, "/rum", strings.NewReader(strings.Repeat("x", 2<<20))); r.StatusCode == 500 {
		t.Error("two megabytes went through")
	}
}

func TestADownloadIsAPackageThatFirefoxInstalls(t *testing.T) {
	t.Parallel()
	p := start(t, nightReader())
	f := p.addon("night-reader").Current.File
	path := fmt.Sprintf("/firefox/downloads/file/%d/x.xpi", f.ID)
	r := p.get(path)
	body := text(t, r)
	for name, want := range map[string]string{
		"Content-Type": "application/x-xpinstall", "Content-Disposition": "", "ETag": `"` + f.Hash + `"`,
		"X-Target-Digest": f.Hash, "Accept-Ranges": "bytes", "X-Content-Type-Options": "nosniff",
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if r := p.get(path, "Range", "bytes=0-1"); r.StatusCode != http.StatusPartialContent || text(t, r) != body[:2] {
		t.Errorf("a range = %d", r.StatusCode)
	}
	if r := p.get(path, "If-None-Match", `"`+f.Hash+`"`); r.StatusCode != http.StatusNotModified {
		t.Errorf("the same package again = %d, want 304", r.StatusCode)
	}
	if r := p.do(http.MethodHead, path, nil); r.Header.Get("Content-Length") != fmt.Sprint(len(body)) {
		t.Errorf("HEAD tells a length of %q, want %d", r.Header.Get("Content-Length"), len(body))
	}
	r = p.get(fmt.Sprintf("/firefox/downloads/file/%d/type:attachment/x.xpi", f.ID))
	if got := r.Header.Get("Content-Disposition"); !strings.HasPrefix(got, "attachment") {
		t.Errorf("type:attachment: Content-Disposition %q", got)
	}
	// one GET, one attachment; no HEAD, no range, no 304
	if got := samples(t, p.reg, "addons_downloads_total")["counted"]; got != 2 {
		t.Errorf("%v downloads counted, want 2", got)
	}
}

func TestADownloadThatIsStoredNowhereSaysSo(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	in := nightReader()[0] // whose bytes are not put anywhere
	in.Addon.Icon, in.Addon.Previews = "", nil
	if _, err := p.db.Save(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	r := p.get(fmt.Sprintf("/firefox/downloads/file/%d/x.xpi", p.addon("night-reader").Current.File.ID))
	if body := text(t, r); r.StatusCode != http.StatusNotFound || !strings.Contains(body, "does not store it") {
		t.Errorf("status %d: %s", r.StatusCode, body)
	}
}

func TestOnlyImagesAreMedia(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	for body, want := range map[string]string{
		picture(2, 2, color.White, color.Black):                                                             "image/png",
		"\xff\xd8\xff\xe0 jpeg":                                                                             "image/jpeg",
		"RIFF\x00\x00\x00\x00WEBPVP8 ":                                                                      "image/webp",
		`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`:                           "image/svg+xml",
		`<?xml version="1.0"?><!-- made by hand --><svg xmlns="http://www.w3.org/2000/svg"></svg>`:          "image/svg+xml",
		`<!--` + strings.Repeat(" the licence", 100) + ` --><svg xmlns="http://www.w3.org/2000/svg"></svg>`: "image/svg+xml",
		"<html><script>alert(1)</script></html>":                                                            "",
		"PK\x03\x04":                                                                                        "",
		"":                                                                                                  "",
	} {
		r := p.get("/media/" + p.blob([]byte(body)).Key)
		if want == "" {
			if r.StatusCode != 404 {
				t.Errorf("%.20q is given out as %s", body, r.Header.Get("Content-Type"))
			}
			continue
		}
		if r.StatusCode != 200 || r.Header.Get("Content-Type") != want || !strings.Contains(r.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%.20q = %d %s, want %s", body, r.StatusCode, r.Header.Get("Content-Type"), want)
		}
		if csp := r.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "sandbox") || strings.Contains(csp, "script") {
			t.Errorf("%.20q may do more than draw: %s", body, csp)
		}
	}
}

func TestADatabaseThatIsDownIsA503(t *testing.T) {
	t.Parallel()
	p := start(t, nightReader())
	before := text(t, p.get("/en-US/firefox/addon/night-reader/"))
	if err := p.db.Close(); err != nil {
		t.Fatal(err)
	}
	r := p.get("/en-US/firefox/addon/another/")
	if r.StatusCode != 503 || r.Header.Get("Retry-After") == "" || !strings.Contains(text(t, r), "try again") {
		t.Errorf("without a database = %d, Retry-After %q", r.StatusCode, r.Header.Get("Retry-After"))
	}
	if r := p.get("/en-US/firefox/addon/night-reader/"); r.StatusCode != 200 || text(t, r) != before {
		t.Errorf("a page that is remembered = %d, want it as it was", r.StatusCode)
	}
}

func TestNoAddonsAreNoError(t *testing.T) {
	t.Parallel()
	p := start(t, []store.Import{})
	for _, path := range []string{"/en-US/firefox/", "/en-US/firefox/extensions/", "/en-US/firefox/search/?q=x", "/en-US/firefox/language-tools/"} {
		if r := p.get(path); r.StatusCode != 200 {
			t.Errorf("GET %s of an empty site = %d", path, r.StatusCode)
		}
	}
}

func TestPagesThatCarryTheScriptAreCounted(t *testing.T) {
	t.Parallel()
	p := start(t, nightReader(), func(c *web.Config) { c.Sample = .25 })
	etag := p.get("/en-US/firefox/").Header.Get("ETag")
	for _, path := range []string{"/en-US/firefox/", "/en-US/firefox/search/?q=x", "/en-US/firefox/nowhere/", "/api/v5/addons/search/"} {
		p.get(path, "If-None-Match", etag) // a page that has not changed is shown too
	}
	if diff := cmp.Diff(map[string]float64{"home": 2, "search": 1, "error": 1}, samples(t, p.reg, "addons_measured_pages_total")); diff != "" {
		t.Error(diff)
	}
	if csp := p.get("/en-US/firefox/").Header.Get("Content-Security-Policy"); !strings.HasSuffix(csp, "; report-uri /rum") {
		t.Errorf("what the policy keeps from happening is not reported: %s", csp)
	}
	body, err := io.ReadAll(p.get("/en-US/firefox/").Body)
	if err != nil || !strings.Contains(string(body), `data-sample="0.25"`) {
		t.Errorf("the page does not say which share of views is to send: %v", err)
	}
	bare := start(t, nightReader(), func(c *web.Config) { c.Beacon = nil })
	if csp := bare.get("/en-US/firefox/").Header.Get("Content-Security-Policy"); strings.Contains(csp, "report") {
		t.Errorf("a policy reports to nobody: %s", csp)
	}
	if got := samples(t, bare.reg, "addons_measured_pages_total"); len(got) > 0 {
		t.Errorf("without the script %v are counted", got)
	}
}

func TestEachBuildOfTheScriptIsServedForEver(t *testing.T) {
	t.Parallel()
	p := start(t, nightReader())
	for _, script := range rum.Scripts() {
		r := p.get("/static/"+script.Name, "Accept-Encoding", "identity")
		body := text(t, r)
		if r.StatusCode != 200 || body != string(script.Body) || r.Header.Get("Content-Type") != "text/javascript; charset=utf-8" || !strings.Contains(r.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: status %d, %d bytes of %s, %s", script.Name, r.StatusCode, len(body), r.Header.Get("Content-Type"), r.Header.Get("Cache-Control"))
		}
		sum := sha512.Sum384([]byte(body))
		if want := "sha384-" + base64.StdEncoding.EncodeToString(sum[:]); script.Integrity != want {
			t.Errorf("%s has the integrity %s, want %s", script.Plain, script.Integrity, want)
		}
	}
	script := rum.Script()
	if page := html.UnescapeString(text(t, p.get("/en-US/firefox/"))); !strings.Contains(page, `<script src="/static/`+script.Name+`" integrity="`+script.Integrity+`"`) {
		t.Errorf("the page does not carry %s with its integrity", script.Name)
	}
}

func TestAPageIsFoundByItsPath(t *testing.T) {
	t.Parallel()
	routes, err := rum.ParseRoutes(web.PageRoutes())
	if err != nil {
		t.Fatal(err)
	}
	of := routes.PageOf
	for path, want := range map[string]string{
		"/en-US/firefox/": "home", "/de/android/search/": "search", "/fr/firefox/addon/night-reader/": "addon",
		"/fr/firefox/addon/night-reader/versions/": "versions", "/fr/firefox/addon//": "", "/": "", "": "", "/api/v5/addons/search/": "", "x": "",
	} {
		if got := of(path); got != want {
			t.Errorf("%q is %q, want %q", path, got, want)
		}
	}
}
