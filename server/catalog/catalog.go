// Package catalog is what an add-ons site is about: add-ons, their versions and
// files, the applications they run in, and the rules that hold for them. It
// does no I/O, so that pages, the API, the importer and the update check all
// share one set of rules.
package catalog

import (
	"errors"
	"time"
)

// The errors that callers tell apart with errors.Is; web turns them into statuses in one table.
var (
	ErrNotFound = errors.New("not found")
	ErrInvalid  = errors.New("invalid")
	// ErrUnavailable: a backend that is needed for the answer is down; trying again later may help.
	ErrUnavailable = errors.New("unavailable")
	// ErrBehind: so much has changed that it is not known any more what.
	ErrBehind = errors.New("further behind than changes are kept")
)

// Type is the kind of an add-on, in AMO API v5's words.
type Type string

// The types that can be listed. The order is the order of the site's menus.
const (
	Extension  Type = "extension"
	Theme      Type = "statictheme"
	Dictionary Type = "dictionary"
	Language   Type = "language"
)

// Types lists every Type, in menu order.
func Types() []Type { return []Type{Extension, Theme, Dictionary, Language} }

// Status is where an add-on or a file stands in review, in AMO API v5's words.
type Status string

// Only Public add-ons with a Public file in a listed version are shown to anyone.
const (
	Public     Status = "public"
	Nominated  Status = "nominated"
	Incomplete Status = "incomplete"
	Disabled   Status = "disabled"
	Deleted    Status = "deleted"
	Unreviewed Status = "unreviewed"
)

// Channel says whether a version is offered on the site (listed) or distributed by its author.
type Channel string

// The two channels.
const (
	Listed   Channel = "listed"
	Unlisted Channel = "unlisted"
)

// App is an application that runs add-ons.
type App struct {
	Slug string // as in AMO API v5: "firefox", "android"
	GUID string // as in the update check's appID
	Name string // for people
}

// The applications that this site serves.
var (
	Firefox = App{Slug: "firefox", GUID: "{ec8030f7-c20a-464f-9b0e-13a3a9e97384}", Name: "Firefox"}
	Android = App{Slug: "android", GUID: "{aa3c5121-dab2-40e2-81ca-7ea25febc110}", Name: "Firefox for Android"}
)

// Apps lists every App.
func Apps() []App { return []App{Firefox, Android} }

// Text is one text in several locales: BCP 47 tag → text. An empty Text is "not given".
type Text map[string]string

// In returns the text in the first of the locales that has one; then in the
// language of a locale ("de" for "de-AT", "pt-BR" for "pt"); then in any (the
// alphabetically first locale, so that the answer is stable). "" if empty.
func (t Text) In(locales ...string) string {
	_, text := t.Best(locales...)
	return text
}

// Addon is one add-on with everything that its page and its API answer need.
type Addon struct {
	ID            int64
	GUID          string
	Slug          string
	Type          Type
	Status        Status
	DefaultLocale string
	TargetLocale  string // language packs and dictionaries: the locale they are for

	Name              Text
	Summary           Text // plain text
	Description       Text // limited HTML as its author wrote it; web sanitises
	DeveloperComments Text
	Homepage          Text // URLs per locale
	SupportURL        Text
	SupportEmail      Text
	ContributionsURL  string
	Icon              string // file.Store key of a PNG or SVG, "" for the default icon

	Authors    []Author
	Categories map[string][]string // App.Slug → category slugs
	Tags       []string
	Previews   []Preview
	Promoted   []string // AMO's promoted categories: line, notable, recommended, spotlight, strategic

	AverageDailyUsers int
	WeeklyDownloads   int
	Hotness           float64
	Ratings           Ratings

	Experimental     bool
	RequiresPayment  bool
	HasEULA          bool
	HasPrivacyPolicy bool

	Created     time.Time // UTC, whole seconds, as are all times of this package
	LastUpdated time.Time

	Current *Version // newest listed public version; nil if there is none
}

// Author is who made an add-on. ID is the site's own.
type Author struct {
	ID       int64
	Name     string
	Username string
	URL      string // profile elsewhere, "" if none
}

// Preview is one screenshot.
type Preview struct {
	ID       int64
	Position int
	Caption  Text
	Image    string // file.Store key
	Width    int    // pixels
	Height   int
}

// Ratings is the sum of an add-on's ratings.
type Ratings struct {
	Average   float64 // 0 when Count is 0, else 1–5
	Bayesian  float64
	Count     int
	TextCount int    // ratings that have a body
	Grouped   [5]int // how many gave 1, 2, 3, 4, 5
}

// Rating is one user's opinion of one version.
type Rating struct {
	ID            int64
	AddonID       int64
	VersionNumber string
	UserName      string
	Score         int // 1–5
	Body          string
	Created       time.Time
}

// Version is one release of an add-on, with its one file.
type Version struct {
	ID            int64
	AddonID       int64
	Number        string // compares by Compare
	Channel       Channel
	Deleted       bool
	ReleaseNotes  Text
	License       License
	Compatibility []Compat
	// Strict means that the maximum of Compatibility binds in every mode.
	Strict   bool
	Created  time.Time
	Reviewed time.Time // zero: not yet
	File     File
	// HeldBack is how many percent of the clients are not offered it as an update (see
	// Client); known of what Candidates returns alone.
	HeldBack int `json:",omitzero"`
}

// License under which a version is given. Slug is AMO's or SPDX's word, "" if custom or unknown.
type License struct {
	Slug string
	Name Text
	URL  string
	Text string
}

// Compat is the range of one application's versions that a version runs in, both ends included.
type Compat struct {
	App string // App.Slug
	Min string // "" counts as "0"
	Max string // "" or "*" is no limit
}

// File is the installable package of a Version.
type File struct {
	ID        int64
	VersionID int64
	Name      string // as downloaded: "slug-1.2.xpi"
	Key       string // file.Store key; "" when the bytes are elsewhere (imported from JSON only)
	URL       string // where the bytes are when Key is ""
	Hash      string // "sha256:" + 64 lower-case hex digits
	Size      int64  // bytes
	Status    Status
	Created   time.Time

	Permissions         []string
	OptionalPermissions []string
	HostPermissions     []string
	Signed              bool // by Mozilla
}

// Category of the fixed taxonomy, per application and type.
type Category struct {
	ID     int64
	App    string // App.Slug
	Type   Type
	Slug   string
	Name   Text
	Weight int  // order in menus, ascending
	Misc   bool // "other"
}

// Tag and how many public add-ons carry it.
type Tag struct {
	Name  string
	Count int
}
