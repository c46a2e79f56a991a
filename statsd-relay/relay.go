// Package relay is the statsd sidecar: it listens for statsd lines on UDP and
// TCP, aggregates them exactly as etsy's statsd does, and brings the result to
// its sinks: Graphite, at every flush, and Prometheus, at every scrape.
//
//	sockets → readers, each with a shard of its own → aggregator → sinks
//
// A reader parses a batch of datagrams into its shard under a lock that only the
// aggregator ever contends, for the moment of swapping the shard's planes. At a
// flush or a scrape the aggregator swaps and merges all shards. A flush goes to the
// sinks in pieces, so that it is never in memory as a whole.
//
// Senders are never waited for and never make it grow without bound: series,
// samples of a timer, members of a set, connections, the length of lines and what
// waits for Graphite are all limited, and everything that is left out is counted
// in the relay_* metrics.
package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"addons/server/metrics"
	"addons/statsd-relay/handover"
	"addons/statsd-relay/host"
	"addons/statsd-relay/statsd"
)

// Config says where to listen and what to do. Its zero value listens nowhere and
// aggregates what the program itself feeds, every 10 s. A file gives it by the
// names of the yaml tags: see Load and setting.
type Config struct {
	UDP    string `yaml:"udp"`    // addresses to listen on, as "127.0.0.1:8125,[::1]:8125"; "" is not at all
	TCP    string `yaml:"tcp"`    // likewise
	Listen Listen `yaml:"listen"` // further ways in
	HTTP   string `yaml:"http"`   // where the program that holds the Relay serves its Handler
	Admin  string `yaml:"admin"`  // address of etsy's management console; "" is none

	// Handover is the path of a unix socket at which a successor takes over from this
	// relay, and this one from a predecessor; "" is none.
	Handover string `yaml:"handover"`
	// State is a file that keeps what is known from an orderly end to the next start:
	// the interval under way goes on, as do the numbers on /metrics; "" is none.
	State string `yaml:"state"`

	Flush       time.Duration   `yaml:"flush_interval,live"`    // how often sinks get a point of each series; 0 is 10 s
	Percentiles []float64       `yaml:"percent_threshold,live"` // of timers; negative ones are taken from the top; nil is 90
	Histogram   []HistogramRule `yaml:"histogram,live"`         // of timers; none: no bins

	Naming   Naming   `yaml:"graphite"` // of series in Graphite
	Graphite Graphite `yaml:"graphite"` // the zero value sends nothing there

	Prometheus Prometheus `yaml:"prometheus,live"`
	Forward    Forward    `yaml:"forward"` // every line to one of several statsd servers
	Repeat     Repeat     `yaml:"repeat"`  // every line to each of several statsd servers
	Ganglia    Ganglia    `yaml:"ganglia"` // every flush to gmond
	Console    Console    `yaml:"console"` // every flush to the standard output
	Host       Host       `yaml:"host"`    // gauges of the machine itself

	DeleteIdle     bool  `yaml:"delete_idle_stats,live"` // send nothing for series without samples in the flush (etsy's deleteIdleStats)
	DeleteCounters *bool `yaml:"delete_counters,live"`   // the same for one type; nil is as DeleteIdle
	DeleteGauges   *bool `yaml:"delete_gauges,live"`
	DeleteTimers   *bool `yaml:"delete_timers,live"`
	DeleteSets     *bool `yaml:"delete_sets,live"`

	MaxSeries    int           `yaml:"max_series,live"`     // beyond it samples count under Overflow; 0 is 100,000
	MaxPerPrefix int           `yaml:"max_per_prefix,live"` // series whose names have the same first part; beyond it samples count under <part>.relay_overflow; 0 is no limit
	TimerSamples int           `yaml:"timer_samples,live"`  // of one timer and flush kept exactly, the rest in a sketch; 0 is 10,000
	TimerMemory  int64         `yaml:"timer_memory,size"`   // bytes for the values of all timers; beyond, a sketch takes them too; 0 is 64 MiB
	SetMembers   int           `yaml:"set_members,live"`    // of one set and flush told apart; 0 is 100,000
	Expire       time.Duration `yaml:"expire,live"`         // without a sample for so long a series ends; 0 is 1 h, negative never

	Readers       int           `yaml:"readers"`             // of the UDP socket; 0 is half the processors, 4 at the most
	ReceiveBuffer int           `yaml:"receive_buffer,size"` // bytes the kernel may hold of each UDP socket; 0 is 8 MiB
	TCPConns      int           `yaml:"tcp_connections"`     // at a time; 0 is 1,024
	TCPIdle       time.Duration `yaml:"tcp_idle"`            // after which a silent connection is closed; 0 is 5 min

	RemoteReload bool    `yaml:"remote_reload,live"` // POST /-/reload is taken from other hosts too
	Beacons      Beacons `yaml:"beacons"`
}

