package carbon

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"addons/server/enginetest"
)

// unpickle has Python read messages as carbon's receiver does, and print points as
// lines, with the values' bits.
const unpickle = `
import io, pickle, struct, sys
class Safe(pickle.Unpickler):
    def find_class(self, module, name):
        raise pickle.UnpicklingError("global")
data = sys.stdin.buffer.read()
while data:
    n = struct.unpack("!I", data[:4])[0]
    assert n < 2**20 and len(data) >= n + 4, n
    for metric, (t, value) in Safe(io.BytesIO(data[4:4+n]), encoding="utf-8").load():
        print(metric.encode("utf-8").hex(), struct.pack("!d", float(value)).hex(), int(t))
    data = data[4+n:]
`

func TestPythonReadsThePickles(t *testing.T) {
	t.Parallel()
	enginetest.URL(t, "CARBON") // where it is started, Python is installed
	rng := rand.New(rand.NewPCG(3, 4))
	var lines []byte
	var want strings.Builder
	add := func(path string, value float64, at int64) {
		lines = fmt.Appendf(lines, "%s %v %d\n", path, value, at)
		fmt.Fprintf(&want, "%x %016x %d\n", path, math.Float64bits(value), at)
	}
	for _, v := range []float64{0, 1, -1, .1, 1e300, -1e-300, math.MaxFloat64, 5e-324, 1 << 53} {
		for _, at := range []int64{0, 1, 255, 65536, 1<<31 - 1, 1 << 31, 1<<32 + 7, -1} {
			add("a.b;tag=ü", v, at)
		}
	}
	for i := range 50_000 {
		add(fmt.Sprintf("stats.%d.%s", i, strings.Repeat("x", rng.IntN(200))), rng.NormFloat64(), 1_700_000_000)
	}
	cmd := exec.Command("/usr/bin/python3", "-c", unpickle)
	cmd.Stdin = bytes.NewReader(pickled(lines))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%.1000s", err, out)
	}
	if string(out) != want.String() {
		t.Errorf("Python reads %d bytes of points, want %d, or others", len(out), want.Len())
	}
}

// point is what pickled's messages hold.
type point struct {
	path  string
	value float64
	at    int64
}

// readPickles is a reader of just what pickled writes.
func readPickles(b []byte) (points []point, err error) {
	for len(b) > 0 {
		n := int(binary.BigEndian.Uint32(b))
		if n > pickleFrame || n > len(b)-4 {
			return nil, fmt.Errorf("a message of %d bytes", n)
		}
		m, ok := bytes.CutPrefix(b[4:4+n], []byte(pickleHead))
		b = b[4+n:]
		for ok && !bytes.Equal(m, []byte(pickleTail)) {
			var p point
			if m, p, err = readPickle(m); err != nil {
				return nil, err
			}
			points = append(points, p)
		}
		if !ok {
			return nil, fmt.Errorf("a message without its head")
		}
	}
	return points, nil
}

func readPickle(m []byte) (rest []byte, p point, err error) {
	if len(m) < 5 || m[0] != opUnicode {
		return nil, p, fmt.Errorf("no path at %.20q", m)
	}
	n := int(binary.LittleEndian.Uint32(m[1:]))
	p.path, m = string(m[5:5+n]), m[5+n:]
	switch m[0] {
	case opInt:
		p.at, m = int64(int32(binary.LittleEndian.Uint32(m[1:]))), m[5:]
	case opLong:
		p.at, m = int64(binary.LittleEndian.Uint64(m[2:])), m[10:]
	}
	if m[0] != opFloat || m[9] != opPair || m[10] != opPair {
		return nil, p, fmt.Errorf("no value at %.20q", m)
	}
	p.value = math.Float64frombits(binary.BigEndian.Uint64(m[1:]))
	return m[11:], p, nil
}

func FuzzPickle(f *testing.F) {
	f.Add([]byte("a 1 1000\n"))
	f.Add([]byte("a;b=c -1.5e300 4294967296\nb 0 -1\n"))
	f.Add([]byte("a\xff 1 1\n\nno point\na NaN 1\n x 1\na 1 1"))
	f.Fuzz(func(t *testing.T, lines []byte) {
		got, err := readPickles(pickled(lines))
		if err != nil {
			t.Fatal(err)
		}
		var want []point
		for line := range bytes.Lines(lines) {
			if path, value, at, ok := parsePoint(line); ok && len(path) <= pickleFrame/2 {
				want = append(want, point{strings.ToValidUTF8(string(path), "?"), value, at})
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%d points, want %d", len(got), len(want))
		}
		for i := range got {
			same := got[i].path == want[i].path && got[i].at == want[i].at && math.Float64bits(got[i].value) == math.Float64bits(want[i].value)
			if !same {
				t.Errorf("point %d is %+v, want %+v", i, got[i], want[i])
			}
		}
	})
}

func TestPicklesArriveAsTheLinesDo(t *testing.T) {
	t.Parallel()
	carbon := newFakeCarbon(t)
	carbon.Down()
	var received bytes.Buffer
	read := make(chan error, 1)
	carbon.Serve(func(conn net.Conn) {
		_, err := received.ReadFrom(conn)
		read <- err
	})
	c, m := open(t, Config{Addresses: []string{carbon.Address}, Protocol: "pickle"})
	stop := run(t, c)
	c.Send(Batch{At: time.Unix(1000, 0), Lines: []byte("a 1 1000\nb;c=d 2.5 1000\n"), Points: 2})
	eventually(t, "it to be sent", func() bool { return m.value(t, "sent") == 1 })
	if err := stop(); err != nil {
		t.Error(err)
	}
	if err := <-read; err != nil {
		t.Error(err)
	}
	points, err := readPickles(received.Bytes())
	if err != nil || fmt.Sprint(points) != "[{a 1 1000} {b;c=d 2.5 1000}]" {
		t.Errorf("it got %v, %v", points, err)
	}
}
