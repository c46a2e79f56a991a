package relay

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestEtsyNumbers compares a flush with what etsy's statsd 0.9.0 made of the same
// datagrams, recorded with testdata/etsy/record.mjs. Names may differ in the
// order of tags alone, numbers not at all.
func TestEtsyNumbers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		recorded string
		naming   Naming
	}{
		{"legacy.txt", Naming{}},
		{"modern.txt", Naming{Modern: true, Prefix: "amo", Timer: "times", Suffix: "relay"}},
	} {
		t.Run(c.recorded, func(t *testing.T) {
			t.Parallel()
			a, s := aggregate(t, Config{Flush: 2 * time.Second, Percentiles: []float64{90, 99.9, 50, -10}})
			lines := strings.Split(strings.TrimSpace(readFile(t, "lines.txt")), "\n")
			for some := range slices.Chunk(lines, 10) {
				s.take([]byte(strings.Join(some, "\n")))
			}
			rendered := rendered(a.flushed(time.Unix(1357000000, 0)), c.naming.names())
			compare(t, points(t, readFile(t, c.recorded)), points(t, string(rendered)))
		})
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "etsy", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// points reads "path value …" lines, leaving out what depends on the clock, and
// graphiteStats, which is how etsy's own sender fared.
func points(t *testing.T, text string) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if strings.Contains(f[0], "timestamp_lag") || strings.Contains(f[0], "processing_time") || strings.Contains(f[0], "graphiteStats") {
			continue
		}
		v, err := strconv.ParseFloat(f[1], 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		name, tags := splitKey(f[0])
		sorted := strings.Split(tags, ";")
		slices.Sort(sorted)
		path := name + strings.Join(sorted, ";")
		if _, twice := all[path]; twice {
			t.Errorf("%s is there twice", path)
		}
		all[path] = v
	}
	return all
}

func compare(t *testing.T, want, got map[string]float64) {
	t.Helper()
	for path, w := range want {
		g, ok := got[path]
		if !ok {
			t.Errorf("%s is missing, etsy's is %v", path, w)
		} else if g != w {
			t.Errorf("%s = %v, etsy's is %v", path, g, w)
		}
	}
	for path, g := range got {
		if _, ok := want[path]; !ok {
			t.Errorf("%s = %v, etsy's has none", path, g)
		}
	}
}

func TestIdleSeriesAreZeroAsEtsysAre(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		deleteIdle bool
		want       []string
	}{
		{false, []string{"stats.a 0", "stats_counts.a 0", "stats.timers.t.count 0", "stats.timers.t.count_ps 0", "stats.gauges.g 5", "stats.sets.u.count 0"}},
		{true, nil},
	} {
		a, s := aggregate(t, Config{DeleteIdle: c.deleteIdle})
		s.take([]byte("a:1|c\nt:3|ms\ng:5|g\nu:x|s"))
		a.flushed(time.Unix(10, 0))
		rendered := rendered(a.flushed(time.Unix(20, 0)), Naming{}.names())
		var got []string
		for line := range strings.Lines(string(rendered)) {
			if !strings.Contains(line, "statsd.") {
				got = append(got, strings.TrimSuffix(line, " 20\n"))
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("deleteIdle %v: got %q, want %q", c.deleteIdle, got, c.want)
		}
	}
}

func TestManySamplesOfATimerGoToASketch(t *testing.T) {
	t.Parallel()
	exact, es := aggregate(t, Config{TimerSamples: 1 << 20, Percentiles: []float64{50, 90, 99, -10}})
	bounded, bs := aggregate(t, Config{TimerSamples: 1000, Percentiles: []float64{50, 90, 99, -10}})
	for i := range 50_000 {
		line := "t:" + strconv.FormatFloat(math.Exp(4+math.Sin(float64(i*i))*2), 'f', 3, 64) + "|ms|@0.5"
		es.take([]byte(line))
		bs.take([]byte(line))
	}
	want := exact.flushed(time.Unix(10, 0)).timers[0].stats
	got := bounded.flushed(time.Unix(10, 0)).timers[0].stats
	for i, w := range want {
		tolerance := .011 // of a sketch within 1 %
		if slices.Contains([]string{"count", "count_ps", "sum", "mean", "lower", "upper", "sum_squares", "std"}, w.name) || strings.HasPrefix(w.name, "count_") {
			tolerance = 1e-9
		}
		if strings.HasPrefix(w.name, "sum_squares_") {
			tolerance = .025
		}
		if g := got[i]; g.name != w.name || math.Abs(g.value-w.value) > tolerance*w.value {
			t.Errorf("%s = %v, want %s = %v within %v", g.name, g.value, w.name, w.value, tolerance)
		}
	}
	var kept, sketched *series
	kept, sketched = exact.series[timers].get("t"), bounded.series[timers].get("t")
	if w, g := kept.metric, sketched.metric; w.count() != 100_000 || !slices.Equal(g.buckets, w.buckets) || math.Abs(g.value-w.value) > 1e-9*w.value {
		t.Errorf("the histogram of a sketched timer is %v %v %v, want %v %v %v", g.count(), g.value, g.buckets, w.count(), w.value, w.buckets)
	}
}
