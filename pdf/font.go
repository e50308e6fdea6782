package pdf

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf16"

	"github.com/go-fonts/liberation/liberationsansregular"
	"golang.org/x/image/font"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// fontName is the PostScript name of the face, Liberation Sans: it has the letters of all official languages of the
// Union, and those of Vietnamese, Hebrew, and all that are written in Cyrillic.
const fontName = "LiberationSans"

// face is the font that appearances are written in. It comes with this program, so its tables are not checked as those of a
// stranger would be.
type face struct {
	sfnt   *sfnt.Font
	tables map[string][]byte
	units  int // per em
	// ascent, descent, capital height and bounding box in thousandths of an em, as a font descriptor has them (9.8).
	ascent, descent, capital int
	box                      [4]int
}

// theFace reads the font once.
var theFace = sync.OnceValues(func() (*face, error) {
	raw := liberationsansregular.TTF
	parsed, err := sfnt.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("our own font: %w", err)
	}
	f := &face{sfnt: parsed, tables: make(map[string][]byte), units: int(parsed.UnitsPerEm())}
	for i := range int(binary.BigEndian.Uint16(raw[4:])) {
		row := raw[12+16*i:]
		at, n := binary.BigEndian.Uint32(row[8:]), binary.BigEndian.Uint32(row[12:])
		f.tables[string(row[:4])] = raw[at : at+n]
	}
	hhea, head := f.tables["hhea"], f.tables["head"]
	f.ascent, f.descent = f.mille(int16At(hhea, 4)), f.mille(int16At(hhea, 6))
	for i := range f.box {
		f.box[i] = f.mille(int16At(head, 36+2*i))
	}
	m, err := parsed.Metrics(nil, fixed.I(1000), font.HintingNone)
	if err != nil {
		return nil, fmt.Errorf("our own font: %w", err)
	}
	f.capital = m.CapHeight.Round()
	return f, nil
})

func int16At(b []byte, at int) int { return int(int16(binary.BigEndian.Uint16(b[at:]))) }

// mille turns units of the font into thousandths of an em.
func (f *face) mille(n int) int { return (n*1000 + f.units/2) / f.units }

// writing collects the glyphs of one text; it gives each a new number, in the order of their first use, so that the
// numbers say nothing and the subset has no holes.
type writing struct {
	face   *face
	buf    sfnt.Buffer
	glyphs []int        // old numbers by new ones; 0 is the glyph of what is missing
	of     map[rune]int // new numbers
	runes  []rune       // by new numbers; 0 for parts of others
	widths []int        // by new numbers, thousandths of an em
}

func newWriting() (*writing, error) {
	f, err := theFace()
	if err != nil {
		return nil, err
	}
	w := &writing{face: f, of: make(map[rune]int)}
	_, err = w.add(0, 0)
	return w, err
}

// add gives the glyph with this number of the font a new one.
func (w *writing) add(old int, r rune) (int, error) {
	adv, err := w.face.sfnt.GlyphAdvance(&w.buf, sfnt.GlyphIndex(old), fixed.I(1000), font.HintingNone)
	if err != nil {
		return 0, fmt.Errorf("our own font: %w", err)
	}
	w.glyphs, w.runes, w.widths = append(w.glyphs, old), append(w.runes, r), append(w.widths, adv.Round())
	return len(w.glyphs) - 1, nil
}

// text takes the letters of s in and says how many of them it has not to show: the font lacks them, or they only say how
// others are to stand, which nobody sees here and who reads the text elsewhere obeys.
func (w *writing) text(s string) (missing int, err error) {
	lacks := make(map[rune]bool)
	for _, r := range s {
		if _, known := w.of[r]; known || r == '\n' || lacks[r] {
			continue
		}
		old, err := w.face.sfnt.GlyphIndex(&w.buf, r)
		if err != nil {
			return 0, fmt.Errorf("our own font: %w", err)
		}
		if old == 0 || unicode.Is(unicode.Cf, r) {
			lacks[r] = true
			continue
		}
		if w.of[r], err = w.add(int(old), r); err != nil {
			return 0, err
		}
	}
	return len(lacks), nil
}

// width of s in thousandths of an em.
func (w *writing) width(s string) int {
	n := 0
	for _, r := range s {
		n += w.widths[w.of[r]]
	}
	return n
}

// codes is s as a hexadecimal string of Identity-H (9.7.5.2).
func (w *writing) codes(s string) string {
	var b strings.Builder
	b.WriteByte('<')
	for _, r := range s {
		fmt.Fprintf(&b, "%04X", w.of[r])
	}
	b.WriteByte('>')
	return b.String()
}

// toUnicode is the CMap from codes to letters (9.10.3).
func (w *writing) toUnicode() string {
	var rows []string
	for n, r := range w.runes {
		if r == 0 {
			continue
		}
		row := fmt.Sprintf("<%04X> <", n)
		for _, u := range utf16.Encode([]rune{r}) {
			row += fmt.Sprintf("%04X", u)
		}
		rows = append(rows, row+">\n")
	}
	var b strings.Builder
	b.WriteString("/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n" +
		"/CIDSystemInfo <</Registry (Adobe) /Ordering (UCS) /Supplement 0>> def\n" +
		"/CMapName /Adobe-Identity-UCS def\n/CMapType 2 def\n1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange\n")
	for part := range slices.Chunk(rows, 100) { // no more in one section, by the CMap specification
		fmt.Fprintf(&b, "%d beginbfchar\n%sendbfchar\n", len(part), strings.Join(part, ""))
	}
	b.WriteString("endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend\n")
	return b.String()
}

