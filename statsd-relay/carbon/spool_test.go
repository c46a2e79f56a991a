package carbon

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// spooled is a cluster whose only carbon is down, and its spool's folder.
func spooled(t testing.TB, dir string, limit int64) (c *Cluster, m meters, folder string) {
	t.Helper()
	c, m = open(t, Config{Addresses: []string{"127.0.0.1:1"}, SpoolDir: dir, SpoolLimit: limit})
	return c, m, filepath.Join(dir, "127.0.0.1:1")
}

// safe waits until all that waits is on disk.
func safe(t testing.TB, c *Cluster) {
	t.Helper()
	eventually(t, "all to be on disk", func() bool { return c.dests[0].unsafe() == 0 })
}

// fill has a process keep batches from..to−1, and ends it in order.
func fill(t testing.TB, dir string, from, to int) {
	t.Helper()
	c, _, _ := spooled(t, dir, 0)
	stop := run(t, c)
	sendBatches(c, from, to)
	safe(t, c)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// waits are the values of the batches that wait, in order; it reads them as the
// sender does.
func waits(t testing.TB, c *Cluster) (values []int) {
	t.Helper()
	d := c.dests[0]
	for _, e := range d.backlog.entries {
		lines, err := d.spool.read(e.segment, e.offset)
		if err != nil {
			t.Fatalf("batch %d: %v", e.seq, err)
		}
		var i, at int
		if _, err := fmt.Sscanf(string(lines), "a %d %d\n", &i, &at); err != nil || at != 1000+i || e.at.Unix() != int64(at) || e.points != 1 {
			t.Errorf("entry %+v has %q: %v", e, lines, err)
		}
		values = append(values, i)
	}
	return values
}

func upTo(n int) (all []int) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

// segments are the paths of a folder's segments, oldest first.
func segmentsOf(t testing.TB, folder string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(folder, "*.segment"))
	if err != nil || len(all) == 0 {
		t.Fatalf("the segments are %q, %v", all, err)
	}
	return all
}

func TestATornTailIsCutOffAndCounted(t *testing.T) {
	t.Parallel()
	for name, tear := range map[string]func(b []byte) []byte{
		"half a record":  func(b []byte) []byte { return b[:len(b)-5] },
		"half a header":  func(b []byte) []byte { return append(b, 1, 2, 3) },
		"zeros":          func(b []byte) []byte { return append(b, make([]byte, 100)...) },
		"a flipped bit":  func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"a large length": func(b []byte) []byte { return append(b, bytes.Repeat([]byte{0xff}, 64)...) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			fill(t, dir, 0, 10)
			path := segmentsOf(t, filepath.Join(dir, "127.0.0.1:1"))[0]
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			torn := tear(slices.Clone(whole))
			if err := os.WriteFile(path, torn, 0o640); err != nil {
				t.Fatal(err)
			}
			want := 10
			if len(torn) <= len(whole) { // the last batch itself is torn
				want = 9
			}
			c, m, _ := spooled(t, dir, 0)
			if got := waits(t, c); !slices.Equal(got, upTo(want)) {
				t.Errorf("what is left is %v, want %d", got, want)
			}
			m.expect(t, map[string]float64{"corrupt": 1, "waiting": float64(want)})
			// The next start finds nothing to cut off, and numbers go on.
			stop := run(t, c)
			sendBatches(c, want, want+1)
			safe(t, c)
			stop()
			c, m, _ = spooled(t, dir, 0)
			if got := waits(t, c); !slices.Equal(got, upTo(want+1)) {
				t.Errorf("then it is %v", got)
			}
			m.expect(t, map[string]float64{"corrupt": 0})
		})
	}
}

