package rum

import (
	"hash/maphash"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Networks bounds what the senders of one network may send: addresses of the same
// first 24 bits, or 56 of IPv6, share a bucket of tokens. Its memory is fixed: of more
// networks than there are buckets, some share one. No address is kept, only a hash with a seed that
// nobody knows.
type Networks struct {
	proxies []netip.Prefix
	rate    float64 // tokens a second
	burst   float64
	seed    maphash.Seed
	start   time.Time

	mu      sync.Mutex
	buckets [1 << 16]bucket
}

// bucket is 8 bytes. Its zero value was never used and is full.
type bucket struct {
	taken float32 // of the burst
	at    uint32  // milliseconds since start, and 1
}

// What a network may send: a page view has one or two beacons, and behind one address
// there may be an office.
const (
	perNetwork      = 10 // a second
	burstPerNetwork = 60
)

// NewNetworks returns Networks that take the sender's address from X-Forwarded-For
// where the request comes from one of the proxies.
func NewNetworks(proxies []netip.Prefix) *Networks {
	return &Networks{proxies: proxies, rate: perNetwork, burst: burstPerNetwork, seed: maphash.MakeSeed(), start: time.Now()}
}

// Allow says whether the sender's network may send one more. Nobody on this host is
// held up: that is a proxy which nobody has told us of. Neither is a proxy that tells us
// nobody: it has bounds of its own, as our site has, which hands beacons on to a relay.
func (n *Networks) Allow(r *http.Request) bool {
	if n == nil {
		return true
	}
	address := n.Sender(r)
	if !address.IsValid() || address.IsLoopback() || n.trusts(address) && r.Header.Get("X-Forwarded-For") == "" {
		return true
	}
	return n.take(address, time.Now())
}

// FromProxy says whether one of the proxies hands the request on, whose word on the sender
// is believed.
func (n *Networks) FromProxy(r *http.Request) bool {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && n.trusts(from.Addr().Unmap())
}

// Bound answers 429 for those that may not send, and hands others on.
func (n *Networks) Bound(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !n.Allow(r) {
			w.Header().Set("Retry-After", "1")
			refuse(w, http.StatusTooManyRequests, tooManyText)
			return
		}
		next.ServeHTTP(w, r)
	})
}

const tooManyText = "too many beacons"

// Sender is the last address on the request's way that no proxy of ours has; the zero Addr
// if there is none. A nil Networks knows of no proxies.
func (n *Networks) Sender(r *http.Request) netip.Addr {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	address := from.Addr().Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		if !n.trusts(address) {
			break
		}
		hop = strings.TrimSpace(hop)
		next, err := netip.ParseAddr(hop)
		if err != nil { // some gateways write the port too
			with, withErr := netip.ParseAddrPort(hop)
			if withErr != nil {
				break
			}
			next = with.Addr()
		}
		address = next.Unmap()
	}
	return address
}

func (n *Networks) trusts(address netip.Addr) bool {
	return n != nil && slices.ContainsFunc(n.proxies, func(p netip.Prefix) bool { return p.Contains(address) })
}

func (n *Networks) take(address netip.Addr, now time.Time) bool {
	bits := 24
	if address.Is6() {
		bits = 56
	}
	network, err := address.WithZone("").Prefix(bits)
	if err != nil {
		return true
	}
	key, _ := network.Addr().MarshalBinary() // it never fails
	at := uint32(now.Sub(n.start).Milliseconds()) + 1
	n.mu.Lock()
	defer n.mu.Unlock()
	b := &n.buckets[maphash.Bytes(n.seed, key)%uint64(len(n.buckets))]
	if passed := int32(at - b.at); b.at != 0 && passed < 0 && passed > -10_000 {
		at = b.at // who looked at the clock later was sooner at the lock
	}
	if b.at != 0 {
		b.taken = max(0, b.taken-float32(float64(at-b.at)/1000*n.rate))
	}
	b.at = at
	if float64(b.taken)+1 > n.burst {
		return false
	}
	b.taken++
	return true
}
