package amo

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"addons/server/catalog"
)

// What is taken from another site. Each is a multiple of what addons.mozilla.org
// lets its own developers enter.
const (
	maxName        = 1 << 10   // bytes of a name, in each locale
	maxText        = 256 << 10 // bytes of any other text, in each locale
	maxLocales     = 200
	maxMembers     = 500  // authors, tags, categories, permissions of a kind
	maxURL         = 2048 // bytes; longer ones are left out
	maxSlug        = 100  // characters
	maxVersion     = 255  // bytes of a version number
	maxCount       = 1 << 31
	maxPackageSize = 1 << 30 // five times AMO's own limit
)

// Catalog returns what the JSON says, in this site's terms, with the versions that
// it has (current_version, or none). Ids are those of the site it came from.
//
// Left out are pictures, of which JSON has but addresses (see IconURL and Previews),
// links that aren't http or https, and a file's hash if it isn't sha256. Refused,
// with an error that wraps catalog.ErrInvalid and names the member, is what could do
// harm here: a guid, slug or version number that isn't one, a type or status that
// this site has no page for, numbers and texts beyond reason.
func (a Addon) Catalog() (*catalog.Addon, []*catalog.Version, error) {
	r := &reading{locale: cmp.Or(a.DefaultLocale, "en-US")}
	if a.refusal != nil {
		r.refuse("%v", a.refusal)
	}
	addon := r.addon(a)
	var versions []*catalog.Version
	if a.Current != nil {
		addon.Current = r.version(addon, a.Current)
		versions = append(versions, addon.Current)
	}
	if len(r.refusals) > 0 {
		return nil, nil, fmt.Errorf("add-on %q: %s: %w", cmp.Or(a.GUID, a.Slug), strings.Join(r.refusals, "; "), catalog.ErrInvalid)
	}
	return addon, versions, nil
}

// reading is one add-on being read, with all that is wrong with it.
type reading struct {
	locale   string // of texts that don't say
	refusals []string
}

func (r *reading) refuse(format string, args ...any) {
	r.refusals = append(r.refusals, fmt.Sprintf(format, args...))
}

func (r *reading) addon(a Addon) *catalog.Addon {
	if !catalog.ValidGUID(a.GUID) {
		r.refuse("guid %.80q isn't the id of an add-on", a.GUID)
	}
	if a.Slug != "" && !validSlug(a.Slug) {
		r.refuse("slug %.80q can't stand in an address", a.Slug)
	}
	if len(a.Name.in(r.locale)) == 0 {
		r.refuse("name is missing")
	}
	if !localeName(r.locale) {
		r.refuse("default_locale %.40q isn't a locale", r.locale)
	}
	return &catalog.Addon{
		ID: r.count("id", a.ID), GUID: a.GUID, Slug: a.Slug,
		Type: r.kind(a.Type), Status: r.status("status", a.Status, a.IsDisabled),
		DefaultLocale: r.locale, TargetLocale: a.TargetLocale,
		Name: r.text("name", a.Name, maxName), Summary: r.text("summary", a.Summary, maxText),
		Description:       r.text("description", a.Description, maxText),
		DeveloperComments: r.text("developer_comments", a.DeveloperComments, maxText),
		Homepage:          links(r.text("homepage", a.Homepage.Text, maxText)),
		SupportURL:        links(r.text("support_url", a.SupportURL.Text, maxText)),
		SupportEmail:      r.text("support_email", a.SupportEmail, maxName),
		ContributionsURL:  link(a.ContributionsURL.URL),
		Authors:           r.authors(a.Authors), Categories: r.categories(a.Categories),
		Tags: r.list("tags", a.Tags), Promoted: r.promoted(a),
		AverageDailyUsers: int(r.count("average_daily_users", int64(a.AverageDailyUsers))),
		WeeklyDownloads:   int(r.count("weekly_downloads", int64(a.WeeklyDownloads))),
		Ratings:           r.ratings(a.Ratings),
		Experimental:      a.IsExperimental, RequiresPayment: a.RequiresPayment,
		HasEULA: a.HasEULA, HasPrivacyPolicy: a.HasPrivacyPolicy,
		Created: a.Created.Time, LastUpdated: a.LastUpdated.Time,
	}
}

func (r *reading) version(a *catalog.Addon, v *Version) *catalog.Version {
	if !validVersion(v.Version) {
		r.refuse("version %.80q isn't a version number", v.Version)
	}
	version := &catalog.Version{
		ID: r.count("version id", v.ID), AddonID: a.ID, Number: v.Version,
		Channel: r.channel(v.Channel), Strict: v.Strict,
		ReleaseNotes:  r.text("release_notes", v.ReleaseNotes.or(), maxText),
		License:       r.license(v.License.or()),
		Compatibility: r.compatibility(v.Compatibility),
	}
	if v.Reviewed != nil {
		version.Reviewed = v.Reviewed.Time
	}
	file := v.file()
	if file == nil {
		r.refuse("version %.80q has no file", v.Version)
		return version
	}
	version.File = r.file(version, file)
	version.Created = version.File.Created
	return version
}

