package search

import (
	"time"

	"addons/server/catalog"
)

// sample is a small catalogue: real-looking add-ons in several languages, with
// the near misses that make ranking hard (clones, words that many descriptions
// have, names that contain each other).
func sample() []Doc {
	var docs []Doc
	for i, s := range sampleRows {
		d := Doc{
			ID: int64(i + 1), Slug: s.slug, GUID: s.slug + "@sample.test", Type: catalog.Extension, Status: catalog.Public, DefaultLocale: "en-US",
			Name: s.name, Summary: s.summary, Description: s.description, Authors: s.authors, Tags: s.tags, Promoted: s.promoted,
			AuthorIDs: []int64{int64(1000 + i%7)}, Categories: map[string][]string{"firefox": {s.category}},
			Apps: []string{"firefox"}, Compat: []catalog.Compat{{App: "firefox", Min: s.min, Max: s.max}},
			Users: s.users, Downloads: s.users / 50, Rating: 3 + float64(i%20)/10, Hotness: float64(i%9) / 10,
			Created: time.Date(2020, 1, 1+i, 0, 0, 0, 0, time.UTC), Updated: time.Date(2025, 1, 1+(i*7)%60, 12, 0, 0, 0, time.UTC),
		}
		if s.kind != "" {
			d.Type = s.kind
		}
		if s.android {
			d.Apps = append(d.Apps, "android")
			d.Compat = append(d.Compat, catalog.Compat{App: "android", Min: "113.0", Max: ""})
		}
		docs = append(docs, d)
	}
	return docs
}

type text = catalog.Text

type sampleRow struct {
	slug                       string
	kind                       catalog.Type
	name, summary, description text
	authors, tags, promoted    []string
	category                   string
	users                      int
	min, max                   string
	android                    bool
}

func en(s string) text { return text{"en-US": s} }

