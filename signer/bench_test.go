package signer_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"tekend/signer"
)

// padded is a PDF of about n bytes: one stream that no page uses.
func padded(n int) []byte {
	return tiny("", "<< /Type /Catalog /Pages 2 0 R >>", pages, page,
		fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", n, bytes.Repeat([]byte("0123456789abcde\n"), n/16)))
}

// BenchmarkWholeSignature is everything for a person who is known: upload, page, itsme, callback, signature,
// time-stamp, our own check, download.
func BenchmarkWholeSignature(b *testing.B) {
	for _, size := range []int{1 << 10, 1 << 20, 100 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			w := enrolled(b)
			file := padded(size)
			b.SetBytes(int64(size))
			for b.Loop() {
				r, token := w.order("cust-1", file)
				w.walk(token, "approve", signer.StepDone)
				c, err := w.front.Document(b.Context(), "acme", r.ID, 1)
				w.must(err)
				_, err = io.Copy(io.Discard, c)
				w.must(err)
				w.must(c.Close())
			}
		})
	}
}
