package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
	"golang.org/x/text/language"

	"addons/rum"
	"addons/server/catalog"
)

// defaultLocale answers visitors whose languages the site does not know.
const defaultLocale = "en-US"

// locales are those a URL may carry: AMO's.
var locales = []string{
	"af", "ar", "ast", "az", "bg", "bn", "bs", "ca", "cak", "cs", "cy", "da", "de", "dsb", "el", "en-CA", "en-GB",
	"en-US", "es-AR", "es-CL", "es-ES", "es-MX", "et", "eu", "fa", "fi", "fr", "fur", "fy-NL", "ga-IE", "gd", "gl",
	"gn", "gu-IN", "he", "hi-IN", "hr", "hsb", "hu", "hy-AM", "ia", "id", "is", "it", "ja", "ka", "kab", "kk", "kn",
	"ko", "lt", "lv", "mk", "ml", "mr", "ms", "my", "nb-NO", "ne-NP", "nl", "nn-NO", "pa-IN", "pl", "pt-BR", "pt-PT",
	"rm", "ro", "ru", "si", "sk", "sl", "sq", "sr", "sv-SE", "szl", "ta", "te", "th", "tl", "tr", "uk", "ur", "uz",
	"vi", "zh-CN", "zh-TW",
}

// byLower finds a locale whatever its letters' case.
var byLower = func() map[string]string {
	m := make(map[string]string, len(locales))
	for _, l := range locales {
		m[strings.ToLower(l)] = l
	}
	return m
}()

// matcher chooses a locale for an Accept-Language header. The first tag is what
// it falls back to.
var matcher, matched = func() (language.Matcher, []string) {
	names := append([]string{defaultLocale}, locales...)
	tags := make([]language.Tag, len(names))
	for i, l := range names {
		tags[i] = language.Make(l)
	}
	return language.NewMatcher(tags), names
}()

// negotiate returns the locale that the visitor's browser asks for.
func negotiate(r *http.Request) string {
	tags, _, err := language.ParseAcceptLanguage(r.Header.Get("Accept-Language"))
	if err != nil || len(tags) == 0 {
		return defaultLocale
	}
	_, i, _ := matcher.Match(tags...)
	return matched[i]
}

// canonical returns the locale that a URL's first part means: itself, in other
// letters ("en-us") or as a bare language ("en", "pt").
func canonical(part string) (string, bool) {
	part = strings.ToLower(strings.ReplaceAll(part, "_", "-"))
	if l, ok := byLower[part]; ok {
		return l, true
	}
	tag, err := language.Parse(part)
	if err != nil {
		return "", false
	}
	_, i, confidence := matcher.Match(tag)
	return matched[i], confidence >= language.High
}

// rightToLeft are the languages of locales that are written from the right.
var rightToLeft = []string{"ar", "fa", "he", "ur"}

// text is an author's text.
type text struct {
	Lang string // what language it is in, "" if that is not known
	Body string
}

// Foreign says whether the text needs a lang attribute on a page of ours, whose
// own words are English.
func (t text) Foreign() bool { return t.Lang != "" && base(t.Lang) != "en" }

// Dir is the text's direction, as the HTML attribute has it.
func (t text) Dir() string {
	if slices.Contains(rightToLeft, base(t.Lang)) {
		return "rtl"
	}
	return "ltr"
}

// base is a locale's language: "pt" of "pt-BR".
func base(locale string) string {
	language, _, _ := strings.Cut(locale, "-")
	return strings.ToLower(language)
}

// best chooses a text for a visitor of the locale.
func best(t catalog.Text, locale, fallback string) text {
	lang, body := t.Best(locale, fallback, defaultLocale)
	if _, err := language.Parse(lang); err != nil {
		lang = "" // an import may carry anything as a locale
	}
	return text{lang, body}
}

func knownLocale(locale string) bool { return slices.Contains(locales, locale) }

func knownApp(slug string) bool {
	return slices.ContainsFunc(catalog.Apps(), func(a catalog.App) bool { return a.Slug == slug })
}

// localised guards a route below /:locale/:app/: other values are no page.
func (w *Web) localised(h handler) handler {
	return func(c *gin.Context) error {
		if knownLocale(c.Param("locale")) && knownApp(c.Param("app")) {
			return h(c)
		}
		recordOf(c.Request.Context()).endpoint = w.unmatched
		return w.elsewhere(c)
	}
}

// elsewhere takes what no route takes, and sends on what AMO would: a missing
// locale or application, a locale in other letters, a missing slash at the end.
func (w *Web) elsewhere(c *gin.Context) error {
	asked := c.Request.URL.Path
	path, status := asked, http.StatusMovedPermanently
	head, rest, _ := strings.Cut(strings.TrimPrefix(asked, "/"), "/")
	if locale, ok := canonical(head); knownApp(head) {
		c.Header("Vary", "Accept-Language")
		path, status = "/"+negotiate(c.Request)+asked, http.StatusFound
	} else if ok {
		if rest == "" {
			rest = catalog.Firefox.Slug
		}
		path, status = "/"+locale+"/"+rest, http.StatusFound
	}
	if !w.leads(path) {
		path += "/"
	}
	reading := c.Request.Method == http.MethodGet || c.Request.Method == http.MethodHead
	if path == asked || !reading || !w.leads(path) {
		return catalog.ErrNotFound
	}
	w.redirect(c, status, path)
	return nil
}

// leads says whether a path is a page's.
func (w *Web) leads(path string) bool {
	for _, e := range w.table {
		if rum.Fits(e.pattern, path) {
			first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
			return !strings.HasPrefix(e.pattern, "/:locale/") || knownLocale(first)
		}
	}
	return false
}

// redirect sends the visitor to a path of this site, its query kept.
func (w *Web) redirect(c *gin.Context, status int, path string) {
	c.Header("Location", (&url.URL{Path: path, RawQuery: c.Request.URL.RawQuery}).String())
	c.Status(status)
	c.Writer.WriteHeaderNow()
}
