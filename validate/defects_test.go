package validate_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"tekend/cms"
	"tekend/pdf"
	"tekend/tsa"
	"tekend/validate"
)

func tagged(n uint8) casn1.Tag { return casn1.Tag(n).Constructed().ContextSpecific() }

func build(t testing.TB, f cryptobyte.BuilderContinuation) []byte {
	t.Helper()
	var b cryptobyte.Builder
	f(&b)
	der, err := b.Bytes()
	check(t, err)
	return der
}

// attribute writes one attribute with values that are DER already.
// sha1CertID is a SigningCertificateV2 (RFC 5035 §3) that names a certificate
// by a hash for which another one could be made.
func sha1CertID(t testing.TB, cert []byte) []byte {
	return build(t, func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26})
					})
					sum := sha1.Sum(cert)
					b.AddASN1OctetString(sum[:])
				})
			})
		})
	})
}

func attribute(t testing.TB, oid asn1.ObjectIdentifier, values ...[]byte) []byte {
	return build(t, func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oid)
			b.AddASN1(casn1.SET, func(b *cryptobyte.Builder) {
				for _, v := range values {
					b.AddBytes(v)
				}
			})
		})
	})
}

// set writes a SET OF in DER.
func set(t testing.TB, elements [][]byte) []byte {
	s := slices.Clone(elements)
	slices.SortFunc(s, bytes.Compare)
	return build(t, func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.SET, func(b *cryptobyte.Builder) {
			for _, e := range s {
				b.AddBytes(e)
			}
		})
	})
}

// elements takes a SET OF apart.
func elements(t testing.TB, der []byte) [][]byte {
	t.Helper()
	s := cryptobyte.String(der)
	var in cryptobyte.String
	if !s.ReadASN1(&in, casn1.SET) {
		t.Fatal("not a SET")
	}
	var out [][]byte
	for !in.Empty() {
		var one cryptobyte.String
		if !in.ReadASN1Element(&one, casn1.SEQUENCE) {
			t.Fatal("not a SET of SEQUENCEs")
		}
		out = append(out, one)
	}
	return out
}

func typeOf(t testing.TB, attr []byte) asn1.ObjectIdentifier {
	t.Helper()
	s := cryptobyte.String(attr)
	var in cryptobyte.String
	var oid asn1.ObjectIdentifier
	if !s.ReadASN1(&in, casn1.SEQUENCE) || !in.ReadASN1ObjectIdentifier(&oid) {
		t.Fatal("not an attribute")
	}
	return oid
}

// with gives the good attributes with a change.
func (w *world) with(t testing.TB, change func([][]byte) [][]byte) func([]byte) []byte {
	return func(digest []byte) []byte {
		good, err := cms.SignedAttributes(digest, w.leaf)
		check(t, err)
		return set(t, change(elements(t, good)))
	}
}

func without(t testing.TB, oid asn1.ObjectIdentifier) func([][]byte) [][]byte {
	return func(list [][]byte) [][]byte {
		return slices.DeleteFunc(list, func(a []byte) bool { return typeOf(t, a).Equal(oid) })
	}
}

func adding(attrs ...[]byte) func([][]byte) [][]byte {
	return func(list [][]byte) [][]byte { return append(list, attrs...) }
}

// frame is a SignedData whose parts can be wrong.
type frame struct {
	content   []byte // eContent
	attrs     []byte // tag 0x31; nil: none
	algorithm asn1.ObjectIdentifier
	value     []byte
	unsigned  [][]byte
	signers   int
}

var (
	ecdsaSHA256 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
	sha256OID   = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
)

