//go:build interop

package twins

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"slices"
	"testing"
	"time"

	"tekend/cms"
	"tekend/pdf"
)

// twin is a file to be judged. The zero what: nothing is wrong with it.
type twin struct {
	class, name string
	level       string // of a product, as package validate says it
	file        []byte
	content     []byte // of a detached signature
	aside       bool   // status of certificates is given beside the file
	of          person
}

// pades signs the base document; change may take the place of what is embedded.
func (w *world) pades(t testing.TB, p person, stamp func(value []byte) []byte, change func(*signed)) []byte {
	t.Helper()
	prep, err := pdf.Prepare(bytes.NewReader(w.base), int64(len(w.base)), pdf.Options{SignatureTime: time.Now(), Reserve: 12 << 10, Hash: crypto.SHA256})
	check(t, err)
	attrs, err := p.alg.SignedAttributes(prep.Digest, p.leaf)
	check(t, err)
	parts := w.sign(t, p, attrs)
	if stamp != nil {
		parts.TimeStampToken = stamp(parts.Value)
	}
	der, err := cms.Assemble(parts)
	check(t, err)
	if change != nil {
		c := openCMS(t, der)
		change(c)
		der = c.root.der()
	}
	update, err := prep.Embed(der)
	check(t, err)
	return slices.Concat(w.base, update)
}

func (w *world) sign(t testing.TB, p person, attrs []byte) cms.Parts {
	t.Helper()
	value, err := p.key.Sign(rand.Reader, digest(p.alg.Hash(), attrs), p.alg.Options())
	check(t, err)
	return cms.Parts{SignedAttrs: attrs, Value: value, Certificate: p.leaf, Chain: []*x509.Certificate{w.issuing}}
}

// genuine is the unit's time-stamp of a value.
func (w *world) genuine(t testing.TB) func([]byte) []byte {
	return func(v []byte) []byte { return w.token(t, digest(crypto.SHA256, v)) }
}

func store(t testing.TB, doc []byte, m pdf.Material) []byte {
	t.Helper()
	update, err := pdf.AddDSS(bytes.NewReader(doc), int64(len(doc)), m, pdf.Budget{})
	check(t, err)
	return slices.Concat(doc, update)
}

// archive adds a document time-stamp, made by token of the digest.
func archive(t testing.TB, doc []byte, token func(digest []byte) []byte) []byte {
	t.Helper()
	p, err := pdf.Prepare(bytes.NewReader(doc), int64(len(doc)), pdf.Options{TimeStamp: true, Reserve: 6 << 10, Hash: crypto.SHA256})
	check(t, err)
	update, err := p.Embed(token(p.Digest))
	check(t, err)
	return slices.Concat(doc, update)
}

// signatures lists what is in a document of ours.
func signatures(t testing.TB, doc []byte) []pdf.Signature {
	t.Helper()
	list, err := pdf.Signatures(bytes.NewReader(doc), int64(len(doc)), pdf.Budget{})
	check(t, err)
	return list
}

// embed writes another CMS into a document's Contents.
func embed(t testing.TB, doc []byte, s pdf.Signature, der []byte) []byte {
	t.Helper()
	room := int(s.ContentsEnd-s.ContentsStart) - 2
	text := bytes.Repeat([]byte("0"), room)
	if hex.EncodedLen(len(der)) > room {
		t.Fatalf("%d bytes are too many", len(der))
	}
	hex.Encode(text, der)
	return slices.Concat(doc[:s.ContentsStart+1], text, doc[s.ContentsEnd-1:])
}

// cadesLT is a CAdES signature with all data, not archived.
func (w *world) cadesLT(t testing.TB, p person, stamp func([]byte) []byte) cms.Parts {
	t.Helper()
	attrs, err := p.alg.CAdESAttributes(digest(p.alg.Hash(), w.content), p.leaf, time.Now(), "text/plain")
	check(t, err)
	parts := w.sign(t, p, attrs)
	parts.TimeStampToken = stamp(parts.Value)
	m := w.data(t, p)
	parts.ExtraCertificates, parts.OCSPs, parts.CRLs = m.Certificates, m.OCSPs, m.CRLs
	return parts
}

// cadesLTA archives with a token of the imprint, from forge when it is given.
func (w *world) cadesLTA(t testing.TB, p cms.Parts, forge func(imprint []byte) []byte) cms.Parts {
	t.Helper()
	imprint, index, err := cms.ArchiveImprintOf(p, digest(crypto.SHA256, w.content), crypto.SHA256)
	check(t, err)
	if forge == nil {
		forge = func(b []byte) []byte { return w.token(t, b) }
	}
	token, err := cms.WithHashIndex(forge(imprint), index)
	check(t, err)
	p.Archive = append(slices.Clone(p.Archive), token)
	return p
}

func assembled(t testing.TB, p cms.Parts) []byte {
	t.Helper()
	der, err := cms.Assemble(p)
	check(t, err)
	return der
}

func (w *world) attached(t testing.TB, p cms.Parts) []byte {
	t.Helper()
	before, after, err := cms.Frame(p, int64(len(w.content)))
	check(t, err)
	return slices.Concat(before, w.content, after)
}

// products are the valid ones, from which all twins are made.
type products struct {
	bb, bt, lt, lta         map[string][]byte // PDFs by key
	cadesP256, attachedP256 []byte            // CAdES LTA
	all                     []twin
}

func (w *world) products(t testing.TB) *products {
	t.Helper()
	p := &products{map[string][]byte{}, map[string][]byte{}, map[string][]byte{}, map[string][]byte{}, nil, nil, nil}
	for name, who := range w.people() {
		p.bb[name] = w.pades(t, who, nil, nil)
		p.bt[name] = w.pades(t, who, w.genuine(t), nil)
		p.lt[name] = store(t, p.bt[name], w.data(t, who))
		p.lta[name] = archive(t, p.lt[name], func(d []byte) []byte { return w.token(t, d) })
		for level, file := range map[string][]byte{"B-B": p.bb[name], "B-T": p.bt[name], "B-LT": p.lt[name], "B-LTA": p.lta[name]} {
			p.all = append(p.all, twin{"product", "PAdES " + level + " " + name, level, file, nil, level == "B-B" || level == "B-T", who})
		}
		lta := w.cadesLTA(t, w.cadesLT(t, who, w.genuine(t)), nil)
		detached, attached := assembled(t, lta), w.attached(t, lta)
		if name == "P-256" {
			p.cadesP256, p.attachedP256 = detached, attached
		}
		p.all = append(p.all, twin{"product", "CAdES detached " + name, "B-LTA", detached, w.content, false, who},
			twin{"product", "CAdES attached " + name, "B-LTA", attached, nil, false, who})
	}
	return p
}

func (w *world) people() map[string]person { return map[string]person{"P-256": w.p256, "PSS": w.pss} }
