package certs

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// readAlgorithm reads the DER AlgorithmIdentifier of others' answers and lists:
// as algorithmOf, and RSASSA-PSS with its parameters, and RSA without the NULL
// that RFC 4055 §5 wants. What the table does not have is
// x509.UnknownSignatureAlgorithm.
func readAlgorithm(der []byte) x509.SignatureAlgorithm {
	if sig := algorithmOf(der); sig != x509.UnknownSignatureAlgorithm {
		return sig
	}
	s := cryptobyte.String(der)
	var body cryptobyte.String
	var oid asn1.ObjectIdentifier
	if !s.ReadASN1(&body, cbasn1.SEQUENCE) || !s.Empty() || !body.ReadASN1ObjectIdentifier(&oid) {
		return x509.UnknownSignatureAlgorithm
	}
	if oid.Equal(oidRSASSAPSS) {
		return pssAlgorithm(body)
	}
	for _, a := range algorithms {
		if a.oid != nil && familyOf(a.sig) == "RSA" && a.oid.Equal(oid) && body.Empty() {
			return a.sig
		}
	}
	return x509.UnknownSignatureAlgorithm
}

// pssAlgorithm reads RSASSA-PSS-params (RFC 4055 §3.1) with one hash for both
// places and a salt of its length, as crypto/x509 wants them in certificates.
//
//	RSASSA-PSS-params ::= SEQUENCE { hashAlgorithm [0] HashAlgorithm DEFAULT sha1,
//	  maskGenAlgorithm [1] MaskGenAlgorithm DEFAULT mgf1SHA1, saltLength [2]
//	  INTEGER DEFAULT 20, trailerField [3] INTEGER DEFAULT 1 }
func pssAlgorithm(s cryptobyte.String) x509.SignatureAlgorithm {
	explicit := func(n uint8) cbasn1.Tag { return cbasn1.Tag(n).ContextSpecific().Constructed() }
	var params, hash, mask, maskAlg, salt, trailer cryptobyte.String
	var mgf asn1.ObjectIdentifier
	var length, one int
	var has bool
	if !s.ReadASN1(&params, cbasn1.SEQUENCE) || !s.Empty() || !params.ReadASN1(&hash, explicit(0)) || !params.ReadASN1(&mask, explicit(1)) ||
		!params.ReadASN1(&salt, explicit(2)) || !params.ReadOptionalASN1(&trailer, &has, explicit(3)) || !params.Empty() ||
		has && (!trailer.ReadASN1Integer(&one) || one != 1 || !trailer.Empty()) ||
		!salt.ReadASN1Integer(&length) || !salt.Empty() ||
		!mask.ReadASN1(&maskAlg, cbasn1.SEQUENCE) || !mask.Empty() || !maskAlg.ReadASN1ObjectIdentifier(&mgf) || !mgf.Equal(oidMGF1) {
		return x509.UnknownSignatureAlgorithm
	}
	h := digestOf(hash)
	if h == 0 || digestOf(maskAlg) != h || length != h.Size() {
		return x509.UnknownSignatureAlgorithm
	}
	return map[crypto.Hash]x509.SignatureAlgorithm{
		crypto.SHA256: x509.SHA256WithRSAPSS, crypto.SHA384: x509.SHA384WithRSAPSS, crypto.SHA512: x509.SHA512WithRSAPSS,
	}[h]
}

// digestOf reads a digest's AlgorithmIdentifier, whose NULL may be left out; 0
// is one that we do not know.
func digestOf(s cryptobyte.String) crypto.Hash {
	var body, null cryptobyte.String
	var oid asn1.ObjectIdentifier
	var has bool
	if !s.ReadASN1(&body, cbasn1.SEQUENCE) || !s.Empty() || !body.ReadASN1ObjectIdentifier(&oid) ||
		!body.ReadOptionalASN1(&null, &has, cbasn1.NULL) || len(null) > 0 || !body.Empty() {
		return 0
	}
	for _, h := range ocspHashes {
		if h.oid.Equal(oid) {
			return h.hash
		}
	}
	return 0
}
