//go:build interop

package matrix

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
)

// maker makes one document from a number: the same from the same.
type maker struct {
	*rand.Rand
	f     file
	parts []string // of the PDF/A that it is; nil: none
}

func pick[T any](m *maker, list ...T) T { return list[m.IntN(len(list))] }

func (m *maker) chance(percent int) bool { return m.IntN(100) < percent }

// generate makes document n: its version, cross-reference section, line ends,
// pages, fields, metadata, revisions and size are drawn. One in ten is PDF/A.
func generate(n int) (name string, data []byte) {
	m := &maker{Rand: rand.New(rand.NewPCG(6, uint64(n)))}
	m.f = file{version: pick(m, "1.3", "1.4", "1.5", "1.6", "1.7", "2.0"), xref: "table", eol: pick(m, "\n", "\n", "\r\n", "\r"), id: m.chance(70), remarks: m.chance(20)}
	if m.f.version >= "1.5" {
		m.f.xref = pick(m, "table", "stream", "objects")
	}
	if m.f.version == "2.0" {
		m.f.id = true
	}
	if n%10 == 0 {
		m.archival()
	}
	m.document()
	kind := m.f.xref
	if m.parts != nil {
		kind = "pdfa" + m.parts[0] + m.parts[1]
	}
	return fmt.Sprintf("%04d-%s-%s.pdf", n, m.f.version, kind), m.f.out.Bytes()
}

// archival sets what PDF/A asks of a file's form.
func (m *maker) archival() {
	m.parts = pick(m, []string{"1", "B"}, []string{"2", "B"}, []string{"3", "B"})
	m.f.id, m.f.version, m.f.remarks = true, "1.7", false
	m.f.eol = pick(m, "\n", "\r\n")
	m.f.xref = pick(m, "table", "stream", "objects")
	if m.parts[0] == "1" {
		m.f.version, m.f.xref = "1.4", "table"
	}
}

func (m *maker) document() {
	f := &m.f
	f.root = f.reserve()
	if m.chance(30) {
		f.skip(m.IntN(5))
	}
	extras := m.extras()
	pages, first := m.pages()
	f.set(f.root, fmt.Sprintf("<</Type/Catalog/Pages %d 0 R%s>>", pages, extras), nil)
	f.revision()
	if m.chance(25) {
		// A later revision of its producer: the first page gets another rotation.
		f.set(first.num, strings.Replace(first.dict, "/Type/Page", "/Rotate 90/Type/Page", 1), nil)
		f.revision()
	}
}

// node is a page, or a node of the tree, that has its number but not yet a parent.
type node struct {
	num   int
	dict  string
	count int
}

// pages writes a tree of pages and gives its root and the first page.
func (m *maker) pages() (root int, first object) {
	var level []node
	total := pick(m, 1, 1, 2, 3, 5, 12, 40)
	for i := range total {
		level = append(level, node{m.f.reserve(), m.page(i), 1})
	}
	fan := pick(m, 2, 8, 64)
	leaf := level[0].num
	for top := false; !top; {
		var up []node
		top = len(level) <= fan
		for len(level) > 0 {
			n := min(fan, len(level))
			parent := node{num: m.f.reserve()}
			var kids strings.Builder
			for _, k := range level[:n] {
				dict := strings.Replace(k.dict, "PARENT", fmt.Sprintf("/Parent %d 0 R", parent.num), 1)
				m.f.set(k.num, dict, nil)
				if k.num == leaf {
					first = object{num: k.num, dict: dict}
				}
				fmt.Fprintf(&kids, "%d 0 R ", k.num)
				parent.count += k.count
			}
			parent.dict = fmt.Sprintf("<</Type/Pages/Count %d/Kids[%s]PARENT>>", parent.count, kids.String())
			up, level = append(up, parent), level[n:]
		}
		level = up
	}
	root = level[0].num
	m.f.set(root, strings.Replace(level[0].dict, "PARENT", "/MediaBox[0 0 595 842]", 1), nil)
	return root, first
}

// page gives the dictionary of a page and writes what it points to.
func (m *maker) page(i int) string {
	content, resources := m.content(i), ""
	if m.parts != nil {
		resources = "/Resources<</ColorSpace<</C0[/CalGray<</WhitePoint[0.9505 1 1.089]>>]>>>>"
	} else {
		font := m.f.add("<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>", nil)
		resources = fmt.Sprintf("/Resources<</Font<</F#31 %d 0 R>>>>", font)
	}
	if m.chance(40) {
		resources += fmt.Sprintf("/MediaBox[0 0 %d %d]", 300+m.IntN(900), 300+m.IntN(900))
	}
	var streams strings.Builder
	for _, part := range bytes.SplitAfterN(content, []byte("Q\n"), 1+m.IntN(2)) {
		dict := ""
		if m.chance(60) {
			part, dict = deflate(part), "/Filter/FlateDecode"
		}
		fmt.Fprintf(&streams, "%d 0 R ", m.f.add(dict, part))
	}
	annots := ""
	if m.parts == nil && m.chance(30) {
		link := m.f.add("<</Type/Annot/Subtype/Link/Rect[10 10 90 30]/Border[0 0 0]/A<</S/URI/URI(https://example.org/\\(a\\))>>>>", nil)
		annots = fmt.Sprintf("/Annots[%d 0 R]", link)
		if m.chance(50) {
			annots = fmt.Sprintf("/Annots %d 0 R", m.f.add(fmt.Sprintf("[%d 0 R]", link), nil))
		}
	}
	return fmt.Sprintf("<</Type/PagePARENT/Contents[%s]%s%s>>", streams.String(), resources, annots)
}

