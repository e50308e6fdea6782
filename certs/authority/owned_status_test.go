package authority_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"tekend/ca"
	"tekend/certs"
	"tekend/certs/authority"
	"tekend/wire"
)

// The owned front and the status (issue 5 item 4): it relays OCSP and CRLs, and revocations do not pass through it at all. It
// can drop and delay what strangers ask; it cannot forge an answer, nor keep a revocation from the ca.

// relay is what an owned front does with an answer.
type relay struct {
	name string
	does func(answer []byte, earlier []byte) []byte
}

func relays() []relay {
	flip := func(at func(b []byte) int) func([]byte, []byte) []byte {
		return func(b, _ []byte) []byte {
			b = bytes.Clone(b)
			b[at(b)] ^= 1
			return b
		}
	}
	return []relay{
		{"drops", func([]byte, []byte) []byte { return nil }},
		{"answers itself, tryLater", func([]byte, []byte) []byte { return certs.OCSPErrorResponse(certs.OCSPTryLater) }},
		{"keeps an earlier answer back", func(_, earlier []byte) []byte { return earlier }},
		{"makes revoked good", func(b, _ []byte) []byte { return good(b) }},
		{"changes the first byte of the signed part", flip(func(b []byte) int { return bytes.Index(b, []byte{0x18, 0x0f}) + 2 })},
		{"changes the signature", flip(func(b []byte) int { return len(b) / 3 })},
		{"cuts it off", func(b, _ []byte) []byte { return b[:len(b)-1] }},
		{"adds to it", func(b, _ []byte) []byte { return append(bytes.Clone(b), 5, 0) }},
	}
}

// good makes a revoked answer say good, with all lengths as they were: the tag of RevokedInfo [1] becomes that of an unknown
// field, which is as near as one comes without a key.
func good(b []byte) []byte {
	b = bytes.Clone(b)
	if at := bytes.Index(b, []byte{0xa1}); at >= 0 {
		b[at] = 0x80
	}
	return b
}

// TestOwnedFrontForgesNoStatus: whatever it does with an answer about a revoked certificate, a relying party that verifies
// never reads "good" with a time from after the revocation.
func TestOwnedFrontForgesNoStatus(t *testing.T) {
	w := newWorld(t)
	c, other := w.issued(), w.issued()
	issuer := w.issuing()
	q := query(t, issuer, crypto.SHA1, nil, c)
	earlier := got(w.front.OCSP(t.Context(), q))(t)
	foreign := got(w.front.OCSP(t.Context(), query(t, issuer, crypto.SHA1, nil, other)))(t)
	w.advance(time.Minute)
	revoked := got(w.sam.Revoke(t.Context(), bySAM(serialOf(c), ca.ReasonKeyCompromise)))(t)
	answer := got(w.front.OCSP(t.Context(), q))(t)
	// A responder of the front's own: nobody vouches for it.
	owned := newWorld(t)
	forged := got(owned.front.OCSP(t.Context(), query(t, owned.issuing(), crypto.SHA1, nil, owned.issued())))(t)
	tried := 0
	for _, r := range append(relays(), relay{"answers about another certificate", func(_, _ []byte) []byte { return foreign }},
		relay{"answers with a CA of its own", func(_, _ []byte) []byte { return forged }}) {
		tried++
		if read := relying(r.does(answer, earlier), issuer, c, w.now(), revoked.At); read == certs.StatusGood {
			t.Errorf("%s: read as good", r.name)
		}
	}
	if relying(answer, issuer, c, w.now(), revoked.At) != certs.StatusRevoked {
		t.Error("the way of an honest front is closed")
	}
	// Every single byte.
	for at := range answer {
		b := bytes.Clone(answer)
		b[at] ^= 0x55
		tried++
		if relying(b, issuer, c, w.now(), revoked.At) == certs.StatusGood {
			t.Errorf("byte %d changed: read as good", at)
		}
	}
	t.Logf("owned front, OCSP: %d changed answers, 0 read as good", tried)
}

// relying reads an answer as a relying party does that wants one from after the time asked about.
func relying(der []byte, issuer, c *x509.Certificate, now, after time.Time) certs.CertState {
	r, err := certs.ParseOCSPResponse(der)
	if err != nil || r.Verify(issuer, now) != nil {
		return certs.StatusUnknown
	}
	for _, s := range r.Singles {
		if s.ID.Serial.Cmp(c.SerialNumber) == 0 && s.ID.Of(issuer) && !s.ThisUpdate.Before(after) && now.Before(s.NextUpdate) {
			return s.State
		}
	}
	return certs.StatusUnknown
}

