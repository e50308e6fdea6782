package authority_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"tekend/ca"
	"tekend/certs"
	"tekend/consent"
	"tekend/itsme"
	"tekend/itsme/sandbox"
	"tekend/itsme/token"
)

// idp is the simulated itsme with our two registrations, as the sam has them.
type idp struct {
	w              *world
	enc            *rsa.PrivateKey
	ident, confirm *itsme.Client
}

// newSandbox puts the simulated itsme in the place of the one a test plays.
func newSandbox(t *testing.T) *idp {
	t.Helper()
	w := newWorld(t)
	sig, enc := w.idp, got(rsa.GenerateKey(rand.Reader, 2048))(t)
	rp := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(rw).Encode(itsme.PublicJWKS(sig.Public(), enc.Public(), "s1", "e1"))
	}))
	t.Cleanup(rp.Close)
	l := got(net.Listen("tcp", "127.0.0.1:0"))(t)
	callback := rp.URL + "/callback"
	cfg := sandbox.Config{Now: w.now, Listen: l.Addr().String(), Issuer: "http://" + l.Addr().String() + "/v2", Clients: []sandbox.ClientRegistration{
		{ID: identClient, JWKSURL: rp.URL, RedirectURIs: []string{callback}, Services: map[string]sandbox.ServiceType{"IDENT": sandbox.Identification}},
		{ID: confirmClient, JWKSURL: rp.URL, RedirectURIs: []string{callback}, Services: map[string]sandbox.ServiceType{"CONFIRM": sandbox.Confirmation}},
	}}
	op := got(sandbox.New(cfg))(t)
	web := &httptest.Server{Listener: l, Config: &http.Server{Handler: op.Handler(), ReadHeaderTimeout: time.Second}}
	web.Start()
	t.Cleanup(web.Close)
	rpConfig := itsme.Config{Issuer: cfg.Issuer, Now: w.now}
	sams := itsme.NewProvider(rpConfig, nil)
	i := &idp{w: w, enc: enc}
	i.ident = got(itsme.NewClient(sams, itsme.ClientConfig{ID: identClient, Service: "IDENT", RedirectURI: callback}, sig))(t)
	i.confirm = got(itsme.NewClient(sams, itsme.ClientConfig{ID: confirmClient, Service: "CONFIRM", RedirectURI: callback}, sig))(t)
	w.cfg.Itsme, w.idpURL, w.given = rpConfig, cfg.Issuer, itsme.NewProvider(rpConfig, nil) // the ca's own
	w.start()
	return i
}

// leg lets a magic person answer one request and gives the inner ID token.
func (i *idp) leg(c *itsme.Client, person string, m consent.Manifest, manifest []byte, verifier string) string {
	t := i.w.t
	t.Helper()
	r := itsme.AuthRequest{
		State: itsme.Random(), Nonce: consent.Nonce(manifest), CodeChallenge: m.CodeChallenge, Language: "en", JTI: itsme.Random(),
		IDTokenClaims: token.IdentityClaims(), Issued: i.w.now(), Expires: i.w.now().Add(5 * time.Minute),
	}
	if m.Template != nil {
		r.Text = m.Template.Text
	}
	u, _, err := c.AuthorizationURL(t.Context(), r)
	must(t, err)
	req := got(http.NewRequestWithContext(t.Context(), http.MethodGet, u+"&sandbox_auto=1&sandbox_person="+person, nil))(t)
	hc := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp := got(hc.Do(req))(t)
	must(t, resp.Body.Close())
	back := got(url.Parse(resp.Header.Get("Location")))(t)
	code := back.Query().Get("code")
	if code == "" {
		t.Fatalf("%s: status %d, error %s", person, resp.StatusCode, back.Query().Get("error"))
	}
	raw := got(c.Exchange(context.WithoutCancel(t.Context()), code, verifier, nil))(t)
	return got(token.Decrypt(raw, []jose.JSONWebKey{{Key: i.enc, KeyID: "e1"}}))(t)
}

// TestPeopleOfTheSandbox: real requests, real nested tokens, keys that the
// role fetched itself.
func TestPeopleOfTheSandbox(t *testing.T) {
	i := newSandbox(t)
	for _, tc := range []struct{ first, second, code, cn, country string }{
		{"approve", "approve", "", "Alice Maria Peeters (SANDBOX)", "BE"},
		{"diacritics", "diacritics", "", "Čeněk Jiří Dvořák-Groß Ωmega (SANDBOX)", "BE"},
		{"one-name", "one-name", "", "Suharti (SANDBOX)", "BE"},
		{"nl-document", "nl-document", "", "Johanna van der Voorbeeld (SANDBOX)", "NL"},
		{"minor", "minor", ca.CodeMinor, "", ""},
		{"call", "call", ca.CodeOngoingCall, "", ""},
		{"other-person", "other-person", ca.CodeIdentityMismatch, "", ""},
		{"approve", "diacritics", ca.CodeIdentityMismatch, "", ""},
	} {
		t.Run(tc.first+" "+tc.second, func(t *testing.T) {
			e := i.w.enrolment()
			v1, c1 := itsme.NewVerifier()
			v2, c2 := itsme.NewVerifier()
			e.ident.CodeChallenge, e.confirm.CodeChallenge = c1, c2
			order := e.withoutTokens()
			order.IdentificationToken = i.leg(i.ident, tc.first, e.ident, order.IdentificationManifest, v1)
			order.ConsentToken = i.leg(i.confirm, tc.second, e.confirm, order.ConsentManifest, v2)
			out, err := i.w.front.Issue(t.Context(), order)
			if code(err) != tc.code {
				t.Fatalf("%v, want %q", err, tc.code)
			}
			if err != nil {
				return
			}
			who := got(certs.PersonOf(parse(t, out.Chain[0]).RawSubject))(t)
			if who.CommonName != tc.cn || who.Country != tc.country {
				t.Errorf("%+v", who)
			}
		})
	}
}
