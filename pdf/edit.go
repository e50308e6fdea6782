package pdf

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func refText(num, gen int) string { return strconv.Itoa(num) + " " + strconv.Itoa(gen) + " R" }

// edits collects what changes in objects that exist. An object is written again
// with its own bytes; only the pieces named here differ.
type edits struct {
	objs   []*object // in the order of the first change
	pieces map[int][]piece
}

type piece struct {
	start, end int
	text       string
}

func (e *edits) add(o *object, p piece) error {
	if o.num == 0 {
		return errf(CodeBadStructure, "a value of the trailer would have to change")
	}
	if o.data != 0 {
		return errf(CodeBadStructure, "object %d is a stream, and would have to change", o.num)
	}
	if e.pieces == nil {
		e.pieces = make(map[int][]piece)
	}
	// By number: an object that was read twice is still one object.
	if e.pieces[o.num] == nil {
		e.objs = append(e.objs, o)
	}
	e.pieces[o.num] = append(e.pieces[o.num], p)
	return nil
}

// push adds an element at the end of an array.
func (e *edits) push(array val, elem string) error {
	at := int(array.n.end) - 1
	return e.add(array.o, piece{at, at, " " + elem})
}

// set gives key a value in a dictionary.
func (e *edits) set(dict val, key, text string) error {
	i, err := dict.entry(key)
	if err != nil {
		return err
	}
	if i < 0 {
		at := int(dict.n.end) - 2
		return e.add(dict.o, piece{at, at, " /" + key + " " + text})
	}
	old := dict.n.kids[i]
	if isRegular(dict.o.buf[old.start-1]) {
		text = " " + text // what was there began with a delimiter
	}
	return e.add(dict.o, piece{int(old.start), int(old.end), text})
}

// body is the object with its pieces changed. Pieces overlap only when a
// document uses one object as several things.
func (e *edits) body(o *object) ([]byte, error) {
	ps := slices.Clone(e.pieces[o.num])
	slices.SortStableFunc(ps, func(a, b piece) int { return cmp.Compare(a.start, b.start) })
	var out bytes.Buffer
	at := int(o.root.start)
	for _, p := range ps {
		if p.start < at {
			return nil, errf(CodeBadStructure, "object %d is several things at once", o.num)
		}
		out.Write(o.buf[at:p.start])
		out.WriteString(p.text)
		at = p.end
	}
	out.Write(o.buf[at:o.root.end])
	return out.Bytes(), nil
}
