package validate

import (
	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"tekend/cms"
)

// adobeArchive reads Adobe's signed attribute for revocation data, which PAdES
// baseline forbids and older signatures have. What does not follow it is passed
// over: it is data to look at and proves nothing by itself.
//
//	RevocationInfoArchival ::= SEQUENCE { crl [0] EXPLICIT SEQUENCE OF CertificateList OPTIONAL,
//	  ocsp [1] EXPLICIT SEQUENCE OF OCSPResponse OPTIONAL, otherRevInfo [2] … OPTIONAL }
func adobeArchive(si *cms.SignerInfo) (ocsps, crls [][]byte) {
	for _, v := range si.Values(cms.OIDAdobeRevocationArchive) {
		s := cryptobyte.String(v)
		var body cryptobyte.String
		if !s.ReadASN1(&body, casn1.SEQUENCE) {
			continue
		}
		for n, to := range []*[][]byte{&crls, &ocsps} {
			var explicit, list cryptobyte.String
			var has bool
			if !body.ReadOptionalASN1(&explicit, &has, casn1.Tag(n).ContextSpecific().Constructed()) || !has || !explicit.ReadASN1(&list, casn1.SEQUENCE) {
				continue
			}
			for !list.Empty() {
				var one cryptobyte.String
				if !list.ReadASN1Element(&one, casn1.SEQUENCE) {
					break
				}
				*to = append(*to, one)
			}
		}
	}
	return ocsps, crls
}
