package validate

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"tekend/certs"
	"tekend/cms"
	"tekend/pdf"
	"tekend/tsa"
)

// document is the work on one PDF.
type document struct {
	ctx      context.Context
	r        io.ReaderAt
	size     int64
	o        Options
	e        *evidence
	items    []*item // in order of signing
	final    scope   // data that the newest revision holds
	notes    []string
	compared compared
}

// item is one signature or document time-stamp.
type item struct {
	sig    pdf.Signature
	judged bool // Options.Only names it
	out    SignatureReport

	sd     *cms.SignedData // of a signature
	sdErr  error
	stamps []*token // of a signature: its signature time-stamps
	before []*token // of a signature: its content-time-stamps, which are older
	own    *token   // of a document time-stamp

	digests map[crypto.Hash][]byte
	holds   []id  // certificates, answers and tokens in its CMS
	covers  scope // of a document time-stamp: data that the revision it signs holds
	self    id    // of its CMS
}

// token is one time-stamp token at its place.
type token struct {
	der    []byte
	id     id
	t      *tsa.Token
	err    error     // of reading it
	where  *item     // of the document time-stamp, or the signature that has it
	exists time.Time // since when it is proven to exist
	ok     bool      // all of it is proven
	chain  chain
	bad    []finding
}

// gather reads everything that is to be looked at, and nothing twice.
func (d *document) gather(list []pdf.Signature) error {
	// First, so that no flood of data in the document can keep it out.
	d.e.addMaterial(d.o.Material, given)
	for _, s := range list {
		d.items = append(d.items, &item{sig: s, judged: len(d.o.Only) == 0 || slices.Contains(d.o.Only, s.FieldName), self: idOf(s.CMS)})
	}
	for _, judged := range []bool{true, false} { // and nothing beside what is judged keeps out what that holds
		for _, it := range d.items {
			if it.judged == judged {
				d.read(it)
			}
		}
	}
	if err := d.hash(); err != nil {
		return err
	}
	if err := d.stores(); err != nil {
		return err
	}
	return nil
}

// read takes in the CMS of one signature or document time-stamp.
func (d *document) read(it *item) {
	if isTimeStamp(it.sig) {
		it.own = d.token(it.sig.CMS, it)
		return
	}
	if it.sd, it.sdErr = cms.Parse(it.sig.CMS, d.o.CMS); it.sdErr != nil {
		return
	}
	d.hold(it, it.sd)
	for i := range it.sd.SignerInfos {
		for _, der := range it.sd.SignerInfos[i].TimeStampTokens() {
			if len(it.stamps) <= maxTokens { // one more, so that it is said
				it.stamps = append(it.stamps, d.token(der, it))
			}
		}
		for _, der := range it.sd.SignerInfos[i].Values(cms.OIDContentTimeStamp) {
			if len(it.before) <= maxTokens {
				it.before = append(it.before, d.token(der, it))
			}
		}
	}
}

func isTimeStamp(s pdf.Signature) bool {
	return s.Type == "DocTimeStamp" || s.SubFilter == "ETSI.RFC3161"
}

// token reads a token and takes in what it holds.
func (d *document) token(der []byte, it *item) *token {
	t := &token{der: der, id: idOf(der), where: it}
	it.holds = append(it.holds, t.id)
	if t.t, t.err = tsa.ParseToken(der); t.err == nil {
		d.hold(it, t.t.SignedData())
	}
	return t
}

// hold takes in the certificates and the revocation data of a CMS.
func (d *document) hold(it *item, sd *cms.SignedData) {
	for _, der := range sd.Certificates {
		it.holds = append(it.holds, d.e.addCertificate(der, embedded))
	}
	for _, der := range sd.OCSPs() {
		it.holds = append(it.holds, d.e.addStatement(der, false, embedded))
	}
	for _, der := range sd.CRLs() {
		it.holds = append(it.holds, d.e.addStatement(der, true, embedded))
	}
	for i := range sd.SignerInfos {
		ocsps, crls := adobeArchive(&sd.SignerInfos[i])
		for _, der := range ocsps {
			it.holds = append(it.holds, d.e.addStatement(der, false, embedded))
		}
		for _, der := range crls {
			it.holds = append(it.holds, d.e.addStatement(der, true, embedded))
		}
	}
}

// hash makes all digests of the document that anything here is about, in one
// pass over it.
func (d *document) hash() error {
	var wants []pdf.RangeWant
	var whose []*item
	for _, it := range d.items {
		it.digests = map[crypto.Hash][]byte{}
		if !it.sig.ContentsIsExactGap {
			continue // there are no signed bytes to speak of; that is said elsewhere
		}
		for _, h := range it.hashes() {
			wants, whose = append(wants, pdf.RangeWant{Signature: it.sig, Hash: h}), append(whose, it)
		}
	}
	through, err := pdf.NewRangeHasher(d.r, d.size, wants)
	if err != nil {
		return fmt.Errorf("hash document: %w", err)
	}
	d.compare(through)
	digests, err := through.Digests()
	if err != nil {
		return fmt.Errorf("hash document: %w", err)
	}
	for i, it := range whose {
		it.digests[wants[i].Hash] = digests[i]
	}
	return nil
}

