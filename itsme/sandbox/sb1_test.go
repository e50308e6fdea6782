package sandbox_test

import (
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

func TestSB10OnlyGET(t *testing.T) {
	w := newWorld(t, nil)
	resp, _ := w.post("/v2/authorization", url.Values{"client_id": {confirmID}})
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Error(resp.StatusCode)
	}
}

func TestSB11UnknownClientOrRedirectIsShownNotSent(t *testing.T) {
	w := newWorld(t, nil)
	body := w.wantPage(w.nested(nil, "client_id", "NOBODY").url, "invalid_client_id")
	if !regexp.MustCompile(`Error message : \[\d{9}\] invalid_client_id - `).MatchString(body) || !strings.Contains(body, "Code:400") {
		t.Error(body)
	}
	callback := w.rp.URL + "/itsme/callback"
	for _, uri := range []string{strings.Replace(callback, "/itsme/", "/ITSME/", 1), callback + "?", callback + "?y=1", callback + "/", "https://evil.example.com/"} {
		w.wantPage(w.nested(nil, "redirect_uri", uri).url, "invalid_redirect_uri")
		w.wantPage(w.nested(func(m map[string]any) { m["redirect_uri"] = uri }).url, "invalid_redirect_uri")
	}
	w.wantPage(w.nested(func(m map[string]any) { delete(m, "redirect_uri") }, "redirect_uri", "").url, "invalid_redirect_uri")
	// Inside the object alone is enough, and the query string is part of it.
	a := w.nested(func(m map[string]any) { m["redirect_uri"] = callback + "?x=1" }, "redirect_uri", "")
	if q := w.answer(a); q.Get("x") != "1" || q.Get("code") == "" {
		t.Error(q)
	}
}

func TestSB12MissingResponseType(t *testing.T) {
	w := newWorld(t, nil)
	if body := w.wantPage(w.nested(nil, "response_type", "").url, "invalid_request"); !strings.Contains(body, "Missing &#34;response_type&#34; parameter") {
		t.Error(body)
	}
	w.wantPage(w.plain("LOGIN").url+"&scope=openid", "invalid_request") // duplicate parameter
}

func TestSB13UnsupportedValues(t *testing.T) {
	w := newWorld(t, nil)
	w.wantError(w.plain("LOGIN", "response_type", "token"), "unsupported_response_type")
	w.wantError(w.plain("LOGIN", "display", "popup"), "unsupported_display")
	w.wantError(w.plain("LOGIN", "prompt", "none"), "login_required")
	w.wantError(w.nested(func(m map[string]any) { m["display"] = "touch" }), "unsupported_display")
	w.wantError(w.nested(func(m map[string]any) { m["prompt"] = "none" }), "login_required")
	if q := w.answer(w.plain("LOGIN", "display", "page", "prompt", "login consent")); q.Get("code") == "" || q.Get("state") != "st" {
		t.Error(q)
	}
}

func TestSB14Scope(t *testing.T) {
	w := newWorld(t, nil)
	for _, scope := range []string{"service:LOGIN", "openid", "openid service:NOBODY", "openid service:CONF", "openid service:LOGIN service:IDENT"} {
		w.wantError(w.plain("", "scope", scope), "invalid_scope")
	}
	if q := w.answer(w.plain("", "scope", "openid magic service:LOGIN")); q.Get("code") == "" {
		t.Error(q)
	}
	w.wantError(w.plain("", "scope", "openid service:IDENT"), "invalid_request") // asks for nothing
}

func TestSB15ConfirmationNeedsANestedRequestObject(t *testing.T) {
	w := newWorld(t, nil)
	w.wantError(w.authURL("", "state", "st"), "invalid_request")
	signed := w.sign(w.object(nil), jose.RS256, rpKeys()[0], "s1")
	for name, request := range map[string]string{
		"signed only": signed, "encrypted only": w.encrypt(`{"iss":"` + confirmID + `"}`), "unsigned": "e30.e30.", "none": w.encrypt("eyJhbGciOiJub25lIn0.e30."),
		"to another key": w.nested(nil).url[:20],
	} {
		if got := w.answer(w.authURL(request)).Get("error"); got != "invalid_request_object" {
			t.Errorf("%s: %q", name, got)
		}
	}
	if q := w.answer(w.authURL(w.encrypt(signed))); q.Get("code") == "" || q.Get("state") != "st" {
		t.Error(q)
	}
}

