package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestNothingMayStandBetweenARoleAndItsToken(t *testing.T) {
	config := write(t, filepath.Join(t.TempDir(), "ca.yaml"), "token: {module: /usr/lib/softhsm/libsofthsm2.so, token_label: x, pin_file: /nonexistent}\n"+
		"ca: {itsme: {issuer: \"https://idp.e2e.itsme.services/v2\"}}\n")
	test := write(t, filepath.Join(t.TempDir(), "ca-test.yaml"), "token: {module: /usr/lib/softhsm/libsofthsm2.so, token_label: x, pin_file: /nonexistent, test_only: true}\n"+
		"ca: {itsme: {issuer: \"https://idp.e2e.itsme.services/v2\"}}\n")
	for _, watcher := range []string{
		"TEKEND_SHIM_MODULE=/x.so", "TEKEND_SHIM_ORACLE=/x", "TEKEND_SHIM_FAULTS=/x",
		"PKCS11SPY=/x.so", "PKCS11SPY_OUTPUT=/x", "LD_PRELOAD=/nonexistent/x.so", "LD_AUDIT=/nonexistent/x.so",
	} {
		name, _, _ := strings.Cut(watcher, "=")
		for _, args := range [][]string{{"ca", "--config", config}, {"keys", "init", "--config", config}} {
			c := command(args...)
			c.Env = append(c.Env, watcher)
			out, err := c.CombinedOutput()
			if err == nil || c.ProcessState.ExitCode() != exitUsage || !strings.Contains(string(out), "the environment has "+name) {
				t.Errorf("%s %v: exit %d\n%s", watcher, args, c.ProcessState.ExitCode(), out)
			}
		}
		c := command("ca", "--config", test)
		c.Env = append(c.Env, watcher)
		if out, _ := c.CombinedOutput(); strings.Contains(string(out), "the environment has") {
			t.Errorf("%s is refused although test_only is true:\n%s", watcher, out)
		}
	}
	if err := refuseWatchers([]string{"LD_PRELOAD=", "PATH=/usr/bin", "SOFTHSM2_CONF=/x"}); err != nil {
		t.Error(err)
	}
}
