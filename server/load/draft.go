package load

import (
	"cmp"
	"fmt"
	"image/color"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"addons/server/catalog"
	"addons/server/xpi"
)

// draft is an add-on of the sample before it is worked out. Names and ranks are
// given in one go, because they must differ from each other; everything else
// comes from the draft's own source of chance, so that drafts can be worked out
// in any order.
type draft struct {
	rng     *rand.Rand
	book    phrasebook
	authors []catalog.Author // of the whole sample
	kind    catalog.Type
	topic   topic  // of an extension
	tongue  tongue // of a dictionary or language pack
	brand   string
	slug    string
	rank    int // by popularity, from 0
	hidden  hiding
	topics  []topic
	least   int  // versions
	bare    bool // neither packages nor images are made
	locales []string
}

// hiding is why nobody is shown an add-on.
type hiding int

const (
	shown hiding = iota
	disabled
	unlisted
	unreviewed
	empty
	hidings
)

// plan deals out what must differ.
func plan(seed uint64, n int) ([]*draft, error) {
	book, err := readPhrases()
	if err != nil {
		return nil, err
	}
	deck := rand.New(rand.NewPCG(seed, 0))
	ranks := deck.Perm(n)
	namer := namer{deck, map[string]bool{}}
	authors := people(deck, max(4, n/3))
	dictionaries, languages, topics := tongues(), tongues(), topics()
	drafts := make([]*draft, n)
	for i := range drafts {
		d := &draft{rng: rand.New(rand.NewPCG(seed, uint64(i)+1)), book: book, authors: authors, rank: ranks[i], topics: topics, least: 2}
		switch {
		case i%20 == 9 && len(dictionaries) > 0:
			d.kind, d.tongue, dictionaries = catalog.Dictionary, dictionaries[0], dictionaries[1:]
			d.brand = d.tongue.english + " Dictionary"
		case i%20 == 14 && len(languages) > 0:
			d.kind, d.tongue, languages = catalog.Language, languages[0], languages[1:]
			d.brand = "Language Pack: " + d.tongue.english
		case i%4 == 2:
			d.kind, d.brand = catalog.Theme, namer.theme()
		default:
			d.kind = catalog.Extension
			d.topic = topics[deck.IntN(len(topics))]
			d.brand = namer.extension(d.topic)
		}
		if i%25 == 24 {
			d.hidden = disabled + hiding(i/25)%(hidings-disabled)
		}
		d.slug = slug(d.brand)
		drafts[i] = d
	}
	return drafts, nil
}

// namer makes names that nothing else has.
type namer struct {
	rng  *rand.Rand
	used map[string]bool
}

func (n namer) extension(t topic) string {
	return n.unused(func() string {
		root, agent := pick(n.rng, t.roots), pick(n.rng, agents())
		switch n.rng.IntN(4) {
		case 0:
			return root + agent
		case 1:
			return pick(n.rng, moods()) + " " + agent
		case 2:
			return pick(n.rng, moods()) + " " + root + " " + agent
		}
		return root + " " + agent
	})
}

func (n namer) theme() string {
	return n.unused(func() string { return pick(n.rng, moods()) + " " + pick(n.rng, scenes()) })
}

// unused numbers a name once chance has had its tries.
func (n namer) unused(name func() string) string {
	for try := 0; ; try++ {
		s := name()
		if try > 20 {
			s = fmt.Sprintf("%s %d", s, try-19)
		}
		if !n.used[strings.ToLower(s)] {
			n.used[strings.ToLower(s)] = true
			return s
		}
	}
}

// people are the sample's authors.
func people(rng *rand.Rand, n int) []catalog.Author {
	n = min(n, len(firstNames())*len(lastNames())/2)
	used := map[string]bool{}
	var all []catalog.Author
	for len(all) < n {
		name := pick(rng, firstNames()) + " " + pick(rng, lastNames())
		if used[name] {
			continue
		}
		used[name] = true
		a := catalog.Author{Name: name, Username: slug(name)}
		if rng.IntN(2) == 0 {
			a.URL = "https://example.org/~" + a.Username
		}
		all = append(all, a)
	}
	return all
}

func pick[T any](rng *rand.Rand, list []T) T { return list[rng.IntN(len(list))] }

