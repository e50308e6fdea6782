package signer

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"io"
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

// cadesLife is how old signing-time may be when the SAM is asked to confirm; the SAM takes 10 minutes.
const cadesLife = 5 * time.Minute

// party is who signs, and how.
type party struct {
	leaf  *x509.Certificate
	chain []*x509.Certificate // its issuers
	alg   cms.Algorithm       // the usual one of the key
}

// party reads who signs from a request of state identified or later.
func (r *Record) party() (*party, error) {
	leaf, chain, err := parseChain(r.Progress.Chain)
	return &party{leaf: leaf, chain: chain, alg: cms.Algorithm(r.Progress.Algorithm)}, err
}

// algorithm is how d is signed: with the hash that was ordered, or the usual one of the key.
func (p *party) algorithm(d *Document) (cms.Algorithm, error) {
	if d.DigestAlgorithm == "" {
		return p.alg, nil
	}
	return p.alg.WithHash(digestAlgorithms[d.DigestAlgorithm])
}

// prepareDocuments is step 3: after it every byte that will be signed is fixed.
func (s *Service) prepareDocuments(ctx context.Context, rec *Record) error {
	who, err := rec.party()
	if err != nil {
		return err
	}
	if err := certs.CheckPath(who.leaf, who.chain, s.dep.Roots, s.now(), certs.Signing); err != nil {
		return ErrCertificate.because(err)
	}
	next := *rec
	next.State = Prepared
	next.Progress.Notice = nil
	next.Documents = slices.Clone(rec.Documents)
	for i := range next.Documents {
		d := &next.Documents[i]
		if d.Work, err = s.prepareDocument(ctx, rec, d, who); err != nil {
			return err
		}
	}
	return s.advance(ctx, rec, Change{Now: &next, Works: true})
}

func (s *Service) prepareDocument(ctx context.Context, rec *Record, d *Document, who *party) (*Work, error) {
	alg, err := who.algorithm(d)
	if err != nil {
		return nil, ErrDigestAlg.because(err)
	}
	// The SAM is the judge of this too; here it is said before the person is asked.
	if err := certs.CheckAlgorithm(alg.X509(), who.leaf.PublicKey, s.now()); err != nil {
		return nil, ErrCertificate.with("the algorithm of the person's key is not accepted any more").because(err)
	}
	w, digest := &Work{}, d.Digest
	switch {
	case rec.Progress.Hashes:
	case rec.Progress.Format == CAdES:
		digest, err = s.fileDigest(ctx, d, alg.Hash())
	default:
		w.Prepared, err = s.preparePDF(ctx, rec, d, who)
		digest = w.Prepared.Digest
	}
	if err != nil {
		return nil, err
	}
	w.SignedAttrs, err = s.attributes(rec, alg, digest, who.leaf)
	return w, err
}

// fileDigest is the digest by h of an uploaded file. SHA-256 is known; by another hash it is read, and must be what came.
func (s *Service) fileDigest(ctx context.Context, d *Document, h crypto.Hash) ([]byte, error) {
	if h == crypto.SHA256 {
		return d.SHA256, nil
	}
	f, err := s.openBase(ctx, d)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	wanted, known := h.New(), sha256.New()
	if _, err := io.Copy(io.MultiWriter(wanted, known), f.reader()); err != nil {
		return nil, fmt.Errorf("read document: %w", err)
	}
	if !bytes.Equal(known.Sum(nil), d.SHA256) {
		return nil, ErrDamaged
	}
	return wanted.Sum(nil), nil
}

// attributes are what the key will sign: those of PAdES hold no time, the PDF does.
func (s *Service) attributes(rec *Record, alg cms.Algorithm, digest []byte, leaf *x509.Certificate) (attrs []byte, err error) {
	if rec.Progress.Format == CAdES {
		attrs, err = alg.CAdESAttributes(digest, leaf, s.now(), "")
	} else {
		attrs, err = alg.SignedAttributes(digest, leaf)
	}
	if err != nil {
		return nil, fmt.Errorf("signed attributes: %w", err)
	}
	return attrs, nil
}

// renewTimes makes the signed attributes of a CAdES request anew when their signing-time is old, and says whether it did.
// Nobody has been asked about the new ones.
func (s *Service) renewTimes(rec *Record) (renewed bool, err error) {
	if rec.Progress.Format != CAdES {
		return false, nil
	}
	who, err := rec.party()
	if err != nil {
		return false, err
	}
	rec.Documents = slices.Clone(rec.Documents)
	for i := range rec.Documents {
		d := &rec.Documents[i]
		a, err := cms.ParseSignedAttributes(d.Work.SignedAttrs)
		if err != nil {
			return false, fmt.Errorf("our signed attributes: %w", err)
		}
		if age := s.now().Sub(a.SigningTime); age >= 0 && age < cadesLife {
			continue
		}
		w := *d.Work
		alg, err := who.algorithm(d)
		if err == nil {
			w.SignedAttrs, err = s.attributes(rec, alg, a.MessageDigest, who.leaf)
		}
		if err != nil {
			return false, err
		}
		d.Work, renewed = &w, true
	}
	return renewed, nil
}

