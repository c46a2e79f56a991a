package dashboards

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"addons/dashboards/console"
	"addons/statsd-relay/prom"
)

// fake is a Prometheus that answers every query with the same series, remembers
// what it was asked, and breaks on queries that contain "broken".
type fake struct {
	mu     sync.Mutex
	asked  []string
	series []map[string]string // labels; none: no data
	value  string

	exemplars []any
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.ParseForm()
	query := r.Form.Get("query")
	f.mu.Lock()
	f.asked = append(f.asked, query)
	f.mu.Unlock()
	var data any
	switch {
	case strings.Contains(query, "broken"):
		w.WriteHeader(http.StatusUnprocessableEntity)
		fmt.Fprint(w, `{"status":"error","errorType":"execution","error":"it is <broken>"}`)
		return
	case strings.HasSuffix(r.URL.Path, "/query_exemplars"):
		data = f.exemplars
	case strings.HasSuffix(r.URL.Path, "/values"):
		data = []string{"/a", "/b.c"}
	case strings.HasSuffix(r.URL.Path, "/query_range"):
		data = map[string]any{"resultType": "matrix", "result": f.matrix(r.Form)}
	default:
		data = map[string]any{"resultType": "vector", "result": f.vector(r.Form)}
	}
	json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": data})
}

func (f *fake) now() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.value
}

func (f *fake) matrix(form url.Values) []any {
	out, value := []any{}, f.now()
	for _, labels := range f.series {
		var end float64
		fmt.Sscan(form.Get("end"), &end)
		out = append(out, map[string]any{"metric": labels, "values": []any{[]any{end - 60, "1"}, []any{end - 45, value}, []any{end, value}}})
	}
	return out
}

func (f *fake) vector(form url.Values) []any {
	out, value := []any{}, f.now()
	for _, labels := range f.series {
		out = append(out, map[string]any{"metric": labels, "value": []any{json.Number(form.Get("time")), value}})
	}
	return out
}

var now = time.Date(2026, 3, 4, 15, 16, 17, 0, time.UTC)

func handler(f *fake, options ...Option) http.Handler {
	nav := []console.Link{{Name: "Dashboards", Path: "/dashboards/"}}
	v := newViewer(prom.Local(f), console.New("/dashboards/", nav), append([]Option{In(time.UTC)}, options...)...)
	v.now = func() time.Time { return now }
	return v.routes()
}

func get(t *testing.T, h http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

func board(panels string) Option {
	text := `{"uid":"a","title":"A","time":{"from":"now-15m"},"templating":{"list":[
		{"name":"datasource","type":"datasource"},
		{"name":"route","type":"query","definition":"label_values(requests, route)","includeAll":true,"multi":true}]},"panels":[` + panels + `]}`
	return From(fstest.MapFS{"a.json": {Data: []byte(text)}})
}

func TestADashboardShippedIsDrawnWithoutScriptOrInlineStyle(t *testing.T) {
	t.Parallel()
	f := &fake{series: []map[string]string{{"module": "pages", "http_route": "/a"}, {"module": "api", "http_route": "/b"}}, value: "2"}
	w := get(t, handler(f), "/dashboards/overview")
	body := w.Body.String()
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, body)
	}
	for _, want := range []string{`<svg class="plot" role="img"`, "Requests by part of the site from 4 Mar 14:16 to 4 Mar 15:16. pages: last 2 req/s", "<dd>2 req/s</dd>", "<td class=\"\">/a</td>", "As of <span data-at>15:16:17 UTC"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page has no %s", want)
		}
	}
	for _, never := range []string{"style=", "<script>", "onclick", "class=\"problem\"", "NaN"} {
		if strings.Contains(body, never) {
			t.Errorf("the page has %s", never)
		}
	}
	if policy := w.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") {
		t.Errorf("content policy %q", policy)
	}
}

func TestPanelsWithoutDataSaySo(t *testing.T) {
	t.Parallel()
	body := get(t, handler(&fake{}), "/dashboards/overview").Body.String()
	for _, want := range []string{"No data yet", "No alert is firing.", "No visits yet"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page has no %q", want)
		}
	}
}

func TestAPanelThatFailsOrIsUnknownIsABoxThatSaysSo(t *testing.T) {
	t.Parallel()
	h := handler(&fake{}, board(`{"id":1,"type":"timeseries","title":"B","targets":[{"expr":"broken"}]},{"id":2,"type":"nodeGraph","title":"N"}`))
	body := get(t, h, "/dashboards/a").Body.String()
	for _, want := range []string{"it is &lt;broken&gt;", "Not drawn here: a “nodeGraph” panel"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page has no %q: %s", want, body)
		}
	}
}

