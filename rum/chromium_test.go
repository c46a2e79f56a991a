package rum_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/cdproto/profiler"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"addons/rum"
)

// softPage goes to /soft within the page at a click, after some work, says so to the script, and
// paints more later.
const softPage = `<button id=go onclick="go()">Go</button><div id=shown>Old</div><script>
	var soft = { 'soft-navigation': [], 'interaction-contentful-paint': [] }
	for (const type in soft) new PerformanceObserver(list => soft[type].push(...list.getEntries())).observe({ type, buffered: true })
	function go () {
		for (const end = performance.now() + 150; performance.now() < end;);
		history.pushState({}, '', '/soft?q=secret')
		document.querySelector('script[data-page]').dataset.page = 'soft'
		shown.innerHTML = '<h2 id=first style="font-size:40px">New view, and more text of it</h2>'
		until(() => soft['soft-navigation'].length).then(() => shown.insertAdjacentHTML('beforeend', '<p id=larger style="font-size:80px">Much larger text that comes later</p>'))
	}
</script>`

func TestASoftNavigationIsAViewOfItsOwn(t *testing.T) {
	s, b := newPages(t), newChromiumTab(t, chromium(t))
	b.open(s.measured("/page", "", softPage))
	want := loaded(b)
	b.click("#go")
	first := s.next() // it ends when the next begins
	b.eval(`until(() => soft['interaction-contentful-paint'].some(e => e.largestContentfulPaint?.id === 'larger') && seen.event.some(e => e.name === 'click'))`, nil)
	var entries struct{ Click, FCP, LCP float64 }
	b.eval(`(e => ({
		click: Math.max(...seen.event.filter(e => e.interactionId).map(e => e.duration)),
		fcp: e.presentationTime - e.startTime,
		lcp: soft['interaction-contentful-paint'].at(-1).largestContentfulPaint.renderTime - e.startTime,
	}))(soft['soft-navigation'][0])`, &entries)
	b.open(s.URL + "/unmeasured")
	second := s.next()

	if first.Nav.Type != "navigate" || first.Page != "home" {
		t.Errorf("the first view is a %s of %q", first.Nav.Type, first.Page)
	}
	s.checkNavigation(first, want)
	if got := first.raw.Vitals; !near(got["LCP"], want.LCP) || got["INP"] != entries.Click || got["INP"] < 150 {
		t.Errorf("the first view's vitals are %v: its LCP was %v, and the click took %v", got, want.LCP, entries.Click)
	}
	if second.Nav.Type != "soft-navigation" || second.Page != "soft" || len(second.raw.Nav) != 1 {
		t.Errorf("the second view is %v of %q", second.raw.Nav, second.Page)
	}
	if all := first.body + second.body; strings.Contains(all, "/soft") || strings.Contains(all, "secret") {
		t.Errorf("the beacons tell of an address:\n%s", all)
	}
	absent(t, second, "TTFB", "INP")
	s.checkVital(second, "FCP", entries.FCP)
	s.checkVital(second, "LCP", entries.LCP)
	s.checkVital(second, "CLS", 0)
	checkLCP(t, second, "#larger", 0, 0, 0, entries.LCP)
	if second.ServerTiming != nil {
		t.Errorf("the server's timings of nothing are %+v", second.ServerTiming)
	}
	s.end(b)
}

func TestAnInteractionAfterASoftNavigationIsItsOwn(t *testing.T) {
	s, b := newPages(t), newChromiumTab(t, chromium(t))
	b.open(s.measured("/page", "", softPage+`<button id=slow onclick="const end = performance.now() + 150; while (performance.now() < end);">Slow</button>`))
	loaded(b)
	b.click("#go")
	s.next()
	b.click("#slow")
	var slow float64
	b.eval(`until(() => seen.event.some(e => e.name === 'click' && e.target?.id === 'slow')).then(() => {
		const { interactionId } = seen.event.find(e => e.name === 'click' && e.target?.id === 'slow')
		return Math.max(...seen.event.filter(e => e.interactionId === interactionId).map(e => e.duration))
	})`, &slow)
	b.open(s.URL + "/unmeasured")
	a := s.next()
	s.checkVital(a, "INP", slow)
	if p := a.Attribution.INP; p == nil || p.Target != "#slow" {
		t.Errorf("the interaction is %+v", p)
	}
	s.end(b)
}

