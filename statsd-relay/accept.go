package relay

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"syscall"
	"time"
)

// streamSocket is what net.TCPListener and net.UnixListener have in common.
type streamSocket interface {
	net.Listener
	syscall.Conn
	SetDeadline(time.Time) error
}

// errHandOver is the cause of a ctx that is done because a successor takes over. The
// sockets stay open then, and what they hold is the successor's to read.
var errHandOver = errors.New("a successor takes over")

func handsOver(ctx context.Context) bool { return errors.Is(context.Cause(ctx), errHandOver) }

// accept gives take each connection, until ctx is done: then also those that wait to be
// accepted. It closes nothing.
func accept(ctx context.Context, l streamSocket, log *slog.Logger, take func(net.Conn)) error {
	if err := l.SetDeadline(time.Time{}); err != nil {
		return err
	}
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		if handsOver(ctx) {
			l.SetDeadline(time.Now())
		} else {
			l.SetDeadline(time.Now().Add(drainPause))
		}
	})
	defer stop()
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			take(conn)
		case ctx.Err() != nil:
			<-interrupted
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		default: // too many open files: others may close some
			log.Warn("accept", "address", l.Addr(), "error", err)
			time.Sleep(10 * time.Millisecond)
		}
	}
}
