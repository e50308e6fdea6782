package api_test

import (
	"bytes"
	"net/http"
	"strings"
	"sync"
	"testing"

	"tekend/api"
)

const keyHeader = "Idempotency-Key"

func TestAnOrderWithAKeyIsMadeOnce(t *testing.T) {
	d := open(t, nil)
	pdf := sample(t, "fpdf2.pdf")
	media, body := parts(
		piece{name: "request", media: "application/json", body: `{"level":"B-B","language":"nl"}`},
		piece{name: "document", file: "a.pdf", media: "application/pdf", body: pdf})
	first := d.post(orders, media, body, keyHeader, `"8e03978e-40d5"`)
	var r api.SignatureRequest
	first.into(t, &r)
	same := func(name string, a answer) {
		t.Helper()
		if a.status != http.StatusCreated || !bytes.Equal(a.body, first.body) || a.header.Get("Location") != first.header.Get("Location") {
			t.Errorf("%s: %d %s, first %s", name, a.status, a.body, first.body)
		}
	}
	same("again", d.post(orders, media, body, keyHeader, `"8e03978e-40d5"`))
	// The JSON counts as it is understood, and the way of sending does not.
	media2, body2 := parts(
		piece{name: "request", media: "application/json", body: ` { "language" : "nl", "level":"B-B" }`},
		piece{name: "document", file: "a.pdf", media: "application/pdf", body: pdf})
	same("written in another way", d.post(orders, media2, body2, keyHeader, `"8e03978e-40d5"`))
	raw := orders + "?level=B-B&language=nl"
	same("as one body", d.post(raw, "application/pdf", pdf, keyHeader, `"8e03978e-40d5"`, "Content-Disposition", `attachment; filename="a.pdf"`))
	_, token, _ := strings.Cut(r.SigningUrl, "/sign/")
	d.post("/sign/"+token+"/decline", "application/json", `{}`)
	same("after it was declined", d.post(orders, media, body, keyHeader, `"8e03978e-40d5"`))

	p := d.post(orders, "application/pdf", pdf, keyHeader, `"8e03978e-40d5"`).problem(t, "idempotency_key_reused", 422)
	if p.Hint == nil || p.Retryable || p.Issues == nil || (*p.Issues)[0].In != api.Header || *(*p.Issues)[0].Name != keyHeader {
		t.Errorf("%s", mustJSON(p))
	}
	a := d.post(orders, media, body, keyHeader, `"8e03978e-40d5"`, "Authorization", "Bearer "+otherKey)
	if a.status != http.StatusCreated || bytes.Equal(a.body, first.body) {
		t.Errorf("another client: %d %s", a.status, a.body)
	}
	// A refused order leaves its key free.
	d.post(orders, "application/pdf", "no PDF", keyHeader, "k2").problem(t, "not_a_pdf", 422)
	if a := d.post(orders, "application/pdf", pdf, keyHeader, "k2"); a.status != http.StatusCreated {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestKeysOfOrdersThatAreNotTaken(t *testing.T) {
	d := open(t, nil)
	pdf := sample(t, "fpdf2.pdf")
	for _, key := range []string{"", secret + " x", secret + "é", strings.Repeat("k", 256)} {
		p := d.post(orders, "application/pdf", pdf, keyHeader, key).problem(t, "request_invalid", 400)
		if p.Issues == nil || (*p.Issues)[0].In != api.Header || *(*p.Issues)[0].Name != keyHeader {
			t.Errorf("%q: %s", key, mustJSON(p))
		}
	}
	req := d.request(http.MethodPost, orders, strings.NewReader(pdf), "Content-Type", "application/pdf")
	req.Header[keyHeader] = []string{"a", "b"}
	d.do(req).problem(t, "request_invalid", 400)
	if a := d.post(orders, "application/pdf", pdf, keyHeader, strings.Repeat("k", 255)); a.status != http.StatusCreated {
		t.Errorf("255 characters: %d %s", a.status, a.body)
	}
}

func TestOrdersAtOnceWithOneKey(t *testing.T) {
	d := open(t, nil)
	pdf := sample(t, "fpdf2.pdf")
	answers := make([]answer, 8)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() { answers[i] = d.post(orders, "application/pdf", pdf, keyHeader, "k") })
	}
	wg.Wait()
	for _, a := range answers {
		if a.status != http.StatusCreated || !bytes.Equal(a.body, answers[0].body) {
			t.Errorf("%d %s, another got %s", a.status, a.body, answers[0].body)
		}
	}
}
