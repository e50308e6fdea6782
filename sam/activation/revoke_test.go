package activation_test

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"tekend/ca"
	"tekend/certs"
	"tekend/consent"
	"tekend/sam"
	"tekend/sam/activation"
	"tekend/wire"
)

// revoke puts the question for a revocation; credential "" means all.
func (w *world) revoke(credential string) sam.Prepared {
	w.t.Helper()
	return got(w.front.Revoke(w.t.Context(), sam.RevokeRequest{V: 1, Txn: txn(), Credential: credential, Language: "en", Reason: "keyCompromise"}))(w.t)
}

// soon waits for what the role does by itself.
func (w *world) soon(what string, is func() bool) {
	w.t.Helper()
	for end := time.Now().Add(15 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("not within 15 s: %s", what)
		}
	}
}

// state is a credential's, as the front sees it.
func (w *world) state(c sam.Credential) string {
	w.t.Helper()
	return got(w.front.Credential(w.t.Context(), c.ID))(w.t).State
}

func (w *world) soonDestroyed(c sam.Credential) {
	w.t.Helper()
	w.soon("its key is destroyed", func() bool { return w.state(c) == sam.CredentialDestroyed })
}

func serialOf(t testing.TB, c sam.Credential) string { return certs.SerialHex(leaf(t, c).SerialNumber) }

// caSays is what the ca knows of the credential's certificate.
func (w *world) caSays(c sam.Credential) string {
	w.t.Helper()
	return got(ca.NewStatusClient(w.path("status.sock"), 5*time.Second).Status(w.t.Context(), serialOf(w.t, c)))(w.t).State
}

// blob is the wrapped key in the record.
func (w *world) blob(c sam.Credential) (b []byte) {
	w.t.Helper()
	w.sql(func(d *sql.DB) error {
		return d.QueryRow("SELECT blob FROM links WHERE id = '" + c.ID + "'").Scan(&b)
	})
	return b
}

// TestTheSignerRevokes: the question says what is revoked and names its owner;
// his answer blocks at once, the ca has it, the key is gone, and he is told.
func TestTheSignerRevokes(t *testing.T) {
	post, config := overSMTP(t)
	w := newWorld(t, config)
	cred := w.enrol("approve")
	open := w.confirm(cred, 1) // confirmed before, and not signed yet
	p := w.revoke(cred.ID)
	m := got(consent.DecodeManifest(p.Manifest))(t)
	cert := sha256.Sum256(cred.Chain[0])
	if m.Op != consent.OpRevoke || m.Sub == "" || m.Cred == nil || m.Cred.ID != cred.ID || m.Cred.CertSHA256 != b64(cert[:]) || m.Reason != "keyCompromise" ||
		m.Template.Text != p.Text || !strings.Contains(p.Text, serialOf(t, cred)) || consent.Nonce(p.Manifest) != p.Nonce || p.CheckCode != "" {
		t.Fatalf("%+v %+v", p, m)
	}
	if st := got(w.front.RevocationStatus(t.Context(), p.Nonce))(t); st.State != sam.StatePrepared || len(st.Credentials) != 0 {
		t.Errorf("before the answer: %+v", st)
	}
	a := w.at(p.AuthorizationURL, "")
	before := w.signatures()
	did := got(w.front.RevocationAnswer(t.Context(), p.Nonce, a))(t)
	if (did.State != sam.RevocationBlocked && did.State != sam.RevocationPublished) || !slices.Equal(did.Credentials, []string{cred.ID}) || did.At.IsZero() {
		t.Fatalf("%+v", did)
	}
	// Every copy is unusable at once: the session that was confirmed before, and a new question.
	_, err := w.front.Sign(t.Context(), open.Nonce, open.request(0))
	w.refused(err, sam.CodeCertificateNotGood)
	_, err = w.front.Prepare(t.Context(), order(cred, documents(t, cred, 1)))
	w.refused(err, sam.CodeCertificateNotGood)

	w.soonDestroyed(cred)
	if w.caSays(cred) != ca.Revoked {
		t.Error("the key is destroyed and the ca says good")
	}
	if st := got(w.front.RevocationStatus(t.Context(), p.Nonce))(t); st.State != sam.RevocationPublished || !slices.Equal(st.Credentials, []string{cred.ID}) {
		t.Errorf("afterwards: %+v", st)
	}
	if b := w.blob(cred); len(b) == 0 || !bytes.Equal(b, make([]byte, len(b))) {
		t.Error("the wrapped key is still in the record")
	}
	if n := w.signatures() - before; n != 0 {
		t.Errorf("the key was used %d times after the revocation", n)
	}
	for kind, n := range map[string]int{"revocation.prepared": 1, "revocation.authorized": 1, "credential.revoked": 1, "revocation.published": 1, "key.destroyed": 1} {
		if w.count(kind) != n {
			t.Errorf("%d rows of %s", w.count(kind), kind)
		}
	}
	// An equal answer gets the stored outcome, another one is a conflict.
	if again := got(w.front.RevocationAnswer(t.Context(), p.Nonce, a))(t); again.State != sam.RevocationPublished || w.count("credential.revoked") != 1 {
		t.Errorf("the same answer again: %+v", again)
	}
	_, err = w.front.RevocationAnswer(t.Context(), p.Nonce, sam.Answer{Code: "another"})
	w.refused(err, sam.CodeConflict)
	_, err = w.front.Revoke(t.Context(), sam.RevokeRequest{V: 1, Txn: txn(), Credential: cred.ID, Language: "en"})
	w.refused(err, sam.CodeActRefused)
	w.send()
	w.soon("he is told", func() bool {
		w.send()
		return slices.ContainsFunc(post.arrived(), func(s string) bool { return strings.Contains(s, "is herroepen") })
	})
	// He may have a new one.
	if next := w.enrol("approve"); next.ID == cred.ID || next.State != sam.CredentialActive {
		t.Errorf("%+v", next)
	}
}

