package hsm

import (
	"context"
	"crypto"
	"errors"
	"fmt"

	"github.com/miekg/pkcs11"
)

// KeyInfo is what the token says of one of its own keys, for the report of a ceremony. Nothing in it is taken from how the
// key was asked for.
type KeyInfo struct {
	// Kind is a KeyKind, or "AES-256" or "HMAC-256" for a secret key.
	Kind string
	// Public is the public half of a pair, nil for a secret key.
	Public crypto.PublicKey
	// Attributes are the boolean attributes of the secret or private key, by their names of PKCS #11 without CKA_, such as
	// LOCAL or NEVER_EXTRACTABLE. One that the module does not tell is not there.
	Attributes map[string]bool
}

// described are the attributes that a report shows: where the key was made, whether it can leave, what it may do.
var described = []attribute{
	{"TOKEN", pkcs11.CKA_TOKEN, yes},
	{"PRIVATE", pkcs11.CKA_PRIVATE, yes},
	{"LOCAL", pkcs11.CKA_LOCAL, yes},
	{"SENSITIVE", pkcs11.CKA_SENSITIVE, yes},
	{"ALWAYS_SENSITIVE", pkcs11.CKA_ALWAYS_SENSITIVE, yes},
	{"EXTRACTABLE", pkcs11.CKA_EXTRACTABLE, no},
	{"NEVER_EXTRACTABLE", pkcs11.CKA_NEVER_EXTRACTABLE, yes},
	{"MODIFIABLE", pkcs11.CKA_MODIFIABLE, no},
	{"COPYABLE", pkcs11.CKA_COPYABLE, no},
	{"SIGN", pkcs11.CKA_SIGN, yes},
	{"DECRYPT", pkcs11.CKA_DECRYPT, no},
	{"WRAP", pkcs11.CKA_WRAP, no},
	{"UNWRAP", pkcs11.CKA_UNWRAP, no},
	{"DERIVE", pkcs11.CKA_DERIVE, no},
}

// Describe reads back what kind of key has the label and how the token protects it (KEY-01: after provisioning the
// attributes are read, not believed).
func (t *Token) Describe(ctx context.Context, label string) (info KeyInfo, err error) {
	err = t.with(ctx, func(s *session) error {
		info, err = t.describe(s, label)
		return err
	})
	return info, err
}

func (t *Token) describe(s *session, label string) (info KeyInfo, err error) {
	h, err := t.lib.findObject(s.handle, object{class: pkcs11.CKO_PRIVATE_KEY, label: label})
	switch {
	case errors.Is(err, ErrNoKey):
		if h, err = t.lib.findObject(s.handle, object{class: pkcs11.CKO_SECRET_KEY, label: label}); err != nil {
			return info, err
		}
		info.Kind, err = t.lib.secretKind(s.handle, h)
	case err == nil:
		var ph pkcs11.ObjectHandle
		if ph, err = t.lib.findObject(s.handle, object{class: pkcs11.CKO_PUBLIC_KEY, label: label}); err != nil {
			return info, err
		}
		if info.Public, err = t.lib.publicKey(s.handle, ph); err != nil {
			return info, err
		}
		var k kind
		k, err = kindOf(info.Public)
		info.Kind = string(k.name)
	}
	if err != nil {
		return info, err
	}
	info.Attributes = map[string]bool{}
	for _, a := range described {
		got, err := t.lib.ctx.GetAttributeValue(s.handle, h, []*pkcs11.Attribute{pkcs11.NewAttribute(a.typ, nil)})
		if err == nil && len(got[0].Value) == 1 {
			info.Attributes[a.name] = got[0].Value[0] != 0
		}
	}
	return info, nil
}

// secretKind names a secret key's kind.
func (l *library) secretKind(session pkcs11.SessionHandle, h pkcs11.ObjectHandle) (string, error) {
	attrs, err := l.ctx.GetAttributeValue(session, h, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, nil), pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, nil),
	})
	if err != nil {
		return "", fail("C_GetAttributeValue", err)
	}
	name := "HMAC"
	if ulong(attrs[0].Value) == pkcs11.CKK_AES {
		name = "AES"
	}
	return fmt.Sprintf("%s-%d", name, 8*ulong(attrs[1].Value)), nil
}
