package catalog_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"addons/server/catalog"
)

// offer reads a version from "id number flags app:min-max app:min-max", flags being
// "-" or letters: s strict, u unlisted, d deleted, r not reviewed, x disabled.
func offer(t *testing.T, text string) *catalog.Version {
	t.Helper()
	fields := strings.Fields(text)
	v := &catalog.Version{Number: fields[1], Channel: catalog.Listed, File: catalog.File{Status: catalog.Public}}
	if _, err := fmt.Sscan(fields[0], &v.ID); err != nil {
		t.Fatal(err)
	}
	for _, flag := range fields[2] {
		switch flag {
		case 's':
			v.Strict = true
		case 'u':
			v.Channel = catalog.Unlisted
		case 'd':
			v.Deleted = true
		case 'r':
			v.File.Status = catalog.Unreviewed
		case 'x':
			v.File.Status = catalog.Disabled
		}
	}
	for _, c := range fields[3:] {
		app, bounds, _ := strings.Cut(c, ":")
		lower, upper, _ := strings.Cut(bounds, "-")
		v.Compatibility = append(v.Compatibility, catalog.Compat{App: app, Min: lower, Max: upper})
	}
	return v
}

// TestChooseTruthTable: what strict, normal and ignore choose (version ids, 0 for
// none) for Firefox of the version, out of the versions.
func TestChooseTruthTable(t *testing.T) {
	t.Parallel()
	const (
		open     = "1 1.0 - firefox:100.0-*"
		noMax    = "1 1.0 - firefox:100.0-"
		capped   = "1 1.0 - firefox:100.0-120.0"
		stars    = "1 1.0 - firefox:100.0-120.*"
		strict   = "1 1.0 s firefox:100.0-120.0"
		strictly = "1 1.0 s firefox:100.0-*"
		noMin    = "1 1.0 - firefox:-120.0"
		both     = "1 1.0 - firefox:100.0-120.0 android:90.0-95.0"
	)
	rows := []struct {
		versions   string // separated by |
		appVersion string
		want       [3]int64 // strict, normal, ignore
	}{
		// One version, no limit above.
		{open, "99.0", [3]int64{0, 0, 0}},
		{open, "99.9.9", [3]int64{0, 0, 0}},
		{open, "100.0a1", [3]int64{0, 0, 0}}, // an alpha is older than its release
		{open, "100.0b9", [3]int64{0, 0, 0}},
		{open, "100.0pre", [3]int64{0, 0, 0}},
		{open, "100", [3]int64{1, 1, 1}},
		{open, "100.0", [3]int64{1, 1, 1}},
		{open, "100.0.0", [3]int64{1, 1, 1}},
		{open, "100.0.1", [3]int64{1, 1, 1}},
		{open, "153.7.0", [3]int64{1, 1, 1}},
		{open, "*", [3]int64{1, 1, 1}},
		{open, "", [3]int64{0, 0, 0}},
		{open, "junk", [3]int64{0, 0, 0}},
		{open, "-1", [3]int64{0, 0, 0}},
		{open, "99999999999", [3]int64{0, 0, 0}}, // beyond 32 bits counts as 0
		{noMax, "99.0", [3]int64{0, 0, 0}},
		{noMax, "100.0", [3]int64{1, 1, 1}},
		{noMax, "999.0", [3]int64{1, 1, 1}},
		// Not strict, a limit above: only strict mode looks at it.
		{capped, "99.0", [3]int64{0, 0, 0}},
		{capped, "100.0", [3]int64{1, 1, 1}},
		{capped, "119.9", [3]int64{1, 1, 1}},
		{capped, "120.0a1", [3]int64{1, 1, 1}},
		{capped, "120.0", [3]int64{1, 1, 1}},
		{capped, "120.0.0", [3]int64{1, 1, 1}},
		{capped, "120.0.1", [3]int64{0, 1, 1}},
		{capped, "120.1", [3]int64{0, 1, 1}},
		{capped, "153.7.0", [3]int64{0, 1, 1}},
		{stars, "120.0.1", [3]int64{1, 1, 1}},
		{stars, "120.99", [3]int64{1, 1, 1}},
		{stars, "121.0a1", [3]int64{0, 1, 1}},
		{stars, "121.0", [3]int64{0, 1, 1}},
		// Strict: normal looks too.
		{strict, "99.0", [3]int64{0, 0, 0}},
		{strict, "100.0", [3]int64{1, 1, 1}},
		{strict, "120.0", [3]int64{1, 1, 1}},
		{strict, "120.0.1", [3]int64{0, 0, 1}},
		{strict, "121.0a1", [3]int64{0, 0, 1}},
		{strict, "153.7.0", [3]int64{0, 0, 1}},
		{strictly, "99.0", [3]int64{0, 0, 0}},
		{strictly, "153.7.0", [3]int64{1, 1, 1}},
		{"1 1.0 s firefox:100.0-", "153.7.0", [3]int64{1, 1, 1}},
		{"1 1.0 s firefox:100.0-*", "100.0", [3]int64{1, 1, 1}},
		// No lower limit.
		{noMin, "1.0", [3]int64{1, 1, 1}},
		{noMin, "0", [3]int64{1, 1, 1}},
		{noMin, "", [3]int64{1, 1, 1}},
		{noMin, "-1", [3]int64{0, 0, 0}}, // older than 0
		{noMin, "121.0", [3]int64{0, 1, 1}},
		{"1 1.0 - firefox:-", "153.7.0", [3]int64{1, 1, 1}},
		{"1 1.0 - firefox:*-*", "153.7.0", [3]int64{0, 0, 0}},
		{"1 1.0 - firefox:120.0-100.0", "110.0", [3]int64{0, 0, 0}}, // ends the wrong way round
		{"1 1.0 - firefox:120.0-100.0", "120.0", [3]int64{0, 1, 1}},
		{"1 1.0 - firefox:120.0-120.0", "120.0", [3]int64{1, 1, 1}},
		{"1 1.0 s firefox:120.0-120.0", "120.0.1", [3]int64{0, 0, 1}},
		// Not for this application.
		{"1 1.0 - android:100.0-*", "153.7.0", [3]int64{0, 0, 0}},
		{"1 1.0 -", "153.7.0", [3]int64{0, 0, 0}},
		{both, "110.0", [3]int64{1, 1, 1}},
		{both, "95.0", [3]int64{0, 0, 0}}, // Android's range isn't Firefox's
		{both, "121.0", [3]int64{0, 1, 1}},
		{"1 1.0 - android:1.0-* firefox:150.0-*", "149.0", [3]int64{0, 0, 0}},
		{"1 1.0 - android:1.0-* firefox:150.0-*", "150.0", [3]int64{1, 1, 1}},
		{"2 2.0 - android:1.0-*|1 1.0 - firefox:1.0-*", "150.0", [3]int64{1, 1, 1}},
		// Not offered.
		{"1 1.0 u firefox:100.0-*", "153.7.0", [3]int64{0, 0, 0}},
		{"1 1.0 d firefox:100.0-*", "153.7.0", [3]int64{0, 0, 0}},
		{"1 1.0 r firefox:100.0-*", "153.7.0", [3]int64{0, 0, 0}},
		{"1 1.0 x firefox:100.0-*", "153.7.0", [3]int64{0, 0, 0}},
		{"2 2.0 u firefox:100.0-*|" + open, "153.7.0", [3]int64{1, 1, 1}},
		{"2 2.0 d firefox:100.0-*|" + open, "153.7.0", [3]int64{1, 1, 1}},
		{"2 2.0 r firefox:100.0-*|" + open, "153.7.0", [3]int64{1, 1, 1}},
		{"2 2.0 x firefox:100.0-*|" + open, "153.7.0", [3]int64{1, 1, 1}},
		{"2 2.0 ud firefox:100.0-*|1 1.0 rx firefox:100.0-*", "153.7.0", [3]int64{0, 0, 0}},
		// Several: the highest number that fits.
		{open + "|2 1.1 - firefox:100.0-*", "153.7.0", [3]int64{2, 2, 2}},
		{"2 1.1 - firefox:100.0-*|" + open, "153.7.0", [3]int64{2, 2, 2}},
		{open + "|2 1.1 - firefox:140.0-*", "139.0", [3]int64{1, 1, 1}},
		{open + "|2 1.1 - firefox:140.0-*", "140.0", [3]int64{2, 2, 2}},
		{open + "|2 1.1 - firefox:140.0-*", "99.0", [3]int64{0, 0, 0}},
		{capped + "|2 1.1 - firefox:121.0-140.0", "115.0", [3]int64{1, 1, 1}},
		{capped + "|2 1.1 - firefox:121.0-140.0", "120.5", [3]int64{0, 1, 1}},
		{capped + "|2 1.1 - firefox:121.0-140.0", "130.0", [3]int64{2, 2, 2}},
		{capped + "|2 1.1 - firefox:121.0-140.0", "153.0", [3]int64{0, 2, 2}},
		{strict + "|2 1.1 s firefox:121.0-140.0", "120.5", [3]int64{0, 0, 1}},
		{strict + "|2 1.1 s firefox:121.0-140.0", "153.0", [3]int64{0, 0, 2}},
		{strict + "|2 0.9 - firefox:1.0-*", "153.0", [3]int64{2, 2, 1}},
		{strict + "|2 0.9 - firefox:1.0-*", "110.0", [3]int64{1, 1, 1}},
		{strict + "|2 0.9 - firefox:1.0-*", "50.0", [3]int64{2, 2, 2}},
		{strict + "|2 0.9 - firefox:1.0-200.0", "153.0", [3]int64{2, 2, 1}},
		{capped + "|2 0.9 - firefox:1.0-*", "153.0", [3]int64{2, 1, 1}},
		{capped + "|2 0.9 - firefox:1.0-130.0", "125.0", [3]int64{2, 1, 1}},
		{capped + "|2 0.9 - firefox:1.0-130.0", "131.0", [3]int64{0, 1, 1}},
		{"1 1.0 - firefox:1-*|2 2.0 - firefox:50-*|3 3.0 - firefox:100-*", "49", [3]int64{1, 1, 1}},
		{"1 1.0 - firefox:1-*|2 2.0 - firefox:50-*|3 3.0 - firefox:100-*", "50", [3]int64{2, 2, 2}},
		{"1 1.0 - firefox:1-*|2 2.0 - firefox:50-*|3 3.0 - firefox:100-*", "99.9", [3]int64{2, 2, 2}},
		{"1 1.0 - firefox:1-*|2 2.0 - firefox:50-*|3 3.0 - firefox:100-*", "100", [3]int64{3, 3, 3}},
		{"1 1.0 s firefox:1-10|2 2.0 s firefox:5-15|3 3.0 s firefox:12-20", "7", [3]int64{2, 2, 2}},
		{"1 1.0 s firefox:1-10|2 2.0 s firefox:5-15|3 3.0 s firefox:12-20", "13", [3]int64{3, 3, 3}},
		{"1 1.0 s firefox:1-10|2 2.0 s firefox:5-15|3 3.0 s firefox:12-20", "21", [3]int64{0, 0, 3}},
		{"1 1.0 s firefox:1-10|2 2.0 s firefox:5-15|3 3.0 s firefox:12-20", "4", [3]int64{1, 1, 1}},
		// The number counts, not the order of submission: the difference to addons-server.
		{"5 2.0 - firefox:100.0-*|9 1.0.1 - firefox:100.0-*", "153.0", [3]int64{5, 5, 5}},
		{"5 10.0 - firefox:100.0-*|9 9.0 - firefox:100.0-*", "153.0", [3]int64{5, 5, 5}},
		{"5 2.0 - firefox:140.0-*|9 1.0.1 - firefox:100.0-*", "120.0", [3]int64{9, 9, 9}},
		{"5 1.0 - firefox:100.0-*|9 1.0b2 - firefox:100.0-*", "153.0", [3]int64{5, 5, 5}},
		{"5 1.0b10 - firefox:100.0-*|9 1.0b9 - firefox:100.0-*", "153.0", [3]int64{5, 5, 5}},
		{"5 2026.10.1 - firefox:100.0-*|9 2026.9.30 - firefox:100.0-*", "153.0", [3]int64{5, 5, 5}},
		{"5 1.10 - firefox:100.0-*|9 1.9 - firefox:100.0-*", "153.0", [3]int64{5, 5, 5}},
		// Equal numbers: the later submission.
		{"5 1.0 - firefox:100.0-*|9 1.0.0 - firefox:100.0-*", "153.0", [3]int64{9, 9, 9}},
		{"9 1.0 - firefox:100.0-*|5 1.0.0 - firefox:100.0-*", "153.0", [3]int64{9, 9, 9}},
		{"9 1.0 s firefox:100.0-120.0|5 1.0.0 - firefox:100.0-*", "153.0", [3]int64{5, 5, 9}},
		// Nothing at all.
		{"", "153.0", [3]int64{0, 0, 0}},
	}
	if len(rows) < 100 {
		t.Errorf("%d rows, want at least 100", len(rows))
	}
	for _, row := range rows {
		var versions []*catalog.Version
		for text := range strings.SplitSeq(row.versions, "|") {
			if text != "" {
				versions = append(versions, offer(t, text))
			}
		}
		for i, mode := range catalog.Modes() {
			var got int64
			if v := catalog.Choose(versions, catalog.Firefox, row.appVersion, mode); v != nil {
				got = v.ID
			}
			if got != row.want[i] {
				t.Errorf("%s, %s of %q: chose %d, want %d", row.appVersion, mode, row.versions, got, row.want[i])
			}
		}
	}
}