// Overflow is the series that samples of new series count under once there are
// MaxSeries of them.
const Overflow = "relay_overflow"

// shutdown is how long the last flush may take to reach its sinks.
const shutdown = 5 * time.Second

// flushPatience is how long a large flush may wait in all for sinks to take its
// first pieces before it makes the others; scrapes wait as long.
const flushPatience = 2 * time.Second

// withDefaults fills what is left zero, and refuses what can't be done.
func (c Config) withDefaults() (Config, error) {
	c.Flush = cmp.Or(c.Flush, 10*time.Second)
	if c.Percentiles == nil {
		c.Percentiles = []float64{90}
	}
	c.MaxSeries = cmp.Or(c.MaxSeries, 100_000)
	c.TimerSamples = cmp.Or(c.TimerSamples, 10_000)
	c.TimerMemory = cmp.Or(c.TimerMemory, 64<<20)
	c.SetMembers = cmp.Or(c.SetMembers, 100_000)
	c.Expire = cmp.Or(c.Expire, time.Hour)
	c.Readers = cmp.Or(c.Readers, min(4, max(1, runtime.GOMAXPROCS(0)/2)))
	c.ReceiveBuffer = cmp.Or(c.ReceiveBuffer, 8<<20)
	c.TCPConns = cmp.Or(c.TCPConns, 1024)
	c.TCPIdle = cmp.Or(c.TCPIdle, 5*time.Minute)
	c.Beacons.Rate = cmp.Or(c.Beacons.Rate, 5000)
	c.Beacons.LabelSets = cmp.Or(c.Beacons.LabelSets, 2000)
	if c.Beacons.Keys == nil {
		c.Beacons.Keys = []string{"django-statsd"}
	}
	var listen, prometheus, graphite error
	c.Listen, listen = c.Listen.withDefaults()
	c.Prometheus, prometheus = c.Prometheus.withDefaults()
	c.Graphite, graphite = c.Graphite.withDefaults(c.Flush)
	return c, errors.Join(append(c.faults(), listen, prometheus, graphite, c.Forward.complete(), c.Repeat.complete(), c.Ganglia.complete(c.Flush), c.Console.check(), c.Host.complete())...)
}

// faults lists what can't be done.
func (c Config) faults() (all []error) {
	fault := func(format string, args ...any) {
		all = append(all, fmt.Errorf("statsd-relay: "+format, args...))
	}
	if c.Flush < 0 || c.MaxSeries < 0 || c.TimerSamples < 0 || c.TimerMemory < 0 || c.MaxPerPrefix < 0 || c.SetMembers < 0 || c.Readers < 0 || c.ReceiveBuffer < 0 || c.TCPConns < 0 || c.TCPIdle < 0 {
		fault("limits and times can't be negative")
	}
	for _, p := range c.Percentiles {
		if !(p >= -100 && p <= 100) || p == 0 {
			fault("percentile %v: it lies between 0 and 100, or between -100 and 0 to count from the top", p)
		}
	}
	for name, list := range map[string]string{"udp": c.UDP, "tcp": c.TCP, "http": c.HTTP, "admin": c.Admin} {
		for address := range strings.SplitSeq(list, ",") {
			if _, _, err := net.SplitHostPort(strings.TrimSpace(address)); list != "" && err != nil {
				fault("listen on %s %q: give host:port, as 127.0.0.1:8125, or :8125 for every address: %w", name, address, err)
			}
		}
	}
	return all
}

