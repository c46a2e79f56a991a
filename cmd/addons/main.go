// Command addons is the add-ons site: `addons` alone runs the whole platform in
// one process, with nothing installed; serve and worker are its parts for
// production, each backend chosen by one URL.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"addons/server"
	"addons/server/health"
)

// commit is set by the linker: -X main.commit=….
var commit string

// release is what this source calls itself; CHANGELOG.md says what is in it.
const release = "0.1.0"

// cli is the command line. Every flag can be given in the environment too.
type cli struct {
	Log string `help:"What is logged: debug, info, warn or error." enum:"debug,info,warn,error" default:"info" env:"ADDONS_LOG"`

	Up      up      `cmd:"" default:"withargs" help:"The whole platform in one process: site, worker, relay, Prometheus, dashboards, alerts."`
	Serve   serve   `cmd:"" help:"The site alone, for production."`
	Worker  worker  `cmd:"" help:"The task worker alone, for production."`
	Load    load    `cmd:"" help:"Import add-ons: .xpi, .zip, unpacked folders, AMO API v5 JSON, or a sample catalogue."`
	Rollout rollout `cmd:"" help:"Offer a version as an update to a share of the clients, halt that, or list what is being rolled out."`
	Reindex reindex `cmd:"" help:"Build the search index anew."`
	Check   check   `cmd:"" help:"Use every backend once and say which work; exit code 1 if an essential one does not."`
	Cache   caches  `cmd:"" help:"Ask a running process what its cache does, and why."`
	Bench   benches `cmd:"" help:"Measure on this machine."`
	Metrics table   `cmd:"" help:"Print the catalogue of metrics (METRICS.md)."`
	Probe   probe   `cmd:"" help:"GET a URL; exit code 0 if it answers 200. For container health checks."`
	Version version `cmd:"" help:"Print the version."`
}

func main() {
	var c cli
	parser := kong.Must(&c, kong.Name("addons"), kong.UsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Description("An add-ons site that you can see into."))
	command, err := parser.Parse(os.Args[1:])
	parser.FatalIfErrorf(err)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	var level slog.Level
	level.UnmarshalText([]byte(c.Log)) // kong has checked it
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	command.BindTo(ctx, (*context.Context)(nil))
	if err := command.Run(log); err != nil {
		fmt.Fprintln(os.Stderr, "addons:", err)
		os.Exit(1)
	}
}

// backends are the flags that choose where things are kept.
type backends struct {
	Data      string `help:"Folder that everything embedded lives in." default:"addons-data" env:"ADDONS_DATA" type:"path"`
	Database  string `help:"sqlite:PATH or mysql://user:password@host:port/name." default:"sqlite:addons.db" env:"ADDONS_DATABASE"`
	Cache     string `help:"memory:, memcache://host:port,host:port or redis://host:port/db." default:"memory:" env:"ADDONS_CACHE"`
	Search    string `help:"bleve:PATH or elasticsearch://host:port/index." default:"bleve:index" env:"ADDONS_SEARCH"`
	Queue     string `help:"database: or amqp://user:password@host:port/vhost." default:"database:" env:"ADDONS_QUEUE"`
	Files     string `help:"file:FOLDER." default:"file:files" env:"ADDONS_FILES"`
	Statsd    string `help:"Where statsd lines go: udp://host:port, or none:. By default the relay of this process." env:"ADDONS_STATSD"`
	SentryDSN string `help:"Sentry's DSN; without one, errors are on the operators' page alone." name:"sentry-dsn" env:"ADDONS_SENTRY_DSN"`
}

func (b backends) config() server.Config {
	c := server.Embedded(b.Data)
	c.Database, c.Cache, c.Search, c.Queue, c.Files = b.Database, b.Cache, b.Search, b.Queue, b.Files
	c.Statsd, c.SentryDSN = b.Statsd, b.SentryDSN
	c.Version = health.Version{Source: "addons", Version: release, Commit: commit}
	// Parts of it are switched on by the commands that have them.
	c.Site, c.Worker, c.Relay, c.Sample, c.Public, c.Admin = false, false, nil, 0, "", ""
	return c
}

