package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"addons/server/load"
)

// SampleSeed makes every fresh platform have the same catalogue.
const SampleSeed = 2012

// sample fills an empty database with the sample catalogue. A marker file says
// that it has begun, so that a start after a kill goes on where that one stopped.
func (s *Server) sample(ctx context.Context, progress Progress) error {
	if s.config.Sample == 0 {
		return nil
	}
	marker := filepath.Join(s.config.Data, "sample.loading")
	begun := true
	if _, err := os.Stat(marker); errors.Is(err, fs.ErrNotExist) {
		begun = false
	} else if err != nil {
		return err
	}
	ids, err := s.db.IDs(ctx, 0, 1)
	if err != nil {
		return fmt.Errorf("look for add-ons: %w", err)
	}
	if !begun && len(ids) > 0 {
		return nil
	}
	if err := os.WriteFile(marker, []byte("The sample catalogue is being loaded; the next start goes on with it.\n"), 0o644); err != nil {
		return err
	}
	report, err := s.Loader().Sample(ctx, SampleSeed, s.config.Sample, progress)
	if err != nil {
		return err
	}
	s.log.Info("sample catalogue loaded", "new", report.New, "updated", report.Updated, "unchanged", report.Unchanged)
	return os.Remove(marker)
}

// fillIndex builds an empty search index from a database that is not: after an
// upgrade that changed the index's layout, or when its folder was deleted. An
// engine that is down only means that searches go on in the database.
func (s *Server) fillIndex(ctx context.Context) error {
	if !s.config.Worker || s.index == nil {
		return nil
	}
	docs, err := s.index.Count(ctx)
	if err != nil {
		s.log.Warn("search index not looked at", "error", err)
		return nil
	}
	ids, err := s.db.IDs(ctx, 0, 1)
	if err != nil || docs > 0 || len(ids) == 0 {
		return err
	}
	s.log.Info("search index is empty, building it")
	if err := s.site.Reindex(ctx, nil); err != nil {
		s.log.Warn("search index not built", "error", err)
	}
	return nil
}

// Loader imports into this platform's catalogue.
func (s *Server) Loader() *load.Loader { return load.New(s.db, s.files, s.site.IndexJobs, s.log) }
