package signer_test

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tekend/signer"
	"tekend/store"
)

// files is an upload of named byte strings.
type files []struct {
	name string
	r    io.Reader
}

func (f *files) Next(context.Context) (string, io.Reader, error) {
	if len(*f) == 0 {
		return "", nil, io.EOF
	}
	first := (*f)[0]
	*f = (*f)[1:]
	return first.name, first.r, nil
}

func upload(pdfs ...[]byte) *files {
	var f files
	for i, p := range pdfs {
		f = append(f, struct {
			name string
			r    io.Reader
		}{fmt.Sprintf("file %d.pdf", i+1), bytes.NewReader(p)})
	}
	return &f
}

func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../testdata/pdf", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// reception is a service that can take orders: real store, no partners.
func reception(t *testing.T, change func(*signer.Config)) (*signer.Service, string) {
	t.Helper()
	dir := t.TempDir()
	st, err := store.Open(t.Context(), store.Config{DBPath: filepath.Join(dir, "front.db"), Blobs: filepath.Join(dir, "blobs"), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	cfg := signer.Config{Now: time.Now, Log: slog.New(slog.DiscardHandler), PublicURL: "https://sign.example"}
	if change != nil {
		change(&cfg)
	}
	return signer.New(cfg, signer.Dependencies{Requests: st, Claims: st, Callbacks: st, Signers: st, Blobs: st}), filepath.Join(dir, "blobs")
}

func blobs(t *testing.T, dir string) int {
	t.Helper()
	es, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(es) - 1 // the lock
}

// tiny makes a PDF of the given objects (from 1) with a classic table; extra goes into the trailer.
func tiny(extra string, objects ...string) []byte {
	var b bytes.Buffer
	b.WriteString("%PDF-1.7\n")
	at := make([]int, len(objects))
	for i, o := range objects {
		at[i] = b.Len()
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	start := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for _, n := range at {
		fmt.Fprintf(&b, "%010d 00000 n \n", n)
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, strings.ReplaceAll(extra, "SELF", fmt.Sprint(start)), start)
	return b.Bytes()
}

const (
	pages = "<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
	page  = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 100 100] >>"
)

func onePage(extra string) []byte {
	return tiny(extra, "<< /Type /Catalog /Pages 2 0 R >>", pages, page)
}

// bomb is a PDF of 70 kB whose catalog is in an object stream of 64 MiB.
func bomb() []byte {
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	_, _ = w.Write([]byte("1 0 << /Type /Catalog /Pages 2 0 R >>"))
	blank := bytes.Repeat([]byte(" "), 1<<20)
	for range 64 {
		_, _ = w.Write(blank)
	}
	_ = w.Close()
	var b bytes.Buffer
	b.WriteString("%PDF-1.7\n")
	stream := b.Len()
	fmt.Fprintf(&b, "3 0 obj\n<< /Type /ObjStm /N 1 /First 4 /Filter /FlateDecode /Length %d >>\nstream\n", z.Len())
	b.Write(z.Bytes())
	b.WriteString("\nendstream\nendobj\n")
	start := b.Len()
	fmt.Fprintf(&b, "4 0 obj\n<< /Type /XRef /W [1 4 2] /Size 5 /Root 1 0 R /Length 35 >>\nstream\n")
	for _, row := range [][3]int{{0, 0, 65535}, {2, 3, 0}, {0, 0, 0}, {1, stream, 0}, {1, start, 0}} {
		b.WriteByte(byte(row[0]))
		b.Write(binary.BigEndian.AppendUint32(nil, uint32(row[1])))
		b.Write(binary.BigEndian.AppendUint16(nil, uint16(row[2])))
	}
	fmt.Fprintf(&b, "\nendstream\nendobj\nstartxref\n%d\n%%%%EOF\n", start)
	return b.Bytes()
}

func certified() []byte {
	return tiny("",
		"<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [4 0 R] /SigFlags 3 >> /Perms << /DocMDP 5 0 R >> >>", pages,
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 100 100] /Annots [4 0 R] >>",
		"<< /Type /Annot /Subtype /Widget /FT /Sig /T (c) /V 5 0 R /Rect [0 0 0 0] /P 3 0 R >>",
		"<< /Type /Sig /Filter /Adobe.PPKLite /SubFilter /ETSI.CAdES.detached /Contents <00> /ByteRange [0 1 2 3] "+
			"/Reference [<< /Type /SigRef /TransformMethod /DocMDP /TransformParams << /Type /TransformParams /V /1.2 /P 1 >> >>] >>")
}

func TestABadDocumentIsRefusedAtOnceAndNothingIsKept(t *testing.T) {
	whole := sample(t, "pdftex-1.4-classic.pdf")
	cases := map[string]struct {
		file []byte
		code string
	}{
		"not a PDF":      {[]byte("Dear all,\nplease find attached."), "not_a_pdf"},
		"0 bytes":        {nil, "pdf_empty"},
		"truncated":      {whole[:len(whole)/2], "pdf_truncated"},
		"encrypted":      {onePage("/Encrypt << /Filter /Standard /V 2 /R 3 >>"), "pdf_encrypted"},
		"xref loop":      {onePage("/Prev SELF"), "pdf_xref_loop"},
		"4 MB of [":      {tiny("", strings.Repeat("[", 4<<20), pages, page), "pdf_too_deep"},
		"decompression":  {bomb(), "pdf_decompression_bomb"},
		"certified":      {certified(), "pdf_certified"},
		"over the limit": {make([]byte, 5<<20+1), "document_too_large"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, dir := reception(t, func(cfg *signer.Config) { cfg.MaxDocumentBytes = 5 << 20 })
			// The second of two documents, so that the first has to be dropped with it.
			_, err := s.Create(t.Context(), "acme", signer.Order{}, upload(onePage(""), c.file))
			var e *signer.Error
			if !errors.As(err, &e) || e.Code != c.code {
				t.Fatalf("error %v, want %s", err, c.code)
			}
			if strings.Contains(e.Error()+e.Hint, "file 2") {
				t.Errorf("the error names the file: %v", e)
			}
			if n := blobs(t, dir); n != 0 {
				t.Errorf("%d files are left", n)
			}
		})
	}
}

