package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"addons/server/catalog"
)

// Import is what Save writes of one add-on.
type Import struct {
	// Addon is found again by its GUID. Its ID, and those of all below, are kept
	// if they are free, so that an imported site keeps its addresses; else the site
	// gives its own. Current is found out, not read. Numbers that are 0 (users,
	// downloads, hotness, ratings) aren't known to the import and stay.
	Addon *catalog.Addon
	// Versions are added, or replace those with their number; others stay.
	Versions []*catalog.Version
	// Ratings are added, or replace those that came with the same ID, or, without
	// one, from the same user for the same version. They are a part of Addon.Ratings.
	Ratings []catalog.Rating
	// Jobs are written in the same transaction, if anything changed; nil for none.
	Jobs func(addonID int64) []Job
	// HeldBack is from how many percent of the clients update checks hold back those of
	// Versions that the add-on, if it is known already, has not offered yet: see SetRollout.
	HeldBack int
}

// Saved is what Save did.
type Saved struct {
	ID      int64
	New     bool
	Changed bool // a new one too
}

// Save writes an add-on, all of it or nothing. An import that brings nothing new
// changes nothing, takes no lock and pushes no job. Errors: ErrInvalid says what is
// wrong with the import.
func (db *DB) Save(ctx context.Context, in Import) (Saved, error) {
	s, err := newSaving(in)
	if err != nil {
		return Saved{}, err
	}
	// Look before locking: most of a repeated import is old news.
	stored, err := s.look(ctx, db.latest(), "")
	if err == nil && len(s.changes(stored)) == 0 {
		return Saved{ID: stored.id}, nil
	}
	var saved Saved
	if err == nil {
		err = db.tx(ctx, func(h handle) error {
			saved, err = s.save(ctx, h)
			return err
		})
	}
	if err != nil {
		return Saved{}, fmt.Errorf("save add-on %q: %w", s.addon.GUID, err)
	}
	return saved, nil
}

// saving is an import that was found to be valid, with what tells whether it is new.
type saving struct {
	addon    *catalog.Addon // a copy, with defaults filled in
	digest   string
	versions []savingVersion
	ratings  []savingRating
	jobs     func(int64) []Job
	heldBack int
	now      time.Time
	renamed  []int64 // authors whose name or address was changed
}

// storedAddon is what the database has of an add-on before Save.
type storedAddon struct {
	id       int64 // 0: nothing
	slug     string
	digest   string
	kind     catalog.Type
	listed   bool
	apps     int
	created  time.Time
	updated  time.Time
	sums     sums
	ratings  catalog.Ratings
	users    int
	weekly   int
	hotness  float64
	versions map[string]string // number → digest
	origins  map[string]string // a rating's origin → digest
}

// look reads what is there; lock is "" or the dialect's forUpdate.
func (s *saving) look(ctx context.Context, h handle, lock string) (storedAddon, error) {
	stored := storedAddon{versions: map[string]string{}, origins: map[string]string{}}
	err := h.one(ctx, qSaveLook, `SELECT id, slug, digest, type, listed, apps, created, updated, imported, users, downloads, hotness,
		rating_average, rating_count, rating_bayesian FROM addons WHERE guid = ?`+lock,
		into{&stored.id, &stored.slug, &stored.digest, &stored.kind, &stored.listed, &stored.apps, fromSeconds(&stored.created), fromSeconds(&stored.updated),
			fromJSON(&stored.sums), &stored.users, &stored.weekly, &stored.hotness,
			&stored.ratings.Average, &stored.ratings.Count, &stored.ratings.Bayesian}, s.addon.GUID)
	if errors.Is(err, catalog.ErrNotFound) {
		return stored, nil
	}
	if err != nil {
		return stored, err
	}
	if err := s.lookVersions(ctx, h, &stored); err != nil {
		return stored, err
	}
	return stored, s.lookRatings(ctx, h, &stored)
}

