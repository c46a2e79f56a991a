package relay

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestTenReloadsUnderLoadLoseNothing(t *testing.T) {
	t.Parallel()
	carbons := []fakeCarbon{newFakeCarbon(t), newFakeCarbon(t)}
	cfg := Config{UDP: local, Flush: time.Second, Graphite: Graphite{Addresses: []string{carbons[0].Address}}}
	r, stop := start(t, cfg)
	reloads := 0
	r.ReloadFrom(func() (Config, error) {
		reloads++
		cfg.Graphite.Addresses = []string{carbons[reloads%2].Address}
		cfg.MaxSeries = 1000 + reloads
		cfg.Percentiles = []float64{float64(reloads)}
		cfg.Flush = time.Duration(1+reloads%2) * time.Second
		return cfg, nil
	})
	eventually(t, "the relay to run", r.ready.Load)
	conn := dialUDP(t, r)
	const datagrams = 5000
	for i := range 10 {
		sendAll(t, r, conn, datagrams/10, func(int) []byte { return []byte("exact:1|c\nt:1|ms") })
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(i, err)
		}
		if err := r.Reload(); err != nil {
			t.Fatal(i, err)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "every sample at one of the two carbons", func() bool {
		return carbons[0].total("stats_counts.exact")+carbons[1].total("stats_counts.exact") == datagrams
	})
	if carbons[0].total("stats_counts.exact") == datagrams || carbons[1].total("stats_counts.exact") == datagrams {
		t.Error("one carbon has all, so the address never changed")
	}
}

func TestWhatCannotChangeRefusesTheWholeReload(t *testing.T) {
	t.Parallel()
	cfg := Config{UDP: local, Flush: time.Hour, Readers: 1, MaxSeries: 10}
	r, _ := start(t, cfg)
	reload := func(change func(*Config), fault error) error {
		r.ReloadFrom(func() (Config, error) { next := cfg; change(&next); return next, fault })
		return r.Reload()
	}
	for _, c := range []struct {
		what   string
		change func(*Config)
		fault  error
	}{
		{"udp, readers", func(c *Config) { c.UDP, c.Readers, c.MaxSeries = ":1", 2, 99 }, nil},
		{"percentile", func(c *Config) { c.Percentiles, c.MaxSeries = []float64{200}, 99 }, nil},
		{"broken file", func(c *Config) { c.MaxSeries = 99 }, errors.New("broken file")},
	} {
		if err := reload(c.change, c.fault); err == nil || !strings.Contains(err.Error(), c.what) {
			t.Errorf("%s: the error is %v", c.what, err)
		}
		expect(t, r, map[string]float64{"relay_config_last_reload_successful": 0, "relay_series_limit": 10})
	}
	if err := reload(func(c *Config) { c.MaxSeries = 11 }, nil); err != nil {
		t.Error(err)
	}
	expect(t, r, map[string]float64{"relay_config_last_reload_successful": 1, "relay_series_limit": 11})
}

func TestWhatWaitsGoesToTheNewAddress(t *testing.T) {
	t.Parallel()
	cfg := Config{UDP: local, Flush: time.Hour, Graphite: Graphite{Addresses: []string{"127.0.0.1:1"}}}
	r, _ := start(t, cfg)
	r.Count("exact", 7)
	r.flushAt(time.Unix(1000, 0))
	carbon := newFakeCarbon(t)
	r.ReloadFrom(func() (Config, error) { cfg.Graphite.Addresses = []string{carbon.Address}; return cfg, nil })
	if err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the old flush at the new carbon", func() bool { return carbon.total("stats_counts.exact") == 7 })
	r.ReloadFrom(func() (Config, error) { cfg.Graphite.Addresses = nil; return cfg, nil })
	if err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	expect(t, r, map[string]float64{"relay_sink_up{sink=graphite}": -1})
}

