package file_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"addons/server/catalog"
	"addons/server/file"
	"addons/server/metrics"
)

func open(t *testing.T) (*file.Store, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "files")
	s, err := file.Open("file:"+dir, metrics.New(nil))
	if err != nil {
		t.Fatal(err)
	}
	return s, dir
}

// everything lists the files below dir.
func everything(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestWhatIsPutComesBackAndTheSameIsStoredOnce(t *testing.T) {
	s, dir := open(t)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			b, err := s.Put(t.Context(), strings.NewReader("abc"), 3)
			// The SHA-256 of "abc" by FIPS 180-2, appendix B.1.
			if err != nil || b.Hash != "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" || b.Size != 3 {
				t.Errorf("Put = %+v, %v", b, err)
			}
		})
	}
	wait.Wait()
	if all := everything(t, dir); len(all) != 1 {
		t.Errorf("%d files after the same content eight times: %q", len(all), all)
	}
	body, size, modified, err := s.Open(t.Context(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if got, _ := io.ReadAll(body); string(got) != "abc" || size != 3 || modified.IsZero() {
		t.Errorf("Open gave %q, %d bytes, %v", got, size, modified)
	}
}

func TestTooMuchIsRefusedAndLeavesNothing(t *testing.T) {
	s, dir := open(t)
	if _, err := s.Put(t.Context(), strings.NewReader("abcd"), 3); !errors.Is(err, catalog.ErrInvalid) {
		t.Errorf("four bytes where three may be: %v, want ErrInvalid", err)
	}
	if all := everything(t, dir); len(all) != 0 {
		t.Errorf("left behind: %q", all)
	}
}

func TestNoKeyLeadsOutOfTheFolder(t *testing.T) {
	s, dir := open(t)
	if err := os.WriteFile(filepath.Join(filepath.Dir(dir), "secret"), []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{
		"", ".", "../secret", "..%2fsecret", "/etc/passwd", strings.Repeat("a", 63), strings.Repeat("A", 64), strings.Repeat("a", 61) + "/..",
		strings.Repeat("../", 21) + "x", strings.Repeat("a", 64) + "\x00",
	} {
		if body, _, _, err := s.Open(t.Context(), key); !errors.Is(err, catalog.ErrNotFound) {
			t.Errorf("Open(%q) = %v, %v, want ErrNotFound", key, body, err)
		}
	}
}

func TestCheckFailsWhereNothingCanBeWritten(t *testing.T) {
	s, dir := open(t)
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(t.Context()); err == nil {
		t.Error("a folder that is gone passed")
	}
}

func TestOpenSaysWhatItWants(t *testing.T) {
	for _, url := range []string{"", "files", "s3://key:secret@bucket", "file:", "file:x?y=1"} {
		if _, err := file.Open(url, metrics.New(nil)); err == nil || !strings.Contains(err.Error(), "file:FOLDER") || strings.Contains(err.Error(), "secret") {
			t.Errorf("Open(%q): %v", url, err)
		}
	}
}
