package relay

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeCarbon keeps the lines that it reads, and can misbehave.
type fakeCarbon struct {
	t        *testing.T
	address  string
	mu       sync.Mutex
	lines    []string
	listener net.Listener
	conns    []net.Conn
	served   sync.WaitGroup
}

func newFakeCarbon(t *testing.T) *fakeCarbon {
	f := &fakeCarbon{t: t, address: local}
	f.up()
	t.Cleanup(f.down)
	return f
}

// up listens, at the same address each time.
func (f *fakeCarbon) up() { f.listen(f.keep) }

func (f *fakeCarbon) listen(serve func(net.Conn)) {
	f.t.Helper()
	listener, err := net.Listen("tcp", f.address)
	if err != nil {
		f.t.Fatal(err)
	}
	f.address = listener.Addr().String()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listener = listener
	f.served.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			down := f.listener != listener
			f.conns = append(f.conns, conn)
			f.mu.Unlock()
			if down {
				reset(conn)
				return
			}
			f.served.Go(func() { serve(conn) })
		}
	})
}

func (f *fakeCarbon) keep(conn net.Conn) {
	for s := bufio.NewScanner(conn); s.Scan(); {
		f.mu.Lock()
		f.lines = append(f.lines, s.Text())
		f.mu.Unlock()
	}
}

// down resets all connections and refuses new ones.
func (f *fakeCarbon) down() {
	f.mu.Lock()
	if f.listener == nil {
		f.mu.Unlock()
		return
	}
	f.listener.Close()
	f.listener = nil
	for _, c := range f.conns {
		reset(c)
	}
	f.conns = nil
	f.mu.Unlock()
	f.served.Wait()
}

func reset(conn net.Conn) {
	conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}

// counts returns the points of a path, in the order of arrival, each time once.
func (f *fakeCarbon) counts(path string) (values, times []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, line := range f.lines {
		fields := strings.Fields(line)
		if len(fields) == 3 && fields[0] == path && !slices.Contains(times, fields[2]) {
			values, times = append(values, fields[1]), append(times, fields[2])
		}
	}
	return values, times
}

// flushes has the relay count i and flush, for each i, at second 1000+i.
func flushes(r *Relay, from, to int) {
	for i := from; i < to; i++ {
		r.Count("a", float64(i+1))
		r.flushAt(time.Unix(int64(1000+i), 0))
	}
}

func numbers(from, to int) []string {
	var all []string
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprint(i))
	}
	return all
}

func TestFlushesWaitForCarbonInOrderWithTheirOwnTimes(t *testing.T) {
	t.Parallel()
	carbon := newFakeCarbon(t)
	r, _ := start(t, Config{Graphite: carbon.address, Flush: time.Hour})
	flushes(r, 0, 5)
	eventually(t, "five flushes", func() bool { v, _ := carbon.counts("stats_counts.a"); return len(v) == 5 })
	carbon.down()
	eventually(t, "the relay to notice", func() bool { return value(t, r, "relay_sink_up", "sink=graphite") == 0 })
	flushes(r, 5, 30)
	expect(t, r, map[string]float64{"relay_sink_queue_flushes{sink=graphite}": 25})
	if status := r.sinks[0].status(); status.waiting != 25 || status.err == nil {
		t.Errorf("the status is %+v, want 25 waiting and why", status)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := r.sinks[0].wait(ctx); err == nil || !strings.Contains(err.Error(), "25 flushes wait") {
		t.Errorf("waiting for it says %v", err)
	}
	carbon.up()
	eventually(t, "all flushes", func() bool { return r.sinks[0].status().waiting == 0 })
	eventually(t, "all points", func() bool { v, _ := carbon.counts("stats_counts.a"); return len(v) == 30 })
	values, times := carbon.counts("stats_counts.a")
	if !slices.Equal(values, numbers(1, 31)) || !slices.Equal(times, numbers(1000, 1030)) {
		t.Errorf("carbon got %q at %q", values, times)
	}
	expect(t, r, map[string]float64{
		"relay_sink_flushes_total{outcome=sent,sink=graphite}":    30,
		"relay_sink_flushes_total{outcome=resent,sink=graphite}":  1,
		"relay_sink_flushes_total{outcome=dropped,sink=graphite}": 0,
		"relay_sink_up{sink=graphite}":                            1,
		"relay_sink_queue_bytes{sink=graphite}":                   0,
	})
}

func TestNothingIsLostByACarbonThatResets(t *testing.T) {
	t.Parallel()
	carbon := newFakeCarbon(t)
	r, _ := start(t, Config{Graphite: carbon.address, Flush: time.Hour})
	const rounds = 8
	for i := range rounds {
		flushes(r, 3*i, 3*i+3)
		eventually(t, "the flushes of this round", func() bool { v, _ := carbon.counts("stats_counts.a"); return len(v) == 3*i+3 })
		carbon.down()
		carbon.up()
	}
	values, _ := carbon.counts("stats_counts.a")
	if !slices.Equal(values, numbers(1, 3*rounds+1)) {
		t.Errorf("carbon got %q", values)
	}
}

func TestACarbonThatNeverReadsCostsOnlyTheBacklog(t *testing.T) {
	t.Parallel()
	carbon := newFakeCarbon(t)
	carbon.down()
	stuck := make(chan struct{})
	carbon.listen(func(net.Conn) { <-stuck })
	t.Cleanup(func() { close(stuck) })
	const limit = 20 << 20
	r, err := New(Config{Graphite: carbon.address, Flush: time.Hour, Backlog: limit}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	sink := newCarbon(*r.cfg.Load(), r.self, quiet())
	sink.timeout = 200 * time.Millisecond
	r.sinks = append(r.sinks[:0], sink)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- sink.run(ctx, ctx) }()

	for i := range 20_000 { // a flush of some 6 MB, more than a connection's buffers take
		r.Count(fmt.Sprintf("some.long.key.of.a.counter.so.that.buffers.are.full.soon.even.if.the.kernel.lets.them.grow.%06d", i), 1)
	}
	flushes(r, 0, 10)
	eventually(t, "a write to fail", func() bool { return value(t, r, "relay_sink_errors_total", "operation=write,sink=graphite") >= 2 })
	if _, bytes, _ := sink.backlog.size(); bytes > limit {
		t.Errorf("%d bytes wait, the limit is %d", bytes, limit)
	}
	dropped := value(t, r, "relay_sink_flushes_total", "outcome=dropped,sink=graphite")
	waiting := value(t, r, "relay_sink_queue_flushes", "sink=graphite")
	if dropped < 1 || dropped+waiting != 10 {
		t.Errorf("%v dropped and %v waiting, want 10 in all", dropped, waiting)
	}
	if head, _ := sink.backlog.head(); head.at.Unix() != 1000+int64(dropped) {
		t.Errorf("the oldest that waits is of %d, want the first that was not dropped", head.at.Unix())
	}
	cancel()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "could not be sent") {
		t.Errorf("at the end the sink says %v", err)
	}
}

