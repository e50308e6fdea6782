package certs

import (
	"crypto"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

//go:generate go test . -run TestTheDocumentIsTheTable -update

var update = flag.Bool("update", false, "write docs/algorithms.md from the table")

// lastSecond is when a certificate for PKCS #1 v1.5 may end at the latest.
var lastSecond = time.Date(2028, 12, 31, 23, 59, 59, 0, time.UTC)

// TestCertificatesDoNotOutliveTheirAlgorithm: a person's certificate ends before the algorithm of its key and of its issuer,
// to the second; nothing is signed else.
func TestCertificatesDoNotOutliveTheirAlgorithm(t *testing.T) {
	const ruleName = "algorithm-end"
	ec, rsaCA := newPKI(t, nil, nil), newPKI(t, nil, rsaKey(t))
	key := ecKey(t, elliptic.P256())
	for _, c := range []struct {
		name  string
		p     *pki
		pub   crypto.PublicKey
		signs x509.SignatureAlgorithm
		ends  bool
	}{
		{"P-256", ec, key.Public(), x509.ECDSAWithSHA256, false},
		{"PSS", ec, rsaKey(t).Public(), x509.SHA256WithRSAPSS, false},
		{"not told", ec, rsaKey(t).Public(), x509.UnknownSignatureAlgorithm, false},
		{"PKCS #1 v1.5", ec, rsaKey(t).Public(), x509.SHA256WithRSA, true},
		{"PKCS #1 v1.5 by SHA-512", ec, rsaKey(t).Public(), x509.SHA512WithRSA, true},
		{"P-256 below a CA with PKCS #1 v1.5", rsaCA, key.Public(), x509.ECDSAWithSHA256, true},
		{"PSS below a CA with PKCS #1 v1.5", rsaCA, rsaKey(t).Public(), x509.SHA256WithRSAPSS, true},
	} {
		for notAfter, late := range map[time.Time]bool{lastSecond.AddDate(0, 0, -1): false, lastSecond: false, lastSecond.Add(time.Second): true, lastSecond.AddDate(0, 6, 0): true} {
			o := c.p.personOrder(t, c.pub)
			o.Signs, o.NotBefore, o.NotAfter = c.signs, notAfter.AddDate(-1, 0, 0), notAfter
			_, err := Prepare(c.p.issuing, o)
			var found *LintError
			refused := errors.As(err, &found) && slices.ContainsFunc(found.Findings, func(f Finding) bool { return f.Rule == ruleName })
			if refused != (c.ends && late) || err != nil && !refused {
				t.Errorf("%s until %v: %v", c.name, notAfter, err)
			}
			if c.signs == x509.UnknownSignatureAlgorithm {
				continue
			}
			last, err := LastNotAfter(c.signs, c.pub, c.p.issuing, notAfter)
			if err != nil || c.ends && late && !last.Equal(lastSecond) || !(c.ends && late) && !last.Equal(notAfter) {
				t.Errorf("%s until %v: the last is %v %v", c.name, notAfter, last, err)
			}
		}
	}
	o := ec.personOrder(t, key.Public())
	o.Signs = x509.SHA256WithRSA
	if _, err := Prepare(ec.issuing, o); err == nil {
		t.Error("an EC key that signs by RSA was certified")
	}
	for _, bad := range []x509.SignatureAlgorithm{x509.UnknownSignatureAlgorithm, x509.SHA1WithRSA, x509.PureEd25519, x509.ECDSAWithSHA256} {
		if last, err := LastNotAfter(bad, rsaKey(t).Public(), ec.issuing, lastSecond); err == nil {
			t.Errorf("%v: %v", bad, last)
		}
	}
}

// document is docs/algorithms.md.
func document() string {
	var b strings.Builder
	b.WriteString(`# Algorithms

Written from the table in certs/algorithms.go by ` + "`go generate ./certs`" + `; a test holds the two together. The table is TS 119 312 V1.5.1 (catalogue of 13 October 2024).
What is not in it is refused: SHA-1, MD5, SHA-224, EdDSA, DSA, RSA below 1900 bits, ECDSA on other curves than P-256, P-384 and P-521. An end date counts from 0:00 UTC of that day.

It is asked by the sam (when a key is made, when a question is put, before each use), by the ca (each certificate request and each certificate), by the time-stamping unit, and by
` + "`validate`" + ` and ` + "`tekend verify`" + ` for each signature, time-stamp, certificate, OCSP answer and CRL, at the time from which it is proven to exist.

| mechanism | hash | key of at least | accepted until | signed with here by |
|---|---|---|---|---|
`)
	for _, m := range Mechanisms() {
		until, signs := "no end", m.Signs
		if !m.End.IsZero() {
			until = m.End.Format(time.DateOnly)
		}
		if signs == "" {
			signs = "nobody; it is only read"
		}
		fmt.Fprintf(&b, "| %s | SHA-%d | %d bits | %s | %s |\n", m.Name, 8*m.Hash.Size(), m.MinBits, until, signs)
	}
	b.WriteString(`
"People" are users' keys, which sign by the hash of what is confirmed (docs/decisions/0026-hashes.md); a service's key (CA, OCSP responder, time-stamping unit, client keys) signs by the one hash of its kind, and with RSA by PKCS #1 v1.5.

## New keys

Keys are made, and certified, on P-256 or P-384, or as RSA of 3072 to 4096 bits with the exponent 65537.

| ` + "`key_type`" + ` of a person's key | mechanism | its certificate ends at the latest |
|---|---|---|
`)
	for _, k := range []struct {
		name  string
		signs x509.SignatureAlgorithm
	}{{"P-256", x509.ECDSAWithSHA256}, {"P-384", x509.ECDSAWithSHA384}, {"RSA-3072-PSS", x509.SHA256WithRSAPSS}, {"RSA-3072", x509.SHA256WithRSA}} {
		i := slices.IndexFunc(algorithms, func(a algorithm) bool { return a.sig == k.signs })
		last := "as the ca's `life` and its issuer say"
		if end := algorithms[i].end; !end.IsZero() {
			last = end.Add(-time.Second).Format("2006-01-02 15:04:05") + " UTC"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", k.name, Mechanisms()[i].Name, last)
	}
	b.WriteString(`
No certificate outlives the algorithm by which its key signs: the ca reads that from the certificate request, which the key has signed, and lets the certificate end before the algorithm does; where less than 30 days (of a one-time certificate: an hour) would
be left it refuses (` + "`bad_key`" + `), and so does the sam before it makes the key (` + "`key_type_ended`" + `), which also refuses a certificate that outlives its key's algorithm. The way out is ` + "`sam.key_type`" + `: P-256, P-384 or RSA-3072-PSS. A person's
certificate below an issuing CA with an RSA key ends by the same rule, because such a CA signs by PKCS #1 v1.5.
`)
	return b.String()
}

func TestTheDocumentIsTheTable(t *testing.T) {
	const path = "../docs/algorithms.md"
	want := document()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/algorithms.md is not what the table says: go generate ./certs")
	}
	if len(Mechanisms()) != len(algorithms) || !strings.Contains(want, "| RSA, PKCS #1 v1.5 | SHA-256 | 1900 bits | 2029-01-01 | people, services |") {
		t.Error(want)
	}
}
