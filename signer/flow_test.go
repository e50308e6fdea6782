package signer_test

import (
	"bytes"
	"io"
	"testing"

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
	rep, err := validate.PDF(w.t.Context(), bytes.NewReader(b), int64(len(b)), validate.Options{Roots: w.roots, At: w.now()})
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
