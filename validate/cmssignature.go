package validate

import (
	"crypto/x509"
	"errors"
	"maps"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"tekend/cms"
)

// one goes through the building blocks of EN 319 102-1 §5.2 for one signature of
// a CMS file. An error means that the caller's context ended.
func (f *signatures) one(s *signer) error {
	out, si := &s.out, &s.sd.SignerInfos[0]
	out.FieldName, out.Kind = s.sig.FieldName, KindSignature
	if !f.pdf { // of a PDF it is not known what the digest is over
		out.Coverage, out.CoversWholeFile = "file", true // message-digest is over all of the content
	}
	whole := false
	switch {
	case f.pdf && len(f.list) != 1:
		out.fail(TotalFailed, FormatFailure, "cms: %d signatures in one, not exactly one", len(f.list))
	case f.pdf:
		whole = s.attributes(s.sd, si)
	default:
		whole = s.cades(si)
	}
	hash := s.content(si)
	if hash != 0 && s.digests[hash] == nil {
		whole = false
		out.fail(Indeterminate, SignedDataNotFound, "content: it is not at hand, nor its digest by the hash of the signature")
	}
	cert := f.certificate(s.item, si)
	if cert == nil {
		return nil
	}
	err := f.checkValue(si, cert)
	if err != nil {
		s.crypto(err)
	}
	intact := err == nil && out.Indication != TotalFailed
	for _, t := range s.before {
		if t.ok { // it existed before it was signed
			out.NotBefore = later(out.NotBefore, t.t.GenTime)
		}
	}
	f.timeStamps(s.item)
	f.archiveStamps(s)
	out.BestTime = f.e.proven(s.self)
	if whole && intact {
		out.Level = LevelBB
		if out.BestTime.Before(f.o.At) && slices.ContainsFunc(s.stamps, func(t *token) bool { return t.ok }) {
			out.Level = LevelBT
		}
	}
	if err := f.trust(s.item, cert); err != nil {
		return err
	}
	s.acceptance(si, hash, cert)
	if out.Level == LevelBT && len(out.Reasons) == 0 {
		return f.longTermOf(s, cert)
	}
	return nil
}

// archiveStamps reports the archive time-stamps. One that does not fit is never
// overlooked, although it takes nothing from the signature: somebody changed
// what it was to keep.
func (f *signatures) archiveStamps(s *signer) {
	if s.more {
		s.out.fail(Indeterminate, Generic, "time_stamp: more of them in the file than are looked at")
		return
	}
	for _, a := range s.archives {
		if a.err != nil {
			sub := SigConstraintsFailure
			if errors.Is(a.err, errNoContent) {
				sub = SignedDataNotFound
			}
			s.out.fail(Indeterminate, sub, "archive_time_stamp: %v", a.err)
			continue
		}
		for _, b := range a.bad {
			s.objectTo("archive_time_stamp", b)
		}
		f.twice(s, a.token, "archive_time_stamp")
		for _, t := range s.tokens() {
			if a.ok && t.err == nil && a.covers[t.id] && t.t.GenTime.After(a.t.GenTime.Add(a.t.Accuracy+clockSkew)) {
				s.out.fail(Indeterminate, TimeStampOrderFailure, "archive_time_stamp: it covers a time-stamp that says that it is younger")
			}
		}
		if a.ok {
			s.out.ArchiveTimeStamps = append(s.out.ArchiveTimeStamps, a.report())
		}
		s.out.Revocation, s.out.Notes = append(s.out.Revocation, a.chain.facts...), append(s.out.Notes, a.chain.notes...)
	}
}

// objectTo takes a finding about a time-stamp: the signature is not refuted by
// it, but neither is it as it was made.
func (s *signer) objectTo(what string, b finding) {
	if b.indication == TotalFailed {
		b.sub = SigConstraintsFailure
	}
	s.out.fail(Indeterminate, b.sub, "%s: %s", what, b.reason)
}

// twice objects to a token that stands at two places: it can be about one thing
// only, so that one of them was put there.
func (f *signatures) twice(s *signer, t *token, what string) {
	n := 0
	for _, o := range f.list {
		for _, u := range o.tokens() {
			if u.id == t.id {
				n++
			}
		}
	}
	if n > 1 {
		s.out.fail(Indeterminate, SigConstraintsFailure, "%s: the same token stands elsewhere too", what)
	}
}

