package views

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
)

// maxKept views are listed on a page's page.
const maxKept = 10

// course is what a page's page shows of Prometheus's numbers.
type course struct {
	Measure measure
	All     []measure
	Points  []point
	Plot    *plot
	Steps   []step
	Phases  []phase
	Deploys []deploy
	Compare *comparison
	Heard   heard
	Traced  []traced
	Returns returns
	Trust   confidence
}

// page shows one page: how a vital of it went, before and after a deploy, and the views
// that were slow.
func (h *Handler) page(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("page")
	if !slices.Contains(h.pages, name) {
		h.missing(w, "There is no such page.")
		return
	}
	c := choose(r.URL.Query(), name)
	win := newWindow(c.Span, h.now())
	all, problem := h.course(r.Context(), c, win, r.URL.Query().Get("deploy"))
	ofDevices, ofVitals, ofSpans := c.links()
	h.write(w, http.StatusOK, "page", fmt.Sprintf("%s: %s", name, c.Vital.Short()), struct {
		choice
		course
		Problem                error
		Devices, Vitals, Spans []link
		DeployLinks            []link
		Views                  []*view
	}{c, all, problem, ofDevices, ofVitals, ofSpans, all.links(c), h.store.slowest(c.Vital, c.among, maxKept)})
}

// course asks for all of it. What could not be asked is left out, and the error says why.
func (h *Handler) course(ctx context.Context, c choice, w window, chosen string) (all course, _ error) {
	n := h.numbers
	all.Measure = measure{vital: c.Vital}
	err := h.asked(ctx,
		func(ctx context.Context) error {
			of, err := n.measures(ctx, c.among, "", w.Length, w.Now)
			all.All = of[group{}]
			if i := slices.IndexFunc(all.All, func(m measure) bool { return m.vital == c.Vital }); i >= 0 {
				all.Measure = all.All[i]
			}
			return err
		},
		func(ctx context.Context) (err error) {
			all.Points, err = n.course(ctx, c.Vital, c.among, w)
			return err
		},
		func(ctx context.Context) error {
			buckets, err := n.distribution(ctx, c.Vital, c.among, w)
			all.Steps = steps(c.Vital, buckets)
			return err
		},
		func(ctx context.Context) (err error) {
			all.Phases, err = n.phases(ctx, c.among, w)
			return err
		},
		func(ctx context.Context) error {
			served, told, err := n.served(ctx, c.Page, w.Length, w.Now)
			all.Heard = heard{served * h.sample, told}
			return err
		},
		func(ctx context.Context) (err error) {
			all.Returns, err = n.returns(ctx, c.Page, w)
			return err
		},
		func(ctx context.Context) (err error) {
			all.Trust, err = n.confidence(ctx, c.Page, w)
			return err
		},
		func(ctx context.Context) (err error) {
			all.Traced, err = n.exemplars(ctx, c.Vital, c.among, w)
			return err
		},
		func(ctx context.Context) (err error) {
			if all.Deploys, err = n.deploys(ctx, w); err != nil || len(all.Deploys) == 0 {
				return err
			}
			i := len(all.Deploys) - 1
			if asked := slices.IndexFunc(all.Deploys, func(d deploy) bool { return d.id() == chosen }); asked >= 0 {
				i = asked
			}
			all.Compare, err = n.compare(ctx, c.among, all.Deploys, i, w)
			return err
		})
	all.Plot = newPlot(c.Vital, all.Points, all.Deploys, w)
	for i, t := range all.Traced {
		all.Traced[i].Kept = h.store.Has(t.Trace) // a link must lead somewhere
	}
	return all, err
}

// id is a deploy's in an address.
func (d deploy) id() string { return strconv.FormatInt(d.At.Unix(), 10) }

// links offer the other deploys.
func (all course) links(c choice) (links []link) {
	for _, d := range all.Deploys {
		links = append(links, link{d.Version + ", " + moment(d.At), "?" + c.query() + "&deploy=" + d.id() + "#deploys", all.Compare != nil && d == all.Compare.deploy})
	}
	return links
}

// Bar is a phase's, beside the longest of all.
func (all course) Bar(p phase) bar {
	most := 0.0
	for _, other := range all.Phases {
		most = max(most, other.P75)
	}
	if most == 0 {
		return bar{}
	}
	return bar{"info", 0, pct(100 * p.P75 / most)}
}
