package rum_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"addons/rum"
	"addons/server/enginetest"
)

// arrival is a beacon: as the handler decodes it, and as the browser wrote it.
type arrival struct {
	rum.Beacon
	body string
	raw  struct {
		Vitals map[string]float64
		Nav    map[string]any
	}
}

// pages is a site whose pages carry the real script and send to the real handler.
type pages struct {
	*httptest.Server
	t    *testing.T
	mux  *http.ServeMux
	reg  *prometheus.Registry
	got  chan arrival
	held chan struct{} // closed when requests that hang may end
	kept bool          // browsers may keep the pages that are served from now on, for a minute

	mu   sync.Mutex
	sent map[string][]float64 // what statsd got, by key
}

func newPages(t *testing.T) *pages {
	s := &pages{
		t: t, mux: http.NewServeMux(), reg: prometheus.NewRegistry(), sent: map[string][]float64{},
		got: make(chan arrival, 100), held: make(chan struct{}),
	}
	handler := rum.NewHandler(rum.Config{
		Pages: []string{"home", "soft"}, Timings: []string{"search"},
	}, s.reg, s, slog.New(slog.DiscardHandler))
	s.mux.HandleFunc("/rum", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		recorded := httptest.NewRecorder()
		handler.ServeHTTP(recorded, r)
		a := arrival{body: string(body)}
		var err error
		if a.Beacon, err = rum.Decode(body); err != nil || recorded.Code != http.StatusNoContent {
			t.Errorf("beacon %s from %q got %d %v", body, r.Header.Get("Sec-Fetch-Site"), recorded.Code, err)
		}
		if err := json.Unmarshal(body, &a.raw); err != nil {
			t.Errorf("beacon %s: %v", body, err)
		}
		s.got <- a
	})
	for _, script := range rum.Scripts() {
		s.mux.HandleFunc("/"+script.Plain, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/javascript")
			w.Write(script.Body)
		})
	}
	s.mux.HandleFunc("/hang", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-s.held:
		case <-r.Context().Done():
		}
	})
	s.mux.HandleFunc("/fence", func(http.ResponseWriter, *http.Request) {})
	s.serve("/unmeasured", `<title>elsewhere</title><h1>Elsewhere</h1>`)
	s.Server = httptest.NewServer(s.mux)
	t.Cleanup(s.Server.Close)
	t.Cleanup(func() { close(s.held) })
	return s
}

// Timing keeps a value below rum.home: a browser in a program's hands sends below rum.bot.
func (s *pages) Timing(key string, ms float64) {
	key = strings.Replace(key, "rum.bot.", "rum.", 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent[key] = append(s.sent[key], ms)
}

func (s *pages) Count(key string, n float64) { s.Timing(key, n) }

func (s *pages) timings(key string) []float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent[key]
}

func (s *pages) serve(path, body string) {
	kept, answers := s.kept, new(atomic.Int64)
	s.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		trace := "4bf92f3577b34da6a3ce929d0e0e4736"
		if kept {
			trace = traceOf(answers.Add(1))
			w.Header().Set("Cache-Control", "public, max-age=60")
			w.Header().Set("ETag", `"same"`)
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Server-Timing", `app;dur=12.5, db;dur=3;desc="2", trace;desc="`+trace+`"`)
		if kept && r.Header.Get("If-None-Match") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		fmt.Fprint(w, "<!doctype html><html lang=en>"+body)
	})
}

// traceOf is the trace id of a page's nth answer, if browsers may keep it.
func traceOf(n int64) string { return fmt.Sprintf("%032x", n) }

// measured serves a page with the script, after prelude, which is script too.
func (s *pages) measured(path, prelude, body string) string {
	return s.carrying(`<script src="/rum.js" data-beacon="/rum" data-page="home" defer></script>`, path, prelude, body)
}

// carrying serves a page with an element that brings a script. The page keeps the
// entries that its browser tells it in `seen`, by type.
func (s *pages) carrying(element, path, prelude, body string) string {
	s.serve(path, `<title>measured</title><link rel=icon href="data:,"><script>`+prelude+`
		var seen = {}
		for (const type of ['paint', 'largest-contentful-paint', 'layout-shift', 'event', 'first-input']) {
			seen[type] = []
			if (!PerformanceObserver.supportedEntryTypes.includes(type)) continue
			new PerformanceObserver(list => seen[type].push(...list.getEntries())).observe({ type, buffered: true, durationThreshold: 16 })
		}
		var until = f => new Promise(done => { const look = () => f() ? done() : setTimeout(look, 5); look() })
		var nav = () => performance.getEntriesByType('navigation')[0]
		var painted = () => until(() => nav().loadEventEnd && seen.paint.some(e => e.name === 'first-contentful-paint') && seen['largest-contentful-paint'].length)
	</script>`+element+`<h1>Measured</h1>`+body)
	return s.URL + path
}

