package main

import (
	"path/filepath"
	"strings"
	"testing"

	"tekend/hsm"
)

func TestNothingMayStandBetweenARoleAndItsToken(t *testing.T) {
	config := write(t, filepath.Join(t.TempDir(), "ceremony.yaml"), "{}")
	for _, watcher := range []string{
		"TEKEND_SHIM_MODULE=/x.so", "TEKEND_SHIM_ORACLE=/x", "TEKEND_SHIM_FAULTS=/x",
		"PKCS11SPY=/x.so", "PKCS11SPY_OUTPUT=/x", "LD_PRELOAD=/nonexistent/x.so", "LD_AUDIT=/nonexistent/x.so",
	} {
		t.Run(watcher, func(t *testing.T) {
			name, value, _ := strings.Cut(watcher, "=")
			t.Setenv(name, value)
			token := hsm.Config{Module: "/nonexistent/module.so", TokenLabel: "x", PINFile: "/nonexistent/pin"}
			refused := func(err error) bool { return err != nil && strings.Contains(err.Error(), "the environment has "+name) }
			if _, err := (tokenSection{Config: token}).open(&program{ctx: t.Context()}); !refused(err) {
				t.Errorf("a role: %v", err)
			}
			token.TestOnly = true
			if _, err := (tokenSection{Config: token}).open(&program{ctx: t.Context()}); err == nil || refused(err) {
				t.Errorf("a role with test_only: %v", err)
			}
			code, _, stderr := call(t, "keys", "init", "--config", config)
			if code != exitUsage || !strings.Contains(stderr, "the environment has "+name) {
				t.Errorf("the ceremony: exit %d\n%s", code, stderr)
			}
		})
	}
	if err := refuseWatchers([]string{"LD_PRELOAD=", "PATH=/usr/bin", "SOFTHSM2_CONF=/x"}); err != nil {
		t.Error(err)
	}
}
