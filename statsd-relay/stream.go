package relay

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/semaphore"

	"addons/statsd-relay/handover"
	"addons/statsd-relay/statsd"
)

// lineLimit is how long a line or frame of a stream may be; what is longer is
// passed over up to its end, and counted as one bad line.
const lineLimit = 64 << 10

// tcpRest is the longest rest of a TCP connection's reader.
const tcpRest = 10 * time.Millisecond

// streamListener reads lines from connections, which end with a newline or with
// the connection.
type streamListener struct {
	network  string
	address  string // as configured
	self     *self
	log      *slog.Logger
	listener streamSocket
	file     socketFile
	shard    *shard
	pace     pace // of each connection
	idle     time.Duration
	slots    *semaphore.Weighted

	mu   sync.Mutex
	held []*stream // connections that nobody reads: they are inherited, or to be handed over
}

// streamConn is what net.TCPConn and net.UnixConn have in common.
type streamConn interface {
	net.Conn
	syscall.Conn
}

// stream is a connection, and what of a line it has sent.
type stream struct {
	conn streamConn
	in   *input
}

func (l listening) stream(network, address string, s streamSocket) *streamListener {
	return &streamListener{
		network: network, address: address, self: l.self, log: l.log, listener: s, shard: l.shard(network),
		pace: streamPace(network), idle: l.cfg.TCPIdle, slots: semaphore.NewWeighted(int64(l.cfg.TCPConns)),
	}
}

func (l *streamListener) transport() string { return l.network }

func (l *streamListener) addr() net.Addr { return l.listener.Addr() }

func (l *streamListener) countDrops() {}

func (l *streamListener) keepFile() { l.file = socketFile{} }

func (l *streamListener) name() string { return handover.Name(l.network, l.address) }

func (l *streamListener) conns() []syscall.Conn { return []syscall.Conn{l.listener} }

// open are the connections that are held.
func (l *streamListener) open() []*stream {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.held)
}

func (l *streamListener) close() {
	l.listener.Close()
	l.file.remove()
	for _, s := range l.unhold() {
		l.end(s)
	}
}

// run accepts until ctx is done, then reads what the connections still hold and
// closes them.
func (l *streamListener) run(ctx context.Context) error {
	var serving sync.WaitGroup
	defer serving.Wait()
	serve := func(s *stream) { serving.Go(func() { l.serve(ctx, s) }) }
	for _, s := range l.unhold() {
		serve(s)
	}
	err := accept(ctx, l.listener, l.log, func(conn net.Conn) {
		if s := l.begin(conn.(streamConn)); s != nil {
			serve(s)
		}
	})
	if !handsOver(ctx) {
		l.close()
	}
	return err
}

// streamPace says how long the reader of a connection may rest; a line may miss a
// flush by so much. It begins without a rest: one in which a sender fills the buffer
// shuts TCP's window, and the sender may be seconds in finding it open again.
// Measured, processor time of a million single lines at 50,000 a second over TCP:
// 4.1 s with rests of 1 ms, 2.9 s with 10. A unix socket's buffer is full after 277
// single lines, and clients that don't wait drop the next.
func streamPace(network string) pace {
	p := newPace(128<<10, func(bytes int) int { return bytes }) // net.ipv4.tcp_rmem
	if network == "tcp" {
		p.longest = tcpRest
	}
	p.length = restLeast
	return p
}

// begin counts a connection in. If there are too many it is closed, and nil returned.
func (l *streamListener) begin(conn streamConn) *stream {
	if !l.slots.TryAcquire(1) {
		l.self.refused.Inc()
		conn.Close()
		return nil
	}
	l.self.conns.Add(1)
	return &stream{conn, newInput(l.shard, l.network == "unix")}
}

func (l *streamListener) end(s *stream) {
	s.conn.Close()
	l.slots.Release(1)
	l.self.conns.Add(-1)
}

// hold keeps a connection open that is not read now.
func (l *streamListener) hold(s *stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = append(l.held, s)
}

func (l *streamListener) unhold() []*stream {
	l.mu.Lock()
	defer l.mu.Unlock()
	held := l.held
	l.held = nil
	return held
}

// serve reads a connection to its end. When ctx is done it reads what it still
// holds, or leaves that to a successor.
func (l *streamListener) serve(ctx context.Context, s *stream) {
	if l.read(ctx, s) {
		l.hold(s)
		return
	}
	l.end(s)
}

// read returns true if the connection is still open, for a successor.
func (l *streamListener) read(ctx context.Context, s *stream) bool {
	conn, in := s.conn, s.in
	interrupted, stop := interrupt(ctx, conn)
	defer stop()
	pace := l.pace
	timer := time.NewTimer(0)
	defer timer.Stop()
	var before time.Time
	for {
		now := time.Now()
		conn.SetReadDeadline(now.Add(l.idle))
		if ctx.Err() != nil { // which may have set another deadline just before
			<-interrupted
			if handsOver(ctx) {
				return true
			}
			in.end(l.drain(conn, in))
			return false
		}
		// As with datagrams: one wake-up for what a busy client sends meanwhile.
		if now.Sub(before) < 2*pace.longest && !in.filled {
			pause(ctx, timer, pace.next())
		}
		before = now
		err := in.read(conn.Read)
		pace.count(in.last)
		switch {
		case err == nil || ctx.Err() != nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			l.self.idle.Inc()
			in.end(err)
			return false
		default: // its end, or a reset
			in.end(err)
			return false
		}
	}
}

