package validate_test

import (
	"bytes"
	"testing"

	"tekend/validate"
)

// FuzzPDF: no panic and no hang; and nothing but what was signed passes: the
// document, or a revision of it that was complete. (Another writing of the same
// hexadecimal digits is the same document.)
func FuzzPDF(f *testing.F) {
	w := newWorld(f, "P-256")
	bt := w.sign(f, base(f), recipe{})
	lt := store(f, bt, w.data(f))
	lta := w.stamp(f, lt, w.at(3))
	for _, doc := range [][]byte{bt, lt, lta, []byte("%PDF-1.7\n")} {
		f.Add(doc)
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		for _, without := range []bool{false, true} {
			rep, err := validate.PDF(t.Context(), bytes.NewReader(doc), int64(len(doc)), validate.Options{Roots: w.roots, At: w.at(5), NoRevocation: without})
			if err == nil && rep.Indication == passed && (len(doc) > len(lta) || !bytes.EqualFold(doc, lta[:len(doc)])) {
				t.Error("another document passes")
			}
		}
	})
}
