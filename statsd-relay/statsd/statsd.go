// Package statsd reads the statsd line protocol, etsy's and DogStatsD's:
//
//	name:value|type[|@rate][:value|type…][|#tag:value,…][|c:container][|Ttime]
//
// with the tags of DogStatsD, or in the name in the ways of InfluxDB
// (name,tag=value), Librato (name#tag=value) and SignalFX (name[tag=value]).
//
// Where implementations disagree it reads as follows. A gauge with a sign is a
// change, not a value. Values may be packed (a:1:2:3|ms) for every type but sets,
// and whole samples too (a:1|c:200|ms is two). A sample rate lies in (0, 1].
// Numbers are decimal and finite: no hex, no 1_000, no NaN. A type that is not
// known is no counter. Containers and what DogStatsD may add are passed over. What is bad harms only itself, never its neighbours in the line
// or in the datagram, and has a Reason.
//
// Reading a valid line allocates nothing.
package statsd

// Type is what a sample is of.
type Type uint8

// The types, with their letters in the protocol.
const (
	Counter   Type = iota // c
	Gauge                 // g
	Timer                 // ms: milliseconds
	Histogram             // h, d: aggregated like a timer, in the sender's own unit
	Set                   // s
)

// Types lists every Type.
func Types() []Type { return []Type{Counter, Gauge, Timer, Histogram, Set} }

// String is the type's name in metrics and on pages.
func (t Type) String() string {
	return [...]string{"counter", "gauge", "timer", "histogram", "set"}[t]
}

// Sample is one value of one key. Its slices point into the datagram or into the
// Scanner and are good until the next Scan.
type Sample struct {
	Name   []byte // as sent, tags of other dialects than DogStatsD's included; see AppendKey
	Type   Type
	Value  float64 // of all types but Set; at most Max from zero
	Change bool    // of a Gauge: Value is added to what there is
	Member []byte  // of a Set
	Rate   float64 // in (0, 1]; 1 if none was sent
	Time   int64   // when it was, in Unix seconds, for it is not to be aggregated with the present; 0 is now
	Tags   []byte  // as sent, between '#' and the next '|'; see AppendKey
}

// Max is the greatest magnitude of a value. Nothing real is larger, and sums of
// squares stay finite below it.
const Max = 1e100

// minRate keeps 1/rate countable.
const minRate = 1e-9

// MaxName is how long a name may be, in bytes. Carbon makes files of them.
const MaxName = 512

// MaxTags is how long a line's tags may be together, in bytes.
const MaxTags = 1024

// Reason says why something was not taken.
type Reason uint8

// The reasons.
const (
	OK           Reason = iota
	NoName              // nothing, or nothing that may be in a name, before the ':'
	LongName            // a name above MaxName, or tags above MaxTags
	NoValue             // no ':' in the line
	NoType              // no '|' behind the value
	BadType             // a type that is not known
	BadValue            // not a decimal number; an empty member of a set
	OutOfRange          // NaN, an infinity, or beyond Max
	Negative            // a time below zero
	BadRate             // a sample rate outside (0, 1]
	BadField            // a field that neither dialect has
	BadTime             // a timestamp that is no whole number of seconds
	LongLine            // a line longer than the stream's limit
	Event               // a DogStatsD event: no metric
	ServiceCheck        // a DogStatsD service check: no metric
	CutLine             // a stream that ended within a line, or a datagram longer than is read
)

// Reasons lists every Reason but OK.
func Reasons() []Reason {
	return []Reason{NoName, LongName, NoValue, NoType, BadType, BadValue, OutOfRange, Negative, BadRate, BadField, BadTime, LongLine, Event, ServiceCheck, CutLine}
}

// String is the reason's name in metrics and on pages.
func (r Reason) String() string {
	return [...]string{"ok", "no_name", "long_name", "no_value", "no_type", "bad_type", "bad_value",
		"out_of_range", "negative", "bad_rate", "bad_field", "bad_time", "long_line", "event", "service_check", "cut_line"}[r]
}
