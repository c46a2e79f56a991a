package handover

import (
	"bufio"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// wire is a connection with messages: a head of a kind and how many files come with
// it, the files, and a body in chunks, each behind its length. The files of a head
// go with its bytes, and further ones with a byte each, for the kernel takes no more
// than 253 at a time (SCM_MAX_FD).
type wire struct{ conn *net.UnixConn }

const (
	headSize  = 5
	filesMost = 250
	maxFiles  = 1 << 16
	chunkSize = 64 << 10
)

// within bounds what is read and written from now on.
func (w *wire) within(d time.Duration) error { return w.conn.SetDeadline(time.Now().Add(d)) }

// begin sends a message's head and files. Its body follows, if it has one.
func (w *wire) begin(k kind, files []int) error {
	head := binary.BigEndian.AppendUint32([]byte{byte(k)}, uint32(len(files)))
	for {
		n := min(len(files), filesMost)
		var rights []byte
		if n > 0 {
			rights = unix.UnixRights(files[:n]...)
		}
		if _, _, err := w.conn.WriteMsgUnix(head, rights, nil); err != nil {
			return fmt.Errorf("handover: send %v: %w", k, err)
		}
		if files = files[n:]; len(files) == 0 {
			return nil
		}
		head = []byte{0}
	}
}

// send sends a message whose body is v.
func (w *wire) send(k kind, v any, files []int) error {
	if err := w.begin(k, files); err != nil {
		return err
	}
	return w.stream(func(to io.Writer) error { return gob.NewEncoder(to).Encode(v) })
}

// stream sends what write writes as the body of the message that was begun.
func (w *wire) stream(write func(io.Writer) error) error {
	c := &chunks{to: w.conn}
	buffered := bufio.NewWriterSize(c, chunkSize)
	if err := errors.Join(write(buffered), buffered.Flush()); err != nil {
		return err
	}
	return c.end()
}

// chunks writes each Write as one chunk.
type chunks struct{ to io.Writer }

func (c *chunks) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		n := min(len(rest), chunkSize)
		chunk := append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+n), uint32(n)), rest[:n]...)
		if _, err := c.to.Write(chunk); err != nil {
			return 0, err
		}
		rest = rest[n:]
	}
	return len(b), nil
}

func (c *chunks) end() error {
	_, err := c.to.Write(make([]byte, 4))
	return err
}

// next reads the head of a message and the files that come with it.
func (w *wire) next() (kind, []*os.File, error) {
	head := make([]byte, headSize)
	files, err := w.read(head)
	if err != nil {
		closeFiles(files)
		return 0, nil, err
	}
	k, want := kind(head[0]), int(binary.BigEndian.Uint32(head[1:]))
	if want > maxFiles {
		closeFiles(files)
		return 0, nil, fmt.Errorf("handover: %v with %d files: it is no relay that speaks", k, want)
	}
	for len(files) < want {
		more, err := w.read(make([]byte, 1))
		files = append(files, more...)
		if err == nil && len(more) == 0 {
			err = fmt.Errorf("handover: %v came with %d of %d files: raise the limit of open files", k, len(files), want)
		}
		if err != nil {
			closeFiles(files)
			return 0, nil, err
		}
	}
	return k, files, nil
}

// read fills b, and returns the files that came with it.
func (w *wire) read(b []byte) (files []*os.File, err error) {
	rights := make([]byte, unix.CmsgSpace(4*filesMost))
	for len(b) > 0 {
		n, m, flags, _, err := w.conn.ReadMsgUnix(b, rights)
		more, perr := parse(rights[:m])
		files = append(files, more...)
		switch {
		case err == nil && n == 0:
			return files, io.EOF
		case err != nil || perr != nil:
			return files, errors.Join(err, perr)
		case flags&unix.MSG_CTRUNC != 0:
			return files, errors.New("handover: files were lost on their way: raise the limit of open files")
		}
		b = b[n:]
	}
	return files, nil
}

// parse opens the files of control messages.
func parse(rights []byte) (files []*os.File, err error) {
	if len(rights) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			return files, err
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "inherited socket"))
		}
	}
	return files, nil
}

// body reads the body of the message whose head was read.
func (w *wire) body() io.Reader { return &body{from: w.conn} }

type body struct {
	from io.Reader
	left int
	done bool
}

func (b *body) Read(to []byte) (int, error) {
	if b.left == 0 && !b.done {
		var length [4]byte
		if _, err := io.ReadFull(b.from, length[:]); err != nil {
			return 0, unexpected(err)
		}
		n := binary.BigEndian.Uint32(length[:])
		if n > chunkSize {
			return 0, fmt.Errorf("handover: a chunk of %d bytes: it is no relay that speaks", n)
		}
		b.left, b.done = int(n), n == 0
	}
	if b.done {
		return 0, io.EOF
	}
	n, err := b.from.Read(to[:min(len(to), b.left)])
	b.left -= n
	return n, unexpected(err)
}

// unexpected turns an end in the middle into an error.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// expect reads a message of the kind, whose body goes into v unless that is nil.
func (w *wire) expect(want kind, v any) ([]*os.File, error) {
	k, files, err := w.next()
	switch {
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("handover: the other process closed the connection instead of saying %v", want)
	case err != nil:
		return nil, fmt.Errorf("handover: wait for %v: %w", want, err)
	case k == refusal:
		closeFiles(files)
		var why string
		if err := w.decode(&why, 0); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("handover: the relay that runs refuses: %s", why)
	case k != want:
		closeFiles(files)
		return nil, fmt.Errorf("handover: %v came instead of %v", k, want)
	case v == nil:
		return files, nil
	}
	if err := w.decode(v, len(files)); err != nil {
		closeFiles(files)
		return nil, err
	}
	return files, nil
}

// noteMost is the longest that a file's name and note may be together: a note has the
// line that a connection has begun, of 64 KiB at the most.
const noteMost = 128 << 10

// decode reads a whole body, with which files came, into v. Only states are larger.
func (w *wire) decode(v any, files int) error {
	in := w.body()
	most := noteMost * int64(1+files)
	if err := gob.NewDecoder(io.LimitReader(in, most)).Decode(v); err != nil {
		return fmt.Errorf("handover: %w", err)
	}
	_, err := io.Copy(io.Discard, in)
	return err
}
