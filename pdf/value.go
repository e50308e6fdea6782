package pdf

import (
	"bytes"
	"encoding/hex"
	"unicode/utf16"
	"unicode/utf8"
)

// object is one indirect object, or a trailer (num 0).
type object struct {
	num, gen int
	off      int64 // place of buf[0] in the file; -1 when it was in an object stream
	buf      []byte
	root     node
	data     int64 // place of the stream data in the file; 0 = not a stream
}

// val is a value inside an object. The zero is null.
type val struct {
	o *object
	n *node
	// own is true when val is the whole of its indirect object, so that
	// o.num, o.gen refer to exactly this value.
	own bool
}

func (o *object) val() val { return val{o: o, n: &o.root, own: true} }

func (v val) kind() kind {
	if v.n == nil {
		return kNull
	}
	return v.n.kind
}

// raw is the value as it stands in the file.
func (v val) raw() []byte {
	if v.n == nil {
		return []byte("null")
	}
	return v.o.buf[v.n.start:v.n.end]
}

func (v val) kid(i int) val { return val{o: v.o, n: &v.n.kids[i]} }

// int reads a direct integer.
func (v val) int() (int64, bool) {
	if v.kind() != kInt {
		return 0, false
	}
	return v.n.num, true
}

// name reads a direct name without its slash, #xx decoded; "" = not a name.
func (v val) name() string {
	if v.kind() != kName {
		return ""
	}
	return decodeName(v.raw())
}

func decodeName(raw []byte) string {
	raw = raw[1:]
	if bytes.IndexByte(raw, '#') < 0 {
		return string(raw)
	}
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] == '#' && i+2 < len(raw) && unhex(raw[i+1]) >= 0 && unhex(raw[i+2]) >= 0 {
			out = append(out, byte(unhex(raw[i+1])<<4|unhex(raw[i+2])))
			i += 2
			continue
		}
		out = append(out, raw[i])
	}
	return string(out)
}

// entry finds the index in kids of the value of key, -1 when it is absent. A
// key that stands twice is an error: readers disagree on which one counts.
func (v val) entry(key string) (int, error) {
	if v.kind() != kDict {
		return -1, nil
	}
	at := -1
	for i := 0; i+1 < len(v.n.kids); i += 2 {
		raw := v.kid(i).raw()
		if len(raw) != len(key)+1 && bytes.IndexByte(raw, '#') < 0 || decodeName(raw) != key {
			continue
		}
		if at >= 0 {
			return -1, errf(CodeDuplicateKey, "object %d has /%s twice", v.o.num, key)
		}
		at = i + 1
	}
	return at, nil
}

// direct is the value of key without following a reference.
func (v val) direct(key string) (val, error) {
	i, err := v.entry(key)
	if err != nil || i < 0 {
		return val{}, err
	}
	return v.kid(i), nil
}

// uniqueKeys refuses any key that stands twice.
func (v val) uniqueKeys() error {
	seen := make(map[string]bool, len(v.n.kids)/2)
	for i := 0; i+1 < len(v.n.kids); i += 2 {
		k := decodeName(v.kid(i).raw())
		if seen[k] {
			return errf(CodeDuplicateKey, "object %d has a key twice", v.o.num)
		}
		seen[k] = true
	}
	return nil
}

// bytes decodes a direct string, literal or hexadecimal (7.3.4).
func (v val) bytes() []byte {
	switch v.kind() {
	case kHex:
		return decodeHex(v.raw())
	case kString:
		return decodeLiteral(v.raw())
	}
	return nil
}

// decodePairs decodes a hexadecimal string that has nothing but whole pairs of digits, as signatures have.
func decodePairs(raw []byte) ([]byte, bool) {
	out := make([]byte, len(raw)/2-1)
	n, err := hex.Decode(out, raw[1:len(raw)-1])
	return out[:n], err == nil
}

