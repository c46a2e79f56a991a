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
// measurements are filed under, "" if the answer is no page.
type route struct {
	method  string
	pattern string
	module  string
	name    string
	page    string
	handle  handler
	body    int64 // bytes that a request may carry; 0 is bodyLimit
}

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
		{get, "/", "pages", "root", "", w.root, 0},
		{get, "/:locale/:app/", "pages", "home", "home", w.localised(w.home), 0},
		{get, "/:locale/:app/search/", "pages", "search", "search", w.localised(w.search), 0},
		{get, "/:locale/:app/categories/", "pages", "categories", "categories", w.localised(w.categories), 0},
		{get, "/:locale/:app/extensions/", "pages", "extensions", "browse", w.localised(w.browse), 0},
		{get, "/:locale/:app/extensions/:category/", "pages", "extensions_category", "browse", w.localised(w.browse), 0},
		{get, "/:locale/:app/themes/", "pages", "themes", "browse", w.localised(w.browse), 0},
		{get, "/:locale/:app/themes/:category/", "pages", "themes_category", "browse", w.localised(w.browse), 0},
		{get, "/:locale/:app/language-tools/", "pages", "language_tools", "language-tools", w.localised(w.languageTools), 0},
		{get, "/:locale/:app/tag/:tag/", "pages", "tag", "browse", w.localised(w.tag), 0},
		{get, "/:locale/:app/user/:user/", "pages", "user", "browse", w.localised(w.user), 0},
		{get, "/:locale/:app/addon/:addon/", "pages", "addon", "addon", w.localised(w.addon), 0},
		{get, "/:locale/:app/addon/:addon/versions/", "pages", "versions", "versions", w.localised(w.versions), 0},
		{get, "/:locale/:app/addon/:addon/reviews/", "pages", "reviews", "reviews", w.localised(w.reviews), 0},
		{get, "/:locale/:app/privacy/", "pages", "privacy", "privacy", w.localised(w.privacy), 0},
	}
}

// fileRoutes are the bytes: packages, images, assets; and what operators' tools ask.
func (w *Web) fileRoutes() []route {
	const get, post, options = http.MethodGet, http.MethodPost, http.MethodOptions
	return []route{
		// Downloads are asked for by programs too, so they need no locale.
		{get, "/firefox/downloads/file/:file/*name", "downloads", "file", "", w.download, 0},
		{get, "/android/downloads/file/:file/*name", "downloads", "file", "", w.download, 0},
		{get, "/:locale/:app/downloads/file/:file/*name", "downloads", "file", "", w.localised(w.download), 0},
		{get, "/firefox/downloads/latest/:addon/*name", "downloads", "latest", "", w.latest, 0},
		{get, "/android/downloads/latest/:addon/*name", "downloads", "latest", "", w.latest, 0},
		{get, "/:locale/:app/downloads/latest/:addon/*name", "downloads", "latest", "", w.localised(w.latest), 0},

		{get, "/media/*key", "files", "media", "", w.media, 0},
		{get, "/static/:name", "files", "static", "", w.static, 0},
		{get, "/favicon.ico", "files", "favicon", "", w.favicon, 0},
		{get, "/robots.txt", "files", "robots", "", w.robots, 0},

		{get, "/__version__", "health", "version", "", w.version, 0},
		{get, "/__heartbeat__", "health", "heartbeat", "", w.heartbeat, 0},
		{get, "/__lbheartbeat__", "health", "lbheartbeat", "", w.alive, 0},

		// The handler has bounds of its own, tighter than these.
		{get, rum.Path, "rum", "beacon", "", w.beacon, 1 << 20},
		{post, rum.Path, "rum", "beacon", "", w.beacon, 1 << 20},
		{options, rum.Path, "rum", "beacon", "", w.beacon, 1 << 20},
		{post, rum.FaroPath, "rum", "faro", "", w.beacon, 1 << 20},
		{options, rum.FaroPath, "rum", "faro", "", w.beacon, 1 << 20},
		{get, rum.DjangoPath, "rum", "django_statsd", "", w.beacon, 1 << 20},
		{post, rum.DjangoPath, "rum", "django_statsd", "", w.beacon, 1 << 20},
	}
}

// drillRoutes fail on purpose, where the operator asked for it.
func (w *Web) drillRoutes() []route {
	if !w.Drills {
		return nil
	}
	return []route{{http.MethodGet, "/__drill__/panic", "health", "drill", "", w.drill, 0}}
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
