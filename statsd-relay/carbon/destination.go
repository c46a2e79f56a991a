package carbon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"path/filepath"
	"sync"
	"time"
)

// destination is one carbon: its backlog, and the connection that empties it.
//
// Carbon acknowledges nothing. A batch counts as sent once the host has
// acknowledged every byte; should the connection break, which is how a carbon that
// stops looks, what was sent of late is sent again over the next one. Carbon keeps
// one value a series and time, so that twice is the same as once.
type destination struct {
	node    node
	log     *slog.Logger
	encode  func(lines []byte) []byte
	rate    int // points a second of what waited; negative is unbounded
	backlog *backlog
	spool   *spool // nil: none
	metrics Metrics
	timeout time.Duration
	retry   time.Duration // after the disk failed

	mu         sync.Mutex
	lastErr    error     // nil while all is well
	since      time.Time // of that state
	spoolErr   error
	sent       int64 // batches
	last       last
	nextReplay time.Time
	replay     struct { // the one that goes on
		since  time.Time
		points int
	}
}

// last is what was last.
type last struct {
	sent, failed time.Time     // zero if never
	took         time.Duration // to be acknowledged
	length       int           // bytes
}

const (
	connTimeout = 10 * time.Second       // to connect, and for each write to be acknowledged
	connChunk   = 64 << 10               // bytes of a write
	backoffMin  = 100 * time.Millisecond // doubled at each failure
	backoffMax  = 10 * time.Second
	connStall   = 2 * time.Millisecond // between looks at what is unacknowledged
	diskRetry   = time.Second
)

func newDestination(n node, cfg Config, m Metrics, log *slog.Logger) (*destination, error) {
	d := &destination{
		node: n, log: log.With("address", n.String()), rate: cfg.ReplayRate, metrics: m, timeout: connTimeout, retry: diskRetry,
		encode:  func(lines []byte) []byte { return lines },
		lastErr: errors.New("not yet connected"), since: time.Now(),
	}
	if cfg.Protocol == "pickle" {
		d.encode = pickled
	}
	m.MemoryMax.Set(float64(cfg.Memory))
	if cfg.SpoolDir == "" {
		d.backlog = newBacklog(cfg.Memory, m)
		return d, nil
	}
	m.DiskMax.Set(float64(cfg.SpoolLimit))
	spool, entries, torn, err := openSpool(filepath.Join(cfg.SpoolDir, folder(n)), cfg.SpoolLimit, d.log)
	if err != nil {
		return nil, err
	}
	m.SpoolCorrupt.Add(int64(torn))
	d.spool, d.backlog = spool, newBacklog(cfg.Memory, m)
	d.backlog.restore(entries, spool.first)
	if len(entries) > 0 {
		d.log.Info("graphite: the spool holds flushes from before", "flushes", d.backlog.counts.whole, "oldest", entries[0].at)
	}
	d.measure()
	return d, nil
}

// push puts b into the backlog.
func (d *destination) push(b Batch) {
	d.backlog.push(b, false)
	d.measure()
}

