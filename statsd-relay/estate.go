package relay

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/DataDog/sketches-go/ddsketch"
	"github.com/DataDog/sketches-go/ddsketch/store"
	dto "github.com/prometheus/client_model/go"

	"addons/statsd-relay/carbon"
)

// An estate is what a relay leaves to its successor: the interval under way, what
// Prometheus has been told, and the flushes that wait in memory. It goes as gobs,
// many series at a time, so that it is never in memory as a whole.
type estate struct {
	Version   int
	Due       time.Time // when the interval under way ends
	LastStamp int64
	LastFlush time.Time
	Interval  time.Duration
	Seed      uint64 // of set members' hashes

	BadLines, Packets, Lines int64
	Drops                    map[string][]uint32 // as counted, by listeners' names and in the order of their sockets
	Stamped                  []stampedEstate
	Rules                    []ruleEstate
}

type stampedEstate struct {
	Class class
	Key   string
	At    int64
	Value float64
}

// seriesEstate is a series.
type seriesEstate struct {
	Key     string
	Class   class
	Plain   bool
	Seen    uint32
	Samples uint32
	Value   float64
	Values  []float64 // of timers, each with its weight behind it
	Members []uint64
	Rest    *excessEstate
}

type excessEstate struct {
	Sketch       []byte
	N            int
	Sum, Squares float64
	Lower, Upper float64
}

// ruleEstate is as much of a rule as says whether samples can go on as another's.
type ruleEstate struct {
	Class     class
	Kind      dto.MetricType
	Scaled    bool
	Scale     float64
	Bounds    []float64
	Native    bool
	Shift     uint8
	Max       int
	Quantiles []float64
	Age       time.Duration
	Windows   int
}

// metricEstate is a metric, with the number of its rule.
type metricEstate struct {
	ID        string
	Rule      int
	Created   int64
	Seen      uint32
	Histogram histogramEstate
	Summary   *summaryEstate
}

type histogramEstate struct {
	Places, Counts []uint32
	Value          float64
	Carry          float32
	Shift          uint8
}

type summaryEstate struct {
	Count   uint64
	Sum     float64
	Windows []histogramEstate
	Now     int
	End     time.Time
}

// estateVersion changes with what another version would misunderstand.
const estateVersion = 1

// leave writes the estate. Nothing reads lines meanwhile.
func (r *Relay) leave(to io.Writer, left []suspended) error {
	e := estate{Version: estateVersion, Due: r.ends(), LastStamp: r.lastStamp, Drops: map[string][]uint32{}}
	for _, l := range r.in {
		if p, ok := l.(*packetListener); ok {
			e.Drops[l.name()] = append(e.Drops[l.name()], p.dropped()...)
		}
	}
	out := gob.NewEncoder(to)
	if err := r.agg.leave(e, out); err != nil {
		return err
	}
	for _, s := range left {
		for _, w := range s.left {
			if err := out.Encode([]carbon.Waiting{w}); err != nil {
				return err
			}
		}
	}
	return out.Encode([]carbon.Waiting(nil))
}

// inherit takes an estate over. It is called before Run.
func (r *Relay) inherit(from io.Reader) error {
	in := gob.NewDecoder(from)
	var e estate
	if err := in.Decode(&e); err != nil {
		return fmt.Errorf("the predecessor's state: %w", err)
	}
	if e.Version != estateVersion {
		return fmt.Errorf("the predecessor's state is of version %d, and here %d is known", e.Version, estateVersion)
	}
	r.due, r.lastStamp = e.ends(time.Now())
	for _, l := range r.in {
		if p, ok := l.(*packetListener); ok {
			e.Drops[l.name()] = p.inheritDrops(e.Drops[l.name()])
		}
	}
	if err := r.agg.inherit(e, in); err != nil {
		return fmt.Errorf("the predecessor's state: %w", err)
	}
	return r.inheritFlushes(in)
}

// ends says when the interval under way does, and what the last stamp was. If the clock
// was set back since, both may be years from now: no flush would come, or each a second
// behind the one before.
func (e *estate) ends(now time.Time) (due time.Time, lastStamp int64) {
	due, lastStamp = e.Due, e.LastStamp
	if latest := nextFlush(now, e.Interval); due.After(latest) {
		due = latest
	}
	if lastStamp > due.Unix() {
		lastStamp = 0
	}
	return due, lastStamp
}

func (r *Relay) inheritFlushes(in *gob.Decoder) error {
	lost := 0
	for {
		var waiting []carbon.Waiting
		if err := in.Decode(&waiting); err != nil {
			return fmt.Errorf("the predecessor's flushes: %w", err)
		}
		if len(waiting) == 0 {
			break
		}
		if h, ok := r.sinkOf("graphite").(heir); ok {
			h.take(waiting)
		} else {
			lost += waiting[0].Points
		}
	}
	if lost > 0 {
		r.log.Warn("points that waited for graphite are lost, for it is not among the sinks any more", "points", lost)
	}
	return nil
}

// some is how many series or metrics go at a time.
const some = 500

// keyEstate is what makes a series.
type keyEstate struct {
	Key   string
	Class class
	Plain bool
}

