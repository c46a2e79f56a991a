package relay

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/DataDog/sketches-go/ddsketch"
)

// excess is what of a timer's values in an interval was too much to be kept one by
// one: a DDSketch, whose quantiles are within 0.5 % and which takes 32 KiB at the
// most. Its number, sum, lower and upper are exact.
type excess struct {
	sketch       *ddsketch.DDSketch
	n            int
	sum, squares float64
	lower, upper float64
}

// The sketch's relative error, and its bins: 4,096 of 1 % cover 17 decades.
const (
	sketchError = .005
	sketchBins  = 4096
)

func newExcess() *excess {
	s, err := ddsketch.LogCollapsingLowestDenseDDSketch(sketchError, sketchBins)
	if err != nil {
		panic(err) // only for an error outside (0, 1)
	}
	return &excess{sketch: s, lower: math.Inf(1), upper: math.Inf(-1)}
}

func (r *excess) add(v float64) {
	r.sketch.Add(v) // it refuses only what is beyond statsd.Max
	r.n++
	r.sum += v
	r.squares += v * v
	r.lower, r.upper = min(r.lower, v), max(r.upper, v)
}

func (r *excess) merge(o *excess) {
	r.sketch.MergeWith(o.sketch) // it refuses only another kind of sketch
	r.n += o.n
	r.sum += o.sum
	r.squares += o.squares
	r.lower, r.upper = min(r.lower, o.lower), max(r.upper, o.upper)
}

// distribution is a timer's interval, to be computed: the values, and the rest,
// nil if there is none.
type distribution struct {
	values []float64
	weight float64 // the sum of all weights: etsy's count
	rest   *excess
}

// stat is one number about a timer, by its name in Graphite.
type stat struct {
	name  string
	value float64
}

// percentile is one of Config.Percentiles with the names of its numbers.
type percentile struct {
	share                            float64 // from 0 to 1
	top                              bool    // counted from the greatest
	count, mean, bound, sum, squares string
}

// newPercentile names the numbers as etsy's statsd does: 99.9 is upper_99_9,
// -5 is lower_top5.
func newPercentile(p float64) percentile {
	text := strconv.FormatFloat(p, 'f', -1, 64)
	text = strings.Replace(strings.Replace(text, ".", "_", 1), "-", "top", 1)
	bound := "upper_"
	if p < 0 {
		bound = "lower_"
	}
	return percentile{math.Abs(p) / 100, p < 0, "count_" + text, "mean_" + text, bound + text, "sum_" + text, "sum_squares_" + text}
}

// stats appends the numbers of d's interval, as etsy's statsd computes them
// (lib/process_metrics.js), in its order of additions. It sorts d's values.
// Without values there is only a count of zero.
func (d *distribution) stats(to []stat, ps []percentile, seconds float64) []stat {
	if d.rest != nil {
		return d.sketchStats(to, ps, seconds)
	}
	n := len(d.values)
	if n == 0 {
		return append(to, stat{"count", 0}, stat{"count_ps", 0})
	}
	slices.Sort(d.values)
	sum, squares := sums(d.values)
	for _, p := range ps {
		to = p.append(to, d.values, sum, squares)
	}
	mean := sum / float64(n)
	var diffs float64
	for _, v := range d.values {
		diffs += (v - mean) * (v - mean)
	}
	median := d.values[n/2]
	if n%2 == 0 {
		median = (d.values[n/2-1] + d.values[n/2]) / 2
	}
	return append(to,
		stat{"std", math.Sqrt(diffs / float64(n))},
		stat{"upper", d.values[n-1]},
		stat{"lower", d.values[0]},
		stat{"count", d.weight},
		stat{"count_ps", d.weight / seconds},
		stat{"sum", sum},
		stat{"sum_squares", squares},
		stat{"mean", mean},
		stat{"median", median},
	)
}

func sums(values []float64) (sum, squares float64) {
	for _, v := range values {
		sum += v
		squares += v * v
	}
	return sum, squares
}

