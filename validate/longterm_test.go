package validate_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"strings"
	"testing"
	"time"

	"tekend/certs"
	"tekend/pdf"
	"tekend/validate"
)

// at gives the time of n seconds after the signature.
func (w *world) at(n int) time.Time { return w.now.Add(time.Duration(n) * time.Second) }

// crl is a list of the root (the issuing CA and the units), or of the issuing CA.
func (w *world) crl(t testing.TB, issuer *x509.Certificate, this, next time.Time, revoked ...certs.Revoked) []byte {
	t.Helper()
	key := w.rootKey
	if issuer == w.issuing {
		key = w.caKey
	}
	der, err := certs.CRL(certs.Issuer{Cert: issuer, Signer: key}, big.NewInt(this.UnixNano()), revoked, this, next)
	check(t, err)
	return der
}

// says is what an OCSP answer about the leaf says.
type says struct {
	at        time.Time // thisUpdate and producedAt
	revoked   time.Time // zero: good
	reason    int
	responder *certs.OCSPResponder // nil: a delegated one of the issuing CA
}

// ocsp makes an answer about the leaf.
func (w *world) ocsp(t testing.TB, a says) []byte {
	t.Helper()
	id, err := certs.IDOf(w.leaf, w.issuing, crypto.SHA1)
	check(t, err)
	s := certs.SingleStatus{ID: id, State: certs.StatusGood, ThisUpdate: a.at, NextUpdate: a.at.Add(12 * time.Hour)}
	if !a.revoked.IsZero() {
		s.State, s.RevokedAt, s.Reason = certs.StatusRevoked, a.revoked, a.reason
	}
	r := a.responder
	if r == nil {
		r = w.responder(t, a.at.Add(-time.Hour))
	}
	der, err := r.Answer([]certs.SingleStatus{s}, a.at, nil)
	check(t, err)
	return der
}

func (w *world) responder(t testing.TB, from time.Time) *certs.OCSPResponder {
	t.Helper()
	if from.Before(w.from) {
		from = w.from
	}
	key := newKey(t, "")
	der, err := certs.Issue(certs.Issuer{Cert: w.issuing, Signer: w.caKey}, certs.Order{
		Profile: certs.Responder, Subject: org("SANDBOX Responder"), PublicKey: key.Public(), NotBefore: from, NotAfter: from.AddDate(0, 0, 30),
		Publication: certs.PublishedBy("http://127.0.0.1:8080/pki", "issuing-ca", "https://sandbox.tekend.example/cps"),
	})
	return &certs.OCSPResponder{Cert: parse(t, der, err), Signer: key, Issuer: w.issuing}
}

// data is all that B-LT needs, made a second after the signature.
func (w *world) data(t testing.TB) pdf.Material {
	return pdf.Material{
		Certificates: [][]byte{w.root.Raw, w.issuing.Raw, w.unit.Raw},
		OCSPs:        [][]byte{w.ocsp(t, says{at: w.at(1)})},
		CRLs:         [][]byte{w.crl(t, w.root, w.at(-600), w.at(30*86400))},
	}
}

// store puts data into the DSS dictionary.
func store(t testing.TB, doc []byte, m pdf.Material) []byte {
	t.Helper()
	update, err := pdf.AddDSS(bytes.NewReader(doc), int64(len(doc)), m, pdf.Budget{})
	check(t, err)
	return append(bytes.Clone(doc), update...)
}

// stamp adds a document time-stamp of the world's unit at a time.
func (w *world) stamp(t testing.TB, doc []byte, at time.Time) []byte {
	t.Helper()
	return w.stampWith(t, doc, func(digest []byte) []byte { return w.token(t, digest, at) })
}

// token is one of the world's unit.
func (w *world) token(t testing.TB, digest []byte, at time.Time) []byte {
	t.Helper()
	before := w.now
	w.now = at
	tok, err := w.stamper.Stamp(context.Background(), digest, crypto.SHA256)
	w.now = before
	check(t, err)
	return tok.Raw
}

