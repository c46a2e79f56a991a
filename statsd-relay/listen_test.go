package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

const local = "127.0.0.1:0"

// sendAll sends n datagrams, waiting now and then until the relay has read them,
// so that a small receive buffer loses none.
func sendAll(t *testing.T, r *Relay, conn net.Conn, n int, datagram func(i int) []byte) {
	t.Helper()
	read := func() int { return int(value(t, r, "relay_packets_total", "transport=udp")) }
	before := read()
	for i := range n {
		if _, err := conn.Write(datagram(i)); err != nil {
			t.Fatal(err)
		}
		if i%50 == 49 || i == n-1 {
			eventually(t, "the datagrams to be read", func() bool { return read() == before+i+1 })
		}
	}
}

func TestEveryLineOverUDPCounts(t *testing.T) {
	t.Parallel()
	for _, readers := range []int{1, 3} {
		t.Run(fmt.Sprint(readers, " readers"), func(t *testing.T) {
			t.Parallel()
			r, _ := start(t, Config{UDP: local, Readers: readers, Flush: time.Hour})
			const datagrams, senders = 250, 4
			for range senders {
				sendAll(t, r, dialUDP(t, r), datagrams, func(i int) []byte {
					return fmt.Appendf(nil, "a:1|c\nb:2|c|@0.5\nt:%d|ms\nbad\nu:%d|s\n", i, i)
				})
			}
			const n = datagrams * senders
			expect(t, r, map[string]float64{
				"a": n, "b": 4 * n, "t": n, "u": datagrams,
				"relay_lines_total{type=counter}": 2 * n, "relay_lines_total{type=timer}": n, "relay_lines_total{type=set}": n,
				"relay_bad_lines_total{reason=no_value}": n,
				"relay_packets_total{transport=udp}":     n,
				"relay_kernel_drops_total":               0,
			})
		})
	}
}

func TestTheLargestDatagramIsRead(t *testing.T) {
	t.Parallel()
	r, _ := start(t, Config{UDP: local, Flush: time.Hour})
	line := "some.key.of.a.busy.site:1|c\n"
	most := 65507 / len(line) // what fits into IPv4
	sendAll(t, r, dialUDP(t, r), 3, func(int) []byte { return []byte(strings.Repeat(line, most)) })
	sendAll(t, r, dialUDP(t, r), 1, func(int) []byte { return bytes.Repeat([]byte{'x'}, 65507) })
	expect(t, r, map[string]float64{
		"some_key_of_a_busy_site":                3 * float64(most),
		"relay_bad_lines_total{reason=no_value}": 1,
	})
}

