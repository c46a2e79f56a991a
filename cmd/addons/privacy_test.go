package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// marks are what a beacon must leave nowhere: who sent it, with what, from which URL, and
// what it says in words.
var marks = []string{"198.51.100.77", "2001:db8:77", "Mozzarella", "tr0ubad0ur", "cook1e", "w0rds", "v1sitor"}

// markedBeacons are beacons of every client, good and bad, with all of the marks that they
// have a place for.
var markedBeacons = []struct{ method, path, contentType, body string }{
	{"POST", "/rum", "text/plain", `{"page":"home","connection":"4g","vitals":{"LCP":9000,"CLS":0.05,"INP":40,"FCP":900,"TTFB":300},"errors":{"error":1},"visitor":"v1sitor","notRestored":["w0rds"],"confidence":{"value":"low","randomizedTriggerRate":0.5,"x":"w0rds"},
		"nav":{"type":"navigate","now":9500,"fetchStart":3,"requestStart":10,"responseStart":300,"responseEnd":310,"trace":"4bf92f3577b34da6a3ce929d0e0e4736"}}`},
	{"POST", "/rum", "text/plain", `{"page":"tr0ubad0ur","connection":"w0rds","url":"/tr0ubad0ur","confidence":{"value":"w0rds"},"nav":{"type":"v1sitor","responseStart":1,"trace":"w0rds"}}`},
	{"POST", "/rum", "application/x-www-form-urlencoded", "nt_nav_st=1000&nt_res_st=1100&nt_bad=w0rds&pt.lcp=500&pid=v1sitor&rt.si=v1sitor&u=https%3A%2F%2Fshop.example%2Fcart%3Fsecret%3Dtr0ubad0ur&err=w0rds&mob.etype=w0rds"},
	{"GET", "/rum?nt_nav_st=1000&nt_res_st=1100&pid=v1sitor&u=%2Ftr0ubad0ur%3Fsecret%3Dtr0ubad0ur&secret=tr0ubad0ur", "", ""},
	{"POST", "/rum", "text/plain", `[{"name":"LCP","value":1200,"id":"v1sitor","navigationURL":"https://shop.example/cart?secret=tr0ubad0ur","entries":[{"element":"w0rds"}]},{"name":"w0rds","value":1,"id":"x"}]`},
	{"POST", "/collect", "application/json", `{"meta":{"page":{"url":"https://shop.example/?secret=tr0ubad0ur"},"user":{"id":"v1sitor"},"session":{"id":"v1sitor"}},"exceptions":[{"type":"Error","value":"w0rds"}],
		"measurements":[{"type":"web-vitals","values":{"lcp":1190,"w0rds":1},"context":{"id":"v1sitor"},"trace":{"trace_id":"w0rds"}}],"events":[{"name":"faro.performance.navigation","attributes":{"type":"w0rds","requestTime":"145"}}]}`},
	{"GET", "/services/timing/record?client=boomerang&nt_nav_st=1000&nt_res_st=1100&u=tr0ubad0ur", "", ""},
	{"POST", "/services/timing/record", "application/x-www-form-urlencoded", "client=stick&window.performance.timing.navigationStart=1000&window.performance.timing.responseStart=1100&window.performance.navigation.type=w0rds"},
	{"POST", "/services/timing/record", "application/x-www-form-urlencoded", "client=w0rds"},
	{"POST", "/rum", "application/reports+json", `[{"type":"network-error","url":"https://shop.example/?secret=tr0ubad0ur","user_agent":"Mozzarella","body":{"phase":"w0rds","type":"w0rds","server_ip":"198.51.100.77","referrer":"tr0ubad0ur"}},
		{"type":"csp-violation","url":"tr0ubad0ur","body":{"effectiveDirective":"w0rds","blockedURL":"tr0ubad0ur","sample":"w0rds"}},{"type":"w0rds","body":{}}]`},
	{"POST", "/rum", "application/csp-report", `{"csp-report":{"document-uri":"tr0ubad0ur","violated-directive":"w0rds","blocked-uri":"tr0ubad0ur"}}`},
	{"POST", "/rum", "text/plain", `{"page":"home","vitals":{"LCP":"w0rds"}}`},
	{"POST", "/rum", "text/plain", `v1sitor w0rds`},
	{"PUT", "/rum?secret=tr0ubad0ur", "text/plain", `w0rds`},
}

