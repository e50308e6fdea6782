package activation_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"tekend/consent"
	"tekend/hsm"
	"tekend/itsme"
	"tekend/sam"
	"tekend/sam/activation"
	"tekend/wire"
)

func TestSignature(t *testing.T) {
	for _, kind := range hsm.UserKinds {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t, func(c *activation.Config) { c.KeyType = kind })
			cred := w.enrol("diacritics")
			if cred.State != sam.CredentialActive || cred.KeyType != string(kind) {
				t.Fatalf("%+v", cred)
			}
			c := w.confirm(cred, 3)
			m := got(consent.DecodeManifest(c.Manifest))(t)
			code := got(consent.CheckCode(m.Root))(t)
			if c.Nonce != consent.Nonce(c.Manifest) || c.CheckCode != code || m.Template.Text != c.Text || !strings.Contains(c.Text, code) {
				t.Errorf("%+v", c.Prepared)
			}
			signed := got(w.front.Sign(t.Context(), c.Nonce, c.request(2, 0, 1)))(t)
			slices.SortFunc(signed.Values, func(a, b sam.Value) int { return a.Position - b.Position })
			checkValues(t, cred, c.docs, signed.Values)
			if n := w.uses(); n != 4 { // and one for the certificate request
				t.Errorf("%d uses", n)
			}
		})
	}
}

// TestNoPersonAndNoTokenInTheRecord: the audit names nobody.
func TestNoPersonAndNoTokenInTheRecord(t *testing.T) {
	w := newWorld(t)
	st := w.toIssue("approve")
	order := *st.Order
	c := w.confirm(w.enrol("approve-slow"), 1)
	got(w.front.Sign(t.Context(), c.Nonce, c.request(0)))(t)
	if _, err := w.front.Credential(t.Context(), "Alice Peeters"); code(err) != sam.CodeCredentialUnknown {
		t.Error(err)
	}
	m := got(consent.DecodeManifest(c.Manifest))(t)
	secrets := []string{"Alice", "Peeters", "Slots", "5920000001", "eyJ", m.Sub, c.answer.Code, c.session.ID, c.State, order.IdentificationToken[:40], "1985", "Contract"}
	for _, r := range w.rows() {
		for _, s := range secrets {
			if strings.Contains(r.raw, s) || strings.Contains(r.subject, s) {
				t.Errorf("row %s holds %q", r.kind, s)
			}
		}
	}
}

func TestValuesLeaveTogether(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	c := w.confirm(cred, 3)
	part := got(w.front.Sign(t.Context(), c.Nonce, c.request(1)))(t)
	if len(part.Values) != 0 {
		t.Fatalf("values left before all were signed: %+v", part)
	}
	st := got(w.front.Confirmation(t.Context(), c.Nonce))(t)
	for i, p := range st.Positions {
		if want := map[bool]string{true: sam.PositionSigned, false: sam.PositionFree}[i == 1]; p.State != want || p.Value != nil {
			t.Errorf("%+v", p)
		}
	}
	all := got(w.front.Sign(t.Context(), c.Nonce, c.request(0, 1, 2)))(t)
	checkValues(t, cred, c.docs, all.Values)
	if n := w.uses(); n != 4 {
		t.Errorf("%d uses", n)
	}
}

func TestEqualCallsGetTheStoredOutcome(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	req := order(cred, documents(t, cred, 2))
	p := got(w.front.Prepare(t.Context(), req))(t)
	again := got(w.front.Prepare(t.Context(), req))(t)
	if again.Nonce != p.Nonce || again.AuthorizationURL != p.AuthorizationURL || again.State != p.State || !again.ExpiresAt.Equal(p.ExpiresAt) {
		t.Error("an equal preparation made another question")
	}
	a := w.at(p.AuthorizationURL, "")
	s := got(w.front.Authorize(t.Context(), p.Nonce, a))(t)
	if s2 := got(w.front.Authorize(t.Context(), p.Nonce, a))(t); !reflect.DeepEqual(s2, s) {
		t.Errorf("%+v, then %+v", s, s2)
	}
	if _, err := w.front.Authorize(t.Context(), p.Nonce, sam.Answer{Code: "another"}); code(err) != sam.CodeConflict {
		t.Error(err)
	}
	r := sam.SignRequest{Session: s.ID, Positions: []int{0, 1}}
	first := got(w.front.Sign(t.Context(), p.Nonce, r))(t)
	second := got(w.front.Sign(t.Context(), p.Nonce, r))(t)
	if !equalValues(first.Values, second.Values) {
		t.Error("an equal call got other values")
	}
	if n := w.uses(); n != 3 || w.hits.Load() != 3 {
		t.Errorf("%d uses, %d exchanges", n, w.hits.Load())
	}
}

func equalValues(a, b []sam.Value) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return len(a) > 0 && string(x) == string(y)
}

// TestManyCallersOneSession: 64 at once, with one answer, then with one session.
func TestManyCallersOneSession(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	docs := documents(t, cred, 2)
	p := w.prepare(cred, docs)
	a := w.at(p.AuthorizationURL, "")
	const callers = 64
	sessions := make([]sam.Session, callers)
	values := make([][]sam.Value, callers)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			s, err := w.front.Authorize(t.Context(), p.Nonce, a)
			if err != nil {
				t.Error(err)
				return
			}
			sessions[i] = s
			signed, err := w.front.Sign(t.Context(), p.Nonce, sam.SignRequest{Session: s.ID, Positions: []int{0, 1}})
			if err != nil {
				t.Error(err)
				return
			}
			values[i] = signed.Values
		})
	}
	all.Wait()
	for i := range callers {
		if !reflect.DeepEqual(sessions[i], sessions[0]) || !equalValues(values[i], values[0]) {
			t.Fatalf("caller %d got another session or other values", i)
		}
	}
	checkValues(t, cred, docs, values[0])
	if n := w.uses(); n != 3 || w.count("confirmation.authorized") != 1 || w.hits.Load() != 3 {
		t.Errorf("%d uses, %d sessions, %d exchanges", n, w.count("confirmation.authorized"), w.hits.Load())
	}
}