// make works the draft out.
func (d *draft) make() (*made, error) {
	a := &catalog.Addon{
		GUID:          d.slug + "@sample.example",
		Slug:          d.slug,
		Type:          d.kind,
		Status:        catalog.Public,
		DefaultLocale: source,
		TargetLocale:  d.tongue.locale,
	}
	m := &made{addon: a}
	if err := d.fill(m, d.popularity); err != nil {
		return nil, err
	}
	m.ratings = d.ratings(m)
	return m, nil
}

// fill makes everything but the ratings.
func (d *draft) fill(m *made, popularity func(*catalog.Addon)) error {
	a := m.addon
	emblem := newEmblem(d.rng)
	look := newLook(d.rng)
	d.locales = d.texts(a, look)
	d.credits(a, look)
	popularity(a)
	if m.packed = !d.bare; m.packed {
		if err := d.images(m, emblem, look); err != nil {
			return err
		}
	}
	if err := d.versions(m, look); err != nil {
		return err
	}
	d.hide(m)
	a.LastUpdated = a.Created
	for _, v := range m.offered() {
		a.LastUpdated = v.Created
	}
	return nil
}

// offered are the versions that are offered.
func (m *made) offered() (all []*catalog.Version) {
	for _, v := range m.versions {
		if v.version.Offered() {
			all = append(all, v.version)
		}
	}
	return all
}

// look is a theme's colours: two names from the phrasebook, and what they look like.
type look struct {
	dark                 bool
	first, second        int // of the section "colors"
	frame, toolbar, text color.NRGBA
}

func newLook(rng *rand.Rand) look {
	// In the order of the section "colors": hue and saturation.
	hues := [...][2]float64{{.72, .5}, {.11, .8}, {.24, .4}, {.03, .7}, {.58, .18}, {.11, .3}, {.78, .5}, {.49, .6}, {.96, .7}, {.58, .05}, {.66, .04}, {.73, .35}}
	l := look{dark: rng.IntN(3) > 0, first: rng.IntN(len(hues))}
	l.second = (l.first + 1 + rng.IntN(len(hues)-1)) % len(hues)
	lightness, step := .80, .1
	l.text = color.NRGBA{20, 20, 28, 255}
	if l.dark {
		lightness, step = .16, .08
		l.text = color.NRGBA{244, 244, 250, 255}
	}
	l.frame = hsl(hues[l.first][0], hues[l.first][1], lightness)
	l.toolbar = hsl(hues[l.second][0], hues[l.second][1], lightness+step)
	return l
}

// colors are a manifest's.
func (l look) colors() map[string]string {
	return map[string]string{
		"frame": cssColor(l.frame), "tab_background_text": cssColor(l.text),
		"toolbar": cssColor(l.toolbar), "toolbar_text": cssColor(l.text), "toolbar_field": cssColor(l.frame), "toolbar_field_text": cssColor(l.text),
	}
}

// texts fills everything that is to be read, and returns its locales.
func (d *draft) texts(a *catalog.Addon, look look) []string {
	var locales []string
	switch d.kind {
	case catalog.Theme:
		locales = d.someLocales(a, "theme")
		d.themeTexts(a, locales, look)
	case catalog.Dictionary, catalog.Language:
		locales = []string{source}
		d.tongueTexts(a)
	default:
		locales = d.someLocales(a, d.topic.category)
		d.extensionTexts(a, locales)
	}
	home := "https://example.org/" + d.slug
	if d.rng.IntN(3) > 0 {
		a.Homepage = catalog.Text{a.DefaultLocale: home}
	}
	if d.rng.IntN(2) == 0 {
		a.SupportURL = catalog.Text{a.DefaultLocale: home + "/help"}
		a.SupportEmail = catalog.Text{a.DefaultLocale: d.slug + "@example.org"}
	}
	if d.rng.IntN(6) == 0 {
		a.ContributionsURL = "https://example.org/donate/" + d.slug
	}
	return locales
}

// someLocales chooses in which languages the add-on speaks. One in ten does not
// speak English.
func (d *draft) someLocales(a *catalog.Addon, section string) []string {
	known := d.book.locales(section)
	others := slices.Clone(known[1:])
	d.rng.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	n := d.rng.IntN(len(others) + 1)
	if d.rng.IntN(10) == 0 {
		a.DefaultLocale = others[0]
		return others[:max(1, n/2)]
	}
	return append([]string{source}, others[:n]...)
}

