package pdf

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Appearance is what a person sees of a signature on a page: text and nothing else (ISO 32000-2, 12.7.5.5). It makes no
// signature more or less valid, and a page can show the same letters without one.
type Appearance struct {
	// Page is the number of the page, from 1; -1 is the last one, -2 the one before.
	Page int
	// Box is x, y, width and height in the units of the page (1/72 inch, unless it has a /UserUnit), from its lower left
	// corner as the file has it, that is before /Rotate turns it for the eye. The text stands upright for the eye.
	// Page and Box zero: the empty signature field that the document has for this takes it, in its place. With a Box no
	// empty field is taken, unless FieldName names it: then the rectangle of the field counts.
	Box [4]float64
	// Text is 1 to 1000 letters, of at most 40 lines divided by LF. Longer lines are broken where there are spaces.
	Text string
	// FontSize is in units of the page. 0: the largest from 12 to Smallest with which the text fits.
	FontSize float64
	// Smallest is the smallest FontSize to choose by itself; 0: 4. Below 4, words are broken too where they must.
	Smallest float64
}

// CodeBadAppearance is the code of an Error: the visible signature cannot look like this, or not in this document.
const CodeBadAppearance = "bad_appearance"

const (
	maxLetters   = 1000
	maxLines     = 40
	largestSize  = 12.0
	smallestSize = 4.0
	leading      = 1.2 // from line to line, in font sizes
	margin       = 2.0 // from the box to the text, in units of the page
)

func (a *Appearance) prepared() bool { return a.Page == 0 && a.Box == [4]float64{} }

func (a *Appearance) check() error {
	for _, n := range append(a.Box[:], a.FontSize, a.Smallest) {
		if math.IsNaN(n) || math.Abs(n) > 1e6 {
			return errf(CodeBadAppearance, "a size or place is no number, or far too large")
		}
	}
	a.Text = norm.NFC.String(strings.TrimRight(a.Text, "\n"))
	switch {
	case !a.prepared() && (a.Box[2] <= 0 || a.Box[3] <= 0):
		return errf(CodeBadAppearance, "the box has no width or no height")
	case a.FontSize < 0 || a.Smallest < 0 || a.FontSize > 1000 || a.Smallest > largestSize:
		return errf(CodeBadAppearance, "a font size is out of range")
	case !validText(a.Text) || strings.TrimSpace(a.Text) == "":
		return errf(CodeBadAppearance, "the text is empty or not UTF-8")
	case utf8.RuneCountInString(a.Text) > maxLetters || strings.Count(a.Text, "\n") >= maxLines:
		return errf(CodeBadAppearance, "the text has more than %d letters or %d lines", maxLetters, maxLines)
	}
	if a.Smallest == 0 {
		a.Smallest = smallestSize
	}
	return nil
}

// drawing is an appearance that was drawn.
type drawing struct {
	form int    // number of the XObject
	text string // in one line
}

// draw adds the form XObject for a box of these sizes (12.5.5) and the font in it (9.7). rotate is how the page is turned for
// the eye, clockwise: the drawing is turned back.
func (u *update) draw(a *Appearance, width, height float64, rotate int) (*drawing, error) {
	across, up := width, height
	if rotate%180 != 0 {
		across, up = height, width
	}
	w, err := newWriting()
	if err != nil {
		return nil, err
	}
	missing, err := w.text(a.Text)
	if err != nil {
		return nil, err
	}
	if missing > 0 {
		return nil, errf(CodeBadAppearance, "the text has %d different characters that the font lacks or that do not show", missing)
	}
	lines, size, err := w.fit(a, across, up)
	if err != nil {
		return nil, err
	}
	font, err := u.font(w)
	if err != nil {
		return nil, err
	}
	turn := map[int][6]float64{0: {1, 0, 0, 1, 0, 0}, 90: {0, 1, -1, 0, width, 0}, 180: {-1, 0, 0, -1, width, height}, 270: {0, -1, 1, 0, 0, height}}[rotate]
	// CalGray is black on every device, whatever the output intent of a PDF/A file is, or without one.
	head := fmt.Sprintf("/Type/XObject/Subtype/Form/BBox[0 0 %s %s]/Matrix[%s]/Resources<</Font<</F1 %s>>"+
		"/ColorSpace<</C1[/CalGray<</WhitePoint[0.9505 1 1.089]/Gamma 2.2>>]>>>>", num(across), num(up), nums(turn[:]), refText(font, 0))
	form, err := u.stream(head, []byte(w.content(lines, size, across, up)))
	if err != nil {
		return nil, err
	}
	return &drawing{form: form, text: strings.Join(strings.Fields(a.Text), " ")}, nil
}

// content draws the lines from the top of the box on, clipped to it.
func (w *writing) content(lines []string, size, across, up float64) string {
	first := up - margin - size*float64(w.face.ascent)/1000
	var b strings.Builder
	fmt.Fprintf(&b, "q 0 0 %s %s re W n /C1 cs 0 sc BT /F1 %s Tf %s TL %s %s Td\n", num(across), num(up), num(size), num(size*leading), num(margin), num(first))
	for i, line := range lines {
		if i > 0 {
			b.WriteString("T* ")
		}
		b.WriteString(w.codes(line) + " Tj\n")
	}
	b.WriteString("ET Q\n")
	return b.String()
}

