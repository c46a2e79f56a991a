package dashboards

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// canvas is the side of the square that lines are drawn on; the page stretches
// it to the panel, lines keep their width, and texts stand outside it.
const canvas = 1000

// maxSeries of one chart: more cannot be told apart.
const maxSeries = 24

// series is one line: a value for each step of the window, NaN where there is none.
type series struct {
	Name   string
	Values []float64
	Class  string // of its colour
	Unit   string
	Field  Field
}

// last is the newest value, NaN if there is none.
func (s series) last() float64 {
	for i := len(s.Values) - 1; i >= 0; i-- {
		if !math.IsNaN(s.Values[i]) {
			return s.Values[i]
		}
	}
	return math.NaN()
}

func (s series) empty() bool { return math.IsNaN(s.last()) }

// chart is a panel of lines, ready for the template. Positions are percent from
// the left or from the top.
type chart struct {
	Label      string // what a reader who cannot see it is told
	YTicks     []tick
	XTicks     []tick
	Lines      []line
	Thresholds []line
	Legend     []entry
	More       int // series left out
	Scale      axes
}

// axes let the script read the values under the pointer back from the lines.
type axes struct {
	Low, High  float64
	Factor     float64 // of the unit
	Suffix     string
	Stacked    bool
	Start, End int64   // Unix time in milliseconds
	Step       float64 // on the canvas
	Zone       int     // seconds east of Greenwich
}

type tick struct {
	At    float64
	Label string
}

// Canvas is the tick's place among the lines.
func (t tick) Canvas() float64 { return t.At * canvas / 100 }

type line struct{ Name, Class, Path, Area string }

type entry struct{ Name, Class, Last, Peak string }

func newChart(p *Panel, all []series, w window, loc *time.Location) *chart {
	c := &chart{}
	if len(all) > maxSeries {
		c.More = len(all) - maxSeries
		slices.SortStableFunc(all, func(a, b series) int { return cmp.Compare(peak(b.Values), peak(a.Values)) })
		all = all[:maxSeries]
	}
	field := p.FieldConfig.Defaults
	stacked := field.Custom.Stacking.Mode == "normal"
	bases := stack(all, stacked)
	lo, hi := extent(all, bases, field)
	marks := ticks(lo, hi, 4, field.Unit)
	lo, hi = marks[0], marks[len(marks)-1]

	scale := scaleFor(field.Unit, math.Max(math.Abs(lo), math.Abs(hi)))
	for _, m := range marks {
		label := "0"
		if m != 0 {
			label = number(m/scale.factor, nil) + scale.suffix
		}
		c.YTicks = append(c.YTicks, tick{100 * (hi - m) / (hi - lo), label})
	}
	c.XTicks = timeTicks(w, loc)
	_, zone := w.End.In(loc).Zone()
	c.Scale = axes{lo, hi, scale.factor, scale.suffix, stacked, w.Start.UnixMilli(), w.End.UnixMilli(), canvas * float64(w.Step) / float64(w.Length), zone}
	y := func(v float64) float64 { return canvas * (hi - v) / (hi - lo) }
	for i, s := range all {
		l := line{Name: s.Name, Class: s.Class}
		l.Path, l.Area = paths(s.Values, bases[i], y, stacked || field.Custom.FillOpacity > 0)
		c.Lines = append(c.Lines, l)
		c.Legend = append(c.Legend, entry{s.Name, s.Class, format(s.last(), s.Unit, field.Decimals), format(peak(s.Values), s.Unit, field.Decimals)})
	}
	if mode := field.Custom.ThresholdsStyle.Mode; mode == "line" || mode == "dashed" {
		c.Thresholds = thresholdLines(field, lo, hi, y)
	}
	c.Label = describe(p, c.Legend, w, loc)
	return c
}

// stack returns what each series stands upon; nil for the ground.
func stack(all []series, stacked bool) [][]float64 {
	bases := make([][]float64, len(all))
	if !stacked {
		return bases
	}
	var sum []float64
	for i, s := range all {
		if sum == nil {
			sum = make([]float64, len(s.Values))
		}
		bases[i] = append([]float64(nil), sum...)
		for j, v := range s.Values {
			if !math.IsNaN(v) {
				sum[j] += v
			}
		}
	}
	return bases
}

