package handover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Inherited are the sockets that a process begins with: its predecessor's, or
// systemd's. A nil one has none.
type Inherited struct {
	From    *Predecessor // nil: systemd's
	sockets []Socket
}

// Find asks the process that listens at path, or else looks whether systemd has
// passed sockets; path "" asks nobody. Without either it returns nil.
func Find(ctx context.Context, path string) (*Inherited, error) {
	sockets, err := activated(os.Getpid(), os.Getenv, firstActivated)
	if err != nil {
		return nil, err
	}
	if path != "" {
		switch p, err := Dial(ctx, path); {
		case err != nil:
			Close(sockets)
			return nil, err
		case p != nil: // it has the same, and what is queued in them is in both
			Close(sockets)
			return &Inherited{From: p, sockets: p.sockets}, nil
		}
	}
	if len(sockets) == 0 {
		return nil, nil
	}
	return &Inherited{sockets: sockets}, nil
}

// firstActivated is SD_LISTEN_FDS_START.
const firstActivated = 3

// activated opens the sockets that systemd passes from descriptor first on
// (sd_listen_fds(3)). What they are for, their addresses tell.
func activated(pid int, env func(string) string, first int) (sockets []Socket, err error) {
	if env("LISTEN_PID") != strconv.Itoa(pid) {
		return nil, nil
	}
	n, err := strconv.Atoi(env("LISTEN_FDS"))
	if err != nil || n < 0 || n > maxFiles {
		return nil, fmt.Errorf("handover: LISTEN_FDS=%q: it is how many sockets systemd passes", env("LISTEN_FDS"))
	}
	for fd := first; fd < first+n; fd++ {
		unix.CloseOnExec(fd)
		name, err := describe(fd)
		if err != nil {
			Close(sockets)
			return nil, fmt.Errorf("handover: descriptor %d from systemd: %w", fd, err)
		}
		sockets = append(sockets, Socket{Name: name, File: os.NewFile(uintptr(fd), name)})
	}
	return sockets, nil
}

// Take returns the sockets for an address of a network ("udp", "tcp", "unixgram",
// "unix"), which belong to the caller from now on. There are several if the
// address has several.
func (in *Inherited) Take(network, address string) (taken []Socket) {
	if in == nil {
		return nil
	}
	want := places(network, address)
	in.sockets = slices.DeleteFunc(in.sockets, func(s Socket) bool {
		ours := slices.Contains(want, s.Name)
		if ours {
			taken = append(taken, s)
		}
		return ours
	})
	return taken
}

// Listener returns the inherited listener for an address, or one that it binds.
func (in *Inherited) Listener(network, address string) (net.Listener, error) {
	all := in.Take(network, address)
	if len(all) == 0 {
		return net.Listen(network, address)
	}
	defer Close(all)
	return net.FileListener(all[0].File)
}

// Rest says for which addresses nobody has taken the sockets.
func (in *Inherited) Rest() (names []string) {
	if in == nil {
		return nil
	}
	for _, s := range in.sockets {
		names = append(names, s.Name)
	}
	return names
}

// Close frees what nobody has taken, with the files of a predecessor's unix sockets if
// that is gone. One that has not handed over goes on.
func (in *Inherited) Close() error {
	if in == nil {
		return nil
	}
	Close(in.sockets)
	if in.From != nil && in.From.Gone {
		removeFiles(in.sockets)
	}
	in.sockets = nil
	if in.From == nil {
		return nil
	}
	if err := in.From.conn.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// removeFiles removes those of unix sockets that nobody has any more.
func removeFiles(sockets []Socket) {
	for _, s := range sockets {
		if network, path, _ := strings.Cut(s.Name, " "); strings.HasPrefix(network, "unix") && !strings.HasPrefix(path, "@") {
			os.Remove(path) // somebody may have been quicker
		}
	}
}

// Name is what a socket that listens at a configured address is called.
func Name(network, address string) string { return network + " " + address }

// places are the names that a socket for the address may have: as configured, which
// is what a predecessor calls it, and as the kernel knows it.
func places(network, address string) []string {
	names := []string{Name(network, address)}
	host, port, err := net.SplitHostPort(address)
	if err != nil || strings.HasPrefix(network, "unix") {
		return names
	}
	if host == "" { // both families, or one where there is only that
		return append(names, Name(network, "[::]:"+port), Name(network, "0.0.0.0:"+port))
	}
	switch network {
	case "udp":
		if a, err := net.ResolveUDPAddr(network, address); err == nil {
			names = append(names, Name(network, a.String()))
		}
	case "tcp":
		if a, err := net.ResolveTCPAddr(network, address); err == nil {
			names = append(names, Name(network, a.String()))
		}
	}
	return names
}