func TestSB16RequestObjectChecks(t *testing.T) {
	w := newWorld(t, nil)
	k := rpKeys()
	object := func(change func(map[string]any)) map[string]any { return w.object(change) }
	w.wantError(w.authURL(w.encrypt(w.sign(object(nil), jose.RS512, k[0], "s1"))), "invalid_request_object")
	w.wantError(w.authURL(w.encrypt(w.sign(object(nil), jose.PS256, k[0], "s1"))), "invalid_request_object")
	w.wantError(w.authURL(w.encrypt(w.sign(object(nil), jose.RS256, k[0], "other"))), "invalid_request_object")
	w.wantError(w.authURL(w.encrypt(w.sign(object(nil), jose.RS256, k[2], "s1"))), "invalid_request_object")
	w.wantError(w.authURL(w.encrypt(w.sign(object(nil), jose.RS256, k[1], "e1"))), "invalid_request_object") // our encryption key
	for name, change := range map[string]func(map[string]any){
		"aud": func(m map[string]any) { m["aud"] = "https://other.test" }, "no aud": func(m map[string]any) { delete(m, "aud") },
		"iss": func(m map[string]any) { m["iss"] = identID }, "no iss": func(m map[string]any) { delete(m, "iss") },
		"legacy aud": func(m map[string]any) { m["aud"] = w.issuer() + "/authorization" },
		"state type": func(m map[string]any) { m["state"] = 5 },
		"recursion":  func(m map[string]any) { m["request"] = "x" },
	} {
		if got := w.answer(w.nested(change)).Get("error"); got != "invalid_request_object" {
			t.Errorf("%s: %q", name, got)
		}
	}
	for _, change := range []func(map[string]any){
		func(m map[string]any) { m["response_type"] = "token" },
		func(m map[string]any) { m["client_id"] = identID },
		func(m map[string]any) { m["scope"] = "openid service:CONF email" },
		func(m map[string]any) { delete(m, "scope") },
	} {
		w.wantError(w.nested(change), "invalid_request")
	}
	w.wantError(w.nested(nil, "scope", ""), "invalid_request")
	// Inner values win.
	if q := w.answer(w.nested(func(m map[string]any) { m["state"] = "inner" }, "state", "outer")); q.Get("state") != "inner" || q.Get("code") == "" {
		t.Error(q)
	}
	if q := w.answer(w.nested(func(m map[string]any) { m["aud"] = []string{"x", w.issuer()} })); q.Get("code") == "" {
		t.Error(q)
	}
	if err := w.op.SetSwitches(sandbox.Switches{LegacyAudience: true}); err != nil {
		t.Fatal(err)
	}
	if q := w.answer(w.nested(func(m map[string]any) { m["aud"] = w.issuer() + "/authorization" })); q.Get("code") == "" {
		t.Error(q)
	}
}

func TestSB17RequestURIRules(t *testing.T) {
	w := newWorld(t, nil)
	here := w.rp.URL + "/request"
	serve := func() string {
		w.serve("/request", w.encrypt(w.sign(w.object(nil), jose.RS256, rpKeys()[0], "s1")))
		return here
	}
	serve()
	w.wantError(w.authURL("x", "request_uri", here), "invalid_request")
	w.wantError(w.authURL("", "request_uri", w.rp.URL+"/other"), "invalid_request_uri")                // not registered
	w.wantError(w.authURL("", "request_uri", "https://rp.example.com/request"), "invalid_request_uri") // without :443
	if q := w.answer(w.authURL("", "request_uri", serve())); q.Get("code") == "" {
		t.Error(q)
	}
	if !strings.Contains(strings.Join(w.op.Warnings(), "\n"), "request_uri on") {
		t.Error("a local request_uri was not warned of")
	}
	if err := w.op.SetSwitches(sandbox.Switches{RefuseLocalRequestURI: true}); err != nil {
		t.Fatal(err)
	}
	w.wantError(w.authURL("", "request_uri", serve()), "invalid_request_uri")
	w.wantError(w.authURL("", "request_uri", "https://127.0.0.1:443/request"), "invalid_request_uri")
}

