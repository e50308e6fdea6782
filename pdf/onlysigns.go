package pdf

import (
	"bytes"
	"fmt"
	"slices"
)

// OnlySigns says whether an update, of which only the bytes before and after the space for the signature are known, is of
// the form that [Prepare] writes behind a base of baseSize bytes: one signature, its field, and the objects that lead to
// it written again. Whoever does not see the base can so exclude that the update brings anything of its own to show: it
// holds no stream but the cross-reference stream, no annotation but the signature's, no other field, and its
// cross-reference section points at nothing but its own objects. What it cannot exclude is that an object that is written
// again differs from the base's, so that a page shows other content *of the base*: that takes the base, see Signatures.
func OnlySigns(baseSize int64, before, after []byte) error {
	hole, err := holeOf(baseSize, before, after)
	if err != nil {
		return err
	}
	r := &updateReader{base: baseSize, gap: len(before), rows: map[int]bool{}}
	r.byteRange = [4]int64{0, baseSize + int64(len(before)), baseSize + int64(len(before)) + hole, int64(len(after))}
	r.text = slices.Concat(before, []byte{'<'}, bytes.Repeat([]byte{'0'}, int(hole)-2), []byte{'>'}, after)
	if len(r.text) > 0 && (r.text[0] == '\n' || r.text[0] == '\r') {
		r.pos = 1
	}
	for {
		done, err := r.next()
		if err != nil {
			return err
		}
		if done {
			break
		}
	}
	if r.sigs != 1 {
		return refusedUpdate("%d signatures", r.sigs)
	}
	return nil
}

func refusedUpdate(format string, a ...any) error {
	return errf(CodeBadStructure, "the update does more than sign: "+format, a...)
}

// holeOf reads the length of the space for the signature from the last ByteRange, which must be the one of these bytes.
func holeOf(baseSize int64, before, after []byte) (int64, error) {
	const key = "/ByteRange "
	at := bytes.LastIndex(before, []byte(key))
	if at < 0 {
		return 0, refusedUpdate("no ByteRange")
	}
	var zero, a, b, c int64
	if _, err := fmt.Sscanf(string(before[at+len(key):min(len(before), at+len(key)+byteRangeWidth)]), "[%d %d %d %d]", &zero, &a, &b, &c); err != nil {
		return 0, refusedUpdate("no ByteRange")
	}
	if zero != 0 || a != baseSize+int64(len(before)) || c != int64(len(after)) || b-a < 4 || b-a > 2*maxReserve+2 {
		return 0, refusedUpdate("a ByteRange of other bytes")
	}
	return b - a, nil
}

// updateReader reads an update object by object.
type updateReader struct {
	text      []byte
	base      int64
	gap       int // place of the space for the signature in text
	byteRange [4]int64
	pos       int
	w         writer // collects the rows that the cross-reference section must have
	rows      map[int]bool
	sigs      int
}

// maxUpdateObjects: catalog, form, its array, page, its array, field, signature.
const maxUpdateObjects = 7

// next reads an object or the cross-reference section, which ends the update.
func (r *updateReader) next() (done bool, err error) {
	if bytes.HasPrefix(r.text[r.pos:], []byte("xref\n")) {
		return true, r.table()
	}
	p := &parser{buf: r.text, pos: r.pos, depth: 32, values: 1 << 16}
	num, gen, err := p.header()
	if err != nil {
		return false, err
	}
	if head := fmt.Sprintf("%d %d obj\n", num, gen); !bytes.HasPrefix(r.text[r.pos:], []byte(head)) {
		return false, refusedUpdate("an object that does not begin where it should")
	}
	o := &object{num: num, gen: gen, off: r.base + int64(r.pos), buf: r.text}
	if o.root, err = p.value(); err != nil {
		return false, err
	}
	rest := r.text[p.pos:]
	if bytes.HasPrefix(rest, []byte("\nstream\n")) {
		return true, r.stream(o)
	}
	const end = "\nendobj\n"
	switch {
	case !bytes.HasPrefix(rest, []byte(end)):
		return false, refusedUpdate("object %d does not end", num)
	case r.rows[num]:
		return false, refusedUpdate("object %d stands twice", num)
	case len(r.rows) == maxUpdateObjects:
		return false, refusedUpdate("more than %d objects", maxUpdateObjects)
	}
	r.rows[num] = true
	r.w.rows = append(r.w.rows, written{num, gen, o.off})
	r.pos = p.pos + len(end)
	return false, r.allowed(o.val())
}

// allowed holds one object to what a signature needs.
func (r *updateReader) allowed(v val) error {
	switch v.kind() {
	case kArray: // the form's /Fields or a page's /Annots
		return references(v)
	case kDict:
		if err := v.uniqueKeys(); err != nil {
			return err
		}
	default:
		return refusedUpdate("object %d is neither dictionary nor array", v.o.num)
	}
	typ, err := v.direct("Type")
	if err != nil {
		return err
	}
	switch typ.name() {
	case "Sig":
		r.sigs++
		return r.signature(v)
	case "Page":
		return inner(v, "Annots")
	case "Catalog":
		form, err := v.direct("AcroForm")
		if err != nil || form.kind() != kDict {
			return err
		}
		return inner(form, "Fields")
	case "", "Annot":
		return fieldOrForm(v)
	}
	return refusedUpdate("object %d is of another type", v.o.num)
}

