package store

import (
	"context"
	"slices"

	"addons/server/catalog"
)

// Tags returns the tags that most listed add-ons carry, and how many do.
func (db *DB) Tags(ctx context.Context, limit int) ([]catalog.Tag, error) {
	return list(ctx, db.reads(), qTags, "SELECT name, addons FROM tags WHERE addons > 0 ORDER BY addons DESC, name DESC LIMIT ?", []any{limit},
		func(r row, t *catalog.Tag) error { return r.Scan(&t.Name, &t.Count) })
}

// tagsOf returns the add-on's tags.
func (h handle) tagsOf(ctx context.Context, addonID int64) ([]string, error) {
	return list(ctx, h, qSaveTags, "SELECT t.name FROM addon_tags x JOIN tags t ON t.id = x.tag_id WHERE x.addon_id = ?", []any{addonID},
		func(r row, name *string) error { return r.Scan(name) })
}

// saveTags writes which tags an add-on carries. Rows of tags that are there aren't
// touched: everybody would wait for the popular ones.
func (h handle) saveTags(ctx context.Context, a *catalog.Addon) error {
	names := unique(a.Tags)
	known, err := h.tagIDs(ctx, names)
	if err != nil {
		return err
	}
	var missing [][]any
	for _, name := range slices.Sorted(slices.Values(names)) {
		if known[name] == 0 {
			missing = append(missing, []any{nil, name, 0})
		}
	}
	if len(missing) > 0 {
		if err := h.insertRows(ctx, qSaveTags, tagsTable, missing, h.d.onConflict("name")); err != nil {
			return err
		}
		if known, err = h.tagIDs(ctx, names); err != nil {
			return err
		}
	}
	rows := make([][]any, len(names))
	for i, name := range names {
		rows[i] = []any{a.ID, known[name], i}
	}
	return h.replace(ctx, qSaveTags, addonTagsTable, a.ID, rows)
}

func (h handle) tagIDs(ctx context.Context, names []string) (map[string]int64, error) {
	known := map[string]int64{}
	if len(names) == 0 {
		return known, nil
	}
	err := h.rows(ctx, qSaveTags, "SELECT name, id FROM tags WHERE name IN "+in(len(names)), anys(names), func(r row) error {
		var name string
		var id int64
		err := r.Scan(&name, &id)
		known[name] = id
		return err
	})
	return known, err
}

// countTags keeps the tags' counts of listed add-ons when one changed. Aggregate
// counts them anew.
func (h handle) countTags(ctx context.Context, old []string, wasListed bool, now []string, isListed bool) error {
	if !wasListed {
		old = nil
	}
	if now = unique(now); !isListed {
		now = nil
	}
	gained := without(now, old)
	changed := append(without(old, now), gained...)
	if len(changed) == 0 {
		return nil
	}
	// One statement, whose locks are taken in the index's order.
	slices.Sort(changed)
	delta, args := "-1", []any(nil)
	if len(gained) > 0 {
		delta, args = "CASE WHEN name IN "+in(len(gained))+" THEN 1 ELSE -1 END", anys(gained)
	}
	_, err := h.exec(ctx, qSaveTags, "UPDATE tags SET addons = addons + "+delta+" WHERE name IN "+in(len(changed)), append(args, anys(changed)...)...)
	return err
}

// without returns what is in list and not in other.
func without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(other, s) })
}