// TestAllOfWhoeverAnswers: without a credential itsme is asked without a name,
// and exactly the credentials of who answered are revoked.
func TestAllOfWhoeverAnswers(t *testing.T) {
	w := newWorld(t)
	mine, other := w.enrol("approve"), w.enrol("one-name")
	p := w.revoke("")
	m := got(consent.DecodeManifest(p.Manifest))(t)
	if m.Sub != "" || m.Cred != nil || !strings.Contains(p.Text, "all my certificates") {
		t.Fatalf("%+v", m)
	}
	if u := got(url.Parse(p.AuthorizationURL))(t); strings.Contains(u.RawQuery, "sub") {
		t.Errorf("the question names somebody: %s", u)
	}
	did := got(w.front.RevocationAnswer(t.Context(), p.Nonce, w.at(p.AuthorizationURL, "approve")))(t)
	if !slices.Equal(did.Credentials, []string{mine.ID}) {
		t.Fatalf("%+v", did)
	}
	w.soonDestroyed(mine)
	if w.state(other) != sam.CredentialActive || w.caSays(other) != ca.Good {
		t.Error("another person's credential was revoked")
	}
	c := w.confirm(other, 1)
	checkValues(t, other, c.docs, got(w.front.Sign(t.Context(), c.Nonce, c.request(0)))(t).Values)
	// Whoever has none is told so; that answer is used up.
	p = w.revoke("")
	_, err := w.front.RevocationAnswer(t.Context(), p.Nonce, w.at(p.AuthorizationURL, "no-email"))
	w.refused(err, sam.CodeCredentialUnknown)
	if st := got(w.front.RevocationStatus(t.Context(), p.Nonce))(t); st.State != sam.StateFailed || st.Reason != sam.CodeCredentialUnknown {
		t.Errorf("%+v", st)
	}
}

