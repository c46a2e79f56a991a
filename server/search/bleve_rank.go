package search

import (
	"bytes"
	"cmp"
	"container/heap"
	"context"
	"math/rand/v2"
	"slices"

	"github.com/blevesearch/bleve/v2/index/scorch"
	"github.com/blevesearch/bleve/v2/numeric"
)

// ranking keeps the first hits of a plan, and counts all.
type ranking struct {
	plan
	columns *columns
	seed    uint64 // of random order
	best    lastFirst
	total   int
}

// ranked is a hit with what it is sorted by.
type ranked struct {
	Hit
	keys []int64 // one for each of the plan's orders: the lower comes first
	text []byte  // for the order by name; none comes last
}

func newRanking(p plan, c *columns) *ranking {
	r := &ranking{plan: p, columns: c, seed: rand.Uint64()}
	if p.random {
		r.sort = []order{{}}
	}
	r.best.sort = r.sort
	return r
}

// lastFirst is a heap whose first is the last of the hits.
type lastFirst struct {
	sort []order
	hits []ranked
}

func (l *lastFirst) Len() int           { return len(l.hits) }
func (l *lastFirst) Less(i, j int) bool { return l.compare(&l.hits[i], &l.hits[j]) > 0 }
func (l *lastFirst) Swap(i, j int)      { l.hits[i], l.hits[j] = l.hits[j], l.hits[i] }
func (l *lastFirst) Push(x any)         { l.hits = append(l.hits, x.(ranked)) }

func (l *lastFirst) Pop() any {
	last := l.hits[len(l.hits)-1]
	l.hits = l.hits[:len(l.hits)-1]
	return last
}

func (l *lastFirst) compare(a, b *ranked) int {
	for i, o := range l.sort {
		c := cmp.Compare(a.keys[i], b.keys[i])
		if o.field == orderName {
			c = compareTexts(a.text, b.text)
		}
		if c != 0 {
			return c
		}
	}
	return 0
}

func compareTexts(a, b []byte) int {
	if len(a) == 0 || len(b) == 0 {
		return cmp.Compare(len(b), len(a))
	}
	return bytes.Compare(a, b)
}

// block is how many documents are looked at between two looks at the clock.
const block = 1024

// add ranks what is found in a segment.
func (r *ranking) add(ctx context.Context, s *scorch.SegmentSnapshot, found matches) error {
	r.total += int(found.docs.GetCardinality())
	keys, err := r.keys(s, found)
	if err != nil || r.limit+r.offset == 0 {
		return err
	}
	ids, err := r.columns.of(s, numberID)
	if err != nil {
		return err
	}
	candidate := ranked{keys: make([]int64, len(r.sort))}
	documents := found.docs.ManyIterator()
	for docs := make([]uint32, block); ; {
		n := documents.NextMany(docs)
		if n == 0 {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, doc := range docs[:n] {
			if !r.admits(keys, doc, &candidate) {
				continue
			}
			candidate.ID = int64(ids.float(doc))
			if len(r.best.hits) < r.limit+r.offset {
				heap.Push(&r.best, candidate)
				candidate.keys = make([]int64, len(r.sort))
				continue
			}
			r.best.hits[0], candidate = candidate, r.best.hits[0]
			heap.Fix(&r.best, 0)
		}
	}
}

// admits fills in a document's keys, and says whether it is before the last of the hits.
func (r *ranking) admits(keys []func(uint32, *ranked) int64, doc uint32, candidate *ranked) bool {
	full := len(r.best.hits) == r.limit+r.offset
	for i, key := range keys {
		candidate.keys[i] = key(doc, candidate)
		// Most are out by their first key, and need no others.
		if full && i == 0 && r.sort[0].field != orderName && candidate.keys[0] > r.best.hits[0].keys[0] {
			return false
		}
	}
	return !full || r.best.compare(candidate, &r.best.hits[0]) < 0
}

// keys are how a segment's documents get their keys.
func (r *ranking) keys(s *scorch.SegmentSnapshot, found matches) ([]func(uint32, *ranked) int64, error) {
	if r.random {
		return []func(uint32, *ranked) int64{r.chance(s.Id())}, nil
	}
	var keys []func(uint32, *ranked) int64
	for _, o := range r.sort {
		field := o.field
		if field == "" {
			field = numberWeight
		}
		col, err := r.columns.of(s, field)
		if err != nil {
			return nil, err
		}
		key := func(doc uint32, _ *ranked) int64 { return col.numbers[doc] }
		switch o.field {
		case "":
			key = func(doc uint32, hit *ranked) int64 {
				// As precise as Elasticsearch's scores, so that ties are ties in both.
				hit.Score = float64(float32(found.of(doc) * col.float(doc)))
				return numeric.Float64ToInt64(hit.Score)
			}
		case orderName:
			key = func(doc uint32, hit *ranked) int64 { hit.text = col.text(doc); return 0 }
		}
		if o.desc {
			ascending := key
			key = func(doc uint32, hit *ranked) int64 { return ^ascending(doc, hit) }
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// chance is the same for one document within one search.
func (r *ranking) chance(segment uint64) func(uint32, *ranked) int64 {
	return func(doc uint32, _ *ranked) int64 {
		return int64(rand.NewPCG(r.seed^segment, uint64(doc)).Uint64())
	}
}

// hits are those of the plan's page, the best first.
func (r *ranking) hits() []Hit {
	slices.SortFunc(r.best.hits, func(a, b ranked) int { return r.best.compare(&a, &b) })
	hits := []Hit{}
	for _, h := range r.best.hits[min(r.offset, len(r.best.hits)):] {
		hits = append(hits, h.Hit)
	}
	return hits
}
