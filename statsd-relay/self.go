package relay

import (
	"context"
	"time"

	"addons/server/metrics"
	"addons/statsd-relay/statsd"
)

// self are the relay's own metrics. Readers count in their shards and the
// aggregator carries it over here, so that no line touches a shared number.
type self struct {
	registry *metrics.Registry

	lines     [5]*metrics.Counter // by statsd.Type
	bad       []*metrics.Counter  // by statsd.Reason
	packets   map[string]*metrics.Counter
	bytes     map[string]*metrics.Counter
	drops     *metrics.Counter
	rcvbuf    *metrics.Gauge
	conns     *metrics.Gauge
	refused   *metrics.Counter
	idle      *metrics.Counter
	series    [classes]*metrics.Gauge
	overflow  [classes]*metrics.Counter
	expired   [classes]*metrics.Counter
	limit     *metrics.Gauge
	sketched  *metrics.Counter
	members   *metrics.Counter
	unstamped *metrics.Counter
	duration  *metrics.Histogram
	lag       *metrics.Gauge
	last      *metrics.Gauge
	conflicts *metrics.Gauge
	reserved  *metrics.Gauge
	dropped   *metrics.Gauge

	adminRefused *metrics.Counter

	reloadGood *metrics.Gauge
	reloadTime *metrics.Gauge

	sinkFlushes *metrics.CounterVec
	sinkPoints  *metrics.CounterVec
	sinkBytes   *metrics.CounterVec
	sinkErrors  *metrics.CounterVec
	sinkWaiting *metrics.GaugeVec
	sinkQueue   *metrics.GaugeVec
	sinkLimit   *metrics.GaugeVec
	sinkUp      *metrics.GaugeVec
	hostErrors  *metrics.Counter
	peerLines   *metrics.CounterVec
	peerQueue   *metrics.GaugeVec
	peerUp      *metrics.GaugeVec
	spool       spoolMetrics
}

// transports are the ways in.
var transports = [...]string{"udp", "tcp", "unixgram", "unix", "feed"}

func newSelf(reg *metrics.Registry, cfg Config) *self {
	s := &self{registry: reg, packets: map[string]*metrics.Counter{}, bytes: map[string]*metrics.Counter{}}
	s.declareInput(reg)
	s.declareSeries(reg)
	s.declareSinks(reg)
	s.declarePeers(reg)
	s.declareReloads(reg)
	s.declareHost(reg)
	s.limit.Set(float64(cfg.MaxSeries))
	return s
}

func (s *self) declareInput(reg *metrics.Registry) {
	types := make([]string, 0, 5)
	for _, t := range statsd.Types() {
		types = append(types, t.String())
	}
	reasons := make([]string, 0, 16)
	for _, r := range statsd.Reasons() {
		reasons = append(reasons, r.String())
	}
	counter := func(name, help string, labels ...metrics.Label) *metrics.CounterVec {
		return reg.Counter(metrics.Desc{Name: name, Help: help, Labels: labels})
	}
	lines := counter("relay_lines_total", "Statsd samples taken, by type; a packed line has several.", metrics.L("type", types...))
	for _, t := range statsd.Types() {
		s.lines[t] = lines.With(t.String())
	}
	bad := counter("relay_bad_lines_total", "Statsd samples refused, by reason.", metrics.L("reason", reasons...))
	s.bad = make([]*metrics.Counter, len(reasons)+1)
	for _, r := range statsd.Reasons() {
		s.bad[r] = bad.With(r.String())
	}
	packets := counter("relay_packets_total", "Datagrams (udp, unixgram), pieces of streams (tcp, unix) and values (feed) received.", metrics.L("transport", transports[:]...))
	bytes := counter("relay_received_bytes_total", "Bytes received.", metrics.L("transport", transports[:]...))
	for _, t := range transports {
		s.packets[t], s.bytes[t] = packets.With(t), bytes.With(t)
	}
	s.drops = counter("relay_kernel_drops_total", "Datagrams that the kernel dropped because a socket's receive buffer was full.").With()
	s.rcvbuf = reg.Gauge(metrics.Desc{Name: "relay_receive_buffer_bytes", Help: "Receive buffer of each UDP socket, as the kernel granted it."}).With()
	s.conns = reg.Gauge(metrics.Desc{Name: "relay_tcp_connections", Help: "Open connections of senders, over TCP and unix stream sockets."}).With()
	s.refused = counter("relay_tcp_refused_total", "Such connections closed at once because there were too many.").With()
	s.idle = counter("relay_tcp_idle_total", "Such connections closed because they were silent for too long.").With()
	s.adminRefused = reg.Counter(metrics.Desc{Name: "relay_admin_refused_total", Help: "Connections to the management console closed at once because there were too many.", Debug: true}).With()
}