func TestSB18RequestURIIsReadOnce(t *testing.T) {
	w := newWorld(t, nil)
	w.serve("/request", w.encrypt(w.sign(w.object(nil), jose.RS256, rpKeys()[0], "s1")))
	if q := w.answer(w.authURL("", "request_uri", w.rp.URL+"/request")); q.Get("code") == "" {
		t.Fatal(q)
	}
	if n := w.hitsOf("/request"); n != 1 {
		t.Errorf("read %d times", n)
	}
}

func TestSB19FreshnessOfRequestObjects(t *testing.T) {
	w := newWorld(t, nil)
	now := w.clock.Now()
	for _, change := range []func(map[string]any){
		func(m map[string]any) { m["exp"] = now.Unix() },
		func(m map[string]any) { m["exp"] = "soon" },
		func(m map[string]any) { m["nbf"] = now.Add(time.Minute).Unix() },
	} {
		w.wantError(w.nested(change), "invalid_request_object")
	}
	a := w.nested(nil)
	if q := w.answer(a); q.Get("code") == "" {
		t.Fatal(q)
	}
	w.wantError(a, "invalid_request_object")
	if q := w.answer(w.nested(func(m map[string]any) { delete(m, "exp"); delete(m, "jti") })); q.Get("code") == "" {
		t.Error(q) // neither is demanded
	}
}

func TestALinkClickedTwiceLeadsToTheSameAction(t *testing.T) {
	w := newWorld(t, nil)
	a := w.ask(w.confirm, nil).with("sandbox_person", "approve")
	id := w.phone(a)
	if again := w.phone(a); again != id {
		t.Error("another action")
	}
	w.wantError(a.with("sandbox_auto", "1"), "invalid_request_object") // the same jti in another address
	resp, _ := w.post("/sandbox/phone/"+id, url.Values{"answer": {"confirm"}, "code": {"12345"}})
	if u, err := resp.Location(); err != nil || u.Query().Get("code") == "" {
		t.Fatal(err)
	}
	w.wantError(a, "invalid_request_object")
}

func TestSB20PKCE(t *testing.T) {
	w := newWorld(t, nil)
	for _, change := range []func(map[string]any){
		func(m map[string]any) { m["code_challenge_method"] = "plain" },
		func(m map[string]any) { delete(m, "code_challenge_method") },
		func(m map[string]any) { m["code_challenge"] = "short" },
		func(m map[string]any) { delete(m, "code_challenge"); delete(m, "code_challenge_method") }, // required for this client
	} {
		w.wantError(w.nested(change), "invalid_request")
	}
	if q := w.answer(w.plain("LOGIN")); q.Get("code") == "" {
		t.Error(q) // not required for that one
	}
}

func TestSB21IgnoredParameters(t *testing.T) {
	w := newWorld(t, nil)
	a := w.plain("LOGIN", "max_age", "1", "id_token_hint", "x", "response_mode", "form_post", "claims_locales", "xx", "service_code", "x")
	if q := w.answer(a); q.Get("code") == "" {
		t.Error(q)
	}
	w.wantError(w.plain("LOGIN", "registration", "{}"), "registration_not_supported")
}

