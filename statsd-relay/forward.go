package relay

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Forward sends every line on to one of several statsd servers, by consistent
// hashing of its key, as the proxy of etsy's statsd does and with its ring: a key
// is always on the same server, and of the others' keys none moves when one goes.
// The key is what stands before the first ':', without tags; of DogStatsD's
// events it is the title, of its service checks the name. What is no good line
// is sent on too: its server counts it as such. What the program itself feeds
// is not sent on.
type Forward struct {
	// Nodes are the servers: "[udp://|tcp://]host:port", UDP if neither is said,
	// and behind it how to ask after its health: "?admin=PORT" by the admin
	// protocol of etsy's statsd, "?http=PORT" by a page /-/ready. Nodes over TCP
	// are checked by connecting, nodes over UDP by default not at all. None: lines
	// are not sent on.
	Nodes []string `yaml:"nodes"`
	// Only means that lines are not aggregated here.
	Only bool `yaml:"only"`
	// Delay is how long a line waits at most for others to share its datagram; 0 is 5 ms.
	Delay time.Duration `yaml:"delay"`
	// Queue is how many bytes may wait for one node; 0 is 8 MiB. Beyond, lines are
	// dropped and counted.
	Queue int64 `yaml:"queue,size"`
	// Interval is how often nodes are checked; 0 is 1 s. A check may take 1 s.
	Interval time.Duration `yaml:"interval"`
	// Falls is after how many bad checks in a row a node's keys go to the others;
	// 0 is 2.
	Falls int `yaml:"falls"`
	// Rises is after how many good ones they come back; 0 is 2. It doubles for a
	// node that fell soon after it came back.
	Rises int `yaml:"rises"`

	targets []target
}

// complete fills what is left zero, and refuses what can't be done.
func (f *Forward) complete() (err error) {
	f.Delay = cmp.Or(f.Delay, 5*time.Millisecond)
	f.Queue = cmp.Or(f.Queue, 8<<20)
	f.Interval = cmp.Or(f.Interval, time.Second)
	f.Falls = cmp.Or(f.Falls, 2)
	f.Rises = cmp.Or(f.Rises, 2)
	if f.targets, err = parseTargets(f.Nodes); err != nil {
		return fmt.Errorf("statsd-relay: forward: nodes: %w", err)
	}
	switch {
	case f.Delay < 0 || f.Interval < 0 || f.Falls < 0 || f.Rises < 0:
		return errors.New("statsd-relay: forward: times and numbers can't be negative")
	case f.Queue < datagram:
		return fmt.Errorf("statsd-relay: forward: queue %d: give at least %d bytes, the largest datagram", f.Queue, datagram)
	case f.Only && len(f.Nodes) == 0:
		return errors.New("statsd-relay: forward: only: there are no nodes, so all lines would be lost: name some, or aggregate here")
	}
	return nil
}

// tap gets what readers read, before it is parsed: datagrams, or whole lines. Its
// take must not wait, and must not keep b.
type tap interface{ take(b []byte) }

// taps are several. None of them is nil.
type taps []tap

func (ts taps) take(b []byte) {
	for _, t := range ts {
		t.take(b)
	}
}

// forwarder is the sink that Forward describes. Readers hash and pack lines
// themselves, each into datagrams of its own; a goroutine a node sends them.
type forwarder struct {
	cfg   Forward
	log   *slog.Logger
	names []string
	nodes peers
	ring  atomic.Pointer[ring]
	lost  func(lines int) // those for which there is no node

	dirty chan struct{} // of one: some tap has datagrams that are not full
	again *forwardTap   // of lines that go to another node than they did

	mu     sync.Mutex
	taps   []*forwardTap
	health []health // by node
	since  time.Time
}

func newForwarder(cfg Forward, self *self, log *slog.Logger) *forwarder {
	sink := newPeerSink("forward", cfg.Queue*int64(len(cfg.targets)), self)
	f := &forwarder{cfg: cfg, log: log, dirty: make(chan struct{}, 1), since: time.Now()}
	lost := self.peerLines.With(sink.name, "none", "dropped")
	f.lost = func(lines int) { lost.Add(int64(lines)) }
	for _, t := range cfg.targets {
		p := newPeer(t, sink, cfg.Queue, self, log)
		p.reroute = f.reroute
		f.nodes = append(f.nodes, p)
		f.names = append(f.names, t.address)
		f.health = append(f.health, health{falls: cfg.Falls, rises: cfg.Rises})
	}
	f.again = f.tap()
	f.place()
	return f
}

// place makes the ring of the nodes that are on.
func (f *forwarder) place() {
	f.ring.Store(newRing(f.names, func(node int) bool { return !f.nodes[node].off.Load() }))
}

// tap returns one more, for one reader.
func (f *forwarder) tap() *forwardTap {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := &forwardTap{f: f, open: make([]*packet, len(f.nodes))}
	f.taps = append(f.taps, t)
	return t
}

// forwardTap sorts one reader's lines by node.
type forwardTap struct {
	f *forwarder

	mu     sync.Mutex // contended by sweep alone
	hashes hashes
	open   []*packet // by node; nil if nothing waits
	some   bool      // not all are nil
}

func (t *forwardTap) take(b []byte) {
	if t.sort(b) {
		select {
		case t.f.dirty <- struct{}{}:
		default:
		}
	}
}

