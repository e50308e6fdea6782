package pdf

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var updateTestdata = flag.Bool("update", false, "write testdata anew")

// testdata are the documents that the tests make, by the name of their point;
// those of more than 64 kB stay out.
func testdataFiles() map[string][]byte {
	out := make(map[string][]byte)
	add := func(dir, name string, b []byte) {
		if len(b) <= 64<<10 {
			out[filepath.Join("testdata", dir, name+".pdf")] = b
		}
	}
	for _, c := range goodCases() {
		add("good", c.name, c.pdf)
	}
	for _, c := range badCases() {
		add("bad", c.name, c.pdf)
	}
	for _, c := range attacks() {
		add("signed", c.name, c.pdf)
	}
	for _, a := range structureAttacks() {
		add("attacks", a.Name, a.PDF)
	}
	for name, c := range badStores() {
		add("dss", strings.ReplaceAll(name, " ", "-"), c.doc)
	}
	for name, c := range foreignStores() {
		add("dss", strings.ReplaceAll(name, " ", "-"), c.doc)
	}
	return out
}

// TestTestdataIsCurrent: the files in testdata are what the tests make.
func TestTestdataIsCurrent(t *testing.T) {
	files := testdataFiles()
	for name, b := range files {
		if *updateTestdata {
			if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, b, 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, b) {
			t.Errorf("%s: %v; go test ./pdf -run Testdata -update", name, err)
		}
	}
	there, _ := filepath.Glob("testdata/*/*.pdf")
	if len(there) != len(files) || len(there) < 80 {
		t.Errorf("%d files in testdata, %d are made", len(there), len(files))
	}
}

// countingReader counts what is read.
type countingReader struct {
	b []byte
	n int64
}

func (c *countingReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := bytes.NewReader(c.b).ReadAt(p, off)
	c.n += int64(n)
	return n, err
}

// fuzzBudget is small, so that a hang is seen as such.
var fuzzBudget = Budget{Bytes: 1 << 20, Objects: 10_000, Depth: 30, Sections: 20, Values: 5000, ObjectBytes: 64 << 10, Inflate: 1 << 20}

func typed(t *testing.T, err error) {
	t.Helper()
	var e *Error
	if err != nil && !errors.As(err, &e) {
		t.Errorf("not a typed error: %v", err)
	}
}

// FuzzDocument: whatever the bytes are, the answer is typed, within the budget,
// and a document that was prepared is read again with one signature more.
func FuzzDocument(f *testing.F) {
	seeds, _ := filepath.Glob("testdata/*/*.pdf")
	if len(seeds) < 80 {
		f.Fatal("the seeds are not where they were")
	}
	for _, name := range seeds {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		if len(doc) > 128<<10 {
			return
		}
		size := int64(len(doc))
		c := &countingReader{b: doc}
		before, errBefore := Signatures(c, size, fuzzBudget)
		typed(t, errBefore)
		if c.n > fuzzBudget.Bytes {
			t.Errorf("%d bytes read", c.n)
		}
		for _, s := range before {
			if _, err := ByteRangeDigest(c, size, s, 5); err != nil {
				typed(t, err)
				if s.ContentsIsExactGap {
					t.Error("an exact gap, and no digest:", err)
				}
			}
		}
		o := options()
		o.Budget = fuzzBudget
		p, err := Prepare(c, size, o)
		typed(t, err)
		if err != nil {
			return
		}
		up, err := p.Embed([]byte{0x30, 3, 2, 1, 0})
		if err != nil {
			t.Fatal(err)
		}
		whole, err := io.ReadAll(Reader(bytes.NewReader(doc), size, up))
		if err != nil || !bytes.HasPrefix(whole, doc) {
			t.Fatal("the base changed", err)
		}
		after, err := Signatures(bytes.NewReader(whole), int64(len(whole)), Budget{})
		if err != nil && errBefore == nil {
			t.Fatal("not readable any more:", err)
		}
		if err == nil && errBefore == nil && len(after) < len(before)+1 {
			t.Errorf("%d signatures, before %d", len(after), len(before))
		}
	})
}

