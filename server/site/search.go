package site

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"addons/server/cache"
	"addons/server/catalog"
	"addons/server/search"
	"addons/server/store"
)

// Results of a search. Scores has one number for each of Addons, higher is
// better, and is empty when Fallback.
type Results struct {
	Addons   []*catalog.Addon
	Scores   []float64
	Total    int
	Partial  bool // a part of the search engine did not answer
	Fallback bool // the search engine is down and the database answered: plainer matching
}

// Search asks the search engine or, when that is down, the database.
// catalog.ErrInvalid: the query asks for what there is not.
func (s *Site) Search(ctx context.Context, q search.Query) (Results, error) {
	result, err := s.Index.Search(ctx, q)
	return s.results(ctx, q, result, err)
}

// Complete is Search for somebody who has not finished typing.
func (s *Site) Complete(ctx context.Context, prefix string, q search.Query) (Results, error) {
	result, err := s.Index.Complete(ctx, prefix, q)
	q.Text = prefix
	return s.results(ctx, q, result, err)
}

// SearchOnce is Search for a page that many look at: it answers as it did up to a minute or
// two before, if nothing of that is known to have changed.
func (s *Site) SearchOnce(ctx context.Context, q search.Query) (Results, error) {
	asked, err := json.Marshal(q)
	if err != nil {
		return Results{}, fmt.Errorf("search: %w", err)
	}
	r, _, err := remembered(ctx, s, "results "+string(asked), func(ctx context.Context) (Results, bool, error) {
		r, err := s.Search(ctx, q)
		return r, r.Whole(), err
	})
	return r, err
}

// Rendered is what render makes of searches for a question, or what it made of them up to a
// minute or two before. What is not whole is not kept. render may run when the caller has
// left: it must not touch the caller's request.
func (s *Site) Rendered(ctx context.Context, question string, render func(context.Context) (body []byte, whole bool, err error)) (body []byte, whole bool, err error) {
	return remembered(ctx, s, "rendered "+question, render)
}

// longestQuestion (bytes) that is remembered: who lists hundreds of ids is alone with it.
const longestQuestion = 1000

func remembered[T any](ctx context.Context, s *Site, question string, load func(context.Context) (v T, whole bool, err error)) (v T, whole bool, err error) {
	if len(question) > longestQuestion {
		return load(ctx)
	}
	v, err = cache.Fetch(ctx, s.Cache, searchFamily, question, func(ctx context.Context) (T, error) {
		v, whole, err := load(ctx)
		if err == nil && !whole {
			err = notKept[T]{v}
		}
		return v, err
	})
	var once notKept[T]
	if errors.As(err, &once) {
		return once.value, false, nil
	}
	return v, err == nil, err
}

// notKept is an answer that the next who asks shall not get, as an error of a load. All who
// wait for it share it, and must not change it.
type notKept[T any] struct{ value T }

func (notKept[T]) Error() string { return "an answer in part" }

// Whole says whether the results are all that there are to be.
func (r Results) Whole() bool { return !r.Partial && !r.Fallback }

func (s *Site) results(ctx context.Context, q search.Query, result search.Result, err error) (Results, error) {
	if errors.Is(err, catalog.ErrUnavailable) {
		return s.fallback(ctx, q)
	}
	if err != nil {
		return Results{}, fmt.Errorf("search: %w", err)
	}
	ids := make([]int64, len(result.Hits))
	score := make(map[int64]float64, len(result.Hits))
	for i, h := range result.Hits {
		ids[i], score[h.ID] = h.ID, h.Score
	}
	addons, err := s.DB.Addons(ctx, ids)
	if err != nil {
		return Results{}, fmt.Errorf("search: %w", err)
	}
	uses(ctx, addons...)
	r := Results{Total: result.Total, Partial: result.Partial}
	for _, a := range addons {
		// The index may be a moment behind: what is no longer public is not shown.
		if shown(a) {
			r.Addons = append(r.Addons, a)
			r.Scores = append(r.Scores, score[a.ID])
		}
	}
	return r, nil
}

// fallback answers from the database what it can; filters that it has not are
// left out, which Results.Fallback tells.
func (s *Site) fallback(ctx context.Context, q search.Query) (Results, error) {
	s.fallbacks.Inc()
	b := store.Browse{Text: q.Text, Category: q.Category, App: q.App, Promoted: len(q.Promoted) > 0,
		Limit: q.Limit, Offset: q.Offset}
	if len(q.Types) > 0 {
		b.Type = q.Types[0]
	}
	if len(q.Tags) > 0 {
		b.Tag = q.Tags[0]
	}
	if len(q.Authors) > 0 {
		b.Author = q.Authors[0]
	}
	for _, sort := range q.Sort {
		if b.Sort == "" && sort != "relevance" && sort != "random" {
			b.Sort = sort
		}
	}
	page, err := s.Browse(ctx, b)
	if err != nil {
		return Results{}, fmt.Errorf("search without the search engine: %w", err)
	}
	return Results{Addons: page.Addons, Total: page.Total, Fallback: true}, nil
}
