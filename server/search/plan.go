package search

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"addons/server/catalog"
)

// A plan is a Query in terms of the documents' fields, the same for all engines.
// What a match is worth is written here as constants, not left to an engine's
// statistics: a description that repeats a word gains nothing, and engines agree.
type plan struct {
	match   node   // must hold, and scores; nil: everything
	filters []node // must hold
	not     []node // must not
	random  bool   // order by chance; sort is empty
	sort    []order
	limit   int
	offset  int
}

// order is one key to sort by; the field "" is the score.
type order struct {
	field string
	desc  bool
}

// scored says whether hits have scores.
func (p plan) scored() bool {
	return slices.ContainsFunc(p.sort, func(o order) bool { return o.field == "" })
}

// node is a condition. Without a worth around it a node scores nothing.
type node interface{ isNode() }

type (
	term struct{ field, value string }
	// anyTerm holds if one of the values is in the field.
	anyTerm struct {
		field  string
		values []string
	}
	// near holds for values within so many edits (a swap of neighbours is one), the first letter being right.
	near struct {
		field, value string
		edits        int
	}
	// within is a number's range, both ends included.
	within struct {
		field     string
		low, high float64
	}
	all   []node // every one; scores add up
	best  []node // one at least; the highest score counts
	worth struct {
		node  node // its own scores are forgotten
		score float64
	}
	// some holds if at least need of the nodes do; scores add up.
	some struct {
		nodes []node
		need  int
	}
	// bonus holds if the first does; the others add their scores.
	bonus struct {
		node   node
		others []node
	}
)

func (term) isNode()    {}
func (anyTerm) isNode() {}
func (near) isNode()    {}
func (within) isNode()  {}
func (all) isNode()     {}
func (best) isNode()    {}
func (worth) isNode()   {}
func (some) isNode()    {}
func (bonus) isNode()   {}

// What one word of a query is worth, by where it is found; the best place
// counts. A hit's sum is multiplied with the document's weight, 1 to about 3,
// which orders what matches about alike: a mention in a summary does not become
// worth more than a name, however many use the add-on.
const (
	worthNameIn      = 12.0 // in the name in the language asked for
	worthName        = 10.0
	worthSpelling    = 8.0
	worthPrefix      = 5.0
	worthTopic       = 4.0
	worthPeople      = 4.0
	worthNear        = 3.0 // a misspelt name
	worthSummary     = 3.0
	worthDescription = 1.0

	worthWeak     = 0.1  // what a weak word's worth is multiplied with
	worthNeighbor = 8.0  // two words of the query stand together in the name
	worthExact    = 60.0 // the name is what was asked, in some locale
	worthKey      = 80.0 // as is the slug or the GUID
)

// shortestPrefix is how many letters the beginning of a word must have for a
// search (not a completion) to find it; shortestNear likewise for misspellings.
const (
	shortestPrefix = 3
	shortestNear   = 5
	longNear       = 9 // from here two edits may be wrong
)

// textNode is what a document must have for the text to be found in it; nil if
// the text has no words, and so nothing can be found.
func textNode(text, lang string) node {
	ws := words(cut(text))
	if len(ws) == 0 {
		return nil
	}
	var strong, faint []node
	for _, w := range distinct(ws) {
		if weak[w.text] {
			faint = append(faint, w.node(lang, worthWeak))
		} else {
			strong = append(strong, w.node(lang, 1))
		}
	}
	if len(strong) == 0 {
		strong, faint = faint, nil
	}
	found := some{need: 1, nodes: []node{
		some{nodes: strong, need: needed(len(strong))},
		worth{term{fieldExact, spaced(ws)}, worthExact},
	}}
	if len(ws) > 1 && len(ws) <= 3 { // "violent monkey" for Violentmonkey
		found.nodes = append(found.nodes, worth{term{fieldSpelling, joined(ws)}, worthSpelling * float64(len(ws))})
	}
	key := strings.TrimSpace(text)
	if !strings.ContainsAny(key, " \t\n") && len(key) <= queryRunes {
		found.nodes = append(found.nodes, worth{term{fieldSlug, strings.ToLower(key)}, worthKey}, worth{term{fieldGUID, key}, worthKey})
	}
	extra := faint
	for i := range min(len(ws), queryWords) - 1 {
		extra = append(extra, worth{term{fieldSpelling, joined(ws[i : i+2])}, worthNeighbor})
	}
	if len(extra) == 0 {
		return found
	}
	return bonus{found, extra}
}

