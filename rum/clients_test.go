package rum_test

import (
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"addons/rum"
	"addons/server/enginetest"
)

// stores keep what came, for several requests at a time.
type stores struct {
	mu  sync.Mutex
	got keys
}

func (s *stores) Timing(key string, v float64) { s.Count(key, v) }

func (s *stores) Count(key string, v float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got[key] = v
}

func (s *stores) value(key string) (v float64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok = s.got[key]
	return v, ok
}

// watched has a page keep what its browser tells it, as measured does. It is not loaded
// before it is painted, for boomerang tells no paint that is later.
const watched = `<link rel=icon href="data:,"><script>
	var seen = { lcp: [], fcp: [] }
	new PerformanceObserver(list => seen.fcp.push(...list.getEntries().filter(e => e.name === 'first-contentful-paint'))).observe({ type: 'paint', buffered: true })
	new PerformanceObserver(list => seen.lcp.push(...list.getEntries())).observe({ type: 'largest-contentful-paint', buffered: true })
	var until = f => new Promise(done => { const look = () => f() ? done() : setTimeout(look, 5); look() })
	var nav = () => performance.getEntriesByType('navigation')[0]
	var painted = () => until(() => nav().loadEventEnd)
	until(() => seen.fcp.length && seen.lcp.length).then(() => fetch('/painted'))
</script>`

// clients are pages with the clients as npm has them, and what comes of each.
var clients = []struct {
	name, format string
	scripts      []string // of npm's modules
	start        string
	values       []string // that must come, below rum.home
	loaded       string   // what it takes for the whole load
	sent         string   // whether it has told of the load; what leaves before is told of as an abandoned page
}{
	{
		"boomerang", "boomerang", []string{
			"boomerangjs/boomerang.js", "boomerangjs/plugins/rt.js", "boomerangjs/plugins/painttiming.js", "boomerangjs/plugins/navtiming.js",
			"boomerangjs/plugins/eventtiming.js", "boomerangjs/plugins/continuity.js", "boomerangjs/plugins/mobile.js", "boomerangjs/plugins/zzz-last-plugin.js",
		}, `BOOMR.init({ beacon_url: '/rum', log: null, Continuity: { enabled: true } })`,
		[]string{"nav.response", "nav.dom_processing", "nav.page_load", "fcp", "lcp"},
		"nav().loadEventEnd", "BOOMR.hasSentPageLoadBeacon()",
	},
	{
		"web-vitals", "web_vitals", []string{"web-vitals/dist/web-vitals.iife.js"},
		`for (const on of ['onLCP', 'onFCP', 'onTTFB', 'onINP', 'onCLS']) webVitals[on](metric => navigator.sendBeacon('/rum', JSON.stringify(metric)))`,
		[]string{"fcp", "lcp", "ttfb"},
		"0", "true",
	},
	{
		"Faro", "faro", []string{"@grafana/faro-web-sdk/dist/bundle/faro-web-sdk.iife.js"},
		`GrafanaFaroWebSdk.initializeFaro({ url: '/collect', app: { name: 'shop', version: '1' } })`,
		[]string{"nav.dom_processing", "nav.page_load", "fcp", "lcp", "ttfb"},
		"nav().domComplete - nav().fetchStart", "true",
	},
}