// Flags of glyph descriptions (OpenType, glyf).
const (
	argsAreWords     = 0x0001
	haveScale        = 0x0008
	moreComponents   = 0x0020
	haveXYScale      = 0x0040
	haveMatrix       = 0x0080
	haveInstructions = 0x0100
)

// outline is the description of a glyph of the font, empty for a blank.
func (f *face) outline(old int) []byte {
	loca := f.tables["loca"]
	if int16At(f.tables["head"], 50) == 0 {
		return f.tables["glyf"][2*int(binary.BigEndian.Uint16(loca[2*old:])) : 2*int(binary.BigEndian.Uint16(loca[2*old+2:]))]
	}
	return f.tables["glyf"][binary.BigEndian.Uint32(loca[4*old:]):binary.BigEndian.Uint32(loca[4*old+4:])]
}

// bare is the outline of a glyph without its instructions, since the programs that these call are left out; the parts that
// it is made of get new numbers.
func (w *writing) bare(old int) ([]byte, error) {
	g := w.face.outline(old)
	if len(g) == 0 {
		return nil, nil
	}
	if contours := int16At(g, 0); contours >= 0 {
		at := 10 + 2*contours
		n := int(binary.BigEndian.Uint16(g[at:]))
		return slices.Concat(g[:at], []byte{0, 0}, g[at+2+n:]), nil
	}
	g = bytes.Clone(g)
	for at := 10; ; {
		flags := binary.BigEndian.Uint16(g[at:])
		part := int(binary.BigEndian.Uint16(g[at+2:]))
		n := slices.Index(w.glyphs, part)
		if n < 0 {
			var err error
			if n, err = w.add(part, 0); err != nil {
				return nil, err
			}
		}
		binary.BigEndian.PutUint16(g[at:], flags&^haveInstructions)
		binary.BigEndian.PutUint16(g[at+2:], uint16(n))
		at += 6
		for flag, size := range map[uint16]int{argsAreWords: 2, haveScale: 2, haveXYScale: 4, haveMatrix: 8} {
			if flags&flag != 0 {
				at += size
			}
		}
		if flags&moreComponents == 0 {
			return g[:at], nil
		}
	}
}

// subset is a TrueType font program with these glyphs alone: the tables that a CIDFontType2 needs (9.9.1), and no
// instructions.
func (w *writing) subset() ([]byte, error) {
	var glyf, loca, hmtx []byte
	long := int16At(w.face.tables["hhea"], 34)
	for n := 0; n < len(w.glyphs); n++ { // grows by the parts of glyphs
		g, err := w.bare(w.glyphs[n])
		if err != nil {
			return nil, err
		}
		loca = binary.BigEndian.AppendUint32(loca, uint32(len(glyf)))
		glyf = append(glyf, g...)
		glyf = append(glyf, make([]byte, -len(glyf)&3)...)
		old, from := w.glyphs[n], w.face.tables["hmtx"]
		advance := from[4*min(old, long-1):][:2]
		bearing := from[4*old+2:]
		if old >= long { // the last width is that of all the others
			bearing = from[4*long+2*(old-long):]
		}
		hmtx = append(hmtx, advance...)
		hmtx = append(hmtx, bearing[:2]...)
	}
	loca = binary.BigEndian.AppendUint32(loca, uint32(len(glyf)))
	tables := map[string][]byte{"glyf": glyf, "loca": loca, "hmtx": hmtx}
	for _, name := range []string{"head", "hhea", "maxp"} {
		tables[name] = bytes.Clone(w.face.tables[name])
	}
	binary.BigEndian.PutUint32(tables["head"][8:], 0)  // checkSumAdjustment, see join
	binary.BigEndian.PutUint16(tables["head"][50:], 1) // loca has 32 bits
	binary.BigEndian.PutUint16(tables["hhea"][34:], uint16(len(w.glyphs)))
	binary.BigEndian.PutUint16(tables["maxp"][4:], uint16(len(w.glyphs)))
	return join(tables), nil
}

// join writes a font file: directory, then the tables, each on a multiple of four bytes.
func join(tables map[string][]byte) []byte {
	names := make([]string, 0, len(tables))
	for name := range tables {
		names = append(names, name)
	}
	slices.Sort(names)
	power := 0
	for 2<<power <= len(names) {
		power++
	}
	out := []byte{0, 1, 0, 0}
	for _, n := range []int{len(names), 16 << power, power, 16*len(names) - 16<<power} {
		out = binary.BigEndian.AppendUint16(out, uint16(n))
	}
	at := 12 + 16*len(names)
	head := 0
	var body []byte
	for _, name := range names {
		t := tables[name]
		if name == "head" {
			head = at + len(body)
		}
		out = append(out, name...)
		for _, n := range []uint32{sumOf(t), uint32(at + len(body)), uint32(len(t))} {
			out = binary.BigEndian.AppendUint32(out, n)
		}
		body = append(body, t...)
		body = append(body, make([]byte, -len(t)&3)...)
	}
	out = append(out, body...)
	binary.BigEndian.PutUint32(out[head+8:], 0xB1B0AFBA-sumOf(out))
	return out
}

// sumOf is the checksum of OpenType: big-endian words, the last filled with zeros.
func sumOf(b []byte) (sum uint32) {
	for len(b) >= 4 {
		sum += binary.BigEndian.Uint32(b)
		b = b[4:]
	}
	var last [4]byte
	copy(last[:], b)
	return sum + binary.BigEndian.Uint32(last[:])
}
