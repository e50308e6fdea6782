package certs

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// forged is an OCSP answer as somebody else may make it: what [OCSPResponder.Answer] would not let out.
type forged struct {
	singles    []SingleStatus
	produced   time.Time
	by         *x509.Certificate // whose name or key the answer bears
	byName     bool
	key        crypto.Signer
	certs      []*x509.Certificate
	algorithm  []byte // DER AlgorithmIdentifier; nil: the key's usual one
	sign       func(data []byte) []byte
	extensions []pkix.Extension // of the answer
	single     []pkix.Extension // of each single response
}

func addPKIX(b *cryptobyte.Builder, list []pkix.Extension) {
	b.AddASN1(cbasn1.Tag(1).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, e := range list {
				extension{e.Id, e.Critical, e.Value}.encode(b)
			}
		})
	})
}

func (f forged) der(t testing.TB) []byte {
	t.Helper()
	id := must(keyIdentifier(f.by.RawSubjectPublicKeyInfo))
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		if f.byName {
			b.AddASN1(cbasn1.Tag(1).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddBytes(f.by.RawSubject) })
		} else {
			b.AddASN1(cbasn1.Tag(2).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddASN1OctetString(id) })
		}
		b.AddASN1GeneralizedTime(f.produced.UTC().Truncate(time.Second))
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, s := range f.singles {
				f.encodeSingle(b, s)
			}
		})
		if len(f.extensions) > 0 {
			addPKIX(b, f.extensions)
		}
	})
	data := b.BytesOrPanic()
	alg := must(signingAlgorithm(f.key.Public()))
	if f.algorithm == nil {
		var a cryptobyte.Builder
		alg.identifier(&a)
		f.algorithm = a.BytesOrPanic()
	}
	if f.sign == nil {
		f.sign = func(data []byte) []byte { return must(signDigest(f.key, alg, data)) }
	}
	return f.wrap(data, f.sign(data))
}

func (f forged) encodeSingle(b *cryptobyte.Builder, s SingleStatus) {
	if s.NextUpdate.IsZero() || f.single != nil {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(s.ID.DER)
			b.AddBytes([]byte{0x80, 0})
			b.AddASN1GeneralizedTime(s.ThisUpdate.UTC().Truncate(time.Second))
			if f.single != nil {
				addPKIX(b, f.single)
			}
		})
		return
	}
	s.encode(b)
}

func (f forged) wrap(data, value []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Enum(0)
		b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(oidOCSPBasic)
				b.AddASN1(cbasn1.OCTET_STRING, func(b *cryptobyte.Builder) {
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddBytes(data)
						b.AddBytes(f.algorithm)
						b.AddASN1BitString(value)
						if len(f.certs) == 0 {
							return
						}
						b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
							b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
								for _, c := range f.certs {
									b.AddBytes(c.Raw)
								}
							})
						})
					})
				})
			})
		})
	})
	return b.BytesOrPanic()
}

// forge is a good answer by the world's responder, to be changed.
func (w *ocspWorld) forge(t testing.TB) forged {
	return forged{singles: []SingleStatus{w.good(t)}, produced: w.now, by: w.by.Cert, key: w.key, certs: []*x509.Certificate{w.by.Cert}}
}

// responderOf makes a responder's certificate that our own profile does not know.
func (w *ocspWorld) responderOf(t testing.TB, key crypto.PublicKey, change func(c *x509.Certificate)) *x509.Certificate {
	t.Helper()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(4711), Subject: pkix.Name{CommonName: "Responder"}, NotBefore: w.now.Add(-time.Hour), NotAfter: w.now.Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning},
	}
	change(c)
	return parse(t, must(x509.CreateCertificate(rand.Reader, c, w.issuing, key, w.caKey)))
}

func whyNot(err error) StatusReason {
	if e, ok := errors.AsType[*StatusError](err); ok {
		return e.Reason
	}
	return ""
}

