package carbon

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
	"time"
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
