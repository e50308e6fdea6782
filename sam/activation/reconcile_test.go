package activation_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tekend/ca"
	"tekend/db/dbtest"
	"tekend/hsm"
	"tekend/sam"
	"tekend/sam/activation"
)

// atCA revokes at the ca, as somebody did who is not this sam.
func (w *world) atCA(c sam.Credential, reason int) ca.Revocation {
	w.t.Helper()
	return got(ca.NewStatusClient(w.path("status.sock"), 5*time.Second).Revoke(w.t.Context(),
		ca.RevokeRequest{V: ca.RevocationVersion, Serial: serialOf(w.t, c), Reason: reason, By: ca.BySAM}))(w.t)
}

// confirmRevocation has the owner revoke; it says where that is afterwards.
func (w *world) confirmRevocation(c sam.Credential) sam.Revocation {
	w.t.Helper()
	p := w.revoke(c.ID)
	return got(w.front.RevocationAnswer(w.t.Context(), p.Nonce, w.at(p.AuthorizationURL, "")))(w.t)
}

// keyIsGone: the certificate is revoked, no copy of the key is left, and the
// record says that everything was done once.
func (w *world) keyIsGone(c sam.Credential, before int) {
	w.t.Helper()
	w.soonDestroyed(c)
	if w.caSays(c) != ca.Revoked {
		w.t.Error("the ca does not say revoked")
	}
	if n := len(residents(w.t, w)); n != before {
		w.t.Errorf("%d keys in the token, %d before the credential", n, before)
	}
	if b := w.blob(c); len(b) != 16 && !bytes.Equal(b, make([]byte, len(b))) {
		w.t.Error("the wrapped key is still in the record")
	}
	for _, kind := range []string{"credential.revoked", "revocation.published", "key.destroyed"} {
		if n := w.count(kind); n != 1 {
			w.t.Errorf("%d rows of %s", n, kind)
		}
	}
	if n := w.count("key.missing"); n != 0 {
		w.t.Errorf("a destroyed key is missed: %d", n)
	}
	if _, err := w.front.Prepare(w.t.Context(), order(c, documents(w.t, c, 1))); code(err) != sam.CodeCertificateNotGood {
		w.t.Errorf("signing again: %v", err)
	}
}

// TestARevocationIsFinishedAfterAStopAnywhere: between any two steps (blocked,
// told, known to be told, destroyed in the token, destroyed in the record) the
// role stops, and the next start ends in the same state. For both kinds of keys.
func TestARevocationIsFinishedAfterAStopAnywhere(t *testing.T) {
	const stop = `CREATE TRIGGER stop_here BEFORE UPDATE ON %s WHEN %s BEGIN SELECT RAISE(ABORT, 'stopped by the test'); END`
	steps := map[string]struct {
		begin, end func(w *world)
	}{
		"before the ca is told": {
			func(w *world) { w.caDown.Store(true) }, func(w *world) { w.caDown.Store(false) },
		},
		"before its answer arrives": {
			func(w *world) { w.status.Store(w.loseAnswers()) },
			func(w *world) { w.status.Store(w.caStatus) },
		},
		"before its answer is stored": {
			func(w *world) { w.exec(fmt.Sprintf(stop, "revocations", "NEW.published <> 0")) }, func(w *world) { w.exec("DROP TRIGGER stop_here") },
		},
		"before the record says destroyed": {
			func(w *world) { w.exec(fmt.Sprintf(stop, "links", "NEW.state = 'destroyed'")) }, func(w *world) { w.exec("DROP TRIGGER stop_here") },
		},
	}
	for _, keys := range []string{activation.KeysWrapped, activation.KeysResident} {
		for name, step := range steps {
			t.Run(keys+" "+name, func(t *testing.T) {
				w := newWorld(t, func(c *activation.Config) { c.Keys = keys })
				w.caStatus = w.status.Load().(http.HandlerFunc)
				before := len(residents(t, w))
				cred := w.enrol("approve")
				step.begin(w)
				if did := w.confirmRevocation(cred); did.State != sam.RevocationBlocked && name != "before the record says destroyed" {
					t.Errorf("%+v", did)
				}
				if err := w.role.Reconcile(t.Context()); err == nil {
					t.Error("the step did not fail")
				}
				if s := w.state(cred); s != sam.CredentialRevoked {
					t.Fatalf("the credential is %s", s)
				}
				w.halt()
				step.end(w)
				must(t, w.tryStart())
				w.keyIsGone(cred, before)
			})
		}
	}
}

