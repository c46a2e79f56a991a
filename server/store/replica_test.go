package store

import (
	"bytes"
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"modernc.org/sqlite"

	"addons/server/catalog"
	"addons/server/enginetest"
	"addons/server/metrics"
)

// pair is an enginetest.Pair and what a test opens on it.
type pair struct {
	*enginetest.Pair
	t   testing.TB
	log *bytes.Buffer // of those opened
	reg *metrics.Registry
}

func newPair(t testing.TB) *pair {
	t.Helper()
	return &pair{Pair: enginetest.NewPair(t), t: t, log: &bytes.Buffer{}}
}

// open opens the database with the replicas, "" for the pair's own, and waits until
// all of them are read from.
func (p *pair) open(replicas ...string) *DB {
	p.t.Helper()
	for i, r := range replicas {
		if !strings.HasPrefix(r, "mysql:") {
			replicas[i] = p.Replica.String() + r
		}
	}
	p.reg = metrics.New(nil)
	db, err := Open(p.t.Context(), p.Writer.String(), p.reg, slog.New(slog.NewTextHandler(p.log, nil)), replicas...)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { db.Close() })
	for _, r := range db.replicas.list {
		p.Await(r.name+" is read from", func() bool { return r.state.Load() != nil })
	}
	return db
}

// reads are how many were made of a server, by reason.
func (p *pair) reads(server, reason string) int {
	p.t.Helper()
	return int(p.series("addons_db_reads_total", map[string]string{"server": server, "reason": reason}))
}

