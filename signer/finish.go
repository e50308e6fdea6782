package signer

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"tekend/certs"
	"tekend/pdf"
	"tekend/revocation"
	"tekend/tsa"
)

// finish is step 7: time-stamp, proof of the certificates, time-stamp over everything, assemble, check our own product.
// Every part is repeatable and none needs the key. What a partner gave is durable before the next partner is asked, so that
// an outage repeats nothing that was had, and a crash no more than the part under way. What does not pass at the ordered
// level is not released.
func (s *Service) finish(ctx context.Context, rec *Record) error {
	who, err := rec.party()
	if err != nil {
		return err
	}
	now := *rec
	now.Documents = slices.Clone(rec.Documents)
	for _, part := range []func(context.Context, *Record, *party) error{s.stamp, s.prove, s.archive} {
		if err := part(ctx, &now, who); err != nil {
			return s.keepParts(ctx, rec, &now, err)
		}
		// Up to B-T the time-stamp is stored with the product: when all goes well nothing that must be kept comes between.
		if levelOf(rec.Level) <= levelOf(LevelBT) || !worked(rec, &now) {
			continue
		}
		if err := s.put(ctx, Change{Was: rec.State, Now: &now, Works: true}); err != nil {
			return err
		}
		*rec = now
		now.Documents = slices.Clone(rec.Documents)
	}
	for i := range now.Documents {
		if err := s.complete(ctx, rec, &now.Documents[i], who); err != nil {
			return s.keepParts(ctx, rec, &now, err)
		}
	}
	now.State = Finished
	now.Progress.Notice = nil
	return s.advance(ctx, rec, Change{Now: &now, Works: true})
}

// late says how a request fails that waited too long, by what it waited for.
var late = map[string]*Error{
	ErrTSA.Code:        ErrStampLate,
	ErrRevocation.Code: ErrRevocLate,
}

// overdue is why a request fails that waits for cause and is not finished before its deadline, cause otherwise.
func (s *Service) overdue(rec *Record, cause *Error) *Error {
	if rec.State != Signed || !cause.Retryable || s.now().Before(rec.Progress.SignedAt.Add(s.cfg.FinishWithin)) {
		return cause
	}
	s.cfg.Log.Error("not finished before the deadline", "request", rec.ID, "code", cause.Code)
	if why := late[cause.Code]; why != nil {
		return why
	}
	return ErrLevelLate
}

// keepTime is how long the end of a step may take to keep what it had.
const keepTime = 5 * time.Second

// keepParts decides what an error of a part means. Parts that came already are kept for the next try.
func (s *Service) keepParts(ctx context.Context, rec, next *Record, err error) error {
	var own *Error
	if errors.As(err, &own) && !own.Retryable {
		return err
	}
	keep := ctx
	if ctx.Err() != nil { // of many documents some have what they need: a step that takes too long must not begin anew each time
		var stop context.CancelFunc
		keep, stop = context.WithTimeout(context.WithoutCancel(ctx), keepTime)
		defer stop()
		err = ctx.Err()
	}
	if worked(rec, next) {
		if e := s.put(keep, Change{Was: rec.State, Now: next, Works: true}); e != nil {
			return e
		}
		*rec = *next
	}
	return err
}

// worked says whether a part has added to a document's work: each time it does, it makes a new Work.
func worked(old, now *Record) bool {
	for i := range now.Documents {
		if now.Documents[i].Work != old.Documents[i].Work {
			return true
		}
	}
	return false
}

// made says that a document is ready for release.
func (w *Work) made() bool { return w.Update != nil || w.CMS != nil || w.Before != nil }

// stamp gives each signature value its time-stamp.
func (s *Service) stamp(ctx context.Context, rec *Record, who *party) error {
	if rec.Level == LevelBB {
		return nil
	}
	for i := range rec.Documents {
		d := &rec.Documents[i]
		if d.Work.TimeStamp != nil {
			continue
		}
		if s.now().After(who.leaf.NotAfter) {
			return errStampedLate
		}
		digest := sha256.Sum256(d.Work.Value)
		t, err := s.askStamp(ctx, rec, digest[:], crypto.SHA256)
		if err != nil {
			return err
		}
		if t.GenTime.After(who.leaf.NotAfter) {
			return errStampedLate
		}
		w := *d.Work
		w.TimeStamp = t.Raw
		d.Work = &w
	}
	return nil
}

