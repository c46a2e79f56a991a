package handover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"
)

// Predecessor is a process that hands over.
type Predecessor struct {
	wire
	// Gone is whether it has handed over: what it had, as the files of its sockets, is
	// this process's then, and its own before.
	Gone    bool
	sockets []Socket
}

// Dial asks the process that listens at path for its sockets. It returns nil if
// there is none.
func Dial(ctx context.Context, path string) (*Predecessor, error) {
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, "unix", path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("handover: %w", err)
	}
	p := &Predecessor{wire: wire{conn.(*net.UnixConn)}}
	if err := p.ask(); err != nil {
		conn.Close()
		return nil, err
	}
	return p, nil
}

func (p *Predecessor) ask() error {
	_, uid, err := peer(p.conn)
	if err != nil {
		return fmt.Errorf("handover: %w", err)
	}
	if err := mayGive(uid, os.Geteuid()); err != nil {
		return err
	}
	if err := p.within(patience); err != nil {
		return err
	}
	if err := p.send(hello, greeting{version}, nil); err != nil {
		return err
	}
	var l listing
	files, err := p.expect(offer, &l)
	if err != nil {
		return err
	}
	p.sockets, err = l.sockets(files)
	if err == nil && l.Version != version {
		Close(p.sockets)
		err = fmt.Errorf("handover: %w", ErrVersion)
	}
	return err
}

// Heir takes what a predecessor leaves.
type Heir struct {
	Prepare func(ahead io.Reader) error                       // while the predecessor still runs
	Take    func(connections []Socket, state io.Reader) error // whose files are its to close
}

// Succeed has h take all. Once it has returned nil the predecessor is gone, and the
// caller is to read; with an error the predecessor goes on, and the caller must not.
func (p *Predecessor) Succeed(h Heir) error {
	defer p.conn.Close()
	if err := p.within(patience); err != nil {
		return err
	}
	if _, err := p.expect(ahead, nil); err != nil {
		return err
	}
	if err := p.readBody(h.Prepare); err != nil {
		return err
	}
	if err := errors.Join(p.within(patience), p.begin(ready, nil)); err != nil {
		return err
	}
	var l listing
	files, err := p.expect(open, &l)
	if err != nil {
		return err
	}
	connections, err := l.sockets(files)
	if err != nil {
		return err
	}
	if _, err := p.expect(state, nil); err != nil {
		Close(connections)
		return err
	}
	if err := p.readBody(func(body io.Reader) error { return h.Take(connections, body) }); err != nil {
		return err
	}
	// With time left for the answer: behind it the predecessor does not read any more.
	if err := errors.Join(p.within(patience), p.begin(taken, nil)); err != nil {
		return err
	}
	_, err = p.expect(gone, nil)
	p.Gone = err == nil
	return err
}

// readBody has f read a body, and passes over what it leaves.
func (p *Predecessor) readBody(f func(io.Reader) error) error {
	body := p.body()
	if err := f(body); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, body)
	return err
}
