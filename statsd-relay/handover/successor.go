package handover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"syscall"
)

// Predecessor is a process that hands over.
type Predecessor struct {
	wire
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

// Succeed says that all is ready, and calls take with what the predecessor then
// sends. Once Succeed has returned nil the predecessor is gone, and the caller is to
// read; with an error it goes on, and the caller must not. The files of connections
// are take's to close.
func (p *Predecessor) Succeed(take func(connections []Socket, state io.Reader) error) error {
	defer p.conn.Close()
	if err := p.within(patience); err != nil {
		return err
	}
	if err := p.begin(ready, nil); err != nil {
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
	body := p.body()
	if err := take(connections, body); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, body); err != nil {
		return err
	}
	if err := p.begin(taken, nil); err != nil {
		return err
	}
	_, err = p.expect(gone, nil)
	return err
}
