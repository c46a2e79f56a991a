package relay

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"addons/statsd-relay/statsd"
)

// TestATableFindsEachCellByAllWaysToWriteItsKey sweeps at random, so that aliases and
// their cells take the places of others.
func TestATableFindsEachCellByAllWaysToWriteItsKey(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 3))
		table := newTable(400, statsd.AllStyles)
		alive := map[string]*series{}
		for step := range 3000 {
			n := random.IntN(200)
			name, tags, key := fmt.Sprint("k", n), "", fmt.Sprint("k", n)
			switch random.IntN(4) {
			case 0:
				name = strings.ReplaceAll(name, "k", "%k!")
			case 1:
				name, tags, key = name+"/x", "b:2,a:1", key+"-x;a=1;b=2"
			case 2:
				name, tags, key = name+"/x", "a:1,b:2", key+"-x;a=1;b=2"
			}
			c, why := table.cell(&statsd.Sample{Name: []byte(name), Tags: []byte(tags), Type: statsd.Counter})
			if why != statsd.OK || c.raw != key || c.alias != 0 {
				t.Fatalf("seed %d, step %d: %q with %q is the cell %+v, want that of %q", seed, step, name, tags, c, key)
			}
			if c.series == nil || c.series.dead {
				if alive[key] != nil {
					t.Fatalf("seed %d, step %d: the cell of %q was forgotten, and its series lives", seed, step, key)
				}
				c.series = &series{key: key}
				alive[key] = c.series
			}
			if random.IntN(100) > 0 {
				continue
			}
			for key, s := range alive {
				if random.IntN(3) == 0 {
					s.dead = true
					delete(alive, key)
				}
			}
			table.sweep()
			cells, aliases := 0, 0
			table.each(func(n uint32, c *cell) {
				if c.alias == 0 {
					cells++
				} else if aliases++; alive[table.at(c.alias-1).raw] == nil {
					t.Fatalf("seed %d, step %d: the alias %q is of a cell that is no more", seed, step, c.raw)
				}
				if slices.Contains(table.free, n) {
					t.Fatalf("seed %d, step %d: %q is in a free place", seed, step, c.raw)
				}
			})
			if cells != len(alive) || table.cells != cells || table.aliases != aliases {
				t.Fatalf("seed %d, step %d: %d cells and %d aliases, counted as %d and %d, want %d cells", seed, step, cells, aliases, table.cells, table.aliases, len(alive))
			}
		}
	}
}

func TestATableIsBuiltAnewWithoutGarbageForEachCell(t *testing.T) {
	table := newTable(1000, statsd.AllStyles)
	for i := range 1000 {
		name := fmt.Appendf(nil, "a.name.of.more.than.thirty-two.bytes.%d", i)
		table.cell(&statsd.Sample{Name: name, Type: statsd.Counter})
	}
	if n := testing.AllocsPerRun(10, func() { table.rebuild(2048) }); n > 20 {
		t.Errorf("%v allocations for 1,000 cells", n)
	}
}
