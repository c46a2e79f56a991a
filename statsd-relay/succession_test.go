package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"addons/server/metrics"
	"addons/statsd-relay/carbon"
	"addons/statsd-relay/handover"
)

// succeeding runs relays, each of which takes over from the one before.
type succeeding struct {
	t    *testing.T
	cfg  Config
	now  *Relay
	stop context.CancelFunc
	done chan error
}

// succeed starts one more, and returns when the one before has ended.
func (s *succeeding) succeed(cfg Config, sinks ...sink) {
	s.t.Helper()
	cfg.Handover = s.cfg.Handover
	inherited, err := handover.Find(s.t.Context(), cfg.Handover)
	if err != nil {
		s.t.Fatal(err)
	}
	defer inherited.Close()
	next, err := NewSuccessor(cfg, quiet(), inherited)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.now != nil {
		if err := <-s.done; err != nil {
			s.t.Errorf("the predecessor ended with %v", err)
		}
	}
	s.run(next, sinks...)
}

func (s *succeeding) run(r *Relay, sinks ...sink) {
	r.sinks = append(r.sinks, sinks...)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	s.now, s.stop, s.done = r, cancel, done
}

// end stops the last one.
func (s *succeeding) end() error {
	s.stop()
	return <-s.done
}

func succession(t *testing.T) *succeeding {
	return &succeeding{t: t, cfg: Config{Handover: filepath.Join(t.TempDir(), "handover")}}
}

// sender writes lines to a relay until it is told to stop, and counts them.
type sender struct {
	conn  net.Conn
	lines int
}

// run sends counts, times, members and gauges, as many lines in a write as fit. Over a
// stream, writes end in the middle of lines.
func (s *sender) run(stop <-chan struct{}, key string, stream bool) error {
	rng := rand.New(rand.NewPCG(1, 2))
	var out []byte
	for {
		for range 20 {
			out = fmt.Appendf(out, "%s.count:1|c\n%s.time:%d|ms\n%s.members:m%d|s\n%s.level:+1|g\n", key, key, s.lines, key, s.lines, key)
			s.lines++
		}
		n := len(out)
		if stream {
			n = rng.IntN(n)
		}
		if _, err := s.conn.Write(out[:n]); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		out = out[:copy(out, out[n:])]
		select {
		case <-stop:
			_, err := s.conn.Write(out)
			if len(out) > 0 && err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
			return nil
		case <-time.After(time.Millisecond): // a pace at which no buffer fills
		}
	}
}

func TestHandOversUnderLoadLoseNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := Config{
		UDP: local, TCP: local, Readers: 2, Flush: time.Second, Admin: "localhost:0", TimerSamples: 1 << 20,
		Listen: Listen{Unixgram: filepath.Join(dir, "gram"), Unix: filepath.Join(dir, "stream")},
	}
	kept := &keepingSink{}
	relays := succession(t)
	relays.succeed(cfg, kept)
	first := relays.now
	udp, tcp := first.Addr()
	admin := first.AdminAddr()
	stop := make(chan struct{})
	var sending sync.WaitGroup
	senders := map[string]*sender{}
	for _, in := range []struct{ key, network, address string }{
		{"udp", "udp", udp.String()}, {"udp2", "udp", udp.String()}, {"tcp", "tcp", tcp.String()},
		{"gram", "unixgram", cfg.Listen.Unixgram}, {"stream", "unix", cfg.Listen.Unix},
	} {
		conn, err := net.Dial(in.network, in.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		s := &sender{conn: conn}
		senders[in.key] = s
		sending.Go(func() {
			if err := s.run(stop, in.key, in.network == "tcp" || in.network == "unix"); err != nil {
				t.Error(err)
			}
		})
	}
	for range 3 {
		before := relays.now
		scraping, scraped := context.WithCancel(t.Context())
		sending.Go(func() { // also while it hands over
			for scraping.Err() == nil {
				before.Gatherer().Gather()
				time.Sleep(time.Millisecond)
			}
		})
		eventually(t, "lines over all sockets", func() bool {
			for key := range senders {
				if value(t, before, key+"_count", "") < 500 {
					return false
				}
			}
			return true
		})
		relays.succeed(cfg, kept)
		scraped()
		if u, c := relays.now.Addr(); u.String() != udp.String() || c.String() != tcp.String() || relays.now.AdminAddr().String() != admin.String() {
			t.Errorf("the successor is at %v, %v, %v", u, c, relays.now.AdminAddr())
		}
		for network, path := range map[string]string{"unixgram": cfg.Listen.Unixgram, "unix": cfg.Listen.Unix} {
			conn, err := net.Dial(network, path)
			if err != nil {
				t.Fatalf("nobody new can come after a hand-over: %v", err)
			}
			conn.Close()
		}
	}
	close(stop)
	sending.Wait()
	last := relays.now
	for _, s := range senders {
		s.conn.Close()
	}
	eventually(t, "all that was sent", func() bool {
		for key, s := range senders {
			if value(t, last, key+"_count", "") != float64(s.lines) {
				return false
			}
		}
		return true
	})
	for key, s := range senders {
		expect(t, last, map[string]float64{key + "_time": float64(s.lines), key + "_level": float64(s.lines), "relay_kernel_drops_total": 0})
	}
	if err := relays.end(); err != nil {
		t.Fatal(err)
	}
	for key, s := range senders {
		if got := kept.total(key + ".count"); got != float64(s.lines) {
			t.Errorf("flushes have %v of %s, want %d", got, key, s.lines)
		}
		if got := kept.members(key + ".members"); got != float64(s.lines) {
			t.Errorf("flushes have %v members of %s, want %d", got, key, s.lines)
		}
		if got := kept.stat(key+".time", "count"); got != float64(s.lines) {
			t.Errorf("flushes have %v times of %s, want %d", got, key, s.lines)
		}
	}
	for _, path := range []string{cfg.Listen.Unixgram, cfg.Listen.Unix, relays.cfg.Handover} {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there after the last relay: %v", path, err)
		}
	}
}

