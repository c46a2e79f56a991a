package relay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/procfs"

	"addons/server/enginetest"
)

// TestEveryPointIsEtsys sends the same traffic to etsy's statsd, as it comes from
// npm, and to the relay, over several flushes, and compares what Graphite gets:
// every path, every value to the last bit. Only what the clock decides is left
// out, and the order of tags.
func TestEveryPointIsEtsys(t *testing.T) {
	t.Parallel()
	percentiles := []float64{50, 90, 99.9, -10}
	yes := true
	modern := Naming{Modern: true, Prefix: "amo", Counter: "c", Timer: "times", Gauge: "g", Set: "s", Suffix: "relay", Self: "itself"}
	for _, c := range []struct {
		name string
		etsy options
		ours Config
	}{
		{"defaults", options{}, Config{}},
		{"percentiles", options{"percentThreshold": percentiles}, Config{Percentiles: percentiles}},
		{
			"names", options{"prefixStats": "itself", "graphite": options{
				"legacyNamespace": false, "globalPrefix": "amo", "prefixCounter": "c", "prefixTimer": "times", "prefixGauge": "g", "prefixSet": "s", "globalSuffix": "relay",
			}}, Config{Naming: modern},
		},
		{"no prefix", options{"graphite": options{"legacyNamespace": false, "globalPrefix": ""}}, Config{Naming: Naming{Modern: true, NoPrefix: true}}},
		{
			"histogram", options{"histogram": []options{
				{"metric": "1", "bins": []any{50, 100.5, 150, "inf"}}, {"metric": "2", "bins": []any{}}, {"metric": "", "bins": []any{0.25, 75}},
			}},
			Config{Histogram: []HistogramRule{
				{"1", Bins{50, 100.5, 150, math.Inf(1)}}, {"2", nil}, {"", Bins{0.25, 75}},
			}},
		},
		{"deleteIdleStats", options{"deleteIdleStats": true}, Config{DeleteIdle: true}},
		{"deleteCounters", options{"deleteCounters": true}, Config{DeleteCounters: &yes}},
		{"deleteGauges", options{"deleteGauges": true}, Config{DeleteGauges: &yes}},
		{"deleteTimers", options{"deleteTimers": true}, Config{DeleteTimers: &yes}},
		{"deleteSets", options{"deleteSets": true}, Config{DeleteSets: &yes}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			rounds := traffic(t, c.ours.deletes(gauges))
			theirs, interval := etsy(t, c.etsy, rounds)
			c.ours.Flush = interval
			for i, got := range relayed(t, c.ours, rounds) {
				want := points(t, theirs[i])
				if i == 0 && len(want) < 10_000 {
					t.Errorf("etsy's has %d points only", len(want))
				}
				compare(t, want, points(t, got))
				if t.Failed() {
					t.Fatalf("in flush %d", i)
				}
			}
		})
	}
}

// traffic is the datagrams of each flush: the recorded lines and generated ones, a
// silence, a part of the keys again, another silence. With idle gauges deleted,
// signed ones are left to the first flush: etsy's forgets every gauge with each
// flush then, so that a change begins at zero, where the relay changes the gauge.
func traffic(t *testing.T, forgets bool) [][][]byte {
	t.Helper()
	rng := rand.New(rand.NewPCG(7, 8))
	lines := append(strings.Split(strings.TrimSpace(readFile(t, "lines.txt")), "\n"), randomLines(rng, 12_000)...)
	again := randomLines(rng, 2000)
	if forgets {
		again = slices.DeleteFunc(again, func(l string) bool { return strings.HasSuffix(l, "|g") && strings.ContainsAny(l, "+-") })
	}
	return [][][]byte{inDatagrams(rng, lines), nil, inDatagrams(rng, again), nil}
}

