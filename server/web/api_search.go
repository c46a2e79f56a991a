package web

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"addons/server/amo"
	"addons/server/catalog"
	"addons/server/search"
	"addons/server/site"
)

func (a *apiForm) search(c *gin.Context) error {
	w, ok := windowOf(c)
	if !ok {
		return noPage(c)
	}
	values := c.Request.URL.Query()
	asked := asking(values)
	asked.guids()
	asked.sort()
	if len(asked.wrong) > 0 {
		return answer(c, http.StatusBadRequest, asked.wrong)
	}
	asked.Limit, asked.Offset = w.size, w.offset()
	lang, at := langOf(c), *c.Request.URL // gin uses c again when this request has ended
	return a.rendered(c, func(ctx context.Context) (any, bool, error) {
		found, err := find(ctx, asked, a.Site.Search)
		if err != nil {
			return nil, false, err
		}
		if !w.holds(found.Total) {
			return nil, false, errNoPage
		}
		results := make([]amo.Addon, 0, len(found.Addons))
		for i, addon := range found.Addons {
			body := amo.FromAddon(clean(addon), a.links(lang, addon), lang)
			results = append(results, a.form(body.ForSearch(score(found, i)), lang))
		}
		chance := slices.Contains(asked.Sort, "random")
		return envelope(a, &at, w, found.Total, results), found.Whole() && !chance, nil
	})
}

// errNoPage is of a page behind the last.
var errNoPage = errors.New("no such page")

// rendered answers with what is remembered for the same path and parameters, or with what
// render makes. What a part of the search engine, the database or chance had to answer is
// not for keeping, here or elsewhere. render may run when the request has ended.
func (a *apiForm) rendered(c *gin.Context, render func(context.Context) (body any, whole bool, err error)) error {
	question := c.Request.URL.Path + "?" + c.Request.URL.Query().Encode()
	body, whole, err := a.Site.Rendered(c.Request.Context(), question, func(ctx context.Context) ([]byte, bool, error) {
		body, whole, err := render(ctx)
		if err != nil {
			return nil, false, err
		}
		encoded, err := json.Marshal(body)
		return encoded, whole, err
	})
	switch {
	case errors.Is(err, errNoPage):
		return noPage(c)
	case err != nil:
		return err
	case !whole:
		c.Header("Cache-Control", "no-store")
	}
	return encoded(c, body)
}

// maxSuggestions is AMO's.
const maxSuggestions = 10

func (a *apiForm) autocomplete(c *gin.Context) error {
	asked := asking(c.Request.URL.Query())
	if len(asked.wrong) > 0 {
		return answer(c, http.StatusBadRequest, asked.wrong)
	}
	asked.Limit = maxSuggestions
	lang := langOf(c)
	return a.rendered(c, func(ctx context.Context) (any, bool, error) {
		found, err := find(ctx, asked, func(ctx context.Context, q search.Query) (site.Results, error) {
			if q.Text == "" {
				return a.Site.Search(ctx, q)
			}
			return a.Site.Complete(ctx, q.Text, q)
		})
		if err != nil {
			return nil, false, err
		}
		results := make([]amo.Suggestion, 0, len(found.Addons))
		for _, addon := range found.Addons {
			suggestion := amo.FromAddon(addon, a.links(lang, addon), lang).Suggestion()
			if a.older {
				suggestion = suggestion.V4(lang, addon.DefaultLocale)
			}
			results = append(results, suggestion)
		}
		return amo.List[amo.Suggestion]{Results: results}, found.Whole(), nil
	})
}

// find asks, unless nothing can be found.
func find(ctx context.Context, asked *question, ask func(context.Context, search.Query) (site.Results, error)) (site.Results, error) {
	if asked.nothing {
		return site.Results{}, nil
	}
	return ask(ctx, asked.Query)
}

// score is how well the i-th result matches; 0 when the database answered.
func score(found site.Results, i int) float64 {
	if i < len(found.Scores) {
		return found.Scores[i]
	}
	return 0
}

// question is a search with all that is wrong with its parameters.
type question struct {
	search.Query
	values  url.Values
	wrong   amo.Invalid
	nothing bool // no add-on can be an answer
}

// asking reads the parameters that search and autocompletion share.
func asking(values url.Values) *question {
	q := &question{values: values, wrong: amo.Invalid{}}
	q.Text, q.Lang = strings.TrimSpace(values.Get("q")), values.Get("lang")
	if utf8.RuneCountInString(q.Text) > maxText {
		q.refuse("q", "Maximum query length exceeded.")
	}
	q.app()
	q.types()
	q.category()
	q.promoted()
	q.color()
	q.Authors, q.Tags, q.Exclude = q.list("author"), q.list("tag"), q.list("exclude_addons")
	q.ranges()
	return q
}

func (q *question) refuse(name, why string) { q.wrong[name] = append(q.wrong[name], why) }

func (q *question) invalid(name string) { q.refuse(name, invalid(name)) }

