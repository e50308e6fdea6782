//go:build interop

package evidence

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"testing"
	"time"

	"tekend/evidence"
	"tekend/hsm"
)

type logKey struct {
	pub ed25519.PublicKey
	der []byte
}

func newLogKey() (logKey, error) {
	pub, secret, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return logKey{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(secret)
	return logKey{pub, der}, err
}

func TestOne(t *testing.T) {
	w := newWorld(t, hsm.P256)
	c := w.enrol("approve")
	b := w.evidence(w.sign(c, "first", "en", 3))
	out := got(b.Encode())(t)
	t.Log(len(out))
	rep, err := evidence.Verify(t.Context(), out, evidence.Trust{Roots: w.roots, At: time.Now(), LogKey: w.logKey, WitnessKeys: []string{w.witness}})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range append(rep.Proven, rep.Trusted...) {
		t.Log(s)
	}
	_ = out
}

