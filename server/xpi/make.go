package xpi

import (
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"slices"
	"strings"
	"time"

	"addons/server/catalog"
)

// Spec says what package to Make. GUID, Version and Name are needed; the zero
// value of everything else is sensible.
type Spec struct {
	ManifestVersion int          // 0 is 3 for extensions and 2 for the rest
	Type            catalog.Type // "" is an extension
	GUID            string
	Version         string
	DefaultLocale   string       // "" is en-US
	Name            catalog.Text // with any locale but en-US, the package gets _locales
	Summary         catalog.Text
	// Firefox refuses dictionaries and language packs with icons or _locales:
	// theirs have the texts of DefaultLocale and no icon, whatever is given.
	Author       string
	Homepage     string
	UpdateURL    string
	TargetLocale string // dictionaries and language packs
	// Compatibility: Firefox's range is written as strict_min_version and
	// strict_max_version, Android's as gecko_android. A maximum of "" or "*" is
	// not written, so give no maximum that shall not bind.
	Compatibility       []catalog.Compat
	Permissions         []string
	OptionalPermissions []string
	HostPermissions     []string
	Icon                []byte            // PNG or SVG
	Colors              map[string]string // a theme's colours: "frame", "toolbar"…; nil is plain grey
	Words               []string          // a dictionary's words
	Files               map[string][]byte // further files, by name
	Modified            time.Time         // of every entry; zero is the first day of the format
}

// Make returns the bytes of a package that Firefox installs. The same Spec gives
// the same bytes.
func Make(spec Spec) ([]byte, error) {
	spec.Type = orDefault(spec.Type, catalog.Extension)
	spec.DefaultLocale = orDefault(spec.DefaultLocale, "en-US")
	if spec.ManifestVersion == 0 {
		spec.ManifestVersion = 2
		if spec.Type == catalog.Extension {
			spec.ManifestVersion = 3
		}
	}
	if err := spec.check(); err != nil {
		return nil, fmt.Errorf("make package %s: %w", spec.GUID, err)
	}
	files := maps.Clone(spec.Files)
	if files == nil {
		files = map[string][]byte{}
	}
	m := spec.manifest(files)
	spec.localize(m, files)
	text, err := json.MarshalIndent(m, "", "  ") // maps are written in the order of their keys
	if err != nil {
		return nil, fmt.Errorf("make package %s: %w", spec.GUID, err)
	}
	files["manifest.json"] = append(text, '\n')
	return pack(files, spec.Modified)
}

func orDefault[T ~string](value, otherwise T) T {
	if value == "" {
		return otherwise
	}
	return value
}

func (spec Spec) check() error {
	switch {
	case !catalog.ValidGUID(spec.GUID):
		return invalid("the id %q is neither like name@example.org nor a {uuid}", spec.GUID)
	case !ValidVersion(spec.Version):
		return invalid("the version %q is no version number", spec.Version)
	case spec.Name[spec.DefaultLocale] == "":
		return invalid("there is no name in the default locale %s", spec.DefaultLocale)
	case spec.bare() && normalLocale(spec.TargetLocale) == "":
		return invalid("a %s needs a target locale", spec.Type)
	case spec.Icon != nil && ImageType(spec.Icon) == "":
		return invalid("the icon is neither PNG nor SVG")
	}
	return nil
}

// bare packages are dictionaries and language packs.
func (spec Spec) bare() bool { return spec.Type == catalog.Dictionary || spec.Type == catalog.Language }

// manifest returns the manifest without its texts, and adds the files that it names.
func (spec Spec) manifest(files map[string][]byte) map[string]any {
	m := map[string]any{
		"manifest_version":          spec.ManifestVersion,
		"version":                   spec.Version,
		"browser_specific_settings": spec.settings(),
	}
	if spec.Author != "" {
		m["author"] = spec.Author
	}
	if spec.Homepage != "" {
		m["homepage_url"] = spec.Homepage
	}
	if spec.Icon != nil && !spec.bare() {
		name := "icons/icon.png"
		if ImageType(spec.Icon) == "image/svg+xml" {
			name = "icons/icon.svg"
		}
		files[name] = spec.Icon
		m["icons"] = map[string]string{"48": name, "128": name}
	}
	switch spec.Type {
	case catalog.Theme:
		spec.theme(m)
	case catalog.Dictionary:
		spec.dictionary(m, files)
	case catalog.Language:
		spec.language(m, files)
	default:
		spec.extension(m, files)
	}
	return m
}

// settings are browser_specific_settings.
func (spec Spec) settings() map[string]any {
	gecko := map[string]any{"id": spec.GUID}
	if spec.UpdateURL != "" {
		gecko["update_url"] = spec.UpdateURL
	}
	if spec.Type == catalog.Extension {
		// Firefox asks new extensions to say what they collect; none is the honest answer.
		gecko["data_collection_permissions"] = map[string]any{"required": []string{"none"}}
	}
	settings := map[string]any{"gecko": gecko}
	for _, c := range spec.Compatibility {
		in := gecko
		if c.App == catalog.Android.Slug {
			in = map[string]any{}
			settings["gecko_android"] = in
		}
		if c.Min != "" {
			in["strict_min_version"] = c.Min
		}
		// gecko_android overrides gecko member by member, so that there "*" must be said.
		if c.Max != "" && c.Max != "*" || c.App == catalog.Android.Slug {
			in["strict_max_version"] = orDefault(c.Max, "*")
		}
	}
	return settings
}

