package pdftest

import (
	"bytes"
	"fmt"
	"strings"
)

// appended add a body without what makes it a revision.
func appended() []plan {
	evil := func(f *file) { f.add("4 0 obj\n" + stream("", evilText) + "\nendobj\n") }
	return []plan{
		{name: "isa-body-alone", how: "a content stream behind the end, without table and %%EOF, for readers that repair", reason: "bytes_behind_eof", then: evil},
		{name: "isa-body-and-trailer", how: "a content stream and a trailer, without table", reason: "bytes_behind_eof", then: func(f *file) {
			evil(f)
			f.add(fmt.Sprintf("trailer\n<</Size %d/Root 1 0 R>>\n", f.size))
		}},
		{name: "isa-old-startxref", how: "a content stream, and startxref of the signed revision once more", reason: "bytes_behind_eof", then: func(f *file) {
			evil(f)
			f.end()
		}},
		{name: "isa-body-before-update", how: "a content stream behind the end, in no table, and a revision that changes nothing behind it", reason: "object_in_no_table", then: func(f *file) {
			evil(f)
			f.put(infoNum, "<</Title(Order)>>")
			f.xref("")
		}},
		{name: "isa-body-in-update", how: "a content stream between the objects of a revision, not in its table", reason: "object_in_no_table", then: func(f *file) {
			f.put(infoNum, "<</Title(Order)>>")
			evil(f)
			f.xref("")
		}},
		{name: "isa-no-eof", how: "a whole update but for %%EOF", refused: "truncated", then: func(f *file) {
			f.put(contentNum, stream("", evilText))
			f.xref("")
			f.buf = bytes.TrimSuffix(f.buf, []byte("%%EOF\n"))
		}},
		{name: "isa-no-startxref", how: "a whole update but for startxref", refused: "truncated", then: func(f *file) {
			f.put(contentNum, stream("", evilText+strings.Repeat(" ", 2048)))
			f.xref("")
			f.buf = f.buf[:bytes.LastIndex(f.buf, []byte("startxref"))]
			f.add(strings.Repeat("%\n", 1024))
		}},
		{name: "isa-no-trailer", how: "a whole update but for the trailer", refused: "broken_xref", then: func(f *file) {
			f.put(contentNum, stream("", evilText))
			f.xref("")
			i := bytes.LastIndex(f.buf, []byte("trailer"))
			f.buf = append(f.buf[:i], f.buf[bytes.LastIndex(f.buf, []byte("startxref")):]...)
		}},
		{name: "isa-no-prev", how: "a whole update that does not name the sections before; its table has the old objects, but for the page's content",
			problem: "not_a_revision", then: func(f *file) {
				old := make(map[int]int)
				for num := range f.size {
					if at := f.at(num); at > 0 && num != contentNum {
						old[num] = at
					}
				}
				f.put(contentNum, stream("", evilText))
				f.prev = -1
				f.xrefAt(old, "")
			}},
		{name: "isa-new-document", how: "a whole document behind the signed one, with a field and a copy of the signature", problem: "not_exact_gap", then: func(f *file) {
			f.prev = -1
			for num := range f.size {
				if f.at(num) > 0 && num != contentNum {
					f.put(num, f.body(num))
				}
			}
			f.put(contentNum, stream("", evilText))
			f.xref("")
		}},
	}
}