func TestANewIntervalBeginsWhenTheOneUnderWayIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kept := &keepingSink{}
		cfg := Config{Flush: 10 * time.Second}
		r, stop := start(t, cfg, kept)
		began := time.Now()
		time.Sleep(3 * time.Second)
		cfg.Flush = 4 * time.Second
		r.ReloadFrom(func() (Config, error) { return cfg, nil })
		if err := r.Reload(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(18 * time.Second)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		var got string
		for _, f := range kept.flushes {
			got += fmt.Sprintf("at %v: %v; ", f.at.Sub(began), f.interval)
		}
		if want := "at 10s: 10s; at 12s: 4s; at 16s: 4s; at 20s: 4s; at 24s: 4s; "; got != want {
			t.Errorf("the flushes were of %s\nwant %s", got, want)
		}
	})
}

func TestASinkThatAReloadReplacesOrTakesOutIsStopped(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what string
		next func(*testing.T) []string // addresses
	}{
		{"replaced", func(t *testing.T) []string { return []string{newFakeCarbon(t).Address} }},
		{"taken out", func(*testing.T) []string { return nil }},
	} {
		t.Run("carbon "+c.what, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", local)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			cfg, next := toCarbon(l.Addr().String()), c.next(t)
			r, _ := start(t, cfg)
			conn, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			r.ReloadFrom(func() (Config, error) { cfg.Graphite.Addresses = next; return cfg, nil })
			if err := r.Reload(); err != nil {
				t.Fatal(err)
			}
			conn.SetReadDeadline(time.Now().Add(10 * time.Second))
			if _, err := io.Copy(io.Discard, conn); err != nil {
				t.Errorf("the connection is not closed: %v", err)
			}
			onlyCurrentSinksRun(t, r)
		})
		t.Run("gmond "+c.what, func(t *testing.T) {
			t.Parallel()
			cfg, next := Config{Flush: time.Hour, Ganglia: Ganglia{To: []string{receive(t).LocalAddr().String()}}}, c.next(t)
			r, _ := start(t, cfg)
			eventually(t, "the relay to run", r.ready.Load)
			r.Count("a", 1)
			if err := r.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			old := r.sinks[0].(*ganglia)
			r.ReloadFrom(func() (Config, error) { cfg.Ganglia.To = next; return cfg, nil })
			if err := r.Reload(); err != nil {
				t.Fatal(err)
			}
			// The connection is run's alone: that this is no race says that run has returned.
			if old.peers[0].conn != nil {
				t.Error("the socket is not closed")
			}
			expect(t, r, map[string]float64{"relay_peer_up{peer=" + old.peers[0].address + ",sink=ganglia}": -1})
			onlyCurrentSinksRun(t, r)
		})
	}
}

// onlyCurrentSinksRun fails the test if a sink runs that gets no flushes, or the other way round.
func onlyCurrentSinksRun(t *testing.T, r *Relay) {
	t.Helper()
	r.sinksMu.Lock()
	defer r.sinksMu.Unlock()
	if len(r.running) != len(r.sinks) {
		t.Errorf("%d sinks run, and there are %d", len(r.running), len(r.sinks))
	}
	for _, s := range r.sinks {
		if r.running[s] == nil {
			t.Errorf("%s does not run", s.name())
		}
	}
}

func TestTheSpoolStaysThroughAReload(t *testing.T) {
	t.Parallel()
	carbon := newFakeCarbon(t)
	carbon.Down()
	cfg := toCarbon(carbon.Address)
	cfg.Graphite.Spool.Dir = t.TempDir()
	r, _ := start(t, cfg)
	flushes(r, 0, 3)
	eventually(t, "them to be on disk", func() bool { return value(t, r, "relay_spool_bytes", "sink=graphite") > 0 })
	r.ReloadFrom(func() (Config, error) { cfg.Graphite.Spool.Rate++; return cfg, nil })
	for i := range 3 {
		flushes(r, 3+i, 4+i)
		if err := r.Reload(); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, r, map[string]float64{"relay_sink_queue_flushes{sink=graphite}": 6})
	r.ReloadFrom(func() (Config, error) { next := cfg; next.Graphite.Spool.Dir = "/proc/none"; return next, nil })
	if err := r.Reload(); err == nil || !strings.Contains(err.Error(), "give a folder that may be written to") {
		t.Errorf("a spool that can't be had says %v", err)
	}
	carbon.Up()
	eventually(t, "all of them", func() bool { values, _ := carbon.counts("stats_counts.a"); return len(values) == 6 })
	expect(t, r, map[string]float64{"relay_sink_flushes_total{outcome=dropped,sink=graphite}": 0})
}

