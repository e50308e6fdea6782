package client_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"tekend/certs"
	"tekend/client"
	"tekend/cms"
	"tekend/pdf"
	"tekend/validate"
)

// prepare makes a preparation and keeps it as JSON, as who may crash does.
func prepare(t testing.TB, c *client.Client, doc *bytes.Reader, o client.Options) *client.Preparation {
	t.Helper()
	p, err := c.Prepare(t.Context(), doc, doc.Size(), o)
	check(t, err)
	b, err := json.Marshal(p)
	check(t, err)
	var kept client.Preparation
	check(t, json.Unmarshal(b, &kept))
	return &kept
}

// TestEveryLevel: each level, format and hash from preparation to the judge, and a second signature behind the first.
func TestEveryLevel(t *testing.T) {
	w := newWorld(t)
	c := w.client(t, "")
	for _, level := range []string{"B-B", "B-T", "B-LT", "B-LTA"} {
		for hash := range hashes {
			doc := sample(t, "libreoffice-writer.pdf")
			p := prepare(t, c, doc, client.Options{Level: level, Hash: hash})
			s, err := c.Finish(t.Context(), doc, doc.Size(), p, w.sign(t, p, lies{}))
			if err != nil {
				t.Fatalf("%s %s: %v", level, hash, err)
			}
			if s.Level != level || s.Signer.Subject.CommonName != "Jo Doe (SANDBOX)" || s.Time.IsZero() {
				t.Errorf("%s %s: %s %s %v", level, hash, s.Level, s.Signer.Subject, s.Time)
			}
			whole, err := io.ReadAll(s.Reader(doc, doc.Size()))
			check(t, err)
			o := validate.Options{Roots: w.roots, At: time.Now(), NoRevocation: level == "B-B" || level == "B-T"}
			rep, err := validate.PDF(t.Context(), bytes.NewReader(whole), int64(len(whole)), o)
			check(t, err)
			if rep.Indication != validate.TotalPassed || rep.Signatures[0].Level != level {
				t.Errorf("%s %s: %s %+v", level, hash, rep.Indication, rep.Signatures[0].Reasons)
			}
		}
	}
	// CAdES up to B-T here; what lies above is the service's work alone.
	doc := bytes.NewReader([]byte("anything"))
	for _, level := range []string{"B-B", "B-T"} {
		p := prepare(t, c, doc, client.Options{Level: level, Format: client.CAdES, Hash: "SHA-384"})
		s, err := c.Finish(t.Context(), doc, doc.Size(), p, w.sign(t, p, lies{}))
		check(t, err)
		if s.Level != level || s.Update != nil || len(s.Signature) == 0 {
			t.Errorf("%+v", s)
		}
	}
}

// TestASecondSignature: what the client makes can be signed again, and the first one stays valid.
func TestASecondSignature(t *testing.T) {
	w := newWorld(t)
	c := w.client(t, "")
	doc := sample(t, "pdftex-1.4-classic.pdf")
	for n := range 3 {
		p := prepare(t, c, doc, client.Options{Level: "B-LT"})
		s, err := c.Finish(t.Context(), doc, doc.Size(), p, w.sign(t, p, lies{}))
		check(t, err)
		whole, err := io.ReadAll(s.Reader(doc, doc.Size()))
		check(t, err)
		doc = bytes.NewReader(whole)
		rep, err := validate.PDF(t.Context(), doc, doc.Size(), validate.Options{Roots: w.roots, At: time.Now()})
		check(t, err)
		if rep.Indication != validate.TotalPassed || len(rep.Signatures) != n+1 {
			t.Fatalf("%d: %s %+v", n, rep.Indication, rep.Signatures)
		}
	}
}

// lists answers from the list of a root, for every certificate.
type lists struct{ der []byte }

func (l lists) Status(_ context.Context, cert, issuer *x509.Certificate, _ time.Time) (*certs.Status, error) {
	list, err := certs.ReadCRL(l.der)
	if err != nil {
		return nil, err
	}
	s, err := list.Status(cert, issuer)
	return &s, err
}

