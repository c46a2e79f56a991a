package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"time"

	"github.com/prometheus/common/model"

	"addons/alerts"
	"addons/dashboards"
	"addons/dashboards/console"
	"addons/rum"
	"addons/server/ops"
	"addons/server/update"
	"addons/server/views"
	"addons/server/web"
	"addons/statsd-relay/prom"
	"addons/statsd-relay/tsdb"
)

// openTSDB opens the embedded Prometheus beside an embedded relay. It scrapes
// the same handlers that a real one would, over connections in memory.
func (s *Server) openTSDB(context.Context) error {
	if s.config.Relay == nil {
		return nil
	}
	external := "http://" + local(s.admin.Addr())
	if err := s.openNotifier(external); err != nil {
		return err
	}
	var notify func([]*model.Alert)
	if s.notifier != nil {
		notify = s.notifier.Notify
	}
	db, err := tsdb.Open(tsdb.Config{
		Dir:      filepath.Join(s.config.Data, "prometheus"),
		Interval: s.config.Relay.Scrape,
		Targets: []tsdb.Target{
			{Job: "addons", Instance: local(s.admin.Addr()), Handler: ops.Metrics(s.registry.Prometheus(), s.log)},
			{Job: "statsd-relay", Instance: local(s.relayHTTP.Addr()), Handler: s.relay.Handler()},
		},
		Rules:       alerts.Rules(),
		ExternalURL: external,
		Notify:      notify,
	}, s.log)
	if err != nil {
		return err
	}
	s.tsdb = db
	s.opened.pushPlain("prometheus", db.Close)
	return nil
}

// openNotifier makes whoever is told of alerts; external is where alerts link to.
func (s *Server) openNotifier(external string) (err error) {
	switch c := s.config; {
	case c.Alertmanager != "" && c.AlertWebhook != "":
		return errors.New("--alertmanager and --alert-webhook: give one of them; Alertmanager has webhooks of its own")
	case c.Alertmanager != "":
		s.notifier, err = alerts.NewAlertmanager(c.Alertmanager, s.registry, s.log)
	case c.AlertWebhook != "":
		s.notifier, err = alerts.NewWebhook(c.AlertWebhook, external, s.registry, s.log)
	}
	return err
}

// prometheus is whom dashboards and alerts ask; nil if there is none.
func (s *Server) prometheus() (*prom.Client, error) {
	if s.tsdb != nil {
		return prom.Local(s.tsdb.Handler()), nil
	}
	if s.config.Prometheus == "" {
		return nil, nil
	}
	client, err := prom.Dial(s.config.Prometheus)
	if err != nil {
		return nil, fmt.Errorf("--prometheus: %w", err)
	}
	return client, nil
}

// scrapeInterval is how often the Prometheus that is asked scrapes; a real one
// is taken to do so as alerts/prometheus.yml says.
func (s *Server) scrapeInterval() time.Duration {
	if s.config.Relay == nil {
		return 15 * time.Second
	}
	return s.config.Relay.Scrape
}

// operators is the admin listener's side.
func (s *Server) operators() (http.Handler, error) {
	client, err := s.prometheus()
	if err != nil {
		return nil, err
	}
	config := ops.Config{
		Gatherer: s.registry.Prometheus(), Health: s.checks, Faults: s.faults, Cache: s.cache, Version: s.config.Version,
		Ready: func() bool { return !s.draining.Load() }, Facts: s.facts(), Log: s.log,
	}
	var links []console.Link
	if client != nil {
		links = append(links, console.Link{Name: "Dashboards", Path: "/dashboards/"}, console.Link{Name: "Alerts", Path: "/alerts/"})
	}
	if client != nil || s.views != nil {
		links = append(links, console.Link{Name: "Page views", Path: "/views/"})
	}
	nav := ops.Navigation(links...)
	for _, l := range links {
		frame := console.New(l.Path, nav)
		var h http.Handler
		switch l.Path {
		case "/dashboards/":
			h = dashboards.New(client, frame, dashboards.Interval(s.scrapeInterval()), dashboards.Traces(s.traceURL))
		case "/alerts/":
			h = alerts.New(client, frame)
		default:
			h = views.New(views.Config{Store: s.views, Prometheus: client, Pages: append(web.Pages(), "other", "overflow"), Sample: s.config.BeaconSample}, frame)
		}
		config.Parts = append(config.Parts, ops.Part{Link: l, Handler: h})
	}
	return ops.New(config), nil
}

// traceURL is where the page view of a trace is shown, "" if it is not kept here.
func (s *Server) traceURL(trace string) string {
	if !s.views.Has(trace) {
		return ""
	}
	return "/views/trace/" + trace
}

