package web

import (
	"fmt"
	"strconv"

	"github.com/gin-gonic/gin"

	"addons/server/catalog"
)

const (
	// versionsPerPage and reviewsPerPage are as long as a page stays light.
	versionsPerPage = 25
	reviewsPerPage  = 25
	// reviewsShown on the add-on's own page.
	reviewsShown = 4
)

// bar is one line of the distribution of ratings.
type bar struct {
	Stars   int
	Count   int
	Percent int
}

// release is a version as people read it.
type release struct {
	Version *catalog.Version
	Notes   prose
	Compat  []string
	License link
	File    string // download path
}

// link is a text that may lead somewhere.
type link struct {
	text
	URL string
}

// addonData is what the add-on's page shows.
type addonData struct {
	card
	Type        string
	Section     choice
	Description prose
	Comments    prose
	Release     release
	Permissions []string
	Optional    []string
	Previews    []image
	Categories  []choice
	Tags        []choice
	Links       []link
	Bars        []bar
	Reviews     []catalog.Rating
	Target      string // language tools: the language
	Verb        string // what the install button says
}

func (w *Web) addon(c *gin.Context) error {
	ctx := c.Request.Context()
	a, err := w.Site.Addon(ctx, c.Param("addon"))
	if err != nil {
		return err
	}
	p := w.page(c, "")
	if c.Param("addon") != a.Slug { // by id or GUID: one page, one address
		w.redirect(c, 301, unescape(p.To("addon", a.Slug)))
		return nil
	}
	reviews, _, err := w.ratingsOf(ctx, a, reviewsShown, 0)
	if err != nil {
		return err
	}
	categories, err := w.Site.Categories(ctx)
	if err != nil {
		return err
	}
	d := p.addonData(a)
	d.Reviews = reviews
	d.Categories = p.categoriesOf(a, categories)
	p.Title, p.Description, p.Section = d.Name.Body, d.Summary.Body, sections[a.Type]
	if a.Icon != "" {
		p.Image = w.BaseURL + d.Icon
	}
	p.Data = d
	return w.render(c, "addon", p)
}

func (p *page) addonData(a *catalog.Addon) addonData {
	in := func(t catalog.Text) text { return best(t, p.Locale, a.DefaultLocale) }
	d := addonData{
		card: p.card(a), Type: typeNames[a.Type], Verb: "Add to " + p.App.Name,
		Section:     choice{Label: sectionNames[sections[a.Type]], URL: p.To(sections[a.Type])},
		Description: sanitise(in(a.Description)), Comments: sanitise(in(a.DeveloperComments)),
		Release: p.release(a, a.Current), Permissions: permissions(&a.Current.File),
		Optional: permissions(&catalog.File{Permissions: a.Current.File.OptionalPermissions}),
		Bars:     bars(a.Ratings), Tags: p.tagsOf(a), Links: links(a, in),
	}
	for _, v := range a.Previews {
		d.Previews = append(d.Previews, p.image(v, a))
	}
	if a.TargetLocale != "" {
		d.Target = languageName(a.TargetLocale)
	}
	return d
}

// sectionNames are the menu's entries.
var sectionNames = map[string]string{
	"extensions": "Extensions", "themes": "Themes", "language-tools": "Language tools",
}

func (p *page) tagsOf(a *catalog.Addon) []choice {
	tags := make([]choice, len(a.Tags))
	for i, t := range a.Tags {
		tags[i] = choice{Label: t, URL: p.To("tag", t)}
	}
	return tags
}

func (p *page) categoriesOf(a *catalog.Addon, all []catalog.Category) []choice {
	var mine []choice
	for _, slug := range a.Categories[p.App.Slug] {
		for _, cat := range all {
			if cat.Slug == slug && cat.App == p.App.Slug && cat.Type == a.Type {
				mine = append(mine, choice{Label: best(cat.Name, p.Locale, defaultLocale).Body, URL: p.To(sections[a.Type], slug)})
			}
		}
	}
	return mine
}