// list is a parameter's comma-separated values.
func (q *question) list(name string) []string {
	var list []string
	for s := range strings.SplitSeq(q.values.Get(name), ",") {
		if s = strings.TrimSpace(s); s != "" && !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}

// appParam reads an application's slug.
func appParam(slug string) (catalog.App, bool) {
	app, known := catalog.AppBy(slug)
	return app, known && app.Slug == slug
}

// appVersion says whether s can be a version of an application: AMO wants 10 at least.
func appVersion(s string) bool {
	return len(s) <= 255 && catalog.Compare(s, "10.0") >= 0
}

func (q *question) app() {
	app, known := appParam(q.values.Get("app"))
	if q.values.Has("app") && !known || q.values.Has("appversion") && !known {
		q.invalid("app")
		return
	}
	q.App = app.Slug
	if q.values.Has("appversion") {
		q.AppVersion = q.values.Get("appversion")
		if !appVersion(q.AppVersion) {
			q.invalid("appversion")
		}
	}
}

func (q *question) types() {
	q.Types = q.list("type")
	for _, t := range q.Types {
		if !slices.Contains(catalog.Types(), catalog.Type(t)) {
			q.invalid("type")
			return
		}
	}
}

// category counts only with app and type, because slugs are unique within these alone.
func (q *question) category() {
	slug := q.values.Get("category")
	if slug == "" || q.App == "" || len(q.Types) == 0 || len(q.wrong) > 0 {
		return
	}
	for _, t := range q.Types {
		if _, ok := catalog.CategoryBy(q.App, catalog.Type(t), slug); ok {
			q.Category = slug
			return
		}
	}
	q.invalid("category")
}

func (q *question) promoted() {
	q.Promoted = q.list("promoted")
	for _, p := range q.Promoted {
		if !slices.Contains([]string{"line", "notable", "recommended", "spotlight", "strategic", "badged"}, p) {
			q.invalid("promoted")
			return
		}
	}
	if recommended, ok := boolean(q.values.Get("recommended")); !ok {
		q.invalid("recommended")
	} else if recommended && len(q.Promoted) == 0 { // the older form
		q.Promoted = []string{"recommended"}
	}
}

// color is refused rather than let pass: an answer that ignored it would be wrong.
func (q *question) color() {
	if q.values.Get("color") != "" {
		q.refuse("color", "This site can't search by colour.")
	}
}

// ranges reads created, updated, users and ratings, each with or without a comparison.
func (q *question) ranges() {
	for _, field := range []string{"created", "updated", "users", "ratings"} {
		for suffix, op := range map[string]string{"": "eq", "__gt": "gt", "__gte": "gte", "__lt": "lt", "__lte": "lte"} {
			name := field + suffix
			if !q.values.Has(name) {
				continue
			}
			value, ok := rangeValue(field, q.values.Get(name))
			if !ok {
				q.invalid(name)
				continue
			}
			q.Ranges = append(q.Ranges, search.Range{Field: field, Op: op, Value: value})
		}
	}
	slices.SortFunc(q.Ranges, func(a, b search.Range) int { return strings.Compare(a.Field+a.Op, b.Field+b.Op) })
}

// rangeValue checks a value and brings it into the search's form.
func rangeValue(field, value string) (string, bool) {
	switch field {
	case "users":
		n, err := strconv.Atoi(value)
		return value, err == nil && n >= 0
	case "ratings":
		n, err := strconv.ParseFloat(value, 64)
		return value, err == nil && n >= 0 && n <= 5
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339, "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, value); err == nil && layout == time.DateOnly {
			return value, true
		} else if err == nil {
			return t.UTC().Format(time.RFC3339), true
		}
	}
	millis, err := strconv.ParseInt(value, 10, 64) // since 1970, as AMO's documentation has it
	if err != nil || millis < 0 || millis > 1<<48 {
		return "", false
	}
	return time.UnixMilli(millis).UTC().Format(time.RFC3339), true
}

// guids reads a list, or one that "rta:" and base64url hide from proxies, which is
// how Firefox comes back to an add-on after its own installation.
func (q *question) guids() {
	if !q.values.Has("guid") {
		return
	}
	if hidden, ok := strings.CutPrefix(q.values.Get("guid"), "rta:"); ok {
		guid, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(hidden, "="))
		if err != nil || !catalog.ValidGUID(string(guid)) {
			q.refuse("guid", "Invalid Return To AMO guid (not in base64url format?)")
			return
		}
		q.GUIDs = []string{string(guid)}
		return
	}
	// What can't be an id isn't searched for.
	q.GUIDs = slices.DeleteFunc(q.list("guid"), func(guid string) bool { return !catalog.ValidGUID(guid) })
	q.nothing = len(q.GUIDs) == 0
}

// sort reads the orders, AMO's rules included: recommended counts only beside
// another, relevance only with a text, and random stands alone.
func (q *question) sort() {
	known := []string{"created", "downloads", "hotness", "random", "rating", "ratings", "recommended", "relevance", "updated", "users"}
	var sort []string
	for _, s := range q.list("sort") {
		if !slices.Contains(known, s) {
			q.invalid("sort")
			return
		}
		switch {
		case s == "rating": // its name until 2021
			s = "ratings"
		case s == "relevance" && q.Text == "":
			continue
		}
		sort = append(sort, s)
	}
	if slices.Contains(sort, "random") && !q.mayShuffle(sort) {
		q.refuse("sort", `The "sort" parameter "random" can only be specified alone, when the "promoted" parameter is present and the "q" parameter absent.`)
		return
	}
	if slices.Contains(sort, "relevance") || len(sort) == 1 && sort[0] == "recommended" {
		sort = slices.DeleteFunc(sort, func(s string) bool { return s == "recommended" })
	}
	q.Sort = sort
}

func (q *question) mayShuffle(sort []string) bool {
	return len(sort) == 1 && q.Text == "" && len(q.Promoted) > 0
}