// facts are what an operator wants to see first: where this process listens and
// what it stands on. URLs have their passwords hidden.
func (s *Server) facts() []ops.Fact {
	facts := s.Addresses()
	for _, b := range []ops.Fact{
		{Name: "database", Value: s.config.Database}, {Name: "cache", Value: s.config.Cache}, {Name: "search", Value: s.config.Search},
		{Name: "queue", Value: s.config.Queue}, {Name: "files", Value: s.config.Files},
	} {
		facts = append(facts, ops.Fact{Name: b.Name, Value: redacted(b.Value)})
	}
	for _, replica := range s.config.Replicas {
		facts = append(facts, ops.Fact{Name: "replica", Value: redacted(replica)})
	}
	return append(facts, ops.Fact{Name: "data", Value: s.config.Data})
}

func redacted(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "(not a URL)"
	}
	return u.Redacted()
}

// Addresses says where to look.
func (s *Server) Addresses() []ops.Fact {
	var facts []ops.Fact
	add := func(name string, l net.Listener, path string) {
		if l != nil {
			facts = append(facts, ops.Fact{Name: name, Value: "http://" + local(l.Addr()) + path})
		}
	}
	add("site", s.public, "/")
	add("operators", s.admin, "/")
	if s.tsdb != nil || s.config.Prometheus != "" {
		add("dashboard", s.admin, "/dashboards/overview")
		add("alerts", s.admin, "/alerts/")
	}
	add("relay", s.relayHTTP, "/")
	if s.relay != nil {
		udp, tcp := s.relay.Addr()
		for _, a := range []net.Addr{udp, tcp} {
			if a != nil {
				facts = append(facts, ops.Fact{Name: "statsd", Value: a.Network() + " " + a.String()})
			}
		}
	}
	return facts
}

// pages is the public site.
func (s *Server) pages() (http.Handler, error) {
	if !s.config.Site {
		return nil, nil
	}
	networks := rum.NewNetworks(s.config.Proxies)
	beacon, err := s.beacon(networks)
	if err != nil {
		return nil, err
	}
	s.updates = update.New(s.db, s.cache, s.base, s.registry)
	config := web.Config{
		Site: s.site, Update: s.updates, Beacon: beacon, BaseURL: s.base, Networks: networks,
		Registry: s.registry, Faults: s.faults, Health: s.checks, Version: s.config.Version, Log: s.log, Debug: s.config.Debug, Drills: s.config.Drills,
	}
	if len(s.config.Replicas) > 0 {
		config.Session = s.db.Session
	}
	if beacon != nil {
		config.Scripts, config.Sample = rum.Scripts(), cmp.Or(s.config.BeaconSample, 1)
		config.Recent = s.recent
	}
	return web.New(config)
}

// beacon takes the browsers' measurements: here when the relay is, else by
// handing them on to the relay, so that pages always send to their own origin.
func (s *Server) beacon(networks *rum.Networks) (http.Handler, error) {
	if s.config.BeaconSample < 0 {
		return nil, nil
	}
	if s.config.BeaconSample > 1 {
		return nil, fmt.Errorf("--beacon-sample %v: it is a share, from 0 to 1", s.config.BeaconSample)
	}
	routes, err := rum.ParseRoutes(web.PageRoutes())
	if err != nil {
		return nil, err
	}
	config := rum.Config{
		Pages: web.Pages(), PageOf: routes.PageOf, Timings: s.config.BeaconTimings, Origins: s.config.BeaconOrigins, Networks: networks,
		Countries: s.config.Countries, CountryHeader: s.config.CountryHeader, Keys: s.config.BeaconKeys, BoomcatchPrefix: s.config.BoomcatchPrefix,
	}
	config.MaxLabelSets = max(config.LabelSets()) // of our own routes, and of lists that Check bounds
	if err := config.Check(); err != nil {
		return nil, fmt.Errorf("beacons: %w", err)
	}
	if s.relay != nil {
		config.Views = s.views.Add
		s.beacons = rum.NewHandler(config, s.relay.Registerer(), s.relay, s.log)
		return s.beacons, nil
	}
	if s.config.Beacons == "" {
		return nil, nil
	}
	to, err := url.Parse(s.config.Beacons)
	if err != nil || to.Host == "" {
		return nil, fmt.Errorf("--beacons %q: want the relay's beacon address, as http://relay:9103", s.config.Beacons)
	}
	return networks.Bound(s.seen(config, &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.URL.Path = r.In.URL.Path // which tells the relay the client
			// The relay needs to know nothing of who sent it, so no X-Forwarded-For either.
			r.Out.Header.Del("Cookie")
			r.Out.Header.Del("Authorization")
			if header := s.config.CountryHeader; header != "" && !networks.FromProxy(r.In) {
				r.Out.Header.Del(header) // the relay believes us
			}
		},
		Transport: s.registry.Transport("relay", nil),
		ErrorLog:  slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		// A relay that is down loses beacons, which it could not have kept, and nothing else.
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	})), nil
}

// sidecar is the relay's own listener: its pages, and the Prometheus query API.
func (s *Server) sidecar() http.Handler {
	if s.relay == nil {
		return nil
	}
	mux := http.NewServeMux()
	mux.Handle("/", s.relay.Handler())
	mux.Handle("/api/v1/", s.tsdb.Handler())
	return mux
}
