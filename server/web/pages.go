package web

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"addons/server/catalog"
	"addons/server/search"
	"addons/server/site"
	"addons/server/store"
)

const (
	// perPage add-ons on a page of a list.
	perPage = 24
	// maxPage keeps anybody from walking the database by its offset.
	maxPage = 200
	// maxText of a search, as AMO's API.
	maxText = 100
)

// root sends the visitor to the home page of their language.
func (w *Web) root(c *gin.Context) error {
	c.Header("Vary", "Accept-Language")
	w.redirect(c, http.StatusFound, "/"+negotiate(c.Request)+"/"+catalog.Firefox.Slug+"/")
	return nil
}

// shelf is a titled row of add-ons with a way to more of them.
type shelf struct {
	ID    string
	Title string
	More  string
	Cards []card
}

func (w *Web) home(c *gin.Context) error {
	p := w.page(c, "Add-ons for "+appOf(c).Name)
	p.Description = "Extensions, themes and language tools for " + p.App.Name + "."
	h, err := w.Site.Home(c.Request.Context(), p.App.Slug)
	if err != nil {
		return err
	}
	tags, err := w.Site.Tags(c.Request.Context(), 20)
	if err != nil {
		return err
	}
	type data struct {
		Shelves []shelf
		Counts  string
		Tags    []catalog.Tag
	}
	var shelves []shelf
	for _, s := range []struct {
		id, title, more string
		addons          []*catalog.Addon
	}{
		{"recommended", "Recommended extensions", p.To("extensions") + "?sort=recommended", h.Recommended},
		{"popular", "Most used", p.To("extensions") + "?sort=users", h.Popular},
		{"themes", "Popular themes", p.To("themes"), h.Themes},
		{"rising", "Rising", p.To("extensions") + "?sort=hotness", h.Rising},
		{"new", "New", p.To("extensions") + "?sort=created", h.New},
	} {
		if len(s.addons) > 0 {
			shelves = append(shelves, shelf{s.id, s.title, s.more, p.cards(s.addons)})
		}
	}
	p.Data = data{shelves, counted(h.Counts), tags}
	return w.render(c, "home", p)
}

// counted says how much there is.
func counted(n map[catalog.Type]int) string {
	return fmt.Sprintf("%s extensions, %s themes and %s dictionaries and language packs, free to use.",
		number(n[catalog.Extension]), number(n[catalog.Theme]), number(n[catalog.Dictionary]+n[catalog.Language]))
}

// appOf is the application in the path.
func appOf(c *gin.Context) catalog.App {
	if c.Param("app") == catalog.Android.Slug {
		return catalog.Android
	}
	return catalog.Firefox
}

// choice is one of several links, of which one is where the visitor is.
type choice struct {
	Label string
	Value string
	URL   string
	Here  bool
}

// list is a page of add-ons.
type list struct {
	Heading    string
	Above      choice // the list that this one is a part of
	Cards      []card
	Total      int
	Sorts      []choice
	Categories []choice
	Pages      pager
	Themes     bool
}

// sorts are those that lists offer, in the order of their menu.
var sorts = []struct{ value, label string }{
	{"recommended", "Recommended"},
	{"users", "Most users"},
	{"ratings", "Top rated"},
	{"hotness", "Rising"},
	{"created", "Newest"},
	{"updated", "Recently updated"},
	{"name", "Name"},
}

// sortOf is the sort that the query asks for; the fallback if it is none of ours.
func sortOf(c *gin.Context, fallback string) string {
	asked := c.Query("sort")
	for _, s := range sorts {
		if s.value == asked {
			return asked
		}
	}
	return fallback
}

// pageOf is the page number that the query asks for.
func pageOf(c *gin.Context) (int, error) {
	raw := c.Query("page")
	if raw == "" {
		return 1, nil
	}
	n, err := strconv.Atoi(raw)
	if err != nil || n < 1 || n > maxPage {
		return 0, fmt.Errorf("page %q: %w", raw, catalog.ErrNotFound)
	}
	return n, nil
}

// pager links the pages of a list.
type pager struct {
	Page     int
	Last     int
	Previous string
	Next     string
}

// pages makes the pager; query is what the links carry besides the page.
func (p *page) pages(number, total, size int, query func(page int) string) pager {
	last := min(max((total+size-1)/size, 1), maxPage)
	g := pager{Page: number, Last: last}
	if number > 1 {
		g.Previous = p.Path + query(number-1)
	}
	if number < last {
		g.Next = p.Path + query(number+1)
	}
	return g
}