func TestQueriesGetMacrosAndTheVariablesOfTheAddress(t *testing.T) {
	t.Parallel()
	panel := `{"id":1,"type":"timeseries","targets":[{"expr":"rate(a{route=~\"$route\"}[$__rate_interval]) / $__range_s","legendFormat":"x"}]}`
	for query, want := range map[string]string{
		"":                                `rate(a{route=~".*"}[1m]) / 900`,
		"?range=7d&var-route=/a":          `rate(a{route=~"/a"}[1h15s]) / 604800`,
		"?var-route=/a&var-route=%2Fb.c":  `rate(a{route=~"(/a|/b\\.c)"}[1m]) / 900`,
		`?var-route="}%20or%20evil{x%3D"`: `rate(a{route=~".*"}[1m]) / 900`,
		"?range=evil":                     `rate(a{route=~".*"}[1m]) / 900`,
	} {
		f := &fake{}
		h := handler(f, board(panel))
		get(t, h, "/dashboards/a/panel/1"+query)
		if got := f.asked[len(f.asked)-1]; got != want {
			t.Errorf("%s asks %s, want %s", query, got, want)
		}
	}
}

func TestAChartLeadsToItsSlowestTraces(t *testing.T) {
	t.Parallel()
	exemplar := func(trace, value string) any {
		return map[string]any{"labels": map[string]string{"trace_id": trace}, "value": value, "timestamp": 1}
	}
	f := &fake{series: []map[string]string{{"page": "x"}}, value: "2", exemplars: []any{
		map[string]any{"seriesLabels": map[string]string{"le": "4"}, "exemplars": []any{exemplar("a", "3"), exemplar("gone", "9"), exemplar("b", "0.25")}},
		map[string]any{"seriesLabels": map[string]string{"le": "6"}, "exemplars": []any{exemplar("c", "5.5"), exemplar("a", "3")}},
	}}
	traced := Traces(func(id string) string {
		if id == "gone" {
			return ""
		}
		return "/views/trace/" + id
	})
	panel := `{"id":1,"type":"timeseries","title":"T","fieldConfig":{"defaults":{"unit":"s"}},"targets":[{"expr":"x","legendFormat":"x"%s}]}`
	want := `Slowest: <a href="/views/trace/c">5.5 s</a> <a href="/views/trace/a">3 s</a> <a href="/views/trace/b">250 ms</a></p>`
	if body := get(t, handler(f, board(fmt.Sprintf(panel, `,"exemplar":true`)), traced), "/dashboards/a/panel/1").Body.String(); !strings.Contains(body, want) {
		t.Errorf("no %s in %s", want, body)
	}
	for name, h := range map[string]http.Handler{
		"a panel that has not asked": handler(f, board(fmt.Sprintf(panel, "")), traced), "nobody who knows traces": handler(f, board(fmt.Sprintf(panel, `,"exemplar":true`))),
	} {
		if body := get(t, h, "/dashboards/a/panel/1").Body.String(); strings.Contains(body, "Slowest") || !strings.Contains(body, "<svg") {
			t.Errorf("%s: %s", name, body)
		}
	}
}

func TestAPanelAloneIsAFragment(t *testing.T) {
	t.Parallel()
	h := handler(&fake{series: []map[string]string{{}}, value: "0.0042"}, board(`{"id":7,"type":"stat","title":"S","fieldConfig":{"defaults":{"unit":"s","thresholds":{"steps":[{"color":"green"},{"color":"semi-dark-red","value":0.004}]}}},"targets":[{"expr":"x","legendFormat":"x"}]}`))
	w := get(t, h, "/dashboards/a/panel/7")
	if body := w.Body.String(); strings.Contains(body, "<html") || !strings.Contains(body, `<div class="is-red">`) || !strings.Contains(body, "4.2 ms") {
		t.Errorf("fragment = %s", body)
	}
	if got := w.Header().Get("As-Of"); got != "15:16:17 UTC" {
		t.Errorf("As-Of = %q", got)
	}
	for _, path := range []string{"/dashboards/a/panel/8", "/dashboards/a/panel/x", "/dashboards/b/panel/7", "/dashboards/b"} {
		if w := get(t, h, path); w.Code != http.StatusNotFound {
			t.Errorf("%s = %d, want 404", path, w.Code)
		}
	}
}

func TestTheListAndEveryFileThatAPageLinksToIsThere(t *testing.T) {
	t.Parallel()
	h := handler(&fake{})
	list := get(t, h, "/dashboards/").Body.String()
	if !strings.Contains(list, `href="/dashboards/overview"`) {
		t.Errorf("list = %s", list)
	}
	for _, part := range strings.Split(get(t, h, "/dashboards/overview").Body.String(), `"`) {
		if strings.HasPrefix(part, "/dashboards/assets/") {
			w := get(t, h, part)
			if w.Code != http.StatusOK || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
				t.Errorf("%s = %d, %v", part, w.Code, w.Header())
			}
		}
	}
}

