package pdftest

import (
	"fmt"
	"strings"
)

// hidden: something that covers is prepared, and taken away after signing.
func hidden() []plan {
	cover := options{more: func(f *file) { f.put(freeNum, "<</Type/Annot/Subtype/Stamp/Rect[20 140 280 170]/AP<</N 10 0 R>>>>") },
		page: strings.Replace(page, "9 0 R]", "9 0 R 20 0 R]", 1)}
	with := func(o options, p plan) plan { p.o = o; return p }
	return []plan{
		update("hide-drawing-emptied", "a drawing that covers text is written again, empty", "object_overridden 10", func(f *file) {
			f.put(drawingNum, stream(drawing, ""))
		}),
		{name: "hide-drawing-freed", how: "the table says that a drawing that covers text is free", reason: "object_freed 10", then: func(f *file) {
			f.xrefAt(map[int]int{drawingNum: -1}, "")
		}},
		update("hide-drawing-null", "a drawing that covers text is null now", "object_overridden 10", func(f *file) { f.put(drawingNum, "null") }),
		update("hide-drawing-type", "a drawing that covers text is no drawing any more", "object_overridden 10", func(f *file) {
			f.put(drawingNum, stream(strings.Replace(drawing, "/XObject", "/Metadata", 1), "0 0 100 20 re S"))
		}),
		with(cover, update("hide-annotation-unlisted", "a stamp that covers text is not listed any more", "annotation_removed 3", func(f *file) {
			f.put(pageNum, page)
		})),
		with(cover, update("hide-annotation-flag", "a stamp that covers text gets the hidden flag", "object_overridden 20", func(f *file) {
			f.put(freeNum, "<</Type/Annot/Subtype/Stamp/F 2/Rect[20 140 280 170]/AP<</N 10 0 R>>>>")
		})),
		update("hide-field", "a field that covers text is moved away", "field_key 6", func(f *file) {
			f.put(amountNum, strings.Replace(amount, "/Rect[20 100 120 120]", "/Rect[0 0 0 0]", 1))
		}),
		update("hide-field-flag", "a field that covers text gets the hidden flag", "field_flags 6", func(f *file) {
			f.put(amountNum, strings.Replace(amount, "/F 4", "/F 6", 1))
		}),
	}
}

// replaced: what shows is drawn otherwise, by a font, a default or a value.
func replaced() []plan {
	locked := func(key string) options {
		return options{sig: "<</Type/Sig/Filter/Adobe.PPKLite/SubFilter/ETSI.CAdES.detached/M(D:{time})/Reference[<</Type/SigRef" +
			"/TransformMethod/FieldMDP/Data 1 0 R/TransformParams<</Type/TransformParams/V/1.2" + key + ">>>>]" +
			"/ByteRange[{r0} {r1} {r2} {r3}]/Contents {contents}>>"}
	}
	value := func(name, how string, o options) plan {
		return plan{name: name, how: how, o: o, reason: "field_locked 6", then: func(f *file) {
			f.put(freeNum, stream(drawing, "BT /F1 12 Tf (999 EUR) Tj ET"))
			f.put(amountNum, strings.NewReplacer("(100 EUR)", "(999 EUR)", "/N 11 0 R", "/N 20 0 R").Replace(amount))
			f.xref("")
		}}
	}
	return []plan{
		update("replace-font", "a font is another one", "object_overridden 5", func(f *file) {
			f.put(fontNum, "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding<</Differences[49/nine/zero/nine]>>>>")
		}),
		update("replace-form-fonts", "the form gets fonts of which a value is drawn anew", "form_key 14", func(f *file) {
			f.put(freeNum, "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding<</Differences[49/nine/zero/nine]>>>>")
			f.put(formNum, strings.Replace(form, "/SigFlags 3", "/SigFlags 3/DR<</Font<</F1 20 0 R>>>>", 1))
		}),
		update("replace-form-colour", "the form's default is to draw white", "form_key 14", func(f *file) {
			f.put(formNum, strings.Replace(form, "/SigFlags 3", "/SigFlags 3/DA(/F1 0 Tf 1 g)", 1))
		}),
		update("replace-need-appearances", "values are drawn anew by the reader", "form_key 14", func(f *file) {
			f.put(formNum, strings.Replace(form, "/SigFlags 3", "/SigFlags 3/NeedAppearances true", 1))
		}),
		update("replace-xfa", "the form gets another description", "form_key 14", func(f *file) {
			f.put(freeNum, stream("", "<xdp/>"))
			f.put(formNum, strings.Replace(form, "/SigFlags 3", "/SigFlags 3/XFA 20 0 R", 1))
		}),
		value("replace-locked-value", "a value that FieldMDP locks by name", locked("/Action/Include/Fields[(Amount)]")),
		value("replace-locked-all", "a value, and FieldMDP locks all", locked("/Action/All")),
		value("replace-locked-others", "a value that is not among FieldMDP's exceptions", locked("/Action/Exclude/Fields[(Second)]")),
		value("replace-locked-somehow", "a value, and FieldMDP has an action that nobody knows", locked("/Action/Some/Fields[(Amount)]")),
		value("replace-locked-by-field", "a value that the lock of the signed field locks", options{
			field: strings.Replace(filled, "/V 8 0 R", "/V 8 0 R/Lock<</Type/SigFieldLock/Action/Include/Fields[(Amount)]>>", 1)}),
		update("replace-script", "a field gets an action", "field_key 6", func(f *file) {
			f.put(amountNum, strings.Replace(amount, "/F 4", "/F 4/AA<</F<</S/JavaScript/JS(1)>>>>", 1))
		}),
		update("replace-prepared-appearance", "a field shows a drawing that was in the signed document, unused", "old_object_reused 6", func(f *file) {
			f.put(amountNum, strings.Replace(amount, "/N 11 0 R", "/N 12 0 R", 1))
		}),
	}
}

