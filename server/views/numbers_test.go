package views

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/model"

	"addons/dashboards/console"
	"addons/rum"
	"addons/server/enginetest"
	"addons/statsd-relay/prom"
	"addons/statsd-relay/tsdb"
)

// history is a past in OpenMetrics' text: samples with their times, which a real
// Prometheus takes from one scrape.
type history struct {
	strings.Builder
	told atomic.Bool
}

func (h *history) sample(name, labels string, value float64, at time.Time, exemplar string) {
	fmt.Fprintf(h, "%s{%s} %v %d%s\n", name, labels, value, at.Unix(), exemplar)
}

func (h *history) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
	if !h.told.Swap(true) {
		fmt.Fprint(w, h.String())
	}
	fmt.Fprint(w, "# EOF\n")
}

// discard is a relay that is not looked at.
type discard struct{}

func (discard) Timing(string, float64) {}
func (discard) Count(string, float64)  {}

// forgotten is the trace of a view that is not kept.
const forgotten = "0af7651916cd43dd8448eb211c80319c"

// began and deployed are minutes before the present of a history.
const began, deployed = 50, 25

// past is a page that was slow on phones until a deploy, and another that never was: four
// views a minute each. On each side of the deploy lie a hundred.
func past(now time.Time) *history {
	h := &history{}
	at := func(minute int) time.Time { return now.Add(time.Duration(minute-began) * time.Minute) }
	course := func(name, labels string, perMinute func(minute int) float64, exemplar string) {
		total := 0.0
		for minute := 0; minute <= began; minute++ {
			if minute > 0 {
				total += perMinute(minute)
			}
			mark := ""
			if minute == 10 {
				mark = exemplar
			}
			h.sample(name, labels, total, at(minute), mark)
		}
	}
	steadily := func(n float64) func(int) float64 { return func(int) float64 { return n } }
	h.WriteString("# TYPE rum_web_vital_lcp_seconds histogram\n")
	for i, le := range []string{"1.0", "2.5", "4.0", "6.0", "+Inf"} {
		before, after := []float64{0, 1, 2, 4, 4}[i], []float64{2, 4, 4, 4, 4}[i]
		exemplar := ""
		switch le {
		case "4.0":
			exemplar = fmt.Sprintf(" # {trace_id=\"%s\"} 3.5 %d", forgotten, at(10).Unix())
		case "6.0":
			exemplar = fmt.Sprintf(" # {trace_id=\"%s\"} 5.5 %d", trace, at(10).Unix())
		}
		course("rum_web_vital_lcp_seconds_bucket", `page="addon",device="mobile",connection="4g",le="`+le+`"`, func(minute int) float64 {
			if minute <= began-deployed {
				return before
			}
			return after
		}, exemplar)
		course("rum_web_vital_lcp_seconds_bucket", `page="home",device="desktop",connection="4g",le="`+le+`"`, steadily([]float64{3, 4, 4, 4, 4}[i]), "")
		course("rum_web_vital_lcp_seconds_bucket", `page="home",device="bot",connection="4g",le="`+le+`"`, steadily([]float64{0, 0, 0, 0, 9}[i]), "")
	}
	h.WriteString("# TYPE rum_web_vital_ttfb_seconds histogram\n")
	course("rum_web_vital_ttfb_seconds_count", `page="addon",device="mobile",connection="4g"`, steadily(4), "")
	h.WriteString("# TYPE rum_navigation_phase_seconds histogram\n")
	for phase, n := range map[string][]float64{"request": {0, 4}, "dns": {4, 4}} {
		for i, le := range []string{"0.1", "0.5"} {
			course("rum_navigation_phase_seconds_bucket", `page="addon",device="mobile",phase="`+phase+`",le="`+le+`"`, steadily(n[i]), "")
		}
		course("rum_navigation_phase_seconds_bucket", `page="addon",device="mobile",phase="`+phase+`",le="+Inf"`, steadily(4), "")
	}
	h.WriteString("# TYPE rum_views counter\n")
	course("rum_views_total", `page="addon",source="server"`, steadily(4), "")
	course("rum_views_total", `page="addon",source="browser_cache"`, steadily(3), "")
	course("rum_views_total", `page="addon",source="back_forward_cache"`, steadily(2), "")
	h.WriteString("# TYPE rum_not_restored counter\n")
	course("rum_not_restored_total", `page="addon",reason="unload-listener"`, steadily(2), "")
	course("rum_not_restored_total", `page="addon",reason="masked"`, steadily(6), "")
	course("rum_not_restored_total", `page="home",reason="lock"`, steadily(9), "")
	h.WriteString("# TYPE rum_confidence counter\n")
	course("rum_confidence_total", `page="addon",confidence="high"`, steadily(13), "")
	course("rum_confidence_total", `page="addon",confidence="low"`, steadily(7), "")
	h.WriteString("# TYPE rum_confidence_random counter\n")
	course("rum_confidence_random_total", `page="addon"`, steadily(10), "")
	h.WriteString("# TYPE addons_measured_pages counter\n")
	course("addons_measured_pages_total", `page="addon"`, steadily(10), "")
	h.WriteString("# TYPE addons_build_info gauge\n")
	for minute := 0; minute <= began; minute++ {
		revision := "old"
		if minute > began-deployed {
			revision = "<new>"
		}
		h.sample("addons_build_info", `version="1",revision="`+revision+`"`, 1, at(minute), "")
	}
	return h
}

