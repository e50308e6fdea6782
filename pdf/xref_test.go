package pdf

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestGoodRowByEveryByte: at every place of a row, each byte is what 7.5.4 allows there or makes the row odd.
func TestGoodRowByEveryByte(t *testing.T) {
	for _, good := range []string{"0123456789 65535 n\r\n", "9999999999 00000 f \n"} {
		for at := range good {
			for c := range 256 {
				b := []byte(good)
				b[at] = byte(c)
				digit := c >= '0' && c <= '9'
				want := map[bool]bool{
					at < 10 || at > 10 && at < 16: digit,
					at == 10 || at == 16:          c == ' ',
					at == 17:                      c == 'n' || c == 'f',
					at == 18:                      c == ' ' || c == '\r',
					at == 19:                      c == '\n' || c == '\r',
				}[true]
				if goodRow(b) != want {
					t.Errorf("%q: %v", b, !want)
				}
			}
		}
	}
	if goodRow([]byte("0123456789 65535 n\r")) {
		t.Error("a row of 19 bytes")
	}
}

// TestSpansOfNoRows: one that says nothing neither hides that a number is defined twice, nor the row of another.
func TestSpansOfNoRows(t *testing.T) {
	for spans, good := range map[string]bool{
		"3 1\nR":              true,
		"3 0\n3 1\nR":         true,
		"3 1\nR3 0\n":         true,
		"2 0\n3 1\nR4 0\n":    true,
		"3 1\nR3 1\nR":        false,
		"3 2\nRR3 0\n3 1\nR":  false,
		"2 3\nRRR3 0\n4 1\nR": false,
		"3 2\nRR4 0\n4 1\nR":  false,
	} {
		f := newFile(spec{})
		f.put(spec{}.items()...)
		f.table("")
		page := int64(f.Len())
		f.WriteString("3 0 obj\n<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>\nendobj\n")
		section := f.Len()
		f.WriteString("xref\n" + strings.ReplaceAll(spans, "R", fmt.Sprintf("%010d 00000 n\r\n", page)))
		fmt.Fprintf(f, "trailer\n<</Size 5/Root 1 0 R/Prev %d>>\nstartxref\n%d\n%%%%EOF\n", f.prev, section)
		d, err := open(bytes.NewReader(f.Bytes()), int64(f.Len()), Budget{})
		if !good {
			if !errors.Is(err, &Error{Code: CodeBrokenXref}) {
				t.Errorf("%q: %v", spans, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", spans, err)
			continue
		}
		if e, err := d.find(3); err != nil || e.off != page {
			t.Errorf("%q: object 3 is at %d, not at %d: %v", spans, e.off, page, err)
		}
	}
}