// extensionTexts puts a name, a summary of two sentences and a description together.
func (d *draft) extensionTexts(a *catalog.Addon, locales []string) {
	section := d.topic.category
	first := 1 + d.rng.IntN(2)
	// The second sentence is a feature: of its topic, or of any extension.
	from, feature := section, 3+d.rng.IntN(2)
	if d.rng.IntN(2) == 0 {
		from, feature = "features", d.rng.IntN(6)
	}
	closing := d.rng.IntN(3)
	features := d.rng.Perm(6)[:2+d.rng.IntN(3)]
	titled := d.rng.IntN(3) == 0
	linked := d.rng.IntN(3) == 0
	a.Name, a.Summary, a.Description = catalog.Text{}, catalog.Text{}, catalog.Text{}
	for _, l := range locales {
		a.Name[l] = d.brand
		if l != source || titled {
			a.Name[l] = d.brand + " – " + d.book.at(l, section, 0)
		}
		a.Summary[l] = glue(l, sentence(l, d.book.at(l, section, first)), sentence(l, d.book.at(l, from, feature)))
		a.Description[l] = d.description(l, section, 3-first, features, closing, linked)
	}
}

// description is HTML as authors write it on AMO.
func (d *draft) description(locale, section string, opening int, features []int, closing int, linked bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n<b>%s</b>\n<ul>\n", sentence(locale, d.book.at(locale, section, opening)), d.book.at(locale, "heading", 0))
	for _, i := range []int{3, 4} {
		fmt.Fprintf(&b, "<li>%s</li>\n", d.book.at(locale, section, i))
	}
	for _, i := range features {
		fmt.Fprintf(&b, "<li>%s</li>\n", d.book.at(locale, "features", i))
	}
	b.WriteString("</ul>\n")
	if s := d.book.at(locale, "closing", closing); s != "" {
		fmt.Fprintf(&b, "\n<em>%s</em>", s)
	}
	if linked {
		fmt.Fprintf(&b, "\n<a href=\"https://example.org/%[1]s\">example.org/%[1]s</a>", d.slug)
	}
	return b.String()
}

func (d *draft) themeTexts(a *catalog.Addon, locales []string, look look) {
	pattern, style := d.rng.IntN(2), 1
	if look.dark {
		style = 0
	}
	a.Name, a.Summary, a.Description = catalog.Text{a.DefaultLocale: d.brand}, catalog.Text{}, catalog.Text{}
	closing := d.rng.IntN(2)
	for _, l := range locales {
		patterns := d.book[l]["theme"]
		text := strings.NewReplacer(
			"{style}", d.book.at(l, "styles", style),
			"{a}", d.book.at(l, "colors", look.first),
			"{b}", d.book.at(l, "colors", look.second),
		).Replace(patterns[pattern%len(patterns)])
		first := []rune(text)
		a.Summary[l] = strings.ToUpper(string(first[:1])) + string(first[1:])
		a.Description[l] = glue(l, a.Summary[l], d.book.at(l, "closing", closing))
	}
}

func (d *draft) tongueTexts(a *catalog.Addon) {
	native := strings.ReplaceAll(d.tongue.locale, "_", "-")
	if d.kind == catalog.Language {
		a.Name = catalog.Text{source: "Language: " + d.tongue.native + " (" + d.tongue.english + ")"}
		a.Summary = catalog.Text{source: "Firefox in " + d.tongue.english + "."}
		return
	}
	a.Name = catalog.Text{source: d.brand, native: d.tongue.dictionary}
	a.Summary = catalog.Text{source: "Spell checking in " + d.tongue.english + ", with " + fmt.Sprint(len(d.tongue.words)) + " words to begin with."}
}

