package hsm

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"github.com/miekg/pkcs11"
)

// Users' keys that stay inside the token. Their record looks like that of a wrapped key, but in place of a blob it has
// the CKA_ID of the pair, and UseWrapped takes both: whoever signs need not know where a key lives.

// MechanismResident stands as the Mechanism of a resident key's record. Its Blob is the key's CKA_ID, its KEK is empty.
const MechanismResident = "resident"

// residentLabel is the CKA_LABEL of every resident user's key. It says nothing: only the random CKA_ID tells keys apart.
const residentLabel = "tekend-user"

// residentID is the length of a CKA_ID, in bytes.
const residentID = 16

// NewResidentID makes the random name of a resident key. The caller stores it durably before GenerateResident, so that
// a pair whose generation was not heard of is found again.
func NewResidentID() ([]byte, error) {
	id := make([]byte, residentID)
	_, err := rand.Read(id)
	return id, err
}

// Resident tells whether the key lives in the token.
func (w Wrapped) Resident() bool { return w.Mechanism == MechanismResident }

// userProfile is what the private key of a resident user's pair must be: that of a service, and one algorithm alone.
func (t *Token) userProfile(k kind) []attribute {
	return t.quirks.profile(append(slices.Clone(residentProfile), []attribute{
		{"CKA_ALWAYS_SENSITIVE", pkcs11.CKA_ALWAYS_SENSITIVE, yes},
		{"CKA_MODIFIABLE", pkcs11.CKA_MODIFIABLE, no},
		{"CKA_COPYABLE", pkcs11.CKA_COPYABLE, no},
		{"CKA_ALLOWED_MECHANISMS", pkcs11.CKA_ALLOWED_MECHANISMS, k.mechanism()},
	}...))
}

// GenerateResident makes a pair that stays in the token under id, and calls use with it once, as UseWrapped does (to sign
// the certificate request). A generation that was sent is never repeated: after an error nobody knows whether there is a
// pair, and [Token.ResidentKeys] tells. When use fails, the pair is destroyed. Kinds: UserKinds.
func (t *Token) GenerateResident(ctx context.Context, id []byte, name KeyKind, use func(crypto.Signer) error) (Wrapped, error) {
	k, err := name.forUser()
	if err != nil {
		return Wrapped{}, err
	}
	if len(id) != residentID {
		return Wrapped{}, fmt.Errorf("hsm: the name of a resident key has %d bytes", residentID)
	}
	w := Wrapped{Kind: name, Mechanism: MechanismResident, Module: t.module, Blob: bytes.Clone(id)}
	var pub crypto.PublicKey
	err = t.readWrite(ctx, func(s *session) error {
		there, err := t.lib.findAll(s.handle, pkcs11.NewAttribute(pkcs11.CKA_LABEL, residentLabel), pkcs11.NewAttribute(pkcs11.CKA_ID, id))
		if err != nil {
			return err
		}
		if len(there) > 0 {
			return fmt.Errorf("%w: a user's key", ErrExists)
		}
		pub, err = t.generatePair(s, id, k)
		return err
	})
	if err != nil {
		return Wrapped{}, err
	}
	if err := t.UseWrapped(ctx, w, pub, use); err != nil {
		return Wrapped{}, errors.Join(err, t.DestroyResident(ctx, id))
	}
	return w, nil
}

func (t *Token) generatePair(s *session, id []byte, k kind) (crypto.PublicKey, error) {
	mechanism, public := k.generation()
	name := []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, residentLabel),
		pkcs11.NewAttribute(pkcs11.CKA_ID, id),
	}
	// CKA_MODIFIABLE stands last in signOnly, and must.
	private := slices.Concat(name, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_ALLOWED_MECHANISMS, k.mechanism())}, signOnly(true, false))
	ph, _, err := t.lib.ctx.GenerateKeyPair(s.handle, mechanism, slices.Concat(verifyOnly(true), public, name), t.quirks.template(private))
	if err != nil {
		return nil, fail("C_GenerateKeyPair", err)
	}
	return t.lib.publicKey(s.handle, ph)
}

