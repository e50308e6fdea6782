package main

import (
	"os"
	"runtime/debug"
	"syscall"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		s    sample
		want float64
		show string
	}{
		{nil, 0, "nothing"},
		{sample{3}, 3, "3.0 s [3.0..3.0]"},
		{sample{9, 1, 5}, 5, "5.0 s [1.0..9.0]"},
		{sample{4, 1, 2, 8}, 3, "3.0 s [1.0..8.0]"},
	} {
		if got := c.s.median(); got != c.want {
			t.Errorf("median of %v is %v", c.s, got)
		}
		if got := c.s.show("%.1f", " s"); got != c.show {
			t.Errorf("%v is shown as %q", c.s, got)
		}
	}
	if r := ratios(sample{2, 9}, sample{4, 3}); r[0] != 0.5 || r[1] != 3 {
		t.Errorf("ratios %v", r)
	}
}

// The peak counts what was resident since the reset, and forgets it at the next.
func TestPeak(t *testing.T) {
	const size = 64 << 20
	me := os.Getpid()
	resetPeak(me)
	before := peak(me)
	m, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < size; i += 4096 {
		m[i] = 1
	}
	if got := peak(me) - before; got < size/2 {
		t.Errorf("64 MiB made the peak grow by %d bytes", got)
	}
	if err := syscall.Munmap(m); err != nil {
		t.Fatal(err)
	}
	debug.FreeOSMemory()
	if high := peak(me) - before; high < size/2 {
		t.Errorf("the peak sank by itself to %d", high)
	}
	resetPeak(me)
	if got := peak(me) - before; got > size/2 {
		t.Errorf("after the reset the peak is still %d bytes higher", got)
	}
}

// Both ways to count the CPU time of a process agree for this one.
func TestProcessCPU(t *testing.T) {
	me := os.Getpid()
	start, at := ownCPU().Seconds(), processCPU(me)
	n := 0
	for ownCPU().Seconds()-start < 0.3 {
		n++
	}
	used, seen := ownCPU().Seconds()-start, processCPU(me)-at
	if seen < used/2 || seen > used*2 {
		t.Errorf("used %.3f s, seen %.3f s after %d looks", used, seen, n)
	}
}

// A group that fails ends with its own error, and nothing else is swallowed.
func TestGuard(t *testing.T) {
	b := &bench{}
	if err := b.guard(func() { demand(false, "no %d", 7) }); err == nil || err.Error() != "no 7" {
		t.Errorf("%v", err)
	}
	if err := b.guard(func() {}); err != nil {
		t.Error(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a fault of the program was hidden")
		}
	}()
	_ = b.guard(func() { panic("a fault") })
}