// inLine ranges over all series such that a successor finds the same place for each:
// those that /metrics shows first, for others want their names, and at the end those
// that took what was over the limits, for which there is always room.
func (a *aggregator) inLine() iter.Seq[*series] {
	return func(yield func(*series) bool) {
		for turn := range 3 {
			for c := range a.series {
				for s := range a.series[c].all() {
					if s.turn() == turn && !yield(s) {
						return
					}
				}
			}
		}
	}
}

func (s *series) turn() int {
	switch {
	case s.key == Overflow || strings.HasSuffix(s.key, "."+Overflow):
		return 2
	case s.metric.absent():
		return 1
	}
	return 0
}

// leaveKeys writes what series there are: to find a place for each takes a successor
// longer than all else. Lines are read meanwhile.
func (a *aggregator) leaveKeys(to io.Writer) error {
	a.mu.Lock()
	keys := make([]keyEstate, 0, a.count)
	for s := range a.inLine() {
		keys = append(keys, keyEstate{s.key, s.class, s.plain})
	}
	a.mu.Unlock()
	out := gob.NewEncoder(to)
	for all := range slices.Chunk(keys, some) {
		if err := out.Encode(all); err != nil {
			return err
		}
	}
	return out.Encode(keys[:0])
}

// inheritKeys makes them. One that has ended by the time of the hand-over ends here too.
func (a *aggregator) inheritKeys(from io.Reader) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return each(gob.NewDecoder(from), func(k keyEstate) error {
		if k.Class >= classes {
			return errors.New("a series that can't be")
		}
		a.find(&cell{raw: k.Key, class: k.Class, plain: k.Plain})
		return nil
	})
}

// leave writes the head and what series there are.
func (a *aggregator) leave(e estate, out *gob.Encoder) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.merge()
	e.LastFlush, e.Interval, e.Seed = a.lastFlush, a.cfg.Flush, a.seed
	e.BadLines, e.Packets, e.Lines = a.badLines, a.packets, a.lines
	for at, v := range a.stamped {
		e.Stamped = append(e.Stamped, stampedEstate{at.class, at.key, at.at, v})
	}
	rules := map[*rule]int{}
	for m := range a.prom.metrics.from("") {
		if _, known := rules[m.rule]; !known {
			rules[m.rule] = len(e.Rules)
			e.Rules = append(e.Rules, m.rule.estate())
		}
	}
	if err := out.Encode(e); err != nil {
		return err
	}
	return errors.Join(a.leaveSeries(out), a.leaveMetrics(out, rules))
}

func (a *aggregator) leaveSeries(out *gob.Encoder) error {
	var all []seriesEstate
	for s := range a.inLine() {
		all = append(all, a.estate(s))
		if len(all) == some {
			if err := out.Encode(all); err != nil {
				return err
			}
			all = all[:0]
		}
	}
	return errors.Join(out.Encode(all), end(out, all))
}

// end is behind all series, or all metrics.
func end[T any](out *gob.Encoder, all []T) error {
	if len(all) == 0 {
		return nil // that was it
	}
	return out.Encode(all[:0])
}

func (a *aggregator) estate(s *series) seriesEstate {
	e := seriesEstate{Key: s.key, Class: s.class, Plain: s.plain, Seen: s.seen, Samples: s.samples, Value: s.value}
	a.pool.each(s.first, func(c *chunk) {
		c.each(func(v, weight float64) { e.Values = append(e.Values, v, weight) })
	})
	if s.extra == nil {
		return e
	}
	for m := range s.extra.members {
		e.Members = append(e.Members, m)
	}
	if r := s.extra.rest; r != nil {
		e.Rest = &excessEstate{N: r.n, Sum: r.sum, Squares: r.squares, Lower: r.lower, Upper: r.upper}
		r.sketch.Encode(&e.Rest.Sketch, false)
	}
	return e
}

func (a *aggregator) leaveMetrics(out *gob.Encoder, rules map[*rule]int) error {
	var all []metricEstate
	for m := range a.prom.metrics.from("") {
		all = append(all, m.estate(rules[m.rule]))
		if len(all) == some {
			if err := out.Encode(all); err != nil {
				return err
			}
			all = all[:0]
		}
	}
	return errors.Join(out.Encode(all), end(out, all))
}

func (m *metric) estate(rule int) metricEstate {
	e := metricEstate{ID: m.id, Rule: rule, Created: m.created, Seen: m.seen, Histogram: m.histogram.estate()}
	if s := m.rule.summaries[m]; s != nil {
		e.Summary = &summaryEstate{Count: s.count, Sum: s.sum, Now: s.now, End: s.end}
		for i := range s.windows {
			e.Summary.Windows = append(e.Summary.Windows, s.windows[i].estate())
		}
	}
	return e
}

func (h *histogram) estate() histogramEstate {
	e := histogramEstate{Value: h.value, Carry: h.carry, Shift: h.shift}
	for _, b := range h.buckets {
		e.Places, e.Counts = append(e.Places, b.place), append(e.Counts, b.count)
	}
	return e
}

