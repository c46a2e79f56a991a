package server

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"addons/server/health"
	"addons/statsd-relay"
)

// Config says what a platform is made of. Each backend is chosen by one URL; a
// relative path in one is taken below Data.
type Config struct {
	Data string // folder that everything embedded lives in

	Public string // address of the site: pages, API, update checks, downloads, beacons
	Admin  string // address of the operators' pages and the site's /metrics; never public
	// BaseURL is scheme and host by which the world knows the site; "" is made
	// from Public.
	BaseURL string

	Database string // sqlite:PATH, mysql://…
	// Replicas are the database's, mysql://… each, with a parameter lag (5s) beyond which one
	// is not read from. For processes that serve the site: tasks read of the writer.
	Replicas []string
	Cache    string // memory:, memcache://…, redis://…
	Search   string // bleve:PATH, elasticsearch://…; "" for a process that neither searches nor indexes
	Queue    string // database:, amqp://…
	Files    string // file:DIR
	// Statsd is where the statsd lines go: udp://host:port, "" for the relay of
	// this process, "none:" for nowhere.
	Statsd    string
	SentryDSN string

	Site   bool // serve the public site
	Worker bool // run tasks
	Relay  *RelayConfig

	// Beacons is where the site hands browsers' beacons on to when there is no
	// relay in this process: a statsd-relay's --beacons address, http://host:port. "" takes none.
	Beacons string
	// BeaconSample is the share of page views that send a beacon, up to 1; 0 is 1, and
	// negative is none: then no page carries the script and no beacon is taken.
	BeaconSample float64
	// BeaconOrigins are other sites whose pages may send beacons, as https://shop.example.
	BeaconOrigins []string
	// BeaconTimings are the names of what pages' scripts may time by rum.mark and
	// rum.measure; others are counted as "other".
	BeaconTimings []string
	// Proxies are those before the site: their X-Forwarded-For is believed, and their CountryHeader.
	Proxies []netip.Prefix
	// CountryHeader is where they say a sender's country, as CF-IPCountry; "" is nowhere.
	CountryHeader string
	// Countries are told apart in beacons, by ISO 3166-1's codes, as "de".
	Countries []string
	// BeaconKeys are the sets of keys that others have for beacons in Graphite, and
	// BoomcatchPrefix is before boomcatch's: see rum.Config. For a relay in this process.
	BeaconKeys      []string
	BoomcatchPrefix string
	// Prometheus is asked for dashboards and alerts when there is none in this
	// process: http://host:9090. "" shows neither.
	Prometheus string

	// Alertmanager, http://host:9093, or AlertWebhook, a URL that gets
	// Alertmanager's webhook format, is told what fires by the Prometheus of this
	// process. "" tells nobody: alerts are then on the alerts page alone.
	Alertmanager, AlertWebhook string

	// Sample is how many add-ons the sample catalogue has that an empty
	// database is filled with; 0 leaves it empty.
	Sample  int
	Workers int           // tasks at the same time
	Drain   time.Duration // between "not ready" and closing the listeners, for the load balancer to notice
	Debug   bool          // show what each page cost at its foot
	Drills  bool          // routes that fail on purpose, to see that alerts work
	Version health.Version
}

// RelayConfig is the sidecar, and the Prometheus, in this process.
type RelayConfig struct {
	UDP, TCP string        // statsd lines
	HTTP     string        // its /metrics and status, and the Prometheus query API
	Flush    time.Duration // between flushes to Graphite
	Graphite string        // carbon's plaintext address, or several with commas; "" for none. What it can't be given waits in Data
	Prefix   string        // statsd's globalPrefix: PREFIX.counters.KEY.count…; "" for its legacy names, stats.KEY…
	Scrape   time.Duration // between scrapes and rule evaluations
}

// Embedded returns the configuration of the whole platform in one process, with
// nothing installed, in one folder.
func Embedded(data string) Config {
	return Config{
		Data:     data,
		Public:   ":8000",
		Admin:    "127.0.0.1:8001",
		Database: "sqlite:addons.db",
		Cache:    "memory:",
		Search:   "bleve:index",
		Queue:    "database:",
		Files:    "file:files",
		Site:     true,
		Worker:   true,
		Relay: &RelayConfig{
			UDP: "127.0.0.1:8125", TCP: "127.0.0.1:8125", HTTP: "127.0.0.1:9102",
			Flush: 10 * time.Second, Scrape: 15 * time.Second,
		},
		Sample:  300,
		Workers: 2,
	}
}

// graphite is the relay's, with its spool in the data folder.
func (c Config) graphite() relay.Graphite {
	if c.Relay.Graphite == "" {
		return relay.Graphite{}
	}
	return relay.Graphite{Addresses: strings.Split(c.Relay.Graphite, ","), Spool: relay.Spool{Dir: filepath.Join(c.Data, "spool")}}
}

// below puts a URL's relative path below the data folder: "sqlite:addons.db" is
// "sqlite:/data/addons.db". URLs with a host, and those without a path, stay.
func (c Config) below(rawURL string) string {
	scheme, rest, ok := strings.Cut(rawURL, ":")
	if !ok || rest == "" || strings.HasPrefix(rest, "/") || strings.HasPrefix(rest, ":") || strings.HasPrefix(rest, "?") {
		return rawURL
	}
	return scheme + ":" + filepath.ToSlash(filepath.Join(c.Data, rest))
}

// folder makes the data folder and proves that it can be written to.
func (c Config) folder() error {
	if err := os.MkdirAll(c.Data, 0o755); err != nil {
		return fmt.Errorf("data folder: %w: give one that you may write to with --data", err)
	}
	probe, err := os.CreateTemp(c.Data, ".probe-")
	if err != nil {
		return fmt.Errorf("data folder: %w: give one that you may write to with --data", err)
	}
	probe.Close()
	return os.Remove(probe.Name())
}

// baseURL is BaseURL, or what a browser on this machine can use.
func (c Config) baseURL(public net.Addr) (string, error) {
	if c.BaseURL == "" {
		return "http://" + local(public), nil
	}
	u, err := url.Parse(c.BaseURL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || strings.Trim(u.Path, "/") != "" {
		return "", fmt.Errorf("--base-url %q: want scheme and host alone, as https://addons.example.org", c.BaseURL)
	}
	return u.Scheme + "://" + u.Host, nil
}

// local is an address as a browser on this machine reaches it.
func local(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() || ip.IsLoopback() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
