package relay

import (
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// exposition is what Prometheus gets of the statsd lines. Keys become names as
// statsd_exporter makes them: view.addons.detail is view_addons_detail; tags
// become labels. Counters go on counting over flushes; timers are histograms in
// seconds; a set is a gauge of how many members the last interval had.
//
// A name belongs to the type that had it first, with all the names that its
// samples and OpenMetrics make of it, so that no key can break the page.
type exposition struct {
	families map[string]*family
	claims   map[string]*family // every name that is taken
	refused  int                // series without a metric
}

// family is one metric name.
type family struct {
	name    string
	class   class
	metrics map[string]*metric // by labels
}

// metric is one series of Prometheus. Two keys that make the same name share it.
// A nil metric takes what it is given and forgets it.
type metric struct {
	family  *family
	id      string
	keys    int // of statsd that share it
	labels  []*dto.LabelPair
	created time.Time
	value   float64
	times   *histogram
}

func newExposition() *exposition {
	return &exposition{families: map[string]*family{}, claims: map[string]*family{}}
}

// kinds and helps are what each class becomes.
var (
	kinds = [classes]dto.MetricType{dto.MetricType_COUNTER, dto.MetricType_GAUGE, dto.MetricType_HISTOGRAM, dto.MetricType_GAUGE}
	helps = [classes]string{"Statsd counter.", "Statsd gauge.", "Statsd timer.", "Members of a statsd set in the last flush."}
)

// enter returns the metric for a key, nil if its name is another type's.
func (e *exposition) enter(key string, c class, plain bool) *metric {
	name, tags := splitKey(key)
	name = mangle(name)
	f, ok := e.families[name]
	if !ok {
		f = e.claim(name, c)
	}
	if f == nil || f.class != c {
		e.refused++
		return nil
	}
	labels := labelPairs(tags)
	id := labelID(labels)
	m, ok := f.metrics[id]
	if !ok {
		m = &metric{family: f, id: id, labels: labels, created: time.Now()}
		if c == timers {
			m.times = newHistogram(plain)
		}
		f.metrics[id] = m
	}
	m.keys++
	return m
}

// claim makes a family, unless one of its names is taken.
func (e *exposition) claim(name string, c class) *family {
	names := claimed(name, kinds[c])
	if slices.ContainsFunc(names, func(n string) bool { return e.claims[n] != nil }) {
		return nil
	}
	f := &family{name: name, class: c, metrics: map[string]*metric{}}
	e.families[name] = f
	for _, n := range names {
		e.claims[n] = f
	}
	return f
}

// claimed lists the names that a metric takes: its own, those of its samples, and
// for a counter that without _total, which is its family's in OpenMetrics.
func claimed(name string, kind dto.MetricType) []string {
	switch kind {
	case dto.MetricType_COUNTER:
		return []string{name, strings.TrimSuffix(name, "_total")}
	case dto.MetricType_HISTOGRAM:
		return []string{name, name + "_bucket", name + "_sum", name + "_count"}
	case dto.MetricType_SUMMARY:
		return []string{name, name + "_sum", name + "_count"}
	}
	return []string{name}
}

// leave gives up one key's share of m.
func (e *exposition) leave(m *metric) {
	if m == nil {
		e.refused--
		return
	}
	if m.keys--; m.keys > 0 {
		return
	}
	f := m.family
	if delete(f.metrics, m.id); len(f.metrics) > 0 {
		return
	}
	delete(e.families, f.name)
	for _, n := range claimed(f.name, kinds[f.class]) {
		delete(e.claims, n)
	}
}

func (m *metric) add(v float64) {
	if m != nil {
		m.value += v
	}
}

func (m *metric) set(v float64) {
	if m != nil {
		m.value = v
	}
}

// atLeast raises the value to v: a set shows the last interval's members, or
// those of the running one once they are more.
func (m *metric) atLeast(v float64) {
	if m != nil {
		m.value = max(m.value, v)
	}
}

// observe adds the times of a cell.
func (m *metric) observe(c *cell) {
	if m == nil {
		return
	}
	if c.spilled != nil {
		m.times.merge(c.spilled)
	}
	c.times.each(m.times.observe)
}

// gather renders everything, but for names that are in reserved; it returns how
// many series those have.
func (e *exposition) gather(reserved map[string]bool) (all []*dto.MetricFamily, hidden int) {
	for _, f := range e.families {
		if slices.ContainsFunc(claimed(f.name, kinds[f.class]), func(n string) bool { return reserved[n] }) {
			hidden += len(f.metrics)
			continue
		}
		all = append(all, f.proto())
	}
	return all, hidden
}

func (f *family) proto() *dto.MetricFamily {
	p := &dto.MetricFamily{Name: &f.name, Help: proto.String(helps[f.class]), Type: kinds[f.class].Enum()}
	for _, id := range sortedKeys(f.metrics) {
		p.Metric = append(p.Metric, f.metrics[id].proto())
	}
	return p
}

func (m *metric) proto() *dto.Metric {
	p := &dto.Metric{Label: m.labels}
	switch m.family.class {
	case counters:
		p.Counter = &dto.Counter{Value: proto.Float64(m.value), CreatedTimestamp: timestamppb.New(m.created)}
	case timers:
		p.Histogram = m.times.proto()
		p.Histogram.CreatedTimestamp = timestamppb.New(m.created)
	default:
		p.Gauge = &dto.Gauge{Value: proto.Float64(m.value)}
	}
	return p
}

// gather brings everything up to date and renders it, by name.
func (r *Relay) gather() ([]*dto.MetricFamily, error) {
	r.agg.mu.Lock()
	defer r.agg.mu.Unlock()
	r.countDrops()
	r.agg.merge()
	own, err := prometheus.Gatherer(r.self.registry.Prometheus()).Gather()
	reserved := map[string]bool{}
	for _, f := range own {
		for _, n := range claimed(f.GetName(), f.GetType()) {
			reserved[n] = true
		}
	}
	all, hidden := r.agg.prom.gather(reserved)
	r.self.reserved.Set(float64(hidden))
	all = append(all, own...)
	slices.SortFunc(all, func(a, b *dto.MetricFamily) int { return strings.Compare(a.GetName(), b.GetName()) })
	return all, err
}

// mangle makes a Prometheus name of a key as statsd_exporter does
// (pkg/mapper/escape.go): all but letters, digits and '_' becomes '_', a run of
// dashes one, and one goes before a leading digit.
func mangle(key string) string {
	b := make([]byte, 0, len(key)+1)
	if key[0] >= '0' && key[0] <= '9' {
		b = append(b, '_')
	}
	for i := range len(key) {
		switch c := key[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_':
			b = append(b, c)
		case c == '-' && i > 0 && key[i-1] == '-':
		default:
			b = append(b, '_')
		}
	}
	return string(b)
}

// labelPairs makes labels of ";name=value;…". Names that Prometheus keeps for itself
// are set apart; of two equal ones the first is kept, and a part that is no tag
// is left out.
func labelPairs(tags string) []*dto.LabelPair {
	var pairs []*dto.LabelPair
	for tag := range strings.SplitSeq(tags, ";") {
		name, value, _ := strings.Cut(tag, "=")
		if name == "" || value == "" {
			continue
		}
		name = mangle(name)
		if strings.HasPrefix(name, "__") || name == "le" || name == "quantile" {
			name = "tag_" + strings.TrimLeft(name, "_")
		}
		if !slices.ContainsFunc(pairs, func(p *dto.LabelPair) bool { return p.GetName() == name }) {
			pairs = append(pairs, &dto.LabelPair{Name: &name, Value: &value})
		}
	}
	slices.SortFunc(pairs, func(a, b *dto.LabelPair) int { return strings.Compare(a.GetName(), b.GetName()) })
	return pairs
}

func labelID(labels []*dto.LabelPair) string {
	var b strings.Builder
	for _, l := range labels {
		b.WriteString(l.GetName() + "\xff" + l.GetValue() + "\xff")
	}
	return b.String()
}
