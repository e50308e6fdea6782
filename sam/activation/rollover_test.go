package activation_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tekend/ca"
	"tekend/certs"
	"tekend/certs/authority"
	"tekend/hsm"
	"tekend/itsme"
	"tekend/itsme/sandbox"
	"tekend/sam"
	"tekend/sam/activation"
)

// kek makes one more key-encryption key in the token of this process.
func (w *world) kek(label string) string {
	w.t.Helper()
	if err := w.token.CreateKEK(w.t.Context(), label); err != nil && !errors.Is(err, hsm.ErrExists) {
		w.t.Fatal(err)
	}
	return label
}

// under counts the records of keys by KEK, past the role.
func (w *world) under(kek string) int {
	w.t.Helper()
	for _, k := range got(activation.KEKs(w.t.Context(), w.cfg.DB))(w.t) {
		if k.Label == kek {
			return k.Keys
		}
	}
	return 0
}

// The key-encryption key is rolled over while people sign. Keys under the old one go on signing, at both
// instances; who has one enrols anew at the next order; the old KEK is free when the last one has ended.
func TestKEKRollsOverWhilePeopleSign(t *testing.T) {
	behindTheOracle(t) // the spy's log mixes calls that are made at the same time
	w := shared(t)
	next := w.kek("kek-2")
	cred := w.enrol("approve")
	ready := w.confirm(cred, 1) // confirmed before, signed after
	var stop atomic.Bool
	var signed atomic.Int64
	var busy sync.WaitGroup
	busy.Go(func() { // requests in flight all the time
		for n := 0; !stop.Load(); n++ {
			c := w.confirm(cred, 2)
			checkValues(t, cred, c.docs, got(w.front.Sign(t.Context(), c.Nonce, c.request(0, 1)))(t).Values)
			signed.Add(1)
		}
	})
	// The second instance comes with the new key; the first one follows later.
	was := w.cfg
	w.cfg.KEK, w.cfg.PreviousKEKs = next, []string{"kek"}
	_, socket := w.another("b", was.DB)
	b := w.client(socket)
	if c := got(b.Credential(t.Context(), cred.ID))(t); !c.Renew || c.State != sam.CredentialActive {
		t.Errorf("%+v", c)
	}
	for signed.Load() < 3 {
		time.Sleep(time.Millisecond)
	}
	checkValues(t, cred, ready.docs, got(w.front.Sign(t.Context(), ready.Nonce, ready.request(0)))(t).Values)
	stop.Store(true)
	busy.Wait()
	w.start() // the first instance, with the new configuration
	c := w.confirm(cred, 1)
	checkValues(t, cred, c.docs, got(w.front.Sign(t.Context(), c.Nonce, c.request(0)))(t).Values)

	young := w.enrol("approve") // the same person: not "existing"
	if young.ID == cred.ID || young.Renew {
		t.Fatalf("%+v", young)
	}
	if w.under("kek") != 1 || w.under(next) != 1 {
		t.Errorf("%d and %d keys", w.under("kek"), w.under(next))
	}
	all := got(w.front.Siblings(t.Context(), cred.ID))(t).Credentials
	if len(all) != 2 || all[0].ID != young.ID || all[0].Renew || all[1].ID != cred.ID || !all[1].Renew {
		t.Errorf("%+v", all)
	}
	// Operators see when the last one ends, and need not wait for it: they may destroy it.
	must(t, w.role.DestroyKey(t.Context(), cred.ID))
	if w.under("kek") != 0 || w.under(next) != 1 {
		t.Errorf("%d and %d keys", w.under("kek"), w.under(next))
	}
	w.cfg.PreviousKEKs = nil
	w.start()
	c = w.confirm(young, 1)
	checkValues(t, young, c.docs, got(w.front.Sign(t.Context(), c.Nonce, c.request(0)))(t).Values)
	w.uses()
}

