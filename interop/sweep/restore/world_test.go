//go:build sweep

// Package restore puts roles, tokens and the front's database back in time, as
// an operator with a backup or an attacker with the disk does, and looks at what
// the real processes do then.
package restore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tekend/interop/sandboxtest"
	"tekend/wire"
)

// world is a sandbox that is not running, of which the test starts single
// processes itself.
type world struct {
	t    *testing.T
	s    *sandboxtest.Sandbox
	dir  string
	uids map[string]uint32 // absent without isolation
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) path(elem ...string) string {
	return filepath.Join(append([]string{w.dir}, elem...)...)
}

// bin is a program as the roles' users can reach it.
func (w *world) bin(name string) string {
	if _, err := os.Stat(w.path("bin", name)); err == nil {
		return w.path("bin", name)
	}
	return sandboxtest.Bin(w.t, name)
}

// owner learns a role's user from its folder.
func (w *world) attr(role string) *syscall.SysProcAttr {
	w.t.Helper()
	a := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		return a
	}
	info, err := os.Stat(w.path(role))
	w.must(err)
	st := info.Sys().(*syscall.Stat_t)
	a.Credential = &syscall.Credential{Uid: st.Uid, Gid: st.Gid, Groups: []uint32{}}
	return a
}

// port opens the listener that the launcher hands to a process.
func (w *world) port(name string) *os.File {
	w.t.Helper()
	b, err := os.ReadFile(w.path("state.json"))
	w.must(err)
	var state struct{ Ports map[string]int }
	w.must(json.Unmarshal(b, &state))
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", state.Ports[name]))
	w.must(err)
	f, err := l.(*net.TCPListener).File()
	w.must(err)
	w.must(l.Close())
	return f
}

// process is a role or the witness, started by the test.
type process struct {
	name string
	cmd  *exec.Cmd
	log  strings.Builder
}

func (w *world) start(name, program string, listeners []string, args ...string) *process {
	w.t.Helper()
	p := &process{name: name, cmd: exec.Command(w.bin(program), args...)}
	p.cmd.Stderr, p.cmd.Dir, p.cmd.SysProcAttr = &p.log, "/", w.attr(name)
	p.cmd.Env = []string{"PATH=/usr/bin:/bin"}
	for _, l := range listeners {
		f := w.port(l)
		defer func() { _ = f.Close() }()
		p.cmd.ExtraFiles = append(p.cmd.ExtraFiles, f)
	}
	w.must(p.cmd.Start())
	return p
}

func (w *world) role(name string) *process {
	listeners := map[string][]string{"sam": {"jwks", "emergency"}}[name]
	return w.start(name, "tekend-trusted", listeners, name, "--config", w.path(name, name+".yaml"))
}

func (w *world) witness() *process {
	return w.start("witness", "tekend-witness", []string{"witness"}, "serve", "--config", w.path("witness", "witness.yaml"))
}

// stop ends a process as an operator does.
func (w *world) stop(p *process) {
	w.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	if err := p.cmd.Wait(); err != nil {
		w.t.Errorf("%s: %v\n%s", p.name, err, p.log.String())
	}
}

func (w *world) socket(role string) string { return w.path(role, "run", role+".sock") }

// health asks a role until it answers.
func (w *world) health(p *process) (ready bool, reasons []string) {
	w.t.Helper()
	c := wire.NewClient(w.socket(p.name), 5*time.Second)
	for range 400 {
		var h struct {
			Ready   bool     `json:"ready"`
			Reasons []string `json:"reasons"`
		}
		if err := c.Do(context.Background(), http.MethodGet, "/v1/health", nil, &h); err == nil {
			return h.Ready, h.Reasons
		}
		time.Sleep(25 * time.Millisecond)
	}
	w.t.Fatalf("%s does not answer\n%s", p.name, p.log.String())
	return false, nil
}

// act asks a role for something that it only does when it may act, and gives
// the code of its refusal.
func (w *world) act(role string) string {
	w.t.Helper()
	c := wire.NewClient(w.socket(role), 10*time.Second)
	var err error
	switch role {
	case "sam":
		body := []byte(`{"documents":[]}`)
		err = c.Do(context.Background(), http.MethodPut, "/v1/preparations/"+wire.BodyHash(body), body, nil)
	case "ca":
		body := []byte(`{}`)
		err = c.Do(context.Background(), http.MethodPut, "/v1/certificates/"+wire.BodyHash(body), body, nil)
	case "tsa":
		return w.stamp()
	}
	var e *wire.Error
	if !errors.As(err, &e) {
		w.t.Fatalf("%s: %v", role, err)
	}
	return e.Code
}

// stamp asks for a time-stamp and says "locked" or "granted".
func (w *world) stamp() string {
	w.t.Helper()
	query := w.path("query.tsq")
	w.must(exec.Command("openssl", "ts", "-query", "-digest", strings.Repeat("ab", 32), "-sha256", "-out", query).Run())
	reply := w.path("reply.tsr")
	out, err := exec.Command("curl", "-sS", "--unix-socket", w.socket("tsa"), "-H", "Content-Type: application/timestamp-query",
		"--data-binary", "@"+query, "-o", reply, "http://tsa/tsa").CombinedOutput()
	if err != nil {
		w.t.Fatalf("curl: %v %s", err, out)
	}
	text, err := exec.Command("openssl", "ts", "-reply", "-in", reply, "-text").CombinedOutput()
	w.must(err)
	switch {
	case strings.Contains(string(text), "locked"):
		return "locked"
	case strings.Contains(string(text), "Granted"):
		return "granted"
	}
	return string(text)
}

// keep copies folders of the world to a place beside it; put puts such a copy
// back in place of what is there.
func (w *world) keep(as string, names ...string) {
	w.t.Helper()
	to := w.path("copies", as)
	w.must(os.MkdirAll(to, 0o755))
	for _, n := range names {
		if out, err := exec.Command("cp", "-a", w.path(n), filepath.Join(to, n)).CombinedOutput(); err != nil {
			w.t.Fatalf("cp: %v %s", err, out)
		}
	}
}

// put replaces files or folders by those of a copy; a pattern that ends in *
// stands for a database with its side files.
func (w *world) put(from string, names ...string) {
	w.t.Helper()
	for _, n := range names {
		now, err := filepath.Glob(w.path(n))
		w.must(err)
		for _, path := range now {
			w.must(os.RemoveAll(path))
		}
		then, err := filepath.Glob(w.path("copies", from, n))
		w.must(err)
		for _, path := range then {
			rel, err := filepath.Rel(w.path("copies", from), path)
			w.must(err)
			if out, err := exec.Command("cp", "-a", path, w.path(rel)).CombinedOutput(); err != nil {
				w.t.Fatalf("cp: %v %s", err, out)
			}
		}
	}
}

// trusted runs tekend-trusted and gives its output and exit code.
func (w *world) trusted(args ...string) (string, int) {
	w.t.Helper()
	cmd := exec.Command(sandboxtest.Bin(w.t, "tekend-trusted"), args...)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		w.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func (w *world) write(name, text string) string {
	w.t.Helper()
	w.must(os.WriteFile(w.path(name), []byte(text), 0o644))
	return w.path(name)
}
