package main

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"time"

	"tekend/cms"
	"tekend/pdf"
)

// smallDocument is where the process with the key finds its document.
const smallDocument = "100KB.pdf"

// small is G5 and G7: a CMS for a digest, and the whole way of a small document, beside the raw signature in them.
func (b *bench) small() []row {
	t := b.tokens()
	must(os.WriteFile(filepath.Join(t.dir, smallDocument), need(os.ReadFile(b.document("pages", "100kB"))), 0o600))
	const rounds = 9
	var bare, verified, document, unverified, lta, sign sample
	var cpu sample
	for range rounds {
		raw := t.raw.measure("sign-p256", 1500)
		c, d, l := t.hsm.measure("cms", 700), t.hsm.measure("pades-B-T", 150), t.hsm.measure("pades-B-LTA", 80)
		verify := t.hsm.measure("verify", 1500).CPU
		work := t.hsm.measure("cms-of-value", 1500).CPU - verify
		bare, verified = append(bare, raw.CPU/(raw.CPU+work)), append(verified, raw.CPU/c.CPU)
		document, lta = append(document, raw.CPU/d.CPU), append(lta, raw.CPU/l.CPU)
		// The document's value by hsm and by cms, the token's by hsm.
		unverified = append(unverified, raw.CPU/(d.CPU-3*verify))
		sign, cpu = append(sign, raw.CPU/t.hsm.measure("sign-p256", 1000).CPU), append(cpu, raw.CPU*1e6)
	}
	return []row{
		{goal: "G5: raw C_Sign / raw C_Sign and the CMS B-B for a digest, P-256, CPU", must: "≥ 0.70", measured: bare.show("%.2f", ""),
			raw:     "with the value verified by hsm and by cms " + verified.show("%.2f", "") + "; raw / hsm's verified sign " + sign.show("%.2f", "") + "; raw " + cpu.show("%.0f", " µs"),
			verdict: verdict(bare.median() >= 0.70)},
		{goal: "G7: raw C_Sign / PAdES-B-T of 100 KB, key and time-stamping unit in this process, P-256, CPU", must: "≥ 0.15",
			measured: document.show("%.2f", ""), raw: "without the three verifications of values, as its prototype was, " + unverified.show("%.2f", ""),
			verdict: verdict(document.median() >= 0.15)},
		{goal: "raw C_Sign / PAdES-B-LTA of the same", measured: lta.show("%.2f", ""), verdict: info},
	}
}

// addSigning adds what small measures: every value is verified by package hsm, every token by its maker.
func addSigning(ops map[string]func() error, s crypto.Signer, token func([sha256.Size]byte) ([]byte, error), dir string) error {
	cert, err := selfSigned(s)
	if err != nil {
		return err
	}
	// signed is the CMS for the digest of a document.
	signed := func(digest []byte, stamped bool) ([]byte, error) {
		parts := cms.Parts{Certificate: cert}
		var err error
		if parts.SignedAttrs, err = cms.SignedAttributes(digest, cert); err != nil {
			return nil, err
		}
		dtbs := sha256.Sum256(parts.SignedAttrs)
		if parts.Value, err = s.Sign(rand.Reader, dtbs[:], crypto.SHA256); err != nil {
			return nil, err
		}
		if stamped {
			if parts.TimeStampToken, err = token(sha256.Sum256(parts.Value)); err != nil {
				return nil, err
			}
		}
		return cms.Assemble(parts)
	}
	digest := sha256.Sum256([]byte("bench"))
	ops["cms"] = func() error {
		_, err := signed(digest[:], false)
		return err
	}
	// The goal is about the CMS, not about verifying: its prototype did not. So what is made here of a value that is there has
	// the verification in it taken off again.
	attrs, err := cms.SignedAttributes(digest[:], cert)
	if err != nil {
		return err
	}
	dtbs := sha256.Sum256(attrs)
	value, err := s.Sign(rand.Reader, dtbs[:], crypto.SHA256)
	if err != nil {
		return err
	}
	ops["cms-of-value"] = func() error {
		attrs, err := cms.SignedAttributes(digest[:], cert)
		if err != nil {
			return err
		}
		_, err = cms.Assemble(cms.Parts{SignedAttrs: attrs, Value: value, Certificate: cert})
		return err
	}
	ops["verify"] = func() error { return cms.ECDSAWithSHA256.Verify(cert.PublicKey, dtbs[:], value) }
	// As much room as the signer leaves: what the last token took, and some to spare.
	last, err := token(dtbs)
	if err != nil {
		return err
	}
	room, err := cms.Size(cert, nil, len(last))
	if err != nil {
		return err
	}
	room += 1024
	data := pdf.Material{Certificates: [][]byte{cert.Raw}, OCSPs: [][]byte{sequence(1800)}, CRLs: [][]byte{sequence(700)}}
	document := func(level string) func() error {
		return func() error {
			doc, err := os.Open(filepath.Join(dir, smallDocument))
			if err != nil {
				return err
			}
			defer func() { _ = doc.Close() }()
			info, err := doc.Stat()
			if err != nil {
				return err
			}
			p, err := pdf.Prepare(doc, info.Size(), pdf.Options{SignatureTime: time.Now(), Reserve: room})
			if err != nil {
				return err
			}
			der, err := signed(p.Digest, true)
			if err != nil {
				return err
			}
			up, err := p.Embed(der)
			if err != nil || level == "B-T" {
				return err
			}
			return archive(doc, info.Size(), up, p, data, token)
		}
	}
	ops["pades-B-T"], ops["pades-B-LTA"] = document("B-T"), document("B-LTA")
	return nil
}

// archive brings what p signed, with the update up, to B-LTA.
func archive(doc io.ReaderAt, size int64, up []byte, p *pdf.Prepared, data pdf.Material, token func([sha256.Size]byte) ([]byte, error)) error {
	r := pdf.Reader(doc, size, up)
	dss, err := pdf.AddDSS(r, r.Size(), data, pdf.Budget{})
	if err != nil {
		return err
	}
	r = pdf.Reader(doc, size, append(up, dss...))
	stamp, err := pdf.Prepare(r, r.Size(), pdf.Options{TimeStamp: true, Reserve: 8 << 10, Known: p.Prefix()})
	if err != nil {
		return err
	}
	der, err := token([sha256.Size]byte(stamp.Digest))
	if err != nil {
		return err
	}
	_, err = stamp.Embed(der)
	return err
}
