package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"

	"addons/server/metrics"
)

// packetSize is how many bytes of lines go into a datagram.
// 1432 = 1500 − IP and UDP headers − room for a tunnel.
const packetSize = 1432

const (
	peerTimeout = time.Second            // to connect, for a check, and for each batch to be taken by the kernel
	peerRetry   = 250 * time.Millisecond // between attempts, at the most
	peerQuiet   = 10 * time.Second       // between words about one peer in the log, and attempts while nothing waits
	peerBatch   = 64                     // packets of one sendmmsg
)

// packet is what goes to a peer in one datagram: lines, each with its newline.
type packet struct {
	data     []byte
	lines    int
	verbatim bool // the last newline is the sender's: it goes into the datagram too
}

// packetRoom is what a packet holds: the last newline does not go into the datagram.
const packetRoom = packetSize + 1

var packets = sync.Pool{New: func() any { return &packet{data: make([]byte, 0, packetRoom)} }}

// free gives p back, unless it had to be made for a long line.
func (p *packet) free() {
	if cap(p.data) == packetRoom {
		p.data, p.lines, p.verbatim = p.data[:0], 0, false
		packets.Put(p)
	}
}

// datagram is p as it goes over UDP.
func (p *packet) datagram() []byte {
	if p.verbatim {
		return p.data
	}
	return p.data[:len(p.data)-1]
}

// room returns whether a line of n bytes fits.
func (p *packet) room(n int) bool { return len(p.data)+n+1 <= packetRoom }

// add appends a line. One that is longer than a datagram should be makes p longer.
func (p *packet) add(line []byte) {
	p.data = append(append(p.data, line...), '\n')
	p.lines++
}

// outbox is what waits for a peer. When it is full, what comes is refused: lines
// are only worth something while they are new, but what waits is as good and is
// nearer to being sent.
type outbox struct {
	limit int64
	some  chan struct{} // of one: there are packets

	mu    sync.Mutex
	queue []*packet
	bytes int64         // with those that were taken and are not settled
	empty chan struct{} // closed when bytes is 0 again; nil if nobody waits for it
}

func newOutbox(limit int64) *outbox { return &outbox{limit: limit, some: make(chan struct{}, 1)} }

// put adds p at the end; false if there is no room.
func (o *outbox) put(p *packet) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.bytes+int64(cap(p.data)) > o.limit {
		return false
	}
	o.bytes += int64(cap(p.data))
	o.queue = append(o.queue, p)
	select {
	case o.some <- struct{}{}:
	default:
	}
	return true
}

// take moves packets behind into, until that has peerBatch. They count as waiting until settle.
func (o *outbox) take(into []*packet) []*packet {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := min(peerBatch-len(into), len(o.queue))
	into = append(into, o.queue[:n]...)
	left := copy(o.queue, o.queue[n:])
	clear(o.queue[left:])
	o.queue = o.queue[:left]
	return into
}

// settle ends the wait of a packet that was taken.
func (o *outbox) settle(p *packet) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bytes -= int64(cap(p.data))
	if o.bytes == 0 && o.empty != nil {
		close(o.empty)
		o.empty = nil
	}
}

// wait returns when nothing waits, or with ctx.
func (o *outbox) wait(ctx context.Context) error {
	o.mu.Lock()
	if o.bytes == 0 {
		o.mu.Unlock()
		return nil
	}
	if o.empty == nil {
		o.empty = make(chan struct{})
	}
	empty := o.empty
	o.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// size is in packets and in bytes of memory.
func (o *outbox) size() (packets int, bytes int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.queue), o.bytes
}

// target is where a peer is, and how to ask after its health.
type target struct {
	network string // udp or tcp
	address string // host:port
	check   check  // nil: none
	asked   bool   // for that check
}

