package client

import (
	"context"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"io"
	"slices"
	"time"

	"tekend/pdf"
	"tekend/validate"
)

// Signed is a signed document. With PAdES it is the document with Update behind it; see [Signed.Reader].
type Signed struct {
	Update    []byte            // PAdES: to be appended to the document
	Signature []byte            // CAdES: the detached signature, DER
	Level     string            // that our own check found; never below the one of the preparation
	Signer    *x509.Certificate // whom the signature is of; who was expected to sign is for the caller to compare
	Time      time.Time         // of the signature time-stamp; of our clock at level B-B
	Report    *validate.Report  // our own check
}

// Reader gives the whole signed PDF; document is the one that was prepared.
func (s *Signed) Reader(document io.ReaderAt, size int64) *io.SectionReader {
	return pdf.Reader(document, size, s.Update)
}

// Verdict is a check of our own that did not pass.
type Verdict struct{ Report *validate.Report }

// Error implements error.
func (v *Verdict) Error() string {
	text := v.Report.Indication.String()
	if v.Report.SubIndication != "" {
		text += " (" + v.Report.SubIndication + ")"
	}
	for _, s := range v.Report.Signatures {
		for _, r := range s.Reasons {
			text += "; " + r
		}
	}
	return text
}

// Finish proves a product, embeds it in the document that was prepared, raises the whole to the level of the preparation,
// and judges the result as a stranger would before it gives it out. Equal arguments may be given again after a crash. It
// embeds nothing into a document whose bytes are not those that were prepared, or into a space that is not the one of this
// package: whoever gave us that would have the person sign over bytes that leave the end of the file, and with it what
// the file shows, unsigned (specs/ades.md §10.4). Only a document time-stamp (B-LTA) asks somebody, Config.TSA,
// by a digest, and Config.Revocation whom it asks. Errors: bad_preparation, document_changed, document, bad_product, certificate_new, signature_too_large,
// time_stamp, not_passed.
func (c *Client) Finish(ctx context.Context, document io.ReaderAt, size int64, p *Preparation, got *Product) (*Signed, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if size != p.Size {
		return nil, errf(CodeDocumentChanged, "its size is another one")
	}
	in := &cancelled{ctx, document}
	if p.Format == CAdES {
		return c.finishCAdES(ctx, in, p, got)
	}
	known, err := p.unchanged(in)
	if err != nil {
		return nil, err
	}
	who, err := c.prove(p, got)
	if err != nil {
		return nil, err
	}
	update, err := p.PDF.Embed(got.CMS)
	if err != nil {
		return nil, embedError(err)
	}
	if atLeast(p.Level, "B-LT") {
		m := pdf.Material{Certificates: slices.Concat(got.Certificates, got.Extra), OCSPs: got.OCSPs, CRLs: got.CRLs}
		r := pdf.Reader(in, size, update)
		more, err := pdf.AddDSS(r, r.Size(), m, c.cfg.PDF)
		if err != nil {
			return nil, wrap(CodeDocument, "validation data", err)
		}
		update = slices.Concat(update, more)
	}
	at := latest(c.cfg.Now(), who.time)
	if p.Level == "B-LTA" {
		more, when, err := c.stamp(ctx, pdf.Reader(in, size, update), p, known)
		if err != nil {
			return nil, err
		}
		update, at = slices.Concat(update, more), latest(at, when)
	}
	r := pdf.Reader(in, size, update)
	rep, err := validate.PDF(ctx, r, r.Size(), c.options(p, at))
	if err != nil {
		return nil, wrap(CodeDocument, "our own check", err)
	}
	return conclude(&Signed{Update: update, Signer: who.signer, Time: who.time, Report: rep}, p)
}

// Unchanged reads a document and tells whether it is the one of a preparation. Whoever goes on with what he kept asks this before
// [Client.SendDigests]: a person who confirms what is not there any more would have to confirm again. Errors:
// bad_preparation, document_changed, document.
func (c *Client) Unchanged(ctx context.Context, document io.ReaderAt, size int64, p *Preparation) error {
	if err := p.check(); err != nil {
		return err
	}
	if size != p.Size {
		return errf(CodeDocumentChanged, "its size is another one")
	}
	in := &cancelled{ctx, document}
	if p.Format == CAdES {
		return p.unchangedData(in)
	}
	_, err := p.unchanged(in)
	return err
}

