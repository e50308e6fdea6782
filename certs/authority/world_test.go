package authority_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"tekend/ca"
	"tekend/certs"
	"tekend/certs/authority"
	"tekend/consent"
	"tekend/db/dbtest"
	"tekend/foureyes"
	"tekend/itsme"
	"tekend/itsme/token"
	"tekend/wire"
)

const (
	issuer        = "https://idp.itsme.test/v2"
	identClient   = "TEKEND_IDENT"
	confirmClient = "TEKEND_CONFIRM"
	termsVersion  = "2026-11"
)

var termsSHA256 = b64hash([]byte("the terms"))

func b64hash(b []byte) string {
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// caKey is the issuing CA's key: it counts, fails on demand, and lets a test
// look at the world in the moment of its use.
type caKey struct {
	crypto.Signer
	n      atomic.Int64
	fail   atomic.Bool
	before func()
}

func (k *caKey) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	k.n.Add(1)
	if k.before != nil {
		k.before()
	}
	if k.fail.Load() {
		return nil, errors.New("token: device removed")
	}
	return k.Signer.Sign(r, digest, o)
}

// itsmeKeys are the outside party's keys as its key set would give them.
type itsmeKeys struct {
	mu   sync.Mutex
	keys map[string]*rsa.PublicKey
	down bool
}

// Key is token.Keys.
func (k *itsmeKeys) Key(_ context.Context, kid string) (*jose.JSONWebKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.down {
		return nil, itsme.ErrUnreachable
	}
	pub, ok := k.keys[kid]
	if !ok {
		return nil, token.ErrUnknownKey
	}
	return &jose.JSONWebKey{Key: pub, KeyID: kid, Algorithm: "RS256", Use: "sig"}, nil
}

var itsmeKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// world is one role with everything around it.
type world struct {
	t      testing.TB
	dir    string
	cfg    authority.Config
	clock  atomic.Int64 // nanoseconds
	key    *caKey
	ocsp   *caKey
	keys   *itsmeKeys
	given  token.Keys // what the role is given: keys, or the sandbox's provider
	idpURL string     // itsme's issuer
	idp    *rsa.PrivateKey
	root   *x509.Certificate
	rootCA certs.Issuer
	role   *authority.Role
	front  *ca.Client
	sam    *ca.StatusClient
	desk   *ca.OperatorClient
	raw    *wire.Client

	operators []ed25519.PrivateKey
	previous  map[string]crypto.Signer
}

func (w *world) now() time.Time          { return time.Unix(0, w.clock.Load()) }
func (w *world) advance(d time.Duration) { w.clock.Add(int64(d)) }
func (w *world) path(elem ...string) string {
	return filepath.Join(append([]string{w.dir}, elem...)...)
}
func (w *world) write(name string, b []byte) { must(w.t, os.WriteFile(w.path(name), b, 0o600)) }
func ecKey(t testing.TB) *ecdsa.PrivateKey {
	return got(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
}
func parse(t testing.TB, der []byte) *x509.Certificate { return got(x509.ParseCertificate(der))(t) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// got is for values whose error ends the test: got(f())(t).
func got[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		must(t, err)
		return v
	}
}

func subject(cn string) certs.Subject {
	return certs.Subject{Country: "BE", Organisation: "Tekend SANDBOX", OrganisationID: "NTRBE-0000000000", CommonName: cn}
}

// newWorld makes a ceremony and starts the role behind its two sockets.
func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), key: &caKey{Signer: ecKey(t)}, ocsp: &caKey{Signer: ecKey(t)}, idp: got(itsmeKey())(t)}
	w.keys = &itsmeKeys{keys: map[string]*rsa.PublicKey{"s1": &w.idp.PublicKey}}
	w.given, w.idpURL = w.keys, issuer
	w.clock.Store(time.Now().UnixNano())
	now, rootKey, tsuKey := w.now().Add(-time.Minute), ecKey(t), ecKey(t)
	pub := certs.PublishedBy("http://127.0.0.1:8080/pki", "root", "https://sandbox.tekend.example/cps")
	w.root = parse(t, got(certs.Issue(certs.Issuer{Signer: rootKey}, certs.Order{Profile: certs.Root, Subject: subject("Tekend SANDBOX Root CA"), PublicKey: rootKey.Public(), NotBefore: now, NotAfter: now.AddDate(20, 0, 0)}))(t))
	w.rootCA = certs.Issuer{Cert: w.root, Signer: rootKey}
	issuing := got(certs.Issue(w.rootCA, certs.Order{Profile: certs.IssuingCA, Subject: subject("Tekend SANDBOX Issuing CA"), PublicKey: w.key.Public(), NotBefore: now, NotAfter: now.AddDate(6, 0, 0), Publication: pub}))(t)
	tsu := got(certs.Issue(w.rootCA, certs.Order{Profile: certs.TSU, Subject: subject("Tekend SANDBOX TSU"), PublicKey: tsuKey.Public(), NotBefore: now, NotAfter: now.AddDate(6, 0, 0), Publication: pub}))(t)
	w.write("root.crt", w.root.Raw)
	w.write("issuing.crt", issuing)
	w.write("tsu.crt", tsu)
	w.write("root.crl", got(certs.CRL(w.rootCA, big.NewInt(1), nil, now, now.AddDate(1, 0, 0)))(t))
	w.cfg = authority.Config{
		Now: w.now, DB: dbtest.Source(t, w.path("ca.db")), RootFile: w.path("root.crt"), IssuingCAFile: w.path("issuing.crt"), TSUFile: w.path("tsu.crt"), RootCRLFile: w.path("root.crl"),
		PublicURL: "http://127.0.0.1:8080/pki", CPSURL: "https://sandbox.tekend.example/cps", PDS: []certs.PDS{{URL: "https://sandbox.tekend.example/pds", Language: "en"}},
		Itsme: itsme.Config{Issuer: issuer}, IdentClient: identClient, ConfirmClient: confirmClient, DefaultCountry: "BE",
		TermsVersion: termsVersion, TermsSHA256: termsSHA256,
	}
	for range 3 {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		must(t, err)
		w.operators = append(w.operators, key)
	}
	w.start()
	return w
}

