package store

import (
	"context"
	"maps"
	"slices"
	"strings"

	"addons/server/catalog"
)

// The lists that hang on an add-on and have no life of their own are replaced
// as a whole when the add-on changed.

// replace deletes the add-on's rows of a table and inserts others.
func (h handle) replace(ctx context.Context, q query, t table, addonID int64, rows [][]any) error {
	if _, err := h.exec(ctx, q, "DELETE FROM "+t.name+" WHERE addon_id = ?", addonID); err != nil {
		return err
	}
	return h.insertRows(ctx, q, t, rows, "")
}

// rowsMax is how many rows one INSERT has: within both engines' limits of
// parameters and, with our limits of texts, of MySQL's packets for all but freaks.
const rowsMax = 100

// insertRows inserts the rows, with the dialect's onConflict at the end.
func (h handle) insertRows(ctx context.Context, q query, t table, rows [][]any, end string) error {
	for chunk := range slices.Chunk(rows, rowsMax) {
		text := t.insert(len(chunk)) + end
		if _, err := h.exec(ctx, q, text, slices.Concat(chunk...)...); err != nil {
			return err
		}
	}
	return nil
}

func (h handle) saveTexts(ctx context.Context, a *catalog.Addon) error {
	if err := h.replace(ctx, qSaveTexts, textsTable, a.ID, textRows(a)); err != nil {
		return err
	}
	return h.replace(ctx, qSaveTexts, wordsTable, a.ID, [][]any{{a.ID, words(a)}})
}

func textRows(a *catalog.Addon) (rows [][]any) {
	fields := textFields(a)
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		for _, locale := range fields[field].Locales() {
			rows = append(rows, []any{a.ID, field, locale, (*fields[field])[locale]})
		}
	}
	return rows
}

// words is what a search without the search engine goes through.
func words(a *catalog.Addon) string {
	var texts []string
	for _, t := range []catalog.Text{a.Name, a.Summary} {
		for _, locale := range t.Locales() {
			texts = append(texts, t[locale])
		}
	}
	return cut(strings.ToLower(strings.Join(append(texts, a.Tags...), "\n")), maxText)
}

func (h handle) saveCategories(ctx context.Context, a *catalog.Addon) error {
	return h.replace(ctx, qSaveCategories, categoriesTable, a.ID, categoryRows(a))
}

func categoryRows(a *catalog.Addon) (rows [][]any) {
	for place, c := range categories(a) {
		rows = append(rows, []any{a.ID, c.app, c.slug, place})
	}
	return rows
}

func categories(a *catalog.Addon) (all []inCategory) {
	for _, app := range slices.Sorted(maps.Keys(a.Categories)) {
		for _, slug := range unique(a.Categories[app]) {
			all = append(all, inCategory{app, slug})
		}
	}
	return all
}

// upsertRows inserts the rows that are new and updates the others, which it finds
// by the columns of key. The first column is the id, which only a new row may
// choose: MySQL would update whatever row has it.
func (h handle) upsertRows(ctx context.Context, q query, t table, key string, rows [][]any, isNew func(i int) bool) error {
	var fresh, known [][]any
	for i, row := range rows {
		if isNew(i) {
			fresh = append(fresh, row)
			continue
		}
		known = append(known, append([]any{nil}, row[1:]...))
	}
	if err := h.insertRows(ctx, q, t, fresh, ""); err != nil {
		return err
	}
	keys := strings.Split(key, ", ")
	others := slices.DeleteFunc(slices.Clone(t.columns[1:]), func(c string) bool { return slices.Contains(keys, c) })
	return h.insertRows(ctx, q, t, known, h.d.orUpdate(key, others...))
}

// savePreviews keeps the ids of previews that stay where they are: they are part
// of addresses.
func (h handle) savePreviews(ctx context.Context, a *catalog.Addon) error {
	if _, err := h.exec(ctx, qSavePreviews, "DELETE FROM previews WHERE addon_id = ? AND place >= ?", a.ID, len(a.Previews)); err != nil {
		return err
	}
	var stored int
	if err := h.one(ctx, qSavePreviews, "SELECT COUNT(*) FROM previews WHERE addon_id = ?", into{&stored}, a.ID); err != nil {
		return err
	}
	wanted := make([]int64, len(a.Previews))
	for i, p := range a.Previews {
		wanted[i] = p.ID
	}
	taken, err := h.freeIDs(ctx, "previews", wanted)
	if err != nil {
		return err
	}
	rows := make([][]any, len(a.Previews))
	for i, p := range a.Previews {
		rows[i] = previewRow(taken.orNull(p.ID), a.ID, i, p)
	}
	return h.upsertRows(ctx, qSavePreviews, previewsTable, "addon_id, place", rows, func(i int) bool { return i >= stored })
}

func previewRow(id any, addonID int64, place int, p catalog.Preview) []any {
	return []any{id, addonID, place, p.Position, asJSON(p.Caption), p.Image, p.Width, p.Height}
}

// unique returns the list without repetitions, in its order. Spaces at the end don't
// count: to MySQL, texts that differ in them are the same key.
func unique(list []string) []string {
	var all []string
	for _, s := range list {
		if s = strings.TrimRight(s, " "); s != "" && !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}
