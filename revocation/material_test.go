package revocation_test

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"math/big"
	"net/http"
	"testing"
	"time"

	"tekend/certs"
	"tekend/pdf"
	"tekend/revocation"
)

// proven looks at material alone, as a validator without network does: each certificate of the path below the anchor that
// needs a status has one in it, of since or later for the leaf.
func proven(t testing.TB, m pdf.Material, n revocation.Need) (missing int) {
	t.Helper()
	for i, cert := range n.Path[:len(n.Path)-1] {
		if !holds(m.Certificates, cert.Raw) {
			t.Errorf("certificate %d is not in it", i)
		}
		if !certs.NeedsStatus(cert) {
			continue
		}
		found := false
		for _, der := range m.OCSPs {
			s, err := certs.OCSPStatus(der, cert, n.Path[i+1])
			found = found || err == nil && (i > 0 || !s.ThisUpdate.Before(n.Since)) && (s.Responder == nil || holds(m.Certificates, s.Responder.Raw))
		}
		for _, der := range m.CRLs {
			list, err := certs.ReadCRL(der)
			if err != nil {
				t.Fatal(err)
			}
			s, err := list.Status(cert, n.Path[i+1])
			found = found || err == nil && (i > 0 || !s.ThisUpdate.Before(n.Since))
		}
		if !found {
			missing++
		}
	}
	return missing
}

// TestMaterial: all of a signer's and of a time-stamping unit's path, each thing once.
func TestMaterial(t *testing.T) {
	w := newWorld(t)
	leaf, tsu := w.person(), w.tsu()
	w.advance(25 * time.Hour) // the root's list is from after the unit's certificate
	needs := []revocation.Need{
		{Path: []*x509.Certificate{leaf, w.issuing, w.root}, Since: w.now()},
		{Path: []*x509.Certificate{tsu, w.root}},
		{Path: []*x509.Certificate{leaf, w.issuing, w.root}}, // a second signature of the same person
	}
	c := w.collector()
	m, err := c.Material(t.Context(), needs)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Certificates) != 5 || len(m.OCSPs) != 1 || len(m.CRLs) != 1 {
		t.Errorf("%d certificates, %d answers, %d lists", len(m.Certificates), len(m.OCSPs), len(m.CRLs))
	}
	seen := map[[32]byte]bool{}
	for _, list := range [][][]byte{m.Certificates, m.OCSPs, m.CRLs} {
		for _, der := range list {
			if seen[sha256.Sum256(der)] {
				t.Error("something stands twice")
			}
			seen[sha256.Sum256(der)] = true
		}
	}
	for i, n := range needs {
		if missing := proven(t, m, n); missing > 0 {
			t.Errorf("need %d: %d statuses are missing", i, missing)
		}
	}
	if n := w.ocsp.asked.Load() + w.crl.asked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
	// The next document costs one question: what is not the signer's is known.
	w.advance(time.Minute)
	needs[0].Since = w.now()
	if m := must(c.Material(t.Context(), needs[:2])); proven(t, m, needs[0]) > 0 || w.ocsp.asked.Load() != 2 || w.crl.asked.Load() != 1 {
		t.Errorf("asked %d and %d times", w.ocsp.asked.Load(), w.crl.asked.Load())
	}
	// Whether a revocation came before the signature is for the check of the whole.
	w.revoke(leaf)
	w.advance(time.Minute)
	needs[0].Since = w.now()
	if s, err := certs.OCSPStatus(must(c.Material(t.Context(), needs[:1])).OCSPs[0], leaf, w.issuing); err != nil || s.State != certs.StatusRevoked {
		t.Errorf("%+v %v", s, err)
	}
	if _, err := c.Material(t.Context(), []revocation.Need{{}}); !errors.Is(err, revocation.ErrRefused) {
		t.Error(err)
	}
}

