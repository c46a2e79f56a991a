package client_test

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/evanw/esbuild/pkg/api"

	"addons/rum/client"
)

var update = flag.Bool("update", false, "write dist anew")

// builds are the entry points of what is in dist, and their sizes, gzip -9.
var builds = []struct {
	name, entry string
	format      api.Format
	most        int
}{
	{"rum-nav.js", "rum-nav.js", api.FormatIIFE, 900},
	// web-vitals alone, with all five metrics and no navigation timing, has 3,260 bytes.
	{"rum-vitals.js", "rum-vitals.js", api.FormatIIFE, 3000},
	// Its attribution build has 5,490.
	{"rum.js", "rum.js", api.FormatIIFE, 6000},
	{"rum.mjs", "all.js", api.FormatESModule, 6000},
}

func TestTheBuiltScriptsAreFresh(t *testing.T) {
	for _, b := range builds {
		result := api.Build(api.BuildOptions{
			EntryPoints: []string{b.entry}, Bundle: true, Format: b.format, Target: api.ES2021,
			MinifyWhitespace: true, MinifyIdentifiers: true, MinifySyntax: true,
		})
		if len(result.Errors) > 0 {
			t.Fatalf("esbuild: %v", result.Errors)
		}
		want, file := result.OutputFiles[0].Contents, "dist/"+b.name
		if *update {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what its sources build (%v): run `go generate ./rum/client`", file, err)
		}
	}
}

func TestTheScriptsStaySmall(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	scripts := client.Scripts()
	if len(scripts) != len(builds) {
		t.Errorf("%d scripts are served, %d are built", len(scripts), len(builds))
	}
	for _, b := range builds {
		for _, s := range scripts {
			if s.Plain != b.name {
				continue
			}
			var zipped bytes.Buffer
			w, _ := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
			w.Write(s.Body)
			w.Close()
			t.Logf("%s: %d bytes, %d compressed", b.name, len(s.Body), zipped.Len())
			said := strings.Replace(fmt.Sprintf("%d,%03d", zipped.Len()/1000, zipped.Len()%1000), "0,", "", 1)
			if !regexp.MustCompile("(?m)^\\| `" + b.name + "` .* " + said + " \\|$").Match(readme) {
				t.Errorf("the README does not say that %s has %s bytes", b.name, said)
			}
			if zipped.Len() > b.most {
				t.Errorf("%s has %d bytes compressed, want at most %d", b.name, zipped.Len(), b.most)
			}
		}
	}
}