func (f frame) der(t testing.TB, certificates ...*x509.Certificate) []byte {
	alg := func(b *cryptobyte.Builder, oid asn1.ObjectIdentifier) {
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oid) })
	}
	return build(t, func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(cms.OIDSignedData)
			b.AddASN1(tagged(0), func(b *cryptobyte.Builder) {
				b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1Int64(1)
					b.AddASN1(casn1.SET, func(b *cryptobyte.Builder) { alg(b, sha256OID) })
					b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddASN1ObjectIdentifier(cms.OIDData)
						if f.content != nil {
							b.AddASN1(tagged(0), func(b *cryptobyte.Builder) { b.AddASN1OctetString(f.content) })
						}
					})
					b.AddASN1(tagged(0), func(b *cryptobyte.Builder) {
						for _, c := range certificates {
							b.AddBytes(c.Raw)
						}
					})
					b.AddASN1(casn1.SET, func(b *cryptobyte.Builder) {
						for range f.signers {
							f.signer(b, alg, certificates[0])
						}
					})
				})
			})
		})
	})
}

func (f frame) signer(b *cryptobyte.Builder, alg func(*cryptobyte.Builder, asn1.ObjectIdentifier), c *x509.Certificate) {
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(c.RawIssuer)
			b.AddASN1BigInt(c.SerialNumber)
		})
		alg(b, sha256OID)
		if f.attrs != nil {
			b.AddBytes(append([]byte{0xA0}, f.attrs[1:]...))
		}
		alg(b, f.algorithm)
		b.AddASN1OctetString(f.value)
		if len(f.unsigned) > 0 {
			b.AddASN1(tagged(1), func(b *cryptobyte.Builder) {
				for _, u := range f.unsigned {
					b.AddBytes(u)
				}
			})
		}
	})
}

// forge gives a recipe whose attributes and frame are changed. The value is
// always good over the attributes, so that only the defect can be at fault.
func (w *world) forge(t testing.TB, attrs func([][]byte) [][]byte, change func(*frame)) recipe {
	if attrs == nil {
		attrs = func(l [][]byte) [][]byte { return l }
	}
	return recipe{
		noStamp: true, attrs: w.with(t, attrs),
		rebuild: func(p cms.Parts) []byte {
			f := frame{attrs: p.SignedAttrs, algorithm: ecdsaSHA256, value: p.Value, signers: 1}
			if change != nil {
				change(&f)
			}
			return f.der(t, p.Certificate, w.issuing)
		},
	}
}

func utcTime(t testing.TB) []byte {
	return build(t, func(b *cryptobyte.Builder) { b.AddASN1UTCTime(time.Now()) })
}

