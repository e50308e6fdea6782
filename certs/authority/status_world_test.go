package authority_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"testing"
	"time"

	"tekend/ca"
	"tekend/certs"
	"tekend/consent"
	"tekend/db/dbtest"
	"tekend/foureyes"
	"tekend/itsme/token"
	"tekend/wire"
)

// issued has a certificate made.
func (w *world) issued() *x509.Certificate {
	w.t.Helper()
	return parse(w.t, got(w.front.Issue(w.t.Context(), w.enrolment().order()))(w.t).Chain[0])
}

func serialOf(c *x509.Certificate) string { return certs.SerialHex(c.SerialNumber) }

// issuing is the certificate of the issuing CA in force.
func (w *world) issuing() *x509.Certificate {
	w.t.Helper()
	der, _, err := w.front.Published(w.t.Context(), "ca/"+w.issuerName()+".crt")
	must(w.t, err)
	return parse(w.t, der)
}

func (w *world) issuerName() string {
	if w.cfg.IssuerName == "" {
		return "issuing-ca"
	}
	return w.cfg.IssuerName
}

// query is an OCSP question for certificates of one issuer.
func query(t testing.TB, issuer *x509.Certificate, hash crypto.Hash, nonce []byte, leaves ...*x509.Certificate) []byte {
	t.Helper()
	var ids []certs.CertID
	for _, c := range leaves {
		ids = append(ids, got(certs.IDOf(c, issuer, hash))(t))
	}
	return got(certs.EncodeOCSPRequest(ids, nonce))(t)
}

// ask asks over the front's socket and verifies the answer as a stranger does.
func (w *world) ask(q []byte) (*certs.OCSPResponse, error) {
	w.t.Helper()
	der := got(w.front.OCSP(w.t.Context(), q))(w.t)
	r, err := certs.ParseOCSPResponse(der)
	if err != nil {
		return nil, err
	}
	must(w.t, r.Verify(w.issuing(), w.now()))
	return r, nil
}

// says is what OCSP says of a certificate, without nonce.
func (w *world) says(c *x509.Certificate) certs.SingleStatus {
	w.t.Helper()
	r := got(w.ask(query(w.t, w.issuing(), crypto.SHA1, nil, c)))(w.t)
	if len(r.Singles) != 1 || r.Singles[0].ID.Serial.Cmp(c.SerialNumber) != 0 {
		w.t.Fatalf("an answer about something else: %+v", r.Singles)
	}
	return r.Singles[0]
}

// listed tells whether the CRL has the certificate.
func (w *world) listed(c *x509.Certificate) bool {
	w.t.Helper()
	for _, e := range w.crl().RevokedCertificateEntries {
		if e.SerialNumber.Cmp(c.SerialNumber) == 0 {
			return true
		}
	}
	return false
}

// revocation is what a holder confirms.
type revocation struct {
	w        *world
	cert     *x509.Certificate
	all      bool // no credential: everything of whoever answers
	reason   string
	manifest consent.Manifest
	claims   claims
	code     int // of the request; -1: the reason's
	lang     string
	text     string
}

// holderSub is the subject with which enrolments confirm.
const holderSub = "sub-at-" + confirmClient

func (w *world) revocation(c *x509.Certificate, all bool) *revocation {
	now := w.now().Unix()
	r := &revocation{w: w, cert: c, all: all, reason: "keyCompromise", code: -1, claims: claims{}, lang: "en"}
	r.manifest = consent.Manifest{
		V: consent.Version, Op: consent.OpRevoke, Txn: "txn-" + random(w.t), Iss: w.idpURL, ClientID: confirmClient, Service: "CONFIRM",
		RedirectURI: "https://rp.example/cb", ACR: token.ACRAdvanced, CodeChallenge: b64hash([]byte("verifier")), Salt: random(w.t), Iat: now, Exp: now + 600,
	}
	if !all {
		sum := sha256.Sum256(c.Raw)
		r.manifest.Sub = holderSub
		r.manifest.Cred = &consent.Cred{ID: "cred_1", CertSHA256: base64.RawURLEncoding.EncodeToString(sum[:])}
	}
	return r
}

