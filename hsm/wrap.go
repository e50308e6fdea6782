package hsm

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"slices"

	"github.com/miekg/pkcs11"
)

// Wrapped is a user's private key outside the token: PKCS #8 under AES key wrap with padding (RFC 5649); or, where
// Mechanism is MechanismResident, only the name of a key inside it. It binds nothing to its owner: the record that holds
// it must be under a MAC.
type Wrapped struct {
	Kind      KeyKind `json:"kind"`
	KEK       string  `json:"kek"`       // label of the key-encryption key
	Mechanism string  `json:"mechanism"` // e.g. "0x0000210A", or MechanismResident
	Module    string  `json:"module"`    // manufacturer, library and version that made it
	Blob      []byte  `json:"blob"`      // SoftHSM: 80 bytes for P-256, 88 for P-384, 1800 for RSA-3072; a CKA_ID of 16
}

// maxBlob bounds a wrapped key: RSA-4096 needs 2.4 KB.
const maxBlob = 4096

func (t *Token) mechanismName() string { return fmt.Sprintf("0x%08X", t.cfg.WrapMechanism) }

func (t *Token) wrapMechanism() []*pkcs11.Mechanism {
	return []*pkcs11.Mechanism{pkcs11.NewMechanism(t.cfg.WrapMechanism, nil)}
}

// GenerateWrapped makes a key pair inside the token as session objects, wraps it under the KEK and destroys it; then it
// unwraps the blob for one use, as UseWrapped does, and calls use with it (to sign the certificate request). So the
// blob is proven before it is stored, and the key that signs is never the one that could be wrapped. When use fails,
// there is no key. Kinds: UserKinds.
func (t *Token) GenerateWrapped(ctx context.Context, kek string, kind KeyKind, use func(crypto.Signer) error) (Wrapped, error) {
	row, err := kind.forUser()
	if err != nil {
		return Wrapped{}, err
	}
	w := Wrapped{Kind: kind, KEK: kek, Mechanism: t.mechanismName(), Module: t.module}
	var pub crypto.PublicKey
	err = t.with(ctx, func(s *session) error {
		wrapping, err := t.handle(s, object{class: pkcs11.CKO_SECRET_KEY, label: kek})
		if err != nil {
			return err
		}
		pub, w.Blob, err = t.generateBlob(s, wrapping, row)
		return err
	})
	if err != nil {
		return Wrapped{}, err
	}
	if err := t.UseWrapped(ctx, w, pub, use); err != nil {
		return Wrapped{}, err
	}
	return w, nil
}

// generateBlob makes a pair of session objects, wraps the private key and destroys both.
func (t *Token) generateBlob(s *session, kek pkcs11.ObjectHandle, k kind) (crypto.PublicKey, []byte, error) {
	mechanism, public := k.generation()
	ph, sh, err := t.lib.ctx.GenerateKeyPair(s.handle, mechanism,
		append(verifyOnly(false), public...), t.quirks.template(signOnly(false, true)))
	if err != nil {
		return nil, nil, fail("C_GenerateKeyPair", err)
	}
	defer t.destroy(s, ph, sh)
	pub, err := t.lib.publicKey(s.handle, ph)
	if err != nil {
		return nil, nil, err
	}
	blob, err := t.lib.ctx.WrapKey(s.handle, t.wrapMechanism(), kek, sh)
	if err != nil {
		return nil, nil, fail("C_WrapKey", err)
	}
	return pub, blob, nil
}

// destroy removes session objects; when the token refuses, the session is closed, which destroys them too.
func (t *Token) destroy(s *session, handles ...pkcs11.ObjectHandle) {
	t.lib.countUnwrap(t.cfg.ReinitEvery)
	for _, h := range handles {
		if t.lib.ctx.DestroyObject(s.handle, h) != nil {
			s.doomed = true
		}
	}
}

// UseWrapped uses a key once, wherever it is. It unwraps the key as a session object that can only sign (sensitive, not extractable, not copyable, not
// changeable), calls use once with it, and destroys it. Every value is verified with pub before the signer returns it;
// a blob of another key gives ErrWrongValue, a damaged one ErrBlob. The signer is dead when use returns. A failure after
// use was called is never repeated.
func (t *Token) UseWrapped(ctx context.Context, w Wrapped, pub crypto.PublicKey, use func(crypto.Signer) error) error {
	if w.Resident() {
		return t.useResident(ctx, w, pub, use)
	}
	kind, err := w.Kind.forUser()
	if err != nil {
		return err
	}
	if !kind.fits(pub) {
		return fmt.Errorf("hsm: the public key is not one of a %s key", kind.name)
	}
	if w.Mechanism != t.mechanismName() {
		return fmt.Errorf("hsm: the key was wrapped with mechanism %q, but wrap_mechanism is %s", w.Mechanism, t.mechanismName())
	}
	// RFC 5649 blobs are whole 8-byte blocks, at least two.
	if len(w.Blob) < 16 || len(w.Blob) > maxBlob || len(w.Blob)%8 != 0 {
		return ErrBlob
	}
	if err := t.suspendedKey(string(w.Blob)); err != nil {
		return err
	}
	return t.with(ctx, func(s *session) error {
		kek, err := t.handle(s, object{class: pkcs11.CKO_SECRET_KEY, label: w.KEK})
		if err != nil {
			return err
		}
		key, err := t.unwrap(s, kek, w.Blob, t.userKey(kind))
		if err != nil {
			return err
		}
		signer := &userSigner{token: t, s: s, key: keyHandle{key, kind, pub}, name: string(w.Blob)}
		defer t.lib.countUnwrap(t.cfg.ReinitEvery)
		defer signer.close(true)
		s.sent = true // whatever use did must not be done twice
		return use(signer)
	})
}

// userKey is the template of an unwrapped user's key.
func (t *Token) userKey(k kind) []*pkcs11.Attribute {
	return slices.Concat([]*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY),
		pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, k.keyType()),
	}, t.quirks.unwrap, t.quirks.template(signOnly(false, false)))
}

// unwrap makes a session object of a blob. SoftHSM answers a damaged blob with general errors, the same as a lost
// token; asking the token tells them apart.
func (t *Token) unwrap(s *session, kek pkcs11.ObjectHandle, blob []byte, template []*pkcs11.Attribute) (pkcs11.ObjectHandle, error) {
	key, err := t.lib.ctx.UnwrapKey(s.handle, t.wrapMechanism(), kek, blob, template)
	if err == nil {
		return key, nil
	}
	var refused *Error
	err = fail("C_UnwrapKey", err)
	if !errors.As(err, &refused) {
		return 0, err
	}
	switch refused.RV {
	case pkcs11.CKR_WRAPPED_KEY_INVALID, pkcs11.CKR_WRAPPED_KEY_LEN_RANGE:
		return 0, refuse(ErrBlob, refused)
	case pkcs11.CKR_GENERAL_ERROR, pkcs11.CKR_FUNCTION_FAILED:
		if t.alive(s) == nil {
			return 0, refuse(ErrBlob, refused)
		}
	}
	return 0, err
}

// refuse gives an error of the device class the meaning that the request was wrong.
func refuse(meaning error, e *Error) error {
	return fmt.Errorf("%w: %w", meaning, &Error{Call: e.Call, RV: e.RV, Class: ClassRequest})
}
