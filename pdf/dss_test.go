package pdf

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// value is a DER SEQUENCE of its own.
func value(text string) []byte { return append([]byte{0x30, byte(len(text))}, text...) }

// storeOf is a document with a DSS dictionary: dss is its text, and 20 to 23 are streams of the values a to d, of which c
// is not compressed and d is in a filter that we do not read.
func storeOf(dss string, more ...item) spec {
	more = append(more,
		item{20, streamBody("/Filter/FlateDecode", deflate(string(value("a"))))},
		item{21, streamBody("/Filter[/FlateDecode]", deflate(string(value("b"))))},
		item{22, streamBody("", value("c"))},
		item{23, streamBody("/Filter/ASCIIHexDecode", fmt.Appendf(nil, "%X>", value("d")))})
	return spec{catalog: "/DSS " + dss, more: more}
}

func mustAdd(t *testing.T, doc []byte, m Material) []byte {
	t.Helper()
	up, err := AddDSS(bytes.NewReader(doc), int64(len(doc)), m, Budget{})
	if err != nil {
		t.Fatal(err)
	}
	return append(bytes.Clone(doc), up...)
}

// newestStore is the DSS dictionary of the newest revision.
func newestStore(r io.ReaderAt, size int64, b Budget) (Material, error) {
	list, _, err := ValidationData(r, size, []int64{size}, b)
	if err != nil {
		return Material{}, err
	}
	return list[0], nil
}

