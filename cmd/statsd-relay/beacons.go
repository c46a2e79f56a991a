package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"addons/rum"
	relay "addons/statsd-relay"
)

// beaconServer takes browsers' beacons on a listener of its own, at /rum, so that
// the relay's own pages need not be public with it.
type beaconServer struct {
	gate    *gate
	handler *rum.Handler
	server  *http.Server
}

// beaconConfig is what the settings say of beacons. The error joins all faults.
func beaconConfig(b relay.Beacons) (rum.Config, error) {
	routes, err := rum.ParseRoutes(b.Routes)
	c := rum.Config{
		Pages: append(routes.Names(), b.Pages...), PageOf: routes.PageOf, Timings: b.Timings, Origins: b.Origins, Countries: b.Countries, CountryHeader: b.CountryHeader,
		PerSecond: b.Rate, MaxLabelSets: b.LabelSets, Keys: b.Keys, BoomcatchPrefix: b.BoomcatchPrefix,
	}
	errs := []error{err}
	var proxies []netip.Prefix
	for _, text := range b.Proxies {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("proxy %q: give a network, as 10.0.0.0/8", text))
		}
		proxies = append(proxies, p)
	}
	// A site that hands beacons on without naming proxies here has bounded whoever sends.
	if len(proxies) > 0 {
		c.Networks = rum.NewNetworks(proxies)
	}
	if err := errors.Join(append(errs, c.Check())...); err != nil {
		return c, fmt.Errorf("statsd-relay: beacons: %w", err)
	}
	return c, nil
}

// newBeaconServer returns one that serves the connections kept of a predecessor too.
func newBeaconServer(l net.Listener, kept []net.Conn, cfg rum.Config, r *relay.Relay, log *slog.Logger) *beaconServer {
	handler := rum.NewHandler(cfg, r.Registerer(), r, log)
	mux := http.NewServeMux()
	for _, path := range rum.Paths {
		mux.Handle(path, handler)
	}
	gate := newGate(l, kept)
	return &beaconServer{gate, handler, &http.Server{
		Handler: mux, ReadHeaderTimeout: 2 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second,
		IdleTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10, ConnState: gate.state,
	}}
}

// beaconsEnd is how long the last requests may take.
const beaconsEnd = 2 * time.Second

// close takes no more, and counts what it waited with.
func (b *beaconServer) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), beaconsEnd)
	defer cancel()
	err := b.server.Shutdown(ctx)
	if err != nil { // whoever is slower than that is cut off
		err = b.server.Close()
	}
	b.handler.Flush()
	return err
}

// rest is for a hand-over: beacons that were taken are finished and counted, and those that
// come wait in their connections, for the successor or, should it fail, for resume.
func (b *beaconServer) rest() []net.Conn {
	kept := b.gate.rest(beaconsEnd)
	b.handler.Flush()
	return kept
}

func (b *beaconServer) serve() error {
	if err := b.server.Serve(b.gate); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("statsd-relay: beacons: %w", err)
	}
	return nil
}
