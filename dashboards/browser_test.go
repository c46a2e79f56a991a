package dashboards

import (
	"context"
	"net/http/httptest"
	"testing"
	"testing/fstest"
	"time"

	"github.com/chromedp/chromedp"

	"addons/dashboards/console"
	"addons/server/enginetest"
	"addons/statsd-relay/prom"
)

func TestARealPrometheusTakesEveryQuery(t *testing.T) {
	t.Parallel()
	client, err := prom.Dial(enginetest.URL(t, "PROMETHEUS"))
	if err != nil {
		t.Fatal(err)
	}
	v := newViewer(client, console.New("/dashboards/", nil))
	for _, d := range v.dashboards {
		w := newWindow(spans[0], v.interval, time.Now())
		chosen, err := choose(t.Context(), client, d, w, nil)
		if err != nil {
			t.Error(err)
		}
		for _, panel := range v.runAll(t.Context(), d, w, values(w, chosen)) {
			if panel.Problem != "" {
				t.Errorf("%s, %s: %s", d.Title, panel.Title, panel.Problem)
			}
		}
	}
}

func TestABrowserRefreshesPanelsAndReadsValuesUnderThePointer(t *testing.T) {
	t.Parallel()
	f := &fake{series: []map[string]string{{"a": "x"}}, value: "2"}
	site := httptest.NewServer(handler(f, From(fstest.MapFS{"a.json": {Data: []byte(`{"uid":"a","title":"A","refresh":"5s","panels":[
		{"id":1,"type":"timeseries","title":"T","gridPos":{"x":0,"y":0,"w":12,"h":8},"fieldConfig":{"defaults":{"unit":"s"}},"targets":[{"expr":"x","legendFormat":"x"}]}]}`)}})))
	defer site.Close()
	ctx, stop := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(enginetest.URL(t, "CHROMIUM")), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WindowSize(1280, 900))...)
	defer stop()
	ctx, stop = chromedp.NewContext(ctx)
	defer stop()
	ctx, stop = context.WithTimeout(ctx, time.Minute)
	defer stop()

	if err := chromedp.Do(ctx, chromedp.Navigate(site.URL+"/dashboards/a"), chromedp.WaitVisible(".plot")); err != nil {
		t.Fatal(err)
	}
	// The first of the three points is 1, an instant before the others.
	read, err := chromedp.Run(ctx, chromedp.Evaluate[string](`(() => {
		const plot = document.querySelector(".plot"), box = plot.getBoundingClientRect();
		const x = +plot.querySelector(".line").getAttribute("d").match(/[\d.]+/)[0];
		plot.dispatchEvent(new PointerEvent("pointermove", {bubbles: true, clientX: box.left + x / 1000 * box.width, clientY: box.top + 9}));
		return document.querySelector(".last").textContent;
	})()`))
	if err != nil || read != "1 s" {
		t.Errorf("the value under the pointer = %q, %v, want 1 s", read, err)
	}
	f.mu.Lock()
	f.value = "3"
	f.mu.Unlock()
	last, err := chromedp.Run(ctx, chromedp.Poll[string](`(document.querySelector(".last").textContent == "3 s" || null) && document.querySelector("[data-live] button").textContent`))
	if err != nil || last != "Pause" {
		t.Errorf("after the refresh: button %q, %v", last, err)
	}
}
