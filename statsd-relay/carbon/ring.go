package carbon

import (
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"net"
	"slices"
	"strconv"
	"strings"
)

// node is one carbon, as its ring knows it.
type node struct {
	address  string // host:port, to connect to
	host     string // without brackets
	instance string // tells several carbons of one host apart; "" is none
}

// parseNode reads host:port or host:port:instance, as carbon's DESTINATIONS has them.
func parseNode(s string) (node, error) {
	host, rest, ok := strings.Cut(s, ":")
	if strings.HasPrefix(s, "[") {
		host, rest, ok = strings.Cut(s[1:], "]:")
	}
	port, instance, _ := strings.Cut(rest, ":")
	if n, err := strconv.ParseUint(port, 10, 16); !ok || err != nil || n == 0 || host == "" {
		return node{}, fmt.Errorf("graphite %q: give host:port or host:port:instance, as graphite.example.org:2003", s)
	}
	// The ring hashes Python's way of printing both, which is plain for these alone.
	if strings.ContainsFunc(host+instance, func(c rune) bool { return c <= ' ' || c > '~' || c == '\'' || c == '\\' }) {
		return node{}, fmt.Errorf("graphite %q: a host and an instance are plain letters, digits and signs", s)
	}
	return node{address: net.JoinHostPort(host, port), host: host, instance: instance}, nil
}

// String is the node as in the configuration.
func (n node) String() string {
	if n.instance == "" {
		return n.address
	}
	return n.address + ":" + n.instance
}

// replicas is how often each carbon stands on the ring: carbon/hashing.py.
const replicas = 100

// ring is carbon-relay's ConsistentHashRing: every path has the carbon that
// carbon-relay with the same DESTINATIONS, in the same order, would send it to.
type ring struct {
	hash      func(string) int
	positions []int // in order
	nodes     []int // of the position
}

// The hashes that carbon calls by these names (ROUTER_HASH_TYPE).
const (
	carbonHash = "carbon_ch"
	fnvHash    = "fnv1a_ch"
)

func newRing(nodes []node, hash string) *ring {
	r := &ring{hash: md5Hash}
	if hash == fnvHash {
		r.hash = fnvHash16
	}
	for n, node := range nodes {
		for i := range replicas {
			r.add(r.hash(node.replica(hash, i)), n)
		}
	}
	return r
}

// replica is what is hashed for a node's i-th place: Python's
// "%s:%d" % ((host, instance), i), or "%d-%s" % (i, instance).
func (n node) replica(hash string, i int) string {
	instance, quoted := "None", "None"
	if n.instance != "" {
		instance, quoted = n.instance, "'"+n.instance+"'"
	}
	if hash == fnvHash {
		return fmt.Sprintf("%d-%s", i, instance)
	}
	return fmt.Sprintf("('%s', %s):%d", n.host, quoted, i)
}

// add puts node at position, or the next one that is free.
func (r *ring) add(position, node int) {
	at, taken := slices.BinarySearch(r.positions, position)
	for taken {
		position++
		at, taken = slices.BinarySearch(r.positions, position)
	}
	r.positions = slices.Insert(r.positions, at, position)
	r.nodes = slices.Insert(r.nodes, at, node)
}

// node returns the index of the path's carbon.
func (r *ring) node(path string) int {
	at, _ := slices.BinarySearch(r.positions, r.hash(normalise(path)))
	return r.nodes[at%len(r.nodes)]
}

// normalise orders a path's tags as carbon does before it hashes them
// (TAG_RELAY_NORMALIZED) and stores them: by the whole of tag=value, the last of
// a tag counts. A path that carbon can't parse stays as it is.
func normalise(path string) string {
	if strings.IndexByte(path, ';') < 0 {
		return path
	}
	parts := strings.Split(path, ";")
	name, tags := strings.TrimLeft(parts[0], "~"), parts[1:]
	if name == "" {
		return path
	}
	last := map[string]string{}
	for _, t := range tags {
		tag, value, ok := strings.Cut(t, "=")
		if !ok || tag == "" || value == "" || value[0] == '~' || strings.ContainsAny(tag, "!^") {
			return path
		}
		last[tag] = value
	}
	delete(last, "name") // is the path's name
	tags = tags[:0]
	for tag, value := range last {
		tags = append(tags, ";"+tag+"="+value)
	}
	slices.Sort(tags)
	return name + strings.Join(tags, "")
}

// md5Hash is the first 16 bits of the MD5 sum.
func md5Hash(key string) int {
	sum := md5.Sum([]byte(key))
	return int(binary.BigEndian.Uint16(sum[:2]))
}

// fnvHash16 folds the 32 bits of FNV-1a into 16.
func fnvHash16(key string) int {
	h := fnv.New32a()
	h.Write([]byte(key))
	sum := h.Sum32()
	return int(sum>>16 ^ sum&0xffff)
}
