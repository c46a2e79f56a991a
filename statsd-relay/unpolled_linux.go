package relay

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// unpolled is a socket that the runtime's poller does not know. The poller is woken by
// each datagram that comes, whether anybody waits for it or not, and its thread then
// looks for work in vain: of what single lines cost, that was a third. This one is
// waited for only by who reads it, and only while it is empty.
type unpolled struct {
	local net.Addr
	fd    int
	wake  int // an eventfd that ends a wait

	closing atomic.Bool
	ended   atomic.Bool  // reads fail
	mu      sync.RWMutex // held for reading while the descriptors are in use
}

// unpoll takes conn's socket over, and closes conn.
func unpoll(conn packetConn) (packetConn, error) {
	defer conn.Close()
	u := &unpolled{local: conn.LocalAddr()}
	err := control(conn, func(fd int) (err error) {
		u.fd, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	if u.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		unix.Close(u.fd)
		return nil, os.NewSyscallError("eventfd", err)
	}
	return u, nil
}

func (u *unpolled) LocalAddr() net.Addr { return u.local }

func (u *unpolled) SyscallConn() (syscall.RawConn, error) { return u, nil }

// use calls f while the descriptors are open.
func (u *unpolled) use(f func() error) error {
	u.mu.RLock()
	defer u.mu.RUnlock()
	if u.closing.Load() {
		return net.ErrClosed
	}
	return f()
}

// Control is syscall.RawConn's.
func (u *unpolled) Control(f func(fd uintptr)) error {
	return u.use(func() error {
		f(uintptr(u.fd))
		return nil
	})
}

// Read calls f until it returns true, and before each further time waits until there
// is something to read.
func (u *unpolled) Read(f func(fd uintptr) bool) error {
	return u.use(func() error {
		for !u.ended.Load() {
			if f(uintptr(u.fd)) {
				return nil
			}
			on := []unix.PollFd{{Fd: int32(u.fd), Events: unix.POLLIN}, {Fd: int32(u.wake), Events: unix.POLLIN}}
			if _, err := unix.Poll(on, -1); err != nil && !errors.Is(err, unix.EINTR) {
				return os.NewSyscallError("poll", err)
			}
			if u.closing.Load() {
				return net.ErrClosed
			}
		}
		return os.ErrDeadlineExceeded
	})
}

// Write is syscall.RawConn's. Nobody writes to these sockets.
func (u *unpolled) Write(func(fd uintptr) bool) error { return errors.ErrUnsupported }

// SetReadDeadline takes now, which ends a read that waits and those to come, and the
// zero time, which undoes that.
func (u *unpolled) SetReadDeadline(t time.Time) error {
	return u.use(func() error {
		u.ended.Store(!t.IsZero())
		if t.IsZero() {
			unix.Read(u.wake, make([]byte, 8)) // fails if it was not set
			return nil
		}
		return u.signal()
	})
}

func (u *unpolled) signal() error {
	_, err := unix.Write(u.wake, []byte{0: 1, 7: 0})
	return os.NewSyscallError("eventfd", err)
}

// Close ends reads with net.ErrClosed.
func (u *unpolled) Close() error {
	if u.closing.Swap(true) {
		return net.ErrClosed
	}
	err := u.signal()
	u.mu.Lock()
	defer u.mu.Unlock()
	return errors.Join(err, unix.Close(u.fd), unix.Close(u.wake))
}
