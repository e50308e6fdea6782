package certs

import (
	"crypto/x509"
	"strings"
	"testing"
)

// TestAnnexI: each letter of Annex I of Regulation 910/2014 says what a
// qualified certificate for electronic signatures shall contain; here is where
// ours has it. A one-time certificate says that it needs no status service
// (letter i, as amended by Regulation 2024/1183, asks for the information or the
// location of the services).
func TestAnnexI(t *testing.T) {
	p := newPKI(t, nil, nil)
	key := ecKey(t, p256)
	lasting := p.person(t, key.Public())
	der, err := Issue(Issuer{p.issuing, p.caKey}, p.oneTimeOrder(t, key.Public()))
	if err != nil {
		t.Fatal(err)
	}
	has := func(c *x509.Certificate, oid []int) bool {
		list, err := statementsOf(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range list {
			if s.id.Equal(oid) {
				return true
			}
		}
		return false
	}
	issuer := func(c *x509.Certificate) name { return must(parseName(c.RawIssuer)) }
	for letter, found := range map[string]func(c *x509.Certificate) bool{
		"a: issued as a qualified certificate for electronic signature, in a form for machines": func(c *x509.Certificate) bool {
			return has(c, oidQcCompliance) && has(c, oidQcType)
		},
		"b: the provider: Member State, name, registration number": func(c *x509.Certificate) bool {
			n := issuer(c)
			return n.one(oidCountry) == "BE" && n.one(oidOrganisation) != "" && strings.HasPrefix(n.one(oidOrganisationID), "NTRBE-")
		},
		"c: the name of the signatory": func(c *x509.Certificate) bool {
			who := must(PersonOf(c.RawSubject))
			return who.GivenName == "Jan" && who.Surname == "Jansen" && who.CommonName != ""
		},
		"d: data that correspond to the signing key":  func(c *x509.Certificate) bool { return SameKey(c.PublicKey, key.Public()) },
		"e: begin and end of validity":                func(c *x509.Certificate) bool { return c.NotBefore.Before(c.NotAfter) },
		"f: an identity code unique for the provider": func(c *x509.Certificate) bool { return c.SerialNumber.BitLen() >= 64 },
		"g: the provider's signature":                 func(c *x509.Certificate) bool { return c.CheckSignatureFrom(p.issuing) == nil },
		"h: where the certificate behind it is had for free": func(c *x509.Certificate) bool {
			return len(c.IssuingCertificateURL) == 1 && plainHTTP(c.IssuingCertificateURL[0])
		},
		"i: validity status": func(c *x509.Certificate) bool {
			return len(c.OCSPServer) == 1 && plainHTTP(c.OCSPServer[0]) || extensionOf(c, oidExtValidityAssured) != nil
		},
		"j: the key is in a qualified device": func(c *x509.Certificate) bool { return has(c, oidQcSSCD) },
	} {
		for kind, c := range map[string]*x509.Certificate{"lasting": lasting, "one-time": parse(t, der)} {
			if !found(c) {
				t.Errorf("%s: letter %s", kind, letter)
			}
		}
	}
}
