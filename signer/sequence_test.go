package signer_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tekend/hsm"
	"tekend/pdf"
	"tekend/signer"
	"tekend/validate"
)

// TestThreeSignersInSequence: each goes on with what the one before got. Every signature stays valid at B-LTA, covers all
// earlier ones, and no byte of them is changed.
func TestThreeSignersInSequence(t *testing.T) {
	for _, kind := range []hsm.KeyKind{hsm.P256, hsm.P384} {
		w := newWorldOf(t, kind)
		first, token := w.ordered(signer.Order{Reference: "ref-approve", Level: "B-LTA"}, upload(onePage(fmt.Sprint("% sequence ", kind, "\n"))))
		w.finish(first, token, "approve")
		before := w.document(first.ID, 1)
		next := signer.Continued{Request: first.ID, Document: 1}
		for n, person := range []string{"diacritics", "one-name"} {
			r, token := w.ordered(signer.Order{Reference: "ref-" + person, Level: "B-LTA", Continues: []signer.Continued{next}}, nil)
			if r.Documents[0].Size != int64(len(before)) {
				t.Errorf("the document has %d bytes, told of %d", len(before), r.Documents[0].Size)
			}
			c, err := w.front.PageDocument(t.Context(), token, 1)
			w.must(err)
			if c.Size < int64(len(before)) {
				t.Error("the page shows less than the document")
			}
			w.must(c.Close())
			w.finish(r, token, person)
			now := w.document(r.ID, 1)
			if !bytes.HasPrefix(now, before) {
				t.Error("earlier bytes were changed")
			}
			report := w.offline(now)
			people := 0
			for _, sig := range report.Signatures {
				if sig.Kind != validate.KindSignature {
					continue
				}
				people++
				if sig.Indication != validate.TotalPassed || sig.Level != "B-LTA" {
					t.Errorf("signer %d after %d more: %v %s %s: %v", people, n+1, sig.Indication, sig.SubIndication, sig.Level, sig.Reasons)
				}
			}
			if people != n+2 || report.Indication != validate.TotalPassed {
				t.Errorf("%d signatures, %v", people, report.Indication)
			}
			old := signer.Order{Continues: []signer.Continued{next}}
			var e *signer.Error
			if _, err := w.front.Create(t.Context(), "acme", old, nil); !errors.As(err, &e) || e.Code != signer.ErrContinues.Code || !strings.Contains(e.Detail, r.ID) {
				t.Errorf("a branch of an older revision: %v", err)
			}
			before, next = now, signer.Continued{Request: r.ID, Document: 1}
		}
		// The same bytes, uploaded by somebody who has them from us: the base is another blob.
		r, token := w.ordered(signer.Order{Reference: "ref-approve", Level: "B-T"}, upload(before))
		w.finish(r, token, "approve")
	}
}

// presigned has n signatures of others; nobody would call them valid, which is not our matter.
func presigned(t *testing.T, n int) []byte {
	t.Helper()
	doc := onePage(fmt.Sprint("% ", n, " signatures\n"))
	for range n {
		p, err := pdf.Prepare(bytes.NewReader(doc), int64(len(doc)), pdf.Options{SignatureTime: time.Unix(1_790_000_000, 0), Reserve: 64})
		if err != nil {
			t.Fatal(err)
		}
		up, err := p.Embed([]byte{0x30, 3, 2, 1, byte(n)})
		if err != nil {
			t.Fatal(err)
		}
		doc = slices.Concat(doc[:p.BaseSize], up)
	}
	return doc
}

// TestAsManySignaturesAsAreLookedAt: what is taken can be finished, and one more is refused before anybody confirms.
func TestAsManySignaturesAsAreLookedAt(t *testing.T) {
	w := newWorld(t)
	for left, level := range map[int]string{1: "B-LT", 2: "B-LTA"} {
		r, token := w.ordered(signer.Order{Reference: "ref", Level: level}, upload(presigned(t, validate.MaxSignatures-left)))
		if r = w.finish(r, token, "approve"); r.Documents[0].Level != level {
			t.Errorf("level %s, not %s", r.Documents[0].Level, level)
		}
		var e *signer.Error
		_, err := w.front.Create(t.Context(), "acme", signer.Order{Reference: "ref", Level: level}, upload(presigned(t, validate.MaxSignatures-left+1)))
		if !errors.As(err, &e) || e.Code != signer.ErrSignatures.Code || !strings.Contains(e.Detail, fmt.Sprint(validate.MaxSignatures-left+1)) {
			t.Errorf("%s on one more: %v", level, err)
		}
	}
}