// references wants an array of nothing but references: what stands in the array itself could be an annotation that shows.
func references(v val) error {
	for i := range v.n.kids {
		if v.kid(i).kind() != kRef {
			return refusedUpdate("an array of object %d holds more than references", v.o.num)
		}
	}
	return nil
}

// inner is references for the array of a key, if it stands there.
func inner(v val, key string) error {
	a, err := v.direct(key)
	if err != nil || a.kind() != kArray {
		return err
	}
	return references(a)
}

// fieldOrForm allows a signature field with its widget, and the form's dictionary.
func fieldOrForm(v val) error {
	fields, err := v.direct("Fields")
	if err != nil {
		return err
	}
	if fields.kind() != kNull {
		return inner(v, "Fields")
	}
	for key, want := range map[string]string{"FT": "Sig", "Subtype": "Widget"} {
		e, err := v.direct(key)
		if err != nil {
			return err
		}
		if e.kind() != kNull && e.name() != want {
			return refusedUpdate("object %d is a field or annotation of another kind", v.o.num)
		}
	}
	value, err := v.direct("V")
	if err != nil {
		return err
	}
	if value.kind() != kRef {
		return refusedUpdate("object %d is no signature field", v.o.num)
	}
	return nil
}

// signatureKeys are all that [Prepare] writes.
var signatureKeys = []string{"Type", "Filter", "SubFilter", "M", "Reference", "ByteRange", "Contents"}

func (r *updateReader) signature(v val) error {
	for i := 0; i+1 < len(v.n.kids); i += 2 {
		if !slices.Contains(signatureKeys, decodeName(v.kid(i).raw())) {
			return refusedUpdate("the signature has a key of its own")
		}
	}
	contents, err := v.direct("Contents")
	if err != nil {
		return err
	}
	ranges, err := v.direct("ByteRange")
	if err != nil {
		return err
	}
	if contents.kind() != kHex || int(contents.n.start) != r.gap || ranges.kind() != kArray || len(ranges.n.kids) != len(r.byteRange) {
		return refusedUpdate("the signature has another space than the one left out")
	}
	for i, want := range r.byteRange {
		if n, ok := ranges.kid(i).int(); !ok || n != want {
			return refusedUpdate("a ByteRange of other bytes")
		}
	}
	return nil
}

// table and stream write the section anew from the objects that were read: it must be the same, byte for byte.
func (r *updateReader) table() error {
	at := bytes.Index(r.text[r.pos:], []byte("trailer\n"))
	if at < 0 {
		return refusedUpdate("no trailer")
	}
	start := r.pos + at + len("trailer\n")
	u, dict, err := r.section(start, "")
	if err != nil {
		return err
	}
	r.w.sortRows()
	u.xrefTable(&r.w, dict)
	return r.same()
}

func (r *updateReader) stream(o *object) error {
	if r.rows[o.num] || o.gen != 0 {
		return refusedUpdate("object %d stands twice", o.num)
	}
	r.w.rows = append(r.w.rows, written{o.num, 0, o.off})
	r.w.sortRows()
	size, err := o.val().direct("Size")
	if err != nil {
		return err
	}
	length, err := o.val().direct("Length")
	if err != nil {
		return err
	}
	mark := fmt.Sprintf("/Size %d/Length %d", size.num(), length.num())
	u, dict, err := r.section(int(o.root.start), mark)
	if err != nil {
		return err
	}
	u.xrefStream(&r.w, o.num, dict)
	return r.same()
}

// num is an integer, 0 for anything else.
func (v val) num() int64 {
	n, _ := v.int()
	return n
}

// section reads the dictionary at start: its size, and the text that follows mark ("" for its /Size).
func (r *updateReader) section(start int, mark string) (*update, string, error) {
	p := &parser{buf: r.text, pos: start, depth: 8, values: 1 << 10}
	root, err := p.value()
	if err != nil {
		return nil, "", err
	}
	v := (&object{buf: r.text, root: root}).val()
	if err := v.uniqueKeys(); err != nil {
		return nil, "", err
	}
	for i := 0; i+1 < len(root.kids); i += 2 {
		if !slices.Contains(sectionKeys, decodeName(v.kid(i).raw())) {
			return nil, "", refusedUpdate("a cross-reference section with a key of its own")
		}
	}
	size, err := v.direct("Size")
	if err != nil {
		return nil, "", err
	}
	prev, err := v.direct("Prev")
	if err != nil {
		return nil, "", err
	}
	if n, ok := prev.int(); !ok || n < 0 || n >= r.base {
		return nil, "", refusedUpdate("a cross-reference section that does not go on with the base's")
	}
	if mark == "" {
		mark = fmt.Sprintf("/Size %d", size.num())
	}
	text := string(v.raw())
	at := bytes.Index(v.raw(), []byte(mark))
	if at < 0 {
		return nil, "", refusedUpdate("a cross-reference section of another form")
	}
	return &update{next: int(size.num())}, text[at+len(mark) : len(text)-2], nil
}

var sectionKeys = []string{"Type", "W", "Index", "Size", "Length", "Prev", "Root", "ID", "Info"}

// same compares what was written anew with what stands there.
func (r *updateReader) same() error {
	fmt.Fprintf(&r.w, "startxref\n%d\n%%%%EOF\n", r.base+int64(r.pos))
	for _, row := range r.w.rows {
		if row.num < 1 {
			return refusedUpdate("an object 0")
		}
	}
	if !bytes.Equal(r.w.Bytes(), r.text[r.pos:]) {
		return refusedUpdate("a cross-reference section that is not of these objects")
	}
	return nil
}
