package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tekend/api"
)

func TestAnOrderInPartsAndTheSameAsOneBody(t *testing.T) {
	d := open(t, nil)
	pdf := sample(t, "fpdf2.pdf")
	media, body := parts(
		piece{name: "request", media: "application/json", body: `{"level":"B-T","language":"nl","signer":{"reference":"cust-1"},"redirect_url":"https://acme.example/back?x=1","expires_in":"PT2H30M"}`},
		piece{name: "document", file: "één.pdf", media: "application/pdf", body: pdf},
		piece{name: "document", file: "two.pdf", media: "application/pdf", body: sample(t, "pdftex-1.4-classic.pdf")})
	a := d.post(orders, media, body)
	var r api.SignatureRequest
	a.into(t, &r)
	if a.status != http.StatusCreated || a.header.Get("Location") != orders+"/"+r.Id {
		t.Errorf("%d Location %q", a.status, a.header.Get("Location"))
	}
	if r.State != "created" || r.Level != "B-T" || r.Language != "nl" || *r.Signer.Reference != "cust-1" || *r.RedirectUrl != "https://acme.example/back?x=1" ||
		len(r.Documents) != 2 || r.Documents[0].Name != "één.pdf" || r.Documents[1].N != 2 || *r.Documents[0].Size != int64(len(pdf)) ||
		len(r.Events) != 1 || r.Events[0].Type != "signature_request.created" {
		t.Errorf("%+v", r)
	}
	if life := r.ExpiresAt.Sub(r.CreatedAt); life != 150*time.Minute {
		t.Errorf("lives %v", life)
	}
	var same api.SignatureRequest
	d.get(orders+"/"+r.Id).into(t, &same)
	if same.Id != r.Id || same.SigningUrl != r.SigningUrl {
		t.Errorf("read again: %+v", same)
	}

	raw := d.post(orders+"?level=B-B&language=nl&signer_reference=cust-2&redirect_url=https%3A%2F%2Facme.example%2F&expires_in=P1D", "application/pdf", pdf,
		"Content-Disposition", `attachment; filename="x.pdf"; filename*=UTF-8''%E2%82%ACuro.pdf`)
	raw.into(t, &r)
	if r.Level != "B-B" || r.Language != "nl" || *r.Signer.Reference != "cust-2" || r.ExpiresAt.Sub(r.CreatedAt) != 24*time.Hour || r.Documents[0].Name != "€uro.pdf" {
		t.Errorf("%+v", r)
	}
	r = api.SignatureRequest{}
	d.post(orders, "Application/PDF", pdf).into(t, &r)
	if r.Documents[0].Name != "document-1.pdf" || r.Level != "B-T" || r.Language != "en" || r.Signer != nil {
		t.Errorf("%+v", r)
	}
}

