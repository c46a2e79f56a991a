package handover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Successor is a process that is ready to take over.
type Successor struct {
	wire
	PID int
}

// acceptPause is between two tries to accept.
const acceptPause = 100 * time.Millisecond

// Legacy is what a process gives away while it still runs.
type Legacy struct {
	Sockets func() ([]Socket, error) // their files are closed then
	Ahead   func(io.Writer) error    // writes what a successor can prepare itself with
}

// Serve waits for a successor on l until ctx is done, whereupon it returns nil. One
// that comes to nothing is logged, and the next one waited for. l stays open.
func Serve(ctx context.Context, l *net.UnixListener, log *slog.Logger, of Legacy) (*Successor, error) {
	l.SetDeadline(time.Time{})
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		l.SetDeadline(time.Now())
		close(interrupted)
	})
	defer func() {
		if !stop() {
			<-interrupted // it will not touch the next deadline
		}
	}()
	for {
		conn, err := l.AcceptUnix()
		if ctx.Err() != nil {
			if err == nil {
				conn.Close()
			}
			return nil, nil
		}
		if errors.Is(err, net.ErrClosed) {
			return nil, fmt.Errorf("handover: %w", err)
		}
		if err != nil { // too many open files: others may close some
			log.Warn("a successor could not be heard", "error", err)
			time.Sleep(acceptPause)
			continue
		}
		s, err := greet(ctx, conn, of)
		if err == nil {
			return s, nil
		}
		conn.Close()
		log.Warn("a successor did not take over", "error", err)
	}
}

// greet answers one that dialled, until it is ready. As long as it is not, nothing is
// held up but other successors.
func greet(ctx context.Context, conn *net.UnixConn, of Legacy) (*Successor, error) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	s := &Successor{wire: wire{conn}}
	pid, uid, err := peer(conn)
	if err != nil {
		return nil, fmt.Errorf("handover: %w", err)
	}
	if err := mayTake(uid, os.Geteuid()); err != nil {
		return nil, err
	}
	s.PID = pid
	if err := s.within(patience); err != nil {
		return nil, err
	}
	var hi greeting
	if _, err := s.expect(hello, &hi); err != nil {
		return nil, err
	}
	if hi.Version != version {
		return nil, errors.Join(ErrVersion, s.send(refusal, ErrVersion.Error(), nil))
	}
	all, err := of.Sockets()
	if err != nil {
		return nil, errors.Join(err, s.send(refusal, err.Error(), nil))
	}
	defer Close(all)
	l, files := list(all)
	if err := s.send(offer, l, numbers(files)); err != nil {
		return nil, err
	}
	if err := s.begin(ahead, nil); err != nil {
		return nil, err
	}
	if err := s.stream(of.Ahead); err != nil {
		return nil, err
	}
	if _, err := s.expect(ready, nil); err != nil {
		return nil, err
	}
	return s, nil
}

// HandOver sends the state that write writes, with connections, and returns nil
// when the successor has taken it and will read from now on. With an error the
// successor does not, and the caller goes on. Either way the connection is closed.
func (s *Successor) HandOver(connections []Socket, write func(io.Writer) error) error {
	defer s.conn.Close()
	if err := s.within(pause); err != nil {
		return err
	}
	l, files := list(connections)
	if err := s.send(open, l, numbers(files)); err != nil {
		return err
	}
	if err := s.begin(state, nil); err != nil {
		return err
	}
	if err := s.stream(write); err != nil {
		return fmt.Errorf("handover: send the state: %w", err)
	}
	if _, err := s.expect(taken, nil); err != nil {
		return err
	}
	return s.begin(gone, nil)
}

// Refuse tells the successor that it can't take over now, and why.
func (s *Successor) Refuse(why error) {
	defer s.conn.Close()
	s.send(refusal, why.Error(), nil)
}

// numbers are the descriptors of files.
func numbers(files []*os.File) (all []int) {
	for _, f := range files {
		all = append(all, int(f.Fd()))
	}
	return all
}

// Dup returns a second descriptor of conn, which stays as it is: unlike that of its
// File method, nothing makes the socket that both share a blocking one.
func Dup(conn syscall.Conn) (*os.File, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	var derr error
	if err := raw.Control(func(own uintptr) { fd, derr = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return nil, err
	}
	if derr != nil {
		return nil, os.NewSyscallError("fcntl", derr)
	}
	return os.NewFile(uintptr(fd), "socket"), nil
}
