package store

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"modernc.org/sqlite"
	sqlitecode "modernc.org/sqlite/lib"

	"addons/server/catalog"
	"addons/server/metrics"
)

// timeout is how long one query may take, waiting for a connection included.
const timeout = 5 * time.Second

// attempts is how often a transaction is begun when it loses to another one (a
// deadlock, a busy database, two imports of one new add-on).
const attempts = 8

// driver is the only way to the database: a query has to say its name, and is
// given its time limit, its measurement and its errors here. A test holds every
// other file of this package to that.
type driver struct {
	dialect
	pools    pools
	reader   statements    // pools.read, or what keeps its statements
	limit    time.Duration // timeout, but in tests
	registry *metrics.Registry
	timers   [queryCount][len(outcomes)]*metrics.Histogram
	gauges   []prometheus.Collector
	breaker  breaker
	replicas *replicas // nil: there are none
	closed   atomic.Bool
	offers   gather[offerKey, offerRow]
	shares   shares
}

// pools are the connections. MySQL has one pool for both; SQLite reads on many
// connections and writes on one, because it has one writer at a time and a queue
// of ours is fairer, and quicker, than its polling for the lock.
type pools struct {
	read, write *sql.DB
}

// The outcomes of a query, as in the metrics.
const (
	outcomeOK = iota
	outcomeError
	outcomeNotFound
	outcomeCanceled
)

var outcomes = [...]string{outcomeOK: "ok", outcomeError: "error", outcomeNotFound: "notfound", outcomeCanceled: "canceled"}

func newDriver(d dialect, p pools, reg *metrics.Registry) (*driver, error) {
	names := queryNames()
	durations := reg.Histogram(metrics.Desc{
		Name: "db_client_operation_duration_seconds",
		Help: "Time of database queries by name, from the wait for a connection until the last row was read.",
		Labels: []metrics.Label{
			metrics.L("db_system_name"),
			metrics.L("query", names[:]...),
			metrics.L("outcome", outcomes[:]...),
		},
		Keys: []string{"db.{db_system_name}.{query}"},
		Span: "db",
	})
	drv := &driver{dialect: d, pools: p, reader: p.read, limit: timeout, registry: reg, shares: newShares(reg)}
	drv.offers.ask = drv.readOffers
	if d.name == "sqlite" {
		drv.reader = newPrepared(p.read)
	}
	for q, name := range names {
		for o, outcome := range outcomes {
			drv.timers[q][o] = durations.With(d.name, name, outcome)
		}
	}
	return drv, drv.showPools()
}

// showPools registers the pools' own numbers (open, in use, waited for…).
func (d *driver) showPools() error {
	d.gauges = []prometheus.Collector{collectors.NewDBStatsCollector(d.pools.write, d.name)}
	if d.pools.read != d.pools.write {
		d.gauges = append(d.gauges, collectors.NewDBStatsCollector(d.pools.read, d.name+"_read"))
	}
	for _, g := range d.gauges {
		if err := d.registry.Prometheus().Register(g); err != nil {
			return fmt.Errorf("gauges of the %s pool (is a second database of this kind open?): %w", d.name, err)
		}
	}
	return nil
}

func (d *driver) close() error {
	d.closed.Store(true)
	d.replicas.stop()
	for _, g := range d.gauges {
		d.registry.Prometheus().Unregister(g)
	}
	if p, ok := d.reader.(*prepared); ok {
		return errors.Join(p.close(), d.pools.close())
	}
	return errors.Join(d.replicas.close(), d.pools.close())
}

func (p pools) close() error {
	err := p.read.Close()
	if p.write != p.read {
		err = errors.Join(err, p.write.Close())
	}
	return err
}

// statements is what runs queries: a pool or a transaction, and nothing else knows it.
type statements interface {
	QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error)
	ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error)
}

// handle runs measured queries, by themselves or in a transaction.
type handle struct {
	d     *driver
	on    statements
	begun bool // in a transaction
	// visit, if there is one, chooses in place of on.
	visit *visit
	// patience is the time limit of each query; 0: the driver's.
	patience time.Duration
}

