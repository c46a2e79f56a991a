package xpi

import (
	"cmp"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"addons/server/catalog"
)

// manifest is a manifest.json.
type manifest struct {
	object
	version    int
	gecko      object
	hasAndroid bool
	android    object
}

func readManifest(src *source) (*manifest, error) {
	if !src.has("manifest.json") {
		return nil, noManifest(src)
	}
	text, err := src.read("manifest.json", MaxManifest)
	if err != nil {
		return nil, err
	}
	return parseManifest(text)
}

// noManifest says what the package is instead.
func noManifest(src *source) error {
	if src.has("install.rdf") || src.has("install.js") {
		return invalid("this is a legacy add-on (it has install.rdf): Firefox runs WebExtensions, which have a manifest.json, alone")
	}
	if folder := src.nested(); folder != "" {
		return invalid("manifest.json is in the folder %q, not at the top: pack what is in the folder, not the folder", folder)
	}
	return invalid("the package has no manifest.json")
}

func parseManifest(text []byte) (*manifest, error) {
	o, err := parseObject(text)
	if err != nil {
		return nil, invalid("manifest.json: %v", err)
	}
	m := &manifest{object: o, version: o.number("manifest_version")}
	if m.version != 2 && m.version != 3 {
		if !o.has("manifest_version") && (o.has("start_url") || o.has("short_name")) {
			return nil, invalid("manifest.json is a web app's, not an add-on's: it has no manifest_version")
		}
		return nil, invalid("manifest.json: manifest_version is %s: Firefox takes 2 and 3", cmp.Or(string(o["manifest_version"]), "not given"))
	}
	settings := o.object("browser_specific_settings")
	m.gecko = settings.object("gecko")
	m.hasAndroid = settings.has("gecko_android")
	m.android = settings.object("gecko_android")
	// Firefox reads the older key in version 2 only, and never gecko_android from it.
	if m.gecko == nil && m.version == 2 {
		m.gecko = o.object("applications").object("gecko")
	}
	return m, m.forFirefox()
}

// mailPermissions are Thunderbird's alone.
// https://webextension-api.thunderbird.net/en/mv3/guides/permissions.html
var mailPermissions = []string{
	"accountsFolders", "accountsIdentities", "accountsRead", "addressBooks", "compose", "compose.save", "compose.send",
	"messagesDelete", "messagesImport", "messagesModify", "messagesMove", "messagesRead", "messagesTags", "messagesTagsList", "messagesUpdate",
}

// mailKeys are manifest keys that Thunderbird alone knows.
var mailKeys = []string{"calendar_provider", "cloud_file", "compose_action", "compose_scripts", "message_display_action", "message_display_scripts"}

// forFirefox refuses what neither Firefox nor Firefox for Android can run.
func (m *manifest) forFirefox() error {
	for _, p := range m.texts("permissions") {
		if slices.Contains(mailPermissions, p) {
			return invalid("this add-on is for Thunderbird (it asks for the permission %q); this site serves Firefox and Firefox for Android", p)
		}
	}
	for _, key := range mailKeys {
		if m.has(key) {
			return invalid("this add-on is for Thunderbird (its manifest has %q); this site serves Firefox and Firefox for Android", key)
		}
	}
	if m.has("experiment_apis") {
		return invalid("manifest.json has experiment_apis, which Firefox refuses in add-ons that are not Mozilla's own (and which Thunderbird's have)")
	}
	return nil
}

// basics are id, version, type and who made it.
func (m *manifest) basics() (*Package, error) {
	p := &Package{
		ManifestVersion: m.version,
		GUID:            m.gecko.text("id"),
		Version:         m.text("version"),
		UpdateURL:       m.gecko.text("update_url"),
	}
	if p.GUID == "" {
		return nil, invalid(`manifest.json has no id: give it one, as "browser_specific_settings": {"gecko": {"id": "name@example.org"}} (Chrome's packages have none)`)
	}
	if !catalog.ValidGUID(p.GUID) {
		return nil, invalid("the id %q is neither like name@example.org nor a {uuid}, or longer than 255 characters", p.GUID)
	}
	if !ValidVersion(p.Version) {
		return nil, invalid("the version %q is not up to four numbers with dots between them, such as 1.2.3", p.Version)
	}
	return p, m.kind(p)
}

// kind is what the package is, asked in Firefox's order (initializeAddonTypeAndID).
func (m *manifest) kind(p *Package) error {
	switch {
	case m.has("theme"):
		p.Type = catalog.Theme
	case m.has("langpack_id"):
		p.Type = catalog.Language
		p.TargetLocale = normalLocale(m.text("langpack_id"))
	case m.has("dictionaries"):
		p.Type = catalog.Dictionary
		// AMO, too, takes the first; Firefox reads all.
		if names := slices.Sorted(maps.Keys(m.object.object("dictionaries"))); len(names) > 0 {
			p.TargetLocale = normalLocale(names[0])
		}
	default:
		p.Type = catalog.Extension
	}
	if p.Type != catalog.Language && p.Type != catalog.Dictionary {
		return nil
	}
	if p.TargetLocale == "" {
		return invalid("manifest.json does not say which language this %s is for", p.Type)
	}
	for key := range m.object {
		if !slices.Contains(bareKeys(), key) {
			return invalid("manifest.json has %q, with which Firefox refuses a %s", key, p.Type)
		}
	}
	return nil
}