// reserve is how many bytes of DER the signature may have (ades §6.5): the exact size with the largest
// value, the largest time-stamp seen of our TSA, and 20 %, at least 1 kB.
func (s *Service) reserve(who *party, level string) (int, error) {
	stamp := 0
	if level != LevelBB {
		stamp = s.dep.Stamper.LearnedSize()
	}
	n, err := who.alg.Size(who.leaf, who.chain, stamp)
	if err != nil {
		return 0, fmt.Errorf("size of the signature: %w", err)
	}
	return n + max(n/5, 1024), nil
}

func (s *Service) preparePDF(ctx context.Context, rec *Record, d *Document, who *party) (pdf.Prepared, error) {
	room, err := s.reserve(who, rec.Level)
	if err != nil {
		return pdf.Prepared{}, err
	}
	f, err := s.openBase(ctx, d)
	if err != nil {
		return pdf.Prepared{}, err
	}
	defer f.Close()
	hash, now := who.alg.Hash(), s.now()
	look := rec.appearance(d, who.leaf.Subject.CommonName, now)
	if look != nil {
		look.Smallest = tiniest
	}
	p, err := pdf.Prepare(f, d.Size, pdf.Options{
		SignatureTime: now, Reserve: room, Hash: hash, Known: d.known(hash), Budget: s.cfg.PDF, Appearance: look,
	})
	if err != nil {
		return pdf.Prepared{}, pdfError(err)
	}
	if !bytes.Equal(p.BaseDigest, d.SHA256) {
		return pdf.Prepared{}, ErrDamaged
	}
	return *p, nil
}

// digestNames are the algorithms of documents by the size of their digests.
var digestNames = map[int]string{32: consent.SHA256, 48: consent.SHA384, 64: consent.SHA512}

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

// addOrder adds what the provider signed, and what ties each prepared PDF to the one that was ordered; a digest that is
// signed as it was ordered needs no tie.
func addOrder(r *sam.PrepareRequest, rec *Record) error {
	if rec.Progress.SignedOrder == "" {
		return nil
	}
	o, err := order.Peek(rec.Progress.SignedOrder)
	if err != nil {
		return ErrOrderBad
	}
	r.Order, r.Provider = rec.Progress.SignedOrder, o.Iss
	if rec.Progress.Hashes || rec.Progress.Format == CAdES {
		for i := range r.Documents { // the sam sees no more than the ordered digest, and has the person told so (decision 26)
			r.Documents[i].Hash = true
		}
		return nil
	}
	for i := range r.Documents {
		base := rec.Documents[i].Work.Prepared.Base()
		r.Documents[i].Base = &base
	}
	return nil
}

// question is what the SAM is asked to have confirmed.
func question(rec *Record) (sam.PrepareRequest, error) {
	r := sam.PrepareRequest{V: sam.Version, Txn: txn(rec), Credential: rec.Progress.Credential, Language: rec.Language}
	for _, d := range rec.Documents {
		a, err := cms.ParseSignedAttributes(d.Work.SignedAttrs)
		if err != nil {
			return r, fmt.Errorf("our signed attributes: %w", err)
		}
		r.Documents = append(r.Documents, sam.Document{
			Label: d.Label, Alg: digestNames[len(a.MessageDigest)], Digest: a.MessageDigest, SignedAttrs: d.Work.SignedAttrs,
			Hash: rec.Progress.Hashes,
		})
	}
	return r, addOrder(&r, rec)
}

// prepareConfirmation has the SAM make manifest, check code and the address where the person confirms.
func (s *Service) prepareConfirmation(ctx context.Context, rec *Record) error {
	next := *rec
	renewed, err := s.renewTimes(&next)
	if err != nil {
		return err
	}
	r, err := question(&next)
	if err != nil {
		return err
	}
	p, err := s.dep.Preparing.Prepare(ctx, r)
	next.Progress.Tries++
	c := Change{Now: &next}
	made := err == nil && s.now().Before(p.ExpiresAt)
	if !made {
		next.Documents = rec.Documents // the question that the person may still answer is about these
	}
	switch why := samError(err); {
	case made:
		// An answer to a question about attributes that are no more would sign nothing that we have.
		c.Works, c.Abandon = renewed, renewed
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
