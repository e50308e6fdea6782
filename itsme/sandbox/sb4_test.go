package sandbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"tekend/itsme"
	"tekend/itsme/sandbox"
	"tekend/itsme/token"
)

const claim = token.Prefix

func code(err error) string {
	if e, ok := errors.AsType[*itsme.Error](err); ok {
		return e.Code
	}
	return text(err)
}

func TestSB40Redirects(t *testing.T) {
	w := newWorld(t, nil)
	state := "a b&c=d/é~%41"
	a := w.ask(w.confirm, func(r *itsme.AuthRequest) { r.State = state })
	q := w.answer(a.auto("approve"))
	if len(q.Get("code")) != 36 || q.Get("state") != state {
		t.Error(q)
	}
	a = w.ask(w.confirm, func(r *itsme.AuthRequest) { r.State = state })
	q = w.answer(a.auto("refuse"))
	if q.Get("error") != "access_denied" || q.Get("state") != state || q.Get("code") != "" {
		t.Error(q)
	}
}

func TestSB41CodesLiveOnceAndThreeMinutes(t *testing.T) {
	w := newWorld(t, nil)
	ctx := context.Background()
	get := func() (asked, string) {
		a := w.ask(w.confirm, nil).auto("approve")
		return a, w.answer(a).Get("code")
	}
	a, c := get()
	w.clock.Add(179 * time.Second)
	if _, err := w.confirm.Exchange(ctx, c, a.verifier, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := w.confirm.Exchange(ctx, c, a.verifier, nil); code(err) != "invalid_grant" {
		t.Errorf("second use: %v", err)
	}
	a, c = get()
	w.clock.Add(180 * time.Second)
	if _, err := w.confirm.Exchange(ctx, c, a.verifier, nil); code(err) != "invalid_grant" {
		t.Errorf("old: %v", err)
	}
	_, c = get()
	other, _ := itsme.NewVerifier()
	if _, err := w.confirm.Exchange(ctx, c, other, nil); code(err) != "invalid_grant" {
		t.Errorf("verifier: %v", err)
	}
	a, c = get()
	cfg := w.confirm.Config()
	cfg.RedirectURI += "?x=1"
	if _, err := w.client(cfg).Exchange(ctx, c, a.verifier, nil); code(err) != "invalid_grant" {
		t.Errorf("redirect URI: %v", err)
	}
	a, c = get()
	if _, err := w.ident.Exchange(ctx, c, a.verifier, nil); code(err) != "invalid_grant" {
		t.Errorf("another client: %v", err)
	}
	if _, err := w.confirm.Exchange(ctx, c, a.verifier, nil); err != nil {
		t.Errorf("another client used a code up: %v", err)
	}
}

// tokenForm is a good body for the token endpoint, with an assertion by hand.
func (w *world) tokenForm(a asked, change func(m map[string]any), wrap func(string) string) url.Values {
	now := w.clock.Now()
	m := map[string]any{"iss": confirmID, "sub": confirmID, "aud": w.issuer() + "/token", "jti": itsme.Random(), "exp": now.Add(time.Minute).Unix()}
	if change != nil {
		change(m)
	}
	assertion := w.sign(m, jose.RS256, rpKeys()[0], "s1")
	if wrap != nil {
		assertion = wrap(assertion)
	}
	return url.Values{
		"grant_type": {"authorization_code"}, "code": {w.answer(a).Get("code")}, "redirect_uri": {w.rp.URL + "/itsme/callback"}, "code_verifier": {a.verifier},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {assertion},
	}
}

func TestSB42ClientAssertion(t *testing.T) {
	w := newWorld(t, nil)
	ask := func() asked { return w.ask(w.confirm, nil).auto("approve") }
	for name, change := range map[string]func(map[string]any){
		"iss":     func(m map[string]any) { m["iss"] = identID },
		"sub":     func(m map[string]any) { m["sub"] = identID },
		"aud":     func(m map[string]any) { m["aud"] = w.issuer() },
		"exp":     func(m map[string]any) { m["exp"] = w.clock.Now().Unix() },
		"no exp":  func(m map[string]any) { delete(m, "exp") },
		"no jti":  func(m map[string]any) { delete(m, "jti") },
		"jti 256": func(m map[string]any) { m["jti"] = strings.Repeat("x", 256) },
	} {
		resp, body := w.post("/v2/token", w.tokenForm(ask(), change, nil))
		if resp.StatusCode != http.StatusBadRequest || !strings.Contains(body, `"invalid_client"`) {
			t.Errorf("%s: %d %s", name, resp.StatusCode, body)
		}
	}
	same := func(m map[string]any) { m["jti"] = "same" }
	if resp, body := w.post("/v2/token", w.tokenForm(ask(), same, nil)); resp.StatusCode != 200 {
		t.Error(body)
	}
	if resp, _ := w.post("/v2/token", w.tokenForm(ask(), same, nil)); resp.StatusCode != 400 {
		t.Error("a jti was taken twice")
	}
	if resp, body := w.post("/v2/token", w.tokenForm(ask(), nil, w.encrypt)); resp.StatusCode != 200 {
		t.Errorf("nested: %s", body)
	}
	for name, wrap := range map[string]func(string) string{
		"RS512": func(string) string {
			return w.sign(map[string]any{"iss": confirmID, "sub": confirmID, "aud": w.issuer() + "/token", "jti": "j", "exp": w.clock.Now().Add(time.Minute).Unix()}, jose.RS512, rpKeys()[0], "s1")
		},
		"bytes changed": func(s string) string { return s[:len(s)-8] + "AAAAAAAA" },
		"nothing":       func(string) string { return "" },
		"not a JWT":     func(string) string { return "a.b" },
	} {
		if resp, body := w.post("/v2/token", w.tokenForm(ask(), nil, wrap)); resp.StatusCode != 400 || !strings.Contains(body, `"invalid_client"`) {
			t.Errorf("%s: %d %s", name, resp.StatusCode, body)
		}
	}
	f := w.tokenForm(ask(), nil, nil)
	f.Set("client_id", identID)
	if resp, _ := w.post("/v2/token", f); resp.StatusCode != 400 {
		t.Error("client_id of another client")
	}
	f = w.tokenForm(ask(), nil, nil)
	if resp, _ := w.post("/v2/token?"+f.Encode(), url.Values{}); resp.StatusCode != 400 {
		t.Error("parameters in the query were taken")
	}
	f.Add("code", "twice")
	if resp, body := w.post("/v2/token", f); resp.StatusCode != 400 || !strings.Contains(body, "invalid_request") {
		t.Error("duplicate parameter")
	}
}

func TestSB43TokenErrorsCarryDetail(t *testing.T) {
	w := newWorld(t, nil)
	resp, body := w.post("/v2/token", url.Values{"grant_type": {"password"}})
	var m map[string]string
	if err := json.Unmarshal([]byte(body), &m); err != nil || resp.StatusCode != 400 || m["error"] != "invalid_request" || m["detail"] == "" || len(m) != 2 {
		t.Error(err, m)
	}
}

func TestSB44TokenResponse(t *testing.T) {
	w := newWorld(t, nil)
	resp, body := w.post("/v2/token", w.tokenForm(w.ask(w.confirm, nil).auto("approve"), nil, nil))
	var m map[string]any
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatal(err)
	}
	if text(m["access_token"]) == "" || m["token_type"] != "Bearer" || m["expires_in"] != 3600.0 || m["id_token"] == nil || len(m) != 4 {
		t.Error(m)
	}
	if resp.Header.Get("Cache-Control") != "no-store" || resp.Header.Get("Pragma") != "no-cache" || resp.Header.Get("Content-Type") != "application/json" {
		t.Error(resp.Header)
	}
}

