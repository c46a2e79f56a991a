package web_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"addons/server/catalog"
	"addons/server/store"
)

// document parses a page.
func document(t *testing.T, body string) *html.Node {
	t.Helper()
	n, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// attr is an element's attribute, and whether it has it.
func attr(n *html.Node, name string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

// elements lists a page's elements of the names, in order; of all without names.
func elements(n *html.Node, names ...string) []*html.Node {
	var all []*html.Node
	for d := range n.Descendants() {
		if d.Type == html.ElementNode && (len(names) == 0 || slices.Contains(names, d.Data)) {
			all = append(all, d)
		}
	}
	return all
}

// words is an element's text, its images' alt texts included.
func words(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		} else if alt, ok := attr(d, "alt"); ok {
			b.WriteString(alt)
		}
	}
	return strings.TrimSpace(b.String())
}

// checkFrame: language, title, landmarks, a way past the menu.
func checkFrame(t *testing.T, doc *html.Node) {
	if lang, _ := attr(elements(doc, "html")[0], "lang"); lang != "en" {
		t.Errorf("html lang = %q", lang)
	}
	for _, name := range []string{"title", "main", "header", "footer", "nav"} {
		found := elements(doc, name)
		if len(found) == 0 || (name == "main" || name == "title") && len(found) != 1 {
			t.Errorf("%d elements %s", len(found), name)
		}
	}
	first := elements(elements(doc, "body")[0])[0]
	if href, _ := attr(first, "href"); href != "#main" {
		t.Errorf("the first element is %s to %q, want the link past the menu", first.Data, href)
	}
}

// checkHeadings: one h1, first, and no level left out on the way down.
func checkHeadings(t *testing.T, doc *html.Node) {
	level := 0
	for i, h := range elements(doc, "h1", "h2", "h3", "h4") {
		n, _ := strconv.Atoi(h.Data[1:])
		if n > level+1 || (n == 1) != (i == 0) {
			t.Errorf("heading %d is an %s after level %d: %q", i, h.Data, level, words(h))
		}
		if words(h) == "" {
			t.Errorf("heading %d is empty", i)
		}
		level = n
	}
}

// checkNames: what can be seen or used has a name, and ids are one element's.
func checkNames(t *testing.T, doc *html.Node) {
	ids, labelled := map[string]bool{}, map[string]bool{}
	for _, e := range elements(doc) {
		if id, ok := attr(e, "id"); ok {
			if ids[id] {
				t.Errorf("two elements have the id %s", id)
			}
			ids[id] = true
		}
		if id, ok := attr(e, "for"); ok {
			labelled[id] = true
		}
	}
	for _, e := range elements(doc) {
		switch e.Data {
		case "img":
			for _, name := range []string{"alt", "width", "height"} {
				if _, ok := attr(e, name); !ok {
					t.Errorf("an img without %s: %v", name, e.Attr)
				}
			}
		case "a", "button", "th", "summary", "caption":
			if words(e) == "" {
				t.Errorf("%s without words: %v", e.Data, e.Attr)
			}
		case "input", "select":
			id, _ := attr(e, "id")
			kind, _ := attr(e, "type")
			if kind != "hidden" && !labelled[id] && e.Parent.Data != "label" {
				t.Errorf("%s without a label: %v", e.Data, e.Attr)
			}
		}
		if by, ok := attr(e, "aria-labelledby"); ok && !ids[by] {
			t.Errorf("%s is labelled by %s, which is not there", e.Data, by)
		}
	}
}

// checkInert: nothing in the page runs but our own scripts from our own address.
func checkInert(t *testing.T, doc *html.Node) {
	t.Helper()
	for _, e := range elements(doc) {
		switch e.Data {
		case "script":
			if src, _ := attr(e, "src"); !strings.HasPrefix(src, "/static/rum-") || e.FirstChild != nil {
				t.Errorf("a script that is not ours: %v", e.Attr)
			}
		case "style", "iframe", "object", "embed", "base", "template", "math", "marquee":
			t.Errorf("an element %s", e.Data)
		}
		for _, a := range e.Attr {
			value := strings.ToLower(strings.TrimSpace(a.Val))
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "srcdoc" {
				t.Errorf("%s has an attribute %s", e.Data, a.Key)
			}
			if slices.Contains([]string{"href", "src", "action", "formaction"}, a.Key) &&
				!strings.HasPrefix(value, "/") && !strings.HasPrefix(value, "#") && !strings.HasPrefix(value, "?") &&
				!strings.HasPrefix(value, "https://") && !strings.HasPrefix(value, "http://") {
				t.Errorf("%s leads to %q", e.Data, a.Val)
			}
		}
	}
}

