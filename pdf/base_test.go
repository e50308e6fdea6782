package pdf_test

import (
	"bytes"
	"crypto"
	"os"
	"testing"
	"time"

	"tekend/pdf"
)

// TestBaseLinksTwoDigests: whatever the length of the file is, and for both hashes.
func TestBaseLinksTwoDigests(t *testing.T) {
	doc, err := os.ReadFile("../testdata/pdf/" + firstPDF(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		for n := range 65 * f.Size() / 32 {
			file := append(bytes.Clone(doc), bytes.Repeat([]byte{'\n'}, n)...)
			p, err := pdf.Prepare(bytes.NewReader(file), int64(len(file)), pdf.Options{
				SignatureTime: time.Unix(1_780_000_000, 0), Reserve: 100, Hash: f,
			})
			if err != nil {
				t.Fatal(err)
			}
			h := f.New()
			h.Write(file)
			want := h.Sum(nil)
			b := p.Base()
			if got, ok := b.Links(f, p.Digest); !ok || !bytes.Equal(got, want) {
				t.Fatalf("%v of %d bytes: not linked", f, len(file))
			}
			if err := b.OnlySigns(); err != nil {
				t.Fatal(err)
			}
			for i := range b.State {
				bad := b
				bad.State = bytes.Clone(b.State)
				bad.State[i] ^= 1
				if got, ok := bad.Links(f, p.Digest); ok && bytes.Equal(got, want) {
					t.Fatalf("%v of %d bytes: byte %d of the state does not count", f, len(file), i)
				}
			}
			for name, bad := range map[string]pdf.Base{
				"size": {b.Size + 128, b.State, b.Before, b.After}, "update": {b.Size, b.State, b.After, b.Before},
				"no state": {b.Size, nil, b.Before, b.After}, "no size": {0, b.State[:32], b.Before, b.After},
			} {
				if got, ok := bad.Links(f, p.Digest); ok && bytes.Equal(got, want) {
					t.Errorf("%v of %d bytes: another %s was linked", f, len(file), name)
				}
			}
		}
	}
}
