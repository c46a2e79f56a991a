package carbon

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/klauspost/compress/s2"
)

// A spool folder has a file "lock", and for each carbon a folder of segments, and
// of the number of the first record that is not done with ("cursor"). A segment
// is the magic and then records, each appended whole and synced:
//
//	CRC-32C of the rest  length  number  Unix ns  points  size    lines, S2-compressed
//	uint32               uint32  uint64  int64    uint32  uint32  length bytes
//
// all little-endian. The points' highest bit says that more of the same time
// follows. Nothing in a segment is ever changed. What a crash left half
// written at its end is cut off when it is opened.
const (
	magic      = "carbon spool 1\n"
	headerSize = 32
	cursorSize = 12
	// recordMin is what a record counts for at least, so that the limit in bytes
	// bounds what is known of each record in memory too.
	recordMin = 4 << 10
	// recordMax bounds the lines of a record.
	recordMax  = 256 << 20
	moreBit    = 1 << 31
	seqMax     = math.MaxInt64 // far beyond what there can be
	segmentMin = 64 << 10
	segmentMax = 16 << 20
	spoolMin   = 16 * segmentMin
)

var (
	castagnoli  = crc32.MakeTable(crc32.Castagnoli)
	segmentName = regexp.MustCompile(`^[0-9]{20}\.segment$`)
)

// errCorrupt is a record that is not what was written.
var errCorrupt = errors.New("corrupt record")

// segment is one file of records.
type segment struct {
	path   string
	size   int64 // of the file
	charge int64 // what it counts for
	open   int   // entries that are not done; the backlog's lock guards it
}

// spool is a carbon's folder. Its methods are for one goroutine, but for read.
type spool struct {
	dir         string
	limit       int64
	segmentSize int64
	segments    []*segment // oldest first
	file        *os.File   // of the last segment, while it is written to
	cursor      *os.File
	first       uint64 // that cursor holds
	charge      atomic.Int64

	write func(file *os.File, b []byte, offset int64) (int, error) // (*os.File).WriteAt, but for tests

	synced, syncedCharge int64 // the last segment's size and charge, as far as they are safe
}

// openSpool reads a carbon's folder, which it makes if need be. torn is how many
// segments had an end that could not be read, and was cut off.
func openSpool(dir string, limit int64, log *slog.Logger) (s *spool, entries []*entry, torn int, err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, nil, 0, fmt.Errorf("spool: %w: give a folder that may be written to", err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, 0, fmt.Errorf("spool: %w", err)
	}
	s = &spool{dir: dir, limit: limit, segmentSize: min(max(limit/16, segmentMin), segmentMax), write: (*os.File).WriteAt}
	for i, f := range files {
		if f.Name() == "cursor" { // sorts behind the segments
			continue
		}
		path := filepath.Join(dir, f.Name())
		if !segmentName.MatchString(f.Name()) || !f.Type().IsRegular() {
			return nil, nil, 0, fmt.Errorf("spool: %s is not the spool's: move it away, or give another folder", path)
		}
		last := i+1 == len(files) || files[i+1].Name() == "cursor"
		found, cut, err := s.load(path, last)
		if err != nil {
			return nil, nil, 0, err
		}
		if cut > 0 {
			torn++
			log.Warn("spool: the end of a segment could not be read and was cut off", "segment", path, "bytes", cut)
		}
		entries = append(entries, found...)
	}
	if err := s.openCursor(); err != nil {
		return nil, nil, 0, err
	}
	return s, s.pending(entries), torn, nil
}

// load takes up a segment, and cuts off what can't be read at its end. Of the last
// one, where a crash leaves something, the sums are checked too; of others when
// they are sent.
func (s *spool) load(path string, last bool) (entries []*entry, cut int64, err error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, 0, fmt.Errorf("spool: %w: make it readable and writable, or move it away", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, 0, fmt.Errorf("spool: %w", err)
	}
	seg := &segment{path: path}
	entries, seg.size, err = scan(file, info.Size(), seg, last)
	if err != nil {
		return nil, 0, fmt.Errorf("spool: %s: %w: move it away, or give another folder", path, err)
	}
	if cut = info.Size() - seg.size; cut > 0 {
		if err := file.Truncate(seg.size); err != nil {
			return nil, 0, fmt.Errorf("spool: %w", err)
		}
	}
	if len(entries) == 0 {
		return nil, cut, os.Remove(path)
	}
	s.segments = append(s.segments, seg)
	s.charge.Add(seg.charge)
	return entries, cut, nil
}

// errForeign is a file that no spool wrote.
var errForeign = errors.New("not a segment of a spool")

