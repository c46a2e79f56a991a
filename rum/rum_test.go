package rum_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"addons/rum"
)

// keys is a sink that counts what it gets.
type keys map[string]float64

func (k keys) Timing(key string, ms float64) { k[key] = ms }
func (k keys) Count(key string, n float64)   { k[key] += n }

func newHandler(t *testing.T) (*rum.Handler, *prometheus.Registry, keys) {
	t.Helper()
	reg, sink := prometheus.NewRegistry(), keys{}
	return rum.NewHandler(rum.Config{Pages: []string{"home", "addon"}}, reg, sink, slog.New(slog.DiscardHandler)), reg, sink
}

func post(h http.Handler, body string) int {
	r := httptest.NewRequest("POST", "/rum", strings.NewReader(body))
	asBrowser(r)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

// asBrowser gives a request the headers of a person's browser.
func asBrowser(r *http.Request) {
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0")
	r.Header.Set("Accept-Language", "de")
}

const beacon = `{"page":%q,"connection":"4g","vitals":{"LCP":190.4,"CLS":0.05},
	"nav":{"type":"navigate","now":1500,"fetchStart":3,"requestStart":10,"responseStart":20,"trace":"4bf92f3577b34da6a3ce929d0e0e4736"}}`

func TestABeaconReachesBothStores(t *testing.T) {
	h, reg, sink := newHandler(t)
	if got := post(h, fmt.Sprintf(beacon, "addon")); got != http.StatusNoContent {
		t.Fatalf("status %d, want 204", got)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "rum_web_vital_lcp_seconds" {
			if h := f.Metric[0].Histogram; h.GetSampleSum() != 0.1904 || h.GetSampleCount() != 1 {
				t.Errorf("LCP = %v", h)
			}
		}
	}
	if n := testutil.CollectAndCount(collector{reg}, "rum_navigation_phase_seconds"); n != 1 {
		t.Errorf("%d phase series, want request alone", n)
	}
	want := []string{
		"rum.addon.cls", "rum.addon.lcp", "rum.addon.nav.request",
		"window.performance.calculated.network", "window.performance.navigation.type.navigate", "window.performance.timing.responseStart",
	}
	if got := slices.Sorted(maps.Keys(sink)); !slices.Equal(got, want) {
		t.Errorf("statsd got %q, want %q", got, want)
	}
}

// collector makes a gatherer's metrics countable.
type collector struct{ *prometheus.Registry }

func TestNoClientCanMakeASeries(t *testing.T) {
	h, reg, _ := newHandler(t)
	post(h, fmt.Sprintf(beacon, "made-up"))
	before := testutil.CollectAndCount(collector{reg})
	for i := range 1000 {
		body := strings.Replace(fmt.Sprintf(beacon, fmt.Sprint("page", i)), `"type":"navigate"`, fmt.Sprintf(`"type":"t%d"`, i), 1)
		if got := post(h, body); got != http.StatusNoContent {
			t.Fatalf("status %d", got)
		}
	}
	if after := testutil.CollectAndCount(collector{reg}); after != before {
		t.Errorf("%d series after a thousand made-up pages, %d before", after, before)
	}
}

func TestWhatIsNoBeaconIsRefused(t *testing.T) {
	for _, c := range []struct {
		name, method, body string
		want               int
	}{
		{"a GET", "GET", "", http.StatusMethodNotAllowed},
		{"nothing", "POST", "", http.StatusBadRequest},
		{"no page", "POST", `{"vitals":{}}`, http.StatusBadRequest},
		{"a string where a number belongs", "POST", `{"page":"home","vitals":{"LCP":"fast"}}`, http.StatusBadRequest},
		{"65 KiB", "POST", `{"page":"` + strings.Repeat("x", 65<<10) + `"}`, http.StatusRequestEntityTooLarge},
	} {
		h, reg, sink := newHandler(t)
		r := httptest.NewRequest(c.method, "/rum", strings.NewReader(c.body))
		r.ContentLength = -1 // as a chunked body, whose length nobody knows beforehand
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.want || !strings.Contains(w.Body.String(), `"detail"`) {
			t.Errorf("%s: status %d %s, want %d with a reason", c.name, w.Code, w.Body, c.want)
		}
		if len(sink) != 0 || testutil.CollectAndCount(collector{reg}, "rum_web_vital_lcp_seconds") != 0 {
			t.Errorf("%s left something behind", c.name)
		}
	}
}

func TestOnlyTheSitesOwnPagesSend(t *testing.T) {
	for site, want := range map[string]int{
		"same-origin": http.StatusNoContent,
		"":            http.StatusNoContent, // a browser over plain HTTP, or a program
		"same-site":   http.StatusForbidden,
		"cross-site":  http.StatusForbidden,
		"none":        http.StatusForbidden,
	} {
		h, reg, sink := newHandler(t)
		r := httptest.NewRequest("POST", "/rum", strings.NewReader(fmt.Sprintf(beacon, "home")))
		r.Header.Set("Content-Type", "text/plain;charset=UTF-8")
		if site != "" {
			r.Header.Set("Sec-Fetch-Site", site)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want || (len(sink) > 0) != (want == http.StatusNoContent) {
			t.Errorf("Sec-Fetch-Site %q: status %d and %d values, want %d", site, w.Code, len(sink), want)
		}
		if want == http.StatusForbidden {
			if got := counted(t, reg, "rum_beacons_total", "unknown", "foreign"); got != 1 {
				t.Errorf("%v beacons of other sites are counted, want 1", got)
			}
		}
	}
}

// slowly is a connection's writer that notes the deadline that the handler sets.
type slowly struct {
	*httptest.ResponseRecorder
	deadline time.Time
}

func (s *slowly) SetReadDeadline(t time.Time) error { s.deadline = t; return nil }

func TestABodyThatTricklesInIsBounded(t *testing.T) {
	h, _, _ := newHandler(t)
	w := &slowly{ResponseRecorder: httptest.NewRecorder()}
	body := iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader(fmt.Sprintf(beacon, "home"))))
	h.ServeHTTP(w, httptest.NewRequest("POST", "/rum", body))
	if wait := time.Until(w.deadline); wait < 0 || wait > 6*time.Second {
		t.Errorf("the body may take %v", wait)
	}
	if w.Code != http.StatusBadRequest {
		t.Errorf("status %d of a body that did not come, want 400", w.Code)
	}
}

