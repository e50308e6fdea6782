package activation_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tekend/ca"
	"tekend/certs"
	"tekend/cms"
	"tekend/consent"
	"tekend/sam"
	"tekend/sam/activation"
	"tekend/tsa"
	"tekend/wire"
	"tekend/witness/witnesstest"
)

// unit is a time-stamping unit whose clock the test sets.
type unit struct {
	key   *ecdsa.PrivateKey
	chain []*x509.Certificate // the unit's certificate first
}

// unit makes one under the world's root, by way of its issuing CA.
func (w *world) unit() unit {
	w.t.Helper()
	return newUnit(w.t, w.issuer, w.now())
}

func newUnit(t testing.TB, by certs.Issuer, now time.Time) unit {
	t.Helper()
	key := ecKey(t)
	der := got(certs.Issue(by, certs.Order{
		Profile: certs.TSU, PublicKey: key.Public(), NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(4, 0, 0),
		Subject:     certs.Subject{Country: "BE", Organisation: "Tekend SANDBOX", OrganisationID: "NTRBE-0000000000", CommonName: "Tekend SANDBOX TSU 2"},
		Publication: certs.PublishedBy("http://127.0.0.1:8080/pki", "root", "https://sandbox.tekend.example/cps"),
	}))(t)
	return unit{key, []*x509.Certificate{got(x509.ParseCertificate(der))(t), by.Cert}}
}

// stamp makes a token over a digest that says that it was made at a time.
func (u unit) stamp(t testing.TB, digest []byte, at time.Time) []byte {
	t.Helper()
	sum := func(b []byte) []byte { s := sha256.Sum256(b); return s[:] }
	body := got(tsa.Info{
		Policy: asn1.ObjectIdentifier{0, 4, 0, 2023, 1, 1}, Imprint: tsa.Imprint{Hash: crypto.SHA256, Digest: digest},
		Serial: big.NewInt(at.UnixNano()), GenTime: at.UTC(), Accuracy: time.Second,
	}.Encode())(t)
	attrs := got(cms.ContentAttributes(cms.OIDTSTInfo, sum(body), u.chain[0]))(t)
	value := got(ecdsa.SignASN1(rand.Reader, u.key, sum(attrs)))(t)
	return got(cms.AssembleToken(body, cms.Parts{SignedAttrs: attrs, Value: value, Certificate: u.chain[0], Chain: u.chain[1:]}, true))(t)
}

func (w *world) applyOnce() sam.EnrolStep {
	w.t.Helper()
	return got(w.front.Enrol(w.t.Context(), sam.EnrolRequest{V: 1, Txn: txn(), Language: "en", TermsVersion: terms, TermsSHA256: termsDigest(), OneTime: true}))(w.t)
}

// toIssueOnce brings an application for a one-time credential to the ca's order.
func (w *world) toIssueOnce(person string) sam.EnrolStep {
	w.t.Helper()
	st := w.applyOnce()
	st = got(w.front.Identification(w.t.Context(), st.ID, w.at(st.AuthorizationURL, person)))(w.t)
	if st.Step != sam.StepConsent {
		w.t.Fatalf("a one-time application is at %s", st.Step)
	}
	return got(w.front.Consent(w.t.Context(), st.ID, w.at(st.AuthorizationURL, person)))(w.t)
}

func (w *world) enrolOnce(person string) sam.Credential {
	w.t.Helper()
	st := w.toIssueOnce(person)
	issued := got(w.ca.Issue(w.t.Context(), ca.IssueRequest(*st.Order)))(w.t)
	st = got(w.front.Certificate(w.t.Context(), st.ID, issued.Chain))(w.t)
	if st.Step != sam.StepDone || st.Credential == nil || st.Credential.SessionEnds.IsZero() {
		w.t.Fatalf("%+v", st)
	}
	return *st.Credential
}

// signOnce is the request for all positions with a fresh time-stamp.
func (w *world) signOnce(u unit, c confirmed) sam.SignRequest {
	w.t.Helper()
	req := c.request()
	for i := range c.session.Positions {
		req.Positions = append(req.Positions, i)
	}
	req.TimeStamp = u.stamp(w.t, c.session.Stamp, w.now())
	return req
}

func (w *world) noKey(c sam.Credential) {
	w.t.Helper()
	if s := w.state(c); s != sam.CredentialDestroyed {
		w.t.Errorf("the credential is %s", s)
	}
	if b := w.blob(c); len(bytes.Trim(b, "\x00")) != 0 {
		w.t.Errorf("%d bytes of the key are left", len(b))
	}
}