// next waits for a beacon.
func (s *pages) next() arrival {
	s.t.Helper()
	return await(s.t, "a beacon", s.got)
}

func await[T any](t *testing.T, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("%s did not come", what)
	}
	return v
}

// end proves that no further beacon comes, that none of the values was dropped,
// and that both stores got the same.
func (s *pages) end(b tab) {
	s.t.Helper()
	// What the browser sent when it left a page went out before what it sends now.
	b.open(s.URL + "/unmeasured")
	b.eval(`fetch('/fence').then(r => r.status)`, nil)
	select {
	case a := <-s.got:
		s.t.Errorf("a beacon too many: %+v", a.raw)
	default:
	}
	families, err := s.reg.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	compared := 0
	for _, f := range families {
		for _, m := range f.Metric {
			labels := map[string]string{}
			for _, l := range m.Label {
				labels[l.GetName()] = l.GetValue()
			}
			key, unit := "rum."+labels["page"]+".", 1000.0
			switch name := f.GetName(); {
			case name == "rum_beacons_total", name == "rum_bot_beacons_total", name == "rum_series_overflow_total", name == "rum_page_errors_total", name == "rum_views_total", name == "rum_not_restored_total", name == "rum_values_late_total", name == "rum_network_errors_total", name == "rum_web_vital_ratings_total":
				continue
			case name == "rum_values_dropped_total":
				s.t.Errorf("a real browser's value was dropped: %v", labels)
				continue
			case name == "rum_user_timing_seconds":
				key += "timing." + labels["name"]
			case name == "rum_navigation_phase_seconds":
				key += "nav." + labels["phase"]
			case name == "rum_web_vital_cls":
				key, unit = key+"cls", 1
			default:
				key += strings.TrimSuffix(strings.TrimPrefix(name, "rum_web_vital_"), "_seconds")
			}
			sum := 0.0
			for _, v := range s.timings(key) {
				sum += v
			}
			h := m.Histogram
			if int(h.GetSampleCount()) != len(s.timings(key)) || math.Abs(h.GetSampleSum()*unit-sum) > 1e-6 {
				s.t.Errorf("Prometheus has %d values of %s, %v in all; statsd has %v", h.GetSampleCount(), key, h.GetSampleSum()*unit, s.timings(key))
			}
			if labels["device"] != "bot" {
				s.t.Errorf("a browser in a program's hands is a %s", labels["device"])
			}
			compared++
		}
	}
	if compared == 0 && testutil.CollectAndCount(collector{s.reg}, "rum_beacons_total") == 0 {
		s.t.Error("nothing was compared")
	}
}

// truth is what the page's own entries say.
type truth struct {
	Nav                map[string]any
	FCP, LCP, CLS, INP float64
}

const tellTruth = `({
	nav: nav().toJSON(),
	fcp: seen.paint.filter(e => e.name === 'first-contentful-paint').map(e => e.startTime)[0] || 0,
	lcp: seen['largest-contentful-paint'].map(e => e.startTime).at(-1) || 0,
	cls: seen['layout-shift'].reduce((sum, e) => sum + e.value, 0),
	inp: Math.max(0, ...seen.event.concat(seen['first-input']).filter(e => e.interactionId).map(e => e.duration)),
})`

// loaded waits until the page was painted, and returns its truth.
func loaded(b tab) truth {
	var want truth
	b.eval(`painted().then(() => (`+tellTruth+`))`, &want)
	return want
}

// near says whether two times are the same but for rounding to a tenth of a millisecond.
func near(a, b float64) bool { return math.Abs(a-b) < 0.0501 }

// checkVital compares a vital with the page's truth: in the beacon, and the last
// value of the key in statsd.
func (s *pages) checkVital(a arrival, name string, want float64) {
	s.t.Helper()
	got, ok := a.raw.Vitals[name]
	if !ok || !near(got, want) {
		s.t.Errorf("%s = %v (sent: %t), the page says %v", name, got, ok, want)
	}
	if sent := s.timings("rum." + a.Page + "." + strings.ToLower(name)); len(sent) == 0 || sent[len(sent)-1] != got {
		s.t.Errorf("statsd has %v for %s, the beacon %v", sent, name, got)
	}
}

