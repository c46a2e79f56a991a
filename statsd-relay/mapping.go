package relay

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/statsd_exporter/pkg/mapper"

	"addons/server/metrics"
)

// Prometheus says how statsd lines are shown on /metrics.
type Prometheus struct {
	// Mapping is a file in the format of statsd_exporter v0.31 that says what name
	// and labels keys get; "" is none. A timer that it does not call a summary, or
	// give summary_options, is a histogram.
	Mapping string `yaml:"mapping"`
	// Histograms is which buckets they have: "classic", "native", or "both", which "" is.
	Histograms string `yaml:"histograms"`
	// Buckets are the classic buckets of timers, upper bounds in seconds; none are
	// OpenTelemetry's for HTTP. Those of a mapping come first.
	Buckets []float64 `yaml:"buckets"`
	// NativeFactor is by how much a native bucket may be wider than the one before;
	// 0 is 1.1.
	NativeFactor float64 `yaml:"native_factor"`
	// NativeBuckets is how many of them a series has before they are made twice as
	// wide; 0 is 160.
	NativeBuckets int `yaml:"native_buckets"`
	// TTL is how long a series is shown after its last sample, unless its mapping
	// says so; 0 is for as long as the relay has it: Config.Expire, which is the
	// longest in any case.
	TTL time.Duration `yaml:"ttl"`

	rules *rules
}

// maxMapping is how many bytes a mapping file may have.
const maxMapping = 8 << 20

// withDefaults fills what is left zero, reads the mapping file, and refuses what
// can't be done.
func (p Prometheus) withDefaults() (Prometheus, error) {
	p.Histograms = cmp.Or(p.Histograms, "both")
	p.NativeFactor = cmp.Or(p.NativeFactor, 1.1)
	p.NativeBuckets = cmp.Or(p.NativeBuckets, 160)
	if len(p.Buckets) == 0 {
		p.Buckets = metrics.DurationBuckets
	}
	own := mapper.HistogramOptions{Buckets: p.Buckets, NativeHistogramBucketFactor: p.NativeFactor, NativeHistogramMaxBuckets: uint32(min(max(0, p.NativeBuckets), math.MaxUint32))}
	switch {
	case !slices.Contains([]string{"both", "classic", "native"}, p.Histograms):
		return p, fmt.Errorf(`statsd-relay: prometheus.histograms %q: it is "both", "classic" or "native"`, p.Histograms)
	case p.NativeBuckets < 0 || p.TTL < 0:
		return p, errors.New("statsd-relay: prometheus: native_buckets and ttl can't be negative")
	}
	if err := checkHistogram(&own); err != nil {
		return p, fmt.Errorf("statsd-relay: prometheus: %w", err)
	}
	p.rules = &rules{cfg: p, known: map[ruleKey]*rule{}}
	if p.Mapping == "" {
		return p, nil
	}
	var err error
	if p.rules.mapper, err = readMapping(p.Mapping); err != nil {
		return p, fmt.Errorf("statsd-relay: prometheus.mapping %s: %w", p.Mapping, err)
	}
	return p, nil
}

// readMapping reads a mapping file.
func readMapping(path string) (*mapper.MetricMapper, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxMapping+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxMapping {
		return nil, fmt.Errorf("it is larger than %d bytes", maxMapping)
	}
	m := &mapper.MetricMapper{}
	if err := m.InitFromYAMLString(string(b)); err != nil {
		return nil, err
	}
	return m, checkMapper(m)
}

// checkMapper refuses what the mapper takes and no series can be made of.
func checkMapper(m *mapper.MetricMapper) error {
	d := &m.Defaults
	if err := errors.Join(checkHistogram(&d.HistogramOptions), checkSummary(&d.SummaryOptions), checkTTL(d.Ttl)); err != nil {
		return fmt.Errorf("defaults: %w", err)
	}
	for i := range m.Mappings {
		mm := &m.Mappings[i]
		if err := errors.Join(checkHistogram(mm.HistogramOptions), checkSummary(mm.SummaryOptions), checkTTL(mm.Ttl)); err != nil {
			return fmt.Errorf("mapping %d, match %q: %w", i+1, mm.Match, err)
		}
	}
	return nil
}

