package signer_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"tekend/pdf"
	"tekend/signer"
	"tekend/validate"
)

// orderLater is an order of a client whose digests come later.
func (w *world) orderLater(client string, o signer.Order) (*signer.Request, string) {
	w.t.Helper()
	r, err := w.front.Create(w.t.Context(), client, o, nil)
	w.must(err)
	_, token, _ := strings.Cut(w.front.SigningURL(r), "/sign/")
	return r, token
}

// identify walks until the request waits for its digests.
func (w *world) identify(client, id, token, person string) *signer.Request {
	w.t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		p := w.walk(token, person, signer.StepWait, signer.StepConfirm)
		r, err := w.front.Get(w.t.Context(), client, id)
		w.must(err)
		if r.State != signer.Created {
			if r.State != signer.Identified || p.Step != signer.StepWait || r.Notice == nil || r.Notice.Code != signer.ErrAwaited.Code || r.Later == nil {
				w.t.Fatalf("page %s, request %+v", p.Step, r)
			}
			return r
		}
	}
	w.t.Fatal("the person is not identified")
	return nil
}

// bare are n entries without digest.
func bare(alg string, n int) []signer.OrderedDigest {
	all := make([]signer.OrderedDigest, n)
	for i := range all {
		all[i].Algorithm = alg
	}
	return all
}

// TestANewPersonSignsPreparedPDFsWithOneConfirmation: whoever has no certificate yet, and whoever gets a new one each time, confirms
// once, and the claimed time is in the life of the certificate.
func TestANewPersonSignsPreparedPDFsWithOneConfirmation(t *testing.T) {
	w := newWorld(t)
	for i, c := range []struct {
		client, level, alg string
		hash               crypto.Hash
	}{{"acme", "B-LT", "SHA-256", crypto.SHA256}, {once, "B-T", "SHA-512", crypto.SHA512}} {
		ordered := w.now()
		r, token := w.orderLater(c.client, signer.Order{Level: c.level, Digests: bare(c.alg, 2)})
		r = w.identify(c.client, r.ID, token, "approve")
		if r.Later.NotBefore.Before(ordered.Add(-time.Minute)) || r.Later.CMSSize < 4000 || r.Later.CMSSize > 32<<10 {
			t.Errorf("%+v", r.Later)
		}
		w.restartFront() // nothing of it is in memory
		w.sleep(2 * time.Second)
		var all []signer.OrderedDigest
		var prepared []*pdf.Prepared
		var bases [][]byte
		for n := range 2 {
			base := onePage(fmt.Sprint("% prepared later ", i, n, "\n"))
			p, err := pdf.Prepare(bytes.NewReader(base), int64(len(base)), pdf.Options{SignatureTime: w.now(), Reserve: r.Later.CMSSize, Hash: c.hash})
			w.must(err)
			bases, prepared, all = append(bases, base), append(prepared, p), append(all, signer.OrderedDigest{Algorithm: c.alg, Digest: p.Digest})
		}
		for range 2 { // the same again is harmless
			_, err := w.front.SendDigests(t.Context(), c.client, r.ID, all, "")
			w.must(err)
		}
		w.walk(token, "approve", signer.StepConfirm)
		w.walk(token, "approve", signer.StepDone)
		if r = w.finished(c.client, r.ID); r.Notice != nil {
			t.Errorf("%v", r.Notice)
		}
		_, err := w.front.SendDigests(t.Context(), c.client, r.ID, all, "")
		w.must(err)
		if _, err := w.front.SendDigests(t.Context(), c.client, r.ID, all[1:], ""); !errors.Is(err, signer.ErrNotAwaited) {
			t.Errorf("fewer digests: %v", err)
		}
		for n := range 2 {
			w.judgeLater(bases[n], prepared[n], c.client, r.ID, n+1)
		}
	}
}

func (w *world) finished(client, id string) *signer.Request {
	w.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		r, err := w.front.Wait(w.t.Context(), client, id, "", time.Second)
		w.must(err)
		if r.State.End() {
			if r.State != signer.Finished {
				w.t.Fatalf("%s: %v", r.State, r.Failure)
			}
			return r
		}
	}
	w.t.Fatal("not finished")
	return nil
}

// judgeLater embeds a product and validates; the claimed time must be in the life of the certificate.
func (w *world) judgeLater(base []byte, p *pdf.Prepared, client, id string, n int) {
	w.t.Helper()
	got, err := w.front.Product(w.t.Context(), client, id, n)
	w.must(err)
	update, err := p.Embed(got.CMS)
	w.must(err)
	doc := append(bytes.Clone(base), update...)
	rep, err := validate.PDF(w.t.Context(), bytes.NewReader(doc), int64(len(doc)), validate.Options{Roots: w.roots, At: w.now(), NoRevocation: true})
	w.must(err)
	leaf, err := x509.ParseCertificate(got.Certificates[0])
	w.must(err)
	if sig := rep.Signatures[0]; rep.Indication != validate.TotalPassed || sig.SignedAt.IsZero() || sig.SignedAt.Before(leaf.NotBefore) {
		w.t.Errorf("%v, claimed %v, certificate from %v: %+v", rep.Indication, sig.SignedAt, leaf.NotBefore, sig)
	}
}

