package search

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/blevesearch/bleve/v2/index/scorch"
	segment "github.com/blevesearch/scorch_segment_api/v2"
)

// matcher finds what a plan's nodes match in one segment, by the segment's own sets of
// documents: bleve's searchers go from document to document and place to place, which for
// a word that is everywhere is some ten times as much work. Scores are the plan's constants,
// so that they are needed of the documents alone that are left in the end.
type matcher struct {
	segment *scorch.SegmentSnapshot
	columns *columns
	near    map[near][]string // the terms that are near
	dicts   map[string]segment.TermDictionary
}

// matches are the documents of a segment that match a node, deleted ones too.
type matches struct {
	docs  *roaring.Bitmap          // not to be changed: it may be the segment's
	score func(doc uint32) float64 // of a document among them; nil: 0
	most  float64                  // no score is higher
}

func (m matches) of(doc uint32) float64 {
	if m.score == nil {
		return 0
	}
	return m.score(doc)
}

// found are the documents that a plan finds, with scores.
func (m *matcher) found(p plan) (matches, error) {
	var all []matches
	if p.match != nil {
		scored, err := m.match(p.match)
		if err != nil {
			return matches{}, err
		}
		all = append(all, scored)
	}
	for _, f := range p.filters {
		filter, err := m.match(f)
		if err != nil {
			return matches{}, err
		}
		all = append(all, matches{docs: filter.docs})
	}
	found := roaring.New()
	if len(all) == 0 {
		found.AddRange(0, m.segment.Segment().Count())
	} else {
		found = roaring.FastAnd(sets(all)...)
	}
	for _, n := range p.not {
		not, err := m.match(n)
		if err != nil {
			return matches{}, err
		}
		found.AndNot(not.docs)
	}
	if deleted := m.segment.Deleted(); deleted != nil {
		found.AndNot(deleted)
	}
	if p.match == nil {
		return matches{docs: found}, nil
	}
	return matches{found, all[0].score, all[0].most}, nil
}

func (m *matcher) match(n node) (matches, error) {
	switch n := n.(type) {
	case term:
		docs, err := m.term(n)
		return matches{docs: docs}, err
	case anyTerm:
		return m.anyTerm(n.field, n.values)
	case near:
		return m.anyTerm(n.field, m.near[n])
	case within:
		docs, err := m.columns.within(m.segment, n)
		return matches{docs: docs}, err
	case worth:
		of, err := m.match(n.node)
		return matches{of.docs, func(uint32) float64 { return n.score }, n.score}, err
	case all:
		each, err := m.each(n)
		return matches{roaring.FastAnd(sets(each)...), summed(each), sumOfMost(each)}, err
	case best:
		return m.best(n)
	case some:
		each, err := m.each(n.nodes)
		return matches{atLeast(n.need, sets(each)), summed(each), sumOfMost(each)}, err
	case bonus:
		each, err := m.each(append([]node{n.node}, n.others...))
		if err != nil {
			return matches{}, err
		}
		return matches{each[0].docs, summed(each), sumOfMost(each)}, nil
	}
	return matches{}, fmt.Errorf("search: %T is no node of a plan", n)
}

func (m *matcher) each(nodes []node) ([]matches, error) {
	each := make([]matches, len(nodes))
	for i, n := range nodes {
		var err error
		if each[i], err = m.match(n); err != nil {
			return nil, err
		}
	}
	return each, nil
}

// best looks at the places that are worth most first.
func (m *matcher) best(n best) (matches, error) {
	each, err := m.each(n)
	if err != nil {
		return matches{}, err
	}
	slices.SortStableFunc(each, func(a, b matches) int { return cmp.Compare(b.most, a.most) })
	score := func(doc uint32) (highest float64) {
		for _, m := range each {
			if m.most <= highest {
				break
			}
			if m.docs.Contains(doc) {
				highest = max(highest, m.of(doc))
			}
		}
		return highest
	}
	return matches{roaring.FastOr(sets(each)...), score, each[0].most}, nil
}

func sets(each []matches) []*roaring.Bitmap {
	docs := make([]*roaring.Bitmap, len(each))
	for i, m := range each {
		docs[i] = m.docs
	}
	return docs
}

