//go:build interop

package deploy_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tekend/interop/sandboxtest"
)

// mount puts a folder or file of the place where a process sees it.
type mount struct {
	source, target string
	ro             bool
}

// process is one container or unit: what it runs as whom, and what it sees. Its root is read-only; /var/lib and /run are
// empty but for the mounts, /tmp is its own.
type process struct {
	name    string
	uid     int
	command []string
	mounts  []mount
}

// enter is run by sh in a mount namespace of its own: "$1" holds mounts as lines "source target ro|rw".
const enter = `set -eu
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /var/lib
mount -t tmpfs -o mode=755 tmpfs /run
echo "$1" | while read -r source target how; do
	[ -n "$source" ] || continue
	if [ -d "$source" ]; then mkdir -p "$target"; else mkdir -p "$(dirname "$target")"; : >"$target"; fi
	mount --bind "$source" "$target"
	[ "$how" = rw ] || mount -o remount,bind,ro "$target"
done
mount -o remount,ro /var/lib
mount -o remount,ro /run
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -o remount,bind,ro /
uid=$2
shift 2
[ "$uid" != 0 ] || exec env -i PATH=/usr/bin:/bin "$@" # the ceremony gives files away
exec setpriv --reuid "$uid" --regid "$uid" --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all \
	env -i PATH=/usr/bin:/bin "$@"
`

// place is a host: folders that the mounts name, and a log.
type place struct {
	dir string
	mu  sync.Mutex
	out bytes.Buffer
}

// newPlace needs root: only root may give each process its user and its mounts.
func newPlace(t *testing.T) *place {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test starts processes as several users in mount namespaces: run it as root")
	}
	dir, err := os.MkdirTemp("/var/tmp", "tekend-deploy-*") // not below /tmp, which each process has of its own
	if err != nil {
		t.Fatal(err)
	}
	p := &place{dir: dir}
	t.Cleanup(func() {
		if t.Failed() {
			p.mu.Lock()
			t.Log(p.out.String())
			p.mu.Unlock()
		}
		_ = os.RemoveAll(dir)
	})
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	// The repository may lie where these users, or these mounts, do not let a process look.
	for _, name := range []string{"tekend", "tekend-trusted", "tekend-witness"} {
		b, err := os.ReadFile(sandboxtest.Bin(t, name))
		if err != nil {
			t.Fatal(err)
		}
		p.file(t, "bin/"+name, string(b), 0o755, 0)
	}
	return p
}

// Write takes the processes' output.
func (p *place) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

// folder makes a folder of the place for a user.
func (p *place) folder(t *testing.T, name string, mode os.FileMode, uid, gid int) string {
	t.Helper()
	path := filepath.Join(p.dir, name)
	if err := errors.Join(os.MkdirAll(path, 0o755), os.Chown(path, uid, gid), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
	return path
}

// file writes a file of the place for a user.
func (p *place) file(t *testing.T, name, text string, mode os.FileMode, uid int) string {
	t.Helper()
	path := filepath.Join(p.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), mode), os.Chown(path, uid, uid), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
	return path
}

func (p *place) cmd(t *testing.T, c process) *exec.Cmd {
	t.Helper()
	var mounts strings.Builder
	for _, m := range c.mounts {
		how := "rw"
		if m.ro {
			how = "ro"
		}
		fmt.Fprintln(&mounts, m.source, m.target, how)
	}
	program := filepath.Join(p.dir, "bin", c.command[0])
	args := append([]string{"--mount", "--", "sh", "-c", enter, "sh", mounts.String(), strconv.Itoa(c.uid), program}, c.command[1:]...)
	cmd := exec.Command("unshare", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	return cmd
}

// run runs a process to its end.
func (p *place) run(t *testing.T, c process) string {
	t.Helper()
	out, err := p.cmd(t, c).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("%s: %v\n%s%s", c.name, err, out, exit.Stderr)
		}
		t.Fatalf("%s: %v", c.name, err)
	}
	return string(out)
}

// start starts a process and stops it when the test ends; it must then end by itself, without an error.
func (p *place) start(t *testing.T, c process) {
	t.Helper()
	cmd := p.cmd(t, c)
	cmd.Stdout, cmd.Stderr = &named{p, c.name}, &named{p, c.name}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(40*time.Second, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s ended with %v", c.name, err)
		}
	})
}

// named marks a process's lines.
type named struct {
	to   *place
	name string
}

func (n *named) Write(b []byte) (int, error) {
	for line := range bytes.Lines(b) {
		_, _ = fmt.Fprintf(n.to, "%s: %s\n", n.name, bytes.TrimRight(line, "\n"))
	}
	return len(b), nil
}

// freePort finds a port that nobody has now.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}
