package rum

import (
	"fmt"
	"log/slog"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// nowhere is a sink that keeps nothing.
type nowhere struct{}

func (nowhere) Timing(string, float64) {}
func (nowhere) Count(string, float64)  {}

func TestValuesThatWaitAreBounded(t *testing.T) {
	counted, late := 0, 0
	u := newUpdates(func(*update) { counted++ }, func() { late++ })
	u.most = 100
	tell := func(i int) { u.put(fmt.Sprint("id", i), update{sample: Sample{Vital: "lcp", Value: 1}}) }
	for i := range 250 {
		tell(i)
	}
	if len(u.byID) != 100 || counted != 150 {
		t.Errorf("%d wait, %d are counted, want the oldest 150", len(u.byID), counted)
	}
	tell(0) // long forgotten: it counts again
	tell(249)
	u.flush()
	if counted != 251 || late != 0 {
		t.Errorf("%d are counted, and %d late, want 251 and none", counted, late)
	}
	tell(249)
	if late != 1 {
		t.Errorf("%d are late, want 1", late)
	}
}

func TestAWaitingValueKeepsNothingOfItsBeacon(t *testing.T) {
	h := NewHandler(Config{}, prometheus.NewRegistry(), nowhere{}, slog.New(slog.DiscardHandler))
	h.limit.SetBurst(1 << 20)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	filler := strings.Repeat("x", 50<<10)
	const n = 1000 // of 50 KiB
	for i := range n {
		body := fmt.Sprintf("pt.lcp=%d&mob.etype=4g&pid=p%d&u=https://shop.example/%s", i, i, filler)
		r := httptest.NewRequest("POST", "/rum", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 2<<20 || h.updates.waiting.Len() != n {
		t.Errorf("%d values that wait take %d bytes", h.updates.waiting.Len(), grown)
	}
	h.Flush()
}