// loseAnswers is the ca whose answers to revocations do not arrive.
func (w *world) loseAnswers() http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			w.caStatus(httptest.NewRecorder(), r) // it happened,
			panic(http.ErrAbortHandler)           // and nobody is told
		}
		if strings.HasPrefix(r.URL.Path, "/v1/revocations") { // the list would tell too
			http.Error(rw, "", http.StatusServiceUnavailable)
			return
		}
		w.caStatus(rw, r)
	}
}

// TestWhatTheCARevokedIsBlockedHere within 10 s, without anybody's call, and the
// key is destroyed.
func TestWhatTheCARevokedIsBlockedHere(t *testing.T) {
	post, config := overSMTP(t)
	w := newWorld(t, config, resident)
	before := len(residents(t, w))
	cred := w.enrol("approve")
	open := w.confirm(cred, 1)
	start := time.Now()
	first := w.atCA(cred, ca.ReasonKeyCompromise)
	w.soonDestroyed(cred)
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("it took %v", d)
	}
	_, err := w.front.Sign(t.Context(), open.Nonce, open.request(0))
	w.refused(err, sam.CodeCertificateNotGood)
	if n := len(residents(t, w)); n != before {
		t.Errorf("%d keys are in the token, %d before", n, before)
	}
	if again := w.atCA(cred, ca.ReasonSuperseded); again != first {
		t.Errorf("the ca changed its mind: %+v, %+v", first, again)
	}
	var row row
	for _, r := range w.rows() {
		if r.kind == "credential.revoked" {
			row = r
		}
	}
	if row.subject != cred.ID || row.detail["by"] != "ca" || row.detail["reason"] != "1" || w.count("revocation.published") != 0 {
		t.Errorf("%+v", row)
	}
	w.soon("he is told", func() bool {
		w.send()
		return slices.ContainsFunc(post.arrived(), func(s string) bool { return strings.Contains(s, "is herroepen") })
	})
	other := w.enrol("one-name") // the list goes on
	w.atCA(other, ca.ReasonUnspecified)
	w.soonDestroyed(other)
}

// TestACertificateThatWasRevokedBeforeItCame: the list was read past it, and the
// answer about its status makes the role look again.
func TestACertificateThatWasRevokedBeforeItCame(t *testing.T) {
	w := newWorld(t)
	st := w.toIssue("approve")
	issued := got(w.ca.Issue(t.Context(), ca.IssueRequest(*st.Order)))(t)
	early := sam.Credential{Chain: issued.Chain}
	w.atCA(early, ca.ReasonKeyCompromise)
	must(t, w.role.Reconcile(t.Context()))
	st, err := w.front.Certificate(t.Context(), st.ID, issued.Chain)
	if err != nil {
		w.refused(err, sam.CodeCertificateNotGood)
		return
	}
	cred := *st.Credential
	_, err = w.front.Prepare(t.Context(), order(cred, documents(t, cred, 1)))
	w.refused(err, sam.CodeCertificateNotGood)
	w.soonDestroyed(cred)
}

// TestAnOldDatabaseBringsNoKeyBack (KEY-09): a copy from before the revocation
// is put back. The ca's list, in another database, is the tombstone.
func TestAnOldDatabaseBringsNoKeyBack(t *testing.T) {
	for _, keys := range []string{activation.KeysWrapped, activation.KeysResident} {
		t.Run(keys, func(t *testing.T) {
			w := newWorld(t, func(c *activation.Config) { c.Keys = keys })
			before := len(residents(t, w))
			cred := w.enrol("approve")
			w.halt()
			old := w.copyDB()
			must(t, w.tryStart())
			w.confirmRevocation(cred)
			w.keyIsGone(cred, before)
			w.halt()
			w.putDB(old)
			must(t, w.tryStart())
			// At once: the ca is asked before every use. Soon: for ever.
			_, err := w.front.Prepare(t.Context(), order(cred, documents(t, cred, 1)))
			w.refused(err, sam.CodeCertificateNotGood)
			w.soonDestroyed(cred)
			if n := len(residents(t, w)); n != before {
				t.Errorf("%d keys in the token, %d before", n, before)
			}
			if n := w.count("key.used"); n != 0 || keys == activation.KeysWrapped && w.signatures() != 0 { // signatures asks the spy, who sees unwrapped keys
				t.Errorf("the key was used %d times", n)
			}
		})
	}
}

