package rum_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"addons/rum"
)

// family returns a metric's series by their labels' values, in order of the labels' names.
func family(t *testing.T, reg *prometheus.Registry, name string) map[string]*dto.Metric {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*dto.Metric{}
	for _, f := range families {
		for _, m := range f.Metric {
			var values []string
			for _, l := range m.Label {
				values = append(values, l.GetValue())
			}
			if f.GetName() == name {
				all[strings.Join(values, " ")] = m
			}
		}
	}
	return all
}

// above0 are the counters, and the histograms' counts, that are not zero.
func above0(t *testing.T, reg *prometheus.Registry, name string) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	for labels, m := range family(t, reg, name) {
		if n := m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount()); n > 0 {
			all[labels] = n
		}
	}
	return all
}

// TestWhatAlertsWatchBeginsAtZero has the very first event move a series that was there.
func TestWhatAlertsWatchBeginsAtZero(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  rum.Config
		want map[string]int // series by metric
	}{
		{"eleven pages", rum.Config{Pages: strings.Fields("a b c d e f g h i j k")}, map[string]int{"rum_network_errors_total": 33, "rum_page_errors_total": 12 * 21, "rum_views_total": 12 * 4, "rum_web_vital_ratings_total": 105}},
		{"countries", rum.Config{Countries: []string{"de", "fr"}, CountryHeader: "CF-IPCountry"}, map[string]int{"rum_network_errors_total": 33, "rum_page_errors_total": 21, "rum_views_total": 4, "rum_web_vital_ratings_total": 4 * 105}},
		{"room for ratings alone", rum.Config{Pages: []string{"a"}, MaxLabelSets: 213, Countries: []string{"de"}, CountryHeader: "CF-IPCountry"}, map[string]int{"rum_network_errors_total": 33, "rum_page_errors_total": 0, "rum_views_total": 0, "rum_web_vital_ratings_total": 105}},
	} {
		reg := prometheus.NewRegistry()
		rum.NewHandler(c.cfg, reg, keys{}, slog.New(slog.DiscardHandler))
		for name, want := range c.want {
			if got := len(family(t, reg, name)); got != want || len(above0(t, reg, name)) > 0 {
				t.Errorf("%s: %d series of %s, want %d at zero", c.name, got, name, want)
			}
		}
	}
}

func TestRatingsFollowTheThresholdsUpToAndIncluding(t *testing.T) {
	for _, c := range []struct {
		vital string
		value float64
		want  string
	}{
		{"lcp", 2500, "good"}, {"lcp", 2500.1, "needs_improvement"}, {"lcp", 4000, "needs_improvement"}, {"lcp", 4000.1, "poor"},
		{"inp", 200, "good"}, {"inp", 201, "needs_improvement"}, {"inp", 500, "needs_improvement"}, {"inp", 501, "poor"},
		{"cls", .1, "good"}, {"cls", .1001, "needs_improvement"}, {"cls", .25, "needs_improvement"}, {"cls", .2501, "poor"}, {"cls", 0, "good"},
		{"fcp", 1800, "good"}, {"fcp", 3000, "needs_improvement"}, {"fcp", 3001, "poor"},
		{"ttfb", 800, "good"}, {"ttfb", 1800, "needs_improvement"}, {"ttfb", 1801, "poor"},
	} {
		if got := (rum.Sample{Vital: c.vital, Value: c.value}).Rating(); got != c.want {
			t.Errorf("%s %v is %s, want %s", c.vital, c.value, got, c.want)
		}
	}
	if got := (rum.Sample{Phase: "dns", Value: 1}).Rating(); got != "" {
		t.Errorf("a phase is %s", got)
	}
}

func TestAVitalIsRatedOnceItIsSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		h := shop(reg, &stores{got: keys{}})
		for _, value := range []string{"0.05", "0.2", "0.3"} {
			ask(h.ServeHTTP, "POST", "/rum", "", `{"name":"CLS","value":`+value+`,"id":"v6-1","navigationURL":"/cart"}`)
			time.Sleep(10 * time.Second)
		}
		if all := above0(t, reg, "rum_web_vital_ratings_total"); len(all) != 0 {
			t.Errorf("ratings of what may change: %v", all)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if diff := cmp.Diff(map[string]float64{"firefox unknown poor cls": 1}, above0(t, reg, "rum_web_vital_ratings_total")); diff != "" {
			t.Errorf("the ratings are not one poor:\n%s", diff)
		}
	})
}