func TestChooseLooksAtTheRangeOfTheApplicationAsked(t *testing.T) {
	t.Parallel()
	versions := []*catalog.Version{offer(t, "1 1.0 - firefox:100.0-* android:113.0-*"), offer(t, "2 2.0 - firefox:100.0-*")}
	if got := catalog.Choose(versions, catalog.Android, "120.0", catalog.ModeStrict); got == nil || got.ID != 1 {
		t.Errorf("Choose for Android = %v, want version 1", got)
	}
	if got := catalog.Choose(versions, catalog.Android, "112.0", catalog.ModeStrict); got != nil {
		t.Errorf("Choose for an old Android = %v, want none", got.ID)
	}
}

func TestChooseDoesNotDependOnTheOrderOfItsVersions(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		versions := someVersions(r)
		app, mode := fmt.Sprint(r.IntN(30)), catalog.Modes()[r.IntN(3)]
		want := catalog.Choose(versions, catalog.Firefox, app, mode)
		r.Shuffle(len(versions), func(i, j int) { versions[i], versions[j] = versions[j], versions[i] })
		if got := catalog.Choose(versions, catalog.Firefox, app, mode); got != want {
			t.Fatalf("shuffled, Choose for %s %s gave %v instead of %v", app, mode, got, want)
		}
	}
}

