package update

import (
	"fmt"
	"net/url"
	"strings"

	"addons/server/catalog"
)

// maxAppVersion bounds a version number of an application, in bytes. Real ones have about ten.
const maxAppVersion = 255

// Request is one update check, as far as the answer depends on it.
type Request struct {
	GUID       string // not checked: an impossible one is merely unknown
	App        catalog.App
	AppVersion string
	Mode       catalog.CompatMode
	Version    string         // what the client has; no answer depends on it
	Client     catalog.Client // who asks: of the query Parse knows nobody
}

// Key names what is cached for r: the add-on and the application, in the form that
// keeps them apart whatever the id contains.
func (r Request) Key() string { return r.App.Slug + "/" + r.GUID }

// Parse reads the query of an update check. Required are id, appID (a known
// application's) and appVersion; compatMode and version are read, everything else
// is let pass: Firefox sends more, and an old one less. Of a repeated parameter the
// first counts. Firefox sends ids unescaped, others escape them; both mean the same.
// The error wraps catalog.ErrInvalid.
//
// It does what url.ParseQuery would, without its map: that would be the largest
// part of a cached answer's cost.
func Parse(rawQuery string) (Request, error) {
	var id, appID, appVersion, mode, version field
	plain := !escaped(rawQuery) // looked at once, not for each of a dozen parameters
	for rawQuery != "" {
		var pair string
		pair, rawQuery, _ = strings.Cut(rawQuery, "&")
		name, value, _ := strings.Cut(pair, "=")
		if !plain {
			name = unescapedName(name)
		}
		switch name {
		case "id":
			id.set(value, plain)
		case "appID":
			appID.set(value, plain)
		case "appVersion":
			appVersion.set(value, plain)
		case "compatMode":
			mode.set(value, plain)
		case "version":
			version.set(value, plain)
		}
	}
	app, known := catalog.AppBy(appID.value)
	switch {
	case id.value == "":
		return Request{}, refuse("id is missing")
	case !known || appID.value == app.Slug:
		return Request{}, refuse("appID is missing or of an unknown application")
	case appVersion.value == "" || len(appVersion.value) > maxAppVersion:
		return Request{}, refuse("appVersion is missing or too long")
	}
	return Request{
		GUID: id.value, App: app, AppVersion: appVersion.value, Mode: catalog.ModeOf(mode.value), Version: version.value,
	}, nil
}

func refuse(why string) error {
	return fmt.Errorf("update check: %s: %w", why, catalog.ErrInvalid)
}

// field is the first value of a parameter.
type field struct {
	value string
	given bool
}

// set takes the first value that can be unescaped, as url.ParseQuery does.
func (f *field) set(raw string, plain bool) {
	if f.given {
		return
	}
	if !plain && escaped(raw) {
		unescaped, err := url.QueryUnescape(raw)
		if err != nil {
			return
		}
		raw = unescaped
	}
	f.value, f.given = raw, true
}

// unescapedName returns the parameter's name; "" for one that can't be read.
func unescapedName(name string) string {
	if !escaped(name) {
		return name
	}
	name, err := url.QueryUnescape(name)
	if err != nil {
		return ""
	}
	return name
}

// escaped says whether s may mean something else than it says: strings.ContainsAny,
// which makes a table first, would take most of Parse's time.
func escaped(s string) bool {
	return strings.IndexByte(s, '%') >= 0 || strings.IndexByte(s, '+') >= 0
}
