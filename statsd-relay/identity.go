package relay

import (
	"cmp"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
)

// A metric's id is what stands for its name and labels: a key without tags, of
// which the name is made when it is needed, or a name with labels behind it:
// name;label\xffvalue\xfflabel\xffvalue\xff. No name has a ';' in it, nor has UTF-8
// a \xff.

// label is a label's name and value.
type label struct{ name, value string }

// identify makes an id of a name and labels, which it puts in order. Of two
// labels with one name the first is kept, and those without a value are left out,
// which is the same to Prometheus.
func identify(name string, labels []label) string {
	slices.SortStableFunc(labels, func(a, b label) int { return strings.Compare(a.name, b.name) })
	var b strings.Builder
	for i, l := range labels {
		if l.value != "" && (i == 0 || l.name != labels[i-1].name) {
			b.WriteString(l.name + "\xff" + strings.ToValidUTF8(l.value, "\uFFFD") + "\xff")
		}
	}
	if b.Len() == 0 {
		return name
	}
	return mangle(name) + ";" + b.String()
}

// tagLabels makes labels of ";name=value;…".
func tagLabels(tags string) []label {
	var all []label
	for tag := range strings.SplitSeq(tags, ";") {
		if name, value, _ := strings.Cut(tag, "="); name != "" && value != "" {
			all = append(all, label{labelName(name), value})
		}
	}
	return all
}

// labelName makes a label's name. Those that Prometheus keeps for itself are set
// apart.
func labelName(name string) string {
	name = mangle(name)
	if strings.HasPrefix(name, "__") || name == "le" || name == "quantile" {
		return "tag_" + strings.TrimLeft(name, "_")
	}
	return name
}

// drawLabels renders an id's labels into pairs, whose memory it uses.
func drawLabels(pairs []*dto.LabelPair, id string) []*dto.LabelPair {
	pairs = pairs[:0]
	for _, rest := splitKey(id); len(rest) > 1; {
		rest = strings.TrimPrefix(rest, ";")
		var name, value string
		name, rest, _ = strings.Cut(rest, "\xff")
		value, rest, _ = strings.Cut(rest, "\xff")
		pairs = resize(pairs, len(pairs)+1)
		set(&pairs[len(pairs)-1].Name, name)
		set(&pairs[len(pairs)-1].Value, value)
	}
	return pairs
}

// verbatimName are the bytes that may be in a name.
var verbatimName = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
	}
	return t
}()

// mangler reads an id's name byte by byte as statsd_exporter makes it of a key
// (pkg/mapper/escape.go): all but letters, digits and '_' becomes '_', a run of
// dashes one, and one goes before a leading digit. What it makes of a name is the
// name again.
type mangler struct {
	id    string
	at    int
	begun bool
}

// next returns 0 behind the name.
func (m *mangler) next() byte {
	if !m.begun {
		m.begun = true
		if m.id != "" && m.id[0] >= '0' && m.id[0] <= '9' {
			return '_'
		}
	}
	for m.at < len(m.id) {
		c := m.id[m.at]
		if c == ';' {
			return 0
		}
		m.at++
		switch {
		case verbatimName[c]:
			return c
		case c != '-' || m.at < 2 || m.id[m.at-2] != '-':
			return '_'
		}
	}
	return 0
}

// mangle makes a Prometheus name of a key or an id.
func mangle(key string) string {
	b := make([]byte, 0, len(key)+1)
	m := mangler{id: key}
	for c := m.next(); c != 0; c = m.next() {
		b = append(b, c)
	}
	return string(b)
}

// compareNames compares the names of two ids, and returns what is behind them.
func compareNames(a, b string) (order int, restA, restB string) {
	x, y := mangler{id: a}, mangler{id: b}
	// What is the same in both is the same in both names.
	n := alike(a, b)
	if i := strings.IndexByte(a[:n], ';'); i >= 0 {
		return 0, a[i:], b[i:]
	}
	if n > 0 {
		x.at, x.begun, y.at, y.begun = n, true, n, true
	}
	for {
		c, d := x.next(), y.next()
		if c != d {
			return cmp.Compare(c, d), "", ""
		}
		if c == 0 {
			return 0, a[x.at:], b[y.at:]
		}
	}
}

// alike is how many bytes a and b begin with in common.
func alike(a, b string) (n int) {
	most := min(len(a), len(b))
	for n+8 <= most && a[n:n+8] == b[n:n+8] {
		n += 8
	}
	for n < most && a[n] == b[n] {
		n++
	}
	return n
}

// compareIDs orders metrics as the page has them.
func compareIDs(a, b string) int {
	order, restA, restB := compareNames(a, b)
	if order == 0 {
		return strings.Compare(restA, restB)
	}
	return order
}

func sameName(a, b string) bool {
	order, _, _ := compareNames(a, b)
	return order == 0
}
