package carbon

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
)

// piece is a batch of some 100 KB, different for each i.
func piece(i int) Batch {
	var lines []byte
	for n := range 2000 {
		lines = fmt.Appendf(lines, "stats.timers.some.path.%d.of.%d 1 1000\n", n, i)
	}
	return Batch{At: time.Unix(1000, 0), More: true, Lines: lines, Points: 2000}
}

func newTestBacklog() *backlog {
	return newBacklog(64<<20, newMeters().of("a"))
}

// deliver has the next entry sent, and returns it with a copy of what was.
func (q *backlog) deliver(t *testing.T) (*entry, []byte) {
	t.Helper()
	e, lines, _ := q.next(true)
	if e == nil {
		t.Fatal("nothing waits")
	}
	sent := bytes.Clone(lines)
	q.delivered(e, time.Unix(1000, 0))
	return e, sent
}

func TestWhatWasSentIsSentAgainThoughItsMemoryIsUsed(t *testing.T) {
	t.Parallel()
	q := newTestBacklog()
	for i := range 8 {
		q.push(piece(i), false)
		if _, sent := q.deliver(t); !bytes.Equal(sent, piece(i).Lines) {
			t.Fatalf("batch %d is not sent as it was pushed", i)
		}
	}
	q.rewind()
	for i := range 8 {
		if _, sent := q.deliver(t); !bytes.Equal(sent, piece(i).Lines) {
			t.Errorf("batch %d is not sent again as it was", i)
		}
	}
	if q.end(); q.memory != 0 || q.counts != (counts{}) {
		t.Errorf("%d bytes and %+v remain when all is sent for good", q.memory, q.counts)
	}
}

func TestAnEmptyLastPartIsSentAgainToo(t *testing.T) {
	t.Parallel()
	q := newTestBacklog()
	q.push(Batch{At: time.Unix(1000, 0)}, false)
	q.deliver(t)
	q.rewind()
	if _, lines, _ := q.next(true); lines == nil {
		t.Error("a part without points, which has no lines, is looked for on disk")
	}
}

func TestLinesOnTheirWayToDiskAreLeftAlone(t *testing.T) {
	t.Parallel()
	q := newTestBacklog()
	q.push(piece(0), false)
	_, lines := q.unkept()
	q.deliver(t)
	q.end()
	for i := range 4 {
		q.push(piece(i+1), false)
	}
	if !bytes.Equal(lines[0], piece(0).Lines) {
		t.Error("lines that are written to disk were overwritten by later ones")
	}
}

func TestBatchesUseTheMemoryOfThoseBefore(t *testing.T) {
	q := newTestBacklog()
	b := piece(0)
	const warm, measured = 100, 20 // as many as may have to be sent again
	var before, after runtime.MemStats
	for i := range warm + measured {
		if i == warm {
			runtime.ReadMemStats(&before)
		}
		q.push(b, false)
		e, _, _ := q.next(true)
		q.delivered(e, time.Unix(1000, 0))
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) / measured; n > uint64(len(b.Lines)/2) { // the compressor drops its tables at times
		t.Errorf("%d bytes are allocated for a batch of %d", n, len(b.Lines))
	}
}

// hand is what a test does to a backlog, and what it knows of it.
type hand struct {
	t       *testing.T
	random  *rand.Rand
	q       *backlog
	at      int64
	lines   map[uint64][]byte // as pushed
	flying  *entry
	sending []byte   // flying's lines
	writing [][]byte // those on their way to disk
	writes  []*entry
	left    []Waiting
	leaves  [][]byte // a copy of their lines
	disk    []*segment
}

func (h *hand) push() {
	if h.random.IntN(3) == 0 {
		h.at++
	}
	b := Batch{At: time.Unix(h.at, 0), More: h.random.IntN(3) > 0}
	for range h.random.IntN(700) {
		b.Lines = fmt.Appendf(b.Lines, "some.path.%d 1 1000\n", h.random.IntN(1000))
		b.Points++
	}
	h.lines[h.q.seq+1] = bytes.Clone(b.Lines)
	h.q.push(b, h.random.IntN(5) == 0)
	clear(b.Lines) // it is the sender's again
}