// total sums a counter over all flushes.
func (k *keepingSink) total(key string) float64 {
	return k.sum(key, func(f *flush) []point { return f.counters })
}

// members sums a set's over all flushes, in which no member comes twice.
func (k *keepingSink) members(key string) float64 {
	return k.sum(key, func(f *flush) []point { return f.sets })
}

func (k *keepingSink) sum(key string, points func(*flush) []point) (n float64) {
	for _, f := range k.flushes {
		for _, p := range points(f) {
			if p.key == key {
				n += p.value
			}
		}
	}
	return n
}

// stat sums one number of a timer over all flushes.
func (k *keepingSink) stat(key, name string) (n float64) {
	for _, f := range k.flushes {
		for _, p := range f.timers {
			for _, s := range p.stats {
				if p.key == key && s.name == name {
					n += s.value
				}
			}
		}
	}
	return n
}

func TestASuccessorGoesOnWithWhatThePredecessorKnew(t *testing.T) {
	t.Parallel()
	cfg := Config{UDP: local, Flush: time.Hour, TimerSamples: 10, Percentiles: []float64{90}}
	relays := succession(t)
	relays.succeed(cfg)
	conn := dialUDP(t, relays.now)
	lines := []string{"c:3|c|@0.5", "g:5|g", "s:a|s", "s:b|s", "few:10|ms|@0.5", "few:20|ms", "h:3|h", "bad", "old:7|c|T1600000000"}
	for i := range 100 {
		lines = append(lines, fmt.Sprintf("many:%d|ms", i))
	}
	all := strings.Join(lines, "\n")
	sendAll(t, relays.now, conn, 1, func(int) []byte { return []byte(all) })
	alone := flushOf(t, cfg, all, all)
	wantPage := metricsPage(t, relays.now)
	before := relays.now

	relays.succeed(cfg)
	if got := metricsPage(t, relays.now); got != wantPage {
		t.Errorf("/metrics was\n%s\nand is\n%s", wantPage, got)
	}
	sendAll(t, relays.now, conn, 1, func(int) []byte { return []byte(all) })
	if got := inOrder(relays.now.agg.flushed(time.Unix(10, 0))); got != alone {
		t.Errorf("with a hand-over between the halves the flush is\n%s\nwithout one\n%s", got, alone)
	}
	if before.Successor() != os.Getpid() {
		t.Errorf("the successor is %d, want this process", before.Successor())
	}
	if err := relays.end(); err != nil {
		t.Error(err)
	}
}

// flushOf is what one relay alone makes of datagrams.
func flushOf(t *testing.T, cfg Config, datagrams ...string) string {
	t.Helper()
	a, s := aggregate(t, cfg)
	for _, d := range datagrams {
		s.take([]byte(d))
		a.mu.Lock()
		a.merge() // as a hand-over, or a scrape, does
		a.mu.Unlock()
	}
	return inOrder(a.flushed(time.Unix(10, 0)))
}

