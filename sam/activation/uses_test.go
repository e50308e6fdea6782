package activation_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"tekend/audit"
	"tekend/db"
	"tekend/sam"
	"tekend/sam/activation"
)

// withLog gives the role a log key; the key of the log comes back.
func withLog(t *testing.T) (func(*activation.Config), func() note.Verifier) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	return func(c *activation.Config) {
			path := t.TempDir() + "/log.pem"
			writeKey(t, path, key)
			c.Audit = audit.LogConfig{Origin: "sign.test/audit/sam", KeyFile: path, Interval: 10 * time.Millisecond}
		}, func() note.Verifier {
			return got(note.NewVerifier(audit.VerifierKey("sign.test/audit/sam", pub)))(t)
		}
}

// TestEveryUseIsListedWithItsProof: what happened to a key, by everybody, in
// the audit's own words, each line proven under the log's key alone.
func TestEveryUseIsListedWithItsProof(t *testing.T) {
	config, verifier := withLog(t)
	w := newWorld(t, config)
	cred, other := w.enrol("approve"), w.enrol("nl-document")
	c := w.confirm(cred, 2)
	got(w.front.Sign(t.Context(), c.Nonce, c.request(0, 1)))(t)
	no := w.prepare(cred, []sam.Document{document(t, cred, "B.pdf", "B")})
	_, err := w.front.Authorize(t.Context(), no.Nonce, sam.Answer{Error: "access_denied"})
	if code(err) != sam.CodeDeclined {
		t.Fatal(err)
	}
	foreign := w.confirm(other, 1)
	got(w.front.Sign(t.Context(), foreign.Nonce, foreign.request(0)))(t)

	u := got(w.front.Uses(t.Context(), cred.ID, 0, 100))(t)
	var kinds []string
	for _, one := range u.Uses {
		kinds = append(kinds, one.Kind)
	}
	want := []string{"refusal.declined", "confirmation.prepared", "key.used", "key.used", "confirmation.authorized", "confirmation.prepared", "credential.linked"}
	if len(kinds) != len(want) {
		t.Fatalf("%q", kinds)
	}
	for i := range want {
		if kinds[i] != want[i] {
			t.Errorf("%d: %s instead of %s", i, kinds[i], want[i])
		}
	}
	used := u.Uses[2]
	if used.Position == nil || *used.Position != 1 || len(used.Labels) != 1 || used.Labels[0] != "Contract 2.pdf" || used.CheckCode != c.CheckCode || used.Documents != 2 || used.Nonce != c.Nonce || used.Txn == "" {
		t.Errorf("%+v", used)
	}
	// Pages: the same lines.
	var paged []sam.Use
	for before := int64(0); ; {
		p := got(w.front.Uses(t.Context(), cred.ID, before, 3))(t)
		paged = append(paged, p.Uses...)
		if before = p.Before; before == 0 {
			break
		}
	}
	if len(paged) != len(want) || paged[6].Seq != u.Uses[6].Seq {
		t.Errorf("%d lines in pages", len(paged))
	}
	if _, err := w.front.UseProof(t.Context(), cred.ID, used.Seq); code(err) != sam.CodeNotYet {
		t.Errorf("before a checkpoint: %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.role.RunAudit(ctx) })
	defer func() { stop(); running.Wait() }()
	for _, one := range u.Uses {
		w.proven(cred.ID, one, verifier())
	}
	// Neither another's line nor a row that is about no key.
	for _, seq := range []int64{1, got(w.front.Uses(t.Context(), other.ID, 0, 1))(t).Uses[0].Seq, 1 << 40} {
		if _, err := w.front.UseProof(t.Context(), cred.ID, seq); code(err) != sam.CodeCredentialUnknown {
			t.Errorf("row %d: %v", seq, err)
		}
	}
	for _, limit := range []int{0, 101} {
		if _, err := w.front.Uses(t.Context(), cred.ID, 0, limit); code(err) != sam.CodeBadRequest {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
	if _, err := w.front.Uses(t.Context(), "cred_x", 0, 10); code(err) != sam.CodeCredentialUnknown {
		t.Error(err)
	}
}

// proven waits for the proof of a line and verifies it as a person would.
func (w *world) proven(id string, u sam.Use, log note.Verifier) {
	w.t.Helper()
	var raw json.RawMessage
	var err error
	for range 500 {
		if raw, err = w.front.UseProof(w.t.Context(), id, u.Seq); code(err) != sam.CodeNotYet {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	must(w.t, err)
	e := got(got(audit.ParseProof(raw))(w.t).Verify(log, nil, 0))(w.t)
	subject := u.Nonce
	if subject == "" {
		subject = id
	}
	if e.Kind != u.Kind || e.Subject != subject || !e.At.Equal(u.At) {
		w.t.Errorf("row %d: %+v is not %+v", u.Seq, e, u)
	}
}

// TestUnknownUsesAreListed: burnt, and the process stopped.
func TestUnknownUsesAreListed(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	c := w.confirm(cred, 2)
	w.halt()
	w.exec("UPDATE positions SET state = 'burnt' WHERE position = 1")
	w.start()
	u := got(w.front.Uses(t.Context(), cred.ID, 0, 100))(t).Uses[0]
	if u.Kind != "key.unknown" || *u.Position != 1 || u.Nonce != c.Nonce {
		t.Errorf("%+v", u)
	}
}

// TestALineTakenOutOfTheListIsFound: the list is an index; the audit counts.
func TestALineTakenOutOfTheListIsFound(t *testing.T) {
	w := newWorld(t)
	cred, other := w.enrol("approve"), w.enrol("nl-document")
	for _, c := range []sam.Credential{cred, other} {
		k := w.confirm(c, 2)
		got(w.front.Sign(t.Context(), k.Nonce, k.request(0, 1)))(t)
	}
	d := got(db.OpenReader(t.Context(), w.cfg.DB))(t)
	defer func() { _ = d.Close() }()
	if missing := got(activation.MissingUses(t.Context(), d, cred.ID))(t); len(missing) != 0 {
		t.Fatalf("%v", missing)
	}
	gone := got(w.front.Uses(t.Context(), cred.ID, 0, 1))(t).Uses[0]
	w.exec("DELETE FROM uses WHERE seq = " + strconv.FormatInt(gone.Seq, 10))
	if missing := got(activation.MissingUses(t.Context(), d, cred.ID))(t); len(missing) != 1 || missing[0] != gone.Seq {
		t.Errorf("%v", missing)
	}
	w.exec("UPDATE uses SET credential = '" + other.ID + "' WHERE credential = '" + cred.ID + "'")
	if missing := got(activation.MissingUses(t.Context(), d, cred.ID))(t); len(missing) != 2 {
		t.Errorf("%v", missing)
	}
}

func writeKey(t *testing.T, path string, key ed25519.PrivateKey) {
	der := got(x509.MarshalPKCS8PrivateKey(key))(t)
	must(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
}
