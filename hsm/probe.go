package hsm

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/miekg/pkcs11"
)

// attribute is a scalar attribute and the value it must have.
type attribute struct {
	name  string
	typ   uint
	value uint
}

const (
	no  uint = 0
	yes uint = 1
)

// residentProfile is what the private key of a token-resident pair must be (KEY-01, KEY-02).
var residentProfile = []attribute{
	{"CKA_TOKEN", pkcs11.CKA_TOKEN, yes},
	{"CKA_PRIVATE", pkcs11.CKA_PRIVATE, yes},
	{"CKA_SENSITIVE", pkcs11.CKA_SENSITIVE, yes},
	{"CKA_EXTRACTABLE", pkcs11.CKA_EXTRACTABLE, no},
	{"CKA_NEVER_EXTRACTABLE", pkcs11.CKA_NEVER_EXTRACTABLE, yes},
	{"CKA_LOCAL", pkcs11.CKA_LOCAL, yes},
	{"CKA_SIGN", pkcs11.CKA_SIGN, yes},
	{"CKA_DECRYPT", pkcs11.CKA_DECRYPT, no},
	{"CKA_UNWRAP", pkcs11.CKA_UNWRAP, no},
	{"CKA_DERIVE", pkcs11.CKA_DERIVE, no},
}

// kekProfile is what the KEK must be (performance §4.2); the allowed mechanism depends on the configuration.
func kekProfile(mechanism uint) []attribute {
	return []attribute{
		{"CKA_KEY_TYPE", pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES},
		{"CKA_VALUE_LEN", pkcs11.CKA_VALUE_LEN, 32},
		{"CKA_TOKEN", pkcs11.CKA_TOKEN, yes},
		{"CKA_PRIVATE", pkcs11.CKA_PRIVATE, yes},
		{"CKA_SENSITIVE", pkcs11.CKA_SENSITIVE, yes},
		{"CKA_ALWAYS_SENSITIVE", pkcs11.CKA_ALWAYS_SENSITIVE, yes},
		{"CKA_EXTRACTABLE", pkcs11.CKA_EXTRACTABLE, no},
		{"CKA_NEVER_EXTRACTABLE", pkcs11.CKA_NEVER_EXTRACTABLE, yes},
		{"CKA_LOCAL", pkcs11.CKA_LOCAL, yes},
		{"CKA_COPYABLE", pkcs11.CKA_COPYABLE, no},
		{"CKA_MODIFIABLE", pkcs11.CKA_MODIFIABLE, no},
		{"CKA_WRAP", pkcs11.CKA_WRAP, yes},
		{"CKA_UNWRAP", pkcs11.CKA_UNWRAP, yes},
		{"CKA_ENCRYPT", pkcs11.CKA_ENCRYPT, no},
		{"CKA_DECRYPT", pkcs11.CKA_DECRYPT, no},
		{"CKA_SIGN", pkcs11.CKA_SIGN, no},
		{"CKA_VERIFY", pkcs11.CKA_VERIFY, no},
		{"CKA_DERIVE", pkcs11.CKA_DERIVE, no},
		{"CKA_ALLOWED_MECHANISMS", pkcs11.CKA_ALLOWED_MECHANISMS, mechanism},
	}
}

// checkAttributes reads the attributes one by one and names the first that is not as it must be.
func (l *library) checkAttributes(session pkcs11.SessionHandle, h pkcs11.ObjectHandle, profile []attribute) error {
	for _, want := range profile {
		got, err := l.ctx.GetAttributeValue(session, h, []*pkcs11.Attribute{pkcs11.NewAttribute(want.typ, nil)})
		if err != nil {
			return fmt.Errorf("%s cannot be read: %w", want.name, fail("C_GetAttributeValue", err))
		}
		if v := got[0].Value; len(v) == 0 || len(v) > 8 || ulong(v) != want.value {
			return fmt.Errorf("%s is %d (%d bytes), must be %d", want.name, ulong(v[:min(len(v), 8)]), len(v), want.value)
		}
	}
	return nil
}

// ProbeKEK proves that the KEK protects what it wraps, or returns ErrKEK: first its attributes, then attempts that a
// thief with the PIN and the database would make, on a throw-away key. The nested CKA_UNWRAP_TEMPLATE cannot be read
// back from every module, so it is proven by its effect. A role calls this at start and stops when it fails.
func (t *Token) ProbeKEK(ctx context.Context, label string) error {
	return t.with(ctx, func(s *session) error {
		kek, err := t.handle(s, object{class: pkcs11.CKO_SECRET_KEY, label: label})
		if err != nil {
			return err
		}
		if err := t.lib.checkAttributes(s.handle, kek, kekProfile(t.cfg.WrapMechanism)); err != nil {
			return fmt.Errorf("%w: %q: %w", ErrKEK, label, err)
		}
		if err := t.attempts(s, kek); err != nil {
			return fmt.Errorf("%w: %q: %w", ErrKEK, label, err)
		}
		return nil
	})
}