// reads is the handle for queries by themselves, which change nothing. Those of one
// handle are made of one replica, if there are any, which is no further behind than
// Clock and Changes have told.
func (d *driver) reads() handle {
	if d.replicas == nil {
		return d.latest()
	}
	return handle{d: d, visit: &visit{}}
}

// latest is reads for what must have all that is committed.
func (d *driver) latest() handle { return handle{d: d, on: d.reader} }

// readWriter makes a read of the writer that a replica might have answered.
func (d *driver) readWriter(ctx, limited context.Context, q query, why string, a attempt) error {
	d.replicas.writer[why].Inc()
	start := time.Now()
	err := d.allow(q)
	if err == nil {
		err = a.run(limited, d.reader)
	}
	d.watch(ctx, start, err)
	return err
}

// attempt is a query that is made of one server, and anew of another one that its
// server is lost to. It forgets what it was told before, or says that it can't.
type attempt struct {
	run  func(context.Context, statements) error
	anew func() bool // nil: it can't
}

// measure is the driver's. What has begun is not left alone half-way.
func (h handle) measure(ctx context.Context, q query, a attempt) error {
	run := func(ctx context.Context) error { return a.run(ctx, h.on) }
	switch {
	case h.visit != nil:
		return h.d.readAnywhere(ctx, q, h.visit, a)
	case h.patience != 0:
		return h.d.measureFor(ctx, q, h.patience, run)
	case h.begun:
		return h.d.measure(ctx, q, run)
	}
	return h.d.guarded(ctx, q, run)
}

// into is where a query's columns go.
type into []any

// row is a query's current row.
type row interface{ Scan(dest ...any) error }

// one runs a query that answers with one row; none is catalog.ErrNotFound.
func (h handle) one(ctx context.Context, q query, text string, dest into, args ...any) error {
	return h.measure(ctx, q, attempt{anew: func() bool { return true }, run: func(ctx context.Context, on statements) error {
		found := false
		err := each(ctx, on, text, args, func(r row) error {
			if found {
				return nil
			}
			found = true
			return r.Scan(dest...)
		})
		if err == nil && !found {
			return catalog.ErrNotFound
		}
		return err
	}})
}

// rows runs a query and gives each row to scan, which must not start another
// query. None is catalog.ErrNotFound where the query asks for one thing.
func (h handle) rows(ctx context.Context, q query, text string, args []any, scan func(row) error) error {
	return h.scan(ctx, q, text, args, nil, scan)
}

// scan is rows; forget undoes what scan did with the rows before, nil: nothing can.
func (h handle) scan(ctx context.Context, q query, text string, args []any, forget func(), scan func(row) error) error {
	found := false
	anew := func() bool {
		if found && forget == nil {
			return false
		}
		if found {
			forget()
			found = false
		}
		return true
	}
	return h.measure(ctx, q, attempt{anew: anew, run: func(ctx context.Context, on statements) error {
		err := each(ctx, on, text, args, func(r row) error {
			found = true
			return scan(r)
		})
		if err == nil && !found && q.asksForOne() {
			return catalog.ErrNotFound
		}
		return err
	}})
}

