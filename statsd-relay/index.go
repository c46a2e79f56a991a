package relay

import (
	"hash/maphash"
	"iter"
	"slices"
	"strings"
)

// index finds the series of a class by their keys. It is a hash table of nothing
// but pointers: a map of strings takes four times as much. A series that is dead
// stays in its slot, and is no more found, until the next sweep.
type index struct {
	slots []*series
	used  int // slots
	dead  int // of them
}

// full is how many of the slots may be in use: four fifths, for who seeks has to
// look at each series on the way.
func full(slots int) int { return slots / 5 * 4 }

func (x *index) len() int { return x.used - x.dead }

// get returns the series of a key, nil if there is none.
func (x *index) get(key string) *series {
	if len(x.slots) == 0 {
		return nil
	}
	for i := x.home(key); x.slots[i] != nil; i = x.next(i) {
		if s := x.slots[i]; s.key == key && !s.dead {
			return s
		}
	}
	return nil
}

func (x *index) home(key string) int {
	return int(maphash.String(keySeed, key) & uint64(len(x.slots)-1))
}

func (x *index) next(i int) int { return (i + 1) & (len(x.slots) - 1) }

// put adds a series whose key there is none of.
func (x *index) put(s *series) {
	if x.used == full(len(x.slots)) {
		x.rebuild(x.len() + 1)
	}
	i := x.home(s.key)
	for x.slots[i] != nil {
		i = x.next(i)
	}
	x.slots[i] = s
	x.used++
}

// sweep frees the slots of the dead.
func (x *index) sweep() {
	if x.dead > 0 {
		x.rebuild(x.len())
	}
}

// rebuild makes slots for n series, and puts those into them that are not dead.
func (x *index) rebuild(n int) {
	slots := 8
	for full(slots) < n {
		slots *= 2
	}
	old := x.slots
	*x = index{slots: make([]*series, slots)}
	for _, s := range old {
		if s != nil && !s.dead {
			x.put(s)
		}
	}
}

// all ranges over the series. They may die meanwhile, but none may be put.
func (x *index) all() iter.Seq[*series] {
	return func(yield func(*series) bool) {
		for _, s := range x.slots {
			if s != nil && !s.dead && !yield(s) {
				return
			}
		}
	}
}

// sorted are the series in order of their keys.
func (x *index) sorted() []*series {
	all := slices.AppendSeq(make([]*series, 0, x.len()), x.all())
	slices.SortFunc(all, func(a, b *series) int { return strings.Compare(a.key, b.key) })
	return all
}

// kill has s dead.
func (x *index) kill(s *series) {
	s.dead = true
	x.dead++
}
