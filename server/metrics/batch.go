package metrics

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// batchEvery is how long a Batch collects.
	batchEvery = 100 * time.Millisecond
	// batchTimes is how many values of a timer wait; a full one is sent at once.
	batchTimes = 1024
	// lineBytes is how long a line with several values may get: go-statsd's packets
	// have 1,432 bytes.
	lineBytes = 1200
)

// Batch is a Statsd that takes the work of sending off the path of those who are
// measured: it collects for a tenth of a second and sends a counter's sum, and a
// timer's values several to a line, as etsy's statsd reads them (key:1|ms:2|ms).
// Every value is sent, so that counts and percentiles are those of single lines.
// Gauges go through at once. Of memory it takes 8 KiB for each timer in use.
type Batch struct {
	to Statsd

	mu     sync.Mutex
	counts []*counts
	timers []*timings
	byKey  map[string]*counts

	stop chan struct{}
	done chan struct{}
	once sync.Once
}

// NewBatch returns a Batch that sends to client until Close.
func NewBatch(client Statsd) *Batch {
	b := &Batch{to: client, byKey: map[string]*counts{}, stop: make(chan struct{}), done: make(chan struct{})}
	go b.run()
	return b
}

func (b *Batch) run() {
	defer close(b.done)
	tick := time.NewTicker(batchEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			b.Flush()
		case <-b.stop:
			b.Flush()
			return
		}
	}
}

// Close sends what has been collected and stops. The client is the caller's.
func (b *Batch) Close() error {
	b.once.Do(func() { close(b.stop) })
	<-b.done
	return nil
}

// Flush sends what has been collected.
func (b *Batch) Flush() {
	b.mu.Lock()
	counts, timers := b.counts, b.timers // only ever appended to
	b.mu.Unlock()
	for _, c := range counts {
		c.flush(b.to)
	}
	for _, t := range timers {
		t.flush(b.to)
	}
}

// Incr adds to a counter.
func (b *Batch) Incr(key string, n int64, _ ...Tag) { b.counter(key).n.Add(n) }

// PrecisionTiming sends one value at once: who measures often has a timings of its own.
func (b *Batch) PrecisionTiming(key string, d time.Duration, _ ...Tag) { b.to.PrecisionTiming(key, d) }

// FGauge sends a gauge at once.
func (b *Batch) FGauge(key string, value float64, _ ...Tag) { b.to.FGauge(key, value) }

// counts is a counter's sum since it was last sent.
type counts struct {
	key string
	n   atomic.Int64
}

// counter returns the counter of the key, the same for every series that shares it.
func (b *Batch) counter(key string) *counts {
	b.mu.Lock()
	defer b.mu.Unlock()
	c, ok := b.byKey[key]
	if !ok {
		c = &counts{key: key}
		b.byKey[key] = c
		b.counts = append(b.counts, c)
	}
	return c
}

func (c *counts) flush(to Statsd) {
	if c.n.Load() == 0 {
		return
	}
	to.Incr(c.key, c.n.Swap(0))
}

// timings are one series' values since they were last sent, for each of its keys.
type timings struct {
	keys []string
	to   Statsd

	mu     sync.Mutex
	values []time.Duration
	spare  []time.Duration // takes turns with values
}

func (b *Batch) timer(keys []string) *timings {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := &timings{keys: keys, to: b.to}
	b.timers = append(b.timers, t)
	return t
}

func (t *timings) add(d time.Duration) {
	t.mu.Lock()
	t.values = append(t.values, d)
	full := len(t.values) >= batchTimes
	t.mu.Unlock()
	if full {
		t.flush(t.to)
	}
}

func (t *timings) flush(to Statsd) {
	t.mu.Lock()
	values := t.values
	t.values, t.spare = t.spare[:0], nil
	t.mu.Unlock()
	for rest := values; len(rest) > 0; {
		rest = t.send(to, rest)
	}
	t.mu.Lock()
	t.spare = values
	t.mu.Unlock()
}

// send sends as many of the values as a line takes, and returns the others. The
// client writes the last one of them, and before it whatever it takes for the key.
func (t *timings) send(to Statsd, values []time.Duration) (rest []time.Duration) {
	var packed []byte
	last := 0
	for last < len(values)-1 && len(packed) < lineBytes-2*maxKey {
		packed = append(packed, ':')
		packed = appendExactMillis(packed, values[last])
		packed = append(packed, "|ms"...)
		last++
	}
	for _, key := range t.keys {
		to.PrecisionTiming(key+string(packed), values[last])
	}
	return values[last+1:]
}

// appendExactMillis appends d in milliseconds to the nanosecond, as go-statsd does,
// which takes it for any float.
func appendExactMillis(b []byte, d time.Duration) []byte {
	if d < 0 { // a clock that went back
		b, d = append(b, '-'), -d
	}
	b = strconv.AppendInt(b, int64(d/time.Millisecond), 10)
	rest := d % time.Millisecond
	if rest == 0 {
		return b
	}
	b = append(b, '.')
	for unit := time.Millisecond / 10; rest > 0; unit /= 10 {
		b = append(b, byte('0'+rest/unit))
		rest %= unit
	}
	return b
}

// maxKey (bytes) is more than any of our keys has.
const maxKey = 120