// TestOCSPStatus: what an answer says, by whom, and what of it is refused, each for its own reason.
func TestOCSPStatus(t *testing.T) {
	w := newOCSPWorld(t)
	other := newOCSPWorld(t)
	noCheck := pkix.Extension{Id: oidExtOCSPNoCheck, Value: []byte{5, 0}}
	delegate := func(f *forged, change func(c *x509.Certificate)) {
		key := ecKey(t, p256)
		f.by = w.responderOf(t, key.Public(), change)
		f.key, f.certs = key, []*x509.Certificate{f.by}
	}
	hash := func(h crypto.Hash, of []byte) []pkix.Extension {
		sum := h.New()
		sum.Write(of)
		var b cryptobyte.Builder
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oidSHA256) })
			b.AddASN1OctetString(sum.Sum(nil))
		})
		return []pkix.Extension{{Id: oidOCSPCertHash, Value: b.BytesOrPanic()}}
	}
	for name, tc := range map[string]struct {
		change func(f *forged)
		want   StatusReason
		see    func(s Status) bool
	}{
		"good": {func(*forged) {}, "", func(s Status) bool {
			return s.State == StatusGood && s.Responder.Equal(w.by.Cert) && s.Kind == FromOCSP
		}},
		"named by name":    {func(f *forged) { f.byName = true }, "", func(s Status) bool { return s.Responder.Equal(w.by.Cert) }},
		"of SHA-256":       {func(f *forged) { f.singles[0].ID = w.id(t, crypto.SHA256) }, "", nil},
		"by the issuer":    {func(f *forged) { f.by, f.key, f.certs = w.issuing, w.caKey, nil }, "", func(s Status) bool { return s.Responder == nil }},
		"by issuer's name": {func(f *forged) { f.by, f.key, f.certs, f.byName = w.issuing, w.caKey, nil, true }, "", func(s Status) bool { return s.Responder == nil }},
		"revoked": {func(f *forged) {
			f.singles[0].State, f.singles[0].RevokedAt, f.singles[0].Reason = StatusRevoked, w.now.Add(-time.Minute), 1
		}, "", func(s Status) bool { return s.State == StatusRevoked && s.Reason == 1 && !s.RevokedAt.IsZero() }},
		"unknown":        {func(f *forged) { f.singles[0].State = StatusUnknown }, "", func(s Status) bool { return s.State == StatusUnknown }},
		"two CAs in one": {func(f *forged) { f.singles = append(f.singles, other.good(t)) }, "", nil},
		"no nextUpdate":  {func(f *forged) { f.singles[0].NextUpdate = time.Time{} }, "", func(s Status) bool { return s.NextUpdate.IsZero() }},
		"vouched for": {func(f *forged) {
			delegate(f, func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{noCheck} })
		}, "", func(s Status) bool { return !NeedsStatus(s.Responder) }},
		"not vouched for": {func(f *forged) { delegate(f, func(*x509.Certificate) {}) }, "", func(s Status) bool { return NeedsStatus(s.Responder) }},
		"saw it":          {func(f *forged) { f.single = hash(crypto.SHA256, w.leaf.Raw) }, "", func(s Status) bool { return s.CertHash }},
		"saw another":     {func(f *forged) { f.single = hash(crypto.SHA256, w.issuing.Raw) }, StatusOther, nil},
		"several by name": {func(f *forged) {
			f.byName, f.certs = true, []*x509.Certificate{w.responderOf(t, ecKey(t, p256).Public(), func(c *x509.Certificate) { c.RawSubject = f.by.RawSubject }), f.by}
		}, "", func(s Status) bool { return s.Responder.Equal(w.by.Cert) }},
		"another's":            {func(f *forged) { f.singles = []SingleStatus{other.good(t)} }, StatusOther, nil},
		"said twice":           {func(f *forged) { f.singles = append(f.singles, f.singles[0]) }, StatusOther, nil},
		"certified by another": {func(f *forged) { f.by, f.key, f.certs = other.by.Cert, other.key, []*x509.Certificate{other.by.Cert} }, StatusResponder, nil},
		"no certificate":       {func(f *forged) { f.certs = nil }, StatusResponder, nil},
		"the leaf itself": {func(f *forged) {
			key := ecKey(t, p256)
			leaf := w.person(t, key.Public())
			f.by, f.key, f.certs = leaf, key, []*x509.Certificate{leaf}
		}, StatusResponder, nil},
		"not for OCSP": {func(f *forged) { delegate(f, func(c *x509.Certificate) { c.ExtKeyUsage = nil }) }, StatusResponder, nil},
		"for anything": {func(f *forged) {
			delegate(f, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} })
		}, StatusResponder, nil},
		"not for signing": {func(f *forged) { delegate(f, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }) }, StatusResponder, nil},
		"critical in it": {func(f *forged) {
			delegate(f, func(c *x509.Certificate) {
				c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 25, 1}, Critical: true, Value: []byte{5, 0}}}
			})
		}, StatusCritical, nil},
		"responder over":    {func(f *forged) { delegate(f, func(c *x509.Certificate) { c.NotAfter = w.now.Add(-time.Minute) }) }, StatusTime, nil},
		"responder not yet": {func(f *forged) { delegate(f, func(c *x509.Certificate) { c.NotBefore = w.now.Add(time.Minute) }) }, StatusTime, nil},
		"changed value": {func(f *forged) {
			f.sign = func(data []byte) []byte { return must(signDigest(f.key, algorithms[0], append([]byte{0}, data...))) }
		}, StatusSignature, nil},
		"SHA-1": {func(f *forged) { f.algorithm = []byte{0x30, 9, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1} }, StatusAlgorithm, nil},
		"critical": {func(f *forged) {
			f.extensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 25, 1}, Critical: true, Value: []byte{5, 0}}}
		}, StatusCritical, nil},
		"critical in one": {func(f *forged) {
			f.single = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 25, 1}, Critical: true, Value: []byte{5, 0}}}
		}, StatusCritical, nil},
		"not critical": {func(f *forged) {
			f.extensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 25, 1}, Value: []byte{5, 0}}}
		}, "", nil},
		"ends before it begins":   {func(f *forged) { f.singles[0].NextUpdate = w.now.Add(-time.Minute) }, StatusTime, nil},
		"known after it was made": {func(f *forged) { f.singles[0].ThisUpdate = w.now.Add(10 * time.Minute) }, StatusTime, nil},
		"made after its end": {func(f *forged) {
			f.singles[0].ThisUpdate, f.singles[0].NextUpdate = w.now.Add(-30*time.Second), w.now.Add(-20*time.Second)
			f.produced = w.now.Add(50 * time.Minute)
		}, StatusTime, nil},
		"from before the certificate": {func(f *forged) { f.singles[0].ThisUpdate = w.leaf.NotBefore.Add(-time.Minute) }, StatusNotCovered, nil},
	} {
		f := w.forge(t)
		tc.change(&f)
		s, err := OCSPStatus(f.der(t), w.leaf, w.issuing)
		if got := whyNot(err); got != tc.want || err != nil && got == "" {
			t.Errorf("%s: %v", name, err)
		} else if tc.see != nil && !tc.see(s) {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if _, err := OCSPStatus(OCSPErrorResponse(OCSPTryLater), w.leaf, w.issuing); whyNot(err) != StatusNoAnswer {
		t.Error(err)
	}
	if _, err := OCSPStatus(make([]byte, MaxOCSPResponse+1), w.leaf, w.issuing); whyNot(err) != StatusMalformed {
		t.Error(err)
	}
	if _, err := OCSPStatus(w.forge(t).der(t), w.leaf, other.issuing); whyNot(err) != StatusOther {
		t.Error(err)
	}
}

// TestOCSPStatusOfExpired: after the certificate's end an answer counts only if it says that it speaks of expired ones
// (archive cut-off, RFC 6960 §4.4.4), or is a revocation.
func TestOCSPStatusOfExpired(t *testing.T) {
	w := newOCSPWorld(t)
	after := w.leaf.NotAfter.Add(time.Hour)
	der := must(Issue(Issuer{w.issuing, w.caKey}, func() Order {
		o := w.responderOrder(w.key.Public())
		o.NotBefore, o.NotAfter = after.Add(-time.Hour), after.AddDate(0, 0, 30)
		return o
	}()))
	w.by.Cert = parse(t, der)
	for name, tc := range map[string]struct {
		cutoff time.Time
		state  CertState
		want   StatusReason
	}{
		"since the CA began":   {w.issuing.NotBefore, StatusGood, ""},
		"since the very end":   {w.leaf.NotAfter, StatusGood, ""},
		"since after its end":  {w.leaf.NotAfter.Add(time.Second), StatusGood, StatusNotCovered},
		"not said":             {time.Time{}, StatusGood, StatusNotCovered},
		"a revocation is told": {time.Time{}, StatusRevoked, ""},
	} {
		s := w.good(t)
		s.ThisUpdate, s.NextUpdate, s.ArchiveCutoff, s.State = after, after.Add(time.Hour), tc.cutoff, tc.state
		s.RevokedAt = w.now
		f := w.forge(t)
		f.singles, f.produced, f.by, f.certs = []SingleStatus{s}, after, w.by.Cert, []*x509.Certificate{w.by.Cert}
		if got, err := OCSPStatus(f.der(t), w.leaf, w.issuing); whyNot(err) != tc.want || err == nil && got.State != tc.state {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
}

// TestPSSInAnswersAndLists: others sign OCSP answers and CRLs with RSASSA-PSS; crypto/x509 writes the parameters here.
func TestPSSInAnswersAndLists(t *testing.T) {
	key := rsaKey(t)
	w := &ocspWorld{pki: newPKI(t, nil, key)}
	w.leaf = w.person(t, ecKey(t, p256).Public())
	for alg, h := range map[x509.SignatureAlgorithm]crypto.Hash{x509.SHA256WithRSAPSS: crypto.SHA256, x509.SHA384WithRSAPSS: crypto.SHA384, x509.SHA512WithRSAPSS: crypto.SHA512} {
		list := must(x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
			Number: big.NewInt(1), ThisUpdate: w.now, NextUpdate: w.now.Add(time.Hour), SignatureAlgorithm: alg,
		}, w.issuing, key))
		if s, err := must(ReadCRL(list)).Status(w.leaf, w.issuing); err != nil || s.State != StatusGood || s.Algorithm != alg {
			t.Errorf("%v: %+v %v", alg, s, err)
		}
		var parts struct{ TBS, Algorithm, Value asn1.RawValue }
		if _, err := asn1.Unmarshal(list, &parts); err != nil {
			t.Fatal(err)
		}
		f := w.forge2(t, key)
		f.algorithm = parts.Algorithm.FullBytes
		f.sign = func(data []byte) []byte {
			sum := h.New()
			sum.Write(data)
			return must(rsa.SignPSS(rand.Reader, key, h, sum.Sum(nil), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}))
		}
		good := f.der(t)
		if s, err := OCSPStatus(good, w.leaf, w.issuing); err != nil || s.Algorithm != alg {
			t.Errorf("%v: %v", alg, err)
		}
		// The same value under other parameters: another salt, or the hash of the mask another one.
		for n, change := range [][2][]byte{
			{{0xa2, 3, 2, 1, byte(h.Size())}, {0xa2, 3, 2, 1, byte(h.Size() - 1)}},
			{must(asn1.Marshal(oidMGF1)), must(asn1.Marshal(oidRSASSAPSS))},
		} {
			f.algorithm = bytes.Replace(parts.Algorithm.FullBytes, change[0], change[1], 1)
			if _, err := OCSPStatus(f.der(t), w.leaf, w.issuing); bytes.Equal(f.algorithm, parts.Algorithm.FullBytes) || whyNot(err) != StatusAlgorithm {
				t.Errorf("%v, change %d: %v", alg, n, err)
			}
		}
	}
	// RSA without the NULL that RFC 4055 wants.
	f := w.forge2(t, key)
	f.algorithm = []byte{0x30, 11, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11}
	if s, err := OCSPStatus(f.der(t), w.leaf, w.issuing); err != nil || s.Algorithm != x509.SHA256WithRSA {
		t.Error(err)
	}
}

