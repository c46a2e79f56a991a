package statsd

import (
	"bytes"
	"math"
)

// Scanner walks over the samples of a datagram:
//
//	for sc.Reset(datagram); sc.Scan(); {
//		if sc.Bad != statsd.OK { … sc.Line … } else { … sc.Sample … }
//	}
//
// The zero Scanner is ready. It is not safe for concurrent use.
type Scanner struct {
	Sample
	Bad   Reason // OK if Sample is good
	Line  []byte // the line that Sample is in, as it was sent
	Lines int    // lines begun since Reset, the empty ones left out

	datagram []byte // what is left of it
	samples  []byte // of the line: what is left behind the sample at hand
	values   []byte // packed values left of the sample at hand
	packed   bool   // there are some, though they may be empty
	lineRate float64
	lineTime int64
}

// Reset makes s read b, which must not change until the last Scan.
func (s *Scanner) Reset(b []byte) {
	*s = Scanner{datagram: b}
}

// Scan goes to the next sample, or to the next piece that is Bad. It returns
// false at the end of the datagram.
func (s *Scanner) Scan() bool {
	s.Bad = OK
	switch {
	case s.packed:
		s.value()
		return true
	case len(s.samples) > 0:
		s.sample()
		return true
	}
	return s.line()
}

// line goes to the first sample of the next line that is not empty.
func (s *Scanner) line() bool {
	for len(s.datagram) > 0 {
		line := s.datagram
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			line, s.datagram = line[:i], line[i+1:]
		} else {
			s.datagram = nil
		}
		line = trimRight(line)
		if len(line) == 0 {
			continue
		}
		s.Lines++
		s.Line = line
		s.begin(line)
		return true
	}
	return false
}

