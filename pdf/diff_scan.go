package pdf

import (
	"cmp"
	"errors"
	"io"
	"slices"
	"strings"
)

// use is a place from which an object is referred to.
type use struct {
	path string // keys from the outermost dictionary of from to the reference, joined by dots
	elem bool   // it is an element of an array
	from int    // number of the object that holds it; 0 = a trailer, -1 = several
	// sec is the oldest section that introduces such an object: the revisions up to that one have the use, or had it.
	sec int
}

// usage are the uses of an object that some later revision defines otherwise.
type usage struct {
	uses []use
	full bool // there are more than were kept
}

const (
	maxChanged = 1 << 17 // objects that later revisions define
	maxFrom    = 12      // uses kept with their object
	maxUses    = 36      // uses kept at all
)

// scan reads every object once that a revision asked for or a later one has, and notes in used where the objects that
// change are referred to. So an object that is reached by several ways is seen, and a reference to an object that does not
// exist yet. What is kept grows with the changes, not with the document.
func (f *differ) scan() error {
	if err := f.targets(); err != nil {
		return err
	}
	f.extent = make([]int64, len(f.d.secs))
	w := &scanner{f: f, done: make(map[int]bool), skim: skimmer{want: new(numbers), depth: min(64, f.d.s.max.Depth)}}
	for num := range f.used {
		w.skim.want.add(num)
	}
	for j := len(f.d.secs) - 1; j >= 0; j-- {
		w.sec = j
		if j >= f.last {
			w.view = f.at(f.last)
		} else {
			w.view, w.done = f.at(j), make(map[int]bool)
		}
		sec := f.d.secs[j]
		if err := w.refs(sec.trailer, 0, false); err != nil {
			return err
		}
		if err := f.d.s.rowsAt(sec, w.row); err != nil {
			return err
		}
	}
	return nil
}