func TestSB45IDToken(t *testing.T) {
	w := newWorld(t, nil)
	a := w.ask(w.confirm, nil).auto("approve")
	raw, err := w.exchange(a)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := token.Decrypt(raw, decryptionKeys())
	if err != nil || strings.Count(raw, ".") != 4 || strings.Count(inner, ".") != 2 {
		t.Fatal(err)
	}
	if _, err := token.Verify(context.Background(), inner, w.p, w.expect(a)); err != nil {
		t.Error(err)
	}
	m := openClaims(t, raw)
	now := float64(w.clock.Now().Unix())
	if m["iss"] != w.issuer() || m["aud"] != confirmID || m["iat"] != now || m["exp"] != now+300 || m["nonce"] != a.req.Nonce || text(m["sub"]) == "" {
		t.Error(m)
	}
	for _, absent := range []string{"at_hash", "amr", "azp"} {
		if _, ok := m[absent]; ok {
			t.Error(absent)
		}
	}
}

func TestSB46NonceComesBackByteByByte(t *testing.T) {
	w := newWorld(t, nil)
	for _, nonce := range []string{"2O4SsTWk-Yuwbb7S2PLqTMcMIxGGMNThvyYkwaUqWfg", "a b+/=é\"<&>", strings.Repeat("n", 500)} {
		if got := w.claims(w.ask(w.confirm, func(r *itsme.AuthRequest) { r.Nonce = nonce }).auto("approve"))["nonce"]; got != nonce {
			t.Errorf("%q came back as %q", nonce, got)
		}
	}
	if _, ok := w.claims(w.plain("LOGIN"))["nonce"]; ok {
		t.Error("a nonce nobody sent")
	}
}