// links are the ways out that the author gave, if they lead to the web.
func links(a *catalog.Addon, in func(catalog.Text) text) []link {
	var all []link
	for _, l := range []struct{ label, url string }{
		{"Homepage", in(a.Homepage).Body},
		{"Support site", in(a.SupportURL).Body},
		{"Contribute to its development", a.ContributionsURL},
	} {
		if u := outgoing(l.url); u != "" {
			all = append(all, link{text{Body: l.label}, u})
		}
	}
	return all
}

// bars is the distribution, five stars first.
func bars(r catalog.Ratings) []bar {
	all := make([]bar, 0, len(r.Grouped))
	total := 0
	for _, n := range r.Grouped {
		total += n
	}
	for i := len(r.Grouped) - 1; i >= 0; i-- {
		b := bar{Stars: i + 1, Count: r.Grouped[i]}
		if total > 0 {
			b.Percent = 100 * b.Count / total
		}
		all = append(all, b)
	}
	return all
}

func (p *page) release(a *catalog.Addon, v *catalog.Version) release {
	r := release{
		Version: v, Notes: sanitise(best(v.ReleaseNotes, p.Locale, a.DefaultLocale)), File: filePath(&v.File),
		License: link{best(v.License.Name, p.Locale, a.DefaultLocale), outgoing(v.License.URL)},
	}
	if r.License.Body == "" {
		r.License.Body = v.License.Slug
	}
	for _, compat := range v.Compatibility {
		r.Compat = append(r.Compat, compatibility(compat))
	}
	return r
}

// compatibility in words: "Firefox 115.0 and later".
func compatibility(c catalog.Compat) string {
	name := c.App
	for _, app := range catalog.Apps() {
		if app.Slug == c.App {
			name = app.Name
		}
	}
	low, high := c.Min, c.Max
	if low == "" {
		low = "0"
	}
	switch {
	case (high == "" || high == "*") && low == "0":
		return name
	case high == "" || high == "*":
		return name + " " + low + " and later"
	default:
		return name + " " + low + " to " + high
	}
}

func (w *Web) versions(c *gin.Context) error {
	number, err := pageOf(c)
	if err != nil {
		return err
	}
	a, versions, total, err := w.Site.Versions(c.Request.Context(), c.Param("addon"), versionsPerPage, (number-1)*versionsPerPage)
	if err != nil {
		return err
	}
	if number > 1 && len(versions) == 0 {
		return fmt.Errorf("versions page %d: %w", number, catalog.ErrNotFound)
	}
	p := w.page(c, "")
	releases := make([]release, len(versions))
	for i, v := range versions {
		releases[i] = p.release(a, v)
	}
	type data struct {
		card
		Releases []release
		Total    int
		Pages    pager
	}
	d := data{p.card(a), releases, total, p.pages(number, total, versionsPerPage, onlyPage)}
	p.Title, p.Section = d.Name.Body+": versions", sections[a.Type]
	p.Data = d
	return w.render(c, "versions", p)
}

// onlyPage is the query of a list that has nothing but pages.
func onlyPage(n int) string { return "?page=" + strconv.Itoa(n) }

func (w *Web) reviews(c *gin.Context) error {
	ctx := c.Request.Context()
	number, err := pageOf(c)
	if err != nil {
		return err
	}
	a, err := w.Site.Addon(ctx, c.Param("addon"))
	if err != nil {
		return err
	}
	reviews, total, err := w.ratingsOf(ctx, a, reviewsPerPage, (number-1)*reviewsPerPage)
	if err != nil {
		return err
	}
	if number > 1 && len(reviews) == 0 {
		return fmt.Errorf("reviews page %d: %w", number, catalog.ErrNotFound)
	}
	p := w.page(c, "")
	type data struct {
		card
		Bars    []bar
		Reviews []catalog.Rating
		Total   int
		Pages   pager
	}
	d := data{p.card(a), bars(a.Ratings), reviews, total, p.pages(number, total, reviewsPerPage, onlyPage)}
	p.Title, p.Section, p.NoIndex = d.Name.Body+": reviews", sections[a.Type], true
	p.Data = d
	return w.render(c, "reviews", p)
}
