package store

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Download is how often a file was downloaded on a day.
type Download struct {
	FileID int64
	Day    time.Time // any time of the day in UTC
	Count  int
}

// DownloadCounted adds to the counts, all of them or none. Files that there aren't
// are left out.
func (db *DB) DownloadCounted(ctx context.Context, downloads ...Download) error {
	counts := map[[2]int64]int{}
	ids := map[int64]bool{}
	for _, d := range downloads {
		if d.Count > 0 {
			counts[[2]int64{d.FileID, seconds(midnight(d.Day))}] += d.Count
			ids[d.FileID] = true
		}
	}
	if len(counts) == 0 {
		return nil
	}
	err := db.tx(ctx, func(h handle) error {
		known, err := h.filesOf(ctx, ids)
		if err != nil {
			return err
		}
		return h.countDownloads(ctx, counts, known)
	})
	if err != nil {
		return fmt.Errorf("count %d downloads: %w", len(downloads), err)
	}
	return nil
}

// midnight begins t's day.
func midnight(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

func (h handle) filesOf(ctx context.Context, wanted map[int64]bool) (ids, error) {
	known := ids{}
	all := make([]int64, 0, len(wanted))
	for id := range wanted {
		all = append(all, id)
	}
	for chunk := range slices.Chunk(all, listMax) {
		err := h.rows(ctx, qDownloadsCount, "SELECT id FROM files WHERE id IN "+in(len(chunk)), anys(chunk), func(r row) error {
			var id int64
			err := r.Scan(&id)
			known[id] = true
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return known, nil
}

// countDownloads writes in the order of keys, so that two writers don't lock each other out.
func (h handle) countDownloads(ctx context.Context, counts map[[2]int64]int, known ids) error {
	var rows [][]any
	keys := make([][2]int64, 0, len(counts))
	for key := range counts {
		if known[key[0]] {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b [2]int64) int { return slices.Compare(a[:], b[:]) })
	for _, key := range keys {
		rows = append(rows, []any{key[0], key[1], counts[key]})
	}
	return h.insertRows(ctx, qDownloadsCount, downloadsTable, rows,
		h.d.onConflict("file_id, day", "downloads = downloads.downloads + "+h.d.given("downloads")))
}