// start opens the role and serves it; an earlier one is closed first.
func (w *world) start() {
	w.t.Helper()
	if w.role != nil {
		must(w.t, w.role.Close())
	}
	role := got(authority.New(w.t.Context(), w.cfg, w.dependencies()))(w.t)
	w.role = role
	dir := got(os.MkdirTemp("", "ca"))(w.t) // Unix socket paths are short
	w.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for name, handler := range map[string]http.Handler{"front": role.Handler(), "sam": role.StatusHandler(), "desk": role.OperatorHandler()} {
		l := got(wire.Listen(filepath.Join(dir, name+".sock"), 0o660))(w.t)
		srv := wire.Server(handler, wire.Peers{})
		go func() { _ = srv.Serve(l) }()
		w.t.Cleanup(func() { _ = srv.Close() })
	}
	w.front = ca.NewClient(filepath.Join(dir, "front.sock"), 10*time.Second)
	w.sam = ca.NewStatusClient(filepath.Join(dir, "sam.sock"), 10*time.Second)
	w.desk = ca.NewOperatorClient(filepath.Join(dir, "desk.sock"), 10*time.Second)
	w.raw = wire.NewClient(filepath.Join(dir, "front.sock"), 10*time.Second)
	w.t.Cleanup(func() { _ = role.Close() })
}

// dependencies are what the role is given.
func (w *world) dependencies() authority.Dependencies {
	var list []foureyes.Operator
	for n, k := range w.operators {
		list = append(list, foureyes.Operator{Name: string(rune('a' + n)), Key: base64.RawURLEncoding.EncodeToString(k.Public().(ed25519.PublicKey))})
	}
	return authority.Dependencies{
		Signer: w.key, OCSP: w.ocsp, Keys: w.given, Previous: w.previous, Operators: got(foureyes.Load(list))(w.t),
	}
}

// claims are the members of an ID token's payload.
type claims map[string]any

func person() claims {
	return claims{
		token.ClaimName: "Jan Jansen", token.ClaimGivenName: "Jan", token.ClaimFamilyName: "Jansen", token.ClaimBirthdate: "1985-07-30",
		token.ClaimBirthdateText: "30 JUL 1985", token.ClaimAgeGTE18: true, token.ClaimDocumentSN: "592123456789",
		token.ClaimDocumentType: "ID_CARD", token.ClaimIssuingCountry: "BEL", token.ClaimIdentificationMode: "QR", token.ClaimOngoingCall: false,
		token.ClaimAccount: claims{"activationMechanism": token.ActivatedCardReader},
	}
}

