// Package file keeps the bytes of packages, icons and screenshots under the hash
// of their content: what was stored is never changed, the same content is stored
// once, what Put has returned survives a crash of the machine, and a key from
// outside can't reach any other file of it.
package file

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"addons/server/catalog"
	"addons/server/metrics"
)

// Store is a folder of blobs, safe for concurrent use, by several processes too.
type Store struct {
	root     *os.Root // which keeps symbolic links from leading out, too
	timers   *metrics.HistogramVec
	maxWrite time.Duration
}

// Blob is one stored content.
type Blob struct {
	Key  string // what Open takes: the 64 digits of Hash
	Hash string // "sha256:" + 64 lower-case hex digits
	Size int64  // bytes
}

// unfinished is the folder of contents that are still being written.
const unfinished = "unfinished"

// abandoned is the age at which an unfinished content is taken to be that of a
// process that died.
const abandoned = 24 * time.Hour

// putTimeout bounds one Put, however slow its reader is.
const putTimeout = 5 * time.Minute

// Open opens the folder of "file:DIR" and makes it if it isn't there.
func Open(rawURL string, reg *metrics.Registry) (*Store, error) {
	dir, ok := strings.CutPrefix(rawURL, "file:")
	if !ok {
		return nil, errors.New(`files: unknown kind of URL, the known one is "file:DIR"`)
	}
	dir, query, _ := strings.Cut(dir, "?")
	dir = strings.TrimPrefix(dir, "//")
	if dir == "" || query != "" {
		return nil, errors.New(`files: write "file:DIR"; it takes no parameters`)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("files: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("files: %w", err)
	}
	s := &Store{root: root, maxWrite: putTimeout, timers: reg.Histogram(metrics.Desc{
		Name: "addons_file_operation_duration_seconds",
		Help: "Time to store a file, to find one, or to check the folder; sending its bytes is not in it.",
		Labels: []metrics.Label{
			metrics.L("operation", "put", "open", "check"),
			metrics.L("outcome", "ok", "error", "notfound", "canceled"),
		},
		Keys: []string{"file.{operation}"},
		Span: "file",
	})}
	if err := s.sweep(); err != nil {
		return nil, errors.Join(fmt.Errorf("files in %s: %w", dir, err), root.Close())
	}
	return s, nil
}

// Close gives the folder back. Files that are open stay so.
func (s *Store) Close() error { return s.root.Close() }

// Put stores what r holds, up to maxBytes; more is catalog.ErrInvalid. An error of
// r is returned as it is, one of the folder is catalog.ErrUnavailable.
func (s *Store) Put(ctx context.Context, r io.Reader, maxBytes int64) (blob Blob, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.maxWrite)
	defer cancel()
	defer s.measure(ctx, "put", &err)()
	name := path.Join(unfinished, rand.Text())
	f, err := s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return Blob{}, unavailable("put", err)
	}
	blob, err = write(ctx, f, r, maxBytes)
	if err = errors.Join(err, closed(f)); err == nil {
		err = s.keep(name, blob)
	}
	if err != nil {
		// A leftover is swept at the next start.
		return Blob{}, errors.Join(err, s.root.Remove(name))
	}
	return blob, nil
}

// write copies r to f until it is on the disk.
func write(ctx context.Context, f *os.File, r io.Reader, maxBytes int64) (Blob, error) {
	sum := sha256.New()
	from := &source{ctx: ctx, r: io.LimitReader(r, maxBytes+1)}
	size, err := io.Copy(io.MultiWriter(f, sum), from)
	switch {
	case from.err != nil:
		return Blob{}, fmt.Errorf("read what to put: %w", from.err)
	case err != nil:
		return Blob{}, unavailable("put", err)
	case size > maxBytes:
		return Blob{}, fmt.Errorf("file of more than %d bytes: %w", maxBytes, catalog.ErrInvalid)
	}
	if err := f.Sync(); err != nil {
		return Blob{}, unavailable("put", err)
	}
	key := hex.EncodeToString(sum.Sum(nil))
	return Blob{Key: key, Hash: "sha256:" + key, Size: size}, nil
}

// source reads until ctx is done, and tells its own errors from the writer's.
type source struct {
	ctx context.Context
	r   io.Reader
	err error
}