// clientsSend opens a page of each client, and compares what arrives with what the page's
// own entries say. Chromium without a screen says by its name that it is a program, Firefox
// does not: below is where its values come in statsd.
func clientsSend(t *testing.T, b tab, below string) {
	modules := enginetest.URL(t, "CLIENTS")
	for _, c := range clients {
		mux := http.NewServeMux()
		got := &stores{got: keys{}}
		reg := prometheus.NewRegistry()
		home := func(path string) string {
			if path == "/page" {
				return "home"
			}
			return ""
		}
		handler := rum.NewHandler(rum.Config{Pages: []string{"home"}, PageOf: home}, reg, got, slog.New(slog.DiscardHandler))
		for _, path := range rum.Paths {
			mux.Handle(path, handler)
		}
		mux.Handle("/npm/", http.StripPrefix("/npm/", http.FileServer(http.Dir(modules))))
		page := "<!doctype html><html lang=en><title>" + c.name + "</title>" + watched
		for _, script := range c.scripts {
			page += fmt.Sprintf("<script src=%q></script>", "/npm/"+filepath.ToSlash(script))
		}
		page += "<script>" + c.start + `</script><h1>Measured</h1><img src="/late" alt="">`
		mux.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, page)
		})
		painted := make(chan struct{}, 1)
		mux.HandleFunc("/painted", func(http.ResponseWriter, *http.Request) { painted <- struct{}{} })
		mux.HandleFunc("/late", func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-painted:
			case <-r.Context().Done():
			}
		})
		mux.HandleFunc("/elsewhere", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, "<!doctype html><html lang=en><title>elsewhere</title><h1>Elsewhere</h1>")
		})
		server := httptest.NewServer(mux)
		b.open(server.URL + "/page")
		var truth map[string]float64
		b.eval(`painted().then(() => until(() => `+c.sent+`)).then(() => ({
			'nav.response': nav().responseEnd - nav().responseStart, 'nav.dom_processing': nav().domComplete - nav().domInteractive,
			'nav.page_load': `+c.loaded+`, fcp: seen.fcp[0].startTime, lcp: seen.lcp.at(-1).startTime, ttfb: nav().responseStart,
		}))`, &truth)
		b.open(server.URL + "/elsewhere") // what is told at a page's end is told now
		for _, name := range c.values {
			key := below + name
			within(t, c.name+" to send "+name, func() bool {
				handler.Flush()
				_, ok := got.value(key)
				return ok
			})
			// Boomerang counts in whole milliseconds since 1970, so that a difference may be 2 off.
			if v, _ := got.value(key); math.Abs(v-truth[name]) > 2 {
				t.Errorf("%s: %s = %v, the page says %v", c.name, name, v, truth[name])
			}
		}
		for _, outcome := range []string{"malformed", "too_large", "limited", "foreign"} {
			if n := counted(t, reg, "rum_beacons_total", "unknown", outcome); n != 0 {
				t.Errorf("%s: %v of its beacons are %s", c.name, n, outcome)
			}
		}
		server.Close()
	}
}

func TestUnmodifiedClientsInChromium(t *testing.T) {
	clientsSend(t, newChromiumTab(t, chromium(t)), "rum.bot.home.")
}

func TestUnmodifiedClientsInFirefox(t *testing.T) {
	clientsSend(t, newFirefoxTab(t, enginetest.Firefox(t, enginetest.Prefs{"extensions.enabledScopes": 1})), "rum.home.")
}

// TestBoomerangsShiftsAreAddedUpInChromium has a page that shifts before its load is told of, and after;
// the second part comes when it is left.
func TestBoomerangsShiftsAreAddedUpInChromium(t *testing.T) {
	modules, b := enginetest.URL(t, "CLIENTS"), newChromiumTab(t, chromium(t))
	reg, got := prometheus.NewRegistry(), &stores{got: keys{}}
	handler := rum.NewHandler(rum.Config{}, reg, got, slog.New(slog.DiscardHandler))
	page := "<!doctype html><html lang=en><title>shifts</title>" + watched + `<script>
		var shifts = []
		new PerformanceObserver(list => shifts.push(...list.getEntries().filter(e => !e.hadRecentInput))).observe({ type: 'layout-shift', buffered: true })
		var shift = n => new Promise(done => {
			document.body.insertAdjacentHTML('afterbegin', '<div style="height:200px">Late</div>')
			until(() => shifts.length >= n).then(() => setTimeout(done, 0)) // by when boomerang's own observer was told too
		})
	</script>`
	for _, script := range clients[0].scripts {
		page += fmt.Sprintf("<script src=%q></script>", "/npm/"+filepath.ToSlash(script))
	}
	page += `<script>BOOMR.init({ beacon_url: '/rum', log: null, autorun: false, Continuity: { enabled: true, afterOnload: true } })</script><h1>Shifted</h1><p>Text`
	mux := http.NewServeMux()
	mux.Handle("/rum", handler)
	mux.Handle("/npm/", http.StripPrefix("/npm/", http.FileServer(http.Dir(modules))))
	mux.HandleFunc("/painted", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if r.URL.Path == "/page" {
			fmt.Fprint(w, page)
		}
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	taken := func() float64 { return counted(t, reg, "rum_beacons_total", "boomerang", "accepted") }
	b.open(server.URL + "/page")
	b.eval(`painted().then(() => until(() => seen.fcp.length)).then(() => shift(1)).then(() => { BOOMR.page_ready() })`, nil)
	within(t, "the load's beacon", func() bool { return taken() == 1 })
	var parts []float64
	b.eval(`shift(2).then(() => shifts.map(e => e.value))`, &parts)
	b.open(server.URL + "/elsewhere")
	within(t, "the beacon when it was left", func() bool { return taken() == 2 })
	if _, ok := got.value("rum.bot.other.cls"); ok {
		t.Error("a part is counted")
	}
	handler.Flush()
	want := 0.0
	for _, v := range parts {
		want += v
	}
	// Each beacon rounds to a thousandth.
	if v, _ := got.value("rum.bot.other.cls"); len(parts) < 2 || math.Abs(v-want) > .0011 {
		t.Errorf("CLS = %v, the page says %v", v, parts)
	}
}

// within polls, for what a browser sends when it likes.
func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}