// append adds the numbers of p over sorted values: nearest rank, rounded half up.
func (p percentile) append(to []stat, values []float64, sum, squares float64) []stat {
	n := len(values)
	within := n
	if n > 1 {
		within = int(math.Floor(p.share*float64(n) + .5))
	}
	if within == 0 {
		return to
	}
	bound := values[within-1]
	if p.top {
		bound = values[n-within]
		below, squaresBelow := sums(values[:n-within])
		sum, squares = sum-below, squares-squaresBelow
	} else if within < n {
		sum, squares = sums(values[:within])
	}
	return append(to,
		stat{p.count, float64(within)},
		stat{p.mean, sum / float64(within)},
		stat{p.bound, bound},
		stat{p.sum, sum},
		stat{p.squares, squares},
	)
}

// bin is a value and how many there are of it.
type bin struct {
	value float64
	count float64
}

// sketchStats computes the same numbers from the sketch's bins, with the values in it.
func (d *distribution) sketchStats(to []stat, ps []percentile, seconds float64) []stat {
	r := d.rest
	for _, v := range d.values {
		r.add(v)
	}
	var bins []bin
	r.sketch.ForEach(func(value, count float64) bool {
		bins = append(bins, bin{value, count})
		return false
	})
	slices.SortFunc(bins, func(a, b bin) int { return cmp.Compare(a.value, b.value) })
	n := float64(r.n)
	for _, p := range ps {
		to = p.appendBins(to, bins, n, r.sum, r.squares)
	}
	mean := r.sum / n
	_, _, low := walk(bins, math.Ceil(n/2))
	_, _, high := walk(bins, math.Floor(n/2)+1)
	return append(to,
		stat{"std", math.Sqrt(max(0, r.squares/n-mean*mean))},
		stat{"upper", r.upper},
		stat{"lower", r.lower},
		stat{"count", d.weight},
		stat{"count_ps", d.weight / seconds},
		stat{"sum", r.sum},
		stat{"sum_squares", r.squares},
		stat{"mean", mean},
		stat{"median", (low + high) / 2},
	)
}

func (p percentile) appendBins(to []stat, bins []bin, n, total, totalSquares float64) []stat {
	within := n
	if n > 1 {
		within = math.Floor(p.share*n + .5)
	}
	if within == 0 {
		return to
	}
	sum, squares, bound := walk(bins, within)
	if p.top {
		below, squaresBelow, _ := walk(bins, n-within)
		_, _, bound = walk(bins, n-within+1)
		sum, squares = total-below, totalSquares-squaresBelow
	}
	return append(to,
		stat{p.count, within},
		stat{p.mean, sum / within},
		stat{p.bound, bound},
		stat{p.sum, sum},
		stat{p.squares, squares},
	)
}

// walk sums the n least values, and returns the greatest of them.
func walk(bins []bin, n float64) (sum, squares, bound float64) {
	for _, b := range bins {
		if n <= 0 {
			break
		}
		k := min(n, b.count)
		sum += k * b.value
		squares += k * b.value * b.value
		bound = b.value
		n -= k
	}
	return sum, squares, bound
}

// bins is a HistogramRule with the names of its numbers.
type bins struct {
	metric string
	limits []float64
	names  []string
}

// newBins names the numbers as etsy's statsd does: histogram.bin_0_5, histogram.bin_inf.
func newBins(r HistogramRule) bins {
	b := bins{metric: r.Metric, limits: r.Bins}
	for _, limit := range r.Bins {
		text := "inf"
		if !math.IsInf(limit, 1) {
			text = strings.Replace(strconv.FormatFloat(limit, 'f', -1, 64), ".", "_", 1)
		}
		b.names = append(b.names, "histogram.bin_"+text)
	}
	return b
}

// count appends how many values are in each bin. It comes behind stats, which sorts
// them; of an interval without values there is none.
func (d *distribution) count(to []stat, b bins) []stat {
	if d.rest == nil && len(d.values) == 0 {
		return to
	}
	before := 0.0
	for i, limit := range b.limits {
		n := d.below(limit)
		to = append(to, stat{b.names[i], n - before})
		before = n
	}
	return to
}

// below is how many values are less than limit.
func (d *distribution) below(limit float64) (n float64) {
	if d.rest == nil {
		at, _ := slices.BinarySearch(d.values, limit)
		return float64(at)
	}
	d.rest.sketch.ForEach(func(value, count float64) bool {
		if value < limit {
			n += count
		}
		return false
	})
	return n
}
