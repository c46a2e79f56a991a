package relay

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestAnIndexIsAMap does the same at random to an index and to Go's own map.
func TestAnIndexIsAMap(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		var x index
		want := map[string]*series{}
		keys := 1 + random.IntN(300)
		for step := range 2000 {
			key := fmt.Sprint("k", random.IntN(keys))
			s, action := want[key], random.IntN(100)
			switch {
			case action < 45 && s == nil:
				want[key] = &series{key: key}
				x.put(want[key])
			case action < 75 && s != nil:
				x.kill(s)
				delete(want, key)
			case action < 77:
				x.sweep()
			case action < 79: // as a flush, which ends series while it ranges over them
				for s := range x.all() {
					if want[s.key] != s {
						t.Fatalf("seed %d, step %d: all has %q, which is not there", seed, step, s.key)
					}
					if random.IntN(2) == 0 {
						x.kill(s)
						delete(want, s.key)
					}
				}
			}
			if got := x.get(key); got != want[key] {
				t.Fatalf("seed %d, step %d: get of %q is %v, want %v", seed, step, key, got, want[key])
			}
			if x.len() != len(want) || x.used > full(len(x.slots)) || len(x.slots) > 1024 {
				t.Fatalf("seed %d, step %d: %d series, %d of %d slots in use, want %d series", seed, step, x.len(), x.used, len(x.slots), len(want))
			}
		}
		for i, s := range x.sorted() {
			if want[s.key] != s || i > 0 && x.sorted()[i-1].key >= s.key {
				t.Fatalf("seed %d: %q is not there, or not at its place", seed, s.key)
			}
			delete(want, s.key)
		}
		if len(want) > 0 {
			t.Fatalf("seed %d: %d series are left out", seed, len(want))
		}
	}
}