// FuzzAddDSS: whatever the bytes are, the answer is typed, within the budget, and a store that took a value has it, once,
// with all that it had before, in a document whose signatures are the same.
func FuzzAddDSS(f *testing.F) {
	seeds, _ := filepath.Glob("testdata/*/*.pdf")
	if len(seeds) < 80 {
		f.Fatal("the seeds are not where they were")
	}
	for i, name := range seeds {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, []byte{'a' + byte(i%26)})
	}
	f.Fuzz(func(t *testing.T, doc, content []byte) {
		if len(doc) > 128<<10 || len(content) > 127 {
			return
		}
		size := int64(len(doc))
		c := &countingReader{b: doc}
		had, errHad := newestStore(c, size, fuzzBudget)
		typed(t, errHad)
		m := Material{Certificates: [][]byte{value("z")}, CRLs: [][]byte{value(string(content)), value("z"), value(string(content))}}
		up, err := AddDSS(c, size, m, fuzzBudget)
		typed(t, err)
		if c.n > 3*fuzzBudget.Bytes {
			t.Errorf("%d bytes read", c.n)
		}
		if err != nil || up == nil {
			return
		}
		whole := append(bytes.Clone(doc), up...)
		r, total := bytes.NewReader(whole), int64(len(whole))
		has, err := newestStore(r, total, Budget{})
		if err != nil || errHad == nil && (len(has.Certificates) > len(had.Certificates)+1 || len(has.CRLs) > len(had.CRLs)+2 || len(has.OCSPs) != len(had.OCSPs)) {
			t.Errorf("the store was %q and is %q: %v", had, has, err)
		}
		if again, err := AddDSS(r, total, m, Budget{}); again != nil || err != nil {
			t.Errorf("added again: %v", err)
		}
		before, errBefore := Signatures(bytes.NewReader(doc), size, Budget{})
		after, err := Signatures(r, total, Budget{})
		if errBefore == nil && (err != nil || len(after) != len(before)) {
			t.Errorf("%d signatures became %d: %v", len(before), len(after), err)
		}
	})
}

// FuzzByteRangeDigests: any ranges are refused, or hashed as they stand in one reading.
func FuzzByteRangeDigests(f *testing.F) {
	f.Add([]byte("0123456789abcdef"), int64(3), int64(5), int64(11), int64(7), int64(7), int64(9))
	f.Add([]byte("0123456789abcdef"), int64(16), int64(16), int64(0), int64(-1), int64(1<<62), int64(1<<62))
	f.Fuzz(func(t *testing.T, doc []byte, a1, b1, n1, a2, b2, n2 int64) {
		c := &countingReader{b: doc}
		wants := []RangeWant{want(5, a1, b1, n1), want(6, a2, b2, n2), want(5, a2, b2, n2)}
		got, err := ByteRangeDigests(c, int64(len(doc)), wants)
		typed(t, err)
		if c.n > int64(len(doc)) {
			t.Errorf("%d bytes read of %d", c.n, len(doc))
		}
		if err != nil {
			return
		}
		for i, w := range wants {
			h, r := w.Hash.New(), w.Signature.ByteRange
			h.Write(doc[:r[1]])
			h.Write(doc[r[2] : r[2]+r[3]])
			if !bytes.Equal(h.Sum(nil), got[i]) {
				t.Errorf("another digest of %v", r)
			}
		}
	})
}

// FuzzValue: a value is read to its end or refused, and is itself when it is
// read again.
func FuzzValue(f *testing.F) {
	for _, s := range []string{"<</A[1 0 R(a(b)\\))<41 42>]/B#20C true>>", "[[[[", "1 0 R", "1 0", "-1.5", "(\\\r\n\\012\\9)", "<</A>>", "null%x\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		read := func(b []byte) (node, error) {
			p := parser{buf: b, depth: 30, values: 5000}
			return p.value()
		}
		n, err := read(b)
		typed(t, err)
		if err != nil {
			return
		}
		o := &object{buf: b, root: n}
		v := o.val()
		again, err := read(append(bytes.Clone(v.raw()), ' '))
		if err != nil || again.kind != n.kind || int(again.end) != len(v.raw()) || countNodes(&again) != countNodes(&n) {
			t.Errorf("%q: %v", v.raw(), err)
		}
		if v.kind() == kString || v.kind() == kHex {
			s := text(v.bytes())
			w := textString(s)
			m, err := read([]byte(w))
			o := &object{buf: []byte(w), root: m}
			if err != nil || validText(s) && text(o.val().bytes()) != s && !bytes.ContainsRune([]byte(s), 0xFFFD) {
				t.Errorf("%q became %q: %v", s, w, err)
			}
		}
	})
}
