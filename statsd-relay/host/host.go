// Package host reads the numbers of the machine it runs on, from Linux's /proc:
// see Metrics for all of them. Each is a gauge; what the kernel counts up becomes
// a rate over the time since the last reading. What /proc does not show is left
// out, and a file system that hangs makes nobody wait for more than a second.
package host

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/procfs"
	"github.com/prometheus/procfs/blockdevice"
)

// Config says where to read and what is named. Its zero value reads /proc.
type Config struct {
	Proc       string         // "" is /proc
	Interfaces *regexp.Regexp // that are named; nil: those of hardware, tunnels and bonds
	Disks      *regexp.Regexp // nil: whole disks, md and dm; no partitions, no loop devices
	Mounts     *regexp.Regexp // nil: all of file systems that are on devices
	Most       int            // interfaces, disks and mounts each, the first by name; 0 is 32
}

// The names of what is worth a look on most machines.
var (
	interfaces = regexp.MustCompile(`^(en|eth|wl|ww|bond|team|ib|ppp|tun|tap)`)
	disks      = regexp.MustCompile(`^([hsv]d[a-z]+|xvd[a-z]+|nvme\d+n\d+|mmcblk\d+|md\d+|dm-\d+)$`)
	mounts     = regexp.MustCompile(``)
)

// Metric is one gauge, or one for each of what {…} stands for.
type Metric struct{ Name, Unit, Help string }

// Metrics lists all that is read. In a name, "/" and "." of a mount, disk or
// interface are "_", and the mount "/" is "root".
func Metrics() []Metric {
	return []Metric{
		{"cpu.user", "percent", "of all processors' time, in programs"},
		{"cpu.nice", "percent", "in programs of low priority"},
		{"cpu.system", "percent", "in the kernel"},
		{"cpu.idle", "percent", "with nothing to do"},
		{"cpu.iowait", "percent", "with nothing to do but to wait for disks"},
		{"cpu.irq", "percent", "in interrupts"},
		{"cpu.softirq", "percent", "in what interrupts left to do"},
		{"cpu.steal", "percent", "that the hypervisor gave to others"},
		{"load.1m", "tasks", "that ran or waited, on average of a minute"},
		{"load.5m", "tasks", "of five"},
		{"load.15m", "tasks", "of fifteen"},
		{"processes.running", "tasks", "that run or could"},
		{"processes.blocked", "tasks", "that wait for disks"},
		{"context_switches", "a second", "between tasks"},
		{"uptime", "seconds", "since the machine started"},
		{"memory.total", "bytes", "there are"},
		{"memory.free", "bytes", "used for nothing"},
		{"memory.available", "bytes", "that programs could have without swapping"},
		{"memory.buffers", "bytes", "of block devices kept"},
		{"memory.cached", "bytes", "of files kept"},
		{"swap.total", "bytes", "there are"},
		{"swap.free", "bytes", "used for nothing"},
		{"disk.{disk}.reads", "a second", "completed"},
		{"disk.{disk}.writes", "a second", "completed"},
		{"disk.{disk}.read_bytes", "bytes a second", "read"},
		{"disk.{disk}.written_bytes", "bytes a second", "written"},
		{"disk.{disk}.busy", "percent", "of the time, at least one request was there"},
		{"disk.{disk}.queue", "requests", "that were there, on average"},
		{"filesystem.{mount}.size", "bytes", "there are"},
		{"filesystem.{mount}.free", "bytes", "used for nothing"},
		{"filesystem.{mount}.available", "bytes", "that who is not root may use"},
		{"filesystem.{mount}.files", "files", "that there may be"},
		{"filesystem.{mount}.files_free", "files", "that there may be more"},
		{"network.{interface}.received_bytes", "bytes a second", "received"},
		{"network.{interface}.received_packets", "a second", "received"},
		{"network.{interface}.receive_errors", "a second", "of packets that were bad"},
		{"network.{interface}.receive_drops", "a second", "of packets that there was no room for"},
		{"network.{interface}.sent_bytes", "bytes a second", "sent"},
		{"network.{interface}.sent_packets", "a second", "sent"},
		{"network.{interface}.send_errors", "a second", "of packets that could not be sent"},
		{"network.{interface}.send_drops", "a second", "of packets that there was no room for"},
		{"files.open", "files", "open in all processes"},
		{"files.limit", "files", "that may be"},
		{"tcp.connections", "connections", "established"},
		{"tcp.retransmits", "a second", "of segments sent again"},
		{"tcp.receive_errors", "a second", "of segments that were bad"},
		{"tcp.failed_connects", "a second", "of connections that could not be made"},
		{"tcp.resets", "a second", "of established connections"},
		{"tcp.listen_overflows", "a second", "of connections that a program did not accept in time"},
		{"udp.receive_errors", "a second", "of datagrams dropped, whatever the reason"},
		{"udp.receive_buffer_errors", "a second", "of datagrams dropped because a socket's buffer was full"},
		{"udp.send_buffer_errors", "a second", "of datagrams not sent because a socket's buffer was full"},
		{"udp.no_port", "a second", "of datagrams that nobody listens to"},
	}
}

