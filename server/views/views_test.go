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
	h := New(store, console.New("/views/", nil))
	status, list := get(t, h, "/views/")
	if status != 200 || !strings.Contains(list, `<a href="/views/1">addon</a>`) || !strings.Contains(list, `<span class="badge bad">3000 ms</span>`) || !strings.Contains(list, "2500 ms") {
		t.Errorf("status %d, the list is\n%s", status, list)
	}
	for _, path := range []string{"/views/1", "/views/trace/" + trace} {
		status, page := get(t, h, path)
		for _, want := range []string{
			"The server worked 2500 ms, of which db.sqlite.addon_by_slug took 2250 in one call.", "<code>/:locale/:app/addon/:addon/</code> took 2500 ms · db 2300 ms in 3",
			"<code>db.sqlite.addon_by_slug</code>", `<rect class="server"`, "<code>db.sqlite._b_</code>", "trace <code>" + trace,
		} {
			if status != 200 || !strings.Contains(page, want) {
				t.Errorf("%s: status %d, no %q in\n%s", path, status, want, page)
			}
		}
	}
	for _, path := range []string{"/views/2", "/views/x", "/views/trace/", "/views/trace/0", "/views/-1"} {
		if status, _ := get(t, h, path); status != 404 {
			t.Errorf("%s: status %d, want 404", path, status)
		}
	}
	if _, other := get(t, h, "/views/?page=home"); !strings.Contains(other, "None yet") {
		t.Errorf("views of another page are\n%s", other)
	}
}

func TestWhyAViewWasSlow(t *testing.T) {
	for name, c := range map[string]struct {
		change func(v *view)
		want   string
	}{
		"good":                   {func(v *view) { v.Samples = []rum.Sample{{Vital: "lcp", Value: 2500}} }, "All vitals are good."},
		"in the browser":         {func(v *view) { v.Nav.ResponseStart, v.Nav.ResponseEnd, v.Samples[1].Value = 100, 120, 100 }, "passed in the browser"},
		"on the way":             {func(v *view) { v.Request.Took = 20 * time.Millisecond }, "the network is slow"},
		"nobody knows":           {func(v *view) { v.Request = metrics.Done{} }, "not among the last"},
		"in the server's code":   {func(v *view) { v.Request.Works = nil }, "without waiting for a query"},
		"in a query":             {func(*view) {}, "db.sqlite.addon_by_slug took 2250"},
		"in many of one queries": {func(v *view) { v.Request.Works[1].Total, v.Request.Works[1].Count = 2400*time.Millisecond, 300 }, "in 300 calls"},
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

func TestViewsAreBoundedAndGoodOnesASample(t *testing.T) {
	store := NewStore(nil)
	for i := range 2*kept + 7 {
		v := slow()
		v.Page = fmt.Sprint("page", i)
		store.Add(v)
	}
	all := store.newest("")
	if len(all) != kept || all[0].Page != fmt.Sprint("page", 2*kept+6) || store.find(1, "") != nil || store.find(2*kept, "") == nil {
		t.Errorf("%d views are kept, the newest of %s", len(all), all[0].Page)
	}
	good := NewStore(nil)
	for range 95 {
		v := slow()
		v.Samples = nil
		good.Add(v)
	}
	if got := len(good.newest("")); got != 10 {
		t.Errorf("of 95 good views %d are kept, want one in ten", got)
	}
}
