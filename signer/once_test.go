package signer_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tekend/signer"
)

func named(names []string, pdfs ...[]byte) *files {
	f := upload(pdfs...)
	for i, n := range names {
		(*f)[i].name = n
	}
	return f
}

func TestTheSameKeyAndOrderIsTheSameRequest(t *testing.T) {
	s, dir := reception(t, nil)
	a, b, c := sample(t, "fpdf2.pdf"), sample(t, "weasyprint.pdf"), sample(t, "cairo-librsvg.pdf")
	names := []string{"a.pdf", "b.pdf"}
	o := signer.Order{Reference: "cust-1", IdempotencyKey: "k-1"}
	first, err := s.Create(t.Context(), "acme", o, named(names, a, b))
	if err != nil {
		t.Fatal(err)
	}
	// Defaults said and not said are the same order.
	said := o
	said.Level, said.Language = "B-T", "en"
	for _, o := range []signer.Order{o, said} {
		again, err := s.Create(t.Context(), "acme", o, named(names, a, b))
		if d := cmp.Diff(first, again, cmpopts.IgnoreUnexported(signer.Request{})); err != nil || d != "" || s.SigningURL(first) != s.SigningURL(again) {
			t.Errorf("%v %s", err, d)
		}
	}
	// Also when the request has gone on.
	_, token, _ := strings.Cut(s.SigningURL(first), "/sign/")
	if err := s.Decline(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	again, err := s.Create(t.Context(), "acme", o, named(names, a, b))
	if d := cmp.Diff(first, again, cmpopts.IgnoreUnexported(signer.Request{})); err != nil || d != "" {
		t.Errorf("after it was declined: %v %s", err, d)
	}
	change := func(f func(*signer.Order)) signer.Order {
		c := o
		f(&c)
		return c
	}
	for name, x := range map[string]struct {
		o  signer.Order
		up *files
	}{
		"another document":             {o, named(names, a, c)},
		"the documents in other order": {o, named(names, b, a)},
		"other names":                  {o, named([]string{"a.pdf", "c.pdf"}, a, b)},
		"one document less":            {o, named(names[:1], a)},
		"one document more":            {o, named(names, a, b, c)},
		"a longer document":            {o, named(names, a, append(bytes.Clone(b), '\n'))},
		"no document":                  {o, upload()},
		"not a PDF":                    {o, named(names, a, []byte("x"))},
		"another level":                {change(func(o *signer.Order) { o.Level = "B-B" }), named(names, a, b)},
		"another language":             {change(func(o *signer.Order) { o.Language = "nl" }), named(names, a, b)},
		"another reference":            {change(func(o *signer.Order) { o.Reference = "cust-2" }), named(names, a, b)},
		"another redirect":             {change(func(o *signer.Order) { o.RedirectURL = "https://acme.example/" }), named(names, a, b)},
		"another life":                 {change(func(o *signer.Order) { o.Lifetime = time.Hour }), named(names, a, b)},
	} {
		if _, err := s.Create(t.Context(), "acme", x.o, x.up); codeOf(err) != "idempotency_key_reused" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := blobs(t, dir); n != 2 {
		t.Errorf("%d documents are kept of one order of two", n)
	}
	// Another client and another key are other orders; no key makes one each time.
	for _, x := range []struct{ client, key string }{{"other", "k-1"}, {"acme", "K-1"}, {"acme", ""}, {"acme", ""}} {
		o := change(func(o *signer.Order) { o.IdempotencyKey = x.key })
		if r, err := s.Create(t.Context(), x.client, o, named(names, a, b)); err != nil || r.ID == first.ID {
			t.Errorf("%+v: %v", x, err)
		}
	}
	for _, key := range []string{"a b", "é", string(bytes.Repeat([]byte("k"), 256)), "k\n"} {
		if _, err := s.Create(t.Context(), "acme", signer.Order{IdempotencyKey: key}, upload(a)); codeOf(err) != "idempotency_key_invalid" {
			t.Errorf("key %q: %v", key, err)
		}
	}
}

// TestAnOrderThatFailsLeavesItsKeyFree: a refusal, and an upload that broke off.
func TestAnOrderThatFailsLeavesItsKeyFree(t *testing.T) {
	s, dir := reception(t, nil)
	a := sample(t, "fpdf2.pdf")
	o := signer.Order{IdempotencyKey: string(bytes.Repeat([]byte("k"), 255))}
	if _, err := s.Create(t.Context(), "acme", o, upload([]byte("no PDF"))); codeOf(err) != "not_a_pdf" {
		t.Error(err)
	}
	bad := o
	bad.Level = "B-X"
	if _, err := s.Create(t.Context(), "acme", bad, upload(a)); codeOf(err) != "level_not_supported" {
		t.Error(err)
	}
	cut := errors.New("cut off")
	broken := func() *files {
		f := upload(a)
		(*f)[0].r = io.MultiReader(bytes.NewReader(a[:100]), iotest.ErrReader(cut))
		return f
	}
	if _, err := s.Create(t.Context(), "acme", o, broken()); !errors.Is(err, cut) {
		t.Error(err)
	}
	r, err := s.Create(t.Context(), "acme", o, upload(a))
	if err != nil {
		t.Fatal(err)
	}
	// A repetition that breaks off is not an answer about the key.
	if _, err := s.Create(t.Context(), "acme", o, broken()); !errors.Is(err, cut) {
		t.Error(err)
	}
	if again, err := s.Create(t.Context(), "acme", o, upload(a)); err != nil || again.ID != r.ID {
		t.Errorf("%v", err)
	}
	if n := blobs(t, dir); n != 1 {
		t.Errorf("%d documents are kept of one", n)
	}
}

// TestEqualOrdersAtOnceMakeOneRequest: all get it, and the others' documents are dropped.
func TestEqualOrdersAtOnceMakeOneRequest(t *testing.T) {
	s, dir := reception(t, nil)
	a, b := sample(t, "fpdf2.pdf"), sample(t, "weasyprint.pdf")
	const callers = 12
	// Every caller stands in its last document until all are there: no key was stored before that.
	var here sync.WaitGroup
	here.Add(callers)
	all := make(chan struct{})
	go func() { here.Wait(); close(all) }()
	ids, errs := make([]string, callers), make([]error, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			body := b
			if i == 0 {
				body = append(bytes.Clone(b), '\n') // not the same order
			}
			f := upload(a, body)
			(*f)[1].r = io.MultiReader(bytes.NewReader(body), gate{&here, all})
			r, err := s.Create(t.Context(), "acme", signer.Order{IdempotencyKey: "k"}, f)
			if errs[i] = err; err == nil {
				ids[i] = r.ID
			}
		})
	}
	wg.Wait()
	won := map[string]int{}
	for i, id := range ids {
		if errs[i] != nil && codeOf(errs[i]) != "idempotency_key_reused" {
			t.Errorf("%d: %v", i, errs[i])
		}
		won[id]++
	}
	delete(won, "")
	if len(won) != 1 || errs[0] != nil && won[ids[1]] != callers-1 || errs[0] == nil && won[ids[0]] != 1 {
		t.Errorf("%v %v", won, errs)
	}
	if n := blobs(t, dir); n != 2 {
		t.Errorf("%d documents are kept of one order of two", n)
	}
}

// gate is an empty reader that waits until every caller is there.
type gate struct {
	here *sync.WaitGroup
	all  chan struct{}
}

func (g gate) Read([]byte) (int, error) {
	g.here.Done()
	<-g.all
	return 0, io.EOF
}
