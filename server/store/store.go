// Package store keeps the site's records in SQL: SQLite for one machine, MySQL
// or MariaDB for many. What it promises:
//
//   - every query has a name, a time limit and a measurement (driver.go), and a
//     list costs the same number of queries however long it is;
//   - what a call that returned nil wrote survives a crash of the process or the machine;
//   - errors are catalog's: ErrNotFound, ErrInvalid, and ErrUnavailable when the
//     database is down. Anything else is a mistake of this package.
//
// A DB is safe for concurrent use, and any number of processes may share a database.
package store

import "context"

// DB is an open database.
type DB struct{ *driver }

// Name is "sqlite" or "mysql", as in the metrics' db_system_name.
func (db *DB) Name() string { return db.name }

// Ping asks the database for an answer.
func (db *DB) Ping(ctx context.Context) error {
	var one int
	return db.latest().one(ctx, qPing, "SELECT 1", into{&one})
}

// Close waits for the queries under way and closes the connections.
func (db *DB) Close() error { return db.driver.close() }