// remembering answers from a real Prometheus that knows the past.
func remembering(t *testing.T, now time.Time) *prom.Client {
	t.Helper()
	db, err := tsdb.Open(tsdb.Config{Dir: t.TempDir(), Interval: 500 * time.Millisecond, Targets: []tsdb.Target{{Job: "addons", Instance: "a", Handler: past(now)}}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- db.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-ran, db.Close()); err != nil {
			t.Error(err)
		}
	})
	if err := db.Scrape(t.Context()); err != nil {
		t.Fatal(err)
	}
	return prom.Local(db.Handler())
}

func explorer(cfg Config, now time.Time) *Handler {
	cfg.Pages = []string{"home", "addon", "other"}
	h := New(cfg, console.New("/views/", nil))
	h.now = func() time.Time { return now }
	return h
}

func TestTheExplorerReadsWhatPrometheusKeeps(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	client := remembering(t, now)
	n := numbers{client}
	w := newWindow(spans[0], now)
	mobile := among{"addon", "mobile"}
	near := func(what string, got, want float64) {
		t.Helper()
		if math.IsNaN(got) || math.Abs(got-want) > max(.02*want, 1e-9) {
			t.Errorf("%s = %v, want %v", what, got, want)
		}
	}

	measured, err := n.measures(t.Context(), among{}, "page, device", time.Hour, now)
	if err != nil || len(measured) != 2 {
		t.Fatalf("measured %v, %v: want two pages, without programs", measured, err)
	}
	lcp := measured[group{"addon", "mobile"}][0]
	near("good", lcp.shares.Good, 125)
	near("needs improvement", lcp.Middle, 25)
	near("poor", lcp.shares.Poor, 50)
	near("p75", lcp.P75(), 4)
	if lcp.Rating() != middle {
		t.Errorf("rated %v, want needs improvement: 150 of 200 are not poor", lcp.Rating())
	}

	course, err := n.course(t.Context(), vitals[0], mobile, w)
	if err != nil {
		t.Fatal(err)
	}
	views := 0.0
	for _, p := range course {
		views += p.N()
	}
	near("views of all stretches", views, 200)
	if first, last := course[8].Rating(), course[27].Rating(); first != poor || last != good {
		t.Errorf("rated %v before the deploy and %v after it, want poor and good", first, last)
	}

	distribution, err := n.distribution(t.Context(), vitals[0], mobile, w)
	if err != nil || len(distribution) != 5 {
		t.Fatal(distribution, err)
	}
	for i, want := range []float64{50, 75, 25, 50, 0} {
		near(fmt.Sprint("bucket ", i), distribution[i].N, want)
	}

	phases, err := n.phases(t.Context(), mobile, w)
	if err != nil || len(phases) != 2 || phases[0].Name != "dns" {
		t.Fatalf("phases %v, %v: want dns before the request", phases, err)
	}
	near("request", phases[1].P75, .4)

	served, told, err := n.served(t.Context(), "addon", time.Hour, now)
	if err != nil {
		t.Fatal(err)
	}
	near("served", served, 500)
	near("told", told, 200)

	traced, err := n.exemplars(t.Context(), vitals[0], mobile, w)
	if err != nil || len(traced) != 2 || traced[0].Trace != trace || traced[0].Value != 5.5 || traced[1].Trace != forgotten {
		t.Errorf("exemplars %v, %v", traced, err)
	}

	deploys, err := n.deploys(t.Context(), w)
	if err != nil || len(deploys) != 1 || deploys[0].Version != "1 <new>" || deploys[0].At.Sub(now.Add(-(deployed-1)*time.Minute)).Abs() > time.Minute {
		t.Fatalf("deploys %v, %v", deploys, err)
	}
	c, err := n.compare(t.Context(), mobile, deploys, 0, w)
	if err != nil {
		t.Fatal(err)
	}
	r := c.Rows[0]
	near("share of good before", r.Before.Share(), .25)
	near("share of good after", r.After.Share(), 1)
	if r.Before.Rating() != poor || r.After.Rating() != good || r.Verdict() != "better" || c.Rows[1].Verdict() != "too few views: 50 are needed on either side" {
		t.Errorf("compared %+v", c)
	}
	soon := deploy{deploys[0].At.Add(9 * time.Minute), deploys[0].At.Add(10 * time.Minute), "soon"}
	if c, err := n.compare(t.Context(), mobile, append(deploys, soon), 0, w); err != nil || c.Length != 9*time.Minute {
		t.Errorf("compared %v, %v, want 9m, until the next deploy", c.Length, err)
	}
	if c, err := n.compare(t.Context(), mobile, append(deploys, soon), 1, w); err != nil || c.Length != 9*time.Minute {
		t.Errorf("compared %v, %v, want 9m, since the deploy before", c.Length, err)
	}

	store := NewStore(nil)
	kept := slow()
	kept.Device = "mobile"
	store.Add(kept)
	h := explorer(Config{Store: store, Prometheus: client}, now)
	for path, want := range map[string][]string{
		"/views/?range=1h": {
			`<th scope="row"><a href="/views/page/addon?device=mobile&amp;range=1h&amp;vital=lcp">addon</a></th><td>mobile</td>`, `<td class="number">200</td><td>LCP 6`,
			`<a href="/views/1">LCP 3.00 s<span class="hidden">, view 1</span></a>`, "Of 500 page views that should have told of themselves 200 did: 40 %.",
		},
		"/views/?range=1h&device=bot": {`<td>bot</td>`},
		"/views/page/addon?range=1h&device=mobile": {
			"75th percentile of 200 views, mobile, last 1h", `<a href="/views/trace/` + trace + `"><code>`, "<td><code>" + forgotten + "</code></td>", `<circle class="bad"`, `<circle class="ok"`, `<line class="mark"`,
			"<caption><span>Views by LCP: good up to 2.50 s, poor above 4.00 s</span></caption>", "<th scope=\"row\">4.00\u00a0s\u00a0– 6.00\u00a0s</th><td>✕ poor</td><td class=\"number\">25 %</td>",
			`<th scope="row">request</th><td class="number">400</td>`, "before and after 1 &lt;new&gt; came at", `<span class="badge ok">better</span>`, "40 %",
			"<p class=\"prose\">100 views were there at once", `<th scope="row"><code>masked</code></th><td class="number">300</td></tr>` + "\n" + `<tr><th scope="row"><code>unload-listener</code></th><td class="number">100</td></tr>` + "\n</tbody>",
			"Of 1,000 views browsers have told how far they trust their times: about 20 % (± 6 %) were slow",
		},
	} {
		_, page := get(t, h, path)
		for _, want := range want {
			if !strings.Contains(page, want) {
				t.Errorf("%s: no %q in\n%s", path, want, page)
			}
		}
		if strings.Contains(page, `role="alert"`) || strings.Contains(page, "NaN") {
			t.Errorf("%s: an alert, or no number, in\n%s", path, page)
		}
	}
	if _, page := get(t, explorer(Config{Prometheus: client, Sample: .5}, now), "/views/?range=1h"); !strings.Contains(page, "Of 250 page views") {
		t.Errorf("with half of the views asked to tell, the front page says\n%s", page)
	}
	half := explorer(Config{Prometheus: client, Sample: .5}, now)
	if _, page := get(t, half, "/views/page/addon?range=1h"); !strings.Contains(page, "Of 250 page views that should have told of themselves 200 did: 80 %.") {
		t.Errorf("with half of the views asked to tell, the page says\n%s", page)
	}
	for sample, want := range map[float64]string{.4: "All 200 page views that should have told of themselves did.", .3: "All 150 page views that should have told of themselves did."} {
		if _, page := get(t, explorer(Config{Prometheus: client, Sample: sample}, now), "/views/?range=1h"); !strings.Contains(page, want) || strings.Contains(page, "The others") {
			t.Errorf("with %v of the views asked to tell, the front page says\n%s", sample, page)
		}
	}
	if _, page := get(t, h, "/views/?range=1h"); strings.Index(page, ">addon</a>") > strings.Index(page, ">home</a>") || strings.Contains(page, "<td>bot</td>") {
		t.Errorf("the worst page is not on top, or programs are among people:\n%s", page)
	}
}

