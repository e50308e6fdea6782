package validate

import (
	"encoding/asn1"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// curves that qualified certificates use and crypto/x509 does not know (RFC
// 5639, ANSSI).
var curves = []struct {
	oid  asn1.ObjectIdentifier
	name string
}{
	{asn1.ObjectIdentifier{1, 3, 36, 3, 3, 2, 8, 1, 1, 7}, "brainpoolP256r1"},
	{asn1.ObjectIdentifier{1, 3, 36, 3, 3, 2, 8, 1, 1, 11}, "brainpoolP384r1"},
	{asn1.ObjectIdentifier{1, 3, 36, 3, 3, 2, 8, 1, 1, 13}, "brainpoolP512r1"},
	{asn1.ObjectIdentifier{1, 2, 250, 1, 223, 101, 256, 1}, "FRP256v1"},
}

// lenient says why a certificate cannot be used that crypto/x509 refused: by
// its curve when it can be read so far, else in the words of the refusal, which
// hold nothing of the certificate's names.
func lenient(der []byte, refusal error) string {
	oid, ok := curveOf(der)
	if !ok {
		return refusal.Error()
	}
	for _, c := range curves {
		if c.oid.Equal(oid) {
			return fmt.Sprintf("its key is on the curve %s, for which nothing can be computed here", c.name)
		}
	}
	return fmt.Sprintf("its key is on the curve %v, for which nothing can be computed here", oid)
}

// curveOf reads as little of a certificate as leads to the curve of its key.
//
//	TBSCertificate ::= SEQUENCE { version [0] … OPTIONAL, serialNumber INTEGER, signature AlgorithmIdentifier,
//	  issuer Name, validity SEQUENCE, subject Name, subjectPublicKeyInfo SEQUENCE { algorithm SEQUENCE {
//	  id-ecPublicKey, namedCurve OBJECT IDENTIFIER }, … }, … }
func curveOf(der []byte) (asn1.ObjectIdentifier, bool) {
	s := cryptobyte.String(der)
	var cert, tbs, spki, alg cryptobyte.String
	if !s.ReadASN1(&cert, casn1.SEQUENCE) || !cert.ReadASN1(&tbs, casn1.SEQUENCE) ||
		!tbs.SkipOptionalASN1(casn1.Tag(0).ContextSpecific().Constructed()) || !tbs.SkipASN1(casn1.INTEGER) {
		return nil, false
	}
	for range 4 { // signature, issuer, validity, subject
		if !tbs.SkipASN1(casn1.SEQUENCE) {
			return nil, false
		}
	}
	var kind, curve asn1.ObjectIdentifier
	ok := tbs.ReadASN1(&spki, casn1.SEQUENCE) && spki.ReadASN1(&alg, casn1.SEQUENCE) && alg.ReadASN1ObjectIdentifier(&kind) &&
		kind.Equal(asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}) && alg.ReadASN1ObjectIdentifier(&curve)
	return curve, ok
}