func TestAOneTimeCredentialSignsOnceAndItsKeyIsGone(t *testing.T) {
	section, _ := witnesstest.Start(t, "test/audit/sam")
	w := newWorld(t, func(c *activation.Config) { c.Audit = section })
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); w.role.RunAudit(ctx) }()
	defer func() { stop(); <-done }()
	u := w.unit()
	long := w.enrol("approve")
	cred := w.enrolOnce("approve") // though there is one: its key is always new
	if cred.ID == long.ID || !certs.IsOneTime(leaf(t, cred)) || certs.IsOneTime(leaf(t, long)) || !long.SessionEnds.IsZero() {
		t.Fatalf("%+v\n%+v", cred, long)
	}
	if d := cred.SessionEnds.Sub(w.now()); d > activation.OnceLife || d < activation.OnceLife-time.Minute {
		t.Errorf("the session ends in %v", d)
	}
	if d := leaf(t, cred).NotAfter.Sub(leaf(t, cred).NotBefore); d > 24*time.Hour {
		t.Errorf("the certificate is valid for %v", d)
	}
	c := w.confirm(cred, 2)
	if sum := sha256.Sum256(c.Manifest); !bytes.Equal(c.session.Stamp, sum[:]) {
		t.Errorf("what must be stamped: %x", c.session.Stamp)
	}
	req := w.signOnce(u, c)
	signed := got(w.front.Sign(t.Context(), c.Nonce, req))(t)
	checkValues(t, cred, c.docs, signed.Values)
	w.noKey(cred)

	// What is stored can be had as before; nothing new can.
	again := got(w.front.Sign(t.Context(), c.Nonce, req))(t)
	if !equalValues(again.Values, signed.Values) {
		t.Error("other values")
	}
	w.soon("there is evidence", func() bool {
		ev, err := w.front.Evidence(t.Context(), c.Nonce)
		return err == nil && len(ev.Bundle) > 0
	})
	_, err := w.front.Prepare(t.Context(), order(cred, c.docs))
	w.refused(err, sam.CodeCertificateNotGood)
	if n := w.number("SELECT COUNT(*) FROM stamps"); n != 1 {
		t.Errorf("%d time-stamps are kept", n)
	}
	// The next enrolment, for a long time, finds the other one, not this.
	st := w.apply()
	st = got(w.front.Identification(t.Context(), st.ID, w.at(st.AuthorizationURL, "approve")))(t)
	if st.Step != sam.StepExisting || st.Credential.ID != long.ID {
		t.Errorf("%+v", st)
	}
	if n := w.uses(); n != 5 { // three certificate requests, two values
		t.Errorf("%d uses", n)
	}
}

// The same with keys that live in the token: there is one less afterwards, also of an application that took too long.
func TestAOneTimeKeyInTheTokenIsGone(t *testing.T) {
	w := newWorld(t, resident)
	w.clean()
	u := w.unit()
	cred := w.enrolOnce("approve")
	c := w.confirm(cred, 1)
	checkValues(t, cred, c.docs, got(w.front.Sign(t.Context(), c.Nonce, w.signOnce(u, c)))(t).Values)
	if n := len(residents(t, w)); n != 0 || w.state(cred) != sam.CredentialDestroyed {
		t.Errorf("%d keys in the token, the credential is %s", n, w.state(cred))
	}
	w.toIssueOnce("approve")
	w.advance(activation.OnceLife + time.Second)
	must(t, w.role.Sweep(t.Context()))
	if n := len(residents(t, w)); n != 0 {
		t.Errorf("%d keys in the token", n)
	}
	agree(t, w, "after both")
}

func TestTheTextSaysThatItIsForThisSessionOnly(t *testing.T) {
	w := newWorld(t)
	st := w.toIssueOnce("approve")
	m := got(consent.DecodeManifest(st.Order.ConsentManifest))(t)
	app := got(consent.DecodeApplication(st.Order.Application))(t)
	if !app.OneTime || !strings.Contains(m.Template.Text, "this session only") {
		t.Errorf("%q", m.Template.Text)
	}
}

