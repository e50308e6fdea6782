package pdf

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"io"
	"slices"
)

type entryKind uint8

const (
	entryNone   entryKind = iota // the section says nothing
	entryFree                    // the section says: no such object
	entryOffset                  // off, gen
	entryStream                  // off = object number of the object stream, gen = index in it
)

type entry struct {
	kind entryKind
	off  int64
	gen  int
}

// span is a run of object numbers whose rows stand together.
type span struct {
	first, count int
	pos          int64 // table: place of the first row in the file; stream: number of the first row
}

// section is one cross-reference section (7.5.4, 7.5.8). Its rows stay in the
// file and are read when they are asked for.
type section struct {
	off     int64
	stream  *rows // nil for a table
	spans   []span
	trailer val
	hybrid  *section // the cross-reference stream of a hybrid table
	copied  bool     // an older section has the same hybrid
	highest int      // highest object number in use
}

const rowLen = 20

// open reads header, tail and the whole chain of sections.
func open(r io.ReaderAt, size int64, b Budget) (*doc, error) {
	if size <= 0 {
		return nil, &Error{Code: CodeEmpty}
	}
	d := &doc{s: newSource(r, size, b), mem: &memory{}}
	if err := d.s.header(); err != nil {
		return nil, err
	}
	start, err := d.s.tail(size, false)
	if err != nil {
		return nil, err
	}
	if d.secs, err = d.s.chain(start); err != nil {
		return nil, err
	}
	return d, d.checkSize()
}

// header wants %PDF-m.n at the first byte. Readers disagree whether offsets
// count from the file's or from the header's first byte, so that a file with
// something before the header is two files.
func (s *source) header() error {
	b, err := s.at(0, 1024)
	if err != nil {
		return err
	}
	switch i := bytes.Index(b, []byte("%PDF-")); {
	case i < 0:
		return &Error{Code: CodeNotAPDF}
	case i > 0:
		return errf(CodeNotAPDF, "%d bytes before the header", i)
	}
	if len(b) < 8 || b[5] < '1' || b[5] > '2' || b[6] != '.' || b[7] < '0' || b[7] > '9' {
		return errf(CodeNotAPDF, "unknown version in the header")
	}
	return nil
}

const tailLen = 2048

// tail reads the last startxref before end. strict allows nothing but white
// space behind %%EOF.
func (s *source) tail(end int64, strict bool) (int64, error) {
	from := max(0, end-tailLen)
	b, err := s.at(from, int(end-from))
	if err != nil {
		return 0, err
	}
	i := bytes.LastIndex(b, []byte("startxref"))
	if i < 0 {
		return 0, errf(CodeTruncated, "no startxref in the last %d bytes", len(b))
	}
	b = bytes.TrimLeft(b[i+len("startxref"):], "\x00\t\n\f\r ")
	n := 0
	for n < len(b) && b[n] >= '0' && b[n] <= '9' {
		n++
	}
	off, ok := parseInt(b[:n])
	rest := bytes.TrimLeft(b[n:], "\x00\t\n\f\r ")
	if !ok || !bytes.HasPrefix(rest, []byte("%%EOF")) {
		return 0, errf(CodeTruncated, "no %%%%EOF behind the last startxref")
	}
	if strict && len(bytes.Trim(rest[len("%%EOF"):], "\x00\t\n\f\r ")) > 0 {
		return 0, errf(CodeTruncated, "something behind the last %%%%EOF")
	}
	return off, nil
}

// chain reads the sections from start on, newest first.
func (s *source) chain(start int64) ([]*section, error) {
	var secs []*section
	seen := make(map[int64]bool)
	for off := start; ; {
		sec, err := s.sectionOnce(off, seen)
		if err != nil {
			return nil, err
		}
		if sec.trailer, err = trailerOf(sec); err != nil {
			return nil, err
		}
		if err := s.addHybrid(sec, secs, seen); err != nil {
			return nil, err
		}
		secs = append(secs, sec)
		prev, err := sec.trailer.direct("Prev")
		if err != nil {
			return nil, err
		}
		if prev.kind() == kNull {
			return secs, nil
		}
		var ok bool
		if off, ok = prev.int(); !ok {
			return nil, errf(CodeBrokenXref, "/Prev of the section at %d is not a number", sec.off)
		}
	}
}