// TestALargeListIsNotCarried by every product of a certificate that also names a responder.
func TestALargeListIsNotCarried(t *testing.T) {
	w := newWorld(t)
	leaf := w.person()
	w.advance(time.Minute)
	revoked := make([]certs.Revoked, 1000)
	for i := range revoked {
		revoked[i] = certs.Revoked{Serial: new(big.Int).Lsh(big.NewInt(int64(i+1)), 100), At: w.now(), Reason: 4}
	}
	w.ocsp.down.Store(true)
	w.crl.does(gives(must(certs.CRL(w.issuer(), big.NewInt(1), revoked, w.now(), w.now().Add(time.Hour)))))
	c := w.collector(func(cfg *revocation.Config) { cfg.MaxEmbedded = 10 << 10 })
	needs := []revocation.Need{{Path: []*x509.Certificate{leaf, w.issuing}, Since: w.now()}}
	for range 2 {
		if s, err := c.Status(t.Context(), leaf, w.issuing, w.now()); err != nil || s.Kind != certs.FromCRL {
			t.Fatalf("%v", err)
		}
		if _, err := c.Material(t.Context(), needs); classes(err) != "unreachable" {
			t.Errorf("%v", err)
		}
	}
	w.ocsp.down.Store(false)
	if m := must(c.Material(t.Context(), needs)); len(m.CRLs) != 0 || len(m.OCSPs) != 1 {
		t.Errorf("%d lists, %d answers", len(m.CRLs), len(m.OCSPs))
	}
}

// TestOutages: each host is away for 24 hours while documents are signed. Whoever can be served by the other one is, nobody
// gets data from before his time-stamp, and at the first try after the return all are finished.
func TestOutages(t *testing.T) {
	const step, away, people = 20 * time.Minute, 24 * time.Hour, 24
	for name, tc := range map[string]struct {
		ocsp, crl bool
		early     bool // some are finished during the outage
	}{
		"responder":  {true, false, true},
		"lists":      {false, true, true},
		"both hosts": {true, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c := w.collector()
			type order struct{ need revocation.Need }
			waiting, finished, tries := []order(nil), 0, 0
			try := func() {
				var left []order
				for _, o := range waiting {
					tries++
					m, err := c.Material(t.Context(), []revocation.Need{o.need})
					switch {
					case err == nil && proven(t, m, o.need) > 0:
						t.Errorf("it is finished and %d statuses are missing", proven(t, m, o.need))
					case err == nil:
						finished++
						continue
					case classes(err) == "refused":
						t.Errorf("a host that is away is no refusal: %v", err)
					}
					left = append(left, o)
				}
				waiting = left
			}
			// What is known of the CA before is kept.
			must(c.Status(t.Context(), w.issuing, w.root, time.Time{}))
			w.ocsp.down.Store(tc.ocsp)
			w.crl.down.Store(tc.crl)
			for end := w.now().Add(away); w.now().Before(end); w.advance(step) {
				if len(waiting)+finished < people {
					waiting = append(waiting, order{revocation.Need{Path: []*x509.Certificate{w.person(), w.issuing, w.root}, Since: w.now().Add(step / 2)}})
				}
				try()
			}
			during := finished
			w.ocsp.down.Store(false)
			w.crl.down.Store(false)
			try()
			if len(waiting) > 0 || finished != people {
				t.Errorf("%d of %d are finished", finished, people)
			}
			if tc.early != (during > 0) {
				t.Errorf("%d were finished during the outage", during)
			}
			t.Logf("%d tries, %d of %d finished during the outage, all after it", tries, during, people)
		})
	}
}

// TestASlowHostHoldsUpItsOwnCertificatesAlone: what is asked elsewhere does not wait for it.
func TestASlowHostHoldsUpItsOwnCertificatesAlone(t *testing.T) {
	w, slow := newWorld(t), newWorld(t)
	goOn := make(chan struct{})
	slow.ocsp.does(func(out http.ResponseWriter, r *http.Request) { <-goOn; slow.answer(out, r) })
	c, leaf := w.collector(), slow.person()
	done := make(chan error, 1)
	go func() { _, err := c.Status(t.Context(), leaf, slow.issuing, time.Time{}); done <- err }()
	for range 20 {
		if _, err := c.Status(t.Context(), w.person(), w.issuing, time.Time{}); err != nil {
			t.Error(err)
		}
	}
	close(goOn)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
