package relay

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
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
