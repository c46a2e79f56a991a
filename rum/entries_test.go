package rum_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// told is what a browser would tell: entries by type, those that are on their way
// when the page is left, and what it says itself.
type told struct {
	Entries      map[string][]entry `json:"entries"`
	Late         map[string][]entry `json:"late"`
	Nav          entry              `json:"nav"`
	Interactions int                `json:"interactions"`
}

type entry map[string]any

// instead has the page tell that instead of what is so. The time is 20 s, so that
// all of it is past.
func (x told) instead(t *testing.T) (script string) {
	body, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	return `const told = ` + string(body) + `
		const real = performance.getEntriesByType.bind(performance)
		performance.getEntriesByType = type => type === 'navigation' ? [{ type: 'navigate', responseStart: 20, ...told.nav }] : real(type)
		performance.now = () => 20000
		Object.defineProperty(performance, 'interactionCount', { value: told.interactions })
		PerformanceObserver = class {
			static supportedEntryTypes = PerformanceObserver.supportedEntryTypes
			constructor (each) { this.each = each }
			observe ({ type }) {
				this.type = type
				const entries = told.entries?.[type] || (type === 'paint' ? [{ name: 'first-contentful-paint', startTime: 50 }] : [])
				if (entries.length) this.each({ getEntries: () => entries })
			}
			takeRecords () { return told.late?.[this.type]?.splice(0) || [] }
			disconnect () {}
		}
		`
}

func shifts(value float64, at ...float64) []entry {
	var all []entry
	for _, ms := range at {
		all = append(all, entry{"startTime": ms, "value": value})
	}
	return all
}

