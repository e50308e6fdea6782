package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// rule is one row of the profiles. check answers "" or what is wrong. A rule
// about a field that may be missing is silent when it is: its absence is the
// finding of one rule only, so that one defect has one name.
type rule struct {
	id, clause string
	profiles   []Profile // nil: all
	check      func(v *view) string
}

var (
	person   = []Profile{NaturalPerson}
	cas      = []Profile{Root, IssuingCA}
	issued   = []Profile{IssuingCA, TSU, NaturalPerson}
	orgs     = []Profile{Root, IssuingCA, TSU}
	endUsers = []Profile{TSU, NaturalPerson}
)

// rules is our linter: specs/eidas.md §2.1 (natural person), §2.2
// (statements), §2.5 (CA) and §2.7 (TSU), row by row.
var rules = []rule{
	{"version", "RFC 5280 §4.1.2.1", nil, func(v *view) string {
		return unless(v.cert.Version == 3, fmt.Sprintf("version %d, not 3", v.cert.Version))
	}},
	{"serial", "RFC 5280 §4.1.2.2, EN 319 411-1 GEN-6.3.3-02A", nil, func(v *view) string {
		s := v.cert.SerialNumber
		return unless(s.Sign() > 0 && s.BitLen() >= 64 && len(s.Bytes()) <= 20, "not positive, shorter than 64 bits or longer than 20 octets")
	}},
	{"algorithm", "TS 119 312, EN 319 412-2 GEN-4.2.2-2", nil, func(v *view) string {
		want, err := signingAlgorithm(v.issuer.PublicKey)
		return unless(err == nil && want.sig == v.cert.SignatureAlgorithm, fmt.Sprintf("%v is not what the issuer's key signs with", v.cert.SignatureAlgorithm))
	}},
	{"issuer-name", "RFC 5280 §4.1.2.4", nil, func(v *view) string {
		return unless(bytes.Equal(v.cert.RawIssuer, v.issuer.RawSubject), "not the issuer's subject, byte for byte")
	}},
	{"issuer-attributes", "EN 319 412-2 GEN-4.2.3.1", issued, func(v *view) string { return organisation(v.issuerName) }},
	{"validity", "RFC 5280 §4.1.2.5", nil, validity},
	{"public-key", "TS 119 312, EN 319 412-2 GEN-4.2.5-2", nil, func(v *view) string {
		if err := CheckNewKey(v.cert.PublicKey); err != nil {
			return err.Error()
		}
		return ""
	}},
	{"sandbox", "house: nobody may take it for a real one", nil, func(v *view) string {
		for _, a := range v.subject.all(oidCommonName) {
			if !strings.Contains(a.value, SandboxMark) {
				return "the common name does not say " + SandboxMark
			}
		}
		return ""
	}},

	{"subject-country", "EN 319 412-2 NAT-4.2.4-1", nil, func(v *view) string {
		return unless(IsCountry(v.subject.one(oidCountry)), "not exactly one ISO 3166-1 country")
	}},
	{"subject-organisation", "EN 319 412-3 §4.2.1", orgs, func(v *view) string { return organisation(v.subject) }},
	{"subject-name", "EN 319 412-2 NAT-4.2.4-1", person, func(v *view) string {
		given, sur := v.subject.all(oidGivenName), v.subject.all(oidSurname)
		return unless(len(given) <= 1 && len(sur) <= 1 && len(given)+len(sur) > 0, "neither or more than one given name and surname")
	}},
	{"subject-common-name", "EN 319 412-2 NAT-4.2.4-1", person, func(v *view) string {
		return unless(len(v.subject.all(oidCommonName)) == 1, "not exactly one common name")
	}},
	{"subject-pseudonym", "EN 319 412-2 NAT-4.2.4-4", person, func(v *view) string {
		return unless(len(v.subject.all(oidPseudonym)) == 0, "a pseudonym together with a name")
	}},
	{"subject-serial", "EN 319 412-1 §5.1.3, specs/eidas.md §2.3", person, func(v *view) string {
		found := v.subject.all(oidSerialNumber)
		return unless(len(found) == 1 && opaqueSerial.MatchString(found[0].value), "not exactly one opaque serial number of 32 hexadecimal digits")
	}},
	{"subject-encoding", "RFC 5280 §4.1.2.4", nil, encoding},
	{"subject-attributes", "EN 319 412-2 §4.2.4", nil, unknownAttributes},

	{"authority-key", "EN 319 412-2 GEN-4.3.1-1", nil, func(v *view) string {
		return unless(bytes.Equal(v.cert.AuthorityKeyId, v.issuer.SubjectKeyId) && len(v.cert.AuthorityKeyId) > 0, "not the issuer's subject key identifier")
	}},
	{"subject-key", "RFC 5280 §4.2.1.2", nil, func(v *view) string {
		id, err := keyIdentifier(v.cert.RawSubjectPublicKeyInfo)
		return unless(err == nil && bytes.Equal(id, v.cert.SubjectKeyId), "not the SHA-1 of the public key")
	}},
	{"key-usage", "EN 319 412-2 NAT-4.3.2-1, RFC 5280 §4.2.1.3", nil, func(v *view) string {
		return unless(v.cert.KeyUsage == profileUsage(v.profile), "not the profile's key usage and that alone")
	}},
	{"basic-constraints", "RFC 5280 §4.2.1.9", nil, basic},
	{"extended-key-usage", "RFC 3161 §2.3", []Profile{TSU}, func(v *view) string {
		ekus := v.cert.ExtKeyUsage
		return unless(len(ekus) == 1 && ekus[0] == x509.ExtKeyUsageTimeStamping && len(v.cert.UnknownExtKeyUsage) == 0, "not timeStamping alone")
	}},
	{"qc-policy", "EN 319 412-2 GEN-4.3.3-2", person, func(v *view) string {
		var etsi []asn1.ObjectIdentifier
		for _, p := range v.cert.PolicyIdentifiers {
			if len(p) == len(oidPolicyQCPArc)+1 && p[:len(oidPolicyQCPArc)].Equal(oidPolicyQCPArc) {
				etsi = append(etsi, p)
			}
		}
		return unless(len(etsi) == 1 && etsi[0].Equal(PolicyQCPNaturalQSCD), "not exactly one policy of EN 319 411-2, QCP-n-qscd")
	}},
	{"own-policy", "specs/eidas.md §2.1", endUsers, ownPolicy},
	{"ncp-policy", "EN 319 421 TIS-8.1-01", []Profile{TSU}, func(v *view) string {
		return unless(slices.ContainsFunc(v.cert.PolicyIdentifiers, oidPolicyNCPPlus.Equal), "NCP+ is missing")
	}},
	{"any-policy", "specs/eidas.md §2.5", []Profile{IssuingCA}, func(v *view) string {
		p := v.cert.PolicyIdentifiers
		return unless(len(p) == 1 && p[0].Equal(oidPolicyAny), "not anyPolicy alone")
	}},
	{"crl-address", "EN 319 412-2 GEN-4.3.11-2", issued, func(v *view) string {
		u := v.cert.CRLDistributionPoints
		return unless(len(u) == 1 && plainHTTP(u[0]), "not exactly one http address of a CRL")
	}},
	{"issuer-address", "EN 319 412-2 GEN-4.4.1-2", issued, func(v *view) string {
		u := v.cert.IssuingCertificateURL
		return unless(len(u) == 1 && plainHTTP(u[0]), "not exactly one http address of the issuer's certificate")
	}},
	{"ocsp-address", "docs/decisions/0012: no OCSP URL without a responder", issued, func(v *view) string {
		return unless(len(v.cert.OCSPServer) == 0, "an OCSP address without an OCSP responder")
	}},
	{"critical", "RFC 5280 §4.2, EN 319 412-2", nil, criticality},
	{"unexpected-extension", "specs/eidas.md §2.1", nil, unexpected},
	{"key-period", "EN 319 421 7.6", []Profile{TSU}, func(v *view) string {
		if v.ext(oidExtKeyPeriod) == nil {
			return ""
		}
		end, ok := PrivateKeyEnd(v.cert)
		return unless(ok && end.After(v.cert.NotBefore) && end.Before(v.cert.NotAfter), "the private key does not end inside the certificate's life")
	}},

	{"qc-statements", "EN 319 412-5 §5", person, func(v *view) string {
		return unless(v.ext(oidExtQcStatements) != nil, "the extension is missing")
	}},
	{"qc-compliance", "EN 319 412-5 §4.2.1", person, func(v *view) string { return present(v, oidQcCompliance) }},
	{"qc-sscd", "EN 319 412-5 §4.2.2, EN 319 411-2 GEN-6.6.1-03", person, func(v *view) string { return present(v, oidQcSSCD) }},
	{"qc-type", "EN 319 412-5 §4.2.3", person, func(v *view) string {
		return unless(v.ext(oidExtQcStatements) == nil || onlyOID(v, oidQcType, oidQcTypeESign), "not exactly one type, esign")
	}},
	{"qc-pds", "EN 319 412-5 §4.3.4", person, disclosure},
	{"qc-ident-method", "EN 319 412-5 V2.6.1", person, func(v *view) string {
		return unless(len(v.qc(oidQcIdentMethod)) == 0 || onlyOID(v, oidQcIdentMethod, oidQcIdentNotified), "not exactly one method, a notified eID means")
	}},
	{"qc-legislation", "EN 319 412-5 §4.2.4", person, func(v *view) string {
		return unless(len(v.qc(oidQcCClegislation)) == 0, "QcCClegislation says that EU law does not apply")
	}},
	{"qc-qscd-legislation", "EN 319 412-5 V2.6.1", person, func(v *view) string {
		return unless(len(v.qc(oidQcQSCDlegislation)) == 0, "QcQSCDlegislation says that the device is not of EU law")
	}},
	{"qc-semantics", "EN 319 412-1 §5.1", person, func(v *view) string {
		return unless(len(v.qc(oidQcSemantics)) == 0, "a semantics identifier without a serial number that follows it")
	}},
	{"qc-duplicate", "EN 319 412-5 QCS-4.1-02A", person, duplicates},
	{"qc-unknown", "EN 319 412-5 §4", person, unknownStatements},
}

// opaqueSerial is our form of the subject's serial number; it cannot be
// mistaken for an ETSI scheme such as PNOBE-….
var opaqueSerial = regexp.MustCompile(`^[0-9a-f]{32}$`)

// plainHTTP: addresses in certificates are http, not https, so that reading
// them never needs the certificates they are about (EN 319 412-2 GEN-4.4.1-4).
func plainHTTP(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "http" && u.Host != "" && u.User == nil
}

func validity(v *view) string {
	from, to := v.cert.NotBefore, v.cert.NotAfter
	switch {
	case !from.Before(to):
		return "it ends before it begins"
	case from.Before(v.issuer.NotBefore) || to.After(v.issuer.NotAfter):
		return "outside the issuer's life"
	case v.profile == NaturalPerson && to.After(from.AddDate(3, 0, 0)):
		return "longer than three years"
	}
	return ""
}
