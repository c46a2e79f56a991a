package rum_test

import (
	"net/http"
	"testing"
	"time"
	"os"

	"addons/server/enginetest"
)

func TestZZ(t *testing.T) {
	p := enginetest.Prefs{"extensions.enabledScopes": 1}
	m := enginetest.Firefox(t, p)
	lost := 0
	for i := range 30 {
		s, b := newPages(t), newFirefoxTab(t, m)
		logs := make(chan string, 10)
		s.mux.HandleFunc("/log", func(_ http.ResponseWriter, r *http.Request) { logs <- r.URL.RawQuery })
		b.open(s.measured("/page", `for (const type of ['pagehide', 'visibilitychange']) addEventListener(type, () => { navigator.sendBeacon('/log?' + type + document.visibilityState) }, true)`, ""))
		loaded(b)
		if os.Getenv("OTHER") != "" { m.Script(nil, `gBrowser.addTrustedTab(arguments[0]+"/unmeasured")`, s.URL) }
		b.close()
		select {
		case <-s.got:
		case <-time.After(3 * time.Second):
			lost++
			t.Log(i, "lost; logs:", len(logs))
		}
	}
	t.Log("lost", lost)
}
