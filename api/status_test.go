package api_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tekend/certs"
	"tekend/wire"
)

const (
	ocspQuery  = "application/ocsp-request"
	ocspAnswer = "application/ocsp-response"
)

// authority is a CA that signs its own status, behind the socket of the ca.
type authority struct {
	t      testing.TB
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	asked  atomic.Int64  // how often the key holder was reached
	down   atomic.Bool   // it answers with a fault
	life   time.Duration // of an answer
	mu     sync.Mutex
	crl    []byte
	answer func(der []byte) []byte // changes an answer on its way; nil: not
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "status"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature, SubjectKeyId: []byte{1, 2, 3},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t: t, cert: cert, key: key, life: time.Minute}
}

// serve puts it behind the desk.
func (a *authority) serve(d *desk) {
	role(a.t, d.dir, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case a.down.Load():
			wire.Fail(w, &wire.Error{Status: 503, Code: "clock", Detail: "told by the role"})
		case r.URL.Path == "/v1/ocsp":
			a.asked.Add(1)
			query, _ := io.ReadAll(r.Body)
			w.Header().Set("Content-Type", ocspAnswer)
			_, _ = w.Write(a.status(query))
		case r.URL.Path == "/v1/published/crl/issuing-ca.crl":
			a.mu.Lock()
			defer a.mu.Unlock()
			w.Header().Set("Content-Type", "application/pkix-crl")
			_, _ = w.Write(a.crl)
		default:
			wire.Fail(w, &wire.Error{Status: 404, Code: "not_found", Detail: "no such file"})
		}
	}))
}

