package dashboards

import (
	"math"
	"strconv"
)

// scale turns a value into a number and the unit written after it.
type scale struct {
	factor float64
	suffix string
}

// unit is one of Grafana's ids that the viewer writes, with its scales from the
// smallest up; the first serves everything below the second, and so on.
type unit []scale

var units = map[string]unit{
	"none":        {{1, ""}},
	"short":       {{1, ""}, {1e3, "k"}, {1e6, "M"}, {1e9, "G"}},
	"s":           {{1e-6, " µs"}, {1e-3, " ms"}, {1, " s"}, {60, " min"}, {3600, " h"}, {86400, " d"}},
	"ms":          {{1e-3, " µs"}, {1, " ms"}, {1e3, " s"}, {60e3, " min"}},
	"percentunit": {{.01, " %"}},
	"percent":     {{1, " %"}},
	"reqps":       {{1, " req/s"}, {1e3, "k req/s"}},
	"ops":         {{1, " op/s"}, {1e3, "k op/s"}, {1e6, "M op/s"}},
	"bytes":       {{1, " B"}, {1 << 10, " KiB"}, {1 << 20, " MiB"}, {1 << 30, " GiB"}},
}

// KnowsUnit says whether the viewer writes values of a unit, by Grafana's id.
func KnowsUnit(id string) bool { return units[id] != nil }

// scaleFor is the scale in which a value of that size reads best.
func scaleFor(id string, size float64) scale {
	u, ok := units[id]
	if !ok {
		u = units["short"]
	}
	best := u[0]
	for _, s := range u {
		if size >= s.factor {
			best = s
		}
	}
	if size == 0 && id == "s" {
		return scale{1, " s"} // not 0 µs
	}
	return best
}

// format writes a value with its unit: three significant digits, or decimals
// after the point.
func format(v float64, unit string, decimals *int) string {
	if missing(v) {
		return number(v, nil)
	}
	s := scaleFor(unit, math.Abs(v))
	return number(v/s.factor, decimals) + s.suffix
}

func number(v float64, decimals *int) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case math.IsInf(v, 1):
		return "∞"
	case math.IsInf(v, -1):
		return "−∞"
	case decimals != nil:
		return strconv.FormatFloat(v, 'f', *decimals, 64)
	case math.Abs(v) < 1e-9: // as an estimate within the lowest bucket of a native histogram
		return "0"
	case math.Abs(v) >= 100:
		return strconv.FormatFloat(math.Round(v), 'f', -1, 64)
	}
	digits, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 3, 64), 64)
	if err != nil {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	return strconv.FormatFloat(digits, 'f', -1, 64)
}

// ticks are round values that span lo to hi, about n of them; both ends are
// covered. Seconds beyond a minute and bytes are not decimal.
func ticks(lo, hi float64, n int, unit string) []float64 {
	if !(hi > lo) {
		hi = lo + 1
	}
	base := scaleFor(unit, math.Max(math.Abs(lo), math.Abs(hi))).factor
	lo, hi = lo/base, hi/base
	raw := (hi - lo) / float64(n)
	power := math.Pow(10, math.Floor(math.Log10(raw)))
	step := 10 * power
	for _, m := range []float64{1, 2, 2.5, 5} {
		if raw <= m*power*1.0001 {
			step = m * power
			break
		}
	}
	var out []float64
	for i := math.Floor(lo/step + 1e-9); ; i++ {
		out = append(out, i*step*base)
		if i*step >= hi*(1-1e-9) {
			return out
		}
	}
}
