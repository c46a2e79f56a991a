package relay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"addons/server/metrics"
)

// node is a relay that others forward to, with its health page.
type node struct {
	*Relay
	stop      func() error
	page      *http.Server
	udp, http string
}

// startNode starts one, on the addresses that it had before or on free ones.
func startNode(t *testing.T, udp, page string) *node {
	t.Helper()
	r, stop := start(t, Config{UDP: udp, Readers: 1, Flush: time.Hour})
	listener, err := net.Listen("tcp", page)
	if err != nil {
		t.Fatal(err)
	}
	address, _ := r.Addr()
	n := &node{Relay: r, stop: stop, page: &http.Server{Handler: r.Handler()}, udp: address.String(), http: listener.Addr().String()}
	go n.page.Serve(listener)
	t.Cleanup(func() { n.page.Close() })
	eventually(t, "the node to run", r.ready.Load)
	return n
}

func (n *node) kill(t *testing.T) {
	t.Helper()
	n.page.Close()
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
}

func (n *node) target() string { return n.udp + "?http=" + port(n.http) }

// counts are a node's counters, by key.
func (n *node) counts() map[string]float64 {
	n.agg.mu.Lock()
	defer n.agg.mu.Unlock()
	n.agg.merge()
	all := map[string]float64{}
	for s := range n.agg.series[counters].all() {
		all[s.key] = s.value
	}
	return all
}

// total adds what all nodes have of all keys.
func total(nodes []*node) (sum float64) {
	for _, n := range nodes {
		for _, v := range n.counts() {
			sum += v
		}
	}
	return sum
}

// whereabouts says on which node each key is; a key on two fails the test.
func whereabouts(t *testing.T, nodes []*node) map[string]int {
	t.Helper()
	at := map[string]int{}
	for i, n := range nodes {
		for key := range n.counts() {
			if other, twice := at[key]; twice {
				t.Errorf("%s is on nodes %d and %d", key, other, i)
			}
			at[key] = i
		}
	}
	return at
}

const forwardedKeys = 200

// sendKeys sends each key once through r.
func sendKeys(t *testing.T, r *Relay, conn net.Conn, prefix string) {
	t.Helper()
	const lines = 10
	sendAll(t, r, conn, forwardedKeys/lines, func(i int) []byte {
		var b []byte
		for j := range lines {
			b = fmt.Appendf(b, "%s.k%d:1|c|#route:%d\n", prefix, i*lines+j, i%2)
		}
		return b
	})
}

func TestEveryKeyIsOnOneNodeAndMovesOnlyWhileThatIsDown(t *testing.T) {
	t.Parallel()
	nodes := []*node{startNode(t, local, local), startNode(t, local, local), startNode(t, local, local)}
	var targets []string
	for _, n := range nodes {
		targets = append(targets, n.target())
	}
	r, _ := start(t, Config{UDP: local, Readers: 2, Flush: time.Hour, Forward: Forward{Nodes: targets, Only: true, Interval: 20 * time.Millisecond}})
	conns := []net.Conn{dialUDP(t, r), dialUDP(t, r), dialUDP(t, r)} // over both readers
	for range 5 {
		for _, conn := range conns {
			sendKeys(t, r, conn, "a")
		}
	}
	const sent = 15 * forwardedKeys
	eventually(t, "all lines to arrive", func() bool { return total(nodes) == sent })
	home := whereabouts(t, nodes)
	for i, n := range nodes {
		for key, v := range n.counts() {
			if v != 15 {
				t.Errorf("node %d has %v of %s, want 15", i, v, key)
			}
		}
		if len(n.counts()) < forwardedKeys/10 {
			t.Errorf("node %d has but %d keys", i, len(n.counts()))
		}
	}

	nodes[1].kill(t)
	up := func(n *node) float64 { return value(t, r, "relay_peer_up", "peer="+n.udp+",sink=forward") }
	eventually(t, "the node to be off", func() bool { return up(nodes[1]) == 0 })
	expect(t, r, map[string]float64{"relay_sink_up{sink=forward}": 0})
	left := []*node{nodes[0], nodes[2]}
	sendKeys(t, r, conns[0], "b")
	sendKeys(t, r, conns[0], "a")
	eventually(t, "all lines on the nodes that are left", func() bool {
		return total(left) == sent-15*float64(len(nodes[1].counts()))+2*forwardedKeys
	})
	for key, at := range whereabouts(t, left) {
		if was, known := home[key]; known && was != 1 && was != 2*at {
			t.Errorf("%s moved, though node %d is up", key, was)
		}
	}
	if err := r.sinks[0].status().err; err == nil || !strings.Contains(err.Error(), nodes[1].udp+": off") {
		t.Errorf("the status page says %v", err)
	}

	nodes[1] = startNode(t, nodes[1].udp, nodes[1].http)
	eventually(t, "the node to be on again", func() bool { return up(nodes[1]) == 1 })
	expect(t, r, map[string]float64{"relay_sink_up{sink=forward}": 1})
	before := total(left)
	sendKeys(t, r, conns[0], "a")
	eventually(t, "all lines", func() bool { return total(nodes) == before+forwardedKeys })
	for key := range nodes[1].counts() {
		if home[key] != 1 {
			t.Errorf("%s is on node 1, and was not before", key)
		}
	}
	if want := forwardedKeys - len(without(home, 1)); len(nodes[1].counts()) != want {
		t.Errorf("%d keys returned, want %d", len(nodes[1].counts()), want)
	}
	expect(t, r, map[string]float64{"relay_lines_total{type=counter}": 0, "relay_peer_lines_total{outcome=dropped,peer=none,sink=forward}": 0})
}

