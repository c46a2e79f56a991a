package rum_test

import (
	"math"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"addons/rum"
	"addons/server/enginetest"
)

// theirs is what the web-vitals library has told of a view, beside our script.
type theirs struct {
	Values      rum.Vitals
	Attribution rum.Attribution
	TTFB        *rum.TTFBAttribution // which Attribution does not decode
}

// asked has a page ask web-vitals' attribution build, by its own names. It tells the last
// of what it knows when the page is hidden.
const asked = `<script src="/web-vitals.js"></script><script>
	var told = {}
	const part = {
		LCP: a => ({ ttfb: a.timeToFirstByte, loadDelay: a.resourceLoadDelay, loadDuration: a.resourceLoadDuration, renderDelay: a.elementRenderDelay, target: a.target }),
		INP: a => ({ inputDelay: a.inputDelay, processing: a.processingDuration, presentation: a.presentationDelay, target: a.interactionTarget, script: a.longestScript?.entry.invokerType }),
		CLS: a => a.largestShiftTime === undefined ? null : { value: a.largestShiftValue, time: a.largestShiftTime, target: a.largestShiftTarget },
		TTFB: a => ({ waiting: a.waitingDuration, cache: a.cacheDuration, dns: a.dnsDuration, connection: a.connectionDuration, request: a.requestDuration }),
		FCP: () => null,
	}
	for (const name in part) webVitals['on' + name](m => {
		const view = told[m.navigationType] ||= { values: {}, attribution: {} }
		view.values[name] = m.value
		view.attribution[name] = part[name](m.attribution)
		view.ttfb = view.attribution.TTFB
	}, { reportSoftNavs: true })
</script>`

// agreement views a page that has everything, and compares what is told of it.
func agreement(t *testing.T, is nature, b tab) {
	s := newPages(t)
	s.mux.HandleFunc("/web-vitals.js", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, filepath.Join(enginetest.URL(t, "CLIENTS"), "web-vitals", "dist", "web-vitals.attribution.iife.js"))
	})
	s.mux.HandleFunc("/picture", func(w http.ResponseWriter, _ *http.Request) { w.Write(noise(t)) })
	b.open(s.measured("/page", "", asked+softPage+`<div id=space></div><main class="wide column"><img src="/picture" width=600 height=400 alt=""><p>Below</main>
		<form><button class="buy now" type=button onclick="for (const end = performance.now() + 150; performance.now() < end;);">Slow</button></form>`))
	loaded(b)
	b.eval(`until(() => seen['largest-contentful-paint'].at(-1).url)`, nil)
	b.eval(`new Promise(done => requestAnimationFrame(() => { space.style.height = '90px'; requestAnimationFrame(() => requestAnimationFrame(() => done())) }))`, nil)
	b.click(".buy")
	b.eval(`until(() => seen.event.some(e => e.name === 'click' && e.duration >= 150))`, nil)
	check := func(a arrival, kind string) {
		t.Helper()
		var told map[string]theirs
		b.eval(`told`, &told)
		want, ok := told[kind]
		if !ok {
			t.Fatalf("web-vitals knows no %s: %v", kind, told)
		}
		want.Attribution.TTFB = want.TTFB
		if kind == "soft-navigation" { // which was asked of no server: they say 0
			want.Values.TTFB, want.Attribution.TTFB = nil, nil
		}
		if ours, theirs := a.Attribution.INP, want.Attribution.INP; ours != nil && theirs != nil {
			theirs.Event = ours.Event // they say pointer or keyboard
			if theirs.Target == "" {
				theirs.Target = ours.Target // they look at the first event alone, whose target is not always known
			}
			if ours.Script == "" && ours.Target == "#go" {
				theirs.Script = "" // the browser may tell of the frame after the soft navigation, which ends the view
			}
		}
		round := cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) <= 0.2 }) // of parts, which are rounded each
		if diff := cmp.Diff(want.Values, a.Vitals, cmpopts.EquateApprox(0, 0.051)); diff != "" {
			t.Errorf("%s: web-vitals (−) and rum.js (+): %s", kind, diff)
		}
		if diff := cmp.Diff(want.Attribution, a.Attribution, round); diff != "" {
			t.Errorf("%s: web-vitals (−) and rum.js (+): %s", kind, diff)
		}
	}
	if !is.shifts { // nor does it tell of soft navigations
		b.away()
		check(s.next(), "navigate")
		return
	}
	b.click("#go")
	first := s.next()
	b.eval(`until(() => soft['interaction-contentful-paint'].some(e => e.largestContentfulPaint?.id === 'larger'))`, nil)
	b.away()
	second := s.next()
	check(first, "navigate")
	check(second, "soft-navigation")
}

func TestTheScriptAgreesWithWebVitalsInChromium(t *testing.T) {
	agreement(t, nature{shifts: true}, newChromiumTab(t, chromium(t)))
}

func TestTheScriptAgreesWithWebVitalsInFirefox(t *testing.T) {
	agreement(t, nature{}, newFirefoxTab(t, enginetest.Firefox(t, enginetest.Prefs{"extensions.enabledScopes": 1})))
}