// pause waits for d, or until ctx is done.
func pause(ctx context.Context, timer *time.Timer, d time.Duration) {
	if d == 0 {
		return
	}
	timer.Reset(d)
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// drain reads what conn still holds. It returns io.EOF if that was all.
func (l *streamListener) drain(conn streamConn, in *input) error {
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	return drain(func() error { return in.read(func(b []byte) (int, error) { return readNow(conn, b) }) })
}

// readNow reads what conn holds, or fails with EAGAIN if that is nothing.
func readNow(conn syscall.Conn, b []byte) (n int, err error) {
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

// framing is how a connection parts what it sends.
type framing uint8

const (
	unknown framing = iota // its first four bytes tell
	byLine
	byFrame // DogStatsD's: a length of four bytes, little-endian, before each datagram
)

// frameHead is the length of a frame's length.
const frameHead = 4

// input holds the beginning of a line or frame whose end is still to come.
type input struct {
	shard   *shard
	framing framing
	buf     []byte // it grows with what comes, so that many silent connections are cheap
	last    int    // bytes of the last read
	filled  bool   // buf, by the last read: there may be more
	over    bool   // the line is too long: all up to its end is passed over
	skip    int64  // bytes to come of a frame that is too long
}

// firstRoom holds what clients send at once: they pack for a network's datagrams,
// or for 8 KiB at the most.
const firstRoom = frameHead + 8<<10

func newInput(shard *shard, frames bool) *input {
	in := &input{shard: shard, framing: byLine}
	if frames {
		in.framing = unknown
	}
	return in
}

// read reads once, and takes what is whole.
func (in *input) read(from func([]byte) (int, error)) error {
	in.grow()
	n, err := from(in.buf[len(in.buf):cap(in.buf)])
	in.buf = in.buf[:len(in.buf)+n]
	in.last, in.filled = n, len(in.buf) == cap(in.buf)
	if in.framing == unknown && len(in.buf) >= frameHead {
		in.framing = framingOf(in.buf)
	}
	switch in.framing {
	case byLine:
		in.lines()
	case byFrame:
		in.frames()
	}
	return err
}

// grow makes room to read into.
func (in *input) grow() {
	if len(in.buf) == cap(in.buf) {
		in.move(min(max(2*cap(in.buf), firstRoom), frameHead+lineLimit))
	}
}

func (in *input) move(room int) {
	buf := make([]byte, len(in.buf), room)
	copy(buf, in.buf)
	in.buf = buf
}

// framingOf tells by what a connection sends first. A frame is shorter than 16
// MiB, so that its fourth byte is zero, which no line has.
func framingOf(b []byte) framing {
	if b[frameHead-1] == 0 {
		return byFrame
	}
	return byLine
}

func (in *input) lines() {
	end := bytes.LastIndexByte(in.buf, '\n') + 1
	whole := in.buf[:end]
	if in.over && end > 0 {
		whole = whole[bytes.IndexByte(whole, '\n')+1:]
		in.over = false
	}
	in.take(whole)
	in.keep(end)
	if len(in.buf) >= lineLimit {
		if !in.over {
			in.refuse(statsd.LongLine)
		}
		in.over = true
		in.buf = in.buf[:0]
	}
}

func (in *input) frames() {
	at := 0
	for {
		passed := int(min(in.skip, int64(len(in.buf)-at)))
		in.skip -= int64(passed)
		at += passed
		if len(in.buf)-at < frameHead {
			break
		}
		length := int64(binary.LittleEndian.Uint32(in.buf[at:]))
		if length > lineLimit {
			in.refuse(statsd.LongLine)
			in.skip = frameHead + length
			continue
		}
		end := at + frameHead + int(length)
		if len(in.buf) < end {
			break
		}
		in.take(in.buf[at+frameHead : end])
		at = end
	}
	in.keep(at)
}

// keep forgets what is before from, and the room that a long line took.
func (in *input) keep(from int) {
	in.buf = in.buf[:copy(in.buf, in.buf[from:])]
	if cap(in.buf) > 2*firstRoom && len(in.buf) < firstRoom {
		in.move(firstRoom)
	}
}

func (in *input) take(lines []byte) {
	if len(lines) == 0 {
		return
	}
	in.shard.mu.Lock()
	defer in.shard.mu.Unlock()
	in.shard.read(lines)
}

// refuse counts what is at hand as one bad line.
func (in *input) refuse(why statsd.Reason) {
	in.shard.mu.Lock()
	defer in.shard.mu.Unlock()
	in.shard.planes[in.shard.live].started++
	in.shard.refuse(why, in.buf)
}

// end takes the last line of a connection that ended with err. Without io.EOF, or
// in a frame, it may have been cut off in the middle of a number.
func (in *input) end(err error) {
	switch {
	case in.over || in.skip > 0 || len(in.buf) == 0:
	case in.framing == byFrame || !errors.Is(err, io.EOF):
		in.refuse(statsd.CutLine)
	default:
		in.take(in.buf)
	}
}
