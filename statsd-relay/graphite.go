package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"addons/server/metrics"
	"addons/statsd-relay/carbon"
)

// Graphite says which carbons get the flushes, and what becomes of them while one
// can't be reached.
type Graphite struct {
	// Addresses are host:port, or host:port:instance where a host has several; none
	// sends nothing. A series goes to one of them, by carbon-relay's
	// consistent-hashing over the same list.
	Addresses []string `yaml:"address"`
	Protocol  string   `yaml:"protocol"`     // "plaintext" or "pickle"; "" is plaintext
	Hash      string   `yaml:"hash"`         // "carbon_ch" or "fnv1a_ch"; "" is carbon_ch
	Memory    int64    `yaml:"backlog,size"` // bytes of flushes that may wait in memory, for each address; 0 is 64 MiB
	Spool     Spool    `yaml:"spool"`
}

// Spool says where on disk flushes wait, so that they survive the process. Each is
// written and synced once, sent or not.
type Spool struct {
	Dir   string `yaml:"dir"`         // of this relay alone; "" keeps what waits in memory
	Limit int64  `yaml:"limit,size"`  // bytes for each address, beyond which the oldest go; 0 is 1 GiB
	Rate  int    `yaml:"replay_rate"` // points a second of what waited, for each address; 0 is 20,000, negative is unbounded. It holds in memory too
}

// withDefaults fills what is left zero, and refuses what can't be done.
func (g Graphite) withDefaults(flush time.Duration) (Graphite, error) {
	g.Addresses = slices.DeleteFunc(slices.Clone(g.Addresses), func(a string) bool { return a == "" })
	if len(g.Addresses) > 0 && flush%time.Second != 0 {
		return g, fmt.Errorf("statsd-relay: flush every %v: carbon stores whole seconds, so take a multiple of 1s", flush)
	}
	cfg, err := g.carbon().Check()
	if err != nil {
		return g, fmt.Errorf("statsd-relay: %w", err)
	}
	g.Protocol, g.Hash, g.Memory = cfg.Protocol, cfg.Hash, cfg.Memory
	g.Spool.Limit, g.Spool.Rate = cfg.SpoolLimit, cfg.ReplayRate
	return g, nil
}

func (g Graphite) carbon() carbon.Config {
	return carbon.Config{
		Addresses: g.Addresses, Protocol: g.Protocol, Hash: g.Hash, Memory: g.Memory,
		SpoolDir: g.Spool.Dir, SpoolLimit: g.Spool.Limit, ReplayRate: g.Spool.Rate,
	}
}

// graphite renders flushes for carbons.
type graphite struct {
	cluster *carbon.Cluster
	lines   plaintext // for a piece at a time
	self    *self
	called  map[string]string // in metrics, by address
}

func newGraphite(cfg Config, self *self, log *slog.Logger) (*graphite, error) {
	g := &graphite{lines: plaintext{names: cfg.Naming.names()}, self: self, called: map[string]string{}}
	alone := len(cfg.Graphite.Addresses) == 1
	instruments := func(address string) carbon.Metrics {
		g.called[address] = g.name()
		if !alone {
			g.called[address] += " " + address
		}
		return self.carbon(g.called[address])
	}
	cluster, err := carbon.New(cfg.Graphite.carbon(), instruments, log)
	if err != nil {
		return nil, fmt.Errorf("statsd-relay: %w", err)
	}
	g.cluster = cluster
	return g, nil
}

func (g *graphite) name() string { return "graphite" }

func (g *graphite) send(f *flush) {
	lines, points := g.lines.render(f)
	g.cluster.Send(carbon.Batch{At: f.at, More: !f.last, Lines: lines, Points: points})
}

// inFlight is how much of a flush is made before the carbons have taken it: more
// than a connection needs to be busy, and little beside what is held anyway.
const inFlight = 1 << 20

// room waits until more of a flush may be made.
func (g *graphite) room(ctx context.Context) { g.cluster.Room(ctx, inFlight) }

func (g *graphite) run(ctx, drain context.Context) error { return g.cluster.Run(ctx, drain) }

func (g *graphite) wait(ctx context.Context) error { return g.cluster.Wait(ctx) }

// Close frees the spool of a sink that is not run.
func (g *graphite) Close() error { return g.cluster.Close() }

// leave takes out what waits in memory; what is on disk a successor finds there.
func (g *graphite) leave() []carbon.Waiting { return g.cluster.Leave() }

// take adds what another has left.
func (g *graphite) take(left []carbon.Waiting) { g.cluster.Take(left) }

// labels are what the carbons are called in metrics.
func (g *graphite) labels() []string { return slices.Sorted(maps.Values(g.called)) }