// enrolment is an order in the making; a test changes what it wants broken.
type enrolment struct {
	w               *world
	key             crypto.Signer
	csrKey          crypto.Signer // signs the request; nil: key
	app             consent.Application
	ident, confirm  consent.Manifest
	leg1, leg2      claims
	changeTokens    func(leg1, leg2 claims) // after nonce, iss, aud … were filled in
	signing         *rsa.PrivateKey
	kid             string
	language        string
	csr             []byte // instead of a fresh one
	text            string // instead of EnrolText
	applicationJSON []byte
}

func (w *world) enrolment() *enrolment {
	w.t.Helper()
	e := &enrolment{w: w, key: ecKey(w.t), leg1: person(), leg2: person(), signing: w.idp, kid: "s1", language: "en"}
	now := w.now().Unix()
	e.app = consent.Application{V: consent.ApplicationVersion, ID: "app-" + random(w.t), TermsVersion: termsVersion, TermsSHA256: termsSHA256, Created: now}
	base := consent.Manifest{
		V: consent.Version, Op: consent.OpEnrol, Txn: "txn-" + random(w.t), Iss: w.idpURL, RedirectURI: "https://rp.example/cb",
		ACR: token.ACRAdvanced, CodeChallenge: b64hash([]byte("verifier")), Iat: now, Exp: now + 600,
	}
	e.ident, e.confirm = base, base
	e.ident.ClientID, e.ident.Service, e.ident.Salt = identClient, "IDENT", random(w.t)
	e.confirm.ClientID, e.confirm.Service, e.confirm.Salt = confirmClient, "CONFIRM", random(w.t)
	return e
}

func random(t testing.TB) string {
	b := make([]byte, 32)
	got(rand.Read(b))(t)
	return base64.RawURLEncoding.EncodeToString(b)
}

// order finishes and encodes the order, with tokens that we sign as itsme.
func (e *enrolment) order() ca.IssueRequest {
	e.w.t.Helper()
	r := e.withoutTokens()
	e.fill(e.leg1, identClient, r.IdentificationManifest)
	e.fill(e.leg2, confirmClient, r.ConsentManifest)
	if e.changeTokens != nil {
		e.changeTokens(e.leg1, e.leg2)
	}
	r.IdentificationToken, r.ConsentToken = e.sign(e.leg1), e.sign(e.leg2)
	return r
}

func (e *enrolment) withoutTokens() ca.IssueRequest {
	t := e.w.t
	t.Helper()
	if e.app.SPKISHA256 == "" {
		e.app.SPKISHA256 = got(certs.SPKISHA256(e.key.Public()))(t)
	}
	digest := got(e.app.Digest())(t)
	for _, m := range []*consent.Manifest{&e.ident, &e.confirm} {
		if m.Application == "" && m.Op == consent.OpEnrol {
			m.Application = digest
		}
	}
	if e.confirm.Template == nil && e.confirm.Op == consent.OpEnrol {
		text := e.text
		if text == "" {
			text = got(consent.EnrolText(e.language, e.app))(t)
		}
		e.confirm.Template = &consent.Template{Name: token.TemplateFreeText, Text: text}
	}
	r := ca.IssueRequest{Application: e.applicationJSON, CSR: e.csr}
	if r.Application == nil {
		r.Application = got(e.app.Encode())(t)
	}
	if r.CSR == nil {
		signer := e.csrKey
		if signer == nil {
			signer = e.key
		}
		r.CSR = got(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, signer))(t)
	}
	r.IdentificationManifest, r.ConsentManifest = got(e.ident.Encode())(t), got(e.confirm.Encode())(t)
	return r
}

func (e *enrolment) fill(c claims, aud string, manifest []byte) {
	now := e.w.now().Unix()
	usual := claims{"iss": issuer, "aud": aud, "sub": "sub-at-" + aud, "nonce": consent.Nonce(manifest), "acr": token.ACRAdvanced, "iat": now, "exp": now + 300}
	for name, v := range usual {
		if _, set := c[name]; !set {
			c[name] = v
		}
	}
}

func (e *enrolment) sign(c claims) string {
	t := e.w.t
	t.Helper()
	s := got(jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: e.signing, KeyID: e.kid}}, nil))(t)
	jws := got(s.Sign(got(json.Marshal(c))(t)))(t)
	return got(jws.CompactSerialize())(t)
}

// code is the refusal's code, "" for none.
func code(err error) string {
	if e, ok := errors.AsType[*wire.Error](err); ok {
		return e.Code
	}
	if err != nil {
		return "not a refusal: " + err.Error()
	}
	return ""
}
