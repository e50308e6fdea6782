package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"tekend/cms"
	"tekend/pdf"
	"tekend/tsa"
	"tekend/validate"
)

// pades brings documents to a level, with a key of this process and the time-stamps of the sandbox.
type pades struct {
	stamper *tsa.Client
	key     *ecdsa.PrivateKey
	cert    *x509.Certificate
	data    pdf.Material
}

func (b *bench) pades() *pades {
	p := &pades{stamper: b.stamper(), key: softwareKey()}
	p.cert = need(selfSigned(p.key))
	// Of the usual number and size; that nobody reads them here makes no difference to the document.
	for range 4 {
		p.data.Certificates = append(p.data.Certificates, need(selfSigned(softwareKey())).Raw)
	}
	p.data.OCSPs, p.data.CRLs = [][]byte{sequence(1800), sequence(1900)}, [][]byte{sequence(700), sequence(20_000)}
	return p
}

// sequence is a DER SEQUENCE of n random bytes in an OCTET STRING.
func sequence(n int) []byte {
	b := make([]byte, n)
	need(rand.Read(b))
	return append([]byte{0x30, 0x82, byte((n + 4) >> 8), byte(n + 4), 0x04, 0x82, byte(n >> 8), byte(n)}, b...)
}

// stamp is a token for a digest.
func (p *pades) stamp(digest []byte) []byte {
	return need(p.stamper.Stamp(context.Background(), digest, crypto.SHA256)).Raw
}

// sign gives the updates that bring a document to the level. known is what its upload left, or nil.
func (p *pades) sign(doc io.ReaderAt, size int64, level string, known *pdf.Prefix) []byte {
	room := need(cms.Size(p.cert, nil, p.stamper.LearnedSize())) + 1024
	prepared := need(pdf.Prepare(doc, size, pdf.Options{SignatureTime: time.Now(), Reserve: room, Known: known}))
	parts := cms.Parts{SignedAttrs: need(cms.SignedAttributes(prepared.Digest, p.cert)), Certificate: p.cert}
	dtbs := sha256.Sum256(parts.SignedAttrs)
	parts.Value = need(p.key.Sign(rand.Reader, dtbs[:], crypto.SHA256))
	if level != "B-B" {
		imprint := sha256.Sum256(parts.Value)
		parts.TimeStampToken = p.stamp(imprint[:])
	}
	updates := need(prepared.Embed(need(cms.Assemble(parts))))
	if level != "B-LTA" {
		return updates
	}
	r := pdf.Reader(doc, size, updates)
	updates = append(updates, need(pdf.AddDSS(r, r.Size(), p.data, pdf.Budget{}))...)
	r = pdf.Reader(doc, size, updates)
	stamp := need(pdf.Prepare(r, r.Size(), pdf.Options{TimeStamp: true, Reserve: p.stamper.LearnedSize() + 1024, Known: prepared.Prefix()}))
	return append(updates, need(stamp.Embed(p.stamp(stamp.Digest)))...)
}

// signing is G8: from the file to the signed file beside one pass that copies and hashes.
func (b *bench) signing(kind string) []row {
	const rounds = 9
	in, out := b.document(kind, "100MB"), filepath.Join(b.tmp, "out.pdf")
	p := b.pades()
	sign := func(level string) func() {
		return func() {
			src := need(os.Open(in))
			defer func() { _ = src.Close() }()
			size := need(src.Stat()).Size()
			must(write(out, src, size, p.sign(src, size, level, nil)))
		}
	}
	levels := []string{"B-B", "B-T", "B-LTA"}
	must(floor(in, out)) // both warm
	sign("B-LTA")()
	cpu, wall := map[string]sample{}, map[string]sample{}
	measure := func(name string, f func()) {
		w, c := timed(f)
		wall[name], cpu[name] = append(wall[name], w*1e3), append(cpu[name], c*1e3)
	}
	for range rounds {
		measure("floor", func() { must(floor(in, out)) })
		for _, level := range levels {
			measure(level, sign(level))
		}
	}
	var rows []row
	for _, level := range levels {
		name := "G8: sign 100 MB " + kind + " to " + level + " / one pass of copy + SHA-256"
		for _, c := range []struct {
			what string
			of   map[string]sample
		}{{"CPU", cpu}, {"wall", wall}} {
			r := ratios(c.of[level], c.of["floor"])
			rows = append(rows, row{goal: name + ", " + c.what, must: "≤ 1.15", measured: r.show("%.2f", ""),
				raw: c.of[level].show("%.0f", " ms") + " / " + c.of["floor"].show("%.0f", " ms"), verdict: verdict(r.median() <= 1.15)})
		}
	}
	return rows
}

