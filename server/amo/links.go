package amo

import (
	"fmt"
	"net/url"
	"strconv"

	"addons/server/catalog"
)

// Links makes the absolute addresses in answers.
type Links struct {
	Base        string // scheme and host, no slash at the end
	Locale      string // of links to pages; "" is en-US
	DefaultIcon string // path of the icon of those that have none; "" leaves icon_url out
}

// UpdateInfoLocale stands in an update_info_url for the locale that Firefox will put there.
const UpdateInfoLocale = "%APP_LOCALE%"

// Download is where the package is had from. Its last part is the file's name, only
// to be saved under: what counts is the id.
func (l Links) Download(app string, f *catalog.File) string {
	name := f.Name
	if name == "" {
		name = fmt.Sprintf("%d.xpi", f.ID)
	}
	return fmt.Sprintf("%s/%s/downloads/file/%d/%s", l.Base, app, f.ID, url.PathEscape(name))
}

// UpdateInfo is the address of one version's release notes, for Firefox to show
// beside an update: UpdateInfoLocale is still in it.
func (l Links) UpdateInfo(app, slug, number string) string {
	return fmt.Sprintf("%s/%s/%s/addon/%s/versions/%s/updateinfo/",
		l.Base, UpdateInfoLocale, app, url.PathEscape(slug), url.PathEscape(number))
}

// Addon is the address of the add-on's page.
func (l Links) Addon(a *catalog.Addon) string {
	return fmt.Sprintf("%saddon/%s/", l.pages(a), url.PathEscape(a.Slug))
}

// Author is the address of the page of the author's add-ons.
func (l Links) Author(a catalog.Author) string {
	name := a.Username
	if name == "" {
		name = strconv.FormatInt(a.ID, 10)
	}
	return fmt.Sprintf("%s/%s/%s/user/%s/", l.Base, l.locale(), catalog.Firefox.Slug, url.PathEscape(name))
}

// Media is the address of a stored picture.
func (l Links) Media(key string) string { return l.Base + "/media/" + key }

// Icon is the address of the add-on's icon, "" if there is none.
func (l Links) Icon(a *catalog.Addon) string {
	switch {
	case a.Icon != "":
		return l.Media(a.Icon)
	case l.DefaultIcon != "":
		return l.Base + l.DefaultIcon
	}
	return ""
}

// pages is where the pages of the add-on's application begin.
func (l Links) pages(a *catalog.Addon) string {
	return fmt.Sprintf("%s/%s/%s/", l.Base, l.locale(), appOf(a))
}

func (l Links) locale() string {
	if l.Locale == "" {
		return "en-US"
	}
	return l.Locale
}

// appOf is the application that links go to: Firefox, unless the add-on is only for another.
func appOf(a *catalog.Addon) string {
	if a.Current == nil || len(a.Current.Compatibility) == 0 {
		return catalog.Firefox.Slug
	}
	if _, ok := a.Current.For(catalog.Firefox); ok {
		return catalog.Firefox.Slug
	}
	return a.Current.Compatibility[0].App
}
