// Command statsd-relay is the statsd sidecar alone: it listens for statsd lines,
// aggregates them as etsy's statsd does, and brings them to Graphite and to
// Prometheus. Every flag has an environment variable, RELAY_ and its name.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/sync/errgroup"

	relay "addons/statsd-relay"
)

// flags are the command line. Names follow etsy's statsd where it has the option.
type flags struct {
	StatsdUDP  string        `name:"statsd-udp" default:"127.0.0.1:8125" env:"RELAY_STATSD_UDP" help:"Listen for statsd lines on this UDP address; empty: don't."`
	StatsdTCP  string        `name:"statsd-tcp" default:"127.0.0.1:8125" env:"RELAY_STATSD_TCP" help:"Listen for statsd lines on this TCP address; empty: don't."`
	HTTP       string        `name:"http" default:"127.0.0.1:9102" env:"RELAY_HTTP" help:"Serve /metrics, the status page and health here."`
	Beacons    string        `name:"beacons" env:"RELAY_BEACONS" placeholder:"HOST:PORT" help:"Take browsers' beacons here, at /rum; empty: don't. A site hands them on from its own origin."`
	Pages      []string      `name:"pages" default:"home,search,categories,browse,language-tools,addon,versions,reviews,privacy,error" env:"RELAY_PAGES" help:"Names that pages may have in beacons; others count as \"other\"."`
	Graphite   []string      `name:"graphite" env:"RELAY_GRAPHITE" placeholder:"HOST:PORT[:INSTANCE]" help:"Send flushes to this carbon, or to several by carbon-relay's consistent hashing; none: don't."`
	Flush      time.Duration `name:"flush" default:"10s" env:"RELAY_FLUSH" help:"How often."`
	Percentile []float64     `name:"percentile" default:"90" env:"RELAY_PERCENTILE" help:"Percentiles of timers; negative ones from the top."`

	Forward     []string `name:"forward" env:"RELAY_FORWARD" placeholder:"HOST:PORT" help:"Send each line on to one of these statsd servers, by its key: [udp://|tcp://]HOST:PORT, with ?admin=PORT or ?http=PORT behind it to check its health there."`
	ForwardOnly bool     `name:"forward-only" env:"RELAY_FORWARD_ONLY" help:"Aggregate no lines here."`
	Repeat      []string `name:"repeat" env:"RELAY_REPEAT" placeholder:"HOST:PORT" help:"Send all lines on to each of these statsd servers: [udp://|tcp://]HOST:PORT."`

	LegacyNamespace bool   `name:"legacy-namespace" default:"true" negatable:"" env:"RELAY_LEGACY_NAMESPACE" help:"Name series in Graphite stats.KEY, stats_counts.KEY, stats.timers.KEY…; else PREFIX.counters.KEY.count…"`
	Prefix          string `name:"prefix" default:"stats" env:"RELAY_PREFIX" help:"globalPrefix, without the legacy namespace; may be empty."`
	PrefixCounter   string `name:"prefix-counter" default:"counters" env:"RELAY_PREFIX_COUNTER" help:"prefixCounter, likewise."`
	PrefixTimer     string `name:"prefix-timer" default:"timers" env:"RELAY_PREFIX_TIMER" help:"prefixTimer, likewise."`
	PrefixGauge     string `name:"prefix-gauge" default:"gauges" env:"RELAY_PREFIX_GAUGE" help:"prefixGauge, likewise."`
	PrefixSet       string `name:"prefix-set" default:"sets" env:"RELAY_PREFIX_SET" help:"prefixSet, likewise."`
	Suffix          string `name:"suffix" env:"RELAY_SUFFIX" help:"globalSuffix: behind every name in Graphite."`
	PrefixStats     string `name:"prefix-stats" default:"statsd" env:"RELAY_PREFIX_STATS" help:"prefixStats: where numStats and the like go."`
	DeleteIdle      bool   `name:"delete-idle" env:"RELAY_DELETE_IDLE" help:"deleteIdleStats: send nothing for keys that had no sample."`

	PrometheusMapping    string        `name:"prometheus-mapping" type:"path" env:"RELAY_PROMETHEUS_MAPPING" placeholder:"FILE" help:"Mapping file of statsd_exporter's (its --statsd.mapping-config): what names and labels keys get on /metrics."`
	PrometheusHistograms string        `name:"prometheus-histograms" default:"both" enum:"both,classic,native" env:"RELAY_PROMETHEUS_HISTOGRAMS" help:"Buckets of timers on /metrics: classic, native or both."`
	PrometheusBuckets    []float64     `name:"prometheus-buckets" env:"RELAY_PROMETHEUS_BUCKETS" placeholder:"SECONDS" help:"Classic buckets of timers, unless a mapping says others."`
	PrometheusTTL        time.Duration `name:"prometheus-ttl" default:"0" env:"RELAY_PROMETHEUS_TTL" help:"Show a series on /metrics for so long after its last sample, unless a mapping says how long; 0: until it expires."`

	MaxSeries     int           `name:"max-series" default:"100000" env:"RELAY_MAX_SERIES" help:"Series held; beyond, samples count under relay_overflow."`
	TimerSamples  int           `name:"timer-samples" default:"10000" env:"RELAY_TIMER_SAMPLES" help:"Samples of a timer and flush kept exactly; beyond, percentiles are within 1 %."`
	Expire        time.Duration `name:"expire" default:"1h" env:"RELAY_EXPIRE" help:"A series without samples for so long ends; negative: never."`
	Readers       int           `name:"readers" default:"0" env:"RELAY_READERS" help:"UDP sockets to read with; 0: by the number of processors."`
	ReceiveBuffer int           `name:"receive-buffer" default:"8388608" env:"RELAY_RECEIVE_BUFFER" help:"Bytes the kernel may hold for each UDP socket."`

	GraphiteProtocol string `name:"graphite-protocol" default:"plaintext" enum:"plaintext,pickle" env:"RELAY_GRAPHITE_PROTOCOL" help:"plaintext, or pickle (carbon's port 2004)."`
	GraphiteHash     string `name:"graphite-hash" default:"carbon_ch" enum:"carbon_ch,fnv1a_ch" env:"RELAY_GRAPHITE_HASH" help:"carbon's ROUTER_HASH_TYPE: carbon_ch or fnv1a_ch."`
	Backlog          int64  `name:"backlog" default:"67108864" env:"RELAY_BACKLOG" help:"Bytes of flushes that may wait in memory, for each carbon, while it is down or slow."`
	Spool            string `name:"spool" env:"RELAY_SPOOL" placeholder:"DIR" help:"Let them wait in this folder, where they survive the process; empty: in memory."`
	SpoolLimit       int64  `name:"spool-limit" default:"1073741824" env:"RELAY_SPOOL_LIMIT" help:"Bytes there for each carbon; beyond, the oldest go."`
	ReplayRate       int    `name:"replay-rate" default:"20000" env:"RELAY_REPLAY_RATE" help:"Points a second of what waited, for each carbon, beside what is new; negative: no bound."`
}