// Reader reads. It is not safe for concurrent use.
type Reader struct {
	cfg    Config
	proc   procfs.FS
	block  blockdevice.FS
	statfs func(path string) (space, error)
	hung   map[string]chan spaceResult // by mount: what has not returned yet

	last   time.Time
	counts map[string]float64 // at that time, by name
	now    map[string]float64 // those of this reading
	put    func(name string, value float64)
	passed float64 // seconds since the last reading; 0 if this is the first
}

// New returns a Reader. On what is not Linux it fails, and says so.
func New(cfg Config) (*Reader, error) {
	if !supported {
		return nil, errors.New("host metrics come from Linux's /proc: switch them off on this system")
	}
	cfg.Proc = cmp.Or(cfg.Proc, "/proc")
	cfg.Interfaces, cfg.Disks, cfg.Mounts = cmp.Or(cfg.Interfaces, interfaces), cmp.Or(cfg.Disks, disks), cmp.Or(cfg.Mounts, mounts)
	cfg.Most = cmp.Or(cfg.Most, 32)
	proc, err := procfs.NewFS(cfg.Proc)
	if err != nil {
		return nil, fmt.Errorf("host metrics: %w", err)
	}
	block, err := blockdevice.NewFS(cfg.Proc, cfg.Proc) // nothing is asked of /sys
	if err != nil {
		return nil, fmt.Errorf("host metrics: %w", err)
	}
	return &Reader{cfg: cfg, proc: proc, block: block, statfs: statfs, hung: map[string]chan spaceResult{}}, nil
}

// Read gives every number to put. An error is of what could not be read; the rest
// was. The first reading has no rates.
func (r *Reader) Read(at time.Time, put func(name string, value float64)) error {
	r.put, r.now, r.passed = put, map[string]float64{}, 0
	if !r.last.IsZero() {
		r.passed = at.Sub(r.last).Seconds()
	}
	err := errors.Join(r.stat(at), r.load(), r.memory(), r.disks(), r.mounts(), r.network(), r.files(), r.sockets())
	r.last, r.counts = at, r.now
	return err
}

// rate gives how much a count has grown a second, times scale. Of a count that
// fell, as at the return of an interface, nothing is known.
func (r *Reader) rate(name string, count, scale float64) {
	before, known := r.counts[name]
	r.now[name] = count
	if known && r.passed > 0 && count >= before {
		r.put(name, (count-before)/r.passed*scale)
	}
}

// optional is rate for what older kernels do not count.
func (r *Reader) optional(name string, count *float64) {
	if count != nil {
		r.rate(name, *count, 1)
	}
}