func (s *source) sectionOnce(off int64, seen map[int64]bool) (*section, error) {
	if seen[off] {
		return nil, errf(CodeXrefLoop, "section at %d follows itself", off)
	}
	seen[off] = true
	if s.sections--; s.sections < 0 {
		return nil, errf(CodeTooManySections, "more than %d", s.max.Sections)
	}
	if off < 0 || off >= s.size {
		return nil, errf(CodeBrokenXref, "section at %d is outside the file", off)
	}
	c := &cursor{s: s, off: off}
	first, err := c.skipSpace()
	if err != nil {
		return nil, err
	}
	if first != 'x' {
		return s.xrefStream(off)
	}
	return s.table(c, off)
}

// trailerOf checks the keys that every trailer shares.
func trailerOf(sec *section) (val, error) {
	t := sec.trailer
	enc, err := t.direct("Encrypt")
	if err != nil {
		return t, err
	}
	if enc.kind() != kNull {
		return t, errf(CodeEncrypted, "encrypted documents are not supported yet")
	}
	return t, nil
}

// addHybrid reads the stream of a hybrid table; secs are the newer sections.
func (s *source) addHybrid(sec *section, secs []*section, seen map[int64]bool) error {
	x, err := sec.trailer.direct("XRefStm")
	if err != nil || x.kind() == kNull {
		return err
	}
	off, ok := x.int()
	if !ok || sec.stream != nil {
		return errf(CodeBrokenXref, "bad /XRefStm in the section at %d", sec.off)
	}
	// Some signers copy the key into their own trailer, see find.
	for _, newer := range secs {
		if newer.hybrid != nil && newer.hybrid.off == off {
			newer.copied, sec.hybrid = true, newer.hybrid
			return nil
		}
	}
	if sec.hybrid, err = s.sectionOnce(off, seen); err != nil {
		return err
	}
	if sec.hybrid.stream == nil {
		return errf(CodeBrokenXref, "/XRefStm of the section at %d is a table", sec.off)
	}
	_, err = trailerOf(sec.hybrid)
	return err
}

// table reads a classic section: "xref", subsections, "trailer", dictionary.
func (s *source) table(c *cursor, off int64) (*section, error) {
	sec := &section{off: off}
	if w, err := c.fill(5); err != nil || string(w[:min(4, len(w))]) != "xref" || len(w) < 5 || !isSpace(w[4]) {
		return nil, cmpErr(err, errf(CodeBrokenXref, "no cross-reference section at %d", off))
	}
	c.i += 4
	for {
		b, err := c.skipSpace()
		if err != nil {
			return nil, err
		}
		if b < '0' || b > '9' {
			break
		}
		sp, err := s.subsection(c)
		if err != nil {
			return nil, err
		}
		sec.spans = append(sec.spans, sp)
		if err = sec.scan(c, sp); err != nil {
			return nil, err
		}
	}
	w, err := c.fill(7)
	if err != nil {
		return nil, err
	}
	if string(w) != "trailer" {
		return nil, errf(CodeBrokenXref, "no trailer at %d, behind the section at %d", c.pos(), off)
	}
	o, err := s.valueAt(c.pos() + 7)
	if err != nil {
		return nil, err
	}
	if o.root.kind != kDict {
		return nil, errf(CodeBrokenXref, "trailer of the section at %d is not a dictionary", off)
	}
	sec.trailer = o.val()
	return sec, sec.sortSpans()
}

func cmpErr(err error, other *Error) error {
	if err != nil {
		return err
	}
	return other
}

