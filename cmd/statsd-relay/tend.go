package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	relay "addons/statsd-relay"
)

// systemd is the address of the manager that wants to know how the process is
// (sd_notify(3)); "" is none, and '@' stands for an abstract name.
type systemd string

// tell sends the state. A manager that does not hear it is not ours to repair.
func (s systemd) tell(log *slog.Logger, state string) {
	if s == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: string(s), Net: "unixgram"})
	if err == nil {
		defer conn.Close()
		_, err = conn.Write([]byte(state))
	}
	if err != nil {
		log.Warn("systemd was not told", "state", state, "error", err)
	}
}

// catchHangups has SIGHUP come over a channel instead of ending the process. One
// that waits there stands for all that come meanwhile.
func catchHangups() (hangups chan os.Signal, stop func()) {
	hangups = make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	return hangups, func() { signal.Stop(hangups) }
}

// tend reloads the configuration at each hangup, and tells systemd of it and of
// the begin and the end, until ctx is done.
func tend(ctx context.Context, r *relay.Relay, hangups <-chan os.Signal, manager systemd, log *slog.Logger) error {
	manager.tell(log, "READY=1")
	for {
		select {
		case <-ctx.Done():
			manager.tell(log, "STOPPING=1")
			return nil
		case <-hangups:
			manager.tell(log, "RELOADING=1")
			if err := r.Reload(); errors.Is(err, relay.ErrNoSource) {
				log.Warn("SIGHUP changes nothing", "error", err)
			}
			manager.tell(log, "READY=1")
		}
	}
}
