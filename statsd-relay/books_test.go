package relay

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// books compares what the aggregator counts with what it has.
func (a *aggregator) books() error {
	count, refused, keys := 0, 0, map[*metric]uint32{}
	prefixes := map[string]int{}
	for c := range a.series {
		for s := range a.series[c].all() {
			count++
			prefixes[prefixOf(s.key)]++
			if s.metric == nil {
				refused++
			} else {
				keys[s.metric]++
			}
		}
	}
	if count != a.count || !maps.Equal(prefixes, a.prefixes) {
		return fmt.Errorf("%d series are counted, by prefix %v, want %d, %v", a.count, a.prefixes, count, prefixes)
	}
	if refused != a.prom.refused {
		return fmt.Errorf("%d series are counted as refused, want %d", a.prom.refused, refused)
	}
	pages := len(a.pages)
	for _, s := range a.shards {
		pages += len(s.planes[0].pages) + len(s.planes[1].pages)
	}
	if used := int(a.pool.next) - 1 - len(a.pool.free); used != pages {
		return fmt.Errorf("%d pages of samples are in use, want %d", used, pages)
	}
	var last *metric
	for m := range a.prom.metrics.from("") {
		if last != nil && compareIDs(last.id, m.id) >= 0 {
			return fmt.Errorf("metric %q is behind %q", m.id, last.id)
		}
		if m.keys != keys[m] {
			return fmt.Errorf("metric %q has %d keys, want %d", m.id, m.keys, keys[m])
		}
		delete(keys, m)
		last = m
	}
	if len(keys) > 0 {
		return fmt.Errorf("%d series have metrics that no page has", len(keys))
	}
	return nil
}

// TestTheBooksBalance does what a relay does for an hour at random, and compares what was
// sent with what was flushed.
func TestTheBooksBalance(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 4))
			cfg := Config{MaxSeries: 40, MaxPerPrefix: 10, Expire: 3 * time.Minute, SetMembers: 5, TimerSamples: 7, TimerMemory: 1 << 18}
			a, first := aggregate(t, cfg)
			shards := []*shard{first, a.newShard("tcp", &badLines{})}
			sent, flushed := map[class]float64{}, map[class]float64{}
			take := func() {
				for range random.IntN(60) {
					key := knottyKey(random) + []string{"", "", ";x=1", "/ y"}[random.IntN(4)]
					of := class(random.IntN(int(classes)))
					line := key + []string{":3|c", ":7|g", ":5|ms", ":5|s"}[of]
					if random.IntN(3) == 0 {
						line += "|#t:1"
					}
					if of == timers && random.IntN(3) == 0 {
						line += "\n" + key + ":9|ms|@0.5"
						sent[timers] += 2
					}
					sent[of] += []float64{3, 0, 1, 0}[of]
					shards[random.IntN(2)].take([]byte(line))
				}
			}
			for step := range 360 {
				take()
				switch random.IntN(20) {
				case 0:
					c, err := cfg.withDefaults()
					if err != nil {
						t.Fatal(err)
					}
					c.MaxSeries, c.MaxPerPrefix = 20+random.IntN(80), random.IntN(20)
					a.configure(c)
				case 1, 2, 3:
					a.mu.Lock()
					a.merge()
					a.mu.Unlock()
				case 4:
					time.Sleep(4 * time.Minute)
				case 5: // as the console does of gauges, of which there is no sum
					a.remove(gauges, "a.*")
				}
				take()
				a.flush(time.Now(), func(f *flush) {
					for _, p := range f.counters {
						flushed[counters] += p.value
					}
					for _, p := range f.timers {
						for _, s := range p.stats {
							if s.name == "count" {
								flushed[timers] += s.value
							}
						}
					}
					if f.last {
						maps.DeleteFunc(sent, func(_ class, n float64) bool { return n == 0 })
						maps.DeleteFunc(flushed, func(_ class, n float64) bool { return n == 0 })
						if !maps.Equal(sent, flushed) {
							t.Fatalf("seed %d, step %d: %v were flushed, want %v", seed, step, flushed, sent)
						}
						take() // while the sinks are waited for
					}
				})
				if err := a.books(); err != nil {
					t.Fatalf("seed %d, step %d: %v", seed, step, err)
				}
				time.Sleep(10 * time.Second)
			}
		})
	}
}