func (s *self) declareSeries(reg *metrics.Registry) {
	names := make([]string, 0, classes)
	for c := class(0); c < classes; c++ {
		names = append(names, c.String())
	}
	series := reg.Gauge(metrics.Desc{Name: "relay_series", Help: "Series held, by type.", Labels: []metrics.Label{metrics.L("type", names...)}})
	overflow := reg.Counter(metrics.Desc{Name: "relay_series_overflow_total", Help: "Samples of new series beyond the limit, counted under " + Overflow + " instead; those of gauges are left out.", Labels: []metrics.Label{metrics.L("type", names...)}})
	expired := reg.Counter(metrics.Desc{Name: "relay_series_expired_total", Help: "Series ended because no sample came for long.", Labels: []metrics.Label{metrics.L("type", names...)}})
	for c := class(0); c < classes; c++ {
		s.series[c], s.overflow[c], s.expired[c] = series.With(c.String()), overflow.With(c.String()), expired.With(c.String())
	}
	s.limit = reg.Gauge(metrics.Desc{Name: "relay_series_limit", Help: "Series that may be held."}).With()
	s.sketched = reg.Counter(metrics.Desc{Name: "relay_timer_samples_sketched_total", Help: "Timer samples beyond the number kept exactly; their percentiles are within 0.5 %."}).With()
	s.members = reg.Counter(metrics.Desc{Name: "relay_set_members_dropped_total", Help: "Set members beyond the number told apart."}).With()
	s.unstamped = reg.Counter(metrics.Desc{Name: "relay_stamped_points_dropped_total", Help: "Samples with a timestamp left out because an interval had too many of them.", Debug: true}).With()
	s.duration = reg.Histogram(metrics.Desc{Name: "relay_flush_duration_seconds", Help: "Time to merge, compute and hand over one flush."}).With()
	s.lag = reg.Gauge(metrics.Desc{Name: "relay_flush_lag_seconds", Help: "How late the last flush began."}).With()
	s.last = reg.Gauge(metrics.Desc{Name: "relay_last_flush_timestamp_seconds", Help: "When the last flush ended, in Unix time."}).With()
	refused := reg.Gauge(metrics.Desc{Name: "relay_prometheus_refused_series", Help: "Series that Graphite gets and /metrics does not: their name is taken by another type (conflict) or by a metric that is not statsd's (reserved), or their mapping drops them or gives them no name (dropped).",
		Labels: []metrics.Label{metrics.L("reason", "conflict", "reserved", "dropped")}})
	s.conflicts, s.reserved, s.dropped = refused.With("conflict"), refused.With("reserved"), refused.With("dropped")
}

func (s *self) declareSinks(reg *metrics.Registry) {
	sink := metrics.L("sink")
	counter := func(name, help string, labels ...metrics.Label) *metrics.CounterVec {
		return reg.Counter(metrics.Desc{Name: name, Help: help, Labels: labels})
	}
	gauge := func(name, help string) *metrics.GaugeVec {
		return reg.Gauge(metrics.Desc{Name: name, Help: help, Labels: []metrics.Label{sink}})
	}
	outcome := metrics.L("outcome", "sent", "resent", "dropped")
	s.sinkFlushes = counter("relay_sink_flushes_total", "Flushes by what became of them: sent, sent again after a broken connection, or dropped because too many waited.", sink, outcome)
	s.sinkPoints = counter("relay_sink_points_total", "Points by what became of their flush.", sink, outcome)
	s.sinkBytes = counter("relay_sink_sent_bytes_total", "Bytes sent; to Graphite, those that its host acknowledged.", sink)
	s.sinkErrors = counter("relay_sink_errors_total", "Connections that failed, by what was being done.", sink, metrics.L("operation", "connect", "write"))
	s.sinkWaiting = gauge("relay_sink_queue_flushes", "Flushes that wait for the sink, in memory or on disk.")
	s.sinkQueue = gauge("relay_sink_queue_bytes", "Bytes of flushes that wait for the sink in memory.")
	s.sinkLimit = gauge("relay_sink_queue_limit_bytes", "Bytes of flushes that may wait for the sink in memory.")
	s.sinkUp = gauge("relay_sink_up", "Whether the sink is connected.")
	s.spool = declareSpool(reg)
}

// declarePeers is for sinks that send lines on. Peers are those of the configuration.
func (s *self) declarePeers(reg *metrics.Registry) {
	sink, peer := metrics.L("sink"), metrics.L("peer")
	s.peerLines = reg.Counter(metrics.Desc{Name: "relay_peer_lines_total", Help: "Lines for other servers, and points for Ganglia's, by what became of them: sent, or dropped because too many waited, it could not be reached, or (peer none) no server was on.",
		Labels: []metrics.Label{sink, peer, metrics.L("outcome", "sent", "dropped")}})
	s.peerQueue = reg.Gauge(metrics.Desc{Name: "relay_peer_queue_bytes", Help: "Memory of the lines that wait for another server.", Labels: []metrics.Label{sink, peer}})
	s.peerUp = reg.Gauge(metrics.Desc{Name: "relay_peer_up", Help: "Whether another server that lines are sent to is well, by its checks and by how the last attempt went.", Labels: []metrics.Label{sink, peer}})
}

// declareHost is for the machine's own numbers.
func (s *self) declareHost(reg *metrics.Registry) {
	s.hostErrors = reg.Counter(metrics.Desc{Name: "relay_host_errors_total", Help: "Readings of the machine's own numbers that something was missing of.", Debug: true}).With()
}

// flushed notes a flush that has just ended.
func (s *self) flushed(took time.Duration) {
	s.duration.Observe(context.Background(), took)
	s.last.Set(float64(time.Now().UnixMilli()) / 1000)
}
