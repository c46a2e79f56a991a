package relay

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/semaphore"

	"addons/statsd-relay/statsd"
)

// lineLimit is how long a line on TCP may be; what is longer is passed over up
// to its end, and counted as one bad line.
const lineLimit = 64 << 10

// tcpListener reads lines from TCP connections, which end with a newline or with
// the connection.
type tcpListener struct {
	self     *self
	log      *slog.Logger
	listener *net.TCPListener
	shard    *shard
	idle     time.Duration
	slots    *semaphore.Weighted
	limit    int64
}

func listenTCP(cfg Config, self *self, log *slog.Logger, shard *shard) (*tcpListener, error) {
	listener, err := net.Listen("tcp", cfg.TCP)
	if err != nil {
		return nil, listenError("tcp", cfg.TCP, err)
	}
	n := int64(cfg.TCPConns)
	return &tcpListener{self, log, listener.(*net.TCPListener), shard, cfg.TCPIdle, semaphore.NewWeighted(n), n}, nil
}

func (l *tcpListener) addr() net.Addr { return l.listener.Addr() }

func (l *tcpListener) close() { l.listener.Close() }

// run accepts until ctx is done, then reads what the connections still hold and
// closes them.
func (l *tcpListener) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, l.close)
	defer stop()
	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		conn, err := l.listener.AcceptTCP()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil: // too many open files: others may close some
			l.log.Warn("accept on tcp", "error", err)
			time.Sleep(10 * time.Millisecond)
			continue
		case !l.slots.TryAcquire(1):
			l.self.refused.Inc()
			conn.Close()
			continue
		}
		conns.Go(func() {
			defer l.slots.Release(1)
			l.self.conns.Add(1)
			defer l.self.conns.Add(-1)
			l.serve(ctx, conn)
		})
	}
}

// serve reads one connection to its end; when ctx is done, what it still holds.
func (l *tcpListener) serve(ctx context.Context, conn *net.TCPConn) {
	defer conn.Close()
	interrupted, stop := interrupt(ctx, conn)
	defer stop()
	lines := lineBuffer{shard: l.shard, buf: make([]byte, 0, lineLimit)}
	defer lines.end()
	for {
		conn.SetReadDeadline(time.Now().Add(l.idle))
		if ctx.Err() != nil { // which may have set another deadline just before
			<-interrupted
			conn.SetReadDeadline(time.Time{})
			drain(func() error { return lines.read(func(b []byte) (int, error) { return readNow(conn, b) }) })
			return
		}
		err := lines.read(conn.Read)
		switch {
		case err == nil || ctx.Err() != nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			l.self.idle.Inc()
			return
		default: // its end, or a reset
			return
		}
	}
}

// lineBuffer holds the beginning of a line whose end is still to come.
type lineBuffer struct {
	shard *shard
	buf   []byte
	over  bool // the line is too long: all up to its end is passed over
}

// read reads once, and takes the lines that are whole.
func (b *lineBuffer) read(from func([]byte) (int, error)) error {
	n, err := from(b.buf[len(b.buf):cap(b.buf)])
	b.buf = b.buf[:len(b.buf)+n]
	end := bytes.LastIndexByte(b.buf, '\n') + 1
	whole := b.buf[:end]
	if b.over && end > 0 {
		whole = whole[bytes.IndexByte(whole, '\n')+1:]
		b.over = false
	}
	b.take(whole)
	b.buf = b.buf[:copy(b.buf, b.buf[end:])]
	if len(b.buf) == cap(b.buf) {
		b.tooLong()
	}
	return err
}

func (b *lineBuffer) take(lines []byte) {
	if len(lines) == 0 {
		return
	}
	b.shard.mu.Lock()
	defer b.shard.mu.Unlock()
	b.shard.read(lines)
}

// readNow reads what conn holds, or fails with EAGAIN if that is nothing.
func readNow(conn *net.TCPConn, b []byte) (n int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var rerr error
	err = raw.Read(func(fd uintptr) bool {
		n, rerr = syscall.Read(int(fd), b)
		return true
	})
	if err == nil && rerr == nil && n == 0 {
		rerr = io.EOF
	}
	return max(n, 0), errors.Join(err, rerr)
}

// tooLong gives up the line at hand.
func (b *lineBuffer) tooLong() {
	if !b.over {
		b.shard.mu.Lock()
		defer b.shard.mu.Unlock()
		b.shard.live.started++
		b.shard.refuse(statsd.LongLine, b.buf)
	}
	b.over = true
	b.buf = b.buf[:0]
}

// end takes the last line, if the connection ended without a newline.
func (b *lineBuffer) end() {
	if !b.over {
		b.take(b.buf)
	}
}
