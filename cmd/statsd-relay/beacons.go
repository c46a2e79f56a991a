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
	server   *http.Server
}

func newBeaconServer(l net.Listener, pages []string, r *relay.Relay, log *slog.Logger) *beaconServer {
	mux := http.NewServeMux()
	mux.Handle("/rum", rum.NewHandler(rum.Config{Pages: pages}, r.Registerer(), r, log))
	return &beaconServer{l, &http.Server{
		Handler: mux, ReadHeaderTimeout: 2 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second,
		IdleTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10,
	}}
}

func (b *beaconServer) serve() error {
	if err := b.server.Serve(b.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("statsd-relay: beacons: %w", err)
	}
	return nil
}