func (a *authority) status(query []byte) []byte {
	req, err := certs.ParseOCSPRequest(query)
	if err != nil {
		a.t.Errorf("the ca got what is not a request: %v", err)
		return certs.OCSPErrorResponse(certs.OCSPMalformed)
	}
	var singles []certs.SingleStatus
	now := time.Now()
	for _, id := range req.IDs {
		singles = append(singles, certs.SingleStatus{ID: id, State: certs.StatusGood, ThisUpdate: now, NextUpdate: now.Add(a.life)})
	}
	der, err := certs.OCSPResponder{Cert: a.cert, Signer: a.key, Issuer: a.cert}.Answer(singles, now, req.Nonce)
	if err != nil {
		a.t.Error(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.answer != nil {
		der = a.answer(der)
	}
	return der
}

func (a *authority) query(serial int64, nonce []byte) []byte {
	a.t.Helper()
	id, err := certs.IDOf(&x509.Certificate{SerialNumber: big.NewInt(serial), RawIssuer: a.cert.RawSubject}, a.cert, crypto.SHA1)
	if err != nil {
		a.t.Fatal(err)
	}
	q, err := certs.EncodeOCSPRequest([]certs.CertID{id}, nonce)
	if err != nil {
		a.t.Fatal(err)
	}
	return q
}

// good reads an answer and verifies it.
func (a *authority) good(got answer) *certs.OCSPResponse {
	a.t.Helper()
	r, err := certs.ParseOCSPResponse(got.body)
	if err != nil {
		a.t.Fatalf("%d %s: %v", got.status, got.body, err)
	}
	if err := r.Verify(a.cert, time.Now()); err != nil || got.header.Get("Content-Type") != ocspAnswer {
		a.t.Fatalf("%v %s", err, got.header.Get("Content-Type"))
	}
	return r
}

func TestOCSPIsRelayedByPOSTAndGET(t *testing.T) {
	d := open(t, nil)
	a := newAuthority(t)
	q := a.query(1, nil)
	d.post("/pki/ocsp", ocspQuery, string(q)).problem(t, "ca_unavailable", 503) // nobody listens
	a.serve(d)
	first := d.post("/pki/ocsp", ocspQuery, string(q))
	a.good(first)
	plain := base64.StdEncoding.EncodeToString(q)
	for name, path := range map[string]string{
		"as it is": plain, "percent-encoded": url.PathEscape(plain), "all encoded": url.QueryEscape(plain), "without filling": strings.TrimRight(plain, "="),
	} {
		got := d.get("/pki/ocsp/" + path)
		if !bytes.Equal(got.body, first.body) {
			t.Errorf("%s: another answer than by POST: %d %v", name, got.status, got.header)
		}
	}
	if n := a.asked.Load(); n != 1 {
		t.Errorf("the ca was asked %d times for one answer without nonce", n)
	}
}

// TestOCSPAnswersSayHowLongTheyMayBeKept (RFC 5019 §6.2), and never longer than a revocation may be hidden.
func TestOCSPAnswersSayHowLongTheyMayBeKept(t *testing.T) {
	d := open(t, nil)
	a := newAuthority(t)
	a.serve(d)
	at := "/pki/ocsp/" + url.PathEscape(base64.StdEncoding.EncodeToString(a.query(1, nil)))
	got := d.get(at)
	s := a.good(got).Singles[0]
	if c := got.header.Get("Cache-Control"); c != "max-age=30, public, no-transform, must-revalidate" {
		t.Errorf("Cache-Control %q", c)
	}
	if m, e := got.header.Get("Last-Modified"), got.header.Get("Expires"); m != s.ThisUpdate.UTC().Format(http.TimeFormat) || e != s.NextUpdate.UTC().Format(http.TimeFormat) {
		t.Errorf("Last-Modified %q, Expires %q, answer %v to %v", m, e, s.ThisUpdate, s.NextUpdate)
	}
	tag := got.header.Get("ETag")
	for _, header := range [][]string{{"If-None-Match", tag}, {"If-None-Match", `"x", W/` + tag}, {"If-Modified-Since", got.header.Get("Last-Modified")}} {
		if again := d.get(at, header...); again.status != http.StatusNotModified || len(again.body) != 0 || again.header.Get("ETag") != tag {
			t.Errorf("%v: %d", header, again.status)
		}
	}
	if again := d.get(at, "If-None-Match", `"other"`, "If-Modified-Since", got.header.Get("Last-Modified")); again.status != 200 {
		t.Errorf("another tag: %d", again.status)
	}
	nonce := d.post("/pki/ocsp", ocspQuery, string(a.query(1, []byte("0123456789abcdef"))))
	if r := a.good(nonce); string(r.Nonce) != "0123456789abcdef" || nonce.header.Get("Cache-Control") != "no-store" || nonce.header.Get("ETag") != "" {
		t.Errorf("with a nonce: %q %v", r.Nonce, nonce.header)
	}
}

// TestOCSPIsAnsweredWhileTheCAIsAway, from what was said before and until its nextUpdate.
func TestOCSPIsAnsweredWhileTheCAIsAway(t *testing.T) {
	var ahead atomic.Int64 // the front's clock is so far ahead
	d := open(t, func(s *setup) {
		s.api.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	a := newAuthority(t)
	a.serve(d)
	q := string(a.query(1, nil))
	a.good(d.post("/pki/ocsp", ocspQuery, q))
	a.down.Store(true)
	ahead.Store(int64(20 * time.Second)) // the ca would be asked again
	if got := d.post("/pki/ocsp", ocspQuery, q); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
	ahead.Store(int64(50 * time.Second))
	if got := d.post("/pki/ocsp", ocspQuery, q); !strings.HasPrefix(got.header.Get("Cache-Control"), "max-age=9,") && !strings.HasPrefix(got.header.Get("Cache-Control"), "max-age=8,") {
		t.Errorf("near its end: %q", got.header.Get("Cache-Control"))
	}
	ahead.Store(int64(61 * time.Second))
	d.post("/pki/ocsp", ocspQuery, q).problem(t, "ca_unavailable", 503)
	d.post("/pki/ocsp", ocspQuery, string(a.query(2, nil))).problem(t, "ca_unavailable", 503)
	d.post("/pki/ocsp", ocspQuery, string(a.query(1, []byte("nonce")))).problem(t, "ca_unavailable", 503)
	if !strings.Contains(d.log.String(), "told by the role") || !strings.Contains(d.log.String(), "from before") {
		t.Error("the log does not say why")
	}
	a.down.Store(false)
	ahead.Store(0)
	a.good(d.post("/pki/ocsp", ocspQuery, q))
}

// TestManyReadersReachTheCAOnce: those who come at the same time wait for one answer.
func TestManyReadersReachTheCAOnce(t *testing.T) {
	d := open(t, nil)
	a := newAuthority(t)
	a.serve(d)
	q := string(a.query(7, nil))
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got := d.post("/pki/ocsp", ocspQuery, q); got.status != 200 {
				t.Errorf("%d", got.status)
			}
		})
	}
	wg.Wait()
	if n := a.asked.Load(); n != 1 {
		t.Errorf("20 readers reached the ca %d times", n)
	}
}

// TestWhatIsNoOCSPRequestGetsTheProtocolsAnswer, and reaches nobody.
func TestWhatIsNoOCSPRequestGetsTheProtocolsAnswer(t *testing.T) {
	d := open(t, nil)
	a := newAuthority(t)
	a.serve(d)
	malformed := certs.OCSPErrorResponse(certs.OCSPMalformed)
	q := a.query(1, nil)
	huge := strings.Repeat("x", certs.MaxOCSPRequest+1)
	for name, body := range map[string]string{"empty": "", "letters": secret, "cut": string(q[:len(q)-1]), "more behind it": string(q) + "x", "huge": huge} {
		got := d.post("/pki/ocsp", ocspQuery, body)
		if got.status != 200 || got.header.Get("Cache-Control") != "no-store" || !bytes.Equal(got.body, malformed) || got.header.Get("Content-Type") != ocspAnswer {
			t.Errorf("%s: %d %v %x", name, got.status, got.header, got.body)
		}
	}
	endlessly := d.request(http.MethodPost, "/pki/ocsp", &endless{1 << 20}, "Content-Type", ocspQuery)
	if got := d.do(endlessly); !bytes.Equal(got.body, malformed) {
		t.Errorf("endless: %d %s", got.status, got.body)
	}
	for name, path := range map[string]string{
		"no base64": "%3F%3F", "letters": "abc", "slashes": "//////", "other characters": "MEI!", "huge": base64.StdEncoding.EncodeToString([]byte(huge)),
	} {
		if got := d.get("/pki/ocsp/" + path); got.status != 200 || !bytes.Equal(got.body, malformed) {
			t.Errorf("GET %s: %d %s", name, got.status, got.body)
		}
	}
	d.post("/pki/ocsp", "application/octet-stream", string(q)).problem(t, "unsupported_media_type", 415)
	d.get("/pki/ocsp").problem(t, "method_not_allowed", 405)
	d.get("/pki/ocsp/"+strings.Repeat("A", 24577)).problem(t, "not_found", 404)
	if n := a.asked.Load(); n != 0 {
		t.Errorf("the ca was reached %d times", n)
	}
}

// TestAnAnswerAboutAnotherCertificateIsNotKept, nor handed on: a relay that mixed them up would be as bad as a forger.
func TestAnAnswerAboutAnotherCertificateIsNotKept(t *testing.T) {
	d := open(t, nil)
	a := newAuthority(t)
	a.serve(d)
	other := a.good(d.post("/pki/ocsp", ocspQuery, string(a.query(2, nil))))
	otherDER := d.post("/pki/ocsp", ocspQuery, string(a.query(2, nil))).body
	if len(other.Singles) != 1 {
		t.Fatal("no answer")
	}
	change := func(f func([]byte) []byte) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.answer = f
	}
	q := string(a.query(1, nil))
	change(func([]byte) []byte { return otherDER })
	d.post("/pki/ocsp", ocspQuery, q).problem(t, "ca_unavailable", 503)
	change(func([]byte) []byte { return []byte("not DER") })
	d.post("/pki/ocsp", ocspQuery, q).problem(t, "ca_unavailable", 503)
	change(func([]byte) []byte { return certs.OCSPErrorResponse(certs.OCSPTryLater) })
	got := d.post("/pki/ocsp", ocspQuery, q)
	if got.status != 200 || !bytes.Equal(got.body, certs.OCSPErrorResponse(certs.OCSPTryLater)) || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("tryLater: %d %v", got.status, got.header)
	}
	change(nil)
	a.good(d.post("/pki/ocsp", ocspQuery, q))
}

