// Package cmd_test holds the house rules that no compiler checks: which floor a
// package stands on, which package alone may use a client library, and that each
// says what it is.
package cmd_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// floors: imports run downward only. A package that is not here has no place yet;
// put it where it belongs, here and in ARCHITECTURE.md.
var floors = [][]string{
	{"server/catalog", "statsd-relay/statsd", "statsd-relay/gmetric", "statsd-relay/handover", "statsd-relay/host", "rum/client", "server/enginetest", "statsd-relay/carbon/carbontest"},
	{"server/metrics", "server/fault", "rum", "statsd-relay/carbon"},
	{"server/store", "server/file", "server/cache", "server/search", "server/xpi", "server/amo", "server/health", "statsd-relay", "statsd-relay/prom", "statsd-relay/tsdb", "statsd-relay/tsdb/expr", "dashboards/console"},
	{"server/task", "server/update", "server/load", "alerts", "dashboards"},
	{"server/site", "dashboards/lint"},
	{"server/web", "server/ops", "server/views"},
	{"server", "server/bench"},
	{"cmd/addons", "cmd/statsd-relay", "cmd/relaybench", "cmd/rumbench", "cmd/engines"},
}

// sideways are the imports within a floor, each with its reason.
var sideways = map[string]string{
	"server/fault → server/metrics":        "faults are counted",
	"statsd-relay/carbon → server/metrics": "deliveries are counted",
	"server/amo → server/xpi":              "one rule for what an add-on id is",
}

// fences: these modules may be imported by these packages alone, which is what
// makes their instruments unavoidable. Tests may use what they need.
var fences = map[string][]string{
	"database/sql":                          {"server/store", "server/bench", "server/enginetest"},
	"modernc.org/sqlite":                    {"server/store", "server/bench"},
	"github.com/go-sql-driver/mysql":        {"server/store", "server/bench", "server/enginetest"},
	"github.com/pressly/goose":              {"server/store"},
	"github.com/bradfitz/gomemcache":        {"server/cache", "server/bench"},
	"github.com/redis/go-redis":             {"server/cache"},
	"github.com/maypok86/otter":             {"server/cache"},
	"github.com/blevesearch":                {"server/search"},
	"github.com/olivere/elastic":            {"server/search"},
	"github.com/streadway/amqp":             {"server/task"},
	"github.com/gin-gonic/gin":              {"server/web", "server/bench"},
	"github.com/getsentry/sentry-go":        {"server/fault"},
	"github.com/prometheus/prometheus":      {"statsd-relay/tsdb", "statsd-relay/tsdb/expr"},
	"github.com/smira/go-statsd":            {"server/metrics", "server"},
	"github.com/evanw/esbuild":              {"server/web"},
	"github.com/alecthomas/kong":            {"cmd/addons", "cmd/statsd-relay"},
	"github.com/prometheus/statsd_exporter": {"statsd-relay"},
	"github.com/prometheus/procfs":          {"statsd-relay", "statsd-relay/host", "server/bench", "cmd/rumbench"},
}

// pkg is what `go list` says of one package.
type pkg struct {
	ImportPath, Dir, Name string
	GoFiles               []string
	Imports               []string
}

// packages lists the module's packages.
func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Name,GoFiles,Imports", "./...")
	cmd.Dir = ".."
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		p.ImportPath = strings.TrimPrefix(p.ImportPath, "addons/")
		all = append(all, p)
	}
}

// floor is a package's floor, −1 if it has none.
func floor(path string) int {
	return slices.IndexFunc(floors, func(f []string) bool { return slices.Contains(f, path) })
}

func TestImportsRunDownward(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) == 0 {
			continue
		}
		own := floor(p.ImportPath)
		if own < 0 {
			t.Errorf("%s stands on no floor: give it a place in floors", p.ImportPath)
		}
		for _, imported := range p.Imports {
			path, ours := strings.CutPrefix(imported, "addons/")
			if !ours || floor(path) < own {
				continue
			}
			if edge := p.ImportPath + " → " + path; sideways[edge] == "" {
				t.Errorf("%s imports %s, which is not below it", p.ImportPath, path)
			}
		}
	}
}

func TestClientsStayBehindTheirFences(t *testing.T) {
	for _, p := range packages(t) {
		for _, imported := range p.Imports {
			for fence, allowed := range fences {
				inside := imported == fence || strings.HasPrefix(imported, fence+"/")
				if inside && !slices.Contains(allowed, p.ImportPath) {
					t.Errorf("%s imports %s, which belongs to %s", p.ImportPath, imported, strings.Join(allowed, ", "))
				}
			}
		}
	}
}

func TestTheSidecarStaysSmall(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "../cmd/statsd-relay").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dep := range strings.FieldsSeq(string(out)) {
		for _, heavy := range []string{"modernc.org/sqlite", "github.com/go-sql-driver", "github.com/blevesearch", "github.com/prometheus/prometheus", "github.com/evanw/esbuild"} {
			if dep == heavy || strings.HasPrefix(dep, heavy+"/") {
				t.Errorf("cmd/statsd-relay links %s", dep)
			}
		}
		if strings.HasPrefix(dep, "addons/server/") && dep != "addons/server/metrics" {
			t.Errorf("cmd/statsd-relay links %s, which is the site's", dep)
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) == 0 {
			continue
		}
		var docs []string
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.PackageClauseOnly)
			if err != nil {
				t.Fatal(err)
			}
			if file.Doc != nil {
				docs = append(docs, file.Doc.Text())
			}
		}
		want := fmt.Sprintf("Package %s ", p.Name)
		if p.Name == "main" {
			want = fmt.Sprintf("Command %s ", filepath.Base(p.ImportPath))
		}
		if len(docs) != 1 || !strings.HasPrefix(docs[0], want) {
			t.Errorf("%s: want one package comment that begins %q, got %q", p.ImportPath, want, docs)
		}
	}
}

func TestOnlyAMissingEngineSkipsATest(t *testing.T) {
	for _, p := range packages(t) {
		tests, err := filepath.Glob(filepath.Join(p.Dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range tests {
			source, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			// Written in two parts, so that this file does not contain it.
			for _, call := range []string{".Skip" + "(", ".Skip" + "f(", ".Skip" + "Now("} {
				if strings.Contains(string(source), call) {
					t.Errorf("%s skips tests: ask enginetest.URL, which fails under CI=true", name)
				}
			}
		}
	}
}
