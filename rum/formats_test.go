package rum_test

import (
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"addons/rum"
)

// shop is a site with two pages, that /cart and / are.
func shop(reg prometheus.Registerer, sink rum.Sink) *rum.Handler {
	pageOf := func(path string) string { return map[string]string{"/": "home", "/cart": "cart"}[path] }
	return rum.NewHandler(rum.Config{Pages: []string{"home", "cart"}, PageOf: pageOf, Origins: []string{"https://shop.example"}}, reg, sink, slog.New(slog.DiscardHandler))
}

// ask sends a request to the handler.
func ask(serve http.HandlerFunc, method, target, contentType, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	asBrowser(r)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	serve(w, r)
	return w
}

const form = "application/x-www-form-urlencoded"

// boomerangForm is what boomerang 1.815 sends of a page, over a new connection with TLS.
const boomerangForm = "rt.start=navigation&rt.tstart=1790000000000&rt.end=1790000001480&t_resp=212&t_page=1268&t_done=1480&nt_nav_st=1790000000000" +
	"&nt_fet_st=1790000000003&nt_dns_st=1790000000004&nt_dns_end=1790000000021&nt_con_st=1790000000021&nt_ssl_st=1790000000040&nt_con_end=1790000000066" +
	"&nt_req_st=1790000000067&nt_res_st=1790000000212&nt_res_end=1790000000240&nt_domint=1790000000700&nt_domcontloaded_st=1790000000701" +
	"&nt_domcontloaded_end=1790000000712&nt_domcomp=1790000001470&nt_load_st=1790000001471&nt_load_end=1790000001480&nt_nav_type=0&nt_protocol=h2" +
	"&pt.fcp=652&pt.lcp=1190&c.cls=0.034&mob.etype=4g&u=https%3A%2F%2Fshop.example%2Fcart%3Fcard%3D4711&v=1.815.1&n=1&vis.st=visible&sb=1"

const vitalsArray = `[{"name":"LCP","value":1190.4,"rating":"good","delta":1190.4,"id":"v6-1790000001480-3141592653589","navigationType":"navigate","navigationURL":"https://shop.example/cart","entries":[{"x":1}]},
 {"name":"CLS","value":0.034,"rating":"good","delta":0.034,"id":"v6-1790000001481-2718281828459","navigationType":"navigate","navigationURL":"https://shop.example/cart"},
 {"name":"FID","value":3,"id":"v3-1"}]`

const faroBody = `{"meta":{"app":{"name":"shop","environment":"prod"},"session":{"id":"Zk3v9QpLmA"},"page":{"url":"https://shop.example/cart"},"browser":{"name":"Firefox","mobile":false}},
 "measurements":[{"type":"web-vitals","values":{"lcp":1190.4,"delta":1190.4,"time_to_first_byte":212},"timestamp":"2026-11-22T18:00:00.000Z","context":{"id":"v6-1790000001480-3141592653589","rating":"good"},"trace":{"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7"}},
  {"type":"custom","values":{"lcp":5}}],
 "exceptions":[{"type":"TypeError","value":"x is undefined"},{"type":"Error","value":"no"}],
 "events":[{"name":"faro.performance.navigation","domain":"browser","attributes":{"ttfb":"212","dnsLookupTime":"17","tcpHandshakeTime":"45","tlsNegotiationTime":"26","redirectTime":"0","requestTime":"145","pageLoadTime":"1467","type":"back-forward"}},{"name":"click"}]}`

