package pdf

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// synth is a document of any size that is nowhere: a head and a tail with a
// stream of n bytes between them that is made while it is read.
type synth struct {
	head, tail []byte
	n          int64
}

func (s synth) Size() int64 { return int64(len(s.head)) + s.n + int64(len(s.tail)) }

func (s synth) ReadAt(p []byte, off int64) (int, error) {
	total := 0
	for len(p) > 0 && off < s.Size() {
		var n int
		switch h := int64(len(s.head)); {
		case off < h:
			n = copy(p, s.head[off:])
		case off < h+s.n:
			n = int(min(int64(len(p)), h+s.n-off))
			for i := range p[:n] {
				p[i] = byte(off+int64(i)) | 0x80
			}
		default:
			n = copy(p, s.tail[off-h-s.n:])
		}
		p, off, total = p[n:], off+int64(n), total+n
	}
	if len(p) > 0 {
		return total, io.EOF
	}
	return total, nil
}

// synthDoc has one stream of n bytes, and rows more rows in its table.
func synthDoc(n int64, rows int, trailer string) synth {
	f := newFile(spec{})
	f.put(spec{}.items()[:3]...)
	f.offs[4] = int64(f.Len())
	fmt.Fprintf(f, "4 0 obj\n<</Length %d>>\nstream\n", n)
	head := bytes.Clone(f.Bytes())
	var tail bytes.Buffer
	tail.WriteString("\nendstream\nendobj\n")
	at := int64(len(head)) + n + int64(tail.Len())
	fmt.Fprintf(&tail, "xref\n0 %d\n0000000000 65535 f\r\n", 5+rows)
	for i := 1; i <= 4; i++ {
		fmt.Fprintf(&tail, "%010d 00000 n\r\n", f.offs[i])
	}
	tail.Write(bytes.Repeat([]byte("0000000000 00000 f\r\n"), rows))
	fmt.Fprintf(&tail, "trailer\n<</Size %d/Root 1 0 R%s>>\nstartxref\n%d\n%%%%EOF\n", 5+rows, trailer, at)
	return synth{head, tail.Bytes(), n}
}

// peakReader notes the heap at each read.
type peakReader struct {
	io.ReaderAt
	peak *uint64
	n    *int
}

func (p peakReader) ReadAt(b []byte, off int64) (int, error) {
	if *p.n++; *p.n%16 == 0 {
		runtime.GC() // what is left is what Prepare holds on to
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		*p.peak = max(*p.peak, m.HeapAlloc)
	}
	return p.ReaderAt.ReadAt(b, off)
}

// toLTA brings a document to B-LTA: signature, DSS dictionary, time-stamp. It
// gives the three updates.
func toLTA(doc io.ReaderAt, size int64, known *Prefix) ([]byte, error) {
	var updates []byte
	put := func(o Options) error {
		o.Known = known
		r := Reader(doc, size, updates)
		p, err := Prepare(r, r.Size(), o)
		if err != nil {
			return err
		}
		up, err := p.Embed([]byte{0x30, 0})
		updates = append(updates, up...)
		return err
	}
	if err := put(options()); err != nil {
		return nil, err
	}
	r := Reader(doc, size, updates)
	up, err := AddDSS(r, r.Size(), Material{Certificates: values("ab"), OCSPs: values("c"), CRLs: values("d")}, Budget{})
	if err != nil {
		return nil, err
	}
	updates = append(updates, up...)
	return updates, put(stampOptions())
}

func costs(t *testing.T, doc synth) (peak, total int64) {
	t.Helper()
	var m0, m1 runtime.MemStats
	var p uint64
	n := 0
	runtime.GC()
	runtime.ReadMemStats(&m0)
	if _, err := toLTA(peakReader{doc, &p, &n}, doc.Size(), nil); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&m1)
	return int64(p) - int64(m0.HeapAlloc), int64(m1.TotalAlloc - m0.TotalAlloc)
}