func (p *pair) series(name string, labels map[string]string) float64 {
	p.t.Helper()
	families, err := p.reg.Prometheus().Gather()
	if err != nil {
		p.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			got := prometheus.Labels{}
			for _, l := range m.GetLabel() {
				got[l.GetName()] = l.GetValue()
			}
			same := f.GetName() == name
			for k, v := range labels {
				same = same && got[k] == v
			}
			if same {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	p.t.Fatalf("no %s of %v", name, labels)
	return 0
}

// clockAddon is an add-on whose only version says how often it was saved.
func clockAddon(n int) Import {
	return Import{Addon: &catalog.Addon{
		GUID: "clock@example.org", Slug: "clock", Type: catalog.Extension, Status: catalog.Public,
		Name: catalog.Text{"en-US": "Clock"}, Summary: catalog.Text{"en-US": fmt.Sprint(n)}, DefaultLocale: "en-US",
	}}
}

func (p *pair) save(ctx context.Context, db *DB, n int) {
	p.t.Helper()
	if _, err := db.Save(ctx, clockAddon(n)); err != nil {
		p.t.Fatal(err)
	}
}

// shows returns what the add-on says, 0 if there is none.
func shows(ctx context.Context, db *DB) (n int, err error) {
	a, err := db.Addon(ctx, "clock")
	if errors.Is(err, catalog.ErrNotFound) {
		return 0, nil
	}
	if err == nil {
		_, err = fmt.Sscan(a.Summary["en-US"], &n)
	}
	return n, err
}

func (p *pair) want(ctx context.Context, db *DB, n int, why string) {
	p.t.Helper()
	if got, err := shows(ctx, db); got != n || err != nil {
		p.t.Errorf("%s: read %d, %v, want %d", why, got, err, n)
	}
}

func TestReadsAreMadeOfTheReplicaAndTheRestOfTheWriter(t *testing.T) {
	p := newPair(t)
	db := p.open("")
	ctx := t.Context()
	p.save(ctx, db, 1)
	p.CaughtUp()
	// What only the replica has.
	p.Exec(p.OnReplica, "UPDATE "+p.Replica.Path[1:]+".addon_texts SET text = '7' WHERE text = '1'")
	p.want(ctx, db, 7, "a read by itself")
	p.want(Latest(ctx), db, 1, "the latest")
	saved, err := db.Save(ctx, clockAddon(1))
	if err != nil || saved.Changed {
		t.Errorf("an import compares itself with the replica: %v, %v", saved.Changed, err)
	}
	if n := p.reads("replica1", readChosen); n == 0 || p.reads("writer", readAsked) == 0 || p.reads("writer", readNone) != 0 {
		t.Errorf("%d reads of the replica, %d of the latest, %d for want of a replica", n, p.reads("writer", readAsked), p.reads("writer", readNone))
	}
	if p.series("addons_db_replica_used", map[string]string{"server": "replica1"}) != 1 {
		t.Error("the metrics say that the replica is left out")
	}
}

func TestAReplicaThatStandsStillIsLeftOutUntilItHasCaughtUp(t *testing.T) {
	p := newPair(t)
	db := p.open("?lag=1s")
	r := db.replicas.list[0]
	p.Stop()
	stopped := time.Now()
	p.Await("left out", func() bool { return r.state.Load() == nil })
	// The limit, two beats by which it is measured, and a look; and the machine is busy.
	if took := time.Since(stopped); took > 8*time.Second {
		t.Errorf("left out after %v", took)
	}
	if lag := p.series("addons_db_replica_lag_seconds", map[string]string{"server": "replica1"}); lag <= 1 {
		t.Errorf("left out at a lag of %v s", lag)
	}
	p.save(t.Context(), db, 1)
	p.want(t.Context(), db, 1, "without a replica")
	if p.reads("writer", readNone) == 0 {
		t.Error("reads of the writer are not counted")
	}
	p.GoOn()
	p.Await("used again", func() bool { return r.state.Load() != nil })
	before := p.reads("replica1", readChosen)
	p.want(t.Context(), db, 1, "with a replica")
	if p.reads("replica1", readChosen) == before {
		t.Error("it is not read from again")
	}
	if said := p.log.String(); !strings.Contains(said, "left out") || !strings.Contains(said, "lags more than 1s") {
		t.Errorf("log: %s", said)
	}
}

func TestAReplicaThatIsCutOffOrFrozenCostsNobodyAnError(t *testing.T) {
	p := newPair(t)
	f := enginetest.NewFront(t, p.Replica.Host)
	behind := *p.Replica
	behind.Host = f.Addr
	db := p.open(behind.String(), "")
	r := db.replicas.list[0]
	p.save(t.Context(), db, 1)
	p.CaughtUp()
	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	var worst atomic.Int64
	var made [8]atomic.Int64
	for i := range made {
		readers.Go(func() {
			for ctx.Err() == nil {
				start := time.Now()
				// A reader is not stopped half-way, which would be an error of its own.
				if n, err := shows(t.Context(), db); n != 1 || err != nil {
					t.Errorf("read %d, %v", n, err)
					return
				}
				made[i].Add(1)
				for took := int64(time.Since(start)); ; {
					if w := worst.Load(); took <= w || worst.CompareAndSwap(w, took) {
						break
					}
				}
			}
		})
	}
	used := func() bool { return r.state.Load() != nil }
	for _, bad := range []struct {
		name      string
		begin     func()
		end       func()
		untilGone bool
	}{
		{"cut", f.Cut, func() {}, false},
		{"down", f.Down, func() { f.Up(t) }, true},
		{"frozen", f.Freeze, f.Thaw, true},
	} {
		before := r.chosen.Value()
		p.Await("read from before "+bad.name, func() bool { return used() && r.chosen.Value() > before })
		bad.begin()
		if bad.untilGone {
			p.Await("left out when "+bad.name, func() bool { return !used() })
			for i := range made {
				before := made[i].Load()
				p.Await("every reader goes on when "+bad.name, func() bool { return made[i].Load() > before || t.Failed() })
			}
		}
		bad.end()
		p.Await("used after "+bad.name, used)
	}
	stop()
	readers.Wait()
	// Until a look has noticed, and the machine is busy.
	if w := time.Duration(worst.Load()); w > timeout-time.Second {
		t.Errorf("a read took %v", w)
	}
	if p.reads("replica1", readLost) == 0 || p.reads("replica2", readChosen) == 0 {
		t.Error("nobody noticed, or the other replica was not asked")
	}
}

func TestReplicasAnswerWhileTheWriterIsDown(t *testing.T) {
	p := newPair(t)
	f := enginetest.NewFront(t, p.Writer.Host)
	p.Writer.Host = f.Addr
	db := p.open("")
	p.save(t.Context(), db, 1)
	p.CaughtUp()
	f.Down()
	if _, err := db.Clock(t.Context()); !errors.Is(err, catalog.ErrUnavailable) {
		t.Errorf("clock of a writer that is down: %v, want unavailable", err)
	}
	p.want(t.Context(), db, 1, "with the writer down")
	f.Up(t)
}

func TestASessionReadsWhatItWrote(t *testing.T) {
	p := newPair(t)
	db := p.open("?lag=10s")
	if ctx, s := db.Session(t.Context(), ""); s.Wrote() || s.Token(ctx) != "" {
		t.Error("a session that wrote nothing has a token")
	}
	p.save(t.Context(), db, 1)
	p.CaughtUp()
	p.Stop()

	ctx, s := db.Session(t.Context(), "")
	p.want(ctx, db, 1, "before")
	p.save(ctx, db, 2)
	p.want(ctx, db, 2, "the same request")
	token := s.Token(ctx)
	p.want(t.Context(), db, 1, "somebody else, of a replica that stands still")
	after := func(why string, n int, token string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		ctx, s := db.Session(ctx, token)
		p.want(ctx, db, n, why)
		if known, _, _, err := db.Candidates(ctx, "clock@example.org", "firefox"); !known || err != nil {
			t.Errorf("%s: candidates %t, %v", why, known, err)
		}
		if s.Wrote() {
			t.Errorf("%s: wrote", why)
		}
	}
	after("the next request", 2, token)
	after("a request with a token of another's making", 1, "AAAAAAAAAAAAAAAAMC0xLTE")
	if n := p.reads("writer", readOwn); n == 0 {
		t.Error("reads of the writer for the session's sake are not counted")
	}

	// Lookups of others that are under way would be shared.
	db.offers.mu.Lock()
	db.offers.underWay += abreast
	db.offers.mu.Unlock()
	after("while others ask", 2, token)
	db.offers.mu.Lock()
	db.offers.underWay -= abreast
	db.offers.mu.Unlock()

	p.GoOn()
	p.CaughtUp()
	before, own := p.reads("replica1", readChosen), p.reads("writer", readOwn)
	after("with a replica that has it", 2, token)
	if p.reads("replica1", readChosen) == before || p.reads("writer", readOwn) != own {
		t.Error("the session stays with the writer")
	}
}

// TestNothingIsOlderThanWhatTheFeedTold: who has been told of changes up to a number, as
// the feed of update checks and of the cache, reads nothing older.
func TestNothingIsOlderThanWhatTheFeedTold(t *testing.T) {
	p := newPair(t)
	db := p.open("?lag=10s&pool=4")
	ctx := t.Context()
	base, err := db.Clock(ctx)
	if err != nil {
		t.Fatal(err)
	}
	p.save(ctx, db, 1)
	p.CaughtUp()
	p.Stop()
	p.save(ctx, db, 2)
	p.want(ctx, db, 1, "untold")
	session, _ := db.Session(ctx, "")
	p.want(session, db, 1, "untold, in a session")
	if guids, err := db.Changes(ctx, base, 10); len(guids) != 2 || err != nil {
		t.Errorf("changes: %v, %v", guids, err)
	}
	p.want(ctx, db, 2, "told of it by Changes")
	p.want(session, db, 2, "told of it, in the session that had the replica")
	if p.reads("writer", readBehind) == 0 {
		t.Error("reads of the writer for the changes' sake are not counted")
	}
	p.GoOn()
	// Each save is one change, and shows its number.
	stopped := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		defer close(stopped)
		for n := 3; n < 150; n++ {
			if _, err := db.Save(ctx, clockAddon(n)); err != nil {
				t.Error(err)
				return
			}
			if n%50 == 0 {
				p.Exec(p.OnReplica, "STOP SLAVE SQL_THREAD")
			}
			if n%50 == 10 {
				p.Exec(p.OnReplica, "START SLAVE")
			}
		}
	})
	var reading sync.WaitGroup
	for range 4 {
		reading.Go(func() {
			for done := false; !done; {
				select {
				case <-stopped:
					done = true
				default:
				}
				seq, err := db.Clock(ctx)
				if err != nil {
					t.Error(err)
					return
				}
				if n, err := shows(ctx, db); int64(n) < seq-base || err != nil {
					t.Errorf("told of change %d, read %d, %v", seq-base, n, err)
					return
				}
			}
		})
	}
	writing.Wait()
	reading.Wait()
	before := p.reads("replica1", readChosen)
	p.GoOn()
	p.Await("read from again", func() bool {
		p.want(ctx, db, 149, "in the end")
		return p.reads("replica1", readChosen) > before
	})
	before = p.reads("writer", readBehind)
	p.want(session, db, 149, "the session that went to the writer")
	if p.reads("writer", readBehind) == before {
		t.Error("a session goes back to a replica, which may be behind what it has read")
	}
}