// content is a box and a line of text (in PDF/A no text: a font would have to be
// inside), and a filler now and then.
func (m *maker) content(i int) []byte {
	var b bytes.Buffer
	if m.parts != nil {
		fmt.Fprintf(&b, "q /C0 cs %.2f sc %d %d 120 90 re f Q\n", m.Float64(), 20+m.IntN(100), 20+m.IntN(100))
	} else {
		fmt.Fprintf(&b, "q 0.8 0.9 %.2f rg %d %d 120 90 re f Q\nBT /F1 14 Tf 40 200 Td (Page %d) Tj ET\n", m.Float64(), 20+m.IntN(100), 20+m.IntN(100), i+1)
	}
	size := pick(m, 0, 0, 1000, 20_000)
	if i == 0 && m.chance(5) {
		size = 1_000_000
	}
	for b.Len() < size {
		fmt.Fprintf(&b, "%% %016x%016x\n", m.Uint64(), m.Uint64())
	}
	return b.Bytes()
}

// extras are members of the catalog; what they point to is written.
func (m *maker) extras() string {
	if m.parts != nil {
		return fmt.Sprintf("/Metadata %d 0 R", m.f.add("/Type/Metadata/Subtype/XML", []byte(m.xmp())))
	}
	var all strings.Builder
	for _, extra := range []string{
		"/Lang(en-BE)", "/PageLayout/OneColumn", "/ViewerPreferences<</DisplayDocTitle true>>", "/PageLabels<</Nums[0<</S/r>>]>>",
		"/Extensions<</ADBE<</BaseVersion/1.7/ExtensionLevel 3>>>>", "/MarkInfo<</Marked false>>", "/Names<</Dests<</Names[(one)[0/Fit]]>>>>",
		"/OpenAction[0/Fit]", "/PieceInfo<</a#20b<</LastModified(D:20260101000000Z)/Private null>>>>",
	} {
		if m.chance(20) {
			all.WriteString(extra)
		}
	}
	if m.chance(30) {
		fmt.Fprintf(&all, "/Metadata %d 0 R", m.f.add("/Type/Metadata/Subtype/XML", []byte(m.xmp())))
	}
	if m.chance(70) {
		m.f.info = m.f.add("<</Title "+pick(m, "(A \\(nested \\) \\344 title)", "<FEFF010D0159017E>", "(two\\\nlines)", "(((())))", "()")+"/Producer(tekend gen)/CreationDate(D:20260101120000+01'00')>>", nil)
	}
	all.WriteString(m.form())
	return all.String()
}

// form is an AcroForm of some shape, with fields that are on no page.
func (m *maker) form() string {
	text := "<</FT/Tx/T(" + pick(m, "name", "a-b", "\\376\\377\\001\\015") + ")/V(x)>>"
	switch pick(m, "none", "none", "empty", "direct", "indirect", "tree") {
	case "empty":
		return "/AcroForm<</Fields[]>>"
	case "direct":
		return fmt.Sprintf("/AcroForm<</Fields[%d 0 R]/DA(/Helv 0 Tf 0 g)>>", m.f.add(text, nil))
	case "indirect":
		fields := m.f.add(fmt.Sprintf("[%d 0 R]", m.f.add(text, nil)), nil)
		return fmt.Sprintf("/AcroForm %d 0 R", m.f.add(fmt.Sprintf("<</Fields %d 0 R/NeedAppearances false>>", fields), nil))
	case "tree":
		parent, kid := m.f.reserve(), m.f.reserve()
		m.f.set(kid, fmt.Sprintf("<</FT/Tx/T(Signature1)/Parent %d 0 R>>", parent), nil)
		m.f.set(parent, fmt.Sprintf("<</T(group)/Kids[%d 0 R]>>", kid), nil)
		return fmt.Sprintf("/AcroForm<</Fields[%d 0 R]>>", parent)
	}
	return ""
}

func (m *maker) xmp() string {
	claim := ""
	if m.parts != nil {
		claim = "<pdfaid:part>" + m.parts[0] + "</pdfaid:part><pdfaid:conformance>" + m.parts[1] + "</pdfaid:conformance>"
	}
	return "<?xpacket begin=\"\uFEFF\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n<x:xmpmeta xmlns:x=\"adobe:ns:meta/\"><rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">" +
		"<rdf:Description rdf:about=\"\" xmlns:pdfaid=\"http://www.aiim.org/pdfa/ns/id/\" xmlns:xmp=\"http://ns.adobe.com/xap/1.0/\">" + claim +
		"<xmp:CreatorTool>tekend gen</xmp:CreatorTool></rdf:Description></rdf:RDF></x:xmpmeta>\n<?xpacket end=\"w\"?>"
}
