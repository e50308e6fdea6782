//go:build linux && amd64

// Package ptrace lets one system call of a running process go wrong, chosen by its number over all threads: the process
// is killed before the call, or the call fails with EIO or ENOSPC and is not executed. (strace counts for each thread
// by itself, and a Go program moves its goroutines between threads: its points cannot be swept.)
//
// It is for tests, for Linux on amd64 only: registers and call numbers are that machine's.
package ptrace

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Plan says which call is hit.
type Plan struct {
	Fault  Fault
	N      int    // the N-th call that Fault may be given to, from 1; 0 hits none
	Only   string // of these, only calls with this name, e.g. fsync; "": all
	Record bool   // keep every call in the report
}

// Call is one system call.
type Call struct {
	N      int // over all threads, in the order of entry, from 1
	TID    int
	Name   string
	On     string // path or socket, for calls that name one
	EIO    bool   // EIO may be given to it
	ENOSPC bool   // the same
}

func (c Call) String() string {
	if c.On == "" {
		return fmt.Sprintf("call %d %s", c.N, c.Name)
	}
	return fmt.Sprintf("call %d %s %s", c.N, c.Name, c.On)
}

// Report is what a window saw.
type Report struct {
	Calls  int             // entered while the window was open, by all threads
	Points int             // of these: calls that the plan's fault may be given to
	Hit    *Call           // the call that was hit; nil when the window had fewer
	Record []Call          // with Plan.Record
	Gone   bool            // the process has ended
	Status unix.WaitStatus // then: how
}

// Tracer holds one process. All its calls of ptrace are made by one thread, as the kernel wants it.
type Tracer struct {
	pid  int
	hit  chan struct{}
	done chan struct{}

	mu     sync.Mutex
	plan   *Plan // the window is open
	leave  bool  // Detach was called
	report Report
	err    error

	// Of the tracing thread alone:
	threads map[int]*thread
	leaving bool // every thread was asked to stop, to be left
}

// thread is what must be known of a thread between two of its stops.
type thread struct {
	settled bool       // it has stopped once and its calls are seen
	inside  bool       // of a system call
	result  unix.Errno // to be put in the place of the result at the exit
}

// Attach takes hold of all threads of a process and lets them run on; they hardly notice. It returns when every call of
// every thread is seen; none is counted before Open. The process must lead a process group of its own. If it is a child
// of this program and ends, its status is in the Report and not in exec.Cmd.
func Attach(pid int) (*Tracer, error) {
	if group, err := unix.Getpgid(pid); err != nil || group != pid {
		return nil, fmt.Errorf("process %d leads no process group: %w", pid, errors.Join(err, unix.EINVAL))
	}
	t := &Tracer{pid: pid, hit: make(chan struct{}), done: make(chan struct{}), threads: map[int]*thread{}}
	ready := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its tracees' freedom
		defer close(t.done)
		if err := t.seizeAll(); err != nil {
			ready <- err
			return
		}
		t.loop(ready)
	}()
	if err := <-ready; err != nil {
		_, left := t.Detach()
		return nil, errors.Join(err, left)
	}
	return t, nil
}

// Open opens the window: calls entered from now on are counted.
func (t *Tracer) Open(p Plan) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.plan = &p
}

// Hit is closed when the chosen call is hit.
func (t *Tracer) Hit() <-chan struct{} { return t.hit }

// Done is closed when the process has ended or was left.
func (t *Tracer) Done() <-chan struct{} { return t.done }

// Detach closes the window and lets go of the process. A call that was hit still fails.
func (t *Tracer) Detach() (Report, error) {
	t.mu.Lock()
	t.plan, t.leave = nil, true
	t.mu.Unlock()
	// The tracing thread waits for a stop. SIGURG makes one, and means nothing to a Go program and, by default, to any.
	if err := unix.Kill(t.pid, unix.SIGURG); err != nil && !errors.Is(err, unix.ESRCH) {
		return Report{}, fmt.Errorf("wake %d: %w", t.pid, err)
	}
	<-t.done
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.report, t.err
}

// options: system call stops can be told from signals; new threads are held from their first instruction. Processes
// that it starts are not followed, and it may outlive us.
const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE

