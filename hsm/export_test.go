package hsm

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"encoding/asn1"
	"slices"
	"time"

	"github.com/miekg/pkcs11"
)

// What only tests need: badly made keys, and a look at what is left in the token.

// Change is one attribute of a KEK template that differs; Value nil leaves it out.
type Change struct {
	Type  uint
	Value any
}

// CreateKEKWith makes a KEK whose template differs; unwrap replaces the unwrap template when it is not nil.
func (t *Token) CreateKEKWith(ctx context.Context, label string, changes []Change, unwrap []Change) error {
	template := kekTemplate(t.cfg.WrapMechanism)
	for _, c := range changes {
		kept := template[:0:0]
		for _, a := range template {
			if a.Type != c.Type {
				kept = append(kept, a)
			}
		}
		template = kept
		if c.Value != nil {
			template = append(template, pkcs11.NewAttribute(c.Type, c.Value))
		}
	}
	nested := unwrapTemplate()
	if unwrap != nil {
		nested = nil
		for _, c := range unwrap {
			nested = append(nested, pkcs11.NewAttribute(c.Type, c.Value))
		}
	}
	return t.createKEK(ctx, label, template, nested)
}

// CreateAESKey makes an AES key by C_CreateObject, with a value that was once outside the token.
func (t *Token) CreateAESKey(ctx context.Context, label string, value []byte) error {
	return t.ceremony(ctx, label, func(s *session) error {
		template := kekTemplate(t.cfg.WrapMechanism)[1:] // without CKA_VALUE_LEN
		nested, free := attributeArray(unwrapTemplate())
		defer free()
		_, err := t.lib.ctx.CreateObject(s.handle, append(t.quirks.template(template),
			pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY),
			pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES),
			pkcs11.NewAttribute(pkcs11.CKA_VALUE, value),
			pkcs11.NewAttribute(pkcs11.CKA_LABEL, label),
			pkcs11.NewAttribute(pkcs11.CKA_UNWRAP_TEMPLATE, nested)))
		return fail("C_CreateObject", err)
	})
}

// CreateMixedPair makes a private key of the token and puts the public key of another pair beside it.
func (t *Token) CreateMixedPair(ctx context.Context, label string, pub *ecdsa.PublicKey) error {
	raw, err := pub.Bytes()
	if err != nil {
		return err
	}
	point, err := asn1.Marshal(raw)
	if err != nil {
		return err
	}
	return t.ceremony(ctx, label, func(s *session) error {
		mechanism, public := kinds[0].generation()
		name := pkcs11.NewAttribute(pkcs11.CKA_LABEL, label)
		ph, _, err := t.lib.ctx.GenerateKeyPair(s.handle, mechanism,
			append(verifyOnly(true), public...), append(t.quirks.template(signOnly(true, false)), name))
		if err != nil {
			return fail("C_GenerateKeyPair", err)
		}
		if err := t.lib.ctx.DestroyObject(s.handle, ph); err != nil {
			return fail("C_DestroyObject", err)
		}
		_, err = t.lib.ctx.CreateObject(s.handle, append(append(verifyOnly(true), public...), name,
			pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PUBLIC_KEY),
			pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_EC),
			pkcs11.NewAttribute(pkcs11.CKA_EC_POINT, point)))
		return fail("C_CreateObject", err)
	})
}

// CreateExtractablePair makes a token key pair whose private key may leave the token.
func (t *Token) CreateExtractablePair(ctx context.Context, label string) error {
	return t.ceremony(ctx, label, func(s *session) error {
		mechanism, public := kinds[0].generation()
		name := pkcs11.NewAttribute(pkcs11.CKA_LABEL, label)
		_, _, err := t.lib.ctx.GenerateKeyPair(s.handle, mechanism,
			append(append(verifyOnly(true), public...), name), append(t.quirks.template(signOnly(true, true)), name))
		return fail("C_GenerateKeyPair", err)
	})
}