// file is the version's file, in the older form the one for all platforms.
func (v *Version) file() *File {
	if v.File != nil {
		return v.File
	}
	for i := range v.Files {
		if v.Files[i].Platform == "all" || len(v.Files) == 1 {
			return &v.Files[i]
		}
	}
	return nil
}

func (r *reading) file(v *catalog.Version, f *File) catalog.File {
	if f.Size < 0 || f.Size > maxPackageSize {
		r.refuse("file size %d is out of bounds", f.Size)
	}
	file := catalog.File{
		ID: r.count("file id", f.ID), VersionID: v.ID, URL: link(f.URL), Hash: sha256(f.Hash), Size: f.Size,
		Status: r.status("file status", f.Status, false), Created: f.Created.Time, Signed: f.IsMozillaSignedExtension,
		Permissions:         r.list("permissions", f.Permissions),
		OptionalPermissions: r.list("optional_permissions", f.OptionalPermissions),
		HostPermissions:     r.list("host_permissions", f.HostPermissions),
	}
	if file.URL == "" {
		r.refuse("file url %.80q isn't an http or https address", f.URL)
	} else if u, err := url.Parse(file.URL); err == nil {
		file.Name = fileName(path.Base(u.Path))
	}
	return file
}

// fileName keeps a name only if it can do no harm where it is saved or shown.
func fileName(name string) string {
	if len(name) > 255 || strings.HasPrefix(name, ".") || strings.ContainsAny(name, `/\:*?"<>|`) || strings.ContainsFunc(name, unicode.IsControl) {
		return ""
	}
	return name
}

// sha256 is the hash in small letters if it is one, else "".
func sha256(hash string) string {
	hash = strings.ToLower(hash)
	digits, ok := strings.CutPrefix(hash, "sha256:")
	if !ok || len(digits) != 64 || strings.Trim(digits, "0123456789abcdef") != "" {
		return ""
	}
	return hash
}

func (r *reading) kind(t string) catalog.Type {
	if !slices.Contains(catalog.Types(), catalog.Type(t)) {
		r.refuse("type %.40q has no place here (known: %v)", t, catalog.Types())
	}
	return catalog.Type(t)
}

// status: a public answer of another site may leave it out.
func (r *reading) status(member, status string, disabled bool) catalog.Status {
	switch s := catalog.Status(status); {
	case disabled:
		return catalog.Disabled
	case s == "":
		return catalog.Public
	case s == "rejected":
		return catalog.Disabled
	case slices.Contains([]catalog.Status{catalog.Public, catalog.Nominated, catalog.Incomplete, catalog.Disabled, catalog.Deleted, catalog.Unreviewed}, s):
		return s
	}
	r.refuse("%s %.40q is unknown", member, status)
	return ""
}

func (r *reading) channel(channel string) catalog.Channel {
	switch c := catalog.Channel(channel); c {
	case "":
		return catalog.Listed
	case catalog.Listed, catalog.Unlisted:
		return c
	}
	r.refuse("channel %.40q is unknown", channel)
	return ""
}

// text takes a text with its locales and without control characters.
func (r *reading) text(member string, t Text, limit int) catalog.Text {
	given := t.in(r.locale)
	if len(given) > maxLocales {
		r.refuse("%s has %d locales, at most %d are taken", member, len(given), maxLocales)
		return nil
	}
	var text catalog.Text
	for _, locale := range slices.Sorted(maps.Keys(given)) {
		switch s := printable(given[locale]); {
		case !localeName(locale):
			r.refuse("%s is in %.40q, which isn't a locale", member, locale)
		case len(s) > limit:
			r.refuse("%s has %d bytes in %s, at most %d are taken", member, len(s), locale, limit)
		case s != "":
			if text == nil {
				text = catalog.Text{}
			}
			text[locale] = s
		}
	}
	return text
}

// printable drops control characters but line ends and tabs.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) && c != '\n' && c != '\t' {
			return -1
		}
		return c
	}, s)
}

// localeName says whether s looks like a BCP 47 tag.
func localeName(s string) bool {
	return s != "" && len(s) <= 35 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}

func (r *reading) count(member string, n int64) int64 {
	if n < 0 || n > maxCount && !strings.HasSuffix(member, "id") {
		r.refuse("%s %d is out of bounds", member, n)
	}
	return n
}

