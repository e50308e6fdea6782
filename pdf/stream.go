package pdf

import (
	"compress/flate"
	"compress/zlib"
	"errors"
	"io"
)

// objStream is an object stream (7.5.7), decoded.
type objStream struct {
	num   int
	off   int64
	data  []byte
	first int
	nums  []int
	offs  []int
}

// loadStream reads object num, the idx-th of object stream stm.
func (d *doc) loadStream(stm, idx, num int) (*object, error) {
	os, err := d.objStream(stm)
	if err != nil {
		return nil, err
	}
	if idx < 0 || idx >= len(os.nums) || os.nums[idx] != num {
		return nil, errf(CodeBrokenXref, "object %d is not at place %d of object stream %d", num, idx, stm)
	}
	pl := place{off: os.off, idx: idx, num: num}
	if o := d.mem.get(pl); o != nil {
		return o, nil
	}
	p := d.s.parser(os.data, false)
	p.pos = os.first + os.offs[idx]
	start := p.pos
	root, err := d.s.value(p)
	if err != nil {
		return nil, err
	}
	// The object gets its own bytes, so that the stream can be forgotten.
	o := &object{num: num, off: -1, buf: append([]byte(nil), os.data[start:root.end]...)}
	o.root = root
	shift(&o.root, int32(start))
	d.mem.put(pl, o)
	return o, nil
}

func shift(n *node, by int32) {
	n.start -= by
	n.end -= by
	for i := range n.kids {
		shift(&n.kids[i], by)
	}
}

func (d *doc) objStream(stm int) (*objStream, error) {
	e, err := d.find(stm)
	if err != nil {
		return nil, err
	}
	if e.kind != entryOffset {
		return nil, errf(CodeBrokenXref, "object stream %d is not there", stm)
	}
	for _, os := range d.mem.streams {
		if os.off == e.off && os.num == stm {
			return os, nil
		}
	}
	// The length or a filter of an object stream could stand in an object
	// stream again, and so on for ever.
	if d.mem.opening++; d.mem.opening > 3 {
		return nil, errf(CodeTooDeep, "object streams need each other")
	}
	defer func() { d.mem.opening-- }()
	o, err := d.loadOffset(e.off, stm, e.gen, 0)
	if err != nil {
		return nil, err
	}
	os, err := d.openObjStream(o)
	if err != nil {
		return nil, err
	}
	d.mem.streams = append([]*objStream{os}, d.mem.streams...)
	if len(d.mem.streams) > 2 {
		d.mem.streams = d.mem.streams[:2]
	}
	return os, nil
}

func (d *doc) openObjStream(o *object) (*objStream, error) {
	v := o.val()
	typ, err := v.direct("Type")
	if err != nil {
		return nil, err
	}
	n, err := d.intOf(v, "N")
	if err != nil {
		return nil, err
	}
	first, err := d.intOf(v, "First")
	if err != nil {
		return nil, err
	}
	if o.data == 0 || typ.name() != "ObjStm" || n < 0 || n > int64(d.s.max.Values) || first < 0 {
		return nil, errf(CodeBadStream, "object %d is not an object stream", o.num)
	}
	r, err := d.decoded(o)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(r, int64(d.s.max.ObjectBytes)+1))
	if err != nil {
		return nil, streamError(err, o.num)
	}
	if len(data) > d.s.max.ObjectBytes {
		return nil, errf(CodeDecompressionBomb, "object stream %d has more than %d bytes", o.num, d.s.max.ObjectBytes)
	}
	os := &objStream{num: o.num, off: o.off, data: data, first: int(first)}
	return os, os.index(int(n))
}

// index reads the N pairs of object number and offset before /First.
func (os *objStream) index(n int) error {
	if os.first > len(os.data) || n > os.first {
		return errf(CodeBadStream, "object stream %d is shorter than it says", os.num)
	}
	p := &parser{buf: os.data[:os.first]}
	os.nums, os.offs = make([]int, n), make([]int, n)
	for i := range n {
		for _, to := range []*int{&os.nums[i], &os.offs[i]} {
			if _, err := p.skip(); err != nil {
				return errf(CodeBadStream, "index of object stream %d ends early", os.num)
			}
			w, err := p.word()
			v, ok := parseInt(w)
			if err != nil || !ok || v < 0 || v > int64(len(os.data))+8_388_607 {
				return errf(CodeBadStream, "index of object stream %d is not numbers", os.num)
			}
			*to = int(v)
		}
		if os.offs[i] > len(os.data)-os.first {
			return errf(CodeBadStream, "object stream %d is shorter than it says", os.num)
		}
	}
	return nil
}

// intOf is an integer entry, through a reference too; -1 when it is no integer.
func (d *doc) intOf(v val, key string) (int64, error) {
	w, err := d.get(v, key)
	if err != nil {
		return 0, err
	}
	if i, ok := w.int(); ok {
		return i, nil
	}
	return -1, nil
}

// filter is what stands between the bytes of a stream and its meaning.
type filter struct {
	flate   bool
	png     bool
	columns int // bytes a row
	pixel   int // bytes a pixel
}

// decoded opens the data of a stream. Its length must be followed by endstream.
func (d *doc) decoded(o *object) (io.Reader, error) {
	n, err := d.intOf(o.val(), "Length")
	if err != nil {
		return nil, err
	}
	f, err := d.filterOf(o.val())
	if err != nil {
		return nil, err
	}
	return d.s.openStream(o, n, f)
}

