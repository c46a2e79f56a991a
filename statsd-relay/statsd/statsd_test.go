package statsd_test

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"addons/statsd-relay/statsd"
)

// read writes down what a datagram holds, a line for each sample or bad piece.
func read(datagram string) []string {
	var got []string
	var sc statsd.Scanner
	for sc.Reset([]byte(datagram)); sc.Scan(); {
		if sc.Bad != statsd.OK {
			got = append(got, "bad "+sc.Bad.String())
			continue
		}
		key, why := sc.AppendKey(nil, statsd.AllStyles)
		if why != statsd.OK {
			got = append(got, "bad "+why.String())
			continue
		}
		got = append(got, describe(&sc.Sample, key))
	}
	return got
}

func describe(s *statsd.Sample, key []byte) string {
	value := strconv.FormatFloat(s.Value, 'g', -1, 64)
	if s.Type == statsd.Set {
		value = strconv.Quote(string(s.Member))
	}
	if s.Change {
		value = "by " + value
	}
	d := fmt.Sprintf("%s %s %s", key, s.Type, value)
	if s.Rate != 1 {
		d += fmt.Sprintf(" @%g", s.Rate)
	}
	if s.Time != 0 {
		d += fmt.Sprintf(" at %d", s.Time)
	}
	return d
}