func (r *reading) ratings(g Ratings) catalog.Ratings {
	for name, average := range map[string]float64{"average": g.Average, "bayesian_average": g.Bayesian} {
		if average < 0 || average > 5 {
			r.refuse("ratings: %s %g isn't from 0 to 5", name, average)
		}
	}
	ratings := catalog.Ratings{
		Average: g.Average, Bayesian: g.Bayesian,
		Count: int(r.count("ratings count", int64(g.Count))), TextCount: int(r.count("ratings text_count", int64(g.TextCount))),
	}
	for i := range ratings.Grouped {
		ratings.Grouped[i] = int(r.count("grouped_counts", int64(g.Grouped[string(rune('1'+i))])))
	}
	return ratings
}

func (r *reading) authors(authors []Author) []catalog.Author {
	if len(authors) > maxMembers {
		r.refuse("%d authors, at most %d are taken", len(authors), maxMembers)
		return nil
	}
	var list []catalog.Author
	for _, a := range authors {
		name := printable(a.Name)
		if name == "" || len(name) > maxName || len(a.Username) > maxName {
			r.refuse("author %d has no name or too long a one", a.ID)
			continue
		}
		list = append(list, catalog.Author{ID: r.count("author id", a.ID), Name: name, Username: printable(a.Username), URL: link(a.URL)})
	}
	return list
}

// categories takes those of the applications and the slugs' form; unknown ones are
// the store's to leave out, for a taxonomy grows.
func (r *reading) categories(c Categories) map[string][]string {
	var known map[string][]string
	for app, slugs := range c {
		if _, ok := catalog.AppBy(app); !ok || len(slugs) == 0 {
			continue
		}
		if known == nil {
			known = map[string][]string{}
		}
		known[app] = r.list("categories", slugs)
	}
	return known
}

func (r *reading) promoted(a Addon) []string {
	var groups []string
	for _, p := range a.Promoted.Groups {
		if p.Category != "" && !slices.Contains(groups, p.Category) {
			groups = append(groups, p.Category)
		}
	}
	if a.IsRecommended && len(groups) == 0 {
		groups = []string{"recommended"}
	}
	return r.list("promoted", groups)
}

// list takes short texts.
func (r *reading) list(member string, texts []string) []string {
	if len(texts) > maxMembers {
		r.refuse("%s has %d members, at most %d are taken", member, len(texts), maxMembers)
		return nil
	}
	var list []string
	for _, t := range texts {
		if t = printable(t); len(t) > maxName {
			r.refuse("%s has a member of %d bytes, at most %d are taken", member, len(t), maxName)
		} else if t != "" {
			list = append(list, t)
		}
	}
	return list
}

func (r *reading) license(l License) catalog.License {
	license := catalog.License{Name: r.text("license name", l.Name, maxName)}
	if l.Slug != nil {
		license.Slug = printable(*l.Slug)
	}
	if l.URL != nil {
		license.URL = link(*l.URL)
	}
	license.Text = r.text("license text", l.Text.or(), maxText).In(r.locale)
	if len(license.Slug) > maxName {
		r.refuse("license slug has %d bytes", len(license.Slug))
	}
	return license
}

// compatibility takes the applications that this site knows, in its order.
func (r *reading) compatibility(ranges map[string]Range) []catalog.Compat {
	var compat []catalog.Compat
	for _, app := range catalog.Apps() {
		bounds, ok := ranges[app.Slug]
		if !ok {
			continue
		}
		for _, bound := range []string{bounds.Min, bounds.Max} {
			if bound != "" && !validVersion(bound) {
				r.refuse("compatibility: %.80q isn't a version number", bound)
			}
		}
		compat = append(compat, catalog.Compat{App: app.Slug, Min: bounds.Min, Max: bounds.Max})
	}
	return compat
}

// validSlug: it stands in paths, and is told from an id and a guid by its form.
func validSlug(s string) bool {
	if utf8.RuneCountInString(s) > maxSlug || s == "." || s == ".." || strings.Trim(s, "0123456789") == "" {
		return false
	}
	for _, c := range s {
		if !unicode.IsLetter(c) && !unicode.IsMark(c) && !unicode.IsDigit(c) && !strings.ContainsRune("-_.~+", c) {
			return false
		}
	}
	return true
}

// validVersion: AMO's letters for version numbers.
func validVersion(s string) bool {
	return s != "" && len(s) <= maxVersion && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-+*._") == ""
}

// link is s if it is an http or https address, else "": a page would make it one to click on.
func link(s string) string {
	u, err := url.Parse(s)
	if err != nil || len(s) > maxURL || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	return s
}

func links(t catalog.Text) catalog.Text {
	var good catalog.Text
	for locale, s := range t {
		if link(s) == "" {
			continue
		}
		if good == nil {
			good = catalog.Text{}
		}
		good[locale] = s
	}
	return good
}
