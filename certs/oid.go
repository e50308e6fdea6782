package certs

import (
	"encoding/asn1"
	"fmt"
	"strconv"
	"strings"
)

// Object identifiers of X.509 and of the ETSI certificate profiles. They stand
// here alone; those of CMS stand in cms/oid.go.
//
// Our own policies live below 2.25.95041516. The arc 2.25 is for UUIDs; ours
// is the low 28 bits of the UUID 8ff16569-9fb4-42ab-ad5e-a75125aa37ec, because
// larger numbers are refused by parsers that others use (measured: zcrypto and
// encoding/asn1 stop at 31 bits per arc, pkilint at 28). It is a TEST arc: no
// certificate below it means anything outside a sandbox.
var (
	// PolicyTestPerson is our test policy for certificates of natural persons.
	PolicyTestPerson = asn1.ObjectIdentifier{2, 25, 95041516, 1, 1}
	// PolicyTestTSU is our test policy for the certificate of a time-stamping unit.
	PolicyTestTSU = asn1.ObjectIdentifier{2, 25, 95041516, 1, 2}
	// PolicyTestTimeStamp is our test policy for time-stamp tokens (RFC 3161 TSAPolicyId).
	PolicyTestTimeStamp = asn1.ObjectIdentifier{2, 25, 95041516, 2, 1}
	// PolicyQCPNaturalQSCD is QCP-n-qscd (EN 319 411-2): qualified certificate
	// of a natural person, key in a qualified device.
	PolicyQCPNaturalQSCD = asn1.ObjectIdentifier{0, 4, 0, 194112, 1, 2}

	oidTestArc       = asn1.ObjectIdentifier{2, 25, 95041516}
	oidPolicyQCPArc  = asn1.ObjectIdentifier{0, 4, 0, 194112, 1}
	oidPolicyNCPPlus = asn1.ObjectIdentifier{0, 4, 0, 2042, 1, 2}
	oidPolicyAny     = asn1.ObjectIdentifier{2, 5, 29, 32, 0}
	oidPolicyCPS     = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 2, 1}
)

// Attributes of names (X.520; organizationIdentifier: X.520 2012, EN 319 412-1).
var (
	oidCommonName     = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidSurname        = asn1.ObjectIdentifier{2, 5, 4, 4}
	oidSerialNumber   = asn1.ObjectIdentifier{2, 5, 4, 5}
	oidCountry        = asn1.ObjectIdentifier{2, 5, 4, 6}
	oidOrganisation   = asn1.ObjectIdentifier{2, 5, 4, 10}
	oidGivenName      = asn1.ObjectIdentifier{2, 5, 4, 42}
	oidPseudonym      = asn1.ObjectIdentifier{2, 5, 4, 65}
	oidOrganisationID = asn1.ObjectIdentifier{2, 5, 4, 97}
)

// Certificate extensions (RFC 5280 §4.2, RFC 3739, RFC 9608, EN 319 412-1).
var (
	oidExtSKI             = asn1.ObjectIdentifier{2, 5, 29, 14}
	oidExtKeyUsage        = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidExtKeyPeriod       = asn1.ObjectIdentifier{2, 5, 29, 16}
	oidExtSAN             = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidExtBasic           = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidExtCRLDP           = asn1.ObjectIdentifier{2, 5, 29, 31}
	oidExtPolicies        = asn1.ObjectIdentifier{2, 5, 29, 32}
	oidExtAKI             = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidExtEKU             = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidExtInhibitAny      = asn1.ObjectIdentifier{2, 5, 29, 54}
	oidExtNoRevAvail      = asn1.ObjectIdentifier{2, 5, 29, 56}
	oidExtOCSPNoCheck     = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}
	oidExtAIA             = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 1}
	oidExtQcStatements    = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 3}
	oidExtValidityAssured = asn1.ObjectIdentifier{0, 4, 0, 194121, 2, 1}

	oidAccessCAIssuers = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 2}
	oidAccessOCSP      = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1}
)

