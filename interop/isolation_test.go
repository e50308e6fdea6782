//go:build interop

package interop

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tekend/interop/sandboxtest"
)

// The test runs itself again as the front's user, with the front's
// environment, and lets that process try what an owned front would try.
const attemptEnv = "TEKEND_ATTEMPT"

// attempt is one thing that is tried; it must fail, or (for the sockets meant
// for the front) succeed.
type attempt struct {
	Do, Path string
}

func TestMain(m *testing.M) {
	if todo := os.Getenv(attemptEnv); todo != "" {
		var all []attempt
		if err := json.Unmarshal([]byte(todo), &all); err != nil {
			fmt.Println(err)
			os.Exit(2)
		}
		results := map[string]string{}
		for _, a := range all {
			results[a.Do+" "+a.Path] = try(a)
		}
		_ = json.NewEncoder(os.Stdout).Encode(results)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// try gives "" when the attempt succeeded, else why it did not.
func try(a attempt) string {
	var err error
	switch a.Do {
	case "read":
		var f *os.File
		if f, err = os.Open(a.Path); err == nil {
			_, err = f.Read(make([]byte, 1))
			if errors.Is(err, io.EOF) {
				err = nil
			}
		}
	case "write":
		_, err = os.OpenFile(a.Path, os.O_WRONLY, 0)
	case "create in":
		_, err = os.Create(filepath.Join(a.Path, "planted"))
	case "list":
		_, err = os.ReadDir(a.Path)
	case "connect":
		_, err = net.Dial("unix", a.Path)
	case "signal":
		var pid int
		if _, err = fmt.Sscan(a.Path, &pid); err == nil {
			err = syscall.Kill(pid, 0)
		}
	case "trace":
		var pid int
		if _, err = fmt.Sscan(a.Path, &pid); err == nil {
			err = syscall.PtraceAttach(pid)
		}
	default:
		return "unknown attempt"
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// asFront runs cmd as the front's user with the front's environment.
func asFront(t *testing.T, s *sandboxtest.Sandbox, cmd *exec.Cmd, extra ...string) string {
	t.Helper()
	pid := s.Info(t).PIDs["front"]
	info, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	if st.Uid == 0 {
		t.Fatal("the front runs as root")
	}
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(strings.Split(strings.TrimRight(string(env), "\x00"), "\x00"), extra...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: st.Uid, Gid: st.Gid, Groups: []uint32{}}}
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestOwnedFrontCannotReachWhatSigns(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("isolation needs root: without it every role has the same user, as the sandbox's first line says")
	}
	s := sandboxtest.Start(t)
	if !strings.HasPrefix(s.Output(), "isolation is on") {
		t.Fatalf("first line: %s", s.Output())
	}
	forbidden, allowed := attempts(t, s)
	all, err := json.Marshal(append(append([]attempt{}, forbidden...), allowed...))
	if err != nil {
		t.Fatal(err)
	}
	out := asFront(t, s, exec.Command(readable(t)), attemptEnv+"="+string(all))
	var results map[string]string
	if err := json.Unmarshal([]byte(out), &results); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, a := range forbidden {
		if why, tried := results[a.Do+" "+a.Path]; !tried || why == "" {
			t.Errorf("the front's user can %s %s", a.Do, a.Path)
		}
	}
	for _, a := range allowed {
		if why := results[a.Do+" "+a.Path]; why != "" {
			t.Errorf("the front's user cannot %s %s: %s", a.Do, a.Path, why)
		}
	}
	t.Logf("%d forbidden attempts failed, %d allowed ones succeeded", len(forbidden), len(allowed))
}

// attempts lists everything in the sandbox's folder that is not the front's, and the processes of the others.
func attempts(t *testing.T, s *sandboxtest.Sandbox) (forbidden, allowed []attempt) {
	t.Helper()
	meant := map[string]bool{
		filepath.Join(s.Dir, "sam/run/sam.sock"): true,
		filepath.Join(s.Dir, "ca/run/ca.sock"):   true,
		filepath.Join(s.Dir, "tsa/run/tsa.sock"): true,
	}
	seen := map[string]int{}
	err := filepath.WalkDir(s.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(s.Dir, path)
		if err != nil {
			return err
		}
		top, _, _ := strings.Cut(name, "/")
		public := top == "pki" || top == "anchor-root.pem" || top == "https-root.pem" || top == "sandbox.json" || name == "."
		seen[top]++
		switch {
		case name == "front": // its own
			return fs.SkipDir
		case d.Type()&fs.ModeSocket != 0:
			seen["socket"]++
			if meant[path] {
				allowed = append(allowed, attempt{"connect", path})
			} else {
				forbidden = append(forbidden, attempt{"connect", path})
			}
		case d.IsDir():
			// The folder with the socket may be listed, nothing may be put there.
			if filepath.Base(path) != "run" && !public {
				forbidden = append(forbidden, attempt{"list", path})
			}
			forbidden = append(forbidden, attempt{"create in", path})
		default:
			seen[filepath.Ext(path)]++
			if strings.Contains(filepath.Base(path), "pin") {
				seen["pin"]++
			}
			forbidden = append(forbidden, attempt{"write", path})
			if !public {
				forbidden = append(forbidden, attempt{"read", path})
			} else if top == "pki" {
				allowed = append(allowed, attempt{"read", path})
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for role, pid := range s.Info(t).PIDs {
		if role == "front" {
			continue
		}
		for _, f := range []string{"mem", "environ", "fd", "maps"} {
			do := "read"
			if f == "fd" {
				do = "list"
			}
			forbidden = append(forbidden, attempt{do, fmt.Sprintf("/proc/%d/%s", pid, f)})
		}
		forbidden = append(forbidden, attempt{"signal", fmt.Sprint(pid)}, attempt{"trace", fmt.Sprint(pid)})
	}
	// The test must have met what it is about.
	for _, top := range []string{"sam", "ca", "tsa", "itsme", "provider", "witness", "anchor", "operators", "sam-fence", "ca-fence", "tsa-fence"} {
		if seen[top] < 2 {
			t.Errorf("nothing was found below %s", top)
		}
	}
	if seen["socket"] < 4 || seen["pin"] < 3 || seen[".object"] < 6 || seen[".db"] < 3 {
		t.Fatalf("the trusted folders do not hold what they should: %v", seen)
	}
	return forbidden, allowed
}

// readable copies this test program where every user can run it.
func readable(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tekend-attempt-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	self, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "attempt")
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(path, self, 0o755)); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestFrontsDescriptorsAndEnvironmentHoldNoSecret looks at the front's process
// from outside.
func TestFrontsDescriptorsAndEnvironmentHoldNoSecret(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("isolation needs root")
	}
	s := sandboxtest.Start(t)
	pid := s.Info(t).PIDs["front"]
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(fds) < 3 {
		t.Fatalf("%v %v", fds, err)
	}
	for _, fd := range fds {
		to, err := os.Readlink(fd)
		if err != nil {
			continue // closed meanwhile
		}
		for _, role := range []string{"sam", "ca", "tsa", "itsme", "provider"} {
			if strings.HasPrefix(to, filepath.Join(s.Dir, role)+"/") {
				t.Errorf("the front holds %s", to)
			}
		}
	}
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"PIN", "SOFTHSM", "PKCS11"} {
		if strings.Contains(strings.ToUpper(string(env)), word) {
			t.Errorf("the front's environment speaks of %s", word)
		}
	}
}

// TestModuleGivesTheFrontNoLogin loads SoftHSM as the front's user, pointed at
// each role's token.
func TestModuleGivesTheFrontNoLogin(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("isolation needs root")
	}
	s := sandboxtest.Start(t)
	const module = "/usr/lib/softhsm/libsofthsm2.so"
	for _, role := range []string{"sam", "ca", "tsa"} {
		conf := filepath.Join(s.Dir, role, "softhsm2.conf")
		if _, err := os.Stat(conf); err != nil {
			t.Fatal(err)
		}
		pin, err := os.ReadFile(filepath.Join(s.Dir, role, "pin"))
		if err != nil {
			t.Fatal(err)
		}
		// Even who had learnt the PIN finds no token to use it on.
		tool := exec.Command("pkcs11-tool", "--module", module, "--login", "--pin", strings.TrimSpace(string(pin)), "--list-objects")
		out := asFront(t, s, tool, "SOFTHSM2_CONF="+conf)
		if tool.ProcessState.ExitCode() == 0 || strings.Contains(out, "Private Key") || strings.Contains(out, "Secret Key") {
			t.Errorf("%s: the front's user logged in:\n%s", role, out)
		}
		root := exec.Command("pkcs11-tool", "--module", module, "--login", "--pin", strings.TrimSpace(string(pin)), "--list-objects")
		root.Env = append(os.Environ(), "SOFTHSM2_CONF="+conf)
		if b, err := root.CombinedOutput(); err != nil || !strings.Contains(string(b), "Key") {
			t.Errorf("%s: the same words do not work for who may: the test shows nothing: %v\n%s", role, err, b)
		}
	}
}
