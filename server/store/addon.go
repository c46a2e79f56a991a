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
// aren't. Eight queries, for one as for 500.
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
	err := db.reads().rows(ctx, qAddonCounts, "SELECT type, addons FROM list_totals WHERE app = '' AND category = '' AND tag = '' AND addons > 0", nil, func(r row) error {
		var kind catalog.Type
		var n int
		err := r.Scan(&kind, &n)
		counts[kind] = n
		return err
	})
	return counts, err
}

// addonsWhere reads whole add-ons: one query for each kind of part.
func (h handle) addonsWhere(ctx context.Context, q query, where string, args []any) ([]*catalog.Addon, error) {
	all, err := list(ctx, h, q, "SELECT "+addonColumns+" FROM addons a WHERE "+where, args, func(r row, to **catalog.Addon) error {
		a := &catalog.Addon{}
		*to = a
		return r.Scan(&a.ID, &a.GUID, &a.Slug, &a.Type, &a.Status, &a.DefaultLocale, &a.TargetLocale,
			&a.ContributionsURL, &a.Icon, fromJSON(&a.Promoted), &a.AverageDailyUsers, &a.WeeklyDownloads, &a.Hotness,
			&a.Ratings.Average, &a.Ratings.Bayesian, &a.Ratings.Count, &a.Ratings.TextCount, fromJSON(&a.Ratings.Grouped),
			&a.Experimental, &a.RequiresPayment, &a.HasEULA, &a.HasPrivacyPolicy, fromSeconds(&a.Created), fromSeconds(&a.LastUpdated))
	})
	if err != nil {
		return nil, err
	}
	return all, attach(ctx, h, all, addonParts()...)
}

const addonColumns = `a.id, a.guid, a.slug, a.type, a.status, a.default_locale, a.target_locale,
	a.contributions_url, a.icon, a.promoted, a.users, a.downloads, a.hotness,
	a.rating_average, a.rating_bayesian, a.rating_count, a.rating_texts, a.rating_grouped,
	a.experimental, a.requires_payment, a.has_eula, a.has_privacy_policy, a.created, a.updated`

// addonText is a row of addon_texts.
type addonText struct{ field, locale, text string }

// inCategory is a row of addon_categories.
type inCategory struct{ app, slug string }

func addonID(a *catalog.Addon) int64 { return a.ID }

// addonParts are what an add-on is made of besides its own row.
func addonParts() []loader[*catalog.Addon] {
	return []loader[*catalog.Addon]{
		relation[*catalog.Addon, addonText]{
			qAddonTexts, "SELECT addon_id, field, locale, text FROM addon_texts WHERE addon_id IN %s", addonID,
			func(t *addonText) into { return into{&t.field, &t.locale, &t.text} },
			giveText,
		},
		relation[*catalog.Addon, catalog.Author]{
			qAddonAuthors, `SELECT x.addon_id, p.id, p.name, p.username, p.url FROM addon_authors x JOIN authors p ON p.id = x.author_id
				WHERE x.addon_id IN %s ORDER BY x.addon_id, x.place`, addonID,
			func(p *catalog.Author) into { return into{&p.ID, &p.Name, &p.Username, &p.URL} },
			func(a *catalog.Addon, p catalog.Author) { a.Authors = append(a.Authors, p) },
		},
		relation[*catalog.Addon, inCategory]{
			qAddonCategories, "SELECT addon_id, app, slug FROM addon_categories WHERE addon_id IN %s ORDER BY addon_id, place", addonID,
			func(c *inCategory) into { return into{&c.app, &c.slug} },
			giveCategory,
		},
		relation[*catalog.Addon, string]{
			qAddonTags, `SELECT x.addon_id, t.name FROM addon_tags x JOIN tags t ON t.id = x.tag_id
				WHERE x.addon_id IN %s ORDER BY x.addon_id, x.place`, addonID,
			func(name *string) into { return into{name} },
			func(a *catalog.Addon, name string) { a.Tags = append(a.Tags, name) },
		},
		relation[*catalog.Addon, catalog.Preview]{
			qAddonPreviews, `SELECT addon_id, id, position, caption, image, width, height FROM previews
				WHERE addon_id IN %s ORDER BY addon_id, place`, addonID,
			func(p *catalog.Preview) into {
				return into{&p.ID, &p.Position, fromJSON(&p.Caption), &p.Image, &p.Width, &p.Height}
			},
			func(a *catalog.Addon, p catalog.Preview) { a.Previews = append(a.Previews, p) },
		},
		relation[*catalog.Addon, versionRow]{
			qVersions, "SELECT a.id, " + versionColumns + ` FROM addons a JOIN versions v ON v.id = a.current_version
				JOIN files f ON f.version_id = v.id JOIN licenses l ON l.id = v.license_id WHERE a.id IN %s`, addonID,
			versionInto,
			func(a *catalog.Addon, v versionRow) { a.Current = v.version() },
		},
		through[*catalog.Addon, *catalog.Version]{
			func(a *catalog.Addon) (*catalog.Version, bool) { return a.Current, a.Current != nil },
			versionParts(),
		},
	}
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

func giveText(a *catalog.Addon, t addonText) {
	to, ok := textFields(a)[t.field]
	if !ok {
		return // a field of a later release
	}
	if *to == nil {
		*to = catalog.Text{}
	}
	(*to)[t.locale] = t.text
}

func giveCategory(a *catalog.Addon, c inCategory) {
	if a.Categories == nil {
		a.Categories = map[string][]string{}
	}
	a.Categories[c.app] = append(a.Categories[c.app], c.slug)
}
