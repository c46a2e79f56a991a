package store

import (
	"context"
	"fmt"
	"slices"
)

// loader reads what belongs to many things at once: as many queries for one of
// them as for hundreds. Whoever lists P gives them to attach, and has no query of
// its own to repeat for each. This is the queryset-transform that
// addons.mozilla.org had: https://github.com/jbalogh/django-queryset-transform
type loader[P any] interface {
	load(ctx context.Context, h handle, parents []P) error
}

// attach has each loader bring its part to the parents, one after the other.
func attach[P any](ctx context.Context, h handle, parents []P, parts ...loader[P]) error {
	for chunk := range slices.Chunk(parents, listMax) {
		for _, part := range parts {
			if err := part.load(ctx, h, chunk); err != nil {
				return err
			}
		}
	}
	return nil
}

// relation is the rows that belong to a P, read into Rs. Of two parents with one
// key, the later gets them.
type relation[P, R any] struct {
	query query
	// text selects the parent's key and then the columns; %s is the list of keys.
	text string
	key  func(P) int64
	// columns are where text's columns go, but for the key. It is asked once for all
	// rows, each of which begins with a zero R.
	columns func(*R) into
	// give gets the rows in text's order.
	give func(P, R)
}

func (r relation[P, R]) load(ctx context.Context, h handle, parents []P) error {
	byKey := make(map[int64]P, len(parents))
	keys := make([]any, len(parents))
	for i, p := range parents {
		keys[i] = r.key(p)
		byKey[r.key(p)] = p
	}
	var key int64
	var one R
	to := append(into{&key}, r.columns(&one)...)
	return h.rows(ctx, r.query, fmt.Sprintf(r.text, in(len(keys))), keys, func(row row) error {
		var none R
		one = none
		err := row.Scan(to...)
		if err == nil {
			r.give(byKey[key], one)
		}
		return err
	})
}

// through is what belongs to something that some of the Ps have, one each at the most.
type through[P, C any] struct {
	child func(P) (C, bool)
	parts []loader[C]
}

func (t through[P, C]) load(ctx context.Context, h handle, parents []P) error {
	var children []C
	for _, p := range parents {
		if c, ok := t.child(p); ok {
			children = append(children, c)
		}
	}
	return attach(ctx, h, children, t.parts...)
}
