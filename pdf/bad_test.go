package pdf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// badCase is a document that must be refused with code. Size is its length
// when it is not len(pdf).
type badCase struct {
	name string
	pdf  []byte
	code string
}

// patched is doc with one text replaced, which must be there.
func patched(doc []byte, from, to string) []byte {
	if !bytes.Contains(doc, []byte(from)) {
		return []byte("no " + from) // which no case wants
	}
	return bytes.Replace(doc, []byte(from), []byte(to), 1)
}

// bareStream is a document with one cross-reference stream of the given
// dictionary entries and data, and nothing else of use.
func bareStream(entries string, data []byte) []byte {
	var b bytes.Buffer
	b.WriteString("%PDF-1.7\n")
	at := b.Len()
	fmt.Fprintf(&b, "9 0 obj\n%s\nendobj\nstartxref\n%d\n%%%%EOF\n", streamBody("/Type/XRef/Root 1 0 R"+entries, data), at)
	return b.Bytes()
}

func nestedArrays(n int) []byte {
	return classic(spec{catalog: "/Deep " + strings.Repeat("[", n)})
}

func badCases() []badCase {
	plain := classic(spec{})
	at := bytes.LastIndex(plain, []byte("xref\n0 1"))
	loop := bytes.Replace(plain, []byte("/Root 1 0 R"), fmt.Appendf(nil, "/Root 1 0 R/Prev %d", at), 1)
	two := newFile(spec{})
	two.put(spec{}.items()...)
	two.table("/Prev 1111111")
	two.put(item{3, spec{}.items()[2].body})
	two.table("")
	loop2 := patched(two.Bytes(), "1111111", fmt.Sprintf("%07d", two.prev))

	return append(append([]badCase{
		{"zero-bytes", nil, CodeEmpty},
		{"not-a-pdf", []byte("PK\x03\x04 no document"), CodeNotAPDF},
		{"4-MB-of-brackets", bytes.Repeat([]byte("["), 4<<20), CodeNotAPDF},
		{"4-MB-of-brackets-in-catalog", nestedArrays(4 << 20), CodeTooDeep},
		{"header-not-at-start", append([]byte("\n"), plain...), CodeNotAPDF},
		{"version-3", patched(plain, "%PDF-1.7", "%PDF-3.0"), CodeNotAPDF},
		{"half", plain[:len(plain)/2], CodeTruncated},
		{"one-byte-missing", plain[:len(plain)-2], CodeTruncated},
		{"no-startxref", patched(plain, "startxref", "startxxxx"), CodeTruncated},
		{"much-behind-eof", append(bytes.Clone(plain), make([]byte, 4096)...), CodeTruncated},
		{"encrypted", classic(spec{trailer: "/Encrypt<</Filter/Standard>>"}), CodeEncrypted},
		{"encrypted-by-reference", packed(spec{trailer: "/Encrypt 30 0 R"}, false), CodeEncrypted},
		{"xref-loop-to-itself", loop, CodeXrefLoop},
		{"xref-loop-of-two", loop2, CodeXrefLoop},
		{"prev-outside", patched(plain, "/Root 1 0 R", "/Root 1 0 R/Prev 99999"), CodeBrokenXref},
		{"prev-negative", patched(plain, "/Root 1 0 R", "/Root 1 0 R/Prev -1"), CodeBrokenXref},
		{"prev-of-wrong-type", patched(plain, "/Root 1 0 R", "/Root 1 0 R/Prev(0)"), CodeBrokenXref},
		{"startxref-off-by-two", patched(plain, fmt.Sprintf("startxref\n%d", at), fmt.Sprintf("startxref\n%d", at+2)), CodeBrokenXref},
		{"row-of-19-bytes", patched(plain, "00000 n\r\n", "00000 n\n"), CodeBrokenXref},
		{"offset-off-by-one", patched(plain, "0000000015 00000 n", "0000000016 00000 n"), CodeBrokenXref},
		{"two-objects-swapped", patched(plain, "0000000015 00000 n", "0000000060 00000 n"), CodeBrokenXref},
		{"size-too-small", patched(plain, "/Size 5", "/Size 4"), CodeBrokenXref},
		{"size-too-large", patched(plain, "/Size 5", "/Size 99999999"), CodeTooManyObjects},
		{"too-many-rows", patched(plain, "1 4\n", "1 99999999\n"), CodeTooManyObjects},
		{"number-defined-twice", patched(plain, "0 1\n0000000000 65535 f\r\n", "0 2\n0000000000 65535 f\r\n0000000015 00000 n\r\n"), CodeBrokenXref},
		{"no-root", patched(plain, "/Root", "/Ruut"), CodeBrokenXref},
		{"root-twice", patched(plain, "/Root 1 0 R", "/Root 1 0 R/R#6fot 2 0 R"), CodeDuplicateKey},
		{"root-not-a-catalog", patched(plain, "/Root 1", "/Root 2"), CodeBadStructure},
		{"acroform-twice", classic(spec{catalog: "/AcroForm<<>>/AcroForm<<>>"}), CodeDuplicateKey},
	}, badStreams()...), badForms()...)
}

