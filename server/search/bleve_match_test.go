package search

import (
	"cmp"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/RoaringBitmap/roaring/v2"

	"addons/server/catalog"
	"addons/server/metrics"
)

// plainEngine is an engine that looks at every document: what bleve's sets have to agree with.
type plainEngine map[int64]document

func (e plainEngine) search(p plan) (hits []Hit, total int) {
	var found []document
	scores := map[int64]float64{}
	for id, doc := range e {
		score, ok := 0.0, true
		if p.match != nil {
			score, ok = worthOf(doc, p.match)
		}
		for _, f := range p.filters {
			_, holds := worthOf(doc, f)
			ok = ok && holds
		}
		for _, n := range p.not {
			_, holds := worthOf(doc, n)
			ok = ok && !holds
		}
		if ok {
			found = append(found, doc)
			if p.scored() {
				scores[id] = float64(float32(score * doc.numbers[numberWeight]))
			}
		}
	}
	slices.SortFunc(found, func(a, b document) int {
		for _, o := range p.sort {
			c := cmp.Compare(a.numbers[o.field], b.numbers[o.field])
			switch o.field {
			case "":
				c = cmp.Compare(scores[a.id], scores[b.id])
			case orderName:
				c = strings.Compare(a.order, b.order)
				if (a.order == "") != (b.order == "") {
					c = -c
				}
			}
			if o.desc {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return 0
	})
	total = len(found)
	found = found[min(p.offset, total):min(p.offset+p.limit, total)]
	for _, doc := range found {
		hits = append(hits, Hit{doc.id, scores[doc.id]})
	}
	return hits, total
}

// worthOf is what a document is worth to a node, and whether it matches.
func worthOf(doc document, n node) (score float64, ok bool) {
	switch n := n.(type) {
	case term:
		return 0, slices.Contains(doc.terms[n.field], n.value)
	case anyTerm:
		return 0, slices.ContainsFunc(n.values, func(v string) bool { return slices.Contains(doc.terms[n.field], v) })
	case within:
		number, there := doc.numbers[n.field]
		return 0, there && n.low <= number && number <= n.high
	case worth:
		_, ok := worthOf(doc, n.node)
		return n.score, ok
	case all:
		score, matched := each(doc, n)
		return score, matched == len(n)
	case best:
		for _, child := range n {
			if s, holds := worthOf(doc, child); holds {
				score, ok = max(score, s), true
			}
		}
		return score, ok
	case some:
		score, matched := each(doc, n.nodes)
		return score, matched >= n.need
	case bonus:
		score, ok := worthOf(doc, n.node)
		more, _ := each(doc, n.others)
		return score + more, ok
	}
	panic(fmt.Sprintf("%T", n))
}

func each(doc document, nodes []node) (score float64, matched int) {
	for _, n := range nodes {
		if s, ok := worthOf(doc, n); ok {
			score += s
			matched++
		}
	}
	return score, matched
}

// syllables make words that are too short for a search to look for misspellings of them.
var syllables = strings.Fields("ba be bi bo da de di do ka ke ki ko la le li lo ma me mi mo")

func someWords(rng *rand.Rand, n int) string {
	words := make([]string, rng.IntN(n+1))
	for i := range words {
		words[i] = syllables[rng.IntN(6)] + syllables[rng.IntN(5)]
	}
	return strings.Join(words, " ")
}

func someDoc(rng *rand.Rand, id int) Doc {
	day := time.Date(2020, 1, 1+rng.IntN(30), 0, 0, 0, 0, time.UTC)
	d := Doc{
		ID: int64(id), GUID: fmt.Sprint(id, "@x"), Slug: fmt.Sprint("slug-", id), Status: catalog.Public, Type: pickOne(rng, catalog.Extension, catalog.Theme),
		Name: catalog.Text{"en-US": someWords(rng, 3), "de": someWords(rng, 2)}, Summary: catalog.Text{"en-US": someWords(rng, 6)},
		Description: catalog.Text{"en-US": someWords(rng, 20)}, Tags: strings.Fields(someWords(rng, 2)), Users: rng.IntN(50) * rng.IntN(50),
		Downloads: rng.IntN(5), Rating: float64(rng.IntN(50)) / 10, Hotness: rng.Float64(), Created: day, Updated: day.AddDate(0, rng.IntN(3), 0),
		DefaultLocale: "en-US",
	}
	if rng.IntN(3) > 0 {
		d.Apps, d.Compat = []string{"firefox"}, []catalog.Compat{{App: "firefox", Min: fmt.Sprint(50+rng.IntN(50), ".0")}}
	}
	if rng.IntN(4) == 0 {
		d.Promoted = []string{"recommended"}
	}
	return d
}

func pickOne[T any](rng *rand.Rand, of ...T) T { return of[rng.IntN(len(of))] }

func someQuery(rng *rand.Rand) Query {
	q := Query{Text: someWords(rng, 5), Lang: pickOne(rng, "", "de", "en-US"), Limit: 1 + rng.IntN(40), Offset: rng.IntN(2) * rng.IntN(60)}
	for range rng.IntN(3) {
		q.Sort = append(q.Sort, pickOne(rng, "created", "updated", "downloads", "hotness", "ratings", "recommended", "relevance", "users", "name"))
	}
	if rng.IntN(4) == 0 {
		q.Types = []string{"extension"}
	}
	if rng.IntN(4) == 0 {
		q.App, q.AppVersion = "firefox", fmt.Sprint(50+rng.IntN(50), ".0")
	}
	if rng.IntN(4) == 0 {
		q.Ranges = []Range{{pickOne(rng, "users", "ratings"), pickOne(rng, "gt", "gte", "lt", "lte", "eq"), fmt.Sprint(rng.IntN(6))}}
	}
	if rng.IntN(4) == 0 {
		q.Tags = strings.Fields(someWords(rng, 1))
	}
	if rng.IntN(4) == 0 {
		q.Exclude = []string{fmt.Sprint(1 + rng.IntN(300)), fmt.Sprint("slug-", 1+rng.IntN(300))}
	}
	return q
}

// TestSetsFindWhatIsFoundByLookingAtEveryDocument asks an index of many segments, with
// documents that were deleted and written again.
func TestSetsFindWhatIsFoundByLookingAtEveryDocument(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	ix, err := Open("bleve:"+t.TempDir(), metrics.New(nil), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ix.Close() })
	reference := plainEngine{}
	put := func(ids ...int) {
		var docs []Doc
		for _, id := range ids {
			docs = append(docs, someDoc(rng, id))
			reference[int64(id)] = newDocument(docs[len(docs)-1])
		}
		if err := ix.Put(t.Context(), docs...); err != nil {
			t.Fatal(err)
		}
	}
	for id := 1; id <= 300; id += 15 {
		for i := range 15 {
			put(id + i)
		}
	}
	found := 0
	for round := range 40 {
		put(1+rng.IntN(300), 400+round)
		gone := int64(1 + rng.IntN(300))
		if err := ix.Delete(t.Context(), gone); err != nil {
			t.Fatal(err)
		}
		delete(reference, gone)
		for range 20 {
			q := someQuery(rng)
			p, ok, err := searchPlan(q)
			if err != nil {
				t.Fatalf("%+v: %v", q, err)
			}
			var want []Hit
			total := 0
			if ok {
				want, total = reference.search(p)
			}
			got := find(t, ix, q)
			if got.Total != total || !slices.Equal(got.Hits, want) && len(got.Hits)+len(want) > 0 {
				t.Fatalf("%+v\nfound %d %v,\n want %d %v", q, got.Total, got.Hits, total, want)
			}
			found += len(want)
		}
	}
	if found < 1000 {
		t.Errorf("only %d hits in all: the queries find too little to compare", found)
	}
	// What was kept of segments that are merged or replaced is gone.
	columns := ix.driver.(*bleveDriver).columns
	columns.mu.Lock()
	defer columns.mu.Unlock()
	if n := len(columns.kept); n > 40*len(numberFields) {
		t.Errorf("%d columns are kept", n)
	}
}

func TestAtLeastCountsSets(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		sets := make([]*roaring.Bitmap, 1+rng.IntN(6))
		in := map[uint32]int{}
		for i := range sets {
			sets[i] = roaring.New()
			for range rng.IntN(30) {
				if doc := rng.Uint32N(40); sets[i].CheckedAdd(doc) {
					in[doc]++
				}
			}
		}
		need := 1 + rng.IntN(len(sets))
		got := atLeast(need, sets)
		for doc := range uint32(40) {
			if got.Contains(doc) != (in[doc] >= need) {
				t.Fatalf("%d of %d sets have %d, want %d: %t", in[doc], len(sets), doc, need, got.Contains(doc))
			}
		}
	}
}