func TestWhatTheKernelDropsIsCounted(t *testing.T) {
	t.Parallel()
	// Nothing reads: New binds, and Run is not yet called.
	r, err := New(Config{UDP: local, Readers: 1, ReceiveBuffer: 4096}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	conn := dialUDP(t, r)
	for range 1000 {
		send(t, conn, "a:1|c")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	eventually(t, "1000 datagrams to be read or dropped", func() bool {
		return value(t, r, "relay_packets_total", "transport=udp")+value(t, r, "relay_kernel_drops_total", "") == 1000
	})
	if value(t, r, "relay_kernel_drops_total", "") == 0 {
		t.Error("no drops are counted, though the buffer held but a few datagrams")
	}
	cancel()
	<-done
}

func TestWhatCameBeforeTheEndIsRead(t *testing.T) {
	t.Parallel()
	kept := &keepingSink{}
	r, stop := start(t, Config{UDP: local, TCP: local, Flush: time.Hour}, kept)
	eventually(t, "the relay to run", r.ready.Load)
	udp := dialUDP(t, r)
	_, address := r.Addr()
	tcp, err := net.Dial("tcp", address.String())
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	send(t, tcp, "begin:1|c\n")
	eventually(t, "the connection to be served", func() bool { return value(t, r, "begin", "") == 1 })
	for range 200 {
		send(t, udp, "udp:1|c")
		send(t, tcp, "tcp:1|c\n")
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, p := range kept.flushes[len(kept.flushes)-1].counters {
		got[p.key] = p.value
	}
	if got["udp"] != 200 || got["tcp"] != 200 {
		t.Errorf("the last flush has %v, want 200 of udp and tcp", got)
	}
	if _, err := net.Dial("tcp", address.String()); err == nil {
		t.Error("the port is still open after Run has returned")
	}
}

func TestConnectionsThatNobodyHasAcceptedYetAreReadAtTheEnd(t *testing.T) {
	t.Parallel()
	r, err := New(Config{TCP: local, Flush: time.Hour}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		send(t, dialTCP(t, r), "a:1|c\n")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Run(ctx); err != nil {
		t.Fatal(err)
	}
	expect(t, r, map[string]float64{"a": 20})
}

func TestAnAddressInUseIsSaidInOneLine(t *testing.T) {
	t.Parallel()
	first, _ := start(t, Config{UDP: local, TCP: local, Readers: 2, Flush: time.Hour})
	udp, tcp := first.Addr()
	for _, cfg := range []Config{{UDP: udp.String(), Readers: 2}, {UDP: udp.String(), Readers: 1}, {UDP: local, TCP: tcp.String()}} {
		_, err := New(cfg, quiet())
		if err == nil {
			t.Fatalf("%+v was taken twice", cfg)
		}
		if text := err.Error(); strings.Contains(text, "\n") || !strings.Contains(text, "is in use") || !strings.Contains(text, "--statsd-") {
			t.Errorf("the error is %q", text)
		}
	}
	for _, cfg := range []Config{{UDP: "nowhere"}, {TCP: "300.0.0.1:1"}, {Graphite: Graphite{Addresses: []string{"graphite"}}}, {Graphite: Graphite{Addresses: []string{"a:1"}}, Flush: 1500 * time.Millisecond}, {Graphite: Graphite{Addresses: []string{"a:1", "a:2"}}}, {Graphite: Graphite{Protocol: "amqp"}}, {Graphite: Graphite{Spool: Spool{Limit: 1}}}, {Percentiles: []float64{101}}, {MaxSeries: -1}} {
		if r, err := New(cfg, quiet()); err == nil {
			r.closeListeners()
			t.Errorf("%+v was taken", cfg)
		}
	}
}

func dialTCP(t *testing.T, r *Relay) net.Conn {
	t.Helper()
	_, tcp := r.Addr()
	conn, err := net.Dial("tcp", tcp.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestLinesOverTCPMayComeInPieces(t *testing.T) {
	t.Parallel()
	r, _ := start(t, Config{TCP: local, Flush: time.Hour})
	conn := dialTCP(t, r)
	text := strings.Repeat("a:1|c\r\nlonger.key.name:2|c|@0.5\n", 500) + "last:1|c"
	for len(text) > 0 {
		n := min(len(text), 1+len(text)%17)
		send(t, conn, "%s", text[:n])
		text = text[n:]
	}
	conn.Close()
	eventually(t, "the last line, which has no newline", func() bool { return value(t, r, "last", "") == 1 })
	expect(t, r, map[string]float64{"a": 500, "longer_key_name": 2000})
}

func TestAClientThatNeverSendsANewlineIsBounded(t *testing.T) {
	t.Parallel()
	r, _ := start(t, Config{TCP: local, Flush: time.Hour})
	conn := dialTCP(t, r)
	send(t, conn, "before:1|c\n")
	junk := bytes.Repeat([]byte("x"), 1<<20)
	for range 20 {
		if _, err := conn.Write(junk); err != nil {
			t.Fatal(err)
		}
	}
	send(t, conn, ":1|c\nafter:1|c\n")
	eventually(t, "the line behind the long one", func() bool { return value(t, r, "after", "") == 1 })
	expect(t, r, map[string]float64{"before": 1, "relay_bad_lines_total{reason=long_line}": 1})
	send(t, conn, "%s", junk[:lineLimit+5])
	conn.Close()
	eventually(t, "the connection to end", func() bool { return value(t, r, "relay_tcp_connections", "") == 0 })
	expect(t, r, map[string]float64{"relay_bad_lines_total{reason=long_line}": 2, "relay_bad_lines_total{reason=no_value}": 0})
}

func TestTCPConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	r, _ := start(t, Config{TCP: local, TCPConns: 2, TCPIdle: 200 * time.Millisecond, Flush: time.Hour})
	first, second := dialTCP(t, r), dialTCP(t, r)
	eventually(t, "two connections", func() bool { return value(t, r, "relay_tcp_connections", "") == 2 })
	third := dialTCP(t, r)
	if _, err := third.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a third connection reads %v, want its end", err)
	}
	for _, silent := range []net.Conn{first, second} {
		silent.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := silent.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("a silent connection is still open")
		}
	}
	eventually(t, "room again", func() bool { return value(t, r, "relay_tcp_connections", "") == 0 })
	expect(t, r, map[string]float64{"relay_tcp_refused_total": 1, "relay_tcp_idle_total": 2})
	send(t, dialTCP(t, r), "a:1|c\n")
	eventually(t, "a line over a new connection", func() bool { return value(t, r, "a", "") == 1 })
}

func TestNumbersThatAreNoneChangeNothing(t *testing.T) {
	t.Parallel()
	r, _ := start(t, Config{UDP: local, Flush: time.Hour})
	conn := dialUDP(t, r)
	sendAll(t, r, conn, 1, func(int) []byte {
		return []byte("c:1|c\nc:NaN|c\nc:inf|c\nc:-Infinity|c\nc:1e308|c\nc:1e999|c\nc:1|c|@0\nc:1|c|@1e-308\n" +
			"t:5|ms\nt:nan|ms\nt:1e300|ms\nt:-5|ms\ng:2|g\ng:+inf|g\ng:-1e200|g\nh:1e100|h\nh:-1e100|h\nh:1e100|h")
	})
	expect(t, r, map[string]float64{"c": 1, "t": 1, "g": 2, "h": 3,
		"relay_bad_lines_total{reason=out_of_range}": 9,
		"relay_bad_lines_total{reason=bad_rate}":     2,
		"relay_bad_lines_total{reason=negative}":     1,
	})
	rendered := rendered(r.agg.flushed(time.Unix(10, 0)), Naming{}.names())
	if text := string(rendered); strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
		t.Errorf("Graphite would get %s", text)
	}
}

func TestASocketThatFailsEndsTheRun(t *testing.T) {
	t.Parallel()
	r, err := New(Config{UDP: local, Readers: 2, Flush: time.Hour}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- r.Run(context.Background()) }()
	eventually(t, "it to be ready", r.ready.Load)
	r.in[0].(*packetListener).readers[1].conn.Close()
	select {
	case err := <-done:
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("Run returned %v, want what the socket says", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the relay goes on without hearing")
	}
}

func TestCloseFreesTheAddressesOfARelayThatNeverRan(t *testing.T) {
	t.Parallel()
	r, err := New(Config{UDP: local, TCP: local, Readers: 2}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	udp, tcp := r.Addr()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := New(Config{UDP: udp.String(), TCP: tcp.String()}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}
