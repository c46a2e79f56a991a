package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

func TestCacheExplainsWhatThePagesOfARunningPlatformHaveCached(t *testing.T) {
	p := start(t, t.TempDir(), "ready")
	_, body := p.get(p.addresses["site"] + "/api/v5/addons/search/?page_size=1")
	var found struct {
		Results []struct{ Slug, GUID string }
	}
	if err := json.Unmarshal([]byte(body), &found); err != nil || len(found.Results) != 1 {
		t.Fatalf("search: %v, %s", err, body)
	}
	a := found.Results[0]
	for range 3 {
		p.get(p.addresses["site"] + "/en-US/firefox/addon/" + a.Slug + "/")
	}
	cache := func(args ...string) string {
		t.Helper()
		out, err := command(t.Context(), append(append([]string{"cache"}, args...), "--admin", strings.TrimPrefix(p.addresses["operators"], "http://"))...).CombinedOutput()
		if err != nil {
			t.Errorf("addons cache %v: %v", args, err)
		}
		return string(out)
	}
	got := cache("explain", "addon:"+a.Slug)
	for _, want := range []string{
		"in memory: fresh", "db.sqlite.addon × 1", "ends with     a change of " + a.GUID, " ago: filled in", "has heard of change",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("explain says nothing of %q:\n%s", want, got)
		}
	}
	if report := cache("report"); !regexp.MustCompile(`(?m)^addon +[1-9]\d* .*[1-9]\w*s$`).MatchString(report) {
		t.Errorf("report has no hits of add-ons, or no time saved:\n%s", report)
	}
	if _, page := p.get(p.addresses["operators"] + "/cache?key=addon:" + a.Slug); !strings.Contains(page, "In memory: fresh") || !strings.Contains(page, "db.sqlite.addon × 1") {
		t.Errorf("the operators' page: %s", page)
	}
	if out, err := command(t.Context(), "cache", "explain", "adon:x", "--admin", p.addresses["operators"]).CombinedOutput(); err == nil || !strings.Contains(string(out), "NAME one of addon") {
		t.Errorf("an unknown name: %v, %s", err, out)
	}
}