func each(ctx context.Context, on statements, text string, args []any, scan func(row) error) error {
	rows, err := on.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

// list is rows for a slice of T.
func list[T any](ctx context.Context, h handle, q query, text string, args []any, scan func(row, *T) error) ([]T, error) {
	var all []T
	err := h.scan(ctx, q, text, args, func() { all = nil }, func(r row) error {
		var t T
		if err := scan(r, &t); err != nil {
			return err
		}
		all = append(all, t)
		return nil
	})
	return all, err
}

// exec runs a statement and returns how many rows it changed.
func (h handle) exec(ctx context.Context, q query, text string, args ...any) (changed int64, err error) {
	err = h.measure(ctx, q, attempt{run: func(ctx context.Context, on statements) error {
		result, err := on.ExecContext(ctx, text, args...)
		if err != nil {
			return err
		}
		changed, err = result.RowsAffected()
		return err
	}})
	return changed, err
}

// insert runs an INSERT of one row and returns its id.
func (h handle) insert(ctx context.Context, q query, text string, args ...any) (id int64, err error) {
	err = h.measure(ctx, q, attempt{run: func(ctx context.Context, on statements) error {
		result, err := on.ExecContext(ctx, text, args...)
		if err != nil {
			return err
		}
		id, err = result.LastInsertId()
		return err
	}})
	return id, err
}

// alone runs one statement that is a transaction by itself.
func (d *driver) alone(ctx context.Context, q query, text string, args ...any) (changed int64, err error) {
	sessionOf(ctx).writes()
	err = again(ctx, func() error {
		changed, err = handle{d: d, on: d.pools.write}.exec(ctx, q, text, args...)
		return err
	})
	return changed, err
}

// tx runs do in a transaction, again if it lost to another one; so do must have
// no effect but through its handle. It commits if do returns nil.
func (d *driver) tx(ctx context.Context, do func(handle) error) error {
	return again(ctx, func() error { return d.once(ctx, do) })
}

// again runs do until it loses to no other transaction, but not for ever.
func again(ctx context.Context, do func() error) error {
	wait := 2 * time.Millisecond
	for i := 1; ; i++ {
		err := do()
		if err == nil || i == attempts || !lost(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait + rand.N(wait)):
		}
		wait *= 2
	}
}

func (d *driver) once(ctx context.Context, do func(handle) error) error {
	tx, release, err := d.begin(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := do(handle{d: d, on: tx, begun: true}); err != nil {
		return errors.Join(err, d.rollback(ctx, tx))
	}
	sessionOf(ctx).writes()
	return d.measure(ctx, qCommit, func(context.Context) error { return tx.Commit() })
}

// hold begins a transaction that is not tried again: SQLite's statements are kept
// for it, and each query may take as long as limit. end commits it, or rolls it back.
func (d *driver) hold(ctx context.Context, limit time.Duration) (_ handle, end func(commit bool) error, err error) {
	tx, release, err := d.begin(ctx)
	if err != nil {
		return handle{}, nil, err
	}
	h := handle{d: d, on: tx, begun: true, patience: limit}
	closing := func() error { return nil }
	if d.name == "sqlite" {
		kept := &keptTx{Tx: tx, stmts: map[string]*sql.Stmt{}}
		h.on, closing = kept, kept.close
	}
	return h, func(commit bool) error {
		defer release()
		err := closing()
		if err != nil || !commit {
			return errors.Join(err, d.rollback(ctx, tx))
		}
		sessionOf(ctx).writes()
		return d.measureFor(ctx, qCommit, limit, func(context.Context) error { return tx.Commit() })
	}, nil
}

// begin waits for a connection no longer than a query may take. The transaction
// itself lives as long as ctx: each of its queries has its own limit.
func (d *driver) begin(ctx context.Context) (tx *sql.Tx, release func(), err error) {
	err = d.guarded(ctx, qBegin, func(limited context.Context) error {
		conn, err := d.pools.write.Conn(limited)
		if err != nil {
			return err
		}
		release = func() { conn.Close() }
		if tx, err = conn.BeginTx(ctx, &sql.TxOptions{Isolation: d.isolation}); err != nil {
			release()
		}
		return err
	})
	return tx, release, err
}

// rollback runs for a canceled ctx too. That the transaction is over already is fine.
func (d *driver) rollback(ctx context.Context, tx *sql.Tx) error {
	return d.measure(context.WithoutCancel(ctx), qRollback, func(context.Context) error {
		if err := tx.Rollback(); !errors.Is(err, sql.ErrTxDone) {
			return err
		}
		return nil
	})
}

// guarded is measure, unless the database is being left alone. A ping asks in any
// case: it is how people see that the database is back.
func (d *driver) guarded(ctx context.Context, q query, run func(context.Context) error) error {
	return d.measure(ctx, q, func(ctx context.Context) error {
		if err := d.allow(q); err != nil {
			return err
		}
		return run(ctx)
	})
}

func (d *driver) allow(q query) error {
	if q != qPing && !d.breaker.allow(time.Now(), d.limit) {
		return errLeftAlone
	}
	return nil
}

// measure gives run its time limit, times it, and turns its error into the package's.
func (d *driver) measure(ctx context.Context, q query, run func(context.Context) error) error {
	return d.measureFor(ctx, q, d.limit, run)
}

func (d *driver) measureFor(ctx context.Context, q query, limit time.Duration, run func(context.Context) error) error {
	return d.observe(ctx, q, limit, func(limited context.Context) error {
		start := time.Now()
		err := run(limited)
		d.watch(ctx, start, err)
		return err
	})
}

// observe is measure for whatever server, whose breaker is another's to tell.
func (d *driver) observe(ctx context.Context, q query, limit time.Duration, run func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	start := time.Now()
	err := run(limited)
	if err != nil && d.closed.Load() {
		err = errors.Join(err, sql.ErrConnDone) // database/sql has no name for its own
	}
	outcome, err := translate(ctx, q, err)
	d.timers[q][outcome].Observe(ctx, time.Since(start))
	return err
}

// watch tells the breaker how a query ended. SQLite has none that could fall
// silent: what waits there waits for its turn.
func (d *driver) watch(ctx context.Context, began time.Time, err error) {
	switch {
	case d.name == "sqlite", errors.Is(err, errLeftAlone):
	case err == nil, ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) && !down(err):
		d.breaker.worked(time.Now())
	default:
		d.breaker.failed(began, time.Now(), ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded))
	}
}