// distinct are the first queryWords words, each once.
func distinct(ws []word) []word {
	var once []word
	for _, w := range ws {
		if !slices.Contains(once, w) && len(once) < queryWords {
			once = append(once, w)
		}
	}
	return once
}

// cut takes the first queryRunes of a text.
func cut(text string) string {
	n := 0
	for i := range text {
		if n == queryRunes {
			return text[:i]
		}
		n++
	}
	return text
}

// needed is how many of n words a hit must have: all of two, about three
// quarters of more.
func needed(n int) int {
	if n <= 2 {
		return n
	}
	return n * 3 / 4
}

// node is where w may be found, times what its places are worth.
func (w word) node(lang string, times float64) node {
	terms := w.terms()
	in := func(field string, score float64) node {
		var each all
		for _, t := range terms {
			each = append(each, term{field, t})
		}
		return worth{simple(each), score * times}
	}
	places := best{
		in(fieldName, worthName),
		worth{term{fieldSpelling, w.text}, worthSpelling * times},
		in(fieldTopic, worthTopic),
		in(fieldPeople, worthPeople),
		in(fieldSummary, worthSummary),
		in(fieldDescription, worthDescription),
	}
	if lang != "" {
		var each all
		for _, t := range terms {
			each = append(each, term{fieldNameIn, language(lang) + ":" + t})
		}
		places = append(places, worth{simple(each), worthNameIn * times})
	}
	length := len([]rune(w.text))
	if length >= shortestPrefix && !w.dense {
		places = append(places, worth{term{fieldPrefix, w.prefix()}, worthPrefix * times})
	}
	if length >= shortestNear && !w.dense && !weak[w.text] {
		edits := 1
		if length >= longNear {
			edits = 2
		}
		places = append(places, worth{near{fieldName, w.stem(), edits}, worthNear * times})
	}
	return places
}

// simple is an all of one as that one.
func simple(each all) node {
	if len(each) == 1 {
		return each[0]
	}
	return each
}

// completionNode is what a document's name must have to go on from what was
// typed: all words, the last of which may be unfinished. nil as textNode's.
func completionNode(prefix, lang string) node {
	ws := words(cut(prefix))
	ws = ws[:min(len(ws), queryWords)]
	if len(ws) == 0 {
		return nil
	}
	found := some{need: len(ws)}
	for _, w := range ws[:len(ws)-1] {
		found.nodes = append(found.nodes, best{
			worth{term{fieldPrefix, w.prefix()}, worthPrefix},
			worth{term{fieldSpelling, w.text}, worthName},
		})
	}
	last := ws[len(ws)-1]
	found.nodes = append(found.nodes, best{
		worth{term{fieldPrefix, last.prefix()}, worthPrefix},
		worth{term{fieldSpelling, last.text}, worthSpelling},
	})
	return bonus{found, []node{
		worth{term{fieldExact, spaced(ws)}, worthExact},
		worth{term{fieldPrefix, word{text: spaced(ws)}.prefix()}, worthNeighbor}, // the name begins so
	}}
}

// searchPlan is the plan of a search. ok is false if nothing can be found.
func searchPlan(q Query) (p plan, ok bool, err error) {
	if err := p.fill(q, 25); err != nil {
		return p, false, err
	}
	withText := strings.TrimSpace(q.Text) != ""
	if err := p.order(q, withText); err != nil {
		return p, false, err
	}
	if withText {
		if p.match = textNode(q.Text, q.Lang); p.match == nil {
			return p, false, nil
		}
	}
	return p, true, nil
}