// TestOnlyTheOwnerRevokes: nobody else's answer does, and no answer "no".
func TestOnlyTheOwnerRevokes(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	w.enrol("no-email")
	w.zero([]string{sam.CodeDeclined, sam.CodeWrongPerson, sam.CodeWrongNonce, sam.CodeBadToken, sam.CodeOngoingCall}, func() {
		for trick, want := range map[string]string{
			"sandbox_person=no-email":     sam.CodeDeclined, // itsme asks the owner only
			"sandbox_person=other-person": sam.CodeWrongPerson,
			"sandbox_defect=wrong_sub":    sam.CodeWrongPerson,
			"sandbox_defect=wrong_nonce":  sam.CodeWrongNonce,
			"sandbox_defect=other_aud":    sam.CodeBadToken,
			"sandbox_person=call":         sam.CodeOngoingCall,
			"sandbox_person=refuse":       sam.CodeDeclined,
		} {
			p := w.revoke(cred.ID)
			_, err := w.front.RevocationAnswer(t.Context(), p.Nonce, w.at(p.AuthorizationURL, "", trick))
			w.refused(err, want)
			_, err = w.front.RevocationAnswer(t.Context(), p.Nonce, sam.Answer{Code: "invented"})
			if code(err) == "" {
				t.Errorf("%s: a second answer was taken", trick)
			}
		}
		for _, p := range []sam.Prepared{w.revoke(cred.ID)} {
			w.advance(11 * time.Minute)
			_, err := w.front.RevocationAnswer(t.Context(), p.Nonce, sam.Answer{Code: "late"})
			w.refused(err, sam.CodeExpired)
		}
	})
	p := w.revoke(cred.ID)
	a := w.at(p.AuthorizationURL, "")
	w.start() // void, as every question from before a start
	_, err := w.front.RevocationAnswer(t.Context(), p.Nonce, a)
	w.refused(err, sam.CodeBeforeStart)
	if w.state(cred) != sam.CredentialActive || w.caSays(cred) != ca.Good || w.count("credential.revoked") != 0 {
		t.Error("something was revoked")
	}
}

