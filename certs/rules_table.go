package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"time"
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
	person   = []Profile{NaturalPerson, OneTime}
	issued   = []Profile{IssuingCA, TSU, Responder, NaturalPerson, OneTime}
	orgs     = []Profile{Root, IssuingCA, TSU, Responder}
	endUsers = []Profile{TSU, NaturalPerson, OneTime}
	listed   = []Profile{IssuingCA, TSU, NaturalPerson}
)

// rules is our linter beyond what follows from the table of profiles
// (view.byTable): fields, values that differ from certificate to certificate,
// and statements. specs/eidas.md §2.1 to §2.7, row by row.
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
	{"algorithm-end", "TS 119 312; specs/eidas.md §2.8", person, algorithmEnd},
	{"sandbox", "house: nobody may take a certificate of the sandbox for a real one", nil, sandbox},
	{"sandbox-issuer", "house: a sandbox and a real service share no CA", issued, func(v *view) string {
		return unless(v.real() != marked(v.issuerName), "a real certificate below a sandbox's CA, or the other way round")
	}},
	{"test-policy", "house: our test arc means nothing outside a sandbox", endUsers, func(v *view) string {
		test := slices.ContainsFunc(v.cert.PolicyIdentifiers, func(p asn1.ObjectIdentifier) bool { return below(p, oidTestArc) })
		return unless(!v.real() || !test, "a policy of the test arc in a real certificate")
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
		return unless(len(found) == 1 && (opaqueSerial.MatchString(found[0].value) || followsScheme(found[0].value)),
			"not exactly one serial number, opaque (32 hexadecimal digits) or of an ETSI scheme")
	}},
	{"subject-encoding", "RFC 5280 §4.1.2.4", nil, encoding},
	{"subject-attributes", "EN 319 412-2 §4.2.4", nil, unknownAttributes},

	{"authority-key", "EN 319 412-2 GEN-4.3.1-1", nil, func(v *view) string {
		return unless(v.ext(oidExtAKI) == nil || bytes.Equal(v.cert.AuthorityKeyId, v.issuer.SubjectKeyId) && len(v.cert.AuthorityKeyId) > 0, "not the issuer's subject key identifier")
	}},
	{"subject-key", "RFC 5280 §4.2.1.2", nil, func(v *view) string {
		id, err := keyIdentifier(v.cert.RawSubjectPublicKeyInfo)
		return unless(v.ext(oidExtSKI) == nil || err == nil && bytes.Equal(id, v.cert.SubjectKeyId), "not the SHA-1 of the public key")
	}},
	{"qc-policy", "EN 319 412-2 GEN-4.3.3-2", person, func(v *view) string {
		var etsi []asn1.ObjectIdentifier
		for _, p := range v.cert.PolicyIdentifiers {
			if below(p, oidPolicyQCPArc) {
				etsi = append(etsi, p)
			}
		}
		return unless(v.ext(oidExtPolicies) == nil || len(etsi) == 1 && etsi[0].Equal(PolicyQCPNaturalQSCD), "not exactly one policy of EN 319 411-2, QCP-n-qscd")
	}},
	{"own-policy", "specs/eidas.md §2.1", endUsers, ownPolicy},
	{"ncp-policy", "EN 319 421 TIS-8.1-01", []Profile{TSU}, func(v *view) string {
		return unless(v.ext(oidExtPolicies) == nil || slices.ContainsFunc(v.cert.PolicyIdentifiers, oidPolicyNCPPlus.Equal), "NCP+ is missing")
	}},
	{"crl-address", "EN 319 412-2 GEN-4.3.11-2", listed, func(v *view) string {
		u := v.cert.CRLDistributionPoints
		return unless(v.ext(oidExtCRLDP) == nil || len(u) == 1 && plainHTTP(u[0]), "not exactly one http address of a CRL")
	}},
	{"issuer-address", "EN 319 412-2 GEN-4.4.1-2", issued, func(v *view) string {
		u := v.cert.IssuingCertificateURL
		return unless(v.ext(oidExtAIA) == nil || len(u) == 1 && plainHTTP(u[0]), "not exactly one http address of the issuer's certificate")
	}},
	{"ocsp-address", "EN 319 412-2 GEN-4.4.1-3, -4; specs/eidas.md §2.4, §2.6", issued, func(v *view) string {
		u := v.cert.OCSPServer
		if v.profile == NaturalPerson {
			return unless(v.ext(oidExtAIA) == nil || len(u) == 1 && plainHTTP(u[0]), "not exactly one http address of an OCSP responder")
		}
		return unless(len(u) == 0, "an OCSP address where no responder answers")
	}},
	{"key-period", "EN 319 421 7.6", []Profile{TSU}, func(v *view) string {
		if v.ext(oidExtKeyPeriod) == nil {
			return ""
		}
		end, ok := PrivateKeyEnd(v.cert)
		return unless(ok && end.After(v.cert.NotBefore) && end.Before(v.cert.NotAfter), "the private key does not end inside the certificate's life")
	}},

	{"qc-pds", "EN 319 412-5 §4.3.4", person, disclosure},
	{"qc-semantics", "EN 319 412-1 §5.1", person, func(v *view) string {
		stated := len(v.qc(oidQcSemantics)) > 0
		return unless(stated == followsScheme(v.subject.one(oidSerialNumber)), "the semantics identifier and a serial number of an ETSI scheme go together")
	}},
	{"qc-legislation", "EN 319 412-5 §4.2.4", person, func(v *view) string {
		return unless(len(v.qc(oidQcCClegislation)) == 0, "QcCClegislation says that EU law does not apply")
	}},
	{"qc-qscd-legislation", "EN 319 412-5 V2.6.1", person, func(v *view) string {
		return unless(len(v.qc(oidQcQSCDlegislation)) == 0, "QcQSCDlegislation says that the device is not of EU law")
	}},
	{"qc-duplicate", "EN 319 412-5 QCS-4.1-02A", person, duplicates},
	{"qc-unknown", "EN 319 412-5 §4", person, unknownStatements},
}

// opaqueSerial is our own form of the subject's serial number; it cannot be
// mistaken for an ETSI scheme such as PNOBE-….
var opaqueSerial = regexp.MustCompile(`^[0-9a-f]{32}$`)

// plainHTTP: addresses in certificates are http, not https, so that reading
// them never needs the certificates they are about (EN 319 412-2 GEN-4.4.1-4).
func plainHTTP(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "http" && u.Host != "" && u.User == nil
}

// algorithmEnd: the certificate does not outlive the algorithm of its key, where
// the order tells it, nor that of its issuer.
func algorithmEnd(v *view) string {
	if v.order == nil || v.order.Signs == x509.UnknownSignatureAlgorithm {
		return ""
	}
	last, err := LastNotAfter(v.order.Signs, v.cert.PublicKey, v.issuer, v.cert.NotAfter)
	if err != nil {
		return err.Error()
	}
	return unless(!v.cert.NotAfter.After(last), fmt.Sprintf("it outlives %v or the algorithm of its issuer, which end on %s", v.order.Signs, last.Add(time.Second).Format(time.DateOnly)))
}

func validity(v *view) string {
	from, to := v.cert.NotBefore, v.cert.NotAfter
	switch {
	case !from.Before(to):
		return "it ends before it begins"
	case from.Before(v.issuer.NotBefore) || to.After(v.issuer.NotAfter):
		return "outside the issuer's life"
	case profiles[v.profile].longest > 0 && to.Sub(from) > profiles[v.profile].longest:
		return fmt.Sprintf("longer than %v", profiles[v.profile].longest)
	}
	return ""
}