// checkNavigation compares every attribute, and what the handler made of some.
func (s *pages) checkNavigation(a arrival, want truth) {
	s.t.Helper()
	number := func(name string) float64 { v, _ := want.Nav[name].(float64); return v }
	for name, v := range want.Nav {
		entry, isNumber := v.(float64)
		switch sent, ok := a.raw.Nav[name].(float64); {
		case !isNumber, name == "unloadEventStart", name == "unloadEventEnd", name == "startTime", name == "duration":
		case ok && !near(sent, entry):
			s.t.Errorf("%s = %v, the entry says %v", name, sent, entry)
		case !ok && entry != 0 && strings.Contains(" fetchStart responseStart responseEnd domInteractive domComplete loadEventEnd ", " "+name+" "):
			s.t.Errorf("%s was not sent, the entry says %v", name, entry)
		}
	}
	for phase, value := range map[string]float64{
		"response":       number("responseEnd") - number("responseStart"),
		"request":        number("responseStart") - number("requestStart"),
		"dom_processing": number("domComplete") - number("domInteractive"),
		"page_load":      number("loadEventEnd"),
	} {
		sent := s.timings("rum.home.nav." + phase)
		if len(sent) == 0 || math.Abs(sent[len(sent)-1]-value) > 0.101 { // two roundings
			s.t.Errorf("phase %s = %v, the entry says %v", phase, sent, value)
		}
	}
	if a.Trace() != "4bf92f3577b34da6a3ce929d0e0e4736" {
		s.t.Errorf("trace %q is not that of the response", a.Trace())
	}
	s.checkVital(a, "TTFB", number("responseStart"))
	if p := a.Attribution.TTFB; p == nil || math.Abs(p.Waiting+p.Cache+p.DNS+p.Connection+p.Request-number("responseStart")) > 0.0501 {
		s.t.Errorf("the parts of a TTFB of %v are %+v", number("responseStart"), p)
	}
	if diff := cmp.Diff([]rum.ServerTiming{{Name: "app", Duration: 12.5}, {Name: "db", Duration: 3, Description: "2"}}, []rum.ServerTiming(a.ServerTiming)); diff != "" {
		s.t.Errorf("the server's timings: %s", diff)
	}
}

// checkLCP compares the parts of LCP with the times at which each ended.
func checkLCP(t *testing.T, a arrival, target string, ends ...float64) {
	t.Helper()
	p := a.Attribution.LCP
	if p == nil {
		t.Fatal("LCP has no parts")
	}
	sum := 0.0
	for i, part := range []float64{p.TTFB, p.LoadDelay, p.LoadDuration, p.RenderDelay} {
		if sum += part; math.Abs(sum-ends[i]) > 0.1+0.1*float64(i) { // roundings
			t.Errorf("the parts of LCP are %+v, which should end at %v", p, ends)
		}
	}
	if p.Target != target {
		t.Errorf("LCP is of %q, want %q", p.Target, target)
	}
}

