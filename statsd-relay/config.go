package relay

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// maxFile is how large a configuration file may be.
const maxFile = 1 << 20

// setting is one value of a Config that a file may give. Its path comes from the
// yaml tags: a field's name, below the names of the sections around it. A tag may
// have a dot ("graphite.memory"), and several fields may share a section.
//
// Options behind the name: "live", a running relay can change it (see
// Relay.Reload); "size", bytes, which may be written as 64MiB.
type setting struct {
	path       string
	value      reflect.Value
	live, size bool
}

// settings lists those of the struct v, in the order of its fields.
func settings(v reflect.Value) []setting { return appendSettings(nil, v, "", false) }

func appendSettings(all []setting, v reflect.Value, section string, live bool) []setting {
	for i := range v.NumField() {
		name, options, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		if name == "-" || name == "" {
			continue
		}
		s := setting{path: join(section, name), value: v.Field(i), live: live || hasOption(options, "live"), size: hasOption(options, "size")}
		if isSection(s.value) {
			all = appendSettings(all, s.value, s.path, s.live)
			continue
		}
		all = append(all, s)
	}
	return all
}

func hasOption(options, name string) bool { return slices.Contains(strings.Split(options, ","), name) }

func isSection(v reflect.Value) bool {
	_, own := reflect.New(v.Type()).Interface().(yaml.Unmarshaler)
	return v.Kind() == reflect.Struct && !own
}

func join(section, name string) string {
	if section == "" {
		return name
	}
	return section + "." + name
}

// Load reads a configuration file: what it gives replaces what base has. name is
// the file's, for the error, which joins all faults of the file, each with its
// line. That the values can be had together is for New or Reload to say.
func Load(name string, from io.Reader, base Config) (Config, error) {
	text, err := io.ReadAll(io.LimitReader(from, maxFile+1))
	if err != nil {
		return base, err
	}
	if len(text) > maxFile {
		return base, fmt.Errorf("%s: a configuration has at most %d bytes", name, maxFile)
	}
	naming := &base.Naming
	if naming.Prefix == "" && !naming.NoPrefix {
		naming.Prefix = "stats"
	}
	l := loader{file: name, settings: settings(reflect.ValueOf(&base).Elem())}
	l.load(text)
	naming.NoPrefix = naming.Prefix == ""
	return base, errors.Join(l.faults...)
}

// loader puts what a file says into settings.
type loader struct {
	file     string
	within   string // names the list element that the settings are of, else ""
	settings []setting
	faults   []error
}

func (l *loader) fault(line int, format string, args ...any) {
	l.faults = append(l.faults, fmt.Errorf("%s:%d: %s", l.file, line, l.within+fmt.Sprintf(format, args...)))
}

// yamlLine finds the line in what the YAML library says.
var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

func (l *loader) load(text []byte) {
	var doc yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(text))
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF): // nothing but comments: everything is as it was
	case err != nil:
		line := 1
		if m := yamlLine.FindStringSubmatch(err.Error()); m != nil && m[1] != "" {
			line, _ = strconv.Atoi(m[1])
		}
		l.fault(line, "%s", yamlLine.ReplaceAllString(err.Error(), ""))
	default:
		l.section(doc.Content[0], "")
		if err := d.Decode(&doc); !errors.Is(err, io.EOF) {
			l.fault(doc.Line, "a second document: a file has one")
		}
	}
}

// section takes a mapping. It goes no deeper than the settings' paths.
func (l *loader) section(node *yaml.Node, path string) {
	node = resolve(node)
	if node.Tag == "!!null" {
		return
	}
	if node.Kind != yaml.MappingNode {
		l.fault(node.Line, "%s has settings of its own, as %s", cmp.Or(path, "the file"), join(path, l.below(path)[0])+": …")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		own := join(path, key.Value)
		if seen[own] {
			l.fault(key.Line, "%s is there twice", own)
			continue
		}
		seen[own] = true
		at := slices.IndexFunc(l.settings, func(s setting) bool { return s.path == own })
		switch {
		case at >= 0:
			l.set(l.settings[at], value)
		case len(l.below(own)) > 0:
			l.section(value, own)
		default:
			l.fault(key.Line, "unknown key %q%s", own, l.instead(path, key.Value))
		}
	}
}

