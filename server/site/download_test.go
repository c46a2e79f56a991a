package site

import (
	"log/slog"
	"testing"

	"addons/server/metrics"
	"addons/server/store"
)

func TestDownloadsWaitForADatabaseThatIsDown(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	db, err := store.Open(t.Context(), "sqlite::memory:", metrics.New(nil), log)
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	d := countDownloads(db, metrics.New(nil), log)
	for file := range int64(2*flushBatch + 1) {
		d.add(file)
		d.add(file)
	}
	if err := d.close(); err == nil {
		t.Fatal("nothing was said of downloads that could not be written down")
	}
	total := 0
	for _, n := range d.counts {
		total += n
	}
	if total != 2*(2*flushBatch+1) {
		t.Errorf("%d downloads are kept, want all of them", total)
	}
}

func TestDownloadsAreBounded(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	db, err := store.Open(t.Context(), "sqlite::memory:", metrics.New(nil), log)
	if err != nil {
		t.Fatal(err)
	}
	d := countDownloads(db, metrics.New(nil), log)
	for file := range int64(maxFiles + 10) {
		d.add(file)
	}
	d.add(1) // known files go on being counted
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, count := range d.counts {
		n += count
	}
	if len(d.counts) != maxFiles || n != maxFiles+1 {
		t.Errorf("%d files wait with %d downloads, want %d and one more", len(d.counts), n, maxFiles)
	}
}