// translate turns a driver's error into one of the package's; ctx is the caller's.
func translate(ctx context.Context, q query, err error) (outcome int, _ error) {
	switch {
	case err == nil:
		return outcomeOK, nil
	case errors.Is(err, catalog.ErrNotFound):
		return outcomeNotFound, err
	case ctx.Err() != nil:
		return outcomeCanceled, fmt.Errorf("query %s: %w", q, ctx.Err())
	case errors.Is(err, context.DeadlineExceeded):
		return outcomeError, fmt.Errorf("query %s took too long: %w", q, catalog.ErrUnavailable)
	case down(err):
		return outcomeError, fmt.Errorf("query %s: %w: %w", q, catalog.ErrUnavailable, err)
	}
	return outcomeError, fmt.Errorf("query %s: %w", q, err)
}

// down says whether err means that the database can't be asked at present.
func down(err error) bool {
	if number, ok := mysqlError(err); ok {
		switch number {
		case 1040, // too many connections
			1053, 1152, 1927, 3169, // shutting down, connection killed
			1203, 1226, // user's limit of connections
			1205, 1213, // lock wait timeout, deadlock: tried again, still lost
			1021, 1290, 1836: // disk full, read only
			return true
		}
		return false
	}
	if code, ok := sqliteError(err); ok {
		switch code & 0xff {
		case sqlitecode.SQLITE_BUSY, sqlitecode.SQLITE_LOCKED, sqlitecode.SQLITE_IOERR,
			sqlitecode.SQLITE_CANTOPEN, sqlitecode.SQLITE_FULL, sqlitecode.SQLITE_READONLY:
			return true
		}
		return false
	}
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, errLeftAlone) ||
		errors.Is(err, sqldriver.ErrBadConn) || errors.Is(err, mysql.ErrInvalidConn) ||
		errors.Is(err, sql.ErrConnDone) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// lost says whether err means that another transaction came in between.
func lost(err error) bool {
	if number, ok := mysqlError(err); ok {
		return number == 1213 || number == 1205 || number == 1062 // deadlock, lock wait timeout, duplicate key
	}
	if code, ok := sqliteError(err); ok {
		return code&0xff == sqlitecode.SQLITE_BUSY || code&0xff == sqlitecode.SQLITE_LOCKED ||
			code == sqlitecode.SQLITE_CONSTRAINT_UNIQUE || code == sqlitecode.SQLITE_CONSTRAINT_PRIMARYKEY
	}
	return false
}

func mysqlError(err error) (number uint16, ok bool) {
	var e *mysql.MySQLError
	if !errors.As(err, &e) {
		return 0, false
	}
	return e.Number, true
}

func sqliteError(err error) (code int, ok bool) {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return 0, false
	}
	return e.Code(), true
}
