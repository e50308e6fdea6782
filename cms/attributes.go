package cms

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"regexp"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// SignedAttributes builds the signed attributes of a PAdES baseline signature
// (EN 319 142-1 §6.3): the DER SET OF, with tag 0x31, whose digest is what the
// key signs. The algorithm is the usual one of the key ([AlgorithmOf]); both
// digests are by its hash. messageDigest is the digest of the bytes in ByteRange.
// The four attributes are content-type (id-data), message-digest,
// signing-certificate-v2 (SHA-256 of cert, with issuer and serial) and
// CMSAlgorithmProtection, which fixes the algorithm. There is no signing-time:
// PAdES forbids it, /M is the claimed time.
func SignedAttributes(messageDigest []byte, cert *x509.Certificate) ([]byte, error) {
	return ContentAttributes(OIDData, messageDigest, cert)
}

// ContentAttributes is [SignedAttributes] for another content type, such as
// the TSTInfo of a time-stamp token.
func ContentAttributes(contentType asn1.ObjectIdentifier, messageDigest []byte, cert *x509.Certificate) ([]byte, error) {
	a, err := AlgorithmOf(cert.PublicKey)
	if err != nil {
		return nil, err
	}
	return a.contentAttributes(Attributes{ContentType: contentType, MessageDigest: messageDigest}, cert)
}

// Attributes is what [SignedAttributes] or [Algorithm.CAdESAttributes] wrote.
type Attributes struct {
	ContentType   asn1.ObjectIdentifier // id-data for documents
	MessageDigest []byte                // of the content, by the hash of Algorithm
	CertHash      []byte                // SHA-256 of the signing certificate, 32 bytes
	IssuerDER     []byte                // DER Name of its issuer
	Serial        *big.Int              // its serial number
	Algorithm     string                // an [Algorithm]
	SigningTime   time.Time             // UTC, whole seconds; zero: the PAdES form, which has none
	MimeType      string                // of the content; "": not stated, as always in the PAdES form

	scheme scheme
}

// Check tells whether the attributes name this certificate and an algorithm of
// its key; otherwise an *[Error] with the code certificate_mismatch or
// algorithm_mismatch.
func (a Attributes) Check(cert *x509.Certificate) error {
	hash := sha256.Sum256(cert.Raw)
	if subtle.ConstantTimeCompare(hash[:], a.CertHash) != 1 || !bytes.Equal(a.IssuerDER, cert.RawIssuer) || a.Serial.Cmp(cert.SerialNumber) != 0 {
		return errf(CodeCertificate, "the signed attributes name another certificate")
	}
	if !Algorithm(a.Algorithm).Fits(cert.PublicKey) {
		return errf(CodeAlgorithmMismatch, "the signed attributes name %s, by which the certificate's key does not sign", a.Algorithm)
	}
	return nil
}

// DTBS is the digest that the key signs: of der, the encoded attributes, by the
// hash of their algorithm.
func (a Attributes) DTBS(der []byte) []byte {
	h := a.scheme.hash.New()
	h.Write(der)
	return h.Sum(nil)
}

// ParseSignedAttributes reads the signed attributes of a document. It accepts
// exactly what [SignedAttributes] (PAdES) or [Algorithm.CAdESAttributes] (CAdES)
// writes, byte for byte: DER, tag 0x31, their attributes, each once, in order.
// Everything else is an *[Error]. Which of the two it is, SigningTime tells; who
// wants one of them only has to look.
func ParseSignedAttributes(der []byte) (Attributes, error) {
	// Ours have some 300 bytes plus the issuer's name, which is below 2 kB in
	// every certificate we make.
	if err := scan(der, Budget{Bytes: 16 << 10, Elements: 400, Depth: 16}); err != nil {
		return Attributes{}, err
	}
	list, err := readAttributes(der)
	if err != nil {
		return Attributes{}, err
	}
	var a Attributes
	for _, one := range list {
		if err := a.take(one); err != nil {
			return Attributes{}, err
		}
	}
	again, err := a.encode()
	if err != nil {
		return Attributes{}, err
	}
	if !bytes.Equal(again, der) {
		return Attributes{}, errf(CodeAttributes, "not exactly the attributes that we make")
	}
	return a, nil
}

