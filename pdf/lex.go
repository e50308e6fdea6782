package pdf

import (
	"errors"
)

// kind is the type of a value (ISO 32000-2, 7.3). The zero is null, as is a
// key that is absent.
type kind uint8

const (
	kNull kind = iota
	kBool
	kInt
	kReal
	kString // literal
	kHex    // hexadecimal string
	kName
	kArray
	kDict // kids are key, value, key, value …
	kRef
)

// node is a value together with the place of its bytes, so that a value that
// is not ours can be copied as it stands.
type node struct {
	kind       kind
	cut        bool  // an array of which only the first kids were kept
	start, end int32 // in the buffer of the object
	gen        int32 // of a reference
	num        int64 // value of an integer, object number of a reference
	kids       []node
}

// errShort: the value goes on behind the end of the window.
var errShort = errors.New("pdf: window too short")

// parser reads values from a window of the file.
type parser struct {
	buf    []byte
	pos    int
	more   bool // the file goes on behind buf
	depth  int  // levels left
	values int  // values left
	keep   int  // kids kept of each array; 0 = all
}

func isSpace(c byte) bool { return classes[c] == classSpace }

func isRegular(c byte) bool { return classes[c] == classRegular }

// The classes of characters (7.2.3).
const (
	classRegular = iota
	classSpace
	classDelimiter
)

// classes is a table because every byte of every object is asked about.
var classes = func() (t [256]uint8) {
	for _, c := range []byte("\x00\t\n\f\r ") {
		t[c] = classSpace
	}
	for _, c := range []byte("()<>[]{}/%") {
		t[c] = classDelimiter
	}
	return t
}()

// short is the answer when the window is at its end.
func (p *parser) short() error {
	if p.more {
		return errShort
	}
	return errf(CodeBadSyntax, "the file ends inside an object")
}

func (p *parser) bad(what string) error {
	return errf(CodeBadSyntax, "%s, %d bytes into the object", what, p.pos)
}

// skip moves over white space and comments to a byte, which is not consumed.
func (p *parser) skip() (byte, error) {
	for p.pos < len(p.buf) {
		c := p.buf[p.pos]
		switch {
		case isSpace(c):
			p.pos++
		case c == '%':
			for p.pos < len(p.buf) && p.buf[p.pos] != '\n' && p.buf[p.pos] != '\r' {
				p.pos++
			}
		default:
			return c, nil
		}
	}
	return 0, p.short()
}

// word reads regular characters; the token must end inside the window.
func (p *parser) word() ([]byte, error) {
	start := p.pos
	for p.pos < len(p.buf) && isRegular(p.buf[p.pos]) {
		p.pos++
	}
	if p.pos == len(p.buf) && p.more {
		return nil, errShort
	}
	return p.buf[start:p.pos], nil
}

// value reads one value.
func (p *parser) value() (node, error) {
	c, err := p.skip()
	if err != nil {
		return node{}, err
	}
	if p.values--; p.values < 0 {
		return node{}, errf(CodeTooManyObjects, "too many values in one object")
	}
	n := node{start: int32(p.pos)}
	switch {
	case c == '/':
		p.pos++
		n.kind = kName
		_, err = p.word()
	case c == '(':
		n.kind = kString
		err = p.literal()
	case c == '[':
		n.kind = kArray
		err = p.array(&n)
	case c == '<':
		err = p.angle(&n)
	case c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.':
		err = p.number(&n)
	default:
		err = p.keyword(&n)
	}
	n.end = int32(p.pos)
	return n, err
}

func (p *parser) keyword(n *node) error {
	w, err := p.word()
	if err != nil {
		return err
	}
	switch string(w) {
	case "null":
		n.kind = kNull
	case "true", "false":
		n.kind = kBool
	default:
		return p.bad("unknown token")
	}
	return nil
}

// literal reads a string in parentheses (7.3.4.2).
func (p *parser) literal() error {
	level := 0
	for ; p.pos < len(p.buf); p.pos++ {
		switch p.buf[p.pos] {
		case '\\':
			p.pos++
		case '(':
			level++
		case ')':
			if level--; level == 0 {
				p.pos++
				return nil
			}
		}
	}
	p.pos = min(p.pos, len(p.buf))
	return p.short()
}

