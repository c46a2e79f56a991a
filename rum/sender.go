package rum

import (
	"net/http"
	"slices"
	"strings"
)

// sender is what a request's headers say of who sent it, in words from closed sets.
type sender struct {
	device, browser, country string
	bot                      string // why it is taken for a program, "" if it is not
}

// Why a sender is taken for a program, the values of a label.
const (
	webdriver = "webdriver"  // the browser says that a program holds it
	byName    = "user_agent" // it says so by its name
	byShape   = "headers"    // it does not say what every browser says
)

// bot is the device of programs.
const bot = "bot"

// sender reads a request's headers.
func (h *Handler) sender(r *http.Request) sender {
	names := strings.ReplaceAll(strings.ToLower(bounded(r.UserAgent())), "cubot", "") // which makes phones
	brands := strings.ToLower(bounded(r.Header.Get("Sec-CH-UA")))
	s := sender{device(names), browser(names, brands), h.country(r), ""}
	switch {
	case named(names, programs) || named(brands, programs):
		s.bot = byName
	case names == "" || r.Header.Get("Accept-Language") == "":
		s.bot = byShape
	}
	return s
}

// bounded is as much of a header as is looked at: browsers' are shorter.
func bounded(text string) string { return text[:min(len(text), 512)] }

func named(text string, words []string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) })
}

// programs are words in the names of what is no visitor: crawlers, probes, browsers
// without a screen, libraries.
var programs = []string{
	"bot", "crawl", "spider", "slurp", "headless", "phantomjs", "puppeteer", "playwright", "selenium", "lighthouse", "pagespeed", "gtmetrix", "ptst/", "speedcurve",
	"pingdom", "statuscake", "site24x7", "synthetic", "catchpoint", "checkly", "monitor", "preview", "facebookexternalhit", "ia_archiver", "google-inspectiontool",
	"mediapartners-google", "apis-google", "feedfetcher", "python", "curl/", "wget/", "go-http-client", "java/", "okhttp", "libwww", "axios", "node-fetch", "scrapy",
}

// peoplesDevices are the classes of what is no program, and deviceClasses all values of the label.
var (
	peoplesDevices = []string{"desktop", "mobile", "tablet"}
	deviceClasses  = append(slices.Clone(peoplesDevices), bot)
)

// device is the class of a user agent in small letters, one of peoplesDevices.
func device(userAgent string) string {
	switch {
	case named(userAgent, []string{"ipad", "tablet"}):
		return "tablet"
	case named(userAgent, []string{"mobi", "iphone"}):
		return "mobile"
	case strings.Contains(userAgent, "android"):
		return "tablet" // phones say Mobile
	}
	return "desktop"
}

// browsers are the families, each with the words by which it is known: in Sec-CH-UA,
// which is told over HTTPS by what is made of Chromium, and in the user agent. Most
// claim to be others too, which is why the order matters.
// https://wicg.github.io/ua-client-hints/#sec-ch-ua
var browsers = []struct {
	family        string
	brands, names []string
}{
	{"samsung", []string{`"samsung internet"`}, []string{"samsungbrowser/"}},
	{"opera", []string{`"opera"`, `"opera mobile"`, `"opera gx"`}, []string{"opr/", "opera/", "opt/"}},
	{"edge", []string{`"microsoft edge"`}, []string{"edg/", "edga/", "edgios/", "edge/"}},
	{other, []string{`"brave"`, `"yabrowser"`, `"yowser"`, `"vivaldi"`, `"whale"`, `"duckduckgo"`}, []string{"yabrowser/", "vivaldi/", "whale/", "ucbrowser/", "duckduckgo/", "seamonkey/"}},
	{"firefox", nil, []string{"firefox/", "fxios/"}},
	{"chrome", []string{`"google chrome"`, `"chromium"`}, []string{"chrome/", "crios/", "chromium/"}},
	{"safari", nil, []string{"safari/"}},
}

// other stands for what a closed set does not have.
const other = "other"

// browser is the family of a user agent and brands in small letters, "other" if there
// is none.
func browser(userAgent, brands string) string {
	for _, b := range browsers {
		if named(brands, b.brands) || named(userAgent, b.names) {
			return b.family
		}
	}
	return other
}

// country is what a proxy of ours says of the sender: one of the configured countries,
// "other", or "unknown" if nobody has said it whom we believe. No address is looked up.
func (h *Handler) country(r *http.Request) string {
	if h.cfg.CountryHeader == "" || !h.cfg.Networks.FromProxy(r) {
		return unknown
	}
	said := r.Header.Get(h.cfg.CountryHeader)
	if !isCountry(said) || strings.EqualFold(said, "xx") { // Cloudflare's and Fastly's word for unknown
		return unknown
	}
	for _, c := range h.cfg.Countries {
		if strings.EqualFold(said, c) {
			return c
		}
	}
	return other
}

// isCountry says whether code has the form of ISO 3166-1's two letters.
func isCountry(code string) bool {
	return len(code) == 2 && strings.Trim(strings.ToLower(code), "abcdefghijklmnopqrstuvwxyz") == ""
}
