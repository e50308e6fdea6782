package signer_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tekend/pdf"
	"tekend/signer"
	"tekend/validate"
)

var corner = [4]float64{40, 40, 200, 60}

// pageText is what pdftotext reads from a document.
func pageText(t *testing.T, doc []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "doc.pdf")
	if err := os.WriteFile(file, doc, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("pdftotext", "-raw", file, "-").CombinedOutput()
	if err != nil {
		t.Fatalf("pdftotext: %v\n%s", err, out)
	}
	return string(out)
}

// TestASignatureThatShows: the person's name as in the certificate, on the pages that were ordered, TOTAL_PASSED; and a second
// person's beside it, which the first signature permits.
func TestASignatureThatShows(t *testing.T) {
	w := newWorld(t)
	files := [][]byte{sample(t, "pdftex-1.5-xref-stream.pdf"), sample(t, "libreoffice-tagged-pdfa2b.pdf")}
	r, token := w.ordered(signer.Order{Reference: "visible-1", Language: "nl", Visible: []signer.Visible{
		{Page: 1, Box: corner}, {Page: -1, Box: corner, Text: "č ř ß Ω Ж: {name}, {date}"},
	}}, upload(files...))
	w.finish(r, token, "diacritics")
	r = w.wait(r.ID, signer.Finished)
	w.released(r, files...)
	for i, want := range [][]string{{"Ondertekend door", "Dvořák", "SANDBOX"}, {"č ř ß Ω Ж:", "Dvořák", "T", "Z"}} {
		b, _ := w.product(r.ID, i+1)
		text := pageText(t, b)
		for _, s := range want {
			if !strings.Contains(text, s) {
				t.Errorf("document %d lacks %q:\n%s", i+1, s, text)
			}
		}
	}
	one, _ := w.product(r.ID, 1)
	r2, token := w.ordered(signer.Order{
		Reference: "visible-2", Continues: []signer.Continued{{Request: r.ID, Document: 1}},
		Visible: []signer.Visible{{Page: 1, Box: [4]float64{40, 120, 200, 60}}},
	}, nil)
	w.finish(r2, token, "approve")
	r2 = w.wait(r2.ID, signer.Finished)
	two, rep := w.product(r2.ID, 1)
	if len(rep.Signatures) != 2 || rep.Signatures[0].Indication != validate.TotalPassed || rep.Signatures[0].Changes != pdf.ChangesFormFilling.String() {
		t.Errorf("%+v", rep.Signatures)
	}
	if text := pageText(t, two); !bytes.HasPrefix(two, one) || !strings.Contains(text, "Signed by") || !strings.Contains(text, "Ondertekend door") {
		t.Errorf("text: %s", text)
	}
}

func TestAppearancesThatCannotBeOrdered(t *testing.T) {
	s, dir := reception(t, nil)
	file, page := sample(t, "pdftex-1.4-classic.pdf"), signer.Visible{Page: 1, Box: corner}
	text := func(s string) []signer.Visible { return []signer.Visible{{Page: 1, Box: corner, Text: s}} }
	for name, c := range map[string]struct {
		o    signer.Order
		want *signer.Error
		says string
	}{
		"cades":              {signer.Order{Format: signer.CAdES, Visible: []signer.Visible{page}}, signer.ErrAppearance, "PDF that is here"},
		"signed order":       {signer.Order{SignedOrder: "a.b.c", Visible: []signer.Visible{page}}, signer.ErrVisibleOrder, ""},
		"two for one":        {signer.Order{Visible: []signer.Visible{page, page}}, signer.ErrAppearance, "as many as documents"},
		"no such page":       {signer.Order{Visible: []signer.Visible{{Page: 4000, Box: corner}}}, signer.ErrAppearance, "no page 4000"},
		"outside":            {signer.Order{Visible: []signer.Visible{{Page: 1, Box: [4]float64{500, 1, 400, 50}}}}, signer.ErrAppearance, "not inside"},
		"too small for most": {signer.Order{Visible: []signer.Visible{{Page: 1, Box: [4]float64{1, 1, 40, 12}}}}, signer.ErrAppearance, "too small"},
		"no prepared field":  {signer.Order{Visible: []signer.Visible{{}}}, signer.ErrAppearance, "page and box are needed"},
		"placeholder":        {signer.Order{Visible: text("{reason}")}, signer.ErrAppearance, "{name} and {date}"},
		"three names":        {signer.Order{Visible: text("{name}{name}{name}")}, signer.ErrAppearance, "{name} and {date}"},
		"letters":            {signer.Order{Visible: text("中 {name}")}, signer.ErrAppearance, "1 different character"},
		"long":               {signer.Order{Visible: text(strings.Repeat("x", 501))}, signer.ErrAppearance, "too long"},
	} {
		_, err := s.Create(t.Context(), "acme", c.o, upload(file))
		if own, ok := errors.AsType[*signer.Error](err); !ok || own.Code != c.want.Code || !strings.Contains(own.Detail, c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if left := blobs(t, dir); left != 0 {
		t.Errorf("%d documents of refused orders are kept", left)
	}
}

// TestPreviewKeepsNothing: the document with its appearance and no signature, and after it the store is as before.
func TestPreviewKeepsNothing(t *testing.T) {
	s, dir := reception(t, nil)
	file := sample(t, "pdftex-1.4-classic.pdf")
	o := signer.Order{Visible: []signer.Visible{{Page: 1, Box: corner}}}
	var first []byte
	for range 2 {
		c, err := s.Preview(t.Context(), "acme", o, "Ω Ж {date}", upload(file))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(c)
		if err = errors.Join(err, c.Close()); err != nil || int64(len(b)) != c.Size || !bytes.HasPrefix(b, file) {
			t.Fatal(len(b), err)
		}
		if first != nil && !bytes.Equal(first, b) {
			t.Error("another preview the second time")
		}
		first = b
	}
	found, err := pdf.Signatures(bytes.NewReader(first), int64(len(first)), pdf.DefaultBudget())
	if err != nil || len(found) != 0 {
		t.Errorf("%v %v", found, err)
	}
	if text := pageText(t, first); !strings.Contains(text, "Signed by Ω Ж {date}\n2000-01-01T00:00:00Z") {
		t.Errorf("text: %s", text)
	}
	for name, up := range map[string]signer.Upload{"two": upload(file, file), "none": upload()} {
		if c, err := s.Preview(t.Context(), "acme", o, "", up); err == nil {
			_ = c.Close()
			t.Errorf("%s documents", name)
		}
	}
	if left := blobs(t, dir); left != 0 {
		t.Errorf("%d documents of previews are kept", left)
	}
}
