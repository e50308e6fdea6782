package main

import (
	"os"
	"strings"
	"testing"
)

// TestAFolderOfAnEarlierVersionIsRefused: its root lay in the ca's token, and it has no key for OCSP. Nothing is run.
func TestAFolderOfAnEarlierVersionIsRefused(t *testing.T) {
	s := &sandbox{cmd: &sandboxCmd{Dir: t.TempDir(), Listen: "127.0.0.1:0"}, state: sandboxState{Ports: map[string]int{"front": 1}}, bin: "/nowhere"}
	for _, dir := range []string{"pki", "operators"} {
		if err := os.Mkdir(s.path(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(s.path("pki", "ceremony.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.ceremony(); err == nil || !strings.Contains(err.Error(), "begin again in an empty folder") {
		t.Error(err)
	}
}