func (w *world) stampWith(t testing.TB, doc []byte, token func(digest []byte) []byte) []byte {
	t.Helper()
	p, err := pdf.Prepare(bytes.NewReader(doc), int64(len(doc)), pdf.Options{TimeStamp: true, Reserve: 8 << 10, Hash: crypto.SHA256})
	check(t, err)
	update, err := p.Embed(token(p.Digest))
	check(t, err)
	return append(bytes.Clone(doc), update...)
}

// ask validates with all options.
func (w *world) ask(t testing.TB, doc []byte, at time.Time, change func(*validate.Options)) *validate.Report {
	t.Helper()
	o := validate.Options{Roots: w.roots, At: at}
	if change != nil {
		change(&o)
	}
	rep, err := validate.PDF(context.Background(), bytes.NewReader(doc), int64(len(doc)), o)
	check(t, err)
	return rep
}

// want compares one signature's verdict.
func want(t *testing.T, s validate.SignatureReport, i validate.Indication, sub, level string) {
	t.Helper()
	if s.Indication != i || s.SubIndication != sub || s.Level != level {
		t.Errorf("%v/%s level %q, not %v/%s %q\n%s", s.Indication, s.SubIndication, s.Level, i, sub, level, strings.Join(s.Reasons, "\n"))
	}
}

const (
	passed    = validate.TotalPassed
	undecided = validate.Indeterminate
	failed    = validate.TotalFailed
)

// TestEveryLevel: each level with each algorithm passes offline, and with what
// is missing in the document given beside it.
func TestEveryLevel(t *testing.T) {
	for _, kind := range []string{"P-256", "P-384", "RSA-3072", "RSA-3072-PSS"} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t, kind)
			data := w.data(t)
			bb, bt := w.sign(t, base(t), recipe{noStamp: true}), w.sign(t, base(t), recipe{})
			lt := store(t, bt, data)
			lta := w.stamp(t, lt, w.at(3))
			now := w.at(5)
			for level, doc := range map[string][]byte{"B-B": bb, "B-T": bt} {
				s := w.ask(t, doc, now, nil).Signatures[0]
				want(t, s, undecided, validate.TryLater, "B-B") // nothing is known of the unit, so nothing is proven by it
				s = w.ask(t, doc, now, func(o *validate.Options) { o.Material = data }).Signatures[0]
				want(t, s, passed, "", level)
				rep := w.ask(t, doc, now, func(o *validate.Options) { o.NoRevocation = true })
				want(t, rep.Signatures[0], passed, "", level)
				if !rep.NoRevocation || len(rep.Signatures[0].Revocation) > 0 {
					t.Errorf("status was looked at: %+v", rep)
				}
			}
			s := w.ask(t, lt, now, nil).Signatures[0]
			want(t, s, passed, "", "B-LT")
			if len(s.Revocation) != 3 || s.Revocation[0].Kind != "crl" && s.Revocation[0].Kind != "ocsp" || s.Changes != "lta_updates" || len(s.Path) != 3 {
				t.Errorf("%+v", s)
			}
			rep := w.ask(t, lta, now, nil)
			want(t, rep.Signatures[0], passed, "", "B-LTA")
			want(t, rep.Signatures[1], passed, "", "")
			if rep.Indication != passed || len(rep.Signatures[0].ArchiveTimeStamps) != 1 || rep.Signatures[0].ArchiveTimeStamps[0].Field != rep.Signatures[1].FieldName {
				t.Errorf("%+v", rep)
			}
		})
	}
}

