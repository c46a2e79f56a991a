package rum_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"addons/server/enginetest"
)

// patience bounds every wait: a browser on a machine that is busy with other
// tests may take many seconds for a page.
const patience = 30 * time.Second

// tab is what a test does with a real browser. Steps that load a page wait for it.
type tab interface {
	open(url string)
	begin(url string) // open, without waiting
	reload()
	back()
	click(selector string)              // as a hand does
	eval(expression string, result any) // awaits a promise; nil: not wanted
	away()                              // shows another tab
	show()                              // shows this one again
	close()
	// refuse has the browser wish for "globalPrivacyControl" or "doNotTrack" until
	// the tab ends. Where it cannot, the script that it returns says so in the page.
	refuse(wish string) (script string)
}

// chromium is a real Chromium with an empty tab.
func chromium(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(enginetest.URL(t, "CHROMIUM")), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-component-update", true), chromedp.WindowSize(1280, 900))
	ctx, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, stop = chromedp.NewContext(ctx)
	t.Cleanup(stop)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// chromiumTab is a tab of Chromium.
type chromiumTab struct {
	t            *testing.T
	browser      context.Context
	ctx          context.Context
	close_       context.CancelFunc
	closeAnother context.CancelFunc
}

func newChromiumTab(t *testing.T, browser context.Context) *chromiumTab {
	t.Helper()
	b := &chromiumTab{t: t, browser: browser}
	b.ctx, b.close_ = b.another()
	t.Cleanup(func() { b.close_() })
	return b
}

// another is a new tab, in front of the others.
func (b *chromiumTab) another() (context.Context, context.CancelFunc) {
	b.t.Helper()
	ctx, stop := chromedp.NewContext(b.browser, chromedp.WithNewWindow(false))
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		b.t.Fatal(err)
	}
	return ctx, stop
}

func (b *chromiumTab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, stop := context.WithTimeout(b.ctx, patience)
	defer stop()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *chromiumTab) eval(expression string, result any) {
	b.t.Helper()
	ctx, stop := context.WithTimeout(b.ctx, patience)
	defer stop()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`Promise.resolve((`+expression+`)).then(v => JSON.stringify(v) || 'null')`, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	decode(b.t, text, result)
}

// decode reads the JSON of what an expression gave.
func decode(t *testing.T, text string, result any) {
	t.Helper()
	if result == nil {
		return
	}
	if err := json.Unmarshal([]byte(text), result); err != nil {
		t.Fatalf("the page said %s: %v", text, err)
	}
}

func (b *chromiumTab) open(url string) { b.t.Helper(); b.do(chromedp.Navigate(url)) }
func (b *chromiumTab) begin(url string) {
	b.t.Helper()
	b.eval(fmt.Sprintf("void setTimeout(() => { location.href = %q }, 0)", url), nil)
}
func (b *chromiumTab) reload()               { b.t.Helper(); b.do(chromedp.Reload()) }
func (b *chromiumTab) click(selector string) { b.t.Helper(); b.do(chromedp.Click(selector)) }
func (b *chromiumTab) away()                 { b.t.Helper(); _, b.closeAnother = b.another() }
func (b *chromiumTab) show()                 { b.closeAnother() }

// back waits for the address to change: a page from the back/forward cache is not
// loaded, so that no event says it was, and what is asked meanwhile gets no answer.
func (b *chromiumTab) back() {
	b.t.Helper()
	where := func() string {
		ctx, stop := context.WithTimeout(b.ctx, time.Second)
		defer stop()
		url, _ := chromedp.Run(ctx, chromedp.Evaluate[string]("location.href"))
		return url
	}
	before := where()
	// Later, or the page may be gone before it has answered.
	b.eval("void setTimeout(() => history.back(), 0)", nil)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if now := where(); now != "" && now != before {
			return
		}
	}
	b.t.Fatalf("Chromium stayed on %s", before)
}

func (b *chromiumTab) close() {
	b.t.Helper()
	b.close_()
	b.ctx, b.close_ = b.another()
}

// refuse: Chromium has no such setting that a program could change.
func (b *chromiumTab) refuse(wish string) string {
	return fmt.Sprintf("Object.defineProperty(Navigator.prototype, %q, { get: () => %s });", wish, map[string]string{
		"globalPrivacyControl": "true", "doNotTrack": "'1'"}[wish])
}