// completionPlan is the plan of a completion. ok is false if nothing can be found.
func completionPlan(prefix string, q Query) (p plan, ok bool, err error) {
	if err := p.fill(q, 10); err != nil {
		return p, false, err
	}
	p.sort = relevance
	p.match = completionNode(prefix, q.Lang)
	return p, p.match != nil, nil
}

// listed is how many values one filter may have. Firefox asks for all its
// add-ons at once; more than this many is a mistake or an attack.
const listed = 1000

// fill takes over the filters and the page of q.
func (p *plan) fill(q Query, limit int) error {
	if q.Limit < 0 || q.Offset < 0 {
		return fmt.Errorf("%w: limit %d and offset %d must not be negative", catalog.ErrInvalid, q.Limit, q.Offset)
	}
	if q.Limit > 0 {
		limit = q.Limit
	}
	p.offset = min(q.Offset, Window)
	p.limit = min(limit, Window-p.offset)
	p.filter(fieldType, q.Types...)
	p.filter(fieldGUID, q.GUIDs...)
	if q.App != "" {
		p.filter(fieldApp, q.App)
	}
	if q.Category != "" {
		p.filter(fieldCategory, category(q))
	}
	for _, tag := range q.Tags {
		p.filter(fieldTag, spaced(words(tag)))
	}
	p.filter(fieldAuthor, authors(q.Authors)...)
	p.filter(fieldPromoted, promoted(q.Promoted)...)
	p.exclude(q.Exclude)
	for _, list := range [][]string{q.Types, q.GUIDs, q.Tags, q.Authors, q.Promoted, q.Exclude} {
		if len(list) > listed {
			return fmt.Errorf("%w: %d values for one filter, %d are possible", catalog.ErrInvalid, len(list), listed)
		}
	}
	if err := p.runsIn(q.App, q.AppVersion); err != nil {
		return err
	}
	for _, r := range q.Ranges {
		n, err := r.node()
		if err != nil {
			return err
		}
		p.filters = append(p.filters, n)
	}
	return nil
}

func (p *plan) filter(field string, values ...string) {
	switch len(values) {
	case 0:
	case 1:
		p.filters = append(p.filters, term{field, values[0]})
	default:
		p.filters = append(p.filters, anyTerm{field, values})
	}
}

func category(q Query) string {
	if q.App == "" {
		return q.Category
	}
	return q.App + "/" + q.Category
}

// authors are the terms of author names and ids; a number may be either.
func authors(asked []string) []string {
	var terms []string
	for _, a := range asked {
		terms = append(terms, spaced(words(a)))
		if id, err := strconv.ParseInt(a, 10, 64); err == nil {
			terms = append(terms, authorID(id))
		}
	}
	return terms
}

func promoted(asked []string) []string {
	var terms []string
	for _, p := range asked {
		if p == "badged" {
			terms = append(terms, "line", "recommended")
			continue
		}
		terms = append(terms, p)
	}
	return terms
}

func (p *plan) exclude(asked []string) {
	var slugs []string
	for _, e := range asked {
		if id, err := strconv.ParseInt(e, 10, 64); err == nil {
			p.not = append(p.not, within{numberID, float64(id), float64(id)})
			continue
		}
		slugs = append(slugs, strings.ToLower(e))
	}
	if len(slugs) > 0 {
		p.not = append(p.not, anyTerm{fieldSlug, slugs})
	}
}

func (p *plan) runsIn(app, version string) error {
	if version == "" {
		return nil
	}
	if app == "" {
		return fmt.Errorf("%w: an application version needs an application", catalog.ErrInvalid)
	}
	n, err := asked(version)
	if err != nil {
		return err
	}
	low, high := compatField(app)
	if !slices.Contains(numberFields, low) {
		return fmt.Errorf("%w: application %q", catalog.ErrInvalid, app)
	}
	p.filters = append(p.filters, within{low, 0, n}, within{high, n, anyVersion})
	return nil
}

