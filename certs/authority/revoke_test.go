package authority_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tekend/ca"
	"tekend/certs"
	"tekend/consent"
	"tekend/db/dbtest"
	"tekend/foureyes"
	"tekend/itsme/token"
	"tekend/wire"
)

// everywhere looks at a revoked certificate from all sides.
func (w *world) everywhere(c *x509.Certificate, out ca.Revocation) {
	w.t.Helper()
	s, err := w.sam.Status(w.t.Context(), serialOf(c))
	if err != nil || s.State != ca.Revoked || !s.RevokedAt.Equal(out.At) {
		w.t.Errorf("status: %+v %v", s, err)
	}
	if o := w.says(c); o.State != certs.StatusRevoked || !o.RevokedAt.Equal(out.At) || o.Reason != out.Reason {
		w.t.Errorf("OCSP: %+v", o)
	}
	if !w.listed(c) {
		w.t.Error("the CRL does not have it")
	}
	list := got(w.sam.Revocations(w.t.Context(), out.Seq-1))(w.t)
	if len(list) == 0 || list[0] != out {
		w.t.Errorf("list: %+v, want %+v", list, out)
	}
	must(w.t, w.role.Check(w.t.Context()))
}

func TestRevokeByTheSigner(t *testing.T) {
	w := newWorld(t)
	one, other, kept := w.issued(), w.issued(), w.issued()
	w.advance(10 * time.Second)
	request := w.revocation(one, false).request()
	out := got(w.sam.Revoke(t.Context(), request))(t)
	if out.Seq != 1 || out.Reason != ca.ReasonKeyCompromise || !out.At.Equal(w.now().UTC().Truncate(time.Second)) {
		t.Errorf("%+v", out)
	}
	w.everywhere(one, out)
	// A confirmation that names nothing reaches each certificate of who gave it, one call for each.
	all := w.revocation(other, true)
	all.lang, all.reason = "nl", "cessationOfOperation"
	second := got(w.sam.Revoke(t.Context(), all.request()))(t)
	w.everywhere(other, second)
	if w.says(kept).State != certs.StatusGood || w.listed(kept) {
		t.Error("the third certificate is not good any more")
	}
	// Asked again, equal or not, it is what it was.
	w.advance(time.Hour)
	w.start()
	for _, again := range []ca.RevokeRequest{request, bySAM(serialOf(one), ca.ReasonUnspecified), w.approved(serialOf(one), 0, 1)} {
		if o, err := w.sam.Revoke(t.Context(), again); err != nil || o != out {
			t.Errorf("%s: %+v %v", again.By, o, err)
		}
	}
	w.everywhere(one, out)
	kinds, text := w.events()
	if kinds["certificate.revoked"] != 2 || kinds["certificate.revoke_refused"] != 0 {
		t.Errorf("%v", kinds)
	}
	for _, secret := range []string{holderSub, "Jan", request.Token} {
		if strings.Contains(text, secret) {
			t.Errorf("the audit holds %q", secret)
		}
	}
	var n int
	must(t, dbtest.Raw(t, w.cfg.DB).QueryRowContext(t.Context(), "SELECT count(*) FROM revocation_evidence WHERE keys IS NOT NULL AND body IS NOT NULL").Scan(&n))
	if n != 2 {
		t.Errorf("evidence of %d revocations", n)
	}
}