// parseTarget reads "[udp://|tcp://]host:port[?admin=PORT|?http=PORT]".
func parseTarget(text string) (target, error) {
	bad := func(err error) (target, error) {
		return target{}, fmt.Errorf("%q: give [udp://|tcp://]host:port, and ?admin=PORT or ?http=PORT behind it to have it checked: %w", text, err)
	}
	whole := text
	if !strings.Contains(text, "://") {
		whole = "udp://" + text
	}
	u, err := url.Parse(whole)
	switch {
	case err != nil:
		return bad(err)
	case u.Scheme != "udp" && u.Scheme != "tcp":
		return bad(fmt.Errorf("%s is neither udp nor tcp", u.Scheme))
	case u.Hostname() == "" || u.Path != "" || u.User != nil || u.Fragment != "":
		return bad(errors.New("that is more, or less, than host:port"))
	}
	if err := validPort(u.Port()); err != nil {
		return bad(err)
	}
	t := target{network: u.Scheme, address: u.Host, asked: u.RawQuery != ""}
	t.check, err = parseCheck(t, u.Hostname(), u.Query())
	if err != nil {
		return bad(err)
	}
	return t, nil
}

// parseTargets reads all of them; none may be there twice.
func parseTargets(texts []string) ([]target, error) {
	seen := map[string]bool{}
	var all []target
	for _, text := range texts {
		t, err := parseTarget(text)
		if err != nil {
			return nil, err
		}
		if seen[t.address] {
			return nil, fmt.Errorf("%s is there twice", t.address)
		}
		seen[t.address] = true
		all = append(all, t)
	}
	return all, nil
}

func validPort(text string) error {
	if n, err := strconv.Atoi(text); err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("port %q: it lies between 1 and 65535", text)
	}
	return nil
}

// peer is another server that lines are sent to. It gets them at most once: a
// packet that a broken connection may have swallowed is not sent again, for its
// counters would count twice.
type peer struct {
	target
	sink    *peerSink
	log     *slog.Logger
	out     *outbox
	off     atomic.Bool     // its checks fail: what waits goes to reroute
	reroute func([]*packet) // nil: what waits goes on waiting
	metrics peerMetrics
	sent    atomic.Int64 // packets
	quiet   time.Duration

	conn     net.Conn
	hungUp   <-chan struct{} // conn is TCP, and the other side has closed it
	udp      *ipv4.PacketConn
	messages []ipv4.Message
	buffers  net.Buffers

	mu      sync.Mutex
	lastErr error // of the last attempt to send
	up      bool  // as the gauges have it
	said    time.Time
}

type peerMetrics struct {
	sent, dropped                     *metrics.Counter // lines
	bytes, connectErrors, writeErrors *metrics.Counter
	queue, up                         *metrics.Gauge
}

func newPeer(t target, sink *peerSink, queue int64, self *self, log *slog.Logger) *peer {
	p := &peer{target: t, sink: sink, log: log, out: newOutbox(queue), quiet: peerQuiet, messages: make([]ipv4.Message, peerBatch), up: true, metrics: peerMetrics{
		sent: self.peerLines.With(sink.name, t.address, "sent"), dropped: self.peerLines.With(sink.name, t.address, "dropped"),
		bytes: self.sinkBytes.With(sink.name), connectErrors: self.sinkErrors.With(sink.name, "connect"), writeErrors: self.sinkErrors.With(sink.name, "write"),
		queue: self.peerQueue.With(sink.name, t.address), up: self.peerUp.With(sink.name, t.address),
	}}
	for i := range p.messages {
		p.messages[i].Buffers = make([][]byte, 1)
	}
	p.metrics.up.Set(1)
	return p
}

// put lets pk wait for the peer; without room it is dropped and counted. It never waits.
func (p *peer) put(pk *packet) {
	if !p.out.put(pk) {
		p.drop(pk)
	}
}

func (p *peer) drop(pk *packet) {
	p.metrics.dropped.Add(int64(pk.lines))
	pk.free()
}