// sort sorts lines in, and reports whether they are the first since the last sweep.
func (t *forwardTap) sort(b []byte) (first bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	ring := t.f.ring.Load()
	for len(b) > 0 {
		var line []byte
		line, b = nextLine(b)
		if len(line) > 0 {
			t.line(ring, line)
		}
	}
	first = !t.some
	t.some = true
	return first
}

// nextLine cuts off the first line.
func nextLine(b []byte) (line, rest []byte) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		i = len(b)
	} else {
		rest = b[i+1:]
	}
	if line = b[:i]; i > 0 && line[i-1] == '\r' {
		line = line[:i-1]
	}
	return line, rest
}

func (t *forwardTap) line(ring *ring, line []byte) {
	node := ring.node(t.hashes.of(forwardKey(line)))
	if node < 0 {
		t.f.lost(1)
		return
	}
	p := t.open[node]
	if p != nil && !p.room(len(line)) {
		t.f.nodes[node].put(p)
		p = nil
	}
	if p == nil {
		p = packets.Get().(*packet)
		t.open[node] = p
	}
	p.add(line)
}

// sweep hands over what is not full.
func (t *forwardTap) sweep() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for node, p := range t.open {
		if p != nil {
			t.f.nodes[node].put(p)
			t.open[node] = nil
		}
	}
	t.some = false
}

// forwardKey is what a line is sorted by: its name, without the tags of any
// dialect. It is not cleaned, so names that are the same only when cleaned may
// be on two nodes.
func forwardKey(line []byte) []byte {
	if line[0] == '_' {
		if title := eventTitle(line); title != nil {
			return title
		}
		if rest, ok := bytes.CutPrefix(line, []byte("_sc|")); ok {
			name, _, _ := bytes.Cut(rest, []byte("|"))
			return name
		}
	}
	for i, c := range line {
		switch c {
		case ':', ';', ',', '#', '[': // the value, or tags of Graphite, InfluxDB, Librato, SignalFX
			return line[:i]
		}
	}
	return line
}

// eventTitle is the title of a DogStatsD event, "_e{<title's length>,<text's>}:<title>|…";
// nil if line is none.
func eventTitle(line []byte) []byte {
	rest, ok := bytes.CutPrefix(line, []byte("_e{"))
	if !ok {
		return nil
	}
	n := 0
	for len(rest) > 0 && rest[0] >= '0' && rest[0] <= '9' && n < len(line) {
		n = 10*n + int(rest[0]-'0')
		rest = rest[1:]
	}
	if i := bytes.Index(rest, []byte("}:")); i >= 0 && n <= len(rest)-i-2 {
		return rest[i+2 : i+2+n]
	}
	return nil
}

func (f *forwarder) name() string { return "forward" }

// send does nothing: flushes are not what is forwarded.
func (f *forwarder) send(*flush) {}

// run hands over, sends and checks until ctx is done, and then until nothing
// waits or drain is done.
func (f *forwarder) run(ctx, drain context.Context) error {
	sending, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var nodes, checks errgroup.Group
	for i, p := range f.nodes {
		nodes.Go(func() error {
			p.run(sending, drain)
			return nil
		})
		if p.check != nil {
			checks.Go(func() error {
				f.watch(ctx, i)
				return nil
			})
		}
	}
	f.sweepUntil(ctx)
	checks.Wait()
	f.sweep() // what the readers' last lines were
	f.leave()
	stop()
	nodes.Wait()
	for _, p := range f.nodes {
		p.abandon()
	}
	return nil
}

// leave moves what waits for nodes that are off to those that are on, which are
// still sending.
func (f *forwarder) leave() {
	for _, p := range f.nodes {
		if !p.off.Load() {
			continue
		}
		for batch := p.out.take(nil); len(batch) > 0; batch = p.out.take(batch[:0]) {
			p.settle(batch)
			f.reroute(batch)
		}
	}
}

// sweepUntil hands over what is not full a Delay after it began.
func (f *forwarder) sweepUntil(ctx context.Context) {
	for {
		select {
		case <-f.dirty:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(f.cfg.Delay):
		case <-ctx.Done():
		}
		f.sweep()
	}
}

func (f *forwarder) sweep() {
	f.mu.Lock()
	all := f.taps
	f.mu.Unlock()
	for _, t := range all {
		t.sweep()
	}
}

// reroute sorts anew what waited for a node that is off. It frees the packets.
func (f *forwarder) reroute(batch []*packet) {
	for _, p := range batch {
		f.again.sort(p.data)
		p.free()
	}
	f.again.sweep()
}

// watch checks a node until ctx is done.
func (f *forwarder) watch(ctx context.Context, node int) {
	tick := time.NewTicker(f.cfg.Interval)
	defer tick.Stop()
	for {
		try, cancel := context.WithTimeout(ctx, peerTimeout)
		err := f.nodes[node].check(try)
		cancel()
		if ctx.Err() != nil {
			return
		}
		f.note(node, err)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// note takes a check's outcome, and takes the node off the ring or puts it back.
func (f *forwarder) note(node int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := &f.health[node]
	if !h.note(err == nil) {
		return
	}
	p := f.nodes[node]
	p.turn(h.off)
	f.place()
	if h.off {
		f.log.Warn("node is off: its keys go to others", "node", p.address, "error", err)
	} else {
		f.log.Info("node is on again", "node", p.address)
	}
}

// wait returns when nothing waits any more.
func (f *forwarder) wait(ctx context.Context) error {
	f.sweep()
	return f.nodes.wait(ctx, f.name())
}

func (f *forwarder) status() sinkStatus {
	return f.nodes.status(f.name(), f.since)
}