// browse lists a type, or a category of it.
func (w *Web) browse(c *gin.Context) error {
	p := w.page(c, "")
	kind, what := catalog.Extension, "Extensions"
	p.Section = "extensions"
	if strings.Contains(recordOf(c.Request.Context()).endpoint.pattern, "/themes/") {
		kind, what, p.Section = catalog.Theme, "Themes", "themes"
	}
	b := store.Browse{Type: string(kind), App: p.App.Slug, Category: c.Param("category")}
	l := list{Heading: what, Themes: kind == catalog.Theme}
	categories, err := w.Site.Categories(c.Request.Context())
	if err != nil {
		return err
	}
	known := b.Category == ""
	for _, cat := range categories {
		if cat.App != p.App.Slug || cat.Type != kind {
			continue
		}
		name := best(cat.Name, p.Locale, defaultLocale)
		if cat.Slug == b.Category {
			known, l.Heading, l.Above = true, name.Body, choice{Label: what, URL: p.To(p.Section)}
		}
		l.Categories = append(l.Categories, choice{Label: name.Body, URL: p.To(p.Section, cat.Slug), Here: cat.Slug == b.Category})
	}
	if !known {
		return fmt.Errorf("category %q: %w", b.Category, catalog.ErrNotFound)
	}
	return w.list(c, p, b, l, "recommended")
}

// tag lists what carries a tag.
func (w *Web) tag(c *gin.Context) error {
	p := w.page(c, "")
	return w.list(c, p, store.Browse{App: p.App.Slug, Tag: c.Param("tag")},
		list{Heading: "Tagged “" + c.Param("tag") + "”"}, "users")
}

// user lists what somebody made.
func (w *Web) user(c *gin.Context) error {
	who := c.Param("user")
	f, err := w.look(c, store.Browse{Author: who}, "users")
	if err != nil {
		return err
	}
	if len(f.Addons) == 0 {
		return fmt.Errorf("user %q: %w", who, catalog.ErrNotFound)
	}
	name := who
	for _, a := range f.Addons[0].Authors {
		if (a.Username == who || strconv.FormatInt(a.ID, 10) == who) && a.Name != "" {
			name = a.Name
		}
	}
	return w.showList(c, w.page(c, ""), f, list{Heading: "Add-ons by " + name})
}

// list reads a list and sends it.
func (w *Web) list(c *gin.Context, p *page, b store.Browse, l list, fallback string) error {
	f, err := w.look(c, b, fallback)
	if err != nil {
		return err
	}
	return w.showList(c, p, f, l)
}

// found is the page of a list that the query asks for.
type found struct {
	site.Page
	sort   string
	number int
}

func (w *Web) look(c *gin.Context, b store.Browse, fallback string) (found, error) {
	number, err := pageOf(c)
	if err != nil {
		return found{}, err
	}
	b.Sort, b.Limit, b.Offset = sortOf(c, fallback), perPage, (number-1)*perPage
	page, err := w.Site.Browse(c.Request.Context(), b)
	if err != nil {
		return found{}, err
	}
	if number > 1 && len(page.Addons) == 0 {
		return found{}, fmt.Errorf("page %d of %d add-ons: %w", number, page.Total, catalog.ErrNotFound)
	}
	return found{page, b.Sort, number}, nil
}

// showList fills in what lists have in common.
func (w *Web) showList(c *gin.Context, p *page, f found, l list) error {
	for _, s := range sorts {
		l.Sorts = append(l.Sorts, choice{Label: s.label, Value: s.value, URL: p.Path + "?sort=" + s.value, Here: s.value == f.sort})
	}
	l.Cards, l.Total = p.cards(f.Addons), f.Total
	l.Pages = p.pages(f.number, f.Total, perPage, func(n int) string {
		return "?sort=" + f.sort + "&page=" + strconv.Itoa(n)
	})
	p.Title = l.Heading
	if l.Above.Label != "" {
		p.Title += " – " + l.Above.Label
	}
	p.Description = p.Title + " for " + p.App.Name + "."
	p.NoIndex = f.number > 1
	p.Data = l
	return w.render(c, "list", p)
}

// menu is the categories of a type.
type menu struct {
	Title string
	URL   string
	Items []choice
}

func (w *Web) categories(c *gin.Context) error {
	p := w.page(c, "Categories")
	all, err := w.Site.Categories(c.Request.Context())
	if err != nil {
		return err
	}
	menus := []menu{{Title: "Extensions", URL: p.To("extensions")}, {Title: "Themes", URL: p.To("themes")}}
	for _, cat := range all {
		i := slices.Index([]catalog.Type{catalog.Extension, catalog.Theme}, cat.Type)
		if i < 0 || cat.App != p.App.Slug {
			continue
		}
		menus[i].Items = append(menus[i].Items, choice{
			Label: best(cat.Name, p.Locale, defaultLocale).Body, URL: p.To(sections[cat.Type], cat.Slug)})
	}
	p.Section = "categories"
	p.Data = menus
	return w.render(c, "categories", p)
}

