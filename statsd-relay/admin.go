package relay

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"addons/statsd-relay/handover"
)

const (
	adminLine  = 64 << 10         // bytes of a command
	adminConns = 16               // connections at a time; further ones are closed at once
	adminIdle  = 5 * time.Minute  // after which a silent connection is closed
	adminWrite = 10 * time.Second // that a client may take to read a piece of the answer
)

// console is the management console of etsy's statsd (stats.js, docs/admin_interface.md),
// answer for answer, but for the order of keys: they come sorted.
type console struct {
	relay    *Relay
	listener streamSocket
	slots    *semaphore.Weighted
	started  time.Time
	down     atomic.Bool // what health says
}

func listenAdmin(address string, r *Relay, from *handover.Inherited) (*console, error) {
	l, err := from.Listener("tcp", address)
	if isInUse(err) {
		return nil, fmt.Errorf("statsd-relay: admin %s is in use: stop what listens there (ss -lnp | grep :%s), or choose another with --admin", address, port(address))
	}
	if err != nil {
		return nil, fmt.Errorf("statsd-relay: admin on %s: %w", address, err)
	}
	return &console{relay: r, listener: l.(streamSocket), slots: semaphore.NewWeighted(adminConns), started: time.Now()}, nil
}

func (c *console) close() { c.listener.Close() }

// run answers until ctx is done.
func (c *console) run(ctx context.Context) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	err := accept(ctx, c.listener, c.relay.log, func(conn net.Conn) {
		if !c.slots.TryAcquire(1) {
			c.relay.self.adminRefused.Inc()
			conn.Close()
			return
		}
		conns.Go(func() {
			defer c.slots.Release(1)
			c.serve(ctx, conn)
		})
	})
	if !handsOver(ctx) {
		c.close()
	}
	return err
}

// deadlined gives each write its own time.
type deadlined struct{ net.Conn }

func (d deadlined) Write(b []byte) (int, error) {
	if err := d.SetWriteDeadline(time.Now().Add(adminWrite)); err != nil {
		return 0, err
	}
	return d.Conn.Write(b)
}

// serve answers one connection, a command a line, until quit, its end, or ctx's.
func (c *console) serve(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	lines := bufio.NewScanner(conn)
	lines.Buffer(make([]byte, 0, 1<<10), adminLine)
	out := bufio.NewWriterSize(deadlined{conn}, 16<<10)
	for {
		conn.SetReadDeadline(time.Now().Add(adminIdle))
		if !lines.Scan() {
			return
		}
		words := strings.Fields(lines.Text())
		if len(words) == 0 {
			continue
		}
		if words[0] == "quit" {
			return
		}
		c.answer(out, words[0], words[1:])
		if out.Flush() != nil {
			return
		}
	}
}

// answer answers one command. What can't be written, Flush will say.
func (c *console) answer(out *bufio.Writer, command string, words []string) {
	agg := c.relay.agg
	switch command {
	case "help":
		out.WriteString("Commands: stats, counters, timers, gauges, delcounters, deltimers, delgauges, health, config, quit\n\n")
	case "config":
		c.config(out)
	case "health":
		c.health(out, words)
	case "stats":
		c.stats(out)
	case "counters":
		inspectValues(out, c.ownCounters(agg.snapshot(counters)))
	case "gauges":
		inspectValues(out, agg.snapshot(gauges))
	case "timers":
		inspectTimers(out, agg.snapshotTimers())
	case "delcounters":
		remove(out, agg, counters, words)
	case "deltimers":
		remove(out, agg, timers, words)
	case "delgauges":
		remove(out, agg, gauges, words)
	default:
		out.WriteString("ERROR\n")
	}
}

func (c *console) health(out *bufio.Writer, words []string) {
	if len(words) > 0 {
		switch strings.ToLower(words[0]) {
		case "up":
			c.down.Store(false)
		case "down":
			c.down.Store(true)
		}
	}
	state := "up"
	if c.down.Load() {
		state = "down"
	}
	fmt.Fprintf(out, "health: %s\n", state)
}

