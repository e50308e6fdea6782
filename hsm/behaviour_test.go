package hsm

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha512"
	"errors"
	"fmt"

	"github.com/miekg/pkcs11"
)

// Behaviour is one thing that modules do differently, and what this one does.
type Behaviour struct{ What, Does string }

// Behaviours tries the module behind the token with what the package relies on or avoids. kek is a key made by
// CreateKEK.
func (t *Token) Behaviours(ctx context.Context, kek string) (all []Behaviour, err error) {
	err = t.readWrite(ctx, func(s *session) error {
		h, err := t.lib.findObject(s.handle, object{class: pkcs11.CKO_SECRET_KEY, label: kek})
		if err != nil {
			return err
		}
		b := &behaviours{t: t, s: s, kek: h}
		b.templates()
		b.attributes()
		if err := b.wrapping(); err != nil {
			return err
		}
		b.objects()
		all = b.all
		return nil
	})
	return all, err
}

type behaviours struct {
	t   *Token
	s   *session
	kek pkcs11.ObjectHandle
	all []Behaviour
}

func (b *behaviours) say(what, does string) { b.all = append(b.all, Behaviour{what, does}) }

// result is "done" or the return value.
func result(err error) string {
	var rv pkcs11.Error
	switch {
	case err == nil:
		return "done"
	case errors.As(err, &rv):
		return fmt.Sprintf("0x%X", uint(rv))
	}
	return err.Error()
}

// templates: which attributes a token key may be made with.
func (b *behaviours) templates() {
	plain := quirks{omit: []uint{pkcs11.CKA_ALLOWED_MECHANISMS, pkcs11.CKA_COPYABLE, pkcs11.CKA_MODIFIABLE}}.template(kekTemplate(CKMAESKeyWrapPad))
	nested, free := attributeArray(unwrapTemplate())
	defer free()
	for _, a := range []struct {
		name string
		attr *pkcs11.Attribute
	}{
		{"CKA_ALLOWED_MECHANISMS", pkcs11.NewAttribute(pkcs11.CKA_ALLOWED_MECHANISMS, CKMAESKeyWrapPad)},
		{"CKA_COPYABLE=false", pkcs11.NewAttribute(pkcs11.CKA_COPYABLE, false)},
		{"CKA_MODIFIABLE=false", pkcs11.NewAttribute(pkcs11.CKA_MODIFIABLE, false)},
		{"CKA_UNWRAP_TEMPLATE", pkcs11.NewAttribute(pkcs11.CKA_UNWRAP_TEMPLATE, nested)},
	} {
		h, err := b.t.lib.ctx.GenerateKey(b.s.handle, one(pkcs11.NewMechanism(pkcs11.CKM_AES_KEY_GEN, nil)), append(plain, a.attr))
		b.say("make a token key with "+a.name, result(err))
		if err == nil {
			_ = b.t.lib.ctx.DestroyObject(b.s.handle, h)
		}
	}
}

// attributes: what a key of the ceremony says of itself.
func (b *behaviours) attributes() {
	for _, a := range []struct {
		name string
		typ  uint
	}{{"CKA_LOCAL", pkcs11.CKA_LOCAL}, {"CKA_MODIFIABLE", pkcs11.CKA_MODIFIABLE}, {"CKA_COPYABLE", pkcs11.CKA_COPYABLE}, {"CKA_NEVER_EXTRACTABLE", pkcs11.CKA_NEVER_EXTRACTABLE}} {
		got, err := b.t.lib.ctx.GetAttributeValue(b.s.handle, b.kek, []*pkcs11.Attribute{pkcs11.NewAttribute(a.typ, nil)})
		does := result(err)
		if err == nil {
			does = fmt.Sprint(ulong(got[0].Value))
		}
		b.say(a.name+" of a KEK made inside", does)
	}
}

// wrapping: what protects a wrapped key.
func (b *behaviours) wrapping() error {
	pub, blob, err := b.t.generateBlob(b.s, b.kek, kinds[0])
	if err != nil {
		return err
	}
	ctx := b.t.lib.ctx
	b.say("bytes of a wrapped P-256 key", fmt.Sprint(len(blob)))
	open := []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY), pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_EC),
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, false), pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, true), pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
	}
	unwrap := func(what string, blob []byte, template []*pkcs11.Attribute) pkcs11.ObjectHandle {
		h, err := ctx.UnwrapKey(b.s.handle, b.t.wrapMechanism(), b.kek, blob, template)
		b.say(what, result(err))
		return h
	}
	unwrap("unwrap without the vendor's attribute", blob, quirks{omit: []uint{ckaNSSDB}}.template(b.t.userKey(kinds[0])))
	unwrap("unwrap a readable key in spite of the unwrap template", blob, append(open, b.t.quirks.unwrap...))
	key := unwrap("unwrap as we do", blob, b.t.userKey(kinds[0]))
	b.longDigest(key, pub)
	_, err = ctx.WrapKey(b.s.handle, b.t.wrapMechanism(), b.kek, key)
	b.say("wrap a key that is not extractable", result(err))
	_, err = ctx.GetAttributeValue(b.s.handle, key, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_VALUE, nil)})
	b.say("read the value of a sensitive key", result(err))
	damaged := bytes.Clone(blob)
	damaged[20] ^= 1
	unwrap("unwrap a damaged blob", damaged, b.t.userKey(kinds[0]))
	b.say("start to decrypt with the KEK by AES-ECB", result(ctx.DecryptInit(b.s.handle, one(pkcs11.NewMechanism(pkcs11.CKM_AES_ECB, nil)), b.kek)))
	_, err = ctx.WrapKey(b.s.handle, one(pkcs11.NewMechanism(0x210B, nil)), b.kek, key)
	b.say("wrap by CKM 0x210B", result(err))
	b.say("destroy a session key", result(ctx.DestroyObject(b.s.handle, key)))
	b.say("sign with a destroyed key", result(ctx.SignInit(b.s.handle, one(pkcs11.NewMechanism(pkcs11.CKM_ECDSA, nil)), key)))
	return nil
}

// longDigest: what CKM_ECDSA makes of more bytes than the order of the curve has.
func (b *behaviours) longDigest(key pkcs11.ObjectHandle, pub crypto.PublicKey) {
	long := sha512.Sum512([]byte("longer than P-256"))
	err := b.t.lib.ctx.SignInit(b.s.handle, one(pkcs11.NewMechanism(pkcs11.CKM_ECDSA, nil)), key)
	var raw []byte
	if err == nil {
		raw, err = b.t.lib.ctx.Sign(b.s.handle, long[:])
	}
	does := result(err)
	if err == nil {
		if _, err = kinds[0].verified(pub, digest{crypto.SHA512, long[:]}, raw); err != nil {
			does = "not the leftmost bits"
		}
	}
	b.say("sign 64 bytes by CKM_ECDSA on P-256", does)
}

// objects: what else a token can hold.
func (b *behaviours) objects() {
	h, err := b.t.lib.ctx.CreateObject(b.s.handle, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_DATA), pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_VALUE, []byte("x")),
	})
	b.say("store a data object", result(err))
	if err == nil {
		_ = b.t.lib.ctx.DestroyObject(b.s.handle, h)
	}
}
