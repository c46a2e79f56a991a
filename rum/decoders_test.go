package rum

import (
	"math"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// legacyShape is every key that the sets of other servers have.
var legacyShape = regexp.MustCompile(`^(window\.performance\.(timing\.(responseStart|domLoading|domInteractive|domComplete|loadEventEnd)|calculated\.(network|app|dom|rendering)|navigation\.type\.(navigate|reload|back_forward|prerender|back-forward-cache|other))` +
	`|x\.rt\.(firstbyte|lastbyte|load)|x\.navtiming\.(unload|redirect|dns|connect|response|dom|domContent|load))$`)

// checked is a sink that knows what may come.
type checked struct{ *testing.T }

func (c checked) Timing(key string, ms float64) {
	if !legacyShape.MatchString(key) || !(ms >= 0 && ms <= maxAbsolute) {
		c.Errorf("%s = %v", key, ms)
	}
}

func (c checked) Count(key string, n float64) { c.Timing(key, n) }

// decoders are all of them, by what a fuzzer may choose.
var decoders = []func(body string) ([]Beacon, error){
	func(body string) ([]Beacon, error) { b, err := Decode([]byte(body)); return []Beacon{b}, err },
	func(body string) ([]Beacon, error) { b, err := DecodeBoomerang(body); return []Beacon{b}, err },
	func(body string) ([]Beacon, error) {
		b, err := decodeDjango(http.MethodGet, "client=boomerang&"+body)
		return []Beacon{b}, err
	},
	func(body string) ([]Beacon, error) {
		b, err := decodeDjango(http.MethodPost, "client=stick&"+body)
		return []Beacon{b}, err
	},
	func(body string) ([]Beacon, error) { return decodeWebVitals([]byte(body)) },
	func(body string) ([]Beacon, error) { return decodeFaro([]byte(body)) },
	func(body string) ([]Beacon, error) { return decodeReports([]byte(body)) },
}

// FuzzDecoders gives each decoder whatever comes: nothing may panic, and no value may come
// that can't be true, nor a word that is not of a closed set.
func FuzzDecoders(f *testing.F) {
	for i, seeds := range [][]string{
		{`{"page":"home","vitals":{"LCP":190.4,"CLS":0},"nav":{"type":"navigate","now":1500,"fetchStart":3,"responseStart":20,"responseEnd":22,"loadEventEnd":90}}`, `{"page":"x","errors":{"error":4294967296}}`},
		{"nt_nav_st=1000&nt_red_st=0&nt_red_end=0&nt_fet_st=1003&nt_dns_st=1004&nt_dns_end=1021&nt_domloading=1100&nt_domcomp=1200&nt_load_end=1300&t_resp=12&t_page=5&t_done=17&pt.lcp=9&c.cls=.5&u=%zz",
			"nt_nav_st=9e307&nt_load_end=-9e307&nt_domloading=9e307&nt_domcomp=-9e307&t_resp=9e307&t_page=9e307", "http.initiator=bfcache&early=1", "nt_nav_st=0&t_done=600000.1", "=&&=="},
		{"nt_nav_st=1000&nt_res_st=1001&nt_nav_type=255"},
		{"window.performance.timing.navigationStart=1000&window.performance.timing.domLoading=1200&window.performance.timing.domComplete=1100&window.performance.timing.unloadEventEnd=1", "window.performance.timing.navigationStart=undefined", "window.performance.timing.=1"},
		{`[{"name":"CLS","value":-0,"id":"x","navigationURL":"//"},{"name":"LCP","value":1e308}]`, `{"name":"INP","value":8}`, ""},
		{`{"meta":{"page":{"url":"/"},"k6":{"isK6Browser":true}},"measurements":[{"type":"web-vitals","values":{"lcp":1,"cls":-1},"context":{"id":"a"}}],"exceptions":[{}],"events":[{"name":"faro.performance.navigation","attributes":{"tcpHandshakeTime":"20","tlsNegotiationTime":"66","requestTime":"-1","pageLoadTime":"1e9","type":"x"}}]}`},
		{"", `[{"type":"network-error","body":{"sampling_fraction":1e-300,"phase":"dns","type":"dns.failed"}},{"type":"csp-violation","body":{"effectiveDirective":"img-src"}}]`, `{"csp-report":{"violated-directive":"x"}}`},
	} {
		for _, seed := range seeds {
			f.Add(uint8(i), seed)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, body string) {
		beacons, err := decoders[int(which)%len(decoders)](body)
		if err != nil {
			return
		}
		if len(beacons) > maxValues+1 {
			t.Errorf("%d beacons of one", len(beacons))
		}
		for i := range beacons {
			b := &beacons[i]
			samples, dropped := b.Samples()
			for _, s := range samples {
				if !(s.Value >= 0 && s.Value <= maxAbsolute) || strings.Trim(s.Key(), "abcdefghijklmnopqrstuvwxyz_.") != "" {
					t.Errorf("%+v", s)
				}
			}
			for _, d := range dropped {
				if strings.Trim(d.Metric+d.Reason, "abcdefghijklmnopqrstuvwxyz_") != "" {
					t.Errorf("%+v", d)
				}
			}
			b.DjangoKeys(checked{t})
			b.BoomcatchKeys("x.", checked{t})
			if n := b.Network; n != nil && !(n.Weight >= 1 && n.Weight <= 1/leastFraction && !math.IsNaN(n.Weight)) {
				t.Errorf("%+v", *n)
			}
		}
	})
}

// FuzzHeaders reads whatever a sender says of itself.
func FuzzHeaders(f *testing.F) {
	f.Add("Mozilla/5.0 (X11; rv:153.0) Firefox/153.0", `"Chromium";v="140", "Google Chrome";v="140"`, "de", "DE")
	f.Add("curl/8", "", "", "\xff\xff")
	h := NewHandler(Config{CountryHeader: "C", Countries: []string{"de"}, Networks: NewNetworks([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")})}, prometheus.NewRegistry(), nowhere{}, nil)
	families := regexp.MustCompile("^(chrome|edge|firefox|safari|samsung|opera|other)$")
	f.Fuzz(func(t *testing.T, ua, brands, language, country string) {
		r := &http.Request{RemoteAddr: "192.0.2.1:1", Header: http.Header{"User-Agent": {ua}, "Sec-Ch-Ua": {brands}, "Accept-Language": {language}, "C": {country}}}
		s := h.sender(r)
		if !families.MatchString(s.browser) || !regexp.MustCompile("^(desktop|mobile|tablet)$").MatchString(s.device) ||
			!regexp.MustCompile("^(de|other|unknown)$").MatchString(s.country) || !regexp.MustCompile("^(|user_agent|headers)$").MatchString(s.bot) {
			t.Errorf("%+v", s)
		}
	})
}

// FuzzRoutes matches as the parts of paths do, one by one.
func FuzzRoutes(f *testing.F) {
	f.Add("/:a/b/*c", "/x/b/y/z")
	f.Add("/", "")
	f.Fuzz(func(t *testing.T, pattern, path string) {
		if checkPattern(pattern) != nil {
			return
		}
		want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
		fits := true
		for i, w := range want {
			if strings.HasPrefix(w, "*") && i < len(got) {
				got = got[:len(want)]
				break
			}
			fits = fits && i < len(got) && (w == got[i] || strings.HasPrefix(w, ":") && got[i] != "")
		}
		if fits = fits && len(got) == len(want); Fits(pattern, path) != fits {
			t.Errorf("%q fits %q: %t, want %t", path, pattern, !fits, fits)
		}
	})
}
