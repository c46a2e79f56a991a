package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"addons/server/catalog"
)

// listMax is how many add-ons are read at a time: far below both engines' limits
// of parameters in a query.
const listMax = 500

// Addon returns the add-on with the id, slug or GUID, whatever its status.
// Digits are always an id: no slug is all digits.
func (db *DB) Addon(ctx context.Context, ref string) (*catalog.Addon, error) {
	h := db.reads()
	where, args := "a.slug = ?", []any{ref}
	if id, err := strconv.ParseInt(ref, 10, 64); err == nil {
		where, args = "a.id = ?", []any{id}
	} else if strings.ContainsAny(ref, "{@") {
		where = "a.guid = ?"
	}
	all, err := h.addonsWhere(ctx, qAddon, where, args)
	if err != nil {
		return nil, fmt.Errorf("add-on %q: %w", ref, err)
	}
	return all[0], nil
}

// Addons returns the add-ons in the order of ids, leaving out those that there
// aren't. Ten queries, for one as for 500.
func (db *DB) Addons(ctx context.Context, ids []int64) ([]*catalog.Addon, error) {
	byID := make(map[int64]*catalog.Addon, len(ids))
	for chunk := range slices.Chunk(ids, listMax) {
		all, err := db.reads().addonsWhere(ctx, qAddons, "a.id IN "+in(len(chunk)), anys(chunk))
		if err != nil {
			return nil, fmt.Errorf("%d add-ons: %w", len(ids), err)
		}
		for _, a := range all {
			byID[a.ID] = a
		}
	}
	found := make([]*catalog.Addon, 0, len(byID))
	for _, id := range ids {
		if a, ok := byID[id]; ok {
			found = append(found, a)
		}
	}
	return found, nil
}

// IDs returns the ids after one, ascending, of add-ons of any status: all of them
// when called again with the last until it returns none.
func (db *DB) IDs(ctx context.Context, after int64, limit int) ([]int64, error) {
	return list(ctx, db.reads(), qAddonIDs, "SELECT id FROM addons WHERE id > ? ORDER BY id LIMIT ?",
		[]any{after, limit}, func(r row, id *int64) error { return r.Scan(id) })
}

// Counts returns how many add-ons of each type are public and listed.
func (db *DB) Counts(ctx context.Context) (map[catalog.Type]int, error) {
	counts := map[catalog.Type]int{}
	err := db.reads().rows(ctx, qAddonCounts, "SELECT type, COUNT(*) FROM addons WHERE listed = 1 GROUP BY type", nil, func(r row) error {
		var kind catalog.Type
		var n int
		err := r.Scan(&kind, &n)
		counts[kind] = n
		return err
	})
	return counts, err
}

// addonBatch is add-ons that are being read: what each query of the batch brings
// is put where it belongs by the add-on's id.
type addonBatch struct {
	handle
	all     []*catalog.Addon
	byID    map[int64]*catalog.Addon
	current map[int64]*catalog.Addon // by the current version's id
	ids     []any
}

// addonsWhere reads whole add-ons: one query for each kind of part.
func (h handle) addonsWhere(ctx context.Context, q query, where string, args []any) ([]*catalog.Addon, error) {
	b := &addonBatch{handle: h, byID: map[int64]*catalog.Addon{}, current: map[int64]*catalog.Addon{}}
	if err := b.read(ctx, q, where, args); err != nil || len(b.all) == 0 {
		return nil, err
	}
	for _, part := range []func(context.Context) error{
		b.texts, b.authors, b.categories, b.tags, b.previews, b.versions,
	} {
		if err := part(ctx); err != nil {
			return nil, err
		}
	}
	return b.all, nil
}

const addonColumns = `a.id, a.guid, a.slug, a.type, a.status, a.default_locale, a.target_locale,
	a.contributions_url, a.icon, a.promoted, a.users, a.downloads, a.hotness,
	a.rating_average, a.rating_bayesian, a.rating_count, a.rating_texts, a.rating_grouped,
	a.experimental, a.requires_payment, a.has_eula, a.has_privacy_policy, a.created, a.updated, a.current_version`

