package activation_test

import (
	"crypto"
	"database/sql"
	"fmt"
	"sync"
	"testing"
	"time"

	"tekend/db/dbtest"
	"tekend/hsm"
	"tekend/sam"
	"tekend/sam/activation"
)

// TestWrongValue: the token gives a value that the certificate's key does not
// verify (here because another key's blob lies in a row with a good MAC). It
// never leaves, the position is unknown, and nothing more is signed.
func TestWrongValue(t *testing.T) {
	w := newWorld(t)
	cred, other := w.enrol("approve"), w.enrol("approve-slow")
	w.exec("UPDATE links SET blob = (SELECT blob FROM links WHERE id = ?) WHERE id = ?", other.ID, cred.ID)
	must(t, w.role.Reseal(t.Context(), cred.ID))
	c := w.confirm(cred, 2)
	for range 2 {
		_, err := w.front.Sign(t.Context(), c.Nonce, c.request(0, 1))
		if code(err) != sam.CodeBurnt || retryable(err) {
			t.Error(err)
		}
	}
	st := got(w.front.Confirmation(t.Context(), c.Nonce))(t)
	if st.Positions[0].State != sam.PositionUnknown || st.Positions[1].State != sam.PositionFree || st.Positions[0].Value != nil {
		t.Errorf("%+v", st.Positions)
	}
	if n := spyUses(t, w.spyAt); n != 3 { // two certificate requests, and the wrong value once
		t.Errorf("%d uses", n)
	}
	if w.count("key.intent") != 2 || w.count("key.unknown") != 1 || w.count("key.not_used") != 1 || w.count("key.used") != 0 {
		t.Errorf("%d %d %d %d", w.count("key.intent"), w.count("key.unknown"), w.count("key.not_used"), w.count("key.used"))
	}
}

// TestDamagedKey: a blob that cannot be unwrapped uses nothing up.
func TestDamagedKey(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	c := w.confirm(cred, 1)
	var blob []byte
	w.sql(func(d *sql.DB) error { return d.QueryRow("SELECT blob FROM links").Scan(&blob) })
	blob[20] ^= 1
	w.exec("UPDATE links SET blob = ?", blob)
	must(t, w.role.Reseal(t.Context(), cred.ID))
	w.zero([]string{sam.CodeCredentialUnknown}, func() {
		_, err := w.front.Sign(t.Context(), c.Nonce, c.request(0))
		w.refused(err, sam.CodeCredentialUnknown)
	})
	blob[20] ^= 1
	w.exec("UPDATE links SET blob = ?", blob)
	must(t, w.role.Reseal(t.Context(), cred.ID))
	checkValues(t, cred, c.docs, got(w.front.Sign(t.Context(), c.Nonce, c.request(0)))(t).Values)
	if w.count("key.not_used") != 1 || w.count("key.used") != 1 {
		t.Errorf("%d not used, %d used", w.count("key.not_used"), w.count("key.used"))
	}
}

// BenchmarkSignature is one whole signature of an enrolled person: prepare,
// itsme (which answers at once), authorize, sign. The spy writes every call to
// the token down meanwhile.
func BenchmarkSignature(b *testing.B) {
	w := newWorld(b)
	cred := w.enrol("approve")
	for i := 0; b.Loop(); i++ {
		d := document(b, cred, "A.pdf", fmt.Sprint(i))
		p := w.prepare(cred, []sam.Document{d})
		s := got(w.front.Authorize(b.Context(), p.Nonce, w.at(p.AuthorizationURL, "")))(b)
		got(w.front.Sign(b.Context(), p.Nonce, sam.SignRequest{Session: s.ID, Positions: []int{0}}))(b)
	}
}

// TestTokenIsBusy: all sessions are taken. Nothing is used up.
func TestTokenIsBusy(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	w.halt()
	must(t, w.token.Close())
	cfg := theToken.cfg
	cfg.QueueTimeout = 200 * time.Millisecond
	w.token = got(hsm.Open(t.Context(), cfg))(t)
	t.Cleanup(func() { _ = w.token.Close() })
	w.start()
	c := w.confirm(cred, 1)
	release := make(chan struct{})
	var holders sync.WaitGroup
	held := make(chan struct{}, cfg.Sessions)
	for range cfg.Sessions {
		holders.Go(func() {
			_, err := w.token.GenerateWrapped(t.Context(), "kek", hsm.P256, func(crypto.Signer) error {
				held <- struct{}{}
				<-release
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	for range cfg.Sessions {
		<-held
	}
	_, err := w.front.Sign(t.Context(), c.Nonce, c.request(0))
	if code(err) != sam.CodeHSMBusy || !retryable(err) {
		t.Errorf("%v", err)
	}
	close(release)
	holders.Wait()
	checkValues(t, cred, c.docs, got(w.front.Sign(t.Context(), c.Nonce, c.request(0)))(t).Values)
	if w.count("refusal.hsm_busy") != 1 || w.count("key.used") != 1 {
		t.Error("the refusal or the use is not in the audit")
	}
}

// TestNoAuditNoAct: while the database cannot be written nothing is signed, and
// nothing is lost.
func TestNoAuditNoAct(t *testing.T) {
	w := newWorld(t, func(c *activation.Config) { c.CallTimeout = time.Second })
	cred := w.enrol("approve")
	c := w.confirm(cred, 1)
	tx := got(dbtest.Raw(t, w.cfg.DB).Begin())(t)
	lock := "DELETE FROM audit WHERE seq < 0" // takes SQLite's one lock
	if postgres(w.cfg.DB) {
		lock = "LOCK TABLE audit"
	}
	got(tx.Exec(lock))(t)
	_, err := w.front.Sign(t.Context(), c.Nonce, c.request(0))
	if code(err) != "internal" {
		t.Errorf("%v", err)
	}
	if n := spyUses(t, w.spyAt); n != 1 { // the certificate request's
		t.Errorf("%d uses", n)
	}
	must(t, tx.Rollback())
	checkValues(t, cred, c.docs, got(w.front.Sign(t.Context(), c.Nonce, c.request(0)))(t).Values)
}
