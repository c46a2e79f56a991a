package store

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"addons/server/catalog"
)

// totalKey is a list of which list_totals says how long it is: the listed add-ons of
// one type, of those that run in an application, in a category of it or with a tag. ""
// is any.
type totalKey struct {
	app, category, tag string
	kind               catalog.Type
}

func (k totalKey) compare(l totalKey) int {
	return cmp.Or(cmp.Compare(k.app, l.app), cmp.Compare(k.category, l.category), cmp.Compare(k.tag, l.tag), cmp.Compare(k.kind, l.kind))
}

// totalled says whether list_totals has the list's length. What else narrows a list is
// counted when it is asked for.
func (b Browse) totalled() bool {
	return !b.Promoted && b.Author+b.Text == "" && (b.Category == "" || b.Tag == "")
}

// storedTotal reads it: a row for each type, instead of one for each add-on.
func (db *DB) storedTotal(ctx context.Context, b Browse) (t Total, err error) {
	t.Types = make([]int, len(catalog.Types()))
	err = db.reads().rows(ctx, qBrowseTotal, `SELECT type, addons, (SELECT COALESCE(MAX(id), 0) FROM addons)
		FROM list_totals WHERE app = ? AND category = ? AND tag = ?`, []any{b.App, b.Category, b.Tag}, func(r row) error {
		var kind catalog.Type
		var n int
		err := r.Scan(&kind, &n, &t.Site)
		if i := slices.Index(catalog.Types(), kind); i >= 0 && (b.Type == "" || b.Type == string(kind)) {
			t.Types[i] = n
			t.Addons += n
		}
		return err
	})
	return t, err
}

// lists are those that a listed add-on is in: in one of an application if it runs in
// that, and in one of any application wherever it runs.
func lists(kind catalog.Type, apps int, categories []inCategory, tags []string) map[totalKey]bool {
	in := map[totalKey]bool{}
	anywhere := append([]catalog.App{{}}, catalog.Apps()...)
	for _, app := range anywhere {
		if app.Slug != "" && apps&appBit(app.Slug) == 0 {
			continue
		}
		in[totalKey{app.Slug, "", "", kind}] = true
		for _, tag := range tags {
			in[totalKey{app.Slug, "", tag, kind}] = true
		}
	}
	for _, c := range categories {
		in[totalKey{"", c.slug, "", kind}] = true
		if apps&appBit(c.app) != 0 {
			in[totalKey{c.app, c.slug, "", kind}] = true
		}
	}
	return in
}

// lists are those that the add-on is in from now on.
func (c current) lists(a *catalog.Addon) map[totalKey]bool {
	if !c.listed {
		return nil
	}
	return lists(a.Type, c.apps, categories(a), unique(a.Tags))
}

// listsOf are those that it was in.
func (h handle) listsOf(ctx context.Context, stored storedAddon, tags []string) (map[totalKey]bool, error) {
	if !stored.listed {
		return nil, nil
	}
	were, err := list(ctx, h, qSaveCategories, "SELECT app, slug FROM addon_categories WHERE addon_id = ?", []any{stored.id},
		func(r row, c *inCategory) error { return r.Scan(&c.app, &c.slug) })
	return lists(stored.kind, stored.apps, were, tags), err
}

// countTotals keeps list_totals when an add-on changed from some lists to others.
// Aggregate counts them anew.
func (h handle) countTotals(ctx context.Context, old, now map[totalKey]bool) error {
	delta := map[totalKey]int{}
	for key := range now {
		delta[key]++
	}
	for key := range old {
		delta[key]--
	}
	maps.DeleteFunc(delta, func(_ totalKey, n int) bool { return n == 0 })
	if len(delta) == 0 {
		return nil
	}
	return h.insertRows(ctx, qSaveTotals, totalsTable, totalRows(delta), h.d.addTotals())
}

// totalRows are in the key's order, in which everybody locks them.
func totalRows(counts map[totalKey]int) (rows [][]any) {
	for _, key := range slices.SortedFunc(maps.Keys(counts), totalKey.compare) {
		rows = append(rows, []any{key.app, key.category, key.tag, key.kind, counts[key]})
	}
	return rows
}

