package catalog_test

import (
	"testing"

	"addons/server/catalog"
)

func TestTextInPrefersTheLocaleThenItsLanguageThenAny(t *testing.T) {
	text := catalog.Text{"de": "Uhr", "en-US": "Clock", "pt-BR": "Relógio", "xx": ""}
	for _, c := range []struct {
		locales []string
		want    string
	}{
		{[]string{"en-US"}, "Clock"},
		{[]string{"de-AT", "en-US"}, "Clock"}, // an exact later choice beats the language of an earlier one
		{[]string{"de-AT"}, "Uhr"},
		{[]string{"pt"}, "Relógio"},
		{[]string{"xx"}, "Uhr"},
		{nil, "Uhr"},
	} {
		if got := text.In(c.locales...); got != c.want {
			t.Errorf("In(%q) = %q, want %q", c.locales, got, c.want)
		}
	}
	if got := (catalog.Text)(nil).In("en-US"); got != "" {
		t.Errorf("In of an empty text = %q, want none", got)
	}
}
