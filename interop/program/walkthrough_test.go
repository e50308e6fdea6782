//go:build interop

package program

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tekend/interop/sandboxtest"
)

func scriptContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), time.Minute)
}

// testWalkthrough runs the README's commands for curl as they stand there; the
// step of the person is played between them.
func (w *world) testWalkthrough(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(w.root, "README.md"))
	w.must(t, err)
	_, section, found := strings.Cut(string(readme), "## The same with curl\n")
	_, block, found2 := strings.Cut(section, "```sh\n")
	block, _, found3 := strings.Cut(block, "\n```\n")
	before, after, found4 := strings.Cut(block, "# 2. ")
	if !found || !found2 || !found3 || !found4 {
		t.Fatal("the README's walk-through was not found")
	}
	dir := t.TempDir()
	w.must(t, os.Symlink(w.s.Dir, filepath.Join(dir, ".sandbox")))
	for _, name := range []string{"testdata", "bin"} {
		w.must(t, os.Symlink(filepath.Join(w.root, name), filepath.Join(dir, name)))
	}

	first := w.shell(t, dir, before)
	b, err := os.ReadFile(filepath.Join(dir, "request.json"))
	w.must(t, err)
	if string(b) != first {
		t.Errorf("what is shown is not what is kept: %q", first)
	}
	r := w.decode(t, b)
	if r.ID == "" || r.State != "created" || r.SigningURL == "" {
		t.Fatalf("the answer is %s", b)
	}
	if end, err := w.flow.Walk(t.Context(), r.SigningURL, "approve"); end != "done" {
		t.Fatalf("%s %v", end, err)
	}
	last := w.shell(t, dir, preamble(before)+"# 2. "+after)
	var shown sandboxtest.Request
	w.must(t, json.NewDecoder(strings.NewReader(last)).Decode(&shown))
	if shown.ID != r.ID || shown.State != "finished" || !strings.Contains(last, "signed.pdf: TOTAL_PASSED") {
		t.Errorf("%s", last)
	}
}

// preamble are the lines that set variables.
func preamble(block string) string {
	var b strings.Builder
	for line := range strings.Lines(block) {
		if strings.HasPrefix(line, "front=") || strings.HasPrefix(line, "key=") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func (w *world) shell(t *testing.T, dir, script string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-eu", "-c", script)
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, stderr.String())
	}
	return string(out)
}