// TestAnotherTimeStampingAuthority: the document time-stamp may come from anybody whose root is trusted. What is known of his unit does
// not come with the product.
func TestAnotherTimeStampingAuthority(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	w.roots.AddCert(other.root)
	_, crls := other.status(t)
	cfg := client.Config{BaseURL: "http://127.0.0.1:1", Key: apiKey, TSA: other.tsaURL, Roots: w.roots, Now: time.Now}
	doc := sample(t, "libreoffice-writer.pdf")
	for _, asks := range []bool{true, false} {
		if cfg.Revocation = nil; asks {
			cfg.Revocation = lists{crls[0]}
		}
		c, err := client.New(cfg)
		check(t, err)
		p := prepare(t, c, doc, client.Options{Level: "B-LTA"})
		s, err := c.Finish(t.Context(), doc, doc.Size(), p, w.sign(t, p, lies{}))
		if asks {
			check(t, err)
			if s.Level != "B-LTA" {
				t.Error(s.Level)
			}
		} else if codeOf(err) != client.CodeNotPassed {
			t.Errorf("%v", err)
		}
	}
}

func codeOf(err error) string {
	if e, ok := errors.AsType[*client.Error](err); ok {
		return e.Code
	}
	return ""
}

// TestProductsThatAreRefused: a service that lies, one lie each. Nothing is embedded.
func TestProductsThatAreRefused(t *testing.T) {
	w, stranger := newWorld(t), newWorld(t)
	c := w.client(t, "")
	doc := sample(t, "libreoffice-writer.pdf")
	other := bytes.Repeat([]byte{7}, 32)
	cadesForm := func(a cms.Algorithm, d []byte) ([]byte, error) { return a.CAdESAttributes(d, w.leaf, time.Now(), "") }
	early := func(a cms.Algorithm, d []byte) ([]byte, error) {
		return a.CAdESAttributes(d, w.leaf, time.Now().Add(-24*time.Hour), "")
	}
	padesForm := func(a cms.Algorithm, d []byte) ([]byte, error) { return a.SignedAttributes(d, w.leaf) }
	second := w.person(t)
	for name, one := range map[string]struct {
		o client.Options
		l lies
	}{
		"another digest":               {l: lies{digest: other}},
		"another hash":                 {l: lies{hash: "SHA-512", digest: sum(crypto.SHA512, other)}},
		"CAdES in a PDF":               {l: lies{attributes: cadesForm}},
		"PAdES beside a file":          {client.Options{Format: client.CAdES}, lies{attributes: padesForm}},
		"signed yesterday":             {client.Options{Format: client.CAdES}, lies{attributes: early}},
		"no time-stamp":                {l: lies{parts: func(p *cms.Parts) { p.TimeStampToken = nil }}},
		"time-stamp of another value":  {l: lies{stampValue: other}},
		"level below":                  {l: lies{product: func(p *client.Product) { p.Level = "B-B" }}},
		"level unknown":                {l: lies{product: func(p *client.Product) { p.Level = "B-X" }}},
		"another format":               {l: lies{product: func(p *client.Product) { p.Format = client.CAdES }}},
		"another value":                {l: lies{product: func(p *client.Product) { p.Value = other }}},
		"other attributes":             {l: lies{product: func(p *client.Product) { p.SignedAttributes = other }}},
		"another time-stamp beside it": {l: lies{product: func(p *client.Product) { p.TimeStamp = nil }}},
		"another certificate":          {l: lies{product: func(p *client.Product) { p.Certificates[0] = second.Raw }}},
		"no certificate":               {l: lies{product: func(p *client.Product) { p.Certificates = nil }}},
		"no CMS":                       {l: lies{product: func(p *client.Product) { p.CMS = nil }}},
		"CMS and more":                 {l: lies{product: func(p *client.Product) { p.CMS = append(p.CMS, 0) }}},
		"a broken certificate":         {l: lies{product: func(p *client.Product) { p.Extra = [][]byte{{0x30, 0}} }}},
	} {
		p := prepare(t, c, doc, one.o)
		s, err := c.Finish(t.Context(), doc, doc.Size(), p, w.sign(t, p, one.l))
		if s != nil || codeOf(err) != client.CodeBadProduct {
			t.Errorf("%s: %v %v", name, s, err)
		}
	}
	p := prepare(t, c, doc, client.Options{})
	if s, err := c.Finish(t.Context(), doc, doc.Size(), p, stranger.sign(t, p, lies{})); s != nil || codeOf(err) != client.CodeBadProduct {
		t.Errorf("of a certificate under another root: %v", err)
	}
	if s, err := c.Finish(t.Context(), doc, doc.Size(), p, nil); s != nil || codeOf(err) != client.CodeBadProduct {
		t.Errorf("no product: %v", err)
	}
	// A bit of the CMS: whatever it hits, the whole does not pass.
	good := w.sign(t, p, lies{})
	for at := 0; at < len(good.CMS); at += 7 {
		bad := *good
		bad.CMS = bytes.Clone(good.CMS)
		bad.CMS[at] ^= 1
		if s, err := c.Finish(t.Context(), doc, doc.Size(), p, &bad); err == nil {
			t.Errorf("bit of byte %d: %s", at, s.Level)
		}
	}
}