// write makes the signed file: the kernel copies the document, the update follows.
func write(path string, src *os.File, size int64, update []byte) error {
	dst, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := src.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if _, err := io.CopyN(dst, src, size); err != nil { // copy_file_range
		return err
	}
	if _, err := dst.Write(update); err != nil {
		return err
	}
	return dst.Close()
}

// counted tells how many bytes were read.
type counted struct {
	io.ReaderAt
	n *atomic.Int64
}

func (c counted) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(p, off)
	c.n.Add(int64(n))
	return n, err
}

// again is the second signature on a document that the first brought to B-LTA.
func (b *bench) again() []row {
	in := b.document("big", "400MB")
	p := b.pades()
	src := need(os.Open(in))
	defer func() { _ = src.Close() }()
	size := need(src.Stat()).Size()
	upload := pdf.NewPrefixHasher(crypto.SHA256)
	need(io.CopyBuffer(upload, plain{src}, make([]byte, copyBuffer)))
	known := need(upload.Prefix())
	var read atomic.Int64
	base := counted{src, &read}
	updates := p.sign(base, size, "B-LTA", &known)
	var rows []row
	for _, c := range []struct {
		name  string
		known *pdf.Prefix
	}{{"and what the upload left", &known}, {"alone", nil}} {
		read.Store(0)
		r := pdf.Reader(base, size, updates)
		wall, _ := timed(func() { p.sign(r, r.Size(), "B-LTA", c.known) })
		share := float64(read.Load()) / float64(size)
		rows = append(rows, row{goal: "second signature on 400 MB, B-LTA on B-LTA, from the document " + c.name + ": bytes read / its size", must: "≤ 1, structure apart",
			measured: fmt.Sprintf("%.4f", share), raw: fmt.Sprintf("%d bytes; %.0f ms", read.Load(), wall*1e3), verdict: verdict(share <= 1.001)})
	}
	return rows
}

// judging is validate's work on a document of 100 MB beside hashing it. Its verdict is not looked at: the key is of the
// bench's own making.
func (b *bench) judging() []row {
	const rounds = 9
	p := b.pades()
	var rows []row
	for _, kind := range []string{"big", "pages"} {
		in, out := b.document(kind, "100MB"), filepath.Join(b.tmp, "judged.pdf")
		src := need(os.Open(in))
		size := need(src.Stat()).Size()
		must(write(out, src, size, p.sign(src, size, "B-LTA", nil)))
		must(src.Close())
		doc := need(os.Open(out))
		size = need(doc.Stat()).Size()
		roots := x509.NewCertPool()
		roots.AddCert(p.cert)
		roots.AppendCertsFromPEM(need(os.ReadFile(b.info.RootPEM)))
		judge := func() {
			rep := need(validate.PDF(context.Background(), doc, size, validate.Options{Roots: roots, At: time.Now(), NoRevocation: true}))
			demand(len(rep.Signatures) == 2, "%d signatures", len(rep.Signatures))
		}
		hash := func() {
			need(doc.Seek(0, io.SeekStart))
			need(io.CopyBuffer(sha256.New(), plain{doc}, make([]byte, copyBuffer)))
		}
		hash()
		judge()
		var cpu, wall, hashCPU, hashWall sample
		for range rounds {
			w, c := timed(hash)
			hashWall, hashCPU = append(hashWall, w*1e3), append(hashCPU, c*1e3)
			w, c = timed(judge)
			wall, cpu = append(wall, w*1e3), append(cpu, c*1e3)
		}
		must(doc.Close())
		cpuRatio, wallRatio := ratios(cpu, hashCPU), ratios(wall, hashWall)
		rows = append(rows, row{goal: "validate 100 MB " + kind + ", B-LTA / SHA-256 of the file, CPU", must: "≤ 1.5", measured: cpuRatio.show("%.2f", ""),
			raw: cpu.show("%.0f", " ms") + " / " + hashCPU.show("%.0f", " ms") + "; wall " + wallRatio.show("%.2f", ""), verdict: verdict(cpuRatio.median() <= 1.5)})
	}
	return rows
}