// take reads one attribute. What it overlooks, the comparison of bytes finds.
func (a *Attributes) take(one Attribute) error {
	if len(one.Values) != 1 {
		return errf(CodeAttributes, "attribute %v with %d values", one.Type, len(one.Values))
	}
	v := cryptobyte.String(one.Values[0])
	ok := false
	switch {
	case one.Type.Equal(OIDContentType):
		ok = v.ReadASN1ObjectIdentifier(&a.ContentType) && a.ContentType.Equal(OIDData)
	case one.Type.Equal(OIDMessageDigest):
		ok = v.ReadASN1Bytes(&a.MessageDigest, casn1.OCTET_STRING) // its length: see encode
	case one.Type.Equal(OIDSigningTime):
		a.SigningTime, ok = readTime(v)
	case one.Type.Equal(OIDMimeType):
		var text cryptobyte.String
		ok = v.ReadASN1(&text, casn1.UTF8String) && len(text) > 0
		a.MimeType = string(text) // its form: see encode
	case one.Type.Equal(OIDSigningCertificateV2):
		ids, err := readCertIDs(one)
		if err != nil {
			return err
		}
		if len(ids) != 1 || ids[0].Hash != crypto.SHA256 || ids[0].Serial == nil {
			return errf(CodeAttributes, "signing-certificate-v2 is not one SHA-256 with issuer and serial")
		}
		a.CertHash, a.IssuerDER, a.Serial = ids[0].Digest, ids[0].IssuerDER, ids[0].Serial
		return nil
	case one.Type.Equal(OIDAlgorithmProtection):
		digest, sig, err := readProtection(one.Values[0])
		if err != nil {
			return err
		}
		h, known := HashByOID(digest.oid)
		if !known {
			return errf(CodeAlgorithm, "digest algorithm %v", digest.oid)
		}
		if a.scheme, err = schemeOf(sig, h); err != nil {
			return err
		}
		if a.Algorithm = a.scheme.name; !slices.Contains(ours, Algorithm(a.Algorithm)) {
			return errf(CodeAlgorithm, "%s is not an algorithm that we sign with", a.Algorithm)
		}
		return nil
	default:
		return errf(CodeAttributes, "attribute %v is not known here", one.Type)
	}
	if !ok {
		return errf(CodeAttributes, "attribute %v has a wrong value", one.Type)
	}
	return nil
}

// encode writes the SET OF; it fails when something is absent.
//
//	SignedAttributes ::= SET SIZE (1..MAX) OF Attribute
//	Attribute ::= SEQUENCE { attrType OBJECT IDENTIFIER, attrValues SET OF AttributeValue }
func (a Attributes) encode() ([]byte, error) {
	if a.ContentType == nil || len(a.MessageDigest) == 0 || len(a.CertHash) == 0 || a.Serial == nil || a.Serial.Sign() < 0 || a.scheme.oid == nil {
		return nil, errf(CodeAttributes, "an attribute is absent")
	}
	if len(a.MessageDigest) != a.scheme.hash.Size() {
		return nil, errf(CodeAttributes, "a message-digest of %d bytes beside %s", len(a.MessageDigest), a.scheme.name)
	}
	claims, err := a.claims()
	if err != nil {
		return nil, err
	}
	// CMSAlgorithmProtection ::= SEQUENCE { digestAlgorithm DigestAlgorithmIdentifier,
	//   signatureAlgorithm [1] SignatureAlgorithmIdentifier OPTIONAL, macAlgorithm [2] … OPTIONAL }
	protection := element(casn1.SEQUENCE, digestAlgorithmDER(a.scheme.hash), element(context(1), a.scheme.body))
	return setOf(casn1.SET, append(claims,
		attributeDER(oidContentTypeDER, oidDER(a.ContentType)),
		attributeDER(oidMessageDigestDER, element(casn1.OCTET_STRING, a.MessageDigest)),
		attributeDER(oidSigningCertificateDER, a.certID()),
		attributeDER(oidAlgorithmProtectionDER, protection)))
}