func TestASeriesCountsFromItsBeginning(t *testing.T) {
	registry := prometheus.NewRegistry()
	beacons := rum.NewHandler(rum.Config{Pages: []string{"addon"}}, registry, discard{}, slog.New(slog.DiscardHandler))
	db, err := tsdb.Open(tsdb.Config{Dir: t.TempDir(), Interval: 500 * time.Millisecond, Targets: []tsdb.Target{{Job: "relay", Instance: "a", Handler: metricsOf(registry)}}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- db.Run(ctx) }()
	defer func() {
		stop()
		if err := errors.Join(<-ran, db.Close()); err != nil {
			t.Error(err)
		}
	}()
	for range 3 {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("POST", "/rum", strings.NewReader(`{"page":"addon","vitals":{"LCP":3000},"nav":{"type":"navigate","now":9000,"responseStart":10}}`))
		r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/150.0")
		r.Header.Set("Accept-Language", "en")
		beacons.ServeHTTP(w, r)
		if w.Code != http.StatusNoContent {
			t.Fatal(w.Code, w.Body)
		}
	}
	n := numbers{prom.Local(db.Handler())}
	var lcp measure
	for range 20 { // of a time that short, increase() takes too much for the part that it has not seen
		if err := db.Scrape(t.Context()); err != nil {
			t.Fatal(err)
		}
		all, err := n.measures(t.Context(), among{Page: "addon"}, "", time.Hour, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if m := all[group{}]; m != nil {
			lcp = m[0]
		}
		if count(lcp.N()) == "3" {
			break
		}
	}
	if count(lcp.N()) != "3" || count(lcp.Middle) != "3" {
		t.Errorf("%v views of 3, %v of them need improvement: want all of those before the first scrape", lcp.N(), lcp.Middle)
	}
	if p := lcp.P75(); p < 2.7 || p > 3.3 {
		t.Errorf("p75 = %v s, want 3, from native buckets", p)
	}
}

func TestARealPrometheusTakesEveryQuery(t *testing.T) {
	client, err := prom.Dial(enginetest.URL(t, "PROMETHEUS"))
	if err != nil {
		t.Fatal(err)
	}
	h := explorer(Config{Prometheus: client}, time.Now())
	for _, path := range []string{"/views/?range=7d", "/views/page/addon?device=tablet&vital=cls&range=1h", "/views/page/addon?vital=inp&range=7d"} {
		if status, page := get(t, h, path); status != 200 || strings.Contains(page, `role="alert"`) {
			t.Errorf("%s: status %d\n%s", path, status, page)
		}
	}
}

// recorder is a Prometheus that only listens.
type recorder struct {
	mu    sync.Mutex
	asked []string
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	req.ParseForm()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, req.Form.Get("query"))
	kind := "vector"
	if strings.HasSuffix(req.URL.Path, "/query_range") {
		kind = "matrix"
	}
	if strings.HasSuffix(req.URL.Path, "/query_exemplars") {
		fmt.Fprint(w, `{"status":"success","data":[]}`)
		return
	}
	fmt.Fprintf(w, `{"status":"success","data":{"resultType":%q,"result":[]}}`, kind)
}

func TestNothingOfAnAddressComesIntoAQuery(t *testing.T) {
	r := &recorder{}
	h := explorer(Config{Prometheus: prom.Local(r)}, time.Now())
	for _, path := range []string{
		"/views/page/addon?device=evil%22%7D&vital=evil&range=evil&deploy=evil", "/views/?device=evil%22&range=1e9evil", "/views/page/evil%22%7D", "/views/recent?page=evil",
	} {
		if _, page := get(t, h, path); strings.Contains(page, "evil") {
			t.Errorf("%s: the page has a word of its address:\n%s", path, page)
		}
	}
	if len(r.asked) == 0 {
		t.Fatal("nothing was asked")
	}
	for _, query := range r.asked {
		if strings.Contains(query, "evil") {
			t.Errorf("asked %s", query)
		}
	}
	if !slices.ContainsFunc(r.asked, func(q string) bool { return strings.Contains(q, `{device!="bot",page="addon"}[1d]`) }) {
		t.Errorf("asked %q, want the usual time and devices for words that mean nothing", r.asked)
	}
}

func TestWithoutPrometheusThePagesShowWhatIsKnownAndSayWhy(t *testing.T) {
	refused, err := prom.Dial("http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	for why, client := range map[string]*prom.Client{
		"connection refused": refused,
		"--prometheus":       nil,
		"it is &lt;broken&gt;": prom.Local(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusUnprocessableEntity)
			fmt.Fprint(w, `{"status":"error","errorType":"execution","error":"it is <broken>"}`)
		})),
	} {
		store := NewStore(nil)
		store.Add(slow())
		h := explorer(Config{Store: store, Prometheus: client}, time.Now())
		for _, path := range []string{"/views/", "/views/page/addon"} {
			status, page := get(t, h, path)
			if status != 200 || !strings.Contains(page, `role="alert"`) || !strings.Contains(page, why) || !strings.Contains(page, `<a href="/views/1">`) || strings.Contains(page, "histogram_quantile") {
				t.Errorf("%s: status %d, want %q and the view that is kept in\n%s", path, status, why, page)
			}
		}
	}
}

func TestAPrometheusThatDoesNotAnswerIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := prom.Local(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		h := explorer(Config{Prometheus: silent}, time.Now())
		began := time.Now()
		if _, page := get(t, h, "/views/page/addon"); !strings.Contains(page, `role="alert"`) || time.Since(began) > patience {
			t.Errorf("after %v: %s", time.Since(began), page)
		}
	})
}

func TestTheLimitsAreEdgesOfTheBuckets(t *testing.T) {
	registry := prometheus.NewRegistry()
	h := rum.NewHandler(rum.Config{Pages: []string{"x"}}, registry, discard{}, slog.New(slog.DiscardHandler))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", "/rum", strings.NewReader(`{"page":"x","vitals":{"LCP":1,"INP":1,"CLS":1,"FCP":1,"TTFB":1}}`)))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	edges := map[string][]float64{}
	for _, f := range families {
		for _, b := range f.GetMetric()[0].GetHistogram().GetBucket() {
			edges[f.GetName()] = append(edges[f.GetName()], b.GetUpperBound())
		}
	}
	for _, v := range vitals {
		if e := edges[v.Metric]; !slices.Contains(e, v.Good) || !slices.Contains(e, v.Poor) {
			t.Errorf("%s has the edges %v, want %v and %v among them", v.Metric, e, v.Good, v.Poor)
		}
	}
}