// below lists the names that a section has.
func (l *loader) below(section string) (names []string) {
	for _, s := range l.settings {
		rest, ok := strings.CutPrefix(s.path, section+".")
		if section == "" {
			rest, ok = s.path, true
		}
		if name, _, _ := strings.Cut(rest, "."); ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// instead names what may have been meant.
func (l *loader) instead(section, name string) string {
	type guess struct {
		path     string
		distance int
	}
	var guesses []guess
	for _, s := range l.settings {
		last := s.path[strings.LastIndexByte(s.path, '.')+1:]
		d := distance(plain(name), plain(last))
		if join(section, last) != s.path {
			d++ // one of another section is less likely
		}
		if d <= 1+len(name)/4 {
			guesses = append(guesses, guess{s.path, d})
		}
	}
	slices.SortStableFunc(guesses, func(a, b guess) int { return cmp.Compare(a.distance, b.distance) })
	var names []string
	for _, g := range guesses[:min(3, len(guesses))] {
		names = append(names, g.path)
	}
	if len(names) == 0 {
		return ": " + cmp.Or(section, "the file") + " has " + strings.Join(l.below(section), ", ")
	}
	return ": did you mean " + strings.Join(names, " or ") + "?"
}

// plain makes flushInterval and flush_interval the same.
func plain(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }

// distance is Levenshtein's: how many letters are put in, left out or replaced.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := before
			if a[i] != b[j] {
				replaced++
			}
			before = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// resolve follows an alias to what it stands for.
func resolve(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

// set takes the value of one setting; on a fault the setting stays as it was.
func (l *loader) set(s setting, node *yaml.Node) {
	node = resolve(node)
	if node.Tag == "!!null" {
		l.fault(node.Line, "%s has no value: give one, or take the line out", s.path)
		return
	}
	value := reflect.New(s.value.Type()).Elem()
	before := len(l.faults)
	l.decode(s, value, node)
	if len(l.faults) == before {
		s.value.Set(value)
	}
}

func (l *loader) decode(s setting, to reflect.Value, node *yaml.Node) {
	node = resolve(node)
	switch _, own := to.Addr().Interface().(yaml.Unmarshaler); {
	case own:
		if err := node.Decode(to.Addr().Interface()); err != nil {
			l.fault(node.Line, "%s: %s", s.path, yamlLine.ReplaceAllString(err.Error(), ""))
		}
	case to.Kind() == reflect.Pointer:
		to.Set(reflect.New(to.Type().Elem()))
		l.decode(s, to.Elem(), node)
	case to.Kind() == reflect.Struct:
		element := loader{file: l.file, within: l.within + s.path + ": ", settings: settings(to)}
		element.section(node, "")
		l.faults = append(l.faults, element.faults...)
	case to.Kind() == reflect.Slice && node.Kind == yaml.SequenceNode:
		to.Set(reflect.MakeSlice(to.Type(), len(node.Content), len(node.Content)))
		for i, element := range node.Content {
			l.decode(s, to.Index(i), element)
		}
	case to.Kind() == reflect.Slice: // one may stand for a list of one
		to.Set(reflect.MakeSlice(to.Type(), 1, 1))
		l.decode(s, to.Index(0), node)
	default:
		if wanted := decodeScalar(s, to, node); wanted != "" {
			l.fault(node.Line, "%s: %q is not %s", s.path, node.Value, wanted)
		}
	}
}

// decodeScalar says what is wanted instead, "" if all is well.
func decodeScalar(s setting, to reflect.Value, node *yaml.Node) (wanted string) {
	if to.Type() == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(node.Value)
		if err != nil {
			return "a time: give a number and its unit, as 10s or 5m"
		}
		to.SetInt(int64(d))
		return ""
	}
	if s.size {
		n, ok := parseSize(node.Value)
		if !ok {
			return "a size: give bytes, or as 64MiB"
		}
		to.SetInt(n)
		return ""
	}
	if node.Decode(to.Addr().Interface()) == nil {
		return ""
	}
	switch to.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Map:
		return "a list of names with values"
	}
	return "a text"
}

// sizes are the units of bytes.
var sizes = []struct {
	unit  string
	bytes int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"B", 1}, {"", 1}}

func parseSize(text string) (n int64, ok bool) {
	for _, s := range sizes {
		number, ok := strings.CutSuffix(text, s.unit)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		return n * s.bytes, err == nil && n >= 0 && n <= (1<<62)/s.bytes
	}
	return 0, false
}

// formatSize is parseSize's inverse.
func formatSize(n int64) string {
	for _, s := range slices.Backward(sizes[:3]) {
		if n > 0 && n%s.bytes == 0 {
			return strconv.FormatInt(n/s.bytes, 10) + s.unit
		}
	}
	return strconv.FormatInt(n, 10)
}

