package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"tekend/ca"
	"tekend/certs"
	"tekend/consent"
	"tekend/itsme/token"
	"tekend/wire"
)

// issuing is what one certificate costs at the ca: both tokens verified, key and
// request, lint, intent, record and audit durable, CA key, certificate. Keys are
// in software; what a token takes for a signature is the row "raw C_Sign".
func (b *bench) issuing() []row {
	s := newStatusCA(filepath.Join(b.tmp, "issuing"))
	s.close()
	idp := need(rsa.GenerateKey(rand.Reader, 2048))
	s.dep.Keys = oneKey{jose.JSONWebKey{Key: &idp.PublicKey, KeyID: "k", Algorithm: "RS256", Use: "sig"}}
	s.start()
	defer s.close()
	handler := s.role.Handler()
	const rounds, orders = 7, 40
	var whole, key, lint sample
	for range rounds {
		var list []applicant
		_, made := timed(func() {
			for range orders {
				list = append(list, newApplicant())
			}
		})
		requests := make([]*http.Request, orders)
		for i, a := range list {
			requests[i] = a.request(s, idp)
		}
		_, issued := timed(func() {
			for _, r := range requests {
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, r)
				demand(w.Code == http.StatusOK, "%d %s", w.Code, w.Body)
			}
		})
		_, linted := timed(func() {
			for _, a := range list {
				need(certs.Prepare(s.issuing, a.order(s)))
			}
		})
		key, lint, whole = append(key, made/orders*1e3), append(lint, linted/orders*1e3), append(whole, (made+issued)/orders*1e3)
	}
	return []row{{goal: "a certificate for P-256: key, request, tokens, lint, record, audit, certificate, CPU", must: "≤ 40 ms",
		measured: whole.show("%.1f", " ms"), raw: "of it the lint " + lint.show("%.1f", " ms") + ", key and request " + key.show("%.2f", " ms"),
		verdict: verdict(whole.median() <= 40)}}
}

// oneKey is a registrar's only key.
type oneKey struct{ key jose.JSONWebKey }

// Key is token.Keys.
func (k oneKey) Key(context.Context, string) (*jose.JSONWebKey, error) { return &k.key, nil }

// applicant is a person with a new key and the request for it.
type applicant struct {
	key *ecdsa.PrivateKey
	csr []byte
}

func newApplicant() applicant {
	key := softwareKey()
	return applicant{key, need(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key))}
}

// order is what the role builds for him.
func (a applicant) order(s *statusCA) certs.Order {
	who := need(certs.NewPerson("Jan Jansen", "Jan", "Jansen", "BEL"))
	at := certs.PublishedBy(s.cfg.PublicURL, "issuing-ca", s.cfg.CPSURL)
	at.PDS = s.cfg.PDS
	now := time.Now()
	return certs.Order{Profile: certs.NaturalPerson, Subject: who.Subject(), PublicKey: a.key.Public(), NotBefore: now, NotAfter: now.AddDate(1, 0, 0), Publication: at, Identified: true}
}

// request is his order at the ca, with two tokens signed as the registrar does.
func (a applicant) request(s *statusCA, idp *rsa.PrivateKey) *http.Request {
	now := time.Now().Unix()
	app := consent.Application{V: consent.ApplicationVersion, ID: "app-" + randomText(), SPKISHA256: need(certs.SPKISHA256(a.key.Public())),
		TermsVersion: s.cfg.TermsVersion, TermsSHA256: s.cfg.TermsSHA256, Created: now}
	m := consent.Manifest{V: consent.Version, Op: consent.OpEnrol, Txn: "txn-" + randomText(), Iss: s.cfg.Itsme.Issuer, Service: "S", RedirectURI: "https://rp.example/cb",
		ACR: token.ACRAdvanced, CodeChallenge: randomText(), Application: need(app.Digest()), Iat: now, Exp: now + 600}
	ident, confirm := m, m
	ident.ClientID, ident.Salt = s.cfg.IdentClient, randomText()
	confirm.ClientID, confirm.Salt = s.cfg.ConfirmClient, randomText()
	confirm.Template = &consent.Template{Name: token.TemplateFreeText, Text: need(consent.EnrolText("en", app))}
	order := ca.IssueRequest{Application: need(app.Encode()), CSR: a.csr, IdentificationManifest: need(ident.Encode()), ConsentManifest: need(confirm.Encode())}
	order.IdentificationToken = idToken(idp, s.cfg.Itsme.Issuer, ident.ClientID, order.IdentificationManifest)
	order.ConsentToken = idToken(idp, s.cfg.Itsme.Issuer, confirm.ClientID, order.ConsentManifest)
	body := need(json.Marshal(order))
	r := httptest.NewRequest(http.MethodPut, "/v1/certificates/"+wire.BodyHash(body), strings.NewReader(string(body)))
	r.Header.Set("Content-Type", "application/json")
	return r
}

func idToken(idp *rsa.PrivateKey, issuer, client string, manifest []byte) string {
	now := time.Now().Unix()
	claims := map[string]any{
		"iss": issuer, "aud": client, "sub": "sub-" + client, "nonce": consent.Nonce(manifest), "acr": token.ACRAdvanced, "iat": now, "exp": now + 300,
		token.ClaimName: "Jan Jansen", token.ClaimGivenName: "Jan", token.ClaimFamilyName: "Jansen", token.ClaimBirthdate: "1985-07-30",
		token.ClaimAgeGTE18: true, token.ClaimDocumentSN: "592123456789", token.ClaimDocumentType: "I", token.ClaimIssuingCountry: "BEL",
		token.ClaimIdentificationMode: "QR", token.ClaimOngoingCall: false, token.ClaimAccount: map[string]any{"activationMechanism": token.ActivatedCardReader},
	}
	signer := need(jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: idp, KeyID: "k"}}, nil))
	return need(need(signer.Sign(need(json.Marshal(claims)))).CompactSerialize())
}

func randomText() string {
	b := make([]byte, 32)
	need(rand.Read(b))
	return base64.RawURLEncoding.EncodeToString(b)
}
