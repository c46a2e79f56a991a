// Package gmetric writes the messages of Ganglia's gmond, version 3.1 and later,
// as its own program gmetric sends them: for each metric a description, now and
// then, and values. A message is a datagram. Nothing that is put in makes a
// message that gmond can't read, but one longer than MaxMessage it cuts.
package gmetric

import (
	"encoding/binary"
	"strconv"
)

// MaxMessage is how many bytes of a datagram gmond reads: max_udp_msg_len of its
// default configuration.
const MaxMessage = 1472

// Type is how gmond and what reads from it understand a value.
type Type string

// The types that are of use here, of those that gmond knows.
const (
	Double Type = "double"
	Uint32 Type = "uint32"
)

// slopeBoth says that a value may rise and fall.
const slopeBoth = 3

// Messages' formats, from gm_protocol.x of libganglia. Values are sent as text,
// whatever their type, as gmetric does: then gmond keeps every digit.
const (
	formatMeta   = 128
	formatString = 133
)

// Metric is what gmond knows of a metric.
type Metric struct {
	Host  string // that it is of, for the record; with Spoof "address:name", which gmond believes
	Spoof bool   // the metric is not of the host that sends it
	Name  string
	Type  Type
	Units string
	TMax  uint32 // seconds within which a value is to be expected
	DMax  uint32 // seconds without a value after which gmond forgets it; 0 is never
	Group string // what it is listed under; "" is none
	Title string // "" is Name
}

// AppendMeta appends the description. gmond wants it before the first value, and
// again after it was restarted.
func (m *Metric) AppendMeta(dst []byte) []byte {
	dst = m.appendID(dst, formatMeta)
	dst = appendString(dst, string(m.Type))
	dst = appendString(dst, m.Name)
	dst = appendString(dst, m.Units)
	dst = appendUint(dst, slopeBoth)
	dst = appendUint(dst, m.TMax)
	dst = appendUint(dst, m.DMax)
	count := len(dst)
	dst = appendUint(dst, 0)
	if m.Spoof {
		dst = appendExtra(dst, count, "SPOOF_HOST", m.Host)
	}
	dst = appendExtra(dst, count, "GROUP", m.Group)
	return appendExtra(dst, count, "TITLE", m.Title)
}

// AppendValue appends a value.
func (m *Metric) AppendValue(dst []byte, value float64) []byte {
	dst = m.appendID(dst, formatString)
	dst = appendString(dst, "%s")
	length := len(dst)
	dst = appendUint(dst, 0)
	if m.Type == Uint32 {
		dst = strconv.AppendUint(dst, uint64(uint32(min(max(value, 0), 1<<32-1))), 10)
	} else {
		dst = strconv.AppendFloat(dst, value, 'f', -1, 64)
	}
	n := len(dst) - length - 4
	binary.BigEndian.PutUint32(dst[length:], uint32(n))
	return pad(dst, n)
}

// appendID appends what every message begins with.
func (m *Metric) appendID(dst []byte, format uint32) []byte {
	dst = appendUint(dst, format)
	dst = appendString(dst, m.Host)
	dst = appendString(dst, m.Name)
	if m.Spoof {
		return appendUint(dst, 1)
	}
	return appendUint(dst, 0)
}

// appendExtra appends a named text, unless it is empty, and adds it to the number
// that stands at count.
func appendExtra(dst []byte, count int, name, text string) []byte {
	if text == "" {
		return dst
	}
	binary.BigEndian.PutUint32(dst[count:], binary.BigEndian.Uint32(dst[count:])+1)
	return appendString(appendString(dst, name), text)
}

// appendUint and appendString write XDR: RFC 4506.
func appendUint(dst []byte, n uint32) []byte { return binary.BigEndian.AppendUint32(dst, n) }

func appendString(dst []byte, s string) []byte {
	dst = appendUint(dst, uint32(len(s)))
	return pad(append(dst, s...), len(s))
}

// pad fills up to a multiple of four bytes what was n bytes long.
func pad(dst []byte, n int) []byte { return append(dst, "\x00\x00\x00"[:(4-n%4)%4]...) }
