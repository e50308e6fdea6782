package hsm

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"github.com/miekg/pkcs11"
)

// KeyKind is a kind of key pair that the token makes.
type KeyKind string

// The kinds. RSA-2048 is for service keys whose partner demands it (itsme); it is refused for users' keys (KEY-03).
const (
	P256    KeyKind = "P-256"
	RSA2048 KeyKind = "RSA-2048"
	RSA3072 KeyKind = "RSA-3072"
)

// kindOf is the kind of a public key; others are refused.
func kindOf(pub crypto.PublicKey) (KeyKind, error) {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return P256, nil
		}
	case *rsa.PublicKey:
		switch {
		case k.N == nil || k.E < 3:
		case k.N.BitLen() == 2048:
			return RSA2048, nil
		case k.N.BitLen() == 3072:
			return RSA3072, nil
		}
	}
	return "", errors.New("hsm: only P-256, RSA-2048 and RSA-3072 keys are used")
}

// oidP256 is prime256v1 (RFC 5480 §2.1.1.1), the value of CKA_EC_PARAMS.
var oidP256 = []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}

// generation is how a kind is generated: mechanism and the public template's part that belongs to it.
func (k KeyKind) generation() (*pkcs11.Mechanism, []*pkcs11.Attribute, error) {
	rsaBits := func(n int) (*pkcs11.Mechanism, []*pkcs11.Attribute, error) {
		return pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN, nil), []*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_MODULUS_BITS, n),
			pkcs11.NewAttribute(pkcs11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}),
		}, nil
	}
	switch k {
	case P256:
		return pkcs11.NewMechanism(pkcs11.CKM_EC_KEY_PAIR_GEN, nil), []*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, oidP256),
		}, nil
	case RSA2048:
		return rsaBits(2048)
	case RSA3072:
		return rsaBits(3072)
	}
	return nil, nil, fmt.Errorf("hsm: unknown kind of key %q; use P-256, RSA-2048 or RSA-3072", string(k))
}

// keyType is CKA_KEY_TYPE of a kind.
func (k KeyKind) keyType() uint {
	if k == P256 {
		return pkcs11.CKK_EC
	}
	return pkcs11.CKK_RSA
}

// signOnly are the attributes of a private key that may sign and do nothing else (KEY-02). CKA_MODIFIABLE stands last:
// SoftHSM applies an unwrap template in order and refuses what follows it.
func signOnly(token, extractable bool) []*pkcs11.Attribute {
	return []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, token),
		pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true),
		pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, extractable),
		pkcs11.NewAttribute(pkcs11.CKA_COPYABLE, false),
		pkcs11.NewAttribute(pkcs11.CKA_SIGN, true),
		pkcs11.NewAttribute(pkcs11.CKA_SIGN_RECOVER, false),
		pkcs11.NewAttribute(pkcs11.CKA_DECRYPT, false),
		pkcs11.NewAttribute(pkcs11.CKA_UNWRAP, false),
		pkcs11.NewAttribute(pkcs11.CKA_DERIVE, false),
		pkcs11.NewAttribute(pkcs11.CKA_MODIFIABLE, false),
	}
}

// verifyOnly are the attributes of the public key.
func verifyOnly(token bool) []*pkcs11.Attribute {
	return []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, token),
		pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, false),
		pkcs11.NewAttribute(pkcs11.CKA_VERIFY, true),
		pkcs11.NewAttribute(pkcs11.CKA_ENCRYPT, false),
		pkcs11.NewAttribute(pkcs11.CKA_WRAP, false),
	}
}

// publicKey reads a public key object.
func (l *library) publicKey(session pkcs11.SessionHandle, h pkcs11.ObjectHandle) (crypto.PublicKey, error) {
	attrs, err := l.ctx.GetAttributeValue(session, h, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, nil)})
	if err != nil {
		return nil, fail("C_GetAttributeValue", err)
	}
	if ulong(attrs[0].Value) == pkcs11.CKK_EC {
		return l.ecPublicKey(session, h)
	}
	attrs, err = l.ctx.GetAttributeValue(session, h, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_MODULUS, nil), pkcs11.NewAttribute(pkcs11.CKA_PUBLIC_EXPONENT, nil),
	})
	if err != nil {
		return nil, fail("C_GetAttributeValue", err)
	}
	e := new(big.Int).SetBytes(attrs[1].Value)
	if !e.IsInt64() || e.Int64() > 1<<31-1 {
		return nil, errors.New("hsm: the RSA public exponent is too large")
	}
	pub := &rsa.PublicKey{N: new(big.Int).SetBytes(attrs[0].Value), E: int(e.Int64())}
	_, err = kindOf(pub)
	return pub, err
}

func (l *library) ecPublicKey(session pkcs11.SessionHandle, h pkcs11.ObjectHandle) (crypto.PublicKey, error) {
	attrs, err := l.ctx.GetAttributeValue(session, h, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, nil), pkcs11.NewAttribute(pkcs11.CKA_EC_POINT, nil),
	})
	if err != nil {
		return nil, fail("C_GetAttributeValue", err)
	}
	if string(attrs[0].Value) != string(oidP256) {
		return nil, errors.New("hsm: only the curve P-256 is used")
	}
	// CKA_EC_POINT is the DER OCTET STRING of the uncompressed point (PKCS#11 v2.40 current mechanisms §2.3.3).
	var point []byte
	if rest, err := asn1.Unmarshal(attrs[1].Value, &point); err != nil || len(rest) != 0 {
		return nil, errors.New("hsm: CKA_EC_POINT is not a DER OCTET STRING")
	}
	pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return nil, fmt.Errorf("hsm: CKA_EC_POINT: %w", err)
	}
	return pub, nil
}

// ulong reads a CK_ULONG or CK_BBOOL attribute in the machine's byte order (little endian on all our platforms).
func ulong(b []byte) uint {
	var v uint
	for i := len(b) - 1; i >= 0; i-- {
		v = v<<8 | uint(b[i])
	}
	return v
}
