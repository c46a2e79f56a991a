package amo

// V4 is the answer in the form of API v4, which Firefox reads for its add-ons
// manager: files in a list, each for a platform; links and, if lang was given, texts
// as plain strings; one promotion or null.
func (a Addon) V4(lang string) Addon {
	if lang != "" {
		a.Name, a.Summary, a.Description = a.plain(lang, a.Name), a.plain(lang, a.Summary), a.plain(lang, a.Description)
		a.DeveloperComments, a.SupportEmail = a.plain(lang, a.DeveloperComments), a.plain(lang, a.SupportEmail)
		a.Homepage.Text, a.SupportURL.Text = a.plain(lang, a.Homepage.Text), a.plain(lang, a.SupportURL.Text)
		previews := make([]Preview, 0, len(a.Previews))
		for _, p := range a.Previews {
			p.Caption = a.plain(lang, p.Caption)
			previews = append(previews, p)
		}
		a.Previews = previews
	}
	a.Homepage.older, a.SupportURL.older = true, true
	a.ContributionsURL.plain = true
	a.Promoted.single = true
	if a.Current != nil {
		current := a.Current.V4(lang, a.DefaultLocale)
		a.Current = &current
	}
	return a
}

func (a Addon) plain(lang string, t Text) Text { return t.flat(lang, a.DefaultLocale) }

// V4 is the version in the form of API v4. fallback is the add-on's own locale.
func (v Version) V4(lang, fallback string) Version {
	if v.File != nil {
		file := *v.File
		file.Platform = "all"
		v.File, v.Files = nil, []File{file}
	}
	if v.License.Value != nil {
		license := *v.License.Value
		license.flatten(lang, fallback)
		v.License.Value = &license
	}
	if v.ReleaseNotes.Value != nil && lang != "" {
		notes := v.ReleaseNotes.Value.flat(lang, fallback)
		v.ReleaseNotes.Value = &notes
	}
	return v
}

func (l *License) flatten(lang, fallback string) {
	if lang == "" {
		return
	}
	l.Name = l.Name.flat(lang, fallback)
	if l.Text.Value != nil {
		text := l.Text.Value.flat(lang, fallback)
		l.Text.Value = &text
	}
}

// V4 is the suggestion in the form of API v4. fallback is the add-on's own locale.
func (s Suggestion) V4(lang, fallback string) Suggestion {
	s.Promoted.single = true
	if lang != "" {
		s.Name = s.Name.flat(lang, fallback)
	}
	return s
}