func TestSB47ACRCanBeOmitted(t *testing.T) {
	w := newWorld(t, func(c *sandbox.Config) { c.Switches.OmitACR = true })
	if _, ok := w.claims(w.ask(w.confirm, nil).auto("approve"))["acr"]; ok {
		t.Error("acr")
	}
	if _, err := w.finish(w.ask(w.confirm, nil).auto("approve")); token.ReasonOf(err) != token.WrongACR {
		t.Error(err)
	}
}

// userinfo runs a request and fetches UserInfo.
func (w *world) userInfo(a asked) (idToken, userInfo map[string]any) {
	w.t.Helper()
	f := w.tokenForm(a, func(m map[string]any) { m["iss"], m["sub"] = a.client.ID(), a.client.ID() }, nil)
	_, body := w.post("/v2/token", f)
	var m struct {
		Access string `json:"access_token"`
		ID     string `json:"id_token"`
	}
	if err := json.Unmarshal([]byte(body), &m); err != nil || m.Access == "" {
		w.t.Fatal(err, body)
	}
	resp, jwt := w.get("/v2/userinfo", "Authorization", "Bearer "+m.Access)
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/json" {
		w.t.Fatal(resp.StatusCode, resp.Header)
	}
	return openClaims(w.t, m.ID), openClaims(w.t, jwt)
}

func TestSB48WhereClaimsGo(t *testing.T) {
	w := newWorld(t, nil)
	id, info := w.userInfo(w.plain("IDENT", "scope", "openid service:IDENT profile email eid", "claims", `{"id_token":{"phone_number":null},"userinfo":{"age_gte_18":null}}`))
	if id["phone_number"] == nil || id["name"] != nil || id["email"] != nil || id["age_gte_18"] != nil {
		t.Errorf("ID token %v", id)
	}
	for _, name := range []string{"name", "family_name", "given_name", "birthdate", "gender", "locale", "email", "email_verified", claim + "BEeidSn", claim + "BENationalNumber", "age_gte_18"} {
		if info[name] == nil {
			t.Errorf("UserInfo lacks %s", name)
		}
	}
	if info["phone_number"] != nil || info["sub"] != id["sub"] {
		t.Errorf("UserInfo %v", info)
	}
}

func TestSB49MetadataClaims(t *testing.T) {
	w := newWorld(t, nil)
	ask := func(person string, names ...string) map[string]any {
		return w.claims(w.ask(w.ident, func(r *itsme.AuthRequest) { r.IDTokenClaims = names }).auto(person))
	}
	m := ask("approve", claim+"IDIssuingCountry", claim+"IDDocumentSN", "name", claim+"validityTo", claim+"validityFrom", claim+"verificationDate")
	for name, n := range map[string]int{"IDIssuingCountry": 2, "validityTo": 1, "validityFrom": 1, "verificationDate": 2} {
		object, ok := m[claim+name].(map[string]any)
		if !ok || len(object) != n {
			t.Errorf("%s: %v", name, m[claim+name])
		}
	}
	if m[claim+"IDIssuingCountry"].(map[string]any)[claim+"IDDocumentSN"] != "BEL" {
		t.Error(m)
	}
	if m = ask("approve", claim+"IDIssuingCountry", claim+"transaction_ip"); m[claim+"IDIssuingCountry"] != nil {
		t.Error("a metadata claim alone")
	}
	m = ask("nl-document", claim+"validityFrom", claim+"IDDocumentSN", claim+"birthdate_as_string", claim+"BENationalNumber", "address")
	for _, absent := range []string{"validityFrom", "birthdate_as_string", "BENationalNumber"} {
		if v, ok := m[claim+absent]; ok {
			t.Errorf("%s: %v", absent, v)
		}
	}
	if _, ok := m["address"]; ok {
		t.Error("address of a Dutch document")
	}
	for _, person := range sandbox.People() {
		switch person {
		case "refuse", "expire", "blocked", "error":
			continue
		}
		for name, v := range ask(person, append(token.IdentityClaims(), "email", "address", "given_name")...) {
			if v == nil || v == "" {
				t.Errorf("%s: %s is empty instead of absent", person, name)
			}
		}
	}
}

