package activation_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/asn1"
	"encoding/base64"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"tekend/consent"
	"tekend/db/dbtest"
	"tekend/itsme"
	"tekend/itsme/sandbox"
	"tekend/sam"
	"tekend/wire"
)

// The front is in the attacker's hand: he speaks the contract as he likes, and
// the victim is a genuine person with a genuine phone (issue item 16).

// zero runs an attack and checks that it used no key and that every refusal
// with its code is in the audit.
func (w *world) zero(codes []string, attack func()) {
	w.t.Helper()
	before, refused := w.signatures(), map[string]int{}
	for _, c := range codes {
		refused[c] = w.count("refusal." + c)
	}
	attack()
	n, audited := w.signatures()-before, 0
	if n != 0 {
		w.t.Errorf("the attack used keys %d times", n)
	}
	for _, c := range codes {
		if w.count("refusal."+c) <= refused[c] {
			w.t.Errorf("the refusal %s is not in the audit", c)
		}
		audited += w.count("refusal."+c) - refused[c]
	}
	w.t.Logf("C_Sign on users' keys: %d; audited refusals: %d (%s)", n, audited, strings.Join(codes, " "))
}

// signatures are the uses of users' keys for documents: all but the one for
// each certificate request.
func (w *world) signatures() int {
	w.t.Helper()
	return w.uses() - w.count("key.generated")
}

func (w *world) refused(err error, want string) {
	w.t.Helper()
	if code(err) != want {
		w.t.Errorf("got %v, want %s", err, want)
	}
}

// TestOwnedFrontA: the victim logs in or identifies, with a nonce that the
// attacker chose, because the attacker asks him to. itsme signs exactly the
// nonce of a prepared confirmation, but for another client.
func TestOwnedFrontA(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	w.zero([]string{sam.CodeExpired, sam.CodeNotAuthorized, sam.CodeEnrolmentUnknown}, func() {
		// The attacker starts an enrolment and has the victim identify. The
		// code, which the front sees, is offered for a signature.
		p := w.prepare(cred, documents(t, cred, 1))
		st := w.apply()
		_, err := w.front.Authorize(t.Context(), p.Nonce, w.at(st.AuthorizationURL, "approve"))
		w.refused(err, sam.CodeExpired) // another client's code, another verifier: itsme does not take it
		// The nonce of the identification is no confirmation.
		st = w.apply()
		nonce := w.nonceOf("identification", st.ID)
		_, err = w.front.Authorize(t.Context(), nonce, w.at(st.AuthorizationURL, "approve"))
		w.refused(err, sam.CodeNotAuthorized)
		// A confirmation is no enrolment either.
		_, err = w.front.Identification(t.Context(), p.Nonce, sam.Answer{Code: "x"})
		w.refused(err, sam.CodeEnrolmentUnknown)
	})
	// Even if itsme handed out a token of the Identification client with the
	// attacker's nonce for the code: aud is not the Confirmation client's.
	w.zero([]string{sam.CodeBadToken}, func() {
		p := w.prepare(cred, documents(t, cred, 1))
		_, err := w.front.Authorize(t.Context(), p.Nonce, w.at(p.AuthorizationURL, "", "sandbox_defect=other_aud"))
		w.refused(err, sam.CodeBadToken)
	})
}

// nonceOf looks into the role's database, which the front cannot.
func (w *world) nonceOf(kind, subject string) (nonce string) {
	w.t.Helper()
	w.sql(func(d *sql.DB) error {
		return d.QueryRow("SELECT nonce FROM questions WHERE kind = ? AND subject = ?", kind, subject).Scan(&nonce)
	})
	return nonce
}

// sql works on the role's database behind its back.
func (w *world) sql(fn func(*sql.DB) error) {
	w.t.Helper()
	d := dbtest.Raw(w.t, w.cfg.DB)
	defer func() { _ = d.Close() }() // before the database is put back
	must(w.t, fn(d))
}

func (w *world) exec(query string, args ...any) {
	w.t.Helper()
	w.sql(func(d *sql.DB) error { _, err := d.Exec(query, args...); return err })
}

