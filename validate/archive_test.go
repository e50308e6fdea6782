package validate_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"tekend/certs"
	"tekend/pdf"
	"tekend/validate"
)

// archived is a document with a chain of document time-stamps, each made when
// the one before was still good, and its unit new.
type archived struct {
	*world
	doc    []byte
	signed time.Time // when the person signed
}

// archive signs, and archives at once.
func archive(t *testing.T, kind string) *archived {
	t.Helper()
	a := &archived{world: newWorld(t, kind)}
	a.signed = a.now
	a.doc = a.sign(t, base(t), recipe{})
	a.doc = a.world.stamp(t, store(t, a.doc, a.data(t)), a.at(3))
	return a
}

// renew adds, at a time, what is needed to prove the last unit, and a
// time-stamp of another one.
func (a *archived) renew(t *testing.T, at time.Time) {
	t.Helper()
	a.doc = store(t, a.doc, a.status(t, at.Add(-time.Hour)))
	a.now = at
	a.newUnit(t, at.Add(-time.Minute))
	a.doc = a.world.stamp(t, a.doc, at)
}

// status is what the root says at a time.
func (a *archived) status(t testing.TB, at time.Time) pdf.Material {
	return pdf.Material{
		Certificates: [][]byte{a.unit.Raw, a.root.Raw},
		CRLs:         [][]byte{a.crl(t, a.root, at, at.AddDate(0, 1, 0))},
	}
}

func (a *archived) judgeAt(t *testing.T, at time.Time) *validate.Report {
	t.Helper()
	return a.ask(t, a.doc, at, func(o *validate.Options) { o.Material = a.status(t, at.Add(-time.Hour)) })
}

// TestYearsLater: the signer's, the unit's and the issuing CA's certificates
// have expired one after the other; the chain of time-stamps proves each from
// before its end.
func TestYearsLater(t *testing.T) {
	a := archive(t, "P-256")
	year := func(n int) time.Time { return a.signed.AddDate(n, 0, 0) }
	both := func(at time.Time, i validate.Indication, sub, level string) {
		t.Helper()
		rep := a.judgeAt(t, at)
		want(t, rep.Signatures[0], i, sub, level)
		if rep.Indication != i {
			t.Errorf("document: %v/%s", rep.Indication, rep.SubIndication)
		}
	}
	both(a.at(5), passed, "", "B-LTA")
	both(year(2).AddDate(0, 0, 1), passed, "", "B-LTA") // the signer's certificate has expired
	both(year(4), undecided, validate.OutOfBoundsNoPOE, "B-B")
	a.renew(t, year(2))
	both(year(4), passed, "", "B-LTA") // the first unit's has
	both(year(6), undecided, validate.OutOfBoundsNoPOE, "B-B")
	a.renew(t, year(4))
	a.renew(t, year(6))
	both(year(8).AddDate(0, 1, 0), passed, "", "B-LTA") // the issuing CA's has
	s := a.judgeAt(t, year(8).AddDate(0, 1, 0)).Signatures[0]
	if !s.BestTime.Equal(a.signed.Truncate(time.Millisecond)) || len(s.ArchiveTimeStamps) != 4 {
		t.Errorf("%+v", s)
	}
	for _, f := range s.Revocation {
		if f.State != "good" || f.Kind == "ocsp" && (f.Source != "embedded" || !f.ExistedAt.Equal(a.signed.Add(3*time.Second).Truncate(time.Millisecond))) {
			t.Errorf("%+v", f)
		}
	}
}

// TestAChainWithAGap: a renewal that came after the unit's end proves nothing.
func TestAChainWithAGap(t *testing.T) {
	a := archive(t, "P-256")
	a.renew(t, a.signed.AddDate(4, 0, 0))
	s := a.judgeAt(t, a.signed.AddDate(4, 1, 0)).Signatures[0]
	want(t, s, undecided, validate.OutOfBoundsNoPOE, "B-T") // it is proven to be as old as the renewal
}

