package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"addons/rum"
	"addons/server/metrics"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestAPartThatFailsIsToldOnce(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	failed := make(chan error, 1)
	p := begin(t.Context(), "relay", failed, func(context.Context) error { return broken })
	if err := <-failed; !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "relay: ") {
		t.Errorf("told of %v, want the part's name and its error", err)
	}
	if err := p.end(t.Context()); err != nil {
		t.Errorf("told again at the end: %v", err)
	}
	p = begin(t.Context(), "relay", failed, func(ctx context.Context) error { <-ctx.Done(); return broken })
	if err := p.end(t.Context()); !errors.Is(err, broken) || len(failed) > 0 {
		t.Errorf("end says %v and %d failed, want what went wrong while it ended, here alone", err, len(failed))
	}
}

func TestARequestThatDoesNotEndIsCutOff(t *testing.T) {
	t.Parallel()
	s := &Server{log: quiet()}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	begun := make(chan struct{})
	server := s.serve(t.Context(), l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done() // as long as anybody listens
	}), make(chan error, 1))
	asked := make(chan error, 1)
	go func() {
		_, err := http.Get("http://" + l.Addr().String())
		asked <- err
	}()
	<-begun
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	s.stop(ctx, "site", server)
	if err := <-asked; err == nil {
		t.Error("the request was answered, want it cut off")
	}
}

func TestALoopbackAddressIsNotToBeHadByAForeignName(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(fromHere(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	defer srv.Close()
	for host, want := range map[string]int{
		"localhost": 200, "LOCALHOST:8001": 200, "addons.localhost:8001": 200, "127.0.0.1:8001": 200, "[::1]:8001": 200, "[::1]": 200,
		"evil.example:8001": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421, "site": 421,
	} {
		req, err := http.NewRequest(http.MethodGet, srv.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("Host %s: status %d, want %d", host, resp.StatusCode, want)
		}
	}
}

func TestBeaconsAreHandedOnWithoutWhoSentThem(t *testing.T) {
	t.Parallel()
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	const sent = `{"page":"addon","vitals":{"LCP":3000},"nav":{"type":"navigate","responseStart":10,"trace":"` + trace + `"}}`
	got := make(chan http.Header, 1)
	relay := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if len(body) == 2*maxBeacon {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		if r.URL.Path != "/rum" || string(body) != sent {
			t.Errorf("the relay got %s %q", r.URL, body)
		}
		got <- r.Header
		w.WriteHeader(http.StatusNoContent)
	}))
	defer relay.Close()
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	s := &Server{log: quiet(), registry: metrics.New(nil), config: Config{Site: true, Beacons: relay.URL, Proxies: proxies, CountryHeader: "CF-IPCountry"}}
	s.openViews(t.Context())
	beacon, err := s.beacon(rum.NewNetworks(proxies))
	if err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequest(http.MethodPost, "/rum", strings.NewReader(sent))
	req.Header.Set("User-Agent", "Firefox")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	req.Header.Set("Cookie", "who=me")
	req.Header.Set("X-Forwarded-For", "192.0.2.1")
	req.Header.Set("CF-IPCountry", "DE")
	w := httptest.NewRecorder()
	beacon.ServeHTTP(w, req)
	if w.Code != http.StatusNoContent {
		t.Fatalf("status %d", w.Code)
	}
	h := <-got
	if h.Get("CF-IPCountry") != "" {
		t.Errorf("the relay got %v of a sender that is no proxy", h)
	}
	if h.Get("User-Agent") != "Firefox" || h.Get("Sec-Fetch-Site") != "same-origin" || h.Get("Cookie") != "" || h.Get("X-Forwarded-For") != "" {
		t.Errorf("the relay got %v", h)
	}
	req = httptest.NewRequest(http.MethodPost, "/rum", strings.NewReader(sent))
	req.RemoteAddr = "10.0.0.1:1"
	req.Header.Set("CF-IPCountry", "DE")
	beacon.ServeHTTP(httptest.NewRecorder(), req)
	if h := <-got; h.Get("CF-IPCountry") != "DE" {
		t.Errorf("the relay got %v of a proxy", h)
	}
	if !s.views.Has(trace) {
		t.Error("the page view is not kept here, where its request was served")
	}
	large := httptest.NewRecorder()
	beacon.ServeHTTP(large, httptest.NewRequest(http.MethodPost, "/rum", strings.NewReader(strings.Repeat("x", 2*maxBeacon))))
	if large.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a beacon that is too large: status %d, want the relay's", large.Code)
	}
}

func TestNamesOfTimingsAreChecked(t *testing.T) {
	t.Parallel()
	s := &Server{log: quiet(), registry: metrics.New(nil), config: Config{BeaconTimings: []string{"search", "Check out"}}}
	if _, err := s.beacon(rum.NewNetworks(nil)); err == nil || !strings.Contains(err.Error(), `timing "Check out"`) {
		t.Errorf("the names are taken: %v", err)
	}
}

func TestAStartThatFailsLeavesNothingOpen(t *testing.T) {
	t.Parallel()
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := taken.LocalAddr().String()
	taken.Close()
	c := Embedded(t.TempDir())
	c.Public, c.Admin, c.Relay.HTTP, c.Relay.UDP, c.Relay.TCP = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", address, ""
	for what, spoil := range map[string]func(*Config){
		"--database":   func(c *Config) { c.Database = "oracle:x" },
		"--search":     func(c *Config) { c.Search = "" },
		"--admin":      func(c *Config) { c.Admin = "" },
		"--relay-http": func(c *Config) { relay := *c.Relay; relay.HTTP = ""; c.Relay = &relay },
	} {
		broken := c
		spoil(&broken)
		if _, err := New(t.Context(), broken, quiet()); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("New says %v, want a word of %s", err, what)
		}
		l, err := net.ListenPacket("udp", address)
		if err != nil {
			t.Fatalf("after a start without %s: %v", what, err)
		}
		l.Close()
	}
}

func TestAStatsdClientThatIsClosedWhileItConnectsSaysNothing(t *testing.T) {
	t.Parallel()
	var said bytes.Buffer
	p := printf{slog.New(slog.NewTextHandler(&said, nil))}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := new(net.Dialer).DialContext(ctx, "udp", "127.0.0.1:8125")
	p.Printf("[STATSD] Error connecting to server: %s", err)
	if said.Len() > 0 {
		t.Errorf("it said %s", &said)
	}
	p.Printf("[STATSD] Error connecting to server: %s", errors.New("no such host"))
	if !strings.Contains(said.String(), "no such host") {
		t.Errorf("it said %q of a host that is not there", &said)
	}
}
