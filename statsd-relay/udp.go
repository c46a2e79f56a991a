package relay

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sync/errgroup"
)

const (
	batchSize  = 64       // datagrams of one recvmmsg
	datagram   = 64 << 10 // the largest that UDP has
	rest       = time.Millisecond
	drainPause = 20 * time.Millisecond
	drainMost  = time.Second // for senders that never fall silent
)

// udpListener reads one UDP address by one or more sockets.
type udpListener struct {
	self    *self
	readers []*udpReader

	mu     sync.Mutex
	inodes map[uint64]bool
	drops  map[uint64]uint64 // as counted so far
}

// udpReader reads one socket into its shard.
type udpReader struct {
	conn     *net.UDPConn
	shard    *shard
	messages []ipv4.Message
}

// listenUDP binds the address. The kernel spreads senders over the sockets, and
// one sender's datagrams all go to the same.
func listenUDP(cfg Config, self *self, log *slog.Logger, shard func() *shard) (*udpListener, error) {
	l := &udpListener{self: self, inodes: map[uint64]bool{}, drops: map[uint64]uint64{}}
	address := cfg.UDP
	var lc net.ListenConfig
	for i := range cfg.Readers {
		conn, err := lc.ListenPacket(context.Background(), "udp", address)
		if err != nil {
			l.close()
			return nil, listenError("udp", address, err)
		}
		reader := &udpReader{conn: conn.(*net.UDPConn), shard: shard(), messages: make([]ipv4.Message, batchSize)}
		l.readers = append(l.readers, reader)
		if err := l.prepare(reader.conn, cfg, log); err != nil {
			l.close()
			return nil, listenError("udp", address, err)
		}
		if i == 0 && cfg.Readers > 1 {
			// The first socket was bound alone, so that another relay on this
			// address is an error; only then it lets the others join.
			if err := setReusePort(reader.conn); err != nil {
				l.close()
				return nil, listenError("udp", address, err)
			}
			lc.Control = reusePort
			address = conn.LocalAddr().String()
		}
	}
	return l, nil
}

func (l *udpListener) prepare(conn *net.UDPConn, cfg Config, log *slog.Logger) error {
	granted, err := setReceiveBuffer(conn, cfg.ReceiveBuffer)
	if err != nil {
		return err
	}
	if granted < cfg.ReceiveBuffer {
		log.Warn("receive buffer is smaller than asked for: bursts may be dropped; raise net.core.rmem_max",
			"asked", cfg.ReceiveBuffer, "granted", granted)
	}
	l.self.rcvbuf.Set(float64(granted))
	n, err := inode(conn)
	if err != nil {
		return err
	}
	l.inodes[n] = true
	return nil
}

func (l *udpListener) addr() net.Addr { return l.readers[0].conn.LocalAddr() }

func (l *udpListener) close() {
	for _, r := range l.readers {
		r.conn.Close()
	}
}

// run reads until ctx is done, and then what the sockets still hold.
func (l *udpListener) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, r := range l.readers {
		group.Go(func() error { return r.run(ctx) })
	}
	err := group.Wait()
	l.countDrops()
	return err
}

func (r *udpReader) run(ctx context.Context) error {
	buffers := make([]byte, batchSize*datagram)
	for i := range r.messages {
		r.messages[i].Buffers = [][]byte{buffers[i*datagram : (i+1)*datagram]}
	}
	conn := ipv4.NewPacketConn(r.conn)
	interrupted, stop := interrupt(ctx, r.conn)
	defer stop()
	for {
		n, err := r.batch(conn, 0)
		switch {
		case ctx.Err() != nil:
			<-interrupted
			return r.drain(conn)
		case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case n < batchSize:
			// Being woken for each datagram costs more than reading it. After a rest
			// there is a batch again; the receive buffer holds what comes meanwhile.
			time.Sleep(rest)
		}
	}
}

// interrupt ends conn's reads when ctx is done. Once interrupted is closed it will
// not touch the deadline any more.
func interrupt(ctx context.Context, conn net.Conn) (interrupted <-chan struct{}, stop func() bool) {
	done := make(chan struct{})
	return done, context.AfterFunc(ctx, func() {
		conn.SetReadDeadline(time.Now())
		close(done)
	})
}

// batch reads the datagrams that there are; with no flags it waits for one.
func (r *udpReader) batch(conn *ipv4.PacketConn, flags int) (int, error) {
	n, err := conn.ReadBatch(r.messages, flags)
	if n <= 0 {
		return 0, err
	}
	r.shard.mu.Lock()
	defer r.shard.mu.Unlock()
	for i := range r.messages[:n] {
		r.shard.read(r.messages[i].Buffers[0][:r.messages[i].N])
	}
	return n, err
}

// drain reads until nothing comes any more. It asks the socket, not the clock:
// a deadline that is short could be over before the first read.
func (r *udpReader) drain(conn *ipv4.PacketConn) error {
	if err := r.conn.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	return drain(func() error {
		_, err := r.batch(conn, syscall.MSG_DONTWAIT)
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

// countDrops counts what the kernel has dropped since it was last asked.
func (l *udpListener) countDrops() {
	l.mu.Lock()
	defer l.mu.Unlock()
	drops, err := kernelDrops(l.inodes)
	if err != nil {
		return // /proc may be hidden: then there is nothing to count
	}
	for n, total := range drops {
		l.self.drops.Add(int64(total - l.drops[n]))
		l.drops[n] = total
	}
}
