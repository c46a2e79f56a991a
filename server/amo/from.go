package amo

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"addons/server/catalog"
)

// FromAddon is the add-on's own answer. lang "" gives every text in all its locales;
// another one in the best locale for it alone. The ratings' groups are left out: see
// Grouped.
func FromAddon(a *catalog.Addon, links Links, lang string) Addon {
	w := writer{links, lang, a.DefaultLocale}
	answer := Addon{
		ID: a.ID, GUID: a.GUID, Slug: a.Slug, Type: string(a.Type), Status: string(a.Status),
		Name: w.text(a.Name), Summary: w.text(a.Summary), Description: w.text(a.Description),
		DeveloperComments: w.text(a.DeveloperComments), Homepage: Link{Text: w.text(a.Homepage)},
		SupportURL: Link{Text: w.text(a.SupportURL)}, SupportEmail: w.text(a.SupportEmail),
		ContributionsURL: Address{URL: a.ContributionsURL},
		Authors:          w.authors(a.Authors), Categories: categories(a.Categories), Tags: list(a.Tags),
		Previews: w.previews(a.Previews), Promoted: promoted(a.Promoted),
		AverageDailyUsers: a.AverageDailyUsers, WeeklyDownloads: a.WeeklyDownloads,
		Ratings: Ratings{
			Average: a.Ratings.Average, Bayesian: a.Ratings.Bayesian, Count: a.Ratings.Count, TextCount: a.Ratings.TextCount,
		},
		IsDisabled: a.Status == catalog.Disabled, IsExperimental: a.Experimental, RequiresPayment: a.RequiresPayment,
		HasEULA: a.HasEULA, HasPrivacyPolicy: a.HasPrivacyPolicy,
		Created: Time{a.Created}, LastUpdated: Time{a.LastUpdated},
		DefaultLocale: a.DefaultLocale, TargetLocale: a.TargetLocale,
		URL: links.Addon(a), RatingsURL: links.Addon(a) + "reviews/", VersionsURL: links.Addon(a) + "versions/",
		EditURL:   w.developers(a) + "edit",
		ReviewURL: fmt.Sprintf("%s/%s/reviewers/review/%d", links.Base, links.locale(), a.ID),
		IconURL:   links.Icon(a), Icons: w.icons(a),
	}
	if a.Current != nil {
		current := FromVersion(a, a.Current, links, lang)
		current.withoutLicenseText()
		answer.Current = &current
	}
	return answer
}

// FromVersion is one version's own answer.
func FromVersion(a *catalog.Addon, v *catalog.Version, links Links, lang string) Version {
	w := writer{links, lang, a.DefaultLocale}
	notes := w.text(v.ReleaseNotes)
	return Version{
		ID: v.ID, Version: v.Number, Channel: string(v.Channel), Strict: v.Strict,
		Compatibility: ranges(v.Compatibility),
		EditURL:       fmt.Sprintf("%sversions/%d", w.developers(a), v.ID),
		File:          w.file(appOf(a), v),
		License:       w.license(v.License),
		ReleaseNotes:  Given(&notes),
		Reviewed:      reviewed(v.Reviewed),
	}
}

// ForSearch is the add-on as search results have it: without what no list shows,
// with how well it matches.
func (a Addon) ForSearch(score float64) Addon {
	a.Score = &score
	for i := range a.Authors {
		a.Authors[i].PictureURL = Opt[string]{}
	}
	if a.Current != nil {
		current := *a.Current
		current.License, current.ReleaseNotes = Opt[License]{}, Opt[Text]{}
		a.Current = &current
	}
	return a
}

// Grouped adds how many gave which rating.
func (a Addon) Grouped(ratings catalog.Ratings) Addon {
	a.Ratings.Grouped = map[string]int{}
	for i, n := range ratings.Grouped {
		a.Ratings.Grouped[strconv.Itoa(i+1)] = n
	}
	return a
}

// Suggestion is the add-on as autocompletion tells it.
func (a Addon) Suggestion() Suggestion {
	return Suggestion{ID: a.ID, IconURL: a.IconURL, Icons: a.Icons, Name: a.Name, Promoted: a.Promoted, Type: a.Type, URL: a.URL}
}

// FromCategory is a category's answer, its name in the language.
func FromCategory(c catalog.Category, lang string) Category {
	return Category{
		ID: c.ID, Application: c.App, Misc: c.Misc, Name: c.Name.In(lang, "en-US"),
		Slug: c.Slug, Type: string(c.Type), Weight: c.Weight,
	}
}