func (s *source) Read(b []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		s.err = err
		return 0, err
	}
	n, err := s.r.Read(b)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// keep gives a finished file its name. The folders are synced too: without that a
// crash may take back the name.
func (s *Store) keep(name string, blob Blob) error {
	if info, err := s.root.Stat(place(blob.Key)); err == nil && info.Size() == blob.Size {
		return s.root.Remove(name) // the same content is here
	}
	folder := path.Dir(place(blob.Key))
	if err := s.root.MkdirAll(folder, 0o755); err != nil {
		return unavailable("put", err)
	}
	if err := s.root.Rename(name, place(blob.Key)); err != nil {
		return unavailable("put", err)
	}
	for _, dir := range []string{folder, path.Dir(folder), "."} {
		if err := s.syncFolder(dir); err != nil {
			return unavailable("put", err)
		}
	}
	return nil
}

func (s *Store) syncFolder(dir string) error {
	f, err := s.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func closed(f *os.File) error {
	if err := f.Close(); err != nil {
		return unavailable("put", err)
	}
	return nil
}

// place is where a blob lies: "ab/cd/abcd…", so that no folder grows long.
func place(key string) string { return path.Join(key[:2], key[2:4], key) }

// valid says whether key is one that Put gave: 64 lower-case hex digits. Nothing
// else reaches the file system.
func valid(key string) bool {
	return len(key) == 2*sha256.Size && strings.Trim(key, "0123456789abcdef") == ""
}

// Open opens a blob for reading; the caller closes it. modified is when it was
// stored. Any key that isn't here is catalog.ErrNotFound.
func (s *Store) Open(ctx context.Context, key string) (body io.ReadSeekCloser, size int64, modified time.Time, err error) {
	defer s.measure(ctx, "open", &err)()
	if !valid(key) {
		return nil, 0, time.Time{}, fmt.Errorf("file %.80q: %w", key, catalog.ErrNotFound)
	}
	f, err := s.root.Open(place(key))
	if err != nil {
		return nil, 0, time.Time{}, unavailable("open", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, 0, time.Time{}, errors.Join(unavailable("open", err), f.Close())
	}
	return f, info.Size(), info.ModTime().UTC(), nil
}

// Check writes a file to the folder, reads it back and removes it.
func (s *Store) Check(ctx context.Context) (err error) {
	defer s.measure(ctx, "check", &err)()
	if err := ctx.Err(); err != nil {
		return err
	}
	name := path.Join(unfinished, "check-"+rand.Text())
	probe := []byte(name)
	if err := s.root.WriteFile(name, probe, 0o644); err != nil {
		return errors.Join(unavailable("check", err), s.root.RemoveAll(name))
	}
	got, err := s.root.ReadFile(name)
	if err == nil && string(got) != string(probe) {
		err = errors.New("what was read is not what was written")
	}
	if err = errors.Join(err, s.root.Remove(name)); err != nil {
		return unavailable("check", err)
	}
	return nil
}

// sweep makes the folder of unfinished files and removes abandoned ones.
func (s *Store) sweep() error {
	if err := s.root.MkdirAll(unfinished, 0o755); err != nil {
		return err
	}
	entries, err := fs.ReadDir(s.root.FS(), unfinished)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || time.Since(info.ModTime()) < abandoned {
			continue // another process has just finished it, or still writes
		}
		if err := s.root.Remove(path.Join(unfinished, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// measure times an operation; err is the one that it is about to return.
func (s *Store) measure(ctx context.Context, operation string, err *error) func() {
	start := time.Now()
	return func() {
		s.timers.With(operation, outcome(*err)).Observe(ctx, time.Since(start))
	}
}

func outcome(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, catalog.ErrNotFound):
		return "notfound"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "canceled"
	}
	return "error"
}

// unavailable says that the folder failed, or that there is no such file in it.
func unavailable(operation string, err error) error {
	kind := catalog.ErrUnavailable
	if operation == "open" && errors.Is(err, fs.ErrNotExist) {
		kind = catalog.ErrNotFound
	}
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err // the path is the folder's and the key's, of no use to the caller
	}
	return fmt.Errorf("%s file: %w: %w", operation, kind, err)
}
