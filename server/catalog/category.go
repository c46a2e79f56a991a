package catalog

// Categories returns the fixed taxonomy: addons.mozilla.org's categories for the
// applications of Apps and the types of Types, in menu order within each. Ids are
// unique and never change their meaning.
func Categories() []Category {
	all := make([]Category, 0, len(taxonomy))
	for _, c := range taxonomy {
		all = append(all, Category{
			ID: c.id, App: c.app, Type: c.kind, Slug: c.slug,
			Name: Text{"en-US": c.name}, Weight: c.weight, Misc: c.weight == last,
		})
	}
	return all
}

// CategoryBy finds a category by its place and slug.
func CategoryBy(app string, kind Type, slug string) (Category, bool) {
	for _, c := range Categories() {
		if c.App == app && c.Type == kind && c.Slug == slug {
			return c, true
		}
	}
	return Category{}, false
}

// last is the weight of the categories for all the rest, as on AMO.
const last = 333

// taxonomy is an array, so that nobody can change it.
var taxonomy = [...]struct {
	id     int64
	app    string
	kind   Type
	slug   string
	name   string
	weight int
}{
	{72, "firefox", Extension, "alerts-updates", "Alerts & Updates", 0},
	{14, "firefox", Extension, "appearance", "Appearance", 0},
	{22, "firefox", Extension, "bookmarks", "Bookmarks", 0},
	{5, "firefox", Extension, "download-management", "Download Management", 0},
	{1, "firefox", Extension, "feeds-news-blogging", "Feeds, News & Blogging", 0},
	{142, "firefox", Extension, "games-entertainment", "Games & Entertainment", 0},
	{37, "firefox", Extension, "language-support", "Language Support", 0},
	{38, "firefox", Extension, "photos-music-videos", "Photos, Music & Videos", 0},
	{12, "firefox", Extension, "privacy-security", "Privacy & Security", 0},
	{13, "firefox", Extension, "search-tools", "Search Tools", 0},
	{141, "firefox", Extension, "shopping", "Shopping", 0},
	{71, "firefox", Extension, "social-communication", "Social & Communication", 0},
	{93, "firefox", Extension, "tabs", "Tabs", 0},
	{4, "firefox", Extension, "web-development", "Web Development", 0},
	{73, "firefox", Extension, "other", "Other", last},

	{300, "firefox", Theme, "abstract", "Abstract", 0},
	{320, "firefox", Theme, "causes", "Causes", 0},
	{324, "firefox", Theme, "fashion", "Fashion", 0},
	{326, "firefox", Theme, "film-and-tv", "Film and TV", 0},
	{308, "firefox", Theme, "firefox", "Firefox", 0},
	{310, "firefox", Theme, "foxkeh", "Foxkeh", 0},
	{328, "firefox", Theme, "holiday", "Holiday", 0},
	{322, "firefox", Theme, "music", "Music", 0},
	{302, "firefox", Theme, "nature", "Nature", 0},
	{314, "firefox", Theme, "scenery", "Scenery", 0},
	{312, "firefox", Theme, "seasonal", "Seasonal", 0},
	{318, "firefox", Theme, "solid", "Solid", 0},
	{304, "firefox", Theme, "sports", "Sports", 0},
	{316, "firefox", Theme, "websites", "Websites", 0},
	{330, "firefox", Theme, "other", "Other", last},

	{95, "firefox", Dictionary, "general", "General", 0},
	{98, "firefox", Language, "general", "General", 0},

	{145, "android", Extension, "device-features-location", "Device Features & Location", 0},
	{151, "android", Extension, "experimental", "Experimental", 0},
	{147, "android", Extension, "feeds-news-blogging", "Feeds, News & Blogging", 0},
	{144, "android", Extension, "performance", "Performance", 0},
	{143, "android", Extension, "photos-media", "Photos & Media", 0},
	{149, "android", Extension, "security-privacy", "Security & Privacy", 0},
	{150, "android", Extension, "shopping", "Shopping", 0},
	{148, "android", Extension, "social-networking", "Social Networking", 0},
	{146, "android", Extension, "sports-games", "Sports & Games", 0},
	{152, "android", Extension, "user-interface", "User Interface", 0},
	{153, "android", Extension, "other", "Other", last},
}
