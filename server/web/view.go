package web

import (
	"html/template"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/microcosm-cc/bluemonday"
	"golang.org/x/text/language"
	"golang.org/x/text/language/display"

	"addons/server/catalog"
)

// card is an add-on in a list.
type card struct {
	Addon   *catalog.Addon
	URL     string
	Name    text
	Summary text
	Icon    string
	Preview *image // themes only
	Badges  []string
	Authors []author
}

type author struct {
	Name string
	URL  string
}

// image has its size, so that nothing moves when it arrives.
type image struct {
	URL     string
	Width   int
	Height  int
	Caption text
}

// cards prepares add-ons for a list.
func (p *page) cards(addons []*catalog.Addon) []card {
	all := make([]card, len(addons))
	for i, a := range addons {
		all[i] = p.card(a)
	}
	return all
}

func (p *page) card(a *catalog.Addon) card {
	c := card{
		Addon: a, URL: p.To("addon", a.Slug), Name: p.name(a), Summary: best(a.Summary, p.Locale, a.DefaultLocale),
		Icon: p.icon(a), Badges: badges(a.Promoted), Authors: p.authors(a),
	}
	if a.Type == catalog.Theme && len(a.Previews) > 0 {
		preview := p.image(a.Previews[0], a)
		c.Preview = &preview
	}
	return c
}

// name is what an add-on is called; its slug if nobody named it.
func (p *page) name(a *catalog.Addon) text {
	if t := best(a.Name, p.Locale, a.DefaultLocale); t.Body != "" {
		return t
	}
	return text{Body: a.Slug}
}

func (p *page) authors(a *catalog.Addon) []author {
	all := make([]author, len(a.Authors))
	for i, who := range a.Authors {
		all[i] = author{Name: who.Name, URL: p.To("user", who.Username)}
		if who.Name == "" {
			all[i].Name = who.Username
		}
		if who.Username == "" {
			all[i].URL = ""
		}
	}
	return all
}

// icon is an add-on's own, or its type's.
func (p *page) icon(a *catalog.Addon) string {
	if a.Icon != "" {
		return mediaPath(a.Icon)
	}
	return p.Static(string(defaultIcon(a.Type)) + ".svg")
}

// defaultIcon is the type whose drawing stands for a type.
func defaultIcon(t catalog.Type) catalog.Type {
	if slices.Contains(catalog.Types(), t) {
		return t
	}
	return catalog.Extension
}

// mediaPath is where an image of the file store is served.
func mediaPath(key string) string { return (&url.URL{Path: "/media/" + key}).EscapedPath() }

// Sizes that a preview is given when an import did not tell.
const previewWidth, previewHeight = 640, 400

func (p *page) image(v catalog.Preview, a *catalog.Addon) image {
	i := image{URL: mediaPath(v.Image), Width: v.Width, Height: v.Height, Caption: best(v.Caption, p.Locale, a.DefaultLocale)}
	if i.Width <= 0 || i.Height <= 0 {
		i.Width, i.Height = previewWidth, previewHeight
	}
	return i
}

// badges are the promoted categories that visitors are told of.
func badges(promoted []string) []string {
	var all []string
	for _, b := range []struct{ category, words string }{
		{"recommended", "Recommended"}, {"line", "By Firefox"}, {"spotlight", "Spotlight"},
	} {
		if slices.Contains(promoted, b.category) {
			all = append(all, b.words)
		}
	}
	return all
}

// authored is the policy for what authors write: the tags that AMO lets them
// use, links that pass on no reputation.
var authored = func() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.AllowElements("a", "abbr", "acronym", "b", "blockquote", "br", "code", "em", "i", "li", "ol", "strong", "ul")
	p.AllowAttrs("href").OnElements("a")
	p.AllowAttrs("title").OnElements("abbr", "acronym")
	p.AllowURLSchemes("http", "https")
	p.RequireParseableURLs(true)
	p.AllowRelativeURLs(false)
	p.RequireNoFollowOnLinks(true)
	return p
}()

// prose is an author's limited HTML, sanitised.
type prose struct {
	text
	HTML template.HTML
}

func sanitise(t text) prose {
	clean := authored.Sanitize(strings.TrimSpace(t.Body))
	// In sanitised text a bare quote stands only around an attribute's value, so
	// that this can hit nothing else.
	clean = strings.ReplaceAll(clean, ` rel="nofollow"`, ` rel="nofollow noopener ugc"`)
	return prose{t, template.HTML(clean)}
}

// aroundLists is the white space that authors put around the tags of lists.
var aroundLists = regexp.MustCompile(`\s*(</?(?:ul|ol|li|blockquote)>)\s*`)

// Tight is HTML for a place that shows its line breaks: those that only set the
// source of a list apart are left out.
func (p prose) Tight() template.HTML {
	return template.HTML(aroundLists.ReplaceAllString(string(p.HTML), "$1"))
}

// outgoing lets a link through that leads to the web; anything else is "".
func outgoing(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return ""
	}
	return u.String()
}

// typeNames are the types in the words of the site.
var typeNames = map[catalog.Type]string{
	catalog.Extension:  "Extension",
	catalog.Theme:      "Theme",
	catalog.Dictionary: "Dictionary",
	catalog.Language:   "Language pack",
}

// sections are the path of the list that a type is found in.
var sections = map[catalog.Type]string{
	catalog.Extension:  "extensions",
	catalog.Theme:      "themes",
	catalog.Dictionary: "language-tools",
	catalog.Language:   "language-tools",
}

// languageName names a locale in English: "German".
func languageName(locale string) string {
	tag, err := language.Parse(locale)
	if err != nil {
		return locale
	}
	if name := display.English.Tags().Name(tag); name != "" {
		return name
	}
	return locale
}

// selfName names a locale in its own language: "Deutsch".
func selfName(locale string) string {
	tag, err := language.Parse(locale)
	if err != nil {
		return ""
	}
	return display.Self.Name(tag)
}
