package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"addons/server/metrics"
	"addons/statsd-relay/gmetric"
)

// Ganglia sends each flush to gmond, as gmetric would. Metrics have the names that
// they have in Graphite; a tag is one more part of it, ".name_value". Their group
// is the first part of the key. What gmond is not sent any more it forgets.
// Points with times of their own are dropped and counted: gmond knows only now.
type Ganglia struct {
	// To are gmonds, each "host:port", or multicast groups that they listen to.
	// Each gets everything. None: nothing is sent.
	To []string `yaml:"to"`
	// Spoof, as "address:name", has gmond take the metrics for that host's; "" is
	// the host that sends them.
	Spoof string `yaml:"spoof"`
	// Metrics is how many there may be: gmond looks through all of a host's, and its
	// web pages show each. 0 is 1,000. Beyond, points are dropped and counted.
	Metrics int `yaml:"metrics"`
	// DMax is how long after its last value gmond forgets a metric; 0 is 10 min, or
	// 10 flushes if that is longer. It counts in seconds.
	DMax time.Duration `yaml:"dmax"`
	// Resend is how often metrics are described anew, which a gmond that was
	// restarted needs; 0 is 1 min. It is twice in DMax at least: gmond forgets a
	// metric that is not described for so long, whatever values come.
	Resend time.Duration `yaml:"resend"`
}

// complete fills what is left zero, and refuses what can't be done.
func (g *Ganglia) complete(flush time.Duration) error {
	g.Metrics = cmp.Or(g.Metrics, 1000)
	g.DMax = cmp.Or(g.DMax, max(10*time.Minute, 10*flush))
	g.Resend = min(cmp.Or(g.Resend, time.Minute), g.DMax/2)
	for _, address := range g.To {
		_, port, err := net.SplitHostPort(address)
		if err == nil {
			err = validPort(port)
		}
		if err != nil {
			return fmt.Errorf("statsd-relay: ganglia: to: %q: give host:port, as gmond.example.org:8649: %w", address, err)
		}
	}
	switch {
	case g.Metrics < 0 || g.Resend < 0:
		return errors.New("statsd-relay: ganglia: limits and times can't be negative")
	case len(g.To) > 0 && g.DMax < max(time.Second, flush):
		return fmt.Errorf("statsd-relay: ganglia: dmax %v: gmond would forget metrics between flushes, which are %v apart", g.DMax, flush)
	case g.Spoof != "" && !strings.Contains(g.Spoof, ":"):
		return fmt.Errorf("statsd-relay: ganglia: spoof %q: give address:name, as 10.0.0.9:web9", g.Spoof)
	}
	return nil
}

const (
	// gangliaRate is how many datagrams a second a gmond gets, and gangliaBurst how
	// many at once: it has the kernel's default buffer, which holds less than 300.
	gangliaRate  = 5000
	gangliaBurst = 50
	gangliaQueue = 1 << 20 // bytes that may wait for one gmond
)

// ganglia is the sink that Ganglia describes.
type ganglia struct {
	cfg     Ganglia
	self    *self
	names   names
	host    string
	tmax    uint32
	flushes *latest
	peers   peers
	limit   *rate.Limiter
	since   time.Time

	sent                                                   atomic.Int64 // flushes
	sentFlushes, droppedFlushes, sentPoints, droppedPoints *metrics.Counter

	known map[string]*gangliaMetric // by name; run's alone
	path  []byte
}

// gangliaMetric is one that the gmonds have been told of.
type gangliaMetric struct {
	gmetric.Metric
	described, seen time.Time
}

func newGanglia(cfg Config, self *self, log *slog.Logger) *ganglia {
	sink := newPeerSink("ganglia", gangliaQueue*int64(len(cfg.Ganglia.To)), self)
	g := &ganglia{
		cfg: cfg.Ganglia, self: self, names: cfg.Naming.names(), host: cfg.Ganglia.Spoof, tmax: uint32(math.Ceil(cfg.Flush.Seconds())),
		flushes: newLatest(), limit: rate.NewLimiter(gangliaRate, gangliaBurst), since: time.Now(), known: map[string]*gangliaMetric{},
		sentFlushes: self.sinkFlushes.With(sink.name, "sent"), droppedFlushes: self.sinkFlushes.With(sink.name, "dropped"),
		sentPoints: self.sinkPoints.With(sink.name, "sent"), droppedPoints: self.sinkPoints.With(sink.name, "dropped"),
	}
	if g.host == "" {
		g.host, _ = os.Hostname() // gmond goes by the address in any case
	}
	for _, address := range cfg.Ganglia.To {
		g.peers = append(g.peers, newPeer(target{network: "udp", address: address}, sink, gangliaQueue, self, log))
	}
	return g
}

func (g *ganglia) name() string { return "ganglia" }

// send has f sent next, in place of one that could not be sent since.
func (g *ganglia) send(f *flush) {
	if old := g.flushes.put(f); old != nil {
		g.droppedFlushes.Inc()
		g.droppedPoints.Add(int64(old.points()))
	}
}