// addTotals ends an INSERT of what is to be added.
func (d dialect) addTotals() string {
	return d.onConflict("app, category, tag, type", "addons = list_totals.addons + "+d.given("addons"))
}

// aggregateTotals counts every list of list_totals anew, and those that it lacks. Each is
// a transaction by itself, as with tags.
func (db *DB) aggregateTotals(ctx context.Context) (changed int, err error) {
	keys, err := db.totalKeys(ctx)
	if err != nil {
		return 0, err
	}
	for _, k := range keys {
		f, err := Browse{App: k.app, Category: k.category, Tag: k.tag, Type: string(k.kind)}.filter()
		if err != nil {
			return changed, err
		}
		n, err := db.recount(ctx, qAggregateTotals, recount{
			table: totalsTable.name, count: "SELECT COUNT(*)" + f.pick(), counted: f.args,
			where: "app = ? AND category = ? AND tag = ? AND type = ?", key: []any{k.app, k.category, k.tag, k.kind},
		})
		if err != nil {
			return changed, err
		}
		changed += n
	}
	return changed, nil
}

// totalKeys are those of list_totals, to which it adds the lists that have add-ons and no
// row: a process of the build before writes none.
func (db *DB) totalKeys(ctx context.Context) ([]totalKey, error) {
	all := map[totalKey]bool{}
	err := db.latest().rows(ctx, qAggregateTotals, "SELECT app, category, tag, type FROM list_totals", nil, func(r row) error {
		var k totalKey
		err := r.Scan(&k.app, &k.category, &k.tag, &k.kind)
		all[k] = true
		return err
	})
	if err != nil {
		return nil, err
	}
	populated, err := db.populated(ctx)
	if err != nil {
		return nil, err
	}
	missing := map[totalKey]int{}
	for k := range populated {
		if !all[k] {
			all[k], missing[k] = true, 0
		}
	}
	if len(missing) > 0 {
		err = db.tx(ctx, func(h handle) error {
			return h.insertRows(ctx, qAggregateTotals, totalsTable, totalRows(missing), h.d.onConflict("app, category, tag, type"))
		})
	}
	return slices.SortedFunc(maps.Keys(all), totalKey.compare), err
}

// populated are the lists that have add-ons, one category and one tag after the other.
func (db *DB) populated(ctx context.Context) (map[totalKey]bool, error) {
	in := map[totalKey]bool{}
	add := func(category, tag, text string, args ...any) error {
		return db.latest().rows(ctx, qAggregateTotals, text, args, func(r row) error {
			var c inCategory
			var kind catalog.Type
			var apps int
			err := r.Scan(&c.app, &kind, &apps)
			var categories []inCategory
			var tags []string
			if c.slug = category; category != "" {
				categories = append(categories, c)
			}
			if tag != "" {
				tags = append(tags, tag)
			}
			maps.Copy(in, lists(kind, apps, categories, tags))
			return err
		})
	}
	if err := add("", "", "SELECT DISTINCT '', type, apps FROM addons WHERE listed = 1"); err != nil {
		return nil, err
	}
	text := func(r row, s *string) error { return r.Scan(s) }
	categories, err := list(ctx, db.latest(), qAggregateTotals, "SELECT DISTINCT slug FROM addon_categories", nil, text)
	if err != nil {
		return nil, err
	}
	for _, slug := range categories {
		err := add(slug, "", `SELECT DISTINCT x.app, a.type, a.apps FROM addon_categories x JOIN addons a ON a.id = x.addon_id
			WHERE x.slug = ? AND a.listed = 1`, slug)
		if err != nil {
			return nil, err
		}
	}
	tags, err := list(ctx, db.latest(), qAggregateTotals, "SELECT name FROM tags WHERE addons > 0", nil, text)
	if err != nil {
		return nil, err
	}
	for _, tag := range tags {
		err := add("", tag, `SELECT DISTINCT '', a.type, a.apps FROM tags t JOIN addon_tags x ON x.tag_id = t.id JOIN addons a ON a.id = x.addon_id
			WHERE t.name = ? AND a.listed = 1`, tag)
		if err != nil {
			return nil, err
		}
	}
	return in, nil
}