// deletes says whether a series without samples is left out of the flush.
func (c Config) deletes(of class) bool {
	if own := [...]*bool{c.DeleteCounters, c.DeleteGauges, c.DeleteTimers, c.DeleteSets}[of]; own != nil {
		return *own
	}
	return c.DeleteIdle
}

// Relay listens, aggregates and sends. Its methods are safe for concurrent use.
type Relay struct {
	cfg    atomic.Pointer[Config]
	log    *slog.Logger
	self   *self
	agg    *aggregator
	feed   *shard
	bad    badLines
	intake intake
	in     []listener
	taps   []func() tap // make one for each reader
	host   *host.Reader // nil: none
	admin  *console

	heirs      *net.UnixListener // nil: no successor can take over
	heirsFile  socketFile
	more       []bequest     // what of the program's a successor gets
	servers    []namedServer // of the program's
	rested     []bequest     // their connections, while they rest
	orphans    []orphan      // a predecessor's, until the program asks for them
	successor  atomic.Int64  // the process that has taken over; 0: none has
	handedOver chan struct{} // closed then

	due       time.Time  // of the next flush; zero before Run
	flushing  sync.Mutex // one flush at a time, so that sinks get them in order
	lastStamp int64
	sinks     []sink           // changed only while flushing and sinksMu are held
	running   map[sink]*outlet // nil until Run
	sinksMu   sync.RWMutex

	reloading reloading
	closers   sync.Once
	ready     atomic.Bool
}

// sink takes flushes. Send must not wait, nor keep the piece; run delivers until ctx is done and
// then, for as long as drain allows, what still waits.
type sink interface {
	name() string
	send(*flush)
	run(ctx, drain context.Context) error
	wait(ctx context.Context) error
	status() sinkStatus
}

// New binds the sockets, so that lines are kept by the kernel from now on, and
// returns a Relay that reads them once Run is called. An error says what to do
// about it; nothing is left open then.
func New(cfg Config, log *slog.Logger) (*Relay, error) { return NewSuccessor(cfg, log, nil) }

// NewSuccessor is New for a process that has inherited sockets, which it takes instead
// of binding them, and what the predecessor knows if there is one. Without an error the
// predecessor does not read any more, and Run is to be called at once; sockets that
// nobody has taken by then are closed.
func NewSuccessor(cfg Config, log *slog.Logger, from *handover.Inherited) (*Relay, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	r := &Relay{log: log, handedOver: make(chan struct{})}
	r.cfg.Store(&cfg)
	r.self = newSelf(metrics.New(nil), cfg)
	r.agg = newAggregator(cfg, r.self)
	r.feed = r.agg.newShard("feed", &r.bad)
	if err := r.open(cfg, from); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	for _, name := range from.Rest() {
		log.Warn("an inherited socket is closed, for no setting listens there", "socket", name)
	}
	if err := from.Close(); err != nil {
		log.Warn("inherited sockets", "error", err)
	}
	r.reloaded(nil)
	r.intake.end(r.self)
	return r, nil
}

