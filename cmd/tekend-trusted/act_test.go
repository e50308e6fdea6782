package main

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestActsAtTheSam: what an operator types, against the role as a process. The act that two approve is heard by the role,
// which says what it thinks of its subject; everything less it does not even look at. The emergency page is served beside it.
func TestActsAtTheSam(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	var lines string
	for _, name := range []string{"an", "bo"} {
		lines += must(t, "operator", "keygen", "--name", name, "--out", filepath.Join(dir, name))
	}
	must(t, "operator", "keygen", "--name", "stranger", "--out", filepath.Join(dir, "stranger"))
	config := w.path("sam.yaml")
	b, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	page, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(l.Close(), page.Close()) })
	text := strings.Replace(string(b), "jwks_listen: fd:3", "jwks_listen: 127.0.0.1:0", 1)
	if code, _, stderr := call(t, actDo(w, write(t, filepath.Join(dir, "none.yaml"), text), write(t, filepath.Join(dir, "x"), "x"))...); code != exitUsage || !strings.Contains(stderr, "operator_listen is missing") {
		t.Errorf("exit %d, %s", code, stderr)
	}
	write(t, config, text+"operator_listen: {socket: "+w.path("sam/run/operators.sock")+"}\nemergency_listen: fd:3\noperators:\n"+lines)
	role := start(t, "sam", config, page)
	role.health(t, w.path("sam/run/sam.sock"))

	act := write(t, filepath.Join(dir, "act"), must(t, "act", "show", "--act", "revoke", "--subject", "cred_nobody", "--reason", "keyCompromise"))
	approve := func(name string) string {
		return write(t, filepath.Join(dir, name+".approval"), must(t, "act", "approve", "--key", filepath.Join(dir, name), act))
	}
	an, bo, stranger := approve("an"), approve("bo"), approve("stranger")
	for says, approvals := range map[string][]string{
		"credential_unknown": {an, bo}, // it was decided, and is about nothing
		"not_approved":       {an},
		"two different":      {bo, bo},
		"configured":         {an, stranger},
	} {
		if code, _, stderr := call(t, actDo(w, config, act, approvals...)...); code != exitNo || !strings.Contains(stderr, says) {
			t.Errorf("%s: exit %d, %s", says, code, stderr)
		}
	}
	for says, args := range map[string][]string{
		"is no reason to suspend": {"act", "show", "--act", "suspend", "--subject", "cred_1", "--reason", "keyCompromise"},
		"credential's id":         {"act", "show", "--act", "revoke", "--subject", "a b", "--reason", "superseded"},
		"not an act":              {"act", "approve", "--key", filepath.Join(dir, "an"), an},
	} {
		if code, _, stderr := call(t, args...); code != exitUsage || !strings.Contains(stderr, says) {
			t.Errorf("%v: exit %d, %s", args, code, stderr)
		}
	}
	resp, err := http.Get("http://" + l.Addr().String() + "/")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), "SANDBOX") {
		t.Errorf("the emergency page: %d %v", resp.StatusCode, err)
	}
	role.stop(t)
}

// actDo is the command line of an act.
func actDo(w world, config, act string, approvals ...string) []string {
	args := []string{"act", "do", "--config", config}
	for _, a := range approvals {
		args = append(args, "--approval", a)
	}
	if len(approvals) == 0 {
		args = append(args, "--approval", w.path("sam.yaml"))
	}
	return append(args, act)
}