// step does one thing that one of the three goroutines may do now.
func (h *hand) step() {
	switch h.random.IntN(10) {
	case 0, 1, 2:
		h.push()
	case 3, 4:
		if h.flying == nil {
			h.flying, h.sending, _ = h.q.next(h.random.IntN(4) > 0)
		}
	case 5, 6:
		if h.flying != nil {
			h.q.delivered(h.flying, time.Unix(h.at+int64(h.random.IntN(100)), 0))
			h.flying, h.sending = nil, nil
		}
	case 7:
		h.writes, h.writing = h.q.unkept()
	case 8:
		if len(h.writes) == 0 {
			break
		}
		s, n := &segment{}, 1+h.random.IntN(len(h.writes))
		h.disk = append(h.disk, s)
		var places []place
		for _, e := range h.writes[:n] {
			places = append(places, place{entry: e, segment: s})
		}
		h.q.kept(places)
		h.writes, h.writing = nil, nil
	case 9:
		switch h.random.IntN(20) {
		case 0, 1, 2:
			h.q.rewind()
			h.flying, h.sending = nil, nil
		case 3:
			h.q.end()
			h.flying, h.sending = nil, nil
			for _, w := range h.q.leave() {
				h.left, h.leaves = append(h.left, w), append(h.leaves, bytes.Clone(w.Lines))
			}
			h.q.rewind()
		case 4:
			if len(h.disk) > 0 {
				h.q.abandon(h.disk[0])
				h.disk = h.disk[1:]
			}
		}
	}
}

// check compares what the backlog has with what was pushed, and with its own sums.
func (h *hand) check(when string) {
	h.t.Helper()
	in := map[*byte]string{} // whose each piece of memory is
	owned := func(b []byte, by string) {
		if cap(b) == 0 {
			return
		}
		first := &b[:1][0]
		if other, taken := in[first]; taken {
			h.t.Fatalf("%s: the memory of %s is that of %s too", when, by, other)
		}
		in[first] = by
	}
	var memory int64
	known := &backlog{} // to count anew
	for _, e := range h.q.entries {
		memory += int64(len(e.lines) + len(e.packed))
		owned(e.lines, fmt.Sprint("batch ", e.seq))
		owned(e.packed, fmt.Sprint("packed batch ", e.seq))
		if e.lines != nil && !bytes.Equal(e.lines, h.lines[e.seq]) {
			h.t.Fatalf("%s: batch %d is not as it was pushed", when, e.seq)
		}
		if e.state == waiting {
			known.count(e, 1)
			if e.lines == nil && e.segment == nil {
				h.t.Fatalf("%s: batch %d waits and is nowhere", when, e.seq)
			}
		}
		if e.packed != nil {
			if lines, err := s2.Decode(nil, e.packed); err != nil || !bytes.Equal(lines, h.lines[e.seq]) {
				h.t.Fatalf("%s: batch %d is packed as something else: %v", when, e.seq, err)
			}
		}
	}
	if h.q.counts != known.counts || h.q.memory != memory {
		h.t.Fatalf("%s: %+v and %d bytes, want %+v and %d", when, h.q.counts, h.q.memory, known.counts, memory)
	}
	for _, b := range h.q.spare {
		owned(b, "nobody")
	}
	for i, w := range h.left {
		if owned(w.Lines, "who took it over"); !bytes.Equal(w.Lines, h.leaves[i]) {
			h.t.Fatalf("%s: what was left was overwritten", when)
		}
	}
	if h.sending != nil && !bytes.Equal(h.sending, h.lines[h.flying.seq]) {
		h.t.Fatalf("%s: batch %d was overwritten while it was sent", when, h.flying.seq)
	}
	for i, b := range h.writing {
		if !bytes.Equal(b, h.lines[h.writes[i].seq]) {
			h.t.Fatalf("%s: batch %d was overwritten while it was put on disk", when, h.writes[i].seq)
		}
	}
}

func TestNoMemoryIsUsedAgainWhileSomeoneReadsIt(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		q := newBacklog(int64(50_000+random.IntN(300_000)), newMeters().of("a"))
		h := &hand{t: t, random: random, q: q, at: 1000, lines: map[uint64][]byte{}}
		for step := range 400 {
			h.step()
			h.check(fmt.Sprintf("seed %d, step %d", seed, step))
		}
	}
}
