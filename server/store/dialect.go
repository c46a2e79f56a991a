package store

import (
	"database/sql"
	"strings"
)

// dialect is where the two engines' SQL differs.
type dialect struct {
	name       string
	isolation  sql.IsolationLevel
	forUpdate  string // ends a SELECT whose rows nobody else may change until the commit
	skipLocked string // the same, leaving out rows that somebody else holds
	// sortIndexes asks for the statements that make the indexes of addons, but for those of its keys.
	sortIndexes string
}

// SQLite's transactions begin as writers, so nothing more is to be locked.
func sqliteDialect() dialect {
	return dialect{
		name:        "sqlite",
		sortIndexes: "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'addons' AND sql IS NOT NULL ORDER BY name",
	}
}

// Read committed: a transaction that finds a row taken by another one (a tag, an
// author) must be able to read it.
func mysqlDialect() dialect {
	return dialect{
		name: "mysql", isolation: sql.LevelReadCommitted,
		forUpdate: " FOR UPDATE", skipLocked: " FOR UPDATE SKIP LOCKED",
		sortIndexes: "SELECT CONCAT('CREATE INDEX ', index_name, ' ON addons (', GROUP_CONCAT(column_name ORDER BY seq_in_index SEPARATOR ', '), ')')" +
			" FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 'addons' AND non_unique = 1 GROUP BY index_name ORDER BY index_name",
	}
}

// dropIndex drops one of addons' indexes, of which made is the statement that makes it.
func (d dialect) dropIndex(made string) string {
	text := "DROP INDEX " + strings.Fields(made)[2]
	if d.name == "mysql" {
		text += " ON addons"
	}
	return text
}

// makeIndexes makes them by reading the table no more often than the engine needs to.
func (d dialect) makeIndexes(texts []string) []string {
	if d.name != "mysql" || len(texts) == 0 {
		return texts
	}
	adds := make([]string, len(texts))
	for i, text := range texts {
		adds[i] = "ADD INDEX " + strings.Replace(strings.TrimPrefix(text, "CREATE INDEX "), " ON addons ", " ", 1)
	}
	return []string{"ALTER TABLE addons " + strings.Join(adds, ", ")}
}

// orUpdate ends an INSERT: where a row with the key columns is there, the others
// are set by it. With no others the row stays as it is.
func (d dialect) orUpdate(key string, others ...string) string {
	sets := make([]string, len(others))
	for i, column := range others {
		sets[i] = column + " = " + d.given(column)
	}
	return d.onConflict(key, sets...)
}

func (d dialect) onConflict(key string, sets ...string) string {
	if d.name == "mysql" {
		if len(sets) == 0 {
			first, _, _ := strings.Cut(key, ",")
			sets = []string{first + " = " + first} // IGNORE would hide other mistakes too
		}
		return " ON DUPLICATE KEY UPDATE " + strings.Join(sets, ", ")
	}
	if len(sets) == 0 {
		return " ON CONFLICT (" + key + ") DO NOTHING"
	}
	return " ON CONFLICT (" + key + ") DO UPDATE SET " + strings.Join(sets, ", ")
}

// given is the value of the column that an INSERT with onConflict brought.
func (d dialect) given(column string) string {
	if d.name == "mysql" {
		return "VALUES(" + column + ")"
	}
	return "excluded." + column
}

// in renders "(?,?,…)" for a list; an empty one would be no SQL, so callers return first.
func in(n int) string { return "(" + strings.Repeat("?,", n-1) + "?)" }

// values renders n rows of width columns for an INSERT.
func values(n, width int) string {
	one := in(width)
	return " VALUES " + strings.Repeat(one+",", n-1) + one
}

// anys widens a list to query arguments.
func anys[T any](list []T) []any {
	args := make([]any, len(list))
	for i, v := range list {
		args[i] = v
	}
	return args
}
