package update

import (
	"strings"
	"sync/atomic"

	"addons/server/catalog"
	"addons/server/metrics"
)

// page is a sheet that was read: what one add-on answers for one application. But
// for the flags it doesn't change.
type page struct {
	guid, app string
	seq       int64 // the last change of any add-on that its query can't have missed
	read      metrics.Moment
	unknown   bool // no such add-on
	entries   []entry
	none      answer
	bytes     int // in memory, about

	outdated atomic.Bool // its add-on changed, and it could not be read anew
	asking   atomic.Bool // somebody is to read it anew
	used     atomic.Bool // since the front last looked for what to drop
}

// entry is a version that some question chooses; the first that covers it is the answer.
type entry struct {
	lower, upper string // keys; upper "" if it is open
	strict       bool   // the maximum binds in mode normal too
	version      int64  // its id, if it is held back
	held         int    // from how many percent of the clients
	answer
}

// answer is the bytes of an answer and what goes with them into its header.
type answer struct {
	body []byte
	etag []string // one value, as http.Header wants it
}

// covers is catalog.Compat's Covers, by keys.
func (e *entry) covers(key string, mode catalog.CompatMode) bool {
	if e.lower > key {
		return false
	}
	binds := mode == catalog.ModeStrict || mode == catalog.ModeNormal && e.strict
	return !binds || e.upper == "" || key <= e.upper
}

// choose returns the answer to a question, and whether it depends on who asks: if so,
// whether the client gets the version that is held back from others.
func (p *page) choose(key string, mode catalog.CompatMode, client catalog.Client) (*answer, draw) {
	drawn := notDrawn
	for i := range p.entries {
		switch e := &p.entries[i]; {
		case !e.covers(key, mode):
		case e.held == 0:
			return &e.answer, drawn
		case client.GetsOf(e.version, e.held):
			return &e.answer, offered
		default:
			drawn = heldBack
		}
	}
	return &p.none, drawn
}

// newPage reads a sheet; false if it is damaged. The page shares nothing with raw.
func newPage(raw []byte, guid string, app catalog.App) (*page, bool) {
	in := reader{rest: append([]byte(nil), raw...)}
	p := &page{guid: strings.Clone(guid), app: app.Slug, read: metrics.Now(), bytes: pageBytes + 2*len(raw)}
	kind := in.flags()
	p.seq = int64(in.number())
	switch {
	case in.damaged:
		return nil, false
	case kind == sheetUnknown:
		p.unknown = true
		return p, len(in.rest) == 0
	case kind != sheetKnown:
		return nil, false
	}
	for {
		flags := in.flags()
		e := entry{strict: flags&flagStrict != 0}
		if flags&flagLast == 0 {
			e.lower, e.upper = string(in.text()), string(in.text())
		}
		if flags&flagHeld != 0 {
			e.version, e.held = int64(in.number()), int(in.number())
		}
		e.etag, e.body = []string{string(in.text())}, in.text()
		switch {
		case in.damaged:
			return nil, false
		case flags&flagLast != 0:
			p.none = e.answer
			return p, len(in.rest) == 0
		}
		p.entries = append(p.entries, e)
	}
}

// pageBytes is a page's share of memory beside its texts: itself, two entries, its
// places in the front's map and ring.
const pageBytes = 700
