package enginetest

import (
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// Process is an engine of the test's own, to be killed, stopped and started again at
// the same address.
type Process struct {
	Addr string // host:port

	program string
	args    []string
	cmd     *exec.Cmd
}

// Memcached returns a running memcached with further arguments; it ends with the test.
func Memcached(t testing.TB, args ...string) *Process {
	t.Helper()
	addr, port := freeAddr(t)
	return run(t, &Process{
		Addr: addr, program: URL(t, "MEMCACHED"),
		args: append([]string{"-u", "nobody", "-l", "127.0.0.1", "-U", "0", "-p", port}, args...),
	})
}

// Redis returns a running Redis with further arguments; it ends with the test. It
// keeps what it has on disk only if the arguments say so, in the test's folder.
func Redis(t testing.TB, args ...string) *Process {
	t.Helper()
	addr, port := freeAddr(t)
	return run(t, &Process{
		Addr: addr, program: URL(t, "REDIS_SERVER"),
		args: append([]string{"--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", t.TempDir()}, args...),
	})
}

func freeAddr(t testing.TB) (addr, port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String(), strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func run(t testing.TB, p *Process) *Process {
	t.Helper()
	p.Start(t)
	t.Cleanup(p.Kill)
	return p
}

// Start starts it, and returns when it takes connections. Only the test's own
// goroutine may call it.
func (p *Process) Start(t testing.TB) {
	t.Helper()
	p.cmd = exec.Command(p.program, p.args...)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if p.answers() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer at %s", p.program, p.Addr)
		}
	}
}

// answers says whether it does: an engine that loads what it has on disk takes
// connections before.
func (p *Process) answers() bool {
	conn, err := net.DialTimeout("tcp", p.Addr, time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := fmt.Fprint(conn, "get ready\r\n"); err != nil { // which both understand
		return false
	}
	answer := make([]byte, 64)
	n, err := conn.Read(answer)
	return err == nil && n > 0 && answer[0] != '-'
}

// Kill ends it at once.
func (p *Process) Kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// Freeze stops it where it is, until Thaw: it takes connections and does not answer.
func (p *Process) Freeze() { p.cmd.Process.Signal(syscall.SIGSTOP) }

// Thaw ends Freeze.
func (p *Process) Thaw() { p.cmd.Process.Signal(syscall.SIGCONT) }
