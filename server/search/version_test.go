package search

import (
	"fmt"
	"testing"

	"addons/server/catalog"
)

func TestEncodedVersionsOrderAsVersionsDo(t *testing.T) {
	t.Parallel()
	ascending := []string{
		"0", "0.9", "1.0a1", "1.0a2", "1.0b1", "1.0rc1", "1.0", "1.0.0.1", "1.0.1a1", "1.0.1", "1.0.*", "1.5", "1.10", "1.*",
		"52.9.0", "53", "57.0a1", "57.0", "57.0.1", "99.1", "100.0", "128.0", "128.14.0", "128.*", "129.0a1", "999.999.999.999", "*",
	}
	last := -1.0
	for i, v := range ascending {
		n, ok := encode(v)
		if !ok || n <= last {
			t.Errorf("encode(%q) = %.0f, %t; want more than %.0f, of %q", v, n, ok, last, ascending[max(0, i-1)])
		}
		if n > anyVersion || n != float64(int64(n)) {
			t.Errorf("encode(%q) = %g, want a whole number that float64 holds", v, n)
		}
		last = n
	}
	for a, b := range map[string]string{"57": "57.0.0.0", "57.0": "57", "1.0.0a1": "1.0a1", "99999999999999999999.0": "16383", "1.2.3.4.5": "1.2.3.4"} {
		x, _ := encode(a)
		y, _ := encode(b)
		if x != y {
			t.Errorf("encode(%q) = %.0f, but encode(%q) = %.0f", a, x, b, y)
		}
	}
	for _, v := range []string{"", "new", "-1", ".5", " 57"} {
		if n, ok := encode(v); ok {
			t.Errorf("encode(%q) = %.0f, want none", v, n)
		}
	}
}

func TestAStrictMaximumBindsAndAnotherDoesNot(t *testing.T) {
	t.Parallel()
	for _, strict := range []bool{true, false} {
		d := NewDoc(&catalog.Addon{Current: &catalog.Version{Strict: strict, Compatibility: []catalog.Compat{{App: "firefox", Min: "57.0", Max: "60.*"}}}})
		want := "60.*"
		if !strict {
			want = ""
		}
		if d.Compat[0].Max != want || fmt.Sprint(d.Apps) != "[firefox]" {
			t.Errorf("strict %t: %+v in %v, want max %q in firefox", strict, d.Compat, d.Apps, want)
		}
	}
}

func FuzzVersion(f *testing.F) {
	for _, v := range []string{"57.0a1", "128.*", "*", "1..2", "1.0pre", "9999999999999999999999"} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		if n, ok := encode(v); ok && (n < 0 || n > anyVersion || n != float64(int64(n))) {
			t.Errorf("encode(%q) = %g", v, n)
		}
	})
}
