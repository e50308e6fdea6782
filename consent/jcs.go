package consent

import (
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// maxInteger is the largest integer that every JSON reader keeps exactly
// (RFC 8785 §3.2.2.3, RFC 7493 §2.2).
const maxInteger = 1<<53 - 1

// writer writes canonical JSON (RFC 8785) of objects whose members are given
// to it in order: all names here are ASCII, so the order of UTF-16 code units
// is the order of bytes. json.Marshal cannot be used: it escapes <, > and &,
// and those stand in every text.
type writer struct {
	out   []byte
	first bool
	err   error
}

func (w *writer) raw(s string) { w.out = append(w.out, s...) }

func (w *writer) open() {
	w.raw("{")
	w.first = true
}

func (w *writer) close() {
	w.raw("}")
	w.first = false
}

// name begins a member.
func (w *writer) name(n string) {
	if !w.first {
		w.raw(",")
	}
	w.first = false
	w.text(n)
	w.raw(":")
}

// str writes a member that is left out when it is empty.
func (w *writer) str(name, v string) {
	if v != "" {
		w.name(name)
		w.text(v)
	}
}

func (w *writer) integer(name string, v int64) {
	if v < -maxInteger || v > maxInteger {
		w.fail(fmt.Errorf("%s: not an integer that every JSON reader keeps", name))
		return
	}
	w.name(name)
	w.out = strconv.AppendInt(w.out, v, 10)
}

func (w *writer) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// text writes a string by RFC 8785 §3.2.2.2: the two-character escapes that
// JSON has, \u00xx for the other control characters, all else as it is.
func (w *writer) text(s string) {
	if !utf8.ValidString(s) {
		w.fail(errors.New("a text is not UTF-8"))
		return
	}
	const digits = "0123456789abcdef"
	w.raw(`"`)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			w.out = append(w.out, '\\', c)
		case c == '\b':
			w.raw(`\b`)
		case c == '\t':
			w.raw(`\t`)
		case c == '\n':
			w.raw(`\n`)
		case c == '\f':
			w.raw(`\f`)
		case c == '\r':
			w.raw(`\r`)
		case c < 0x20:
			w.out = append(w.out, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		default:
			w.out = append(w.out, c)
		}
	}
	w.raw(`"`)
}
