// Package store keeps the site's records in SQL: SQLite for one machine, MySQL
// or MariaDB for many. What it promises:
//
//   - every query has a name, a time limit and a measurement (driver.go), and a
//     list costs the same number of queries however long it is;
//   - what a call that returned nil wrote survives a crash of the process or the machine;
//   - errors are catalog's: ErrNotFound, ErrInvalid, and ErrUnavailable when the
//     database is down, so that nobody above sees a driver's error.
//
// A DB is safe for concurrent use, and any number of processes may share a database.
package store
