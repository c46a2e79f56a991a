package relay

import (
	"cmp"
	"crypto/md5"
	"encoding/binary"
	"hash/maphash"
	"slices"
	"strconv"
)

// ringPoints is how many points of the ring a node has. It is what the proxy of
// etsy's statsd asks of npm's hashring (40 virtual nodes, no replicas): a proxy
// of each kind sends a key to the same node.
const ringPoints = 40

// ring says which node has a key: the one whose point follows the key's, as
// npm's hashring 3.2.0 places them. It is not changed once it is made.
type ring struct {
	points []ringPoint
}

type ringPoint struct {
	at   uint32
	node int
}

// newRing places those of the nodes that are up. Names are "host:port".
func newRing(names []string, up func(node int) bool) *ring {
	var nodes []int
	for i := range names {
		if up(i) {
			nodes = append(nodes, i)
		}
	}
	r := &ring{}
	// In floating point, as hashring does: of some numbers of nodes one point less.
	share := float64(100) / float64(100*len(nodes))
	n := int(float64(share*ringPoints) * float64(len(nodes)))
	for _, node := range nodes {
		for i := range n {
			r.points = append(r.points, ringPoint{ringHash([]byte(names[node] + "-" + strconv.Itoa(i))), node})
		}
	}
	slices.SortStableFunc(r.points, func(a, b ringPoint) int { return cmp.Compare(a.at, b.at) })
	return r
}

// node returns who has the key of that hash; −1 if nobody is there.
func (r *ring) node(hash uint32) int {
	if len(r.points) == 0 {
		return -1
	}
	i, j := 0, len(r.points)
	for i < j {
		if m := (i + j) / 2; r.points[m].at < hash {
			i = m + 1
		} else {
			j = m
		}
	}
	return r.points[i%len(r.points)].node
}

// ringHash is a key's place on the ring.
func ringHash(key []byte) uint32 {
	sum := md5.Sum(key)
	return binary.LittleEndian.Uint32(sum[:4])
}

// hashes remembers ringHash of the keys seen last: an MD5 costs more than all
// else that is done with a line. Two keys that are one in 64 bits of another hash
// may be taken for each other, which puts a key on another node than other relays
// do; it needs billions of keys. The zero value is ready.
type hashes struct {
	slots [4096]struct {
		key  uint64
		hash uint32
	}
}

// keySeed keeps others from finding keys whose hashes are the same.
var keySeed = maphash.MakeSeed()

func (h *hashes) of(key []byte) uint32 {
	k := maphash.Bytes(keySeed, key) | 1 // never that of an empty slot
	slot := &h.slots[k>>32%uint64(len(h.slots))]
	if slot.key != k {
		slot.key, slot.hash = k, ringHash(key)
	}
	return slot.hash
}