func TestADamagedRecordCostsNoOther(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fill(t, dir, 0, 10)
	fill(t, dir, 10, 20) // the last segment's sums are checked at the start, the first's are not
	path := segmentsOf(t, filepath.Join(dir, "127.0.0.1:1"))[0]
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-1] ^= 1 // batch 9
	if err := os.WriteFile(path, b, 0o640); err != nil {
		t.Fatal(err)
	}
	carbon := newFakeCarbon(t)
	c, m, _ := spooled(t, dir, 0)
	c.dests[0].node.address = carbon.Address
	run(t, c)
	eventually(t, "the others", func() bool { return m.value(t, "waiting") == 0 && carbon.distinct() == 19 })
	m.expect(t, map[string]float64{"corrupt": 1, "dropped": 1, "sent": 19})
}

func TestACursorThatIsLostCostsNoMoreThanSendingAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fill(t, dir, 0, 10)
	cursor := filepath.Join(dir, "127.0.0.1:1", "cursor")
	for _, content := range []string{"", "garbage that is longer than a cursor"} {
		if err := os.WriteFile(cursor, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
		c, _, _ := spooled(t, dir, 0)
		if got := waits(t, c); !slices.Equal(got, upTo(10)) {
			t.Errorf("with the cursor %q it has %v", content, got)
		}
		c.Close()
	}
}

// noise is batch i with so many bytes that no compression makes less of.
func noise(i, size int) Batch {
	b := make([]byte, 0, size)
	rng := rand.New(rand.NewPCG(uint64(i), 1))
	for len(b) < size {
		b = binary.LittleEndian.AppendUint64(b, rng.Uint64())
	}
	return Batch{At: time.Unix(int64(1000+i), 0), Lines: b, Points: 3}
}

func TestPastTheLimitTheOldestGoAndAreCounted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c, m, folder := spooled(t, dir, spoolMin)
	stop := run(t, c)
	const batches, size = 100, 20_000 // 2 MB into 1 MiB
	for i := range batches {
		c.Send(noise(i, size))
		safe(t, c)
		if used := m.value(t, "disk"); used > spoolMin {
			t.Fatalf("%v bytes on disk, the limit is %d", used, spoolMin)
		}
	}
	stop()
	dropped, waiting := m.value(t, "dropped"), m.value(t, "waiting")
	if dropped+waiting != batches || m.value(t, "dropped_points") != 3*dropped || waiting < 40 {
		t.Errorf("%v dropped with %v points and %v waiting, want %d in all and no more dropped than the limit asks for", dropped, m.value(t, "dropped_points"), waiting, batches)
	}
	var bytes int64
	for _, path := range segmentsOf(t, folder) {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		bytes += info.Size()
	}
	if bytes > spoolMin {
		t.Errorf("the files have %d bytes, the limit is %d", bytes, spoolMin)
	}
	c, m, _ = spooled(t, dir, spoolMin)
	m.expect(t, map[string]float64{"waiting": waiting, "oldest": 1000 + dropped})
	for i, e := range c.dests[0].backlog.entries {
		if want := int64(1000 + dropped + float64(i)); e.at.Unix() != want {
			t.Fatalf("entry %d is of %d, want %d: the oldest go", i, e.at.Unix(), want)
		}
	}
}

func TestSmallRecordsCountForWhatIsKnownOfThemInMemory(t *testing.T) {
	t.Parallel()
	c, m, _ := spooled(t, t.TempDir(), spoolMin)
	run(t, c)
	sendBatches(c, 0, 1000)
	safe(t, c)
	if n := m.value(t, "waiting"); n > spoolMin/recordMin || n < spoolMin/recordMin/2 || n+m.value(t, "dropped") != 1000 {
		t.Errorf("%v wait and %v are dropped, want at most %d", n, m.value(t, "dropped"), spoolMin/recordMin)
	}
}

func TestABatchTooLargeForTheSpoolWaitsInMemory(t *testing.T) {
	t.Parallel()
	c, m, _ := spooled(t, t.TempDir(), spoolMin)
	run(t, c)
	c.Send(noise(0, spoolMin))
	c.Send(batch(1))
	eventually(t, "the other to be on disk", func() bool { return c.dests[0].unsafe() == 1 })
	m.expect(t, map[string]float64{"waiting": 2, "dropped": 0, "spool_errors": 1})
}