// firefoxTab is a tab of Firefox, the one that content commands go to.
type firefoxTab struct {
	t *testing.T
	m *enginetest.Marionette
}

func newFirefoxTab(t *testing.T, m *enginetest.Marionette) *firefoxTab {
	t.Helper()
	b := &firefoxTab{t, m}
	b.renew()
	return b
}

// renew closes the tab, which goes on to be seen until then, and takes a new one.
func (b *firefoxTab) renew() {
	b.t.Helper()
	var opened struct{ Handle string }
	b.content("WebDriver:NewWindow", map[string]any{"type": "tab", "focus": false}, &opened)
	b.content("WebDriver:CloseWindow", struct{}{}, nil)
	b.content("WebDriver:SwitchToWindow", map[string]any{"handle": opened.Handle, "focus": true}, nil)
	b.m.Script(nil, `window.tested = gBrowser.selectedTab;`)
}

// content sends a command to the page.
func (b *firefoxTab) content(command string, parameters, result any) {
	b.t.Helper()
	b.m.Command("Marionette:SetContext", map[string]any{"value": "content"}, nil)
	defer b.m.Command("Marionette:SetContext", map[string]any{"value": "chrome"}, nil)
	b.m.Command(command, parameters, result)
}

func (b *firefoxTab) eval(expression string, result any) {
	b.t.Helper()
	var got struct{ Value string }
	b.content("WebDriver:ExecuteScript", map[string]any{
		"script": "return Promise.resolve((" + expression + ")).then(v => JSON.stringify(v) || 'null')",
		"args":   []any{}, "scriptTimeout": patience.Milliseconds(),
	}, &got)
	decode(b.t, got.Value, result)
}

func (b *firefoxTab) click(selector string) {
	b.t.Helper()
	var found struct{ Value map[string]string }
	b.content("WebDriver:FindElement", map[string]any{"using": "css selector", "value": selector}, &found)
	for _, id := range found.Value {
		b.content("WebDriver:ElementClick", map[string]any{"id": id}, nil)
	}
}

func (b *firefoxTab) open(url string) { b.t.Helper(); b.m.Open(url) }
func (b *firefoxTab) begin(url string) {
	b.t.Helper()
	b.eval(fmt.Sprintf("void setTimeout(() => { location.href = %q }, 0)", url), nil)
}
func (b *firefoxTab) reload() { b.t.Helper(); b.content("WebDriver:Refresh", struct{}{}, nil) }
func (b *firefoxTab) back()   { b.t.Helper(); b.content("WebDriver:Back", struct{}{}, nil) }
func (b *firefoxTab) close()  { b.t.Helper(); b.renew() }

func (b *firefoxTab) away() {
	b.t.Helper()
	b.m.Script(nil, `gBrowser.selectedTab = gBrowser.addTrustedTab("about:blank");`)
	b.state("hidden")
}

// state waits until the page is "hidden" or "visible": Firefox draws the other tab first.
func (b *firefoxTab) state(want string) {
	b.t.Helper()
	b.eval(fmt.Sprintf(`new Promise(done => {
		const look = () => document.visibilityState === %q && done()
		addEventListener('visibilitychange', look)
		look()
	})`, want), nil)
}

func (b *firefoxTab) show() {
	b.t.Helper()
	b.m.Script(nil, `gBrowser.selectedTab = window.tested;`)
	b.state("visible")
}

// refuse sets what Firefox's settings set.
func (b *firefoxTab) refuse(wish string) string {
	b.t.Helper()
	prefs := map[string][]string{
		"globalPrivacyControl": {"privacy.globalprivacycontrol.enabled", "privacy.globalprivacycontrol.functionality.enabled"},
		"doNotTrack":           {"privacy.donottrackheader.enabled"},
	}[wish]
	b.m.Script(nil, `for (const name of arguments[0]) Services.prefs.setBoolPref(name, true);`, prefs)
	b.t.Cleanup(func() { b.m.Script(nil, `for (const name of arguments[0]) Services.prefs.clearUserPref(name);`, prefs) })
	return ""
}