func request(what int, tid int, data uintptr) error {
	_, _, e := unix.Syscall6(unix.SYS_PTRACE, uintptr(what), uintptr(tid), 0, data, 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

// seizeAll takes the threads that there are and that are not held yet, and stops each once.
func (t *Tracer) seizeAll() error {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", t.pid))
	if err != nil {
		return fmt.Errorf("threads: %w", err)
	}
	for _, e := range tasks {
		tid, err := strconv.Atoi(e.Name())
		if err != nil {
			return fmt.Errorf("threads: %w", err)
		}
		if t.threads[tid] != nil {
			continue
		}
		err = request(unix.PTRACE_SEIZE, tid, options)
		if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EPERM) && t.held(tid) {
			continue // it has ended, or it came with its creator, whom we hold: its first stop will tell
		}
		if err != nil {
			return fmt.Errorf("seize thread %d: %w", tid, err)
		}
		t.threads[tid] = &thread{}
		if err := request(unix.PTRACE_INTERRUPT, tid, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("stop thread %d: %w", tid, err)
		}
	}
	return nil
}

// held tells whether the thread is traced by this process already.
func (t *Tracer) held(tid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/status", t.pid, tid))
	if err != nil {
		return true // it has ended
	}
	_, rest, _ := strings.Cut(string(b), "\nTracerPid:")
	n := 0
	_, err = fmt.Sscan(rest, &n)
	return err == nil && n == os.Getpid()
}

// loop handles stops until nothing is left to wait for. ready gets nil when all threads are settled.
func (t *Tracer) loop(ready chan<- error) {
	waiting := true
	for {
		var ws unix.WaitStatus
		// By its process group: our other children belong to others.
		tid, err := unix.Wait4(-t.pid, &ws, unix.WALL, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err == nil {
			t.stopped(tid, ws)
		}
		if err != nil || len(t.threads) == 0 { // all have ended or were left
			if waiting {
				ready <- fmt.Errorf("the process %d ended: %w", t.pid, errors.Join(err, unix.ESRCH))
			}
			return
		}
		if waiting && t.settled() {
			if err := t.seizeAll(); err != nil {
				ready <- err
				waiting = false
			} else if t.settled() {
				ready <- nil
				waiting = false
			}
		}
		t.leaveIfAsked()
	}
}

func (t *Tracer) settled() bool {
	for _, th := range t.threads {
		if !th.settled {
			return false
		}
	}
	return true
}

// leaveIfAsked stops every thread once Detach was called; at its next stop it is left.
func (t *Tracer) leaveIfAsked() {
	t.mu.Lock()
	leave := t.leave
	t.mu.Unlock()
	if !leave || t.leaving {
		return
	}
	t.leaving = true
	for tid := range t.threads {
		_ = request(unix.PTRACE_INTERRUPT, tid, 0) // ESRCH: it is ending
	}
}

// stopped handles one stop of one thread.
func (t *Tracer) stopped(tid int, ws unix.WaitStatus) {
	if ws.Exited() || ws.Signaled() {
		delete(t.threads, tid)
		if tid == t.pid {
			t.mu.Lock()
			t.report.Gone, t.report.Status = true, ws
			t.mu.Unlock()
		}
		return
	}
	th := t.threads[tid]
	if th == nil { // a new thread; it may stop before its creator tells of it
		th = &thread{}
		t.threads[tid] = th
	}
	signal := uintptr(0) // to be given to the thread when it goes on
	event := int(ws) >> 16
	switch {
	case ws.StopSignal() == unix.SIGTRAP|0x80:
		t.call(tid, th)
	case event == unix.PTRACE_EVENT_STOP:
		th.settled = true
		if s := ws.StopSignal(); s != unix.SIGTRAP && !t.leaving { // the whole process was stopped: so it stays
			t.check(tid, request(unix.PTRACE_LISTEN, tid, 0))
			return
		}
	case event != 0: // a thread was made; it comes by itself
	default:
		signal = uintptr(ws.StopSignal())
	}
	if t.leaving && th.result == 0 {
		delete(t.threads, tid)
		t.check(tid, request(unix.PTRACE_DETACH, tid, signal))
		return
	}
	t.check(tid, request(unix.PTRACE_SYSCALL, tid, signal))
}

// check keeps the first error. A thread that was killed meanwhile is none.
func (t *Tracer) check(tid int, err error) {
	if err == nil || errors.Is(err, unix.ESRCH) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.err = fmt.Errorf("thread %d: %w", tid, err)
	}
}

// noSuchCall is the number of no system call: the kernel skips it.
const noSuchCall = ^uint64(0)

// call handles the entry to or the exit from a system call. Its stops alternate.
func (t *Tracer) call(tid int, th *thread) {
	th.inside = !th.inside
	if !th.inside && th.result == 0 {
		return
	}
	var r unix.PtraceRegs
	if err := unix.PtraceGetRegs(tid, &r); err != nil {
		t.check(tid, err)
		return
	}
	if !th.inside {
		r.Rax = uint64(-int64(th.result))
		th.result = 0
		t.check(tid, unix.PtraceSetRegs(tid, &r))
		return
	}
	if int64(r.Rax) != -int64(unix.ENOSYS) { // what the kernel puts there at each entry
		t.check(tid, fmt.Errorf("entry and exit got out of step at call %d", r.Orig_rax))
	}
	switch t.count(tid, &r) {
	case Kill:
		t.check(tid, unix.Kill(t.pid, unix.SIGKILL))
	case EIO:
		th.result = unix.EIO
	case ENOSPC:
		th.result = unix.ENOSPC
	}
	if th.result != 0 {
		r.Orig_rax = noSuchCall
		t.check(tid, unix.PtraceSetRegs(tid, &r))
	}
}

// count counts a call that is entered and says what shall happen to it.
func (t *Tracer) count(tid int, r *unix.PtraceRegs) Fault {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.plan == nil {
		return None
	}
	t.report.Calls++
	path := on(t.pid, r)
	c := Call{N: t.report.Calls, TID: tid, Name: name(r.Orig_rax), On: path, EIO: EIO.takes(r, path), ENOSPC: ENOSPC.takes(r, path)}
	if t.plan.Record {
		t.report.Record = append(t.report.Record, c)
	}
	if !t.plan.Fault.takes(r, path) || t.plan.Only != "" && t.plan.Only != c.Name {
		return None
	}
	t.report.Points++
	if t.report.Points != t.plan.N {
		return None
	}
	t.report.Hit = &c
	close(t.hit)
	return t.plan.Fault
}
