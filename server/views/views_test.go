package views

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"addons/dashboards/console"
	"addons/rum"
	"addons/server/metrics"
)

const trace = "4bf92f3577b34da6a3ce929d0e0e4736"

// slow is a view whose response took its time, and whose paint waited for it.
func slow() rum.View {
	return rum.View{
		At: time.Now(), Page: "addon", Device: "desktop", Connection: "4g", Type: "navigate", Trace: trace,
		Samples: []rum.Sample{{Vital: "lcp", Value: 3000}, {Vital: "ttfb", Value: 2600}, {Phase: "request", Value: 2590}},
		Nav:     rum.Navigation{FetchStart: 1, RequestStart: 10, ResponseStart: 2600, ResponseEnd: 2610, DOMInteractive: 2700, DOMComplete: 2900, LoadEventStart: 2900, LoadEventEnd: 2901},
	}
}

// served has recent know of a request that waited for a query.
func served(recent *metrics.Recent, took time.Duration) {
	reg := metrics.New(nil)
	ctx, l := metrics.Begin(context.Background(), "00-"+trace+"-00f067aa0ba902b7-01")
	query := reg.Histogram(metrics.Desc{Name: "q_seconds", Help: "Queries.", Labels: []metrics.Label{metrics.L("query", "addon_by_slug", "<b>")}, Keys: []string{"db.sqlite.{query}"}, Span: "db"})
	query.With("addon_by_slug").Observe(ctx, took*9/10)
	query.With("<b>").Observe(ctx, took/100)
	query.With("<b>").Observe(ctx, took/100)
	recent.Keep(l, "/:locale/:app/addon/:addon/", time.Now().Add(-took))
}

func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w.Code, w.Body.String()
}

func TestASlowViewLeadsToItsQuery(t *testing.T) {
	recent := metrics.NewRecent(10)
	served(recent, 2500*time.Millisecond)
	store := NewStore(recent)
	store.Add(slow())
	h := New(Config{Store: store, Pages: []string{"addon", "home"}}, console.New("/views/", nil))
	for _, path := range []string{"/views/", "/views/recent", "/views/recent?page=addon", "/views/page/addon"} {
		status, list := get(t, h, path)
		if status != 200 || !strings.Contains(list, `<a href="/views/1">addon 1</a>`) || !strings.Contains(list, `<span class="badge warn">3.00 s <span aria-hidden="true">△</span><span class="hidden">needs improvement</span></span>`) || !strings.Contains(list, "2500 ms") {
			t.Errorf("%s: status %d, the list is\n%s", path, status, list)
		}
	}
	for _, path := range []string{"/views/1", "/views/trace/" + trace} {
		status, page := get(t, h, path)
		for _, want := range []string{
			"The server worked 2500 ms, of which db.sqlite.addon_by_slug took 2250 in one call.", "<code>/:locale/:app/addon/:addon/</code> took 2500 ms · db 2300 ms in 3",
			"<code>db.sqlite.addon_by_slug</code>", `<rect class="server" x="`, `<td>server</td>`, `<a href="/views/page/addon">addon</a>`, "<code>db.sqlite._b_</code>", "trace <code>" + trace,
		} {
			if status != 200 || !strings.Contains(page, want) {
				t.Errorf("%s: status %d, no %q in\n%s", path, status, want, page)
			}
		}
	}
	for _, path := range []string{"/views/2", "/views/x", "/views/trace/", "/views/trace/0", "/views/-1", "/views/page/other", "/views/page/%22%7d"} {
		if status, _ := get(t, h, path); status != 404 {
			t.Errorf("%s: status %d, want 404", path, status)
		}
	}
	if _, other := get(t, h, "/views/recent?page=home"); !strings.Contains(other, "None is kept") {
		t.Errorf("views of another page are\n%s", other)
	}
}