func TestBadOrders(t *testing.T) {
	d := open(t, func(s *setup) { s.signer.MaxDocuments = 2 })
	good := piece{name: "document", file: secret + ".pdf", media: "application/pdf", body: sample(t, "fpdf2.pdf")}
	ask := func(body string) piece { return piece{name: "request", media: "application/json", body: body} }
	bad := func(body string) piece {
		return piece{name: "document", file: secret + ".pdf", media: "application/pdf", body: body}
	}
	whole := good.body
	other := func(name string) piece {
		return piece{name: "document", file: name, media: "application/pdf", body: sample(t, name)}
	}
	for name, c := range map[string]struct {
		parts   []piece
		code    string
		status  int
		name    string // of the issue
		pointer string
	}{
		"not a PDF":                   {[]piece{good, bad("Dear all, " + secret)}, "not_a_pdf", 422, "document", "/document/1"},
		"empty":                       {[]piece{bad("")}, "pdf_empty", 422, "document", "/document/0"},
		"truncated":                   {[]piece{bad(whole[:len(whole)/2])}, "pdf_truncated", 422, "document", "/document/0"},
		"no document":                 {[]piece{ask(`{}`)}, "no_documents", 422, "", ""},
		"no part at all":              {nil, "body_incomplete", 400, "", ""},
		"three documents":             {[]piece{good, other("cairo-librsvg.pdf"), other("weasyprint.pdf")}, "too_many_documents", 422, "document", "/document/2"},
		"a document twice":            {[]piece{good, good}, "document_twice", 422, "document", "/document/1"},
		"document of another type":    {[]piece{{name: "document", file: "a.txt", media: "text/plain", body: whole}}, "unsupported_media_type", 415, "document", ""},
		"document without a type":     {[]piece{{name: "document", file: "a.pdf", body: whole}}, "unsupported_media_type", 415, "document", ""},
		"request of another type":     {[]piece{{name: "request", media: "text/plain", body: `{}`}, good}, "unsupported_media_type", 415, "request", ""},
		"request comes last":          {[]piece{good, ask(`{}`)}, "request_invalid", 400, "request", ""},
		"request twice":               {[]piece{ask(`{}`), ask(`{}`), good}, "request_invalid", 400, "request", ""},
		"a part of another name":      {[]piece{{name: "file", file: "a.pdf", media: "application/pdf", body: whole}}, "request_invalid", 400, "file", ""},
		"duplicate member":            {[]piece{ask(`{"level":"B-T","level":"B-B"}`), good}, "json_invalid", 400, "request", "/level"},
		"case variant of a member":    {[]piece{ask(`{"Level":"B-T"}`), good}, "request_invalid", 400, "request", "/Level"},
		"case variants of each other": {[]piece{ask(`{"level":"B-T","LEVEL":"B-B"}`), good}, "json_invalid", 400, "request", "/LEVEL"},
		"case variant deep":           {[]piece{ask(`{"signer":{"reference":"a","Reference":"b"}}`), good}, "json_invalid", 400, "request", "/signer/Reference"},
		"unknown member":              {[]piece{ask(`{"levels":"B-T"}`), good}, "request_invalid", 400, "request", "/levels"},
		"trailing bytes":              {[]piece{ask(`{} {"level":"` + secret + `"}`), good}, "json_invalid", 400, "request", ""},
		"not JSON":                    {[]piece{ask(secret), good}, "json_invalid", 400, "request", ""},
		"not an object":               {[]piece{ask(`["` + secret + `"]`), good}, "request_invalid", 400, "request", ""},
		"null":                        {[]piece{ask(`null`), good}, "request_invalid", 400, "request", ""},
		"too deep":                    {[]piece{ask(`{"signer":` + strings.Repeat(`{"reference":`, 40) + `1` + strings.Repeat("}", 41)), good}, "json_invalid", 400, "request", "/signer" + strings.Repeat("/reference", 32)[:193]},
		"4 MB of [":                   {[]piece{ask(strings.Repeat("[", 4<<20)), good}, "json_invalid", 400, "request", ""},
		"over 256 KiB":                {[]piece{ask(`{"level":"B-T"` + strings.Repeat(" ", 256<<10) + `}`), good}, "json_invalid", 400, "request", ""},
		"the longest signed order":    {[]piece{ask(`{"signed_order":"a.` + strings.Repeat("b", 64<<10-4) + `.c"}`), good}, "signed_order_invalid", 422, "", ""}, // read, that is
		"wrong type of value":         {[]piece{ask(`{"level":{"` + secret + `":1}}`), good}, "request_invalid", 400, "request", "/level"},
		"level unknown":               {[]piece{ask(`{"level":"` + secret + `"}`), good}, "request_invalid", 400, "request", "/level"},
		"language unknown":            {[]piece{ask(`{"language":"` + secret + `"}`), good}, "request_invalid", 400, "request", "/language"},
		"reference with a blank":      {[]piece{ask(`{"signer":{"reference":"` + secret + ` x"}}`), good}, "request_invalid", 400, "request", "/signer/reference"},
		"life of a second":            {[]piece{ask(`{"expires_in":"PT1S"}`), good}, "lifetime_invalid", 422, "", ""},
		"life of nothing":             {[]piece{ask(`{"expires_in":"P"}`), good}, "lifetime_invalid", 422, "", ""},
		"life in words":               {[]piece{ask(`{"expires_in":"` + secret + `"}`), good}, "request_invalid", 400, "request", "/expires_in"},
		"redirect to a script":        {[]piece{ask(`{"redirect_url":"javascript:alert('` + secret + `')"}`), good}, "redirect_url_invalid", 422, "", ""},
		"redirect with credentials":   {[]piece{ask(`{"redirect_url":"https://u:` + secret + `@acme.example/"}`), good}, "redirect_url_invalid", 422, "", ""},
		"redirect by plain http":      {[]piece{ask(`{"redirect_url":"http://acme.example/` + secret + `"}`), good}, "redirect_url_invalid", 422, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			media, body := parts(c.parts...)
			d := *d
			d.t = t
			p := d.post(orders, media, body).problem(t, c.code, c.status)
			if c.name == "" && p.Issues != nil {
				t.Errorf("unexpected issues %+v", *p.Issues)
			}
			if c.name != "" {
				if p.Issues == nil || (*p.Issues)[0].Name == nil || *(*p.Issues)[0].Name != c.name || (*p.Issues)[0].Reason == "" {
					t.Fatalf("issues %s", mustJSON(p.Issues))
				}
				if got := (*p.Issues)[0].Pointer; (got == nil) != (c.pointer == "") || got != nil && *got != c.pointer {
					t.Errorf("issues %s, want pointer %q", mustJSON(p.Issues), c.pointer)
				}
			}
		})
	}
	if entries, err := os.ReadDir(d.dir + "/blobs"); err != nil || len(entries) > 1 { // the lock
		t.Errorf("%d files are left, %v", len(entries), err)
	}
}

func mustJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func TestTheQueryOfAnOrder(t *testing.T) {
	d := open(t, nil)
	pdf := sample(t, "fpdf2.pdf")
	for query, name := range map[string]string{
		"level=" + secret:                    "level",
		"level=B-T&level=B-B":                "level",
		"expire_in=PT1H":                     "expire_in",
		"signer_reference=" + secret + "%20": "signer_reference",
		"expires_in=PT1H" + secret:           "expires_in",
	} {
		p := d.post(orders+"?"+query, "application/pdf", pdf).problem(t, "request_invalid", 400)
		if p.Issues == nil || (*p.Issues)[0].In != api.Query || *(*p.Issues)[0].Name != name {
			t.Errorf("%s: %s", query, mustJSON(p.Issues))
		}
	}
	d.post(orders+"?level=%zz", "application/pdf", pdf).problem(t, "request_invalid", 400)
	media, body := parts(piece{name: "document", file: "a.pdf", media: "application/pdf", body: pdf})
	d.post(orders+"?level=B-B", media, body).problem(t, "request_invalid", 400) // would be passed over otherwise
}

func TestPlainHTTPRedirectsAreForTheSandbox(t *testing.T) {
	const options = `{"redirect_url":"http://127.0.0.1:8080/back"}`
	open(t, nil).order(options)
	d := open(t, func(s *setup) { s.api.Sandbox = false })
	media, body := parts(piece{name: "request", media: "application/json", body: options},
		piece{name: "document", file: "a.pdf", media: "application/pdf", body: sample(t, "fpdf2.pdf")})
	d.post(orders, media, body).problem(t, "redirect_url_invalid", 422)
}

