package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"addons/server/catalog"
)

// maxSlug leaves room for a suffix.
const maxSlug = 100

// slugTries is how many numbers are tried behind a slug that is taken, before the
// GUID's hash decides.
const slugTries = 9

// freeSlug returns the add-on's slug: the one that it has if it asks for no other,
// else what it asks for, or its name, with a suffix if that is somebody else's.
func (h handle) freeSlug(ctx context.Context, a *catalog.Addon, has string) (string, error) {
	if has != "" && a.Slug == "" {
		return has, nil
	}
	base := baseSlug(a)
	choice := []string{base}
	for i := range slugTries {
		choice = append(choice, fmt.Sprintf("%s-%d", base, i+1))
	}
	choice = append(choice, base+"-"+digest(a.GUID)[:12])
	if slices.Contains(choice, has) {
		return has, nil
	}
	taken := map[string]bool{}
	err := h.rows(ctx, qSaveFreeSlug, "SELECT slug FROM addons WHERE slug IN "+in(len(choice)), anys(choice), func(r row) error {
		var slug string
		err := r.Scan(&slug)
		taken[slug] = true
		return err
	})
	if err != nil {
		return "", err
	}
	for _, slug := range choice {
		if !taken[slug] {
			return slug, nil
		}
	}
	return "", fmt.Errorf("no free slug like %q: %w", base, catalog.ErrInvalid)
}

// baseSlug is the slug that the add-on asks for, made from its name or GUID if it
// asks for none.
func baseSlug(a *catalog.Addon) string {
	for _, s := range []string{a.Slug, strings.ToLower(a.Name.In(a.DefaultLocale, "en-US"))} {
		if slug := slugify(s); slug != "" {
			return slug
		}
	}
	return "addon-" + digest(a.GUID)[:12]
}

// slugify makes s fit for an address: letters, digits and _ ~ + . -, never all
// digits, which would be an id.
func slugify(s string) string {
	var b strings.Builder
	for _, c := range s {
		switch {
		case unicode.IsLetter(c), unicode.IsDigit(c), strings.ContainsRune("_~+.", c):
			b.WriteRune(c)
		case !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	slug := strings.Trim(cut(strings.Trim(b.String(), "-+.~"), maxSlug), "-+.~")
	if slug != "" && strings.Trim(slug, "0123456789") == "" {
		return "addon-" + slug
	}
	return slug
}
