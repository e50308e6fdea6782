//go:build interop

package program

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tekend/interop/sandboxtest"
)

// testDown takes away each role in turn: what was confirmed is kept and
// finished, what was not is asked again, and nothing is signed twice.
func (w *world) testDown(t *testing.T) {
	w.known(t, "down", "approve")
	t.Run("sam dead", w.testSAMDead)
	t.Run("sam hangs", w.testSAMHangs)
	t.Run("ca dead while enrolling", w.testCADeadEnrolling)
	t.Run("ca dead while signing", w.testCADeadSigning)
	t.Run("tsa dead", w.testTSADead)
	t.Run("tsa hangs", w.testTSAHangs)
	t.Run("token gone", w.testTokenGone)
}

func (w *world) pid(t testing.TB, role string) int {
	t.Helper()
	pid := w.s.Info(t).PIDs[role]
	if pid <= 1 {
		t.Fatalf("no process of %s", role)
	}
	return pid
}

// kill ends a process of our own sandbox; the launcher starts it again.
func (w *world) kill(t testing.TB, role string) {
	t.Helper()
	pid := w.pid(t, role)
	w.must(t, syscall.Kill(pid, syscall.SIGKILL))
	w.eventually(t, role+" was started again", func() bool { return w.s.Info(t).PIDs[role] != pid })
}

// hold ends a role and keeps it down, by taking its configuration away, until
// the returned function is called.
func (w *world) hold(t testing.TB, role string) (release func()) {
	t.Helper()
	path := filepath.Join(w.s.Dir, role, role+".yaml")
	w.must(t, os.Rename(path, path+".held"))
	held := true
	release = func() {
		if held {
			held = false
			w.must(t, os.Rename(path+".held", path))
		}
	}
	t.Cleanup(release)
	w.kill(t, role)
	return release
}

// freeze stops a role in the middle of what it does until the returned
// function is called.
func (w *world) freeze(t testing.TB, role string) (thaw func()) {
	t.Helper()
	pid := w.pid(t, role)
	w.must(t, syscall.Kill(pid, syscall.SIGSTOP))
	thaw = func() { _ = syscall.Kill(pid, syscall.SIGCONT) }
	t.Cleanup(thaw)
	return thaw
}

// confirmed brings a request to where itsme has the person's yes.
func (w *world) confirmed(t testing.TB, reference string) (sandboxtest.Request, string) {
	t.Helper()
	r := w.order(t, reference, w.sample(t, "fpdf2.pdf"))
	return r, w.atItsme(t, w.until(t, r, "approve", "confirm").Link, "approve")
}

// waitsWith holds that a request waits in state with a retryable notice.
func (w *world) waitsWith(t testing.TB, r sandboxtest.Request, state, code string) {
	t.Helper()
	var now request
	w.eventually(t, "the request waits because of "+code, func() bool {
		now = w.get(t, r.ID)
		return now.Notice != nil && now.Notice.Code == code || now.Problem != nil
	})
	if now.State != state || now.Notice == nil || !now.Notice.Retryable || now.Notice.Hint == "" {
		t.Errorf("%s %+v %+v, want %s %s", now.State, now.Notice, now.Problem, state, code)
	}
	w.notSigned(t, r)
}

// once holds that exactly one signature was made since before.
func (w *world) once(t testing.TB, before uses) {
	t.Helper()
	if now := w.uses(t); now.signed != before.signed+1 {
		t.Errorf("%d signatures for one confirmation", now.signed-before.signed)
	}
}

// testSAMDead: a SAM that was restarted takes no confirmation from before, so
// the person is asked again and the request is finished with that.
func (w *world) testSAMDead(t *testing.T) {
	before := w.uses(t)
	r, back := w.confirmed(t, "down")
	release := w.hold(t, "sam")
	if out, code := w.configCheck(t); code != 3 || !strings.Contains(out, "NO") {
		t.Errorf("config check without the sam: exit %d\n%s", code, out)
	}
	done := make(chan error, 1)
	go func() { done <- w.flow.Callback(t.Context(), back) }()
	w.waitsWith(t, r, "prepared", "sam_unavailable")
	created := w.order(t, "down", w.sample(t, "fpdf2.pdf")) // orders are taken all the same
	if now := w.uses(t); now.signed != before.signed {
		t.Error("something was signed")
	}
	release()
	w.must(t, <-done)
	if end, err := w.flow.Walk(t.Context(), r.SigningURL, "approve"); end != "done" {
		t.Fatalf("%s %v", end, err)
	}
	w.signed(t, r, w.sample(t, "fpdf2.pdf"))
	w.once(t, before)
	if end, err := w.flow.Walk(t.Context(), created.SigningURL, "approve"); end != "done" {
		t.Errorf("the order of meanwhile: %s %v", end, err)
	}
}