// Extensions of CRLs and of their entries (RFC 5280 §5.2, §5.3; X.509
// expiredCertsOnCRL).
var (
	oidExtCRLNumber    = asn1.ObjectIdentifier{2, 5, 29, 20}
	oidExtReason       = asn1.ObjectIdentifier{2, 5, 29, 21}
	oidExtInvalidity   = asn1.ObjectIdentifier{2, 5, 29, 24}
	oidExtDeltaCRL     = asn1.ObjectIdentifier{2, 5, 29, 27}
	oidExtIssuingPoint = asn1.ObjectIdentifier{2, 5, 29, 28}
	oidExtCertIssuer   = asn1.ObjectIdentifier{2, 5, 29, 29}
	oidExtExpiredCerts = asn1.ObjectIdentifier{2, 5, 29, 60}
)

// OCSP (RFC 6960 §4.2.1, §4.4; RFC 9654).
var (
	oidOCSPBasic         = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1}
	oidOCSPNonce         = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 2}
	oidOCSPArchiveCutoff = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 6}
	oidOCSPCertHash      = asn1.ObjectIdentifier{1, 3, 36, 8, 3, 13} // Common PKI part 4 §3.1.2
)

// RSASSA-PSS and its mask generation function (RFC 4055 §2.2, §3.1).
var (
	oidRSASSAPSS = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	oidMGF1      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
)

// Digest algorithms, as they stand in an OCSP CertID (RFC 3370, RFC 5754).
var (
	oidSHA1   = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
	oidSHA256 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidSHA384 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}
	oidSHA512 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}
)

// Extended key usages (RFC 5280, RFC 9336 and Microsoft's document signing).
var (
	oidEKUAny             = asn1.ObjectIdentifier{2, 5, 29, 37, 0}
	oidEKUTimeStamping    = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}
	oidEKUOCSPSigning     = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 9}
	oidEKUClientAuth      = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 2}
	oidEKUEmail           = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 4}
	oidEKUDocumentSigning = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 36}
	oidEKUMSDocument      = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 10, 3, 12}
)

// Statements of qualified certificates (EN 319 412-5, EN 319 412-1 §5.1).
var (
	oidSemanticsNatural  = asn1.ObjectIdentifier{0, 4, 0, 194121, 1, 1}
	oidQcSemantics       = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 11, 2}
	oidQcCompliance      = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 1}
	oidQcSSCD            = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 4}
	oidQcPDS             = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 5}
	oidQcType            = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 6}
	oidQcTypeESign       = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 6, 1}
	oidQcCClegislation   = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 7}
	oidQcIdentMethod     = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 8}
	oidQcIdentNotified   = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 8, 3}
	oidQcQSCDlegislation = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 9}
)

// Signature algorithms as they stand in certificates (RFC 5758, RFC 8017).
var (
	oidECDSAWithSHA256 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
	oidECDSAWithSHA384 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}
	oidECDSAWithSHA512 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}
	oidSHA384WithRSA   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 12}
	oidSHA512WithRSA   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 13}
	oidSHA256WithRSA   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
)

// ParseOID reads an object identifier as configurations write it: numbers and dots, at least three of them.
func ParseOID(text string) (asn1.ObjectIdentifier, error) {
	var oid asn1.ObjectIdentifier
	for part := range strings.SplitSeq(text, ".") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 || strconv.Itoa(n) != part {
			return nil, fmt.Errorf("%q is not a dotted object identifier", text)
		}
		oid = append(oid, n)
	}
	if len(oid) < 3 || oid[0] > 2 || oid[0] < 2 && oid[1] > 39 {
		return nil, fmt.Errorf("%q is not a dotted object identifier", text)
	}
	return oid, nil
}

// IsTestPolicy tells whether an identifier is of the arc of our test policies, which mean nothing outside a sandbox.
func IsTestPolicy(oid asn1.ObjectIdentifier) bool { return below(oid, oidTestArc) }