// hiddenAndReplaced: both contents are in the signed bytes, and the tables or a missing object switch between them.
func hiddenAndReplaced() []plan {
	var evilAt int
	return []plan{
		{name: "switch-by-table", reason: "object_overridden 4", o: options{more: func(f *file) {
			evilAt = len(f.buf)
			f.add("4 0 obj\n" + stream("", evilText) + "\nendobj\n")
		}}, how: "a second content stream stands in the signed bytes, in no table; the later revision is a table that points to it",
			then: func(f *file) { f.xrefAt(map[int]int{contentNum: evilAt}, "") }},
		{name: "switch-by-table-in-stream", reason: "object_overridden 4", o: options{more: func(f *file) {
			evilAt = len(f.buf) + len("20 0 obj\n<</Length 000>>\nstream\n")
			inner := "4 0 obj\n" + stream("", evilText) + "\nendobj\n"
			f.offs[freeNum] = len(f.buf)
			f.size = freeNum + 1
			f.add(fmt.Sprintf("20 0 obj\n<</Length %03d>>\nstream\n%s\nendstream\nendobj\n", len(inner), inner))
		}}, how: "the same, the second content stream stands in the data of another stream",
			then: func(f *file) { f.xrefAt(map[int]int{contentNum: evilAt}, "") }},
		{name: "switch-by-missing-object", reason: "reference_filled 20", o: options{page: strings.Replace(page, "/Contents 4 0 R", "/Contents[4 0 R 20 0 R]", 1)},
			how: "the page names a content stream that does not exist; the later revision has it", then: func(f *file) {
				f.put(freeNum, stream("", evilText))
				f.xref("")
			}},
		{name: "switch-by-missing-object-under-validation-data", reason: "reference_filled 20",
			o:   options{page: strings.Replace(page, "/Contents 4 0 R", "/Contents[4 0 R 20 0 R]", 1)},
			how: "the same, and the missing object comes as a stream of validation data", then: func(f *file) {
				f.put(freeNum, stream("", "0\x03\x02\x01\x00"))
				f.put(freeNum+1, "<</Certs[20 0 R]>>")
				f.put(catalogNum, catalog("/DSS 21 0 R"))
				f.xref("")
			}},
		{name: "switch-by-free-object", reason: "reference_filled 20", o: options{page: strings.Replace(page, "/Contents 4 0 R", "/Contents[4 0 R 20 0 R]", 1),
			more: func(f *file) { f.offs[freeNum] = -1 }}, how: "the page names a content stream that is free; the later revision has it",
			then: func(f *file) {
				f.put(freeNum, stream("", evilText))
				f.xref("")
			}},
		{name: "switch-by-size", reason: "object_above_size 21", o: options{page: strings.Replace(page, "/Contents 4 0 R", "/Contents[4 0 R 21 0 R]", 1),
			more: func(f *file) { f.put(freeNum+1, stream("", evilText)) }, trailer: "/Size 20"},
			how:  "an object in the signed bytes does not exist by /Size, until the later revision has a larger one",
			then: func(f *file) { f.put(infoNum, "<</Title(Order)>>"); f.xref("") }},
	}
}

// clobbered change an appearance that others have too.
func clobbered() []plan {
	shared := options{page: strings.Replace(page, "/X1 10 0 R", "/X1 11 0 R", 1)}
	evil := stream(drawing, "BT /F1 12 Tf (999 EUR) Tj ET")
	with := func(o options, p plan) plan { p.o = o; return p }
	return []plan{
		with(shared, update("clobbered-by-page", "a field's appearance is overridden, which the page draws too", "used_elsewhere 11", func(f *file) {
			f.put(lookNum, evil)
			f.put(amountNum, strings.Replace(amount, "(100 EUR)", "(999 EUR)", 1))
		})),
		with(options{more: func(f *file) {
			f.put(freeNum, "<</Type/Annot/Subtype/Stamp/Rect[20 140 280 170]/AP<</N 11 0 R>>>>")
		}, page: strings.Replace(page, "9 0 R]", "9 0 R 20 0 R]", 1)},
			update("clobbered-by-stamp", "a field's appearance is overridden, which a stamp has too", "used_elsewhere 11", func(f *file) {
				f.put(lookNum, evil)
				f.put(amountNum, strings.Replace(amount, "(100 EUR)", "(999 EUR)", 1))
			})),
		with(options{more: func(f *file) {
			f.put(freeNum, "<</N 11 0 R>>")
			f.put(amountNum, strings.Replace(amount, "/AP<</N 11 0 R>>", "/AP 20 0 R", 1))
			f.put(freeNum+1, "<</Type/Annot/Subtype/Stamp/Rect[20 140 280 170]/AP 20 0 R>>")
		}, page: strings.Replace(page, "9 0 R]", "9 0 R 21 0 R]", 1)},
			update("clobbered-by-dictionary", "an appearance dictionary that a field and a stamp have is overridden", "used_elsewhere 20", func(f *file) {
				f.put(freeNum+2, evil)
				f.put(freeNum, "<</N 22 0 R>>")
			})),
		update("clobbered-drawing", "a drawing of the page is overridden, under a field that shows it from now on", "object_overridden 10", func(f *file) {
			f.put(drawingNum, evil)
			f.put(amountNum, strings.Replace(amount, "/N 11 0 R", "/N 10 0 R", 1))
		}),
	}
}