// credits fills authors, categories, tags and flags.
func (d *draft) credits(a *catalog.Addon, look look) {
	// Squared: a few authors have made much, most have made little.
	for range d.credited() {
		chance := d.rng.Float64()
		author := d.authors[int(chance*chance*float64(len(d.authors)))]
		if !slices.Contains(a.Authors, author) {
			a.Authors = append(a.Authors, author)
		}
	}
	switch d.kind {
	case catalog.Extension:
		a.Categories = map[string][]string{catalog.Firefox.Slug: {d.topic.category}}
		if other := pick(d.rng, d.topics).category; d.rng.IntN(4) == 0 && other != d.topic.category {
			a.Categories[catalog.Firefox.Slug] = append(a.Categories[catalog.Firefox.Slug], other)
		}
		tags := slices.Clone(d.topic.tags)
		d.rng.Shuffle(len(tags), func(i, j int) { tags[i], tags[j] = tags[j], tags[i] })
		a.Tags = tags[:1+d.rng.IntN(len(tags))]
		a.Experimental = d.rng.IntN(20) == 0
		a.RequiresPayment = d.rng.IntN(30) == 0
		a.HasEULA = d.rng.IntN(15) == 0
		a.HasPrivacyPolicy = len(d.topic.hosts) > 0 && d.rng.IntN(2) == 0
	case catalog.Theme:
		a.Categories = map[string][]string{catalog.Firefox.Slug: {pick(d.rng, []string{"abstract", "nature", "scenery", "seasonal", "solid", "other"})}}
		a.Tags = []string{pick(d.rng, []string{"colorful", "minimal", "landscape"})}
		if look.dark {
			a.Tags = append(a.Tags, "dark mode")
		}
	default:
		a.Categories = map[string][]string{catalog.Firefox.Slug: {"general"}}
	}
}

// popularity follows Zipf's law: the second has half of what the first has.
func (d *draft) popularity(a *catalog.Addon) {
	chance := .8 + .4*d.rng.Float64()
	a.AverageDailyUsers = int(3e6 * chance / math.Pow(float64(d.rank)+1, 1.05))
	a.WeeklyDownloads = a.AverageDailyUsers / (25 + d.rng.IntN(40))
	a.Hotness = math.Round(d.rng.ExpFloat64()*200) / 1000
	switch {
	case d.rank < 12:
		a.Promoted = []string{"recommended"}
	case d.rank < 16:
		a.Promoted = []string{"line"}
	case d.rank%40 == 20:
		a.Promoted = []string{"notable"}
	case d.rank%40 == 30:
		a.Promoted = []string{"spotlight"}
	}
}

// images draws icon and previews.
func (d *draft) images(m *made, e emblem, look look) (err error) {
	if d.kind == catalog.Theme {
		body, width, height, err := strip(d.rng, look.frame, look.toolbar, look.text)
		if err != nil {
			return err
		}
		m.previews = [][]byte{body}
		m.addon.Previews = []catalog.Preview{{Width: width, Height: height}}
		return nil
	}
	switch d.rng.IntN(8) {
	case 0: // has none
	case 1, 2:
		m.icon = e.svg(strings.ToUpper(d.brand[:1]))
	default:
		if m.icon, err = e.png(); err != nil {
			return err
		}
	}
	if d.kind != catalog.Extension {
		return nil
	}
	for i := range max(0, d.rng.IntN(4)-1) {
		body, width, height, err := e.screenshot(d.rng, d.rng.IntN(2) == 0)
		if err != nil {
			return err
		}
		m.previews = append(m.previews, body)
		m.addon.Previews = append(m.addon.Previews, catalog.Preview{
			Position: i, Width: width, Height: height,
			Caption: d.book.text(slices.Collect(maps.Keys(m.addon.Name)), "captions", d.rng.IntN(3)),
		})
	}
	return nil
}

// credited is how many authors are to be found: none if they were given.
func (d *draft) credited() int {
	if len(d.authors) == 0 {
		return 0
	}
	return 1 + d.rng.IntN(5)/3
}

// versions makes d.least to four more of them, oldest first, with their packages.
func (d *draft) versions(m *made, look look) error {
	count := d.least + d.rng.IntN(5)
	numbers := versionNumbers(d.rng, count)
	android := d.kind == catalog.Extension && d.rng.IntN(3) == 0
	if android {
		m.addon.Categories[catalog.Android.Slug] = []string{d.topic.android}
	}
	license := pick(d.rng, licenses())
	created := sampleEnd().AddDate(0, 0, -60*count-d.rng.IntN(900))
	m.addon.Created = created
	bounded := d.rng.IntN(5) // how old versions are bounded
	for i, number := range numbers {
		age := count - 1 - i
		v := &catalog.Version{
			Number: number, Channel: catalog.Listed, License: license,
			Created: created, Reviewed: created.Add(time.Duration(1+d.rng.IntN(72)) * time.Hour),
		}
		if i > 0 {
			v.ReleaseNotes = d.notes(d.locales)
		}
		d.compatibility(v, age, bounded, android)
		spec := d.spec(m, v, age, look)
		v.File = catalog.File{
			Name: d.slug + "-" + number + ".xpi", Status: catalog.Public, Created: created,
			Permissions: spec.Permissions, OptionalPermissions: spec.OptionalPermissions, HostPermissions: spec.HostPermissions,
		}
		var body []byte
		if d.bare {
			unpacked(&v.File, m.addon.GUID, d.rng)
		} else {
			var err error
			if body, err = xpi.Make(spec); err != nil {
				return err
			}
		}
		m.versions = append(m.versions, madeVersion{v, body})
		left := sampleEnd().Sub(created)
		created = created.Add((left/time.Duration(age+1)*time.Duration(50+d.rng.IntN(40))/100 + time.Hour).Truncate(time.Second))
	}
	return nil
}