// forge2 is a good answer by the issuer itself.
func (w *ocspWorld) forge2(t testing.TB, key crypto.Signer) forged {
	return forged{singles: []SingleStatus{w.good(t)}, produced: w.now, by: w.issuing, key: key}
}

// TestNeedsStatus: who must be asked about.
func TestNeedsStatus(t *testing.T) {
	w := newOCSPWorld(t)
	oneTime := parse(t, must(Issue(Issuer{w.issuing, w.caKey}, w.oneTimeOrder(t, ecKey(t, p256).Public()))))
	noCheck := pkix.Extension{Id: oidExtOCSPNoCheck, Value: []byte{5, 0}}
	excused := w.responderOf(t, ecKey(t, p256).Public(), func(c *x509.Certificate) { c.ExtKeyUsage, c.ExtraExtensions = nil, []pkix.Extension{noCheck} })
	claims := w.responderOf(t, ecKey(t, p256).Public(), func(c *x509.Certificate) { c.RawSubject = w.issuing.RawSubject })
	without := func(oid asn1.ObjectIdentifier, change func(c *x509.Certificate)) *x509.Certificate {
		return w.responderOf(t, ecKey(t, p256).Public(), func(c *x509.Certificate) {
			c.ExtKeyUsage, c.ExtraExtensions = nil, []pkix.Extension{{Id: oid, Value: []byte{5, 0}}}
			change(c)
		})
	}
	ca := func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	}
	for name, tc := range map[string]struct {
		cert *x509.Certificate
		want bool
	}{
		"noRevAvail":                 {without(oidExtNoRevAvail, func(*x509.Certificate) {}), false},
		"noRevAvail and a list":      {without(oidExtNoRevAvail, func(c *x509.Certificate) { c.CRLDistributionPoints = []string{"http://crl.example/a.crl"} }), true},
		"noRevAvail and a responder": {without(oidExtNoRevAvail, func(c *x509.Certificate) { c.OCSPServer = []string{"http://ocsp.example/"} }), true},
		"noRevAvail in a CA's":       {without(oidExtNoRevAvail, ca), true},
		"validity assured":           {without(oidExtValidityAssured, func(*x509.Certificate) {}), false},
		"validity assured in a CA's": {without(oidExtValidityAssured, ca), true},
		"a person":                   {w.leaf, true}, "an issuing CA": {w.issuing, true}, "a root": {w.root, false}, "one-time": {oneTime, false},
		"a responder that is vouched for": {w.by.Cert, false}, "nocheck in another certificate": {excused, true},
		"its issuer's name and another's key": {claims, true},
	} {
		if got := NeedsStatus(tc.cert); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestNewest: the newest counts, and what contradicts it is told.
func TestNewest(t *testing.T) {
	at := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	good := func(h int) Status {
		return Status{State: StatusGood, Kind: FromOCSP, ThisUpdate: at.Add(time.Duration(h) * time.Hour)}
	}
	revoked := func(h, since int) Status {
		return Status{State: StatusRevoked, Kind: FromCRL, ThisUpdate: at.Add(time.Duration(h) * time.Hour), RevokedAt: at.Add(time.Duration(since) * time.Hour)}
	}
	unknown := Status{Kind: FromOCSP, ThisUpdate: at.Add(9 * time.Hour)}
	for name, tc := range map[string]struct {
		all    []Status
		want   CertState
		kind   string
		differ bool
	}{
		"nothing":                              {nil, StatusUnknown, "", false},
		"one":                                  {[]Status{good(1)}, StatusGood, FromOCSP, false},
		"revoked after the older one":          {[]Status{good(1), revoked(3, 2)}, StatusRevoked, FromCRL, false},
		"the other way round":                  {[]Status{revoked(3, 2), good(1)}, StatusRevoked, FromCRL, false},
		"the older one should have known":      {[]Status{good(2), revoked(3, 1)}, StatusRevoked, FromCRL, true},
		"a newer one does not know":            {[]Status{revoked(2, 1), good(3)}, StatusGood, FromOCSP, true},
		"at the same time a revocation counts": {[]Status{good(2), revoked(2, 1)}, StatusRevoked, FromCRL, true},
		"and the other way round":              {[]Status{revoked(2, 1), good(2)}, StatusRevoked, FromCRL, true},
		"two times of a revocation":            {[]Status{revoked(2, 1), revoked(3, 2)}, StatusRevoked, FromCRL, true},
		"unknown says nothing":                 {[]Status{good(1), unknown}, StatusGood, FromOCSP, false},
		"nor before":                           {[]Status{unknown, good(1)}, StatusGood, FromOCSP, false},
		"only unknown":                         {[]Status{unknown}, StatusUnknown, FromOCSP, false},
	} {
		s, differ := Newest(tc.all)
		if s.State != tc.want || s.Kind != tc.kind || differ != tc.differ {
			t.Errorf("%s: %+v, %v", name, s, differ)
		}
	}
}

// TestStatusOfWhatTheIssuerDidNotSign: a certificate with a real one's serial number and issuer's name gets none of its status;
// and an issuer whose own algorithm is not accepted makes no responder.
func TestStatusOfWhatTheIssuerDidNotSign(t *testing.T) {
	w, other := newOCSPWorld(t), newOCSPWorld(t)
	certified := func(parent *x509.Certificate, key crypto.Signer, pub crypto.PublicKey, change func(c *x509.Certificate)) *x509.Certificate {
		c := &x509.Certificate{SerialNumber: w.leaf.SerialNumber, NotBefore: w.now.Add(-time.Hour), NotAfter: w.now.Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature}
		change(c)
		return parse(t, must(x509.CreateCertificate(rand.Reader, c, parent, pub, key)))
	}
	twin := certified(other.issuing, other.caKey, ecKey(t, p256).Public(), func(*x509.Certificate) {})
	if !bytes.Equal(twin.RawIssuer, w.issuing.RawSubject) {
		t.Fatal("not the same name")
	}
	if _, err := OCSPStatus(w.forge(t).der(t), twin, w.issuing); whyNot(err) != StatusIssuer {
		t.Errorf("%v", err)
	}
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := certified(w.root, w.rootKey, pub, func(c *x509.Certificate) {
		c.Subject, c.IsCA, c.BasicConstraintsValid, c.KeyUsage = pkix.Name{CommonName: "Ed25519"}, true, true, x509.KeyUsageCertSign
	})
	leaf := certified(ca, key, ecKey(t, p256).Public(), func(*x509.Certificate) {})
	f := w.forge(t)
	f.key = ecKey(t, p256)
	f.by = certified(ca, key, f.key.Public(), func(c *x509.Certificate) {
		c.SerialNumber, c.ExtKeyUsage = big.NewInt(1), []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}
	})
	f.certs = []*x509.Certificate{f.by}
	f.singles[0].ID = must(IDOf(leaf, ca, crypto.SHA1))
	if _, err := OCSPStatus(f.der(t), leaf, ca); whyNot(err) != StatusAlgorithm {
		t.Errorf("%v", err)
	}
}
