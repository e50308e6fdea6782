package pdftest

import (
	"fmt"
	"strings"
)

const visible = "<</Type/Annot/Subtype/Widget/FT/Sig/T(Third)/F 132/Rect[20 140 280 170]/P 3 0 R/AP<</N 22 0 R>>/V 20 0 R>>"

// certification: what a certified document allows is used to cover it.
func certification() []plan {
	annotation := func(name, how, p, reason, body string) plan {
		return plan{name: name, how: how, reason: reason, o: certified(p), then: func(f *file) {
			f.put(freeNum+1, body)
			f.put(freeNum+2, stream(drawing, "1 g 0 0 100 20 re f"))
			f.put(pageNum, strings.Replace(page, "9 0 R]", "9 0 R 21 0 R]", 1))
			f.xref("")
		}}
	}
	const look = "/Rect[20 140 280 170]/AP<</N 22 0 R>>>>"
	return []plan{
		annotation("eaa-free-text", "P = 3, and a text that covers", "3", "annotation 21", "<</Type/Annot/Subtype/FreeText/DA(/F1 12 Tf 0 g)/Contents(Pay 999 EUR)"+look),
		annotation("eaa-stamp", "P = 3, and a stamp that covers", "3", "annotation 21", "<</Type/Annot/Subtype/Stamp"+look),
		annotation("eaa-redact", "P = 3, and a redaction", "3", "annotation 21", "<</Type/Annot/Subtype/Redact"+look),
		annotation("eaa-link", "P = 3, and a link", "3", "annotation 21", "<</Type/Annot/Subtype/Link/A<</S/URI/URI(http://localhost/)>>/Rect[20 140 280 170]>>"),
		annotation("eaa-highlight-with-appearance", "P = 3, and a highlight that brings a white area as its drawing", "3", "annotation_with_appearance 21",
			"<</Type/Annot/Subtype/Highlight/QuadPoints[20 140 280 140 20 170 280 170]"+look),
		annotation("eaa-note-p2", "P = 2, and a note", "2", "not_allowed_by_certification", "<</Type/Annot/Subtype/Text/Contents(no)/Rect[20 140 40 160]>>"),
		{name: "eaa-note-not-certified", how: "no certification, and a note", reason: "not_allowed_by_certification", then: func(f *file) {
			f.put(freeNum+1, "<</Type/Annot/Subtype/Text/Contents(no)/Rect[20 140 40 160]>>")
			f.put(pageNum, strings.Replace(page, "9 0 R]", "9 0 R 21 0 R]", 1))
			f.xref("")
		}},
		{name: "ssa-visible-signature", how: "P = 2, and a new signature whose field covers text", o: certified("2"), reason: "visible_field_on_certified 21", then: coverBySignature},
		{name: "ssa-visible-signature-p3", how: "P = 3, and a new signature whose field covers text", o: certified("3"), reason: "visible_field_on_certified 21", then: coverBySignature},
		{name: "ssa-visible-field-not-signed", how: "a new field that covers text, without a signature", reason: "visible_field_not_signed 21", then: func(f *file) {
			f.put(freeNum+1, strings.Replace(visible, "/V 20 0 R", "", 1))
			f.put(freeNum+2, stream(drawing, "1 g 0 0 100 20 re f"))
			listed(f)
			f.xref("")
		}},
		{name: "ssa-field-for-text", how: "a new field for text", reason: "field 21", then: func(f *file) {
			f.put(freeNum+1, strings.NewReplacer("/FT/Sig", "/FT/Tx", "/V 20 0 R", "/V(999 EUR)").Replace(visible))
			f.put(freeNum+2, stream(drawing, "1 g 0 0 100 20 re f"))
			listed(f)
			f.xref("")
		}},
		{name: "ssa-two-pages", how: "the widget of a new signature is listed twice", reason: "widget_on_two_pages 21", then: func(f *file) {
			coverBySignature(f)
			f.put(pageNum, strings.Replace(page, "9 0 R]", "9 0 R 21 0 R 21 0 R]", 1))
			f.xref("")
		}},
		{name: "certified-p1-signature", how: "P = 1, and one more signature", o: certified("1"), reason: "not_allowed_by_certification", then: func(f *file) { again(f, nil) }},
		{name: "certified-p1-value", how: "P = 1, and another value", o: certified("1"), reason: "not_allowed_by_certification", then: newAmount},
		{name: "lock-p1-value", how: "the signed field's lock says P = 1, and another value", reason: "not_allowed_by_certification", then: newAmount,
			o: options{field: strings.Replace(filled, "/V 8 0 R", "/V 8 0 R/Lock<</Type/SigFieldLock/Action/Include/Fields[(Second)]/P 1>>", 1)}},
		{name: "certification-taken-away", how: "the catalog does not name the certification any more", o: certified("1"), reason: "catalog_key 1", then: func(f *file) {
			f.put(catalogNum, catalog(""))
			f.xref("")
		}},
		{name: "certification-added", how: "the catalog says that the signature certifies, which it does not", reason: "catalog_key 1", then: func(f *file) {
			f.put(catalogNum, catalog("/Perms<</DocMDP 8 0 R>>"))
			f.xref("")
		}},
	}
}