// TestDefectsOfTheCMS: one each; the frame without one passes.
func TestDefectsOfTheCMS(t *testing.T) {
	w := newWorld(t, "P-256")
	octets := func(b []byte) []byte {
		return build(t, func(x *cryptobyte.Builder) { x.AddASN1OctetString(b) })
	}
	for name, tc := range map[string]struct {
		r   recipe
		ind validate.Indication
		sub string
		say string
	}{
		"none":            {w.forge(t, nil, nil), validate.TotalPassed, "", ""},
		"signing-time":    {w.forge(t, adding(attribute(t, cms.OIDSigningTime, utcTime(t))), nil), validate.Indeterminate, validate.SigConstraintsFailure, "signing-time"},
		"mime-type":       {w.forge(t, adding(attribute(t, cms.OIDMimeType, octets(nil))), nil), validate.Indeterminate, validate.SigConstraintsFailure, "mime-type"},
		"no content-type": {w.forge(t, without(t, cms.OIDContentType), nil), validate.TotalFailed, validate.FormatFailure, "content-type"},
		"content-type of a TST": {w.forge(t, func(l [][]byte) [][]byte {
			return append(without(t, cms.OIDContentType)(l), attribute(t, cms.OIDContentType, build(t, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(cms.OIDTSTInfo) })))
		}, nil), validate.TotalFailed, validate.FormatFailure, "content-type"},
		"no message-digest":   {w.forge(t, without(t, cms.OIDMessageDigest), nil), validate.TotalFailed, validate.FormatFailure, "message-digest"},
		"two message-digests": {w.forge(t, adding(attribute(t, cms.OIDMessageDigest, octets(make([]byte, 32)))), nil), validate.TotalFailed, validate.FormatFailure, "message-digest"},
		"other message-digest": {w.forge(t, func(l [][]byte) [][]byte {
			return append(without(t, cms.OIDMessageDigest)(l), attribute(t, cms.OIDMessageDigest, octets(make([]byte, 32))))
		}, nil), validate.TotalFailed, validate.HashFailure, "digest_mismatch"},
		"no signing-certificate": {w.forge(t, without(t, cms.OIDSigningCertificateV2), nil), validate.Indeterminate, validate.NoSigningCertificate, "signing-certificate"},
		"SHA-1 in signing-certificate": {w.forge(t, func(l [][]byte) [][]byte {
			return append(without(t, cms.OIDSigningCertificateV2)(l), attribute(t, cms.OIDSigningCertificateV2, sha1CertID(t, w.leaf.Raw)))
		}, nil), validate.Indeterminate, validate.CryptoConstraintsFailure, "signing-certificate"},
		"no signed attributes": {w.forge(t, nil, func(f *frame) { f.attrs = nil }), validate.TotalFailed, validate.FormatFailure, "no_signed_attributes"},
		"no protection":        {w.forge(t, without(t, cms.OIDAlgorithmProtection), nil), validate.TotalPassed, "", ""},
		"two signers":          {w.forge(t, nil, func(f *frame) { f.signers = 2 }), validate.TotalFailed, validate.FormatFailure, "exactly one"},
		"no signer":            {w.forge(t, nil, func(f *frame) { f.signers = 0 }), validate.TotalFailed, validate.FormatFailure, "exactly one"},
		"a content of its own": {w.forge(t, nil, func(f *frame) { f.content = []byte("mail") }), validate.TotalFailed, validate.FormatFailure, "content of its own"},
		"other value":          {w.forge(t, nil, func(f *frame) { f.value = otherValue(t, w.key) }), validate.TotalFailed, validate.SigCryptoFailure, "bad_value"},
		"other algorithm":      {w.forge(t, nil, func(f *frame) { f.algorithm = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3} }), validate.TotalFailed, validate.SigCryptoFailure, "algorithm_mismatch"},
		"Ed25519":              {w.forge(t, nil, func(f *frame) { f.algorithm = asn1.ObjectIdentifier{1, 3, 101, 112} }), validate.Indeterminate, validate.CryptoConstraintsFailure, "unsupported_algorithm"},
		"unknown unsigned":     {w.forge(t, nil, func(f *frame) { f.unsigned = [][]byte{attribute(t, asn1.ObjectIdentifier{1, 2, 3}, octets(nil))} }), validate.Indeterminate, validate.SigConstraintsFailure, "unsigned attribute"},
		"attributes unsorted": {recipe{noStamp: true, attrs: func(d []byte) []byte {
			good, err := cms.SignedAttributes(d, w.leaf)
			check(t, err)
			l := elements(t, good)
			slices.Reverse(l)
			return build(t, func(b *cryptobyte.Builder) {
				b.AddASN1(casn1.SET, func(b *cryptobyte.Builder) {
					for _, e := range l {
						b.AddBytes(e)
					}
				})
			})
		}, rebuild: w.forge(t, nil, nil).rebuild}, validate.TotalFailed, validate.FormatFailure, "not_der"},
	} {
		t.Run(name, func(t *testing.T) {
			rep := w.judge(t, w.sign(t, base(t), tc.r), time.Time{})
			s := rep.Signatures[0]
			if s.Indication != tc.ind || s.SubIndication != tc.sub || !strings.Contains(strings.Join(s.Reasons, "|"), tc.say) {
				t.Errorf("%v/%s %q", s.Indication, s.SubIndication, s.Reasons)
			}
			if rep.Indication != tc.ind || rep.SubIndication != tc.sub {
				t.Errorf("document: %v/%s", rep.Indication, rep.SubIndication)
			}
		})
	}
}

func otherValue(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	digest := sha256.Sum256([]byte("something else"))
	v, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	check(t, err)
	return v
}