// without leaves out the keys of a node.
func without(home map[string]int, node int) map[string]int {
	rest := maps.Clone(home)
	maps.DeleteFunc(rest, func(_ string, at int) bool { return at == node })
	return rest
}

func TestForwardingAggregatesHereTooUnlessToldOtherwise(t *testing.T) {
	t.Parallel()
	n := startNode(t, local, local)
	r, _ := start(t, Config{UDP: local, Flush: time.Hour, Forward: Forward{Nodes: []string{n.udp}}})
	sendKeys(t, r, dialUDP(t, r), "a")
	eventually(t, "the lines on the node", func() bool { return total([]*node{n}) == forwardedKeys })
	expect(t, r, map[string]float64{"relay_lines_total{type=counter}": forwardedKeys,
		"relay_peer_lines_total{outcome=sent,peer=" + n.udp + ",sink=forward}": forwardedKeys})
}

func TestLinesAreForwardedOverTCPInOrder(t *testing.T) {
	t.Parallel()
	to, _ := start(t, Config{TCP: local, Flush: time.Hour})
	_, address := to.Addr()
	r, stop := start(t, Config{UDP: local, TCP: local, Readers: 1, Flush: time.Hour, Forward: Forward{Nodes: []string{"tcp://" + address.String()}, Only: true}})
	sendAll(t, r, dialUDP(t, r), 500, func(i int) []byte { return fmt.Appendf(nil, "g:%d|g\nc:1|c", i) })
	if err := stop(); err != nil { // what waits is sent first
		t.Fatal(err)
	}
	eventually(t, "the lines", func() bool { return value(t, to, "c", "") == 500 })
	expect(t, to, map[string]float64{"g": 499})
}

