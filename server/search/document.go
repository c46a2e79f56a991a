package search

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"html"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"addons/server/catalog"
)

// The fields of a document that hold sets of terms. All analysis happens here
// and in word.go, never in an engine, so that every engine knows the same terms.
const (
	fieldName        = "name"        // stems of the names in all locales
	fieldNameIn      = "name_in"     // the same with the language: "de:uhr"
	fieldSpelling    = "spelling"    // other ways to write the name: parts of camel case, words joined
	fieldPrefix      = "prefix"      // beginnings of the words of the name, and of the whole
	fieldExact       = "exact"       // whole names
	fieldSummary     = "summary"     // stems
	fieldDescription = "description" // stems
	fieldTopic       = "topic"       // stems of tags and categories
	fieldPeople      = "people"      // stems of authors' names
	fieldGUID        = "guid"
	fieldSlug        = "slug"
	fieldType        = "type"
	fieldApp         = "app"
	fieldCategory    = "category" // "privacy" and "firefox/privacy"
	fieldTag         = "tag"      // whole
	fieldAuthor      = "author"   // whole names, and "id:42"
	fieldPromoted    = "promoted"
)

var termFields = []string{
	fieldName, fieldNameIn, fieldSpelling, fieldPrefix, fieldExact, fieldSummary, fieldDescription, fieldTopic, fieldPeople,
	fieldGUID, fieldSlug, fieldType, fieldApp, fieldCategory, fieldTag, fieldAuthor, fieldPromoted,
}

// The fields that hold one number, which all documents have, beside those of compatField.
const (
	numberID          = "id"
	numberUsers       = "users"
	numberDownloads   = "downloads"
	numberRating      = "rating"
	numberHotness     = "hotness"
	numberCreated     = "created" // Unix seconds
	numberUpdated     = "updated"
	numberRecommended = "recommended" // 1 or 0
	numberWeight      = "weight"      // what a text match is multiplied with
)

var numberFields = append(slices.Clone(sortFields), compatFields()...)

// sortFields are those numbers that hits are sorted by or weighed with.
var sortFields = []string{
	numberID, numberUsers, numberDownloads, numberRating, numberHotness, numberCreated, numberUpdated, numberRecommended, numberWeight,
}

// orderName is the one field that holds a text to sort by.
const orderName = "order_name"

func compatFields() (names []string) {
	for _, app := range catalog.Apps() {
		low, high := compatField(app.Slug)
		names = append(names, low, high)
	}
	return names
}

// compatField names the two numbers between which an app's version must lie.
func compatField(app string) (low, high string) { return "min_" + app, "max_" + app }

// document is a Doc as engines store it.
type document struct {
	id      int64
	terms   map[string][]string
	numbers map[string]float64
	order   string // what the sort by name compares; "" comes last
}

func newDocument(d Doc) document {
	doc := document{id: d.ID, terms: map[string][]string{}, numbers: d.numbers()}
	for locale, name := range d.Name {
		doc.addName(language(locale), name)
	}
	doc.addTexts(fieldSummary, d.Summary)
	doc.addTexts(fieldDescription, d.Description)
	for _, tag := range d.Tags {
		doc.addText(fieldTopic, tag)
		doc.add(fieldTag, spaced(words(tag)))
	}
	for app, slugs := range d.Categories {
		for _, slug := range slugs {
			doc.addText(fieldTopic, slug)
			doc.add(fieldCategory, slug, app+"/"+slug)
		}
	}
	for _, author := range d.Authors {
		doc.addText(fieldPeople, author)
		doc.add(fieldAuthor, spaced(words(author)))
	}
	for _, id := range d.AuthorIDs {
		doc.add(fieldAuthor, authorID(id))
	}
	doc.add(fieldGUID, d.GUID)
	doc.add(fieldSlug, strings.ToLower(d.Slug))
	doc.add(fieldType, string(d.Type))
	doc.add(fieldApp, d.Apps...)
	doc.add(fieldPromoted, d.Promoted...)
	for field, terms := range doc.terms {
		doc.terms[field] = uniq(terms)
	}
	doc.order = cut(spaced(words(d.Name.In(d.DefaultLocale, "en-US"))))
	return doc
}

// longestTerm is in bytes; no name, GUID or slug is longer, and Elasticsearch
// refuses documents with terms above 32 KiB.
const longestTerm = 1000

func (doc *document) add(field string, terms ...string) {
	for _, t := range terms {
		if t != "" && len(t) <= longestTerm {
			doc.terms[field] = append(doc.terms[field], t)
		}
	}
}