var sampleRows = []sampleRow{
	{slug: "ublock-origin", name: en("uBlock Origin"), summary: en("Finally, an efficient wide-spectrum content blocker. Easy on CPU and memory."), description: en("<p>An efficient blocker: stops ads and trackers.</p>"), authors: []string{"Raymond Hill", "gorhill"}, tags: []string{"ad blocker", "privacy", "security"}, promoted: []string{"recommended"}, category: "privacy-security", users: 9_800_000, min: "79.0", android: true},
	{slug: "umatrix", name: en("uMatrix"), summary: en("Point and click to forbid or allow any class of requests made by your browser."), authors: []string{"Raymond Hill"}, tags: []string{"privacy"}, category: "privacy-security", users: 90_000, min: "57.0"},
	{slug: "adblock-plus", name: text{"en-US": "Adblock Plus - free ad blocker", "de": "Adblock Plus - kostenloser Adblocker"}, summary: text{"en-US": "One of the most popular free ad blockers for Firefox. Block annoying ads on sites like Facebook and YouTube.", "de": "Einer der beliebtesten kostenlosen Werbeblocker."}, authors: []string{"Adblock Plus"}, tags: []string{"ad blocker"}, category: "privacy-security", users: 3_500_000, min: "77.0", android: true},
	{slug: "adblock", name: en("AdBlock"), summary: en("Block ads and pop-ups on YouTube, Facebook, Twitch and your favorite websites."), authors: []string{"BetaFish"}, tags: []string{"ad blocker"}, category: "privacy-security", users: 1_200_000, min: "68.0"},
	{slug: "adblocker-ultimate", name: en("AdBlocker Ultimate"), summary: en("Completely free ad blocker. Removes all ads."), authors: []string{"AdAvoid"}, tags: []string{"ad blocker"}, promoted: []string{"recommended"}, category: "privacy-security", users: 1_100_000, min: "78.0"},
	{slug: "adblock-for-me", name: en("Ad Block for Me"), summary: en("adblock adblock adblock best adblock"), description: en("adblock adblock adblock adblock adblock ublock origin adblock plus"), authors: []string{"nobody"}, category: "other", users: 12, min: "57.0"},
	{slug: "noscript", name: en("NoScript Security Suite"), summary: en("The best security you can get in a web browser! Allow active content to run only from sites you trust."), authors: []string{"Giorgio Maone"}, tags: []string{"security", "javascript"}, promoted: []string{"recommended"}, category: "privacy-security", users: 300_000, min: "59.0", android: true},
	{slug: "privacy-badger17", name: en("Privacy Badger"), summary: en("Automatically learns to block invisible trackers."), authors: []string{"EFF Technologies"}, tags: []string{"privacy", "anti tracker"}, promoted: []string{"recommended"}, category: "privacy-security", users: 1_300_000, min: "78.0", android: true},
	{slug: "https-everywhere", name: en("HTTPS Everywhere"), summary: en("Encrypt the Web! Automatically use HTTPS security on many sites."), authors: []string{"EFF Technologies"}, tags: []string{"security"}, category: "privacy-security", users: 600_000, min: "52.0", max: "90.*"},
	{slug: "decentraleyes", name: en("Decentraleyes"), summary: en("Protects you against tracking through free, centralized content delivery."), authors: []string{"Thomas Rientjes"}, tags: []string{"privacy"}, promoted: []string{"recommended"}, category: "privacy-security", users: 200_000, min: "60.0"},
	{slug: "lastpass-password-manager", name: en("LastPass Password Manager"), summary: en("LastPass, an award-winning password manager, saves your passwords and gives you secure access."), authors: []string{"LastPass"}, tags: []string{"password manager"}, category: "privacy-security", users: 450_000, min: "53.0"},
	{slug: "bitwarden-password-manager", name: text{"en-US": "Bitwarden Password Manager", "de": "Bitwarden Passwort-Manager", "fr": "Bitwarden - Gestionnaire de mots de passe"}, summary: text{"en-US": "At home, at work, or on the go, Bitwarden easily secures all your passwords.", "fr": "Bitwarden sécurise facilement tous vos mots de passe."}, authors: []string{"Bitwarden Inc."}, tags: []string{"password manager"}, promoted: []string{"recommended"}, category: "privacy-security", users: 1_500_000, min: "91.0", android: true},
	{slug: "keepassxc-browser", name: en("KeePassXC-Browser"), summary: en("Official browser plugin for the KeePassXC password manager"), authors: []string{"KeePassXC Team"}, tags: []string{"password manager"}, promoted: []string{"recommended"}, category: "privacy-security", users: 250_000, min: "60.0"},
	{slug: "pass-generator", name: en("Password Generator"), summary: en("Makes strong passwords."), authors: []string{"Ann Lee"}, category: "privacy-security", users: 4_000, min: "57.0"},
	{slug: "darkreader", name: text{"en-US": "Dark Reader", "fr": "Lecteur sombre", "es": "Lector oscuro"}, summary: text{"en-US": "Dark mode for every website. Take care of your eyes, use dark theme for night and daily browsing.", "es": "Modo oscuro para cada sitio web."}, authors: []string{"Alexander Shutau"}, tags: []string{"dark mode"}, promoted: []string{"recommended"}, category: "appearance", users: 1_100_000, min: "91.0", android: true},
	{slug: "dark-background-light-text", name: en("Dark Background and Light Text"), summary: en("Makes every page to have light text on dark background."), authors: []string{"Mikhail Khvoinitsky"}, tags: []string{"dark mode"}, category: "appearance", users: 70_000, min: "58.0"},
	{slug: "dark-mode-webextension", name: en("Dark Mode (WebExtension)"), summary: en("A simple toggle for a dark theme."), authors: []string{"dlinbernard"}, tags: []string{"dark mode"}, category: "appearance", users: 8_000, min: "57.0"},
	{slug: "night-owl-theme", kind: catalog.Theme, name: text{"en-US": "Night Owl Dark", "de": "Nachteule dunkel"}, summary: en("A calm dark theme for the night."), authors: []string{"Sarah"}, category: "nature", users: 20_000, min: "57.0"},
	{slug: "matte-black-red", kind: catalog.Theme, name: en("Matte Black (Red)"), summary: en("A modern dark theme with bright red fonts."), authors: []string{"Elijah"}, category: "abstract", users: 60_000, min: "57.0"},
	{slug: "zima-noch", kind: catalog.Theme, name: text{"ru": "Зимняя ночь", "en-US": "Winter Night"}, summary: text{"ru": "Тёмная тема со снегом"}, authors: []string{"Ольга"}, category: "nature", users: 900, min: "57.0"},
	{slug: "sakura", kind: catalog.Theme, name: text{"ja": "桜の季節", "en-US": "Sakura Season"}, summary: text{"ja": "春の桜をイメージしたテーマ"}, authors: []string{"はな"}, category: "nature", users: 1_500, min: "57.0"},
	{slug: "tree-style-tab", name: text{"en-US": "Tree Style Tab", "ja": "ツリー型タブ", "de": "Baumartige Tabs"}, summary: text{"en-US": "Show tabs like a tree.", "ja": "タブをツリー状に表示します。"}, authors: []string{"Piro (piro_or)"}, tags: []string{"tabs"}, promoted: []string{"recommended"}, category: "tabs", users: 170_000, min: "91.0"},
	{slug: "sidebery", name: en("Sidebery"), summary: en("Vertical tabs tree and bookmarks in sidebar with advanced containers configuration."), authors: []string{"mbnuqw"}, tags: []string{"tabs"}, promoted: []string{"recommended"}, category: "tabs", users: 60_000, min: "102.0"},
	{slug: "tab-session-manager", name: text{"en-US": "Tab Session Manager", "ja": "Tab Session Manager - タブセッション管理"}, summary: text{"en-US": "Save and restore the state of windows and tabs.", "ja": "ウィンドウやタブの状態を保存・復元します。"}, authors: []string{"Sienori"}, tags: []string{"tabs"}, promoted: []string{"recommended"}, category: "tabs", users: 120_000, min: "89.0"},
	{slug: "simple-tab-groups", name: en("Simple Tab Groups"), summary: en("Create, modify, and quickly change tab groups."), authors: []string{"Drive4ik"}, tags: []string{"tabs"}, category: "tabs", users: 130_000, min: "88.0"},
	{slug: "onetab", name: en("OneTab"), summary: en("Convert your tabs to a list and reduce browser memory."), authors: []string{"OneTab Team"}, tags: []string{"tabs"}, category: "tabs", users: 200_000, min: "58.0"},
	{slug: "auto-tab-discard", name: en("Auto Tab Discard"), summary: en("Increase browser speed and reduce memory load and when you have numerous open tabs."), authors: []string{"tlintspr"}, tags: []string{"tabs"}, promoted: []string{"recommended"}, category: "tabs", users: 90_000, min: "60.0"},
	{slug: "multi-account-containers", name: text{"en-US": "Firefox Multi-Account Containers", "fr": "Onglets conteneurs multi-comptes Firefox"}, summary: en("Keep parts of your online life separated into color-coded tabs."), authors: []string{"Mozilla Firefox"}, tags: []string{"container"}, promoted: []string{"line"}, category: "tabs", users: 700_000, min: "91.1"},
	{slug: "facebook-container", name: text{"en-US": "Facebook Container", "pt-BR": "Contêiner Facebook"}, summary: en("Prevent Facebook from tracking you around the web."), authors: []string{"Mozilla Firefox"}, tags: []string{"container", "privacy"}, promoted: []string{"line"}, category: "privacy-security", users: 1_400_000, min: "74.0"},
	{slug: "google-container", name: en("Google Container"), summary: en("Prevent Google from tracking you around the web."), authors: []string{"containers-everywhere"}, tags: []string{"container"}, category: "privacy-security", users: 40_000, min: "58.0"},
	{slug: "video-downloadhelper", name: text{"en-US": "Video DownloadHelper", "zh-CN": "视频下载助手"}, summary: text{"en-US": "Download videos from the Web. Easy, smart, video tracking.", "zh-CN": "从网页下载视频的简单方法"}, authors: []string{"mig"}, tags: []string{"video downloader"}, promoted: []string{"recommended"}, category: "download-management", users: 2_000_000, min: "52.0"},
	{slug: "downthemall", name: en("DownThemAll!"), summary: en("The Mass Downloader for your browser"), authors: []string{"Nils Maier"}, tags: []string{"download"}, promoted: []string{"recommended"}, category: "download-management", users: 130_000, min: "57.0"},
	{slug: "enhancer-for-youtube", name: en("Enhancer for YouTube™"), summary: en("Take control of YouTube and boost your user experience!"), authors: []string{"Maxime RF"}, tags: []string{"youtube"}, promoted: []string{"recommended"}, category: "photos-music-videos", users: 900_000, min: "78.0"},
	{slug: "return-youtube-dislikes", name: en("Return YouTube Dislike"), summary: en("Returns ability to see dislike statistics on YouTube"), authors: []string{"Dmitry Selivanov"}, tags: []string{"youtube"}, promoted: []string{"recommended"}, category: "photos-music-videos", users: 350_000, min: "78.0"},
	{slug: "sponsorblock", name: en("SponsorBlock for YouTube - Skip Sponsorships"), summary: en("Easily skip YouTube video sponsors."), authors: []string{"Ajay"}, tags: []string{"youtube"}, promoted: []string{"recommended"}, category: "photos-music-videos", users: 600_000, min: "102.0", android: true},
	{slug: "h264ify", name: en("h264ify"), summary: en("Makes YouTube stream H.264 videos instead of VP8/VP9 videos"), authors: []string{"erkserkserks"}, category: "photos-music-videos", users: 50_000, min: "57.0"},
	{slug: "i-dont-care-about-cookies", name: en("I don't care about cookies"), summary: en("Get rid of cookie warnings from almost all websites!"), authors: []string{"Kiboke"}, tags: []string{"cookie"}, category: "other", users: 700_000, min: "52.0"},
	{slug: "cookie-autodelete", name: en("Cookie AutoDelete"), summary: en("Control your cookies! Automatically delete unwanted cookies from your closed tabs."), authors: []string{"CAD Team"}, tags: []string{"cookie"}, promoted: []string{"recommended"}, category: "privacy-security", users: 150_000, min: "65.0"},
	{slug: "cookies-txt", name: en("cookies.txt"), summary: en("Exports all cookies to a Netscape HTTP Cookie File."), authors: []string{"Lennon Hill"}, category: "web-development", users: 30_000, min: "57.0"},
	{slug: "languagetool", name: text{"en-US": "Grammar and Spell Checker - LanguageTool", "de": "Rechtschreibprüfung und Grammatikprüfung - LanguageTool", "fr": "Correcteur de grammaire et d’orthographe - LanguageTool"}, summary: text{"en-US": "Check your texts for spelling and grammar problems everywhere on the web", "de": "Prüfen Sie Ihre Texte auf Fehler"}, authors: []string{"LanguageTool"}, tags: []string{"grammar"}, promoted: []string{"recommended"}, category: "language-support", users: 500_000, min: "77.0"},
	{slug: "deutsches-worterbuch", kind: catalog.Dictionary, name: text{"de": "Deutsches Wörterbuch", "en-US": "German Dictionary"}, summary: text{"de": "Wörterbuch für die Rechtschreibprüfung"}, authors: []string{"KaiRo"}, category: "general", users: 400_000, min: "57.0"},
	{slug: "dictionnaire-francais", kind: catalog.Dictionary, name: text{"fr": "Dictionnaire français « Classique »", "en-US": "French Dictionary"}, summary: text{"fr": "Dictionnaire orthographique pour la langue française"}, authors: []string{"Olivier R."}, category: "general", users: 150_000, min: "57.0"},
	{slug: "polish-langpack", kind: catalog.Language, name: text{"pl": "Język polski", "en-US": "Polski Language Pack"}, authors: []string{"Mozilla"}, category: "general", users: 15_000, min: "128.0", max: "128.*"},
	{slug: "greek-dictionary", kind: catalog.Dictionary, name: text{"el": "Ελληνικό λεξικό", "en-US": "Greek spelling dictionary"}, authors: []string{"Κώστας"}, category: "general", users: 7_000, min: "57.0"},
	{slug: "to-google-translate", name: text{"en-US": "To Google Translate", "es": "Al traductor de Google"}, summary: en("Highlight text on a web page and send it to Google Translate."), authors: []string{"Juan Escobar"}, tags: []string{"translate"}, promoted: []string{"recommended"}, category: "language-support", users: 350_000, min: "57.0"},
	{slug: "simple-translate", name: text{"en-US": "Simple Translate", "ja": "Simple Translate - 翻訳"}, summary: text{"en-US": "Quickly translate selected or typed text on web pages.", "ja": "選択したテキストを翻訳します。"}, authors: []string{"Sienori"}, tags: []string{"translate"}, promoted: []string{"recommended"}, category: "language-support", users: 160_000, min: "67.0"},
	{slug: "baidu-hanyi", name: text{"zh-CN": "划词翻译", "en-US": "Word Translator"}, summary: text{"zh-CN": "选中文字即可翻译"}, authors: []string{"小明"}, tags: []string{"translate"}, category: "language-support", users: 22_000, min: "57.0"},
	{slug: "bookmark-search-plus", name: en("Bookmark search plus 2"), summary: en("Search bookmarks and show their folder."), authors: []string{"aaFn"}, tags: []string{"bookmarks"}, category: "bookmarks", users: 5_000, min: "57.0"},
	{slug: "shuqian-guanli", name: text{"zh-CN": "书签管理器", "en-US": "Bookmark Manager and Viewer"}, summary: text{"zh-CN": "管理和搜索书签"}, authors: []string{"小红"}, tags: []string{"bookmarks"}, category: "bookmarks", users: 3_000, min: "57.0"},
	{slug: "marcadores", name: text{"pt-BR": "Organizador de favoritos", "en-US": "Favorites Organizer"}, summary: text{"pt-BR": "Organize seus favoritos com ações rápidas"}, authors: []string{"João Gonçalves"}, tags: []string{"bookmarks"}, category: "bookmarks", users: 800, min: "57.0"},
	{slug: "hangul-input", name: text{"ko": "한글 입력기", "en-US": "Hangul Input"}, summary: text{"ko": "웹페이지에서 한글을 쉽게 입력하세요"}, authors: []string{"김민수"}, category: "language-support", users: 600, min: "57.0"},
	{slug: "arabic-keyboard", name: text{"ar": "لوحة المفاتيح العربية", "en-US": "Arabic Keyboard"}, summary: text{"ar": "اكتب بالعربية في أي صفحة"}, authors: []string{"أحمد"}, category: "language-support", users: 700, min: "57.0"},
	{slug: "thai-fonts", name: text{"th": "ฟอนต์ภาษาไทย", "en-US": "Thai Fonts"}, summary: text{"th": "ทำให้ตัวอักษรไทยอ่านง่าย"}, authors: []string{"สมชาย"}, category: "appearance", users: 300, min: "57.0"},
	{slug: "refined-github", name: en("Refined GitHub"), summary: en("Simplifies the GitHub interface and adds many useful features."), authors: []string{"fregante"}, tags: []string{"github"}, promoted: []string{"recommended"}, category: "web-development", users: 60_000, min: "109.0"},
	{slug: "react-devtools", name: en("React Developer Tools"), summary: en("React Developer Tools is a tool that allows you to inspect a React tree."), authors: []string{"React"}, tags: []string{"developer"}, category: "web-development", users: 300_000, min: "102.0"},
	{slug: "violentmonkey", name: en("Violentmonkey"), summary: en("Userscript support for browsers, open source."), authors: []string{"Gerald"}, tags: []string{"userscript"}, promoted: []string{"recommended"}, category: "other", users: 300_000, min: "68.0"},
	{slug: "tampermonkey", name: en("Tampermonkey"), summary: en("Tampermonkey is the world's most popular userscript manager."), authors: []string{"Jan Biniok"}, tags: []string{"userscript"}, promoted: []string{"recommended"}, category: "other", users: 900_000, min: "68.0", android: true},
	{slug: "greasemonkey", name: en("Greasemonkey"), summary: en("Customize the way a web page displays or behaves, by using small bits of JavaScript."), authors: []string{"Anthony Lieuallen"}, tags: []string{"userscript"}, category: "other", users: 110_000, min: "58.0"},
	{slug: "print-friendly", name: en("Print Friendly & PDF"), summary: en("Make web pages printer-friendly; remove ads and navigation."), authors: []string{"PrintFriendly"}, tags: []string{"pdf"}, category: "other", users: 45_000, min: "57.0"},
	{slug: "emoji-love", name: en("Emoji ❤ Keyboard"), summary: en("Copy and paste emoji 🔥."), authors: []string{"emo"}, category: "other", users: 2_500, min: "57.0"},
	{slug: "grammar-checker-old", name: en("Old Spelling Tool"), summary: en("Spelling."), description: en("This tool checks grammar and spelling; it is older than LanguageTool."), authors: []string{"old hand"}, category: "language-support", users: 40, min: "45.0", max: "56.*"},
	{slug: "vpn-free", name: en("Free VPN - unlimited"), summary: en("The best free VPN for Firefox."), authors: []string{"vpnco"}, tags: []string{"vpn"}, category: "privacy-security", users: 80_000, min: "57.0"},
}
