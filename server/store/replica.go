package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"

	"addons/server/catalog"
	"addons/server/metrics"
)

// Replicas take the reads by themselves; transactions, and what must have all that is
// committed (latest, Latest), go to the writer. A read may be made of a replica that
//
//   - answers, and is a copy of this database (its heartbeat row has our secret);
//   - lags no more than its limit. That is measured by the heartbeat row, which the writer
//     gets about once a second. SHOW REPLICA STATUS is asked of nobody: it needs a privilege,
//     says nothing of a replica's replica, and 0 seconds while a dead connection to the
//     writer has not been noticed yet;
//   - has all changes of add-ons that this process was told of (Clock, Changes). So who has
//     followed the feed up to a number reads nothing older: not the pages that it reads anew,
//     nor a copy in the cache that says as of which change it is.
//
// With none left, reads go to the writer. A replica that is left out is looked at once a
// second, and used again when all of it is true again.

const (
	// beat is the time between two beats of the writer, and between two looks at a replica.
	beat = time.Second
	// lookPatience: a replica that answers nothing for so long is left out, and the reads
	// that wait for it go to another server. So a frozen one costs a page two seconds at most.
	lookPatience = time.Second
	// soon is how long after a look that found it behind a replica is looked at again, at
	// first: replication takes milliseconds.
	soon = 10 * time.Millisecond
	// lagMax bounds what ?lag= may be: pins (Pin) outlive it.
	lagMax = 10 * time.Second
	// lagShown is what the metrics say of more, and of a replica that never answered.
	lagShown = 24 * time.Hour
	// replicasMax bounds the label server.
	replicasMax = 8
	// caughtUp is how long a read waits for a replica to have what the session has written.
	caughtUp = 50 * time.Millisecond
)

// Why a read was made of a server, as in the metrics.
const (
	readChosen = "chosen"       // a replica
	readLost   = "lost"         // a replica that did not answer: another server was asked then
	readAsked  = "asked"        // the writer, because the latest was asked for
	readOwn    = "own_writes"   // the writer, which has what the session has written
	readBehind = "behind"       // the writer: replicas have not all changes that are known here
	readNone   = "none_healthy" // the writer: no replica answers within its lag
)

// shares are the instruments of replicas.
type shares struct {
	reads     *metrics.CounterVec
	lag, used *metrics.GaugeVec
}

func newShares(reg *metrics.Registry) shares {
	server := metrics.L("server") // replicas are numbered as they were given, up to replicasMax
	return shares{
		reads: reg.Counter(metrics.Desc{
			Name:   "addons_db_reads_total",
			Help:   "Reads where there are replicas, by server and why: chosen, or lost and made of another one; of the writer: the latest was asked for (asked), own_writes, replicas behind what is known to have changed, none_healthy.",
			Labels: []metrics.Label{server, metrics.L("reason")},
			Keys:   []string{"db.reads.{server}.{reason}"},
		}),
		lag: reg.Gauge(metrics.Desc{
			Name:   "addons_db_replica_lag_seconds",
			Help:   "How far a replica is behind the writer, by the row that the writer changes once a second; 0: less than that. It grows while replication stands still.",
			Labels: []metrics.Label{server},
		}),
		used: reg.Gauge(metrics.Desc{
			Name:   "addons_db_replica_used",
			Help:   "1 while reads are made of a replica, 0 while it is left out: it doesn't answer, lags too far or is another database's.",
			Labels: []metrics.Label{server},
		}),
	}
}

// replicas are those of one writer. Its methods may be called of nil, which has none.
type replicas struct {
	d       *driver
	log     *slog.Logger
	secret  string
	mariaDB bool
	list    []*replica
	turn    atomic.Uint64
	writer  map[string]*metrics.Counter // by reason

	known atomic.Int64 // the last change that somebody here was told of
	// The last beat that the writer is known to have had, and the one before, which a
	// replica had time to get. The writer's microseconds.
	last, due atomic.Int64

	cancel context.CancelFunc
	tasks  sync.WaitGroup
}

// replica is one of them.
type replica struct {
	s     *replicas
	name  string // as in the metrics
	addr  string
	limit time.Duration // of its lag
	pool  *sql.DB
	look  *sql.DB // one connection, for which no read makes it wait
	inUse atomic.Int64
	kick  chan struct{}
	state atomic.Pointer[state] // nil: left out

	chosen, lost *metrics.Counter
	lag, used    *metrics.Gauge

	// Of the goroutine that looks.
	alive context.Context // ends when it doesn't answer
	end   context.CancelFunc
	at    int64  // its last beat
	said  string // why it is left out, as it was logged last
	warns bool   // that it can be written to, was logged
}

// state is what is known of a replica that is used.
type state struct {
	clock int64 // all changes up to it are there
	alive context.Context
}