func TestOrdersThatCannotBeTaken(t *testing.T) {
	s, dir := reception(t, func(cfg *signer.Config) { cfg.MaxDocuments, cfg.MaxRequestBytes = 2, 2000 })
	good := onePage("")
	cases := map[string]struct {
		o    signer.Order
		up   *files
		want *signer.Error
	}{
		"no document":     {signer.Order{}, upload(), signer.ErrNoDocument},
		"the same twice":  {signer.Order{}, upload(good, good), signer.ErrTwice},
		"three documents": {signer.Order{}, upload(good, onePage("%\n"), onePage("%%\n")), signer.ErrManyDocuments},
		"too much":        {signer.Order{}, upload(good, append(bytes.Clone(good), make([]byte, 2000)...)), signer.ErrRequestSize},
		"level":           {signer.Order{Level: "B-X"}, upload(good), signer.ErrLevel},
		"language":        {signer.Order{Language: "fr"}, upload(good), signer.ErrLanguage},
		"reference":       {signer.Order{Reference: "a b"}, upload(good), signer.ErrReference},
		"javascript":      {signer.Order{RedirectURL: "javascript:alert(1)"}, upload(good), signer.ErrRedirect},
		"plain http":      {signer.Order{RedirectURL: "http://acme.example/"}, upload(good), signer.ErrRedirect},
		"user in URL":     {signer.Order{RedirectURL: "https://a@acme.example/"}, upload(good), signer.ErrRedirect},
		"a second":        {signer.Order{Lifetime: time.Second}, upload(good), signer.ErrLifetime},
		"a year":          {signer.Order{Lifetime: 365 * 24 * time.Hour}, upload(good), signer.ErrLifetime},
	}
	for name, c := range cases {
		if _, err := s.Create(t.Context(), "acme", c.o, c.up); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := blobs(t, dir); n != 0 {
		t.Errorf("%d files are left", n)
	}
}

func TestARequestIsSeenByItsClientAlone(t *testing.T) {
	s, _ := reception(t, nil)
	r, err := s.Create(t.Context(), "acme", signer.Order{RedirectURL: "https://acme.example/back?x=1"}, upload(onePage(""), sample(t, "fpdf2.pdf")))
	if err != nil {
		t.Fatal(err)
	}
	if r.State != signer.Created || r.Level != "B-T" || len(r.Documents) != 2 || len(r.Events) != 1 || !strings.HasPrefix(r.ID, "sr_") {
		t.Errorf("%+v", r)
	}
	if u := s.SigningURL(r); !strings.HasPrefix(u, "https://sign.example/sign/") || len(u) < 26+43 {
		t.Errorf("signing URL %s", u)
	}
	if got, err := s.Get(t.Context(), "acme", r.ID); err != nil || s.SigningURL(got) != s.SigningURL(r) {
		t.Errorf("own request: %v", err)
	}
	for _, c := range [][2]string{{"other", r.ID}, {"acme", "sr_0"}, {"", r.ID}} {
		if _, err := s.Get(t.Context(), c[0], c[1]); !errors.Is(err, signer.ErrUnknown) {
			t.Errorf("%v: %v", c, err)
		}
		if _, err := s.Wait(t.Context(), c[0], c[1], "", time.Minute); !errors.Is(err, signer.ErrUnknown) {
			t.Errorf("wait %v: %v", c, err)
		}
		if _, err := s.Document(t.Context(), c[0], c[1], 1); !errors.Is(err, signer.ErrUnknown) {
			t.Errorf("document %v: %v", c, err)
		}
	}
	if _, err := s.Document(t.Context(), "acme", r.ID, 1); !errors.Is(err, signer.ErrNotFinished) {
		t.Errorf("not finished: %v", err)
	}
	if _, err := s.Document(t.Context(), "acme", r.ID, 3); !errors.Is(err, signer.ErrDocumentAbsent) {
		t.Errorf("third document: %v", err)
	}
}

func TestThePageBeforeAnythingHappened(t *testing.T) {
	s, _ := reception(t, func(c *signer.Config) { c.Terms = signer.Terms{Version: "2026-11"} })
	file := sample(t, "fpdf2.pdf")
	r, err := s.Create(t.Context(), "acme", signer.Order{RedirectURL: "https://acme.example/back?x=1"}, upload(file))
	if err != nil {
		t.Fatal(err)
	}
	_, token, _ := strings.Cut(s.SigningURL(r), "/sign/")
	p, err := s.Page(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	if p.Step != signer.StepTerms || p.TermsVersion != "2026-11" || p.ReturnURL != "https://acme.example/back?signature_request="+r.ID+"&x=1" {
		t.Errorf("%+v", p)
	}
	c, err := s.PageDocument(t.Context(), token, 1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err := errors.Join(err, c.Close()); err != nil || !bytes.Equal(got, file) {
		t.Errorf("the document on the page: %v", err)
	}
	if err := s.AcceptTerms(t.Context(), token, "2020-01", "en"); !errors.Is(err, signer.ErrTerms) {
		t.Errorf("old terms: %v", err)
	}
	if err := s.AcceptTerms(t.Context(), token, "2026-11", "xx"); !errors.Is(err, signer.ErrLanguage) {
		t.Errorf("language: %v", err)
	}
	for range 2 { // a double click
		if err := s.Decline(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	if p, err = s.Page(t.Context(), token); err != nil || p.Step != signer.StepRefused || p.Failure.Code != "declined" {
		t.Errorf("after declining: %+v %v", p, err)
	}
	if err := s.AcceptTerms(t.Context(), token, "2026-11", "en"); !errors.Is(err, signer.ErrEnded) {
		t.Errorf("terms after the end: %v", err)
	}
	if _, err := s.Page(t.Context(), token[:42]); !errors.Is(err, signer.ErrUnknown) {
		t.Errorf("cut token: %v", err)
	}
}

func TestCallbacksThatNobodyAskedFor(t *testing.T) {
	s, _ := reception(t, nil)
	for _, c := range []struct {
		state, code, errorCode string
		want                   *signer.Error
	}{
		{"", "c", "", signer.ErrStateUnknown},
		{"s", "c", "", signer.ErrStateUnknown},
		{strings.Repeat("s", 1<<20), "c", "", signer.ErrStateUnknown},
		{"s", "", "", signer.ErrBadReply},
		{"s", "c", "access_denied", signer.ErrBadReply},
		{"s", strings.Repeat("c", 1<<20), "", signer.ErrBadReply},
	} {
		if token, err := s.Callback(t.Context(), c.state, c.code, c.errorCode); !errors.Is(err, c.want) || token != "" {
			t.Errorf("%.10q %.10q %q: %q %v", c.state, c.code, c.errorCode, token, err)
		}
	}
}

func TestWaitReturnsAtTheChangeAndNotBefore(t *testing.T) {
	s, _ := reception(t, nil)
	r, err := s.Create(t.Context(), "acme", signer.Order{}, upload(onePage("")))
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if got, err := s.Wait(t.Context(), "acme", r.ID, "", 50*time.Millisecond); err != nil || got.State != signer.Created || time.Since(began) < 50*time.Millisecond {
		t.Errorf("nothing changed: %v after %v", err, time.Since(began))
	}
	_, token, _ := strings.Cut(s.SigningURL(r), "/sign/")
	go func() {
		time.Sleep(20 * time.Millisecond)
		if err := s.Decline(context.Background(), token); err != nil {
			t.Error(err)
		}
	}()
	began = time.Now()
	got, err := s.Wait(t.Context(), "acme", r.ID, "", 30*time.Second)
	if err != nil || got.State != signer.Declined {
		t.Fatalf("%v %v", got, err)
	}
	if d := time.Since(began); d > time.Second {
		t.Errorf("the change was seen after %v: by the look every 2 s, not at once", d)
	}
}
