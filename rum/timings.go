package rum

import (
	"fmt"
	"regexp"
	"slices"
)

// timingsMetric is what pages' own scripts have timed by rum.mark and rum.measure.
var timingsMetric = Metric{"rum_user_timing_seconds", "What the pages' own scripts have timed by rum.mark and rum.measure: until a mark since the view's start, or a measure. Names that are not configured are \"other\".", []string{"page", "name", "device"}}

// maxTimings bounds how many names may be configured: each is a histogram of every page.
const maxTimings = 32

// timingName is a part of a key in Graphite.
var timingName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)

// checkTimings says what is wrong with the names for Config.Timings.
func checkTimings(names []string) error {
	if len(names) > maxTimings {
		return fmt.Errorf("%d names of timings: %d are the most", len(names), maxTimings)
	}
	for _, name := range names {
		if !timingName.MatchString(name) || name == other {
			return fmt.Errorf("timing %q: a name has at most 32 lower-case letters, digits, _ and -, and begins with a letter; %q is taken", name, other)
		}
	}
	return nil
}

// timings records what the page's own script has timed.
func (h *Handler) timings(b *Beacon, from *origin) {
	for _, t := range b.Timings {
		name := other
		if i := slices.Index(h.cfg.Timings, t.Name); i >= 0 {
			name = h.cfg.Timings[i]
		}
		o, page := h.metrics.timings.with(from.page, name, from.device)
		observe(o, t.Value/1000, from.trace)
		h.sink.Timing(from.key(page, "timing."+name), t.Value)
	}
}
