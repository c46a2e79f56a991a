package rum

import "time"

// View is one page view of the site's own script, for who looks at single ones. It
// says nothing of the visitor.
type View struct {
	At                             time.Time // when its beacon came
	Page, Device, Connection, Type string
	Trace                          string // of the page's response; "" if it is not known
	Samples                        []Sample
	Nav                            Navigation // all 0 after a soft navigation, which fetches no page
	ServerTiming                   []ServerTiming
	Attribution                    Attribution
	Timings                        []Timing
	NotRestored                    []string // why the page that was gone back to was not kept
}

// view is what a beacon says of a page view; false if it says nothing of one that can be
// looked at: of another client, or a return from the back/forward cache.
func (b *Beacon) view(from *origin, samples []Sample) (View, bool) {
	if b.Format != own || b.Nav == nil || b.Nav.ResponseStart <= 0 && b.Nav.Type != softNavigation {
		return View{}, false
	}
	nav := *b.Nav
	nav.Type, nav.Trace = "", "" // the client's words, however long
	return View{
		At: time.Now(), Page: from.page, Device: from.device, Connection: from.connection, Type: NavigationType(b.Nav.Type), Trace: from.trace, Samples: samples,
		Nav: nav, ServerTiming: b.ServerTiming, Attribution: b.Attribution, Timings: b.Timings, NotRestored: b.NotRestored,
	}, true
}

// softNavigation is the type of a view within a page, as the browser tells of it.
// https://wicg.github.io/soft-navigations/
const softNavigation = "soft-navigation"

// Sources of a page view, the values of a label: what the page was taken from.
const (
	fromServer           = "server"
	fromBrowserCache     = "browser_cache"
	fromBackForwardCache = "back_forward_cache"
	fromPage             = "page" // which a soft navigation stays in
)

var sources = []string{fromServer, fromBrowserCache, fromBackForwardCache, fromPage}

// source is where a beacon's page came from: the server, unless it says otherwise.
func (b *Beacon) source() string {
	switch {
	case b.Nav == nil:
		return fromServer
	case b.Nav.Type == "back-forward-cache":
		return fromBackForwardCache
	case b.Nav.Type == softNavigation:
		return fromPage
	case b.Nav.Cached:
		return fromBrowserCache
	}
	return fromServer
}

// NotGood are the vitals that are worse than good.
func (v View) NotGood() (all []Sample) {
	for _, s := range v.Samples {
		if r := s.Rating(); r == needsImprovement || r == poor {
			all = append(all, s)
		}
	}
	return all
}

// Vital returns a vital, false if it was not measured.
func (v View) Vital(name string) (value float64, ok bool) {
	for _, s := range v.Samples {
		if s.Vital == name {
			return s.Value, true
		}
	}
	return 0, false
}
