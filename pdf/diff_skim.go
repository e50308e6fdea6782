package pdf

// skimmer passes over an object as parser does, and keeps nothing of it: most objects of a large document are whole, are
// plainly written, and refer to nothing that changes. It answers only for those. Whatever else it meets — a comment, an
// escape in a name, an indirect /Length, a wanted reference, a token that parser might refuse, the end of the buffer — it
// leaves to parser, so that its no is never wrong and its yes is parser's too.
type skimmer struct {
	buf    []byte
	pos    int
	want   *numbers // references to these are not passed over
	depth  int      // levels that may nest, 64 at most
	values int      // that were passed, as parser counts them
	length int64    // /Length of the outermost dictionary, when it is direct; -1 = absent
	typed  bool     // that dictionary has /Type
}

// numbers is a set of object numbers that may say yes to one that is not in it.
type numbers [1 << 10]uint64

func (s *numbers) add(n int)        { s[n>>6&(len(s)-1)] |= 1 << (n & 63) }
func (s *numbers) has(n int64) bool { return s[n>>6&int64(len(s)-1)]&(1<<(n&63)) != 0 }

// What a byte is to a skimmer; only bytes of words are above markSpace.
const (
	markOther = iota
	markSpace
	markRegular
	markDigit
)

// marks differs from classes in '#': a word ends there, and nothing may follow so.
var marks = func() (t [256]uint8) {
	for i, c := range classes {
		t[i] = [...]uint8{classRegular: markRegular, classSpace: markSpace, classDelimiter: markOther}[c]
	}
	for c := '0'; c <= '9'; c++ {
		t[c] = markDigit
	}
	t['#'] = markOther
	return t
}()

// ahead is how many bytes behind a place are looked at without asking whether they are there.
const ahead = 8

// start sets the skimmer on a place of a buffer.
func (k *skimmer) start(buf []byte, pos int) {
	k.buf, k.pos, k.values, k.length, k.typed = buf, pos, 0, -1, false
}

// short: what made it say no is, or may be, that the buffer ends.
func (k *skimmer) short() bool { return k.pos > len(k.buf)-ahead }

// object passes over "num gen obj", a value, and endobj or the line of stream. end is the place behind the value, or that of
// the stream's data.
func (k *skimmer) object(num, gen int) (end int, stream, ok bool) {
	if !k.number(int64(num)) || !k.number(int64(gen)) || !k.token("obj") || !k.value() {
		return 0, false, false
	}
	end = k.pos
	if k.pos = spaces(k.buf, k.pos); k.short() {
		return 0, false, false
	}
	if k.buf[k.pos] == 'e' {
		return end, false, k.token("endobj")
	}
	if k.length < 0 || !k.token("stream") { // only a dictionary has one
		return 0, false, false
	}
	if k.pos+1 < len(k.buf) && k.buf[k.pos] == '\r' {
		k.pos++
	}
	return k.pos + 1, true, k.buf[k.pos] == '\n'
}

// number wants this one, and white space behind it.
func (k *skimmer) number(want int64) bool {
	from := spaces(k.buf, k.pos)
	v, pos := digits10(k.buf, from)
	k.pos = pos
	return pos > from && v == want && pos < len(k.buf) && marks[k.buf[pos]] == markSpace
}

// token wants these characters, and one behind that does not belong to them.
func (k *skimmer) token(want string) bool {
	k.pos = spaces(k.buf, k.pos)
	n := k.pos + len(want)
	if n >= len(k.buf) || string(k.buf[k.pos:n]) != want || isRegular(k.buf[n]) {
		return false
	}
	k.pos = n
	return true
}

// spaces is the place behind white space.
func spaces(b []byte, pos int) int {
	for pos < len(b) && marks[b[pos]] == markSpace {
		pos++
	}
	return pos
}

// wordEnd is the place behind regular characters.
func wordEnd(b []byte, pos int) int {
	for pos < len(b) && marks[b[pos]] > markSpace {
		pos++
	}
	return pos
}

// digits10 reads ten digits at most, and gives the place behind them.
func digits10(b []byte, pos int) (v int64, end int) {
	for end = pos; end < len(b) && end < pos+10 && marks[b[end]] == markDigit; end++ {
		v = v*10 + int64(b[end]-'0')
	}
	return v, end
}