// inOrder are the lines of a flush in order, but for how long it took.
func inOrder(f *flush) string {
	f.took, f.late = 0, 0
	lines := rendered(f, Naming{}.names())
	all := strings.Split(string(lines), "\n")
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// metricsPage is /metrics without the relay's own metrics.
func metricsPage(t *testing.T, r *Relay) string {
	t.Helper()
	rec := httptest.NewRecorder()
	r.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	var own []string
	for line := range strings.Lines(rec.Body.String()) {
		if !strings.Contains(line, "relay_") && !strings.Contains(line, "process_") && !strings.Contains(line, "go_") {
			own = append(own, line)
		}
	}
	return strings.Join(own, "")
}

func TestSeriesKeepTheirPlacesAndNames(t *testing.T) {
	t.Parallel()
	for limit, cfg := range map[string]Config{"max_series": {MaxSeries: 40}, "max_per_prefix": {MaxPerPrefix: 40}} {
		cfg.Flush = time.Hour
		relays := succession(t)
		relays.succeed(cfg)
		relays.now.Gauge("name", 7) // the gauge has it, and the counter does not
		relays.now.Count("name", 1)
		for i := range 50 {
			relays.now.Count(fmt.Sprintf("prefix.k%d", i), float64(i+1))
		}
		page, before := metricsPage(t, relays.now), held(relays.now.agg)
		if !strings.Contains(page, "name 7") || len(before) < 41 {
			t.Fatalf("%s: %d series, and the page is\n%s", limit, len(before), page)
		}
		for range 2 {
			relays.succeed(cfg)
			if got := held(relays.now.agg); !slices.Equal(got, before) {
				t.Errorf("%s: the series were\n%v\nand are\n%v", limit, before, got)
			}
			if got := metricsPage(t, relays.now); got != page {
				t.Errorf("%s: /metrics was\n%s\nand is\n%s", limit, page, got)
			}
		}
		if err := relays.end(); err != nil {
			t.Error(err)
		}
	}
}

// held lists the series that there are, with their values.
func held(a *aggregator) (all []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.merge()
	for c := range a.series {
		for s := range a.series[c].all() {
			all = append(all, fmt.Sprint(s.class, " ", s.key, " ", s.value))
		}
	}
	slices.Sort(all)
	return all
}

func TestASuccessorHasOtherNamesAndLimits(t *testing.T) {
	t.Parallel()
	relays := succession(t)
	relays.succeed(Config{Flush: time.Hour})
	relays.now.Gauge("depth", 5)
	const n = 5_000
	for i := range n {
		relays.now.Timing("time", float64(i))
	}
	mapping := mappingFile(t, "mappings:\n- {match: depth, name: queue_depth}\n")
	relays.succeed(Config{Flush: time.Hour, TimerMemory: 1, Prometheus: Prometheus{Mapping: mapping}})
	expect(t, relays.now, map[string]float64{"depth": -1, "queue_depth": 5, "time": n})
	f := relays.now.agg.flushed(time.Unix(10, 0))
	if s := f.timers[0].stats; !slices.Contains(s, stat{"count", n}) || !slices.Contains(s, stat{"sum", n * (n - 1) / 2}) || !slices.Contains(s, stat{"upper", n - 1}) {
		t.Errorf("the timer came to %v", s)
	}
	if err := relays.end(); err != nil {
		t.Error(err)
	}
}

func TestWhatTheProgramHoldsBackGoesToTheSuccessor(t *testing.T) {
	t.Parallel()
	relays := succession(t)
	cfg := Config{Handover: relays.cfg.Handover, Flush: time.Hour}
	first, err := New(cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	first.HandOverWith("tcp", local, Server{Rest: func() []net.Conn {
		first.Count("held.back", 3)
		return nil
	}})
	relays.run(first)
	relays.succeed(cfg)
	expect(t, relays.now, map[string]float64{"held_back": 3})
	if err := relays.end(); err != nil {
		t.Error(err)
	}
}

func TestConnectionsOfTheProgramGoToTheSuccessorsProgram(t *testing.T) {
	t.Parallel()
	relays := succession(t)
	cfg := Config{Handover: relays.cfg.Handover, Flush: time.Hour}
	for _, wanted := range []bool{true, false} {
		first, err := New(cfg, quiet())
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", local)
		if err != nil {
			t.Fatal(err)
		}
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		resumed := false
		first.HandOverWith("tcp", "beacons", Server{Rest: func() []net.Conn { return []net.Conn{conn} }, Resume: func() { resumed = true }})
		relays.run(first)
		inherited, err := handover.Find(t.Context(), cfg.Handover)
		if err != nil {
			t.Fatal(err)
		}
		next, err := NewSuccessor(cfg, quiet(), inherited)
		if err != nil {
			t.Fatal(err)
		}
		if err := <-relays.done; err != nil || resumed {
			t.Errorf("the predecessor ended with %v, resumed: %t", err, resumed)
		}
		conn.Close()
		l.Close()
		if got := next.Connections("tcp", "elsewhere"); len(got) > 0 {
			t.Errorf("%d connections to another address", len(got))
		}
		if wanted {
			all := next.Connections("tcp", "beacons")
			if len(all) != 1 || len(next.Connections("tcp", "beacons")) > 0 {
				t.Fatalf("%d connections, want one, once", len(all))
			}
			send(t, all[0], "from the successor")
			all[0].Close()
		}
		relays.run(next)
		client.SetDeadline(time.Now().Add(10 * time.Second))
		if text, err := io.ReadAll(client); err != nil || (string(text) == "from the successor") != wanted {
			t.Errorf("the client has read %q, %v", text, err)
		}
		if err := relays.end(); err != nil {
			t.Error(err)
		}
	}
}

func TestAConnectionGoesOnInTheMiddleOfALine(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "stream")
	cfg := Config{TCP: local, Listen: Listen{Unix: path}, Flush: time.Hour}
	relays := succession(t)
	relays.succeed(cfg)
	tcp := dialTCP(t, relays.now)
	framed, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer framed.Close()
	longFrame, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer longFrame.Close()
	long := dialTCP(t, relays.now)
	send(t, tcp, "whole:1|c\ncut:1")
	send(t, framed, "%s", []byte{9, 0, 0, 0, 'f', 'r', 'a', 'm', 'e'})
	send(t, long, "%s", bytes.Repeat([]byte{'x'}, lineLimit+100))
	send(t, longFrame, "%s%s", []byte{200, 0, 1, 0}, bytes.Repeat([]byte("y:1|c\n"), 10))
	eventually(t, "the beginnings to be read", func() bool {
		return value(t, relays.now, "whole", "") == 1 && value(t, relays.now, "relay_tcp_connections", "") == 4 &&
			value(t, relays.now, "relay_bad_lines_total", "reason=long_line") == 2
	})
	time.Sleep(2 * drainPause) // so that the predecessor has read what the successor is told of
	relays.succeed(cfg)
	expect(t, relays.now, map[string]float64{"relay_tcp_connections": 4})
	send(t, tcp, "0|c\n")
	send(t, framed, ":4|c")
	send(t, long, "xx:1|c\nbehind:1|c\n")
	send(t, longFrame, "%s%s", bytes.Repeat([]byte("y:1|c\n"), (1<<16+200)/6-10), []byte("\x0d\x00\x00\x00behind.it:1|c"))
	eventually(t, "the ends to be read", func() bool {
		return value(t, relays.now, "cut", "") == 10 && value(t, relays.now, "frame", "") == 4 && value(t, relays.now, "behind", "") == 1 && value(t, relays.now, "behind_it", "") == 1
	})
	expect(t, relays.now, map[string]float64{"xx": -1, "y": -1})
	if err := relays.end(); err != nil {
		t.Error(err)
	}
	expect(t, relays.now, map[string]float64{"relay_bad_lines_total{reason=long_line}": 0, "relay_bad_lines_total{reason=no_value}": 0})
}

func TestASuccessorThatFailsLeavesThePredecessorRunning(t *testing.T) {
	t.Parallel()
	c := newFakeCarbon(t)
	spool := t.TempDir()
	cfg := Config{UDP: local, TCP: local, Flush: time.Hour, Graphite: Graphite{Addresses: []string{c.Address}, Spool: Spool{Dir: spool}}}
	relays := succession(t)
	relays.succeed(cfg)
	conn, stream := dialUDP(t, relays.now), dialTCP(t, relays.now)
	count := func(n int) {
		t.Helper()
		send(t, conn, "exact:1|c")
		send(t, stream, "exact:1|c\n")
		eventually(t, "both lines", func() bool { return value(t, relays.now, "exact", "") == float64(2*n) })
	}
	count(1)
	for name, fail := range map[string]func(p *handover.Predecessor) error{
		"before it is ready": func(*handover.Predecessor) error { return errors.New("it is not") },
		"with the state half read": func(p *handover.Predecessor) error {
			return p.Succeed(handover.Heir{Prepare: unprepared, Take: func(_ []handover.Socket, state io.Reader) error {
				io.ReadFull(state, make([]byte, 10))
				return errors.New("a full disk")
			}})
		},
		"with the state read, for it hangs": func(p *handover.Predecessor) error {
			return p.Succeed(handover.Heir{Prepare: unprepared, Take: func(_ []handover.Socket, state io.Reader) error {
				io.Copy(io.Discard, state)
				eventually(t, "the predecessor to go on", relays.now.ready.Load)
				return nil
			}})
		},
		"with the spool open": func(p *handover.Predecessor) error {
			return p.Succeed(handover.Heir{Prepare: unprepared, Take: func(_ []handover.Socket, state io.Reader) error {
				cluster, err := carbon.New(cfg.Graphite.carbon(), func(string) carbon.Metrics { return newSelf(metrics.New(nil), Config{}).carbon("x") }, quiet())
				if err != nil {
					t.Error(err)
					return err
				}
				io.Copy(io.Discard, state)
				return errors.Join(errors.New("no memory"), cluster.Close())
			}})
		},
	} {
		in, err := handover.Find(t.Context(), relays.cfg.Handover)
		if err != nil {
			t.Fatal(name, err)
		}
		if err := fail(in.From); err == nil {
			t.Fatal(name, "the successor did not fail")
		}
		in.Close()
	}
	eventually(t, "it to be ready again", relays.now.ready.Load)
	count(2)
	if err := relays.now.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	eventually(t, "carbon to have it", func() bool { return c.total("stats_counts.exact") == 4 })
	relays.succeed(cfg)
	send(t, stream, "exact:1|c\n")
	eventually(t, "the line", func() bool { return value(t, relays.now, "exact", "") == 5 })
	if err := relays.end(); err != nil {
		t.Error(err)
	}
	eventually(t, "carbon to have the last line too", func() bool { return c.total("stats_counts.exact") == 5 })
}

func unprepared(io.Reader) error { return nil }

func TestASuccessorThatHangsWithTheSpoolHoldsUpNothing(t *testing.T) {
	t.Parallel()
	c := newFakeCarbon(t)
	cfg := Config{UDP: local, Flush: time.Hour, Graphite: Graphite{Addresses: []string{c.Address}, Spool: Spool{Dir: t.TempDir()}}}
	relays := succession(t)
	cfg.Handover = relays.cfg.Handover
	relays.succeed(cfg)
	relays.now.ReloadFrom(func() (Config, error) { return cfg, nil })
	conn := dialUDP(t, relays.now)
	in, err := handover.Find(t.Context(), cfg.Handover)
	if err != nil {
		t.Fatal(err)
	}
	var held *carbon.Cluster
	if err := in.From.Succeed(handover.Heir{Prepare: unprepared, Take: func(_ []handover.Socket, state io.Reader) (err error) {
		held, err = carbon.New(cfg.Graphite.carbon(), func(string) carbon.Metrics { return newSelf(metrics.New(nil), Config{}).carbon("x") }, quiet())
		return errors.Join(errors.New("it hangs"), err)
	}}); err == nil || held == nil {
		t.Fatalf("the successor has the spool %v, and ends with %v", held, err)
	}
	in.Close()
	send(t, conn, "exact:1|c")
	eventually(t, "the line", func() bool { return value(t, relays.now, "exact", "") == 1 })
	if err := relays.now.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	eventually(t, "carbon to have it", func() bool { return c.total("stats_counts.exact") == 1 })
	if err := held.Close(); err != nil {
		t.Error(err)
	}
	if err := relays.now.Reload(); err != nil {
		t.Error(err)
	}
	if got := relays.now.cfg.Load().Graphite.Spool.Dir; got != cfg.Graphite.Spool.Dir {
		t.Errorf("after a reload the spool is at %q", got)
	}
	if err := relays.end(); err != nil {
		t.Error(err)
	}
}

func TestASuccessorThatFailsLeavesThePredecessorItsFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := Config{Flush: time.Hour, Listen: Listen{Unixgram: filepath.Join(dir, "gram"), Unix: filepath.Join(dir, "stream")}}
	relays := succession(t)
	relays.succeed(cfg)
	bad := cfg
	bad.Handover = relays.cfg.Handover
	bad.Graphite = Graphite{Addresses: []string{"127.0.0.1:2003"}, Spool: Spool{Dir: "/dev/null/spool"}}
	inherited, err := handover.Find(t.Context(), bad.Handover)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewSuccessor(bad, quiet(), inherited); err == nil || !strings.Contains(err.Error(), "spool") {
		t.Fatalf("a successor without its spool says %v", err)
	}
	inherited.Close()
	for network, path := range map[string]string{"unixgram": cfg.Listen.Unixgram, "unix": cfg.Listen.Unix} {
		conn, err := net.Dial(network, path)
		if err != nil {
			t.Fatalf("nobody can come to the relay that goes on: %v", err)
		}
		conn.Close()
	}
	relays.succeed(cfg) // which needs the third
	if err := relays.end(); err != nil {
		t.Error(err)
	}
	for _, path := range []string{cfg.Listen.Unixgram, cfg.Listen.Unix, relays.cfg.Handover} {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there after the last relay: %v", path, err)
		}
	}
}