// TestCertificatesThatSignNoDocuments: under the right root, and of the key that signed, but of another purpose.
func TestCertificatesThatSignNoDocuments(t *testing.T) {
	for name, o := range map[string]certs.Order{
		"a time-stamping unit": {Profile: certs.TSU, Publication: publication("root")},
		"an authority":         {Profile: certs.IssuingCA, Publication: publication("root")},
		"a responder":          {Profile: certs.Responder, Publication: publication("issuing-ca")},
	} {
		w := newWorld(t)
		c := w.client(t, "")
		doc := sample(t, "libreoffice-writer.pdf")
		by := certs.Issuer{Cert: w.root, Signer: w.rootKey}
		if o.Profile == certs.Responder {
			by = certs.Issuer{Cert: w.issuing, Signer: w.caKey}
		}
		o.Subject, o.PublicKey, o.NotBefore, o.NotAfter = org("SANDBOX "+name), w.key.Public(), w.from, w.from.AddDate(0, 0, 30)
		if o.Profile == certs.TSU {
			o.PrivateKeyEnd = w.from.AddDate(0, 0, 10)
		}
		w.leaf = issue(t, by, o)
		for _, format := range []string{client.PAdES, client.CAdES} {
			p := prepare(t, c, doc, client.Options{Format: format})
			s, err := c.Finish(t.Context(), doc, doc.Size(), p, w.sign(t, p, lies{}))
			if s != nil || codeOf(err) != client.CodeBadProduct {
				t.Errorf("%s, %s: %v %v", name, format, s, err)
			}
		}
	}
}

// TestValidationDataThatIsNotEnough: at B-LT our own check is the last word.
func TestValidationDataThatIsNotEnough(t *testing.T) {
	w := newWorld(t)
	c := w.client(t, "")
	doc := sample(t, "libreoffice-writer.pdf")
	p := prepare(t, c, doc, client.Options{Level: "B-LT"})
	for name, change := range map[string]func(*client.Product){
		"no OCSP": func(p *client.Product) { p.OCSPs = nil },
		"no CRL":  func(p *client.Product) { p.CRLs = nil },
	} {
		s, err := c.Finish(t.Context(), doc, doc.Size(), p, w.sign(t, p, lies{product: change}))
		v, ok := errors.AsType[*client.Verdict](err)
		if s != nil || codeOf(err) != client.CodeNotPassed || !ok || v.Report == nil {
			t.Errorf("%s: %v %v", name, s, err)
		}
	}
}

