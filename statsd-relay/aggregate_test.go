package relay

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAMillionKeysStayWithinTheLimit(t *testing.T) {
	t.Parallel()
	a, s := aggregate(t, Config{MaxSeries: 1000})
	const keys = 1_000_000
	s.take([]byte("known:1|c"))
	a.flushed(time.Unix(10, 0))
	for i := range keys {
		s.take(fmt.Appendf(nil, "junk.%d:1|c", i))
		if i%100_000 == 0 {
			a.flushed(time.Unix(int64(20+i), 0))
		}
	}
	s.take([]byte("known:1|c\nlate.gauge:1|g\nlate.timer:1|ms\nlate.set:x|s"))
	f := a.flushed(time.Unix(keys, 0))
	counts := map[string]float64{}
	for _, p := range f.counters {
		counts[p.key] = p.value
	}
	if counts["known"] != 1 {
		t.Errorf("a key from before the flood counts %v, want 1", counts["known"])
	}
	if n := a.series[counters].len(); n > 1001 {
		t.Errorf("%d counters are held, the limit is 1000", n)
	}
	if s.table.cells > 1004 {
		t.Errorf("%d cells are held in the shard, want 1000 and each class's overflow", s.table.cells)
	}
	overflow := a.series[counters].get(Overflow).metric.value
	var kept float64
	for s := range a.series[counters].all() {
		if strings.HasPrefix(s.key, "junk.") {
			kept += s.metric.value
		}
	}
	if kept+overflow != keys {
		t.Errorf("%v kept and %v in overflow, want %d in all", kept, overflow, keys)
	}
	if a.series[gauges].get(Overflow) != nil && len(f.gauges) > 0 && f.gauges[0].value != 0 {
		t.Errorf("the overflow gauge has the value %v of a stranger", f.gauges[0].value)
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	if m.HeapAlloc > 200<<20 {
		t.Errorf("%d MiB of heap after a flood of keys", m.HeapAlloc>>20)
	}
}

func TestRoomInTheShardsIsGivenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, s := aggregate(t, Config{MaxSeries: 3, Expire: time.Minute})
		flush := func() { a.flushed(time.Now()) }
		s.take([]byte("a:1|c\nb:1|c\nc:1|c\nd:1|c"))
		flush()
		if a.series[counters].get("d") != nil || a.series[counters].get(Overflow).value != 0 {
			t.Errorf("a fourth series is held where three may be")
		}
		time.Sleep(2 * time.Minute)
		flush()
		if a.count != 0 || s.table.cells != 0 || len(a.prefixes) != 0 || len(a.prom.metrics.all) != 0 {
			t.Errorf("after all expired %d series, %d cells, %d prefixes, %d shelves of metrics are held", a.count, s.table.cells, len(a.prefixes), len(a.prom.metrics.all))
		}
		s.take([]byte("d:1|c"))
		flush()
		if a.series[counters].get("d") == nil {
			t.Error("no room for a new series after the old ones expired")
		}
	})
}

func TestGaugesBeyondTheLimitTakeNoSeriesAndNoName(t *testing.T) {
	t.Parallel()
	a, s := aggregate(t, Config{MaxSeries: 2, Expire: -1})
	other := a.newShard("tcp", &badLines{})
	s.take([]byte("a:1|c\nb:1|c\ng:7|g\nc:3|c"))
	other.take([]byte("h:7|g"))
	for range 2 {
		f := a.flushed(time.Unix(10, 0))
		if len(f.gauges) != 0 || a.series[gauges].len() != 0 {
			t.Errorf("the gauges %v are flushed, want none", f.gauges)
		}
	}
	if m := a.series[counters].get(Overflow).metric; m.absent() || m.value != 3 {
		t.Error("the counters' overflow is not on /metrics")
	}
	if got := a.self.overflow[gauges].Value(); got != 2 {
		t.Errorf("%v samples of gauges are counted as beyond the limit, want 2", got)
	}
}

func TestOneValueHasAllNumbersThoughItIsInASketch(t *testing.T) {
	t.Parallel()
	cfg := Config{Percentiles: []float64{30, -5}, TimerMemory: 1}
	a, s := aggregate(t, cfg)
	s.take([]byte("exact:7|ms"))
	for range 1023 { // a page's
		s.take([]byte("t:1|ms|@0.5:1|ms"))
	}
	s.take([]byte("sketched:7|ms"))
	names := map[string]string{}
	for _, p := range a.flushed(time.Unix(10, 0)).timers {
		for _, s := range p.stats {
			names[p.key] += " " + s.name
		}
	}
	if a.self.sketched.Value() == 0 || names["sketched"] != names["exact"] {
		t.Errorf("of a value in a sketch there are%s, want%s", names["sketched"], names["exact"])
	}
}