// TestDigestsThatDoNotFitTheOrder: what is refused while a request waits, and that it goes on waiting.
func TestDigestsThatDoNotFitTheOrder(t *testing.T) {
	w := newWorld(t)
	a, b := digestOf("SHA-256", []byte("a")), digestOf("SHA-256", []byte("b"))
	r, token := w.orderLater("acme", signer.Order{Reference: "ref", Format: signer.CAdES, Exclusive: true, Digests: bare("SHA-256", 2)})
	send := func(id string, all ...signer.OrderedDigest) error {
		_, err := w.front.SendDigests(t.Context(), "acme", id, all, "")
		return err
	}
	if err := send(r.ID, a, b); !errors.Is(err, signer.ErrNotIdentified) {
		t.Errorf("before the person is known: %v", err)
	}
	w.identify("acme", r.ID, token, "approve")
	short := a
	short.Digest = a.Digest[1:]
	for name, c := range map[string]struct {
		all  []signer.OrderedDigest
		want error
	}{
		"fewer":             {[]signer.OrderedDigest{a}, signer.ErrDigest},
		"none":              {nil, signer.ErrDigest},
		"more":              {[]signer.OrderedDigest{a, b, digestOf("SHA-256", []byte("c"))}, signer.ErrDigest},
		"of nothing":        {[]signer.OrderedDigest{a, digestOf("SHA-256", nil)}, signer.ErrDigest},
		"short":             {[]signer.OrderedDigest{b, short}, signer.ErrDigest},
		"without":           {bare("SHA-256", 2), signer.ErrDigest},
		"another algorithm": {[]signer.OrderedDigest{a, digestOf("SHA-384", []byte("b"))}, signer.ErrDigestAlg},
		"twice":             {[]signer.OrderedDigest{a, a}, signer.ErrTwice},
	} {
		if err := send(r.ID, c.all...); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.front.SendDigests(t.Context(), "acme", r.ID, []signer.OrderedDigest{a, b}, "no order"); !errors.Is(err, signer.ErrOrder) {
		t.Errorf("an order that is none: %v", err)
	}
	if _, err := w.front.SendDigests(t.Context(), "other", r.ID, []signer.OrderedDigest{a, b}, ""); !errors.Is(err, signer.ErrUnknown) {
		t.Errorf("another client: %v", err)
	}
	// One of two that come at once wins, and then holds the next revision.
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			errs[i] = send(r.ID, []signer.OrderedDigest{a, b}[i%2], []signer.OrderedDigest{b, a}[i%2])
		})
	}
	wg.Wait()
	for i, err := range errs {
		if same := errors.Is(errs[i%2], nil); same != (err == nil) || err != nil && !errors.Is(err, signer.ErrNotAwaited) || (errs[0] == nil) == (errs[1] == nil) {
			t.Errorf("%d: %v", i, err)
		}
	}
	other, otherToken := w.orderLater("acme", signer.Order{Reference: "ref", Format: signer.CAdES, Exclusive: true, Digests: bare("SHA-256", 1)})
	w.identify("acme", other.ID, otherToken, "approve")
	if err := send(other.ID, a); !errors.Is(err, signer.ErrHeld) || !strings.Contains(err.Error(), r.ID) {
		t.Errorf("held by the first: %v", err)
	}
	w.walk(token, "approve", signer.StepDone)
	w.wait(r.ID, signer.Finished)
	w.must(w.front.Decline(t.Context(), otherToken))
	if err := send(other.ID, a); !errors.Is(err, signer.ErrEnded) {
		t.Errorf("after the end: %v", err)
	}
	late, lateToken := w.orderLater("acme", signer.Order{Reference: "ref", Format: signer.CAdES, Digests: bare("SHA-256", 1)})
	w.identify("acme", late.ID, lateToken, "approve")
	w.sleep(25 * time.Hour)
	if err := send(late.ID, a); !errors.Is(err, signer.ErrExpired) && !errors.Is(err, signer.ErrEnded) {
		t.Errorf("too late: %v", err)
	}
	if r := w.wait(late.ID, signer.Expired); r.Notice != nil {
		t.Errorf("%v", r.Notice)
	}
}

// TestDigestsOfPDFsBeforeAOneTimeCertificate are refused: their claimed time would be before it.
func TestDigestsOfPDFsBeforeAOneTimeCertificate(t *testing.T) {
	s, _ := reception(t, func(cfg *signer.Config) { cfg.OneTime = func(c string) bool { return c == once } })
	a := digestOf("SHA-256", []byte("a"))
	create := func(client string, o signer.Order) error {
		_, err := s.Create(t.Context(), client, o, nil)
		return err
	}
	if err := create(once, signer.Order{Digests: []signer.OrderedDigest{a}}); !errors.Is(err, signer.ErrDigestEarly) {
		t.Errorf("%v", err)
	}
	for name, err := range map[string]error{
		"later":            create(once, signer.Order{Digests: bare("SHA-256", 1)}),
		"cades":            create(once, signer.Order{Format: signer.CAdES, Digests: []signer.OrderedDigest{a}}),
		"of other clients": create("acme", signer.Order{Digests: []signer.OrderedDigest{a}}),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := create("acme", signer.Order{Digests: bare("SHA-256", 1), SignedOrder: "a.b.c"}); !errors.Is(err, signer.ErrOrder) {
		t.Errorf("signed before there are digests: %v", err)
	}
	key := signer.Order{Digests: bare("SHA-256", 2), IdempotencyKey: "k"}
	first, err := s.Create(t.Context(), "acme", key, nil)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.Create(t.Context(), "acme", key, nil); err != nil || again.ID != first.ID || again.Documents[1].Digest != "" {
		t.Errorf("%+v %v", again, err)
	}
	key.Digests = bare("SHA-256", 3)
	if err := create("acme", key); !errors.Is(err, signer.ErrKeyReused) {
		t.Errorf("%v", err)
	}
}
