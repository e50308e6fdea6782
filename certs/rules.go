package certs

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

func unless(ok bool, detail string) string {
	if ok {
		return ""
	}
	return detail
}

// organisation: C, O, organizationIdentifier and CN stand exactly once in the
// name of a legal person (EN 319 412-3 §4.2.1).
func organisation(n name) string {
	for what, oid := range map[string]asn1.ObjectIdentifier{"country": oidCountry, "organisation": oidOrganisation, "organizationIdentifier": oidOrganisationID, "common name": oidCommonName} {
		if len(n.all(oid)) != 1 {
			return "not exactly one " + what
		}
	}
	return ""
}

// profileUsage is the key usage of each profile, all of it.
func profileUsage(p Profile) x509.KeyUsage {
	switch p {
	case NaturalPerson:
		return x509.KeyUsageContentCommitment // type A of EN 319 412-2 §4.3.2
	case TSU:
		return x509.KeyUsageDigitalSignature
	}
	return x509.KeyUsageCertSign | x509.KeyUsageCRLSign
}

func basic(v *view) string {
	c := v.cert
	switch v.profile {
	case Root:
		return unless(c.BasicConstraintsValid && c.IsCA && c.MaxPathLen == -1, "not a CA without a path length")
	case IssuingCA:
		return unless(c.BasicConstraintsValid && c.IsCA && c.MaxPathLen == 0 && c.MaxPathLenZero, "not a CA with path length 0")
	}
	return unless(!c.BasicConstraintsValid && !c.IsCA, "stands in a certificate that is not a CA's")
}

// nameAttributes are the attributes of our names, each with its string type.
var nameAttributes = []attribute{
	{oidCountry, asn1.TagPrintableString, ""}, {oidSerialNumber, asn1.TagPrintableString, ""},
	{oidOrganisation, asn1.TagUTF8String, ""}, {oidOrganisationID, asn1.TagUTF8String, ""},
	{oidSurname, asn1.TagUTF8String, ""}, {oidGivenName, asn1.TagUTF8String, ""}, {oidCommonName, asn1.TagUTF8String, ""},
	{oidPseudonym, asn1.TagUTF8String, ""},
}

func encoding(v *view) string {
	for _, a := range v.subject {
		for _, known := range nameAttributes {
			if known.oid.Equal(a.oid) && known.tag != a.tag {
				return fmt.Sprintf("attribute %v has string type %d", a.oid, a.tag)
			}
		}
		if a.value == "" {
			return fmt.Sprintf("attribute %v is empty", a.oid)
		}
	}
	return ""
}

func unknownAttributes(v *view) string {
	for _, a := range v.subject {
		known := slices.ContainsFunc(nameAttributes, func(k attribute) bool { return k.oid.Equal(a.oid) })
		inPerson := v.profile == NaturalPerson && (a.oid.Equal(oidOrganisation) || a.oid.Equal(oidOrganisationID))
		if !known || inPerson {
			return fmt.Sprintf("attribute %v is not in the profile", a.oid)
		}
	}
	return ""
}

// profileExtensions says for each profile which extensions it has and whether
// they are critical; an extension that is not here is not expected.
func profileExtensions(p Profile) []extension {
	list := []extension{{oidExtAKI, false, nil}, {oidExtSKI, false, nil}, {oidExtKeyUsage, true, nil}}
	if p.isCA() {
		list = append(list, extension{oidExtBasic, true, nil})
	}
	if p != Root {
		for _, oid := range []asn1.ObjectIdentifier{oidExtPolicies, oidExtCRLDP, oidExtAIA} {
			list = append(list, extension{oid, false, nil})
		}
	}
	switch p {
	case TSU:
		list = append(list, extension{oidExtEKU, true, nil}, extension{oidExtKeyPeriod, false, nil})
	case NaturalPerson:
		list = append(list, extension{oidExtQcStatements, false, nil})
	}
	return list
}

func criticality(v *view) string {
	for _, want := range profileExtensions(v.profile) {
		if e := v.ext(want.oid); e != nil && e.critical != want.critical {
			return fmt.Sprintf("extension %v: critical is %v", e.oid, e.critical)
		}
	}
	return ""
}

func unexpected(v *view) string {
	expected := profileExtensions(v.profile)
	for _, e := range v.extensions {
		basicInEnd := e.oid.Equal(oidExtBasic) // has a rule of its own
		if !basicInEnd && !slices.ContainsFunc(expected, func(x extension) bool { return x.oid.Equal(e.oid) }) {
			return fmt.Sprintf("extension %v is not in the profile", e.oid)
		}
	}
	return ""
}

