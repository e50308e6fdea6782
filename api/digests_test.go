package api_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"tekend/api"
)

func sum256(s string) string {
	h := sha256.Sum256([]byte(s))
	return base64.StdEncoding.EncodeToString(h[:])
}
func sum512(s string) string {
	h := sha512.Sum512([]byte(s))
	return base64.StdEncoding.EncodeToString(h[:])
}

// digestOrder is the member of one digest.
func digestOrder(of string) string {
	return fmt.Sprintf(`{"name":"contract %s.pdf","algorithm":"SHA-256","digest":%q}`, of, sum256(of))
}

// TestAnOrderOfDigests: it is taken, and everybody who reads it is told that the document is not here.
func TestAnOrderOfDigests(t *testing.T) {
	d := open(t, nil)
	var r api.SignatureRequest
	a := d.post(orders, "application/json", `{"level":"B-LT","digests":[`+digestOrder("a")+`,`+digestOrder("b")+`]}`)
	a.into(t, &r)
	if a.status != http.StatusCreated || r.Level != "B-LT" || r.Format != "pades" || r.Packaging != nil || len(r.Documents) != 2 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	doc := r.Documents[0]
	if doc.Name != "contract a.pdf" || doc.Size != nil || doc.Sha256 != nil || *doc.DigestAlgorithm != "SHA-256" ||
		base64.StdEncoding.EncodeToString(*doc.Digest) != sum256("a") || doc.Level != nil {
		t.Errorf("%s", mustJSON(doc))
	}
	_, token, _ := strings.Cut(r.SigningUrl, "/sign/")
	var p api.SigningPage
	d.get("/sign/"+token, "Accept", "application/json").into(t, &p)
	if p.Documents[1].Digest == nil || p.Documents[1].Size != nil {
		t.Errorf("%s", mustJSON(p))
	}
	page := string(d.get("/sign/" + token).body)
	h := sha256.Sum256([]byte("b"))
	for _, text := range []string{"contract b.pdf", "SHA-256", hex.EncodeToString(h[:]), "only a digest of each", "acme asks you to sign."} {
		if !strings.Contains(page, text) {
			t.Errorf("the page lacks %q", text)
		}
	}
	for _, text := range []string{"/documents/1", "0 B", "Read what it is about"} {
		if strings.Contains(page, text) {
			t.Errorf("the page has %q", text)
		}
	}
	if page := string(d.get("/sign/"+token+"?lang=nl", "Accept", "text/html").body); !strings.Contains(page, "alleen een digest van elk") {
		t.Error("not in Dutch")
	}
	d.get("/sign/"+token+"/documents/1", "Accept", "application/json").problem(t, "document_not_found", 404)
	d.get(orders+"/"+r.Id+"/documents/1").problem(t, "not_finished", 409)
	if p := d.get(orders+"/"+r.Id+"/documents/1", "Accept", "application/json").problem(t, "not_finished", 409); *p.State != "created" {
		t.Errorf("%s", mustJSON(p))
	}
	d.get(orders+"/"+r.Id+"/documents/1", "Authorization", "Bearer "+otherKey).problem(t, "not_found", 404)
}

