package pdf_test

import (
	"bytes"
	"crypto"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tekend/pdf"
)

// parts prepares a file and gives what OnlySigns is told of it.
func parts(t *testing.T, path string) (base int64, before, after []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := pdf.Prepare(bytes.NewReader(b), int64(len(b)), pdf.Options{
		SignatureTime: time.Unix(1_780_000_000, 0), Reserve: 9000, Hash: crypto.SHA256,
	})
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return p.BaseSize, p.Update[:p.ContentsStart-p.BaseSize], p.Update[p.ContentsEnd-p.BaseSize:]
}

// TestOnlySignsKnowsOurUpdates: of every document that we sign, whoever made it.
func TestOnlySignsKnowsOurUpdates(t *testing.T) {
	files, err := filepath.Glob("../testdata/pdf/*.pdf")
	if err != nil || len(files) < 25 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, f := range files {
		base, before, after := parts(t, f)
		if err := pdf.OnlySigns(base, before, after); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
}

// TestOnlySignsRefusesWhatShows changes updates as an owned front would: the lengths in ByteRange are made right again.
func TestOnlySignsRefusesWhatShows(t *testing.T) {
	for _, f := range []string{table(t), stream(t)} {
		base, before, after := parts(t, f)
		sig := bytes.Index(before, []byte("<</Type/Sig"))
		sig = bytes.LastIndexByte(before[:sig-1], '\n') + 1 // the line "n 0 obj"
		insert := func(text string) []byte {
			return fixed(base, append(append(bytes.Clone(before[:sig]), text...), before[sig:]...), after)
		}
		replace := func(old, new string) []byte {
			if !bytes.Contains(before, []byte(old)) {
				t.Fatalf("%s: the update has no %s", f, old)
			}
			return fixed(base, bytes.Replace(before, []byte(old), []byte(new), 1), after)
		}
		for name, b := range map[string][]byte{
			"a stream":                 insert("900 0 obj\n<</Length 3>>\nstream\nq Q\nendstream\nendobj\n"),
			"another annotation":       insert("900 0 obj\n<</Type/Annot/Subtype/FreeText/Contents(I owe you)/Rect[0 0 9 9]/V 1 0 R>>\nendobj\n"),
			"a text field":             insert("900 0 obj\n<</FT/Tx/T(a)/V 5 0 R>>\nendobj\n"),
			"a dictionary of any kind": insert("900 0 obj\n<</S/JavaScript/JS(x)>>\nendobj\n"),
			"a second signature":       insert("900 0 obj\n<</Type/Sig/Filter/X>>\nendobj\n"),
			"a string":                 insert("900 0 obj\n(text)\nendobj\n"),
			"an array of dictionaries": insert("900 0 obj\n[<</Subtype/FreeText>>]\nendobj\n"),
			"one more object":          insert("900 0 obj\n[1 0 R]\nendobj\n"),
			"bytes between":            insert("% a comment\n"),
			"a key of its own":         replace("/Type/Sig", "/Type/Sig/Prop_Build<<>>"),
			"another kind of field":    replace("/FT/Sig", "/FT/Btn"),
			"a key twice":              replace("/Type/Sig", "/Type/Sig/Type/Sig"),
			"nothing":                  nil,
		} {
			if err := pdf.OnlySigns(base, b, after); err == nil {
				t.Errorf("%s: %s was accepted", f, name)
			}
		}
		section := func(old, new string) []byte { return bytes.Replace(after, []byte(old), []byte(new), 1) }
		for name, a := range map[string][]byte{
			"bytes behind":      append(bytes.Clone(after), '\n'),
			"another startxref": section("startxref\n", "startxref\n1"),
			"another Root key":  section("/Root", "/XRefStm 5/Root"),
			"a later Prev":      section("/Prev ", "/Prev 99999999"),
			"cut":               after[:len(after)-1],
			"an extra object":   append([]byte(">>\nendobj\n900 0 obj\n(x)\nendobj\n"), after[len(">>\nendobj\n"):]...),
			"no section":        []byte(">>\nendobj\n"),
			"another key":       append([]byte("/Name(x)"), after...),
		} {
			if bytes.Equal(a, after) {
				t.Fatalf("%s: %s changes nothing", f, name)
			}
			if err := pdf.OnlySigns(base, fixed(base, before, a), a); err == nil {
				t.Errorf("%s: %s was accepted", f, name)
			}
		}
		// Rows of the section that point elsewhere: each character of a table, each byte of a stream.
		from, to := bytes.Index(after, []byte("xref\n")), bytes.Index(after, []byte("trailer"))
		if to < 0 {
			from, to = bytes.Index(after, []byte("stream\n"))+2, bytes.Index(after, []byte("\nendstream"))
		}
		for i := from + 5; i < to; i++ {
			a := bytes.Clone(after)
			a[i] ^= 1
			if err := pdf.OnlySigns(base, before, a); err == nil {
				t.Errorf("%s: byte %d of the section was changed unseen", f, i)
			}
		}
		for _, size := range []int64{base - 1, base + 1, 0} {
			if err := pdf.OnlySigns(size, before, after); err == nil {
				t.Errorf("%s: accepted behind a base of %d bytes", f, size)
			}
		}
	}
}

// TestOnlySignsRefusesWhatShowsInWholeUpdates: an owned front would make the cross-reference section right again too, so
// that only what stands in the objects can give it away.
func TestOnlySignsRefusesWhatShowsInWholeUpdates(t *testing.T) {
	f := table(t)
	base, before, after := parts(t, f)
	line := bytes.Index(before, []byte("<</Type/Sig"))
	line = bytes.LastIndexByte(before[:line-1], '\n') + 1 // "n 0 obj"
	insert := func(text string) []byte { return slices.Concat(before[:line], []byte(text), before[line:]) }
	replace := func(old, new string) []byte {
		if bytes.Count(before, []byte(old)) != 1 {
			t.Fatalf("%s: not once in the update: %s", f, old)
		}
		return bytes.Replace(before, []byte(old), []byte(new), 1)
	}
	trailer := func(old, new string) []byte {
		return regexp.MustCompile(old).ReplaceAll(after, []byte(new))
	}
	const empty = "900 0 obj\n<</Type/XObject/Subtype/Form/BBox[0 0 0 0]/Length 0>>\nstream\n\nendstream\nendobj\n"
	judge := func(b, a []byte) error {
		b, a = renewed(t, base, b, a)
		return pdf.OnlySigns(base, b, a)
	}
	for name, b := range map[string][]byte{
		"as it is":              before,
		"an array":              insert("900 0 obj\n[1 0 R]\nendobj\n"),
		"a tooltip":             replace("/FT/Sig", "/FT/Sig/TU(Sign here)"),
		"resources of the base": replace("/FT/Sig", "/FT/Sig/DR<</Font<</F 7 0 R/G<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>"),
		"an empty appearance":   insert(empty),
		"a turn to a page":      replace("/FT/Sig", "/FT/Sig/A<</S/GoTo/D[1 0 R/Fit]>>"),
	} {
		if err := judge(b, after); err != nil {
			t.Fatalf("%s is refused: %v", name, err)
		}
	}
	for name, b := range map[string][]byte{
		// Types that are not what the object is: viewers go by /Subtype.
		"an annotation that says it is a page":    insert("900 0 obj\n<</Type/Page/Subtype/FreeText/DA(/Helv 9 Tf)/Rect[0 0 9 9]>>\nendobj\n"),
		"two empty appearances":                   insert(empty + strings.Replace(empty, "900", "901", 1)),
		"an appearance that is not empty":         insert(strings.Replace(empty, "0>>\nstream\n", "1>>\nstream\nf", 1)),
		"an appearance with resources":            insert(strings.Replace(empty, "/BBox", "/Resources 5 0 R/BBox", 1)),
		"bytes behind an appearance":              insert(strings.Replace(empty, "endobj", "endobj ", 1)),
		"a second page":                           insert("900 0 obj\n<</Type/Page>>\nendobj\n"),
		"an annotation that says it is a catalog": insert("900 0 obj\n<</Type/Catalog/Subtype/FreeText/Rect[0 0 9 9]>>\nendobj\n"),
		"another catalog":                         insert("900 0 obj\n<</Type/Catalog/Pages 1 0 R>>\nendobj\n"),
		"an annotation that says it is a form":    insert("900 0 obj\n<</Fields[]/Subtype/FreeText/Rect[0 0 9 9]>>\nendobj\n"),
		"an annotation with fields":               insert("900 0 obj\n<</Type/Annot/Fields[]/Subtype/FreeText/Rect[0 0 9 9]>>\nendobj\n"),
		"a second form":                           insert("900 0 obj\n<</Fields[]>>\nendobj\n"),
		"a second field":                          insert("900 0 obj\n<</Type/Annot/Subtype/Widget/Parent 1 0 R/V 5 0 R>>\nendobj\n"),
		"a field with another value":              regexp.MustCompile(`/V \d+ 0 R`).ReplaceAll(before, []byte("/V 1 0 R")),
		// What an object that is written again could hold.
		"a caption":            replace("/FT/Sig", "/MK<</CA(I owe you)>>/FT/Sig"),
		"choices":              replace("/FT/Sig", "/Opt[(I owe you)]/FT/Sig"),
		"a script":             replace("/FT/Sig", "/FT/Sig/A<</S/GoTo/JS(app.alert(1))>>"),
		"an action":            replace("/FT/Sig", "/FT/Sig/A<</S/#55RI/URI(https://x.example)>>"),
		"an action elsewhere":  replace("/FT/Sig", "/FT/Sig/A<</S 1 0 R/D[1 0 R/Fit]>>"),
		"a further action":     replace("/FT/Sig", "/FT/Sig/AA<</E<</S/GoTo/D[1 0 R/Fit]>>>>"),
		"an annotation inside": replace("/FT/Sig", "/FT/Sig/Kids[<</Rect[0 0 9 9]>>]"),
		"one in an array":      replace("/FT/Sig", "/FT/Sig/X[[<</Subtype/FreeText>>]]"),
		"a key twice inside":   replace("/FT/Sig", "/FT/Sig/X<</Y 1/Y 2>>"),
		"other shapes":         replace("/FT/Sig", "/FT/Sig/DR<</Font<</F<</Type/Font/Subtype/Type1/Encoding<</Differences[49/nine]>>>>>>>>"),
		"a font that draws":    replace("/FT/Sig", "/FT/Sig/DR<</Font<</F<</Type/Font/Subtype/Type3>>>>>>"),
	} {
		if err := judge(b, after); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if err := judge(before, trailer(`>>\nstartxref`, "/DocChecksum/0123>>\nstartxref")); err != nil {
		t.Errorf("the checksum of the base is refused: %v", err)
	}
	for name, a := range map[string][]byte{
		"a root of its own": trailer(`/Root \d+ \d+ R`, "/Root<</Type/Catalog/Pages<</Kids[<</Annots[<</Subtype/FreeText>>]>>]>>>>"),
		"another root":      trailer(`/Root \d+ \d+ R`, "/Root 900 0 R"),
		"no root":           trailer(`/Root \d+ \d+ R`, ""),
		"information":       trailer(`(/Info \d+ \d+ R)?>>\nstartxref`, "/Info<<>>>>\nstartxref"),
		"an identifier":     trailer(`/ID\[`, "/ID[<</Type/Page>>"),
		"a checksum":        trailer(`>>\nstartxref`, "/DocChecksum 1 0 R>>\nstartxref"),
		"a key of its own":  trailer(`>>\nstartxref`, "/AdditionalStreams[/x 1 0 R]>>\nstartxref"),
	} {
		if err := judge(before, a); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

// renewed makes ByteRange, table and startxref right for changed bytes.
func renewed(t *testing.T, base int64, before, after []byte) (b, a []byte) {
	t.Helper()
	hole := bytes.Repeat([]byte{'0'}, 18002)
	at, trailer := bytes.Index(after, []byte("xref\n")), bytes.Index(after, []byte("trailer\n"))
	if at < 0 || trailer < 0 {
		t.Fatal("no table")
	}
	var rows []string
	for _, m := range regexp.MustCompile(`(?m)^(\d+) (\d+) obj$`).FindAllSubmatchIndex(before, -1) {
		rows = append(rows, fmt.Sprintf("%010s %010d %05s", before[m[2]:m[3]], base+int64(m[0]), before[m[4]:m[5]]))
	}
	slices.Sort(rows)
	var table strings.Builder
	table.WriteString("xref\n")
	for i := 0; i < len(rows); {
		first, n := number(rows[i]), 1
		for i+n < len(rows) && number(rows[i+n]) == first+n {
			n++
		}
		fmt.Fprintf(&table, "%d %d\n", first, n)
		for ; n > 0; n-- {
			table.WriteString(rows[i][11:] + " n\r\n")
			i++
		}
	}
	start := base + int64(len(before)+len(hole)+at)
	end := regexp.MustCompile(`startxref\n\d+\n`).ReplaceAll(after[trailer:], fmt.Appendf(nil, "startxref\n%d\n", start))
	a = slices.Concat(after[:at], []byte(table.String()), end)
	return fixed(base, before, a), a
}

func number(row string) int {
	n, _ := strconv.Atoi(row[:10])
	return n
}

// fixed makes the first two numbers of the ByteRange right for other bytes before the space.
func fixed(base int64, before, after []byte) []byte {
	at := bytes.LastIndex(before, []byte("/ByteRange ["))
	if at < 0 {
		return before
	}
	end := at + bytes.IndexByte(before[at:], ']') + 1
	start := base + int64(len(before))
	text := fmt.Sprintf("/ByteRange [0 %d %d %d]", start, start+18002, len(after))
	return append(append(bytes.Clone(before[:at]), text+strings.Repeat(" ", max(0, end-at-len(text)))...), before[end:]...)
}

// table and stream find a document of each kind of cross-reference section, without a signature field.
func table(t *testing.T) string { return kindOf(t, "trailer\n") }

func stream(t *testing.T) string { return kindOf(t, "/Type/XRef") }

func kindOf(t *testing.T, mark string) string {
	t.Helper()
	files, _ := filepath.Glob("../testdata/pdf/*.pdf")
	for _, f := range files {
		_, before, after := parts(t, f)
		if bytes.Contains(after, []byte(mark)) && bytes.Contains(before, []byte("/FT/Sig")) {
			return f
		}
	}
	t.Fatal("no document has " + mark)
	return ""
}

func FuzzOnlySigns(f *testing.F) {
	b, err := os.ReadFile("../testdata/pdf/" + firstPDF(f))
	if err != nil {
		f.Fatal(err)
	}
	p, err := pdf.Prepare(bytes.NewReader(b), int64(len(b)), pdf.Options{SignatureTime: time.Unix(1_780_000_000, 0), Reserve: 100})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p.BaseSize, p.Update[:p.ContentsStart-p.BaseSize], p.Update[p.ContentsEnd-p.BaseSize:])
	f.Fuzz(func(t *testing.T, base int64, before, after []byte) {
		if len(before)+len(after) < 1<<16 {
			_ = pdf.OnlySigns(base, before, after)
		}
	})
}

func firstPDF(f testing.TB) string {
	f.Helper()
	files, err := filepath.Glob("../testdata/pdf/*.pdf")
	if err != nil || len(files) == 0 {
		f.Fatal("no documents")
	}
	return filepath.Base(files[0])
}
