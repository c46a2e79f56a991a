package relay

import (
	"fmt"
	"maps"
	"regexp"
	"strings"
	"testing"
)

// Why the relay reads some lines otherwise.
const (
	unknownType      = "a type that is not known is no counter: etsy's counts it as one"
	dogstatsdType    = "histograms and distributions are DogStatsD's; etsy's takes them for counters"
	blanks           = "blanks stand nowhere inside of a sample"
	notDecimal       = "numbers are decimal"
	notFinite        = "numbers are finite, and so are their squares: Graphite can't add up an infinity"
	badRate          = "a sample rate lies in (0, 1]; etsy's makes an infinity or less than came of others"
	packedValues     = "values may be packed, as DogStatsD's; etsy's takes the last and counts bad lines"
	badTag           = "a tag has a name and a value: Graphite refuses what etsy's makes of others"
	fieldsBehindTags = "behind tags come fields, as DogStatsD's; etsy's takes them for a part of the last tag"
	tagInName        = "tags in a name are InfluxDB's, Librato's and SignalFX's; etsy's makes them a part of it"
	dogstatsdField   = "container, timestamp and external data are DogStatsD's; to etsy's the line is bad"
)

// disputed are lines that statsd servers read differently. NAME stands for a name
// of the line's own. why is empty where the relay does as etsy's statsd. A rate of @+1 or
// "@ 1" is not among them: etsy's ends at it.
var disputed = []struct{ line, why string }{
	{"NAME:1|c", ""},
	{"NAME:1|C", unknownType},
	{"NAME:1|", unknownType},
	{"NAME:1||", ""},
	{"NAME:1|x", unknownType},
	{"NAME:1|m", unknownType},
	{"NAME:1|h", dogstatsdType},
	{"NAME:1|d", dogstatsdType},
	{"NAME:1|kv", unknownType},
	{"NAME:1|counter", unknownType},
	{"NAME:1| c", blanks},
	{"NAME:1|c ", ""},
	{"NAME:1|c\r", ""},
	{"NAME:-5|ms ", "a negative time is refused, whatever stands behind its type"},
	{"NAME:5| ms", blanks},
	{"NAME: 5|ms", blanks},
	{"NAME:5 |c", blanks},
	{"NAME :5|c", ""},
	{" NAME:5|c", ""},
	{"NAME", ""},
	{"NAME:", ""},
	{"NAME:|c", ""},
	{"NAME:|g", ""},
	{"NAME:|ms", ""},
	{"NAME:|s", "a set's member can't be empty; etsy's counts it as \"0\""},
	{"NAME:1", ""},
	{"NAME::1|c", ""},
	{"NAME|c", ""},
	{"NAME:|1|c", ""},
	{":1|c", "a series must have a name"},
	{"NAME:0x10|c", notDecimal},
	{"NAME:0b11|c", notDecimal},
	{"NAME:1e3|c", ""},
	{"NAME:1E-3|ms", ""},
	{"NAME:1_000|c", ""},
	{"NAME:1,5|c", ""},
	{"NAME:.5|c", ""},
	{"NAME:5.|c", ""},
	{"NAME:.|c", ""},
	{"NAME:1.2.3|c", ""},
	{"NAME:+1|c", ""},
	{"NAME:++1|c", ""},
	{"NAME:-1|c", ""},
	{"NAME:--1|c", ""},
	{"NAME:-0|c", ""},
	{"NAME:00012|c", ""},
	{"NAME:123456789012345678901234567890|c", ""},
	{"NAME:0.1234567890123456789|ms", ""},
	{"NAME:1e300|ms", notFinite},
	{"NAME:1e400|c", notFinite},
	{"NAME:1e-400|c", ""},
	{"NAME:NaN|g", ""},
	{"NAME:nan|c", ""},
	{"NAME:inf|ms", ""},
	{"NAME:Infinity|c", notFinite},
	{"NAME:-Infinity|g", notFinite},
	{"NAME:Infinity|ms", notFinite},
	{"NAME:-5|ms", ""},
	{"NAME:-0|ms", ""},
	{"NAME:0|ms", ""},
	{"NAME:1|c|@0", badRate},
	{"NAME:1|c|@0.0", badRate},
	{"NAME:1|c|@1", ""},
	{"NAME:1|c|@1.5", badRate},
	{"NAME:1|c|@10", badRate},
	{"NAME:1|c|@-0.5", ""},
	{"NAME:1|c|@1e-1", "a rate is a number; etsy's reads it up to the e, as 1"},
	{"NAME:1|c|@0x1", badRate},
	{"NAME:1|c|@.5", ""},
	{"NAME:1|c|@", ""},
	{"NAME:1|c|", ""},
	{"NAME:1|c|0.5", ""},
	{"NAME:1|c|@0.5|@0.1", "of two rates the last holds, of etsy's the first"},
	{"NAME:1|c||@0.5", ""},
	{"NAME:1|c|@0.5|x", "a field that is not known makes a line bad; etsy's looks at three fields only"},
	{"NAME:1|c|x", ""},
	{"NAME:5|g|@0.1", ""},
	{"NAME:a|s|@0.1", ""},
	{"NAME:5|ms|@0.00001", ""},
	{"NAME:1:2:3|c", packedValues},
	{"NAME:1:2:3|ms", packedValues},
	{"NAME:1|c:2|c", ""},
	{"NAME:1|c:200|ms", ""},
	{"NAME:1|c:x|c:2|c", ""},
	{"NAME:1|c|@0.5:2|c", ""},
	{"NAME:a:b|s", ""},
	{"NAME:a b|s", ""},
	{"NAME:\u00e9|s", ""},
	{"NAME:+5|g", ""},
	{"NAME:-5|g", ""},
	{"NAME:- 5|g", ""},
	{"NAME:1|c|#a:b", ""},
	{"NAME:1|c|#b:2,a:1", ""},
	{"NAME:1|c|#a", badTag},
	{"NAME:1|c|#", ""},
	{"NAME:1|c|#a:b,a:c", "a tag has one value; Graphite refuses the series that etsy's makes"},
	{"NAME:1|c|#a:,b:c", badTag},
	{"NAME:1|c|#:b", badTag},
	{"NAME:1|c|#a:b:c", ""},
	{"NAME:1|c|#a=b", badTag},
	{"NAME:1|c|#u:http://x/y", ""},
	{"NAME:1|c|#a:b;c", ""},
	{"NAME:1|c|@0.5|#a:b", ""},
	{"NAME:1|c|#a:b|@0.5", fieldsBehindTags},
	{"NAME:1|c|#a:b|c:abc", fieldsBehindTags},
	{"NAME:1|c|#a:b|T1700000000", fieldsBehindTags},
	{"NAME:1|c|c:abc", dogstatsdField},
	{"NAME:1|c|T1700000000", dogstatsdField},
	{"NAME:1|c|e:it-false", dogstatsdField},
	{"NAME,a=b:1|c", tagInName},
	{"NAME;a=b:1|c", ""},
	{"NAME#a=b:1|c", tagInName},
	{"NAME[a=b]:1|c", tagInName},
	{"NAME.a/b c:1|c", ""},
	{"NAME.a  b:1|c", ""},
	{"NAME.a\tb:1|c", ""},
	{"NAME.\u00e9\u00e8:1|c", ""},
	{"NAME.\xff:1|c", ""},
	{"NAME.%s$@!:1|c", ""},
	{"NAME..b.:1|c", ""},
	{"NAME=b:1|c", ""},
	{"_e{5,4}:NAME|text", ""},
	{"_sc|NAME|0", ""},
}

