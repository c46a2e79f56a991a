package handover

import (
	"fmt"
	"net"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// describe names a socket by what the kernel knows of it.
func describe(fd int) (string, error) {
	typ, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return "", os.NewSyscallError("getsockopt", err)
	}
	address, err := unix.Getsockname(fd)
	if err != nil {
		return "", os.NewSyscallError("getsockname", err)
	}
	datagrams := typ == unix.SOCK_DGRAM
	if !datagrams && typ != unix.SOCK_STREAM {
		return "", fmt.Errorf("a socket of type %d: only ListenDatagram= and ListenStream= are of use", typ)
	}
	inet, local := "tcp", "unix"
	if datagrams {
		inet, local = "udp", "unixgram"
	}
	switch a := address.(type) {
	case *unix.SockaddrInet4:
		return Name(inet, net.JoinHostPort(net.IP(a.Addr[:]).String(), strconv.Itoa(a.Port))), nil
	case *unix.SockaddrInet6:
		return Name(inet, net.JoinHostPort(net.IP(a.Addr[:]).String(), strconv.Itoa(a.Port))), nil
	case *unix.SockaddrUnix:
		return Name(local, a.Name), nil
	}
	return "", fmt.Errorf("a socket of a family that is not known: %T", address)
}
