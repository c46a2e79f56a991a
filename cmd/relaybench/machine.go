//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// rmemDefault holds what the kernel keeps of a socket that asks for nothing. As
// shipped that is 208 KiB, less than 3 ms of single lines at 100,000 a second,
// and peers that don't set their buffer would be measured by it alone.
const rmemDefault = "/proc/sys/net/core/rmem_default"

// machine takes the machine for one measure, so that two benches take turns, and gives the sockets of all
// peers the same receive buffer. release takes both back.
func (b *bench) machine(ctx context.Context) (release func(), err error) {
	lock, err := exclusive(ctx)
	if err != nil {
		return nil, err
	}
	before, err := os.ReadFile(rmemDefault)
	if err != nil {
		lock.Close()
		return nil, err
	}
	if err := os.WriteFile(rmemDefault, []byte(strconv.Itoa(receiveBuffer)), 0o644); err != nil {
		b.buffers = fmt.Sprintf("net.core.rmem_default stayed %s, for it takes root to raise it: peers that don't set their buffer lose in bursts", strings.TrimSpace(string(before)))
		return func() { lock.Close() }, nil
	}
	b.buffers = fmt.Sprintf("net.core.rmem_default was %s and is %d during the bench, for every peer", strings.TrimSpace(string(before)), receiveBuffer)
	return func() {
		if err := os.WriteFile(rmemDefault, before, 0o644); err != nil {
			b.say("net.core.rmem_default could not be set back to %s: %v", before, err)
		}
		lock.Close()
	}, nil
}

// exclusive waits for the measures of other benches on this machine.
func exclusive(ctx context.Context) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "relaybench.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for waits := false; ; waits = true {
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			return lock, nil
		}
		if !waits {
			fmt.Fprintln(os.Stderr, "another relaybench is measuring here: waiting for its end")
		}
		select {
		case <-ctx.Done():
			lock.Close()
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}