func checkTTL(ttl time.Duration) error {
	if ttl < 0 {
		return fmt.Errorf("ttl %v: it can't be negative", ttl)
	}
	return nil
}

// checkHistogram drops a last bucket of +Inf, which every histogram has.
func checkHistogram(o *mapper.HistogramOptions) error {
	if o == nil {
		return nil
	}
	if n := len(o.Buckets); n > 0 && math.IsInf(o.Buckets[n-1], 1) {
		o.Buckets = o.Buckets[:n-1]
	}
	for i, b := range o.Buckets {
		if math.IsNaN(b) || math.IsInf(b, 0) || i > 0 && b <= o.Buckets[i-1] {
			return fmt.Errorf("buckets %v: each is a number greater than the one before", o.Buckets)
		}
	}
	switch f := o.NativeHistogramBucketFactor; {
	case len(o.Buckets) > maxBounds:
		return fmt.Errorf("%d buckets: %d are the most", len(o.Buckets), maxBounds)
	case f != 0 && !(f >= 1 && f <= 65536):
		return fmt.Errorf("native bucket factor %v: it lies between 1, which is no native buckets, and 65536", f)
	case o.NativeHistogramMaxBuckets > maxNatives:
		return fmt.Errorf("%d native buckets: %d are the most", o.NativeHistogramMaxBuckets, maxNatives)
	}
	return nil
}

// checkSummary bounds what a summary may ask for.
func checkSummary(o *mapper.SummaryOptions) error {
	if o == nil {
		return nil
	}
	for _, q := range o.Quantiles {
		if !(q.Quantile >= 0 && q.Quantile <= 1) {
			return fmt.Errorf("quantile %v: it lies between 0 and 1", q.Quantile)
		}
	}
	switch {
	case o.MaxAge < 0:
		return fmt.Errorf("max_age %v: it can't be negative", o.MaxAge)
	case o.AgeBuckets > maxWindows:
		return fmt.Errorf("%d age_buckets: %d are the most", o.AgeBuckets, maxWindows)
	}
	return nil
}

// rules say what becomes of keys. They are asked once for each new key.
type rules struct {
	cfg    Prometheus
	mapper *mapper.MetricMapper // nil is none
	known  map[ruleKey]*rule
}

// rule is how a series is shown. Many share one; only summaries is changed later.
type rule struct {
	class class
	kind  dto.MetricType
	help  string
	ttl   time.Duration

	plain  bool // observe takes plain numbers, not milliseconds
	scaled bool
	scale  float64

	bounds []float64 // the classic buckets' upper bounds, without infinity
	native bool
	shift  uint8 // halvings of finest
	max    int   // of native buckets

	quantiles []float64
	age       time.Duration // of one of a summary's windows
	windows   int
	summaries map[*metric]*summary
}

// ruleKey is what a rule is made of.
type ruleKey struct {
	class     class
	plain     bool
	help      string
	scale     mapper.MaybeFloat64
	ttl       time.Duration
	observer  mapper.ObserverType
	histogram *mapper.HistogramOptions
	summary   *mapper.SummaryOptions
}

// mapped is what the mapper calls each class.
var mapped = [classes]mapper.MetricType{mapper.MetricTypeCounter, mapper.MetricTypeGauge, mapper.MetricTypeObserver, mapper.MetricTypeGauge}

// kinds and helps are what each class becomes.
var (
	kinds = [classes]dto.MetricType{dto.MetricType_COUNTER, dto.MetricType_GAUGE, dto.MetricType_HISTOGRAM, dto.MetricType_GAUGE}
	helps = [classes]string{"Statsd counter.", "Statsd gauge.", "Statsd timer.", "Members of a statsd set in the last flush."}
)

