package relay

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// nobody reads a page and forgets it.
type nobody struct{ header http.Header }

func (n nobody) Header() http.Header         { return n.header }
func (n nobody) Write(b []byte) (int, error) { return len(b), nil }
func (n nobody) WriteHeader(int)             {}

// live is how much is in use on the heap.
func live() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// timerKeys are as many keys.
func timerKeys(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("bench.t.k%06d.api.request_time", i)
	}
	return keys
}

// chunkOf holds values without weights.
func chunkOf(values ...float64) *chunk {
	c := &chunk{n: uint16(len(values))}
	copy(c.numbers[:], values)
	return c
}

// fill shows a timer of five samples for each key.
func fill(e *exposition, keys []string) {
	for i, key := range keys {
		v := float64(i%100 + 1)
		e.enter(key, timers, false).chunk(chunkOf(v, v*1.3, v*2, v*3.7, v*11), false)
	}
}

// BenchmarkScrape says what a key costs that has had five samples, and what a
// page of them costs.
func BenchmarkScrape(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		for _, accept := range []string{"text/plain", protobuf} {
			b.Run(fmt.Sprintf("%d/%.16s", n, accept), func(b *testing.B) {
				r, err := New(Config{}, quiet())
				if err != nil {
					b.Fatal(err)
				}
				keys := timerKeys(n)
				before := live()
				fill(r.agg.prom, keys)
				perKey := float64(live()-before) / float64(n)
				h := r.Handler()
				req := httptest.NewRequest("GET", "/metrics", nil)
				req.Header.Set("Accept", accept)
				b.ReportAllocs()
				for b.Loop() {
					h.ServeHTTP(nobody{http.Header{}}, req)
				}
				b.ReportMetric(perKey, "live-B/key")
				runtime.KeepAlive(keys)
			})
		}
	}
}

// TestAPageIsNeverInMemoryWhole looks at the heap while a page of 20,000
// histograms, 60 MB when it was made at once, is under way.
func TestAPageIsNeverInMemoryWhole(t *testing.T) {
	r := lines(t, Config{}, "")
	keys := timerKeys(20_000)
	fill(r.agg.prom, keys)
	before := live()
	var most int64
	n := 0
	err := r.page(false, func(*dto.MetricFamily) error {
		if n++; n%2000 == 0 {
			most = max(most, live()-before)
		}
		return nil
	})
	if err != nil || n < len(keys) {
		t.Fatalf("%d families, %v", n, err)
	}
	if most > 4<<20 {
		t.Errorf("the page takes %d bytes on its way, want less than 4 MiB", most)
	}
	runtime.KeepAlive(keys)
}

// TestAPageIsInOrderAndWholeWhileSeriesComeAndGo has families larger than what is
// drawn in one go.
func TestAPageIsInOrderAndWholeWhileSeriesComeAndGo(t *testing.T) {
	t.Parallel()
	r := lines(t, Config{}, "")
	for i := range 3000 {
		r.Count(fmt.Sprintf("big;n=%d", i), 1)
		r.Count(fmt.Sprintf("one.%d", i), 1)
	}
	last, series := "", 0
	err := r.page(false, func(f *dto.MetricFamily) error {
		if f.GetName() <= last {
			t.Errorf("%s comes after %s", f.GetName(), last)
		}
		last = f.GetName()
		if f.GetName() == "big" || strings.HasPrefix(f.GetName(), "one_") {
			series += len(f.Metric)
		}
		if strings.HasPrefix(last, "z_") { // each would bring another
			return nil
		}
		r.agg.mu.Lock() // it is not held while a page is written
		defer r.agg.mu.Unlock()
		r.agg.prom.enter("a.come"+last, counters, false)
		r.agg.prom.enter("z.come"+last, counters, false)
		r.agg.prom.leave(r.agg.prom.enter("one.gone"+last, counters, false))
		return nil
	})
	if err != nil || series != 6000 {
		t.Errorf("%d series and %v, want 6000", series, err)
	}
}

