package activation_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"tekend/ca"
	"tekend/foureyes"
	"tekend/sam"
	"tekend/sam/activation"
	"tekend/wire"
)

// people are operators of a world: An, Bo, and a stranger whom nobody configured.
type people struct {
	w    *world
	keys []ed25519.PrivateKey
	sam  *sam.Client
}

// withOperators is a world that has operators, and their socket.
func withOperators(t *testing.T, change ...func(*activation.Config)) *people {
	t.Helper()
	p := &people{}
	var list []foureyes.Operator
	for _, name := range []string{"an", "bo", "stranger"} {
		public, private, err := ed25519.GenerateKey(nil)
		must(t, err)
		p.keys = append(p.keys, private)
		list = append(list, foureyes.Operator{Name: name, Key: base64.RawURLEncoding.EncodeToString(public)})
	}
	known := got(foureyes.Load(list[:2]))(t)
	p.w = newWorld(t, append(change, func(c *activation.Config) { c.Operators = known })...)
	p.serve()
	return p
}

// serve opens the operators' socket of the role as it runs now.
func (p *people) serve() {
	name := "operators-" + txn() + ".sock"
	p.w.listen(name, p.w.role.OperatorHandler())
	p.sam = sam.NewClient(p.w.path(name), 20*time.Second)
}

// approve makes the approvals of a text by some of the people.
func (p *people) approve(text string, at time.Time, who ...int) (all []string) {
	p.w.t.Helper()
	for _, i := range who {
		all = append(all, got(foureyes.Approve(p.keys[i], text, at, time.Minute))(p.w.t).String())
	}
	return all
}

// act decides something as An and Bo.
func (p *people) act(act, subject, reason string) (sam.ActRequest, sam.ActDone, error) {
	p.w.t.Helper()
	text := got(foureyes.NewAct(act, subject, reason))(p.w.t).String()
	req := sam.ActRequest{Text: text, Approvals: p.approve(text, p.w.now(), 0, 1)}
	done, err := p.sam.Act(p.w.t.Context(), req)
	return req, done, err
}