// randomLines are lines of thousands of keys and every type, in all the forms that
// both servers promise to read alike, and a few that both refuse.
func randomLines(rng *rand.Rand, n int) []string {
	var all []string
	for range n {
		key := randomKey(rng)
		switch rng.IntN(20) {
		case 0:
			all = append(all, strings.ReplaceAll(badForms[rng.IntN(len(badForms))], "NAME", key))
		case 1:
			all = append(all, fmt.Sprintf("%s:%s|c%s:%s|ms%s", key, randomValue(rng, true), randomRate(rng), randomValue(rng, false), randomRate(rng)))
		case 2, 3:
			all = append(all, fmt.Sprintf("users.%s:u%d|s", key, rng.IntN(50)))
		case 4:
			all = append(all, fmt.Sprintf("last.%s:%s|g", key, randomValue(rng, false)))
		case 5, 6:
			// In quarters, which add up exactly: a flush adds the sum of all changes
			// to a gauge, etsy's each of them.
			all = append(all, fmt.Sprintf("%s:%s%v|g", key, []string{"", "", "+", "-"}[rng.IntN(4)], float64(rng.IntN(1000))/4))
		case 7, 8, 9, 10, 11:
			all = append(all, fmt.Sprintf("%s:%s|c%s%s", key, randomValue(rng, true), randomRate(rng), randomTags(rng)))
		default:
			all = append(all, fmt.Sprintf("%s:%s|ms%s%s", key, randomValue(rng, false), randomRate(rng), randomTags(rng)))
		}
	}
	return all
}

// badForms are refused by both, as one bad line each.
var badForms = []string{"NAME", "NAME:", "NAME:1", "NAME:x|c", "NAME:|c", "NAME:1|c|@x", "NAME:-3|ms", "NAME:nan|g", "NAME:1|ms|0.5", "NAME:1|g|@", "NAME:1|c|@-0.5"}

// randomKey has few keys that come often, and many that come once or twice.
func randomKey(rng *rand.Rand) string {
	k := int(rng.ExpFloat64() * 300)
	return fmt.Sprintf(keyForms[k%len(keyForms)], k)
}

// keyForms need cleaning, some of them.
var keyForms = []string{"web.view.k%d", "cache/get/k%d", "a b.k%d", "quer\u00ffy.k%d", "x-y_z.K%d", "pool.k%d.in use"}

func randomValue(rng *rand.Rand, negative bool) string {
	sign := ""
	if negative && rng.IntN(8) == 0 {
		sign = "-"
	}
	switch rng.IntN(6) {
	case 0:
		return sign + fmt.Sprint(rng.IntN(3))
	case 1:
		return sign + fmt.Sprintf("%.3e", rng.ExpFloat64()*1e6)
	case 2:
		return sign + fmt.Sprint(rng.ExpFloat64()*100) // all digits that there are
	default:
		return sign + fmt.Sprintf("%.2f", rng.ExpFloat64()*200)
	}
}

func randomRate(rng *rand.Rand) string {
	if rng.IntN(3) > 0 {
		return ""
	}
	return "|@" + []string{"1", "0.5", "0.1", ".25", "0.333", "0.01"}[rng.IntN(6)]
}

func randomTags(rng *rand.Rand) string {
	if rng.IntN(5) > 0 {
		return ""
	}
	return fmt.Sprintf("|#route:r%d,method:GET", rng.IntN(3))
}

// inDatagrams puts lines into datagrams of one up to as many as go into one.
func inDatagrams(rng *rand.Rand, lines []string) (all [][]byte) {
	for len(lines) > 0 {
		n := min(1+rng.IntN(30), len(lines))
		d := []byte(strings.Join(lines[:n], "\n"))
		if rng.IntN(2) == 0 {
			d = append(d, '\n')
		}
		all, lines = append(all, d), lines[n:]
	}
	return all
}

// relayed is what each round comes to with us, in plaintext.
func relayed(t *testing.T, cfg Config, rounds [][][]byte) (flushes []string) {
	t.Helper()
	a, s := aggregate(t, cfg)
	at := time.Unix(1357000000, 0)
	for _, round := range rounds {
		for _, d := range round {
			s.take(d)
		}
		at = at.Add(cfg.Flush)
		rendered := rendered(a.flushed(at), cfg.Naming.names())
		flushes = append(flushes, string(rendered))
	}
	return flushes
}

