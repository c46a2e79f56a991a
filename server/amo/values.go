package amo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"addons/server/catalog"
)

// Opt is a member that some answers leave out, while null means something else.
type Opt[T any] struct {
	Value *T // nil is null
	Given bool
}

// Given returns a member that is there.
func Given[T any](value *T) Opt[T] { return Opt[T]{value, true} }

// IsZero leaves the member out (omitzero).
func (o Opt[T]) IsZero() bool { return !o.Given }

// MarshalJSON writes the value or null.
func (o Opt[T]) MarshalJSON() ([]byte, error) { return json.Marshal(o.Value) }

// UnmarshalJSON reads the value or null.
func (o *Opt[T]) UnmarshalJSON(b []byte) error {
	o.Given = true
	return json.Unmarshal(b, &o.Value)
}

// or returns the value, the zero one if there is none.
func (o Opt[T]) or() (value T) {
	if o.Value != nil {
		value = *o.Value
	}
	return value
}

// Text is a text in several locales; in the older API's answers in one language a
// plain string. Empty, it is null.
type Text struct {
	catalog.Text
	Plain string // instead of Text; its locale is the add-on's default_locale
}

// MarshalJSON writes {locale: text}, or the plain string.
func (t Text) MarshalJSON() ([]byte, error) {
	if t.Plain != "" {
		return json.Marshal(t.Plain)
	}
	if len(t.Text) == 0 {
		return []byte("null"), nil
	}
	return json.Marshal(t.Text)
}

// UnmarshalJSON reads both forms. Of an object it leaves out nulls, which say that
// a locale that was asked for has no text, and "_default", which names a locale.
func (t *Text) UnmarshalJSON(b []byte) error {
	*t = Text{}
	if first(b) == '"' {
		return json.Unmarshal(b, &t.Plain)
	}
	var locales map[string]*string
	if err := json.Unmarshal(b, &locales); err != nil {
		return fmt.Errorf("a text is %s: want a string or {locale: text}", kind(b))
	}
	for locale, text := range locales {
		if text == nil || *text == "" || locale == "_default" {
			continue
		}
		if t.Text == nil {
			t.Text = catalog.Text{}
		}
		t.Text[locale] = *text
	}
	return nil
}

// in returns the text with the plain one in its locale.
func (t Text) in(locale string) catalog.Text {
	if t.Plain != "" {
		return catalog.Text{locale: t.Plain}
	}
	return t.Text
}

// flat is t as a plain string in the locale.
func (t Text) flat(locale, fallback string) Text {
	_, text := choose(t.in(fallback), locale, fallback)
	return Text{Plain: text}
}

// Link leads to another site: {url, outgoing}. outgoing is where to send people; this
// site has no page of its own that warns them, so it is the same.
type Link struct {
	Text
	older bool // v4: as a Text
}

// MarshalJSON writes the object; a plain text for the older API; null if empty.
func (l Link) MarshalJSON() ([]byte, error) {
	if !l.older && l.Plain == "" && len(l.Text.Text) > 0 {
		return json.Marshal(map[string]Text{"outgoing": l.Text, "url": l.Text})
	}
	return l.Text.MarshalJSON()
}

// UnmarshalJSON reads a string, {locale: text}, and {url: either, outgoing: …}.
func (l *Link) UnmarshalJSON(b []byte) error {
	var object struct {
		URL *Text `json:"url"`
	}
	if first(b) == '{' && json.Unmarshal(b, &object) == nil && object.URL != nil {
		l.Text = *object.URL
		return nil
	}
	return l.Text.UnmarshalJSON(b)
}

// Address is a Link that has no locales: {"url": "…", "outgoing": "…"}.
type Address struct {
	URL   string
	plain bool // v4: a string
}

// MarshalJSON writes the object, or the string; null if empty.
func (a Address) MarshalJSON() ([]byte, error) {
	switch {
	case a.URL == "":
		return []byte("null"), nil
	case a.plain:
		return json.Marshal(a.URL)
	}
	return json.Marshal(map[string]string{"outgoing": a.URL, "url": a.URL})
}

// UnmarshalJSON reads a string, {url: string} and null.
func (a *Address) UnmarshalJSON(b []byte) error {
	*a = Address{}
	if first(b) != '{' {
		a.plain = true
		return json.Unmarshal(b, &a.URL)
	}
	var object struct {
		URL string `json:"url"`
	}
	err := json.Unmarshal(b, &object)
	a.URL = object.URL
	return err
}

// Time is RFC 3339; reading takes one without a zone as UTC.
type Time struct{ time.Time }

// MarshalJSON writes whole seconds in UTC; null if not known.
func (t Time) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte("null"), nil
	}
	return []byte(t.UTC().Format(`"` + time.RFC3339 + `"`)), nil
}

// UnmarshalJSON reads a time or null.
func (t *Time) UnmarshalJSON(b []byte) error {
	var s *string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("a time is %s: want a string", kind(b))
	}
	*t = Time{}
	if s == nil {
		return nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", time.DateOnly} {
		if parsed, err := time.Parse(layout, *s); err == nil {
			t.Time = parsed.UTC().Truncate(time.Second)
			return nil
		}
	}
	return fmt.Errorf("time %q: want one such as 2026-01-31T12:00:00Z", *s)
}

// Icons are addresses by size in pixels. Reading lets nulls pass.
type Icons map[string]string

// Categories are slugs by application. Today's addons.mozilla.org has but a list: it
// is read as Firefox's.
type Categories map[string][]string

// UnmarshalJSON reads both forms.
func (c *Categories) UnmarshalJSON(b []byte) error {
	if first(b) != '[' {
		return json.Unmarshal(b, (*map[string][]string)(c))
	}
	var slugs []string
	err := json.Unmarshal(b, &slugs)
	*c = Categories{catalog.Firefox.Slug: slugs}
	return err
}

// Promoted is why the site puts an add-on first.
type Promoted struct {
	Groups []Promotion
	single bool // v4: one object or null
}

// Promotion is one reason and the applications in which it holds.
type Promotion struct {
	Apps     []string `json:"apps"`
	Category string   `json:"category"`
}

// MarshalJSON writes a list, or one object for the older API.
func (p Promoted) MarshalJSON() ([]byte, error) {
	switch {
	case !p.single && p.Groups == nil:
		return []byte("[]"), nil
	case !p.single:
		return json.Marshal(p.Groups)
	case len(p.Groups) == 0:
		return []byte("null"), nil
	}
	return json.Marshal(p.Groups[0])
}

// UnmarshalJSON reads a list, one object and null.
func (p *Promoted) UnmarshalJSON(b []byte) error {
	*p = Promoted{}
	if first(b) != '{' {
		return json.Unmarshal(b, &p.Groups)
	}
	p.Groups, p.single = make([]Promotion, 1), true
	return json.Unmarshal(b, &p.Groups[0])
}

// first is the character that says what kind of JSON b is.
func first(b []byte) byte {
	b = bytes.TrimLeft(b, " \t\r\n")
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

// kind names what b is, for errors: never the value itself, which may be anything.
func kind(b []byte) string {
	switch first(b) {
	case '"':
		return "a string"
	case '{':
		return "an object of something else"
	case '[':
		return "a list"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}
