package search

import (
	"fmt"
	"math"
	"sync"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/blevesearch/bleve/v2/index/scorch"
	"github.com/blevesearch/bleve/v2/numeric"
	segment "github.com/blevesearch/scorch_segment_api/v2"
)

// columns keeps the numbers of segments' documents in memory, as they are first asked for:
// bleve reads a document's in a third of a microsecond, and a search may look at all there
// are. A segment never changes, but for its end. 300,000 documents have 2.4 MB for each
// number that is in use.
type columns struct {
	mu   sync.Mutex
	kept map[columnKey]*column
}

type columnKey struct {
	segment uint64
	field   string
}

// column is one field of a segment's documents. Of numbers and texts it has one kind.
type column struct {
	once    sync.Once
	err     error
	numbers []int64 // as sortable makes them of floats; missing where there is none
	texts   []byte
	ends    []uint32 // of each document's text in texts
}

// missing is no float's number.
const missing = math.MinInt64

func newColumns() *columns { return &columns{kept: map[columnKey]*column{}} }

// forget drops the columns of segments that are no more.
func (c *columns) forget(live []*scorch.SegmentSnapshot) {
	ids := map[uint64]bool{}
	for _, s := range live {
		ids[s.Id()] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.kept {
		if !ids[key.segment] {
			delete(c.kept, key)
		}
	}
}

// of reads a column, unless it has been.
func (c *columns) of(s *scorch.SegmentSnapshot, field string) (*column, error) {
	key := columnKey{s.Id(), field}
	c.mu.Lock()
	col := c.kept[key]
	if col == nil {
		col = &column{}
		c.kept[key] = col
	}
	c.mu.Unlock()
	col.once.Do(func() { col.err = col.read(s.Segment(), field) })
	return col, col.err
}

func (c *column) read(s segment.Segment, field string) error {
	values, ok := s.(segment.DocValueVisitable)
	if !ok {
		return fmt.Errorf("search: bleve keeps no values in a %T", s)
	}
	n := s.Count()
	take := func(_ string, value []byte) { c.texts = append(c.texts, value...) }
	if field == orderName {
		c.ends = make([]uint32, n)
	} else {
		c.numbers = make([]int64, n)
	}
	var doc uint64
	if c.numbers != nil {
		take = func(_ string, value []byte) {
			if number, err := numeric.PrefixCoded(value).Int64(); err == nil {
				c.numbers[doc] = number
			}
		}
	}
	fields := []string{sortKey(field)}
	var at segment.DocVisitState
	for ; doc < n; doc++ {
		if c.numbers != nil {
			c.numbers[doc] = missing
		}
		var err error
		if at, err = values.VisitDocValues(doc, fields, take, at); err != nil {
			return err
		}
		if c.ends != nil {
			c.ends[doc] = uint32(len(c.texts))
		}
	}
	return nil
}

func (c *column) text(doc uint32) []byte {
	from := uint32(0)
	if doc > 0 {
		from = c.ends[doc-1]
	}
	return c.texts[from:c.ends[doc]]
}

func (c *column) float(doc uint32) float64 { return numeric.Int64ToFloat64(c.numbers[doc]) }

// within are the documents whose number is.
func (c *columns) within(s *scorch.SegmentSnapshot, n within) (*roaring.Bitmap, error) {
	col, err := c.of(s, n.field)
	if err != nil {
		return nil, err
	}
	low, high := numeric.Float64ToInt64(n.low), numeric.Float64ToInt64(n.high)
	docs := roaring.New()
	var some [256]uint32
	k := 0
	for doc, number := range col.numbers {
		if number != missing && low <= number && number <= high {
			some[k] = uint32(doc)
			if k++; k == len(some) {
				docs.AddMany(some[:])
				k = 0
			}
		}
	}
	docs.AddMany(some[:k])
	return docs, nil
}