// scan reads the records of a segment of size bytes, up to the first that is not
// whole, or if check is true not what was written; good is where it begins.
func scan(r io.ReaderAt, size int64, seg *segment, check bool) (entries []*entry, good int64, err error) {
	head := make([]byte, min(size, int64(len(magic))))
	if _, err := r.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	if !strings.HasPrefix(magic, string(head)) {
		return nil, 0, errForeign
	}
	if len(head) < len(magic) { // the process ended as it made the file
		return nil, 0, nil
	}
	good = int64(len(magic))
	for {
		e, length, err := readHeader(r, good, size)
		if err == nil && check {
			_, err = readPayload(r, good, length)
		}
		if errors.Is(err, errCorrupt) || errors.Is(err, io.EOF) {
			return entries, good, nil
		}
		if err != nil {
			return nil, 0, err
		}
		e.segment, e.offset = seg, good
		entries = append(entries, e)
		n := headerSize + length
		good += n
		seg.charge += max(n, recordMin)
	}
}

// readHeader reads the header of the record at offset of a file of size bytes, and
// returns how long the payload behind it is.
func readHeader(r io.ReaderAt, offset, size int64) (e *entry, length int64, err error) {
	var h [headerSize]byte
	if size-offset < headerSize {
		return nil, 0, io.EOF
	}
	if _, err := r.ReadAt(h[:], offset); err != nil {
		return nil, 0, err
	}
	length = int64(binary.LittleEndian.Uint32(h[4:]))
	e = &entry{
		seq:    binary.LittleEndian.Uint64(h[8:]),
		at:     time.Unix(0, int64(binary.LittleEndian.Uint64(h[16:]))),
		points: int(binary.LittleEndian.Uint32(h[24:]) &^ moreBit),
		more:   binary.LittleEndian.Uint32(h[24:])&moreBit != 0,
		size:   int(binary.LittleEndian.Uint32(h[28:])),
	}
	if length > size-offset-headerSize || e.size > recordMax || e.seq == 0 || e.seq > seqMax {
		return nil, 0, errCorrupt
	}
	return e, length, nil
}

// readPayload reads what is behind a header, and checks it.
func readPayload(r io.ReaderAt, offset, length int64) ([]byte, error) {
	b := make([]byte, headerSize+length)
	if _, err := r.ReadAt(b, offset); err != nil {
		return nil, err
	}
	if crc32.Checksum(b[4:], castagnoli) != binary.LittleEndian.Uint32(b) {
		return nil, errCorrupt
	}
	return b[headerSize:], nil
}

