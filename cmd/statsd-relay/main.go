// Command statsd-relay is the statsd sidecar alone: it listens for statsd lines,
// aggregates them as etsy's statsd does, and brings them to Graphite and to
// Prometheus. Every flag has an environment variable, RELAY_ and its name; a file
// has all that the flags have, and more: statsd-relay.example.yml.
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
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/sync/errgroup"

	relay "addons/statsd-relay"
	"addons/statsd-relay/handover"
)

// command is the command line.
type command struct {
	flags

	Run         struct{}           `cmd:"" default:"1" help:"Relay, until SIGTERM. The default."`
	CheckConfig checkConfigCommand `cmd:"" help:"Say all that is wrong with a configuration file; status 1 if anything is."`
	Healthcheck healthcheckCommand `cmd:"" help:"Ask a relay whether it is well; status 1 if it is not. For containers, which have no curl."`
}

// flags are the settings of the command line. Names follow etsy's statsd where it
// has the option; setting is the file's name for the same.
type flags struct {
	Config string `name:"config" env:"RELAY_CONFIG" placeholder:"FILE" help:"Read settings from this YAML file; flags and variables go before it. SIGHUP and POST /-/reload read it again."`

	StatsdUDP  string        `name:"statsd-udp" setting:"udp" default:"127.0.0.1:8125" env:"RELAY_STATSD_UDP" help:"Listen for statsd lines on this UDP address; empty: don't."`
	StatsdTCP  string        `name:"statsd-tcp" setting:"tcp" default:"127.0.0.1:8125" env:"RELAY_STATSD_TCP" help:"Listen for statsd lines on this TCP address; empty: don't."`
	Unixgram   string        `name:"statsd-unixgram" setting:"listen.unixgram" env:"RELAY_STATSD_UNIXGRAM" placeholder:"PATH" help:"Listen for datagrams on this unix socket, as DogStatsD's clients send them."`
	Unix       string        `name:"statsd-unix" setting:"listen.unix" env:"RELAY_STATSD_UNIX" placeholder:"PATH" help:"Listen for streams on this unix socket: lines, or DogStatsD's frames."`
	SocketMode string        `name:"socket-mode" setting:"listen.socket_mode" default:"0722" env:"RELAY_SOCKET_MODE" help:"Mode of both files: whoever can reach them may send."`
	HTTP       string        `name:"http" setting:"http" default:"127.0.0.1:9102" env:"RELAY_HTTP" help:"Serve /metrics, the status page and health here."`
	Admin      string        `name:"admin" setting:"admin" env:"RELAY_ADMIN" placeholder:"HOST:PORT" help:"Serve etsy's management console here (its mgmt_port is 8126); it has no password. Empty: don't."`
	Handover   string        `name:"handover" setting:"handover" env:"RELAY_HANDOVER" placeholder:"PATH" help:"Take over from the relay that listens at this unix socket, if one does, without a packet or a connection lost, and hand over there to the next. SIGUSR2 starts that."`
	State      string        `name:"state" setting:"state" env:"RELAY_STATE" placeholder:"FILE" help:"Keep in this file, from SIGTERM to the next start, the interval under way and what /metrics has counted."`
	Beacons    string        `name:"beacons" setting:"beacons.address" env:"RELAY_BEACONS" placeholder:"HOST:PORT" help:"Take browsers' beacons here, at /rum; empty: don't. A site hands them on from its own origin."`
	Pages      []string      `name:"pages" setting:"beacons.pages" default:"home,search,categories,browse,language-tools,addon,versions,reviews,privacy,error" env:"RELAY_PAGES" help:"Names that pages may have in beacons, beside those of --page-routes; others count as \"other\"."`
	Timings    []string      `name:"timings" setting:"beacons.timings" env:"RELAY_TIMINGS" placeholder:"NAME" help:"Names of what pages' scripts time by rum.mark and rum.measure; others count as \"other\"."`
	PageRoutes []string      `name:"page-routes" setting:"beacons.routes" default:"/:locale/:app/=home,/:locale/:app/search/=search,/:locale/:app/categories/=categories,/:locale/:app/extensions/=browse,/:locale/:app/extensions/:category/=browse,/:locale/:app/themes/=browse,/:locale/:app/themes/:category/=browse,/:locale/:app/language-tools/=language-tools,/:locale/:app/tag/:tag/=browse,/:locale/:app/user/:user/=browse,/:locale/:app/addon/:addon/=addon,/:locale/:app/addon/:addon/versions/=versions,/:locale/:app/addon/:addon/reviews/=reviews,/:locale/:app/privacy/=privacy" env:"RELAY_PAGE_ROUTES" help:"Which page is at a path, for clients that know no names: :part stands for one part, *rest for all the rest, and the first that fits is the one."`
	Origins    []string      `name:"beacon-origins" setting:"beacons.origins" env:"RELAY_BEACON_ORIGINS" placeholder:"ORIGIN" help:"Other sites whose pages may send beacons, as https://shop.example."`
	Proxies    []string      `name:"beacon-proxies" setting:"beacons.proxies" env:"RELAY_BEACON_PROXIES" placeholder:"CIDR" help:"Networks of those that hand beacons on. Their X-Forwarded-For is believed, so that senders are bounded, and their --country-header."`
	Country    string        `name:"country-header" setting:"beacons.country_header" env:"RELAY_COUNTRY_HEADER" placeholder:"HEADER" help:"Header in which they say a visitor's country, as CF-IPCountry. No address is looked up."`
	Countries  []string      `name:"countries" setting:"beacons.countries" env:"RELAY_COUNTRIES" placeholder:"CODE" help:"Countries that web vitals' ratings tell apart, as de,fr; others are \"other\"."`
	BeaconKeys []string      `name:"beacon-keys" setting:"beacons.keys" default:"django-statsd" env:"RELAY_BEACON_KEYS" help:"Legacy keys of beacons in Graphite: django-statsd (window.performance.*), boomcatch (rt.*, navtiming.*), or none."`
	Boomcatch  string        `name:"boomcatch-prefix" setting:"beacons.boomcatch_prefix" env:"RELAY_BOOMCATCH_PREFIX" placeholder:"PREFIX" help:"Prefix of boomcatch's keys."`
	BeaconRate int           `name:"beacon-rate" setting:"beacons.rate" default:"5000" env:"RELAY_BEACON_RATE" help:"Beacons taken a second, and at once; more are refused, so that a flood takes no more than a known share of the machine."`
	LabelSets  int           `name:"beacon-label-sets" setting:"beacons.label_sets" default:"2000" env:"RELAY_BEACON_LABEL_SETS" help:"Label sets of all histograms of beacons, and as many of counters; beyond, the page is \"overflow\"."`
	Graphite   []string      `name:"graphite" setting:"graphite.address" env:"RELAY_GRAPHITE" placeholder:"HOST:PORT[:INSTANCE]" help:"Send flushes to this carbon, or to several by carbon-relay's consistent hashing; none: don't."`
	Flush      time.Duration `name:"flush" setting:"flush_interval" default:"10s" env:"RELAY_FLUSH" help:"How often."`
	Percentile []float64     `name:"percentile" setting:"percent_threshold" default:"90" env:"RELAY_PERCENTILE" help:"Percentiles of timers; negative ones from the top."`

	Forward     []string `name:"forward" setting:"forward.nodes" env:"RELAY_FORWARD" placeholder:"HOST:PORT" help:"Send each line on to one of these statsd servers, by its key: [udp://|tcp://]HOST:PORT, with ?admin=PORT or ?http=PORT behind it to check its health there."`
	ForwardOnly bool     `name:"forward-only" setting:"forward.only" env:"RELAY_FORWARD_ONLY" help:"Aggregate no lines here."`
	Repeat      []string `name:"repeat" setting:"repeat.to" env:"RELAY_REPEAT" placeholder:"HOST:PORT" help:"Send all lines on to each of these statsd servers: [udp://|tcp://]HOST:PORT."`

	Ganglia []string `name:"ganglia" setting:"ganglia.to" env:"RELAY_GANGLIA" placeholder:"HOST:PORT" help:"Send flushes to these gmonds, as gmetric does."`
	Console string   `name:"console" setting:"console" default:"" enum:",lines,json" env:"RELAY_CONSOLE" help:"Print each flush: as lines for people, or as a line of json."`

	HostMetrics bool `name:"host-metrics" setting:"host.enabled" env:"RELAY_HOST_METRICS" help:"Make gauges of this machine's processors, memory, disks, file systems and network, below host.HOSTNAME."`

	LegacyNamespace bool   `name:"legacy-namespace" setting:"graphite.legacy_namespace" default:"true" negatable:"" env:"RELAY_LEGACY_NAMESPACE" help:"Name series in Graphite stats.KEY, stats_counts.KEY, stats.timers.KEY…; else PREFIX.counters.KEY.count…"`
	Prefix          string `name:"prefix" setting:"graphite.global_prefix" default:"stats" env:"RELAY_PREFIX" help:"globalPrefix, without the legacy namespace; may be empty."`
	PrefixCounter   string `name:"prefix-counter" setting:"graphite.prefix_counter" default:"counters" env:"RELAY_PREFIX_COUNTER" help:"prefixCounter, likewise."`
	PrefixTimer     string `name:"prefix-timer" setting:"graphite.prefix_timer" default:"timers" env:"RELAY_PREFIX_TIMER" help:"prefixTimer, likewise."`
	PrefixGauge     string `name:"prefix-gauge" setting:"graphite.prefix_gauge" default:"gauges" env:"RELAY_PREFIX_GAUGE" help:"prefixGauge, likewise."`
	PrefixSet       string `name:"prefix-set" setting:"graphite.prefix_set" default:"sets" env:"RELAY_PREFIX_SET" help:"prefixSet, likewise."`
	Suffix          string `name:"suffix" setting:"graphite.global_suffix" env:"RELAY_SUFFIX" help:"globalSuffix: behind every name in Graphite."`
	PrefixStats     string `name:"prefix-stats" setting:"graphite.prefix_stats" default:"statsd" env:"RELAY_PREFIX_STATS" help:"prefixStats: where numStats and the like go."`

	DeleteIdle     bool  `name:"delete-idle" setting:"delete_idle_stats" env:"RELAY_DELETE_IDLE" help:"deleteIdleStats: send nothing for keys that had no sample."`
	DeleteCounters *bool `name:"delete-counters" setting:"delete_counters" negatable:"" env:"RELAY_DELETE_COUNTERS" help:"deleteCounters: the same for counters alone, or with --delete-idle not for them."`
	DeleteGauges   *bool `name:"delete-gauges" setting:"delete_gauges" negatable:"" env:"RELAY_DELETE_GAUGES" help:"deleteGauges, likewise."`
	DeleteTimers   *bool `name:"delete-timers" setting:"delete_timers" negatable:"" env:"RELAY_DELETE_TIMERS" help:"deleteTimers, likewise."`
	DeleteSets     *bool `name:"delete-sets" setting:"delete_sets" negatable:"" env:"RELAY_DELETE_SETS" help:"deleteSets, likewise."`

	PrometheusMapping    string        `name:"prometheus-mapping" setting:"prometheus.mapping" type:"path" env:"RELAY_PROMETHEUS_MAPPING" placeholder:"FILE" help:"Mapping file of statsd_exporter's (its --statsd.mapping-config): what names and labels keys get on /metrics."`
	PrometheusHistograms string        `name:"prometheus-histograms" setting:"prometheus.histograms" default:"both" enum:"both,classic,native" env:"RELAY_PROMETHEUS_HISTOGRAMS" help:"Buckets of timers on /metrics: classic, native or both."`
	PrometheusBuckets    []float64     `name:"prometheus-buckets" setting:"prometheus.buckets" env:"RELAY_PROMETHEUS_BUCKETS" placeholder:"SECONDS" help:"Classic buckets of timers, unless a mapping says others."`
	PrometheusTTL        time.Duration `name:"prometheus-ttl" setting:"prometheus.ttl" default:"0" env:"RELAY_PROMETHEUS_TTL" help:"Show a series on /metrics for so long after its last sample, unless a mapping says how long; 0: until it expires."`

	MaxSeries     int           `name:"max-series" setting:"max_series" default:"100000" env:"RELAY_MAX_SERIES" help:"Series held; beyond, samples count under relay_overflow."`
	TimerSamples  int           `name:"timer-samples" setting:"timer_samples" default:"10000" env:"RELAY_TIMER_SAMPLES" help:"Samples of a timer and flush kept exactly; beyond, percentiles are within 0.5 %."`
	Expire        time.Duration `name:"expire" setting:"expire" default:"1h" env:"RELAY_EXPIRE" help:"A series without samples for so long ends; negative: never."`
	Readers       int           `name:"readers" setting:"readers" default:"0" env:"RELAY_READERS" help:"UDP sockets to read with; 0: by the number of processors."`
	ReceiveBuffer int           `name:"receive-buffer" setting:"receive_buffer" default:"8388608" env:"RELAY_RECEIVE_BUFFER" help:"Bytes the kernel may hold for each UDP socket."`
	RemoteReload  bool          `name:"remote-reload" setting:"remote_reload" env:"RELAY_REMOTE_RELOAD" help:"Take POST /-/reload from other hosts too."`

	GraphiteProtocol string `name:"graphite-protocol" setting:"graphite.protocol" default:"plaintext" enum:"plaintext,pickle" env:"RELAY_GRAPHITE_PROTOCOL" help:"plaintext, or pickle (carbon's port 2004)."`
	GraphiteHash     string `name:"graphite-hash" setting:"graphite.hash" default:"carbon_ch" enum:"carbon_ch,fnv1a_ch" env:"RELAY_GRAPHITE_HASH" help:"carbon's ROUTER_HASH_TYPE: carbon_ch or fnv1a_ch."`
	Backlog          int64  `name:"backlog" setting:"graphite.backlog" default:"67108864" env:"RELAY_BACKLOG" help:"Bytes of flushes that may wait in memory, for each carbon, while it is down or slow."`
	Spool            string `name:"spool" setting:"graphite.spool.dir" env:"RELAY_SPOOL" placeholder:"DIR" help:"Let them wait in this folder, where they survive the process; empty: in memory."`
	SpoolLimit       int64  `name:"spool-limit" setting:"graphite.spool.limit" default:"1073741824" env:"RELAY_SPOOL_LIMIT" help:"Bytes there for each carbon; beyond, the oldest go."`
	ReplayRate       int    `name:"replay-rate" setting:"graphite.spool.replay_rate" default:"20000" env:"RELAY_REPLAY_RATE" help:"Points a second of what waited, for each carbon, beside what is new; negative: no bound."`
}