func badStreams() []badCase {
	bomb := deflate(strings.Repeat("\x00", 64<<20))
	bigStm := newFile(spec{})
	it := spec{}.items()
	bigStm.put(it[1:]...)
	bigStm.putStream(9, it[0], item{10, strings.Repeat(" ", 40<<20)})
	bigStm.stream("", false)
	loop := newFile(spec{})
	loop.put(it[1:]...)
	loop.inst[1] = [2]int64{9, 0}
	loop.inst[8] = [2]int64{9, 1}
	loop.put(item{9, "<</Type/ObjStm/N 2/First 8/Length 8 0 R>>\nstream\n1 0 8 3  <<>> 9\nendstream"})
	loop.stream("", false)
	good := packed(spec{}, false)
	return []badCase{
		{"bomb-object-stream", bigStm.Bytes(), CodeDecompressionBomb},
		{"bomb-not-read", bareStream("/Size 1/W[1 4 2]/Filter/FlateDecode", bomb), CodeBadStructure},
		{"stream-needs-itself", loop.Bytes(), CodeTooDeep},
		{"xref-stream-short", bareStream("/Size 9/W[1 4 2]", []byte("abc")), CodeBadStream},
		{"xref-stream-lzw", bareStream("/Size 9/W[1 4 2]/Filter/LZWDecode", []byte("abc")), CodeUnsupportedFilter},
		{"xref-stream-two-filters", bareStream("/Size 9/W[1 4 2]/Filter[/ASCIIHexDecode/FlateDecode]", []byte("abc")), CodeUnsupportedFilter},
		{"xref-stream-not-deflate", bareStream("/Size 9/W[1 4 2]/Filter/FlateDecode", []byte("abcdefgh")), CodeBadStream},
		{"xref-stream-w-negative", bareStream("/Size 9/W[1 -4 2]", []byte("abc")), CodeBrokenXref},
		{"xref-stream-w-huge", bareStream("/Size 9/W[1 400 2]", []byte("abc")), CodeBrokenXref},
		{"xref-stream-index-odd", bareStream("/Size 9/W[1 4 2]/Index[0]", []byte("abc")), CodeBrokenXref},
		{"xref-stream-index-huge", bareStream("/Size 9/W[1 4 2]/Index[0 1000000000]", []byte("abc")), CodeTooManyObjects},
		{"xref-stream-length-wrong", patched(good, "/Filter/FlateDecode/Size", "/Filter/FlateDecode/Length 3/Size"), CodeDuplicateKey},
		{"object-stream-kind", patched(good, "/ObjStm", "/ObjSTM"), CodeBadStream},
	}
}

