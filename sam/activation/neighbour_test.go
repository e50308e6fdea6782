package activation_test

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tekend/ca"
	"tekend/certs"
	"tekend/hsm"
	"tekend/hsm/hsmtest"
	"tekend/sam"
	"tekend/sam/activation"
	"tekend/wire"
)

func retryable(err error) bool {
	e, ok := errors.AsType[*wire.Error](err)
	return ok && e.Retryable
}

// TestAnswersThatAreNo: what people and itsme say instead of yes.
func TestAnswersThatAreNo(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	for _, tc := range []struct{ person, code, state string }{
		{"refuse", sam.CodeDeclined, sam.StateDeclined},
		{"expire", "", ""},
		{"blocked", "", ""},
		{"error", "", ""},
		{"call", sam.CodeOngoingCall, sam.StateFailed},
		{"wrong-nonce", sam.CodeWrongNonce, sam.StateFailed},
		{"wrong-sub", sam.CodeWrongPerson, sam.StateFailed},
		{"other-person", sam.CodeWrongPerson, sam.StateFailed},
	} {
		p := w.prepare(cred, documents(t, cred, 1))
		a := w.at(p.AuthorizationURL, tc.person)
		_, err := w.front.Authorize(t.Context(), p.Nonce, a)
		st := got(w.front.Confirmation(t.Context(), p.Nonce))(t)
		if tc.code != "" && (code(err) != tc.code || st.State != tc.state) || err == nil || st.Reason != code(err) || retryable(err) || st.Session != nil {
			t.Errorf("%s: itsme said %q; %v, %+v", tc.person, a.Error, err, st)
		}
		if _, again := w.front.Authorize(t.Context(), p.Nonce, a); code(again) != code(err) {
			t.Errorf("%s: first %v, then %v", tc.person, err, again)
		}
	}
	for itsmeSays, want := range map[string]string{
		"access_denied": sam.CodeDeclined, "temporary_unavailable": sam.CodeExpired, "invalid_request": sam.CodeBadToken, "never_heard_of": sam.CodeExpired,
	} {
		p := w.prepare(cred, documents(t, cred, 1))
		_, err := w.front.Authorize(t.Context(), p.Nonce, sam.Answer{Error: itsmeSays})
		w.refused(err, want)
	}
	for _, a := range []sam.Answer{{}, {Code: "a", Error: "b"}, {Code: "a b"}, {Code: strings.Repeat("a", 513)}, {Error: "é"}} {
		p := w.prepare(cred, documents(t, cred, 1))
		_, err := w.front.Authorize(t.Context(), p.Nonce, a)
		w.refused(err, sam.CodeBadRequest)
	}
	if n := w.signatures(); n != 0 {
		t.Errorf("%d signatures", n)
	}
}

func TestPeopleWhoGetNoCertificate(t *testing.T) {
	w := newWorld(t)
	for person, want := range map[string]string{"minor": sam.CodeSignerMinor, "call": sam.CodeOngoingCall, "refuse": sam.CodeDeclined} {
		st := w.apply()
		_, err := w.front.Identification(t.Context(), st.ID, w.at(st.AuthorizationURL, person))
		w.refused(err, want)
		if st := got(w.front.Enrolment(t.Context(), st.ID))(t); st.Step != sam.StepFailed || st.Reason != want {
			t.Errorf("%s: %+v", person, st)
		}
	}
}

// TestItsmeIsDown: what used nothing up may be tried again, with the same call.
func TestItsmeIsDown(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	w.advance(9 * time.Minute)
	p := w.prepare(cred, documents(t, cred, 1))
	a := w.at(p.AuthorizationURL, "")
	w.advance(2 * time.Minute) // itsme's keys are too old now, the question is not
	w.opDown.Store(true)
	sent := w.hits.Load()
	for range 2 {
		if _, err := w.front.Authorize(t.Context(), p.Nonce, a); code(err) != sam.CodeItsmeUnreachable || !retryable(err) {
			t.Error(err)
		}
	}
	if w.hits.Load() != sent {
		t.Error("the code was sent")
	}
	w.opDown.Store(false)
	w.advance(3 * time.Second)
	got(w.front.Authorize(t.Context(), p.Nonce, a))(t)
	w.opDown.Store(true)
	w.start() // nothing is known of itsme
	_, err := w.front.Prepare(t.Context(), order(cred, documents(t, cred, 1)))
	if code(err) != sam.CodeItsmeUnreachable || !retryable(err) {
		t.Error(err)
	}
	_, err = w.front.Enrol(t.Context(), sam.EnrolRequest{V: 1, Txn: txn(), Language: "en", TermsVersion: terms, TermsSHA256: termsDigest()})
	if code(err) != sam.CodeItsmeUnreachable || !retryable(err) {
		t.Error(err)
	}
	w.opDown.Store(false)
	w.advance(3 * time.Second)
	w.confirm(cred, 1)
}