// TestRevocationsThatTheSignerDidNotGive: what the ca sees through, whoever brings it.
func TestRevocationsThatTheSignerDidNotGive(t *testing.T) {
	w := newWorld(t)
	mine, other := w.issued(), w.issued()
	for _, tc := range []struct {
		name, code string
		change     func(r *revocation)
	}{
		{"somebody else answered", ca.CodeBadToken, func(r *revocation) { r.claims["sub"] = "another" }},
		{"somebody else answered for everything", ca.CodeNotHolder, func(r *revocation) {
			*r = *w.revocation(mine, true)
			r.claims["sub"] = "another"
		}},
		{"another certificate", ca.CodeNotHolder, func(r *revocation) { r.manifest.Cred = w.revocation(other, false).manifest.Cred }},
		{"another reason than was shown", ca.CodeBadOrder, func(r *revocation) { r.code = ca.ReasonUnspecified }},
		{"another text", ca.CodeBadOrder, func(r *revocation) { r.text = "Sign 2 documents" }},
		{"text of all, certificate of one", ca.CodeBadOrder, func(r *revocation) {
			r.text = got(consent.RevokeText("en", consent.Revocation{Reason: r.reason}))(t)
		}},
		{"a signing", ca.CodeBadOrder, func(r *revocation) { r.reason = ""; r.manifest = signManifest(t, r.manifest); r.code = 0 }},
		{"another client", ca.CodeBadOrder, func(r *revocation) { r.manifest.ClientID = identClient }},
		{"another issuer", ca.CodeBadOrder, func(r *revocation) { r.manifest.Iss = "https://other.test/v2" }},
		{"token of another client", ca.CodeBadToken, func(r *revocation) { r.claims["aud"] = identClient }},
		{"token of another manifest", ca.CodeWrongNonce, func(r *revocation) { r.claims["nonce"] = random(t) }},
		{"a lower level", ca.CodeBadToken, func(r *revocation) { r.claims["acr"] = token.ACRBasic }},
		{"before the question", ca.CodeBadToken, func(r *revocation) { r.claims["iat"], r.claims["exp"] = w.now().Unix()-600, w.now().Unix()+60 }},
		{"older than the certificate", ca.CodeNotHolder, func(r *revocation) {
			r.manifest.Iat -= 7200
			r.claims["iat"], r.claims["exp"] = w.now().Unix()-3600, w.now().Unix()-3000
			r.manifest.Exp -= 3000
		}},
		{"older than three days", ca.CodeBadToken, func(r *revocation) {
			r.manifest.Iat -= 80 * 3600
			r.claims["iat"], r.claims["exp"] = w.now().Unix()-75*3600, w.now().Unix()-74*3600
		}},
	} {
		r := w.revocation(mine, false)
		tc.change(r)
		if _, err := w.sam.Revoke(t.Context(), r.request()); code(err) != tc.code {
			t.Errorf("%s: %v, want %s", tc.name, err, tc.code)
		}
	}
	// Tokens of an enrolment are of no use, and neither is a revocation's at the way in.
	request := w.revocation(mine, false).request()
	order := w.enrolment().order()
	request.Manifest, request.Token = order.ConsentManifest, order.ConsentToken
	if _, err := w.sam.Revoke(t.Context(), request); code(err) != ca.CodeBadOrder {
		t.Errorf("consent to a certificate: %v", err)
	}
	request = w.revocation(mine, false).request()
	order.ConsentManifest, order.ConsentToken = request.Manifest, request.Token
	if _, err := w.front.Issue(t.Context(), order); code(err) != ca.CodeBadOrder {
		t.Errorf("a certificate for a revocation: %v", err)
	}
	w.keys.down = true
	if _, err := w.sam.Revoke(t.Context(), request); code(err) != ca.CodeItsme || !asWire(err).Retryable {
		t.Errorf("itsme is away: %v", err)
	}
	if w.says(mine).State != certs.StatusGood || w.listed(mine) {
		t.Error("it was revoked")
	}
	kinds, text := w.events()
	if kinds["certificate.revoked"] != 0 || kinds["certificate.revoke_refused"] != 17 || strings.Contains(text, holderSub) {
		t.Errorf("%v", kinds)
	}
}