func TestABusyKeyLeavesTheOverflowOnceThereIsRoom(t *testing.T) {
	t.Parallel()
	a, other := aggregate(t, Config{MaxSeries: 1})
	s := a.newShard("tcp", &badLines{})
	busy := func() { // it has samples whenever one looks
		s.take([]byte("busy:1|c"))
		a.flush(time.Now(), func(*flush) { s.take([]byte("busy:1|c")) })
	}
	other.take([]byte("first:1|c"))
	busy()
	busy()
	if a.series[counters].get("busy") != nil {
		t.Fatal("a second series is held where one may be")
	}
	cfg := a.cfg
	cfg.MaxSeries = 10
	a.configure(cfg)
	busy()
	busy()
	if a.series[counters].get("busy") == nil {
		t.Error("it still counts under the overflow after the limit was raised")
	}
}

func TestWhatCameInTheIntervalIsFlushedHoweverSoonItExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, s := aggregate(t, Config{Flush: 10 * time.Second, Expire: 5 * time.Second})
		s.take([]byte("a:1|c"))
		a.mu.Lock()
		a.merge() // as a scrape at the interval's beginning does
		a.mu.Unlock()
		time.Sleep(9 * time.Second)
		if f := a.flushed(time.Now()); len(f.counters) != 1 || f.counters[0].value != 1 {
			t.Errorf("the flush has %v, want a of 1", f.counters)
		}
		time.Sleep(10 * time.Second)
		if a.flushed(time.Now()); a.count != 0 {
			t.Error("the series is held for longer than it may be idle")
		}
	})
}

func TestAnExpiredSeriesBeginsAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, s := aggregate(t, Config{Expire: time.Hour})
		s.take([]byte("a:5|c\ng:7|g"))
		for range 359 { // flushes every 10 s
			a.flushed(time.Now())
			time.Sleep(10 * time.Second)
		}
		s.take([]byte("a:1|c"))
		a.flushed(time.Now())
		if got := a.series[counters].get("a").metric.value; got != 6 {
			t.Errorf("the counter is %v before its hour is over, want 6", got)
		}
		time.Sleep(20 * time.Second)
		a.flushed(time.Now())
		if a.series[gauges].get("g") != nil {
			t.Error("the gauge is held though its hour is over")
		}
		s.take([]byte("g:+1|g"))
		if f := a.flushed(time.Now()); f.gauges[0].value != 1 {
			t.Errorf("the gauge went on from what it was: %v, want 1", f.gauges[0].value)
		}
	})
}

func TestGaugesKeepTheOrderOfTheirSender(t *testing.T) {
	t.Parallel()
	a, s := aggregate(t, Config{})
	steps := []struct {
		line string
		want float64
	}{
		{"g:10|g\ng:+3|g\ng:-4|g", 9}, {"g:-9|g", 0}, {"g:-1|g", -1}, {"g:+2|g\ng:5|g\ng:+1|g", 6},
	}
	for i, step := range steps {
		s.take([]byte(step.line))
		if i%2 == 0 { // as a scrape in the middle of an interval does
			a.mu.Lock()
			a.merge()
			a.mu.Unlock()
		}
		if got := a.flushed(time.Unix(int64(i), 0)).gauges[0].value; got != step.want {
			t.Errorf("after %q the gauge is %v, want %v", step.line, got, step.want)
		}
	}
}

func TestSetMembersAreBounded(t *testing.T) {
	t.Parallel()
	a, s := aggregate(t, Config{SetMembers: 100})
	for i := range 1000 {
		s.take(fmt.Appendf(nil, "u:%d|s\nu:%d|s", i, i%50))
	}
	if got := a.flushed(time.Unix(0, 0)).sets[0].value; got != 100 {
		t.Errorf("the set counts %v, want its limit of 100", got)
	}
	families, _ := a.self.registry.Prometheus().Gather()
	for _, f := range families {
		if f.GetName() == "relay_set_members_dropped_total" && f.Metric[0].Counter.GetValue() != 900 {
			t.Errorf("%v members counted as dropped, want 900", f.Metric[0].Counter.GetValue())
		}
	}
}

