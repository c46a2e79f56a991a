package file_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"addons/server/catalog"
	"addons/server/file"
	"addons/server/metrics"
)

func open(t testing.TB, dir string) *file.Store {
	t.Helper()
	s, err := file.Open("file:"+dir, metrics.New(nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// names lists the regular files below dir.
func names(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
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

func TestWhatWasPutIsOpenedByItsHash(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "folder")
	s := open(t, dir)
	content := bytes.Repeat([]byte("xpi"), 100_000)
	blob, err := s.Put(t.Context(), bytes.NewReader(content), 300_000)
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("sha256:%x", sha256.Sum256(content)); blob.Hash != want || blob.Hash != "sha256:"+blob.Key || blob.Size != 300_000 {
		t.Errorf("blob %+v, want hash %s", blob, want)
	}
	body, size, modified, err := open(t, dir).Open(t.Context(), blob.Key)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	got, err := io.ReadAll(body)
	if err != nil || !bytes.Equal(got, content) || size != 300_000 || time.Since(modified) > time.Minute {
		t.Errorf("read %d bytes, size %d, modified %v, %v", len(got), size, modified, err)
	}
	if at, err := body.Seek(-3, io.SeekEnd); at != 299_997 || err != nil {
		t.Errorf("Seek = %d, %v", at, err)
	}
}

func TestTheSameContentIsStoredOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if _, err := s.Put(t.Context(), strings.NewReader("icon"), 4); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("files %v, want one", got)
	}
}

func TestPutThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	broken := errors.New("connection reset")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx  context.Context
		r    io.Reader
		want error
	}{
		"too large": {t.Context(), strings.NewReader("12345"), catalog.ErrInvalid},
		"broken":    {t.Context(), io.MultiReader(strings.NewReader("123"), iotest.ErrReader(broken)), broken},
		"canceled":  {gone, strings.NewReader("1"), context.Canceled},
	} {
		if blob, err := s.Put(c.ctx, c.r, 4); !errors.Is(err, c.want) || blob != (file.Blob{}) {
			t.Errorf("%s: Put = %+v, %v, want %v", name, blob, err, c.want)
		}
	}
	if got := names(t, dir); len(got) != 0 {
		t.Errorf("left over: %v", got)
	}
	if _, err := s.Put(t.Context(), strings.NewReader("1234"), 4); err != nil {
		t.Errorf("exactly the limit: %v", err)
	}
}

func TestAKeyReachesNothingButBlobs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	secret := filepath.Join(filepath.Dir(dir), "secret")
	if err := os.WriteFile(secret, []byte("s3cret"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	blob, err := s.Put(t.Context(), strings.NewReader("x"), 9)
	if err != nil {
		t.Fatal(err)
	}
	// A link out of the folder, with a name that is well-formed.
	out := strings.Repeat("0f", 32)
	if err := os.MkdirAll(filepath.Join(dir, "0f", "0f"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(dir, "0f", "0f", out)); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{
		"", ".", "..", "../secret", "../../secret", secret, "/etc/passwd", "..%2fsecret",
		blob.Hash, strings.ToUpper(blob.Key), blob.Key[:63], blob.Key + "0", blob.Key[:63] + "g", blob.Key[:63] + "\x00",
		"../" + blob.Key[3:], strings.Repeat("./", 32), strings.Repeat("..", 32), strings.Repeat("a", 64),
	} {
		if body, _, _, err := s.Open(t.Context(), key); !errors.Is(err, catalog.ErrNotFound) || body != nil {
			t.Errorf("Open(%q) = %v, %v, want not found", key, body, err)
		}
	}
	if body, _, _, err := s.Open(t.Context(), out); err == nil {
		body.Close()
		t.Error("a link led out of the folder")
	}
}

func FuzzOpenNeverLeavesTheFolder(f *testing.F) {
	for _, seed := range []string{"", "../../etc/passwd", strings.Repeat("ab", 32), strings.Repeat("a/", 32)} {
		f.Add(seed)
	}
	s := open(f, f.TempDir())
	f.Fuzz(func(t *testing.T, key string) {
		if body, _, _, err := s.Open(t.Context(), key); !errors.Is(err, catalog.ErrNotFound) || body != nil {
			t.Errorf("Open(%q) = %v, %v of an empty store", key, body, err)
		}
	})
}

func TestCheckSaysWhetherTheFolderTakesFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("Check = %v", err)
	}
	if got := names(t, dir); len(got) != 0 {
		t.Errorf("left over: %v", got)
	}
	if err := os.RemoveAll(filepath.Join(dir, "unfinished")); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(t.Context()); !errors.Is(err, catalog.ErrUnavailable) {
		t.Errorf("without its folder: %v, want unavailable", err)
	}
	if _, err := s.Put(t.Context(), strings.NewReader("x"), 9); !errors.Is(err, catalog.ErrUnavailable) {
		t.Errorf("without its folder: %v, want unavailable", err)
	}
}

func TestOpenSweepsWhatAProcessThatDiedHasLeft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "unfinished"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, age := range map[string]time.Duration{"old": 25 * time.Hour, "young": time.Hour} {
		path := filepath.Join(dir, "unfinished", name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	open(t, dir)
	if got := names(t, dir); len(got) != 1 || filepath.Base(got[0]) != "young" {
		t.Errorf("after a start there is %v, want the young one", got)
	}
}

func TestOpenRefusesAnUnknownURL(t *testing.T) {
	t.Parallel()
	for _, rawURL := range []string{"", "file:", "s3://bucket", "file:x?mode=1", "files"} {
		if _, err := file.Open(rawURL, metrics.New(nil)); err == nil || !strings.Contains(err.Error(), "file:DIR") {
			t.Errorf("Open(%q) = %v, want an error with the known form", rawURL, err)
		}
	}
}

func TestEveryOperationIsTimedByOutcome(t *testing.T) {
	t.Parallel()
	reg := metrics.New(nil)
	s, err := file.Open("file:"+t.TempDir(), reg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, ledger := metrics.Begin(t.Context(), "")
	s.Open(ctx, "nothing")
	s.Put(ctx, strings.NewReader("x"), 0)
	s.Check(ctx)
	if n, err := testutil.GatherAndCount(reg.Prometheus(), "addons_file_operation_duration_seconds"); n != 12 || err != nil {
		t.Errorf("%d series, %v, want 12 from the start", n, err)
	}
	if got := ledger.Count("file"); got != 3 {
		t.Errorf("the ledger counts %d, want 3", got)
	}
}

func BenchmarkPut64KiB(b *testing.B) {
	s := open(b, b.TempDir())
	content := make([]byte, 64<<10)
	for i := 0; b.Loop(); i++ {
		copy(content, fmt.Sprint(i))
		if _, err := s.Put(b.Context(), bytes.NewReader(content), 1<<20); err != nil {
			b.Fatal(err)
		}
	}
}