func TestOrdersOfDigestsThatAreNotTaken(t *testing.T) {
	d := open(t, nil)
	a := digestOrder("a")
	many := make([]string, 251)
	for i := range many {
		many[i] = digestOrder(fmt.Sprint(i))
	}
	for name, c := range map[string]struct {
		body, code string
		status     int
		pointer    string
	}{
		"neither":              {`{"level":"B-T"}`, "request_invalid", 400, "/digests"},
		"both":                 {`{"digests":[` + a + `],"continues":[{"request":"sr_0","document":1}]}`, "request_invalid", 400, "/continues"},
		"none in it":           {`{"digests":[]}`, "request_invalid", 400, "/digests"},
		"251":                  {`{"digests":[` + strings.Join(many, ",") + `]}`, "request_invalid", 400, "/digests"},
		"no algorithm":         {`{"digests":[{"digest":"` + sum256("a") + `"}]}`, "request_invalid", 400, "/digests/0/algorithm"},
		"another algorithm":    {`{"digests":[{"algorithm":"MD5` + secret + `","digest":"` + sum256("a") + `"}]}`, "request_invalid", 400, "/digests/0/algorithm"},
		"SHA-1":                {`{"digests":[{"algorithm":"SHA-256","digest":"2jmj7l5rSw0yVb/vlWAYkK/YBwk="}]}`, "request_invalid", 400, "/digests/0/digest"},
		"hex":                  {`{"digests":[{"algorithm":"SHA-256","digest":"` + strings.Repeat("a0", 32) + `"}]}`, "digest_invalid", 422, "/digests/0/digest"},
		"base64url":            {`{"digests":[{"algorithm":"SHA-256","digest":"` + strings.Repeat("-", 43) + `="}]}`, "request_invalid", 400, "/digests/0/digest"},
		"longer than said":     {`{"digests":[` + a + `,{"algorithm":"SHA-256","digest":"` + sum512("b") + `"}]}`, "digest_invalid", 422, "/digests/1/digest"},
		"two algorithms":       {`{"digests":[` + a + `,{"algorithm":"SHA-512","digest":"` + sum512("b") + `"}]}`, "digest_algorithm_not_supported", 422, "/digests/1/algorithm"},
		"the same twice":       {`{"digests":[` + a + `,` + digestOrder("b") + `,` + a + `]}`, "digest_invalid", 422, "/digests/2/digest"},
		"unknown member":       {`{"digests":[{"algorithm":"SHA-256","digest":"` + sum256("a") + `","size":1}]}`, "request_invalid", 400, "/digests/0/size"},
		"B-LTA of a PDF":       {`{"level":"B-LTA","digests":[` + a + `]}`, "level_not_supported", 422, ""},
		"attached":             {`{"format":"cades","packaging":"attached","digests":[` + a + `]}`, "format_not_supported", 422, ""},
		"packaging of a PDF":   {`{"packaging":"detached","digests":[` + a + `]}`, "format_not_supported", 422, ""},
		"format unknown":       {`{"format":"xades","digests":[` + a + `]}`, "request_invalid", 400, "/format"},
		"level unknown":        {`{"level":"B-X","digests":[` + a + `]}`, "request_invalid", 400, "/level"},
		"continues nothing":    {`{"continues":[{"request":"sr_019391aa-5c1e-7b2f-a8d1-0c54a1c5b0de","document":1}]}`, "continues_unknown", 422, ""},
		"continues no request": {`{"continues":[{"request":"` + secret + `","document":1}]}`, "request_invalid", 400, "/continues/0/request"},
		"continues no number":  {`{"continues":[{"request":"sr_0","document":0}]}`, "request_invalid", 400, "/continues/0/document"},
		"exclusive in words":   {`{"exclusive":"true","digests":[` + a + `]}`, "request_invalid", 400, "/exclusive"},
		"over 256 KiB":         {`{"digests":[` + a + `]` + strings.Repeat(" ", 256<<10) + `}`, "body_too_large", 413, ""},
		"twice a member":       {`{"digests":[` + a + `],"digests":[` + a + `]}`, "json_invalid", 400, "/digests"},
	} {
		t.Run(name, func(t *testing.T) {
			d := *d
			d.t = t
			p := d.post(orders, "application/json", c.body).problem(t, c.code, c.status)
			if c.pointer == "" {
				return
			}
			if p.Issues == nil || (*p.Issues)[0].Pointer == nil || *(*p.Issues)[0].Pointer != c.pointer || (*p.Issues)[0].Reason == "" {
				t.Errorf("issues %s, want pointer %q", mustJSON(p.Issues), c.pointer)
			}
		})
	}
	d.post(orders+"?level=B-B", "application/json", `{"digests":[`+a+`]}`).problem(t, "request_invalid", 400) // would be passed over otherwise
	media, body := parts(piece{name: "request", media: "application/json", body: `{"digests":[` + a + `]}`},
		piece{name: "document", file: "a.pdf", media: "application/pdf", body: sample(t, "fpdf2.pdf")})
	p := d.post(orders, media, body).problem(t, "request_invalid", 400)
	if *(*p.Issues)[0].Pointer != "/digests" || *(*p.Issues)[0].Name != "request" {
		t.Errorf("%s", mustJSON(p))
	}
	if entries, err := os.ReadDir(d.dir + "/blobs"); err != nil || len(entries) > 1 { // the lock
		t.Errorf("%d files are left, %v", len(entries), err)
	}
}

