package relay

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// save keeps what is known in a file. It is called before the last flush, whose points
// then are of an interval that goes on: the next process's flush of the same interval
// has all of it, and takes their place in whisper.
func (r *Relay) save(path string) {
	if path == "" {
		return
	}
	if err := r.saveTo(path); err != nil {
		r.log.Error("the state is not kept for the next start", "error", err)
	}
}

func (r *Relay) saveTo(path string) error {
	r.flushing.Lock()
	defer r.flushing.Unlock()
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // for the owner alone
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it was renamed
	out, sum := bufio.NewWriterSize(f, 64<<10), sha256.New()
	err = r.leave(io.MultiWriter(out, sum), nil)
	if err == nil {
		_, err = out.Write(sum.Sum(nil))
	}
	if err := errors.Join(err, out.Flush(), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// whole returns what is in a file of saveTo's before its sum, or why that is not right.
func whole(f *os.File) (io.Reader, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	length := info.Size() - sha256.Size
	if length < 0 {
		return nil, errors.New("it was cut off")
	}
	sum, want := sha256.New(), make([]byte, sha256.Size)
	if _, err := io.Copy(sum, io.NewSectionReader(f, 0, length)); err != nil {
		return nil, err
	}
	if _, err := f.ReadAt(want, length); err != nil {
		return nil, err
	}
	if !bytes.Equal(sum.Sum(nil), want) {
		return nil, errors.New("it is damaged")
	}
	return bufio.NewReaderSize(io.NewSectionReader(f, 0, length), 64<<10), nil
}

// forget removes a state that is not to be taken up: what a predecessor has left is newer.
func (r *Relay) forget(path string) {
	if path == "" {
		return
	}
	if info, err := os.Lstat(path); err == nil && info.IsDir() {
		return
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.log.Error("an old state is still there, and the next start would take it up", "error", err)
	}
}

// restore takes up what save has kept. A file serves once: should this process be
// killed, what it says is not true any more.
func (r *Relay) restore(path string) {
	if path == "" {
		return
	}
	err := r.restoreFrom(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		r.log.Error("the state of the last process can't be read, and it all begins anew", "file", path, "error", err)
	default:
		r.log.Info("the state of the last process was read", "series", r.agg.count)
	}
}

func (r *Relay) restoreFrom(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() { // which Remove would take as well
		return errors.New("it is a folder: give a file in it")
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	in, err := whole(f) // so that nothing of a damaged one is taken in
	if err != nil {
		return err
	}
	if err := r.inherit(in); err != nil {
		return err
	}
	// Sockets are other ones.
	for _, l := range r.in {
		if p, ok := l.(*packetListener); ok {
			p.forgetDrops()
		}
	}
	if !time.Now().Before(r.due) { // the last process has flushed all of that interval
		r.agg.flush(r.due, func(*flush) {})
		r.due = time.Time{}
		r.agg.begin()
	}
	return nil
}
