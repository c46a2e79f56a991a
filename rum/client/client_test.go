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

// build bundles and minifies a module, as the script is.
func build(t *testing.T, source string) []byte {
	t.Helper()
	result := api.Build(api.BuildOptions{
		Stdin:  &api.StdinOptions{Contents: source, ResolveDir: "."},
		Bundle: true, Format: api.FormatIIFE, Target: api.ES2021, MinifyWhitespace: true, MinifyIdentifiers: true, MinifySyntax: true,
	})
	if len(result.Errors) > 0 {
		t.Fatalf("esbuild: %v", result.Errors)
	}
	return result.OutputFiles[0].Contents
}

func TestTheScriptStaysSmall(t *testing.T) {
	for _, c := range []struct {
		name string
		body []byte
		most int
	}{
		{"navigation timing", build(t, "import { navigation } from './nav.js'; send(navigation())"), 900},
		// web-vitals alone, with all five metrics and no navigation timing, has 3,260 bytes.
		{"with vitals", build(t, "import { navigation } from './nav.js'; import { vitals } from './vitals.js'; send(navigation(), vitals(0))"), 3000},
		{"all of it", client.Script().Body, 3200},
	} {
		var b bytes.Buffer
		w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
		w.Write(c.body)
		w.Close()
		t.Logf("%s: %d bytes, %d compressed", c.name, len(c.body), b.Len())
		if b.Len() > c.most {
			t.Errorf("%s has %d bytes compressed, want at most %d", c.name, b.Len(), c.most)
		}
	}
}
