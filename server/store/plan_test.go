package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"modernc.org/sqlite"

	"addons/server/catalog"
	"addons/server/enginetest"
	"addons/server/metrics"
)

// planned is how many add-ons MySQL has when it plans: with few it reads whatever
// there is. SQLite, which has no statistics, plans the same for any number.
const planned = 20_000

// manyRows is what is no longer few, for a sort or a scan that no index spares.
const manyRows = pickMax

// allowed are statements that read a whole table, sort many rows or keep them for
// a moment, on purpose: on which engine ("" for both), why, and how they begin.
var allowed = []struct{ engine, why, begins string }{
	{"", "without the search engine there is no index of words", "SELECT by words: "},
	{"", "nightly: as many lists as there are categories and tags", "SELECT app, category, tag, type FROM list_totals"},
	{"", "nightly: which types and applications there are", "SELECT DISTINCT '', type, apps FROM addons"},
	{"", "the same, of each category", "SELECT DISTINCT x.app, a.type, a.apps FROM addon_categories"},
	{"", "the same, of each tag", "SELECT DISTINCT '', a.type, a.apps FROM tags"},
	{"", "nightly: the categories, from the index alone", "SELECT DISTINCT slug FROM addon_categories"},
	{"mysql", "nightly: each list is counted, a category by its own rows", "SELECT addons <> (SELECT COUNT(*)"},
	{"", "nightly: the mean of all ratings", "SELECT COUNT(*), COALESCE(SUM(rating_count)"},
	{"", "every job; few wait, and it reads the index alone", "SELECT COALESCE(SUM(CASE WHEN dead = 0"},
	{"", "once, when a bulk load begins: tags and licenses are few", "SELECT name, id FROM tags ORDER BY name"},
	{"", "the same", "SELECT digest, id FROM licenses ORDER BY digest"},
	{"", "picked: no more than a walk would meet", "SELECT a.id FROM addons a WHERE +a.listed = 1"},
	{"sqlite", "the first of each type, put in order: four pages at the most", "SELECT id FROM (SELECT * FROM (SELECT"},
	{"mysql", "by name, picked where a walk may be far: clustered", "SELECT id FROM (SELECT * FROM (SELECT a.name_sort"},
	{"sqlite", "the promoted are few", "SELECT a.id FROM addons a WHERE a.listed = 1 AND a.type = ? AND a.promotion > 0"},
	{"sqlite", "rollouts are few, and as many are read as the page shows", "SELECT a.slug, a.guid, v.number, r.held_back"},
	{"sqlite", "the add-ons of authors who were renamed, which are few", "SELECT DISTINCT a.id, a.guid FROM addon_authors"},
	{"sqlite", "parts of at most 500 add-ons, in their order", "SELECT x.addon_id"},
	{"sqlite", "the same", "SELECT addon_id,"},
	{"sqlite", "the same", "SELECT version_id,"},
}

func TestEveryQueryHasAnIndex(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		connector, err := sqlite.NewConnector("file:" + filepath.Join(t.TempDir(), "a.db") + "?_txlock=immediate&_pragma=foreign_keys(1)&_pragma=journal_mode(WAL)")
		if err != nil {
			t.Fatal(err)
		}
		everyPlan(t, sqliteDialect(), connector, 2*pickMax, planSQLite)
	})
	t.Run("mysql", func(t *testing.T) {
		everyPlan(t, mysqlDialect(), mysqlConnector(t), planned, planMySQL)
	})
}

