package store

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"modernc.org/sqlite"

	"addons/server/catalog"
	"addons/server/metrics"
)

// scans are the statements that read a whole table on purpose: why, and how they begin.
var scans = []struct{ why, begins string }{
	{"without the search engine there is no index of words", "SELECT COUNT(*) FROM addons a WHERE +a.listed = 1 AND a.id IN (SELECT x.addon_id FROM addon_words x"},
	{"the same, of a type", "SELECT COUNT(*) FROM addons a WHERE +a.listed = 1 AND +a.type = ? AND a.id IN (SELECT x.addon_id FROM addon_words x"},
	{"the same, for a page", "SELECT a.id FROM addons a WHERE +a.listed = 1 AND a.id IN (SELECT x.addon_id FROM addon_words x"},
	{"the same, for a page of a type", "SELECT a.id FROM addons a WHERE +a.listed = 1 AND +a.type = ? AND a.id IN (SELECT x.addon_id FROM addon_words x"},
	{"nightly: the mean of all ratings", "SELECT COUNT(*), COALESCE(SUM(rating_count)"},
	{"nightly: every tag; there are few", "SELECT t.id, t.addons,"},
	{"every job; few wait, and it reads the index alone", "SELECT COALESCE(SUM(CASE WHEN dead = 0"},
}

// sorts are the statements that sort what they found, on purpose: few rows, or
// what no index has the order of.
var sorts = []string{
	"SELECT x.addon_id", "SELECT addon_id,", "SELECT version_id,", // parts of some add-ons, in their order
	"SELECT a.id FROM addons a WHERE +a.listed = 1",                                   // picked: pickMax at the most
	"SELECT a.id FROM addons a WHERE a.listed = 1 ORDER BY",                           // of all types: pages of one are the rule
	"SELECT a.id FROM addons a WHERE a.listed = 1 AND a.apps",                         // of all types
	"SELECT a.id FROM addons a WHERE a.listed = 1 AND a.promotion",                    // of all types
	"SELECT a.id FROM addons a WHERE a.listed = 1 AND EXISTS",                         // of all types
	"SELECT a.id FROM addons a WHERE a.listed = 1 AND a.type = ? AND a.promotion > 0", // the promoted are few
}

func TestNoQueryScansATableThatGrows(t *testing.T) {
	t.Parallel()
	rec := &recorder{}
	db := recordingDB(t, rec)
	rec.start()
	workload(t, db)
	statements := append(rec.stop(), walks(t)...)
	if len(statements) < 60 {
		t.Fatalf("%d different statements were recorded, want all of them", len(statements))
	}
	used := make([]bool, len(scans))
	for _, text := range statements {
		begin := regexp.MustCompile(`\s+`).ReplaceAllString(strings.TrimSpace(text), " ")
		plan := explain(t, db, text)
		if strings.Contains(plan, "SCAN ") {
			i := slices.IndexFunc(scans, func(s struct{ why, begins string }) bool { return strings.HasPrefix(begin, s.begins) })
			if i < 0 {
				t.Errorf("%s\nscans:\n%s", begin, plan)
				continue
			}
			used[i] = true
		}
		if strings.Contains(plan, "TEMP B-TREE FOR ORDER BY") && !slices.ContainsFunc(sorts, func(s string) bool { return strings.HasPrefix(begin, s) }) {
			t.Errorf("%s\nsorts:\n%s", begin, plan)
		}
	}
	for i, s := range scans {
		if !used[i] {
			t.Errorf("the exception %q is needed no more", s.begins)
		}
	}
}

// walks are the statements for lists of more than pickMax.
func walks(t *testing.T) []string {
	var all []string
	for _, b := range filters() {
		for _, b.Type = range []string{"", "extension"} {
			f, err := b.filter()
			if err != nil {
				t.Fatal(err)
			}
			for _, order := range orders() {
				all = append(all, "SELECT a.id"+f.walk()+" ORDER BY "+order+" LIMIT ? OFFSET ?")
			}
		}
	}
	return all
}

// filters has each filter of Browse.
func filters() []Browse {
	return []Browse{{}, {Category: "tabs"}, {Category: "tabs", App: "firefox"}, {App: "firefox"}, {Tag: "t"}, {Author: "p"}, {Promoted: true}, {Text: "a"}}
}