func (d *destination) room(ctx context.Context, bytes int64) {
	for {
		c, _, changed := d.backlog.size()
		if c.memory <= bytes || d.status().Err != nil {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// measure sets the gauges of what waits.
func (d *destination) measure() {
	c, _, _ := d.backlog.size()
	d.metrics.Waiting.Set(float64(c.whole))
	d.metrics.Memory.Set(float64(c.memory))
	oldest := 0.0
	if at := d.backlog.since(); !at.IsZero() {
		oldest = float64(at.Unix())
	}
	d.metrics.Oldest.Set(oldest)
	if d.spool != nil {
		d.metrics.Disk.Set(float64(d.spool.charge.Load()))
	}
}

// wait returns when what is new is sent, or is on disk while it can't be.
func (d *destination) wait(ctx context.Context) error {
	for {
		c, live, changed := d.backlog.size()
		down := d.status().Err
		switch {
		case c.batches == 0:
			return nil
		case d.spool != nil && c.unsafe == 0 && (!live || down != nil):
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("graphite %s: %d flushes wait: %w", d.node, c.whole, errors.Join(cause(down, ctx.Err()), d.status().SpoolErr))
		}
	}
}

// cause is the first of two errors that there is.
func cause(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// run delivers, and keeps on disk what can't be at once, until ctx is done; then
// what waits until drain is.
func (d *destination) run(ctx, drain context.Context) error {
	stop, kept := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(kept)
		if d.spool != nil {
			d.keep(stop)
		}
	}()
	why := d.deliverAll(ctx, drain)
	close(stop)
	<-kept
	c, _, _ := d.backlog.size()
	switch {
	case c.batches == 0:
		return nil
	case d.spool != nil && c.unsafe == 0:
		d.log.Info("graphite: flushes wait in the spool for the next start", "flushes", c.whole)
		return nil
	}
	return fmt.Errorf("graphite %s: %d flushes could not be sent before the end: %w", d.node, c.whole, errors.Join(why, d.status().SpoolErr))
}

// deliverAll connects, again and again, until all is delivered that is to be. The
// error is why it could not be before drain was done.
func (d *destination) deliverAll(ctx, drain context.Context) error {
	backoff, done := backoffMin, ctx.Done()
	for tried := false; drain.Err() == nil && !(ctx.Err() != nil && d.finished(tried)); tried = ctx.Err() != nil {
		delivered, err := d.connect(ctx, drain)
		if err == nil {
			d.backlog.end()
			d.state(errClosed)
			return nil
		}
		if drain.Err() != nil { // we have cut it, and not carbon
			d.backlog.end()
			d.state(errClosed)
			return err
		}
		d.backlog.rewind()
		d.state(err)
		if delivered {
			backoff = backoffMin
		}
		select {
		case <-time.After(backoff/2 + rand.N(backoff/2)):
			backoff = min(2*backoff, backoffMax)
		case <-done: // what waits is tried again at once, and often
			backoff, done = backoffMin, nil
		case <-drain.Done():
		}
	}
	return d.status().Err
}

// finished says whether all is delivered that is to be at the end: with a spool,
// what is new, or nothing once that was tried.
func (d *destination) finished(tried bool) bool {
	c, live, _ := d.backlog.size()
	return c.batches == 0 || d.spool != nil && c.unsafe == 0 && (tried || !live)
}

// connect delivers over one connection. delivered says whether anything was.
func (d *destination) connect(ctx, drain context.Context) (delivered bool, err error) {
	conn, err := (&net.Dialer{Timeout: d.timeout}).DialContext(drain, "tcp", d.node.address)
	if err != nil {
		d.metrics.ConnectErrors.Inc()
		return false, err
	}
	if conn.LocalAddr().String() == conn.RemoteAddr().String() {
		// Where nobody listens on a port of the range that the kernel takes ports for
		// clients from, a socket can come to be connected to itself.
		d.metrics.ConnectErrors.Inc()
		return false, errors.Join(errItself, conn.Close())
	}
	// A carbon that connects but takes nothing is not well until it does.
	if !errors.Is(d.status().Err, errStuck) {
		d.state(nil)
	}
	if delivered, err = d.deliver(ctx, drain, conn); err != nil {
		d.metrics.WriteErrors.Inc()
	}
	return delivered, err
}

// errItself is a connection that is no carbon's.
var errItself = errors.New("connection refused: nobody listens there")

// deliver sends over a connection what is new and what waits, until it breaks, or
// ctx is done and all is sent that is to be: then the error is nil.
func (d *destination) deliver(ctx, drain context.Context, conn net.Conn) (delivered bool, err error) {
	broken := watch(conn)
	defer func() {
		conn.Close()
		for range broken {
		}
	}()
	stop := context.AfterFunc(drain, func() { conn.Close() })
	defer stop()
	done := ctx.Done()
	for {
		_, _, changed := d.backlog.size()
		pause := d.pause(ctx)
		e, lines, live := d.backlog.next(pause == 0)
		if e != nil {
			if err := d.send(conn, broken, e, lines, live); err != nil {
				return delivered, err
			}
			delivered = true
			continue
		}
		if ctx.Err() != nil && d.finished(false) {
			return delivered, nil
		}
		var again <-chan time.Time
		if pause > 0 {
			again = time.After(pause)
		}
		select {
		case <-changed:
		case <-again:
		case <-done:
			done = nil
		case err := <-broken:
			return delivered, err
		}
	}
}

// pause is for how long what waited is not to be sent; negative: no more at all.
func (d *destination) pause(ctx context.Context) time.Duration {
	c, _, _ := d.backlog.size()
	if ctx.Err() != nil {
		if d.spool != nil && c.unsafe == 0 {
			return -1
		}
		return 0
	}
	if c.batches == 0 {
		return -1
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return max(0, time.Until(d.nextReplay))
}

// send sends one entry, which is read from disk if it is there alone. One that
// can't be read is given up.
func (d *destination) send(conn net.Conn, broken <-chan error, e *entry, lines []byte, live bool) error {
	if lines == nil {
		var err error
		if lines, err = d.spool.read(e.segment, e.offset); err != nil {
			d.unreadable(e, err)
			return nil
		}
	}
	start := time.Now()
	n, err := d.write(conn, broken, d.encode(lines))
	if err != nil {
		return err
	}
	d.metrics.Bytes.Add(int64(n))
	d.backlog.delivered(e, time.Now())
	if !live {
		d.replayed(e.points)
	}
	d.noteSent(e, start, n)
	d.state(nil)
	d.measure()
	return nil
}

func (d *destination) noteSent(e *entry, start time.Time, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !e.more {
		d.sent++
	}
	d.last.sent = time.Now()
	d.last.took, d.last.length = d.last.sent.Sub(start), n
}

// unreadable drops what is damaged, or leaves it for later if the disk may recover.
func (d *destination) unreadable(e *entry, err error) {
	if errors.Is(err, errCorrupt) {
		d.metrics.SpoolCorrupt.Inc()
		d.log.Warn("spool: a flush is damaged and was given up", "error", err, "at", e.at)
		d.backlog.lost(e)
		return
	}
	d.mu.Lock()
	d.nextReplay = time.Now().Add(d.retry)
	d.mu.Unlock()
	d.disk(err)
}

// replayed notes points of what waited, and when the next may follow.
func (d *destination) replayed(points int) {
	d.metrics.ReplayedPoints.Add(int64(points))
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if d.nextReplay.Before(now) {
		d.nextReplay = now
	}
	if d.rate > 0 {
		d.nextReplay = d.nextReplay.Add(time.Duration(float64(points) / float64(d.rate) * float64(time.Second)))
	}
	if d.replay.points == 0 {
		d.replay.since = now
	}
	d.replay.points += points
	if c, _, _ := d.backlog.size(); c.batches == 0 {
		d.replay.points = 0
	}
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

// errStuck is a carbon that takes nothing.
var errStuck = errors.New("carbon takes nothing")

// write writes all of data and waits until the other host has acknowledged it. A
// carbon that takes nothing makes it fail when the timeout is over.
func (d *destination) write(conn net.Conn, broken <-chan error, data []byte) (n int, err error) {
	for n < len(data) {
		if err := conn.SetWriteDeadline(time.Now().Add(d.timeout)); err != nil {
			return n, err
		}
		m, err := conn.Write(data[n:min(len(data), n+connChunk)])
		n += m
		var late net.Error
		if errors.As(err, &late) && late.Timeout() {
			err = fmt.Errorf("%w for %v: %w", errStuck, d.timeout, err)
		}
		if err != nil {
			return n, err
		}
	}
	deadline := time.Now().Add(d.timeout)
	for {
		left, err := unacknowledged(conn)
		if err == nil && time.Now().After(deadline) && left > 0 {
			err = fmt.Errorf("%w for %v: %d bytes not acknowledged", errStuck, d.timeout, left)
		}
		select {
		case err = <-broken: // nothing is unacknowledged of a connection that was reset
		default:
		}
		if err != nil || left == 0 {
			return n, err
		}
		time.Sleep(connStall)
	}
}

// keep puts on disk what waits, and tidies up there, until stop is closed.
func (d *destination) keep(stop <-chan struct{}) {
	for {
		_, _, changed := d.backlog.size()
		err := d.keepAll()
		d.disk(err)
		d.measure()
		var retry <-chan time.Time
		if err != nil {
			changed, retry = nil, time.After(d.retry)
		}
		select {
		case <-changed:
		case <-retry:
		case <-stop:
			d.disk(errors.Join(d.keepAll(), d.spool.close()))
			return
		}
	}
}

// keepAll puts on disk what waits and is not there yet; what has to go for it is dropped.
func (d *destination) keepAll() error {
	for _, s := range d.backlog.idle(d.spool.segments) {
		if d.spool.file != nil && s == d.spool.active() {
			continue
		}
		if err := d.spool.remove(s); err != nil {
			return err
		}
	}
	for {
		entries, lines := d.backlog.unkept()
		if len(entries) == 0 {
			return d.spool.setCursor(d.backlog.first())
		}
		if err := d.keepSome(entries, lines); err != nil {
			return err
		}
	}
}

// keepSome puts entries on disk, with one sync. Those before one that can't be
// written are tried again with it.
func (d *destination) keepSome(entries []*entry, lines [][]byte) error {
	var places []place
	for i, e := range entries {
		b := record(e, lines[i])
		if int64(len(b)) > d.spool.limit/2 {
			d.backlog.tooLarge(e)
			d.disk(fmt.Errorf("a flush of %d bytes is too large for a spool of %d: raise its limit", len(b), d.spool.limit))
			continue
		}
		for d.spool.full(len(b)) && len(d.spool.segments) > 0 {
			if d.dropsOwn(places) { // these are to be safe first, so that they are dropped as others are
				return d.settle(places)
			}
			if err := d.dropOldest(); err != nil {
				return err
			}
		}
		segment, offset, err := d.spool.append(e.seq, b)
		if err != nil {
			return err
		}
		places = append(places, place{e, segment, offset})
	}
	return d.settle(places)
}

// dropsOwn says whether the oldest segment has any of places.
func (d *destination) dropsOwn(places []place) bool {
	return len(places) > 0 && places[0].segment == d.spool.segments[0]
}

// settle syncs what was appended, and has the backlog know of it.
func (d *destination) settle(places []place) error {
	if err := d.spool.sync(); err != nil {
		return err
	}
	d.backlog.kept(places)
	return nil
}

func (d *destination) dropOldest() error {
	oldest := d.spool.segments[0]
	if oldest == d.spool.active() {
		if err := d.spool.closeFile(); err != nil {
			return err
		}
	}
	d.backlog.abandon(oldest)
	return d.spool.remove(oldest)
}

// disk notes how the spool does, and logs when that changes.
func (d *destination) disk(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		d.metrics.SpoolErrors.Inc()
	}
	switch {
	case err != nil && d.spoolErr == nil:
		d.log.Error("spool: flushes wait in memory alone", "error", err)
	case err == nil && d.spoolErr != nil:
		d.log.Info("spool: works again")
	}
	d.spoolErr = err
}

// errClosed is the state of a carbon that was given everything and left.
var errClosed = errors.New("closed")

// state notes whether carbon can be reached, and logs when that changes.
func (d *destination) state(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	up := 0.0
	if err == nil {
		up = 1
	}
	d.metrics.Up.Set(up)
	if (err == nil) != (d.lastErr == nil) {
		d.since = time.Now()
		switch {
		case err == nil:
			d.log.Info("graphite is connected")
		case !errors.Is(err, errClosed):
			d.log.Warn("graphite can't be reached; flushes wait", "error", err)
		}
	}
	if err != nil && !errors.Is(err, errClosed) {
		d.last.failed = time.Now()
	}
	d.lastErr = err
}

// Status is how a carbon does.
type Status struct {
	Address    string
	Err        error // nil if all is well
	Since      time.Time
	SpoolErr   error // why nothing can be put on disk; nil if it can, or there is no spool
	Sent       int64 // batches, each time that one was
	Waiting    int   // batches; parts of one count once
	Points     int   // in them
	Memory     int64 // bytes of them in memory
	OnDisk     int64 // bytes that the spool takes
	Oldest     time.Time
	LastSent   time.Time
	LastError  time.Time
	Took       time.Duration // of the last that was sent, to be acknowledged
	Length     int           // bytes of it
	ReplayRate float64       // points a second of what waited, since that began; 0 if nothing waits
}

func (d *destination) status() Status {
	c, _, _ := d.backlog.size()
	s := Status{Address: d.node.String(), Waiting: c.whole, Points: c.points, Memory: c.memory, Oldest: d.backlog.since()}
	if d.spool != nil {
		s.OnDisk = d.spool.charge.Load()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s.Err, s.Since, s.SpoolErr, s.Sent = d.lastErr, d.since, d.spoolErr, d.sent
	s.LastSent, s.LastError, s.Took, s.Length = d.last.sent, d.last.failed, d.last.took, d.last.length
	if took := time.Since(d.replay.since).Seconds(); d.replay.points > 0 && took > 0 {
		s.ReplayRate = float64(d.replay.points) / took
	}
	return s
}