func (s *Service) askStamp(ctx context.Context, rec *Record, digest []byte, h crypto.Hash) (*tsa.Token, error) {
	t, err := s.dep.Stamper.Stamp(ctx, digest, h)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		s.cfg.Log.Warn("time-stamp", "request", rec.ID, "err", err)
		return nil, ErrTSA
	}
	return t, nil
}

// prove makes sure that the signer's certificate was still good when its last time-stamp was there, and from B-LT on
// collects what proves it to others. All time-stamps are there already, so that one answer serves all documents.
func (s *Service) prove(ctx context.Context, rec *Record, who *party) error {
	waiting := func(d Document) bool { return !d.Work.made() && d.Work.Material == nil }
	if !slices.ContainsFunc(rec.Documents, waiting) {
		return nil
	}
	since, at := rec.Progress.SignedAt, s.now()
	var needs []revocation.Need
	for _, d := range rec.Documents {
		if d.Work.TimeStamp == nil {
			continue
		}
		t, unit, err := s.unitPath(d.Work.TimeStamp)
		if err != nil {
			return err
		}
		if t.After(since) {
			since = t
		}
		at = since // a certificate that ended after its time-stamp was in force when it counted
		if !slices.ContainsFunc(needs, func(n revocation.Need) bool { return n.Path[0].Equal(unit[0]) }) {
			needs = append(needs, revocation.Need{Path: unit})
		}
	}
	path, err := certs.BuildPath(who.leaf, who.chain, s.dep.Roots, at, certs.Signing)
	if err != nil {
		return ErrCertificate.because(err)
	}
	needs = append([]revocation.Need{{Path: path, Since: since}}, needs...)
	lasting := levelOf(rec.Level) > levelOf(LevelBT)
	if !lasting {
		since = since.Truncate(time.Second) // nobody else sees this answer: it need not show that it is the later one of a second
	}
	if err := s.stillGood(ctx, rec, path, since); err != nil || !lasting {
		return err
	}
	m, err := s.dep.Revocation.Material(ctx, needs)
	if err != nil {
		return s.unproven(ctx, rec, err)
	}
	for i := range rec.Documents {
		if d := &rec.Documents[i]; waiting(*d) {
			w := *d.Work
			w.Material = &m
			d.Work = &w
		}
	}
	return nil
}

// unitPath is the path of the unit that made a token of ours, and genTime.
func (s *Service) unitPath(token []byte) (time.Time, []*x509.Certificate, error) {
	t, err := tsa.ParseToken(token)
	if err != nil {
		return time.Time{}, nil, fmt.Errorf("our time-stamp: %w", err)
	}
	if t.Certificate == nil {
		return time.Time{}, nil, errors.New("our time-stamp: the unit's certificate is not in it")
	}
	path, err := certs.BuildPath(t.Certificate, t.Embedded(), s.dep.Roots, t.GenTime, certs.TimeStamping)
	if err != nil {
		return time.Time{}, nil, fmt.Errorf("our time-stamp: %w", err)
	}
	return t.GenTime, path, nil
}

// stillGood ends the request when the certificate was revoked before it could be finished: whoever revoked it did not want
// that signature any more, or did not make it.
func (s *Service) stillGood(ctx context.Context, rec *Record, path []*x509.Certificate, since time.Time) error {
	st, err := s.dep.Revocation.Status(ctx, path[0], path[1], since)
	switch {
	case errors.Is(err, revocation.ErrNotNeeded):
		return nil
	case err != nil:
		return s.unproven(ctx, rec, err)
	case st.State != certs.StatusGood:
		return ErrCertificate.with("the person's certificate was revoked before the document was finished; the signature is not released")
	}
	return nil
}

func (s *Service) unproven(ctx context.Context, rec *Record, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.cfg.Log.Warn("revocation data", "request", rec.ID, "err", err)
	return ErrRevocation
}