func TestWhatWaitsForANodeThatIsDownGoesToTheOthers(t *testing.T) {
	t.Parallel()
	to, _ := start(t, Config{TCP: local, Flush: time.Hour})
	_, address := to.Addr()
	down, err := net.Listen("tcp", local)
	if err != nil {
		t.Fatal(err)
	}
	down.Close()
	nodes := []string{"tcp://" + address.String(), "tcp://" + down.Addr().String()}
	r, stop := start(t, Config{UDP: local, Flush: time.Hour, Forward: Forward{Nodes: nodes, Interval: 50 * time.Millisecond}})
	sendKeys(t, r, dialUDP(t, r), "a")
	sent := func() float64 { return total([]*node{{Relay: to}}) }
	eventually(t, "the lines of both", func() bool { return sent() == forwardedKeys })
	expect(t, r, map[string]float64{"relay_peer_lines_total{outcome=dropped,peer=" + down.Addr().String() + ",sink=forward}": 0})
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// receive is a UDP socket that keeps what it gets.
func receive(t *testing.T) net.PacketConn {
	t.Helper()
	conn, err := net.ListenPacket("udp", local)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	return conn
}

func TestLinesShareDatagramsAndLeaveWithinTheDelay(t *testing.T) {
	t.Parallel()
	to := receive(t)
	r, _ := start(t, Config{UDP: local, Readers: 1, Flush: time.Hour, Forward: Forward{Nodes: []string{to.LocalAddr().String()}, Delay: 300 * time.Millisecond}})
	conn := dialUDP(t, r)
	begun := time.Now()
	for i := range 100 { // 1,890 bytes: one full datagram, and what is left after the delay
		send(t, conn, "some.key.of%03d:1|c", i)
	}
	buf := make([]byte, 65536)
	var lines []string
	var sizes []int
	for len(lines) < 100 {
		n, _, err := to.ReadFrom(buf)
		if err != nil {
			t.Fatalf("after %d lines: %v", len(lines), err)
		}
		sizes = append(sizes, n)
		lines = append(lines, strings.Split(string(buf[:n]), "\n")...)
	}
	if took := time.Since(begun); took < 300*time.Millisecond {
		t.Errorf("the last line left after %v", took)
	}
	for i, l := range lines {
		if l != fmt.Sprintf("some.key.of%03d:1|c", i) {
			t.Fatalf("line %d is %q", i, l)
		}
	}
	if len(sizes) != 2 || sizes[0] > packetSize || sizes[0] < packetSize-20 {
		t.Errorf("datagrams of %v bytes", sizes)
	}
}

func TestWhatIsNoMetricIsForwardedWhole(t *testing.T) {
	t.Parallel()
	to := receive(t)
	r, _ := start(t, Config{UDP: local, Readers: 1, Flush: time.Hour, Forward: Forward{Nodes: []string{to.LocalAddr().String()}}})
	long := "a:1|c|#t:" + strings.Repeat("x", 3000)
	sent := []string{"_e{5,4}:title|text|#a:b", "_sc|service|0|m:all, well", "no metric at all", long, "last:1|c"}
	send(t, dialUDP(t, r), "%s\r\n\n", strings.Join(sent, "\r\n"))
	var got []string
	for buf := make([]byte, 65536); len(got) < len(sent); {
		n, _, err := to.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, strings.Split(string(buf[:n]), "\n")...)
	}
	if !slices.Equal(got, sent) {
		t.Errorf("forwarded was %q", got)
	}
}

func TestEventsAndServiceChecksGoOnByteForByte(t *testing.T) {
	t.Parallel()
	node, repeated := receive(t), receive(t)
	r, _ := start(t, Config{
		UDP: local, Readers: 1, Flush: time.Hour,
		Forward: Forward{Nodes: []string{node.LocalAddr().String()}}, Repeat: Repeat{To: []string{repeated.LocalAddr().String()}},
	})
	datagrams := []string{
		"_e{5,4}:title|text",
		"_e{6,8}:ti|tle|a\\nb: é|d:1700000000|h:web1|p:low|t:warning|s:nagios|#env:prod,dc:phx|k:agg\n",
		"_sc|db up|2|d:1700000000|h:web1|#role:db|m:down: no \\n answer | at all",
		"a:1|c\n_e{1,1}:b|c\n_sc|a|0\nlat:2:3|ms|@0.5|#x:y\n_e{broken:1|c\ng:-4|g",
		"_e{5,2000}:large|" + strings.Repeat("0123456789", 200), // more than goes into a packet
	}
	var sent []string
	conn := dialUDP(t, r)
	for _, d := range datagrams {
		send(t, conn, "%s", d)
		sent = append(sent, strings.Split(strings.TrimSuffix(d, "\n"), "\n")...)
	}
	buf := make([]byte, 65536)
	for _, d := range datagrams {
		if n, _, err := repeated.ReadFrom(buf); err != nil || string(buf[:n]) != d {
			t.Errorf("repeated was %q, %v, want %q", buf[:n], err, d)
		}
	}
	for len(sent) > 0 {
		n, _, err := node.ReadFrom(buf)
		if err != nil {
			t.Fatalf("of what was forwarded lacks %q: %v", sent, err)
		}
		for got := range strings.SplitSeq(string(buf[:n]), "\n") {
			if len(sent) == 0 || got != sent[0] {
				t.Fatalf("forwarded was %q, want the first of %q", got, sent)
			}
			sent = sent[1:]
		}
	}
	expect(t, r, map[string]float64{"relay_bad_lines_total{reason=event}": 5, "relay_bad_lines_total{reason=service_check}": 2, "a": 1})
}