func TestAReplicaIsLeftOutWhenTheWriterAnswersAndHasNoBeat(t *testing.T) {
	p := newPair(t)
	db := p.open("?lag=2s")
	p.Stop()
	// As a full disk or a lost privilege would.
	tx, err := p.OnWriter.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.Exec("UPDATE " + p.Writer.Path[1:] + ".heartbeat SET at = at + 1"); err != nil {
		t.Fatal(err)
	}
	p.Await("left out", func() bool { return db.CheckReplicas(t.Context()) != nil })
}

// A copy of the database from before is put in its place: its numbers come a second time.
func TestReplicasAreReadFromAfterTheChangesBeganAnew(t *testing.T) {
	p := newPair(t)
	db := p.open("")
	p.save(t.Context(), db, 1)
	p.save(t.Context(), db, 2)
	if seq, err := db.Clock(t.Context()); seq != 2 || err != nil {
		t.Fatalf("clock %d, %v", seq, err)
	}
	p.Exec(p.OnWriter, "UPDATE "+p.Writer.Path[1:]+".change_clock SET seq = 1")
	p.CaughtUp()
	p.Await("the replica is behind", func() bool { return !db.replicas.list[0].has(2) })
	p.Await("it is read from again", func() bool {
		before := p.reads("replica1", readChosen)
		p.want(t.Context(), db, 2, "of whatever server")
		return p.reads("replica1", readChosen) > before
	})
}

