package hsm

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/miekg/pkcs11"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// KeyKind is a kind of key pair that the token makes, and with it the one family of algorithms its values have (KEY-02): of
// the two that an RSA key could sign by, never both.
type KeyKind string

// The kinds, with the hash that each usually signs by. A service's key signs by no other; a user's key by SHA-256, SHA-384
// and SHA-512, as the confirmation says (docs/decisions/0026-hashes.md). Which of them still count, and until when, is not decided here but by certs' table. RSA-2048 is for service
// keys whose partner demands it (itsme); it is refused for users' keys (KEY-03).
const (
	P256       KeyKind = "P-256"        // ECDSA over SHA-256, DER Ecdsa-Sig-Value
	P384       KeyKind = "P-384"        // ECDSA over SHA-384, DER Ecdsa-Sig-Value
	RSA2048    KeyKind = "RSA-2048"     // PKCS #1 v1.5 over SHA-256
	RSA3072    KeyKind = "RSA-3072"     // PKCS #1 v1.5 over SHA-256
	RSA3072PSS KeyKind = "RSA-3072-PSS" // RSASSA-PSS over SHA-256, MGF1 with the same hash, a salt of its length (RFC 4055 §3.1)
)

// UserKinds are the kinds that a person's key may have.
var UserKinds = []KeyKind{P256, P384, RSA3072, RSA3072PSS}

// kind is what the package must know of a KeyKind.
type kind struct {
	name  KeyKind
	bits  int            // of the modulus or the curve
	curve elliptic.Curve // nil for RSA
	oid   []byte         // CKA_EC_PARAMS of the curve: DER OBJECT IDENTIFIER (RFC 5480 §2.1.1.1)
	hash  crypto.Hash    // the usual one
	pss   bool
}

var kinds = []kind{
	{P256, 256, elliptic.P256(), []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}, crypto.SHA256, false},
	{P384, 384, elliptic.P384(), []byte{0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22}, crypto.SHA384, false},
	{RSA2048, 2048, nil, nil, crypto.SHA256, false},
	{RSA3072, 3072, nil, nil, crypto.SHA256, false},
	{RSA3072PSS, 3072, nil, nil, crypto.SHA256, true},
}

// of is the row of a kind.
func (k KeyKind) of() (kind, error) {
	i := slices.IndexFunc(kinds, func(r kind) bool { return r.name == k })
	if i < 0 {
		return kind{}, fmt.Errorf("hsm: unknown kind of key %q; use P-256, P-384, RSA-2048, RSA-3072 or RSA-3072-PSS", string(k))
	}
	return kinds[i], nil
}

// forUser is the row of a kind that a person's key may have.
func (k KeyKind) forUser() (kind, error) {
	if k == RSA2048 {
		return kind{}, errors.New("hsm: RSA-2048 is too short for a user's key; use P-256, P-384, RSA-3072 or RSA-3072-PSS")
	}
	return k.of()
}

// kindOf is the kind of a service's public key: RSA keys of services sign by PKCS #1 v1.5. Other keys are refused.
func kindOf(pub crypto.PublicKey) (kind, error) {
	for _, k := range kinds {
		if k.fits(pub) {
			return k, nil
		}
	}
	return kind{}, errors.New("hsm: only P-256, P-384, RSA-2048 and RSA-3072 keys are used")
}

// fits tells whether a public key is of the kind. Nothing in an RSA key tells PSS from PKCS #1 v1.5.
func (k kind) fits(pub crypto.PublicKey) bool {
	switch p := pub.(type) {
	case *ecdsa.PublicKey:
		return k.curve != nil && p.Curve == k.curve
	case *rsa.PublicKey:
		return k.curve == nil && p.N != nil && p.E >= 3 && p.N.BitLen() == k.bits
	}
	return false
}

// keyType is CKA_KEY_TYPE.
func (k kind) keyType() uint {
	if k.curve != nil {
		return pkcs11.CKK_EC
	}
	return pkcs11.CKK_RSA
}

// generation is how a kind is generated: mechanism and the public template's part that belongs to it.
func (k kind) generation() ([]*pkcs11.Mechanism, []*pkcs11.Attribute) {
	if k.curve != nil {
		return one(pkcs11.NewMechanism(pkcs11.CKM_EC_KEY_PAIR_GEN, nil)),
			[]*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, k.oid)}
	}
	return one(pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN, nil)), []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_MODULUS_BITS, k.bits),
		pkcs11.NewAttribute(pkcs11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}),
	}
}

func one(m *pkcs11.Mechanism) []*pkcs11.Mechanism { return []*pkcs11.Mechanism{m} }

// mechanism is the CKM number by which the kind signs, the only one that its private key allows.
func (k kind) mechanism() uint {
	switch {
	case k.curve != nil:
		return pkcs11.CKM_ECDSA
	case k.pss:
		return pkcs11.CKM_RSA_PKCS_PSS
	}
	return pkcs11.CKM_RSA_PKCS
}

// digest is what a key signs.
type digest struct {
	hash crypto.Hash // of userHashes
	sum  []byte      // hash.Size() bytes
}

// hashParams are what PKCS#11 must be told of a hash.
type hashParams struct {
	info     []byte // what stands before a digest in PKCS #1 v1.5 (RFC 8017 §9.2, note 1)
	ckm, mgf uint   // CKM and CKG numbers for RSASSA-PSS
}

