package activation_test

import (
	"bytes"
	"crypto/rsa"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"tekend/itsme/sandbox"
	"tekend/itsme/token"
	"tekend/itsme/token/tokentest"
	"tekend/sam"
)

// between stands between the sam and itsme and puts another ID token into itsme's answer: more than an owned front can.
type between struct {
	change atomic.Pointer[func(genuine string) string]
	hosts  atomic.Pointer[[]string] // that were asked
}

// RoundTrip is http.RoundTripper.
func (b *between) RoundTrip(r *http.Request) (*http.Response, error) {
	for {
		old := b.hosts.Load()
		var all []string
		if old != nil {
			all = slices.Clone(*old)
		}
		if slices.Contains(all, r.URL.Host) {
			break
		}
		all = append(all, r.URL.Host)
		if b.hosts.CompareAndSwap(old, &all) {
			break
		}
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	change := b.change.Load()
	if err != nil || change == nil || r.Method != http.MethodPost || resp.StatusCode != http.StatusOK {
		return resp, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	answer := map[string]any{}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, err
	}
	genuine, _ := answer["id_token"].(string)
	answer["id_token"] = (*change)(genuine)
	if body, err = json.Marshal(answer); err != nil {
		return nil, err
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return resp, nil
}

// itsmeSigningKey is what nobody but itsme has.
func itsmeSigningKey(t testing.TB) (*rsa.PrivateKey, string) {
	t.Helper()
	var state struct{ Keys []jose.JSONWebKey }
	must(t, json.Unmarshal(itsmeState(), &state))
	for _, k := range state.Keys {
		if priv, ok := k.Key.(*rsa.PrivateKey); ok && k.Use == "sig" {
			return priv, k.KeyID
		}
	}
	t.Fatal("itsme has no key")
	return nil, ""
}

// encryptionKey is the public key of one of our clients to which itsme encrypts.
func (w *world) encryptionKey(client string) jose.JSONWebKey {
	w.t.Helper()
	rec := httptest.NewRecorder()
	w.role.JWKS().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/jwks/"+client, nil))
	var set jose.JSONWebKeySet
	must(w.t, json.Unmarshal(rec.Body.Bytes(), &set))
	for _, k := range set.Keys {
		if k.Use == "enc" {
			return k
		}
	}
	w.t.Fatal("no key for encryption is published")
	return jose.JSONWebKey{}
}

// forgery is one token in place of the genuine one.
type forgery struct {
	name string
	make func(genuine string) string
}

// forgeries are all of tokentest, in the place where the sam gets its tokens.
func (w *world) forgeries() (bad, good []forgery) {
	priv, kid := itsmeSigningKey(w.t)
	f, to := tokentest.New(w.t, priv, kid, w.now()), w.encryptionKey("confirm")
	open := func(genuine string) string {
		return got(token.Decrypt(genuine, []jose.JSONWebKey{{Key: encKeys()[1], KeyID: to.KeyID}}))(w.t)
	}
	for _, x := range tokentest.Forgeries() {
		bad = append(bad, forgery{x.Name, func(g string) string { inner := open(g); return f.Encrypt(x.Make(f, inner, f.Read(inner)), to) }})
	}
	for _, x := range tokentest.Wrappings() {
		bad = append(bad, forgery{x.Name, func(g string) string { return x.Wrap(f, open(g), to) }})
	}
	for _, x := range tokentest.Good() {
		good = append(good, forgery{x.Name, func(g string) string { return x.Wrap(f, f.Sign(f.Read(open(g))), to) }})
	}
	bad = append(bad, forgery{"claims: in a call", func(g string) string {
		c := f.Read(open(g))
		c[token.ClaimOngoingCall] = true
		return f.Encrypt(f.Sign(c), to)
	}}, forgery{"claims: sub of another", func(g string) string {
		c := f.Read(open(g))
		c["sub"] = strings.Repeat("0", 36)
		return f.Encrypt(f.Sign(c), to)
	}})
	return bad, good
}

// TestOwnedFrontTokens: no forged token is a confirmation, and no genuine one of something else.
func TestOwnedFrontTokens(t *testing.T) {
	b := &between{}
	w := newOwnedWorld(t)
	w.http = &http.Client{Transport: b}
	w.start()
	cred := w.enrol("approve")
	bad, good := w.forgeries()
	for _, f := range good { // the way in is open: what is genuine goes through it
		b.change.Store(&f.make)
		w.confirm(cred, 1)
	}
	used, audited, accepted := w.signatures(), w.refusals(), 0
	try := func(name string, answer func(p sam.Prepared) sam.Answer) {
		p := w.prepare(cred, documents(t, cred, 1))
		_, err := w.front.Authorize(t.Context(), p.Nonce, answer(p))
		switch code(err) {
		case sam.CodeBadToken, sam.CodeWrongNonce, sam.CodeWrongPerson, sam.CodeExpired, sam.CodeOngoingCall, sam.CodeDeclined:
		default:
			t.Errorf("%s: %v", name, err)
		}
		if st := got(w.front.Confirmation(t.Context(), p.Nonce))(t); st.Session != nil || st.State == sam.StateAuthorized {
			accepted++
			t.Errorf("%s was accepted: %+v", name, st)
		}
	}
	for _, f := range bad {
		b.change.Store(&f.make)
		try(f.name, func(p sam.Prepared) sam.Answer { return w.at(p.AuthorizationURL, "") })
	}
	b.change.Store(nil)
	for _, d := range sandbox.Defects() {
		try("defect "+d, func(p sam.Prepared) sam.Answer { return w.at(p.AuthorizationURL, "", "sandbox_defect="+d) })
	}
	elsewhere := w.stolen(b, cred)
	for name, genuine := range elsewhere {
		give := func(string) string { return genuine }
		b.change.Store(&give)
		try(name, func(p sam.Prepared) sam.Answer { return w.at(p.AuthorizationURL, "") })
	}
	tried := len(bad) + len(sandbox.Defects()) + len(elsewhere)
	if tried < 60 {
		t.Errorf("only %d tokens were tried", tried)
	}
	w.figure("forged and foreign tokens at the sam", tried, accepted, w.refusals()-audited, w.signatures()-used)
	if hosts := *b.hosts.Load(); len(hosts) != 1 || !strings.Contains(w.url, hosts[0]) {
		t.Errorf("the sam asked %v for keys and tokens", hosts)
	}
}

// stolen are genuine, fresh tokens of itsme's, encrypted to the right key, that are of something else: of another client,
// another operation, another person, another confirmation.
func (w *world) stolen(b *between, cred sam.Credential) map[string]string {
	t := w.t
	t.Helper()
	to, all := w.encryptionKey("confirm"), map[string]string{}
	priv, kid := itsmeSigningKey(t)
	f := tokentest.New(t, priv, kid, w.now())
	grab := func(name string, key int, do func()) {
		kid := w.encryptionKey([]string{"ident", "confirm"}[key]).KeyID
		take := func(g string) string {
			if inner, err := token.Decrypt(g, []jose.JSONWebKey{{Key: encKeys()[key], KeyID: kid}}); err == nil {
				all[name] = f.Encrypt(inner, to) // of the client that is meant
			}
			return g
		}
		b.change.Store(&take)
		do()
	}
	var st sam.EnrolStep
	grab("an identification", 0, func() { st = w.toConsent("one-name") })
	grab("the consent of an enrolment", 1, func() { got(w.front.Consent(t.Context(), st.ID, w.at(st.AuthorizationURL, "one-name")))(t) })
	grab("the consent of another person", 1, func() { w.toIssue("approve-slow") })
	grab("another confirmation of the same person", 1, func() { w.confirm(cred, 1) })
	return all
}