func TestASessionStaysWithOneReplica(t *testing.T) {
	p := newPair(t)
	f := enginetest.NewFront(t, p.Replica.Host)
	behind := *p.Replica
	behind.Host = f.Addr
	db := p.open(behind.String(), "")
	ctx, _ := db.Session(t.Context(), "")
	for range 10 {
		p.want(ctx, db, 0, "nothing")
	}
	if a, b := p.reads("replica1", readChosen), p.reads("replica2", readChosen); min(a, b) != 0 || max(a, b) != 10 {
		t.Errorf("%d and %d reads, want all of one replica", a, b)
	}
	for range 10 {
		p.want(t.Context(), db, 0, "nothing")
	}
	if a, b := p.reads("replica1", readChosen), p.reads("replica2", readChosen); min(a, b) < 5 {
		t.Errorf("%d and %d reads, want turns without a session", a, b)
	}
}

func TestAWrongReplicaIsRefusedOrToldOf(t *testing.T) {
	p := newPair(t)
	other := *p.Writer
	other.Path += "_other"
	other.User = url.User("root")
	p.Exec(p.OnWriter, "CREATE DATABASE "+other.Path[1:])
	defer p.Exec(p.OnWriter, "DROP DATABASE "+other.Path[1:])
	open := func(to string, replicas ...string) (*DB, error) {
		return Open(t.Context(), to, metrics.New(nil), slog.New(slog.NewTextHandler(p.log, nil)), replicas...)
	}
	db, err := open(other.String(), other.String()) // it now has a secret of its own
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	if said := p.log.String(); !strings.Contains(said, "read_only=ON") {
		t.Errorf("no word of a replica that can be written to: %s", said)
	}
	for says, replicas := range map[string][]string{
		"replica 1, " + other.Host + other.Path + ": it is another database": {other.String()},
		"replica 2: this is no MySQL URL":                                    {p.Replica.String(), "sqlite:s3cret"},
		"replica 1: unknown parameter":                                       {p.Replica.String() + "?delay=1s"},
		"wanted 1s to 10s":                                                   {p.Replica.String() + "?lag=0s"},
		"is there already":                                                   {p.Replica.String(), p.Replica.String() + "?lag=3s"},
		"give 8 at most":                                                     make([]string, 9),
	} {
		if db, err := open(p.Writer.String(), replicas...); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%v: %v, want %q", replicas, err, says)
			if db != nil {
				db.Close()
			}
		}
	}
	// One that isn't there yet is no mistake.
	if db, err = open(p.Writer.String(), "mysql://root@127.0.0.1:1/x"); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	p.want(t.Context(), db, 0, "without a replica")
}

