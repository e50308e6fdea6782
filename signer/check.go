package signer

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	"tekend/certs"
	"tekend/validate"
)

// checkProduct validates what was made as anybody else would, before it is released, and gives the level that it has: at
// least the ordered one, by our own signature. From B-LT on nothing is asked outside: the product must prove itself.
func (s *Service) checkProduct(ctx context.Context, rec *Record, d *Document, w *Work) (level string, err error) {
	o := validate.Options{Roots: s.dep.Roots, At: s.now(), PDF: s.cfg.PDF}
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

// accept decides on the verdict over our signature. ErrLevelWait: it may be better with what can be collected later.
func (s *Service) accept(rec *Record, d *Document, sig *validate.SignatureReport) (string, error) {
	if sig.Indication == validate.TotalPassed && levelOf(sig.Level) >= levelOf(rec.Level) {
		return sig.Level, nil
	}
	s.cfg.Log.Error("own product refused", "request", rec.ID, "document", d.ID,
		"indication", fmt.Sprint(sig.Indication), "sub", sig.SubIndication, "level", sig.Level, "reasons", sig.Reasons)
	switch {
	case sig.Indication == validate.TotalPassed,
		sig.Indication == validate.Indeterminate && sig.SubIndication == "TRY_LATER":
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
	return "", ErrLevelWait
}
