package validate_test

import (
	"crypto/x509"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"tekend/cms"
	"tekend/pdf"
	"tekend/validate"
)

// unreadable makes a certificate that crypto/x509 refuses, by openssl, with as
// much of its view as the signer's side needs.
func unreadable(t *testing.T, curve string) *x509.Certificate {
	t.Helper()
	dir := t.TempDir()
	out := filepath.Join(dir, "cert.der")
	cmd := exec.Command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:"+curve, "-nodes",
		"-keyout", filepath.Join(dir, "key.pem"), "-subj", "/CN=Jo Doe", "-days", "30", "-set_serial", "4711", "-outform", "DER", "-out", out)
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	der, err := os.ReadFile(out)
	check(t, err)
	if _, err := x509.ParseCertificate(der); err == nil {
		t.Fatalf("crypto/x509 reads a certificate on %s now: validate may too", curve)
	}
	s := cryptobyte.String(der)
	var cert, tbs, issuer cryptobyte.String
	serial := new(big.Int)
	if !s.ReadASN1(&cert, casn1.SEQUENCE) || !cert.ReadASN1(&tbs, casn1.SEQUENCE) || !tbs.SkipOptionalASN1(tagged(0)) ||
		!tbs.ReadASN1Integer(serial) || !tbs.SkipASN1(casn1.SEQUENCE) || !tbs.ReadASN1Element(&issuer, casn1.SEQUENCE) {
		t.Fatal("not a certificate")
	}
	return &x509.Certificate{Raw: der, RawIssuer: issuer, RawSubject: issuer, SerialNumber: serial}
}

// TestCertificatesThatCannotBeRead: they make the verdict undecided, with the
// reason; beside others they are no harm.
func TestCertificatesThatCannotBeRead(t *testing.T) {
	w := newWorld(t, "P-256")
	for _, curve := range []string{"brainpoolP256r1", "brainpoolP384r1", "brainpoolP512r1", "secp256k1"} {
		odd := unreadable(t, curve)
		odd.PublicKey = w.key.Public() // for the attributes alone
		r := recipe{noStamp: true, attrs: func(digest []byte) []byte {
			b, err := cms.SignedAttributes(digest, odd)
			check(t, err)
			return b
		}, rebuild: func(p cms.Parts) []byte {
			return frame{attrs: p.SignedAttrs, algorithm: ecdsaSHA256, value: p.Value, signers: 1}.der(t, odd, w.issuing)
		}}
		s := w.judge(t, w.sign(t, base(t), r), w.at(5)).Signatures[0]
		want(t, s, undecided, validate.NoSigningCertificate, "")
		name := curve
		if curve == "secp256k1" {
			name = "1.3.132.0.10"
		}
		if !strings.Contains(strings.Join(s.Reasons, "|"), name) {
			t.Errorf("%s: %q", curve, s.Reasons)
		}
	}
	data := w.data(t)
	data.Certificates = append(data.Certificates, unreadable(t, "brainpoolP256r1").Raw)
	doc := store(t, w.sign(t, base(t), recipe{}), pdf.Material{Certificates: data.Certificates, OCSPs: data.OCSPs, CRLs: data.CRLs})
	want(t, w.ask(t, doc, w.at(5), nil).Signatures[0], passed, "", "B-LT")
}