func TestSB22Languages(t *testing.T) {
	w := newWorld(t, nil)
	for locales, lang := range map[string]string{"": "en", "nl": "nl", "fr de": "fr", "xx de-BE nl": "de", "xx": "en"} {
		a := w.plain("LOGIN", "ui_locales", locales, "sandbox_auto", "")
		resp, _ := w.get(a.url)
		page := resp.Header.Get("Location")
		_, body := w.get(page)
		if !strings.Contains(body, `<html lang="`+lang+`">`) {
			t.Errorf("%q: not %s", locales, lang)
		}
		for _, other := range []string{"nl", "fr", "de", "en"} {
			if other != lang && !strings.Contains(body, `href="?lang=`+other+`"`) {
				t.Errorf("%q: no switch to %s", locales, other)
			}
		}
		if _, body = w.get(page + "?lang=fr"); !strings.Contains(body, "Identifiez-vous") {
			t.Error("the switch does not work")
		}
	}
}

func TestSB23ACR(t *testing.T) {
	w := newWorld(t, nil)
	basic, advanced := token.ACRBasic, token.ACRAdvanced
	for values, want := range map[string]string{"": basic, basic: basic, advanced: advanced, basic + " " + advanced: advanced, strings.Replace(advanced, "/v2/", "/V2/", 1): advanced} {
		if got := w.claims(w.plain("LOGIN", "acr_values", values))["acr"]; got != want {
			t.Errorf("%q: %v", values, got)
		}
		resp, _ := w.get(w.plain("LOGIN", "acr_values", values, "sandbox_auto", "", "sandbox_person", "approve").url)
		id := strings.TrimPrefix(resp.Header.Get("Location"), "/sandbox/actions/")
		_, body := w.get("/sandbox/phone/" + id)
		if finger := strings.Contains(body, `id="finger"`); finger != (want == basic) {
			t.Errorf("%q: fingerprint %v", values, finger)
		}
		// The code is demanded at that level only.
		resp, _ = w.post("/sandbox/phone/"+id, url.Values{"answer": {"confirm"}, "code": {"12"}})
		if refused := resp.StatusCode == http.StatusBadRequest; refused != (want == advanced) {
			t.Errorf("%q: status %d", values, resp.StatusCode)
		}
	}
}

func TestSB24TargetedSub(t *testing.T) {
	w := newWorld(t, nil)
	sub := w.op.Sub("diacritics", confirmID)
	a := w.ask(w.confirm, func(r *itsme.AuthRequest) { r.Subject = sub })
	resp, _ := w.get(a.url)
	if _, body := w.get(resp.Header.Get("Location")); strings.Contains(body, `name="person"`) || !strings.Contains(body, "Prove it&#39;s you") {
		t.Error("the identification page was shown")
	}
	if id := w.must(w.ask(w.confirm, func(r *itsme.AuthRequest) { r.Subject = sub }).with("sandbox_auto", "1")); id.Subject != sub {
		t.Error("another person answered")
	}
	// The same under id_token does nothing.
	a = w.nested(func(m map[string]any) {
		m["claims"] = map[string]any{"userinfo": template("Hello"), "id_token": map[string]any{"sub": map[string]any{"value": sub}}}
	}, "sandbox_auto", "")
	resp, _ = w.get(a.url)
	if _, body := w.get(resp.Header.Get("Location")); !strings.Contains(body, `name="person"`) {
		t.Error("the identification page was skipped")
	}
}

func TestSB25UnknownSub(t *testing.T) {
	w := newWorld(t, nil)
	a := func() asked {
		return w.ask(w.confirm, func(r *itsme.AuthRequest) { r.Subject = strings.Repeat("0", 36) }).with("sandbox_auto", "1")
	}
	w.wantError(a(), "access_denied")
	// The sub of another client is unknown here.
	w.wantError(w.ask(w.confirm, func(r *itsme.AuthRequest) { r.Subject = w.op.Sub("approve", identID) }).with("sandbox_auto", "1"), "access_denied")
	if err := w.op.SetSwitches(sandbox.Switches{UnknownSubError: "unknown_user_id"}); err != nil {
		t.Fatal(err)
	}
	w.wantError(a(), "unknown_user_id")
}