func TestProgramsAreKeptApart(t *testing.T) {
	for _, c := range []struct {
		name, reason, body, contentType string
		change                          func(*http.Request)
	}{
		{"a crawler", "user_agent", boomerangForm, form, func(r *http.Request) { r.Header.Set("User-Agent", "Mozilla/5.0 (compatible; Googlebot/2.1)") }},
		{"a script", "headers", vitalsArray, "", func(r *http.Request) { r.Header.Del("Accept-Language") }},
		{"a driven browser", "webdriver", strings.Replace(fmt.Sprintf(beacon, "cart"), "{", `{"automated":true,"errors":{"error":2},`, 1), "", func(*http.Request) {}},
		{"a load test", "webdriver", strings.Replace(faroBody, `"meta":{`, `"meta":{"k6":{"isK6Browser":true},`, 1), "", func(*http.Request) {}},
	} {
		reg, sink := prometheus.NewRegistry(), keys{}
		h := shop(reg, sink)
		r := httptest.NewRequest("POST", "/rum", strings.NewReader(c.body))
		asBrowser(r)
		r.Header.Set("Content-Type", c.contentType)
		c.change(r)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		h.Flush()
		if w.Code >= 300 || len(sink) == 0 {
			t.Errorf("%s: status %d, %d values", c.name, w.Code, len(sink))
		}
		for key := range sink {
			if !strings.HasPrefix(key, "rum.bot.cart.") {
				t.Errorf("%s sent %s", c.name, key)
			}
		}
		if n := family(t, reg, "rum_bot_beacons_total")[c.reason].GetCounter().GetValue(); n != 1 {
			t.Errorf("%s is counted %v times for its %s", c.name, n, c.reason)
		}
		for _, name := range []string{"rum_navigation_phase_seconds", "rum_web_vital_lcp_seconds", "rum_page_errors_total", "rum_web_vital_ratings_total"} {
			for labels := range above0(t, reg, name) {
				if !slices.Contains(strings.Fields(labels), "bot") {
					t.Errorf("%s: %s{%s}", c.name, name, labels)
				}
			}
		}
	}
}

func TestViewsAreCountedByWhereThePageCameFrom(t *testing.T) {
	reg := prometheus.NewRegistry()
	h := shop(reg, keys{})
	for nav, source := range map[string]string{
		`{"type":"navigate","responseStart":10}`:  "server",
		`{"type":"prerender","responseStart":10}`: "server",
		`{"type":"made up"}`:                      "server",
		`null`:                                    "server",
		`{"type":"navigate","cached":true,"responseStart":10}`:  "browser_cache",
		`{"type":"back_forward","cached":true,"fetchStart":10}`: "browser_cache",
		`{"type":"back-forward-cache"}`:                         "back_forward_cache",
		`{"type":"soft-navigation"}`:                            "page",
	} {
		before := family(t, reg, "rum_views_total")["cart "+source].GetCounter().GetValue()
		if w := ask(h.ServeHTTP, "POST", "/rum", "", `{"page":"cart","nav":`+nav+`}`); w.Code != http.StatusNoContent {
			t.Fatal(w.Code, w.Body)
		}
		if n := family(t, reg, "rum_views_total")["cart "+source].GetCounter().GetValue() - before; n != 1 {
			t.Errorf("a view of %s counts %v from %s, want 1", nav, n, source)
		}
	}
	ask(h.ServeHTTP, "POST", "/rum", form, boomerangForm)
	total := 0.0
	for _, m := range family(t, reg, "rum_views_total") {
		total += m.GetCounter().GetValue()
	}
	if total != 8 {
		t.Errorf("%v views are counted, want 8, and none that another script has told of", total)
	}
}

