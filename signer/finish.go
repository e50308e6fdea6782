package signer

import (
	"context"
	"crypto"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"tekend/cms"
	"tekend/pdf"
	"tekend/validate"
)

// finish is step 7. Every part is repeatable and none needs the key: time-stamp, assemble, embed, check
// our own product. What does not pass is not released.
func (s *Service) finish(ctx context.Context, rec *Record) error {
	next := *rec
	next.Documents = slices.Clone(rec.Documents)
	err := s.finishDocuments(ctx, &next)
	if err == nil {
		next.State = Finished
		next.Progress.Notice = nil
		return s.advance(ctx, rec, Change{Now: &next, Works: true})
	}
	var own *Error
	if errors.As(err, &own) && !own.Retryable {
		return err
	}
	if !s.now().Before(rec.Progress.SignedAt.Add(s.cfg.FinishWithin)) {
		s.cfg.Log.Error("not finished before the deadline", "request", rec.ID, "err", err)
		return ErrStampLate
	}
	if newStamps(rec, &next) {
		// Time-stamps that came already are kept for the next try.
		if e := s.put(ctx, Change{Was: rec.State, Now: &next, Works: true}); e != nil {
			return e
		}
		*rec = next
	}
	return err
}

func newStamps(old, now *Record) bool {
	for i := range now.Documents {
		if now.Documents[i].Work != old.Documents[i].Work {
			return true
		}
	}
	return false
}

func (s *Service) finishDocuments(ctx context.Context, rec *Record) error {
	for i := range rec.Documents {
		if err := s.finishDocument(ctx, rec, &rec.Documents[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) finishDocument(ctx context.Context, rec *Record, d *Document) error {
	w := *d.Work
	if w.Update != nil {
		return nil
	}
	leaf, chain, err := parseChain(rec.Progress.Chain)
	if err != nil {
		return err
	}
	if rec.Level != "B-B" && w.TimeStamp == nil {
		if s.now().After(leaf.NotAfter) {
			return errStampedLate
		}
		digest := sha256.Sum256(w.Value)
		t, err := s.dep.Stamper.Stamp(ctx, digest[:], crypto.SHA256)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			s.cfg.Log.Warn("time-stamp", "request", rec.ID, "err", err)
			return ErrTSA
		}
		if t.GenTime.After(leaf.NotAfter) {
			return errStampedLate
		}
		w.TimeStamp = t.Raw
		kept := w
		d.Work = &kept
	}
	der, err := cms.Assemble(cms.Parts{
		SignedAttrs: w.SignedAttrs, Value: w.Value, Certificate: leaf, Chain: chain, TimeStampToken: w.TimeStamp,
	})
	if err != nil {
		s.cfg.Log.Error("assemble", "request", rec.ID, "err", err)
		return ErrOwnCheck.with("the signature value does not fit the certificate")
	}
	if w.Update, err = w.Prepared.Embed(der); err != nil {
		return pdfError(err)
	}
	if err := s.checkProduct(ctx, rec, d, &w); err != nil {
		return err
	}
	d.Work = &w
	return nil
}

// checkProduct validates the whole signed document as anybody else would. Earlier signatures in it are
// their makers' matter; ours must be TOTAL_PASSED, at the level asked for, over the whole file.
func (s *Service) checkProduct(ctx context.Context, rec *Record, d *Document, w *Work) error {
	f, err := s.dep.Blobs.Open(ctx, d.Blob)
	if err != nil {
		return fmt.Errorf("open document: %w", err)
	}
	defer f.Close()
	r := pdf.Reader(f, d.Size, w.Update)
	report, err := validate.PDF(ctx, r, r.Size(), validate.Options{Roots: s.dep.Roots, At: s.now(), NoRevocation: true})
	if err != nil {
		return fmt.Errorf("check our product: %w", err)
	}
	for _, sig := range report.Signatures {
		if sig.FieldName != w.Prepared.FieldName {
			continue
		}
		if sig.Indication == validate.TotalPassed && sig.Level == rec.Level && sig.CoversWholeFile && !sig.LaterChanges {
			return nil
		}
		s.cfg.Log.Error("own product refused", "request", rec.ID, "document", d.ID,
			"indication", fmt.Sprint(sig.Indication), "sub", sig.SubIndication, "level", sig.Level, "reasons", sig.Reasons)
		return ErrOwnCheck
	}
	s.cfg.Log.Error("own product has no signature of ours", "request", rec.ID, "document", d.ID)
	return ErrOwnCheck
}