// userHashes are the hashes that a user's key signs by.
var userHashes = map[crypto.Hash]hashParams{
	crypto.SHA256: {digestInfo(1, 32), pkcs11.CKM_SHA256, pkcs11.CKG_MGF1_SHA256},
	crypto.SHA384: {digestInfo(2, 48), pkcs11.CKM_SHA384, pkcs11.CKG_MGF1_SHA384},
	crypto.SHA512: {digestInfo(3, 64), pkcs11.CKM_SHA512, pkcs11.CKG_MGF1_SHA512},
}

// digestInfo is the DigestInfo of a hash below 2.16.840.1.101.3.4.2, up to its digest of n bytes.
func digestInfo(arc, n byte) []byte {
	return []byte{0x30, 17 + n, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, arc, 0x05, 0x00, 0x04, n}
}

// request is the mechanism and the data of C_Sign for a digest. CKM_ECDSA gets no more than the curve's order has: the
// leftmost bits of a longer digest, which is all that ECDSA takes of it (FIPS 186-5 §6.4.1). Modules that we know would cut it
// themselves (behaviours in nss_test.go); PKCS#11 v2.40 lets others refuse it.
func (k kind) request(d digest) ([]*pkcs11.Mechanism, []byte) {
	h := userHashes[d.hash]
	switch {
	case k.curve != nil:
		return one(pkcs11.NewMechanism(pkcs11.CKM_ECDSA, nil)), d.sum[:min(len(d.sum), k.bits/8)]
	case k.pss:
		params := pkcs11.NewPSSParams(h.ckm, h.mgf, uint(d.hash.Size()))
		return one(pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS_PSS, params)), d.sum
	}
	return one(pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS, nil)), slices.Concat(h.info, d.sum)
}

// usual allows what a service's key of the kind signs: digests of its usual hash.
func (k kind) usual(sum []byte, opts crypto.SignerOpts) (digest, error) {
	if opts == nil || opts.HashFunc() != k.hash {
		return digest{}, fmt.Errorf("hsm: a service's %s key signs digests of %v only", k.name, k.hash)
	}
	return k.allowed(sum, opts)
}

// allowed is what a user's key of the kind signs: digests of userHashes, and PSS where and only where the kind is for it,
// with a salt as long as the digest.
func (k kind) allowed(sum []byte, opts crypto.SignerOpts) (digest, error) {
	if opts == nil {
		return digest{}, errors.New("hsm: the hash of a digest must be named")
	}
	h := opts.HashFunc()
	pss, isPSS := opts.(*rsa.PSSOptions)
	_, known := userHashes[h]
	switch {
	case !known || len(sum) != h.Size():
		return digest{}, fmt.Errorf("hsm: a %s key signs digests of SHA-256, SHA-384 and SHA-512 only", k.name)
	case isPSS != k.pss:
		return digest{}, fmt.Errorf("hsm: a %s key signs by one family of algorithms, and that is not it", k.name)
	case isPSS && pss.SaltLength != rsa.PSSSaltLengthEqualsHash && pss.SaltLength != h.Size():
		return digest{}, fmt.Errorf("hsm: the salt of RSASSA-PSS has %d bytes with %v", h.Size(), h)
	}
	return digest{h, sum}, nil
}

// Options are the options that a signer of the kind wants from crypto.Signer.Sign for its usual hash; nil for an unknown kind.
func (k KeyKind) Options() crypto.SignerOpts {
	row, err := k.of()
	switch {
	case err != nil:
		return nil
	case row.pss:
		return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: row.hash}
	}
	return row.hash
}

// verified turns the token's value into its usual form and lets it out only when the public key verifies it. A wrong
// RSA value can give the private key away (a fault in the CRT), so it is overwritten.
func (k kind) verified(pub crypto.PublicKey, d digest, raw []byte) ([]byte, error) {
	switch p := pub.(type) {
	case *ecdsa.PublicKey:
		value, err := k.ecdsaDER(raw)
		if err == nil && ecdsa.VerifyASN1(p, d.sum, value) {
			return value, nil
		}
	case *rsa.PublicKey:
		err := rsa.ErrVerification
		if k.pss {
			err = rsa.VerifyPSS(p, d.hash, d.sum, raw, &rsa.PSSOptions{SaltLength: d.hash.Size(), Hash: d.hash})
		} else {
			err = rsa.VerifyPKCS1v15(p, d.hash, d.sum, raw)
		}
		if err == nil {
			return slices.Clone(raw), nil
		}
	}
	clear(raw)
	return nil, ErrWrongValue
}

// ecdsaDER encodes the token's r || s.
//
//	Ecdsa-Sig-Value ::= SEQUENCE { r INTEGER, s INTEGER }   (RFC 3279 §2.2.3)
func (k kind) ecdsaDER(raw []byte) ([]byte, error) {
	n := (k.bits + 7) / 8
	if len(raw) != 2*n {
		return nil, fmt.Errorf("hsm: an ECDSA value of %d bytes; %d are expected for %s", len(raw), 2*n, k.name)
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(new(big.Int).SetBytes(raw[:n]))
		b.AddASN1BigInt(new(big.Int).SetBytes(raw[n:]))
	})
	return b.Bytes()
}
