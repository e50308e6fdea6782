package activation_test

import (
	"database/sql"
	"strings"
	"testing"
	"time"

	"tekend/ca"
	"tekend/sam"
)

// TestRestart: what was prepared or confirmed before is void, what is signed
// is handed out, enrolments that are past the person's part go on.
func TestRestart(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	prepared := w.prepare(cred, documents(t, cred, 1))
	answer := w.at(prepared.AuthorizationURL, "")
	free := w.confirm(cred, 2)
	half := w.confirm(cred, 2)
	got(w.front.Sign(t.Context(), half.Nonce, half.request(1)))(t)
	whole := w.confirm(cred, 2)
	values := got(w.front.Sign(t.Context(), whole.Nonce, whole.request(0, 1)))(t).Values
	asked, issue := w.toConsent("no-email"), w.toIssue("approve-slow")
	agreed := w.at(asked.AuthorizationURL, "no-email")
	w.start()
	w.zero([]string{sam.CodeBeforeStart}, func() {
		_, err := w.front.Authorize(t.Context(), prepared.Nonce, answer)
		w.refused(err, sam.CodeBeforeStart)
		_, err = w.front.Sign(t.Context(), free.Nonce, free.request(0, 1))
		w.refused(err, sam.CodeBeforeStart)
		_, err = w.front.Sign(t.Context(), half.Nonce, half.request(0, 1))
		w.refused(err, sam.CodeBeforeStart)
		_, err = w.front.Consent(t.Context(), asked.ID, agreed)
		w.refused(err, sam.CodeBeforeStart)
		if again := got(w.front.Sign(t.Context(), whole.Nonce, whole.request(0, 1)))(t); !equalValues(again.Values, values) {
			t.Error("signed values are not handed out again")
		}
	})
	if st := got(w.front.Confirmation(t.Context(), prepared.Nonce))(t); st.State != sam.StateFailed || st.Reason != sam.CodeBeforeStart {
		t.Errorf("%+v", st)
	}
	if st := got(w.front.Enrolment(t.Context(), asked.ID))(t); st.Step != sam.StepFailed || st.Reason != sam.CodeBeforeStart {
		t.Errorf("%+v", st)
	}
	st := got(w.front.Confirmation(t.Context(), whole.Nonce))(t)
	if st.State != sam.StateAuthorized || len(st.Positions) != 2 || st.Positions[1].Value == nil {
		t.Errorf("%+v", st)
	}
	order := got(w.front.Enrolment(t.Context(), issue.ID))(t)
	issued := got(w.ca.Issue(t.Context(), ca.IssueRequest(*order.Order)))(t)
	done := got(w.front.Certificate(t.Context(), issue.ID, issued.Chain))(t)
	if done.Step != sam.StepDone {
		t.Fatalf("%+v", done)
	}
	c := w.confirm(*done.Credential, 1)
	checkValues(t, *done.Credential, c.docs, got(w.front.Sign(t.Context(), c.Nonce, c.request(0)))(t).Values)
}

// TestStoppedWhileTheKeyWasUsed: the process died between burning and storing.
// The database then is as set here.
func TestStoppedWhileTheKeyWasUsed(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	c := w.confirm(cred, 3)
	w.halt()
	w.exec("UPDATE positions SET state = 'burnt' WHERE position < 2")
	w.start()
	st := got(w.front.Confirmation(t.Context(), c.Nonce))(t)
	for i, want := range []string{sam.PositionUnknown, sam.PositionUnknown, sam.PositionFree} {
		if st.Positions[i].State != want {
			t.Errorf("%+v", st.Positions[i])
		}
	}
	w.zero([]string{sam.CodeBurnt}, func() {
		for _, positions := range [][]int{{0}, {1, 2}, {2}} {
			_, err := w.front.Sign(t.Context(), c.Nonce, c.request(positions...))
			w.refused(err, sam.CodeBurnt)
		}
	})
	if n := w.count("key.unknown"); n != 2 {
		t.Errorf("%d rows key.unknown", n)
	}
}

// TestStoppedWhileACodeWasExchanged: the code is not sent again.
func TestStoppedWhileACodeWasExchanged(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	p := w.prepare(cred, documents(t, cred, 1))
	a := w.at(p.AuthorizationURL, "")
	w.cut.Store("/token")
	_, err := w.front.Authorize(t.Context(), p.Nonce, a)
	w.refused(err, sam.CodeExpired)
	w.cut.Store("")
	w.halt() // as if it had died before it could write the end down
	w.exec("UPDATE questions SET status = 'exchanging', reason = '', detail = '' WHERE nonce = ?", p.Nonce)
	w.start()
	sent := w.hits.Load()
	w.zero(nil, func() {
		_, err := w.front.Authorize(t.Context(), p.Nonce, a)
		w.refused(err, sam.CodeExpired)
	})
	if w.hits.Load() != sent {
		t.Error("the code was sent again")
	}
	if st := got(w.front.Confirmation(t.Context(), p.Nonce))(t); st.State != sam.StateExpired || st.Reason != sam.CodeExpired {
		t.Errorf("%+v", st)
	}
}