// run sends what waits and what comes until ctx is done, and then what waits
// until drain is; what waits still is dropped.
func (p *peer) run(ctx, drain context.Context) {
	defer p.hangUp()
	var batch []*packet
	for drain.Err() == nil {
		batch = p.out.take(batch)
		switch {
		case len(batch) > 0 && p.off.Load() && p.reroute != nil:
			p.settle(batch)
			p.reroute(batch)
			batch = batch[:0]
		case len(batch) > 0:
			rest, err := p.send(drain, batch)
			batch = batch[:copy(batch, rest)]
			if p.note(err); len(batch) > 0 {
				p.rest(drain)
			}
		case ctx.Err() != nil:
			return
		default:
			p.metrics.queue.Set(0)
			select {
			case <-p.out.some:
			case <-p.hungUp:
				p.hangUp()
				p.note(errHungUp)
			case <-p.again():
				p.note(p.connect(drain))
			case <-ctx.Done():
			}
		}
	}
	p.settle(batch)
	for _, pk := range batch {
		p.drop(pk)
	}
}

// again is when a peer that is away is to be tried though nothing waits for it: servers
// close what is silent, and are well all the same. It is nil for never; over UDP nothing
// can be found out.
func (p *peer) again() <-chan time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.network != "tcp" || p.conn != nil || p.lastErr == nil {
		return nil
	}
	return time.After(p.quiet)
}

// rest waits before another attempt.
func (p *peer) rest(drain context.Context) {
	p.hangUp()
	_, bytes := p.out.size()
	p.metrics.queue.Set(float64(bytes))
	select {
	case <-time.After(peerRetry/2 + rand.N(peerRetry/2)):
	case <-drain.Done():
	}
}

func (p *peer) settle(batch []*packet) {
	for _, pk := range batch {
		p.out.settle(pk)
	}
}

// send sends batch, over a new connection if there is none. It returns what is
// to be tried again after an error.
func (p *peer) send(ctx context.Context, batch []*packet) (rest []*packet, err error) {
	if err := p.connect(ctx); err != nil {
		return batch, err
	}
	if err := p.conn.SetWriteDeadline(time.Now().Add(peerTimeout)); err != nil {
		return batch, err
	}
	if p.udp != nil {
		rest, err = p.sendDatagrams(batch)
	} else {
		rest, err = p.sendStream(batch)
	}
	if err != nil {
		p.metrics.writeErrors.Inc()
	}
	return rest, err
}

// connect makes a connection if there is none.
func (p *peer) connect(ctx context.Context) error {
	if p.conn != nil {
		return nil
	}
	conn, err := (&net.Dialer{Timeout: peerTimeout}).DialContext(ctx, p.network, p.address)
	if err != nil {
		p.metrics.connectErrors.Inc()
		return err
	}
	p.conn = conn
	if p.network == "udp" {
		p.udp = ipv4.NewPacketConn(conn.(*net.UDPConn))
		return nil
	}
	p.hungUp = hungUp(conn)
	return nil
}

// hungUp is closed when the other side has closed or reset conn, or we have.
func hungUp(conn net.Conn) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(io.Discard, conn) // statsd servers say nothing
	}()
	return done
}

func (p *peer) hangUp() {
	if p.conn == nil {
		return
	}
	p.conn.Close()
	if p.hungUp != nil {
		<-p.hungUp
	}
	p.conn, p.udp, p.hungUp = nil, nil, nil
}

// sendDatagrams sends each packet in a datagram. One that can't be sent is
// dropped. That earlier ones were refused, as the host told meanwhile, is an error
// with nothing to try again.
func (p *peer) sendDatagrams(batch []*packet) (rest []*packet, refused error) {
	for len(batch) > 0 {
		for i, pk := range batch {
			p.messages[i].Buffers[0] = pk.datagram()
		}
		n, err := p.udp.WriteBatch(p.messages[:len(batch)], 0)
		n = max(n, 0)
		p.delivered(batch[:n])
		batch = batch[n:]
		switch {
		case err == nil:
		case errors.Is(err, syscall.ECONNREFUSED) && (refused == nil || n > 0):
			refused = err
		default:
			p.settle(batch[:1])
			p.drop(batch[0])
			return batch[1:], err
		}
	}
	return nil, refused
}

