package search

import (
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"addons/server/enginetest"
	"addons/server/metrics"
)

// engines runs a test on every engine, each with an empty index of its own.
func engines(t *testing.T, test func(*testing.T, *Index)) {
	for _, engine := range []struct {
		name string
		url  func(*testing.T) string
	}{
		{"BleveInMemory", func(*testing.T) string { return "bleve::memory:" }},
		{"BleveOnDisk", func(t *testing.T) string { return "bleve:" + t.TempDir() }},
		{"Elasticsearch", elasticURL},
	} {
		t.Run(engine.name, func(t *testing.T) {
			t.Parallel()
			ix := open(t, engine.url(t))
			if err := ix.Reset(t.Context()); err != nil {
				t.Fatal(err)
			}
			test(t, ix)
		})
	}
}

func open(t testing.TB, rawURL string) *Index {
	t.Helper()
	ix, err := Open(rawURL, metrics.New(nil), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ix.Close(); err != nil {
			t.Error(err)
		}
	})
	return ix
}

// elasticURL is a new index of the real Elasticsearch, gone after the test.
func elasticURL(t *testing.T) string {
	node := enginetest.URL(t, "ELASTICSEARCH")
	var b [8]byte
	rand.Read(b[:])
	name := "test-" + hex.EncodeToString(b[:])
	t.Cleanup(func() {
		req, err := http.NewRequest(http.MethodDelete, node+"/"+name+"-*", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return strings.Replace(node, "http:", "elasticsearch:", 1) + "/" + name + "?refresh=true"
}
