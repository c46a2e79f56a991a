package store

import "strings"

// table is one that rows are inserted into: its columns in the order of a row's values.
type table struct {
	name    string
	columns []string
}

func newTable(name, columns string) table { return table{name, strings.Split(columns, ", ")} }

// insert begins an INSERT of n rows.
func (t table) insert(n int) string {
	return "INSERT INTO " + t.name + " (" + strings.Join(t.columns, ", ") + ")" + values(n, len(t.columns))
}

// The tables that are filled by rows; addons, whose columns Save chooses among, is in save.go.
var (
	textsTable        = newTable("addon_texts", "addon_id, field, locale, text")
	wordsTable        = newTable("addon_words", "addon_id, words")
	authorsTable      = newTable("authors", "id, username, name, url")
	addonAuthorsTable = newTable("addon_authors", "addon_id, author_id, place")
	categoriesTable   = newTable("addon_categories", "addon_id, app, slug, place")
	totalsTable       = newTable("list_totals", "app, category, tag, type, addons")
	tagsTable         = newTable("tags", "id, name, addons")
	addonTagsTable    = newTable("addon_tags", "addon_id, tag_id, place")
	previewsTable     = newTable("previews", "id, addon_id, place, position, caption, image, width, height")
	licensesTable     = newTable("licenses", "id, digest, slug, name, url, text")
	versionsTable     = newTable("versions", "id, addon_id, number, sort_key, channel, deleted, offered, strict, notes, license_id, created, reviewed, digest")
	filesTable        = newTable("files", "id, version_id, addon_id, name, content, url, hash, size, status, created, permissions, signed")
	compatTable       = newTable("compat", "version_id, app, place, min_version, max_version")
	offersTable       = newTable("offers", "guid, app, slug, versions")
	rolloutsTable     = newTable("rollouts", "version_id, held_back, changed")
	downloadsTable    = newTable("downloads", "file_id, day, downloads")
	jobsTable         = newTable("jobs", "id, kind, payload, attempt, dead, leased, due, created, trace, reason")
	ratingsTable      = newTable("ratings", "id, addon_id, origin, version_number, user_name, score, body, has_body, created, digest")
)
