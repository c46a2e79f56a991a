package statsd

import (
	"bytes"
	"math"
	"strconv"
	"unsafe"
)

// powers are those of ten that a float64 holds exactly.
var powers = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// number reads a decimal number. Up to 15 digits, which are exact in a float64,
// one division rounds as correctly as strconv does; the rest is left to strconv.
func number(b []byte) (float64, Reason) {
	digits, point, exponent := 0, -1, false
	var mantissa uint64
	for i, c := range b {
		switch {
		case c >= '0' && c <= '9':
			digits++
			mantissa = mantissa*10 + uint64(c-'0') // wraps only where strconv takes over
		case (c == '-' || c == '+') && i == 0:
		case c == '.' && point < 0:
			point = digits
		case (c == 'e' || c == 'E') && digits > 0:
			exponent = true
		default:
			return 0, notNumber(b)
		}
		if exponent {
			break
		}
	}
	switch {
	case digits == 0:
		return 0, notNumber(b)
	case exponent || digits > 15:
		return slowNumber(b)
	}
	v := float64(mantissa)
	if point >= 0 {
		v /= powers[digits-point]
	}
	if b[0] == '-' {
		v = -v
	}
	return v, OK
}

// slowNumber reads what has an exponent or many digits. strconv would also take
// 0x1p4, 1_000 and Inf: the bytes are looked at first.
func slowNumber(b []byte) (float64, Reason) {
	for _, c := range b {
		if (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
			return 0, BadValue
		}
	}
	v, err := strconv.ParseFloat(unsafe.String(&b[0], len(b)), 64) // it keeps no reference: errors clone
	switch {
	case math.Abs(v) > Max: // with the infinity that strconv returns for a number too large
		return 0, OutOfRange
	case err != nil:
		return 0, BadValue
	}
	return v, OK
}

// notNumber tells the infinities and NaN, spelled out, from junk.
func notNumber(b []byte) Reason {
	b = bytes.TrimLeft(b, "+-")
	for _, word := range [...]string{"nan", "inf", "infinity"} {
		if len(b) == len(word) && bytes.EqualFold(b, []byte(word)) {
			return OutOfRange
		}
	}
	return BadValue
}