func TestWhatCannotBeContinued(t *testing.T) {
	w := newWorld(t)
	open, _ := w.order("ref", onePage("% open\n"))
	done, token := w.order("ref", onePage("% done\n"))
	w.finish(done, token, "approve")
	cms, token := w.ordered(signer.Order{Reference: "ref", Format: signer.CAdES}, upload([]byte("x")))
	w.finish(cms, token, "approve")
	of := func(id string, n int) signer.Order {
		return signer.Order{Continues: []signer.Continued{{Request: id, Document: n}}}
	}
	twice := of(done.ID, 1)
	twice.Continues = append(twice.Continues, twice.Continues[0])
	beside := of(done.ID, 1)
	beside.Digests = []signer.OrderedDigest{digestOf("SHA-256", []byte("x"))}
	asCMS := of(done.ID, 1)
	asCMS.Format = signer.CAdES
	for name, c := range map[string]struct {
		o    signer.Order
		want *signer.Error
	}{
		"not finished": {of(open.ID, 1), signer.ErrContinues}, "nobody's": {of("sr_x", 1), signer.ErrContinues},
		"no number": {of(done.ID, 0), signer.ErrContinues}, "another number": {of(done.ID, 2), signer.ErrContinues},
		"a CMS": {of(cms.ID, 1), signer.ErrContinues}, "twice": {twice, signer.ErrTwice}, "as CMS": {asCMS, signer.ErrContinues},
		"beside digests": {beside, signer.ErrDigest},
	} {
		if _, err := w.front.Create(t.Context(), "acme", c.o, nil); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.front.Create(t.Context(), "somebody", of(done.ID, 1), nil); !errors.Is(err, signer.ErrContinues) {
		t.Errorf("of another client: %v", err)
	}
	// A refused order takes nothing away from what it named.
	if doc := w.document(done.ID, 1); len(doc) == 0 {
		t.Error("the document is gone")
	}
}

// TestOneOpenRequestMakesTheNextRevision: of many orders at once over one document one is taken; the others are told by
// whom it is held, until that request has ended, however it ends.
func TestOneOpenRequestMakesTheNextRevision(t *testing.T) {
	w := newWorld(t)
	done, token := w.order("ref", onePage("% held\n"))
	w.finish(done, token, "approve")
	signed := w.document(done.ID, 1)
	orders := map[string]func() (*signer.Request, error){
		"continues": func() (*signer.Request, error) {
			return w.front.Create(t.Context(), "acme", signer.Order{Reference: "ref", Continues: []signer.Continued{{Request: done.ID, Document: 1}}}, nil)
		},
		"upload": func() (*signer.Request, error) {
			return w.front.Create(t.Context(), "acme", signer.Order{Reference: "ref"}, upload(signed))
		},
	}
	for name, order := range orders {
		var wg sync.WaitGroup
		var won atomic.Pointer[signer.Request]
		var held atomic.Int64
		for range 8 {
			wg.Go(func() {
				r, err := order()
				var e *signer.Error
				switch {
				case err == nil && won.CompareAndSwap(nil, r):
				case errors.As(err, &e) && e.Code == signer.ErrHeld.Code && e.Retryable && e.Hint != "":
					held.Add(1)
				default:
					t.Errorf("%s: %+v %v", name, r, err)
				}
			})
		}
		wg.Wait()
		if won.Load() == nil || held.Load() != 7 {
			t.Fatalf("%s: %d were told to wait", name, held.Load())
		}
		w.restartFront() // the hold is in the database
		for other, again := range orders {
			var e *signer.Error
			if _, err := again(); !errors.As(err, &e) || !errors.Is(err, signer.ErrHeld) || !bytes.Contains([]byte(e.Detail), []byte(won.Load().ID)) {
				t.Errorf("%s after %s: %v", other, name, err)
			}
		}
		_, token, _ := bytes.Cut([]byte(w.front.SigningURL(won.Load())), []byte("/sign/"))
		w.must(w.front.Decline(t.Context(), string(token)))
	}
	// Another client's documents are its own matter, and a template may be signed by many at once.
	if _, err := w.front.Create(t.Context(), "somebody", signer.Order{}, upload(signed)); err != nil {
		t.Error(err)
	}
	template := onePage("% template\n")
	for range 2 {
		if _, err := w.front.Create(t.Context(), "acme", signer.Order{}, upload(template)); err != nil {
			t.Error(err)
		}
	}
	if _, err := w.front.Create(t.Context(), "acme", signer.Order{Exclusive: true}, upload(template)); err != nil {
		t.Error(err)
	}
	if _, err := w.front.Create(t.Context(), "acme", signer.Order{Exclusive: true}, upload(template)); !errors.Is(err, signer.ErrHeld) {
		t.Error(err)
	}
	// Time is an end too.
	w.sleep(25 * 3600e9)
	r, err := orders["upload"]()
	if err != nil {
		t.Fatal(err)
	}
	w.sleep(25 * 3600e9)
	w.wait(r.ID, signer.Expired)
	if _, err := orders["continues"](); err != nil {
		t.Errorf("after the end: %v", err)
	}
}