// TestClockBack: nothing is done before the highest time of the record.
func TestClockBack(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	p := w.prepare(cred, documents(t, cred, 1))
	a := w.at(p.AuthorizationURL, "")
	c := w.confirm(cred, 1)
	w.advance(-time.Minute)
	w.zero([]string{sam.CodeClock}, func() {
		_, err := w.front.Prepare(t.Context(), order(cred, documents(t, cred, 2)))
		w.refused(err, sam.CodeClock)
		_, err = w.front.Authorize(t.Context(), p.Nonce, a)
		w.refused(err, sam.CodeClock)
		_, err = w.front.Sign(t.Context(), c.Nonce, c.request(0))
		w.refused(err, sam.CodeClock)
	})
	w.halt()
	if err := w.tryStart(); err == nil || !strings.Contains(err.Error(), "clock") {
		t.Errorf("started with a clock that was put back: %v", err)
	}
	w.advance(time.Minute)
	w.start()
}

// TestClockBackAndForth: a call that was refused for the clock works when the
// clock is right, because nothing was used up.
func TestClockBackAndForth(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	p := w.prepare(cred, documents(t, cred, 1))
	a := w.at(p.AuthorizationURL, "")
	w.advance(-time.Minute)
	_, err := w.front.Authorize(t.Context(), p.Nonce, a)
	w.refused(err, sam.CodeClock)
	w.advance(time.Minute)
	s := got(w.front.Authorize(t.Context(), p.Nonce, a))(t)
	w.advance(-time.Minute)
	_, err = w.front.Sign(t.Context(), p.Nonce, sam.SignRequest{Session: s.ID, Positions: []int{0}})
	w.refused(err, sam.CodeClock)
	w.advance(time.Minute)
	if signed := got(w.front.Sign(t.Context(), p.Nonce, sam.SignRequest{Session: s.ID, Positions: []int{0}}))(t); len(signed.Values) != 1 {
		t.Errorf("%+v", signed)
	}
}

// TestTooLate: questions and sessions end by the clock.
func TestTooLate(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	p := w.prepare(cred, documents(t, cred, 1))
	a := w.at(p.AuthorizationURL, "")
	c := w.confirm(cred, 1)
	st := w.apply()
	if left := time.Until(p.ExpiresAt); left > 10*time.Minute || time.Until(c.session.ExpiresAt) > 10*time.Minute {
		t.Errorf("the question lives %v, the session %v", left, time.Until(c.session.ExpiresAt))
	}
	w.advance(10 * time.Minute)
	w.zero([]string{sam.CodeExpired, sam.CodeNotAuthorized}, func() {
		_, err := w.front.Authorize(t.Context(), p.Nonce, a)
		w.refused(err, sam.CodeExpired)
		_, err = w.front.Sign(t.Context(), c.Nonce, c.request(0))
		w.refused(err, sam.CodeNotAuthorized)
	})
	if st := got(w.front.Confirmation(t.Context(), p.Nonce))(t); st.State != sam.StateExpired {
		t.Errorf("%+v", st)
	}
	if st := got(w.front.Enrolment(t.Context(), st.ID))(t); st.Step != sam.StepFailed || st.Reason != sam.CodeExpired {
		t.Errorf("%+v", st)
	}
	if sent := w.hits.Load(); sent != 3 { // the enrolment's two and the confirmed one
		t.Errorf("%d exchanges", sent)
	}
}

// TestChangedLink: each column of a link record, changed in the database,
// makes the credential unusable, also under a session that is there already.
func TestChangedLink(t *testing.T) {
	w := newWorld(t)
	cred, other := w.enrol("approve"), w.enrol("approve-slow")
	c := w.confirm(cred, 1)
	for column, change := range map[string]string{
		"state": "'blocked'", "generation": "generation + 1", "iss": "'https://other.test'", "ident_aud": "'X'", "ident_sub": "'X'",
		"confirm_aud": "'X'", "confirm_sub": "(SELECT confirm_sub FROM links WHERE id = '" + other.ID + "')",
		"spki": "(SELECT spki FROM links WHERE id = '" + other.ID + "')", "chain": "(SELECT chain FROM links WHERE id = '" + other.ID + "')",
		"kind": "'RSA-3072'", "kek": "'other'", "mechanism": "'0x0000210B'", "module": "'other'",
		"blob": "(SELECT blob FROM links WHERE id = '" + other.ID + "')", "created": "created + 1", "mac": "(SELECT mac FROM links WHERE id = '" + other.ID + "')",
	} {
		w.exec("CREATE TABLE saved AS SELECT * FROM links")
		w.exec("UPDATE links SET " + column + " = " + change + " WHERE id = '" + cred.ID + "'")
		w.zero([]string{sam.CodeCredentialUnknown}, func() {
			_, err := w.front.Prepare(t.Context(), order(cred, documents(t, cred, 1)))
			w.refused(err, sam.CodeCredentialUnknown)
			_, err = w.front.Sign(t.Context(), c.Nonce, c.request(0))
			w.refused(err, sam.CodeCredentialUnknown)
			_, err = w.front.Credential(t.Context(), cred.ID)
			w.refused(err, sam.CodeCredentialUnknown)
		})
		w.exec("UPDATE links SET " + column + " = (SELECT " + column + " FROM saved WHERE id = '" + cred.ID + "') WHERE id = '" + cred.ID + "'")
		w.exec("DROP TABLE saved")
	}
	if signed := got(w.front.Sign(t.Context(), c.Nonce, c.request(0)))(t); len(signed.Values) != 1 {
		t.Error("the record that was put right does not work")
	}
}