func TestA75thPercentileLiesWhereTheSharesSay(t *testing.T) {
	lcp := vitals[0]
	for _, c := range []struct {
		estimate float64
		shares
		want   float64
		rating rating
	}{
		{2.55, shares{75, 25, 0}, 2.5, good},
		{2.45, shares{74, 26, 0}, 2.5, middle},
		{4.1, shares{70, 5, 25}, 4, middle},
		{3.9, shares{70, 4, 26}, 4, poor},
		{5, shares{0, 0, 10}, 5, poor},
		{5, shares{}, math.NaN(), unrated},
	} {
		m := measure{lcp, c.shares, c.estimate}
		if got := m.P75(); got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) || m.Rating() != c.rating {
			t.Errorf("%v of %v = %v, %v, want %v, %v", c.estimate, c.shares, got, m.Rating().Text, c.want, c.rating.Text)
		}
	}
}

func TestConfidenceIsToldWithoutWhatChanceHasAdded(t *testing.T) {
	for want, c := range map[string]confidence{
		"of 1,000 views … about 0 % (± 6 %)":       {1000, 240, 500}, // chance alone makes 250 low
		"of 1,000 views … about 100 % (± 6 %)":     {1000, 760, 500},
		"of 1,000 views … about 30 % (± 3 %)":      {1000, 300, 0},
		"of 100 views … too few to say more":       {100, 50, 50},
		"of 1 views … too few to say more, for th": {1, 1, 1},
	} {
		got := strings.Replace(c.Text(), "Of ", "of ", 1)
		before, after, _ := strings.Cut(want, " … ")
		if !strings.HasPrefix(got, before) || !strings.Contains(got, after) || strings.Contains(got, "NaN") {
			t.Errorf("%+v: %q, want %q", c, got, want)
		}
	}
}

