package load

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"addons/server/catalog"
	"addons/server/file"
	"addons/server/xpi"
)

// newAddon is the listing that a package makes for itself.
func newAddon(p *packed) *catalog.Addon {
	m := p.meta
	a := &catalog.Addon{
		GUID:          m.GUID,
		Type:          m.Type,
		Status:        catalog.Public,
		DefaultLocale: m.DefaultLocale,
		TargetLocale:  m.TargetLocale,
		Name:          m.Name,
		Summary:       m.Summary,
		Icon:          p.icon,
		Categories:    map[string][]string{},
		Created:       p.version.Created,
	}
	if m.Homepage != "" {
		a.Homepage = catalog.Text{m.DefaultLocale: m.Homepage}
	}
	if name := displayName(m.Author); name != "" {
		a.Authors = []catalog.Author{{Name: name, Username: username(name), URL: m.AuthorURL}}
	}
	for _, c := range m.Compatibility {
		if category, ok := lastCategory(c.App, m.Type); ok {
			a.Categories[c.App] = []string{category}
		}
	}
	return a
}

// lastCategory is where what has no category goes: to the one for all the rest,
// or to the only one.
func lastCategory(app string, kind catalog.Type) (slug string, ok bool) {
	for _, c := range catalog.Categories() {
		if c.App == app && c.Type == kind && (c.Misc || !ok) {
			slug, ok = c.Slug, true
		}
	}
	return slug, ok
}

// known is a listing that the site has, to be saved again. Numbers and times are
// left out: the store keeps those that it has.
func known(existing *catalog.Addon) *catalog.Addon {
	a := *existing
	a.Current, a.Created, a.LastUpdated = nil, time.Time{}, time.Time{}
	a.AverageDailyUsers, a.WeeklyDownloads, a.Hotness, a.Ratings = 0, 0, 0, catalog.Ratings{}
	return &a
}

// complete takes what a listing lacks from a package.
func complete(a *catalog.Addon, p *packed) {
	offer := newAddon(p)
	a.Icon = cmp.Or(a.Icon, offer.Icon)
	a.TargetLocale = cmp.Or(a.TargetLocale, offer.TargetLocale)
	if len(a.Summary) == 0 {
		a.Summary = offer.Summary
	}
	if len(a.Homepage) == 0 {
		a.Homepage = offer.Homepage
	}
	if len(a.Authors) == 0 {
		a.Authors = offer.Authors
	}
}

// newVersion is a package as a version. It is as old as its file: a package does
// not say when it was made.
func newVersion(m *xpi.Package, blob file.Blob, modified time.Time) *catalog.Version {
	created := modified.UTC().Truncate(time.Second)
	return &catalog.Version{
		Number:        m.Version,
		Channel:       catalog.Listed,
		Compatibility: m.Compatibility,
		Strict:        m.Strict,
		Created:       created,
		Reviewed:      created,
		File: catalog.File{
			Name:                fileName(m),
			Key:                 blob.Key,
			Hash:                blob.Hash,
			Size:                blob.Size,
			Status:              catalog.Public,
			Created:             created,
			Permissions:         m.Permissions,
			OptionalPermissions: m.OptionalPermissions,
			HostPermissions:     m.HostPermissions,
		},
	}
}

// fileName is "slug-1.2.xpi", after the name or, if that gives no letters, the GUID.
func fileName(m *xpi.Package) string {
	name := cmp.Or(slug(m.Name.In(m.DefaultLocale)), slug(m.GUID), "addon")
	return name[:min(len(name), 100)] + "-" + m.Version + ".xpi"
}

// besides is what authors write behind their names: addresses, and in Mozilla's
// language packs everybody who ever helped.
var besides = regexp.MustCompile(`\s*(<[^>]*>|\(contributors:.*\))`)

// maxAuthor is how many bytes of a name the store takes.
const maxAuthor = 255

// displayName is an author's name as a page shows it: without e-mail addresses,
// which were meant for a manifest, and no longer than may be.
func displayName(author string) string {
	name := strings.TrimSpace(besides.ReplaceAllString(author, ""))
	for len(name) > maxAuthor {
		_, last := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-last]
	}
	return name
}

// username is the site's name for an author that comes with a display name alone;
// the same name gives the same author.
func username(name string) string {
	if s := slug(name); s != "" {
		return s[:min(len(s), 100)]
	}
	sum := sha256.Sum256([]byte(name))
	return "author-" + hex.EncodeToString(sum[:4])
}

// slug is ASCII for addresses: letters without their accents, digits and hyphens.
func slug(s string) string {
	s = plainLetters().Replace(strings.ToLower(s))
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }), "-")
}

// plainLetters covers the Latin letters that names are written with most.
func plainLetters() *strings.Replacer {
	return strings.NewReplacer(
		"á", "a", "à", "a", "â", "a", "ä", "a", "ã", "a", "å", "a", "æ", "ae", "ç", "c", "č", "c", "ć", "c", "é", "e", "è", "e", "ê", "e", "ë", "e", "ě", "e", "ę", "e",
		"í", "i", "ì", "i", "î", "i", "ï", "i", "ı", "i", "ł", "l", "ñ", "n", "ń", "n", "ó", "o", "ò", "o", "ô", "o", "ö", "o", "õ", "o", "ø", "o", "œ", "oe",
		"ř", "r", "š", "s", "ś", "s", "ş", "s", "ß", "ss", "ú", "u", "ù", "u", "û", "u", "ü", "u", "ů", "u", "ý", "y", "ÿ", "y", "ž", "z", "ź", "z", "ż", "z", "ğ", "g", "ą", "a",
	)
}