// angle reads a dictionary or a hexadecimal string.
func (p *parser) angle(n *node) error {
	if p.pos+1 >= len(p.buf) {
		return p.short()
	}
	if p.buf[p.pos+1] == '<' {
		n.kind = kDict
		return p.dict(n)
	}
	n.kind = kHex
	buf, pos := p.buf, p.pos+1
	for pos < len(buf) && (hexDigits[buf[pos]] >= 0 || isSpace(buf[pos])) {
		pos++
	}
	switch p.pos = pos; {
	case pos >= len(buf):
		return p.short()
	case buf[pos] != '>':
		return p.bad("not a hexadecimal digit")
	}
	p.pos++
	return nil
}

// number reads an integer, a real, or the reference that an integer begins.
func (p *parser) number(n *node) error {
	w, err := p.word()
	if err != nil {
		return err
	}
	v, ok := parseInt(w)
	if !ok {
		n.kind = kReal
		for _, c := range w {
			if (c < '0' || c > '9') && c != '+' && c != '-' && c != '.' {
				return p.bad("not a number")
			}
		}
		return nil
	}
	n.kind, n.num = kInt, v
	if v < 0 || w[0] == '+' || len(w) > 10 {
		return nil
	}
	return p.reference(n)
}

// reference looks for "gen R" behind the integer in n.
func (p *parser) reference(n *node) error {
	back := p.pos
	c, err := p.skip()
	if err != nil || c < '0' || c > '9' {
		return p.giveUp(back, err)
	}
	w, err := p.word()
	if err != nil {
		return p.giveUp(back, err)
	}
	gen, ok := parseInt(w)
	if !ok || gen > 65535 {
		return p.giveUp(back, nil)
	}
	if c, err = p.skip(); err != nil || c != 'R' {
		return p.giveUp(back, err)
	}
	if w, err = p.word(); err != nil || len(w) != 1 {
		return p.giveUp(back, err)
	}
	n.kind, n.gen = kRef, int32(gen)
	return nil
}

// giveUp goes back behind the integer; only a short window is an error.
func (p *parser) giveUp(back int, err error) error {
	if errors.Is(err, errShort) {
		return err
	}
	p.pos = back
	return nil
}

func (p *parser) enter() error {
	if p.depth--; p.depth < 0 {
		return errf(CodeTooDeep, "arrays and dictionaries nest too deep")
	}
	return nil
}

func (p *parser) array(n *node) error {
	if err := p.enter(); err != nil {
		return err
	}
	for p.pos++; ; {
		c, err := p.skip()
		if err != nil {
			return err
		}
		if c == ']' {
			p.pos++
			p.depth++
			return nil
		}
		kid, err := p.value()
		if err != nil {
			return err
		}
		if p.keep > 0 && len(n.kids) >= p.keep {
			n.cut = true
			continue
		}
		n.kids = append(n.kids, kid)
	}
}

func (p *parser) dict(n *node) error {
	if err := p.enter(); err != nil {
		return err
	}
	for p.pos += 2; ; {
		c, err := p.skip()
		if err != nil {
			return err
		}
		if c == '>' {
			if p.pos+1 >= len(p.buf) {
				return p.short()
			}
			if p.buf[p.pos+1] != '>' {
				return p.bad("a lone >")
			}
			p.pos += 2
			p.depth++
			return nil
		}
		if c != '/' {
			return p.bad("a key that is not a name")
		}
		key, err := p.value()
		if err != nil {
			return err
		}
		val, err := p.value()
		if err != nil {
			return err
		}
		n.kids = append(n.kids, key, val)
	}
}

// parseInt reads a whole token as an integer of at most 18 digits.
func parseInt(w []byte) (int64, bool) {
	neg := false
	if len(w) > 1 && (w[0] == '+' || w[0] == '-') {
		neg = w[0] == '-'
		w = w[1:]
	}
	if len(w) == 0 || len(w) > 18 {
		return 0, false
	}
	var v int64
	for _, c := range w {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + int64(c-'0')
	}
	if neg {
		v = -v
	}
	return v, true
}

func unhex(c byte) int { return int(hexDigits[c]) }

// hexDigits is a table because signatures are 20 000 digits each, and more.
var hexDigits = func() (t [256]int8) {
	for i := range t {
		t[i] = -1
	}
	for i, c := range "0123456789abcdef" {
		t[c] = int8(i)
	}
	for i, c := range "ABCDEF" {
		t[c] = int8(10 + i)
	}
	return t
}()
