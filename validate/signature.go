package validate

import (
	"crypto"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"time"

	"tekend/certs"
	"tekend/cms"
)

// judge goes through the building blocks of EN 319 102-1 §5.2 for one signature
// or document time-stamp. An error means that the caller's context ended.
func (d *document) judge(it *item) error {
	s := &it.out
	s.FieldName, s.SubFilter, s.Kind = it.sig.FieldName, it.sig.SubFilter, KindSignature
	s.Coverage, s.CoversWholeFile = it.sig.Coverage.String(), it.sig.CoversWholeFile
	s.LaterChanges = it.sig.RevisionEnd > 0 && it.sig.RevisionEnd < d.size
	s.SignedAt, _ = pdfDate(it.sig.SigningTime)
	for _, p := range it.sig.Problems {
		i, sub := TotalFailed, FormatFailure
		if tooMuchPDF(p) {
			i, sub = Indeterminate, Generic
		}
		s.fail(i, sub, "%s", strings.TrimPrefix(p.Error(), "pdf: "))
	}
	if !it.sig.ContentsIsExactGap || it.sig.RevisionEnd == 0 {
		s.fail(TotalFailed, FormatFailure, "coverage: the signed bytes are not a revision of the document around exactly this signature")
	}
	s.NotBefore = d.olderThan(it)
	if it.own != nil {
		s.Kind = KindTimeStamp
		d.documentTimeStamp(it)
		return nil
	}
	return d.signature(it)
}

