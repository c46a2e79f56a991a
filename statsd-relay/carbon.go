package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"addons/server/metrics"
)

// carbon brings flushes to Graphite in carbon's plaintext protocol. While it
// can't, they wait in its backlog, in order and each with its own time, and go
// out when it can.
//
// The protocol has no acknowledgement. A flush counts as sent once the host has
// acknowledged every byte; should the connection break after that, which is how a
// carbon that stops looks, the flush is sent again over the next one. Carbon
// keeps one value a series and time, so that twice is the same as once.
type carbon struct {
	address string
	names   names
	log     *slog.Logger
	backlog *backlog
	metrics carbonMetrics
	timeout time.Duration

	mu      sync.Mutex
	lastErr error     // nil while connected
	since   time.Time // of that state
	sent    int64     // flushes

	lastFlush, lastError time.Time
	flushTime            time.Duration // of the last, to be acknowledged
	flushLength          int           // of the last
}

type carbonMetrics struct {
	sentFlushes, resentFlushes, droppedFlushes *metrics.Counter
	sentPoints, resentPoints, droppedPoints    *metrics.Counter
	bytes, connectErrors, writeErrors          *metrics.Counter
	waiting, queue, up                         *metrics.Gauge
}

const (
	carbonTimeout = 10 * time.Second       // to connect, and for each write to be acknowledged
	carbonChunk   = 64 << 10               // bytes of a write
	backoffMin    = 100 * time.Millisecond // doubled at each failure
	backoffMax    = 10 * time.Second
	carbonStall   = 2 * time.Millisecond // between looks at what is unacknowledged
)

func newCarbon(cfg Config, self *self, log *slog.Logger) *carbon {
	const sink = "graphite"
	self.sinkLimit.With(sink).Set(float64(cfg.Backlog))
	return &carbon{
		address: cfg.Graphite, names: cfg.Naming.names(), log: log, backlog: newBacklog(cfg.Backlog),
		timeout: carbonTimeout, lastErr: errors.New("not yet connected"), since: time.Now(),
		metrics: carbonMetrics{
			sentFlushes: self.sinkFlushes.With(sink, "sent"), resentFlushes: self.sinkFlushes.With(sink, "resent"), droppedFlushes: self.sinkFlushes.With(sink, "dropped"),
			sentPoints: self.sinkPoints.With(sink, "sent"), resentPoints: self.sinkPoints.With(sink, "resent"), droppedPoints: self.sinkPoints.With(sink, "dropped"),
			bytes: self.sinkBytes.With(sink), connectErrors: self.sinkErrors.With(sink, "connect"), writeErrors: self.sinkErrors.With(sink, "write"),
			waiting: self.sinkWaiting.With(sink), queue: self.sinkQueue.With(sink), up: self.sinkUp.With(sink),
		},
	}
}

func (c *carbon) name() string { return "graphite" }

// inherit takes over what waits in the carbon that c replaces.
func (c *carbon) inherit(from sink) {
	old := from.(*carbon)
	for b, ok := old.backlog.head(); ok; b, ok = old.backlog.head() {
		old.backlog.pop(b)
		c.hold(b)
	}
	c.measure()
}

// send puts f into the backlog.
func (c *carbon) send(f *flush) {
	data, points := renderPlaintext(f, c.names)
	c.hold(batch{f.at, data, points})
	c.measure()
}

// hold adds b to the backlog, and counts what goes for it.
func (c *carbon) hold(b batch) {
	for _, b := range c.backlog.push(b) {
		c.metrics.droppedFlushes.Inc()
		c.metrics.droppedPoints.Add(int64(b.points))
	}
}

// measure sets the gauges of what waits.
func (c *carbon) measure() {
	n, bytes, _ := c.backlog.size()
	c.metrics.waiting.Set(float64(n))
	c.metrics.queue.Set(float64(bytes))
}

// wait returns when nothing waits any more.
func (c *carbon) wait(ctx context.Context) error {
	for {
		n, _, changed := c.backlog.size()
		if n == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			why := c.status().err
			if why == nil {
				why = ctx.Err()
			}
			return fmt.Errorf("graphite %s: %d flushes wait: %w", c.address, n, why)
		}
	}
}

// run delivers until ctx is done, and then what waits until drain is.
func (c *carbon) run(ctx, drain context.Context) error {
	var last batch // the latest that was sent; its data is nil once it is settled
	backoff, done := backoffMin, ctx.Done()
	for drain.Err() == nil {
		if n, _, _ := c.backlog.size(); n == 0 && ctx.Err() != nil {
			return nil
		}
		conn, err := (&net.Dialer{Timeout: c.timeout}).DialContext(drain, "tcp", c.address)
		if err == nil {
			c.state(nil)
			backoff, err = backoffMin, c.deliver(ctx, drain, conn, &last)
			if err == nil {
				c.state(errClosed)
				return nil
			}
			c.metrics.writeErrors.Inc()
		} else {
			c.metrics.connectErrors.Inc()
		}
		c.state(err)
		select {
		case <-time.After(backoff/2 + rand.N(backoff/2)):
			backoff = min(2*backoff, backoffMax)
		case <-done: // what waits is tried again at once, and often
			backoff, done = backoffMin, nil
		case <-drain.Done():
		}
	}
	if n, _, _ := c.backlog.size(); n > 0 {
		return fmt.Errorf("graphite %s: %d flushes could not be sent before the end: %w", c.address, n, c.status().err)
	}
	return nil
}