func TestWhatASuccessorDoesNotListenAtIsClosed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "stream")
	relays := succession(t)
	relays.succeed(Config{Flush: time.Hour, TCP: local, Listen: Listen{Unix: path}})
	_, tcp := relays.now.Addr()
	waits, err := net.Dial("tcp", tcp.String())
	if err != nil {
		t.Fatal(err)
	}
	defer waits.Close()
	inherited, err := handover.Find(t.Context(), relays.cfg.Handover)
	if err != nil {
		t.Fatal(err)
	}
	next, err := NewSuccessor(Config{Flush: time.Hour, Handover: relays.cfg.Handover}, quiet(), inherited)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-relays.done; err != nil {
		t.Error(err)
	}
	relays.run(next)
	if conn, err := net.Dial("tcp", tcp.String()); err == nil {
		conn.Close()
		t.Errorf("%s still takes connections, and nobody reads them", tcp)
	}
	waits.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := waits.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("a connection there is still open")
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", path, err)
	}
	if err := relays.end(); err != nil {
		t.Error(err)
	}
}

func TestASuccessorThatComesAsTheRelayEndsIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "handover")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	stopped, cancel := context.WithCancelCause(t.Context())
	cancel(nil)
	paused, pause := context.WithCancelCause(t.Context())
	pause(errHandOver)
	deaf := errors.New("a socket fails")
	for _, c := range []struct {
		ctx   context.Context
		ended error
		want  string
	}{{stopped, nil, errEnding.Error()}, {paused, deaf, deaf.Error()}, {paused, nil, ""}} {
		refused := make(chan error, 1)
		go func() {
			p, err := handover.Dial(t.Context(), path)
			if err == nil {
				err = p.Succeed(handover.Heir{Prepare: unprepared, Take: func([]handover.Socket, io.Reader) error { return nil }})
			}
			refused <- err
		}()
		s, err := handover.Serve(t.Context(), l, quiet(), handover.Legacy{Sockets: func() ([]handover.Socket, error) { return nil, nil }, Ahead: func(io.Writer) error { return nil }})
		if err != nil {
			t.Fatal(err)
		}
		if got := entitled(c.ctx, s, c.ended); got != nil {
			if err := got.HandOver(nil, func(io.Writer) error { return nil }); err != nil {
				t.Error(err)
			}
		}
		if err := <-refused; (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("the successor is told %v, want %q", err, c.want)
		}
	}
}

