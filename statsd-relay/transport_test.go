package relay

import (
	"context"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// waysIn are the transports that senders have.
var waysIn = [...]string{"udp", "tcp", "unixgram", "unix"}

// everyWay listens on all of them.
func everyWay(t testing.TB) Config {
	dir := socketDir(t)
	return Config{
		UDP: local, TCP: local, Flush: time.Hour,
		Listen: Listen{Unixgram: filepath.Join(dir, "unixgram"), Unix: filepath.Join(dir, "unix")},
	}
}

// socketDir is a folder for sockets. A test's own could have too long a name: a
// socket's path has 107 bytes.
func socketDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "relay")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// dial returns a sender to the first of the relay's addresses of a transport.
func dial(t testing.TB, r *Relay, transport string) net.Conn {
	t.Helper()
	return dialAddr(t, r.first(transport))
}

func dialAddr(t testing.TB, address net.Addr) net.Conn {
	t.Helper()
	conn, err := net.Dial(address.Network(), address.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestATransportMayHaveSeveralAddresses(t *testing.T) {
	t.Parallel()
	hosts := loopbacks()
	both := net.JoinHostPort(hosts[0], "0") + ", " + net.JoinHostPort(hosts[1], "0")
	r, _ := start(t, Config{UDP: both, TCP: both, Flush: time.Hour})
	if len(r.in) != 4 {
		t.Fatalf("%d listeners, want 4", len(r.in))
	}
	for _, l := range r.in {
		send(t, dialAddr(t, l.addr()), "heard.%s:1|c\n", l.transport())
	}
	eventually(t, "a line at each address", func() bool {
		return value(t, r, "heard_udp", "") == 2 && value(t, r, "heard_tcp", "") == 2
	})
}

func TestAnAddressWithoutAHostTakesBothFamilies(t *testing.T) {
	t.Parallel()
	r, _ := start(t, Config{UDP: ":0", TCP: ":0", Readers: 2, Flush: time.Hour})
	for _, l := range r.in {
		for _, host := range loopbacks() {
			conn, err := net.Dial(l.transport(), net.JoinHostPort(host, port(l.addr().String())))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			send(t, conn, "heard.%s:1|c\n", l.transport())
		}
	}
	eventually(t, "a line of each family", func() bool {
		return value(t, r, "heard_udp", "") == 2 && value(t, r, "heard_tcp", "") == 2
	})
}

// loopbacks are two addresses of this host, of both families where it has IPv6.
func loopbacks() [2]string {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		return [2]string{"127.0.0.1", "127.0.0.2"}
	}
	l.Close()
	return [2]string{"127.0.0.1", "::1"}
}

// TestDropsOfAllSocketsAreCounted has nothing read what several senders send to
// several small buffers, until they are done.
func TestDropsOfAllSocketsAreCounted(t *testing.T) {
	t.Parallel()
	r, err := New(Config{UDP: local, Readers: 3, ReceiveBuffer: 4096, Flush: time.Hour}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	const senders, each = 12, 100
	for range senders {
		conn := dialUDP(t, r)
		for range each {
			send(t, conn, "a:1|c")
		}
	}
	var dropping int
	for _, reader := range r.in[0].(*packetListener).readers {
		if n, err := kernelDrops(reader.conn); err != nil {
			t.Fatal(err)
		} else if n > 0 {
			dropping++
		}
	}
	if dropping < 2 {
		t.Fatalf("%d of the sockets drop, want several: the kernel has not spread the senders", dropping)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // so that Run but reads what there is
	if err := r.Run(ctx); err != nil {
		t.Fatal(err)
	}
	read, dropped := value(t, r, "relay_packets_total", "transport=udp"), value(t, r, "relay_kernel_drops_total", "")
	if read+dropped != senders*each || read == 0 {
		t.Errorf("%v read and %v dropped, want %d in all", read, dropped, senders*each)
	}
}

// TestRubbishHarmsNoLineBesideIt sends random bytes by every transport, between
// good lines: in datagrams, connections and frames of their own, and over TCP in lines.
func TestRubbishHarmsNoLineBesideIt(t *testing.T) {
	t.Parallel()
	r, _ := start(t, everyWay(t))
	rng := rand.New(rand.NewPCG(1, 2))
	const rounds = 200
	good := map[string]net.Conn{}
	for _, way := range waysIn {
		good[way] = dial(t, r, way)
	}
	framed := dial(t, r, "unix")
	for i := range rounds {
		junk := rubbish(rng)
		for _, way := range waysIn {
			send(t, good[way], "good.%s:1|c\n", way)
			bad := dial(t, r, way)
			send(t, bad, "%s", junk)
			bad.Close()
		}
		send(t, framed, "%s%s", frame("good.framed:1|c"), frame(string(junk)))
		send(t, good["tcp"], "%s\n", junk)
		eventually(t, "the datagrams of a round", func() bool { // so that no buffer drops any
			return value(t, r, "relay_packets_total", "transport=udp") == float64(2*(i+1))
		})
	}
	for _, series := range []string{"good_udp", "good_tcp", "good_unixgram", "good_unix", "good_framed"} {
		eventually(t, series, func() bool { return value(t, r, series, "") == rounds })
	}
	bad := 0.0
	for _, c := range r.self.bad {
		if c != nil {
			bad += c.Value()
		}
	}
	if bad < 6*rounds {
		t.Errorf("%v bad lines are counted, want one or more of each of the %d pieces", bad, 6*rounds)
	}
}

// rubbish is random bytes, of which the first make a line that is none.
func rubbish(rng *rand.Rand) []byte {
	b := []byte("rubbish\n")
	for range rng.IntN(1400) {
		b = append(b, byte(rng.Uint32()))
	}
	return b
}

func TestFiveHundredConnectionsAtOnceAreRead(t *testing.T) {
	t.Parallel()
	const n = 500
	r, _ := start(t, Config{TCP: local, Flush: time.Hour})
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			conn, err := net.Dial("tcp", r.first("tcp").String())
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			send(t, conn, "once:1|c\n")
			conn.(*net.TCPConn).CloseWrite()
			conn.Read(make([]byte, 1)) // until the relay has closed it
		})
	}
	all.Wait()
	expect(t, r, map[string]float64{"once": n, "relay_tcp_refused_total": 0})
}

