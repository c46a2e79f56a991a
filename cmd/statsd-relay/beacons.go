package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"addons/rum"
	relay "addons/statsd-relay"
)

// beaconServer takes browsers' beacons on a listener of its own, at /rum, so that
// the relay's own pages need not be public with it.
type beaconServer struct {
	listener net.Listener
	handler  *rum.Handler
	server   *http.Server
}

func newBeaconServer(l net.Listener, c relay.Beacons, r *relay.Relay, log *slog.Logger) *beaconServer {
	// Whoever sends is bounded by the site that hands the beacons on.
	handler := rum.NewHandler(rum.Config{Pages: c.Pages, Timings: c.Timings}, r.Registerer(), r, log)
	mux := http.NewServeMux()
	for _, path := range rum.Paths {
		mux.Handle(path, handler)
	}
	return &beaconServer{l, handler, &http.Server{
		Handler: mux, ReadHeaderTimeout: 2 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second,
		IdleTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10,
	}}
}

// close takes no more, and counts what it waited with.
func (b *beaconServer) close() error {
	err := b.server.Close()
	b.handler.Flush()
	return err
}

func (b *beaconServer) serve() error {
	if err := b.server.Serve(b.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("statsd-relay: beacons: %w", err)
	}
	return nil
}