func TestEveryClientsBeaconReachesTheStores(t *testing.T) {
	boomerangPhases := map[string]float64{
		"nav.dns": 17, "nav.tcp": 19, "nav.tls": 26, "nav.request": 145, "nav.response": 28, "nav.dom_interactive": 460,
		"nav.dom_content_loaded": 11, "nav.dom_processing": 770, "nav.load_event": 9, "nav.page_load": 1480,
	}
	with := func(more map[string]float64) map[string]float64 {
		all := maps.Clone(boomerangPhases)
		maps.Copy(all, more)
		return all
	}
	vitals := map[string]float64{"fcp": 652, "lcp": 1190, "cls": .034}
	for _, c := range []struct {
		name, method, target, contentType, body string
		format                                  string
		status                                  int
		want                                    map[string]float64 // below rum.cart
	}{
		{"boomerang by POST", "POST", "/rum", form, boomerangForm, "boomerang", 204, with(vitals)},
		{"boomerang by GET", "GET", "/rum?" + boomerangForm, "", "", "boomerang", 204, with(vitals)},
		{"boomerang when the page is left", "POST", "/rum", form, boomerangForm + "&rt.quit=", "boomerang", 204, with(vitals)},
		{"boomerang of a request", "POST", "/rum", form, boomerangForm + "&http.initiator=xhr", "boomerang", 204, vitals},
		{"boomerang that doubts its own times", "POST", "/rum", form, boomerangForm + "&nt_bad=1", "boomerang", 204, func() map[string]float64 {
			all := with(map[string]float64{"cls": .034})
			delete(all, "nav.page_load")
			return all
		}()},
		{"web-vitals", "POST", "/rum", "text/plain;charset=UTF-8", vitalsArray, "web_vitals", 204, map[string]float64{"lcp": 1190.4, "cls": .034}},
		{"one of web-vitals", "POST", "/rum", "", `{"name":"INP","value":8,"id":"v5-1","page_location":"/cart"}`, "web_vitals", 204, map[string]float64{"inp": 8}},
		{"Faro", "POST", "/rum", "application/json", faroBody, "faro", 202, map[string]float64{"lcp": 1190.4, "nav.dns": 17, "nav.tcp": 19, "nav.tls": 26, "nav.request": 145, "nav.page_load": 1467}},
		{"Faro without TLS", "POST", "/rum", "application/json",
			`{"meta":{"page":{"url":"https://shop.example/cart"}},"events":[{"name":"faro.performance.navigation","attributes":{"tcpHandshakeTime":"20","tlsNegotiationTime":"66","dnsLookupTime":"undefined"}}]}`,
			"faro", 202, map[string]float64{"nav.tcp": 20}},
	} {
		reg, sink := prometheus.NewRegistry(), keys{}
		h := shop(reg, sink)
		w := ask(h.ServeHTTP, c.method, c.target, c.contentType, c.body)
		h.Flush()
		if w.Code != c.status {
			t.Errorf("%s: status %d %s, want %d", c.name, w.Code, w.Body, c.status)
		}
		got := map[string]float64{}
		for key, v := range sink {
			if k, ok := strings.CutPrefix(key, "rum.cart."); ok {
				got[k] = v
			} else if !strings.HasPrefix(key, "window.performance.") {
				t.Errorf("%s: %s came", c.name, key)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s:\n%s", c.name, diff)
		}
		if got := counted(t, reg, "rum_beacons_total", c.format, "accepted"); got != 1 {
			t.Errorf("%s: counted %v times as %s", c.name, got, c.format)
		}
	}
}

func TestFarosExceptionsAreCountedByPage(t *testing.T) {
	reg := prometheus.NewRegistry()
	ask(shop(reg, keys{}).ServeHTTP, "POST", "/collect", "application/json", faroBody)
	if got := counted(t, reg, "rum_page_errors_total", "desktop", "error", "cart"); got != 2 {
		t.Errorf("%v errors, want 2", got)
	}
}

func TestDjangoStatsdsClientsAreTaken(t *testing.T) {
	stick := "client=stick&window.performance.timing.navigationStart=1790000000000&window.performance.timing.responseStart=1790000000212" +
		"&window.performance.timing.domLoading=1790000000230&window.performance.timing.domInteractive=0&window.performance.timing.domComplete=1790000001470" +
		"&window.performance.timing.loadEventEnd=1790000001480&window.performance.navigation.redirectCount=0&window.performance.navigation.type=1"
	for _, c := range []struct {
		name, method, query, body string
		status                    int
		want                      map[string]float64
	}{
		{"stick by POST", "POST", "", stick, 200, map[string]float64{
			"timing.responseStart": 212, "timing.domLoading": 230, "timing.domComplete": 1470, "timing.loadEventEnd": 1480, "calculated.network": 212,
			"calculated.app": 18, "calculated.dom": 1240, "calculated.rendering": 10, "navigation.type.reload": 1,
		}},
		{"boomerang by GET", "GET", "?client=boomerang&" + boomerangForm, "", 200, map[string]float64{
			"timing.responseStart": 212, "timing.domInteractive": 700, "timing.domComplete": 1470, "timing.loadEventEnd": 1480,
			"calculated.network": 212, "calculated.rendering": 10, "navigation.type.navigate": 1,
		}},
		{"boomerang by POST", "POST", "", "client=boomerang&" + boomerangForm, 400, nil},
		{"stick by GET", "GET", "?" + stick, "", 400, nil},
		{"no client", "GET", "?nt_nav_st=1", "", 400, nil},
		{"no start", "GET", "?client=boomerang&nt_res_st=1", "", 400, nil},
		{"a start that is none", "POST", "", "client=stick&window.performance.timing.navigationStart=undefined", 400, nil},
		{"a start long ago", "POST", "", "client=stick&window.performance.timing.navigationStart=0&window.performance.timing.loadEventEnd=1790000001480", 200,
			map[string]float64{"navigation.type.navigate": 1}},
	} {
		sink := keys{}
		w := ask(shop(prometheus.NewRegistry(), sink).ServeHTTP, c.method, rum.DjangoPath+c.query, form, c.body)
		got := map[string]float64{}
		for key, v := range sink {
			if k, ok := strings.CutPrefix(key, "window.performance."); ok {
				got[k] = v
			}
		}
		if c.want == nil {
			c.want = map[string]float64{}
		}
		if diff := cmp.Diff(c.want, got); w.Code != c.status || diff != "" {
			t.Errorf("%s: status %d %s, want %d\n%s", c.name, w.Code, w.Body, c.status, diff)
		}
		if w.Code == 200 && w.Body.String() != "recorded" {
			t.Errorf("%s: the answer is %q", c.name, w.Body)
		}
	}
}

func TestReportsAreCountedWithTheirWeight(t *testing.T) {
	reg := prometheus.NewRegistry()
	h := shop(reg, keys{})
	for _, body := range []string{
		`[{"type":"network-error","age":4100,"url":"https://shop.example/cart","body":{"sampling_fraction":0.5,"server_ip":"203.0.113.9","status_code":502,"elapsed_time":143,"phase":"application","type":"http.error"}},
		  {"type":"network-error","url":"https://shop.example/","body":{"sampling_fraction":0,"phase":"dns","type":"dns.name_not_resolved"}},
		  {"type":"network-error","url":"https://shop.example/","body":{"sampling_fraction":1e-300,"phase":"made-up","type":"up"}},
		  {"type":"csp-violation","url":"https://shop.example/","body":{"effectiveDirective":"script-src-elem","disposition":"report","blockedURL":"inline"}},
		  {"type":"deprecation","url":"https://shop.example/","body":{"id":"x"}}]`,
		`{"csp-report":{"document-uri":"https://shop.example/","violated-directive":"img-src 'self'","effective-directive":"img-src","blocked-uri":"data"}}`,
		`{"csp-report":{"document-uri":"https://shop.example/","violated-directive":"made-up"}}`,
	} {
		if w := ask(h.ServeHTTP, "POST", "/rum", "application/reports+json", body); w.Code != 204 {
			t.Errorf("status %d %s", w.Code, w.Body)
		}
	}
	for _, c := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"rum_network_errors_total", []string{"application", "http.error"}, 2},
		{"rum_network_errors_total", []string{"dns", "dns.name_not_resolved"}, 1},
		{"rum_network_errors_total", []string{"other", "other"}, 10_000},
		{"rum_csp_violations_total", []string{"script-src-elem", "report"}, 1},
		{"rum_csp_violations_total", []string{"img-src", "enforce"}, 1},
		{"rum_csp_violations_total", []string{"other", "enforce"}, 1},
		{"rum_beacons_total", []string{"reports", "accepted"}, 3},
	} {
		if got := counted(t, reg, c.name, c.labels...); got != c.want {
			t.Errorf("%s%v = %v, want %v", c.name, c.labels, got, c.want)
		}
	}
}

func TestAVitalToldAnewReplacesTheValueBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, sink := prometheus.NewRegistry(), &stores{got: keys{}}
		h := shop(reg, sink)
		tell := func(value string) {
			t.Helper()
			body := `{"name":"CLS","value":` + value + `,"id":"v6-1","navigationURL":"https://shop.example/cart"}`
			if w := ask(h.ServeHTTP, "POST", "/rum", "", body); w.Code != 204 {
				t.Fatal(w.Code, w.Body)
			}
		}
		tell("0.01")
		time.Sleep(20 * time.Second)
		tell("0.02")
		time.Sleep(20 * time.Second)
		if v, ok := sink.value("rum.cart.cls"); ok {
			t.Errorf("%v counts already", v)
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if v, _ := sink.value("rum.cart.cls"); v != .02 {
			t.Errorf("counted is %v, want the last value", v)
		}
		tell("0.03")
		time.Sleep(time.Hour)
		tell("0.04") // the visitor has come back to the tab, and left it
		time.Sleep(time.Hour)
		v, _ := sink.value("rum.cart.cls")
		if late := counted(t, reg, "rum_values_late_total"); v != .02 || late != 2 {
			t.Errorf("counted is %v, and %v are late", v, late)
		}
		ask(h.ServeHTTP, "POST", "/rum", "", `{"name":"CLS","value":0.5,"id":"v6-2"}`)
		h.Flush()
		if v, _ := sink.value("rum.other.cls"); v != .5 {
			t.Errorf("at the end counted is %v", v)
		}
	})
}

