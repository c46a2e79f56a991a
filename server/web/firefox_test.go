package web_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"addons/server/enginetest"
	"addons/server/metrics"
	"addons/server/update"
	"addons/server/web"
)

// TestFirefoxReadsTheAPIAndUpdateChecks: a real Firefox's own code asks for metadata
// and for updates, and understands all of what it is told.
func TestFirefoxReadsTheAPIAndUpdateChecks(t *testing.T) {
	enginetest.URL(t, "FIREFOX")
	var site http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { site.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	p := start(t, catalogue(), func(c *web.Config) {
		c.BaseURL = server.URL
		c.Update = update.New(c.Site.DB, c.Site.Cache, server.URL, metrics.New(nil))
	})
	site = p.handler
	night := p.addon("night-reader")
	firefox := enginetest.Firefox(t, enginetest.Prefs{
		"extensions.getAddons.cache.enabled": true,
		// Two on a page, so that it has to follow next.
		"extensions.getAddons.get.url": server.URL + "/api/v4/addons/search/?guid=%IDS%&lang=%LOCALE%&page_size=2",
	})

	type known struct {
		ID, Name, Type, Creator, Source, Listing, Description, FullDescription string
		Rating                                                                 float64
		Reviews, Screenshots, Downloads                                        int
	}
	var got []known
	firefox.Script(&got, `
		const { AddonRepository } = ChromeUtils.importESModule("resource://gre/modules/addons/AddonRepository.sys.mjs");
		const found = await AddonRepository.getAddonsByIDs(arguments[0]);
		return found.map(a => ({
			id: a.id, name: a.name, type: a.type, creator: a.creator?.name ?? "", source: a.sourceURI?.spec ?? "", listing: a.amoListingURL ?? "",
			description: a.description ?? "", fullDescription: (a.fullDescription ?? "").replace(/\s+/g, " "),
			rating: a.averageRating ?? 0, reviews: a.reviewCount ?? 0, screenshots: a.screenshots?.length ?? 0, downloads: a.weeklyDownloads ?? 0,
		})).sort((a, b) => a.id < b.id ? -1 : 1);`,
		[]string{"default-theme@mozilla.org", "helper-1@addons.example", "night@addons.example", "nobody@addons.example", "theme-0@addons.example", "language-de@addons.example"})
	download := func(slug string) string {
		return server.URL + "/firefox/downloads/file/" + strconv.FormatInt(p.addon(slug).Current.File.ID, 10) + "/" + p.addon(slug).Current.File.Name
	}
	page := func(slug string) string { return server.URL + "/en-US/firefox/addon/" + slug + "/" }
	want := []known{
		{ID: "helper-1@addons.example", Name: "Helper number 1", Type: "extension", Creator: "Karl Weiß", Source: download("helper-1"), Listing: page("helper-1"),
			Description: p.addon("helper-1").Summary["en-US"], Downloads: 10},
		{ID: "language-de@addons.example", Name: "Deutsch (DE)", Type: "locale", Source: download("language-de"), Listing: page("language-de")},
		{ID: "night@addons.example", Name: "Night Reader", Type: "extension", Creator: "Ada Byron", Source: download("night-reader"), Listing: page("night-reader"),
			Description:     "Turns bright pages dark, gently, so that you can read on in the evening.",
			FullDescription: "Night Reader dims pages. It knows: schedules exceptions for sites Read the manual.",
			Rating:          4.4, Reviews: 2, Screenshots: 2, Downloads: 8910},
		{ID: "theme-0@addons.example", Name: "Shore 0", Type: "theme", Creator: "Ada Byron", Source: download("theme-0"), Listing: page("theme-0"), Screenshots: 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Firefox's view of the API:\n%s", diff)
	}

	type offer struct{ Version, URL, Hash, Info, Min, Max string }
	check := func(guid string) (offers []offer, status int) {
		t.Helper()
		var answer struct {
			Updates []offer
			Error   int
		}
		firefox.Script(&answer, `
			const { AddonUpdateChecker } = ChromeUtils.importESModule("resource://gre/modules/addons/AddonUpdateChecker.sys.mjs");
			return await new Promise(resolve => AddonUpdateChecker.checkForUpdates(arguments[0], arguments[1], {
				onUpdateCheckComplete: updates => resolve({error: 0, updates: updates.map(u => ({
					version: u.version, url: u.updateURL, hash: u.updateHash ?? "", info: u.updateInfoURL ?? "",
					min: u.targetApplications[0].minVersion, max: u.targetApplications[0].maxVersion,
				}))}),
				onUpdateCheckError: error => resolve({error, updates: []}),
			}));`, guid, server.URL+ask(guid))
		return answer.Updates, answer.Error
	}
	offers, status := check("night@addons.example")
	if diff := cmp.Diff([]offer{{
		Version: "3.1.0", URL: download("night-reader"), Hash: night.Current.File.Hash,
		Info: server.URL + "/%APP_LOCALE%/firefox/addon/night-reader/versions/3.1.0/updateinfo/", Min: "115.0", Max: "*",
	}}, offers); diff != "" || status != 0 {
		t.Errorf("Firefox's view of an update (status %d):\n%s", status, diff)
	}
	for _, guid := range []string{"nobody@addons.example", "hidden@addons.example", "NIGHT@addons.example"} {
		if offers, status := check(guid); len(offers) != 0 || status != 0 {
			t.Errorf("%s: %v, status %d, want no update and no error", guid, offers, status)
		}
	}
}