// TestStatusAgainstTime: what a revocation means depends on what is proven to
// be older than it.
func TestStatusAgainstTime(t *testing.T) {
	w := newWorld(t, "P-256")
	stamped, bare := w.sign(t, base(t), recipe{}), w.sign(t, base(t), recipe{noStamp: true})
	root := w.crl(t, w.root, w.at(-600), w.at(30*86400))
	good := w.ocsp(t, says{at: w.at(1)})
	list := func(of *x509.Certificate, at time.Time, reason int) []byte {
		issuer := w.root
		if of == w.leaf {
			issuer = w.issuing
		}
		return w.crl(t, issuer, w.at(2), w.at(86400), certs.Revoked{Serial: of.SerialNumber, At: at, Reason: reason})
	}
	var both [][]byte // of everybody but the one in question
	with := func(ocsp []byte, crls ...[]byte) pdf.Material {
		m := pdf.Material{CRLs: append(crls, both...)}
		if ocsp != nil {
			m.OCSPs = [][]byte{ocsp}
		}
		return m
	}
	for name, tc := range map[string]struct {
		doc   []byte
		m     pdf.Material
		ind   validate.Indication
		sub   string
		level string
	}{
		"good":                                   {stamped, with(good, root), passed, "", "B-T"},
		"revoked before the signature, OCSP":     {stamped, with(w.ocsp(t, says{at: w.at(2), revoked: w.at(-60)}), root), undecided, validate.RevokedNoPOE, "B-T"},
		"revoked after the signature, OCSP":      {stamped, with(w.ocsp(t, says{at: w.at(2), revoked: w.at(1)}), root), passed, "", "B-T"},
		"revoked after it, and not time-stamped": {bare, with(w.ocsp(t, says{at: w.at(2), revoked: w.at(1)}), root), undecided, validate.RevokedNoPOE, "B-B"},
		"revoked before the signature, CRL":      {stamped, with(nil, root, list(w.leaf, w.at(-60), 1)), undecided, validate.RevokedNoPOE, "B-T"},
		"revoked after the signature, CRL":       {stamped, with(nil, root, list(w.leaf, w.at(1), 1)), passed, "", "B-T"},
		"good OCSP, and a CRL that revokes":      {stamped, with(good, root, list(w.leaf, w.at(-60), 1)), undecided, validate.RevokedNoPOE, "B-T"},
		"the CRL that revokes is the older":      {stamped, with(w.ocsp(t, says{at: w.at(4)}), root, list(w.leaf, w.at(-60), 1)), undecided, validate.RevokedNoPOE, "B-T"},
		"the OCSP answer is older":               {stamped, with(w.ocsp(t, says{at: w.at(-60)}), root), undecided, validate.TryLater, "B-T"},
		"not time-stamped, OCSP of an hour ago":  {bare, with(w.ocsp(t, says{at: w.at(-3000)}), root), passed, "", "B-B"},
		"not time-stamped, CRL of two days ago":  {bare, with(nil, root, w.crl(t, w.issuing, w.at(-48*3600), w.at(86400))), undecided, validate.TryLater, "B-B"},
		"an answer of the future":                {stamped, with(w.ocsp(t, says{at: w.at(3600)}), root), undecided, validate.TryLater, "B-T"},
		"the issuing CA was revoked before":      {stamped, with(good, list(w.issuing, w.at(-60), 2)), undecided, validate.RevokedCANoPOE, "B-T"},
		"the unit was revoked before":            {stamped, with(good, root, list(w.unit, w.at(-60), 4)), undecided, validate.RevokedNoPOE, "B-B"},
		"the unit was revoked after, for cause":  {stamped, with(good, root, list(w.unit, w.at(1), 1)), undecided, validate.RevokedNoPOE, "B-B"},
		"the unit ended its work after":          {stamped, with(good, root, list(w.unit, w.at(1), 5)), passed, "", "B-T"},
		"nothing about the CAs":                  {stamped, with(good), undecided, validate.TryLater, "B-B"},
		"nothing about the signer":               {stamped, with(nil, root), undecided, validate.TryLater, "B-T"},
		"a list that has run out":                {stamped, with(good, w.crl(t, w.root, w.at(-7200), w.at(-3600))), undecided, validate.TryLater, "B-B"},
		"junk":                                   {stamped, pdf.Material{Certificates: [][]byte{{0x30, 0}}, OCSPs: [][]byte{{0x30, 0}, good}, CRLs: [][]byte{good, root}}, passed, "", "B-T"},
	} {
		t.Run(name, func(t *testing.T) {
			s := w.ask(t, tc.doc, w.at(5), func(o *validate.Options) { o.Material = tc.m }).Signatures[0]
			want(t, s, tc.ind, tc.sub, tc.level)
		})
	}
}

