package api_test

import (
	"bytes"
	"net/http"
	"os"
	"strings"
	"testing"

	"tekend/api"
	"tekend/pdf"
)

const previews = "/v1/signature-previews"

// preview is the body of an order of a preview.
func preview(t *testing.T, options string) (media, body string) {
	t.Helper()
	return parts(piece{name: "request", media: "application/json", body: options},
		piece{name: "document", file: "contract.pdf", media: "application/pdf", body: sample(t, "fpdf2.pdf")})
}

// TestPreview: the document with something to see, no signature, and nothing kept.
func TestPreview(t *testing.T) {
	d := open(t, nil)
	media, body := preview(t, `{"visible":{"page":1,"box":[40,40,200,60],"text":"{name} č ř ß Ω Ж"},"language":"nl","preview_name":"Zoë"}`)
	a := d.post(previews, media, body)
	base := sample(t, "fpdf2.pdf")
	if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/pdf" || !bytes.HasPrefix(a.body, []byte(base)) || len(a.body) < len(base)+500 {
		t.Fatalf("%d %v, %d bytes", a.status, a.header, len(a.body))
	}
	found, err := pdf.Signatures(bytes.NewReader(a.body), int64(len(a.body)), pdf.DefaultBudget())
	if err != nil || len(found) != 0 {
		t.Errorf("%v %v", found, err)
	}
	if again := d.post(previews, media, body); !bytes.Equal(again.body, a.body) {
		t.Error("another preview the second time")
	}
	if entries, err := os.ReadDir(d.dir + "/blobs"); err != nil || len(entries) > 1 { // the lock
		t.Errorf("%d files are left, %v", len(entries), err)
	}
	d.post(previews, media, body, "Authorization", "Bearer x").problem(t, "unauthorized", 401)
}

func TestPreviewsThatAreNotTaken(t *testing.T) {
	d := open(t, nil)
	for options, c := range map[string]struct {
		code   string
		status int
	}{
		`{"visible":{"page":9,"box":[40,40,200,60]}}`:                {"appearance_invalid", 422},
		`{"visible":{"page":1,"box":[40,40,20000,60]}}`:              {"appearance_invalid", 422},
		`{"visible":{"page":1,"box":[40,40,200,60],"text":"{bsn}"}}`: {"appearance_invalid", 422},
		`{"visible":{"page":1}}`:                                     {"appearance_invalid", 422},
		`{"visible":{}}`:                                             {"appearance_invalid", 422}, // there is no field
		`{"visible":{"page":1,"box":[40,40,200]}}`:                   {"request_invalid", 400},
		`{"visible":{"page":0,"box":[40,40,200,60]}}`:                {"appearance_invalid", 422},
		`{"visible":{"page":1,"box":[40,40,200,"60"]}}`:              {"request_invalid", 400},
		`{"visible":[{"page":1,"box":[40,40,200,60]}]}`:              {"request_invalid", 400},
		`{"visible":{"page":1,"box":[40,40,200,60]},"level":"B-T"}`:  {"request_invalid", 400},
		`{"visible":{"page":1,"box":[40,40,200,60],"text":""}}`:      {"request_invalid", 400},
		`{}`: {"request_invalid", 400},
	} {
		media, body := preview(t, options)
		if p := d.post(previews, media, body).problem(t, c.code, c.status); c.status == 422 && p.Detail == nil {
			t.Errorf("%s: nothing says what to mend", options)
		}
	}
	media, body := parts(piece{name: "document", file: "a.pdf", media: "application/pdf", body: sample(t, "fpdf2.pdf")})
	d.post(previews, media, body).problem(t, "request_invalid", 400)
}

// TestVisibleOrder: taken, and refused where it cannot be.
func TestVisibleOrder(t *testing.T) {
	d := open(t, nil)
	media, body := preview(t, `{"visible":[{"page":-1,"box":[40,40,200,60]}]}`)
	var r api.SignatureRequest
	a := d.post(orders, media, body)
	a.into(t, &r)
	if a.status != http.StatusCreated || r.State != "created" {
		t.Errorf("%d %s", a.status, a.body)
	}
	media, body = preview(t, `{"visible":[{"page":-1,"box":[40,40,200,60]}],"signed_order":"a.b.c"}`)
	d.post(orders, media, body).problem(t, "visible_with_signed_order", 422)
	media, body = preview(t, `{"format":"cades","visible":[{"page":-1,"box":[40,40,200,60]}]}`)
	d.post(orders, media, body).problem(t, "appearance_invalid", 422)
	many := strings.Repeat(`{"page":1,"box":[40,40,200,60],"text":"`+strings.Repeat("x", 400)+`"},`, 250) // as many as the contract has
	media, body = preview(t, `{"visible":[`+strings.TrimSuffix(many, ",")+`]}`)
	d.post(orders, media, body).problem(t, "appearance_invalid", 422)
	d.post(orders, "application/json", `{"visible":[{"page":1,"box":[1,1,9,9]}],"digests":[`+digestOrder("a")+`]}`).problem(t, "appearance_invalid", 422)
}