// noise is a picture that has enough in it to be a page's content.
func noise(t *testing.T) []byte {
	t.Helper()
	picture := image.NewGray(image.Rect(0, 0, 600, 400))
	random := rand.NewChaCha8([32]byte{})
	random.Read(picture.Pix)
	var b bytes.Buffer
	if err := png.Encode(&b, picture); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// absent proves that a beacon does not claim what nobody measured.
func absent(t *testing.T, a arrival, names ...string) {
	t.Helper()
	for _, name := range names {
		if v, ok := a.raw.Vitals[name]; ok {
			t.Errorf("%s = %v was sent", name, v)
		}
	}
}

// nature is how browsers differ.
type nature struct {
	shifts   bool // tells of layout shifts, and of long animation frames
	closings int  // of tabs, of which one at least must leave a beacon
}

// views are the tests of both browsers.
func views(t *testing.T, is nature, newTab func(*testing.T) tab) {
	view := func(name string, f func(t *testing.T, s *pages, b tab)) {
		t.Run(name, func(t *testing.T) {
			s, b := newPages(t), newTab(t)
			f(t, s, b)
			if !t.Failed() {
				s.end(b)
			}
		})
	}
	leave := func(s *pages, b tab) arrival {
		b.open(s.URL + "/unmeasured")
		return s.next()
	}

	view("navigate and reload say what the entries say", func(t *testing.T, s *pages, b tab) {
		url := s.measured("/page", "", "<p>Text")
		b.open(url)
		for _, kind := range []string{"navigate", "reload"} {
			want := loaded(b)
			if kind == "navigate" {
				b.reload()
			} else {
				b.open(s.URL + "/unmeasured")
			}
			a := s.next()
			if a.Nav.Type != kind || a.Page != "home" {
				t.Errorf("a %s of %q, want a %s of home", a.Nav.Type, a.Page, kind)
			}
			s.checkNavigation(a, want)
			s.checkVital(a, "FCP", want.FCP)
			s.checkVital(a, "LCP", want.LCP)
			first := want.Nav["responseStart"].(float64)
			checkLCP(t, a, "html>body>h1", first, first, first, want.LCP)
			if is.shifts {
				s.checkVital(a, "CLS", 0)
			} else {
				absent(t, a, "CLS")
			}
			absent(t, a, "INP")
			if n := len(s.timings("window.performance.navigation.type." + kind)); n != 0 {
				t.Errorf("%d of type %s among people's in statsd, want none of a program", n, kind)
			}
		}
	})

	view("a page that the browser has kept tells nothing of the request before", func(t *testing.T, s *pages, b tab) {
		s.kept = true
		url := s.measured("/page", "", "")
		look := func(what, kind, trace string, tells func() arrival) {
			t.Helper()
			want := loaded(b)
			a := tells()
			if kept := trace == ""; a.Nav.Type != kind || a.Nav.Cached != kept || a.Nav.Trace != trace || (a.ServerTiming == nil) != kept {
				t.Errorf("%s: a %s (kept: %t) of trace %q, with %+v; want a %s of %q", what, a.Nav.Type, a.Nav.Cached, a.Nav.Trace, a.ServerTiming, kind, trace)
			}
			if at := want.Nav["responseStart"].(float64); at > 0 {
				s.checkVital(a, "TTFB", at)
			} else { // Firefox says nothing of when it had the first byte of what it keeps
				absent(t, a, "TTFB")
			}
		}
		left := func() arrival { return leave(s, b) }
		b.open(url)
		look("the first view", "navigate", traceOf(1), left)
		b.open(url)
		look("what was kept", "navigate", "", func() arrival {
			b.reload()
			return s.next()
		})
		look("what the server has found unchanged", "reload", traceOf(2), left)
		b.open(url)
		look("what was kept since", "navigate", "", left)
		for source, want := range map[string]float64{"server": 2, "browser_cache": 2} {
			if got := counted(t, s.reg, "rum_views_total", "home", source); got != want {
				t.Errorf("%v views from %s are counted, want %v", got, source, want)
			}
		}
	})

	view("a return from the back/forward cache is a view of its own", func(t *testing.T, s *pages, b tab) {
		// The page's own listener asks for its frames after the script's does, and gets the same.
		b.open(s.measured("/page", `addEventListener('pageshow', e => {
			if (e.persisted) requestAnimationFrame(() => requestAnimationFrame(at => { restored = at - e.timeStamp }))
		})
		var restored = 0`, ""))
		loaded(b)
		if a := leave(s, b); a.Nav.Type != "navigate" {
			t.Fatalf("the first view is a %s", a.Nav.Type)
		}
		b.back()
		var want float64
		b.eval(`until(() => restored).then(() => restored)`, &want)
		a := leave(s, b)
		if a.Nav.Type != "back-forward-cache" || len(a.raw.Nav) != 1 {
			t.Errorf("the second view's navigation is %v", a.raw.Nav)
		}
		s.checkVital(a, "FCP", want)
		s.checkVital(a, "LCP", want)
		absent(t, a, "TTFB", "INP")
		if n := len(s.timings("rum.home.nav.response")); n != 1 {
			t.Errorf("%d responses for one fetch", n)
		}
		b.back()
		b.eval(`until(() => restored)`, nil)
		if a := leave(s, b); a.Nav.Type != "back-forward-cache" {
			t.Errorf("the third view is a %s", a.Nav.Type)
		}
	})

	// unseen opens a page in the background.
	unseen := func(s *pages, b tab) {
		t.Helper()
		loaded := make(chan struct{}, 1)
		s.mux.HandleFunc("/loaded", func(http.ResponseWriter, *http.Request) { loaded <- struct{}{} })
		url := s.measured("/page", `addEventListener('load', () => setTimeout(() => fetch('/loaded')))`, "")
		b.away()
		b.begin(url)
		await(s.t, "the page's load", loaded)
	}

	view("a tab that nobody ever saw was not painted", func(t *testing.T, s *pages, b tab) {
		unseen(s, b)
		b.begin(s.URL + "/unmeasured")
		a := s.next()
		absent(t, a, "FCP", "LCP", "CLS", "INP")
		if a.Vitals.TTFB == nil || a.Nav.ResponseEnd == 0 {
			t.Errorf("its navigation is %+v, which happened all the same", a.Nav)
		}
	})

	view("a tab that was opened in the background and looked at later has no paint times", func(t *testing.T, s *pages, b tab) {
		unseen(s, b)
		b.show()
		b.eval(`until(() => seen.paint.length)`, nil)
		absent(t, leave(s, b), "FCP", "LCP", "CLS")
	})

	view("a look at another tab ends the view, and nothing is sent twice", func(t *testing.T, s *pages, b tab) {
		b.open(s.measured("/page", "", ""))
		want := loaded(b)
		b.away()
		a := s.next()
		s.checkVital(a, "LCP", want.LCP)
		b.show()
		b.away()
		b.show()
		b.reload()
		if a := leave(s, b); a.Nav.Type != "reload" {
			t.Errorf("after the look came a %s", a.Nav.Type)
		}
	})

	view("pagehide is enough, where no visibilitychange comes", func(t *testing.T, s *pages, b tab) {
		b.open(s.measured("/page", `addEventListener('visibilitychange', e => e.stopImmediatePropagation(), true)`, ""))
		want := loaded(b)
		s.checkVital(leave(s, b), "LCP", want.LCP)
	})

	view("a beacon survives its tab", func(t *testing.T, s *pages, b tab) {
		url := s.measured("/page", "", "")
		for range is.closings {
			b.open(url)
			want := loaded(b)
			b.close()
			select {
			case a := <-s.got:
				s.checkNavigation(a, want)
				s.checkVital(a, "LCP", want.LCP)
				return
			case <-time.After(patience / time.Duration(is.closings)):
			}
		}
		t.Errorf("of %d closed tabs none left a beacon", is.closings)
	})

	view("a page that is left before it has loaded has no load", func(t *testing.T, s *pages, b tab) {
		ready := make(chan struct{}, 1)
		s.mux.HandleFunc("/ready", func(http.ResponseWriter, *http.Request) { ready <- struct{}{} })
		b.begin(s.measured("/page", `addEventListener('DOMContentLoaded', () => fetch('/ready'))`, `<img src="/hang" alt="">`))
		await(t, "the page's end", ready)
		a := leave(s, b)
		if a.Nav.LoadEventEnd != 0 || a.Nav.DOMInteractive == 0 || a.Vitals.TTFB == nil {
			t.Errorf("navigation %+v", a.Nav)
		}
		if sent := s.timings("rum.home.nav.page_load"); len(sent) != 0 {
			t.Errorf("page_load = %v", sent)
		}
	})

	view("a page that shifts its content has the CLS of its shifts", func(t *testing.T, s *pages, b tab) {
		b.open(s.measured("/page", "", `<div id=top></div><p style="height:400px;background:#ccc">Below`))
		loaded(b)
		b.eval(`new Promise(done => requestAnimationFrame(() => { top_ = document.getElementById('top'); top_.style.height = '150px';
			requestAnimationFrame(() => requestAnimationFrame(() => { top_.style.height = '250px'; requestAnimationFrame(() => done()) })) }))`, nil)
		if !is.shifts {
			absent(t, leave(s, b), "CLS")
			return
		}
		b.eval(`until(() => seen['layout-shift'].length >= 2)`, nil)
		var want truth
		b.eval(tellTruth, &want)
		a := leave(s, b)
		if math.Abs(a.raw.Vitals["CLS"]-want.CLS) > 0.00006 || want.CLS < 0.05 {
			t.Errorf("CLS = %v, the page says %v", a.raw.Vitals["CLS"], want.CLS)
		}
		var largest rum.CLSAttribution
		b.back()
		b.eval(`(e => ({ value: e.value, time: e.startTime }))(seen['layout-shift'].reduce((a, b) => b.value > a.value ? b : a))`, &largest)
		if p := a.Attribution.CLS; p == nil || math.Abs(p.Value-largest.Value) > 0.00006 || !near(p.Time, largest.Time) || p.Target != "html>body>p" {
			t.Errorf("the largest shift is %+v, the page says %+v", p, largest)
		}
		if a := leave(s, b); a.Nav.Type != "back-forward-cache" {
			t.Errorf("the look back was a %s", a.Nav.Type)
		}
	})

	const slow = `<button id=slow onclick="const end = performance.now() + 150; while (performance.now() < end);">Slow</button>`
	view("a slow click is the page's INP", func(t *testing.T, s *pages, b tab) {
		b.open(s.measured("/page", "", slow))
		loaded(b)
		b.click("#slow")
		b.eval(`until(() => seen.event.some(e => e.interactionId && e.duration >= 150))`, nil)
		var want truth
		b.eval(tellTruth, &want)
		var worked float64
		b.eval(`(e => e.processingEnd - e.processingStart)(seen.event.find(e => e.name === 'click'))`, &worked)
		a := leave(s, b)
		s.checkVital(a, "INP", want.INP)
		p, script := a.Attribution.INP, ""
		if is.shifts {
			script = "event-listener"
		}
		switch {
		case p == nil:
			t.Error("INP has no parts")
		case math.Abs(p.InputDelay+p.Processing+p.Presentation-want.INP) > 0.2, p.Processing < min(worked, want.INP)-0.1:
			t.Errorf("an INP of %v with %v ms of work has the parts %+v", want.INP, worked, p)
		case p.Event != "click" || p.Target != "#slow" || p.Script != script:
			t.Errorf("the interaction is %+v", p)
		}
	})

	view("LCP's parts are those of its picture", func(t *testing.T, s *pages, b tab) {
		s.mux.HandleFunc("/picture", func(w http.ResponseWriter, _ *http.Request) { w.Write(noise(t)) })
		b.open(s.measured("/page", "", `<img id=hero src="/picture" width=600 height=400 alt="">`))
		loaded(b)
		b.eval(`until(() => seen['largest-contentful-paint'].at(-1).url)`, nil)
		var want struct{ First, Request, Response, LCP float64 }
		b.eval(`(e => ({ first: nav().responseStart, request: e.requestStart, response: e.responseEnd, lcp: seen['largest-contentful-paint'].at(-1).startTime }))(
			performance.getEntriesByName(location.origin + '/picture')[0])`, &want)
		checkLCP(t, leave(s, b), "#hero", want.First, want.Request, min(want.LCP, want.Response), want.LCP)
	})

	view("what the page times itself is told", func(t *testing.T, s *pages, b tab) {
		b.open(s.measured("/page", "", ""))
		loaded(b)
		var want struct{ Before, Marked, After float64 }
		b.eval(`(() => {
			const before = performance.now()
			rum.mark('search')
			const marked = performance.now()
			rum.measure('mine', 'search')
			rum.measure('since', before)
			rum.measure('never', 'not made')
			rum.measure('later', marked + 1e6)
			rum.error(new Error('4711'))
			for (let i = 0; i < 20; i++) rum.mark('mark' + i)
			return { before, marked, after: performance.now() }
		})()`, &want)
		a := leave(s, b)
		within := map[string][2]float64{
			"search": {want.Before, want.Marked}, "mine": {0, want.After - want.Before}, "since": {want.Marked - want.Before, want.After - want.Before},
		}
		for _, timing := range a.Timings {
			if bounds, ok := within[timing.Name]; ok && timing.Value > bounds[0]-0.1 && timing.Value < bounds[1]+0.1 {
				delete(within, timing.Name)
			}
		}
		if len(within) > 0 || len(a.Timings) != 16 {
			t.Errorf("of %d timings these are missing or wrong: %v; got %+v", len(a.Timings), within, a.Timings)
		}
		if n, others := len(s.timings("rum.home.timing.search")), len(s.timings("rum.home.timing.other")); n != 1 || others != 15 {
			t.Errorf("statsd has %d timings of search and %d others, want 1 and 15", n, others)
		}
		if a.Errors.Error != 1 {
			t.Errorf("the errors are %+v, want the one that the page told of", a.Errors)
		}
	})

	view("the module does what the script does", func(t *testing.T, s *pages, b tab) {
		b.open(s.carrying(`<script type="module">
			import { start, mark, measure, error } from '/rum.mjs'
			start({ beacon: '/rum', page: 'home' })
			mark('search')
			measure('mine', 'search')
			error()
		</script>`, "/page", "", ""))
		want := loaded(b)
		a := leave(s, b)
		s.checkNavigation(a, want)
		s.checkVital(a, "LCP", want.LCP)
		if len(a.Timings) != 2 || a.Errors.Error != 1 || a.Attribution.LCP == nil {
			t.Errorf("the beacon tells of %+v, %+v, %+v", a.Timings, a.Errors, a.Attribution)
		}
	})

	view("pages that want less have the navigation alone", func(t *testing.T, s *pages, b tab) {
		b.open(s.carrying(`<script src="/rum-nav.js" data-beacon="/rum" data-page="home" defer></script>`, "/page", "", ""))
		want := loaded(b)
		a := leave(s, b)
		if a.Nav.ResponseEnd == 0 || !near(a.Nav.LoadEventEnd, want.Nav["loadEventEnd"].(float64)) || a.Trace() == "" || a.raw.Vitals != nil {
			t.Errorf("the beacon tells of %+v and %v", a.Nav, a.raw.Vitals)
		}
	})

	view("or with the vitals, but not what they are made of", func(t *testing.T, s *pages, b tab) {
		b.open(s.carrying(`<script src="/rum-vitals.js" data-beacon="/rum" data-page="home" defer></script>`, "/page", "", slow))
		want := loaded(b)
		b.click("#slow")
		b.eval(`until(() => seen.event.some(e => e.interactionId && e.duration >= 150))`, nil)
		var after truth
		b.eval(tellTruth, &after)
		a := leave(s, b)
		s.checkVital(a, "LCP", want.LCP)
		s.checkVital(a, "INP", after.INP)
		if a.Attribution.LCP != nil || a.Attribution.INP != nil || a.ServerTiming != nil {
			t.Errorf("the beacon tells of %+v", a.Attribution)
		}
	})

	for name, prelude := range map[string]string{
		"a beacon that the browser refuses goes another way": "",
		"and where it can send nothing later, it is kept alive": `window.fetchLater = undefined
			const send = fetch // any other would end with its page, on a network that is slower than this one
			window.fetch = (url, options) => !options || options.keepalive ? send(url, options) : Promise.reject(new Error('it ended'))
			`,
	} {
		view(name, func(t *testing.T, s *pages, b tab) {
			b.open(s.measured("/page", prelude+`navigator.sendBeacon = () => false`, ""))
			want := loaded(b)
			a := leave(s, b)
			s.checkNavigation(a, want)
			s.checkVital(a, "LCP", want.LCP)
		})
	}

	view("what a click brings is no LCP, and a script's own click ends nothing", func(t *testing.T, s *pages, b tab) {
		b.open(s.measured("/page", "", `<button id=more onclick="more('click')">More</button><script>
			var more = id => document.body.insertAdjacentHTML('beforeend', '<p id=' + id + ' style="font-size:' + (id === 'click' ? 80 : 40) + 'px">' + 'More and more text. '.repeat(9))
			</script>`))
		loaded(b)
		b.eval(`(document.dispatchEvent(new MouseEvent('click')), document.dispatchEvent(new KeyboardEvent('keydown')), more('script'))`, nil)
		b.eval(`until(() => seen['largest-contentful-paint'].at(-1).id === 'script')`, nil)
		var want truth
		b.eval(tellTruth, &want)
		b.click("#more")
		b.eval(`new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))`, nil)
		s.checkVital(leave(s, b), "LCP", want.LCP)
	})

	for _, wish := range []string{"globalPrivacyControl", "doNotTrack"} {
		view(wish+" is honoured", func(t *testing.T, s *pages, b tab) {
			b.open(s.measured("/page", b.refuse(wish), ""))
			loaded(b)
			var said any
			b.eval(`navigator.`+wish, &said)
			if said != true && said != "1" {
				t.Fatalf("navigator.%s is %v", wish, said)
			}
		})
	}

	view("errors are counted, and nothing of them is told", func(t *testing.T, s *pages, b tab) {
		b.open(s.measured("/page", `
			document.head.insertAdjacentHTML('beforeend', '<meta http-equiv="Content-Security-Policy" content="frame-src \'none\'; img-src \'self\' data:">')
			addEventListener('load', () => {
				setTimeout(() => { throw new Error('4711') })
				setTimeout(() => { throw new Error('4711') })
				Promise.reject(new Error('4711'))
				document.body.append(document.createElement('iframe'))
				document.querySelector('iframe').src = '/secret'
			})
			addEventListener('load', () => document.body.insertAdjacentHTML('beforeend', '<img src="https://extension.invalid/1.png" alt="">'))
			addEventListener('securitypolicyviolation', e => happened.push(e.blockedURI))
			addEventListener('error', e => { if (e.target !== window) happened.push(e.target.localName) }, true)
			var happened = []`, ""))
		loaded(b)
		b.eval(`until(() => happened.includes('img') && happened.some(what => what.endsWith('/secret')))`, nil)
		a := leave(s, b)
		a.Errors.Other = 0 // Firefox tells of the frame too, and that before its violation
		// What the policy has blocked is not told again as what could not be loaded.
		if want := (rum.Errors{Error: 2, Rejection: 1, CSP: 2}); a.Errors != want {
			t.Errorf("the beacon tells of %+v, want %+v", a.Errors, want)
		}
		if got := counted(t, s.reg, "rum_page_errors_total", "bot", "error", "home"); got != 2 {
			t.Errorf("%v errors are counted, want 2", got)
		}
	})

	view("what could not be loaded is counted by the kind of element, before the script came and after", func(t *testing.T, s *pages, b tab) {
		s.mux.HandleFunc("/drawn", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			w.Write(noise(t))
		})
		b.open(s.carrying("", "/page", `var failed = 0
			addEventListener('error', () => failed++, true)`, `<img src="/secret/none.png" alt=""><script src="/secret/none.js"></script><link rel=stylesheet href="/secret/none.css"><img src="/drawn" alt="">`))
		b.eval(`until(() => failed === 3 && document.images[1].naturalWidth && performance.getEntriesByType('resource').length >= 4)`, nil)
		bring := func(tag, attributes string) {
			t.Helper()
			b.eval(`new Promise(done => { const e = Object.assign(document.createElement('`+tag+`'), {`+attributes+`}); e.onload = e.onerror = () => done(); document.body.append(e) })`, nil)
		}
		b.eval(`new Promise(done => { const e = document.createElement('script'); Object.assign(e.dataset, { beacon: '/rum', page: 'home' }); e.src = '/rum.js'; e.onload = () => done(); document.body.append(e) })`, nil)
		// An event that comes after all, of what was found failed.
		b.eval(`void document.images[0].dispatchEvent(new Event('error'))`, nil)
		for range 2 {
			bring("img", `src: '/secret/late.png'`)
		}
		bring("img", `src: '/drawn'`)
		bring("script", `src: '/secret/late.js'`)
		bring("link", `rel: 'stylesheet', href: '/secret/late.css'`)
		bring("video", `src: '/secret/late.webm'`)
		a := leave(s, b)
		if want := (rum.Errors{Image: 3, Script: 2, Link: 2, Other: 1}); a.Errors != want {
			t.Errorf("the beacon tells of %+v, want %+v", a.Errors, want)
		}
		for kind, want := range map[string]float64{"load_image": 3, "load_script": 2, "load_link": 2, "load_other": 1} {
			if got := counted(t, s.reg, "rum_page_errors_total", "bot", kind, "home"); got != want {
				t.Errorf("%v of %s are counted, want %v", got, kind, want)
			}
		}
	})

	view("a page that is not sampled sends nothing", func(t *testing.T, s *pages, b tab) {
		b.open(s.measured("/page", `Math.random = () => 1`, ""))
		loaded(b)
		b.open(s.carrying(`<script src="/rum.js" data-beacon="/rum" data-page="home" data-sample="0" defer></script>`, "/none", `Math.random = () => 0`, ""))
		loaded(b)
	})
}

