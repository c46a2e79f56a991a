package main

import (
	"context"
	"database/sql"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"addons/server/enginetest"
)

// browser is a real Chromium.
func browser(t *testing.T, more ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(enginetest.URL(t, "CHROMIUM")), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-quic", true), chromedp.WindowSize(1280, 900))
	ctx, stop := chromedp.NewExecAllocator(t.Context(), append(options, more...)...)
	t.Cleanup(stop)
	ctx, stop = chromedp.NewContext(ctx)
	t.Cleanup(stop)
	ctx, stop = context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(stop)
	return ctx
}

// ask returns what the browser says.
func ask[T any](t *testing.T, ctx context.Context, a chromedp.Action[T]) T {
	t.Helper()
	v, err := chromedp.Run(ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestABrowserWalksTheSiteAndItsBeaconsArriveInBothStores(t *testing.T) {
	ctx := browser(t)
	carbon, graphite := enginetest.URL(t, "CARBON"), enginetest.URL(t, "GRAPHITE")
	prefix := "browser" + strconv.FormatInt(time.Now().Unix(), 10) // Graphite may have another run's
	p := start(t, t.TempDir(), "ready", "--graphite", carbon, "--graphite-prefix", prefix)

	do := func(steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, steps...); err != nil {
			t.Fatal(err)
		}
	}
	do(chromedp.Navigate(p.url("/en-US/firefox/")), chromedp.WaitVisible("h1"))
	if title := ask(t, ctx, chromedp.Title()); title == "" {
		t.Error("the first page has no title")
	}
	do(chromedp.Click("main a[href*='/addon/']"), chromedp.WaitVisible("a[href*='/downloads/']"))
	if name := ask(t, ctx, chromedp.Text("h1")); name == "" {
		t.Error("the add-on's page has no heading")
	}
	if wide := ask(t, ctx, chromedp.Evaluate[int](`document.documentElement.scrollWidth - innerWidth`)); wide > 0 {
		t.Errorf("the add-on's page is %d px too wide", wide)
	}
	do(chromedp.SendKeys("input[name=q]", "tab\n"), chromedp.WaitVisible("#q[value=tab]"))
	if where := ask(t, ctx, chromedp.Location()); !strings.Contains(where, "q=tab") {
		t.Errorf("the search led to %s", where)
	}
	// Leaving the last page sends its beacon too.
	do(chromedp.Navigate("about:blank"))

	for _, page := range []string{"home", "addon", "search"} {
		eventually(t, page+"'s time to first byte in Prometheus", func() bool {
			return p.prometheus(`sum(rum_web_vital_ttfb_seconds_count{page="`+page+`"})`) > 0
		})
	}
	eventually(t, "LCP in Prometheus", func() bool { return p.prometheus(`sum(rum_web_vital_lcp_seconds_count)`) > 0 })
	eventually(t, "CLS in Prometheus", func() bool { return p.prometheus(`sum(rum_web_vital_cls_count)`) > 0 })
	if n := p.prometheus(`sum(rum_values_dropped_total)`); n != 0 {
		t.Errorf("%v values of a real browser were dropped", n)
	}
	eventually(t, "the same in Graphite", func() bool {
		return sumOf(t, graphite, prefix+".timers.rum.bot.home.ttfb.count") == p.prometheus(`sum(rum_web_vital_ttfb_seconds_count{page="home"})`)
	})
	if p75 := sumOf(t, graphite, prefix+".timers.rum.bot.home.ttfb.upper_75"); p75 <= 0 {
		t.Errorf("p75 in Graphite is %v", p75)
	}
}

// visitor has a browser say that a person holds it: what programs measure is kept apart.
func visitor(t *testing.T) context.Context {
	return browser(t, chromedp.Flag("enable-automation", false), chromedp.Flag("disable-blink-features", "AutomationControlled"),
		chromedp.UserAgent("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36"))
}

func TestASlowQueryIsFoundFromThePageThatItMadeSlow(t *testing.T) {
	mysql, database := enginetest.URL(t, "MYSQL"), own("slow_")
	createDatabase(t, mysql, database)
	p := start(t, t.TempDir(), "ready", "--database", mysql+database)
	ctx := visitor(t)
	do := func(steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, steps...); err != nil {
			t.Fatal(err)
		}
	}
	do(chromedp.Navigate(p.url("/en-US/firefox/")), chromedp.WaitVisible("h1"))

	// Whoever reads the add-ons waits for this lock.
	release := lockTable(t, mysql, database+".addons")
	time.AfterFunc(2*time.Second, release)
	do(chromedp.Click("main a[href*='/addon/']"), chromedp.WaitVisible("a[href*='/downloads/']"))
	do(chromedp.Navigate("about:blank"))

	operators := p.addresses["operators"]
	eventually(t, "the add-on's page on the explorer's front page", func() bool {
		_, front := p.get(operators + "/views/?range=1h")
		return strings.Contains(front, "/views/page/addon?device=desktop")
	})
	fits := func(what string) {
		t.Helper()
		do(chromedp.EmulateViewport(360, 800))
		if wide := ask(t, ctx, chromedp.Evaluate[int](`document.documentElement.scrollWidth - innerWidth`)); wide > 0 {
			t.Errorf("%s is %d px too wide for a phone", what, wide)
		}
		do(chromedp.EmulateViewport(1280, 900))
	}
	do(chromedp.Navigate(operators+"/views/?range=1h"), chromedp.WaitVisible("h1"))
	fits("the front page")
	do(chromedp.Click("tbody th a[href*='/views/page/addon']"), chromedp.WaitVisible("#slow"))
	fits("the page's page")
	// How many increase() takes for those that it has not seen yet, of a series that is seconds old, is not ours to say.
	if figure := ask(t, ctx, chromedp.Text(".figure")); !strings.Contains(figure, "views, desktop, last 1h · good for 0 %") {
		t.Errorf("the page's page says %q", figure)
	}
	do(chromedp.Click("#slow + .card tbody a"), chromedp.WaitVisible(".why"))
	fits("the view's page")
	isSlow := func(page string) {
		t.Helper()
		if !strings.Contains(page, "of which db.mysql.") || !strings.Contains(page, "<code>db</code>") {
			t.Errorf("the query, or the response's Server-Timing, is not on the view's page:\n%s", page)
		}
	}
	isSlow(ask(t, ctx, chromedp.OuterHTML("main")))

	// The same from an exemplar, as a scraper gets it, and from the dashboard's chart.
	trace := slowExemplar(t, p.addresses["relay"]+"/metrics")
	_, page := p.get(operators + "/views/trace/" + trace)
	isSlow(page)
	eventually(t, "the trace on the dashboard", func() bool {
		_, board := p.get(operators + "/dashboards/browsers?range=15m")
		return strings.Contains(board, `<a href="/views/trace/`+trace+`">`)
	})
	do(chromedp.Navigate(operators+"/dashboards/browsers?range=15m"), chromedp.Click(".traces a[href$='"+trace+"']"), chromedp.WaitVisible(".why"))
}

// slowExemplar is the trace of an add-on's page that took more than a second to begin.
func slowExemplar(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range exemplar.FindAllStringSubmatch(string(text), -1) {
		if seconds, err := strconv.ParseFloat(m[2], 64); err == nil && seconds > 1 {
			return m[1]
		}
	}
	t.Fatalf("%s has no exemplar of a slow page:\n%s", url, text)
	return ""
}

var exemplar = regexp.MustCompile(`(?m)^rum_web_vital_ttfb_seconds_bucket\{[^}]*page="addon"[^}]*\} \S+ # \{trace_id="([0-9a-f]{32})"\} (\S+)`)

// lockTable has every reader of a table wait until release.
func lockTable(t *testing.T, rawURL, table string) (release func()) {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	server, err := sql.Open("mysql", u.User.Username()+"@tcp("+u.Host+")/")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := server.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), "LOCK TABLES "+table+" WRITE"); err != nil {
		t.Fatal(err)
	}
	release = sync.OnceFunc(func() {
		conn.Close()
		server.Close()
	})
	t.Cleanup(release)
	return release
}