func decodeHex(raw []byte) []byte {
	if out, ok := decodePairs(raw); ok {
		return out
	}
	out := make([]byte, 0, len(raw)/2)
	half := -1
	for _, c := range raw[1 : len(raw)-1] {
		d := unhex(c)
		switch {
		case d < 0:
		case half < 0:
			half = d
		default:
			out = append(out, byte(half<<4|d))
			half = -1
		}
	}
	if half >= 0 {
		out = append(out, byte(half<<4))
	}
	return out
}

func decodeLiteral(raw []byte) []byte {
	raw = raw[1 : len(raw)-1]
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case c == '\r':
			// An end of line in a string is one LF, however it is written.
			if i+1 < len(raw) && raw[i+1] == '\n' {
				i++
			}
			c = '\n'
		case c == '\\' && i+1 < len(raw):
			i++
			var skip bool
			if c, i, skip = escape(raw, i); skip {
				continue
			}
		}
		out = append(out, c)
	}
	return out
}

// escape reads what stands behind a backslash at i; skip: it stands for nothing.
func escape(raw []byte, i int) (c byte, last int, skip bool) {
	switch c = raw[i]; c {
	case 'n':
		return '\n', i, false
	case 'r':
		return '\r', i, false
	case 't':
		return '\t', i, false
	case 'b':
		return '\b', i, false
	case 'f':
		return '\f', i, false
	case '\n':
		return 0, i, true
	case '\r':
		if i+1 < len(raw) && raw[i+1] == '\n' {
			i++
		}
		return 0, i, true
	}
	if c < '0' || c > '7' {
		return c, i, false
	}
	v := 0
	for n := 0; n < 3 && i < len(raw) && raw[i] >= '0' && raw[i] <= '7'; n++ {
		v = v*8 + int(raw[i]-'0')
		i++
	}
	return byte(v), i - 1, false
}

// text decodes a text string (7.9.2.2) to UTF-8. Bytes of PDFDocEncoding above
// 0x7F are taken as Latin-1: names are only compared and shown.
func text(b []byte) string {
	switch {
	case len(b) >= 2 && (b[0] == 0xFE && b[1] == 0xFF || b[0] == 0xFF && b[1] == 0xFE):
		big := b[0] == 0xFE
		u := make([]uint16, 0, len(b)/2)
		for i := 2; i+1 < len(b); i += 2 {
			if big {
				u = append(u, uint16(b[i])<<8|uint16(b[i+1]))
			} else {
				u = append(u, uint16(b[i+1])<<8|uint16(b[i]))
			}
		}
		return string(utf16.Decode(u))
	case len(b) >= 3 && b[0] == 0xEF && b[1] == 0xBB && b[2] == 0xBF:
		return string(bytes.ToValidUTF8(b[3:], []byte("\uFFFD")))
	}
	r := make([]rune, len(b))
	for i, c := range b {
		r[i] = rune(c)
	}
	return string(r)
}

// textString writes s as a text string: printable ASCII as a literal, anything
// else as UTF-16BE in hexadecimal, so that nothing in s can end the string.
func textString(s string) string {
	plain := true
	for i := 0; i < len(s); i++ {
		plain = plain && s[i] >= 0x20 && s[i] < 0x7F
	}
	const digits = "0123456789ABCDEF"
	out := make([]byte, 0, 4*len(s)+8)
	if plain {
		out = append(out, '(')
		for i := 0; i < len(s); i++ {
			if s[i] == '(' || s[i] == ')' || s[i] == '\\' {
				out = append(out, '\\')
			}
			out = append(out, s[i])
		}
		return string(append(out, ')'))
	}
	out = append(out, "<FEFF"...)
	for _, u := range utf16.Encode([]rune(s)) {
		out = append(out, digits[u>>12], digits[u>>8&15], digits[u>>4&15], digits[u&15])
	}
	return string(append(out, '>'))
}

// validText says whether s can be written and read back unchanged.
func validText(s string) bool {
	return utf8.ValidString(s)
}
