package relay

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

func all(int) bool { return true }

// ring.txt is recorded by ring.mjs from the library that etsy's proxy uses.
func TestKeysGoWhereEtsysProxySendsThem(t *testing.T) {
	file, err := os.Open("testdata/etsy/ring.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var nodes []string
	var r *ring
	checked := 0
	for s := bufio.NewScanner(file); s.Scan(); {
		fields := strings.Fields(s.Text())
		if fields[0] == "nodes" {
			nodes = fields[1:]
			r = newRing(nodes, all)
			continue
		}
		if got := nodes[r.node(ringHash([]byte(fields[0])))]; got != fields[1] {
			t.Errorf("of %v %s has %q, etsy's proxy sends it to %s", nodes, got, fields[0], fields[1])
		}
		checked++
	}
	if checked < 300 {
		t.Errorf("only %d keys were checked", checked)
	}
}

func TestOnlyTheKeysOfANodeThatGoesMove(t *testing.T) {
	names := []string{"a:1", "b:1", "c:1", "d:1"}
	whole := newRing(names, all)
	without := newRing(names, func(n int) bool { return n != 2 })
	var share [4]int
	moved := 0
	for i := range 10_000 {
		h := ringHash(fmt.Appendf(nil, "key.%d", i))
		before, after := whole.node(h), without.node(h)
		share[before]++
		if before != 2 && before != after {
			moved++
		}
		if after == 2 {
			t.Fatalf("key.%d is on a node that is gone", i)
		}
	}
	if moved > 0 || slices.Min(share[:]) < 1000 {
		t.Errorf("%d keys of the other nodes moved; they have %v", moved, share)
	}
	if n := newRing(names, func(int) bool { return false }).node(7); n != -1 {
		t.Errorf("of no nodes, %d has the key", n)
	}
}

func TestRememberedHashesAreThoseOfTheirKeys(t *testing.T) {
	var h hashes
	for range 2 {
		for i := range 20_000 { // more than it remembers
			key := fmt.Appendf(nil, "key.%d", i)
			if got, want := h.of(key), ringHash(key); got != want {
				t.Fatalf("%s: %x, want %x", key, got, want)
			}
		}
	}
}
