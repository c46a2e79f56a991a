package relay

import (
	"math"
	"slices"

	dto "github.com/prometheus/client_model/go"
)

// histogram is a Prometheus histogram, classic and native in one, that can be
// merged and whose samples have weights, which client_golang's can't. It holds
// only the buckets that have samples: of a key with five samples, 40 bytes.
type histogram struct {
	rule    *rule
	buckets []bucket // in order of their places, and so of their values
	value   float64  // the sum of the samples; of a counter or gauge the value itself
	carry   float32  // weights are no whole numbers: what is left of them
	shift   uint8    // the native schema is finest less shift
}

// bucket is where a native and a classic bucket meet. One that is full has a second
// of the same place before it.
type bucket struct {
	place uint32 // the native bucket's rank, then classicBits of the classic bucket's index
	count uint32
}

const (
	// finest is Prometheus's finest native schema, of 256 buckets in each power of
	// two; all others are made of it.
	finest = 8
	// coarsest is how often finest can be halved: to schema -4.
	coarsest = finest + 4
	// classicBits are enough for maxBounds and what is above them.
	classicBits = 11
	maxBounds   = 1<<classicBits - 1
	// zeroRank is the native bucket around zero; those of positive values are above
	// it, those of negative ones below. Floats have indexes from -274,943 to
	// 262,144 in finest, which rankBias makes positive.
	zeroRank = 1 << 20
	rankBias = 1 << 19
	// zeroWidth is client_golang's default.
	zeroWidth = 2.938735877055719e-39
	// maxWeight is how many samples one can stand for, or buckets would have no bound:
	// nobody samples one in more than a million.
	maxWeight = 1e6
	// maxBuckets is when a histogram starts anew, as it would with the process: after
	// some 10^13 samples. It is more than one rule's buckets can be.
	maxBuckets = 8192
)

// plainBuckets are for what has no unit that we know: three in each decade.
var plainBuckets = []float64{
	.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 20, 50, 100, 200, 500,
	1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 1e7, 1e8, 1e9,
}

// newHistogram is for what a shard can't hold one by one: milliseconds, which it
// turns into seconds, or plain numbers.
func newHistogram(plain bool) *histogram {
	r := &spilledTimes
	if plain {
		r = &spilledPlain
	}
	return &histogram{rule: r, shift: r.shift}
}

// observe adds a value, weight times: with a sample rate of 0.3, three times and
// every third time once more.
func (h *histogram) observe(value, weight float64) {
	if n := h.times(weight); n > 0 {
		h.insert(h.rule.shown(value, h.rule.plain), n)
	}
}

// times is how often a sample of that weight counts.
func (h *histogram) times(weight float64) uint64 {
	all := float64(h.carry) + min(weight, maxWeight)
	n := math.Floor(all + 1e-4) // 1/0.1 is a little more than 10 at times, or less
	h.carry = float32(all - n)
	return uint64(n)
}

// insert adds v, in the histogram's unit, n times.
func (h *histogram) insert(v float64, n uint64) {
	h.value += v * float64(n)
	if h.increase(h.rule.place(v, h.shift), n) {
		h.bound()
	}
}

// place is where v belongs after shift halvings of the resolution.
func (r *rule) place(v float64, shift uint8) uint32 {
	rank := uint32(zeroRank)
	if a := math.Abs(v); r.native && a > zeroWidth {
		rank = rankOf(widen(nativeIndex(a), shift), v > 0)
	}
	return rank<<classicBits | uint32(below(r.bounds, v))
}

func rankOf(index int32, positive bool) uint32 {
	if positive {
		return uint32(zeroRank + 1 + rankBias + index)
	}
	return uint32(zeroRank - 1 - rankBias - index)
}

// native is the index of the native bucket, and the sign of the values in it: 0
// for the bucket around zero.
func (b bucket) native() (index int32, sign int) {
	switch rank := int32(b.place >> classicBits); {
	case rank > zeroRank:
		return rank - zeroRank - 1 - rankBias, 1
	case rank < zeroRank:
		return zeroRank - 1 - rankBias - rank, -1
	}
	return 0, 0
}

// classic is the index of the classic bucket.
func (b bucket) classic() int { return int(b.place & (1<<classicBits - 1)) }