// TestOnHold: a certificate may come back from hold, and is not good before.
func TestOnHold(t *testing.T) {
	w := newWorld(t, "P-256")
	doc := w.sign(t, base(t), recipe{})
	hold := w.crlOnHold(t, w.leaf, w.at(2), w.at(-60))
	root := w.crl(t, w.root, w.at(-600), w.at(30*86400))
	for name, tc := range map[string]struct {
		m   pdf.Material
		ind validate.Indication
		sub string
	}{
		"on hold":                 {pdf.Material{CRLs: [][]byte{root, hold}}, undecided, validate.RevokedNoPOE},
		"an older answer is good": {pdf.Material{OCSPs: [][]byte{w.ocsp(t, says{at: w.at(1)})}, CRLs: [][]byte{root, hold}}, undecided, validate.RevokedNoPOE},
		// It was on hold at the time of the signature, whatever came later.
		"a newer answer is good": {pdf.Material{OCSPs: [][]byte{w.ocsp(t, says{at: w.at(4)})}, CRLs: [][]byte{root, hold}}, undecided, validate.RevokedNoPOE},
	} {
		s := w.ask(t, doc, w.at(5), func(o *validate.Options) { o.Material = tc.m }).Signatures[0]
		if s.Indication != tc.ind || s.SubIndication != tc.sub {
			t.Errorf("%s: %v/%s %q", name, s.Indication, s.SubIndication, s.Reasons)
		}
	}
}

// crlOnHold is made by crypto/x509, since our own CA puts nobody on hold.
func (w *world) crlOnHold(t testing.TB, c *x509.Certificate, this, since time.Time) []byte {
	t.Helper()
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(this.UnixNano()), ThisUpdate: this, NextUpdate: this.Add(24 * time.Hour),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: c.SerialNumber, RevocationTime: since, ReasonCode: certs.ReasonOnHold}},
	}, w.issuing, w.caKey)
	check(t, err)
	return der
}

// TestProvenAfterRevocation: a signature that covers a time-stamp is younger
// than it; when the certificate was gone by then, the signature is refuted.
func TestProvenAfterRevocation(t *testing.T) {
	w := newWorld(t, "P-256")
	doc := w.stamp(t, base(t), w.at(0))
	doc = w.sign(t, doc, recipe{at: w.at(1), claimed: w.now})
	m := pdf.Material{OCSPs: [][]byte{w.ocsp(t, says{at: w.at(2), revoked: w.at(-60)})}, CRLs: [][]byte{w.crl(t, w.root, w.at(-600), w.at(30*86400))}}
	rep := w.ask(t, doc, w.at(5), func(o *validate.Options) { o.Material = m })
	s := rep.Signatures[1]
	want(t, s, failed, validate.Revoked, "B-T")
	if !s.NotBefore.Equal(w.now.Truncate(time.Millisecond)) {
		t.Errorf("not before %v", s.NotBefore)
	}
	// The same with a certificate that had expired.
	w = newWorld(t, "P-256")
	w.leaf = w.person(t, w.from, w.now.Add(-time.Minute))
	doc = w.sign(t, w.stamp(t, base(t), w.at(0)), recipe{at: w.at(1), claimed: w.now.Add(-2 * time.Minute)})
	s = w.ask(t, doc, w.at(5), func(o *validate.Options) { o.NoRevocation = true }).Signatures[1]
	want(t, s, failed, validate.Expired, "B-T")
}

// TestExpiredAndNotRevoked: no time-stamp, expired; the last that is known of it is good.
func TestExpiredAndNotRevoked(t *testing.T) {
	w := newWorld(t, "P-256")
	w.leaf = w.person(t, w.from, w.at(10))
	doc := w.sign(t, base(t), recipe{noStamp: true})
	m := w.data(t)
	m.OCSPs = [][]byte{w.ocsp(t, says{at: w.at(10)})}
	s := w.ask(t, doc, w.at(3600), func(o *validate.Options) { o.Material = m }).Signatures[0]
	want(t, s, undecided, validate.OutOfBoundsNotRevoked, "B-B")
	s = w.ask(t, doc, w.at(3600), nil).Signatures[0]
	want(t, s, undecided, validate.OutOfBoundsNoPOE, "B-B")
}
