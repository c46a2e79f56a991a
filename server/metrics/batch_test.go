package metrics_test

import (
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/smira/go-statsd"

	"addons/server/metrics"
)

func TestABatchSendsSumsAndEveryValue(t *testing.T) {
	t.Parallel()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	client := statsd.NewClient(socket.LocalAddr().String(), statsd.SendQueueCapacity(1000), statsd.BufPoolCapacity(100)) // as the platform has it
	batch := metrics.NewBatch(client)
	r := metrics.New(batch)
	hits := r.Counter(metrics.Desc{Name: "hits_total", Help: "h", Labels: []metrics.Label{metrics.L("of", "a", "b")}, Keys: []string{"hits", "hits.{of}"}})
	times := r.Histogram(metrics.Desc{Name: "seconds", Help: "h", Labels: []metrics.Label{metrics.L("of")}, Keys: []string{"time.{of}", "time"}})
	const each = 700 // two at once fill a timer; more would be more than the kernel keeps for the socket
	want := map[string]int{"hits|c": 4 * each, "hits.a|c": 2 * each, "hits.b|c": 2 * each, "time.x|ms": 2 * each, "time|ms": 2 * each}
	var wait sync.WaitGroup
	for range 2 {
		wait.Go(func() {
			for i := range each {
				hits.With("a").Inc()
				hits.With("b").Add(1)
				times.With("x").Observe(t.Context(), time.Duration(i)*time.Microsecond)
			}
		})
	}
	sum := make(chan map[string]int)
	go func() { // an etsy statsd's reading of a line
		got := map[string]int{}
		packet := make([]byte, 64<<10)
		socket.SetReadDeadline(time.Now().Add(10 * time.Second))
		for got["time|ms"] < want["time|ms"] || got["hits|c"] < want["hits|c"] {
			n, _, err := socket.ReadFrom(packet)
			if err != nil {
				break
			}
			if n > 1432 {
				t.Errorf("a packet of %d bytes", n)
			}
			for line := range strings.SplitSeq(strings.TrimSpace(string(packet[:n])), "\n") {
				key, samples, _ := strings.Cut(line, ":")
				for sample := range strings.SplitSeq(samples, ":") {
					value, kind, _ := strings.Cut(sample, "|")
					switch n := 1; {
					case kind == "c":
						for n = 0; len(value) > 0; value = value[1:] {
							n = 10*n + int(value[0]-'0')
						}
						fallthrough
					default:
						got[key+"|"+kind] += n
					}
				}
			}
		}
		sum <- got
	}()
	wait.Wait()
	batch.Close()
	client.Close()
	if diff := cmp.Diff(want, <-sum); diff != "" {
		t.Error(diff)
	}
}

// TestPackedValuesAreWrittenAsSingleOnes, which go-statsd writes.
func TestPackedValuesAreWrittenAsSingleOnes(t *testing.T) {
	t.Parallel()
	for _, d := range []time.Duration{0, 1, 10, 999, 1000, 1001, 12_345, 999_999, 1_000_000, 1_000_001, 1_500_000, 30 * time.Second, 1<<53 + 1e6, -1, -2_500_000} {
		got := &lines{got: map[string]int64{}, last: map[string]float64{}}
		batch := metrics.NewBatch(got)
		h := metrics.New(batch).Histogram(metrics.Desc{Name: "seconds", Help: "h", Keys: []string{"t"}}).With()
		h.ObserveAt(0, d, metrics.TraceID{1})
		h.ObserveAt(0, 0, metrics.TraceID{1})
		batch.Close()
		want := "t:" + strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', -1, 64) + "|ms"
		if got.got[want] != 1 {
			t.Errorf("%d ns: %v, want %s", d, got.got, want)
		}
	}
}

func TestTheHotPathsServerTimingIsTheLedgers(t *testing.T) {
	t.Parallel()
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	_, ledger := metrics.Begin(t.Context(), parent)
	for _, d := range []time.Duration{0, 400, time.Microsecond, 12_345 * time.Nanosecond, 99 * time.Millisecond, 12_004_056 * time.Microsecond} {
		want := ledger.ServerTiming(d)
		if got := string(metrics.AppendServerTiming(nil, d, metrics.NewTraceID(parent))); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
	for _, bad := range []string{"", "00-00000000000000000000000000000000-00f067aa0ba902b7-01", "junk"} {
		id := metrics.NewTraceID(bad)
		if id == (metrics.TraceID{}) || id == metrics.NewTraceID(bad) || len(id.String()) != 32 {
			t.Errorf("id %v of the parent %q, want a new one", id, bad)
		}
	}
}

func TestAnObservationOnTheHotPathAllocatesNothing(t *testing.T) {
	batch := metrics.NewBatch(newLines())
	defer batch.Close()
	h := metrics.New(batch).Histogram(metrics.Desc{Name: "seconds", Help: "h", Keys: []string{"time", "time.all"}}).With()
	h.ObserveAt(metrics.Now(), time.Millisecond, metrics.NewTraceID(""))
	if n := testing.AllocsPerRun(1000, func() { h.ObserveAt(metrics.Now(), time.Millisecond, metrics.NewTraceID("")) }); n >= 1 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	batch := metrics.NewBatch(newLines())
	defer batch.Close()
	h := metrics.New(batch).Histogram(metrics.Desc{Name: "seconds", Help: "h", Keys: []string{"time", "time.all", "time.more"}}).With()
	b.Run("with a ledger", func(b *testing.B) {
		ctx, _ := metrics.Begin(b.Context(), "")
		b.ReportAllocs()
		for b.Loop() {
			h.Observe(ctx, time.Millisecond)
		}
	})
	b.Run("on the hot path", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			h.ObserveAt(metrics.Now(), time.Millisecond, metrics.NewTraceID(""))
		}
	})
}
