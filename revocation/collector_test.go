package revocation_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"tekend/certs"
	"tekend/revocation"
)

// TestStatus: from the responder, kept while it is in force, asked again when it must be newer.
func TestStatus(t *testing.T) {
	w := newWorld(t)
	c, leaf := w.collector(), w.person()
	s, err := c.Status(t.Context(), leaf, w.issuing, time.Time{})
	if err != nil || s.State != certs.StatusGood || s.Kind != certs.FromOCSP || s.Nonce == nil || !s.Responder.Equal(w.by.Cert) {
		t.Fatalf("%+v %v", s, err)
	}
	for range 3 {
		w.advance(time.Hour)
		if again := must(c.Status(t.Context(), leaf, w.issuing, time.Time{})); again != s {
			t.Errorf("it is asked again though its answer is in force")
		}
	}
	since := w.now()
	newer := must(c.Status(t.Context(), leaf, w.issuing, since))
	if newer.ThisUpdate.Before(since) || w.ocsp.asked.Load() != 2 {
		t.Errorf("%v, asked %d times", newer.ThisUpdate, w.ocsp.asked.Load())
	}
	if again := must(c.Status(t.Context(), leaf, w.issuing, since)); again != newer {
		t.Error("what is new enough is asked again")
	}
	w.advance(13 * time.Hour)
	if s := must(c.Status(t.Context(), leaf, w.issuing, time.Time{})); s == newer || w.ocsp.asked.Load() != 3 || w.crl.asked.Load() != 0 {
		t.Errorf("%v of %v after its end", s.ThisUpdate, w.now())
	}
	w.advance(time.Minute)
	w.revoke(leaf)
	w.advance(time.Minute)
	if s := must(c.Status(t.Context(), leaf, w.issuing, w.now())); s.State != certs.StatusRevoked || s.Reason != 1 {
		t.Errorf("%+v", s)
	}
}

// TestStatusWaitsForTheSecond: a time-stamp knows parts of a second, an answer does not.
func TestStatusWaitsForTheSecond(t *testing.T) {
	w := newWorld(t)
	leaf := w.person()
	w.advance(1300 * time.Millisecond)
	since := w.now()
	s, err := w.collector().Status(t.Context(), leaf, w.issuing, since)
	if err != nil || s.ThisUpdate.Before(since) || w.waited.Load() != 1 || w.ocsp.asked.Load() != 1 {
		t.Errorf("%+v %v, waited %d times", s, err, w.waited.Load())
	}
	// Nothing is waited for when the time is far: the clock of a time-stamp is wrong then.
	if _, err := w.collector().Status(t.Context(), leaf, w.issuing, w.now().Add(time.Hour)); !errors.Is(err, revocation.ErrStale) || w.waited.Load() != 1 {
		t.Errorf("%v, waited %d times", err, w.waited.Load())
	}
}