func TestTheFirstChoosableThatFitsIsTheChoice(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 8))
	kept, all := 0, 0
	for range 2000 {
		versions := someVersions(r)
		choosable := catalog.Choosable(versions, catalog.Firefox)
		for app := range 40 {
			for _, mode := range catalog.Modes() {
				var first *catalog.Version
				for _, v := range choosable {
					if v.RunsIn(catalog.Firefox, fmt.Sprint(app), mode) {
						first = v
						break
					}
				}
				want := catalog.Choose(versions, catalog.Firefox, fmt.Sprint(app), mode)
				if first != want {
					t.Fatalf("for %d %s the first choosable is %v, the choice %v", app, mode, first, want)
				}
			}
		}
		kept, all = kept+len(choosable), all+len(versions)
	}
	if kept >= all*9/10 {
		t.Errorf("%d of %d versions kept: too few were left out", kept, all)
	}
}

func someVersions(r *rand.Rand) []*catalog.Version {
	var versions []*catalog.Version
	for i := range r.IntN(8) {
		low := r.IntN(20)
		versions = append(versions, &catalog.Version{
			ID: int64(i + 1), Number: fmt.Sprintf("%d.%d", r.IntN(3), r.IntN(3)), Channel: catalog.Listed, Strict: r.IntN(2) == 0,
			File:          catalog.File{Status: catalog.Public},
			Compatibility: []catalog.Compat{{App: "firefox", Min: fmt.Sprint(low), Max: fmt.Sprint(low + r.IntN(10))}},
		})
	}
	return versions
}

