package search

import (
	"context"
	"fmt"

	"github.com/blevesearch/bleve/v2/mapping"
	"github.com/blevesearch/bleve/v2/numeric"
	blevesearch "github.com/blevesearch/bleve/v2/search"
	"github.com/blevesearch/bleve/v2/search/searcher"
	index "github.com/blevesearch/bleve_index_api"
)

// planQuery runs a plan in bleve. It builds searchers itself, because bleve's
// compound queries multiply scores with shares of matched clauses and drop a
// "must" that matches nothing when there is a "should" beside it.
type planQuery struct{ plan plan }

func (q planQuery) Searcher(ctx context.Context, r index.IndexReader, _ mapping.IndexMapping, _ blevesearch.SearcherOptions) (blevesearch.Searcher, error) {
	b := builder{ctx: ctx, reader: r}
	found := b.lead(q.plan)
	if len(q.plan.not) > 0 {
		found = &follower{lead: found, others: b.all(q.plan.not), forbid: true}
	}
	if q.plan.scored() {
		weights, err := r.DocValueReader([]string{sortKey(numberWeight)})
		b.fail(err)
		found = &weighted{found, weights}
	}
	if b.err != nil {
		found.Close()
		return nil, b.err
	}
	return found, nil
}

// builder makes searchers of nodes. The first error stays in err.
type builder struct {
	ctx    context.Context
	reader index.IndexReader
	err    error
}

// unscored: our constants are the scores, so frequencies need not be read.
var unscored = blevesearch.SearcherOptions{Score: "none"}

func (b *builder) fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

// own takes a searcher from bleve; after an error it is one that finds nothing.
func (b *builder) own(s blevesearch.Searcher, err error) blevesearch.Searcher {
	b.fail(err)
	if err != nil {
		s, _ = searcher.NewMatchNoneSearcher(b.reader)
	}
	return s
}

func (b *builder) lead(p plan) blevesearch.Searcher {
	var each []blevesearch.Searcher
	if p.match != nil {
		each = append(each, b.build(p.match))
	}
	for _, f := range p.filters {
		each = append(each, b.build(worth{f, 0}))
	}
	switch len(each) {
	case 0:
		return b.own(searcher.NewMatchAllSearcher(b.ctx, b.reader, 1, unscored))
	case 1:
		return each[0]
	}
	return b.own(searcher.NewConjunctionSearcher(b.ctx, b.reader, each, unscored))
}

func (b *builder) all(nodes []node) group {
	each := make(group, len(nodes))
	for i, n := range nodes {
		each[i] = b.build(n)
	}
	return each
}

func (b *builder) build(n node) blevesearch.Searcher {
	switch n := n.(type) {
	case term:
		return b.own(searcher.NewTermSearcher(b.ctx, b.reader, n.value, n.field, 1, unscored))
	case anyTerm:
		return b.own(searcher.NewMultiTermSearcher(b.ctx, b.reader, n.values, n.field, 1, unscored, false))
	case near:
		return b.own(searcher.NewFuzzySearcher(b.ctx, b.reader, n.value, 1, n.edits, n.field, 1, unscored))
	case within:
		inclusive := true
		return b.own(searcher.NewNumericRangeSearcher(b.ctx, b.reader, &n.low, &n.high, &inclusive, &inclusive, n.field, 1, unscored))
	case worth:
		return &constant{b.build(n.node), n.score}
	case all:
		return b.own(searcher.NewConjunctionSearcher(b.ctx, b.reader, b.all(n), unscored))
	case best:
		return &union{group: b.all(n), need: 1, max: true}
	case some:
		return &union{group: b.all(n.nodes), need: n.need}
	case bonus:
		return &follower{lead: b.build(n.node), others: b.all(n.others)}
	}
	return b.own(nil, fmt.Errorf("search: %T is no node of a plan", n))
}

// constant gives all matches the same score.
type constant struct {
	blevesearch.Searcher
	score float64
}