// TestRSAArchived: PKCS #1 v1.5 ends in 2029 (TS 119 312). The time-stamps are
// by other algorithms here, so that a signature is good with or without a
// document time-stamp, and not when nothing is proven to be from before.
func TestRSAArchived(t *testing.T) {
	a := archive(t, "RSA-3072")
	after := time.Date(2029, 1, 2, 0, 0, 0, 0, time.UTC)
	want(t, a.judgeAt(t, after).Signatures[0], passed, "", "B-LTA")
	a.doc = a.sign(t, base(t), recipe{noStamp: true})
	s := a.ask(t, a.doc, after, func(o *validate.Options) { o.NoRevocation = true }).Signatures[0]
	if s.Indication != undecided {
		t.Errorf("%+v", s)
	}
}

// TestAnRSACAEnds: the certificates and the answers of a CA with PKCS #1 v1.5
// count after 2029 only if they are proven to be from before.
func TestAnRSACAEnds(t *testing.T) {
	w := newWorldOf(t, "P-256", "RSA-3072")
	a := &archived{world: w, signed: w.now}
	data := a.data(t)
	data.OCSPs = [][]byte{a.ocsp(t, says{at: a.at(1), responder: &certs.OCSPResponder{Cert: a.issuing, Signer: a.caKey, Issuer: a.issuing}})}
	lt := store(t, a.sign(t, base(t), recipe{}), data)
	a.doc = lt
	after := time.Date(2029, 1, 2, 0, 0, 0, 0, time.UTC)
	want(t, a.judgeAt(t, a.at(5)).Signatures[0], passed, "", "B-LT")
	want(t, a.judgeAt(t, after).Signatures[0], undecided, validate.CryptoConstraintsNoPOE, "B-T")
	a.doc = a.world.stamp(t, lt, a.at(3))
	want(t, a.judgeAt(t, after).Signatures[0], passed, "", "B-LTA")
}

// TestTimeStampByALaterRevision: a document time-stamp alone makes B-T.
func TestTimeStampByALaterRevision(t *testing.T) {
	w := newWorld(t, "P-256")
	doc := w.stamp(t, w.sign(t, base(t), recipe{noStamp: true}), w.at(0))
	rep := w.ask(t, doc, w.at(5), func(o *validate.Options) { o.Material = w.data(t) })
	want(t, rep.Signatures[0], passed, "", "B-T")
	// The data may follow; it must then be about that time-stamp too.
	want(t, w.ask(t, store(t, doc, w.data(t)), w.at(5), nil).Signatures[0], passed, "", "B-LT")
}

// TestWhatIsMissingForB_LT: each part of the data in turn.
func TestWhatIsMissingForBLT(t *testing.T) {
	w := newWorld(t, "P-256")
	bt, data := w.sign(t, base(t), recipe{}), w.data(t)
	stale := data
	stale.OCSPs = [][]byte{w.ocsp(t, says{at: w.at(-60)})}
	noSigner, noCAs := data, data
	noSigner.OCSPs, noCAs.CRLs = nil, nil
	for name, m := range map[string]pdf.Material{"of the signer": noSigner, "of the CAs and the unit": noCAs, "of the signer, newer than the signature": stale} {
		doc := w.stamp(t, store(t, bt, m), w.at(3))
		rep := w.ask(t, doc, w.at(5), func(o *validate.Options) { o.Material = data })
		want(t, rep.Signatures[0], passed, "", "B-T")
		if s := w.ask(t, doc, w.at(5), nil).Signatures[0]; s.Indication != undecided || s.SubIndication != validate.TryLater {
			t.Errorf("%s: %v/%s", name, s.Indication, s.SubIndication)
		}
	}
	// Data that came after the last time-stamp is not archived by it.
	doc := store(t, w.stamp(t, bt, w.at(3)), data)
	want(t, w.ask(t, doc, w.at(5), nil).Signatures[0], passed, "", "B-LT")
	// Somebody else's data is no harm.
	other := newWorld(t, "P-256")
	doc = w.stamp(t, store(t, store(t, bt, other.data(t)), data), w.at(3))
	want(t, w.ask(t, doc, w.at(5), nil).Signatures[0], passed, "", "B-LTA")
}

