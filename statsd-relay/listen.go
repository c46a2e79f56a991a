package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"syscall"

	"addons/statsd-relay/handover"
)

// Listen says where lines come in besides UDP and TCP. A path may be "@name", which is a name of Linux's own and no file.
type Listen struct {
	Unixgram   string `yaml:"unixgram"`    // path of a socket for datagrams, which is what DogStatsD's clients use; "" is none
	Unix       string `yaml:"unix"`        // path of a socket for streams: lines, or DogStatsD's frames; "" is none
	SocketMode string `yaml:"socket_mode"` // of both files, in octal as chmod(1)'s; "" is 0722, as DogStatsD's: whoever can reach it may send
}

func (l Listen) withDefaults() (Listen, error) {
	l.SocketMode = cmp.Or(l.SocketMode, "0722")
	if m, err := strconv.ParseUint(l.SocketMode, 8, 32); err != nil || m > 0o777 {
		return l, fmt.Errorf("statsd-relay: socket mode %q: give it in octal, as 0722 or 0660", l.SocketMode)
	}
	return l, nil
}

// mode is SocketMode, which withDefaults has checked.
func (l Listen) mode() fs.FileMode {
	m, _ := strconv.ParseUint(l.SocketMode, 8, 32)
	return fs.FileMode(m)
}

// listener is one address that lines come in at.
type listener interface {
	transport() string
	addr() net.Addr
	// run reads until ctx is done, and then what the kernel still holds.
	run(ctx context.Context) error
	// countDrops counts what the kernel has dropped since it was last asked.
	countDrops()
	close()
	// keepFile has close leave a unix socket's file alone: it is a successor's.
	keepFile()
	// name is what a successor finds it by, and conns are its sockets.
	name() string
	conns() []syscall.Conn
}

// listening is what the listeners have in common.
type listening struct {
	cfg  Config
	self *self
	log  *slog.Logger
	// shard makes the shard of one reader.
	shard     func(transport string) *shard
	inherited *handover.Inherited
}

// open binds all addresses of the configuration, or none.
func (l listening) open() (all []listener, err error) {
	defer func() {
		if err != nil {
			closeAll(all)
			all = nil
		}
	}()
	for _, in := range []struct {
		addresses string
		listen    func(address string) (listener, error)
	}{
		{l.cfg.UDP, l.udp}, {l.cfg.TCP, l.tcp}, {l.cfg.Listen.Unixgram, l.unixgram}, {l.cfg.Listen.Unix, l.unix},
	} {
		for address := range strings.SplitSeq(in.addresses, ",") {
			if address = strings.TrimSpace(address); address == "" {
				continue
			}
			one, err := in.listen(address)
			if err != nil {
				return all, err
			}
			all = append(all, one)
		}
	}
	return all, nil
}

func closeAll(all []listener) {
	for _, l := range all {
		l.close()
	}
}

// listenError says what to do when an address can't be had.
func listenError(network, address string, err error) error {
	if !isInUse(err) {
		return fmt.Errorf("statsd-relay: listen on %s %s: %w", network, address, err)
	}
	find := "-lnp | grep :" + port(address)
	if strings.HasPrefix(network, "unix") {
		find = "-xlp | grep " + address
	}
	return fmt.Errorf("statsd-relay: %s %s is in use: stop what listens there (ss %s), or choose another with --statsd-%s",
		network, address, find, network)
}

func port(address string) string {
	_, p, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return p
}

func isInUse(err error) bool { return errors.Is(err, errInUse) }