// claims are the attributes that CAdES has and PAdES has not. The time is a
// UTCTime through 2049 (RFC 5652 §11.3).
//
//	SigningTime ::= CHOICE { utcTime UTCTime, generalizedTime GeneralizedTime }
//	MimeType ::= UTF8String
func (a Attributes) claims() ([][]byte, error) {
	if a.SigningTime.IsZero() {
		if a.MimeType != "" {
			return nil, errf(CodeAttributes, "a mime-type without a signing-time")
		}
		return nil, nil
	}
	year := a.SigningTime.Year()
	if year < 1950 || year > 9999 {
		return nil, errf(CodeAttributes, "a signing-time in the year %d", year)
	}
	tag, layout := casn1.UTCTime, "060102150405Z"
	if year >= 2050 {
		tag, layout = casn1.GeneralizedTime, "20060102150405Z"
	}
	parts := [][]byte{attributeDER(oidSigningTimeDER, element(tag, []byte(a.SigningTime.UTC().Format(layout))))}
	if a.MimeType == "" {
		return parts, nil
	}
	if !mimeType.MatchString(a.MimeType) {
		return nil, errf(CodeAttributes, "a mime-type that is not of RFC 6838")
	}
	return append(parts, attributeDER(oidMimeTypeDER, element(casn1.UTF8String, []byte(a.MimeType)))), nil
}

// mimeType is RFC 6838 §4.2: two restricted-names.
var mimeType = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$`)

// readTime reads a signing-time.
func readTime(v cryptobyte.String) (t time.Time, ok bool) {
	if v.PeekASN1Tag(casn1.UTCTime) {
		ok = v.ReadASN1UTCTime(&t)
	} else {
		ok = v.ReadASN1GeneralizedTime(&t)
	}
	return t.UTC(), ok && v.Empty() && !t.IsZero()
}

// certID writes signing-certificate-v2 (RFC 5035 §3); SHA-256 is its default
// and therefore absent in DER.
//
//	SigningCertificateV2 ::= SEQUENCE { certs SEQUENCE OF ESSCertIDv2, policies … OPTIONAL }
//	ESSCertIDv2 ::= SEQUENCE { hashAlgorithm AlgorithmIdentifier DEFAULT sha256, certHash OCTET STRING, issuerSerial IssuerSerial OPTIONAL }
//	IssuerSerial ::= SEQUENCE { issuer GeneralNames, serialNumber INTEGER }
func (a Attributes) certID() []byte {
	issuerSerial := element(casn1.SEQUENCE, element(casn1.SEQUENCE, element(context(4), a.IssuerDER)), integerDER(a.Serial))
	return element(casn1.SEQUENCE, element(casn1.SEQUENCE,
		element(casn1.SEQUENCE, element(casn1.OCTET_STRING, a.CertHash), issuerSerial)))
}

// The types of the attributes that we write, encoded.
var (
	oidContentTypeDER         = oidDER(OIDContentType)
	oidMessageDigestDER       = oidDER(OIDMessageDigest)
	oidSigningTimeDER         = oidDER(OIDSigningTime)
	oidMimeTypeDER            = oidDER(OIDMimeType)
	oidSigningCertificateDER  = oidDER(OIDSigningCertificateV2)
	oidAlgorithmProtectionDER = oidDER(OIDAlgorithmProtection)
	oidSignatureTimeStampDER  = oidDER(OIDSignatureTimeStamp)
	oidArchiveTimeStampDER    = oidDER(OIDArchiveTimeStampV3)
	oidHashIndexV3DER         = oidDER(OIDHashIndexV3)
)

// attributeDER is an attribute with one value.
func attributeDER(oid, value []byte) []byte {
	return element(casn1.SEQUENCE, oid, element(casn1.SET, value))
}

// setOf writes a DER SET OF: its elements in the order of their encodings.
func setOf(tag casn1.Tag, parts [][]byte) ([]byte, error) {
	for _, p := range parts {
		if len(p) == 0 {
			return nil, errf(CodeMalformed, "an element cannot be encoded")
		}
	}
	sorted := slices.Clone(parts)
	slices.SortFunc(sorted, bytes.Compare)
	return element(tag, sorted...), nil
}

// readProtection reads a CMSAlgorithmProtection (RFC 6211 §2) that protects a signature.
func readProtection(der []byte) (digest, sig algorithmIdentifier, err error) {
	s := cryptobyte.String(der)
	var seq cryptobyte.String
	if !s.ReadASN1(&seq, casn1.SEQUENCE) || !s.Empty() || !readAlgorithm(&seq, casn1.SEQUENCE, &digest) ||
		!readAlgorithm(&seq, casn1.Tag(1).Constructed().ContextSpecific(), &sig) || !seq.Empty() {
		return digest, sig, errf(CodeAttributes, "CMSAlgorithmProtection does not follow RFC 6211")
	}
	return digest, sig, nil
}