func TestSQLiteHasNoReplicas(t *testing.T) {
	t.Parallel()
	_, err := Open(t.Context(), "sqlite::memory:", metrics.New(nil), nil, "mysql://root@localhost/x")
	if err == nil || !strings.Contains(err.Error(), "replicas are MySQL's") {
		t.Errorf("%v, want to be told", err)
	}
}

func TestATokenIsOfItsDatabaseAlone(t *testing.T) {
	t.Parallel()
	s, other := &replicas{secret: "one"}, &replicas{secret: "other"}
	for _, position := range []string{"", "0-1-77", "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5,4e11fa47-71ca-11e1-9e33-c80aa9429562:1-99"} {
		token := s.sign(position)
		if got, ok := s.verify(token); got != position || !ok {
			t.Errorf("%q comes back as %q, %t", position, got, ok)
		}
		if _, ok := other.verify(token); ok {
			t.Errorf("another database believes %q", position)
		}
		if (&url.URL{Path: token}).EscapedPath() != token {
			t.Errorf("%q is no cookie's value", token)
		}
	}
	for _, token := range []string{"", "x", "AAAA", strings.Repeat("A", 5000), s.sign(strings.Repeat("1", positionMax+1))} {
		if _, ok := s.verify(token); ok {
			t.Errorf("%.20q is believed", token)
		}
	}
}

func TestReplicasAreLookedAtWhenMoreIsKnown(t *testing.T) {
	t.Parallel()
	r := &replica{kick: make(chan struct{}, 1)}
	s := &replicas{list: []*replica{r}}
	for _, step := range []struct {
		seq   int64
		looks int
	}{{3, 1}, {3, 0}, {2, 0}, {4, 1}} {
		s.know(step.seq)
		if len(r.kick) != step.looks {
			t.Errorf("told of %d: %d looks, want %d", step.seq, len(r.kick), step.looks)
		}
		if len(r.kick) > 0 {
			<-r.kick
		}
	}
	if known := s.known.Load(); known != 4 {
		t.Errorf("known %d, want 4", known)
	}
}

