package load

import (
	"embed"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"addons/server/catalog"
)

// words has a file per locale: [section], then a phrase a line. The n-th phrase
// of a section says the same in every locale; a locale may have fewer sections
// and fewer phrases. The sections named like categories have what the extension
// is, two summaries and two features.
//
//go:embed words/*.txt
var words embed.FS

// phrasebook is what the sample's texts are made of: locale → section → phrases.
type phrasebook map[string]map[string][]string

func readPhrases() (phrasebook, error) {
	entries, err := words.ReadDir("words")
	if err != nil {
		return nil, fmt.Errorf("sample words: %w", err)
	}
	book := phrasebook{}
	for _, e := range entries {
		text, err := words.ReadFile("words/" + e.Name())
		if err != nil {
			return nil, fmt.Errorf("sample words: %w", err)
		}
		book[strings.TrimSuffix(e.Name(), ".txt")] = sections(string(text))
	}
	return book, nil
}

func sections(text string) map[string][]string {
	all := map[string][]string{}
	name := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			name = strings.Trim(line, "[]")
		} else if line != "" {
			all[name] = append(all[name], line)
		}
	}
	return all
}

// locales that have the section, English first and the rest in order.
func (b phrasebook) locales(section string) []string {
	var all []string
	for locale, sections := range b {
		if len(sections[section]) > 0 && locale != source {
			all = append(all, locale)
		}
	}
	slices.Sort(all)
	return append([]string{source}, all...)
}

// at returns the n-th phrase of a section; "" if the locale does not have it.
func (b phrasebook) at(locale, section string, n int) string {
	phrases := b[locale][section]
	if n >= len(phrases) {
		return ""
	}
	return phrases[n]
}

// text returns the n-th phrase in each of the locales.
func (b phrasebook) text(locales []string, section string, n int) catalog.Text {
	t := catalog.Text{}
	for _, l := range locales {
		if s := b.at(l, section, n); s != "" {
			t[l] = s
		}
	}
	return t
}

// any returns one phrase of a section.
func (b phrasebook) any(rng *rand.Rand, locale, section string) string {
	phrases := b[locale][section]
	return phrases[rng.IntN(len(phrases))]
}

// source is the locale that has every phrase.
const source = "en-US"

// sentence ends a phrase as its language does.
func sentence(locale, phrase string) string {
	if strings.HasSuffix(phrase, ".") || strings.HasSuffix(phrase, "。") {
		return phrase
	}
	if locale == "ja" {
		return phrase + "。"
	}
	return phrase + "."
}

// glue puts two sentences after each other.
func glue(locale, a, b string) string {
	if locale == "ja" {
		return a + b
	}
	return a + " " + b
}

// topic is what an extension is about: its category on both applications, and
// what such extensions are called, tagged and allowed.
type topic struct {
	category    string // of Firefox, and a section of words
	android     string // category
	roots       []string
	tags        []string
	permissions []string
	hosts       []string
}

// topics returns one topic for each category of extensions.
func topics() []topic {
	return []topic{
		{"alerts-updates", "other", []string{"Page", "Alert", "Watch"}, []string{"notification", "update", "reminder"}, []string{"alarms", "notifications", "storage"}, []string{"<all_urls>"}},
		{"appearance", "user-interface", []string{"Page", "Night", "Font"}, []string{"dark mode", "css", "accessibility"}, []string{"storage", "activeTab"}, []string{"<all_urls>"}},
		{"bookmarks", "other", []string{"Bookmark", "Shelf", "Link"}, []string{"bookmark", "organizer", "backup"}, []string{"bookmarks", "storage"}, nil},
		{"download-management", "other", []string{"Download", "File", "Fetch"}, []string{"download", "download manager", "pdf"}, []string{"downloads", "storage", "contextMenus"}, nil},
		{"feeds-news-blogging", "feeds-news-blogging", []string{"Feed", "News", "Paper"}, []string{"rss", "news", "reader"}, []string{"storage", "unlimitedStorage", "alarms"}, []string{"*://*/*"}},
		{"games-entertainment", "sports-games", []string{"Puzzle", "Patience", "Pastime"}, []string{"game", "puzzle"}, []string{"storage"}, nil},
		{"language-support", "other", []string{"Word", "Phrase", "Lingua"}, []string{"translate", "dictionary", "education"}, []string{"storage", "contextMenus", "activeTab"}, nil},
		{"photos-music-videos", "photos-media", []string{"Video", "Sound", "Picture"}, []string{"video", "music", "image search"}, []string{"tabs", "storage"}, []string{"*://*/*"}},
		{"privacy-security", "security-privacy", []string{"Track", "Cookie", "Privacy"}, []string{"privacy", "anti tracker", "cookie manager", "ad blocker"}, []string{"cookies", "webRequest", "webRequestBlocking", "storage"}, []string{"<all_urls>"}},
		{"search-tools", "other", []string{"Search", "Find", "Query"}, []string{"search", "productivity"}, []string{"search", "contextMenus", "storage"}, nil},
		{"shopping", "shopping", []string{"Price", "Wish", "Basket"}, []string{"shopping", "price"}, []string{"storage", "notifications"}, []string{"https://*.example.com/*", "https://*.example.net/*"}},
		{"social-communication", "social-networking", []string{"Chat", "Share", "Thread"}, []string{"social media", "chat", "sharing"}, []string{"clipboardWrite", "activeTab", "storage"}, nil},
		{"tabs", "user-interface", []string{"Tab", "Window", "Session"}, []string{"tab", "session manager", "productivity"}, []string{"tabs", "sessions", "storage"}, nil},
		{"web-development", "experimental", []string{"Header", "Pixel", "Inspector"}, []string{"development", "json", "color picker"}, []string{"webRequest", "webNavigation", "storage"}, []string{"<all_urls>"}},
		{"other", "other", []string{"Note", "Button", "Pocket"}, []string{"notes", "productivity"}, []string{"storage", "menus"}, nil},
	}
}