// TestOwnedFrontForgesNoCRL: the same of the list.
func TestOwnedFrontForgesNoCRL(t *testing.T) {
	w := newWorld(t)
	c := w.issued()
	got(w.sam.Revoke(t.Context(), bySAM(serialOf(c), ca.ReasonKeyCompromise)))(t)
	der := w.crlBytes()
	issuer := w.issuing()
	lacks := func(b []byte) bool {
		list, err := x509.ParseRevocationList(b)
		if err != nil || list.CheckSignatureFrom(issuer) != nil {
			return false
		}
		for _, e := range list.RevokedCertificateEntries {
			if e.SerialNumber.Cmp(c.SerialNumber) == 0 {
				return false
			}
		}
		return true
	}
	for at := range der {
		b := bytes.Clone(der)
		b[at] ^= 0x55
		if lacks(b) {
			t.Errorf("byte %d changed: the entry is gone and the list verifies", at)
		}
	}
	t.Logf("owned front, CRL: %d changed lists, 0 that verify without the entry", len(der))
}

// TestOwnedFrontCannotRevoke: its socket has no revocation, and neither what it carries nor what it makes up is one.
func TestOwnedFrontCannotRevoke(t *testing.T) {
	w := newWorld(t)
	c := w.issued()
	tried := 0
	for _, r := range []ca.RevokeRequest{bySAM(serialOf(c), 0), w.revocation(c, false).request(), w.approved(serialOf(c), 0, 1)} {
		body, hash := hashed(t, r)
		for _, path := range []string{"/v1/revocations/" + hash, "/v1/revocations/", "/v1/certificates/" + hash, "/v1/status/" + serialOf(c)} {
			tried++
			if err := w.raw.Do(t.Context(), http.MethodPut, path, body, nil); err == nil || asWire(err) == nil || asWire(err).Status >= 500 {
				t.Errorf("by %s at %s: %v", r.By, path, err)
			}
		}
	}
	if w.says(c).State != certs.StatusGood || w.listed(c) {
		t.Error("it was revoked")
	}
	t.Logf("owned front, revocations: %d tried, 0 done", tried)
}

// TestEmergencyWithoutTheFront: with the front switched off, and the sam and itsme too, two operators revoke at the ca's own
// socket, and whoever reads the ca's files finds it.
func TestEmergencyWithoutTheFront(t *testing.T) {
	w := newWorld(t)
	c := w.issued()
	must(t, w.role.Close())
	w.keys.down = true
	w.front, w.sam, w.raw = nil, nil, nil
	w.role = got(authority.New(t.Context(), w.cfg, w.dependencies()))(t)
	t.Cleanup(func() { _ = w.role.Close() })
	dir := t.TempDir()
	l := got(wire.Listen(dir+"/o", 0o600))(t)
	srv := wire.Server(w.role.OperatorHandler(), wire.Peers{})
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	desk := ca.NewOperatorClient(dir+"/o", 5*time.Second)
	out := got(desk.Revoke(t.Context(), w.approved(serialOf(c), 1, 2)))(t)
	list := got(x509.ParseRevocationList(w.crlBytes()))(t)
	if len(list.RevokedCertificateEntries) != 1 || !list.RevokedCertificateEntries[0].RevocationTime.Equal(out.At) {
		t.Errorf("%+v", list.RevokedCertificateEntries)
	}
}

// TestTheCallIsSentOnce: the sam's and the operators' clients do not repeat a revocation whose reply was lost; asking again is theirs.
func TestTheCallIsSentOnce(t *testing.T) {
	arrivals := 0
	dir := t.TempDir()
	l := got(net.Listen("unix", dir+"/s"))(t)
	srv := &httptest.Server{Listener: l, Config: &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		arrivals++
		panic(http.ErrAbortHandler)
	})}}
	srv.Start()
	defer srv.Close()
	if _, err := ca.NewStatusClient(dir+"/s", time.Second).Revoke(context.WithoutCancel(t.Context()), bySAM("40", 0)); err == nil || arrivals != 1 {
		t.Errorf("%d arrivals: %v", arrivals, err)
	}
}
