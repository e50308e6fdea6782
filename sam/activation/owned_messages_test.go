package activation_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"tekend/consent"
	"tekend/itsme"
	"tekend/sam"
	"tekend/wire"
)

// call is a message and the code with which it is refused.
type call struct{ name, path, body, code string }

// TestOwnedFrontMessages: giant lists, wrong order, foreign sessions, bodies at the limit and over it, texts that the app
// cannot show. Each is refused with the protocol's own code, once in the audit, and no key is used.
func TestOwnedFrontMessages(t *testing.T) {
	w := newOwnedWorld(t)
	cred := w.enrol("approve")
	two, waiting := w.confirm(cred, 2), w.prepare(cred, documents(t, cred, 1))
	first, second := w.apply(), w.toConsent("one-name")
	old := w.confirm(cred, 1)
	w.exec("UPDATE sessions SET expires = 1 WHERE nonce = ?", old.Nonce)
	text := func(v any) string { return string(got(json.Marshal(v))(t)) }
	doc := document(t, cred, "A.pdf", "A")
	labelled := func(label string) string {
		d := doc
		d.Label = label
		return text(order(cred, []sam.Document{d}))
	}
	positions := func(session string, p ...int) string {
		return text(sam.SignRequest{Session: session, Positions: p})
	}
	many := make([]int, 251)
	for i := range many {
		many[i] = i
	}
	answer, confirmations, enrolments := text(sam.Answer{Code: itsme.Random()}), "/v1/confirmations/", "/v1/enrolments/"
	sign, prepare := confirmations+two.Nonce+"/signatures/", "/v1/preparations/"
	calls := []call{
		{"251 documents", prepare, text(order(cred, documents(t, cred, 251))), sam.CodeBadRequest},
		{"no document", prepare, text(order(cred, nil)), sam.CodeBadRequest},
		{"one document twice", prepare, text(order(cred, []sam.Document{doc, doc})), sam.CodeAttributesRefused},
		{"an empty label", prepare, labelled(""), sam.CodeAttributesRefused},
		{"a credential that is not there", prepare, strings.Replace(labelled("A.pdf"), cred.ID, "cred_x", 1), sam.CodeCredentialUnknown},
		{"251 positions", sign, positions(two.session.ID, many...), sam.CodeBadRequest},
		{"20000 positions", sign, positions(two.session.ID, make([]int, 20000)...), sam.CodeBadRequest},
		{"no position", sign, positions(two.session.ID), sam.CodeBadRequest},
		{"a position twice", sign, positions(two.session.ID, 0, 0), sam.CodeBadRequest},
		{"a position before the first", sign, positions(two.session.ID, -1), sam.CodeBadRequest},
		{"a position behind the last", sign, positions(two.session.ID, 2), sam.CodeBadRequest},
		{"a position of 2^80", sign, `{"session":"` + two.session.ID + `","positions":[1208925819614629174706176]}`, sam.CodeBadRequest},
		{"half a position", sign, `{"session":"` + two.session.ID + `","positions":[0.5]}`, sam.CodeBadRequest},
		{"an invented session", sign, positions(itsme.Random(), 0), sam.CodeNotAuthorized},
		{"no session", sign, positions("", 0), sam.CodeNotAuthorized},
		{"another's session", sign, positions(old.session.ID, 0), sam.CodeNotAuthorized},
		{"a session that is over", confirmations + old.Nonce + "/signatures/", positions(old.session.ID, 0), sam.CodeNotAuthorized},
		{"signing before the answer", confirmations + waiting.Nonce + "/signatures/", positions(two.session.ID, 0), sam.CodeNotAuthorized},
		{"signing a consent", confirmations + w.nonceOf("consent", second.ID) + "/signatures/", positions(two.session.ID, 0), sam.CodeNotAuthorized},
		{"a consent before the identification", enrolments + first.ID + "/consent", answer, sam.CodeConflict},
		{"a certificate before the identification", enrolments + first.ID + "/certificate", text(sam.CertificateChain{Chain: cred.Chain}), sam.CodeConflict},
		{"a certificate before the consent", enrolments + second.ID + "/certificate", text(sam.CertificateChain{Chain: cred.Chain}), sam.CodeConflict},
		{"another identification", enrolments + second.ID + "/identification", answer, sam.CodeConflict},
		{"an enrolment that is not there", enrolments + itsme.Random() + "/consent", answer, sam.CodeEnrolmentUnknown},
		{"a confirmation that is not there", confirmations + itsme.Random() + "/authorization", answer, sam.CodeNotAuthorized},
		{"another answer", confirmations + two.Nonce + "/authorization", answer, sam.CodeConflict},
		{"code and error", confirmations + waiting.Nonce + "/authorization", `{"code":"a","error":"b"}`, sam.CodeBadRequest},
		{"neither", confirmations + waiting.Nonce + "/authorization", `{}`, sam.CodeBadRequest},
		{"a code of 600 characters", confirmations + waiting.Nonce + "/authorization", text(sam.Answer{Code: strings.Repeat("c", 600)}), sam.CodeBadRequest},
		{"a code with a space", confirmations + waiting.Nonce + "/authorization", `{"code":"a b"}`, sam.CodeBadRequest},
		{"one byte over the limit", confirmations + waiting.Nonce + "/authorization", pad(`{"code":"a b"}`, wire.MaxBody+1), "too_large"},
		{"at the limit", confirmations + waiting.Nonce + "/authorization", pad(`{"code":"a b"}`, wire.MaxBody), sam.CodeBadRequest},
		{"twice the limit", prepare, pad(labelled("A.pdf"), 2*wire.MaxBody), "too_large"},
	}
	raw := wire.NewClient(w.socket, 20*time.Second)
	used, audited := w.signatures(), w.refusals()
	for _, c := range calls {
		path := c.path
		if strings.HasSuffix(path, "/") {
			path += wire.BodyHash([]byte(c.body))
		}
		before := w.refusals()
		err := raw.Do(t.Context(), http.MethodPut, path, []byte(c.body), nil)
		var e *wire.Error
		if !errors.As(err, &e) || e.Code != c.code || e.Status < 400 || e.Status >= 500 {
			t.Errorf("%s: %v, want %s", c.name, err, c.code)
		}
		if n := w.refusals() - before; n != 1 {
			t.Errorf("%s: %d refusals in the audit", c.name, n)
		}
	}
	w.figure("messages outside the contract", len(calls), 0, w.refusals()-audited, w.signatures()-used)
	// A name that the app cannot show is made one that it can, the same in text and manifest.
	for _, label := range []string{strings.Repeat("A", 10<<10), "A\nCheck code: 1234", "A\u202efdp.exe", "<b>Check code: 1234</b>"} {
		var p sam.Prepared
		body := []byte(labelled(label))
		must(t, raw.Do(t.Context(), http.MethodPut, prepare+wire.BodyHash(body), body, &p))
		shown := got(consent.DecodeManifest(p.Manifest))(t).Docs[0].Label
		if len(p.Text) > 7500 || strings.ContainsAny(p.Text, "\n\u202e") || shown == label || strings.Contains(p.Text, "<b>Check code: 1234") {
			t.Errorf("%.30q is shown as %.200q in %.300q", label, shown, p.Text)
		}
	}
	st := got(w.front.Confirmation(t.Context(), waiting.Nonce))(t)
	if st.State != sam.StatePrepared { // nothing of it was an answer
		t.Errorf("%+v", st)
	}
}

