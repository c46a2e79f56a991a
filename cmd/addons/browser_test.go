package main

import (
	"context"
	"database/sql"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"addons/server/enginetest"
)

// browser is a real Chromium.
func browser(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(enginetest.URL(t, "CHROMIUM")), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-quic", true), chromedp.WindowSize(1280, 900))
	ctx, stop := chromedp.NewExecAllocator(t.Context(), options...)
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

func TestASlowQueryIsFoundFromThePageThatItMadeSlow(t *testing.T) {
	ctx := browser(t)
	mysql, database := enginetest.URL(t, "MYSQL"), own("slow_")
	createDatabase(t, mysql, database)
	p := start(t, t.TempDir(), "ready", "--database", mysql+database)
	do := func(steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, steps...); err != nil {
			t.Fatal(err)
		}
	}
	do(chromedp.Navigate(p.url("/en-US/firefox/")), chromedp.WaitVisible("h1"))

	// Whoever reads the add-ons waits for this lock.
	release := lockTable(t, mysql, database+".addons")
	time.AfterFunc(1500*time.Millisecond, release)
	do(chromedp.Click("main a[href*='/addon/']"), chromedp.WaitVisible("a[href*='/downloads/']"))
	do(chromedp.Navigate("about:blank"))

	explorer := p.addresses["operators"] + "/views/"
	eventually(t, "the view of the add-on's page", func() bool {
		_, list := p.get(explorer + "?page=addon")
		return strings.Contains(list, "badge bad")
	})
	do(chromedp.Navigate(explorer+"?page=addon"), chromedp.Click("tbody a"), chromedp.WaitVisible(".why"))
	why := ask(t, ctx, chromedp.Text(".why"))
	if !strings.Contains(why, "of which db.mysql.") {
		t.Errorf("the explorer says %q", why)
	}
	if wide := ask(t, ctx, chromedp.Evaluate[int](`document.documentElement.scrollWidth - innerWidth`)); wide > 0 {
		t.Errorf("the explorer's page is %d px too wide", wide)
	}
}

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
