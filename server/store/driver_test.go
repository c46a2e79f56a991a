package store

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"addons/server/catalog"
	"addons/server/metrics"
)

// The compiler can't keep a file of the package from a field of another: this does.
func TestNoQueryGoesAroundTheDriver(t *testing.T) {
	t.Parallel()
	allowed := map[string][]string{
		"driver.go":   {"database/sql", "database/sql/driver", "github.com/go-sql-driver/mysql", "modernc.org/sqlite", "modernc.org/sqlite/lib"},
		"dialect.go":  {"database/sql"}, // the name of an isolation level
		"prepared.go": {"database/sql"},
		"local.go":    {"github.com/go-sql-driver/mysql"},                 // the rows that a handle sends
		"replica.go":  {"database/sql", "github.com/go-sql-driver/mysql"}, // the connections to replicas
		"open.go":     {"database/sql", "database/sql/driver", "github.com/go-sql-driver/mysql", "modernc.org/sqlite"},
		"migrate.go":  {"database/sql", "github.com/pressly/goose/v3"},
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range file.Imports {
			path := strings.Trim(i.Path.Value, `"`)
			if isDatabase(path) && !slices.Contains(allowed[name], path) {
				t.Errorf("%s imports %s: queries go through a handle", name, path)
			}
		}
		if name == "driver.go" || name == "open.go" {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && (s.Sel.Name == "pools" || s.Sel.Name == "reader" || s.Sel.Name == "on") {
				t.Errorf("%s reaches for .%s: queries go through a handle", name, s.Sel.Name)
			}
			return true
		})
	}
}

func isDatabase(path string) bool {
	return strings.HasPrefix(path, "database/sql") || strings.Contains(path, "sql-driver") ||
		strings.HasPrefix(path, "modernc.org") || strings.Contains(path, "goose")
}

func TestEveryQueryHasItsOwnName(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for q, name := range queryNames() {
		if name == "" || seen[name] {
			t.Errorf("query %d has the name %q, empty or another's", q, name)
		}
		seen[name] = true
	}
}

func TestBothEnginesHaveTheSameTables(t *testing.T) {
	t.Parallel()
	tables := map[string][]string{}
	for _, engine := range []string{"sqlite", "mysql"} {
		err := fs.WalkDir(migrations, "migrations/"+engine, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := migrations.ReadFile(path)
			table := ""
			for line := range strings.Lines(string(b)) {
				words := strings.Fields(strings.NewReplacer("(", " ", ",", " ").Replace(line))
				switch {
				case len(words) < 2 || words[0] == "--":
				case words[0] == "CREATE":
					table = words[2]
					tables[engine] = append(tables[engine], strings.Join(words[1:3], " "))
				case strings.HasPrefix(line, "    ") && words[0] == strings.ToLower(words[0]):
					tables[engine] = append(tables[engine], table+"."+words[0])
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(tables["sqlite"], tables["mysql"]); diff != "" || len(tables["mysql"]) < 100 {
		t.Errorf("SQLite's and MySQL's tables differ (-sqlite +mysql):\n%s", diff)
	}
}

func TestDriverErrorsBecomeTheCatalogsErrors(t *testing.T) {
	t.Parallel()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		ctx     context.Context
		err     error
		outcome int
		want    error
	}{
		{t.Context(), nil, outcomeOK, nil},
		{t.Context(), catalog.ErrNotFound, outcomeNotFound, catalog.ErrNotFound},
		{t.Context(), context.DeadlineExceeded, outcomeError, catalog.ErrUnavailable},
		{gone, errors.New("interrupted (9)"), outcomeCanceled, context.Canceled},
		{t.Context(), &net.OpError{Op: "dial", Err: errors.New("connection refused")}, outcomeError, catalog.ErrUnavailable},
		{t.Context(), mysql.ErrInvalidConn, outcomeError, catalog.ErrUnavailable},
		{t.Context(), &mysql.MySQLError{Number: 1040}, outcomeError, catalog.ErrUnavailable},
	} {
		outcome, err := translate(c.ctx, qAddon, c.err)
		if outcome != c.outcome || !errors.Is(err, c.want) {
			t.Errorf("%v became %s, %v; want %s, %v", c.err, outcomes[outcome], err, outcomes[c.outcome], c.want)
		}
	}
	if _, err := translate(t.Context(), qAddon, &mysql.MySQLError{Number: 1064}); errors.Is(err, catalog.ErrUnavailable) {
		t.Error("a syntax error is called unavailable")
	}
}

// slow is a query that runs for ever.
const slow = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n"

func TestAQueryIsStoppedAtItsLimitOrWithItsCaller(t *testing.T) {
	t.Parallel()
	db, err := Open(t.Context(), "sqlite::memory:", metrics.New(nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var n int
	db.limit = 100 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := db.reads().one(ctx, qPing, slow, into{&n}); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, catalog.ErrUnavailable) {
		t.Errorf("with the caller's deadline: %v", err)
	}
	if err := db.reads().one(t.Context(), qPing, slow, into{&n}); !errors.Is(err, catalog.ErrUnavailable) {
		t.Errorf("past the limit: %v, want unavailable", err)
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Errorf("the next query: %v", err)
	}
}

func TestEveryQueryIsCountedByNameAndOutcome(t *testing.T) {
	t.Parallel()
	reg := metrics.New(nil)
	db, err := Open(t.Context(), "sqlite::memory:", reg, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.Addon(t.Context(), "nobody")
	db.reads().one(t.Context(), qAddon, "SELECT 1", into{new(int)})
	db.reads().one(t.Context(), qFile, "SELECT nonsense", into{new(int)})
	problems, err := testutil.GatherAndLint(reg.Prometheus(), "db_client_operation_duration_seconds")
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	counts := map[string]uint64{}
	families, err := reg.Prometheus().Gather()
	if err != nil {
		t.Fatal(err)
	}
	series, pools := 0, 0
	for _, f := range families {
		if f.GetName() == "go_sql_open_connections" {
			pools += len(f.GetMetric())
		}
		if f.GetName() != "db_client_operation_duration_seconds" {
			continue
		}
		series = len(f.GetMetric())
		for _, m := range f.GetMetric() {
			if n := m.GetHistogram().GetSampleCount(); n > 0 {
				labels := ""
				for _, l := range m.GetLabel() {
					labels += l.GetName() + "=" + l.GetValue() + " "
				}
				counts[labels] = n
			}
		}
	}
	want := map[string]uint64{
		"db_system_name=sqlite outcome=notfound query=addon ": 1,
		"db_system_name=sqlite outcome=ok query=addon ":       1,
		"db_system_name=sqlite outcome=error query=file ":     1,
	}
	if diff := cmp.Diff(want, counts); diff != "" {
		t.Error(diff)
	}
	if series != int(queryCount)*len(outcomes) || pools != 1 {
		t.Errorf("%d series from the start, want %d; %d pools", series, int(queryCount)*len(outcomes), pools)
	}
}