func TestAViewOfAKeptPageClaimsNoRequest(t *testing.T) {
	store := NewStore(metrics.NewRecent(1))
	kept := slow()
	kept.Trace, kept.Nav.Cached, kept.NotRestored = "", true, []string{"lock", "masked"}
	store.Add(kept)
	_, page := get(t, New(Config{Store: store, Pages: []string{"addon"}}, console.New("/views/", nil)), "/views/1")
	for _, want := range []string{"navigate · from the browser’s cache ·", "Nothing: the browser had the page from an earlier view", "had not kept it: <code>lock</code> <code>masked</code>"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
	if strings.Contains(page, "not among the last") {
		t.Errorf("the server is said to have forgotten what it was not asked:\n%s", page)
	}
}

func TestWhyAViewWasSlow(t *testing.T) {
	elsewhere := func(v *view, timings ...rum.ServerTiming) {
		v.Request, v.ServerTiming = metrics.Done{}, timings
	}
	for name, c := range map[string]struct {
		change func(v *view)
		want   string
	}{
		"good":              {func(v *view) { v.Samples = []rum.Sample{{Vital: "lcp", Value: 2500}} }, "All vitals are good."},
		"in the browser":    {func(v *view) { v.Nav.ResponseStart, v.Nav.ResponseEnd, v.Samples[1].Value = 100, 120, 100 }, "passed in the browser"},
		"a soft navigation": {func(v *view) { v.Nav = rum.Navigation{} }, "All of the 3000 ms passed in the browser: the page made this view itself."},
		"for an image": {func(v *view) {
			v.Nav.ResponseStart, v.Nav.ResponseEnd, v.Samples[1].Value = 100, 120, 100
			v.Attribution.LCP = &rum.LCPAttribution{TTFB: 100, LoadDelay: 300, LoadDuration: 2400, RenderDelay: 200, Target: "img.icon"}
		}, "Of LCP, 2400 ms passed loading it (painted img.icon)."},
		"a download":   {func(v *view) { v.Nav.RequestStart, v.Nav.ResponseStart, v.Nav.ResponseEnd = 100, 300, 2400 }, "The response took 2100 ms of 3000 to arrive"},
		"a redirect":   {func(v *view) { v.Nav.RequestStart = 2500 }, "2500 ms of 3000 passed before the request was sent"},
		"on the way":   {func(v *view) { v.Request.Took = 20 * time.Millisecond }, "the network is slow"},
		"from a cache": {func(v *view) { v.Nav.Cached = true }, "though the page came from the browser's cache"},
		"nobody knows": {func(v *view) { elsewhere(v) }, "not among the last"},
		"another process": {func(v *view) {
			elsewhere(v, rum.ServerTiming{Name: "app", Duration: 2500}, rum.ServerTiming{Name: "db", Duration: 2300})
		}, "worked 2500 ms, of which db took 2300, as its response said."},
		"another process's code": {func(v *view) { elsewhere(v, rum.ServerTiming{Name: "app", Duration: 2500}) }, "worked 2500 ms, mostly without"},
		"in the server's code":   {func(v *view) { v.Request.Works = nil }, "without waiting for a query"},
		"in a query":             {func(*view) {}, "db.sqlite.addon_by_slug took 2250"},
		"in many of one queries": {func(v *view) { v.Request.Works[1].Total, v.Request.Works[1].Count = 2400*time.Millisecond, 300 }, "in 300 calls"},
		"an input": {func(v *view) {
			v.Samples = []rum.Sample{{Vital: "lcp", Value: 900}, {Vital: "inp", Value: 600}}
			v.Attribution.INP = &rum.INPAttribution{InputDelay: 20, Processing: 500, Presentation: 80, Event: "click", Target: "button", Script: "event-listener"}
		}, "INP is 600 ms, of which 500 ms passed in the handlers (event click, on button, longest script event-listener)."},
		"a shift": {func(v *view) {
			v.Samples = []rum.Sample{{Vital: "cls", Value: .4}}
			v.Attribution.CLS = &rum.CLSAttribution{Value: .35, Time: 1200, Target: "div.ad"}
		}, "CLS is 0.40 (largest shift 0.35, after 1200 ms, moved div.ad)."},
	} {
		recent := metrics.NewRecent(1)
		served(recent, 2500*time.Millisecond)
		v := &view{View: slow()}
		v.Request, _ = recent.Find(trace)
		c.change(v)
		if got := v.why(); !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestAViewShowsWhatItsVitalsAreMadeOf(t *testing.T) {
	v := slow()
	v.Samples = append(v.Samples, rum.Sample{Vital: "inp", Value: 350}, rum.Sample{Vital: "cls", Value: .3})
	v.ServerTiming = []rum.ServerTiming{{Name: "app", Duration: 2500}, {Name: "db", Duration: 2300.4, Description: "3"}, {Name: "trace", Description: "<i>" + trace}}
	v.Attribution = rum.Attribution{
		LCP:  &rum.LCPAttribution{TTFB: 2600, LoadDelay: 100, LoadDuration: 200, RenderDelay: 100, Target: "<img>"},
		INP:  &rum.INPAttribution{InputDelay: 50, Processing: 200, Presentation: 100, Event: "keydown", Target: "#q", Script: "event-listener"},
		CLS:  &rum.CLSAttribution{Value: .25, Time: 900, Target: "div.banner"},
		TTFB: &rum.TTFBAttribution{Connection: 10, Request: 2590},
	}
	v.Timings = []rum.Timing{{Name: "<hero>", Value: 12}}
	store := NewStore(nil)
	store.Add(v)
	_, page := get(t, New(Config{Store: store}, console.New("/views/", nil)), "/views/1")
	for _, want := range []string{
		`<th scope="row"><code>db</code></th><td class="number">2300</td><td><code>3</code></td>`, "<td><code>&lt;i&gt;" + trace, `of it db</th><td>server</td>`,
		`Largest Contentful Paint <span class="badge warn">3.00 s`, `until the element&#39;s resource was asked for</th><td class="number">100</td><td aria-hidden="true"><svg class="bar-of" aria-hidden="true"><rect class="info" x="86.67%"`,
		"<dt>painted</dt><dd><code>&lt;img&gt;</code>", "<dt>event</dt><dd><code>keydown</code>", "<dt>longest script</dt><dd><code>event-listener</code>", "<dt>moved</dt><dd><code>div.banner</code>",
		`connecting</th><td class="number">10</td>`, "<code>&lt;hero&gt;</code> 12 ms",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
}

func TestTheSlowestViewsAreOfThePageAndTheDevice(t *testing.T) {
	store := NewStore(nil)
	for i, v := range []struct {
		page, device string
		lcp          float64
	}{{"addon", "desktop", 3000}, {"addon", "mobile", 9000}, {"addon", "desktop", 5000}, {"home", "desktop", 8000}, {"addon", "bot", 7000}, {"addon", "desktop", 4000}} {
		one := slow()
		one.Page, one.Device, one.Trace = v.page, v.device, fmt.Sprint("trace", i)
		one.Samples = []rum.Sample{{Vital: "lcp", Value: v.lcp}}
		store.Add(one)
	}
	for a, want := range map[among]string{{"addon", "desktop"}: "[3 6]", {"addon", ""}: "[2 3]", {"", "bot"}: "[5]", {"", ""}: "[2 4]"} {
		var got []int
		for _, v := range store.slowest(vitals[0], a, 2) {
			got = append(got, v.Number)
		}
		if fmt.Sprint(got) != want {
			t.Errorf("slowest of %+v: %v, want %s", a, got, want)
		}
	}
	if got := store.slowest(vitals[1], among{}, 2); len(got) > 0 {
		t.Errorf("%d views whose INP was not measured", len(got))
	}
	if !store.Has("trace1") || store.Has("") || store.Has("trace9") || (*Store)(nil).Has("trace1") {
		t.Error("Has")
	}
}

func TestAViewIsRatedAtTheLimits(t *testing.T) {
	for value, want := range map[float64]string{2500: "good", 2500.1: "needs improvement", 4000: "needs improvement", 4000.1: "poor"} {
		v := &view{View: rum.View{Samples: []rum.Sample{{Vital: "lcp", Value: value}}}}
		if got := shownOf(v, "lcp").Rating.Text; got != want {
			t.Errorf("LCP of %v ms is %s, want %s", value, got, want)
		}
	}
	v := &view{View: rum.View{Samples: []rum.Sample{{Vital: "cls", Value: .1}}}}
	if got := shownOf(v, "cls"); got != (shown{good, "0.10"}) || shownOf(v, "inp") != (shown{unrated, "–"}) {
		t.Errorf("CLS of 0.1 is shown as %v", got)
	}
}

// TestProgramsDoNotPushPeopleOut has a crawler come by that makes ten thousand views.
func TestProgramsDoNotPushPeopleOut(t *testing.T) {
	store := NewStore(nil)
	for i := range 10_000 {
		v := slow()
		v.Device, v.Trace = bot, fmt.Sprint("bot", i)
		store.Add(v)
		if i%1000 == 500 {
			v.Device, v.Trace = "mobile", fmt.Sprint("person", i)
			store.Add(v)
		}
	}
	people, programs := store.newest(among{}), store.newest(among{Device: bot})
	if len(people) != 10 || people[0].Trace != "person9500" || people[9].Trace != "person500" {
		t.Errorf("%d views of people are kept", len(people))
	}
	if len(programs) != keptPrograms || programs[0].Trace != "bot9999" || programs[keptPrograms-1].Trace != "bot9950" {
		t.Errorf("%d views of programs are kept", len(programs))
	}
	if !store.Has("person500") || !store.Has("bot9999") || store.Has("bot500") {
		t.Error("a view that is kept is not found")
	}
	h := New(Config{Store: store, Pages: []string{"addon", "home"}}, console.New("/views/", nil))
	for _, path := range []string{"/views/", "/views/recent", "/views/recent?page=addon&device=mobile", "/views/page/addon"} {
		_, page := get(t, h, path)
		if got := strings.Count(page, "<td>mobile</td>"); got != 10 || strings.Contains(page, "<td>bot</td>") {
			t.Errorf("%s lists %d views of people, and programs': %t", path, got, strings.Contains(page, "<td>bot</td>"))
		}
		if link := `<a href="/views/recent?device=bot">50 of programs</a>`; !strings.Contains(page, link) && path != "/views/page/addon" {
			t.Errorf("%s does not lead to programs", path)
		}
	}
	for path, want := range map[string]int{"/views/?device=bot": 10, "/views/recent?device=bot": 50, "/views/recent?page=home&device=bot": 0} {
		_, page := get(t, h, path)
		if got := strings.Count(page, "<td>bot</td>"); got != want || strings.Contains(page, "of programs</a>") {
			t.Errorf("%s lists %d views of programs, want %d", path, got, want)
		}
	}
}

func TestViewsAreBoundedAndGoodOnesASample(t *testing.T) {
	store := NewStore(nil)
	for i := range 2*kept + 7 {
		v := slow()
		v.Page = fmt.Sprint("page", i)
		store.Add(v)
	}
	all := store.newest(among{})
	if len(all) != kept || all[0].Page != fmt.Sprint("page", 2*kept+6) || store.find(1, "") != nil || store.find(2*kept, "") == nil {
		t.Errorf("%d views are kept, the newest of %s", len(all), all[0].Page)
	}
	good := NewStore(nil)
	for range 95 {
		v := slow()
		v.Samples = nil
		good.Add(v)
	}
	if got := len(good.newest(among{})); got != 10 {
		t.Errorf("of 95 good views %d are kept, want one in ten", got)
	}
}