// TestMemoryDoesNotGrow: 200 MB, and a million objects, cost what 1 MB costs.
func TestMemoryDoesNotGrow(t *testing.T) {
	smallPeak, smallTotal := costs(t, synthDoc(1<<20, 0, ""))
	for name, doc := range map[string]synth{"200 MB": synthDoc(200<<20, 0, ""), "a million objects": synthDoc(1<<20, 1_000_000, "")} {
		peak, total := costs(t, doc)
		t.Logf("%s: peak %d kB (1 MB document: %d kB), allocated in all %d kB (%d kB)", name, peak>>10, smallPeak>>10, total>>10, smallTotal>>10)
		if peak-smallPeak > 1<<20 || total-smallTotal > 2<<20 {
			t.Errorf("%s: memory grows with the document", name)
		}
	}
}

// TestOffsetsBeyondTenDigits: rows of a table hold 10 digits, so that a file of
// more than 10 GB goes on with a stream; one that grows past them changes over
// with a later update. The pass that hashes is left out: all but the tail is said to be known.
func TestOffsetsBeyondTenDigits(t *testing.T) {
	for _, c := range []struct {
		size  int64
		kinds string // of the three updates, from the newest on
	}{
		{2_200_000_000, "table table table"}, {4_400_000_000, "table table table"}, {9_999_000_000, "table table table"},
		{9_999_998_700, "stream stream table"}, {11_000_000_000, "stream stream stream"},
	} {
		doc := synthDoc(c.size, 0, "")
		known := &Prefix{Size: (doc.Size() - 10_000) &^ 127, Hash: crypto.SHA256, State: make([]byte, sha256.Size)}
		updates, err := toLTA(doc, doc.Size(), known)
		if err != nil {
			t.Fatal(c.size, err)
		}
		r := Reader(doc, doc.Size(), updates)
		d, err := open(r, r.Size(), Budget{})
		if err != nil {
			t.Fatal(c.size, err)
		}
		var kinds []string
		for _, s := range d.secs[:3] {
			kinds = append(kinds, s.kindName())
		}
		if got := strings.Join(kinds, " "); got != c.kinds {
			t.Errorf("%d: sections are %s", c.size, got)
		}
		sigs, err := Signatures(r, r.Size(), Budget{})
		if err != nil || len(sigs) != 2 || sigs[0].Coverage != CoverageRevision || sigs[1].Coverage != CoverageFile || sigs[0].ContentsStart < c.size {
			t.Errorf("%d: %+v %v", c.size, sigs, err)
		}
		m, err := newestStore(r, r.Size(), Budget{})
		if err != nil || len(m.Certificates) != 2 || len(m.OCSPs) != 1 || len(m.CRLs) != 1 {
			t.Errorf("%d: %v", c.size, err)
		}
		for _, s := range sigs {
			if len(s.Problems) > 0 {
				t.Errorf("%d: %v", c.size, s.Problems)
			}
		}
	}
}

// TestMoreThan4GiBIsHashed: 4.3 GB that are nowhere, hashed once by the upload, and once for the digests of both.
func TestMoreThan4GiBIsHashed(t *testing.T) {
	doc := zeros{synthDoc(4_300_000_000, 0, "")}
	w := NewPrefixHasher(crypto.SHA256)
	if err := hashRange(w, doc, 0, doc.Size()); err != nil {
		t.Fatal(err)
	}
	known, err := w.Prefix()
	if err != nil {
		t.Fatal(err)
	}
	updates, err := toLTA(doc, doc.Size(), &known)
	if err != nil {
		t.Fatal(err)
	}
	r := Reader(doc, doc.Size(), updates)
	sigs, err := Signatures(r, r.Size(), Budget{})
	if err != nil || len(sigs) != 2 {
		t.Fatal(len(sigs), err)
	}
	digests, err := ByteRangeDigests(r, r.Size(), []RangeWant{{sigs[1], crypto.SHA256}, {sigs[0], crypto.SHA256}})
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range []Signature{sigs[1], sigs[0]} {
		gap := s.ByteRange
		h := w.sha256.(hash.Cloner)
		c, err := h.Clone()
		if err != nil {
			t.Fatal(err)
		}
		c.Write(updates[:gap[1]-doc.Size()])
		c.Write(updates[gap[2]-doc.Size() : gap[2]+gap[3]-doc.Size()])
		if !bytes.Equal(c.Sum(nil), digests[i]) {
			t.Errorf("another digest of number %d", i)
		}
	}
}

