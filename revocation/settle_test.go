package revocation_test

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"tekend/certs"
	"tekend/revocation"
)

// delegate makes w's responder one whose own status has to be asked for, from these addresses.
func (w *world) delegate(ocsp, crl []string) *x509.Certificate {
	key := newKey()
	cert := must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(99), Subject: pkix.Name{CommonName: "Responder"}, NotBefore: w.issuing.NotBefore, NotAfter: w.now().AddDate(0, 0, 30),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}, OCSPServer: ocsp, CRLDistributionPoints: crl,
	}, w.issuing, key.Public(), w.caKey))))
	w.by.Cert, w.by.Signer = cert, key
	w.ocsp.does(func(out http.ResponseWriter, r *http.Request) { _, _ = out.Write(unvouched(w, request(r))) })
	return cert
}

// TestAKeptAnswerNeedsItsRespondersStatus: an answer that is in force for ten days rests on a list that is in force for
// twelve hours; when that is over, what became of the responder is asked anew.
func TestAKeptAnswerNeedsItsRespondersStatus(t *testing.T) {
	w := newWorld(t)
	leaf := *w.person()
	leaf.CRLDistributionPoints = nil // so that only the responder speaks of it
	responder := w.delegate(nil, []string{w.crl.URL + "/pki/crl/issuing-ca.crl"})
	w.advance(7 * time.Hour)
	c := w.collector()
	if s, err := c.Status(t.Context(), &leaf, w.issuing, time.Time{}); err != nil || s.State != certs.StatusGood {
		t.Fatalf("%+v %v", s, err)
	}
	w.revoke(responder)
	w.advance(13 * time.Hour)
	if s, err := c.Status(t.Context(), &leaf, w.issuing, time.Time{}); classes(err) != "refused" {
		t.Errorf("the word of a revoked responder counts: %+v %v", s, err)
	}
	needs := []revocation.Need{{Path: []*x509.Certificate{&leaf, w.issuing}}}
	if _, err := c.Material(t.Context(), needs); classes(err) != "refused" {
		t.Errorf("and goes into products: %v", err)
	}
}

// TestARespondersUnknownStatusIsNotTheCertificates: who does not know the responder has said nothing of the certificate, and
// its list is asked.
func TestARespondersUnknownStatusIsNotTheCertificates(t *testing.T) {
	w := newWorld(t)
	w.crlEvery = time.Second
	leaf := w.person()
	ca := certs.OCSPResponder{Cert: w.issuing, Signer: w.caKey, Issuer: w.issuing}
	second := newHost(t, func(out http.ResponseWriter, r *http.Request) {
		q := request(r)
		s := w.single(q.IDs[0])
		s.State = certs.StatusUnknown
		_, _ = out.Write(must(ca.Answer([]certs.SingleStatus{s}, w.now(), q.Nonce)))
	})
	w.delegate([]string{second.URL}, nil)
	w.advance(time.Hour)
	s, err := w.collector().Status(t.Context(), leaf, w.issuing, time.Time{})
	if err != nil || s.Kind != certs.FromCRL || second.asked.Load() != 1 {
		t.Errorf("%+v %v, asked %d times", s, err, second.asked.Load())
	}
}

// TestALargeListThatRevokesCounts: that a list is too large to be carried is no reason not to believe it.
func TestALargeListThatRevokesCounts(t *testing.T) {
	w := newWorld(t)
	w.crlEvery = time.Second
	leaf, second := w.person(), w.person()
	needs := []revocation.Need{{Path: []*x509.Certificate{leaf, w.issuing}}}
	small := func(cfg *revocation.Config) { cfg.MaxEmbedded = 1 } // every list is too large
	c, fresh := w.collector(small), w.collector(small)
	if m := must(c.Material(t.Context(), needs)); len(m.OCSPs) != 1 || len(m.CRLs) != 0 {
		t.Fatalf("%d answers, %d lists", len(m.OCSPs), len(m.CRLs))
	}
	w.advance(time.Minute)
	w.ocsp.down.Store(true)
	must(fresh.Status(t.Context(), second, w.issuing, w.now())) // it keeps a list that does not name the first
	w.ocsp.down.Store(false)
	w.ocsp.does(func(out http.ResponseWriter, r *http.Request) {
		s := w.single(request(r).IDs[0])
		s.ThisUpdate = w.now().Add(-10 * time.Second)
		w.reply(out, []certs.SingleStatus{s}, nil)
	})
	if m := must(fresh.Material(t.Context(), needs)); len(m.OCSPs) != 1 || len(m.CRLs) != 0 {
		t.Errorf("a list that says the same, a little newer, is carried: %d answers, %d lists", len(m.OCSPs), len(m.CRLs))
	}
	w.revoke(leaf)
	w.advance(time.Minute)
	w.ocsp.down.Store(true)
	if s := must(c.Status(t.Context(), leaf, w.issuing, w.now())); s.State != certs.StatusRevoked || s.Kind != certs.FromCRL {
		t.Fatalf("%+v", s)
	}
	m, err := c.Material(t.Context(), needs)
	if err != nil || len(m.CRLs) != 1 || len(m.OCSPs) != 0 {
		t.Errorf("an older answer that says good goes into a product: %d answers, %d lists, %v", len(m.OCSPs), len(m.CRLs), err)
	}
}

// TestARevocationIsForEver (Regulation 910/2014 Art 28(4)): a newer answer that says good does not revert it, whether it was
// said of the certificate or stands in a list that is known through another one; only a hold gives way.
func TestARevocationIsForEver(t *testing.T) {
	for name, tc := range map[string]struct {
		reason int
		want   certs.CertState
	}{"key compromise": {1, certs.StatusRevoked}, "no reason": {0, certs.StatusRevoked}, "hold": {certs.ReasonOnHold, certs.StatusGood}} {
		w := newWorld(t)
		leaf, second := w.person(), w.person()
		w.advance(time.Minute)
		w.crl.does(gives(must(x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
			Number: big.NewInt(9), ThisUpdate: w.now(), NextUpdate: w.now().Add(12 * time.Hour),
			RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: leaf.SerialNumber, RevocationTime: w.now(), ReasonCode: tc.reason}},
		}, w.issuing, w.caKey))))
		said, known := w.collector(), w.collector()
		w.ocsp.down.Store(true)
		if s := must(said.Status(t.Context(), leaf, w.issuing, time.Time{})); s.State != certs.StatusRevoked || s.Reason != tc.reason {
			t.Fatalf("%s: %+v", name, s)
		}
		must(known.Status(t.Context(), second, w.issuing, time.Time{}))
		w.ocsp.down.Store(false) // the responder does not know of it
		w.advance(time.Minute)
		for _, since := range []time.Time{w.now(), {}} {
			for n, c := range []*revocation.Collector{said, known} {
				if s, err := c.Status(t.Context(), leaf, w.issuing, since); err != nil || s.State != tc.want {
					t.Errorf("%s, collector %d, since %v: %+v %v", name, n, since, s, err)
				}
				m, err := c.Material(t.Context(), []revocation.Need{{Path: []*x509.Certificate{leaf, w.issuing}, Since: since}})
				if err != nil || (len(m.CRLs) == 1) != (tc.want == certs.StatusRevoked) {
					t.Errorf("%s, collector %d, since %v: %d answers, %d lists, %v", name, n, since, len(m.OCSPs), len(m.CRLs), err)
				}
			}
		}
		if log := w.log.String(); tc.reason == 1 && !strings.Contains(log, "taken=crl") {
			t.Errorf("log: %q", log)
		}
	}
}
