package xpi

import (
	"encoding/json"
	"regexp"
	"strings"
	"unicode"

	"addons/server/catalog"
)

// messages are one locale's: lower-cased name → text.
type messages map[string]string

const (
	maxNameText = 255 // characters, AMO's column; Firefox shows 75
	maxSummary  = 250 // characters, AMO's limit; it cuts longer ones, and so do we
)

// localized fills the translated fields: name, summary, author and homepage.
func (m *manifest) localized(src *source, p *Package) error {
	locales, err := m.locales(src, p)
	if err != nil {
		return err
	}
	p.Name, p.Summary = catalog.Text{}, catalog.Text{}
	for locale := range locales {
		name, complete := localize(m.text("name"), locale, p, locales)
		if name = oneLine(name); name == "" || !complete {
			continue
		}
		if len([]rune(name)) > maxNameText {
			return invalid("the name has more than %d characters", maxNameText)
		}
		p.Name[locale] = name
		if summary, _ := localize(m.text("description"), locale, p, locales); oneLine(summary) != "" {
			p.Summary[locale] = cut(oneLine(summary), maxSummary)
		}
	}
	if p.Name[p.DefaultLocale] == "" {
		return invalid("manifest.json has no name, or its name (%q) is a message that _locales does not have", m.text("name"))
	}
	dropCopies(p.Name, p.DefaultLocale)
	dropCopies(p.Summary, p.DefaultLocale)
	m.developer(p, locales)
	return nil
}

// developer overrides author and homepage_url, as in Firefox.
func (m *manifest) developer(p *Package, locales map[string]messages) {
	developer := m.object.object("developer")
	in := func(s string) string {
		s, _ = localize(s, p.DefaultLocale, p, locales)
		return oneLine(s)
	}
	p.Author = cut(in(m.text("author")), maxNameText)
	if name := in(developer.text("name")); name != "" {
		p.Author = cut(name, maxNameText)
	}
	p.AuthorURL = webURL(in(developer.text("url")))
	p.Homepage = webURL(in(m.text("homepage_url")))
	if p.Homepage == "" {
		p.Homepage = p.AuthorURL
	}
}

// locales reads all messages. A package without them has its one text in
// DefaultLocale, which is then en-US, as AMO has it.
func (m *manifest) locales(src *source, p *Package) (map[string]messages, error) {
	folders := src.locales()
	p.DefaultLocale = normalLocale(m.text("default_locale"))
	if p.DefaultLocale == "" {
		if len(folders) > 0 {
			return nil, invalid("manifest.json has no default_locale, which Firefox asks for because there is _locales")
		}
		p.DefaultLocale = "en-US"
		return map[string]messages{p.DefaultLocale: nil}, nil
	}
	if len(folders) > MaxLocales {
		return nil, invalid("the package has %d locales, the limit is %d", len(folders), MaxLocales)
	}
	all := map[string]messages{}
	for _, folder := range folders {
		locale := normalLocale(folder)
		if locale == "" {
			continue
		}
		text, err := src.read("_locales/"+folder+"/messages.json", MaxMessages)
		if err != nil {
			return nil, err
		}
		parsed, err := parseMessages(text)
		if err != nil {
			return nil, invalid("_locales/%s/messages.json: %v", folder, err)
		}
		all[locale] = parsed
	}
	if _, ok := all[p.DefaultLocale]; !ok {
		return nil, invalid("there is no _locales/%s/messages.json for default_locale", m.text("default_locale"))
	}
	return all, nil
}

// localeForm is a BCP 47 tag as far as sites need it: language, script, region, variants.
var localeForm = regexp.MustCompile(`^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$`)

// normalLocale writes a locale with hyphens and the region in capitals; "" if it is none.
func normalLocale(locale string) string {
	locale = strings.ReplaceAll(locale, "_", "-")
	if !localeForm.MatchString(locale) {
		return ""
	}
	parts := strings.Split(locale, "-")
	parts[0] = strings.ToLower(parts[0])
	for i, part := range parts[1:] {
		switch len(part) {
		case 2:
			parts[i+1] = strings.ToUpper(part)
		case 4:
			parts[i+1] = strings.ToUpper(part[:1]) + strings.ToLower(part[1:])
		default:
			parts[i+1] = strings.ToLower(part)
		}
	}
	return strings.Join(parts, "-")
}

// placeholder is $name$ in a message.
var placeholder = regexp.MustCompile(`\$([A-Za-z0-9@_]+)\$`)

// parseMessages reads a messages.json: LocaleData.addLocale in Firefox's
// ExtensionCommon.sys.mjs. Names and placeholders are case-insensitive.
func parseMessages(text []byte) (messages, error) {
	raw, err := parseObject(text)
	if err != nil {
		return nil, err
	}
	all := make(messages, len(raw))
	for key := range raw {
		entry := raw.object(key)
		var message string
		if json.Unmarshal(entry["message"], &message) != nil {
			continue
		}
		if strings.Contains(message, "$") {
			message = fill(message, entry.object("placeholders"))
		}
		all[strings.ToLower(key)] = message
	}
	return all, nil
}

// fill replaces a message's placeholders by their content.
func fill(message string, placeholders object) string {
	contents := map[string]string{}
	for name := range placeholders {
		contents[strings.ToLower(name)] = placeholders.object(name).text("content")
	}
	return placeholder.ReplaceAllStringFunc(message, func(token string) string {
		return contents[strings.ToLower(strings.Trim(token, "$"))]
	})
}

var (
	token        = regexp.MustCompile(`__MSG_([A-Za-z0-9@_]+?)__`)
	substitution = regexp.MustCompile(`\$([1-9][0-9]*|\$+)`)
)

// localize replaces __MSG_name__ tokens by messages of the locale, else of the
// default locale; complete tells whether all were found.
func localize(s, locale string, p *Package, all map[string]messages) (text string, complete bool) {
	complete = true
	text = token.ReplaceAllStringFunc(s, func(matched string) string {
		name := strings.ToLower(token.FindStringSubmatch(matched)[1])
		for _, m := range []messages{all[locale], all[p.DefaultLocale]} {
			if message, ok := m[name]; ok {
				return substitute(message)
			}
		}
		switch name {
		case "@@ui_locale":
			return locale
		case "@@extension_id":
			return p.GUID
		}
		complete = false
		return matched
	})
	return text, complete
}

// substitute drops $1… because a manifest has nothing to put there, and one $ of several.
func substitute(message string) string {
	return substitution.ReplaceAllStringFunc(message, func(s string) string {
		if s[1] != '$' {
			return ""
		}
		return s[1:]
	})
}

// oneLine makes a text fit for one line: no control characters, single spaces.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
}

// cut shortens a text to n characters.
func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return strings.TrimSpace(string(r[:n-1])) + "…"
	}
	return s
}

// dropCopies removes translations that repeat the default locale's text: they
// say nothing, and Text.In would find the default anyway.
func dropCopies(t catalog.Text, locale string) {
	for l, s := range t {
		if l != locale && s == t[locale] {
			delete(t, l)
		}
	}
}