// zeros is synth with zeros in the middle, which cost nothing to make.
type zeros struct{ synth }

func (z zeros) ReadAt(p []byte, off int64) (int, error) {
	if from := int64(len(z.head)); off >= from && off+int64(len(p)) <= from+z.n {
		clear(p)
		return len(p), nil
	}
	return z.synth.ReadAt(p, off)
}

// oneReader counts how often each byte of the middle is read.
type oneReader struct {
	synth
	read *int64
}

func (o oneReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := o.synth.ReadAt(p, off)
	*o.read += int64(n)
	return n, err
}

func TestDocumentIsReadOnce(t *testing.T) {
	var read int64
	doc := oneReader{synthDoc(8<<20, 0, ""), &read}
	if _, err := Prepare(doc, doc.Size(), options()); err != nil {
		t.Fatal(err)
	}
	if over := read - doc.Size(); over < 0 || over > 128<<10 {
		t.Errorf("%d bytes were read more than once", over)
	}
}

// generator builds testdata/gen and makes a file with it.
func generated(t testing.TB, size, kind, xref string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "gen")
	if out, err := exec.Command("go", "build", "-o", bin, "../testdata/gen").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	name := filepath.Join(t.TempDir(), "g.pdf")
	if out, err := exec.Command(bin, "-size", size, "-kind", kind, "-xref", xref, "-o", name).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return name
}

func TestGeneratedDocuments(t *testing.T) {
	for _, c := range [][2]string{{"big", "table"}, {"pages", "table"}, {"pages", "stream"}} {
		name := generated(t, "2MB", c[0], c[1])
		doc := readFile(t, name)
		if len(doc) < 1_500_000 || len(doc) > 2_600_000 {
			t.Errorf("%v: %d bytes", c, len(doc))
		}
		if out, err := exec.Command(need(t, "qpdf"), "--check", name).CombinedOutput(); err != nil {
			t.Errorf("qpdf: %s", out)
		}
		_, whole := prepareBytes(t, doc, options())
		checkQPDF(t, whole)
	}
}

// BenchmarkPrepare compares with the least that can be done with a document:
// one pass that copies and hashes it.
func BenchmarkPrepare(b *testing.B) {
	for _, kind := range []string{"big", "pages"} {
		for _, xref := range []string{"table", "stream"} {
			name := generated(b, "100MB", kind, xref)
			f, err := os.Open(name)
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			st, err := f.Stat()
			if err != nil {
				b.Fatal(err)
			}
			out := filepath.Join(b.TempDir(), "out")
			b.Run(kind+"-"+xref+"/floor", func(b *testing.B) {
				b.SetBytes(st.Size())
				for b.Loop() {
					copyAndHash(b, f, st.Size(), out)
				}
			})
			b.Run(kind+"-"+xref+"/prepare", func(b *testing.B) {
				b.SetBytes(st.Size())
				for b.Loop() {
					if _, err := Prepare(f, st.Size(), options()); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(kind+"-"+xref+"/signatures", func(b *testing.B) {
				for b.Loop() {
					if _, err := Signatures(f, st.Size(), Budget{}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func copyAndHash(b *testing.B, f io.ReaderAt, size int64, out string) {
	w, err := os.Create(out)
	if err != nil {
		b.Fatal(err)
	}
	h := sha256.New()
	if _, err := io.CopyBuffer(io.MultiWriter(w, h), io.NewSectionReader(f, 0, size), make([]byte, 256<<10)); err != nil {
		b.Fatal(err)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
}