// everyPlan has every query run on a database with many add-ons, and reads the plans.
func everyPlan(t *testing.T, d dialect, connector sqldriver.Connector, addons int, plan func(*testing.T, *DB, statement) plan) {
	rec := &recorder{}
	db := recordingDB(t, rec, d, connector)
	fill(t, db, addons)
	walksAgree(t, db)
	rec.start()
	workload(t, db)
	everyNameWasUsed(t, db)
	statements := append(rec.stop(), walks(t)...)
	if len(statements) < 100 {
		t.Fatalf("%d different statements were recorded, want all of them", len(statements))
	}
	used := make([]bool, len(allowed))
	for _, s := range statements {
		begin := strings.Join(strings.Fields(s.text), " ")
		if strings.Contains(begin, "x.words LIKE") {
			begin = "SELECT by words: " + begin
		}
		if !strings.HasPrefix(begin, "SELECT") && !strings.HasPrefix(begin, "UPDATE") && !strings.HasPrefix(begin, "DELETE") {
			continue // rows that come in are looked up by nothing
		}
		p := plan(t, db, s)
		if len(p.faults) == 0 {
			continue
		}
		i := slices.IndexFunc(allowed, func(a struct{ engine, why, begins string }) bool {
			return (a.engine == "" || a.engine == d.name) && strings.HasPrefix(begin, a.begins)
		})
		if i < 0 {
			t.Errorf("%s\n%s:\n%s", begin, strings.Join(p.faults, ", "), p.text)
			continue
		}
		used[i] = true
	}
	for i, a := range allowed {
		if !used[i] && a.engine == d.name {
			t.Errorf("the exception %q is needed no more", a.begins)
		}
	}
}

// plan is what an engine means to do, and what is wrong with it.
type plan struct {
	text   string
	faults []string
}

// planSQLite reads EXPLAIN QUERY PLAN. It does not depend on the arguments, nor,
// without statistics, on the rows.
func planSQLite(t *testing.T, db *DB, s statement) plan {
	t.Helper()
	var p plan
	var lines []string
	err := db.reads().rows(t.Context(), qPing, "EXPLAIN QUERY PLAN "+s.text, s.args, func(r row) error {
		var id, parent, unused int
		var line string
		err := r.Scan(&id, &parent, &unused, &line)
		lines = append(lines, line)
		switch {
		case strings.Contains(line, "VALUES CLAUSE"):
		case strings.Contains(line, "SCAN ") && !strings.Contains(line, "CONSTANT ROW"):
			p.faults = append(p.faults, "scans")
		case strings.Contains(line, "TEMP B-TREE"):
			p.faults = append(p.faults, "sorts")
		}
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", s.text, err)
	}
	p.text = strings.Join(lines, "\n")
	return p
}

// planMySQL reads EXPLAIN.
func planMySQL(t *testing.T, db *DB, s statement) plan {
	t.Helper()
	var p plan
	var lines []string
	type part struct {
		most   int
		extras string
	}
	parts := map[int64]*part{} // of the query, by their ids: each sorts what it joins
	err := db.reads().rows(t.Context(), qPing, "EXPLAIN "+s.text, s.args, func(r row) error {
		var id, rows sql.NullInt64
		var kind, table, access, possible, key, length, ref, extra sql.NullString
		err := r.Scan(&id, &kind, &table, &access, &possible, &key, &length, &ref, &rows, &extra)
		lines = append(lines, fmt.Sprintf("%s %s: %s by %s, %d rows, %s", kind.String, table.String, access.String, key.String, rows.Int64, extra.String))
		if parts[id.Int64] == nil {
			parts[id.Int64] = &part{}
		}
		parts[id.Int64].most = max(parts[id.Int64].most, int(rows.Int64))
		parts[id.Int64].extras += extra.String
		if (access.String == "ALL" || access.String == "index") && rows.Int64 > manyRows {
			p.faults = append(p.faults, "scans "+table.String)
		}
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", s.text, err)
	}
	for _, part := range parts {
		for sign, fault := range map[string]string{"Using filesort": "sorts", "Using temporary": "keeps rows"} {
			if strings.Contains(part.extras, sign) && part.most > manyRows {
				p.faults = append(p.faults, fault)
			}
		}
	}
	p.text = strings.Join(lines, "\n")
	return p
}

// everyNameWasUsed holds the workload to all that the package can ask.
func everyNameWasUsed(t *testing.T, db *DB) {
	t.Helper()
	families, err := db.registry.Prometheus().Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "query" && m.GetHistogram().GetSampleCount() > 0 {
					seen[l.GetValue()] = true
				}
			}
		}
	}
	for _, name := range queryNames() {
		replicas := name == qHeartbeat.String() || name == qPosition.String()
		if !seen[name] && name != "ping" && !(replicas && db.name == "sqlite") {
			t.Errorf("the workload does not have the query %s", name)
		}
	}
}

