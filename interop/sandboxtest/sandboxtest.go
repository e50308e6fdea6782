// Package sandboxtest starts the built sandbox for the tests of interop, each
// in a folder of its own, and stops it again.
package sandboxtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Info is what D/sandbox.json tells.
type Info struct {
	Front, Itsme, TSA, PKI, JWKS, Provider string
	Emergency                              string         // where people revoke with a code
	HTTPS                                  string         // the front by https
	HTTPSRootPEM                           string         `json:"https_root_pem"`
	RootPEM                                string         `json:"root_pem"`
	APIKeyFile                             string         `json:"api_key_file"`
	TrustedList                            string         `json:"trusted_list"`
	PIDs                                   map[string]int `json:"pids"`
}

// Sandbox is a running `tekend sandbox`.
type Sandbox struct {
	Dir string
	cmd *exec.Cmd
	out bytes.Buffer
	mu  sync.Mutex
}

// Root is the folder of the repository.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for dir != "/" {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		dir = filepath.Dir(dir)
	}
	t.Fatal("the repository's root was not found")
	return ""
}

// Bin is the path of a built program.
func Bin(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(Root(t), "bin", name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is not built: make build", name)
	}
	return path
}

// Start starts a sandbox in a new folder. It is stopped when the test ends.
func Start(t testing.TB, args ...string) *Sandbox {
	t.Helper()
	// t.TempDir is closed to other users; the roles must reach their folders.
	dir, err := os.MkdirTemp("", "tekend-sandbox-*")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := &Sandbox{Dir: dir}
	t.Cleanup(func() {
		s.Stop(t)
		if t.Failed() {
			s.dump(t)
		}
		_ = os.RemoveAll(dir)
	})
	s.Run(t, args...)
	return s
}

// Run starts the program on the folder and waits until it is ready.
func (s *Sandbox) Run(t testing.TB, args ...string) {
	t.Helper()
	_ = os.Remove(filepath.Join(s.Dir, "sandbox.json"))
	cmd := exec.Command(Bin(t, "tekend"), append([]string{"sandbox", "--dir", s.Dir}, args...)...)
	cmd.Stdout, cmd.Stderr = s, s
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.cmd = cmd
	gone := make(chan struct{})
	go func() { _ = cmd.Wait(); close(gone) }()
	deadline := time.After(60 * time.Second)
	for {
		if _, err := os.Stat(filepath.Join(s.Dir, "sandbox.json")); err == nil {
			return
		}
		select {
		case <-gone:
			t.Fatalf("the sandbox ended:\n%s", s.Output())
		case <-deadline:
			t.Fatalf("the sandbox did not get ready:\n%s", s.Output())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Write takes the program's output.
func (s *Sandbox) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(b)
}

// Output is what the program printed so far.
func (s *Sandbox) Output() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.String()
}

// Info reads sandbox.json as it is now; paths are absolute.
func (s *Sandbox) Info(t testing.TB) Info {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.Dir, "sandbox.json"))
	if err != nil {
		t.Fatal(err)
	}
	var i Info
	if err := json.Unmarshal(b, &i); err != nil {
		t.Fatal(err)
	}
	i.RootPEM = filepath.Join(s.Dir, i.RootPEM)
	i.APIKeyFile = filepath.Join(s.Dir, i.APIKeyFile)
	return i
}

// Stop ends the sandbox as a user would.
func (s *Sandbox) Stop(t testing.TB) {
	t.Helper()
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	for range 300 {
		if s.cmd.Process.Signal(syscall.Signal(0)) != nil {
			s.cmd = nil
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	_ = s.cmd.Process.Kill()
	t.Error("the sandbox did not stop within 15 s")
	s.cmd = nil
}

// Tekend runs the command line against this sandbox and gives its output and
// exit code.
func (s *Sandbox) Tekend(t testing.TB, args ...string) (string, int) {
	t.Helper()
	cmd := exec.Command(Bin(t, "tekend"), append(args, "--sandbox", s.Dir)...)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// Sign signs files as a magic person and fails the test when that does not work.
func (s *Sandbox) Sign(t testing.TB, person, out string, files ...string) {
	t.Helper()
	args := append([]string{"sign", "--person", person, "-o", out}, files...)
	if text, code := s.Tekend(t, args...); code != 0 {
		t.Fatalf("sign %v: exit %d\n%s", files, code, text)
	}
}

// dump shows the logs of a failed test.
func (s *Sandbox) dump(t testing.TB) {
	t.Log(s.Output())
	for _, role := range []string{"front", "sam", "ca", "tsa", "itsme"} {
		b, _ := os.ReadFile(filepath.Join(s.Dir, role, "log"))
		if len(b) > 4000 {
			b = b[len(b)-4000:]
		}
		t.Log(fmt.Sprintf("--- %s\n%s", role, b))
	}
}
