package views

import (
	"cmp"
	"context"
	"net/http"
	"slices"
)

// maxRows of the front page: a page on a class of device each.
const maxRows = 100

// row is a page on a class of device.
type row struct {
	group
	Measures []measure // of the vitals that the front page shows
	Views    float64
	Worst    measure // the vital that was not good for most views
	URL      string  // of the page, with the worst vital in front
	Slowest  *view   // that is kept; nil if none is
}

// shown says whether the front page has a column for a vital: first paint is but a part
// of what LCP tells.
func (v vital) shown() bool { return v.Name != "fcp" }

// front is where "why is it slow" begins: the worst page first.
func (h *Handler) front(w http.ResponseWriter, r *http.Request) {
	c := choose(r.URL.Query(), "")
	now := h.now()
	var measured map[group][]measure
	var served, told float64
	problem := h.asked(r.Context(),
		func(ctx context.Context) (err error) {
			measured, err = h.numbers.measures(ctx, c.among, "page, device", c.Span.Length, now)
			return err
		},
		func(ctx context.Context) (err error) {
			served, told, err = h.numbers.served(ctx, "", c.Span.Length, now)
			return err
		})
	ofDevices, _, ofSpans := c.links()
	h.write(w, http.StatusOK, "front", "Page views", struct {
		choice
		Problem        error
		Devices, Spans []link
		Vitals         []vital
		Rows           []row
		Heard          heard
		Views          []*view
		Programs       int // whose views are kept, when those of people are shown
	}{c, problem, ofDevices, ofSpans, shownVitals(), h.rows(c, measured), heard{served * h.sample, told}, first(h.store.newest(among{Device: c.Device}), 10), h.store.programsBeside(c.Device)})
}

func first[T any](all []T, n int) []T { return all[:min(len(all), n)] }

func shownVitals() (all []vital) {
	for _, v := range vitals {
		if v.shown() {
			all = append(all, v)
		}
	}
	return all
}

// rows are ordered by how many views the worst vital was not good for, so that traffic
// and slowness both count.
func (h *Handler) rows(c choice, measured map[group][]measure) (rows []row) {
	for g, all := range measured {
		one := row{group: g}
		for _, m := range all {
			one.Views = max(one.Views, m.N())
			if !m.shown() {
				continue
			}
			one.Measures = append(one.Measures, m)
			if m.NotGood() > one.Worst.NotGood() || one.Worst.Name == "" {
				one.Worst = m
			}
		}
		if one.Views < .5 || !slices.Contains(h.pages, g.Page) {
			continue
		}
		to := c
		to.among, to.Vital = among(g), one.Worst.vital
		one.URL = h.console.Base() + "page/" + g.Page + "?" + to.query()
		if kept := h.store.slowest(one.Worst.vital, among(g), 1); len(kept) > 0 {
			one.Slowest = kept[0]
		}
		rows = append(rows, one)
	}
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(b.Worst.NotGood(), a.Worst.NotGood()), cmp.Compare(b.Views, a.Views), cmp.Compare(a.Page, b.Page), cmp.Compare(a.Device, b.Device))
	})
	return first(rows, maxRows)
}

// heard is how many views told of themselves, of those that should have.
type heard struct{ Of, Told float64 }

// Any says whether there is something to tell.
func (h heard) Any() bool { return h.Of >= .5 }

// All says whether as good as all told. There may seem to be more: of the two counters, one is
// asked of another process, at another moment.
func (h heard) All() bool { return h.Share() >= .995 }

// Share is told of all.
func (h heard) Share() float64 { return min(h.Told/h.Of, 1) }