func TestSB50Users(t *testing.T) {
	w := newWorld(t, nil)
	ask := func(person string) map[string]any {
		return w.claims(w.ask(w.ident, func(r *itsme.AuthRequest) {
			r.IDTokenClaims = append(token.IdentityClaims(), "email", "age_gte_16", claim+"BEeidSn")
		}).auto(person))
	}
	card := text(ask("approve")[claim+"BEeidSn"])
	if !regexp.MustCompile(`^\d{12}$`).MatchString(card) {
		t.Error(card)
	}
	if m := ask("nl-document"); len(text(m[claim+"IDDocumentSN"])) != 9 || m[claim+"IDIssuingCountry"].(map[string]any)["name"] != "NLD" {
		t.Error(m)
	}
	if m := ask("eu-document"); m[claim+"IDDocumentType"] != "P" || m[claim+"IDIssuingCountry"].(map[string]any)["name"] != "EST" {
		t.Error(m)
	}
	if m := ask("one-name"); m["given_name"] != nil || m["name"] != "Suharti" {
		t.Error(m)
	}
	if m := ask("no-email"); m["email"] != nil {
		t.Error(m)
	}
	if m := ask("app-to-app"); m[claim+"identification_mode"] != "a2a" {
		t.Error(m)
	}
	for range 30 { // whatever the day
		if m := ask("minor"); m["age_gte_18"] != false || m["age_gte_16"] != true {
			t.Fatal(w.clock.Now(), m)
		}
		w.clock.Add(31 * 24 * time.Hour)
	}
}

func TestSB51UserInfo(t *testing.T) {
	w := newWorld(t, nil)
	id, info := w.userInfo(w.plain("LOGIN"))
	if info["sub"] != id["sub"] || info["aud"] != identID || info["iss"] != w.issuer() {
		t.Error(info)
	}
	for _, header := range []string{"", "Bearer wrong", "Basic x"} {
		resp, _ := w.get("/v2/userinfo", "Authorization", header)
		if resp.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%q: %d", header, resp.StatusCode)
		}
	}
}

func TestSB52Sub(t *testing.T) {
	w := newWorld(t, nil)
	one, two := w.claims(w.plain("LOGIN"))["sub"], w.claims(w.plain("LOGIN"))["sub"]
	if one != two || !regexp.MustCompile(`^[0-9a-z]{36}$`).MatchString(text(one)) {
		t.Error(one, two)
	}
	if other := w.claims(w.ask(w.confirm, nil).auto("approve"))["sub"]; other == one {
		t.Error("the same for two clients")
	}
	if resp, _ := w.postJSON("/sandbox/recreate", map[string]string{"person": "approve"}); resp.StatusCode != http.StatusNoContent {
		t.Fatal(resp.StatusCode)
	}
	if again := w.claims(w.plain("LOGIN"))["sub"]; again == one {
		t.Error("the same after the account was made anew")
	}
}

func TestSB53ApprovalIsNotEchoed(t *testing.T) {
	w := newWorld(t, nil)
	echoed := func() (n int) {
		for name := range w.claims(w.ask(w.confirm, nil).auto("approve")) {
			if strings.Contains(name, "claim_approval") {
				n++
			}
		}
		return n
	}
	if n := echoed(); n != 0 {
		t.Error(n)
	}
	if err := w.op.SetSwitches(sandbox.Switches{EchoApproval: true}); err != nil {
		t.Fatal(err)
	}
	if n := echoed(); n != 2 {
		t.Error(n)
	}
}
