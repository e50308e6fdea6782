package hsm_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"tekend/hsm"
	"tekend/hsm/hsmtest"
)

func residentKey(t testing.TB, token *hsm.Token, kind hsm.KeyKind) (hsm.Wrapped, crypto.PublicKey) {
	t.Helper()
	id, err := hsm.NewResidentID()
	if err != nil {
		t.Fatal(err)
	}
	var pub crypto.PublicKey
	w, err := token.GenerateResident(ctx, id, kind, func(s crypto.Signer) error {
		pub = s.Public()
		digest := randomDigest(kind)
		value, err := s.Sign(rand.Reader, digest, kind.Options())
		if err == nil {
			verify(t, kind, pub, digest, value)
		}
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", kind, err)
	}
	if !w.Resident() || !bytes.Equal(w.Blob, id) || w.KEK != "" || w.Kind != kind {
		t.Errorf("the record is %+v", w)
	}
	return w, pub
}

func residents(t testing.TB, token *hsm.Token) []hsm.ResidentKey {
	t.Helper()
	all, err := token.ResidentKeys(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A resident key is used through the same call as a wrapped one, again after a restart, and by its own algorithm only.
func TestAResidentUserKeyIsMadeAndUsed(t *testing.T) {
	cfg := hsmtest.Config(t)
	token := hsmtest.Open(t, cfg)
	type made struct {
		w   hsm.Wrapped
		pub crypto.PublicKey
	}
	var all []made
	for _, kind := range hsm.UserKinds {
		w, pub := residentKey(t, token, kind)
		all = append(all, made{w, pub})
	}
	if err := token.Close(); err != nil {
		t.Fatal(err)
	}
	token = hsmtest.Open(t, cfg)
	for i, m := range all {
		for range 2 {
			digest, value, err := sign(token, m.w, m.pub)
			if err != nil {
				t.Fatal(err)
			}
			verify(t, m.w.Kind, m.pub, digest, value)
		}
		other := all[(i+1)%len(all)]
		crossed := m.w
		crossed.Blob = other.w.Blob
		if _, _, err := sign(token, crossed, m.pub); !errors.Is(err, hsm.ErrOtherKey) {
			t.Errorf("%s: with the name of another key: %v", m.w.Kind, err)
		}
		absent := m.w
		absent.Blob = bytes.Repeat([]byte{7}, 16)
		if _, _, err := sign(token, absent, m.pub); !errors.Is(err, hsm.ErrNoKey) {
			t.Errorf("%s: absent: %v", m.w.Kind, err)
		}
		absent.Blob = nil
		if _, _, err := sign(token, absent, m.pub); !errors.Is(err, hsm.ErrBlob) {
			t.Errorf("%s: no name: %v", m.w.Kind, err)
		}
	}
	list := residents(t, token)
	if len(list) != len(all) {
		t.Errorf("%d keys are listed, %d were made", len(list), len(all))
	}
	for _, k := range list {
		if !k.Whole() {
			t.Errorf("half a pair: %+v", k)
		}
	}
	if err := token.DestroyResident(ctx, all[0].w.Blob); err != nil {
		t.Fatal(err)
	}
	if _, _, err := sign(token, all[0].w, all[0].pub); !errors.Is(err, hsm.ErrNoKey) {
		t.Errorf("a destroyed key: %v", err)
	}
	if n := len(residents(t, token)); n != len(all)-1 {
		t.Errorf("%d keys are left", n)
	}
}

func TestAResidentKeyWhoseFirstUseFailsIsDestroyed(t *testing.T) {
	token := hsmtest.Token(t)
	id, err := hsm.NewResidentID()
	if err != nil {
		t.Fatal(err)
	}
	refusal := errors.New("the request was not accepted")
	if _, err := token.GenerateResident(ctx, id, hsm.P256, func(crypto.Signer) error { return refusal }); !errors.Is(err, refusal) {
		t.Error(err)
	}
	if n := len(residents(t, token)); n != 0 {
		t.Errorf("%d keys are left", n)
	}
	for _, bad := range [][]byte{nil, id[:15], append(id, 0)} {
		if _, err := token.GenerateResident(ctx, bad, hsm.P256, nil); err == nil {
			t.Errorf("a name of %d bytes was accepted", len(bad))
		}
	}
	if _, err := token.GenerateResident(ctx, id, hsm.RSA2048, nil); err == nil {
		t.Error("RSA-2048 was accepted")
	}
}

// A name is taken once. Where somebody made a second pair under it nevertheless, neither is used.
func TestTwoPairsUnderOneNameAreNotUsed(t *testing.T) {
	cfg := hsmtest.Config(t)
	token := hsmtest.Open(t, cfg)
	w, pub := residentKey(t, token, hsm.P256)
	if _, err := token.GenerateResident(ctx, w.Blob, hsm.P256, nil); !errors.Is(err, hsm.ErrExists) {
		t.Errorf("a second pair: %v", err)
	}
	if _, _, err := sign(token, w, pub); err != nil {
		t.Error(err)
	}
	if err := token.GenerateTwin(ctx, w.Blob); err != nil {
		t.Fatal(err)
	}
	if err := token.Close(); err != nil {
		t.Fatal(err)
	}
	token = hsmtest.Open(t, cfg)
	if _, _, err := sign(token, w, pub); err == nil {
		t.Error("a key is used of which there are two")
	}
	// NSS keeps one object of a class under a CKA_ID: the later pair took the place of the first.
	if list := residents(t, token); len(list) != 1 || list[0].Whole() != hsmtest.NSS() {
		t.Errorf("%+v", list)
	}
}

// A private key that could leave the token, or decrypt, is not used, whoever made it.
func TestAResidentKeyWithWrongAttributesIsRefused(t *testing.T) {
	token := hsmtest.Token(t)
	id, err := hsm.NewResidentID()
	if err != nil {
		t.Fatal(err)
	}
	pub, err := token.GenerateOpen(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	w := hsm.Wrapped{Kind: hsm.P256, Mechanism: hsm.MechanismResident, Blob: id}
	if _, _, err := sign(token, w, pub); err == nil || !strings.Contains(err.Error(), "CKA_EXTRACTABLE") {
		t.Errorf("got %v", err)
	}
}
