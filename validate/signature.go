package validate

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"time"

	"tekend/certs"
	"tekend/cms"
	"tekend/pdf"
	"tekend/tsa"
)

// signature goes through the building blocks of EN 319 102-1 §5.2 in their
// order. An error is one of reading.
func (j *judge) signature() error {
	s := &j.out
	sd, err := cms.Parse(j.sig.CMS, j.o.CMS)
	if err != nil {
		i, sub := TotalFailed, FormatFailure
		if tooMuch(err) {
			i, sub = Indeterminate, Generic
		}
		s.fail(i, sub, "cms: %v", err)
		return nil
	}
	if !j.format(sd) {
		return nil
	}
	si := &sd.SignerInfos[0]
	whole := j.profile(sd, si)
	hash, err := j.content(si)
	if err != nil {
		return err
	}
	cert := j.certificate(si)
	if cert == nil {
		return nil
	}
	if err := si.CheckValue(cert.PublicKey); err != nil {
		j.crypto(err)
	}
	best := j.timeStamps(si)
	s.BestTime = best
	if whole {
		s.Level = LevelBB
		if best.Before(j.o.At) && len(s.TimeStamps) > 0 && s.TimeStamps[0].Verified {
			s.Level = LevelBT
		}
	}
	j.path(sd, cert, best)
	j.acceptance(si, hash, cert, best)
	return nil
}

// format is the format check: what must hold before there is one signature to
// talk about.
func (j *judge) format(sd *cms.SignedData) bool {
	if n := len(sd.SignerInfos); n != 1 {
		j.out.fail(TotalFailed, FormatFailure, "cms: %d signatures in one, not exactly one", n)
		return false
	}
	if sd.HasContent {
		j.out.fail(TotalFailed, FormatFailure, "cms: it carries a content of its own")
		return false
	}
	return true
}

// forbidden are the attributes that a PAdES baseline signature does not have
// (EN 319 142-1 §6.3, as specs/ades.md §9.1 lists them).
var forbidden = []struct {
	oid  asn1.ObjectIdentifier
	name string
}{
	{cms.OIDSigningTime, "signing-time"}, {cms.OIDSignerLocation, "signer-location"}, {cms.OIDMimeType, "mime-type"},
	{cms.OIDContentHints, "content-hints"}, {cms.OIDContentIdentifier, "content-identifier"},
	{cms.OIDContentReference, "content-reference"}, {cms.OIDAdobeRevocationArchive, "adbe-revocationInfoArchival"},
}

// profile checks the rules of PAdES baseline and tells whether all hold.
func (j *judge) profile(sd *cms.SignedData, si *cms.SignerInfo) bool {
	before := len(j.out.Reasons)
	breach := func(reason string, a ...any) {
		j.out.fail(Indeterminate, SigConstraintsFailure, "profile: "+reason, a...)
	}
	if j.sig.SubFilter != "ETSI.CAdES.detached" {
		breach("the SubFilter is %.40q, not ETSI.CAdES.detached", j.sig.SubFilter)
	}
	if j.sig.Type != "" && j.sig.Type != "Sig" {
		breach("the Type is not Sig")
	}
	if j.sig.Filter == "" {
		breach("Filter is absent")
	}
	if j.sig.HasCert {
		breach("/Cert is there")
	}
	if _, ok := pdfDate(j.sig.SigningTime); !ok {
		breach("/M is absent or not a date with seconds and offset")
	}
	if !sd.ContentType.Equal(cms.OIDData) {
		breach("the content type is not id-data")
	}
	for _, f := range forbidden {
		if len(si.Values(f.oid)) > 0 {
			breach("the signed attribute %s is there", f.name)
		}
	}
	for _, a := range si.Unsigned {
		// Nobody signed them. One that we cannot judge may have been meant to
		// be a time-stamp.
		if !a.Type.Equal(cms.OIDSignatureTimeStamp) {
			breach("the unsigned attribute %v is not known here", a.Type)
		}
	}
	if n := len(si.Values(cms.OIDSignaturePolicy)); n > 1 {
		breach("signature-policy-identifier is there %d times", n)
	}
	if j.sig.HasReason && len(si.Values(cms.OIDSignaturePolicy))+len(si.Values(cms.OIDCommitmentType)) > 0 {
		breach("/Reason stands beside a commitment or a policy")
	}
	if ids, err := si.CertIDs(); err == nil && len(si.Values(cms.OIDSigningCertificate)) > 0 {
		breach("signing-certificate is version 1 (%v)", ids[0].Hash)
	}
	return len(j.out.Reasons) == before
}

