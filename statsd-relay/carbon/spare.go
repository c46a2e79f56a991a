package carbon

import (
	"math/bits"
	"slices"
)

// spareMax is how many bytes of memory a backlog has at hand for lines to come. A
// flush comes in pieces, and what of it waits at a time is about as much.
const spareMax = 1 << 20

// spareMin is what is worth it.
const spareMin = 4 << 10

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