// valueAt reads a value that has no object header.
func (s *source) valueAt(off int64) (*object, error) {
	var o *object
	err := s.window(off, func(buf []byte, more bool) error {
		p := s.parser(buf, more)
		root, err := s.value(p)
		if err != nil {
			return err
		}
		o = &object{off: off, root: root, buf: bytes.Clone(buf[:root.end])}
		return nil
	})
	return o, err
}

// subsection reads "first count" and its end of line.
func (s *source) subsection(c *cursor) (span, error) {
	var sp span
	first, err := c.number()
	if err != nil {
		return sp, err
	}
	if _, err = c.skipSpace(); err != nil {
		return sp, err
	}
	count, err := c.number()
	if err != nil {
		return sp, err
	}
	for {
		b, err := c.fill(2)
		if err != nil {
			return sp, err
		}
		switch {
		case len(b) > 0 && b[0] == ' ':
			c.i++
			continue
		case len(b) == 2 && b[0] == '\r' && b[1] == '\n':
			c.i += 2
		case len(b) > 0 && (b[0] == '\n' || b[0] == '\r'):
			c.i++
		default:
			return sp, errf(CodeBrokenXref, "no end of line in the subsection head at %d", c.pos())
		}
		break
	}
	if err := s.payEntries(first, count); err != nil {
		return sp, err
	}
	return span{first: int(first), count: int(count), pos: c.pos()}, nil
}

// payEntries counts one more span of rows against the budget.
func (s *source) payEntries(first, count int64) error {
	if s.spans--; s.spans < 0 {
		return errf(CodeTooManyObjects, "more than %d subsections", s.max.Values)
	}
	if first < 0 || count < 0 || first+count > int64(s.max.Objects)+1 {
		return errf(CodeTooManyObjects, "object numbers above %d", s.max.Objects)
	}
	if s.entries -= int(count); s.entries < 0 {
		return errf(CodeTooManyObjects, "more than %d cross-reference rows", 2*s.max.Objects)
	}
	return nil
}

// scan checks every row of a subsection, because a table with one odd row has
// no meaning behind it.
func (sec *section) scan(c *cursor, sp span) error {
	for i := 0; i < sp.count; {
		if _, err := c.fill(rowLen); err != nil {
			return err
		}
		rows := c.buf[c.i:] // all that are here
		n := min(len(rows)/rowLen, sp.count-i)
		for k := range n {
			b := rows[k*rowLen : (k+1)*rowLen]
			if !goodRow(b) {
				return errf(CodeBrokenXref, "bad row for object %d at %d", sp.first+i+k, c.pos()+int64(k*rowLen))
			}
			if b[17] == 'n' {
				sec.highest = max(sec.highest, sp.first+i+k)
			}
		}
		if n == 0 {
			return errf(CodeBrokenXref, "bad row for object %d at %d", sp.first+i, c.pos())
		}
		c.i += n * rowLen
		i += n
	}
	return nil
}

// goodRow: "nnnnnnnnnn ggggg n" and two bytes of end of line (7.5.4).
func goodRow(b []byte) bool {
	if len(b) < rowLen || b[10] != ' ' || b[16] != ' ' || b[17] != 'n' && b[17] != 'f' {
		return false
	}
	const space = (' ' ^ '0') << 16 // byte 10, made a digit
	if !digits(binary.LittleEndian.Uint64(b)) || !digits(binary.LittleEndian.Uint64(b[8:])^space) {
		return false
	}
	return (b[18] == ' ' || b[18] == '\r') && (b[19] == '\n' || b[19] == '\r')
}

// digits says whether all eight bytes are '0' to '9': the high half of each is
// 3, and stays 3 when 6 is added.
func digits(w uint64) bool {
	const high, three, six = 0xF0F0F0F0F0F0F0F0, 0x3030303030303030, 0x0606060606060606
	return w&high == three && (w+six)&high == three
}

