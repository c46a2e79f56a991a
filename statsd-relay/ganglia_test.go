package relay

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"addons/server/enginetest"
)

// gmondMetric is what gmond's page says of a metric.
type gmondMetric struct {
	Name  string `xml:"NAME,attr"`
	Value string `xml:"VAL,attr"`
	Type  string `xml:"TYPE,attr"`
	Units string `xml:"UNITS,attr"`
	TMax  int    `xml:"TMAX,attr"`
	DMax  int    `xml:"DMAX,attr"`
	Slope string `xml:"SLOPE,attr"`
	Extra []struct {
		Name  string `xml:"NAME,attr"`
		Value string `xml:"VAL,attr"`
	} `xml:"EXTRA_DATA>EXTRA_ELEMENT"`
}

// gmondHost asks gmond for a host's metrics, by name.
func gmondHost(t *testing.T, address, host string) map[string]gmondMetric {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	text, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	var page struct {
		Hosts []struct {
			Name    string        `xml:"NAME,attr"`
			Metrics []gmondMetric `xml:"METRIC"`
		} `xml:"CLUSTER>HOST"`
	}
	d := xml.NewDecoder(strings.NewReader(string(text)))
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	if err := d.Decode(&page); err != nil {
		t.Fatal(err)
	}
	all := map[string]gmondMetric{}
	for _, h := range page.Hosts {
		if h.Name == host {
			for _, m := range h.Metrics {
				all[m.Name] = m
			}
		}
	}
	return all
}

// spoofed is a host that gmond does not know yet, as Ganglia.Spoof has it. It is the
// address that gmond goes by.
func spoofed() (spoof, name string) {
	address := fmt.Sprintf("10.%d.%d.%d", rand.IntN(256), rand.IntN(256), 1+rand.IntN(254))
	return address + ":web-" + address, "web-" + address
}

func TestGmondShowsTheMetricsAsTheyWereSent(t *testing.T) {
	t.Parallel()
	gmond := enginetest.URL(t, "GANGLIA")
	spoof, host := spoofed()
	cfg := Config{Flush: time.Second, Expire: 2 * time.Second, Ganglia: Ganglia{To: []string{gmond}, Spoof: spoof, DMax: 3 * time.Second}}
	r, _ := start(t, cfg)
	r.Gauge("shop.in_use", 2.5)
	r.Timing("shop.view", 12.25)
	r.Count("shop.orders;route=cart", 7)
	r.feed.take([]byte("shop.size:512|h"))
	var got map[string]gmondMetric
	eventually(t, "gmond to have them", func() bool {
		r.Gauge("shop.in_use", 2.5) // kept from expiring
		got = gmondHost(t, gmond, host)
		return got["stats.timers.shop.size.mean"].Value == "512" && got["stats.gauges.shop.in_use"].Value == "2.5" && got["stats.timers.shop.view.mean"].Units == "ms"
	})
	for name, want := range map[string]gmondMetric{
		"stats.gauges.shop.in_use":            {Value: "2.5", Type: "double"},
		"stats_counts.shop.orders.route_cart": {Type: "double"},
		"stats.shop.orders.route_cart":        {Type: "double", Units: "/s"},
		"stats.timers.shop.view.count":        {Type: "double"},
		"stats.timers.shop.view.count_ps":     {Type: "double", Units: "/s"},
		"stats.timers.shop.size.mean":         {Value: "512", Type: "double"},
		"stats.timers.shop.size.count_ps":     {Type: "double", Units: "/s"},
	} {
		m := got[name]
		if m.Type != want.Type || m.Units != want.Units || want.Value != "" && m.Value != want.Value || m.TMax != 1 || m.DMax != 3 || m.Slope != "both" {
			t.Errorf("%s is %+v", name, m)
		}
		group := ""
		for _, e := range m.Extra {
			if e.Name == "GROUP" {
				group = e.Value
			}
		}
		if group != "shop" {
			t.Errorf("%s has %v", name, m.Extra)
		}
	}
}