// statuses are one for each carbon.
func (g *graphite) statuses() []sinkStatus {
	var all []sinkStatus
	for _, s := range g.cluster.Status() {
		all = append(all, sinkStatus{
			name: g.name(), address: s.Address, err: errors.Join(s.Err, s.SpoolErr), since: s.Since, waiting: s.Waiting, bytes: s.Memory, sent: s.Sent,
			lastFlush: s.LastSent, lastError: s.LastError, flushTime: s.Took, flushLength: s.Length, facts: facts(s),
		})
	}
	return all
}

// status sums up the carbons: it is down if one is.
func (g *graphite) status() sinkStatus {
	sum := sinkStatus{name: g.name()}
	var addresses []string
	var down []error
	for _, s := range g.statuses() {
		addresses = append(addresses, s.address)
		if s.err != nil {
			down = append(down, s.err)
		}
		sum.waiting += s.waiting
		sum.bytes += s.bytes
		sum.sent += s.sent
		sum.flushLength += s.flushLength
		sum.flushTime = max(sum.flushTime, s.flushTime)
		sum.since, sum.lastFlush, sum.lastError = later(sum.since, s.since), later(sum.lastFlush, s.lastFlush), later(sum.lastError, s.lastError)
	}
	sum.address, sum.err = strings.Join(addresses, ", "), errors.Join(down...)
	return sum
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// facts say what of a carbon waits on disk, and how fast it goes out.
func facts(s carbon.Status) (all []fact) {
	if s.OnDisk > 0 {
		all = append(all, fact{"on disk", fmt.Sprintf("%d KiB", (s.OnDisk+1023)/1024)})
	}
	if !s.Oldest.IsZero() {
		all = append(all, fact{"oldest of", s.Oldest.UTC().Format(time.DateTime)})
	}
	if s.ReplayRate > 0 {
		all = append(all, fact{"replay at", fmt.Sprintf("%.0f points/s", s.ReplayRate)})
	}
	return all
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

// statuses are a sink's status, or those of its parts.
func statuses(s sink) []sinkStatus {
	if many, ok := s.(interface{ statuses() []sinkStatus }); ok {
		return many.statuses()
	}
	return []sinkStatus{s.status()}
}

// spoolMetrics are those that only Graphite's sinks have.
type spoolMetrics struct {
	replayed, errors, corrupt *metrics.CounterVec
	bytes, limit, oldest      *metrics.GaugeVec
}

func declareSpool(reg *metrics.Registry) spoolMetrics {
	sink := []metrics.Label{metrics.L("sink")}
	counter := func(name, help string) *metrics.CounterVec {
		return reg.Counter(metrics.Desc{Name: name, Help: help, Labels: sink})
	}
	gauge := func(name, help string) *metrics.GaugeVec {
		return reg.Gauge(metrics.Desc{Name: name, Help: help, Labels: sink})
	}
	return spoolMetrics{
		replayed: counter("relay_sink_replayed_points_total", "Points sent later than their flush, because the sink was down or slow."),
		errors:   counter("relay_spool_errors_total", "Times that flushes could not be written to the spool, or read from it; they wait in memory then."),
		corrupt:  counter("relay_spool_corrupt_total", "Flushes found damaged in the spool, and segments whose end was cut off, as a crash of the machine leaves them."),
		bytes:    gauge("relay_spool_bytes", "Bytes that the sink's spool takes on disk."),
		limit:    gauge("relay_spool_limit_bytes", "Bytes that it may take, beyond which the oldest flushes are dropped; 0 without a spool."),
		oldest:   gauge("relay_sink_oldest_timestamp_seconds", "When the oldest flush that waits for the sink was made, in Unix time; 0 if none waits."),
	}
}

// carbon are the instruments of one carbon, called sink.
func (s *self) carbon(sink string) carbon.Metrics {
	return carbon.Metrics{
		SentBatches: s.sinkFlushes.With(sink, "sent"), ResentBatches: s.sinkFlushes.With(sink, "resent"), DroppedBatches: s.sinkFlushes.With(sink, "dropped"),
		SentPoints: s.sinkPoints.With(sink, "sent"), ResentPoints: s.sinkPoints.With(sink, "resent"), DroppedPoints: s.sinkPoints.With(sink, "dropped"),
		ReplayedPoints: s.spool.replayed.With(sink), Bytes: s.sinkBytes.With(sink),
		ConnectErrors: s.sinkErrors.With(sink, "connect"), WriteErrors: s.sinkErrors.With(sink, "write"),
		SpoolErrors: s.spool.errors.With(sink), SpoolCorrupt: s.spool.corrupt.With(sink),
		Up: s.sinkUp.With(sink), Waiting: s.sinkWaiting.With(sink), Memory: s.sinkQueue.With(sink), MemoryMax: s.sinkLimit.With(sink),
		Disk: s.spool.bytes.With(sink), DiskMax: s.spool.limit.With(sink), Oldest: s.spool.oldest.With(sink),
	}
}
