package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// child is one process of the sandbox.
type child struct {
	name   string
	path   string
	args   []string
	env    []string
	files  []*os.File // inherited from descriptor 3 on
	log    io.Writer
	stderr io.Writer                       // stderr; the same as log but for a role behind the spy
	user   *owner                          // nil: the user who started the sandbox
	ready  func(ctx context.Context) error // nil error once it answers
	last   bool                            // it ends after the others, who still need it while they end

	mu  sync.Mutex
	cmd *exec.Cmd
}

// owner is the uid and gid of a role.
type owner struct{ uid, gid uint32 }

// supervisor starts children and starts them again when they die, as systemd
// does in production. All children are started by one thread that lives as
// long as the sandbox: PR_SET_PDEATHSIG is bound to the parent's thread.
type supervisor struct {
	starts  chan func()
	changed func() // called after a child was started again
	report  func(format string, a ...any)
	wg      sync.WaitGroup // of the children that end first
	last    sync.WaitGroup // of those that end last
}

func newSupervisor(ctx context.Context, report func(string, ...any)) *supervisor {
	s := &supervisor{starts: make(chan func()), report: report}
	go func() {
		runtime.LockOSThread()
		for {
			select {
			case f := <-s.starts:
				f()
			case <-ctx.Done():
				select {} // the thread must not end before the children do
			}
		}
	}()
	return s
}

func (c *child) pid() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd == nil || c.cmd.Process == nil {
		return 0
	}
	return c.cmd.Process.Pid
}

func (s *supervisor) start(c *child) error {
	cmd := exec.Command(c.path, c.args...)
	cmd.Env = c.env
	cmd.ExtraFiles = c.files
	cmd.Stdout, cmd.Stderr = c.log, c.stderr
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if c.user != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: c.user.uid, Gid: c.user.gid, Groups: []uint32{}}
	}
	failed := make(chan error, 1)
	s.starts <- func() { failed <- cmd.Start() }
	if err := <-failed; err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	c.mu.Lock()
	c.cmd = cmd
	c.mu.Unlock()
	return nil
}

// keep starts c, waits until it is ready and goes on starting it again until
// ctx ends. The first failure to become ready is returned.
func (s *supervisor) keep(ctx context.Context, c *child) error {
	if err := s.start(c); err != nil {
		return err
	}
	died := make(chan error, 1)
	wait := func() { died <- c.cmd.Wait() }
	go wait()
	if err := untilReady(ctx, c, died); err != nil {
		_ = c.cmd.Process.Kill()
		return err
	}
	group := &s.wg
	if c.last {
		group = &s.last
	}
	group.Go(func() {
		for pause := 50 * time.Millisecond; ; {
			select {
			case <-ctx.Done():
				if c.last {
					s.wg.Wait()
				}
				stopChild(c, died)
				return
			case err := <-died:
				s.report("%s ended (%v); starting it again", c.name, err)
			}
			for {
				select {
				case <-ctx.Done():
					return
				case <-time.After(pause):
				}
				if err := s.start(c); err != nil {
					s.report("%v", err)
					continue
				}
				break
			}
			go wait()
			s.changed()
			// A role that dies at once again is not started in a tight loop.
			select {
			case err := <-died:
				died <- err
				pause = min(2*pause, 2*time.Second)
			case <-time.After(300 * time.Millisecond):
				pause = 50 * time.Millisecond
			case <-ctx.Done():
			}
		}
	})
	return nil
}

// untilReady polls until the child answers, dies or 20 s are over.
func untilReady(ctx context.Context, c *child, died chan error) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		err := c.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case end := <-died:
			died <- end
			return fmt.Errorf("%s ended while starting (%w); its log says why", c.name, errors.Join(end, errEnded))
		case <-ctx.Done():
			return fmt.Errorf("%s did not become ready: %w", c.name, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

var errEnded = errors.New("process ended")

// wait waits until every child has ended.
func (s *supervisor) wait() {
	s.wg.Wait()
	s.last.Wait()
}

// stopChild asks, waits 5 s, and kills.
func stopChild(c *child, died chan error) {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-died:
	case <-time.After(5 * time.Second):
		_ = c.cmd.Process.Kill()
		<-died
	}
}