func TestWhoNeedsNone(t *testing.T) {
	w := newWorld(t)
	who := must(certs.NewPerson("Jan Jansen", "Jan", "Jansen", "BEL"))
	oneTime := w.issue(w.issuer(), certs.Order{Profile: certs.OneTime, Subject: who.Subject(), PublicKey: newKey().Public(), NotBefore: w.now(), NotAfter: w.now().Add(24 * time.Hour), Publication: w.publication("issuing-ca"), Identified: true})
	for name, pair := range map[string][2]*x509.Certificate{"one-time": {oneTime, w.issuing}, "root": {w.root, w.root}, "responder": {w.by.Cert, w.issuing}} {
		if _, err := w.collector().Status(t.Context(), pair[0], pair[1], time.Time{}); !errors.Is(err, revocation.ErrNotNeeded) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.collector().Status(t.Context(), w.person(), w.root, time.Time{}); !errors.Is(err, revocation.ErrRefused) {
		t.Errorf("another issuer's: %v", err)
	}
	if w.ocsp.asked.Load()+w.crl.asked.Load() != 0 {
		t.Error("somebody was asked")
	}
}

// TestRespondersThatDoNotCount: with the lists away, each gives an error of its class; with them, the list's word,
// but for "unknown".
func TestRespondersThatDoNotCount(t *testing.T) {
	w := newWorld(t)
	w.crlEvery = time.Second // a list of now
	leaf, other := w.person(), w.person()
	namesake := newWorld(t)
	w.advance(time.Hour)
	says := func(change func(s *certs.SingleStatus, nonce *[]byte)) http.HandlerFunc {
		return func(out http.ResponseWriter, r *http.Request) {
			q := request(r)
			s := w.single(q.IDs[0])
			change(&s, &q.Nonce)
			w.reply(out, []certs.SingleStatus{s}, q.Nonce)
		}
	}
	stolen := func(f func(w *world) ([]byte, error)) http.HandlerFunc {
		return func(out http.ResponseWriter, _ *http.Request) { _, _ = out.Write(must(f(w))) }
	}
	for name, tc := range map[string]struct {
		do   http.HandlerFunc
		want string
	}{
		"try later":        {gives(certs.OCSPErrorResponse(certs.OCSPTryLater)), "unreachable"},
		"internal error":   {gives(certs.OCSPErrorResponse(certs.OCSPInternal)), "unreachable"},
		"unauthorized":     {gives(certs.OCSPErrorResponse(certs.OCSPUnauthorized)), "unreachable"},
		"HTTP 500":         {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, "unreachable"},
		"HTTP 404":         {http.NotFound, "unreachable"},
		"nothing":          {gives(nil), "refused"},
		"HTML":             {gives([]byte("<html>welcome to the hotel's network</html>")), "refused"},
		"without end":      {gives(make([]byte, certs.MaxOCSPResponse+1)), "refused"},
		"unknown":          {says(func(s *certs.SingleStatus, _ *[]byte) { s.State = certs.StatusUnknown }), "refused"},
		"another nonce":    {says(func(_ *certs.SingleStatus, n *[]byte) { (*n)[0] ^= 1 }), "refused"},
		"another's status": {says(func(s *certs.SingleStatus, _ *[]byte) { s.ID = must(certs.IDOf(other, w.issuing, crypto.SHA1)) }), "refused"},
		"expired": {says(func(s *certs.SingleStatus, _ *[]byte) {
			s.ThisUpdate, s.NextUpdate = w.now().Add(-time.Hour), w.now().Add(-time.Second)
		}), "stale"},
		"too old":                {says(func(s *certs.SingleStatus, _ *[]byte) { s.ThisUpdate = w.now().Add(-time.Second) }), "stale"},
		"before the certificate": {says(func(s *certs.SingleStatus, _ *[]byte) { s.ThisUpdate = leaf.NotBefore.Add(-time.Second) }), "stale"},
		"of the future": {func(out http.ResponseWriter, r *http.Request) {
			q := request(r)
			s := w.single(q.IDs[0])
			s.ThisUpdate = w.now().Add(time.Hour)
			_, _ = out.Write(must(w.by.Answer([]certs.SingleStatus{s}, w.now().Add(time.Hour), q.Nonce)))
		}, "refused"},
		"of a namesake": {stolen(func(w *world) ([]byte, error) {
			s := w.single(must(certs.IDOf(leaf, w.issuing, crypto.SHA1)))
			by := namesake.by
			return by.Answer([]certs.SingleStatus{{ID: must(certs.IDOf(leaf, namesake.issuing, crypto.SHA1)), State: certs.StatusGood, ThisUpdate: s.ThisUpdate, NextUpdate: s.NextUpdate}}, w.now(), nil)
		}), "refused"},
	} {
		w.ocsp.does(tc.do)
		w.crl.down.Store(true)
		since := w.now()
		s, err := w.collector().Status(t.Context(), leaf, w.issuing, since)
		if got, want := classes(err), tc.want; got != want && got != want+" unreachable" {
			t.Errorf("%s: %v (%+v)", name, err, s)
		}
		if err != nil && (strings.Contains(err.Error(), "Jansen") || strings.Contains(err.Error(), "/pki/")) {
			t.Errorf("%s: the error tells too much: %v", name, err)
		}
		w.crl.down.Store(false)
		if name == "unknown" { // a list would call good what was never issued
			if s, err := w.collector().Status(t.Context(), leaf, w.issuing, since); classes(err) != "refused" {
				t.Errorf("%s: %+v %v", name, s, err)
			}
			continue
		}
		if s, err := w.collector().Status(t.Context(), leaf, w.issuing, since); err != nil || s.Kind != certs.FromCRL || s.State != certs.StatusGood {
			t.Errorf("%s: the list is not asked: %v", name, err)
		}
	}
}

// TestListsThatDoNotCount with the responder away.
func TestListsThatDoNotCount(t *testing.T) {
	w := newWorld(t)
	leaf := w.person()
	w.advance(time.Hour)
	w.ocsp.down.Store(true)
	namesake := newWorld(t)
	ext := func(id asn1.ObjectIdentifier, value ...byte) pkix.Extension {
		return pkix.Extension{Id: id, Critical: true, Value: value}
	}
	good := w.foreignCRL()
	changed := bytes.Clone(good)
	changed[len(changed)-1] ^= 1
	for name, tc := range map[string]struct {
		der  []byte
		want string
	}{
		"good":              {good, ""},
		"of another issuer": {must(certs.CRL(w.rootIssuer(), big.NewInt(1), nil, w.now(), w.now().Add(time.Hour))), "refused unreachable"},
		"of a namesake":     {must(certs.CRL(namesake.issuer(), big.NewInt(1), nil, w.now(), w.now().Add(time.Hour))), "refused unreachable"},
		"changed":           {changed, "refused unreachable"},
		"delta":             {w.foreignCRL(ext(asn1.ObjectIdentifier{2, 5, 29, 27}, 2, 1, 1)), "refused unreachable"},
		"indirect":          {w.foreignCRL(ext(asn1.ObjectIdentifier{2, 5, 29, 28}, 0x30, 3, 0x84, 1, 0xff)), "refused unreachable"},
		"unknown critical":  {w.foreignCRL(ext(asn1.ObjectIdentifier{2, 25, 1}, 5, 0)), "refused unreachable"},
		"of another shard":  {w.crlOf(w.now(), func(s *certs.CRLSpec) { s.Shard = "http://elsewhere.example/shard.crl" }), "refused unreachable"},
		"over":              {w.crlOf(w.now().Add(-30*time.Minute), func(s *certs.CRLSpec) { s.NextUpdate = w.now().Add(-time.Minute) }), "stale unreachable"},
		"too old":           {w.crlOf(w.now().Add(-time.Minute), func(*certs.CRLSpec) {}), "stale unreachable"},
		"of the future":     {w.crlOf(w.now().Add(time.Hour), func(*certs.CRLSpec) {}), "refused unreachable"},
		"HTML":              {[]byte("<html>"), "refused unreachable"},
	} {
		w.crl.does(gives(tc.der))
		s, err := w.collector().Status(t.Context(), leaf, w.issuing, w.now())
		if got := classes(err); got != tc.want || err == nil && (s.State != certs.StatusGood || s.Kind != certs.FromCRL) {
			t.Errorf("%s: %+v %v", name, s, err)
		}
	}
}

// TestTheNewestWins: an answer "good" that is older than a list which revokes does not count, and operators are told.
func TestTheNewestWins(t *testing.T) {
	w := newWorld(t)
	w.crlEvery = time.Second
	leaf, second := w.person(), w.person()
	c := w.collector()
	w.ocsp.down.Store(true)
	w.advance(time.Minute)
	w.revoke(leaf)
	w.advance(time.Minute)
	if s := must(c.Status(t.Context(), leaf, w.issuing, time.Time{})); s.State != certs.StatusRevoked || s.Kind != certs.FromCRL {
		t.Fatalf("%+v", s)
	}
	// The responder comes back with an answer from before, which is in force and says good.
	w.ocsp.down.Store(false)
	w.ocsp.does(func(out http.ResponseWriter, r *http.Request) {
		s := w.single(request(r).IDs[0])
		s.State, s.ThisUpdate = certs.StatusGood, w.now().Add(-90*time.Second)
		w.reply(out, []certs.SingleStatus{s}, nil)
	})
	fresh := w.collector()
	if s := must(fresh.Status(t.Context(), leaf, w.issuing, time.Time{})); s.State != certs.StatusGood {
		t.Fatalf("who does not know the list: %+v", s)
	}
	w.ocsp.down.Store(true) // it learns of the list through another certificate
	if s := must(fresh.Status(t.Context(), second, w.issuing, time.Time{})); s.Kind != certs.FromCRL {
		t.Fatalf("%+v", s)
	}
	w.ocsp.down.Store(false)
	w.advance(13 * time.Hour) // both are over
	w.crl.does(gives(w.crlOf(w.now(), func(*certs.CRLSpec) {})))
	w.ocsp.down.Store(true)
	must(fresh.Status(t.Context(), second, w.issuing, w.now()))
	w.ocsp.down.Store(false)
	s := must(fresh.Status(t.Context(), leaf, w.issuing, time.Time{}))
	if s.State != certs.StatusRevoked || s.Kind != certs.FromCRL {
		t.Errorf("%+v", s)
	}
	if log := w.log.String(); !strings.Contains(log, "contradict") || strings.Contains(log, "Jansen") || strings.Contains(log, leaf.SerialNumber.String()) {
		t.Errorf("log: %q", log)
	}
}

// TestTheSameQuestionIsAskedOnce by many at a time, and goes on when the first one leaves.
func TestTheSameQuestionIsAskedOnce(t *testing.T) {
	w := newWorld(t)
	c, leaf := w.collector(), w.person()
	began, goOn := make(chan struct{}, 100), make(chan struct{})
	w.ocsp.does(func(out http.ResponseWriter, r *http.Request) {
		began <- struct{}{}
		<-goOn
		w.answer(out, r)
	})
	ctx, leave := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() { _, err := c.Status(ctx, leaf, w.issuing, w.now()); first <- err }()
	<-began
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			if s, err := c.Status(t.Context(), leaf, w.issuing, time.Time{}); err != nil || s.State != certs.StatusGood {
				t.Errorf("%v", err)
			}
		})
	}
	leave()
	if err := <-first; !errors.Is(err, revocation.ErrUnreachable) {
		t.Errorf("who left: %v", err)
	}
	close(goOn)
	group.Wait()
	if n := w.ocsp.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// TestALaterNeedIsNotMetByAnEarlierAnswer: who waits for somebody else's search asks himself when it is too old for him.
