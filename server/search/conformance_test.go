package search

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"addons/server/catalog"
)

// filled runs a test on every engine with the sample in it.
func filled(t *testing.T, test func(*testing.T, *Index, []Doc)) {
	engines(t, func(t *testing.T, ix *Index) {
		docs := sample()
		if err := ix.Put(t.Context(), docs...); err != nil {
			t.Fatal(err)
		}
		test(t, ix, docs)
	})
}

func find(t *testing.T, ix *Index, q Query) Result {
	t.Helper()
	result, err := ix.Search(t.Context(), q)
	if err != nil {
		t.Fatalf("%+v: %v", q, err)
	}
	return result
}

// where is the ids of the docs that keep says yes to.
func where(docs []Doc, keep func(Doc) bool) []int64 {
	ids := []int64{}
	for _, d := range docs {
		if keep(d) {
			ids = append(ids, d.ID)
		}
	}
	return ids
}

func ids(r Result) []int64 {
	found := []int64{}
	for _, h := range r.Hits {
		found = append(found, h.ID)
	}
	return found
}

func TestFiltersFindExactlyWhatTheySay(t *testing.T) {
	filled(t, func(t *testing.T, ix *Index, docs []Doc) {
		jan5 := time.Date(2020, 1, 5, 0, 0, 0, 0, time.UTC)
		for _, c := range []struct {
			name  string
			query Query
			keep  func(Doc) bool
		}{
			{"everything", Query{}, func(Doc) bool { return true }},
			{"a type", Query{Types: []string{"statictheme"}}, func(d Doc) bool { return d.Type == catalog.Theme }},
			{"any of two types", Query{Types: []string{"statictheme", "dictionary"}}, func(d Doc) bool { return d.Type == catalog.Theme || d.Type == catalog.Dictionary }},
			{"an unknown type", Query{Types: []string{"spaceship"}}, func(Doc) bool { return false }},
			{"an application", Query{App: "android"}, func(d Doc) bool { return slices.Contains(d.Apps, "android") }},
			{"a category", Query{Category: "tabs"}, func(d Doc) bool { return slices.Contains(d.Categories["firefox"], "tabs") }},
			{"a category of an application", Query{App: "firefox", Category: "tabs"}, func(d Doc) bool { return slices.Contains(d.Categories["firefox"], "tabs") }},
			{"a category of another application", Query{App: "android", Category: "tabs"}, func(Doc) bool { return false }},
			{"a tag of two words, in another case", Query{Tags: []string{"Dark Mode"}}, func(d Doc) bool { return slices.Contains(d.Tags, "dark mode") }},
			{"all of two tags", Query{Tags: []string{"container", "privacy"}}, func(d Doc) bool { return slices.Contains(d.Tags, "container") && slices.Contains(d.Tags, "privacy") }},
			{"an author's name", Query{Authors: []string{"raymond hill"}}, func(d Doc) bool { return slices.Contains(d.Authors, "Raymond Hill") }},
			{"any of an author's name and an id", Query{Authors: []string{"gorhill", "1003"}}, func(d Doc) bool { return slices.Contains(d.Authors, "gorhill") || slices.Contains(d.AuthorIDs, 1003) }},
			{"a word of an author's name", Query{Authors: []string{"Raymond"}}, func(Doc) bool { return false }},
			{"GUIDs", Query{GUIDs: []string{"sakura@sample.test", "onetab@sample.test", "nobody"}}, func(d Doc) bool { return d.Slug == "sakura" || d.Slug == "onetab" }},
			{"a GUID in another case", Query{GUIDs: []string{"Sakura@sample.test"}}, func(Doc) bool { return false }},
			{"promoted", Query{Promoted: []string{"line"}}, func(d Doc) bool { return slices.Contains(d.Promoted, "line") }},
			{"promoted with a badge", Query{Promoted: []string{"badged"}}, func(d Doc) bool { return len(d.Promoted) > 0 }},
			{"all but ids and slugs", Query{Exclude: []string{"1", "Sakura", "99999"}}, func(d Doc) bool { return d.ID != 1 && d.Slug != "sakura" }},
			{"users above", Query{Ranges: []Range{{"users", "gt", "900000"}}}, func(d Doc) bool { return d.Users > 900_000 }},
			{"users from", Query{Ranges: []Range{{"users", "gte", "900000"}}}, func(d Doc) bool { return d.Users >= 900_000 }},
			{"users below", Query{Ranges: []Range{{"users", "lt", "700"}}}, func(d Doc) bool { return d.Users < 700 }},
			{"users up to", Query{Ranges: []Range{{"users", "lte", "700"}}}, func(d Doc) bool { return d.Users <= 700 }},
			{"users exactly", Query{Ranges: []Range{{"users", "eq", "700"}}}, func(d Doc) bool { return d.Users == 700 }},
			{"a range", Query{Ranges: []Range{{"users", "gte", "700"}, {"users", "lt", "3000"}}}, func(d Doc) bool { return d.Users >= 700 && d.Users < 3000 }},
			{"ratings, a fraction", Query{Ranges: []Range{{"ratings", "gte", "4.15"}}}, func(d Doc) bool { return d.Rating >= 4.15 }},
			{"created on a day", Query{Ranges: []Range{{"created", "eq", "2020-01-05"}}}, func(d Doc) bool { return d.Created.Equal(jan5) }},
			{"created after a day", Query{Ranges: []Range{{"created", "gt", "2020-01-05"}}}, func(d Doc) bool { return d.Created.After(jan5) }},
			{"created until a day", Query{Ranges: []Range{{"created", "lte", "2020-01-05"}}}, func(d Doc) bool { return !d.Created.After(jan5) }},
			{"created before a day", Query{Ranges: []Range{{"created", "lt", "2020-01-05"}}}, func(d Doc) bool { return d.Created.Before(jan5) }},
			{"updated since a time", Query{Ranges: []Range{{"updated", "gte", "2025-02-01T12:00:00+01:00"}}}, func(d Doc) bool { return !d.Updated.Before(time.Date(2025, 2, 1, 11, 0, 0, 0, time.UTC)) }},
			{"a version that all but one run in", Query{App: "firefox", AppVersion: "129.0"}, func(d Doc) bool { return d.Compat[0].Max == "" }},
			{"an old version", Query{App: "firefox", AppVersion: "56.0.2"}, func(d Doc) bool {
				return slices.Contains([]string{"45.0", "52.0", "53.0"}, d.Compat[0].Min)
			}},
			{"a version at the end of a range", Query{App: "firefox", AppVersion: "90.9.1"}, func(d Doc) bool {
				return d.Compat[0].Max != "56.*" && !slices.Contains([]string{"91.0", "91.1", "102.0", "109.0", "128.0"}, d.Compat[0].Min)
			}},
			{"a version of the other application", Query{App: "android", AppVersion: "113.0"}, func(d Doc) bool { return slices.Contains(d.Apps, "android") }},
			{"several filters and a text", Query{Text: "tabs", Types: []string{"extension"}, Tags: []string{"tabs"}, Promoted: []string{"recommended"}, Ranges: []Range{{"users", "gt", "90000"}}},
				func(d Doc) bool {
					return slices.Contains(d.Tags, "tabs") && slices.Contains(d.Promoted, "recommended") && d.Users > 90_000
				}},
		} {
			c.query.Limit = 200
			result := find(t, ix, c.query)
			want := where(docs, c.keep)
			if got := slices.Sorted(slices.Values(ids(result))); !slices.Equal(got, want) {
				t.Errorf("%s: found %v, want %v", c.name, got, want)
			}
			if result.Total != len(want) || result.Partial {
				t.Errorf("%s: total %d, partial %t; want %d, whole", c.name, result.Total, result.Partial, len(want))
			}
		}
	})
}

