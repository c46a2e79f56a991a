package rum_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"addons/rum"
)

// detailed is a beacon with all that rum.js can tell.
const detailed = `{"page":"home","connection":"4g","vitals":{"LCP":1190.4,"INP":104,"CLS":0.31,"FCP":600,"TTFB":120},
	"attribution":{"LCP":{"ttfb":120,"loadDelay":80.4,"loadDuration":900,"renderDelay":90,"target":"main>#hero"},
		"INP":{"inputDelay":4,"processing":80,"presentation":20,"event":"pointerup","target":"form>button.buy","script":"event-listener"},
		"CLS":{"value":0.2,"time":900.5,"target":"#advert"}},
	"nav":{"type":"navigate","now":5000,"fetchStart":5,"domainLookupStart":10,"domainLookupEnd":20,"connectStart":20,"connectEnd":50,
		"requestStart":51,"responseStart":120,"responseEnd":140,"trace":"4bf92f3577b34da6a3ce929d0e0e4736"},
	"serverTiming":[{"name":"app","duration":60.5,"description":""},{"name":"db","duration":40,"description":"3"}],
	"timings":[{"name":"search","value":250},{"name":"my own","value":9.5}],"errors":{"error":1}}`

// watching is a handler with a closed list of timings, which hands views on.
func watching(t *testing.T) (h *rum.Handler, reg *prometheus.Registry, sink keys, views *[]rum.View) {
	t.Helper()
	reg, sink, views = prometheus.NewRegistry(), keys{}, &[]rum.View{}
	h = rum.NewHandler(rum.Config{
		Pages: []string{"home", "addon"}, Timings: []string{"search"},
		PageOf: func(path string) string { return strings.TrimPrefix(path, "/") },
		Views:  func(v rum.View) { *views = append(*views, v) },
	}, reg, sink, slog.New(slog.DiscardHandler))
	return h, reg, sink, views
}

func TestAViewHasItsDetails(t *testing.T) {
	h, _, _, views := watching(t)
	if got := post(h, detailed); got != 204 || len(*views) != 1 {
		t.Fatalf("status %d, %d views", got, len(*views))
	}
	v := (*views)[0]
	if v.Type != "navigate" || v.Trace != "4bf92f3577b34da6a3ce929d0e0e4736" || v.Nav.Type+v.Nav.Trace != "" {
		t.Errorf("the view is a %s of trace %s, and keeps the client's words %q %q", v.Type, v.Trace, v.Nav.Type, v.Nav.Trace)
	}
	want := rum.Attribution{
		LCP:  &rum.LCPAttribution{TTFB: 120, LoadDelay: 80.4, LoadDuration: 900, RenderDelay: 90, Target: "main>#hero"},
		INP:  &rum.INPAttribution{InputDelay: 4, Processing: 80, Presentation: 20, Event: "pointerup", Target: "form>button.buy", Script: "event-listener"},
		CLS:  &rum.CLSAttribution{Value: .2, Time: 900.5, Target: "#advert"},
		TTFB: &rum.TTFBAttribution{Waiting: 5, Cache: 5, DNS: 10, Connection: 30, Request: 70},
	}
	if diff := cmp.Diff(want, v.Attribution); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]rum.ServerTiming{{Name: "app", Duration: 60.5}, {Name: "db", Duration: 40, Description: "3"}}, v.ServerTiming); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]rum.Timing{{Name: "search", Value: 250}, {Name: "my own", Value: 9.5}}, v.Timings); diff != "" {
		t.Error(diff)
	}
}