// trimRight takes off what Windows and people at a terminal leave at a line's end.
func trimRight(b []byte) []byte {
	for len(b) > 0 && (b[len(b)-1] == '\r' || b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// begin reads a line up to its first value.
func (s *Scanner) begin(line []byte) {
	if line[0] == '_' && s.isEvent(line) {
		return
	}
	i := bytes.IndexByte(line, ':')
	switch {
	case i < 0:
		s.Bad = NoValue
		return
	case i == 0:
		s.Bad = NoName
		return
	case i > MaxName+MaxTags:
		s.Bad = LongName
		return
	}
	s.Name, s.Tags = line[:i], nil
	body := line[i+1:]
	if s.plain(body) {
		return
	}
	s.lineRate, s.lineTime = 1, 0
	if j := bytes.Index(body, []byte("|#")); j >= 0 {
		if !s.tail(body[j+2:]) {
			return
		}
		body = body[:j]
	}
	s.samples = body
	s.sample()
}

// isEvent says whether the line is one of DogStatsD's that are no metrics.
func (s *Scanner) isEvent(line []byte) bool {
	switch {
	case bytes.HasPrefix(line, []byte("_e{")):
		s.Bad = Event
	case bytes.HasPrefix(line, []byte("_sc|")):
		s.Bad = ServiceCheck
	}
	return s.Bad != OK
}

// plain reads what most lines have behind their name, one short number and a type
// without any field, and reports whether it was that: 123.45|ms. All else is left
// for the long way.
func (s *Scanner) plain(b []byte) bool {
	var mantissa uint64
	digits, point, i := 0, -1, 0
	if len(b) > 0 && b[0] == '-' {
		i = 1
	}
	for ; i < len(b); i++ {
		if c := b[i] - '0'; c <= 9 {
			mantissa = mantissa*10 + uint64(c)
			digits++
		} else if b[i] == '.' && point < 0 {
			point = digits
		} else {
			break
		}
	}
	if digits == 0 || digits > 15 || i >= len(b) || b[i] != '|' {
		return false
	}
	switch typ := b[i+1:]; {
	case len(typ) == 1 && typ[0] == 'c':
		s.Type = Counter
	case len(typ) == 2 && typ[0] == 'm' && typ[1] == 's' && b[0] != '-':
		s.Type = Timer
	case len(typ) == 1 && typ[0] == 'g' && b[0] != '-':
		s.Type = Gauge
	default:
		return false
	}
	v := float64(mantissa)
	if point >= 0 {
		v /= powers[digits-point]
	}
	if b[0] == '-' {
		v = -v
	}
	s.Value, s.Change, s.Rate, s.Time = v, false, 1, 0
	return true
}

// tail reads what follows "|#": tags, and fields that hold for all samples of
// the line. Fields that are not known are passed over, for by its tags the line
// is DogStatsD's, whose protocol grows that way.
func (s *Scanner) tail(b []byte) bool {
	var field []byte
	s.Tags, b = cut(b, '|')
	if len(s.Tags) > MaxTags {
		s.Bad = LongName
		return false
	}
	for len(b) > 0 {
		field, b = cut(b, '|')
		switch {
		case len(field) == 0:
		case field[0] == '@':
			if s.lineRate = rate(field[1:]); s.lineRate == 0 {
				s.Bad = BadRate
				return false
			}
		case field[0] == 'T':
			if s.lineTime = unixTime(field[1:]); s.lineTime == 0 {
				s.Bad = BadTime
				return false
			}
		}
	}
	return true
}

// cut splits b around the first sep; without one, all of it is before.
func cut(b []byte, sep byte) (before, after []byte) {
	if i := bytes.IndexByte(b, sep); i >= 0 {
		return b[:i], b[i+1:]
	}
	return b, nil
}

// sample reads "values|type" and its fields, and the first of the values.
func (s *Scanner) sample() {
	i := bytes.IndexByte(s.samples, '|')
	if i < 0 {
		s.Bad, s.samples = NoType, nil
		return
	}
	values, rest := s.samples[:i], s.samples[i+1:]
	end := fieldEnd(rest)
	known := s.setType(rest[:end])
	s.Rate, s.Time = s.lineRate, s.lineTime
	for end < len(rest) && rest[end] == '|' {
		rest = rest[end+1:]
		end = s.field(rest)
	}
	s.samples = nil
	if end < len(rest) { // a ':', and another sample behind it
		s.samples = rest[end+1:]
	}
	switch {
	case !known:
		s.Bad = BadType
	case s.Bad != OK:
	case s.Type == Set:
		s.Member, s.Value, s.Change = values, 0, false // nothing stays of the sample before
		if len(values) == 0 {
			s.Bad = BadValue
		}
	default:
		s.values, s.packed = values, true
		s.value()
	}
}

// fieldEnd is where a type or a field ends: at the next field or sample.
func fieldEnd(b []byte) int {
	for i, c := range b {
		if c == '|' || c == ':' {
			return i
		}
	}
	return len(b)
}

// field reads one field behind the type and returns where it ends. Container,
// external data and cardinality may hold a ':', which then begins no sample.
func (s *Scanner) field(b []byte) (end int) {
	switch {
	case bytes.HasPrefix(b, []byte("c:")), bytes.HasPrefix(b, []byte("e:")), bytes.HasPrefix(b, []byte("card:")):
		if end = bytes.IndexByte(b, '|'); end < 0 {
			end = len(b)
		}
		return end
	}
	end = fieldEnd(b)
	switch {
	case end > 0 && b[0] == '@':
		if s.Rate = rate(b[1:end]); s.Rate == 0 {
			s.Bad = BadRate
		}
	case end > 0 && b[0] == 'T':
		if s.Time = unixTime(b[1:end]); s.Time == 0 {
			s.Bad = BadTime
		}
	default:
		s.Bad = BadField
	}
	return end
}

// value reads the next of the packed values.
func (s *Scanner) value() {
	var b []byte
	i := bytes.IndexByte(s.values, ':')
	if s.packed = i >= 0; s.packed {
		b, s.values = s.values[:i], s.values[i+1:]
	} else {
		b = s.values
	}
	s.Value, s.Bad = number(b)
	s.Change = s.Bad == OK && s.Type == Gauge && (b[0] == '+' || b[0] == '-')
	if s.Bad == OK && s.Type == Timer && s.Value < 0 {
		s.Bad = Negative
	}
}

// setType sets the Type from its letters, and reports whether they are known.
func (s *Scanner) setType(b []byte) bool {
	switch {
	case len(b) == 1:
		switch b[0] {
		case 'c':
			s.Type = Counter
		case 'g':
			s.Type = Gauge
		case 's':
			s.Type = Set
		case 'h', 'd':
			s.Type = Histogram
		default:
			return false
		}
	case len(b) == 2 && b[0] == 'm' && b[1] == 's':
		s.Type = Timer
	default:
		return false
	}
	return true
}

// unixTime reads whole seconds since 1970, 0 if it is none. What is beyond the year
// 2106 does not fit into Graphite's files.
func unixTime(b []byte) int64 {
	v, bad := number(b)
	if bad != OK || v < 1 || v > math.MaxUint32 || v != math.Trunc(v) {
		return 0
	}
	return int64(v)
}

// rate reads a sample rate, 0 if it is none.
func rate(b []byte) float64 {
	r, bad := number(b)
	if bad != OK || r < minRate || r > 1 {
		return 0
	}
	return r
}
