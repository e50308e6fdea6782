package pdf_test

import (
	"bytes"
	"crypto"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tekend/pdf"
)

// der is a DER SEQUENCE of n bytes and of its own content; nothing here reads what is in it.
func der(mark byte, n int) []byte {
	b := []byte{0x30, 0x82, byte((n - 4) >> 8), byte(n - 4)}
	return append(b, bytes.Repeat([]byte{0x04, 1, mark}, n)[:n-4]...)
}

func material() pdf.Material {
	return pdf.Material{Certificates: [][]byte{der(1, 900), der(2, 1200)}, OCSPs: [][]byte{der(3, 700)}, CRLs: [][]byte{der(4, 5000)}}
}

// testFiles are the documents that other programs made, by name.
func testFiles(t testing.TB) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("../testdata/pdf/*.pdf")
	if err != nil || len(names) < 25 {
		t.Fatalf("%d files: %v", len(names), err)
	}
	out := make(map[string][]byte)
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(filepath.Base(n), ".pdf")] = b
	}
	return out
}

func at(t testing.TB, doc []byte) (*bytes.Reader, int64) {
	t.Helper()
	return bytes.NewReader(doc), int64(len(doc))
}

// add prepares and embeds; it gives the whole document.
func add(t testing.TB, doc []byte, o pdf.Options) ([]byte, *pdf.Prepared) {
	t.Helper()
	r, size := at(t, doc)
	p, err := pdf.Prepare(r, size, o)
	if err != nil {
		t.Fatal(err)
	}
	up, err := p.Embed(der(9, 60))
	if err != nil {
		t.Fatal(err)
	}
	return append(bytes.Clone(doc), up...), p
}

func addDSS(t testing.TB, doc []byte, m pdf.Material) []byte {
	t.Helper()
	r, size := at(t, doc)
	up, err := pdf.AddDSS(r, size, m, pdf.Budget{})
	if err != nil {
		t.Fatal(err)
	}
	return append(bytes.Clone(doc), up...)
}

func signature() pdf.Options {
	return pdf.Options{SignatureTime: time.Unix(1_780_000_000, 0), Reserve: 100}
}

func stamp() pdf.Options { return pdf.Options{TimeStamp: true, Reserve: 100} }

func stored(t testing.TB, doc []byte) pdf.Material {
	t.Helper()
	r, size := at(t, doc)
	list, bad, err := pdf.ValidationData(r, size, []int64{size}, pdf.Budget{})
	if err != nil || bad > 0 {
		t.Fatal(bad, err)
	}
	return list[0]
}

func sameValues(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }

func sameMaterial(a, b pdf.Material) bool {
	return sameValues(a.Certificates, b.Certificates) && sameValues(a.OCSPs, b.OCSPs) && sameValues(a.CRLs, b.CRLs)
}