// TestSomebodyElsesCertificateInTheBag: a self-signed signer beside the
// trusted certificate of a bystander (specs/ades.md, forgery D).
func TestSomebodyElsesCertificateInTheBag(t *testing.T) {
	w := newWorld(t, "P-256")
	bystander := w.leaf
	own := newKey(t, "")
	der, err := x509.CreateCertificate(rand.Reader, selfSigned(w), selfSigned(w), own.Public(), own)
	w.leaf, w.key = parse(t, der, err), own
	doc := w.sign(t, base(t), recipe{noStamp: true, rebuild: func(p cms.Parts) []byte {
		p.Chain = []*x509.Certificate{bystander, w.issuing}
		out, err := cms.Assemble(p)
		check(t, err)
		return out
	}})
	s := w.judge(t, doc, time.Time{}).Signatures[0]
	if s.Indication != validate.Indeterminate || s.SubIndication != validate.NoCertificateChain {
		t.Errorf("%v/%s %q", s.Indication, s.SubIndication, s.Reasons)
	}
	// The same name and number, another key: the attribute names the certificate, not the name.
	w = newWorld(t, "P-256")
	twin := w.leaf
	other := w.person(t, w.from, w.from.AddDate(2, 0, 0))
	r := w.forge(t, nil, nil)
	r.rebuild = func(p cms.Parts) []byte {
		return frame{attrs: p.SignedAttrs, algorithm: ecdsaSHA256, value: p.Value, signers: 1}.der(t, other, twin, w.issuing)
	}
	s = w.judge(t, w.sign(t, base(t), r), time.Time{}).Signatures[0]
	if s.Indication != validate.Indeterminate || s.SubIndication != validate.NoSigningCertificate {
		t.Errorf("%v/%s %q", s.Indication, s.SubIndication, s.Reasons)
	}
}

func selfSigned(w *world) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "CEO of Everything"}, NotBefore: w.from, NotAfter: w.from.AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageContentCommitment,
	}
}

// patched changes the update, with texts of one length, before it is signed.
func patched(t testing.TB, w *world, from, to string) []byte {
	t.Helper()
	doc := base(t)
	p, err := pdf.Prepare(bytes.NewReader(doc), int64(len(doc)), pdf.Options{SignatureTime: w.now, Reserve: 16 << 10, Hash: crypto.SHA256})
	check(t, err)
	if len(from) != len(to) || bytes.Count(p.Update, []byte(from)) != 1 {
		t.Fatalf("%q is not once in the update", from)
	}
	p.Update = bytes.Replace(p.Update, []byte(from), []byte(to), 1)
	h := sha256.New()
	h.Write(doc)
	h.Write(p.Update[:p.ContentsStart-p.BaseSize])
	h.Write(p.Update[p.ContentsEnd-p.BaseSize:])
	attrs, err := cms.SignedAttributes(h.Sum(nil), w.leaf)
	check(t, err)
	digest := sha256.Sum256(attrs)
	v, err := w.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	check(t, err)
	der, err := cms.Assemble(cms.Parts{SignedAttrs: attrs, Value: v, Certificate: w.leaf, Chain: []*x509.Certificate{w.issuing}})
	check(t, err)
	update, err := p.Embed(der)
	check(t, err)
	return append(bytes.Clone(doc), update...)
}

func TestDefectsOfTheDictionary(t *testing.T) {
	w := newWorld(t, "P-256")
	m := "/M (D:" + w.now.UTC().Format("20060102150405") + "Z)"
	doc := w.sign(t, base(t), recipe{noStamp: true})
	if !bytes.Contains(doc, []byte(m)) {
		m = strings.Replace(m, "/M (", "/M(", 1)
	}
	for name, tc := range map[string]struct{ from, to, say string }{
		"no /M":             {m, "/Q" + m[2:], "/M is absent"},
		"/M without zone":   {m, strings.Replace(m, "Z)", "0)", 1), "/M is absent"},
		"/M of long ago":    {"D:" + w.now.UTC().Format("2006"), "D:1999", "claimed time"},
		"other SubFilter":   {"ETSI.CAdES.detached", "adbe.pkcs7.detached", "SubFilter"},
		"unknown SubFilter": {"ETSI.CAdES.detached", "ETSI.CAdES.attached", "SubFilter"},
		"no Filter":         {"/Filter", "/Filtre", "Filter is absent"},
	} {
		s := w.judge(t, patched(t, w, tc.from, tc.to), time.Time{}).Signatures[0]
		if s.Indication != validate.Indeterminate || s.SubIndication != validate.SigConstraintsFailure || !strings.Contains(strings.Join(s.Reasons, "|"), tc.say) {
			t.Errorf("%s: %v/%s %q", name, s.Indication, s.SubIndication, s.Reasons)
		}
	}
}