func TestTheKeyOfALineHasNoTags(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"a.b:1|c":                  "a.b",
		"a.b:1|c|#x:y":             "a.b",
		"a.b;x=y:1|c":              "a.b",
		"a.b,x=y:1|c":              "a.b",
		"a.b#x=y:1|c":              "a.b",
		"a.b[x=y]:1|c":             "a.b",
		"_e{5,4}:title|text":       "title",
		"_e{5,4}:ti|le|text":       "ti|le",
		"_e{50,4}:title|text":      "_e{50",
		"_e{9999999999999999999:x": "_e{9999999999999999999",
		"_e{,}:":                   "",
		"_sc|a service|0|h:x":      "a service",
		"_sc|":                     "",
		"_mine:1|c":                "_mine",
		"nothing of the kind":      "nothing of the kind",
		":1|c":                     "",
	} {
		if got := forwardKey([]byte(line)); string(got) != want {
			t.Errorf("the key of %q is %q, want %q", line, got, want)
		}
	}
}

func FuzzForwardKey(f *testing.F) {
	f.Add([]byte("a.b:1|c"))
	f.Add([]byte("_e{5,4}:title|text"))
	f.Add([]byte("_sc|x|0"))
	f.Fuzz(func(t *testing.T, line []byte) {
		if len(line) == 0 {
			return
		}
		if key := forwardKey(line); !strings.Contains(string(line), string(key)) {
			t.Fatalf("the key of %q is %q", line, key)
		}
	})
}

func TestLinesForNobodyAreCounted(t *testing.T) {
	t.Parallel()
	n := startNode(t, local, local)
	r, _ := start(t, Config{UDP: local, Flush: time.Hour, Forward: Forward{Nodes: []string{n.target()}, Only: true, Interval: 20 * time.Millisecond}})
	n.kill(t)
	eventually(t, "the node to be off", func() bool { return value(t, r, "relay_peer_up", "peer="+n.udp+",sink=forward") == 0 })
	sendKeys(t, r, dialUDP(t, r), "a")
	expect(t, r, map[string]float64{"relay_peer_lines_total{outcome=dropped,peer=none,sink=forward}": forwardedKeys})
}

