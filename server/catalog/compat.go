package catalog

import (
	"slices"
	"strings"
)

// CompatMode says how far the maximum of a version's Compat binds. The minimum
// always does.
type CompatMode string

// The modes of the update check's compatMode.
const (
	// ModeStrict: the maximum binds.
	ModeStrict CompatMode = "strict"
	// ModeNormal: the maximum binds for versions marked Strict. Firefox sends this.
	ModeNormal CompatMode = "normal"
	// ModeIgnore: the maximum doesn't bind.
	ModeIgnore CompatMode = "ignore"
)

// Modes lists every CompatMode.
func Modes() []CompatMode { return []CompatMode{ModeStrict, ModeNormal, ModeIgnore} }

// ModeOf reads a compatMode: none is strict, an unknown one ignore, as
// addons-server has it.
func ModeOf(s string) CompatMode {
	switch mode := CompatMode(s); mode {
	case "":
		return ModeStrict
	case ModeStrict, ModeNormal:
		return mode
	}
	return ModeIgnore
}

// AppBy returns the App with the slug or GUID (in any letter case).
func AppBy(ref string) (App, bool) {
	for _, app := range Apps() {
		if ref == app.Slug || strings.EqualFold(ref, app.GUID) {
			return app, true
		}
	}
	return App{}, false
}

// Choose returns the version to offer to an application: of those that are
// offered at all and run in it, the one with the highest number; of equal numbers
// the one with the highest id. nil if there is none. It reads ID, Number, Channel,
// Deleted, Strict, Compatibility and File.Status.
//
// addons-server takes the highest id instead, the version submitted last. Firefox
// installs only what is newer by number, so there a fix for an old series (1.0.1
// submitted after 2.0) hides 2.0 from everybody; here it doesn't.
func Choose(versions []*Version, app App, appVersion string, mode CompatMode) *Version {
	var best *Version
	for _, v := range versions {
		if v.Offered() && v.RunsIn(app, appVersion, mode) && (best == nil || v.newer(best)) {
			best = v
		}
	}
	return best
}

// Choosable returns those of the versions that ChooseFor returns for some client, some
// version of app and some mode, in its order of preference: the first that fits is its choice.
// What an add-on with a thousand versions needs for its update checks are few.
func Choosable(versions []*Version, app App) []*Version {
	var all, kept []*Version
	for _, v := range versions {
		if _, runs := v.For(app); runs && v.Offered() {
			all = append(all, v)
		}
	}
	slices.SortFunc(all, func(v, w *Version) int {
		switch {
		case v.newer(w):
			return -1
		case w.newer(v):
			return 1
		}
		return 0
	})
	for _, v := range all {
		if !slices.ContainsFunc(kept, func(k *Version) bool { return k.HeldBack == 0 && k.runsWherever(v, app) }) {
			kept = append(kept, v)
		}
	}
	return kept
}

// runsWherever says whether v runs in every version of app that w runs in, in
// every mode. Both name app.
func (v *Version) runsWherever(w *Version, app App) bool {
	c, _ := v.For(app)
	d, _ := w.For(app)
	if Compare(c.Min, d.Min) > 0 {
		return false
	}
	return c.Open() || !d.Open() && Compare(c.Max, d.Max) >= 0 && (!v.Strict || w.Strict)
}

// newer says whether Choose prefers v to w where both fit.
func (v *Version) newer(w *Version) bool {
	c := Compare(v.Number, w.Number)
	return c > 0 || c == 0 && v.ID > w.ID
}

// Offered says whether the site offers v to everybody: listed, not deleted, its
// file approved.
func (v *Version) Offered() bool {
	return v.Channel == Listed && !v.Deleted && v.File.Status == Public
}

// RunsIn says whether v may be installed in that version of app under mode. A
// version that doesn't name app doesn't run in it.
func (v *Version) RunsIn(app App, appVersion string, mode CompatMode) bool {
	c, ok := v.For(app)
	return ok && c.Covers(appVersion, v.MaxBinds(mode))
}

// For returns v's range for app.
func (v *Version) For(app App) (Compat, bool) {
	for _, c := range v.Compatibility {
		if c.App == app.Slug {
			return c, true
		}
	}
	return Compat{}, false
}

// MaxBinds says whether the maximum of v's ranges binds under mode.
func (v *Version) MaxBinds(mode CompatMode) bool {
	return mode == ModeStrict || mode == ModeNormal && v.Strict
}

// Covers says whether the version of the application is in the range; above Max
// too unless maxBinds.
func (c Compat) Covers(appVersion string, maxBinds bool) bool {
	if Compare(c.Min, appVersion) > 0 {
		return false
	}
	return !maxBinds || c.Open() || Compare(appVersion, c.Max) <= 0
}

// Open says whether the range has no upper end.
func (c Compat) Open() bool { return c.Max == "" || c.Max == "*" }