// hashes are those of the digests of the signed bytes that are needed.
func (it *item) hashes() (list []crypto.Hash) {
	if it.sd != nil && len(it.sd.SignerInfos) == 1 {
		if h, err := it.sd.SignerInfos[0].Hash(); err == nil {
			list = append(list, h)
		}
	}
	for _, t := range append(it.before, it.own) {
		if t != nil && t.err == nil && !slices.Contains(list, t.t.Hash) {
			list = append(list, t.t.Hash)
		}
	}
	return list
}

// stores reads the DSS dictionaries: of the newest revision, and of each that a
// document time-stamp signs.
func (d *document) stores() error {
	ends, whose := []int64{d.size}, []*item{nil}
	for _, it := range d.items {
		if it.own != nil && it.sig.RevisionEnd > 0 {
			ends, whose = append(ends, it.sig.RevisionEnd), append(whose, it)
		}
	}
	list, bad, err := pdf.ValidationData(d.r, d.size, ends, d.o.PDF)
	if err != nil {
		e, ok := errors.AsType[*pdf.Error](err)
		if !ok || tooMuchPDF(e) {
			return fmt.Errorf("read validation data: %w", err)
		}
		d.notes = append(d.notes, "the DSS dictionary cannot be read: "+strings.TrimPrefix(e.Error(), "pdf: "))
		return nil
	}
	if bad > 0 {
		d.notes = append(d.notes, fmt.Sprintf("%d entries of the DSS dictionary cannot be read", bad))
	}
	for n, m := range list {
		ids := d.e.addMaterial(m, embedded)
		if it := whose[n]; it != nil {
			it.covers = scopeOf(ids)
			continue
		}
		d.final = scopeOf(ids)
	}
	return nil
}

func tooMuchPDF(e *pdf.Error) bool {
	switch e.Code {
	case pdf.CodeTooMuchWork, pdf.CodeTooManyObjects, pdf.CodeTooManySections, pdf.CodeDecompressionBomb, pdf.CodeObjectTooLong:
		return true
	}
	return false
}

// scopeOf is never nil.
func scopeOf(ids []id) scope {
	s := make(scope, len(ids))
	for _, i := range ids {
		s[i] = true
	}
	return s
}

// proofs goes through the document time-stamps from the newest to the oldest
// (EN 319 102-1 §5.6.3.4; the chain of them is PAdES' evidence record): each
// one that is proven proves that what it covers existed at its time, and so
// helps to prove the next.
func (d *document) proofs() error {
	defer d.e.spend(true)
	for n := len(d.items) - 1; n >= 0; n-- {
		it := d.items[n]
		if it.own == nil {
			continue
		}
		d.e.spend(it.judged)
		digest := []byte(nil)
		if it.own.err == nil {
			digest = it.digests[it.own.t.Hash]
		}
		if err := d.prove(it.own, digest, nil); err != nil {
			return err
		}
		if !it.own.ok || !sound(it.sig) {
			continue
		}
		at := it.own.t.GenTime
		for i := range it.covers {
			d.e.prove(i, at)
		}
		for _, older := range d.items[:n] {
			if older.sig.ContentsEnd > it.sig.ContentsStart {
				continue
			}
			d.e.prove(older.self, at)
			for _, i := range older.holds {
				d.e.prove(i, at)
			}
		}
	}
	for _, it := range d.items {
		d.e.spend(it.judged)
		if err := d.signatureStamps(it); err != nil {
			return err
		}
	}
	return nil
}

// sound: the bytes of the signature are a revision of this document around it,
// and nothing is wrong with its dictionary.
func sound(s pdf.Signature) bool {
	return s.ContentsIsExactGap && s.RevisionEnd > 0 && len(s.Problems) == 0
}

// signatureStamps judges the signature time-stamps of one signature and records
// what they prove: that the value existed, and with it the signed attributes,
// which name the signer's certificate.
func (d *document) signatureStamps(it *item) error {
	if it.sd == nil || len(it.sd.SignerInfos) != 1 {
		return nil
	}
	for _, t := range it.stamps {
		var imprint []byte
		if t.err == nil {
			h := t.t.Hash.New()
			h.Write(it.sd.SignerInfos[0].Value)
			imprint = h.Sum(nil)
		}
		if err := d.prove(t, imprint, nil); err != nil {
			return err
		}
		if t.ok {
			d.e.prove(it.self, t.t.GenTime)
		}
	}
	bound := len(it.before) > 0 && d.bound(it)
	for _, t := range it.before {
		if bound {
			d.e.prove(t.id, d.e.proven(it.self)) // the signature is over it
		}
		var digest []byte
		if t.err == nil {
			digest = it.digests[t.t.Hash]
		}
		if err := d.prove(t, digest, nil); err != nil {
			return err
		}
	}
	return nil
}

