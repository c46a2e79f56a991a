package rum

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestWhoSendsIsTakenFromHeaders(t *testing.T) {
	h := NewHandler(Config{}, prometheus.NewRegistry(), nowhere{}, slog.New(slog.DiscardHandler))
	for _, c := range []struct{ ua, brands, device, browser, bot string }{
		{"Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0", "", "desktop", "firefox", ""},
		{"Mozilla/5.0 (Android 15; Mobile; rv:153.0) Gecko/153.0 Firefox/153.0", "", "mobile", "firefox", ""},
		{"Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/140.0 Mobile/15E148 Safari/605.1.15", "", "mobile", "firefox", ""},
		{"Mozilla/5.0 (Linux; Android 14; SM-X910) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36", `"Chromium";v="140", "Google Chrome";v="140", "Not?A_Brand";v="24"`, "tablet", "chrome", ""},
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36", `"Not;A=Brand";v="8", "Chromium";v="140", "Brave";v="140"`, "desktop", "other", ""},
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36", `"Chromium";v="140", "Microsoft Edge";v="140", "Not?A_Brand";v="24"`, "desktop", "edge", ""},
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0", "", "desktop", "edge", ""},
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36 OPR/122.0.0.0", "", "desktop", "opera", ""},
		{"Mozilla/5.0 (Linux; Android 13; SM-S901B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36", "", "mobile", "samsung", ""},
		{"Mozilla/5.0 (iPad; CPU OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Mobile/15E148 Safari/604.1", "", "tablet", "safari", ""},
		{"Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/140.0.0.0 Mobile/15E148 Safari/604.1", "", "mobile", "chrome", ""},
		{"Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Firefox/115.0 SeaMonkey/2.53.18", "", "desktop", "other", ""},
		{"NetSurf/3.11", "", "desktop", "other", ""},
		{"Mozilla/5.0 (Linux; Android 11; CUBOT NOTE 20) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Mobile Safari/537.36", "", "mobile", "chrome", ""},
		{"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "", "desktop", "other", "user_agent"},
		{"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/140.0.0.0 Safari/537.36", "", "desktop", "chrome", "user_agent"},
		{"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36", `"HeadlessChrome";v="140", "Not?A_Brand";v="24"`, "desktop", "chrome", "user_agent"},
		{"curl/8.15.0", "", "desktop", "other", "user_agent"},
		{"", "", "desktop", "other", "headers"},
	} {
		r := httptest.NewRequest("POST", "/rum", nil)
		r.Header.Set("User-Agent", c.ua)
		r.Header.Set("Accept-Language", "de")
		if c.brands != "" {
			r.Header.Set("Sec-CH-UA", c.brands)
		}
		if got, want := h.sender(r), (sender{c.device, c.browser, "unknown", c.bot}); got != want {
			t.Errorf("%q, %s: %+v, want %+v", c.ua, c.brands, got, want)
		}
	}
	r := httptest.NewRequest("POST", "/rum", nil)
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0")
	if got := h.sender(r).bot; got != "headers" {
		t.Errorf("who knows no language is %q", got)
	}
}

func TestAProxysWordOnTheCountryIsBelieved(t *testing.T) {
	networks := NewNetworks([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
	for _, c := range []struct{ header, from, said, want string }{
		{"CF-IPCountry", "10.0.0.1:1", "DE", "de"},
		{"CF-IPCountry", "10.0.0.1:1", "fr", "fr"},
		{"CF-IPCountry", "10.0.0.1:1", "US", "other"},
		{"CF-IPCountry", "10.0.0.1:1", "XX", "unknown"},
		{"CF-IPCountry", "10.0.0.1:1", "T1", "unknown"},
		{"CF-IPCountry", "10.0.0.1:1", "", "unknown"},
		{"CF-IPCountry", "203.0.113.9:1", "DE", "unknown"},
		{"", "10.0.0.1:1", "DE", "unknown"},
	} {
		h := NewHandler(Config{Networks: networks, CountryHeader: c.header, Countries: []string{"de", "fr"}}, prometheus.NewRegistry(), nowhere{}, slog.New(slog.DiscardHandler))
		r := from(c.from, "203.0.113.9")
		r.Header.Set("CF-IPCountry", c.said)
		if got := h.country(r); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
	h := NewHandler(Config{CountryHeader: "CF-IPCountry"}, prometheus.NewRegistry(), nowhere{}, slog.New(slog.DiscardHandler))
	if got := h.country(&http.Request{RemoteAddr: "@", Header: http.Header{"Cf-Ipcountry": {"DE"}}}); got != "unknown" {
		t.Errorf("without proxies the country is %s", got)
	}
}
