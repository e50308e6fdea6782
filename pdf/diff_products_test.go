package pdf

import (
	"bytes"
	"path/filepath"
	"slices"
	"testing"
)

// differences is what AllDifferences says of each signature of doc.
func differences(t testing.TB, doc []byte) ([]Signature, []Changes) {
	t.Helper()
	r, size := bytes.NewReader(doc), int64(len(doc))
	sigs, err := Signatures(r, size, Budget{})
	if err != nil {
		t.Fatal(err)
	}
	ends := make([]int64, len(sigs))
	for i, s := range sigs {
		ends[i] = s.RevisionEnd
	}
	all, err := AllDifferences(r, size, ends, Budget{})
	if err != nil {
		t.Fatal(err)
	}
	return sigs, all
}

// TestDifferencesOfOurProducts: a signature, its validation data, a document time-stamp, and all that again are what they are,
// whatever the document was.
func TestDifferencesOfOurProducts(t *testing.T) {
	docs := make(map[string][]byte)
	files, _ := filepath.Glob("../testdata/pdf/*.pdf")
	for _, name := range files {
		docs[filepath.Base(name)] = readFile(t, name)
	}
	for _, c := range goodCases() {
		docs[c.name] = c.pdf
	}
	if len(files) < 20 || len(docs) < 45 {
		t.Fatalf("%d documents", len(docs))
	}
	for name, doc := range docs {
		t.Run(name, func(t *testing.T) {
			before, err := Signatures(bytes.NewReader(doc), int64(len(doc)), Budget{})
			if err != nil {
				t.Fatal(err)
			}
			stamp := Options{TimeStamp: true, Reserve: 64}
			levels := []ChangeLevel{ChangesNone}
			later := func(whole []byte, l ChangeLevel, more bool) []byte {
				for i := range levels {
					levels[i] = max(levels[i], l)
				}
				if more {
					levels = append(levels, ChangesNone)
				}
				sigs, all := differences(t, whole)
				if len(sigs) != len(before)+len(levels) {
					t.Fatalf("%d signatures, want %d and %d", len(sigs), len(before), len(levels))
				}
				for i, c := range all[len(before):] {
					if c.Level != levels[i] || !c.Permitted || len(c.Reasons) > 0 {
						t.Errorf("%s, after %v: %+v, want %v", sigs[len(before)+i].FieldName, l, c, levels[i])
					}
				}
				return whole
			}
			_, whole := prepareBytes(t, doc, options())
			later(whole, ChangesNone, false)
			for n := range byte(2) {
				up, err := AddDSS(bytes.NewReader(whole), int64(len(whole)), someMaterial(n), Budget{})
				if err != nil {
					t.Fatal(err)
				}
				whole = later(slices.Concat(whole, up), ChangesLTA, false)
				_, whole = prepareBytes(t, whole, stamp)
				later(whole, ChangesLTA, true)
			}
			_, whole = prepareBytes(t, whole, options())
			later(whole, ChangesFormFilling, true)
			_, whole = prepareBytes(t, whole, stamp)
			later(whole, ChangesLTA, true)
		})
	}
}

// someMaterial is nothing but DER.
func someMaterial(n byte) Material {
	return Material{Certificates: [][]byte{{0x30, 1, n}, {0x30, 3, 1, n, 0}}, OCSPs: [][]byte{{0x30, 2, n, n}}, CRLs: [][]byte{{0x30, 0}}}
}
