package pdf

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

const emptyField = "<</FT/Sig/T(Approval)/Type/Annot/Subtype/Widget/Rect[0 0 0 0]/F 132/P 3 0 R%s>>"

// form is a spec with a form: fields is the text of /Fields, form more entries.
func formSpec(fields, form, page string, more ...item) spec {
	return spec{catalog: "/AcroForm<</Fields" + fields + form + ">>", page: page, more: more}
}

// goodCase is a document that can be signed, and what must come out.
type goodCase struct {
	name  string
	pdf   []byte
	field string // name of the field that is signed
	kind  string // of the new cross-reference section
	want  string // text that must be in the update
	not   string // text that must not be
}

func sigField(extra string) string { return fmt.Sprintf(emptyField, extra) }

const textField = "<</FT/Tx/T(Text)/Type/Annot/Subtype/Widget/Rect[0 0 9 9]/P 3 0 R/DA(/Helv 0 Tf)/V(kept)>>"

func goodCases() []goodCase {
	return slices.Concat(structureCases(), formCases(), fieldCases())
}

// structureCases vary the file around the same document.
func structureCases() []goodCase {
	plain := spec{}
	crlf := classic(plain)
	lone := append(bytes.TrimRight(bytes.Clone(crlf), "\n"), '\r')
	bare := bytes.TrimRight(bytes.Clone(crlf), "\n")
	linear := newFile(plain)
	linear.put(plain.items()[1:]...)
	linear.table("") // the second part, with no catalog of its own
	linear.put(plain.items()[0])
	linear.table("")
	mixed := newFile(plain)
	mixed.put(plain.items()...)
	mixed.table("")
	mixed.put(item{3, plain.items()[2].body})
	mixed.stream("", false)
	hybrid := newFile(spec{version: "1.5"})
	it := plain.items()
	hybrid.put(it[0], it[1], it[3])
	hybrid.hybrid(9, it[2])
	deep := spec{more: []item{{10, "<</Type/Pages/Kids[]/Count 0/Parent 2 0 R>>"}, {11, "<</Type/Pages/Kids[3 0 R]/Count 1/Parent 2 0 R>>"}}}
	deepItems := deep.items()
	deepItems[1].body = "<</Type/Pages/Kids[10 0 R 11 0 R]/Count 1>>"
	deepItems[2].body = strings.Replace(deepItems[2].body, "/Parent 2", "/Parent 11", 1)
	nested := newFile(deep)
	nested.put(deepItems...)
	nested.table("")
	return []goodCase{
		{name: "classic", pdf: crlf, kind: "table", field: "Signature1", want: "/AcroForm 7 0 R"},
		{name: "classic-1.4", pdf: classic(spec{version: "1.4"}), kind: "table", field: "Signature1"},
		{name: "classic-2.0", pdf: classic(spec{version: "2.0", trailer: "/ID[<01><02>]"}), kind: "table", field: "Signature1", want: "/ID[<01><"},
		{name: "info-and-id", pdf: classic(spec{more: []item{{5, "<</Title(x)>>"}}, trailer: "/Info 5 0 R/ID[(a\\)b)(c)]"}), kind: "table", field: "Signature1", want: "/ID[(a\\)b)<"},
		{name: "end-without-eol", pdf: bare, kind: "table", field: "Signature1"},
		{name: "end-with-cr", pdf: lone, kind: "table", field: "Signature1"},
		{name: "xref-stream", pdf: packed(plain, false), kind: "stream", field: "Signature1", want: "/Type/XRef"},
		{name: "xref-stream-png", pdf: packed(spec{version: "2.0"}, true), kind: "stream", field: "Signature1", want: "/W[1 8 2]"},
		{name: "hybrid", pdf: bytes.Clone(hybrid.Bytes()), kind: "table", field: "Signature1", not: "XRefStm"},
		{name: "table-then-stream", pdf: mixed.Bytes(), kind: "stream", field: "Signature1"},
		{name: "two-parts-as-linearized", pdf: linear.Bytes(), kind: "table", field: "Signature1"},
		{name: "page-tree-with-empty-node", pdf: nested.Bytes(), kind: "table", field: "Signature1", want: "/P 3 0 R"},
		{name: "comments-and-escapes", pdf: classic(spec{catalog: "/Acro#46orm null % a comment /AcroForm 9 0 R\n/Lang(en)"}), kind: "table", field: "Signature1"},
	}
}

