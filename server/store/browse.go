package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"addons/server/catalog"
)

// Browse says which public, listed add-ons to list. The zero value of a field
// asks for nothing.
type Browse struct {
	Type     string // a catalog.Type
	Category string // slug, within App if that is given
	App      string // App.Slug: the current version runs in it
	Tag      string
	Author   string // username or id
	Promoted bool   // of any promoted category
	Text     string // each of its words is in the name, the summary or the tags, in any locale
	Sort     string // a Sort; "" is "users"
	Limit    int
	Offset   int
}

// textWords is how many words of Browse.Text count.
const textWords = 8

// orders are the sorts. Each is an index after (listed, type), read backwards but
// for the name. They end in the id, so that pages neither overlap nor leave out.
func orders() map[string]string {
	return map[string]string{
		"created":     "a.created DESC, a.id DESC",
		"updated":     "a.updated DESC, a.id DESC",
		"users":       "a.users DESC, a.id DESC",
		"downloads":   "a.downloads DESC, a.id DESC",
		"ratings":     "a.rating_bayesian DESC, a.id DESC",
		"hotness":     "a.hotness DESC, a.id DESC",
		"recommended": "a.promotion DESC, a.users DESC, a.id DESC",
		"name":        "a.name_sort, a.id",
	}
}

// Sorts lists what Browse.Sort may be.
func Sorts() []string { return slices.Sorted(maps.Keys(orders())) }

// Browse returns the ids of a page of add-ons, for Addons, and how many there are
// on all pages. Two queries.
func (db *DB) Browse(ctx context.Context, b Browse) (ids []int64, total int, err error) {
	t, err := db.BrowseTotal(ctx, b)
	if err != nil {
		return nil, 0, err
	}
	ids, err = db.BrowsePage(ctx, b, t)
	return ids, t.Addons, err
}

// Total is how long a list is.
type Total struct {
	Addons int
	Types  []int // of each of catalog.Types
	Site   int   // about how many add-ons there are at all
}

// Of is how many of the list are of a type.
func (t Total) Of(kind catalog.Type) int { return t.Types[slices.Index(catalog.Types(), kind)] }

// BrowseTotal is the list's length, whatever its Sort, Limit and Offset. What
// author, text or promotion narrow is counted.
func (db *DB) BrowseTotal(ctx context.Context, b Browse) (t Total, err error) {
	f, err := b.filter()
	if err != nil {
		return t, err
	}
	if b.totalled() {
		return db.storedTotal(ctx, b)
	}
	columns, to := "(SELECT COALESCE(MAX(id), 0) FROM addons)", into{&t.Site}
	t.Types = make([]int, len(catalog.Types()))
	for i, kind := range catalog.Types() {
		columns += ", COALESCE(SUM(CASE WHEN a.type = '" + string(kind) + "' THEN 1 ELSE 0 END), 0)"
		to = append(to, &t.Types[i])
	}
	if err := db.reads().one(ctx, qBrowseTotal, "SELECT "+columns+f.pick(), to, f.args...); err != nil {
		return Total{}, err
	}
	for _, n := range t.Types {
		t.Addons += n
	}
	return t, nil
}

// BrowsePage returns the ids of a page of the list that was counted; that it has
// changed since does no harm.
func (db *DB) BrowsePage(ctx context.Context, b Browse, t Total) ([]int64, error) {
	if t.Addons <= b.Offset {
		b.Limit = 0
	}
	return db.browsePage(ctx, b, t)
}

// BrowseType returns the ids of a page of a list of one Type, which nothing but App
// and Promoted narrows: it is found along the sort's index, so that nobody has to
// count it first. Where App has none of the type, that is all of the index. Any other
// list is catalog.ErrInvalid.
func (db *DB) BrowseType(ctx context.Context, b Browse) ([]int64, error) {
	if b.Type == "" || b.Category+b.Tag+b.Author+b.Text != "" {
		return nil, fmt.Errorf("list %+v has to be counted: %w", b, catalog.ErrInvalid)
	}
	return db.browsePage(ctx, b, Total{})
}

func (db *DB) browsePage(ctx context.Context, b Browse, t Total) ([]int64, error) {
	if b.Sort == "" {
		b.Sort = "users"
	}
	order, ok := orders()[b.Sort]
	if !ok {
		return nil, fmt.Errorf("sort %q, the known ones are %s: %w", b.Sort, strings.Join(Sorts(), ", "), catalog.ErrInvalid)
	}
	if b.Limit < 0 || b.Offset < 0 {
		return nil, fmt.Errorf("limit %d, offset %d: %w", b.Limit, b.Offset, catalog.ErrInvalid)
	}
	if b.Limit == 0 {
		return nil, nil
	}
	text, args, err := b.page(order, t)
	if err != nil {
		return nil, err
	}
	return list(ctx, db.reads(), qBrowse, text, args, func(r row, id *int64) error { return r.Scan(id) })
}

// pickMax is how many add-ons it is quicker to look up and sort than to walk along
// the sort's index past those that don't fit.
const pickMax = 1000

// walks says whether a walk to the n-th of total meets fewer add-ons of the site
// than there are to be picked.
func (f *filter) walks(total, n, site int) bool {
	return len(f.lists) == 0 || total > pickMax && float64(n)*float64(site) < float64(total)*float64(total)
}