// config lists the configuration by the file's names.
func (c *console) config(out *bufio.Writer) {
	out.WriteString("\n")
	for _, s := range c.relay.cfg.Load().Settings() {
		fmt.Fprintf(out, "%s: %s\n", strings.ReplaceAll(s.Path, ".", " > "), s.Value)
	}
}

func (c *console) stats(out *bufio.Writer) {
	now := time.Now()
	seen := c.relay.agg.lastSeen()
	if seen.IsZero() {
		seen = c.started
	}
	ago := func(t time.Time) int64 { return now.Unix() - t.Unix() }
	fmt.Fprintf(out, "uptime: %d\nmessages.last_msg_seen: %d\nmessages.bad_lines_seen: %d\n", ago(c.started), ago(seen), int64(sumOf(c.relay.self.bad[1:])))
	for _, s := range c.relay.currentSinks() {
		st := s.status()
		if st.lastFlush.IsZero() {
			st.lastFlush = c.started
		}
		if st.lastError.IsZero() {
			st.lastError = c.started
		}
		fmt.Fprintf(out, "%s.last_flush: %d\n%[1]s.last_exception: %[3]d\n%[1]s.flush_time: %[4]d\n%[1]s.flush_length: %[5]d\n",
			st.name, ago(st.lastFlush), ago(st.lastError), st.flushTime.Milliseconds(), st.flushLength)
	}
	out.WriteString("END\n\n")
}

// ownCounters adds those that statsd keeps about itself.
func (c *console) ownCounters(all []point) []point {
	self := c.relay.cfg.Load().Naming.names().selfKey
	agg := c.relay.agg
	agg.mu.Lock()
	defer agg.mu.Unlock()
	all = append(all,
		point{self + "bad_lines_seen", float64(agg.badLines)},
		point{self + "packets_received", float64(agg.packets)},
		point{self + "metrics_received", float64(agg.lines)})
	slices.SortFunc(all, func(a, b point) int { return strings.Compare(a.key, b.key) })
	return all
}

// remove ends series by their keys, or all below a folder: "foo.*".
func remove(out *bufio.Writer, agg *aggregator, of class, keys []string) {
	for _, key := range keys {
		removed := agg.remove(of, key)
		if len(removed) == 0 {
			fmt.Fprintf(out, "metric %s not found\n", key)
		}
		for _, r := range removed {
			fmt.Fprintf(out, "deleted: %s\n", r)
		}
	}
	out.WriteString("END\n\n")
}

// snapshot lists the values of a class in the interval under way, by key.
func (a *aggregator) snapshot(of class) []point {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.merge()
	all := make([]point, 0, a.series[of].len())
	for _, s := range a.series[of].sorted() {
		all = append(all, point{s.key, s.shown()})
	}
	return all
}

// timerValues are a timer's values of the interval under way: the first of them,
// in the order in which they came, and how many there are besides.
type timerValues struct {
	key    string
	values []float64
	more   int
}

// snapshotTimers lists them by key. A timer that has a sketch has forgotten its
// first values; they are among the others.
func (a *aggregator) snapshotTimers() []timerValues {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.merge()
	all := make([]timerValues, 0, a.series[timers].len())
	for _, s := range a.series[timers].sorted() {
		first := a.pool.first(s.first, inspectMost)
		all = append(all, timerValues{s.key, first, int(s.samples) - len(first)})
	}
	return all
}

// remove ends the series of that key, or for "folder.*" all of the folder, and
// returns their keys. What was left of the interval goes with them.
func (a *aggregator) remove(of class, key string) (removed []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.merge()
	folder, all := strings.CutSuffix(key, "*")
	all = all && strings.HasSuffix(folder, ".")
	for _, s := range a.series[of].sorted() {
		if s.key == key || all && strings.HasPrefix(s.key, folder) {
			a.expire(s)
			removed = append(removed, s.key)
		}
	}
	a.sweep()
	return removed
}

// lastSeen says when a series last had a sample, to the precision of a merge; zero
// if there is none.
func (a *aggregator) lastSeen() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.merge()
	var last uint32
	for c := range a.series {
		for s := range a.series[c].all() {
			last = max(last, s.seen)
		}
	}
	if last == 0 {
		return time.Time{}
	}
	return time.Unix(int64(last), 0)
}
