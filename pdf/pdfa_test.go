package pdf_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"tekend/pdf"
)

// TestPDFA1FieldHasAnAppearance: the field that we add has an appearance where PDF/A-1 wants one (ISO 19005-1, 6.9), and
// elsewhere none. That veraPDF agrees is shown in interop/matrix.
func TestPDFA1FieldHasAnAppearance(t *testing.T) {
	for xmp, want := range map[string]bool{
		"<pdfaid:part>1</pdfaid:part>": true, `<x pdfaid:part="1"/>`: true, "<x pdfaid:part = '1'/>": true,
		"<pdfaid:part>2</pdfaid:part>": false, "<pdfaid:part>11</pdfaid:part>": false, "": false,
	} {
		var b bytes.Buffer
		var offsets []int
		b.WriteString("%PDF-1.4\n")
		for i, body := range []string{
			"<</Type/Catalog/Pages 2 0 R/Metadata 4 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>", "<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>",
			fmt.Sprintf("<</Type/Metadata/Subtype/XML/Length %d>>\nstream\n%s\nendstream", len(xmp), xmp),
		} {
			offsets = append(offsets, b.Len())
			fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, body)
		}
		at := b.Len()
		b.WriteString("xref\n0 5\n0000000000 65535 f \n")
		for _, o := range offsets {
			fmt.Fprintf(&b, "%010d 00000 n \n", o)
		}
		fmt.Fprintf(&b, "trailer\n<</Size 5/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n", at)
		for _, stamp := range []bool{false, true} {
			p, err := pdf.Prepare(bytes.NewReader(b.Bytes()), int64(b.Len()), pdf.Options{SignatureTime: time.Unix(1_800_000_000, 0), Reserve: 100, TimeStamp: stamp})
			if err != nil {
				t.Fatal(err)
			}
			if got := bytes.Contains(p.Update, []byte("/AP<</N ")); got != want {
				t.Errorf("%s, time-stamp %v: appearance %v", xmp, stamp, got)
			}
		}
	}
}
