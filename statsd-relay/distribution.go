package relay

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/DataDog/sketches-go/ddsketch"
)

// distribution holds the values of a timer since the last flush: each of them,
// until there are more than may be kept; then a DDSketch of the rest, whose
// quantiles are within 1 % and which takes 16 KiB at the most. Count, sum, lower
// and upper are exact in any case. The zero value is ready.
type distribution struct {
	values  []float64
	weights []float64 // 1/rate of each of the values; nil while all are 1
	weight  float64   // the sum of all weights: etsy's count

	sketch       *ddsketch.DDSketch // nil until values did not suffice
	sketched     int                // values in it
	sum, squares float64            // of those
	lower, upper float64            // of those
}

// The sketch's relative error, and its bins: 2,048 of 2 % cover 17 decades.
const (
	sketchError = .01
	sketchBins  = 2048
)

func (d *distribution) add(value, weight float64) {
	if weight != 1 && d.weights == nil {
		d.weights = slices.Grow(d.weights, len(d.values)+1)
		for range d.values {
			d.weights = append(d.weights, 1)
		}
	}
	d.values = append(d.values, value)
	if d.weights != nil {
		d.weights = append(d.weights, weight)
	}
	d.weight += weight
}

// each calls f with every value that is not yet in the sketch, and its weight.
func (d *distribution) each(f func(value, weight float64)) {
	for i, v := range d.values {
		w := 1.0
		if d.weights != nil {
			w = d.weights[i]
		}
		f(v, w)
	}
}

// spill moves the values to the sketch and returns how many they were.
func (d *distribution) spill() int {
	n := len(d.values)
	if n == 0 {
		return 0
	}
	if d.sketch == nil {
		d.sketch = newSketch()
		d.lower, d.upper = d.values[0], d.values[0]
	}
	for _, v := range d.values {
		d.sketch.Add(v) // it refuses only what is beyond statsd.Max
		d.sum += v
		d.squares += v * v
		d.lower, d.upper = min(d.lower, v), max(d.upper, v)
	}
	d.sketched += n
	d.values = d.values[:0]
	d.weights = nil
	return n
}

func newSketch() *ddsketch.DDSketch {
	s, err := ddsketch.LogCollapsingLowestDenseDDSketch(sketchError, sketchBins)
	if err != nil {
		panic(err) // only for an error outside (0, 1)
	}
	return s
}

// merge adds what o holds. limit is how many values d may hold; it returns how
// many went to the sketch because of it.
func (d *distribution) merge(o *distribution, limit int) (sketched int) {
	weight := d.weight + o.weight
	if o.sketch != nil {
		sketched += d.spill()
		d.mergeSketch(o)
	}
	if len(d.values)+len(o.values) > limit {
		sketched += d.spill()
	}
	o.each(d.add)
	d.weight = weight
	return sketched
}

func (d *distribution) mergeSketch(o *distribution) {
	if d.sketch == nil {
		d.sketch = newSketch()
		d.lower, d.upper = o.lower, o.upper
	}
	d.sketch.MergeWith(o.sketch) // it refuses only another kind of sketch
	d.sketched += o.sketched
	d.sum += o.sum
	d.squares += o.squares
	d.lower, d.upper = min(d.lower, o.lower), max(d.upper, o.upper)
}

// reset empties d; it keeps room for as many values as came this time.
func (d *distribution) reset() {
	values := d.values[:0]
	if cap(values) > 64 && cap(values) > 4*len(d.values) {
		values = nil
	}
	*d = distribution{values: values}
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
	if d.sketch != nil {
		return d.sketchStats(to, ps, seconds)
	}
	n := len(d.values)
	if n == 0 {
		return append(to, stat{"count", 0}, stat{"count_ps", 0})
	}
	slices.Sort(d.values)
	d.weights = nil // no longer in the order of the values
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

// sketchStats computes the same numbers from the sketch's bins.
func (d *distribution) sketchStats(to []stat, ps []percentile, seconds float64) []stat {
	d.spill()
	var bins []bin
	d.sketch.ForEach(func(value, count float64) bool {
		bins = append(bins, bin{value, count})
		return false
	})
	slices.SortFunc(bins, func(a, b bin) int {
		if a.value < b.value {
			return -1
		}
		return 1
	})
	n := float64(d.sketched)
	for _, p := range ps {
		to = p.appendBins(to, bins, n, d.sum, d.squares)
	}
	mean := d.sum / n
	_, _, low := walk(bins, math.Ceil(n/2))
	_, _, high := walk(bins, math.Floor(n/2)+1)
	return append(to,
		stat{"std", math.Sqrt(max(0, d.squares/n-mean*mean))},
		stat{"upper", d.upper},
		stat{"lower", d.lower},
		stat{"count", d.weight},
		stat{"count_ps", d.weight / seconds},
		stat{"sum", d.sum},
		stat{"sum_squares", d.squares},
		stat{"mean", mean},
		stat{"median", (low + high) / 2},
	)
}

func (p percentile) appendBins(to []stat, bins []bin, n, total, totalSquares float64) []stat {
	within := math.Floor(p.share*n + .5)
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