func TestVitalsOfEntriesThatSeldomCome(t *testing.T) {
	var clicks []entry // twelve of a hundred and twenty: 400 ms, 390 ms…
	for i := range 12 {
		clicks = append(clicks, entry{"startTime": 1000 * i, "interactionId": 7 * (i + 1), "duration": 400 - 10*i})
	}
	browser := chromium(t)
	for _, c := range []struct {
		name string
		told told
		want map[string]float64
	}{
		{"a window of shifts is 5 s long from its first shift on",
			told{Entries: map[string][]entry{"layout-shift": shifts(.01, 300, 1200, 2100, 3000, 3900, 4800, 5200)}},
			map[string]float64{"TTFB": 20, "FCP": 50, "CLS": .07}},
		{"and begins anew after that",
			told{Entries: map[string][]entry{"layout-shift": shifts(.01, 300, 1200, 2100, 3000, 3900, 4800, 5300)}},
			map[string]float64{"TTFB": 20, "FCP": 50, "CLS": .06}},
		{"or after a second without any; the worst window counts, and no shift soon after an input",
			told{Entries: map[string][]entry{"layout-shift": append(shifts(.02, 2000, 2999, 3999, 6000), entry{"startTime": 6100, "value": 1, "hadRecentInput": true})}},
			map[string]float64{"TTFB": 20, "FCP": 50, "CLS": .04}},
		{"what is on its way when the page is left counts",
			told{Entries: map[string][]entry{"layout-shift": shifts(.02, 2000)}, Interactions: 1, Late: map[string][]entry{
				"layout-shift": shifts(.03, 2500), "event": {{"startTime": 3000, "interactionId": 7, "duration": 96}},
				"largest-contentful-paint": {{"startTime": 400}}}},
			map[string]float64{"TTFB": 20, "FCP": 50, "LCP": 400, "CLS": .05, "INP": 96}},
		{"INP leaves out one interaction of every fifty",
			told{Entries: map[string][]entry{"event": clicks}, Interactions: 120},
			map[string]float64{"TTFB": 20, "FCP": 50, "CLS": 0, "INP": 380}},
		{"the events of an interaction are one; other events are none",
			told{Interactions: 50, Entries: map[string][]entry{
				"first-input": {{"startTime": 900, "interactionId": 7, "duration": 48}},
				"event": {{"startTime": 900, "interactionId": 7, "duration": 104}, {"startTime": 901, "interactionId": 7, "duration": 56},
					{"startTime": 950, "interactionId": 0, "duration": 900}, {"startTime": 2000, "interactionId": 14, "duration": 64}}}},
			map[string]float64{"TTFB": 20, "FCP": 50, "CLS": 0, "INP": 64}},
		{"a first byte that is kept from us is none", // web-vitals#275
			told{Nav: entry{"responseStart": 0}}, map[string]float64{"FCP": 50, "CLS": 0}},
		{"nor is one before the start, or later than now", // web-vitals#137, #162
			told{Nav: entry{"responseStart": 20001}}, map[string]float64{"FCP": 50, "CLS": 0}},
		{"a prerendered page's times count from its activation, and are never negative",
			told{Nav: entry{"activationStart": 500}, Entries: map[string][]entry{
				"paint": {{"name": "first-paint", "startTime": 290}, {"name": "first-contentful-paint", "startTime": 300}}, "largest-contentful-paint": {{"startTime": 800}}}},
			map[string]float64{"TTFB": 0, "FCP": 0, "LCP": 300, "CLS": 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, b := newPages(t), newChromiumTab(t, browser)
			b.open(s.measured("/page", c.told.instead(t), ""))
			b.open(s.URL + "/unmeasured")
			a := s.next()
			if diff := cmp.Diff(c.want, a.raw.Vitals); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatComesLateIsOfTheViewInWhoseTimeItBegan(t *testing.T) {
	s, b := newPages(t), newChromiumTab(t, chromium(t))
	b.open(s.measured("/page", told{
		Entries: map[string][]entry{
			"paint":           {{"name": "first-contentful-paint", "startTime": 50}},
			"soft-navigation": {{"name": "/soft", "startTime": 1000, "interactionId": 7, "paintTime": 1050}},
		},
		Late: map[string][]entry{
			"layout-shift": {{"startTime": 900, "value": .02}, {"startTime": 1600, "value": .03}},
			"event": {
				{"name": "pointerdown", "startTime": 995, "interactionId": 7, "duration": 104, "processingStart": 996, "processingEnd": 997},
				{"name": "click", "startTime": 1000, "interactionId": 7, "duration": 120, "processingStart": 1001, "processingEnd": 1080},
				// What led to the soft navigation goes on after its start, and is not the next view's.
				{"name": "pointercancel", "startTime": 1003, "interactionId": 7, "duration": 136, "processingStart": 1081, "processingEnd": 1082},
				{"name": "click", "startTime": 1700, "interactionId": 14, "duration": 64, "processingStart": 1701, "processingEnd": 1702},
			},
		},
	}.instead(t), ""))
	b.open(s.URL + "/unmeasured")
	for _, want := range []map[string]float64{{"TTFB": 20, "FCP": 50, "CLS": .02, "INP": 120}, {"FCP": 50, "CLS": .03, "INP": 64}} {
		if diff := cmp.Diff(want, s.next().raw.Vitals); diff != "" {
			t.Error(diff)
		}
	}
	s.end(b)
}

// The times of the real one are what they are: this one's are such that it had loaded
// before, and was painted after.
func TestAPrerenderedPagesTimesCountFromItsActivation(t *testing.T) {
	const prelude = `var prerendering = true
		Object.defineProperty(document, 'prerendering', { get: () => prerendering })
		`
	s, b := newPages(t), newChromiumTab(t, chromium(t))
	never := s.measured("/never", prelude, "")
	b.open(never)
	loaded(b)
	b.open(s.measured("/page", prelude+told{Nav: entry{"activationStart": 40, "loadEventEnd": 30, "fetchStart": 10}}.instead(t), ""))
	b.eval(`(prerendering = false, document.dispatchEvent(new Event('prerenderingchange')))`, nil)
	b.open(s.URL + "/unmeasured")
	a := s.next() // the second page's; end would see one of the first
	if a.Nav.Type != "prerender" || a.raw.Vitals["FCP"] != 10 || a.raw.Vitals["TTFB"] != 0 {
		t.Errorf("%v of a page that was activated after 40 ms", a.raw)
	}
	if load := s.timings("rum.home.nav.page_load"); len(load) != 1 || load[0] != 0 {
		t.Errorf("page_load = %v, want 0: it had loaded before", load)
	}
	s.end(b)
}