func (s *saving) lookVersions(ctx context.Context, h handle, stored *storedAddon) error {
	for chunk := range slices.Chunk(s.versions, listMax) {
		args := []any{stored.id}
		for _, v := range chunk {
			args = append(args, v.Number)
		}
		err := h.digests(ctx, qSaveLookVersions, "SELECT number, digest FROM versions WHERE addon_id = ? AND number IN "+in(len(chunk)), args, stored.versions)
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *saving) lookRatings(ctx context.Context, h handle, stored *storedAddon) error {
	for chunk := range slices.Chunk(s.ratings, listMax) {
		args := []any{stored.id}
		for _, r := range chunk {
			args = append(args, r.origin)
		}
		err := h.digests(ctx, qSaveLookRatings, "SELECT origin, digest FROM ratings WHERE addon_id = ? AND origin IN "+in(len(chunk)), args, stored.origins)
		if err != nil {
			return err
		}
	}
	return nil
}

func (h handle) digests(ctx context.Context, q query, text string, args []any, to map[string]string) error {
	return h.rows(ctx, q, text, args, func(r row) error {
		var key, digest string
		err := r.Scan(&key, &digest)
		to[key] = digest
		return err
	})
}

// changes names the parts that differ from what is stored.
func (s *saving) changes(stored storedAddon) []string {
	var parts []string
	if stored.digest != s.digest {
		parts = append(parts, "addon")
	}
	if len(s.newVersions(stored)) > 0 {
		parts = append(parts, "versions")
	}
	if len(s.newRatings(stored)) > 0 {
		parts = append(parts, "ratings")
	}
	return parts
}

// save writes what differs, in the transaction of h.
func (s *saving) save(ctx context.Context, h handle) (Saved, error) {
	s.renamed = nil
	stored, err := s.look(ctx, h, h.d.forUpdate)
	if err != nil {
		return Saved{}, err
	}
	parts := s.changes(stored)
	if len(parts) == 0 {
		return Saved{ID: stored.id}, nil
	}
	a := *s.addon
	a.ID = stored.id
	oldTags, err := h.tagsOf(ctx, a.ID)
	if err != nil {
		return Saved{}, err
	}
	oldLists, err := h.listsOf(ctx, stored, oldTags)
	if err != nil {
		return Saved{}, err
	}
	if slices.Contains(parts, "addon") {
		if err := s.saveAddon(ctx, h, &a, stored); err != nil {
			return Saved{}, err
		}
	} else {
		a.Slug = stored.slug
	}
	versions := s.newVersions(stored)
	var offered []string
	holdBack := stored.id != 0 && s.heldBack > 0
	if holdBack {
		if offered, err = h.offeredNumbers(ctx, stored.id); err != nil {
			return Saved{}, err
		}
	}
	if err := h.saveVersions(ctx, a.ID, versions); err != nil {
		return Saved{}, err
	}
	if holdBack {
		if err := h.holdBackNew(ctx, versions, offered, s.heldBack); err != nil {
			return Saved{}, err
		}
	}
	if err := h.saveRatings(ctx, a.ID, s.newRatings(stored)); err != nil {
		return Saved{}, err
	}
	if err := s.finish(ctx, h, &a, stored, oldTags, oldLists); err != nil {
		return Saved{}, err
	}
	return Saved{ID: a.ID, New: stored.id == 0, Changed: true}, nil
}

// finish writes what follows from the rest: sums, the current version, what the
// update check reads, the tags' and the lists' counts, and, for the add-on and those
// that show what it changed, the jobs and that they changed.
func (s *saving) finish(ctx context.Context, h handle, a *catalog.Addon, stored storedAddon, oldTags []string, oldLists map[totalKey]bool) error {
	if err := s.saveSums(ctx, h, a.ID, stored); err != nil {
		return err
	}
	versions, err := h.offered(ctx, a.ID)
	if err != nil {
		return err
	}
	current, err := s.saveCurrent(ctx, h, a, stored, versions)
	if err != nil {
		return err
	}
	if err := h.saveOffers(ctx, a, versions); err != nil {
		return err
	}
	if err := h.countTags(ctx, oldTags, stored.listed, a.Tags, current.listed); err != nil {
		return err
	}
	if err := h.countTotals(ctx, oldLists, current.lists(a)); err != nil {
		return err
	}
	others, err := h.addonsOf(ctx, s.renamed, a.ID)
	if err != nil {
		return err
	}
	if s.jobs != nil {
		for _, changed := range append(others, reference{id: a.ID}) {
			if err := h.push(ctx, s.now, s.jobs(changed.id)); err != nil {
				return err
			}
		}
	}
	return h.noteChanges(ctx, append(others, reference{a.ID, a.GUID}))
}

// saveCurrent writes which version is the current one and what depends on it.
func (s *saving) saveCurrent(ctx context.Context, h handle, a *catalog.Addon, stored storedAddon, versions []*catalog.Version) (current, error) {
	c := s.current(a, stored, versions)
	_, err := h.exec(ctx, qSaveCurrent, "UPDATE addons SET current_version = ?, listed = ?, apps = ?, updated = ? WHERE id = ?",
		c.version, c.listed, c.apps, seconds(c.updated), a.ID)
	return c, err
}

// current is what follows from an add-on's offered versions, newest first.
type current struct {
	version int64 // id; 0: none
	listed  bool
	apps    int
	updated time.Time
}

func (s *saving) current(a *catalog.Addon, stored storedAddon, versions []*catalog.Version) current {
	c := current{updated: stored.updated}
	if len(versions) > 0 {
		v := versions[0]
		c.version = v.ID
		for _, r := range v.Compatibility {
			c.apps |= appBit(r.App)
		}
		if v.Created.After(c.updated) {
			c.updated = v.Created
		}
	}
	if !a.LastUpdated.IsZero() {
		c.updated = a.LastUpdated
	}
	if c.updated.IsZero() {
		c.updated = s.now
	}
	c.listed = a.Status == catalog.Public && c.version != 0
	return c
}

// saveAddon writes the add-on's own row and the lists that hang on it, and sets
// a's ID and Slug.
func (s *saving) saveAddon(ctx context.Context, h handle, a *catalog.Addon, stored storedAddon) error {
	slug, err := h.freeSlug(ctx, s.addon, stored.slug)
	if err != nil {
		return err
	}
	a.Slug = slug
	if stored.id == 0 {
		a.ID, err = h.insertAddon(ctx, s, a)
	} else {
		err = h.updateAddon(ctx, s, a, stored)
	}
	if err != nil {
		return err
	}
	for _, part := range []func(context.Context, *catalog.Addon) error{
		h.saveTexts, h.saveCategories, h.saveTags, h.savePreviews,
	} {
		if err := part(ctx, a); err != nil {
			return err
		}
	}
	s.renamed, err = h.saveAuthors(ctx, a)
	return err
}

// column is one column of addons and its new value.
type column struct {
	name  string
	value any
}

// columns are those that an import decides alone.
func columns(a *catalog.Addon, digest string) []column {
	return []column{
		{"slug", a.Slug},
		{"type", a.Type},
		{"status", a.Status},
		{"default_locale", a.DefaultLocale},
		{"target_locale", a.TargetLocale},
		{"name_sort", nameSort(a)},
		{"contributions_url", a.ContributionsURL},
		{"icon", a.Icon},
		{"promoted", asJSON(a.Promoted)},
		{"promotion", promotion(a.Promoted)},
		{"experimental", a.Experimental},
		{"requires_payment", a.RequiresPayment},
		{"has_eula", a.HasEULA},
		{"has_privacy_policy", a.HasPrivacyPolicy},
		{"digest", digest},
	}
}

func (h handle) insertAddon(ctx context.Context, s *saving, a *catalog.Addon) (int64, error) {
	free, err := h.freeIDs(ctx, "addons", []int64{s.addon.ID})
	if err != nil {
		return 0, err
	}
	all := append(s.newColumns(a, free.orNull(s.addon.ID)),
		column{"updated", 0},
		column{"rating_grouped", asJSON([5]int{})},
		column{"imported", asJSON(sums{})},
	)
	names, args := unzip(all)
	return h.insert(ctx, qSaveAddon, table{"addons", names}.insert(1), args...)
}

// newColumns are those that an import decides for a new add-on; id nil is the engine's choice.
func (s *saving) newColumns(a *catalog.Addon, id any) []column {
	created := a.Created
	if created.IsZero() {
		created = s.now
	}
	return append(columns(a, s.digest),
		column{"id", id},
		column{"guid", a.GUID},
		column{"created", seconds(created)},
		column{"users", a.AverageDailyUsers},
	)
}

// unzip splits columns into names and values.
func unzip(all []column) (names []string, row []any) {
	names, row = make([]string, len(all)), make([]any, len(all))
	for i, c := range all {
		names[i], row[i] = c.name, c.value
	}
	return names, row
}

func (h handle) updateAddon(ctx context.Context, s *saving, a *catalog.Addon, stored storedAddon) error {
	all := columns(a, s.digest)
	if !a.Created.IsZero() {
		all = append(all, column{"created", seconds(a.Created)})
	}
	if a.AverageDailyUsers != 0 {
		all = append(all, column{"users", a.AverageDailyUsers})
	}
	names, args := unzip(all)
	_, err := h.exec(ctx, qSaveAddon, "UPDATE addons SET "+strings.Join(names, " = ?, ")+" = ? WHERE id = ?", append(args, stored.id)...)
	return err
}

// promotion ranks the promoted categories: 2 if recommended, 1 if any other.
func promotion(promoted []string) int {
	switch {
	case slices.Contains(promoted, "recommended"):
		return 2
	case len(promoted) > 0:
		return 1
	}
	return 0
}

// nameSort is what the name is sorted by; cut, because an index is bounded.
func nameSort(a *catalog.Addon) string {
	return cut(strings.ToLower(a.Name.In(a.DefaultLocale, "en-US")), maxShort)
}

// ids are those of a table that are taken.
type ids map[int64]bool

// maxID bounds the ids that an import may choose, so that one of them can't end
// the numbering.
const maxID = 1 << 40

// freeIDs asks which of the wanted ids the table has.
func (h handle) freeIDs(ctx context.Context, table string, wanted []int64) (ids, error) {
	wanted = slices.DeleteFunc(slices.Clone(wanted), func(id int64) bool { return id <= 0 || id > maxID })
	taken := ids{}
	for chunk := range slices.Chunk(wanted, listMax) {
		err := h.rows(ctx, qSaveFreeID, "SELECT id FROM "+table+" WHERE id IN "+in(len(chunk)), anys(chunk), func(r row) error {
			var id int64
			err := r.Scan(&id)
			taken[id] = true
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return taken, nil
}

// orNull returns the id if it may be taken, and takes it, else NULL, for which the
// engine gives one.
func (taken ids) orNull(id int64) any {
	if id <= 0 || id > maxID || taken[id] {
		return nil
	}
	taken[id] = true
	return id
}