// A tab that DevTools hold prerenders nothing, so that this one is told what to do by the
// server alone.
func TestAPrerenderedPageIsAViewOnceItIsSeen(t *testing.T) {
	browser := chromium(t)
	s := newPages(t)
	loadedUnseen, told, leave := make(chan string, 1), make(chan truth, 1), make(chan struct{})
	s.mux.HandleFunc("/loaded", func(_ http.ResponseWriter, r *http.Request) { loadedUnseen <- r.URL.RawQuery })
	s.mux.HandleFunc("/show", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case state := <-loadedUnseen:
			if state != "true" {
				t.Errorf("the page is prerendering: %s", state)
			}
		case <-r.Context().Done():
		}
	})
	s.mux.HandleFunc("/truth", func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var is truth
		if err := json.Unmarshal(body, &is); err != nil {
			t.Errorf("the page said %s: %v", body, err)
		}
		told <- is
	})
	s.mux.HandleFunc("/leave", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-leave:
		case <-r.Context().Done():
		}
	})
	s.measured("/page", `addEventListener('load', () => setTimeout(() => fetch('/loaded?' + document.prerendering)))`, `<script>
		painted().then(() => fetch('/truth', { method: 'POST', body: JSON.stringify(`+tellTruth+`) })).then(() => fetch('/leave')).then(() => { location.href = '/unmeasured' })
	</script>`)
	s.measured("/never", "", "")
	s.serve("/from", `<title>from</title><script type=speculationrules>{"prerender":[{"source":"list","urls":["/page","/never"],"eagerness":"immediate"}]}</script>
		<script>fetch('/show').then(() => { location.href = '/page' })</script>`)
	opened, err := chromedp.CallBrowser(browser, target.CreateTarget, target.CreateTargetParams{URL: s.URL + "/from"})
	if err != nil {
		t.Fatal(err)
	}
	want := await(t, "what the page knows of itself", told)
	close(leave)
	a := s.next()
	activation := want.Nav["activationStart"].(float64)
	if a.Nav.Type != "prerender" || !near(a.Nav.ActivationStart, activation) || !near(a.Nav.LoadEventEnd, want.Nav["loadEventEnd"].(float64)) || activation == 0 {
		t.Errorf("navigation %+v, the entry says %v", a.Nav, want.Nav)
	}
	s.checkVital(a, "TTFB", 0)
	s.checkVital(a, "FCP", max(0, want.FCP-activation))
	s.checkVital(a, "LCP", max(0, want.LCP-activation))
	if load := s.timings("rum.home.nav.page_load"); len(load) != 1 || load[0] != 0 {
		t.Errorf("page_load = %v, want 0: it had loaded before it was shown", load)
	}
	if _, err := chromedp.CallBrowser(browser, target.CloseTarget, target.CloseTargetParams(opened)); err != nil {
		t.Error(err)
	}
	s.end(newChromiumTab(t, browser)) // nobody has seen /never
}

func TestAReturnToAPageThatWasNotKeptSaysWhy(t *testing.T) {
	s, b := newPages(t), newChromiumTab(t, chromium(t))
	s.measured("/page", "", "")
	s.mux.HandleFunc("/gone", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNotFound) // what is an error is not kept
		r.URL.Path = "/page"
		s.mux.ServeHTTP(w, r)
	})
	b.open(s.URL + "/gone")
	loaded(b)
	var confidence rum.Confidence
	b.eval(`nav().confidence`, &confidence)
	b.open(s.URL + "/unmeasured")
	a := s.next()
	if a.Confidence == nil || *a.Confidence != confidence || confidence.Value == "" || len(a.NotRestored) != 0 {
		t.Errorf("the first view has %+v, and was not kept for %q; the page says %+v", a.Confidence, a.NotRestored, confidence)
	}
	b.back()
	loaded(b)
	var want []string
	b.eval(`nav().notRestoredReasons.reasons.map(r => r.reason)`, &want)
	b.open(s.URL + "/unmeasured")
	if a = s.next(); a.Nav.Type != "back_forward" || !slices.Equal(a.NotRestored, want) || !slices.Contains(want, "response-status-not-ok") {
		t.Errorf("the view after is a %s of a page that was not kept for %q; the page says %q", a.Nav.Type, a.NotRestored, want)
	}
	// A frame tells its own reasons, or none to a page of another origin.
	b.open(s.measured("/framed", `Object.defineProperty(PerformanceNavigationTiming.prototype, 'notRestoredReasons', { get: () => ({
		reasons: null, children: [{ reasons: [{ reason: 'lock' }], children: [{ reasons: [{ reason: 'websocket' }, { reason: 'lock' }], children: null }] }] }) })`, ""))
	loaded(b)
	b.open(s.URL + "/unmeasured")
	if a = s.next(); !slices.Equal(a.NotRestored, []string{"lock", "websocket"}) {
		t.Errorf("a page with frames was not kept for %q", a.NotRestored)
	}
	for reason, want := range map[string]float64{"response-status-not-ok": 1, "lock": 1, "websocket": 1} {
		if n := counted(t, s.reg, "rum_not_restored_total", "home", reason); n != want {
			t.Errorf("%v of %s are counted, want %v", n, reason, want)
		}
	}
	s.end(b)
}

