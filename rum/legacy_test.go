package rum_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"addons/rum"
)

// TestBoomcatchsKeysComeOfTodaysBoomerang: the form has none of the parameters that
// boomerang leaves out when they are zero, for which boomcatch itself sends no navtiming.
func TestBoomcatchsKeysComeOfTodaysBoomerang(t *testing.T) {
	today := map[string]float64{
		"rt.firstbyte": 212, "rt.lastbyte": 1480, "rt.load": 1480,
		"navtiming.dns": 17, "navtiming.connect": 45, "navtiming.response": 28, "navtiming.domContent": 11, "navtiming.load": 9,
	}
	with := func(more map[string]float64) map[string]float64 {
		all := map[string]float64{}
		for key, v := range today {
			all[key] = v
		}
		for key, v := range more {
			all[key] = v
		}
		return all
	}
	for _, c := range []struct {
		name, form, prefix string
		want               map[string]float64
	}{
		{"as it is today", boomerangForm, "", today},
		{"with a prefix", "t_done=5&nt_nav_st=1", "web.", map[string]float64{"web.rt.load": 5}},
		{"of older days", boomerangForm + "&nt_unload_st=1790000000005&nt_unload_end=1790000000006&nt_red_st=1790000000000&nt_red_end=1790000000002&nt_domloading=1790000000230", "",
			with(map[string]float64{"navtiming.unload": 1, "navtiming.redirect": 2, "navtiming.dom": 1240})},
		{"zeros as they were sent once", boomerangForm + "&nt_unload_st=0&nt_unload_end=0&nt_red_st=0&nt_red_end=0", "", today},
		{"times that boomerang itself doubts", boomerangForm + "&nt_bad=1", "", map[string]float64{
			"navtiming.dns": 17, "navtiming.connect": 45, "navtiming.response": 28, "navtiming.domContent": 11, "navtiming.load": 9,
		}},
		{"over a connection that was there", "nt_nav_st=1000&nt_dns_st=1003&nt_dns_end=1003&nt_con_st=1003&nt_con_end=1003", "", map[string]float64{}},
		{"an end without its start", "nt_nav_st=1000&nt_dns_end=1500&nt_res_st=9000&nt_res_end=8000&t_done=-4&t_resp=700000", "", map[string]float64{}},
		{"of a request", boomerangForm + "&http.initiator=xhr", "", map[string]float64{}},
		{"when the page is left", boomerangForm + "&rt.quit=", "", map[string]float64{}},
	} {
		sink := keys{}
		cfg := rum.Config{Keys: []string{rum.BoomcatchKeys}, BoomcatchPrefix: c.prefix}
		h := rum.NewHandler(cfg, prometheus.NewRegistry(), sink, slog.New(slog.DiscardHandler))
		if w := ask(h.ServeHTTP, "POST", "/rum", form, c.form); w.Code != 204 {
			t.Errorf("%s: status %d", c.name, w.Code)
		}
		got := map[string]float64{}
		for key, v := range sink {
			if !strings.HasPrefix(key, "rum.") {
				got[key] = v
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s:\n%s", c.name, diff)
		}
	}
}

func TestKeysOfOthersAreSentAsChosen(t *testing.T) {
	for name, c := range map[string]struct {
		chosen []string
		want   string
	}{
		"by default":      {nil, "django"},
		"django-statsd's": {[]string{"django-statsd"}, "django"},
		"both":            {[]string{"boomcatch", "django-statsd"}, "boomcatch django"},
		"none":            {[]string{"none"}, ""},
	} {
		sink := keys{}
		cfg := rum.Config{Keys: c.chosen}
		if err := cfg.Check(); err != nil {
			t.Error(err)
		}
		ask(rum.NewHandler(cfg, prometheus.NewRegistry(), sink, slog.New(slog.DiscardHandler)).ServeHTTP, "POST", "/rum", form, boomerangForm)
		var got []string
		if sink["navtiming.dns"] > 0 {
			got = append(got, "boomcatch")
		}
		if sink["window.performance.timing.responseStart"] > 0 {
			got = append(got, "django")
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: keys of %v, want %s", name, got, c.want)
		}
	}
}

// TestTheListsMustFitIntoTheDefaultNumberOfLabelSets: a page has 4 devices × (5 vitals × 5 connections +
// 12 phases + the names of timings, and "other"), and there is the page "other".
func TestTheListsMustFitIntoTheDefaultNumberOfLabelSets(t *testing.T) {
	names := func(kind string, n int) (all []string) {
		for i := range n {
			all = append(all, fmt.Sprint(kind, i))
		}
		return all
	}
	for _, c := range []struct {
		pages, timings, countries, most int
		want                            string
	}{
		{12, 0, 0, 0, ""},
		{13, 0, 0, 0, "13 pages, 0 timings and 0 countries can make 2128 label sets, of which there may be 2000"},
		{11, 3, 0, 2000, ""},
		{11, 4, 0, 2000, "have 2016 (--beacon-label-sets)"},
		{11, 4, 0, 2016, ""},
		{11, 26, 0, 0, "3072"},
		{11, 26, 0, 500, ""}, // as it is meant
		{12, 0, 2, 0, ""},
		{12, 0, 15, 0, "3020"}, // 13 × (7 errors × 4 devices, 4 sources, 60 reasons, 3), 5 vitals × 3 ratings × 7 browsers × 17 countries
	} {
		cfg := rum.Config{Pages: names("page", c.pages), Timings: names("timing", c.timings), MaxLabelSets: c.most}
		for i := range c.countries {
			cfg.Countries, cfg.CountryHeader = append(cfg.Countries, "a"+string(rune('a'+i))), "X"
		}
		if err := cfg.Check(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("of %+v it says %v", c, err)
		}
	}
	cfg := rum.Config{Pages: names("page", 12), Countries: []string{"de", "fr"}, CountryHeader: "X"}
	if histograms, counters := cfg.LabelSets(); histograms != 13*152 || counters != 13*95+5*3*7*4 {
		t.Errorf("there are %d and %d label sets", histograms, counters)
	}
}

func TestAConfigurationThatCannotBeSaysWhy(t *testing.T) {
	for want, c := range map[string]rum.Config{
		`page "a b"`:           {Pages: []string{"a b"}},
		`country "DE"`:         {Countries: []string{"DE"}, CountryHeader: "X"},
		"16 countries":         {Countries: strings.Fields(strings.Repeat("de ", 16)), CountryHeader: "X"},
		"without a header":     {Countries: []string{"de"}},
		`origin "https://a/b"`: {Origins: []string{"https://a/b"}},
		"negative":             {MaxLabelSets: -1, PerSecond: -1},
		"none alone":           {Keys: []string{"none", "boomcatch"}},
		"without the keys":     {BoomcatchPrefix: "web"},
		`prefix "a:b"`:         {BoomcatchPrefix: "a:b", Keys: []string{"boomcatch"}},
	} {
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("of %+v it says %v, want a word of %q", c, err, want)
		}
	}
}