// bareKeys are all that the manifests of dictionaries and language packs may
// have: WebExtensionDictionaryManifest and WebExtensionLangpackManifest in
// Firefox's schemas/manifest.json, which, unlike the others, allow nothing else.
func bareKeys() []string {
	return []string{
		"manifest_version", "applications", "browser_specific_settings", "name", "short_name", "description", "author",
		"version", "homepage_url", "install_origins", "developer", "dictionaries", "langpack_id", "languages", "sources",
	}
}

var versionForm = regexp.MustCompile(`^[A-Za-z0-9+*.,_-]{1,32}$`)

// ValidVersion takes what Firefox takes: the one to four numbers that AMO asks of
// new versions, and what older packages have, such as 1.0b2 or 2019.05.01, of
// which Firefox only warns. catalog.Compare orders them all.
func ValidVersion(number string) bool {
	return versionForm.MatchString(number) && strings.ContainsAny(number, "0123456789")
}

// The oldest versions that AMO assumes of a package that names none: addons-server,
// constants/applications.py and base.py.
const (
	minFirefox    = "42.0"  // the first with WebExtensions
	minFirefox3   = "109.0" // manifest version 3
	minTheme      = "53.0"
	minDictionary = "61.0"
	minAndroid    = "120.0" // when Firefox for Android opened to all add-ons
)

var (
	minForm = regexp.MustCompile(`^[0-9]{1,9}(\.[a-zA-Z0-9]+)*$`)
	maxForm = regexp.MustCompile(`^(\*|[0-9]{1,9}(\.[a-zA-Z0-9]+)*(\.\*)?)$`)
)

// compatibility fills the ranges.
func (m *manifest) compatibility(p *Package) error {
	firefox, strict, err := ranged(catalog.Firefox, m.gecko, m.oldest(p.Type))
	if err != nil {
		return err
	}
	p.Compatibility = []catalog.Compat{firefox}
	p.Strict = strict || p.Type == catalog.Language
	// Only extensions are offered on Android, and only if they say that they run there.
	if !m.hasAndroid || p.Type != catalog.Extension {
		return nil
	}
	own := object{}
	maps.Copy(own, m.android)
	for _, key := range []string{"strict_min_version", "strict_max_version"} {
		if !own.has(key) && m.gecko.has(key) {
			own[key] = m.gecko[key]
		}
	}
	android, strictAndroid, err := ranged(catalog.Android, own, minAndroid)
	if err != nil {
		return err
	}
	p.Compatibility = append(p.Compatibility, android)
	p.Strict = p.Strict || strictAndroid
	return nil
}

// oldest is the minimum that is assumed.
func (m *manifest) oldest(t catalog.Type) string {
	switch {
	case t == catalog.Theme:
		return minTheme
	case t == catalog.Dictionary:
		return minDictionary
	case m.version == 3:
		return minFirefox3
	}
	return minFirefox
}

// ranged reads strict_min_version and strict_max_version.
func ranged(app catalog.App, o object, oldest string) (catalog.Compat, bool, error) {
	c := catalog.Compat{
		App: app.Slug,
		Min: cmp.Or(o.text("strict_min_version"), oldest),
		Max: cmp.Or(o.text("strict_max_version"), "*"),
	}
	if !minForm.MatchString(c.Min) || len(c.Min) > 32 {
		return c, false, invalid("strict_min_version %q for %s is no version number (and may not have a *)", c.Min, app.Name)
	}
	if !maxForm.MatchString(c.Max) || len(c.Max) > 32 {
		return c, false, invalid("strict_max_version %q for %s is no version number", c.Max, app.Name)
	}
	return c, c.Max != "*", nil
}

// permissions fills what the package may do. Version 2 mixes host patterns into
// its permissions; here they are apart in both versions.
func (m *manifest) permissions(p *Package) {
	for _, name := range m.texts("permissions") {
		if isPattern(name) {
			p.HostPermissions = append(p.HostPermissions, name)
		} else {
			p.Permissions = append(p.Permissions, name)
		}
	}
	p.OptionalPermissions = m.texts("optional_permissions")
	if m.version == 3 {
		p.HostPermissions = append(p.HostPermissions, m.texts("host_permissions")...)
		p.OptionalPermissions = append(p.OptionalPermissions, m.texts("optional_host_permissions")...)
	}
	for _, script := range m.objects("content_scripts") {
		p.HostPermissions = append(p.HostPermissions, script.texts("matches")...)
	}
	if m.has("devtools_page") {
		p.Permissions = append(p.Permissions, "devtools") // as Firefox asks for it
	}
	p.Permissions = tidy(p.Permissions)
	p.OptionalPermissions = tidy(p.OptionalPermissions)
	p.HostPermissions = tidy(p.HostPermissions)
}

// isPattern tells a match pattern from an API permission.
func isPattern(permission string) bool {
	return permission == "<all_urls>" || strings.Contains(permission, "://")
}

// The most permissions that are kept, and the longest: beyond what any page would show.
const (
	maxPermissions = 1000
	maxPermission  = 1000
)

// tidy removes repetitions, keeping the order, and what is beyond the limits.
func tidy(list []string) []string {
	seen := map[string]bool{}
	return slices.DeleteFunc(list, func(s string) bool {
		drop := seen[s] || len(seen) == maxPermissions || len(s) > maxPermission
		seen[s] = true
		return drop
	})
}

// webURL returns the URL if a page may link to it, "" if not.
func webURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || len(raw) > 2000 {
		return ""
	}
	return raw
}
