package activation_test

import (
	"context"
	"crypto"
	"database/sql"
	"testing"
	"time"

	"tekend/hsm"
	"tekend/sam"
	"tekend/sam/activation"
	"tekend/witness/witnesstest"
)

// clean destroys what the worlds before this one left in the token of the process.
func (w *world) clean() {
	w.t.Helper()
	for _, k := range residents(w.t, w) {
		must(w.t, w.token.DestroyResident(w.t.Context(), k.ID))
	}
}

// Keys in the token without a record, and records without their key: both are told at once, stay for a day in which a
// database may still be put right, and are none after it.
func TestKeysAndRecordsAgreeAfterADay(t *testing.T) {
	section, station := witnesstest.Start(t, "test/audit/sam")
	w := newWorld(t, resident, func(c *activation.Config) { c.Audit = section })
	w.clean()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); w.role.RunAudit(ctx) }()
	defer func() { stop(); <-done }()

	kept, lost := w.enrol("approve"), w.enrol("nl-document")
	w.apply() // nobody will go on with it
	// The process was killed between token and database; and a key was taken away.
	id := got(hsm.NewResidentID())(t)
	got(w.token.GenerateResident(t.Context(), id, hsm.P256, func(crypto.Signer) error { return nil }))(t)
	var key []byte
	w.sql(func(d *sql.DB) error { return d.QueryRow("SELECT blob FROM links WHERE id = ?", lost.ID).Scan(&key) })
	must(t, w.token.DestroyResident(t.Context(), key))

	look := func(keys, orphans, missing int) {
		t.Helper()
		must(t, w.role.Sweep(t.Context()))
		if n := len(residents(t, w)); n != keys {
			t.Errorf("%d keys in the token, want %d", n, keys)
		}
		agree(t, w, "after a look")
		for state, want := range map[string]int{"orphan": orphans, "missing": missing} {
			if n := w.number("SELECT COUNT(*) FROM resident_keys WHERE state = ?", state); n != want {
				t.Errorf("%d rows are %s, want %d", n, state, want)
			}
		}
	}
	w.advance(21 * time.Minute) // whoever made a key just now is no more at it
	w.witnessed()
	look(3, 1, 1)
	w.advance(23 * time.Hour)
	w.witnessed()
	look(3, 1, 1)
	// The history is perhaps not the whole one: nothing is destroyed, however old it is.
	w.advance(2 * time.Hour)
	w.witnessed()
	station.Away.Store(true)
	w.advance(20 * time.Minute)
	look(3, 1, 1)
	station.Away.Store(false)
	w.witnessed()
	w.prepare(kept, documents(t, kept, 1)) // whatever is asked, old enrolments are forgotten
	look(2, 0, 0)                          // the orphan goes; the key of the enrolment is without a use as of now
	w.advance(25 * time.Hour)
	w.witnessed()
	look(1, 0, 0)

	if c := got(w.front.Credential(t.Context(), lost.ID))(t); c.State != sam.CredentialDestroyed {
		t.Errorf("a credential without a key is %s", c.State)
	}
	unkept := w.number(`SELECT COUNT(*) FROM links l WHERE state <> 'destroyed' AND NOT EXISTS (SELECT 1 FROM resident_keys k WHERE k.key_id = l.blob AND k.state = 'made')`)
	unnamed := w.number(`SELECT COUNT(*) FROM resident_keys k WHERE state = 'made' AND NOT EXISTS (SELECT 1 FROM links l WHERE l.blob = k.key_id AND l.state <> 'destroyed')`)
	if unkept+unnamed != 0 {
		t.Errorf("%d records without a key, %d keys without a record", unkept, unnamed)
	}
	if w.count("key.destroy") != 2 || w.count("key.destroyed") != 3 {
		t.Errorf("%d intents, %d ends", w.count("key.destroy"), w.count("key.destroyed"))
	}
	c := w.confirm(kept, 1)
	checkValues(t, kept, c.docs, got(w.front.Sign(t.Context(), c.Nonce, c.request(0)))(t).Values)
}

// A key that is being made while the token is searched is nobody's orphan.
func TestTheSearchLeavesWhatIsBeingMade(t *testing.T) {
	w := newWorld(t, resident)
	w.clean()
	stop := make(chan struct{})
	swept := make(chan int)
	go func() {
		n := 0
		defer func() { swept <- n }()
		for ; ; n++ {
			select {
			case <-stop:
				return
			default:
				_ = w.role.Sweep(context.Background())
			}
		}
	}()
	for range 12 {
		w.apply()
	}
	close(stop)
	if n := <-swept; n < 3 {
		t.Fatalf("%d searches", n)
	}
	if n := w.number("SELECT COUNT(*) FROM resident_keys WHERE state <> 'made' AND enrolment <> ''"); n != 0 {
		t.Errorf("%d keys were taken for orphans", n)
	}
	if len(residents(t, w)) != 12 {
		t.Errorf("%d keys", len(residents(t, w)))
	}
}

// witnessed waits until the witness has heard of the record.
func (w *world) witnessed() {
	w.t.Helper()
	for range 200 {
		if got(w.front.Health(w.t.Context()))(w.t).Ready {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	w.t.Fatal("the record is not witnessed")
}