// spilled is the rule of what a shard can't hold one by one: as fine as a
// summary, and finer than a histogram will mostly be.
func spilled(plain bool, bounds []float64) rule {
	return rule{class: timers, plain: plain, bounds: bounds, native: true, shift: sketched.shift, max: sketched.max}
}

var (
	spilledTimes = spilled(false, metrics.DurationBuckets)
	spilledPlain = spilled(true, plainBuckets)
)

// resolve returns the id and the rule of a key's metric, no rule if a mapping
// drops it or leaves it without a name.
func (s *rules) resolve(key string, c class, plain bool) (id string, r *rule) {
	bare, tags := splitKey(key)
	labels := tagLabels(tags)
	if s.mapper == nil {
		return s.unmapped(bare, labels, c, plain)
	}
	m, values, ok := s.mapper.GetMapping(bare, mapped[c])
	switch {
	case !ok:
		return s.unmapped(bare, labels, c, plain)
	case m.Action == mapper.ActionTypeDrop || m.Name == "":
		return "", nil
	}
	var own []label
	for _, name := range sortedKeys(values) {
		own = append(own, label{labelName(name), values[name]})
	}
	if m.HonorLabels {
		labels = append(labels, own...)
	} else {
		labels = append(own, labels...)
	}
	return identify(mangle(m.Name), labels), s.rule(ruleKey{
		class: c, plain: plain, help: m.HelpText, scale: m.Scale, ttl: cmp.Or(m.Ttl, s.cfg.TTL),
		observer: m.ObserverType, histogram: m.HistogramOptions, summary: m.SummaryOptions,
	})
}

// unmapped is for keys that no mapping matches.
func (s *rules) unmapped(bare string, labels []label, c class, plain bool) (string, *rule) {
	k := ruleKey{class: c, plain: plain, ttl: s.cfg.TTL}
	if s.mapper != nil {
		k.ttl = cmp.Or(s.mapper.Defaults.Ttl, k.ttl)
		k.observer = s.mapper.Defaults.ObserverType
	}
	return identify(bare, labels), s.rule(k)
}

// rule returns the rule that k asks for.
func (s *rules) rule(k ruleKey) *rule {
	if k.class != timers { // of one rule, then, whatever a mapping says
		k.plain, k.observer, k.histogram, k.summary = false, "", nil, nil
	}
	if r := s.known[k]; r != nil {
		return r
	}
	r := &rule{
		class: k.class, kind: kinds[k.class], help: cmp.Or(k.help, helps[k.class]), ttl: k.ttl, plain: k.plain,
		scaled: k.scale.Set && k.scale.Val != 1, scale: k.scale.Val,
	}
	switch {
	case k.class != timers:
	case k.observer == mapper.ObserverTypeSummary, k.observer == "" && k.summary != nil:
		s.summary(r, k.summary)
	default:
		s.histogram(r, k)
	}
	s.known[k] = r
	return r
}

// histogram completes a rule. What the file itself says comes first; then, for a
// timer that it calls a histogram, statsd_exporter's defaults; then our own.
func (s *rules) histogram(r *rule, k ruleKey) {
	o := mapper.HistogramOptions{Buckets: s.cfg.Buckets, NativeHistogramBucketFactor: s.cfg.NativeFactor, NativeHistogramMaxBuckets: uint32(s.cfg.NativeBuckets)}
	if k.plain {
		o.Buckets = plainBuckets
	}
	if s.mapper != nil {
		d := s.mapper.Defaults.HistogramOptions
		if k.observer == mapper.ObserverTypeHistogram {
			o = d
		} else if !slices.Equal(d.Buckets, prometheus.DefBuckets) { // which no file has to say
			o.Buckets = d.Buckets
		}
	}
	if k.histogram != nil {
		if len(k.histogram.Buckets) > 0 {
			o.Buckets = k.histogram.Buckets
		}
		o.NativeHistogramBucketFactor = cmp.Or(k.histogram.NativeHistogramBucketFactor, o.NativeHistogramBucketFactor)
		o.NativeHistogramMaxBuckets = cmp.Or(k.histogram.NativeHistogramMaxBuckets, o.NativeHistogramMaxBuckets)
	}
	r.native = s.cfg.Histograms != "classic" && o.NativeHistogramBucketFactor > 1
	if s.cfg.Histograms != "native" {
		r.bounds = o.Buckets
	}
	if r.native {
		r.shift = shiftOf(o.NativeHistogramBucketFactor)
	}
	r.max = int(o.NativeHistogramMaxBuckets)
}

