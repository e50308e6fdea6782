package pdf

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var signingTime = time.Date(2026, 11, 24, 16, 30, 5, 7, time.FixedZone("", 3600))

func options() Options { return Options{SignatureTime: signingTime, Reserve: 64} }

func prepareBytes(t testing.TB, doc []byte, o Options) (*Prepared, []byte) {
	t.Helper()
	p, err := Prepare(bytes.NewReader(doc), int64(len(doc)), o)
	if err != nil {
		t.Fatal(err)
	}
	cms, _ := hex.DecodeString(fakeCMS)
	up, err := p.Embed(cms)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := io.ReadAll(Reader(bytes.NewReader(doc), p.BaseSize, up))
	if err != nil {
		t.Fatal(err)
	}
	return p, whole
}

func code(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return fmt.Sprint(err)
}

func TestPrepareEveryStructure(t *testing.T) {
	for _, c := range goodCases() {
		t.Run(c.name, func(t *testing.T) {
			p, whole := prepareBytes(t, c.pdf, options())
			if !bytes.HasPrefix(whole, c.pdf) {
				t.Error("the base changed")
			}
			up := string(whole[len(c.pdf):])
			if p.FieldName != c.field {
				t.Errorf("field %q, want %q", p.FieldName, c.field)
			}
			if !strings.Contains(up, c.want) || c.not != "" && strings.Contains(up, c.not) {
				t.Errorf("want %q and not %q in\n%s", c.want, c.not, up)
			}
			checkDigest(t, p, whole)
			checkOffsets(t, whole, c.kind)
			checkRead(t, whole, p)
			checkQPDF(t, whole)
		})
	}
}

// checkDigest computes the digest in another way than the product.
func checkDigest(t *testing.T, p *Prepared, whole []byte) {
	t.Helper()
	r := p.ByteRange
	if r[0] != 0 || r[1] != p.ContentsStart || r[2] != p.ContentsEnd || r[2]+r[3] != int64(len(whole)) ||
		whole[r[1]] != '<' || whole[r[2]-1] != '>' || string(whole[r[1]-10:r[1]]) != "/Contents " {
		t.Fatalf("ByteRange %v", r)
	}
	sum := sha256.Sum256(append(bytes.Clone(whole[:r[1]]), whole[r[2]:]...))
	if !bytes.Equal(sum[:], p.Digest) {
		t.Error("digest is not that of the ranges")
	}
	base := sha256.Sum256(whole[:p.BaseSize])
	if !bytes.Equal(base[:], p.BaseDigest) {
		t.Error("digest of the base")
	}
}

var (
	startxrefRE = regexp.MustCompile(`startxref\n(\d+)\n%%EOF\n$`)
	rowRE       = regexp.MustCompile(`(?m)^(\d{10}) (\d{5}) n\r$`)
)

// checkOffsets reads the new section with nothing of the product's reader.
func checkOffsets(t *testing.T, whole []byte, kind string) {
	t.Helper()
	m := startxrefRE.FindSubmatch(whole)
	if m == nil {
		t.Fatal("no startxref at the end")
	}
	at, _ := strconv.Atoi(string(m[1]))
	sec := whole[at:]
	if got := map[bool]string{true: "table", false: "stream"}[bytes.HasPrefix(sec, []byte("xref\n"))]; got != kind {
		t.Fatalf("section is a %s, want a %s", got, kind)
	}
	if kind == "stream" {
		n := regexp.MustCompile(`^(\d+) 0 obj\n<</Type/XRef/W\[1 8 2\]/Index\[([\d ]+)\]`).FindSubmatch(sec)
		if n == nil {
			t.Fatalf("stream is %.80q", sec)
		}
		data := sec[bytes.Index(sec, []byte("stream\n"))+7:]
		nums := strings.Fields(string(n[2]))
		for i := 0; i < len(nums); i += 2 {
			first, _ := strconv.Atoi(nums[i])
			count, _ := strconv.Atoi(nums[i+1])
			for k := range count {
				off := 0
				for _, b := range data[1:9] {
					off = off<<8 | int(b)
				}
				wantObject(t, whole, off, first+k)
				data = data[11:]
			}
		}
		return
	}
	lines := strings.Split(string(sec), "\n")
	for i := 1; i < len(lines) && lines[i] != "trailer"; {
		var first, count int
		if n, _ := fmt.Sscanf(lines[i], "%d %d", &first, &count); n != 2 {
			t.Fatalf("subsection %q", lines[i])
		}
		for k := range count {
			m := rowRE.FindStringSubmatch(lines[i+1+k])
			if m == nil {
				t.Fatalf("row %q", lines[i+1+k])
			}
			off, _ := strconv.Atoi(m[1])
			wantObject(t, whole, off, first+k)
		}
		i += 1 + count
	}
}