// TestReplyOfTheExchangeIsLost: the code may be used up, it is not sent again,
// and the person can confirm again.
func TestReplyOfTheExchangeIsLost(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	p := w.prepare(cred, documents(t, cred, 1))
	a := w.at(p.AuthorizationURL, "")
	before := w.hits.Load()
	w.cut.Store("/token")
	_, err := w.front.Authorize(t.Context(), p.Nonce, a)
	w.refused(err, sam.CodeExpired)
	w.cut.Store("")
	_, err = w.front.Authorize(t.Context(), p.Nonce, a)
	w.refused(err, sam.CodeExpired)
	if n := w.hits.Load() - before; n != 1 {
		t.Errorf("%d exchanges", n)
	}
	w.confirm(cred, 1)
}

// TestCertificateMustBeGoodAtThatMoment: at Prepare and again before the key.
func TestCertificateMustBeGoodAtThatMoment(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	c := w.confirm(cred, 1)
	real := w.status.Load()
	says := func(state string) http.HandlerFunc {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			serial := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
			_ = json.NewEncoder(rw).Encode(ca.CertificateStatus{Serial: serial, State: state, At: w.now()})
		})
	}
	for _, state := range []string{ca.Revoked, ca.Unknown, "", "GOOD"} {
		w.status.Store(says(state))
		w.zero([]string{sam.CodeCertificateNotGood}, func() {
			_, err := w.front.Prepare(t.Context(), order(cred, documents(t, cred, 1)))
			w.refused(err, sam.CodeCertificateNotGood)
			_, err = w.front.Sign(t.Context(), c.Nonce, c.request(0))
			if code(err) != sam.CodeCertificateNotGood || retryable(err) {
				t.Error(err)
			}
		})
	}
	w.caDown.Store(true)
	w.zero([]string{sam.CodeCertificateNotGood}, func() {
		_, err := w.front.Sign(t.Context(), c.Nonce, c.request(0))
		if code(err) != sam.CodeCertificateNotGood || !retryable(err) {
			t.Error(err)
		}
	})
	w.caDown.Store(false)
	w.status.Store(real)
	checkValues(t, cred, c.docs, got(w.front.Sign(t.Context(), c.Nonce, c.request(0)))(t).Values)
}