// extent is the range of values to be shown: the ground is zero unless the
// panel or a negative value says otherwise.
func extent(all []series, bases [][]float64, f Field) (lo, hi float64) {
	for i, s := range all {
		for j, v := range s.Values {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				continue
			}
			if bases[i] != nil {
				v += bases[i][j]
			}
			lo, hi = min(lo, v), max(hi, v)
		}
	}
	if f.Min != nil {
		lo = *f.Min
	}
	if f.Max != nil {
		hi = *f.Max
	}
	if hi <= lo {
		// Nothing but zeros: a scale that says so, in the unit's own size.
		hi = lo + 1
		if f.Unit == "percentunit" {
			hi = lo + .01
		}
	}
	return lo, hi
}

func peak(values []float64) float64 {
	top := math.NaN()
	for _, v := range values {
		if !math.IsNaN(v) && !(v <= top) {
			top = v
		}
	}
	return top
}

// paths draws a line and, if filled, the area below it. A gap stays a gap; a
// point alone is a dot, for the line's ends are round.
func paths(values, base []float64, y func(float64) float64, filled bool) (path, area string) {
	var p, a strings.Builder
	at := func(j int) (x, top, bottom float64) {
		x = canvas * float64(j) / float64(max(len(values)-1, 1))
		b := 0.0
		if base != nil {
			b = base[j]
		}
		return x, y(values[j] + b), y(b)
	}
	for from := 0; from < len(values); from++ {
		if missing(values[from]) {
			continue
		}
		to := from
		for to+1 < len(values) && !missing(values[to+1]) {
			to++
		}
		for j := from; j <= to; j++ {
			x, top, _ := at(j)
			fmt.Fprintf(&p, "%s%.1f %.1f", command(j == from), x, top)
			if filled {
				fmt.Fprintf(&a, "%s%.1f %.1f", command(j == from), x, top)
			}
		}
		if from == to {
			p.WriteString("h0")
		}
		if filled {
			for j := to; j >= from; j-- {
				x, _, bottom := at(j)
				fmt.Fprintf(&a, "L%.1f %.1f", x, bottom)
			}
			a.WriteString("Z")
		}
		from = to
	}
	return p.String(), a.String()
}

func missing(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }

func command(first bool) string {
	if first {
		return "M"
	}
	return "L"
}

func thresholdLines(f Field, lo, hi float64, y func(float64) float64) []line {
	var lines []line
	for _, s := range f.Thresholds.Steps {
		if s.Value != nil && *s.Value >= lo && *s.Value <= hi {
			lines = append(lines, line{Name: "threshold " + format(*s.Value, f.Unit, nil), Class: colorClass(s.Color), Path: fmt.Sprintf("M0 %.1fH%d", y(*s.Value), canvas)})
		}
	}
	return lines
}

// clock are the distances of marks on the time axis.
var clock = []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 48 * time.Hour}

// timeTicks are at most seven round times of day.
func timeTicks(w window, loc *time.Location) []tick {
	every := clock[len(clock)-1]
	for _, d := range clock {
		if w.Length/d <= 6 {
			every = d
			break
		}
	}
	layout := "15:04"
	if w.Length > 24*time.Hour {
		layout = "Mon 2"
	}
	_, offset := w.End.In(loc).Zone()
	shift := time.Duration(offset) * time.Second // Truncate counts from midnight UTC
	var out []tick
	for t := w.Start.Add(shift).Truncate(every).Add(-shift); !t.After(w.End); t = t.Add(every) {
		if at := 100 * float64(t.Sub(w.Start)) / float64(w.Length); at >= 0 {
			out = append(out, tick{at, t.In(loc).Format(layout)})
		}
	}
	return out
}

// describe says in words what the lines show.
func describe(p *Panel, legend []entry, w window, loc *time.Location) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s from %s to %s.", p.Title, w.Start.In(loc).Format("2 Jan 15:04"), w.End.In(loc).Format("2 Jan 15:04"))
	for _, e := range legend {
		fmt.Fprintf(&b, " %s: last %s, highest %s.", e.Name, e.Last, e.Peak)
	}
	return b.String()
}

// palette is how many colours the stylesheet has for lines.
const palette = 10

// colorClass is the class of one of Grafana's colour names: the hue alone, for
// "dark-red" and "semi-dark-red" are the theme's business.
func colorClass(name string) string {
	hue := name[strings.LastIndexByte(name, '-')+1:]
	switch hue {
	case "red", "orange", "yellow", "green", "blue", "purple":
		return "is-" + hue
	}
	return "is-text"
}

// levelClass is the class of the threshold that a value has reached.
func levelClass(f Field, v float64) string {
	class := "is-text"
	for _, s := range f.Thresholds.Steps {
		if s.Value == nil || v >= *s.Value {
			class = colorClass(s.Color)
		}
	}
	return class
}
