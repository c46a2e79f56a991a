package carbon

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"addons/server/enginetest"
)

var update = flag.Bool("update", false, "write the golden file anew, with the real carbon's answers")

// ringCase is a ring and where carbon's own sends paths.
type ringCase struct {
	Hash    string
	Nodes   []string // as in DESTINATIONS
	Answers map[string]string
}

// rings are those that both are asked.
func rings() []ringCase {
	sets := [][]string{
		{"graphite:2003"},
		{"10.0.0.1:2003", "10.0.0.2:2003", "10.0.0.3:2003"},
		{"127.0.0.1:2003:a", "127.0.0.1:2103:b", "127.0.0.1:2203:c"},
		{"one.example.org:2004", "two.example.org:2004:b", "[::1]:2003", "[2001:db8::7]:2003:x-1"},
		{"c:1", "b:1", "a:1"},
	}
	var many []string
	for i := range 24 { // 2,400 of 65,536 places: some are taken twice
		many = append(many, fmt.Sprintf("carbon%d.example.org:2003:%c", i/3, 'a'+i%3))
	}
	var all []ringCase
	for _, nodes := range append(sets, many) {
		for _, hash := range []string{carbonHash, fnvHash} {
			all = append(all, ringCase{Hash: hash, Nodes: nodes})
		}
	}
	return all
}

// paths are keys of all kinds, tagged ones among them.
func paths(n int) []string {
	rng := rand.New(rand.NewPCG(1, 2))
	all := []string{"", ".", "a", "stats.timers.x.upper_90", "ü.b", "a;b=c", "a;z=1;b=2", "a;b=1;b=2", "a;name=x;b=1", "~a;b=c", "~;b=c", ";b=c", "a;b", "a;=c", "a;b=", "a;b=~c", "a;a=1;a.b=2", "a;b!=c", "a;b^=c", "a;b=c=d", "a; b=c", "a;b=c;"}
	for len(all) < n {
		key := fmt.Sprintf("stats.site%d.route.r%x.%d", rng.IntN(20), rng.Uint32(), rng.IntN(1000))
		if rng.IntN(4) == 0 {
			key += fmt.Sprintf(";host=h%d;code=%d;a-b=x", rng.IntN(50), rng.IntN(600))
		}
		all = append(all, key)
	}
	return all
}

// askCarbon has the Python carbon of Debian answer for every ring and path, the
// tags in its own order.
const askCarbon = `
import json, sys
sys.path.insert(0, "/usr/lib/python3/dist-packages")
from carbon.hashing import ConsistentHashRing
from carbon.util import TaggedSeries, parseDestination
asked = json.load(sys.stdin)
for ring in asked["rings"]:
    names, nodes = {}, []
    for d in ring["Nodes"]:
        server, port, instance = parseDestination(d)
        nodes.append((server, instance))
        names[(server, instance)] = d
    r = ConsistentHashRing(nodes, hash_type=ring["Hash"])
    ring["Answers"] = {}
    for path in asked["paths"]:
        key = path
        if ";" in path:
            try:
                key = TaggedSeries.parse(path).path
            except Exception:
                pass
        ring["Answers"][path] = names[r.get_node(key)]
json.dump(asked["rings"], sys.stdout)
`

func realRings(t *testing.T, keys []string) (answers []ringCase) {
	t.Helper()
	question, err := json.Marshal(map[string]any{"rings": rings(), "paths": keys})
	if err != nil {
		t.Fatal(err)
	}
	// Debian's packages belong to Debian's Python, whatever else is first in PATH.
	cmd := exec.Command("/usr/bin/python3", "-c", askCarbon)
	cmd.Stdin, cmd.Stderr = strings.NewReader(string(question)), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &answers); err != nil {
		t.Fatal(err)
	}
	return answers
}

// compareRings has ours answer what carbon's has.
func compareRings(t *testing.T, cases []ringCase) {
	t.Helper()
	compared := 0
	for _, c := range cases {
		var nodes []node
		for _, address := range c.Nodes {
			n, err := parseNode(address)
			if err != nil {
				t.Fatal(err)
			}
			nodes = append(nodes, n)
		}
		r := newRing(nodes, c.Hash)
		for path, want := range c.Answers {
			compared++
			if got := c.Nodes[r.node(path)]; got != want {
				t.Errorf("%s over %q: %q goes to %s, carbon's goes to %s", c.Hash, c.Nodes, path, got, want)
			}
		}
	}
	if compared < 1000 {
		t.Errorf("only %d answers were compared", compared)
	}
}

func TestThePathsGoWhereCarbonRelaySendsThem(t *testing.T) {
	t.Parallel()
	const golden = "testdata/rings.json"
	if *update {
		b, err := json.MarshalIndent(realRings(t, paths(120)), "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	var cases []ringCase
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	compareRings(t, cases)
}

func TestThePathsGoWhereTheRealCarbonRelaySendsThem(t *testing.T) {
	t.Parallel()
	enginetest.URL(t, "CARBON") // where it is started, its Python is installed
	compareRings(t, realRings(t, paths(5000)))
}

func TestAddressesAreReadAsCarbonReadsThem(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]node{
		"a:2003":        {"a:2003", "a", ""},
		"a:2003:b":      {"a:2003", "a", "b"},
		"[::1]:2003":    {"[::1]:2003", "::1", ""},
		"[::1]:2003:x":  {"[::1]:2003", "::1", "x"},
		"10.0.0.1:1:b9": {"10.0.0.1:1", "10.0.0.1", "b9"},
	} {
		if got, err := parseNode(s); err != nil || got != want {
			t.Errorf("%q is %+v, %v, want %+v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "a", ":2003", "a:", "a:x", "a:0", "a:70000", "a:-1", "[::1]", "a'b:1", "a:1:b c", `a:1:b\`, "é:1"} {
		if n, err := parseNode(s); err == nil {
			t.Errorf("%q is taken as %+v", s, n)
		}
	}
	if _, err := (Config{Addresses: []string{"a:1", "a:2"}}).Check(); err == nil || !strings.Contains(err.Error(), "a:2:a") {
		t.Errorf("two carbons of a host that nothing tells apart: %v", err)
	}
}

func BenchmarkSplit(b *testing.B) {
	c, _ := open(b, Config{Addresses: []string{"a:1", "b:1", "c:1"}})
	batch := Batch{Points: 10_000}
	for _, p := range paths(batch.Points) {
		batch.Lines = fmt.Appendf(batch.Lines, "%s 1 1000\n", strings.ReplaceAll(p, " ", "_"))
	}
	b.ReportAllocs()
	for b.Loop() {
		c.split(batch)
	}
}
