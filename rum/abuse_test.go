package rum_test

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"addons/rum"
)

// How much the tests of abuse send: little by default, for -race is slow.
var (
	bombing  = flag.Duration("bombing", 1500*time.Millisecond, "send gzip bombs for so long")
	madeURLs = flag.Int("urls", 100_000, "send so many made-up URLs")
)

// mostAdded is what no abuse may add to the memory in use, in bytes.
const mostAdded = 64 << 20

// memory is what objects take, dead ones that are not collected yet among them.
func memory() int64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64())
}

// peak looks at the memory while f runs, and returns the most that came to it.
func peak(f func()) (added int64) {
	runtime.GC()
	before := memory()
	most, done, stopped := before, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				most = max(most, memory())
			}
		}
	}()
	f()
	close(done)
	<-stopped
	return most - before
}

// bomb is a compressed beacon of so many MiB: gzip's members may follow each other.
func bomb(t *testing.T, mib int) []byte {
	t.Helper()
	var member bytes.Buffer
	z, err := gzip.NewWriterLevel(&member, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	z.Write(bytes.Repeat([]byte{' '}, 1<<20))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return bytes.Repeat(member.Bytes(), mib)
}

// TestAGzipBombFrom100Connections sends 256 MiB in some 260 KiB, and the 62 MiB that go into
// the 64 KiB that may be sent, with and without saying how long they are.
func TestAGzipBombFrom100Connections(t *testing.T) {
	reg := prometheus.NewRegistry()
	server := httptest.NewServer(rum.NewHandler(rum.Config{PerSecond: 1 << 30}, reg, keys{}, slog.New(slog.DiscardHandler)))
	defer server.Close()
	const head = "POST /collect HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Type: application/json\r\n"
	var requests [][]byte
	for _, b := range [][]byte{bomb(t, 256), bomb(t, 62)} {
		requests = append(requests,
			append(fmt.Appendf(nil, head+"Content-Length: %d\r\n\r\n", len(b)), b...),
			append(fmt.Appendf(nil, head+"Transfer-Encoding: chunked\r\n\r\n%x\r\n", len(b)), append(b, "\r\n0\r\n\r\n"...)...))
	}
	before := series(t, reg)
	var refused, others atomic.Int64
	added := peak(func() {
		var sending sync.WaitGroup
		end := time.Now().Add(*bombing)
		for i := range 100 {
			sending.Go(func() {
				for time.Now().Before(end) {
					if explode(server.Listener.Addr().String(), requests[i%len(requests)]) == http.StatusRequestEntityTooLarge {
						refused.Add(1)
					} else {
						others.Add(1)
					}
				}
			})
		}
		sending.Wait()
	})
	t.Logf("%d bombs of %d and %d bytes from 100 connections: %.1f MiB of memory at the most, %d series more; %d had another answer, or none",
		refused.Load(), len(bomb(t, 256)), len(bomb(t, 62)), float64(added)/(1<<20), series(t, reg)-before, others.Load())
	if refused.Load() < 100 || added > mostAdded || series(t, reg) != before {
		t.Errorf("%d were refused, %d bytes added, %d series", refused.Load(), added, series(t, reg)-before)
	}
	if n := counted(t, reg, "rum_beacons_total", "unknown", "accepted"); n != 0 {
		t.Errorf("%v were accepted", n)
	}
}

// TestLongListsFrom100Connections sends lists of as many empty objects as go into 256 KiB, of
// three bytes each there and two hundred in memory, in less than a KiB.
func TestLongListsFrom100Connections(t *testing.T) {
	reg := prometheus.NewRegistry()
	server := httptest.NewServer(rum.NewHandler(rum.Config{PerSecond: 1 << 30}, reg, keys{}, slog.New(slog.DiscardHandler)))
	defer server.Close()
	var requests [][]byte
	for _, list := range []struct{ head, tail string }{
		{`{"meta":{},"events":[`, `]}`}, {`{"meta":{},"measurements":[`, `]}`}, {`[{"body":{}},`, `]`}, {`[{"name":"CLS","value":1},`, `]`},
		{`{"page":"x","timings":[`, `]}`}, {`{"page":"x","serverTiming":[`, `]}`},
	} {
		room := 256<<10 - len(list.head) - len(list.tail) - 2
		var body bytes.Buffer
		z := gzip.NewWriter(&body)
		fmt.Fprint(z, list.head, strings.Repeat("{},", room/3), "{}", list.tail)
		z.Close()
		requests = append(requests, append(fmt.Appendf(nil, "POST /collect HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n", body.Len()), body.Bytes()...))
	}
	before := series(t, reg)
	var refused, others atomic.Int64
	added := peak(func() {
		var sending sync.WaitGroup
		end := time.Now().Add(*bombing)
		for i := range 100 {
			sending.Go(func() {
				for time.Now().Before(end) {
					if explode(server.Listener.Addr().String(), requests[i%len(requests)]) == http.StatusBadRequest {
						refused.Add(1)
					} else {
						others.Add(1)
					}
				}
			})
		}
		sending.Wait()
	})
	t.Logf("%d lists of %d objects from 100 connections: %.1f MiB of memory at the most; %d had another answer, or none", refused.Load(), 256<<10/3, float64(added)/(1<<20), others.Load())
	if refused.Load() < 100 || added > mostAdded || series(t, reg) != before {
		t.Errorf("%d were refused, %d bytes added, %d series", refused.Load(), added, series(t, reg)-before)
	}
}

// explode sends a request over a connection of its own, and returns the status; 0 if the
// server hung up before it was read.
func explode(address string, request []byte) int {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return 0
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	go conn.Write(request) // which is answered before all of it is taken
	var answer [16]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return 0
	}
	status := 0
	fmt.Sscanf(string(answer[:]), "HTTP/1.1 %d", &status)
	return status
}