// formCases vary where form and annotations stand.
func formCases() []goodCase {
	tf := item{5, textField}
	return []goodCase{
		{name: "form-direct-fields-direct", pdf: classic(formSpec("[5 0 R]", "/DA(/Helv 0 Tf 0 g)/NeedAppearances false", "/Annots[5 0 R]", tf)), kind: "table",
			field: "Signature1", want: "/Fields[5 0 R 7 0 R]/DA(/Helv 0 Tf 0 g)/NeedAppearances false /SigFlags 3"},
		{name: "form-direct-fields-indirect", pdf: classic(formSpec(" 6 0 R", "", "/Annots[5 0 R]", tf, item{6, "[5 0 R]"})), kind: "table",
			field: "Signature1", want: "6 0 obj\n[5 0 R 8 0 R]"},
		{name: "form-indirect-fields-direct", pdf: classic(spec{catalog: "/AcroForm 6 0 R", page: "/Annots[5 0 R]", more: []item{tf, {6, "<</Fields[5 0 R]/SigFlags 1>>"}}}),
			kind: "table", field: "Signature1", want: "/SigFlags 3", not: "/Type/Catalog"},
		{name: "form-indirect-fields-indirect", pdf: packed(spec{catalog: "/AcroForm 6 0 R", page: "/Annots 8 0 R",
			more: []item{tf, {6, "<</Fields 7 0 R/SigFlags 3>>"}, {7, "[5 0 R]"}, {8, "[5 0 R]"}}}, false), kind: "stream", field: "Signature1",
			want: "8 0 obj\n[5 0 R ", not: "SigFlags"},
		{name: "form-without-fields", pdf: classic(formSpec(" null", "", "")), kind: "table", field: "Signature1"},
		{name: "form-empty", pdf: classic(spec{catalog: "/AcroForm<<>>", page: "/Annots null"}), kind: "table", field: "Signature1"},
		{name: "sigflags-indirect", pdf: classic(formSpec("[]", "/SigFlags 6 0 R", "/Annots[]", item{6, "4"})), kind: "table", field: "Signature1", want: "/SigFlags 7"},
		{name: "name-taken", pdf: classic(formSpec("[5 0 R 6 0 R]", "", "/Annots[5 0 R 6 0 R]", item{5, strings.Replace(textField, "Text", "Signature1", 1)},
			item{6, strings.Replace(textField, "(Text)", "<FEFF005300690067006E006100740075007200650032>", 1)})), kind: "table", field: "Signature3"},
	}
}

// fieldCases have signature fields already.
func fieldCases() []goodCase {
	twice := newFile(spec{})
	base := formSpec("[5 0 R]", "", "/Annots[5 0 R]", item{5, sigField("")})
	twice.put(base.items()...)
	twice.table("")
	twice.signed(6, sigField("/V 6 0 R"), 5)
	parent := formSpec("[5 0 R]", "", "/Annots[7 0 R]", item{5, "<</T(Group)/Kids[6 0 R]>>"}, item{6, "<</FT/Sig/T(Name)/Parent 5 0 R/Kids[7 0 R]>>"},
		item{7, "<</Type/Annot/Subtype/Widget/Parent 6 0 R/Rect[0 0 0 0]/P 3 0 R>>"})
	lock := formSpec("[5 0 R 6 0 R]", "", "/Annots[5 0 R 6 0 R]", item{5, textField},
		item{6, sigField("/Lock 7 0 R")}, item{7, "<</Type/SigFieldLock/Action/Include/Fields[(Text)]>>"})
	seed := formSpec("[5 0 R]", "", "/Annots[5 0 R]",
		item{5, sigField("/SV<</Type/SV/Ff 67/Filter/Adobe.PPKLite/SubFilter[/adbe.pkcs7.detached/ETSI.CAdES.detached]/DigestMethod[(SHA256)(SHA512)]/Reasons[(wish)]>>")})
	locked := newFile(spec{})
	two := formSpec("[5 0 R 7 0 R]", "", "/Annots[5 0 R 7 0 R]", item{5, sigField("")}, item{7, strings.Replace(sigField(""), "Approval", "Second", 1)})
	locked.put(two.items()...)
	locked.table("")
	locked.signedAs(6, item{5, sigField("/V 6 0 R")}, func(r [4]int, c string) string {
		return fmt.Sprintf("<</Type/Sig/Filter/Adobe.PPKLite/SubFilter/ETSI.CAdES.detached/Reference[<</Type/SigRef/TransformMethod/FieldMDP"+
			"/Data 1 0 R/TransformParams<</Type/TransformParams/V/1.2/Action/Include/Fields[(Second)]>>>>]/ByteRange[%010d %010d %010d %010d]/Contents <%s>>>", r[0], r[1], r[2], r[3], c)
	})
	return []goodCase{
		{name: "empty-field", pdf: classic(base), kind: "table", field: "Approval", want: "/V 6 0 R", not: "/Annots"},
		{name: "empty-field-packed", pdf: packed(base, true), kind: "stream", field: "Approval"},
		{name: "field-below-parent", pdf: classic(parent), kind: "table", field: "Group.Name", want: "/Parent 5 0 R/Kids[7 0 R] /V"},
		{name: "signed-before", pdf: bytes.Clone(twice.Bytes()), kind: "table", field: "Signature1"},
		{name: "lock", pdf: classic(lock), kind: "table", field: "Approval",
			want: "/Reference[<</Type/SigRef/TransformMethod/FieldMDP/Data 1 0 R/TransformParams<</Type/TransformParams/V/1.2/Action/Include/Fields[(Text)]>>>>]"},
		{name: "seed-value-kept", pdf: classic(seed), kind: "table", field: "Approval"},
		{name: "second-field-locked", pdf: locked.Bytes(), kind: "table", field: "Signature1"},
	}
}
