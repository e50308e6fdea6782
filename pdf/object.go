package pdf

import (
	"bytes"
	"errors"
	"sync"
)

// doc is the document as it is after one of its revisions: the cross-reference
// sections from the newest of that revision on, and its trailer.
type doc struct {
	s    *source
	secs []*section
	mem  *memory
}

// memory keeps some objects that were parsed, shared by all revisions of a
// file. The key is the place, so that an object that was overridden is another.
type memory struct {
	objs, signed cache
	streams      []*objStream // the last two
	opening      int          // object streams that are being opened
	// contents are decoded signatures, by the place of their token.
	contents map[int64]contents
}

type place struct {
	off int64 // of the object, or of the object stream that holds it
	idx int   // in the object stream; -1 = not in one
	num int
}

const (
	// maxWeight is how much memory keeps, in bytes about: a page tree and a form
	// of usual size. It is small because it is part of what a document costs.
	maxWeight = 1 << 20
	// maxSignedWeight is the same of signature dictionaries, which would drive out
	// all others: a document of many signers is read once for each of its revisions.
	maxSignedWeight = 16 << 20
)

// cache begins anew when it is full.
type cache struct {
	objs   map[place]*object
	weight int
}

func (m *memory) get(p place) *object {
	if o := m.objs.objs[p]; o != nil {
		return o
	}
	return m.signed.objs[p]
}

func (m *memory) put(p place, o *object) {
	if o.isSignature() {
		m.signed.put(p, o, maxSignedWeight)
	} else {
		m.objs.put(p, o, maxWeight)
	}
}

func (c *cache) put(p place, o *object, limit int) {
	w := len(o.buf) + 56*countNodes(&o.root)
	if w > limit/4 {
		return
	}
	if c.weight+w > limit || c.objs == nil {
		c.objs, c.weight = make(map[place]*object), 0
	}
	c.objs[p] = o
	c.weight += w
}

// isSignature: it looks like a signature dictionary (12.8.1).
func (o *object) isSignature() bool {
	if o.root.kind != kDict || o.data > 0 {
		return false
	}
	r, err := o.val().direct("ByteRange")
	return err == nil && r.kind() == kArray
}

func countNodes(n *node) int {
	c := 1
	for i := range n.kids {
		c += countNodes(&n.kids[i])
	}
	return c
}

// load gives the object that a reference means; one that does not exist is
// null (7.3.10).
func (d *doc) load(num, gen int) (*object, error) {
	return d.loadKeep(num, gen, 0)
}

// loadKeep is load that keeps only the first kids of each array (0 = all).
func (d *doc) loadKeep(num, gen, keep int) (*object, error) {
	null := &object{num: num, gen: gen, off: -1, buf: []byte("null"), root: node{end: 4}}
	e, err := d.find(num)
	if err != nil {
		return nil, err
	}
	switch {
	case e.kind == entryOffset && e.gen == gen:
		return d.loadOffset(e.off, num, gen, keep)
	case e.kind == entryStream && gen == 0:
		return d.loadStream(int(e.off), e.gen, num)
	}
	return null, nil
}

func (d *doc) loadOffset(off int64, num, gen, keep int) (*object, error) {
	p := place{off: off, idx: -1, num: num}
	if o := d.mem.get(p); o != nil && o.gen == gen {
		return o, nil
	}
	o, err := d.s.objectAt(off, keep)
	if err != nil {
		return nil, err
	}
	if o.num != num || o.gen != gen {
		return nil, errf(CodeBrokenXref, "object %d %d is said to be at %d, where %d %d is", num, gen, off, o.num, o.gen)
	}
	if keep == 0 {
		d.mem.put(p, o)
	}
	return o, nil
}

// windows keeps buffers from one document to the next, see hashBuffers.
var windows = sync.Pool{New: func() any { return new([maxScratch]byte) }}

// window calls parse with a growing piece of the file at off until it is long
// enough. What parse reads is paid once per try, less than twice in all.
// The piece is written over by the next call: parse keeps nothing of it, and
// reads no other object.
func (s *source) window(off int64, parse func(buf []byte, more bool) error) error {
	scratch := windows.Get().(*[maxScratch]byte)
	defer windows.Put(scratch)
	for n := 1 << 10; ; n *= 8 {
		n = min(n, s.max.ObjectBytes)
		there, err := s.pay(off, n)
		if err != nil {
			return err
		}
		buf := scratch[:]
		if there > len(buf) {
			buf = make([]byte, there)
		}
		if buf, err = s.into(buf[:there], off); err != nil {
			return err
		}
		more := off+int64(len(buf)) < s.size
		err = parse(buf, more)
		if !errors.Is(err, errShort) {
			return err
		}
		if n == s.max.ObjectBytes {
			return errf(CodeObjectTooLong, "the object at %d has more than %d bytes", off, n)
		}
	}
}