func (f flags) config() relay.Config {
	return relay.Config{
		UDP: f.StatsdUDP, TCP: f.StatsdTCP, Flush: f.Flush, Percentiles: f.Percentile,
		Graphite: relay.Graphite{
			Addresses: f.Graphite, Protocol: f.GraphiteProtocol, Hash: f.GraphiteHash, Memory: f.Backlog,
			Spool: relay.Spool{Dir: f.Spool, Limit: f.SpoolLimit, Rate: f.ReplayRate},
		},
		Naming: relay.Naming{
			Modern: !f.LegacyNamespace, Prefix: f.Prefix, NoPrefix: f.Prefix == "",
			Counter: f.PrefixCounter, Timer: f.PrefixTimer, Gauge: f.PrefixGauge, Set: f.PrefixSet,
			Suffix: f.Suffix, Self: f.PrefixStats,
		},
		Forward: relay.Forward{Nodes: f.Forward, Only: f.ForwardOnly}, Repeat: relay.Repeat{To: f.Repeat},
		DeleteIdle: f.DeleteIdle, MaxSeries: f.MaxSeries, TimerSamples: f.TimerSamples, Expire: f.Expire,
		Prometheus: relay.Prometheus{
			Mapping: f.PrometheusMapping, Histograms: f.PrometheusHistograms, Buckets: f.PrometheusBuckets, TTL: f.PrometheusTTL,
		},
		Readers: f.Readers, ReceiveBuffer: f.ReceiveBuffer,
	}
}

// gcPercent is how much garbage there may be for what is in use: little, for most of
// what a relay holds it holds for long, and a sidecar should be small. $GOGC overrides it.
const gcPercent = 20

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	var f flags
	kong.Parse(&f, kong.Name("statsd-relay"), kong.Description("A statsd server for Graphite and Prometheus, to stand beside a service."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := run(ctx, f, log); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run relays until ctx is done, and then for as long as the last flush takes.
func run(ctx context.Context, f flags, log *slog.Logger) error {
	r, err := relay.New(f.config(), log)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", f.HTTP)
	if err != nil {
		return fmt.Errorf("statsd-relay: status and metrics on %s: %w: choose another address with --http", f.HTTP, err)
	}
	var beacons *beaconServer
	if f.Beacons != "" {
		if beacons, err = listenBeacons(f.Beacons, f.Pages, r, log); err != nil {
			return err
		}
	}
	udp, tcp := r.Addr()
	log.Info("statsd-relay started", "udp", udp, "tcp", tcp, "http", "http://"+listener.Addr().String()+"/", "graphite", f.Graphite)
	defer log.Info("statsd-relay stopped")

	server := &http.Server{Handler: r.Handler(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10}
	group, ctx := errgroup.WithContext(ctx)
	relayed := make(chan struct{})
	group.Go(func() error {
		defer close(relayed)
		return r.Run(ctx)
	})
	group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("statsd-relay: status and metrics: %w", err)
		}
		return nil
	})
	if beacons != nil {
		group.Go(beacons.serve)
		group.Go(func() error { // a beacon that comes while the last flush is made may miss it
			<-ctx.Done()
			return beacons.server.Close()
		})
	}
	group.Go(func() error { // metrics are served until the last flush is out
		<-relayed
		deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if server.Shutdown(deadline) != nil {
			return server.Close()
		}
		return nil
	})
	return group.Wait()
}