// readWrite runs fn in a read-write session of its own, once: what it sends is never repeated.
func (t *Token) readWrite(ctx context.Context, fn func(*session) error) error {
	return t.with(ctx, func(pooled *session) error { return t.write(pooled, fn) })
}

// write is readWrite beside a pooled session, which stays for reading.
func (t *Token) write(pooled *session, fn func(*session) error) error {
	t.mu.Lock()
	slot := t.slot
	t.mu.Unlock()
	h, err := t.lib.ctx.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return fail("C_OpenSession", err)
	}
	pooled.sent = true // what is half made must be seen, not made a second time
	return errors.Join(fn(&session{handle: h}), fail("C_CloseSession", t.lib.ctx.CloseSession(h)))
}

// useResident is UseWrapped for a key of the token.
func (t *Token) useResident(ctx context.Context, w Wrapped, pub crypto.PublicKey, use func(crypto.Signer) error) error {
	k, err := w.Kind.forUser()
	if err != nil {
		return err
	}
	if !k.fits(pub) {
		return fmt.Errorf("hsm: the public key is not one of a %s key", k.name)
	}
	if len(w.Blob) != residentID || w.KEK != "" {
		return ErrBlob
	}
	if err := t.suspendedKey(string(w.Blob)); err != nil {
		return err
	}
	return t.with(ctx, func(s *session) error {
		key, err := t.residentHandle(s, string(w.Blob), k, pub)
		if err != nil {
			return err
		}
		signer := &userSigner{token: t, s: s, key: keyHandle{key, k, pub}, name: string(w.Blob)}
		defer signer.close(false)
		s.sent = true // whatever use did must not be done twice
		return use(signer)
	})
}

// residentHandle is the kept handle of a private key. The first time after a start of the module the pair is searched,
// must be one pair, of this public key and with the attributes of a user's key. Each time the handle must still be the
// key's: a module may give the number of an object that is gone to another.
func (t *Token) residentHandle(s *session, id string, k kind, pub crypto.PublicKey) (pkcs11.ObjectHandle, error) {
	t.mu.Lock()
	known := t.residents[id]
	t.mu.Unlock()
	if known.handle != 0 {
		got, err := t.lib.ctx.GetAttributeValue(s.handle, known.handle, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_ID, nil)})
		if err != nil {
			return 0, fail("C_GetAttributeValue", err)
		}
		if string(got[0].Value) != id {
			return 0, &Error{Call: "C_GetAttributeValue", RV: pkcs11.CKR_OBJECT_HANDLE_INVALID, Class: ClassSession}
		}
		return known.handle, known.is(k, pub)
	}
	public, err := t.find(s, object{pkcs11.CKO_PUBLIC_KEY, residentLabel, id})
	if err != nil {
		return 0, err
	}
	found := keyHandle{kind: k}
	if found.pub, err = t.lib.publicKey(s.handle, public); err != nil {
		return 0, err
	}
	if err := found.is(k, pub); err != nil {
		return 0, err
	}
	if found.handle, err = t.find(s, object{pkcs11.CKO_PRIVATE_KEY, residentLabel, id}); err != nil {
		return 0, err
	}
	if err := t.lib.checkAttributes(s.handle, found.handle, t.userProfile(k)); err != nil {
		return 0, fmt.Errorf("hsm: a user's key: %w", err)
	}
	t.mu.Lock()
	t.residents[id] = found
	t.mu.Unlock()
	return found.handle, nil
}

// is tells whether the kept key is the one that a record names.
func (h keyHandle) is(k kind, pub crypto.PublicKey) error {
	same, ok := pub.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !same.Equal(h.pub) || k.name != h.kind.name {
		return ErrOtherKey
	}
	return nil
}