func TestTypesThatAreNotTaken(t *testing.T) {
	d := open(t, nil)
	pdf := sample(t, "fpdf2.pdf")
	for _, media := range []string{"", "text/plain", "application/octet-stream", "application/pdfx", "multipart/mixed; boundary=x", "application/pdf; =", ";"} {
		a := d.post(orders, media, pdf)
		p := a.problem(t, "unsupported_media_type", 415)
		if *(*p.Issues)[0].Name != "Content-Type" || a.header.Get("Accept") != "application/json, application/pdf, multipart/form-data" {
			t.Errorf("%q: %s %q", media, a.body, a.header.Get("Accept"))
		}
	}
	d.post(orders, "application/pdf", pdf, "Content-Encoding", "gzip").problem(t, "unsupported_media_type", 415)
	req := d.request(http.MethodPost, orders, strings.NewReader(pdf))
	req.Header["Content-Type"] = []string{"application/pdf", "multipart/form-data"}
	d.do(req).problem(t, "unsupported_media_type", 415)

	d.post(orders, "multipart/form-data", pdf).problem(t, "multipart_invalid", 400) // no boundary
	d.post(orders, "multipart/form-data; boundary=x", secret).problem(t, "body_incomplete", 400)
	// The last boundary is missing: this is not the whole order.
	media, body := parts(piece{name: "document", file: "a.pdf", media: "application/pdf", body: pdf}, piece{name: "document", file: "b.pdf", media: "application/pdf", body: sample(t, "cairo-librsvg.pdf")})
	end := strings.LastIndex(body, "\r\n--")
	for _, cut := range []string{body[:end], body[:end-100]} {
		if p := d.post(orders, media, cut).problem(t, "body_incomplete", 400); p.Issues != nil {
			t.Errorf("issues %s", mustJSON(p))
		}
	}
	d.post(orders, media, body[:strings.LastIndex(body[:end], "%PDF")-3]).problem(t, "multipart_invalid", 400) // in a head
	d.post(orders, "multipart/form-data; boundary=x", "--x\r\n"+secret+"\r\n\r\n\r\n--x--").problem(t, "multipart_invalid", 400)
	d.post(orders, "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"document\"; filename=a.pdf\r\n"+
		"Content-Type: application/pdf\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"+pdf+"\r\n--x--").problem(t, "multipart_invalid", 400)
}

// TestTooLargeIsToldBeforeItIsRead asks for permission to send 1 TB and gets the answer instead.
func TestTooLargeIsToldBeforeItIsRead(t *testing.T) {
	d := open(t, nil)
	for _, media := range []string{"application/pdf", "multipart/form-data; boundary=x"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n",
			orders, acmeKey, media, int64(1)<<40); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode == http.StatusContinue || !resp.Close {
			t.Errorf("status %d, close %v", resp.StatusCode, resp.Close)
		}
		answer{resp.StatusCode, resp.Header, body}.problem(t, "body_too_large", 413)
	}
}

// endless is a body of n bytes that begins like a PDF.
type endless struct{ n int64 }

func (e *endless) Read(p []byte) (int, error) {
	if e.n == 0 {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), e.n)]
	for i := range p {
		p[i] = '%'
	}
	e.n -= int64(len(p))
	return len(p), nil
}

func TestTooLargeIsNoticedWhileItStreams(t *testing.T) {
	d := open(t, func(s *setup) { s.api.MaxUploadBytes = 1 << 20; s.signer.MaxDocumentBytes = 600 << 10 })
	chunked := func(n int64) answer {
		req := d.request(http.MethodPost, orders, &endless{n}, "Content-Type", "application/pdf")
		req.ContentLength = -1
		return d.do(req)
	}
	chunked(700<<10).problem(t, "document_too_large", 413)
	d2 := open(t, func(s *setup) { s.api.MaxUploadBytes = 1 << 20 })
	req := d2.request(http.MethodPost, orders, &endless{1<<20 + 1}, "Content-Type", "application/pdf")
	req.ContentLength = -1
	d2.do(req).problem(t, "request_too_large", 413)
	for _, d := range []*desk{d, d2} {
		if entries, err := os.ReadDir(d.dir + "/blobs"); err != nil || len(entries) > 1 {
			t.Errorf("%d files are left, %v", len(entries), err)
		}
	}
}