func TestModeOf(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]catalog.CompatMode{
		"": catalog.ModeStrict, "strict": catalog.ModeStrict, "normal": catalog.ModeNormal,
		"ignore": catalog.ModeIgnore, "Normal": catalog.ModeIgnore, "junk": catalog.ModeIgnore,
	} {
		if got := catalog.ModeOf(s); got != want {
			t.Errorf("ModeOf(%q) = %s, want %s", s, got, want)
		}
	}
}

func TestAppBy(t *testing.T) {
	t.Parallel()
	for ref, want := range map[string]string{
		"firefox": "firefox", "android": "android",
		"{ec8030f7-c20a-464f-9b0e-13a3a9e97384}": "firefox", "{EC8030F7-C20A-464F-9B0E-13A3A9E97384}": "firefox",
		"{aa3c5121-dab2-40e2-81ca-7ea25febc110}": "android", "": "", "thunderbird": "", "ec8030f7-c20a-464f-9b0e-13a3a9e97384": "",
	} {
		if got, ok := catalog.AppBy(ref); got.Slug != want || ok != (want != "") {
			t.Errorf("AppBy(%q) = %q, %v, want %q", ref, got.Slug, ok, want)
		}
	}
}

func TestValidGUID(t *testing.T) {
	t.Parallel()
	for guid, want := range map[string]bool{
		"uBlock0@raymondhill.net": true, "@host": true, "a-b_c.d@e-f_g.h": true,
		"{6f1e0c55-1234-4abc-8def-0123456789ab}": true, "{6F1E0C55-1234-4ABC-8DEF-0123456789AB}": true,
		"": false, "a": false, "a@": false, "a b@c": false, "a@b@c": false, "a@b/c": false, "é@b": false,
		"{6f1e0c55-1234-4abc-8def-0123456789a}": false, "{6f1e0c55-1234-4abc-8def-0123456789ag}": false,
		"6f1e0c55-1234-4abc-8def-0123456789ab": false, "{6f1e0c55x1234-4abc-8def-0123456789ab}": false,
		strings.Repeat("a", 253) + "@b": true, strings.Repeat("a", 254) + "@b": false,
	} {
		if got := catalog.ValidGUID(guid); got != want {
			t.Errorf("ValidGUID(%q) = %v, want %v", guid, got, want)
		}
	}
}

func TestCategoriesAreASoundTaxonomy(t *testing.T) {
	t.Parallel()
	ids, places := map[int64]bool{}, map[string]bool{}
	for _, c := range catalog.Categories() {
		place := c.App + "/" + string(c.Type) + "/" + c.Slug
		if ids[c.ID] || places[place] || c.Name["en-US"] == "" {
			t.Errorf("category %d %s %q: want an id, a place and a name of its own", c.ID, place, c.Name)
		}
		ids[c.ID], places[place] = true, true
		if _, ok := catalog.AppBy(c.App); !ok {
			t.Errorf("category %s is of an unknown application", place)
		}
		if c.Misc != (c.Slug == "other") {
			t.Errorf("category %s has Misc %v", place, c.Misc)
		}
		if got, ok := catalog.CategoryBy(c.App, c.Type, c.Slug); !ok || got.ID != c.ID {
			t.Errorf("CategoryBy(%s) = %v, %v", place, got, ok)
		}
	}
	if _, ok := catalog.CategoryBy("firefox", catalog.Theme, "tabs"); ok {
		t.Error("themes have no category tabs")
	}
}