// clustered is how much longer a walk along the names is taken to be: names say what
// add-ons are for, so that those of a category stand together, far behind or at once.
// Others are spread along the sorts.
const clustered = 16

// page is the query for a page of a list of t.
func (b Browse) page(order string, t Total) (text string, args []any, err error) {
	f, err := b.filter()
	if err != nil {
		return "", nil, err
	}
	end := b.Offset + b.Limit
	far := end
	if b.Sort == "name" {
		far *= clustered
	}
	switch {
	case b.Type != "" && f.walks(t.Addons, far, t.Site):
		return "SELECT a.id" + f.walk() + " ORDER BY " + order + " LIMIT ? OFFSET ?", append(f.args, b.Limit, b.Offset), nil
	case b.Type != "" || len(f.lists) > 0 && t.Addons <= pickMax:
		return "SELECT a.id" + f.pick() + " ORDER BY " + order + " LIMIT ? OFFSET ?", append(f.args, b.Limit, b.Offset), nil
	}
	// The sorts' indexes begin with the type: the first of each type, put in order.
	var parts []string
	for i, kind := range catalog.Types() {
		if t.Types[i] == 0 {
			continue // a walk would meet every add-on of the type
		}
		b.Type = string(kind)
		f, err := b.filter()
		if err != nil {
			return "", nil, err
		}
		from := f.pick()
		if f.walks(t.Types[i], far, t.Site) {
			from = f.walk()
		}
		parts = append(parts, fmt.Sprintf("SELECT * FROM (SELECT %s%s ORDER BY %s LIMIT ?) t%d", strings.ReplaceAll(order, " DESC", ""), from, order, i))
		args = append(append(args, f.args...), end)
	}
	return "SELECT id FROM (" + strings.Join(parts, " UNION ALL ") + ") a ORDER BY " + order + " LIMIT ? OFFSET ?", append(args, b.Limit, b.Offset), nil
}

// filter is FROM and WHERE in two forms for the same add-ons.
type filter struct {
	own   []string // conditions on the add-on a
	lists []string // FROM and WHERE of rows x, one of which has the add-on's id
	args  []any
}

// pick looks up the add-ons that the lists name. The + keeps SQLite from the
// indexes of the sorts; MySQL doesn't notice it.
func (f *filter) pick() string {
	if len(f.lists) == 0 {
		return f.walk()
	}
	where := "+" + strings.Join(f.own, " AND +")
	for _, l := range f.lists {
		where += " AND a.id IN (SELECT x.addon_id" + l + ")"
	}
	return " FROM addons a WHERE " + where
}

// walk goes along the sort's index and asks each add-on whether it is in the lists.
// It counts, because MariaDB makes a join of EXISTS, which begins with the list and
// sorts all of it.
func (f *filter) walk() string {
	where := strings.Join(f.own, " AND ")
	for _, l := range f.lists {
		where += " AND (SELECT COUNT(*)" + l + " AND x.addon_id = a.id) > 0"
	}
	return " FROM addons a WHERE " + where
}

func (f *filter) where(condition string, args ...any) {
	f.own = append(f.own, condition)
	f.args = append(f.args, args...)
}

// in comes after all that where adds.
func (f *filter) in(list string, args ...any) {
	f.lists = append(f.lists, " FROM "+list)
	f.args = append(f.args, args...)
}

func (b Browse) filter() (*filter, error) {
	f := &filter{own: []string{"a.listed = 1"}}
	if b.Type != "" {
		f.where("a.type = ?", b.Type)
	}
	if b.App != "" {
		bit := appBit(b.App)
		if bit == 0 {
			return nil, fmt.Errorf("application %q: %w", b.App, catalog.ErrInvalid)
		}
		f.where("a.apps & ? <> 0", bit)
	}
	if b.Promoted {
		f.where("a.promotion > 0")
	}
	switch {
	case b.Category != "" && b.App != "":
		f.in("addon_categories x WHERE x.slug = ? AND x.app = ?", b.Category, b.App)
	case b.Category != "":
		f.in("addon_categories x WHERE x.slug = ?", b.Category)
	}
	if b.Tag != "" {
		f.in("addon_tags x JOIN tags t ON t.id = x.tag_id WHERE t.name = ?", b.Tag)
	}
	if b.Author != "" {
		id, _ := strconv.ParseInt(b.Author, 10, 64)
		f.in("addon_authors x JOIN authors p ON p.id = x.author_id WHERE (p.username = ? OR p.id = ?)", b.Author, id)
	}
	words := strings.Fields(strings.ToLower(b.Text))
	for _, word := range words[:min(len(words), textWords)] {
		f.in("addon_words x WHERE x.words LIKE ? ESCAPE '!'", "%"+likeEscape(word)+"%")
	}
	return f, nil
}

// likeEscape takes from a LIKE pattern's signs what they mean.
func likeEscape(s string) string {
	return strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(s)
}

// appBit is the application's bit in addons.apps; 0 if it is none of ours. The bits
// follow catalog.Apps, which only ever grows at its end.
func appBit(slug string) int {
	i := slices.IndexFunc(catalog.Apps(), func(app catalog.App) bool { return app.Slug == slug })
	if i < 0 {
		return 0
	}
	return 1 << i
}