func TestATableJoinsItsQueriesByTheirLabels(t *testing.T) {
	t.Parallel()
	p := &Panel{Type: "table", Targets: []Target{{RefID: "A"}, {RefID: "B"}}}
	if err := json.Unmarshal([]byte(`{"transformations":[{"id":"organize","options":{"excludeByName":{"job":true},"renameByName":{"route":"Route","Value #A":"Rate"},"indexByName":{"route":0,"Value #A":1,"Value #B":2}}}],
		"fieldConfig":{"defaults":{"unit":"short"},"overrides":[{"matcher":{"id":"byName","options":"Rate"},"properties":[{"id":"unit","value":"reqps"}]}]},
		"options":{"sortBy":[{"displayName":"Rate","desc":true}]}}`), p); err != nil {
		t.Fatal(err)
	}
	table := p.layout(map[string]map[string]any{
		"1": {"route": "/a", "job": "x", "Value #A": 1.0, "Value #B": 5.0},
		"2": {"route": "/b", "job": "x", "Value #A": 2.0},
	}, []string{"job", "route", "Value #A", "Value #B"})
	got := ""
	for _, c := range table.Columns {
		got += c.Name + "|"
	}
	for _, r := range table.Rows {
		got += "\n"
		for _, c := range r {
			got += c.Text + "|"
		}
	}
	if want := "Route|Rate|Value #B|\n/b|2 req/s|–|\n/a|1 req/s|5|"; got != want {
		t.Errorf("table =\n%s\nwant\n%s", got, want)
	}
}

func TestValuesReadWellInTheirUnit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		v          float64
		unit, want string
	}{
		{0, "s", "0 s"}, {0.00021, "s", "210 µs"}, {0.0042, "s", "4.2 ms"}, {1.5, "s", "1.5 s"}, {90, "s", "1.5 min"}, {7200, "s", "2 h"},
		{250, "ms", "250 ms"}, {0.1234, "percentunit", "12.3 %"}, {1, "percentunit", "100 %"}, {1234, "reqps", "1.23k req/s"},
		{1536, "bytes", "1.5 KiB"}, {123456, "short", "123k"}, {0.5, "none", "0.5"}, {1.47e-33, "none", "0"}, {-3, "short", "-3"}, {math.NaN(), "s", "–"}, {math.Inf(1), "short", "∞"},
	} {
		if got := format(c.v, c.unit, nil); got != c.want {
			t.Errorf("%v in %s = %q, want %q", c.v, c.unit, got, c.want)
		}
	}
}

func TestAnAxisHasRoundMarksThatCoverItsValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		lo, hi float64
		unit   string
		want   string
	}{
		{0, 1, "short", "[0 0.25 0.5 0.75 1]"}, {0, 97, "reqps", "[0 25 50 75 100]"}, {0, .3, "percentunit", "[0 0.1 0.2 0.3]"},
		{-3, 4, "short", "[-4 -2 0 2 4]"}, {0, 3 << 20, "bytes", "[0 1.048576e+06 2.097152e+06 3.145728e+06]"}, {5, 5, "short", "[5 5.25 5.5 5.75 6]"},
	} {
		marks := ticks(c.lo, c.hi, 4, c.unit)
		for i, m := range marks {
			marks[i] = math.Round(m*1e9) / 1e9
		}
		if got := fmt.Sprint(marks); got != c.want {
			t.Errorf("ticks(%v, %v, %s) = %s, want %s", c.lo, c.hi, c.unit, got, c.want)
		}
	}
}

func TestAGapInALineStaysAGapAndAPointAloneIsADot(t *testing.T) {
	t.Parallel()
	nan := math.NaN()
	path, area := paths([]float64{1, 2, nan, 3, nan}, nil, func(v float64) float64 { return v }, true)
	if want := "M0.0 1.0L250.0 2.0M750.0 3.0h0"; path != want {
		t.Errorf("path = %s, want %s", path, want)
	}
	if want := "M0.0 1.0L250.0 2.0L250.0 0.0L0.0 0.0ZM750.0 3.0L750.0 0.0Z"; area != want {
		t.Errorf("area = %s, want %s", area, want)
	}
}

func TestMarksOfTimeAreRoundInTheReadersZone(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("half", 5*3600+1800)
	w := newWindow(span{"24h", 24 * time.Hour}, 15*time.Second, now)
	for _, m := range timeTicks(w, zone) {
		if !strings.HasSuffix(m.Label, ":00") || m.At < 0 || m.At > 100 {
			t.Errorf("mark %+v, want a full hour within the chart", m)
		}
	}
}