// TestTheListOfAnotherCA: a list that does not have the last entry any more is
// read from its beginning.
func TestTheListOfAnotherCA(t *testing.T) {
	w := newWorld(t)
	one, two := w.enrol("approve"), w.enrol("one-name")
	w.atCA(one, 0)
	w.soonDestroyed(one)
	w.exec("UPDATE ca_list SET seq = 7, serial = 'ff'")
	w.atCA(two, 0)
	must(t, w.role.Reconcile(t.Context()))
	if s := w.state(two); s != sam.CredentialDestroyed {
		t.Error(s)
	}
}

// TestACAThatWasPutBackIsToldAgain: operators have accepted a copy of its
// database from before the revocations, and nothing of what it published is left.
// It says good of what was revoked until the sam looks, and then for ever revoked.
func TestACAThatWasPutBackIsToldAgain(t *testing.T) {
	w := newWorld(t)
	one, two, kept := w.enrol("approve"), w.enrol("one-name"), w.enrol("nl-document")
	old := w.caConfig("old-ca.db")
	copyOf(t, w.caCfg.DB, old.DB)
	for _, c := range []sam.Credential{one, two} {
		w.confirmRevocation(c)
		w.soonDestroyed(c)
	}
	w.soon("the list is read", func() bool { return w.number("SELECT COALESCE(MAX(seq), 0) FROM ca_list") == 2 })
	role := w.openCA(old)
	w.status.Store(http.HandlerFunc(role.StatusHandler().ServeHTTP))
	w.soon("it is told again", func() bool { return w.caSays(one) == ca.Revoked && w.caSays(two) == ca.Revoked })
	if s := w.caSays(kept); s != ca.Good {
		t.Errorf("it says %s of who revoked nothing", s)
	}
	// One of its own, in the place of one that it had: then both are known on both sides.
	w.atCA(kept, ca.ReasonUnspecified)
	w.soonDestroyed(kept)
	w.soon("the list is read", func() bool { return w.number("SELECT seq FROM ca_list") == 3 })
}

// copyOf copies a database.
func copyOf(t *testing.T, from, to string) {
	t.Helper()
	if postgres(from) {
		dbtest.Restore(t, to, dbtest.Dump(t, from))
		return
	}
	_, err := dbtest.Raw(t, from).ExecContext(t.Context(), "VACUUM INTO ?", to)
	must(t, err)
}

// TestALookThatFailedIsTakenAgain: the ca said in passing that a certificate is
// revoked, and was away when its list was to be read from the beginning.
func TestALookThatFailedIsTakenAgain(t *testing.T) {
	w := newWorld(t)
	st := w.toIssue("approve")
	issued := got(w.ca.Issue(t.Context(), ca.IssueRequest(*st.Order)))(t)
	w.atCA(sam.Credential{Chain: issued.Chain}, ca.ReasonKeyCompromise)
	must(t, w.role.Reconcile(t.Context())) // past it
	st = got(w.front.Certificate(t.Context(), st.ID, issued.Chain))(t)
	all := w.status.Load().(http.HandlerFunc)
	w.status.Store(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/revocations") {
			http.Error(rw, "", http.StatusServiceUnavailable)
			return
		}
		all(rw, r)
	}))
	_, err := w.front.Prepare(t.Context(), order(*st.Credential, documents(t, *st.Credential, 1)))
	w.refused(err, sam.CodeCertificateNotGood)
	for range 2 {
		if w.role.Reconcile(t.Context()) == nil {
			t.Error("the list was read")
		}
	}
	w.status.Store(all)
	w.soonDestroyed(*st.Credential)
}

// TestTheSamVouchesWhenTheCACannotAskItsme: for half a minute the ca is given
// the signer's proof; then the sam says so itself. The key is blocked throughout.
func TestTheSamVouchesWhenTheCACannotAskItsme(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	w.advance(21 * time.Minute) // the ca's copy of itsme's keys is too old
	p := w.revoke(cred.ID)
	a := w.at(p.AuthorizationURL, "")
	w.caDown.Store(true)
	got(w.front.RevocationAnswer(t.Context(), p.Nonce, a))(t)
	w.opDown.Store(true)
	w.caDown.Store(false)
	if err := w.role.Reconcile(t.Context()); err == nil || !strings.Contains(err.Error(), ca.CodeItsme) {
		t.Fatalf("the ca took the proof without itsme's keys: %v", err)
	}
	if st := got(w.front.RevocationStatus(t.Context(), p.Nonce))(t); st.State != sam.RevocationBlocked || w.caSays(cred) != ca.Good {
		t.Errorf("%+v", st)
	}
	w.advance(31 * time.Second)
	must(t, w.role.Reconcile(t.Context()))
	if st := got(w.front.RevocationStatus(t.Context(), p.Nonce))(t); st.State != sam.RevocationPublished || w.caSays(cred) != ca.Revoked {
		t.Errorf("%+v", st)
	}
	if n := w.countDetail("revocation.published", "by", ca.BySAM); n != 1 {
		t.Errorf("%d rows say that the sam vouched", n)
	}
}

