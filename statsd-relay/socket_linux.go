package relay

import (
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// control calls f with conn's file descriptor.
func control(conn syscall.Conn, f func(fd int) error) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var ferr error
	if err := raw.Control(func(fd uintptr) { ferr = f(int(fd)) }); err != nil {
		return err
	}
	return ferr
}

// setReceiveBuffer asks for n bytes and returns what the kernel grants. Past
// net.core.rmem_max it takes CAP_NET_ADMIN.
func setReceiveBuffer(conn *net.UDPConn, n int) (granted int, err error) {
	err = control(conn, func(fd int) error {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, n) != nil {
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, n); err != nil {
				return err
			}
		}
		var err error
		granted, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
		return err
	})
	return granted / 2, err // the kernel doubles it for its own bookkeeping: socket(7)
}

// setReusePort lets further sockets of this user share the address. It may be
// set on a socket that is bound already, which so was the only one until then.
func setReusePort(conn syscall.Conn) error {
	return control(conn, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
}

// reusePort is the Control of a net.ListenConfig that joins such an address.
func reusePort(_, _ string, raw syscall.RawConn) error {
	var serr error
	if err := raw.Control(func(fd uintptr) {
		serr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}); err != nil {
		return err
	}
	return serr
}

// kernelDrops returns how many datagrams the kernel has dropped of conn because its
// receive buffer was full, modulo 2^32. SO_MEMINFO asks the socket itself: unlike
// /proc/net/udp it is no list of every socket of the host, which containers may
// hide; unlike SO_RXQ_OVFL it needs no control message in each read, and tells of
// drops that no datagram follows. The index is SK_MEMINFO_DROPS of sock_diag(7)'s
// header.
func kernelDrops(conn syscall.Conn) (drops uint32, err error) {
	const vars, index = 9, 8
	var info [vars]uint32
	err = control(conn, func(fd int) error {
		size := uint32(unsafe.Sizeof(info))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		if errno != 0 {
			return errno
		}
		return nil
	})
	return info[index], err
}

// restrict makes the file of a unix socket that is not bound yet the owner's alone,
// so that nobody can connect before its mode is set.
func restrict(_, _ string, raw syscall.RawConn) error {
	var cerr error
	if err := raw.Control(func(fd uintptr) { cerr = unix.Fchmod(int(fd), 0o600) }); err != nil {
		return err
	}
	return cerr
}

// sleep stops this thread in the kernel, with its share of GOMAXPROCS. time.Sleep would go
// through the timers and the scheduler's search for work, and a system call that the
// runtime knows of would have it hand that share to another thread, which finds nothing
// to do: a reader that rests a thousand times a second costs half as much like this.
// The runtime can still stop it: its signal ends the rest.
func sleep(d time.Duration) {
	ts := unix.NsecToTimespec(d.Nanoseconds())
	unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&ts)), 0, 0) // a signal may end it early
}

// datagrams receives the datagrams of one socket by recvmmsg(2), which the syscall
// package lacks; golang.org/x/net's makes an address of each datagram's sender.
type datagrams struct {
	raw     syscall.RawConn
	memory  []byte
	vectors [batchSize]unix.Iovec
	headers [batchSize]mmsghdr
	recv    func(fd uintptr) bool // made once, so that no read allocates

	wait bool
	n    int
	err  error
}

// mmsghdr is recvmmsg's.
type mmsghdr struct {
	header unix.Msghdr
	length uint32
}

// stride parts the buffers. A multiple of the page would put all datagrams' first
// bytes into the same few lines of the processor's cache.
const stride = datagram + 33*64

func newDatagrams(conn syscall.Conn) (*datagrams, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	// Of 4 MiB, only pages that datagrams have reached become resident.
	memory, err := unix.Mmap(-1, 0, batchSize*stride, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	unix.Madvise(memory, unix.MADV_NOHUGEPAGE) // a kernel without huge pages refuses
	b := &datagrams{raw: raw, memory: memory}
	b.recv = b.receiveFrom
	for i := range b.headers {
		b.vectors[i].Base = &memory[i*stride]
		b.vectors[i].SetLen(datagram)
		b.headers[i].header.Iov = &b.vectors[i]
		b.headers[i].header.SetIovlen(1)
	}
	return b, nil
}

// free gives the buffers back; no datagram may be used any more.
func (b *datagrams) free() { unix.Munmap(b.memory) }

// receive reads the datagrams that there are. If there are none, it waits, or fails
// with EAGAIN.
func (b *datagrams) receive(wait bool) (int, error) {
	b.wait = wait
	if err := b.raw.Read(b.recv); err != nil {
		return 0, err
	}
	return b.n, b.err
}

// receiveFrom is called by the runtime; false makes it wait.
func (b *datagrams) receiveFrom(fd uintptr) bool {
	for {
		// It does not wait, so the runtime need not know of it.
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&b.headers[0])), batchSize, unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			b.n, b.err = int(n), nil
		case unix.EINTR:
			continue
		default:
			b.n, b.err = 0, errno
		}
		return errno != unix.EAGAIN || !b.wait
	}
}

// at returns one of those that were received last.
func (b *datagrams) at(i int) []byte { return b.memory[i*stride:][:b.headers[i].length] }

const errInUse = syscall.EADDRINUSE
