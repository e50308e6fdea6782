package cms

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	_ "crypto/sha1" // old signatures are read, to say what is wrong with them; never accepted
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// scheme is a signature mechanism: how a value is computed from a digest.
type scheme struct {
	oid    asn1.ObjectIdentifier
	name   string
	family string // "RSA", "PSS" or "EC"
	hash   crypto.Hash
	x509   x509.SignatureAlgorithm
	body   []byte // of the AlgorithmIdentifier, encoded
}

var schemes = encoded([]scheme{
	{oidECDSASHA256, "ecdsa-with-SHA256", "EC", crypto.SHA256, x509.ECDSAWithSHA256, nil},
	{oidECDSASHA384, "ecdsa-with-SHA384", "EC", crypto.SHA384, x509.ECDSAWithSHA384, nil},
	{oidECDSASHA512, "ecdsa-with-SHA512", "EC", crypto.SHA512, x509.ECDSAWithSHA512, nil},
	{oidECDSASHA224, "ecdsa-with-SHA224", "EC", crypto.SHA224, x509.UnknownSignatureAlgorithm, nil},
	{oidECDSASHA1, "ecdsa-with-SHA1", "EC", crypto.SHA1, x509.ECDSAWithSHA1, nil},
	{oidSHA256WithRSA, "sha256WithRSAEncryption", "RSA", crypto.SHA256, x509.SHA256WithRSA, nil},
	{oidSHA384WithRSA, "sha384WithRSAEncryption", "RSA", crypto.SHA384, x509.SHA384WithRSA, nil},
	{oidSHA512WithRSA, "sha512WithRSAEncryption", "RSA", crypto.SHA512, x509.SHA512WithRSA, nil},
	{oidSHA224WithRSA, "sha224WithRSAEncryption", "RSA", crypto.SHA224, x509.UnknownSignatureAlgorithm, nil},
	{oidSHA1WithRSA, "sha1WithRSAEncryption", "RSA", crypto.SHA1, x509.SHA1WithRSA, nil},
})

// pssSchemes are RSASSA-PSS with the hashes that we read it with.
var pssSchemes = encoded([]scheme{
	{oidPSS, "RSASSA-PSS-SHA256", "PSS", crypto.SHA256, x509.SHA256WithRSAPSS, nil},
	{oidPSS, "RSASSA-PSS-SHA384", "PSS", crypto.SHA384, x509.SHA384WithRSAPSS, nil},
	{oidPSS, "RSASSA-PSS-SHA512", "PSS", crypto.SHA512, x509.SHA512WithRSAPSS, nil},
	{oidPSS, "RSASSA-PSS-SHA224", "PSS", crypto.SHA224, x509.UnknownSignatureAlgorithm, nil},
	{oidPSS, "RSASSA-PSS-SHA160", "PSS", crypto.SHA1, x509.UnknownSignatureAlgorithm, nil},
})

// encoded fills in the AlgorithmIdentifiers, once.
func encoded(list []scheme) []scheme {
	for i := range list {
		list[i].body = list[i].encode()
	}
	return list
}

// scheme is the mechanism behind the name.
func (a Algorithm) scheme() (scheme, error) {
	if slices.Contains(ours, a) {
		for _, list := range [][]scheme{schemes, pssSchemes} {
			for _, s := range list {
				if s.name == string(a) {
					return s, nil
				}
			}
		}
	}
	return scheme{}, errf(CodeAlgorithm, "%q is not an algorithm that we sign with", string(a))
}

// encode writes the content of the AlgorithmIdentifier: with NULL for RSA,
// without parameters for ECDSA (RFC 5754 §3), with all of them for RSASSA-PSS.
//
//	AlgorithmIdentifier ::= SEQUENCE { algorithm OBJECT IDENTIFIER, parameters ANY OPTIONAL }
func (s scheme) encode() []byte {
	body := oidDER(s.oid)
	switch s.family {
	case "RSA":
		body = append(body, 5, 0)
	case "PSS":
		body = append(body, s.pssParameters()...)
	}
	return body
}

// pssParameters writes the grammar of [pssScheme]: the hash throughout, with
// NULL beside it (RFC 4055 §2.1), and a salt of its length. The trailer field
// has its default.
func (s scheme) pssParameters() []byte {
	oid, _ := OIDOfHash(s.hash)
	hash := element(casn1.SEQUENCE, oidDER(oid), []byte{5, 0})
	return element(casn1.SEQUENCE,
		element(context(0), hash),
		element(context(1), element(casn1.SEQUENCE, oidDER(oidMGF1), hash)),
		element(context(2), []byte{byte(casn1.INTEGER), 1, byte(s.hash.Size())}))
}

// oidDER is an object identifier of ours, encoded.
func oidDER(oid asn1.ObjectIdentifier) []byte {
	var b cryptobyte.Builder
	b.AddASN1ObjectIdentifier(oid)
	der, err := b.Bytes()
	if err != nil {
		return nil // none of ours
	}
	return der
}

// algorithmIdentifier is what stands in foreign bytes.
type algorithmIdentifier struct {
	oid    asn1.ObjectIdentifier
	params []byte // DER, nil when absent
}

// plain tells that there are no parameters, or NULL.
func (a algorithmIdentifier) plain() bool {
	return a.params == nil || len(a.params) == 2 && a.params[0] == 5 && a.params[1] == 0
}

func (a algorithmIdentifier) equal(o algorithmIdentifier) bool {
	return a.oid.Equal(o.oid) && (a.plain() && o.plain() || string(a.params) == string(o.params))
}