// ErrOtherKey means that under the CKA_ID of a record there is no pair, or not the one of its public key.
var ErrOtherKey = errors.New("hsm: the resident key is not the one of the record")

// find is findObject that tells an absent key from an absent token, of which SoftHSM says the same.
func (t *Token) find(s *session, o object) (pkcs11.ObjectHandle, error) {
	h, err := t.lib.findObject(s.handle, o)
	if errors.Is(err, ErrNoKey) {
		if gone := t.alive(s); gone != nil {
			return 0, gone
		}
		return 0, fmt.Errorf("%w: %w", ErrOtherKey, err)
	}
	return h, err
}

// ResidentKey is what the token has under one CKA_ID of a user's key. One of each is a whole pair.
type ResidentKey struct {
	ID              []byte // 16 bytes where we made it
	Private, Public int
}

// Whole tells whether it is one pair.
func (k ResidentKey) Whole() bool { return k.Private == 1 && k.Public == 1 && len(k.ID) == residentID }

// ResidentKeys lists users' keys in the token. It searches and reads every one: for the start of a role, not for
// requests.
func (t *Token) ResidentKeys(ctx context.Context) ([]ResidentKey, error) {
	var all map[string]ResidentKey
	err := t.with(ctx, func(s *session) error {
		if err := t.alive(s); err != nil {
			return err
		}
		all = map[string]ResidentKey{}
		list, err := t.lib.findAll(s.handle, pkcs11.NewAttribute(pkcs11.CKA_LABEL, residentLabel))
		if err != nil {
			return err
		}
		for _, h := range list {
			got, err := t.lib.ctx.GetAttributeValue(s.handle, h, []*pkcs11.Attribute{
				pkcs11.NewAttribute(pkcs11.CKA_CLASS, nil), pkcs11.NewAttribute(pkcs11.CKA_ID, nil),
			})
			if err != nil {
				return fail("C_GetAttributeValue", err)
			}
			k := all[string(got[1].Value)]
			k.ID = got[1].Value
			switch ulong(got[0].Value) {
			case pkcs11.CKO_PRIVATE_KEY:
				k.Private++
			case pkcs11.CKO_PUBLIC_KEY:
				k.Public++
			}
			all[string(k.ID)] = k
		}
		return nil
	})
	out := make([]ResidentKey, 0, len(all))
	for _, k := range all {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b ResidentKey) int { return bytes.Compare(a.ID, b.ID) })
	return out, err
}

// findAll finds all token objects with the attributes.
func (l *library) findAll(session pkcs11.SessionHandle, with ...*pkcs11.Attribute) (all []pkcs11.ObjectHandle, err error) {
	if err := l.ctx.FindObjectsInit(session, append(with, pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true))); err != nil {
		return nil, fail("C_FindObjectsInit", err)
	}
	for {
		some, _, err := l.ctx.FindObjects(session, 1000)
		if err != nil || len(some) == 0 {
			return all, errors.Join(fail("C_FindObjects", err), fail("C_FindObjectsFinal", l.ctx.FindObjectsFinal(session)))
		}
		all = append(all, some...)
	}
}

// DestroyResident destroys everything under a CKA_ID of a user's key, for ever. Nothing there is not an error.
func (t *Token) DestroyResident(ctx context.Context, id []byte) error {
	t.mu.Lock()
	delete(t.residents, string(id))
	t.mu.Unlock()
	return t.readWrite(ctx, func(s *session) error {
		list, err := t.lib.findAll(s.handle, pkcs11.NewAttribute(pkcs11.CKA_LABEL, residentLabel), pkcs11.NewAttribute(pkcs11.CKA_ID, id))
		if err != nil {
			return err
		}
		for _, h := range list {
			if err := t.lib.ctx.DestroyObject(s.handle, h); err != nil {
				return fail("C_DestroyObject", err)
			}
		}
		return nil
	})
}
