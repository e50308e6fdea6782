package hsm_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"

	"tekend/hsm"
	"tekend/hsm/hsmtest"
)

func TestTheCeremonysKEKIsSafe(t *testing.T) {
	token := hsmtest.Token(t)
	if err := token.ProbeKEK(ctx, hsmtest.KEK); err != nil {
		t.Fatal(err)
	}
	if n, err := token.SessionObjects(ctx); n != 0 || err != nil {
		t.Errorf("the probe leaves %d session objects (%v)", n, err)
	}
}

// Each KEK has one defect, and the probe names what it makes possible.
func TestABadlyMadeKEKIsRefused(t *testing.T) {
	sensitive := hsm.Change{Type: pkcs11.CKA_SENSITIVE, Value: true}
	inside := hsm.Change{Type: pkcs11.CKA_EXTRACTABLE, Value: false}
	for _, c := range []struct {
		name   string
		change []hsm.Change
		unwrap []hsm.Change // nil: the right one
		says   string
	}{
		{"extractable", []hsm.Change{{pkcs11.CKA_EXTRACTABLE, true}}, nil, "CKA_EXTRACTABLE"},
		{"not sensitive", []hsm.Change{{pkcs11.CKA_SENSITIVE, false}}, nil, "CKA_SENSITIVE"},
		{"not private", []hsm.Change{{pkcs11.CKA_PRIVATE, false}}, nil, "CKA_PRIVATE"},
		{"decrypts", []hsm.Change{{pkcs11.CKA_DECRYPT, true}}, nil, "CKA_DECRYPT"},
		{"encrypts", []hsm.Change{{pkcs11.CKA_ENCRYPT, true}}, nil, "CKA_ENCRYPT"},
		{"signs", []hsm.Change{{pkcs11.CKA_SIGN, true}}, nil, "CKA_SIGN"},
		{"derives", []hsm.Change{{pkcs11.CKA_DERIVE, true}}, nil, "CKA_DERIVE"},
		{"copyable", []hsm.Change{{pkcs11.CKA_COPYABLE, true}}, nil, "CKA_COPYABLE"},
		{"changeable", []hsm.Change{{pkcs11.CKA_MODIFIABLE, true}}, nil, "CKA_MODIFIABLE"},
		{"cannot wrap", []hsm.Change{{pkcs11.CKA_WRAP, false}}, nil, "CKA_WRAP"},
		{"cannot unwrap", []hsm.Change{{pkcs11.CKA_UNWRAP, false}}, nil, "CKA_UNWRAP"},
		{"128 bits", []hsm.Change{{pkcs11.CKA_VALUE_LEN, 16}}, nil, "CKA_VALUE_LEN"},
		{"any mechanism", []hsm.Change{{pkcs11.CKA_ALLOWED_MECHANISMS, nil}}, nil, "CKA_ALLOWED_MECHANISMS"},
		{"another mechanism", []hsm.Change{{pkcs11.CKA_ALLOWED_MECHANISMS, uint(pkcs11.CKM_AES_ECB)}}, nil, "CKA_ALLOWED_MECHANISMS"},
		{"no unwrap template", nil, []hsm.Change{}, "unwrap a key that is not sensitive and extractable"},
		{"unwrap template without EXTRACTABLE", nil, []hsm.Change{sensitive}, "unwrap a key that is extractable"},
		{"unwrap template without SENSITIVE", nil, []hsm.Change{inside}, "unwrap a key that is not sensitive"},
		{"unwrap template that opens", nil, []hsm.Change{sensitive, {pkcs11.CKA_EXTRACTABLE, true}}, "unwrap a key that is extractable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			token := hsmtest.Token(t)
			if err := token.CreateKEKWith(ctx, "bad", c.change, c.unwrap); err != nil {
				t.Fatal(err)
			}
			err := token.ProbeKEK(ctx, "bad")
			if !errors.Is(err, hsm.ErrKEK) {
				t.Fatalf("got %v", err)
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("it says %v; it should name %q", err, c.says)
			}
			if n, err := token.SessionObjects(ctx); n != 0 || err != nil {
				t.Errorf("the probe leaves %d session objects (%v)", n, err)
			}
		})
	}
}

func TestAKEKThatWasOnceOutsideIsRefused(t *testing.T) {
	token := hsmtest.Token(t)
	if err := token.CreateAESKey(ctx, "imported", make([]byte, 32)); err != nil {
		t.Fatal(err)
	}
	if err := token.ProbeKEK(ctx, "imported"); !errors.Is(err, hsm.ErrKEK) {
		t.Errorf("got %v", err)
	}
}

func TestAnAbsentKEKIsNamed(t *testing.T) {
	if err := hsmtest.Token(t).ProbeKEK(ctx, "absent"); !errors.Is(err, hsm.ErrNoKey) {
		t.Errorf("got %v", err)
	}
}
