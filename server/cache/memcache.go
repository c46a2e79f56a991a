package cache

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"strings"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

// memcached keeps values in any number of memcached servers, each with a client
// of its own, so that each has its own failures.
type memcached struct {
	hosts   []string
	clients []*memcache.Client
}

const (
	// memcachedLimit leaves room in the item of 1 MiB, memcached's default limit,
	// for its header.
	memcachedLimit = 1<<20 - 1<<10
	// memcachedKey is the longest key: docs/protocol.txt.
	memcachedKey = 250
	// memcachedLife is the longest life that is not read as a date: docs/protocol.txt.
	memcachedLife = 30 * 24 * time.Hour
	// idleConns are kept open to one server; gomemcache's default of 2 would dial
	// all the time.
	idleConns = 64
)

func newMemcached(hosts []string, timeout time.Duration) *memcached {
	m := &memcached{hosts: hosts}
	for _, host := range hosts {
		client := memcache.NewFromSelector(oneHost(host))
		// Dialing and answering have this much each, one operation both together.
		client.Timeout = timeout / 2
		client.MaxIdleConns = idleConns
		m.clients = append(m.clients, client)
	}
	return m
}

// oneHost is a selector of one server that is looked up when it is dialed, unlike
// memcache.ServerList, which looks up once and fails if that fails.
type oneHost string

func (h oneHost) PickServer(string) (net.Addr, error)  { return h, nil }
func (h oneHost) Each(call func(net.Addr) error) error { return call(h) }
func (h oneHost) Network() string                      { return "tcp" }
func (h oneHost) String() string                       { return string(h) }

func (m *memcached) name() string { return "memcache" }
func (m *memcached) nodes() int   { return len(m.hosts) }
func (m *memcached) limit() int   { return memcachedLimit }

// node chooses by rendezvous hashing: a server more or less moves only its own share of the keys.
func (m *memcached) node(key string) int {
	best, chosen := uint64(0), 0
	if len(m.hosts) == 1 {
		return chosen
	}
	for i, host := range m.hosts {
		if n := hash(host, key); n >= best {
			best, chosen = n, i
		}
	}
	return chosen
}

// hash must be the same in every process.
func hash(host, key string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(host))
	h.Write([]byte{0})
	h.Write([]byte(key))
	// FNV's high bits hardly depend on the last bytes; this is MurmurHash3's finish.
	n := h.Sum64()
	n = (n ^ n>>33) * 0xff51afd7ed558ccd
	n = (n ^ n>>33) * 0xc4ceb9fe1a85ec53
	return n ^ n>>33
}

// safeKey returns the key itself if memcached takes it, else its hash. '#' marks
// the hashes, so no key that contains it is taken as it is.
func safeKey(key string) string {
	unsafe := func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' }
	if len(key) <= memcachedKey && strings.IndexFunc(key, unsafe) < 0 {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return "#" + base64.RawURLEncoding.EncodeToString(sum[:])
}

func item(key string, value []byte, ttl time.Duration) *memcache.Item {
	// Whole seconds, and 0 would be for ever; the copy itself knows when it ends.
	seconds := int32((min(ttl, memcachedLife) + time.Second - 1) / time.Second)
	return &memcache.Item{Key: safeKey(key), Value: value, Expiration: seconds}
}

func (m *memcached) client(key string) *memcache.Client { return m.clients[m.node(key)] }

func (m *memcached) get(_ context.Context, key string) ([]byte, error) {
	it, err := m.client(key).Get(safeKey(key))
	if errors.Is(err, memcache.ErrCacheMiss) {
		return nil, errMiss
	}
	if err != nil {
		return nil, err
	}
	return it.Value, nil
}

func (m *memcached) set(_ context.Context, key string, value []byte, ttl time.Duration) error {
	return m.client(key).Set(item(key, value, ttl))
}

func (m *memcached) add(_ context.Context, key string, value []byte, ttl time.Duration) error {
	err := m.client(key).Add(item(key, value, ttl))
	if errors.Is(err, memcache.ErrNotStored) {
		return errExists
	}
	return err
}

// swap is two calls of one operation each: the compare is memcached's, by the
// number that it gave the value that was read.
func (m *memcached) swap(_ context.Context, key string, head, value []byte, ttl time.Duration) error {
	it, err := m.client(key).Get(safeKey(key))
	if errors.Is(err, memcache.ErrCacheMiss) || err == nil && !bytes.HasPrefix(it.Value, head) {
		return errExists
	}
	if err != nil {
		return err
	}
	it.Value, it.Flags, it.Expiration = value, 0, item(key, nil, ttl).Expiration
	err = m.client(key).CompareAndSwap(it)
	if errors.Is(err, memcache.ErrCASConflict) || errors.Is(err, memcache.ErrNotStored) || errors.Is(err, memcache.ErrCacheMiss) {
		return errExists
	}
	return err
}

func (m *memcached) delete(_ context.Context, key string) error {
	err := m.client(key).Delete(safeKey(key))
	if errors.Is(err, memcache.ErrCacheMiss) {
		return nil
	}
	return err
}

func (m *memcached) check(context.Context) error {
	var errs []error
	for i, client := range m.clients {
		if err := client.Ping(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", m.hosts[i], err))
		}
	}
	return errors.Join(errs...)
}

func (m *memcached) close() error {
	var errs []error
	for _, client := range m.clients {
		errs = append(errs, client.Close())
	}
	return errors.Join(errs...)
}
