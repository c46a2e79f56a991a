package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"addons/server/amo"
	"addons/server/catalog"
	"addons/server/site"
)

// apiForm is one version of the JSON API, in addons.mozilla.org's form: v5, and v4 for
// what Firefox still asks there. https://mozilla.github.io/addons-server/topics/api/
type apiForm struct {
	*Web
	older bool // v4: see amo's V4
}

// apiRoutes are for programs: the JSON API. Each path answers OPTIONS too, so that
// scripts of other sites may ask with headers of their own.
func (w *Web) apiRoutes() []route {
	var routes []route
	for prefix, a := range map[string]*apiForm{"v5": {w, false}, "v4": {w, true}} {
		for _, r := range a.reads() {
			pattern := "/api/" + prefix + r.pattern
			routes = append(routes,
				route{http.MethodGet, pattern, "api", prefix + "_" + r.name, "", r.queries, open(r.handle), 0},
				route{http.MethodOptions, pattern, "api", prefix + "_" + r.name, "", 0, open(preflight), 0})
		}
	}
	slices.SortFunc(routes, func(a, b route) int { return strings.Compare(b.pattern+b.method, a.pattern+a.method) })
	return routes
}

// read is a path below the version, and as a route otherwise.
type read struct {
	pattern string
	name    string
	queries int
	handle  handler
}

func (a *apiForm) reads() []read {
	return []read{
		{"/addons/addon/:addon/", "addon", ofAddon + ofVersions, a.addon},
		{"/addons/addon/:addon/versions/", "versions", ofAddon + ofVersions, a.versions},
		{"/addons/addon/:addon/versions/:version/", "version", ofAddon + ofVersion, a.version},
		{"/addons/search/", "search", ofList, a.search},
		{"/addons/autocomplete/", "autocomplete", ofList, a.autocomplete},
		{"/addons/categories/", "categories", 0, a.categories},
		{"/site/", "site", 0, a.site},
	}
}

// open lets scripts of all sites read the answer: there is nothing in it that is not
// everybody's.
func open(h handler) handler {
	return func(c *gin.Context) error {
		c.Header("Access-Control-Allow-Origin", "*")
		return h(c)
	}
}

