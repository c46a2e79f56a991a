package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"addons/server/catalog"
)

// Bulk fills an empty database with a catalogue that is made by a recipe, many
// add-ons in a transaction. How far it has come is written in the same transaction,
// so that whoever was killed goes on where it stopped, and ends with the same rows.
// One goroutine calls Write; Prepare may be called by many.
type Bulk struct {
	db       *DB
	done     int // add-ons, committed
	rows     int64
	finished bool
	local    bool             // rows go by LOAD DATA LOCAL
	tags     map[string]int64 // ids by name
	licenses map[string]int64 // ids by digest

	// The transaction under way; end is nil when there is none.
	h       handle
	end     func(commit bool) error
	pending int // add-ons
	written int64
}

// commitAfter is how many add-ons go into a transaction: rows go to pages of some
// indexes in no order, and with few rows a transaction each page is written for one.
const commitAfter = 2000

// bulkTimeout is how long a statement of Bulk may take: on a busy disk, thousands
// of rows at once are no short query.
const bulkTimeout = 2 * time.Minute

// maxRecipe is what the column takes.
const maxRecipe = 255

// Bulk begins or goes on with the catalogue of a recipe, whose add-ons come in the
// same order each time. catalog.ErrInvalid: the database has other add-ons.
func (db *DB) Bulk(ctx context.Context, recipe string) (*Bulk, error) {
	if recipe == "" || len(recipe) > maxRecipe {
		return nil, fmt.Errorf("recipe of %d bytes, wanted 1 to %d: %w", len(recipe), maxRecipe, catalog.ErrInvalid)
	}
	b := &Bulk{db: db, tags: map[string]int64{}, licenses: map[string]int64{}}
	if err := db.tx(ctx, func(h handle) error { return b.begin(ctx, h, recipe) }); err != nil {
		return nil, fmt.Errorf("bulk load: %w", err)
	}
	err := b.known(ctx, db.latest())
	if err == nil && !b.finished {
		err = db.dropSorts(ctx)
	}
	if err == nil {
		b.local, err = db.takesLocalData(ctx)
	}
	if err == nil {
		err = db.roomy(ctx, true)
	}
	if err != nil {
		return nil, fmt.Errorf("bulk load: %w", err)
	}
	return b, nil
}

// Unfinished is the recipe of a bulk load that has begun and not ended, "" if there is none:
// lists are slow until it has.
func (db *DB) Unfinished(ctx context.Context) (recipe string, err error) {
	err = db.latest().one(ctx, qBulkState, "SELECT recipe FROM generated WHERE id = 1 AND finished = 0", into{&recipe})
	if errors.Is(err, catalog.ErrNotFound) {
		return "", nil
	}
	return recipe, err
}

// begin reads or writes the row that says what is being loaded.
func (b *Bulk) begin(ctx context.Context, h handle, recipe string) error {
	var stored string
	err := h.one(ctx, qBulkState, "SELECT recipe, done, finished FROM generated WHERE id = 1"+h.d.forUpdate, into{&stored, &b.done, &b.finished})
	switch {
	case err == nil && stored == recipe:
		return nil
	case err == nil:
		return fmt.Errorf("the database holds the catalogue of %s, not of %s: load the same again, or give another --database or --data: %w", stored, recipe, catalog.ErrInvalid)
	case !errors.Is(err, catalog.ErrNotFound):
		return err
	}
	var id int64
	err = h.one(ctx, qBulkState, "SELECT id FROM addons ORDER BY id LIMIT 1", into{&id})
	if err == nil {
		return fmt.Errorf("the database has add-ons already, and a generated catalogue mixes with no other: give another --database or --data: %w", catalog.ErrInvalid)
	}
	if !errors.Is(err, catalog.ErrNotFound) {
		return err
	}
	indexes, err := h.sorts(ctx)
	if err != nil {
		return err
	}
	_, err = h.exec(ctx, qBulkState, "INSERT INTO generated (id, recipe, done, finished, indexes) VALUES (1, ?, 0, 0, ?)", recipe, asJSON(indexes))
	return err
}