func TestTheLeastBusyReplicaThatKnowsEnoughIsPicked(t *testing.T) {
	t.Parallel()
	s := &replicas{}
	for i := range 4 {
		r := &replica{name: fmt.Sprint(i)}
		r.state.Store(&state{clock: int64(10 * i)})
		r.inUse.Store(int64(i % 3))
		s.list = append(s.list, r)
	}
	s.list[0].state.Store(nil)
	for known, want := range map[int64]string{0: "3", 20: "3"} {
		s.known.Store(known)
		for range 8 {
			if r, _ := s.pick(); r.name != want {
				t.Errorf("known %d: picked %s, want %s", known, r.name, want)
			}
		}
	}
	s.known.Store(31)
	if r, why := s.pick(); r != nil || why != readBehind {
		t.Errorf("picked %v, %s with all behind", r, why)
	}
	for _, r := range s.list {
		r.state.Store(nil)
	}
	if r, why := s.pick(); r != nil || why != readNone {
		t.Errorf("picked %v, %s with all left out", r, why)
	}
}

// half is a server that is lost after the first row of an answer.
type half struct{ sqldriver.Connector }

func (h half) Connect(ctx context.Context) (sqldriver.Conn, error) {
	conn, err := h.Connector.Connect(ctx)
	return halfConn{conn}, err
}

type halfConn struct{ sqldriver.Conn }

func (c halfConn) QueryContext(ctx context.Context, text string, args []sqldriver.NamedValue) (sqldriver.Rows, error) {
	rows, err := c.Conn.(sqldriver.QueryerContext).QueryContext(ctx, text, args)
	return &halfRows{Rows: rows}, err
}

type halfRows struct {
	sqldriver.Rows
	told bool
}

func (r *halfRows) Next(dest []sqldriver.Value) error {
	if r.told {
		return io.ErrUnexpectedEOF
	}
	r.told = true
	return r.Rows.Next(dest)
}

func TestAListThatIsLostHalfWayIsReadAnewAndWhatCannotBeIsUnavailable(t *testing.T) {
	t.Parallel()
	db, err := Open(t.Context(), "sqlite::memory:", metrics.New(nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	connector, err := sqlite.NewConnector(":memory:")
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{name: "replica1", pool: sql.OpenDB(half{connector}), kick: make(chan struct{}, 1)}
	r.look, r.chosen, r.lost = r.pool, db.shares.reads.With("replica1", readChosen), db.shares.reads.With("replica1", readLost)
	db.replicas = &replicas{d: db.driver, list: []*replica{r}, writer: map[string]*metrics.Counter{readNone: db.shares.reads.With("writer", readNone)}}
	t.Cleanup(func() { db.Close() })
	const three = "SELECT 1 UNION SELECT 2 UNION SELECT 3"
	again := func() { r.state.Store(&state{alive: t.Context()}) }
	again()
	got, err := list(t.Context(), db.reads(), qTags, three, nil, func(r row, n *int) error { return r.Scan(n) })
	if err != nil || !slices.Equal(got, []int{1, 2, 3}) {
		t.Errorf("a list: %v, %v", got, err)
	}
	again()
	n := 0
	err = db.reads().rows(t.Context(), qTags, three, nil, func(row) error { n++; return nil })
	if !errors.Is(err, catalog.ErrUnavailable) || n != 1 {
		t.Errorf("rows that were told of: %d, %v; want one, and unavailable", n, err)
	}
	if r.lost.Value() != 2 {
		t.Errorf("%v reads lost, want 2", r.lost.Value())
	}
}

// What choosing a server costs, and being a session's: the rest is the query.
func BenchmarkReads(b *testing.B) {
	p := newPair(b)
	replicated := p.open("")
	p.save(b.Context(), replicated, 1)
	p.CaughtUp()
	alone, err := Open(b.Context(), p.Writer.String(), metrics.New(nil), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer alone.Close()
	for name, read := range map[string]func() error{
		"writer alone": func() error { _, err := alone.Addon(b.Context(), "clock"); return err },
		"replica":      func() error { _, err := replicated.Addon(b.Context(), "clock"); return err },
		"session": func() error {
			ctx, _ := replicated.Session(b.Context(), "")
			_, err := replicated.Addon(ctx, "clock")
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := read(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