// deliver sends over one connection what waits and what comes, until the
// connection breaks, or ctx is done and nothing waits: then the error is nil.
func (c *carbon) deliver(ctx, drain context.Context, conn net.Conn, last *batch) error {
	broken := watch(conn)
	defer func() {
		conn.Close()
		for range broken {
		}
	}()
	stop := context.AfterFunc(drain, func() { conn.Close() })
	defer stop()
	if last.data != nil {
		if err := c.write(conn, broken, last.data); err != nil {
			return err
		}
		c.metrics.resentFlushes.Inc()
		c.metrics.resentPoints.Add(int64(last.points))
		c.metrics.bytes.Add(int64(len(last.data)))
	}
	done := ctx.Done()
	for {
		b, ok := c.backlog.head()
		if ok {
			start := time.Now()
			if err := c.write(conn, broken, b.data); err != nil {
				return err
			}
			c.delivered(b, time.Since(start))
			*last = b
			continue
		}
		if ctx.Err() != nil {
			return nil
		}
		_, _, changed := c.backlog.size()
		if _, ok := c.backlog.head(); ok {
			continue
		}
		select {
		case <-changed:
		case <-done:
		case err := <-broken:
			return err
		}
	}
}

func (c *carbon) delivered(b batch, took time.Duration) {
	c.backlog.pop(b)
	c.metrics.sentFlushes.Inc()
	c.metrics.sentPoints.Add(int64(b.points))
	c.metrics.bytes.Add(int64(len(b.data)))
	c.measure()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent++
	c.lastFlush, c.flushTime, c.flushLength = time.Now(), took, len(b.data)
}

// watch reports, once, that the other side has closed or reset conn: carbon
// itself never sends a byte. The channel is closed when its reader has ended.
func watch(conn net.Conn) <-chan error {
	broken := make(chan error, 1)
	go func() {
		defer close(broken)
		_, err := io.Copy(io.Discard, conn)
		if err == nil {
			err = errors.New("connection closed by carbon")
		}
		broken <- err
	}()
	return broken
}

// write writes all of data and waits until the other host has acknowledged it. A
// carbon that takes nothing makes it fail when the timeout is over.
func (c *carbon) write(conn net.Conn, broken <-chan error, data []byte) error {
	for len(data) > 0 {
		n := min(len(data), carbonChunk)
		if err := conn.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
			return err
		}
		if _, err := conn.Write(data[:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	deadline := time.Now().Add(c.timeout)
	for {
		left, err := unacknowledged(conn)
		if err == nil && time.Now().After(deadline) && left > 0 {
			err = fmt.Errorf("%d bytes not acknowledged in %v", left, c.timeout)
		}
		select {
		case err = <-broken: // nothing is unacknowledged of a connection that was reset
		default:
		}
		if err != nil || left == 0 {
			return err
		}
		time.Sleep(carbonStall)
	}
}

// errClosed is the state of a sink that has delivered everything and ended.
var errClosed = errors.New("closed")

// state notes whether carbon can be reached, and logs when that changes.
func (c *carbon) state(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	up := 0.0
	if err == nil {
		up = 1
	}
	c.metrics.up.Set(up)
	if (err == nil) != (c.lastErr == nil) {
		c.since = time.Now()
		switch {
		case err == nil:
			c.log.Info("graphite is connected", "address", c.address)
		case !errors.Is(err, errClosed):
			c.log.Warn("graphite can't be reached; flushes wait", "address", c.address, "error", err)
		}
	}
	if err != nil && !errors.Is(err, errClosed) {
		c.lastError = time.Now()
	}
	c.lastErr = err
}

// sinkStatus is what the status page shows of a sink.
type sinkStatus struct {
	name, address string
	err           error // nil if all is well
	since         time.Time
	waiting       int
	bytes         int64
	sent          int64

	lastFlush, lastError time.Time     // zero if there was none
	flushTime            time.Duration // that the last flush took to be acknowledged
	flushLength          int           // bytes of the last flush

	facts []fact // what else there is to say
}

// fact is something to read on the status page.
type fact struct{ Name, Value string }

func (c *carbon) status() sinkStatus {
	n, bytes, _ := c.backlog.size()
	c.mu.Lock()
	defer c.mu.Unlock()
	return sinkStatus{
		name: c.name(), address: c.address, err: c.lastErr, since: c.since, waiting: n, bytes: bytes, sent: c.sent,
		lastFlush: c.lastFlush, lastError: c.lastError, flushTime: c.flushTime, flushLength: c.flushLength,
	}
}
