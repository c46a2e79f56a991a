//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// generator is the argument that makes this program the generator: it reads a
// plan from its input, sends, and writes what it sent to its output. A process of
// its own, so that the bench's own work does not come between two datagrams.
const generator = "generate"

const (
	sources = 8                      // sockets to send from, so that peers with SO_REUSEPORT see as many flows
	burst   = 64                     // datagrams of a sendmmsg
	slice   = 200 * time.Microsecond // of waiting between two bursts
	stall   = 50 * time.Millisecond  // that it makes up for; what comes at once after a longer one would overflow any peer's buffer
)

// sender is a generator that has made its load and waits.
type sender struct {
	cmd    *exec.Cmd
	cancel context.CancelFunc
	in     io.WriteCloser
	out    *json.Decoder
}

// makeLoad is how long a generator may take to make its load.
const makeLoad = time.Minute

// prepare starts a generator, and returns once its load is made. It ends with
// send, or with close.
func prepare(ctx context.Context, p plan) (*sender, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	// It paces itself; this is for the case that it hangs.
	planned := time.Duration(float64(p.Lines) / float64(p.Rate) * float64(time.Second))
	ctx, cancel := context.WithTimeout(ctx, makeLoad+startup+2*quantileFlush+2*planned)
	g := &sender{cmd: exec.CommandContext(ctx, self, generator), cancel: cancel}
	g.cmd.Stderr = os.Stderr
	out, err := g.cmd.StdoutPipe()
	if err == nil {
		g.in, err = g.cmd.StdinPipe()
	}
	if err == nil {
		err = g.cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, err
	}
	g.out = json.NewDecoder(out)
	var ready bool
	if err := errors.Join(json.NewEncoder(g.in).Encode(p), g.out.Decode(&ready)); err != nil {
		g.close()
		return nil, fmt.Errorf("generator: %w", err)
	}
	return g, nil
}

// send has the generator send its load.
func (g *sender) send() (s sent, err error) {
	defer g.close()
	if err := errors.Join(json.NewEncoder(g.in).Encode(true), g.out.Decode(&s)); err != nil {
		return s, fmt.Errorf("generator: %w", err)
	}
	return s, nil
}

// close ends the generator. It may be called twice.
func (g *sender) close() {
	g.cancel()
	g.cmd.Wait() // killed or done: what it had to say was read
}

// generate is the generator's process. It reads a plan, writes true when its load
// is made, reads the word to begin, and writes what it has sent.
func generate() error {
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	var p plan
	if err := in.Decode(&p); err != nil {
		return err
	}
	load, ok := loads[p.Load]
	if !ok {
		return fmt.Errorf("no load %q", p.Load)
	}
	all := datagrams(load(p.Lines), p.Packed)
	var conns []*ipv4.PacketConn
	for range sources {
		c, err := net.Dial("udp4", p.Addr)
		if err != nil {
			return err
		}
		defer c.Close()
		conns = append(conns, ipv4.NewPacketConn(c.(*net.UDPConn)))
	}
	runtime.GC() // nothing is allocated from here on
	var begin bool
	if err := errors.Join(out.Encode(true), in.Decode(&begin)); err != nil {
		return err
	}
	s, err := pace(p, all, conns)
	if err != nil {
		return err
	}
	return out.Encode(s)
}

// pace sends the plan's lines at its rate, over and over the datagrams there are.
func pace(p plan, all []datagram, conns []*ipv4.PacketConn) (s sent, err error) {
	messages := make([]ipv4.Message, len(all))
	for i := range all {
		messages[i].Buffers = [][]byte{all[i].payload}
	}
	// The runtime's timers are too coarse to rest for a slice.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return s, err
	}
	rest := unix.NsecToTimespec(slice.Nanoseconds())
	perLine := float64(time.Second) / float64(p.Rate)
	limit := time.Duration(1.5 * perLine * float64(p.Lines))
	start := time.Now()
	var stalled time.Duration
	for next, turn := 0, 0; s.Lines < p.Lines; turn++ {
		elapsed := time.Since(start)
		if elapsed > limit {
			break
		}
		elapsed -= stalled
		if late := elapsed - time.Duration(float64(s.Lines)*perLine); late > stall {
			stalled += late
			elapsed -= late
		}
		due := min(int(float64(elapsed)/perLine)+1, p.Lines)
		if s.Lines >= due {
			unix.Nanosleep(&rest, nil) // ends early at a signal, which does no harm
			continue
		}
		end, lines := next, s.Lines
		for ; end < len(all) && end-next < burst && lines < due; end++ {
			lines += all[end].lines
		}
		n, err := conns[turn%len(conns)].WriteBatch(messages[next:end], 0)
		if err != nil {
			return s, err
		}
		for _, d := range all[next : next+n] {
			s.Lines += d.lines
			s.Counted += d.counted
		}
		next = (next + n) % len(all)
	}
	s.Seconds = time.Since(start).Seconds()
	return s, nil
}