// TestTwoOperatorsSuspendResumeAndRevoke: each act counts once, is in the audit
// with both operators, and goes only the ways that there are.
func TestTwoOperatorsSuspendResumeAndRevoke(t *testing.T) {
	p := withOperators(t)
	w := p.w
	cred := w.enrol("approve")
	before := w.confirm(cred, 1)

	suspend, done, err := p.act(foureyes.ActSuspend, cred.ID, "investigation")
	if err != nil || done.State != sam.CredentialSuspended || done.Credential != cred.ID || done.At.IsZero() {
		t.Fatalf("%+v %v", done, err)
	}
	// Only the sam refuses; OCSP does not lie.
	_, err = w.front.Sign(t.Context(), before.Nonce, before.request(0))
	w.refused(err, sam.CodeCertificateNotGood)
	_, err = w.front.Prepare(t.Context(), order(cred, documents(t, cred, 1)))
	w.refused(err, sam.CodeCertificateNotGood)
	if s := w.caSays(cred); s != ca.Good {
		t.Errorf("the ca says %s of a suspended credential", s)
	}
	// Nor does he get another one meanwhile.
	again := w.apply()
	_, err = w.front.Identification(t.Context(), again.ID, w.at(again.AuthorizationURL, "approve"))
	w.refused(err, sam.CodeSuspended)
	if _, _, err := p.act(foureyes.ActSuspend, cred.ID, "investigation"); code(err) != sam.CodeActRefused {
		t.Errorf("suspended twice: %v", err)
	}
	if _, _, err := p.act(foureyes.ActDestroy, cred.ID, "unspecified"); code(err) != sam.CodeActRefused {
		t.Errorf("destroyed without a revocation: %v", err)
	}
	// The first act again: its stored outcome, with the state of now.
	if again, err := p.sam.Act(t.Context(), suspend); err != nil || again != done {
		t.Errorf("an equal call: %+v %v", again, err)
	}
	if _, done, err = p.act(foureyes.ActResume, cred.ID, "investigationOver"); err != nil || done.State != sam.CredentialActive {
		t.Fatalf("%+v %v", done, err)
	}
	if again, err := p.sam.Act(t.Context(), suspend); err != nil || again.State != sam.CredentialActive || w.state(cred) != sam.CredentialActive {
		t.Errorf("an old act was done again: %+v %v", again, err)
	}
	// What was confirmed before the suspension is void; a new confirmation signs.
	_, err = w.front.Sign(t.Context(), before.Nonce, before.request(0))
	w.refused(err, sam.CodeCertificateNotGood)
	c := w.confirm(cred, 1)
	checkValues(t, cred, c.docs, got(w.front.Sign(t.Context(), c.Nonce, c.request(0)))(t).Values)

	_, done, err = p.act(foureyes.ActRevoke, serialOf(t, cred), "keyCompromise") // by the serial number
	if err != nil || done.State != sam.CredentialRevoked && done.State != sam.CredentialDestroyed || done.Credential != cred.ID {
		t.Fatalf("%+v %v", done, err)
	}
	w.soonDestroyed(cred)
	if w.caSays(cred) != ca.Revoked || w.countDetail("credential.revoked", "reason", "1") != 1 {
		t.Error("the ca does not say revoked, or not why")
	}
	for _, act := range [][2]string{{foureyes.ActResume, "investigationOver"}, {foureyes.ActSuspend, "investigation"}, {foureyes.ActRevoke, "superseded"}} {
		if _, _, err := p.act(act[0], cred.ID, act[1]); code(err) != sam.CodeActRefused {
			t.Errorf("%s after the revocation: %v", act[0], err)
		}
	}
	for _, r := range w.rows() {
		if r.kind == "act.approved" && (r.detail["operator1"] == "" || r.detail["operator1"] == r.detail["operator2"] || r.detail["approval1"] == "" || r.detail["id"] == "") {
			t.Errorf("%+v", r)
		}
	}
	if n := w.count("act.approved"); n != 3 {
		t.Errorf("%d acts in the audit", n)
	}
}

// TestASuspensionHoldsApplicationsOnTheirWay: he was identified before it, when
// his credential was to be renewed; the certificate comes after it.
func TestASuspensionHoldsApplicationsOnTheirWay(t *testing.T) {
	p := withOperators(t)
	w := p.w
	first, second := w.toIssue("approve"), w.toIssue("approve")
	issue := func(st sam.EnrolStep) (sam.EnrolStep, error) {
		issued := got(w.ca.Issue(t.Context(), ca.IssueRequest(*st.Order)))(t)
		return w.front.Certificate(t.Context(), st.ID, issued.Chain)
	}
	cred := *got(issue(first))(t).Credential
	if _, _, err := p.act(foureyes.ActSuspend, cred.ID, "investigation"); err != nil {
		t.Fatal(err)
	}
	_, err := issue(second)
	w.refused(err, sam.CodeSuspended)
	if n := w.number("SELECT COUNT(*) FROM links"); n != 1 {
		t.Errorf("%d credentials", n)
	}
	if _, _, err := p.act(foureyes.ActResume, cred.ID, "investigationOver"); err != nil {
		t.Fatal(err)
	}
	if st := got(issue(second))(t); st.Step != sam.StepDone {
		t.Errorf("%+v", st)
	}
}