// lines are what other implementations disagree on, with the reading of ours.
var lines = []struct {
	datagram string
	want     []string
}{
	{"a:1|c", []string{"a counter 1"}},
	{"a:-1.5|c|@0.1", []string{"a counter -1.5 @0.1"}},
	{"a:320|ms|@0.5", []string{"a timer 320 @0.5"}},
	{"a:1|h\na:2|d", []string{"a histogram 1", "a histogram 2"}},
	{"a:12|g\na:+3|g\na:-4|g", []string{"a gauge 12", "a gauge by 3", "a gauge by -4"}},
	{"a:bob|s", []string{`a set "bob"`}},
	{"a:1|c\r\n\n\nb:2|c  \n", []string{"a counter 1", "b counter 2"}},

	// Packed, in both ways.
	{"a:1|c:200|ms", []string{"a counter 1", "a timer 200"}},
	{"a:1|c|@0.1:200|ms", []string{"a counter 1 @0.1", "a timer 200"}},
	{"a:1:2:3|ms|@0.5", []string{"a timer 1 @0.5", "a timer 2 @0.5", "a timer 3 @0.5"}},
	{"a:1:x:3|c", []string{"a counter 1", "bad bad_value", "a counter 3"}},
	{"a:1::3|c", []string{"a counter 1", "bad bad_value", "a counter 3"}},
	{"a:1|x:2|c", []string{"bad bad_type", "a counter 2"}},
	{"a:1|c:", []string{"a counter 1"}},
	{"a:1|c:2", []string{"a counter 1", "bad no_type"}},
	{"a:fe80::1|s", []string{`a set "fe80::1"`}},
	{"a:x|s:y|s", []string{`a set "x"`, `a set "y"`}},

	// DogStatsD.
	{"a:1|c|#env:prod,host:web-1", []string{"a;env=prod;host=web-1 counter 1"}},
	{"a:1|c|#host:web-1,env:prod", []string{"a;env=prod;host=web-1 counter 1"}},
	{"a:1|c|#flag,env:prod,env:dev,empty:,:x", []string{"a;env=prod counter 1"}},
	{"a:1|c|#url:http://x/y;z=1", []string{"a;url=http--x-y_z_1 counter 1"}},
	{"a:1|c|@0.5|#k:v|c:ci-83c0|T1656581400", []string{"a;k=v counter 1 @0.5 at 1656581400"}},
	{"a:1|c|#k:v|@0.5", []string{"a;k=v counter 1 @0.5"}},
	{"a:1|c|#k:v|@5", []string{"bad bad_rate"}},
	{"a:1|c|#k:v|new:field", []string{"a;k=v counter 1"}},
	{"a:1|c|c:ci-83c0", []string{"a counter 1"}},
	{"a:1|c|T1656581400", []string{"a counter 1 at 1656581400"}},
	{"a:1:2|g|#k:v|T1656581400", []string{"a;k=v gauge 1 at 1656581400", "a;k=v gauge 2 at 1656581400"}},
	{"a:1|c|T", []string{"bad bad_time"}},
	{"a:1|c|T-5", []string{"bad bad_time"}},
	{"a:1|c|T1.5", []string{"bad bad_time"}},
	{"a:1|c|#k:v|T99999999999", []string{"bad bad_time"}},
	{"a:1:2|g|e:it-false,cn-x|card:low", []string{"a gauge 1", "a gauge 2"}},
	{"a:1|c:200|ms|#k:v", []string{"a;k=v counter 1", "a;k=v timer 200"}},
	{"a:x#y|s|#k:v", []string{`a;k=v set "x#y"`}},
	{"a:1|c|#", []string{"a counter 1"}},
	{"a:1|c|#" + strings.Repeat("k:v,", 300), []string{"bad long_name"}},
	{"_e{5,4}:title|text", []string{"bad event"}},
	{"_sc|db|0", []string{"bad service_check"}},
	{"_private:1|c", []string{"_private counter 1"}},

	// Tags in names: InfluxDB's, Librato's, SignalFX's.
	{"a.b,host=web-1,env=prod:1|c", []string{"a.b;env=prod;host=web-1 counter 1"}},
	{"a.b#host=web-1,env=prod:1|c", []string{"a.b;env=prod;host=web-1 counter 1"}},
	{"a.b[host=web-1,env=prod]:1|c", []string{"a.b;env=prod;host=web-1 counter 1"}},
	{"a[host=web-1].b:1|c", []string{"a.b;host=web-1 counter 1"}},
	{"a[b:1|c", []string{"ab counter 1"}},
	{"a,:1|c", []string{"a counter 1"}},
	{",k=v:1|c", []string{"bad no_name"}},
	{"[k=v]:1|c", []string{"bad no_name"}},
	{"a,flag,=x,k=,env=prod,env=dev:1|c", []string{"a;env=prod counter 1"}},
	{"a,k=v:1|c|#k:w,z:y", []string{"a;k=w;z=y counter 1"}},
	{"a," + strings.Repeat("k=v,", 300) + ":1|c", []string{"bad long_name"}},
	{"a," + strings.Repeat("k=v,", 500) + ":1|c", []string{"bad long_name"}},

	// Names, cleaned as etsy's are.
	{"a b/c:1|c", []string{"a_b-c counter 1"}},
	{"a  \tb:1|c", []string{"a_b counter 1"}},
	{"a(ü)!b:1|c", []string{"ab counter 1"}},
	{"a;k=v:1|c", []string{"a;k=v counter 1"}},
	{":1|c", []string{"bad no_name"}},
	{"ü:1|c", []string{"bad no_name"}},
	{";k=v:1|c", []string{"bad no_name"}},
	{strings.Repeat("a", 513) + ":1|c", []string{"bad long_name"}},

	// Not numbers.
	{"a:NaN|g", []string{"bad out_of_range"}},
	{"a:-inf|ms", []string{"bad out_of_range"}},
	{"a:Infinity|c", []string{"bad out_of_range"}},
	{"a:1e999|c", []string{"bad out_of_range"}},
	{"a:1e101|c", []string{"bad out_of_range"}},
	{"a:0x10|c", []string{"bad bad_value"}},
	{"a:0x1p4|c", []string{"bad bad_value"}},
	{"a:1_000|c", []string{"bad bad_value"}},
	{"a:1,5|c", []string{"bad bad_value"}},
	{"a:1.2.3|c", []string{"bad bad_value"}},
	{"a:--1|c", []string{"bad bad_value"}},
	{"a:1e|c", []string{"bad bad_value"}},
	{"a:.|c", []string{"bad bad_value"}},
	{"a:-|c", []string{"bad bad_value"}},
	{"a:|c", []string{"bad bad_value"}},
	{"a:|s", []string{"bad bad_value"}},
	{"a: 1|c", []string{"bad bad_value"}},
	{"a:-1|ms", []string{"bad negative"}},
	{"a:-1|h", []string{"a histogram -1"}},
	{"a:-0|ms", []string{"a timer -0"}},
	{"a:-.5|c\na:-5|g\na:-|c\na:.|ms", []string{"a counter -0.5", "a gauge by -5", "bad bad_value", "bad bad_value"}},

	// Numbers.
	{"a:.5|c\na:5.|c\na:1e3|c\na:1.5E-3|c", []string{"a counter 0.5", "a counter 5", "a counter 1000", "a counter 0.0015"}},
	{"a:0.1234567890123456789|g", []string{"a gauge 0.12345678901234568"}},
	{"a:18446744073709551616|g", []string{"a gauge 1.8446744073709552e+19"}},

	// Rates, types, and what is no line at all.
	{"a:1|c|@0", []string{"bad bad_rate"}},
	{"a:1|c|@-0.2", []string{"bad bad_rate"}},
	{"a:1|c|@1.5", []string{"bad bad_rate"}},
	{"a:1|c|@nan", []string{"bad bad_rate"}},
	{"a:1|c|@", []string{"bad bad_rate"}},
	{"a:1|c|@1e-300", []string{"bad bad_rate"}},
	{"a:1|c|0.5", []string{"bad bad_field"}},
	{"a:1|c||@0.5", []string{"bad bad_field"}},
	{"a:1|kv", []string{"bad bad_type"}},
	{"a:1|", []string{"bad bad_type"}},
	{"a:1|C", []string{"bad bad_type"}},
	{"a:1", []string{"bad no_type"}},
	{"a", []string{"bad no_value"}},
	{"a|c", []string{"bad no_value"}},
	{"", nil},
	{"\n\r\n \n", nil},
	{"\x00\xff:1|c", []string{"bad no_name"}},
}