// bound tells whether the value is over the signed attributes, by the certificate
// that they name: only then they are as old as the value. Else anybody could put
// new attributes beside an old value and its time-stamp.
func (d *document) bound(it *item) bool {
	si := &it.sd.SignerInfos[0]
	cert, err := si.FindCertificate(nil)
	return err == nil && d.checkValue(si, cert) == nil
}

// checkValue is [cms.SignerInfo.CheckValue] within the limits of the work: else
// errTooMuch.
func (d *document) checkValue(si *cms.SignerInfo, cert *x509.Certificate) error {
	if !d.e.affords(cert) {
		return errTooMuch
	}
	return si.CheckValue(cert.PublicKey)
}

// prove judges a token (EN 319 102-1 §5.4), by what the document holds in scope
// if one is given.
func (d *document) prove(t *token, imprint []byte, in scope) error {
	t.exists = d.e.proven(t.id)
	t.chain, t.bad = chain{}, nil
	if t.err != nil {
		t.bad = append(t.bad, stampFinding(t.err))
		return nil
	}
	if imprint == nil {
		t.bad = append(t.bad, found(TotalFailed, FormatFailure, "there is nothing that it stamps"))
		return nil
	}
	units := d.units(t.t)
	if t.t.Certificate != nil {
		units = []*x509.Certificate{t.t.Certificate}
	}
	if !d.e.affords(units...) {
		t.bad = append(t.bad, found(Indeterminate, Generic, "%v", errTooMuch))
		return nil
	}
	j, err := t.t.CheckValue(imprint, units)
	if err != nil {
		t.bad = append(t.bad, stampFinding(err))
		return nil
	}
	if t.t.GenTime.After(t.exists.Add(t.t.Accuracy)) {
		f := found(Indeterminate, SigConstraintsFailure, "genTime is in the future")
		if t.exists.Before(d.o.At) {
			f = found(Indeterminate, TimeStampOrderFailure, "genTime is after a time-stamp that covers it")
		}
		t.bad = append(t.bad, f)
		return nil
	}
	exists := t.exists
	if exists.Before(t.t.GenTime) {
		exists = t.t.GenTime // inside the accuracy of two clocks
	}
	for _, h := range j.Hashes {
		if err := certs.CheckHash(h, exists); err != nil {
			t.bad = append(t.bad, algorithmFinding(certs.CheckHash(h, t.t.GenTime), err))
		}
	}
	if err := certs.CheckAlgorithm(j.Algorithm, j.Certificate.PublicKey, exists); err != nil {
		t.bad = append(t.bad, algorithmFinding(certs.CheckAlgorithm(j.Algorithm, j.Certificate.PublicKey, t.t.GenTime), err))
	}
	t.chain, err = d.e.judge(d.ctx, use{
		cert: j.Certificate, purpose: certs.TimeStamping, when: t.t.GenTime, exists: exists, in: in, noStatus: d.o.NoRevocation,
	})
	t.bad = append(t.bad, t.chain.findings...)
	t.ok = len(t.bad) == 0
	return err
}

// units gives certificates among which that of a unit may be, which did not
// come with its token.
func (d *document) units(t *tsa.Token) []*x509.Certificate {
	if sd := t.SignedData(); t.Certificate != nil || len(sd.RawCertificates)+len(sd.RawCRLs) > 0 {
		return nil // who puts anything beside a token puts the unit's certificate there (RFC 3161 §2.4.1)
	}
	var out []*x509.Certificate
	for _, i := range d.e.order {
		if c := d.e.certs[i]; slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageTimeStamping) && len(out) < maxBag {
			out = append(out, c)
		}
	}
	return out
}

// algorithmFinding tells what was never good from what is not proven to be from
// a time when it was.
func algorithmFinding(then, now error) finding {
	if then == nil {
		return found(Indeterminate, CryptoConstraintsNoPOE, "not proven to be older than the end of its algorithm: %v", now)
	}
	return found(Indeterminate, CryptoConstraintsFailure, "%v", now)
}

// stampFinding puts an objection of package tsa into the standard's words.
func stampFinding(err error) finding {
	e, ok := errors.AsType[*tsa.Error](err)
	if !ok {
		return found(Indeterminate, SigConstraintsFailure, "%v", err)
	}
	i, sub := Indeterminate, SigConstraintsFailure
	switch e.Code {
	case tsa.CodeCertificate:
		sub = NoSigningCertificate
	case tsa.CodeAlgorithm:
		sub = CryptoConstraintsFailure
	case tsa.CodeUsage:
		sub = ChainConstraintsFailure
	case tsa.CodeImprint:
		i, sub = TotalFailed, HashFailure
	case tsa.CodeValue:
		i, sub = TotalFailed, SigCryptoFailure
	case tsa.CodeMalformed, tsa.CodeContentType, tsa.CodeSigners:
		i, sub = TotalFailed, FormatFailure
	}
	return found(i, sub, "%v", err)
}
