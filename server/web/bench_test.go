package web_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// BenchmarkAnswers is what one answer costs when the cache has what it needs.
func BenchmarkAnswers(b *testing.B) {
	p := start(b, catalogue())
	for _, c := range []struct{ name, path string }{
		{"alive", "/__lbheartbeat__"},
		{"home", "/en-US/firefox/"},
		{"list", "/en-US/firefox/extensions/"},
		{"addon", "/en-US/firefox/addon/night-reader/"},
		{"search", "/en-US/firefox/search/?q=night"},
		{"update", ask("night@addons.example")},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := httptest.NewRequest(http.MethodGet, c.path, nil)
			b.ReportAllocs()
			for b.Loop() {
				p.handler.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
}
