package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
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

// catchSignals has SIGHUP and SIGUSR2 come over a channel instead of ending the
// process. Past a few that wait there, further ones are the same again.
func catchSignals() (signals chan os.Signal, stop func()) {
	signals = make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGUSR2)
	return signals, func() { signal.Stop(signals) }
}

// tend reloads the configuration at SIGHUP, starts a successor at SIGUSR2, and tells
// systemd of all that, until ctx is done.
func tend(ctx context.Context, r *relay.Relay, signals <-chan os.Signal, next upgrade, manager systemd, log *slog.Logger) error {
	manager.tell(log, "READY=1")
	for {
		select {
		case <-ctx.Done():
			if pid := r.Successor(); pid != 0 {
				manager.tell(log, fmt.Sprintf("MAINPID=%d", pid))
			} else {
				manager.tell(log, "STOPPING=1")
			}
			return nil
		case s := <-signals:
			if s == syscall.SIGUSR2 {
				next.start(os.Args)
				continue
			}
			manager.tell(log, "RELOADING=1")
			if err := r.Reload(); errors.Is(err, relay.ErrNoSource) {
				log.Warn("SIGHUP changes nothing", "error", err)
			}
			manager.tell(log, "READY=1")
		}
	}
}

// upgrade starts the program anew, as it is on disk now, to take over at the path.
type upgrade struct {
	path string
	log  *slog.Logger
}

// start does so with the command line args. Should the successor end before it has
// taken over, this process goes on.
func (u upgrade) start(args []string) {
	if u.path == "" {
		u.log.Warn("SIGUSR2 changes nothing: a successor needs --handover PATH to take over at")
		return
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		u.log.Error("the successor can't be started: this process goes on", "error", err)
		return
	}
	u.log.Info("a successor was started", "pid", cmd.Process.Pid)
	go func() { // it ends with this process, or with the successor if that fails
		if err := cmd.Wait(); err != nil {
			u.log.Error("the successor has ended", "error", err)
		}
	}()
}
