package certs

import (
	"crypto/rand"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// SandboxMark stands in the common name of every certificate that is not real
// (Order.Real), so that nobody takes one for a qualified certificate.
const SandboxMark = "SANDBOX"

// maxName bounds a name, in bytes: EN 319 412-2 NAT-4.2.4-18 lifts the 64
// characters of X.520 for people's names, and 400 bytes are longer than any
// name in an official document that we know of.
const maxName = 400

// Subject is a distinguished name; members left empty are not in it.
type Subject struct {
	Country        string // ISO 3166-1 alpha-2
	Organisation   string
	OrganisationID string // EN 319 412-1 §5.1.4, e.g. NTRBE-0123456789
	Surname        string
	GivenName      string
	SerialNumber   string
	CommonName     string
}

// Person is the subject of a certificate of a natural person. GivenName may be
// empty (some people have one name only), Surname too, but not both.
type Person struct{ CommonName, GivenName, Surname, Country, SerialNumber string }

// Subject gives the distinguished name of the person.
func (p Person) Subject() Subject {
	return Subject{Country: p.Country, Surname: p.Surname, GivenName: p.GivenName, SerialNumber: p.SerialNumber, CommonName: p.CommonName}
}

// NewPerson builds a person of the sandbox from the claims that an identity
// provider signed: the whole name as usually shown (may be empty: then given
// name and surname), given name, surname, and the alpha-3 or alpha-2 code of the
// issuing country. Names are normalised to NFC, spaces around them are removed,
// and otherwise they are left as they are: nothing is transliterated or cut. The
// common name gets the mark "(SANDBOX)" and the serial number is random, so that
// it says nothing about the person.
func NewPerson(name, given, surname, country string) (Person, error) {
	p, err := NewRealPerson(name, given, surname, country)
	if err != nil {
		return Person{}, err
	}
	p.CommonName += " (" + SandboxMark + ")"
	return p, p.check()
}

// NewRealPerson is NewPerson without the mark, for certificates that are to
// count outside a sandbox (Order.Real).
func NewRealPerson(name, given, surname, country string) (Person, error) {
	name, given, surname = strings.TrimSpace(name), strings.TrimSpace(given), strings.TrimSpace(surname)
	p := Person{GivenName: norm.NFC.String(given), Surname: norm.NFC.String(surname), Country: country}
	if a2, ok := Alpha2(country); ok {
		p.Country = a2
	}
	if name == "" {
		name = strings.TrimSpace(given + " " + surname)
	}
	p.CommonName = norm.NFC.String(name)
	serial := make([]byte, 16)
	if _, err := rand.Read(serial); err != nil {
		return Person{}, fmt.Errorf("make serial number: %w", err)
	}
	p.SerialNumber = hex.EncodeToString(serial)
	return p, p.check()
}

// check never names the value: it is personal data.
func (p Person) check() error {
	if p.GivenName == "" && p.Surname == "" {
		return errors.New("a person has a given name or a surname")
	}
	if !IsCountry(p.Country) {
		return errors.New("the country is not an ISO 3166-1 code")
	}
	for what, v := range map[string]string{"given name": p.GivenName, "surname": p.Surname, "name": p.CommonName} {
		if len(v) > maxName {
			return fmt.Errorf("the %s is longer than %d bytes", what, maxName)
		}
		if !utf8.ValidString(v) || strings.ContainsFunc(v, unprintable) {
			return fmt.Errorf("the %s has characters that cannot be shown", what)
		}
	}
	return nil
}

// unprintable also finds the invisible formatting characters with which a
// name can be made to look like another one.
func unprintable(r rune) bool {
	return r == utf8.RuneError || unicode.Is(unicode.C, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r)
}

// SamePerson tells whether the names and the country in two subjects are
// equal; serial numbers, which are random, are not compared.
func (p Person) SamePerson(o Person) bool {
	p.SerialNumber, o.SerialNumber = "", ""
	return p == o
}

// PersonOf reads the person out of a certificate's subject (DER Name).
func PersonOf(rawSubject []byte) (Person, error) {
	n, err := parseName(rawSubject)
	if err != nil {
		return Person{}, err
	}
	return Person{
		CommonName: n.one(oidCommonName), GivenName: n.one(oidGivenName), Surname: n.one(oidSurname),
		Country: n.one(oidCountry), SerialNumber: n.one(oidSerialNumber),
	}, nil
}

// attribute is one AttributeTypeAndValue in a relative name of its own.
type attribute struct {
	oid   asn1.ObjectIdentifier
	tag   int // asn1.TagUTF8String or asn1.TagPrintableString
	value string
}

type name []attribute

// attributes gives the name in our order: from the country inwards.
func (s Subject) attributes() name {
	var n name
	add := func(oid asn1.ObjectIdentifier, tag int, v string) {
		if v != "" {
			n = append(n, attribute{oid, tag, v})
		}
	}
	add(oidCountry, asn1.TagPrintableString, s.Country)
	add(oidOrganisation, asn1.TagUTF8String, s.Organisation)
	add(oidOrganisationID, asn1.TagUTF8String, s.OrganisationID)
	add(oidSurname, asn1.TagUTF8String, s.Surname)
	add(oidGivenName, asn1.TagUTF8String, s.GivenName)
	add(oidSerialNumber, asn1.TagPrintableString, s.SerialNumber)
	add(oidCommonName, asn1.TagUTF8String, s.CommonName)
	return n
}

// Name ::= SEQUENCE OF SET OF AttributeTypeAndValue   (RFC 5280 §4.1.2.4)
// AttributeTypeAndValue ::= SEQUENCE { type OBJECT IDENTIFIER, value ANY }
func (n name) encode() ([]byte, error) {
	type typeAndValue struct {
		Type  asn1.ObjectIdentifier
		Value asn1.RawValue
	}
	type relativeSET []typeAndValue
	rdns := make([]relativeSET, 0, len(n))
	for _, a := range n {
		rdns = append(rdns, relativeSET{{a.oid, asn1.RawValue{Class: asn1.ClassUniversal, Tag: a.tag, Bytes: []byte(a.value)}}})
	}
	der, err := asn1.Marshal(rdns)
	if err != nil {
		return nil, fmt.Errorf("encode name: %w", err)
	}
	return der, nil
}

func parseName(der []byte) (name, error) {
	type typeAndValue struct {
		Type  asn1.ObjectIdentifier
		Value asn1.RawValue
	}
	type relativeSET []typeAndValue
	var rdns []relativeSET
	if rest, err := asn1.Unmarshal(der, &rdns); err != nil || len(rest) > 0 {
		return nil, errors.New("the name is not DER")
	}
	var n name
	for _, set := range rdns {
		for _, tv := range set {
			n = append(n, attribute{tv.Type, tv.Value.Tag, string(tv.Value.Bytes)})
		}
	}
	return n, nil
}

func (n name) all(oid asn1.ObjectIdentifier) []attribute {
	var found []attribute
	for _, a := range n {
		if a.oid.Equal(oid) {
			found = append(found, a)
		}
	}
	return found
}

// one gives the value of an attribute that stands exactly once, or "".
func (n name) one(oid asn1.ObjectIdentifier) string {
	if found := n.all(oid); len(found) == 1 {
		return found[0].value
	}
	return ""
}