// keeping has a page note what it gives to fetchLater.
const keeping = `var kept = [], later = fetchLater
	fetchLater = (url, options) => { kept.push(JSON.parse(options.body)); return later(url, options) }
	`

// crash ends the tab's process, and with it the answer to the command.
func crash(b *chromiumTab) {
	ctx, stop := context.WithCancel(b.ctx)
	var crashing sync.WaitGroup
	crashing.Go(func() { chromedp.Call(ctx, page.Crash, cdp.Empty{}) })
	b.t.Cleanup(func() {
		stop()
		crashing.Wait()
	})
}

func TestAPageThatCrashesHasToldOfItself(t *testing.T) {
	browser := chromium(t)
	s, b := newPages(t), newChromiumTab(t, browser)
	b.open(s.measured("/page", keeping, `<button id=slow onclick="const end = performance.now() + 150; while (performance.now() < end);">Slow</button>`))
	loaded(b)
	b.click("#slow")
	b.eval(`until(() => kept.length && kept.at(-1).nav.loadEventEnd && kept.at(-1).vitals.INP)`, nil)
	var want truth
	b.eval(tellTruth, &want)
	crash(b)
	a := s.next()
	s.checkNavigation(a, want)
	s.checkVital(a, "LCP", want.LCP)
	s.checkVital(a, "INP", want.INP)
	s.end(newChromiumTab(t, browser))
}

func TestAPageThatCrashesBeforeItHasLoadedHasToldOfItself(t *testing.T) {
	browser := chromium(t)
	s, b := newPages(t), newChromiumTab(t, browser)
	ready := make(chan struct{}, 1)
	s.mux.HandleFunc("/kept", func(http.ResponseWriter, *http.Request) { ready <- struct{}{} })
	b.begin(s.carrying(`<script src="/rum-nav.js" data-beacon="/rum" data-page="home" defer></script>`, "/page", keeping+`addEventListener('DOMContentLoaded', () => until(() => kept.length).then(() => fetch('/kept')))`, `<img src="/hang" alt="">`))
	await(t, "what is to be sent later", ready)
	crash(b)
	if a := s.next(); a.Nav.ResponseStart == 0 || a.Nav.LoadEventEnd != 0 {
		t.Errorf("navigation %+v", a.Nav)
	}
	s.end(newChromiumTab(t, browser))
}

func TestAPageThatEndsWellTellsOfItselfOnce(t *testing.T) {
	s, b := newPages(t), newChromiumTab(t, chromium(t))
	b.open(s.measured("/page", keeping, ""))
	loaded(b)
	b.eval(`until(() => kept.length)`, nil)
	b.away()
	if a := s.next(); a.Nav.LoadEventEnd == 0 {
		t.Errorf("navigation %+v", a.Nav)
	}
	b.close() // now whatever was kept goes out
	s.end(b)
}

// refusing has the browser take no beacon at a view's end but a fetch, and the page note what
// it has given to fetchLater before.
const refusing = `var kept = [], later = fetchLater
	fetchLater = (url, options) => {
		if (options.activateAfter === 0) throw new DOMException('full', 'QuotaExceededError')
		kept.push(options.signal)
		return later(url, options)
	}
	navigator.sendBeacon = () => false
	`

