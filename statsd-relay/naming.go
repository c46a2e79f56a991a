package relay

import (
	"cmp"
	"math"
	"strconv"
	"time"
)

// Naming says what series are called in Graphite, with the options of etsy's
// statsd. The zero value is its default, the legacy namespace: stats.<key> is a
// counter's rate and stats_counts.<key> its count, timers are below stats.timers,
// gauges below stats.gauges and sets below stats.sets; of the other options it
// heeds only Suffix and Self.
type Naming struct {
	Modern   modern `yaml:"legacy_namespace"` // legacyNamespace: false; <prefix>.counters.<key>.rate and .count
	Prefix   string `yaml:"global_prefix"`    // globalPrefix; "" is stats
	NoPrefix bool   `yaml:"-"`                // globalPrefix: ""
	Counter  string `yaml:"prefix_counter"`   // prefixCounter; "" is counters
	Timer    string `yaml:"prefix_timer"`     // prefixTimer; "" is timers
	Gauge    string `yaml:"prefix_gauge"`     // prefixGauge; "" is gauges
	Set      string `yaml:"prefix_set"`       // prefixSet; "" is sets
	Suffix   string `yaml:"global_suffix"`    // globalSuffix; behind every name
	Self     string `yaml:"prefix_stats"`     // prefixStats; "" is statsd: numStats and what it has of itself
}

// names are a Naming's prefixes, dots and all.
type names struct {
	rate, rateEnd   string // around a counter's key
	count, countEnd string
	timer           string
	gauge           string
	set             string
	self            string // of numStats
	selfStats       string // of the rest that is about statsd itself
	suffix          string
	selfKey         string // of its counters and gauges, which are series like others
}

func (n Naming) names() names {
	self := cmp.Or(n.Self, "statsd")
	out := names{
		rate: "stats.", count: "stats_counts.", timer: "stats.timers.", gauge: "stats.gauges.", set: "stats.sets.",
		self: self + ".", selfStats: "stats." + self + ".", selfKey: self + ".",
	}
	if n.Modern {
		prefix := cmp.Or(n.Prefix, "stats") + "."
		if n.NoPrefix {
			prefix = ""
		}
		counter := prefix + cmp.Or(n.Counter, "counters") + "."
		out = names{
			rate: counter, rateEnd: ".rate", count: counter, countEnd: ".count",
			timer: prefix + cmp.Or(n.Timer, "timers") + ".",
			gauge: prefix + cmp.Or(n.Gauge, "gauges") + ".",
			set:   prefix + cmp.Or(n.Set, "sets") + ".",
			self:  prefix + self + ".", selfStats: prefix + self + ".", selfKey: self + ".",
		}
	}
	if n.Suffix != "" {
		out.suffix = "." + n.Suffix
	}
	return out
}

// plaintext writes flushes in carbon's plaintext protocol: "path value time". Its
// memory is used for each in turn.
type plaintext struct {
	names  names
	out    []byte
	time   []byte // " time\n"
	points int
}

// render renders f. Tags stand behind the whole path, as carbon wants them.
func (w *plaintext) render(f *flush) (lines []byte, points int) {
	n := w.names
	w.out, w.points, w.time = w.out[:0], 0, lineEnd(f.at.Unix())
	seconds := f.interval.Seconds()
	for _, p := range f.counters {
		w.counter(p.key, p.value, seconds)
	}
	for _, t := range f.timers {
		for _, s := range t.stats {
			w.write(n.timer, t.key, ".", s.name, s.value)
		}
	}
	for _, p := range f.gauges {
		w.write(n.gauge, p.key, "", "", p.value)
	}
	for _, p := range f.sets {
		w.write(n.set, p.key, ".count", "", p.value)
	}
	for _, p := range f.stamped {
		w.stamped(p, seconds)
	}
	if f.last {
		w.self(f, seconds)
	}
	return w.out, w.points
}

func lineEnd(unix int64) []byte { return append(strconv.AppendInt([]byte{' '}, unix, 10), '\n') }

// stamped writes a point at its own time.
func (w *plaintext) stamped(p stampedPoint, seconds float64) {
	flushed := w.time
	w.time = lineEnd(p.at)
	if p.class == counters {
		w.counter(p.key, p.value, seconds)
	} else {
		w.write(w.names.gauge, p.key, "", "", p.value)
	}
	w.time = flushed
}

func (w *plaintext) counter(key string, value, seconds float64) {
	w.write(w.names.rate, key, w.names.rateEnd, "", value/seconds)
	w.write(w.names.count, key, w.names.countEnd, "", value)
}

// self writes what etsy's statsd sends about itself.
func (w *plaintext) self(f *flush, seconds float64) {
	n := w.names
	w.counter(n.selfKey+"bad_lines_seen", float64(f.badLines), seconds)
	w.counter(n.selfKey+"packets_received", float64(f.packets), seconds)
	w.counter(n.selfKey+"metrics_received", float64(f.lines), seconds)
	w.write(n.gauge, n.selfKey+"timestamp_lag", "", "", f.late.Seconds())
	w.write(n.self, "numStats", "", "", float64(f.series+4))
	w.write(n.selfStats, "processing_time", "", "", math.Round(float64(f.took)/float64(time.Millisecond)))
}

// write writes one point.
func (w *plaintext) write(prefix, key, end, more string, value float64) {
	name, tags := splitKey(key)
	b := append(w.out, prefix...)
	b = append(b, name...)
	b = append(b, end...)
	b = append(b, more...)
	b = append(b, w.names.suffix...)
	b = append(b, tags...)
	b = append(b, ' ')
	if math.Abs(value) < 1e21 { // as JavaScript prints them
		b = strconv.AppendFloat(b, value, 'f', -1, 64)
	} else {
		b = strconv.AppendFloat(b, value, 'g', -1, 64)
	}
	w.out = append(b, w.time...)
	w.points++
}