// content compares the digest of the signed bytes. It gives the digest
// algorithm, 0 when it is not known.
func (j *judge) content(si *cms.SignerInfo) (crypto.Hash, error) {
	h, err := si.Hash()
	if err != nil {
		j.crypto(err)
		return 0, nil
	}
	if !j.sig.ContentsIsExactGap {
		return h, nil // there are no signed bytes to speak of; that was said
	}
	digest, err := pdf.ByteRangeDigest(j.r, j.size, j.sig, h)
	if err != nil {
		return h, fmt.Errorf("hash document: %w", err)
	}
	if err := si.CheckContent(digest); err != nil {
		j.crypto(err)
	}
	return h, nil
}

// crypto turns an error of cms into a finding.
func (j *judge) crypto(err error) {
	i, sub := TotalFailed, FormatFailure
	e, _ := errors.AsType[*cms.Error](err)
	switch {
	case e == nil:
	case e.Code == cms.CodeDigestMismatch:
		sub = HashFailure
	case e.Code == cms.CodeBadValue, e.Code == cms.CodeAlgorithmMismatch:
		sub = SigCryptoFailure
	case e.Code == cms.CodeAlgorithm:
		i, sub = Indeterminate, CryptoConstraintsFailure
	}
	j.out.fail(i, sub, "%v", err)
}

// certificate finds the signer's certificate: the one that sid names and
// signing-certificate confirms. Where there is none, the value is still held
// against those that sid names, so that a broken signature is called broken.
func (j *judge) certificate(si *cms.SignerInfo) *x509.Certificate {
	cert, err := si.FindCertificate(nil)
	if err == nil {
		j.out.Signer = cert.Subject.CommonName
		return cert
	}
	j.out.fail(Indeterminate, NoSigningCertificate, "%v", err)
	named := si.Named(nil)
	for _, c := range named {
		if si.CheckValue(c.PublicKey) == nil {
			return nil
		}
	}
	if len(named) > 0 {
		j.crypto(si.CheckValue(named[0].PublicKey))
	}
	return nil
}

// timeStamps judges the signature time-stamps and gives the best signature
// time: the earliest that is proven. A time-stamp that does not verify is
// never overlooked.
func (j *judge) timeStamps(si *cms.SignerInfo) time.Time {
	best := j.o.At
	tokens := si.TimeStampTokens()
	// More than a few would be a way to make us work.
	if len(tokens) > 8 {
		j.out.fail(Indeterminate, Generic, "time_stamp: %d of them, at most 8 are looked at", len(tokens))
		tokens = tokens[:8]
	}
	for _, der := range tokens {
		r, err := j.timeStamp(der, si.Value)
		if err != nil {
			i, sub := timeStampVerdict(err, false)
			j.out.fail(i, sub, "time_stamp: %v", err)
			r.Reason = err.Error()
		} else if r.GenTime.Before(best) {
			best = r.GenTime
		}
		j.out.TimeStamps = append(j.out.TimeStamps, r)
	}
	return best
}

func (j *judge) timeStamp(der, value []byte) (TimeStampReport, error) {
	t, err := tsa.ParseToken(der)
	if err != nil {
		return TimeStampReport{}, err
	}
	r := TimeStampReport{GenTime: t.GenTime, Policy: t.Policy}
	if t.Certificate != nil {
		r.Unit = t.Certificate.Subject.CommonName
	}
	h := t.Hash.New()
	h.Write(value)
	err = t.Verify(tsa.VerifyOptions{Imprint: h.Sum(nil), Hash: t.Hash, Roots: j.o.Roots, At: j.o.At})
	r.Verified = err == nil
	return r, err
}

