package signer_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"tekend/cms"
	"tekend/order"
	"tekend/pdf"
	"tekend/sam/activation"
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

// TestSignedOrdersOverDigests: the sam takes only what a provider signed. It does for digests as for documents, for both
// formats; another digest than the ordered one is found when the order comes.
func TestSignedOrdersOverDigests(t *testing.T) {
	w := newWorld(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	w.must(err)
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	w.must(err)
	w.must(os.WriteFile(w.path("provider.pem"), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600))
	w.samCfg.Providers = []activation.ProviderConfig{{Name: "acme", KeyFiles: []string{w.path("provider.pem")}}}
	w.samCfg.ProviderSigned = "required"
	w.restartSAM()
	signed := func(h crypto.Hash, digest []byte) string {
		d, err := order.NewDigest(h, digest)
		w.must(err)
		compact, err := order.Sign(order.New("acme", []order.Document{d}, w.now(), time.Hour), key)
		w.must(err)
		return compact
	}
	file := []byte("of a signed order")
	for name, o := range map[string]signer.Order{
		"digest as CAdES": {Level: "B-LTA", Format: signer.CAdES, Digests: []signer.OrderedDigest{digestOf("SHA-512", file)}},
		"digest of a PDF": {Level: "B-LT", Digests: []signer.OrderedDigest{digestOf("SHA-384", file)}},
	} {
		hash := map[int]crypto.Hash{48: crypto.SHA384, 64: crypto.SHA512}[len(o.Digests[0].Digest)]
		o.SignedOrder = signed(hash, o.Digests[0].Digest)
		r, token := w.ordered(o, nil)
		if r = w.finish(r, token, "approve"); r.Documents[0].Level != o.Level {
			t.Errorf("%s: level %q", name, r.Documents[0].Level)
		}
		o.Digests = []signer.OrderedDigest{digestOf(o.Digests[0].Algorithm, file[1:])}
		if _, err := w.front.Create(t.Context(), "acme", o, nil); !errors.Is(err, signer.ErrOrder) {
			t.Errorf("%s, another digest: %v", name, err)
		}
	}
	sum := sha256.Sum256(file)
	r, token := w.ordered(signer.Order{Format: signer.CAdES, SignedOrder: signed(crypto.SHA256, sum[:])}, upload(file))
	w.finish(r, token, "approve")
	r, token = w.ordered(signer.Order{Format: signer.CAdES}, upload(file))
	w.walk(token, "approve", signer.StepFailed)
	if r = w.wait(r.ID, signer.Failed); r.Failure.Code != signer.ErrOrderWanted.Code {
		t.Errorf("without a signed order: %v", r.Failure)
	}
}

func TestDigestsThatCannotBeOrdered(t *testing.T) {
	s, _ := reception(t, func(cfg *signer.Config) { cfg.MaxDocuments = 3 })
	a, b := digestOf("SHA-256", []byte("a")), digestOf("SHA-256", []byte("b"))
	short := a
	short.Digest = a.Digest[:31]
	for name, c := range map[string]struct {
		o    signer.Order
		want *signer.Error
	}{
		"two algorithms":      {signer.Order{Digests: []signer.OrderedDigest{a, digestOf("SHA-512", []byte("b"))}}, signer.ErrDigestAlg},
		"SHA-1":               {signer.Order{Digests: []signer.OrderedDigest{{Algorithm: "SHA-1", Digest: make([]byte, 20)}}}, signer.ErrDigestAlg},
		"lower case":          {signer.Order{Digests: []signer.OrderedDigest{{Algorithm: "sha-256", Digest: a.Digest}}}, signer.ErrDigestAlg},
		"31 bytes":            {signer.Order{Digests: []signer.OrderedDigest{b, short}}, signer.ErrDigest},
		"zeros":               {signer.Order{Digests: []signer.OrderedDigest{{Algorithm: "SHA-384", Digest: make([]byte, 48)}}}, signer.ErrDigest},
		"of nothing":          {signer.Order{Format: signer.CAdES, Digests: []signer.OrderedDigest{a, digestOf("SHA-256", nil)}}, signer.ErrDigest},
		"not all":             {signer.Order{Digests: []signer.OrderedDigest{a, {Algorithm: "SHA-256"}}}, signer.ErrDigest},
		"not the first":       {signer.Order{Digests: []signer.OrderedDigest{{Algorithm: "SHA-256"}, a}}, signer.ErrDigest},
		"twice":               {signer.Order{Digests: []signer.OrderedDigest{a, b, a}}, signer.ErrTwice},
		"too many":            {signer.Order{Digests: make([]signer.OrderedDigest, 4)}, signer.ErrManyDocuments},
		"attached":            {signer.Order{Format: signer.CAdES, Packaging: signer.Attached, Digests: []signer.OrderedDigest{a}}, signer.ErrFormat},
		"B-LTA of a PDF":      {signer.Order{Level: "B-LTA", Digests: []signer.OrderedDigest{a}}, signer.ErrLevelHash},
		"no such format":      {signer.Order{Format: "xades", Digests: []signer.OrderedDigest{a}}, signer.ErrFormat},
		"packaging of a PDF":  {signer.Order{Packaging: signer.Detached, Digests: []signer.OrderedDigest{a}}, signer.ErrFormat},
		"no such packaging":   {signer.Order{Format: signer.CAdES, Packaging: "beside", Digests: []signer.OrderedDigest{a}}, signer.ErrFormat},
		"visible, of nothing": {signer.Order{Digests: []signer.OrderedDigest{a}, Visible: []signer.Visible{{}}}, signer.ErrAppearance},
	} {
		if _, err := s.Create(t.Context(), "acme", c.o, nil); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	good := signer.Order{Digests: []signer.OrderedDigest{a, b}, IdempotencyKey: "once"}
	first, err := s.Create(t.Context(), "acme", good, nil)
	if err != nil || !first.Hashes || first.Documents[0].Name != "document-1" || first.Documents[1].DigestAlgorithm != "SHA-256" || first.Documents[0].SHA256 != "" {
		t.Fatalf("%+v %v", first, err)
	}
	again, err := s.Create(t.Context(), "acme", good, nil)
	if err != nil || again.ID != first.ID || !again.Hashes {
		t.Errorf("the same key and order: %+v %v", again, err)
	}
	good.Digests = []signer.OrderedDigest{b, a}
	if _, err := s.Create(t.Context(), "acme", good, nil); !errors.Is(err, signer.ErrKeyReused) {
		t.Errorf("the same key, another order: %v", err)
	}
	if _, err := s.Create(t.Context(), "acme", signer.Order{Format: signer.CAdES}, upload([]byte{})); !errors.Is(err, signer.ErrEmpty) {
		t.Errorf("an empty file: %v", err)
	}
}