func (r *Reader) stat(at time.Time) error {
	s, err := r.proc.Stat()
	if err != nil {
		return err
	}
	c := s.CPUTotal // guests are in user
	modes := map[string]float64{"user": c.User, "nice": c.Nice, "system": c.System, "idle": c.Idle, "iowait": c.Iowait, "irq": c.IRQ, "softirq": c.SoftIRQ, "steal": c.Steal}
	var passed float64 // of processors' time
	for mode, seconds := range modes {
		passed += seconds - r.counts["cpu."+mode]
	}
	for mode, seconds := range modes {
		name := "cpu." + mode
		before, known := r.counts[name]
		r.now[name] = seconds
		if known && passed > 0 {
			r.put(name, max(0, 100*(seconds-before)/passed)) // iowait may fall a little
		}
	}
	r.put("processes.running", float64(s.ProcessesRunning))
	r.put("processes.blocked", float64(s.ProcessesBlocked))
	r.rate("context_switches", float64(s.ContextSwitches), 1)
	r.put("uptime", at.Sub(time.Unix(int64(s.BootTime), 0)).Seconds())
	return nil
}

func (r *Reader) load() error {
	l, err := r.proc.LoadAvg()
	if err != nil {
		return err
	}
	r.put("load.1m", l.Load1)
	r.put("load.5m", l.Load5)
	r.put("load.15m", l.Load15)
	return nil
}

func (r *Reader) memory() error {
	m, err := r.proc.Meminfo()
	if err != nil {
		return err
	}
	for name, bytes := range map[string]*uint64{
		"memory.total": m.MemTotalBytes, "memory.free": m.MemFreeBytes, "memory.available": m.MemAvailableBytes,
		"memory.buffers": m.BuffersBytes, "memory.cached": m.CachedBytes,
		"swap.total": m.SwapTotalBytes, "swap.free": m.SwapFreeBytes,
	} {
		if bytes != nil {
			r.put(name, float64(*bytes))
		}
	}
	return nil
}

// sector is what /proc/diskstats counts in, whatever the disk's own is.
const sector = 512

func (r *Reader) disks() error {
	all, err := r.block.ProcDiskstats()
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(d blockdevice.Diskstats) bool { return !r.cfg.Disks.MatchString(d.DeviceName) })
	slices.SortFunc(all, func(a, b blockdevice.Diskstats) int { return cmp.Compare(a.DeviceName, b.DeviceName) })
	for _, d := range all[:min(len(all), r.cfg.Most)] {
		name := "disk." + part(d.DeviceName) + "."
		r.rate(name+"reads", float64(d.ReadIOs), 1)
		r.rate(name+"writes", float64(d.WriteIOs), 1)
		r.rate(name+"read_bytes", float64(d.ReadSectors), sector)
		r.rate(name+"written_bytes", float64(d.WriteSectors), sector)
		r.rate(name+"busy", float64(d.IOsTotalTicks), .1)      // of milliseconds a second
		r.rate(name+"queue", float64(d.WeightedIOTicks), .001) // likewise
	}
	return nil
}

