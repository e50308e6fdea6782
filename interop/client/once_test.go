//go:build interop

package client

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tekend/client"
	"tekend/interop/sandboxtest"
)

// TestEverybodyConfirmsOnce: a person who has never been here, and the people of a client with one-time credentials, sign
// PDFs that stay where they are with one confirmation; by the command, with an interruption too.
func TestEverybodyConfirmsOnce(t *testing.T) {
	s := sandboxtest.Start(t)
	oneTime := filepath.Join(s.Dir, "front", "one-time.key")
	file := filepath.Join(sandboxtest.Root(t), "testdata/pdf/libreoffice-writer.pdf")
	for name, args := range map[string][]string{
		"a new person":            {"--person", "diacritics", "--level", "B-LTA"},
		"the same again":          {"--person", "diacritics", "--level", "B-LT", "--format", "cades"},
		"one-time":                {"--person", "approve", "--key-file", oneTime},
		"one-time, the next time": {"--person", "approve", "--key-file", oneTime, "--level", "B-LT"},
	} {
		out := filepath.Join(t.TempDir(), "out")
		said, code := s.Tekend(t, append([]string{"sign", "--local", "-o", out, file}, args...)...)
		if code != 0 || strings.Count(said, "page: confirm") != 1 || strings.Count(said, "check code") != 1 {
			t.Errorf("%s: exit %d\n%s", name, code, said)
			continue
		}
		verify := []string{"verify", out}
		if strings.HasSuffix(args[len(args)-1], "cades") {
			verify = append(verify, "--detached", file)
		}
		if text, code := s.Tekend(t, verify...); code != 0 {
			t.Errorf("%s: verify: exit %d\n%s", name, code, text)
		}
	}
	interrupted(t, s, file)
	tooEarly(t, s, oneTime, file)
}

// interrupted kills the command twice, when the person has just answered and when his documents are prepared; then it goes on.
func interrupted(t *testing.T, s *sandboxtest.Sandbox, file string) {
	t.Helper()
	job, out := filepath.Join(t.TempDir(), "job"), filepath.Join(t.TempDir(), "out.pdf")
	args := []string{"sign", "--local", "-o", out, "--job", job, file}
	flow, link := s.Flow(t), ""
	for _, enough := range []func() bool{
		func() bool {
			step, err := flow.Step(t.Context(), link, "approve")
			return err == nil && step == "consent"
		},
		func() bool { return bytes.Contains(readFile(job), []byte(`"preparations":[{`)) },
	} {
		cmd := exec.Command(sandboxtest.Bin(t, "tekend"), append(args, "--sandbox", s.Dir)...)
		lines, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		b := make([]byte, 4096)
		n, err := lines.Read(b)
		must(t, err)
		last := link
		if _, link, _ = strings.Cut(strings.TrimSpace(string(b[:n])), "open: "); link == "" || last != "" && link != last {
			t.Fatalf("the link is %q, and was %q", link, last)
		}
		waitFor(t, enough)
		must(t, cmd.Process.Kill())
		_ = cmd.Wait() // killed
	}
	var kept struct {
		Key string `json:"idempotency_key"`
	}
	must(t, json.Unmarshal(readFile(job), &kept))
	if info, err := os.Stat(job); err != nil || info.Mode().Perm() != 0o600 || kept.Key == "" {
		t.Errorf("%v %v %q", info, err, kept.Key)
	}
	walked := make(chan string, 1)
	go func() {
		step, _ := flow.Walk(t.Context(), link, "approve")
		walked <- step
	}()
	text, code := s.Tekend(t, args...)
	if code != 0 || !strings.Contains(text, "going on with") || !strings.Contains(text, link) {
		t.Errorf("going on: exit %d\n%s", code, text)
	}
	if step := <-walked; step != "done" {
		t.Errorf("the page came to %s", step)
	}
	if _, err := os.Stat(job); err == nil {
		t.Error("the job is left")
	}
}

func readFile(path string) []byte {
	b, _ := os.ReadFile(path) // not there yet: nothing
	return b
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not come")
		}
	}
}

// tooEarly: whoever prepares PDFs of one-time certificates before the order is told what to do instead.
func tooEarly(t *testing.T, s *sandboxtest.Sandbox, keyFile, file string) {
	t.Helper()
	pem, err := os.ReadFile(s.Info(t).RootPEM)
	must(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	c, err := client.New(client.Config{BaseURL: s.Info(t).Front, Key: string(bytes.TrimSpace(readFile(keyFile))), Roots: roots, Now: time.Now})
	must(t, err)
	doc := bytes.NewReader(readFile(file))
	p, err := c.Prepare(t.Context(), doc, doc.Size(), client.Options{})
	must(t, err)
	_, err = c.Send(t.Context(), client.Order{}, p)
	if problem, ok := errors.AsType[*client.Problem](err); !ok || problem.Code != "digests_too_early" || problem.Status != 422 || problem.Hint == "" {
		t.Errorf("%v", err)
	}
}
