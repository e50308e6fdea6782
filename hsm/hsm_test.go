package hsm_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"os"
	"testing"

	"tekend/hsm"
	"tekend/hsm/hsmtest"
)

func TestMain(m *testing.M) { os.Exit(hsmtest.Main(m)) }

func TestAUserKeyIsMadeWrappedAndUsed(t *testing.T) {
	token := hsmtest.Token(t)
	ctx := context.Background()
	for _, kind := range []hsm.KeyKind{hsm.P256, hsm.RSA3072} {
		t.Run(string(kind), func(t *testing.T) {
			digest := sha256.Sum256([]byte("certificate request"))
			var pub crypto.PublicKey
			w, err := token.GenerateWrapped(ctx, hsmtest.KEK, kind, func(s crypto.Signer) error {
				pub = s.Public()
				_, err := s.Sign(rand.Reader, digest[:], crypto.SHA256)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Log(w.Mechanism, w.Module, len(w.Blob))
			err = token.UseWrapped(ctx, w, pub, func(s crypto.Signer) error {
				v, err := s.Sign(nil, digest[:], crypto.SHA256)
				if err != nil {
					return err
				}
				if k, ok := pub.(*ecdsa.PublicKey); ok && !ecdsa.VerifyASN1(k, digest[:], v) {
					t.Error("wrong value")
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
	if err := token.ProbeKEK(ctx, hsmtest.KEK); err != nil {
		t.Fatal(err)
	}
	mac, err := token.MAC(ctx, hsmtest.MAC, []byte("x"))
	t.Log(mac, err)
}