// open opens all that can fail. What a predecessor still has is last.
func (r *Relay) open(cfg Config, from *handover.Inherited) (err error) {
	r.addTaps(cfg)
	if r.host, err = newHost(cfg.Host); err != nil {
		return err
	}
	sockets := listening{cfg, r.self, r.log, r.newShard, from}
	if r.in, err = sockets.open(); err != nil {
		return err
	}
	if cfg.Admin != "" {
		if r.admin, err = listenAdmin(cfg.Admin, r, from); err != nil {
			return err
		}
	}
	if cfg.Handover != "" {
		if r.heirs, r.heirsFile, err = listenHeirs(cfg.Handover, from); err != nil {
			return err
		}
	}
	if from != nil && from.From != nil {
		if err := r.succeed(from.From); err != nil {
			return err
		}
		r.forget(cfg.State)
		return nil
	}
	if err := r.addSinks(); err != nil {
		return err
	}
	r.restore(cfg.State)
	return nil
}

// addTaps makes the sinks that send lines on. Readers have their taps for good, so
// that no reload changes these.
func (r *Relay) addTaps(cfg Config) {
	if len(cfg.Forward.Nodes) > 0 {
		f := newForwarder(cfg.Forward, r.self, r.log)
		r.sinks = append(r.sinks, f)
		r.taps = append(r.taps, func() tap { return f.tap() })
	}
	if len(cfg.Repeat.To) > 0 {
		p := newRepeater(cfg.Repeat, r.self, r.log)
		r.sinks = append(r.sinks, p)
		r.taps = append(r.taps, func() tap { return p })
	}
}

// newShard makes the shard of a reader of lines, with the taps of the sinks that
// send lines on.
func (r *Relay) newShard(transport string) *shard {
	s := r.agg.newShard(transport, &r.bad)
	s.only = r.cfg.Load().Forward.Only
	var all taps
	for _, tap := range r.taps {
		all = append(all, tap())
	}
	switch len(all) {
	case 0:
	case 1:
		s.tap = all[0]
	default:
		s.tap = all
	}
	return s
}

// Addr returns the first addresses listened on, nil where there is none.
func (r *Relay) Addr() (udp, tcp net.Addr) {
	return r.first("udp"), r.first("tcp")
}

func (r *Relay) first(transport string) net.Addr {
	for _, l := range r.in {
		if l.transport() == transport {
			return l.addr()
		}
	}
	return nil
}

// AdminAddr returns the address of the management console, nil if there is none.
func (r *Relay) AdminAddr() net.Addr {
	if r.admin == nil {
		return nil
	}
	return r.admin.listener.Addr()
}

// Run reads and flushes until ctx is done or a socket fails. Then it reads what the
// sockets still hold, flushes once more, and returns when the sinks have it or 5 s
// later. When a successor takes over, it returns once the sinks have what is theirs.
func (r *Relay) Run(ctx context.Context) error {
	defer r.closeListeners()
	r.closeOrphans()
	r.startSinks()
	successor, err := r.relay(ctx)
	for successor != nil {
		done, failed := r.handOver(successor)
		if done {
			return r.endSinks()
		}
		if err = failed; err != nil {
			break
		}
		r.resumeServers()
		successor, err = r.relay(ctx)
	}
	r.save(r.cfg.Load().State)
	r.flushAt(r.ends())
	return errors.Join(err, r.endSinks())
}

// startReaders starts all that reads, until ctx is done. The ctx that it returns is
// done too when one fails.
func (r *Relay) startReaders(ctx context.Context) (*errgroup.Group, context.Context) {
	readers, ctx := errgroup.WithContext(ctx)
	for _, l := range r.in {
		readers.Go(func() error { return l.run(ctx) })
	}
	if r.admin != nil {
		readers.Go(func() error { return r.admin.run(ctx) })
	}
	if r.host != nil {
		readers.Go(func() error {
			r.watchHost(ctx)
			return nil
		})
	}
	return readers, ctx
}

// Close frees the addresses, and the spool, of a Relay that is not run; Run does so itself.
func (r *Relay) Close() error {
	r.closeListeners()
	r.closeOrphans()
	return r.closeSinks()
}

