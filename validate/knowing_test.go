package validate_test

import (
	"context"
	"crypto/x509"
	"math/big"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"tekend/certs"
	"tekend/pdf"
	"tekend/validate"
)

// TestARevocationByNobodyProvesNothing: "revoked after the signature" says that
// the certificate was good before, and that is worth what its maker is worth.
func TestARevocationByNobodyProvesNothing(t *testing.T) {
	w := newWorld(t, "P-256")
	bt := w.sign(t, base(t), recipe{at: w.at(-300)})
	r := w.checkedResponder(t) // whose own status nobody knows
	revoked := func(at time.Time) pdf.Material {
		m := w.data(t)
		der, err := ocsp.CreateResponse(w.issuing, r.Cert, ocsp.Response{
			Status: ocsp.Revoked, RevokedAt: at, RevocationReason: 1, SerialNumber: w.leaf.SerialNumber,
			ThisUpdate: w.at(-120), NextUpdate: w.at(3600), Certificate: r.Cert,
		}, r.Signer)
		check(t, err)
		m.OCSPs = [][]byte{der}
		return m
	}
	later, before := revoked(w.at(-200)), revoked(w.at(-400))
	want(t, w.ask(t, store(t, bt, later), w.at(5), nil).Signatures[0], undecided, validate.TryLater, "B-T")
	want(t, w.ask(t, store(t, bt, before), w.at(5), nil).Signatures[0], undecided, validate.RevokedNoPOE, "B-T")
	list := w.crl(t, w.issuing, w.at(-600), w.at(86400)) // speaks for the responder
	for _, m := range []*pdf.Material{&later, &before} {
		m.CRLs = append(m.CRLs, list)
	}
	want(t, w.ask(t, store(t, bt, later), w.at(5), nil).Signatures[0], passed, "", "B-LT")
	want(t, w.ask(t, store(t, bt, before), w.at(5), nil).Signatures[0], undecided, validate.RevokedNoPOE, "B-T")
	// It does not keep us from asking, either.
	s := &source{w: w, t: t}
	rep := w.ask(t, store(t, bt, revoked(w.at(-200))), w.at(5), func(o *validate.Options) { o.Revocation = s })
	if len(s.asked) != 1 || !s.asked[0].Equal(w.leaf) {
		t.Errorf("%d questions: %+v", len(s.asked), rep.Signatures[0])
	}
}

// TestSuspended: what was signed while the certificate was on hold was signed
// without one, and of two words of one second the worse counts.
func TestSuspended(t *testing.T) {
	w := newWorld(t, "P-256")
	stamped, bare := w.sign(t, base(t), recipe{}), w.sign(t, base(t), recipe{noStamp: true})
	root := w.crl(t, w.root, w.at(-600), w.at(30*86400))
	good := func(at int) []byte { return w.crl(t, w.issuing, w.at(at), w.at(86400)) }
	hold := func(at, since int) []byte { return w.crlOnHold(t, w.leaf, w.at(at), w.at(since)) }
	for name, tc := range map[string]struct {
		doc  []byte
		crls [][]byte
		ind  validate.Indication
		sub  string
	}{
		"on hold when signed, back later":       {stamped, [][]byte{hold(2, -60), good(4)}, undecided, validate.RevokedNoPOE},
		"on hold and back before it was signed": {stamped, [][]byte{hold(-30, -60), good(4)}, passed, ""},
		"on hold later and back":                {stamped, [][]byte{hold(3, 2), good(4)}, passed, ""},
		"on hold later":                         {stamped, [][]byte{hold(3, 2)}, passed, ""},
		"no time-stamp, on hold and back":       {bare, [][]byte{hold(-60, -90), good(4)}, passed, ""},
		"no time-stamp, good and on hold":       {bare, [][]byte{good(4), hold(4, -60)}, undecided, validate.TryLater},
		"no time-stamp, on hold and good":       {bare, [][]byte{hold(4, -60), good(4)}, undecided, validate.TryLater},
	} {
		s := w.ask(t, tc.doc, w.at(5), func(o *validate.Options) {
			o.Material = pdf.Material{CRLs: append([][]byte{root}, tc.crls...)}
		}).Signatures[0]
		if s.Indication != tc.ind || s.SubIndication != tc.sub {
			t.Errorf("%s: %v/%s %q", name, s.Indication, s.SubIndication, s.Reasons)
		}
	}
}

// lists answers with lists of the root, or with OCSP for the signer.
type lists func(cert *x509.Certificate, since time.Time) (der []byte, crl bool)

