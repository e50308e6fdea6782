package activation_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tekend/hsm/hsmtest"
	"tekend/hsm/hsmtest/shim"
	"tekend/sam/activation"
)

// The owned front in full (issue 4 item 9). The witness of what keys were used for is the oracle, a PKCS#11 module that
// knows nothing of our code.

// newOwnedWorld is a world whose token stands behind the oracle.
func newOwnedWorld(t *testing.T, change ...func(*activation.Config)) *world {
	t.Helper()
	behindTheOracle(t)
	return newWorld(t, change...)
}

// behindTheOracle has the tokens of this test stand behind it, who also understands calls at the same time.
func behindTheOracle(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv(envShim, shim.Build(t))
	t.Setenv(shim.EnvModule, hsmtest.Module)
	t.Setenv(shim.EnvOracle, filepath.Join(dir, "oracle"))
	t.Setenv(shim.EnvFaults, filepath.Join(dir, "faults"))
	must(t, os.WriteFile(filepath.Join(dir, "faults"), nil, 0o600))
}

func oracle(t testing.TB, from int64) []shim.Signature {
	t.Helper()
	text, err := os.ReadFile(os.Getenv(shim.EnvOracle))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	must(t, err)
	return shim.Signatures(got(shim.ParseOracle(text[from:]))(t))
}

// oracleSize is where the oracle's file ends now.
func oracleSize(t testing.TB) int64 {
	t.Helper()
	info, err := os.Stat(os.Getenv(shim.EnvOracle))
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	must(t, err)
	return info.Size()
}

// oracleUses counts the values that the token was asked to make with users' keys.
func oracleUses(t testing.TB, from int64) (n int) {
	for _, s := range oracle(t, from) {
		if !s.Canary() && !s.MAC() && (strings.HasPrefix(s.Key, "blob:") || strings.HasPrefix(s.Key, "id:") && s.Label == "") {
			n++
		}
	}
	return n
}

// refusals counts all refusals that the audit knows, told in rows of their own or in sums.
func (w *world) refusals() int {
	w.t.Helper()
	kinds := map[string]bool{}
	for _, r := range w.rows() {
		if strings.HasPrefix(r.kind, "refusal.") {
			kinds[r.kind] = true
		}
	}
	n := 0
	for kind := range kinds {
		n += w.count(kind)
	}
	return n
}

// figure is one line of make test: what a group tried, and what came of it.
func (w *world) figure(group string, tried, accepted, audited, used int) {
	w.t.Helper()
	if accepted != 0 || used != 0 || audited < tried {
		w.t.Errorf("owned front, %s: %d of %d were accepted, %d are in the audit, users' keys were used %d times", group, accepted, tried, audited, used)
	}
	w.t.Logf("owned front, %s: %d tried, %d accepted, %d refusals in the audit, %d uses of users' keys by the oracle", group, tried, accepted, audited, used)
}