// Set replaces one setting by its path in the file, as a flag does. The value has
// the type that it has in the file.
func (c *Config) Set(path string, value any) error {
	var node yaml.Node
	if err := node.Encode(value); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	l := loader{file: path, settings: settings(reflect.ValueOf(c).Elem())}
	at := slices.IndexFunc(l.settings, func(s setting) bool { return s.path == path })
	if at < 0 {
		return fmt.Errorf("there is no setting %q", path)
	}
	l.set(l.settings[at], &node)
	c.Naming.NoPrefix = c.Naming.Prefix == ""
	return errors.Join(l.faults...)
}

// Check returns all that New would refuse in c before it listens.
func (c Config) Check() error {
	_, err := c.withDefaults()
	return err
}

// Setting is one setting as people read it.
type Setting struct{ Path, Value string }

// Settings lists all of them, in the order of the example file.
func (c Config) Settings() []Setting {
	var all []Setting
	for _, s := range settings(reflect.ValueOf(&c).Elem()) {
		all = append(all, Setting{s.path, s.text()})
	}
	return all
}

// text is how a file would give the value, in one line.
func (s setting) text() string {
	if s.size {
		return formatSize(s.value.Int())
	}
	v := s.value
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if v.Kind() == reflect.Slice {
		elements := make([]string, v.Len())
		for i := range elements {
			elements[i] = fmt.Sprint(v.Index(i).Interface())
		}
		return "[" + strings.Join(elements, ", ") + "]"
	}
	if v.Kind() == reflect.Pointer {
		return ""
	}
	return fmt.Sprint(v.Interface())
}

// modern is Naming.Modern, which the file has the other way round, as etsy's
// legacyNamespace.
type modern bool

func (m *modern) UnmarshalYAML(node *yaml.Node) error {
	var legacy bool
	if node.Decode(&legacy) != nil {
		return fmt.Errorf("%q is not true or false", node.Value)
	}
	*m = modern(!legacy)
	return nil
}

func (m modern) String() string { return strconv.FormatBool(!bool(m)) }

// HistogramRule has etsy's histogram option: the timers whose key contains Metric
// get a count for each bin. The first rule that fits a key is the one.
type HistogramRule struct {
	Metric string `yaml:"metric"`
	Bins   Bins   `yaml:"bins"`
}

// Bins are the upper limits of a histogram's bins, each exclusive, in order; the
// last may be +Inf, in the file "inf". None: no histogram.
type Bins []float64

// UnmarshalYAML reads numbers, and "inf" as etsy writes it.
func (b *Bins) UnmarshalYAML(node *yaml.Node) error {
	var texts []string
	if node.Decode(&texts) != nil {
		return errors.New("bins are a list of numbers, the last of which may be inf")
	}
	*b = nil
	for i, text := range texts {
		if text == ".inf" { // YAML's own way to write it
			text = "inf"
		}
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || v != v || i > 0 && v <= (*b)[i-1] {
			return fmt.Errorf("bin %q: bins are numbers, each greater than the one before; the last may be inf", text)
		}
		*b = append(*b, v)
	}
	return nil
}

// Beacons say where browsers' beacons are taken, by the program that holds the
// Relay.
type Beacons struct {
	Address string   `yaml:"address"` // "" is not at all
	Pages   []string `yaml:"pages"`   // names that pages may have, beside those of the routes; others count as "other"
	Routes  []string `yaml:"routes"`  // which page is at a path: "/addon/:addon/=addon"
	Origins []string `yaml:"origins"` // other sites whose pages may send
	Proxies []string `yaml:"proxies"` // networks of those that hand beacons on: their X-Forwarded-For is believed, and their CountryHeader

	CountryHeader   string   `yaml:"country_header"`   // where they say a sender's country; "" is nowhere
	Countries       []string `yaml:"countries"`        // that are told apart
	Rate            int      `yaml:"rate"`             // beacons a second that are taken; 0 is 5,000
	LabelSets       int      `yaml:"label_sets"`       // of all histograms together, and of all counters; 0 is 2,000
	Keys            []string `yaml:"keys"`             // sets of keys that other servers have for beacons in Graphite
	BoomcatchPrefix string   `yaml:"boomcatch_prefix"` // of boomcatch's keys
	Timings         []string `yaml:"timings"`          // names of what pages' scripts may time; likewise
}