// TestAnOrderOfDigestsIsMadeOnce: the key covers all of the order.
func TestAnOrderOfDigestsIsMadeOnce(t *testing.T) {
	d := open(t, nil)
	body := `{"format":"cades","level":"B-LTA","digests":[` + digestOrder("a") + `]}`
	first := d.post(orders, "application/json", body, keyHeader, "k")
	again := d.post(orders, "application/json", " "+body, keyHeader, "k")
	if first.status != 201 || string(first.body) != string(again.body) {
		t.Errorf("%s\n%s", first.body, again.body)
	}
	for _, other := range []string{
		`{"format":"cades","level":"B-LTA","digests":[` + digestOrder("b") + `]}`,
		`{"format":"cades","level":"B-LTA","digests":[{"algorithm":"SHA-256","digest":"` + sum256("a") + `"}]}`,
		`{"format":"cades","level":"B-LT","digests":[` + digestOrder("a") + `]}`,
		`{"level":"B-LT","digests":[` + digestOrder("a") + `]}`,
		`{"format":"cades","level":"B-LTA","digests":[` + digestOrder("a") + `,` + digestOrder("b") + `]}`,
	} {
		d.post(orders, "application/json", other, keyHeader, "k").problem(t, "idempotency_key_reused", 422)
	}
}

// TestDocumentsOfAnyType: with cades everything can be signed; a browser stores it and never shows it from here.
func TestDocumentsOfAnyType(t *testing.T) {
	d := open(t, nil)
	const text = "<script>alert(1)</script>"
	order := func(options string) (string, string) {
		return parts(piece{name: "request", media: "application/json", body: options},
			piece{name: "document", file: "page.html", media: "text/html", body: text},
			piece{name: "document", file: "data.bin", media: "application/octet-stream", body: "\x00\x01"})
	}
	media, body := order(`{"format":"cades","packaging":"attached","level":"B-LTA"}`)
	var r api.SignatureRequest
	d.post(orders, media, body).into(t, &r)
	if r.Format != "cades" || *r.Packaging != "attached" || r.Level != "B-LTA" || r.Documents[0].Name != "page.html" || *r.Documents[0].Size != int64(len(text)) {
		t.Errorf("%s", mustJSON(r))
	}
	_, token, _ := strings.Cut(r.SigningUrl, "/sign/")
	a := d.get("/sign/" + token + "/documents/1")
	if a.status != 200 || string(a.body) != text || a.header.Get("Content-Type") != "application/octet-stream" ||
		!strings.HasPrefix(a.header.Get("Content-Disposition"), "attachment;") || !strings.Contains(a.header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("%d %v %s", a.status, a.header, a.body)
	}
	page := string(d.get("/sign/" + token).body)
	if !strings.Contains(page, "/documents/1?download=1") || strings.Contains(page, `/documents/1" target`) {
		t.Error("the page does not offer the document, or offers to show it")
	}
	media, body = order(`{"format":"pades"}`)
	d.post(orders, media, body).problem(t, "unsupported_media_type", 415)
	d.post(orders+"?format=cades", "application/pdf", sample(t, "fpdf2.pdf")).into(t, &r)
	if r.Format != "cades" || *r.Packaging != "detached" {
		t.Errorf("%s", mustJSON(r))
	}
}

// TestTheNextRevisionIsHeld: of two open requests over one original the second is told to wait.
func TestTheNextRevisionIsHeld(t *testing.T) {
	d := open(t, nil)
	pdf := sample(t, "fpdf2.pdf")
	var r api.SignatureRequest
	d.post(orders+"?exclusive=true", "application/pdf", pdf).into(t, &r)
	a := d.post(orders+"?exclusive=true", "application/pdf", pdf)
	if p := a.problem(t, "revision_held", 409); !p.Retryable || a.header.Get("Retry-After") == "" {
		t.Errorf("%s %v", mustJSON(p), a.header)
	}
	d.post(orders, "application/pdf", pdf).into(t, &r) // a form that many sign
	d.post(orders+"?exclusive=true", "application/pdf", pdf, "Authorization", "Bearer "+otherKey).into(t, &r)
}

