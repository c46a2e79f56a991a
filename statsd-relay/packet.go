package relay

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"addons/statsd-relay/handover"
	"addons/statsd-relay/statsd"
)

const (
	batchSize  = 64       // datagrams of one recvmmsg
	datagram   = 64 << 10 // the largest that UDP has
	rest       = time.Millisecond
	drainPause = 20 * time.Millisecond
	drainMost  = time.Second // for senders that never fall silent
)

// packetListener reads the datagrams of one address by one or more sockets.
type packetListener struct {
	network string
	address string // as configured
	self    *self
	readers []*packetReader
	file    socketFile

	mu sync.Mutex // of the readers' drops, once they run
}

// packetConn is a socket of datagrams, as net.UDPConn and net.UnixConn are.
type packetConn interface {
	syscall.Conn
	LocalAddr() net.Addr
	SetReadDeadline(time.Time) error
	Close() error
}

// packetReader reads one socket into its shard.
type packetReader struct {
	conn  packetConn
	shard *shard
	pace  pace
	drops uint32 // as counted so far
}

func (l *packetListener) transport() string { return l.network }

func (l *packetListener) addr() net.Addr { return l.readers[0].conn.LocalAddr() }

func (l *packetListener) close() {
	for _, r := range l.readers {
		r.conn.Close()
	}
	l.file.remove()
}

func (l *packetListener) keepFile() { l.file = socketFile{} }

func (l *packetListener) name() string { return handover.Name(l.network, l.address) }

func (l *packetListener) conns() (all []syscall.Conn) {
	for _, r := range l.readers {
		all = append(all, r.conn)
	}
	return all
}

// dropped is what of each socket has been counted. Scrapes go on counting.
func (l *packetListener) dropped() (all []uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.readers {
		all = append(all, r.drops)
	}
	return all
}

// forgetDrops has it count from now on.
func (l *packetListener) forgetDrops() {
	for _, r := range l.readers {
		r.drops, _ = kernelDrops(r.conn)
	}
}

// inheritDrops takes what a predecessor has counted, and returns what is for the next
// listener of the same name.
func (l *packetListener) inheritDrops(counted []uint32) (rest []uint32) {
	for i, drops := range counted[:min(len(counted), len(l.readers))] {
		l.readers[i].drops = drops
	}
	return counted[min(len(counted), len(l.readers)):]
}

func (l *packetListener) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, r := range l.readers {
		group.Go(func() error { return r.run(ctx) })
	}
	err := group.Wait()
	l.countDrops()
	return err
}

func (l *packetListener) countDrops() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.readers {
		total, err := kernelDrops(r.conn)
		if err != nil {
			continue // it is closed
		}
		l.self.drops.Add(int64(total - r.drops)) // the kernel's number wraps, as this difference does
		r.drops = total
	}
}

func (r *packetReader) run(ctx context.Context) error {
	b, err := newDatagrams(r.conn)
	if err != nil {
		return err
	}
	defer b.free()
	if err := r.conn.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	interrupted, stop := interrupt(ctx, r.conn)
	defer stop()
	wait := true
	for {
		n, err := r.read(b, wait)
		switch {
		case ctx.Err() != nil:
			<-interrupted
			if handsOver(ctx) {
				return nil
			}
			return r.drain(b)
		case errors.Is(err, syscall.EAGAIN): // it has fallen silent
			wait = true
		case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case n == batchSize: // there may be more
			wait = false
		default:
			wait = !r.pace.rest()
		}
	}
}

// interrupt ends conn's reads when ctx is done. Once interrupted is closed it will
// not touch the deadline any more.
func interrupt(ctx context.Context, conn interface{ SetReadDeadline(time.Time) error }) (interrupted <-chan struct{}, stop func() bool) {
	done := make(chan struct{})
	return done, context.AfterFunc(ctx, func() {
		conn.SetReadDeadline(time.Now())
		close(done)
	})
}

// read takes in the datagrams that there are, a batch at the most; if there are
// none it waits, or fails with EAGAIN.
func (r *packetReader) read(b *datagrams, wait bool) (int, error) {
	n, err := b.receive(wait)
	if n <= 0 {
		return 0, err
	}
	r.shard.mu.Lock()
	defer r.shard.mu.Unlock()
	for i := range n {
		r.take(b.at(i))
	}
	return n, err
}

// take takes in one datagram. One of a unix socket may be longer than the buffer: its
// last line was cut then, perhaps in the middle of a number. The shard is locked.
func (r *packetReader) take(d []byte) {
	r.pace.count(len(d))
	if len(d) < datagram {
		r.shard.read(d)
		return
	}
	whole := bytes.LastIndexByte(d, '\n') + 1
	r.shard.read(d[:whole])
	r.shard.planes[r.shard.live].started++
	r.shard.refuse(statsd.CutLine, d[whole:])
}

// drain reads until nothing comes any more. It asks the socket, not the clock:
// a deadline that is short could be over before the first read.
func (r *packetReader) drain(b *datagrams) error {
	if err := r.conn.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	return drain(func() error {
		_, err := r.read(b, false)
		return err
	})
}

// drain calls read, which does not wait, until it has nothing to read twice,
// a pause apart: what was just sent may be on its way through the kernel. The
// error is nil then.
func drain(read func() error) error {
	empty := false
	for end := time.Now().Add(drainMost); time.Now().Before(end); {
		err := read()
		switch {
		case err == nil:
			empty = false
		case !errors.Is(err, syscall.EAGAIN):
			return err
		case empty:
			return nil
		default:
			empty = true
			time.Sleep(drainPause)
		}
	}
	return nil
}

// pace says how long a reader rests. Being woken for each datagram costs more than
// reading it; after a rest there is a batch again, and the socket's queue holds
// what comes meanwhile. It rests for the longest time that it may, and less by halves
// when the queue was found more than half full.
type pace struct {
	capacity int
	cost     func(bytes int) int // what a datagram, or a read of a stream, takes of it
	longest  time.Duration
	queued   int // found since the last rest
	length   time.Duration
}

func newPace(capacity int, cost func(int) int) pace {
	return pace{capacity: capacity, cost: cost, longest: rest, length: rest}
}

// restLeast is the shortest rest. A queue that fills in twice that is read without any.
const restLeast = rest / 32

func (p *pace) count(bytes int) { p.queued += p.cost(bytes) }

// next says how long to rest, once the queue has been read empty; 0 is that there is
// no time for it.
func (p *pace) next() time.Duration {
	switch {
	case p.queued > p.capacity/2:
		p.length = max(p.length/2, restLeast)
	case p.queued <= p.capacity/8:
		p.length = min(2*p.length, p.longest)
	}
	p.queued = 0
	if p.length == restLeast {
		return 0
	}
	return p.length
}

// rest sleeps so long. It returns false if there is no time for it.
func (p *pace) rest() bool {
	d := p.next()
	if d > 0 {
		sleep(d)
	}
	return d > 0
}
