package web

import (
	"net/url"
	"slices"
	"strings"

	"addons/server/catalog"
)

// permissionTexts are Firefox's words for what an add-on may do; permissions
// without a text are those that Firefox asks nobody about.
// https://support.mozilla.org/kb/permission-request-messages-firefox-extensions
var permissionTexts = map[string]string{
	"bookmarks":             "Read and modify bookmarks",
	"browserSettings":       "Read and modify browser settings",
	"browsingData":          "Clear recent browsing history, cookies, and related data",
	"clipboardRead":         "Get data from the clipboard",
	"clipboardWrite":        "Input data to the clipboard",
	"declarativeNetRequest": "Block content on any page",
	"devtools":              "Extend developer tools to access your data in open tabs",
	"downloads":             "Download files and read and modify the browser’s download history",
	"downloads.open":        "Open files downloaded to your computer",
	"find":                  "Read the text of all open tabs",
	"geolocation":           "Access your location",
	"history":               "Access browsing history",
	"management":            "Monitor extension usage and manage themes",
	"nativeMessaging":       "Exchange messages with programs other than Firefox",
	"notifications":         "Display notifications to you",
	"pkcs11":                "Provide cryptographic authentication services",
	"privacy":               "Read and modify privacy settings",
	"proxy":                 "Control browser proxy settings",
	"sessions":              "Access recently closed tabs",
	"tabHide":               "Hide and show browser tabs",
	"tabs":                  "Access browser tabs",
	"topSites":              "Access browsing history",
	"unlimitedStorage":      "Store unlimited amount of client-side data",
	"webNavigation":         "Access browser activity during navigation",
}

// everywhere are the patterns for all sites.
var everywhere = []string{"<all_urls>", "*://*/*", "http://*/*", "https://*/*", "file:///*"}

// permissions says in words what an add-on may do, each once, sites last.
func permissions(f *catalog.File) []string {
	var all, sites []string
	for _, p := range slices.Concat(f.Permissions, f.HostPermissions) {
		words, isSite := permission(p)
		switch {
		case words == "":
		case isSite:
			sites = append(sites, words)
		default:
			all = append(all, words)
		}
	}
	slices.Sort(all)
	slices.Sort(sites)
	return slices.Concat(slices.Compact(all), slices.Compact(sites))
}

func permission(p string) (words string, site bool) {
	switch {
	case slices.Contains(everywhere, p):
		return "Access your data for all websites", true
	case strings.Contains(p, "://"):
		u, err := url.Parse(strings.Replace(p, "*://", "https://", 1))
		if err != nil || u.Host == "" {
			return "", true
		}
		if domain, ok := strings.CutPrefix(u.Host, "*."); ok {
			return "Access your data for sites in the " + domain + " domain", true
		}
		return "Access your data for " + u.Host, true
	default:
		return permissionTexts[p], false
	}
}