func TestALaterNeedIsNotMetByAnEarlierAnswer(t *testing.T) {
	w := newWorld(t)
	c, leaf := w.collector(), w.person()
	began, goOn := make(chan struct{}, 100), make(chan struct{})
	var once sync.Once
	w.ocsp.does(func(out http.ResponseWriter, r *http.Request) {
		q := request(r)
		s := w.single(q.IDs[0])
		once.Do(func() { began <- struct{}{}; <-goOn })
		w.reply(out, []certs.SingleStatus{s}, q.Nonce)
	})
	done := make(chan error, 2)
	go func() { _, err := c.Status(t.Context(), leaf, w.issuing, time.Time{}); done <- err }()
	<-began
	w.advance(10 * time.Second)
	since := w.now()
	go func() {
		s, err := c.Status(t.Context(), leaf, w.issuing, since)
		if err == nil && s.ThisUpdate.Before(since) {
			err = errors.New("it is too old")
		}
		done <- err
	}()
	time.Sleep(50 * time.Millisecond) // so that it joins the search under way
	close(goOn)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestARespondersOwnStatus: a responder that its issuer does not vouch for is looked up in its turn, never by its own word.
func TestARespondersOwnStatus(t *testing.T) {
	w := newWorld(t)
	leaf := w.person()
	for name, tc := range map[string]struct {
		ocsp, crl []string
		revoke    bool
		want      string
	}{
		"in a list":       {nil, []string{w.crl.URL + "/pki/crl/issuing-ca.crl"}, false, ""},
		"revoked":         {nil, []string{w.crl.URL + "/pki/crl/issuing-ca.crl"}, true, "refused"},
		"nobody says":     {nil, nil, false, "refused"},
		"by its own word": {[]string{w.ocsp.URL + "/pki/ocsp"}, nil, false, "refused"},
	} {
		key := newKey()
		cert := must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, &x509.Certificate{
			SerialNumber: big.NewInt(99), Subject: pkix.Name{CommonName: "Responder"}, NotBefore: w.issuing.NotBefore, NotAfter: w.now().AddDate(0, 0, 30),
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}, OCSPServer: tc.ocsp, CRLDistributionPoints: tc.crl,
		}, w.issuing, key.Public(), w.caKey))))
		vouched := w.by
		w.by.Cert, w.by.Signer = cert, key
		w.ocsp.does(func(out http.ResponseWriter, r *http.Request) { _, _ = out.Write(unvouched(w, request(r))) })
		w.mu.Lock()
		clear(w.revoked)
		w.mu.Unlock()
		if tc.revoke {
			w.revoke(cert)
		}
		w.advance(7 * time.Hour)
		w.crl.down.Store(false)
		c := w.collector()
		leafOnly := *leaf
		leafOnly.CRLDistributionPoints = nil // so that only the responder speaks of it
		before := w.ocsp.asked.Load()
		m, err := c.Material(t.Context(), []revocation.Need{{Path: []*x509.Certificate{&leafOnly, w.issuing, w.root}}})
		if got := classes(err); got != tc.want {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && (len(m.OCSPs) != 1 || len(m.CRLs) != 2 || !holds(m.Certificates, cert.Raw)) {
			t.Errorf("%s: %d answers, %d lists", name, len(m.OCSPs), len(m.CRLs))
		}
		if n := w.ocsp.asked.Load() - before; n > 2 {
			t.Errorf("%s: it goes round in circles: %d questions", name, n)
		}
		w.by = vouched
	}
}

func holds(list [][]byte, der []byte) bool {
	for _, d := range list {
		if bytes.Equal(d, der) {
			return true
		}
	}
	return false
}