func TestRevokeByOperators(t *testing.T) {
	w := newWorld(t)
	c, other := w.issued(), w.issued()
	serial := serialOf(c)
	stranger := newWorld(t).operators
	act := got(foureyes.NewAct(foureyes.ActRevoke, serial, "keyCompromise"))(t)
	suspend := got(foureyes.NewAct(foureyes.ActSuspend, serial, "investigation"))(t)
	late := w.approve(act, w.operators[0], w.operators[1])
	w.advance(11 * time.Minute)
	for name, r := range map[string]ca.RevokeRequest{
		"one operator":      w.approved(serial, 0),
		"one twice":         w.approved(serial, 1, 1),
		"strangers":         w.approve(act, stranger[0], stranger[1]),
		"one and a stanger": w.approve(act, w.operators[0], stranger[1]),
		"too late":          late,
		"another act": func() ca.RevokeRequest {
			r := w.approve(suspend, w.operators[0], w.operators[1])
			r.Reason = ca.ReasonUnspecified
			return r
		}(),
		"another certificate": func() ca.RevokeRequest {
			r := w.approved(serialOf(other), 0, 1)
			r.Serial = serial
			return r
		}(),
		"another reason": func() ca.RevokeRequest {
			r := w.approved(serial, 0, 1)
			r.Reason = ca.ReasonKeyCompromise
			return r
		}(),
	} {
		if _, err := w.desk.Revoke(t.Context(), r); code(err) != ca.CodeNotApproved {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The operators' desk takes no word of the sam, nor of signers.
	for _, r := range []ca.RevokeRequest{bySAM(serial, 0), w.revocation(c, false).request()} {
		if _, err := w.desk.Revoke(t.Context(), r); code(err) != ca.CodeBadOrder {
			t.Errorf("by %s at the desk: %v", r.By, err)
		}
	}
	if w.says(c).State != certs.StatusGood {
		t.Error("it was revoked")
	}
	out := got(w.desk.Revoke(t.Context(), w.approved(serial, 0, 2)))(t)
	w.everywhere(c, out)
	kinds, text := w.events()
	if kinds["certificate.revoked"] != 1 || kinds["certificate.revoke_refused"] != 10 || !strings.Contains(text, `"operator_2"`) {
		t.Errorf("%v", kinds)
	}
}

// TestRevocationsOutsideTheContract are refused, and on the front's socket there is no revocation.
func TestRevocationsOutsideTheContract(t *testing.T) {
	w := newWorld(t)
	c := w.issued()
	good := bySAM(serialOf(c), ca.ReasonUnspecified)
	for name, change := range map[string]func(r *ca.RevokeRequest){
		"version":              func(r *ca.RevokeRequest) { r.V = 2 },
		"serial in upper case": func(r *ca.RevokeRequest) { r.Serial = strings.ToUpper(r.Serial) + "AB" },
		"no serial":            func(r *ca.RevokeRequest) { r.Serial = "" },
		"on hold":              func(r *ca.RevokeRequest) { r.Reason = 6 },
		"remove from CRL":      func(r *ca.RevokeRequest) { r.Reason = 8 },
		"nobody":               func(r *ca.RevokeRequest) { r.By = "" },
		"a token by the sam":   func(r *ca.RevokeRequest) { r.Token, r.Manifest = "x.y.z", []byte("{}") },
		"signer without token": func(r *ca.RevokeRequest) { r.By = ca.BySigner },
		"operators, no text":   func(r *ca.RevokeRequest) { r.By = ca.ByOperators },
	} {
		r := good
		change(&r)
		if _, err := w.sam.Revoke(t.Context(), r); code(err) != ca.CodeBadOrder {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.sam.Revoke(t.Context(), bySAM("40ff", 0)); code(err) != ca.CodeSerialUnknown || asWire(err).Status != http.StatusNotFound {
		t.Errorf("a number that was never issued: %v", err)
	}
	body := got(json.Marshal(good))(t)
	if err := w.raw.Do(t.Context(), http.MethodPut, "/v1/revocations/"+wire.BodyHash(body), body, nil); asWire(err) == nil || asWire(err).Status != http.StatusNotFound {
		t.Errorf("on the front's socket: %v", err)
	}
	if w.says(c).State != certs.StatusGood {
		t.Error("it was revoked")
	}
	if _, err := w.sam.Revocations(t.Context(), -1); code(err) != "bad_request" {
		t.Errorf("%v", err)
	}
}

// TestRevocationsAreForEver: not even who writes into the database takes one back.
func TestRevocationsAreForEver(t *testing.T) {
	w := newWorld(t)
	c := w.issued()
	got(w.desk.Revoke(t.Context(), w.approved(serialOf(c), 0, 1)))(t)
	if w.says(c).State != certs.StatusRevoked { // and so there is a responder
		t.Error("not revoked")
	}
	d := dbtest.Raw(t, w.cfg.DB)
	for _, q := range []string{
		"DELETE FROM revocations", "UPDATE revocations SET reason = 0", "UPDATE acts SET subject = ''", "DELETE FROM acts",
		"UPDATE responders SET certificate = NULL", "DELETE FROM responders",
	} {
		if _, err := d.ExecContext(t.Context(), q); err == nil {
			t.Errorf("done: %s", q)
		}
	}
	if w.says(c).State != certs.StatusRevoked {
		t.Error("not revoked any more")
	}
}

// TestActsCountOnce: approvals of one act do not revoke a second certificate, nor the same after a look at the database.
func TestActsCountOnce(t *testing.T) {
	w := newWorld(t)
	c := w.issued()
	r := w.approved(serialOf(c), 0, 1)
	d := dbtest.Raw(t, w.cfg.DB)
	act := got(foureyes.ParseAct(r.Text))(t)
	_, err := d.ExecContext(t.Context(), "INSERT INTO acts (id, subject, at) VALUES ('"+act.ID+"', '00', 1)")
	must(t, err)
	if _, err := w.desk.Revoke(t.Context(), r); code(err) != ca.CodeActUsed {
		t.Errorf("%v", err)
	}
	if w.says(c).State != certs.StatusGood {
		t.Error("it was revoked")
	}
}

// TestRevokeADeadOrder: the token may have signed before it failed, so what has this number, if anything, can be revoked.
func TestRevokeADeadOrder(t *testing.T) {
	w := newWorld(t)
	w.key.fail.Store(true)
	if _, err := w.front.Issue(t.Context(), w.enrolment().order()); code(err) != ca.CodeOutcomeUnknown {
		t.Fatal(err)
	}
	w.key.fail.Store(false)
	var serial string
	must(t, dbtest.Raw(t, w.cfg.DB).QueryRowContext(t.Context(), "SELECT serial FROM orders").Scan(&serial))
	dead := certOf(t, serial)
	if s := w.says(dead); s.State != certs.StatusUnknown {
		t.Errorf("before: %v", s.State)
	}
	out := got(w.desk.Revoke(t.Context(), w.approved(serial, 0, 1)))(t)
	w.everywhere(dead, out)
}

// TestOneRevocationAmongMany: requests at the same time have one outcome.
func TestOneRevocationAmongMany(t *testing.T) {
	w := newWorld(t)
	c := w.issued()
	var mu sync.Mutex
	var outs []ca.Revocation
	var wg sync.WaitGroup
	for n := range 12 {
		r := bySAM(serialOf(c), reasonsTaken[n%len(reasonsTaken)])
		wg.Go(func() {
			out, err := w.sam.Revoke(context.WithoutCancel(t.Context()), r)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			outs = append(outs, out)
		})
	}
	wg.Wait()
	if len(slices.Compact(outs)) != 1 {
		t.Errorf("%+v", outs)
	}
	kinds, _ := w.events()
	if kinds["certificate.revoked"] != 1 || len(w.crl().RevokedCertificateEntries) != 1 {
		t.Errorf("%v", kinds)
	}
}

var reasonsTaken = []int{ca.ReasonUnspecified, ca.ReasonKeyCompromise, ca.ReasonSuperseded, ca.ReasonCessationOfOperation, ca.ReasonPrivilegeWithdrawn}

// TestCrashAfterARevocation: what was recorded is published by whoever starts next.
func TestCrashAfterARevocation(t *testing.T) {
	w := newWorld(t)
	c := w.issued()
	must(t, w.runFor(func() bool { return w.says(c).State == certs.StatusGood }))
	out := got(w.sam.Revoke(t.Context(), bySAM(serialOf(c), ca.ReasonKeyCompromise)))(t)
	w.snapshot("crashed.db")
	w.cfg.DB = dbtest.Source(t, w.path("crashed.db"))
	w.start()
	w.everywhere(c, out)
}

// TestHolderOfAnOldOrder: orders from before the holder was stored have him in their evidence.
func TestHolderOfAnOldOrder(t *testing.T) {
	w := newWorld(t)
	c := w.issued()
	d := dbtest.Raw(t, w.cfg.DB)
	for _, q := range []string{"DROP TRIGGER orders_final", "UPDATE orders SET holder = NULL"} {
		_, err := d.ExecContext(t.Context(), q)
		must(t, err)
	}
	stranger := w.revocation(c, true)
	stranger.claims["sub"] = "another"
	if _, err := w.sam.Revoke(t.Context(), stranger.request()); code(err) != ca.CodeNotHolder {
		t.Errorf("%v", err)
	}
	w.everywhere(c, got(w.sam.Revoke(t.Context(), w.revocation(c, true).request()))(t))
}

// TestOneTimeCertificatesAreNotRevoked: they say themselves that they have no revocation; the report is kept.
func TestOneTimeCertificatesAreNotRevoked(t *testing.T) {
	w := newWorld(t)
	c := w.foreign(certs.OneTime, 20*time.Hour)
	for _, r := range []ca.RevokeRequest{bySAM(serialOf(c), ca.ReasonKeyCompromise), w.approved(serialOf(c), 0, 1)} {
		if _, err := w.sam.Revoke(t.Context(), r); code(err) != ca.CodeNotRevocable {
			t.Errorf("%v", err)
		}
	}
	if _, err := w.sam.Revoke(t.Context(), w.approved(serialOf(c), 0)); code(err) != ca.CodeNotApproved {
		t.Errorf("a report that nobody vouches for: %v", err)
	}
	kinds, _ := w.events()
	if kinds["certificate.problem"] != 2 || kinds["certificate.revoked"] != 0 || w.listed(c) {
		t.Errorf("%v", kinds)
	}
}
