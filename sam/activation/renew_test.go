package activation_test

import (
	"testing"
	"time"

	"tekend/certs"
	"tekend/sam"
)

// listed gives the ids of a person's credentials, and which are to be renewed.
func (w *world) listed(of sam.Credential) (ids []string, renew []bool) {
	w.t.Helper()
	for _, s := range got(w.front.Siblings(w.t.Context(), of.ID))(w.t).Credentials {
		ids, renew = append(ids, s.ID), append(renew, s.Renew)
	}
	return ids, renew
}

// Sixty days before its end a credential is to be renewed: the next enrolment makes another one, with another key. Both
// sign until the old one's certificate ends; then its key is destroyed, and nobody has asked for that.
func TestACredentialIsRenewedBeforeItsEnd(t *testing.T) {
	w := newWorld(t)
	old := w.enrol("approve")
	end := leaf(t, old).NotAfter
	until := func(before time.Duration) { w.advance(end.Add(-before).Sub(w.now())) }
	days := 24 * time.Hour
	enrolAgain := func() sam.EnrolStep {
		t.Helper()
		st := w.apply()
		return got(w.front.Identification(t.Context(), st.ID, w.at(st.AuthorizationURL, "approve")))(t)
	}
	until(61 * days)
	if c := got(w.front.Credential(t.Context(), old.ID))(t); c.Renew {
		t.Error("to be renewed 61 days before its end")
	}
	if st := enrolAgain(); st.Step != sam.StepExisting || st.Credential.ID != old.ID {
		t.Errorf("%+v", st)
	}
	until(59 * days)
	if c := got(w.front.Credential(t.Context(), old.ID))(t); !c.Renew || c.State != sam.CredentialActive {
		t.Errorf("59 days before its end: %+v", c)
	}
	young := w.enrol("approve")
	if certs.SameKey(leaf(t, young).PublicKey, leaf(t, old).PublicKey) || young.ID == old.ID {
		t.Error("the same key")
	}
	if st := enrolAgain(); st.Step != sam.StepExisting || st.Credential.ID != young.ID {
		t.Errorf("%+v", st)
	}
	for _, cred := range []sam.Credential{old, young} {
		c := w.confirm(cred, 1)
		checkValues(t, cred, c.docs, got(w.front.Sign(t.Context(), c.Nonce, c.request(0)))(t).Values)
	}
	if ids, renew := w.listed(young); len(ids) != 2 || ids[0] != young.ID || ids[1] != old.ID || renew[0] || !renew[1] {
		t.Errorf("%v %v", ids, renew)
	}

	until(-time.Second)
	must(t, w.role.Sweep(t.Context()))
	w.noKey(old)
	_, err := w.front.Prepare(t.Context(), order(old, documents(t, old, 1)))
	w.refused(err, sam.CodeCertificateNotGood)
	c := w.confirm(young, 1)
	checkValues(t, young, c.docs, got(w.front.Sign(t.Context(), c.Nonce, c.request(0)))(t).Values)
	if w.caSays(old) != "good" {
		t.Error("an expired certificate was revoked")
	}
	w.uses()
}

// The record of an earlier version does not say when the certificate ends: the certificate does.
func TestRecordsOfAnEarlierVersionEndToo(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	w.exec("UPDATE links SET expires = 0")
	w.advance(leaf(t, cred).NotAfter.Add(time.Second).Sub(w.now()))
	must(t, w.role.Sweep(t.Context()))
	w.noKey(cred)
	// And one that says too early is not believed.
	other := w.enrol("nl-document")
	w.exec("UPDATE links SET expires = 1000 WHERE state = 'active'")
	must(t, w.role.Sweep(t.Context()))
	if s := w.state(other); s != sam.CredentialActive {
		t.Errorf("it is %s", s)
	}
}

// One record that somebody changed does not keep the sweeping from the others.
func TestAChangedRecordDoesNotStopTheSweeping(t *testing.T) {
	w := newWorld(t)
	first, second := w.enrol("approve"), w.enrol("nl-document")
	once, late := w.enrolOnce("approve"), w.enrolOnce("nl-document")
	w.exec("UPDATE links SET ident_sub = 'somebody' WHERE id IN ('" + first.ID + "', '" + once.ID + "')")
	w.advance(leaf(t, second).NotAfter.Add(time.Second).Sub(w.now()))
	must(t, w.role.Sweep(t.Context()))
	w.noKey(second)
	w.noKey(late)
	if n := w.number("SELECT COUNT(*) FROM links WHERE state = 'active'"); n != 2 {
		t.Errorf("%d records are left alone", n)
	}
}

// Who deletes the account at itsme and makes it anew has another sub, and is somebody new here: same name, same
// document, another credential. The old one is neither found nor touched, and answers of the new account do not sign
// with it (LNK-04).
func TestANewItsmeAccountIsSomebodyNew(t *testing.T) {
	w := newWorld(t)
	old := w.enrol("approve")
	must(t, w.op.Recreate("approve"))
	young := w.enrol("approve") // does not end in "existing"
	if string(leaf(t, old).RawSubject) == string(leaf(t, young).RawSubject) {
		t.Error("the two certificates have one subject")
	}
	if a, b := leaf(t, old).Subject.CommonName, leaf(t, young).Subject.CommonName; a != b {
		t.Fatalf("%q and %q: the test is about one name", a, b)
	}
	for _, c := range []sam.Credential{old, young} {
		if ids, _ := w.listed(c); len(ids) != 1 || ids[0] != c.ID {
			t.Errorf("%s is listed with %v", c.ID, ids)
		}
	}
	if w.state(old) != sam.CredentialActive || w.caSays(old) != "good" {
		t.Error("the old credential was touched")
	}
	// The old one's owner is gone: nobody can answer for it.
	p := w.prepare(old, documents(t, old, 1))
	if a := w.at(p.AuthorizationURL, "approve"); a.Code != "" {
		_, err := w.front.Authorize(t.Context(), p.Nonce, a)
		w.refused(err, sam.CodeWrongPerson)
	}
	c := w.confirm(young, 1)
	checkValues(t, young, c.docs, got(w.front.Sign(t.Context(), c.Nonce, c.request(0)))(t).Values)
	w.uses()
}
