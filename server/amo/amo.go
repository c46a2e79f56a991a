// Package amo is the JSON of addons.mozilla.org's API, both ways: what this site
// answers (FromAddon, FromVersion, and V4 for the older form that Firefox still
// reads), and what it takes from such a site (Decode, Catalog).
//
// Writing follows API v5: texts are objects {locale: text}, links that leave the
// site are {url, outgoing}. Reading takes the forms of v3 to v5, lets unknown
// members pass, and refuses what would do harm here.
// https://mozilla.github.io/addons-server/topics/api/addons.html
package amo

// Addon is an add-on's JSON.
type Addon struct {
	ID                int64      `json:"id"`
	Authors           []Author   `json:"authors"`
	AverageDailyUsers int        `json:"average_daily_users"`
	Categories        Categories `json:"categories"`
	ContributionsURL  Address    `json:"contributions_url"`
	Created           Time       `json:"created"`
	Current           *Version   `json:"current_version,omitempty"` // absent, never null: a null breaks Firefox
	DefaultLocale     string     `json:"default_locale"`
	Description       Text       `json:"description"`
	DeveloperComments Text       `json:"developer_comments"`
	EditURL           string     `json:"edit_url"`
	GUID              string     `json:"guid"`
	HasEULA           bool       `json:"has_eula"`
	HasPrivacyPolicy  bool       `json:"has_privacy_policy"`
	Homepage          Link       `json:"homepage"`
	IconURL           string     `json:"icon_url,omitempty"`
	Icons             Icons      `json:"icons,omitempty"`
	IsDisabled        bool       `json:"is_disabled"`
	IsExperimental    bool       `json:"is_experimental"`
	IsNoindexed       bool       `json:"is_noindexed"`
	LastUpdated       Time       `json:"last_updated"`
	Name              Text       `json:"name"`
	Previews          []Preview  `json:"previews"`
	Promoted          Promoted   `json:"promoted"`
	Ratings           Ratings    `json:"ratings"`
	RatingsURL        string     `json:"ratings_url"`
	RequiresPayment   bool       `json:"requires_payment"`
	ReviewURL         string     `json:"review_url"`
	Slug              string     `json:"slug"`
	Status            string     `json:"status"`
	Summary           Text       `json:"summary"`
	SupportEmail      Text       `json:"support_email"`
	SupportURL        Link       `json:"support_url"`
	Tags              []string   `json:"tags"`
	TargetLocale      string     `json:"target_locale,omitempty"`
	Type              string     `json:"type"`
	URL               string     `json:"url"`
	VersionsURL       string     `json:"versions_url"`
	WeeklyDownloads   int        `json:"weekly_downloads"`
	Score             *float64   `json:"_score,omitempty"` // in search results alone

	// IsRecommended is what older answers have instead of Promoted; only read.
	IsRecommended bool `json:"is_recommended,omitempty"`

	refusal error // why Decode could not read it
}

// Author of an add-on. Search results have no picture_url.
type Author struct {
	ID         int64       `json:"id"`
	Name       string      `json:"name"`
	URL        string      `json:"url"`
	Username   string      `json:"username"`
	PictureURL Opt[string] `json:"picture_url,omitzero"`
}

// Preview is a screenshot. Its thumbnail is the picture itself.
type Preview struct {
	ID            int64  `json:"id"`
	Caption       Text   `json:"caption"`
	ImageSize     []int  `json:"image_size"` // width, height
	ImageURL      string `json:"image_url"`
	Position      int    `json:"position"`
	ThumbnailSize []int  `json:"thumbnail_size"`
	ThumbnailURL  string `json:"thumbnail_url"`
}

// Ratings of an add-on. Grouped is there if it was asked for.
type Ratings struct {
	Average   float64        `json:"average"`
	Bayesian  float64        `json:"bayesian_average"`
	Count     int            `json:"count"`
	TextCount int            `json:"text_count"`
	Grouped   map[string]int `json:"grouped_counts,omitempty"` // "1"…"5"
}

