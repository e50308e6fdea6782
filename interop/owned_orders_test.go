//go:build interop

package interop

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tekend/hsm/hsmtest/shim"
	"tekend/interop/sandboxtest"
)

// TestOwnedFrontSignedOrders: through the whole program, with the policy that orders must be signed by their provider. An
// order without a signature, by another key or of another provider ends without a use of a key; one by the registered
// key is signed, and stands in the evidence. The oracle counts.
func TestOwnedFrontSignedOrders(t *testing.T) {
	s := sandboxtest.Start(t, "--provider-signed", "required", "--shim", shim.Build(t))
	root, tmp := sandboxtest.Root(t), t.TempDir()
	file := filepath.Join(root, "testdata/pdf/fpdf2.pdf")
	key := filepath.Join(s.Dir, "provider", "order-key.pem")
	foreign := filepath.Join(tmp, "foreign.pem")
	if out, err := keygen(t, foreign, filepath.Join(tmp, "foreign.pub")); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	sign := func(to string, order ...string) (string, int) {
		return s.Tekend(t, append(append([]string{"sign", "--person", "approve", "-o", filepath.Join(tmp, to)}, order...), file)...)
	}
	// The person has a certificate, and what is right is signed.
	out, code := sign("first", "--order-key", key, "--provider", "provider")
	if code != 0 {
		t.Fatalf("exit %d\n%s", code, out)
	}
	before := documentUses(t, s)
	for name, order := range map[string][]string{
		"no signature":       nil,
		"a foreign key":      {"--order-key", foreign, "--provider", "provider"},
		"another's name":     {"--order-key", key, "--provider", "acme"},
		"a foreign provider": {"--order-key", foreign, "--provider", "acme"},
	} {
		out, code := sign("refused", order...)
		if code == 0 || !strings.Contains(out, "order") {
			t.Errorf("%s: exit %d\n%s", name, code, out)
		}
	}
	if n := documentUses(t, s) - before; n != 0 {
		t.Errorf("users' keys were used %d times for orders that no provider signed", n)
	}
	out, code = sign("second", "--order-key", key, "--provider", "provider")
	id := regexp.MustCompile(`request (sr_\S+)`).FindStringSubmatch(out)
	if code != 0 || id == nil {
		t.Fatalf("exit %d\n%s", code, out)
	}
	if n := documentUses(t, s) - before; n != 1 {
		t.Errorf("the oracle saw %d uses for one signature: the test shows nothing", n)
	}
	bundle := filepath.Join(tmp, "evidence.json")
	if out, code := s.Tekend(t, "evidence", "get", id[1], "-o", bundle); code != 0 {
		t.Fatalf("exit %d\n%s", code, out)
	}
	var b struct {
		Order *struct{ Provider, JWS string }
	}
	text, err := os.ReadFile(bundle)
	if err == nil {
		err = json.Unmarshal(text, &b)
	}
	if err != nil || b.Order == nil || b.Order.Provider != "provider" || strings.Count(b.Order.JWS, ".") != 2 {
		t.Errorf("the evidence holds the order %+v: %v", b.Order, err)
	}
	words, code := s.Tekend(t, "evidence", "verify", bundle, filepath.Join(tmp, "second"))
	if code != 0 || !strings.Contains(words, "provider") {
		t.Errorf("exit %d\n%s", code, words)
	}
	t.Log("owned front, orders through the program: 4 not signed by the provider tried, 0 accepted, 0 uses of users' keys by the oracle; a signed one is in the evidence")
}

// documentUses counts, by the oracle before the sam's token, what users' keys signed.
func documentUses(t *testing.T, s *sandboxtest.Sandbox) (n int) {
	t.Helper()
	events, err := shim.ReadOracle(filepath.Join(s.Dir, "sam", "oracle.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range shim.Signatures(events) {
		if strings.HasPrefix(x.Key, "blob:") && !x.Canary() {
			n++
		}
	}
	return n
}

func keygen(t *testing.T, private, public string) ([]byte, error) {
	t.Helper()
	return exec.Command(sandboxtest.Bin(t, "tekend"), "order", "keygen", "--key", private, "--public", public).CombinedOutput()
}