var (
	errReplicaLost = errors.New("the replica does not answer")
	errOther       = errors.New("it is another database, no replica of --database")
)

// openReplicas has reads made of replicas: MySQL URLs, each with a ?lag=5s of its own.
func (d *driver) openReplicas(ctx context.Context, urls []string, log *slog.Logger) error {
	if d.name != "mysql" {
		return errors.New("replicas are MySQL's: leave them out, or give a mysql:// database")
	}
	if len(urls) > replicasMax {
		return fmt.Errorf("%d replicas: give %d at most", len(urls), replicasMax)
	}
	s := &replicas{d: d, log: log, writer: map[string]*metrics.Counter{}}
	for _, reason := range []string{readAsked, readOwn, readBehind, readNone} {
		s.writer[reason] = d.shares.reads.With("writer", reason)
	}
	for i, rawURL := range urls {
		r, err := s.open(i+1, rawURL)
		if err == nil && slices.ContainsFunc(s.list, func(o *replica) bool { return o.addr == r.addr }) {
			err = errors.Join(fmt.Errorf("%s is there already", r.addr), r.close())
		}
		if err != nil {
			return errors.Join(fmt.Errorf("replica %d: %w", i+1, err), s.close())
		}
		s.list = append(s.list, r)
	}
	if err := s.begin(ctx); err != nil {
		return errors.Join(err, s.close())
	}
	d.replicas = s
	return nil
}

func (s *replicas) open(number int, rawURL string) (*replica, error) {
	cfg, options, err := mysqlURL(rawURL, s.log, map[string]string{"lag": "5s"})
	if err != nil {
		return nil, err
	}
	pool, err := count(options, "pool")
	if err != nil {
		return nil, err
	}
	limit, err := time.ParseDuration(options["lag"])
	if err != nil || limit < beat || limit > lagMax {
		return nil, fmt.Errorf("parameter lag is %q, wanted %v to %v", options["lag"], beat, lagMax)
	}
	cfg.Timeout = lookPatience
	cfg.ReadTimeout, cfg.WriteTimeout = timeout+time.Second, timeout+time.Second
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, fmt.Errorf("MySQL at %s: %w", cfg.Addr, err)
	}
	name := fmt.Sprintf("replica%d", number)
	return &replica{
		s: s, name: name, addr: cfg.Addr + "/" + cfg.DBName, limit: limit,
		pool: mysqlPool(connector, pool), look: mysqlPool(connector, 1), kick: make(chan struct{}, 1),
		chosen: s.d.shares.reads.With(name, readChosen), lost: s.d.shares.reads.With(name, readLost),
		lag: s.d.shares.lag.With(name), used: s.d.shares.used.With(name),
	}, nil
}