// testSAMHangs: an answer that the SAM did not take yet is kept until it does.
func (w *world) testSAMHangs(t *testing.T) {
	before := w.uses(t)
	r, back := w.confirmed(t, "down")
	thaw := w.freeze(t, "sam")
	done := make(chan error, 1)
	go func() { done <- w.flow.Callback(t.Context(), back) }()
	time.Sleep(500 * time.Millisecond)
	w.state(t, r, "prepared")
	thaw()
	w.must(t, <-done)
	w.signed(t, r, w.sample(t, "fpdf2.pdf"))
	w.once(t, before)
}

// testCADeadEnrolling: the issue order waits for the CA.
func (w *world) testCADeadEnrolling(t *testing.T) {
	before := w.uses(t)
	r := w.order(t, "", w.sample(t, "fpdf2.pdf"))
	p := w.until(t, r, "nl-document", "consent")
	back := w.atItsme(t, p.Link, "nl-document")
	release := w.hold(t, "ca")
	w.must(t, w.flow.Callback(t.Context(), back))
	w.waitsWith(t, r, "created", "ca_unavailable")
	release()
	w.until(t, r, "nl-document", "confirm")
	if end, err := w.flow.Walk(t.Context(), r.SigningURL, "nl-document"); end != "done" {
		t.Fatalf("%s %v", end, err)
	}
	w.signed(t, r, w.sample(t, "fpdf2.pdf"))
	w.once(t, before)
	if now := w.uses(t); now.certificates != before.certificates+1 {
		t.Errorf("%d certificates for one enrolment", now.certificates-before.certificates)
	}
}

// testCADeadSigning: no key is used while nobody says that its certificate is good.
func (w *world) testCADeadSigning(t *testing.T) {
	before := w.uses(t)
	r, back := w.confirmed(t, "down")
	release := w.hold(t, "ca")
	w.must(t, w.flow.Callback(t.Context(), back))
	time.Sleep(time.Second)
	if now := w.uses(t); now.signed != before.signed {
		t.Error("the key was used without the certificate's status")
	}
	w.notSigned(t, r)
	if now := w.get(t, r.ID); now.Problem != nil || now.Notice == nil || !now.Notice.Retryable {
		t.Errorf("%s %+v %+v", now.State, now.Notice, now.Problem)
	}
	release()
	w.signed(t, r, w.sample(t, "fpdf2.pdf"))
	w.once(t, before)
}

// testTSADead: the signature is kept, and stamped when the authority is back.
func (w *world) testTSADead(t *testing.T) {
	before := w.uses(t)
	r, back := w.confirmed(t, "down")
	release := w.hold(t, "tsa")
	w.must(t, w.flow.Callback(t.Context(), back))
	w.waitsWith(t, r, "signed", "tsa_unavailable")
	w.once(t, before)
	release()
	w.signed(t, r, w.sample(t, "fpdf2.pdf"))
	w.once(t, before)
}

func (w *world) testTSAHangs(t *testing.T) {
	before := w.uses(t)
	r, back := w.confirmed(t, "down")
	thaw := w.freeze(t, "tsa")
	done := make(chan error, 1)
	go func() { done <- w.flow.Callback(t.Context(), back) }()
	w.eventually(t, "the value is stored", func() bool { return w.get(t, r.ID).State == "signed" })
	w.state(t, r, "signed")
	thaw()
	w.must(t, <-done)
	w.signed(t, r, w.sample(t, "fpdf2.pdf"))
	w.once(t, before)
}

func (w *world) configCheck(t testing.TB) (string, int) {
	t.Helper()
	cmd := exec.Command(sandboxtest.Bin(t, "tekend"), "config", "check", "--config", filepath.Join(w.s.Dir, "front", "front.yaml"))
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// testTokenGone takes the token's folder away while the SAM runs; when it is
// back the same process signs again.
func (w *world) testTokenGone(t *testing.T) {
	before, pid := w.uses(t), w.pid(t, "sam")
	r, back := w.confirmed(t, "down")
	tokens := filepath.Join(w.s.Dir, "sam", "tokens")
	w.must(t, os.Rename(tokens, tokens+".away"))
	away := true
	bring := func() {
		if away {
			away = false
			w.must(t, os.Rename(tokens+".away", tokens))
		}
	}
	t.Cleanup(bring)
	w.must(t, w.flow.Callback(t.Context(), back))
	time.Sleep(300 * time.Millisecond)
	now := w.get(t, r.ID)
	t.Logf("without the token: %s %+v", now.State, now.Notice)
	if now.Problem != nil || now.State == "signed" || now.State == "finished" {
		t.Errorf("%s %+v", now.State, now.Problem)
	}
	w.notSigned(t, r)
	if out, code := w.configCheck(t); code != 1 || !strings.Contains(out, "NO") {
		t.Errorf("config check without the token: exit %d\n%s", code, out)
	}
	bring()
	if end, err := w.flow.Walk(t.Context(), r.SigningURL, "approve"); end != "done" {
		t.Fatalf("%s %v", end, err)
	}
	w.signed(t, r, w.sample(t, "fpdf2.pdf"))
	w.once(t, before)
	if w.pid(t, "sam") != pid {
		t.Error("the SAM was started again")
	}
}