func TestSortsAreTotalAndStable(t *testing.T) {
	by := map[string]func(a, b Doc) int{
		"created":     func(a, b Doc) int { return b.Created.Compare(a.Created) },
		"updated":     func(a, b Doc) int { return b.Updated.Compare(a.Updated) },
		"users":       func(a, b Doc) int { return b.Users - a.Users },
		"downloads":   func(a, b Doc) int { return b.Downloads - a.Downloads },
		"ratings":     func(a, b Doc) int { return compare(b.Rating, a.Rating) },
		"hotness":     func(a, b Doc) int { return compare(b.Hotness, a.Hotness) },
		"recommended": func(a, b Doc) int { return recommended(b) - recommended(a) },
		"name":        func(a, b Doc) int { return strings.Compare(newDocument(a).order, newDocument(b).order) },
	}
	filled(t, func(t *testing.T, ix *Index, docs []Doc) {
		for _, sort := range []string{"", "created", "updated", "users", "downloads", "ratings", "hotness", "name", "recommended,users", "hotness,ratings", "recommended,hotness,updated", "relevance,users", "relevance"} {
			var asked []string
			if sort != "" {
				asked = strings.Split(sort, ",")
			}
			keys := slices.DeleteFunc(slices.Clone(asked), func(s string) bool { return s == "relevance" })
			if len(keys) == 0 {
				keys = []string{"recommended", "users"}
			}
			want := slices.SortedStableFunc(slices.Values(docs), func(a, b Doc) int {
				for _, key := range keys {
					if c := by[key](a, b); c != 0 {
						return c
					}
				}
				return int(a.ID - b.ID)
			})
			result := find(t, ix, Query{Sort: asked, Limit: 200})
			if diff := cmp.Diff(where(want, func(Doc) bool { return true }), ids(result)); diff != "" {
				t.Errorf("sort %q (-want +got):\n%s", sort, diff)
			}
		}
	})
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func recommended(d Doc) int {
	if slices.Contains(d.Promoted, "recommended") {
		return 1
	}
	return 0
}

func TestTextWithASortIsOrderedByTheSort(t *testing.T) {
	filled(t, func(t *testing.T, ix *Index, docs []Doc) {
		result := find(t, ix, Query{Text: "youtube", Sort: []string{"users"}})
		if got := slugs(docs, result); !slices.IsSortedFunc(result.Hits, func(a, b Hit) int { return docs[b.ID-1].Users - docs[a.ID-1].Users }) || len(got) < 5 {
			t.Errorf("youtube by users finds %q, want them by users", got)
		}
		for _, h := range result.Hits {
			if h.Score != 0 {
				t.Errorf("hit %d has score %g, want none where the sort is not by relevance", h.ID, h.Score)
			}
		}
	})
}

func TestRandomOrderIsAllOfThemInAnotherOrder(t *testing.T) {
	filled(t, func(t *testing.T, ix *Index, docs []Doc) {
		want := where(docs, func(d Doc) bool { return recommended(d) == 1 })
		orders := map[string]bool{}
		for range 5 {
			got := ids(find(t, ix, Query{Promoted: []string{"recommended"}, Sort: []string{"random"}, Limit: 200}))
			orders[fmt.Sprint(got)] = true
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("random order finds %v, want %v", got, want)
			}
		}
		if len(orders) < 2 {
			t.Error("five random orders are all the same")
		}
	})
}

