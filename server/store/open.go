package store

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"modernc.org/sqlite"

	"addons/server/catalog"
	"addons/server/metrics"
)

// Open opens the database at rawURL and brings its tables up to date:
//
//	sqlite:addons.db?readers=8     a file, made if it isn't there
//	sqlite::memory:                gone when closed; for tests
//	mysql://user:password@host:3306/name?pool=16&tls=true
//
// Reads are made of its replicas, if any are given: MySQL URLs too, each with a
// parameter lag (5s) more, beyond which it is left out.
//
// A password is never part of an error or a log line. reg may hold one open
// database of a kind.
func Open(ctx context.Context, rawURL string, reg *metrics.Registry, log *slog.Logger, replicas ...string) (*DB, error) {
	scheme, rest, _ := strings.Cut(rawURL, ":")
	var d dialect
	var p pools
	var err error
	switch scheme {
	case "sqlite":
		d = sqliteDialect()
		p, err = openSQLite(ctx, rest)
	case "mysql":
		d = mysqlDialect()
		p, err = openMySQL(ctx, rawURL, log)
	default:
		return nil, errors.New(`database: unknown kind of URL, the known ones are "sqlite:addons.db" and "mysql://user:password@host:3306/name"`)
	}
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	drv, err := newDriver(d, p, reg)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("database: %w", err), drv.close())
	}
	if len(replicas) > 0 {
		if err := drv.openReplicas(ctx, replicas, log); err != nil {
			return nil, errors.Join(err, drv.close())
		}
	}
	return &DB{drv}, nil
}

// openSQLite opens "path?readers=n".
func openSQLite(ctx context.Context, rest string) (pools, error) {
	path, query, _ := strings.Cut(rest, "?")
	path = strings.TrimPrefix(path, "//")
	if path == "" {
		return pools{}, errors.New(`the URL names no file: write "sqlite:addons.db"`)
	}
	options, err := parameters(query, map[string]string{"readers": "8"})
	if err != nil {
		return pools{}, err
	}
	readers, err := count(options, "readers")
	if err != nil {
		return pools{}, err
	}
	if path == ":memory:" {
		return openMemory(ctx)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return pools{}, fmt.Errorf("folder of the SQLite file: %w", err)
	}
	if err := migrateSQLite(ctx, path); err != nil {
		return pools{}, fmt.Errorf("SQLite file %s: %w", path, err)
	}
	write, err := sqlitePool(path, 1, "synchronous(FULL)", "journal_size_limit(67108864)")
	if err != nil {
		return pools{}, err
	}
	read, err := sqlitePool(path, readers, "query_only(1)")
	if err != nil {
		return pools{}, errors.Join(err, write.Close())
	}
	return pools{read: read, write: write}, nil
}

// openMemory opens a database that is one connection: every other would be a
// database of its own.
func openMemory(ctx context.Context) (pools, error) {
	db, err := sqlitePool(":memory:", 1)
	if err != nil {
		return pools{}, err
	}
	p := pools{read: db, write: db}
	if err := migrate(ctx, sqliteDialect(), db); err != nil {
		return pools{}, errors.Join(err, p.close())
	}
	return p, nil
}

