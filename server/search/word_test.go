package search

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestWordsAreFoldedInAnyLanguage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want string // words joined by |, dense ones in <>
	}{
		{"", ""},
		{" — !?", ""},
		{"uBlock Origin", "ublock|origin"},
		{"Ad-Block_Plus/2.0", "ad|block|plus|2|0"},
		{"Rechtschreibprüfung für Straßen", "rechtschreibprufung|fur|strassen"},
		{"d’orthographe", "d|orthographe"},
		{"Ação São João", "acao|sao|joao"},
		{"Język ŁÓDŹ", "jezyk|lodz"},
		{"Ελληνικό ΛΕΞΙΚΌΣ", "ελληνικο|λεξικοσ"},
		{"Тёмная Ночь", "темная|ночь"},
		{"İstanbul ışık", "istanbul|isik"},
		{"ＦＵＬＬ ｗｉｄｔｈ", "full|width"},
		{"日本語abc", "<日本語>|abc"},
		{"タブーの", "<タブーの>"},
		{"ｶﾀｶﾅ", "<カタカナ>"},
		{"한글 입력기", "<한글>|<입력기>"},
		{"ภาษาไทย", "<ภาษาไทย>"},
		{"العَرَبِيَّة", "العربية"},
		{"שָׁלוֹם", "שלום"},
		{"हिन्दी", "हिन्दी"},
		{"love ❤️🔥", "love|❤|🔥"},
		{"YouTube™", "youtube"},
		{"a\xffb", "a|b"},
		{strings.Repeat("x", 100), strings.Repeat("x", wordRunes)},
	} {
		var got []string
		for _, w := range words(c.text) {
			if w.dense {
				got = append(got, "<"+w.text+">")
			} else {
				got = append(got, w.text)
			}
		}
		if diff := cmp.Diff(c.want, strings.Join(got, "|")); diff != "" {
			t.Errorf("words(%q) (-want +got):\n%s", c.text, diff)
		}
	}
}

func TestCamelCaseIsTakenApart(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"LastPass": "Last Pass", "HTTPSEverywhere": "HTTPS Everywhere", "uBlock Origin": "u Block Origin",
		"DownThemAll!": "Down Them All!", "h264ify": "h264ify", "日本": "日本", "ABC": "ABC", "": "",
	} {
		if got := uncamel(name); got != want {
			t.Errorf("uncamel(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestMarkupIsNotSearched(t *testing.T) {
	t.Parallel()
	if got := plain(`<p class="strong">Fast &amp; small</p><br/>1 < 2`); strings.Contains(got, "strong") || !strings.Contains(got, "Fast & small") || !strings.Contains(got, "1 < 2") {
		t.Errorf("plain gives %q", got)
	}
}

func FuzzWords(f *testing.F) {
	for _, m := range meanings {
		f.Add(m.text)
	}
	f.Add("ß\u0301ﬃ\u200dİ\xff\x00")
	f.Fuzz(func(t *testing.T, text string) {
		for _, w := range words(text) {
			if w.text == "" || !utf8.ValidString(w.text) || strings.ContainsAny(w.text, " \n") {
				t.Errorf("words(%q) has %q", text, w.text)
			}
			// A word looked up must be among the terms of the same word indexed.
			indexed := strings.Join(w.indexed(), "\n") + "\n"
			for _, term := range w.terms() {
				if !strings.Contains(indexed, term+"\n") {
					t.Errorf("%q is looked up as %q, but indexed as %q", w.text, term, w.indexed())
				}
			}
		}
	})
}
