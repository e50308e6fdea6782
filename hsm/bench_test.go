package hsm_test

import (
	"crypto"
	"crypto/sha256"
	"testing"

	"tekend/hsm"
	"tekend/hsm/hsmtest"
)

// One signature with a wrapped key: unwrap, sign, verify, destroy.
func BenchmarkWrapped(b *testing.B) {
	token := hsmtest.Token(b)
	w, pub := userKey(b, token, hsm.P256)
	for b.Loop() {
		if _, _, err := sign(token, w, pub); err != nil {
			b.Fatal(err)
		}
	}
}

// Seventy signatures under one unwrapping, counted one by one.
func BenchmarkWrappedBatchOf70(b *testing.B) {
	token := hsmtest.Token(b)
	w, pub := userKey(b, token, hsm.P256)
	digest := sha256.Sum256([]byte("x"))
	for n := 0; n < b.N; n += 70 {
		err := token.UseWrapped(ctx, w, pub, func(s crypto.Signer) error {
			for range 70 {
				if _, err := s.Sign(nil, digest[:], crypto.SHA256); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// One signature with a resident key: sign, verify.
func BenchmarkResident(b *testing.B) {
	token := hsmtest.Token(b)
	if _, err := token.CreateKeyPair(ctx, "service", hsm.P256); err != nil {
		b.Fatal(err)
	}
	s, err := token.Signer(ctx, "service")
	if err != nil {
		b.Fatal(err)
	}
	digest := sha256.Sum256([]byte("x"))
	for b.Loop() {
		if _, err := s.Sign(nil, digest[:], crypto.SHA256); err != nil {
			b.Fatal(err)
		}
	}
}

// One enrolment's key: generate, wrap, unwrap once to prove the blob.
func BenchmarkGenerateWrapped(b *testing.B) {
	token := hsmtest.Token(b)
	for b.Loop() {
		userKey(b, token, hsm.P256)
	}
}