func TestADetailThatCannotBeIsDroppedAlone(t *testing.T) {
	for name, c := range map[string]struct{ old, new, metric, reason string }{
		"a part below zero":            {`"loadDelay":80.4`, `"loadDelay":-1`, "lcp_attribution", "negative"},
		"a part of a year":             {`"presentation":20`, `"presentation":3e10`, "inp_attribution", "too_high"},
		"a selector of 101 bytes":      {"main>#hero", strings.Repeat("x", 101), "lcp_attribution", "text"},
		"a selector with a line":       {"#advert", `a\nb`, "cls_attribution", "text"},
		"a selector that turns around": {"form>button.buy", `\u202e`, "inp_attribution", "text"},
		"an event that is a sentence":  {"pointerup", "Buy now", "inp_attribution", "text"},
		"no event":                     {"pointerup", "", "inp_attribution", "text"},
		"a long description":           {`"description":"3"`, `"description":"` + strings.Repeat("3", 65) + `"`, "server_timing", "text"},
		"a nameless server timing":     {`"name":"db"`, `"name":""`, "server_timing", "text"},
		"a server that worked an hour": {`"duration":40`, `"duration":3.6e6`, "server_timing", "too_high"},
		"a timing's control character": {"my own", `my\u0000own`, "timing", "text"},
		"a timing from the future":     {`"value":9.5`, `"value":-9.5`, "timing", "negative"},
		"a timing of a day":            {`"value":9.5`, `"value":8.64e7`, "timing", "too_high"},
	} {
		h, reg, sink, views := watching(t)
		if got := post(h, strings.Replace(detailed, c.old, c.new, 1)); got != 204 || len(*views) != 1 {
			t.Fatalf("%s: status %d, %d views", name, got, len(*views))
		}
		if n := counted(t, reg, "rum_values_dropped_total", c.metric, c.reason); n != 1 {
			t.Errorf("%s: %v are counted as dropped", name, n)
		}
		v := (*views)[0]
		left := map[string]bool{
			"lcp_attribution": v.Attribution.LCP != nil, "inp_attribution": v.Attribution.INP != nil, "cls_attribution": v.Attribution.CLS != nil,
			"server_timing": len(v.ServerTiming) == 2, "timing": len(v.Timings) == 2,
		}
		for metric, is := range left {
			if is == (metric == c.metric) {
				t.Errorf("%s: %s is there: %t", name, metric, is)
			}
		}
		if sink["rum.home.lcp"] != 1190.4 || sink["rum.home.inp"] != 104 {
			t.Errorf("%s: the vitals themselves are %v", name, sink)
		}
	}
}

func TestWhatIsNotMeasuredHasNoParts(t *testing.T) {
	h, _, _, views := watching(t)
	post(h, strings.Replace(detailed, `"LCP":1190.4,"INP":104,"CLS":0.31,"FCP":600,"TTFB":120`, "", 1))
	post(h, strings.Replace(detailed, `"connectStart":20,"connectEnd":50`, `"connectStart":20,"connectEnd":5000`, 1))
	if diff := cmp.Diff(rum.Attribution{}, (*views)[0].Attribution); diff != "" {
		t.Error(diff)
	}
	if a := (*views)[1].Attribution; a.TTFB != nil || a.LCP == nil {
		t.Errorf("a connection that took longer than all has the parts %+v", a.TTFB)
	}
}

func TestAScriptThatNobodyKnowsIsNone(t *testing.T) {
	h, _, _, views := watching(t)
	post(h, strings.Replace(detailed, "event-listener", "by a spell", 1))
	if inp := (*views)[0].Attribution.INP; inp == nil || inp.Script != "" {
		t.Errorf("the interaction is %+v", inp)
	}
}

func TestDetailsAreBounded(t *testing.T) {
	timings := func(n int) string {
		return `{"page":"home","nav":{"responseStart":1},"timings":[` + strings.TrimSuffix(strings.Repeat(`{"name":"a","value":1},`, n), ",") + `]}`
	}
	h, reg, _, views := watching(t)
	if got := post(h, timings(17)); got != 204 || len((*views)[0].Timings) != 16 || counted(t, reg, "rum_values_dropped_total", "timing", "too_many") != 1 {
		t.Errorf("of 17 timings there are %d", len((*views)[0].Timings))
	}
	if got := post(h, timings(65)); got != 400 {
		t.Errorf("status %d of 65 timings", got)
	}
}

func TestTimingsOfTheListHaveTheirNames(t *testing.T) {
	h, reg, sink, _ := watching(t)
	for i := range 100 {
		post(h, strings.Replace(detailed, "my own", fmt.Sprint("my", i), 1))
	}
	if sink["rum.home.timing.search"] != 250 || sink["rum.home.timing.other"] != 9.5 {
		t.Errorf("statsd has %v", sink)
	}
	if n := testutil.CollectAndCount(collector{reg}, "rum_user_timing_seconds"); n != 2 {
		t.Errorf("%d series of timings, want search and other", n)
	}
}