// tryExec is exec whose error counts.
func (w *world) tryExec(query string) (err error) {
	w.sql(func(d *sql.DB) error { _, err = d.Exec(query); return nil })
	return err
}

// TestOwnedFrontB: label and digest of document A, which the victim sees and
// compares, with the signed attributes of B.
func TestOwnedFrontB(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	a, b := document(t, cred, "Lease.pdf", "A"), document(t, cred, "Sale of the house.pdf", "B")
	w.zero([]string{sam.CodeAttributesRefused}, func() {
		mixed := a
		mixed.SignedAttrs = b.SignedAttrs
		_, err := w.front.Prepare(t.Context(), order(cred, []sam.Document{mixed}))
		w.refused(err, sam.CodeAttributesRefused)
		// In a list: good, then mixed; and the attributes of two exchanged.
		_, err = w.front.Prepare(t.Context(), order(cred, []sam.Document{a, mixed}))
		w.refused(err, sam.CodeAttributesRefused)
		x, y := a, b
		x.SignedAttrs, y.SignedAttrs = y.SignedAttrs, x.SignedAttrs
		_, err = w.front.Prepare(t.Context(), order(cred, []sam.Document{x, y}))
		w.refused(err, sam.CodeAttributesRefused)
	})
	// What he can do: prepare B under the name of A. Then the check code is
	// not the one of A, and text and manifest say the digest of B.
	named := b
	named.Label = a.Label
	p, q := w.prepare(cred, []sam.Document{named}), w.prepare(cred, []sam.Document{a})
	if p.CheckCode == q.CheckCode {
		t.Error("two documents have one check code")
	}
	m := got(consent.DecodeManifest(p.Manifest))(t)
	if sum := sha256.Sum256(b.SignedAttrs); m.Docs[0].DTBS != b64(sum[:]) || m.Docs[0].Doc != b64(b.Digest) {
		t.Error("the manifest does not say what would be signed")
	}
}

// TestOwnedFrontC: the code of an enrolment's consent is offered to Authorize,
// and that of a signature to an enrolment.
func TestOwnedFrontC(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	w.zero([]string{sam.CodeExpired, sam.CodeNotAuthorized}, func() {
		p := w.prepare(cred, documents(t, cred, 1))
		st := w.toConsent("approve-slow") // same client, same kind of service
		answer := w.at(st.AuthorizationURL, "approve-slow")
		_, err := w.front.Authorize(t.Context(), p.Nonce, answer)
		w.refused(err, sam.CodeExpired)
		_, err = w.front.Authorize(t.Context(), w.nonceOf("consent", st.ID), answer)
		w.refused(err, sam.CodeNotAuthorized)
	})
	w.zero([]string{sam.CodeExpired}, func() {
		st := w.toConsent("approve-slow")
		p := w.prepare(cred, documents(t, cred, 1))
		_, err := w.front.Consent(t.Context(), st.ID, w.at(p.AuthorizationURL, ""))
		w.refused(err, sam.CodeExpired)
		if got := got(w.front.Enrolment(t.Context(), st.ID))(t); got.Step != sam.StepFailed {
			t.Errorf("%+v", got)
		}
	})
	// And if itsme took the code nevertheless: the token's nonce commits to
	// another operation.
	w.zero([]string{sam.CodeWrongNonce}, func() {
		p := w.prepare(cred, documents(t, cred, 1))
		_, err := w.front.Authorize(t.Context(), p.Nonce, w.at(p.AuthorizationURL, "", "sandbox_defect=wrong_nonce"))
		w.refused(err, sam.CodeWrongNonce)
		st := w.toConsent("approve-slow")
		_, err = w.front.Consent(t.Context(), st.ID, w.at(st.AuthorizationURL, "approve-slow", "sandbox_defect=wrong_nonce"))
		w.refused(err, sam.CodeWrongNonce)
	})
}