func wantObject(t *testing.T, whole []byte, off, num int) {
	t.Helper()
	if want := fmt.Sprintf("%d 0 obj\n", num); !bytes.HasPrefix(whole[off:], []byte(want)) {
		t.Errorf("object %d is not at %d, but %.20q", num, off, whole[off:])
	}
}

// checkRead: the list of signatures shows ours, sound and over everything.
func checkRead(t *testing.T, whole []byte, p *Prepared) {
	t.Helper()
	sigs, err := Signatures(bytes.NewReader(whole), int64(len(whole)), Budget{})
	if err != nil {
		t.Fatal(err)
	}
	s := sigs[len(sigs)-1]
	cms, _ := hex.DecodeString(fakeCMS)
	want := Signature{FieldName: p.FieldName, Type: "Sig", Filter: "Adobe.PPKLite", SubFilter: "ETSI.CAdES.detached", ByteRange: p.ByteRange,
		ContentsStart: p.ContentsStart, ContentsEnd: p.ContentsEnd, CMS: cms, SigningTime: "D:20261124153005Z", ContentsIsExactGap: true,
		RevisionEnd: int64(len(whole)), CoversWholeFile: true, Coverage: CoverageFile, SameInSignedRevision: true, HasReference: s.HasReference}
	if d := cmp.Diff(want, s); d != "" {
		t.Error(d)
	}
	for _, s := range sigs[:len(sigs)-1] {
		if s.Coverage != CoverageRevision || len(s.Problems) > 0 {
			t.Errorf("an earlier signature is %v %v", s.Coverage, s.Problems)
		}
	}
	digest, err := ByteRangeDigest(bytes.NewReader(whole), int64(len(whole)), s, crypto.SHA256)
	if err != nil || !bytes.Equal(digest, p.Digest) {
		t.Errorf("digest of the finished file: %x, %v", digest, err)
	}
}

// need finds a program that judges us; without it the test fails.
func need(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s must be installed for this test: %v", name, err)
	}
	return path
}

