package web

import (
	"slices"
	"testing"

	"addons/server/catalog"
)

func TestALocaleIsKnownInOtherLettersAndAsABareLanguage(t *testing.T) {
	t.Parallel()
	for part, want := range map[string]string{
		"en-US": "en-US", "EN-us": "en-US", "en_US": "en-US", "en": "en-US", "pt": "pt-BR", "zh": "zh-CN", "de": "de",
		"": "", "xx": "", "api": "", "static": "", "wp-login.php": "", "firefox": "", "tlh": "",
	} {
		got, ok := canonical(part)
		if ok != (want != "") || ok && got != want {
			t.Errorf("canonical(%q) = %q, %t, want %q", part, got, ok, want)
		}
	}
}

func TestEveryLocaleIsItsOwn(t *testing.T) {
	t.Parallel()
	for _, l := range locales {
		if got, ok := canonical(l); !ok || got != l {
			t.Errorf("canonical(%q) = %q, %t", l, got, ok)
		}
	}
}

func TestDescriptionsKeepOnlyWhatAuthorsMayUse(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`<b>bold</b> <i>it</i> <u>under</u>`:                     `<b>bold</b> <i>it</i> under`,
		`<a href="https://example.org/" onclick="x()">go</a>`:    `<a href="https://example.org/" rel="nofollow noopener ugc">go</a>`,
		`<a href="javascript:alert(1)">go</a>`:                   `go`,
		`<a href="/relative">go</a>`:                             `go`,
		`<script>alert(1)</script>after`:                         `after`,
		`<h1>Big</h1>`:                                           `Big`,
		`rel="nofollow" <abbr title='a rel="nofollow"'>x</abbr>`: `rel=&#34;nofollow&#34; <abbr title="a rel=&#34;nofollow&#34;">x</abbr>`,
		"line\nbreak": "line\nbreak",
		"a < b && c":  "a &lt; b &amp;&amp; c",
	} {
		if got := sanitise(text{Body: in}).HTML; string(got) != want {
			t.Errorf("sanitise(%q)\n got %s\nwant %s", in, got, want)
		}
	}
}

func TestListsStandTight(t *testing.T) {
	t.Parallel()
	p := sanitise(text{Body: "it has:\n<ul>\n <li>a</li>\n <li>b c</li>\n</ul>\n\nEnd\n."})
	if want := "it has:<ul><li>a</li><li>b c</li></ul>End\n."; string(p.Tight()) != want {
		t.Errorf("got %q, want %q", p.Tight(), want)
	}
}

func TestPermissionsAreSaidInWords(t *testing.T) {
	t.Parallel()
	got := permissions(&catalog.File{
		Permissions:     []string{"tabs", "storage", "https://*.example.org/*", "tabs", "history", "topSites"},
		HostPermissions: []string{"*://example.com/*", "<all_urls>", "*://*/*", "://"},
	})
	want := []string{"Access browser tabs", "Access browsing history", "Access your data for all websites",
		"Access your data for example.com", "Access your data for sites in the example.org domain"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestNumbersAreReadable(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1234: "-1,234"} {
		if got := number(n); got != want {
			t.Errorf("number(%d) = %s, want %s", n, got, want)
		}
	}
	for n, want := range map[int64]string{1: "1 bytes", 2048: "2.0 KB", 3 << 20: "3.0 MB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestCodingsAreReadAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		header, coding string
		want           bool
	}{
		{"gzip, deflate, br", "br", true}, {"gzip;q=0.5, br;q=0", "br", false}, {"gzip;q=0.5", "gzip", true},
		{"", "br", false}, {"br; q=0.000", "br", false}, {"brotli", "br", false}, {"br;q=x", "br", false},
	} {
		if got := accepts(c.header, c.coding); got != c.want {
			t.Errorf("accepts(%q, %q) = %t", c.header, c.coding, got)
		}
	}
}

func TestEveryRouteIsNamedOnce(t *testing.T) {
	t.Parallel()
	views := map[string]string{}
	for _, r := range (&Web{}).routes() {
		if r.module == "" || r.name == "" {
			t.Errorf("%s %s has no name for statsd", r.method, r.pattern)
		}
		patterns := views[r.module+"."+r.name]
		if r.module == "pages" && patterns != "" {
			t.Errorf("%s and %s are both %s.%s", patterns, r.pattern, r.module, r.name)
		}
		views[r.module+"."+r.name] = r.pattern
	}
	if p := Pages(); !slices.Contains(p, "addon") || !slices.Contains(p, errorPage) {
		t.Errorf("Pages() = %q", p)
	}
}

// FuzzDescription: whatever an author writes, nothing comes out that could run.
func FuzzDescription(f *testing.F) {
	f.Add(`<a href="javascript:alert(1)">x</a>`)
	f.Add(`<b onclick=x>"><script>`)
	f.Add(`<a href="https://x.example" title='"><script>alert(1)</script>'>`)
	f.Fuzz(func(t *testing.T, in string) {
		first := sanitise(text{Body: in}).HTML
		again := sanitise(text{Body: string(first)}).HTML
		if again != sanitise(text{Body: string(again)}).HTML {
			t.Errorf("%q is not stable: %q", in, first)
		}
	})
}

func FuzzLocale(f *testing.F) {
	for _, seed := range []string{"en-US", "de_AT", "../", "x-private", "en-u-ca-buddhist"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, part string) {
		if l, ok := canonical(part); ok && !knownLocale(l) {
			t.Errorf("canonical(%q) = %q, which is not a locale of the site", part, l)
		}
	})
}