// explain returns the plan's lines. The plan doesn't depend on the parameters.
func explain(t *testing.T, db *DB, text string) string {
	t.Helper()
	var lines []string
	args := make([]any, strings.Count(text, "?"))
	err := db.reads().rows(t.Context(), qPing, "EXPLAIN QUERY PLAN "+text, args, func(r row) error {
		var id, parent, unused int
		var line string
		err := r.Scan(&id, &parent, &unused, &line)
		// The rows of an INSERT are no table.
		if !strings.Contains(line, "VALUES CLAUSE") {
			lines = append(lines, line)
		}
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return strings.Join(lines, "\n")
}

// workload does everything that the package can do.
func workload(t *testing.T, db *DB) {
	ctx := t.Context()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	in := Import{
		Addon: &catalog.Addon{
			ID: 1, GUID: "a@b", Slug: "a", Type: catalog.Extension, Status: catalog.Public, Name: catalog.Text{"en-US": "A"},
			Authors: []catalog.Author{{ID: 1, Name: "P"}}, Tags: []string{"t"}, Previews: []catalog.Preview{{ID: 1, Image: "i"}},
			Categories: map[string][]string{"firefox": {"tabs"}},
		},
		Versions: []*catalog.Version{{ID: 1, Number: "1", Compatibility: []catalog.Compat{{App: "firefox"}}, File: catalog.File{ID: 1, Status: catalog.Public}}},
		Ratings:  []catalog.Rating{{ID: 1, Score: 5}, {ID: 2, Score: 4}},
		Jobs:     func(int64) []Job { return []Job{{ID: "j", Kind: "k"}} },
	}
	for _, status := range []catalog.Status{catalog.Public, catalog.Nominated, catalog.Disabled, catalog.Public} {
		in.Addon.Status = status
		in.Versions[0].Strict = status == catalog.Nominated
		in.Ratings[0].Body = string(status)
		in.Addon.Authors[0].URL = string(status)
		in.Addon.Tags = []string{"t", string(status)}
		_, err := db.Save(ctx, in)
		check(err)
	}
	for _, ref := range []string{"1", "a", "a@b"} {
		_, err := db.Addon(ctx, ref)
		check(err)
	}
	for _, ref := range []string{"1", "v1"} {
		_, err := db.Version(ctx, 1, ref)
		check(err)
	}
	_, err := db.Version(ctx, 1, "1.0b")
	if err == nil {
		t.Fatal("found a version that there isn't")
	}
	_, err = db.Addons(ctx, []int64{1, 2})
	check(err)
	for _, sort := range Sorts() {
		for _, b := range filters() {
			for _, b.Type = range []string{"", "extension"} {
				b.Sort, b.Limit = sort, 5
				_, _, err := db.Browse(ctx, b)
				check(err)
			}
		}
	}
	_, _, err = db.Versions(ctx, 1, 5, 0)
	check(err)
	_, _, err = db.File(ctx, 1)
	check(err)
	_, _, _, err = db.Candidates(ctx, "a@b", "firefox")
	check(err)
	_, _, err = db.Ratings(ctx, 1, 5, 0)
	check(err)
	_, err = db.Tags(ctx, 5)
	check(err)
	_, err = db.Counts(ctx)
	check(err)
	_, err = db.IDs(ctx, 0, 5)
	check(err)
	_, err = db.Clock(ctx)
	check(err)
	_, err = db.Changes(ctx, 0, 5)
	check(err)
	_, err = db.GUIDs(ctx, "", 5)
	check(err)
	check(db.ChangedAll(ctx))
	check(db.DownloadCounted(ctx, Download{FileID: 1, Day: time.Now(), Count: 1}))
	_, err = db.Aggregate(ctx, time.Now())
	check(err)
	check(db.Push(ctx, Job{ID: "x", Kind: "k"}, Job{ID: "y", Kind: "k"}))
	_, err = db.Lease(ctx, time.Now().Add(time.Second), time.Minute, 9)
	check(err)
	check(db.Retry(ctx, "x", time.Now(), ""))
	check(db.Dead(ctx, "y", ""))
	_, err = db.DeadJobs(ctx, 9)
	check(err)
	check(db.Replay(ctx, "y"))
	check(db.Done(ctx, "x"))
	_, _, _, _, err = db.Depth(ctx)
	check(err)
}

// recorder keeps the texts of the statements that its connections run.
type recorder struct {
	mu    sync.Mutex
	on    bool
	texts map[string]bool
}

func (r *recorder) start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.on, r.texts = true, map[string]bool{}
}

func (r *recorder) stop() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.on = false
	var all []string
	for text := range r.texts {
		all = append(all, text)
	}
	slices.Sort(all)
	return all
}

func (r *recorder) note(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.on {
		r.texts[text] = true
	}
}

// recordingDB is a database in memory whose statements go to rec.
func recordingDB(t *testing.T, rec *recorder) *DB {
	t.Helper()
	connector, err := sqlite.NewConnector("file:" + filepath.Join(t.TempDir(), "a.db") + "?_txlock=immediate&_pragma=foreign_keys(1)")
	if err != nil {
		t.Fatal(err)
	}
	pool := sql.OpenDB(recordingConnector{connector, rec})
	pool.SetMaxOpenConns(1)
	if err := migrate(t.Context(), sqliteDialect(), pool); err != nil {
		t.Fatal(err)
	}
	d, err := newDriver(sqliteDialect(), pools{pool, pool}, metrics.New(nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.close() })
	return &DB{d}
}

type recordingConnector struct {
	sqldriver.Connector
	rec *recorder
}

func (c recordingConnector) Connect(ctx context.Context) (sqldriver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	return recordingConn{conn, c.rec}, err
}

type recordingConn struct {
	sqldriver.Conn
	rec *recorder
}

func (c recordingConn) Prepare(text string) (sqldriver.Stmt, error) {
	c.rec.note(text)
	return c.Conn.Prepare(text)
}

func (c recordingConn) QueryContext(ctx context.Context, text string, args []sqldriver.NamedValue) (sqldriver.Rows, error) {
	c.rec.note(text)
	return c.Conn.(sqldriver.QueryerContext).QueryContext(ctx, text, args)
}

func (c recordingConn) ExecContext(ctx context.Context, text string, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	c.rec.note(text)
	return c.Conn.(sqldriver.ExecerContext).ExecContext(ctx, text, args)
}

func (c recordingConn) BeginTx(ctx context.Context, o sqldriver.TxOptions) (sqldriver.Tx, error) {
	return c.Conn.(sqldriver.ConnBeginTx).BeginTx(ctx, o)
}