func storedIn(t *testing.T, doc []byte) Material {
	t.Helper()
	m, err := newestStore(bytes.NewReader(doc), int64(len(doc)), Budget{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func values(texts string) (out [][]byte) {
	for _, c := range texts {
		out = append(out, value(string(c)))
	}
	return out
}

const foreignVRI = "/VRI<</0123456789ABCDEF0123456789ABCDEF01234567<</Type/VRI/Cert 11 0 R/TU(D:2026)>>>>"

// foreignStore is a document with a store, and what of it must stand in the update.
type foreignStore struct {
	doc  []byte
	keep string
}

func foreignStores() map[string]foreignStore {
	indirect := storeOf("10 0 R", item{10, "<</Type/DSS/Certs 11 0 R" + foreignVRI + "/OCSPs[]/CRLs null>>"}, item{11, "[20 0 R 21 0 R 22 0 R]"})
	direct := storeOf("<</Certs[20 0 R %last\n 21 0 R 22 0 R 20 0 R null 99 0 R]"+foreignVRI+">>", item{11, "[20 0 R]"})
	part := newFile(spec{version: "1.5"})
	it := indirect.items()
	part.put(it[1:]...)
	part.hybrid(30, it[0], item{31, "null"})
	return map[string]foreignStore{
		"indirect":        {classic(indirect), "[20 0 R 21 0 R 22 0 R "},
		"direct":          {classic(direct), "[20 0 R %last\n 21 0 R 22 0 R 20 0 R null 99 0 R "},
		"object streams":  {packed(indirect, true), "[20 0 R 21 0 R 22 0 R "},
		"packed catalog":  {packed(direct, false), "[20 0 R %last\n"},
		"hybrid":          {part.Bytes(), "[20 0 R 21 0 R 22 0 R "},
		"null dictionary": {classic(storeOf("null")), "/Certs["},
	}
}

// TestForeignStores: wherever the DSS dictionary of others and its arrays are, what is there stays and is used.
func TestForeignStores(t *testing.T) {
	for name, c := range foreignStores() {
		t.Run(name, func(t *testing.T) {
			checkQPDF(t, c.doc)
			had := storedIn(t, c.doc)
			m := Material{Certificates: values("abcx"), OCSPs: values("a"), CRLs: values("yzy")}
			whole := mustAdd(t, c.doc, m)
			checkQPDF(t, whole)
			up := string(whole[len(c.doc):])
			if !strings.Contains(up, c.keep) {
				t.Errorf("no %q in\n%s", c.keep, up)
			}
			if !strings.HasPrefix(c.keep, "/Certs[") && strings.Count(up, foreignVRI) != 1 {
				t.Errorf("/VRI is not as it was in\n%s", up)
			}
			if strings.Contains(up, "\n11 0 obj") || strings.Contains(up, "\n20 0 obj") {
				t.Errorf("an array or a stream of others was written again in\n%s", up)
			}
			got := storedIn(t, whole)
			want := append(slices.Clone(had.Certificates), m.Certificates[3])
			if len(had.Certificates) == 0 {
				want = m.Certificates
			}
			if !slices.EqualFunc(got.Certificates, want, bytes.Equal) || !slices.EqualFunc(got.OCSPs, m.OCSPs, bytes.Equal) ||
				!slices.EqualFunc(got.CRLs, m.CRLs[:2], bytes.Equal) {
				t.Errorf("the store holds %q", got)
			}
			if p, _ := prepareBytes(t, whole, options()); p.Base().OnlySigns() != nil {
				t.Errorf("a signature behind it: %v", p.Base().OnlySigns())
			}
			if again, err := AddDSS(bytes.NewReader(whole), int64(len(whole)), m, Budget{}); again != nil || err != nil {
				t.Errorf("added again: %q %v", again, err)
			}
		})
	}
}

// TestStreamsThatCannotBeCompared are nobody's match: the value is added.
func TestStreamsThatCannotBeCompared(t *testing.T) {
	doc := classic(storeOf("<</Certs[23 0 R 24 0 R 3 0 R 25 0 R]>>", item{24, streamBody("/Filter/FlateDecode", []byte("not deflate"))}, item{25, streamBody("", value("e"))}))
	if got := storedIn(t, doc); !slices.EqualFunc(got.Certificates, values("e"), bytes.Equal) {
		t.Errorf("%q", got)
	}
	whole := mustAdd(t, doc, Material{Certificates: values("de")})
	if got := storedIn(t, whole); !slices.EqualFunc(got.Certificates, values("ed"), bytes.Equal) {
		t.Errorf("%q", got)
	}
}

func TestExtensionsOfOthers(t *testing.T) {
	add := func(s spec) string {
		doc := classic(s)
		whole := mustAdd(t, doc, Material{OCSPs: values("a")})
		checkQPDF(t, whole)
		return string(whole[len(doc):])
	}
	for _, c := range []struct {
		s         spec
		want, not string
	}{
		{spec{catalog: "/Extensions<</ADBE<</BaseVersion/1.7/ExtensionLevel 8>>>>"}, "/ExtensionLevel 8>> /ESIC <</BaseVersion/1.7/ExtensionLevel 1>>>>", ""},
		{spec{catalog: "/Extensions 10 0 R", more: []item{{10, "<<>>"}}}, "10 0 obj\n<< /ESIC <<", "/Extensions<<"},
		{spec{catalog: "/Extensions<</ESIC<</BaseVersion/1.7/ExtensionLevel 2>>>>"}, "/ExtensionLevel 2>>>>", "/ExtensionLevel 1"},
		{spec{catalog: "/Extensions null"}, "/Extensions <</ESIC", ""},
		{spec{version: "1.3", catalog: "/Version/1.5"}, "/Version /1.7", "/1.5"},
		{spec{version: "1.3", catalog: "/Version/2.0"}, "/Version/2.0", "/ESIC"},
		{spec{version: "1.4", catalog: "/Version/9.9.9"}, "/Version /1.7", "/9.9"},
		{spec{version: "2.0", catalog: "/Version/1.4"}, "/Version/1.4", "/ESIC"},
	} {
		up := add(c.s)
		if !strings.Contains(up, c.want) || c.not != "" && strings.Contains(up, c.not) {
			t.Errorf("want %q and not %q in\n%s", c.want, c.not, up)
		}
	}
}

// badStores are documents to which nothing can be added, and why.
func badStores() map[string]struct {
	doc  []byte
	code string
} {
	type bad = struct {
		doc  []byte
		code string
	}
	return map[string]bad{
		"an array":                    {classic(storeOf("[20 0 R]")), CodeBadStructure},
		"the catalog":                 {classic(storeOf("1 0 R")), CodeBadStructure},
		"a stream":                    {classic(storeOf("22 0 R")), CodeBadStructure},
		"array of a wrong type":       {classic(storeOf("<</OCSPs 20>>")), CodeBadStructure},
		"a key twice":                 {classic(storeOf("<</OCSPs[20 0 R]/OCSPs[]>>")), CodeDuplicateKey},
		"twice in the catalog":        {classic(storeOf("<<>>/DSS null")), CodeDuplicateKey},
		"a stream as extensions":      {classic(spec{catalog: "/Extensions 4 0 R"}), CodeBadStructure},
		"extensions of a wrong type":  {classic(spec{catalog: "/Extensions[]"}), CodeBadStructure},
		"a bomb":                      {classic(storeOf("<</Certs[24 0 R]>>", item{24, streamBody("/Filter/FlateDecode", deflate(strings.Repeat("x", 2<<20)))})), CodeDecompressionBomb},
		"too many":                    {classic(storeOf("<</Certs[" + strings.Repeat("20 0 R ", maxStoreEntries+1) + "]>>")), CodeTooManyObjects},
		"no such object at its place": {bytes.Replace(classic(storeOf("<</Certs[20 0 R]>>")), []byte("\n20 0 obj"), []byte("\n29 0 obj"), 1), CodeBrokenXref},
	}
}

func TestAddDSSRefuses(t *testing.T) {
	for name, c := range badStores() {
		b := Budget{Inflate: 1 << 20}
		up, err := AddDSS(bytes.NewReader(c.doc), int64(len(c.doc)), Material{Certificates: values("x")}, b)
		if up != nil && err == nil || code(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	good := classic(spec{})
	for name, m := range map[string]Material{"empty value": {CRLs: [][]byte{{}}}, "not DER": {OCSPs: [][]byte{[]byte("hello")}},
		"bytes behind": {Certificates: [][]byte{{0x30, 0, 0}}}, "cut": {Certificates: [][]byte{{0x30, 3, 0}}}} {
		if _, err := AddDSS(bytes.NewReader(good), int64(len(good)), m, Budget{}); code(err) != CodeBadOptions {
			t.Errorf("%s: %v", name, err)
		}
	}
	if up, err := AddDSS(bytes.NewReader(good), int64(len(good)), Material{}, Budget{}); up != nil || err != nil {
		t.Errorf("nothing to add: %q, %v", up, err)
	}
	small := Budget{Objects: 8}
	if _, err := AddDSS(bytes.NewReader(good), int64(len(good)), Material{Certificates: values("abcd")}, small); code(err) != CodeTooManyObjects {
		t.Errorf("no numbers left: %v", err)
	}
}

// TestValidationDataOfEachRevision: what the store was when it was signed, and that only revisions have one.
func TestValidationDataOfEachRevision(t *testing.T) {
	doc := classic(spec{})
	one := mustAdd(t, doc, Material{Certificates: values("a")})
	two := mustAdd(t, one, Material{Certificates: values("ab"), CRLs: values("c")})
	r, size := bytes.NewReader(two), int64(len(two))
	list, bad, err := ValidationData(r, size, []int64{int64(len(one)), size, int64(len(doc))}, Budget{})
	if err != nil || bad != 0 || len(list) != 3 {
		t.Fatal(list, bad, err)
	}
	for i, want := range []Material{{Certificates: values("a")}, {Certificates: values("ab"), CRLs: values("c")}, {}} {
		if !slices.EqualFunc(list[i].Certificates, want.Certificates, bytes.Equal) || !slices.EqualFunc(list[i].CRLs, want.CRLs, bytes.Equal) || len(list[i].OCSPs) > 0 {
			t.Errorf("number %d: %q", i, list[i])
		}
	}
	if _, _, err := ValidationData(r, size, []int64{int64(len(one)) - 9}, Budget{}); code(err) != CodeTruncated {
		t.Errorf("a place where no revision ends: %v", err)
	}
	for _, end := range []int64{0, -7, size + 1} {
		if _, _, err := ValidationData(r, size, []int64{end}, Budget{}); code(err) != CodeNotARevision {
			t.Errorf("%d is no place in the file: %v", end, err)
		}
	}
	broken := classic(storeOf("<</Certs[23 0 R 20 0 R null]>>"))
	if list, bad, err := ValidationData(bytes.NewReader(broken), int64(len(broken)), []int64{int64(len(broken))}, Budget{}); err != nil || bad != 2 || len(list[0].Certificates) != 1 {
		t.Error(list, bad, err)
	}
}

// TestStoreIsBounded: the values come into memory, so that there is a limit to all of them together.
func TestStoreIsBounded(t *testing.T) {
	var more []item
	for i := range 13 {
		more = append(more, item{30 + i, streamBody("/Filter/FlateDecode", deflate(fmt.Sprint(i, strings.Repeat("x", 8<<20))))})
	}
	doc := classic(storeOf("<</CRLs["+refList(30, 13)+"]>>", more...))
	if _, err := newestStore(bytes.NewReader(doc), int64(len(doc)), Budget{}); code(err) != CodeDecompressionBomb {
		t.Error(err)
	}
}
