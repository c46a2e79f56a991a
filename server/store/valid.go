package store

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"addons/server/catalog"
)

// The limits of what is stored, in bytes.
const (
	maxShort = 255     // names, numbers, keys: what is indexed
	maxURL   = 2048    // browsers and proxies take no more for sure
	maxText  = 1 << 20 // one text in one locale
	maxList  = 10_000  // versions or ratings in an import
)

// newSaving copies an import, fills in what it left out and refuses what can't be stored.
func newSaving(in Import) (*saving, error) {
	if in.Addon == nil {
		return nil, fmt.Errorf("import without an add-on: %w", catalog.ErrInvalid)
	}
	a := *in.Addon
	if a.DefaultLocale == "" {
		a.DefaultLocale = "en-US"
	}
	s := &saving{addon: &a, digest: addonDigest(a), jobs: in.Jobs, heldBack: in.HeldBack, now: time.Now().UTC().Truncate(time.Second)}
	check := &checker{}
	check.addon(&a)
	check.that(len(in.Versions) <= maxList && len(in.Ratings) <= maxList, "more than %d versions or ratings", maxList)
	check.that(in.HeldBack >= 0 && in.HeldBack <= 100, "held back from %d %% of the clients", in.HeldBack)
	numbers := map[string]bool{}
	for _, v := range in.Versions {
		check.that(!numbers[v.Number], "version %q twice", v.Number)
		numbers[v.Number] = true
		s.versions = append(s.versions, newSavingVersion(*v, s.now))
		check.version(&s.versions[len(s.versions)-1].Version)
	}
	origins := map[string]int{}
	for _, r := range in.Ratings {
		check.rating(r)
		saving := newSavingRating(r, s.now)
		if i, ok := origins[saving.origin]; ok {
			s.ratings[i] = saving // the later one counts
			continue
		}
		origins[saving.origin] = len(s.ratings)
		s.ratings = append(s.ratings, saving)
	}
	if check.err != nil {
		return nil, fmt.Errorf("save add-on %q: %w", cut(a.GUID, 80), check.err)
	}
	return s, nil
}

// addonDigest tells one import of an add-on from another; ids don't count.
func addonDigest(a catalog.Addon) string {
	a.ID, a.Current = 0, nil
	a.Created, a.LastUpdated = a.Created.UTC().Truncate(time.Second), a.LastUpdated.UTC().Truncate(time.Second)
	a.Previews = slices.Clone(a.Previews)
	for i := range a.Previews {
		a.Previews[i].ID = 0
	}
	return digest(a)
}

// digest is the hash of v's JSON, whose maps are sorted.
func digest(v any) string {
	sum := sha256.Sum256([]byte(asJSON(v)))
	return hex.EncodeToString(sum[:])
}

// checker keeps the first thing that is wrong.
type checker struct{ err error }

func (c *checker) that(ok bool, format string, args ...any) {
	if !ok && c.err == nil {
		c.err = fmt.Errorf(format+": %w", append(args, catalog.ErrInvalid)...)
	}
}

func (c *checker) addon(a *catalog.Addon) {
	c.that(catalog.ValidGUID(a.GUID), "GUID %q", cut(a.GUID, 80))
	c.that(slices.Contains(catalog.Types(), a.Type), "type %q", cut(string(a.Type), 80))
	c.status(a.Status)
	c.locale(a.DefaultLocale)
	c.text("target locale", a.TargetLocale, maxShort)
	c.text("slug", a.Slug, maxText) // cut when it is made fit for an address
	c.text("icon", a.Icon, maxShort)
	c.text("contributions URL", a.ContributionsURL, maxURL)
	c.texts("promoted", a.Promoted, maxShort)
	c.texts("tag", a.Tags, maxShort)
	for name, text := range textFields(a) {
		c.localised(name, *text)
	}
	for app, slugs := range a.Categories {
		c.text("application", app, 50)
		c.texts("category", slugs, maxShort)
	}
	for _, p := range a.Authors {
		c.text("author's name", p.Name, maxShort)
		c.text("author's username", p.Username, maxShort)
		c.text("author's URL", p.URL, maxURL)
	}
	for _, p := range a.Previews {
		c.localised("caption", p.Caption)
		c.text("preview's image", p.Image, maxShort)
	}
	r := a.Ratings
	c.that(min(a.AverageDailyUsers, a.WeeklyDownloads, r.Count, r.TextCount, slices.Min(r.Grouped[:])) >= 0, "a number below 0")
}

func (c *checker) version(v *catalog.Version) {
	c.that(v.Number != "", "version without a number")
	c.text("version", v.Number, maxShort)
	c.that(v.Channel == catalog.Listed || v.Channel == catalog.Unlisted, "channel %q of version %q", cut(string(v.Channel), 80), v.Number)
	c.status(v.File.Status)
	c.localised("release notes", v.ReleaseNotes)
	c.localised("license", v.License.Name)
	c.text("license", v.License.Slug, maxShort)
	c.text("license's URL", v.License.URL, maxURL)
	c.text("license", v.License.Text, maxText)
	apps := map[string]bool{}
	for _, r := range v.Compatibility {
		c.that(!apps[r.App], "application %q twice in version %q", r.App, v.Number)
		apps[r.App] = true
		c.text("application", r.App, 50)
		c.text("application's version", r.Min, maxShort)
		c.text("application's version", r.Max, maxShort)
	}
	f := v.File
	c.text("file's name", f.Name, maxShort)
	c.text("file's key", f.Key, maxShort)
	c.text("file's URL", f.URL, maxURL)
	c.text("file's hash", f.Hash, maxShort)
	c.that(f.Size >= 0, "size %d of version %q", f.Size, v.Number)
	c.texts("permission", slices.Concat(f.Permissions, f.OptionalPermissions, f.HostPermissions), maxURL)
}

func (c *checker) rating(r catalog.Rating) {
	c.that(r.Score >= 1 && r.Score <= 5, "rating of %d", r.Score)
	c.text("rating", r.Body, maxText)
	c.text("user", r.UserName, maxShort)
	c.text("rated version", r.VersionNumber, maxShort)
}

func (c *checker) status(s catalog.Status) {
	known := []catalog.Status{catalog.Public, catalog.Nominated, catalog.Incomplete, catalog.Disabled, catalog.Deleted, catalog.Unreviewed}
	c.that(slices.Contains(known, s), "status %q", cut(string(s), 80))
}

func (c *checker) locale(l string) {
	c.text("locale", l, 35) // the longest that RFC 5646 §4.4.1 asks to allow for
	c.that(l != "", "empty locale")
}

func (c *checker) localised(name string, t catalog.Text) {
	for locale, text := range t {
		c.locale(locale)
		c.text(name, text, maxText)
	}
}

func (c *checker) texts(name string, list []string, most int) {
	for _, s := range list {
		c.text(name, s, most)
	}
}

// text refuses what one of the engines can't store.
func (c *checker) text(name, s string, most int) {
	c.that(len(s) <= most, "%s of %d bytes, at most %d", name, len(s), most)
	c.that(utf8.ValidString(s) && !strings.ContainsRune(s, 0), "%s %q is no UTF-8 text", name, cut(s, 80))
}

// cut shortens s to n bytes, at the end of a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
