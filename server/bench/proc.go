package bench

import (
	"fmt"
	"time"

	"github.com/prometheus/procfs"
)

// cpuOf is the user and system time that a process has used, with the processes that
// it has waited for left out. pid 0 is nobody.
func cpuOf(pid int) (time.Duration, error) {
	if pid == 0 {
		return 0, nil
	}
	stat, err := statOf(pid)
	return time.Duration(stat.CPUTime() * float64(time.Second)), err
}

// residentOf is what a process has resident, in MiB.
func residentOf(pid int) (float64, error) {
	stat, err := statOf(pid)
	return float64(stat.ResidentMemory()) / (1 << 20), err
}

func statOf(pid int) (procfs.ProcStat, error) {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return procfs.ProcStat{}, fmt.Errorf("process %d, which takes Linux's /proc: %w", pid, err)
	}
	return p.Stat()
}
