package relay

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"
)

func TestAStreamsReaderRestsLongerTheLessComes(t *testing.T) {
	t.Parallel()
	for network, longest := range map[string]time.Duration{"tcp": tcpRest, "unix": rest} {
		p := streamPace(network)
		rested := func(bytes, times int) (last time.Duration) {
			for range times {
				p.count(bytes)
				last = p.next()
			}
			return last
		}
		if got := rested(p.capacity, 1); got != 0 {
			t.Errorf("%s: with its first bytes a busy connection's reader rests %v, want no rest", network, got)
		}
		if got := rested(100, 20); got != longest {
			t.Errorf("%s: with little to read it rests %v, want %v", network, got, longest)
		}
		if got := rested(p.capacity/4, 1); got != longest {
			t.Errorf("%s: with the buffer a quarter full it rests %v, want %v as before", network, got, longest)
		}
		if got := rested(p.capacity, 1); got != longest/2 {
			t.Errorf("%s: with a full buffer it rests %v, want %v", network, got, longest/2)
		}
		if got := rested(p.capacity, 20); got != 0 {
			t.Errorf("%s: with a buffer that is full each time it rests %v, want no rest", network, got)
		}
	}
}

func TestARestEndsWithTheRelay(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Millisecond, cancel)
	timer := time.NewTimer(0)
	<-timer.C
	pause(ctx, timer, time.Hour) // or the test never ends
}

// BenchmarkReceive says what a line costs from its sender's write to its shard,
// the sender's own work included: both share the processors. A sender over UDP
// is never held up, so that it may lose most of what it sends; a line's cost is of
// those that were taken.
func BenchmarkReceive(b *testing.B) {
	for _, transport := range waysIn {
		for _, shape := range []struct {
			name  string
			lines int // of one write
		}{{"packed", 40}, {"single", 1}} {
			b.Run(transport+"/"+shape.name, func(b *testing.B) { benchmarkReceive(b, transport, shape.lines) })
		}
	}
}

func benchmarkReceive(b *testing.B, transport string, lines int) {
	r, _ := start(b, everyWay(b))
	conn := dial(b, r, transport)
	var payload []byte
	for i := range lines {
		payload = fmt.Appendf(payload, "bench.c.k%02d.requests:%d|c\n", i, i)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	b.ResetTimer()
	sent := 0
	for ; sent < b.N; sent += lines {
		if _, err := conn.Write(payload); err != nil {
			b.Fatal(err)
		}
	}
	taken, dropped := 0, 0
	eventually(b, "the lines to be taken", func() bool {
		taken = int(value(b, r, "relay_lines_total", "type=counter"))
		dropped = lines * int(value(b, r, "relay_kernel_drops_total", ""))
		return taken+dropped == sent
	})
	b.StopTimer()
	runtime.ReadMemStats(&after)
	b.ReportMetric(0, "ns/op") // an operation is a line that was sent, not one that was taken
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(taken), "ns/line")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(taken), "allocs/line")
	b.ReportMetric(100*float64(dropped)/float64(sent), "%dropped")
}