// TestNoOperationTakesAnothersAnswer: a question of one operation is none of the
// others, and what itsme answered to one is good for nothing else.
func TestNoOperationTakesAnothersAnswer(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	ctx := t.Context()
	w.zero([]string{sam.CodeNotAuthorized}, func() {
		sign, revoke, all, enrol := w.prepare(cred, documents(t, cred, 1)), w.revoke(cred.ID), w.revoke(""), w.toConsent("one-name")
		consentNonce := w.nonceOf("consent", enrol.ID)
		// The right answer, at the address of another operation.
		for name, c := range map[string]struct {
			link string
			give func(sam.Answer) error
		}{
			"sign at revocations":    {sign.AuthorizationURL, func(a sam.Answer) error { _, err := w.front.RevocationAnswer(ctx, sign.Nonce, a); return err }},
			"enrol at revocations":   {enrol.AuthorizationURL, func(a sam.Answer) error { _, err := w.front.RevocationAnswer(ctx, consentNonce, a); return err }},
			"revoke at confirmation": {revoke.AuthorizationURL, func(a sam.Answer) error { _, err := w.front.Authorize(ctx, revoke.Nonce, a); return err }},
			"all at confirmation":    {all.AuthorizationURL, func(a sam.Answer) error { _, err := w.front.Authorize(ctx, all.Nonce, a); return err }},
		} {
			if err := c.give(w.at(c.link, "")); code(err) != sam.CodeNotAuthorized {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := w.front.Confirmation(ctx, revoke.Nonce); code(err) != sam.CodeNotAuthorized {
			t.Errorf("a revocation is read as a confirmation: %v", err)
		}
		if _, err := w.front.RevocationStatus(ctx, sign.Nonce); code(err) != sam.CodeNotAuthorized {
			t.Errorf("a confirmation is read as a revocation: %v", err)
		}
		if _, err := w.front.Evidence(ctx, revoke.Nonce); code(err) == "" {
			t.Error("there is evidence of signatures of a revocation")
		}
	})
	// The answer to one question, brought as that of another: itsme's PKCE refuses the code.
	w.zero([]string{sam.CodeExpired}, func() {
		sign, revoke := w.prepare(cred, documents(t, cred, 1)), w.revoke(cred.ID)
		forSign, forRevoke := w.at(sign.AuthorizationURL, ""), w.at(revoke.AuthorizationURL, "")
		if _, err := w.front.RevocationAnswer(ctx, revoke.Nonce, forSign); code(err) == "" {
			t.Error("an answer to a signature revoked")
		}
		if _, err := w.front.Authorize(ctx, sign.Nonce, forRevoke); code(err) == "" {
			t.Error("an answer to a revocation permitted a signature")
		}
	})
	if w.state(cred) != sam.CredentialActive || w.count("credential.revoked") != 0 {
		t.Error("something was revoked")
	}
}

// TestRevocationsHaveLimitsOfTheirOwn: who is asked to sign as often as is
// allowed can still revoke; and he is not asked to revoke again and again.
func TestRevocationsHaveLimitsOfTheirOwn(t *testing.T) {
	w := newWorld(t, limited(3, 3))
	cred := w.enrol("approve")
	for i := range 3 {
		got(w.ask(cred, orderText(i)))(t)
	}
	_, err := w.ask(cred, "one more")
	w.tooMany(err, time.Second, time.Hour)
	for range 2 {
		w.revoke(cred.ID)
	}
	p := w.revoke(cred.ID)
	_, err = w.front.Revoke(t.Context(), sam.RevokeRequest{V: 1, Txn: txn(), Credential: cred.ID, Language: "en"})
	w.tooMany(err, time.Second, time.Hour)
	if did := got(w.front.RevocationAnswer(t.Context(), p.Nonce, w.at(p.AuthorizationURL, "")))(t); len(did.Credentials) != 1 {
		t.Errorf("%+v", did)
	}
}

// TestMessagesOfRevocation: what is not of the contract.
func TestMessagesOfRevocation(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	good := sam.RevokeRequest{V: 1, Txn: txn(), Credential: cred.ID, Language: "nl"}
	for name, change := range map[string]func(*sam.RevokeRequest){
		"version":  func(r *sam.RevokeRequest) { r.V = 2 },
		"language": func(r *sam.RevokeRequest) { r.Language = "fr" },
		"reason":   func(r *sam.RevokeRequest) { r.Reason = "privilegeWithdrawn" },
		"hold":     func(r *sam.RevokeRequest) { r.Reason = "certificateHold" },
		"txn":      func(r *sam.RevokeRequest) { r.Txn = "a b" },
	} {
		r := good
		change(&r)
		if _, err := w.front.Revoke(t.Context(), r); code(err) != sam.CodeBadRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := good
	r.Credential = "cred_x"
	_, err := w.front.Revoke(t.Context(), r)
	w.refused(err, sam.CodeCredentialUnknown)
	first := got(w.front.Revoke(t.Context(), good))(t)
	if again := got(w.front.Revoke(t.Context(), good))(t); again.Nonce != first.Nonce || !bytes.Equal(again.Manifest, first.Manifest) {
		t.Error("an equal request made another question")
	}
	raw := wire.NewClient(w.socket, 5*time.Second)
	for _, body := range []string{`{"v":1}`, `{"v":1,"x":2}`, `[]`, ``, `{"v":1,"v":1}`} {
		err := raw.Do(t.Context(), "PUT", "/v1/revocations/"+wire.BodyHash([]byte(body)), []byte(body), nil)
		if c := code(err); c == "" || strings.HasPrefix(c, "not a refusal") {
			t.Errorf("%q: %v", body, err)
		}
	}
}

// TestPolicyStandsInEveryManifest of a role that is told which is in force.
func TestPolicyStandsInEveryManifest(t *testing.T) {
	sum := sha256.Sum256([]byte("practice statement"))
	w := newWorld(t, func(c *activation.Config) { c.PolicySHA256 = b64(sum[:]) })
	cred := w.enrol("approve") // the ca takes them
	c := w.confirm(cred, 1)
	checkValues(t, cred, c.docs, got(w.front.Sign(t.Context(), c.Nonce, c.request(0)))(t).Values)
	for _, p := range []sam.Prepared{c.Prepared, w.revoke(cred.ID)} {
		if m := got(consent.DecodeManifest(p.Manifest))(t); m.Policy != b64(sum[:]) {
			t.Errorf("%s: policy %q", m.Op, m.Policy)
		}
	}
}
