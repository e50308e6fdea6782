package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// sample is the figures of one kind, one a round.
type sample []float64

func (s sample) median() float64 {
	if len(s) == 0 {
		return 0
	}
	c := slices.Sorted(slices.Values(s))
	return (c[(len(c)-1)/2] + c[len(c)/2]) / 2
}

// show prints median [min..max]; unit stands behind the median.
func (s sample) show(format, unit string) string {
	if len(s) == 0 {
		return "nothing"
	}
	f := func(v float64) string { return fmt.Sprintf(format, v) }
	return f(s.median()) + unit + " [" + f(slices.Min(s)) + ".." + f(slices.Max(s)) + "]"
}

// ratios divides round by round.
func ratios(a, b sample) sample {
	out := make(sample, len(a))
	for i := range a {
		out[i] = a[i] / b[i]
	}
	return out
}

// ownCPU is what this process and the children it has waited for have used.
func ownCPU() time.Duration {
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		sum += rusage(who)
	}
	return sum
}

func rusage(who int) time.Duration {
	var r syscall.Rusage
	must(syscall.Getrusage(who, &r))
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// timed runs f and gives its wall and CPU time in this process, in seconds.
func timed(f func()) (wall, cpu float64) {
	runtime.GC() // what others left behind is not f's
	c, t := rusage(syscall.RUSAGE_SELF), time.Now()
	f()
	return time.Since(t).Seconds(), (rusage(syscall.RUSAGE_SELF) - c).Seconds()
}

// processCPU is the CPU time of another process, all threads, in seconds. The
// sum in /proc/PID/stat counts in ticks of 10 ms; the scheduler's own count of
// each living thread is in ns. Whichever is larger is nearer: threads that
// ended are in the first alone.
func processCPU(pid int) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name in parentheses may hold anything; the state follows it.
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	ticks := (atof(f[11]) + atof(f[12])) / 100
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	exact := 0.0
	for _, t := range threads {
		if b, err := os.ReadFile(t); err == nil {
			ns, _, _ := strings.Cut(string(b), " ")
			exact += atof(ns) / 1e9
		}
	}
	return max(ticks, exact)
}

func atof(s string) float64 {
	v, _ := strconv.ParseFloat(strings.TrimSpace(s), 64)
	return v
}

// peak is the process's highest resident size since resetPeak, in bytes. It is
// read from the kernel's account of this address space alone: the peak that
// wait4 reports carries the parent's over exec.
func peak(pid int) int64 { return statusOf(pid, "VmHWM:") }

// statusOf is a size in /proc/PID/status, in bytes.
func statusOf(pid int, name string) int64 {
	b := need(os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)))
	for line := range bytes.Lines(b) {
		if v, ok := bytes.CutPrefix(line, []byte(name)); ok {
			kB, _, _ := strings.Cut(strings.TrimSpace(string(v)), " ")
			return int64(atof(kB)) << 10
		}
	}
	must(fmt.Errorf("no %s of process %d", name, pid))
	return 0
}

// resident is the process's resident size now, in bytes.
func resident(pid int) int64 { return statusOf(pid, "VmRSS:") }

// resetPeak makes the highest resident size the present one (proc(5), clear_refs).
func resetPeak(pid int) {
	must(os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0))
}

// load is the state of the machine at one time.
type load struct {
	at        time.Time
	busy, own float64 // CPU seconds
}

func (l load) seconds() float64 { return time.Since(l.at).Seconds() }

func (b *bench) loadNow() load {
	own := ownCPU().Seconds()
	if b.shared != nil {
		for _, pid := range b.pids {
			own += processCPU(pid)
		}
	}
	return load{time.Now(), busyCPU(), own}
}

// othersSince is how many cores other processes kept busy since l.
func (b *bench) othersSince(l load) float64 {
	now := b.loadNow()
	return max(0, (now.busy-l.busy)-(now.own-l.own)) / now.at.Sub(l.at).Seconds()
}

// busyCPU is the CPU time that the whole machine has used, in seconds.
func busyCPU() float64 {
	b, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(b), "\n")
	sum := 0.0
	for i, f := range strings.Fields(line)[1:] {
		if i != 3 && i != 4 && i < 8 { // idle, waiting for the disk; guests are in user already
			sum += atof(f) / 100
		}
	}
	return sum
}

// machine says in one line where this is.
func machine() string {
	model := "unknown processor"
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		s := bufio.NewScanner(f)
		for s.Scan() {
			if k, v, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(k) == "model name" {
				model = strings.TrimSpace(v)
				break
			}
		}
		_ = f.Close()
	}
	l, _ := os.ReadFile("/proc/loadavg")
	avg, _, _ := strings.Cut(string(l), " ")
	return fmt.Sprintf("%d × %s, %s, load average %s at the start", runtime.NumCPU(), model, runtime.Version(), avg)
}
