package views

import (
	"slices"
	"strings"

	"addons/rum"
)

// timers are the Server-Timing entries of the response that time a part of the request:
// not the whole, nor what only describes.
func (v *view) timers() []rum.ServerTiming {
	return slices.DeleteFunc(slices.Clone(v.ServerTiming), func(t rum.ServerTiming) bool { return t.Name == "app" || t.Duration == 0 })
}

// breakdown is what a vital of a view is made of.
type breakdown struct {
	Vital vital
	Parts []stage // one after the other
	Facts []fact
}

// fact is what was painted, touched or moved; Text is a client's.
type fact struct{ Name, Text string }

// breakdowns are those of the vitals that tell.
func (v *view) breakdowns() (all []breakdown) {
	a := v.Attribution
	if p := a.LCP; p != nil {
		all = append(all, newBreakdown("lcp",
			[]part{{"until the first byte", p.TTFB}, {"until the element's resource was asked for", p.LoadDelay}, {"loading it", p.LoadDuration}, {"until it was painted", p.RenderDelay}},
			fact{"painted", p.Target}))
	}
	if p := a.INP; p != nil {
		all = append(all, newBreakdown("inp",
			[]part{{"until a handler ran", p.InputDelay}, {"handlers", p.Processing}, {"until the next frame", p.Presentation}},
			fact{"event", p.Event}, fact{"on", p.Target}, fact{"longest script", p.Script}))
	}
	if p := a.CLS; p != nil {
		cls, _ := vitalOf("cls")
		all = append(all, newBreakdown("cls", nil,
			fact{"largest shift", cls.Format(p.Value)}, fact{"after", number(p.Time) + " ms"}, fact{"moved", p.Target}))
	}
	if p := a.TTFB; p != nil {
		all = append(all, newBreakdown("ttfb",
			[]part{{"redirects, and leaving the page before", p.Waiting}, {"service worker and cache", p.Cache}, {"DNS", p.DNS}, {"connecting", p.Connection}, {"request", p.Request}}))
	}
	return all
}

// part is a piece of time, in milliseconds.
type part struct {
	name   string
	length float64
}

func newBreakdown(name string, parts []part, facts ...fact) breakdown {
	b := breakdown{Facts: slices.DeleteFunc(facts, func(f fact) bool { return f.Text == "" })}
	b.Vital, _ = vitalOf(name)
	at := 0.0
	for _, p := range parts {
		b.Parts = append(b.Parts, stage{Name: p.name, Start: at, End: at + p.length, Kind: "info"})
		at += p.length
	}
	b.Parts = drawn(b.Parts)
	return b
}

// longest is the part that took most, false if there are none.
func (b breakdown) longest() (most stage, ok bool) {
	for _, s := range b.Parts {
		if s.Length() > most.Length() {
			most, ok = s, true
		}
	}
	return most, ok
}

// about says what was painted, touched or moved, in a clause; "" if it is not known.
func (b breakdown) about() string {
	var words []string
	for _, f := range b.Facts {
		words = append(words, f.Name+" "+f.Text)
	}
	if len(words) == 0 {
		return ""
	}
	return " (" + strings.Join(words, ", ") + ")"
}
