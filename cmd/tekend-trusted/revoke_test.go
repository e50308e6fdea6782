package main

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tekend/ca"
	"tekend/certs"
	"tekend/fence"
	"tekend/wire"
)

// TestActsAtTheCA: what an operator types, against the role as a process with its token: nothing else runs, no front, no sam, no
// itsme. The responder's certificate is issued by the role, and answers with the token's key.
func TestActsAtTheCA(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	var lines string
	for _, name := range []string{"an", "bo"} {
		lines += must(t, "operator", "keygen", "--name", name, "--out", filepath.Join(dir, name))
	}
	config := w.path("ca.yaml")
	text := readText(t, config)
	write(t, config, text+"operator_listen: {socket: "+w.path("ca/run/operators.sock")+"}\noperators:\n"+lines)
	role := start(t, "ca", config)
	if h := role.health(t, w.path("ca/run/ca.sock")); h["ready"] != true {
		t.Fatalf("health: %v", h)
	}
	for _, c := range []struct {
		act, subject, reason, says string
		exit                       int
	}{
		{"revoke", "40ff", "keyCompromise", "serial_unknown", exitNo}, // it was decided, and is about nothing
		{"retire", "issuing-ca", "cessationOfOperation", "not_yet", exitNo},
		{"suspend", "40ff", "investigation", "two acts", exitUsage},
	} {
		act := write(t, filepath.Join(dir, "act"), must(t, "act", "show", "--act", c.act, "--subject", c.subject, "--reason", c.reason))
		approve := func(name string) string {
			return write(t, filepath.Join(dir, name+".approval"), must(t, "act", "approve", "--key", filepath.Join(dir, name), act))
		}
		an, bo := approve("an"), approve("bo")
		if code, _, stderr := call(t, actDo(w, config, act, an, bo)...); code != c.exit || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: exit %d, %s", c.act, code, stderr)
		}
		if code, _, stderr := call(t, actDo(w, config, act, an)...); code == 0 || c.exit == exitNo && c.act != "revoke" && !strings.Contains(stderr, "not_approved") {
			t.Errorf("%s by one: exit %d, %s", c.act, code, stderr)
		}
	}
	issuer := readCert(t, w.path("pki/issuing-ca.pem"))
	id, err := certs.IDOf(&x509.Certificate{SerialNumber: big.NewInt(0x40ff)}, issuer, crypto.SHA1)
	if err != nil {
		t.Fatal(err)
	}
	query, err := certs.EncodeOCSPRequest([]certs.CertID{id}, []byte("a nonce of 24 octets ..."))
	if err != nil {
		t.Fatal(err)
	}
	der, err := ca.NewClient(w.path("ca/run/ca.sock"), 5*time.Second).OCSP(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := certs.ParseOCSPResponse(der)
	if err != nil || answer.Verify(issuer, time.Now()) != nil || answer.Singles[0].State != certs.StatusUnknown || string(answer.Nonce) != "a nonce of 24 octets ..." {
		t.Errorf("OCSP: %+v %v", answer, err)
	}
	role.stop(t)
	lockedSaysNothing(t, w, config, query)
	// A token from before OCSP: what to do is said.
	write(t, config, text+"ocsp_key: none\n")
	if code, _, stderr := call(t, "ca", "--config", config); code != exitUsage || !strings.Contains(stderr, "keys add") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

// lockedSaysNothing: a ca that may have lost a revocation gives neither an OCSP answer nor a CRL, and takes no act, until it is opened.
func lockedSaysNothing(t *testing.T, w world, config string, query []byte) {
	t.Helper()
	if err := os.Remove(w.path("ca-fence.json")); err != nil {
		t.Fatal(err)
	}
	role := start(t, "ca", config)
	if h := role.health(t, w.path("ca/run/ca.sock")); h["ready"] != false {
		t.Fatalf("health: %v", h)
	}
	client := ca.NewClient(w.path("ca/run/ca.sock"), 5*time.Second)
	der, err := client.OCSP(t.Context(), query)
	if err != nil || !bytes.Equal(der, certs.OCSPErrorResponse(certs.OCSPTryLater)) {
		t.Errorf("OCSP: %x %v", der, err)
	}
	if _, _, err := client.Published(t.Context(), "crl/issuing-ca.crl"); err == nil {
		t.Error("a locked ca gives a CRL")
	}
	sam := ca.NewStatusClient(w.path("ca/status/status.sock"), 5*time.Second)
	var refused *wire.Error
	if _, err := sam.Revoke(t.Context(), ca.RevokeRequest{V: ca.RevocationVersion, Serial: "40ff", By: ca.BySAM}); !errors.As(err, &refused) || refused.Code != fence.CodeLocked {
		t.Errorf("a revocation: %v", err)
	}
	if _, err := sam.Revocations(t.Context(), 0); err == nil {
		t.Error("a locked ca lists revocations")
	}
	role.stop(t)
}