// overridden change what a page shows, in a whole revision.
func overridden() []plan {
	return []plan{
		update("isa-content-replaced", "the page's content stream is another one", "object_overridden 4", func(f *file) {
			f.put(contentNum, stream("", evilText))
		}),
		update("isa-page-contents", "the page names another content stream", "page 3", func(f *file) {
			f.put(freeNum, stream("", evilText))
			f.put(pageNum, strings.Replace(page, "/Contents 4 0 R", "/Contents[4 0 R 20 0 R]", 1))
		}),
		update("isa-page-resources", "the page names other fonts", "page 3", func(f *file) {
			f.put(pageNum, strings.Replace(page, "/F1 5 0 R", "/F1<</Type/Font/Subtype/Type3>>", 1))
		}),
		update("isa-page-turned", "the page is turned and cut", "page 3", func(f *file) {
			f.put(pageNum, strings.Replace(page, "/MediaBox[0 0 300 200]", "/MediaBox[0 0 300 140]/Rotate 180", 1))
		}),
		update("isa-page-added", "one more page", "object_overridden 2", func(f *file) {
			f.put(freeNum, "<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Contents 4 0 R>>")
			f.put(pagesNum, "<</Type/Pages/Kids[3 0 R 20 0 R]/Count 2>>")
		}),
		update("isa-page-removed", "no page any more", "object_overridden 2", func(f *file) {
			f.put(pagesNum, "<</Type/Pages/Kids[]/Count 0>>")
		}),
		update("isa-page-tree-replaced", "the catalog names another page tree", "catalog_key 1", func(f *file) {
			f.put(freeNum, "<</Type/Pages/Kids[21 0 R]/Count 1>>")
			f.put(freeNum+1, "<</Type/Page/Parent 20 0 R/MediaBox[0 0 300 200]>>")
			f.put(catalogNum, strings.Replace(catalog(""), "/Pages 2 0 R", "/Pages 20 0 R", 1))
		}),
		update("isa-open-action", "the catalog runs a script", "catalog_key 1", func(f *file) {
			f.put(catalogNum, catalog("/OpenAction<</S/JavaScript/JS(app.alert\\(1\\))>>"))
		}),
		update("isa-layers", "the catalog has layers that can be switched", "catalog_key 1", func(f *file) {
			f.put(freeNum, "<</Type/OCG/Name(x)>>")
			f.put(catalogNum, catalog("/OCProperties<</OCGs[20 0 R]/D<</OFF[20 0 R]>>>>"))
		}),
		{name: "isa-other-root", how: "the trailer names another catalog", problem: "removed", then: func(f *file) {
			f.put(freeNum, catalog("")[:len("<</Type/Catalog/Pages 2 0 R")]+">>")
			f.xref("")
			i := bytes.LastIndex(f.buf, []byte("/Root 1 0 R"))
			copy(f.buf[i:], "/Root 20 0 R/"[:len("/Root 1 0 R")])
			f.buf = bytes.Replace(f.buf, f.buf[i:i+len("/Root 1 0 R/")], []byte("/Root 20 0 R/"), 1)
		}},
		update("isa-metadata-with-dtd", "XMP with a document type", "metadata 20", func(f *file) {
			f.put(freeNum, stream("/Type/Metadata/Subtype/XML", `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>`))
			f.put(catalogNum, catalog("/Metadata 20 0 R"))
		}),
		update("isa-metadata-not-xml", "XMP that is none", "metadata 20", func(f *file) {
			f.put(freeNum, stream("/Type/Metadata/Subtype/XML", "<x><y></x>"))
			f.put(catalogNum, catalog("/Metadata 20 0 R"))
		}),
	}
}

// again appends a second signature, in the empty field.
func again(f *file, more func(f *file)) {
	f.put(secondNum, strings.Replace(second, "/P 3 0 R", "/P 3 0 R/V 20 0 R", 1))
	if more != nil {
		more(f)
	}
	f.sig(freeNum, usual)
	f.xref("")
	f.finish()
}