// siteFlags are those of whatever serves the site.
type siteFlags struct {
	Public  string         `help:"Address of the site." default:":8000" env:"ADDONS_PUBLIC"`
	BaseURL string         `help:"Scheme and host by which the world knows the site, as https://addons.example.org." name:"base-url" env:"ADDONS_BASE_URL"`
	Replica []string       `help:"Replicas of a mysql:// database that pages and update checks are read from, as mysql://user:password@host:port/name?lag=5s: beyond this lag one is left out." name:"replicas" placeholder:"URL" env:"ADDONS_REPLICAS"`
	Drain   time.Duration  `help:"Wait between \"not ready\" and closing, for a load balancer to notice." default:"0s" env:"ADDONS_DRAIN"`
	Proxies []netip.Prefix `help:"Networks of proxies before the site, as 10.0.0.0/8, whose X-Forwarded-For is believed: beacons are bounded by who sends them." placeholder:"CIDR" env:"ADDONS_PROXIES"`
	Sampled float64        `help:"Share of page views that send a beacon; 0: none, and none is taken." name:"beacon-sample" default:"1" env:"ADDONS_BEACON_SAMPLE"`
	Origins []string       `help:"Other sites whose pages may send beacons, as https://shop.example." name:"beacon-origins" placeholder:"ORIGIN" env:"ADDONS_BEACON_ORIGINS"`
	Timings []string       `help:"Names of what pages' scripts time by rum.mark and rum.measure; others count as \"other\"." name:"beacon-timings" placeholder:"NAME" env:"ADDONS_BEACON_TIMINGS"`
	Country string         `help:"Header in which those proxies say a visitor's country, as CF-IPCountry. No address is looked up." name:"country-header" placeholder:"HEADER" env:"ADDONS_COUNTRY_HEADER"`
	Known   []string       `help:"Countries that web vitals' ratings tell apart, as de,fr; others are \"other\"." name:"countries" placeholder:"CODE" env:"ADDONS_COUNTRIES"`
	Debug   bool           `help:"Show at the foot of each page what it cost." env:"ADDONS_DEBUG"`
	Drills  bool           `help:"Serve /__drill__/panic and /__drill__/queries, which fail on purpose: to see that it is counted, reported and alerted." env:"ADDONS_DRILLS"`
}

func (f siteFlags) apply(c *server.Config) {
	c.Site, c.Public, c.BaseURL, c.Drain, c.Debug, c.Drills = true, f.Public, f.BaseURL, f.Drain, f.Debug, f.Drills
	c.Replicas = f.Replica
	c.Proxies, c.BeaconOrigins, c.BeaconTimings, c.BeaconSample = f.Proxies, f.Origins, f.Timings, f.Sampled
	c.CountryHeader, c.Countries = f.Country, f.Known
	if f.Sampled == 0 {
		c.BeaconSample = -1
	}
}

// adminFlag is the address of the operators' pages.
type adminFlag struct {
	Admin string `help:"Address of the operators' pages and /metrics. Never make it public." default:"127.0.0.1:8001" env:"ADDONS_ADMIN"`
}

