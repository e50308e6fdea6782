package cms

import (
	"crypto"
	"encoding/asn1"

	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Content types (RFC 5652 §4 and §5, RFC 3161 §2.4.2).
var (
	OIDData       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	OIDSignedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	OIDTSTInfo    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
)

// Attributes of a SignerInfo. Sources: RFC 5652 §11, RFC 5035 and RFC 2634
// (ESS), RFC 6211 (algorithm protection), EN 319 122-1 (CAdES), and Adobe's
// revocation archive, which PAdES baseline signatures do not use.
var (
	OIDContentType            = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	OIDMessageDigest          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	OIDSigningTime            = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 5}
	OIDCounterSignature       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 6}
	OIDAlgorithmProtection    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 52}
	OIDContentHints           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 4}
	OIDContentIdentifier      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 7}
	OIDContentReference       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 10}
	OIDSigningCertificate     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 12}
	OIDSignatureTimeStamp     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 14}
	OIDSignaturePolicy        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 15}
	OIDCommitmentType         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 16}
	OIDSignerLocation         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 17}
	OIDSigningCertificateV2   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
	OIDContentTimeStamp       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 20}
	OIDArchiveTimeStampV2     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 48}
	OIDMimeType               = asn1.ObjectIdentifier{0, 4, 0, 1733, 2, 1}
	OIDSignaturePolicyStore   = asn1.ObjectIdentifier{0, 4, 0, 19122, 1, 3}
	OIDLongTermValidation     = asn1.ObjectIdentifier{0, 4, 0, 1733, 2, 2}
	OIDArchiveTimeStampV3     = asn1.ObjectIdentifier{0, 4, 0, 1733, 2, 4}
	OIDAdobeRevocationArchive = asn1.ObjectIdentifier{1, 2, 840, 113583, 1, 1, 8}
)

// The hash index of an archive time-stamp, an unsigned attribute of the token's
// signature: the present form (EN 319 122-1 §5.5.2) and two that were before it.
var (
	OIDHashIndexV1 = asn1.ObjectIdentifier{0, 4, 0, 1733, 2, 5}
	OIDHashIndexV2 = asn1.ObjectIdentifier{0, 4, 0, 19122, 1, 4}
	OIDHashIndexV3 = asn1.ObjectIdentifier{0, 4, 0, 19122, 1, 5}
)

// What stands in the field crls as otherRevInfo: an OCSPResponse (RFC 5940
// §2.1), or, with some, a BasicOCSPResponse under its own type.
var (
	OIDOCSPResponse      = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 16, 2}
	OIDBasicOCSPResponse = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1}
)

// What the certificate of a time-stamping unit is looked at for: the extended
// key usage (RFC 3161 §2.3) and the life of its key (RFC 3280 §4.2.1.4).
var (
	OIDExtPrivateKeyPeriod = asn1.ObjectIdentifier{2, 5, 29, 16}
	OIDExtKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 37}
	OIDEKUTimeStamping     = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}
)

// The extension of a TSTInfo by which a token says that it is a qualified electronic time-stamp, and the statement in it
// (EN 319 422 §9.1, RFC 3739 §3.2.6).
var (
	OIDExtQcStatements = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 3}
	OIDQtstStatement   = asn1.ObjectIdentifier{0, 4, 0, 19422, 1, 1}
)

var (
	oidSHA1   = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
	oidSHA224 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 4}
	oidSHA256 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidSHA384 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}
	oidSHA512 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}

	oidRSA           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidSHA1WithRSA   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 5}
	oidMGF1          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
	oidPSS           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	oidSHA256WithRSA = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
	oidSHA384WithRSA = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 12}
	oidSHA512WithRSA = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 13}
	oidSHA224WithRSA = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 14}
	oidECDSASHA1     = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1}
	oidECDSASHA224   = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 1}
	oidECDSASHA256   = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
	oidECDSASHA384   = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}
	oidECDSASHA512   = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}
)

// hashes are the digest algorithms that we can read. Whether one still counts
// is for certs.CheckHash.
var hashes = []struct {
	oid  asn1.ObjectIdentifier
	hash crypto.Hash
	der  []byte // AlgorithmIdentifier without parameters (RFC 5754 §2)
}{
	{oidSHA256, crypto.SHA256, element(casn1.SEQUENCE, oidDER(oidSHA256))},
	{oidSHA384, crypto.SHA384, element(casn1.SEQUENCE, oidDER(oidSHA384))},
	{oidSHA512, crypto.SHA512, element(casn1.SEQUENCE, oidDER(oidSHA512))},
	{oidSHA224, crypto.SHA224, element(casn1.SEQUENCE, oidDER(oidSHA224))},
	{oidSHA1, crypto.SHA1, element(casn1.SEQUENCE, oidDER(oidSHA1))},
}

// HashByOID gives the digest algorithm that an object identifier names; false
// when we do not know it.
func HashByOID(oid asn1.ObjectIdentifier) (crypto.Hash, bool) {
	for _, h := range hashes {
		if h.oid.Equal(oid) {
			return h.hash, true
		}
	}
	return 0, false
}

// OIDOfHash gives the object identifier of a digest algorithm; false when we
// do not know it.
func OIDOfHash(hash crypto.Hash) (asn1.ObjectIdentifier, bool) {
	for _, h := range hashes {
		if h.hash == hash {
			return h.oid, true
		}
	}
	return nil, false
}

// digestAlgorithmDER is the AlgorithmIdentifier of a digest algorithm; nil when
// we do not know it.
func digestAlgorithmDER(hash crypto.Hash) []byte {
	for _, h := range hashes {
		if h.hash == hash {
			return h.der
		}
	}
	return nil
}
