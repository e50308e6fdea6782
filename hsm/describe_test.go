package hsm_test

import (
	"crypto/ecdsa"
	"errors"
	"testing"

	"tekend/hsm"
	"tekend/hsm/hsmtest"
)

// TestDescribeTellsWhatTheTokenSays: a pair and a KEK as the ceremony makes them, and a pair whose private key may leave.
func TestDescribeTellsWhatTheTokenSays(t *testing.T) {
	token := hsmtest.Token(t)
	pub, err := token.CreateKeyPair(ctx, "described", hsm.P384)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := token.Describe(ctx, "described")
	if err != nil {
		t.Fatal(err)
	}
	if pair.Kind != "P-384" || pair.Public == nil || !pair.Public.(*ecdsa.PublicKey).Equal(pub) {
		t.Errorf("%+v", pair)
	}
	kek, err := token.Describe(ctx, hsmtest.KEK)
	if err != nil || kek.Kind != "AES-256" || kek.Public != nil {
		t.Fatalf("%+v %v", kek, err)
	}
	for name, want := range map[string][2]bool{ // pair, KEK
		"LOCAL": {true, true}, "SENSITIVE": {true, true}, "ALWAYS_SENSITIVE": {true, true}, "EXTRACTABLE": {false, false},
		"NEVER_EXTRACTABLE": {true, true}, "SIGN": {true, false}, "WRAP": {false, true}, "UNWRAP": {false, true}, "COPYABLE": {false, false},
	} {
		if got, told := kek.Attributes[name]; !told || got != want[1] {
			t.Errorf("KEK: %s is %v (told %v)", name, got, told)
		}
		if got, told := pair.Attributes[name]; name != "WRAP" && (!told || got != want[0]) {
			t.Errorf("pair: %s is %v (told %v)", name, got, told)
		}
	}
	if _, err := token.Describe(ctx, "nobody"); !errors.Is(err, hsm.ErrNoKey) {
		t.Error(err)
	}
}