// TestManyAnswersAtOnce: of different answers one is taken, and one exchanged.
func TestManyAnswersAtOnce(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	p := w.prepare(cred, documents(t, cred, 1))
	before := w.hits.Load()
	var all sync.WaitGroup
	codes := make([]string, 16)
	for i := range codes {
		all.Go(func() {
			_, err := w.front.Authorize(t.Context(), p.Nonce, sam.Answer{Code: fmt.Sprintf("guess-%d", i)})
			codes[i] = code(err)
		})
	}
	all.Wait()
	slices.Sort(codes)
	if codes[len(codes)-1] != sam.CodeExpired || codes[len(codes)-2] != sam.CodeConflict || codes[0] != sam.CodeConflict || w.hits.Load() != before+1 {
		t.Errorf("%v, %d exchanges", codes, w.hits.Load()-before)
	}
}

// TestReplyLostAfterTheKeyWasUsed: the caller hangs up, the work goes on, and
// GET gives the values.
func TestReplyLostAfterTheKeyWasUsed(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	c := w.confirm(cred, 5)
	body := got(json.Marshal(c.request(0, 1, 2, 3, 4)))(t)
	conn := got(net.Dial("unix", w.socket))(t)
	req := got(http.NewRequest(http.MethodPut, "http://role/v1/confirmations/"+c.Nonce+"/signatures/"+wire.BodyHash(body), strings.NewReader(string(body))))(t)
	req.Header.Set("Content-Type", "application/json")
	must(t, req.Write(conn))
	for w.count("key.intent") == 0 {
		time.Sleep(time.Millisecond)
	}
	must(t, conn.Close()) // before, during or after the use: nobody reads the reply
	var st sam.Status
	for range 2000 {
		st = got(w.front.Confirmation(t.Context(), c.Nonce))(t)
		if st.Positions[4].Value != nil {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	var values []sam.Value
	for _, p := range st.Positions {
		if p.Value == nil {
			t.Fatalf("%+v", st)
		}
		values = append(values, *p.Value)
	}
	checkValues(t, cred, c.docs, values)
	signed := got(w.front.Sign(t.Context(), c.Nonce, c.request(0, 1, 2, 3, 4)))(t)
	if !equalValues(signed.Values, values) {
		t.Error("other values")
	}
	if n := w.uses(); n != 6 {
		t.Errorf("%d uses", n)
	}
}

func TestExistingCredentialIsFound(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	st := w.apply()
	a := w.at(st.AuthorizationURL, "approve")
	st = got(w.front.Identification(t.Context(), st.ID, a))(t)
	if st.Step != sam.StepExisting || st.Credential == nil || st.Credential.ID != cred.ID {
		t.Fatalf("%+v", st)
	}
	if again := got(w.front.Identification(t.Context(), st.ID, a))(t); again.Step != sam.StepExisting {
		t.Errorf("%+v", again)
	}
	if _, err := w.front.Consent(t.Context(), st.ID, a); code(err) != sam.CodeConflict {
		t.Error(err)
	}
}

func TestKeySets(t *testing.T) {
	w := newWorld(t)
	h := w.jwks.Load().(http.Handler)
	seen := map[string]bool{}
	for _, name := range []string{"ident", "confirm"} {
		rec := record(h, http.MethodGet, "/jwks/"+name)
		var set jose.JSONWebKeySet
		must(t, json.Unmarshal(rec.body, &set))
		must(t, itsme.CheckJWKS(set))
		if rec.status != 200 || rec.header.Get("Cache-Control") != "public, max-age=1800" || rec.header.Get("Content-Type") != "application/json" {
			t.Errorf("%d %v", rec.status, rec.header)
		}
		for _, k := range set.Keys {
			print := string(got(k.Thumbprint(5))(t))
			if !k.IsPublic() || seen[print] {
				t.Errorf("%s: key %s is private or shared", name, k.KeyID)
			}
			seen[print] = true
		}
	}
	for _, c := range [][2]string{{http.MethodPost, "/jwks/ident"}, {http.MethodGet, "/jwks/other"}, {http.MethodGet, "/v1/health"}} {
		if rec := record(h, c[0], c[1]); rec.status < 400 {
			t.Errorf("%v: %d", c, rec.status)
		}
	}
}

type recorded struct {
	status int
	header http.Header
	body   []byte
}

func record(h http.Handler, method, path string) recorded {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(method, path, nil))
	return recorded{rec.Code, rec.Header(), rec.Body.Bytes()}
}

func TestHealth(t *testing.T) {
	w := newWorld(t)
	if h := got(w.front.Health(t.Context()))(t); !h.Ready || h.Certified || len(h.Reasons) != 0 {
		t.Errorf("%+v", h)
	}
	w.advance(-time.Hour)
	if h := got(w.front.Health(t.Context()))(t); h.Ready || len(h.Reasons) != 1 {
		t.Errorf("%+v", h)
	}
}