func TestWhatIsKeptIsTakenBackWhenAFetchHasToldOfIt(t *testing.T) {
	s, b := newPages(t), newChromiumTab(t, chromium(t))
	b.open(s.measured("/page", refusing, ""))
	loaded(b)
	b.eval(`until(() => kept.length)`, nil)
	b.away()
	if a := s.next(); a.Nav.LoadEventEnd == 0 {
		t.Errorf("navigation %+v", a.Nav)
	}
	b.eval(`until(() => kept.every(signal => signal.aborted))`, nil)
	b.close() // now whatever was kept goes out
	s.end(b)
}

func TestWhatIsKeptGoesOutWhenNothingElseDoes(t *testing.T) {
	s, b := newPages(t), newChromiumTab(t, chromium(t))
	b.open(s.measured("/page", refusing+`var send = fetch, refused = 0
		fetch = (url, options) => options ? Promise.reject(new TypeError('refused')).finally(() => refused++) : send(url)`, ""))
	loaded(b)
	b.eval(`until(() => kept.length)`, nil)
	b.away()
	b.eval(`until(() => refused)`, nil)
	b.close()
	if a := s.next(); a.Nav.ResponseStart == 0 {
		t.Errorf("navigation %+v", a.Nav)
	}
	s.end(b)
}

func TestAViewThatHasEndedTellsNothingWhenThePageHasLoaded(t *testing.T) {
	s, b := newPages(t), newChromiumTab(t, chromium(t))
	ready, release := make(chan struct{}, 1), make(chan struct{})
	s.mux.HandleFunc("/ready", func(http.ResponseWriter, *http.Request) { ready <- struct{}{} })
	s.mux.HandleFunc("/late", func(http.ResponseWriter, *http.Request) { <-release })
	b.begin(s.measured("/page", keeping+`addEventListener('DOMContentLoaded', () => fetch('/ready'))`, `<img src="/late" alt="">`))
	await(t, "the page's end", ready)
	b.eval(`until(() => kept.length)`, nil)
	b.away()
	s.next()
	close(release)
	// Were it told of later, it would be within a second.
	b.eval(`until(() => nav().loadEventEnd).then(() => new Promise(done => setTimeout(done, 1200)))`, nil)
	b.close()
	s.end(b)
}

// slowdown is that of a cheap phone beside a laptop.
const slowdown = 4

// cost is what a page view took of the main thread, in milliseconds of the slow processor.
type cost struct {
	task, script float64 // all of it, and its scripts
	long         float64 // how many tasks had 50 ms and more
	blamed       float64 // the longest stretch of rum.js in a long frame
	own, leaving float64 // rum.js until the page was left, and then, as a profiler sees it
}

// TestTheScriptCausesNoLongTask views the same busy page with the script and without,
// on a processor that is four times as slow, by turns. A profiler, which costs something
// itself, looks at other views.
func TestTheScriptCausesNoLongTask(t *testing.T) {
	const turns = 5
	browser := chromium(t)
	s := newPages(t)
	s.mux.HandleFunc("/picture", func(w http.ResponseWriter, _ *http.Request) { w.Write(noise(t)) })
	const watch = `var long = [], blamed = 0
		new PerformanceObserver(list => long.push(...list.getEntries())).observe({ type: 'longtask', buffered: true })
		new PerformanceObserver(list => list.getEntries().forEach(f => f.scripts.forEach(x => {
			if (x.sourceURL.endsWith('/rum.js')) blamed = Math.max(blamed, x.duration)
		}))).observe({ type: 'long-animation-frame', buffered: true })
		`
	busy := `<img src="/picture" width=600 height=400 alt="">` + strings.Repeat(`<section class="card wide"><h2>Head</h2><p>Some text of a page that has some of it.</p></section>`, 300) +
		`<button id=press onclick="const end = performance.now() + 60; while (performance.now() < end); document.querySelector('section').style.height = '99px'">Press</button>`
	with := s.measured("/with", watch, busy)
	without := s.carrying("", "/without", watch, busy)
	var bare, carrying, profiled []cost
	for range turns {
		bare = append(bare, measureCost(t, s, browser, without, false))
		carrying = append(carrying, measureCost(t, s, browser, with, false))
		profiled = append(profiled, measureCost(t, s, browser, with, true))
	}
	of := func(all []cost, what func(cost) float64) float64 {
		slices.SortFunc(all, func(a, b cost) int { return cmp.Compare(what(a), what(b)) })
		return what(all[len(all)/2])
	}
	// Other work of the machine makes a stretch longer now and then: what the script does
	// itself, it does every time.
	if at := of(slices.Concat(carrying, profiled), func(c cost) float64 { return c.blamed }); at >= 50 {
		t.Errorf("rum.js runs for %.0f ms at once", at)
	}
	for name, all := range map[string][]cost{"without": bare, "with": carrying} {
		t.Logf("%s rum.js: all tasks %.0f ms, scripts %.0f ms, %.0f long tasks (medians of %d)", name,
			of(all, func(c cost) float64 { return c.task }), of(all, func(c cost) float64 { return c.script }), of(all, func(c cost) float64 { return c.long }), turns)
	}
	own := of(profiled, func(c cost) float64 { return c.own })
	t.Logf("rum.js itself: %.1f ms, and %.1f when the page is left; %.1f at the most", own, of(profiled, func(c cost) float64 { return c.leaving }), profiled[len(profiled)-1].own)
	if own == 0 {
		t.Error("the profiler has not seen rum.js: nothing was measured")
	}
}

