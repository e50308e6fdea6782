//go:build interop

package program

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"tekend/interop/sandboxtest"
)

// testCommandLine runs testdata/cli/*.txt. Each script stands in a folder of
// its own where .sandbox is the sandbox, as after make demo. Besides
// testscript's commands there are:
//
//	exits N PROGRAM ARG…         runs it; the exit code must be N, no secret may be printed
//	prepare PERSON REF FILE OUT  a request that waits for the confirmation; OUT is what the person may read;
//	                             sets $code (check code on the page)
//	finish PERSON OUT            goes on with it to the end; OUT is the signed document
//	alter FILE OUT               changes a byte that is signed
func (w *world) testCommandLine(t *testing.T) {
	t.Run("scripts", func(t *testing.T) {
		testscript.Run(t, testscript.Params{
			Dir: filepath.Join(w.root, "testdata/cli"),
			Setup: func(env *testscript.Env) error {
				env.Setenv("PATH", filepath.Join(w.root, "bin")+":"+os.Getenv("PATH"))
				env.Setenv("PDF", filepath.Join(w.root, "testdata/pdf"))
				env.Setenv("BAD", filepath.Join(w.root, "pdf/testdata/bad"))
				env.Setenv("ROOT", w.root)
				env.Setenv("FRONT", w.front)
				return os.Symlink(w.s.Dir, filepath.Join(env.WorkDir, ".sandbox"))
			},
			Cmds: map[string]func(*testscript.TestScript, bool, []string){
				"exits": w.exits, "alter": alter, "prepare": w.prepareCmd, "finish": w.finishCmd,
			},
			RequireExplicitExec: true,
		})
	})
	t.Run("link for a person", w.testLink)
	t.Run("interrupted", w.testInterrupted)
}

func (w *world) exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits N PROGRAM ARG…")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		code = e.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	out := ts.ReadFile("stdout") + ts.ReadFile("stderr")
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, not %s", code, args[0])
	}
	if strings.Contains(out, w.flow.Key) || shapes["a JWT"].MatchString(out) || shapes["an API key"].MatchString(out) || shapes["an address"].MatchString(out) {
		ts.Fatalf("a secret was printed:\n%s", out)
	}
}

// alter changes a byte in the first half of a file.
func alter(ts *testscript.TestScript, _ bool, args []string) {
	b := []byte(ts.ReadFile(args[0]))
	b[len(b)/10] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b, 0o600))
}

func (w *world) prepareCmd(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 4 {
		ts.Fatalf("usage: prepare PERSON REF FILE OUT")
	}
	ctx, cancel := scriptContext()
	defer cancel()
	r, err := w.flow.Create(ctx, args[1], []byte(ts.ReadFile(args[2])))
	ts.Check(err)
	w.keep(r)
	for range 400 {
		p, err := w.flow.Page(ctx, r.SigningURL)
		ts.Check(err)
		if p.Step == "confirm" {
			ts.Setenv("code", p.CheckCode)
			break
		}
		_, err = w.flow.Step(ctx, r.SigningURL, args[0])
		ts.Check(err)
		time.Sleep(10 * time.Millisecond)
	}
	ts.Setenv("request", r.ID)
	ts.Setenv("page", r.SigningURL)
	ts.Check(w.save(r.SigningURL+"/documents/1", ts.MkAbs(args[3])))
}

func (w *world) finishCmd(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: finish PERSON OUT")
	}
	ctx, cancel := scriptContext()
	defer cancel()
	if end, err := w.flow.Walk(ctx, ts.Getenv("page"), args[0]); end != "done" {
		ts.Fatalf("the page came to %s: %v", end, err)
	}
	ts.Check(w.save(w.front+"/v1/signature-requests/"+ts.Getenv("request")+"/documents/1", ts.MkAbs(args[1])))
}

// save downloads a document.
func (w *world) save(address, path string) error {
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+w.flow.Key)
	resp, err := w.flow.HTTP.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%d %s", resp.StatusCode, b)
	}
	return errors.Join(err, os.WriteFile(path, b, 0o600))
}

// signing starts `tekend sign` without a person and gives the request whose
// link it prints.
func (w *world) signing(t *testing.T, out string) (*exec.Cmd, *bufio.Reader, sandboxtest.Request) {
	t.Helper()
	cmd := exec.Command(sandboxtest.Bin(t, "tekend"), "sign", "--sandbox", w.s.Dir, filepath.Join(w.root, "testdata/pdf/fpdf2.pdf"), "-o", out)
	stdout, err := cmd.StdoutPipe()
	w.must(t, err)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	w.must(t, cmd.Start())
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		if t.Failed() {
			t.Log(stderr.String())
		}
	})
	r := bufio.NewReader(stdout)
	line, err := r.ReadString('\n')
	link, found := strings.CutPrefix(strings.TrimSpace(line), "open: ")
	if err != nil || !found || !strings.HasPrefix(link, w.front+"/sign/") {
		t.Fatalf("the first line is %q, not the link: %v", line, err)
	}
	req := sandboxtest.Request{SigningURL: link}
	w.keep(req)
	return cmd, r, req
}

// testLink: without a magic person the command prints the link and waits for
// whoever opens it.
func (w *world) testLink(t *testing.T) {
	out := filepath.Join(t.TempDir(), "signed.pdf")
	cmd, r, req := w.signing(t, out)
	if end, err := w.flow.Walk(t.Context(), req.SigningURL, "approve"); end != "done" {
		t.Fatalf("%s %v", end, err)
	}
	rest, err := io.ReadAll(r)
	w.must(t, err)
	w.must(t, cmd.Wait())
	if want := "signed: " + out + "\n"; string(rest) != want {
		t.Errorf("printed %q, want %q", rest, want)
	}
	if text, code := w.s.Tekend(t, "verify", out); code != 0 {
		t.Errorf("verify: exit %d\n%s", code, text)
	}
}

// testInterrupted: Ctrl-C ends the command; nothing was written, and the
// request can still be signed.
func (w *world) testInterrupted(t *testing.T) {
	dir := t.TempDir()
	cmd, _, req := w.signing(t, filepath.Join(dir, "signed.pdf"))
	time.Sleep(300 * time.Millisecond)
	w.must(t, cmd.Process.Signal(syscall.SIGINT))
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	if says := cmd.Stderr.(*strings.Builder).String(); !strings.Contains(says, "tekend: stopped") {
		t.Errorf("it says %q", says)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if end, err := w.flow.Walk(t.Context(), req.SigningURL, "approve"); end != "done" {
		t.Errorf("%s %v", end, err)
	}
}