// TestOwnedFrontD: the same confirmation twice: at once, after a restart, after
// an old database of the sam was put back, and under a running sam.
func TestOwnedFrontD(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	c := w.confirm(cred, 2)
	old := w.copyDB() // authorized, nothing signed
	first := got(w.front.Sign(t.Context(), c.Nonce, c.request(0, 1)))(t)
	w.zero(nil, func() {
		again := got(w.front.Sign(t.Context(), c.Nonce, c.request(1, 0)))(t)
		if !equalValues(again.Values[1:], first.Values[:1]) {
			t.Error("the second call made other values")
		}
	})
	w.zero([]string{sam.CodeConflict}, func() {
		_, err := w.front.Authorize(t.Context(), c.Nonce, sam.Answer{Code: c.answer.Code + "x"})
		w.refused(err, sam.CodeConflict)
	})
	w.start()
	w.zero(nil, func() { // the stored outcome, nothing new
		if s := got(w.front.Authorize(t.Context(), c.Nonce, c.answer))(t); !reflect.DeepEqual(s, c.session) {
			t.Errorf("%+v", s)
		}
		again := got(w.front.Sign(t.Context(), c.Nonce, c.request(0, 1)))(t)
		if !equalValues(again.Values, first.Values) {
			t.Error("other values after the restart")
		}
	})
	used := w.uses()
	w.halt()
	w.putDB(old)
	w.start()
	if n := spyUses(t, w.spyAt); n != used {
		t.Fatalf("%d uses", n)
	}
	_, err := w.front.Sign(t.Context(), c.Nonce, c.request(0, 1))
	w.refused(err, sam.CodeBeforeStart)
	_, err = w.front.Sign(t.Context(), c.Nonce, c.request(1))
	w.refused(err, sam.CodeBeforeStart)
	if n := spyUses(t, w.spyAt); n != used || w.count("refusal.before_start") != 2 {
		t.Errorf("%d uses instead of %d; %d refusals in the audit", n, used, w.count("refusal.before_start"))
	}
}

// TestOwnedFrontDRunning: somebody who can write the database puts the rows
// back under the running sam, past its triggers.
func TestOwnedFrontDRunning(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	c := w.confirm(cred, 1)
	got(w.front.Sign(t.Context(), c.Nonce, c.request(0)))(t)
	w.exec("DROP TRIGGER positions_order")
	w.exec("DROP TRIGGER consumed_final_delete")
	w.exec("UPDATE positions SET state = 'free', value = NULL")
	w.zero([]string{sam.CodeBurnt}, func() {
		_, err := w.front.Sign(t.Context(), c.Nonce, c.request(0))
		w.refused(err, sam.CodeBurnt)
	})
	w.exec("DROP TRIGGER positions_final")
	w.exec("DELETE FROM positions")
	w.exec("DELETE FROM sessions")
	w.exec("DELETE FROM consumed")
	w.exec("UPDATE questions SET status = 'prepared', answer = '' WHERE kind = 'sign'")
	w.zero([]string{sam.CodeReplayed}, func() {
		_, err := w.front.Authorize(t.Context(), c.Nonce, c.answer)
		w.refused(err, sam.CodeReplayed)
	})
}

func postgres(source string) bool { return strings.HasPrefix(source, "postgres://") }

func (w *world) copyDB() []byte {
	w.t.Helper()
	if postgres(w.cfg.DB) {
		return dbtest.Dump(w.t, w.cfg.DB)
	}
	path := w.path("copy.db")
	_ = os.Remove(path)
	w.exec("VACUUM INTO ?", path)
	return got(os.ReadFile(path))(w.t)
}

func (w *world) putDB(b []byte) {
	w.t.Helper()
	if postgres(w.cfg.DB) {
		dbtest.Restore(w.t, w.cfg.DB, b)
		return
	}
	for _, tail := range []string{"-wal", "-shm"} {
		_ = os.Remove(w.cfg.DB + tail)
	}
	must(w.t, os.WriteFile(w.cfg.DB, b, 0o600))
}