func (e histogramEstate) histogram(r *rule) histogram {
	h := histogram{rule: r, value: e.Value, carry: e.Carry, shift: e.Shift}
	for i := range min(len(e.Places), len(e.Counts)) {
		h.buckets = append(h.buckets, bucket{e.Places[i], e.Counts[i]})
	}
	return h
}

func (r *rule) estate() ruleEstate {
	return ruleEstate{r.class, r.kind, r.scaled, r.scale, r.bounds, r.native, r.shift, r.max, r.quantiles, r.age, r.windows}
}

func (e ruleEstate) rule() *rule {
	return &rule{
		class: e.Class, kind: e.Kind, scaled: e.Scaled, scale: e.Scale, bounds: e.Bounds, native: e.Native, shift: e.Shift, max: e.Max,
		quantiles: e.Quantiles, age: e.Age, windows: e.Windows, summaries: map[*metric]*summary{},
	}
}

// inherit takes over the interval of a predecessor. The interval ends as long as it
// began, whatever the configuration says of those to come.
func (a *aggregator) inherit(e estate, in *gob.Decoder) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e.Interval != a.cfg.Flush {
		a.interval, a.cfg.Flush = a.cfg.Flush, e.Interval
	}
	a.lastFlush = e.LastFlush
	a.badLines, a.packets, a.lines = e.BadLines, e.Packets, e.Lines
	a.reseed(e.Seed)
	for _, s := range e.Stamped {
		a.stamp(stamped{s.Class, s.Key, s.At}, s.Value)
	}
	values := arena{pool: a.pool}
	err := each(in, func(s seriesEstate) error { return a.inheritSeries(s, &values) })
	a.pages = append(a.pages, values.leave()...)
	if err != nil {
		return err
	}
	var rules []*rule
	for _, r := range e.Rules {
		rules = append(rules, r.rule())
	}
	return each(in, func(m metricEstate) error { return a.inheritMetric(m, rules) })
}

// each calls f with what comes, up to its end.
func each[T any](in *gob.Decoder, f func(T) error) error {
	for {
		var all []T
		if err := in.Decode(&all); err != nil {
			return err
		}
		for _, one := range all {
			if err := f(one); err != nil {
				return err
			}
		}
		if len(all) == 0 {
			return nil
		}
	}
}

func (a *aggregator) inheritSeries(e seriesEstate, values *arena) error {
	if e.Class >= classes || len(e.Values)%2 != 0 {
		return errors.New("a series that can't be")
	}
	s := a.find(&cell{raw: e.Key, class: e.Class, plain: e.Plain})
	if e.Class == gauges && s.key != e.Key {
		return nil // the last value of many gauges says nothing
	}
	s.seen = max(s.seen, e.Seen)
	s.samples += e.Samples
	s.value += e.Value
	if e.Class == gauges { // it may have another name than before
		s.metric.recall(e.Value, e.Seen)
	}
	var over *excess // what there is no memory for
	for i := 0; i < len(e.Values); i += 2 {
		if head, ok := values.add(s.first, e.Values[i], e.Values[i+1]); ok {
			s.first = head
			continue
		}
		if over == nil {
			over = newExcess()
		}
		over.add(e.Values[i])
	}
	if over != nil {
		s.spill(over)
	}
	if e.Rest != nil {
		rest, err := e.Rest.excess()
		if err != nil {
			return err
		}
		s.spill(rest)
	}
	if len(e.Members) > 0 {
		members := make(map[uint64]struct{}, len(e.Members))
		for _, m := range e.Members {
			members[m] = struct{}{}
		}
		a.self.members.Add(s.join(members, a.cfg.SetMembers))
	}
	return nil
}

func (e *excessEstate) excess() (*excess, error) {
	r := newExcess()
	r.n, r.sum, r.squares, r.lower, r.upper = e.N, e.Sum, e.Squares, e.Lower, e.Upper
	provider := func() store.Store { return store.NewCollapsingLowestDenseStore(sketchBins) }
	var err error
	r.sketch, err = ddsketch.DecodeDDSketch(e.Sketch, provider, nil)
	return r, err
}

// inheritMetric has a metric go on counting, if there is one of the same name, labels
// and buckets.
func (a *aggregator) inheritMetric(e metricEstate, rules []*rule) error {
	if e.Rule < 0 || e.Rule >= len(rules) {
		return errors.New("a metric that can't be")
	}
	m, _ := a.prom.metrics.find(e.ID)
	if m == nil {
		return nil
	}
	r := rules[e.Rule]
	old := &metric{id: e.ID, created: e.Created, seen: e.Seen, histogram: e.Histogram.histogram(r)}
	if e.Summary != nil {
		r.summaries[old] = e.Summary.summary(time.Now().Add(r.age))
	}
	m.goOn(old)
	delete(r.summaries, old)
	return nil
}

// summary has its window end at the latest so: the clock may have been set back.
func (e *summaryEstate) summary(latest time.Time) *summary {
	s := &summary{count: e.Count, sum: e.Sum, now: e.Now, end: e.End}
	if s.end.After(latest) {
		s.end = latest
	}
	for _, w := range e.Windows {
		s.windows = append(s.windows, w.histogram(&sketched))
	}
	return s
}
