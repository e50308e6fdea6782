// Package strictjson reads JSON that comes from outside. It refuses what
// encoding/json lets pass and what has been used to make two readers see two
// different messages: duplicate members, members that differ from a known one
// only by case, bytes after the value, invalid Unicode, deep nesting (RFC 8259
// §4, §8.1; RFC 7493 I-JSON §2.1, §2.3).
package strictjson

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// MaxDepth is the deepest nesting of arrays and objects that is read. No
// message of ours needs more than 8; the rest is room for foreign documents.
const MaxDepth = 32

// Error says where a document was refused and why. It never holds a value of
// the document, so it may be shown and logged.
type Error struct {
	Pointer string // JSON pointer (RFC 6901), "" for the whole document
	Reason  string
}

func (e *Error) Error() string {
	if e.Pointer == "" {
		return e.Reason
	}
	return e.Pointer + ": " + e.Reason
}

// Decode reads exactly one JSON value of at most limit bytes into v, a
// pointer. Members that v does not know are refused.
func Decode(b []byte, limit int, v any) error { return decode(b, limit, v, true) }

// DecodeLoose is Decode for documents whose makers may add members, such as a
// discovery document: unknown members are passed over.
func DecodeLoose(b []byte, limit int, v any) error { return decode(b, limit, v, false) }

func decode(b []byte, limit int, v any, closed bool) error {
	if len(b) > limit {
		return &Error{Reason: fmt.Sprintf("longer than %d bytes", limit)}
	}
	if !utf8.Valid(b) {
		return &Error{Reason: "not UTF-8"}
	}
	s := &scanner{dec: json.NewDecoder(bytes.NewReader(b)), closed: closed}
	s.dec.UseNumber()
	t := reflect.TypeOf(v)
	if t == nil || t.Kind() != reflect.Pointer {
		return errors.New("strictjson: v is not a pointer")
	}
	if err := s.value("", t.Elem(), 0); err != nil {
		return err
	}
	if _, err := s.dec.Token(); !errors.Is(err, io.EOF) {
		return &Error{Reason: "bytes after the JSON value"}
	}
	if err := json.Unmarshal(b, v); err != nil {
		return shapeError(err)
	}
	return nil
}

// shapeError turns encoding/json's error into one without the value.
func shapeError(err error) error {
	if te, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return &Error{
			Pointer: "/" + strings.ReplaceAll(te.Field, ".", "/"),
			Reason:  fmt.Sprintf("a JSON %s cannot stand here", strings.Fields(te.Value)[0]),
		}
	}
	if _, ok := errors.AsType[*json.SyntaxError](err); ok {
		return &Error{Reason: "not well-formed JSON"}
	}
	return &Error{Reason: "a value has the wrong form"}
}

// escape makes a reference token of a name (RFC 6901 §3).
var escape = strings.NewReplacer("~", "~0", "/", "~1")

type scanner struct {
	dec    *json.Decoder
	closed bool
}

// value walks one value beside the Go type it will be read into; t is nil
// where the type does not say anything about members.
func (s *scanner) value(at string, t reflect.Type, depth int) error {
	if depth > MaxDepth {
		return &Error{Pointer: at, Reason: fmt.Sprintf("nested deeper than %d", MaxDepth)}
	}
	tok, err := s.dec.Token()
	if err != nil {
		return &Error{Pointer: at, Reason: "not well-formed JSON"}
	}
	t = shape(t)
	switch tok := tok.(type) {
	case json.Delim:
		if tok == '{' {
			return s.object(at, t, depth)
		}
		return s.array(at, t, depth)
	case string:
		return plain(at, tok)
	}
	return nil
}

func (s *scanner) array(at string, t reflect.Type, depth int) error {
	var elem reflect.Type
	if t != nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) {
		elem = t.Elem()
	}
	for i := 0; s.dec.More(); i++ {
		if err := s.value(fmt.Sprintf("%s/%d", at, i), elem, depth+1); err != nil {
			return err
		}
	}
	return s.end(at)
}

func (s *scanner) object(at string, t reflect.Type, depth int) error {
	known, elem := members(t)
	seen := map[string]bool{}
	for s.dec.More() {
		tok, err := s.dec.Token()
		if err != nil {
			return &Error{Pointer: at, Reason: "not well-formed JSON"}
		}
		name, _ := tok.(string)
		here := at + "/" + escape.Replace(name)
		if err := plain(here, name); err != nil {
			return err
		}
		fold := folded(name)
		if seen[fold] {
			return &Error{Pointer: here, Reason: "this member stands twice (names that differ by case count as equal)"}
		}
		seen[fold] = true
		next := elem
		if known != nil {
			f, ok := known[fold]
			switch {
			case ok && f.name != name:
				return &Error{Pointer: here, Reason: fmt.Sprintf("unknown member; did you mean %q?", f.name)}
			case !ok && s.closed:
				return &Error{Pointer: here, Reason: "unknown member"}
			case ok:
				next = f.typ
			}
		}
		if err := s.value(here, next, depth+1); err != nil {
			return err
		}
	}
	return s.end(at)
}

func (s *scanner) end(at string) error {
	if _, err := s.dec.Token(); err != nil {
		return &Error{Pointer: at, Reason: "not well-formed JSON"}
	}
	return nil
}

// plain refuses U+FFFD: encoding/json puts it where the text had half a
// surrogate pair, so two readers could see two strings.
func plain(at, s string) error {
	if strings.ContainsRune(s, utf8.RuneError) {
		return &Error{Pointer: at, Reason: "not valid Unicode"}
	}
	return nil
}

// folded gives names that encoding/json takes for one the same form: it folds
// by Unicode, so that "ſ" (U+017F) reads as "s".
func folded(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return least
	}, name)
}

type member struct {
	name string
	typ  reflect.Type
}

var (
	jsonReader = reflect.TypeFor[json.Unmarshaler]()
	textReader = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// shape follows pointers and answers nil for types that read themselves.
func shape(t reflect.Type) reflect.Type {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() == reflect.Interface {
		return nil
	}
	p := reflect.PointerTo(t)
	if p.Implements(jsonReader) || p.Implements(textReader) {
		return nil
	}
	return t
}

// knownMembers keeps the answers of members for structs: there are as many as
// message types in the program. The maps are not changed any more.
var knownMembers sync.Map // reflect.Type → map[string]member

// members lists what an object read into t may hold: by folded name for a
// struct, or the element type for a map.
func members(t reflect.Type) (map[string]member, reflect.Type) {
	if t == nil {
		return nil, nil
	}
	switch t.Kind() {
	case reflect.Map:
		return nil, t.Elem()
	case reflect.Struct:
		if known, ok := knownMembers.Load(t); ok {
			return known.(map[string]member), nil
		}
		known := map[string]member{}
		for _, f := range reflect.VisibleFields(t) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if !f.IsExported() || name == "-" || (f.Anonymous && name == "") {
				continue
			}
			if name == "" {
				name = f.Name
			}
			known[folded(name)] = member{name, f.Type}
		}
		knownMembers.Store(t, known)
		return known, nil
	}
	return nil, nil
}
