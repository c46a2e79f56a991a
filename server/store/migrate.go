package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations
var migrations embed.FS

// migrationWait is how long a process waits for another one that migrates.
const migrationWait = time.Minute

// migrate brings the tables up to date. MySQL has a lock for it; SQLite's callers
// hold one.
func migrate(ctx context.Context, d dialect, db *sql.DB) error {
	files, err := fs.Sub(migrations, "migrations/"+d.name)
	if err != nil {
		return err
	}
	options := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true)}
	kind := goose.DialectSQLite3
	if d.name == "mysql" {
		kind = goose.DialectMySQL
		options = append(options, goose.WithSessionLocker(mysqlLock{}))
	}
	provider, err := goose.NewProvider(kind, db, files, options...)
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// migrateSQLite makes the file, puts it into WAL mode and migrates it, one process
// at a time: the lock is a transaction on an empty SQLite file beside it, which
// every system has and a killed process gives back.
func migrateSQLite(ctx context.Context, path string) (err error) {
	guard, err := sqlitePool(path+"-migrate", 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, guard.Close()) }()
	ctx, cancel := context.WithTimeout(ctx, migrationWait)
	defer cancel()
	tx, err := waitFor(ctx, guard)
	if err != nil {
		return fmt.Errorf("wait for another process that migrates: %w", err)
	}
	defer tx.Rollback()
	db, err := sqlitePool(path, 1, "journal_mode(WAL)", "synchronous(FULL)")
	if err != nil {
		return err
	}
	return errors.Join(migrate(ctx, sqliteDialect(), db), db.Close())
}

// waitFor begins a transaction on db when the one of another process has ended.
func waitFor(ctx context.Context, db *sql.DB) (*sql.Tx, error) {
	for {
		tx, err := db.BeginTx(ctx, nil) // waits for seconds by itself
		if err == nil || ctx.Err() != nil || !lost(err) {
			return tx, err
		}
	}
}

// mysqlLock is a lock of the database server, which a killed process gives back.
type mysqlLock struct{}

var _ lock.SessionLocker = mysqlLock{}

// A lock's name is the server's, not the database's, and 64 characters at the most.
const mysqlLockName = "CONCAT('addons-migrate-', MD5(DATABASE()))"

func (mysqlLock) SessionLock(ctx context.Context, conn *sql.Conn) error {
	var got sql.NullInt64
	err := conn.QueryRowContext(ctx, "SELECT GET_LOCK("+mysqlLockName+", ?)", int(migrationWait.Seconds())).Scan(&got)
	if err == nil && got.Int64 != 1 {
		err = fmt.Errorf("another process has been migrating for more than %v", migrationWait)
	}
	return err
}

func (mysqlLock) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "DO RELEASE_LOCK("+mysqlLockName+")")
	return err
}