// TestABeaconLeavesNothingOfItsSender looks through all that the platform puts out, and all that it has
// written, for what beacons say of their senders.
func TestABeaconLeavesNothingOfItsSender(t *testing.T) {
	carbon, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer carbon.Close()
	graphite := make(chan []byte, 1)
	go func() {
		conn, err := carbon.Accept()
		if err != nil {
			return
		}
		lines, _ := io.ReadAll(conn)
		graphite <- lines
	}()
	data := t.TempDir()
	p := start(t, data, "ready", "--graphite", carbon.Addr().String(), "--proxies", "127.0.0.0/8", "--beacon-keys", "django-statsd,boomcatch")
	for i, b := range markedBeacons {
		for _, address := range []string{"198.51.100.77", "2001:db8:77::1"} {
			req, err := http.NewRequest(b.method, p.url(b.path), strings.NewReader(b.body))
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range map[string]string{
				"Content-Type": b.contentType, "X-Forwarded-For": address, "User-Agent": "Mozilla/5.0 (Mozzarella 7) Firefox/153.0", "Accept-Language": "de",
				"Sec-CH-UA": `"Mozzarella";v="7"`, "Cookie": "who=cook1e", "Referer": "https://shop.example/?secret=tr0ubad0ur", "CF-IPCountry": "w0rds",
			} {
				req.Header.Set(name, value)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			answer, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode >= 500 {
				t.Errorf("beacon %d got %d", i, resp.StatusCode)
			}
			seek(t, fmt.Sprint("the answer to beacon ", i), answer)
		}
	}
	// Values that wait for better ones count at the latest after half a minute; an end counts them.
	eventually(t, "a view among the explorer's", func() bool { return strings.Contains(p.page("operators", "/views/"), "home") })
	read := p.pages("operators", "/", 100)
	for path, text := range read {
		seek(t, path, []byte(text))
	}
	for _, path := range []string{"/metrics", "/errors", "/views/", "/monitor.json"} {
		if read[path] == "" && p.page("operators", path) == "" {
			t.Errorf("nothing is at %s", path)
		}
		seek(t, path, []byte(p.page("operators", path)))
	}
	metrics := p.page("relay", "/metrics")
	if !strings.Contains(metrics, `rum_beacons_total{format="faro",outcome="accepted"} 2`) {
		t.Errorf("the beacons are not counted:\n%s", regexp.MustCompile("rum_beacons_total.*").FindAllString(metrics, -1))
	}
	seek(t, "the relay's /metrics", []byte(metrics))
	seek(t, "the relay's page", []byte(p.page("relay", "/")))
	if code := p.terminate(); code != 0 {
		t.Errorf("it ended with %d", code)
	}
	lines := <-graphite
	if !bytes.Contains(lines, []byte(".rum.home.lcp.")) {
		t.Error("no vitals came to Graphite")
	}
	seek(t, "Graphite", lines)
	seek(t, "the log", []byte(p.output.String()))
	files := 0
	err = filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		files++
		text, err := os.ReadFile(path)
		seek(t, path, text)
		return err
	})
	if err != nil || files < 3 {
		t.Errorf("%d files, %v", files, err)
	}
	t.Logf("%d pages, %d bytes for Graphite, %d files: none of %q", len(read), len(lines), files, marks)
}

// seek finds marks where they should not be.
func seek(t *testing.T, where string, text []byte) {
	t.Helper()
	for _, m := range marks {
		if i := bytes.Index(text, []byte(m)); i >= 0 {
			t.Errorf("%s has %s: …%q…", where, m, text[max(0, i-60):min(len(text), i+60)])
		}
	}
}

// page reads a page of one of the platform's addresses, "" if it has none.
func (p *platform) page(address, path string) string {
	p.t.Helper()
	resp, err := http.Get(p.addresses[address] + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return ""
	}
	return string(text)
}

// pages follows the links of an address's pages, and returns most of them at the most.
func (p *platform) pages(address, from string, most int) map[string]string {
	all := map[string]string{}
	for next := []string{from}; len(next) > 0 && len(all) < most; next = next[1:] {
		path := next[0]
		if _, ok := all[path]; ok || strings.HasPrefix(path, "/debug/") {
			continue
		}
		all[path] = p.page(address, path)
		tree, err := html.Parse(strings.NewReader(all[path]))
		if err != nil {
			p.t.Fatal(err)
		}
		for n := range tree.Descendants() {
			for _, a := range n.Attr {
				if n.Data == "a" && a.Key == "href" && strings.HasPrefix(a.Val, "/") {
					link, _, _ := strings.Cut(a.Val, "#")
					next = append(next, link)
				}
			}
		}
	}
	return all
}