func readAlgorithm(s *cryptobyte.String, tag casn1.Tag, a *algorithmIdentifier) bool {
	var seq cryptobyte.String
	if !s.ReadASN1(&seq, tag) || !seq.ReadASN1ObjectIdentifier(&a.oid) {
		return false
	}
	if !seq.Empty() {
		var any cryptobyte.String
		var t casn1.Tag
		if !seq.ReadAnyASN1Element(&any, &t) || !seq.Empty() {
			return false
		}
		a.params = any
	}
	return true
}

// schemeOf reads the signatureAlgorithm of a SignerInfo whose digestAlgorithm
// is h. rsaEncryption takes its digest from there (RFC 3370 §3.2).
func schemeOf(a algorithmIdentifier, h crypto.Hash) (scheme, error) {
	if a.oid.Equal(oidRSA) {
		if !a.plain() {
			return scheme{}, errf(CodeMalformed, "rsaEncryption with parameters")
		}
		for _, s := range schemes {
			if s.family == "RSA" && s.hash == h {
				return s, nil
			}
		}
	}
	if a.oid.Equal(oidPSS) {
		return pssScheme(a.params, h)
	}
	for _, s := range schemes {
		if !s.oid.Equal(a.oid) {
			continue
		}
		if !a.plain() {
			return scheme{}, errf(CodeMalformed, "%s with parameters", s.name)
		}
		if s.hash != h {
			return scheme{}, errf(CodeAlgorithmMismatch, "%s beside another digest algorithm", s.name)
		}
		return s, nil
	}
	return scheme{}, errf(CodeAlgorithm, "signature algorithm %v", a.oid)
}

// pssScheme accepts only what RFC 4056 §3 asks signers for: the hash of the
// content, MGF1 with the same hash, a salt as long as the hash.
//
//	RSASSA-PSS-params ::= SEQUENCE {
//	  hashAlgorithm [0] HashAlgorithm DEFAULT sha1, maskGenAlgorithm [1] MaskGenAlgorithm DEFAULT mgf1SHA1,
//	  saltLength [2] INTEGER DEFAULT 20, trailerField [3] TrailerField DEFAULT trailerFieldBC }
func pssScheme(params []byte, h crypto.Hash) (scheme, error) {
	bad := errf(CodeAlgorithm, "RSASSA-PSS parameters other than one hash throughout and a salt of its length")
	s := cryptobyte.String(params)
	var seq, in, mgfParams cryptobyte.String
	var hash, mgf, mgfHash algorithmIdentifier
	tag := func(n uint8) casn1.Tag { return casn1.Tag(n).Constructed().ContextSpecific() }
	if !s.ReadASN1(&seq, casn1.SEQUENCE) || !s.Empty() ||
		!seq.ReadASN1(&in, tag(0)) || !readAlgorithm(&in, casn1.SEQUENCE, &hash) || !in.Empty() ||
		!seq.ReadASN1(&in, tag(1)) || !readAlgorithm(&in, casn1.SEQUENCE, &mgf) || !in.Empty() {
		return scheme{}, bad
	}
	mgfParams = mgf.params
	if !mgf.oid.Equal(oidMGF1) || !readAlgorithm(&mgfParams, casn1.SEQUENCE, &mgfHash) || !mgfParams.Empty() {
		return scheme{}, bad
	}
	salt := 0
	if !seq.ReadASN1(&in, tag(2)) || !in.ReadASN1Integer(&salt) || !in.Empty() {
		return scheme{}, bad
	}
	if !seq.Empty() {
		trailer := 0
		if !seq.ReadASN1(&in, tag(3)) || !in.ReadASN1Integer(&trailer) || !in.Empty() || trailer != 1 || !seq.Empty() {
			return scheme{}, bad
		}
	}
	found, ok := HashByOID(hash.oid)
	if !ok || !hash.plain() || !mgfHash.plain() || !mgfHash.oid.Equal(hash.oid) || salt != found.Size() {
		return scheme{}, bad
	}
	if found != h {
		return scheme{}, errf(CodeAlgorithmMismatch, "RSASSA-PSS beside another digest algorithm")
	}
	for _, s := range pssSchemes {
		if s.hash == h {
			return s, nil
		}
	}
	return scheme{}, bad
}

// maxRSA is the longest modulus, in bits, that we compute with. The work grows
// with its square: 16384 bits take 20 ms, a million a minute and a half.
const maxRSA = 16384

// verify checks a value over a digest of s.hash.
func (s scheme) verify(pub crypto.PublicKey, digest, value []byte) error {
	ok := false
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		if s.family != "EC" {
			return errf(CodeAlgorithmMismatch, "%s with an EC key", s.name)
		}
		ok = ecdsa.VerifyASN1(k, digest, value)
	case *rsa.PublicKey:
		// crypto/rsa does not compute with less; such a key proves nothing.
		if n := k.N.BitLen(); n < 1024 || n > maxRSA {
			return errf(CodeAlgorithm, "an RSA key of %d bits", n)
		}
		switch s.family {
		case "RSA":
			ok = rsa.VerifyPKCS1v15(k, s.hash, digest, value) == nil
		case "PSS":
			ok = rsa.VerifyPSS(k, s.hash, digest, value, &rsa.PSSOptions{SaltLength: s.hash.Size(), Hash: s.hash}) == nil
		default:
			return errf(CodeAlgorithmMismatch, "%s with an RSA key", s.name)
		}
	default:
		return errf(CodeAlgorithm, "a key of type %T", pub)
	}
	if !ok {
		return errf(CodeBadValue, "the signature value does not verify")
	}
	return nil
}