var rangeFields = map[string]string{"created": numberCreated, "updated": numberUpdated, "users": numberUsers, "ratings": numberRating}

func (r Range) node() (node, error) {
	field, ok := rangeFields[r.Field]
	if !ok {
		return nil, fmt.Errorf("%w: range of %q; possible are created, updated, users and ratings", catalog.ErrInvalid, r.Field)
	}
	first, last, err := r.value()
	if err != nil {
		return nil, err
	}
	low, high := math.Inf(-1), math.Inf(1)
	switch r.Op {
	case "gt":
		low = math.Nextafter(last, math.Inf(1))
	case "gte":
		low = first
	case "lt":
		high = math.Nextafter(first, math.Inf(-1))
	case "lte":
		high = last
	case "eq":
		low, high = first, last
	default:
		return nil, fmt.Errorf("%w: %s is compared by %q; possible are gt, gte, lt, lte and eq", catalog.ErrInvalid, r.Field, r.Op)
	}
	return within{field, low, high}, nil
}

// value reads what to compare with; a day is from its first to its last second.
func (r Range) value() (first, last float64, err error) {
	if r.Field == "users" || r.Field == "ratings" {
		n, err := strconv.ParseFloat(r.Value, 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return 0, 0, fmt.Errorf("%w: %s %q is not a number", catalog.ErrInvalid, r.Field, r.Value)
		}
		return n, n, nil
	}
	if day, err := time.Parse(time.DateOnly, r.Value); err == nil {
		return seconds(day), seconds(day.AddDate(0, 0, 1)) - 1, nil
	}
	t, err := time.Parse(time.RFC3339, r.Value)
	if err != nil {
		return 0, 0, fmt.Errorf("%w: %s %q is neither a day (2026-01-31) nor a time (2026-01-31T12:00:00Z)", catalog.ErrInvalid, r.Field, r.Value)
	}
	return seconds(t), seconds(t), nil
}

var (
	relevance = []order{{"", true}, {numberUsers, true}, {numberID, false}}
	sorts     = map[string]order{
		"created":     {numberCreated, true},
		"updated":     {numberUpdated, true},
		"downloads":   {numberDownloads, true},
		"hotness":     {numberHotness, true},
		"ratings":     {numberRating, true},
		"rating":      {numberRating, true}, // AMO's old name of it
		"recommended": {numberRecommended, true},
		"users":       {numberUsers, true},
		"relevance":   {"", true},
		"name":        {orderName, false},
	}
)

// order takes over the sort of q, by AMO's rules: relevance is left out without
// a text, recommended is left out beside relevance, random stands alone and
// needs a promoted filter and no text. Ties go to the lower id.
func (p *plan) order(q Query, withText bool) error {
	if slices.Contains(q.Sort, "random") {
		if len(q.Sort) > 1 || withText || len(q.Promoted) == 0 {
			return fmt.Errorf("%w: random order stands alone, without a text and with a promoted filter", catalog.ErrInvalid)
		}
		p.random = true
		return nil
	}
	byScore := withText && slices.Contains(q.Sort, "relevance")
	for _, name := range q.Sort {
		o, ok := sorts[name]
		switch {
		case !ok:
			return fmt.Errorf("%w: sort by %q; possible are created, downloads, hotness, name, random, ratings, recommended, relevance, updated and users", catalog.ErrInvalid, name)
		case name == "relevance" && !withText, name == "recommended" && byScore, slices.Contains(p.sort, o):
		default:
			p.sort = append(p.sort, o)
		}
	}
	switch {
	case len(p.sort) == 0 && withText, len(p.sort) == 1 && byScore:
		p.sort = relevance
	case len(p.sort) == 0:
		p.sort = []order{{numberRecommended, true}, {numberUsers, true}, {numberID, false}}
	default:
		p.sort = append(p.sort, order{numberID, false})
	}
	return nil
}