// Attempts is the thief's part of ProbeKEK.
func (t *Token) Attempts(ctx context.Context, label string) error {
	return t.with(ctx, func(s *session) error {
		kek, err := t.handle(s, object{class: pkcs11.CKO_SECRET_KEY, label: label})
		if err != nil {
			return err
		}
		return t.attempts(s, kek)
	})
}

// GenerateTwin makes one more P-256 pair under a CKA_ID that is taken.
func (t *Token) GenerateTwin(ctx context.Context, id []byte) error {
	return t.readWrite(ctx, func(s *session) error {
		_, err := t.generatePair(s, id, kinds[0])
		return err
	})
}

// GenerateOpen makes a P-256 user's pair whose private key may leave the token.
func (t *Token) GenerateOpen(ctx context.Context, id []byte) (pub crypto.PublicKey, err error) {
	err = t.readWrite(ctx, func(s *session) error {
		mechanism, public := kinds[0].generation()
		name := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_LABEL, residentLabel), pkcs11.NewAttribute(pkcs11.CKA_ID, id)}
		ph, _, err := t.lib.ctx.GenerateKeyPair(s.handle, mechanism,
			slices.Concat(verifyOnly(true), public, name), t.quirks.template(append(name, signOnly(true, true)...)))
		if err != nil {
			return fail("C_GenerateKeyPair", err)
		}
		pub, err = t.lib.publicKey(s.handle, ph)
		return err
	})
	return pub, err
}

// SessionObjects counts the session objects that the token still has.
func (t *Token) SessionObjects(ctx context.Context) (n int, err error) {
	err = t.with(ctx, func(s *session) error {
		if err := t.lib.ctx.FindObjectsInit(s.handle, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_TOKEN, false)}); err != nil {
			return fail("C_FindObjectsInit", err)
		}
		list, _, err := t.lib.ctx.FindObjects(s.handle, 100)
		n = len(list)
		if err != nil {
			return fail("C_FindObjects", err)
		}
		return fail("C_FindObjectsFinal", t.lib.ctx.FindObjectsFinal(s.handle))
	})
	return n, err
}

// Fault runs fn as an operation, so that a test can choose its error.
func (t *Token) Fault(ctx context.Context, fn func() error) error {
	return t.with(ctx, func(*session) error { return fn() })
}

// LogOutBehindItsBack logs the user out, as a device may do.
func (t *Token) LogOutBehindItsBack() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return fail("C_Logout", t.lib.ctx.Logout(t.login))
}

// Fail is fail.
func Fail(call string, rv uint) error { return fail(call, pkcs11.Error(rv)) }

// Verified is kind.verified for a SHA-256.
func Verified(name KeyKind, pub crypto.PublicKey, sum, raw []byte) ([]byte, error) {
	k, err := name.of()
	if err != nil {
		return nil, err
	}
	return k.verified(pub, digest{crypto.SHA256, sum}, raw)
}

// Impatient makes the pauses after a fault of the device one millisecond long; nothing else changes.
func (t *Token) Impatient() {
	t.lib.mu.Lock()
	t.lib.pause = time.Millisecond
	t.lib.mu.Unlock()
	t.watch.mu.Lock()
	t.watch.pause = time.Millisecond
	t.watch.mu.Unlock()
}

// Canaries counts the canary values that verified.
func (t *Token) Canaries() int {
	t.watch.mu.Lock()
	defer t.watch.mu.Unlock()
	return t.watch.checked
}

// Suspect tells whether the token is under suspicion after a wrong value.
func (t *Token) Suspect() bool { return t.watch.suspect.Load() > 0 }

// Forgive lifts suspicion and suspension without proof.
func (t *Token) Forgive() {
	t.watch.suspect.Store(0)
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.suspended)
}

// Rows is the table of return values.
func Rows() map[uint]Class { return classes }

// CloseSessions forgets the pool's sessions, so that the next operations open new ones.
func (t *Token) CloseSessions() {
	for range cap(t.pool) {
		s := <-t.pool
		if s.handle != 0 {
			_ = t.lib.ctx.CloseSession(s.handle)
		}
		s.handle = 0
		t.pool <- s
	}
}
