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
	keys := slices.SortedFunc(maps.Keys(counts), func(a, b totalKey) int {
		return cmp.Or(cmp.Compare(a.app, b.app), cmp.Compare(a.category, b.category), cmp.Compare(a.tag, b.tag), cmp.Compare(a.kind, b.kind))
	})
	for _, key := range keys {
		rows = append(rows, []any{key.app, key.category, key.tag, key.kind, counts[key]})
	}
	return rows
}

// addTotals ends an INSERT of what is to be added.
func (d dialect) addTotals() string {
	return d.onConflict("app, category, tag, type", "addons = list_totals.addons + "+d.given("addons"))
}

// aggregateTotals counts every list of list_totals anew. Each is a statement by itself,
// as with tags.
func (db *DB) aggregateTotals(ctx context.Context) (changed int, err error) {
	keys, err := list(ctx, db.reads(), qAggregateTotals, "SELECT app, category, tag, type FROM list_totals", nil,
		func(r row, k *totalKey) error { return r.Scan(&k.app, &k.category, &k.tag, &k.kind) })
	if err != nil {
		return 0, err
	}
	for _, k := range keys {
		f, err := Browse{App: k.app, Category: k.category, Tag: k.tag, Type: string(k.kind)}.filter()
		if err != nil {
			return changed, err
		}
		count, where := "(SELECT COUNT(*)"+f.pick()+")", " WHERE app = ? AND category = ? AND tag = ? AND type = ?"
		args := append(f.args, k.app, k.category, k.tag, k.kind)
		var differs bool
		if err := db.reads().one(ctx, qAggregateTotals, "SELECT addons <> "+count+" FROM list_totals"+where, into{&differs}, args...); err != nil {
			return changed, err
		}
		if !differs {
			continue
		}
		n, err := db.alone(ctx, qAggregateTotals, "UPDATE list_totals SET addons = "+count+where, args...)
		if err != nil {
			return changed, err
		}
		changed += int(n)
	}
	return changed, nil
}