func (c *constant) set(m *blevesearch.DocumentMatch, err error) (*blevesearch.DocumentMatch, error) {
	if m != nil {
		m.Score = c.score
	}
	return m, err
}

func (c *constant) Next(ctx *blevesearch.SearchContext) (*blevesearch.DocumentMatch, error) {
	return c.set(c.Searcher.Next(ctx))
}

func (c *constant) Advance(ctx *blevesearch.SearchContext, id index.IndexInternalID) (*blevesearch.DocumentMatch, error) {
	return c.set(c.Searcher.Advance(ctx, id))
}

// weighted multiplies scores with the documents' weights.
type weighted struct {
	blevesearch.Searcher
	weights index.DocValueReader
}

func (w *weighted) set(m *blevesearch.DocumentMatch, err error) (*blevesearch.DocumentMatch, error) {
	if m == nil || err != nil {
		return m, err
	}
	return m, w.weights.VisitDocValues(m.IndexInternalID, func(_ string, term []byte) {
		if n, err := numeric.PrefixCoded(term).Int64(); err == nil {
			// As precise as Elasticsearch's scores, so that ties are ties in both.
			m.Score = float64(float32(m.Score * numeric.Int64ToFloat64(n)))
		}
	})
}

func (w *weighted) Next(ctx *blevesearch.SearchContext) (*blevesearch.DocumentMatch, error) {
	return w.set(w.Searcher.Next(ctx))
}

func (w *weighted) Advance(ctx *blevesearch.SearchContext, id index.IndexInternalID) (*blevesearch.DocumentMatch, error) {
	return w.set(w.Searcher.Advance(ctx, id))
}

// union finds what at least need of its children find, with the sum or the
// maximum of their scores.
type union struct {
	group
	need int
	max  bool

	at []*blevesearch.DocumentMatch // each child's match not yet given out; nil at its end, and all before the first call
	on bool                         // at is filled
}

func (u *union) Next(ctx *blevesearch.SearchContext) (*blevesearch.DocumentMatch, error) {
	if !u.on {
		u.on = true
		u.at = make([]*blevesearch.DocumentMatch, len(u.group))
		for i := range u.group {
			if err := u.step(ctx, i); err != nil {
				return nil, err
			}
		}
	}
	for {
		first := u.first()
		if first == nil {
			return nil, nil
		}
		m, matched, err := u.take(ctx, first)
		if err != nil || matched >= u.need {
			return m, err
		}
		ctx.DocumentMatchPool.Put(m)
	}
}

func (u *union) step(ctx *blevesearch.SearchContext, i int) (err error) {
	u.at[i], err = u.group[i].Next(ctx)
	return err
}

// first is the match with the lowest number.
func (u *union) first() (first *blevesearch.DocumentMatch) {
	for _, m := range u.at {
		if m != nil && (first == nil || m.IndexInternalID.Compare(first.IndexInternalID) < 0) {
			first = m
		}
	}
	return first
}

// take adds up the matches of the document of first, and moves their children on.
func (u *union) take(ctx *blevesearch.SearchContext, first *blevesearch.DocumentMatch) (m *blevesearch.DocumentMatch, matched int, err error) {
	score := 0.0
	for i, same := range u.at {
		if same == nil || !same.IndexInternalID.Equals(first.IndexInternalID) {
			continue
		}
		matched++
		if u.max {
			score = max(score, same.Score)
		} else {
			score += same.Score
		}
		if err := u.step(ctx, i); err != nil {
			return nil, 0, err
		}
		if same != first {
			ctx.DocumentMatchPool.Put(same)
		}
	}
	first.Score = score
	return first, matched, nil
}