// TestOneOperatorDoesNothing: one, the same twice, a stranger, an old approval,
// one of another act, a changed text: nothing happens, and the audit has it.
func TestOneOperatorDoesNothing(t *testing.T) {
	p := withOperators(t)
	w := p.w
	cred := w.enrol("approve")
	text := got(foureyes.NewAct(foureyes.ActRevoke, cred.ID, "keyCompromise"))(t).String()
	other := got(foureyes.NewAct(foureyes.ActRevoke, cred.ID, "superseded"))(t).String()
	now := w.now()
	for name, approvals := range map[string][]string{
		"nobody": nil, "one": p.approve(text, now, 0), "the same twice": p.approve(text, now, 0, 0), "a stranger": p.approve(text, now, 0, 2),
		"expired":     append(p.approve(text, now.Add(-2*time.Minute), 0), p.approve(text, now, 1)...),
		"too soon":    append(p.approve(text, now.Add(2*time.Minute), 0), p.approve(text, now, 1)...),
		"another act": append(p.approve(other, now, 0), p.approve(text, now, 1)...),
		"not one":     {"x", "y"},
	} {
		if _, err := p.sam.Act(t.Context(), sam.ActRequest{Text: text, Approvals: approvals}); code(err) != sam.CodeNotApproved {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, changed := range map[string]string{
		"no act": "revoke it", "empty": "", "a subject of colour": strings.Replace(text, cred.ID, "cred\x1b", 1),
	} {
		if _, err := p.sam.Act(t.Context(), sam.ActRequest{Text: changed, Approvals: p.approve(changed, now, 0, 1)}); code(err) != sam.CodeBadRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := p.act(foureyes.ActRevoke, "cred_nobody", "keyCompromise"); code(err) != sam.CodeCredentialUnknown {
		t.Error(err)
	}
	// Approvals count once: the same act with newer approvals is another body.
	resume := got(foureyes.NewAct(foureyes.ActSuspend, cred.ID, "investigation"))(t).String()
	got(p.sam.Act(t.Context(), sam.ActRequest{Text: resume, Approvals: p.approve(resume, now, 0, 1)}))(t)
	if _, _, err := p.act(foureyes.ActResume, cred.ID, "investigationOver"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.sam.Act(t.Context(), sam.ActRequest{Text: resume, Approvals: p.approve(resume, now, 1, 0)}); code(err) != sam.CodeActRefused {
		t.Errorf("one act twice: %v", err)
	}
	if w.state(cred) != sam.CredentialActive || w.count("credential.revoked") != 0 || w.count("refusal."+sam.CodeNotApproved) != 8 {
		t.Errorf("%s, %d refusals", w.state(cred), w.count("refusal."+sam.CodeNotApproved))
	}
	// The front's socket knows no acts, and without operators nothing can be decided.
	raw := wire.NewClient(w.socket, 5*time.Second)
	body := []byte(`{"text":"","approvals":[]}`)
	if err := raw.Do(t.Context(), http.MethodPut, "/v1/acts/"+wire.BodyHash(body), body, nil); err == nil {
		t.Error("the front's socket takes acts")
	}
	w.cfg.Operators = nil
	w.start()
	p.serve()
	if _, _, err := p.act(foureyes.ActRevoke, cred.ID, "keyCompromise"); code(err) != sam.CodeNotApproved {
		t.Errorf("without operators: %v", err)
	}
}

// TestOperatorsDestroyWithoutTheCA: the key of a revoked credential goes at once
// when two operators say so, though the ca is away; it is told when it is back.
func TestOperatorsDestroyWithoutTheCA(t *testing.T) {
	p := withOperators(t)
	w := p.w
	cred := w.enrol("approve")
	w.caDown.Store(true)
	if _, done, err := p.act(foureyes.ActRevoke, cred.ID, "keyCompromise"); err != nil || done.State != sam.CredentialRevoked {
		t.Fatalf("%+v %v", done, err)
	}
	if _, done, err := p.act(foureyes.ActDestroy, cred.ID, "unspecified"); err != nil || done.State != sam.CredentialDestroyed {
		t.Fatalf("%+v %v", done, err)
	}
	w.caDown.Store(false)
	must(t, w.role.Reconcile(t.Context()))
	if s := w.caSays(cred); s != ca.Revoked || w.count("key.destroyed") != 1 {
		t.Errorf("the ca says %s", s)
	}
}