func TestWhatComesInCountsOnceOverManyScrapesAndShards(t *testing.T) {
	t.Parallel()
	a, first := aggregate(t, Config{})
	second := a.newShard("tcp", &badLines{})
	for i := range 100 {
		first.take([]byte("a:1|c\nt:5|ms\nu:x|s"))
		second.take([]byte("a:2|c\nt:7|ms\nu:y|s"))
		if i%7 == 0 {
			a.mu.Lock()
			a.merge()
			a.mu.Unlock()
		}
	}
	f := a.flushed(time.Unix(10, 0))
	if got := f.counters[0].value; got != 300 {
		t.Errorf("counter = %v, want 300", got)
	}
	if got := f.sets[0].value; got != 2 {
		t.Errorf("set = %v, want 2", got)
	}
	for _, s := range f.timers[0].stats {
		if want := map[string]float64{"count": 200, "sum": 1200, "median": 6}[s.name]; want != 0 && s.value != want {
			t.Errorf("timer's %s = %v, want %v", s.name, s.value, want)
		}
	}
	if m := a.series[timers].get("t").metric; m.count() != 200 {
		t.Errorf("the histogram has %d samples, want 200", m.count())
	}
}

func TestFlushesFallOnTheIntervalsMultiples(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, err := New(Config{}, quiet())
		if err != nil {
			t.Fatal(err)
		}
		kept := &keepingSink{}
		r.sinks = append(r.sinks, kept)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		time.Sleep(3 * time.Second)
		go func() { done <- r.Run(ctx) }()
		r.Count("a", 1)
		time.Sleep(8 * time.Second)
		r.Count("a", 2)
		time.Sleep(5 * time.Second)
		if err := r.Flush(ctx); err != nil { // in the middle, at :16
			t.Error(err)
		}
		r.Count("a", 4)
		time.Sleep(6 * time.Second)
		r.Count("a", 8)
		cancel() // at :22
		if err := <-done; err != nil {
			t.Error(err)
		}
		base := kept.flushes[0].at.Add(-10 * time.Second)
		want := []struct {
			at    time.Duration
			count float64
		}{{10 * time.Second, 1}, {16 * time.Second, 2}, {20 * time.Second, 4}, {30 * time.Second, 8}}
		if len(kept.flushes) != len(want) || base.Unix()%10 != 0 {
			t.Fatalf("%d flushes from %v, want %d from a multiple of 10 s", len(kept.flushes), base, len(want))
		}
		for i, w := range want {
			f := kept.flushes[i]
			if f.at.Sub(base) != w.at || f.counters[0].value != w.count {
				t.Errorf("flush %d is %v at +%v, want %v at +%v", i, f.counters[0].value, f.at.Sub(base), w.count, w.at)
			}
		}
	})
}

// keepingSink keeps its flushes.
type keepingSink struct{ flushes []*flush }

func (k *keepingSink) send(f *flush) {
	kept := &flush{at: f.at, interval: f.interval, late: f.late}
	kept.add(f)
	k.flushes = append(k.flushes, kept)
}

func (k *keepingSink) name() string                               { return "kept" }
func (k *keepingSink) run(context.Context, context.Context) error { return nil }
func (k *keepingSink) wait(context.Context) error                 { return nil }
func (k *keepingSink) status() sinkStatus                         { return sinkStatus{} }

