package relay

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"addons/server/metrics"
)

// Console says how each flush is printed to the standard output: ConsoleLines or
// ConsoleJSON; "" is not at all.
type Console string

// The ways to print.
const (
	// ConsoleLines is for people: a line "flush TIME INTERVAL", then in order of
	// their keys "counter KEY COUNT RATE/s", "gauge KEY VALUE", "set KEY COUNT" and
	// "timer KEY NAME=VALUE…", then what came with times of its own, "at TIME", and an
	// empty line. "true" is the same.
	ConsoleLines Console = "lines"
	// ConsoleJSON is for programs: a line that is an object, with time (Unix
	// seconds), interval (seconds), counters, counter_rates, gauges, sets and
	// timer_data, each by key, as etsy's console calls them; and stamped, a list
	// of what came with times of its own.
	ConsoleJSON Console = "json"

	consoleTrue Console = "true"
)

func (c Console) check() error {
	switch c {
	case "", ConsoleLines, ConsoleJSON, consoleTrue:
		return nil
	}
	return fmt.Errorf("statsd-relay: console %q: there are %q and %q", string(c), ConsoleLines, ConsoleJSON)
}

// printer is the sink that Console describes. A terminal that takes nothing costs
// flushes, not memory: the newest waits, older ones are dropped and counted.
type printer struct {
	render  func(*flush) []byte
	out     io.Writer
	flushes *latest

	sentFlushes, droppedFlushes, sentPoints, droppedPoints *metrics.Counter
	bytes, writeErrors                                     *metrics.Counter
	up                                                     *metrics.Gauge

	mu      sync.Mutex
	lastErr error
	since   time.Time
	sent    int64
}

func newPrinter(cfg Config, self *self, out io.Writer) *printer {
	const sink = "console"
	c := &printer{
		render: consoleLines, out: out, flushes: newLatest(), since: time.Now(),
		sentFlushes: self.sinkFlushes.With(sink, "sent"), droppedFlushes: self.sinkFlushes.With(sink, "dropped"),
		sentPoints: self.sinkPoints.With(sink, "sent"), droppedPoints: self.sinkPoints.With(sink, "dropped"),
		bytes: self.sinkBytes.With(sink), writeErrors: self.sinkErrors.With(sink, "write"), up: self.sinkUp.With(sink),
	}
	if cfg.Console == ConsoleJSON {
		c.render = consoleJSON
	}
	c.up.Set(1)
	return c
}

func (c *printer) name() string { return "console" }

// send has f printed next, in place of one that could not be printed since.
func (c *printer) send(f *flush) {
	if old := c.flushes.put(f); old != nil {
		c.drop(old)
	}
}

func (c *printer) drop(f *flush) {
	c.droppedFlushes.Inc()
	c.droppedPoints.Add(int64(f.points()))
}

// run prints until ctx is done, and then what waits until drain is. A write that
// is stuck then can't be ended: it is left behind, to end with the process.
func (c *printer) run(ctx, drain context.Context) error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.flushes.each(ctx, drain, c.print)
	}()
	select {
	case <-ended:
		return nil
	case <-drain.Done():
		return nil
	}
}

func (c *printer) print(f *flush) {
	n, err := c.out.Write(c.render(f))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes.Add(int64(n))
	if (err == nil) != (c.lastErr == nil) {
		c.since = time.Now()
	}
	c.lastErr = err
	c.up.Set(oneIf(err == nil))
	if err != nil {
		c.writeErrors.Inc()
		c.drop(f)
		return
	}
	c.sent++
	c.sentFlushes.Inc()
	c.sentPoints.Add(int64(f.points()))
}

func (c *printer) wait(ctx context.Context) error {
	if err := c.flushes.wait(ctx); err != nil {
		return fmt.Errorf("console: %d flushes wait: %w", c.flushes.waiting(), err)
	}
	return nil
}

func (c *printer) status() sinkStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	return sinkStatus{name: c.name(), address: "standard output", err: c.lastErr, since: c.since, waiting: c.flushes.waiting(), sent: c.sent}
}

// consoleLines renders f for people.
func consoleLines(f *flush) []byte {
	b := fmt.Appendf(nil, "flush %s %s\n", f.at.UTC().Format(time.RFC3339), f.interval)
	for _, p := range sortedPoints(f.counters) {
		b = fmt.Appendf(b, "counter %s %s %s/s\n", p.key, short(p.value), short(p.value/f.interval.Seconds()))
	}
	for _, p := range sortedPoints(f.gauges) {
		b = fmt.Appendf(b, "gauge %s %s\n", p.key, short(p.value))
	}
	for _, p := range sortedPoints(f.sets) {
		b = fmt.Appendf(b, "set %s %s\n", p.key, short(p.value))
	}
	timers := slices.SortedFunc(slices.Values(f.timers), func(a, b timerPoint) int { return cmp.Compare(a.key, b.key) })
	for _, t := range timers {
		b = append(append(b, "timer "...), t.key...)
		for _, s := range t.stats {
			b = fmt.Appendf(b, " %s=%s", s.name, short(s.value))
		}
		b = append(b, '\n')
	}
	for _, p := range f.stamped {
		b = fmt.Appendf(b, "%s %s %s at %s\n", p.class, p.key, short(p.value), time.Unix(p.at, 0).UTC().Format(time.RFC3339))
	}
	return append(b, '\n')
}

func sortedPoints(points []point) []point {
	return slices.SortedFunc(slices.Values(points), func(a, b point) int { return strings.Compare(a.key, b.key) })
}

// short is v as people read it: never 1e+06, and not more digits than matter.
func short(v float64) string {
	s := strconv.FormatFloat(v, 'f', 3, 64)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// consoleJSON renders f for programs. Its maps are printed in order of their keys.
func consoleJSON(f *flush) []byte {
	var out struct {
		Time     int64                         `json:"time"`
		Interval float64                       `json:"interval"`
		Counters map[string]float64            `json:"counters"`
		Rates    map[string]float64            `json:"counter_rates"`
		Gauges   map[string]float64            `json:"gauges"`
		Sets     map[string]float64            `json:"sets"`
		Timers   map[string]map[string]float64 `json:"timer_data"`
		Stamped  []consoleStamped              `json:"stamped,omitempty"`
	}
	out.Time, out.Interval = f.at.Unix(), f.interval.Seconds()
	out.Counters, out.Gauges, out.Sets = byKey(f.counters, 1), byKey(f.gauges, 1), byKey(f.sets, 1)
	out.Rates = byKey(f.counters, out.Interval)
	out.Timers = make(map[string]map[string]float64, len(f.timers))
	for _, t := range f.timers {
		stats := make(map[string]float64, len(t.stats))
		for _, s := range t.stats {
			stats[s.name] = s.value
		}
		out.Timers[t.key] = stats
	}
	for _, p := range f.stamped {
		out.Stamped = append(out.Stamped, consoleStamped{p.at, p.class.String(), p.key, p.value})
	}
	b, err := json.Marshal(out)
	if err != nil {
		return fmt.Appendf(nil, "{\"error\":%q}\n", err) // an infinity, which no sum of what is taken comes to
	}
	return append(b, '\n')
}

// consoleStamped is a point with a time of its own.
type consoleStamped struct {
	Time  int64   `json:"time"`
	Type  string  `json:"type"`
	Key   string  `json:"key"`
	Value float64 `json:"value"`
}

// byKey are points over a divisor.
func byKey(points []point, divisor float64) map[string]float64 {
	m := make(map[string]float64, len(points))
	for _, p := range points {
		m[p.key] = p.value / divisor
	}
	return m
}