// fit breaks the text into lines and picks the size of the font.
func (w *writing) fit(a *Appearance, across, up float64) ([]string, float64, error) {
	across, up = across-2*margin, up-2*margin
	try := func(size float64) []string {
		lines, ok := w.wrap(a.Text, across*1000/size, size < smallestSize)
		need := size * (float64(len(lines)-1)*leading + float64(w.face.ascent-w.face.descent)/1000)
		if !ok || need > up {
			return nil
		}
		return lines
	}
	if a.FontSize > 0 {
		if lines := try(a.FontSize); lines != nil {
			return lines, a.FontSize, nil
		}
		return nil, 0, errf(CodeBadAppearance, "the text does not fit in the box with this font size")
	}
	for size := largestSize; size >= a.Smallest; size -= 0.5 {
		if lines := try(size); lines != nil {
			return lines, size, nil
		}
	}
	return nil, 0, errf(CodeBadAppearance, "the box is too small for the text")
}

// wrap breaks s into lines of at most width thousandths of the font size; false: a word is longer.
func (w *writing) wrap(s string, width float64, words bool) (lines []string, ok bool) {
	fits := func(s string) bool { return float64(w.width(s)) <= width }
	for line := range strings.SplitSeq(s, "\n") {
		now := ""
		for word := range strings.FieldsSeq(line) {
			if joined := strings.TrimLeft(now+" "+word, " "); fits(joined) {
				now = joined
				continue
			}
			if now != "" {
				lines = append(lines, now)
			}
			for !fits(word) {
				cut := w.cut(word, width)
				if !words || cut == 0 {
					return nil, false
				}
				lines, word = append(lines, word[:cut]), word[cut:]
			}
			now = word
		}
		lines = append(lines, now)
	}
	return lines, true
}

// cut is how many bytes of word have at most this width.
func (w *writing) cut(word string, width float64) int {
	n := 0
	for i, r := range word {
		if n += w.widths[w.of[r]]; float64(n) > width {
			return i
		}
	}
	return len(word)
}

// font adds the subset of the font with what belongs to it, and gives the number of the Type 0 font (9.7.6).
func (u *update) font(w *writing) (int, error) {
	program, err := w.subset()
	if err != nil {
		return 0, err
	}
	f := w.face
	sum := sha256.Sum256(program)
	tag := make([]byte, 6) // of the subset, by its content (9.9.2)
	for i := range tag {
		tag[i] = 'A' + sum[i]%26
	}
	name := string(tag) + "+" + fontName
	// All glyphs of the subset, as PDF/A-1 (6.3.5) wants it said.
	set := bytes.Repeat([]byte{0xFF}, (len(w.glyphs)+7)/8)
	if rest := len(w.glyphs) % 8; rest > 0 {
		set[len(set)-1] = 0xFF << (8 - rest)
	}
	streams := []int{0, 0, 0} // program, set, letters
	for i, s := range []struct {
		dict string
		data []byte
	}{{fmt.Sprintf("/Length1 %d", len(program)), program}, {"", set}, {"", []byte(w.toUnicode())}} {
		if streams[i], err = u.stream(s.dict, s.data); err != nil {
			return 0, err
		}
	}
	descriptor := u.object(fmt.Appendf(nil, "<</Type/FontDescriptor/FontName/%s/Flags 4/FontBBox[%d %d %d %d]/ItalicAngle 0/Ascent %d/Descent %d"+
		"/CapHeight %d/StemV 80/FontFile2 %s/CIDSet %s>>", name, f.box[0], f.box[1], f.box[2], f.box[3], f.ascent, f.descent, f.capital, refText(streams[0], 0), refText(streams[1], 0)))
	widths := strings.Trim(fmt.Sprint(w.widths), "[]")
	cid := u.object(fmt.Appendf(nil, "<</Type/Font/Subtype/CIDFontType2/BaseFont/%s/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>"+
		"/FontDescriptor %s/DW 1000/W[0[%s]]/CIDToGIDMap/Identity>>", name, refText(descriptor, 0), widths))
	return u.object(fmt.Appendf(nil, "<</Type/Font/Subtype/Type0/BaseFont/%s/Encoding/Identity-H/DescendantFonts[%s]/ToUnicode %s>>", name, refText(cid, 0), refText(streams[2], 0))), nil
}

// object adds a new object and gives its number.
func (u *update) object(body []byte) int {
	n := u.number()
	u.added = append(u.added, addition{n, body})
	return n
}

// stream adds a new stream, compressed.
func (u *update) stream(dict string, data []byte) (int, error) {
	z := deflaters.Get().(*deflater)
	defer deflaters.Put(z)
	body, err := z.stream(dict, data)
	return u.object(body), err
}

// drawingObjects is how many objects draw adds.
const drawingObjects = 7

// num writes a number of a page: at most four digits behind the point, since more are less than a printer's dot.
func num(n float64) string {
	s := strconv.FormatFloat(n, 'f', 4, 64)
	s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	if s == "-0" {
		return "0"
	}
	return s
}

func nums(all []float64) string {
	parts := make([]string, len(all))
	for i, n := range all {
		parts[i] = num(n)
	}
	return strings.Join(parts, " ")
}

// Preview is the update that shows the appearance of o in its place and signs nothing: the field has no value. It depends on
// nothing but base and o; SignatureTime and Reserve are not used. Errors: as [Prepare].
func Preview(base io.ReaderAt, size int64, o Options) ([]byte, error) {
	if o.Appearance == nil || o.TimeStamp {
		return nil, errf(CodeBadOptions, "there is nothing to preview")
	}
	o.preview, o.Reserve = true, 1
	u, err := plan(base, size, &o)
	if err != nil {
		return nil, err
	}
	w := &writer{base: size}
	if err := u.objects(w); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(w.Bytes())
	if err := u.section(w, sum[:]); err != nil {
		return nil, err
	}
	return w.Bytes(), nil
}