func list(t testing.TB, doc []byte) []pdf.Signature {
	t.Helper()
	r, size := at(t, doc)
	s, err := pdf.Signatures(r, size, pdf.Budget{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func qpdf(t testing.TB, doc []byte) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "t.pdf")
	if err := os.WriteFile(name, doc, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("qpdf", "--check", name).CombinedOutput()
	if err != nil {
		t.Errorf("qpdf: %v\n%s", err, out)
	}
}

// TestLevelsOnEveryDocument: signature, DSS, time-stamp, a second signature over all of it, and its own DSS and
// time-stamp, each read back and each covered by what comes later.
func TestLevelsOnEveryDocument(t *testing.T) {
	for name, doc := range testFiles(t) {
		t.Run(name, func(t *testing.T) {
			before := len(list(t, doc))
			one, _ := add(t, doc, signature())
			two := addDSS(t, one, material())
			three, p := add(t, two, stamp())
			if !strings.HasPrefix(p.FieldName, "Timestamp") {
				t.Errorf("the field is %q", p.FieldName)
			}
			if got := stored(t, three); !sameMaterial(got, union(stored(t, one), material())) {
				t.Errorf("the DSS dictionary holds %d, %d, %d values", len(got.Certificates), len(got.OCSPs), len(got.CRLs))
			}
			four, q := add(t, three, signature())
			if err := q.Base().OnlySigns(); err != nil {
				t.Errorf("a signature behind a DSS dictionary and a time-stamp: %v", err)
			}
			more := pdf.Material{Certificates: [][]byte{der(1, 900), der(5, 800)}, OCSPs: [][]byte{der(6, 600)}}
			five := addDSS(t, four, more)
			six, _ := add(t, five, stamp())
			if got := stored(t, six); !sameMaterial(got, union(union(stored(t, one), material()), more)) {
				t.Error("the second DSS update lost or doubled something")
			}
			if grown := len(six) - len(five); grown > 4000 {
				t.Errorf("a time-stamp of 100 bytes adds %d", grown)
			}
			sound(t, six, before, [][]byte{one, three, four, six})
			qpdf(t, six)
			if r, size := at(t, six); true {
				if up, err := pdf.AddDSS(r, size, more, pdf.Budget{}); up != nil || err != nil {
					t.Errorf("what is there was added again: %d bytes, %v", len(up), err)
				}
			}
		})
	}
}

// union is what a store holds that had a and got b.
func union(a, b pdf.Material) pdf.Material {
	join := func(a, b [][]byte) [][]byte {
		out := slices.Clone(a)
		for _, v := range b {
			if !slices.ContainsFunc(out, func(w []byte) bool { return bytes.Equal(v, w) }) {
				out = append(out, v)
			}
		}
		return out
	}
	return pdf.Material{Certificates: join(a.Certificates, b.Certificates), OCSPs: join(a.OCSPs, b.OCSPs), CRLs: join(a.CRLs, b.CRLs)}
}

// sound: behind the first signatures, doc has one for each of revisions, in turn a signature and a time-stamp, and each
// covers exactly its revision.
func sound(t *testing.T, doc []byte, before int, revisions [][]byte) {
	t.Helper()
	sigs := list(t, doc)
	if len(sigs) != before+len(revisions) {
		t.Fatalf("%d signatures", len(sigs))
	}
	var wants []pdf.RangeWant
	for i, s := range sigs[before:] {
		typ, sub := "Sig", "ETSI.CAdES.detached"
		if i%2 == 1 {
			typ, sub = "DocTimeStamp", "ETSI.RFC3161"
		}
		if s.Type != typ || s.SubFilter != sub || (s.SigningTime == "") != (i%2 == 1) {
			t.Errorf("number %d is %s %s of %q", i, s.Type, s.SubFilter, s.SigningTime)
		}
		if len(s.Problems) > 0 || s.RevisionEnd != int64(len(revisions[i])) || !s.SameInSignedRevision {
			t.Errorf("number %d: %v, revision ends at %d", i, s.Problems, s.RevisionEnd)
		}
		wants = append(wants, pdf.RangeWant{Signature: s, Hash: crypto.SHA256})
	}
	r, size := at(t, doc)
	digests, err := pdf.ByteRangeDigests(r, size, wants)
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range wants {
		h := crypto.SHA256.New()
		h.Write(doc[:w.Signature.ByteRange[1]])
		h.Write(revisions[i][w.Signature.ByteRange[2]:])
		if !bytes.Equal(h.Sum(nil), digests[i]) {
			t.Errorf("number %d: another digest", i)
		}
	}
}

var esic = regexp.MustCompile(`/Extensions\s*<</ESIC<</BaseVersion/1\.7/ExtensionLevel 1>>`)

// TestExtension: a document of PDF 1.x says that it uses EN 319 142-1's extension, and is one of 1.7; one of 2.0 is left alone.
func TestExtension(t *testing.T) {
	files := testFiles(t)
	for name, want := range map[string]bool{"pdftex-1.4-classic": true, "ghostscript-1.7": true, "pdftex-2.0": false, "pikepdf-2.0-object-streams": false} {
		doc := files[name]
		for what, up := range map[string][]byte{"store": addDSS(t, doc, material())[len(doc):], "stamp": first(add(t, doc, stamp()))[len(doc):]} {
			if esic.Match(up) != want {
				t.Errorf("%s, %s: extension %v", name, what, !want)
			}
			if got := bytes.Contains(up, []byte("/Version /1.7")); got != (name == "pdftex-1.4-classic") {
				t.Errorf("%s, %s: /Version %v", name, what, got)
			}
		}
		both := first(add(t, addDSS(t, doc, material()), stamp()))
		if n := len(esic.FindAll(both, -1)); want && n > 2 || bytes.Count(both, []byte("/ESIC<<")) != n {
			t.Errorf("%s: %d extensions", name, n)
		}
	}
	if up := first(add(t, files["pdftex-1.4-classic"], signature())); bytes.Contains(up, []byte("/ESIC")) {
		t.Error("a signature alone needs no extension")
	}
}

func first[A, B any](a A, _ B) A { return a }
