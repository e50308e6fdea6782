package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAnOldTokenCopyLocksTheTSA: the copy that the ceremony made has no
// generation. The role runs, refuses, and opens when two operators say so.
func TestAnOldTokenCopyLocksTheTSA(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	var lines string
	for _, name := range []string{"an", "bo"} {
		lines += must(t, "operator", "keygen", "--name", name, "--out", filepath.Join(dir, name))
	}
	if code, _, _ := call(t, "operator", "keygen", "--name", "an", "--out", filepath.Join(dir, "an")); code != exitNo {
		t.Errorf("a key was replaced: exit %d", code)
	}
	config := w.path("tsa.yaml")
	b, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, config, string(b)+"operators:\n"+lines)
	socket := w.path("tsa/run/tsa.sock")
	role := start(t, "tsa", config)
	role.health(t, socket)
	stamp(t, w)
	role.stop(t)
	if code, _, stderr := call(t, "lock", "show", "--config", config); code != exitNo || !strings.Contains(stderr, "not locked") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if err := os.RemoveAll(w.path("tsa/tokens")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(w.path("tsa/tokens"), os.DirFS(w.path("tsa/tokens.copy"))); err != nil {
		t.Fatal(err)
	}
	role = start(t, "tsa", config)
	if h := role.health(t, socket); h["ready"] != false {
		t.Errorf("with an old token: %v", h)
	}
	role.stop(t)
	lock := write(t, filepath.Join(dir, "lock"), must(t, "lock", "show", "--config", config))
	var approvals []string
	for _, name := range []string{"an", "bo"} {
		text := must(t, "lock", "approve", "--key", filepath.Join(dir, name), lock)
		approvals = append(approvals, "--approval", write(t, filepath.Join(dir, name+".approval"), text))
	}
	unlock := append([]string{"unlock", "--config", config}, approvals...)
	must(t, unlock...)
	must(t, append(unlock, "--do")...)
	role = start(t, "tsa", config)
	if h := role.health(t, socket); h["ready"] != true {
		t.Errorf("after unlocking: %v", h)
	}
	stamp(t, w)
	role.stop(t)
}

// TestARoleWithoutFenceOrWitnessDoesNotStart.
func TestARoleWithoutFenceOrWitnessDoesNotStart(t *testing.T) {
	w := newWorld(t)
	b, err := os.ReadFile(w.path("tsa.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for says, text := range map[string]string{
		"fence.file is missing": strings.Replace(string(b), "fence: {file:", "fence: {} #", 1),
		"audit.witnesses":       strings.Replace(string(b), ", test_only: true", "", 1),
		"operators":             string(b) + "operators: [{name: an, key: short}]\n",
	} {
		code, _, stderr := call(t, "tsa", "--config", write(t, w.path("bad.yaml"), text))
		if code != exitUsage || !strings.Contains(stderr, says) {
			t.Errorf("%s: exit %d, %s", says, code, stderr)
		}
	}
}
