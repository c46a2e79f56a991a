package views

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
)

// number is milliseconds for people: below ten with a tenth.
func number(ms float64) string {
	if ms < 9.95 {
		return strconv.FormatFloat(ms, 'f', 1, 64)
	}
	return strconv.FormatFloat(ms, 'f', 0, 64)
}

// shown is a vital of a view as the pages show it.
type shown struct {
	Rating rating
	Text   string
}

// shownOf shows a vital of a view; "–" if it was not measured.
func shownOf(v *view, name string) shown {
	value, ok := v.Vital(name)
	of, known := vitalOf(name)
	if !ok || !known {
		return shown{unrated, "–"}
	}
	if name != "cls" {
		value /= 1000 // a view has milliseconds
	}
	return shown{of.rate(value), of.Format(value)}
}

// show shows one view: its waterfall, and what its request cost. nil is one that is not kept.
func (h *Handler) show(w http.ResponseWriter, v *view) {
	if v == nil {
		h.missing(w, fmt.Sprintf("This page view is not kept, or not any more: each process keeps the last %d of people, and %d of programs, of those that were told to it.", kept, keptPrograms))
		return
	}
	works := slices.Clone(v.Request.Works)
	slices.SortStableFunc(works, func(a, b work) int { return cmp.Compare(b.Total, a.Total) })
	h.write(w, http.StatusOK, "view", fmt.Sprintf("A view of %s", v.Page), struct {
		View       *view
		Why        string
		Stages     []stage
		Works      []work
		Breakdowns []breakdown
	}{v, v.why(), v.waterfall(), works, v.breakdowns()})
}
