package store

import (
	"context"
	"slices"
	"strings"

	"addons/server/catalog"
)

// saveAuthors writes who made an add-on. An author is found again by the username;
// who has none (a manifest says just a name) gets one made from the name.
func (h handle) saveAuthors(ctx context.Context, a *catalog.Addon) error {
	authors := withUsernames(a)
	known, err := h.authorsBy(ctx, authors)
	if err != nil {
		return err
	}
	if err := h.addAuthors(ctx, authors, known); err != nil {
		return err
	}
	if known, err = h.authorsBy(ctx, authors); err != nil {
		return err
	}
	rows := make([][]any, len(authors))
	for i, p := range authors {
		rows[i] = []any{a.ID, known[p.Username].ID, i}
	}
	return h.replace(ctx, qSaveAuthors, addonAuthorsTable, a.ID, rows)
}

// withUsernames returns the add-on's authors, each once, each with a username.
func withUsernames(a *catalog.Addon) []catalog.Author {
	var authors []catalog.Author
	for _, p := range a.Authors {
		if p.Username == "" {
			p.Username = slugify(strings.ToLower(p.Name))
		}
		if p.Username == "" {
			p.Username = "author-" + digest(p.Name)[:12]
		}
		if p.Name == "" {
			p.Name = p.Username
		}
		same := func(q catalog.Author) bool { return q.Username == p.Username }
		if !slices.ContainsFunc(authors, same) {
			authors = append(authors, p)
		}
	}
	return authors
}

// authorsBy reads authors by their usernames.
func (h handle) authorsBy(ctx context.Context, authors []catalog.Author) (map[string]catalog.Author, error) {
	known := map[string]catalog.Author{}
	if len(authors) == 0 {
		return known, nil
	}
	names := make([]any, len(authors))
	for i, p := range authors {
		names[i] = p.Username
	}
	err := h.rows(ctx, qSaveAuthors, "SELECT id, username, name, url FROM authors WHERE username IN "+in(len(names)), names, func(r row) error {
		var p catalog.Author
		err := r.Scan(&p.ID, &p.Username, &p.Name, &p.URL)
		known[p.Username] = p
		return err
	})
	return known, err
}

// addAuthors inserts those that aren't known and updates those that changed, in
// the order of usernames, so that two imports don't lock each other out.
func (h handle) addAuthors(ctx context.Context, authors []catalog.Author, known map[string]catalog.Author) error {
	authors = slices.SortedFunc(slices.Values(authors), func(p, q catalog.Author) int { return strings.Compare(p.Username, q.Username) })
	authors = slices.DeleteFunc(authors, func(p catalog.Author) bool {
		old, ok := known[p.Username]
		return ok && old.Name == p.Name && (old.URL == p.URL || p.URL == "")
	})
	wanted := make([]int64, len(authors))
	for i, p := range authors {
		wanted[i] = p.ID
	}
	taken, err := h.freeIDs(ctx, "authors", wanted)
	if err != nil {
		return err
	}
	rows := make([][]any, len(authors))
	for i, p := range authors {
		rows[i] = []any{taken.orNull(p.ID), p.Username, p.Name, p.URL}
	}
	return h.upsertRows(ctx, qSaveAuthors, authorsTable, "username", rows,
		func(i int) bool { _, ok := known[authors[i].Username]; return !ok })
}
