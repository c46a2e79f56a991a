package store

import (
	"context"
	"slices"
	"strings"

	"addons/server/catalog"
)

// saveAuthors writes who made an add-on. An author is found again by the username;
// who has none (a manifest says just a name) gets one made from the name. It returns
// the ids of those who were known and now have another name or address.
func (h handle) saveAuthors(ctx context.Context, a *catalog.Addon) (renamed []int64, err error) {
	authors := withUsernames(a)
	known, err := h.authorsBy(ctx, authors)
	if err != nil {
		return nil, err
	}
	for _, p := range authors {
		if old, ok := known[p.Username]; ok && !sameAuthor(old, p) {
			renamed = append(renamed, old.ID)
		}
	}
	if err := h.addAuthors(ctx, authors, known); err != nil {
		return nil, err
	}
	if known, err = h.authorsBy(ctx, authors); err != nil {
		return nil, err
	}
	rows := make([][]any, len(authors))
	for i, p := range authors {
		rows[i] = []any{a.ID, known[p.Username].ID, i}
	}
	return renamed, h.replace(ctx, qSaveAuthors, addonAuthorsTable, a.ID, rows)
}

// followMax is how many add-ons of renamed authors are told apart: beyond, any add-on
// may have changed.
const followMax = 100

// addonsOf returns the ids and GUIDs of the authors' add-ons, without one; at most followMax + 1.
func (h handle) addonsOf(ctx context.Context, authors []int64, without int64) ([]reference, error) {
	if len(authors) == 0 {
		return nil, nil
	}
	return list(ctx, h, qSaveAuthors, "SELECT DISTINCT a.id, a.guid FROM addon_authors m JOIN addons a ON a.id = m.addon_id WHERE m.author_id IN "+
		in(len(authors))+" AND m.addon_id <> ? ORDER BY a.id LIMIT ?", append(anys(authors), without, followMax+1),
		func(r row, to *reference) error { return r.Scan(&to.id, &to.guid) })
}

// reference is what an add-on is known by.
type reference struct {
	id   int64
	guid string
}

// sameAuthor says whether an import brings no news of an author.
func sameAuthor(old, p catalog.Author) bool {
	return old.Name == p.Name && (old.URL == p.URL || p.URL == "")
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
		return ok && sameAuthor(old, p)
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