func TestOtherSitesMaySendThatAreNamed(t *testing.T) {
	for origin, want := range map[string]int{"https://shop.example": 204, "https://evil.example": 403, "": 403} {
		h := shop(prometheus.NewRegistry(), keys{})
		header := []string{"Sec-Fetch-Site", "cross-site"}
		if origin != "" {
			header = append(header, "Origin", origin)
		}
		w := ask(h.ServeHTTP, "POST", "/rum", "text/plain", vitalsArray, header...)
		allowed := w.Header().Get("Access-Control-Allow-Origin")
		if w.Code != want || (allowed == origin && origin != "") != (want == 204) {
			t.Errorf("%q: status %d, allowed %q, want %d", origin, w.Code, allowed, want)
		}
		if credentials := w.Header().Get("Access-Control-Allow-Credentials"); (credentials == "true") != (want == 204) { // without which sendBeacon fails
			t.Errorf("%q: credentials are allowed: %q", origin, credentials)
		}
		w = ask(h.ServeHTTP, "OPTIONS", "/collect", "", "", header...)
		if w.Code != want || want == 204 && !strings.Contains(w.Header().Get("Access-Control-Allow-Headers"), "idempotency-key") {
			t.Errorf("%q: a preflight gets %d %v, want %d", origin, w.Code, w.Header(), want)
		}
	}
}

// TestAnImagesBeaconIsOfThePageThatAsksForIt has requests as Chromium and Firefox make them of
// new Image().src: without Origin, and with the page's origin as Referer, unless its policy keeps it.
func TestAnImagesBeaconIsOfThePageThatAsksForIt(t *testing.T) {
	for _, c := range []struct {
		name, method, site, referer, origin string
		want                                int
	}{
		{"a page of a site that is named", "GET", "cross-site", "https://shop.example/", "", 204},
		{"with all of its address", "GET", "same-site", "https://shop.example/cart?card=4711", "", 204},
		{"another site", "GET", "cross-site", "https://evil.example/", "", 403},
		{"a name that begins alike", "GET", "cross-site", "https://shop.example.evil.example/", "", 403},
		{"another scheme", "GET", "cross-site", "http://shop.example/", "", 403},
		{"another port", "GET", "cross-site", "https://shop.example:8443/", "", 403},
		{"a page that keeps its address", "GET", "cross-site", "", "", 403},
		{"what is no address", "GET", "cross-site", "https://shop.example/%zz", "", 403},
		{"an address that was typed in", "GET", "none", "https://shop.example/", "", 403},
		{"a POST, which has an origin", "POST", "cross-site", "https://shop.example/", "", 403},
		{"an origin that is hidden", "GET", "cross-site", "https://shop.example/", "null", 403},
		{"of another than the origin", "GET", "cross-site", "https://shop.example/", "https://evil.example", 403},
	} {
		sink := keys{}
		header := []string{"Sec-Fetch-Site", c.site, "Referer", c.referer}
		if c.origin != "" {
			header = append(header, "Origin", c.origin)
		}
		target, body := "/rum?"+boomerangForm, ""
		if c.method == "POST" {
			target, body = "/rum", boomerangForm
		}
		w := ask(shop(prometheus.NewRegistry(), sink).ServeHTTP, c.method, target, form, body, header...)
		if w.Code != c.want || (len(sink) > 0) != (c.want == 204) {
			t.Errorf("%s: status %d and %d values, want %d", c.name, w.Code, len(sink), c.want)
		}
	}
}