func TestAFlushLargerThanTheBacklogIsDroppedAndCounted(t *testing.T) {
	t.Parallel()
	q := newBacklog(10)
	small := batch{time.Unix(1, 0), []byte("12345"), 1}
	if dropped := q.push(small); dropped != nil {
		t.Errorf("%v were dropped of an empty backlog", dropped)
	}
	if dropped := q.push(batch{time.Unix(2, 0), make([]byte, 11), 7}); len(dropped) != 1 || dropped[0].points != 7 {
		t.Errorf("%v were dropped, want the one that is too large", dropped)
	}
	head, ok := q.head()
	q.push(batch{time.Unix(3, 0), make([]byte, 9), 1}) // drops the head while it is being sent
	q.pop(head)
	if next, ok2 := q.head(); !ok || !ok2 || next.at.Unix() != 3 {
		t.Errorf("the head is %v, want the newest: pop took what it was not given", next.at)
	}
}

func TestTheLastFlushReachesCarbonBeforeTheEnd(t *testing.T) {
	t.Parallel()
	carbon := newFakeCarbon(t)
	r, stop := start(t, Config{UDP: local, Graphite: carbon.address})
	eventually(t, "carbon to be connected", func() bool { return r.sinks[0].status().err == nil })
	conn := dialUDP(t, r)
	for range 100 {
		send(t, conn, "last:1|c")
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	sum := 0
	eventually(t, "the last flush", func() bool {
		values, times := carbon.counts("stats_counts.last")
		sum = 0
		for _, v := range values {
			n := 0
			fmt.Sscan(v, &n)
			sum += n
		}
		for _, at := range times {
			if !strings.HasSuffix(at, "0") {
				t.Fatalf("the last flush is stamped %s, want the interval's end", at)
			}
		}
		return sum == 100
	})
}

func TestFlushSaysWhatGraphiteStillLacks(t *testing.T) {
	t.Parallel()
	carbon := newFakeCarbon(t)
	r, stop := start(t, Config{Graphite: carbon.address, Flush: time.Hour})
	r.Count("a", 1)
	if err := r.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	carbon.down()
	eventually(t, "the relay to notice", func() bool { return r.sinks[0].status().err != nil })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := r.Flush(ctx)
	if err == nil || !strings.Contains(err.Error(), carbon.address) || !strings.Contains(err.Error(), "1 flushes wait") {
		t.Errorf("Flush says %v", err)
	}
	carbon.up()
	if err := stop(); err != nil {
		t.Error(err)
	}
}
