package rum

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Routes are patterns of paths with the names of their pages, the first that fits
// being the one.
type Routes []route

type route struct{ pattern, page string }

// Bounds of a list of routes, and of a page's name.
const (
	maxRoutes   = 512
	maxPageName = 64
)

// ParseRoutes reads "pattern=page" each. A part of a pattern that begins with a colon
// stands for any one part of a path, one that begins with an asterisk for all the rest:
// "/:locale/:app/addon/:addon/=addon". The error joins all faults.
func ParseRoutes(list []string) (Routes, error) {
	var routes Routes
	var faults []error
	if len(list) > maxRoutes {
		faults = append(faults, fmt.Errorf("%d routes of pages: %d are the most", len(list), maxRoutes))
	}
	for _, text := range list {
		i := strings.LastIndexByte(text, '=')
		if i < 0 {
			faults = append(faults, fmt.Errorf("route %q: give a pattern and the page's name, as /addon/:addon/=addon", text))
			continue
		}
		r := route{text[:i], text[i+1:]}
		if err := errors.Join(checkPattern(r.pattern), CheckPage(r.page)); err != nil {
			faults = append(faults, fmt.Errorf("route %q: %w", text, err))
		}
		if slices.ContainsFunc(routes, func(o route) bool { return o.pattern == r.pattern }) {
			faults = append(faults, fmt.Errorf("route %q: its pattern is there twice", text))
		}
		routes = append(routes, r)
	}
	return routes, errors.Join(faults...)
}

func checkPattern(pattern string) error {
	if !strings.HasPrefix(pattern, "/") {
		return errors.New("a pattern begins with /")
	}
	if i := strings.Index(pattern, "/*"); i >= 0 && strings.IndexByte(pattern[i+1:], '/') >= 0 {
		return errors.New("an asterisk stands for all the rest: nothing comes behind it")
	}
	return nil
}

// CheckPage says what is wrong with a page's name, which is a label's value and a part
// of keys in Graphite.
func CheckPage(name string) error {
	switch {
	case name == "" || len(name) > maxPageName || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "":
		return fmt.Errorf("page %q: a name has letters, digits, - and _, %d at the most", name, maxPageName)
	case name == bot || name == overflow || name == other:
		return fmt.Errorf("page %q: it means something else", name)
	}
	return nil
}

// Names are those of all pages, each once.
func (all Routes) Names() (names []string) {
	for _, r := range all {
		if !slices.Contains(names, r.page) {
			names = append(names, r.page)
		}
	}
	return names
}

// PageOf is the name of the page at a path, "" if there is none.
func (all Routes) PageOf(path string) string {
	for _, r := range all {
		if Fits(r.pattern, path) {
			return r.page
		}
	}
	return ""
}

// Fits says whether a path fits a pattern, as gin matches it.
func Fits(pattern, path string) bool {
	for {
		want, patternRest, more := strings.Cut(pattern, "/")
		got, pathRest, pathMore := strings.Cut(path, "/")
		switch {
		case strings.HasPrefix(want, "*"):
			return true
		case strings.HasPrefix(want, ":"):
			if got == "" {
				return false
			}
		case want != got:
			return false
		}
		if more != pathMore {
			return false
		}
		if !more {
			return true
		}
		pattern, path = patternRest, pathRest
	}
}
