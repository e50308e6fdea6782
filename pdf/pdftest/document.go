package pdftest

// The objects of the document that is signed.
const (
	catalogNum = 1
	pagesNum   = 2
	pageNum    = 3
	contentNum = 4
	fontNum    = 5
	amountNum  = 6 // a text field
	fieldNum   = 7 // the signature field
	sigNum     = 8 // its signature
	secondNum  = 9 // an empty signature field
	drawingNum = 10
	lookNum    = 11 // the appearance of the text field
	orphanNum  = 12 // nothing refers to it
	infoNum    = 13
	formNum    = 14
	freeNum    = 20 // and above: not used
)

const (
	page = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Resources<</Font<</F1 5 0 R>>/XObject<</X1 10 0 R>>>>" +
		"/Contents 4 0 R/Annots[6 0 R 7 0 R 9 0 R]>>"
	amount   = "<</Type/Annot/Subtype/Widget/FT/Tx/T(Amount)/V(100 EUR)/DA(/F1 12 Tf 0 g)/F 4/Rect[20 100 120 120]/P 3 0 R/AP<</N 11 0 R>>>>"
	field    = "<</Type/Annot/Subtype/Widget/FT/Sig/T(Approval)/F 132/Rect[0 0 0 0]/P 3 0 R>>"
	filled   = "<</Type/Annot/Subtype/Widget/FT/Sig/T(Approval)/F 132/Rect[0 0 0 0]/P 3 0 R/V 8 0 R>>"
	second   = "<</Type/Annot/Subtype/Widget/FT/Sig/T(Second)/F 132/Rect[0 0 0 0]/P 3 0 R>>"
	form     = "<</Fields[6 0 R 7 0 R 9 0 R]/SigFlags 3>>"
	drawing  = "/Type/XObject/Subtype/Form/BBox[0 0 100 20]"
	content  = "BT /F1 12 Tf 20 150 Td (Pay 100 EUR) Tj ET /X1 Do"
	evilText = "BT /F1 12 Tf 20 150 Td (Pay 999 EUR) Tj ET /X1 Do"
)

// options vary the document.
type options struct {
	catalog string // more entries
	sig     string // the signature dictionary, usual when empty
	page    string // in place of page
	field   string // in place of filled
	more    func(f *file)
	trailer string
	shift   int
}

// unsigned is the first revision.
func unsigned(m Maker, o options) *file {
	f := &file{prev: -1, Maker: m, offs: make(map[int]int)}
	f.add("%PDF-1.7\n%\xE2\xE3\xCF\xD3\n")
	f.put(catalogNum, catalog(o.catalog))
	f.put(pagesNum, "<</Type/Pages/Kids[3 0 R]/Count 1>>")
	if o.page == "" {
		o.page = page
	}
	f.put(pageNum, o.page)
	f.put(contentNum, stream("", content))
	f.put(fontNum, "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>")
	f.put(amountNum, amount)
	f.put(fieldNum, field)
	f.put(secondNum, second)
	f.put(drawingNum, stream(drawing, "0 0 100 20 re S"))
	f.put(lookNum, stream(drawing, "BT /F1 12 Tf (100 EUR) Tj ET"))
	f.put(orphanNum, stream(drawing, "BT /F1 12 Tf (999 EUR) Tj ET"))
	f.put(infoNum, "<</Title(Order)>>")
	f.put(formNum, form)
	if o.more != nil {
		o.more(f)
	}
	f.xref(o.trailer)
	return f
}

func catalog(more string) string { return "<</Type/Catalog/Pages 2 0 R/AcroForm 14 0 R" + more + ">>" }

// signed is the document with its signature.
func signed(m Maker, o options) *file {
	f := unsigned(m, o)
	if o.field == "" {
		o.field = filled
	}
	if o.sig == "" {
		o.sig = usual
	}
	f.put(fieldNum, o.field)
	f.sig(sigNum, o.sig)
	f.xref(o.trailer)
	f.shift = o.shift
	f.finish()
	return f
}

// certified is a document of which the signature says what may change.
func certified(p string) options {
	return options{
		catalog: "/Perms<</DocMDP 8 0 R>>",
		sig: "<</Type/Sig/Filter/Adobe.PPKLite/SubFilter/ETSI.CAdES.detached/M(D:{time})" +
			"/Reference[<</Type/SigRef/TransformMethod/DocMDP/TransformParams<</Type/TransformParams/V/1.2/P " + p + ">>>>]" +
			"/ByteRange[{r0} {r1} {r2} {r3}]/Contents {contents}>>",
	}
}