func TestPagesJoinUpToTheWhole(t *testing.T) {
	filled(t, func(t *testing.T, ix *Index, docs []Doc) {
		for _, q := range []Query{{}, {Text: "youtube tabs dark privacy"}, {Text: "privacy"}, {Sort: []string{"hotness"}}} {
			q.Limit = 200
			whole := find(t, ix, q)
			joined := []int64{}
			q.Limit = 7
			for q.Offset = 0; q.Offset < whole.Total; q.Offset += q.Limit {
				page := find(t, ix, q)
				if page.Total != whole.Total {
					t.Errorf("total at offset %d is %d, want %d", q.Offset, page.Total, whole.Total)
				}
				joined = append(joined, ids(page)...)
			}
			if !slices.Equal(joined, ids(whole)) {
				t.Errorf("%+v: pages are %v, the whole is %v", q, joined, ids(whole))
			}
			if past := find(t, ix, Query{Text: q.Text, Offset: 5000}); len(past.Hits) != 0 || past.Total != whole.Total && len(q.Sort) == 0 {
				t.Errorf("past the end: %d hits, total %d; want none, %d", len(past.Hits), past.Total, whole.Total)
			}
		}
		if deep := find(t, ix, Query{Offset: 1 << 40, Limit: 1 << 40}); len(deep.Hits) != 0 || deep.Total != len(docs) {
			t.Errorf("beyond the window: %d hits, total %d; want none, %d", len(deep.Hits), deep.Total, len(docs))
		}
	})
}

func TestOnlyPublicAddonsAreFound(t *testing.T) {
	filled(t, func(t *testing.T, ix *Index, docs []Doc) {
		hidden := docs[0]
		hidden.Status = catalog.Disabled
		if err := ix.Put(t.Context(), hidden); err != nil {
			t.Fatal(err)
		}
		if got := find(t, ix, Query{GUIDs: []string{hidden.GUID}}); got.Total != 0 {
			t.Errorf("a disabled add-on is found: %v", got)
		}
		if n, err := ix.Count(t.Context()); n != len(docs)-1 || err != nil {
			t.Errorf("Count = %d, %v; want %d", n, err, len(docs)-1)
		}
	})
}

