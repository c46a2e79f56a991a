package statsd

import (
	"bytes"
	"math"
)

// verbatim are the bytes that may be in a name; etsy's statsd has the same.
var verbatim = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
	}
	for _, c := range "_-.;=" {
		t[c] = true
	}
	return t
}()

// appendClean appends name as etsy's statsd cleans it (sanitizeKeyName): white
// space becomes one '_', '/' becomes '-', all else that is not verbatim is left out.
func appendClean(dst, name []byte) []byte {
	for i := range len(name) {
		switch c := name[i]; {
		case verbatim[c]:
			dst = append(dst, c)
		case c == '/':
			dst = append(dst, '-')
		case space(c) && (i == 0 || !space(name[i-1])):
			dst = append(dst, '_')
		}
	}
	return dst
}

func space(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// Check says what is wrong with the value of a Sample that came in on no line.
func (s *Sample) Check() Reason {
	switch {
	case !(math.Abs(s.Value) <= Max): // a NaN is not, either
		return OutOfRange
	case s.Type == Timer && s.Value < 0:
		return Negative
	}
	return OK
}

// Styles are the ways to write tags into names that are heeded. Without any, what
// they write is cleaned as any other character in a name.
type Styles struct{ InfluxDB, Librato, SignalFX bool }

// AllStyles heeds them all, as statsd_exporter does.
var AllStyles = Styles{true, true, true}

// split parts a name as sent into itself and the tags in it, tag=value,….
// SignalFX's may be in the middle: name[tag=value].more is name.more.
func (st Styles) split(name []byte) (front, back, tags []byte) {
	for i, c := range name {
		switch {
		case c == ',' && st.InfluxDB, c == '#' && st.Librato:
			return name[:i], nil, name[i+1:]
		case c == '[' && st.SignalFX:
			if n := bytes.IndexByte(name[i:], ']'); n > 0 {
				return name[:i], name[i+n+1:], name[i+1 : i+n]
			}
		}
	}
	return name, nil, nil
}

// maxTags is how many tags of a sample are kept.
const maxTags = 32

// AppendKey appends the key that s is aggregated under: its name and, in
// Graphite's way, its tags (name;tag=value;…), cleaned and in alphabetical
// order, so that their order on the wire makes no second series. A tag without
// a value is left out, as are a second one of the same name and those beyond 32.
// The Reason says why there is no key; dst is as it was then.
func (s *Sample) AppendKey(dst []byte, st Styles) ([]byte, Reason) {
	start := len(dst)
	front, back, inName := st.split(s.Name)
	dst = appendClean(appendClean(dst, front), back)
	switch n := len(dst) - start; {
	case n == 0 || dst[start] == ';':
		return dst[:start], NoName
	case n > MaxName || len(inName) > MaxTags:
		return dst[:start], LongName
	}
	if len(s.Tags) == 0 && len(inName) == 0 {
		return dst, OK
	}
	var kept tagList
	kept.add(s.Tags, ':')
	kept.add(inName, '=')
	for _, t := range kept.tags[:kept.n] {
		dst = appendTag(dst, t)
	}
	return dst, OK
}

// tag is one tag as sent.
type tag struct{ name, value []byte }

// tagList is the tags of a sample, by name.
type tagList struct {
	tags [maxTags]tag
	n    int
}

// add takes in "name:value,…", where sep stands for the ':'.
func (l *tagList) add(list []byte, sep byte) {
	var b []byte
	for rest := list; len(rest) > 0 && l.n < maxTags; {
		b, rest = cut(rest, ',')
		if i := bytes.IndexByte(b, sep); i > 0 && i < len(b)-1 {
			l.insert(tag{b[:i], b[i+1:]})
		}
	}
}

// insert puts t at its place, unless its name is there.
func (l *tagList) insert(t tag) {
	i := l.n
	for ; i > 0; i-- {
		order := bytes.Compare(l.tags[i-1].name, t.name)
		if order == 0 {
			return
		}
		if order < 0 {
			break
		}
	}
	copy(l.tags[i+1:l.n+1], l.tags[i:l.n])
	l.tags[i] = t
	l.n++
}

// appendTag appends ";name=value"; nothing if cleaning leaves one of them empty.
// In neither may a ';' or '=' stay, which would begin another tag.
func appendTag(dst []byte, t tag) []byte {
	start := len(dst)
	dst = append(dst, ';')
	dst = appendPart(dst, t.name)
	equals := len(dst)
	dst = append(dst, '=')
	dst = appendPart(dst, t.value)
	if equals == start+1 || len(dst) == equals+1 {
		return dst[:start]
	}
	return dst
}

func appendPart(dst, part []byte) []byte {
	start := len(dst)
	dst = appendClean(dst, part)
	for i := start; i < len(dst); i++ {
		if dst[i] == ';' || dst[i] == '=' {
			dst[i] = '_'
		}
	}
	return dst
}