// ownPolicy: our test policy with a CPS qualifier, and no other policy than
// those of the profile.
func ownPolicy(v *view) string {
	own, other := PolicyTestPerson, PolicyQCPNaturalQSCD
	if v.profile == TSU {
		own, other = PolicyTestTSU, oidPolicyNCPPlus
	}
	if v.ext(oidExtPolicies) == nil {
		return "" // the rules for the other policy say so
	}
	found, err := parsePolicies(v.ext(oidExtPolicies).value)
	if err != nil {
		return err.Error()
	}
	has := false
	for _, p := range found {
		switch {
		case p.oid.Equal(own):
			has = strings.HasPrefix(p.cps, "http://") || strings.HasPrefix(p.cps, "https://")
		case !p.oid.Equal(other) && !(len(p.oid) > 5 && p.oid[:5].Equal(oidPolicyQCPArc)):
			return fmt.Sprintf("policy %v is not in the profile", p.oid)
		}
	}
	return unless(has, "our own policy with the address of the CPS is missing")
}

// parsePolicies reads certificatePolicies; only the CPS qualifier is kept.
func parsePolicies(der []byte) ([]policy, error) {
	outer := cryptobyte.String(der)
	var list cryptobyte.String
	if !outer.ReadASN1(&list, cbasn1.SEQUENCE) || !outer.Empty() {
		return nil, fmt.Errorf("certificatePolicies cannot be read")
	}
	var found []policy
	for !list.Empty() {
		var one, qualifiers cryptobyte.String
		var p policy
		var has bool
		if !list.ReadASN1(&one, cbasn1.SEQUENCE) || !one.ReadASN1ObjectIdentifier(&p.oid) ||
			!one.ReadOptionalASN1(&qualifiers, &has, cbasn1.SEQUENCE) || !one.Empty() {
			return nil, fmt.Errorf("certificatePolicies cannot be read")
		}
		for has && !qualifiers.Empty() {
			var q, text cryptobyte.String
			var id asn1.ObjectIdentifier
			if !qualifiers.ReadASN1(&q, cbasn1.SEQUENCE) || !q.ReadASN1ObjectIdentifier(&id) {
				return nil, fmt.Errorf("certificatePolicies cannot be read")
			}
			if id.Equal(oidPolicyCPS) && q.ReadASN1(&text, cbasn1.IA5String) {
				p.cps = string(text)
			}
		}
		found = append(found, p)
	}
	return found, nil
}

func present(v *view, oid asn1.ObjectIdentifier) string {
	found := v.qc(oid)
	if v.ext(oidExtQcStatements) == nil {
		return "" // one defect has one name
	}
	return unless(len(found) > 0 && found[0].info == nil, "the statement is missing or has a value")
}

// onlyOID tells whether a statement is there and its value is exactly one
// object identifier, want.
func onlyOID(v *view, statementID, want asn1.ObjectIdentifier) bool {
	found := v.qc(statementID)
	if len(found) == 0 {
		return false
	}
	oids, err := readOIDs(found[0].info)
	return err == nil && len(oids) == 1 && oids[0].Equal(want)
}

func disclosure(v *view) string {
	if v.ext(oidExtQcStatements) == nil {
		return ""
	}
	found := v.qc(oidQcPDS)
	if len(found) == 0 {
		return "the statement is missing"
	}
	list, err := readPDS(found[0].info)
	if err != nil {
		return err.Error()
	}
	english := false
	for _, p := range list {
		if !strings.HasPrefix(p.URL, "https://") {
			return "an address is not https"
		}
		if len(p.Language) != 2 || strings.ToLower(p.Language) != p.Language {
			return "a language is not two lower-case letters"
		}
		english = english || p.Language == "en"
	}
	return unless(english, "there is no statement in English")
}

func duplicates(v *view) string {
	for i, s := range v.statements {
		for _, t := range v.statements[:i] {
			if s.id.Equal(t.id) {
				return fmt.Sprintf("statement %v stands twice", s.id)
			}
		}
	}
	return ""
}

func unknownStatements(v *view) string {
	known := []asn1.ObjectIdentifier{oidQcCompliance, oidQcSSCD, oidQcType, oidQcPDS, oidQcIdentMethod, oidQcCClegislation, oidQcQSCDlegislation, oidQcSemantics}
	for _, s := range v.statements {
		if !slices.ContainsFunc(known, s.id.Equal) {
			return fmt.Sprintf("statement %v is not in the profile", s.id)
		}
	}
	return ""
}

// PrivateKeyEnd gives the end of a certificate's privateKeyUsagePeriod (RFC
// 3280 §4.2.1.4); a time-stamping unit stamps no more after it. It reports
// false when the certificate states none.
func PrivateKeyEnd(cert *x509.Certificate) (time.Time, bool) {
	for _, e := range cert.Extensions {
		if !e.Id.Equal(oidExtKeyPeriod) {
			continue
		}
		outer := cryptobyte.String(e.Value)
		var seq, from, to cryptobyte.String
		var hasFrom, hasTo bool
		if !outer.ReadASN1(&seq, cbasn1.SEQUENCE) ||
			!seq.ReadOptionalASN1(&from, &hasFrom, cbasn1.Tag(0).ContextSpecific()) ||
			!seq.ReadOptionalASN1(&to, &hasTo, cbasn1.Tag(1).ContextSpecific()) || !hasTo {
			return time.Time{}, false
		}
		t, err := time.Parse("20060102150405Z", string(to))
		return t, err == nil
	}
	return time.Time{}, false
}