func (s *source) openStream(o *object, n int64, f filter) (io.Reader, error) {
	if o.data == 0 || n < 0 || n > s.size-o.data {
		return nil, errf(CodeBadStream, "object %d has no stream of its /Length", o.num)
	}
	tail, err := s.at(o.data+n, 16)
	if err != nil {
		return nil, err
	}
	p := &parser{buf: tail}
	if _, err = p.skip(); err != nil {
		return nil, errf(CodeBadStream, "no endstream where /Length of object %d says", o.num)
	}
	if w, _ := p.word(); string(w) != "endstream" {
		return nil, errf(CodeBadStream, "no endstream where /Length of object %d says", o.num)
	}
	r := s.reader(o.data, n)
	if !f.flate {
		return r, nil
	}
	z, err := zlib.NewReader(r)
	if err != nil {
		return nil, streamError(err, o.num)
	}
	r = &inflated{r: z, s: s}
	if f.png {
		r = &pngReader{r: r, row: make([]byte, f.columns+1), prev: make([]byte, f.columns), pixel: f.pixel}
	}
	return r, nil
}

// streamError makes the errors of decompression ours and lets others pass.
func streamError(err error, num int) error {
	var c flate.CorruptInputError
	var i flate.InternalError
	switch {
	case errors.As(err, &c), errors.As(err, &i), errors.Is(err, zlib.ErrHeader), errors.Is(err, zlib.ErrChecksum),
		errors.Is(err, zlib.ErrDictionary), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return errf(CodeBadStream, "stream of object %d does not decode", num)
	}
	return err
}

// filterOf reads /Filter and /DecodeParms: nothing, or Flate, with or without a
// PNG predictor (7.4.4).
func (d *doc) filterOf(v val) (filter, error) {
	var f filter
	name, err := d.single(v, "Filter")
	if err != nil {
		return f, err
	}
	parms, err := d.single(v, "DecodeParms")
	if err != nil {
		return f, err
	}
	ext, err := v.direct("F")
	if err != nil {
		return f, err
	}
	switch {
	case ext.kind() != kNull || name.kind() != kNull && name.name() != "FlateDecode":
		return f, errf(CodeUnsupportedFilter, "stream of object %d", v.o.num)
	case name.kind() == kNull:
		return f, nil
	}
	f.flate = true
	pred, err := d.intOf(parms, "Predictor")
	if err != nil || pred <= 1 {
		return f, err
	}
	var q [3]int64
	for i, k := range []string{"Columns", "Colors", "BitsPerComponent"} {
		if q[i], err = d.intOf(parms, k); err != nil {
			return f, err
		}
		if q[i] < 0 {
			q[i] = []int64{1, 1, 8}[i]
		}
	}
	if pred < 10 || pred > 15 || q[0] < 1 || q[0] > 1<<16 || q[1] < 1 || q[1] > 32 || q[2] < 1 || q[2] > 16 {
		return f, errf(CodeUnsupportedFilter, "predictor of object %d", v.o.num)
	}
	f.png = true
	f.columns = int((q[0]*q[1]*q[2] + 7) / 8)
	f.pixel = max(1, int(q[1]*q[2]/8))
	return f, nil
}

// single is a value that may stand in an array of one.
func (d *doc) single(v val, key string) (val, error) {
	w, err := d.get(v, key)
	if err != nil || w.kind() != kArray {
		return w, err
	}
	switch len(w.n.kids) {
	case 0:
		return val{}, nil
	case 1:
		return d.deref(w.kid(0))
	}
	return val{}, errf(CodeUnsupportedFilter, "several filters on object %d", v.o.num)
}

// inflated counts what comes out of decompression.
type inflated struct {
	r io.Reader
	s *source
}

func (i *inflated) Read(b []byte) (int, error) {
	n, err := i.r.Read(b)
	if i.s.inflate -= int64(n); i.s.inflate < 0 {
		return 0, errf(CodeDecompressionBomb, "more than %d bytes decompressed", i.s.max.Inflate)
	}
	return n, err
}

// pngReader undoes the PNG predictors (RFC 2083, 6).
type pngReader struct {
	r     io.Reader
	row   []byte // filter type and a row
	prev  []byte
	pixel int
	out   []byte
}

func (p *pngReader) Read(b []byte) (int, error) {
	if len(p.out) == 0 {
		if _, err := io.ReadFull(p.r, p.row); err != nil {
			return 0, err
		}
		if err := p.undo(); err != nil {
			return 0, err
		}
		copy(p.prev, p.row[1:])
		p.out = p.row[1:]
	}
	n := copy(b, p.out)
	p.out = p.out[n:]
	return n, nil
}

func (p *pngReader) undo() error {
	cur := p.row[1:]
	for i := range cur {
		var left, corner byte
		if i >= p.pixel {
			left, corner = cur[i-p.pixel], p.prev[i-p.pixel]
		}
		switch p.row[0] {
		case 0:
			return nil
		case 1:
			cur[i] += left
		case 2:
			cur[i] += p.prev[i]
		case 3:
			cur[i] += byte((int(left) + int(p.prev[i])) / 2)
		case 4:
			cur[i] += paeth(left, p.prev[i], corner)
		default:
			return errf(CodeBadStream, "unknown PNG predictor")
		}
	}
	return nil
}

func paeth(a, b, c byte) byte {
	p := int(a) + int(b) - int(c)
	pa, pb, pc := abs(p-int(a)), abs(p-int(b)), abs(p-int(c))
	switch {
	case pa <= pb && pa <= pc:
		return a
	case pb <= pc:
		return b
	}
	return c
}

func abs(x int) int {
	if x < 0 {
		return -x
	}
	return x
}
