package web

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"addons/server/catalog"
	"addons/server/enginetest"
	"addons/server/metrics"
	"addons/server/store"
)

// TestAPersonSeesWhatTheyWroteAlthoughReplicasLag: by routes of the test, because no
// page of the site writes yet. The handlers know nothing of replicas.
func TestAPersonSeesWhatTheyWroteAlthoughReplicasLag(t *testing.T) {
	p := enginetest.NewPair(t)
	db, err := store.Open(t.Context(), p.Writer.String(), metrics.New(nil), slog.New(slog.DiscardHandler), p.Replica.String()+"?lag=10s")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	reg := metrics.New(nil)
	w := &Web{Config: Config{Registry: reg, Session: db.Session, Log: slog.New(slog.DiscardHandler), BaseURL: "https://addons.example"}, meter: newMeter(reg)}
	w.unmatched = w.meter.endpoint(route{pattern: unmatched, module: "web", name: "unmatched"})
	mux := http.NewServeMux()
	mux.HandleFunc("POST /save", func(rw http.ResponseWriter, r *http.Request) {
		_, err := db.Save(r.Context(), store.Import{Addon: &catalog.Addon{
			GUID: "mine@example.org", Slug: "mine", Type: catalog.Extension, Status: catalog.Public,
			Name: catalog.Text{"en-US": "Mine"}, DefaultLocale: "en-US",
		}})
		if err != nil {
			t.Error(err)
		}
		rw.Header().Set("Cache-Control", "public, max-age=60")
		http.Redirect(rw, r, "/mine", http.StatusSeeOther)
	})
	mux.HandleFunc("GET /mine", func(rw http.ResponseWriter, r *http.Request) {
		if a, err := db.Addon(r.Context(), "mine"); err == nil {
			io.WriteString(rw, a.Slug)
		}
	})
	site := w.measure(mux)
	ask := func(method, path string, cookies ...*http.Cookie) *http.Response {
		r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
		for _, c := range cookies {
			r.AddCookie(c)
		}
		rec := httptest.NewRecorder()
		site.ServeHTTP(rec, r)
		return rec.Result()
	}
	text := func(r *http.Response) string {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		return string(b)
	}
	p.Await("the replica is read from", func() bool { return db.CheckReplicas(t.Context()) == nil })
	p.Stop()
	if r := ask("GET", "/mine"); text(r) != "" || len(r.Cookies()) != 0 {
		t.Errorf("before: cookies %v", r.Cookies())
	}
	saved := ask("POST", "/save")
	cookies := saved.Cookies()
	if len(cookies) != 1 || saved.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("cookies %v, Cache-Control %q of an answer that wrote", cookies, saved.Header.Get("Cache-Control"))
	}
	if c := cookies[0]; c.MaxAge != 15 || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" {
		t.Errorf("cookie %v", c)
	}
	if r := ask("GET", "/mine", cookies...); text(r) != "mine" || len(r.Cookies()) != 0 {
		t.Errorf("who wrote it reads of a replica that lags, or gets another cookie: %v", r.Cookies())
	}
	if got := text(ask("GET", "/mine", &http.Cookie{Name: after, Value: "x" + cookies[0].Value})); got != "" {
		t.Errorf("a cookie that is not ours is believed, or the replica is not read from: %q", got)
	}
}
