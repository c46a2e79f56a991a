package catalog_test

import (
	"cmp"
	"math/rand/v2"
	"strings"
	"testing"

	"addons/server/catalog"
)

// ascending is what Firefox's own test and MDN say of versions: every line is older
// than the next, those on one line mean the same.
// https://searchfox.org/mozilla-central/source/xpcom/tests/unit/test_versioncomparator.js
// https://developer.mozilla.org/en-US/docs/Mozilla/Add-ons/WebExtensions/manifest.json/version/format
var ascending = [][]string{
	{"-2147483648"},
	{"-1"},
	{"pre"},
	{"", "0", "0.0", ".", "...", "00", "8321499136", "2147483648", "-2147483649", "99999999999999999999999999"},
	{"0.9", "0.9.", "00.09"},
	{"0.9.1"},
	{"1-2"},
	{"1-1"},
	{"1--1"}, // no number can be read at "--1"
	{"1.-1"},
	{"1.0pre1"},
	{"1.0pre2"},
	{"1", "1.", "1.0", "1.0.0", "1..0", "01", "+1", " 1"},
	{"1.0.0.0.0.1"},
	{"1.0.0.1"},
	{"1.0.1"},
	{"1.1a"},
	{"1.1aa"},
	{"1.1ab"},
	{"1.1b"},
	{"1.1c"},
	{"1.1pre", "1.1pre0", "1.0+", "1.0+9x"},
	{"1.1pre1a"},
	{"1.1pre1aa"},
	{"1.1pre1b"},
	{"1.1pre1"},
	{"1.1pre2"},
	{"1.1pre10a"},
	{"1.1pre10"},
	{"1.1.-1"},
	{"1.1", "1.1.0", "1.1.00"},
	{"1.1.0.1"},
	{"1.1.1"},
	{"1.1.*"},
	{"1.10"},
	{"1.2147483647", "1.*"},
	{"1.*.1"},
	{"2.0"},
	{"2.1"},
	{"3.0.-1"},
	{"3.0"},
	{"57.0a1"},
	{"57.0b3"},
	{"57.0"},
	{"140.0"},
	{"153.7.0", "153.7", "153.7.0.0"},
	{"153.10"},
	{"153.*"},
	{"2147483646+", "2147483647+"},
	{"*", "2147483647", "*.0"},
	{"*.1"},
}

func TestCompareOrdersAsFirefoxDoes(t *testing.T) {
	t.Parallel()
	for i, as := range ascending {
		for j, bs := range ascending {
			for _, a := range as {
				for _, b := range bs {
					if got, want := catalog.Compare(a, b), cmp.Compare(i, j); sign(got) != want {
						t.Errorf("Compare(%q, %q) = %d, want %d", a, b, got, want)
					}
					if got, want := strings.Compare(catalog.VersionKey(a), catalog.VersionKey(b)), cmp.Compare(i, j); got != want {
						t.Errorf("VersionKey(%q) %s and VersionKey(%q) %s compare %d, want %d", a, catalog.VersionKey(a), b, catalog.VersionKey(b), got, want)
					}
				}
			}
		}
	}
}

func sign(n int) int { return cmp.Compare(n, 0) }

// madeUp returns a version of the characters that matter, from nothing to absurd.
func madeUp(r *rand.Rand) string {
	words := []string{".", ".", ".", "0", "0", "1", "2", "9", "10", "*", "+", "-", "a", "b", "pre", "a1", " ", "2147483647", "2147483648", "-2147483648", "é", "\x00", "\xff"}
	var b strings.Builder
	for range r.IntN(8) {
		b.WriteString(words[r.IntN(len(words))])
	}
	return b.String()
}

func TestCompareIsATotalOrderAndKeysKeepIt(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		check(t, madeUp(r), madeUp(r), madeUp(r))
	}
}

// check holds three versions against the laws of a total order.
func check(t *testing.T, a, b, c string) {
	t.Helper()
	ab, bc, ac := sign(catalog.Compare(a, b)), sign(catalog.Compare(b, c)), sign(catalog.Compare(a, c))
	if ba := sign(catalog.Compare(b, a)); ba != -ab {
		t.Fatalf("Compare(%q, %q) = %d, the other way round %d", a, b, ab, ba)
	}
	if ab == bc && ac != ab || ab == 0 && ac != bc {
		t.Fatalf("Compare of %q, %q, %q isn't transitive: %d, %d, %d", a, b, c, ab, bc, ac)
	}
	if key := strings.Compare(catalog.VersionKey(a), catalog.VersionKey(b)); key != ab {
		t.Fatalf("Compare(%q, %q) = %d, but their keys %s and %s compare %d", a, b, ab, catalog.VersionKey(a), catalog.VersionKey(b), key)
	}
}

func FuzzCompare(f *testing.F) {
	f.Add("1.0", "1.1pre", "1.*")
	f.Add("1..2", "1-", "+")
	f.Add("0.0.-1", "0.0.0.1", "")
	f.Fuzz(func(t *testing.T, a, b, c string) { check(t, a, b, c) })
}

func TestVersionKeyIsPlainHexAndShort(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]string{
		"": "7", "0": "7", "153.7.0": "f399ff27f7", "140.0a1": "f38cf01161021f7",
	} {
		if got := catalog.VersionKey(version); got != want {
			t.Errorf("VersionKey(%q) = %s, want %s", version, got, want)
		}
	}
	for _, same := range ascending {
		for _, v := range same {
			if key := catalog.VersionKey(v); strings.Trim(key, "0123456789abcdef") != "" {
				t.Errorf("VersionKey(%q) = %s, want hex digits alone", v, key)
			}
		}
	}
}

func BenchmarkCompare(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		catalog.Compare("153.7.0", "153.7.1")
	}
}

func BenchmarkVersionKey(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		catalog.VersionKey("153.7.0")
	}
}
