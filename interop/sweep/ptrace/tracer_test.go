//go:build linux && amd64

package ptrace_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tekend/interop/sweep/ptrace"
)

// tracee is testdata/tracee.c, running.
type tracee struct {
	cmd  *exec.Cmd
	in   io.Writer
	out  *bufio.Reader
	file string
}

func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tracee")
	if out, err := exec.Command("gcc", "-O1", "-Wall", "-Werror", "-pthread", "-o", path, "testdata/tracee.c").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

func run(t *testing.T, program, mode string, n int) *tracee {
	t.Helper()
	p := start(t, program, filepath.Join(t.TempDir(), "file"), mode, n)
	p.work(t) // it is up, with its threads
	if err := os.Truncate(p.file, 0); err != nil {
		t.Fatal(err)
	}
	return p
}

func start(t *testing.T, program, file, mode string, n int) *tracee {
	t.Helper()
	p := &tracee{file: file, cmd: exec.Command(program, file, mode, fmt.Sprint(n))}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.in, p.out = in, bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill(); _ = p.cmd.Wait() })
	return p
}

// work lets it work once and gives what it says.
func (p *tracee) work(t *testing.T) string {
	t.Helper()
	if _, err := p.in.Write([]byte{'\n'}); err != nil {
		t.Fatal(err)
	}
	line, err := p.out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// idle waits until every thread sleeps in a call. One that is between two calls runs, or is held by its tracer.
func (p *tracee) idle(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		asleep := 0
		for _, path := range tasks {
			b, err := os.ReadFile(path)
			if _, rest, found := strings.Cut(string(b), ") "); err == nil && found && strings.HasPrefix(rest, "S") {
				asleep++
			}
		}
		if asleep > 0 && asleep == len(tasks) {
			return
		}
	}
	t.Fatal("the program is never idle")
}

func (p *tracee) size(t *testing.T) int {
	t.Helper()
	info, err := os.Stat(p.file)
	if err != nil {
		t.Fatal(err)
	}
	return int(info.Size())
}

