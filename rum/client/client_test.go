package client_test

import (
	"bytes"
	"compress/gzip"
	"flag"
	"os"
	"testing"

	"github.com/evanw/esbuild/pkg/api"

	"addons/rum/client"
)

var update = flag.Bool("update", false, "write dist/rum.js anew")

func TestTheBuiltScriptIsFresh(t *testing.T) {
	result := api.Build(api.BuildOptions{
		EntryPoints: []string{"rum.js"}, Bundle: true, Format: api.FormatIIFE, Target: api.ES2021,
		MinifyWhitespace: true, MinifyIdentifiers: true, MinifySyntax: true,
	})
	if len(result.Errors) > 0 {
		t.Fatalf("esbuild: %v", result.Errors)
	}
	want := result.OutputFiles[0].Contents
	if *update {
		if err := os.WriteFile("dist/rum.js", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(client.Script().Body, want) {
		t.Error("dist/rum.js is not what its sources build: run `go generate ./rum/client`")
	}
}

func TestTheScriptStaysSmall(t *testing.T) {
	// web-vitals alone, with all five metrics and no navigation timing, has 3,260 bytes.
	const most = 3000
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	w.Write(client.Script().Body)
	w.Close()
	t.Logf("%d bytes, %d compressed", len(client.Script().Body), b.Len())
	if b.Len() > most {
		t.Errorf("the script has %d bytes compressed, want at most %d", b.Len(), most)
	}
}