func (a *authority) publish(number int64, entries int, next time.Time) []byte {
	a.t.Helper()
	template := &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: next}
	for i := range entries {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: big.NewInt(int64(i + 1)), RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, a.cert, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.crl = der
	return der
}

func TestCRLsAreRelayedAsAStream(t *testing.T) {
	d := open(t, func(s *setup) { s.api.IdleTimeout = time.Minute })
	a := newAuthority(t)
	a.serve(d)
	empty := a.publish(1, 0, time.Now().Add(12*time.Hour))
	if got := d.get("/pki/crl/issuing-ca.crl"); !bytes.Equal(got.body, empty) {
		t.Errorf("empty: %d", got.status)
	}
	large := a.publish(2, 100_000, time.Now().Add(12*time.Hour)) // 3.5 MB
	got := d.get("/pki/crl/issuing-ca.crl")
	if !bytes.Equal(got.body, large) || got.header.Get("Content-Type") != "application/pkix-crl" {
		t.Fatalf("%d bytes of %d, %v", len(got.body), len(large), got.header)
	}
	list, err := x509.ParseRevocationList(large)
	if err != nil {
		t.Fatal(err)
	}
	if c, m, e := got.header.Get("Cache-Control"), got.header.Get("Last-Modified"), got.header.Get("Expires"); c != "max-age=30, public, no-transform, must-revalidate" ||
		m != list.ThisUpdate.Format(http.TimeFormat) || e != list.NextUpdate.Format(http.TimeFormat) {
		t.Errorf("%q %q %q", c, m, e)
	}
	tag := got.header.Get("ETag")
	if again := d.get("/pki/crl/issuing-ca.crl", "If-None-Match", tag); again.status != http.StatusNotModified || len(again.body) != 0 {
		t.Errorf("the same list: %d, %d bytes", again.status, len(again.body))
	}
	a.publish(3, 100_001, time.Now().Add(12*time.Hour))
	if again := d.get("/pki/crl/issuing-ca.crl", "If-None-Match", tag); again.status != 200 {
		t.Errorf("a new list: %d", again.status)
	}
	last := a.publish(4, 3, time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC))
	if got := d.get("/pki/crl/issuing-ca.crl"); !bytes.Equal(got.body, last) || got.header.Get("Expires") != "Fri, 31 Dec 9999 23:59:59 GMT" {
		t.Errorf("the last list: %d %v", got.status, got.header)
	}
	a.publish(5, 3, time.Now().Add(-time.Second))
	if got := d.get("/pki/crl/issuing-ca.crl"); got.status != 200 || !strings.HasPrefix(got.header.Get("Cache-Control"), "max-age=0,") {
		t.Errorf("an overdue list: %d %v", got.status, got.header)
	}
	a.mu.Lock()
	a.crl = []byte("<html>")
	a.mu.Unlock()
	d.get("/pki/crl/issuing-ca.crl").problem(t, "ca_unavailable", 503)
	d.get("/pki/crl/other.crl").problem(t, "not_found", 404)
}