// Made-up names. The lists are long enough for more add-ons than anybody asks for.
func agents() []string {
	return strings.Fields("Keeper Shepherd Pilot Drawer Lantern Harbor Almanac Compass Gardener Porter Warden Atlas Ledger Beacon Loom Ferry Kettle Anchor Scribe Orchard Bridge Sparrow Quill Trellis")
}

func moods() []string {
	return strings.Fields("Quiet Simple Little Honest Swift Patient Tidy Gentle Nimble Steady Clever Plain Bright Humble Sunday Winter")
}

func scenes() []string {
	return strings.Fields("Harbor Meadow Glacier Rooftops Orchard Lighthouse Canyon Lagoon Northlight Terrace Birchwood Monsoon Savanna Fjord Dunes Riverbank Observatory Courtyard Heather Tidepool")
}

func firstNames() []string {
	return strings.Fields("Ada Amara Anouk Arjun Beatriz Bjørn Camille Chiara Daniel Elif Emil Farah Femke Goran Hana Ines Ivo Jasper Júlia Kaito Kemal Lena Lucía Maïwenn Marek Mei Mila Nadia Noam Oleksandr Olu Paula Priya Rafael Rosa Samir Saoirse Sven Tadeusz Theo Tomás Uma Vera Wanjiru Yara Yuki Zoë Zsófia")
}

func lastNames() []string {
	return strings.Fields("Abebe Almeida Andersen Bakker Bianchi Castillo Chen Dubois Eriksson Ferreira Fischer García Haddad Horváth Ito Jansen Kaya Kowalska Kumar Lefèvre Lindqvist Marino Mbeki Nakamura Nguyen Novák O’Brien Okafor Oliveira Petrov Quispe Rossi Sato Schneider Silva Takahashi Tóth Virtanen Weber Yılmaz Zielińska")
}

// tongue is a language that dictionaries and language packs are made for.
type tongue struct {
	locale     string
	english    string
	native     string
	dictionary string   // "Dictionary" with its language, in that language
	words      []string // of the dictionary
}

func tongues() []tongue {
	return []tongue{
		{"de", "German", "Deutsch", "Deutsches Wörterbuch", strings.Fields("Apfel Baum Fenster Garten Haus Katze Straße Wasser Zeit über")},
		{"fr", "French", "Français", "Dictionnaire français", strings.Fields("arbre chat eau fenêtre forêt jardin maison pomme rue temps")},
		{"es-ES", "Spanish (Spain)", "Español (España)", "Diccionario español", strings.Fields("agua árbol calle casa gato jardín manzana niño tiempo ventana")},
		{"pt-BR", "Portuguese (Brazil)", "Português (do Brasil)", "Dicionário de português", strings.Fields("água árvore casa gato janela jardim maçã rua tempo você")},
		{"ja", "Japanese", "日本語", "日本語の辞書", strings.Fields("家 庭 時間 木 水 猫 窓 道 りんご 花")},
		{"it", "Italian", "Italiano", "Dizionario italiano", strings.Fields("acqua albero casa città finestra gatto giardino mela strada tempo")},
		{"nl", "Dutch", "Nederlands", "Nederlands woordenboek", strings.Fields("appel boom huis kat raam straat tijd tuin water één")},
		{"pl", "Polish", "Polski", "Słownik polski", strings.Fields("czas dom drzewo jabłko kot ogród okno ulica woda żółty")},
		{"sv-SE", "Swedish", "Svenska", "Svensk ordlista", strings.Fields("äpple fönster gata hus katt tid trädgård träd vatten öga")},
		{"ru", "Russian", "Русский", "Русский словарь", strings.Fields("вода время дерево дом кошка окно сад улица яблоко ёж")},
		{"uk", "Ukrainian", "Українська", "Український словник", strings.Fields("будинок вікно вода вулиця дерево кіт сад час яблуко їжак")},
		{"ar", "Arabic", "العربية", "قاموس عربي", strings.Fields("بيت تفاحة حديقة شارع شجرة قطة ماء نافذة وقت كتاب")},
		{"he", "Hebrew", "עברית", "מילון עברי", strings.Fields("בית גן זמן חלון חתול מים עץ רחוב תפוח ספר")},
		{"tr", "Turkish", "Türkçe", "Türkçe sözlük", strings.Fields("ağaç bahçe elma ev kedi pencere sokak su zaman ışık")},
		{"cs", "Czech", "Čeština", "Český slovník", strings.Fields("čas dům jablko kočka okno strom ulice voda zahrada žába")},
	}
}