func TestATTFBOfNothingIsNone(t *testing.T) {
	for name, body := range map[string]string{
		"web-vitals": `[{"name":"TTFB","value":0,"id":"v6-1","navigationURL":"/cart"},{"name":"FCP","value":16,"id":"v6-2","navigationURL":"/cart"}]`,
		"Faro": `{"meta":{"page":{"url":"/cart"}},"measurements":[{"type":"web-vitals","values":{"ttfb":0},"context":{"id":"v6-1"}},
			{"type":"web-vitals","values":{"fcp":16},"context":{"id":"v6-2"}}]}`,
	} {
		sink := keys{}
		h := shop(prometheus.NewRegistry(), sink)
		ask(h.ServeHTTP, "POST", "/rum", "", body)
		h.Flush()
		if diff := cmp.Diff(keys{"rum.cart.fcp": 16}, sink); diff != "" {
			t.Errorf("%s of a return from the back/forward cache:\n%s", name, diff)
		}
	}
}

func TestNoClientsFormatMakesASeries(t *testing.T) {
	reg := prometheus.NewRegistry()
	h := shop(reg, keys{})
	send := func(i string) {
		ask(h.ServeHTTP, "POST", "/rum", form, strings.ReplaceAll(boomerangForm, "%2Fcart", "%2F"+i)+"&pid="+i)
		ask(h.ServeHTTP, "POST", "/rum", "", strings.ReplaceAll(strings.ReplaceAll(vitalsArray, "/cart", "/"+i), "v6-", i))
		ask(h.ServeHTTP, "POST", "/rum", "", strings.ReplaceAll(faroBody, "/cart", "/"+i))
		ask(h.ServeHTTP, "POST", "/rum", "", `[{"type":"network-error","url":"/`+i+`","body":{"phase":"`+i+`","type":"`+i+`"}},{"type":"csp-violation","body":{"effectiveDirective":"`+i+`"}}]`)
		h.Flush()
	}
	send("first")
	before := series(t, reg)
	for range 200 {
		send("p" + time.Now().Format("150405.000000000"))
	}
	if after := series(t, reg); after != before {
		t.Errorf("%d series, %d before", after, before)
	}
}

func series(t *testing.T, reg *prometheus.Registry) (n int) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		n += len(f.Metric)
	}
	return n
}

func TestTooMuchInOneBeaconIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ contentType, body string }{
		"parameters": {form, strings.Repeat("a=1&", 600)},
		"metrics":    {"", "[" + strings.Join(slices.Repeat([]string{`{"name":"CLS","value":1}`}, 65), ",") + "]"},
		"reports":    {"", "[" + strings.Join(slices.Repeat([]string{`{"type":"x","body":{}}`}, 65), ",") + "]"},
		"signals":    {"", `{"meta":{},"events":[` + strings.Join(slices.Repeat([]string{`{}`}, 65), ",") + "]}"},
		"timings":    {"", `{"page":"home","vitals":{"LCP":9},"timings":[` + strings.Join(slices.Repeat([]string{`{"name":"a","value":1}`}, 65), ",") + "]}"},
		"reasons":    {"", `{"page":"home","vitals":{"LCP":9},"notRestored":[` + strings.Repeat(`"",`, 64) + `""]}`},
		"no list":    {"", `{"page":"home","vitals":{"LCP":9},"timings":{"name":"a"}}`},
		"half":       {"", `{"page":"home","vitals":{"LCP":9},"timings":[{"name":"a","value":1}`},
		"nothing":    {"", "   "},
		"an array":   {"", "[]"},
		"no array":   {"", "[1]"},
		"no metric":  {"", `[{"name":"CLS"}]`},
	} {
		reg, sink := prometheus.NewRegistry(), keys{}
		w := ask(shop(reg, sink).ServeHTTP, "POST", "/rum", c.contentType, c.body)
		if w.Code != 400 || len(sink) > 0 || !strings.Contains(w.Body.String(), "detail") {
			t.Errorf("%s: status %d %s, %v", name, w.Code, w.Body, sink)
		}
	}
}