func TestAPeerThatTakesNothingCostsABoundedQueue(t *testing.T) {
	t.Parallel()
	deaf, err := net.Listen("tcp", local) // it accepts by its backlog, and never reads
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	address := deaf.Addr().String()
	const queue = 256 << 10
	r, stop := start(t, Config{UDP: local, Flush: time.Hour, ReceiveBuffer: 1 << 20, Repeat: Repeat{To: []string{"tcp://" + address}, Queue: queue}})
	conn := dialUDP(t, r)
	labels := "peer=" + address + ",sink=repeat"
	line := []byte("some.key.of.a.busy.site:1|c\n")
	block := []byte(strings.Repeat(string(line), 50))
	blocks := 0
	eventually(t, "lines to be dropped", func() bool {
		sendAll(t, r, conn, 50, func(int) []byte { return block })
		blocks += 50
		return value(t, r, "relay_peer_lines_total", "outcome=dropped,"+labels) > 0
	})
	if _, bytes := r.sinks[0].(*repeater).peers[0].out.size(); bytes > queue {
		t.Errorf("%d bytes wait, the limit is %d", bytes, queue)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	sum := value(t, r, "relay_peer_lines_total", "outcome=dropped,"+labels) + value(t, r, "relay_peer_lines_total", "outcome=sent,"+labels)
	if want := float64(50 * blocks); sum != want {
		t.Errorf("%v lines were sent or dropped, want %v", sum, want)
	}
}

func TestARepeaterSendsAllToAll(t *testing.T) {
	t.Parallel()
	udp := receive(t)
	tcp, err := net.Listen("tcp", local)
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	r, _ := start(t, Config{UDP: local, Readers: 1, Flush: time.Hour, Repeat: Repeat{To: []string{udp.LocalAddr().String(), "tcp://" + tcp.Addr().String()}}})
	datagrams := []string{"a:1|c", "b:1|c\nc:2|ms\n", "_e{1,1}:a|b", "junk \xff", strings.Repeat("some.key:1|c\n", 300)}
	conn := dialUDP(t, r)
	for _, d := range datagrams {
		if _, err := conn.Write([]byte(d)); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 65536)
	for _, d := range datagrams[:4] {
		n, _, err := udp.ReadFrom(buf)
		if err != nil || string(buf[:n]) != d {
			t.Errorf("over UDP came %q, %v, want %q", buf[:n], err, d)
		}
	}
	var rest string
	for len(rest) < len(datagrams[4]) {
		n, _, err := udp.ReadFrom(buf)
		if err != nil || n > packetSize {
			t.Fatalf("%d bytes, %v", n, err)
		}
		rest += string(buf[:n])
	}
	if rest != datagrams[4] {
		t.Error("the large datagram came otherwise")
	}
	stream, err := tcp.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	lines := bufio.NewReader(stream)
	for _, d := range datagrams {
		for want := range strings.SplitSeq(strings.TrimSuffix(d, "\n"), "\n") {
			if got, err := lines.ReadString('\n'); err != nil || got != want+"\n" {
				t.Fatalf("over TCP came %q, %v, want %q", got, err, want)
			}
		}
	}
}

func TestAConnectionThatBreaksIsMadeAnew(t *testing.T) {
	t.Parallel()
	tcp, err := net.Listen("tcp", local)
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	r, _ := start(t, Config{UDP: local, Readers: 1, Flush: time.Hour, Repeat: Repeat{To: []string{"tcp://" + tcp.Addr().String()}}})
	conn := dialUDP(t, r)
	for i := range 3 {
		send(t, conn, "a:%d|c", i)
		stream, err := tcp.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := bufio.NewReader(stream).ReadString('\n'); err != nil || got != fmt.Sprintf("a:%d|c\n", i) {
			t.Errorf("connection %d brought %q, %v", i, got, err)
		}
		stream.Close()
		eventually(t, "it to be noticed", func() bool { return r.sinks[0].status().err != nil })
	}
}

func TestAServerThatClosesWhatIsSilentIsNotDown(t *testing.T) {
	t.Parallel()
	tcp, err := net.Listen("tcp", local)
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	repeat := Repeat{To: []string{"tcp://" + tcp.Addr().String()}}
	if err := repeat.complete(); err != nil {
		t.Fatal(err)
	}
	r := newRepeater(repeat, newSelf(metrics.New(nil), Config{}), quiet())
	r.peers[0].quiet = 10 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- r.run(ctx, ctx) }()
	defer func() { cancel(); <-ended }()
	r.take([]byte("a:1|c\n"))
	for range 3 {
		stream, err := tcp.Accept()
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the connection to be well", func() bool { return r.status().err == nil })
		stream.Close()
		eventually(t, "it to be noticed", func() bool { return r.status().err != nil })
	}
	if _, err := tcp.Accept(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server to be well, though nothing is sent", func() bool { return r.status().err == nil })
}

// admin is the admin port of a statsd, which says what health says.
func admin(t *testing.T, health *atomic.Value) string {
	t.Helper()
	l, err := net.Listen("tcp", local)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if line, err := bufio.NewReader(conn).ReadString('\n'); err == nil && strings.TrimSpace(line) == "health" {
				fmt.Fprint(conn, health.Load())
			}
			conn.Close()
		}
	}()
	return port(l.Addr().String())
}

func TestHealthIsAskedOnTheAdminPort(t *testing.T) {
	t.Parallel()
	var health atomic.Value
	health.Store("health: up\n")
	target, err := parseTarget("127.0.0.1:8125?admin=" + admin(t, &health))
	if err != nil {
		t.Fatal(err)
	}
	if err := target.check(t.Context()); err != nil {
		t.Errorf("a statsd that is up: %v", err)
	}
	for _, answer := range []string{"health: down\n", "ERROR\n", "", "health: up"} {
		health.Store(answer)
		if err := target.check(t.Context()); err == nil {
			t.Errorf("%q was taken for well", answer)
		}
	}
	late, cancel := context.WithCancel(t.Context())
	cancel()
	if err := target.check(late); !errors.Is(err, context.Canceled) {
		t.Errorf("beyond its time: %v", err)
	}
}