// tongue is a language with what there is for it.
type tongue struct {
	Locale       string
	Name         string
	Self         string
	Packs        []card
	Dictionaries []card
}

// maxTools bounds the language tools page: AMO has under two hundred of each type.
const maxTools = 500

func (w *Web) languageTools(c *gin.Context) error {
	p := w.page(c, "Dictionaries and language packs")
	byLocale := map[string]*tongue{}
	for _, kind := range []catalog.Type{catalog.Language, catalog.Dictionary} {
		found, err := w.Site.Browse(c.Request.Context(), store.Browse{Type: string(kind), App: p.App.Slug, Sort: "users", Limit: maxTools})
		if err != nil {
			return err
		}
		for _, a := range found.Addons {
			t, ok := byLocale[a.TargetLocale]
			if !ok {
				t = &tongue{Locale: a.TargetLocale, Name: languageName(a.TargetLocale), Self: selfName(a.TargetLocale)}
				byLocale[a.TargetLocale] = t
			}
			if kind == catalog.Language {
				t.Packs = append(t.Packs, p.card(a))
			} else {
				t.Dictionaries = append(t.Dictionaries, p.card(a))
			}
		}
	}
	tongues := make([]*tongue, 0, len(byLocale))
	for _, t := range byLocale {
		tongues = append(tongues, t)
	}
	slices.SortFunc(tongues, func(a, b *tongue) int { return strings.Compare(a.Name+a.Locale, b.Name+b.Locale) })
	p.Section = "language-tools"
	p.Data = tongues
	return w.render(c, "language-tools", p)
}

// searched is the page of a search.
type searched struct {
	Text     string
	Type     string
	Sort     string
	Badged   bool
	Types    []choice
	Sorts    []choice
	Cards    []card
	Total    int
	Partial  bool
	Fallback bool
	Pages    pager
}

func (w *Web) search(c *gin.Context) error {
	p := w.page(c, "Search")
	number, err := pageOf(c)
	if err != nil {
		return err
	}
	s, q := p.ask(c)
	q.Offset = (number - 1) * perPage
	found, err := w.Site.SearchOnce(c.Request.Context(), q)
	if err != nil {
		return err
	}
	s.Cards, s.Total = p.cards(found.Addons), found.Total
	s.Partial, s.Fallback = found.Partial, found.Fallback
	carried := c.Request.URL.Query()
	s.Pages = p.pages(number, found.Total, perPage, func(n int) string {
		carried.Set("page", strconv.Itoa(n))
		return "?" + carried.Encode()
	})
	if s.Text != "" {
		p.Title = "Search: " + s.Text
	}
	p.Query, p.NoIndex, p.Data = s.Text, true, s
	return w.render(c, "search", p)
}

// ask reads a search from the query; what it does not know, it leaves out.
func (p *page) ask(c *gin.Context) (searched, search.Query) {
	s := searched{Text: cut(strings.TrimSpace(c.Query("q")), maxText), Badged: c.Query("promoted") != ""}
	q := search.Query{Text: s.Text, App: p.App.Slug, Lang: p.Locale, Limit: perPage}
	s.Types = []choice{{Label: "All types", Here: true}}
	for _, t := range catalog.Types() {
		here := c.Query("type") == string(t)
		if here {
			s.Type, q.Types, s.Types[0].Here = string(t), []string{string(t)}, false
		}
		s.Types = append(s.Types, choice{Label: typeNames[t], Value: string(t), Here: here})
	}
	s.Sort = sortOf(c, "")
	if s.Sort != "" {
		q.Sort = []string{s.Sort}
	}
	s.Sorts = []choice{{Label: "Relevance", Here: s.Sort == ""}}
	for _, sort := range sorts {
		if sort.value != "recommended" { // it combines with others only
			s.Sorts = append(s.Sorts, choice{Label: sort.label, Value: sort.value, Here: sort.value == s.Sort})
		}
	}
	if s.Badged {
		q.Promoted = []string{"recommended"}
	}
	return s, q
}

// cut shortens to n characters.
func cut(s string, n int) string {
	if runes := []rune(s); len(runes) > n {
		return string(runes[:n])
	}
	return s
}

// privacy tells what the site measures.
func (w *Web) privacy(c *gin.Context) error {
	return w.render(c, "privacy", w.page(c, "What this site measures"))
}

// ratingsOf is a small page of an add-on's ratings.
func (w *Web) ratingsOf(ctx context.Context, a *catalog.Addon, limit, offset int) ([]catalog.Rating, int, error) {
	if a.Ratings.Count == 0 {
		return nil, 0, nil
	}
	return w.Site.Ratings(ctx, a, limit, offset)
}