// begin starts to measure. One that doesn't answer yet is left out for now; another
// database is a mistake.
func (s *replicas) begin(ctx context.Context) error {
	if err := s.identify(ctx); err != nil {
		return fmt.Errorf("replicas: the writer: %w", err)
	}
	s.due.Store(s.last.Load())
	errs := make([]error, len(s.list))
	var wait sync.WaitGroup
	for i, r := range s.list {
		r.alive, r.end = context.WithCancel(context.Background())
		wait.Go(func() {
			if _, err := r.see(ctx); errors.Is(err, errOther) {
				errs[i] = fmt.Errorf("replica %d, %s: %w", i+1, r.addr, err)
			}
		})
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.tasks.Go(func() { s.beats(ctx) })
	for _, r := range s.list {
		s.tasks.Go(func() { r.watch(ctx) })
	}
	return nil
}

// stop ends the measuring.
func (s *replicas) stop() {
	if s == nil || s.cancel == nil {
		return
	}
	s.cancel()
	s.tasks.Wait()
}

func (s *replicas) close() error {
	if s == nil {
		return nil
	}
	s.stop()
	var errs []error
	for _, r := range s.list {
		errs = append(errs, r.close())
	}
	return errors.Join(errs...)
}

func (r *replica) close() error {
	if r.end != nil {
		r.end()
	}
	return errors.Join(r.pool.Close(), r.look.Close())
}

// has says whether the replica is used and has the changes up to a number.
func (r *replica) has(seq int64) bool {
	s := r.state.Load()
	return s != nil && s.clock >= seq
}

// pick returns the least busy of the replicas that may be read from, in turn where they
// are equal; nil and why there is none.
func (s *replicas) pick() (best *replica, why string) {
	known, why := s.known.Load(), readNone
	first := int(s.turn.Add(1) % uint64(len(s.list)))
	for i := range s.list {
		r := s.list[(first+i)%len(s.list)]
		state := r.state.Load()
		switch {
		case state == nil:
		case state.clock < known:
			why = readBehind
		case best == nil || r.inUse.Load() < best.inUse.Load():
			best = r
		}
	}
	return best, why
}

// visit is a number of reads that belong together. They are made of one server, so that
// none is of an older state than the one before.
type visit struct {
	mu      sync.Mutex
	replica *replica // nil: not chosen yet, or the writer
	writer  string   // why it is; "": it isn't
	after   string   // a position that a replica must have reached; "": any
}

// choose returns the visit's replica, nil for the writer, and why.
func (v *visit) choose(ctx context.Context, s *replicas) (*replica, string) {
	if isLatest(ctx) {
		return nil, readAsked
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.writer == "" && v.replica == nil {
		v.replica, v.writer = s.pick()
		if v.replica != nil {
			v.writer = ""
			if v.after != "" && !v.replica.reached(ctx, v.after) {
				v.replica, v.writer = nil, readOwn
			}
		}
	}
	if v.replica != nil && !v.replica.has(s.known.Load()) {
		v.replica, v.writer = nil, readBehind
	}
	return v.replica, v.writer
}

// forsake has the visit choose anew.
func (v *visit) forsake(r *replica) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.replica == r {
		v.replica = nil
	}
}

// toWriter has all further reads made of the writer.
func (v *visit) toWriter(why string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.replica, v.writer = nil, why
}

// readAnywhere makes a query by itself of a replica, of another one if the first is lost,
// and of the writer if there is none.
func (d *driver) readAnywhere(ctx context.Context, q query, v *visit, a attempt) error {
	if s := sessionOf(ctx); s != nil {
		v = &s.visit
	}
	return d.observe(ctx, q, d.limit, func(limited context.Context) error {
		for range d.replicas.list {
			r, why := v.choose(limited, d.replicas)
			if r == nil {
				return d.readWriter(ctx, limited, q, why, a)
			}
			err, lost := r.read(limited, a)
			if !lost || a.anew == nil || !a.anew() {
				return err
			}
			v.forsake(r)
		}
		v.toWriter(readNone)
		return d.readWriter(ctx, limited, q, readNone, a)
	})
}

// read makes the query of the replica. lost: it did not answer, and another server may.
func (r *replica) read(limited context.Context, a attempt) (err error, lost bool) {
	state := r.state.Load()
	if state == nil {
		return errReplicaLost, true
	}
	r.inUse.Add(1)
	defer r.inUse.Add(-1)
	ctx, cancel := context.WithCancelCause(limited)
	defer cancel(nil)
	defer context.AfterFunc(state.alive, func() { cancel(errReplicaLost) })()
	err = a.run(ctx, r.pool)
	switch {
	case err == nil:
		r.chosen.Inc()
		return nil, false
	case limited.Err() != nil: // its caller's end, or a slow query
		r.chosen.Inc()
		return err, false
	case context.Cause(ctx) != nil, down(err):
		r.lost.Inc()
		if r.state.CompareAndSwap(state, nil) {
			r.hurry()
		}
		return fmt.Errorf("%s: %w: %w", r.name, errReplicaLost, catalog.ErrUnavailable), true
	}
	r.chosen.Inc()
	return err, false
}

// reached says whether the replica has what was committed up to a position, if need be
// after a short wait.
func (r *replica) reached(ctx context.Context, position string) (yes bool) {
	text, want := "SELECT GTID_SUBSET(?, @@GLOBAL.gtid_executed)", 1
	args := []any{position}
	if r.s.mariaDB {
		text, want = "SELECT MASTER_GTID_WAIT(?, ?)", 0
		args = append(args, caughtUp.Seconds())
	}
	got := sql.NullInt64{}
	err := r.s.d.observe(ctx, qPosition, lookPatience, func(ctx context.Context) error {
		return each(ctx, r.pool, text, args, func(row row) error { return row.Scan(&got) })
	})
	return err == nil && got.Valid && got.Int64 == int64(want)
}

// position is what the writer has committed by now, as GTIDs; "" if it has none.
func (s *replicas) position(ctx context.Context) (at string, err error) {
	text := "SELECT @@GLOBAL.gtid_executed"
	if s.mariaDB {
		text = "SELECT @@GLOBAL.gtid_binlog_pos"
	}
	err = s.d.latest().one(ctx, qPosition, text, into{&at})
	return strings.ReplaceAll(at, "\n", ""), err
}

// CheckReplicas says which replicas are left out; nil: none, or there are none.
func (db *DB) CheckReplicas(context.Context) error {
	if db.replicas == nil {
		return nil
	}
	var out []string
	for _, r := range db.replicas.list {
		if r.state.Load() == nil {
			out = append(out, r.name)
		}
	}
	if len(out) > 0 {
		return fmt.Errorf("left out: %s; the log says why", strings.Join(out, ", "))
	}
	return nil
}