// copied are signatures made of others' bytes.
func copied() []plan {
	return []plan{
		{name: "copied-signature", field: "Second", how: "the empty field gets a copy of the signature's dictionary", problem: "not_exact_gap", then: func(f *file) {
			f.put(secondNum, strings.Replace(second, "/P 3 0 R", "/P 3 0 R/V 20 0 R", 1))
			f.put(freeNum, f.body(sigNum))
			f.xref("")
		}},
		{name: "copied-signature-shared", how: "the empty field gets the signature's own dictionary", problem: "shared_signature", then: func(f *file) {
			f.put(secondNum, strings.Replace(second, "/P 3 0 R", "/P 3 0 R/V 8 0 R", 1))
			f.xref("")
		}},
		{name: "copied-time-stamp", field: "Third", how: "a document time-stamp comes once more, as a copy in a new field", problem: "not_exact_gap", then: func(f *file) {
			f.put(secondNum, strings.Replace(second, "/P 3 0 R", "/P 3 0 R/V 20 0 R", 1))
			f.sig(freeNum, strings.NewReplacer("/Type/Sig", "/Type/DocTimeStamp", "ETSI.CAdES.detached", "ETSI.RFC3161", "/M(D:{time})", "").Replace(usual))
			f.xref("")
			f.finish()
			f.put(freeNum+1, strings.Replace(second, "(Second)", "(Third)", 1)[:len(second)-3]+"/V 22 0 R>>")
			f.put(freeNum+2, f.body(freeNum))
			f.put(pageNum, strings.Replace(page, "9 0 R]", "9 0 R 21 0 R]", 1))
			f.put(formNum, strings.Replace(form, "9 0 R]", "9 0 R 21 0 R]", 1))
			f.xref("")
		}},
		{name: "overlapping-ranges", how: "two signatures of one revision; the range of one reaches into that of the other", problem: "ranges_overlap", then: overlap},
	}
}

// overlap makes both dictionaries in one revision; each leaves out its own Contents alone.
func overlap(f *file) {
	g := unsigned(f.Maker, options{})
	g.put(fieldNum, filled)
	g.put(secondNum, strings.Replace(second, "/P 3 0 R", "/P 3 0 R/V 20 0 R", 1))
	g.sig(sigNum, usual)
	marks, start := g.marks, g.start
	g.sig(freeNum, usual)
	g.xref("")
	g.finish()
	g.marks, g.start = marks, start
	g.finish()
	*f = *g
}

// spoofed change what a viewer shows of the signature.
func spoofed() []plan {
	spoof := func(name, how, old, new string) plan {
		return plan{name: "spoofed-" + name, how: how, problem: "not_exact_gap", then: func(f *file) {
			f.put(sigNum, strings.Replace(f.body(sigNum), old, new, 1))
			f.xref("")
		}}
	}
	return []plan{
		spoof("reason", "the dictionary is written again, with a reason", "/Type/Sig", "/Type/Sig/Reason(I agree)"),
		spoof("name", "the dictionary is written again, with a name", "/Type/Sig", "/Type/Sig/Name(Another)"),
		spoof("time", "the dictionary is written again, with another time", "/M(D:20", "/M(D:19"),
		{name: "spoofed-same", how: "the dictionary is written again, as it was", problem: "not_exact_gap", then: func(f *file) {
			f.put(sigNum, f.body(sigNum))
			f.xref("")
		}},
		update("spoofed-field", "the signed field gets a tooltip and a place to show itself", "object_overridden 7", func(f *file) {
			f.put(fieldNum, strings.Replace(filled, "/Rect[0 0 0 0]", "/TU(Signed by another)/Rect[20 20 120 60]", 1))
		}),
	}
}

// removedFields take a signature out of the form.
func removedFields() []plan {
	gone := func(name, how, problem string, then func(f *file)) plan {
		return plan{name: "removed-" + name, how: how, problem: problem, then: func(f *file) {
			then(f)
			f.xref("")
		}}
	}
	return []plan{
		gone("from-fields", "the form does not list the signed field any more", "removed", func(f *file) {
			f.put(formNum, strings.Replace(form, " 7 0 R", "", 1))
		}),
		gone("form", "the catalog has no form any more", "removed", func(f *file) {
			f.put(catalogNum, strings.Replace(catalog(""), "/AcroForm 14 0 R", "", 1))
		}),
		gone("value", "the field has no value any more", "removed", func(f *file) { f.put(fieldNum, field) }),
		gone("type", "the field is one for text now", "removed", func(f *file) { f.put(fieldNum, strings.Replace(filled, "/FT/Sig", "/FT/Tx", 1)) }),
		gone("name", "the field has another name", "not_in_signed_revision", func(f *file) {
			f.put(fieldNum, strings.Replace(filled, "(Approval)", "(Refusal)", 1))
		}),
		{name: "removed-freed", how: "the table says that the signature dictionary is free", problem: "removed", then: func(f *file) {
			f.xrefAt(map[int]int{sigNum: -1}, "")
		}},
	}
}