// sqlitePool returns a pool of n connections that stay open, each with the
// pragmas. 256 MiB of the file are mapped, which halves the time of a read.
func sqlitePool(path string, n int, pragmas ...string) (*sql.DB, error) {
	pragmas = append([]string{
		"busy_timeout(4000)", // less than a query's timeout, so that the error says what it waited for
		"foreign_keys(1)",
		"mmap_size(268435456)",
		"cache_size(-16000)",
		"temp_store(MEMORY)",
	}, pragmas...)
	name := ":memory:"
	if path != name {
		name = "file:" + (&url.URL{Path: path}).EscapedPath()
	}
	connector, err := sqlite.NewConnector(name + "?" + url.Values{"_pragma": pragmas, "_txlock": {"immediate"}}.Encode())
	if err != nil {
		return nil, fmt.Errorf("SQLite file %s: %w", path, err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return db, nil
}

// openMySQL opens "mysql://user:password@host:port/name?…".
func openMySQL(ctx context.Context, rawURL string, log *slog.Logger) (pools, error) {
	cfg, pool, err := mysqlConfig(rawURL, log)
	if err != nil {
		return pools{}, err
	}
	// Queries end with their ctx; a commit or a rollback has none that the driver
	// heeds, and would wait for ever for a server that is there and does not answer.
	impatient := cfg.Clone()
	impatient.ReadTimeout, impatient.WriteTimeout = timeout+time.Second, timeout+time.Second
	connector, err := mysql.NewConnector(impatient)
	if err != nil {
		return pools{}, fmt.Errorf("MySQL at %s: %w", cfg.Addr, err)
	}
	patient, err := mysql.NewConnector(cfg) // a migration may take longer than any query
	if err != nil {
		return pools{}, fmt.Errorf("MySQL at %s: %w", cfg.Addr, err)
	}
	if err := migrateMySQL(ctx, sql.OpenDB(patient)); err != nil {
		if down(err) {
			err = fmt.Errorf("%w: %w", catalog.ErrUnavailable, err)
		}
		return pools{}, fmt.Errorf("MySQL database %s at %s: %w", cfg.DBName, cfg.Addr, err)
	}
	db := mysqlPool(connector, pool)
	return pools{read: db, write: db}, nil
}

func mysqlPool(connector sqldriver.Connector, n int) *sql.DB {
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	// Less than any server's or balancer's idle limit, and a moved server is found.
	db.SetConnMaxLifetime(3 * time.Minute)
	return db
}

func mysqlConfig(rawURL string, log *slog.Logger) (cfg *mysql.Config, pool int, err error) {
	cfg, options, err := mysqlURL(rawURL, log, nil)
	if err != nil {
		return nil, 0, err
	}
	pool, err = count(options, "pool")
	return cfg, pool, err
}

// mysqlURL reads a URL that may have more parameters than a writer's.
func mysqlURL(rawURL string, log *slog.Logger, more map[string]string) (cfg *mysql.Config, options map[string]string, err error) {
	u, err := url.Parse(rawURL)
	name := ""
	if err == nil {
		name = strings.Trim(u.Path, "/")
	}
	if err != nil || u.Scheme != "mysql" || u.Hostname() == "" || name == "" {
		// What url.Parse says quotes the URL, and with it the password.
		return nil, nil, errors.New(`this is no MySQL URL: write "mysql://user:password@host:3306/name" and percent-encode the password`)
	}
	known := map[string]string{"pool": "16", "tls": "false"}
	maps.Copy(known, more)
	options, err = parameters(u.RawQuery, known)
	if err != nil {
		return nil, nil, err
	}
	port := u.Port()
	if port == "" {
		port = "3306"
	}
	cfg = mysql.NewConfig()
	cfg.User = u.User.Username()
	cfg.Passwd, _ = u.User.Password()
	cfg.Net, cfg.Addr, cfg.DBName = "tcp", net.JoinHostPort(u.Hostname(), port), name
	cfg.TLSConfig = options["tls"]
	cfg.Timeout = timeout
	cfg.ParseTime, cfg.Loc = true, time.UTC
	cfg.InterpolateParams = true // one round trip a query, not three
	cfg.ClientFoundRows = true   // count rows as SQLite does: found, not changed
	cfg.RejectReadOnly = true    // after a failover, connect anew
	cfg.Logger = driverLog{log}
	cfg.Params = map[string]string{
		"time_zone": "'+00:00'",
		"sql_mode":  "'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO'",
	}
	return cfg, options, cfg.Apply(mysql.Charset("utf8mb4", "utf8mb4_bin"))
}

// driverLog gives the MySQL driver's notes on broken connections, which are coped
// with, to the log.
type driverLog struct{ log *slog.Logger }

func (l driverLog) Print(v ...any) { l.log.Warn("mysql driver", "note", fmt.Sprint(v...)) }

// parameters reads a URL's query; known has every parameter with its default.
func parameters(query string, known map[string]string) (map[string]string, error) {
	given, err := url.ParseQuery(query)
	if err != nil {
		return nil, errors.New("the URL's parameters don't parse")
	}
	options := maps.Clone(known)
	for name, values := range given {
		if _, ok := known[name]; !ok {
			return nil, fmt.Errorf("unknown parameter %q, the known ones are %s", name, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
		options[name] = values[len(values)-1]
	}
	return options, nil
}

// count reads a number of connections.
func count(options map[string]string, name string) (int, error) {
	n, err := strconv.Atoi(options[name])
	if err != nil || n < 1 || n > 1000 {
		return 0, fmt.Errorf("parameter %s is %q, wanted a number from 1 to 1000", name, options[name])
	}
	return n, nil
}