// Version of an add-on. Search results have no license and no release_notes.
type Version struct {
	ID            int64            `json:"id"`
	Channel       string           `json:"channel"`
	Compatibility map[string]Range `json:"compatibility"`
	EditURL       string           `json:"edit_url"`
	File          *File            `json:"file,omitempty"`  // v5
	Files         []File           `json:"files,omitempty"` // v3, v4
	Strict        bool             `json:"is_strict_compatibility_enabled"`
	License       Opt[License]     `json:"license,omitzero"`
	ReleaseNotes  Opt[Text]        `json:"release_notes,omitzero"`
	Reviewed      *Time            `json:"reviewed"`
	Version       string           `json:"version"`
}

// Range of an application's versions.
type Range struct {
	Min string `json:"min"`
	Max string `json:"max"`
}

// File of a version.
type File struct {
	ID                                int64    `json:"id"`
	Created                           Time     `json:"created"`
	Hash                              string   `json:"hash"`
	IsMozillaSignedExtension          bool     `json:"is_mozilla_signed_extension"`
	OptionalPermissions               []string `json:"optional_permissions"`
	HostPermissions                   []string `json:"host_permissions"`
	Permissions                       []string `json:"permissions"`
	DataCollectionPermissions         []string `json:"data_collection_permissions"`
	OptionalDataCollectionPermissions []string `json:"optional_data_collection_permissions"`
	Platform                          string   `json:"platform,omitempty"` // v3, v4: "all"
	Size                              int64    `json:"size"`
	Status                            string   `json:"status"`
	URL                               string   `json:"url"`
}

// License of a version. Its text is in the version's own answer alone.
type License struct {
	ID       int64     `json:"id,omitempty"`
	IsCustom bool      `json:"is_custom"`
	Name     Text      `json:"name"`
	Slug     *string   `json:"slug"`
	Text     Opt[Text] `json:"text,omitzero"`
	URL      *string   `json:"url"`
}

// Category of the taxonomy.
type Category struct {
	ID          int64   `json:"id"`
	Application string  `json:"application"`
	Description *string `json:"description"`
	Misc        bool    `json:"misc"`
	Name        string  `json:"name"`
	Slug        string  `json:"slug"`
	Type        string  `json:"type"`
	Weight      int     `json:"weight"`
}

// Suggestion is what autocompletion tells of an add-on.
type Suggestion struct {
	ID       int64    `json:"id"`
	IconURL  string   `json:"icon_url,omitempty"`
	Icons    Icons    `json:"icons,omitempty"`
	Name     Text     `json:"name"`
	Promoted Promoted `json:"promoted"`
	Type     string   `json:"type"`
	URL      string   `json:"url"`
}

// Page is one page of a list.
type Page[T any] struct {
	PageSize  int     `json:"page_size"`
	PageCount int     `json:"page_count"` // of pages that can be had
	Count     int     `json:"count"`      // of all results
	Next      *string `json:"next"`       // absolute: Firefox follows no other
	Previous  *string `json:"previous"`
	Results   []T     `json:"results"`
}

// List is a list without pages.
type List[T any] struct {
	Results []T `json:"results"`
}

// Refused is the answer to a question about an add-on that is not public.
type Refused struct {
	Detail              string `json:"detail"`
	DisabledByDeveloper bool   `json:"is_disabled_by_developer"`
	DisabledByMozilla   bool   `json:"is_disabled_by_mozilla"`
}

// Detail is the answer to a question that has no better one.
type Detail struct {
	Detail string `json:"detail"`
}

// Invalid is the answer to wrong parameters: what is wrong with each.
type Invalid map[string][]string

// Site is the answer of /site/.
type Site struct {
	ReadOnly bool    `json:"read_only"`
	Notice   *string `json:"notice"`
}
