package relay

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// quantileBound is what percentiles of more samples than are kept may be off by.
const quantileBound = .01

// TestPercentilesAreExactOrWithinTheBound takes a service's usual times, times with
// a heavy tail, and those of a cache that hits or misses: as many as are kept, and
// far more.
func TestPercentilesAreExactOrWithinTheBound(t *testing.T) {
	t.Parallel()
	const kept = 10_000
	for name, sample := range map[string]func(*rand.Rand) float64{
		"lognormal": func(rng *rand.Rand) float64 { return math.Exp(4 + rng.NormFloat64()) },
		"pareto":    func(rng *rand.Rand) float64 { return 10 / math.Pow(1-rng.Float64(), 1/1.5) },
		"bimodal": func(rng *rand.Rand) float64 {
			if rng.IntN(10) < 7 {
				return max(.1, 5+rng.NormFloat64())
			}
			return max(.1, 400+80*rng.NormFloat64())
		},
	} {
		for n, bound := range map[int]float64{1: 0, 2: 0, 999: 0, kept: 0, 200_000: quantileBound} {
			t.Run(fmt.Sprintf("%s/%d", name, n), func(t *testing.T) {
				t.Parallel()
				worst := worstError(t, n, kept, sample)
				t.Logf("off by %.3f %% at most", 100*worst)
				if worst > bound {
					t.Errorf("a percentile of %d samples is off by %.3f %%, want %.3f %% at most", n, 100*worst, 100*bound)
				}
			})
		}
	}
}

// worstError is by how much the worst of the percentiles differs from the exact
// one, as a share of it.
func worstError(t *testing.T, n, kept int, sample func(*rand.Rand) float64) (worst float64) {
	t.Helper()
	percentiles := []float64{1, 10, 50, 90, 95, 99, 99.9, -1, -50}
	a, s := aggregate(t, Config{TimerSamples: kept, Percentiles: percentiles})
	rng := rand.New(rand.NewPCG(9, uint64(n)))
	var sorted []float64
	for range n {
		text := strconv.FormatFloat(sample(rng), 'f', 3, 64)
		s.take([]byte("t:" + text + "|ms"))
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		sorted = append(sorted, v)
	}
	slices.Sort(sorted)
	rendered := rendered(a.flushed(time.Unix(10, 0)), Naming{}.names())
	got := points(t, string(rendered))
	for _, p := range percentiles {
		// Nearest rank, rounded half up, as statsd's timers define it: docs/metric_types.md.
		rank := int(math.Floor(math.Abs(p)/100*float64(n) + .5))
		if n == 1 {
			rank = 1
		}
		name, want := "upper_"+strings.ReplaceAll(fmt.Sprint(p), ".", "_"), 0.0
		switch {
		case rank == 0: // no sample is that low, or high
			continue
		case p > 0:
			want = sorted[rank-1]
		default:
			name, want = "lower_top"+strings.ReplaceAll(fmt.Sprint(-p), ".", "_"), sorted[n-rank]
		}
		v, ok := got["stats.timers.t."+name]
		if !ok {
			t.Errorf("no %s of %d samples", name, n)
		}
		worst = max(worst, math.Abs(v-want)/want)
	}
	return worst
}