// request finishes and encodes it, with a token that we sign as itsme.
func (r *revocation) request() ca.RevokeRequest {
	t := r.w.t
	t.Helper()
	r.manifest.Reason = r.reason
	if r.manifest.Op == consent.OpRevoke {
		what := consent.Revocation{Reason: r.reason}
		if !r.all {
			what.Serial, what.NotAfter = serialOf(r.cert), r.cert.NotAfter
		}
		text := r.text
		if text == "" {
			text = got(consent.RevokeText(r.lang, what))(t)
		}
		r.manifest.Template = &consent.Template{Name: token.TemplateFreeText, Text: text}
	}
	raw := got(r.manifest.Encode())(t)
	e := r.w.enrolment()
	e.fill(r.claims, confirmClient, raw)
	code := r.code
	if code < 0 {
		code = got(consent.ReasonCode(r.reason))(t)
	}
	return ca.RevokeRequest{V: ca.RevocationVersion, Serial: serialOf(r.cert), Reason: code, By: ca.BySigner, Manifest: raw, Token: e.sign(r.claims)}
}

// bySAM is a revocation that the sam asks for.
func bySAM(serial string, reason int) ca.RevokeRequest {
	return ca.RevokeRequest{V: ca.RevocationVersion, Serial: serial, Reason: reason, By: ca.BySAM}
}

// approved is an act with the approvals of the given operators.
func (w *world) approved(serial string, who ...int) ca.RevokeRequest {
	w.t.Helper()
	act := got(foureyes.NewAct(foureyes.ActRevoke, serial, "privilegeWithdrawn"))(w.t)
	var keys []ed25519.PrivateKey
	for _, n := range who {
		keys = append(keys, w.operators[n])
	}
	return w.approve(act, keys...)
}

func (w *world) approve(act foureyes.Act, keys ...ed25519.PrivateKey) ca.RevokeRequest {
	w.t.Helper()
	r := ca.RevokeRequest{V: ca.RevocationVersion, Serial: act.Subject, Reason: act.Code(), By: ca.ByOperators, Text: act.String()}
	for _, k := range keys {
		r.Approvals = append(r.Approvals, got(foureyes.Approve(k, act.String(), w.now(), 10*time.Minute))(w.t).String())
	}
	return r
}

// certOf is as much of a certificate as a question needs.
func certOf(t testing.TB, serial string) *x509.Certificate {
	t.Helper()
	b := got(hex.DecodeString(serial))(t)
	return &x509.Certificate{SerialNumber: new(big.Int).SetBytes(b)}
}

// foreign puts a certificate into the database that the role could have issued, of another profile or life than this one does.
func (w *world) foreign(profile certs.Profile, life time.Duration) *x509.Certificate {
	w.t.Helper()
	key, now := ecKey(w.t), w.now()
	person := got(certs.NewPerson("", "Jan", "Jansen", "BE"))(w.t)
	pub := certs.PublishedBy(w.cfg.PublicURL, w.issuerName(), w.cfg.CPSURL)
	pub.PDS = w.cfg.PDS
	der := got(certs.Issue(certs.Issuer{Cert: w.issuing(), Signer: w.key.Signer}, certs.Order{
		Profile: profile, Subject: person.Subject(), PublicKey: key.Public(), NotBefore: now, NotAfter: now.Add(life), Publication: pub, Identified: true,
	}))(w.t)
	c := parse(w.t, der)
	d := dbtest.Raw(w.t, w.cfg.DB)
	name := random(w.t)
	for _, q := range []struct {
		query string
		args  []any
	}{
		{`INSERT INTO orders (hash, state, application_id, serial, spki_sha256, tbs_sha256, terms_version, terms_sha256, at, issuer, holder, certificate)
			VALUES (?, 'issued', ?, ?, ?, 'x', 'x', 'x', ?, ?, 'x', ?)`, []any{name, name, serialOf(c), name, now.Unix(), w.issuerName(), der}},
	} {
		_, err := d.ExecContext(w.t.Context(), q.query, q.args...)
		must(w.t, err)
	}
	return c
}

// runFor runs the role until what is waited for has come, at most some seconds.
func (w *world) runFor(come func() bool) error {
	w.t.Helper()
	ctx, stop := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- w.role.Run(ctx) }()
	for begin := time.Now(); !come(); time.Sleep(2 * time.Millisecond) {
		if time.Since(begin) > 20*time.Second {
			w.t.Error("it did not come")
			break
		}
	}
	stop()
	return <-done
}

// hashed is a message and its name in the path of its PUT.
func hashed(t testing.TB, v any) (body []byte, hash string) {
	t.Helper()
	body = got(json.Marshal(v))(t)
	return body, wire.BodyHash(body)
}