// The session ends 30 minutes after the identification, to the second, wherever it stands then.
func TestAOneTimeSessionEndsAfterThirtyMinutes(t *testing.T) {
	for _, c := range []struct {
		after time.Duration
		ok    bool
	}{{activation.OnceLife - 2*time.Second, true}, {activation.OnceLife + time.Second, false}} {
		w := newWorld(t)
		u := w.unit()
		cred := w.enrolOnce("approve")
		begin := cred.SessionEnds.Add(-activation.OnceLife)
		at := func(d time.Duration) { w.advance(begin.Add(d).Sub(w.now())) }
		at(26 * time.Minute)
		con := w.confirm(cred, 1)
		if con.session.ExpiresAt.After(cred.SessionEnds) {
			t.Errorf("the session ends at %v, the credential at %v", con.session.ExpiresAt, cred.SessionEnds)
		}
		at(c.after)
		signed, err := w.front.Sign(t.Context(), con.Nonce, w.signOnce(u, con))
		if c.ok {
			must(t, err)
			checkValues(t, cred, con.docs, signed.Values)
		} else {
			w.refused(err, sam.CodeNotAuthorized)
			must(t, w.role.Sweep(t.Context()))
		}
		w.noKey(cred)
		want := 1
		if c.ok {
			want = 2
		}
		if n := w.uses(); n != want { // the certificate request is one
			t.Errorf("after %v: %d uses", c.after, n)
		}
	}
}

// Whatever step it stands at, nothing of it goes on after the session.
func TestAOneTimeApplicationThatTakesTooLong(t *testing.T) {
	w := newWorld(t)
	st := w.toIssueOnce("approve")
	issued := got(w.ca.Issue(t.Context(), ca.IssueRequest(*st.Order)))(t)
	w.advance(activation.OnceLife + time.Second)
	_, err := w.front.Certificate(t.Context(), st.ID, issued.Chain)
	w.refused(err, sam.CodeExpired)
	must(t, w.role.Sweep(t.Context()))
	if n := w.number("SELECT COUNT(*) FROM enrolments"); n != 0 {
		t.Errorf("%d applications with a key", n)
	}
	if w.count("key.destroyed") != 1 {
		t.Errorf("%d rows say that the key is destroyed", w.count("key.destroyed"))
	}
	cred := w.enrolOnce("approve")
	w.advance(activation.OnceLife + time.Second)
	_, err = w.front.Prepare(t.Context(), order(cred, documents(t, cred, 1)))
	w.refused(err, sam.CodeNotAuthorized)
}

// One list of documents, one confirmation. The same one may be asked again while nobody has given it.
func TestAOneTimeCredentialHasOneConfirmation(t *testing.T) {
	w := newWorld(t)
	u := w.unit()
	cred := w.enrolOnce("approve")
	docs := documents(t, cred, 2)
	first := w.prepare(cred, docs)
	for name, other := range map[string][]sam.Document{
		"fewer": docs[:1], "in another order": {docs[1], docs[0]}, "others": {docs[0], document(t, cred, "Contract 2.pdf", "another text")},
		"another label": {docs[0], document(t, cred, "Other.pdf", t.Name()+" text 1")}, "as hashes": asHashes(docs),
	} {
		if _, err := w.front.Prepare(t.Context(), order(cred, other)); code(err) != sam.CodeNotAuthorized {
			t.Errorf("%s: %v", name, err)
		}
	}
	a := w.at(first.AuthorizationURL, "", "sandbox_result=declined")
	if a.Error == "" {
		a = sam.Answer{Error: "access_denied"}
	}
	_, err := w.front.Authorize(t.Context(), first.Nonce, a)
	w.refused(err, sam.CodeDeclined)

	// Two questions about the same, two answers at the same time: one confirmation.
	one, two := w.prepare(cred, docs), w.prepare(cred, docs)
	answers := []sam.Answer{w.at(one.AuthorizationURL, ""), w.at(two.AuthorizationURL, "")}
	var sessions [2]sam.Session
	var errs [2]error
	var both sync.WaitGroup
	for i, p := range []sam.Prepared{one, two} {
		both.Go(func() { sessions[i], errs[i] = w.front.Authorize(t.Context(), p.Nonce, answers[i]) })
	}
	both.Wait()
	if (errs[0] == nil) == (errs[1] == nil) {
		t.Fatalf("%v, %v", errs[0], errs[1])
	}
	won, p := sessions[0], one
	if errs[0] != nil {
		won, p = sessions[1], two
	}
	_, err = w.front.Prepare(t.Context(), order(cred, docs))
	w.refused(err, sam.CodeNotAuthorized)
	c := confirmed{Prepared: p, session: won, docs: docs}
	signed := got(w.front.Sign(t.Context(), c.Nonce, w.signOnce(u, c)))(t)
	checkValues(t, cred, docs, signed.Values)
	w.noKey(cred)
}

func asHashes(docs []sam.Document) []sam.Document {
	all := slices.Clone(docs)
	for i := range all {
		all[i].Hash = true
	}
	return all
}

