package pdf

import (
	"bytes"
	"strconv"
)

// equal says whether two values mean the same: spelling of names, strings and numbers, order and null entries of
// dictionaries do not count. References are equal when they name the same object.
func (s *source) equal(a, b val) (bool, error) {
	if err := s.work(valueSteps); err != nil {
		return false, err
	}
	ka, kb := a.kind(), b.kind()
	switch {
	case number(ka) && number(kb):
		return sameNumber(a, b), nil
	case textual(ka) && textual(kb):
		return bytes.Equal(a.bytes(), b.bytes()), nil
	case ka != kb:
		return false, nil
	}
	switch ka {
	case kNull:
		return true, nil
	case kBool:
		return bytes.Equal(a.raw(), b.raw()), nil
	case kName:
		return a.name() == b.name(), nil
	case kRef:
		return a.n.num == b.n.num && a.n.gen == b.n.gen, nil
	case kArray:
		return s.equalArrays(a, b)
	}
	return s.equalDicts(a, b, nil)
}

func number(k kind) bool  { return k == kInt || k == kReal }
func textual(k kind) bool { return k == kString || k == kHex }

func sameNumber(a, b val) bool {
	if a.kind() == kInt && b.kind() == kInt {
		return a.n.num == b.n.num
	}
	if bytes.Equal(a.raw(), b.raw()) {
		return true
	}
	x, err1 := strconv.ParseFloat(string(a.raw()), 64)
	y, err2 := strconv.ParseFloat(string(b.raw()), 64)
	return err1 == nil && err2 == nil && x == y
}

func (s *source) equalArrays(a, b val) (bool, error) {
	if len(a.n.kids) != len(b.n.kids) {
		return false, nil
	}
	for i := range a.n.kids {
		if same, err := s.equal(a.kid(i), b.kid(i)); err != nil || !same {
			return false, err
		}
	}
	return true, nil
}

// equalDicts leaves out the keys in but.
func (s *source) equalDicts(a, b val, but map[string]bool) (bool, error) {
	x, err := s.keyed(a)
	if err != nil {
		return false, err
	}
	y, err := s.keyed(b)
	if err != nil {
		return false, err
	}
	for k := range x {
		if _, there := y[k]; !there && !but[k] {
			return false, nil
		}
	}
	for k, w := range y {
		v, there := x[k]
		switch {
		case but[k]:
			continue
		case !there:
			return false, nil
		}
		if same, err := s.equal(v, w); err != nil || !same {
			return false, err
		}
	}
	return true, nil
}

// keyed are the entries of a dictionary that are not null; a key that stands twice is an error. A null, and what is no
// dictionary, has none.
func (s *source) keyed(v val) (map[string]val, error) {
	if v.kind() != kDict {
		return nil, nil
	}
	if err := s.work(len(v.n.kids)); err != nil {
		return nil, err
	}
	out := make(map[string]val, len(v.n.kids)/2)
	seen := make(map[string]bool, len(v.n.kids)/2)
	for i := 0; i+1 < len(v.n.kids); i += 2 {
		k := decodeName(v.kid(i).raw())
		if seen[k] {
			return nil, errf(CodeDuplicateKey, "object %d has a key twice", v.o.num)
		}
		seen[k] = true
		if w := v.kid(i + 1); w.kind() != kNull {
			out[k] = w
		}
	}
	return out, nil
}

// sameObject compares an object of two revisions, with its stream.
func (p *pairing) sameObject(num int, r *redefined) (bool, error) {
	a, err := p.old.load(num, r.was.generation())
	if err != nil {
		return false, err
	}
	b, err := p.now.load(num, r.is.generation())
	if err != nil {
		return false, err
	}
	if (a.data > 0) != (b.data > 0) {
		return false, nil
	}
	same, err := p.s.equal(a.val(), b.val())
	if err != nil || !same || a.data == 0 {
		return same, err
	}
	n, err := p.old.intOf(a.val(), "Length")
	if err != nil {
		return false, err
	}
	m, err := p.now.intOf(b.val(), "Length")
	if err != nil || n != m || n < 0 {
		return false, err
	}
	return p.s.sameBytes(a.data, b.data, n)
}

func (s *source) sameBytes(a, b, n int64) (bool, error) {
	for n > 0 {
		step := int(min(n, cursorChunk))
		x, err := s.at(a, step)
		if err != nil {
			return false, err
		}
		y, err := s.at(b, step)
		if err != nil {
			return false, err
		}
		if len(x) < step || !bytes.Equal(x, y) {
			return false, nil
		}
		a, b, n = a+int64(step), b+int64(step), n-int64(step)
	}
	return true, nil
}
