package relay

import (
	"math"
	"slices"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"

	"addons/server/metrics"
)

// histogram is a Prometheus histogram, classic and native in one, that can be
// merged and whose samples have weights, which client_golang's can't.
type histogram struct {
	plain  bool      // values are not milliseconds
	bounds []float64 // the classic buckets' upper bounds

	classic  []uint64 // one more than bounds
	count    uint64
	sum      float64
	carry    float64 // weights are no whole numbers: what is left of them
	zero     uint64
	shift    int // native schema 3 at first, less one for each shift
	positive []bucket
	negative []bucket
}

// bucket is one native bucket: values in (2^((index-1)/2^schema), 2^(index/2^schema)].
type bucket struct {
	index int32
	count uint64
}

const (
	// schema 3 has 8 buckets in each power of two, 9 % wide: the factor of 1.1 that
	// the rest of the platform has.
	schema = 3
	// maxBuckets is when they are made twice as wide.
	maxBuckets = 160
	// zeroWidth is client_golang's default.
	zeroWidth = 2.938735877055719e-39
)

// plainBuckets are for what has no unit that we know: three in each decade.
var plainBuckets = []float64{
	.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 20, 50, 100, 200, 500,
	1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 1e7, 1e8, 1e9,
}

// newHistogram is for milliseconds, which it turns into seconds, or for plain numbers.
func newHistogram(plain bool) *histogram {
	h := &histogram{plain: plain, bounds: metrics.DurationBuckets}
	if plain {
		h.bounds = plainBuckets
	}
	h.classic = make([]uint64, len(h.bounds)+1)
	return h
}

// observe adds a value, weight times: with a sample rate of 0.3, three times and
// every third time once more.
func (h *histogram) observe(value, weight float64) {
	h.carry += weight
	times := uint64(h.carry + 1e-9) // 1/0.1 is a little more than 10 at times, or less
	h.carry -= float64(times)
	if times == 0 {
		return
	}
	v := value
	if !h.plain {
		v /= 1000
	}
	at, _ := slices.BinarySearch(h.bounds, v)
	h.classic[at] += times
	h.count += times
	h.sum += v * float64(times)
	switch index := nativeIndex(math.Abs(v)); {
	case math.Abs(v) <= zeroWidth:
		h.zero += times
	case v > 0:
		h.positive = increase(h.positive, widen(index, h.shift), times)
	default:
		h.negative = increase(h.negative, widen(index, h.shift), times)
	}
	h.bound()
}

// fractions are the upper bounds of schema's buckets in [0.5, 1), where
// math.Frexp puts every number.
var fractions = func() (f [1 << schema]float64) {
	for i := range f {
		f[i] = math.Exp2(float64(i)/(1<<schema) - 1)
	}
	return f
}()

// nativeIndex is the index of v > 0 among schema's buckets.
func nativeIndex(v float64) int32 {
	fraction, exponent := math.Frexp(v)
	i, _ := slices.BinarySearch(fractions[:], fraction)
	return int32(i + (exponent-1)*len(fractions))
}

// widen turns an index of schema into that of the bucket it is in after shift
// halvings of the resolution.
func widen(index int32, shift int) int32 {
	return (index + 1<<shift - 1) >> shift
}

// increase adds n to the bucket with the index, in order.
func increase(buckets []bucket, index int32, n uint64) []bucket {
	at, ok := slices.BinarySearchFunc(buckets, index, func(b bucket, i int32) int { return int(b.index) - int(i) })
	if !ok {
		buckets = slices.Insert(buckets, at, bucket{index: index})
	}
	buckets[at].count += n
	return buckets
}

// bound keeps the number of buckets bounded.
func (h *histogram) bound() {
	for len(h.positive)+len(h.negative) > maxBuckets {
		h.coarser(h.shift + 1)
	}
}

// coarser lowers the resolution to what shift stands for.
func (h *histogram) coarser(shift int) {
	by := shift - h.shift
	if by <= 0 {
		return
	}
	h.shift = shift
	h.positive, h.negative = halve(h.positive, by), halve(h.negative, by)
}

func halve(buckets []bucket, by int) []bucket {
	var wide []bucket
	for _, b := range buckets {
		index := widen(b.index, by)
		if n := len(wide); n > 0 && wide[n-1].index == index {
			wide[n-1].count += b.count
			continue
		}
		wide = append(wide, bucket{index, b.count})
	}
	return wide
}

// merge adds what o holds.
func (h *histogram) merge(o *histogram) {
	if h.plain != o.plain {
		h.convert(o)
		return
	}
	for i, n := range o.classic {
		h.classic[i] += n
	}
	h.count += o.count
	h.sum += o.sum
	h.carry += o.carry
	h.zero += o.zero
	h.coarser(o.shift)
	for _, b := range o.positive {
		h.positive = increase(h.positive, widen(b.index, h.shift-o.shift), b.count)
	}
	for _, b := range o.negative {
		h.negative = increase(h.negative, widen(b.index, h.shift-o.shift), b.count)
	}
	h.bound()
}

// convert adds what o holds in the other unit, each value as its native bucket's
// upper bound. It is for keys that are sent both as ms and as h, very often.
func (h *histogram) convert(o *histogram) {
	unit := 1000.0
	if o.plain {
		unit = 1
	}
	each := func(buckets []bucket, sign float64) {
		for _, b := range buckets {
			bound := math.Exp2(float64(b.index) / math.Exp2(float64(schema-o.shift)))
			h.observe(sign*bound*unit, float64(b.count))
		}
	}
	each(o.positive, 1)
	each(o.negative, -1)
	h.observe(0, float64(o.zero))
}

// proto renders h as Prometheus's protobuf does, with classic and native buckets.
func (h *histogram) proto() *dto.Histogram {
	d := &dto.Histogram{
		SampleCount: proto.Uint64(h.count), SampleSum: proto.Float64(h.sum),
		Schema: proto.Int32(int32(schema - h.shift)), ZeroThreshold: proto.Float64(zeroWidth), ZeroCount: proto.Uint64(h.zero),
	}
	var total uint64
	for i, bound := range h.bounds {
		total += h.classic[i]
		d.Bucket = append(d.Bucket, &dto.Bucket{UpperBound: proto.Float64(bound), CumulativeCount: proto.Uint64(total)})
	}
	d.PositiveSpan, d.PositiveDelta = spans(h.positive)
	d.NegativeSpan, d.NegativeDelta = spans(h.negative)
	if len(d.PositiveSpan)+len(d.NegativeSpan) == 0 {
		// Without a span it would be read as a classic histogram only.
		d.PositiveSpan = []*dto.BucketSpan{{Offset: proto.Int32(0), Length: proto.Uint32(0)}}
	}
	return d
}

// spans encodes buckets as runs, and their counts as differences.
func spans(buckets []bucket) (runs []*dto.BucketSpan, deltas []int64) {
	var next int32
	var before uint64
	for _, b := range buckets {
		if len(runs) == 0 || b.index != next {
			runs = append(runs, &dto.BucketSpan{Offset: proto.Int32(b.index - next), Length: proto.Uint32(0)})
		}
		*runs[len(runs)-1].Length++
		next = b.index + 1
		deltas = append(deltas, int64(b.count-before))
		before = b.count
	}
	return runs, deltas
}
