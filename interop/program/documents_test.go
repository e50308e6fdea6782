//go:build interop

package program

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// testDocuments sends documents that cannot be signed.
func (w *world) testDocuments(t *testing.T) {
	cases := []struct {
		name     string
		document []byte
		want     want
	}{
		{"not a PDF", w.bad(t, "not-a-pdf.pdf"), want{422, "not_a_pdf", false}},
		{"a JPEG", append([]byte("\xff\xd8\xff\xe0\x00\x10JFIF"), make([]byte, 5000)...), want{422, "not_a_pdf", false}},
		{"0 bytes", nil, want{422, "pdf_empty", false}},
		{"half", w.bad(t, "half.pdf"), want{422, "pdf_truncated", false}},
		{"half of a real one", half(w.sample(t, "libreoffice-writer.pdf")), want{422, "pdf_truncated", false}},
		{"encrypted by qpdf", w.encrypted(t), want{422, "pdf_encrypted", false}},
		{"encrypted by reference", w.bad(t, "encrypted-by-reference.pdf"), want{422, "pdf_encrypted", false}},
		{"xref loop", w.bad(t, "xref-loop-to-itself.pdf"), want{422, "pdf_xref_loop", false}},
		{"xref loop of two", w.bad(t, "xref-loop-of-two.pdf"), want{422, "pdf_xref_loop", false}},
		{"4 MB of [", brackets(), want{422, "pdf_too_deep", false}},
		{"decompression bomb", w.bad(t, "bomb-object-stream.pdf"), want{422, "pdf_decompression_bomb", false}},
		{"certified, no changes allowed", w.bad(t, "certified-p1.pdf"), want{422, "pdf_certified", false}},
	}
	w.nothingSigned(t, func() {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				blobs := w.blobs(t)
				resp, body := w.do(t, w.flow, http.MethodPost, "/v1/signature-requests", header("Content-Type", "application/pdf"), bytes.NewReader(c.document))
				p := refused(t, resp, body, c.want)
				if c.want.code == "pdf_encrypted" && !strings.Contains(p.Detail, "not supported yet") {
					t.Errorf("does not say that this is not supported yet: %s", p.Detail)
				}
				if resp.Header.Get("Location") != "" || w.blobs(t) != blobs {
					t.Error("something was kept")
				}
			})
		}
		t.Run("the second of two", func(t *testing.T) {
			h, b := multipartBody(t, part{"document", "a.pdf", "application/pdf", string(w.sample(t, "fpdf2.pdf"))},
				part{"document", "b.pdf", "application/pdf", string(w.bad(t, "half.pdf"))})
			resp, body := w.do(t, w.flow, http.MethodPost, "/v1/signature-requests", h, b)
			p := refused(t, resp, body, want{422, "pdf_truncated", false})
			if len(p.Issues) != 1 || p.Issues[0].Pointer != "/document/1" {
				t.Errorf("does not say which document: %s", body)
			}
		})
		t.Run("too large, declared", w.testTooLargeDeclared)
		t.Run("too large, streamed", w.testTooLargeStreamed)
	})
}

func half(b []byte) []byte { return b[:len(b)/2] }

// brackets is a PDF whose catalog holds 4 MB of "[".
func brackets() []byte {
	var b bytes.Buffer
	b.WriteString("%PDF-1.7\n")
	at := b.Len()
	b.WriteString("1 0 obj\n<</Type/Catalog/X ")
	b.Write(bytes.Repeat([]byte("["), 4<<20))
	b.WriteString(">>\nendobj\n")
	xref := b.Len()
	fmt.Fprintf(&b, "xref\n0 2\n0000000000 65535 f \n%010d 00000 n \ntrailer\n<</Size 2/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n", at, xref)
	return b.Bytes()
}

func (w *world) encrypted(t *testing.T) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "encrypted.pdf")
	cmd := exec.Command("qpdf", "--encrypt", "", "owner", "256", "--", filepath.Join(w.root, "testdata/pdf/libreoffice-writer.pdf"), out)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("qpdf: %v\n%s", err, text)
	}
	b, err := os.ReadFile(out)
	w.must(t, err)
	return b
}

// blobs counts the stored documents.
func (w *world) blobs(t testing.TB) int {
	t.Helper()
	n := 0
	w.must(t, filepath.WalkDir(filepath.Join(w.s.Dir, "front", "blobs"), func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return err
	}))
	return n
}

// testTooLargeDeclared sends the head of a request alone: the answer must come
// although not one byte of the body was sent.
func (w *world) testTooLargeDeclared(t *testing.T) {
	host := strings.TrimPrefix(w.front, "http://")
	conn, err := net.DialTimeout("tcp", host, 5*time.Second)
	w.must(t, err)
	defer func() { _ = conn.Close() }()
	w.must(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = fmt.Fprintf(conn, "POST /v1/signature-requests HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: application/pdf\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", host, w.flow.Key, int64(5<<30))
	w.must(t, err)
	began := time.Now()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	w.must(t, err)
	defer func() { _ = resp.Body.Close() }()
	var body bytes.Buffer
	_, err = body.ReadFrom(resp.Body)
	w.must(t, err)
	p := asProblem(t, resp, body.Bytes())
	if p.Status != http.StatusRequestEntityTooLarge || p.Code != "body_too_large" || *p.Retryable {
		t.Errorf("%s", body.Bytes())
	}
	if !resp.Close {
		t.Error("the connection stays open for a body that nobody reads")
	}
	t.Logf("answered after %v", time.Since(began))
}

// testTooLargeStreamed sends a body without its length: it is read up to the
// limit and no further.
func (w *world) testTooLargeStreamed(t *testing.T) {
	blobs := w.blobs(t)
	endless := &zeros{left: 1 << 30}
	resp, body := w.do(t, w.flow, http.MethodPost, "/v1/signature-requests", header("Content-Type", "application/pdf"), endless)
	p := asProblem(t, resp, body)
	if p.Status != http.StatusRequestEntityTooLarge || p.Code != "document_too_large" || *p.Retryable {
		t.Errorf("%s", body)
	}
	if sent := int64(1<<30) - endless.left; sent > maxDocument+(32<<20) { // the buffers of both sockets take some
		t.Errorf("%d bytes of 1 GiB were taken, %d are allowed", sent, maxDocument)
	}
	if w.blobs(t) != blobs {
		t.Error("something was kept")
	}
}

// zeros are bytes of no value.
type zeros struct{ left int64 }

func (z *zeros) Read(p []byte) (int, error) {
	n := min(int64(len(p)), z.left)
	z.left -= n
	if n == 0 {
		return 0, fmt.Errorf("all was sent")
	}
	return int(n), nil
}