func TestAVersionThatWasThereBeforeIsNoDeploy(t *testing.T) {
	there := map[model.Time][]string{}
	for minute, versions := range []string{"", "a", "a", "a b", "b", "", "b", "a", "c a"} { // a gap, and back to a
		if versions != "" {
			there[model.TimeFromUnix(int64(60*minute))] = strings.Fields(versions)
		}
	}
	var got []string
	for _, d := range came(there, time.Minute) {
		got = append(got, fmt.Sprint(d.Version, " ", d.From.Unix()/60, "–", d.At.Unix()/60))
	}
	if diff := cmp.Diff([]string{"b 2–3", "a 6–7", "c 7–8"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestADifferenceOfFewViewsIsNone(t *testing.T) {
	of := func(good, bad float64) measure {
		return measure{vital: vitals[0], shares: shares{Good: good, Poor: bad}}
	}
	for want, c := range map[string]compared{
		"too few views: 50 are needed on either side": {of(40, 9), of(5000, 0)},
		"no clear difference":                         {of(60, 20), of(64, 16)},
		"better":                                      {of(600, 200), of(680, 120)},
		"worse":                                       {of(80, 0), of(60, 20)},
	} {
		if got := c.Verdict(); got != want {
			t.Errorf("%+v: %q, want %q", c, got, want)
		}
	}
	if got := (compared{of(50, 0), of(50, 0)}).Verdict(); got != "no clear difference" {
		t.Errorf("all good twice: %q", got)
	}
}

func TestAPlotLiesWithinItsFrame(t *testing.T) {
	w := newWindow(spans[0], time.Date(2026, 3, 4, 15, 16, 17, 0, time.UTC))
	var points []point
	for i, x := range []float64{1, math.NaN(), 9, 3, 0} {
		p := point{w.Start.Add(time.Duration(i) * w.Step), w.Start.Add(time.Duration(i+1) * w.Step), measure{vital: vitals[0], p75: x}}
		if x >= 0 {
			p.add(p.vital.Good, map[bool]float64{true: 10}[x <= 2.5])
			p.add(p.vital.Poor, map[bool]float64{true: 10}[x <= 4])
			p.add(math.Inf(1), 10)
		}
		points = append(points, p)
	}
	g := newPlot(vitals[0], points, []deploy{{w.Start, w.Start.Add(time.Minute), "v"}, {At: w.Start.Add(-time.Hour)}}, w)
	if len(g.Dots) != 4 || len(g.Lines) != 2 || len(g.Marks) != 1 {
		t.Fatalf("%d dots, %d lines, %d marks: want a gap where nothing was measured, and no deploy before the window", len(g.Dots), len(g.Lines), len(g.Marks))
	}
	for _, d := range g.Dots {
		if d.X < 0 || d.X > 100 || d.Y < 0 || d.Y > 100 {
			t.Errorf("dot %+v", d)
		}
	}
	for i, want := range []string{"ok", "bad", "warn", "ok"} {
		d := g.Dots[i]
		for _, b := range g.Bands {
			if b.Class == want && (d.Class != want || d.Y < b.Top-1e-9 || d.Y > b.Top+b.Height+1e-9) {
				t.Errorf("dot %d %+v is not in the band %+v", i, d, b)
			}
		}
	}
	if newPlot(vitals[0], points[1:2], nil, w) != nil {
		t.Error("a plot of nothing")
	}
}

// metricsOf is a target's /metrics.
func metricsOf(r *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{EnableOpenMetrics: true})
}