// TestOwnedFrontE: another person confirms, for the victim's credential.
func TestOwnedFrontE(t *testing.T) {
	w := newWorld(t)
	victim := w.enrol("approve")
	w.enrol("no-email") // the attacker has a credential too
	w.zero([]string{sam.CodeDeclined, sam.CodeWrongPerson}, func() {
		// itsme asks the owner only, and says so.
		p := w.prepare(victim, documents(t, victim, 1))
		_, err := w.front.Authorize(t.Context(), p.Nonce, w.at(p.AuthorizationURL, "no-email"))
		w.refused(err, sam.CodeDeclined)
		// And if it did not: the token's sub is not the owner's.
		for _, trick := range []string{"sandbox_person=other-person", "sandbox_defect=wrong_sub"} {
			p = w.prepare(victim, documents(t, victim, 1))
			_, err = w.front.Authorize(t.Context(), p.Nonce, w.at(p.AuthorizationURL, "", trick))
			w.refused(err, sam.CodeWrongPerson)
		}
	})
	w.zero([]string{sam.CodeNotAuthorized}, func() {
		// The session of one confirmation for another one, and an invented one.
		mine, other := w.confirm(victim, 1), w.confirm(victim, 1)
		_, err := w.front.Sign(t.Context(), mine.Nonce, other.request(0))
		w.refused(err, sam.CodeNotAuthorized)
		_, err = w.front.Sign(t.Context(), mine.Nonce, sam.SignRequest{Session: itsme.Random(), Positions: []int{0}})
		w.refused(err, sam.CodeNotAuthorized)
		p := w.prepare(victim, documents(t, victim, 1))
		_, err = w.front.Sign(t.Context(), p.Nonce, mine.request(0))
		w.refused(err, sam.CodeNotAuthorized)
	})
}

