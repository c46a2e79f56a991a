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
)

//go:embed migrations
var migrations embed.FS

// migrationWait is how long a process waits for another one that migrates.
const migrationWait = time.Minute

// migrate brings the tables up to date. Its callers see to it that no other process
// does so at the same time.
func migrate(ctx context.Context, d dialect, db *sql.DB) error {
	files, err := fs.Sub(migrations, "migrations/"+d.name)
	if err != nil {
		return err
	}
	kind := goose.DialectSQLite3
	if d.name == "mysql" {
		kind = goose.DialectMySQL
	}
	provider, err := goose.NewProvider(kind, db, files, goose.WithDisableGlobalRegistry(true))
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

// migrateMySQL migrates db, and closes it: one process at a time, by a lock of the
// server, which a killed process gives back. The lock is around all that goose does:
// its own leaves out the making of its table of versions, which MySQL commits empty.
func migrateMySQL(ctx context.Context, db *sql.DB) (err error) {
	defer func() { err = errors.Join(err, db.Close()) }()
	guard, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer guard.Close()
	if err := lockMySQL(ctx, guard); err != nil {
		return err
	}
	return migrate(ctx, mysqlDialect(), db)
}

// lockMySQL takes the lock for as long as conn is open. A lock's name is the
// server's, not the database's, and 64 characters at the most.
func lockMySQL(ctx context.Context, conn *sql.Conn) error {
	var got sql.NullInt64
	err := conn.QueryRowContext(ctx, "SELECT GET_LOCK(CONCAT('addons-migrate-', MD5(DATABASE())), ?)", int(migrationWait.Seconds())).Scan(&got)
	if err == nil && got.Int64 != 1 {
		err = fmt.Errorf("another process has been migrating for more than %v", migrationWait)
	}
	return err
}