func TestConnectionsBeyondTheLimitAreAllCounted(t *testing.T) {
	t.Parallel()
	const room, more = 5, 40
	r, _ := start(t, Config{TCP: local, TCPConns: room, Flush: time.Hour})
	var inside []net.Conn
	for range room {
		inside = append(inside, dialTCP(t, r))
	}
	eventually(t, "the first to be in", func() bool { return value(t, r, "relay_tcp_connections", "") == room })
	for range more {
		if _, err := dialTCP(t, r).Read(make([]byte, 1)); err == nil {
			t.Fatal("one too many is answered")
		}
	}
	for _, conn := range inside {
		send(t, conn, "inside:1|c\n")
	}
	eventually(t, "the lines of those inside", func() bool { return value(t, r, "inside", "") == room })
	expect(t, r, map[string]float64{"relay_tcp_refused_total": more, "relay_tcp_connections": room})
}

// TestALineThatAResetCutsIsNotAggregated has "cut:12" come of what may have been
// "cut:123|c", and then nothing more.
func TestALineThatAResetCutsIsNotAggregated(t *testing.T) {
	t.Parallel()
	r, _ := start(t, Config{TCP: local, Flush: time.Hour})
	conn := dialTCP(t, r)
	send(t, conn, "whole:1|c\ncut:12|c")
	eventually(t, "the whole line", func() bool { return value(t, r, "whole", "") == 1 })
	conn.(*net.TCPConn).SetLinger(0) // close resets
	conn.Close()
	eventually(t, "the connection to end", func() bool { return value(t, r, "relay_tcp_connections", "") == 0 })
	expect(t, r, map[string]float64{"whole": 1, "cut": -1, "relay_bad_lines_total{reason=cut_line}": 1})
}