func badForms() []badCase {
	dict := func(r [4]int, c string) string { return certDict(1, r, c) }
	cert := newFile(spec{})
	s := formSpec("[5 0 R]", "", "/Annots[5 0 R]", item{5, sigField("")})
	s.catalog += "/Perms<</DocMDP 6 0 R>>"
	cert.put(s.items()...)
	cert.table("")
	cert.signedAs(6, item{5, sigField("/V 6 0 R")}, dict)
	noPerms := newFile(spec{})
	noPerms.put(formSpec("[5 0 R]", "", "/Annots[5 0 R]", item{5, sigField("")}).items()...)
	noPerms.table("")
	noPerms.signedAs(6, item{5, sigField("/V 6 0 R")}, dict)
	lockP := newFile(spec{})
	lockP.put(formSpec("[5 0 R]", "", "/Annots[5 0 R]", item{5, sigField("/Lock<</Action/All/P 1>>")}).items()...)
	lockP.table("")
	lockP.signed(6, sigField("/Lock<</Action/All/P 1>>/V 6 0 R"), 5)
	seed := func(sv string) []byte {
		return classic(formSpec("[5 0 R]", "", "/Annots[5 0 R]", item{5, sigField("/SV<<" + sv + ">>")}))
	}
	return []badCase{
		{"certified-p1", cert.Bytes(), CodeCertifiedNoChanges},
		{"certified-p1-without-perms", noPerms.Bytes(), CodeCertifiedNoChanges},
		{"lock-p1", lockP.Bytes(), CodeCertifiedNoChanges},
		{"field-cycle", classic(formSpec("[5 0 R]", "", "", item{5, "<</T(a)/Kids[6 0 R]>>"}, item{6, "<</T(b)/Kids[5 0 R]>>"})), CodeBadStructure},
		{"fields-not-an-array", classic(formSpec(" 3", "", "")), CodeBadStructure},
		{"annots-not-an-array", classic(spec{page: "/Annots(x)"}), CodeBadStructure},
		{"page-tree-cycle", patched(classic(spec{}), "/Kids[3 0 R]", "/Kids[2 0 R]"), CodeBadStructure},
		{"no-page", patched(classic(spec{}), "/Kids[3 0 R]", "/Kids[     ]"), CodeBadStructure},
		{"references-in-a-circle", classic(spec{catalog: "/AcroForm 5 0 R", more: []item{{5, "6 0 R"}, {6, "5 0 R"}}}), CodeTooDeep},
		{"seed-subfilter", seed("/Ff 2/SubFilter[/adbe.pkcs7.detached]"), CodeSeedValue},
		{"seed-filter", seed("/Ff 1/Filter/Entrust.PPKEF"), CodeSeedValue},
		{"seed-digest", seed("/Ff 64/DigestMethod[(SHA1)]"), CodeSeedValue},
		{"seed-reason", seed("/Ff 8/Reasons[(I agree)]"), CodeSeedValue},
		{"seed-legal", seed("/Ff 16"), CodeSeedValue},
		{"seed-revocation", seed("/Ff 32/AddRevInfo true"), CodeSeedValue},
		{"seed-certification", seed("/MDP<</P 2>>"), CodeSeedValue},
		{"seed-certificate", seed("/Cert<</Ff 1/Subject[(x)]>>"), CodeSeedValue},
		{"seed-time-stamp", seed("/TimeStamp<</Ff 1/URL(x)>>"), CodeSeedValue},
		{"seed-version", seed("/Ff 4/V 9"), CodeSeedValue},
		{"lock-action", classic(formSpec("[5 0 R]", "", "/Annots[5 0 R]", item{5, sigField("/Lock<</Action/Some>>")})), CodeBadSignatureField},
	}
}

// certDict is a certification signature with the given P.
func certDict(p int, r [4]int, contents string) string {
	return fmt.Sprintf("<</Type/Sig/Filter/Adobe.PPKLite/SubFilter/ETSI.CAdES.detached/Reference[<</Type/SigRef/TransformMethod/DocMDP"+
		"/TransformParams<</Type/TransformParams/V/1.2/P %d>>>>]/ByteRange[%010d %010d %010d %010d]/Contents <%s>>>", p, r[0], r[1], r[2], r[3], contents)
}

func TestBadDocumentsAreRefused(t *testing.T) {
	for _, c := range badCases() {
		t.Run(c.name, func(t *testing.T) {
			p, err := Prepare(bytes.NewReader(c.pdf), int64(len(c.pdf)), options())
			if code(err) != c.code || p != nil && err == nil {
				t.Errorf("got %v, want %s", err, c.code)
			}
			if err := Check(bytes.NewReader(c.pdf), int64(len(c.pdf)), options()); code(err) != c.code {
				t.Errorf("Check: got %v, want %s", err, c.code)
			}
		})
	}
}

func TestCertifiedWithP2CanBeSigned(t *testing.T) {
	f := newFile(spec{})
	s := formSpec("[5 0 R]", "", "/Annots[5 0 R]", item{5, sigField("")})
	s.catalog += "/Perms<</DocMDP 6 0 R>>"
	f.put(s.items()...)
	f.table("")
	f.signedAs(6, item{5, sigField("/V 6 0 R")}, func(r [4]int, c string) string { return certDict(2, r, c) })
	_, whole := prepareBytes(t, f.Bytes(), options())
	sigs, err := Signatures(bytes.NewReader(whole), int64(len(whole)), Budget{})
	if err != nil || len(sigs) != 2 || sigs[0].Permissions != 2 || sigs[1].Permissions != 0 || len(sigs[0].Problems) > 0 {
		t.Errorf("%+v %v", sigs, err)
	}
	checkQPDF(t, whole)
}