// Attributes that state a time are made anew for a question that is asked again: it is about the same document, and what was
// confirmed is what is signed.
func TestAOneTimeCredentialIsAskedAgainAtAnotherTime(t *testing.T) {
	w := newWorld(t)
	u := w.unit()
	cred := w.enrolOnce("approve")
	by := func() sam.Document {
		return documentBy(t, cred, form{crypto.SHA256, w.now(), ""}, "a file")
	}
	first := w.prepare(cred, []sam.Document{by()})
	w.advance(6 * time.Minute)
	other := by()
	other.Label = "Another name.pdf"
	if _, err := w.front.Prepare(t.Context(), order(cred, []sam.Document{other})); code(err) != sam.CodeNotAuthorized {
		t.Errorf("another name: %v", err)
	}
	docs := []sam.Document{by()}
	second := w.prepare(cred, docs)
	if first.Nonce == second.Nonce || first.CheckCode != second.CheckCode {
		t.Errorf("%+v\n%+v", first, second)
	}
	c := confirmed{Prepared: second, docs: docs}
	c.session = got(w.front.Authorize(t.Context(), second.Nonce, w.at(second.AuthorizationURL, "")))(t)
	checkValues(t, cred, docs, got(w.front.Sign(t.Context(), c.Nonce, w.signOnce(u, c)))(t).Values)
	w.noKey(cred)
}

// Without a time-stamp of the last minute, over this manifest, from an authority under our root: nothing is used up,
// and a good one is taken afterwards.
func TestAOneTimeKeyWaitsForItsTimeStamp(t *testing.T) {
	w := newWorld(t)
	u := w.unit()
	cred := w.enrolOnce("approve")
	c := w.confirm(cred, 1)
	other := sha256.Sum256([]byte("another manifest"))
	rootKey := ecKey(t)
	rootDER := got(certs.Issue(certs.Issuer{Signer: rootKey}, certs.Order{
		Profile: certs.Root, PublicKey: rootKey.Public(), NotBefore: w.now().Add(-time.Hour), NotAfter: w.now().AddDate(6, 0, 0),
		Subject: certs.Subject{Country: "BE", Organisation: "Other SANDBOX", OrganisationID: "NTRBE-0000000000", CommonName: "Other SANDBOX Root CA"},
	}))(t)
	root := got(x509.ParseCertificate(rootDER))(t)
	foreign := newUnit(t, certs.Issuer{Cert: root, Signer: rootKey}, w.now())
	damaged := u.stamp(t, c.session.Stamp, w.now())
	damaged[len(damaged)-1] ^= 1
	for name, stamp := range map[string][]byte{
		"none": nil, "no token": []byte("stamp"), "of another manifest": u.stamp(t, other[:], w.now()),
		"61 seconds old": u.stamp(t, c.session.Stamp, w.now().Add(-61*time.Second)), "of the future": u.stamp(t, c.session.Stamp, w.now().Add(70*time.Second)),
		"of another root": foreign.stamp(t, c.session.Stamp, w.now()), "damaged": damaged,
	} {
		req := c.request(0)
		req.TimeStamp = stamp
		_, err := w.front.Sign(t.Context(), c.Nonce, req)
		e, ok := errors.AsType[*wire.Error](err)
		if !ok || e.Code != sam.CodeTimeStampRequired || !e.Retryable {
			t.Errorf("%s: %v", name, err)
		}
	}
	if st := got(w.front.Confirmation(t.Context(), c.Nonce))(t); st.Positions[0].State != sam.PositionFree || st.Session == nil || !bytes.Equal(st.Session.Stamp, c.session.Stamp) {
		t.Errorf("%+v", st)
	}
	signed := got(w.front.Sign(t.Context(), c.Nonce, w.signOnce(u, c)))(t)
	checkValues(t, cred, c.docs, signed.Values)

	long := w.enrol("nl-document")
	l := w.confirm(long, 1)
	if l.session.Stamp != nil {
		t.Error("a long-term credential wants a time-stamp")
	}
	req := l.request(0)
	req.TimeStamp = u.stamp(t, other[:], w.now())
	_, err := w.front.Sign(t.Context(), l.Nonce, req)
	w.refused(err, sam.CodeBadRequest)
}

// A token that fails in the middle ends the session: nothing more is signed with the confirmation, so the key goes.
func TestAOneTimeKeyWhoseUseIsUnknownIsGone(t *testing.T) {
	w := newWorld(t)
	u := w.unit()
	cred, other := w.enrolOnce("approve"), w.enrol("nl-document")
	w.exec("UPDATE links SET blob = (SELECT blob FROM links WHERE id = ?) WHERE id = ?", other.ID, cred.ID)
	must(t, w.role.Reseal(t.Context(), cred.ID)) // its values will not verify
	c := w.confirm(cred, 2)
	_, err := w.front.Sign(t.Context(), c.Nonce, w.signOnce(u, c))
	w.refused(err, sam.CodeBurnt)
	w.noKey(cred)
	_, err = w.front.Sign(t.Context(), c.Nonce, w.signOnce(u, c))
	w.refused(err, sam.CodeBurnt)
}

