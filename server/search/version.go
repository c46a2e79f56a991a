package search

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"addons/server/catalog"
)

// The bits of an application version as one number: four parts and what kind of
// pre-release it is. 53 together, because engines keep numbers as float64.
var versionBits = [...]int{14, 10, 10, 10}

const (
	qualifierBits = 9
	released      = 1<<qualifierBits - 1 // above every pre-release
	anyVersion    = 1<<53 - 1            // no limit
)

// encode turns an application's version such as "57.0a1" or "128.*" into a number
// that orders as the version does: 5.0a1 < 5.0b2 < 5.0 < 5.0.1 < 5.*. Parts too big
// for their bits count as the biggest. "" and what does not begin with a digit
// or * is not ok. It follows the part of the format that applications use:
// https://developer.mozilla.org/docs/Mozilla/Toolkit_version_format
func encode(version string) (n float64, ok bool) {
	if version == "" || version[0] != '*' && (version[0] < '0' || version[0] > '9') {
		return 0, false
	}
	parts := strings.Split(version, ".")
	var code int64
	qualifier := int64(released)
	for i, bits := range versionBits {
		most := int64(1)<<bits - 1
		part := "0"
		if i < len(parts) {
			part = parts[i]
		}
		if part == "*" {
			for _, rest := range versionBits[i:] {
				code = code<<rest | (1<<rest - 1)
			}
			return float64(code<<qualifierBits | released), true
		}
		number, suffix := digits(part)
		if suffix != "" && qualifier == released {
			qualifier = prerelease(suffix)
		}
		code = code<<bits | min(number, most)
	}
	return float64(code<<qualifierBits | qualifier), true
}

// digits cuts the number off the front of a part; no number is 0.
func digits(part string) (number int64, rest string) {
	i := 0
	for i < len(part) && part[i] >= '0' && part[i] <= '9' {
		i++
	}
	number, err := strconv.ParseInt(part[:i], 10, 64)
	if err != nil && i > 0 {
		number = math.MaxInt64
	}
	return number, part[i:]
}

// prerelease orders "a1" < "b2" < "pre" and others, each by its number.
func prerelease(suffix string) int64 {
	letters := strings.TrimRight(suffix, "0123456789")
	number, _ := digits(suffix[len(letters):])
	kind := int64(2)
	switch {
	case strings.HasPrefix(letters, "a"):
		kind = 0
	case strings.HasPrefix(letters, "b"):
		kind = 1
	}
	return kind<<7 | min(number, 1<<7-1)
}

// span is the range of application versions that c allows.
func span(c catalog.Compat) (low, high float64) {
	low, _ = encode(c.Min)
	high, ok := encode(c.Max)
	if !ok {
		high = anyVersion
	}
	return low, high
}

// asked is the number of the application version in a query.
func asked(version string) (float64, error) {
	n, ok := encode(version)
	if !ok {
		return 0, fmt.Errorf("%w: application version %q does not begin with a number", catalog.ErrInvalid, version)
	}
	return n, nil
}
