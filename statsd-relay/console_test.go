package relay

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"addons/server/metrics"
)

// someFlush has one series of each type.
func someFlush() *flush {
	return &flush{
		at: time.Unix(1_700_000_000, 0), interval: 10 * time.Second,
		counters: []point{{"b.c", 25}, {"a.c;x=y", 1e6}}, gauges: []point{{"a.g", -.1234}}, sets: []point{{"a.u", 3}},
		timers:  []timerPoint{{"a.t", []stat{{"count", 2}, {"count_ps", .2}, {"mean", 12.5}}, false}},
		stamped: []stampedPoint{{stamped{gauges, "a.s", 1_600_000_000}, 7}},
	}
}

func TestTheConsoleShowsAFlushToPeople(t *testing.T) {
	t.Parallel()
	const want = "flush 2023-11-14T22:13:20Z 10s\ncounter a.c;x=y 1000000 100000/s\ncounter b.c 25 2.5/s\ngauge a.g -0.123\nset a.u 3\ntimer a.t count=2 count_ps=0.2 mean=12.5\ngauge a.s 7 at 2020-09-13T12:26:40Z\n\n"
	if got := string(consoleLines(someFlush())); got != want {
		t.Errorf("it is\n%s", got)
	}
}

func TestTheConsoleShowsAFlushToPrograms(t *testing.T) {
	t.Parallel()
	const want = `{"time":1700000000,"interval":10,"counters":{"a.c;x=y":1000000,"b.c":25},"counter_rates":{"a.c;x=y":100000,"b.c":2.5},"gauges":{"a.g":-0.1234},"sets":{"a.u":3},"timer_data":{"a.t":{"count":2,"count_ps":0.2,"mean":12.5}},"stamped":[{"time":1600000000,"type":"gauge","key":"a.s","value":7}]}` + "\n"
	if got := string(consoleJSON(someFlush())); got != want || !json.Valid([]byte(got)) {
		t.Errorf("it is\n%s", got)
	}
}

func TestAConsoleThatTakesNothingCostsOlderFlushes(t *testing.T) {
	t.Parallel()
	in, out := io.Pipe() // nobody reads it yet
	cfg := Config{Flush: time.Hour}
	c := newPrinter(cfg, newSelf(metrics.New(nil), cfg), out)
	r, stop := start(t, cfg, c)
	flushes := 0
	eventually(t, "one to be written, one to wait, and one to be dropped", func() bool {
		r.flushAt(time.Now())
		flushes++
		return c.flushes.waiting() == 2 && flushes > 5
	})
	var got bytes.Buffer
	read := make(chan struct{})
	go func() {
		io.Copy(&got, in)
		close(read)
	}()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	out.Close()
	<-read
	if n := strings.Count(got.String(), "flush "); n < 2 || n >= flushes {
		t.Errorf("%d of %d flushes were printed", n, flushes+1)
	}
}

func TestAConsoleThatIsUnknownIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := New(Config{Console: "xml"}, quiet()); err == nil || !strings.Contains(err.Error(), "json") {
		t.Errorf("the error is %v", err)
	}
}