func TestPutReplacesAndDeleteRemoves(t *testing.T) {
	filled(t, func(t *testing.T, ix *Index, docs []Doc) {
		renamed := docs[0]
		renamed.Name = catalog.Text{"en-US": "Quetzalcoatl"}
		for range 2 {
			if err := ix.Put(t.Context(), renamed); err != nil {
				t.Fatal(err)
			}
		}
		if got := find(t, ix, Query{Text: "quetzalcoatl"}); !slices.Equal(ids(got), []int64{1}) {
			t.Errorf("the new name finds %v, want 1", got)
		}
		if got := find(t, ix, Query{Text: "ublock"}); slices.Contains(ids(got), 1) && got.Hits[0].Score > 60 {
			t.Errorf("the old name still finds %v", got)
		}
		if err := ix.Delete(t.Context(), 1, 2, 12345); err != nil {
			t.Fatal(err)
		}
		if got := find(t, ix, Query{Exclude: []string{"3"}, Limit: 200}); got.Total != len(docs)-3 || slices.Contains(ids(got), 1) {
			t.Errorf("after two were deleted %d are found, want %d", got.Total, len(docs)-3)
		}
	})
}

func TestAnEmptyIndexIsNoError(t *testing.T) {
	engines(t, func(t *testing.T, ix *Index) {
		ctx := t.Context()
		if got := find(t, ix, Query{Text: "anything"}); got.Total != 0 {
			t.Errorf("an empty index finds %v", got)
		}
		if n, err := ix.Count(ctx); n != 0 || err != nil {
			t.Errorf("Count = %d, %v; want 0", n, err)
		}
		if err := errors.Join(ix.Check(ctx), ix.Put(ctx), ix.Delete(ctx), ix.Delete(ctx, 1)); err != nil {
			t.Error(err)
		}
		if err := ix.Put(ctx, Doc{ID: 1, Status: catalog.Public}); err != nil {
			t.Errorf("an add-on with nothing but an id: %v", err)
		}
		if got := find(t, ix, Query{}); !slices.Equal(ids(got), []int64{1}) {
			t.Errorf("an add-on with nothing but an id is found as %v", got)
		}
	})
}

func TestResetEmptiesTheIndex(t *testing.T) {
	filled(t, func(t *testing.T, ix *Index, docs []Doc) {
		if err := ix.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := find(t, ix, Query{}); got.Total != 0 {
			t.Errorf("after Reset %d are found", got.Total)
		}
		if err := ix.Put(t.Context(), docs...); err != nil {
			t.Fatal(err)
		}
		if got := find(t, ix, Query{}); got.Total != len(docs) {
			t.Errorf("after Reset and Put %d are found, want %d", got.Total, len(docs))
		}
	})
}

func TestCompletionGoesOnFromWhatWasTyped(t *testing.T) {
	filled(t, func(t *testing.T, ix *Index, docs []Doc) {
		for _, c := range []struct {
			prefix, lang, first string
		}{
			{"u", "", "ublock-origin"},
			{"ublo", "", "ublock-origin"},
			{"ublock o", "", "ublock-origin"},
			{"origin ubl", "", "ublock-origin"},
			{"dark r", "", "darkreader"},
			{"darkr", "", "darkreader"},
			{"adblock", "", "adblock"}, // the whole name first
			{"tab s", "", "tab-session-manager"},
			{"passw", "", "bitwarden-password-manager"},
			{"マネ", "ja", ""},
			{"ツリ", "ja", "tree-style-tab"},
			{"管理", "", "tab-session-manager"},
			{"зим", "", "zima-noch"},
			{"ภาษ", "", "thai-fonts"},
			{"", "", ""},
			{"?", "", ""},
		} {
			result, err := ix.Complete(t.Context(), c.prefix, Query{Lang: c.lang, Text: "ignored", Sort: []string{"ignored"}})
			if err != nil {
				t.Errorf("%q: %v", c.prefix, err)
				continue
			}
			got := slugs(docs, result)
			if c.first == "" && len(got) > 0 || c.first != "" && (len(got) == 0 || got[0] != c.first) {
				t.Errorf("%q goes on as %q, want %q first", c.prefix, got, c.first)
			}
			if len(got) > 10 {
				t.Errorf("%q has %d completions, want 10 at most", c.prefix, len(got))
			}
		}
		themes, err := ix.Complete(t.Context(), "dark", Query{Types: []string{"statictheme"}})
		if got := slugs(docs, themes); err != nil || !slices.Equal(got, []string{"night-owl-theme"}) {
			t.Errorf("dark themes: %q, %v; want night-owl-theme", got, err)
		}
	})
}