// options are etsy's configuration, by its names.
type options map[string]any

// etsy is what each round comes to with etsy's statsd, and the flush interval that
// all of a round fell into.
func etsy(t *testing.T, o options, rounds [][][]byte) (flushes []string, interval time.Duration) {
	t.Helper()
	program := enginetest.URL(t, "STATSD")
	// Not a second: then a rate would be a count.
	for interval = 1500 * time.Millisecond; ; interval *= 4 {
		flushes, whole := runEtsy(t, program, o, rounds, interval)
		if whole {
			return flushes, interval
		}
		if interval > time.Minute {
			t.Fatalf("a round does not fit into %v", interval)
		}
	}
}

// runEtsy runs it once. The result is not whole if a flush came amid a round.
func runEtsy(t *testing.T, program string, o options, rounds [][][]byte, interval time.Duration) (flushes []string, whole bool) {
	t.Helper()
	received := carbonFlushes(t)
	to, stop := startEtsy(t, program, o, received.addr, interval)
	defer stop()
	received.next(t, interval) // it is up, and an interval begins
	conn, err := net.Dial("udp4", to)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, round := range rounds {
		for some := range slices.Chunk(round, 16) { // as many as its receive buffer surely holds
			for _, d := range some {
				send(t, conn, "%s", d)
			}
			eventually(t, "statsd to read", func() bool { return unread(t, to) == 0 })
		}
		text := received.next(t, interval)
		if !slices.ContainsFunc(strings.Split(text, "\n"), func(line string) bool {
			f := strings.Fields(line)
			return len(f) == 3 && strings.Contains(f[0], "packets_received") && f[1] == fmt.Sprint(len(round))
		}) {
			return nil, false
		}
		flushes = append(flushes, text)
	}
	return flushes, true
}

// startEtsy starts it with a configuration of its own and returns where it listens.
func startEtsy(t *testing.T, program string, o options, carbon string, interval time.Duration) (addr string, stop func()) {
	t.Helper()
	port := func(address string) int {
		_, p, _ := strings.Cut(address, ":")
		var n int
		fmt.Sscan(p, &n)
		return n
	}
	addr, management := freeUDP(t), freeUDP(t)
	all := options{
		"address": "127.0.0.1", "port": port(addr), "mgmt_address": "127.0.0.1", "mgmt_port": port(management),
		"graphiteHost": "127.0.0.1", "graphitePort": port(carbon), "backends": []string{"./backends/graphite"},
		"flushInterval": interval.Milliseconds(),
	}
	maps.Copy(all, o)
	config, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "config.js")
	if err := os.WriteFile(path, config, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, path)
	var said bytes.Buffer // read only after Wait
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return addr, func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("statsd said:\n%s", said.Bytes())
		}
	}
}

// freeUDP is an address that nobody listens on, neither by UDP nor by TCP.
func freeUDP(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p, err := net.ListenPacket("udp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	return l.Addr().String()
}

// unread is how much the kernel holds for the socket that listens at addr.
func unread(t *testing.T, addr string) (bytes uint64) {
	t.Helper()
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		t.Fatal(err)
	}
	sockets, err := fs.NetUDP()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sockets {
		if fmt.Sprintf("%s:%d", s.LocalAddr, s.LocalPort) == addr {
			bytes += s.RxQueue
		}
	}
	return bytes
}

// received are flushes of a sender that makes a connection for each.
type received struct {
	addr    string
	flushes chan string
}

func carbonFlushes(t *testing.T) received {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := received{l.Addr().String(), make(chan string, 100)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			text, err := io.ReadAll(conn)
			conn.Close()
			if err == nil {
				r.flushes <- string(text)
			}
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return r
}

func (r received) next(t *testing.T, interval time.Duration) string {
	t.Helper()
	select {
	case text := <-r.flushes:
		return text
	case <-time.After(interval + 30*time.Second): // a start of node on a busy machine
		t.Fatal("no flush of statsd came")
		return ""
	}
}
