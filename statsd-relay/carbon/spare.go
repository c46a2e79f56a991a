package carbon

import (
	"math/bits"
	"slices"

	"github.com/klauspost/compress/s2"
)

const (
	// spareMax is how many bytes of memory a backlog has at hand for lines to come:
	// what of a large flush, which comes in pieces, waits at a time, and a piece.
	spareMax = 2 << 20
	// spareMin is what is worth it.
	spareMin = 4 << 10
)

// copy returns a copy of lines, in spare memory if any has the size.
func (q *backlog) copy(lines []byte) []byte {
	i := slices.IndexFunc(q.spare, func(b []byte) bool { return len(lines) <= cap(b) && cap(b)/2 <= len(lines) })
	if i < 0 {
		return append(make([]byte, 0, roomy(len(lines))), lines...)
	}
	b := q.spare[i]
	q.spare = slices.Delete(q.spare, i, i+1)
	return append(b, lines...)
}

// pack compresses the lines of what was sent, which is to a tenth: it is kept for as
// long as a carbon may not have read it, and rarely needed.
func (q *backlog) pack(e *entry) {
	q.packing = s2.Encode(q.packing[:cap(q.packing)], e.lines)
	q.forget(e)
	e.packed = q.copy(q.packing)
	q.memory += int64(len(e.packed))
}

// unpack undoes it, for e is to be sent again.
func (q *backlog) unpack(e *entry) {
	if e.packed == nil {
		return
	}
	lines, err := s2.Decode(make([]byte, e.size), e.packed) // which is never nil
	if err != nil {
		panic(err) // it is what pack made
	}
	q.forget(e)
	e.lines = lines
	q.memory += int64(e.size)
}

// roomy is n or up to an eighth more, so that memory fits what is nearly as long.
func roomy(n int) int {
	step := 1 << max(0, bits.Len(uint(n))-4)
	return (n + step - 1) / step * step
}

// recycle makes the memory of lines spare, and frees what has been so for longest
// if that is too much.
func (q *backlog) recycle(lines []byte) {
	if cap(lines) < spareMin {
		return
	}
	q.spare = append(q.spare, lines[:0])
	total := 0
	for _, b := range q.spare {
		total += cap(b)
	}
	for total > spareMax {
		total -= cap(q.spare[0])
		q.spare = slices.Delete(q.spare, 0, 1)
	}
}