func TestScannerReadsWhatImplementationsDisagreeOn(t *testing.T) {
	t.Parallel()
	for _, l := range lines {
		if diff := cmp.Diff(l.want, read(l.datagram)); diff != "" {
			t.Errorf("%q: want -, got +\n%s", l.datagram, diff)
		}
	}
}

func TestABadLineNeverHarmsItsNeighbours(t *testing.T) {
	t.Parallel()
	for _, l := range lines {
		want := append(append([]string{"before counter 1"}, l.want...), "after counter 1")
		if diff := cmp.Diff(want, read("before:1|c\n"+l.datagram+"\nafter:1|c")); diff != "" {
			t.Errorf("%q: want -, got +\n%s", l.datagram, diff)
		}
	}
}

func TestTheLineAtHandIsTheOneThatWasSent(t *testing.T) {
	t.Parallel()
	var sc statsd.Scanner
	var got []string
	for sc.Reset([]byte("good:1|c\n sp ace:x|c\r\nlast:1|c")); sc.Scan(); {
		got = append(got, string(sc.Line))
	}
	if diff := cmp.Diff([]string{"good:1|c", " sp ace:x|c", "last:1|c"}, got); diff != "" || sc.Lines != 3 {
		t.Errorf("%d lines, want 3; %s", sc.Lines, diff)
	}
}

func TestReadingAValidLineAllocatesNothing(t *testing.T) {
	datagram := []byte(packed())
	var sc statsd.Scanner
	key := make([]byte, 0, 256)
	allocs := testing.AllocsPerRun(100, func() {
		for sc.Reset(datagram); sc.Scan(); {
			key, _ = sc.AppendKey(key[:0], statsd.AllStyles)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations for a datagram, want none", allocs)
	}
}

// packed is a datagram as a busy site sends it.
func packed() string {
	var b strings.Builder
	for i := range 38 {
		switch i % 10 {
		case 0:
			fmt.Fprintf(&b, "addons.pool.k%05d.in_use:%d|g\n", i, i)
		case 1, 2, 3, 4:
			fmt.Fprintf(&b, "addons.response.k%05d.count:1|c\n", i)
		case 5:
			fmt.Fprintf(&b, "addons.view/x.k%05d:1|c|@0.1|#route:detail,method:GET\n", i)
		default:
			fmt.Fprintf(&b, "addons.view.k%05d.api.request_time:123.45|ms\n", i)
		}
	}
	return b.String()
}

func FuzzParse(f *testing.F) {
	for _, l := range lines {
		f.Add([]byte(l.datagram), []byte("a:1|c"))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		both := bytes.Join([][]byte{a, b}, []byte("\n"))
		sent := bytes.Clone(both)
		got := read(string(both))
		if want := append(read(string(a)), read(string(b))...); !cmp.Equal(want, got) {
			t.Fatalf("%q and %q read %q apart, %q together", a, b, want, got)
		}
		var sc statsd.Scanner
		for sc.Reset(both); sc.Scan(); {
			if sc.Bad == statsd.OK {
				check(t, &sc.Sample)
			}
		}
		if !bytes.Equal(sent, both) {
			t.Fatalf("reading changed %q to %q", sent, both)
		}
	})
}

// check is what aggregation and sinks rely on.
func check(t *testing.T, s *statsd.Sample) {
	raw, why := s.AppendKey(nil, statsd.AllStyles)
	if why != statsd.OK {
		return
	}
	key := string(raw)
	switch {
	case len(key) == 0 || len(key) > statsd.MaxName+4*statsd.MaxTags:
		t.Fatalf("key of %d bytes", len(key))
	case strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.;=") != "":
		t.Fatalf("key %q is not clean", key)
	case math.IsNaN(s.Value) || math.Abs(s.Value) > statsd.Max:
		t.Fatalf("value %v", s.Value)
	case !(s.Rate > 0 && s.Rate <= 1):
		t.Fatalf("rate %v", s.Rate)
	case s.Type == statsd.Timer && s.Value < 0:
		t.Fatalf("time %v", s.Value)
	}
}

func FuzzNumber(f *testing.F) {
	for _, v := range []string{"1", "-0", "123.45", "1e-7", "999999999999999", "0.000000000000001", "9007199254740993"} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.ContainsAny(text, ":|\n") || strings.TrimSpace(text) != text {
			return
		}
		var sc statsd.Scanner
		sc.Reset([]byte("a:" + text + "|h"))
		if !sc.Scan() || sc.Bad != statsd.OK {
			return
		}
		if want, err := strconv.ParseFloat(text, 64); err != nil || want != sc.Value {
			t.Fatalf("%q is %v, strconv says %v, %v", text, sc.Value, want, err)
		}
	})
}

func BenchmarkScan(b *testing.B) {
	datagram := []byte(packed())
	var sc statsd.Scanner
	b.ReportAllocs()
	b.SetBytes(int64(len(datagram)))
	for b.Loop() {
		for sc.Reset(datagram); sc.Scan(); {
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/38, "ns/line")
}
