package hsm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/pkcs11"
)

// NSS softokn3 is the second module of the tests: another implementation, with other faults. It must never hold real
// keys: it wraps keys that are not extractable and does not enforce unwrap templates, and [Token.ProbeKEK] refuses it.
// What it cannot take is left out here and nowhere else, and only for a token that is marked test_only.

// quirks is what a module cannot take. The zero value is a module that can do all.
type quirks struct {
	omit   []uint              // attributes that it refuses in templates and cannot show
	wrong  []uint              // attributes of which it always says the same
	unwrap []*pkcs11.Attribute // what it wants besides in the template of an unwrapped key
}

// ckaNSSDB is a vendor attribute. NSS wants some value of it when it unwraps an EC key, and does not look at it.
const ckaNSSDB = 0xD5A0DB00

// quirksOf knows a module by its name.
func quirksOf(module string, testOnly bool) (quirks, error) {
	if !strings.HasPrefix(module, "Mozilla Foundation,") {
		return quirks{}, nil
	}
	if !testOnly {
		return quirks{}, fmt.Errorf("hsm: %s does not protect the keys that it holds; it runs only where the token is marked test_only", module)
	}
	return quirks{
		omit:   []uint{pkcs11.CKA_ALLOWED_MECHANISMS, pkcs11.CKA_COPYABLE},
		wrong:  []uint{pkcs11.CKA_LOCAL},
		unwrap: []*pkcs11.Attribute{pkcs11.NewAttribute(ckaNSSDB, []byte{1})},
	}, nil
}

// Unsafe tells whether the module is one that does not protect its keys, which only a token marked test_only may have.
func (t *Token) Unsafe() bool { return len(t.quirks.omit) > 0 }

// template is a template as the module takes it.
func (q quirks) template(list []*pkcs11.Attribute) []*pkcs11.Attribute {
	return slices.DeleteFunc(slices.Clone(list), func(a *pkcs11.Attribute) bool { return slices.Contains(q.omit, a.Type) })
}

// profile is the part of a profile that the module can show.
func (q quirks) profile(list []attribute) []attribute {
	return slices.DeleteFunc(slices.Clone(list), func(a attribute) bool {
		return slices.Contains(q.omit, a.typ) || slices.Contains(q.wrong, a.typ)
	})
}

// InitFirstPIN gives the token of a module that makes its token itself (NSS) its first PIN, from PINFile. Such a token's
// security officer has no PIN. A token that has a PIN is refused.
func InitFirstPIN(cfg Config) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	if !cfg.TestOnly {
		return errors.New("hsm: a token whose security officer has no PIN is for tests: mark it test_only")
	}
	pin, err := readPIN(cfg.PINFile)
	if err != nil {
		return err
	}
	lib, err := openLibrary(cfg.Module, cfg.InitArgs)
	if err != nil {
		return err
	}
	if err := lib.enter(context.Background(), func(string) {}); err != nil {
		return errors.Join(err, lib.close())
	}
	err = lib.firstPIN(cfg.TokenLabel, pin)
	lib.leave()
	return errors.Join(err, lib.close())
}

func (l *library) firstPIN(label, pin string) error {
	slots, err := l.ctx.GetSlotList(true)
	if err != nil {
		return fail("C_GetSlotList", err)
	}
	for _, slot := range slots {
		info, err := l.ctx.GetTokenInfo(slot)
		if err != nil || info.Label != label {
			continue
		}
		if info.Flags&pkcs11.CKF_USER_PIN_INITIALIZED != 0 {
			return fmt.Errorf("hsm: the token %q has a PIN already; it is not replaced", label)
		}
		return l.setPIN(slot, "", pin)
	}
	return fmt.Errorf("hsm: no token is labelled %q", label)
}