// zip compresses a body.
func zip(t *testing.T, body string) *bytes.Buffer {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	io.WriteString(z, body)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return &out
}

func TestACompressedBodyIsInflatedUpToABound(t *testing.T) {
	whole := fmt.Sprintf(beacon, "home")
	for _, c := range []struct {
		name string
		body io.Reader
		want int
	}{
		{"a beacon", zip(t, whole), http.StatusNoContent},
		{"200 KiB of one", zip(t, whole+strings.Repeat(" ", 200<<10)), http.StatusNoContent},
		{"a bomb", zip(t, whole+strings.Repeat(" ", 8<<20)), http.StatusRequestEntityTooLarge},
		{"what is not compressed", strings.NewReader(whole), http.StatusBadRequest},
		{"half of one", io.LimitReader(zip(t, whole), 60), http.StatusBadRequest},
	} {
		h, _, sink := newHandler(t)
		r := httptest.NewRequest("POST", "/rum", c.body)
		r.Header.Set("Content-Encoding", "gzip")
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != c.want || (len(sink) > 0) != (c.want == http.StatusNoContent) {
			t.Errorf("%s: status %d, %d values, want %d", c.name, w.Code, len(sink), c.want)
		}
	}
}

// counted is the value of a counter with these labels, in order; −1 if there is none.
func counted(t *testing.T, reg *prometheus.Registry, name string, labels ...string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			var values []string
			for _, l := range m.Label {
				values = append(values, l.GetValue())
			}
			if f.GetName() == name && slices.Equal(values, labels) {
				return m.Counter.GetValue()
			}
		}
	}
	return -1
}

func TestABrowserInAProgramsHandsIsABot(t *testing.T) {
	h, reg, _ := newHandler(t)
	post(h, strings.Replace(fmt.Sprintf(beacon, "home"), "{", `{"automated":true,`, 1))
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	devices := 0
	for _, f := range families {
		for _, m := range f.Metric {
			if m.Counter != nil && m.Counter.GetValue() == 0 { // that of people is there, at zero
				continue
			}
			for _, l := range m.Label {
				if l.GetName() == "device" {
					if devices++; l.GetValue() != "bot" {
						t.Errorf("%s has the device %s", f.GetName(), l.GetValue())
					}
				}
			}
		}
	}
	if devices == 0 {
		t.Error("no metric has a device")
	}
}

func TestAFloodIsRefusedAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // its clock stands still between the posts
		reg := prometheus.NewRegistry()
		h := rum.NewHandler(rum.Config{PerSecond: 10}, reg, keys{}, slog.New(slog.DiscardHandler))
		refused := 0
		for range 25 {
			if post(h, `{"page":"x"}`) == http.StatusTooManyRequests {
				refused++
			}
		}
		if refused != 15 {
			t.Errorf("%d of 25 beacons in a moment were refused, want all but 10", refused)
		}
	})
}
