package pdf

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// signedBase is a document with one empty field, 5, named Approval, to be
// signed by an update with dictionary 6.
func signedBase() *file {
	f := newFile(spec{})
	f.put(formSpec("[5 0 R]", "/SigFlags 3", "/Annots[5 0 R]", item{5, sigField("")}).items()...)
	f.table("")
	return f
}

func soundDoc() *file {
	return signedBase().signed(6, sigField("/V 6 0 R"), 5)
}

func codes(s Signature) []string {
	var out []string
	for _, p := range s.Problems {
		out = append(out, p.Code)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// withDict signs with a dictionary made by format, which gets the four numbers
// and the contents.
func withDict(format string) []byte {
	return signedBase().signedAs(6, item{5, sigField("/V 6 0 R")}, func(r [4]int, c string) string {
		return fmt.Sprintf(format, fmt.Sprintf("%010d", r[0]), fmt.Sprintf("%010d", r[1]), fmt.Sprintf("%010d", r[2]), fmt.Sprintf("%010d", r[3]), c)
	}).Bytes()
}

// attack is a file in which one signature is not what it seems, and the
// problem that must be told of it (ades §10.2 and §10.4).
type attack struct {
	name string
	pdf  []byte
	want string // a problem of one of the signatures; "" = none has one
}

func attacks() []attack {
	sound := soundDoc().Bytes()
	const full = "<</Type/Sig/SubFilter/ETSI.CAdES.detached/ByteRange[%[1]s %[2]s %[3]s %[4]s]/Contents <%[5]s>>>"
	return append([]attack{
		{"sound", sound, ""},
		{"usf-no-byterange", withDict("<</Type/Sig/Contents <%[5]s>/X(%[1]s%[2]s%[3]s%[4]s)>>"), CodeBadByteRange},
		{"usf-byterange-null", withDict("<</Type/Sig/ByteRange null/Contents <%[5]s>/X(%[1]s%[2]s%[3]s%[4]s)>>"), CodeBadByteRange},
		{"usf-byterange-empty", withDict("<</Type/Sig/ByteRange[]/Contents <%[5]s>/X(%[1]s%[2]s%[3]s%[4]s)>>"), CodeBadByteRange},
		{"usf-byterange-zeros", withDict("<</Type/Sig/ByteRange[0 0 0 0]/Contents <%[5]s>/X(%[1]s%[2]s%[3]s%[4]s)>>"), CodeBadByteRange},
		{"usf-byterange-two", withDict("<</Type/Sig/ByteRange[%[1]s %[2]s]/Contents <%[5]s>/X(%[3]s%[4]s)>>"), CodeBadByteRange},
		{"usf-byterange-six", withDict("<</Type/Sig/ByteRange[%[1]s %[2]s %[3]s %[4]s 0 0]/Contents <%[5]s>>>"), CodeBadByteRange},
		{"usf-byterange-negative", withDict("<</Type/Sig/ByteRange[%[1]s -%[2]s %[3]s %[4]s]/Contents <%[5]s>>>"), CodeBadByteRange},
		{"usf-byterange-starts-late", withDict("<</Type/Sig/ByteRange[1 %[2]s %[3]s %[4]s]/Contents <%[5]s>/X(%[1]s)>>"), CodeBadByteRange},
		{"usf-byterange-real", withDict("<</Type/Sig/ByteRange[0.0 %[2]s %[3]s %[4]s]/Contents <%[5]s>/X(%[1]s)>>"), CodeBadByteRange},
		{"usf-byterange-huge", withDict("<</Type/Sig/ByteRange[0 %[2]s %[3]s 999999999999999999]/Contents <%[5]s>/X(%[1]s%[4]s)>>"), CodeBadByteRange},
		{"usf-byterange-indirect", signedBase().signedAs(6, item{5, sigField("/V 6 0 R")}, func(r [4]int, c string) string {
			return fmt.Sprintf("<</Type/Sig/ByteRange 7 0 R/Contents <%s>>>", c)
		}, item{7, "[0 1 2 3]"}).Bytes(), CodeBadByteRange},
		{"usf-no-contents", withDict("<</Type/Sig/ByteRange[%[1]s %[2]s %[3]s %[4]s]/Kontents <%[5]s>>>"), CodeBadContents},
		{"usf-contents-null", withDict("<</Type/Sig/ByteRange[%[1]s %[2]s %[3]s %[4]s]/Contents null/X <%[5]s>>>"), CodeBadContents},
		{"usf-contents-empty", withDict("<</Type/Sig/ByteRange[%[1]s %[2]s %[3]s %[4]s]/Contents <>/X <%[5]s>>>"), CodeBadCMS},
		{"usf-contents-literal", withDict("<</Type/Sig/ByteRange[%[1]s %[2]s %[3]s %[4]s]/Contents(0)/X <%[5]s>>>"), CodeBadContents},
		{"usf-contents-indirect", withDict("<</Type/Sig/ByteRange[%[1]s %[2]s %[3]s %[4]s]/Contents 5 0 R/X <%[5]s>>>"), CodeBadContents},
		{"gap-of-another-token", withDict("<</Type/Sig/ByteRange[%[1]s %[2]s %[3]s %[4]s]/Contents <3000>/X <%[5]s>>>"), CodeNotExactGap},
		{"contents-twice", withDict("<</Type/Sig/ByteRange[%[1]s %[2]s %[3]s %[4]s]/Contents<3000>/Contents <%[5]s>>>"), CodeDuplicateKey},
		{"contents-twice-escaped", withDict("<</Type/Sig/ByteRange[%[1]s %[2]s %[3]s %[4]s]/C#6fntents<3000>/Contents <%[5]s>>>"), CodeDuplicateKey},
		{"any-key-twice", withDict("<</Type/Sig/Reason(a)/Reason(b)/ByteRange[%[1]s %[2]s %[3]s %[4]s]/Contents <%[5]s>>>"), CodeDuplicateKey},
		{"trailing-contents", bytes.Replace(withDict(full), []byte(fakeCMS+"000"), []byte(fakeCMS+"00F"), 1), CodeTrailingContents},
		{"contents-with-space", bytes.Replace(withDict(full), []byte(fakeCMS+"000"), []byte(fakeCMS+"0 0"), 1), CodeBadContents},
		{"not-cms", bytes.Replace(withDict(full), []byte(fakeCMS), []byte("4003020100"), 1), CodeBadCMS},
	}, attacksByUpdate()...)
}

// attacksByUpdate append something to a sound signed document.
func attacksByUpdate() []attack {
	page := formSpec("[5 0 R]", "/SigFlags 3", "/Annots[5 0 R]", item{5, sigField("")}).items()[2]
	later := soundDoc()
	later.put(page)
	later.table("")
	sigBody := func(doc []byte) string {
		i := bytes.LastIndex(doc, []byte("6 0 obj\n")) + 8
		return string(doc[i : i+bytes.Index(doc[i:], []byte("\nendobj"))])
	}
	spoof := soundDoc()
	spoof.put(item{6, strings.Replace(sigBody(spoof.Bytes()), "/Type/Sig", "/Type/Sig/Reason(other)", 1)})
	spoof.table("")
	removed := soundDoc()
	removed.put(formSpec("[]", "/SigFlags 3", "").items()[0])
	removed.table("")
	emptied := soundDoc()
	emptied.put(item{5, sigField("")})
	emptied.table("")
	renamed := soundDoc()
	renamed.put(item{5, strings.Replace(sigField("/V 6 0 R"), "Approval", "Renamed", 1)})
	renamed.table("")
	other := soundDoc()
	other.put(formSpec("[7 0 R]", "/SigFlags 3", "").items()[0], item{7, strings.Replace(sigField("/V 6 0 R"), "Approval", "New", 1)})
	other.table("")
	shared := soundDoc()
	shared.put(formSpec("[5 0 R 7 0 R]", "/SigFlags 3", "").items()[0], item{7, strings.Replace(sigField("/V 6 0 R"), "Approval", "New", 1)})
	shared.table("")
	inStream := signedBase()
	inStream.put(item{5, sigField("/V 6 0 R")})
	inStream.putStream(8, item{6, "<</Type/Sig/ByteRange[0 1 2 3]/Contents<3000>>>"})
	inStream.stream("", false)
	perms := soundDoc()
	cat := formSpec("[5 0 R]", "/SigFlags 3", "").items()[0]
	perms.put(item{1, strings.Replace(cat.body, "/Type/Catalog", "/Type/Catalog/Perms<</DocMDP 9 0 R>>", 1)}, item{9, "<</Type/Sig>>"})
	perms.table("")
	tail := soundDoc().Bytes()
	shift := func(by int, extra string) []byte {
		// The range ends by bytes later than the revision.
		s := soundDoc().Bytes()
		i := bytes.LastIndex(s, []byte("]/Contents"))
		return append(append(append(bytes.Clone(s[:i-10]), fmt.Sprintf("%010d", atoi(s[i-10:i])+by)...), s[i:]...), extra...)
	}
	return []attack{
		{"later-revision", later.Bytes(), ""},
		{"dictionary-spoofed", spoof.Bytes(), CodeNotExactGap},
		{"dictionary-spoofed-is-removed-one-too", spoof.Bytes(), CodeRemoved},
		{"field-removed", removed.Bytes(), CodeRemoved},
		{"field-emptied", emptied.Bytes(), CodeRemoved},
		{"field-renamed", renamed.Bytes(), CodeNotInSignedRevision},
		{"signature-moved-to-new-field", other.Bytes(), CodeNotInSignedRevision},
		{"signature-shared", shared.Bytes(), CodeSharedSignature},
		{"dictionary-in-object-stream", inStream.Bytes(), CodeContentsInStream},
		{"perms-without-field", perms.Bytes(), CodeNotInField},
		{"range-ends-early", shift(-3, ""), CodeNotARevision},
		{"range-ends-late", shift(8, "%comment"), CodeNotARevision},
		{"white-space-behind", append(bytes.Clone(tail), '\n'), ""},
	}
}

func atoi(b []byte) (n int) {
	for _, c := range b {
		n = n*10 + int(c-'0')
	}
	return n
}

func TestAttacksAreTold(t *testing.T) {
	for _, a := range attacks() {
		t.Run(a.name, func(t *testing.T) {
			sigs, err := Signatures(bytes.NewReader(a.pdf), int64(len(a.pdf)), Budget{})
			if err != nil {
				t.Fatal(err)
			}
			if len(sigs) == 0 {
				t.Fatal("no signature found")
			}
			var all []string
			for _, s := range sigs {
				all = append(all, codes(s)...)
				if len(s.Problems) == 0 && (!s.ContentsIsExactGap || s.RevisionEnd == 0 || !s.SameInSignedRevision) {
					t.Errorf("no problem, and yet %+v", s)
				}
			}
			if a.want == "" && len(all) > 0 || a.want != "" && !slices.Contains(all, a.want) {
				t.Errorf("problems %q, want %q", all, a.want)
			}
		})
	}
}

func TestCoverage(t *testing.T) {
	for _, c := range attacks() {
		want := map[string]Coverage{"sound": CoverageFile, "later-revision": CoverageRevision, "white-space-behind": CoverageRevision,
			"range-ends-early": CoverageBlock, "gap-of-another-token": CoverageUnclear}
		w, ok := want[c.name]
		if !ok {
			continue
		}
		sigs, err := Signatures(bytes.NewReader(c.pdf), int64(len(c.pdf)), Budget{})
		if err != nil || len(sigs) != 1 || sigs[0].Coverage != w || sigs[0].CoversWholeFile != (w == CoverageFile) {
			t.Errorf("%s: %+v %v, want %s", c.name, sigs, err, w)
		}
	}
}

func TestByteRangeDigestRefuses(t *testing.T) {
	doc := soundDoc().Bytes()
	for _, r := range [][4]int64{{}, {1, 5, 9, 9}, {0, 5, 4, 1}, {0, 5, 9, 1 << 62}, {0, 5, 1 << 62, 1 << 62}, {0, -1, 9, 9}, {0, 9, 10, -1}} {
		if _, err := ByteRangeDigest(bytes.NewReader(doc), int64(len(doc)), Signature{ByteRange: r}, 5); code(err) != CodeBadByteRange {
			t.Errorf("%v: %v", r, err)
		}
	}
}

// TestCopiedXRefStm: a signer that copies /XRefStm into its own trailer makes a
// file with two meanings only where an object changed in between.
func TestCopiedXRefStm(t *testing.T) {
	build := func(changed int) []byte {
		it := spec{}.items()
		f := newFile(spec{version: "1.5"})
		f.put(it[0], it[1], it[3])
		f.hybrid(9, it[2])
		x := f.Bytes()[bytes.LastIndex(f.Bytes(), []byte("/XRefStm")):]
		stm := string(x[:bytes.IndexAny(x[1:], "/>")+1])
		f.put(it[changed])
		f.table("")
		f.put(it[0])
		f.table(stm)
		return f.Bytes()
	}
	doc := build(1) // the page tree, which the stream does not show
	_, whole := prepareBytes(t, doc, options())
	checkQPDF(t, whole)
	doc = build(2) // the page, which it does
	if _, err := Prepare(bytes.NewReader(doc), int64(len(doc)), options()); code(err) != CodeBrokenXref {
		t.Error(err)
	}
}