func TestFlushesThatWaitInMemoryAreHandedOver(t *testing.T) {
	t.Parallel()
	down, err := net.Listen("tcp", local)
	if err != nil {
		t.Fatal(err)
	}
	address := down.Addr().String()
	down.Close()
	cfg := Config{UDP: local, Flush: time.Hour, Graphite: Graphite{Addresses: []string{address}}}
	relays := succession(t)
	relays.succeed(cfg)
	sendAll(t, relays.now, dialUDP(t, relays.now), 1, func(int) []byte { return []byte("exact:3|c") })
	relays.now.flushAt(time.Unix(1e9, 0))
	relays.succeed(cfg)
	if got := value(t, relays.now, "relay_sink_queue_flushes", "sink=graphite"); got != 1 {
		t.Errorf("%v flushes wait in the successor, want 1", got)
	}
	if err := relays.end(); err == nil {
		t.Error("the last one has lost it without a word")
	}
}

func TestOnlyOneRelayAtATimeIsAtThePath(t *testing.T) {
	t.Parallel()
	relays := succession(t)
	relays.succeed(Config{Flush: time.Hour})
	if info, err := os.Stat(relays.cfg.Handover); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket is %v, %v, want one of mode 0600", info, err)
	}
	if _, err := New(relays.cfg, quiet()); err == nil || !strings.Contains(err.Error(), "is in use") {
		t.Errorf("a second one there says %v", err)
	}
	if err := relays.end(); err != nil {
		t.Error(err)
	}
}

