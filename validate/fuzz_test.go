package validate_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"tekend/validate"
)

// FuzzPDF: no panic and no hang; and nothing but the document that was signed
// passes. (Another writing of the same hexadecimal digits is the same document.)
func FuzzPDF(f *testing.F) {
	w := newWorld(f, "P-256")
	good := w.sign(f, base(f), recipe{})
	f.Add(good)
	f.Add([]byte("%PDF-1.7\n"))
	o := validate.Options{Roots: w.roots, At: w.now.Add(time.Second), NoRevocation: true}
	f.Fuzz(func(t *testing.T, doc []byte) {
		rep, err := validate.PDF(context.Background(), bytes.NewReader(doc), int64(len(doc)), o)
		if err != nil {
			return
		}
		if rep.Indication == validate.TotalPassed && !bytes.EqualFold(doc, good) {
			t.Error("another document passes")
		}
	})
}