// gcPercent is how much garbage there may be for what is in use: little, for most of
// what a relay holds it holds for long, and a sidecar should be small. $GOGC overrides it.
const gcPercent = 10

// beaconGC is the same where beacons are taken, of which nothing stays: with 10 collecting
// takes a third to a half of what they cost, with 50 hardly any, and 7 MiB more.
const beaconGC = 50

func main() {
	if !strings.Contains(os.Getenv("GODEBUG"), "memprofilerate=") {
		runtime.MemProfileRate = 0 // its table takes a megabyte; GODEBUG=memprofilerate=524288 has it at /debug/pprof/heap
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	var c command
	parser := kong.Must(&c, kong.Name("statsd-relay"), kong.Description("A statsd server for Graphite and Prometheus, to stand beside a service."))
	parsed, err := parser.Parse(os.Args[1:])
	parser.FatalIfErrorf(err)
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	switch parsed.Command() {
	case "check-config <file>":
		err = c.CheckConfig.run(os.Stdout, newSource(parsed, c.flags))
	case "healthcheck", "healthcheck <url>":
		err = c.Healthcheck.run(os.Stdout)
	default:
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		context.AfterFunc(ctx, stop) // a second signal ends the process at once
		err = run(ctx, newSource(parsed, c.flags), log)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run relays until ctx is done, and then for as long as the last flush takes, or until
// a successor has taken over.
func run(ctx context.Context, from source, log *slog.Logger) error {
	signals, stop := catchSignals()
	defer stop()
	cfg, err := from.config()
	if err != nil {
		return err
	}
	beaconed, err := beaconConfig(cfg.Beacons)
	if err != nil {
		return err
	}
	if cfg.Beacons.Address != "" && os.Getenv("GOGC") == "" {
		debug.SetGCPercent(beaconGC)
	}
	inherited, err := handover.Find(ctx, cfg.Handover)
	if err != nil {
		return fmt.Errorf("statsd-relay: %w", err)
	}
	defer inherited.Close()
	listeners, err := listen(cfg, inherited)
	if err != nil {
		return err
	}
	r, err := relay.NewSuccessor(cfg, log, inherited)
	if err != nil {
		listeners.close()
		return err
	}
	listeners.bequeath(cfg, r)
	var beacons *beaconServer
	if listeners.beacons != nil {
		beacons = newBeaconServer(listeners.beacons, r.Connections("tcp", cfg.Beacons.Address), beaconed, r, log)
		r.HandOverWith("tcp", cfg.Beacons.Address, relay.Server{Rest: beacons.rest, Resume: beacons.gate.wake})
	}
	if from.file != "" {
		r.ReloadFrom(from.config)
	}
	udp, tcp := r.Addr()
	log.Info("statsd-relay started", "udp", udp, "tcp", tcp, "http", "http://"+listeners.http.Addr().String()+"/", "admin", r.AdminAddr(), "beacons", listeners.takesBeacons(), "graphite", strings.Join(cfg.Graphite.Addresses, ","))
	defer log.Info("statsd-relay stopped")

	server := &http.Server{Handler: r.Handler(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10}
	ctx, end := context.WithCancel(ctx)
	defer end()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return tend(ctx, r, signals, upgrade{cfg.Handover, log}, systemd(os.Getenv("NOTIFY_SOCKET")), log)
	})
	// The relay's last flush is to have what beacons that were taken still wait with.
	relaying, settled := context.WithCancel(context.WithoutCancel(ctx))
	defer settled()
	if beacons == nil {
		context.AfterFunc(ctx, settled)
	}
	relayed := make(chan struct{})
	group.Go(func() error {
		defer close(relayed)
		defer end()
		return r.Run(relaying)
	})
	group.Go(func() error {
		if err := server.Serve(listeners.http); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("statsd-relay: status and metrics: %w", err)
		}
		return nil
	})
	if beacons != nil {
		group.Go(beacons.serve)
		group.Go(func() error {
			defer context.AfterFunc(ctx, settled)
			select {
			case <-ctx.Done():
			case <-r.HandedOver():
			}
			return beacons.close()
		})
	}
	group.Go(func() error { // metrics are served until the last flush is out, or by a successor
		select {
		case <-relayed:
		case <-r.HandedOver():
		}
		deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if server.Shutdown(deadline) != nil {
			return server.Close()
		}
		return nil
	})
	return group.Wait()
}

// listeners are those of the program's own.
type listeners struct{ http, beacons net.Listener } // beacons is nil if there are to be none

// listen opens them.
func listen(cfg relay.Config, inherited *handover.Inherited) (l listeners, err error) {
	if l.http, err = inherited.Listener("tcp", cfg.HTTP); err != nil {
		return l, fmt.Errorf("statsd-relay: status and metrics on %s: %w: choose another address with --http", cfg.HTTP, err)
	}
	if cfg.Beacons.Address == "" {
		return l, nil
	}
	if l.beacons, err = inherited.Listener("tcp", cfg.Beacons.Address); err != nil {
		l.close()
		return l, fmt.Errorf("statsd-relay: beacons on %s: %w: choose another address with --beacons", cfg.Beacons.Address, err)
	}
	return l, nil
}

// takesBeacons is where beacons come in, nil if nowhere.
func (l listeners) takesBeacons() net.Addr {
	if l.beacons == nil {
		return nil
	}
	return l.beacons.Addr()
}

func (l listeners) close() {
	l.http.Close()
	if l.beacons != nil {
		l.beacons.Close()
	}
}

// bequeath has a successor of r get them.
func (l listeners) bequeath(cfg relay.Config, r *relay.Relay) {
	r.Bequeath("tcp", cfg.HTTP, l.http.(syscall.Conn))
	if l.beacons != nil {
		r.Bequeath("tcp", cfg.Beacons.Address, l.beacons.(syscall.Conn))
	}
}
