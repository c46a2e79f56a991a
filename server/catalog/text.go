package catalog

import (
	"slices"
	"strings"
)

// Best returns the locale that In chooses, and its text.
func (t Text) Best(locales ...string) (locale, text string) {
	for _, l := range locales {
		if s := t[l]; s != "" {
			return l, s
		}
	}
	known := t.Locales()
	for _, l := range locales {
		for _, k := range known {
			if language(k) == language(l) && t[k] != "" {
				return k, t[k]
			}
		}
	}
	for _, k := range known {
		if t[k] != "" {
			return k, t[k]
		}
	}
	return "", ""
}

// Locales lists the locales of t in alphabetical order.
func (t Text) Locales() []string {
	locales := make([]string, 0, len(t))
	for l := range t {
		locales = append(locales, l)
	}
	slices.Sort(locales)
	return locales
}

// language is the first subtag: "pt" of "pt-BR".
func language(locale string) string {
	l, _, _ := strings.Cut(locale, "-")
	return strings.ToLower(l)
}