// TestALimitIsSaidOnce: who raises the signer's limit has raised the one of the body.
func TestALimitIsSaidOnce(t *testing.T) {
	for limit, code := range map[int64]string{3 << 20: "not_a_pdf", 1 << 20: "body_too_large"} {
		d := open(t, func(s *setup) { s.signer.MaxRequestBytes = limit })
		req := d.request(http.MethodPost, orders, &endless{5 << 19}, "Content-Type", "application/pdf")
		req.ContentLength = 5 << 19
		status := 413
		if code == "not_a_pdf" {
			status = 422
		}
		d.do(req).problem(t, code, status)
	}
	d := open(t, func(s *setup) { s.signer.MaxDocumentBytes = 5 << 30 })
	if got := d.dep.Signer.MaxRequestBytes(); got != 5<<30 {
		t.Errorf("a request takes %d bytes, less than a document", got)
	}
}

// TestAnUploadIsNotHeldInMemory sends 200 MB both ways and watches the heap of this process, which is client and server.
func TestAnUploadIsNotHeldInMemory(t *testing.T) {
	d := open(t, nil)
	const size = 200 << 20
	stop, peak := watchHeap()
	req := d.request(http.MethodPost, orders, &endless{size}, "Content-Type", "application/pdf")
	req.ContentLength = size
	d.do(req).problem(t, "not_a_pdf", 422)

	media, frame := parts(piece{name: "document", file: "a.pdf", media: "application/pdf", body: "HERE"})
	before, after, _ := strings.Cut(frame, "HERE")
	req = d.request(http.MethodPost, orders, io.MultiReader(strings.NewReader(before), &endless{size}, strings.NewReader(after)), "Content-Type", media)
	d.do(req).problem(t, "not_a_pdf", 422)
	stop()
	t.Logf("heap grew by at most %d MiB while 2 × %d MiB were uploaded", peak.Load()>>20, size>>20)
	if peak.Load() > 24<<20 {
		t.Errorf("the heap grew by %d MiB", peak.Load()>>20)
	}
}

// watchHeap samples the live heap until stop is called; peak is the growth in bytes.
func watchHeap() (stop func(), peak *atomic.Int64) {
	peak = &atomic.Int64{}
	read := func() int64 {
		s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(s)
		return int64(s[0].Value.Uint64())
	}
	base := read()
	done, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		for {
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
				peak.Store(max(peak.Load(), read()-base))
			}
		}
	}()
	return func() { close(done); <-over }, peak
}

func TestABodyThatEndsEarlyOrHangs(t *testing.T) {
	d := open(t, func(s *setup) { s.api.IdleTimeout = 300 * time.Millisecond })
	for name, hang := range map[string]bool{"ends": false, "hangs": true} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/pdf\r\nContent-Length: 1000\r\n\r\n%%PDF-1.7 ", orders, acmeKey); err != nil {
			t.Fatal(err)
		}
		if !hang {
			_ = conn.(*net.TCPConn).CloseWrite()
		}
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		body, _ := io.ReadAll(resp.Body)
		p := answer{resp.StatusCode, resp.Header, body}.problem(t, "body_incomplete", 400)
		if !p.Retryable {
			t.Errorf("%s: %s", name, body)
		}
	}
}