func TestFieldThatCannotBeSigned(t *testing.T) {
	signed := newFile(spec{})
	signed.put(formSpec("[5 0 R 7 0 R]", "", "/Annots[5 0 R 7 0 R]", item{5, sigField("")}, item{7, strings.Replace(sigField(""), "Approval", "Second", 1)}).items()...)
	signed.table("")
	signed.signedAs(6, item{5, sigField("/V 6 0 R")}, func(r [4]int, c string) string {
		return strings.Replace(certDict(2, r, c), "/TransformMethod/DocMDP/TransformParams<<", "/TransformMethod/FieldMDP/TransformParams<</Action/All", 1)
	})
	for name, want := range map[string]string{"Approval": CodeBadSignatureField, "Second": CodeFieldLocked} {
		o := options()
		o.FieldName = name
		if _, err := Prepare(bytes.NewReader(signed.Bytes()), int64(signed.Len()), o); code(err) != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
	direct := classic(formSpec("["+sigField("")+"]", "", ""))
	o := options()
	o.FieldName = "Approval"
	if _, err := Prepare(bytes.NewReader(direct), int64(len(direct)), o); code(err) != CodeBadSignatureField {
		t.Error(err)
	}
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	doc := classic(spec{})
	for i, change := range []func(*Options){
		func(o *Options) { o.Reserve = 0 }, func(o *Options) { o.Reserve = 5 << 20 }, func(o *Options) { o.Hash = 3 },
		func(o *Options) { o.SignatureTime = o.SignatureTime.AddDate(-2026, 0, 0) },
	} {
		o := options()
		change(&o)
		if _, err := Prepare(bytes.NewReader(doc), int64(len(doc)), o); code(err) != CodeBadOptions {
			t.Error(i, err)
		}
	}
}

// TestBudgets: each limit ends the work with its own code.
func TestBudgets(t *testing.T) {
	doc := classic(spec{})
	two := newFile(spec{})
	two.put(spec{}.items()...)
	two.table("")
	two.put(spec{}.items()[2])
	two.table("")
	for _, c := range []struct {
		doc  []byte
		b    Budget
		code string
	}{
		{doc, Budget{Bytes: 2000}, CodeTooMuchWork},
		{doc, Budget{Objects: 3}, CodeTooManyObjects},
		{doc, Budget{Depth: 1}, CodeTooDeep},
		{two.Bytes(), Budget{Sections: 1}, CodeTooManySections},
		{doc, Budget{Values: 4}, CodeTooManyObjects},
		{classic(spec{catalog: "/X(" + strings.Repeat("x", 5000) + ")"}), Budget{ObjectBytes: 4096}, CodeObjectTooLong},
		{packed(spec{}, false), Budget{Inflate: 100}, CodeDecompressionBomb},
		{doc, Budget{Steps: 200}, CodeTooMuchWork},
		// Too long to be kept, so that each question decodes it again.
		{bytes.Replace(bareStream("/Size 700000/W[1 8 8]/Filter/FlateDecode", deflate(strings.Repeat("\x00", 700_000*17))),
			[]byte("/Root 1 "), []byte("/Root 699999 "), 1), Budget{Inflate: 20 << 20}, CodeDecompressionBomb},
	} {
		o := options()
		o.Budget = c.b
		if _, err := Prepare(bytes.NewReader(c.doc), int64(len(c.doc)), o); code(err) != c.code {
			t.Errorf("%+v: %v, want %s", c.b, err, c.code)
		}
	}
}

// failing gives an error of the disk at an offset.
type failing struct {
	b  []byte
	at int64
}

var errDisk = errors.New("disk")

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.at {
		return 0, errDisk
	}
	return bytes.NewReader(f.b).ReadAt(p, off)
}

func TestReadErrors(t *testing.T) {
	doc := classic(spec{})
	_, err := Prepare(failing{doc, int64(len(doc)) - 10}, int64(len(doc)), options())
	if !errors.Is(err, errDisk) {
		t.Error("a fault of the disk must stay one:", err)
	}
	_, err = Prepare(bytes.NewReader(doc), int64(len(doc))+10, options())
	if code(err) != CodeTruncated {
		t.Error("shorter than said:", err)
	}
	r := Reader(failing{doc, 5}, int64(len(doc)), []byte("update"))
	if _, err := io.ReadAll(r); !errors.Is(err, errDisk) {
		t.Error(err)
	}
}

func TestErrorIs(t *testing.T) {
	err := fmt.Errorf("wrapped: %w", errf(CodeEncrypted, "x"))
	if !errors.Is(err, &Error{Code: CodeEncrypted}) || errors.Is(err, &Error{Code: CodeEmpty}) {
		t.Error("errors.Is does not compare codes")
	}
}
