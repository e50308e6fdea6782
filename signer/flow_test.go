package signer_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"tekend/pdf"
	"tekend/sam"
	"tekend/signer"
	"tekend/validate"
)

// product reads a signed document and has it judged.
func (w *world) product(id string, n int) ([]byte, *validate.Report) {
	w.t.Helper()
	c, err := w.front.Document(w.t.Context(), "acme", id, n)
	w.must(err)
	b, err := io.ReadAll(c)
	w.must(err)
	w.must(c.Close())
	rep, err := validate.PDF(w.t.Context(), bytes.NewReader(b), int64(len(b)), validate.Options{Roots: w.roots, At: w.now(), NoRevocation: true})
	w.must(err)
	return b, rep
}

// released asserts that every document of a finished request is the uploaded one and validates.
func (w *world) released(r *signer.Request, bases ...[]byte) {
	w.t.Helper()
	for i, base := range bases {
		b, rep := w.product(r.ID, i+1)
		if !bytes.HasPrefix(b, base) {
			w.t.Errorf("document %d does not begin with what was uploaded", i+1)
		}
		last := rep.Signatures[len(rep.Signatures)-1]
		if last.Indication != validate.TotalPassed || last.Level != r.Level || !last.CoversWholeFile {
			w.t.Errorf("document %d: %+v", i+1, last)
		}
	}
}

func TestAPersonEnrolsAndSignsAndIsKnownNextTime(t *testing.T) {
	w := newWorld(t)
	file := sample(t, "pdftex-1.5-xref-stream.pdf")
	r, token := w.order("cust-1", file)
	if p := w.walk(token, "approve", signer.StepDone); p.Step != signer.StepDone || p.CheckCode == "" {
		t.Fatalf("%+v: %v", p, p.Failure)
	}
	r = w.wait(r.ID, signer.Finished)
	w.released(r, file)

	two := [][]byte{sample(t, "libreoffice-writer.pdf"), sample(t, "pyhanko-signed.pdf")}
	r, token = w.order("cust-1", two...)
	before := w.sam.count("PUT /v1/enrolments")
	p := w.walk(token, "approve", signer.StepConfirm)
	if p.Step != signer.StepConfirm || p.Text == "" || p.CheckCode == "" {
		t.Fatalf("%+v", p)
	}
	w.walk(token, "approve", signer.StepDone)
	w.released(w.wait(r.ID, signer.Finished), two...)
	if w.sam.count("PUT /v1/enrolments") != before {
		t.Error("a known person enrolled again")
	}
}

// TestTheMostDocumentsWithLongNames is the most that one confirmation covers.
func TestTheMostDocumentsWithLongNames(t *testing.T) {
	w := newWorld(t)
	var up files
	file := func(n int) []byte { return onePage(fmt.Sprintf("%% %d\n", n)) }
	for n := range sam.MaxDocuments + 1 {
		up = append(up, struct {
			name string
			r    io.Reader
		}{fmt.Sprintf("%03d %s.pdf", n, strings.Repeat("Überschrift ", 15)), bytes.NewReader(file(n))})
	}
	most := up[:sam.MaxDocuments:sam.MaxDocuments]
	if _, err := w.front.Create(t.Context(), "acme", signer.Order{}, &up); codeOf(err) != "too_many_documents" {
		t.Errorf("%d documents: %v", sam.MaxDocuments+1, err)
	}
	for i := range most {
		most[i].r = bytes.NewReader(file(i))
	}
	r, err := w.front.Create(t.Context(), "acme", signer.Order{Language: "nl"}, &most)
	w.must(err)
	_, token, _ := strings.Cut(w.front.SigningURL(r), "/sign/")
	w.walk(token, "approve", signer.StepDone)
	r = w.wait(r.ID, signer.Finished)
	bases := make([][]byte, sam.MaxDocuments)
	for i := range bases {
		bases[i] = file(i)
	}
	w.released(r, bases...)
	if n := len(w.uses().signed); n != sam.MaxDocuments {
		t.Errorf("%d signatures", n)
	}
}

// TestLevelBB: without a time-stamp, only when the client asks for it.
func TestLevelBB(t *testing.T) {
	w := newWorld(t)
	w.tsa.takeDown()
	file := onePage("")
	r, err := w.front.Create(t.Context(), "acme", signer.Order{Level: "B-B"}, upload(file))
	w.must(err)
	_, token, _ := strings.Cut(w.front.SigningURL(r), "/sign/")
	w.walk(token, "approve", signer.StepDone)
	w.released(w.wait(r.ID, signer.Finished), file)
}

// TestThePreparedDocumentIsWhatIsSigned: the person can read exactly the bytes that the signature covers.
func TestThePreparedDocumentIsWhatIsSigned(t *testing.T) {
	w := newWorld(t)
	r, token := w.order("", sample(t, "weasyprint.pdf"))
	w.walk(token, "approve", signer.StepConfirm)
	read := func() []byte {
		c, err := w.front.PageDocument(t.Context(), token, 1)
		w.must(err)
		b, err := io.ReadAll(c)
		w.must(err)
		w.must(c.Close())
		return b
	}
	prepared := read()
	w.walk(token, "approve", signer.StepDone)
	w.wait(r.ID, signer.Finished)
	signed, _ := w.product(r.ID, 1)
	if !bytes.Equal(signed, read()) {
		t.Error("page and client have different documents")
	}
	sigs, err := pdf.Signatures(bytes.NewReader(signed), int64(len(signed)), pdf.DefaultBudget())
	w.must(err)
	br := sigs[0].ByteRange
	if len(prepared) != len(signed) || !bytes.Equal(prepared[:br[1]], signed[:br[1]]) || !bytes.Equal(prepared[br[2]:], signed[br[2]:]) {
		t.Error("the signature covers other bytes than were shown")
	}
}