// notes are release notes in some of the locales.
func (d *draft) notes(locales []string) catalog.Text {
	return d.book.text(locales, "notes", d.rng.IntN(6))
}

// compatibility gives the version its ranges: the older, the lower. Some old
// versions stop at a release of Firefox, strictly or for information only.
func (d *draft) compatibility(v *catalog.Version, age, bounded int, android bool) {
	minima := []string{"140.0", "128.0", "115.0", "109.0", "91.0", "78.0"}
	firefox := catalog.Compat{App: catalog.Firefox.Slug, Min: minima[min(age+d.rng.IntN(2), len(minima)-1)], Max: "*"}
	if d.kind == catalog.Language {
		// A language pack is for one release; the newest is for the ESR that tests install.
		major := 153 - age
		firefox.Min, firefox.Max, v.Strict = fmt.Sprintf("%d.0", major), fmt.Sprintf("%d.*", major), true
	} else if age > 0 && bounded == 0 {
		firefox.Max, v.Strict = "145.*", true
	} else if bounded == 1 {
		firefox.Max = "152.*"
	}
	v.Compatibility = []catalog.Compat{firefox}
	if android {
		v.Compatibility = append(v.Compatibility, catalog.Compat{App: catalog.Android.Slug, Min: "120.0", Max: "*"})
	}
}

// spec is the version's package. What does not bind is not in its manifest.
func (d *draft) spec(m *made, v *catalog.Version, age int, look look) xpi.Spec {
	a := m.addon
	spec := xpi.Spec{
		Type: d.kind, GUID: a.GUID, Version: v.Number, DefaultLocale: a.DefaultLocale,
		Name: a.Name, Summary: shortened(a.Summary), Author: a.Authors[0].Name, Homepage: a.Homepage[a.DefaultLocale],
		TargetLocale: a.TargetLocale, Icon: m.icon, Modified: v.Created,
	}
	for _, c := range v.Compatibility {
		if !v.Strict {
			c.Max = ""
		}
		spec.Compatibility = append(spec.Compatibility, c)
	}
	switch d.kind {
	case catalog.Theme:
		spec.Colors = look.colors()
	case catalog.Dictionary:
		spec.Words = d.tongue.words[:max(1, len(d.tongue.words)-age)]
	case catalog.Extension:
		spec.ManifestVersion = 3
		if age > 1 {
			spec.ManifestVersion = 2
		}
		spec.Permissions, spec.HostPermissions = d.topic.permissions, d.topic.hosts
		if age == 0 {
			spec.OptionalPermissions = []string{"clipboardWrite"}
		}
	}
	return spec
}

// shortened is a manifest's description: Chrome takes 132 characters, and so do
// those who publish on both.
func shortened(t catalog.Text) catalog.Text {
	short := catalog.Text{}
	for l, s := range t {
		short[l] = s
		if r := []rune(s); len(r) > 132 {
			short[l] = string(r[:131]) + "…"
		}
	}
	return short
}

// versionNumbers are n ascending numbers in one of the schemes that authors have.
func versionNumbers(rng *rand.Rand, n int) []string {
	numbers := make([]string, n)
	scheme := rng.IntN(4)
	major, minor, patch := rng.IntN(4), rng.IntN(6), 0
	year, month := 2025-n/4, 1+rng.IntN(6)
	for i := range numbers {
		switch scheme {
		case 0:
			numbers[i] = fmt.Sprintf("%d.%d", major, minor)
		case 1:
			numbers[i] = fmt.Sprintf("%d.%d.%d", major, minor, patch)
		case 2:
			numbers[i] = fmt.Sprintf("%d.%d.%d", year, month, 1+patch)
		default:
			numbers[i] = fmt.Sprint(major + 1)
		}
		switch {
		case scheme == 3 || rng.IntN(5) == 0:
			major, minor, patch = major+1, 0, 0
			month++
		case scheme == 0 || rng.IntN(2) == 0:
			minor, patch = minor+1, 0
			month += 2
		default:
			patch++
		}
		if month > 12 {
			year, month = year+1, month-12
		}
	}
	return numbers
}

