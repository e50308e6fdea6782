package pdf

import (
	"io"
)

// rows are the entries of a cross-reference stream (7.5.8). A short one is kept
// decoded; a long one is decoded again for each question, so that memory does
// not grow with the document.
type rows struct {
	o     *object
	n     int64 // bytes of stream data
	f     filter
	w     [3]int
	count int
	data  []byte // decoded, or nil
	memo  map[int]entry
}

// maxRowsKept is how many bytes of decoded rows are kept, all streams of a file
// together: about 500 000 objects.
const maxRowsKept = 4 << 20

func (r *rows) width() int { return r.w[0] + r.w[1] + r.w[2] }

// xrefStream reads the cross-reference stream at off.
func (s *source) xrefStream(off int64) (*section, error) {
	o, err := s.objectAt(off, 0)
	if err != nil {
		return nil, err
	}
	v := o.val()
	typ, err := v.direct("Type")
	if err != nil {
		return nil, err
	}
	if o.data == 0 || typ.name() != "XRef" {
		return nil, errf(CodeBrokenXref, "no cross-reference section at %d", off)
	}
	sec := &section{off: off, trailer: v}
	r := &rows{o: o}
	if err = r.layout(v); err != nil {
		return nil, err
	}
	if err = s.index(sec, r, v); err != nil {
		return nil, err
	}
	length, err := v.direct("Length")
	if err != nil {
		return nil, err
	}
	var ok bool
	if r.n, ok = length.int(); !ok {
		return nil, errf(CodeBrokenXref, "/Length of the cross-reference stream at %d is not a direct number", off)
	}
	// A document without sections: every reference is null, as there is
	// nothing yet to find a filter through.
	if r.f, err = (&doc{s: s, mem: &memory{}}).filterOf(v); err != nil {
		return nil, err
	}
	sec.stream = r
	if err = r.load(s, sec); err != nil {
		return nil, err
	}
	return sec, sec.sortSpans()
}

// layout reads /W: the widths of the three fields, each 0 to 8 bytes.
func (r *rows) layout(v val) error {
	w, err := v.direct("W")
	if err != nil {
		return err
	}
	if w.kind() != kArray || len(w.n.kids) < 3 {
		return errf(CodeBrokenXref, "bad /W in object %d", r.o.num)
	}
	for i := range r.w {
		n, ok := w.kid(i).int()
		if !ok || n < 0 || n > 8 {
			return errf(CodeBrokenXref, "bad /W in object %d", r.o.num)
		}
		r.w[i] = int(n)
	}
	if len(w.n.kids) > 3 || r.w[1] == 0 {
		return errf(CodeBrokenXref, "bad /W in object %d", r.o.num)
	}
	return nil
}

// index reads /Index, or takes 0 to /Size.
func (s *source) index(sec *section, r *rows, v val) error {
	size, err := v.direct("Size")
	if err != nil {
		return err
	}
	top, ok := size.int()
	if !ok {
		return errf(CodeBrokenXref, "no /Size in object %d", r.o.num)
	}
	idx, err := v.direct("Index")
	if err != nil {
		return err
	}
	pairs := []int64{0, top}
	if idx.kind() == kArray {
		pairs = pairs[:0]
		for i := range idx.n.kids {
			n, ok := idx.kid(i).int()
			if !ok {
				return errf(CodeBrokenXref, "bad /Index in object %d", r.o.num)
			}
			pairs = append(pairs, n)
		}
	}
	if idx.kind() != kArray && idx.kind() != kNull || len(pairs)%2 != 0 {
		return errf(CodeBrokenXref, "bad /Index in object %d", r.o.num)
	}
	for i := 0; i < len(pairs); i += 2 {
		if err := s.payEntries(pairs[i], pairs[i+1]); err != nil {
			return err
		}
		sec.spans = append(sec.spans, span{first: int(pairs[i]), count: int(pairs[i+1]), pos: int64(r.count)})
		r.count += int(pairs[i+1])
	}
	return nil
}

// load reads all rows once: they must be there, and the highest number in use
// is wanted.
func (r *rows) load(s *source, sec *section) error {
	in, err := s.openStream(r.o, r.n, r.f)
	if err != nil {
		return err
	}
	total := r.count * r.width()
	keep := total <= s.rowsLeft
	if keep {
		s.rowsLeft -= total
		r.data = make([]byte, 0, total)
	}
	buf := make([]byte, r.width())
	in = &buffered{r: in}
	for _, sp := range sec.spans {
		for i := range sp.count {
			if _, err := io.ReadFull(in, buf); err != nil {
				return streamError(err, r.o.num)
			}
			e, err := r.decode(buf)
			if err != nil {
				return err
			}
			if e.kind >= entryOffset {
				sec.highest = max(sec.highest, sp.first+i)
			}
			if keep {
				r.data = append(r.data, buf...)
			}
		}
	}
	return nil
}

// entry reads row i.
func (r *rows) entry(s *source, i int) (entry, error) {
	w := r.width()
	if r.data != nil {
		return r.decode(r.data[i*w : (i+1)*w])
	}
	if e, ok := r.memo[i]; ok {
		return e, nil
	}
	in, err := s.openStream(r.o, r.n, r.f)
	if err != nil {
		return entry{}, err
	}
	if _, err = io.CopyN(io.Discard, in, int64(i)*int64(w)); err != nil {
		return entry{}, streamError(err, r.o.num)
	}
	buf := make([]byte, w)
	if _, err = io.ReadFull(in, buf); err != nil {
		return entry{}, streamError(err, r.o.num)
	}
	e, err := r.decode(buf)
	if r.memo == nil || len(r.memo) > 4096 {
		r.memo = make(map[int]entry)
	}
	r.memo[i] = e
	return e, err
}

// decode reads the three fields: type (1 when its width is 0), and by type
// 0: next free object, generation; 1: offset, generation; 2: number of the
// object stream, index in it. Any other type means null (table 18).
func (r *rows) decode(b []byte) (entry, error) {
	var f [3]uint64
	for i, w := range r.w {
		for _, c := range b[:w] {
			f[i] = f[i]<<8 | uint64(c)
		}
		b = b[w:]
	}
	if r.w[0] == 0 {
		f[0] = 1
	}
	if f[1] > 1<<62 || f[2] > 1<<31-1 {
		if f[0] == 1 || f[0] == 2 {
			return entry{}, errf(CodeBrokenXref, "bad row in object %d", r.o.num)
		}
		return entry{kind: entryFree}, nil
	}
	switch f[0] {
	case 1:
		return entry{kind: entryOffset, off: int64(f[1]), gen: int(f[2])}, nil
	case 2:
		if f[1] > 1<<31-1 {
			return entry{}, errf(CodeBrokenXref, "bad row in object %d", r.o.num)
		}
		return entry{kind: entryStream, off: int64(f[1]), gen: int(f[2])}, nil
	}
	return entry{kind: entryFree}, nil
}

// buffered makes small reads cheap, with one small buffer.
type buffered struct {
	r   io.Reader
	mem [4096]byte
	b   []byte
}

func (b *buffered) Read(p []byte) (int, error) {
	if len(b.b) == 0 {
		n, err := b.r.Read(b.mem[:])
		if n == 0 {
			return 0, err
		}
		b.b = b.mem[:n]
	}
	n := copy(p, b.b)
	b.b = b.b[n:]
	return n, nil
}

// kindName is for messages and tests.
func (sec *section) kindName() string {
	switch {
	case sec.stream != nil:
		return "stream"
	case sec.hybrid != nil:
		return "hybrid"
	}
	return "table"
}