// sorts are the indexes of addons that are there, but for those of its keys, by the
// statements that make them.
func (h handle) sorts(ctx context.Context) ([]string, error) {
	made, err := list(ctx, h, qBulkState, h.d.sortIndexes, nil, func(r row, text *string) error { return r.Scan(text) })
	if made == nil {
		made = []string{}
	}
	return made, err
}

// dropSorts drops the indexes that lists are sorted by, which are made again at the end: for
// 300,000 add-ons a third of the time went into them. begin has noted how, in a transaction
// that has ended: where there are none for what changes tables, as in MySQL, whoever was
// killed goes on with what is left to drop, or to make.
func (db *DB) dropSorts(ctx context.Context) error {
	return db.tx(ctx, func(h handle) error {
		var noted []string
		if err := h.one(ctx, qBulkState, "SELECT indexes FROM generated WHERE id = 1"+h.d.forUpdate, into{fromJSON(&noted)}); err != nil {
			return err
		}
		there, err := h.sorts(ctx)
		for _, text := range there {
			if err == nil && slices.Contains(noted, text) {
				_, err = h.exec(ctx, qBulkState, h.d.dropIndex(text))
			}
		}
		return err
	})
}

// known reads the ids of what add-ons share.
func (b *Bulk) known(ctx context.Context, h handle) error {
	for text, to := range map[string]map[string]int64{
		"SELECT name, id FROM tags ORDER BY name":         b.tags,
		"SELECT digest, id FROM licenses ORDER BY digest": b.licenses,
	} {
		err := h.rows(ctx, qBulkState, text, nil, func(r row) error {
			var key string
			var id int64
			err := r.Scan(&key, &id)
			to[key] = id
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Done is how many add-ons are written and committed.
func (b *Bulk) Done() int { return b.done }

// Finished says whether all of them are, and Finish has been called.
func (b *Bulk) Finished() bool { return b.finished }

// Rows is how many rows this Bulk has written and committed.
func (b *Bulk) Rows() int64 { return b.rows }

// Prepared is add-ons as rows.
type Prepared struct {
	addons   int
	rows     []tableRows // in the order in which they are written
	tags     []taggedAddon
	totals   map[totalKey]int
	licenses []licensedVersion
	authors  map[int64]catalog.Author
	texts    map[string]catalog.License // by digest
}

// tableRows are rows of a table.
type tableRows struct {
	table
	rows [][]any
}

type taggedAddon struct {
	id     int64
	listed bool
	tags   []string
}

// licensedVersion is a row of versions that lacks the id of its license.
type licensedVersion struct {
	row    []any
	digest string
}

// Prepare checks add-ons as Save does and renders them as rows. Every add-on,
// version, file, author, preview and rating has its ID, which nothing else in the
// catalogue has; an author with an ID is always the same.
func Prepare(imports []Import) (*Prepared, error) {
	p := &Prepared{addons: len(imports), authors: map[int64]catalog.Author{}, totals: map[totalKey]int{}, texts: map[string]catalog.License{}}
	var byTable = map[string]*tableRows{}
	add := func(t table, rows ...[]any) {
		if byTable[t.name] == nil {
			byTable[t.name] = &tableRows{table: t}
		}
		byTable[t.name].rows = append(byTable[t.name].rows, rows...)
	}
	for _, in := range imports {
		s, err := newSaving(in)
		if err == nil {
			err = checkIDs(s)
		}
		if err != nil {
			return nil, err
		}
		p.add(s, add)
	}
	// By their key, which is a place in the table: neighbours are written together.
	if o := byTable[offersTable.name]; o != nil {
		slices.SortFunc(o.rows, func(x, y []any) int {
			return cmp.Or(cmp.Compare(x[0].(string), y[0].(string)), cmp.Compare(x[1].(string), y[1].(string)))
		})
	}
	for _, name := range []string{
		"addons", textsTable.name, wordsTable.name, addonAuthorsTable.name, categoriesTable.name, previewsTable.name,
		versionsTable.name, filesTable.name, compatTable.name, offersTable.name, ratingsTable.name,
	} {
		if t := byTable[name]; t != nil {
			p.rows = append(p.rows, *t)
		}
	}
	return p, nil
}

// checkIDs refuses what the engine would have to number.
func checkIDs(s *saving) error {
	ids := []int64{s.addon.ID}
	for _, p := range s.addon.Authors {
		ids = append(ids, p.ID)
	}
	for _, p := range s.addon.Previews {
		ids = append(ids, p.ID)
	}
	for _, v := range s.versions {
		ids = append(ids, v.ID, v.File.ID)
	}
	for _, r := range s.ratings {
		ids = append(ids, r.ID)
	}
	if slices.Min(ids) <= 0 || slices.Max(ids) > maxID {
		return fmt.Errorf("bulk load: add-on %q without ids: %w", s.addon.GUID, catalog.ErrInvalid)
	}
	return nil
}

// add renders one add-on.
func (p *Prepared) add(s *saving, add func(table, ...[]any)) {
	a := *s.addon
	if a.Slug = slugify(a.Slug); a.Slug == "" {
		a.Slug = baseSlug(&a)
	}
	var offered []*catalog.Version
	for i := range s.versions {
		v := &s.versions[i]
		row := v.row(v.ID, a.ID, 0)
		add(versionsTable, row)
		add(filesTable, v.fileRow(v.File.ID, a.ID))
		add(compatTable, v.compatRows()...)
		p.licenses = append(p.licenses, licensedVersion{row, v.license})
		p.texts[v.license] = v.License
		if v.Offered() {
			offered = append(offered, &v.Version)
		}
	}
	slices.SortFunc(offered, func(v, w *catalog.Version) int { // newestFirst
		return cmp.Or(cmp.Compare(sortKey(w.Number), sortKey(v.Number)), cmp.Compare(w.ID, v.ID))
	})
	for _, r := range s.ratings {
		add(ratingsTable, r.row(r.ID, a.ID))
	}
	sums, imported := s.standing(storedAddon{}, s.ratingSums())
	current := s.current(&a, storedAddon{}, offered)
	all := append(s.newColumns(&a, a.ID), sums.columns()...)
	names, row := unzip(append(all,
		column{"imported", asJSON(imported)},
		column{"current_version", current.version},
		column{"listed", current.listed},
		column{"apps", current.apps},
		column{"updated", seconds(current.updated)},
	))
	add(table{"addons", names}, row)
	add(textsTable, textRows(&a)...)
	add(wordsTable, []any{a.ID, words(&a)})
	add(categoriesTable, categoryRows(&a)...)
	for i, author := range withUsernames(&a) {
		p.authors[author.ID] = author
		add(addonAuthorsTable, []any{a.ID, author.ID, i})
	}
	for i, preview := range a.Previews {
		add(previewsTable, previewRow(preview.ID, a.ID, i, preview))
	}
	add(offersTable, offerRows(&a, offered)...)
	p.tags = append(p.tags, taggedAddon{a.ID, current.listed, unique(a.Tags)})
	for key := range current.lists(&a) {
		p.totals[key]++
	}
}

// Write writes the next add-ons; Flush, or one of the next calls, commits them. After
// an error the Bulk is of no more use, and what was not committed is gone.
func (b *Bulk) Write(ctx context.Context, p *Prepared) error {
	err := b.write(ctx, p)
	if err == nil && b.pending >= commitAfter {
		err = b.Flush(ctx)
	}
	if err != nil {
		return fmt.Errorf("bulk load after %d add-ons: %w", b.done, errors.Join(err, b.leave()))
	}
	return nil
}

func (b *Bulk) write(ctx context.Context, p *Prepared) (err error) {
	if b.end == nil {
		if b.h, b.end, err = b.db.hold(ctx, bulkTimeout); err != nil {
			return err
		}
		if err := b.h.trustKeys(ctx, true); err != nil {
			return err
		}
	}
	// Whoever else loads into this database waits here, and then finds another number.
	from := b.done + b.pending
	moved, err := b.h.exec(ctx, qBulkState, "UPDATE generated SET done = ? WHERE id = 1 AND done = ? AND finished = 0", from+p.addons, from)
	if err != nil {
		return err
	}
	if moved != 1 {
		return fmt.Errorf("another process is loading into this database: %w", catalog.ErrInvalid)
	}
	for _, s := range b.resolve(p) {
		if err := b.h.insertRows(ctx, qBulkRows, s.table, s.rows, s.end); err != nil {
			return err
		}
		b.written += int64(len(s.rows))
	}
	for _, t := range p.rows {
		if err := b.insert(ctx, t); err != nil {
			return err
		}
		b.written += int64(len(t.rows))
	}
	b.pending += p.addons
	return nil
}

// Flush commits what is written.
func (b *Bulk) Flush(ctx context.Context) error {
	if b.end == nil {
		return nil
	}
	end := b.end
	b.end = nil
	if err := errors.Join(b.h.noteAll(ctx), b.h.trustKeys(ctx, false)); err != nil {
		return errors.Join(err, end(false))
	}
	if err := end(true); err != nil {
		return fmt.Errorf("bulk load after %d add-ons: %w", b.done, err)
	}
	b.done, b.rows = b.done+b.pending, b.rows+b.written
	b.pending, b.written = 0, 0
	return nil
}

// leave rolls back what is not committed.
func (b *Bulk) leave() error {
	if b.end == nil {
		return nil
	}
	end := b.end
	b.end = nil
	// A connection that does not take this is broken, and the pool drops it.
	b.h.trustKeys(context.Background(), false)
	return end(false)
}

// trustKeys takes back the check that every row's parent is there: Prepare renders
// both. For SQLite, where it is a setting of the connection outside transactions, see roomy.
func (h handle) trustKeys(ctx context.Context, on bool) error {
	if h.d.name != "mysql" {
		return nil
	}
	_, err := h.exec(ctx, qBulkState, "SET SESSION foreign_key_checks = ?", !on)
	return err
}

func (b *Bulk) insert(ctx context.Context, t tableRows) error {
	if b.local {
		return b.h.loadLocal(ctx, qBulkRows, t.table, t.rows)
	}
	return b.h.insertRows(ctx, qBulkRows, t.table, t.rows, "")
}

// sharedRows are rows that another add-on may have brought already: end says what then.
type sharedRows struct {
	tableRows
	end string
}

// resolve gives tags and licenses their ids and completes the rows that name them.
func (b *Bulk) resolve(p *Prepared) []sharedRows {
	var licenses, authors, tags, tagged [][]any
	for _, v := range p.licenses {
		id, ok := b.licenses[v.digest]
		if !ok {
			id = int64(len(b.licenses) + 1)
			b.licenses[v.digest] = id
			licenses = append(licenses, licenseRow(id, v.digest, p.texts[v.digest]))
		}
		v.row[licenseColumn] = id
	}
	gained := map[string]int{}
	for _, a := range p.tags {
		for place, name := range a.tags {
			if b.tags[name] == 0 {
				b.tags[name] = int64(len(b.tags) + 1)
			}
			tagged = append(tagged, []any{a.id, b.tags[name], place})
			if _, ok := gained[name]; a.listed || !ok {
				gained[name] += int(boolInt(a.listed))
			}
		}
	}
	for _, name := range sortedKeys(gained) {
		tags = append(tags, []any{b.tags[name], name, gained[name]})
	}
	for _, id := range sortedKeys(p.authors) {
		author := p.authors[id]
		authors = append(authors, []any{id, author.Username, author.Name, author.URL})
	}
	d := b.db.dialect
	p.rows = append(p.rows, tableRows{addonTagsTable, tagged})
	return []sharedRows{
		{tableRows{licensesTable, licenses}, d.onConflict("digest")},
		{tableRows{authorsTable, authors}, d.onConflict("id")},
		{tableRows{tagsTable, tags}, d.onConflict("id", "addons = tags.addons + "+d.given("addons"))},
		{tableRows{totalsTable, totalRows(p.totals)}, d.addTotals()},
	}
}

// licenseColumn is where a row of versions has its license.
var licenseColumn = slices.Index(versionsTable.columns, "license_id")

// Finish commits the last add-ons and makes the indexes that were left for the end.
func (b *Bulk) Finish(ctx context.Context) error {
	err := b.Flush(ctx)
	if err == nil && !b.finished {
		err = b.finish(ctx)
	}
	if err != nil {
		return fmt.Errorf("bulk load: %w", err)
	}
	b.finished = true
	return nil
}

func (b *Bulk) finish(ctx context.Context) error {
	h, end, err := b.db.hold(ctx, finishTimeout)
	if err != nil {
		return err
	}
	if err := h.makeSorts(ctx); err != nil {
		return errors.Join(err, end(false))
	}
	if err := end(true); err != nil {
		return err
	}
	return b.db.countAnew(ctx)
}

// finishTimeout is how long the making of one index may take: with millions of
// add-ons on a slow disk, minutes.
const finishTimeout = 30 * time.Minute

// makeSorts undoes dropSorts, and says that all is done.
func (h handle) makeSorts(ctx context.Context) error {
	var noted []string
	if err := h.one(ctx, qBulkState, "SELECT indexes FROM generated WHERE id = 1", into{fromJSON(&noted)}); err != nil {
		return err
	}
	there, err := h.sorts(ctx)
	if err != nil {
		return err
	}
	missing := slices.DeleteFunc(noted, func(text string) bool { return slices.Contains(there, text) })
	for _, text := range h.d.makeIndexes(missing) {
		if _, err := h.exec(ctx, qBulkState, text); err != nil {
			return err
		}
	}
	_, err = h.exec(ctx, qBulkState, "UPDATE generated SET finished = 1 WHERE id = 1")
	return err
}

// Close gives the connection its usual settings back; what is not committed is lost.
func (b *Bulk) Close(ctx context.Context) error {
	return errors.Join(b.leave(), b.db.roomy(ctx, false))
}

// roomy gives SQLite's writing connection memory for pages of indexes, which rows
// go to in no order, and takes back the check that every row's parent is there:
// Prepare renders both.
func (db *DB) roomy(ctx context.Context, on bool) error {
	if db.name != "sqlite" {
		return nil
	}
	pragmas := []string{"PRAGMA cache_size = -16000", "PRAGMA foreign_keys = 1"}
	if on {
		pragmas = []string{"PRAGMA cache_size = -200000", "PRAGMA foreign_keys = 0"}
	}
	for _, text := range pragmas {
		if _, err := db.alone(ctx, qBulkState, text); err != nil {
			return fmt.Errorf("bulk load: %w", err)
		}
	}
	return nil
}

// countAnew has MySQL look at what its tables now hold: it would take a plan for
// empty ones for a while. SQLite plans without statistics.
func (db *DB) countAnew(ctx context.Context) error {
	if db.name != "mysql" {
		return nil
	}
	return db.latest().rows(ctx, qBulkState, "ANALYZE TABLE addons, addon_texts, addon_words, authors, addon_authors, addon_categories, tags, addon_tags, versions, files, compat, offers, ratings",
		nil, func(row) error { return nil })
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