// TestTokenIsGone: nothing is burnt while the token is away; when it is back
// the same session signs, without a restart.
func TestTokenIsGone(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	c := w.confirm(cred, 2)
	p := w.prepare(cred, documents(t, cred, 1))
	answer := w.at(p.AuthorizationURL, "")
	dir := hsmtest.Directory(t)
	away := filepath.Join(filepath.Dir(dir), "away")
	must(t, os.Rename(dir, away))
	must(t, os.Mkdir(dir, 0o700))
	_, err := w.front.Sign(t.Context(), c.Nonce, c.request(0, 1))
	if code(err) != sam.CodeHSMFailed || !retryable(err) {
		t.Errorf("%v", err)
	}
	if _, err := w.front.Authorize(t.Context(), p.Nonce, answer); code(err) != sam.CodeHSMFailed || !retryable(err) {
		t.Errorf("%v", err)
	}
	if h := got(w.front.Health(t.Context()))(t); h.Ready {
		t.Error("healthy without its token")
	}
	must(t, os.Remove(dir))
	must(t, os.Rename(away, dir))
	for range 50 {
		if h := got(w.front.Health(t.Context()))(t); h.Ready {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	checkValues(t, cred, c.docs, got(w.front.Sign(t.Context(), c.Nonce, c.request(0, 1)))(t).Values)
	got(w.front.Authorize(t.Context(), p.Nonce, answer))(t)
	if w.count("key.unknown") != 0 {
		t.Error("a position was lost")
	}
}

// TestCertificatesThatWereNotOrdered end no enrolment.
func TestCertificatesThatWereNotOrdered(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	st := w.toIssue("approve-slow")
	issued := got(w.ca.Issue(t.Context(), ca.IssueRequest(*st.Order)))(t)
	leafDER, key := issued.Chain[0], ecKey(t)
	now := w.now()
	forge := func(by certs.Issuer, pub any, name string) []byte {
		p := got(certs.NewPerson(name, "Simon", "Slots", "BEL"))(t)
		at := certs.PublishedBy("http://127.0.0.1:8080/pki", "issuing-ca", "https://sandbox.tekend.example/cps")
		at.PDS = []certs.PDS{{URL: "https://sandbox.tekend.example/pds", Language: "en"}}
		return got(certs.Issue(by, certs.Order{
			Profile: certs.NaturalPerson, Subject: p.Subject(), PublicKey: pub, Publication: at,
			NotBefore: now.Add(-time.Minute), NotAfter: now.AddDate(1, 0, 0),
		}))(t)
	}
	ordered := got(x509.ParseCertificate(leafDER))(t).PublicKey
	for name, tc := range map[string]struct {
		chain [][]byte
		code  string
	}{
		"no chain":       {nil, sam.CodeBadRequest},
		"not DER":        {[][]byte{[]byte("x")}, sam.CodeCertificateNotGood},
		"another key's":  {cred.Chain, sam.CodeCertificateNotGood},
		"another key":    {[][]byte{forge(w.issuer, key.Public(), "Simon Slots"), issued.Chain[1]}, sam.CodeCertificateNotGood},
		"another person": {[][]byte{forge(w.issuer, ordered, "Simon Sloots"), issued.Chain[1]}, sam.CodeCertificateNotGood},
		"too long":       {[][]byte{make([]byte, 17<<10)}, sam.CodeBadRequest},
		"only the CA":    {issued.Chain[1:], sam.CodeCertificateNotGood},
	} {
		if _, err := w.front.Certificate(t.Context(), st.ID, tc.chain); code(err) != tc.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	done := got(w.front.Certificate(t.Context(), st.ID, issued.Chain))(t)
	again := got(w.front.Certificate(t.Context(), st.ID, issued.Chain))(t)
	if done.Credential.ID != again.Credential.ID || w.count("credential.linked") != 2 {
		t.Errorf("%+v %+v", done, again)
	}
	_, err := w.front.Certificate(t.Context(), st.ID, cred.Chain)
	w.refused(err, sam.CodeConflict)
}

// TestExpiredCertificate: validity is looked at with the sam's own clock.
func TestExpiredCertificate(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	got(w.front.Prepare(t.Context(), order(cred, documents(t, cred, 1))))(t) // the path is known from now on
	w.advance(3 * 365 * 24 * time.Hour)
	_, err := w.front.Prepare(t.Context(), order(cred, documents(t, cred, 2)))
	w.refused(err, sam.CodeCertificateNotGood)
}

func TestOrdersThatAreRefused(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	d := document(t, cred, "A.pdf", "A")
	for name, tc := range map[string]struct {
		change func(*sam.PrepareRequest)
		code   string
	}{
		"version":          {func(r *sam.PrepareRequest) { r.V = 2 }, sam.CodeBadRequest},
		"txn":              {func(r *sam.PrepareRequest) { r.Txn = "a b" }, sam.CodeBadRequest},
		"language":         {func(r *sam.PrepareRequest) { r.Language = "fr" }, sam.CodeBadRequest},
		"no document":      {func(r *sam.PrepareRequest) { r.Documents = nil }, sam.CodeBadRequest},
		"251 documents":    {func(r *sam.PrepareRequest) { r.Documents = documents(t, cred, sam.MaxDocuments+1) }, sam.CodeBadRequest},
		"credential":       {func(r *sam.PrepareRequest) { r.Credential = "cred_x" }, sam.CodeCredentialUnknown},
		"algorithm":        {func(r *sam.PrepareRequest) { r.Documents[0].Alg = "SHA-1" }, sam.CodeBadRequest},
		"short digest":     {func(r *sam.PrepareRequest) { r.Documents[0].Digest = d.Digest[:31] }, sam.CodeBadRequest},
		"zero digest":      {func(r *sam.PrepareRequest) { r.Documents[0].Digest = make([]byte, 32) }, sam.CodeBadRequest},
		"label":            {func(r *sam.PrepareRequest) { r.Documents[0].Label = "<&>" }, sam.CodeAttributesRefused},
		"the same twice":   {func(r *sam.PrepareRequest) { r.Documents = append(r.Documents, d) }, sam.CodeAttributesRefused},
		"250 not too many": {func(r *sam.PrepareRequest) { r.Documents = documents(t, cred, sam.MaxDocuments) }, ""},
	} {
		r := order(cred, []sam.Document{d})
		tc.change(&r)
		if _, err := w.front.Prepare(t.Context(), r); code(err) != tc.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := order(cred, []sam.Document{d})
	r.Documents[0].Label = "<b>“Lease”</b> & more.pdf"
	p := got(w.front.Prepare(t.Context(), r))(t)
	if !strings.Contains(p.Text, `<br>1. b"Lease"/b more.pdf<br>`) {
		t.Errorf("the label is not made harmless: %q", p.Text)
	}
	c := w.confirm(cred, 2)
	for name, positions := range map[string][]int{"none": {}, "negative": {-1}, "too high": {2}, "twice": {0, 0}} {
		if _, err := w.front.Sign(t.Context(), c.Nonce, c.request(positions...)); code(err) != sam.CodeBadRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, e := range map[string]sam.EnrolRequest{
		"version": {V: 2, Txn: "t", Language: "en", TermsVersion: terms, TermsSHA256: termsDigest()},
		"terms":   {V: 1, Txn: "t", Language: "en", TermsVersion: "<b>", TermsSHA256: termsDigest()},
		"digest":  {V: 1, Txn: "t", Language: "en", TermsVersion: terms, TermsSHA256: []byte("x")},
	} {
		if _, err := w.front.Enrol(t.Context(), e); code(err) != sam.CodeBadRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := w.signatures(); n != 0 {
		t.Errorf("%d signatures", n)
	}
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	w := newWorld(t)
	w.halt()
	good := w.cfg
	for name, change := range map[string]func(*activation.Config){
		"no clock":       func(c *activation.Config) { c.Now = nil },
		"no database":    func(c *activation.Config) { c.DB = "" },
		"one client":     func(c *activation.Config) { c.Ident.ID = c.Confirm.ID },
		"one key":        func(c *activation.Config) { c.Ident.SigLabel, c.Confirm.SigLabel = "x", "x" },
		"one key file":   func(c *activation.Config) { c.Ident.EncKeyFile = c.Confirm.EncKeyFile },
		"long questions": func(c *activation.Config) { c.QuestionLife = 11 * time.Minute },
		"long sessions":  func(c *activation.Config) { c.SessionLife = 11 * time.Minute },
		"long calls":     func(c *activation.Config) { c.CallTimeout = 61 * time.Second },
		"RSA-2048":       func(c *activation.Config) { c.KeyType = hsm.RSA2048 },
		"plain http":     func(c *activation.Config) { c.Itsme.Issuer = "http://idp.example/v2" },
		"no KEK":         func(c *activation.Config) { c.KEK = "none" },
		"no MAC key":     func(c *activation.Config) { c.MAC = "none" },
		"no signing key": func(c *activation.Config) { c.Ident.SigLabel = "none" },
		"root":           func(c *activation.Config) { c.RootFile = c.Ident.EncKeyFile },
	} {
		w.cfg = good
		change(&w.cfg)
		if err := w.tryStart(); err == nil {
			t.Errorf("%s: started", name)
			w.halt()
		}
	}
	w.cfg = good
	must(t, os.Chmod(good.Ident.EncKeyFile, 0o644))
	if err := w.tryStart(); err == nil || !strings.Contains(err.Error(), "0600") {
		t.Errorf("a decryption key that all can read: %v", err)
	}
}