// TestMadeUpURLs has each with an id of its own too, so that values wait.
func TestMadeUpURLs(t *testing.T) {
	reg := prometheus.NewRegistry()
	routes, err := rum.ParseRoutes([]string{"/=home", "/cart/:item/=cart"})
	if err != nil {
		t.Fatal(err)
	}
	h := rum.NewHandler(rum.Config{Pages: routes.Names(), PageOf: routes.PageOf, PerSecond: 1 << 30}, reg, drain{}, slog.New(slog.DiscardHandler))
	random := rand.New(rand.NewPCG(1, 1))
	send := func() {
		var body strings.Builder
		for range 64 { // as many as a beacon may have
			fmt.Fprintf(&body, `,{"name":"LCP","value":1200,"id":"v6-%d","navigationURL":"https://shop.example/%x/%x?q=%x"}`, random.Uint64(), random.Uint64(), random.Uint32(), random.Uint32())
		}
		if w := ask(h.ServeHTTP, "POST", "/rum", "", "["+body.String()[1:]+"]"); w.Code != http.StatusNoContent {
			t.Fatal(w.Code, w.Body)
		}
	}
	send()
	h.Flush()
	before := series(t, reg)
	beacons := *madeURLs / 64
	added := peak(func() {
		for range beacons {
			send()
		}
	})
	h.Flush()
	t.Logf("%d URLs and ids: %.1f MiB of memory at the most, %d series more", beacons*64, float64(added)/(1<<20), series(t, reg)-before)
	if series(t, reg) != before || added > mostAdded {
		t.Errorf("%d bytes added, %d series", added, series(t, reg)-before)
	}
	for labels := range family(t, reg, "rum_web_vital_lcp_seconds") {
		if labels != "unknown desktop other" {
			t.Errorf("LCP of %s", labels)
		}
	}
}

// TestTenThousandSources sends from as many networks of IPv4 and of IPv6, each of which may send.
func TestTenThousandSources(t *testing.T) {
	reg := prometheus.NewRegistry()
	h := rum.NewHandler(rum.Config{PerSecond: 1 << 30, Networks: rum.NewNetworks(nil)}, reg, drain{}, slog.New(slog.DiscardHandler))
	taken := 0
	from := func(a netip.Addr) {
		r := httptest.NewRequest("POST", "/rum", strings.NewReader("nt_nav_st=1&pt.lcp=5"))
		asBrowser(r)
		r.Header.Set("Content-Type", form)
		r.RemoteAddr = netip.AddrPortFrom(a, 1).String()
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code == http.StatusNoContent {
			taken++
		}
	}
	from(netip.AddrFrom4([4]byte{99, 0, 0, 1}))
	before := series(t, reg)
	added := peak(func() {
		for i := range 10_000 {
			from(netip.AddrFrom4([4]byte{byte(100 + i>>16), byte(i >> 8), byte(i), 1}))
			from(netip.AddrFrom16([16]byte{0x20, 1, 0x0d, 0xb8, byte(i >> 8), byte(i)}))
		}
	})
	t.Logf("10,000 networks of IPv4 and 10,000 of IPv6: %d of 20,000 beacons taken, %.1f MiB of memory at the most, %d series more", taken-1, float64(added)/(1<<20), series(t, reg)-before)
	if taken != 20_001 || added > mostAdded || series(t, reg) != before {
		t.Errorf("%d were taken, %d bytes added, %d series more", taken, added, series(t, reg)-before)
	}
}