// FuzzBody sends rubbish in every format: nothing may panic, and no value may come
// that can't be true.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{boomerangForm, vitalsArray, faroBody, detailed, `{"page":"addon","confidence":{"value":"low","randomizedTriggerRate":1e308},"notRestored":["lock",""],"nav":{"cached":true}}`, `{"page":"addon","nav":{"type":"soft-navigation"},"timings":[{"name":"a","value":1e308}]}`, `{"csp-report":{}}`, "client=stick&window.performance.timing.navigationStart=1", "nt_nav_st=9e307&nt_load_end=-9e307", "[{\"name\":\"CLS\",\"value\":-0}]"} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, body string, isForm bool) {
		sink := keys{}
		h := shop(prometheus.NewRegistry(), sink)
		contentType := ""
		if isForm {
			contentType = form
		}
		for _, path := range rum.Paths {
			if w := ask(h.ServeHTTP, "POST", path, contentType, body); w.Code >= 500 {
				t.Errorf("status %d", w.Code)
			}
		}
		h.Flush()
		for key, v := range sink {
			if !(v >= 0 && v <= 600_000) {
				t.Errorf("%s = %v", key, v)
			}
		}
	})
}

// BenchmarkBoomerang is what a beacon of boomerang's costs, without HTTP.
func BenchmarkBoomerang(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		beacon, err := rum.DecodeBoomerang(boomerangForm)
		if err != nil {
			b.Fatal(err)
		}
		if samples, _ := beacon.Samples(); len(samples) != 13 {
			b.Fatal(len(samples))
		}
	}
}

// TestJSONIsTakenAsBrowsersSendIt has what JavaScript minds as little as we.
func TestJSONIsTakenAsBrowsersSendIt(t *testing.T) {
	for name, c := range map[string]struct {
		body, key string
		want      float64
	}{
		"half of a surrogate pair in an address": {`[{"name":"LCP","value":5,"id":"\ud83d","navigationURL":"/cart?q=\ud83d"}]`, "rum.cart.lcp", 5},
		"a name twice":                           {`{"name":"LCP","value":4,"value":5,"navigationURL":"/cart"}`, "rum.cart.lcp", 5},
		"a metric's own body and meta":           {`{"name":"LCP","value":5,"navigationURL":"/cart","body":1,"meta":{"a":1}}`, "rum.cart.lcp", 5},
		"null for what is not measured":          {`{"page":"cart","connection":null,"vitals":{"LCP":5,"CLS":null},"nav":null,"serverTiming":null}`, "rum.cart.lcp", 5},
		"Faro's meta at the end": {`{"measurements":[{"type":"web-vitals","values":{"delta":1,"lcp":5}},{"type":"custom","values":{"lcp":7}}],"exceptions":[{"value":"x"}],"meta":{"page":{"url":"/cart"}}}`,
			"rum.cart.lcp", 5},
		"white space around": {" \n" + `[ {"name" : "LCP" , "value" : 5 , "navigationURL" : "/cart" } ]` + "\r\n", "rum.cart.lcp", 5},
	} {
		sink := keys{}
		h := shop(prometheus.NewRegistry(), sink)
		w := ask(h.ServeHTTP, "POST", "/rum", "", c.body)
		h.Flush()
		if w.Code >= 300 || sink[c.key] != c.want {
			t.Errorf("%s: status %d %s, %v", name, w.Code, w.Body, sink)
		}
	}
	for name, body := range map[string]string{
		"half an array": `[{"name":"LCP","value":5}`, "more behind it": `{"name":"LCP","value":5}x`, "a number that is none": `{"name":"LCP","value":1.0.1}`,
		"a list in a list": `[[{"name":"LCP","value":5}]]`, "a word": `LCP`, "deep nesting": strings.Repeat(`{"a":`, 50_000), "part of an errors' number": `{"page":"home","errors":{"error":-1}}`,
	} {
		sink := keys{}
		if w := ask(shop(prometheus.NewRegistry(), sink).ServeHTTP, "POST", "/rum", "", body); w.Code < 400 || len(sink) > 0 || w.Body.Len() > 500 {
			t.Errorf("%s: status %d with %d bytes, %v", name, w.Code, w.Body.Len(), sink)
		}
	}
}