// TestDocumentsThatChanged: every byte counts, and so does the length.
func TestDocumentsThatChanged(t *testing.T) {
	w := newWorld(t)
	c := w.client(t, "")
	for _, format := range []string{client.PAdES, client.CAdES} {
		doc := sample(t, "libreoffice-writer.pdf")
		p := prepare(t, c, doc, client.Options{Format: format})
		got := w.sign(t, p, lies{})
		b := make([]byte, doc.Size())
		_, err := doc.ReadAt(b, 0)
		check(t, err)
		check(t, c.Unchanged(t.Context(), doc, doc.Size(), p))
		for _, at := range []int{0, len(b) / 2, len(b) - 1} {
			other := bytes.Clone(b)
			other[at] ^= 1
			if err := c.Unchanged(t.Context(), bytes.NewReader(other), doc.Size(), p); codeOf(err) != client.CodeDocumentChanged {
				t.Errorf("%s byte %d, before it is sent: %v", format, at, err)
			}
			if s, err := c.Finish(t.Context(), bytes.NewReader(other), doc.Size(), p, got); s != nil || codeOf(err) != client.CodeDocumentChanged {
				t.Errorf("%s byte %d: %v", format, at, err)
			}
		}
		for _, other := range [][]byte{b[:len(b)-1], append(bytes.Clone(b), '\n')} {
			if err := c.Unchanged(t.Context(), bytes.NewReader(other), int64(len(other)), p); codeOf(err) != client.CodeDocumentChanged {
				t.Errorf("%s %d bytes, before they are sent: %v", format, len(other), err)
			}
			if s, err := c.Finish(t.Context(), bytes.NewReader(other), int64(len(other)), p, got); s != nil || codeOf(err) != client.CodeDocumentChanged {
				t.Errorf("%s %d bytes: %v", format, len(other), err)
			}
		}
	}
}

// TestHostilePreparations: ranges that leave the end of the file, or more, unsigned (specs/ades.md §10.4), and everything
// else that a kept preparation can be made to say. Each has a digest that fits it, and a good signature over that.
func TestHostilePreparations(t *testing.T) {
	w := newWorld(t)
	c := w.client(t, "")
	doc := sample(t, "pdftex-1.4-classic.pdf")
	whole := func(p *client.Preparation) []byte {
		b, err := io.ReadAll(pdf.Reader(doc, doc.Size(), p.PDF.Update))
		check(t, err)
		return b
	}
	ranged := func(p *client.Preparation, r [4]int64) { // says these ranges in both places, and signs them
		p.PDF.ByteRange = r
		at := bytes.Index(p.PDF.Update, []byte("/ByteRange [")) + len("/ByteRange [")
		end := at + bytes.IndexByte(p.PDF.Update[at:], '/')
		text := fmt.Sprintf("%d %d %d %d]", r[0], r[1], r[2], r[3])
		copy(p.PDF.Update[at:end], text+strings.Repeat(" ", end-at-len(text)))
		b := whole(p)
		p.Digest = sum(crypto.SHA256, append(bytes.Clone(b[r[0]:r[0]+r[1]]), b[r[2]:r[2]+r[3]]...))
		p.PDF.Digest = p.Digest
	}
	for name, change := range map[string]func(p *client.Preparation){
		"startxref is not signed": func(p *client.Preparation) {
			r := p.PDF.ByteRange
			cut := int64(len(p.PDF.Update) - bytes.LastIndex(p.PDF.Update, []byte("startxref")))
			ranged(p, [4]int64{0, r[1], r[2], r[3] - cut})
		},
		"the update is not signed":  func(p *client.Preparation) { r := p.PDF.ByteRange; ranged(p, [4]int64{0, p.Size, r[2], r[3]}) },
		"the gap is larger":         func(p *client.Preparation) { r := p.PDF.ByteRange; ranged(p, [4]int64{0, r[1] - 10, r[2], r[3]}) },
		"the gap is larger behind":  func(p *client.Preparation) { r := p.PDF.ByteRange; ranged(p, [4]int64{0, r[1], r[2] + 10, r[3] - 10}) },
		"the gap in the document":   func(p *client.Preparation) { p.PDF.ContentsStart = 10; ranged(p, p.PDF.ByteRange) },
		"the gap behind the update": func(p *client.Preparation) { p.PDF.ContentsEnd = p.Size + int64(len(p.PDF.Update)) + 1 },
		"the gap turned around": func(p *client.Preparation) {
			p.PDF.ContentsStart, p.PDF.ContentsEnd = p.PDF.ContentsEnd, p.PDF.ContentsStart
		},
		"more behind the update": func(p *client.Preparation) {
			p.PDF.Update = append(p.PDF.Update, "\n1 0 obj\n<<>>\nendobj\n"...)
			r := p.PDF.ByteRange
			ranged(p, [4]int64{0, r[1], r[2], r[3] + int64(len("\n1 0 obj\n<<>>\nendobj\n"))})
		},
		"another object in it": func(p *client.Preparation) {
			p.PDF.Update = bytes.Replace(p.PDF.Update, []byte("/Type/Sig"), []byte("/Type/Foo"), 1)
			ranged(p, p.PDF.ByteRange)
		},
		"another digest": func(p *client.Preparation) {
			p.Digest = bytes.Repeat([]byte{1}, 32)
			p.PDF.Digest = p.Digest
		},
		"two digests":        func(p *client.Preparation) { p.Digest = bytes.Repeat([]byte{1}, 32) },
		"another base":       func(p *client.Preparation) { p.PDF.BaseSize-- },
		"no PDF in it":       func(p *client.Preparation) { p.PDF = nil },
		"a PDF beside CAdES": func(p *client.Preparation) { p.Format = client.CAdES },
		"another version":    func(p *client.Preparation) { p.Version++ },
		"another level":      func(p *client.Preparation) { p.Level = "B-X" },
		"another hash":       func(p *client.Preparation) { p.Hash = "SHA-1" },
		"no size":            func(p *client.Preparation) { p.Size = 0 },
	} {
		p := prepare(t, c, doc, client.Options{})
		change(p)
		if err := c.Unchanged(t.Context(), doc, doc.Size(), p); err == nil {
			t.Errorf("%s: would be sent", name)
		}
		got := &client.Product{}
		if hashes[p.Hash] != 0 && p.PDF != nil && p.Format == client.PAdES && len(p.Digest) == 32 {
			got = w.sign(t, p, lies{})
		}
		s, err := c.Finish(t.Context(), doc, doc.Size(), p, got)
		if code := codeOf(err); s != nil || code != client.CodeBadPreparation && code != client.CodeDocumentChanged {
			t.Errorf("%s: %v %v", name, s, err)
		}
	}
}