// smallDisk is a folder on a file system of its own, which fill leaves no space
// on and empty does; a user who can't mount one has it pretended.
func smallDisk(t *testing.T) (dir string, fill, empty func(*spool) error) {
	t.Helper()
	dir = t.TempDir()
	if os.Getuid() != 0 {
		var full atomic.Bool
		fill = func(s *spool) error {
			s.write = func(file *os.File, b []byte, offset int64) (int, error) {
				if full.Load() {
					return 0, syscall.ENOSPC
				}
				return file.WriteAt(b, offset)
			}
			full.Store(true)
			return syscall.ENOSPC
		}
		return dir, fill, func(*spool) error { full.Store(false); return nil }
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(dir, "ballast", "file")
	if err := os.Mkdir(filepath.Dir(ballast), 0o755); err != nil {
		t.Fatal(err)
	}
	fill = func(*spool) error { return os.WriteFile(ballast, make([]byte, 4<<20), 0o640) }
	return dir, fill, func(*spool) error { return os.Remove(ballast) }
}

func TestWhileTheDiskIsFullBatchesWaitInMemory(t *testing.T) {
	carbon := newFakeCarbon(t)
	carbon.Down()
	dir, fill, empty := smallDisk(t)
	c, m := open(t, Config{Addresses: []string{carbon.Address}, SpoolDir: dir, Memory: 1 << 20, ReplayRate: -1})
	spool := c.dests[0].spool
	sendBatches(c, 0, 10)
	if err := c.dests[0].keepAll(); err != nil {
		t.Fatal(err)
	}
	if err := fill(spool); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk took too much: %v", err)
	}
	stop := run(t, c)
	const size = 10_000
	for i := 10; i < 60; i++ { // half of the memory
		c.Send(noise(i, size))
	}
	eventually(t, "the spool to fail", func() bool { return c.Status()[0].SpoolErr != nil })
	if err := c.Status()[0].SpoolErr; !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("the status says %v", err)
	}
	m.expect(t, map[string]float64{"waiting": 60, "dropped": 0})
	for i := 60; i < 160; i++ {
		c.Send(noise(i, size))
	}
	dropped := m.value(t, "dropped")
	if dropped < 40 || dropped > 60 || m.value(t, "memory") > 1<<20 || m.value(t, "spool_errors") == 0 {
		t.Errorf("%v dropped, %v bytes in memory, %v errors", dropped, m.value(t, "memory"), m.value(t, "spool_errors"))
	}
	if err := empty(spool); err != nil {
		t.Fatal(err)
	}
	safe(t, c)
	eventually(t, "the status to be well again", func() bool { return c.Status()[0].SpoolErr == nil })
	if err := stop(); err != nil {
		t.Error(err)
	}
	c, m = open(t, Config{Addresses: []string{carbon.Address}, SpoolDir: dir, ReplayRate: -1})
	m.expect(t, map[string]float64{"waiting": 160 - dropped, "corrupt": 0, "oldest": 1000})
	c.Close()
}

