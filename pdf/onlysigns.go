package pdf

import (
	"bytes"
	"fmt"
	"slices"
)

// OnlySigns says whether an update, of which only the bytes before and after the space for the signature are known, is of
// the form that [Prepare] writes behind a base of baseSize bytes: one signature, its field, and the objects that lead to
// it written again. Whoever does not see the base can so exclude that the update brings anything of its own to show: it
// holds no stream but the cross-reference stream and an empty one ([emptyLook]), no annotation but the signature's, no other field, and its
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
	return r.counted()
}

// counted: what a signature needs is there once, and nothing stands for something else.
func (r *updateReader) counted() error {
	switch n := &r.counts; {
	case n.sigs != 1 || n.fields != 1:
		return refusedUpdate("%d signatures in %d fields", n.sigs, n.fields)
	case n.pages > 1 || n.forms > 1 || n.catalogs > 1 || n.looks > 1:
		return refusedUpdate("more than one page, form, catalog or appearance")
	case r.value != r.sig:
		return refusedUpdate("the field holds another value than the signature")
	case n.catalogs == 1 && r.catalog != r.root:
		return refusedUpdate("the catalog is not the root")
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
	counts    struct{ sigs, fields, pages, forms, catalogs, looks int }

	sig, value    string // references: to the signature, and of the field to its value
	catalog, root string // to the catalog that is written again, and of the section to the root
}

// maxUpdateObjects: catalog, form, its array, page, its array, field, its appearance, signature.
const maxUpdateObjects = 8

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
	off := r.base + int64(r.pos)
	if bytes.HasPrefix(r.text[p.pos:], []byte("\n"+emptyLook+endOfObject)) {
		r.counts.looks++
		return false, r.take(written{num, gen, off}, p.pos+len("\n"+emptyLook))
	}
	o := &object{num: num, gen: gen, off: off, buf: r.text}
	if o.root, err = p.value(); err != nil {
		return false, err
	}
	rest := r.text[p.pos:]
	if bytes.HasPrefix(rest, []byte("\nstream\n")) {
		return true, r.stream(o)
	}
	if err := r.take(written{num, gen, off}, p.pos); err != nil {
		return false, err
	}
	return false, r.allowed(o.val())
}

const endOfObject = "\nendobj\n"

// take goes on behind an object whose value ends at end.
func (r *updateReader) take(row written, end int) error {
	switch {
	case !bytes.HasPrefix(r.text[end:], []byte(endOfObject)):
		return refusedUpdate("object %d does not end", row.num)
	case r.rows[row.num]:
		return refusedUpdate("object %d stands twice", row.num)
	case len(r.rows) == maxUpdateObjects:
		return refusedUpdate("more than %d objects", maxUpdateObjects)
	}
	r.rows[row.num] = true
	r.w.rows = append(r.w.rows, row)
	r.pos = end + len(endOfObject)
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
	if err := r.leads(v); err != nil {
		return nil, "", err
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

// leads: the section points at root and information; neither stands in it, and nothing stands in the checksum.
func (r *updateReader) leads(section val) error {
	sum, err := section.direct(checksumKey)
	if err != nil {
		return err
	}
	if k := sum.kind(); k != kNull && k != kName && k != kString && k != kHex {
		return refusedUpdate("the checksum is no text")
	}
	for key, want := range map[string]kind{"Root": kRef, "Info": kRef, "ID": kArray} {
		e, err := section.direct(key)
		switch {
		case err != nil:
			return err
		case key == "Root":
			r.root = string(e.raw())
		case e.kind() == kNull:
			continue
		}
		if e.kind() != want {
			return refusedUpdate("the cross-reference section holds /%s itself", key)
		}
		for i := range e.n.kids {
			if k := e.kid(i).kind(); key == "ID" && k != kHex && k != kString {
				return refusedUpdate("the identifier is no text")
			}
		}
	}
	return nil
}

var sectionKeys = []string{"Type", "W", "Index", "Size", "Length", "Prev", "Root", "ID", "Info", checksumKey}

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