func TestNamesOfTimings(t *testing.T) {
	for name, ok := range map[string]bool{"search": true, "a-b_9": true, "": false, "A": false, "9": false, "a.b": false, "other": false, strings.Repeat("a", 33): false} {
		if err := (rum.Config{Timings: []string{"x", name}}).Check(); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
	if (rum.Config{Timings: make([]string, 33)}).Check() == nil {
		t.Error("33 names are taken")
	}
}

func TestASoftNavigationIsAViewOfThePageThatItNames(t *testing.T) {
	h, reg, sink, views := watching(t)
	for _, body := range []string{
		`{"page":"addon","vitals":{"LCP":90,"FCP":60,"CLS":0},"nav":{"type":"soft-navigation"}}`,
		`{"page":"/secret?q=mine","vitals":{"LCP":91},"nav":{"type":"soft-navigation"}}`,
		`{"page":"home","vitals":{"FCP":60},"nav":{"type":"back-forward-cache"}}`,
	} {
		if got := post(h, body); got != 204 {
			t.Fatalf("status %d of %s", got, body)
		}
	}
	if got := post(h, `{"url":"/addon","nav":{"type":"soft-navigation"}}`); got != 400 {
		t.Errorf("status %d of an address in the place of a page's name", got)
	}
	if sink["rum.addon.lcp"] != 90 || sink["rum.other.lcp"] != 91 || sink["window.performance.navigation.type.soft-navigation"] != 2 {
		t.Errorf("statsd has %v", sink)
	}
	if n := testutil.CollectAndCount(collector{reg}, "rum_navigation_phase_seconds"); n != 0 {
		t.Errorf("%d phases of what was not fetched", n)
	}
	if len(*views) != 2 || (*views)[0].Page != "addon" || (*views)[0].Type != "soft-navigation" || strings.Contains(fmt.Sprint(*views), "mine") {
		t.Errorf("the views are %+v", *views)
	}
}

func TestReasonsAndConfidenceAreOfClosedSets(t *testing.T) {
	h, reg, _, views := watching(t)
	send := func(rest string, header ...string) {
		t.Helper()
		if w := ask(h.ServeHTTP, "POST", "/rum", "", `{"page":"home","nav":{"type":"back_forward","responseStart":9},`+rest+`}`, header...); w.Code != 204 {
			t.Fatal(w.Code, w.Body)
		}
	}
	many := ""
	for i := range 30 {
		many += fmt.Sprintf(`"made-up-%d",`, i)
	}
	send(`"notRestored":["lock","masked","lock","made up","<b>"],"confidence":{"value":"low","randomizedTriggerRate":0.25}`)
	send(`"notRestored":[` + many + `"lock"],"confidence":{"value":"high","randomizedTriggerRate":0.25}`)
	send(`"confidence":{"value":"low","randomizedTriggerRate":0.25}`, "User-Agent", "Googlebot/2.1")
	for i, bad := range []string{`{"value":"very","randomizedTriggerRate":0.25}`, `{"value":"low","randomizedTriggerRate":-1}`, `{"value":"low","randomizedTriggerRate":1.5}`} {
		send(`"confidence":` + bad)
		reason := []string{"text", "negative", "too_high"}[i]
		if n := counted(t, reg, "rum_values_dropped_total", "confidence", reason); n != 1 {
			t.Errorf("of %s %v are dropped for %s, want 1", bad, n, reason)
		}
	}
	want := map[string]float64{"rum_not_restored_total home lock": 1, "rum_not_restored_total home masked": 1, "rum_not_restored_total home other": 2,
		"rum_confidence_total high home": 1, "rum_confidence_total low home": 1, "rum_confidence_random_total home": .5}
	got := map[string]float64{}
	for _, name := range []string{"rum_not_restored_total", "rum_confidence_total", "rum_confidence_random_total"} {
		for labels, m := range family(t, reg, name) {
			got[name+" "+labels] = m.GetCounter().GetValue()
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if v := (*views)[0]; !slices.Equal(v.NotRestored, []string{"lock", "masked", "other"}) {
		t.Errorf("the view says %q", v.NotRestored)
	}
}