// valueSteps is what a value costs, in questions to a section: 280 ns to 35.
const valueSteps = 8

// value reads one value, and takes what is in it from the budget.
func (s *source) value(p *parser) (node, error) {
	before := p.values
	n, err := p.value()
	if spent := s.work(valueSteps * (before - max(0, p.values))); spent != nil {
		return n, spent
	}
	return n, err
}

func (s *source) parser(buf []byte, more bool) *parser {
	return &parser{buf: buf, more: more, depth: s.max.Depth, values: s.max.Values}
}

// objectAt reads "num gen obj … endobj" or the dictionary of a stream.
func (s *source) objectAt(off int64, keep int) (*object, error) {
	var o *object
	err := s.window(off, func(buf []byte, more bool) error {
		p := s.parser(buf, more)
		p.keep = keep
		num, gen, err := p.header()
		if err != nil {
			return err
		}
		o = &object{num: num, gen: gen, off: off}
		if o.root, err = s.value(p); err != nil {
			return err
		}
		end, err := p.ending(o.root.kind == kDict)
		if err != nil {
			return err
		}
		if end > 0 {
			o.data = off + int64(end)
		}
		// Only the bytes of the object stay in memory, not the window.
		o.buf = bytes.Clone(buf[:o.root.end])
		return nil
	})
	return o, err
}

func (p *parser) header() (num, gen int, err error) {
	var n [2]int64
	for i := range n {
		if _, err = p.skip(); err != nil {
			return 0, 0, err
		}
		w, err := p.word()
		if err != nil {
			return 0, 0, err
		}
		v, ok := parseInt(w)
		if !ok || v < 0 || v > 1<<31-1 {
			return 0, 0, errf(CodeBrokenXref, "no object where the cross-reference says there is one")
		}
		n[i] = v
	}
	if _, err = p.skip(); err != nil {
		return 0, 0, err
	}
	w, err := p.word()
	if err != nil {
		return 0, 0, err
	}
	if string(w) != "obj" {
		return 0, 0, errf(CodeBrokenXref, "no object where the cross-reference says there is one")
	}
	return int(n[0]), int(n[1]), nil
}

// ending reads endobj, or stream and its end of line; then it gives the
// position of the data in the window.
func (p *parser) ending(dict bool) (int, error) {
	if _, err := p.skip(); err != nil {
		return 0, err
	}
	w, err := p.word()
	if err != nil {
		return 0, err
	}
	switch {
	case string(w) == "endobj":
		return 0, nil
	case string(w) != "stream" || !dict:
		return 0, p.bad("no endobj")
	case p.pos+1 >= len(p.buf):
		return 0, p.short()
	case p.buf[p.pos] == '\n':
		return p.pos + 1, nil
	case p.buf[p.pos] == '\r' && p.buf[p.pos+1] == '\n':
		return p.pos + 2, nil
	}
	return 0, p.bad("no end of line after stream")
}

// deref follows a reference; two objects that mean each other end as an error.
func (d *doc) deref(v val) (val, error) {
	for range 16 {
		if v.kind() != kRef {
			return v, nil
		}
		o, err := d.load(int(v.n.num), int(v.n.gen))
		if err != nil {
			return val{}, err
		}
		v = o.val()
	}
	return val{}, errf(CodeTooDeep, "a reference to a reference to a reference")
}

// get is the value of key, references followed; null when it is absent.
func (d *doc) get(v val, key string) (val, error) {
	w, err := v.direct(key)
	if err != nil {
		return val{}, err
	}
	return d.deref(w)
}

// want is get that demands a kind; null is allowed and given as such.
func (d *doc) want(v val, key string, k kind) (val, error) {
	w, err := d.get(v, key)
	if err != nil {
		return val{}, err
	}
	if w.kind() != k && w.kind() != kNull {
		return val{}, errf(CodeBadStructure, "/%s in object %d has a wrong type", key, v.o.num)
	}
	return w, nil
}