func (f lists) Status(_ context.Context, cert, issuer *x509.Certificate, since time.Time) (*certs.Status, error) {
	der, crl := f(cert, since)
	if !crl {
		st, err := certs.OCSPStatus(der, cert, issuer)
		return &st, err
	}
	l, err := certs.ReadCRL(der)
	if err != nil {
		return nil, err
	}
	st, err := l.Status(cert, issuer)
	return &st, err
}

// TestNoFileHidesWhatIsFetched: a list that revokes the unit counts, although the
// document brings the same bytes as something else, or more than is read.
func TestNoFileHidesWhatIsFetched(t *testing.T) {
	w := newWorld(t, "P-256")
	data := w.data(t)
	now := w.now.AddDate(0, 6, 0)
	doc := base(t)
	for i := range 4 {
		if i > 0 {
			w.now = w.at(1)
			w.newUnit(t, w.from)
		}
		doc = w.sign(t, doc, recipe{})
		data.Certificates = append(data.Certificates, w.unit.Raw)
	}
	last := w.unit
	data.OCSPs = append(data.OCSPs, w.ocsp(t, says{at: w.at(1)}))
	revoking := w.crl(t, w.root, now.Add(-time.Hour), now.Add(time.Hour), certs.Revoked{Serial: last.SerialNumber, At: w.at(10), Reason: 1})
	disguised := data
	disguised.OCSPs = append([][]byte{revoking}, data.OCSPs...)
	disguised.Certificates = append([][]byte{revoking}, data.Certificates...)
	flood := pdf.Material{}
	for i := range 1000 {
		flood.CRLs = append(flood.CRLs, w.crl(t, w.issuing, w.at(-900), w.at(-800), certs.Revoked{Serial: big.NewInt(int64(i + 1)), At: w.at(-901)}))
	}
	for name, doc := range map[string][]byte{
		"plain": store(t, doc, data), "other kind": store(t, doc, disguised), "flood": store(t, store(t, doc, data), flood),
	} {
		rep := w.ask(t, doc, now, func(o *validate.Options) {
			o.Revocation = lists(func(cert *x509.Certificate, _ time.Time) ([]byte, bool) {
				if cert.Equal(last) {
					return revoking, true
				}
				return []byte{0x30, 0}, true
			})
		})
		s := rep.Signatures[3]
		if s.Indication == passed || s.TimeStamps[0].Verified {
			t.Errorf("%s: %v: the time-stamp of a revoked unit counts", name, s.Indication)
		}
	}
}

// TestAskingForTwoTimes: an answer that is new enough for one signature may be
// too old for the next one of the same person.
func TestAskingForTwoTimes(t *testing.T) {
	w := newWorld(t, "P-256")
	doc := w.sign(t, w.sign(t, base(t), recipe{at: w.at(-100)}), recipe{})
	asked := 0
	rep := w.ask(t, doc, w.at(5), func(o *validate.Options) {
		o.Revocation = lists(func(cert *x509.Certificate, since time.Time) ([]byte, bool) {
			if !cert.Equal(w.leaf) {
				return w.crl(t, w.root, w.at(4), w.at(86400)), true
			}
			asked++
			return w.ocsp(t, says{at: since.Add(time.Second)}), false
		})
	})
	if rep.Indication != passed || asked != 2 {
		t.Errorf("%d questions, %v %q", asked, rep.Indication, rep.Signatures[1].Reasons)
	}
}

// TestTheReportSaysWhatWasLeftOut by Options.Only.
func TestTheReportSaysWhatWasLeftOut(t *testing.T) {
	w := newWorld(t, "P-256")
	doc := w.sign(t, w.sign(t, base(t), recipe{noStamp: true}), recipe{at: w.at(1)})
	w.now = w.at(2)
	one := detached(t, w.cades(t, nil))
	for _, only := range []bool{false, true} {
		ask := func(field string) func(*validate.Options) {
			return func(o *validate.Options) {
				if o.NoRevocation = true; only {
					o.Only = []string{field}
				}
			}
		}
		cms, err := w.tryCMS(file{twoSigners(t, one.der), one.data}, w.at(5), ask("#1"))
		check(t, err)
		for _, rep := range []*validate.Report{w.ask(t, doc, w.at(5), ask("Signature2")), cms} {
			if said := strings.Contains(strings.Join(rep.Notes, "\n"), "only 1 of 2 signatures"); said != only || len(rep.Signatures) == 1 != only {
				t.Errorf("only %v: %d signatures, %q", only, len(rep.Signatures), rep.Notes)
			}
		}
	}
}