// marker is a disputed line's NAME.
var marker = regexp.MustCompile(`q\d\d\dq`)

// TestEveryDifferenceFromEtsyIsListed sends each disputed line to both.
func TestEveryDifferenceFromEtsyIsListed(t *testing.T) {
	t.Parallel()
	var datagrams [][]byte
	for i, d := range disputed {
		datagrams = append(datagrams, []byte(strings.ReplaceAll(d.line, "NAME", fmt.Sprintf("q%03dq", i))))
	}
	rounds := [][][]byte{datagrams}
	theirs, interval := etsy(t, options{}, rounds)
	want := byMarker(points(t, theirs[0]))
	got := byMarker(points(t, relayed(t, Config{Flush: interval}, rounds)[0]))
	for i, d := range disputed {
		name := ""
		if strings.Contains(d.line, "NAME") {
			name = fmt.Sprintf("q%03dq", i)
		}
		switch same := maps.Equal(got[name], want[name]); {
		case !same && d.why == "":
			t.Errorf("%q: %v, etsy's is %v: a difference that is not listed", d.line, got[name], want[name])
		case same && d.why != "":
			t.Errorf("%q is read as etsy's does, %v, but listed as a difference: %s", d.line, got[name], d.why)
		}
	}
}

// byMarker groups points by the line that they come from, and takes the marker
// out; those about the server itself are left out.
func byMarker(all map[string]float64) map[string]map[string]float64 {
	groups := map[string]map[string]float64{}
	for path, v := range all {
		if strings.Contains(path, "statsd.") {
			continue
		}
		m := marker.FindString(path)
		if groups[m] == nil {
			groups[m] = map[string]float64{}
		}
		groups[m][marker.ReplaceAllLiteralString(path, "NAME")] = v
	}
	return groups
}