func TestCoverageAndLaterRevisions(t *testing.T) {
	w := newWorld(t, "P-256")
	once := w.sign(t, base(t), recipe{})
	twice := w.sign(t, once, recipe{})
	rep := w.judge(t, twice, time.Time{})
	if len(rep.Signatures) != 2 || rep.Indication != validate.TotalPassed {
		t.Fatalf("%+v", rep)
	}
	first, second := rep.Signatures[0], rep.Signatures[1]
	if first.Indication != validate.TotalPassed || first.Changes != "form_filling" || !first.LaterChanges || first.CoversWholeFile {
		t.Errorf("first: %+v", first)
	}
	if second.Indication != validate.TotalPassed || second.LaterChanges || !second.CoversWholeFile {
		t.Errorf("second: %+v", second)
	}
	for name, doc := range map[string][]byte{
		"a byte behind the end": append(bytes.Clone(once), 'x'),
		"a line behind the end": append(bytes.Clone(once), "\n%%EOF\n"...),
		"the last byte cut":     once[:len(once)-1],
		"something in front":    append([]byte("%\n"), once...),
	} {
		rep, err := validate.PDF(context.Background(), bytes.NewReader(doc), int64(len(doc)), validate.Options{Roots: w.roots, At: w.now.Add(time.Second), NoRevocation: true})
		if err == nil && rep.Indication == validate.TotalPassed {
			t.Errorf("%s: passed", name)
		}
	}
	rep = w.judge(t, base(t), time.Time{})
	if rep.Indication != validate.Indeterminate || rep.SubIndication != validate.Generic || len(rep.Signatures) != 0 {
		t.Errorf("no signature: %+v", rep)
	}
}

func TestTimes(t *testing.T) {
	w := newWorld(t, "P-256")
	later := w.now.AddDate(2, 0, 1) // the person's certificate has expired, the unit's has not
	for name, tc := range map[string]struct {
		r   recipe
		at  time.Time
		ind validate.Indication
		sub string
	}{
		"time-stamped in time, judged after expiry": {recipe{}, later, validate.TotalPassed, ""},
		"no time-stamp, judged after expiry":        {recipe{noStamp: true}, later, validate.Indeterminate, validate.OutOfBoundsNoPOE},
		"judged before the time-stamp":              {recipe{}, w.now.Add(-time.Minute), validate.Indeterminate, validate.SigConstraintsFailure},
		"unit expired":                              {recipe{}, w.now.AddDate(4, 0, 0), validate.Indeterminate, validate.OutOfBoundsNoPOE},
		"algorithms in force":                       {recipe{noStamp: true}, w.now, validate.TotalPassed, ""},
	} {
		s := w.judge(t, w.sign(t, base(t), tc.r), tc.at).Signatures[0]
		if s.Indication != tc.ind || s.SubIndication != tc.sub {
			t.Errorf("%s: %v/%s %q", name, s.Indication, s.SubIndication, s.Reasons)
		}
	}
	// A certificate that begins after the time-stamp.
	w.leaf = w.person(t, w.now.Add(10*time.Minute), w.now.AddDate(1, 0, 0))
	s := w.judge(t, w.sign(t, base(t), recipe{claimed: w.now.Add(time.Hour)}), w.now.Add(2*time.Hour)).Signatures[0]
	if s.Indication != validate.TotalFailed || s.SubIndication != validate.NotYetValid {
		t.Errorf("%v/%s %q", s.Indication, s.SubIndication, s.Reasons)
	}
}