func (b *addonBatch) read(ctx context.Context, q query, where string, args []any) error {
	return b.rows(ctx, q, "SELECT "+addonColumns+" FROM addons a WHERE "+where, args, func(r row) error {
		var a catalog.Addon
		var current int64
		err := r.Scan(&a.ID, &a.GUID, &a.Slug, &a.Type, &a.Status, &a.DefaultLocale, &a.TargetLocale,
			&a.ContributionsURL, &a.Icon, fromJSON(&a.Promoted), &a.AverageDailyUsers, &a.WeeklyDownloads, &a.Hotness,
			&a.Ratings.Average, &a.Ratings.Bayesian, &a.Ratings.Count, &a.Ratings.TextCount, fromJSON(&a.Ratings.Grouped),
			&a.Experimental, &a.RequiresPayment, &a.HasEULA, &a.HasPrivacyPolicy, fromSeconds(&a.Created), fromSeconds(&a.LastUpdated), &current)
		if err != nil {
			return err
		}
		b.all = append(b.all, &a)
		b.byID[a.ID] = &a
		b.ids = append(b.ids, a.ID)
		if current != 0 {
			b.current[current] = &a
		}
		return nil
	})
}

// textFields are the fields of addon_texts and where they are in an add-on.
func textFields(a *catalog.Addon) map[string]*catalog.Text {
	return map[string]*catalog.Text{
		"name":               &a.Name,
		"summary":            &a.Summary,
		"description":        &a.Description,
		"developer_comments": &a.DeveloperComments,
		"homepage":           &a.Homepage,
		"support_url":        &a.SupportURL,
		"support_email":      &a.SupportEmail,
	}
}

func (b *addonBatch) texts(ctx context.Context) error {
	return b.rows(ctx, qAddonTexts, "SELECT addon_id, field, locale, text FROM addon_texts WHERE addon_id IN "+in(len(b.ids)), b.ids, func(r row) error {
		var id int64
		var field, locale, text string
		if err := r.Scan(&id, &field, &locale, &text); err != nil {
			return err
		}
		to, ok := textFields(b.byID[id])[field]
		if !ok {
			return nil // a field of a later release
		}
		if *to == nil {
			*to = catalog.Text{}
		}
		(*to)[locale] = text
		return nil
	})
}

func (b *addonBatch) authors(ctx context.Context) error {
	return b.rows(ctx, qAddonAuthors, `SELECT x.addon_id, p.id, p.name, p.username, p.url
		FROM addon_authors x JOIN authors p ON p.id = x.author_id
		WHERE x.addon_id IN `+in(len(b.ids))+" ORDER BY x.addon_id, x.place", b.ids, func(r row) error {
		var id int64
		var p catalog.Author
		err := r.Scan(&id, &p.ID, &p.Name, &p.Username, &p.URL)
		if err == nil {
			b.byID[id].Authors = append(b.byID[id].Authors, p)
		}
		return err
	})
}

func (b *addonBatch) categories(ctx context.Context) error {
	return b.rows(ctx, qAddonCategories, "SELECT addon_id, app, slug FROM addon_categories WHERE addon_id IN "+in(len(b.ids))+
		" ORDER BY addon_id, place", b.ids, func(r row) error {
		var id int64
		var app, slug string
		if err := r.Scan(&id, &app, &slug); err != nil {
			return err
		}
		a := b.byID[id]
		if a.Categories == nil {
			a.Categories = map[string][]string{}
		}
		a.Categories[app] = append(a.Categories[app], slug)
		return nil
	})
}

func (b *addonBatch) tags(ctx context.Context) error {
	return b.rows(ctx, qAddonTags, `SELECT x.addon_id, t.name FROM addon_tags x JOIN tags t ON t.id = x.tag_id
		WHERE x.addon_id IN `+in(len(b.ids))+" ORDER BY x.addon_id, x.place", b.ids, func(r row) error {
		var id int64
		var name string
		err := r.Scan(&id, &name)
		if err == nil {
			b.byID[id].Tags = append(b.byID[id].Tags, name)
		}
		return err
	})
}

func (b *addonBatch) previews(ctx context.Context) error {
	return b.rows(ctx, qAddonPreviews, `SELECT addon_id, id, position, caption, image, width, height FROM previews
		WHERE addon_id IN `+in(len(b.ids))+" ORDER BY addon_id, place", b.ids, func(r row) error {
		var id int64
		var p catalog.Preview
		err := r.Scan(&id, &p.ID, &p.Position, fromJSON(&p.Caption), &p.Image, &p.Width, &p.Height)
		if err == nil {
			b.byID[id].Previews = append(b.byID[id].Previews, p)
		}
		return err
	})
}

func (b *addonBatch) versions(ctx context.Context) error {
	if len(b.current) == 0 {
		return nil
	}
	ids := make([]any, 0, len(b.current))
	for id := range b.current {
		ids = append(ids, id)
	}
	versions, err := b.versionsWhere(ctx, qVersions, "v.id IN "+in(len(ids)), ids)
	for _, v := range versions {
		b.current[v.ID].Current = v
	}
	return err
}