// TestTheCAChecksTheSignersProof: with itsme's keys at hand it is told by the
// signer himself, and verifies that.
func TestTheCAChecksTheSignersProof(t *testing.T) {
	w := newWorld(t)
	for _, all := range []bool{false, true} {
		cred := w.enrol("approve")
		id := cred.ID
		if all {
			id = ""
		}
		p := w.revoke(id)
		got(w.front.RevocationAnswer(t.Context(), p.Nonce, w.at(p.AuthorizationURL, "approve")))(t)
		w.soonDestroyed(cred)
	}
	if n := w.countDetail("revocation.published", "by", ca.BySigner); n != 2 {
		t.Errorf("%d of 2 were published with the signer's proof", n)
	}
}

// countDetail counts rows of a kind with a detail.
func (w *world) countDetail(kind, name, value string) (n int) {
	w.t.Helper()
	for _, r := range w.rows() {
		if r.kind == kind && r.detail[name] == value {
			n++
		}
	}
	return n
}

// TestHealthTellsOfWhatIsNotFinished: operators learn of it, and the role stays ready.
func TestHealthTellsOfWhatIsNotFinished(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	w.caDown.Store(true)
	w.confirmRevocation(cred)
	w.advance(2 * time.Minute)
	h := got(w.front.Health(t.Context()))(t)
	notes := strings.Join(h.Notes, "\n")
	if !h.Ready || !strings.Contains(notes, "1 revocations are not known") || !strings.Contains(notes, "list of revocations could not be read") || !strings.Contains(notes, "no code to revoke with") {
		t.Errorf("%+v", h)
	}
	w.caDown.Store(false)
	must(t, w.role.Reconcile(t.Context()))
	if notes := strings.Join(got(w.front.Health(t.Context()))(t).Notes, "\n"); strings.Contains(notes, "not known") || strings.Contains(notes, "could not be read") {
		t.Error(notes)
	}
}

// TestARevocationIsIrreversible: the database does not take it back, whoever asks.
func TestARevocationIsIrreversible(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	w.confirmRevocation(cred)
	w.soonDestroyed(cred)
	for _, query := range []string{
		"UPDATE links SET state = 'active'", "UPDATE links SET state = 'revoked'", "UPDATE links SET state = 'suspended'", "DELETE FROM links",
		"UPDATE links SET blob = 'x'", "DELETE FROM revocations", "UPDATE revocations SET reason = 0", "UPDATE revocations SET published = 0", "UPDATE revocations SET at = 1",
	} {
		if err := w.tryExec(query); err == nil {
			t.Errorf("%s: done", query)
		}
	}
}

// TestNoCopyOfADestroyedKeyIsInTheFile: not in the row, and not in what SQLite
// leaves of rows that were changed.
func TestNoCopyOfADestroyedKeyIsInTheFile(t *testing.T) {
	for _, kind := range []hsm.KeyKind{hsm.P256, hsm.RSA3072} {
		w := newWorld(t, func(c *activation.Config) { c.KeyType, c.DB = kind, filepath.Join(t.TempDir(), "sam.db") })
		cred := w.enrol("approve")
		part := w.blob(cred)[16:64] // a long one is spread over pages
		w.confirm(cred, 1)
		w.halt()
		if file := got(os.ReadFile(w.cfg.DB))(t); !bytes.Contains(file, part) {
			t.Fatal("the wrapped key is not where this test looks")
		}
		must(t, w.tryStart())
		w.confirmRevocation(cred)
		w.soonDestroyed(cred)
		w.halt() // the last one to close the database puts everything into the file
		for _, file := range []string{w.cfg.DB, w.cfg.DB + "-wal"} {
			if b, err := os.ReadFile(file); err == nil && bytes.Contains(b, part) {
				t.Errorf("%s: %s still has the wrapped key", kind, filepath.Base(file))
			}
		}
	}
}
