package activation_test

import (
	"bytes"
	"crypto"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"tekend/ca"
	"tekend/foureyes"
	"tekend/itsme"
	"tekend/sam"
	"tekend/sam/activation"
	"tekend/wire"
	"tekend/wire/wiretest"
)

// Each message of the sam's socket is fuzzed at the handler of a real role. Whatever comes: an answer of the protocol, no
// panic, and no key is used. The seeds are right messages and what is nearly one, so that go test tries those.

// fuzz is a role that stands at every step at once.
type fuzz struct {
	handler http.Handler
	role    *activation.Role
	cred    sam.Credential
	asked   sam.Prepared // a question that waits
	revoke  sam.Prepared // and one that would revoke
	signed  confirmed    // a confirmation of which every position is signed
	enrol   [3]sam.EnrolStep
	chain   [][]byte
}

func newFuzz(f *testing.F) *fuzz {
	f.Helper()
	w := newWorld(f)
	z := &fuzz{cred: w.enrol("approve")}
	z.asked = w.prepare(z.cred, documents(f, z.cred, 2))
	z.signed = w.confirm(z.cred, 2)
	got(w.front.Sign(f.Context(), z.signed.Nonce, z.signed.request(0, 1)))(f)
	z.enrol = [3]sam.EnrolStep{w.apply(), w.toConsent("approve-slow"), w.toIssue("one-name")}
	z.chain = got(w.ca.Issue(f.Context(), ca.IssueRequest(*z.enrol[2].Order)))(f).Chain
	z.role, z.handler = w.role, w.role.Handler()
	z.revoke = w.revoke(z.cred.ID)
	used := w.signatures()
	var once sync.Once
	f.Cleanup(func() {
		once.Do(func() {
			if n := w.signatures(); n != used {
				f.Errorf("users' keys were used %d times", n-used)
			}
		})
	})
	return z
}

// put sends a message; {hash} at the end of the path becomes that of the body.
func (z *fuzz) put(t *testing.T, path string, body []byte, hashed bool) {
	if hashed {
		path += wire.BodyHash(body)
	}
	r := httptest.NewRequest(http.MethodPut, path, bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	rec := httptest.NewRecorder()
	z.handler.ServeHTTP(rec, r)
	if err := wiretest.Check(rec.Code, rec.Body.Bytes()); err != nil {
		t.Errorf("PUT %s: %v", path, err)
	}
}

// message fuzzes one message. right must not do anything that cannot be done again.
func (z *fuzz) message(f *testing.F, path string, right any, hashed bool) {
	f.Helper()
	body := got(json.Marshal(right))(f)
	for _, v := range wiretest.Variants(f, body) {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, body []byte) { z.put(t, path, body, hashed) })
}

func FuzzPrepare(f *testing.F) {
	z := newFuzz(f)
	r := order(z.cred, documents(f, z.cred, 2))
	r.Provider, r.Order = "acme", "a.b.c"
	z.message(f, "/v1/preparations/", r, true)
}

// FuzzPrepareHashes is an order of hashes by another algorithm than the key's usual one, with CAdES attributes.
func FuzzPrepareHashes(f *testing.F) {
	z := newFuzz(f)
	d := documentBy(f, z.cred, form{crypto.SHA512, time.Now(), "application/pdf"}, "hash")
	d.Hash = true
	z.message(f, "/v1/preparations/", order(z.cred, []sam.Document{d}), true)
}

func FuzzEnrol(f *testing.F) {
	z := newFuzz(f)
	z.message(f, "/v1/enrolments/", sam.EnrolRequest{V: 1, Txn: txn(), Language: "nl", TermsVersion: "another", TermsSHA256: termsDigest()}, true)
}

func FuzzIdentification(f *testing.F) {
	z := newFuzz(f)
	z.message(f, "/v1/enrolments/"+z.enrol[0].ID+"/identification", sam.Answer{Code: "code"}, false)
}

func FuzzConsent(f *testing.F) {
	z := newFuzz(f)
	z.message(f, "/v1/enrolments/"+z.enrol[1].ID+"/consent", sam.Answer{Error: "access_denied"}, false)
}