// up is the whole platform.
type up struct {
	backends
	siteFlags
	adminFlag
	RelayHTTP    string        `help:"Address of the relay's /metrics, status and the Prometheus query API." name:"relay-http" default:"127.0.0.1:9102" env:"ADDONS_RELAY_HTTP"`
	StatsdUDP    string        `help:"Address for statsd lines over UDP." name:"statsd-udp" default:"127.0.0.1:8125" env:"ADDONS_STATSD_UDP"`
	StatsdTCP    string        `help:"Address for statsd lines over TCP." name:"statsd-tcp" default:"127.0.0.1:8125" env:"ADDONS_STATSD_TCP"`
	Graphite     string        `help:"Carbon's plaintext address, host:2003; none by default." env:"ADDONS_GRAPHITE"`
	Prefix       string        `help:"Names in Graphite are PREFIX.counters.KEY.count, PREFIX.timers.KEY.mean…; without, statsd's legacy ones: stats.KEY, stats.timers.KEY.mean…" name:"graphite-prefix" env:"ADDONS_GRAPHITE_PREFIX"`
	BeaconKeys   []string      `help:"Legacy keys of beacons in Graphite: django-statsd (window.performance.*), boomcatch (rt.*, navtiming.*), or none." name:"beacon-keys" default:"django-statsd" env:"ADDONS_BEACON_KEYS"`
	Boomcatch    string        `help:"Prefix of boomcatch's keys." name:"boomcatch-prefix" placeholder:"PREFIX" env:"ADDONS_BOOMCATCH_PREFIX"`
	Flush        time.Duration `help:"Time between flushes to Graphite." default:"10s" env:"ADDONS_FLUSH"`
	Scrape       time.Duration `help:"Time between scrapes by the embedded Prometheus." default:"15s" env:"ADDONS_SCRAPE"`
	Alertmanager string        `help:"Alertmanager that is told what fires, http://host:9093." env:"ADDONS_ALERTMANAGER"`
	AlertWebhook string        `help:"URL that is told what fires, in the format of Alertmanager's webhook." env:"ADDONS_ALERT_WEBHOOK"`
	Sample       int           `help:"Add-ons in the sample catalogue that an empty database is filled with; 0 for none." default:"300" env:"ADDONS_SAMPLE"`
	Workers      int           `help:"Tasks at the same time." default:"2" env:"ADDONS_WORKERS"`
}

func (u up) Run(ctx context.Context, log *slog.Logger) error {
	c := u.backends.config()
	u.siteFlags.apply(&c)
	c.Admin, c.Worker, c.Workers, c.Sample = u.Admin, true, u.Workers, u.Sample
	c.Alertmanager, c.AlertWebhook = u.Alertmanager, u.AlertWebhook
	c.BeaconKeys, c.BoomcatchPrefix = u.BeaconKeys, u.Boomcatch
	c.Relay = &server.RelayConfig{UDP: u.StatsdUDP, TCP: u.StatsdTCP, HTTP: u.RelayHTTP, Flush: u.Flush, Graphite: u.Graphite, Prefix: u.Prefix, Scrape: u.Scrape}
	return run(ctx, c, log)
}

// serve is the site alone.
type serve struct {
	backends
	siteFlags
	adminFlag
	Beacons    string `help:"A statsd-relay's --beacons address, http://host:port, that browsers' beacons are handed to." env:"ADDONS_BEACONS"`
	Prometheus string `help:"Prometheus that dashboards and alerts ask, http://host:9090." env:"ADDONS_PROMETHEUS"`
}

func (s serve) Run(ctx context.Context, log *slog.Logger) error {
	c := s.backends.config()
	s.siteFlags.apply(&c)
	c.Admin, c.Beacons, c.Prometheus = s.Admin, s.Beacons, s.Prometheus
	return run(ctx, c, log)
}

// worker runs tasks alone.
type worker struct {
	backends
	adminFlag
	Workers int `help:"Tasks at the same time." default:"4" env:"ADDONS_WORKERS"`
}

func (w worker) Run(ctx context.Context, log *slog.Logger) error {
	c := w.backends.config()
	c.Admin, c.Worker, c.Workers = w.Admin, true, w.Workers
	return run(ctx, c, log)
}

// run opens, runs and closes a platform.
func run(ctx context.Context, c server.Config, log *slog.Logger) (err error) {
	s, err := server.New(ctx, c, log)
	if err != nil {
		return err
	}
	defer func() {
		if closing := s.Close(context.WithoutCancel(ctx)); err == nil {
			err = closing
		}
	}()
	for _, a := range s.Addresses() {
		fmt.Printf("%-10s %s\n", a.Name, a.Value)
	}
	bar := newBar(os.Stderr, "sample catalogue")
	return s.Run(ctx, bar.show, func() {
		bar.end()
		fmt.Println("ready      Ctrl-C ends it; everything is kept in", c.Data)
	})
}
