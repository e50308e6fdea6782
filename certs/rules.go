package certs

import (
	"bytes"
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

// byTable judges a certificate by the table of profiles: what is missing, what
// differs from a value that never varies, what is critical against the table,
// and what is not in it.
func (v *view) byTable() []Finding {
	var found []Finding
	for _, r := range table {
		c, has := r.in[v.profile]
		if !has {
			continue
		}
		e := v.ext(r.oid)
		switch {
		case e == nil && c.when == nil:
			found = append(found, Finding{r.rule, r.clause, "the extension is missing"})
		case e == nil:
		case e.critical != r.critical:
			found = append(found, Finding{"critical", r.clause, fmt.Sprintf("extension %v: critical is %v", e.oid, e.critical)})
		case c.fixed && !bytes.Equal(e.value, written(c.write)):
			found = append(found, Finding{r.rule, r.clause, "not the value of the profile"})
		}
	}
	for _, e := range v.extensions {
		in := func(r row) bool { _, has := r.in[v.profile]; return has && r.oid.Equal(e.oid) }
		if !slices.ContainsFunc(table, in) {
			found = append(found, Finding{"unexpected-extension", "specs/eidas.md §2.1", fmt.Sprintf("extension %v is not in the profile", e.oid)})
		}
	}
	return append(found, v.statementsByTable()...)
}

// statementsByTable: each statement that is always there is there, and says
// what never varies. The list of disclosure statements has a rule of its own.
func (v *view) statementsByTable() []Finding {
	if !profiles[v.profile].person || v.ext(oidExtQcStatements) == nil {
		return nil // one defect has one name
	}
	var found []Finding
	for _, r := range statementTable {
		stated := v.qc(r.oid)
		switch {
		case len(stated) == 0 && r.when == nil:
			found = append(found, Finding{r.rule, r.clause, "the statement is missing"})
		case len(stated) == 0 || r.oid.Equal(oidQcPDS):
		case !bytes.Equal(stated[0].info, infoOf(r)):
			found = append(found, Finding{r.rule, r.clause, "not what the profile says"})
		}
	}
	return found
}

// infoOf gives a statement's fixed info.
func infoOf(r statementRow) []byte {
	info := r.info(&form{})
	if info == nil {
		return nil
	}
	return written(func(b *cryptobyte.Builder, _ *form) { info(b) })
}

// written gives the DER of a value that does not depend on the order. A value
// that could not be encoded would be nil, and so like no extension.
func written(write func(b *cryptobyte.Builder, f *form)) []byte {
	var b cryptobyte.Builder
	write(&b, &form{})
	der, err := b.Bytes()
	if err != nil {
		return nil
	}
	return der
}

// marked tells whether a name says that it belongs to a sandbox.
func marked(n name) bool {
	return slices.ContainsFunc(n.all(oidCommonName), func(a attribute) bool { return strings.Contains(a.value, SandboxMark) })
}

// real tells whether the certificate is to count outside a sandbox: as ordered,
// else as its issuer's name says (a root's is its own).
func (v *view) real() bool {
	if v.order != nil {
		return v.order.Real
	}
	return !marked(v.issuerName)
}

func sandbox(v *view) string {
	for _, a := range v.subject.all(oidCommonName) {
		if strings.Contains(a.value, SandboxMark) == v.real() {
			return "the common name says " + SandboxMark + " in a real certificate, or does not in another"
		}
	}
	return ""
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
		inPerson := profiles[v.profile].person && (a.oid.Equal(oidOrganisation) || a.oid.Equal(oidOrganisationID))
		if !known || inPerson {
			return fmt.Sprintf("attribute %v is not in the profile", a.oid)
		}
	}
	return ""
}

// ownPolicy: one policy of the issuer with a CPS qualifier, and no other policy
// than those of the profile.
func ownPolicy(v *view) string {
	if v.ext(oidExtPolicies) == nil {
		return ""
	}
	found, err := parsePolicies(v.ext(oidExtPolicies).value)
	if err != nil {
		return err.Error()
	}
	own := 0
	for _, p := range found {
		switch {
		case below(p.oid, oidPolicyQCPArc) || slices.ContainsFunc(profiles[v.profile].standard, p.oid.Equal):
			continue // has rules of its own
		case v.order != nil && !p.oid.Equal(v.order.policy()):
			return fmt.Sprintf("policy %v was not ordered", p.oid)
		case !strings.HasPrefix(p.cps, "http://") && !strings.HasPrefix(p.cps, "https://"):
			return "our own policy has no address of the CPS"
		}
		own++
	}
	return unless(own == 1, "not exactly one policy of our own")
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
		return ""
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
	known := []asn1.ObjectIdentifier{oidQcCClegislation, oidQcQSCDlegislation} // have rules of their own
	for _, r := range statementTable {
		known = append(known, r.oid)
	}
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