// olderThan gives the latest time-stamp that is proven and that the signature
// covers: it is younger than that.
func (d *document) olderThan(it *item) time.Time {
	var last time.Time
	for _, t := range it.before {
		if t.ok {
			last = later(last, t.t.GenTime)
		}
	}
	for _, o := range d.items {
		if o.sig.ContentsEnd > it.sig.ContentsStart || !it.sig.ContentsIsExactGap {
			continue
		}
		for _, t := range slices.Concat(o.before, o.stamps, []*token{o.own}) {
			if t != nil && t.ok {
				last = later(last, t.t.GenTime)
			}
		}
	}
	return last
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// documentTimeStamp judges a document time-stamp (EN 319 142-1 §5.4.3): a
// token over the bytes of ByteRange.
func (d *document) documentTimeStamp(it *item) {
	s, t := &it.out, it.own
	if it.sig.Type != "DocTimeStamp" || it.sig.SubFilter != "ETSI.RFC3161" {
		s.fail(Indeterminate, SigConstraintsFailure, "profile: DocTimeStamp and ETSI.RFC3161 do not stand together")
	}
	if it.sig.HasCert {
		s.fail(Indeterminate, SigConstraintsFailure, "profile: /Cert is there")
	}
	for _, f := range t.bad {
		s.fail(f.indication, f.sub, "time_stamp: %s", f.reason)
	}
	if d.copied(t) {
		s.fail(Indeterminate, SigConstraintsFailure, "time_stamp: the same token stands elsewhere too")
	}
	s.Path, s.Revocation, s.Notes = described(t.chain.path), t.chain.facts, t.chain.notes
	if t.err == nil && t.t.Certificate != nil {
		s.Signer = t.t.Certificate.Subject.CommonName
	}
	if t.ok {
		s.BestTime = t.t.GenTime
	}
	s.TimeStamps = []TimeStampReport{t.report()}
}

// copied tells whether a token stands at two places: it can be about one thing
// only, so that one of them was put there.
func (d *document) copied(t *token) bool {
	n := 0
	for _, it := range d.items {
		for _, o := range slices.Concat(it.before, it.stamps, []*token{it.own}) {
			if o != nil && o.id == t.id {
				n++
			}
		}
	}
	return n > 1
}

// report says what a token states and whether it is proven.
func (t *token) report() TimeStampReport {
	r := TimeStampReport{Verified: t.ok}
	if t.err == nil {
		r.GenTime, r.Policy, r.Qualified = t.t.GenTime, t.t.Policy, t.t.Qualified
		if t.t.Certificate != nil {
			r.Unit = t.t.Certificate.Subject.CommonName
		}
	}
	if t.where.own == t {
		r.Field = t.where.sig.FieldName
	}
	if t.ok {
		r.ExistedAt = t.exists
	}
	var all []string
	for _, f := range t.bad {
		all = append(all, f.reason)
	}
	r.Reason = strings.Join(all, "; ")
	return r
}

// signature judges a signature of a person or an organisation.
func (d *document) signature(it *item) error {
	s := &it.out
	if it.sdErr != nil {
		i, sub := TotalFailed, FormatFailure
		if tooMuch(it.sdErr) {
			i, sub = Indeterminate, Generic
		}
		s.fail(i, sub, "cms: %v", it.sdErr)
		return nil
	}
	if !it.format() {
		return nil
	}
	si := &it.sd.SignerInfos[0]
	whole := it.profile(it.sd, si)
	hash := it.content(si)
	cert := d.certificate(it, si)
	if cert == nil {
		return nil
	}
	err := d.checkValue(si, cert)
	if err != nil {
		it.crypto(err)
	}
	intact := err == nil && s.Indication != TotalFailed
	d.timeStamps(it)
	s.BestTime = d.e.proven(it.self)
	if whole && intact {
		s.Level = LevelBB
		if s.BestTime.Before(d.o.At) {
			s.Level = LevelBT
		}
	}
	if err := d.trust(it, cert); err != nil {
		return err
	}
	it.acceptance(si, hash, cert)
	if s.Level == LevelBT && len(s.Reasons) == 0 {
		return d.longTerm(it, cert)
	}
	return nil
}

// format is the format check: what must hold before there is one signature to
// talk about.
func (it *item) format() bool {
	if n := len(it.sd.SignerInfos); n != 1 {
		it.out.fail(TotalFailed, FormatFailure, "cms: %d signatures in one, not exactly one", n)
		return false
	}
	if it.sd.HasContent {
		it.out.fail(TotalFailed, FormatFailure, "cms: it carries a content of its own")
		return false
	}
	return true
}

// content compares the digest of the signed bytes. It gives the digest
// algorithm, 0 when it is not known.
func (it *item) content(si *cms.SignerInfo) crypto.Hash {
	h, err := si.Hash()
	if err != nil {
		it.crypto(err)
		return 0
	}
	if digest := it.digests[h]; digest != nil {
		if err := si.CheckContent(digest); err != nil {
			it.crypto(err)
		}
	}
	return h
}

// crypto turns an error of cms into a finding.
func (it *item) crypto(err error) {
	i, sub := TotalFailed, FormatFailure
	e, _ := errors.AsType[*cms.Error](err)
	switch {
	case errors.Is(err, errTooMuch):
		i, sub = Indeterminate, Generic
	case e == nil:
	case e.Code == cms.CodeDigestMismatch:
		sub = HashFailure
	case e.Code == cms.CodeBadValue, e.Code == cms.CodeAlgorithmMismatch:
		sub = SigCryptoFailure
	case e.Code == cms.CodeAlgorithm:
		i, sub = Indeterminate, CryptoConstraintsFailure
	}
	it.out.fail(i, sub, "%v", err)
}

// certificate finds the signer's certificate: the one that sid names and
// signing-certificate confirms, in the CMS or among all that is known. Where
// there is none, the value is still held against those that sid names, so that
// a broken signature is called broken.
func (d *document) certificate(it *item, si *cms.SignerInfo) *x509.Certificate {
	cert, err := si.FindCertificate(nil)
	if err == nil {
		it.out.Signer = cert.Subject.CommonName
		return cert
	}
	it.out.fail(Indeterminate, NoSigningCertificate, "%v", err)
	for _, der := range it.sd.Certificates {
		if err := d.e.unreadable[idOf(der)]; err != nil {
			it.out.fail(Indeterminate, NoSigningCertificate, "a certificate beside the signature: %s", lenient(der, err))
		}
	}
	named := si.Named(nil)
	var first error
	for n, c := range named {
		err := d.checkValue(si, c)
		if err == nil || errors.Is(err, errTooMuch) {
			return nil
		}
		if n == 0 {
			first = err
		}
	}
	if first != nil {
		it.crypto(first)
	}
	return nil
}

// timeStamps reports the signature time-stamps. One that does not verify is
// never overlooked: the signature is not refuted by it, but neither is it as it
// was made.
func (d *document) timeStamps(it *item) {
	s := &it.out
	if len(it.stamps) > maxTokens || len(it.before) > maxTokens {
		// More than a few would be a way to make us work.
		s.fail(Indeterminate, Generic, "time_stamp: more than %d of them", maxTokens)
	}
	for _, t := range append(slices.Clone(it.before), it.stamps...) {
		for _, f := range t.bad {
			sub := f.sub
			if f.indication == TotalFailed {
				sub = SigConstraintsFailure
			}
			s.fail(Indeterminate, sub, "time_stamp: %s", f.reason)
		}
		if d.copied(t) {
			s.fail(Indeterminate, SigConstraintsFailure, "time_stamp: the same token stands elsewhere too")
		}
		if slices.Contains(it.before, t) {
			continue // what it proves is NotBefore
		}
		s.TimeStamps = append(s.TimeStamps, t.report())
		s.Revocation, s.Notes = append(s.Revocation, t.chain.facts...), append(s.Notes, t.chain.notes...)
	}
	for _, o := range d.items {
		if o.own != nil && o.own.ok && sound(o.sig) && it.sig.ContentsEnd <= o.sig.ContentsStart {
			s.ArchiveTimeStamps = append(s.ArchiveTimeStamps, o.own.report())
		}
	}
}

// trust judges the signer's certificate at the best signature time (EN 319
// 102-1 §5.2.6, §5.5.4, §5.6.2).
func (d *document) trust(it *item, cert *x509.Certificate) error {
	s := &it.out
	at := s.BestTime
	c, err := d.e.judge(d.ctx, use{cert: cert, purpose: certs.Signing, when: at, exists: at, noStatus: d.o.NoRevocation})
	if err != nil {
		return err
	}
	s.Path, s.Notes = described(c.path), append(s.Notes, c.notes...)
	s.Revocation = append(c.facts, s.Revocation...)
	for _, f := range c.findings {
		switch {
		case f.sub == OutOfBoundsNoPOE && at.Before(d.o.At) && at.Before(cert.NotBefore):
			f.indication, f.sub = TotalFailed, NotYetValid // §5.5.4: proven older than its certificate
		case f.sub == OutOfBoundsNoPOE && !s.NotBefore.IsZero() && s.NotBefore.After(cert.NotAfter):
			f.indication, f.sub = TotalFailed, Expired
		case f.sub == RevokedNoPOE && !c.revokedAt.IsZero() && s.NotBefore.After(c.revokedAt):
			f.indication, f.sub = TotalFailed, Revoked
		case f.sub == OutOfBoundsNoPOE && len(c.path) == 0 && d.notRevoked(cert, at):
			f.sub = OutOfBoundsNotRevoked
		}
		s.add(f)
	}
	return nil
}

// notRevoked tells whether a certificate that expired before the signature is
// proven was good to its end.
func (d *document) notRevoked(cert *x509.Certificate, at time.Time) bool {
	if d.o.NoRevocation || !at.After(cert.NotAfter) {
		return false
	}
	c, err := d.e.judge(d.ctx, use{cert: cert, purpose: certs.Signing, when: cert.NotAfter, exists: cert.NotAfter, offline: true})
	return err == nil && len(c.findings) == 0
}

// acceptance holds algorithms and times against our policy (EN 319 102-1 §5.2.8).
func (it *item) acceptance(si *cms.SignerInfo, h crypto.Hash, cert *x509.Certificate) {
	best := it.out.BestTime
	if h != 0 {
		err := certs.CheckHash(h, best)
		if alg, algErr := si.SignatureAlgorithm(); algErr == nil && err == nil {
			err = certs.CheckAlgorithm(alg, cert.PublicKey, best)
		}
		if err != nil {
			it.out.fail(Indeterminate, CryptoConstraintsFailure, "algorithm: %v", err)
		}
	}
	if ids, err := si.CertIDs(); err == nil && len(ids) > 0 {
		// A weak hash would let another certificate take this one's place.
		if err := certs.CheckHash(ids[0].Hash, best); err != nil {
			it.out.fail(Indeterminate, CryptoConstraintsFailure, "signing-certificate: %v", err)
		}
	}
	if at := it.out.SignedAt; !at.IsZero() && (at.Before(cert.NotBefore) || at.After(cert.NotAfter)) {
		it.out.fail(Indeterminate, SigConstraintsFailure, "time: the claimed time is outside the certificate's validity")
	}
	if last := it.out.NotBefore; !last.IsZero() && best.Add(clockSkew).Before(last) {
		it.out.fail(Indeterminate, TimeStampOrderFailure, "time: the signature covers a time-stamp that is younger than its own")
	}
}

func tooMuch(err error) bool {
	e, ok := errors.AsType[*cms.Error](err)
	return ok && (e.Code == cms.CodeTooLarge || e.Code == cms.CodeTooDeep || e.Code == cms.CodeTooManyElements)
}
