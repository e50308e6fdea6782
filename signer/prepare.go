package signer

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"tekend/certs"
	"tekend/cms"
	"tekend/consent"
	"tekend/order"
	"tekend/pdf"
	"tekend/sam"
)

// renewBefore: a confirmation with less life than this is made anew when somebody opens the page. The
// old one stays valid until its own end: both mean the same bytes.
const renewBefore = 3 * time.Minute

// prepareDocuments is step 3: after it every byte that will be signed is fixed.
func (s *Service) prepareDocuments(ctx context.Context, rec *Record) error {
	leaf, chain, err := parseChain(rec.Progress.Chain)
	if err != nil {
		return err
	}
	now := s.now()
	if err := certs.CheckPath(leaf, chain, s.dep.Roots, now, certs.Signing); err != nil {
		return ErrCertificate
	}
	alg := cms.Algorithm(rec.Progress.Algorithm)
	room, err := s.reserve(alg, leaf, chain, rec.Level)
	if err != nil {
		return err
	}
	next := *rec
	next.State = Prepared
	next.Progress.Notice = nil
	next.Documents = slices.Clone(rec.Documents)
	for i := range next.Documents {
		d := &next.Documents[i]
		p, err := s.prepareDocument(ctx, d, pdf.Options{SignatureTime: now, Reserve: room, Hash: alg.Hash(), Budget: s.cfg.PDF})
		if err != nil {
			return err
		}
		attrs, err := alg.SignedAttributes(p.Digest, leaf)
		if err != nil {
			return fmt.Errorf("signed attributes: %w", err)
		}
		d.Work = &Work{Prepared: *p, SignedAttrs: attrs}
	}
	return s.advance(ctx, rec, Change{Now: &next, Works: true})
}

// reserve is how many bytes of DER the signature may have (ades §6.5): the exact size with the largest
// value, the largest time-stamp seen of our TSA, and 20 %, at least 1 kB.
func (s *Service) reserve(alg cms.Algorithm, leaf *x509.Certificate, chain []*x509.Certificate, level string) (int, error) {
	stamp := 0
	if level != "B-B" {
		stamp = s.dep.Stamper.LearnedSize()
	}
	n, err := alg.Size(leaf, chain, stamp)
	if err != nil {
		return 0, fmt.Errorf("size of the signature: %w", err)
	}
	return n + max(n/5, 1024), nil
}

func (s *Service) prepareDocument(ctx context.Context, d *Document, o pdf.Options) (*pdf.Prepared, error) {
	f, err := s.dep.Blobs.Open(ctx, d.Blob)
	if err != nil {
		return nil, fmt.Errorf("open document: %w", err)
	}
	defer f.Close()
	p, err := pdf.Prepare(f, d.Size, o)
	if err != nil {
		return nil, pdfError(err)
	}
	if !bytes.Equal(p.BaseDigest, d.SHA256) {
		return nil, ErrDamaged
	}
	return p, nil
}

// digestName is the alg of a document by the size of its digest: SHA-384 where the key is on P-384.
func digestName(size int) string {
	if size == crypto.SHA384.Size() {
		return consent.SHA384
	}
	return consent.SHA256
}

// prepared is step 4 and the arrival of itsme's answer (step 5).
func (s *Service) prepared(ctx context.Context, rec *Record, page bool) (again bool, err error) {
	if rec.Progress.Answer != nil {
		return true, s.authorize(ctx, rec)
	}
	if !page || s.lasts(&rec.Progress) {
		return false, nil
	}
	return false, s.prepareConfirmation(ctx, rec)
}

// lasts says that there is a confirmation with enough life, or with as much as a one-time credential leaves it.
func (s *Service) lasts(p *Progress) bool {
	c, now := p.Confirmation, s.now()
	if c == nil || !now.Before(c.ExpiresAt) {
		return false
	}
	return c.ExpiresAt.Sub(now) >= renewBefore || p.OneTime && p.SessionEnds.Sub(c.ExpiresAt) < renewBefore
}

// addOrder adds what the provider signed, and what ties each prepared document to the one that was ordered.
func addOrder(r *sam.PrepareRequest, rec *Record) error {
	if rec.Progress.SignedOrder == "" {
		return nil
	}
	o, err := order.Peek(rec.Progress.SignedOrder)
	if err != nil {
		return ErrOrderBad
	}
	r.Order, r.Provider = rec.Progress.SignedOrder, o.Iss
	for i := range r.Documents {
		base := rec.Documents[i].Work.Prepared.Base()
		r.Documents[i].Base = &base
	}
	return nil
}

// prepareConfirmation has the SAM make manifest, check code and the address where the person confirms.
func (s *Service) prepareConfirmation(ctx context.Context, rec *Record) error {
	r := sam.PrepareRequest{V: sam.Version, Txn: txn(rec), Credential: rec.Progress.Credential, Language: rec.Language}
	for _, d := range rec.Documents {
		r.Documents = append(r.Documents, sam.Document{
			Label: d.Label, Alg: digestName(len(d.Work.Prepared.Digest)), Digest: d.Work.Prepared.Digest, SignedAttrs: d.Work.SignedAttrs,
		})
	}
	if err := addOrder(&r, rec); err != nil {
		return err
	}
	p, err := s.dep.Preparing.Prepare(ctx, r)
	next := *rec
	next.Progress.Tries++
	c := Change{Now: &next}
	switch why := samError(err); {
	case err == nil && s.now().Before(p.ExpiresAt):
		next.Progress.Confirmation = &Confirmation{
			Nonce: p.Nonce, CheckCode: p.CheckCode, Text: p.Text, URL: p.AuthorizationURL, ExpiresAt: p.ExpiresAt,
		}
		// The reason why the person is asked once more stays until there is an answer.
		if n := next.Progress.Notice; n != nil && !personAgain(n) {
			next.Progress.Notice = nil
		}
		c.Expect = &Callback{State: p.State, Request: rec.ID, Kind: KindConfirmation, Subject: p.Nonce, ExpiresAt: p.ExpiresAt}
	case err != nil && why.Code == ErrTooMany.Code:
		next.Progress.Notice = why // the next look at the page asks anew
	case err == nil || personAgain(why):
		// The stored outcome of a lost try that is too old by now: the next look at the page takes a new txn.
		next.Progress.Notice = ErrAgain
	case why.Code == ErrCertificate.Code:
		// The client's name of the person loses the credential, so that the next request enrols.
		next.State = Failed
		next.Progress.Failure, next.Progress.Credential, next.Progress.Notice = s.whyNotGood(ctx, rec, why), "", nil
		c.Bind = bound(rec)
	default:
		return why
	}
	return s.advance(ctx, rec, c)
}
