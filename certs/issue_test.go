package certs

import (
	"crypto"
	"crypto/elliptic"
	"errors"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/language"
)

func TestJudgedByOpenSSL(t *testing.T) {
	for name, keys := range map[string][3]crypto.Signer{
		"P-256":                       {ecKey(t, p256), ecKey(t, p256), ecKey(t, p256)},
		"P-384 CAs":                   {ecKey(t, elliptic.P384()), ecKey(t, elliptic.P384()), ecKey(t, p256)},
		"RSA-3072 CAs":                {rsaKey(t), rsaKey(t), ecKey(t, p256)},
		"P-384 person under P-256":    {ecKey(t, p256), ecKey(t, p256), ecKey(t, elliptic.P384())},
		"RSA-3072 person under P-256": {ecKey(t, p256), ecKey(t, p256), rsaKey(t)},
	} {
		t.Run(name, func(t *testing.T) { judge(t, newPKI(t, keys[0], keys[1]), keys[2]) })
	}
}

func judge(t *testing.T, p *pki, key crypto.Signer) {
	leaf := p.person(t, key.Public())
	tsuDER, err := Issue(Issuer{p.root, p.rootKey}, p.tsuOrder(key.Public()))
	if err != nil {
		t.Fatal(err)
	}
	rootCRL, err := CRL(Issuer{p.root, p.rootKey}, big.NewInt(1), nil, p.now, p.now.AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	caCRL, err := CRL(Issuer{p.issuing, p.caKey}, big.NewInt(7), []Revoked{{big.NewInt(99), p.now.Add(-time.Minute), 4}, {big.NewInt(100), p.now, 0}}, p.now, p.now.Add(12*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	root := writePEM(t, dir+"/root.pem", "CERTIFICATE", p.root.Raw)
	issuing := writePEM(t, dir+"/issuing.pem", "CERTIFICATE", p.issuing.Raw)
	person := writePEM(t, dir+"/person.pem", "CERTIFICATE", leaf.Raw)
	tsu := writePEM(t, dir+"/tsu.pem", "CERTIFICATE", tsuDER)
	crls := dir + "/crls.pem"
	writePEM(t, crls, "X509 CRL", rootCRL)
	one, err := os.ReadFile(crls)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, crls, "X509 CRL", caCRL)
	two, err := os.ReadFile(crls)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(crls, append(one, two...), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, args := range map[string][]string{
		"person, with CRLs of the whole path": {"verify", "-x509_strict", "-CAfile", root, "-untrusted", issuing, "-CRLfile", crls, "-crl_check_all", "-purpose", "any", "-policy_check", "-explicit_policy", "-policy", "0.4.0.194112.1.2", person},
		"TSU":                                 {"verify", "-x509_strict", "-CAfile", root, "-CRLfile", crls, "-crl_check_all", "-purpose", "timestampsign", tsu},
		"root":                                {"verify", "-x509_strict", "-check_ss_sig", "-CAfile", root, root},
	} {
		if out, err := openssl(t, args...); err != nil || !strings.HasSuffix(strings.TrimSpace(out), ": OK") {
			t.Errorf("%s: %v\n%s", what, err, out)
		}
	}
	writePEM(t, dir+"/ca.crl", "X509 CRL", caCRL)
	if out, err := openssl(t, "crl", "-in", dir+"/ca.crl", "-CAfile", issuing, "-noout", "-text"); err != nil || !strings.Contains(out, "verify OK") || !strings.Contains(out, "Superseded") {
		t.Errorf("CRL: %v\n%s", err, out)
	}
	out, err := openssl(t, "x509", "-in", person, "-noout", "-text", "-certopt", "ext_parse")
	for _, want := range []string{"Key Usage: critical", "Non Repudiation", "Policy: 0.4.0.194112.1.2", "CPS: https://sandbox.tekend.example/cps", "URI:http://127.0.0.1:8080/pki/crl/issuing-ca.crl", "CA Issuers - URI:http://127.0.0.1:8080/pki/ca/issuing-ca.crt", "(SANDBOX)"} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("openssl x509 does not show %q: %v", want, err)
		}
	}
}

func TestNames(t *testing.T) {
	p := newPKI(t, nil, nil)
	key := ecKey(t, p256)
	long := strings.Repeat("Wolfeschlegelsteinhausen", 12)
	for name, tc := range map[string]struct{ whole, given, surname, cn string }{
		"Latin with marks": {"Zdeněk Weiß Řehoř", "Zdeněk", "Weiß Řehoř", "Zdeněk Weiß Řehoř (SANDBOX)"},
		"decomposed":       {"Jose\u0301", "Jose\u0301", "Ga\u0308rtner", "José (SANDBOX)"},
		"Greek":            {"", "Ελένη", "Παπαδοπούλου", "Ελένη Παπαδοπούλου (SANDBOX)"},
		"Cyrillic":         {"", "Юрій", "Їжакевич", "Юрій Їжакевич (SANDBOX)"},
		"Chinese":          {"", "小明", "王", "小明 王 (SANDBOX)"},
		"Turkish":          {"", "İsmail", "Işık", "İsmail Işık (SANDBOX)"},
		"no given name":    {"Sukarno", "", "Sukarno", "Sukarno (SANDBOX)"},
		"no surname":       {"", "Teller", "", "Teller (SANDBOX)"},
		"very long":        {"", "Hubert", long, "Hubert " + long + " (SANDBOX)"},
		"400 bytes":        {"Hubert", strings.Repeat("é", 200), strings.Repeat("x", 400), "Hubert (SANDBOX)"},
		"400 bytes shown":  {strings.Repeat("Ω", 195), "Ω", "", strings.Repeat("Ω", 195) + " (SANDBOX)"},
		"punctuation":      {"", "Jean-Luc", "O'Neill, (jr.) + \"x\" = <y>; #1", "Jean-Luc O'Neill, (jr.) + \"x\" = <y>; #1 (SANDBOX)"},
		"spaces around":    {" Jan  ", " Jan", "Peeters ", "Jan (SANDBOX)"},
	} {
		t.Run(name, func(t *testing.T) {
			who, err := NewPerson(tc.whole, tc.given, tc.surname, "BEL")
			if err != nil {
				t.Fatal(err)
			}
			o := p.personOrder(t, key.Public())
			o.Subject = who.Subject()
			der, err := Issue(Issuer{p.issuing, p.caKey}, o)
			if err != nil {
				t.Fatal(err)
			}
			c := parse(t, der)
			back, err := PersonOf(c.RawSubject)
			if err != nil || back != who || back.CommonName != tc.cn || !back.SamePerson(who) || back.Country != "BE" {
				t.Errorf("%+v %v", back, err)
			}
			file := writePEM(t, tempFile(t, "c.pem"), "CERTIFICATE", der)
			out, err := openssl(t, "x509", "-in", file, "-noout", "-subject", "-nameopt", "utf8,sep_multiline,lname")
			if err != nil || !strings.Contains(out, "commonName="+tc.cn) {
				t.Errorf("openssl: %v %s", err, out)
			}
			if err := IsQualifiedNaturalPerson(c); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestNamesRefused(t *testing.T) {
	for name, tc := range map[string]struct{ whole, given, surname, country string }{
		"nobody":          {"X", "", "", "BEL"},
		"line break":      {"", "Jan\nCN=Root", "Jansen", "BEL"},
		"NUL":             {"", "Jan", "Jan\x00sen", "BEL"},
		"right to left":   {"", "Jan\u202e", "Jansen", "BEL"},
		"zero width":      {"", "Jan", "Jan\u200bsen", "BEL"},
		"not UTF-8":       {"", "Jan", "\xff\xfe", "BEL"},
		"too long":        {"", "Jan", strings.Repeat("é", 201), "BEL"},
		"unknown country": {"", "Jan", "Jansen", "XXX"},
		"no country":      {"", "Jan", "Jansen", ""},
		"small country":   {"", "Jan", "Jansen", "bel"},
	} {
		_, err := NewPerson(tc.whole, tc.given, tc.surname, tc.country)
		if err == nil {
			t.Errorf("%s is accepted", name)
		} else if strings.Contains(err.Error(), "Jan") {
			t.Errorf("%s: the error tells the name: %v", name, err)
		}
	}
}

func TestSamePerson(t *testing.T) {
	a, err := NewPerson("", "Jan", "Jansen", "BEL")
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewPerson("", "Jan", "Jansen", "BE")
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewPerson("", "Jan", "Janssen", "BEL")
	if err != nil {
		t.Fatal(err)
	}
	if !a.SamePerson(b) || a.SamePerson(c) || a.SerialNumber == b.SerialNumber {
		t.Errorf("%+v %+v %+v", a, b, c)
	}
}

func TestLintStopsIssuanceAndTheKeySignsNothing(t *testing.T) {
	p := newPKI(t, nil, nil)
	before := p.caKey.n.Load()
	o := p.personOrder(t, ecKey(t, p256).Public())
	o.Publication.PDS = []PDS{{"http://not-https.example/pds", "en"}}
	_, err := Issue(Issuer{p.issuing, p.caKey}, o)
	if e, ok := errors.AsType[*LintError](err); !ok || len(e.Findings) != 2 || !strings.Contains(err.Error(), "qc-pds") {
		t.Errorf("%v", err)
	}
	if n := p.caKey.n.Load(); n != before {
		t.Errorf("the key signed %d times", n-before)
	}
}

func TestOneSignatureForOnePreparation(t *testing.T) {
	p := newPKI(t, nil, nil)
	prepared, err := Prepare(p.issuing, p.personOrder(t, ecKey(t, p256).Public()))
	if err != nil {
		t.Fatal(err)
	}
	before := p.caKey.n.Load()
	der, err := prepared.Sign(p.caKey)
	if err != nil {
		t.Fatal(err)
	}
	if c := parse(t, der); c.SerialNumber.Cmp(prepared.Serial) != 0 || len(SerialHex(prepared.Serial)) != 32 || len(prepared.TBSSHA256()) != 64 {
		t.Errorf("serial %v", c.SerialNumber)
	}
	if _, err := prepared.Sign(p.caKey); !errors.Is(err, ErrSpent) {
		t.Errorf("second use: %v", err)
	}
	if n := p.caKey.n.Load() - before; n != 1 {
		t.Errorf("the key signed %d times", n)
	}
}

func TestWrongKeysAndWrongValues(t *testing.T) {
	p := newPKI(t, nil, nil)
	other := ecKey(t, p256)
	order := p.personOrder(t, ecKey(t, p256).Public())
	if _, err := Issue(Issuer{p.issuing, other}, order); err == nil {
		t.Error("another key signs for the CA")
	}
	pretend := &pretender{other, p.caKey.Public()}
	if _, err := Issue(Issuer{p.issuing, pretend}, order); err == nil || !strings.Contains(err.Error(), "does not verify") {
		t.Errorf("a wrong value leaves: %v", err)
	}
	if _, err := CRL(Issuer{p.issuing, pretend}, big.NewInt(1), nil, p.now, p.now.Add(time.Hour)); err == nil || !strings.Contains(err.Error(), "does not verify") {
		t.Errorf("a wrong CRL leaves: %v", err)
	}
	if _, err := Prepare(nil, order); err == nil {
		t.Error("a person without an issuer")
	}
	if _, err := Prepare(p.root, p.rootOrder()); err == nil {
		t.Error("a root with an issuer")
	}
}

// pretender has the CA's public key and another private key.
type pretender struct {
	crypto.Signer
	public crypto.PublicKey
}

func (p *pretender) Public() crypto.PublicKey { return p.public }

func TestCRLLint(t *testing.T) {
	p := newPKI(t, nil, nil)
	before := p.caKey.n.Load()
	for name, tc := range map[string]struct {
		number     *big.Int
		this, next time.Time
		revoked    []Revoked
	}{
		"no number":             {big.NewInt(0), p.now, p.now.Add(time.Hour), nil},
		"next before this":      {big.NewInt(1), p.now, p.now.Add(-time.Hour), nil},
		"number of 21 octets":   {new(big.Int).Lsh(big.NewInt(1), 161), p.now, p.now.Add(time.Hour), nil},
		"revoked in the future": {big.NewInt(1), p.now, p.now.Add(time.Hour), []Revoked{{big.NewInt(5), p.now.Add(time.Hour), 0}}},
		"reason 7 (not used)":   {big.NewInt(1), p.now, p.now.Add(time.Hour), []Revoked{{big.NewInt(5), p.now, 7}}},
	} {
		if der, err := CRL(Issuer{p.issuing, p.caKey}, tc.number, tc.revoked, tc.this, tc.next); err == nil || der != nil {
			t.Errorf("%s: signed", name)
		}
	}
	if n := p.caKey.n.Load(); n != before {
		t.Errorf("the key signed %d times", n-before)
	}
}

func TestCountries(t *testing.T) {
	n := 0
	for word := range strings.FieldsSeq(countries) {
		n++
		a2, ok := Alpha2(word[:3])
		if !ok || a2 != word[3:] || !IsCountry(a2) {
			t.Errorf("%s: %s", word, a2)
		}
		if r, err := language.ParseRegion(word[:3]); err != nil || r.String() != a2 {
			t.Errorf("%s: CLDR says %v %v", word, r, err)
		}
	}
	if n != 249 {
		t.Errorf("%d countries", n)
	}
	for _, s := range []string{"", "BE", "bel", "XXX", "BELG", "ELB"} {
		if _, ok := Alpha2(s); ok {
			t.Errorf("%q is taken for a country", s)
		}
	}
}
