package web

import (
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"

	"addons/rum"
)

// handler answers a request, or returns the error that statusOf knows.
type handler func(*gin.Context) error

// route is one line of the site. GET answers HEAD too. module and name make the
// statsd keys view.<module>.<name>.<METHOD>; page is what the browser's
// measurements are filed under, "" if the answer is no page. queries is how many
// database queries a request may make that finds nothing in the cache, however many
// rows there are: a line without it does not compile.
type route struct {
	method  string
	pattern string
	module  string
	name    string
	page    string
	queries int
	handle  handler
	body    int64 // bytes that a request may carry; 0 is bodyLimit
}

// What routes' budgets are made of. An add-on is one query and one for each of its
// parts, and so is a list of them, which is also counted.
const (
	ofAddon    = 8
	ofList     = 2 + ofAddon
	ofVersion  = 2
	ofVersions = 1 + ofVersion
	ofRatings  = 2
)

// routes is the whole site: what people see here, what programs ask in api.go
// and update.go.
func (w *Web) routes() []route {
	return slices.Concat(w.pageRoutes(), w.fileRoutes(), w.apiRoutes(), w.updateRoutes(), w.drillRoutes())
}

// pageRoutes are for people. A path without its locale is sent on to the
// visitor's (see elsewhere); an unknown locale or application is unmatched.
func (w *Web) pageRoutes() []route {
	const get = http.MethodGet
	return []route{
		{get, "/", "pages", "root", "", 0, w.root, 0},
		{get, "/:locale/:app/", "pages", "home", "home", 6 + ofAddon + 2, w.localised(w.home), 0},
		{get, "/:locale/:app/search/", "pages", "search", "search", ofList, w.localised(w.search), 0},
		{get, "/:locale/:app/categories/", "pages", "categories", "categories", 0, w.localised(w.categories), 0},
		{get, "/:locale/:app/extensions/", "pages", "extensions", "browse", ofList, w.localised(w.browse), 0},
		{get, "/:locale/:app/extensions/:category/", "pages", "extensions_category", "browse", ofList, w.localised(w.browse), 0},
		{get, "/:locale/:app/themes/", "pages", "themes", "browse", ofList, w.localised(w.browse), 0},
		{get, "/:locale/:app/themes/:category/", "pages", "themes_category", "browse", ofList, w.localised(w.browse), 0},
		{get, "/:locale/:app/language-tools/", "pages", "language_tools", "language-tools", 2 * ofList, w.localised(w.languageTools), 0},
		{get, "/:locale/:app/tag/:tag/", "pages", "tag", "browse", ofList, w.localised(w.tag), 0},
		{get, "/:locale/:app/user/:user/", "pages", "user", "browse", ofList, w.localised(w.user), 0},
		{get, "/:locale/:app/addon/:addon/", "pages", "addon", "addon", ofAddon + ofRatings, w.localised(w.addon), 0},
		{get, "/:locale/:app/addon/:addon/versions/", "pages", "versions", "versions", ofAddon + ofVersions, w.localised(w.versions), 0},
		{get, "/:locale/:app/addon/:addon/reviews/", "pages", "reviews", "reviews", ofAddon + ofRatings, w.localised(w.reviews), 0},
		{get, "/:locale/:app/privacy/", "pages", "privacy", "privacy", 0, w.localised(w.privacy), 0},
	}
}

// fileRoutes are the bytes: packages, images, assets; and what operators' tools ask.
func (w *Web) fileRoutes() []route {
	const get, post, options = http.MethodGet, http.MethodPost, http.MethodOptions
	return []route{
		// Downloads are asked for by programs too, so they need no locale.
		{get, "/firefox/downloads/file/:file/*name", "downloads", "file", "", 1, w.download, 0},
		{get, "/android/downloads/file/:file/*name", "downloads", "file", "", 1, w.download, 0},
		{get, "/:locale/:app/downloads/file/:file/*name", "downloads", "file", "", 1, w.localised(w.download), 0},
		{get, "/firefox/downloads/latest/:addon/*name", "downloads", "latest", "", ofAddon, w.latest, 0},
		{get, "/android/downloads/latest/:addon/*name", "downloads", "latest", "", ofAddon, w.latest, 0},
		{get, "/:locale/:app/downloads/latest/:addon/*name", "downloads", "latest", "", ofAddon, w.localised(w.latest), 0},

		{get, "/media/*key", "files", "media", "", 0, w.media, 0},
		{get, "/static/:name", "files", "static", "", 0, w.static, 0},
		{get, "/favicon.ico", "files", "favicon", "", 0, w.favicon, 0},
		{get, "/robots.txt", "files", "robots", "", 0, w.robots, 0},

		{get, "/__version__", "health", "version", "", 0, w.version, 0},
		{get, "/__heartbeat__", "health", "heartbeat", "", 2, w.heartbeat, 0},
		{get, "/__lbheartbeat__", "health", "lbheartbeat", "", 0, w.alive, 0},

		// The handler has bounds of its own, tighter than these.
		{get, rum.Path, "rum", "beacon", "", 0, w.beacon, 1 << 20},
		{post, rum.Path, "rum", "beacon", "", 0, w.beacon, 1 << 20},
		{options, rum.Path, "rum", "beacon", "", 0, w.beacon, 1 << 20},
		{post, rum.FaroPath, "rum", "faro", "", 0, w.beacon, 1 << 20},
		{options, rum.FaroPath, "rum", "faro", "", 0, w.beacon, 1 << 20},
		{get, rum.DjangoPath, "rum", "django_statsd", "", 0, w.beacon, 1 << 20},
		{post, rum.DjangoPath, "rum", "django_statsd", "", 0, w.beacon, 1 << 20},
	}
}

// drillRoutes fail on purpose, where the operator asked for it.
func (w *Web) drillRoutes() []route {
	if !w.Drills {
		return nil
	}
	return []route{
		{http.MethodGet, "/__drill__/panic", "health", "drill", "", 0, w.drill, 0},
		{http.MethodGet, "/__drill__/queries", "health", "drill_queries", "browse", ofList, w.drillQueries, 0},
	}
}

// Pages is the closed set of page names that the browser's measurements may
// carry.
func Pages() []string {
	var names []string
	for _, r := range (&Web{}).pageRoutes() {
		if r.page != "" && !slices.Contains(names, r.page) {
			names = append(names, r.page)
		}
	}
	return append(names, errorPage)
}

// PageRoutes are the routes that have pages, as a relay of its own is given them.
func PageRoutes() []string {
	var all []string
	for _, r := range (&Web{}).pageRoutes() {
		if r.page != "" {
			all = append(all, r.pattern+"="+r.page)
		}
	}
	return all
}
