package strictyaml_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tekend/strictyaml"
)

type config struct {
	Listen string `yaml:"listen"`
	Life   int    `yaml:"life"`
}

func read(t *testing.T, text string) (config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "role.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := config{Life: 7}
	return c, strictyaml.Read(path, &c)
}

func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct{ text, why string }{
		"unknown key":    {"listn: x\n", "listn"},
		"key twice":      {"listen: x\nlisten: y\n", "already defined"},
		"wrong type":     {"life: soon\n", "cannot unmarshal"},
		"two documents":  {"listen: x\n---\nlife: 1\n", "more than one"},
		"not YAML":       {"\tlisten: [", "yaml"},
		"larger than ok": {"listen: " + strings.Repeat("x", strictyaml.MaxFile), "larger"},
	} {
		if got, err := read(t, c.text); err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
	if err := strictyaml.Read(filepath.Join(t.TempDir(), "none"), &config{}); err == nil {
		t.Error("a missing file was read")
	}
}

func TestReads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "role.yaml")
	for text, want := range map[string]config{"listen: fd:3\n": {"fd:3", 7}, "": {"", 7}, "life: 9": {"", 9}} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got := config{Life: 7}
		if err := strictyaml.Read(path, &got); err != nil || got != want {
			t.Errorf("%q: %+v %v", text, got, err)
		}
	}
}