// TestDigestsThatComeLater: the order without them, and when they are refused. That they come is in the tests of tekend
// and of client, which have people who are identified.
func TestDigestsThatComeLater(t *testing.T) {
	d := open(t, nil)
	bare := `{"name":"contract.pdf","algorithm":"SHA-256"}`
	var r, again api.SignatureRequest
	body := `{"digests":[` + bare + `,{"algorithm":"SHA-256"}]}`
	d.post(orders, "application/json", body, keyHeader, "later").into(t, &r)
	d.post(orders, "application/json", body, keyHeader, "later").into(t, &again)
	doc := r.Documents[0]
	if len(r.Documents) != 2 || doc.Name != "contract.pdf" || doc.Digest != nil || *doc.DigestAlgorithm != "SHA-256" || r.SignerCertificate != nil || again.Id != r.Id {
		t.Errorf("%s", mustJSON(r))
	}
	d.post(orders, "application/json", `{"digests":[`+bare+`]}`, keyHeader, "later").problem(t, "idempotency_key_reused", 422)
	d.post(orders, "application/json", `{"digests":[`+digestOrder("a")+`,`+digestOrder("b")+`]}`, keyHeader, "later").problem(t, "idempotency_key_reused", 422)
	for name, body := range map[string]string{"first": digestOrder("a") + `,` + bare, "second": bare + `,` + digestOrder("a")} {
		p := d.post(orders, "application/json", `{"digests":[`+body+`]}`).problem(t, "digest_invalid", 422)
		if p.Issues == nil || *(*p.Issues)[0].Pointer != "/digests/1/digest" {
			t.Errorf("%s: %s", name, mustJSON(p))
		}
	}
	d.post(orders, "application/json", `{"signed_order":"a.b.c","digests":[`+bare+`]}`).problem(t, "signed_order_invalid", 422)

	_, token, _ := strings.Cut(r.SigningUrl, "/sign/")
	if page := string(d.get("/sign/" + token).body); !strings.Contains(page, "contract.pdf") || strings.Contains(page, `class="digest"`) {
		t.Error("the page shows a digest, or not the name")
	}
	at := orders + "/" + r.Id + "/digests"
	put := func(at, body string, header ...string) answer {
		return d.do(d.request(http.MethodPut, at, strings.NewReader(body), append([]string{"Content-Type", "application/json"}, header...)...))
	}
	late := func(of string) string { return `{"algorithm":"SHA-256","digest":"` + sum256(of) + `"}` }
	good := `{"digests":[` + late("a") + `,` + late("b") + `]}`
	a := put(at, good)
	if p := a.problem(t, "not_identified", 409); !p.Retryable || a.header.Get("Retry-After") == "" {
		t.Errorf("%s", mustJSON(p))
	}
	put(at, good, "Authorization", "Bearer "+otherKey).problem(t, "not_found", 404)
	put(orders+"/sr_0/digests", good).problem(t, "not_found", 404)
	put(at, `{"digests":[`+bare+`]}`).problem(t, "request_invalid", 400)
	put(at, `{"digests":[]}`).problem(t, "request_invalid", 400)
	put(at, `{}`).problem(t, "request_invalid", 400)
	put(at, `{"digests":[`+late("a")+`,`+late("a")+`]}`).problem(t, "digest_invalid", 422)
	put(at, `{"digests":[{"algorithm":"SHA-512","digest":"`+sum256("a")+`"}]}`).problem(t, "digest_invalid", 422)
	d.post(orders, "application/json", `{"digests":[`+digestOrder("a")+`]}`).into(t, &r)
	put(orders+"/"+r.Id+"/digests", `{"digests":[`+late("b")+`]}`).problem(t, "digests_not_awaited", 409)
	d.post(orders, "application/pdf", sample(t, "fpdf2.pdf")).into(t, &r)
	put(orders+"/"+r.Id+"/digests", `{"digests":[`+late("b")+`]}`).problem(t, "digests_not_awaited", 409)
}