// targets are the objects that later sections define otherwise than the oldest signed revision.
func (f *differ) targets() error {
	f.used = make(map[int]*usage)
	base := f.at(f.last)
	for j := range f.last {
		err := f.d.s.rowsAt(f.d.secs[j], func(num int, e entry) error {
			if f.used[num] != nil {
				return nil
			}
			was, err := base.find(num)
			if err != nil || was.there() == e.there() {
				return err
			}
			if f.used[num] = new(usage); len(f.used) > maxChanged {
				return errf(CodeTooManyObjects, "more than %d objects change", maxChanged)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// rowsAt gives the rows of a section, and of the stream of a hybrid one, in one pass.
func (s *source) rowsAt(sec *section, f func(num int, e entry) error) error {
	one := func(num int, e entry, err error) error {
		if err == nil {
			err = s.work(1)
		}
		if err != nil {
			return err
		}
		return f(num, e)
	}
	var err error
	if sec.stream != nil {
		err = s.streamRows(sec, one)
	} else {
		err = s.tableRows(sec, one)
	}
	if err != nil || sec.hybrid == nil {
		return err
	}
	return s.streamRows(sec.hybrid, one)
}

func (s *source) tableRows(sec *section, f func(num int, e entry, err error) error) error {
	c := &cursor{s: s}
	for _, sp := range sec.spans {
		if i := sp.pos - c.off; i >= 0 && i <= int64(len(c.buf)) {
			c.i = int(i) // short spans stand beside each other
		} else {
			c = &cursor{s: s, off: sp.pos}
		}
		for i := range sp.count {
			b, err := c.fill(rowLen)
			if err != nil {
				return err
			}
			e := entry{kind: entryOffset}
			for _, d := range b[:10] { // goodRow has seen that they are digits
				e.off = e.off*10 + int64(d-'0')
			}
			if string(b[11:16]) != "00000" {
				gen, _ := parseInt(b[11:16])
				e.gen = int(gen)
			}
			if b[17] == 'f' {
				e = entry{kind: entryFree}
			}
			if err = f(sp.first+i, e, nil); err != nil {
				return err
			}
			c.i += rowLen
		}
	}
	return nil
}

func (s *source) streamRows(sec *section, f func(num int, e entry, err error) error) error {
	r := sec.stream
	in := io.Reader(nil)
	if r.data == nil {
		var err error
		if in, err = s.openStream(r.o, r.n, r.f); err != nil {
			return err
		}
		in = &buffered{r: in}
	}
	spans := slices.Clone(sec.spans)
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.pos, b.pos) })
	buf := make([]byte, r.width())
	for _, sp := range spans {
		for i := range sp.count {
			row := buf
			if in == nil {
				at := (int(sp.pos) + i) * len(buf)
				row = r.data[at : at+len(buf)]
			} else if _, err := io.ReadFull(in, buf); err != nil {
				return streamError(err, r.o.num)
			}
			e, err := r.decode(row)
			if err = f(sp.first+i, e, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// scanner reads the objects that one section introduces.
type scanner struct {
	f     *differ
	sec   int
	view  *doc         // the revision in which the objects of sec are looked at
	done  map[int]bool // object streams of view that were read
	skim  skimmer
	chunk []byte // of the file, in one buffer
	at    int64  // of chunk[0]
	keys  []val  // to the value that is looked at
}

func (w *scanner) row(num int, e entry) error {
	if e.kind < entryOffset {
		return nil
	}
	if live, err := w.live(num, e); err != nil || !live {
		return err // overridden before it was signed
	}
	var err error
	if e.kind == entryStream {
		err = w.stream(int(e.off))
	} else {
		err = w.offset(num, e)
	}
	if err == nil || !soft(err) {
		return err
	}
	// Some programs write offset 0 for an object that there is not, and the header is there; and some a row for object 0.
	if num > 0 && (e.kind == entryStream || e.off > 0) {
		w.f.opaque = num
	}
	return nil
}

// live says whether the row e of the section is the one that counts. Without a newer row for the number it is, which the spans
// tell without reading a row.
func (w *scanner) live(num int, e entry) (bool, error) {
	simple := true
	newer := w.view.secs[:len(w.view.secs)-(len(w.f.d.secs)-w.sec)+1] // and the section itself
	for _, sec := range newer {
		if simple = simple && sec.hybrid == nil; simple && sec != w.f.d.secs[w.sec] {
			_, _, has := sec.row(num)
			simple = !has
		}
	}
	if err := w.f.d.s.work(len(newer)); err != nil || simple {
		return simple, err
	}
	now, err := w.view.find(num)
	return now == e, err
}

// offset reads an object of its own.
func (w *scanner) offset(num int, e entry) error {
	end, ok, err := w.skimmed(num, e)
	if !ok && err == nil {
		end, err = w.parsed(num, e)
	}
	if err != nil {
		return err
	}
	w.f.extent[w.sec] = max(w.f.extent[w.sec], end)
	if w.sec < w.f.last && num > 0 { // no table should have object 0, see gaps
		w.f.pieces = append(w.f.pieces, extent{e.off, end})
	}
	return nil
}

// skimmed is the end of an object that has nothing to be noted; ok is false when it may have.
func (w *scanner) skimmed(num int, e entry) (end int64, ok bool, err error) {
	s := w.f.d.s
	for again := false; ; again = true {
		buf, fresh, err := w.piece(e.off, again)
		if err != nil {
			return 0, false, err
		}
		w.skim.start(buf, 0)
		n, stream, ok := w.skim.object(num, e.gen)
		switch {
		case ok && w.skim.values <= s.max.Values:
			if end = e.off + int64(n); stream {
				if end += w.skim.length; w.skim.length > s.size {
					return 0, false, nil
				}
			}
			return end, true, s.work(valueSteps * w.skim.values)
		case fresh || !w.skim.short():
			return 0, false, nil
		}
	}
}

// parsed reads an object, notes what it refers to, and gives its end.
func (w *scanner) parsed(num int, e entry) (int64, error) {
	o, err := w.object(e.off)
	if err != nil {
		return 0, err
	}
	if o.num != num || o.gen != e.gen {
		return 0, errf(CodeBrokenXref, "object %d is not where it is said to be", num)
	}
	end := e.off + int64(o.root.end)
	if o.data > 0 {
		n, err := w.view.intOf(o.val(), "Length")
		if err != nil {
			return 0, err
		}
		if n < 0 || n > w.f.d.s.size {
			return 0, errf(CodeBadStream, "object %d has no length", num)
		}
		end = o.data + n
	}
	if typ, err := o.val().direct("Type"); err != nil {
		return 0, err
	} else if o.data > 0 && typ.name() == "XRef" {
		num = 0 // its dictionary is a trailer, also that of a hybrid section's stream
	}
	return end, w.refs(o.val(), num, false)
}

// stream reads the objects of object stream stm that are in force, all at once: so none is decompressed twice.
func (w *scanner) stream(stm int) error {
	if w.done[stm] {
		return nil
	}
	w.done[stm] = true
	os, err := w.view.objStream(stm)
	if err != nil {
		return err
	}
	for idx, num := range os.nums {
		e, err := w.view.find(num)
		if err != nil {
			return err
		}
		if (e != entry{kind: entryStream, off: int64(stm), gen: idx}) {
			continue
		}
		if w.skim.start(os.data, os.first+os.offs[idx]); w.skim.value() && w.skim.values <= w.f.d.s.max.Values {
			if err := w.f.d.s.work(valueSteps * w.skim.values); err != nil {
				return err
			}
			continue
		}
		p := w.f.d.s.parser(os.data, false)
		p.pos = os.first + os.offs[idx]
		root, err := w.f.d.s.value(p)
		if err != nil {
			return err
		}
		if err := w.refs((&object{num: num, off: -1, buf: os.data, root: root}).val(), num, false); err != nil {
			return err
		}
	}
	return nil
}

// object reads like source.objectAt, from a piece of the file that serves neighbours too, and that the next one writes over.
func (w *scanner) object(off int64) (*object, error) {
	s := w.f.d.s
	for again := false; ; again = true {
		buf, fresh, err := w.piece(off, again)
		if err != nil {
			return nil, err
		}
		o, err := parseObject(s, buf, off)
		switch {
		case !errors.Is(err, errShort):
			return o, err
		case fresh:
			return s.objectAt(off, 0)
		}
	}
}

// piece is the file from off on, as much of it as is at hand; when there is nothing, or it is asked for anew, it is read.
// fresh: it will not get longer.
func (w *scanner) piece(off int64, anew bool) (buf []byte, fresh bool, err error) {
	if in := off - w.at; in >= 0 && in < int64(len(w.chunk)) && (!anew || in == 0) {
		return w.chunk[in:], in == 0, nil
	}
	n := 4 << 10
	if next := w.at + int64(len(w.chunk)); off > w.at && off < next+cursorChunk {
		n = cursorChunk // they stand close together
	}
	s := w.f.d.s
	if n, err = s.pay(off, n); err != nil {
		return nil, false, err
	}
	if cap(w.chunk) < n {
		w.chunk = make([]byte, n)
	}
	w.at = off
	if w.chunk, err = s.into(w.chunk[:n], off); err != nil {
		return nil, false, err
	}
	return w.chunk, true, nil
}

func parseObject(s *source, buf []byte, off int64) (*object, error) {
	p := s.parser(buf, off+int64(len(buf)) < s.size)
	num, gen, err := p.header()
	if err != nil {
		return nil, err
	}
	o := &object{num: num, gen: gen, off: off, buf: buf}
	if o.root, err = s.value(p); err != nil {
		return nil, err
	}
	end, err := p.ending(o.root.kind == kDict)
	if end > 0 {
		o.data = off + int64(end)
	}
	return o, err
}

// refs notes the references in v, which stands in object from.
func (w *scanner) refs(v val, from int, elem bool) error {
	switch v.kind() {
	case kRef:
		if u := w.f.used[int(v.n.num)]; u != nil {
			u.add(use{path: w.path(), elem: elem, from: from, sec: w.sec})
			return w.f.d.s.work(valueSteps + len(u.uses))
		}
	case kArray:
		for i := range v.n.kids {
			if err := w.refs(v.kid(i), from, true); err != nil {
				return err
			}
		}
	case kDict:
		for i := 1; i < len(v.n.kids); i += 2 {
			w.keys = append(w.keys, v.kid(i-1))
			if err := w.refs(v.kid(i), from, false); err != nil {
				return err
			}
			w.keys = w.keys[:len(w.keys)-1]
		}
	}
	return nil
}

func (w *scanner) path() string {
	var s strings.Builder
	for i, k := range w.keys {
		if i > 0 {
			s.WriteByte('.')
		}
		// A name can hold a dot; two keys must not look like three.
		s.WriteString(strings.ReplaceAll(k.name(), ".", "#"))
	}
	return strings.Clone(s.String())
}

func (u *usage) add(n use) {
	for i := range u.uses {
		o := &u.uses[i]
		if o.path != n.path || o.elem != n.elem {
			continue
		}
		if o.from != n.from && len(u.uses) >= maxFrom {
			o.from = -1
		}
		if o.from == n.from || o.from < 0 {
			o.sec = max(o.sec, n.sec)
			return
		}
	}
	if len(u.uses) == maxUses {
		u.full = true
		return
	}
	if len(u.uses) >= maxFrom {
		n.from = -1
	}
	u.uses = append(u.uses, n)
}
