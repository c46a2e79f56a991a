package catalog

import (
	"cmp"
	"math"
	"strings"
)

// Compare orders two version numbers as Firefox does: negative if a is older than
// b, 0 if they mean the same ("1" and "1.0"), positive if a is newer. It takes any
// string; the order is total, so it may be sorted by.
//
// A version is a list of parts between dots, a missing part being "0". A part is
// <number><string><number><string>, all of them optional: numbers compare as
// numbers, strings byte by byte, and no string is newer than any ("1.0pre" before
// "1.0"). "*" is newer than every number, "1+" means "2pre", numbers may be
// negative, and a number beyond 32 bits counts as 0.
// https://searchfox.org/mozilla-central/source/xpcom/base/nsVersionComparator.cpp
func Compare(a, b string) int {
	for a != "" || b != "" {
		var x, y part
		x, a = parsePart(a)
		y, b = parsePart(b)
		if c := x.compare(y); c != 0 {
			return c
		}
	}
	return 0
}

// infinity is the number that "*" stands for.
const infinity = math.MaxInt32

// part is what stands between two dots of a version number.
type part struct {
	major  int32
	prefix suffix // the string between the numbers
	minor  int32
	rest   suffix
}

// suffix is a string of a part. None and the empty string differ: "1-1" has an
// empty string between its numbers, which is older than "1" with none.
type suffix struct {
	text  string
	given bool
}

func (x part) compare(y part) int {
	return cmp.Or(
		cmp.Compare(x.major, y.major),
		x.prefix.compare(y.prefix),
		cmp.Compare(x.minor, y.minor),
		x.rest.compare(y.rest),
	)
}

func (s suffix) compare(t suffix) int {
	switch {
	case s.given && t.given:
		return strings.Compare(s.text, t.text)
	case s.given:
		return -1
	case t.given:
		return 1
	}
	return 0
}

// parsePart reads the first part of version and returns what follows its dot.
func parsePart(version string) (p part, following string) {
	text, following, _ := strings.Cut(version, ".")
	if text == "*" {
		p.major = infinity
		return p, following
	}
	p.major, text = leadingNumber(text)
	switch {
	case text == "":
		return p, following
	case text[0] == '+':
		p.prefix = suffix{"pre", true}
		// Saturated: the original overflows here, which C++ leaves undefined.
		p.major = min(p.major, infinity-1) + 1
		return p, following
	}
	digits := strings.IndexAny(text, "0123456789+-")
	if digits < 0 {
		p.prefix = suffix{text, true}
		return p, following
	}
	p.prefix = suffix{text[:digits], true}
	p.minor, text = leadingNumber(text[digits:])
	p.rest = suffix{text, text != ""}
	return p, following
}

// leadingNumber reads white space, a sign and digits, as C's strtol does. Without
// digits it is 0 and nothing is read; out of 32 bits it is 0.
func leadingNumber(s string) (n int32, rest string) {
	digits := strings.TrimLeft(s, " \t\n\v\f\r")
	negative := strings.HasPrefix(digits, "-")
	if negative || strings.HasPrefix(digits, "+") {
		digits = digits[1:]
	}
	var value int64
	i := 0
	for ; i < len(digits) && digits[i] >= '0' && digits[i] <= '9'; i++ {
		value = min(value*10+int64(digits[i]-'0'), math.MaxInt32+2)
	}
	if i == 0 {
		return 0, s
	}
	if negative {
		value = -value
	}
	if value > math.MaxInt32 || value < math.MinInt32 {
		value = 0
	}
	return int32(value), digits[i:]
}

// VersionKey returns a text that sorts, byte by byte or by any collation that
// knows digits and the letters a–f, as Compare sorts versions: equal for versions
// that mean the same. Engines that can't call Compare (an index, a database) store
// it beside the version; caches use it as the one name of equal versions.
//
// Each part that isn't zero is preceded by how many zero parts stand before it, and
// the end of the version counts as zeros for ever. So a part older than zero, which
// makes the version older than its end, comes after the marks 0–6 (more zeros:
// newer), the end is 7, and a part newer than zero comes after f–9 (more zeros: older).
func VersionKey(version string) string {
	key := make([]byte, 0, 32)
	zeros := 0
	for version != "" {
		var p part
		p, version = parsePart(version)
		switch c := p.compare(part{}); {
		case c == 0:
			zeros++
			continue
		case c < 0:
			digits := hexDigits(min(zeros, maxZeros))
			key = append(append(key, byte('0'+len(digits))), digits...)
		default:
			digits := hexDigits(min(zeros, maxZeros))
			key = append(append(key, hex[15-len(digits)]), complement(digits)...)
		}
		key = p.appendKey(key)
		zeros = 0
	}
	return string(append(key, '7'))
}

const hex = "0123456789abcdef"

// maxZeros is the longest run of zero parts that a key tells apart: six hex
// digits. Longer ones, in versions of 32 MB, count as this.
const maxZeros = 0xffffff

func (p part) appendKey(key []byte) []byte {
	key = appendNumber(key, p.major)
	key = p.prefix.appendKey(key)
	if !p.prefix.given {
		return key // then there is nothing after it
	}
	return p.rest.appendKey(appendNumber(key, p.minor))
}

// appendNumber writes 1–9 (how many digits follow) before a number from 0 up, and
// 0, then the count's and the digits' complement, before a negative one.
func appendNumber(key []byte, n int32) []byte {
	if n >= 0 {
		digits := hexDigits(int(n))
		return append(append(key, byte('1'+len(digits))), digits...)
	}
	digits := hexDigits(-int(n))
	return append(append(key, '0', byte('8'-len(digits))), complement(digits)...)
}

// appendKey writes f for no string, which is newer than any; else each byte after
// a 1, and a 0 at the end.
func (s suffix) appendKey(key []byte) []byte {
	if !s.given {
		return append(key, 'f')
	}
	for i := range len(s.text) {
		key = append(key, '1', hex[s.text[i]>>4], hex[s.text[i]&15])
	}
	return append(key, '0')
}

// hexDigits writes n ≥ 0 without leading zeros; nothing for 0.
func hexDigits(n int) []byte {
	var b [8]byte
	i := len(b)
	for ; n > 0 && i > 0; n >>= 4 {
		i--
		b[i] = hex[n&15]
	}
	return b[i:]
}

// complement turns the order of equally long digits around.
func complement(digits []byte) []byte {
	turned := make([]byte, len(digits))
	for i, d := range digits {
		turned[i] = hex[15-strings.IndexByte(hex, d)]
	}
	return turned
}