func newAmount(f *file) {
	f.put(freeNum, stream(drawing, "BT /F1 12 Tf (999 EUR) Tj ET"))
	f.put(amountNum, strings.NewReplacer("(100 EUR)", "(999 EUR)", "/N 11 0 R", "/N 20 0 R").Replace(amount))
	f.xref("")
}

// listed puts field 21 into form and page.
func listed(f *file) {
	f.put(pageNum, strings.Replace(page, "9 0 R]", "9 0 R 21 0 R]", 1))
	f.put(formNum, strings.Replace(form, "9 0 R]", "9 0 R 21 0 R]", 1))
}

func coverBySignature(f *file) {
	f.put(freeNum+1, visible)
	f.put(freeNum+2, stream(drawing, "1 g 0 0 100 20 re f"))
	listed(f)
	f.sig(freeNum, usual)
	f.xref("")
	f.finish()
}

// recycled use the numbers of old objects for new things.
func recycled() []plan {
	return []plan{
		{name: "recycled-signature", how: "a new field has the old signature as its value", problem: "shared_signature", then: func(f *file) {
			f.put(freeNum+1, strings.NewReplacer("/V 20 0 R", "/V 8 0 R", "[20 140 280 170]", "[0 0 0 0]", "/AP<</N 22 0 R>>", "").Replace(visible))
			listed(f)
			f.xref("")
		}},
		{name: "recycled-number-of-field", how: "the number of an old object becomes a new signature field", reason: "object_overridden 12", then: func(f *file) {
			f.put(orphanNum, strings.NewReplacer("[20 140 280 170]", "[0 0 0 0]", "/AP<</N 22 0 R>>", "").Replace(visible))
			f.put(pageNum, strings.Replace(page, "9 0 R]", "9 0 R 12 0 R]", 1))
			f.put(formNum, strings.Replace(form, "9 0 R]", "9 0 R 12 0 R]", 1))
			f.sig(freeNum, usual)
			f.xref("")
			f.finish()
		}},
		{name: "recycled-number-of-signature", how: "the number of an old object becomes the new signature", reason: "object_overridden 12", then: func(f *file) {
			f.put(secondNum, strings.Replace(second, "/P 3 0 R", "/P 3 0 R/V 12 0 R", 1))
			f.sig(orphanNum, usual)
			f.xref("")
			f.finish()
		}},
		{name: "recycled-object-as-annotation", how: "an object of the signed document is listed as an annotation", reason: "annotation 3", then: func(f *file) {
			f.put(pageNum, strings.Replace(page, "9 0 R]", "9 0 R 20 0 R]", 1))
			f.xref("")
		}, o: options{more: func(f *file) {
			f.put(freeNum, "<</Type/Annot/Subtype/Stamp/Rect[20 140 280 170]/AP<</N 12 0 R>>>>")
		}}},
		{name: "recycled-generation", how: "an object is written again with generation 1, so that references to it mean nothing", reason: "object_generation 10", then: func(f *file) {
			f.add("10 1 obj\n" + stream(drawing, "") + "\nendobj\n")
			at := strings.LastIndex(string(f.buf), "10 1 obj")
			f.xrefAt(map[int]int{drawingNum: at}, "")
			i := strings.LastIndex(string(f.buf), fmt.Sprintf("%010d 00000 n", at))
			copy(f.buf[i+11:], "00001")
		}},
	}
}

