package update

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// known is a set of add-on ids that says "no" without asking anybody. It holds a
// hash of 64 bits of each, 4 MiB for 300,000, with a seed of this process, so that
// nobody can make ids that collide. A "yes" may be wrong, once in 10¹³ questions, and
// costs a query; a "no" never is. Safe for any number of readers, which never wait.
type known struct {
	seed  maphash.Seed
	table atomic.Pointer[table]

	mu sync.Mutex // of who adds
	n  int
}

// table is open addressing: a place's hash, or 0 for an empty place. Places are
// only ever filled, so that readers need no lock. Its length is a power of two.
type table []atomic.Uint64

// smallest is the length of an empty set's table: 64 KiB.
const smallest = 1 << 13

func newKnown() *known {
	k := &known{seed: maphash.MakeSeed()}
	t := make(table, smallest)
	k.table.Store(&t)
	return k
}

// hash is what stands for an id, never 0.
func (k *known) hash(guid string) uint64 { return max(1, maphash.String(k.seed, guid)) }

func (k *known) has(hash uint64) bool { return (*k.table.Load()).has(hash) }

// add adds an id. It is known when add returns.
func (k *known) add(hash uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	t := *k.table.Load()
	if t.has(hash) {
		return
	}
	if k.n++; k.n > len(t)/4*3 {
		t = t.grown()
		t.add(hash) // before anybody sees the table
		k.table.Store(&t)
		return
	}
	t.add(hash)
}

// size returns how many ids there are, and the memory in bytes.
func (k *known) size() (ids, bytes int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.n, 8 * len(*k.table.Load())
}

func (t table) has(hash uint64) bool {
	for i := hash; ; i++ {
		switch t[i&uint64(len(t)-1)].Load() {
		case hash:
			return true
		case 0:
			return false
		}
	}
}

func (t table) add(hash uint64) {
	i := hash
	for t[i&uint64(len(t)-1)].Load() != 0 {
		i++
	}
	t[i&uint64(len(t)-1)].Store(hash)
}

// grown is a copy of t of twice its length.
func (t table) grown() table {
	larger := make(table, 2*len(t))
	for i := range t {
		if hash := t[i].Load(); hash != 0 {
			larger.add(hash)
		}
	}
	return larger
}