// measureCost views the page, presses its button three times and leaves it.
func measureCost(t *testing.T, s *pages, browser context.Context, url string, profile bool) (c cost) {
	t.Helper()
	b := newChromiumTab(t, browser)
	defer b.close_()
	call(t, b.ctx, emulation.SetCPUThrottlingRate, emulation.SetCPUThrottlingRateParams{Rate: slowdown})
	call(t, b.ctx, performance.Enable, performance.EnableParams{})
	start := func() {}
	stop := func() float64 { return 0 }
	if profile {
		call(t, b.ctx, profiler.Enable, cdp.Empty{})
		call(t, b.ctx, profiler.SetSamplingInterval, profiler.SetSamplingIntervalParams{Interval: 200}) // µs
		start = func() { call(t, b.ctx, profiler.Start, cdp.Empty{}) }
		stop = func() float64 { return ownTime(call(t, b.ctx, profiler.Stop, cdp.Empty{}).Profile) }
	}
	start()
	b.open(url)
	loaded(b)
	for n := 1; n <= 3; n++ {
		b.click("#press")
		b.eval(fmt.Sprintf(`until(() => seen.event.filter(e => e.name === 'click').length >= %d)`, n), nil)
	}
	// What is to be told later is written within a second: the page waits as long as the script.
	b.eval(`new Promise(done => setTimeout(done, 1200))`, nil)
	c.own = stop()
	start()
	b.away()
	if strings.HasSuffix(url, "/with") {
		s.next()
	}
	c.leaving = stop()
	for _, m := range call(t, b.ctx, performance.GetMetrics, cdp.Empty{}).Metrics {
		switch m.Name {
		case "TaskDuration":
			c.task = m.Value * 1000
		case "ScriptDuration":
			c.script = m.Value * 1000
		}
	}
	b.eval(`long.length`, &c.long)
	b.eval(`blamed`, &c.blamed)
	b.closeAnother()
	return c
}

func call[P, R any](t *testing.T, ctx context.Context, command cdp.Command[P, R], params P) R {
	t.Helper()
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	r, err := chromedp.Call(ctx, command, params)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// ownTime is for how long (ms) a function of rum.js, or what it has called, was running.
func ownTime(p *profiler.Profile) (ms float64) {
	own := map[int64]bool{}
	var mark func(id int64, inside bool)
	nodes := map[int64]*profiler.ProfileNode{}
	for _, n := range p.Nodes {
		nodes[n.ID] = n
	}
	mark = func(id int64, inside bool) {
		n := nodes[id]
		inside = inside || strings.HasSuffix(n.CallFrame.URL, "/rum.js")
		own[id] = inside
		for _, child := range n.Children {
			mark(child, inside)
		}
	}
	mark(p.Nodes[0].ID, false)
	for i, id := range p.Samples {
		if own[id] {
			ms += float64(p.TimeDeltas[i]) / 1000
		}
	}
	return math.Round(ms*100) / 100
}