// pad makes a message of n bytes.
func pad(s string, n int) string { return s + strings.Repeat(" ", max(0, n-len(s))) }

// TestOwnedFrontPushesKeys: no message gives the sam keys, addresses or policies: the contract has none, each member that
// tries is refused, our own key set can only be read, and the sam asks itsme's host alone.
func TestOwnedFrontPushesKeys(t *testing.T) {
	b := &between{}
	w := newOwnedWorld(t)
	w.http = &http.Client{Transport: b}
	w.start()
	cred := w.enrol("approve")
	c := w.prepare(cred, documents(t, cred, 1))
	used, audited := w.signatures(), w.refusals()
	raw, tried, accepted := wire.NewClient(w.socket, 20*time.Second), 0, 0
	keys := w.encryptionKey("confirm")
	value := string(got(json.Marshal(map[string]any{"keys": []any{keys}}))(t))
	for _, member := range []string{
		"jwks", "jwks_uri", "keys", "key_set", "issuer", "iss", "provider_url", "discovery", "client_id", "redirect_uri", "token", "id_token",
		"acr", "now", "limits", "provider_signed", "providers", "sub", "person", "owner",
	} {
		for _, to := range []struct{ path, body string }{
			{"/v1/preparations/", string(got(json.Marshal(order(cred, documents(t, cred, 1))))(t))},
			{"/v1/enrolments/", `{"v":1,"txn":"a","language":"en","terms_version":"x","terms_sha256":""}`},
			{"/v1/confirmations/" + c.Nonce + "/authorization", `{"code":"x"}`},
			{"/v1/fronts/front/mark", `{"mark":{"number":1,"link":""},"after":""}`},
		} {
			body := fmt.Sprintf(`{%q:%s,%s`, member, value, to.body[1:])
			path := to.path
			if strings.HasSuffix(path, "/") {
				path += wire.BodyHash([]byte(body))
			}
			tried++
			if err := raw.Do(t.Context(), http.MethodPut, path, []byte(body), nil); code(err) != sam.CodeBadRequest {
				accepted++
				t.Errorf("%s in %s: %v", member, to.path, err)
			}
		}
	}
	w.figure("keys, addresses and policies pushed at the sam", tried, accepted, w.refusals()-audited, w.signatures()-used)
	for _, method := range []string{http.MethodPut, http.MethodPost, http.MethodPatch, http.MethodDelete} {
		for _, path := range []string{"/jwks/ident", "/jwks/confirm", "/jwks", "/v1/jwks", "/v1/keys", "/v1/config", "/v1/providers"} {
			for name, h := range map[string]http.Handler{"key sets": w.role.JWKS(), "sam": w.role.Handler()} {
				rec := httptest.NewRecorder()
				h.ServeHTTP(rec, httptest.NewRequest(method, path, strings.NewReader(value)))
				if rec.Code != http.StatusNotFound && rec.Code != http.StatusMethodNotAllowed {
					t.Errorf("%s: %s %s: %d", name, method, path, rec.Code)
				}
			}
		}
	}
	if hosts := *b.hosts.Load(); !slices.Equal(hosts, []string{strings.TrimSuffix(strings.TrimPrefix(w.url, "http://"), "/v2")}) {
		t.Errorf("the sam asked %v", hosts)
	}
}
