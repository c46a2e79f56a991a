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
	if b.Sort == "" {
		b.Sort = "users"
	}
	order, ok := orders()[b.Sort]
	if !ok {
		return nil, 0, fmt.Errorf("sort %q, the known ones are %s: %w", b.Sort, strings.Join(Sorts(), ", "), catalog.ErrInvalid)
	}
	if b.Limit < 0 || b.Offset < 0 {
		return nil, 0, fmt.Errorf("limit %d, offset %d: %w", b.Limit, b.Offset, catalog.ErrInvalid)
	}
	from, args, err := b.filter()
	if err != nil {
		return nil, 0, err
	}
	h := db.reads()
	if err := h.one(ctx, qBrowseTotal, "SELECT COUNT(*)"+from, into{&total}, args...); err != nil || total <= b.Offset || b.Limit == 0 {
		return nil, total, err
	}
	ids, err = list(ctx, h, qBrowse, "SELECT a.id"+from+" ORDER BY "+order+" LIMIT ? OFFSET ?",
		append(args, b.Limit, b.Offset), func(r row, id *int64) error { return r.Scan(id) })
	return ids, total, err
}

// filter renders FROM and WHERE.
func (b Browse) filter() (string, []any, error) {
	where := []string{"a.listed = 1"}
	var args []any
	add := func(condition string, values ...any) {
		where = append(where, condition)
		args = append(args, values...)
	}
	if b.Type != "" {
		add("a.type = ?", b.Type)
	}
	if b.App != "" {
		bit := appBit(b.App)
		if bit == 0 {
			return "", nil, fmt.Errorf("application %q: %w", b.App, catalog.ErrInvalid)
		}
		add("a.apps & ? <> 0", bit)
	}
	if b.Promoted {
		add("a.promotion > 0")
	}
	switch {
	case b.Category != "" && b.App != "":
		add("a.id IN (SELECT x.addon_id FROM addon_categories x WHERE x.slug = ? AND x.app = ?)", b.Category, b.App)
	case b.Category != "":
		add("a.id IN (SELECT x.addon_id FROM addon_categories x WHERE x.slug = ?)", b.Category)
	}
	if b.Tag != "" {
		add("a.id IN (SELECT x.addon_id FROM addon_tags x JOIN tags t ON t.id = x.tag_id WHERE t.name = ?)", b.Tag)
	}
	if b.Author != "" {
		id, _ := strconv.ParseInt(b.Author, 10, 64)
		add("a.id IN (SELECT x.addon_id FROM addon_authors x JOIN authors p ON p.id = x.author_id WHERE p.username = ? OR p.id = ?)", b.Author, id)
	}
	words := strings.Fields(strings.ToLower(b.Text))
	for _, word := range words[:min(len(words), textWords)] {
		add("a.id IN (SELECT w.addon_id FROM addon_words w WHERE w.words LIKE ? ESCAPE '!')", "%"+likeEscape(word)+"%")
	}
	return " FROM addons a WHERE " + strings.Join(where, " AND "), args, nil
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