// TestACertificateYoungerThanThePreparation: it was not valid at the claimed time. A second preparation is good; CAdES, whose claimed time
// comes from the service, needs none.
func TestACertificateYoungerThanThePreparation(t *testing.T) {
	w := newWorld(t)
	c := w.client(t, "")
	doc := sample(t, "libreoffice-writer.pdf")
	p, q := prepare(t, c, doc, client.Options{}), prepare(t, c, doc, client.Options{Format: client.CAdES})
	w.from = time.Now().Truncate(time.Second).Add(time.Second)
	time.Sleep(time.Until(w.from))
	w.leaf = w.person(t)
	s, err := c.Finish(t.Context(), doc, doc.Size(), p, w.sign(t, p, lies{}))
	if s != nil || codeOf(err) != client.CodeCertificateNew {
		t.Errorf("%v %v", s, err)
	}
	_, err = c.Finish(t.Context(), doc, doc.Size(), q, w.sign(t, q, lies{}))
	check(t, err)
	p = prepare(t, c, doc, client.Options{})
	_, err = c.Finish(t.Context(), doc, doc.Size(), p, w.sign(t, p, lies{}))
	check(t, err)
}

// TestNoPreparation: one of a list that was not made is an error and no crash.
func TestNoPreparation(t *testing.T) {
	w := newWorld(t)
	c := w.client(t, "")
	doc := sample(t, "fpdf2.pdf")
	_, finish := c.Finish(t.Context(), doc, doc.Size(), nil, &client.Product{})
	_, send := c.Send(t.Context(), client.Order{}, nil)
	_, digests := c.SendDigests(t.Context(), "sr_1", "", nil)
	for _, err := range []error{finish, send, digests, c.Unchanged(t.Context(), doc, doc.Size(), nil)} {
		if codeOf(err) != client.CodeBadPreparation {
			t.Error(err)
		}
	}
}

func TestASpaceThatIsTooSmall(t *testing.T) {
	w := newWorld(t)
	c := w.client(t, "")
	doc := sample(t, "libreoffice-writer.pdf")
	p := prepare(t, c, doc, client.Options{Reserve: 1000})
	s, err := c.Finish(t.Context(), doc, doc.Size(), p, w.sign(t, p, lies{}))
	if s != nil || codeOf(err) != client.CodeTooLarge || !strings.Contains(err.Error(), "Reserve") {
		t.Errorf("%v %v", s, err)
	}
}