func TestViewsInChromium(t *testing.T) {
	browser := chromium(t)
	views(t, nature{shifts: true, closings: 1}, func(t *testing.T) tab { return newChromiumTab(t, browser) })
}

func TestViewsInFirefox(t *testing.T) {
	// Without the add-ons that the machine has for every user: some speak for the user.
	browser := enginetest.Firefox(t, enginetest.Prefs{"extensions.enabledScopes": 1})
	// Firefox ends a site's process with the site's last tab, and now and then what
	// the process was sending with it: 6 beacons of 25 on a busy machine.
	views(t, nature{closings: 6}, func(t *testing.T) tab { return newFirefoxTab(t, browser) })
}

// imagesSend has a page of a site that is named send a beacon by new Image(), as boomerang does by GET,
// to another origin, and one whose policy keeps its address.
func imagesSend(t *testing.T, b tab) {
	reg := prometheus.NewRegistry()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, "<!doctype html><html lang=en><title>shop</title><h1>Shop</h1>")
	}))
	defer site.Close()
	beacons := httptest.NewServer(rum.NewHandler(rum.Config{Origins: []string{site.URL}}, reg, keys{}, slog.New(slog.DiscardHandler)))
	defer beacons.Close()
	b.open(site.URL)
	for i, policy := range []string{"", "no-referrer"} {
		b.eval(fmt.Sprintf(`new Promise(done => { const i = new Image(); i.referrerPolicy = %q; i.onload = i.onerror = () => done(true); i.src = %q })`,
			policy, beacons.URL+"/rum?nt_nav_st=1000&nt_res_st=1001"), nil)
		if taken, refused := counted(t, reg, "rum_beacons_total", "boomerang", "accepted"), counted(t, reg, "rum_beacons_total", "unknown", "foreign"); taken != 1 || refused != float64(i) {
			t.Errorf("of policy %q %v are taken, and %v are foreign", policy, taken, refused)
		}
	}
}

func TestImagesOfOtherSitesSendInChromium(t *testing.T) {
	imagesSend(t, newChromiumTab(t, chromium(t)))
}

func TestImagesOfOtherSitesSendInFirefox(t *testing.T) {
	imagesSend(t, newFirefoxTab(t, enginetest.Firefox(t, enginetest.Prefs{})))
}