// TestChangedRows: questions, sessions and enrolments are sealed too.
func TestChangedRows(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	p, q := w.prepare(cred, documents(t, cred, 1)), w.prepare(cred, documents(t, cred, 2))
	c, d := w.confirm(cred, 1), w.confirm(cred, 2)
	st := w.toIssue("approve-slow")
	w.zero([]string{sam.CodeNotAuthorized, sam.CodeEnrolmentUnknown}, func() {
		w.exec("UPDATE questions SET manifest = (SELECT manifest FROM questions WHERE nonce = ?) WHERE nonce = ?", q.Nonce, p.Nonce)
		_, err := w.front.Authorize(t.Context(), p.Nonce, w.at(p.AuthorizationURL, ""))
		w.refused(err, sam.CodeNotAuthorized)
		w.exec("UPDATE questions SET expires = expires + 1 WHERE nonce = ?", q.Nonce)
		_, err = w.front.Authorize(t.Context(), q.Nonce, w.at(q.AuthorizationURL, ""))
		w.refused(err, sam.CodeNotAuthorized)
		w.exec("UPDATE questions SET manifest = (SELECT manifest FROM questions WHERE nonce = ?) WHERE nonce = ?", p.Nonce, c.Nonce)
		_, err = w.front.Sign(t.Context(), c.Nonce, c.request(0))
		w.refused(err, sam.CodeNotAuthorized)
		w.exec("UPDATE sessions SET expires = expires + 600000000 WHERE nonce = ?", d.Nonce)
		_, err = w.front.Sign(t.Context(), d.Nonce, d.request(0))
		w.refused(err, sam.CodeNotAuthorized)
		w.exec("UPDATE enrolments SET confirm_sub = 'attacker' WHERE id = ?", st.ID)
		_, err = w.front.Enrolment(t.Context(), st.ID)
		w.refused(err, sam.CodeEnrolmentUnknown)
		_, err = w.front.Certificate(t.Context(), st.ID, cred.Chain)
		w.refused(err, sam.CodeEnrolmentUnknown)
	})
}

// TestInventedSession: whole rows that somebody wrote into the database.
func TestInventedSession(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	p := w.prepare(cred, documents(t, cred, 1))
	w.sql(func(d *sql.DB) error {
		_, err := d.Exec("UPDATE questions SET status = 'authorized', answer = 'x' WHERE nonce = ?", p.Nonce)
		if err == nil {
			_, err = d.Exec("INSERT INTO sessions VALUES (?, 'mine', ?, 1, ?, 1, ?, ?)", p.Nonce, cred.ID, cred.Algorithm, time.Now().Add(time.Hour).UnixMicro(), make([]byte, 32))
		}
		if err == nil {
			_, err = d.Exec("INSERT INTO positions (nonce, position) VALUES (?, 0)", p.Nonce)
		}
		return err
	})
	w.zero([]string{sam.CodeNotAuthorized}, func() {
		_, err := w.front.Sign(t.Context(), p.Nonce, sam.SignRequest{Session: "mine", Positions: []int{0}})
		w.refused(err, sam.CodeNotAuthorized)
	})
}

// TestOldEnrolmentsAreForgotten: personal data and tokens do not stay.
func TestOldEnrolmentsAreForgotten(t *testing.T) {
	w := newWorld(t)
	st := w.toIssue("approve")
	done := w.toIssue("approve-slow")
	issued := got(w.ca.Issue(t.Context(), ca.IssueRequest(*done.Order)))(t)
	got(w.front.Certificate(t.Context(), done.ID, issued.Chain))(t)
	tokens := func() (n int) {
		w.sql(func(d *sql.DB) error {
			return d.QueryRow("SELECT count(*) FROM questions WHERE token <> ''").Scan(&n)
		})
		return n
	}
	if n := tokens(); n != 2 { // of the one that is under way
		t.Errorf("%d tokens are kept", n)
	}
	w.advance(25 * time.Hour)
	w.apply()
	if _, err := w.front.Enrolment(t.Context(), st.ID); code(err) != sam.CodeEnrolmentUnknown || tokens() != 0 {
		t.Errorf("%v, %d tokens are kept", err, tokens())
	}
	if got := got(w.front.Enrolment(t.Context(), done.ID))(t); got.Step != sam.StepDone {
		t.Errorf("%+v", got)
	}
}