// TestTwoPeople: the later signature needs data of its own.
func TestTwoPeople(t *testing.T) {
	w := newWorld(t, "P-256")
	doc := store(t, w.sign(t, base(t), recipe{}), w.data(t))
	doc = w.sign(t, doc, recipe{at: w.at(60)})
	fresh := pdf.Material{OCSPs: [][]byte{w.ocsp(t, says{at: w.at(61)})}}
	rep := w.ask(t, doc, w.at(100), func(o *validate.Options) { o.Material = fresh })
	want(t, rep.Signatures[0], passed, "", "B-LT")
	want(t, rep.Signatures[1], passed, "", "B-T")
	if rep.Indication != passed || rep.Signatures[0].Changes != "form_filling" {
		t.Errorf("%v %+v", rep.Indication, rep.Signatures[0])
	}
	doc = w.stamp(t, store(t, doc, fresh), w.at(63))
	rep = w.ask(t, doc, w.at(100), nil)
	want(t, rep.Signatures[0], passed, "", "B-LTA")
	want(t, rep.Signatures[1], passed, "", "B-LTA")
}

// source counts what it is asked.
type source struct {
	w     *world
	asked []*x509.Certificate
	down  bool
	t     testing.TB
}

func (s *source) Status(_ context.Context, cert, issuer *x509.Certificate, since time.Time) (*certs.Status, error) {
	s.asked = append(s.asked, cert)
	if s.down {
		return nil, errors.New("unreachable")
	}
	at := s.w.at(4)
	if at.Before(since) {
		return nil, errors.New("too old")
	}
	if issuer.Equal(s.w.issuing) {
		st, err := certs.OCSPStatus(s.w.ocsp(s.t, says{at: at}), cert, issuer)
		return &st, err
	}
	l, err := certs.ReadCRL(s.w.crl(s.t, s.w.root, at, at.Add(time.Hour)))
	if err != nil {
		return nil, err
	}
	st, err := l.Status(cert, issuer)
	return &st, err
}

// TestAsking: a source is asked for what the document does not prove, once.
func TestAsking(t *testing.T) {
	w := newWorld(t, "P-256")
	bt := w.sign(t, base(t), recipe{})
	lta := w.stamp(t, store(t, bt, w.data(t)), w.at(3))
	for name, tc := range map[string]struct {
		doc   []byte
		down  bool
		asks  int
		ind   validate.Indication
		level string
	}{
		// The list about the unit is about the issuing CA too.
		"B-T":               {bt, false, 2, passed, "B-T"},
		"B-T, source down":  {bt, true, 3, undecided, "B-B"},
		"B-LTA":             {lta, false, 0, passed, "B-LTA"},
		"B-LTA and no need": {lta, true, 0, passed, "B-LTA"},
	} {
		s := &source{w: w, down: tc.down, t: t}
		rep := w.ask(t, tc.doc, w.at(5), func(o *validate.Options) { o.Revocation = s })
		if got := rep.Signatures[0]; got.Indication != tc.ind || got.Level != tc.level || len(s.asked) != tc.asks {
			t.Errorf("%s: %d questions, %v/%s %s %q", name, len(s.asked), got.Indication, got.SubIndication, got.Level, got.Reasons)
		}
		if tc.down && tc.asks > 0 && len(rep.Signatures[0].Notes) == 0 {
			t.Errorf("%s: nobody is told that nobody answered", name)
		}
	}
	// Long after the embedded list of the units has run out, a source may know
	// more; when it is silent, what the document holds still counts.
	s := &source{w: w, down: true, t: t}
	rep := w.ask(t, lta, w.now.AddDate(0, 6, 0), func(o *validate.Options) { o.Revocation = s })
	if len(s.asked) != 1 || !s.asked[0].Equal(w.unit) || rep.Indication != passed {
		t.Errorf("%d questions: %+v", len(s.asked), rep)
	}
}

// TestOnly: the fields named are judged, and the whole document is read.
func TestOnly(t *testing.T) {
	w, stranger := newWorld(t, "P-256"), newWorld(t, "P-256")
	doc := w.sign(t, stranger.sign(t, base(t), recipe{}), recipe{})
	all := w.ask(t, doc, w.at(5), func(o *validate.Options) { o.Material = w.data(t) })
	if all.Indication != undecided || len(all.Signatures) != 2 {
		t.Fatalf("%+v", all)
	}
	only := func(names ...string) *validate.Report {
		return w.ask(t, doc, w.at(5), func(o *validate.Options) { o.Material, o.Only = w.data(t), names })
	}
	if rep := only(all.Signatures[1].FieldName); rep.Indication != passed || len(rep.Signatures) != 1 || rep.Signatures[0].FieldName != all.Signatures[1].FieldName {
		t.Errorf("%+v", rep)
	}
	if rep := only("nobody"); rep.Indication != undecided || len(rep.Reasons) != 1 {
		t.Errorf("%+v", rep)
	}
	doc = append(doc, "x"...)
	if rep := only(all.Signatures[1].FieldName); rep.Indication == passed {
		t.Error("bytes behind the end are nothing to Only")
	}
}

