package gmetric_test

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"strconv"
	"testing"

	"addons/statsd-relay/gmetric"
)

// recorded is what Debian's gmetric 3.7.2 sent:
//
//	gmetric -c one.conf -n stats.a.b -v 12.5 -t double -u /s -s both -x 10 -d 600 -g a -T 'A b'
//
// and so on; one.conf has a udp_send_channel to a socket that wrote this down.
var recorded = []struct {
	metric gmetric.Metric
	value  float64
	meta   string
	data   string
}{
	{
		gmetric.Metric{Host: "vm", Name: "stats.a.b", Type: gmetric.Double, Units: "/s", TMax: 10, DMax: 600, Group: "a", Title: "A b"}, 12.5,
		"0000008000000002766d00000000000973746174732e612e620000000000000000000006646f75626c6500000000000973746174732e612e62000000000000022f730000000000030000000a00000258000000020000000547524f55500000000000000161000000000000055449544c450000000000000341206200",
		"0000008500000002766d00000000000973746174732e612e620000000000000000000002257300000000000431322e35",
	},
	{
		gmetric.Metric{Host: "vm", Name: "users", Type: gmetric.Uint32, TMax: 10, DMax: 600}, 7,
		"0000008000000002766d0000000000057573657273000000000000000000000675696e743332000000000005757365727300000000000000000000030000000a0000025800000000",
		"0000008500000002766d00000000000575736572730000000000000000000002257300000000000137000000",
	},
	{
		gmetric.Metric{Host: "10.0.0.9:web9", Spoof: true, Name: "stats.a.b", Type: gmetric.Double, Units: "ms", TMax: 10, DMax: 600, Group: "a"}, -.25,
		"000000800000000d31302e302e302e393a776562390000000000000973746174732e612e620000000000000100000006646f75626c6500000000000973746174732e612e62000000000000026d730000000000030000000a00000258000000020000000a53504f4f465f484f535400000000000d31302e302e302e393a776562390000000000000547524f55500000000000000161000000",
		"000000850000000d31302e302e302e393a776562390000000000000973746174732e612e62000000000000010000000225730000000000052d302e3235000000",
	},
}

func TestMessagesAreThoseOfGmetric(t *testing.T) {
	for _, c := range recorded {
		if got := hex.EncodeToString(c.metric.AppendMeta(nil)); got != c.meta {
			t.Errorf("the description of %+v is\n%s, gmetric sent\n%s", c.metric, got, c.meta)
		}
		if got := hex.EncodeToString(c.metric.AppendValue(nil, c.value)); got != c.data {
			t.Errorf("the value of %+v is\n%s, gmetric sent\n%s", c.metric, got, c.data)
		}
	}
}

func TestAWholeNumberStaysWithinItsType(t *testing.T) {
	m := gmetric.Metric{Name: "n", Type: gmetric.Uint32}
	for value, want := range map[float64]string{-1: "0", 0: "0", 41.9: "41", 1 << 31: "2147483648", 1e100: "4294967295"} {
		r := reader{t, m.AppendValue(nil, value)}
		r.skip(4 + 4 + 8 + 4 + 8)
		if got := r.text(); got != want {
			t.Errorf("%v is sent as %s, want %s", value, got, want)
		}
	}
}

// reader reads XDR, and fails the test where there is none.
type reader struct {
	t *testing.T
	b []byte
}

func (r *reader) skip(n int) []byte {
	r.t.Helper()
	if n > len(r.b) {
		r.t.Fatalf("%d bytes are left, %d are to be read", len(r.b), n)
	}
	head := r.b[:n]
	r.b = r.b[n:]
	return head
}

func (r *reader) number() uint32 { return binary.BigEndian.Uint32(r.skip(4)) }

func (r *reader) text() string {
	n := int(r.number())
	s := string(r.skip(n))
	for _, zero := range r.skip((4 - n%4) % 4) {
		if zero != 0 {
			r.t.Fatal("the padding is not zero")
		}
	}
	return s
}

func FuzzMessages(f *testing.F) {
	f.Add("vm", "stats.a.b", "/s", "a", "", false, 12.5)
	f.Add("10.0.0.9:web9", "", "", "", "A b", true, -1e300)
	f.Fuzz(func(t *testing.T, host, name, units, group, title string, spoof bool, value float64) {
		m := gmetric.Metric{Host: host, Spoof: spoof, Name: name, Type: gmetric.Double, Units: units, TMax: 1, DMax: 2, Group: group, Title: title}
		id := func(r *reader, format uint32) {
			if f, h, n, s := r.number(), r.text(), r.text(), r.number(); f != format || h != host || n != name || (s == 1) != spoof {
				t.Fatalf("%d %q %q %d", f, h, n, s)
			}
		}
		r := &reader{t, m.AppendMeta(nil)}
		id(r, 128)
		if typ, n, u := r.text(), r.text(), r.text(); typ != "double" || n != name || u != units {
			t.Fatalf("%q %q %q", typ, n, u)
		}
		if slope, tmax, dmax := r.number(), r.number(), r.number(); slope != 3 || tmax != 1 || dmax != 2 {
			t.Fatalf("%d %d %d", slope, tmax, dmax)
		}
		extra := map[string]string{}
		for range r.number() {
			k := r.text()
			extra[k] = r.text()
		}
		if extra["GROUP"] != group || extra["TITLE"] != title || spoof && extra["SPOOF_HOST"] != host || len(r.b) > 0 {
			t.Fatalf("%q, and %d bytes more", extra, len(r.b))
		}
		r = &reader{t, m.AppendValue(nil, value)}
		id(r, 133)
		format, text := r.text(), r.text()
		if got, err := strconv.ParseFloat(text, 64); format != "%s" || err != nil || got != value && !math.IsNaN(value) || len(r.b) > 0 {
			t.Fatalf("%q %q, %v, and %d bytes more", format, text, err, len(r.b))
		}
	})
}