// read returns the lines of an entry that is on disk. It may be called beside the others.
func (s *spool) read(seg *segment, offset int64) ([]byte, error) {
	file, err := os.Open(seg.path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	e, length, err := readHeader(file, offset, info.Size())
	var payload []byte
	if err == nil {
		payload, err = readPayload(file, offset, length)
	}
	if err == nil {
		payload, err = decode(payload, e.size)
	}
	if errors.Is(err, io.EOF) {
		err = errCorrupt
	}
	if err != nil {
		return nil, fmt.Errorf("%s at %d: %w", seg.path, offset, err)
	}
	return payload, nil
}

// decode gives the lines, which are to be size bytes.
func decode(payload []byte, size int) ([]byte, error) {
	if n, err := s2.DecodedLen(payload); err != nil || n != size {
		return nil, errCorrupt
	}
	lines, err := s2.Decode(nil, payload)
	if err != nil {
		return nil, errCorrupt
	}
	return lines, nil
}

// pending is what of the records is not done with, in order.
func (s *spool) pending(entries []*entry) []*entry {
	entries = slices.DeleteFunc(entries, func(e *entry) bool { return e.seq < s.first })
	slices.SortStableFunc(entries, func(a, b *entry) int {
		if a.seq < b.seq {
			return -1
		}
		return 1
	})
	for _, e := range entries {
		e.segment.open++
	}
	return entries
}

// openCursor reads the cursor. One that can't be read, as after a crash of the
// machine, costs no more than sending again what is still there.
func (s *spool) openCursor() error {
	file, err := os.OpenFile(filepath.Join(s.dir, "cursor"), os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return fmt.Errorf("spool: %w: make it readable and writable, or move it away", err)
	}
	s.cursor = file
	var b [cursorSize]byte
	if _, err := file.ReadAt(b[:], 0); err == nil && crc32.Checksum(b[:8], castagnoli) == binary.LittleEndian.Uint32(b[8:]) {
		s.first = binary.LittleEndian.Uint64(b[:])
	}
	return nil
}

// setCursor notes the first record that is not done with. It is not synced: the
// page survives the process.
func (s *spool) setCursor(first uint64) error {
	if first == s.first {
		return nil
	}
	b := binary.LittleEndian.AppendUint64(nil, first)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	if _, err := s.cursor.WriteAt(b, 0); err != nil {
		return err
	}
	s.first = first
	return nil
}

// record renders e.
func record(e *entry, lines []byte) []byte {
	b := make([]byte, headerSize, headerSize+s2.MaxEncodedLen(len(lines)))
	payload := s2.Encode(b[headerSize:cap(b)], lines)
	b = b[:headerSize+len(payload)]
	binary.LittleEndian.PutUint32(b[4:], uint32(len(payload)))
	binary.LittleEndian.PutUint64(b[8:], e.seq)
	binary.LittleEndian.PutUint64(b[16:], uint64(e.at.UnixNano()))
	points := uint32(e.points)
	if e.more {
		points |= moreBit
	}
	binary.LittleEndian.PutUint32(b[24:], points)
	binary.LittleEndian.PutUint32(b[28:], uint32(len(lines)))
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	return b
}

// append writes a record, which is not safe before sync. On an error nothing stays
// of what was not synced.
func (s *spool) append(seq uint64, b []byte) (seg *segment, offset int64, err error) {
	if s.file == nil || s.active().size+int64(len(b)) > s.segmentSize {
		if err := s.rotate(seq); err != nil {
			return nil, 0, err
		}
	}
	seg = s.active()
	offset = seg.size
	if _, err = s.write(s.file, b, offset); err != nil {
		return nil, 0, errors.Join(err, s.giveUp())
	}
	seg.size += int64(len(b))
	charge := max(int64(len(b)), recordMin)
	seg.charge += charge
	s.charge.Add(charge)
	return seg, offset, nil
}

// sync makes safe what was appended.
func (s *spool) sync() error {
	if s.file == nil {
		return nil
	}
	if err := s.file.Sync(); err != nil {
		return errors.Join(err, s.giveUp())
	}
	s.synced, s.syncedCharge = s.active().size, s.active().charge
	return nil
}

// giveUp closes the segment, cut off where it was synced last. After a failed sync
// nobody knows what the pages hold: the next record begins another.
func (s *spool) giveUp() error {
	seg := s.active()
	err := errors.Join(s.file.Truncate(s.synced), s.file.Close())
	s.file = nil
	s.charge.Add(s.syncedCharge - seg.charge)
	seg.size, seg.charge = s.synced, s.syncedCharge
	if s.synced == int64(len(magic)) {
		err = errors.Join(err, s.remove(seg))
	}
	return err
}

func (s *spool) active() *segment { return s.segments[len(s.segments)-1] }

// closeFile ends the segment.
func (s *spool) closeFile() error {
	if s.file == nil {
		return nil
	}
	if err := s.sync(); err != nil {
		return err
	}
	err := s.file.Close()
	s.file = nil
	return err
}

// rotate begins a segment. Its name is the number of its first record; records
// that were late to be written may have a lower one.
func (s *spool) rotate(seq uint64) error {
	if err := s.closeFile(); err != nil {
		return err
	}
	path := filepath.Join(s.dir, fmt.Sprintf("%020d.segment", seq))
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	_, err = file.WriteString(magic)
	if err == nil {
		err = syncFolder(s.dir)
	}
	if err != nil {
		return errors.Join(err, file.Close(), os.Remove(path))
	}
	s.file, s.synced, s.syncedCharge = file, int64(len(magic)), 0
	s.segments = append(s.segments, &segment{path: path, size: s.synced})
	return nil
}

// syncFolder makes sure that a file's name survives.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// remove deletes a segment.
func (s *spool) remove(seg *segment) error {
	if err := os.Remove(seg.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	s.charge.Add(-seg.charge)
	s.segments = slices.DeleteFunc(s.segments, func(o *segment) bool { return o == seg })
	return nil
}

// full says whether n more bytes are past the limit.
func (s *spool) full(n int) bool {
	return s.charge.Load()+max(int64(n), recordMin) > s.limit
}

// close closes the files; of none, or twice, it does nothing.
func (s *spool) close() error {
	if s == nil || s.cursor == nil {
		return nil
	}
	err := errors.Join(s.closeFile(), s.cursor.Close())
	s.cursor = nil
	return err
}

// lock is what keeps two processes off one spool.
type lock struct{ file *os.File }

// lockSpool makes the folder and takes it. Folders of carbons that are not nodes
// stay as they are, and are told of.
func lockSpool(dir string, nodes []node, log *slog.Logger) (*lock, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("spool: %w: give a folder that may be written to", err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("spool: %w: give a folder that may be read", err)
	}
	for _, f := range files {
		switch {
		case f.Name() == "lock":
		case !f.IsDir():
			return nil, fmt.Errorf("spool: %s is not the spool's: move it away, or give another folder", filepath.Join(dir, f.Name()))
		case !slices.ContainsFunc(nodes, func(n node) bool { return folder(n) == f.Name() }):
			log.Warn("spool: left alone, for it is of no carbon that is configured", "folder", filepath.Join(dir, f.Name()))
		}
	}
	path := filepath.Join(dir, "lock")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("spool: %w: give a folder that may be written to", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("spool: %s is in use by another relay: stop it, or give each a folder of its own", dir)
		}
		return nil, fmt.Errorf("spool: lock %s: %w", path, err)
	}
	return &lock{file}, nil
}

// release lets others have the spool; of none, or twice, it does nothing.
func (l *lock) release() error {
	if l == nil || l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}

// folder is the name of a node's folder.
func folder(n node) string { return url.PathEscape(n.String()) }
