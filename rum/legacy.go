package rum

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The sets of keys in Graphite that other servers have made of beacons, so that
// dashboards of theirs go on.
const (
	// DjangoKeys are window.performance.*, of django-statsd (django_statsd/views.py).
	DjangoKeys = "django-statsd"
	// BoomcatchKeys are rt.* and navtiming.*, of boomcatch (its doc/mappers/statsd.md).
	BoomcatchKeys = "boomcatch"
	// NoKeys are none.
	NoKeys = "none"
)

// legacyKeys brings a beacon's times to the keys of another server.
type legacyKeys func(*Beacon, Sink)

// legacyOf are those that cfg names.
func legacyOf(cfg Config) (all []legacyKeys) {
	if cfg.Keys == nil || slices.Contains(cfg.Keys, DjangoKeys) {
		all = append(all, (*Beacon).DjangoKeys)
	}
	if slices.Contains(cfg.Keys, BoomcatchKeys) {
		prefix := cfg.BoomcatchPrefix
		if prefix != "" {
			prefix = strings.TrimSuffix(prefix, ".") + "."
		}
		all = append(all, func(b *Beacon, to Sink) { b.BoomcatchKeys(prefix, to) })
	}
	return all
}

func checkKeys(names []string, prefix string) error {
	for _, n := range names {
		if n != DjangoKeys && n != BoomcatchKeys && (n != NoKeys || len(names) > 1) {
			return fmt.Errorf("keys %q: there are %s and %s, or %s alone", names, DjangoKeys, BoomcatchKeys, NoKeys)
		}
	}
	if prefix != "" && !slices.Contains(names, BoomcatchKeys) {
		return errors.New("a prefix for boomcatch's keys, without the keys")
	}
	if strings.ContainsAny(prefix, " :|@\n/") {
		return fmt.Errorf("prefix %q: it is the first part of keys, as web.shop", prefix)
	}
	return nil
}

// Level1 is what Navigation Timing Level 1 has and Level 2 has not, or rum.js does not
// send; and times that boomerang counts itself. Milliseconds, those of Navigation Timing
// from the start of the navigation; 0 is not told.
type Level1 struct {
	DOMLoading, UnloadStart, UnloadEnd float64
	Response, Page, Done               float64 // boomerang's t_resp, t_page and t_done
}

// told says whether a time since the start of the navigation is there and can be true.
func (b *Beacon) told(at float64) bool {
	return at > 0 && at <= maxAbsolute && !b.Doubtful && b.Nav.untrue(at) == ""
}

// span is the time from start to end; false if there is no end, or it cannot be true.
func (b *Beacon) span(start, end float64) (ms float64, ok bool) {
	p := phase{start: start, end: end, most: maxPhase}
	return end - start, end > 0 && p.invalid(end-start, b.Nav.Now) == ""
}

// DjangoKeys sends a navigation's times to the keys that django-statsd has for them.
// Those that need domLoading, which Level 2 no longer has, come of older clients alone.
func (b *Beacon) DjangoKeys(to Sink) {
	n := b.Nav
	if n == nil {
		return
	}
	for _, t := range [...]struct {
		key string
		at  float64
	}{
		{"window.performance.timing.responseStart", n.ResponseStart},
		{"window.performance.timing.domLoading", b.Level1.DOMLoading},
		{"window.performance.timing.domInteractive", n.DOMInteractive},
		{"window.performance.timing.domComplete", n.DOMComplete},
		{"window.performance.timing.loadEventEnd", n.LoadEventEnd},
		{"window.performance.calculated.network", n.ResponseStart},
	} {
		if b.told(t.at) {
			to.Timing(t.key, t.at)
		}
	}
	for _, t := range [...]struct {
		key        string
		start, end float64
	}{
		{"window.performance.calculated.app", n.ResponseStart, b.Level1.DOMLoading},
		{"window.performance.calculated.dom", b.Level1.DOMLoading, n.DOMComplete},
		{"window.performance.calculated.rendering", n.DOMComplete, n.LoadEventEnd},
	} {
		if ms, ok := b.span(t.start, t.end); ok && t.start > 0 {
			to.Timing(t.key, ms)
		}
	}
	to.Count("window.performance.navigation.type."+NavigationType(n.Type), 1)
}

// BoomcatchKeys sends a navigation's times to the keys that boomcatch has for them, behind
// prefix. As boomcatch it sends no zero; unlike it, it does without what boomerang leaves
// out for being zero, as it does since 1.0 (springernature/boomcatch#99, #111). rt.* are of boomerang's own beacons.
func (b *Beacon) BoomcatchKeys(prefix string, to Sink) {
	n, old := b.Nav, &b.Level1
	if n == nil {
		return
	}
	last := 0.0
	if old.Response > 0 && old.Page > 0 {
		last = old.Response + old.Page
	}
	for _, t := range [...]struct {
		key string
		at  float64
	}{{"rt.firstbyte", old.Response}, {"rt.lastbyte", last}, {"rt.load", old.Done}} {
		if b.told(t.at) {
			to.Timing(prefix+t.key, t.at)
		}
	}
	for _, t := range [...]struct {
		key        string
		start, end float64
	}{
		{"navtiming.unload", old.UnloadStart, old.UnloadEnd},
		{"navtiming.redirect", n.RedirectStart, n.RedirectEnd},
		{"navtiming.dns", n.DomainLookupStart, n.DomainLookupEnd},
		{"navtiming.connect", n.ConnectStart, n.ConnectEnd},
		{"navtiming.response", n.ResponseStart, n.ResponseEnd},
		{"navtiming.dom", old.DOMLoading, n.DOMComplete},
		{"navtiming.domContent", n.DOMContentLoadedEventStart, n.DOMContentLoadedEventEnd},
		{"navtiming.load", n.LoadEventStart, n.LoadEventEnd},
	} {
		if ms, ok := b.span(t.start, t.end); ok && ms > 0 && (t.start > 0 || t.key == "navtiming.redirect") { // which begins with the navigation
			to.Timing(prefix+t.key, ms)
		}
	}
}
