package certs

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// ocspWorld is an issuing CA with a person and a delegated responder.
type ocspWorld struct {
	*pki
	leaf *x509.Certificate
	by   OCSPResponder
	key  *counting
}

func newOCSPWorld(t testing.TB) *ocspWorld {
	t.Helper()
	w := &ocspWorld{pki: newPKI(t, nil, nil)}
	w.leaf = w.person(t, ecKey(t, p256).Public())
	w.key = &counting{Signer: ecKey(t, p256)}
	der, err := Issue(Issuer{w.issuing, w.caKey}, w.responderOrder(w.key.Public()))
	if err != nil {
		t.Fatal(err)
	}
	w.by = OCSPResponder{Cert: parse(t, der), Signer: w.key, Issuer: w.issuing}
	return w
}

func (w *ocspWorld) id(t testing.TB, hash crypto.Hash) CertID {
	t.Helper()
	id, err := IDOf(w.leaf, w.issuing, hash)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// good is a status of the leaf.
func (w *ocspWorld) good(t testing.TB) SingleStatus {
	return SingleStatus{ID: w.id(t, crypto.SHA1), State: StatusGood, ThisUpdate: w.now, NextUpdate: w.now.Add(time.Hour), ArchiveCutoff: w.issuing.NotBefore}
}

func TestOCSPAnswer(t *testing.T) {
	w := newOCSPWorld(t)
	nonce := bytes.Repeat([]byte{7}, 32)
	other := w.good(t)
	other.ID, other.State = w.id(t, crypto.SHA256), StatusRevoked
	other.RevokedAt, other.Reason = w.now.Add(-time.Hour), 4
	third := w.good(t)
	third.ID, third.State, third.ArchiveCutoff = w.id(t, crypto.SHA384), StatusUnknown, time.Time{}
	der, err := w.by.Answer([]SingleStatus{w.good(t), other, third}, w.now, nonce)
	if err != nil {
		t.Fatal(err)
	}
	if n := w.key.n.Load(); n != 1 {
		t.Errorf("%d signatures", n)
	}
	r, err := ParseOCSPResponse(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Verify(w.issuing, w.now); err != nil {
		t.Error(err)
	}
	second := w.now.UTC().Truncate(time.Second)
	if len(r.Singles) != 3 || !bytes.Equal(r.Nonce, nonce) || !r.ProducedAt.Equal(second) || len(r.Certificates) != 1 {
		t.Fatalf("%+v", r)
	}
	a, b, c := r.Singles[0], r.Singles[1], r.Singles[2]
	if a.State != StatusGood || !a.ThisUpdate.Equal(second) || !a.NextUpdate.Equal(second.Add(time.Hour)) || !a.ArchiveCutoff.Equal(w.issuing.NotBefore) {
		t.Errorf("good: %+v", a)
	}
	if b.State != StatusRevoked || !b.RevokedAt.Equal(second.Add(-time.Hour)) || b.Reason != 4 || b.ID.Hash != crypto.SHA256 {
		t.Errorf("revoked: %+v", b)
	}
	if c.State != StatusUnknown || !c.ArchiveCutoff.IsZero() {
		t.Errorf("unknown: %+v", c)
	}
	for want, s := range map[string]CertState{"good": StatusGood, "revoked": StatusRevoked, "unknown": StatusUnknown} {
		if s.String() != want {
			t.Errorf("%v is not %s", s, want)
		}
	}
	if _, ok := r.For(w.leaf, w.issuing); ok {
		t.Error("three statements about one certificate are taken for one")
	}
}

func TestOCSPFor(t *testing.T) {
	w := newOCSPWorld(t)
	der, err := w.by.Answer([]SingleStatus{w.good(t)}, w.now, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := ParseOCSPResponse(der)
	if err != nil {
		t.Fatal(err)
	}
	if s, ok := r.For(w.leaf, w.issuing); !ok || s.State != StatusGood {
		t.Errorf("%+v %v", s, ok)
	}
	if _, ok := r.For(w.by.Cert, w.issuing); ok {
		t.Error("it speaks of another certificate")
	}
	if _, ok := r.For(w.leaf, w.root); ok {
		t.Error("it speaks of another CA's certificate")
	}
	if r.Nonce != nil {
		t.Error("a nonce from nowhere")
	}
}

func TestCertIDIsOfItsIssuer(t *testing.T) {
	w := newOCSPWorld(t)
	for _, h := range []crypto.Hash{crypto.SHA1, crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		id := w.id(t, h)
		if !id.Of(w.issuing) || id.Of(w.root) {
			t.Errorf("%v", h)
		}
		id.NameHash = append([]byte{}, id.NameHash...)
		id.NameHash[0] ^= 1
		if id.Of(w.issuing) {
			t.Errorf("%v: another name", h)
		}
	}
	if (CertID{}).Of(w.issuing) {
		t.Error("the zero id is of an issuer")
	}
	if _, err := IDOf(w.leaf, w.issuing, crypto.MD5); err == nil {
		t.Error("MD5 is taken")
	}
}

func TestOCSPRequestRoundTrip(t *testing.T) {
	w := newOCSPWorld(t)
	for _, nonce := range [][]byte{nil, {1}, bytes.Repeat([]byte{9}, 128)} {
		der, err := EncodeOCSPRequest([]CertID{w.id(t, crypto.SHA1), w.id(t, crypto.SHA512)}, nonce)
		if err != nil {
			t.Fatal(err)
		}
		r, err := ParseOCSPRequest(der)
		if err != nil || len(r.IDs) != 2 || !bytes.Equal(r.Nonce, nonce) || !r.IDs[1].Of(w.issuing) || r.IDs[0].Serial.Cmp(w.leaf.SerialNumber) != 0 {
			t.Errorf("%v %+v", err, r)
		}
	}
	many := make([]CertID, MaxOCSPSingles+1)
	for i := range many {
		many[i] = w.id(t, crypto.SHA1)
	}
	if _, err := EncodeOCSPRequest(many, nil); err == nil {
		t.Error("21 certificates are asked for")
	}
	if der, err := EncodeOCSPRequest(many[:MaxOCSPSingles], bytes.Repeat([]byte{1}, MaxOCSPNonce)); err != nil || len(der) > MaxOCSPRequest {
		t.Errorf("%v, %d bytes", err, len(der))
	}
	if _, err := EncodeOCSPRequest(nil, nil); err == nil {
		t.Error("nothing is asked for")
	}
	if _, err := EncodeOCSPRequest(many[:1], make([]byte, 129)); err == nil {
		t.Error("a nonce of 129 octets")
	}
}

// sequence wraps DER values, tag by tag.
func tlv(tag byte, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	return append(header(tag, int64(len(body))), body...)
}

// requestOf builds a request of parts: the list, and what stands in the TBS
// before and behind it.
func requestOf(before, list, behind, signature []byte) []byte {
	return tlv(0x30, tlv(0x30, before, tlv(0x30, list), behind), signature)
}

func ext(oid []int, crit bool, value []byte) []byte {
	e, err := newExtension(oid, crit, func(b *cryptobyte.Builder) { b.AddBytes(value) })
	if err != nil {
		return nil
	}
	var b cryptobyte.Builder
	e.encode(&b)
	return b.BytesOrPanic()
}

// TestMalformedOCSPRequests: each is refused in the protocol's own words, and
// nothing that the client sent stands in the error.
func TestMalformedOCSPRequests(t *testing.T) {
	w := newOCSPWorld(t)
	id := w.id(t, crypto.SHA1)
	one := tlv(0x30, id.DER)
	tagged := func(tag byte, list ...[]byte) []byte { return tlv(tag, tlv(0x30, list...)) }
	nonce := func(n int) []byte { return ext(oidOCSPNonce, false, tlv(4, make([]byte, n))) }
	serial := func(n int) []byte {
		return tlv(0x30, tlv(0x30, tlv(0x30, tlv(6, mustHex(t, "2b0e03021a"))), tlv(4, id.NameHash), tlv(4, id.KeyHash), tlv(2, append([]byte{1}, make([]byte, n-1)...))))
	}
	for name, der := range map[string][]byte{
		"nothing":                     {},
		"a byte":                      {0x30},
		"an indefinite length":        {0x30, 0x80, 0, 0},
		"a length in the long form":   {0x30, 0x81, 2, 0x30, 0},
		"a huge length":               {0x30, 0x84, 0xff, 0xff, 0xff, 0xff},
		"text":                        []byte("GET / HTTP/1.1"),
		"no certificate":              requestOf(nil, nil, nil, nil),
		"a byte behind it":            append(requestOf(nil, one, nil, nil), 0),
		"version 2":                   requestOf([]byte{0xa0, 3, 2, 1, 1}, one, nil, nil),
		"a field that is not there":   requestOf(nil, one, []byte{0xa3, 2, 0x30, 0}, nil),
		"a signature that is none":    requestOf(nil, one, nil, []byte{0xa0, 2, 4, 0}),
		"two signatures":              requestOf(nil, one, nil, []byte{0xa0, 4, 0x30, 0, 0x30, 0}),
		"21 certificates":             requestOf(nil, bytes.Repeat(one, 21), nil, nil),
		"too long":                    requestOf(nil, one, tagged(0xa2, ext([]int{1, 2, 3}, false, make([]byte, MaxOCSPRequest))), nil),
		"a nonce of no octets":        requestOf(nil, one, tagged(0xa2, nonce(0)), nil),
		"a nonce of 129 octets":       requestOf(nil, one, tagged(0xa2, nonce(129)), nil),
		"a nonce that is no string":   requestOf(nil, one, tagged(0xa2, ext(oidOCSPNonce, false, []byte{5, 0})), nil),
		"a nonce with more behind":    requestOf(nil, one, tagged(0xa2, ext(oidOCSPNonce, false, []byte{4, 1, 1, 0})), nil),
		"two nonces":                  requestOf(nil, one, tagged(0xa2, nonce(8), nonce(8)), nil),
		"an unknown critical one":     requestOf(nil, one, tagged(0xa2, ext([]int{1, 2, 3}, true, []byte{5, 0})), nil),
		"17 extensions":               requestOf(nil, one, tagged(0xa2, manyExtensions(17)), nil),
		"no extensions in their list": requestOf(nil, one, tagged(0xa2), nil),
		"critical in a single one":    requestOf(nil, tlv(0x30, id.DER, tagged(0xa0, ext([]int{1, 2, 3}, true, []byte{5, 0}))), nil, nil),
		"more in a single one":        requestOf(nil, tlv(0x30, id.DER, []byte{5, 0}), nil, nil),
		"a serial of 21 octets":       requestOf(nil, serial(21), nil, nil),
		"a serial with a zero before": requestOf(nil, bytes.Replace(one, tlv(2, id.Serial.Bytes()), tlv(2, append([]byte{0, 1}, id.Serial.Bytes()[2:]...)), 1), nil, nil),
		"SHA-1 of 19 octets": requestOf(nil, tlv(0x30, tlv(0x30, tlv(0x30, tlv(6, mustHex(t, "2b0e03021a"))), tlv(4, id.NameHash[1:]), tlv(4, id.KeyHash),
			tlv(2, []byte{1}))), nil, nil),
		"parameters of a digest": requestOf(nil, tlv(0x30, tlv(0x30, tlv(0x30, tlv(6, mustHex(t, "2b0e03021a")), []byte{2, 1, 1}), tlv(4, id.NameHash), tlv(4, id.KeyHash),
			tlv(2, []byte{1}))), nil, nil),
	} {
		r, err := ParseOCSPRequest(der)
		e, ok := errors.AsType[*OCSPError](err)
		if !ok || e.Status != OCSPMalformed || r != nil || e.Reason == "" {
			t.Errorf("%s: %v %+v", name, err, r)
		}
	}
}

func manyExtensions(n int) []byte {
	var all []byte
	for i := range n {
		all = append(all, ext([]int{1, 2, 3, i}, false, []byte{5, 0})...)
	}
	return all
}

// TestOCSPRequestsThatAreWelcome: what clients send besides the plain thing.
func TestOCSPRequestsThatAreWelcome(t *testing.T) {
	w := newOCSPWorld(t)
	id := w.id(t, crypto.SHA1)
	one := tlv(0x30, id.DER)
	unknown := tlv(0x30, tlv(0x30, tlv(0x30, tlv(6, mustHex(t, "2a864886f70d0205"))), tlv(4, make([]byte, 16)), tlv(4, make([]byte, 16)), tlv(2, []byte{1})))
	for name, der := range map[string][]byte{
		"version written out":        requestOf([]byte{0xa0, 3, 2, 1, 0}, one, nil, nil),
		"a requestor's name":         requestOf([]byte{0xa1, 4, 0x82, 2, 'a', 'b'}, one, nil, nil),
		"signed":                     requestOf(nil, one, nil, []byte{0xa0, 2, 0x30, 0}),
		"unknown, not critical":      requestOf(nil, one, tlv(0xa2, tlv(0x30, ext([]int{1, 2, 3}, false, []byte{5, 0}))), nil),
		"a critical nonce":           requestOf(nil, one, tlv(0xa2, tlv(0x30, ext(oidOCSPNonce, true, []byte{4, 1, 7}))), nil),
		"MD5, which names no issuer": requestOf(nil, unknown, nil, nil),
	} {
		r, err := ParseOCSPRequest(der)
		if err != nil || len(r.IDs) != 1 {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if md5 := strings.HasPrefix(name, "MD5"); r.IDs[0].Of(w.issuing) == md5 {
			t.Errorf("%s: of the issuer is %v", name, !md5)
		}
	}
}

func TestOCSPErrorResponses(t *testing.T) {
	for _, s := range []OCSPResponseStatus{OCSPMalformed, OCSPInternal, OCSPTryLater, OCSPUnauthorized} {
		_, err := ParseOCSPResponse(OCSPErrorResponse(s))
		if e, ok := errors.AsType[*OCSPError](err); !ok || e.Status != s || !strings.Contains(e.Error(), fmt.Sprint(int(s))) {
			t.Errorf("%d: %v", s, err)
		}
	}
}

// TestAnswersThatAreNotGiven: nothing is signed for a statement that RFC 6960
// has no words for.
func TestAnswersThatAreNotGiven(t *testing.T) {
	w := newOCSPWorld(t)
	change := func(f func(s *SingleStatus)) []SingleStatus {
		s := w.good(t)
		f(&s)
		return []SingleStatus{s}
	}
	for name, singles := range map[string][]SingleStatus{
		"no certificate":     nil,
		"no id":              change(func(s *SingleStatus) { s.ID.DER = nil }),
		"no next update":     change(func(s *SingleStatus) { s.NextUpdate = time.Time{} }),
		"next before this":   change(func(s *SingleStatus) { s.NextUpdate = s.ThisUpdate }),
		"revoked at no time": change(func(s *SingleStatus) { s.State = StatusRevoked }),
		"on hold":            change(func(s *SingleStatus) { s.State, s.RevokedAt, s.Reason = StatusRevoked, w.now, 6 }),
		"another CA's":       change(func(s *SingleStatus) { s.ID = must(IDOf(w.issuing, w.root, crypto.SHA1)) }),
	} {
		before := w.key.n.Load()
		der, err := w.by.Answer(singles, w.now, nil)
		if err == nil {
			t.Errorf("%s: %x", name, der)
		}
		if n := w.key.n.Load() - before; n != 0 && name != "another CA's" {
			t.Errorf("%s: %d signatures", name, n)
		}
	}
	other := w.by
	other.Signer = ecKey(t, p256)
	if _, err := other.Answer([]SingleStatus{w.good(t)}, w.now, nil); err == nil {
		t.Error("another key answers")
	}
	other.Signer = &pretender{ecKey(t, p256), w.key.Public()}
	if _, err := other.Answer([]SingleStatus{w.good(t)}, w.now, nil); err == nil {
		t.Error("a wrong value leaves")
	}
	if _, err := w.by.Answer([]SingleStatus{w.good(t)}, w.now.AddDate(0, 0, 31), nil); err == nil {
		t.Error("a responder answers after its certificate")
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestAnswersThatDoNotCount: forged and misdirected answers, each signed.
func TestAnswersThatDoNotCount(t *testing.T) {
	w := newOCSPWorld(t)
	forger := newOCSPWorld(t) // the same names, other keys
	answer := func(by OCSPResponder, at time.Time) *OCSPResponse {
		data, err := by.responseData([]SingleStatus{w.good(t)}, at, nil)
		if err != nil {
			t.Fatal(err)
		}
		alg := must(signingAlgorithm(by.Cert.PublicKey))
		r, err := ParseOCSPResponse(must(by.wrap(data, alg, must(signDigest(by.Signer, alg, data)))))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	issueAs := func(o Order, by Issuer, change func(*layout)) *x509.Certificate {
		l, err := newLayout(by.Cert, o)
		if err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(l)
		}
		tbs := must(l.encode())
		return parse(t, must(assemble(tbs, l.sig, must(signDigest(by.Signer, l.sig, tbs)))))
	}
	ca := Issuer{w.issuing, w.caKey.Signer}
	as := func(c *x509.Certificate) OCSPResponder { return OCSPResponder{c, w.key.Signer, w.issuing} }
	order := w.responderOrder(w.key.Public())
	leafKey := ecKey(t, p256)
	for name, r := range map[string]*OCSPResponse{
		"by a responder of another CA": answer(OCSPResponder{forger.by.Cert, forger.key.Signer, w.issuing}, w.now),
		"by another CA of this name":   answer(OCSPResponder{forger.issuing, forger.caKey.Signer, forger.issuing}, w.now),
		"by a person of this CA":       answer(OCSPResponder{w.person(t, leafKey.Public()), leafKey, w.issuing}, w.now),
		"by one for time-stamping":     answer(as(issueAs(order, ca, replace(oidExtEKU, false, oidSequence(oidEKUTimeStamping)))), w.now),
		"by one without nocheck":       answer(as(issueAs(order, ca, drop(oidExtOCSPNoCheck))), w.now),
		"by one that may not sign":     answer(as(issueAs(order, ca, withUsage(keyCertSign))), w.now),
		"with a critical stranger":     answer(as(issueAs(order, ca, raw([]int{1, 2, 3}, true, []byte{5, 0}))), w.now),
		"by one that has expired": answer(as(issueAs(order, ca, func(l *layout) {
			l.notBefore, l.notAfter = w.now.Add(-2*time.Hour), w.now.Add(-time.Hour)
		})), w.now),
		"by one issued by the root": answer(as(issueAs(order, Issuer{w.root, w.rootKey.Signer}, nil)), w.now),
	} {
		if err := r.Verify(w.issuing, w.now); err == nil {
			t.Errorf("%s: it counts", name)
		}
	}
	r := answer(w.by, w.now)
	if err := r.Verify(w.issuing, w.now); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(r *OCSPResponse){
		"other statements":         func(r *OCSPResponse) { r.data = append([]byte{}, r.data...); r.data[len(r.data)-1] ^= 1 },
		"another value":            func(r *OCSPResponse) { r.signature = append([]byte{}, r.signature...); r.signature[9] ^= 1 },
		"an algorithm not known":   func(r *OCSPResponse) { r.algorithm = x509.UnknownSignatureAlgorithm },
		"no responder certificate": func(r *OCSPResponse) { r.Certificates = nil },
	} {
		forged := *r
		change(&forged)
		if err := forged.Verify(w.issuing, w.now); err == nil {
			t.Errorf("%s: it counts", name)
		}
	}
}

// TestTheIssuerAnswersItself: without delegation, and with keys of every kind.
func TestTheIssuerAnswersItself(t *testing.T) {
	for name, key := range map[string]crypto.Signer{"P-256": ecKey(t, p256), "P-384": ecKey(t, elliptic.P384()), "RSA-3072": rsaKey(t)} {
		p := newPKI(t, nil, key)
		leaf := p.person(t, ecKey(t, p256).Public())
		by := OCSPResponder{p.issuing, p.caKey, p.issuing}
		der, err := by.Answer([]SingleStatus{{ID: must(IDOf(leaf, p.issuing, crypto.SHA1)), State: StatusGood, ThisUpdate: p.now, NextUpdate: p.now.Add(time.Hour)}}, p.now, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if r := must(ParseOCSPResponse(der)); len(r.Certificates) != 0 || r.Verify(p.issuing, p.now) != nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// TestOpenSSLReadsOurAnswers: good, revoked and unknown, with and without
// nonce, and what the request of openssl asks is what we read.
func TestOpenSSLReadsOurAnswers(t *testing.T) {
	w := newOCSPWorld(t)
	dir := t.TempDir()
	root := writePEM(t, dir+"/root.pem", "CERTIFICATE", w.root.Raw)
	issuing := writePEM(t, dir+"/ca.pem", "CERTIFICATE", w.issuing.Raw)
	leaf := writePEM(t, dir+"/leaf.pem", "CERTIFICATE", w.leaf.Raw)
	signer := ecKey(t, p256)
	signed := []string{"-signer", writePEM(t, dir+"/signer.pem", "CERTIFICATE", w.person(t, signer.Public()).Raw),
		"-signkey", writePEM(t, dir+"/signer.key", "PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(signer)))}
	for name, tc := range map[string]struct {
		digest []string // before -cert
		more   []string
		state  CertState
		want   string
	}{
		"good, with nonce":       {nil, nil, StatusGood, "Cert Status: good"},
		"revoked":                {nil, nil, StatusRevoked, "Revocation Reason: keyCompromise (0x1)"},
		"unknown, SHA-256":       {[]string{"-sha256"}, nil, StatusUnknown, "Cert Status: unknown"},
		"good, without nonce":    {nil, []string{"-no_nonce"}, StatusGood, "Cert Status: good"},
		"good, a signed request": {nil, signed, StatusGood, "Archive Cutoff"},
	} {
		args := append([]string{"ocsp", "-issuer", issuing}, tc.digest...)
		args = append(append(args, "-cert", leaf, "-reqout", dir+"/req.der"), tc.more...)
		if out, err := openssl(t, args...); err != nil {
			t.Fatalf("%s: %v %s", name, err, out)
		}
		req, err := ParseOCSPRequest(must(os.ReadFile(dir + "/req.der")))
		if err != nil || len(req.IDs) != 1 || !req.IDs[0].Of(w.issuing) || (req.Nonce == nil) != strings.Contains(name, "without") {
			t.Fatalf("%s: %v %+v", name, err, req)
		}
		s := w.good(t)
		s.ID, s.State = req.IDs[0], tc.state
		if tc.state == StatusRevoked {
			s.RevokedAt, s.Reason = w.now.Add(-time.Minute), 1
		}
		der, err := w.by.Answer([]SingleStatus{s}, w.now, req.Nonce)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/resp.der", der, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := openssl(t, "ocsp", "-respin", dir+"/resp.der", "-reqin", dir+"/req.der", "-issuer", issuing, "-CAfile", root, "-verify_other", issuing, "-resp_text")
		if err != nil || !strings.Contains(out, tc.want) || !strings.Contains(out, "Response verify OK") || strings.Contains(out, "Nonce Verify error") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// TestWeReadOpenSSLsAnswers: a responder of openssl's with our certificate.
func TestWeReadOpenSSLsAnswers(t *testing.T) {
	w := newOCSPWorld(t)
	dir := t.TempDir()
	issuing := writePEM(t, dir+"/ca.pem", "CERTIFICATE", w.issuing.Raw)
	rsigner := writePEM(t, dir+"/responder.pem", "CERTIFICATE", w.by.Cert.Raw)
	keyDER := must(x509.MarshalPKCS8PrivateKey(w.key.Signer))
	rkey := writePEM(t, dir+"/responder.key", "PRIVATE KEY", keyDER)
	index := fmt.Sprintf("V\t%s\t\t%X\tunknown\t/CN=x\nR\t%s\t%s,superseded\t%s\tunknown\t/CN=y\n",
		w.leaf.NotAfter.Format("060102150405Z"), w.leaf.SerialNumber, w.leaf.NotAfter.Format("060102150405Z"), w.now.Add(-time.Hour).UTC().Format("060102150405Z"), "4D2A")
	if err := os.WriteFile(dir+"/index", []byte(index), 0o600); err != nil {
		t.Fatal(err)
	}
	revoked := *w.leaf
	revoked.SerialNumber = big.NewInt(0x4d2a)
	nonce := make([]byte, 32)
	if _, err := rand.Read(nonce); err != nil {
		t.Fatal(err)
	}
	query := must(EncodeOCSPRequest([]CertID{w.id(t, crypto.SHA1), must(IDOf(&revoked, w.issuing, crypto.SHA1)), must(IDOf(w.by.Cert, w.issuing, crypto.SHA1))}, nonce))
	if err := os.WriteFile(dir+"/req.der", query, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, id := range [][]string{nil, {"-resp_key_id"}} {
		args := append([]string{"ocsp", "-index", dir + "/index", "-CA", issuing, "-rsigner", rsigner, "-rkey", rkey, "-reqin", dir + "/req.der", "-respout", dir + "/resp.der", "-ndays", "1"}, id...)
		if out, err := openssl(t, args...); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		der, err := os.ReadFile(dir + "/resp.der")
		if err != nil {
			t.Fatal(err)
		}
		r, err := ParseOCSPResponse(der)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Verify(w.issuing, time.Now()); err != nil {
			t.Errorf("%v: %v", id, err)
		}
		if !bytes.Equal(r.Nonce, nonce) || len(r.Singles) != 3 || r.Singles[0].State != StatusGood || r.Singles[1].State != StatusRevoked ||
			r.Singles[1].Reason != 4 || r.Singles[2].State != StatusUnknown || r.Singles[0].NextUpdate.IsZero() {
			t.Errorf("%v: %+v", id, r)
		}
	}
}

func TestMalformedOCSPResponses(t *testing.T) {
	w := newOCSPWorld(t)
	whole := must(w.by.Answer([]SingleStatus{w.good(t)}, w.now, []byte{1}))
	for name, der := range map[string][]byte{
		"nothing":              {},
		"a byte behind it":     append(bytes.Clone(whole), 0),
		"cut":                  whole[:len(whole)-1],
		"successful and empty": OCSPErrorResponse(OCSPSuccessful),
		"an error with more":   {0x30, 5, 0x0a, 1, 6, 5, 0},
		"another type":         bytes.Replace(whole, mustHex(t, "06092b0601050507300101"), mustHex(t, "06092b0601050507300102"), 1),
		"too long":             make([]byte, MaxOCSPResponse+1),
	} {
		if r, err := ParseOCSPResponse(der); err == nil || r != nil {
			t.Errorf("%s is read", name)
		}
	}
}

func FuzzOCSPRequest(f *testing.F) {
	w := newOCSPWorld(f)
	f.Add(must(EncodeOCSPRequest([]CertID{w.id(f, crypto.SHA1)}, []byte{1, 2, 3})))
	f.Add(requestOf([]byte{0xa0, 3, 2, 1, 0}, tlv(0x30, w.id(f, crypto.SHA256).DER), nil, []byte{0xa0, 2, 0x30, 0}))
	f.Fuzz(func(t *testing.T, der []byte) {
		r, err := ParseOCSPRequest(der)
		if err != nil {
			if _, ok := errors.AsType[*OCSPError](err); !ok {
				t.Errorf("not the protocol's error: %v", err)
			}
			return
		}
		if len(r.IDs) == 0 || len(r.IDs) > MaxOCSPSingles || len(r.Nonce) > MaxOCSPNonce {
			t.Errorf("%+v", r)
		}
		// What was read can be asked again, and is then the same.
		again, err := ParseOCSPRequest(must(EncodeOCSPRequest(r.IDs, r.Nonce)))
		if err != nil || len(again.IDs) != len(r.IDs) || !bytes.Equal(again.Nonce, r.Nonce) {
			t.Errorf("%v %+v", err, again)
		}
		for i, id := range r.IDs {
			if !bytes.Equal(id.DER, again.IDs[i].DER) || id.Serial.Cmp(again.IDs[i].Serial) != 0 {
				t.Errorf("id %d", i)
			}
			_ = id.Of(w.issuing)
		}
	})
}

func FuzzOCSPResponse(f *testing.F) {
	w := newOCSPWorld(f)
	whole := must(w.by.Answer([]SingleStatus{w.good(f)}, w.now, []byte{1, 2, 3}))
	f.Add(whole)
	f.Add(OCSPErrorResponse(OCSPTryLater))
	f.Fuzz(func(t *testing.T, der []byte) {
		r, err := ParseOCSPResponse(der)
		if err != nil {
			return
		}
		if len(r.Singles) == 0 || len(r.Singles) > MaxOCSPSingles {
			t.Errorf("%+v", r)
		}
		// Only what the responder signed counts: the whole of it is one value.
		if r.Verify(w.issuing, w.now) == nil && !bytes.Equal(r.data, must(ParseOCSPResponse(whole)).data) {
			t.Errorf("forged: %s", hex.EncodeToString(der))
		}
	})
}

// TestAnswerEncodesNoDefaults: DER leaves out the version and an absent nonce.
func TestAnswerEncodesNoDefaults(t *testing.T) {
	w := newOCSPWorld(t)
	data := cryptobyte.String(must(w.by.responseData([]SingleStatus{w.good(t)}, w.now.UTC(), nil)))
	var body, id cryptobyte.String
	if !data.ReadASN1(&body, cbasn1.SEQUENCE) || !body.ReadASN1(&id, cbasn1.Tag(2).ContextSpecific().Constructed()) {
		t.Fatal("the data does not begin with the responder's key")
	}
	want := must(keyIdentifier(w.by.Cert.RawSubjectPublicKeyInfo))
	if !bytes.Equal(id, tlv(4, want)) {
		t.Errorf("responder id %x", []byte(id))
	}
}