// TestOwnedFrontF: signed attributes that are unknown, extra, doubled, of
// another certificate, not DER, or absent.
func TestOwnedFrontF(t *testing.T) {
	w := newWorld(t)
	cred, other := w.enrol("approve"), w.enrol("approve-slow")
	d := document(t, cred, "A.pdf", "A")
	signingTime := []byte{0x30, 0x1c, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x05, 0x31, 0x0f, 0x17, 0x0d,
		'2', '6', '1', '1', '2', '4', '1', '2', '0', '0', '0', '0', 'Z'}
	var parts []asn1.RawValue
	_, err := asn1.UnmarshalWithParams(d.SignedAttrs, &parts, "set")
	must(t, err)
	build := func(extra ...[]byte) []byte {
		all := append([]asn1.RawValue{}, parts...)
		for _, e := range extra {
			all = append(all, asn1.RawValue{FullBytes: e})
		}
		return got(asn1.MarshalWithParams(all, "set"))(t)
	}
	trailing := append(append([]byte{}, d.SignedAttrs...), 0)
	implicit := append([]byte{0xa0}, d.SignedAttrs[1:]...)
	cases := map[string][]byte{
		"signing-time":        build(signingTime),
		"an unknown one":      build([]byte{0x30, 0x09, 0x06, 0x03, 0x2a, 0x03, 0x04, 0x31, 0x02, 0x05, 0x00}),
		"one twice":           build(parts[0].FullBytes),
		"one absent":          got(asn1.MarshalWithParams(parts[:len(parts)-1], "set"))(t),
		"another certificate": document(t, other, "A.pdf", "A").SignedAttrs,
		"bytes after it":      trailing,
		"as it stands in CMS": implicit,
		"nothing":             {},
		"not DER":             []byte("attributes"),
	}
	w.zero([]string{sam.CodeAttributesRefused}, func() {
		for name, attrs := range cases {
			bad := d
			bad.SignedAttrs = attrs
			if _, err := w.front.Prepare(t.Context(), order(cred, []sam.Document{bad})); code(err) != sam.CodeAttributesRefused {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	if n := w.count("refusal.attributes_refused"); n != len(cases) {
		t.Errorf("%d of %d refusals in the audit", n, len(cases))
	}
}

// TestSwappedCallbacks: two enrolments run at the same time and the front
// exchanges their answers. Both are refused.
func TestSwappedCallbacks(t *testing.T) {
	w := newWorld(t)
	w.zero([]string{sam.CodeExpired}, func() {
		a, b := w.toConsent("approve"), w.toConsent("approve-slow")
		answerA, answerB := w.at(a.AuthorizationURL, "approve"), w.at(b.AuthorizationURL, "approve-slow")
		_, err := w.front.Consent(t.Context(), a.ID, answerB)
		w.refused(err, sam.CodeExpired)
		_, err = w.front.Consent(t.Context(), b.ID, answerA)
		w.refused(err, sam.CodeExpired)
		for _, id := range []string{a.ID, b.ID} {
			if st := got(w.front.Enrolment(t.Context(), id))(t); st.Step != sam.StepFailed || st.Order != nil {
				t.Errorf("%+v", st)
			}
		}
	})
}

// TestStolenLeg: the victim identifies, the attacker consents (and the
// reverse): no certificate in the victim's name for a key that the attacker's
// itsme account moves.
func TestStolenLeg(t *testing.T) {
	w := newWorld(t)
	for _, who := range [][2]string{{"approve", "approve-slow"}, {"approve-slow", "approve"}, {"other-person", "other-person"}} {
		st := w.toConsent(who[0])
		_, err := w.front.Consent(t.Context(), st.ID, w.at(st.AuthorizationURL, who[1]))
		w.refused(err, sam.CodeIdentityMismatch)
	}
	if n := w.count("refusal.identity_mismatch"); n != 3 {
		t.Errorf("%d refusals in the audit", n)
	}
}

// TestEveryTokenDefectIsRefused: SB-81, at signing and in both legs.
func TestEveryTokenDefectIsRefused(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	want := map[string]string{
		"wrong_nonce": sam.CodeWrongNonce, "no_nonce": sam.CodeWrongNonce, "wrong_sub": sam.CodeWrongPerson,
		"too_long": sam.CodeExpired, // not read to its end, so its outcome is not known
	}
	for _, defect := range sandbox.Defects() {
		expect := want[defect]
		if expect == "" {
			expect = sam.CodeBadToken
		}
		w.zero([]string{expect}, func() {
			p := w.prepare(cred, documents(t, cred, 1))
			_, err := w.front.Authorize(t.Context(), p.Nonce, w.at(p.AuthorizationURL, "", "sandbox_defect="+defect))
			if code(err) != expect {
				t.Errorf("%s: %v, want %s", defect, err, expect)
			}
			if st := got(w.front.Confirmation(t.Context(), p.Nonce))(t); st.Session != nil || st.State == sam.StateAuthorized {
				t.Errorf("%s: %+v", defect, st)
			}
		})
	}
}

// TestMessagesOutsideTheContract: what is not strict, or not what its path
// says, is refused before anything is done.
func TestMessagesOutsideTheContract(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	raw := wire.NewClient(w.socket, 10*time.Second)
	c := w.confirm(cred, 1)
	big := make([]byte, wire.MaxBody+1)
	for i := range big {
		big[i] = ' '
	}
	w.zero([]string{sam.CodeBadRequest, sam.CodeConflict, "too_large"}, func() {
		for name, tc := range map[string]struct{ path, body, code string }{
			"duplicate member": {"/v1/confirmations/" + c.Nonce + "/authorization", `{"code":"a","code":"b"}`, sam.CodeBadRequest},
			"case variant":     {"/v1/confirmations/" + c.Nonce + "/authorization", `{"Code":"a"}`, sam.CodeBadRequest},
			"unknown member":   {"/v1/confirmations/" + c.Nonce + "/authorization", `{"code":"a","sub":"b"}`, sam.CodeBadRequest},
			"too long":         {"/v1/confirmations/" + c.Nonce + "/authorization", string(big), "too_large"},
			"other hash":       {"/v1/preparations/" + wire.BodyHash([]byte("x")), `{"v":1}`, sam.CodeConflict},
			"other hash, sign": {"/v1/confirmations/" + c.Nonce + "/signatures/x", `{"session":"` + c.session.ID + `","positions":[0]}`, sam.CodeConflict},
		} {
			if err := raw.Do(context.Background(), http.MethodPut, tc.path, []byte(tc.body), nil); code(err) != tc.code {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