func TestTheIntervalUnderWayEndsAsItBegan(t *testing.T) {
	t.Parallel()
	cfg := Config{UDP: local, Flush: time.Hour, Readers: 1, ReceiveBuffer: 4096, DeleteIdle: true}
	relays := succession(t)
	cfg.Handover = relays.cfg.Handover
	first, err := New(cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	conn := dialUDP(t, first)
	for range 1000 { // nobody reads yet, and most are dropped
		send(t, conn, "a:1|c")
	}
	relays.run(first)
	eventually(t, "1000 datagrams to be read or dropped", func() bool {
		return value(t, first, "relay_packets_total", "transport=udp")+value(t, first, "relay_kernel_drops_total", "") == 1000
	})
	cfg.Flush = time.Minute
	relays.succeed(cfg)
	second := relays.now
	eventually(t, "it to run", second.ready.Load)
	second.countDrops()
	expect(t, second, map[string]float64{"relay_kernel_drops_total": 0})
	if second.agg.cfg.Flush != time.Hour {
		t.Errorf("the interval under way is of %v, want the predecessor's %v", second.agg.cfg.Flush, time.Hour)
	}
	if f := second.agg.flushed(time.Unix(10, 0)); len(f.counters) != 1 {
		t.Errorf("the flush has %d counters, want the one that came before the hand-over", len(f.counters))
	}
	second.agg.nextInterval()
	if second.agg.cfg.Flush != time.Minute {
		t.Errorf("the next interval is of %v, want the successor's minute", second.agg.cfg.Flush)
	}
	if err := relays.end(); err != nil {
		t.Error(err)
	}
	if !second.due.Equal(first.due) {
		t.Errorf("the interval was to end at %v, and ended at %v", first.due, second.due)
	}
}

// BenchmarkHandOver is a hand-over of 100,000 timers with five values each, and for how
// long of it nobody reads.
func BenchmarkHandOver(b *testing.B) {
	cfg := Config{Handover: filepath.Join(b.TempDir(), "handover"), Flush: time.Hour, MaxSeries: 200_000}
	var paused pauses
	run := func(r *Relay) (stop func() error) {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		return func() error { cancel(); return <-done }
	}
	now, err := New(cfg, slog.New(&paused))
	if err != nil {
		b.Fatal(err)
	}
	stop := run(now)
	for i := range 100_000 {
		for v := range 5 {
			now.Timing(fmt.Sprintf("some.key.of.a.busy.site.k%06d", i), float64(v))
		}
	}
	for b.Loop() {
		inherited, err := handover.Find(context.Background(), cfg.Handover)
		if err != nil {
			b.Fatal(err)
		}
		next, err := NewSuccessor(cfg, slog.New(&paused), inherited)
		if err != nil {
			b.Fatal(err)
		}
		if err := stop(); err != nil {
			b.Fatal(err)
		}
		now, stop = next, run(next)
	}
	if now.agg.count != 100_000 {
		b.Errorf("%d series are left", now.agg.count)
	}
	b.ReportMetric(paused.total.Seconds()*1e3/float64(b.N), "ms-paused/op")
	stop()
}

// pauses sums what hand-overs log of how long they took.
type pauses struct {
	slog.Handler
	total time.Duration
}

func (p *pauses) Enabled(context.Context, slog.Level) bool { return true }

func (p *pauses) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "paused" {
			p.total += a.Value.Duration()
		}
		return true
	})
	return nil
}

func (p *pauses) WithAttrs([]slog.Attr) slog.Handler { return p }