// below counts the bounds that are below v.
func below(bounds []float64, v float64) int {
	low, high := 0, len(bounds)
	for low < high {
		if mid := (low + high) / 2; bounds[mid] < v {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

// fractions are the upper bounds of finest's buckets in [0.5, 1), where
// math.Frexp puts every number.
var fractions = func() (f [1 << finest]float64) {
	for i := range f {
		f[i] = math.Exp2(float64(i)/(1<<finest) - 1)
	}
	return f
}()

// nativeIndex is the index of v > 0 among finest's buckets: values in
// (2^((index-1)/256), 2^(index/256)].
func nativeIndex(v float64) int32 {
	fraction, exponent := math.Frexp(v)
	at := int32(starts[math.Float64bits(fraction)>>(52-startBits)&(1<<startBits-1)])
	for at < int32(len(fractions)) && fractions[at] < fraction { // once or twice
		at++
	}
	return at + int32(exponent-1)<<finest
}

// startBits are enough to tell parts of [0.5, 1) apart that are narrower than any bucket.
const startBits = finest + 1

// starts are below's answers for the beginnings of those parts.
var starts = func() (s [1 << startBits]uint16) {
	for i := range s {
		s[i] = uint16(below(fractions[:], .5+float64(i)/(2<<startBits)))
	}
	return s
}()

// widen turns an index into that of the bucket it is in after shift halvings of
// the resolution.
func widen(index int32, shift uint8) int32 {
	return (index + 1<<shift - 1) >> shift
}

// increase adds n to a bucket, and tells whether it made one.
func (h *histogram) increase(place uint32, n uint64) (made bool) {
	at := h.seek(place)
	ok := at < len(h.buckets) && h.buckets[at].place == place
	for {
		if !ok {
			h.open(at, place)
			made = true
		}
		b := &h.buckets[at]
		k := min(n, uint64(math.MaxUint32-b.count))
		b.count += uint32(k)
		if n -= k; n == 0 {
			return made
		}
		ok = false
	}
}

// seek is where the first bucket is that is not before place. For a timer it is asked
// for every value; slices.BinarySearchFunc takes twice as long.
func (h *histogram) seek(place uint32) int {
	low, high := 0, len(h.buckets)
	for low < high {
		if mid := (low + high) / 2; h.buckets[mid].place < place {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

// open makes room for a bucket. Most keys have few, so it takes little in advance.
func (h *histogram) open(at int, place uint32) {
	if len(h.buckets) == cap(h.buckets) {
		h.buckets = append(slices.Grow([]bucket(nil), len(h.buckets)+1+len(h.buckets)/4), h.buckets...)
	}
	h.buckets = slices.Insert(h.buckets, at, bucket{place: place})
}

// bound keeps the number of native buckets bounded.
func (h *histogram) bound() {
	for h.rule.native && len(h.buckets) > h.rule.max && h.shift < coarsest && h.natives() > h.rule.max {
		h.coarser(h.shift + 1)
	}
}

// natives counts the native buckets, without that around zero.
func (h *histogram) natives() (n int) {
	before := uint32(zeroRank)
	for _, b := range h.buckets {
		if rank := b.place >> classicBits; rank != before && rank != zeroRank {
			n++
			before = rank
		}
	}
	return n
}

// coarser lowers the resolution to what shift stands for.
func (h *histogram) coarser(shift uint8) {
	if shift <= h.shift {
		return
	}
	by := shift - h.shift
	h.shift = shift
	old := h.buckets
	h.buckets = h.buckets[:0] // what is written never overtakes what is read
	for _, b := range old {
		place := b.wider(by)
		if n := len(h.buckets); n > 0 && h.buckets[n-1].place == place && uint64(h.buckets[n-1].count)+uint64(b.count) <= math.MaxUint32 {
			h.buckets[n-1].count += b.count
			continue
		}
		h.buckets = append(h.buckets, bucket{place, b.count})
	}
}

// wider is the bucket's place after by more halvings.
func (b bucket) wider(by uint8) uint32 {
	index, sign := b.native()
	if sign == 0 {
		return b.place
	}
	return rankOf(widen(index, by), sign > 0)<<classicBits | uint32(b.classic())
}

// count is how many samples there are.
func (h *histogram) count() (n uint64) {
	for _, b := range h.buckets {
		n += uint64(b.count)
	}
	return n
}

// merge adds what o holds. It is exact if both have the same classic buckets and
// o's native ones are no wider than h's may be; if not, each value is taken for
// the middle of its bucket.
func (h *histogram) merge(o *histogram) { h.mergeScaled(o, 1) }

// mergeScaled merges what o's values come to with a mapping's scale.
func (h *histogram) mergeScaled(o *histogram, scale float64) {
	same := scale == 1 && slices.Equal(h.rule.bounds, o.rule.bounds) && (o.rule.native || !h.rule.native)
	if same && h.rule.native {
		h.coarser(o.shift)
	}
	for _, b := range o.buckets {
		place := b.place
		switch {
		case !same:
			place = h.rule.place(o.middle(b)*scale, h.shift)
		case h.rule.native:
			place = b.wider(h.shift - o.shift)
		default:
			place = zeroRank<<classicBits | uint32(b.classic())
		}
		h.increase(place, uint64(b.count))
	}
	h.value += o.value * scale
	h.carry += o.carry
	h.bound()
}

// middle is a value of the bucket, from the middle of its native bucket but within
// its classic one.
func (h *histogram) middle(b bucket) float64 {
	index, sign := b.native()
	v := 0.0
	if sign != 0 {
		// Twice lower times upper by lower and upper, as DDSketch has it, has the
		// least relative error.
		width := math.Exp2(math.Exp2(float64(h.shift) - finest))
		v = float64(sign) * math.Exp2(float64(index)*math.Exp2(float64(h.shift)-finest)) * 2 / (1 + width)
	}
	bounds, at := h.rule.bounds, b.classic()
	if at < len(bounds) {
		v = min(v, bounds[at])
	}
	if at > 0 && at <= len(bounds) {
		v = max(v, math.Nextafter(bounds[at-1], math.Inf(1)))
	}
	return v
}

// draw renders h as Prometheus's protobuf does, into d, whose memory it uses.
func (h *histogram) draw(d *dto.Histogram) {
	set(&d.SampleCount, h.count())
	set(&d.SampleSum, h.value)
	h.drawClassic(d)
	d.PositiveSpan, d.PositiveDelta = d.PositiveSpan[:0], d.PositiveDelta[:0]
	d.NegativeSpan, d.NegativeDelta = d.NegativeSpan[:0], d.NegativeDelta[:0]
	d.Schema, d.ZeroThreshold, d.ZeroCount = nil, nil, nil
	if h.rule.native {
		h.drawNative(d)
	}
}

func (h *histogram) drawClassic(d *dto.Histogram) {
	d.Bucket = resize(d.Bucket, len(h.rule.bounds))
	var total uint64
	rest := h.buckets
	for i := range h.rule.bounds {
		for len(rest) > 0 && rest[0].classic() <= i {
			total += uint64(rest[0].count)
			rest = rest[1:]
		}
		d.Bucket[i].UpperBound = &h.rule.bounds[i]
		set(&d.Bucket[i].CumulativeCount, total)
	}
}

func (h *histogram) drawNative(d *dto.Histogram) {
	set(&d.Schema, finest-int32(h.shift))
	set(&d.ZeroThreshold, zeroWidth)
	var zero uint64
	positive := runs{spans: d.PositiveSpan, deltas: d.PositiveDelta}
	negative := runs{spans: d.NegativeSpan, deltas: d.NegativeDelta}
	for _, b := range h.buckets {
		switch index, sign := b.native(); sign {
		case 1:
			positive.add(index, b.count)
		case 0:
			zero += uint64(b.count)
		}
	}
	for _, b := range slices.Backward(h.buckets) {
		if index, sign := b.native(); sign < 0 {
			negative.add(index, b.count)
		}
	}
	set(&d.ZeroCount, zero)
	d.PositiveSpan, d.PositiveDelta = positive.end()
	d.NegativeSpan, d.NegativeDelta = negative.end()
	if len(d.PositiveSpan)+len(d.NegativeSpan) == 0 {
		// Without a span it would be read as a classic histogram only.
		d.PositiveSpan = resize(d.PositiveSpan, 1)
		set(&d.PositiveSpan[0].Offset, 0)
		set(&d.PositiveSpan[0].Length, 0)
	}
}

// runs encodes buckets as runs of such that follow each other, and their counts
// as differences.
type runs struct {
	spans  []*dto.BucketSpan
	deltas []int64
	next   int32 // the index that would go on the run
	count  uint64
	before uint64
}

// add adds to the bucket at index, the last one or one after it.
func (r *runs) add(index int32, n uint32) {
	if len(r.spans) > 0 && index == r.next-1 {
		r.count += uint64(n)
		return
	}
	r.close()
	if len(r.spans) == 0 || index != r.next {
		r.spans = resize(r.spans, len(r.spans)+1)
		last := r.spans[len(r.spans)-1]
		set(&last.Offset, index-r.next)
		set(&last.Length, 0)
	}
	*r.spans[len(r.spans)-1].Length++
	r.next, r.count = index+1, uint64(n)
}

// close notes the count of the last bucket.
func (r *runs) close() {
	if len(r.spans) > 0 {
		r.deltas = append(r.deltas, int64(r.count-r.before))
		r.before = r.count
	}
}

func (r *runs) end() ([]*dto.BucketSpan, []int64) {
	r.close()
	return r.spans, r.deltas
}

// resize makes all n long, with the elements that it has or once had.
func resize[T any](all []*T, n int) []*T {
	all = slices.Grow(all, max(0, n-len(all)))[:n]
	for i, v := range all {
		if v == nil {
			all[i] = new(T)
		}
	}
	return all
}

// set sets an optional field of a protobuf message, in the memory that it has.
func set[T any](field **T, v T) {
	if *field == nil {
		*field = new(T)
	}
	**field = v
}