func attach(t *testing.T, p *tracee, plan ptrace.Plan) *ptrace.Tracer {
	t.Helper()
	tr, err := ptrace.Attach(p.cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	p.idle(t) // the reads in which it waits are entered again
	tr.Open(plan)
	return tr
}

func detach(t *testing.T, tr *ptrace.Tracer) ptrace.Report {
	t.Helper()
	r, err := tr.Detach()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCountsAreExactOverAllThreads(t *testing.T) {
	program := build(t)
	p := run(t, program, "calls", 100)
	for range 20 {
		tr := attach(t, p, ptrace.Plan{Fault: ptrace.EIO, Record: true})
		if got := p.work(t); got != "failed 0 errno 0" {
			t.Fatal(got)
		}
		p.idle(t)
		r := detach(t, tr)
		// Two threads with 200 calls each; pipes between them: 2 writes, 1 read in time, 1 read that waits; the answer;
		// the next line's read.
		if r.Calls != 406 || r.Points != 200 || len(r.Record) != 406 || r.Hit != nil || r.Gone {
			t.Fatalf("%d calls, %d points: want 406, 200", r.Calls, r.Points)
		}
		who := map[string]map[int]int{}
		for i, c := range r.Record {
			if c.N != i+1 || c.EIO != (c.On == p.file) || c.ENOSPC != c.EIO {
				t.Fatalf("%+v", c)
			}
			if who[c.Name] == nil {
				who[c.Name] = map[int]int{}
			}
			who[c.Name][c.TID]++
		}
		if len(who["getppid"]) != 2 || len(who["write"]) != 2 {
			t.Fatal(who)
		}
	}
	if got := p.work(t); got != "failed 0 errno 0" { // it goes on without us
		t.Error(got)
	}
}

func TestOneCallFailsWithTheError(t *testing.T) {
	program := build(t)
	for fault, errno := range map[ptrace.Fault]syscall.Errno{ptrace.EIO: syscall.EIO, ptrace.ENOSPC: syscall.ENOSPC} {
		p := run(t, program, "calls", 50)
		for n := 1; n <= 100; n += 9 {
			if err := os.Truncate(p.file, 0); err != nil {
				t.Fatal(err)
			}
			tr := attach(t, p, ptrace.Plan{Fault: fault, N: n})
			if got, want := p.work(t), fmt.Sprintf("failed 1 errno %d", errno); got != want {
				t.Errorf("%v at %d: %q, want %q", fault, n, got, want)
			}
			<-tr.Hit()
			r := detach(t, tr)
			if r.Hit == nil || r.Hit.Name != "write" || r.Hit.On != p.file || r.Points != 100 {
				t.Errorf("%v at %d: %v of %d", fault, n, r.Hit, r.Points)
			}
			if got := p.size(t); got != 99 {
				t.Errorf("%v at %d: %d bytes were written, want all but one", fault, n, got)
			}
		}
		tr := attach(t, p, ptrace.Plan{Fault: fault, N: 101})
		if got := p.work(t); got != "failed 0 errno 0" {
			t.Error(got)
		}
		if r := detach(t, tr); r.Hit != nil || r.Points != 100 {
			t.Errorf("a point that there is not was hit: %v of %d", r.Hit, r.Points)
		}
	}
}

func TestAKilledCallIsNotExecutedAndNoneAfterIt(t *testing.T) {
	program := build(t)
	for n := 1; n <= 30; n++ {
		p := run(t, program, "one", 30)
		tr := attach(t, p, ptrace.Plan{Fault: ptrace.Kill, N: 1 + n}) // the read of the line returns, it is no entry
		if _, err := p.in.Write([]byte{'\n'}); err != nil {
			t.Fatal(err)
		}
		<-tr.Done()
		r := detach(t, tr)
		if r.Hit == nil || !r.Gone || !r.Status.Signaled() || r.Status.Signal() != syscall.SIGKILL || r.Points != 1+n || r.Calls != 1+n {
			t.Errorf("killed at %d: %v, %d points, gone %v", n, r.Hit, r.Points, r.Gone)
		}
		// Calls 1 to n were the bytes; the call after them was not executed. On a busy machine the runtime of the program
		// makes a call or two of its own among them.
		if got := p.size(t); got > n || got < n-5 {
			t.Errorf("killed before byte %d: %d bytes are there", n+1, got)
		}
	}
}

func TestNewThreadsAreHeldFromTheirFirstCall(t *testing.T) {
	p := run(t, build(t), "threads", 20)
	tr := attach(t, p, ptrace.Plan{Fault: ptrace.EIO, N: 57})
	if got := p.work(t); got != "failed 1 errno 5" {
		t.Error(got)
	}
	if r := detach(t, tr); r.Points != 100 || p.size(t) != 99 {
		t.Errorf("%d points, %d bytes", r.Points, p.size(t))
	}
}

func TestChildrenAreNotFollowed(t *testing.T) {
	p := run(t, build(t), "child", 10)
	tr := attach(t, p, ptrace.Plan{Fault: ptrace.EIO, Record: true})
	if got := p.work(t); got != "failed 0 errno 0" {
		t.Error(got)
	}
	r := detach(t, tr)
	if r.Points != 10 {
		t.Errorf("%d points", r.Points)
	}
	for _, c := range r.Record {
		if c.Name == "syscall 59" {
			t.Errorf("execve of a child was counted: %v", c)
		}
	}
}

func TestSignalsReachTheProcessAndAStopHolds(t *testing.T) {
	p := start(t, build(t), filepath.Join(t.TempDir(), "file"), "signal", 3)
	time.Sleep(50 * time.Millisecond) // its handler is there
	tr := attach(t, p, ptrace.Plan{Fault: ptrace.EIO, N: 2})
	answer := make(chan string, 1)
	go func() { answer <- p.work(t) }()
	send := func(s syscall.Signal) {
		if err := p.cmd.Process.Signal(s); err != nil {
			t.Error(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	time.Sleep(50 * time.Millisecond) // it waits for signals now
	send(syscall.SIGUSR1)
	send(syscall.SIGSTOP)
	send(syscall.SIGUSR1)
	send(syscall.SIGUSR1) // becomes one with the one before
	if got := p.size(t); got != 1 {
		t.Errorf("%d bytes: it did not stay stopped", got)
	}
	send(syscall.SIGCONT)
	send(syscall.SIGUSR1)
	if got := <-answer; got != "failed 1 errno 5" {
		t.Error(got)
	}
	if r := detach(t, tr); r.Points != 3 {
		t.Errorf("%d points", r.Points)
	}
}