// cades checks the rules of CAdES baseline (EN 319 122-1 §6.3, as specs/ades.md
// §9.2 lists them) and tells whether all hold.
func (s *signer) cades(si *cms.SignerInfo) bool {
	before := len(s.out.Reasons)
	breach := func(reason string, a ...any) {
		s.out.fail(Indeterminate, SigConstraintsFailure, "profile: "+reason, a...)
	}
	if !s.sd.ContentType.Equal(cms.OIDData) {
		breach("the content type is not id-data")
	}
	at, ok := signingTime(si)
	if !ok {
		breach("signing-time is not there once, as a time of RFC 5652")
	}
	s.out.SignedAt = at
	for _, a := range single {
		if n := len(si.Values(a.oid)); n > 1 {
			breach("%s is there %d times", a.name, n)
		}
	}
	if len(si.Values(cms.OIDMimeType))+len(si.Values(cms.OIDContentHints)) > 1 {
		breach("mime-type stands beside content-hints")
	}
	if len(si.Values(cms.OIDSigningCertificate)) > 0 {
		breach("signing-certificate is version 1")
	}
	for _, a := range si.Unsigned {
		switch {
		case a.Type.Equal(cms.OIDSignatureTimeStamp), a.Type.Equal(cms.OIDArchiveTimeStampV3):
		case a.Type.Equal(cms.OIDSignaturePolicyStore) && len(si.Values(cms.OIDSignaturePolicy)) == 1:
		case a.Type.Equal(cms.OIDCounterSignature):
			s.out.Notes = append(s.out.Notes, "there is a countersignature, which is not judged here")
			if !slices.ContainsFunc(a.Values, isSignerInfo) || len(a.Values) != 1 {
				breach("the countersignature is none")
			}
		default:
			// Nobody signed it. One that we cannot judge may have been meant to be
			// a time-stamp; older forms of validation data and of archive
			// time-stamps are not baseline.
			breach("the unsigned attribute %v is not of CAdES baseline", a.Type)
		}
	}
	return len(s.out.Reasons) == before
}

// isSignerInfo tells whether a value begins as a SignerInfo does (RFC 5652 §5.3).
func isSignerInfo(der []byte) bool {
	s := cryptobyte.String(der)
	var in cryptobyte.String
	var version int
	return s.ReadASN1(&in, casn1.SEQUENCE) && s.Empty() && in.ReadASN1Integer(&version) && (version == 1 || version == 3) &&
		(in.SkipASN1(casn1.SEQUENCE) || version == 3 && in.SkipASN1(casn1.Tag(0).ContextSpecific())) && in.SkipASN1(casn1.SEQUENCE)
}

// single are the signed attributes that may be there once.
var single = []struct {
	oid  []int
	name string
}{
	{cms.OIDMimeType, "mime-type"}, {cms.OIDContentHints, "content-hints"}, {cms.OIDContentIdentifier, "content-identifier"},
	{cms.OIDContentReference, "content-reference"}, {cms.OIDSignerLocation, "signer-location"},
	{cms.OIDSignaturePolicy, "signature-policy-identifier"},
}

// signingTime reads the claimed time (RFC 5652 §11.3).
func signingTime(si *cms.SignerInfo) (t time.Time, ok bool) {
	list := si.Values(cms.OIDSigningTime)
	if len(list) != 1 {
		return t, false
	}
	s := cryptobyte.String(list[0])
	if s.PeekASN1Tag(casn1.UTCTime) {
		ok = s.ReadASN1UTCTime(&t)
	} else {
		ok = s.ReadASN1GeneralizedTime(&t) && (t.Year() < 1950 || t.Year() > 2049)
	}
	return t.UTC(), ok && s.Empty()
}

// longTermOf recognises B-LT and B-LTA (specs/ades.md §9.2): by what the file
// holds and nothing else, each certificate of each path that needs it has a
// status that would do.
func (f *signatures) longTermOf(s *signer, cert *x509.Certificate) error {
	for n := len(s.archives) - 1; n >= 0; n-- {
		a := s.archives[n]
		older := slices.Concat(s.before, s.stamps)
		for _, b := range s.archives[:n] {
			older = append(older, b.token)
		}
		if !a.ok || slices.ContainsFunc(older, func(t *token) bool { return !a.covers[t.id] }) {
			continue // its index leaves something out that is older
		}
		whole, err := f.completeIn(s, cert, a.covers, older)
		if err != nil {
			return err
		}
		if whole {
			s.out.Level = LevelLTA
			return nil
		}
	}
	data := scopeOf(f.holds)
	for _, t := range s.tokens() {
		maps.Copy(data, scopeOf(f.inside[t]))
	}
	whole, err := f.completeIn(s, cert, data, s.tokens())
	if whole {
		s.out.Level = LevelBLT
	}
	return err
}

// completeIn tells whether data proves the status of every certificate of the
// signature and of the time-stamps. Certificates count wherever they are in the
// file: names and hashes tie them to what they belong to.
func (f *signatures) completeIn(s *signer, cert *x509.Certificate, data scope, stamps []*token) (bool, error) {
	in := maps.Clone(data)
	for _, list := range [][]id{f.holds, s.holds} {
		for _, i := range list {
			if f.e.known[i] == nil {
				in[i] = true
			}
		}
	}
	return f.proves(in, s.item, cert, stamps)
}