func TestACarbonThatIsTakenOutLeavesNoGauge(t *testing.T) {
	t.Parallel()
	one, two := newFakeCarbon(t), newFakeCarbon(t)
	cfg := toCarbon(one.Address)
	cfg.Graphite.Addresses = append(cfg.Graphite.Addresses, two.Address)
	r, _ := start(t, cfg)
	eventually(t, "both to be up", func() bool {
		return value(t, r, "relay_sink_up", "sink=graphite "+one.Address) == 1 && value(t, r, "relay_sink_up", "sink=graphite "+two.Address) == 1
	})
	next := func(addresses ...string) {
		r.ReloadFrom(func() (Config, error) { cfg.Graphite.Addresses = addresses; return cfg, nil })
		if err := r.Reload(); err != nil {
			t.Fatal(err)
		}
	}
	next(one.Address)
	expect(t, r, map[string]float64{"relay_sink_up{sink=graphite " + one.Address: -1, "relay_spool_bytes{sink=graphite " + two.Address: -1})
	eventually(t, "the one to be up", func() bool { return value(t, r, "relay_sink_up", "sink=graphite") == 1 })
	next()
	expect(t, r, map[string]float64{"relay_sink_up{sink=graphite": -1, "relay_sink_oldest_timestamp_seconds{sink=graphite": -1})
}

func TestProfilesAreForThisHost(t *testing.T) {
	t.Parallel()
	r, _ := start(t, Config{Flush: time.Hour})
	for from, want := range map[string]int{"127.0.0.1:9": 200, "192.0.2.1:9": 403} {
		for _, path := range []string{"", "heap", "trace?seconds=0.01"} {
			req := httptest.NewRequest("GET", "/debug/pprof/"+path, nil)
			req.RemoteAddr = from
			w := httptest.NewRecorder()
			r.Handler().ServeHTTP(w, req)
			if w.Code != want {
				t.Errorf("%s of %q: %d, want %d", from, path, w.Code, want)
			}
		}
	}
}

func TestReloadOverHTTPIsForThisHost(t *testing.T) {
	t.Parallel()
	cfg := Config{Flush: time.Hour}
	r, _ := start(t, cfg)
	ask := func(method, from string, header ...string) int {
		req := httptest.NewRequest(method, "/-/reload", nil)
		req.RemoteAddr = from
		if len(header) > 0 {
			req.Header.Set(header[0], header[1])
		}
		w := httptest.NewRecorder()
		r.Handler().ServeHTTP(w, req)
		return w.Code
	}
	if got := ask("POST", "127.0.0.1:9"); got != http.StatusNotFound {
		t.Errorf("without a file: %d", got)
	}
	r.ReloadFrom(func() (Config, error) { return cfg, nil })
	for _, c := range []struct {
		method, from string
		header       []string
		want         int
	}{
		{"POST", "127.0.0.1:9", nil, 200}, {"POST", "[::1]:9", nil, 200}, {"GET", "127.0.0.1:9", nil, 405},
		{"POST", "192.0.2.1:9", nil, 403}, {"POST", "127.0.0.1:9", []string{"Sec-Fetch-Site", "cross-site"}, 403},
	} {
		if got := ask(c.method, c.from, c.header...); got != c.want {
			t.Errorf("%s from %s %v: %d, want %d", c.method, c.from, c.header, got, c.want)
		}
	}
	cfg.RemoteReload = true
	ask("POST", "127.0.0.1:9")
	if got := ask("POST", "192.0.2.1:9"); got != 200 {
		t.Errorf("with remote_reload: %d", got)
	}
}
