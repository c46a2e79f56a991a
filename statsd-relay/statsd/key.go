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

// cleaned returns name as it may be in a key: itself if it is clean, else a copy
// in the Scanner.
func (s *Scanner) cleaned(name []byte) []byte {
	for _, c := range name {
		if !verbatim[c] {
			s.clean = appendClean(s.clean[:0], name)
			return s.clean
		}
	}
	return name
}

// appendClean appends name as etsy's statsd cleans it (sanitizeKeyName): white
// space becomes one '_', '/' becomes '-', all else that is not verbatim is left out.
func appendClean[T string | []byte](dst []byte, name T) []byte {
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

// AppendName appends name, cleaned: for values that came in on no line. The
// Reason says what is wrong with it.
func AppendName(dst []byte, name string) ([]byte, Reason) {
	start := len(dst)
	dst = appendClean(dst, name)
	switch n := len(dst) - start; {
	case n == 0 || dst[start] == ';':
		return dst[:start], NoName
	case n > MaxName:
		return dst[:start], LongName
	}
	return dst, OK
}

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

// maxTags is how many tags of a sample are kept.
const maxTags = 32

// AppendKey appends the key that s is aggregated under: its name and, in
// Graphite's way, its tags (name;tag=value;…), cleaned and in alphabetical
// order, so that their order on the wire makes no second series. A tag without
// a value is left out, as are a second one of the same name and those beyond 32.
func (s *Sample) AppendKey(dst []byte) []byte {
	dst = append(dst, s.Name...)
	if len(s.Tags) == 0 {
		return dst
	}
	var kept [maxTags][]byte
	n := 0
	var tag []byte
	for rest := s.Tags; len(rest) > 0 && n < maxTags; {
		tag, rest = cut(rest, ',')
		if i := bytes.IndexByte(tag, ':'); i > 0 && i < len(tag)-1 {
			n = insert(&kept, n, tag)
		}
	}
	for _, tag := range kept[:n] {
		dst = appendTag(dst, tag)
	}
	return dst
}

// insert puts tag at its place among the n in order, unless its name is there.
func insert(kept *[maxTags][]byte, n int, tag []byte) int {
	name, _ := cut(tag, ':')
	i := n
	for i > 0 {
		other, _ := cut(kept[i-1], ':')
		order := bytes.Compare(other, name)
		if order == 0 {
			return n
		}
		if order < 0 {
			break
		}
		i--
	}
	copy(kept[i+1:n+1], kept[i:n])
	kept[i] = tag
	return n + 1
}

// appendTag appends ";name=value"; nothing if cleaning leaves one of them empty.
// In neither may a ';' or '=' stay, which would begin another tag.
func appendTag(dst, tag []byte) []byte {
	start := len(dst)
	name, value := cut(tag, ':')
	dst = append(dst, ';')
	dst = appendPart(dst, name)
	equals := len(dst)
	dst = append(dst, '=')
	dst = appendPart(dst, value)
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
