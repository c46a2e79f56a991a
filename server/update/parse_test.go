package update_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"addons/server/catalog"
	"addons/server/update"
)

// asFirefox is what Firefox 153 sends, byte by byte.
const asFirefox = "reqVersion=2&id=seed@acceptance.invalid&version=1.0&maxAppVersion=null&status=userEnabled" +
	"&appID={ec8030f7-c20a-464f-9b0e-13a3a9e97384}&appVersion=153.7.0&appOS=Linux&appABI=x86_64-gcc3" +
	"&locale=en-US-posix&currentAppVersion=153.7.0&updateType=97&compatMode=normal"

func TestParseReadsWhatClientsSend(t *testing.T) {
	t.Parallel()
	const firefox = "appID={ec8030f7-c20a-464f-9b0e-13a3a9e97384}"
	want := func(guid, version string, mode catalog.CompatMode) update.Request {
		return update.Request{GUID: guid, App: catalog.Firefox, AppVersion: version, Mode: mode}
	}
	seed := want("seed@acceptance.invalid", "153.7.0", catalog.ModeNormal)
	seed.Version = "1.0"
	for _, c := range []struct {
		query string
		want  update.Request
	}{
		{asFirefox, seed},
		// Escaped ids mean the same.
		{"id=%7B6f1e0c55-1234-4abc-8def-0123456789ab%7D&appID=%7Bec8030f7-c20a-464f-9b0e-13a3a9e97384%7D&appVersion=1", want("{6f1e0c55-1234-4abc-8def-0123456789ab}", "1", catalog.ModeStrict)},
		{"id={6f1e0c55-1234-4abc-8def-0123456789ab}&" + firefox + "&appVersion=1", want("{6f1e0c55-1234-4abc-8def-0123456789ab}", "1", catalog.ModeStrict)},
		{"id=a%40b&appID={EC8030F7-C20A-464F-9B0E-13A3A9E97384}&appVersion=1", want("a@b", "1", catalog.ModeStrict)},
		{"%69d=a@b&" + firefox + "&appVersion=1", want("a@b", "1", catalog.ModeStrict)},
		// The order and what else there is don't count.
		{"appVersion=1&x&&=&=y&" + firefox + "&locale=%zz&id=a@b&", want("a@b", "1", catalog.ModeStrict)},
		// Of two, the first.
		{"id=a@b&id=c@d&appVersion=1&appVersion=2&" + firefox, want("a@b", "1", catalog.ModeStrict)},
		{"id=a@b&appVersion=1&compatMode=ignore&compatMode=normal&" + firefox, want("a@b", "1", catalog.ModeIgnore)},
		// Modes.
		{"id=a@b&appVersion=1&compatMode=&" + firefox, want("a@b", "1", catalog.ModeStrict)},
		{"id=a@b&appVersion=1&compatMode=strict&" + firefox, want("a@b", "1", catalog.ModeStrict)},
		{"id=a@b&appVersion=1&compatMode=whatever&" + firefox, want("a@b", "1", catalog.ModeIgnore)},
		// An escaped plus is a plus, a bare one a space.
		{"id=a@b&appVersion=1.0%2B&" + firefox, want("a@b", "1.0+", catalog.ModeStrict)},
		{"id=a@b&appVersion=1.0+&" + firefox, want("a@b", "1.0 ", catalog.ModeStrict)},
		// An impossible id is not a bad question.
		{"id=%00%ff&appVersion=1&" + firefox, want("\x00\xff", "1", catalog.ModeStrict)},
	} {
		got, err := update.Parse(c.query)
		if err != nil {
			t.Errorf("Parse(%s): %v", c.query, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("Parse(%s):\n%s", c.query, diff)
		}
	}
}

func TestParseRefusesWhatHasNoAnswer(t *testing.T) {
	t.Parallel()
	for _, query := range []string{
		"", "&", "id", "junk",
		"appID={ec8030f7-c20a-464f-9b0e-13a3a9e97384}&appVersion=1",
		"id=&appID={ec8030f7-c20a-464f-9b0e-13a3a9e97384}&appVersion=1",
		"id=%zz&appID={ec8030f7-c20a-464f-9b0e-13a3a9e97384}&appVersion=1",
		"id=a@b&appVersion=1",
		"id=a@b&appID=&appVersion=1",
		"id=a@b&appID=firefox&appVersion=1",
		"id=a@b&appID={3550f703-e582-4d05-9a08-453d09bdfdc6}&appVersion=1", // Thunderbird
		"id=a@b&appID={ec8030f7-c20a-464f-9b0e-13a3a9e97384}",
		"id=a@b&appID={ec8030f7-c20a-464f-9b0e-13a3a9e97384}&appVersion=",
		"id=a@b&appID={ec8030f7-c20a-464f-9b0e-13a3a9e97384}&appVersion=" + strings.Repeat("1", 256),
	} {
		if got, err := update.Parse(query); !errors.Is(err, catalog.ErrInvalid) {
			t.Errorf("Parse(%.80s) = %+v, %v, want it refused", query, got, err)
		}
	}
}

func TestParseOfWhatFirefoxSendsAllocatesNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { update.Parse(asFirefox) }); n > 2 {
		t.Errorf("%v allocations", n)
	}
}

func TestKeyKeepsAddonsAndApplicationsApart(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, guid := range []string{"a@b", "A@b", "firefox/a@b", "{x}"} {
		for _, key := range update.Keys(guid) {
			if other, ok := seen[key]; ok {
				t.Errorf("%q and %q share the key %q", other, guid, key)
			}
			seen[key] = guid
		}
	}
}

// FuzzParse holds Parse against the standard library.
func FuzzParse(f *testing.F) {
	f.Add(asFirefox)
	f.Add("id=%7Ba%7D&appID=%7Bec8030f7-c20a-464f-9b0e-13a3a9e97384%7D&appVersion=1+2&compatMode=%6eormal")
	f.Add("id=a&id&appID&%=%&%69d=b&=&&")
	f.Fuzz(func(t *testing.T, query string) {
		if strings.Contains(query, ";") {
			return // which url.ParseQuery refuses, for reasons of forms
		}
		got, err := update.Parse(query)
		values, _ := url.ParseQuery(query) // what it can't read it leaves out, as Parse does
		app, known := catalog.AppBy(values.Get("appID"))
		version := values.Get("appVersion")
		valid := values.Get("id") != "" && known && app.Slug != values.Get("appID") && version != "" && len(version) <= 255
		if valid != (err == nil) {
			t.Fatalf("Parse(%q) = %v, want valid: %v", query, err, valid)
		}
		if err != nil {
			return
		}
		want := update.Request{GUID: values.Get("id"), App: app, AppVersion: version, Mode: catalog.ModeOf(values.Get("compatMode")), Version: values.Get("version")}
		if got != want {
			t.Fatalf("Parse(%q) = %+v, want %+v", query, got, want)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		update.Parse(asFirefox)
	}
}
