package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// bar shows progress on one line of a terminal, and as a line every few seconds
// elsewhere. Nothing is shown until there is progress.
type bar struct {
	out      *os.File
	what     string
	terminal bool

	mu    sync.Mutex
	last  time.Time
	shown bool
}

func newBar(out *os.File, what string) *bar {
	info, err := out.Stat()
	return &bar{out: out, what: what, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

// show is called after each step; total 0 means unknown.
func (b *bar) show(done, total int, name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	pause := 100 * time.Millisecond
	if !b.terminal {
		pause = 2 * time.Second
	}
	if time.Since(b.last) < pause && done != total {
		return
	}
	b.last, b.shown = time.Now(), true
	line := fmt.Sprintf("%s %d", b.what, done)
	if total > 0 {
		const width = 30
		filled := min(width, width*done/total)
		line = fmt.Sprintf("%s [%s%s] %d/%d %.40s", b.what, strings.Repeat("#", filled), strings.Repeat(".", width-filled), done, total, name)
	}
	if b.terminal {
		fmt.Fprintf(b.out, "\r\x1b[K%s", line)
		return
	}
	fmt.Fprintln(b.out, line)
}

// end leaves the terminal on a fresh line.
func (b *bar) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shown && b.terminal {
		fmt.Fprintln(b.out)
	}
}