// TestRSAEndsIn2029: TS 119 312 ends PKCS #1 v1.5; a time-stamp from before
// keeps the signature good, no time-stamp does not.
func TestRSAEndsIn2029(t *testing.T) {
	w := newWorld(t, "RSA-3072")
	at := time.Date(2029, 1, 2, 0, 0, 0, 0, time.UTC)
	w.leaf = w.person(t, w.from, w.from.AddDate(3, 0, 0))
	s := w.judge(t, w.sign(t, base(t), recipe{}), at).Signatures[0]
	if s.Indication != validate.TotalPassed {
		t.Errorf("%v/%s %q", s.Indication, s.SubIndication, s.Reasons)
	}
	s = w.judge(t, w.sign(t, base(t), recipe{noStamp: true}), at).Signatures[0]
	if s.Indication != validate.Indeterminate || s.SubIndication != validate.CryptoConstraintsFailure {
		t.Errorf("%v/%s %q", s.Indication, s.SubIndication, s.Reasons)
	}
	// The same key by RSASSA-PSS has no end.
	w.alg = cms.PSSWithSHA256
	s = w.judge(t, w.sign(t, base(t), recipe{noStamp: true}), at).Signatures[0]
	if s.Indication != validate.TotalPassed {
		t.Errorf("PSS: %v/%s %q", s.Indication, s.SubIndication, s.Reasons)
	}
}

func TestTimeStampsThatDoNotFit(t *testing.T) {
	w, stranger := newWorld(t, "P-256"), newWorld(t, "P-256")
	ask := func(w *world, b []byte) []byte {
		sum := sha256.Sum256(b)
		tok, err := w.stamper.Stamp(context.Background(), sum[:], crypto.SHA256)
		check(t, err)
		return tok.Raw
	}
	for name, tc := range map[string]struct {
		stamp func([]byte) []byte
		sub   string
	}{
		"of another value":   {func([]byte) []byte { return ask(w, []byte("another value")) }, validate.SigConstraintsFailure},
		"of an unknown unit": {func(v []byte) []byte { return ask(stranger, v) }, validate.NoCertificateChain},
	} {
		s := w.judge(t, w.sign(t, base(t), recipe{stamp: tc.stamp}), time.Time{}).Signatures[0]
		if s.Indication != validate.Indeterminate || s.SubIndication != tc.sub || s.Level != validate.LevelBB || s.TimeStamps[0].Verified {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if _, err := tsa.ParseToken([]byte{0x30, 0}); err == nil {
		t.Error("an empty token is read")
	}
}

func TestWithoutRoots(t *testing.T) {
	w := newWorld(t, "P-256")
	doc := w.sign(t, base(t), recipe{})
	for name, roots := range map[string]*x509.CertPool{"none": nil, "others": newWorld(t, "P-256").roots} {
		rep, err := validate.PDF(context.Background(), bytes.NewReader(doc), int64(len(doc)), validate.Options{Roots: roots, At: w.now.Add(time.Second), NoRevocation: true})
		check(t, err)
		if rep.Indication != validate.Indeterminate || rep.SubIndication != validate.NoCertificateChain {
			t.Errorf("%s: %+v", name, rep)
		}
	}
}

func TestTheZeroVerdictIsUnknown(t *testing.T) {
	var r validate.Report
	var s validate.SignatureReport
	if r.Indication.String() != "UNKNOWN" || s.Indication != validate.Unknown || validate.Indication(99).String() != "UNKNOWN" {
		t.Error("a forgotten assignment reads as something")
	}
	for _, i := range []validate.Indication{validate.Unknown, validate.TotalPassed, validate.Indeterminate, validate.TotalFailed} {
		b, err := i.MarshalText()
		check(t, err)
		var back validate.Indication
		if err := back.UnmarshalText(b); err != nil || back != i {
			t.Errorf("%v %v", back, err)
		}
	}
}

func TestACancelledContextEndsTheWork(t *testing.T) {
	w := newWorld(t, "P-256")
	doc := w.sign(t, base(t), recipe{noStamp: true})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if rep, err := validate.PDF(ctx, bytes.NewReader(doc), int64(len(doc)), validate.Options{Roots: w.roots, At: w.now, NoRevocation: true}); err == nil {
		t.Errorf("%+v", rep)
	}
}