// addName adds one locale's name to all that names are found by.
func (doc *document) addName(lang, name string) {
	ws := words(name)
	for _, w := range ws {
		for _, term := range w.indexed() {
			doc.add(fieldName, term)
			doc.add(fieldNameIn, lang+":"+term)
		}
		doc.add(fieldPrefix, w.prefixes()...)
	}
	doc.add(fieldExact, spaced(ws))
	doc.add(fieldPrefix, beginnings([]rune(spaced(ws)), prefixRunes)...)
	for _, ws := range [][]word{ws, words(uncamel(name))} {
		for i := range ws {
			// Up to three words: "ublockorigin", "tabsessionmanager". More is a
			// sentence that nobody writes as one word.
			for n := 1; n <= 3 && i+n <= len(ws); n++ {
				doc.add(fieldSpelling, joined(ws[i:i+n]))
			}
			doc.add(fieldPrefix, ws[i].prefixes()...)
		}
		doc.add(fieldPrefix, word{text: joined(ws)}.prefixes()...)
	}
}

func (doc *document) addTexts(field string, text catalog.Text) {
	for _, s := range text {
		doc.addText(field, s)
	}
}

func (doc *document) addText(field, text string) {
	for _, w := range words(plain(text)) {
		doc.add(field, w.indexed()...)
	}
}

// plain takes the tags out of limited HTML.
func plain(text string) string {
	if !strings.ContainsAny(text, "<&") {
		return text
	}
	return html.UnescapeString(htmlTag.ReplaceAllString(text, " "))
}

var htmlTag = regexp.MustCompile(`</?[A-Za-z][^>]*>`)

func (d Doc) numbers() map[string]float64 {
	recommended := 0.0
	if slices.Contains(d.Promoted, "recommended") {
		recommended = 1
	}
	n := map[string]float64{
		numberID:          float64(d.ID),
		numberUsers:       float64(d.Users),
		numberDownloads:   float64(d.Downloads),
		numberRating:      finite(d.Rating),
		numberHotness:     finite(d.Hotness),
		numberCreated:     seconds(d.Created),
		numberUpdated:     seconds(d.Updated),
		numberRecommended: recommended,
		// 1 for nobody, 1.75 for a thousand, 2.5 for a million: enough to order
		// what matches alike, too little to put a mention above a name.
		numberWeight: (1 + math.Log10(1+float64(max(0, d.Users)))/4) * (1 + 0.15*recommended),
	}
	for _, c := range d.Compat {
		low, high := compatField(c.App)
		if slices.Contains(numberFields, low) {
			n[low], n[high] = span(c)
		}
	}
	return n
}

// finite is n, or 0 for what JSON cannot say.
func finite(n float64) float64 {
	if math.IsNaN(n) || math.IsInf(n, 0) {
		return 0
	}
	return n
}

func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.Unix())
}

func authorID(id int64) string { return "id:" + strconv.FormatInt(id, 10) }

// language is the first subtag of a locale, "pt" of "pt-BR".
func language(locale string) string {
	l, _, _ := strings.Cut(strings.ToLower(locale), "-")
	return l
}

// fingerprint names the way documents are analysed and stored. An index made in
// another way is left alone and a new one begun, so that an upgrade never
// searches terms that mean something else.
func fingerprint(layout any) string {
	sample := newDocument(Doc{
		ID: 1, GUID: "a@b", Slug: "LastPass-Tabs", Type: catalog.Extension, Name: catalog.Text{"pt-BR": "LastPass Ação tabs 日本語"},
		Summary: catalog.Text{"en-US": "What it's for"}, Description: catalog.Text{"en-US": "<b>Glass</b> &amp; more ☂"},
		Tags: []string{"Ad Block"}, Categories: map[string][]string{"firefox": {"privacy-security"}}, Authors: []string{"Ann Lee"}, AuthorIDs: []int64{7},
		Apps: []string{"firefox"}, Compat: []catalog.Compat{{App: "firefox", Min: "57.0a1", Max: "128.*"}},
		Promoted: []string{"recommended"}, Users: 1000, Downloads: 10, Rating: 4.5, Hotness: .5, Created: time.Unix(1, 0), Updated: time.Unix(2, 0),
	})
	all, err := json.Marshal([]any{sample.terms, sample.numbers, sample.order, layout})
	if err != nil {
		panic(err) // maps of strings and numbers, and a layout that is a literal
	}
	sum := sha256.Sum256(all)
	return hex.EncodeToString(sum[:4])
}