func licenses() []catalog.License {
	return []catalog.License{
		{Slug: "MPL-2.0", Name: catalog.Text{source: "Mozilla Public License 2.0"}, URL: "https://www.mozilla.org/MPL/2.0/"},
		{Slug: "GPL-3.0-or-later", Name: catalog.Text{source: "GNU General Public License v3.0 or later"}, URL: "https://www.gnu.org/licenses/gpl-3.0.html"},
		{Slug: "MIT", Name: catalog.Text{source: "MIT License"}, URL: "https://opensource.org/license/mit"},
		{Slug: "all-rights-reserved", Name: catalog.Text{source: "All Rights Reserved"}},
		{Name: catalog.Text{source: "Custom License"}, Text: "Do with it what you like, but do not say that I made what you changed."},
	}
}

// ratings are more the more users there are, and better the better the add-on is.
func (d *draft) ratings(m *made) []catalog.Rating {
	n := min(int(math.Sqrt(float64(m.addon.AverageDailyUsers))/12), 120)
	quality := 3 + 1.9*d.rng.Float64()
	versions := m.offered()
	if len(versions) == 0 {
		return nil
	}
	used := map[string]bool{}
	all := make([]catalog.Rating, 0, n)
	for len(all) < n {
		name := pick(d.rng, firstNames()) + " " + string([]rune(pick(d.rng, lastNames()))[:1]) + "."
		if used[name] {
			continue
		}
		used[name] = true
		score := int(math.Round(quality + d.rng.NormFloat64()))
		r := d.rating(versions, min(max(score, 1), 5), d.locales)
		r.UserName = name
		all = append(all, r)
	}
	sortRatings(all)
	return all
}

// rating is somebody's opinion of one of the versions.
func (d *draft) rating(versions []*catalog.Version, score int, locales []string) catalog.Rating {
	v := pick(d.rng, versions)
	r := catalog.Rating{Score: score, VersionNumber: v.Number}
	r.Created = v.Created.Add(time.Duration(d.rng.Int64N(int64(sampleEnd().Sub(v.Created)/time.Second)+1)) * time.Second)
	if d.rng.IntN(3) > 0 {
		r.Body = d.opinion(r.Score, locales)
	}
	return r
}

// sortRatings puts the oldest first.
func sortRatings(all []catalog.Rating) {
	slices.SortFunc(all, func(a, b catalog.Rating) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.UserName, b.UserName))
	})
}

// opinion is a text that fits the score.
func (d *draft) opinion(score int, locales []string) string {
	locale := source
	if d.rng.IntN(3) == 0 {
		locale = pick(d.rng, locales)
	}
	switch {
	case score >= 4:
		return d.book.any(d.rng, locale, "praise")
	case score == 3:
		return d.book.any(d.rng, locale, "meh")
	}
	return d.book.any(d.rng, locale, "blame")
}

// hide makes of a finished add-on one that must not be shown. Of the others, one
// in ten has a newest version that is not reviewed yet, and one in twelve an old
// one that was deleted.
func (d *draft) hide(m *made) {
	newest := m.versions[len(m.versions)-1].version
	switch d.hidden {
	case disabled:
		m.addon.Status = catalog.Disabled
	case unlisted:
		m.addon.Status = catalog.Incomplete
		for _, v := range m.versions {
			v.version.Channel = catalog.Unlisted
		}
	case unreviewed:
		m.addon.Status = catalog.Nominated
		m.versions = m.versions[len(m.versions)-1:]
		newest.Reviewed, newest.File.Status = time.Time{}, catalog.Unreviewed
	case empty:
		m.addon.Status = catalog.Incomplete
		m.versions = nil
	case shown:
		if len(m.versions) < 2 {
			return // it would be hidden
		}
		switch d.rng.IntN(60) % 12 {
		case 0, 1:
			newest.Reviewed, newest.File.Status = time.Time{}, catalog.Unreviewed
		case 2:
			m.versions[0].version.Deleted = true
		}
		return
	}
	m.addon.AverageDailyUsers, m.addon.WeeklyDownloads, m.addon.Promoted = 0, 0, nil
}