func FuzzCertificate(f *testing.F) {
	z := newFuzz(f)
	z.message(f, "/v1/enrolments/"+z.enrol[2].ID+"/certificate", sam.CertificateChain{Chain: z.chain[1:]}, false)
}

func FuzzAuthorize(f *testing.F) {
	z := newFuzz(f)
	z.message(f, "/v1/confirmations/"+z.asked.Nonce+"/authorization", sam.Answer{Code: itsme.Random()}, false)
}

// FuzzSign knows the session, of a confirmation that is used up.
func FuzzSign(f *testing.F) {
	z := newFuzz(f)
	z.message(f, "/v1/confirmations/"+z.signed.Nonce+"/signatures/", z.signed.request(0, 1), true)
}

func FuzzRevoke(f *testing.F) {
	z := newFuzz(f)
	z.message(f, "/v1/revocations/", sam.RevokeRequest{V: 1, Txn: txn(), Credential: z.cred.ID, Language: "nl", Reason: "superseded"}, true)
}

func FuzzRevocationAnswer(f *testing.F) {
	z := newFuzz(f)
	z.message(f, "/v1/revocations/"+z.revoke.Nonce+"/authorization", sam.Answer{Code: itsme.Random()}, false)
}

// FuzzAct sends acts that nobody has approved.
func FuzzAct(f *testing.F) {
	z := newFuzz(f)
	z.handler = z.role.OperatorHandler()
	act := got(foureyes.NewAct(foureyes.ActRevoke, z.cred.ID, "keyCompromise"))(f).String()
	z.message(f, "/v1/acts/", sam.ActRequest{Text: act, Approvals: []string{"a", "b"}}, true)
}

// FuzzEmergency fills the form in with what is no code.
func FuzzEmergency(f *testing.F) {
	z := newFuzz(f)
	h := z.role.EmergencyHandler()
	for _, body := range []string{"", "code=", "code=00000-00000-00000-00000-00000", "code=%00&code=x", "code=a&reason=keyCompromise", "code=" + strings.Repeat("0", 5000), "%zz", "a;b"} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest(http.MethodPost, "/revoke", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		switch rec.Code {
		case http.StatusForbidden, http.StatusBadRequest, http.StatusTooManyRequests:
		default:
			t.Errorf("%d for %q", rec.Code, body)
		}
	})
}

func FuzzMark(f *testing.F) {
	z := newFuzz(f)
	z.message(f, "/v1/fronts/front/mark", sam.MarkRequest{Mark: sam.Mark{Number: 1, Link: make([]byte, 16)}}, false)
}

// FuzzPath asks for what does not exist, under every name.
func FuzzPath(f *testing.F) {
	z := newFuzz(f)
	for _, id := range []string{
		"x", "%00", "..%2f..%2f", "%ff", "a%20b", z.asked.Nonce, z.signed.Nonce, z.enrol[0].ID, z.cred.ID,
		z.cred.ID + "/uses?limit=101", z.cred.ID + "/uses?limit=x&before=-1", z.cred.ID + "/uses/0/proof", z.cred.ID + "/uses/99999999999999999999/proof",
	} {
		f.Add("confirmations/" + id)
		f.Add("confirmations/" + id + "/evidence")
		f.Add("enrolments/" + id)
		f.Add("revocations/" + id)
		f.Add("credentials/" + id)
		f.Add("fronts/" + id + "/mark")
	}
	f.Fuzz(func(t *testing.T, path string) {
		u, err := url.ParseRequestURI("/v1/" + path)
		if err != nil {
			return // net/http would refuse it before the handler
		}
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
			r := httptest.NewRequest(method, "/", nil)
			r.URL, r.RequestURI = u, u.RequestURI()
			rec := httptest.NewRecorder()
			z.handler.ServeHTTP(rec, r)
			routed := rec.Code != http.StatusNotFound && rec.Code != http.StatusMethodNotAllowed && rec.Code < 300 || rec.Header().Get("Content-Type") == "application/json"
			if err := wiretest.Check(rec.Code, rec.Body.Bytes()); routed && err != nil || rec.Code >= 500 && rec.Code != 503 {
				t.Errorf("%s %s: %d %s", method, u, rec.Code, rec.Body)
			}
		}
	})
}