func (r *Reader) network() error {
	all, err := r.proc.NetDev()
	if err != nil {
		return err
	}
	var names []string
	for name := range all {
		if r.cfg.Interfaces.MatchString(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, n := range names[:min(len(names), r.cfg.Most)] {
		d, name := all[n], "network."+part(n)+"."
		r.rate(name+"received_bytes", float64(d.RxBytes), 1)
		r.rate(name+"received_packets", float64(d.RxPackets), 1)
		r.rate(name+"receive_errors", float64(d.RxErrors), 1)
		r.rate(name+"receive_drops", float64(d.RxDropped), 1)
		r.rate(name+"sent_bytes", float64(d.TxBytes), 1)
		r.rate(name+"sent_packets", float64(d.TxPackets), 1)
		r.rate(name+"send_errors", float64(d.TxErrors), 1)
		r.rate(name+"send_drops", float64(d.TxDropped), 1)
	}
	return nil
}

func (r *Reader) files() error {
	n, err := r.proc.SysctlInts("fs.file-nr") // allocated, free (always 0), the limit
	if err != nil {
		return err
	}
	if len(n) != 3 {
		return fmt.Errorf("fs.file-nr has %d numbers, want 3", len(n))
	}
	r.put("files.open", float64(n[0]))
	r.put("files.limit", float64(n[2]))
	return nil
}

func (r *Reader) sockets() error {
	self, err := r.proc.Self()
	if err != nil {
		return err
	}
	s, err := self.Snmp()
	if err != nil {
		return err
	}
	if s.CurrEstab != nil {
		r.put("tcp.connections", *s.CurrEstab)
	}
	r.optional("tcp.retransmits", s.RetransSegs)
	r.optional("tcp.receive_errors", s.InErrs)
	r.optional("tcp.failed_connects", s.AttemptFails)
	r.optional("tcp.resets", s.EstabResets)
	r.optional("udp.receive_errors", s.Udp.InErrors)
	r.optional("udp.receive_buffer_errors", s.Udp.RcvbufErrors)
	r.optional("udp.send_buffer_errors", s.Udp.SndbufErrors)
	r.optional("udp.no_port", s.Udp.NoPorts)
	n, err := self.Netstat()
	if err != nil {
		return err
	}
	r.optional("tcp.listen_overflows", n.ListenOverflows)
	return nil
}

// part is a device's or a mount's name as a part of a metric's.
func part(name string) string {
	return strings.NewReplacer("/", "_", ".", "_").Replace(name)
}

// space is what a file system has.
type space struct{ size, free, available, files, filesFree float64 }

type spaceResult struct {
	space
	err error
}

// hangs is how long one may take to say so.
const hangs = time.Second

func (r *Reader) mounts() error {
	points, err := r.mountPoints()
	if err != nil {
		return err
	}
	var errs []error
	for _, point := range points[:min(len(points), r.cfg.Most)] {
		s, err := r.ask(point)
		if err != nil {
			errs = append(errs, fmt.Errorf("file system on %s: %w", point, err))
			continue
		}
		name := "filesystem." + cmp.Or(part(strings.Trim(point, "/")), "root") + "."
		r.put(name+"size", s.size)
		r.put(name+"free", s.free)
		r.put(name+"available", s.available)
		r.put(name+"files", s.files)
		r.put(name+"files_free", s.filesFree)
	}
	return errors.Join(errs...)
}

// mountPoints are those that are named, each device once.
func (r *Reader) mountPoints() ([]string, error) {
	real, err := r.realTypes()
	if err != nil {
		return nil, err
	}
	all, err := r.proc.GetMounts()
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(all, func(a, b *procfs.MountInfo) int { return cmp.Compare(a.MountPoint, b.MountPoint) })
	seen := map[string]bool{}
	var points []string
	for _, m := range all {
		if real[m.FSType] && !seen[m.MajorMinorVer] && r.cfg.Mounts.MatchString(m.MountPoint) {
			seen[m.MajorMinorVer] = true
			points = append(points, m.MountPoint)
		}
	}
	return points, nil
}

// realTypes are the types of file systems that are on devices, and ZFS, which
// does not say so.
func (r *Reader) realTypes() (map[string]bool, error) {
	text, err := os.ReadFile(filepath.Join(r.cfg.Proc, "filesystems"))
	if err != nil {
		return nil, err
	}
	real := map[string]bool{"zfs": true}
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "\t"); ok {
			real[strings.TrimSpace(name)] = true
		}
	}
	return real, nil
}

var errHangs = errors.New("it does not answer")

// ask asks a mount, in a goroutine that is left behind while the file system
// hangs. As long as it does, no other is begun.
func (r *Reader) ask(point string) (space, error) {
	answer, asked := r.hung[point]
	if !asked {
		answer = make(chan spaceResult, 1)
		go func() {
			s, err := r.statfs(point)
			answer <- spaceResult{s, err}
		}()
	}
	wait := hangs
	if asked {
		wait = 0
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case s := <-answer:
		delete(r.hung, point)
		return s.space, s.err
	case <-timer.C:
		r.hung[point] = answer
		return space{}, errHangs
	}
}