// unchanged reads the document and tells whether it is the one that was prepared, and whether the preparation is one of
// ours: that what will be signed is this document and an update which does nothing but sign, without a byte left out but
// the space for the CMS. What it gives spares a second reading for the document time-stamp.
func (p *Preparation) unchanged(document io.ReaderAt) (*pdf.Prefix, error) {
	switch start, end := p.PDF.ContentsStart, p.PDF.ContentsEnd; {
	case start < p.Size || end <= start || end-p.Size > int64(len(p.PDF.Update)):
		return nil, errf(CodeBadPreparation, "the space for the signature is not in the update")
	case p.PDF.ByteRange != [4]int64{0, start, end, p.Size + int64(len(p.PDF.Update)) - end}:
		return nil, errf(CodeBadPreparation, "its ranges are not the whole file around the space for the signature")
	}
	w := pdf.NewPrefixHasher(hashes[p.Hash])
	if _, err := io.CopyBuffer(w, sequential(document, p.Size), make([]byte, copyBuffer)); err != nil {
		return nil, wrap(CodeDocument, "", err)
	}
	known, err := w.Prefix()
	if err != nil {
		return nil, wrap(CodeDocument, "", err)
	}
	if subtle.ConstantTimeCompare(w.SHA256(), p.PDF.BaseDigest) != 1 {
		return nil, errf(CodeDocumentChanged, "its digest is another one")
	}
	now := p.PDF.Base()
	now.State = known.State // of the document as it is, whatever was kept
	if _, ok := now.Links(hashes[p.Hash], p.Digest); !ok {
		return nil, errf(CodeBadPreparation, "its digest is not the one of this document with its update")
	}
	if err := now.OnlySigns(); err != nil {
		return nil, wrap(CodeBadPreparation, "", err)
	}
	return &known, nil
}

func embedError(err error) error {
	if hasCode(err, pdf.CodeCMSTooLarge) {
		return wrap(CodeTooLarge, "prepare the document again with a larger Reserve, and order anew", err)
	}
	return wrap(CodeBadPreparation, "", err)
}

func hasCode(err error, code string) bool {
	e, ok := errors.AsType[*pdf.Error](err)
	return ok && e.Code == code
}

// stamp makes a document time-stamp over the whole of r. A token larger than its space costs a second one, which is
// harmless: it is no signature of a person.
func (c *Client) stamp(ctx context.Context, r *io.SectionReader, p *Preparation, known *pdf.Prefix) ([]byte, time.Time, error) {
	h := hashes[p.Hash]
	for last := false; ; last = true {
		prepared, err := pdf.Prepare(r, r.Size(), pdf.Options{TimeStamp: true, Reserve: c.tsa.LearnedSize() * 6 / 5, Hash: h, Known: known, Budget: c.cfg.PDF})
		if err != nil {
			return nil, time.Time{}, wrap(CodeDocument, "document time-stamp", err)
		}
		token, err := c.tsa.Stamp(ctx, prepared.Digest, h)
		if err != nil {
			return nil, time.Time{}, wrap(CodeTimeStamp, "", err)
		}
		update, err := prepared.Embed(token.Raw)
		if err == nil {
			return update, token.GenTime, nil
		}
		if last || !hasCode(err, pdf.CodeCMSTooLarge) {
			return nil, time.Time{}, wrap(CodeTimeStamp, "", err)
		}
	}
}

// options of our own check. Levels from B-LT on are judged by what the product itself holds, whoever is asked besides.
func (c *Client) options(p *Preparation, at time.Time) validate.Options {
	o := validate.Options{Roots: c.cfg.Roots, At: at, PDF: c.cfg.PDF, Revocation: c.cfg.Revocation}
	o.NoRevocation = o.Revocation == nil && !atLeast(p.Level, "B-LT")
	if p.PDF != nil {
		o.Only = []string{p.PDF.FieldName} // earlier signatures are not ours to judge
	}
	return o
}

// conclude gives the signed document out when its own signature passed, with the level that was wanted.
func conclude(s *Signed, p *Preparation) (*Signed, error) {
	for _, one := range s.Report.Signatures {
		if one.Kind != validate.KindSignature || p.PDF != nil && one.FieldName != p.PDF.FieldName {
			continue
		}
		if one.Indication == validate.TotalPassed && atLeast(one.Level, p.Level) {
			s.Level = one.Level
			return s, nil
		}
	}
	return nil, wrap(CodeNotPassed, "wanted level "+p.Level, &Verdict{s.Report})
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