// archive gives each document of level B-LTA the time-stamp over everything.
func (s *Service) archive(ctx context.Context, rec *Record, who *party) error {
	if rec.Level != LevelLTA {
		return nil
	}
	for i := range rec.Documents {
		d := &rec.Documents[i]
		if d.Work.made() || d.Work.Archive != nil && d.Work.Archive.Token != nil {
			continue
		}
		w := *d.Work
		a, hash, err := s.archived(ctx, rec, d, who)
		if err != nil {
			return err
		}
		t, err := s.askStamp(ctx, rec, a.Imprint, hash)
		if err != nil {
			return err
		}
		a.Token = t.Raw
		w.Archive = a
		d.Work = &w
	}
	return nil
}

// archived fixes the bytes that the time-stamp over everything is for.
func (s *Service) archived(ctx context.Context, rec *Record, d *Document, who *party) (*Archive, crypto.Hash, error) {
	if rec.Progress.Format == CAdES {
		return s.archivedCMS(rec, d, who)
	}
	updates, err := s.lifted(ctx, rec, d, who)
	if err != nil {
		return nil, 0, err
	}
	f, err := s.openBase(ctx, d)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	f.addBytes(updates)
	room := s.dep.Stamper.LearnedSize()
	p, err := pdf.Prepare(f, f.size, pdf.Options{
		TimeStamp: true, Reserve: room + max(room/5, 1024), Hash: crypto.SHA256, Known: d.Work.known(), Budget: s.cfg.PDF,
	})
	if err != nil {
		return nil, 0, pdfError(err)
	}
	return &Archive{Updates: updates, Prepared: *p, Imprint: p.Digest}, crypto.SHA256, nil
}

// known is what was hashed by SHA-256 when the signature was prepared: all that stands before it.
func (w *Work) known() *pdf.Prefix {
	k := w.Prepared.Prefix()
	if k == nil || k.Hash == crypto.SHA256 {
		return k
	}
	return &pdf.Prefix{Size: k.Size, Hash: crypto.SHA256, State: k.SHA256}
}

// lifted is a PDF's signature as an update, from B-LT on with the DSS dictionary behind it.
func (s *Service) lifted(ctx context.Context, rec *Record, d *Document, who *party) ([]byte, error) {
	der, err := s.assemble(rec, d.Work, who)
	if err != nil {
		return nil, err
	}
	signed, err := d.Work.Prepared.Embed(der)
	if err != nil {
		return nil, pdfError(err)
	}
	if d.Work.Material == nil {
		return signed, nil
	}
	f, err := s.openBase(ctx, d)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	f.addBytes(signed)
	store, err := pdf.AddDSS(f, f.size, *d.Work.Material, s.cfg.PDF)
	if err != nil {
		return nil, fmt.Errorf("DSS dictionary: %w", err)
	}
	return slices.Concat(signed, store), nil
}

// complete makes the product of one document and has it checked.
func (s *Service) complete(ctx context.Context, rec *Record, d *Document, who *party) error {
	if d.Work.made() {
		return nil
	}
	w := *d.Work
	var err error
	switch {
	case rec.Progress.Format == CAdES || rec.Progress.Hashes:
		err = s.completeCMS(rec, d, &w, who)
	case w.Archive != nil:
		var stamp []byte
		stamp, err = w.Archive.Prepared.Embed(w.Archive.Token)
		w.Update = slices.Concat(w.Archive.Updates, stamp)
	default:
		w.Update, err = s.lifted(ctx, rec, d, who)
	}
	if errors.Is(err, &pdf.Error{Code: pdf.CodeCMSTooLarge}) && w.Archive != nil {
		// The time-stamp is longer than any before. That one is made anew, with the room that is known to be needed now.
		d.Work = d.Work.without(func(w *Work) { w.Archive = nil })
		return ErrLevelWait
	}
	if err != nil {
		return pdfError(err)
	}
	level, err := s.checkProduct(ctx, rec, d, &w)
	if err != nil {
		if errors.Is(err, ErrLevelWait) {
			// What was collected does not do. It is collected anew.
			d.Work = d.Work.without(func(w *Work) { w.Material, w.Archive = nil, nil })
		}
		return err
	}
	w.Archive = nil
	if !rec.Progress.Hashes {
		w.Material = nil // it is in the product
	}
	d.Work, d.Level = &w, level
	return nil
}

func (w *Work) without(f func(*Work)) *Work {
	less := *w
	f(&less)
	return &less
}