func tempFile(t testing.TB, b []byte) string {
	t.Helper()
	f := filepath.Join(t.TempDir(), "t.pdf")
	if err := os.WriteFile(f, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

func checkQPDF(t *testing.T, whole []byte) {
	t.Helper()
	out, err := exec.Command(need(t, "qpdf"), "--check", tempFile(t, whole)).CombinedOutput()
	if err != nil {
		t.Errorf("qpdf: %v\n%s", err, out)
	}
}

func TestSecondSignatureKeepsTheFirst(t *testing.T) {
	for _, doc := range [][]byte{classic(spec{}), packed(spec{}, true)} {
		p1, one := prepareBytes(t, doc, options())
		p2, two := prepareBytes(t, one, options())
		if p1.FieldName != "Signature1" || p2.FieldName != "Signature2" {
			t.Errorf("fields %q, %q", p1.FieldName, p2.FieldName)
		}
		sigs, err := Signatures(bytes.NewReader(two), int64(len(two)), Budget{})
		if err != nil || len(sigs) != 2 {
			t.Fatal(sigs, err)
		}
		d, err := ByteRangeDigest(bytes.NewReader(two), int64(len(two)), sigs[0], crypto.SHA256)
		if err != nil || !bytes.Equal(d, p1.Digest) {
			t.Error("the first signature's digest changed", err)
		}
		if sigs[0].Coverage != CoverageRevision || sigs[0].RevisionEnd != int64(len(one)) || sigs[1].Coverage != CoverageFile {
			t.Errorf("%+v", sigs)
		}
		checkQPDF(t, two)
	}
}

func TestPreparedSurvivesJSON(t *testing.T) {
	doc := classic(spec{})
	p, whole := prepareBytes(t, doc, options())
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var q Prepared
	if err := json.Unmarshal(b, &q); err != nil {
		t.Fatal(err)
	}
	cms, _ := hex.DecodeString(fakeCMS)
	up, err := q.Embed(cms)
	if err != nil || !bytes.Equal(up, whole[len(doc):]) {
		t.Error("after a restart the update differs", err)
	}
}

func TestEmbedRefuses(t *testing.T) {
	p, _ := prepareBytes(t, classic(spec{}), options())
	fit := append([]byte{0x30, 62}, make([]byte, 62)...)
	if _, err := p.Embed(fit); err != nil {
		t.Error("a CMS of exactly the reserve", err)
	}
	before := bytes.Clone(p.Update)
	if _, err := p.Embed(append([]byte{0x30, 63}, make([]byte, 63)...)); code(err) != CodeCMSTooLarge {
		t.Error("one byte more", err)
	}
	if !bytes.Equal(before, p.Update) {
		t.Error("a refusal changed the preparation")
	}
	for _, bad := range [][]byte{nil, {0x30}, {0x31, 0}, {0x30, 0x80, 0, 0}, {0x30, 5, 1}, {0x30, 0, 0}, {0x30, 0x85, 1, 1, 1, 1, 1}} {
		if _, err := p.Embed(bad); code(err) != CodeBadCMS {
			t.Errorf("%x: %v", bad, err)
		}
	}
	for _, damage := range []func(*Prepared){
		func(p *Prepared) { p.Update = nil }, func(p *Prepared) { p.ContentsEnd += 1 << 40 }, func(p *Prepared) { p.ContentsStart = 0 },
		func(p *Prepared) { p.ContentsEnd = p.ContentsStart }, func(p *Prepared) { p.ByteRange[3]++ }, func(p *Prepared) { p.BaseSize++ },
		func(p *Prepared) { p.Update[p.ContentsStart-p.BaseSize+5] = '1' },
	} {
		q := *p
		q.Update = bytes.Clone(p.Update)
		damage(&q)
		if _, err := q.Embed(fit); code(err) != CodeBadPrepared {
			t.Errorf("%v", err)
		}
	}
}

func TestNewFieldNames(t *testing.T) {
	doc := classic(formSpec("[5 0 R]", "", "/Annots[5 0 R]", item{5, textField}))
	for _, name := range []string{"Zoë", "a(b)\\c", "漢字 𝒳", "plain"} {
		o := options()
		o.FieldName = name
		p, whole := prepareBytes(t, doc, o)
		sigs, err := Signatures(bytes.NewReader(whole), int64(len(whole)), Budget{})
		if err != nil || len(sigs) != 1 || sigs[0].FieldName != name || p.FieldName != name {
			t.Errorf("%q: %+v %v", name, sigs, err)
		}
		checkQPDF(t, whole)
	}
	for name, want := range map[string]string{"Text": CodeBadSignatureField, "a.b": CodeBadSignatureField, "\xff": CodeBadOptions} {
		o := options()
		o.FieldName = name
		_, err := Prepare(bytes.NewReader(doc), int64(len(doc)), o)
		if code(err) != want {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestTheBaseIsKnownBySHA256 whatever hash the signature has: by it the document that was uploaded is known again.
func TestTheBaseIsKnownBySHA256(t *testing.T) {
	for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		o := options()
		o.Hash = h
		base := goodCases()[0].pdf
		p, whole := prepareBytes(t, base, o)
		want := sha256.Sum256(base)
		if !bytes.Equal(p.BaseDigest, want[:]) {
			t.Errorf("%v: another digest of the base", h)
		}
		sum := h.New()
		sum.Write(whole[:p.ByteRange[1]])
		sum.Write(whole[p.ByteRange[2]:])
		if !bytes.Equal(p.Digest, sum.Sum(nil)) {
			t.Errorf("%v: another digest of the ranges", h)
		}
	}
}