func (r *Relay) closeListeners() {
	r.closers.Do(func() {
		closeAll(r.in)
		if r.admin != nil {
			r.admin.close()
		}
		if r.heirs != nil {
			r.heirs.Close()
			r.heirsFile.remove()
		}
	})
}

// flushUntil flushes on the interval's multiples of wall time, so that every
// flush falls into a slot of its own in Graphite's storage.
func (r *Relay) flushUntil(ctx context.Context) {
	for {
		r.due = r.ends()
		timer := time.NewTimer(time.Until(r.due))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
			r.self.lag.Set(time.Since(r.due).Seconds())
			r.flushAt(r.due)
			r.due = time.Time{}
		}
	}
}

// ends is when the interval under way does.
func (r *Relay) ends() time.Time {
	if r.due.IsZero() {
		return nextFlush(time.Now(), r.cfg.Load().Flush)
	}
	return r.due
}

// nextFlush is the first multiple of interval after now.
func nextFlush(now time.Time, interval time.Duration) time.Time {
	return now.Truncate(interval).Add(interval)
}

// flushAt ends the interval, and stamps it with at.
func (r *Relay) flushAt(at time.Time) {
	r.flushing.Lock()
	defer r.flushing.Unlock()
	// Carbon keeps one value a series and second: a second flush in a second
	// would replace the first.
	stamp := max(at.Unix(), r.lastStamp+1)
	if r.cfg.Load().Flush < time.Second {
		stamp = at.Unix()
	}
	r.lastStamp = stamp
	start := time.Now()
	r.countDrops()
	patience := min(flushPatience, r.cfg.Load().Flush/4)
	r.agg.flush(time.Unix(stamp, 0), func(f *flush) {
		for _, s := range r.sinks {
			s.send(f)
			if roomy, ok := s.(interface{ room(context.Context) }); ok {
				patience -= spend(patience, roomy.room)
			}
		}
	})
	r.agg.nextInterval()
	r.intake.end(r.self)
	r.self.flushed(time.Since(start))
}

// spend calls wait, which returns when its context is done if not before, and tells
// how long that took.
func spend(most time.Duration, wait func(context.Context)) time.Duration {
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	wait(ctx)
	return time.Since(start)
}

func (r *Relay) countDrops() {
	for _, l := range r.in {
		l.countDrops()
	}
}

// Flush ends the interval now and returns when every sink has it, or has it on
// disk while it can't be sent. The error tells how much still waits, and why, if
// ctx is done first, or 5 s are over.
func (r *Relay) Flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, shutdown)
	defer cancel()
	r.flushAt(time.Now())
	var errs []error
	for _, s := range r.currentSinks() {
		errs = append(errs, s.wait(ctx))
	}
	return errors.Join(errs...)
}

// Timing adds a time in milliseconds, as "key:ms|ms" would. It never waits.
func (r *Relay) Timing(key string, ms float64) { r.feed.put(key, statsd.Timer, ms) }

// Count adds n to a counter, as "key:n|c" would. It never waits.
func (r *Relay) Count(key string, n float64) { r.feed.put(key, statsd.Counter, n) }

// Gauge sets a gauge, as "key:v|g" would, but below zero too. It never waits.
func (r *Relay) Gauge(key string, v float64) { r.feed.put(key, statsd.Gauge, v) }

// Registerer is for metrics of others that are to be on the relay's /metrics.
func (r *Relay) Registerer() prometheus.Registerer { return r.self.registry.Prometheus() }

// Catalogue lists the relay's own metrics.
func (r *Relay) Catalogue() []metrics.Declared { return r.self.registry.Catalogue() }

// Gatherer gathers the relay's own metrics and what came in as statsd lines, up
// to the moment of gathering.
func (r *Relay) Gatherer() prometheus.Gatherer { return prometheus.GathererFunc(r.gather) }

// sortedKeys are m's keys in order.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
