//go:build interop

package interop

import (
	"bytes"
	"crypto/x509"
	"os"
	"testing"

	"tekend/cms"
	"tekend/pdf"
)

// kinds are the kinds of signers' keys. What a document's form does and what a
// key's kind does are apart, so a few documents are enough for the later kinds.
// Every judge knows every kind: there is no exception (measured: pdfsig 22.12
// with NSS 3.87, OpenSSL 3.0, pyHanko 0.38, EU DSS 6.4).
var kinds = map[string]struct {
	documents int // 0: all of testdata/pdf
	algorithm x509.SignatureAlgorithm
}{
	"P-256":        {0, x509.ECDSAWithSHA256},
	"RSA-3072":     {0, x509.SHA256WithRSA},
	"P-384":        {4, x509.ECDSAWithSHA384},
	"RSA-3072-PSS": {4, x509.SHA256WithRSAPSS},
}

// signedBy makes sure that the judges saw what they were meant to see.
func signedBy(t *testing.T, products []string, want x509.SignatureAlgorithm) {
	t.Helper()
	for _, p := range products {
		data, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		sigs, err := pdf.Signatures(bytes.NewReader(data), int64(len(data)), pdf.DefaultBudget())
		if err != nil || len(sigs) == 0 {
			t.Fatalf("%s: %d signatures: %v", p, len(sigs), err)
		}
		sd, err := cms.Parse(sigs[len(sigs)-1].CMS, cms.DefaultBudget())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := sd.SignerInfos[0].SignatureAlgorithm(); err != nil || got != want {
			t.Errorf("%s is signed by %v (%v), not by %v", p, got, err, want)
		}
	}
}