// sendStream writes the packets one behind the other. That which was cut by an
// error is dropped, those behind it are not.
func (p *peer) sendStream(batch []*packet) (rest []*packet, err error) {
	select {
	case <-p.hungUp:
		return batch, errHungUp
	default:
	}
	p.buffers = p.buffers[:0]
	for _, pk := range batch {
		p.buffers = append(p.buffers, pk.data)
	}
	left := p.buffers
	_, err = left.WriteTo(p.conn)
	n := len(batch) - len(left)
	p.delivered(batch[:n])
	rest = batch[n:]
	if err != nil && len(left) > 0 && len(left[0]) < len(rest[0].data) {
		p.settle(rest[:1])
		p.drop(rest[0])
		rest = rest[1:]
	}
	return rest, err
}

var errHungUp = errors.New("the connection was closed by the other side")

func (p *peer) delivered(batch []*packet) {
	lines, n := 0, 0
	for _, pk := range batch {
		lines += pk.lines
		n += len(pk.data)
		p.out.settle(pk)
		pk.free()
	}
	p.sent.Add(int64(len(batch)))
	p.metrics.sent.Add(int64(lines))
	p.metrics.bytes.Add(int64(n))
}

// abandon drops all that waits.
func (p *peer) abandon() {
	for batch := p.out.take(nil); len(batch) > 0; batch = p.out.take(batch[:0]) {
		p.settle(batch)
		for _, pk := range batch {
			p.drop(pk)
		}
	}
}

// note keeps how the last attempt went, and logs, once in peerQuiet, what went wrong.
func (p *peer) note(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); err != nil && p.lastErr == nil && now.Sub(p.said) >= peerQuiet {
		p.said = now
		p.log.Warn("peer can't be reached", "address", p.address, "error", err)
	}
	p.lastErr = err
	p.showUp()
}

// turn takes the peer off, or puts it on again.
func (p *peer) turn(off bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.off.Store(off)
	if !off {
		p.lastErr = nil
	}
	p.showUp()
}

// showUp sets the gauges. p is locked.
func (p *peer) showUp() {
	up := p.lastErr == nil && !p.off.Load()
	if up == p.up {
		return
	}
	p.up = up
	p.metrics.up.Set(oneIf(up))
	p.sink.turn(up)
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// peerSink is what the peers of one sink share: it is up while all of them are.
type peerSink struct {
	name string
	up   *metrics.Gauge

	mu   sync.Mutex
	down int // peers
}

func newPeerSink(name string, limit int64, self *self) *peerSink {
	s := &peerSink{name: name, up: self.sinkUp.With(name)}
	s.up.Set(1)
	self.sinkLimit.With(name).Set(float64(limit))
	return s
}

// turn notes that one of the peers has gone up or down.
func (s *peerSink) turn(up bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if up {
		s.down--
	} else {
		s.down++
	}
	s.up.Set(oneIf(s.down == 0))
}

// failure is why the peer is not sent to, or what went wrong last.
func (p *peer) failure() error {
	if p.off.Load() {
		return errOff
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lastErr
}

// peers are those of one sink.
type peers []*peer

// state says what is wrong with which peer; nil if all is well.
func (ps peers) state() error {
	var errs []error
	for _, p := range ps {
		if err := p.failure(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p.address, err))
		}
	}
	return errors.Join(errs...)
}

// wait returns when nothing waits for any of them.
func (ps peers) wait(ctx context.Context, sink string) error {
	var errs []error
	for _, p := range ps {
		if err := p.out.wait(ctx); err != nil {
			_, bytes := p.out.size()
			errs = append(errs, fmt.Errorf("%s to %s: %d bytes wait: %w", sink, p.address, bytes, cmp.Or(p.failure(), err)))
		}
	}
	return errors.Join(errs...)
}

// status is one line about all of them.
func (ps peers) status(sink string, since time.Time) sinkStatus {
	st := sinkStatus{name: sink, err: ps.state(), since: since}
	var addresses []string
	for _, p := range ps {
		addresses = append(addresses, p.address)
		n, bytes := p.out.size()
		st.waiting += n
		st.bytes += bytes
		st.sent += p.sent.Load()
	}
	st.address = strings.Join(addresses, ", ")
	return st
}
