package rum_test

import (
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
)

// ledger is a sink that keeps every value of a key.
type ledger struct {
	mu  sync.Mutex
	all map[string][]float64
}

func (l *ledger) Timing(key string, v float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[string][]float64{}
	}
	l.all[key] = append(l.all[key], v)
}

func (l *ledger) Count(string, float64) {}

// vitals are the values of vitals so far, by page and vital.
func (l *ledger) vitals() map[string][]float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	got := map[string][]float64{}
	for key, values := range maps.All(l.all) {
		if name, ok := strings.CutPrefix(key, "rum."); ok && !strings.Contains(name, ".nav.") {
			got[name] = values
		}
	}
	return got
}

// telling is a beacon of boomerang's, and how long after the one before it comes.
type telling struct {
	after time.Duration
	form  string
}

// visit is what boomerang 1.815 says in each beacon of a page.
const visit = "rt.si=5f3a-t1&pid=abcd1234&"

// TestBoomerangsViewsOfAPageAreToldApart has beacons as boomerang.js, rt, continuity, eventtiming,
// painttiming, bfcache and spa of 1.815 make them: n counts a page's beacons, c.cls is since the one
// before, et.inp comes with rt.quit, and after a return there is no rt.quit.
func TestBoomerangsViewsOfAPageAreToldApart(t *testing.T) {
	const (
		home   = "&u=https%3A%2F%2Fshop.example%2F"
		cart   = "&u=https%3A%2F%2Fshop.example%2Fcart"
		load   = visit + "n=1&pt.fcp=600&pt.lcp=1000&c.cls=0.1" + home
		minute = time.Minute
	)
	for _, c := range []struct {
		name  string
		told  []telling
		want  map[string][]float64 // half a minute later, and in the end
		early map[string][]float64 // as soon as the last has come
		late  float64
	}{
		{
			name:  "left long after it was loaded",
			told:  []telling{{0, load}, {20 * minute, visit + "n=2&rt.quit=&c.cls=0.2&et.inp=300" + home}},
			early: map[string][]float64{"home.fcp": {600}, "home.lcp": {1000}},
			want:  map[string][]float64{"home.fcp": {600}, "home.lcp": {1000}, "home.cls": {.3}, "home.inp": {300}},
		},
		{
			name: "left soon",
			told: []telling{{0, load}, {5 * time.Second, visit + "n=2&rt.quit=&c.cls=0.2&et.inp=300" + home}},
			want: map[string][]float64{"home.fcp": {600}, "home.lcp": {1000}, "home.cls": {.3}, "home.inp": {300}},
		},
		{
			name: "never left", // a phone whose browser was killed
			told: []telling{{0, load}, {40 * minute, visit + "n=2&rt.quit=&c.cls=0.2" + home}},
			want: map[string][]float64{"home.fcp": {600}, "home.lcp": {1000}, "home.cls": {.1}},
			late: 1,
		},
		{
			name: "left hours after it was loaded", // as a tab that is kept open
			told: []telling{{0, load}, {3 * time.Hour, visit + "n=2&rt.quit=&c.cls=0.2&et.inp=300" + home}},
			want: map[string][]float64{"home.fcp": {600}, "home.lcp": {1000}, "home.cls": {.1}, "home.inp": {300}},
			late: 1,
		},
		{
			name: "its beacons overtake each other",
			told: []telling{{0, visit + "n=2&rt.quit=&c.cls=0.2&et.inp=300" + home}, {time.Second, load + "&et.inp=8"}},
			want: map[string][]float64{"home.fcp": {600}, "home.lcp": {1000}, "home.cls": {.3}, "home.inp": {300}},
		},
		{
			name: "one comes twice",
			told: []telling{{0, load}, {time.Second, load}, {time.Second, visit + "n=2&rt.quit=&c.cls=0" + home}},
			want: map[string][]float64{"home.fcp": {600}, "home.lcp": {1000}, "home.cls": {.1}},
		},
		{
			name: "told of early, and by the page itself", // which does not reset c.cls
			told: []telling{
				{0, visit + "n=1&early=1&pt.lcp=500&c.cls=0.05" + home}, {time.Second, visit + "n=2&http.initiator=api_custom_metric&c.cls=0.05" + home},
				{time.Second, visit + "n=3&pt.fcp=600&pt.lcp=1000&c.cls=0.1" + home}, {time.Second, visit + "n=4&rt.quit=&c.cls=0.2" + home},
			},
			want: map[string][]float64{"home.fcp": {600}, "home.lcp": {1000}, "home.cls": {.3}},
		},
		{
			name: "with requests in between", // whose u is the request's
			told: []telling{
				{0, load}, {minute, visit + "n=2&http.initiator=xhr&c.cls=0.2&u=https%3A%2F%2Fshop.example%2Fcart&pgu=https%3A%2F%2Fshop.example%2F"},
				{minute, visit + "n=3&rt.quit=&c.cls=0" + home},
			},
			want: map[string][]float64{"home.fcp": {600}, "home.lcp": {1000}, "home.cls": {.3}},
		},
		{
			name: "a return from the back/forward cache",
			told: []telling{
				{0, load}, {minute, visit + "n=2&rt.quit=&c.cls=0.2&et.inp=300" + home},
				{time.Second, visit + "n=3&http.initiator=bfcache&pt.fcp=16&pt.lcp=16&c.cls=0.01" + home},
				{minute, visit + "n=4&http.initiator=bfcache&pt.fcp=20&pt.lcp=20&c.cls=0.02" + home},
			},
			early: map[string][]float64{"home.fcp": {600, 16}, "home.lcp": {1000, 16}, "home.cls": {.3, .01}, "home.inp": {300}},
			want:  map[string][]float64{"home.fcp": {600, 16, 20}, "home.lcp": {1000, 16, 20}, "home.cls": {.3, .01, .02}, "home.inp": {300}},
		},
		{
			name: "soft views",
			told: []telling{
				{0, visit + "n=1&http.initiator=spa_hard&pt.fcp=600&pt.lcp=1000&c.cls=0.1" + home},
				{time.Second, visit + "n=2&http.initiator=spa&c.cls=0.2" + cart}, {time.Second, visit + "n=3&http.initiator=spa&c.cls=0.4" + cart},
				{time.Second, visit + "n=3&http.initiator=spa&c.cls=0.4" + cart}, {time.Hour / 4, visit + "n=4&rt.quit=&c.cls=0.05&et.inp=300" + cart},
			},
			want: map[string][]float64{"home.fcp": {600}, "home.lcp": {1000}, "home.cls": {.1}, "cart.cls": {.2, .45}, "cart.inp": {300}},
		},
		{
			name: "soft views that overtake each other, and what is left of one that is over",
			told: []telling{
				{0, load}, {time.Second, visit + "n=4&http.initiator=spa&c.cls=0.4" + cart}, {time.Second, visit + "n=2&http.initiator=spa&c.cls=0.2" + cart},
				{time.Second, visit + "n=3&http.initiator=xhr&c.cls=0.3" + cart}, {time.Second, visit + "n=5&rt.quit=&c.cls=0" + cart},
			},
			want: map[string][]float64{"home.fcp": {600}, "home.lcp": {1000}, "home.cls": {.1}, "cart.cls": {.2, .4}},
			late: 1,
		},
		{
			name: "returns without a number", // as of no boomerang that we know
			told: []telling{{0, visit + "http.initiator=bfcache&pt.lcp=16" + home}, {0, visit + "http.initiator=bfcache&pt.lcp=17" + home}},
			want: map[string][]float64{"home.lcp": {16, 17}},
		},
		{
			name: "shifts that can't be true together",
			told: []telling{{0, visit + "n=1&c.cls=60" + home}, {0, visit + "n=2&rt.quit=&c.cls=60" + home}},
			want: map[string][]float64{},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reg, sink := prometheus.NewRegistry(), &ledger{}
				h := shop(reg, sink)
				same := func(when string, want map[string][]float64) {
					t.Helper()
					if diff := cmp.Diff(want, sink.vitals(), cmpopts.EquateApprox(0, 1e-9)); diff != "" {
						t.Errorf("%s:\n%s", when, diff)
					}
				}
				for _, one := range c.told {
					time.Sleep(one.after)
					if w := ask(h.ServeHTTP, "POST", "/rum", form, one.form); w.Code != 204 {
						t.Fatal(w.Code, w.Body)
					}
				}
				if c.early != nil {
					synctest.Wait()
					same("at once", c.early)
				}
				time.Sleep(31 * time.Second)
				synctest.Wait()
				same("half a minute later", c.want)
				time.Sleep(time.Hour)
				synctest.Wait()
				same("in the end", c.want)
				if late := counted(t, reg, "rum_values_late_total"); late != c.late {
					t.Errorf("%v are late, want %v", late, c.late)
				}
			})
		})
	}
}

func TestWhatThePageIsYetToTellIsCountedAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &ledger{}
		h := shop(prometheus.NewRegistry(), sink)
		ask(h.ServeHTTP, "POST", "/rum", form, visit+"n=1&c.cls=0.1&u=/")
		time.Sleep(10 * time.Minute)
		if got := sink.vitals(); len(got) > 0 {
			t.Errorf("%v is counted while the page may tell more", got)
		}
		h.Flush()
		if diff := cmp.Diff(map[string][]float64{"home.cls": {.1}}, sink.vitals()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestThePhasesOfASoftSitesFirstPageAreTaken(t *testing.T) {
	sink := &ledger{}
	h := shop(prometheus.NewRegistry(), sink)
	ask(h.ServeHTTP, "POST", "/rum", form, boomerangForm+"&http.initiator=spa_hard")
	if got := sink.all["rum.cart.nav.page_load"]; len(got) != 1 || got[0] != 1480 {
		t.Errorf("its load is %v, want 1480", got)
	}
}
