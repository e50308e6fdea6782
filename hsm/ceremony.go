package hsm

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"sync"

	"github.com/miekg/pkcs11"
)

// The ceremony: what is done once, before a role first starts. Nothing here is called while serving.

// oneInit lets one token be initialised at a time: two calls would choose the same empty slot.
var oneInit sync.Mutex

// InitToken makes a new token with the label in the module's first empty slot and sets both PINs from their files. It
// refuses when the label is taken.
func InitToken(module, label, soPINFile, pinFile string) error {
	oneInit.Lock()
	defer oneInit.Unlock()
	soPIN, err := readPIN(soPINFile)
	if err != nil {
		return err
	}
	pin, err := readPIN(pinFile)
	if err != nil {
		return err
	}
	lib, err := openLibrary(module, "")
	if err != nil {
		return err
	}
	if err := lib.enter(context.Background(), func(string) {}); err != nil {
		return errors.Join(err, lib.close())
	}
	err = lib.initToken(label, soPIN, pin)
	lib.leave()
	return errors.Join(err, lib.close())
}

func (l *library) initToken(label, soPIN, pin string) error {
	slots, err := l.ctx.GetSlotList(false)
	if err != nil {
		return fail("C_GetSlotList", err)
	}
	empty, found := uint(0), false
	for _, slot := range slots {
		info, err := l.ctx.GetTokenInfo(slot)
		if err != nil {
			continue // an unreadable token is not an empty slot
		}
		switch {
		case info.Flags&pkcs11.CKF_TOKEN_INITIALIZED == 0:
			empty, found = slot, true
		case info.Label == label:
			return fmt.Errorf("hsm: a token labelled %q exists already; it is not replaced", label)
		}
	}
	if !found {
		return errors.New("hsm: the module has no empty slot for a new token")
	}
	if err := l.ctx.InitToken(empty, soPIN, label); err != nil {
		return fail("C_InitToken", err)
	}
	return l.setPIN(empty, soPIN, pin)
}

// setPIN has the security officer set the user's PIN.
func (l *library) setPIN(slot uint, soPIN, pin string) error {
	session, err := l.ctx.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return fail("C_OpenSession", err)
	}
	err = fail("C_Login", l.ctx.Login(session, pkcs11.CKU_SO, soPIN))
	if err == nil {
		err = errors.Join(fail("C_InitPIN", l.ctx.InitPIN(session, pin)), fail("C_Logout", l.ctx.Logout(session)))
	}
	return errors.Join(err, fail("C_CloseSession", l.ctx.CloseSession(session)))
}

// CreateKEK makes the AES-256 key-encryption key of performance §4.2: it wraps and unwraps with the configured
// mechanism and does nothing else, and what it unwraps is sensitive and not extractable whatever the caller asks for.
func (t *Token) CreateKEK(ctx context.Context, label string) error {
	return t.createKEK(ctx, label, kekTemplate(t.cfg.WrapMechanism), unwrapTemplate())
}

func kekTemplate(mechanism uint) []*pkcs11.Attribute {
	return []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, 32),
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
		pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true),
		pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false),
		pkcs11.NewAttribute(pkcs11.CKA_COPYABLE, false),
		pkcs11.NewAttribute(pkcs11.CKA_MODIFIABLE, false),
		pkcs11.NewAttribute(pkcs11.CKA_WRAP, true),
		pkcs11.NewAttribute(pkcs11.CKA_UNWRAP, true),
		pkcs11.NewAttribute(pkcs11.CKA_ENCRYPT, false),
		pkcs11.NewAttribute(pkcs11.CKA_DECRYPT, false),
		pkcs11.NewAttribute(pkcs11.CKA_SIGN, false),
		pkcs11.NewAttribute(pkcs11.CKA_VERIFY, false),
		pkcs11.NewAttribute(pkcs11.CKA_DERIVE, false),
		pkcs11.NewAttribute(pkcs11.CKA_ALLOWED_MECHANISMS, mechanism),
	}
}