// timeStampVerdict is what a bad time-stamp means: for itself (alone), or for
// the signature that it is attached to. The signature is not refuted by it,
// but neither is it as it was made.
func timeStampVerdict(err error, alone bool) (Indication, string) {
	e, ok := errors.AsType[*tsa.Error](err)
	if !ok {
		return Indeterminate, SigConstraintsFailure
	}
	switch e.Code {
	case tsa.CodePath, tsa.CodePathNow:
		return pathVerdict(err)
	case tsa.CodeCertificate:
		return Indeterminate, NoSigningCertificate
	case tsa.CodeAlgorithm:
		return Indeterminate, CryptoConstraintsFailure
	case tsa.CodeUsage:
		return Indeterminate, ChainConstraintsFailure
	}
	if alone {
		switch e.Code {
		case tsa.CodeImprint:
			return TotalFailed, HashFailure
		case tsa.CodeValue:
			return TotalFailed, SigCryptoFailure
		}
	}
	return Indeterminate, SigConstraintsFailure
}

func pathVerdict(err error) (Indication, string) {
	e, ok := errors.AsType[*certs.PathError](err)
	if !ok {
		return Indeterminate, NoCertificateChain
	}
	switch e.Reason {
	case certs.NoPath:
		return Indeterminate, NoCertificateChain
	case certs.Expired, certs.NotYetValid:
		return Indeterminate, OutOfBoundsNoPOE
	case certs.BadAlgorithm:
		return Indeterminate, CryptoConstraintsFailure
	}
	return Indeterminate, ChainConstraintsFailure
}

// path checks the certificate and its issuers at the best signature time.
func (j *judge) path(sd *cms.SignedData, cert *x509.Certificate, best time.Time) {
	var bag []*x509.Certificate
	for _, raw := range sd.Certificates {
		if c, err := cms.ReadCertificate(raw); err == nil {
			bag = append(bag, c)
		}
	}
	if err := certs.CheckPath(cert, bag, j.o.Roots, best, certs.Signing); err != nil {
		i, sub := pathVerdict(err)
		if best.Before(j.o.At) && best.Before(cert.NotBefore) {
			i, sub = TotalFailed, NotYetValid // EN 319 102-1 §5.5.4: proven older than its certificate
		}
		j.out.fail(i, sub, "%v", err)
	}
}

// acceptance holds algorithms and claimed time against our policy.
func (j *judge) acceptance(si *cms.SignerInfo, h crypto.Hash, cert *x509.Certificate, best time.Time) {
	if h != 0 {
		err := certs.CheckHash(h, best)
		if alg, algErr := si.SignatureAlgorithm(); algErr == nil && err == nil {
			err = certs.CheckAlgorithm(alg, cert.PublicKey, best)
		}
		if err != nil {
			j.out.fail(Indeterminate, CryptoConstraintsFailure, "algorithm: %v", err)
		}
	}
	if ids, err := si.CertIDs(); err == nil && len(ids) > 0 {
		// A weak hash would let another certificate take this one's place.
		if err := certs.CheckHash(ids[0].Hash, best); err != nil {
			j.out.fail(Indeterminate, CryptoConstraintsFailure, "signing-certificate: %v", err)
		}
	}
	if at := j.out.SignedAt; !at.IsZero() && (at.Before(cert.NotBefore) || at.After(cert.NotAfter)) {
		j.out.fail(Indeterminate, SigConstraintsFailure, "time: the claimed time is outside the certificate's validity")
	}
}

func tooMuch(err error) bool {
	e, ok := errors.AsType[*cms.Error](err)
	return ok && (e.Code == cms.CodeTooLarge || e.Code == cms.CodeTooDeep || e.Code == cms.CodeTooManyElements)
}
