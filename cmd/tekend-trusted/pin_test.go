package main

import (
	"strings"
	"testing"
)

// TestPINInArgumentsOrEnvironmentIsRefused: by every command, before anything else, and without repeating it.
func TestPINInArgumentsOrEnvironmentIsRefused(t *testing.T) {
	const canary = "8675309"
	for name, c := range map[string]struct {
		env  string
		args []string
	}{
		"environment":       {"HSM_PIN=" + canary, []string{"version"}},
		"environment small": {"pin=" + canary, []string{"version"}},
		"so-pin":            {"TOKEN_SO_PIN=" + canary, []string{"version"}},
		"argument":          {"X=1", []string{"sam", "--config", "x.yaml", "--pin=" + canary}},
		"two arguments":     {"X=1", []string{"sam", "--config", "x.yaml", "--pin", canary}},
		"keys init":         {"X=1", []string{"keys", "init", "--so-pin=" + canary}},
	} {
		cmd := command(c.args...)
		cmd.Env = append(cmd.Env, c.env)
		out, err := cmd.CombinedOutput()
		if err == nil || cmd.ProcessState.ExitCode() != exitUsage || !strings.Contains(string(out), "pin_file") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		if strings.Contains(string(out), canary) {
			t.Errorf("%s: the PIN is repeated", name)
		}
	}
	for _, e := range []string{"PINNED=1", "SPINNAKER=x", "PIN=", "SHOPPING=1"} {
		if err := refusePINs([]string{e}, nil); err != nil {
			t.Errorf("%s: %v", e, err)
		}
	}
	if err := refusePINs(nil, []string{"audit", "verify", "--db", "/pin/x"}); err != nil {
		t.Error(err)
	}
}