// views give one object two meanings.
func views() []plan {
	return []plan{
		{name: "hybrid-second-view", how: "the later revision's table names a stream that defines the page's content otherwise", reason: "hybrid_section", then: func(f *file) {
			evil := len(f.buf)
			f.add("4 0 obj\n" + stream("", evilText) + "\nendobj\n")
			row := []byte{1, byte(evil >> 16), byte(evil >> 8), byte(evil), 0}
			at := len(f.buf)
			f.put(freeNum+1, stream("/Type/XRef/Size 22/W[1 3 1]/Index[4 1]", string(row)))
			f.xref(fmt.Sprintf("/XRefStm %d", at))
		}},
		{name: "hybrid-hidden-page", how: "the later table says that the page is free, and its stream has another page", reason: "hybrid_section", then: func(f *file) {
			evil := len(f.buf)
			f.add("3 0 obj\n" + strings.Replace(page, "/Contents 4 0 R", "/Contents 12 0 R", 1) + "\nendobj\n")
			at := len(f.buf)
			f.add("21 0 obj\n" + stream("/Type/XRef/Size 22/W[1 3 1]/Index[3 1]", string([]byte{1, byte(evil >> 16), byte(evil >> 8), byte(evil), 0})) + "\nendobj\n")
			f.xrefAt(map[int]int{pageNum: -1, freeNum + 1: at}, fmt.Sprintf("/XRefStm %d", at))
		}},
		{name: "object-stream-second-view", how: "a later section says that the page is in an object stream", reason: "page 3", then: func(f *file) {
			f.put(freeNum, objStream(strings.Replace(page, "/Contents 4 0 R", "/Contents 12 0 R", 1)))
			f.xrefStream(freeNum+1, pageNum, freeNum)
		}},
		{name: "object-stream-overridden", how: "the page is in an object stream, which is a field's appearance too; the later revision gives the field " +
			"another appearance in its place, and so the page other content", reason: "object_stream_overridden 20", then: overrideObjStream},
		{name: "defined-twice-in-one-section", how: "the later table has two rows for the page's content", refused: "broken_xref", then: func(f *file) {
			f.put(contentNum, stream("", evilText))
			f.xref("")
			i := strings.LastIndex(string(f.buf), "\n4 1\n") + 1
			j := strings.LastIndex(string(f.buf), "trailer")
			rows := string(f.buf[i:j])
			f.buf = append(f.buf[:j:j], []byte(rows+string(f.buf[j:]))...)
		}},
		{name: "row-to-other-object", how: "the later table says that the page's content is where another object is", reason: "broken_xref", then: func(f *file) {
			f.xrefAt(map[int]int{contentNum: strings.Index(string(f.buf), "\n12 0 obj") + 1}, "")
		}},
	}
}

// validationData has what does not belong there.
func validationData() []plan {
	dss := func(name, how, reason, body string, more ...string) plan {
		return update(name, how, reason, func(f *file) {
			f.put(freeNum, body)
			f.put(freeNum+1, stream("", "0\x03\x02\x01\x00"))
			for i, m := range more {
				f.put(freeNum+2+i, m)
			}
			f.put(catalogNum, catalog("/DSS 20 0 R"))
		})
	}
	return []plan{
		dss("dss-foreign-key", "a key that the store does not have", "dss_key 20", "<</Certs[21 0 R]/Pages 2 0 R>>"),
		dss("dss-not-der", "a stream that is no DER", "dss_stream 22", "<</Certs[21 0 R 22 0 R]>>", stream("", "BT (x) Tj ET")),
		dss("dss-der-and-more", "a stream with something behind the DER", "dss_stream 22", "<</Certs[22 0 R]>>", stream("", "0\x03\x02\x01\x00more")),
		dss("dss-dictionary", "a dictionary in place of a stream", "dss_stream 22", "<</Certs[22 0 R]>>", "<</A 1>>"),
		dss("dss-vri-key", "a VRI entry of a name that is no hash", "vri_key 20", "<</VRI<</Pages 21 0 R>>>>"),
		dss("dss-vri-entry", "a VRI entry with a key of its own", "vri_entry 20", "<</VRI<</0123456789ABCDEF0123456789ABCDEF01234567<</Cert[21 0 R]/A<</S/JavaScript>>>>>>>>"),
		update("extensions-with-reference", "a developer extension that leads elsewhere", "extensions 1", func(f *file) {
			f.put(catalogNum, catalog("/Extensions<</ESIC<</BaseVersion/1.7/ExtensionLevel 12 0 R>>>>"))
		}),
		update("version-lower", "an older version is named", "version", func(f *file) { f.put(catalogNum, catalog("/Version/0.9")) }),
	}
}

// objStream has the page, and can be drawn.
func objStream(page string) string {
	const index = "3 0 "
	return stream(fmt.Sprintf("/Type/ObjStm/N 1/First %d/Subtype/Form/BBox[0 0 100 20]", len(index)), index+page)
}

func overrideObjStream(f *file) {
	g := unsigned(f.Maker, options{})
	inPlace := strings.Replace(amount, "/N 11 0 R", "/N 20 0 R", 1)
	g.put(amountNum, inPlace)
	g.put(freeNum, objStream(page))
	g.xrefStream(freeNum+1, pageNum, freeNum)
	g.put(fieldNum, filled)
	g.sig(sigNum, usual)
	g.xref("")
	g.finish()
	g.put(amountNum, strings.Replace(inPlace, "(100 EUR)", "(999 EUR)", 1))
	g.put(freeNum, objStream(strings.Replace(page, "/Contents 4 0 R", "/Contents 12 0 R", 1)))
	g.xref("")
	*f = *g
}