func TestWhoSaysToBeManyIsOneNetwork(t *testing.T) {
	networks := rum.NewNetworks([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
	reg := prometheus.NewRegistry()
	h := rum.NewHandler(rum.Config{PerSecond: 1 << 30, Networks: networks}, reg, drain{}, slog.New(slog.DiscardHandler))
	random := rand.New(rand.NewPCG(1, 1))
	flood := func(remote string, forwarded func() string) (taken int) {
		for range 1000 {
			r := httptest.NewRequest("POST", "/rum", strings.NewReader("nt_nav_st=1&pt.lcp=5"))
			r.Header.Set("Content-Type", form)
			r.RemoteAddr = remote
			r.Header.Set("X-Forwarded-For", forwarded())
			w := httptest.NewRecorder()
			if h.ServeHTTP(w, r); w.Code == http.StatusNoContent {
				taken++
			}
		}
		return taken
	}
	made := func() string {
		return netip.AddrFrom4([4]byte{byte(1 + random.IntN(9)), byte(random.Uint32()), byte(random.Uint32()), 1}).String()
	}
	for name, taken := range map[string]int{
		"no proxy":                  flood("203.0.113.9:1", made),
		"behind a proxy":            flood("10.0.0.1:1", func() string { return made() + ", 198.51.100.9" }),
		"that says to be the proxy": flood("10.0.0.1:1", func() string { return "10.1.1.1, 192.0.2.9" }),
		"rubbish":                   flood("10.0.0.2:1", func() string { return made() + ", rubbish" }),
	} {
		t.Logf("%s, a thousand made-up addresses: %d taken", name, taken)
		if taken < 60 || taken > 100 { // and what comes back while it sends
			t.Errorf("%s: %d of 1,000 were taken, want a network's 60", name, taken)
		}
	}
	if taken := flood("10.0.0.3:1", func() string { return "" }); taken != 1000 {
		t.Errorf("of a site's own proxy that names nobody %d were taken", taken)
	}
}

// TestBodiesThatTrickleInAreCutOff holds a hundred connections open, of which each sends a chunk
// now and then.
func TestBodiesThatTrickleInAreCutOff(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	server := httptest.NewServer(rum.NewHandler(rum.Config{}, reg, keys{}, slog.New(slog.DiscardHandler)))
	defer server.Close()
	var sending sync.WaitGroup
	var longest, answered atomic.Int64
	for range 100 {
		sending.Go(func() {
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(30 * time.Second))
			start := time.Now()
			io.WriteString(conn, "POST /rum HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
			end := make(chan struct{})
			defer close(end)
			go func() {
				tick := time.NewTicker(100 * time.Millisecond)
				defer tick.Stop()
				for {
					select {
					case <-end:
						return
					case <-tick.C:
						io.WriteString(conn, "1\r\n \r\n")
					}
				}
			}()
			if answer, _ := io.ReadAll(conn); bytes.Contains(answer, []byte(" 400 ")) {
				answered.Add(1)
			}
			for took := int64(time.Since(start)); ; {
				if before := longest.Load(); took <= before || longest.CompareAndSwap(before, took) {
					return
				}
			}
		})
	}
	sending.Wait()
	t.Logf("100 bodies that trickle in: the longest had its connection for %v, %d were answered", time.Duration(longest.Load()).Round(time.Millisecond), answered.Load())
	if took := time.Duration(longest.Load()); took < 4*time.Second || took > 8*time.Second || answered.Load() != 100 {
		t.Errorf("the longest had its connection for %v, %d were answered", took, answered.Load())
	}
}