// TestShelvesKeepTheOrderOfNamesAndLabels compares them with a sorted map.
func TestShelvesKeepTheOrderOfNamesAndLabels(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	e := newExposition(rulesFor(t, Prometheus{}))
	held := map[string]*metric{}
	for range 20_000 {
		key := fmt.Sprintf("%s%d%s%d", []string{"a.", "a-", "9", "_", "a--"}[rng.IntN(5)], rng.IntN(500), []string{"", ".x", "_sum", ".total"}[rng.IntN(4)], rng.IntN(3))
		if rng.IntN(2) == 0 {
			key += fmt.Sprintf(";t=%d", rng.IntN(9))
		}
		id, _ := e.rules.resolve(key, gauges, false)
		if m := held[key]; m != nil {
			e.leave(m)
			delete(held, key)
			continue
		}
		if held[key] = e.enter(key, gauges, false); compareIDs(held[key].id, id) != 0 {
			t.Fatalf("%q is entered as %q, want %q", key, held[key].id, id)
		}
	}
	want := map[string]bool{}
	for key := range held {
		id, _ := e.rules.resolve(key, gauges, false)
		bare, labels := splitKey(id)
		want[mangle(bare)+labels] = true
	}
	var got []string
	for m := range e.metrics.from("") {
		bare, labels := splitKey(m.id)
		got = append(got, mangle(bare)+labels)
	}
	inOrder := slices.IsSortedFunc(got, func(a, b string) int {
		nameA, labelsA := splitKey(a)
		nameB, labelsB := splitKey(b)
		return cmp.Or(strings.Compare(nameA, nameB), strings.Compare(labelsA, labelsB))
	})
	slices.Sort(got)
	if !inOrder || !slices.Equal(got, sortedKeys(want)) {
		t.Errorf("%d metrics are held, in order: %v, want %d", len(got), inOrder, len(want))
	}
	for _, m := range held {
		e.leave(m)
	}
	if len(e.metrics.all) != 0 || e.metrics.suffixed != [len(suffixes)]int{} {
		t.Errorf("when all have left there are %d shelves and suffixes %v", len(e.metrics.all), e.metrics.suffixed)
	}
}

func TestAPageIsGzippedForWhoAcceptsIt(t *testing.T) {
	t.Parallel()
	r := lines(t, Config{}, "a:1|c")
	h := r.Handler()
	for accept, want := range map[string]string{"": "", "gzip": "gzip", "deflate, gzip;q=0.5": "gzip", "gzip;q=0": "", "br": ""} {
		for range 2 { // the second time with the writer of the first
			req := httptest.NewRequest("GET", "/metrics?name[]=a", nil)
			req.Header.Set("Accept-Encoding", accept)
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, req)
			var body io.Reader = rec.Body
			if got := rec.Header().Get("Content-Encoding"); got != want {
				t.Errorf("%q: the encoding is %q, want %q", accept, got, want)
			} else if got != "" {
				z, err := gzip.NewReader(body)
				if err != nil {
					t.Fatal(err)
				}
				body = z
			}
			if b, err := io.ReadAll(body); err != nil || string(b) != "# HELP a Statsd counter.\n# TYPE a counter\na 1\n" {
				t.Errorf("%q: the page is %q, %v", accept, b, err)
			}
		}
	}
}

// TestAClientThatDoesNotReadHarmsNobody asks for pages, reads nothing of them,
// and takes all the places there are.
func TestAClientThatDoesNotReadHarmsNobody(t *testing.T) {
	t.Parallel()
	r := lines(t, Config{}, "")
	fill(r.agg.prom, timerKeys(20_000))
	server := httptest.NewServer(r.Handler())
	defer server.Close()
	var stuck []*bufio.Reader
	for range maxScrapes {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		send(t, conn, "GET /metrics HTTP/1.1\r\nHost: x\r\nX-Prometheus-Scrape-Timeout-Seconds: 10\r\n\r\n")
		in := bufio.NewReaderSize(conn, 16)
		if begin, err := in.Peek(12); string(begin) != "HTTP/1.1 200" { // it has its place
			t.Fatalf("a scrape begins %q, %v", begin, err)
		}
		stuck = append(stuck, in)
	}
	status := func() int {
		resp, err := http.Get(server.URL + "/metrics?name[]=relay_series")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := status(); got != http.StatusServiceUnavailable {
		t.Errorf("with all places taken the answer is %d", got)
	}
	r.Count("meanwhile", 1)
	r.flushAt(time.Now())
	expect(t, r, map[string]float64{"meanwhile": 1})
	eventually(t, "a place to be free", func() bool { return status() == http.StatusOK })
	for _, in := range stuck {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			continue // not even the header came through
		}
		if n, err := io.Copy(io.Discard, resp.Body); err == nil {
			t.Errorf("a page that broke off after %d bytes looks complete", n)
		}
	}
}

func TestAHistogramCountsBeyondWhatABucketHolds(t *testing.T) {
	t.Parallel()
	h := histogramFor(t, Prometheus{}, true)
	for range 5 {
		h.insert(5, 3e9)
	}
	h.insert(1, 1)
	d := drawnOf(h)
	if d.GetSampleCount() != 15_000_000_001 || len(d.PositiveDelta) != 2 || d.PositiveDelta[1] != 15_000_000_000-1 {
		t.Errorf("the histogram is %v", d)
	}
	r := lines(t, Config{}, strings.Repeat("a:5|ms|@0.000001\n", 2000)+"a:5|ms|@0.000000001")
	if got := find(t, r, "a", "").Histogram.GetSampleCount(); got != 2001e6 {
		t.Errorf("samples at a rate of a millionth and less count %d, want a million each", got)
	}
}