// TestASlowUploadMayTakeLongerThanTheServersTimeouts drips a document over a second through a server whose own limits
// are 250 ms.
func TestASlowUploadMayTakeLongerThanTheServersTimeouts(t *testing.T) {
	d := open(t, func(s *setup) {
		s.server.ReadTimeout, s.server.WriteTimeout = 250*time.Millisecond, 250*time.Millisecond
	})
	pr, pw := io.Pipe()
	pdf := []byte(sample(t, "fpdf2.pdf"))
	go func() {
		const pieces = 10
		for i := range pieces {
			_, _ = pw.Write(pdf[len(pdf)*i/pieces : len(pdf)*(i+1)/pieces])
			time.Sleep(100 * time.Millisecond)
		}
		_ = pw.Close()
	}()
	a := d.do(d.request(http.MethodPost, orders, pr, "Content-Type", "application/pdf"))
	if a.status != http.StatusCreated {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestKeysAndOtherClients(t *testing.T) {
	d := open(t, nil)
	r, _ := d.order(`{}`)
	at := orders + "/" + r.Id
	for name, values := range map[string][]string{
		"none": nil, "wrong": {"Bearer " + acmeKey + "x"}, "empty": {"Bearer "}, "basic": {"Basic " + acmeKey}, "bare": {acmeKey},
		"two": {"Bearer " + acmeKey, "Bearer " + otherKey}, "long": {"Bearer " + strings.Repeat("x", 10000)},
	} {
		for _, path := range []string{at, at + "/documents/1", orders + "/" + secret} {
			req := d.request(http.MethodGet, path, nil)
			req.Header["Authorization"] = values
			a := d.do(req)
			a.problem(t, "unauthorized", 401)
			if !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer ") {
				t.Errorf("%s: WWW-Authenticate %q", name, a.header.Get("WWW-Authenticate"))
			}
		}
	}
	for _, key := range []string{"Bearer ", "bearer ", "BEARER  "} {
		if a := d.get(at, "Authorization", key+acmeKey); a.status != 200 {
			t.Errorf("%s: %d", key, a.status)
		}
	}
	// Another client's, an unknown and an impossible id are one and the same.
	var details []string
	for _, a := range []answer{
		d.get(at, "Authorization", "Bearer "+otherKey), d.get(at+"?wait=1s", "Authorization", "Bearer "+otherKey), d.get(at+"/documents/1", "Authorization", "Bearer "+otherKey),
		d.get(orders + "/sr_00000000-0000-7000-8000-000000000000"), d.get(orders + "/" + secret), d.get(orders + "/sr_" + strings.Repeat("0", 10000)),
	} {
		details = append(details, *a.problem(t, "not_found", 404).Detail)
	}
	for _, text := range details {
		if text != details[0] {
			t.Errorf("answers differ: %q", details)
		}
	}
	for _, n := range []string{"0", "-1", "2", "01", "1e0", "x", "99999999999999999999"} {
		d.get(at+"/documents/"+n).problem(t, "document_not_found", 404)
	}
	p := d.get(at+"/documents/1").problem(t, "not_finished", 409)
	if p.State == nil || *p.State != "created" {
		t.Errorf("state %s", mustJSON(p))
	}
}

func TestLongPollOutlivesTheServersTimeoutsAndSeesTheChange(t *testing.T) {
	d := open(t, func(s *setup) {
		s.server.ReadTimeout, s.server.WriteTimeout = 200*time.Millisecond, 200*time.Millisecond
	})
	r, token := d.order(`{}`)
	began := time.Now()
	var got api.SignatureRequest
	d.get(orders+"/"+r.Id+"?wait=1s").into(t, &got)
	if took := time.Since(began); took < 900*time.Millisecond || got.State != "created" {
		t.Errorf("%v after %v", got.State, took)
	}
	go func() {
		time.Sleep(50 * time.Millisecond)
		if err := d.dep.Signer.Decline(t.Context(), token); err != nil {
			t.Error(err)
		}
	}()
	d.get(orders+"/"+r.Id+"?wait=60s").into(t, &got)
	if got.State != "declined" || got.Problem == nil || got.Problem.Code != "declined" {
		t.Errorf("%s", mustJSON(got))
	}
	for _, wait := range []string{"0s", "61s", "1m", "1", "-1s", "1s" + secret, ""} {
		d.get(orders+"/"+r.Id+"?wait="+wait).problem(t, "request_invalid", 400)
	}
	d.get(orders+"/"+r.Id+"?wait=1s&wait=2s").problem(t, "request_invalid", 400)
}

func TestADownloadHasItsNameAndItsLength(t *testing.T) {
	d := open(t, nil)
	pdf := sample(t, "fpdf2.pdf")
	for name, want := range map[string][2]string{
		"contract.pdf":         {`filename="contract.pdf"`, "contract.pdf"},
		"Überweisung & co.PDF": {`filename="_berweisung & co.PDF"`, "Überweisung & co.PDF"},
		`a"b\c;%41.exe`:        {`filename="c;_41.exe.pdf"`, "c;%41.exe.pdf"},
	} {
		media, body := parts(piece{name: "document", file: name, media: "application/pdf", body: pdf})
		var r api.SignatureRequest
		d.post(orders, media, body).into(t, &r)
		_, token, _ := strings.Cut(r.SigningUrl, "/sign/")
		for query, kind := range map[string]string{"": "inline", "?download=0": "inline", "?download=1": "attachment"} {
			a := d.get("/sign/"+token+"/documents/1"+query, "Range", "bytes=0-9")
			if a.status != 200 || string(a.body) != pdf || a.header.Get("Content-Type") != "application/pdf" || a.header.Get("Content-Length") != strconv.Itoa(len(pdf)) ||
				a.header.Get("Accept-Ranges") != "none" || a.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%d %v, %d bytes", a.status, a.header, len(a.body))
			}
			got, params, err := mime.ParseMediaType(a.header.Get("Content-Disposition"))
			if err != nil || got != kind || params["filename"] != want[1] || !strings.Contains(a.header.Get("Content-Disposition"), want[0]) {
				t.Errorf("%s: %s (%v)", name, a.header.Get("Content-Disposition"), err)
			}
		}
		d.get("/sign/"+token+"/documents/1?download="+secret, "Accept", "application/json").problem(t, "request_invalid", 400)
		d.get("/sign/"+token+"/documents/2", "Accept", "application/json").problem(t, "document_not_found", 404)
	}
}

