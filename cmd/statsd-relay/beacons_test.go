package main

import (
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	relay "addons/statsd-relay"
)

func TestTheRelaysBeaconsHaveItsNames(t *testing.T) {
	t.Parallel()
	cfg, err := parse(t, "--statsd-udp=", "--statsd-tcp=", "--pages=home", "--timings=search,checkout").config()
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	r, err := relay.New(cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	beacons := newBeaconServer(l, cfg.Beacons, r, log)
	w := httptest.NewRecorder()
	beacons.server.Handler.ServeHTTP(w, httptest.NewRequest("POST", "/rum", strings.NewReader(
		`{"page":"home","timings":[{"name":"checkout","value":1500},{"name":"mine","value":2}]}`)))
	if w.Code != 204 {
		t.Fatalf("status %d", w.Code)
	}
	page := httptest.NewRecorder()
	r.Handler().ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{`rum_user_timing_seconds_sum{name="checkout",page="home"} 1.5`, `rum_user_timing_seconds_sum{name="other",page="home"} 0.002`} {
		if !strings.Contains(page.Body.String(), want) {
			t.Errorf("/metrics has no %s", want)
		}
	}
}
