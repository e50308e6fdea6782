package signer_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"tekend/signer"
	"tekend/validate"
)

// everyKind are orders of level B-LTA, or the highest there is, over what is new each time.
func everyKind(n int) map[string]func() (signer.Order, signer.Upload) {
	file := func() []byte { return onePage(fmt.Sprintf("%% every kind %d\n", n)) }
	return map[string]func() (signer.Order, signer.Upload){
		"pades": func() (signer.Order, signer.Upload) { return signer.Order{Level: "B-LTA"}, upload(file()) },
		"cades": func() (signer.Order, signer.Upload) {
			return signer.Order{Level: "B-LTA", Format: signer.CAdES}, upload(file())
		},
		"attached": func() (signer.Order, signer.Upload) {
			return signer.Order{Level: "B-LTA", Format: signer.CAdES, Packaging: signer.Attached}, upload(file())
		},
		"digest": func() (signer.Order, signer.Upload) {
			return signer.Order{Level: "B-LTA", Format: signer.CAdES, Digests: []signer.OrderedDigest{digestOf("SHA-512", file())}}, nil
		},
		"digest of a PDF": func() (signer.Order, signer.Upload) {
			return signer.Order{Level: "B-LT", Digests: []signer.OrderedDigest{digestOf("SHA-256", file())}}, nil
		},
	}
}