func TestTheProgramsOwnValuesAreCheckedAsLinesAre(t *testing.T) {
	t.Parallel()
	r, err := New(Config{}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	nan := 0.0
	nan /= nan
	r.Timing("page view.lcp", 1250)
	r.Timing("t", -1)
	r.Count("c", nan)
	r.Count("c", 2)
	r.Gauge("g", -3)
	r.Gauge("g", 1e300)
	r.Count("", 1)
	r.Count(strings.Repeat("k", 513), 1)
	expect(t, r, map[string]float64{
		"page_view_lcp": 1, "c": 2, "g": -3,
		"relay_bad_lines_total{reason=negative}":     1,
		"relay_bad_lines_total{reason=out_of_range}": 2,
		"relay_bad_lines_total{reason=no_name}":      1,
		"relay_bad_lines_total{reason=long_name}":    1,
	})
}

func TestANewKeyAllocatesAndAKnownOneDoesNot(t *testing.T) {
	_, s := aggregate(t, Config{})
	datagram := packed()
	s.take(datagram)
	if n := testing.AllocsPerRun(50, func() { s.take(datagram) }); n != 0 {
		t.Errorf("%v allocations for a datagram of known keys, want none", n)
	}
}

func TestAFlushOfKnownKeysMakesNoGarbageToSpeakOf(t *testing.T) {
	a, s := aggregate(t, Config{})
	w := plaintext{names: Naming{}.names()}
	var datagrams [][]byte
	for i := range 2000 {
		datagrams = append(datagrams, fmt.Appendf(nil, "t.%d:5|ms:7|ms\nc.%d:1|c", i, i))
	}
	interval := func() {
		for _, d := range datagrams {
			s.take(d)
		}
		a.flush(time.Unix(0, 0), func(f *flush) { w.render(f) })
	}
	interval()
	if n := testing.AllocsPerRun(5, interval); n > 100 {
		t.Errorf("%v allocations for 4,000 series that are known", n)
	}
}

// packed is a datagram of 38 lines, half timers and four in ten counters.
func packed() []byte {
	var b []byte
	for i := range 38 {
		switch i % 10 {
		case 0:
			b = fmt.Appendf(b, "bench.g.k%05d.api.in_use:%d|g\n", i, i)
		case 1, 2, 3, 4:
			b = fmt.Appendf(b, "bench.c.k%05d.api.requests:1|c\n", i)
		default:
			b = fmt.Appendf(b, "bench.t.k%05d.api.request_time:123.45|ms\n", i)
		}
	}
	return b
}

func BenchmarkAggregateKnownKeys(b *testing.B) {
	a, s := aggregate(b, Config{})
	datagram := packed()
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		s.take(datagram)
		if n++; n%2000 == 0 { // two seconds of a busy site
			a.flushed(time.Unix(int64(n), 0))
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/38, "ns/line")
}

func BenchmarkFlush10000Timers(b *testing.B) {
	a, s := aggregate(b, Config{})
	w := plaintext{names: Naming{}.names()}
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		for i := range 10_000 {
			s.take(fmt.Appendf(nil, "bench.t.k%05d:%d|ms:%d|ms:%d|ms:%d|ms:%d|ms", i, i, i+7, i%13, i%101, i*3))
		}
		b.StartTimer()
		a.flush(time.Unix(0, 0), func(f *flush) { w.render(f) })
	}
}

// BenchmarkHeldTimer says what a timer of five samples costs, before its first
// flush and after it, beside the samples' 64 bytes in the pool.
func BenchmarkHeldTimer(b *testing.B) {
	const keys = 100_000
	for b.Loop() {
		a, s := aggregate(b, Config{})
		heap := live()
		for i := range 5 * keys {
			s.take(fmt.Appendf(nil, "bench.t.k%05d.api.request_time:%d.45|ms", i%keys, i%997))
		}
		loaded := live()
		a.flush(time.Unix(10, 0), func(*flush) {})
		b.ReportMetric((float64(loaded)-float64(heap))/keys, "B/loaded")
		b.ReportMetric((float64(live())-float64(heap))/keys, "B/held")
		runtime.KeepAlive(a)
	}
}

func TestAPrefixHasItsOwnLimitAndIsShown(t *testing.T) {
	t.Parallel()
	a, s := aggregate(t, Config{MaxPerPrefix: 3})
	for i := range 10 {
		s.take(fmt.Appendf(nil, "wild.%d:1|c\ntame.%d:1|c", i, i%2))
	}
	f := a.flushed(time.Unix(10, 0))
	counts := map[string]float64{}
	for _, p := range f.counters {
		counts[p.key] = p.value
	}
	if counts["wild.relay_overflow"] != 7 || counts["tame.1"] != 5 || len(counts) != 6 {
		t.Errorf("%v, want three of wild's ten, the other seven under its overflow, and both of tame's", counts)
	}
	if _, prefixes, _ := a.shown(); prefixes[0] != (seriesCount{"wild", 4}) || prefixes[1] != (seriesCount{"tame", 2}) {
		t.Errorf("the status page shows %v", prefixes)
	}
	s.take([]byte("wild.11:1|c"))
	if a.flushed(time.Unix(20, 0)); s.table.cells > 7 {
		t.Errorf("%d cells are held for six series", s.table.cells)
	}
}

func TestAStampedPointIsOfItsOwnTime(t *testing.T) {
	t.Parallel()
	a, s := aggregate(t, Config{MaxSeries: 2})
	s.take([]byte("c:2|c|T1000\nc:3|c|@0.5|T1000\nc:1|c|T1010\nc:7|c"))
	f := a.flushed(time.Unix(2000, 0))
	lines := rendered(f, Naming{}.names())
	for _, want := range []string{"stats_counts.c 8 1000\n", "stats_counts.c 1 1010\n", "stats_counts.c 7 2000\n"} {
		if !strings.Contains(string(lines), want) {
			t.Errorf("no %q in\n%s", want, lines)
		}
	}
	s.take([]byte("g:1|g|T1\ng:2|g|T2\ng:3|g|T3"))
	if n := len(a.flushed(time.Unix(2010, 0)).stamped); n != 2 {
		t.Errorf("%d points at times of their own, the limit is 2", n)
	}
}