// withoutLicenseText: only the version's own answer has the text, for it is long.
func (v *Version) withoutLicenseText() {
	if v.License.Value != nil {
		license := *v.License.Value
		license.Text = Opt[Text]{}
		v.License.Value = &license
	}
}

// writer writes the parts of one answer.
type writer struct {
	links    Links
	lang     string
	fallback string // the add-on's own locale
}

func (w writer) text(t catalog.Text) Text {
	if w.lang == "" {
		return Text{Text: t}
	}
	locale, text := choose(t, w.lang, w.fallback)
	if text == "" {
		return Text{}
	}
	return Text{Text: catalog.Text{locale: text}}
}

// choose returns the text in the language, in any of its regions, before the one in
// the add-on's own locale: who asks for de-AT would rather read de than English.
func choose(t catalog.Text, lang, fallback string) (locale, text string) {
	if locale, text = t.Best(lang); strings.EqualFold(language(locale), language(lang)) {
		return locale, text
	}
	return t.Best(fallback)
}

func language(locale string) string {
	language, _, _ := strings.Cut(locale, "-")
	return language
}

func (w writer) authors(authors []catalog.Author) []Author {
	answer := make([]Author, 0, len(authors))
	for _, a := range authors {
		answer = append(answer, Author{
			ID: a.ID, Name: a.Name, Username: a.Username, URL: w.links.Author(a), PictureURL: Given[string](nil),
		})
	}
	return answer
}

func (w writer) previews(previews []catalog.Preview) []Preview {
	answer := make([]Preview, 0, len(previews))
	for _, p := range previews {
		address, size := w.links.Media(p.Image), []int{p.Width, p.Height}
		answer = append(answer, Preview{
			ID: p.ID, Caption: w.text(p.Caption), Position: p.Position,
			ImageURL: address, ImageSize: size, ThumbnailURL: address, ThumbnailSize: size,
		})
	}
	return answer
}

// icons: pictures are kept in one size, which browsers scale.
func (w writer) icons(a *catalog.Addon) Icons {
	address := w.links.Icon(a)
	if address == "" {
		return nil
	}
	return Icons{"32": address, "64": address, "128": address}
}

func (w writer) developers(a *catalog.Addon) string {
	return fmt.Sprintf("%s/%s/developers/addon/%s/", w.links.Base, w.links.locale(), url.PathEscape(a.Slug))
}

func (w writer) file(app string, v *catalog.Version) *File {
	f := &v.File
	return &File{
		ID: f.ID, Created: Time{f.Created}, Hash: f.Hash, Size: f.Size, Status: string(f.Status),
		IsMozillaSignedExtension: f.Signed, URL: w.links.Download(app, f),
		Permissions: list(f.Permissions), OptionalPermissions: list(f.OptionalPermissions), HostPermissions: list(f.HostPermissions),
		DataCollectionPermissions: []string{}, OptionalDataCollectionPermissions: []string{},
	}
}

// license is null if none is known.
func (w writer) license(l catalog.License) Opt[License] {
	if l.Slug == "" && len(l.Name) == 0 && l.URL == "" && l.Text == "" {
		return Given[License](nil)
	}
	answer := License{IsCustom: l.Slug == "", Name: w.text(l.Name), Slug: optional(l.Slug), URL: optional(l.URL)}
	text := Text{}
	if l.Text != "" {
		text.Text = catalog.Text{w.fallback: l.Text}
	}
	answer.Text = Given(&text)
	return Given(&answer)
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func ranges(compat []catalog.Compat) map[string]Range {
	answer := map[string]Range{}
	for _, c := range compat {
		r := Range{c.Min, c.Max}
		if r.Max == "" {
			r.Max = "*"
		}
		answer[c.App] = r
	}
	return answer
}

func categories(c map[string][]string) Categories {
	if c == nil {
		return Categories{}
	}
	return c
}

func promoted(groups []string) Promoted {
	answer := Promoted{Groups: []Promotion{}}
	for _, g := range groups {
		p := Promotion{Category: g}
		for _, app := range catalog.Apps() {
			p.Apps = append(p.Apps, app.Slug)
		}
		answer.Groups = append(answer.Groups, p)
	}
	return answer
}

func reviewed(t time.Time) *Time {
	if t.IsZero() {
		return nil
	}
	return &Time{t}
}

// list is never null: clients count its members.
func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
