package signer_test

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"testing"

	"tekend/cms"
	"tekend/pdf"
	"tekend/signer"
	"tekend/validate"
)

// digestOf is an ordered digest of content.
func digestOf(alg string, content []byte) signer.OrderedDigest {
	o := signer.OrderedDigest{Algorithm: alg}
	switch alg {
	case "SHA-256":
		sum := sha256.Sum256(content)
		o.Digest = sum[:]
	case "SHA-384":
		sum := sha512.Sum384(content)
		o.Digest = sum[:]
	case "SHA-512":
		sum := sha512.Sum512(content)
		o.Digest = sum[:]
	}
	return o
}

// TestDigestsAreSignedAsCAdES: whoever has the file gets a whole signature of each level over its digest by each hash.
func TestDigestsAreSignedAsCAdES(t *testing.T) {
	w := newWorld(t)
	for _, level := range []string{"B-B", "B-T", "B-LT", "B-LTA"} {
		for _, alg := range []string{"SHA-256", "SHA-384", "SHA-512"} {
			file := []byte("only its digest leaves: " + level + alg)
			r, token := w.ordered(signer.Order{
				Reference: "ref", Level: level, Format: signer.CAdES, Digests: []signer.OrderedDigest{digestOf(alg, file), digestOf(alg, file[1:])},
			}, nil)
			r = w.finish(r, token, "approve")
			p, err := w.front.Product(t.Context(), "acme", r.ID, 1)
			w.must(err)
			if r.Documents[0].Level != level || p.Level != level || p.Format != signer.CAdES {
				t.Errorf("%s %s: %+v, product %s", level, alg, r.Documents[0], p.Level)
			}
			report, err := validate.CMS(t.Context(), bytes.NewReader(p.CMS), int64(len(p.CMS)),
				validate.Data{Reader: bytes.NewReader(file), Size: int64(len(file))},
				validate.Options{Roots: w.roots, At: w.now(), Revocation: w.collector()})
			w.must(err)
			if sig := report.Signatures[0]; report.Indication != validate.TotalPassed || sig.Level != level {
				t.Errorf("%s %s: %v %s, level %s: %v", level, alg, report.Indication, report.SubIndication, sig.Level, sig.Reasons)
			}
			if _, err := w.front.Document(t.Context(), "acme", r.ID, 1); codeOf(err) != signer.ErrNotHere.Code {
				t.Errorf("a document that is not here: %v", err)
			}
		}
	}
}

// TestDigestsAreSignedForPDFs: the client prepares the PDF, sends the digest, and embeds what it gets.
func TestDigestsAreSignedForPDFs(t *testing.T) {
	w := newWorld(t)
	for i, c := range []struct {
		level, alg string
		hash       crypto.Hash
	}{{"B-B", "SHA-256", crypto.SHA256}, {"B-T", "SHA-512", crypto.SHA512}, {"B-LT", "SHA-256", crypto.SHA256}, {"B-LT", "SHA-384", crypto.SHA384}} {
		base := onePage(fmt.Sprint("% prepared elsewhere ", i, "\n"))
		p, err := pdf.Prepare(bytes.NewReader(base), int64(len(base)), pdf.Options{SignatureTime: w.now(), Reserve: 32 << 10, Hash: c.hash})
		w.must(err)
		r, token := w.ordered(signer.Order{
			Reference: "ref", Level: c.level, Digests: []signer.OrderedDigest{{Name: "contract.pdf", Algorithm: c.alg, Digest: p.Digest}},
		}, nil)
		r = w.finish(r, token, "approve")
		got, err := w.front.Product(t.Context(), "acme", r.ID, 1)
		w.must(err)
		if r.Documents[0].Level != c.level || got.Level != c.level {
			t.Errorf("%s: reached %q", c.level, r.Documents[0].Level)
		}
		update, err := p.Embed(got.CMS)
		w.must(err)
		doc := append(bytes.Clone(base), update...)
		if got.OCSPs != nil {
			dss, err := pdf.AddDSS(bytes.NewReader(doc), int64(len(doc)), pdf.Material{
				Certificates: append(got.Extra, got.Certificates...), OCSPs: got.OCSPs, CRLs: got.CRLs,
			}, pdf.Budget{})
			w.must(err)
			doc = append(doc, dss...)
		}
		report, err := validate.PDF(t.Context(), bytes.NewReader(doc), int64(len(doc)), validate.Options{
			Roots: w.roots, At: w.now(), Revocation: map[bool]validate.Revoker{true: nil, false: w.collector()}[c.level == "B-LT"],
		})
		w.must(err)
		if sig := report.Signatures[0]; report.Indication != validate.TotalPassed || sig.Level != c.level {
			t.Errorf("%s %s: %v %s, level %s: %v", c.level, c.alg, report.Indication, report.SubIndication, sig.Level, sig.Reasons)
		}
		assembled, err := cms.Parse(got.CMS, cms.Budget{})
		w.must(err)
		if len(assembled.SignerInfos) != 1 || len(got.Value) == 0 || len(got.SignedAttrs) == 0 || len(got.Certificates) < 2 {
			t.Errorf("%s: the product is not whole", c.level)
		}
	}
}
