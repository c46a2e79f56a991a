package search

import (
	"strings"
	"testing"
)

// meanings is what people type and what they mean. Every engine must agree.
var meanings = []struct {
	text, lang string
	first      string   // slug of the first hit, "" for none at all
	then       []string // slugs that follow, in order
}{
	{text: "ublock origin", first: "ublock-origin"},
	{text: "ublock", first: "ublock-origin"},
	{text: "uBlockOrigin", first: "ublock-origin"},                      // written together
	{text: "u block origin", first: "ublock-origin"},                    // written apart
	{text: "ublok origin", first: "ublock-origin"},                      // misspelt
	{text: "adblock", first: "adblock", then: []string{"adblock-plus"}}, // a whole name beats a more used one that begins so
	{text: "adblock plus", first: "adblock-plus"},
	{text: "AD BLOCKER", first: "adblock-plus"},
	{text: "the best ad blocker for firefox", first: "adblock-plus"},
	{text: "password manager", first: "bitwarden-password-manager", then: []string{"lastpass-password-manager"}},
	{text: "last pass", first: "lastpass-password-manager"},
	{text: "passwort manager", lang: "de", first: "bitwarden-password-manager"},
	{text: "mots de passe", lang: "fr", first: "bitwarden-password-manager"},
	{text: "dark reader", first: "darkreader"},
	{text: "darkreader", first: "darkreader"},
	{text: "lector oscuro", lang: "es", first: "darkreader"},
	{text: "dark mode", first: "dark-mode-webextension"}, // in the name, not only in the tags
	{text: "tree tabs", first: "tree-style-tab"},
	{text: "ツリー型タブ", lang: "ja", first: "tree-style-tab"},
	{text: "タブ", lang: "ja", first: "tree-style-tab", then: []string{"tab-session-manager"}},
	{text: "翻訳", first: "simple-translate"},
	{text: "书签", lang: "zh-CN", first: "shuqian-guanli"},
	{text: "视频下载", first: "video-downloadhelper"},
	{text: "한글", first: "hangul-input"},
	{text: "لوحة المفاتيح", lang: "ar", first: "arabic-keyboard"},
	{text: "ภาษาไทย", first: "thai-fonts"},
	{text: "зимняя НОЧЬ", first: "zima-noch"},
	{text: "ελληνικο λεξικο", first: "greek-dictionary"}, // without accents
	{text: "worterbuch", first: "deutsches-worterbuch"},  // without the umlaut
	{text: "dictionnaire francais", first: "dictionnaire-francais"},
	{text: "jezyk polski", first: "polish-langpack"},
	{text: "gorhill", first: "ublock-origin"},                                                  // an author
	{text: "youtube", first: "enhancer-for-youtube"},                                           // the most used of those named so
	{text: "cookies", first: "cookie-autodelete", then: []string{"i-dont-care-about-cookies"}}, // one being recommended
	{text: "i dont care about cookies", first: "i-dont-care-about-cookies"},
	{text: "tampermonky", first: "tampermonkey"},
	{text: "violent monkey", first: "violentmonkey"},
	{text: "grammar", first: "languagetool", then: []string{"grammar-checker-old"}},
	{text: "tree-style-tab@sample.test", first: "tree-style-tab"}, // a GUID
	{text: "privacy-badger17", first: "privacy-badger17"},         // a slug
	{text: "downthemall!", first: "downthemall"},
	{text: "🔥", first: "emoji-love"},
	{text: "xyzzyqwert", first: ""},
	{text: "youtube xyzzyqwert", first: ""}, // of two words both are needed
	{text: "enhancer youtube experience xyzzyqwert", first: "enhancer-for-youtube"},
	{text: "!!! ???", first: ""},
}

func TestPeopleFindWhatTheyMean(t *testing.T) {
	engines(t, func(t *testing.T, ix *Index) {
		docs := sample()
		if err := ix.Put(t.Context(), docs...); err != nil {
			t.Fatal(err)
		}
		for _, c := range meanings {
			result, err := ix.Search(t.Context(), Query{Text: c.text, Lang: c.lang, Limit: 10})
			if err != nil {
				t.Errorf("%q: %v", c.text, err)
				continue
			}
			var want []string
			if c.first != "" {
				want = append([]string{c.first}, c.then...)
			}
			got := slugs(docs, result)
			if len(got) < len(want) || strings.Join(got[:len(want)], " ") != strings.Join(want, " ") || len(want) == 0 && len(got) > 0 {
				t.Errorf("%q finds %q, want %q first", c.text, got, want)
			}
		}
	})
}

func slugs(docs []Doc, result Result) []string {
	var found []string
	for _, hit := range result.Hits {
		found = append(found, docs[hit.ID-1].Slug)
	}
	return found
}