// shiftOf is how often finest is halved for buckets that are wider than those
// before by factor at most.
func shiftOf(factor float64) uint8 {
	schema := -math.Floor(math.Log2(math.Log2(factor)))
	return uint8(finest - min(max(schema, finest-coarsest), finest))
}

// summary completes a rule.
func (s *rules) summary(r *rule, o *mapper.SummaryOptions) {
	d := s.mapper.Defaults.SummaryOptions
	if o == nil {
		o = &d
	}
	r.kind = dto.MetricType_SUMMARY
	quantiles := o.Quantiles
	if len(quantiles) == 0 {
		quantiles = d.Quantiles
	}
	for _, q := range quantiles {
		r.quantiles = append(r.quantiles, q.Quantile)
	}
	slices.Sort(r.quantiles)
	r.quantiles = slices.Compact(r.quantiles)
	r.windows = int(cmp.Or(o.AgeBuckets, d.AgeBuckets, prometheus.DefAgeBuckets))
	r.age = max(cmp.Or(o.MaxAge, d.MaxAge, prometheus.DefMaxAge)/time.Duration(r.windows), time.Millisecond)
	r.summaries = map[*metric]*summary{}
}

// alike is whether metrics of both rules may have one name.
func (r *rule) alike(o *rule) bool { return r.class == o.class && r.kind == o.kind }

// shown is a value as it is shown: in seconds, unless it is plain, and scaled.
func (r *rule) shown(v float64, plain bool) float64 {
	if !plain {
		v /= 1000
	}
	if r.scaled {
		v *= r.scale
	}
	return v
}

// sameShape is whether the samples of one can go on as the other's.
func (r *rule) sameShape(o *rule) bool {
	return r.alike(o) && r.scaled == o.scaled && r.scale == o.scale &&
		slices.Equal(r.bounds, o.bounds) && r.native == o.native && r.max == o.max && r.shift == o.shift &&
		slices.Equal(r.quantiles, o.quantiles) && r.age == o.age && r.windows == o.windows
}

// remap enters every series anew. Those that get the same name, labels and buckets
// go on counting, others begin; those that have a metric are first, so that they
// keep their names.
func (a *aggregator) remap(r *rules) {
	var shown, others []*series
	for c := range a.series {
		for s := range a.series[c].all() {
			if s.metric.absent() {
				others = append(others, s)
			} else {
				shown = append(shown, s)
			}
		}
	}
	a.prom = newExposition(r)
	for _, s := range append(shown, others...) {
		old := s.metric
		s.metric = a.prom.enter(s.key, s.class, s.plain)
		s.adopt(old)
	}
}

// adopt has a metric that was just made go on with what old has counted. A gauge has its
// value under another name too.
func (s *series) adopt(old *metric) {
	m := s.metric
	if m.absent() || m.keys > 1 {
		return
	}
	if s.class == gauges {
		m.recall(s.value, s.seen)
	}
	m.goOn(old)
}

// goOn takes over what old has counted, if it is the same series.
func (m *metric) goOn(old *metric) {
	if m.absent() || old.absent() || compareIDs(m.id, old.id) != 0 || !m.rule.sameShape(old.rule) {
		return
	}
	m.buckets, m.value, m.carry, m.shift = old.buckets, old.value, old.carry, old.shift
	m.created, m.seen = old.created, old.seen
	if s := old.rule.summaries[old]; s != nil {
		m.rule.summaries[m] = s
	}
}