// fill loads add-ons of which many share a category, a tag and an author.
func fill(t *testing.T, db *DB, n int) {
	t.Helper()
	bulk, err := db.Bulk(t.Context(), "plans")
	if err != nil {
		t.Fatal(err)
	}
	for from := 0; from < n; from += 500 {
		imports := make([]Import, 500)
		for i := range imports {
			imports[i] = filler(from + i)
		}
		p, err := Prepare(imports)
		if err == nil {
			err = bulk.Write(t.Context(), p)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(bulk.Finish(t.Context()), bulk.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
}

func filler(i int) Import {
	id := int64(i + 1)
	in := Import{Addon: &catalog.Addon{
		ID: id, GUID: fmt.Sprintf("filler-%d@example.org", i), Slug: fmt.Sprintf("filler-%d", i), Type: catalog.Extension, Status: catalog.Public,
		Name: catalog.Text{"en-US": fmt.Sprintf("Filler %d", i*7919%planned)}, Summary: catalog.Text{"en-US": "Fills", "de": "Füllt"},
		Authors: []catalog.Author{{ID: int64(i%5000) + 1, Name: "P", Username: fmt.Sprint("p", i%5000)}},
		Tags:    []string{"often"}, Categories: map[string][]string{"firefox": {"tabs"}},
		AverageDailyUsers: planned * 100 / (i + 1), WeeklyDownloads: i, Hotness: float64(i%1000) / 1000, Created: time.Unix(1.7e9+id*3600, 0),
	}}
	if i%4 == 0 {
		in.Addon.Type, in.Addon.Categories = catalog.Theme, map[string][]string{"firefox": {"nature"}}
	}
	if i%100 == 0 {
		in.Addon.Tags, in.Addon.Categories = append(in.Addon.Tags, "t"), map[string][]string{"firefox": {"privacy-security"}}
		in.Addon.Promoted = []string{"recommended"}
		for k := range 5 {
			in.Ratings = append(in.Ratings, catalog.Rating{ID: id*10 + int64(k), Score: k + 1, UserName: fmt.Sprint(k)})
		}
	}
	if i%10 == 1 {
		in.Addon.Tags, in.Addon.Categories = []string{"tenth"}, map[string][]string{"firefox": {"bookmarks"}}
	}
	for k := range int64(3) {
		in.Versions = append(in.Versions, &catalog.Version{
			ID: id*10 + k, Number: fmt.Sprint(k + 1), Compatibility: []catalog.Compat{{App: "firefox", Min: "100"}},
			File: catalog.File{ID: id*10 + k, Status: catalog.Public},
		})
	}
	return in
}

// walks are the statements for lists of more than pickMax.
func walks(t *testing.T) []statement {
	var all []statement
	for _, b := range filters() {
		for _, b.Type = range []string{"", "extension"} {
			for _, order := range orders() {
				b.Limit = 24
				text, args, err := b.page(order, endless())
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, statement{text, args})
			}
		}
	}
	return all
}

// endless is a total with which every list is walked.
func endless() Total {
	t := Total{Addons: 1e9, Site: 1}
	for range catalog.Types() {
		t.Types = append(t.Types, 1e9)
	}
	return t
}

// walksAgree holds both ways to a list to the same pages.
func walksAgree(t *testing.T, db *DB) {
	t.Helper()
	ids := func(text string, args []any) []int64 {
		all, err := list(t.Context(), db.reads(), qBrowse, text, args, func(r row, id *int64) error { return r.Scan(id) })
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return all
	}
	for _, b := range filters() {
		for _, b.Type = range []string{"", "extension"} {
			for _, b.Sort = range []string{"users", "name", "recommended"} {
				b.Limit, b.Offset = 7, 6
				text, args, err := b.page(orders()[b.Sort], endless())
				if err != nil {
					t.Fatal(err)
				}
				f, err := b.filter()
				if err != nil {
					t.Fatal(err)
				}
				walked := ids(text, args)
				picked := ids("SELECT a.id"+f.pick()+" ORDER BY "+orders()[b.Sort]+" LIMIT ? OFFSET ?", append(f.args, b.Limit, b.Offset))
				browsed, _, err := db.Browse(t.Context(), b)
				if err != nil || !slices.Equal(walked, picked) || !slices.Equal(walked, browsed) {
					t.Errorf("%+v: walked %v, picked %v, Browse has %v (%v)", b, walked, picked, browsed, err)
				}
			}
		}
	}
}

// filters has each filter of Browse, those of many add-ons and of few.
func filters() []Browse {
	return []Browse{
		{}, {App: "firefox"}, {Promoted: true}, {Text: "a"}, {Author: "p1"},
		{Category: "tabs"}, {Category: "privacy-security"}, {Category: "tabs", App: "firefox"}, {Category: "privacy-security", App: "firefox"},
		{Category: "bookmarks"}, {Category: "bookmarks", App: "firefox"},
		{Tag: "often"}, {Tag: "t"}, {Tag: "tenth"},
	}
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
	if db.name == "mysql" {
		s := &replicas{d: db.driver}
		check(s.identify(ctx))
		_, err := s.position(ctx)
		check(err)
	}
	in := Import{
		Addon: &catalog.Addon{
			ID: 500_001, GUID: "a@b", Slug: "a", Type: catalog.Extension, Status: catalog.Public, Name: catalog.Text{"en-US": "A"},
			Authors: []catalog.Author{{ID: 500_001, Name: "New"}}, Tags: []string{"t"}, Previews: []catalog.Preview{{ID: 1, Image: "i"}},
			Categories: map[string][]string{"firefox": {"tabs"}},
		},
		Versions: []*catalog.Version{{ID: 500_001, Number: "1", Compatibility: []catalog.Compat{{App: "firefox"}}, File: catalog.File{ID: 500_001, Status: catalog.Public}}},
		Ratings:  []catalog.Rating{{ID: 500_001, Score: 5}, {ID: 500_002, Score: 4}},
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
	// What a bulk load asks when it begins, and once more: nothing is to be done.
	bulk, err := db.Bulk(ctx, "plans")
	check(err)
	more, err := Prepare([]Import{filler(planned)})
	check(err)
	if err := bulk.Write(ctx, more); err == nil {
		t.Fatal("a bulk load went on after its end")
	}
	check(errors.Join(bulk.Finish(ctx), bulk.Close(ctx)))
	for _, ref := range []string{"1", "a", "a@b"} {
		_, err := db.Addon(ctx, ref)
		check(err)
	}
	for _, ref := range []string{"1", "v1"} {
		_, err := db.Version(ctx, 1, ref)
		check(err)
	}
	_, err = db.Version(ctx, 1, "1.0b")
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
	_, _, err = db.File(ctx, 500_001)
	check(err)
	_, _, _, err = db.Candidates(ctx, "a@b", "firefox")
	check(err)
	a, err := db.Addon(ctx, "1")
	check(err)
	check(db.SetRollout(ctx, a.ID, a.Current.ID, 10))
	check(db.SetRollout(ctx, a.ID, a.Current.ID, 100))
	_, err = db.Rollouts(ctx)
	check(err)
	_, err = db.readOffers(ctx, []offerKey{{"a@b", "firefox"}, {"c@d", "firefox"}, {"a@b", "android"}})
	check(err)
	_, _, err = db.Ratings(ctx, 1, 5, 0)
	check(err)
	_, err = db.Tags(ctx, 5)
	check(err)
	_, err = db.Counts(ctx)
	check(err)
	_, err = db.IDs(ctx, 0, 5)
	check(err)
	seq, err := db.Clock(ctx)
	check(err)
	_, err = db.Changes(ctx, seq, 5)
	check(err)
	_, err = db.GUIDs(ctx, "", 5)
	check(err)
	check(db.ChangedAll(ctx))
	check(db.DownloadCounted(ctx, Download{FileID: 500_001, Day: time.Now(), Count: 1}))
	_, err = db.Aggregate(ctx, time.Now())
	check(err)
	check(db.Push(ctx, Job{ID: "x", Kind: "k"}, Job{ID: "y", Kind: "k"}))
	_, err = db.Lease(ctx, time.Now().Add(time.Second), func(string) time.Duration { return time.Minute }, 9)
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

// statement is a query with the arguments that it was run with first.
type statement struct {
	text string
	args []any
}

// recorder keeps the statements that its connections run.
type recorder struct {
	mu   sync.Mutex
	on   bool
	seen map[string][]any
}

func (r *recorder) start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.on, r.seen = true, map[string][]any{}
}

func (r *recorder) stop() []statement {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.on = false
	var all []statement
	for _, text := range sortedKeys(r.seen) {
		all = append(all, statement{text, r.seen[text]})
	}
	return all
}

func (r *recorder) note(text string, args []sqldriver.NamedValue) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.seen[text]; !r.on || known {
		return
	}
	plain := make([]any, len(args))
	for i, a := range args {
		plain[i] = a.Value
	}
	r.seen[text] = plain
}

// recordingDB is a new database whose statements go to rec.
func recordingDB(t *testing.T, rec *recorder, d dialect, connector sqldriver.Connector) *DB {
	t.Helper()
	pool := sql.OpenDB(recordingConnector{connector, rec})
	pool.SetMaxOpenConns(1)
	if err := migrate(t.Context(), d, pool); err != nil {
		t.Fatal(err)
	}
	drv, err := newDriver(d, pools{pool, pool}, metrics.New(nil))
	if err != nil {
		t.Fatal(err)
	}
	drv.reader = pool // a prepared statement would not tell its arguments
	drv.limit = time.Minute
	t.Cleanup(func() { drv.close() })
	return &DB{drv}
}

// mysqlConnector connects to a new database that lives as long as the test.
func mysqlConnector(t *testing.T) sqldriver.Connector {
	t.Helper()
	rawURL := enginetest.URL(t, "MYSQL")
	name := "addons_test_" + strings.ToLower(rand.Text()[:12])
	cfg, _, err := mysqlConfig(strings.TrimSuffix(rawURL, "/")+"/"+name, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	bare := cfg.Clone()
	bare.DBName = ""
	connector, err := mysql.NewConnector(bare)
	if err != nil {
		t.Fatal(err)
	}
	server := sql.OpenDB(connector)
	if _, err := server.Exec("CREATE DATABASE " + name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := server.Exec("DROP DATABASE " + name); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	connector, err = mysql.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return connector
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

func (c recordingConn) QueryContext(ctx context.Context, text string, args []sqldriver.NamedValue) (sqldriver.Rows, error) {
	c.rec.note(text, args)
	return c.Conn.(sqldriver.QueryerContext).QueryContext(ctx, text, args)
}

func (c recordingConn) ExecContext(ctx context.Context, text string, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	c.rec.note(text, args)
	return c.Conn.(sqldriver.ExecerContext).ExecContext(ctx, text, args)
}

func (c recordingConn) BeginTx(ctx context.Context, o sqldriver.TxOptions) (sqldriver.Tx, error) {
	return c.Conn.(sqldriver.ConnBeginTx).BeginTx(ctx, o)
}
