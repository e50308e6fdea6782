package pdf

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

func refList(from, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%d 0 R ", from+i)
	}
	return b.String()
}

// manyFields is a document with n fields in an object stream, and more there.
func manyFields(n int, field string, loose []item, more ...item) *file {
	s := spec{catalog: "/AcroForm<</Fields[" + refList(100, n) + "]>>", more: loose}
	f := newFile(s)
	f.put(s.items()...)
	for i := range n {
		more = append(more, item{100 + i, field})
	}
	f.putStream(90, more...)
	return f.stream("", false)
}

func signaturesOf(doc []byte) ([]Signature, error) {
	return Signatures(bytes.NewReader(doc), int64(len(doc)), Budget{})
}

// TestSmallFilesCannotBuyMuchWork: what costs no byte of the file has a limit
// too. Before there was one, the first document (330 kB) took an hour and the
// second (230 kB) half a minute and 1.4 GB.
func TestSmallFilesCannotBuyMuchWork(t *testing.T) {
	// 20 000 fields of which each asks for an array of a million values.
	long := manyFields(20_000, "<</FT 50 0 R>>", nil, item{50, "[" + strings.Repeat("0 ", 1_000_000) + "]"}).Bytes()
	// 200 revisions, in each of which 10 000 fields are looked for.
	revisions := manyFields(10_000, "<</FT/Sig/T(x)>>", nil)
	for range 200 {
		revisions.put(item{4, streamBody("", []byte("x"))})
		revisions.stream("", false)
	}
	// 10 000 empty fields, of which none has a name, each held against 50 000
	// names that are locked.
	lock := manyFields(10_000, "<</FT/Sig>>", []item{{50, "<</Type/Sig/Reference[<</TransformMethod/FieldMDP" +
		"/TransformParams<</Action/Include/Fields[" + strings.Repeat("(y)", 50_000) + "]>>>>]>>"}},
		item{99, "<</FT/Sig/T(signed)/V 50 0 R>>"})
	locks := bytes.Replace(lock.Bytes(), []byte("/Fields[100 0 R"), []byte("/Fields[99 0 R "), 1)
	few := Budget{Steps: 1 << 24} // as the default, but for the time of this test
	for name, doc := range map[string][]byte{"values": long, "sections": revisions.Bytes()} {
		if _, err := Signatures(bytes.NewReader(doc), int64(len(doc)), few); code(err) != CodeTooMuchWork {
			t.Errorf("%s: %v", name, err)
		}
	}
	o := options()
	o.Budget = few
	if err := Check(bytes.NewReader(locks), int64(len(locks)), o); code(err) != CodeTooMuchWork {
		t.Errorf("locks: %v", err)
	}
}

// TestManySignatures: fields that share a dictionary share its CMS, and there
// is a limit to them.
func TestManySignatures(t *testing.T) {
	dict := item{50, "<</Type/Sig/Contents<3003020100" + strings.Repeat("00", 100_000) + ">>>"}
	const field = "<</FT/Sig/T(x)/V 50 0 R>>"
	doc := manyFields(maxSignatures, field, []item{dict}).Bytes()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	list, err := signaturesOf(doc)
	runtime.ReadMemStats(&after)
	if err != nil || len(list) != maxSignatures || !list[0].Has(CodeSharedSignature) {
		t.Fatal(err, len(list))
	}
	if mb := (after.TotalAlloc - before.TotalAlloc) >> 20; mb > 100 {
		t.Errorf("%d MB for a document of %d kB", mb, len(doc)>>10)
	}
	doc = manyFields(maxSignatures+1, field, []item{dict}).Bytes()
	if _, err := signaturesOf(doc); code(err) != CodeTooManyObjects {
		t.Error(err)
	}
}