// TestLabelSetsAreCapped has a thousand pages, on every device and connection, which would make
// 100,000 label sets of vitals alone.
func TestLabelSetsAreCapped(t *testing.T) {
	reg, sink := prometheus.NewRegistry(), keys{}
	var pages []string
	for i := range 1000 {
		pages = append(pages, fmt.Sprint("page", i))
	}
	h := rum.NewHandler(rum.Config{Pages: pages, PerSecond: 1 << 30}, reg, sink, slog.New(slog.DiscardHandler))
	agents := []string{"Mozilla/5.0 (X11; rv:153.0) Firefox/153.0", "Mozilla/5.0 (Android 15; Mobile; rv:153.0) Firefox/153.0", "Mozilla/5.0 (iPad) Safari/604.1"}
	sent := 0
	for i, page := range pages {
		for _, connection := range []string{"2g", "3g", "4g", "slow-2g", ""} {
			r := httptest.NewRequest("POST", "/rum", strings.NewReader(fmt.Sprintf(`{"page":%q,"connection":%q,"vitals":{"LCP":1,"INP":1,"CLS":0,"FCP":1,"TTFB":1},"errors":{"error":1,"rejection":1,"csp":1},
				"nav":{"type":"navigate","now":1500,"fetchStart":3,"requestStart":10,"responseStart":20,"responseEnd":25,"domInteractive":50}}`, page, connection)))
			asBrowser(r)
			r.Header.Set("User-Agent", agents[i%len(agents)])
			w := httptest.NewRecorder()
			if h.ServeHTTP(w, r); w.Code != http.StatusNoContent {
				t.Fatal(w.Code, w.Body)
			}
			sent++
		}
	}
	sets, over := map[bool]int{}, 0.0
	counted := map[string]uint64{}
	for _, m := range rum.Metrics() {
		for labels, s := range family(t, reg, m.Name) {
			if s.Histogram != nil {
				sets[slices.Contains(strings.Fields(labels), "overflow")]++
				counted[m.Name] += s.Histogram.GetSampleCount()
			}
		}
	}
	for _, s := range family(t, reg, "rum_series_overflow_total") {
		over += s.GetCounter().GetValue()
	}
	t.Logf("%d beacons made %d label sets of histograms, %d of overflow, and %v values were too many", sent, sets[false], sets[true], over)
	// Of overflow: three devices, five connections, five vitals; and three phases.
	if sets[false] != 2000 || sets[true] != 3*5*5+3*3 {
		t.Errorf("%d label sets, and %d of overflow", sets[false], sets[true])
	}
	want := map[string]uint64{"rum_navigation_phase_seconds": uint64(3 * sent)}
	for _, vital := range []string{"lcp_seconds", "inp_seconds", "cls", "fcp_seconds", "ttfb_seconds"} {
		want["rum_web_vital_"+vital] = uint64(sent)
	}
	if diff := cmp.Diff(want, counted); diff != "" {
		t.Errorf("values are lost:\n%s", diff)
	}
	counters := len(family(t, reg, "rum_page_errors_total")) + len(family(t, reg, "rum_web_vital_ratings_total")) + len(family(t, reg, "rum_views_total"))
	if counters > 2000+9+15+1 {
		t.Errorf("%d counters", counters)
	}
}

// TestGraphiteCountsByTheSamePagesAsPrometheus has more pages than label sets, on two devices.
func TestGraphiteCountsByTheSamePagesAsPrometheus(t *testing.T) {
	reg, sink := prometheus.NewRegistry(), &ledger{}
	var pages []string
	for i := range 100 {
		pages = append(pages, fmt.Sprint("page", i))
	}
	h := rum.NewHandler(rum.Config{Pages: pages, MaxLabelSets: 50}, reg, sink, slog.New(slog.DiscardHandler))
	for _, page := range pages {
		for _, language := range []string{"de", ""} { // a person's browser, and a program
			body := fmt.Sprintf(`{"page":%q,"vitals":{"LCP":1},"nav":{"type":"navigate","now":1500,"fetchStart":3,"requestStart":10,"responseStart":20},"timings":[{"name":"x","value":5}]}`, page)
			if w := ask(h.ServeHTTP, "POST", "/rum", "", body, "Accept-Language", language); w.Code != http.StatusNoContent {
				t.Fatal(w.Code, w.Body)
			}
		}
	}
	want := map[string]int{} // values by key
	for _, m := range []struct{ name, key string }{
		{"rum_web_vital_lcp_seconds", "lcp"}, {"rum_navigation_phase_seconds", "nav.request"}, {"rum_user_timing_seconds", "timing.other"},
	} {
		for _, s := range family(t, reg, m.name) {
			page, prefix := "", "rum."
			for _, l := range s.Label {
				switch {
				case l.GetName() == "page":
					page = l.GetValue()
				case l.GetValue() == "bot":
					prefix = "rum.bot."
				}
			}
			want[prefix+page+"."+m.key] += int(s.Histogram.GetSampleCount())
		}
	}
	got := map[string]int{}
	for key, values := range sink.all {
		if strings.HasPrefix(key, "rum.") {
			got[key] = len(values)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(got) != 50+6 || got["rum.overflow.lcp"] == 0 || got["rum.bot.overflow.timing.other"] == 0 {
		t.Errorf("there are %d keys, want 50 and 6 of overflow", len(got))
	}
}
