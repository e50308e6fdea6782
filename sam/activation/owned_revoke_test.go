package activation_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"tekend/ca"
	"tekend/itsme"
	"tekend/sam"
	"tekend/sam/activation"
	"tekend/wire"
)

// TestOwnedFrontRevocation: an owned front forges, replays, delays and drops
// revocations. None is forged, and what it drops the emergency channel does with
// the front switched off. What the key was used for counts the oracle.
func TestOwnedFrontRevocation(t *testing.T) {
	post, config := overSMTP(t)
	w := newOwnedWorld(t, config, func(c *activation.Config) { c.EmergencyURL = emergencyURL })
	c := &channel{w: w, post: post}
	victim, attacker := w.enrol("approve"), w.enrol("no-email")
	ctx := t.Context()
	raw := wire.NewClient(w.socket, 20*time.Second)
	text := func(v any) string { return string(got(json.Marshal(v))(t)) }

	used, audited, tried := w.signatures(), w.refusals(), 0
	forge := func(name string, do func() error) {
		t.Helper()
		tried++
		before := w.refusals()
		if err := do(); code(err) == "" || strings.HasPrefix(code(err), "not a refusal") {
			t.Errorf("%s: %v", name, err)
		}
		if w.refusals() == before {
			t.Errorf("%s: no refusal in the audit", name)
		}
	}
	answered := func(p sam.Prepared, a sam.Answer) func() error {
		return func() error { _, err := w.front.RevocationAnswer(ctx, p.Nonce, a); return err }
	}
	// Forged: answers that itsme did not give, or gave to another question or person.
	p := w.revoke(victim.ID)
	forge("an invented code", answered(p, sam.Answer{Code: itsme.Random()}))
	mine := w.revoke(attacker.ID)
	mineAnswer := w.at(mine.AuthorizationURL, "")
	p = w.revoke(victim.ID)
	forge("the attacker's own answer", answered(p, mineAnswer))
	forge("for a revocation that is not there", func() error {
		_, err := w.front.RevocationAnswer(ctx, itsme.Random(), mineAnswer)
		return err
	})
	p = w.revoke(victim.ID)
	forge("another person answers", answered(p, w.at(p.AuthorizationURL, "no-email")))
	sign := w.prepare(victim, documents(t, victim, 1))
	forge("the victim's answer to a signature", func() error {
		_, err := w.front.RevocationAnswer(ctx, sign.Nonce, w.at(sign.AuthorizationURL, ""))
		return err
	})
	sign = w.prepare(victim, documents(t, victim, 1))
	p = w.revoke(victim.ID)
	forge("a signature's answer, at the revocation", answered(p, w.at(sign.AuthorizationURL, "")))
	forge("no answer at all", answered(w.revoke(victim.ID), sam.Answer{}))
	forge("code and error", answered(w.revoke(victim.ID), sam.Answer{Code: "a", Error: "b"}))
	// Messages that only others may send, on the front's socket.
	for path, body := range map[string]string{
		"/v1/acts/": text(sam.ActRequest{Text: "tekend-act/1\n"}), "/v1/revocations/": text(ca.RevokeRequest{V: 1, Serial: serialOf(t, victim), By: ca.BySAM}),
	} {
		tried++
		err := raw.Do(ctx, http.MethodPut, path+wire.BodyHash([]byte(body)), []byte(body), nil)
		if e, ok := errors.AsType[*wire.Error](err); !ok || e.Status < 400 || e.Status >= 500 {
			t.Errorf("%s: %v", path, err)
		}
	}
	// Delayed: the victim confirmed, the front brings it when it is too late.
	late := w.revoke(victim.ID)
	lateAnswer := w.at(late.AuthorizationURL, "")
	w.advance(11 * time.Minute)
	forge("brought too late", answered(late, lateAnswer))
	for _, cred := range []sam.Credential{victim, attacker} {
		if w.state(cred) != sam.CredentialActive || w.caSays(cred) != ca.Good {
			t.Error("a forgery revoked")
		}
	}
	w.figure("forged and delayed revocations", tried, w.count("credential.revoked"), w.refusals()-audited+2, w.signatures()-used) // two had no address

	// Dropped: the victim confirmed a revocation, and the front never brings it. He
	// sees that nothing happens, and uses his code; the front is switched off.
	dropped := w.revoke(victim.ID)
	w.at(dropped.AuthorizationURL, "")
	before := w.confirm(victim, 1)
	w.opDown.Store(true)
	c.web = emergencyOf(t, w)
	if status, page := c.send(c.codes()[0], ""); status != http.StatusOK || !strings.Contains(page, "is revoked") {
		t.Fatalf("the emergency channel: %d", status)
	}
	// The front replays what it has: the session, and the revocation it held back.
	_, err := w.front.Sign(ctx, before.Nonce, before.request(0))
	w.refused(err, sam.CodeCertificateNotGood)
	w.soonDestroyed(victim)
	if w.caSays(victim) != ca.Revoked || w.count("credential.revoked") != 1 || w.state(attacker) != sam.CredentialActive {
		t.Error("not exactly the victim's credential is revoked")
	}
	if n := w.signatures() - used; n != 0 {
		t.Errorf("the key was used %d times", n)
	}
}

// TestNothingBeginsAfterTheBlock: many signatures are under way while the
// credential is revoked. None begins after the revocation is in the record.
func TestNothingBeginsAfterTheBlock(t *testing.T) {
	behindTheOracle(t)
	p := withOperators(t)
	w := p.w
	for range rounds(t, 3) {
		cred := w.enrol("approve")
		const n = 6
		var open []confirmed
		for range n {
			open = append(open, w.confirm(cred, 1))
		}
		started, results := make(chan struct{}), make(chan error, n)
		for _, o := range open {
			go func() {
				<-started
				_, err := w.front.Sign(t.Context(), o.Nonce, o.request(0))
				results <- err
			}()
		}
		close(started)
		if _, _, err := p.act("revoke", cred.ID, "keyCompromise"); err != nil {
			t.Fatal(err)
		}
		for range n {
			if err := <-results; err != nil && code(err) != sam.CodeCertificateNotGood {
				t.Error(err)
			}
		}
		w.soonDestroyed(cred)
		revoked := false
		for _, r := range w.rows() {
			switch {
			case r.kind == "credential.revoked" && r.subject == cred.ID:
				revoked = true
			case r.kind == "key.intent" && r.detail["credential"] == cred.ID && revoked:
				t.Error("a use began after the revocation")
			}
		}
		if !revoked {
			t.Error("there is no revocation in the audit")
		}
	}
	w.uses()
}
