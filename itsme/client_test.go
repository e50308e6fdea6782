package itsme

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"tekend/itsme/token"
)

// hidden is a key of which only Public and Sign can be seen, as in a token.
type hidden struct{ key *rsa.PrivateKey }

func (h hidden) Public() crypto.PublicKey { return h.key.Public() }
func (h hidden) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	return h.key.Sign(r, digest, o)
}

func newClient(t *testing.T, f *fake) *Client {
	t.Helper()
	c, err := NewClient(f.provider(nil), ClientConfig{ID: "CLIENT", Service: "CONF", RedirectURI: "https://rp.test/cb?x=1", SigKID: "sig-1"}, hidden{rsaKeys()[3]})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAuthorizationURL(t *testing.T) {
	f := newFake(t)
	c := newClient(t, f)
	r := request(f.Now())
	r.Subject, r.Text, r.Language, r.IDTokenClaims = "9o8f04wm1g0bdc8gmgcuxp2ehgn7txh0x2kq", "<b>Sign</b> & <br>", "nl", []string{token.ClaimOngoingCall}
	u, inner, err := c.AuthorizationURL(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := url.Parse(u)
	if err != nil || !strings.HasPrefix(u, f.URL+"/v2/authorization?") {
		t.Fatal(u, err)
	}
	q := parsed.Query()
	nested := q.Get("request")
	q.Del("request")
	plain := url.Values{"response_type": {"code"}, "client_id": {"CLIENT"}, "scope": {"openid service:CONF"}, "redirect_uri": {"https://rp.test/cb?x=1"}}
	if d := cmp.Diff(plain, q); d != "" {
		t.Error(d)
	}
	obj, err := jose.ParseEncryptedCompact(nested, []jose.KeyAlgorithm{jose.RSA_OAEP_256}, []jose.ContentEncryption{jose.A128CBC_HS256})
	if err != nil {
		t.Fatal(err)
	}
	if obj.Header.KeyID != "e1" || obj.Header.ExtraHeaders["cty"] != "JWT" {
		t.Error(obj.Header)
	}
	plaintext, err := obj.Decrypt(rsaKeys()[1])
	if err != nil || string(plaintext) != inner {
		t.Fatal(err)
	}
	jws, err := jose.ParseSignedCompact(inner, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil || jws.Signatures[0].Header.KeyID != "sig-1" {
		t.Fatal(err)
	}
	payload, err := jws.Verify(&rsaKeys()[3].PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]any{}
	if err := json.Unmarshal(payload, &got); err != nil {
		t.Fatal(err)
	}
	now := float64(f.Now().Unix())
	want := map[string]any{
		"iss": "CLIENT", "aud": f.URL + "/v2", "iat": now, "nbf": now, "exp": now + 60, "jti": "j", "response_type": "code", "client_id": "CLIENT",
		"redirect_uri": "https://rp.test/cb?x=1", "scope": "openid service:CONF", "state": "s", "nonce": "n", "code_challenge": strings.Repeat("c", 43),
		"code_challenge_method": "S256", "acr_values": token.ACRAdvanced, "ui_locales": "nl",
		"claims": map[string]any{
			"userinfo": map[string]any{
				"sub":              map[string]any{"value": r.Subject},
				token.TemplateName: map[string]any{"essential": true, "value": "free_text"},
				token.TemplateText: map[string]any{"essential": true, "value": "<b>Sign</b> & <br>"},
			},
			"id_token": map[string]any{token.ClaimOngoingCall: nil},
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestRequestsThatAreNotMade(t *testing.T) {
	f := newFake(t)
	c := newClient(t, f)
	for name, change := range map[string]func(*AuthRequest){
		"state": func(r *AuthRequest) { r.State = "" }, "nonce": func(r *AuthRequest) { r.Nonce = "" }, "jti": func(r *AuthRequest) { r.JTI = "" },
		"challenge": func(r *AuthRequest) { r.CodeChallenge = "x" }, "language": func(r *AuthRequest) { r.Language = "es" },
		"life": func(r *AuthRequest) { r.Expires = r.Issued.Add(MaxRequestLife + 1) }, "no life": func(r *AuthRequest) { r.Expires = r.Issued },
	} {
		r := request(f.Now())
		change(&r)
		if _, _, err := c.AuthorizationURL(context.Background(), r); err == nil {
			t.Error(name)
		}
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	cfg := ClientConfig{ID: "c", Service: "s", RedirectURI: "r"}
	for _, key := range []crypto.Signer{ec, small} {
		if _, err := NewClient(f.provider(nil), cfg, key); err == nil {
			t.Error("a key that itsme cannot use was taken")
		}
	}
	for _, bad := range []ClientConfig{{Service: "s", RedirectURI: "r"}, {ID: "c", RedirectURI: "r"}, {ID: "c", Service: "s"}, {ID: "c", Service: "s openid", RedirectURI: "r"}} {
		if _, err := NewClient(f.provider(nil), bad, rsaKeys()[0]); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
	broken, err := NewClient(f.provider(nil), cfg, failingSigner{rsaKeys()[0]})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := broken.AuthorizationURL(context.Background(), request(f.Now())); !errors.Is(err, errHSM) {
		t.Errorf("the signer's error is lost: %v", err)
	}
}

var errHSM = errors.New("token is busy")

type failingSigner struct{ *rsa.PrivateKey }

func (failingSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return nil, errHSM }

func TestExchangeSendsWhatItsmeDemands(t *testing.T) {
	f := newFake(t)
	c := newClient(t, f)
	var jtis []string
	f.set("/v2/token", func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		if r.URL.RawQuery != "" || r.Header.Get("Authorization") != "" || r.Header.Get("Idempotency-Key") != "" {
			t.Error("something stands outside the body")
		}
		if r.PostForm.Get("grant_type") != "authorization_code" || r.PostForm.Get("code") != "CODE" || r.PostForm.Get("code_verifier") != "VERIFIER" || r.PostForm.Get("redirect_uri") != "https://rp.test/cb?x=1" {
			t.Error(r.PostForm)
		}
		jws, err := jose.ParseSignedCompact(r.PostForm.Get("client_assertion"), []jose.SignatureAlgorithm{jose.RS256})
		if err != nil {
			t.Fatal(err)
		}
		body, err := jws.Verify(&rsaKeys()[3].PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		if err := json.Unmarshal(body, &m); err != nil {
			t.Fatal(err)
		}
		if m["iss"] != "CLIENT" || m["sub"] != "CLIENT" || m["aud"] != f.URL+"/v2/token" || m["exp"].(float64)-m["iat"].(float64) != 120 {
			t.Error(m)
		}
		jtis = append(jtis, m["jti"].(string))
		_, _ = io.WriteString(w, `{"access_token":"a","token_type":"Bearer","id_token":"x.y.z.a.b","expires_in":3600}`)
	})
	for range 2 {
		if raw, err := c.Exchange(context.Background(), "CODE", "VERIFIER", nil); err != nil || raw != "x.y.z.a.b" {
			t.Fatal(raw, err)
		}
	}
	if jtis[0] == jtis[1] || jtis[0] == "" {
		t.Error("a jti was used twice")
	}
}

func TestExchangeErrors(t *testing.T) {
	for name, test := range map[string]struct {
		handle http.HandlerFunc
		code   string // "" = ErrUnreachable
	}{
		"invalid_grant": {answer(400, `{"error":"invalid_grant","detail":"secret detail"}`), "invalid_grant"},
		"401":           {answer(401, `{"error":"invalid_client"}`), "invalid_client"},
		"no JSON":       {answer(400, `<html>secret`), "unreadable"},
		"odd code":      {answer(400, `{"error":"secret text"}`), "unreadable"},
		"long code":     {answer(400, `{"error":"`+strings.Repeat("a", 100)+`"}`), "unreadable"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, "unreadable"},
		"503":          {answer(503, `{"error":"invalid_grant"}`), ""},
		"no token":     {answer(200, `{"token_type":"Bearer"}`), ""},
		"mac token":    {answer(200, `{"token_type":"mac","id_token":"a"}`), ""},
		"duplicate":    {answer(200, `{"token_type":"Bearer","id_token":"a","id_token":"b"}`), ""},
		"case variant": {answer(200, `{"token_type":"Bearer","ID_Token":"a"}`), ""},
		"endless":      {endless, ""},
		"slow":         {slow, ""},
		"long token":   {answer(200, `{"token_type":"Bearer","id_token":"`+strings.Repeat("a", token.MaxToken+1)+`"}`), ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.set("/v2/token", test.handle)
			_, err := newClient(t, f).Exchange(context.Background(), "CODE", "VERIFIER", nil)
			if err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "CODE") {
				t.Fatal(err)
			}
			if e, ok := errors.AsType[*Error](err); ok != (test.code != "") || (ok && e.Code != test.code) {
				t.Errorf("%v", err)
			}
			if errors.Is(err, ErrUnreachable) != (test.code == "") {
				t.Errorf("%v", err)
			}
			if n := f.count("/v2/token"); n != 1 {
				t.Errorf("sent %d times", n)
			}
		})
	}
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// TestCodeExchangeIsSentOnce drops the connection after the request arrived,
// on a connection that had been used before: net/http must not send it again.
func TestCodeExchangeIsSentOnce(t *testing.T) {
	f := newFake(t)
	c := newClient(t, f)
	f.set("/v2/token", answer(200, `{"token_type":"Bearer","id_token":"x"}`))
	if _, err := c.Exchange(context.Background(), "one", "v", nil); err != nil {
		t.Fatal(err)
	}
	f.set("/v2/token", func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	})
	if _, err := c.Exchange(context.Background(), "two", "v", nil); !errors.Is(err, ErrUnreachable) {
		t.Error(err)
	}
	if n := f.count("/v2/token"); n != 2 {
		t.Errorf("arrived %d times for two exchanges", n)
	}
}

func TestOurKeySet(t *testing.T) {
	k := rsaKeys()
	set := PublicJWKS(&k[0].PublicKey, &k[1].PublicKey, "s1", "e1")
	if err := CheckJWKS(set); err != nil {
		t.Fatal(err)
	}
	h, err := JWKSHandler(map[string]jose.JSONWebKeySet{"ident": set})
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/jwks/ident", nil))
	if rec.Code != 200 || rec.Header().Get("Cache-Control") != "public, max-age=1800" || strings.Contains(rec.Body.String(), `"d"`) {
		t.Error(rec.Code, rec.Header())
	}
	for path, method := range map[string]string{"/jwks/other": http.MethodGet, "/jwks/ident": http.MethodPost} {
		rec = httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(method, path, nil))
		if rec.Code < 400 {
			t.Errorf("%s %s: %d", method, path, rec.Code)
		}
	}
	odd := k[1].PublicKey
	odd.E = 3
	for name, bad := range map[string]jose.JSONWebKeySet{
		"one key":  {Keys: set.Keys[:1]},
		"same kid": PublicJWKS(&k[0].PublicKey, &k[1].PublicKey, "x", "x"),
		"no kid":   PublicJWKS(&k[0].PublicKey, &k[1].PublicKey, "", "e1"),
		"private":  PublicJWKS(k[0], &k[1].PublicKey, "s1", "e1"),
		"odd e":    PublicJWKS(&k[0].PublicKey, &odd, "s1", "e1"),
		"bad use":  {Keys: append([]jose.JSONWebKey{{Key: &k[2].PublicKey, KeyID: "z", Use: "x"}}, set.Keys...)},
	} {
		if CheckJWKS(bad) == nil {
			t.Errorf("%s was taken", name)
		}
		if _, err := JWKSHandler(map[string]jose.JSONWebKeySet{"a": bad}); err == nil {
			t.Errorf("%s is served", name)
		}
	}
}

func TestErrorMeaning(t *testing.T) {
	for code, want := range map[string]Meaning{
		"access_denied": Declined, "temporary_unavailable": Retry, "temporarily_unavailable": Retry, "invalid_request": Fault, "invalid_request_object": Fault,
		"login_required": Fault, "invalid_scope": Fault, "something_new": Expired, "": Expired,
	} {
		if got := ErrorMeaning(code); got != want {
			t.Errorf("%q means %s", code, got)
		}
	}
}

func TestVerifierAndChallenge(t *testing.T) {
	v, c := NewVerifier()
	v2, _ := NewVerifier()
	if len(v) != 43 || len(c) != 43 || v == c || v == v2 {
		t.Error(v, c)
	}
}