func TestWhatIsNotTheSpoolsIsRefusedWithAWayOut(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]struct {
		do   func(dir, folder string) error
		want string
	}{
		"a file in the folder":   {func(dir, _ string) error { return os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o644) }, "notes.txt is not the spool's: move it away"},
		"a file with a carbon's": {func(_, f string) error { return os.WriteFile(filepath.Join(f, "notes.txt"), nil, 0o644) }, "notes.txt is not the spool's: move it away"},
		"a foreign segment": {func(_, f string) error {
			return os.WriteFile(filepath.Join(f, "00000000000000000001.segment"), []byte("PK\x03\x04 and so on"), 0o644)
		}, "not a segment of a spool: move it away"},
		"a folder for a segment": {func(_, f string) error { return os.Mkdir(filepath.Join(f, "00000000000000000001.segment"), 0o755) }, "is not the spool's: move it away"},
		"a file for the folder":  {func(_, f string) error { os.Remove(f); return os.WriteFile(f, nil, 0o644) }, "is not the spool's: move it away"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			folder := filepath.Join(dir, "127.0.0.1:1")
			if err := os.Mkdir(folder, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := spoil.do(dir, folder); err != nil {
				t.Fatal(err)
			}
			_, err := New(Config{Addresses: []string{"127.0.0.1:1"}, SpoolDir: dir}, newMeters().of, quiet())
			if err == nil || !strings.Contains(err.Error(), spoil.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("it says %v, want %q", err, spoil.want)
			}
		})
	}
	if _, err := New(Config{Addresses: []string{"a:1"}, SpoolDir: "/proc/spool"}, newMeters().of, quiet()); err == nil || !strings.Contains(err.Error(), "give a folder that may be written to") {
		t.Errorf("of a folder that can't be made it says %v", err)
	}
}

func TestASpoolIsOneProcessS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := Config{Addresses: []string{"127.0.0.1:1"}, SpoolDir: dir}
	first, _ := open(t, cfg)
	_, err := New(cfg, newMeters().of, quiet())
	if err == nil || !strings.Contains(err.Error(), dir+" is in use by another relay") {
		t.Errorf("the second says %v", err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	open(t, cfg)
}

func TestTheSpoolOfACarbonThatIsNoMoreIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fill(t, dir, 0, 10)
	var said bytes.Buffer
	c, err := New(Config{Addresses: []string{"127.0.0.2:1"}, SpoolDir: dir}, newMeters().of, slog.New(slog.NewTextHandler(&said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if !strings.Contains(said.String(), "127.0.0.1:1") || !strings.Contains(said.String(), "left alone") {
		t.Errorf("it says %q", said.String())
	}
	c, _, _ = spooled(t, dir, 0)
	if got := waits(t, c); !slices.Equal(got, upTo(10)) {
		t.Errorf("it holds %v", got)
	}
}

// FuzzSegment reads any bytes as the only segment: what it takes of them can be
// read or is damaged, and what is kept behind them is there at the next start.
func FuzzSegment(f *testing.F) {
	e := &entry{seq: 1, at: time.Unix(1000, 0), points: 1}
	whole := record(e, []byte("a 0 1000\n"))
	f.Add(whole)
	f.Add(append(slices.Clone(whole), whole[:20]...))
	f.Add(append(make([]byte, 40), whole...))
	large := slices.Clone(whole)
	binary.LittleEndian.PutUint32(large[28:], 1<<31)
	binary.LittleEndian.PutUint32(large, crc32.Checksum(large[4:], castagnoli))
	f.Add(large)
	last := slices.Clone(whole)
	binary.LittleEndian.PutUint64(last[8:], 1<<64-2)
	binary.LittleEndian.PutUint32(last, crc32.Checksum(last[4:], castagnoli))
	f.Add(last)
	f.Fuzz(func(t *testing.T, records []byte) {
		dir := t.TempDir()
		folder := filepath.Join(dir, "127.0.0.1:1")
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "00000000000000000001.segment"), append([]byte(magic), records...), 0o640); err != nil {
			t.Fatal(err)
		}
		c, _, _ := spooled(t, dir, 0)
		d := c.dests[0]
		before := len(d.backlog.entries)
		for _, e := range d.backlog.entries {
			if _, err := d.spool.read(e.segment, e.offset); err != nil && !errors.Is(err, errCorrupt) {
				t.Fatal(err)
			}
		}
		c.Send(batch(7))
		if err := d.keepAll(); err != nil {
			t.Fatal(err)
		}
		c.Close()
		c, _, _ = spooled(t, dir, 0)
		if after := len(c.dests[0].backlog.entries); after != before+1 {
			t.Errorf("%d records, and one more is %d", before, after)
		}
	})
}