// run sends until ctx is done, and then what waits until drain is.
func (g *ganglia) run(ctx, drain context.Context) error {
	sending, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var group errgroup.Group
	for _, p := range g.peers {
		group.Go(func() error {
			p.run(sending, drain)
			return nil
		})
	}
	g.flushes.each(ctx, drain, func(f *flush) { g.deliver(drain, f) })
	stop()
	group.Wait()
	for _, p := range g.peers {
		p.abandon()
		g.self.forgetPeer(g.name(), p.address) // a reload may have taken it out
	}
	return nil
}

// deliver sends one flush.
func (g *ganglia) deliver(ctx context.Context, f *flush) {
	now := time.Now()
	put := func(prefix, key, end, more string, units string, typ gmetric.Type, value float64) {
		m := g.metric(prefix, key, end, more, units, typ)
		if m == nil {
			g.droppedPoints.Inc()
			return
		}
		g.put(ctx, m, value, now)
	}
	seconds := f.interval.Seconds()
	for _, p := range f.counters {
		put(g.names.rate, p.key, g.names.rateEnd, "", "/s", gmetric.Double, p.value/seconds)
		put(g.names.count, p.key, g.names.countEnd, "", "", gmetric.Double, p.value)
	}
	for _, t := range f.timers {
		for _, s := range t.stats {
			put(g.names.timer, t.key, ".", s.name, timerUnits(s.name, t.plain), gmetric.Double, s.value)
		}
	}
	for _, p := range f.gauges {
		put(g.names.gauge, p.key, "", "", "", gmetric.Double, p.value)
	}
	for _, p := range f.sets {
		put(g.names.set, p.key, ".count", "", "", gmetric.Uint32, p.value)
	}
	g.droppedPoints.Add(int64(len(f.stamped)))
	g.sentFlushes.Inc()
	g.sent.Add(1)
	for name, m := range g.known {
		if now.Sub(m.seen) > g.cfg.DMax {
			delete(g.known, name)
		}
	}
}

// timerUnits are those of one of a timer's numbers. What unit plain ones have is
// not known.
func timerUnits(stat string, plain bool) string {
	switch {
	case stat == "count_ps":
		return "/s"
	case plain, strings.HasPrefix(stat, "count"), strings.HasPrefix(stat, "histogram"), strings.HasPrefix(stat, "sum_squares"):
		return ""
	}
	return "ms"
}

// metric returns the metric of that name, a new one if there is none; nil beyond
// the limit, and if its description would be too long for a datagram.
func (g *ganglia) metric(prefix, key, end, more, units string, typ gmetric.Type) *gangliaMetric {
	name, tags := splitKey(key)
	b := append(append(append(append(g.path[:0], prefix...), name...), end...), more...)
	b = append(b, g.names.suffix...)
	for i := range len(tags) {
		switch c := tags[i]; c {
		case ';':
			b = append(b, '.')
		case '=':
			b = append(b, '_')
		default:
			b = append(b, c)
		}
	}
	g.path = b
	if m, ok := g.known[string(b)]; ok {
		return m
	}
	if len(g.known) >= g.cfg.Metrics {
		return nil
	}
	group, _, _ := strings.Cut(name, ".")
	m := &gangliaMetric{Metric: gmetric.Metric{
		Host: g.host, Spoof: g.cfg.Spoof != "", Name: string(b), Type: typ, Units: units,
		TMax: g.tmax, DMax: uint32(g.cfg.DMax.Seconds()), Group: group,
	}}
	if len(m.AppendMeta(nil)) > gmetric.MaxMessage {
		return nil
	}
	g.known[m.Name] = m
	return m
}

// put sends a value, and the description before it if it is time for that.
func (g *ganglia) put(ctx context.Context, m *gangliaMetric, value float64, now time.Time) {
	m.seen = now
	if now.Sub(m.described) >= g.cfg.Resend {
		m.described = now
		g.message(ctx, 0, m.AppendMeta)
	}
	g.message(ctx, 1, func(dst []byte) []byte { return m.AppendValue(dst, value) })
}

// message gives every gmond a datagram, no faster than they read. Once ctx is
// done, what it holds is dropped.
func (g *ganglia) message(ctx context.Context, points int64, write func([]byte) []byte) {
	if g.limit.Wait(ctx) != nil {
		g.droppedPoints.Add(points)
		return
	}
	for _, p := range g.peers {
		pk := packets.Get().(*packet)
		pk.data, pk.lines, pk.verbatim = write(pk.data), int(points), true
		p.put(pk)
	}
	g.sentPoints.Add(points)
}

// wait returns when nothing waits any more.
func (g *ganglia) wait(ctx context.Context) error {
	if err := g.flushes.wait(ctx); err != nil {
		return fmt.Errorf("ganglia: %d flushes wait: %w", g.flushes.waiting(), err)
	}
	return g.peers.wait(ctx, g.name())
}

func (g *ganglia) status() sinkStatus {
	st := g.peers.status(g.name(), g.since)
	st.waiting, st.sent = g.flushes.waiting(), g.sent.Load()
	return st
}