// value passes one value. Its loop has a value or an end of an array or a dictionary in each turn, and before a value in a
// dictionary its key.
func (k *skimmer) value() bool {
	buf, pos := k.buf, k.pos
	level, dicts := 0, uint64(0) // the bits are the levels, the lowest the innermost: is it a dictionary?
	for {
		if pos = spaces(buf, pos); pos > len(buf)-ahead {
			k.pos = pos
			return false
		}
		c := buf[pos]
		if dicts&1 != 0 && c != '>' {
			if k.pos = pos; c != '/' || !k.key(level) {
				return false
			}
			pos = k.pos
			if c = buf[pos]; c == '>' {
				return false // a key without a value
			}
		}
		k.values++
		switch {
		case c == '/':
			pos = wordEnd(buf, pos+1)
		case marks[c] == markDigit:
			k.pos = pos
			if !k.numeric() {
				return false
			}
			pos = k.pos
		case c == '[' || c == '<' && buf[pos+1] == '<':
			if level++; level > k.depth {
				return false
			}
			if dicts, pos = dicts<<1, pos+1; c == '<' {
				dicts, pos = dicts|1, pos+1
			}
			continue
		case c == ']' && level > 0 && dicts&1 == 0, c == '>' && buf[pos+1] == '>' && dicts&1 != 0:
			k.values--
			pos += 1 + int(dicts&1)
			dicts, level = dicts>>1, level-1
		default:
			if k.pos = pos; !k.rare(c) {
				return false
			}
			pos = k.pos
		}
		if level == 0 {
			k.pos = pos
			return !k.short()
		}
	}
}

// key passes a key of a dictionary and the white space behind it. In the outermost one it looks for those that count.
func (k *skimmer) key(level int) bool {
	from := k.pos + 1
	end := wordEnd(k.buf, from)
	k.pos = spaces(k.buf, end)
	k.values++
	if k.short() {
		return false
	}
	if level > 1 {
		return true
	}
	switch string(k.buf[from:end]) {
	case "Length":
		v, n := digits10(k.buf, k.pos)
		next := spaces(k.buf, n)
		again := k.length >= 0
		k.length = v
		// Behind the number stands nothing that could make it a reference.
		return !again && n > k.pos && next < len(k.buf) && (k.buf[next] == '/' || k.buf[next] == '>')
	case "Type":
		again := k.typed
		k.typed = true
		return !again
	}
	return true
}

// numeric passes an integer, or the reference that it begins.
func (k *skimmer) numeric() bool {
	buf := k.buf
	num, pos := digits10(buf, k.pos)
	if pos > len(buf)-ahead {
		k.pos = len(buf)
		return false
	}
	if marks[buf[pos]] > markSpace { // a real, or many digits
		return k.real()
	}
	k.pos = pos
	pos = spaces(buf, pos)
	if pos > len(buf)-ahead || buf[pos] == '%' || buf[pos] == '#' { // a number has no '#', and nothing else begins with it
		k.pos = pos
		return false
	}
	gen, end := digits10(buf, pos)
	if end == pos || end < len(buf) && marks[buf[end]] > markSpace {
		return true // no second number, or none that is a generation
	}
	next := spaces(buf, end)
	switch {
	case next > len(buf)-ahead:
		k.pos = next
		return false
	case buf[next] == '%':
		return false
	case buf[next] != 'R' || isRegular(buf[next+1]):
		return true // two numbers
	}
	k.pos = next + 1
	return gen <= 65535 && !k.want.has(num)
}

// real passes a number that begins no reference.
func (k *skimmer) real() bool {
	for ; k.pos < len(k.buf); k.pos++ {
		switch c := k.buf[k.pos]; {
		case marks[c] == markDigit || c == '+' || c == '-' || c == '.':
		default:
			return !isRegular(c)
		}
	}
	return false
}

// rare passes the values that are not many.
func (k *skimmer) rare(c byte) bool {
	switch c {
	case '(':
		return k.literal()
	case '<':
		return k.hex()
	case '+', '-', '.':
		return k.real()
	}
	from := k.pos
	k.pos = wordEnd(k.buf, from)
	switch string(k.buf[from:k.pos]) {
	case "null", "true", "false":
		return !k.short() && !isRegular(k.buf[k.pos])
	}
	return false
}

func (k *skimmer) literal() bool {
	level := 0
	for ; k.pos < len(k.buf); k.pos++ {
		switch k.buf[k.pos] {
		case '\\':
			k.pos++
		case '(':
			level++
		case ')':
			if level--; level == 0 {
				k.pos++
				return true
			}
		}
	}
	return false
}

func (k *skimmer) hex() bool {
	for k.pos++; k.pos < len(k.buf); k.pos++ {
		switch c := k.buf[k.pos]; {
		case unhex(c) >= 0 || isSpace(c):
		case c == '>':
			k.pos++
			return true
		default:
			return false
		}
	}
	return false
}
