package site

import (
	"context"
	"errors"
	"fmt"

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