// noticed waits until a request says why it waits; nil when it is finished instead.
func (w *world) noticed(id string) *signer.Error {
	w.t.Helper()
	for range 3000 {
		r := w.get(id)
		if r.Notice != nil || r.State == signer.Finished {
			return r.Notice
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.t.Fatal("the request does not say why it waits")
	return nil
}

// TestADayWithoutAPartner takes each partner of step 7 away for 24 hours. Meanwhile nothing is released, the request says
// what it waits for, and afterwards every request is finished at its level.
func TestADayWithoutAPartner(t *testing.T) {
	w := enrolled(t)
	for n, partner := range []struct{ name, notice string }{
		{"tsa", signer.ErrTSA.Code}, {"ocsp and crl", signer.ErrRevocation.Code}, {"ocsp", signer.ErrRevocation.Code}, {"crl", signer.ErrRevocation.Code},
	} {
		w.restartFront() // it knows no status any more
		set := func(down bool) {
			switch {
			case partner.name == "tsa" && down:
				w.tsa.takeDown()
			case partner.name == "tsa":
				w.tsa.heal()
			case partner.name == "ocsp and crl":
				w.net.set("ocsp", down)
				w.net.set("crl", down)
			default:
				w.net.set(partner.name, down)
			}
		}
		set(true)
		open := map[string]*signer.Request{}
		for kind, order := range everyKind(n) {
			o, up := order()
			o.Reference = "cust-1"
			r, token := w.ordered(o, up)
			w.walk(token, "approve", signer.StepWait, signer.StepDone)
			open[kind] = w.wait(r.ID, signer.Signed, signer.Finished)
		}
		for kind, r := range open {
			got := w.noticed(r.ID)
			switch {
			case got == nil && partner.name == "ocsp": // a list that is newer than the time-stamp says the same
			case got == nil || got.Code != partner.notice || !got.Retryable:
				t.Errorf("%s, %s: notice %+v", partner.name, kind, got)
			}
		}
		for range 5 {
			w.sleep(4 * time.Hour)
			time.Sleep(100 * time.Millisecond) // the worker looks
		}
		for kind, r := range open {
			r = w.get(r.ID)
			if r.State == signer.Finished && partner.name == "ocsp" {
				continue
			}
			if r.State != signer.Signed || r.Notice == nil || r.Documents[0].Level != "" {
				t.Errorf("%s, %s after 20 hours: %s, %v, level %q", partner.name, kind, r.State, r.Notice, r.Documents[0].Level)
			}
			if _, err := w.front.Document(t.Context(), "acme", r.ID, 1); codeOf(err) != signer.ErrNotFinished.Code {
				t.Errorf("%s, %s: %v", partner.name, kind, err)
			}
		}
		w.sleep(4*time.Hour + time.Minute)
		set(false)
		w.sleep(2 * time.Minute) // past the backoff
		for kind, r := range open {
			r = w.wait(r.ID, signer.Finished)
			if r.Documents[0].Level != r.Level || r.Notice != nil {
				t.Errorf("%s, %s: level %q, ordered %q", partner.name, kind, r.Documents[0].Level, r.Level)
			}
			if kind == "pades" {
				if report := w.offline(w.document(r.ID, 1)); report.Indication != validate.TotalPassed {
					t.Errorf("%s: %v %v", partner.name, report.Indication, report.Signatures)
				}
			}
		}
	}
}

// TestAPartnerThatStaysAwayEndsTheRequest: each in its own words, and nothing is released.
func TestAPartnerThatStaysAwayEndsTheRequest(t *testing.T) {
	w := enrolled(t)
	w.net.set("ocsp", true)
	w.net.set("crl", true)
	r, token := w.ordered(signer.Order{Reference: "cust-1", Level: "B-LT"}, upload(onePage("% away\n")))
	w.walk(token, "approve", signer.StepWait)
	w.wait(r.ID, signer.Signed)
	w.sleep(73 * time.Hour)
	if r = w.wait(r.ID, signer.Failed); r.Failure.Code != signer.ErrRevocLate.Code || r.Documents[0].Level != "" {
		t.Errorf("%+v", r.Failure)
	}
}

// TestACertificateThatIsRevokedBeforeTheEndIsNotReleased: the time-stamping authority is away, and meanwhile the person
// revokes his certificate.
func TestACertificateThatIsRevokedBeforeTheEndIsNotReleased(t *testing.T) {
	for _, level := range []string{"B-B", "B-T", "B-LTA"} {
		w := enrolled(t)
		w.sleep(2 * time.Second) // an answer of the same second would do
		w.tsa.takeDown()
		w.net.set("ocsp", true)
		w.net.set("crl", true)
		r, token := w.ordered(signer.Order{Reference: "cust-1", Level: level}, upload(onePage("% revoked\n")))
		w.walk(token, "approve", signer.StepWait)
		w.wait(r.ID, signer.Signed)
		page := w.ask("keyCompromise")
		_, err := w.reply(w.atItsme(w.revocation(page).Link, "approve"))
		w.must(err)
		w.revoked(page, signer.StepPublished)
		w.tsa.heal()
		w.net.set("ocsp", false)
		w.net.set("crl", false)
		w.sleep(time.Minute)
		if r = w.wait(r.ID, signer.Failed); r.Failure.Code != signer.ErrCertificate.Code {
			t.Errorf("%s: %+v", level, r.Failure)
		}
		w.stopFront()
	}
}

// TestTheFrontIsKilledWhileALevelIsReached ends the front at each call of step 7, before the partner acts and when it has.
// What was had before is not asked for again.
func TestTheFrontIsKilledWhileALevelIsReached(t *testing.T) {
	w := enrolled(t)
	stamped := func() int { return w.tsa.count("POST /tsa") }
	n := 100
	for kind := range everyKind(0) {
		for _, c := range []struct {
			name   string
			hold   func(at func())
			stamps int // of level B-LTA, in all
		}{
			{"the first time-stamp was not made", func(at func()) { w.tsa.breakCall("POST /tsa", 1, requestLost).at = at }, 3},
			{"the first time-stamp was made", func(at func()) { w.tsa.breakCall("POST /tsa", 1, replyLost).at = at }, 3},
			{"the status was told", func(at func()) { w.net.hold(at) }, 2},
			{"the second time-stamp was not made", func(at func()) { w.tsa.breakCall("POST /tsa", 2, requestLost).at = at }, 3},
			{"the second time-stamp was made", func(at func()) { w.tsa.breakCall("POST /tsa", 2, replyLost).at = at }, 3},
		} {
			if kind == "digest of a PDF" && c.name[:10] == "the second" {
				continue // B-LT has one
			}
			n++
			o, up := everyKind(n)[kind]()
			o.Reference = "cust-1"
			before, uses := stamped(), w.uses()
			held, release := make(chan struct{}), make(chan struct{})
			c.hold(func() { close(held); <-release })
			r, token := w.ordered(o, up)
			old, gone := w.front, make(chan struct{})
			go func() { // the browser, whose front dies
				defer close(gone)
				p, err := old.Page(context.Background(), token)
				if err == nil && p.Step == signer.StepConfirm {
					a := w.atItsme(p.Link, "approve")
					_, _ = old.Callback(context.Background(), a.state, a.code, a.err)
				}
			}()
			select {
			case <-held:
			case <-time.After(time.Minute):
				t.Fatalf("%s, %s: the call never came", kind, c.name)
			}
			w.restartFront()
			close(release)
			<-gone
			w.tsa.heal()
			r = w.wait(r.ID, signer.Finished)
			w.check(uses, r, 1)
			want := c.stamps
			if kind == "digest of a PDF" {
				want--
			}
			if got := stamped() - before; got != want || r.Documents[0].Level != r.Level {
				t.Errorf("%s, %s: %d time-stamps were asked for, not %d; level %q", kind, c.name, got, want, r.Documents[0].Level)
			}
		}
	}
}

// TestATimeStampIsAskedForOnce while it cannot be had whether the certificate is good, also when nothing else is collected.
func TestATimeStampIsAskedForOnce(t *testing.T) {
	w := enrolled(t)
	w.restartFront() // it knows no status any more
	w.net.set("ocsp", true)
	w.net.set("crl", true)
	before := w.tsa.count("POST /tsa")
	r, token := w.ordered(signer.Order{Reference: "cust-1", Level: "B-T"}, upload(onePage("% once\n")))
	w.walk(token, "approve", signer.StepWait)
	w.wait(r.ID, signer.Signed)
	if got := w.noticed(r.ID); got == nil || got.Code != signer.ErrRevocation.Code {
		t.Fatalf("%+v", got)
	}
	w.sleep(time.Hour)
	time.Sleep(time.Second) // the worker looks
	w.net.set("ocsp", false)
	w.net.set("crl", false)
	w.sleep(2 * time.Minute)
	w.wait(r.ID, signer.Finished)
	if n := w.tsa.count("POST /tsa") - before; n != 1 {
		t.Errorf("%d time-stamps were asked for", n)
	}
}

// TestAStepThatIsStoppedKeepsWhatItHad: of several documents each partner's answers are kept, so that steps that take too long, or
// a front that is stopped again and again, come to an end.
func TestAStepThatIsStoppedKeepsWhatItHad(t *testing.T) {
	w := enrolled(t)
	before := w.tsa.count("POST /tsa")
	held, release := make(chan struct{}), make(chan struct{})
	w.tsa.breakCall("POST /tsa", 3, requestLost).at = func() { close(held); <-release }
	r, token := w.ordered(signer.Order{Reference: "cust-1", Level: "B-LTA"}, upload(onePage("% 1\n"), onePage("% 2\n"), onePage("% 3\n")))
	a := w.atItsme(w.walk(token, "approve", signer.StepConfirm).Link, "approve")
	old, gone := w.front, make(chan struct{})
	go func() { // the browser, whose front stops
		defer close(gone)
		_, _ = old.Callback(context.Background(), a.state, a.code, a.err)
	}()
	select {
	case <-held:
	case <-time.After(time.Minute):
		t.Fatal("the call never came")
	}
	w.restartFront()
	close(release)
	<-gone
	w.tsa.heal()
	if r = w.wait(r.ID, signer.Finished); r.Documents[2].Level != "B-LTA" {
		t.Errorf("level %q", r.Documents[2].Level)
	}
	if n := w.tsa.count("POST /tsa") - before; n != 7 {
		t.Errorf("%d time-stamps were asked for, not 7", n)
	}
}

// TestTheBaseIsReadOnce: however many sign a document and whatever their level, each reads what was there before once, to
// check the product.
func TestTheBaseIsReadOnce(t *testing.T) {
	w := enrolled(t)
	base := tiny("", "<< /Type /Catalog /Pages 2 0 R >>", pages, page, fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", 8<<20, bytes.Repeat([]byte("x"), 8<<20)))
	size := int64(len(base))
	first, token := w.ordered(signer.Order{Reference: "cust-1", Level: "B-LTA"}, upload(base))
	w.finish(first, token, "approve")
	if n := w.disk.read.Swap(0); n < size || n > size+size/4 {
		t.Errorf("the first signature read %d bytes of %d", n, size)
	}
	r, token := w.ordered(signer.Order{Reference: "cust-1", Level: "B-LTA", Continues: []signer.Continued{{Request: first.ID, Document: 1}}}, nil)
	w.finish(r, token, "approve")
	if n := w.disk.read.Load(); n < size || n > size+size/4 {
		t.Errorf("the second signature read %d bytes of %d", n, size)
	}
}

// TestATimeStampFromOurFuture: the clocks of two machines are never equal. What one makes a moment ahead of the other is
// finished all the same, as soon as somebody can say of the certificate what he has to say of that time.
func TestATimeStampFromOurFuture(t *testing.T) {
	w := enrolled(t)
	for i, ahead := range []time.Duration{20 * time.Millisecond, 20 * time.Second} {
		w.stampsAhead.Store(int64(ahead))
		for kind, order := range everyKind(200 + i) {
			o, up := order()
			o.Reference = "cust-1"
			r, token := w.ordered(o, up)
			w.walk(token, "approve", signer.StepDone, signer.StepWait)
			if ahead > time.Second {
				w.noticed(r.ID)
				w.sleep(time.Minute)
			}
			if r = w.wait(r.ID, signer.Finished); r.Documents[0].Level != r.Level {
				t.Errorf("%v ahead, %s: level %q", ahead, kind, r.Documents[0].Level)
			}
		}
	}
}

// TestAFrontWhoseClockIsBehind: a certificate that is of our future by a moment is waited for, and nothing claims a time before it.
func TestAFrontWhoseClockIsBehind(t *testing.T) {
	w := newWorld(t)
	w.frontBehind.Store(int64(2 * time.Second))
	for i, format := range []string{signer.PAdES, signer.CAdES} {
		r, token := w.ordered(signer.Order{Format: format}, upload(onePage("% behind "+format+"\n")))
		w.walk(token, []string{"approve", "diacritics"}[i], signer.StepDone, signer.StepFailed)
		if r = w.wait(r.ID, signer.Finished, signer.Failed); r.State != signer.Finished {
			t.Errorf("%s: %v", format, r.Failure)
		}
	}
}
