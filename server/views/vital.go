package views

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// vital is a web vital that the explorer knows.
type vital struct {
	Name, Title string
	Metric      string // its histogram
	// Good and Poor are the limits: a value up to and including Good is good, one above
	// Poor is poor. Seconds; CLS without unit. https://web.dev/articles/vitals
	Good, Poor float64
}

// vitals in the order in which pages show them. The first three are the Core Web Vitals.
var vitals = []vital{
	{"lcp", "Largest Contentful Paint", "rum_web_vital_lcp_seconds", 2.5, 4},
	{"inp", "Interaction to Next Paint", "rum_web_vital_inp_seconds", .2, .5},
	{"cls", "Cumulative Layout Shift", "rum_web_vital_cls", .1, .25},
	{"fcp", "First Contentful Paint", "rum_web_vital_fcp_seconds", 1.8, 3},
	{"ttfb", "Time to First Byte", "rum_web_vital_ttfb_seconds", .8, 1.8},
}

// vitalOf returns the one with the name, false if there is none.
func vitalOf(name string) (vital, bool) {
	i := slices.IndexFunc(vitals, func(v vital) bool { return v.Name == name })
	if i < 0 {
		return vital{}, false
	}
	return vitals[i], true
}

// Short is the vital's name as people write it.
func (v vital) Short() string { return strings.ToUpper(v.Name) }

// Format writes a value of it: seconds, CLS without unit; "–" for NaN.
func (v vital) Format(x float64) string {
	switch {
	case math.IsNaN(x):
		return "–"
	case v.Name == "cls":
		return fmt.Sprintf("%.2f", x)
	case x < .9995:
		return fmt.Sprintf("%.0f ms", x*1000)
	}
	return fmt.Sprintf("%.2f s", x)
}

// rate is the rating of one value.
func (v vital) rate(x float64) rating {
	switch {
	case math.IsNaN(x):
		return unrated
	case x <= v.Good:
		return good
	case x <= v.Poor:
		return middle
	}
	return poor
}

// rating is one of the three, or none. Mark says it to who sees no colours.
type rating struct{ Class, Mark, Text string }

var (
	unrated = rating{"", "", "not measured"}
	good    = rating{"ok", "✓", "good"}
	middle  = rating{"warn", "△", "needs improvement"}
	poor    = rating{"bad", "✕", "poor"}
	ratings = []rating{good, middle, poor}
)

// shares are for how many views a vital was good, needed improvement, was poor. They
// are exact, because the histograms have bucket edges at the limits.
type shares struct{ Good, Middle, Poor float64 }

// N is of how many views they are.
func (s shares) N() float64 { return s.Good + s.Middle + s.Poor }

// NotGood is for how many it was not good.
func (s shares) NotGood() float64 { return s.Middle + s.Poor }

// Share is the part of views for which it was good; NaN of none.
func (s shares) Share() float64 { return s.Good / s.N() }

// rating is that of the 75th percentile: good if three quarters of the views are.
func (s shares) rating() rating {
	switch n := s.N(); {
	case n < .5:
		return unrated
	case s.Good >= .75*n:
		return good
	case s.Good+s.Middle >= .75*n:
		return middle
	}
	return poor
}

// measure is what is known of a vital of some views.
type measure struct {
	vital
	shares
	p75 float64 // as estimated from buckets, NaN if not measured
}

// Rating is that of the 75th percentile, exact.
func (m measure) Rating() rating { return m.shares.rating() }

// P75 is the 75th percentile. The estimate may lie a few percent beside the truth; on
// which side of the limits that is, the shares know for certain.
func (m measure) P75() float64 {
	switch m.Rating() {
	case good:
		return min(m.p75, m.vital.Good)
	case middle:
		return min(max(m.p75, m.vital.Good), m.vital.Poor)
	case poor:
		return max(m.p75, m.vital.Poor)
	}
	return math.NaN()
}

// Text is the 75th percentile as pages show it.
func (m measure) Text() string { return m.Format(m.P75()) }

// percent writes a share; "–" for NaN.
func percent(share float64) string {
	if math.IsNaN(share) {
		return "–"
	}
	return fmt.Sprintf("%.0f %%", share*100)
}

// count writes how many, which increase() has estimated between scrapes.
func count(n float64) string {
	text := fmt.Sprintf("%.0f", n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