func preflight(c *gin.Context) error {
	c.Header("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
	c.Header("Access-Control-Allow-Headers", "accept, accept-encoding, authorization, content-type, dnt, origin, user-agent, x-requested-with")
	c.Header("Access-Control-Max-Age", "86400")
	c.Status(http.StatusNoContent)
	return nil
}

func (a *apiForm) addon(c *gin.Context) error {
	grouped, ok := boolean(c.Query("show_grouped_ratings"))
	if !ok {
		return answer(c, http.StatusBadRequest, amo.Detail{Detail: "show_grouped_ratings parameter should be a boolean"})
	}
	addon, err := a.Site.Addon(c.Request.Context(), c.Param("addon"))
	if err != nil {
		return a.hidden(c, err)
	}
	if addon, err = a.compatible(c, addon); err != nil || addon == nil {
		return err
	}
	lang := langOf(c)
	body := amo.FromAddon(clean(addon), a.links(lang, addon), lang)
	if grouped {
		body = body.Grouped(addon.Ratings)
	}
	return cached(c, a.form(body, lang))
}

// compatible gives a language pack the newest version for the Firefox that was
// named, if there is one: a pack is for one version of Firefox alone. Of other
// types app and appversion are checked and have no effect, as on AMO. A nil add-on
// means that the question was refused and answered.
func (a *apiForm) compatible(c *gin.Context, addon *catalog.Addon) (*catalog.Addon, error) {
	version := c.Query("appversion")
	if version == "" || addon.Type != catalog.Language {
		return addon, nil
	}
	app, known := appParam(c.Query("app"))
	if !known {
		return nil, answer(c, http.StatusBadRequest, amo.Detail{Detail: invalid("app")})
	}
	if !appVersion(version) {
		return nil, answer(c, http.StatusBadRequest, amo.Detail{Detail: invalid("appversion")})
	}
	_, versions, _, err := a.Site.Versions(c.Request.Context(), c.Param("addon"), maxPackVersions, 0)
	if err != nil {
		return nil, err
	}
	if v := catalog.Choose(versions, app, version, catalog.ModeStrict); v != nil {
		chosen := *addon
		chosen.Current = v
		addon = &chosen
	}
	return addon, nil
}

// maxPackVersions is how many versions of a language pack are looked through: the
// packs of some four years of Firefox.
const maxPackVersions = 50

func (a *apiForm) versions(c *gin.Context) error {
	switch filter := c.Query("filter"); filter {
	case "":
	case "all_without_unlisted", "all_with_unlisted", "all_with_deleted":
		return answer(c, http.StatusUnauthorized, amo.Detail{Detail: noCredentials})
	default:
		return answer(c, http.StatusBadRequest, amo.Invalid{"filter": {`Invalid "filter" parameter specified.`}})
	}
	w, ok := windowOf(c)
	if !ok {
		return noPage(c)
	}
	addon, versions, total, err := a.Site.Versions(c.Request.Context(), c.Param("addon"), w.size, w.offset())
	if err != nil {
		return a.hidden(c, err)
	}
	if !w.holds(total) {
		return noPage(c)
	}
	lang := langOf(c)
	results := make([]amo.Version, 0, len(versions))
	for _, v := range versions {
		results = append(results, a.formVersion(addon, v, lang))
	}
	return cached(c, envelope(a, c.Request.URL, w, total, results))
}

func (a *apiForm) version(c *gin.Context) error {
	addon, v, err := a.Site.Version(c.Request.Context(), c.Param("addon"), c.Param("version"))
	if err != nil {
		return a.hidden(c, err)
	}
	return cached(c, a.formVersion(addon, v, langOf(c)))
}

func (a *apiForm) categories(c *gin.Context) error {
	all, err := a.Site.Categories(c.Request.Context())
	if err != nil {
		return err
	}
	body := make([]amo.Category, 0, len(all))
	for _, category := range all {
		body = append(body, amo.FromCategory(category, langOf(c)))
	}
	return cached(c, body)
}

// site: nothing here takes writes that could be held back.
func (a *apiForm) site(c *gin.Context) error { return cached(c, amo.Site{}) }

// noCredentials are AMO's words to who hasn't said who they are.
const noCredentials = "Authentication credentials were not provided."

// hidden answers for an add-on that is there but not public, as AMO does: 401, with
// why. Any other error is the middleware's.
func (a *apiForm) hidden(c *gin.Context, err error) error {
	var h *site.Hidden
	if !errors.As(err, &h) {
		return err
	}
	c.Header("Cache-Control", "no-store")
	return answer(c, http.StatusUnauthorized, amo.Refused{
		Detail: noCredentials, DisabledByMozilla: h.Status == catalog.Disabled,
	})
}

// form is an add-on's answer in the API's version.
func (a *apiForm) form(body amo.Addon, lang string) amo.Addon {
	if a.older {
		return body.V4(lang)
	}
	return body
}

func (a *apiForm) formVersion(addon *catalog.Addon, v *catalog.Version, lang string) amo.Version {
	safe := *v
	safe.ReleaseNotes = cleanText(v.ReleaseNotes)
	body := amo.FromVersion(addon, &safe, a.links(lang, addon), lang)
	if a.older {
		return body.V4(lang, addon.DefaultLocale)
	}
	return body
}

// links leads to pages in the language that was asked for, if the site has it.
func (a *apiForm) links(lang string, addon *catalog.Addon) amo.Links {
	locale, _ := canonical(lang)
	if lang == "" {
		locale = defaultLocale
	}
	return amo.Links{Base: a.BaseURL, Locale: locale, DefaultIcon: a.assets.url(string(defaultIcon(addon.Type)) + ".svg")}
}

// langOf is the language to answer in, "" for all.
func langOf(c *gin.Context) string {
	lang := c.Query("lang")
	if len(lang) > 35 { // the longest tag that RFC 5646 foresees
		return defaultLocale
	}
	return lang
}

// clean is the add-on with its authors' HTML sanitised: other sites show it as it comes.
func clean(a *catalog.Addon) *catalog.Addon {
	safe := *a
	safe.Description, safe.DeveloperComments = cleanText(a.Description), cleanText(a.DeveloperComments)
	if a.Current != nil {
		current := *a.Current
		current.ReleaseNotes = cleanText(current.ReleaseNotes)
		safe.Current = &current
	}
	return &safe
}

// cleanText leaves texts alone that have no tag in them, which are most.
func cleanText(t catalog.Text) catalog.Text {
	tagged := func(s string) bool { return strings.Contains(s, "<") }
	if !slices.ContainsFunc(slices.Collect(maps.Values(t)), tagged) {
		return t
	}
	safe := maps.Clone(t)
	for locale, s := range t {
		if tagged(s) {
			safe[locale] = string(sanitise(text{Body: s}).HTML)
		}
	}
	return safe
}

// window is the page of a list that is asked for.
type window struct{ number, size int }

const (
	pageSize    = 25
	maxPageSize = 50
	// maxResults is how deep lists go, as in the search engine.
	maxResults = 10_000
)

// windowOf reads page and page_size. As on AMO a size that isn't one is the default
// and too large a one the largest, while a page that can't be is none.
func windowOf(c *gin.Context) (window, bool) {
	w := window{1, pageSize}
	if size, err := strconv.Atoi(c.Query("page_size")); err == nil && size > 0 {
		w.size = min(size, maxPageSize)
	}
	if number := c.Query("page"); number != "" {
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 || n > maxResults {
			return w, false
		}
		w.number = n
	}
	return w, w.number*w.size <= maxResults
}

func (w window) offset() int { return (w.number - 1) * w.size }

// pages is how many pages of a list can be had; an empty list is one page.
func (w window) pages(total int) int {
	return max(1, (min(total, maxResults/w.size*w.size)+w.size-1)/w.size)
}

// holds says whether a list of total has this page.
func (w window) holds(total int) bool { return w.number <= w.pages(total) }

func noPage(c *gin.Context) error {
	return answer(c, http.StatusNotFound, amo.Detail{Detail: "Invalid page."})
}

// envelope is a page of results with the way to the others.
func envelope[T any](a *apiForm, at *url.URL, w window, total int, results []T) amo.Page[T] {
	p := amo.Page[T]{PageSize: w.size, PageCount: w.pages(total), Count: total, Results: results}
	if w.number < p.PageCount {
		p.Next = a.pageURL(at, w.number+1)
	}
	if w.number > 1 {
		p.Previous = a.pageURL(at, w.number-1)
	}
	return p
}

// pageURL is the absolute address of another page of the same list.
func (a *apiForm) pageURL(at *url.URL, number int) *string {
	query := at.Query()
	query.Del("page")
	if number > 1 {
		query.Set("page", strconv.Itoa(number))
	}
	u := a.BaseURL + (&url.URL{Path: at.Path}).EscapedPath()
	if encoded := query.Encode(); encoded != "" {
		u += "?" + encoded
	}
	return &u
}

// apiCache lets clients keep an answer as long as pages.
var apiCache = []string{pageCache}

// cached answers 200 with an ETag, or 304 to who has the same.
func cached(c *gin.Context, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	return encoded(c, text)
}

// encoded is cached of what is JSON already.
func encoded(c *gin.Context, body []byte) error {
	hash := fnv.New64a()
	hash.Write(body)
	// Weak, because what is sent may be compressed.
	etag := fmt.Sprintf(`W/"%x"`, hash.Sum64())
	h := c.Writer.Header()
	h["Etag"] = []string{etag}
	if h.Get("Cache-Control") == "" {
		h["Cache-Control"] = apiCache
	}
	if has(c.Request, etag) {
		c.Writer.WriteHeader(http.StatusNotModified)
		c.Writer.WriteHeaderNow()
		return nil
	}
	h["Content-Type"] = jsonType
	return write(c, body)
}

// answer sends any other status.
func answer(c *gin.Context, status int, body any) error {
	c.JSON(status, body)
	return nil
}

// invalid are AMO's words for a parameter that is not as it should be.
func invalid(name string) string { return fmt.Sprintf("Invalid %q parameter.", name) }

// boolean reads a switch; none is false.
func boolean(s string) (value, ok bool) {
	switch strings.ToLower(s) {
	case "", "0", "false":
		return false, true
	case "1", "true":
		return true, true
	}
	return false, false
}
