// Package file keeps the bytes of packages, icons and screenshots under the hash
// of their content: what was stored is never changed, the same content is stored
// once, and a key from outside can't reach any other file of the machine.
package file

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"addons/server/catalog"
	"addons/server/metrics"
)

// Store is a folder of blobs, safe for concurrent use, by several processes too.
type Store struct {
	root string
	took *metrics.HistogramVec
}

// Blob is one stored content.
type Blob struct {
	Key  string // what Open takes: the 64 hex digits of Hash
	Hash string // "sha256:" + 64 lower-case hex digits
	Size int64  // bytes
}

// What is done and how it can end: the values of the metric's labels.
const (
	opPut, opOpen, opCheck = "put", "open", "check"

	outcomeOK, outcomeNotFound, outcomeError = "ok", "notfound", "error"
)

// Open returns the store in the folder that rawURL names, file:DIR, which is made
// if it is not there.
func Open(rawURL string, reg *metrics.Registry) (*Store, error) {
	root, ok := strings.CutPrefix(rawURL, "file:")
	if !ok {
		return nil, fmt.Errorf("file store %q: unknown scheme, want file:FOLDER", redact(rawURL))
	}
	root = strings.TrimPrefix(root, "//") // file:///srv/files is a folder too
	if root == "" || strings.Contains(root, "?") {
		return nil, fmt.Errorf("file store %q: want file:FOLDER, without parameters", rawURL)
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, fmt.Errorf("file store: %w: give a folder that can be written to", err)
	}
	s := &Store{root: root, took: reg.Histogram(metrics.Desc{
		Name: "addons_file_operation_duration_seconds",
		Help: "Time of the file store's operations; of open, until the first byte can be read.",
		Labels: []metrics.Label{
			metrics.L("operation", opPut, opOpen, opCheck), metrics.L("outcome", outcomeOK, outcomeNotFound, outcomeError),
		},
		Keys: []string{"file.{operation}"},
		Span: "file",
	})}
	return s, nil
}

func redact(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "(not a URL)"
	}
	return u.Redacted()
}

// measure records one operation that ended with err.
func (s *Store) measure(ctx context.Context, operation string, start time.Time, err error) {
	outcome := outcomeOK
	switch {
	case errors.Is(err, catalog.ErrNotFound):
		outcome = outcomeNotFound
	case err != nil:
		outcome = outcomeError
	}
	s.took.With(operation, outcome).Observe(ctx, time.Since(start))
}

// Put stores what r gives, up to maxBytes, and returns once it is on the disk.
// More than maxBytes is catalog.ErrInvalid, and nothing is stored.
func (s *Store) Put(ctx context.Context, r io.Reader, maxBytes int64) (b Blob, err error) {
	defer func(start time.Time) { s.measure(ctx, opPut, start, err) }(time.Now())
	temporary, err := os.CreateTemp(s.root, ".put-*")
	if err != nil {
		return Blob{}, fmt.Errorf("file store: %w", err)
	}
	defer os.Remove(temporary.Name()) // gone already when it was renamed
	defer temporary.Close()

	hash := sha256.New()
	size, err := io.Copy(io.MultiWriter(temporary, hash), io.LimitReader(r, maxBytes+1))
	if err != nil {
		return Blob{}, fmt.Errorf("file store: %w", err)
	}
	if size > maxBytes {
		return Blob{}, fmt.Errorf("file has more than %d bytes: %w", maxBytes, catalog.ErrInvalid)
	}
	if err := ctx.Err(); err != nil {
		return Blob{}, err
	}
	key := hex.EncodeToString(hash.Sum(nil))
	if err := s.keep(temporary, key, size); err != nil {
		return Blob{}, fmt.Errorf("file store: %w", err)
	}
	return Blob{Key: key, Hash: "sha256:" + key, Size: size}, nil
}

// keep gives a written file its name. The data reach the disk before the name
// does, and the name before keep returns, so that a crash leaves a whole blob or none.
func (s *Store) keep(temporary *os.File, key string, size int64) error {
	path := s.path(key)
	if info, err := os.Stat(path); err == nil && info.Size() == size {
		return nil
	}
	if err := temporary.Chmod(0o644); err != nil {
		return err
	}
	if err := temporary.Sync(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.Rename(temporary.Name(), path); err != nil {
		return err
	}
	return errors.Join(syncFolder(filepath.Dir(path)), syncFolder(s.root))
}

func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// path spreads blobs over 256 folders by their first byte. The key is well-formed.
func (s *Store) path(key string) string { return filepath.Join(s.root, key[:2], key) }

// wellFormed says whether a key is 64 lower-case hex digits; nothing else ever
// becomes part of a path.
func wellFormed(key string) bool {
	return len(key) == 2*sha256.Size && strings.Trim(key, "0123456789abcdef") == ""
}

// Open returns a blob's bytes, size and time of storing. The caller closes it. A
// key that is unknown or not well-formed is catalog.ErrNotFound.
func (s *Store) Open(ctx context.Context, key string) (_ io.ReadSeekCloser, size int64, modified time.Time, err error) {
	defer func(start time.Time) { s.measure(ctx, opOpen, start, err) }(time.Now())
	if !wellFormed(key) {
		return nil, 0, time.Time{}, fmt.Errorf("file %.80q: %w", key, catalog.ErrNotFound)
	}
	f, err := os.Open(s.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, time.Time{}, fmt.Errorf("file %s: %w", key, catalog.ErrNotFound)
	}
	if err != nil {
		return nil, 0, time.Time{}, fmt.Errorf("file store: %w: %w", catalog.ErrUnavailable, err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, time.Time{}, fmt.Errorf("file store: %w: %w", catalog.ErrUnavailable, err)
	}
	return f, info.Size(), info.ModTime(), nil
}

// Check proves that files can be written and read.
func (s *Store) Check(ctx context.Context) (err error) {
	defer func(start time.Time) { s.measure(ctx, opCheck, start, err) }(time.Now())
	probe, err := os.CreateTemp(s.root, ".check-*")
	if err != nil {
		return fmt.Errorf("file store: %w", err)
	}
	defer os.Remove(probe.Name())
	defer probe.Close()
	if _, err := probe.WriteString("ok"); err != nil {
		return fmt.Errorf("file store: %w", err)
	}
	read := make([]byte, 2)
	if _, err := probe.ReadAt(read, 0); err != nil || string(read) != "ok" {
		return fmt.Errorf("file store: what was written was not read back: %w", err)
	}
	return nil
}
