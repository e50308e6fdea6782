package activation_test

import (
	"testing"

	"tekend/sam"
)

func TestSignature(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	if cred.State != sam.CredentialActive || cred.KeyType != "P-256" || cred.Algorithm != sam.ECDSAWithSHA256 {
		t.Fatalf("%+v", cred)
	}
	c := w.confirm(cred, 3)
	signed := got(w.front.Sign(t.Context(), c.Nonce, c.request(0, 1, 2)))(t)
	checkValues(t, cred, c.docs, signed.Values)
	if n := w.uses(); n != 4 { // and one for the certificate request
		t.Errorf("%d uses", n)
	}
	for _, r := range w.rows() {
		t.Log(r.kind, r.subject, r.raw)
	}
}
