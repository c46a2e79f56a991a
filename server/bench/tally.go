package bench

import (
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// tally is what a generator has seen: every answer, and how long each took.
type tally struct {
	mu      sync.Mutex
	times   *hdrhistogram.Histogram // nanoseconds
	Answers map[int]int64           // by status
	Bytes   int64                   // of bodies
	Failed  int64                   // requests without an answer
	Error   string                  // the last one of these
	Wrong   int64                   // answers that are not the reference's
}

// Three digits from a microsecond to two minutes: beyond, a request has failed.
func newTally() *tally {
	return &tally{times: hdrhistogram.New(1000, int64(2*time.Minute), 3), Answers: map[int]int64{}}
}

func (t *tally) record(a answer, took time.Duration, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.Failed++
		t.Error = err.Error()
		return
	}
	t.Answers[a.status]++
	t.Bytes += int64(len(a.body))
	t.times.RecordValue(min(int64(took), t.times.HighestTrackableValue()))
}

// add adds what another has seen.
func (t *tally) add(u *tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.times.Merge(u.times)
	for status, n := range u.Answers {
		t.Answers[status] += n
	}
	t.Bytes += u.Bytes
	t.Failed += u.Failed
	t.Wrong += u.Wrong
	if u.Error != "" {
		t.Error = u.Error
	}
}

// answered is how many answers came.
func (t *tally) answered() (n int64) {
	for _, of := range t.Answers {
		n += of
	}
	return n
}

// quantileNames are those that a report has.
func quantileNames() []string { return []string{"50", "90", "99", "99.9", "max"} }

// quantiles of the times, in nanoseconds.
func (t *tally) quantiles() map[string]int64 {
	of := map[string]int64{}
	for _, name := range quantileNames() {
		q, err := strconv.ParseFloat(name, 64)
		if err != nil { // the greatest
			q = 100
		}
		of[name] = t.times.ValueAtQuantile(q)
	}
	return of
}

// cells of a table, in milliseconds.
func cells(quantiles map[string]int64) (row string) {
	for _, name := range quantileNames() {
		row += fmt.Sprintf("| %.2f ", float64(quantiles[name])/1e6)
	}
	return row
}

// millis is a quantile of the times, in milliseconds; q up to 100.
func (t *tally) millis(q float64) float64 { return float64(t.times.ValueAtQuantile(q)) / 1e6 }