// TestNoKeyIsWrappedAnew: why a KEK is not rolled over by wrapping its keys anew. Nobody can, the role included.
func TestNoKeyIsWrappedAnew(t *testing.T) {
	w := newWorld(t)
	must(t, w.token.ProbeKEK(t.Context(), "kek")) // it attempts, among others, to wrap an unwrapped key again
	must(t, w.token.ProbeKEK(t.Context(), w.kek("kek-2")))
}

// A previous KEK that is not there, or does not protect, stops the start like the present one.
func TestPreviousKEKsAreProven(t *testing.T) {
	w := newWorld(t)
	w.halt()
	w.cfg.PreviousKEKs = []string{"kek-of-nobody"}
	if err := w.tryStart(); err == nil || !strings.Contains(err.Error(), "kek-of-nobody") {
		t.Errorf("%v", err)
	}
	w.cfg.PreviousKEKs = []string{"kek"}
	if err := w.tryStart(); err == nil {
		t.Error("a KEK that is its own previous one was accepted")
	}
	w.cfg.PreviousKEKs = nil
	must(t, w.tryStart())
}

// The ca changes over to another issuing CA while enrolments are on their way: their certificates are of the new one,
// the old credential signs as before. A sam that does not know the new CA yet takes nothing of it, and loses nothing.
func TestTheIssuingCARollsOver(t *testing.T) {
	w := newWorld(t)
	old := w.enrol("approve")
	key, now := ecKey(t), w.now().Add(-time.Hour)
	der := got(certs.Issue(w.above, certs.Order{
		Profile: certs.IssuingCA, PublicKey: key.Public(), NotBefore: now, NotAfter: w.above.Cert.NotAfter,
		Subject:     certs.Subject{Country: "BE", Organisation: "Tekend SANDBOX", OrganisationID: "NTRBE-0000000000", CommonName: "Tekend SANDBOX Issuing CA 2"},
		Publication: certs.PublishedBy("http://127.0.0.1:8080/pki", "root", "https://sandbox.tekend.example/cps"),
	}))(t)
	w.write("issuer-2.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	early, late := w.toIssue("nl-document"), w.toIssue("eu-document")

	// The ca, on its database, with the new CA in force.
	cfg := w.caCfg
	cfg.IssuingCAFile, cfg.IssuerName = w.path("issuer-2.pem"), "issuing-ca-2"
	cfg.Previous = []authority.Previous{{Name: "issuing-ca", CertFile: w.path("issuer.pem")}}
	role := got(authority.New(t.Context(), cfg, authority.Dependencies{
		Signer: key, OCSP: ecKey(t), Keys: itsme.NewProvider(itsme.Config{Issuer: w.url, Now: w.now}, nil), Previous: map[string]crypto.Signer{"issuing-ca": w.issuer.Signer},
	}))(t)
	t.Cleanup(func() { _ = role.Close() })
	w.listen("ca-2.sock", role.Handler())
	w.status.Store(http.HandlerFunc(role.StatusHandler().ServeHTTP))
	w.ca = ca.NewClient(w.path("ca-2.sock"), 20*time.Second)

	chain := got(w.ca.Issue(t.Context(), ca.IssueRequest(*early.Order)))(t).Chain
	_, err := w.front.Certificate(t.Context(), early.ID, chain)
	w.refused(err, sam.CodeCertificateNotGood)
	w.cfg.OtherIssuerFiles = []string{w.path("issuer-2.pem")}
	w.start()
	st := got(w.front.Certificate(t.Context(), early.ID, chain))(t) // the enrolment went on waiting
	if st.Step != sam.StepDone {
		t.Fatalf("%+v", st)
	}
	st = got(w.front.Certificate(t.Context(), late.ID, got(w.ca.Issue(t.Context(), ca.IssueRequest(*late.Order)))(t).Chain))(t)
	for _, cred := range []sam.Credential{old, *st.Credential} {
		c := w.confirm(cred, 1)
		checkValues(t, cred, c.docs, got(w.front.Sign(t.Context(), c.Nonce, c.request(0)))(t).Values)
	}
	// The new one is in force, the old one is of the past: its certificates are good as long as the ca says so.
	w.cfg.IssuerFile, w.cfg.OtherIssuerFiles = w.path("issuer-2.pem"), []string{w.path("issuer.pem")}
	w.start()
	c := w.confirm(old, 1)
	checkValues(t, old, c.docs, got(w.front.Sign(t.Context(), c.Nonce, c.request(0)))(t).Values)
	w.uses()

	// Not one of our root's.
	w.halt()
	w.cfg.OtherIssuerFiles = []string{w.path("foreign.pem")}
	foreignKey := ecKey(t)
	foreign := got(certs.Issue(certs.Issuer{Signer: foreignKey}, certs.Order{
		Profile: certs.Root, PublicKey: foreignKey.Public(), NotBefore: now, NotAfter: now.AddDate(6, 0, 0),
		Subject: certs.Subject{Country: "BE", Organisation: "Other SANDBOX", OrganisationID: "NTRBE-0000000000", CommonName: "Other SANDBOX Root CA"},
	}))(t)
	w.write("foreign.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: foreign}))
	if err := w.tryStart(); err == nil || !strings.Contains(err.Error(), "foreign.pem") {
		t.Errorf("%v", err)
	}
}

// nextKeys makes the second keys of both clients.
func (w *world) nextKeys() (ident, confirm activation.ClientKeys) {
	w.t.Helper()
	made := func(client string) activation.ClientKeys {
		label, file := "itsme-"+client+"-sig-2", w.path(client+"-2.pem")
		if _, err := w.token.CreateKeyPair(w.t.Context(), label, hsm.RSA2048); err != nil && !errors.Is(err, hsm.ErrExists) {
			w.t.Fatal(err)
		}
		der := got(x509.MarshalPKCS8PrivateKey(got(rsa.GenerateKey(rand.Reader, 2048))(w.t)))(w.t)
		w.write(client+"-2.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
		return activation.ClientKeys{SigLabel: label, SigKID: "s2", EncKeyFile: file, EncKID: "e2"}
	}
	return made("ident"), made("confirm")
}

// use makes k the keys that a client uses, and gives those that it used.
func use(c *activation.ClientConfig, k activation.ClientKeys) activation.ClientKeys {
	was := activation.ClientKeys{SigLabel: c.SigLabel, SigKID: c.SigKID, EncKeyFile: c.EncKeyFile, EncKID: c.EncKID}
	c.SigLabel, c.SigKID, c.EncKeyFile, c.EncKID = k.SigLabel, k.SigKID, k.EncKeyFile, k.EncKID
	return was
}

// Both keys of both clients are rolled over in three steps, with questions on their way at each, and with an itsme
// that keeps key sets as long as the real one does.
func TestClientKeysRollOverWithQuestionsOnTheirWay(t *testing.T) {
	w := shared(t)
	w.cfg.Ident.SigLabel, w.cfg.Ident.SigKID, w.cfg.Ident.EncKID = "itsme-ident-sig", "s1", "e1"
	w.cfg.Confirm.SigLabel, w.cfg.Confirm.SigKID, w.cfg.Confirm.EncKID = "itsme-confirm-sig", "s1", "e1"
	w.op.SetSwitches(sandbox.Switches{RealJWKSCache: true})
	cred := w.enrol("approve")
	ident, confirm := w.nextKeys()

	// 1. The next keys are published.
	w.cfg.Ident.OtherKeys, w.cfg.Confirm.OtherKeys = []activation.ClientKeys{ident}, []activation.ClientKeys{confirm}
	w.start()
	w.advance(31 * time.Minute) // itsme has fetched them by then
	leg := w.apply()
	docs := documents(t, cred, 1)
	open := w.prepare(cred, docs)

	// 2. They are used; the previous ones stay.
	w.cfg.Ident.OtherKeys = []activation.ClientKeys{use(&w.cfg.Ident, ident)}
	w.cfg.Confirm.OtherKeys = []activation.ClientKeys{use(&w.cfg.Confirm, confirm)}
	role, socket := w.another("b", w.cfg.DB)
	w.jwks.Store(role.JWKS())
	b := w.client(socket)
	s := got(w.front.Authorize(t.Context(), open.Nonce, w.at(open.AuthorizationURL, "")))(t) // asked before
	v := got(w.front.Sign(t.Context(), open.Nonce, sam.SignRequest{Session: s.ID, Positions: []int{0}}))(t)
	checkValues(t, cred, docs, v.Values)
	if st := got(w.front.Identification(t.Context(), leg.ID, w.at(leg.AuthorizationURL, "approve")))(t); st.Step != sam.StepExisting {
		t.Errorf("%+v", st)
	}
	for n := range 12 { // itsme takes either encryption key, at random
		docs := documents(t, cred, n+1)
		p := got(b.Prepare(t.Context(), order(cred, docs)))(t)
		got(b.Authorize(t.Context(), p.Nonce, w.at(p.AuthorizationURL, "")))(t)
	}
	w.advance(31 * time.Minute)

	// 3. The previous ones are gone.
	w.cfg.Ident.OtherKeys, w.cfg.Confirm.OtherKeys = nil, nil
	w.start()
	w.advance(31 * time.Minute)
	c := w.confirm(cred, 1)
	checkValues(t, cred, c.docs, got(w.front.Sign(t.Context(), c.Nonce, c.request(0)))(t).Values)
	w.enrol("nl-document")
	w.uses()
}

// Keys that are used before itsme knows them: the question is refused at itsme, nothing else happens, and the same
// keys are good half an hour later. It is why there are three steps.
func TestClientKeysThatItsmeDoesNotKnowYet(t *testing.T) {
	w := newWorld(t)
	w.op.SetSwitches(sandbox.Switches{RealJWKSCache: true})
	cred := w.enrol("approve")
	_, confirm := w.nextKeys()
	use(&w.cfg.Confirm, confirm)
	w.start()
	p := w.prepare(cred, documents(t, cred, 1))
	if a := w.at(p.AuthorizationURL, ""); a.Code != "" || a.Error == "" {
		t.Errorf("itsme answered %+v", a)
	}
	w.advance(31 * time.Minute)
	c := w.confirm(cred, 1)
	checkValues(t, cred, c.docs, got(w.front.Sign(t.Context(), c.Nonce, c.request(0)))(t).Values)
}

// Two clients never share a key, whatever the list of others says, and a kid stands for one key.
func TestOtherKeysAreOfTheirClientAlone(t *testing.T) {
	w := newWorld(t)
	w.halt()
	ident, confirm := w.nextKeys()
	plain := w.cfg
	for name, change := range map[string]func(c *activation.Config){
		"the other client's present key": func(c *activation.Config) {
			c.Ident.OtherKeys = []activation.ClientKeys{{SigLabel: "itsme-confirm-sig", SigKID: "s2"}}
		},
		"one key for both": func(c *activation.Config) {
			c.Ident.OtherKeys = []activation.ClientKeys{{EncKeyFile: ident.EncKeyFile, EncKID: "e2"}}
			c.Confirm.OtherKeys = c.Ident.OtherKeys
		},
		"its own present key": func(c *activation.Config) {
			c.Confirm.OtherKeys = []activation.ClientKeys{{EncKeyFile: c.Confirm.EncKeyFile, EncKID: "e2"}}
		},
		"a kid twice": func(c *activation.Config) {
			k := confirm
			k.SigKID = "s1"
			c.Confirm.OtherKeys = []activation.ClientKeys{k}
		},
		"no kid": func(c *activation.Config) {
			c.Confirm.OtherKeys = []activation.ClientKeys{{SigLabel: confirm.SigLabel}}
		},
		"nothing": func(c *activation.Config) { c.Confirm.OtherKeys = []activation.ClientKeys{{}} },
	} {
		w.cfg = plain
		change(&w.cfg)
		if err := w.tryStart(); err == nil || !strings.Contains(err.Error(), "other_keys") && !strings.Contains(err.Error(), "kid") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
