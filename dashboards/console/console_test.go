package console_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"addons/dashboards/console"
)

func TestAPageHasItsNavigationAndOnlyOurOwnFiles(t *testing.T) {
	t.Parallel()
	c := console.New("/x/", []console.Link{{Name: "A & B", Path: "/x/"}, {Name: "C", Path: "/c/"}})
	w := httptest.NewRecorder()
	if err := c.Write(w, http.StatusTeapot, console.Page{Title: "<T>", Here: "/x/", Scripts: []string{"/x/a.js"}, Body: "<p>body</p>"}); err != nil {
		t.Fatal(err)
	}
	body := w.Body.String()
	for _, want := range []string{"<title>&lt;T&gt;</title>", `<a href="/x/" aria-current="page">A &amp; B</a>`, `<a href="/c/">C</a>`, "<p>body</p>", `<script type="module" src="/x/a.js">`, c.Files()[0].Path} {
		if !strings.Contains(body, want) {
			t.Errorf("the page has no %s", want)
		}
	}
	if w.Code != http.StatusTeapot || !strings.Contains(w.Header().Get("Content-Security-Policy"), "script-src 'self'") {
		t.Errorf("status %d, headers %v", w.Code, w.Header())
	}
}

func TestAFileIsKeptForEverBecauseItsNameChangesWithIt(t *testing.T) {
	t.Parallel()
	a, b := console.NewAsset("/x/", "s.css", []byte("a{}")), console.NewAsset("/x/", "s.css", []byte("b{}"))
	if a.Path == b.Path || !strings.HasSuffix(a.Path, ".css") {
		t.Errorf("paths %s and %s", a.Path, b.Path)
	}
	r := httptest.NewRequest(http.MethodGet, a.Path, nil)
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	if w.Body.String() != "a{}" || w.Header().Get("Content-Type") != "text/css; charset=utf-8" || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
		t.Errorf("%q, %v", w.Body, w.Header())
	}
	r.Header.Set("Accept-Encoding", "gzip")
	w = httptest.NewRecorder()
	a.ServeHTTP(w, r)
	if w.Header().Get("Content-Encoding") != "gzip" || w.Body.Len() == 0 {
		t.Errorf("gzip: %v", w.Header())
	}
}
