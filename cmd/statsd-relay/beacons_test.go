package main

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	relay "addons/statsd-relay"
)

// send posts a form to a beacon server.
func send(t *testing.T, h http.Handler, form string) {
	t.Helper()
	r := httptest.NewRequest("POST", "/rum", strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0")
	r.Header.Set("Accept-Language", "de")
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != http.StatusNoContent {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
}

// flushed relays what f sends, until one flush of it has reached Graphite, and returns the
// series that came.
func flushed(t *testing.T, args []string, f func(http.Handler)) map[string]float64 {
	t.Helper()
	carbon, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer carbon.Close()
	got := make(chan map[string]float64, 1)
	go func() {
		series := map[string]float64{}
		defer func() { got <- series }()
		conn, err := carbon.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		for s := bufio.NewScanner(conn); s.Scan(); {
			if fields := strings.Fields(s.Text()); len(fields) == 3 {
				series[fields[0]], _ = strconv.ParseFloat(fields[1], 64)
			}
		}
	}()
	cfg, err := parse(t, append(args, "--statsd-udp=", "--statsd-tcp=", "--http=127.0.0.1:0", "--flush=1h", "--graphite="+carbon.Addr().String())...).config()
	if err != nil {
		t.Fatal(err)
	}
	beaconed, err := beaconConfig(cfg.Beacons)
	if err != nil {
		t.Fatal(err)
	}
	beaconed.PerSecond = 1 << 30
	log := slog.New(slog.DiscardHandler)
	r, err := relay.New(cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	b := newBeaconServer(nil, nil, beaconed, r, log)
	f(b.server.Handler)
	if err := b.close(); err != nil {
		t.Error(err)
	}
	end()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	select {
	case series := <-got:
		return series
	case <-time.After(20 * time.Second):
		t.Fatal("nothing came to Graphite")
	}
	return nil
}

// TestGraphitesP75IsWithinOnePercentOfTheExact compares with the nearest rank, for as
// many page views as are kept exactly, and for more, which a sketch takes.
func TestGraphitesP75IsWithinOnePercentOfTheExact(t *testing.T) {
	t.Parallel()
	for _, n := range []int{9_000, 30_000} {
		random := rand.New(rand.NewPCG(75, uint64(n)))
		values := map[string][]float64{}
		got := flushed(t, []string{"--percentile=75,90"}, func(h http.Handler) {
			for range n {
				lcp, fcp := math.Exp(7.3+.6*random.NormFloat64()), math.Exp(6.8+.5*random.NormFloat64())
				cls, wait := math.Exp(-3+random.NormFloat64()), math.Floor(math.Exp(5+.8*random.NormFloat64()))
				for key, v := range map[string]float64{"lcp": lcp, "fcp": fcp, "cls": cls, "nav.request": wait} {
					values[key] = append(values[key], v)
				}
				send(t, h, fmt.Sprintf("nt_nav_st=1000000&nt_fet_st=1000003&nt_req_st=1000010&nt_res_st=%v&pt.lcp=%v&pt.fcp=%v&c.cls=%v&u=/de/firefox/", 1000010+wait, lcp, fcp, cls))
			}
		})
		for key, all := range values {
			slices.Sort(all)
			exact := all[int(math.Ceil(.75*float64(len(all))))-1]
			p75, ok := got["stats.timers.rum.home."+key+".upper_75"]
			off := 100 * math.Abs(p75-exact) / exact
			t.Logf("%d views: p75 of %s is %.4g, exactly %.4g: %.3f %% off", n, key, p75, exact, off)
			if !ok || off > 1 {
				t.Errorf("%d views: p75 of %s is %v (%t), exactly %v", n, key, p75, ok, exact)
			}
			if count := got["stats.timers.rum.home."+key+".count"]; count != float64(n) {
				t.Errorf("%v values of %s came of %d", count, key, n)
			}
		}
	}
}

func TestForeignPagesAreKnownByTheirRoutes(t *testing.T) {
	t.Parallel()
	got := flushed(t, []string{"--page-routes=/shop/:item=item", "--beacon-keys=django-statsd,boomcatch", "--boomcatch-prefix=web"}, func(h http.Handler) {
		for _, url := range []string{"https%3A%2F%2Fshop.example%2Fshop%2Fbook%3Fq%3D1", "/elsewhere"} {
			send(t, h, "nt_nav_st=1000000&nt_fet_st=1000003&nt_res_st=1000040&nt_res_end=1000050&t_resp=40&pt.lcp=100&u="+url)
		}
	})
	for key, want := range map[string]float64{
		"rum.item.lcp": 1, "rum.other.lcp": 1, "web.navtiming.response": 2, "web.rt.firstbyte": 2, "window.performance.timing.responseStart": 2,
	} {
		if n := got["stats.timers."+key+".count"]; n != want {
			t.Errorf("%v values of %s, want %v", n, key, want)
		}
	}
}

func TestTimingsHaveTheNamesThatAreConfigured(t *testing.T) {
	t.Parallel()
	got := flushed(t, []string{"--timings=search,checkout"}, func(h http.Handler) {
		r := httptest.NewRequest("POST", "/rum", strings.NewReader(`{"page":"home","timings":[{"name":"checkout","value":1500},{"name":"mine","value":2}]}`))
		r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0")
		r.Header.Set("Accept-Language", "de")
		h.ServeHTTP(httptest.NewRecorder(), r)
	})
	for key, want := range map[string]float64{"checkout": 1500, "other": 2} {
		if v := got["stats.timers.rum.home.timing."+key+".upper"]; v != want {
			t.Errorf("%s took %v, want %v", key, v, want)
		}
	}
}

func TestBeaconSettingsThatCannotBeAreAllTold(t *testing.T) {
	t.Parallel()
	out, err := program("check-config", write(t, `
beacons:
  routes: ["cart=cart", "/a=a.b"]
  pages: [bot]
  proxies: [here]
  countries: [Germany]
  origins: [shop.example]
  keys: [sitespeed]
  timings: [Search]
`)).CombinedOutput()
	if err == nil {
		t.Error("it is good")
	}
	for _, want := range []string{`route "cart=cart"`, `page "a.b"`, `page "bot"`, `proxy "here"`, `country "Germany"`, "CF-IPCountry", `origin "shop.example"`, `timing "Search"`, `"sitespeed"`} {
		if !strings.Contains(string(out), want) {
			t.Errorf("not a word of %s: %s", want, out)
		}
	}
	refused, err := program("--statsd-udp=", "--statsd-tcp=", "--http=127.0.0.1:0", "--beacon-proxies=here").CombinedOutput()
	if err == nil || !strings.Contains(string(refused), `proxy "here"`) {
		t.Errorf("a start with such a proxy ends with %v: %s", err, refused)
	}
}