func TestNamesInTheReadersLanguageCountMore(t *testing.T) {
	engines(t, func(t *testing.T, ix *Index) {
		public := func(id int64, name catalog.Text, users int) Doc {
			return Doc{ID: id, Status: catalog.Public, Name: name, Users: users}
		}
		err := ix.Put(t.Context(), public(1, catalog.Text{"en-US": "Gift tracker"}, 100), public(2, catalog.Text{"de-DE": "Gift finden"}, 90))
		if err != nil {
			t.Fatal(err)
		}
		for lang, want := range map[string]int64{"en-GB": 1, "": 1, "de-AT": 2} {
			if got := find(t, ix, Query{Text: "gift", Lang: lang}); got.Total != 2 || got.Hits[0].ID != want {
				t.Errorf("gift in %q finds %v, want %d first of two", lang, got.Hits, want)
			}
		}
	})
}

func TestABadQueryIsInvalid(t *testing.T) {
	engines(t, func(t *testing.T, ix *Index) {
		for _, q := range []Query{
			{Limit: -1}, {Offset: -1},
			{AppVersion: "57.0"}, {App: "firefox", AppVersion: "new"}, {App: "thunderbird", AppVersion: "57.0"},
			{Sort: []string{"beauty"}}, {Sort: []string{"random"}}, {Sort: []string{"random", "users"}, Promoted: []string{"line"}}, {Text: "a", Sort: []string{"random"}, Promoted: []string{"line"}},
			{Ranges: []Range{{"beauty", "gt", "1"}}}, {Ranges: []Range{{"users", "about", "1"}}}, {Ranges: []Range{{"users", "gt", "many"}}}, {Ranges: []Range{{"users", "gt", "NaN"}}}, {Ranges: []Range{{"created", "gt", "yesterday"}}},
			{GUIDs: make([]string, listed+1)},
		} {
			if _, err := ix.Search(t.Context(), q); !errors.Is(err, catalog.ErrInvalid) {
				t.Errorf("%.80v: %v, want ErrInvalid", q, err)
			}
		}
	})
}

func TestACallerWhoLeavesGetsItsOwnError(t *testing.T) {
	engines(t, func(t *testing.T, ix *Index) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := ix.Search(ctx, Query{Text: "a"}); !errors.Is(err, context.Canceled) || errors.Is(err, catalog.ErrUnavailable) {
			t.Errorf("a cancelled search: %v, want context.Canceled alone", err)
		}
	})
}

// Both engines against each other: all hits, totals and, because we make them, scores.
func TestEnginesAgreeOnEverything(t *testing.T) {
	real := open(t, elasticURL(t))
	own := open(t, "bleve::memory:")
	for _, ix := range []*Index{real, own} {
		if err := ix.Put(t.Context(), sample()...); err != nil {
			t.Fatal(err)
		}
	}
	near := cmpopts.EquateApprox(1e-5, 0)
	for _, q := range manyQueries() {
		for op, ask := range map[string]func(*Index) (Result, error){
			"search":   func(ix *Index) (Result, error) { return ix.Search(t.Context(), q) },
			"complete": func(ix *Index) (Result, error) { return ix.Complete(t.Context(), q.Text, q) },
		} {
			want, err1 := ask(own)
			got, err2 := ask(real)
			if (err1 == nil) != (err2 == nil) {
				t.Fatalf("%s %+v: bleve says %v, elasticsearch %v", op, q, err1, err2)
			}
			got.Took, want.Took = 0, 0
			if diff := cmp.Diff(want, got, near, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s %+v (-bleve +elasticsearch):\n%s", op, q, diff)
			}
		}
	}
}

// manyQueries are the texts of meanings, whole, cut short and joined, under various filters.
func manyQueries() []Query {
	var all []Query
	for i, m := range meanings {
		runes := []rune(m.text)
		other := meanings[(i*7+3)%len(meanings)].text
		for j, text := range []string{m.text, string(runes[:len(runes)*2/3]), m.text + " " + other, strings.ToUpper(m.text)} {
			q := Query{Text: text, Lang: m.lang, Limit: 50}
			switch (i + j) % 6 {
			case 1:
				q.Types = []string{"extension", "dictionary"}
			case 2:
				q.App, q.AppVersion = "firefox", fmt.Sprint(50+i)
			case 3:
				q.Promoted = []string{"badged"}
				q.Sort = []string{"users", "relevance"}
			case 4:
				q.Exclude = []string{"1", "adblock"}
				q.Ranges = []Range{{"users", "lt", fmt.Sprint(int(math.Pow(10, float64(3+i%5))))}}
			case 5:
				q.Sort = []string{"relevance", "updated"}
			}
			all = append(all, q)
		}
	}
	return all
}
