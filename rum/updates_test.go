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
	tell := func(i int) { u.put(fmt.Sprint("id", i), update{value: 1}) }
	for i := range 250 {
		tell(i)
	}
	if len(u.byID) != 100 || len(u.all) != 101 || counted != 150 {
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
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 || len(h.updates.byID) != n {
		t.Errorf("%d values that wait take %d bytes", len(h.updates.byID), grown)
	}
	h.Flush()
}

func TestAWaitingValueHasTheWordsThatItCameWith(t *testing.T) {
	v := newVocabulary(Config{Pages: []string{"cart", "home"}, Countries: []string{"de", "fr"}})
	for _, page := range []string{"cart", "home", other} {
		for _, device := range []string{"desktop", "mobile", "tablet", bot} {
			for _, connection := range []string{"slow-2g", "2g", "3g", "4g", unknown} {
				for _, family := range []string{"chrome", "edge", "firefox", "safari", "samsung", "opera", other} {
					for _, country := range []string{"de", "fr", other, unknown} {
						for _, trace := range []string{"", "4bf92f3577b34da6a3ce929d0e0e4736"} {
							want := origin{page, device, connection, family, country, trace}
							if got := *v.unpack(v.pack(&want)); got != want {
								t.Errorf("%+v became %+v", want, got)
							}
						}
					}
				}
			}
		}
	}
	if n := len(sampleKinds); n != len(vitalBuckets)+len((&Navigation{}).phases()) {
		t.Errorf("there are %d kinds of samples", n)
	}
	one := 1.0
	b := Beacon{Vitals: Vitals{&one, &one, &one, &one, &one}, Nav: &Navigation{
		RedirectEnd: 1, WorkerStart: 1, FetchStart: 2, DomainLookupStart: 2, DomainLookupEnd: 3, ConnectStart: 3, SecureConnectionStart: 4, ConnectEnd: 5, RequestStart: 6, ResponseStart: 7,
		ResponseEnd: 8, DOMInteractive: 9, DOMContentLoadedEventStart: 10, DOMContentLoadedEventEnd: 11, DOMComplete: 12, LoadEventStart: 13, LoadEventEnd: 14,
	}}
	samples, _ := b.Samples()
	if len(samples) != len(sampleKinds) {
		t.Fatalf("%d samples: %v", len(samples), samples)
	}
	for _, s := range samples {
		if k := sampleKinds[s.kind()]; k.Vital != s.Vital || k.Phase != s.Phase {
			t.Errorf("%+v became %+v", s, k)
		}
	}
}