func TestADamagedStoreShowsNothingOfItself(t *testing.T) {
	d := open(t, nil)
	r, token := d.order(`{}`)
	if err := d.store.Close(); err != nil {
		t.Fatal(err)
	}
	p := d.get(orders+"/"+r.Id).problem(t, "internal", 500)
	if strings.Contains(mustJSON(p), "sql") || p.Detail == nil || p.Hint == nil {
		t.Errorf("%s", mustJSON(p))
	}
	if a := d.get("/sign/" + token); a.status != 500 || !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") || !bytes.Contains(a.body, []byte(a.header.Get("Request-Id"))) {
		t.Errorf("%d %s", a.status, a.body)
	}
	if !strings.Contains(d.log.String(), "database is closed") {
		t.Errorf("the log does not say why:\n%s", d.log.String())
	}
}

// See the end of problem.go's fail; package wire has the same test with a real connection.
func TestAConnectionWhoseRequestsAreCancelledIsClosed(t *testing.T) {
	var s *setup
	d := open(t, func(x *setup) { s = x })
	r, _ := d.order(`{}`)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	s.server.Handler.ServeHTTP(w, d.request(http.MethodGet, orders+"/"+r.Id, nil).WithContext(ctx))
	if w.Code != http.StatusInternalServerError || w.Header().Get("Connection") != "close" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestAddressesAndMethodsThatDoNotExist(t *testing.T) {
	d := open(t, nil)
	for _, path := range []string{"/", "/v2/x", "/v1/signature-requests/", "/sign", "/sign/", "/SIGN/x", "/" + secret, "/assets/../api.go", "/assets/secret.css", "/assets/page.html", "/pki/ca/root.pem"} {
		a := d.get(path, "Accept", "application/json")
		if a.status != 404 {
			t.Errorf("%s: %d", path, a.status)
		}
		a.problem(t, "not_found", 404)
	}
	for _, c := range [][2]string{{http.MethodDelete, orders}, {http.MethodPut, "/health"}, {http.MethodPost, "/itsme/callback"}, {http.MethodGet, "/tsa"}, {"BREW", "/health"}} {
		a := d.do(d.request(c[0], c[1], nil))
		a.problem(t, "method_not_allowed", 405)
		if a.header.Get("Allow") == "" {
			t.Errorf("%v: no Allow", c)
		}
	}
}
