package authority_test

import (
	"fmt"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"tekend/ca"
	"tekend/itsme"
	"tekend/itsme/token"
	"tekend/itsme/token/tokentest"
)

// The owned front at the ca (issue 4 item 9). It carries the orders, so whatever stands in one can be its own.

// figure is one line of make test: no certificate, and each refusal in the audit.
func (w *world) figure(group string, tried, audited int, used int64) {
	w.t.Helper()
	kinds, _ := w.events()
	told := kinds["certificate.refused"] - audited
	if used != 0 || told != tried {
		w.t.Errorf("owned front, %s: of %d orders %d are refused in the audit, the CA key was used %d times", group, tried, told, used)
	}
	w.t.Logf("owned front, %s: %d tried, 0 accepted, %d refusals in the audit, %d uses of the CA key", group, tried, told, used)
}

// TestOwnedFrontTokens: a forged token, in either leg, is no reason for a certificate.
func TestOwnedFrontTokens(t *testing.T) {
	w := newWorld(t)
	f := tokentest.New(t, w.idp, "s1", w.now())
	rsa, enc := got(itsmeKey())(t), jose.JSONWebKey{}
	for _, k := range itsme.PublicJWKS(&rsa.PublicKey, &rsa.PublicKey, "a", "b").Keys {
		if k.Use == "enc" {
			enc = k
		}
	}
	w.enrolledBy(f)
	used, tried := w.signatures(), 0
	kinds, _ := w.events()
	offer := func(name string, change func(inner string) string) {
		for leg := range 2 {
			order := w.enrolment().order()
			at := []*string{&order.IdentificationToken, &order.ConsentToken}[leg]
			*at = change(*at)
			tried++
			_, err := w.front.Issue(t.Context(), order)
			switch code(err) {
			case ca.CodeBadToken, ca.CodeWrongNonce:
			default:
				t.Errorf("leg %d, %s: %v", leg+1, name, err)
			}
		}
	}
	for _, x := range tokentest.Forgeries() {
		offer(x.Name, func(inner string) string { return x.Make(f, inner, f.Read(inner)) })
	}
	offer("encrypted", func(inner string) string { return f.Encrypt(inner, enc) })
	if tried < 120 {
		t.Errorf("only %d tokens were tried", tried)
	}
	w.figure("forged tokens at the ca", tried, kinds["certificate.refused"], w.signatures()-used)
}

// enrolledBy shows that the way in is open: genuine claims, signed by the forger with itsme's key, give a certificate.
func (w *world) enrolledBy(f *tokentest.Forger) {
	w.t.Helper()
	order := w.enrolment().order()
	order.ConsentToken = f.Sign(f.Read(order.ConsentToken))
	got(w.front.Issue(w.t.Context(), order))(w.t)
}

// TestOwnedFrontMixes: two people have confirmed everything that an enrolment asks for, and the front orders certificates
// with each mixture of their applications, requests, manifests and tokens; afterwards each part of an order that was
// executed comes again in the company of a new one.
func TestOwnedFrontMixes(t *testing.T) {
	w := newWorld(t)
	order := func(name, document string) ca.IssueRequest {
		e := w.enrolment()
		e.both(token.ClaimName, name+" Jansen")
		e.both(token.ClaimGivenName, name)
		e.both(token.ClaimDocumentSN, document)
		return e.order()
	}
	// mix takes the parts of b that the bits of n name, and the others of a.
	mix := func(a, b ca.IssueRequest, n int) ca.IssueRequest {
		take := func(bit int, x, y *[]byte) {
			if n>>bit&1 == 1 {
				*x = *y
			}
		}
		take(0, &a.Application, &b.Application)
		take(1, &a.CSR, &b.CSR)
		take(2, &a.IdentificationManifest, &b.IdentificationManifest)
		take(3, &a.ConsentManifest, &b.ConsentManifest)
		if n>>4&1 == 1 {
			a.IdentificationToken = b.IdentificationToken
		}
		if n>>5&1 == 1 {
			a.ConsentToken = b.ConsentToken
		}
		return a
	}
	const all = 1 << 6
	a, b := order("Jan", "592123456789"), order("Piet", "592999999999")
	tried := 0
	try := func(when string, a, b ca.IssueRequest) {
		for n := 1; n < all-1; n++ {
			tried++
			if _, err := w.front.Issue(t.Context(), mix(a, b, n)); err == nil || asWire(err).Status >= 500 {
				t.Errorf("%s, mixture %06b: %v", when, n, err)
			}
		}
	}
	used := w.signatures()
	try("before", a, b)
	w.figure("orders mixed of two people's at the ca", tried, 0, w.signatures()-used)
	got(w.front.Issue(t.Context(), a))(t)
	got(w.front.Issue(t.Context(), b))(t)
	w.start()
	used, tried = w.signatures(), 0
	kinds, _ := w.events()
	try("after a restart", a, order("Jan", "592123456789"))
	w.figure("parts of executed orders at the ca", tried, kinds["certificate.refused"], w.signatures()-used)
	if used != 2 {
		t.Error(fmt.Errorf("the CA key was used %d times for two orders", used))
	}
}