func TestGmondForgetsWhatItIsNotSentForDMax(t *testing.T) {
	t.Parallel()
	gmond := enginetest.URL(t, "GANGLIA")
	spoof, host := spoofed()
	const dmax = 3 * time.Second
	r, _ := start(t, Config{Flush: time.Second, Expire: 2 * time.Second, Ganglia: Ganglia{To: []string{gmond}, Spoof: spoof, DMax: dmax}})
	r.Gauge("gone", 1)
	has := func() (gone, kept bool) {
		r.Gauge("kept", 1)
		all := gmondHost(t, gmond, host)
		return all["stats.gauges.gone"].Name != "", all["stats.gauges.kept"].Name != ""
	}
	eventually(t, "gmond to have both", func() bool { gone, kept := has(); return gone && kept })
	began := time.Now()
	within(t, 90*time.Second, "gmond to forget the one", func() bool { // it looks once a minute
		gone, kept := has()
		if !kept {
			t.Fatal("gmond forgot what it is sent")
		}
		return !gone
	})
	if took := time.Since(began); took < dmax {
		t.Errorf("gmond forgot it after %v, before its DMAX", took)
	}
}

func TestGmondGetsAsManyMetricsAsItMay(t *testing.T) {
	t.Parallel()
	gmond := enginetest.URL(t, "GANGLIA")
	spoof, host := spoofed()
	r, _ := start(t, Config{Flush: time.Hour, Ganglia: Ganglia{To: []string{gmond}, Spoof: spoof, DMax: time.Hour, Metrics: 1000}})
	for i := range 1200 {
		r.Gauge(fmt.Sprintf("shop.g%d", i), float64(i))
	}
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "gmond to have 1,000", func() bool { return len(gmondHost(t, gmond, host)) == 1000 })
	for name, m := range gmondHost(t, gmond, host) {
		if want := strings.TrimPrefix(name, "stats.gauges.shop.g"); m.Value != want {
			t.Errorf("%s is %s", name, m.Value)
		}
	}
	expect(t, r, map[string]float64{
		"relay_sink_points_total{outcome=sent,sink=ganglia}":                      1000,
		"relay_sink_points_total{outcome=dropped,sink=ganglia}":                   200,
		"relay_peer_lines_total{outcome=sent,peer=" + gmond + ",sink=ganglia}":    1000,
		"relay_peer_lines_total{outcome=dropped,peer=" + gmond + ",sink=ganglia}": 0,
	})
}

func TestOnlyTimesAreMillisecondsToGmond(t *testing.T) {
	t.Parallel()
	to := receive(t)
	r, _ := start(t, Config{Flush: time.Hour, Ganglia: Ganglia{To: []string{to.LocalAddr().String()}}})
	r.feed.take([]byte("view:5|ms\nsize:5|h\nlength:5|d"))
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	const description = 128
	units := map[string]bool{} // name → whether it is milliseconds
	for buf := make([]byte, 2000); len(units) < 3; {
		n, _, err := to.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"view", "size", "length"} {
			if buf[3] == description && bytes.Contains(buf[:n], []byte("stats.timers."+name+".upper_90")) {
				units[name] = bytes.Contains(buf[:n], []byte("\x00\x00\x00\x02ms"))
			}
		}
	}
	if want := map[string]bool{"view": true, "size": false, "length": false}; !maps.Equal(units, want) {
		t.Errorf("in milliseconds are %v, want %v", units, want)
	}
}

func TestMetricsAreDescribedAgain(t *testing.T) {
	t.Parallel()
	to := receive(t)
	r, _ := start(t, Config{Flush: time.Hour, Ganglia: Ganglia{To: []string{to.LocalAddr().String()}, Resend: time.Nanosecond}})
	kinds := ""
	for range 2 {
		r.Gauge("g", 1)
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			buf := make([]byte, 2000)
			if _, _, err := to.ReadFrom(buf); err != nil {
				t.Fatal(err)
			}
			kinds += fmt.Sprint(buf[3], " ")
		}
	}
	if kinds != "128 133 128 133 " {
		t.Errorf("gmond got messages %s", kinds)
	}
}

func TestGangliaThatCannotWorkIsRefused(t *testing.T) {
	t.Parallel()
	for _, g := range []Ganglia{{To: []string{"gmond"}}, {To: []string{"gmond:0"}}, {To: []string{"a:1"}, DMax: time.Second}, {Spoof: "name"}, {Metrics: -1}} {
		if _, err := New(Config{Ganglia: g}, quiet()); err == nil || !strings.HasPrefix(err.Error(), "statsd-relay: ganglia: ") {
			t.Errorf("%+v: %v", g, err)
		}
	}
}