func TestAPeerThatComesAndGoesIsWaitedForLonger(t *testing.T) {
	t.Parallel()
	h := health{falls: 2, rises: 3}
	times := func(n int, ok bool) (changed int) {
		for range n {
			if h.note(ok) {
				changed++
			}
		}
		return changed
	}
	if times(1, false) != 0 || times(1, true) != 0 || times(1, false) != 0 || h.off {
		t.Error("single bad checks took it off")
	}
	for i, need := range []int{3, 6, 12, 24, 48, 64, 64} {
		if times(2, false) != 1 || !h.off {
			t.Fatalf("fall %d: it is still on", i)
		}
		if times(need-1, true) != 0 || times(1, false) != 0 {
			t.Errorf("fall %d: it returned before %d good checks", i, need)
		}
		if times(need-1, true) != 0 || times(1, true) != 1 || h.off {
			t.Errorf("fall %d: it did not return at %d good checks in a row", i, need)
		}
	}
	times(steady, true)
	times(2, false)
	if times(3, true) != 1 {
		t.Error("after a steady time it is waited for as long as before")
	}
}

func TestForwardingThatCannotWorkIsRefused(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{
		{Forward: Forward{Nodes: []string{"nowhere"}}},
		{Forward: Forward{Nodes: []string{"a:0"}}},
		{Forward: Forward{Nodes: []string{"a:8125", "udp://a:8125"}}},
		{Forward: Forward{Nodes: []string{"http://a:8125"}}},
		{Forward: Forward{Nodes: []string{"a:8125?admin=x"}}},
		{Forward: Forward{Nodes: []string{"a:8125?admin=1&http=2"}}},
		{Forward: Forward{Nodes: []string{"a:8125?health=1"}}},
		{Forward: Forward{Nodes: []string{"a:8125/x"}}},
		{Forward: Forward{Only: true}},
		{Forward: Forward{Delay: -1}},
		{Forward: Forward{Queue: 10}},
		{Repeat: Repeat{To: []string{"a"}}},
		{Repeat: Repeat{To: []string{"a:8125?admin=8126"}}},
		{Repeat: Repeat{Queue: -1}},
	} {
		r, err := New(cfg, quiet())
		if err == nil {
			r.Close()
			t.Errorf("%+v %+v was taken", cfg.Forward, cfg.Repeat)
		} else if !strings.HasPrefix(err.Error(), "statsd-relay: ") {
			t.Errorf("the error is %q", err)
		}
	}
}

// discard is a forwarder whose nodes take all and send nothing.
func discard(t testing.TB, nodes int) (*forwardTap, func()) {
	t.Helper()
	cfg := Config{Forward: Forward{}}
	for i := range nodes {
		cfg.Forward.Nodes = append(cfg.Forward.Nodes, fmt.Sprintf("10.0.0.%d:8125", i))
	}
	r, err := New(cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	f := r.sinks[0].(*forwarder)
	batch := make([]*packet, 0, peerBatch)
	return f.tap(), func() {
		for _, p := range f.nodes {
			for batch = p.out.take(batch[:0]); len(batch) > 0; batch = p.out.take(batch[:0]) {
				p.delivered(batch)
			}
		}
	}
}

// lines38 is a datagram as a busy site sends it.
func lines38() []byte {
	var b []byte
	for i := range 38 {
		b = fmt.Appendf(b, "bench.t.k%05d.api.request_time:123.45|ms\n", i*37)
	}
	return b
}

func TestForwardingAllocatesNothingForALine(t *testing.T) {
	tap, empty := discard(t, 5)
	datagram := lines38()
	allocs := testing.AllocsPerRun(500, func() {
		tap.take(datagram)
		empty()
	})
	if allocs > 4 { // of 38 lines; the race detector has sync.Pool forget some packets
		t.Errorf("%v allocations for a datagram", allocs)
	}
}

func BenchmarkForward(b *testing.B) {
	tap, empty := discard(b, 5)
	datagram := lines38()
	b.ReportAllocs()
	for b.Loop() {
		tap.take(datagram)
		empty()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/38, "ns/line")
}
