package web

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"addons/server/catalog"
	"addons/server/update"
)

// updateRoutes are for browsers looking for updates of what they have.
func (w *Web) updateRoutes() []route {
	const get = http.MethodGet
	return []route{
		{get, versionCheckPath, "update", "check", "", 1, w.versionCheck, 0},
		// What an update check names as update_info_url; Firefox shows it beside the update.
		{get, "/:locale/:app/addon/:addon/versions/:version/updateinfo/", "update", "info", "", ofAddon + ofVersion, w.updateInfo, 0},
	}
}

// The headers of an update check's answer, shared by all answers.
var (
	jsonType = []string{"application/json"}
	noStore  = []string{"no-store"}
	// hourCache: an hour, as addons.mozilla.org's. A CDN may send it for another hour
	// while it asks again, so that nobody waits for that, and for a day while there is
	// no answer from here. https://www.rfc-editor.org/rfc/rfc5861
	hourCache   = []string{"public, max-age=3600, stale-while-revalidate=3600, stale-if-error=86400"}
	minuteCache = []string{"public, max-age=60, stale-while-revalidate=60, stale-if-error=86400"}
	// askersOwn: of a rollout others get another answer, and a halt is for at once.
	askersOwn = []string{"private, no-cache"}
)

// keepFor is how long an answer may be kept by others; one from before the database
// went down only until it may be back.
func keepFor(answer update.Response) []string {
	switch {
	case answer.Private():
		return askersOwn
	case answer.Outcome == update.Stale:
		return minuteCache
	}
	return hourCache
}

// versionCheck answers Firefox's question whether there is a newer version. To an
// unknown add-on the answer is 200 too: Firefox takes any other status for an
// error. A question that can't be answered is 400, and nothing is 304 but what the
// client has.
func (w *Web) versionCheck(c *gin.Context) error {
	client := catalog.NewClient(w.Networks.Sender(c.Request))
	answer, err := w.Update.Check(c.Request.Context(), c.Request.URL.RawQuery, client)
	h := c.Writer.Header()
	for _, common := range w.headers {
		if !slices.ContainsFunc(w.dataHeaders, func(d header) bool { return d.name == common.name }) {
			delete(h, common.name)
		}
	}
	switch {
	case errors.Is(err, catalog.ErrInvalid):
		h["Content-Type"], h["Cache-Control"] = jsonType, noStore
		c.Writer.WriteHeader(http.StatusBadRequest)
		return write(c, []byte("{}"))
	case err != nil:
		return err
	}
	h["Cache-Control"] = keepFor(answer)
	h["Etag"] = answer.ETag
	if has(c.Request, answer.ETag[0]) {
		c.Writer.WriteHeader(http.StatusNotModified)
		c.Writer.WriteHeaderNow()
		return nil
	}
	h["Content-Type"] = jsonType
	return write(c, answer.Body)
}

// has says whether the client has the answer of the tag already.
// https://www.rfc-editor.org/rfc/rfc9110#name-if-none-match
func has(r *http.Request, etag string) bool {
	for tag := range strings.SplitSeq(r.Header.Get("If-None-Match"), ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" || tag != "" && strings.TrimPrefix(tag, "W/") == strings.TrimPrefix(etag, "W/") {
			return true
		}
	}
	return false
}

// write sends a body. That its reader has gone is nobody's fault.
func write(c *gin.Context, body []byte) error {
	c.Writer.Write(body)
	return nil
}

// updateInfo is a version's release notes as a piece of HTML, in the language that
// Firefox runs in, which may be one that the site has no pages in.
func (w *Web) updateInfo(c *gin.Context) error {
	if !knownApp(c.Param("app")) {
		return fmt.Errorf("application %q: %w", c.Param("app"), catalog.ErrNotFound)
	}
	a, v, err := w.Site.Version(c.Request.Context(), c.Param("addon"), "v"+c.Param("version"))
	if err != nil {
		return err
	}
	notes := sanitise(best(v.ReleaseNotes, c.Param("locale"), a.DefaultLocale))
	if notes.Body == "" {
		return fmt.Errorf("release notes of %s %s: %w", a.Slug, v.Number, catalog.ErrNotFound)
	}
	h := c.Writer.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h["Cache-Control"] = hourCache
	return write(c, fmt.Appendf(nil, "<div lang=%q dir=%q>%s</div>\n",
		notes.Lang, notes.Dir(), strings.ReplaceAll(string(notes.HTML), "\n", "<br>\n")))
}