// A crash anywhere leaves no key of a session that is over: the next start ends it.
func TestACrashLeavesNoOneTimeKey(t *testing.T) {
	t.Run("after the confirmation", func(t *testing.T) {
		w := newWorld(t)
		cred := w.enrolOnce("approve")
		w.confirm(cred, 1)
		w.start() // its session is void, and there is no second one
		w.soonDestroyed(cred)
		w.noKey(cred)
	})
	t.Run("after the key was used", func(t *testing.T) {
		w := newWorld(t)
		u := w.unit()
		cred := w.enrolOnce("approve")
		c := w.confirm(cred, 1)
		w.exec(`CREATE TRIGGER crash BEFORE UPDATE ON links WHEN NEW.state = 'destroyed' BEGIN SELECT RAISE(ABORT, 'crash'); END`)
		signed := got(w.front.Sign(t.Context(), c.Nonce, w.signOnce(u, c)))(t)
		checkValues(t, cred, c.docs, signed.Values)
		if w.state(cred) != sam.CredentialActive {
			t.Fatal("the test destroyed nothing")
		}
		w.halt()
		w.exec("DROP TRIGGER crash")
		w.start()
		w.soonDestroyed(cred)
		w.noKey(cred)
	})
	t.Run("with nobody who asks", func(t *testing.T) {
		w := newWorld(t)
		cred := w.enrolOnce("approve")
		w.halt()
		w.advance(activation.OnceLife)
		w.start()
		w.soonDestroyed(cred)
	})
}

// Whoever writes into the sam's database cannot give a one-time key a second session.
func TestOneTimeColumnsAreUnderTheMAC(t *testing.T) {
	for name, change := range map[string]string{
		"a longer session": "UPDATE links SET once_ends = once_ends + 3600000000",
		"long-term":        "UPDATE links SET once_ends = 0, once_docs = '', once_nonce = ''",
		"other documents":  "UPDATE links SET once_docs = ''",
		"not confirmed":    "UPDATE links SET once_nonce = ''",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			u := w.unit()
			cred := w.enrolOnce("approve")
			c := w.confirm(cred, 1)
			w.exec(change)
			_, err := w.front.Sign(t.Context(), c.Nonce, w.signOnce(u, c))
			w.refused(err, sam.CodeCredentialUnknown)
			_, err = w.front.Prepare(t.Context(), order(cred, c.docs))
			w.refused(err, sam.CodeCredentialUnknown)
		})
	}
	w := newWorld(t)
	st := w.toIssueOnce("approve")
	issued := got(w.ca.Issue(t.Context(), ca.IssueRequest(*st.Order)))(t)
	w.exec("UPDATE enrolments SET identified = identified + 3600000000")
	_, err := w.front.Certificate(t.Context(), st.ID, issued.Chain)
	w.refused(err, sam.CodeEnrolmentUnknown)
}

// The front cannot change the kind on the way: what was applied for is what the certificate must be.
func TestTheCertificateIsOfTheKindThatWasAppliedFor(t *testing.T) {
	w := newWorld(t)
	w.enrol("approve")
	st := w.toIssue("nl-document")
	csr := got(x509.ParseCertificateRequest(st.Order.CSR))(t)
	person := got(certs.NewPerson("Johanna van der Voorbeeld", "Johanna", "van der Voorbeeld", "NL"))(t)
	now := w.now().UTC().Truncate(time.Second)
	published := certs.PublishedBy("http://127.0.0.1:8080/pki", "issuing-ca", "https://sandbox.tekend.example/cps")
	published.PDS = []certs.PDS{{URL: "https://sandbox.tekend.example/pds", Language: "en"}}
	der, err := certs.Issue(w.issuer, certs.Order{
		Profile: certs.OneTime, Subject: person.Subject(), PublicKey: csr.PublicKey, NotBefore: now, NotAfter: now.Add(20 * time.Hour), Identified: true,
		Publication: published,
	})
	must(t, err)
	_, err = w.front.Certificate(t.Context(), st.ID, [][]byte{der, w.issuer.Cert.Raw})
	w.refused(err, sam.CodeCertificateNotGood)
	if w.count("credential.linked") != 1 {
		t.Error("it was linked")
	}
}
