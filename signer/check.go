package signer

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"fmt"
	"io"
	"time"

	"tekend/certs"
	"tekend/tsa"
	"tekend/validate"
)

// checkProduct validates what was made as anybody else would, before it is released, and gives the level that it has: at
// least the ordered one, by our own signature. From B-LT on nothing is asked outside: the product must prove itself.
func (s *Service) checkProduct(ctx context.Context, rec *Record, d *Document, w *Work) (level string, err error) {
	o := validate.Options{Roots: s.dep.Roots, At: s.present(w), PDF: s.cfg.PDF}
	if levelOf(rec.Level) <= levelOf(LevelBT) {
		o.Revocation = inSecond{s.dep.Revocation}
	}
	if rec.Progress.Hashes || rec.Progress.Format == CAdES {
		return s.checkCMS(ctx, rec, d, w, o)
	}
	f, err := s.openBase(ctx, d)
	if err != nil {
		return "", err
	}
	defer f.Close()
	f.addBytes(w.Update)
	// Earlier signatures in it are their makers' matter.
	o.Only = []string{w.Prepared.FieldName}
	report, err := validate.PDF(ctx, f, f.size, o)
	if err != nil {
		return "", fmt.Errorf("check our product: %w", err)
	}
	for i := range report.Signatures {
		if report.Signatures[i].FieldName == w.Prepared.FieldName {
			return s.accept(rec, d, &report.Signatures[i])
		}
	}
	s.cfg.Log.Error("own product has no signature of ours", "request", rec.ID, "document", d.ID)
	return "", ErrOwnCheck
}

// present is when a product is judged. The clock of a time-stamping authority may be ahead of ours by as much as its client
// allows (tsa.ClientConfig.MaxSkew): to us it is as late as its newest time-stamp says.
func (s *Service) present(w *Work) time.Time {
	now := s.now()
	tokens := [][]byte{w.TimeStamp}
	if w.Archive != nil {
		tokens = append(tokens, w.Archive.Token)
	}
	for _, der := range tokens {
		if t, err := tsa.ParseToken(der); err == nil && !t.GenTime.Before(now) {
			now = t.GenTime.Add(time.Microsecond)
		}
	}
	return now
}

// accept decides on the verdict over our signature. ErrLevelWait: it may be better with what can be collected later.
func (s *Service) accept(rec *Record, d *Document, sig *validate.SignatureReport) (string, error) {
	if sig.Indication == validate.TotalPassed && levelOf(sig.Level) >= levelOf(rec.Level) {
		return sig.Level, nil
	}
	s.cfg.Log.Error("own product refused", "request", rec.ID, "document", d.ID,
		"indication", fmt.Sprint(sig.Indication), "sub", sig.SubIndication, "level", sig.Level, "reasons", sig.Reasons)
	switch {
	case sig.Indication == validate.TotalPassed,
		sig.Indication == validate.Indeterminate && sig.SubIndication == validate.TryLater:
		return "", ErrLevelWait
	}
	return "", ErrOwnCheck
}

// inSecond asks for a status of the same second or later: see prove.
type inSecond struct{ Proving }

// Status implements validate.Revoker.
func (r inSecond) Status(ctx context.Context, cert, issuer *x509.Certificate, since time.Time) (*certs.Status, error) {
	return r.Proving.Status(ctx, cert, issuer, since.Truncate(time.Second))
}

// checkCMS is checkProduct for what is no PDF.
func (s *Service) checkCMS(ctx context.Context, rec *Record, d *Document, w *Work, o validate.Options) (string, error) {
	var der io.ReaderAt = bytes.NewReader(w.CMS)
	size, data := int64(len(w.CMS)), validate.Data{}
	if rec.Progress.Hashes {
		data.Digests = map[crypto.Hash][]byte{digestAlgorithms[d.DigestAlgorithm]: d.Digest}
		if data.PDF = rec.Progress.Format != CAdES; data.PDF && w.Material != nil {
			o.Material = *w.Material // it goes beside the signature, into the DSS dictionary
		}
	} else {
		f, err := s.openBase(ctx, d)
		if err != nil {
			return "", err
		}
		defer f.Close()
		if rec.Progress.Packaging == Attached {
			whole := f.between(w.Before, w.After)
			der, size = whole, whole.size
		} else {
			data.Reader, data.Size = f, f.size
		}
	}
	report, err := validate.CMS(ctx, der, size, data, o)
	if err != nil {
		return "", fmt.Errorf("check our product: %w", err)
	}
	if len(report.Signatures) != 1 {
		s.cfg.Log.Error("own product has not one signature", "request", rec.ID, "document", d.ID)
		return "", ErrOwnCheck
	}
	sig := &report.Signatures[0]
	if data.PDF && w.Material != nil && sig.Indication == validate.TotalPassed && sig.Level == validate.LevelBT {
		sig.Level = LevelBLT // nothing was asked outside: what lies beside the signature proves all
	}
	return s.accept(rec, d, sig)
}