// sortSpans makes look-up possible and refuses a number defined twice in one
// section. Spans of no rows go first: one would stand between two that overlap,
// or be found in the place of the one with the row.
func (sec *section) sortSpans() error {
	sec.spans = slices.DeleteFunc(sec.spans, func(s span) bool { return s.count == 0 })
	slices.SortFunc(sec.spans, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	for i := 1; i < len(sec.spans); i++ {
		if a := sec.spans[i-1]; a.first+a.count > sec.spans[i].first {
			return errf(CodeBrokenXref, "section at %d defines object %d twice", sec.off, sec.spans[i].first)
		}
	}
	return nil
}

// row finds the place of the row of num; ok is false when there is none.
func (sec *section) row(num int) (pos int64, step int, ok bool) {
	i, found := slices.BinarySearchFunc(sec.spans, num, func(s span, n int) int { return cmp.Compare(s.first, n) })
	if !found {
		i--
	}
	if i < 0 || num >= sec.spans[i].first+sec.spans[i].count {
		return 0, 0, false
	}
	return sec.spans[i].pos, num - sec.spans[i].first, true
}

// lookup is what this section alone says about num.
func (sec *section) lookup(s *source, num int) (entry, error) {
	pos, step, ok := sec.row(num)
	if !ok {
		return entry{}, nil
	}
	if sec.stream != nil {
		return sec.stream.entry(s, int(pos)+step)
	}
	b, err := s.at(pos+int64(step)*rowLen, rowLen)
	if err != nil {
		return entry{}, err
	}
	off, _ := parseInt(b[:10])
	gen, _ := parseInt(b[11:16])
	if b[17] == 'f' {
		return entry{kind: entryFree}, nil
	}
	return entry{kind: entryOffset, off: off, gen: int(gen)}, nil
}

// find asks the sections, newest first. In a hybrid section the table hides
// objects as free, and the stream shows them (7.5.8.4).
//
// A trailer that copied /XRefStm from an older one puts old rows above newer
// ones by the letter, and not by what was meant. When that makes a difference,
// the object is two things, and the file is refused.
func (d *doc) find(num int) (entry, error) {
	e, copied, err := d.findIn(num, true)
	if err != nil || !copied {
		return e, err
	}
	meant, _, err := d.findIn(num, false)
	if err == nil && meant != e {
		err = errf(CodeBrokenXref, "object %d is two things, by a copied /XRefStm", num)
	}
	return e, err
}

// findIn also says whether the answer came through a copied hybrid; letter =
// false passes over those.
func (d *doc) findIn(num int, letter bool) (entry, bool, error) {
	for _, sec := range d.secs {
		if err := d.s.work(1); err != nil {
			return entry{}, false, err
		}
		e, err := sec.lookup(d.s, num)
		if err != nil {
			return e, false, err
		}
		copied := false
		if sec.hybrid != nil && (letter || !sec.copied) {
			h, err := sec.hybrid.lookup(d.s, num)
			if err != nil {
				return e, false, err
			}
			if e.kind == entryOffset && h.kind >= entryOffset && h != e && !sec.copied {
				return e, false, errf(CodeBrokenXref, "object %d is two things in one hybrid section", num)
			}
			if h.kind >= entryOffset && e.kind != entryOffset {
				e, copied = h, sec.copied
			}
		}
		if e.kind != entryNone {
			return e, copied, nil
		}
	}
	return entry{}, false, nil
}

// checkSize wants /Size above every number in use: what is at or above /Size
// does not exist (7.5.5) and would appear with our update.
func (d *doc) checkSize() error {
	size, ok := int64(0), false
	t, err := d.secs[0].trailer.direct("Size")
	if err != nil {
		return err
	}
	if size, ok = t.int(); !ok || size < 1 {
		return errf(CodeBrokenXref, "no /Size in the newest trailer")
	}
	if size > int64(d.s.max.Objects)+1 {
		return errf(CodeTooManyObjects, "/Size is %d", size)
	}
	for _, sec := range d.secs {
		high := sec.highest
		if sec.hybrid != nil {
			high = max(high, sec.hybrid.highest)
		}
		if int64(high) >= size {
			return errf(CodeBrokenXref, "object %d is in use, and /Size is %d", high, size)
		}
	}
	return nil
}
