package views

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// pct is a place or a length in percent.
type pct float64

// String has as many digits as a picture needs.
func (p pct) String() string { return strconv.FormatFloat(float64(p), 'f', 2, 64) + "%" }

// plot is a course of a vital against its limits. Places are percent from the left and
// from the top.
type plot struct {
	Bands          []band
	XTicks, YTicks []tick
	Lines          []segment
	Dots           []dot
	Marks          []tick // deploys
}

// band is what is good, needs improvement or is poor.
type band struct {
	rating
	Top, Height pct
}

type tick struct {
	At   pct
	Text string
}

type segment struct{ X1, Y1, X2, Y2 pct }

type dot struct {
	X, Y pct
	rating
	Text string
}

// newPlot draws what was measured; nil if nothing was.
func newPlot(v vital, points []point, deploys []deploy, w window) *plot {
	top := v.Poor * 1.3
	measured := false
	for _, p := range points {
		if x := p.P75(); !math.IsNaN(x) {
			top, measured = max(top, x*1.1), true
		}
	}
	if !measured {
		return nil
	}
	x := func(t time.Time) pct { return pct(100 * float64(t.Sub(w.Start)) / float64(w.Length)) }
	y := func(value float64) pct { return pct(100 * (1 - value/top)) }
	g := &plot{
		Bands:  []band{{poor, 0, y(v.Poor)}, {middle, y(v.Poor), y(v.Good) - y(v.Poor)}, {good, y(v.Good), 100 - y(v.Good)}},
		YTicks: []tick{{y(v.Poor), v.Format(v.Poor)}, {y(v.Good), v.Format(v.Good)}, {100, "0"}},
	}
	if top > v.Poor*1.6 { // room for one more
		g.YTicks = append(g.YTicks, tick{y(top / 1.1), v.Format(top / 1.1)})
	}
	for i := range 5 {
		at := w.Start.Add(time.Duration(i) * w.Length / 4)
		g.XTicks = append(g.XTicks, tick{x(at), clock(at, w.Length)})
	}
	for _, d := range deploys {
		if at := x(d.At); at >= 0 && at <= 100 {
			g.Marks = append(g.Marks, tick{at, d.Version + " came at " + moment(d.At)})
		}
	}
	g.draw(points, x, y)
	return g
}

// draw makes a dot of each stretch that has views, and a line from one to the next.
func (g *plot) draw(points []point, x func(time.Time) pct, y func(float64) pct) {
	connected := false
	for _, p := range points {
		value := p.P75()
		if math.IsNaN(value) {
			connected = false
			continue
		}
		d := dot{x(p.From.Add(p.To.Sub(p.From) / 2)), y(value), p.Rating(), fmt.Sprintf("%s: %s of %s views, %s", moment(p.From), p.Text(), count(p.N()), p.Rating().Text)}
		if connected {
			last := g.Dots[len(g.Dots)-1]
			g.Lines = append(g.Lines, segment{last.X, last.Y, d.X, d.Y})
		}
		g.Dots, connected = append(g.Dots, d), true
	}
}

// clock is a time on an axis.
func clock(t time.Time, length time.Duration) string {
	if length > 24*time.Hour {
		return t.Format("Mon 2")
	}
	return t.Format("15:04")
}

// moment is a time in a text.
func moment(t time.Time) string { return t.Format("2 Jan 15:04 MST") }

// bar is a bar of a table, in percent of its cell.
type bar struct {
	Class        string
	From, Length pct
}

// step is a row of a distribution.
type step struct {
	bucket
	rating
	Share float64
	Bar   bar
}

// steps are the buckets that lie between the lowest and the highest with views.
func steps(v vital, all []bucket) []step {
	total, most := 0.0, 0.0
	first, last := -1, -1
	for i, b := range all {
		total += b.N
		most = max(most, b.N)
		if b.N >= .5 {
			if first < 0 {
				first = i
			}
			last = i
		}
	}
	if first < 0 {
		return nil
	}
	var rows []step
	for _, b := range all[first : last+1] {
		r := v.rate(b.High)
		rows = append(rows, step{b, r, b.N / total, bar{r.Class, 0, pct(100 * b.N / most)}})
	}
	return rows
}

// Range says which values are in the bucket.
func (s step) Range(v vital) string {
	switch {
	case math.IsInf(s.High, 1):
		return "over " + v.Format(s.Low)
	case math.IsInf(s.Low, -1):
		return "up to " + v.Format(s.High)
	}
	whole := strings.NewReplacer(" ", "\u00a0") // a narrow screen breaks the line between the numbers, not in them
	return whole.Replace(v.Format(s.Low)) + "\u00a0– " + whole.Replace(v.Format(s.High))
}