func (u *union) Advance(ctx *blevesearch.SearchContext, id index.IndexInternalID) (*blevesearch.DocumentMatch, error) {
	if !u.on {
		u.on = true
		u.at = make([]*blevesearch.DocumentMatch, len(u.group))
		for i, s := range u.group {
			var err error
			if u.at[i], err = s.Advance(ctx, id); err != nil {
				return nil, err
			}
		}
		return u.Next(ctx)
	}
	for i, m := range u.at {
		if m == nil || m.IndexInternalID.Compare(id) >= 0 {
			continue
		}
		ctx.DocumentMatchPool.Put(m)
		var err error
		if u.at[i], err = u.group[i].Advance(ctx, id); err != nil {
			return nil, err
		}
	}
	return u.Next(ctx)
}

// follower finds what lead finds. The others follow: what they find too adds its
// score, or with forbid is left out.
type follower struct {
	lead   blevesearch.Searcher
	others group
	forbid bool

	at []*blevesearch.DocumentMatch // each other's match at or after the last one of lead; nil at its end
	on bool
}

func (f *follower) Next(ctx *blevesearch.SearchContext) (*blevesearch.DocumentMatch, error) {
	m, err := f.lead.Next(ctx)
	return f.admit(ctx, m, err)
}

func (f *follower) Advance(ctx *blevesearch.SearchContext, id index.IndexInternalID) (*blevesearch.DocumentMatch, error) {
	m, err := f.lead.Advance(ctx, id)
	return f.admit(ctx, m, err)
}

// admit returns m, or the next match that is not forbidden.
func (f *follower) admit(ctx *blevesearch.SearchContext, m *blevesearch.DocumentMatch, err error) (*blevesearch.DocumentMatch, error) {
	for m != nil && err == nil {
		var score float64
		var any bool
		if score, any, err = f.follow(ctx, m.IndexInternalID); err != nil {
			return nil, err
		}
		if !f.forbid || !any {
			m.Score += score
			return m, nil
		}
		ctx.DocumentMatchPool.Put(m)
		m, err = f.lead.Next(ctx)
	}
	return m, err
}

// follow brings the others up to a document, and adds up those that match it.
func (f *follower) follow(ctx *blevesearch.SearchContext, id index.IndexInternalID) (score float64, any bool, err error) {
	if !f.on {
		f.at = make([]*blevesearch.DocumentMatch, len(f.others))
	}
	for i, s := range f.others {
		m := f.at[i]
		if !f.on || m != nil && m.IndexInternalID.Compare(id) < 0 {
			if m != nil {
				ctx.DocumentMatchPool.Put(m)
			}
			if m, err = s.Advance(ctx, id); err != nil {
				return 0, false, err
			}
			f.at[i] = m
		}
		if m != nil && m.IndexInternalID.Equals(id) {
			any = true
			score += m.Score
		}
	}
	f.on = true
	return score, any, nil
}

func (f *follower) both() group { return append(group{f.lead}, f.others...) }

func (f *follower) Close() error               { return f.both().Close() }
func (f *follower) Count() uint64              { return f.lead.Count() }
func (f *follower) Size() int                  { return f.both().Size() }
func (f *follower) Min() int                   { return 0 }
func (f *follower) Weight() float64            { return 0 }
func (f *follower) SetQueryNorm(float64)       {}
func (f *follower) DocumentMatchPoolSize() int { return f.both().DocumentMatchPoolSize() }

// group is several searchers, each at a match of its own. Weights and norms are
// bleve's way to scores, which ours are not.
type group []blevesearch.Searcher

func (g group) Close() (err error) {
	for _, s := range g {
		if e := s.Close(); err == nil {
			err = e
		}
	}
	return err
}

func (g group) Count() (sum uint64) {
	for _, s := range g {
		sum += s.Count()
	}
	return sum
}

func (g group) Size() (sum int) {
	for _, s := range g {
		sum += s.Size()
	}
	return sum
}

func (g group) DocumentMatchPoolSize() int {
	sum := len(g)
	for _, s := range g {
		sum += s.DocumentMatchPoolSize()
	}
	return sum
}

func (group) Min() int             { return 0 }
func (group) Weight() float64      { return 0 }
func (group) SetQueryNorm(float64) {}
