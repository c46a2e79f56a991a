//go:build linux

package main

import "context"

// distinctKeys, each with keySamples samples, are the load that memory is
// measured with.
const (
	distinctKeys = 100_000
	keySamples   = 5
	memoryRate   = 40_000
)

// memory measures what is resident with many timers of few samples each.
func (b *bench) memory(ctx context.Context, t *trial) error {
	g, err := t.prepare(ctx, plan{Load: "keys", Packed: true, Rate: memoryRate, Lines: distinctKeys * keySamples})
	if err != nil {
		return err
	}
	defer g.close()
	resident := func(column, field string) error {
		mib, err := t.process.memory(field)
		b.add("memory", t.peer.name, column, mib)
		return err
	}
	if err := resident("idle MiB", "VmRSS"); err != nil {
		return err
	}
	s, err := g.send()
	if err != nil {
		return err
	}
	if err := resident("after load MiB", "VmRSS"); err != nil {
		return err
	}
	total, err := t.output(ctx, s)
	if err != nil {
		return err
	}
	if err := resident("after flush MiB", "VmRSS"); err != nil {
		return err
	}
	b.add("memory", t.peer.name, "loss %", loss(s, total))
	return resident("peak MiB", "VmHWM")
}
