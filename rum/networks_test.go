package rum

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

func from(address string, forwarded ...string) *http.Request {
	r := httptest.NewRequest("POST", "/rum", nil)
	r.RemoteAddr = address
	for _, f := range forwarded {
		r.Header.Add("X-Forwarded-For", f)
	}
	return r
}

func TestANetworkSendsInBurstsAndThenAtItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetworks(nil)
		took := func(addresses ...string) (taken int) {
			for i := range 100 {
				if n.Allow(from(addresses[i%len(addresses)])) {
					taken++
				}
			}
			return taken
		}
		if got := took("192.0.2.1:1", "192.0.2.200:2"); got != burstPerNetwork {
			t.Errorf("two addresses of a network sent %d at once, want %d", got, burstPerNetwork)
		}
		if got := took("[2001:db8::1]:1", "[2001:db8:0:ff::1]:1"); got != burstPerNetwork {
			t.Errorf("two addresses of an IPv6 network sent %d at once, want %d", got, burstPerNetwork)
		}
		if got := took("127.0.0.1:1"); got != 100 {
			t.Errorf("this host sent %d, want all", got)
		}
		time.Sleep(2 * time.Second)
		if got := took("192.0.2.9:1"); got != 2*perNetwork {
			t.Errorf("2 s later it sent %d, want %d", got, 2*perNetwork)
		}
		time.Sleep(60 * 24 * time.Hour) // the counter of milliseconds wraps after 50 days
		if got := took("192.0.2.9:1"); got != burstPerNetwork {
			t.Errorf("long after it sent %d, want %d", got, burstPerNetwork)
		}
	})
}

func TestOnlyOurProxiesSayWhoSent(t *testing.T) {
	t.Parallel()
	n := NewNetworks([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
	for _, c := range []struct {
		remote    string
		forwarded []string
		want      string
	}{
		{"203.0.113.5:1", []string{"192.0.2.1"}, "203.0.113.5"},
		{"10.0.0.1:1", nil, "10.0.0.1"},
		{"10.0.0.1:1", []string{"192.0.2.1"}, "192.0.2.1"},
		{"10.0.0.1:1", []string{"1.1.1.1, 192.0.2.1"}, "192.0.2.1"},
		{"10.0.0.1:1", []string{"1.1.1.1", "192.0.2.1,10.2.2.2"}, "192.0.2.1"},
		{"10.0.0.1:1", []string{"192.0.2.1, rubbish"}, "10.0.0.1"},
		{"[::ffff:10.0.0.1]:1", []string{"2001:db8::1"}, "2001:db8::1"},
	} {
		if got := n.Sender(from(c.remote, c.forwarded...)); got.String() != c.want {
			t.Errorf("%s, %v: %v, want %s", c.remote, c.forwarded, got, c.want)
		}
	}
	if n.Allow(&http.Request{RemoteAddr: "@"}) != true || (*Networks)(nil).Allow(from("192.0.2.1:1")) != true {
		t.Error("who has no address is held up")
	}
}

func TestTenThousandNetworksTakeNoMemory(t *testing.T) {
	n := NewNetworks(nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	refused := 0
	for i := range 10_000 {
		r := &http.Request{RemoteAddr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(100 + i>>16), byte(i >> 8), byte(i), 1}), 1).String()}
		if !n.Allow(r) {
			refused++
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 || refused > 0 {
		t.Errorf("%d bytes more, %d refused", grown, refused)
	}
	runtime.KeepAlive(n)
}

func TestWhoIsLateAtTheLockGetsNoMore(t *testing.T) {
	n := NewNetworks(nil)
	address, now := netip.MustParseAddr("192.0.2.1"), time.Now().Add(time.Minute)
	for n.take(address, now) {
	}
	if n.take(address, now.Add(-time.Millisecond)) {
		t.Error("a beacon is taken, for its time is before that of one that was refused")
	}
}

func TestAHopMayHaveAPort(t *testing.T) {
	n := NewNetworks([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
	if got := n.Sender(from("10.0.0.1:80", "198.51.100.7:4711")); got != netip.MustParseAddr("198.51.100.7") {
		t.Errorf("the sender is %v", got)
	}
}
