package cms_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"math/big"
	"testing"
	"time"

	"tekend/cms"
)

// TestHugeKeysAreNotComputedWith: a modulus of 128 kB, which fits in a small
// signature, took a minute and a half of each reader.
func TestHugeKeysAreNotComputedWith(t *testing.T) {
	n := new(big.Int).Lsh(big.NewInt(1), 128<<13)
	huge := &rsa.PublicKey{N: n.Sub(n, big.NewInt(1)), E: 1<<31 - 1}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, huge, key)
	if err != nil {
		t.Fatal(err)
	}
	want := &cms.Error{Code: cms.CodeAlgorithm}
	if _, err := cms.ReadCertificate(der); !errors.Is(err, want) {
		t.Error(err)
	}
	p := newPerson(t, "RSA-3072")
	sd, err := cms.Parse(assemble(t, p.sign(t, []byte("x"))), cms.Budget{})
	if err != nil {
		t.Fatal(err)
	}
	si := sd.SignerInfos[0]
	si.Value = make([]byte, huge.Size())
	if err := si.CheckValue(huge); !errors.Is(err, want) {
		t.Error(err)
	}
}
