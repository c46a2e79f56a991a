package metrics

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"strconv"
	"time"
)

// Moment is a time of this process's steady clock: reading it costs half of what
// time.Now does.
type Moment time.Duration

// epoch is Moment 0, an hour ago so that 0 is long past.
var epoch = time.Now().Add(-time.Hour)

// Now returns the present Moment.
func Now() Moment { return Moment(time.Since(epoch)) }

// Since returns the time from m to now.
func (m Moment) Since() time.Duration { return time.Duration(Now() - m) }

// TraceID is a W3C trace id.
type TraceID [16]byte

// NewTraceID returns the id of a traceparent header, a new one if it is "" or not
// valid. It need not be secret, only unlike others: the runtime's ChaCha8 will do.
func NewTraceID(parent string) (id TraceID) {
	if parent != "" {
		if text, ok := traceID(parent); ok {
			hex.Decode(id[:], []byte(text)) // traceID has seen that it is hex
			return id
		}
	}
	for id == (TraceID{}) { // which is no id
		binary.NativeEndian.PutUint64(id[:8], rand.Uint64())
		binary.NativeEndian.PutUint64(id[8:], rand.Uint64())
	}
	return id
}

// String is 32 lower-case hex digits.
func (id TraceID) String() string { return hex.EncodeToString(id[:]) }

// AppendServerTiming appends a Server-Timing header's value, as Ledger.ServerTiming
// does for a request that did nothing but answer.
func AppendServerTiming(b []byte, total time.Duration, id TraceID) []byte {
	b = append(b, "app;dur="...)
	b = appendMillis(b, total)
	b = append(b, `, trace;desc="`...)
	b = hex.AppendEncode(b, id[:])
	return append(b, '"')
}

// appendMillis appends d in milliseconds with three digits behind the point.
func appendMillis(b []byte, d time.Duration) []byte {
	micros := max(0, d.Round(time.Microsecond).Microseconds())
	b = append(strconv.AppendInt(b, micros/1000, 10), '.')
	rest := micros % 1000
	return append(b, byte('0'+rest/100), byte('0'+rest/10%10), byte('0'+rest%10))
}