// unwrapTemplate is what every key that the KEK unwraps must be.
func unwrapTemplate() []*pkcs11.Attribute {
	return []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true),
		pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false),
	}
}

func (t *Token) createKEK(ctx context.Context, label string, template, unwrap []*pkcs11.Attribute) error {
	if len(unwrap) > 0 {
		nested, free := attributeArray(unwrap)
		defer free()
		template = append(template, pkcs11.NewAttribute(pkcs11.CKA_UNWRAP_TEMPLATE, nested))
	}
	return t.createSecret(ctx, label, pkcs11.CKM_AES_KEY_GEN, template)
}

// CreateMACKey makes a 256-bit key that computes HMAC-SHA-256 and does nothing else.
func (t *Token) CreateMACKey(ctx context.Context, label string) error {
	return t.createSecret(ctx, label, pkcs11.CKM_GENERIC_SECRET_KEY_GEN, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, 32),
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
		pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true),
		pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false),
		pkcs11.NewAttribute(pkcs11.CKA_COPYABLE, false),
		pkcs11.NewAttribute(pkcs11.CKA_MODIFIABLE, false),
		pkcs11.NewAttribute(pkcs11.CKA_SIGN, true),
		pkcs11.NewAttribute(pkcs11.CKA_VERIFY, false),
		pkcs11.NewAttribute(pkcs11.CKA_WRAP, false),
		pkcs11.NewAttribute(pkcs11.CKA_UNWRAP, false),
		pkcs11.NewAttribute(pkcs11.CKA_ENCRYPT, false),
		pkcs11.NewAttribute(pkcs11.CKA_DECRYPT, false),
		pkcs11.NewAttribute(pkcs11.CKA_DERIVE, false),
	})
}

func (t *Token) createSecret(ctx context.Context, label string, mechanism uint, template []*pkcs11.Attribute) error {
	return t.ceremony(ctx, label, func(s *session) error {
		_, err := t.lib.ctx.GenerateKey(s.handle, []*pkcs11.Mechanism{pkcs11.NewMechanism(mechanism, nil)},
			append(t.quirks.template(template), pkcs11.NewAttribute(pkcs11.CKA_LABEL, label)))
		return fail("C_GenerateKey", err)
	})
}

// CreateKeyPair makes a token-resident key pair that signs and does nothing else. Both objects get the label.
func (t *Token) CreateKeyPair(ctx context.Context, label string, kind KeyKind) (crypto.PublicKey, error) {
	row, err := kind.of()
	if err != nil {
		return nil, err
	}
	mechanism, public := row.generation()
	name := pkcs11.NewAttribute(pkcs11.CKA_LABEL, label)
	var pub crypto.PublicKey
	err = t.ceremony(ctx, label, func(s *session) error {
		ph, _, err := t.lib.ctx.GenerateKeyPair(s.handle, mechanism,
			append(append(verifyOnly(true), public...), name), append(t.quirks.template(signOnly(true, false)), name))
		if err != nil {
			return fail("C_GenerateKeyPair", err)
		}
		pub, err = t.lib.publicKey(s.handle, ph)
		return err
	})
	return pub, err
}

// ceremony runs fn in a read-write session after making sure that no key has the label.
func (t *Token) ceremony(ctx context.Context, label string, fn func(*session) error) error {
	if label == "" || len(label) > 64 {
		return errors.New("hsm: a label of 1 to 64 bytes is needed")
	}
	return t.with(ctx, func(pooled *session) error {
		for _, class := range []uint{pkcs11.CKO_SECRET_KEY, pkcs11.CKO_PRIVATE_KEY, pkcs11.CKO_PUBLIC_KEY} {
			_, err := t.lib.findObject(pooled.handle, object{class: class, label: label})
			if err == nil {
				return fmt.Errorf("%w: %q", ErrExists, label)
			}
			if !errors.Is(err, ErrNoKey) {
				return err
			}
		}
		return t.write(pooled, fn)
	})
}