// attempts is the thief's part of ProbeKEK: nil when all were refused.
func (t *Token) attempts(s *session, kek pkcs11.ObjectHandle) error {
	_, blob, err := t.generateBlob(s, kek, kinds[0])
	if err != nil {
		return fmt.Errorf("it cannot wrap a throw-away key: %w", err)
	}
	p := &prober{t: t, s: s, kek: kek}
	p.readable(blob)
	p.unwrapped(blob)
	p.kekItself()
	return errors.Join(p.found...)
}

// prober makes attempts that must be refused and collects those that were not.
type prober struct {
	t     *Token
	s     *session
	kek   pkcs11.ObjectHandle
	found []error
}

// mustFail records an attempt that succeeded, or whose failure proves nothing because the token itself is not well.
func (p *prober) mustFail(what, call string, err error) {
	if err == nil {
		p.found = append(p.found, fmt.Errorf("it is possible to %s", what))
		return
	}
	if c := classOf(fail(call, err)); c == ClassRequest {
		return
	}
	if alive := p.t.alive(p.s); alive != nil {
		p.found = append(p.found, fmt.Errorf("the attempt to %s could not be made: %w", what, alive))
	}
}

// readable attempts to unwrap the blob into something whose value can be read: a private key with open attributes, and
// the same bytes as a plain secret.
func (p *prober) readable(blob []byte) {
	for _, a := range []struct {
		what                   string
		sensitive, extractable bool
	}{
		{"unwrap a key that is not sensitive and extractable", false, true},
		{"unwrap a key that is extractable", true, true},
		{"unwrap a key that is not sensitive", false, false},
	} {
		open := []*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_TOKEN, false),
			pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, a.sensitive),
			pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, a.extractable),
		}
		p.attemptUnwrap(a.what, blob, slices.Concat([]*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY),
			pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_EC),
		}, open, p.t.quirks.unwrap))
		p.attemptUnwrap(a.what+", as a plain secret", blob, append([]*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY),
			pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_GENERIC_SECRET),
		}, open...))
	}
}

func (p *prober) attemptUnwrap(what string, blob []byte, template []*pkcs11.Attribute) {
	h, err := p.t.lib.ctx.UnwrapKey(p.s.handle, p.t.wrapMechanism(), p.kek, blob, template)
	p.mustFail(what, "C_UnwrapKey", err)
	if err == nil {
		p.t.destroy(p.s, h)
	}
}

// unwrapped unwraps as the service does and attempts to read, wrap, open and copy the key.
func (p *prober) unwrapped(blob []byte) {
	ctx := p.t.lib.ctx
	key, err := p.t.unwrap(p.s, p.kek, blob, p.t.userKey(kinds[0]))
	if err != nil {
		p.found = append(p.found, fmt.Errorf("a throw-away key cannot be unwrapped: %w", err))
		return
	}
	defer p.t.destroy(p.s, key)
	_, err = ctx.GetAttributeValue(p.s.handle, key, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_VALUE, nil)})
	p.mustFail("read the value of an unwrapped key", "C_GetAttributeValue", err)
	_, err = ctx.WrapKey(p.s.handle, p.t.wrapMechanism(), p.kek, key)
	p.mustFail("wrap an unwrapped key again", "C_WrapKey", err)
	err = ctx.SetAttributeValue(p.s.handle, key, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, true)})
	p.mustFail("make an unwrapped key extractable", "C_SetAttributeValue", err)
	copied, err := ctx.CopyObject(p.s.handle, key, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_TOKEN, false)})
	p.mustFail("copy an unwrapped key", "C_CopyObject", err)
	if err == nil {
		p.t.destroy(p.s, copied)
	}
}

// kekItself attempts to read, wrap and decrypt with the KEK. An encrypt or decrypt operation that starts is enough: its
// session is closed afterwards.
func (p *prober) kekItself() {
	ctx := p.t.lib.ctx
	_, err := ctx.GetAttributeValue(p.s.handle, p.kek, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_VALUE, nil)})
	p.mustFail("read the KEK", "C_GetAttributeValue", err)
	_, err = ctx.WrapKey(p.s.handle, p.t.wrapMechanism(), p.kek, p.kek)
	p.mustFail("wrap the KEK", "C_WrapKey", err)
	iv := make([]byte, 16)
	for _, m := range []struct {
		name string
		mech *pkcs11.Mechanism
	}{
		{"AES-ECB", pkcs11.NewMechanism(pkcs11.CKM_AES_ECB, nil)},
		{"AES-CBC", pkcs11.NewMechanism(pkcs11.CKM_AES_CBC, iv)},
		{"AES-CBC-PAD", pkcs11.NewMechanism(pkcs11.CKM_AES_CBC_PAD, iv)},
		{"AES key wrap", p.t.wrapMechanism()[0]},
	} {
		if err = ctx.DecryptInit(p.s.handle, []*pkcs11.Mechanism{m.mech}, p.kek); err == nil {
			p.s.doomed = true
		}
		p.mustFail("decrypt with the KEK by "+m.name, "C_DecryptInit", err)
		if err = ctx.EncryptInit(p.s.handle, []*pkcs11.Mechanism{m.mech}, p.kek); err == nil {
			p.s.doomed = true
		}
		p.mustFail("encrypt with the KEK by "+m.name, "C_EncryptInit", err)
	}
}