// TestResponderThatNeedsStatus: a delegated responder without
// id-pkix-ocsp-nocheck counts when a list of its issuer speaks for it.
func TestResponderThatNeedsStatus(t *testing.T) {
	w := newWorld(t, "P-256")
	r := w.checkedResponder(t)
	data := w.data(t)
	// It cuts the time of production to a minute, so that the signature is some minutes old.
	der, err := ocsp.CreateResponse(w.issuing, r.Cert, ocsp.Response{
		Status: ocsp.Good, SerialNumber: w.leaf.SerialNumber, ThisUpdate: w.at(-120), NextUpdate: w.at(3600), Certificate: r.Cert,
	}, r.Signer)
	check(t, err)
	data.OCSPs = [][]byte{der}
	bt := w.sign(t, base(t), recipe{at: w.at(-300)})
	want(t, w.ask(t, store(t, bt, data), w.at(5), nil).Signatures[0], undecided, validate.TryLater, "B-T")
	with := data
	with.CRLs = append(slices.Clone(data.CRLs), w.crl(t, w.issuing, w.at(-600), w.at(86400)))
	want(t, w.ask(t, store(t, bt, with), w.at(5), nil).Signatures[0], passed, "", "B-LT")
	with.CRLs = append(slices.Clone(data.CRLs), w.crl(t, w.issuing, w.at(-600), w.at(86400), certs.Revoked{Serial: r.Cert.SerialNumber, At: w.at(-1000), Reason: 1}))
	s := w.ask(t, store(t, bt, with), w.at(5), nil).Signatures[0]
	if s.Indication == passed {
		// The list is silent about the signer and older than the signature.
		t.Errorf("%+v", s)
	}
}

// checkedResponder is certified by crypto/x509, since our own CA's say nocheck.
func (w *world) checkedResponder(t testing.TB) *certs.OCSPResponder {
	t.Helper()
	key := newKey(t, "")
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(77), Subject: pkix.Name{CommonName: "responder"}, NotBefore: w.from, NotAfter: w.from.AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning},
	}, w.issuing, key.Public(), w.caKey)
	return &certs.OCSPResponder{Cert: parse(t, der, err), Signer: key, Issuer: w.issuing}
}

func TestReportHasNoEmptyTimes(t *testing.T) {
	a := archive(t, "P-256")
	var buf bytes.Buffer
	check(t, json.NewEncoder(&buf).Encode(a.judgeAt(t, a.at(5))))
	for _, bad := range []string{"0001-01-01", `""`, "null"} {
		if bytes.Contains(buf.Bytes(), []byte(bad)) {
			t.Errorf("%s in %s", bad, buf.Bytes())
		}
	}
}

// TestManyArchivedSignatures: the work for the levels of early signatures takes
// nothing from the later ones.
func TestManyArchivedSignatures(t *testing.T) {
	if testing.Short() {
		t.Skip("short: fifteen signatures are made and archived")
	}
	w := newWorld(t, "P-256")
	doc := store(t, base(t), pdf.Material{Certificates: [][]byte{w.issuing.Raw, w.unit.Raw}, CRLs: [][]byte{w.crl(t, w.root, w.at(-600), w.at(86400))}})
	for i := range 15 {
		doc = w.sign(t, doc, recipe{at: w.at(10 * i), claimed: w.now})
		doc = store(t, doc, pdf.Material{OCSPs: [][]byte{w.ocsp(t, says{at: w.at(10*i + 1)})}})
		doc = w.stamp(t, doc, w.at(10*i+2))
	}
	rep := w.ask(t, doc, w.at(200), nil)
	if rep.Indication != passed || len(rep.Signatures) != 30 {
		t.Fatalf("%v, %d signatures", rep.Indication, len(rep.Signatures))
	}
	for i, s := range rep.Signatures {
		level := "B-LTA"
		if s.Kind == validate.KindTimeStamp {
			level = ""
		}
		if s.Level != level {
			t.Errorf("%d, %s: level %q %v", i, s.FieldName, s.Level, s.Reasons)
		}
	}
}
