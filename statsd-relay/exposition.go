package relay

import (
	"iter"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// exposition is what Prometheus gets of the statsd lines. Mappings say what keys
// become; those that none matches become names as statsd_exporter makes them:
// view.addons.detail is view_addons_detail, and tags become labels. Counters go on
// counting over flushes; timers are histograms in seconds; a set is a gauge of how
// many members the last interval had.
//
// A name belongs to the type that had it first, with all the names that its
// samples and OpenMetrics make of it, so that no key can break the page.
type exposition struct {
	rules   *rules
	metrics shelves

	refused int    // series without a metric
	dropped int    // series that a mapping drops
	nowhere metric // theirs
}

// metric is one series of Prometheus. Two keys that make the same name share it.
// A nil metric takes what it is given and forgets it, as does one without a rule.
// There is one for each key: 80 bytes.
type metric struct {
	histogram
	id      string // a key without tags, or what identify made
	created int64  // in Unix milliseconds
	seen    uint32 // in Unix seconds; kept only if the rule has a ttl
	keys    uint32 // of statsd that share it
}

func newExposition(r *rules) *exposition { return &exposition{rules: r} }

// enter returns the metric for a key, nil if its name is another type's. plain is
// for timers whose values are not milliseconds. It keeps the key.
func (e *exposition) enter(key string, c class, plain bool) *metric {
	id, r := e.rules.resolve(key, c, plain)
	if r == nil {
		e.dropped++
		return &e.nowhere
	}
	m, namesake := e.metrics.find(id)
	if namesake == nil && e.taken(id, r.kind) || namesake != nil && !namesake.rule.alike(r) {
		e.refused++
		return nil
	}
	if m == nil {
		m = &metric{id: id, histogram: histogram{rule: r, shift: r.shift}}
		m.restart(time.Now())
		e.metrics.insert(m)
	}
	m.keys++
	return m
}

// leave gives up one key's share of m.
func (e *exposition) leave(m *metric) {
	switch {
	case m == nil:
		e.refused--
	case m == &e.nowhere:
		e.dropped--
	default:
		if m.keys--; m.keys == 0 {
			e.metrics.remove(m)
			delete(m.rule.summaries, m)
		}
	}
}

// likeName is a string of which mangle makes an id's name, with the same suffixes: what
// is before the ';' where nothing is run together. So it can be found without reading all of it.
func likeName(id string) string {
	bare, _ := splitKey(id)
	if strings.Contains(bare, "--") {
		return mangle(bare)
	}
	return bare
}

// taken tells whether a new family, whose own name nobody has, would have a name of
// another's.
func (e *exposition) taken(id string, kind dto.MetricType) bool {
	if suffixOf(id) < 0 && e.metrics.suffixed == [len(suffixes)]int{} {
		return false
	}
	name := likeName(id)
	return slices.ContainsFunc(claimed(name, kind), func(n string) bool { return e.holder(n) != nil })
}

// claimed lists the names that a family takes: its own, those of its samples, and
// for a counter that without _total, which is its family's in OpenMetrics.
func claimed(name string, kind dto.MetricType) []string {
	switch kind {
	case dto.MetricType_COUNTER:
		if bare, ok := cutSuffix(name, "_total"); ok {
			return []string{name, bare}
		}
	case dto.MetricType_HISTOGRAM:
		return []string{name, name + "_bucket", name + "_sum", name + "_count"}
	case dto.MetricType_SUMMARY:
		return []string{name, name + "_sum", name + "_count"}
	}
	return []string{name}
}

// suffixes are what claimed adds or takes away.
var suffixes = [...]string{"_bucket", "_sum", "_count", "_total"}

// holder returns a metric of the family that has taken the name, nil if none has.
func (e *exposition) holder(taken string) *metric {
	if m := e.metrics.first(taken); m != nil {
		return m
	}
	if m := e.metrics.first(taken + "_total"); m != nil && m.rule.kind == dto.MetricType_COUNTER {
		return m
	}
	for _, suffix := range suffixes {
		base, ok := cutSuffix(taken, suffix)
		if !ok {
			continue
		}
		claims := func(name string) bool { return sameName(name, taken) }
		if m := e.metrics.first(base); m != nil && slices.ContainsFunc(claimed(base, m.rule.kind), claims) {
			return m
		}
	}
	return nil
}

// cutSuffix cuts one of the suffixes, whose '_' may be any character of which mangle
// makes one.
func cutSuffix(name, suffix string) (base string, ok bool) {
	n := len(name) - len(suffix)
	if n < 0 || !strings.HasSuffix(name, suffix[1:]) || verbatimName[name[n]] {
		return name, false
	}
	return name[:n], true
}

// absent is whether nobody sees the metric.
func (m *metric) absent() bool { return m == nil || m.rule == nil }

// touch is before every sample: a metric that was stale starts anew.
func (m *metric) touch() {
	if m.rule.ttl == 0 {
		return
	}
	now := time.Now()
	if m.stale(now) {
		m.restart(now)
	}
	m.seen = uint32(now.Unix())
}

// stale is whether the metric has been without samples for longer than its ttl,
// by less than two seconds.
func (m *metric) stale(now time.Time) bool {
	return m.rule.ttl > 0 && now.Unix()-int64(m.seen) > int64((m.rule.ttl+time.Second-1)/time.Second)
}

// restart forgets all samples.
func (m *metric) restart(now time.Time) {
	m.created, m.seen = now.UnixMilli(), uint32(now.Unix())
	m.buckets, m.value, m.carry, m.shift = nil, 0, 0, m.rule.shift
	if m.rule.kind == dto.MetricType_SUMMARY {
		m.rule.summaries[m] = newSummary(m.rule, now)
	}
}

// add adds to a counter, which never falls.
func (m *metric) add(v float64) {
	if m.absent() {
		return
	}
	m.touch()
	m.value += max(0, m.rule.shown(v, true))
}

func (m *metric) set(v float64) {
	if m.absent() {
		return
	}
	m.touch()
	m.value = m.rule.shown(v, true)
}

// settle sets the value to what no sample has brought: that of a set whose
// interval is over.
func (m *metric) settle(v float64) {
	if !m.absent() {
		m.value = m.rule.shown(v, true)
	}
}

// recall sets a gauge to what it had at an earlier time.
func (m *metric) recall(v float64, seen uint32) {
	if !m.absent() {
		m.value, m.seen = m.rule.shown(v, true), seen
	}
}

// atLeast raises the value to v: a set shows the last interval's members, or
// those of the running one once they are more.
func (m *metric) atLeast(v float64) {
	if m.absent() {
		return
	}
	m.touch()
	m.value = max(m.value, m.rule.shown(v, true))
}

// chunk adds a timer's values, in milliseconds unless they are plain.
func (m *metric) chunk(c *chunk, plain bool) {
	if m.absent() {
		return
	}
	m.touch()
	to := m.sink()
	if to.buckets == nil {
		to.buckets = slices.Grow(to.buckets, int(c.n+c.n/4)) // values are different mostly
	}
	c.each(func(v, weight float64) {
		n := uint64(1)
		if weight != 1 {
			n = m.times(weight)
		}
		if n > 0 {
			to.insert(m.rule.shown(v, plain), n)
		}
	})
	m.settled(to)
}

// merge adds what a shard could not hold one by one.
func (m *metric) merge(h *histogram) {
	if m.absent() {
		return
	}
	m.touch()
	to := m.sink()
	to.mergeScaled(h, m.rule.shown(1, true))
	m.settled(to)
}

// sink is where samples go: the metric's own histogram, or a summary's window.
func (m *metric) sink() *histogram {
	if s := m.rule.summaries[m]; s != nil {
		return s.window(m.rule, time.Now())
	}
	return &m.histogram
}

// settled starts a histogram anew that has more buckets than its buckets can be.
func (m *metric) settled(to *histogram) {
	if len(to.buckets) > maxBuckets {
		m.restart(time.Now())
	}
}

// family renders what all metrics of a name have in common.
func (m *metric) family(to *dto.MetricFamily) {
	set(&to.Name, mangle(m.id))
	set(&to.Help, m.rule.help)
	set(&to.Type, m.rule.kind)
}

// draw renders the metric into d, whose memory it uses.
func (m *metric) draw(d *dto.Metric, now time.Time) {
	d.Label = drawLabels(d.Label, m.id)
	switch m.rule.kind {
	case dto.MetricType_COUNTER:
		c := &d.Counter
		keep(c)
		set(&(*c).Value, m.value)
		stamp(&(*c).CreatedTimestamp, m.created)
	case dto.MetricType_HISTOGRAM:
		h := &d.Histogram
		keep(h)
		m.histogram.draw(*h)
		stamp(&(*h).CreatedTimestamp, m.created)
	case dto.MetricType_SUMMARY:
		s := &d.Summary
		keep(s)
		m.rule.summaries[m].draw(*s, m.rule, now)
		stamp(&(*s).CreatedTimestamp, m.created)
	default:
		g := &d.Gauge
		keep(g)
		set(&(*g).Value, m.value)
	}
}

// keep makes the message unless there is one.
func keep[T any](field **T) {
	if *field == nil {
		*field = new(T)
	}
}

func stamp(field **timestamppb.Timestamp, ms int64) {
	keep(field)
	(*field).Seconds, (*field).Nanos = ms/1000, int32(ms%1000)*1e6
}

// shelves hold metrics in the order of the page: by name, then labels. A shelf is
// bounded, so that one more moves a few of them only.
type shelves struct {
	all [][]*metric // none is empty
	// Names with the suffixes that claimed knows are few; while there are none of
	// one, nobody has to look for them.
	suffixed [len(suffixes)]int
}

// shelfSize is one page of memory.
const shelfSize = 512

// seek returns where the first metric is that is not before id.
func (s *shelves) seek(id string) (shelf, at int) {
	before := func(m *metric, id string) int { return compareIDs(m.id, id) }
	shelf, ok := slices.BinarySearchFunc(s.all, id, func(all []*metric, id string) int { return before(all[0], id) })
	if ok {
		return shelf, 0
	}
	if shelf > 0 {
		if at, _ := slices.BinarySearchFunc(s.all[shelf-1], id, before); at < len(s.all[shelf-1]) {
			return shelf - 1, at
		}
	}
	return shelf, 0
}

// at returns a metric, nil where there is none.
func (s *shelves) at(shelf, at int) *metric {
	switch {
	case at < 0 && shelf > 0:
		last := s.all[shelf-1]
		return last[len(last)-1]
	case at < 0 || shelf >= len(s.all):
		return nil
	}
	return s.all[shelf][at]
}

// find returns the metric with the id, and one with the same name.
func (s *shelves) find(id string) (m, namesake *metric) {
	shelf, at := s.seek(id)
	m, before := s.at(shelf, at), s.at(shelf, at-1)
	switch {
	case m != nil && compareIDs(m.id, id) == 0:
		return m, m
	case m != nil && sameName(m.id, id):
		return nil, m
	case before != nil && sameName(before.id, id):
		return nil, before
	}
	return nil, nil
}

// first returns the first metric of a name.
func (s *shelves) first(name string) *metric {
	for i, suffix := range suffixes {
		if _, ok := cutSuffix(name, suffix); ok && s.suffixed[i] == 0 {
			return nil
		}
	}
	if m := s.at(s.seek(name)); m != nil && sameName(m.id, name) {
		return m
	}
	return nil
}

// from ranges over the metrics from id on, "" for all.
func (s *shelves) from(id string) iter.Seq[*metric] {
	return func(yield func(*metric) bool) {
		shelf, at := s.seek(id)
		for ; shelf < len(s.all); shelf, at = shelf+1, 0 {
			for _, m := range s.all[shelf][at:] {
				if !yield(m) {
					return
				}
			}
		}
	}
}

func (s *shelves) insert(m *metric) {
	s.count(m, 1)
	shelf, at := s.seek(m.id)
	if at == 0 && shelf > 0 { // it goes behind the shelf before as well, and that is easier
		shelf--
		at = len(s.all[shelf])
	}
	switch {
	case len(s.all) == 0:
		s.all = append(s.all, nil)
	case len(s.all[shelf]) == shelfSize && at == shelfSize:
		shelf, at = shelf+1, 0 // keys that come in order fill their shelves
		s.all = slices.Insert(s.all, shelf, nil)
	case len(s.all[shelf]) == shelfSize:
		half := slices.Clone(s.all[shelf][shelfSize/2:])
		clear(s.all[shelf][shelfSize/2:])
		s.all[shelf] = s.all[shelf][:shelfSize/2]
		s.all = slices.Insert(s.all, shelf+1, half)
		if at > shelfSize/2 {
			shelf, at = shelf+1, at-shelfSize/2
		}
	}
	s.all[shelf] = slices.Insert(s.all[shelf], at, m)
}

func (s *shelves) remove(m *metric) {
	s.count(m, -1)
	shelf, at := s.seek(m.id)
	s.all[shelf] = slices.Delete(s.all[shelf], at, at+1)
	if len(s.all[shelf]) == 0 {
		s.all = slices.Delete(s.all, shelf, shelf+1)
	}
}

// count notes the suffix of a metric's name.
func (s *shelves) count(m *metric, by int) {
	if i := suffixOf(m.id); i >= 0 {
		s.suffixed[i] += by
	}
}

// suffixOf is which of suffixes the name has that is made of id, -1 for none.
func suffixOf(id string) int {
	bare, _ := splitKey(id)
	return slices.IndexFunc(suffixes[:], func(suffix string) bool {
		_, ok := cutSuffix(bare, suffix)
		return ok
	})
}
