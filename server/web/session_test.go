package web

import (
	"crypto/rand"
	"database/sql"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"

	"addons/server/catalog"
	"addons/server/enginetest"
	"addons/server/metrics"
	"addons/server/store"
)

// replicated is a new database on the pair of MariaDBs, which this test alone then has,
// and the replica's own connection.
func replicated(t *testing.T) (db *store.DB, onReplica *sql.DB) {
	t.Helper()
	dial := func(variable string) (*url.URL, *sql.DB) {
		u, err := url.Parse(enginetest.URL(t, variable))
		if err != nil {
			t.Fatal(err)
		}
		server, err := sql.Open("mysql", "root@tcp("+u.Host+")/")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { server.Close() })
		return u, server
	}
	writer, onWriter := dial("MYSQL_WRITER")
	replica, onReplica := dial("MYSQL_REPLICA")
	conn, err := onWriter.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	var got int
	if err := conn.QueryRowContext(t.Context(), "SELECT GET_LOCK('replication', 300)").Scan(&got); err != nil || got != 1 {
		t.Fatalf("the pair is taken: %d, %v", got, err)
	}
	name := "addons_web_" + strings.ToLower(rand.Text()[:12])
	if _, err := onWriter.Exec("CREATE DATABASE " + name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		onReplica.Exec("START SLAVE")
		onWriter.Exec("DROP DATABASE " + name)
	})
	writer.Path, replica.Path = "/"+name, "/"+name
	db, err = store.Open(t.Context(), writer.String(), metrics.New(nil), slog.New(slog.DiscardHandler), replica.String()+"?lag=10s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db, onReplica
}

// TestAPersonSeesWhatTheyWroteAlthoughReplicasLag: by routes of the test, because no
// page of the site writes yet. The handlers know nothing of replicas.
func TestAPersonSeesWhatTheyWroteAlthoughReplicasLag(t *testing.T) {
	db, onReplica := replicated(t)
	reg := metrics.New(nil)
	w := &Web{Config: Config{Registry: reg, Session: db.Session, BaseURL: "https://addons.example"}, meter: newMeter(reg)}
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
	// The replica is read from once its copy of the tables is there.
	tick, late := time.NewTicker(5*time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for err := db.CheckReplicas(t.Context()); err != nil; err = db.CheckReplicas(t.Context()) {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("the replica is never read from")
		}
	}
	if _, err := onReplica.Exec("STOP SLAVE SQL_THREAD"); err != nil {
		t.Fatal(err)
	}
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