// extension has a background script and a page of options that says what it is.
func (spec Spec) extension(m map[string]any, files map[string][]byte) {
	permissions := slices.Clone(spec.Permissions)
	optional, optionalHosts := split(spec.OptionalPermissions)
	action := "action"
	if spec.ManifestVersion == 2 {
		action = "browser_action"
		permissions = append(permissions, spec.HostPermissions...)
		optional, optionalHosts = append(optional, optionalHosts...), nil
	} else {
		setList(m, "host_permissions", spec.HostPermissions)
	}
	setList(m, "permissions", permissions)
	setList(m, "optional_permissions", optional)
	setList(m, "optional_host_permissions", optionalHosts)
	m["background"] = map[string]any{"scripts": []string{"background.js"}}
	m["options_ui"] = map[string]any{"page": "options.html"}
	m[action] = map[string]any{"default_title": spec.Name[spec.DefaultLocale]}
	setFile(files, "background.js", fmt.Sprintf(`"use strict";
// Version %s. A click on the button opens the options.
(browser.action ?? browser.browserAction).onClicked.addListener(() => browser.runtime.openOptionsPage());
`, spec.Version))
	setFile(files, "options.html", fmt.Sprintf("<!doctype html>\n<meta charset=\"utf-8\">\n<title>%[1]s</title>\n<h1>%[1]s %[2]s</h1>\n<p>%[3]s</p>\n",
		html.EscapeString(spec.Name[spec.DefaultLocale]), html.EscapeString(spec.Version), html.EscapeString(spec.Summary[spec.DefaultLocale])))
}

// split parts API permissions from host patterns.
func split(permissions []string) (names, hosts []string) {
	for _, p := range permissions {
		if isPattern(p) {
			hosts = append(hosts, p)
		} else {
			names = append(names, p)
		}
	}
	return names, hosts
}

func (spec Spec) theme(m map[string]any) {
	colors := spec.Colors
	if colors == nil {
		colors = map[string]string{"frame": "#888888", "tab_background_text": "#111111"}
	}
	m["theme"] = map[string]any{"colors": colors}
}

// dictionary is a Hunspell dictionary without affix rules.
func (spec Spec) dictionary(m map[string]any, files map[string][]byte) {
	locale := normalLocale(spec.TargetLocale)
	name := "dictionaries/" + locale + ".dic"
	m["dictionaries"] = map[string]string{locale: name}
	words := slices.Sorted(slices.Values(spec.Words))
	setFile(files, name, fmt.Sprintf("%d\n%s\n", len(words), strings.Join(words, "\n")))
	setFile(files, "dictionaries/"+locale+".aff", "SET UTF-8\n")
}

// language is a language pack with one file of messages, of the shape that
// Firefox's own have.
func (spec Spec) language(m map[string]any, files map[string][]byte) {
	locale := normalLocale(spec.TargetLocale)
	folder := "browser/chrome/" + locale + "/locale/" + locale + "/"
	m["langpack_id"] = locale
	m["languages"] = map[string]any{locale: map[string]any{
		"version":          "20200101000000",
		"chrome_resources": map[string]string{"addons-sample": folder},
	}}
	m["sources"] = map[string]any{"browser": map[string]string{"base_path": "browser/"}}
	setFile(files, folder+"sample.properties", fmt.Sprintf("version=%s\n", spec.Version))
}

// localize writes name and description, through _locales if there are several languages.
func (spec Spec) localize(m map[string]any, files map[string][]byte) {
	if spec.bare() || spec.DefaultLocale == "en-US" && len(spec.Name) == 1 && len(spec.Summary) <= 1 {
		m["name"] = spec.Name[spec.DefaultLocale]
		if s := spec.Summary[spec.DefaultLocale]; s != "" {
			m["description"] = s
		}
		return
	}
	m["default_locale"] = strings.ReplaceAll(spec.DefaultLocale, "-", "_")
	m["name"] = "__MSG_extensionName__"
	if len(spec.Summary) > 0 {
		m["description"] = "__MSG_extensionDescription__"
	}
	all := maps.Clone(spec.Name)
	maps.Copy(all, spec.Summary)
	for locale := range all {
		messages := map[string]map[string]string{}
		if s := spec.Name[locale]; s != "" {
			messages["extensionName"] = message(s)
		}
		if s := spec.Summary[locale]; s != "" {
			messages["extensionDescription"] = message(s)
		}
		text, _ := json.MarshalIndent(messages, "", "  ") // strings alone: can't fail
		files["_locales/"+strings.ReplaceAll(locale, "-", "_")+"/messages.json"] = append(text, '\n')
	}
}

// message is an entry of messages.json; a $ has to be doubled.
func message(s string) map[string]string {
	return map[string]string{"message": strings.ReplaceAll(s, "$", "$$")}
}

func setList(m map[string]any, key string, list []string) {
	if len(list) > 0 {
		m[key] = list
	}
}

// setFile adds a file that the Spec did not bring itself.
func setFile(files map[string][]byte, name, content string) {
	if _, ok := files[name]; !ok {
		files[name] = []byte(content)
	}
}