// summed adds up the scores of all that a document is among.
func summed(each []matches) func(doc uint32) float64 {
	scored := slices.DeleteFunc(slices.Clone(each), func(m matches) bool { return m.score == nil })
	return func(doc uint32) (sum float64) {
		for _, m := range scored {
			if m.docs.Contains(doc) {
				sum += m.score(doc)
			}
		}
		return sum
	}
}

func sumOfMost(each []matches) (sum float64) {
	for _, m := range each {
		sum += m.most
	}
	return sum
}

// atLeast is what is in need of the sets or more.
func atLeast(need int, sets []*roaring.Bitmap) *roaring.Bitmap {
	switch {
	case need == 1:
		return roaring.FastOr(sets...)
	case need == len(sets):
		return roaring.FastAnd(sets...)
	}
	in := make([]*roaring.Bitmap, need) // in[k] is what is in more than k of the sets so far
	for k := range in {
		in[k] = roaring.New()
	}
	for _, s := range sets {
		for k := need - 1; k > 0; k-- {
			in[k].Or(roaring.And(in[k-1], s))
		}
		in[0].Or(s)
	}
	return in[need-1]
}

// postings are a term's documents.
func (m *matcher) postings(field, value string) (segment.PostingsList, error) {
	dict, ok := m.dicts[field]
	if !ok {
		var err error
		if dict, err = m.segment.Segment().Dictionary(field); err != nil {
			return nil, err
		}
		m.dicts[field] = dict
	}
	return dict.PostingsList([]byte(value), nil, nil)
}

func (m *matcher) term(t term) (*roaring.Bitmap, error) {
	list, err := m.postings(t.field, t.value)
	if err != nil {
		return nil, err
	}
	return docsOf(list)
}

// docsOf is a list's own set, where it has one.
func docsOf(list segment.PostingsList) (*roaring.Bitmap, error) {
	if list.Count() == 0 {
		return roaring.New(), nil
	}
	docs := list.Iterator(false, false, false, nil)
	own, ok := docs.(segment.OptimizablePostingsIterator)
	if !ok {
		return nil, fmt.Errorf("search: bleve keeps documents in a %T", docs)
	}
	if one, ok := own.DocNum1Hit(); ok {
		return roaring.BitmapOf(uint32(one)), nil
	}
	return own.ActualBitmap(), nil
}

func (m *matcher) anyTerm(field string, values []string) (matches, error) {
	each := make([]*roaring.Bitmap, len(values))
	for i, value := range values {
		var err error
		if each[i], err = m.term(term{field, value}); err != nil {
			return matches{}, err
		}
	}
	return matches{docs: roaring.FastOr(each...)}, nil
}

// nears finds the terms that a plan's misspellings may mean, in all segments.
func nears(reader *scorch.IndexSnapshot, n node, found map[near][]string) error {
	switch n := n.(type) {
	case near:
		if _, ok := found[n]; ok {
			return nil
		}
		terms, err := nearTerms(reader, n)
		found[n] = terms
		return err
	case worth:
		return nears(reader, n.node, found)
	case all:
		return nearsOf(reader, n, found)
	case best:
		return nearsOf(reader, n, found)
	case some:
		return nearsOf(reader, n.nodes, found)
	case bonus:
		return nearsOf(reader, append([]node{n.node}, n.others...), found)
	}
	return nil
}

func nearsOf(reader *scorch.IndexSnapshot, nodes []node, found map[near][]string) error {
	for _, n := range nodes {
		if err := nears(reader, n, found); err != nil {
			return err
		}
	}
	return nil
}

func nearTerms(reader *scorch.IndexSnapshot, n near) (terms []string, err error) {
	first := []rune(n.value)[:1]
	dict, err := reader.FieldDictFuzzy(n.field, n.value, n.edits, string(first))
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := dict.Close(); err == nil {
			err = e
		}
	}()
	for {
		entry, err := dict.Next()
		if err != nil || entry == nil {
			return terms, err
		}
		terms = append(terms, entry.Term)
	}
}