func TestTextsTellTheirLanguage(t *testing.T) {
	t.Parallel()
	p := start(t, nightReader())
	for path, want := range map[string]string{
		"/ar/firefox/addon/night-reader/": `<h1><span lang="ar" dir="rtl">قارئ الليل</span></h1>`,
		"/de/firefox/addon/night-reader/": `<h1><span lang="de" dir="ltr">Nachtleser</span></h1>`,
		"/fr/firefox/addon/night-reader/": `<h1>Night Reader</h1>`, // the page's own language
	} {
		if body := text(t, p.get(path)); !strings.Contains(body, want) {
			t.Errorf("%s lacks %s", path, want)
		}
	}
}

// hostile are texts that break pages which trust them.
var hostile = []string{
	`<script>alert(1)</script>`,
	`"><img src=x onerror=alert(1)>`,
	`' onmouseover='alert(1)`,
	`</title><svg onload=alert(1)>`,
	`javascript:alert(1)`,
	`<a href="javascript:alert(1)" onclick="alert(1)" style="position:fixed">x</a><iframe srcdoc="x"></iframe><style>*{}</style>`,
	`<a href="data:text/html,<script>alert(1)</script>">x</a><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>`,
	"\x00<scr\x00ipt>{{.}}</scr\x00ipt>" + `<b onclick=alert(1)>rel="nofollow"</b>`,
}

func TestHostileTextsStayTexts(t *testing.T) {
	t.Parallel()
	var imports []store.Import
	for i, h := range hostile {
		clean := strings.ReplaceAll(h, "\x00", "") // the store takes no zeros
		v := version("1.0", day)
		v.License = catalog.License{Slug: clean, Name: catalog.Text{"en-US": clean}, URL: clean}
		v.Compatibility = append(v.Compatibility, catalog.Compat{App: "firefox", Min: "1", Max: "*"})[:2]
		v.File.Name = strings.ReplaceAll(clean, "/", "") + ".xpi"
		v.File.Permissions = []string{clean, "https://" + clean + "/*"}
		in := catalog.Text{"en-US": clean, "de": clean}
		v.ReleaseNotes = in
		imports = append(imports, store.Import{
			Addon: &catalog.Addon{
				ID: int64(i + 1), GUID: fmt.Sprintf("hostile-%d@addons.example", i), Slug: fmt.Sprintf("hostile-%d", i), Type: catalog.Extension,
				Status: catalog.Public, DefaultLocale: "en-US", Name: in, Summary: in, Description: in, DeveloperComments: in,
				Homepage: in, SupportURL: in, SupportEmail: in, ContributionsURL: clean,
				Authors: []catalog.Author{{ID: int64(i + 1), Name: clean, Username: fmt.Sprintf("user-%d", i), URL: clean}}, Tags: []string{clean},
				Previews: []catalog.Preview{{Caption: in, Image: "\x89PNG\r\n\x1a\n"}},
				Ratings:  catalog.Ratings{Average: 1, Count: 1, TextCount: 1, Grouped: [5]int{1}}, Created: day, LastUpdated: day,
			},
			Versions: []*catalog.Version{v},
			Ratings:  []catalog.Rating{{ID: int64(i + 1), Score: 1, UserName: clean, Body: clean, VersionNumber: "1.0", Created: day}},
		})
	}
	p := start(t, imports)
	paths := []string{"/en-US/firefox/", "/en-US/firefox/extensions/"}
	for i, h := range hostile {
		slug := fmt.Sprintf("/en-US/firefox/addon/hostile-%d/", i)
		paths = append(paths, slug, slug+"versions/", slug+"reviews/", fmt.Sprintf("/de/firefox/user/user-%d/", i),
			"/en-US/firefox/search/?q="+escape(h)+"&type="+escape(h)+"&sort="+escape(h)+"&page=1",
			"/en-US/firefox/tag/"+escape(strings.ReplaceAll(h, "\x00", ""))+"/", "/"+escape(h)+"/firefox/", "/en-US/firefox/addon/"+escape(h)+"/")
	}
	for _, path := range paths {
		r := p.get(path)
		if r.StatusCode >= 500 {
			t.Errorf("%s = %d", path, r.StatusCode)
		}
		if r.StatusCode >= 300 && r.StatusCode < 400 {
			continue
		}
		t.Run(path, func(t *testing.T) { checkInert(t, document(t, text(t, r))) })
	}
}

// escape writes a text as a part of a URL.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%%%02X", s[i])
	}
	return b.String()
}
